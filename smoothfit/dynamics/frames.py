"""Future times and inputs, from arrays or from the columns of a data frame that a fit takes by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from .._frames import repeated_columns
from .._validation import FloatArray, check_finite, to_floats, to_numbers
from ..errors import DataError, SpecificationError

if TYPE_CHECKING:
    from .model import DerivativeRegression


def is_frame(values: Any) -> bool:
    """Whether values are a table with named columns: a data frame, or a mapping of names to columns."""
    if isinstance(values, Mapping):
        return True
    try:
        return isinstance(nw.from_native(values, eager_only=True, allow_series=True, pass_through=True), nw.DataFrame)
    except DuplicateError:
        return True


def times_of(model: DerivativeRegression, t: Any, argument: str = "t") -> Any:
    """Abscissae a user asks about: those given, or the column of times of a data frame."""
    return column_of(_columns(t, argument), model.sample.t_name, argument, [model.sample.t_name]) if is_frame(t) else t


def vector_of_times(model: DerivativeRegression, t: Any) -> FloatArray:
    """Numbers for times a user asks about, a row each."""
    given = times_of(model, t)
    numbers = model.sample.abscissa.read(given, "t")
    if numbers.ndim > 1 and numbers.shape != (len(numbers), 1):
        raise DataError(f"t has shape {numbers.shape}; pass one time ({model.sample.t_name}) for each row, and inputs as u")
    return numbers.ravel()


def inputs_of(model: DerivativeRegression, u: Any, n: int) -> FloatArray:
    """Recorded inputs (n, k): the columns of a matrix, or those of a data frame that the fit takes, by name."""
    names = model.sample.recorded_inputs
    if u is None:
        if names:
            raise DataError(f"u is missing: pass the inputs {', '.join(names)} at these times")
        return np.zeros((n, 0))
    if is_frame(u):
        values = _inputs_by_name(model, _columns(u, "u"))
    else:
        values = to_numbers(u, "u")
        values = values[:, None] if values.ndim == 1 else values
    if values.shape != (n, len(names)):
        raise DataError(f"u has shape {values.shape}; pass {n} rows of {len(names)} inputs ({', '.join(names) or 'none'})")
    check_finite(values.ravel(), "u", "inputs are finite")
    return values


def times_and_inputs(model: DerivativeRegression, t: Any, u: Any) -> tuple[Any, Any]:
    """Return t and u, of which one data frame may bring both."""
    if is_frame(t) and u is None and model.sample.recorded_inputs:
        return t, t
    if t is None and is_frame(u) and model.sample.t_name in _columns(u, "u"):
        return u, u
    return t, u


def _inputs_by_name(model: DerivativeRegression, columns: dict[str, Any]) -> FloatArray:
    if model.inputs_of_formula is not None:
        return model.inputs_of_formula.of(columns)
    names = model.sample.recorded_inputs
    parts = [to_floats(column_of(columns, name, "u", names), f"u[{name!r}]")[0] for name in names]
    return np.column_stack(parts) if parts else np.zeros((len(next(iter(columns.values()), ())), 0))


def column_of(columns: dict[str, Any], name: str, argument: str, wanted: Any) -> Any:
    """A column by name; raises and names the columns that are wanted if there is none."""
    if name not in columns:
        has = ", ".join(columns) or "none"
        raise DataError(
            f"{argument} is a data frame without the column {name!r} (it has {has}); pass a frame with {', '.join(wanted)}, the "
            "columns that the fit takes, or arrays"
        )
    return columns[name]


def _columns(frame: Any, argument: str) -> dict[str, Any]:
    """Columns by name, those without names as the model names them: a number behind the letter of the argument."""
    if isinstance(frame, Mapping):
        return {str(name): np.asarray(values) for name, values in frame.items()}
    try:
        table = nw.from_native(frame, eager_only=True)
    except DuplicateError:
        raise repeated_columns(frame, argument) from None
    return {_label(name): table.get_column(name).to_native() for name in table.columns}


def _label(name: Any) -> str:
    return f"u{name}" if isinstance(name, (int, np.integer)) else str(name)


def values_by_name(names: tuple[str, ...], u: Any) -> FloatArray:
    """One number for each input: a vector in their order, or a mapping or a frame of one row by name."""
    if u is None:
        if names:
            raise DataError(f"u is missing: pass one number for each input ({', '.join(names)})")
        return np.zeros(0)
    if not is_frame(u):
        return to_floats(u, "u")[0]
    columns = {name: np.ravel(values) for name, values in _columns(u, "u").items()}
    found = [column_of(columns, name, "u", names) for name in names]
    for name, values in zip(names, found, strict=True):
        if len(values) != 1:
            raise SpecificationError(f"u[{name!r}] has {len(values)} values; pass one number for each input")
    return np.array([float(values[0]) for values in found])
