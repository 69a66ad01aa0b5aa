"""Limits of intervals under constraints: bounds, and what intervals elsewhere imply where a constraint makes a curve monotone.

If f^(k) does not fall from x' to x, the event f^(k)(x) < L is part of the event f^(k)(x') < L. So the largest lower end to the
left of x, of intervals that ignore the constraint, is also one at x, with the same probability below it at most; likewise the
smallest upper end to the right. Pointwise intervals are compared on a fixed grid, so that none depends on where others are asked
for, and simultaneous bands with themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..results.prediction import CurvePrediction
from .constraints import Constraint, limits_of
from .fit import Fit

PER_PIECE = 4  # points of the grid between neighbouring breaks

Signs = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Limits:
    """Limits of intervals of f^(deriv) at x.

    Parameters
    ----------
    x : ndarray, shape (n,)
    bounds : ndarray, shape (n, 2)
        Those of the constraints at x, infinite if there is none.
    slopes : ndarray of int, shape (m - 1,)
        1 if f^(deriv) does not fall in a cell of the grid, -1 if it does not rise, 0 if either is possible.
    grid : CurvePrediction or None
        f^(deriv) on a grid of m points; None if it is monotone nowhere.
    """

    x: FloatArray
    bounds: FloatArray
    slopes: Signs
    grid: CurvePrediction | None

    @classmethod
    def of(
        cls, fit: Fit, domain: tuple[float, float], x: FloatArray, deriv: int, predict: Callable[[FloatArray], CurvePrediction]
    ) -> Limits | None:
        """Limits at x for intervals that `predict` gives without regard to the constraints; None if there is none."""
        constraints, polynomials = fit.specification.constraints, fit.polynomials
        bounds, shares = limits_of(constraints, deriv, x, domain), np.linspace(0, 1, PER_PIECE + 1)
        points = [np.outer(1 - shares, p.lower) + np.outer(shares, p.upper) for p in polynomials]
        grid = np.unique(np.concatenate([np.empty(0), *(part.ravel() for part in points)]))
        slopes = slopes_of(constraints, deriv, grid, domain)
        is_monotone = bool(slopes.any()) and len(x) > 0
        if not is_monotone and not np.isfinite(bounds).any():
            return None
        return cls(x, bounds, slopes, predict(grid) if is_monotone else None)

    def within(self, ends: FloatArray, alpha: float, *, obs: bool = False, simultaneous: bool = False) -> FloatArray:
        """Intervals (n, 2) of level 1 - alpha brought within the limits, of new observations if `obs`."""
        found = ends.copy() if obs else np.clip(ends, self.bounds[:, :1], self.bounds[:, 1:])
        if self.grid is None:
            return found
        inside = np.flatnonzero((self.grid.x[0] <= self.x) & (self.x <= self.grid.x[-1]))
        if simultaneous:
            inside = inside[np.argsort(self.x[inside])]
        lower, upper = found[inside].T
        cell = np.clip(np.searchsorted(self.grid.x, self.x[inside], side="right") - 1, 0, len(self.slopes) - 1)
        if simultaneous:
            lower, upper = compared(lower, upper, self._between(cell))
        else:
            low, high = self.grid.conf_int(obs, alpha).T
            least, most = compared(low, high, self.slopes)
            rises, falls = self.slopes[cell] == 1, self.slopes[cell] == -1
            lower = np.maximum(lower, np.select([rises, falls], [least[cell], least[cell + 1]], -np.inf))
            upper = np.minimum(upper, np.select([rises, falls], [most[cell + 1], most[cell]], np.inf))
        found[inside] = np.column_stack([lower, upper])
        return found

    def _between(self, cell: npt.NDArray[np.intp]) -> Signs:
        """Sign of the slope from each point to the next, of points in these cells (n,), which increase."""
        found = np.zeros(max(len(cell) - 1, 0), np.int8)
        for sign in (1, -1):
            others = np.concatenate([[0], np.cumsum(self.slopes != sign)])
            found[others[cell[1:] + 1] == others[cell[:-1]]] = sign
        return found


def slopes_of(constraints: Sequence[Constraint], deriv: int, x: FloatArray, domain: tuple[float, float]) -> Signs:
    """Sign of the slope of f^(deriv) between neighbouring x, by one constraint at both; zero if none has one."""
    found = np.zeros(max(len(x) - 1, 0), np.int8)
    for constraint in constraints:
        lower, upper = limits_of([constraint], deriv + 1, x, domain).T
        rises, falls = lower >= 0, upper <= 0
        found[rises[:-1] & rises[1:]] = 1
        found[falls[:-1] & falls[1:]] = -1
    return found


def compared(lower: FloatArray, upper: FloatArray, slopes: Signs) -> tuple[FloatArray, FloatArray]:
    """Ends (m,) of intervals at neighbouring points, improved by each other as far as slopes (m - 1,) have one sign."""
    rises, falls = slopes == 1, slopes == -1
    least = np.maximum(largest_before(lower, rises), largest_before(lower[::-1], falls[::-1])[::-1])
    most = np.minimum(-largest_before(-upper[::-1], rises[::-1])[::-1], -largest_before(-upper, falls))
    return least, most


def largest_before(values: FloatArray, joined: npt.NDArray[np.bool_]) -> FloatArray:
    """The largest of values (m,) at each place and before it, as far as places are joined (m - 1,) to the next."""
    found = values.copy()
    for start, end in pairwise(np.flatnonzero(np.concatenate([[True], ~joined, [True]]))):
        found[start:end] = np.maximum.accumulate(values[start:end])
    return found
