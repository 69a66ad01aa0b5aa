"""Base of all results: estimates, their uncertainty and tests, and criteria, under statsmodels' names."""

from __future__ import annotations

import pickle
from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import DataError, SpecificationError
from .influence import left_free
from .kept import KEPT, KeptEstimates
from .parameter_tests import ParameterTests

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary
    from statsmodels.iolib.summary2 import Summary as Summary2

    from ..observations.readings import NamedReadings


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
class Results(ParameterTests):
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
    _integrates = False  # whether intervals and tests of parameters are quantiles of a posterior that needs the observations

    # What a subclass provides -----------------------------------------------------------------------------------------

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
    def _fittedvalues(self) -> FloatArray:
        """Fitted values."""

    @property
    def _resid(self) -> FloatArray:
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
        q             0.25519    0.10056    0.13446    0.66956
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

    @property
    def _has_quantiles(self) -> bool:
        """Whether intervals of parameters are quantiles of a posterior, which needs the observations."""
        posterior = getattr(self, "parameter_posterior", None)
        return self._integrates or (posterior is not None and not posterior.is_single)

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
        return self.nobs - self.edf

    @property
    def _free(self) -> FloatArray:
        """1 - leverage; NaN if that is rounding."""
        return left_free(self._leverage)

    @property
    def _loo_resid(self) -> FloatArray:
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

        Raises
        ------
        SpecificationError
            The model has a function without a name that a pickle can refer to, such as a lambda among `terms`.

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
        try:
            pickled = pickle.dumps(kept)
        except (pickle.PicklingError, AttributeError) as error:  # of a function by its name
            raise SpecificationError(
                f"these results have a function or class that cannot be saved ({error}); define it in a module, not within a "
                "function or as a lambda, and fit again"
            ) from error
        Path(path).write_bytes(pickled)

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
class EstimatesOnly(KeptEstimates, Results):
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
