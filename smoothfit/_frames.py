"""Data frames (pandas, Polars, PyArrow) where arrays may stand: their columns are taken by name, never by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import narwhals.stable.v1 as nw
from narwhals.exceptions import DuplicateError

from .errors import DataError


def table_of(values: Any, argument: str) -> dict[str, Any] | None:
    """Columns of a data frame by their labels as strings, in the types of the frame; None if values is not a data frame.

    A mapping of names to columns counts as a data frame.
    """
    if isinstance(values, Mapping):
        return {str(name): column for name, column in values.items()}
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
        raise DataError(f"{argument} has no column {name!r}; its columns are {listed(table)}{hint}")
    return table[name]


def listed(names: Iterable[Any]) -> str:
    """Names of columns for a message."""
    return ", ".join(map(repr, names)) or "none"


def repeated_columns(data: Any, argument: str) -> DataError:
    """The error for a data frame with several columns of the same name."""
    columns = list(getattr(data, "column_names", data.columns))  # of PyArrow, of pandas
    repeated = sorted({name for name in columns if columns.count(name) > 1}, key=str)
    return DataError(f"{argument} has several columns of one name: {listed(repeated)}; rename them")
