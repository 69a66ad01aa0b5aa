"""Checks of what users pass: every error names the argument, the first bad index and the way out."""

from __future__ import annotations

import dataclasses
import datetime
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt

from .errors import DataError, ResourceError, SpecificationError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
EPS = float(np.finfo(np.float64).eps)
MOST_NAMES = 10  # of columns that a message lists
LONGEST_SHOWN = 160  # characters of a value in a message
LARGEST_EXACT = 2**53  # integers up to here are exact as float64
PLAIN = (np.ndarray, np.generic, list, tuple, int, float)  # no series or frame, without asking each library
UNQUESTIONED = 2**28  # bytes; below, memory is not measured: 256 MB are always there
USABLE = 0.8  # of the available memory; the rest is left to temporary arrays and to other programs
UNKNOWN_MEMORY = 2**34  # bytes taken as available if the operating system does not report them
Zone = datetime.tzinfo | str | Literal[False] | None  # of times: False if they have none, None if that cannot be decided


class Column(NamedTuple):
    """A user's values as an array of numbers or times.

    `label` is the name of the series they came from. `zone` is the time zone of times, whose `values` are in UTC: False if they
    have none, None if unknown. NumPy's times have none, and are compatible with both.
    """

    values: npt.NDArray[Any]
    label: str | None
    zone: Zone


def to_vector(values: Any, argument: str, wanted: str = "numbers or times", *, is_indicator: bool = False) -> Column:
    """Return a one-dimensional NumPy array of numbers or times; see `to_array`."""
    refuse_dask(values, argument)
    columns = getattr(values, "column_names", getattr(values, "columns", None))  # of a data frame
    if columns is not None and len(columns):
        names = ", ".join(map(repr, columns[:MOST_NAMES])) + ", .." * (len(columns) > MOST_NAMES)
        raise DataError(f"{argument} is a data frame with the columns {names}; pass one of them, for example frame[{columns[0]!r}]")
    column = to_array(values, argument, wanted, is_indicator=is_indicator)
    array = np.atleast_1d(column.values)
    if array.ndim != 1:
        is_single = max(array.shape) == array.size
        example = f"{argument}.ravel()" if is_single else f"{argument}[{', '.join([':'] + ['0'] * (array.ndim - 1))}]"
        raise DataError(f"{argument} has shape {array.shape}; pass one dimension, for example {example}")
    return column._replace(values=array)


def is_dask(values: Any) -> bool:
    """Whether values are a collection of Dask, which is not in memory."""
    return type(values).__module__.split(".")[0] in ("dask", "dask_expr")


def refuse_dask(values: Any, argument: str) -> None:
    """Raise if values are a collection of Dask."""
    if is_dask(values):
        raise DataError(
            f"{argument} is a collection of Dask; pass {argument}.compute(), or fit partitions by smoothfit.dask.fit_curves or "
            "smoothfit.dask.accumulate"
        )


def to_array(values: Any, argument: str, wanted: str = "numbers or times", *, is_indicator: bool = False) -> Column:
    """Return a NumPy array of numbers or times, of any shape; integers stay integers of all their digits.

    Accepts lists, arrays, series of pandas, Polars or PyArrow, and arrays of xarray; missing values of a nullable series become NaN
    (or NaT). An error asks for what is `wanted`. Booleans are an error, unless they may be an indicator: ones and zeros.
    """
    label: str | None = None
    zone: Zone = None
    if values is None:
        raise DataError(f"{argument} is None; pass {wanted}")
    if isinstance(values, np.ma.MaskedArray):  # a masked entry is missing
        mask = np.ma.getmaskarray(values)
        values = values.data
        if mask.any():
            values = np.array(values, dtype=float if values.dtype.kind in "iuf" else values.dtype)
            values[mask] = "NaT" if values.dtype.kind in "Mm" else np.nan
    native = values if isinstance(values, PLAIN) else nw.from_native(values, series_only=True, pass_through=True)
    if isinstance(native, nw.Series):
        label = str(native.name) if native.name not in (None, "") else None
        if isinstance(native.dtype, nw.Datetime):
            zone = _zone_of(values, native.dtype.time_zone)
            if zone:
                native = native.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        if native.dtype == nw.Boolean and is_indicator:
            native = native.cast(nw.Int8)
        if native.dtype.is_numeric() and native.null_count() > 0:
            native = native.cast(nw.Float64)
        array = native.to_numpy()
    else:
        if hasattr(values, "tz") and hasattr(values, "tz_convert"):  # a pandas index or time
            zone = values.tz or False
            values = values.tz_convert("UTC").tz_localize(None) if zone else values
        array = from_sequence(values, argument)
        name = getattr(values, "name", None)  # of an index of pandas, an array of xarray
        label = name if isinstance(name, str) and name else None
    if array.dtype.kind in "US":  # mixed with numbers, which NumPy makes strings, too
        array = array.astype(object) if hasattr(values, "dtype") else np.asarray(values, dtype=object)
    if array.dtype == object:
        array, mixed = _from_objects(array, argument, wanted)
        zone = mixed if zone is None else zone
    if array.dtype.kind == "c":
        raise DataError(f"{argument} is complex ({array.dtype}); pass its real or imaginary part")
    if array.dtype.kind == "b" and not is_indicator:
        raise DataError(f"{argument} is boolean; pass numbers, for example its astype(float)")
    if array.dtype.kind not in "biufMm":
        raise DataError(f"{argument} has the type {array.dtype} (first element {array.ravel()[:1]!r}); pass {wanted}")
    return Column(array, label, zone)


