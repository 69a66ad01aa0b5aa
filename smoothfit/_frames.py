"""Data frames and series of pandas, Polars, PyArrow and xarray: columns by name, labels of rows, frames that are returned."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt
from narwhals.exceptions import DuplicateError

from .errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Method = TypeVar("Method", bound=Callable[..., Any])
Mask = npt.NDArray[np.bool_]
SERIES = "series"  # the column, or the level of an index, with names of series


def table_of(values: Any, argument: str) -> dict[str, Any] | None:
    """Columns of a data frame by their labels as strings, in the types of the frame; None if values is not a data frame.

    A mapping of names to columns counts as a data frame.
    """
    if isinstance(values, Mapping):
        return {str(name): column for name, column in values.items()}
    if isinstance(values, np.ndarray | list):  # without asking each library
        return None
    try:
        native: Any = nw.from_native(values, allow_series=True, pass_through=True)
    except DuplicateError:
        raise repeated_columns(values, argument) from None
    if isinstance(native, nw.LazyFrame):
        raise DataError(f"{argument} is a lazy frame; pass {argument}.collect()")
    if not isinstance(native, nw.DataFrame):
        return None
    return {str(name): native.get_column(name).to_native() for name in native.columns}


def column_of(table: Mapping[str, Any], name: str, argument: str, hint: str = "") -> Any:
    """A column by name; the error lists those there are."""
    if name not in table:
        raise absent_column(name, table, argument, hint)
    return table[name]


def absent_column(name: Any, columns: Iterable[Any], argument: str = "the frame", hint: str = "") -> DataError:
    """The error for a column that a data frame has not."""
    return DataError(f"{argument} has no column {name!r}; its columns are {listed(columns)}{hint}")


def listed(names: Iterable[Any]) -> str:
    """Names of columns for a message."""
    return ", ".join(map(repr, names)) or "none"


def repeated_columns(data: Any, argument: str) -> DataError:
    """The error for a data frame with several columns of the same name."""
    columns = list(getattr(data, "column_names", data.columns))  # of PyArrow, of pandas
    repeated = sorted({name for name in columns if columns.count(name) > 1}, key=str)
    return DataError(f"{argument} has several columns of one name: {listed(repeated)}; rename them")


# Labels of rows ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RowLabels:
    """The rows of a series or a data frame that a user passed: what labels them, and which of them are used.

    Attributes
    ----------
    library : {"pandas", "polars", "pyarrow", "xarray"}
    labels : pandas.Index, the type, dimensions and coordinates of an xarray.DataArray, or None
    used : ndarray of bool, or None
        Which rows are observations that are not missing; None if all are.
    """

    library: str
    labels: Any
    used: Mask | None = None

    @classmethod
    def of(cls, *values: Any) -> RowLabels | None:
        """The rows of the first of several arguments whose type labels them; None if there is none."""
        for given in values:
            library = library_of(given)
            if library == "pandas":
                return cls(library, getattr(given, "index", given))  # an index labels itself
            if library == "xarray":
                return cls(library, (type(given), given.dims, dict(given.coords)))
            if library is not None:
                return cls(library, None)
        return None

    @classmethod
    def together(cls, rows: Sequence[RowLabels | None]) -> RowLabels | None:
        """The rows of one series; of several that are of one library, this alone: a time they share is no row of them all."""
        if len(rows) == 1:
            return rows[0]
        libraries = {None if own is None else own.library for own in rows}
        library = libraries.pop() if len(libraries) == 1 else None
        return None if library is None else cls(library, None)

    def only(self, used: Mask) -> RowLabels:
        """The same rows, of which some are used."""
        return self if used.all() else RowLabels(self.library, self.labels, used)

    def take(self, places: npt.NDArray[np.int64]) -> RowLabels | None:
        """Some of the rows that are used, by their places among these, without the rest; None of arrays of xarray."""
        if self.library == "xarray":
            return None
        if self.labels is None:
            return RowLabels(self.library, None)
        labels = self.labels if self.used is None else self.labels[self.used]
        return RowLabels(self.library, labels[places])

    def append(self, other: RowLabels | None, n: int, n_other: int) -> RowLabels | None:
        """These rows and those below them, of which n and n_other are used; None if they are not labelled alike."""
        if other is None or self.library != other.library or self.library == "xarray":
            return None
        labels = self.labels.append(other.labels) if self.library == "pandas" else None
        if self.used is None and other.used is None:
            return RowLabels(self.library, labels)
        parts = [np.ones(k, np.bool_) if rows.used is None else rows.used for rows, k in ((self, n), (other, n_other))]
        return RowLabels(self.library, labels, np.concatenate(parts))

    def series(self, values: npt.NDArray[Any], name: str) -> Any:
        """Values (n,) of the rows that are used as a series of all rows, NaN elsewhere; of tables of PyArrow as an array."""
        values = values.copy()
        if self.used is not None:
            used, values = values, np.full(len(self.used), np.nan)
            values[self.used] = used
        if self.library == "pandas":
            import pandas as pd

            return pd.Series(values, index=self.labels, name=name)
        if self.library == "xarray":
            make, dims, coords = self.labels
            return make(values, dims=dims, coords=coords, name=name)
        if self.library == "polars":
            return nw.new_series(name, values, backend=cast(Any, self.library)).to_native()
        return values

    def frame(self, values: npt.NDArray[Any], names: Sequence[str]) -> Any:
        """Values (n, k) of all rows as a data frame; of PyArrow and xarray as an array."""
        if self.library == "pandas":
            import pandas as pd

            return pd.DataFrame(values, index=self.labels, columns=list(names))
        if self.library == "polars":
            columns = dict(zip(names, np.ascontiguousarray(values.T), strict=True))
            return nw.from_dict(columns, backend=cast(Any, self.library)).to_native()
        return values


def library_of(values: Any) -> str | None:
    """The library of a series, an index or a data frame; None of everything else."""
    known = nw.dependencies
    if known.is_pandas_series(values) or known.is_pandas_dataframe(values) or known.is_pandas_index(values):
        return "pandas"
    if known.is_polars_series(values) or known.is_polars_dataframe(values):
        return "polars"
    if known.is_pyarrow_chunked_array(values) or known.is_pyarrow_table(values):
        return "pyarrow"
    is_array = type(values).__module__.startswith("xarray.") and getattr(values, "ndim", 0) == 1
    return "xarray" if is_array and hasattr(values, "coords") else None


def labelled(values: npt.NDArray[Any], asked: Any, name: str) -> Any:
    """Values at the x that a user asked about, under the labels of the rows of x if it is a series or a frame."""
    rows = RowLabels.of(asked)
    return values if rows is None or values.ndim != 1 else rows.series(values, name)


def stacked(parts: Sequence[tuple[str, RowLabels | None, npt.NDArray[Any]]], name: str) -> Any:
    """Values of several series, under the labels of their rows.

    One series has the labels of its rows. Several that are of pandas stand under each other, with the name of the series for a
    first level of the index; several that are of Polars in a frame, with the name of the series in its first column. All else is
    an array of the observations that are not missing.
    """
    if len(parts) == 1 and parts[0][1] is not None:
        return parts[0][1].series(parts[0][2], name)
    libraries = {None if rows is None else rows.library for _, rows, _ in parts}
    found = {series: rows.series(values, name) for series, rows, values in parts if rows is not None}
    if libraries == {"pandas"}:
        import pandas as pd

        return pd.concat(found, names=[SERIES]).rename(name)
    if libraries == {"polars"}:
        whole: Any = nw.concat([nw.from_dict({SERIES: [of] * len(own), name: own}, backend="polars") for of, own in found.items()])
        return whole.to_native()
    return np.concatenate([values for _, _, values in parts])


def rows_frame(columns: Mapping[str, Any]) -> Any:
    """A frame of columns that `RowLabels.series` or `stacked` made, all of the same rows."""
    import pandas as pd

    first = next(iter(columns.values()))
    if library_of(first) == "polars":
        if SERIES in getattr(first, "columns", ()):  # of several series
            columns = {SERIES: first[SERIES]} | {name: frame[name] for name, frame in columns.items()}
        return nw.from_dict(dict(columns), backend="polars").to_native()
    if library_of(first) == "xarray":
        (dimension,) = first.dims
        columns = {name: np.asarray(values) for name, values in columns.items()}
        return pd.DataFrame(columns, index=pd.Index(np.asarray(first[dimension]), name=dimension))
    return pd.DataFrame(dict(columns))


# Frames that are returned -----------------------------------------------------------------------------------------------------


def framed(method: Method) -> Method:
    """Let a method that makes a pandas frame return one of the library of the data, which `self.library` names."""

    @functools.wraps(method)
    def found(self: Any, *args: Any, **kwargs: Any) -> Any:
        return in_library(method(self, *args, **kwargs), self.library)

    return cast(Method, found)


def in_library(frame: pd.DataFrame, library: str | None) -> Any:
    """A pandas frame as one of Polars or PyArrow, if that is the library: its named index becomes the first columns."""
    if library not in ("polars", "pyarrow"):
        return frame
    named = [name for name in frame.index.names if name is not None]
    flat = frame.reset_index() if named or frame.index.dtype.kind not in "iu" else frame
    columns, zones = {}, {}
    for name, column in flat.items():
        values = column
        if getattr(column.dtype, "tz", None) is not None:
            zone = str(getattr(column.dtype, "tz", "UTC"))
            zones[_text(name)] = "UTC" if ":" in zone else zone  # Polars has no fixed distances to UTC
            values = column.dt.tz_convert("UTC").dt.tz_localize(None)
        columns[_text(name)] = values.to_numpy() if values.dtype.kind in "biufMm" else values.tolist()
    found = nw.from_dict(columns, backend=cast(Any, library))
    for name, zone in zones.items():
        found = found.with_columns(nw.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(zone))
    return found.to_native()


def _text(name: Hashable) -> str:
    """The name of a column as text; levels of several are joined by dots."""
    return ".".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)
