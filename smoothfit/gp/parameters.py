"""What is estimated: logarithms of the amplitude, the length scales and the noise SDs, and how a covariance follows from them.

The search moves in a vector theta, which holds, as far as they are free and in scaled units,

    log amplitude,   log length scale of each input (or of all),   log (SD / size) of each series with unknown noise SD.

The size is the amplitude for observations of f, and amplitude / length scale for slopes: noise counts relative to the prior's own
variance of what is observed, so that a bound on it bounds the condition of the covariance. The logarithms of the hyperparameters
themselves are ``to_logs() @ theta + offset``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._validation import FloatArray
from .kernels import Kernel
from .points import VALUE
from .rows import Rows
from .terms import ALL

LEAST_RATIO = 2.0**-17  # of a noise SD to the amplitude: a variance ratio of 6e-11, some 1e5 above rounding
MOST_RATIO = 2.0**10
NO_INFLUENCE = 2.0**10  # length scale of one of several inputs, in its ranges: f does not change along it
LONGEST = 2.0**4  # length scale of all inputs, in ranges: f is a polynomial or a spline, only its amplitude still grows
SHORTEST = 2.0**-20
AMPLITUDES = (2.0**-12, 2.0**20)  # in units of the observations' spread


class Values(NamedTuple):
    """Hyperparameters in scaled units: amplitude, lengths (d,), unknown noise variances (n_groups,); of L of them (L, ...)."""

    amplitude: Any
    length: FloatArray
    sigma2: FloatArray


@dataclass(frozen=True, eq=False)
class Parameters:
    """Layout of theta.

    Attributes
    ----------
    amplitude : float or None
        Known amplitude; None if it is free, and theta[0] its logarithm.
    length : tuple of float or None
        Known length scales.
    by : tuple of int
        What each free length scale belongs to: an input, or ALL.
    group_axis : tuple of int
        What each series with an unknown noise SD observes: an input's slope, or f (-1); of several, the first.
    profiled : bool
        Whether every variance scales with a free amplitude, whose best value then follows from the rest.
    """

    amplitude: float | None
    length: tuple[float | None, ...]
    by: tuple[int, ...]
    group_axis: tuple[int, ...]
    profiled: bool

    @classmethod
    def of(cls, rows: Rows, kernel: Kernel) -> Parameters:
        """Lay out what a kernel leaves open."""
        d = len(rows.x_unit)
        given = kernel.length_scales(d)
        length = tuple(None if s is None else s / unit for s, unit in zip(given, rows.x_unit.tolist(), strict=True))
        free = tuple(j for j, s in enumerate(length) if s is None)
        by = free if kernel.ard or not free else (ALL,)
        amplitude = None if kernel.amplitude is None else kernel.amplitude / rows.y_unit
        group_axis = tuple(int(rows.axis[np.argmax(rows.group == g)]) for g in range(len(rows.unknown)))
        has_known_noise = bool((rows.ratio[rows.group < 0] > 0).any())
        return cls(amplitude, length, by, group_axis, amplitude is None and not has_known_noise)

    @property
    def n_free(self) -> int:
        """Length of theta."""
        return (self.amplitude is None) + len(self.by) + self.n_groups

    @property
    def n_groups(self) -> int:
        """Number of unknown noise SDs."""
        return len(self.group_axis)

    @property
    def lengths(self) -> slice:
        """Where theta holds log length scales."""
        start = int(self.amplitude is None)
        return slice(start, start + len(self.by))

    @property
    def ratios(self) -> slice:
        """Where theta holds log noise ratios."""
        return slice(self.lengths.stop, self.n_free)

    @cached_property
    def to_logs(self) -> FloatArray:
        """Matrix that turns theta into logarithms of the hyperparameters, less `offset`."""
        matrix = np.eye(self.n_free)
        for row, axis in zip(range(*self.ratios.indices(self.n_free)), self.group_axis, strict=True):
            if self.amplitude is None:
                matrix[row, 0] = 1.0
            for column, j in zip(range(*self.lengths.indices(self.n_free)), self.by, strict=True):
                if axis != VALUE and j in (axis, ALL):
                    matrix[row, column] = -1.0
        return matrix

    @cached_property
    def offset(self) -> FloatArray:
        """What known hyperparameters add to the logarithms of the SDs."""
        offset = np.zeros(self.n_free)
        for row, axis in zip(range(*self.ratios.indices(self.n_free)), self.group_axis, strict=True):
            known = None if axis == VALUE else self.length[axis]
            offset[row] = np.log(self.amplitude or 1.0) - np.log(known or 1.0)
        return offset

    def values(self, theta: FloatArray) -> Values:
        """Return the hyperparameters at theta (n_free,), which may be complex, or at many (L, n_free)."""
        logs = theta @ self.to_logs.T + self.offset
        amplitude: Any = np.exp(logs[..., 0]) if self.amplitude is None else np.full(theta.shape[:-1], self.amplitude)[()]
        length = np.empty((*theta.shape[:-1], len(self.length)), dtype=theta.dtype)
        length[:] = [1.0 if s is None else s for s in self.length]
        for i, j in enumerate(self.by, self.lengths.start):
            length[..., slice(None) if j == ALL else j] = np.exp(logs[..., i, None] if j == ALL else logs[..., i])
        return Values(amplitude, length, np.exp(2 * logs[..., self.ratios]))

    def bounds(self, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds of theta."""
        lower, upper = np.empty(self.n_free), np.empty(self.n_free)
        if self.amplitude is None:
            lower[0], upper[0] = np.log(AMPLITUDES)
        for i, j in zip(range(*self.lengths.indices(self.n_free)), self.by, strict=True):
            lower[i], upper[i] = np.log(_length_bounds(rows, j))
        lower[self.ratios] = np.log(LEAST_RATIO)
        upper[self.ratios] = np.log(MOST_RATIO) + max(0.0, -np.log(self.amplitude or 1.0))
        return lower, upper

    def starts(self, rows: Rows) -> FloatArray:
        """Grid of starts: length scales as fractions of the ranges, noise as fractions of f: (n_fractions, n_noises, n_free)."""
        fractions = np.array([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0]) if self.by else np.ones(1)
        d = len(rows.x_unit)
        fractions = np.minimum(fractions * np.sqrt(d), 4.0)
        noises = np.array([0.01, 0.1, 0.7]) if self.n_groups else np.ones(1)
        starts = np.empty((len(fractions), len(noises), self.n_free))
        for a, fraction in enumerate(fractions):
            for b, noise in enumerate(noises):
                theta = starts[a, b]
                if self.amplitude is None:
                    theta[0] = 0.0
                ranges = np.where(rows.x_range > 0, rows.x_range, 1.0)
                per_input = [fraction * r if s is None else s for r, s in zip(ranges, self.length, strict=True)]
                if ALL in self.by:
                    per_input = [fraction * float(ranges.max())] * d
                theta[self.lengths] = [np.log(per_input[0 if j == ALL else j]) for j in self.by]
                theta[self.ratios] = np.log(noise / (self.amplitude or 1.0))
        return starts


def _length_bounds(rows: Rows, j: int) -> tuple[float, float]:
    """Shortest and longest length scale worth a try: a part of the smallest gap, and many ranges."""
    inputs = range(rows.X.shape[1]) if j == ALL else (j,)
    gaps, ranges = [], []
    for i in inputs:
        gap = np.diff(np.unique(rows.X[:, i]))
        gaps.append(float(gap.min(initial=np.inf)))
        ranges.append(float(rows.x_range[i]))
    longest = max(ranges)
    most = LONGEST if j == ALL or rows.X.shape[1] == 1 else NO_INFLUENCE
    return max(min(gaps) / 8, SHORTEST * longest), most * longest
