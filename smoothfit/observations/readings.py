"""Noise, names and joining of observations, both of curves and of functions of several variables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt
from narwhals.exceptions import DuplicateError

from .._frames import RowLabels, absent_column, listed, repeated_columns, stacked
from .._html import html_of
from .._validation import FloatArray, Frozen, described, first_index, frozen, refuse_dask, shown, to_floats
from ..errors import DataError, SpecificationError, UnknownNameError

HIGHEST_DERIVATIVE = 10
EXAMPLES = {  # of what is said of columns
    "readings": "{'y': 0}, to the order of the derivative that each observes",
    "sd": "{'y': 0.1}",
    "weights": "{'y': 'the name of a column of weights'}",
    "resolution": "{'y': 0.5}",
    "bias": "{'y': 'estimate'}",
    "scale": "{'y': 'estimate'}",
    "lag": "{'y': 'estimate'}",
    "noise_growth": "{'y': 1.0}",
    "response_time": "{'y': 'estimate'}",
}
OF_INTEGRAL = -1  # the order of a derivative that an integral has


class NoisyReadings(Frozen, ABC):
    """The observations y of one series and what is known of their noise; its dataclasses add what is observed, and where."""

    name: str
    y: FloatArray
    sd: FloatArray | None
    weights: FloatArray | None
    n_dropped: int
    resolution: FloatArray | None = None  # of observations along one variable
    rows: RowLabels | None = None  # that the observations came from
    has_bias: bool = False  # of observations along one variable
    has_scale: bool = False  # likewise
    has_lag: bool = False  # likewise
    noise_growth: float | None = None  # likewise
    response_time: float | None = None  # likewise
    has_response: bool = False  # likewise

    def __len__(self) -> int:
        return len(self.y)

    @property
    def estimates(self) -> tuple[str, ...]:
        """What is to be estimated of the series beside its noise: ``"bias"``, ``"scale"``, ``"lag"``, ``"response_time"``."""
        found = {"bias": self.has_bias, "scale": self.has_scale, "lag": self.has_lag, "response_time": self.has_response}
        return tuple(name for name, is_unknown in found.items() if is_unknown)

    @property
    def is_filtered(self) -> bool:
        """Whether the instrument responds with a delay, by a filter of first order."""
        return self.has_response or self.response_time is not None

    @property
    def adjustments(self) -> tuple[str, ...]:
        """What `estimates` names, and a given ``"response_time"``."""
        is_given = self.is_filtered and not self.has_response
        return (*self.estimates, *(("response_time",) if is_given else ()))

    @property
    def is_adjusted(self) -> bool:
        """Whether it differs from the curve by more than noise, by something that a fit takes into account."""
        return bool(self.adjustments)

    @abstractmethod
    def merged(self, other: Self) -> Self:
        """Return the observations of both, which belong to one series."""

    @property
    def variance_ratio(self) -> FloatArray:
        """Noise variance of each observation: in units of y^2 if the SD is known, else relative to the unknown variance."""
        return self.variance_ratio_in(1.0)

    def variance_ratio_in(self, unit: float) -> FloatArray:
        """Return `variance_ratio` with y measured in `unit`, a power of two: squares neither overflow nor lose a bit.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.observe([0.0, 1.0], [1.0, 2.0], sd=4.0).readings[0].variance_ratio_in(2.0)
        array([4., 4.])
        """
        variance = np.ones(len(self.y)) if self.sd is None else (self.sd / unit) ** 2
        with np.errstate(divide="ignore"):  # a robust fit may leave an observation without weight
            return variance if self.weights is None else variance / self.weights

    def _merged_noise(self, other: Self) -> dict[str, Any]:
        """The fields y, sd, weights and n_dropped of both."""
        if (self.sd is None) != (other.sd is None):
            raise DataError(f"name {self.name!r} has a known noise SD in one part and none in the other; give both or neither")
        sd = None if self.sd is None or other.sd is None else frozen(np.concatenate([self.sd, other.sd]))
        weights = None
        if self.weights is not None or other.weights is not None:
            ones = [np.ones(len(part)) if part.weights is None else part.weights for part in (self, other)]
            weights = frozen(np.concatenate(ones))
        y = frozen(np.concatenate([self.y, other.y]))
        rows = None if self.rows is None else self.rows.append(other.rows, len(self.y), len(other.y))
        return {"y": y, "sd": sd, "weights": weights, "n_dropped": self.n_dropped + other.n_dropped, "rows": rows}


Kind = TypeVar("Kind", bound=NoisyReadings)


class NamedReadings(Generic[Kind]):
    """Observations by series, in order of first appearance; subclasses define what they observe."""

    readings: tuple[Kind, ...]

    def __len__(self) -> int:
        return sum(len(reading) for reading in self.readings)

    def __radd__(self, other: object) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # where sum() starts

    def __getitem__(self, name: str) -> Kind:
        for reading in self.readings:
            if reading.name == name:
                return reading
        raise UnknownNameError(f"no observations are named {name!r}; the names are {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order of first appearance."""
        return tuple(reading.name for reading in self.readings)

    @property
    def series(self) -> npt.NDArray[np.int64]:
        """Place among `names` of the series of each observation, shape (n,)."""
        return np.repeat(np.arange(len(self.readings)), [len(reading) for reading in self.readings])

    @property
    def y(self) -> FloatArray:
        """Observations, shape (n,), series after series."""
        return np.concatenate([reading.y for reading in self.readings])

    @property
    def library(self) -> str | None:
        """The library of the data frame or series that the observations came from: "pandas", "polars", ...; None of arrays."""
        return next((reading.rows.library for reading in self.readings if reading.rows is not None), None)

    def labelled(self, values: FloatArray, name: str) -> Any:
        """Return values (n,) of the observations under the labels of their rows, NaN in rows that are missing.

        Examples
        --------
        >>> import numpy as np, pandas as pd, smoothfit as sf
        >>> y = pd.Series([1.0, np.nan, 2.0], index=["a", "b", "c"])
        >>> sf.observe([0.0, 1.0, 2.0], y).labelled(np.array([10.0, 30.0]), "double").to_dict()
        {'a': 10.0, 'b': nan, 'c': 30.0}
        """
        ends = np.cumsum([len(reading) for reading in self.readings])[:-1]
        pieces = np.split(values, ends)
        return stacked([(own.name, own.rows, piece) for own, piece in zip(self.readings, pieces, strict=True)], name)

    @abstractmethod
    def read_by(self, reading: Kind) -> str:
        """Return what a series observes, in words.

        Examples
        --------
        >>> import smoothfit as sf
        >>> slopes, areas = sf.observe([0, 1], [1, 2], deriv=1), sf.observe_integral([0], [1], [3.0])
        >>> slopes.read_by(slopes.readings[0]), areas.read_by(areas.readings[0])
        ("f'", 'the integral of f')
        """

    def _repr_html_(self) -> str:
        import pandas as pd

        rows = [
            {
                "observes": self.read_by(reading),
                "n": len(reading),
                "missing": reading.n_dropped,
                "sd": "to be estimated" if reading.sd is None else "given",
            }
            for reading in self.readings
        ]
        return html_of(repr(self).splitlines()[0], pd.DataFrame(rows, index=list(self.names)))

    def _lines(self) -> list[str]:
        """The lines of `repr`, one for each series."""
        lines = []
        for reading in self.readings:
            known = "SD to be estimated" if reading.sd is None else "SD given"
            known += ", rounded to steps" if reading.resolution is not None else ""
            known += f", SD proportional to |{self.read_by(reading)}|^{reading.noise_growth:g}" if reading.noise_growth else ""
            known += ", bias to be estimated" if reading.has_bias else ""
            known += ", scale to be estimated" if reading.has_scale else ""
            known += ", lag to be estimated" if reading.has_lag else ""
            known += f", response time {'to be estimated' if reading.has_response else 'given'}" if reading.is_filtered else ""
            dropped = f", {reading.n_dropped} missing left out" if reading.n_dropped else ""
            count = f"{len(reading)} observation{'s' * (len(reading) != 1)}"
            lines.append(f"  {reading.name}: {count} of {self.read_by(reading)}, {known}{dropped}")
        return lines


