"""Base of all results: estimates, their uncertainty and tests, and criteria, under statsmodels' names."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod, update_abstractmethods
from collections.abc import Callable
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
from scipy import stats

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import AbsentError, DataError, SpecificationError
from .contrasts import all_together, combinations, each_by_itself
from .mixtures import critical_value

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary
    from statsmodels.iolib.summary2 import Summary as Summary2
    from statsmodels.stats.contrast import ContrastResults

    from ..observations.readings import NamedReadings

LEAST_FREE = 1e-10  # a fraction of an observation's noise that is left in its residual, below which it is rounding


class Compared(NamedTuple):
    """What fits that are compared have in common, and how good they are.

    Method, loss and its parameter; observations; contrasts of the likelihood; the columns of the table.
    """

    fitted_by: tuple[str, str, float | None]
    nobs: int
    observed: FloatArray
    n_contrasts: int
    criteria: dict[str, float]


@entry_point
class Results(ABC):
    """A fit: what was estimated, how well it is known, and how well it describes the observations.

    Subclasses define parameters and predictions; names and arguments are the same in all of them.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
    >>> res.nobs, list(res.params.index), bool(res.aic < res.bic)
    (15, ['q'], True)
    """

    observations: NamedReadings[Any]
    use_t: bool
    _integrates = False  # whether intervals and tests of parameters are quantiles of a posterior that needs the observations
    _tests_elsewhere = ""  # what an error of `t_test` adds about parameters that it does not take

    # What a subclass provides -----------------------------------------------------------------------------------------

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
    def sigma(self) -> pd.Series:
        """Noise standard deviation per series, estimated or given."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """Variance of the first series with unknown noise SD, for observations of weight 1; 1 if every SD is known."""

    @property
    def nobs(self) -> int:
        """Number of observations used."""
        return len(self.observations)

    @property
    @abstractmethod
    def llf(self) -> float:
        """Log-likelihood at the estimates, which `aic` and `bic` use."""

    @property
    @abstractmethod
    def _n_likelihood(self) -> tuple[int, int]:
        """Number of parameters and of contrasts that the likelihood counts, for AIC and BIC."""

    @property
    @abstractmethod
    def df_interval(self) -> float:
        """Degrees of freedom of intervals: residual degrees of freedom of the noise estimate; infinite if every SD is known."""

    @property
    @abstractmethod
    def _fittedvalues(self) -> FloatArray:
        """Fitted values."""

    @property
    def _resid(self) -> FloatArray:
        """Residuals."""
        return self._observed - self._fittedvalues

    def _labelled(self, values: FloatArray, name: str) -> Any:
        """Values of the observations, under the labels of the rows that these came from."""
        return self.observations.labelled(values, name)

    @property
    @abstractmethod
    def _leverage(self) -> FloatArray:
        """Diagonal of the smoother matrix, of the shape of `_resid`; NaN if nothing is observed."""

    @abstractmethod
    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> table = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().summary()
        >>> print(table.tables[-1])
        ======================================================
                     estimate    std err     [0.025     0.975]
        ------------------------------------------------------
        q             0.25519    0.10056    0.13447    0.66956
        ======================================================
        """

    @abstractmethod
    def plot_diagnostics(self, ax: Any = None) -> npt.NDArray[Any]:
        """Draw standardised residuals and what they should look like.

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> axes = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().plot_diagnostics()
        >>> axes.size
        6
        >>> plt.close()
        """

    # Estimates and their uncertainty ----------------------------------------------------------------------------------

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        """Which of `params` are positive, so that their intervals are normal on the logarithmic scale."""
        return np.zeros(len(self.params), np.bool_)

    @property
    def _standard_errors(self) -> FloatArray:
        """Standard errors of `params`."""
        return np.asarray(np.sqrt(np.diag(self.cov_params())))

    @property
    def _has_quantiles(self) -> bool:
        """Whether intervals of parameters are quantiles of a posterior, which needs the observations."""
        posterior = getattr(self, "parameter_posterior", None)
        return self._integrates or (posterior is not None and not posterior.is_single)

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
            of = f", for {', '.join(names)}" if len(names) <= MOST_LISTED else ": a combination a row"
            raise SpecificationError(f"r_matrix has shape {np.shape(r_matrix)}; pass (m, {len(names)}){of}{self._tests_elsewhere}")
        return rows, q_matrix

    # Criteria and degrees of freedom ----------------------------------------------------------------------------------

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 llf + 2 (number of parameters that `llf` is maximised over).

        Parameters are the estimated SDs and hyperparameters, and with a full likelihood the unpenalised coefficients; not the
        effective degrees of freedom. After gcv, aicc or a fixed smoothing `llf` is the restricted likelihood at the variances that
        were found, which is not its maximum: compare `aic` only among fits by likelihood.
        """
        return -2 * self.llf + 2 * self._n_likelihood[0]

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 llf + log(number of contrasts) (number of parameters), which are counted as in `aic`."""
        return float(-2 * self.llf + np.log(self._n_likelihood[1]) * self._n_likelihood[0])

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix."""
        return float(np.nansum(self._leverage))

    @property
    def df_model(self) -> float:
        """Degrees of freedom of what is fitted, those that `df_resid` lacks; statsmodels takes one off for a constant."""
        return self.edf

    @property
    def df_resid(self) -> float:
        """Residual degrees of freedom, nobs - edf."""
        return self.nobs - self.edf

    @property
    def _free(self) -> FloatArray:
        """1 - leverage; NaN if that is rounding."""
        free = 1 - self._leverage
        return np.where(free > LEAST_FREE, free, np.nan)

    @property
    def _loo_resid(self) -> FloatArray:
        """Leave-one-out residuals."""
        return self._resid / self._free

    @property
    def library(self) -> str | None:
        """Library of the data, and so of the frames that are returned: "pandas", "polars", "pyarrow"; None of arrays."""
        return self.observations.library

    # By observation ---------------------------------------------------------------------------------------------------

    @property
    def fittedvalues(self) -> Any:
        """Posterior mean of what each observation observes, in the order of the observations, series after series.

        A pandas series with the index of the series or data frame that the observations came from, NaN in rows that are missing;
        with several series, the name of the series is the first level of the index. Of one series likewise a Polars series, or an
        xarray.DataArray with the coordinates of the data. Of all other data an ndarray, shape (n,), without missing ones.

        Examples
        --------
        >>> import pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"t": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 2.0, None, 4.0]}, index=list("abcd"))
        >>> sf.SmoothingSpline(sf.observe(df["t"], df["y"], sd=0.1)).fit(lam=1).fittedvalues.round(2).to_dict()
        {'a': 1.0, 'b': 2.0, 'c': nan, 'd': 4.0}
        """
        return self._labelled(self._fittedvalues, "fittedvalues")

    @property
    def resid(self) -> Any:
        """Observations minus fitted values, in the units of the observations; labelled as `fittedvalues`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x)
        >>> res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1)).fit(edf=6)
        >>> bool(np.allclose(res.resid, y - res.predict(x)))
        True
        """
        return self._labelled(self._resid, "resid")

    @property
    def loo_resid(self) -> Any:
        """Leave-one-out residuals at the fitted parameters: observations minus predictions without them; as `fittedvalues`.

        NaN where the fit interpolates an observation (its leverage is one to rounding).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y, some = np.sin(x), np.arange(15) != 7
        >>> res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1)).fit(lam=1)
        >>> without = sf.SmoothingSpline(sf.observe(x[some], y[some], sd=0.1)).fit(lam=1)
        >>> bool(np.allclose(res.loo_resid[7], y[7] - without.predict(x[7])))
        True
        """
        return self._labelled(self._loo_resid, "loo_resid")

    # Comparing --------------------------------------------------------------------------------------------------------

    @property
    def _fitted_by(self) -> tuple[str, str, float | None]:
        """Method, loss and its parameter."""
        return getattr(self, "method", "reml"), getattr(self, "loss", "squares"), getattr(self, "loss_parameter", None)

    @property
    def _observed(self) -> FloatArray:
        """The observations."""
        return self.observations.y

    @property
    def _compared(self) -> Compared:
        return Compared(self._fitted_by, self.nobs, self._observed, self._n_likelihood[1], self._criteria)

    @property
    def _criteria(self) -> dict[str, float]:
        """What a table of fits shows."""
        return {"edf": self.edf, "llf": self.llf, "aic": self.aic, "bic": self.bic}

    # Showing ----------------------------------------------------------------------------------------------------------

    def summary2(self, alpha: float = 0.05) -> Summary2:
        """Return `summary` in the other format of statsmodels.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> table = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().summary2()
        >>> type(table).__module__
        'smoothfit.results.summary'
        """
        return cast(Any, self.summary(alpha)).as_summary2()

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())

    # Keeping ----------------------------------------------------------------------------------------------------------

    def save(self, path: Any, remove_data: bool = False) -> None:
        """Write the results to a file, a pickle, which `smoothfit.load` reads.

        Parameters
        ----------
        path : str or path-like
        remove_data : bool
            Whether to save only what `remove_data` leaves. These results do not change.

        Examples
        --------
        >>> import tempfile, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     res.save(f"{folder}/fit.pickle")
        ...     again = sf.load(f"{folder}/fit.pickle")
        >>> bool(again.llf == res.llf), again.nobs
        (True, 15)
        """
        kept = copy(self)
        if remove_data:
            kept.remove_data()
        Path(path).write_bytes(pickle.dumps(kept))

    @classmethod
    def load(cls, path: Any) -> Self:
        """Read results of this class that `save` wrote; see `smoothfit.load`.

        Examples
        --------
        >>> import tempfile, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     res.save(f"{folder}/fit.pickle")
        ...     again = type(res).load(f"{folder}/fit.pickle")
        >>> bool(again.llf == res.llf)
        True
        """
        return _loaded(path, cls)

    def remove_data(self) -> None:
        """Remove the observations and all that is computed from them but the estimates, so that a pickle is small.

        What is left is of the class `EstimatesOnly`: parameters, their covariance and tests, criteria, degrees of freedom, and the
        summary at alpha = 0.05; of spline regressions `predict`, too. Other fits predict from their observations.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> before = res.llf
        >>> res.remove_data()
        >>> res.llf == before, hasattr(res, "observations")
        (True, False)
        """
        kept: dict[str, Any] = {name: getattr(self, name) for name in KEPT if hasattr(type(self), name) or name in vars(self)}
        kept |= {name: getattr(self, name)() for name in ("cov_params", "summary", "__repr__", "_mean_without_data")}
        state = {"use_t": self.use_t, "_kept": kept}
        self.__class__ = EstimatesOnly  # type: ignore[type-abstract]
        self.__dict__ = state

    def _mean_without_data(self) -> Callable[[Any, Any], FloatArray] | None:
        """What predicts the mean without the observations, a function of x and deriv; None if there is nothing."""
        return None


@entry_point
class EstimatesOnly(Results):
    """What `remove_data` leaves of results: everything else raises `AbsentError`.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 200)
    >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(6 * x), sd=0.1)).fit()
    >>> q = res.params["q"]
    >>> res.remove_data()
    >>> bool(res.params["q"] == q), res.nobs
    (True, 200)
    """

    _kept: dict[str, Any]

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> before = res.cov_params()
        >>> res.remove_data()
        >>> bool(res.cov_params().equals(before))
        True
        """
        cov: pd.DataFrame = self._kept["cov_params"]
        return cov.copy()

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of `params`; refused if they integrate over the parameters, and so need the observations.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SplineRegression(sf.observe(x, np.sin(x), sd=0.1), sf.BSplineBasis.uniform(0, 6, 5)).fit()
        >>> before = res.conf_int()
        >>> res.remove_data()
        >>> bool(res.conf_int().equals(before))
        True
        """
        return _refuse("conf_int") if self._has_quantiles else super().conf_int(alpha)

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of zero; refused as `conf_int` is."""
        return _refuse("pvalues") if self._integrates else super().pvalues

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test combinations of parameters, as `Results.t_test`; refused as `conf_int` is.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SplineRegression(sf.observe(x, np.sin(x), sd=0.1), sf.BSplineBasis.uniform(0, 6, 5)).fit()
        >>> before = res.t_test("b0 = b1").pvalue
        >>> res.remove_data()
        >>> bool(res.t_test("b0 = b1").pvalue == before)
        True
        """
        return _refuse("t_test") if self._integrates else super().t_test(r_matrix, q_matrix)

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the table of the fit, at alpha = 0.05.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> before = res.summary().as_text()
        >>> res.remove_data()
        >>> res.summary().as_text() == before
        True
        """
        if alpha != KEPT_ALPHA:
            raise AbsentError(f"alpha is {alpha}, and remove_data() kept the summary at {KEPT_ALPHA}; see conf_int(alpha)")
        table: Summary = self._kept["summary"]
        return table

    def predict(self, x: Any, deriv: Any = 0) -> FloatArray:
        """Estimate of f^(deriv) at x, of spline regressions.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SplineRegression(sf.observe(x, np.sin(x), sd=0.1), sf.BSplineBasis.uniform(0, 6, 5)).fit()
        >>> res.remove_data()
        >>> res.predict([1.0, 2.0]).round(2), np.sin([1.0, 2.0]).round(2)
        (array([0.84, 0.91]), array([0.84, 0.91]))
        """
        mean: Callable[[Any, Any], FloatArray] | None = self._kept["_mean_without_data"]
        return _refuse("predict") if mean is None else mean(x, deriv)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(name)

    @property
    def _resid(self) -> NoReturn:
        _refuse("resid")

    @property
    def _fittedvalues(self) -> NoReturn:
        _refuse("fittedvalues")

    def _labelled(self, values: FloatArray, name: str) -> NoReturn:
        _refuse(name)

    @property
    def _leverage(self) -> NoReturn:
        _refuse("leverage")

    @property
    def _observed(self) -> NoReturn:
        _refuse("a comparison")

    def plot_diagnostics(self, ax: Any = None) -> NoReturn:
        """Refused: diagnostics are drawn from the observations.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> res.remove_data()
        >>> try:
        ...     res.plot_diagnostics()
        ... except sf.errors.AbsentError as error:
        ...     print(str(error).split(",")[0])
        plot_diagnostics is made of the observations
        """
        _refuse("plot_diagnostics")

    def __repr__(self) -> str:
        return f"EstimatesOnly of {self._kept['__repr__']}"


