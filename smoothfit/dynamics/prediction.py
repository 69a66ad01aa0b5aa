"""Predictions of outputs whose parameters are integrated out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray, check_flag
from ..results import CurvePrediction
from ..results.mixtures import Mixture


@entry_point
@dataclass(frozen=True, eq=False)
class EquationPrediction(CurvePrediction):
    """Posterior of an output of an equation, with intervals that integrate over coefficients and noises.

    Mean and standard error are those at the estimates; intervals are quantiles of a mixture over all parameters and need not be
    symmetric about the mean.

    Attributes
    ----------
    law : Mixture
        Of the output at each t.
    law_obs : Mixture or None
        Of a new observation; None if no series observes the output.
    """

    law: Any = None
    law_obs: Any = None

    def _law(self, obs: bool) -> Mixture | None:
        law: Mixture | None = self.law_obs if check_flag(obs, "obs") else self.law
        return law

    @property
    def scale_mean(self) -> FloatArray:
        """Standard deviation over all parameters: the shape of simultaneous bands, shape (n,)."""
        return np.asarray(np.sqrt(self.law.variance))

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Return intervals of level 1 - alpha, shape (n, 2); see `CurvePrediction.conf_int`."""
        if self.maxima is not None and not obs:
            half = self.half_width(alpha)
            return np.column_stack([self.predicted_mean - half, self.predicted_mean + half])
        law = self._law(obs)
        return np.full((len(self.predicted_mean), 2), np.nan) if law is None else law.interval(alpha)

    def half_width(self, alpha: float, obs: bool = False) -> FloatArray:
        """Return half the widths of the intervals of `conf_int`, shape (n,)."""
        if self.maxima is not None and not obs:
            return super().half_width(alpha)
        return np.asarray(np.diff(self.conf_int(obs, alpha), axis=1)[:, 0] / 2)
