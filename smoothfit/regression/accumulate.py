"""Fits of more observations than memory holds: chunks are reduced to triangular factors, which add up.

The factors of a series take 2 K w numbers whatever the number of observations. Sums of factors do not depend on the order of
chunks, up to rounding: a factor is that of all its rows, and orthogonal transformations lose no digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..basis.penalty import Penalty
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import DataError, SpecificationError
from ..observations import Observations, Readings
from ..observations.points import PointObservations, PointReadings
from ..observations.series import refuse_estimates, refuse_resolution
from .band import BandRows, Factor, merged, multiply_factor, pack
from .constraints import Constraint
from .functionals import check_degree, degree_of, functional_rows, product_rows
from .products import ProductRows
from .rows import GroupStatistics, Rows, check_variables, is_streamed, root_of, streamed

Model = TypeVar("Model")

CANCELLED = 1e-14  # of a sum of squares: below, what is left of it less the mean's share is rounding


@dataclass(frozen=True, eq=False)
class CountedReadings(Readings):
    """Observations of which only the number and the range of x are kept."""

    count: int = 0

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True, eq=False)
class CountedPoints(PointReadings):
    """Observations at points of which only the number, the kinds and the box around the points are kept."""

    count: int = 0

    def __len__(self) -> int:
        return self.count


class NameStatistics(NamedTuple):
    """What is kept of a series: factors of its rows, weighed and plain, and sums of its observations."""

    readings: CountedReadings | CountedPoints
    weighed: Factor
    plain: Factor
    log_ratio: float
    total: FloatArray  # sums of 1/ratio, y/ratio and y^2/ratio; of the variances


@dataclass(frozen=True, eq=False)
class AccumulatedRows(Rows):
    """Rows of which only factors are kept."""

    names: tuple[NameStatistics, ...] = ()
    keeps_readings = False

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "names": self.names}

    @property
    def width(self) -> int:
        """Width of the factors."""
        return max(int(name.weighed.R.shape[1]) for name in self.names)

    @property
    def log_ratio(self) -> float:
        """Sum of the logarithms of the variance ratios."""
        return sum(name.log_ratio for name in self.names)

    def statistics(self, w: int) -> list[GroupStatistics]:
        """Factor, count and mean square of each variance group."""
        found = []
        for g in range(self.n_groups):
            mine = [name for name, group in zip(self.names, self.group_of_name, strict=True) if group == g]
            factor = merged([_widened(name.weighed, w) for name in mine])
            count = sum(len(name.readings) for name in mine)
            squares = [name.total[2] - name.total[1] ** 2 / name.total[0] for name in mine]
            whole = sum(float(name.total[2]) for name in mine)
            spread = (whole if sum(squares) <= CANCELLED * whole else sum(squares)) / count
            found.append(GroupStatistics(factor, count, float(spread)))
        return found

    def log_det_of(self, columns: FloatArray) -> float:
        """log|C'B'B C| for the plain rows B and columns C."""
        seen = np.vstack([multiply_factor(name.plain.R, columns) for name in self.names])
        return 2 * float(np.log(np.abs(np.diag(np.linalg.qr(seen, mode="r")))).sum())

    @property
    def parts(self) -> NoReturn:
        """Refused: the observations are gone."""
        raise SpecificationError(
            "an accumulated fit keeps no observations: it has no residuals, fitted values, leverages or robust covariances; "
            "fit them at once for these"
        )


@entry_point
class Accumulator(Generic[Model]):
    """Sufficient statistics of observations that come in chunks; made by `SplineRegression.accumulate`.

    Parameters
    ----------
    basis : Basis or TensorProductBasis
        The functions of all fits.
    make : callable
        Makes the regression of rows, a penalty and constraints.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> accumulator = sf.SplineRegression.accumulate(sf.BSplineBasis.uniform(0, 1, 20))
    >>> for _ in range(10):
    ...     x = rng.uniform(0, 1, 1000)
    ...     _ = accumulator.add(sf.observe(x, np.sin(6 * x) + 0.1 * rng.standard_normal(1000)))
    >>> res = accumulator.model(sf.DerivativePenalty(2)).fit()
    >>> res.nobs, round(float(res.sigma["f"]), 2), round(float(res.predict(0.25)), 2)
    (10000, 0.1, 1.0)
    """

    def __init__(self, basis: AnyBasis, make: Callable[[Rows, Any, Any], Model]):
        self.basis = basis
        self._make = make
        self._names: dict[str, NameStatistics] = {}
        self._x_name = "x"
        self._inputs: tuple[str, ...] = ()

    def add(self, observations: Observations | PointObservations) -> Accumulator[Model]:
        """Take a chunk of observations; names keep their kind, and whether their SD is known, from chunk to chunk.

        Returns the accumulator itself.

        Examples
        --------
        >>> import smoothfit as sf
        >>> accumulator = sf.SplineRegression.accumulate(sf.BSplineBasis([0, 0, 1, 1], degree=1))
        >>> accumulator.add(sf.observe([0, 0.5], [1, 2], sd=0.1)).add(sf.observe([1.0], [3], sd=0.1))
        Accumulator of observations on 2 functions (f: 3)
        """
        check_variables(observations, self.basis)
        refuse_resolution(observations.readings, "an Accumulator")
        refuse_estimates(observations.readings, "an Accumulator")
        if isinstance(observations, Observations) and (observations.abscissa.kind != "number" or observations.abscissa.origin):
            raise DataError("x of a chunk holds times or integers beyond 2^53, whose origin each chunk would choose; pass numbers")
        for reading in observations.readings:
            self._join(reading.name, _reduced(reading, observations, self.basis))
        if isinstance(observations, PointObservations):
            self._inputs = observations.inputs
        elif observations.x_name != "x":
            self._x_name = observations.x_name
        return self

    def add_frames(self, frames: Iterable[Any], x: str, readings: Mapping[str, int], **options: Any) -> Accumulator[Model]:
        """Take data frames or Arrow record batches one after the other; the options are those of `Observations.from_frame`.

        Examples
        --------
        >>> import pandas as pd, smoothfit as sf
        >>> days = [pd.DataFrame({"t": [0.0, 0.5], "y": [1.0, 2.0]}), pd.DataFrame({"t": [1.0], "y": [3.0]})]
        >>> accumulator = sf.SplineRegression.accumulate(sf.BSplineBasis([0, 0, 1, 1], degree=1))
        >>> accumulator.add_frames(days, "t", {"y": 0}, sd={"y": 0.1})
        Accumulator of observations on 2 functions (y: 3)
        """
        for frame in frames:
            table = frame.to_pandas() if hasattr(frame, "to_struct_array") else frame  # a record batch is no table
            self.add(Observations.from_frame(table, x, readings, **options))
        return self

    def __add__(self, other: Accumulator[Model]) -> Accumulator[Model]:
        """Both accumulators' observations, as a new one."""
        if not isinstance(other, Accumulator):
            return NotImplemented
        if other.basis.n_basis != self.basis.n_basis or other.basis.domain != self.basis.domain:
            raise SpecificationError("the accumulators have different bases; use one basis for all chunks")
        total = Accumulator(self.basis, self._make)
        for part in (self, other):
            part._join_to(total)
        return total

    def _join_to(self, total: Accumulator[Model]) -> None:
        """Add what was taken here to another accumulator."""
        total._take(self._names, self._x_name, self._inputs)

    def _take(self, names: Mapping[str, NameStatistics], x_name: str, inputs: tuple[str, ...]) -> None:
        self._x_name = x_name if self._x_name == "x" else self._x_name
        self._inputs = self._inputs or inputs
        for name, statistics in names.items():
            self._join(name, statistics)

    def _join(self, name: str, statistics: NameStatistics) -> None:
        mine = self._names.get(name)
        self._names[name] = statistics if mine is None else _both(mine, statistics)

    def model(self, penalty: Penalty | None = None, constraints: Constraint | Sequence[Constraint] = ()) -> Model:
        """Return the regression of everything taken so far, to be fitted.

        Examples
        --------
        >>> import smoothfit as sf
        >>> accumulator = sf.SplineRegression.accumulate(sf.BSplineBasis([0, 0, 1, 1], degree=1))
        >>> model = accumulator.add(sf.observe([0, 0.5, 1], [1, 2, 3], sd=0.1)).model()
        >>> model.fit().predict([0.25, 0.75]).round(6)
        array([1.5, 2.5])
        """
        if not self._names:
            raise DataError("the accumulator has taken no observations; add() some")
        names = tuple(self._names.values())
        readings: Any = tuple(name.readings for name in names)
        is_surface = isinstance(self.basis, TensorProductBasis)
        observations = PointObservations(readings, self._inputs) if is_surface else Observations(readings, self._x_name)
        return self._make(AccumulatedRows(observations, self.basis, names=names), penalty, constraints)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {len(statistics.readings)}" for name, statistics in self._names.items())
        return f"Accumulator of observations on {self.basis.n_basis} functions ({counts or 'none yet'})"


