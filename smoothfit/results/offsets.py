"""Whether a series is off the others by a constant or by a factor: scores of a bias and of a scale at the fit without them.

With y = L f + e and P = K^-1 - K^-1 X (X'K^-1 X)^-1 X'K^-1, K the covariance of y but for what is diffuse, X:

- a bias b of a series, y_i = L_i f + b + e_i, has at b = 0 the score c'P y and the information c'P c, c being one for the
  observations of the series and zero for others;
- a scale s, y_i = s L_i f + e_i, has at s = 1 the score m'P y - sum_i h_i over the series: m is the posterior mean of L_i f for its
  observations and zero for others, h_i are leverages, since E[L_i f (y_i - L_i f) | y] = m_i (y_i - m_i) - v_i h_i. Its information
  counts as that of the column m, less what the bias explains of it.

A score over its information is one step of Newton's method from a fit without bias or scale; over the root of it, it is N(0, 1)
under the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray

LEAST_TOLD = 1e-8  # of the information of a known curve: below, a bias is not identified


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
    """

    series: npt.NDArray[np.int64]
    mean: FloatArray
    leverage: FloatArray
    variance: FloatArray
    pull: Callable[[FloatArray], tuple[FloatArray, FloatArray]]


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
    """Biases and scales of several series, as far as the observations determine them."""
    found = []
    for k in range(n_series):
        score, information, direct, mean_square = np.zeros(2), np.zeros((2, 2)), 0.0, 0.0
        n = max(1, sum(int(np.count_nonzero(part.series == k)) for part in stretches))
        centre = sum(float(part.mean[part.series == k].sum()) for part in stretches) / n
        for part in stretches:
            mine = part.series == k
            column = np.where(mine, part.mean - centre, 0.0)  # the rest of the mean is a bias
            scores, told = part.pull(np.column_stack([mine.astype(np.float64), column]))
            score += scores - np.array([0.0, np.nansum(part.leverage[mine])])
            information += told
            direct += float((1 / part.variance[mine]).sum())
            mean_square += float(column @ column) / n
        bias = float(information[0, 0])
        if not bias > LEAST_TOLD * direct:
            continue
        found.append(Offset(k, "bias", float(score[0]) / bias, float(score[0]) / np.sqrt(bias), abs(float(score[0])) / bias))
        slope = float(information[1, 0]) / bias
        left, told_of_scale = float(score[1]) - slope * float(score[0]), float(information[1, 1]) - slope * float(information[1, 0])
        if told_of_scale > LEAST_TOLD * mean_square * direct:
            effect = left / told_of_scale
            found.append(Offset(k, "scale", effect, left / np.sqrt(told_of_scale), abs(effect) * np.sqrt(mean_square)))
    return found
