"""The observations of many curves in one data frame, and which curve each belongs to."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, frozen, shown, to_floats
from ..errors import DataError, SpecificationError, UnknownNameError
from ..observations import Observations, Readings
from ..observations.abscissa import NANOSECONDS

if TYPE_CHECKING:
    import pandas as pd

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Curves:
    """All observations, and the curve of each: entry i of `curve` those of name i."""

    observations: Observations
    curve: tuple[IntArray, ...]
    ids: pd.Index
    by: str
    threads: int

    def place(self, curve: Any) -> int:
        """Index of an id."""
        if curve not in self.ids:
            raise UnknownNameError(f"there is no curve {curve!r}; the ids begin with {', '.join(map(repr, self.ids[:3]))}")
        return int(np.flatnonzero(self.ids == curve)[0])

    @cached_property
    def _sorted(self) -> list[tuple[IntArray, IntArray]]:
        """For each series, the observations in order of their curve, and where each curve begins."""
        parts = []
        for curve in self.curve:
            order = np.argsort(curve, kind="stable")
            parts.append((order, np.searchsorted(curve[order], np.arange(len(self.ids) + 1))))
        return parts

    def subset(self, place: int) -> Observations:
        """Return the observations of one curve."""
        parts = []
        for reading, (order, start) in zip(self.observations.readings, self._sorted, strict=True):
            rows = order[start[place] : start[place + 1]]
            if len(rows):
                parts.append(_rows_of(reading, rows))
        if not parts:
            raise DataError("it has no observation (all are missing)")
        return replace(self.observations, readings=tuple(parts))


def _rows_of(reading: Readings, rows: IntArray) -> Readings:
    def part(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else frozen(values[rows])

    return replace(
        reading,
        x=frozen(reading.x[rows]),
        y=frozen(reading.y[rows]),
        sd=part(reading.sd),
        weights=part(reading.weights),
        resolution=part(reading.resolution),
        n_dropped=0,
    )


def read_curves(
    data: Any,
    by: Hashable,
    x: Hashable,
    readings: Mapping[Any, int],
    sd: Mapping[Any, Any] | None,
    weights: Mapping[Any, Any] | None,
    unit: str | None,
    resolution: Mapping[Any, Any] | None,
    threads: int,
) -> Curves:
    """Read a data frame; see `many.fit_curves`."""
    import pandas as pd

    observations = Observations.from_frame(data, x, readings, sd, weights, unit, resolution)
    frame = nw.from_native(data, eager_only=True)
    if not isinstance(by, Hashable):
        raise SpecificationError(f"by is {shown(by)}; pass the name of the column that identifies the curve")
    if by not in frame.columns:
        raise DataError(f"the frame has no column {by!r}; its columns are {', '.join(map(repr, frame.columns))}")
    column: Any = frame.get_column(by)
    codes, ids = pd.factorize(np.asarray(column.to_numpy()), use_na_sentinel=True)
    if (codes < 0).any():
        raise DataError(f"{by}[{int(np.argmax(codes < 0))}] is missing; name the curve of every row, or drop the row")
    curve = []
    for name in readings:
        values, _ = to_floats(frame.get_column(name).to_native(), str(name))
        curve.append(codes[~np.isnan(values)].astype(np.int64))
    if unit is None and observations.abscissa.unit is not None:
        observations = _in_one_unit(observations, curve)
    return Curves(observations, tuple(curve), pd.Index(ids, name=by), str(by), threads)


def _in_one_unit(observations: Observations, curve: list[IntArray]) -> Observations:
    """Count the times of all curves in the longest unit no longer than the mean spacing within them."""
    counts = np.concatenate([reading.x.view(np.int64) for reading in observations.readings])
    order = np.lexsort((counts, np.concatenate(curve)))
    within = np.diff(np.concatenate(curve)[order]) == 0
    spacing = float(np.mean(np.diff(counts[order])[within])) if within.any() else 1.0
    unit = next((name for name, length in NANOSECONDS.items() if length <= spacing), "ns")
    return replace(observations, readings=tuple(replace(reading, unit=unit) for reading in observations.readings))
