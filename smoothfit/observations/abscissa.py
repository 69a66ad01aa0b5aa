"""Conversion of x to numbers: times are counted in a unit from the first, large integers from the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._frames import column_of, library_of, listed, table_of
from .._validation import LARGEST_EXACT, FloatArray, IntArray, Zone, check_choice, check_finite, to_array, to_nanoseconds
from ..errors import DataError, SpecificationError

YEAR = 31_556_952_000_000_000  # nanoseconds in 365.2425 days, the mean of the Gregorian calendar
NANOSECONDS = {
    "Y": YEAR,
    "M": YEAR // 12,
    "D": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "min": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
LONG = ("Y", "M")  # units that are not chosen unless they are asked for: their lengths are means
HALF = 2**32  # what splits a 64-bit integer in two that are exact as float64


def check_unit(unit: str) -> str:
    return check_choice(unit, "unit", tuple(NANOSECONDS))


def unit_of(spacing: float) -> str:
    """The longest unit, at most a day, no longer than a spacing in nanoseconds."""
    return next((unit for unit, length in NANOSECONDS.items() if length <= spacing and unit not in LONG), "ns")


@dataclass(frozen=True, eq=False)
class Points:
    """Values of x as numbers coarse + fine: `fine` is what rounding to float64 took from `coarse`, None if that is nothing.

    Exact for integers; times are right to 2^-53 of their unit however wide they range.
    """

    coarse: FloatArray
    fine: FloatArray | None = None

    def take(self, index: Any) -> Points:
        """Return some of the points, chosen as entries of an array are."""
        return Points(self.coarse[index], None if self.fine is None else self.fine[index])

    def minus(self, other: Points) -> FloatArray:
        """Differences, taken before rounding."""
        difference = self.coarse - other.coarse
        if self.fine is None and other.fine is None:
            return difference
        return difference + ((0.0 if self.fine is None else self.fine) - (0.0 if other.fine is None else other.fine))

    @classmethod
    def join(cls, parts: Sequence[Points]) -> Points:
        """Points one after the other."""
        coarse = np.concatenate([part.coarse for part in parts])
        if all(part.fine is None for part in parts):
            return cls(coarse)
        return cls(coarse, np.concatenate([np.zeros_like(part.coarse) if part.fine is None else part.fine for part in parts]))

    def distinct(self) -> tuple[Points, npt.NDArray[np.int64], FloatArray]:
        """The distinct points in order, which of them each point is, and the steps between them."""
        order = np.argsort(self.keys, kind="stable")
        points = self.take(order)
        steps = points.take(slice(1, None)).minus(points.take(slice(-1)))
        starts = np.concatenate([[True], steps > 0])
        number = np.empty(len(order), np.int64)
        number[order] = np.cumsum(starts) - 1
        return points.take(starts), number, steps[steps > 0]

    def before(self, distance: float) -> Points:
        """The points a distance below."""
        return replace(self, coarse=self.coarse - distance)

    @property
    def keys(self) -> npt.NDArray[Any]:
        """What sorts as the points do: complex numbers are compared part by part."""
        return self.coarse if self.fine is None else self.coarse + 1j * self.fine


def in_zone(times: npt.NDArray[Any], zone: Zone) -> Any:
    """Times in UTC as a pandas index in a zone; other values of x, and without a zone, as they are."""
    if not zone or times.dtype.kind != "M":
        return times
    import pandas as pd

    return pd.DatetimeIndex(times, tz="UTC").tz_convert(zone)


def _local_label(time: Any, zone: Zone) -> str:
    """Clock of a time in UTC in a zone, as short as that of NumPy, and its distance to UTC."""
    local = in_zone(np.array([time], dtype="M8[ns]"), zone)[0]
    clock = str(np.datetime_as_string(local.tz_localize(None).to_datetime64(), unit="auto"))
    return f"{clock}{'' if 'T' in clock else 'T00:00'}{local.isoformat()[-6:]}"


class Asked(NamedTuple):
    """The x of an evaluation.

    `array` is in the types of observations, of one dimension or none, `zone` is theirs, `table` the data frame that they came from,
    `library` that of a series or data frame.
    """

    array: npt.NDArray[Any]
    zone: Zone
    table: Mapping[str, Any] | None
    library: str | None = None

    @property
    def shown(self) -> Any:
        """The values of x in one dimension, as they were given, but never the caller's own memory."""
        return in_zone(self.array.ravel().copy(), self.zone)


