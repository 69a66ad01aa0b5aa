"""Readings as the kernels want them: sorted, in units in which numbers are of order one.

The units are powers of two, so that the change is exact: x is measured in `x_unit` (about the mean spacing) and f in
`y_unit` from `y_origin`. Rescaling the user's x by a power of two therefore leaves every number here unchanged, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import DataError
from ..observations import Observations

MOST_NAMES = 64  # of the kernels


@dataclass(frozen=True)
class Scale:
    """Units of the scaled rows: f = y_origin + y_unit * (scaled f), x = x_unit * (scaled x)."""

    x_unit: float
    y_unit: float
    y_origin: float

    def of(self, deriv: int) -> float:
        """Unit of f^(deriv)."""
        return float(np.ldexp(1.0, _exponent(self.y_unit) - deriv * _exponent(self.x_unit)))

    def units(self, order: int) -> FloatArray:
        """Units of f, f', ... below the order, shape (order,)."""
        return np.array([self.of(k) for k in range(order)])

    def intensity(self, order: int) -> float:
        """Unit of q, the white-noise intensity of f^(order)."""
        return float(np.ldexp(1.0, 2 * _exponent(self.y_unit) - (2 * order - 1) * _exponent(self.x_unit)))


@dataclass(frozen=True, eq=False)
class Rows:
    """Sorted and scaled readings; `arrays` is what the kernels take.

    Attributes
    ----------
    nodes : ndarray, shape (n_nodes,)
        Distinct abscissae, increasing, in the user's unit.
    sorter : ndarray, shape (n,), or None
        Position in the observations of each sorted row; None where the observations are sorted.
    delta, deriv, group, y, ratio : ndarray, shape (n,)
        Steps, orders, variance groups, readings and variance ratios of the sorted rows, scaled.
    scale : Scale
    unknown : tuple of str
        Names with an unknown sd, in the order of their groups; names with a given sd share the group after them.
    """

    nodes: FloatArray
    sorter: npt.NDArray[np.int64] | None
    delta: FloatArray
    deriv: npt.NDArray[np.uint8]
    group: npt.NDArray[np.uint8]
    y: FloatArray
    ratio: FloatArray
    scale: Scale
    unknown: tuple[str, ...]
    has_known: bool

    @classmethod
    def of(cls, observations: Observations) -> Rows:
        """Sort and scale observations."""
        readings = observations.readings
        x = observations.x
        if len(readings) >= MOST_NAMES:
            raise DataError(f"{len(readings)} names are too many; at most {MOST_NAMES - 1} can have an sd of their own")
        unknown = tuple(reading.name for reading in readings if reading.sd is None)
        groups = [unknown.index(r.name) if r.sd is None else len(unknown) for r in readings]
        counts = [len(reading) for reading in readings]
        deriv = np.repeat(np.array([reading.deriv for reading in readings], np.uint8), counts)
        group = np.repeat(np.array(groups, np.uint8), counts)
        delta = np.diff(x, prepend=x[0])
        sorter = None
        if (delta < 0).any():
            sorter = np.argsort(x, kind="stable")
            x, deriv, group = x[sorter], deriv[sorter], group[sorter]
            delta = np.diff(x, prepend=x[0])
        starts = delta > 0
        starts[0] = True
        nodes = x[starts]
        if len(nodes) < 2:
            label = observations.abscissa.labels(nodes)[0]
            raise DataError(f"all {len(x)} readings are at x = {label}; a curve needs readings at two abscissae or more")
        x_unit = float(np.ldexp(1.0, int(np.frexp((nodes[-1] - nodes[0]) / (len(nodes) - 1))[1])))
        origin, y_unit = _y_scale(observations, x_unit)
        scale = Scale(x_unit, y_unit, origin)
        y = np.concatenate([(r.y - origin if r.deriv == 0 else r.y) / scale.of(r.deriv) for r in readings])
        ratio = np.concatenate([_scaled_ratio(r.variance_ratio, r.sd is None, scale.of(r.deriv)) for r in readings])
        if sorter is not None:
            y, ratio = y[sorter], ratio[sorter]
        delta /= x_unit
        return cls(nodes, sorter, delta, deriv, group, y, ratio, scale, unknown, len(unknown) < len(readings))

    def __len__(self) -> int:
        return len(self.y)

    @property
    def arrays(self) -> tuple[FloatArray, npt.NDArray[np.uint8], npt.NDArray[np.uint8], FloatArray, FloatArray]:
        """What the kernels take."""
        return self.delta, self.deriv, self.group, self.y, self.ratio

    @property
    def n_groups(self) -> int:
        """Number of variance groups: one for each unknown sd, and one for all known ones."""
        return len(self.unknown) + self.has_known

    @cached_property
    def gaps(self) -> FloatArray:
        """Distances between neighbouring nodes, scaled, shape (n_nodes - 1,)."""
        return self.delta[self.delta > 0]

    @cached_property
    def range(self) -> float:
        """Distance from the first node to the last, scaled."""
        return float((self.nodes[-1] - self.nodes[0]) / self.scale.x_unit)

    @property
    def node_of_row(self) -> npt.NDArray[np.int64]:
        """The node of each sorted row, shape (n,)."""
        return np.cumsum(self.delta > 0)

    @cached_property
    def reversed(self) -> Rows:
        """The same readings with x reversed: derivatives of odd order change sign."""
        return replace(
            self,
            nodes=-self.nodes[::-1],
            sorter=None,
            delta=np.concatenate([[0.0], self.delta[:0:-1]]),
            deriv=self.deriv[::-1].copy(),
            group=self.group[::-1].copy(),
            y=np.where(self.deriv % 2, -self.y, self.y)[::-1].copy(),
            ratio=self.ratio[::-1].copy(),
        )

    def in_given_order(self, sorted_values: FloatArray) -> FloatArray:
        """Values of the sorted rows, in the order of the observations."""
        if self.sorter is None:
            return sorted_values
        values = np.empty_like(sorted_values)
        values[self.sorter] = sorted_values
        return values


def _exponent(power_of_two: float) -> int:
    return int(np.frexp(power_of_two)[1]) - 1


def _y_scale(observations: Observations, x_unit: float) -> tuple[float, float]:
    """Origin and unit of f that bring every scaled reading to within one."""
    values = [r.y for r in observations.readings if r.deriv == 0]
    origin = 0.0
    if values:
        lowest, highest = min(v.min() for v in values), max(v.max() for v in values)
        origin = float(lowest / 2 + highest / 2)
    exponent = _exponent(x_unit)
    size = max(
        float(np.ldexp(np.abs(r.y - origin if r.deriv == 0 else r.y).max(), r.deriv * exponent)) for r in observations.readings
    )
    return origin, float(np.ldexp(1.0, int(np.frexp(size)[1]))) if size > 0 else 1.0


def _scaled_ratio(ratio: FloatArray, is_unknown: bool, unit: float) -> FloatArray:
    """Variance ratios are relative where the sd is unknown, else variances in the unit of the reading."""
    return ratio if is_unknown else ratio / unit / unit
