"""The x of a periodic curve: moved by whole periods to the first one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._validation import FloatArray
from ..errors import DataError
from ..observations.abscissa import Points

PHASE_ROUNDING, MOST_ROUNDED = 16.0, 1e3  # units of rounding of x that a phase is right to, and of these in a period


def distances(x: Points, origin: Points) -> FloatArray:
    """Distance of each x (n,) beyond one point."""
    return x.minus(origin.take(np.zeros(len(x.coarse), np.int64)))


@dataclass(frozen=True, eq=False)
class Phases:
    """Phases of `points` within a period that begins at the first of them."""

    points: Points
    period: float

    @cached_property
    def first(self) -> Points:
        """The first x, as one point."""
        return self.points.take(np.argsort(self.points.keys, kind="stable")[:1])

    @cached_property
    def rounding(self) -> float:
        """What rounding of x may move a phase by."""
        coarse = self.points.coarse
        return PHASE_ROUNDING * float(np.finfo(float).eps * (np.ptp(coarse) + np.abs(self.first.coarse[0])))

    @cached_property
    def distinct(self) -> FloatArray:
        """Distinct phases of the points, increasing."""
        if self.period < MOST_ROUNDED * self.rounding:
            raise DataError(
                f"period is {self.period:g}, which rounding of x hides: its numbers are right to {self.rounding:.1e}; check "
                "the unit of the period, or use another origin of x"
            )
        phases = np.unique(self.of(self.points))
        phases = phases[np.diff(phases, prepend=-np.inf) > self.rounding]
        if len(phases) < 2:
            raise DataError(
                f"all {len(self.points.coarse)} x are whole periods of {self.period:g} apart, so that the "
                "curve within a period is not identified; check the period and its unit, or fit a constant"
            )
        return phases

    def of(self, x: Points) -> FloatArray:
        """Distance of each x from the first, less whole periods."""
        phase = np.mod(distances(x, self.first), self.period)
        return np.asarray(np.where(phase >= self.period - self.rounding, 0.0, phase))

    def folded(self, x: Points) -> FloatArray:
        """Phases of x; those within rounding of a place that is observed, at it."""
        phase, known = self.of(x), self.distinct
        place = np.searchsorted(known, phase - self.rounding)
        nearest = known[np.minimum(place, len(known) - 1)]
        return np.where(np.abs(nearest - phase) <= self.rounding, nearest, phase)
