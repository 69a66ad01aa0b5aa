"""Functionals of a curve in terms of the state of its processes: values, integrals and differences, observed or asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..observations.abscissa import Points

VALUE, INTEGRAL, DIFFERENCE = 0, 1, 2
COLUMNS = ("kind", "process", "effects", "y", "ratio", "group", "offset")  # arrays of functionals beside their points


@dataclass(frozen=True, eq=False)
class Functionals:
    """Functionals of the state: row i is a combination of the processes at `end`, or over the interval from `start` to `end`.

    Attributes
    ----------
    start, end : Points, n values of x
    kind : ndarray of int, shape (n,)
        `VALUE`, `INTEGRAL` of f, `DIFFERENCE` of f.
    process : ndarray, shape (n, D)
        Row of the processes at `end`, beside an integral.
    effects : ndarray, shape (n, p)
        Design of the coefficients.
    y, ratio, group : ndarray, shape (n,)
        Observation (NaN where one is asked for), variance ratio, variance group.
    offset : ndarray, shape (n,)
        Known variance beside that of the group.
    """

    start: Points
    end: Points
    kind: npt.NDArray[np.int8]
    process: FloatArray
    effects: FloatArray
    y: FloatArray
    ratio: FloatArray
    group: npt.NDArray[np.uint8]
    offset: FloatArray

    def __len__(self) -> int:
        return len(self.y)

    def noise(self, variance: FloatArray) -> FloatArray:
        """Variance (n,) of the noise, at variances of the groups."""
        return self.ratio * variance[self.group] + self.offset

    @classmethod
    def join(cls, parts: Sequence[Functionals]) -> Functionals:

        def column(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts])

        def points(name: str) -> Points:
            return Points.join([getattr(part, name) for part in parts])

        return cls(points("start"), points("end"), **{name: column(name) for name in COLUMNS})

    def take(self, keep: npt.NDArray[np.bool_]) -> Functionals:
        return Functionals(self.start.take(keep), self.end.take(keep), **{name: getattr(self, name)[keep] for name in COLUMNS})
