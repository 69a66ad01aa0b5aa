"""The observations of many curves in one data frame, and which curve each belongs to."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import narwhals.stable.v1 as nw
import numpy as np

from .._frames import absent_column
from .._validation import IntArray, shown, to_floats
from ..errors import DataError, SpecificationError, UnknownNameError
from ..observations import Observations
from ..observations.abscissa import unit_of

if TYPE_CHECKING:
    import pandas as pd

NO_OBSERVATION = "it has no observation (all are missing)"  # the reason why a curve is not fitted


@dataclass(frozen=True, eq=False)
class Curves:
    """All observations, and the curve of each: entry i of `curve` those of name i."""

    observations: Observations
    curve: tuple[IntArray, ...]
    ids: pd.Index
    threads: int

    def place(self, curve: Any) -> int:
        """Index of an id."""
        if self.ids.nlevels > 1 and (not isinstance(curve, tuple) or len(curve) != self.ids.nlevels):
            raise UnknownNameError(f"there is no curve {curve!r}; name it by {', '.join(map(str, self.ids.names))}, as fits[a, b]")
        if curve not in self.ids:
            raise UnknownNameError(f"there is no curve {curve!r}; the ids begin with {', '.join(map(repr, self.ids[:3]))}")
        return int(cast(int, self.ids.get_loc(curve)))

    def places_of(self, table: Mapping[str, Any]) -> IntArray | None:
        """The curve of each row of the x of an evaluation, by their columns; None if these are not all there."""
        import pandas as pd

        if not all(name in table for name in self.levels):
            return None
        columns = [np.asarray(table[name]) for name in self.levels]
        labels = pd.Index(columns[0]) if len(columns) == 1 else pd.MultiIndex.from_arrays(columns)
        places = self.ids.get_indexer(labels)
        if (places < 0).any():
            row = int(np.argmax(places < 0))
            begin = ", ".join(map(repr, self.ids[:3]))
            raise UnknownNameError(f"row {row} of x names the curve {labels[row]!r}, not observed; the ids begin with {begin}")
        return places.astype(np.int64)

    @property
    def levels(self) -> dict[str, pd.Index]:
        """The ids by the columns that hold them."""
        return {str(name): self.ids.get_level_values(i) for i, name in enumerate(self.ids.names)}

    def labels(self, place: int) -> dict[str, Any]:
        """What names one curve, by column."""
        return {name: labels[place] for name, labels in self.levels.items()}

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
                parts.append(reading.take(rows))
        if not parts:
            raise DataError(NO_OBSERVATION)
        return replace(self.observations, readings=tuple(parts))


def read_curves(
    data: Any,
    by: Hashable | list[Hashable],
    x: Hashable,
    readings: Mapping[Any, int],
    sd: Mapping[Any, Any] | None,
    weights: Mapping[Any, Any] | None,
    unit: str | None,
    resolution: Mapping[Any, Any] | None,
    differences: Mapping[str, Mapping[Any, Any] | None],
    threads: int,
) -> Curves:
    """Read a data frame; see `many.fit_curves`. `differences` are biases, scales, lags and response times, each by column."""
    import pandas as pd

    observations = Observations.from_frame(data, x, readings, sd, weights, unit, resolution, **differences)
    frame = nw.from_native(data, eager_only=True)
    names: list[Any] = by if isinstance(by, list) and by else [by]
    columns = []
    for name in names:
        if not isinstance(name, Hashable):
            raise SpecificationError(
                f"by is {shown(by)}; pass the name of the column that identifies the curve, or a list of names"
            )
        if name not in frame.columns:
            raise absent_column(name, frame.columns)
        columns.append(np.asarray(frame.get_column(name).to_numpy()))
        bad = pd.isna(columns[-1])
        if bad.any():
            raise DataError(f"{name}[{int(np.argmax(bad))}] is missing; name the curve of every row, or drop the row")
    index: Any = pd.Index(columns[0], name=names[0])
    if len(names) > 1:
        index = pd.MultiIndex.from_arrays(columns, names=list(map(str, names)))
    codes, ids = index.factorize()
    curve = []
    for name in readings:
        values, _ = to_floats(frame.get_column(name).to_native(), str(name))
        curve.append(codes[~np.isnan(values)].astype(np.int64))
    if unit is None and observations.abscissa.unit is not None:
        observations = _in_one_unit(observations, curve)
    return Curves(observations, tuple(curve), ids.set_names(index.names), threads)


def _in_one_unit(observations: Observations, curve: list[IntArray]) -> Observations:
    """Count the times of all curves in the longest unit no longer than the mean spacing within them."""
    counts = np.concatenate([reading.x.view(np.int64) for reading in observations.readings])
    order = np.lexsort((counts, np.concatenate(curve)))
    within = np.diff(np.concatenate(curve)[order]) == 0
    spacing = float(np.mean(np.diff(counts[order])[within])) if within.any() else 1.0
    unit = unit_of(spacing)
    return replace(observations, readings=tuple(replace(reading, unit=unit) for reading in observations.readings))
