"""Streaming: readings that come one after the other, at the parameters of a fit."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._entry import entry_point
from .._validation import FloatArray, check_order, first_index, to_vector
from ..errors import DataError, NumericalError, SpecificationError
from ..markov.kernels import require_numbers, state_variances
from ..markov.rows import scaled_ratio
from ..observations import Observations, Readings, derivative_label, observe
from ..observations.abscissa import Points
from ..results.prediction import CurvePrediction

if TYPE_CHECKING:
    import pandas as pd

    from .results import SmoothingSplineResults

IntArray = npt.NDArray[np.int64]
BLOCK = 4096  # rows that are run before the oldest are forgotten
MOST_LAG = 10**7


@dataclass(frozen=True)
class Kind:
    """What a name of the fit reads, scaled: f^(deriv) from an origin, in a unit; its variance is ratio times that of its group.

    `sd` is the one that the fit was given for all its readings, None where it estimated one, NaN where it was given several;
    `ratio` the variance ratio of a reading that comes with no sd or weight.
    """

    deriv: int
    group: int
    unit: float
    origin: float
    sd: float | None
    ratio: float


@entry_point
class OnlineSpline:
    """A smoothing spline that goes on with readings as they come; made by `SmoothingSplineResults.online`.

    q and the sds stay those of the fit. Predictions are exact: those of a fit at these parameters to all readings so far.
    A reading costs the same however many came before. Pickling saves all of it, and `copy` makes another one.

    Attributes
    ----------
    lag : int
        How many of the last readings can still be smoothed, joined by late ones, or rolled back.
    nobs : int
        Number of readings so far, those of the fit included.
    """

    def __init__(self, results: SmoothingSplineResults, lag: int):
        self.lag = check_order(lag, "lag", 1, MOST_LAG)
        rows, variances = results._rows, results._variances
        self._order, self._scale = results._order, rows.scale
        self._q, self._sigma2 = float(variances.q), variances.sigma2.copy()
        self._abscissa, self._x_name = results.observations.abscissa, results.observations.x_name
        self._df = results.df_interval
        self._noise = {str(name): float(sd) for name, sd in results.sigma.items()}
        self._kinds = {reading.name: _kind_of(reading, results) for reading in results.observations.readings}

        # Row i has entry i; the state before it, and the abscissa of that, are entry i of _states, _x and _fine.
        self._capacity = 4 * self.lag + BLOCK
        self._x, self._fine = np.full(self._capacity + 1, -np.inf), np.zeros(self._capacity + 1)
        self._delta, self._y, self._ratio = np.zeros(self._capacity), np.zeros(self._capacity), np.ones(self._capacity)
        self._deriv, self._group = np.zeros(self._capacity, np.uint8), np.zeros(self._capacity, np.uint8)
        self._arrival = np.zeros(self._capacity, np.int64)
        self._states = np.zeros((self._capacity + 1, results._filtered.shape[1]))
        self._n = 0

        node = rows.node_of_row
        start = int(np.searchsorted(node, node[max(0, len(rows) - 2 * self.lag)]))  # rows of a node stay together
        self._states[0, self._order : 2 * self._order] = np.inf
        if start > 0:
            self._states[0] = results._filtered[node[start] - 1]
            before = rows.points.take(node[start] - 1)
            self._x[0], self._fine[0] = before.coarse, 0.0 if before.fine is None else before.fine
        self.nobs = start
        part = slice(start, None)
        self._take(rows.points.take(node[part]), rows.deriv[part], rows.group[part], rows.y[part], rows.ratio[part])
        self._n_given = self.nobs

    # Readings ---------------------------------------------------------------------------------------------------------

    def append(self, x: Any, y: Any = None, name: str | None = None, sd: Any = None, weights: Any = None) -> None:
        """Take in readings; those that come late may lie anywhere within the lag.

        Parameters
        ----------
        x : Observations, float or array_like
            Readings as `smoothfit.observe` makes them, of the names of the fit; or the abscissae of readings of one name.
        y : float or array_like, optional
            The readings at x; NaN is no reading.
        name : str, optional
            What is read; by default the first name of the fit.
        sd, weights : float or array_like, optional
            As of `smoothfit.observe`. A name whose sd the fit estimated keeps that one. A name with a given sd has by default the
            fit's, where that was the same for all its readings.

        Raises
        ------
        DataError
            A reading is older than the lag, has a name that the fit does not know, or cannot be used as given; nothing is taken in.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.arange(100.0)
        >>> y = np.sin(x / 10)
        >>> online = sf.SmoothingSpline(sf.observe(x[:60], y[:60], sd=0.1)).fit().online(lag=20)
        >>> for reading in zip(x[60:], y[60:]):
        ...     online.append(*reading)
        >>> online.predict([95.0, 101.0], deriv=1).round(3)
        array([-0.099, -0.098])
        """
        if isinstance(x, float) and isinstance(y, float) and sd is None and weights is None and self._append_one(x, y, name):
            return
        if isinstance(x, Observations):
            if y is not None or name is not None or sd is not None or weights is not None:
                raise SpecificationError("x is Observations, which hold y, name, sd and weights; pass them alone")
            self._append_all(x)
            return
        if y is None:
            raise SpecificationError("y is missing; pass append(x, y), or append(sf.observe(...))")
        label = next(iter(self._kinds)) if name is None else name
        kind = self._kind(label)
        if sd is None and weights is None and is_floats(x) and is_floats(y) and self._append_sorted(x, y, kind):
            return
        if sd is None and kind.sd is not None:
            if np.isnan(kind.sd):
                raise DataError(f"sd is missing: the fit was given several for {label!r}; pass sd=")
            sd = kind.sd
        values, _, _ = to_vector(y, "y")
        if values.dtype.kind == "f" and np.isnan(values).all():
            return  # no reading
        self._append_all(observe(x, y, kind.deriv, sd, weights, label, self._abscissa.unit))

    def _kind(self, name: str) -> Kind:
        if name not in self._kinds:
            raise DataError(f"{name!r} is no name of the fit, whose readings are named {', '.join(self._kinds)}")
        return self._kinds[name]

    def _append_one(self, x: float, y: float, name: str | None) -> bool:
        """Take in a reading at a number beyond all others, if there is room; tell whether it was one."""
        kind = self._default if name is None else self._kind(name)
        ratio = kind.ratio
        if not self._is_plain or ratio != ratio:
            return False
        try:
            taken = self._stream.push(self._n, x, (y - kind.origin) / kind.unit, kind.deriv, kind.group, ratio, self.nobs)
        except _kernels.KernelError as error:
            raise self._overflow(error) from None
        if taken:
            self._n += 1
            self.nobs += 1
        return taken

    def _append_sorted(self, x: FloatArray, y: FloatArray, kind: Kind) -> bool:
        """Take in readings at increasing numbers beyond all others; tell whether they were such."""
        if not self._is_plain or np.isnan(kind.ratio) or x.ndim != 1 or x.shape != y.shape or not len(x):
            return False
        if not (x[0] >= self._x[self._n] and (x[1:] >= x[:-1]).all() and np.isfinite(x[-1]) and np.isfinite(y).all()):
            return False
        self._take(Points(x), kind.deriv, kind.group, y, kind.ratio, kind)
        return True

    def _append_all(self, observations: Observations) -> None:
        parts = []
        for reading in observations.readings:
            kind = self._kind(reading.name)
            if reading.deriv != kind.deriv:
                raise DataError(
                    f"{reading.name!r} reads {derivative_label(reading.deriv)} here, but {derivative_label(kind.deriv)} in the fit"
                )
            if (reading.sd is None) != (kind.sd is None):
                mine = "no sd, but the fit was given one; pass sd="
                what = mine if reading.sd is None else "an sd, but the fit estimated it; leave it out"
                raise DataError(f"{reading.name!r} has {what}")
            if reading.unit != self._abscissa.unit and reading.deriv > 0 and self._abscissa.unit is not None:
                raise DataError(f"{reading.name!r} is per {reading.unit} here, but per {self._abscissa.unit} in the fit")
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
        self._check_age(points, late)
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

    def _check_age(self, points: Points, late: npt.NDArray[np.bool_]) -> None:
        """Refuse readings from before the state that the rows start from."""
        if not late.any():
            return
        too_old = points.minus(self._point(self._oldest)) < 0
        if too_old.any():
            i = first_index(too_old)
            raise DataError(
                f"a reading at {self._x_name} = {self._label(points.coarse[i])} is older than the lag: the last {self.lag} of "
                f"{self.nobs} readings begin after {self._label(self._x[self._oldest])}; raise lag="
            )

    def _label(self, number: float) -> str:
        return self._abscissa.utc_label(self._abscissa.restore(np.array([float(number)]))[0])

    def _take(self, points: Points, deriv: Any, group: Any, y: FloatArray, ratio: Any, of: Kind | None = None) -> None:
        """Take in sorted rows beyond all others; those `of` a kind share deriv, group and ratio, and their y is not scaled."""
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
        """Take in one row, perhaps between others."""
        if self._n == self._capacity:
            self._compact(2 * self.lag)
        n, oldest = self._n, self._oldest
        others = Points(self._x[oldest + 1 : n + 1], self._fine[oldest + 1 : n + 1])
        i = oldest + int(np.count_nonzero(others.minus(Points(np.array(coarse), np.array(fine))) <= 0))
        for column, shift, value in (
            (self._x, 1, coarse),
            (self._fine, 1, fine),
            (self._deriv, 0, deriv),
            (self._group, 0, group),
            (self._y, 0, y),
            (self._ratio, 0, ratio),
            (self._arrival, 0, self.nobs),
        ):
            column[i + shift + 1 : n + shift + 1] = column[i + shift : n + shift].copy()
            column[i + shift] = value
        self._n += 1
        self.nobs += 1
        self._measure(i, self._n)
        self._run(i, self._n)

    def _measure(self, start: int, stop: int) -> None:
        """Set the steps of rows from the abscissae."""
        after = Points(self._x[start + 1 : stop + 1], self._fine[start + 1 : stop + 1])
        steps = after.minus(Points(self._x[start:stop], self._fine[start:stop]))
        self._delta[start:stop] = np.where(np.isfinite(steps), steps / self._scale.x_unit, 0.0)  # nothing before the first

    def _run(self, start: int, stop: int) -> None:
        try:
            self._stream.run(start, stop)
        except _kernels.KernelError as error:
            raise self._overflow(error) from None

    def _overflow(self, error: _kernels.KernelError) -> NumericalError:
        return NumericalError(
            f"the predicted variance at {self._x_name} = {self._label(float(self._x[error.args[1] + 1]))} left the range of "
            "floating-point numbers; it is far beyond the others, or its sd is out of proportion"
        )

    @cached_property
    def _stream(self) -> _kernels.Stream:
        return _kernels.Stream(
            self._x,
            self._delta,
            self._deriv,
            self._group,
            self._y,
            self._ratio,
            self._arrival,
            self._states,
            self._sigma2,
            self._order,
            self._q,
            self._scale.x_unit,
        )

    @cached_property
    def _default(self) -> Kind:
        return next(iter(self._kinds.values()))

    @cached_property
    def _is_plain(self) -> bool:
        """Whether x is a number as it comes."""
        return self._abscissa.unit is None and not self._abscissa.origin

    def __getstate__(self) -> dict[str, Any]:
        computed = ("_stream", "_default", "_is_plain")
        return {name: value for name, value in self.__dict__.items() if name not in computed}

    def _compact(self, kept: int) -> None:
        """Forget all rows but the last ones."""
        start, n = self._n - kept, self._n
        if start <= 0:
            return
        for column, extra in (
            (self._states, 1),
            (self._x, 1),
            (self._fine, 1),
            (self._delta, 0),
            (self._deriv, 0),
            (self._group, 0),
            (self._y, 0),
            (self._ratio, 0),
            (self._arrival, 0),
        ):
            column[: kept + extra] = column[start : n + extra].copy()
        self._n = kept

    def rollback(self, n: int = 1) -> None:
        """Take the last `n` readings that were appended out again, in reverse order of their arrival.

        Parameters
        ----------
        n : int
            At most `lag`, and no more than were appended since the fit (or since `forget`).
        """
        most = min(self.lag, self.nobs - self._n_given)
        n = check_order(n, "n", 0, most) if most else check_order(n, "n", 0, 0)
        arrival = self._arrival[: self._n]
        keep = np.flatnonzero(arrival < self.nobs - n)
        if len(keep) == self._n:
            return
        first = int(np.flatnonzero(arrival >= self.nobs - n)[0])
        for column, shift in (
            (self._x, 1),
            (self._fine, 1),
            (self._deriv, 0),
            (self._group, 0),
            (self._y, 0),
            (self._ratio, 0),
            (self._arrival, 0),
        ):
            column[shift : len(keep) + shift] = column[keep + shift]
        self._n = len(keep)
        self.nobs -= n
        self._measure(first, self._n)
        self._run(first, self._n)

    def forget(self) -> None:
        """Let all readings so far stand: none can be smoothed, joined by earlier ones or rolled back; their information stays."""
        self._compact(0)
        self._n_given = self.nobs

    def copy(self) -> OnlineSpline:
        """Return another one in the same state."""
        return copy.deepcopy(self)

    # The curve --------------------------------------------------------------------------------------------------------

    def predict(self, x: Any, deriv: int = 0) -> FloatArray:
        """Posterior mean of f^(deriv) at x given all readings so far: within the lag, and beyond the last reading.

        Parameters
        ----------
        x : array_like
        deriv : int
            Below the order of the fit.

        Returns
        -------
        ndarray, of the shape of x
        """
        given = self._abscissa.given(x)
        return self._moments(self._abscissa.points(given.ravel()), deriv)[0].reshape(given.shape)

    def get_prediction(self, x: Any, deriv: int = 0) -> CurvePrediction:
        """Posterior of f^(deriv) at x given all readings so far, with bands; x as of `predict`.

        Returns
        -------
        CurvePrediction
            A new reading has the noise of the first name that reads f^(deriv).
        """
        asked = self._abscissa.asked(x)
        return self._prediction(self._abscissa.points(asked.array.ravel()), asked.shown, deriv)

    def smoothed(self, deriv: int = 0) -> pd.DataFrame:
        """Return mean, mean_se and intervals of f^(deriv) at the abscissae of the last `lag` readings, given all so far."""
        entry = self._last_of_nodes(self._oldest)
        entry = entry[entry > self._oldest]
        points = Points(self._x[entry], self._fine[entry])
        return self._prediction(points, self._abscissa.shown(self._abscissa.restore(points.coarse)), deriv).summary_frame()

    def _prediction(self, points: Points, given: npt.NDArray[Any], deriv: int) -> CurvePrediction:
        mean, variance = self._moments(points, deriv)
        noise = next((self._noise[name] for name, kind in self._kinds.items() if kind.deriv == deriv), np.nan)
        return CurvePrediction(given, int(deriv), mean, variance, noise, self._df, self._x_name)

    def _moments(self, points: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        deriv = check_order(deriv, "deriv", 0, self._order - 1)
        unit = self._scale.of(deriv)
        if not len(points.coarse):
            return np.empty(0), np.empty(0)
        states = self._states_at(points)
        mean = states[:, deriv] * unit + (self._scale.y_origin if deriv == 0 else 0.0)
        return mean, state_variances(self._order, states)[:, deriv] * unit**2

    def _states_at(self, x: Points) -> FloatArray:
        self._check_age(x, np.ones(len(x.coarse), np.bool_))
        start = self._oldest if (x.minus(self._point(self._n)) < 0).any() else self._n
        entry = self._last_of_nodes(start)
        nodes = Points(self._x[entry], self._fine[entry])
        filtered = self._states[entry]
        gap = nodes.take(slice(1, None)).minus(nodes.take(slice(-1))) / self._scale.x_unit
        posterior = np.asarray(_kernels.smooth(gap, self._order, self._q, filtered)) if len(entry) > 1 else filtered
        keys = x if x.fine is not None else Points(x.coarse, np.zeros_like(x.coarse))
        left = np.searchsorted(nodes.keys, keys.keys, side="right").astype(np.int64) - 1
        ahead = x.minus(nodes.take(np.maximum(left, 0))) / self._scale.x_unit
        behind = nodes.take(np.minimum(left + 1, len(entry) - 1)).minus(x) / self._scale.x_unit
        states = np.asarray(_kernels.predict(self._order, self._q, filtered, posterior, left, ahead, behind))
        return require_numbers(states, ~np.isfinite(states))

    def _last_of_nodes(self, start: int) -> IntArray:
        """The states after the last row of each abscissa, from that before row `start` on."""
        return np.asarray(start + np.flatnonzero(np.append(self._delta[start : self._n] > 0, True)))

    def __repr__(self) -> str:
        return f"OnlineSpline(order={self._order}, lag={self.lag}, nobs={self.nobs}, x up to {self._label(self._x[self._n])})"


def is_floats(values: object) -> TypeGuard[FloatArray]:
    """Whether values are a NumPy array of float64."""
    return type(values) is np.ndarray and values.dtype == np.float64


def _kind_of(reading: Readings, results: SmoothingSplineResults) -> Kind:
    rows = results._rows
    origin = rows.scale.y_origin if reading.deriv == 0 else 0.0
    sd = None
    if reading.sd is not None:
        sd = float(reading.sd[0]) if (reading.sd == reading.sd[0]).all() else np.nan
    group = rows.unknown.index(reading.name) if reading.sd is None else len(rows.unknown)
    unit = rows.scale.of(reading.deriv)
    return Kind(reading.deriv, group, unit, origin, sd, 1.0 if sd is None else (sd / unit) ** 2)
