"""How abscissae become numbers: times are counted in a unit from the first of them, large integers from the least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._validation import FloatArray, check_finite, to_nanoseconds, to_vector
from .errors import DataError, SpecificationError

NANOSECONDS = {
    "D": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "min": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
LARGEST_EXACT = 2**53  # integers up to here are exact as float64


def check_unit(unit: str) -> str:
    """Return a unit of time."""
    if unit not in NANOSECONDS:
        raise SpecificationError(f"unit is {unit!r}; pass one of {', '.join(NANOSECONDS)}")
    return unit


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
        Unit of time; None where x holds numbers.
    """

    kind: str
    origin: int = 0
    unit: str | None = None

    @classmethod
    def of(cls, parts: Sequence[npt.NDArray[Any]], unit: str | None) -> Abscissa:
        """Choose the scale for abscissae of one kind."""
        if parts[0].dtype.kind in "Mm":
            counts = np.concatenate([part.view(np.int64) for part in parts])
            lowest, highest = int(counts.min()), int(counts.max())
            if highest - lowest >= 2**63:
                raise DataError("x spans more than 292 years, which nanoseconds cannot count; pass years as numbers")
            if unit is None:
                spacing = (highest - lowest) / max(1, len(counts) - 1)
                unit = next((u for u, length in NANOSECONDS.items() if length <= spacing), "ns")
            kind = "datetime" if parts[0].dtype.kind == "M" else "timedelta"
            return cls(kind, lowest if kind == "datetime" else 0, unit)
        extremes = [int(part.min()) for part in parts if part.dtype.kind == "i"]
        largest = max((abs(int(e)) for p in parts if p.dtype.kind == "i" for e in (p.min(), p.max())), default=0)
        return cls("number", min(extremes) if largest > LARGEST_EXACT else 0)

    def to_numbers(self, x: npt.NDArray[Any]) -> FloatArray:
        """Numbers on this scale; differences of times and of large integers are taken before rounding."""
        if x.dtype.kind in "Mm":
            assert self.unit is not None
            return np.asarray((x.view(np.int64) - self.origin) / NANOSECONDS[self.unit], dtype=np.float64)
        return np.asarray(x - self.origin if self.origin else x, dtype=np.float64)

    def read(self, x: Any, argument: str = "x") -> FloatArray:
        """Numbers for abscissae a user asks about; any shape. Where x was times, times are expected."""
        shape = np.shape(x)
        array, _ = to_vector(np.ravel(x) if len(shape) > 1 else x, argument)
        wanted = {"number": "iuf", "datetime": "M", "timedelta": "m"}[self.kind]
        if array.dtype.kind not in wanted:
            hint = f"; its readings were taken at {self.kind} x" + (f", counted in {self.unit}" if self.unit else "")
            raise DataError(f"{argument} holds {array.dtype}, which this curve's x is not{hint}")
        if array.dtype.kind in "Mm":
            array = to_nanoseconds(array, argument)
            if np.isnat(array).any():
                raise DataError(f"{argument}[{int(np.argmax(np.isnat(array)))}] is missing (NaT)")
        else:
            if array.dtype.kind != "i":
                array = array.astype(np.float64)
            check_finite(array.astype(np.float64), argument, "pass finite abscissae")
        return self.to_numbers(array).reshape(shape)

    def restore(self, numbers: FloatArray) -> npt.NDArray[Any]:
        """Return the abscissae of numbers, as times where x was times."""
        if self.unit is None:
            return numbers + self.origin if self.origin else numbers
        counts = np.round(numbers * NANOSECONDS[self.unit]).astype(np.int64) + self.origin
        return counts.view("M8[ns]" if self.kind == "datetime" else "m8[ns]")

    def labels(self, numbers: FloatArray) -> list[str]:
        """Short texts for abscissae."""
        if self.kind == "datetime":
            return [str(np.datetime_as_string(time, unit="auto")) for time in self.restore(numbers)]
        return [str(int(number) + self.origin) if self.origin else f"{number:.10g}" for number in numbers]