def pooled(readings: Sequence[Kind], others: Sequence[Kind]) -> tuple[Kind, ...]:
    """The observations of both, those of one series together."""
    parts = {reading.name: reading for reading in readings}
    for reading in others:
        mine = parts.get(reading.name)
        parts[reading.name] = reading if mine is None else mine.merged(reading)
    return tuple(parts.values())


class Noise(NamedTuple):
    """Checked observations without the missing ones, and which of those given they are."""

    y: FloatArray
    sd: FloatArray | None
    weights: FloatArray | None
    resolution: FloatArray | None
    n_dropped: int
    kept: npt.NDArray[np.bool_]

    def divided(self, factor: float) -> Noise:
        """Observations and what is in their units, divided by a factor."""
        if factor == 1.0:
            return self
        sd, resolution = (None if own is None else frozen(own / factor) for own in (self.sd, self.resolution))
        return self._replace(y=frozen(self.y / factor), sd=sd, resolution=resolution)


def check_noise(
    values: FloatArray, sd: Any, weights: Any, argument: str = "y", exact: bool = False, resolution: Any = None
) -> Noise:
    """Check observations and their precisions, and leave out the missing ones; `exact` allows SDs of zero."""
    bad = np.isinf(values)
    if bad.any():
        i = first_index(bad)
        raise DataError(f"{argument}[{i}] is {values[i]}; an observation is finite, or NaN where it is missing")
    kept = ~np.isnan(values)
    if not kept.any():
        raise DataError(
            f"all {len(values)} observations in {argument} are missing (NaN); leave the series out, or pass another column"
        )
    given = {"sd": sd, "weights": weights, "resolution": resolution}
    columns = {name: _noise_column(values, name, kept, exact) for name, values in given.items()}
    return Noise(y=frozen(values[kept]), **columns, n_dropped=int(len(values) - kept.sum()), kept=kept)


