"""Crossings and extrema of a fitted curve, with uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, shown
from ..errors import SpecificationError
from ..observations.abscissa import Points
from .protocols import Posterior

if TYPE_CHECKING:
    import pandas as pd

FEWEST_CELLS = 2000  # in which the band is searched for the value
HALVINGS = 60
SLOPE = 1e-3  # of a cell: half the width of a difference


def crossings(curve: Posterior, deriv: int, value: float, alpha: float) -> pd.DataFrame:
    """Where f^(deriv) = value; see `CurveResults.roots`."""
    import pandas as pd

    x, slope = _zeros(curve, deriv, value)
    se = np.sqrt(curve.moments(Points(x), deriv)[1]) / np.abs(slope)
    lower, upper = _interval(curve, deriv, value, x, np.sign(slope), alpha)
    abscissa = curve.observations.abscissa
    limits: dict[str, Any] = {}
    for name, ends in (("ci_lower", lower), ("ci_upper", upper)):
        finite = np.isfinite(ends)
        if abscissa.kind == "number":
            limits[name] = np.where(finite, abscissa.restore(np.where(finite, ends, 0.0)), ends)
        else:
            times = abscissa.restore(np.where(finite, ends, 0.0))
            times[~finite] = np.timedelta64("NaT", "ns") if abscissa.kind == "timedelta" else np.datetime64("NaT", "ns")
            limits[name] = abscissa.shown(times)
    return pd.DataFrame(
        {"x": abscissa.shown(abscissa.restore(x)), "se": se, **limits, "direction": np.sign(slope).astype(np.int64)}
    )


def extrema(curve: Posterior, deriv: int, alpha: float) -> pd.DataFrame:
    """Extrema of f^(deriv); see `CurveResults.extrema`."""
    frame = crossings(curve, deriv + 1, 0.0, alpha)
    mean, variance = curve.moments(Points(_zeros(curve, deriv + 1, 0.0)[0]), deriv)
    frame["kind"] = np.where(frame.pop("direction") < 0, "maximum", "minimum")
    return frame.assign(value=mean, value_se=np.sqrt(variance))


def _zeros(curve: Posterior, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
    """Crossings of the mean, as numbers, and its slopes there."""
    if np.ndim(value) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise SpecificationError(f"value is {shown(value)}; pass a finite number")
    x, slope = curve.mean_crossings(deriv, value)
    crossing = slope != 0  # a touch is none
    return x[crossing], slope[crossing]


def cells(curve: Posterior) -> FloatArray:
    """Borders of cells between the observations, and to the ends of the range in which crossings are found, increasing."""
    nodes = np.unique(np.concatenate([curve.observations.places, curve.range]))
    parts = max(1, -(-FEWEST_CELLS // max(1, len(nodes) - 1)))
    grid = np.unique((nodes[:-1, None] + np.diff(nodes)[:, None] * np.arange(parts) / parts).ravel())
    return np.append(grid, nodes[-1])


def crossings_on_grid(curve: Posterior, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
    """Crossings of a mean that is no spline, one at most in each cell, and its slopes there.

    The slope of the highest derivative is a difference.
    """
    grid = cells(curve)
    above = curve.moments(Points(grid), deriv)[0] > value
    start = np.flatnonzero(above[1:] != above[:-1])
    way = np.where(above[start + 1], 1.0, -1.0)

    def is_before(x: FloatArray) -> npt.NDArray[np.bool_]:
        return np.asarray((curve.moments(Points(x), deriv)[0] > value) == (way < 0))

    x = _bisect(is_before, grid[start], grid[start + 1])
    if deriv < curve.highest_derivative:
        slope = curve.moments(Points(x), deriv + 1)[0]
    else:
        low, high = (np.clip(x + side * SLOPE * (grid[start + 1] - grid[start]), grid[0], grid[-1]) for side in (-1, 1))
        slope = (curve.moments(Points(high), deriv)[0] - curve.moments(Points(low), deriv)[0]) / (high - low)
    return x[slope * way > 0], slope[slope * way > 0]


def _interval(
    curve: Posterior, deriv: int, value: float, x: FloatArray, direction: FloatArray, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """The nearest points on both sides of x at which the band excludes the value; infinite if there is none."""
    grid = cells(curve)
    band = curve.predict(Points(grid), grid, deriv)
    known = band.se_mean > 0  # nothing of what an equality fixes is uncertain
    limits = band.conf_int(alpha=alpha)
    ratios = [
        np.divide(width, band.se_mean, out=np.zeros(len(grid)), where=known)  # varies slowly
        for width in (band.predicted_mean - limits[:, 0], limits[:, 1] - band.predicted_mean)
    ]

    def is_beyond(at: FloatArray, way: float) -> npt.NDArray[np.bool_]:
        """Whether the band lies above the value (way is 1) or below it (-1)."""
        mean, variance = curve.moments(Points(at), deriv)
        sd = np.sqrt(variance)
        if way > 0:
            return np.asarray(mean - np.interp(at, grid, ratios[0]) * sd > value)
        return np.asarray(mean + np.interp(at, grid, ratios[1]) * sd < value)

    beyond_of = {way: is_beyond(grid, way) for way in (-1.0, 1.0)}
    place = np.searchsorted(grid, x)  # of the first cell border at or beyond x
    ends = []
    for side in (-1, 1):  # below x the curve is at -direction, beyond it at +direction
        limit = np.full(len(x), side * np.inf)
        for way in (-1.0, 1.0):
            mine = direction == way
            beyond = beyond_of[way * side]
            if side < 0:
                last = np.maximum.accumulate(np.where(beyond, np.arange(len(grid)), -1))
                outer = np.where(place[mine] > 0, last[np.maximum(place[mine] - 1, 0)], -1)
                found = outer >= 0
            else:
                ahead = np.where(beyond, np.arange(len(grid)), len(grid))
                following = np.append(np.minimum.accumulate(ahead[::-1])[::-1], len(grid))
                outer = following[place[mine]]
                found = outer < len(grid)
            inner = outer[found] - side
            start = np.where((grid[inner] - x[mine][found]) * side < 0, x[mine][found], grid[inner])
            target: npt.NDArray[np.float64] = np.full(int(mine.sum()), side * np.inf)
            is_inside = partial(_is_within, is_beyond, way * side)
            target[found] = _bisect(is_inside, start, grid[outer[found]])
            limit[mine] = target
        ends.append(limit)
    return ends[0], ends[1]


def _is_within(is_beyond: Callable[[FloatArray, float], npt.NDArray[np.bool_]], way: float, x: FloatArray) -> npt.NDArray[np.bool_]:
    return ~is_beyond(x, way)


def _bisect(is_inside: Callable[[FloatArray], npt.NDArray[np.bool_]], inside: FloatArray, outside: FloatArray) -> FloatArray:
    """Borders between points where a condition holds and points where it does not."""
    for _ in range(HALVINGS if len(inside) else 0):
        middle = inside + (outside - inside) / 2
        holds = is_inside(middle)
        inside, outside = np.where(holds, middle, inside), np.where(holds, outside, middle)
    return outside