def from_sequence(values: Any, argument: str) -> npt.NDArray[Any]:
    """Return an array of anything but a series; integers that NumPy would round on the way stay objects."""
    try:
        array = np.asarray(values)
    except ValueError:  # NumPy's message
        raise DataError(f"{argument} has entries of different lengths, which make no array; pass one dimension") from None
    except Exception as error:  # whatever an object raises when NumPy asks it for an array
        raise DataError(f"{argument} is {described(values)} that makes no array ({error}); pass numbers or times") from error
    is_rounded = array.dtype.kind == "f" and array is not values and array.size and np.abs(array).max() >= LARGEST_EXACT
    if is_rounded and not hasattr(values, "dtype"):  # a list of integers that no integer type holds together
        objects = np.asarray(values, dtype=object)
        if all(isinstance(element, (int, np.integer)) for element in objects.ravel()):
            return objects
    return array


def _from_objects(array: npt.NDArray[Any], argument: str, wanted: str) -> tuple[npt.NDArray[Any], Zone]:
    """Objects are accepted where all are times, or each is a real number or None (a missing value)."""
    flat = array.ravel()
    for kinds, kind in (((datetime.date, np.datetime64), "M"), ((datetime.timedelta, np.timedelta64), "m")):
        if len(flat) and all(isinstance(element, kinds) for element in flat):
            zone, times = _zone_of_objects(flat, argument), [_without_zone(element) for element in flat]
            is_fine = any(isinstance(time, np.generic) for time in times)  # those of Python end at microseconds
            return np.array(times, dtype=f"{kind}8[{'ns' if is_fine else 'us'}]").reshape(array.shape), zone
    for i, element in enumerate(flat):
        if element is not None and not isinstance(element, (int, float, np.integer, np.floating)):
            place = f"{argument}[{i}]" if array.ndim else argument
            place = f"{argument} contains strings: {place}" if array.ndim and isinstance(element, str) else place
            raise DataError(
                f"{place} is {shown(element)}, {described(element)}; pass {wanted}{_conversion(element, array.ndim, wanted)}"
            )
    if len(flat) and all(isinstance(element, (int, np.integer)) and not isinstance(element, bool) for element in flat):
        return _from_integers(flat, argument).reshape(array.shape), None
    return np.array([_to_float(element, i, argument) for i, element in enumerate(flat)]).reshape(array.shape), None


def _conversion(element: Any, n_dimensions: int, wanted: str) -> str:
    """How values of another type become numbers or times, where there is a way."""
    if hasattr(element, "to_timestamp"):  # a period of pandas
        return ", which its to_timestamp() makes"
    if isinstance(element, (str, bytes, numbers.Number)):
        try:
            float(cast(Any, element))
        except (TypeError, ValueError, OverflowError):
            if _is_date(element):
                return "; convert strings to times by pandas.to_datetime"
            if n_dimensions == 0:
                return "; of a column pass the values, as in frame['name']"
            missing = "pandas.to_numeric(..., errors='coerce') makes strings numbers, or NaN, which counts as missing"
            return f"; {missing}{', and pandas.to_datetime makes them times' if 'times' in wanted else ''}"
        return "; numpy.asarray(..., dtype=float) makes them"
    is_series = n_dimensions == 0 and isinstance(element, Iterable) and not isinstance(element, Mapping)
    return ", for example list(...) of it" if is_series else ""


def _is_date(element: Any) -> bool:
    """Whether a string is a date as in ISO 8601."""
    try:
        datetime.datetime.fromisoformat(element)
    except (TypeError, ValueError):
        return False
    return True


def _to_float(element: Any, i: int, argument: str) -> float:
    try:
        return float("nan") if element is None else float(element)
    except OverflowError:
        raise DataError(f"{argument}[{i}] is {shown(element)}, beyond floating-point numbers; choose another unit") from None


