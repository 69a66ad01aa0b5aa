"""Checks of what users pass: every error names the argument, the first bad index and the way out."""

from __future__ import annotations

import datetime
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt

from .errors import DataError, SpecificationError

FloatArray = npt.NDArray[np.float64]


def to_vector(values: Any, argument: str) -> tuple[npt.NDArray[Any], str | None]:
    """Return a one-dimensional NumPy array of numbers or times, and the name of the series it came from.

    Accepts lists, arrays, and pandas, Polars or PyArrow series; missing values of a nullable series become NaN (or NaT).
    """
    label = None
    if isinstance(values, np.ma.MaskedArray):  # a masked entry is missing
        mask = np.ma.getmaskarray(values)
        values = np.array(values.data, dtype=float if values.dtype.kind in "iuf" else values.dtype)
        if mask.any():
            values[mask] = "NaT" if values.dtype.kind in "Mm" else np.nan
    native = nw.from_native(values, series_only=True, pass_through=True)
    if isinstance(native, nw.Series):
        label = str(native.name) if native.name not in (None, "") else None
        if isinstance(native.dtype, nw.Datetime) and getattr(native.dtype, "time_zone", None) is not None:
            native = native.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        if native.dtype.is_numeric() and native.null_count() > 0:
            native = native.cast(nw.Float64)
        array = native.to_numpy()
    else:
        array = np.asarray(values)
    if array.dtype == object:
        array = _from_objects(array, argument)
    array = np.atleast_1d(array)
    if array.ndim != 1:
        raise DataError(f"{argument} has shape {array.shape}; pass one dimension, for example {argument}.ravel()")
    if array.dtype.kind == "c":
        raise DataError(f"{argument} is complex; readings are real: pass its real or imaginary part")
    if array.dtype.kind == "b":
        raise DataError(f"{argument} is boolean; pass numbers")
    if array.dtype.kind not in "iufMm":
        raise DataError(f"{argument} holds {array.dtype} (first element {array[:1]!r}); pass numbers or times")
    return array, label


def _from_objects(array: npt.NDArray[Any], argument: str) -> npt.NDArray[Any]:
    """Objects are accepted where all are times, or each is a real number or None (a missing value)."""
    flat = array.ravel()
    for kinds, dtype in (((datetime.date, np.datetime64), "M8[us]"), ((datetime.timedelta, np.timedelta64), "m8[us]")):
        if len(flat) and all(isinstance(element, kinds) for element in flat):
            return np.array([_without_zone(element) for element in flat], dtype=dtype).reshape(array.shape)
    for i, element in enumerate(flat):
        if element is not None and not isinstance(element, (int, float, np.integer, np.floating)):
            raise DataError(f"{argument}[{i}] is {element!r}, a {type(element).__name__}; pass numbers or times")
    return np.array([np.nan if element is None else float(element) for element in flat]).reshape(array.shape)


def to_nanoseconds(times: npt.NDArray[Any], argument: str) -> npt.NDArray[Any]:
    """Return times as datetime64[ns] or timedelta64[ns]; refuse those that do not fit."""
    fine = times.astype(times.dtype.kind + "8[ns]")
    wrapped = ~np.isnat(times) & (fine.astype(times.dtype) != times)
    if wrapped.any():
        i = first_index(wrapped)
        raise DataError(f"{argument}[{i}] = {times[i]} is outside 1678 .. 2262, where nanoseconds fit; pass years as numbers")
    return fine


def _without_zone(time: Any) -> Any:
    """Return a time as its clock in UTC, where it has a zone."""
    if getattr(time, "tzinfo", None) is not None:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return time.to_numpy() if hasattr(time, "to_numpy") else time


def to_floats(values: Any, argument: str) -> tuple[FloatArray, str | None]:
    """Return a vector of float64, never the caller's own memory; times are refused."""
    array, label = to_vector(values, argument)
    if array.dtype.kind in "Mm":
        raise DataError(f"{argument} holds times ({array.dtype}); pass numbers")
    return np.array(array, dtype=np.float64), label


def first_index(mask: npt.NDArray[np.bool_]) -> int:
    """Index of the first True."""
    return int(np.argmax(mask))


def check_finite(values: FloatArray, argument: str, remedy: str) -> None:
    """Raise if any value is infinite or NaN."""
    bad = ~np.isfinite(values)
    if bad.any():
        i = first_index(bad)
        raise DataError(f"{argument}[{i}] is {values[i]}; {remedy}")


def check_order(value: Any, argument: str, lowest: int, highest: int) -> int:
    """Return an integer between `lowest` and `highest`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise SpecificationError(f"{argument} is {value!r}; pass an integer from {lowest} to {highest}")
    if not lowest <= value <= highest:
        raise SpecificationError(f"{argument} is {value}; it ranges from {lowest} to {highest}")
    return int(value)


def check_positive(value: Any, argument: str) -> float:
    """Return a positive finite number."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise SpecificationError(f"{argument} is {value!r}; pass a positive number")
    if not (value > 0 and np.isfinite(value)):
        raise SpecificationError(f"{argument} is {value}; it is positive and finite")
    return float(value)


def check_level(alpha: Any) -> float:
    """Return a significance level strictly between 0 and 1."""
    level = check_positive(alpha, "alpha")
    if level >= 1:
        raise SpecificationError(f"alpha is {alpha}; it lies between 0 and 1, 0.05 for 95 % intervals")
    return level


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array, made read-only."""
    array.flags.writeable = False
    return array


class Frozen:
    """A value object whose arrays are read-only, also after copying and unpickling, which NumPy forgets."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                frozen(value)
        self.__dict__.update(state)
