"""Observations as rows of a design matrix: each observed functional applied to every basis function."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .._validation import FloatArray, described
from ..basis import BSplineBasis
from ..basis.base import Basis
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import DataError, SpecificationError
from ..observations import Observations, Readings
from ..observations.abscissa import Abscissa
from ..observations.points import PointObservations
from ..observations.readings import NoisyReadings
from .band import CHUNK, BandRows, Factor, factorize, factorize_readings, join, merged, pack
from .correlation import Correlation, places
from .functionals import check_dates, check_degree, check_lagged, degree_of, rows_of_reading
from .products import ProductRows
from .response import Slow
from .whitening import Whitening

Number = TypeVar("Number", bound=np.generic)
LARGEST = 1e100  # of an SD
LARGEST_Y = 1e152  # of the observations of a series: the squares of residuals stay in range
ROUNDING = 1e-30  # of the sum of squares of a series: below, its spread about its mean is rounding


def check_noise(reading: NoisyReadings) -> None:
    """Refuse sds and weights whose squares overflow or underflow."""
    for what, values, power in (("sd", reading.sd, 1), ("weights", reading.weights, 2)):
        if values is None:
            continue
        outside = (values > 0) & ~((values > LARGEST**-power) & (values < LARGEST**power))
        if outside.any():
            i = int(np.argmax(outside))
            raise DataError(
                f"{what}[{i}] of {reading.name!r} is {values[i]:g}, beyond {LARGEST**-power:g} to {LARGEST**power:g}, whose "
                "squares leave the range of double precision; measure y in another unit, or leave the observation out"
            )


def check_size(reading: NoisyReadings) -> None:
    """Refuse observations whose squares overflow."""
    sizes = np.abs(reading.y)
    i = int(np.argmax(sizes))
    largest = float(sizes[i])
    is_small = reading.sd is None and 0 < largest < 1 / LARGEST_Y
    if is_small or largest > LARGEST_Y:
        raise DataError(
            f"y[{i}] of {reading.name!r} is {largest:g} in size, the largest of its series, beyond {1 / LARGEST_Y:g} to "
            f"{LARGEST_Y:g}, whose squares leave the range of double precision; measure y in another unit"
        )


def check_variables(observations: Observations | PointObservations, basis: AnyBasis) -> None:
    """Refuse observations of another number of variables than the basis has, and exact ones."""
    if isinstance(basis, TensorProductBasis) != isinstance(observations, PointObservations):
        are = "at points of several variables" if isinstance(observations, PointObservations) else "along one variable"
        wanted = "sf.TensorProductBasis(b0, b1)" if isinstance(observations, PointObservations) else "sf.BSplineBasis"
        remedy = (
            "observe points (n, d): sf.observe(X, y)" if isinstance(basis, TensorProductBasis) else f"pass a basis like {wanted}"
        )
        raise SpecificationError(f"the observations are {are}, and the basis is {described(basis)}; {remedy}")
    for own in observations.readings:
        check_noise(own)
        check_size(own)
    if not isinstance(observations, PointObservations) or not isinstance(basis, TensorProductBasis):
        return
    if len(observations.inputs) != basis.n_variables:
        raise SpecificationError(
            f"the observations have {len(observations.inputs)} inputs ({', '.join(observations.inputs)}) and the basis "
            f"{basis.n_variables} variables; pass a factor for each input"
        )
    for reading in observations.readings:
        if reading.sd is not None and not reading.sd.all():
            i = int(np.argmin(reading.sd))
            raise SpecificationError(f"sd[{i}] of {reading.name!r} is zero; what is known exactly is a constraint: sf.Equals")


def check_dates_of(observations: Observations | PointObservations, basis: AnyBasis) -> None:
    """Refuse dates outside a basis; those of a series with an unknown lag are elsewhere in it."""
    if not isinstance(observations, Observations):
        return
    abscissa = observations.abscissa
    for reading in observations.readings:
        arguments = ("x",) if reading.upper is None else ("lower", "upper")
        for argument, x in () if reading.has_lag else zip(arguments, reading.limits, strict=True):
            check_dates(basis, abscissa, abscissa.to_numbers(x), argument, f" of {reading.name!r}")


def is_streamed(basis: AnyBasis, readings: NoisyReadings) -> bool:
    """Whether a kernel takes the observations without any row being stored."""
    is_at_points = isinstance(readings, Readings) and readings.upper is None and not readings.is_adjusted
    return is_at_points and isinstance(basis, BSplineBasis) and basis.extrapolate == "error"


def streamed(basis: AnyBasis, readings: Readings, abscissa: Abscissa, root: FloatArray, w: int) -> Factor:
    """Factor of the rows of observations times `root` (n,), or one where that is empty, of which no row is stored."""
    assert isinstance(basis, BSplineBasis)
    return factorize_readings(basis, abscissa.to_numbers(readings.x), readings.y, root, readings.deriv, w)


def root_of(readings: NoisyReadings) -> FloatArray:
    """One over the root of the variance ratio, (n,); empty where that is one."""
    is_plain = readings.sd is None and readings.weights is None
    return np.empty(0) if is_plain else np.asarray(1 / np.sqrt(readings.variance_ratio))


def squares(y: FloatArray, root: FloatArray, centre: float) -> float:
    """Sum of squares of (y - centre) * root, or of y - centre where `root` is empty, without a copy of y."""
    total = 0.0
    for start in range(0, len(y), CHUNK):
        part = y[start : start + CHUNK] - centre
        if len(root):
            part *= root[start : start + CHUNK]
        total += float(part @ part)
    return total


class GroupStatistics(NamedTuple):
    """A variance group of a fit: its rows' factor, their number, and the mean square of its observations."""

    factor: Factor
    n: int
    spread: float


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of all observations, in the order of the observations.

    Attributes
    ----------
    observations : Observations or PointObservations
    basis : Basis or TensorProductBasis
    common : bool
        Whether all series share one unknown variance, of which the given noise SDs are known multiples.
    errors : tuple of Correlation or None
        How the errors of each series correlate; empty where all are independent.
    factors, lags : tuple of float
        The scale of each series, and by how much less x it is of, in numbers of x; empty where these are one and zero.
    responses : tuple of float
        The response time of each slow instrument, in numbers of x; empty where it is that of the series, or unknown and so zero.
    """

    observations: Observations | PointObservations
    basis: AnyBasis
    common: bool = False
    errors: tuple[Correlation | None, ...] = ()
    factors: tuple[float, ...] = ()
    lags: tuple[float, ...] = ()
    responses: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.observations)

    keeps_readings = True

    @cached_property
    def parts(self) -> tuple[BandRows | ProductRows, ...]:
        """Rows of each series."""
        names = self.observations.names
        return tuple(self._with_sensors(part, i, names[i]) for i, part in enumerate(self.curve_parts))

    @cached_property
    def curve_parts(self) -> tuple[BandRows | ProductRows, ...]:
        """Rows of what each series would observe without a scale and a bias."""
        return tuple(self._of_curve(reading, i) for i, reading in enumerate(self.observations.readings))

    def _of_curve(self, reading: Any, i: int) -> BandRows | ProductRows:
        if reading.is_filtered:
            return self._shown(self.slow[i], i)
        return rows_of_reading(self.basis, reading, self.observations, self._lag(i))

    def _lag(self, i: int) -> float:
        return self.lags[i] if self.lags else 0.0

    @cached_property
    def slow(self) -> dict[int, Slow]:
        """What slow instruments show at their observations, for every response time."""
        if not any(reading.is_filtered for reading in self.observations.readings):
            return {}
        own, abscissa = enumerate(self.along_x.readings), self.along_x.abscissa
        return {i: self._slow(i, abscissa.to_numbers(reading.x)) for i, reading in own if reading.is_filtered}

    def _slow(self, i: int, x: FloatArray) -> Slow:
        """What slow instrument i shows at x (n,), in numbers, from its first observation on."""
        reading, basis = self.along_x.readings[i], self.basis
        assert isinstance(basis, Basis)
        check_degree(basis, reading)
        start = float(self.along_x.abscissa.to_numbers(reading.x).min())
        early = x < start
        if early.any():
            k = int(np.argmax(early))
            raise DataError(
                f"x[{k}] is before the first observation of {reading.name!r}, which has response_time=, and to what it was exposed "
                "before is not known; pass a later x, or leave name= out for the curve"
            )
        return Slow(basis, degree_of(basis), reading.deriv, x - self._lag(i), start - self._lag(i))

    def _shown(self, slow: Slow, i: int) -> BandRows:
        """Rows of what slow instrument i shows: in the functions, and in what it showed first."""
        reading, rows = self.along_x.readings[i], slow.rows(self.response_times[i])
        values = np.zeros((len(rows), self.n_coef))
        values[:, : self.basis.n_basis] = rows[:, :-1]
        values[:, self.basis.n_basis + self.extras.index(f"start.{reading.name}")] = rows[:, -1]
        return BandRows(values, np.zeros(len(rows), np.int64))

    @property
    def response_times(self) -> tuple[float, ...]:
        """Response time of each series in numbers of x, zero where there is none or it is unknown."""
        known = (reading.response_time or 0.0 for reading in self.observations.readings)
        return self.responses or tuple(self.along_x.abscissa.in_unit(time) for time in known)

    def rows_at(self, name: str, x: FloatArray, deriv: int) -> BandRows:
        """Rows of what a series would observe at x (n,), in numbers: with its bias, scale and lag, by its instrument."""
        i = self.observations.names.index(name)
        assert isinstance(self.basis, Basis)
        if lag := self._lag(i):
            check_lagged(self.basis, self.along_x.abscissa, x, np.array([lag]), name)
        slow = self.observations.readings[i].is_filtered
        own = self._shown(self._slow(i, x), i) if slow else pack(self.basis.design(x - lag, deriv))
        part = self._with_sensors(own, i, name)
        assert isinstance(part, BandRows)
        return part

    def _with_sensors(self, part: BandRows | ProductRows, i: int, name: str) -> BandRows | ProductRows:
        """Rows of series i from those of the curve."""
        part = part.scaled(np.full(part.n, self.factors[i])) if self.factors and self.factors[i] != 1.0 else part
        return self.with_bias(part, name)

    @cached_property
    def biased(self) -> tuple[str, ...]:
        """Series with an unknown bias, which is a coefficient after those of the functions."""
        return tuple(reading.name for reading in self.observations.readings if reading.has_bias)

    @cached_property
    def extras(self) -> tuple[str, ...]:
        """Names of the coefficients after those of the functions: biases, and what slow instruments showed first."""
        slow = (f"start.{reading.name}" for reading in self.observations.readings if reading.is_filtered)
        return (*(f"bias.{name}" for name in self.biased), *slow)

    @property
    def n_coef(self) -> int:
        """Number of coefficients: of the functions, biases, and what slow instruments showed first."""
        return self.basis.n_basis + len(self.extras)

    def with_bias(self, part: BandRows | ProductRows, name: str) -> BandRows | ProductRows:
        """Rows of what a series observes, from those of the curve: with its bias if it has an unknown one."""
        if name not in self.biased or not isinstance(part, BandRows):
            return part
        place = np.full(part.n, self.basis.n_basis + self.biased.index(name))
        ones = csr_array((np.ones(part.n), (np.arange(part.n), place)), shape=(part.n, self.n_coef))
        return pack(csr_array(part.sparse(self.n_coef) + ones))

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Series whose variance is unknown; if all share one, only the first."""
        readings = self.observations.readings
        if self.common:
            return (readings[0].name,)
        return tuple(reading.name for reading in readings if reading.sd is None)

    @property
    def has_known(self) -> bool:
        """Whether a series has a known noise SD."""
        return not self.common and len(self.unknown) < len(self.observations.readings)

    @property
    def n_groups(self) -> int:
        """Number of variances: one for each unknown, and one, which is 1, for all known ones."""
        return len(self.unknown) + self.has_known

    @cached_property
    def group_of_name(self) -> tuple[int, ...]:
        """Variance group of each series."""
        readings = self.observations.readings
        if self.common:
            return (0,) * len(readings)
        return tuple(self.unknown.index(r.name) if r.sd is None else len(self.unknown) for r in readings)

    @cached_property
    def group(self) -> npt.NDArray[np.int64]:
        """Variance group of each observation, (n,)."""
        return np.repeat(np.array(self.group_of_name), [len(reading) for reading in self.observations.readings])

    @cached_property
    def ratio(self) -> FloatArray:
        """Variance of each observation in units of its group's, (n,)."""
        return np.concatenate([reading.variance_ratio for reading in self.observations.readings])

    @property
    def log_ratio(self) -> float:
        """Log determinant of the noise covariance in units of the groups' variances."""
        seen = self.ratio[np.isfinite(self.ratio)]  # a loss may leave observations without weight: they have no density
        return float(np.log(seen).sum()) + sum(white.log_det for white in self.whitenings if white is not None)

    # Correlated errors ------------------------------------------------------------------------------------------------------

    @cached_property
    def whitenings(self) -> tuple[Whitening | None, ...]:
        """What makes the errors of each series independent; None if they are, or count as such until a parameter is known."""
        if not self.errors:
            return (None,) * len(self.observations.readings)
        observations = self.along_x
        pairs = zip(self.errors, observations.readings, strict=True)
        return tuple(
            None if kind is None or not kind.is_known else kind.whitening(places(observations, own)) for kind, own in pairs
        )

    @property
    def along_x(self) -> Observations:
        """The observations, which are of one variable: errors correlate along it."""
        assert isinstance(self.observations, Observations)
        return self.observations

    def band_part(self, i: int) -> BandRows:
        """`scaled_part` of observations of one variable."""
        part = self.scaled_part(i)
        assert isinstance(part, BandRows)
        return part

    def with_errors(self, errors: tuple[Correlation | None, ...]) -> Rows:
        """The same rows with other correlations."""
        rows = replace(self, errors=errors)
        if any(errors):
            rows.__dict__["parts"] = self.parts
        return rows

    def with_sensors(self, factors: tuple[float, ...], lags: tuple[float, ...], responses: tuple[float, ...]) -> Rows:
        """The same rows with other scales, lags and response times of series."""
        found = replace(self, factors=factors, lags=lags, responses=responses)
        if lags == (self.lags or (0.0,) * len(lags)):
            found.__dict__["slow"] = self.slow
            if responses == self.response_times:
                found.__dict__["curve_parts"] = self.curve_parts
        return found

    def plain(self) -> Rows:
        """Rows of the curve itself, whatever the scales of series are, by instruments that respond at once."""
        if not self.factors and not any(reading.is_filtered for reading in self.observations.readings):
            return self
        return replace(self, factors=(), responses=(0.0,) * len(self.observations.readings))

    def scaled_part(self, i: int) -> BandRows | ProductRows:
        """Rows of name i with noise of the variance of the group."""
        return self.parts[i].scaled(1 / np.sqrt(self.observations.readings[i].variance_ratio))

    @cached_property
    def _whitened_parts(self) -> dict[int, BandRows]:
        """Rows of the names whose errors correlate, made independent."""
        whites = enumerate(self.whitenings)
        return {i: white.rows(self.band_part(i), self.n_coef) for i, white in whites if white is not None}

    @property
    def white_parts(self) -> tuple[BandRows | ProductRows, ...]:
        """Rows of each series with independent noise of the variance of the group."""
        own = self._whitened_parts
        return tuple(own[i] if i in own else self.scaled_part(i) for i in range(len(self.observations.readings)))

    def rows_of(self, index: npt.NDArray[np.int64]) -> BandRows:
        """White rows of some observations, in the order of `index`; those of surfaces in the full width of the band."""
        parts, places, start = list[BandRows](), list[npt.NDArray[np.int64]](), 0
        is_whole = any(white is not None for white in self.whitenings) or len(index) == len(self)
        white_parts = self.white_parts if is_whole else ()
        for i, own in enumerate(self.observations.readings):
            mine = np.flatnonzero((index >= start) & (index < start + len(own)))
            some = index[mine] - start
            rows = white_parts[i].take(some) if is_whole else self._some(i, some).scaled(1 / np.sqrt(own.variance_ratio[some]))
            parts.append(rows if isinstance(rows, BandRows) else rows.band())
            places.append(mine)
            start += len(own)
        return join(parts).take(np.argsort(np.concatenate(places)))

    def _some(self, i: int, some: npt.NDArray[np.int64]) -> BandRows | ProductRows:
        """Rows of some observations of a series; of one variable those of the others are not made."""
        own = self.observations.readings[i]
        if not isinstance(own, Readings) or own.is_filtered:  # what an instrument shows depends on its first observation
            return self.parts[i].take(some)
        return self._with_sensors(self._of_curve(own.take(some), i), i, own.name)

    def whitened(self, values: FloatArray) -> FloatArray:
        """Values (n,), such as observations or residuals, in which the noise is independent with the variance of its group."""
        parts = self.per_name(values / np.sqrt(self.ratio))
        return np.concatenate(
            [part if white is None else white.times(part) for part, white in zip(parts, self.whitenings, strict=True)]
        )

    def colored(self, noise: FloatArray) -> FloatArray:
        """Values (n,) of which `noise` is what `whitened` makes."""
        parts = self.per_name(noise)
        values = [part if white is None else white.solve(part) for part, white in zip(parts, self.whitenings, strict=True)]
        return np.concatenate(values) * np.sqrt(self.ratio)

    @property
    def variances(self) -> FloatArray:
        """Variance of each observation in units of its group's, (n,), whatever the others are."""
        parts = zip(self.observations.readings, self.whitenings, strict=True)
        own = [np.ones(len(reading)) if white is None else white.variances for reading, white in parts]
        return np.asarray(self.ratio * np.concatenate(own))

    def statistics(self, w: int) -> list[GroupStatistics]:
        """Factor in a band of width w, count and mean square of each variance group."""
        readings, found = self.observations.readings, []
        for g in range(self.n_groups):
            mine = [i for i, group in enumerate(self.group_of_name) if group == g]
            roots = [root_of(readings[i]) for i in mine]
            n = sum(int(np.count_nonzero(root)) if len(root) else len(readings[i]) for i, root in zip(mine, roots, strict=True))
            factor = merged([self._factor(i, root, w) for i, root in zip(mine, roots, strict=True)])
            centred = sum(squares(readings[i].y, root, readings[i].y.mean()) for i, root in zip(mine, roots, strict=True))
            whole = sum(squares(readings[i].y, root, 0.0) for i, root in zip(mine, roots, strict=True))
            spread = whole if centred <= ROUNDING * whole else centred
            with_weight = sum(
                int(np.count_nonzero(root)) if len(root) else len(readings[i]) for i, root in zip(mine, roots, strict=True)
            )
            found.append(GroupStatistics(factor, with_weight, spread / n))
        return found

    def _factor(self, i: int, root: FloatArray, w: int) -> Factor:
        """Factor of the rows of name i times `root` (n,), or one where that is empty."""
        reading: Any = self.observations.readings[i]
        white = self.whitenings[i]
        y = reading.y * root if len(root) else reading.y
        if white is not None:
            return factorize(self._whitened_parts[i], white.times(y), self.n_coef, w)
        if is_streamed(self.basis, reading):
            assert isinstance(self.observations, Observations)
            R, z, rest = streamed(self.basis, reading, self.observations.abscissa, root, w)
            n_extras = len(self.extras)  # of other series
            return Factor(np.pad(R, ((0, n_extras), (0, 0))), np.pad(z, (0, n_extras)), rest)
        rows = self.parts[i].scaled(root) if len(root) else self.parts[i]
        return rows.factor(y, self.n_coef, w)

    def log_det_of(self, columns: FloatArray) -> float:
        """log|C'B'B C| for the rows B of observations with a weight, in the units of the observations, and columns C."""
        seen = self.times(columns)[np.isfinite(self.ratio)]
        return 2 * float(np.log(np.abs(np.diag(np.linalg.qr(seen, mode="r")))).sum())

    def __getstate__(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)

    def times(self, columns: FloatArray) -> FloatArray:
        """Return the product of all rows with columns (K,) or (K, d)."""
        return np.concatenate([part.times(columns) for part in self.parts])

    def dense(self) -> FloatArray:
        """All rows (n, K)."""
        return np.concatenate([part.dense(self.n_coef) for part in self.parts])

    @property
    def width(self) -> int:
        """Number of stored columns of the widest row."""
        readings, widths = self.observations.readings, []
        for i, reading in enumerate(readings):
            if self.whitenings[i] is not None:
                check_degree(cast(Basis, self.basis), cast(Readings, reading))
                widths.append(self._whitened_parts[i].width)
            elif is_streamed(self.basis, reading):
                check_degree(cast(Basis, self.basis), cast(Readings, reading))
                widths.append((degree_of(self.basis) or 0) + 1)
            else:
                widths.append(self.parts[i].width)
        return max(widths)

    def per_name(self, values: npt.NDArray[Number]) -> list[npt.NDArray[Number]]:
        """Cut values (n,) name by name."""
        ends = np.cumsum([len(reading) for reading in self.observations.readings])
        return np.split(values, ends[:-1])
