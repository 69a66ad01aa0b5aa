"""Results of a quantile fit."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import SpecificationError
from .results import SplineRegressionResults


@entry_point
class QuantileResults(SplineRegressionResults):
    """A fitted quantile curve; the module ``smoothfit.regression.quantile`` explains its quantities.

    `sigma` holds mean check losses, `edf` the number of observations on the curve, `llf` the asymmetric Laplace likelihood, and
    `cov_params` the sandwich of Powell (1991) with the bias of the penalty. Intervals of new observations, leave-one-out residuals
    and influence do not exist.

    Examples
    --------
    >>> import smoothfit as sf
    >>> obs = sf.observe([0, 0, 0, 1, 1, 1], [0, 1, 9, 2, 3, 4])
    >>> res = sf.SplineRegression(obs, sf.BSplineBasis([0, 0, 1, 1], degree=1)).fit(loss="quantile")
    >>> res.predict([0, 1]).round(6)  # the medians
    array([1., 3.])
    """

    @property
    def digits_lost(self) -> float:
        """NaN: the solver of the cone program has its own tolerance, 1e-9 of the objective or better."""
        return np.nan

    def _noise_name(self, deriv: int, name: str | None) -> str | None:
        super()._noise_name(deriv, name)
        return None  # a new observation has no SD here

    @property
    def _diagnostic_resid(self) -> tuple[str, FloatArray]:
        return "residuals", self._resid_standardized

    @property
    def _resid_recursive(self) -> NoReturn:
        """Refused: predictions of a quantile from the observations before are other programs."""
        raise SpecificationError("a quantile fit has no recursive residuals; resid_standardized are those of all observations")

    @property
    def _loo_resid(self) -> NoReturn:
        """Refused: a quantile fit without an observation is another program."""
        raise SpecificationError("a quantile fit has no leave-one-out formula; fit without the observation")
