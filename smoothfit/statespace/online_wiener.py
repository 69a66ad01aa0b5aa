"""Streaming by the unrolled engine: an integrated Wiener process, observations of f and its derivatives.

A filter runs at the estimates and at each node of the posterior of the parameters; they share the observations. What an observation
adds to the terms of the likelihood follows from its prediction given those before it: log F to log_det and v^2 / F to sse, v being
the error of the prediction and F its variance. For one that comes late, those before it are all that arrived before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from .._core import _kernels
from .._entry import entry_point
from .._validation import FloatArray, IntArray, check_order
from ..errors import DataError, NumericalError, SpecificationError
from ..inference.engine import Moments
from ..markov.functionals import VALUE
from ..markov.kernels import require_numbers, state_variances
from ..markov.rows import Rows, scaled_ratio
from ..observations import Observations
from ..observations.abscissa import Points
from .functionals import CurveFunctionals
from .online import OnlineSpline
from .online_terms import Steps, Totals
from .source import Kind, Source

BLOCK = 4096  # rows that are run before the oldest are forgotten


class Setting(NamedTuple):
    """A filter: intensity, variances (G,) of the groups, and packed filtered states."""

    q: float
    sigma2: FloatArray
    states: FloatArray


@entry_point
class WienerOnline(OnlineSpline):
    """A smoothing spline that goes on, by the unrolled engine; see `OnlineSpline`."""

    def __init__(self, source: Source, lag: int, rows: Rows, order: int, settings: Sequence[Setting]):
        super().__init__(source, lag)
        self._order, self._scale = order, rows.scale

        # Row i has entry i; the state before it, and x of that, are entry i of states, _x and _fine.
        self._capacity = 4 * self.lag + BLOCK
        self._x, self._fine = np.full(self._capacity + 1, -np.inf), np.zeros(self._capacity + 1)
        self._delta, self._y, self._ratio = np.zeros(self._capacity), np.zeros(self._capacity), np.ones(self._capacity)
        self._deriv, self._group = np.zeros(self._capacity, np.uint8), np.zeros(self._capacity, np.uint8)
        self._arrival = np.zeros(self._capacity, np.int64)
        shape = self._capacity + 1, settings[0].states.shape[1]
        self._settings = [Setting(float(one.q), one.sigma2.copy(), np.zeros(shape)) for one in settings]
        self._n = 0
        self._totals: Totals | None = None

        node = rows.node_of_row
        start = int(np.searchsorted(node, node[max(0, len(rows) - 2 * self.lag)]))  # rows of a node stay together
        for mine, given in zip(self._settings, settings, strict=True):
            mine.states[0, self._order : 2 * self._order] = np.inf
            if start > 0:
                mine.states[0] = given.states[node[start] - 1]
        if start > 0:
            before = rows.points.take(node[start] - 1)
            self._x[0], self._fine[0] = before.coarse, 0.0 if before.fine is None else before.fine
        self.nobs = start
        part = slice(start, None)
        self._take(rows.points.take(node[part]), rows.deriv[part], rows.group[part], rows.y[part], rows.ratio[part])
        self._n_given = self.nobs
        if self._nodes is not None:
            self._totals, self._n_counted = Totals(len(self._at_nodes), self.nobs, self.lag), self._n

    @property
    def _at_nodes(self) -> list[Setting]:
        """The filters at the nodes; the first of all is at the estimates."""
        return self._settings[1:]

    # Observations ---------------------------------------------------------------------------------------------------------

    def append(
        self,
        x: Any,
        y: Any = None,
        name: str | None = None,
        sd: Any = None,
        weights: Any = None,
        *,
        regressors: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(x, float) and isinstance(y, float) and sd is None and weights is None and self._append_one(x, y, name):
            return
        if sd is None and weights is None and is_floats(x) and is_floats(y):
            kind = self._default if name is None else self._kind(name)
            if self._append_sorted(x, y, kind):
                return
        super().append(x, y, name, sd, weights, regressors=regressors)

    def _append_one(self, x: float, y: float, name: str | None) -> bool:
        """Append an observation at a number beyond all others, if there is room; return whether it was one."""
        kind = self._default if name is None else self._kind(name)
        ratio = kind.ratio
        if not self._is_plain or ratio != ratio:
            return False
        try:
            taken = self._stream.push(self._n, x, (y - kind.origin) / kind.unit, kind.deriv, kind.group, ratio, self.nobs)
            if taken:
                for stream in self._other_streams:
                    stream.run(self._n, self._n + 1)
        except _kernels.KernelError as error:
            raise self._overflow(error) from None
        if taken:
            self._n += 1
            self.nobs += 1
        return taken

    def _append_sorted(self, x: FloatArray, y: FloatArray, kind: Kind) -> bool:
        """Append observations at increasing numbers beyond all others; return whether they were such."""
        if not self._is_plain or np.isnan(kind.ratio) or x.ndim != 1 or x.shape != y.shape or not len(x):
            return False
        if not (x[0] >= self._x[self._n] and (x[1:] >= x[:-1]).all() and np.isfinite(x[-1]) and np.isfinite(y).all()):
            return False
        self._take(Points(x), kind.deriv, kind.group, y, kind.ratio, kind)
        return True

    def _append_all(self, observations: Observations, regressors: Mapping[str, Any] | None) -> None:
        if regressors:
            raise DataError("regressors are given, but the fit has none; leave them out")
        parts = []
        for reading in observations.readings:
            kind = self._checked_kind(reading)
            ratio = scaled_ratio(reading, kind.unit)
            count = len(reading)
            points = self._abscissa.points(self._abscissa.given(reading.x))
            fine = np.zeros(count) if points.fine is None else points.fine
            y = (reading.y - kind.origin) / kind.unit
            parts.append((points.coarse, fine, np.full(count, kind.deriv), np.full(count, kind.group), y, ratio))
        coarse, fine, deriv, group, y, ratio = (np.concatenate(column) for column in zip(*parts, strict=True))
        points = Points(coarse, fine if fine.any() or self._fine.any() else None)
        order = None
        if (points.take(slice(1, None)).minus(points.take(slice(-1))) < 0).any():
            order = np.argsort(points.keys, kind="stable")
        late = points.minus(self._point(self._n)) < 0
        self._check_age(points, late, self._limit)
        if not late.any():
            if order is not None:
                points, deriv, group, y, ratio = points.take(order), deriv[order], group[order], y[order], ratio[order]
            self._take(points, deriv, group, y, ratio)
            return
        for i in range(len(y)) if order is None else order:
            self._insert(float(coarse[i]), float(fine[i]), int(deriv[i]), int(group[i]), float(y[i]), float(ratio[i]))

    def _point(self, i: int) -> Points:
        return Points(self._x[i], self._fine[i])

    @property
    def _oldest(self) -> int:
        """The row before which nothing can change any more."""
        return max(0, self._n - self.lag)

    @property
    def _limit(self) -> Points:
        return self._point(self._oldest)

    def _take(self, points: Points, deriv: Any, group: Any, y: FloatArray, ratio: Any, of: Kind | None = None) -> None:
        """Append sorted rows beyond all others; those `of` a kind share deriv, group and ratio, and their y is not scaled."""
        done = 0
        while done < len(y):
            if self._n == self._capacity:
                self._compact(2 * self.lag)
            i = self._n
            count = min(len(y) - done, self._capacity - i)
            new, rows = slice(done, done + count), slice(i, i + count)
            self._x[i + 1 : i + count + 1] = points.coarse[new]
            self._fine[i + 1 : i + count + 1] = 0.0 if points.fine is None else points.fine[new]
            self._measure(i, i + count)
            if of is None:
                self._deriv[rows], self._group[rows], self._ratio[rows] = deriv[new], group[new], ratio[new]
                self._y[rows] = y[new]
            else:
                self._deriv[rows], self._group[rows], self._ratio[rows] = deriv, group, ratio
                self._y[rows] = (y[new] - of.origin) / of.unit
            self._arrival[rows] = np.arange(self.nobs, self.nobs + count)
            self._run(i, i + count)
            self._n += count
            self.nobs += count
            done += count

    def _insert(self, coarse: float, fine: float, deriv: int, group: int, y: float, ratio: float) -> None:
        """Insert one row, perhaps between others."""
        if self._n == self._capacity:
            self._compact(2 * self.lag)
        added = None
        if self._totals is not None:
            self._count()
            added = self._terms_of_late(Points(np.array([coarse]), np.array([fine])), deriv, group, y, ratio)
        n, oldest = self._n, self._oldest
        others = Points(self._x[oldest + 1 : n + 1], self._fine[oldest + 1 : n + 1])
        i = oldest + int(np.count_nonzero(others.minus(Points(np.array(coarse), np.array(fine))) <= 0))
        values = coarse, fine, deriv, group, y, ratio, self.nobs
        for (column, shift), value in zip(self._columns, values, strict=True):
            column[i + shift + 1 : n + shift + 1] = column[i + shift : n + shift].copy()
            column[i + shift] = value
        self._n += 1
        self.nobs += 1
        self._measure(i, self._n)
        self._run(i, self._n)
        if self._totals is not None and added is not None:
            self._totals.add(added)
            self._n_counted = self._n

    @property
    def _columns(self) -> tuple[tuple[Any, int], ...]:
        """What was appended, and the entry of row zero."""
        columns = self._deriv, self._group, self._y, self._ratio, self._arrival
        return (self._x, 1), (self._fine, 1), *((column, 0) for column in columns)

    def _count(self) -> None:
        """Add the terms of the rows that came since this was last done, none of them late, to the totals."""
        if self._totals is None or self._n_counted == self._n:
            return
        rows = slice(self._n_counted, self._n)
        steps, y = Steps.of(self._delta[rows], self._deriv[rows].astype(np.int64), self._order), self._y[rows]
        group, ratio = self._group[rows], self._ratio[rows]
        added = [steps.added_terms(one.states[rows], y, one.sigma2[group] * ratio, one.q) for one in self._at_nodes]
        self._totals.add(np.array(added))
        self._n_counted = self._n

    def _terms_of_late(self, point: Points, deriv: int, group: int, y: float, ratio: float) -> FloatArray:
        """Terms (L, 2, 1) that an observation adds, predicted from all others."""
        states = [state[0] for state in self._states_at(point, self._at_nodes)]
        variance = np.array([state_variances(self._order, state[None])[0, deriv] for state in states])
        variance += np.array([one.sigma2[group] * ratio for one in self._at_nodes])
        error = y - np.array([state[deriv] for state in states])
        return np.stack([np.log(variance), error**2 / variance], axis=1)[:, :, None]

    def _added_terms(self) -> FloatArray:
        assert self._totals is not None
        self._count()
        return self._totals.last.T

    def _measure(self, start: int, stop: int) -> None:
        """Set the steps of rows from x."""
        after = Points(self._x[start + 1 : stop + 1], self._fine[start + 1 : stop + 1])
        steps = after.minus(Points(self._x[start:stop], self._fine[start:stop]))
        self._delta[start:stop] = np.where(np.isfinite(steps), steps / self._scale.x_unit, 0.0)  # nothing before the first

    def _run(self, start: int, stop: int) -> None:
        try:
            for stream in self._streams:
                stream.run(start, stop)
        except _kernels.KernelError as error:
            raise self._overflow(error) from None

    def _overflow(self, error: _kernels.KernelError) -> NumericalError:
        return NumericalError(
            f"the predicted variance at {self._x_name} = {self._label(float(self._x[error.args[1] + 1]))} left the range of "
            "floating-point numbers; it is far beyond the others, or its SD is out of proportion"
        )

    @cached_property
    def _streams(self) -> list[_kernels.Stream]:
        """The filters, which share the rows."""
        rows = self._x, self._delta, self._deriv, self._group, self._y, self._ratio, self._arrival
        return [_kernels.Stream(*rows, one.states, one.sigma2, self._order, one.q, self._scale.x_unit) for one in self._settings]

    @cached_property
    def _stream(self) -> _kernels.Stream:
        return self._streams[0]

    @cached_property
    def _other_streams(self) -> list[_kernels.Stream]:
        return self._streams[1:]

    @cached_property
    def _default(self) -> Kind:
        return next(iter(self._kinds.values()))

    @cached_property
    def _is_plain(self) -> bool:
        """Whether x is a number as it comes."""
        return self._abscissa.unit is None and not self._abscissa.origin

    def __getstate__(self) -> dict[str, Any]:
        computed = ("_streams", "_stream", "_other_streams", "_default", "_is_plain")
        return {name: value for name, value in self.__dict__.items() if name not in computed}

    def _compact(self, kept: int) -> None:
        """Drop all rows but the last ones."""
        start, n = self._n - kept, self._n
        if start <= 0:
            return
        self._count()
        for column, extra in (*((one.states, 1) for one in self._settings), (self._delta, 0), *self._columns):
            column[: kept + extra] = column[start : n + extra].copy()
        self._n = self._n_counted = kept

    def _take_out(self, n: int) -> None:
        self._count()
        arrival = self._arrival[: self._n]
        keep = np.flatnonzero(arrival < self.nobs - n)
        first = int(np.flatnonzero(arrival >= self.nobs - n)[0])
        for column, shift in self._columns:
            column[shift : len(keep) + shift] = column[keep + shift]
        self._n = len(keep)
        self.nobs -= n
        self._measure(first, self._n)
        self._run(first, self._n)
        if self._totals is not None:
            self._totals.rewind(n)
            self._n_counted = self._n

    def forget(self) -> None:
        self._compact(0)
        self._n_given = self.nobs

    # The curve --------------------------------------------------------------------------------------------------------

    def _recent(self) -> Points:
        entry = self._last_of_nodes(self._oldest)
        entry = entry[entry > self._oldest]
        return Points(self._x[entry], self._fine[entry])

    def moments(self, functionals: CurveFunctionals) -> Moments:
        return self._moments_by(self._settings[:1], functionals)

    def _moments_at_nodes(self, functionals: CurveFunctionals) -> Moments:
        return self._moments_by(self._at_nodes, functionals)

    def _moments_by(self, settings: Sequence[Setting], functionals: CurveFunctionals) -> Moments:
        """Posterior means and variances of derivatives at points by each of some filters (L, n)."""
        if functionals.kind != VALUE:
            raise SpecificationError("kind asks for integrals or differences, which this stream does not keep; append, then fit")
        for deriv in functionals.derivs:
            check_order(deriv, "deriv", 0, self._order - 1)
        derivs = np.array(functionals.derivs)
        units = self._scale.units(self._order)[derivs, None]
        origins = np.where(derivs == 0, self._scale.y_origin, 0.0)[:, None]
        mean = np.empty((len(settings), len(functionals)))
        variance = np.empty_like(mean)
        for i, states in enumerate(self._states_at(functionals.points, settings)):
            mean[i] = (states[:, derivs].T * units + origins).ravel()
            variance[i] = (state_variances(self._order, states)[:, derivs].T * units**2).ravel()
        return Moments(mean, variance)

    def _states_at(self, x: Points, settings: Sequence[Setting]) -> Iterator[FloatArray]:
        """Packed posterior states at points by each of some filters."""
        self._check_age(x, np.ones(len(x.coarse), np.bool_), self._limit)
        start = self._oldest if (x.minus(self._point(self._n)) < 0).any() else self._n
        entry = self._last_of_nodes(start)
        nodes = Points(self._x[entry], self._fine[entry])
        gap = nodes.take(slice(1, None)).minus(nodes.take(slice(-1))) / self._scale.x_unit
        keys = x if x.fine is not None else Points(x.coarse, np.zeros_like(x.coarse))
        left = np.searchsorted(nodes.keys, keys.keys, side="right").astype(np.int64) - 1
        ahead = x.minus(nodes.take(np.maximum(left, 0))) / self._scale.x_unit
        behind = nodes.take(np.minimum(left + 1, len(entry) - 1)).minus(x) / self._scale.x_unit
        for one in settings:
            filtered = one.states[entry]
            posterior = np.asarray(_kernels.smooth(gap, self._order, one.q, filtered)) if len(entry) > 1 else filtered
            states = np.asarray(_kernels.predict(self._order, one.q, filtered, posterior, left, ahead, behind))
            yield require_numbers(states, ~np.isfinite(states))

    def _last_of_nodes(self, start: int) -> IntArray:
        """The states after the last row of each x, from that before row `start` on."""
        return np.asarray(start + np.flatnonzero(np.append(self._delta[start : self._n] > 0, True)))

    @property
    def _last(self) -> float:
        return float(self._x[self._n])


def is_floats(values: object) -> TypeGuard[FloatArray]:
    """Whether values are a NumPy array of float64."""
    return type(values) is np.ndarray and values.dtype == np.float64
