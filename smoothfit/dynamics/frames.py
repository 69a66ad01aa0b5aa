"""Future times and inputs, from arrays or from the columns of a data frame that a fit takes by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .._frames import table_of
from .._validation import FloatArray, check_finite, to_floats, to_numbers
from ..errors import DataError, SpecificationError
from .sample import Sample

if TYPE_CHECKING:
    import pandas as pd


class MakesInputs(Protocol):
    """What makes inputs of the columns of a frame."""

    def of(self, columns: Mapping[str, Any]) -> FloatArray:
        """Columns (n, k) of the inputs."""


class ReadsFrames(Protocol):
    """A model: the sample that names its columns, and what a formula makes of them, if there was one."""

    sample: Sample

    @property
    def inputs_of_formula(self) -> MakesInputs | None:
        """What a formula makes of the columns; None without one."""


def times_of(model: ReadsFrames, t: Any) -> Any:
    """Values of x at which a user evaluates: those given, or the column of times of a data frame."""
    table = table_of(t, "t")
    return t if table is None else column_of(table, model.sample.t_name, "t", [model.sample.t_name])


def vector_of_times(model: ReadsFrames, t: Any) -> FloatArray:
    """Numbers for times a user asks about, a row each."""
    given = times_of(model, t)
    numbers = model.sample.abscissa.read(given, "t")
    if numbers.ndim > 1 and numbers.shape != (len(numbers), 1):
        raise DataError(f"t has shape {numbers.shape}; pass one time ({model.sample.t_name}) for each row, and inputs as u")
    return numbers.ravel()


def inputs_of(model: ReadsFrames, u: Any, n: int) -> FloatArray:
    """Recorded inputs (n, k): the columns of a matrix, or those of a data frame that the fit takes, by name."""
    names = model.sample.recorded_inputs
    if u is None:
        if names:
            raise DataError(f"u is missing: pass the inputs {', '.join(names)} at these times")
        return np.zeros((n, 0))
    table = table_of(u, "u")
    if table is not None:
        values = _inputs_by_name(model, table)
    else:
        values = to_numbers(u, "u", is_indicator=True)
        values = values[:, None] if values.ndim == 1 else values
    if values.shape != (n, len(names)):
        raise DataError(f"u has shape {values.shape}; pass {n} rows of {len(names)} inputs ({', '.join(names) or 'none'})")
    check_finite(values.ravel(), "u", "inputs are finite")
    return values


def times_and_inputs(model: ReadsFrames, t: Any, u: Any) -> tuple[Any, Any]:
    """Return t and u, of which one data frame may bring both."""
    if u is None and model.sample.recorded_inputs and table_of(t, "t") is not None:
        return t, t
    if t is None and model.sample.t_name in (table_of(u, "u") or {}):
        return u, u
    return t, u


def _inputs_by_name(model: ReadsFrames, columns: Mapping[str, Any]) -> FloatArray:
    if model.inputs_of_formula is not None:
        return model.inputs_of_formula.of(columns)
    names = model.sample.recorded_inputs
    parts = [to_floats(column_of(columns, name, "u", names), f"u[{name!r}]", is_indicator=True)[0] for name in names]
    return np.column_stack(parts) if parts else np.zeros((len(next(iter(columns.values()), ())), 0))


def column_of(columns: Mapping[str, Any], name: str, argument: str, wanted: Any) -> Any:
    """A column by name; raises and names the columns that are wanted if there is none.

    A column that is labelled by a number is called u and that number, as in the fit.
    """
    if name not in columns and name[:1] == "u" and name[1:] in columns:
        return columns[name[1:]]
    if name not in columns:
        has = ", ".join(columns) or "none"
        raise DataError(
            f"{argument} is a data frame without the column {name!r} (it has {has}); pass a frame with {', '.join(wanted)}, the "
            "columns that the fit takes, or arrays"
        )
    return columns[name]


def side_by_side(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of outputs or pairs under their names; one alone as it is."""
    import pandas as pd

    return pd.concat(parts, axis=1) if len(parts) > 1 else next(iter(parts.values()))


def values_by_name(names: tuple[str, ...], u: Any) -> FloatArray:
    """One number for each input: a vector in their order, or a mapping or a frame of one row by name."""
    if u is None:
        if names:
            raise DataError(f"u is missing: pass one number for each input ({', '.join(names)})")
        return np.zeros(0)
    table = table_of(u, "u")
    if table is None:
        return to_floats(u, "u", is_indicator=True)[0]
    found = [to_floats(column_of(table, name, "u", names), f"u[{name!r}]", is_indicator=True)[0] for name in names]
    for name, values in zip(names, found, strict=True):
        if len(values) != 1:
            raise SpecificationError(f"u[{name!r}] has {len(values)} values; pass one number for each input")
    return np.array([float(values[0]) for values in found])
