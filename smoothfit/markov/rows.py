"""Observations as the kernels want them: sorted, in units in which numbers are of order one.

The units are powers of two, so that the change is exact: x is measured in `x_unit` (about the mean spacing) and f in
`y_unit` from `y_origin`. Rescaling the user's x by a power of two therefore leaves every number here unchanged, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray, first_index
from ..errors import DataError
from ..observations import Observations, Readings
from ..observations.abscissa import Points

MOST_GROUPS = 64  # variances that differ, of the kernels
RANGE = 1e200  # of the kernels: a scaled variance lies within 1 / RANGE .. RANGE
HUGE_WEIGHT = 1e100
NORMAL = np.finfo(np.float64)
LIGHTEST, HEAVIEST = 1e-12, 1e20  # weights, as multiples of their median: beyond, they bury the others, or are buried, in rounding


@dataclass(frozen=True)
class Scale:
    """Units of the scaled rows: f = y_origin + y_unit * (scaled f), x = x_unit * (scaled x)."""

    x_unit: float
    y_unit: float
    y_origin: float

    def of(self, deriv: int) -> float:
        """Unit of f^(deriv)."""
        return _power(_exponent(self.y_unit) - deriv * _exponent(self.x_unit))

    def units(self, order: int) -> FloatArray:
        """Units of f, f', ... below the order, shape (order,)."""
        return np.array([self.of(k) for k in range(order)])

    def intensity(self, order: int) -> float:
        """Unit of q, the white-noise intensity of f^(order)."""
        return _power(2 * _exponent(self.y_unit) - (2 * order - 1) * _exponent(self.x_unit))

    def check(self, *units: float) -> None:
        """Raise if a unit leaves the range of floating-point numbers."""
        if not all(NORMAL.tiny <= unit <= NORMAL.max for unit in units):
            raise DataError(
                f"with x spaced by {self.x_unit:.1e} and observations of size {self.y_unit:.1e} the units of q, of lam or of "
                "a variance leave the range of floating-point numbers; choose other units of x or y"
            )


@dataclass(frozen=True, eq=False)
class Rows:
    """Sorted and scaled observations; `checked` is what the kernels take.

    Attributes
    ----------
    nodes : ndarray, shape (n_nodes,)
        Distinct x, increasing, in the user's unit.
    fine : ndarray, shape (n_nodes,), or None
        What rounding to float64 took from the nodes of wide ranges of integers or times; see `points`.
    sorter : ndarray, shape (n,), or None
        Position in the observations of each sorted row; None if the observations are sorted.
    delta, deriv, group, y, ratio : ndarray, shape (n,)
        Steps, orders, variance groups, observations and variance ratios of the sorted rows, scaled.
    scale : Scale
    unknown : tuple of str
        Series with an unknown noise SD, in the order of their groups; those with given SDs share the group after them.
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
    fine: FloatArray | None = None

    @classmethod
    def of(cls, observations: Observations) -> Rows:
        """Sort and scale observations."""
        readings = observations.readings
        x = observations.points
        unknown = tuple(reading.name for reading in readings if reading.sd is None)
        if len(unknown) + (len(unknown) < len(readings)) > MOST_GROUPS:
            raise DataError(
                f"{len(unknown)} series have an unknown noise SD; at most {MOST_GROUPS} variances can differ, one of them for all "
                "given noise SDs: give sd= for more names, or give observations of the same order one name"
            )
        groups = [unknown.index(r.name) if r.sd is None else len(unknown) for r in readings]
        counts = [len(reading) for reading in readings]
        deriv = np.repeat(np.array([reading.deriv for reading in readings], np.uint8), counts)
        group = np.repeat(np.array(groups, np.uint8), counts)
        delta = _steps(x)
        sorter = None
        if (delta < 0).any():
            sorter = np.argsort(x.keys, kind="stable")
            x, deriv, group = x.take(sorter), deriv[sorter], group[sorter]
            delta = _steps(x)
        starts = delta > 0
        starts[0] = True
        nodes = x.coarse[starts]
        if len(nodes) < 2:
            label = observations.abscissa.label(readings[0].x[0])
            which = f"all {len(delta)} observations are" if len(delta) > 1 else "the only observation is"
            raise DataError(f"{which} at x = {label}; a curve needs at least two distinct x")
        x_unit = float(np.ldexp(1.0, int(np.frexp((nodes[-1] - nodes[0]) / (len(nodes) - 1))[1])))
        origin, y_unit = _y_scale(observations, x_unit)
        scale = Scale(x_unit, y_unit, origin)
        scale.check(*(scale.of(reading.deriv) for reading in readings))
        y = np.concatenate([(r.y - origin if r.deriv == 0 else r.y) / scale.of(r.deriv) for r in readings])
        ratio = np.concatenate([scaled_ratio(r, scale.of(r.deriv)) for r in readings])
        if sorter is not None:
            y, ratio = y[sorter], ratio[sorter]
        delta /= x_unit
        fine = None if x.fine is None else x.fine[starts]
        return cls(nodes, sorter, delta, deriv, group, y, ratio, scale, unknown, len(unknown) < len(readings), fine)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def checked(self) -> _kernels.WienerRows:
        """What the kernels take, checked once."""
        return _kernels.WienerRows(self.delta, self.deriv, self.group, self.y, self.ratio)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "checked"}

    def of_group(self, group: int) -> slice | npt.NDArray[np.bool_]:
        """The rows of a variance group, which are all rows, not copied, if there is one group."""
        return slice(None) if self.n_groups == 1 else np.asarray(self.group == group)

    def readings_of(self, group: int) -> FloatArray:
        """Observations of an unknown noise SD, all of one order, in the user's unit and from the user's origin, to rounding."""
        mine = self.of_group(group)
        deriv = int(self.deriv[mine][0])
        return np.asarray(self.y[mine] * self.scale.of(deriv) + (0.0 if deriv else self.scale.y_origin))

    @property
    def n_groups(self) -> int:
        """Number of variance groups: one for each unknown noise SD, and one for all known ones."""
        return len(self.unknown) + self.has_known

    @cached_property
    def is_of_one_kind(self) -> bool:
        """Whether all observations are of one order and share one variance."""
        return self.n_groups == 1 and bool(self.deriv.min() == self.deriv.max())

    def part(self, part: slice) -> Rows:
        """Neighbouring sorted rows as a record of their own, in their order."""
        before = int(np.count_nonzero(self.delta[: part.start + 1]))
        delta = self.delta[part].copy()
        delta[0] = 0.0
        nodes = slice(before, before + int(np.count_nonzero(delta)) + 1)
        fine = None if self.fine is None else self.fine[nodes]
        return replace(
            self,
            nodes=self.nodes[nodes],
            fine=fine,
            sorter=None,
            delta=delta,
            deriv=self.deriv[part],
            group=self.group[part],
            y=self.y[part],
            ratio=self.ratio[part],
        )

    @property
    def points(self) -> Points:
        """The nodes with all their digits."""
        return Points(self.nodes, self.fine)

    def last_before(self, x: Points) -> npt.NDArray[np.int64]:
        """Index of the last node at or before each x; -1 if there is none."""
        keys = x if self.fine is None or x.fine is not None else Points(x.coarse, np.zeros_like(x.coarse))
        return np.searchsorted(self.points.keys, keys.keys, side="right").astype(np.int64) - 1

    def beyond(self, x: Points, node: npt.NDArray[np.int64]) -> FloatArray:
        """Distance of each x beyond a node, scaled."""
        return x.minus(self.points.take(node)) / self.scale.x_unit

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

    def in_given_order(self, sorted_values: FloatArray) -> FloatArray:
        """Values of the sorted rows, in the order of the observations."""
        if self.sorter is None:
            return sorted_values
        values = np.empty_like(sorted_values)
        values[self.sorter] = sorted_values
        return values


def _exponent(power_of_two: float) -> int:
    return int(np.frexp(power_of_two)[1]) - 1


def _power(exponent: int) -> float:
    """Two to an exponent: infinite or zero beyond the range of floats."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(1.0, exponent))


