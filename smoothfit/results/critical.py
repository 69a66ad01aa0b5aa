"""Crossings and extrema of a fitted curve, with uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validation import EPS, FloatArray, shown
from ..errors import SpecificationError
from ..observations.abscissa import Points
from .protocols import Posterior

if TYPE_CHECKING:
    import pandas as pd

FEWEST_CELLS = 2000  # in which the band is searched for the value
WAYS = (-1.0, 1.0)  # below and above
SLOPE = 1e-3  # of a cell: half the width of a difference


def crossings(curve: Posterior, deriv: int, value: float, alpha: float) -> pd.DataFrame:
    """Where f^(deriv) = value; see `CurveResults.roots`."""
    return _located(curve, deriv, value, alpha, *_zeros(curve, deriv, value))


def extrema(curve: Posterior, deriv: int, alpha: float) -> pd.DataFrame:
    """Extrema of f^(deriv); see `CurveResults.extrema`."""
    x, slope = _zeros(curve, deriv + 1, 0.0)
    frame = _located(curve, deriv + 1, 0.0, alpha, x, slope)
    mean, variance = curve.moments(Points(x), deriv)
    frame["kind"] = np.where(frame.pop("direction") < 0, "maximum", "minimum")
    return frame.assign(value=mean, value_se=np.sqrt(variance))


def _located(curve: Posterior, deriv: int, value: float, alpha: float, x: FloatArray, slope: FloatArray) -> pd.DataFrame:
    """Table of crossings with standard errors and intervals, in the x of the observations."""
    import pandas as pd

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

    The slope of the highest derivative, and at a jump of a constant, is a difference.
    """
    grid = cells(curve)
    above = curve.moments(Points(grid), deriv)[0] > value
    start = np.flatnonzero(above[1:] != above[:-1])
    way = np.where(above[start + 1], 1.0, -1.0)

    def beyond(x: FloatArray, way: FloatArray) -> FloatArray:
        return way * (curve.moments(Points(x), deriv)[0] - value)

    x = border(beyond, grid[start], grid[start + 1], way)
    slope = np.array(curve.moments(Points(x), deriv + 1)[0] if deriv < curve.highest_derivative else np.zeros(len(x)))
    if (jumps := np.flatnonzero(slope == 0)).size:
        at, step = x[jumps], SLOPE * (grid[start + 1] - grid[start])[jumps]
        low, high = np.clip(at - step, grid[0], grid[-1]), np.clip(at + step, grid[0], grid[-1])
        slope[jumps] = (curve.moments(Points(high), deriv)[0] - curve.moments(Points(low), deriv)[0]) / (high - low)
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

    def beyond(at: FloatArray, *ways: Any) -> list[FloatArray]:
        """How far the band lies above the value (way is 1) or below it (-1); not positive where it holds the value."""
        mean, variance = curve.moments(Points(at), deriv)
        sd, sides = np.sqrt(variance), [np.interp(at, grid, ratio) for ratio in ratios]
        return [way * (mean - value) - np.where(way > 0, *sides) * sd for way in ways]

    outer_of = dict(zip(WAYS, map(np.flatnonzero, np.array(beyond(grid, *WAYS)) > 0), strict=True))
    place = np.searchsorted(grid, x)  # of the first cell border at or beyond x
    ends, sides = np.concatenate([np.full(len(x), -np.inf), np.full(len(x), np.inf)]), np.repeat([-1, 1], len(x))
    ways, outer = sides * np.tile(direction, 2), np.full(2 * len(x), -1)  # below x the curve is at -direction
    for way, borders in outer_of.items():
        own = np.flatnonzero(ways == way)
        rank = np.searchsorted(borders, place[own % max(len(x), 1)]) - (sides[own] < 0)
        exists = (rank >= 0) & (rank < len(borders))
        outer[own[exists]] = borders[rank[exists]]
    found = np.flatnonzero(outer >= 0)
    outer, sides, ways, own_x = outer[found], sides[found], ways[found], np.tile(x, 2)[found]
    inner = grid[outer - sides]
    inside = np.where((inner - own_x) * sides < 0, own_x, inner)
    ends[found] = border(lambda at, way: beyond(at, way)[0], inside, grid[outer], ways)
    return ends[: len(x)], ends[len(x) :]


def border(beyond: Callable[..., Any], inside: FloatArray, outside: FloatArray, *ways: FloatArray) -> FloatArray:
    """Borders between points where a function is not positive and points where it is, all at once.

    `ways` are further arguments of the function, one for each border. An end at which it has the sign of the other one, being zero
    to rounding, is the border.
    """
    from scipy.optimize import elementwise

    if not len(inside):
        return outside
    closest = EPS * float(np.abs(outside - inside).min())
    found = elementwise.find_root(beyond, (inside, outside), args=ways, tolerances={"xatol": closest, "xrtol": EPS})
    (low, high), (at_low, at_high) = found.bracket, found.f_bracket
    x = np.where(found.f_x >= 0, found.x, np.where(at_high > 0, high, low))
    return np.where(found.success, x, np.where(at_low > 0, inside, outside))  # without success there was no change of sign