def _reduced(reading: Any, observations: Observations | PointObservations, basis: AnyBasis) -> NameStatistics:
    """The statistics of a chunk of one series."""
    ratio = reading.variance_ratio
    factor = _factor_of(reading, observations, basis)
    weighed = factor(root_of(reading))
    plain = weighed if (ratio == 1).all() else factor(np.empty(0))
    sums = [1 / ratio, reading.y / ratio, reading.y**2 / ratio, np.ones_like(ratio) if reading.sd is None else reading.sd**2]
    return NameStatistics(_counted(reading), weighed, plain, float(np.log(ratio).sum()), np.array([s.sum() for s in sums]))


def _counted(reading: Readings | PointReadings) -> CountedReadings | CountedPoints:
    """The observations without themselves."""
    common: dict[str, Any] = {
        "name": reading.name,
        "y": np.empty(0),
        "sd": None if reading.sd is None else np.sqrt(np.mean(reading.sd**2, keepdims=True)),
        "weights": None,
        "n_dropped": reading.n_dropped,
        "mean": reading.mean,
        "count": len(reading),
    }
    if isinstance(reading, PointReadings):
        corners = np.array([reading.X.min(axis=0), (reading.X if reading.upper is None else reading.upper).max(axis=0)])
        kinds = np.unique(reading.deriv, axis=0)
        return CountedPoints(X=corners, deriv=kinds, upper=None if reading.upper is None else corners, **common)
    ends = np.array([min(x.min() for x in reading.limits), max(x.max() for x in reading.limits)], dtype=np.float64)
    return CountedReadings(x=ends, deriv=reading.deriv, upper=None if reading.upper is None else ends, **common)


