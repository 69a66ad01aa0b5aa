"""Whether a series is off the others by a constant, a factor or a lag: scores of these at the fit without them.

With y = L f + e and P = K^-1 - K^-1 X (X'K^-1 X)^-1 X'K^-1, K the covariance of y but for what is diffuse, X:

- a bias b of a series, y_i = L_i f + b + e_i, has at b = 0 the score c'P y and the information c'P c, c being one for the
  observations of the series and zero for others;
- a scale s, y_i = s L_i f + e_i, has at s = 1 the score m'P y - sum_i h_i over the series: m is the posterior mean of L_i f for its
  observations and zero for others, h_i are leverages, since E[L_i f (y_i - L_i f) | y] = m_i (y_i - m_i) - v_i h_i. Its information
  counts as that of the column m, less what the bias explains of it;
- a lag t, y_i = (L_i f)(x_i - t) + e_i, has at t = 0 the score d'P y, d less the posterior mean of the derivative of L_i f for its
  observations and zero for others. The covariances of derivatives with values at the same x, halves of derivatives of variances,
  nearly cancel along x and are left out. Its information counts as that of the column d, less what the bias and the scale explain.

A score over its information is one step of Newton's method from a fit without; over the root of it, it is N(0, 1)
under the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray

KINDS = ("bias", "scale", "lag")
LEAST_INFORMATION = 1e-8  # of the information of a known curve: below, a bias is not identified


class Stretch(NamedTuple):
    """Observations of one stretch of x, (m,) each.

    Attributes
    ----------
    series : ndarray of int
        Number of the series of each observation.
    mean, leverage, variance : ndarray
        Posterior mean of what each measures, its leverage and the variance of its noise.
    pull : callable
        P y and P of columns (m, k): their scores (k,) and information (k, k).
    slope : ndarray or None
        Posterior mean of the derivative by x of what each measures, NaN where it has none; None if lags are not looked for.
    """

    series: npt.NDArray[np.int64]
    mean: FloatArray
    leverage: FloatArray
    variance: FloatArray
    pull: Callable[[FloatArray], tuple[FloatArray, FloatArray]]
    slope: FloatArray | None = None


class Offset(NamedTuple):
    """What a series is off the others by: effect, and the effect over its standard error.

    `size` is the standard deviation of the effect over the observations of the series.
    """

    series: int
    kind: str
    effect: float
    statistic: float
    size: float


def scores_of(z: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scores (k,) and information (k, k) of columns by the innovations z (n,) of y and w (n, k) of them; NaN where none is."""
    known = np.isfinite(z)
    return w[known].T @ z[known], w[known].T @ w[known]


def offsets_of(stretches: Sequence[Stretch], n_series: int) -> list[Offset]:
    """Biases, scales and lags of several series, as far as the observations determine them."""
    found = []
    for k in range(n_series):
        sums = Sums.of(stretches, k)
        information, score, spread = sums.information.copy(), sums.score.copy(), sums.spread
        for i, kind in enumerate(KINDS):
            own = float(information[i, i])
            if not own > LEAST_INFORMATION * spread[i] * sums.direct:
                continue
            effect = float(score[i]) / own
            found.append(Offset(k, kind, effect, float(score[i]) / np.sqrt(own), abs(effect) * np.sqrt(spread[i])))
            slope = information[:, i] / own  # what is left of the others
            score, information = score - slope * score[i], information - np.outer(slope, information[i])
    return found


class Sums(NamedTuple):
    """Scores (3,) and information (3, 3) of a bias, a scale and a lag of one series.

    `spread` (3,) are mean squares of their columns, `direct` is the information about a bias of a known curve.
    """

    score: FloatArray
    information: FloatArray
    spread: FloatArray
    direct: float

    @classmethod
    def of(cls, stretches: Sequence[Stretch], series: int) -> Sums:
        """Over stretches of the observations."""
        found = cls(np.zeros(3), np.zeros((3, 3)), np.array([1.0, 0.0, 0.0]), 0.0)
        n = max(1, sum(int(np.count_nonzero(part.series == series)) for part in stretches))
        centre = sum(float(part.mean[part.series == series].sum()) for part in stretches) / n
        for part in stretches:
            mine = part.series == series
            values = np.where(mine, part.mean - centre, 0.0)  # the rest of the mean is a bias
            slopes = np.zeros(len(mine)) if part.slope is None else np.where(mine & np.isfinite(part.slope), -part.slope, 0.0)
            columns = np.column_stack([mine.astype(np.float64), values, slopes])
            scores, added = part.pull(columns)
            found = cls(
                found.score + scores - np.array([0.0, np.nansum(part.leverage[mine]), 0.0]),
                found.information + added,
                found.spread + np.array([0.0, values @ values, slopes @ slopes]) / n,
                found.direct + float((1 / part.variance[mine]).sum()),
            )
        return found