def _y_scale(observations: Observations, x_unit: float) -> tuple[float, float]:
    """Origin and unit of f that bring every scaled observation to within one."""
    values = [r.y for r in observations.readings if r.deriv == 0]
    origin = 0.0
    if values:
        lowest, highest = min(v.min() for v in values), max(v.max() for v in values)
        origin = float(lowest / 2 + highest / 2)
    exponent = _exponent(x_unit)
    with np.errstate(over="ignore", under="ignore"):  # the units are checked after
        size = max(
            float(np.ldexp(np.abs(r.y - origin if r.deriv == 0 else r.y).max(), r.deriv * exponent)) for r in observations.readings
        )
    return origin, float(np.ldexp(1.0, int(np.frexp(size)[1]))) if size > 0 else 1.0


def _steps(x: Points) -> FloatArray:
    """Differences of neighbours, with a zero before them."""
    return np.concatenate([[0.0], x.take(slice(1, None)).minus(x.take(slice(-1)))])


def scaled_ratio(readings: Readings, unit: float) -> FloatArray:
    """Variance ratios are relative where the SD is unknown, else variances in the unit of the observation; all within bounds."""
    name, weights = readings.name, readings.weights
    if readings.sd is None:
        ratio = readings.variance_ratio
        if weights is not None:
            median = float(np.median(weights))
            if not 1 / HUGE_WEIGHT <= median <= HUGE_WEIGHT:
                raise DataError(
                    f"weights of {name!r} are about {median:.1e}; only their ratios matter: divide them by their median"
                )
            relative = weights / median
            bad = ~((relative >= LIGHTEST) & (relative <= HEAVIEST))
            if bad.any():
                i = first_index(bad)
                raise DataError(
                    f"weights[{i}] of {name!r} is {weights[i]}, {relative[i]:.1e} times their median: beyond {LIGHTEST:g} .. "
                    f"{HEAVIEST:g} rounding decides; leave out a light observation (NaN), give a heavy one its own name= and sd="
                )
        return ratio
    with np.errstate(over="ignore", under="ignore"):
        ratio = readings.variance_ratio_in(unit)
    bad = ~((ratio >= 1 / RANGE) & (ratio <= RANGE))
    if bad.any():
        i = first_index(bad)
        root = RANGE**0.5
        raise DataError(
            f"sd[{i}] of {name!r} is {readings.sd[i]}"
            + (f" at weight {weights[i]}" if weights is not None else "")
            + ", out of all "
            f"proportion to observations of size {unit:.1e}: it ranges from {1 / root:g} to {root:g} times that; check the unit"
        )
    return ratio