def _refuse(name: str) -> NoReturn:
    raise AbsentError(f"{name} is made of the observations, which remove_data() removed; fit again, or load a whole file")


def _kept_property(name: str) -> property:
    return property(lambda self: copy(self._kept[name]), doc=f"As `{name}` of the results before `remove_data`.")


MOST_LISTED = 30  # names in an error
KEPT_ALPHA = 0.05
KEPT = (  # what an EstimatesOnly has
    *("params", "sigma", "scale", "nobs", "llf", "aic", "bic", "edf", "df_model", "df_resid", "df_interval", "method", "boundary"),
    *("_integrates", "_has_quantiles", "_is_positive", "_standard_errors", "_tested", "_n_likelihood"),
)
for name in KEPT:
    setattr(EstimatesOnly, name, _kept_property(name))
update_abstractmethods(EstimatesOnly)  # type: ignore[type-abstract]

Kind = TypeVar("Kind", bound=Results)


def _loaded(path: Any, kind: type[Kind]) -> Kind:
    """Results of a kind from a file."""
    try:
        found = pickle.loads(Path(path).read_bytes())
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise DataError(f"path is {str(path)!r}, which contains no results that this version can read: {error}") from error
    if not isinstance(found, (kind, EstimatesOnly)):
        raise DataError(f"path is {str(path)!r}, which holds a {type(found).__name__} and no {kind.__name__}")
    return cast(Kind, found)


@entry_point
def load(path: Any) -> Results:
    """Read results that their `save` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Results
        Of the class that was saved, bit for bit.

    Notes
    -----
    The file is a pickle, and unpickling runs code: load only files from sources that you trust.

    Examples
    --------
    >>> import tempfile, numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 50)
    >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(6 * x), sd=0.1)).fit()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     res.save(f"{folder}/fit.pickle")
    ...     again = sf.load(f"{folder}/fit.pickle")
    >>> bool((again.predict(x) == res.predict(x)).all())
    True
    """
    return _loaded(path, Results)  # type: ignore[type-abstract]
