"""Estimated parameters: their standard errors, intervals and tests, under statsmodels' names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import SpecificationError
from .contrasts import MOST_NAMES, all_together, combinations, each_by_itself
from .mixtures import critical_value

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.stats.contrast import ContrastResults


@entry_point
class ParameterTests(ABC):
    """Parameters with standard errors and intervals, and tests of their linear combinations; the part of `Results` about them."""

    use_t: bool
    _tests_elsewhere = ""  # what an error of `t_test` adds about parameters that it does not take

    @property
    @abstractmethod
    def params(self) -> pd.Series:
        """Estimated parameters by name."""

    @abstractmethod
    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`; NaN for one at a boundary.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> bool(np.isclose(res.cov_params().loc["q", "q"], res.bse["q"] ** 2))
        True
        """

    @property
    @abstractmethod
    def df_interval(self) -> float:
        """Degrees of freedom of intervals: residual degrees of freedom of the noise estimate; infinite if every SD is known."""

    @property
    @abstractmethod
    def df_resid(self) -> float:
        """Residual degrees of freedom, nobs - edf."""

    # Standard errors and intervals ------------------------------------------------------------------------------------

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        """Which of `params` are positive, so that their intervals are normal on the logarithmic scale."""
        return np.zeros(len(self.params), np.bool_)

    @property
    def _standard_errors(self) -> FloatArray:
        return np.asarray(np.sqrt(np.diag(self.cov_params())))

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params`; NaN for a parameter that is fixed by a criterion or at a boundary.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> load = np.tile([0, 1, 0, 2, 1], 3)
        >>> y = np.sin(x) + 3 * load + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> res = sf.SmoothingSpline(sf.observe(x, y), regressors={"load": load}).fit()
        >>> print(res.params["load"].round(2), res.bse["load"].round(2))
        3.02 0.03
        """
        import pandas as pd

        return pd.Series(self._standard_errors, index=self.params.index, name="bse")

    @property
    def tvalues(self) -> pd.Series:
        """Estimates over standard errors."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.params / self.bse).rename("tvalues")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of zero: Student's t where `use_t`, else normal.

        Those of SDs and other positive parameters are normal, and a convention of statsmodels rather than tests: zero is their
        boundary.
        """
        import pandas as pd

        df = np.where(self._is_positive, np.inf, self._df_tests)
        return pd.Series(2 * stats.t.sf(np.abs(self.tvalues), df), index=self.params.index, name="pvalues")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of `params`.

        Student's t where `use_t`, else normal; of SDs, length scales and other positive parameters normal on the logarithmic scale.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> load = np.tile([0, 1, 0, 2, 1], 3)
        >>> y = np.sin(x) + 3 * load + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> res = sf.SmoothingSpline(sf.observe(x, y), regressors={"load": load}).fit()
        >>> res.conf_int().loc["load"].round(2).tolist()
        [2.95, 3.09]
        """
        import pandas as pd

        values, se, positive = self.params.to_numpy(), self._standard_errors, self._is_positive
        half = critical_value(alpha, self._df_tests) * se
        lower, upper = values - half, values + half
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # what is hardly known may be anything up to infinity
            factor = np.exp(critical_value(alpha, np.inf) * se[positive] / values[positive])
            lower[positive], upper[positive] = values[positive] / factor, values[positive] * factor
        return pd.DataFrame({0: lower, 1: upper}, index=self.params.index)

    # Tests ------------------------------------------------------------------------------------------------------------

    @property
    def _df_tests(self) -> float:
        """Degrees of freedom of Student's t; infinite where estimates are normal."""
        return self.df_interval if self.use_t else np.inf

    @property
    def _tested(self) -> list[str]:
        """Names of the `params` that tests combine."""
        return list(self.params.index)

    @property
    def _tested_values(self) -> FloatArray:
        return self.params[self._tested].to_numpy()

    def _root_of(self, rows: FloatArray) -> FloatArray:
        """A root of the covariance (m, m) of combinations (m, k) of what is tested; NaN where one has no standard error."""
        names = self._tested
        cov = self.cov_params().loc[names, names].to_numpy()
        known = np.isfinite(np.diag(cov))
        sd = np.sqrt(np.diag(cov)[known])  # in units of which the covariance has an exact root
        units = np.where(sd > 0, sd, 1.0)
        sizes, axes = np.linalg.eigh(cov[np.ix_(known, known)] / np.outer(units, units))
        root = rows[:, known] @ (units[:, None] * axes * np.sqrt(np.maximum(sizes, 0.0)))
        root[(rows[:, ~known] != 0).any(axis=1)] = np.nan
        return np.asarray(root)

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test linear combinations of parameters, each by itself.

        Parameters
        ----------
        r_matrix : str or array_like, shape (m, k) or (k,)
            Combinations in words, such as ``"b0 = 1, b2 = b3"`` by the names in `params`, whose values take the place of
            `q_matrix`; or rows of k factors. The k parameters are the coefficients where a model has some, else all of `params`.
        q_matrix : float or array_like, shape (m,)
            What they are under the hypothesis.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults
            Student's t where `use_t`, else normal, with the covariance of `cov_params`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> load = np.tile([0, 1, 0, 2, 1], 3)
        >>> y = np.sin(x) + 3 * load + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> res = sf.SmoothingSpline(sf.observe(x, y), regressors={"load": load}).fit()
        >>> test = res.t_test("load = 3")
        >>> print(test.effect.round(2), test.sd.round(2), test.pvalue.round(2))
        [3.02] [0.03] 0.44
        """
        rows, values = self._combinations(r_matrix, q_matrix)
        variance = np.sum(self._root_of(rows) ** 2, axis=1)
        return each_by_itself(rows @ self._tested_values, variance, values, self._df_tests)

    def wald_test(self, r_matrix: Any, q_matrix: Any = 0.0, *, use_f: bool | None = None) -> ContrastResults:
        """Test linear combinations of parameters together.

        (R c - q)'(R C R')^-1(R c - q), C the covariance: over the rank as F where `use_t`, else as chi-squared. Directions in which
        R C R' vanishes to rounding do not count.

        Parameters
        ----------
        r_matrix, q_matrix
            As of `t_test`.
        use_f : bool, optional
            Whether F takes the place of chi-squared; by default where `use_t`.

        Returns
        -------
        statsmodels.stats.contrast.ContrastResults

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> load, wind = np.tile([0, 1, 0, 2, 1], 3), np.tile([1, 0, 2, 2, 1], 3)
        >>> y = np.sin(x) + 3 * load + wind + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> res = sf.SmoothingSpline(sf.observe(x, y), regressors={"load": load, "wind": wind}).fit()
        >>> test = res.wald_test("load = 3, wind = 1")
        >>> test.distribution, test.df_num, bool(test.pvalue > 0.05)
        ('F', 2, True)
        """
        rows, values = self._combinations(r_matrix, q_matrix)
        root = self._root_of(rows)
        unknown = np.isnan(root).any(axis=1)
        if unknown.any():
            i = int(np.argmax(unknown))
            raise SpecificationError(f"row {i} of r_matrix uses a parameter without a standard error (see bse); leave it out")
        df = self._df_tests if use_f is None else self._df_of_f if use_f else np.inf
        return all_together(rows @ self._tested_values, root, values, df)

    def f_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test linear combinations of parameters together by F: `wald_test` with ``use_f=True``.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> load = np.tile([0, 1, 0, 2, 1], 3)
        >>> y = np.sin(x) + 3 * load + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> res = sf.SmoothingSpline(sf.observe(x, y), regressors={"load": load}).fit()
        >>> bool(np.isclose(res.f_test("load = 2").fvalue, res.t_test("load = 2").tvalue ** 2))
        True
        """
        return self.wald_test(r_matrix, q_matrix, use_f=True)

    @property
    def _df_of_f(self) -> float:
        """Degrees of freedom in the denominator of F."""
        return self._df_tests if np.isfinite(self._df_tests) else self.df_resid

    def _combinations(self, r_matrix: Any, q_matrix: Any) -> tuple[FloatArray, Any]:
        names = self._tested
        if isinstance(r_matrix, tuple) and len(r_matrix) == 2:  # statsmodels' (R, q)
            r_matrix, q_matrix = r_matrix
        if isinstance(r_matrix, str):
            if r_matrix in names:  # whatever it is called
                return np.eye(len(names))[[names.index(r_matrix)]], q_matrix
            return combinations(r_matrix, names)
        try:
            rows = np.atleast_2d(np.asarray(r_matrix, dtype=np.float64))
        except (TypeError, ValueError):
            example = f"{names[0]} = 0" if names else "b0 = 0"
            raise SpecificationError(f"r_matrix is {r_matrix!r}; pass numbers, or a string such as {example!r}") from None
        if rows.ndim != 2 or rows.shape[1] != len(names):
            of = f", for {', '.join(names)}" if len(names) <= MOST_NAMES else ": a combination a row"
            raise SpecificationError(f"r_matrix has shape {np.shape(r_matrix)}; pass (m, {len(names)}){of}{self._tests_elsewhere}")
        return rows, q_matrix
