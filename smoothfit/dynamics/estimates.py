"""Estimated coefficients and noises with their uncertainty, under statsmodels' names."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import SpecificationError
from ..results.contrasts import all_together, combinations, each_by_itself
from ..results.prediction import critical_value
from .methods.base import Fitted

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.stats.contrast import ContrastResults

    from .model import DerivativeRegression


@entry_point
class Estimates:
    """What a method found: parameters, standard errors, intervals, tests, criteria, residuals.

    Attributes
    ----------
    model : DerivativeRegression
    method : str
    options : dict
        Of the method.
    fitted : smoothfit.dynamics.methods.Fitted
    cov_type : str
    """

    use_t = False

    def __init__(
        self,
        model: DerivativeRegression,
        method: str,
        options: dict[str, Any],
        fitted: Fitted,
        cov_type: str,
        cov: FloatArray,
    ):
        self.model = model
        self.method = method
        self.options = options
        self.fitted = fitted
        self.cov_type = cov_type
        self._cov = cov

    @cached_property
    def params(self) -> pd.Series:
        """Coefficients of the equation in continuous time, then estimated noise parameters.

        ``q`` is the intensity of the process noise (variance of its integral per unit of t), ``sigma`` the sd of the
        readings' noise.
        """
        import pandas as pd

        names = [*self.model.equation.names, *self.fitted.noise]
        return pd.Series([*self.fitted.theta, *self.fitted.noise.values()], index=names, name="params", dtype=float)

    @property
    def coefficients(self) -> FloatArray:
        """The coefficients alone, shape (k,)."""
        return self.fitted.theta

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`; NaN for a noise parameter at its boundary."""
        import pandas as pd

        size = len(self.params)
        cov = np.full((size, size), np.nan)
        known = min(size, len(self._cov))
        cov[:known, :known] = self._cov[:known, :known]
        return pd.DataFrame(cov, index=self.params.index, columns=self.params.index)

    @property
    def _cov_theta(self) -> FloatArray:
        k = len(self.fitted.theta)
        return self._cov[:k, :k]

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params`."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self.cov_params())), index=self.params.index, name="bse")

    @property
    def tvalues(self) -> pd.Series:
        """Estimates over standard errors."""
        return (self.params / self.bse).rename("tvalues")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of zero, normal."""
        import pandas as pd

        return pd.Series(2 * stats.norm.sf(np.abs(self.tvalues)), index=self.params.index, name="pvalues")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha: normal; those of noise parameters normal on the logarithmic scale."""
        import pandas as pd

        z, bse = critical_value(alpha, np.inf), self.bse
        table = pd.DataFrame({0: self.params - z * bse, 1: self.params + z * bse})
        for name in self.fitted.noise:
            value, se = self.params[name], bse[name]
            if value > 0 and np.isfinite(se):
                with np.errstate(over="ignore"):
                    factor = np.exp(z * se / value)
                table.loc[name] = [value / factor, value * factor]
        return table

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test linear combinations of the coefficients, each by itself.

        Parameters
        ----------
        r_matrix : str or array_like, shape (m, k) or (k,)
            Combinations of the k coefficients, or such as ``"y = -1, u = 2"``; values in a text take the place of `q_matrix`. Noise
            parameters have `test_noise`, for zero is at their boundary.
        q_matrix : float or array_like, shape (m,)
            What they are under the hypothesis.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults
            Normal, with the covariance of `cov_type`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(200) * 0.05
        >>> u = np.sign(np.sin(t))
        >>> y = np.exp(-t) + 0.02 * np.random.default_rng(0).standard_normal(200)
        >>> res = sf.DerivativeRegression(y, t, u).fit("output_error")
        >>> bool(res.t_test("y = -1").pvalue > 0.05), bool(res.f_test("u, const").pvalue > 0.05)
        (True, True)
        """
        rows, values = self._combinations(r_matrix, q_matrix)
        return each_by_itself(rows @ self.fitted.theta, np.diag(rows @ self._cov_theta @ rows.T), values, np.inf)

    def wald_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test linear combinations of the coefficients together, by chi-squared; arguments as of `t_test`."""
        return self._test_together(r_matrix, q_matrix, np.inf)

    def f_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test linear combinations of the coefficients together, by F with `df_resid`; arguments as of `t_test`."""
        return self._test_together(r_matrix, q_matrix, self.df_resid)

    def _test_together(self, r_matrix: Any, q_matrix: Any, df: float) -> ContrastResults:
        rows, values = self._combinations(r_matrix, q_matrix)
        sd = np.sqrt(np.diag(self._cov_theta))  # in units of which the covariance has an exact root
        scale = np.where(sd > 0, sd, 1.0)
        sizes, axes = np.linalg.eigh(self._cov_theta / np.outer(scale, scale))
        root = rows @ (scale[:, None] * axes * np.sqrt(np.maximum(sizes, 0.0)))
        return all_together(rows @ self.fitted.theta, root, values, df)

    def _combinations(self, r_matrix: Any, q_matrix: Any) -> tuple[FloatArray, Any]:
        names = self.model.equation.names
        if isinstance(r_matrix, tuple) and len(r_matrix) == 2:  # statsmodels' (R, q)
            r_matrix, q_matrix = r_matrix
        if isinstance(r_matrix, str):
            return combinations(r_matrix, names)
        rows = np.atleast_2d(np.asarray(r_matrix, dtype=np.float64))
        if rows.ndim != 2 or rows.shape[1] != len(names):
            raise SpecificationError(
                f"r_matrix has shape {np.shape(r_matrix)}; pass (m, {len(names)}), for {', '.join(names)}; noises have test_noise()"
            )
        return rows, q_matrix

    @property
    def llf(self) -> float:
        """Log-likelihood at the estimate, given the first readings, which fix initial states; NaN where a method has none."""
        return self.fitted.llf

    @property
    def df_model(self) -> int:
        """Number of estimated parameters."""
        return len(self.params) + (self.method in ("arx", "arimax", "difference"))

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 llf + 2 (number of parameters), in which every reading counts.

        Likelihoods of different orders are given different numbers of first readings. To be compared, the first of each run counts
        with the normal density of all readings, others with that of the steps between neighbours.
        """
        return self._deviance + 2 * self.df_model

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 llf + log(readings) (number of parameters), in which every reading counts as in `aic`."""
        return self._deviance + float(np.log(self.nobs)) * self.df_model

    @property
    def _deviance(self) -> float:
        sample = self.model.sample
        unexplained = max(0, self.nobs - self.fitted.n_rows)
        first = min(unexplained, len(sample.labels))  # one in each run; the next are near their neighbours
        alone, beside = [], []
        for column in sample.y.T:
            known = np.isfinite(column)
            steps = np.diff(column[known])[np.diff(sample.run[known]) == 0]
            alone.append(np.log(2 * np.pi * np.var(column[known])) + 1)
            beside.append(np.log(2 * np.pi * np.mean(steps**2)) + 1 if steps.any() else alone[-1])
        return -2 * self.llf + first * float(np.mean(alone)) + (unexplained - first) * float(np.mean(beside))

    @property
    def nobs(self) -> int:
        """Number of readings."""
        return self.model.sample.n_readings

    @property
    def df_resid(self) -> int:
        """Rows that the estimate rests on, less the number of coefficients."""
        return self.fitted.n_rows - len(self.fitted.theta)

    @property
    def resid(self) -> FloatArray:
        """Residuals by row and output or channel; NaN where there is none, (n,) of one column.

        Standardised one-step prediction errors of "kalman"; what the method's noise is estimated to be elsewhere.
        """
        resid = self.fitted.resid[self.model.sample.rows]
        return resid[:, 0] if resid.shape[1] == 1 else resid

    @property
    def q(self) -> FloatArray:
        """Intensity of the process noise by output; zero where the method has none."""
        return self.fitted.q

    @property
    def sigma(self) -> FloatArray:
        """Noise sd by channel of readings; one, in units of the given sds, where these are known."""
        return np.sqrt(self.fitted.sigma2)

    @property
    def boundary(self) -> tuple[str, ...]:
        """Noise parameters that are estimated as zero."""
        return self.fitted.boundary