def shown(value: Any) -> str:
    """A value as messages show it, cut where it is long; of an integer with more digits than fit a line, its size."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"an integer of about {int(value.bit_length() * 0.30103) + 1} digits"
    try:
        text = str(value) if isinstance(value, (int, float, np.generic)) else " ".join(repr(value).split())
        if len(text) > LONGEST_SHOWN and hasattr(value, "shape"):
            return f"{described(value)} of shape {value.shape}"
        return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
    except ValueError:  # Python does not write integers of more than 4300 digits, also within lists
        return described(value)


def described(value: Any) -> str:
    """What a value is, as in messages: "an int", "a DataFrame", "the class Wiener", "None"."""
    if value is None:
        return "None"
    return type_of(value) if isinstance(value, type) else with_article(type(value).__name__)


def type_of(value: Any) -> str:
    """The type of a value, as in messages: "int", "DataFrame", of a class itself "the class Wiener"."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def with_article(name: str) -> str:
    """The name of a type behind "a" or "an", by its first sound.

    A first letter that is spoken by its name, before another capital or as in ndarray, counts by that: "an MSplineBasis". Names of
    types with u begin as in "unit" ("a Uniform").
    """
    is_spelt = (len(name) > 1 and name[0].isupper() and name[1].isupper()) or name.startswith("nd")
    vowels = "aefhilmnorsx" if is_spelt else "aeio"
    return f"{'an' if name[:1].lower() in vowels else 'a'} {name}"


def _from_integers(integers: npt.NDArray[Any], argument: str) -> npt.NDArray[Any]:
    """Return integers of any kind as int64, or as uint64 where that holds them and int64 does not."""
    lowest, highest = int(min(integers)), int(max(integers))
    if lowest >= -(2**63) and highest < 2**63:
        return integers.astype(np.int64)
    if lowest >= 0 and highest < 2**64:
        return integers.astype(np.uint64)
    raise DataError(
        f"{argument} has integers from {shown(lowest)} to {shown(highest)}, more than 64 bits; subtract an origin, or pass floats"
    )


def _zone_of(values: Any, name: str | None) -> Zone:
    """The zone of a series of times: of pandas as it is, for which its name does not always stand."""
    return getattr(values.dtype, "tz", name) if name is not None and hasattr(values, "dtype") else name or False


def _zone_of_objects(times: npt.NDArray[Any], argument: str) -> Zone:
    """The zone that times have, UTC if they have several; refuse a mixture of times with one and without."""
    zoned: dict[bool, int] = {}  # with or without -> the first such index
    zones: set[datetime.tzinfo] = set()
    for i, time in enumerate(times):
        if isinstance(time, datetime.datetime) and time == time:  # NaT is a time, and is not itself
            zoned.setdefault(time.tzinfo is not None, i)
            zones |= {time.tzinfo} if time.tzinfo is not None else set()
    if len(zoned) == 2:
        raise DataError(
            f"{argument} mixes times with a zone ({argument}[{zoned[True]}]) and times without one ({argument}[{zoned[False]}]); "
            "give each a zone, or none"
        )
    if not zoned:
        return None
    return (zones.pop() if len(zones) == 1 else datetime.UTC) if zones else False


def to_nanoseconds(times: npt.NDArray[Any], argument: str) -> npt.NDArray[Any]:
    """Return times as datetime64[ns] or timedelta64[ns]; refuse those that do not fit."""
    unit = np.dtype(times.dtype.kind + "8[ns]")
    try:
        fine = times.astype(unit)
        wrapped = ~np.isnat(times) & (fine.astype(times.dtype) != times)
    except OverflowError:  # of NumPy from 2.5
        wrapped = np.array([_overflows(time, unit) for time in times])
    if wrapped.any():
        i = first_index(wrapped)
        raise DataError(f"{argument}[{i}] = {times[i]} is outside 1678 .. 2262, where nanoseconds fit; pass years as numbers")
    return fine


def _overflows(time: Any, unit: np.dtype[Any]) -> bool:
    """Whether a time leaves the range of a unit."""
    try:
        time.astype(unit)
    except OverflowError:
        return True
    return False


def _without_zone(time: Any) -> Any:
    """Return a time as its clock in UTC, where it has a zone."""
    if getattr(time, "tzinfo", None) is not None:
        time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    return time.to_numpy() if hasattr(time, "to_numpy") else time


def to_floats(values: Any, argument: str, *, is_indicator: bool = False) -> tuple[FloatArray, str | None]:
    """Return a vector of float64, never the caller's own memory; times are refused, and booleans that are no indicator."""
    array, label, _ = to_vector(values, argument, "numbers", is_indicator=is_indicator)
    _refuse_times(array, argument)
    return np.array(array, dtype=np.float64), label


def to_numbers(values: Any, argument: str, *, is_indicator: bool = False) -> FloatArray:
    """Return numbers of any shape as float64, never the caller's own memory; times are refused, and booleans as by `to_floats`."""
    array = to_array(values, argument, "real numbers", is_indicator=is_indicator).values
    _refuse_times(array, argument)
    return np.array(array, dtype=np.float64)


