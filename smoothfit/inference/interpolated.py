"""A log prior density that is computed at some points and interpolated at the others.

Jeffreys' prior costs an information matrix at each point, which may take many passes through the observations, and varies slowly:
of the logarithms of sizes it has the scale of one, whatever the scale of the posterior. Points are computed in rounds, each the
points farthest from all that were computed before; they are interpolated by cubic radial basis functions with a linear trend (M.
Buhmann 2003, *Radial Basis Functions*), which continue linearly. The first round of which the interpolant, made without it, was
right to `ERROR` ends the rounds: all other points are then interpolated, and from then on all points within half of the distance
at which it was right, until it is wrong at such a distance. Where the posterior density is below exp(-CUT) of its
height nothing is computed. Where only the highest of many points is looked for, which a search then climbs from, the interpolant
need be right to `ROUGH` alone; both errors share the computed points (`KnownPoints`).

Tails of intervals change by about as large a fraction of themselves, as by the nodes of negligible weight that are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

from .._validation import FloatArray

Prior = Callable[[FloatArray, FloatArray], FloatArray]  # log prior (L,) at theta (L, p), beside the log likelihood (L,)
ERROR, ROUGH = 0.01, 0.5  # of a log density: nodes, and the start of a search
CUT = 9.0  # fall of the log density beyond which it is not computed
FEWEST, ROUND = 6, 2  # points that are interpolated at least, and points of a round, in units of the number of variables
LEAST = 1e-3  # distance in logarithms of sizes at which points are one
ALIKE = 1e-3  # fraction by which distances differ that count as one: rounding, as of other units, does not choose between points


class KnownPoints:
    """Points (n, p) at which a log prior density was computed, with their values (n,), and the interpolant of these."""

    def __init__(self, p: int):
        self.points, self.values = np.empty((0, p)), np.empty(0)
        self._spans = False
        self._interpolant: Callable[[FloatArray], FloatArray] | None = None

    def copy(self) -> KnownPoints:
        """The same points; what is added to either is not added to the other."""
        return copy(self)

    def guess(self, theta: FloatArray) -> FloatArray:
        """Interpolated values (L,); NaN but at known points if these are too few."""
        if not self._is_enough():
            apart = self._distances(theta)
            is_known = apart.min(axis=1, initial=np.inf) <= LEAST
            found = np.full(len(theta), np.nan)
            found[is_known] = self.values[apart[is_known].argmin(axis=1)] if len(self.values) else np.nan
            return found
        centre = self.points.mean(axis=0)
        if self._interpolant is None:
            self._interpolant = RBFInterpolator(self.points - centre, self.values, kernel="cubic", degree=1)
        return np.asarray(self._interpolant(theta - centre))

    def nearest(self, theta: FloatArray) -> FloatArray:
        """Distances (L,) of theta (L, p) from the nearest of the points."""
        return np.asarray(self._distances(theta).min(axis=1, initial=np.inf))

    def add(self, theta: FloatArray, values: FloatArray) -> None:
        """Take what was computed at theta (L, p), but where the density is zero or cannot be computed."""
        known, self._interpolant = np.isfinite(values), None
        self.points, self.values = np.vstack([self.points, theta[known]]), np.append(self.values, values[known])

    def _is_enough(self) -> bool:
        """Whether the points determine a linear trend, with points to spare; it stays so."""
        n, p = self.points.shape
        if not self._spans and n >= FEWEST * p:
            self._spans = bool(np.linalg.matrix_rank(self.points - self.points.mean(axis=0)) == p)
        return self._spans

    def _distances(self, theta: FloatArray) -> FloatArray:
        """Of theta (L, p) from the points, (L, n)."""
        return np.asarray(np.linalg.norm(theta[:, None] - self.points, axis=2))


class InterpolatedPrior:
    """The log of a prior density, where it is asked for, right to `error`; it is computed by `exact`, and added to `known`."""

    def __init__(self, exact: Prior, known: KnownPoints, error: float = ERROR):
        self.exact, self.known, self.error = exact, known, error
        self.highest = -np.inf  # of the log posterior density
        self._reach = LEAST  # distance from known points within which others are not computed

    def __call__(self, theta: FloatArray, log_likelihood: FloatArray) -> FloatArray:
        """Log prior density (L,) at theta (L, p)."""
        found, left = np.full(len(theta), np.nan), np.arange(len(theta))
        while len(left):
            guess = self.known.guess(theta[left])
            height = log_likelihood[left] + guess
            self.highest = max(self.highest, float(np.nanmax(height, initial=-np.inf)))
            matter = np.flatnonzero(~(height < self.highest - CUT))
            chosen = matter[self._farthest(theta[left[matter]])]
            if not len(chosen):
                found[left] = guess
                break
            rows = left[chosen]
            found[rows] = values = self.exact(theta[rows], log_likelihood[rows])
            self.highest = max(self.highest, float(np.nanmax(log_likelihood[rows] + values, initial=-np.inf)))
            is_right, half = np.abs(values - guess[chosen]) < self.error, self.known.nearest(theta[rows]) / 2
            self.known.add(theta[rows], values)
            left = np.delete(left, chosen)
            self._reach = max(LEAST, min(self._reach, half[~is_right].min(initial=np.inf)))
            if is_right.all():
                self._reach = max(self._reach, half.max())
                found[left] = self.known.guess(theta[left])
                break
        return found

    def _farthest(self, theta: FloatArray) -> npt.NDArray[np.int64]:
        """Places of the points of the next round among theta (L, p): those farthest from known ones and from each other."""
        p = theta.shape[1]
        missing = FEWEST * p - len(self.known.points)
        apart = self.known.nearest(theta)
        chosen: list[int] = []
        while len(chosen) < min(max(ROUND * p, missing), len(theta)):
            place = int(np.argmax(apart >= (1 - ALIKE) * apart.max(initial=0.0)))
            if not apart[place] > self._reach:
                break
            chosen.append(place)
            apart = np.minimum(apart, np.linalg.norm(theta - theta[place], axis=1))
        return np.array(chosen, np.int64)