@dataclass(frozen=True)
class Abscissa:
    """The scale on which a curve's x is a number.

    Attributes
    ----------
    kind : {"number", "datetime", "timedelta"}
    origin : int
        The x that becomes zero: nanoseconds since 1970 (datetime), nanoseconds (timedelta), or an integer (numbers too
        large to be exact as float64; zero otherwise).
    unit : str or None
        Unit of time; None if x holds numbers.
    is_split : bool
        Whether x counted from the origin has more digits than a float64; see `Points`.
    zone : datetime.tzinfo, str, False or None
        Time zone of datetimes; False if they have none, None if unknown.
    column : str or None
        Column of x in data frames.
    """

    kind: str
    origin: int = 0
    unit: str | None = None
    is_split: bool = False
    zone: Zone = None
    column: str | None = None

    @classmethod
    def of(cls, parts: Sequence[npt.NDArray[Any]], unit: str | None, zone: Zone = None, column: str | None = None) -> Abscissa:
        """Choose the scale for values of x of one kind."""
        if parts[0].dtype.kind in "Mm":
            counts = [part.view(np.int64) for part in parts]
            lowest, highest = min(int(c.min()) for c in counts), max(int(c.max()) for c in counts)
            if highest - lowest >= 2**63:
                raise DataError("x spans more than 292 years, which nanoseconds cannot count; pass years as numbers")
            if unit is None:
                spacing = (highest - lowest) / max(1, sum(len(c) for c in counts) - 1)
                unit = unit_of(spacing)
            kind = "datetime" if parts[0].dtype.kind == "M" else "timedelta"
            origin = lowest if kind == "datetime" else 0
        else:
            counts = [part for part in parts if part.dtype.kind in "iu"]
            lowest, highest = min((int(c.min()) for c in counts), default=0), max((int(c.max()) for c in counts), default=0)
            kind, origin = "number", lowest if max(highest, -lowest) > LARGEST_EXACT else 0
        is_wide = max(highest - origin, origin - lowest) > LARGEST_EXACT
        is_split = is_wide and any(_fine_of(*_halves(count, origin)).any() for count in counts)
        return cls(kind, origin, unit, is_split, zone, column)

    def in_unit(self, duration: float) -> float:
        """Return a difference of x in its unit: of times it is kept in nanoseconds, of numbers as it is.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> times = np.array(["2024-01-01T00:00", "2024-01-01T12:00"], "datetime64[m]")
        >>> abscissa = sf.observe(times, [1.0, 2.0], unit="h").abscissa
        >>> abscissa.in_unit(7.2e12)
        2.0
        """
        return duration if self.unit is None else duration / NANOSECONDS[self.unit]

    def points(self, x: npt.NDArray[Any]) -> Points:
        """Numbers on this scale with their digits beyond float64; any shape."""
        if not self.is_split or x.dtype.kind == "f":
            return Points(self.to_numbers(x))
        unit = 1 if self.unit is None else NANOSECONDS[self.unit]
        if unit == 1:
            high, low = _halves(x.view(np.int64) if x.dtype.kind in "Mm" else x, self.origin)
            return Points(_coarse_of(high, low), _fine_of(high, low))
        counts = x.view(np.int64)
        whole = (counts // unit - self.origin // unit).astype(np.float64)
        part = (counts % unit - self.origin % unit) / unit
        coarse = whole + part
        return Points(coarse, part - (coarse - whole))

    def to_numbers(self, x: npt.NDArray[Any]) -> FloatArray:
        """Numbers on this scale; differences of times and of large integers are taken before rounding."""
        if self.is_split and x.dtype.kind != "f":
            return self.points(x).coarse
        if x.dtype.kind in "Mm":
            assert self.unit is not None
            return _coarse_of(*_halves(x.view(np.int64), self.origin)) / NANOSECONDS[self.unit]
        if self.origin and x.dtype.kind in "iu":
            return _coarse_of(*_halves(x, self.origin))
        return np.asarray(x - self.origin if self.origin else x, dtype=np.float64)

    def read(self, x: Any, argument: str = "x") -> FloatArray:
        """Numbers for the x of an evaluation, as `given`. If x was times, times are expected."""
        return self.to_numbers(self.given(x, argument))

    def given(self, x: Any, argument: str = "x") -> npt.NDArray[Any]:
        """Return the x of an evaluation in the types of observations: float64, integers, or times in ns.

        One dimension, or none. Of a data frame the column of x.
        """
        return self.asked(x, argument).array

    def asked(self, x: Any, argument: str = "x") -> Asked:
        """Return the x of an evaluation, as `given`, and the other columns of their data frame."""
        table = table_of(x, argument)
        array, _, zone = to_array(x if table is None else self._column_of(table, argument), argument)
        if array.ndim > 1:
            called = "" if self.column is None else f" ({self.column})"
            raise DataError(
                f"{argument} has shape {array.shape}, but {argument} is one variable{called}; pass its column, for example "
                f"{argument}[:, 0]"
            )
        return Asked(self._checked(array, zone, argument), zone, table, library_of(x))

    def _column_of(self, table: Mapping[str, Any], argument: str) -> Any:
        """The column of x in a data frame."""
        if self.column is None:
            example = "x" if "x" in table else next(iter(table), "x")
            raise DataError(
                f"{argument} is a data frame with the columns {listed(table)}, and this curve was fitted to an array without a "
                f"name; pass the column of x, for example frame[{example!r}]"
            )
        return column_of(table, self.column, argument, f"; rename the column of x to {self.column!r}, or pass it: frame[...]")

    def _checked(self, array: npt.NDArray[Any], zone: Zone, argument: str) -> npt.NDArray[Any]:
        """Values of x in the types of observations."""
        wanted = {"number": "iuf", "datetime": "M", "timedelta": "m"}[self.kind]
        if not array.size and array.dtype.kind == "f":  # an empty list has no type
            kind: str = {"number": "f8", "datetime": "M8[ns]", "timedelta": "m8[ns]"}[self.kind]
            return array.astype(kind)
        if array.dtype.kind not in wanted:
            hint = f"; its observations were taken at {self.kind} x" + (f", counted in {self.unit}" if self.unit else "")
            raise DataError(f"{argument} holds {array.dtype}, which this curve's x is not{hint}; pass {self._example}")
        if array.dtype.kind in "Mm":
            if None not in (zone, self.zone) and bool(zone) != bool(self.zone):
                which = ("with a zone", "without one") if zone else ("without a zone", "with one")
                raise DataError(
                    f"{argument} contains times {which[0]}, the observations are at times {which[1]}; give both a zone, or neither"
                )
            array = to_nanoseconds(array, argument)
            if np.isnat(array).any():
                raise DataError(f"{argument}[{int(np.argmax(np.isnat(array)))}] is missing (NaT)")
            return array
        return as_numbers(array.ravel(), argument, "pass finite values of x").reshape(array.shape)

    @property
    def _example(self) -> str:
        """An x of the kind of the observations, as code."""
        if self.kind == "datetime":
            return f"times, such as {'pd.Timestamp' if self.zone else 'np.datetime64'}({self.origin_label!r})"
        unit = "D" if self.unit in LONG else self.unit
        return f"durations, such as np.timedelta64(1, {unit!r})" if self.kind == "timedelta" else "numbers"

    def restore(self, numbers: FloatArray) -> npt.NDArray[Any]:
        """Return x for numbers, as times if x was times; rounded as the numbers are."""
        if self.unit is None:
            return numbers + self.origin if self.origin else numbers
        counts = np.round(numbers * NANOSECONDS[self.unit]).astype(np.int64) + self.origin
        return counts.view("M8[ns]" if self.kind == "datetime" else "m8[ns]")

    def shown(self, x: npt.NDArray[Any]) -> Any:
        """Values of x in UTC as a user gave them: times with a zone as a pandas index in that zone, all else as they are."""
        return in_zone(x, self.zone)

    def label(self, x: Any) -> str:
        """Short string for one x: a number, timedelta64, or datetime64 (in UTC), in the zone of the observations."""
        if self.kind == "datetime":
            return self.utc_label(x) if not self.zone else _local_label(x, self.zone)
        if self.kind == "number" and not isinstance(x, (float, np.floating)) and self.origin:
            return str(x)
        return f"{float(self.to_numbers(np.asarray(x))) if self.unit else float(x):.10g}"

    def utc_label(self, x: Any) -> str:
        """As `label`, of times in UTC."""
        return str(np.datetime_as_string(x, unit="auto")) if self.kind == "datetime" else self.label(x)

    def label_of_number(self, number: float) -> str:
        """Short string for the x of a number on this scale."""
        return self.label(self.restore(np.array([number]))[0])

    @property
    def origin_label(self) -> str:
        """Short string for the x that becomes zero."""
        return self.label(np.datetime64(self.origin, "ns")) if self.kind == "datetime" else str(self.origin)


def as_numbers(x: npt.NDArray[Any], argument: str, remedy: str) -> npt.NDArray[Any]:
    """Return finite numbers as int64 where these hold them, as uint64, or as float64."""
    if x.dtype.kind == "f":
        floats = x.astype(np.float64)
        check_finite(floats, argument, remedy)
        return floats
    is_large = x.dtype.kind == "u" and x.size and int(x.max()) >= 2**63
    return x.astype(np.uint64 if is_large else np.int64)


def join(parts: Sequence[npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    """Concatenate values of x of one kind without loss of digits."""
    kinds = {part.dtype.kind for part in parts}
    extremes = [int(e) for part in parts if part.dtype.kind in "iu" for e in (part.min(), part.max())]
    if kinds == {"i", "u"}:
        if min(extremes) < 0:
            raise DataError(
                f"x of {name!r} ranges from {min(extremes)} to {max(extremes)}, more than 64 bits hold; subtract an origin"
            )
        parts = [part.astype(np.uint64) for part in parts]
    elif "f" in kinds and extremes and max(map(abs, extremes)) > LARGEST_EXACT:
        raise DataError(f"x of {name!r} holds integers beyond 2^53 in one part and floats in another; pass one kind")
    return np.concatenate(parts)


def _as_lags(x: npt.NDArray[Any], given: Any, argument: str = "lag") -> npt.NDArray[Any]:
    """Lags (k,) of the kind of differences of x: nanoseconds as timedelta64, or numbers."""
    array = np.atleast_1d(to_array(given, argument, "a number, or a duration if x holds times").values)
    if x.dtype.kind in "Mm":
        if array.dtype.kind != "m":
            example = "such as np.timedelta64(90, 's')"
            raise SpecificationError(f"{argument} is {given!r}, but x holds times; pass a duration, {example}")
        array = to_nanoseconds(array, argument)
        if np.isnat(array).any():
            raise DataError(f"{argument} is missing (NaT); pass a duration")
        return array
    if array.dtype.kind not in "iuf":
        raise SpecificationError(f"{argument} is {given!r}, but x holds numbers; pass a number in the unit of x")
    check_finite(array.astype(np.float64), argument, "pass a finite number")
    return array


def check_response(x: npt.NDArray[Any], given: Any) -> tuple[float | None, bool]:
    """Return a known response time in the unit of x, or in nanoseconds, and whether it is to be estimated."""
    if given is None:
        return None, False
    if isinstance(given, str):
        if given != "estimate":
            raise SpecificationError(f'response_time is {given!r}; pass "estimate", or a number or duration')
        return None, True
    if np.ndim(given) > 0:
        raise SpecificationError('response_time has several entries; pass "estimate", or one number or duration')
    value = float(_as_lags(x, given, "response_time").astype(np.float64)[0])
    if value <= 0:
        raise DataError(
            f'response_time is {given!r}; pass a positive one, or "estimate", or leave it out if the instrument responds at once'
        )
    return value, False


def earlier(x: npt.NDArray[Any], lag: Any) -> npt.NDArray[Any]:
    """Values of x less a known lag, with all their digits."""
    array = _as_lags(x, lag)
    if array.dtype.kind == "m":
        return np.asarray(x - array)
    if x.dtype.kind in "iu":
        whole = array.astype(np.int64)
        if (whole == array).all() and int(x.max()) < 2**62 and int(x.min()) > -(2**62) and abs(int(whole[0])) < 2**62:
            return np.asarray(x.astype(np.int64) - whole)
        if max(abs(int(x.min())), abs(int(x.max()))) > LARGEST_EXACT:
            raise DataError(f"lag is {lag!r}, and x holds integers beyond 2^53; pass a whole number, or subtract an origin from x")
    return np.asarray(x - array.astype(np.float64))


def lag_range(x: npt.NDArray[Any], lag: Any) -> tuple[float, float]:
    """Limits of a lag that is estimated, in the unit of x, or in nanoseconds."""
    if np.ndim(lag) != 1 or len(lag) != 2:
        raise SpecificationError(
            'lag has several entries; pass "estimate", limits (low, high), or one number or duration; take what varies out of x'
        )
    low, high = (float(end) for one in lag for end in _as_lags(x, one).astype(np.float64))
    if not low < high:
        raise DataError(f"lag is {lag!r}, whose limits do not increase; pass (low, high)")
    return low, high


# 64-bit integers x - origin as high 2^32 + low, each part exact as float64; no difference can overflow.


def _halves(x: npt.NDArray[Any], origin: int) -> tuple[IntArray, IntArray]:
    high = (x // HALF).astype(np.int64) - origin // HALF
    low = (x % HALF).astype(np.int64) - origin % HALF
    return high, low


def _coarse_of(high: IntArray, low: IntArray) -> FloatArray:
    return np.asarray(high.astype(np.float64) * HALF + low)


def _fine_of(high: IntArray, low: IntArray) -> FloatArray:
    return np.asarray(low - (_coarse_of(high, low) - high.astype(np.float64) * HALF))