def check_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise SpecificationError(f"name is {name!r}; pass a string")
    return name


def check_known(given: Any, argument: str, default: float) -> tuple[float, bool]:
    """Return a known bias or scale of a series, or a lag in words, and whether it is to be estimated."""
    what = {"bias": "subtracted from y", "scale": "that y is divided by", "lag": "or duration that is subtracted from x"}[argument]
    if given is None:
        return default, False
    if isinstance(given, str):
        if given != "estimate":
            raise SpecificationError(f'{argument} is {given!r}; pass "estimate", or a number {what}')
        return default, True
    if np.ndim(given) > 0:
        raise SpecificationError(f'{argument} has several entries; pass "estimate" or one number, and take what varies out of y')
    value = float(to_floats(given, argument)[0][0])
    if not np.isfinite(value) or (argument == "scale" and value <= 0):
        raise DataError(f'{argument} is {value}; pass a {"finite" if argument == "bias" else "positive"} number, or "estimate"')
    return value, False


def check_growth(given: Any) -> float | None:
    """Return the power of the curve with which noise grows."""
    if given is None:
        return None
    if np.ndim(given) > 0 or isinstance(given, str):
        raise SpecificationError(f"noise_growth is {shown(given)}; pass one number, the power of the curve that the SD grows with")
    value = float(to_floats(given, "noise_growth")[0][0])
    if not (np.isfinite(value) and value > 0):
        raise DataError(f"noise_growth is {value}; pass a positive number, or leave it out for a constant SD")
    return value


def _noise_column(given: Any, argument: str, kept: npt.NDArray[np.bool_], exact: bool) -> FloatArray | None:
    """Check sd, weights or resolution: positive and finite wherever there is an observation; a scalar serves all."""
    if given is None:
        return None
    values, _ = to_floats(given, argument)
    n = len(kept)
    if np.ndim(given) == 0:
        values = np.full(n, values[0])
    if len(values) != n:
        raise DataError(f"{argument} has {len(values)} entries for {n} observations; pass one number or one for each observation")
    is_sd = argument == "sd"
    bad = kept & ~(((values >= 0) if is_sd and exact else (values > 0)) & np.isfinite(values))
    if bad.any():
        i = first_index(bad)
        if is_sd:
            zero = "positive, zero where the observation is exact," if exact else "positive and finite,"
            raise DataError(f"{argument}[{i}] is {values[i]}; a standard deviation is {zero} or None to have it estimated")
        if argument == "resolution":
            raise DataError(f"resolution[{i}] is {values[i]}; the step that observations were rounded to is positive and finite")
        raise DataError(f"weights[{i}] is {values[i]}; a weight is positive and finite; to leave out an observation set it to NaN")
    return frozen(values[kept])


class Table(NamedTuple):
    """A data frame whose columns are observations, and known options of them."""

    frame: Any

    @classmethod
    def of(cls, data: Any, readings: Mapping[Any, Any], **options: Mapping[Any, Any] | None) -> Table:
        """Check a pandas, Polars or PyArrow data frame and what is said of its columns."""
        refuse_dask(data, "data")
        try:
            frame = nw.from_native(data, eager_only=True)
        except TypeError:
            own = "to_dataframe().reset_index()" if hasattr(data, "to_dataframe") else "collect()"  # xarray; a lazy frame
            way = f" (data.{own} is one)" if hasattr(data, own.split("(")[0]) else ""
            raise DataError(f"data is {described(data)}; pass a pandas, Polars or PyArrow data frame{way}") from None
        except DuplicateError:
            raise repeated_columns(data, "data") from None
        for argument, given in (("readings", readings), *options.items()):
            if given is not None and not isinstance(given, Mapping):
                raise SpecificationError(
                    f"{argument} is {shown(given)}; pass a mapping from columns of observations, for example {EXAMPLES[argument]}"
                )
        for argument, given in options.items():
            unknown = set(given or {}) - set(readings)
            if unknown:
                raise DataError(f"{argument} is given for {sorted(unknown, key=str)}, which readings does not list")
        if not readings:
            raise SpecificationError("readings is empty; map at least one column to the order of its derivative")
        return cls(frame)

    def column(self, name: Any) -> Any:
        """A column, in the type of the frame."""
        if not isinstance(name, Hashable):
            raise SpecificationError(f"{shown(name)} is not the name of a column; pass one of {listed(self.frame.columns)}")
        if name not in self.frame.columns:
            index = getattr(getattr(self.frame.to_native(), "index", None), "names", ())
            hint = f"; {name!r} is its index: pass data.reset_index()" if name in index else ""
            raise absent_column(name, self.frame.columns, hint=hint)
        return self.frame.get_column(name).to_native()

    def option(self, options: Mapping[Any, Any] | None, name: Any) -> Any:
        """What is given for a column; a string names another column."""
        value = (options or {}).get(name)
        return self.column(value) if isinstance(value, str) else value
