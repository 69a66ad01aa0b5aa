"""Limits of difference quotients as the step goes to zero, with an error, whatever the scale of the function.

Estimates A(h) = A(0) + c h^p + ... at falling steps h are extrapolated by Neville's scheme (Richardson 1911; Ridders 1982).
The scale on which f varies is not known, so the steps span many powers of two, and those which are too long give
nonsense, sometimes very consistent nonsense. Each step therefore yields an interval, value ± error, and the best interval is
sought among those that every shorter step agrees with (Lepski 1990).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._validation import FloatArray

DEPTH = 7  # columns of the scheme
AGREEMENT = 5.0  # intervals are this many times wider where they are compared
UNKNOWN = 1e-3  # relative error
MARGIN = 2.0  # of rounding
REPORTED = 3.5  # of the reported error


class Limit(NamedTuple):
    """Limits and bounds of their errors (infinite if nothing is known)."""

    value: FloatArray
    error: FloatArray


def extrapolate(estimates: FloatArray, noise: FloatArray, steps: FloatArray, power: int) -> Limit:
    """Extrapolate estimates (K, ...) at falling steps (K, ...) to step zero.

    `noise` (K, ...) bounds the rounding error of each estimate; the estimates' error is a series in steps**power. Estimates that
    are not finite are passed over.
    """
    estimates = np.where(np.isfinite(estimates), estimates, np.nan)
    with np.errstate(all="ignore"):
        value, error = _intervals(estimates, noise, steps, power)
        return _best_consistent(value, error, noise)


def _intervals(estimates: FloatArray, noise: FloatArray, steps: FloatArray, power: int) -> tuple[FloatArray, FloatArray]:
    """Value and error of each row of the scheme: of its column with the smallest error."""
    value = estimates.copy()
    error = np.full(estimates.shape, np.inf)
    error[1:] = np.abs(estimates[1:] - estimates[:-1]) + MARGIN * noise[1:]
    column, rounding = estimates, noise
    for j in range(1, min(DEPTH, len(estimates) - 1) + 1):
        ratio = (steps[:-j] / steps[j:]) ** power
        better = column[1:] + (column[1:] - column[:-1]) / (ratio - 1)
        rounding = (ratio * rounding[1:] + rounding[:-1]) / (ratio - 1)
        spread = np.maximum(np.abs(better - column[1:]), np.abs(better - column[:-1])) + MARGIN * rounding
        improves = spread < error[j:]  # false where an estimate is missing
        value[j:][improves] = better[improves]
        error[j:][improves] = spread[improves]
        column = better
    error[np.isnan(error) | np.isnan(value)] = np.inf
    return value, error


def _best_consistent(value: FloatArray, error: FloatArray, noise: FloatArray) -> Limit:
    """Interval with the smallest error among those that overlap all of shorter steps."""
    known = np.isfinite(error)
    lower = np.where(known, value - AGREEMENT * error, -np.inf)
    upper = np.where(known, value + AGREEMENT * error, np.inf)
    agree = np.maximum.accumulate(lower[::-1])[::-1] <= np.minimum.accumulate(upper[::-1])[::-1]
    row = np.argmin(np.where(agree, error, np.inf), axis=0)[None]
    best, spread = np.take_along_axis(value, row, 0)[0], REPORTED * np.take_along_axis(error, row, 0)[0]
    # where hardly a digit is known, the quotients may diverge: then the error is how far they go, rounding apart
    is_shorter = np.arange(len(value)).reshape(-1, *[1] * (value.ndim - 1)) >= row
    far = np.where(is_shorter & known, np.abs(value - best) - AGREEMENT * noise, 0.0).max(axis=0)
    return Limit(best, np.where(spread > UNKNOWN * np.abs(best), np.maximum(spread, far), spread))