def view_floats(values: Any, argument: str) -> FloatArray:
    """Return a vector of float64 only to be read: it may be the caller's own memory; times are refused."""
    array, _, _ = to_vector(values, argument, "numbers")
    _refuse_times(array, argument)
    return np.asarray(array, dtype=np.float64)


def _refuse_times(array: npt.NDArray[Any], argument: str) -> None:
    if array.dtype.kind in "Mm":
        raise DataError(f"{argument} contains times ({array.dtype}); pass numbers")


def first_index(mask: npt.NDArray[np.bool_]) -> int:
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
        raise SpecificationError(f"{argument} is {shown(value)}; pass an integer from {lowest} to {highest}")
    if not lowest <= value <= highest:
        raise SpecificationError(f"{argument} is {shown(value)}; it ranges from {lowest} to {highest}")
    return int(value)


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        words = list(map(repr, choices))
        listed = " or ".join(words) if len(words) < 3 else f"one of {', '.join(words)}"
        raise SpecificationError(f"{name} is {shown(value)}; pass {listed}")
    return str(value)


def check_flag(value: Any, argument: str, remedy: str = "") -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise SpecificationError(f"{argument} is {shown(value)}; pass True or False{remedy}")
    return bool(value)


def is_zero(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and value == 0


def check_number(value: Any) -> float:
    """Return a finite number that a spline is combined with."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise SpecificationError(f"{described(value)} does not combine with a spline; pass a spline or a number")
    size: Any = abs(value)
    if not size <= float(np.finfo(np.float64).max):
        raise SpecificationError(f"{shown(value)} does not combine with a spline; pass a finite number")
    return float(value)


def check_positive(value: Any, argument: str) -> float:
    """Return a positive finite number."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        units = ", counted in the unit of x" if isinstance(value, (datetime.timedelta, np.timedelta64)) else ""
        raise SpecificationError(f"{argument} is {shown(value)}; pass a positive number{units}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not 0 < number < float("inf"):
        raise SpecificationError(f"{argument} is {shown(value)}; it is positive and finite")
    return number


def check_level(alpha: Any) -> float:
    """Return a significance level strictly between 0 and 1."""
    level = check_positive(alpha, "alpha")
    if level >= 1:
        raise SpecificationError(f"alpha is {alpha}; it lies between 0 and 1, 0.05 for 95 % intervals")
    return level


def check_rng(rng: Any) -> np.random.Generator:
    """Return a generator: the given one, or one made from a seed (None: an arbitrary one)."""
    if not isinstance(rng, (bool, np.bool_, float, np.floating)):
        try:
            return np.random.default_rng(rng)
        except (TypeError, ValueError):
            pass
    raise SpecificationError(f"rng is {shown(rng)}; pass a numpy.random.Generator, a seed (an integer from 0 on), or None")


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array, made read-only."""
    array.flags.writeable = False
    return array


class Frozen:
    """A dataclass whose arrays are read-only, also after copying and unpickling, when NumPy drops the flag.

    What it has computed and kept is not part of its state.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(cast(Any, self))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                frozen(value)
        self.__dict__.update(state)


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Raise ResourceError before an allocation that exceeds the memory.

    Parameters
    ----------
    needed : float
        Estimated bytes at the peak of the computation, the result included; may be infinite.
    what : str
        What needs them, with the argument that decides: "a basis of n_segments = 1000000000".
    remedy : str
        What to do instead: "lower n_segments".

    Notes
    -----
    The limit is 80 % of the available memory: what the operating system reports as available now, or less if the process is
    limited (``ulimit -v``, a container). Requests below 256 MB are not checked.
    """
    if needed <= UNQUESTIONED:
        return
    available = available_memory()
    if not needed <= USABLE * available:
        raise ResourceError(f"{what} needs about {_in_bytes(needed)} of memory, and {_in_bytes(available)} are available; {remedy}")


def available_memory() -> float:
    """Bytes that this process may still allocate: the minimum of the limits of the system, of a container and of the process."""
    return min(_of_system(), *_of_container(), _of_process())


def _of_system() -> float:
    """Available memory of the machine, or all of it if only that is known."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return float(UNKNOWN_MEMORY)


def _of_container() -> list[float]:
    """Limits of control groups of Linux, of either version."""
    limits = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(float(text))
    return limits


def _of_process() -> float:
    """Limit of the address space of the process."""
    try:
        import resource
    except ImportError:  # Windows
        return float("inf")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return float("inf") if limit == resource.RLIM_INFINITY else float(limit)


def _in_bytes(size: float) -> str:
    """A size in the unit that suits it, such as 7.5 GB."""
    for unit, scale in (("MB", 1e6), ("GB", 1e9)):
        if size < 1000 * scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e12:,.1f} TB"