def _factor_of(reading: Any, observations: Observations | PointObservations, basis: AnyBasis) -> Callable[[FloatArray], Factor]:
    """The factor of a chunk's rows as a function of what multiplies them, (n,) or empty."""
    if isinstance(basis, TensorProductBasis):
        assert isinstance(observations, PointObservations)
        part: BandRows | ProductRows = product_rows(basis, reading, observations.inputs)
    else:
        assert isinstance(observations, Observations)
        abscissa = observations.abscissa
        if is_streamed(basis, reading):
            check_degree(basis, reading)
            return lambda root: streamed(basis, reading, abscissa, root, (degree_of(basis) or 0) + 1)
        part = pack(functional_rows(basis, reading, abscissa))

    def factor(root: FloatArray) -> Factor:
        rows, y = (part.scaled(root), reading.y * root) if len(root) else (part, reading.y)
        return rows.factor(y, basis.n_basis, part.width)

    return factor


def _both(a: NameStatistics, b: NameStatistics) -> NameStatistics:
    """The statistics of two chunks of one series."""
    one, other = a.readings, b.readings
    if not np.array_equal(one.deriv, other.deriv) or (one.mean, one.sd is None) != (other.mean, other.sd is None):
        raise DataError(
            f"{one.name!r} observes something else, or its SD is known in one chunk only; give the observations different names"
        )
    w = max(a.weighed.R.shape[1], b.weighed.R.shape[1])
    total = a.total + b.total
    count = len(one) + len(other)
    mine, theirs = (r.X if isinstance(r, CountedPoints) else r.x for r in (one, other))
    ends = np.array([np.minimum(mine[0], theirs[0]), np.maximum(mine[-1], theirs[-1])])
    places: dict[str, Any] = {"X" if isinstance(one, CountedPoints) else "x": ends}
    readings = replace(
        one,
        **places,
        upper=None if one.upper is None else ends,
        sd=None if one.sd is None else np.array([np.sqrt(total[3] / count)]),
        n_dropped=one.n_dropped + other.n_dropped,
        count=count,
    )
    weighed = merged([_widened(a.weighed, w), _widened(b.weighed, w)])
    same = a.plain is a.weighed and b.plain is b.weighed
    plain = weighed if same else merged([_widened(a.plain, w), _widened(b.plain, w)])
    return NameStatistics(readings, weighed, plain, a.log_ratio + b.log_ratio, total)


def _widened(factor: Factor, w: int) -> Factor:
    """The factor in a band of width w."""
    return factor._replace(R=np.pad(factor.R, ((0, 0), (0, w - factor.R.shape[1]))))
