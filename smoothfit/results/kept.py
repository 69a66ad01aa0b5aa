"""What `remove_data` leaves of results: kept values, and an error for everything that is made of the observations."""

from __future__ import annotations

from abc import update_abstractmethods
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, NoReturn

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import AbsentError
from .parameter_tests import ParameterTests

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary
    from statsmodels.stats.contrast import ContrastResults


@entry_point
class KeptEstimates(ParameterTests):
    """How results answer after `remove_data`: the methods of `EstimatesOnly`."""

    _kept: dict[str, Any]

    def cov_params(self) -> pd.DataFrame:
        cov: pd.DataFrame = self._kept["cov_params"]
        return cov.copy()

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of `params`; refused if they integrate over the parameters, and so need the observations."""
        return _refuse("conf_int") if self._has_quantiles else super().conf_int(alpha)

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of zero; refused as `conf_int` is."""
        return _refuse("pvalues") if self._integrates else super().pvalues

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test combinations of parameters, as `Results.t_test`; refused as `conf_int` is."""
        return _refuse("t_test") if self._integrates else super().t_test(r_matrix, q_matrix)

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the table of the fit, at alpha = 0.05."""
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
        """Refused: diagnostics are drawn from the observations."""
        _refuse("plot_diagnostics")

    def __repr__(self) -> str:
        return f"EstimatesOnly of {self._kept['__repr__']}"


def _refuse(name: str) -> NoReturn:
    raise AbsentError(f"{name} is made of the observations, which remove_data() removed; fit again, or load a whole file")


def _kept_property(name: str) -> property:
    return property(lambda self: copy(self._kept[name]), doc=f"As `{name}` of the results before `remove_data`.")


KEPT_ALPHA = 0.05
KEPT = (  # what an EstimatesOnly has
    *("params", "sigma", "scale", "nobs", "llf", "aic", "bic", "edf", "df_model", "df_resid", "df_interval", "method", "boundary"),
    *("_integrates", "_has_quantiles", "_is_positive", "_standard_errors", "_tested", "_n_likelihood"),
)
for name in KEPT:
    setattr(KeptEstimates, name, _kept_property(name))
update_abstractmethods(KeptEstimates)  # type: ignore[type-abstract]
