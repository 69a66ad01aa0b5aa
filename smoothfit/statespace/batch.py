"""Smoothing splines of many curves side by side by compiled threads, which `many` uses for most curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray, IntArray
from ..inference import newton, quasi_newton
from ..inference.newton import Minimum, minimize
from ..markov.bandwidth import LIMIT
from ..markov.pyramid import EXACT_SD
from ..markov.rows import HEAVIEST, LIGHTEST, RANGE
from ..observations import Observations
from .fitting import COARSE, GRID
from .smoothing import MOST_LOST

CHUNK = 512  # curves between two steps of a progress bar
ENDINGS = ("inside", "at_lower", "at_upper", "left")
HALVINGS = 100
SETTINGS = _kernels.SearchSettings(
    limit=LIMIT,
    coarse=COARSE,
    exact_sd=EXACT_SD,
    decrement=quasi_newton.DECREMENT,
    near=quasi_newton.NEAR,
    level=quasi_newton.LEVEL,
    hopeless=newton.HOPELESS,
    flat=quasi_newton.FLAT,
    longest_step=quasi_newton.LONGEST_STEP,
    grid=GRID,
    max_iterations=newton.MAX_ITERATIONS,
    interpolation=newton.interpolation(),
)


@dataclass(frozen=True, eq=False)
class Batch:
    """The observations of many curves, sorted and scaled as `rows.Rows` are, one curve after the other.

    Attributes
    ----------
    curves : ndarray, shape (S,)
        Which curves these are.
    start : ndarray, shape (S + 1,)
        First row of each curve.
    x : ndarray, shape (n,)
        x as numbers, in the user's unit.
    delta, deriv, group, y, ratio : ndarray, shape (n,)
    x_unit, y_unit, y_origin : ndarray, shape (S,)
    """

    curves: IntArray
    start: IntArray
    x: FloatArray
    delta: FloatArray
    deriv: npt.NDArray[np.uint8]
    y: FloatArray
    ratio: FloatArray
    x_unit: FloatArray
    y_unit: FloatArray
    y_origin: FloatArray

    @classmethod
    def of(cls, observations: Observations, curve_of: tuple[IntArray, ...], order: int, shared: bool) -> Batch:
        """Sort and scale the curves that have two or more distinct x and nothing out of proportion.

        Entry i of `curve_of` is the curve of each observation of series i; `shared` gives all curves the same units.
        """
        deriv = observations.deriv.astype(np.uint8)
        curve, x, y = np.concatenate(curve_of), observations.x, observations.y
        variance = np.concatenate([r.variance_ratio for r in observations.readings])
        step = np.diff(curve)
        if (step < 0).any() or (np.diff(x)[step == 0] < 0).any():
            sorter = np.lexsort((x, curve))
            curve, x, y, deriv, variance = curve[sorter], x[sorter], y[sorter], deriv[sorter], variance[sorter]
        first = np.flatnonzero(np.diff(curve, prepend=-1) > 0)
        counts = np.diff(np.append(first, len(curve)))
        delta = np.diff(x, prepend=x[0])
        delta[first] = 0.0
        n_nodes = 1 + np.add.reduceat((delta > 0).astype(np.int64), first)
        spread = x[first + counts - 1] - x[first]
        good = n_nodes > 1
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            x_exponent = np.frexp(spread / np.maximum(n_nodes - 1, 1))[1]
            if shared:
                x_exponent[:] = int(np.median(x_exponent[good])) if good.any() else 0
            lowest = np.minimum.reduceat(np.where(deriv == 0, y, np.inf), first)
            highest = np.maximum.reduceat(np.where(deriv == 0, y, -np.inf), first)
            origin = np.where(np.isfinite(lowest), lowest / 2 + highest / 2, 0.0)
            of_row = np.repeat(np.arange(len(first)), counts)
            centred = np.where(deriv == 0, y - origin[of_row], y)
            powers = deriv.astype(np.int64) * x_exponent[of_row]
            size = np.maximum.reduceat(np.abs(np.ldexp(centred, powers)), first)
            y_exponent = np.where(size > 0, np.frexp(size)[1], 0)
            if shared:
                y_exponent[:] = y_exponent.max()
            scaled = np.ldexp(centred, powers - y_exponent[of_row])
            reading = observations.readings[0]
            if reading.sd is None:
                ratio = variance
                if reading.weights is not None:
                    relative = np.median(variance) / variance
                    good &= ~np.logical_or.reduceat((relative < LIGHTEST) | (relative > HEAVIEST), first)
            else:
                ratio = np.ldexp(variance, 2 * (powers - y_exponent[of_row]))
            in_range = (ratio >= 1 / RANGE) & (ratio <= RANGE) & np.isfinite(scaled)
            good &= ~np.logical_or.reduceat(~in_range, first)
            good &= (np.abs(x_exponent) < 100) & (np.abs(y_exponent) < 100)  # what follows then stays a number
            steps = np.ldexp(delta, -x_exponent[of_row])
            if order > 2:  # where a gap could cost accuracy the single fit decides
                least = np.minimum.reduceat(np.where(steps > 0, steps, np.inf), first)
                good &= np.finfo(float).eps * (np.maximum.reduceat(steps, first) / least) ** (order - 2) < MOST_LOST
        rows = good[of_row]
        return cls(
            curve[first[good]],
            np.concatenate([[0], np.cumsum(counts[good])]).astype(np.int64),
            x[rows],
            steps[rows],
            deriv[rows],
            scaled[rows],
            ratio[rows],
            np.ldexp(1.0, x_exponent[good]),
            np.ldexp(1.0, y_exponent[good]),
            origin[good],
        )

    def __len__(self) -> int:
        return len(self.curves)

    @property
    def counts(self) -> IntArray:
        """Number of observations of each curve."""
        return np.diff(self.start)

    @property
    def n_places(self) -> IntArray:
        """Number of distinct x of each curve."""
        return np.asarray(1 + np.add.reduceat((self.delta > 0).astype(np.int64), self.start[:-1]))

    def units(self, deriv: int) -> FloatArray:
        """Unit of f^(deriv) of each curve."""
        return self.y_unit / self.x_unit**deriv

    @property
    def row_units(self) -> FloatArray:
        return np.repeat(self.y_unit, self.counts) / np.repeat(self.x_unit, self.counts) ** self.deriv

    @cached_property
    def series(self) -> _kernels.WienerSeries:
        """What the kernels take, checked once."""
        return _kernels.WienerSeries(self.start, self.rows(self.ratio))

    def rows(self, ratio: FloatArray) -> _kernels.WienerRows:
        """All rows, with variance ratios (n,)."""
        return _kernels.WienerRows(self.delta, self.deriv, np.zeros(len(self.y), np.uint8), self.y, ratio)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "series"}

    def part(self, first: int, last: int) -> Batch:
        """Return curves first .. last - 1."""
        return self._taken(slice(first, last), slice(self.start[first], self.start[last]))

    def chosen(self, kept: IntArray) -> Batch:
        if len(kept) == len(self):
            return self
        is_kept = np.zeros(len(self), np.bool_)
        is_kept[kept] = True
        return self._taken(kept, np.repeat(is_kept, self.counts))

    def _taken(self, curves: Any, rows: Any) -> Batch:
        """Some curves, and all of their rows."""
        by_curve = {name: getattr(self, name)[curves] for name in ("curves", "x_unit", "y_unit", "y_origin")}
        by_row = {name: getattr(self, name)[rows] for name in ("x", "delta", "deriv", "y", "ratio")}
        return Batch(start=np.append(0, np.cumsum(self.counts[curves])), **by_curve, **by_row)

    @property
    def design_ratio(self) -> FloatArray:
        """Variances y_unit^2 / unit^2 of observations for log|X'X|."""
        return np.asarray(np.repeat(self.x_unit, self.counts) ** (2.0 * self.deriv))

    def bandwidths(self, order: int, q: FloatArray, sigma2: FloatArray) -> FloatArray:
        """Scaled bandwidths, infinite for q = 0; see `bandwidth.Resolution`."""
        n, first = self.counts, self.start[:-1]
        length = np.add.reduceat(self.delta, first)
        share = (n - 1) / (n * length * sigma2)
        with np.errstate(divide="ignore"):
            known = [np.log(q * share * np.add.reduceat((self.deriv == k) / self.ratio, first)) for k in range(order)]
            alone = np.array([-terms / (2 * (order - k)) for k, terms in enumerate(known)])  # log h if only f^(k) were read
        least = alone.min(axis=0)
        if (np.isfinite(alone).sum(axis=0) <= 1).all():
            return np.asarray(np.exp(least))
        low, high = np.where(np.isfinite(least), least, 0.0) - np.log(order) - 0.1, np.where(np.isfinite(least), least, 0.0) + 0.1
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            total = sum(np.exp(terms + 2 * (order - k) * middle) for k, terms in enumerate(known))
            low, high = np.where(total < 1, middle, low), np.where(total < 1, high, middle)
        return np.where(np.isfinite(least), np.exp((low + high) / 2), np.inf)


@dataclass(frozen=True, eq=False)
class BatchFit:
    """Estimates of the curves of a batch, scaled.

    Attributes
    ----------
    batch : Batch
        The curves that were fitted.
    q, sigma2 : ndarray, shape (S,)
        Intensities, and variances: one where the SD is given.
    edf, value, log_det_design : ndarray, shape (S,)
        Effective degrees of freedom, -2 log restricted likelihood and log|X'X|.
    minima : list of Minimum
    likely : ndarray, shape (S, 2), optional
        Of curves that were fitted each by itself, log q, relative to sigma2, beyond which the likelihood is low.
    """

    batch: Batch
    q: FloatArray
    sigma2: FloatArray
    edf: FloatArray
    value: FloatArray
    log_det_design: FloatArray
    minima: list[Minimum]
    likely: FloatArray | None = None


def fit_separately(batch: Batch, order: int, scale_free: bool, threads: int, advance: Callable[[int], object]) -> BatchFit:
    """Fit each curve; those that need more than one search are left out."""
    parts = []
    for first in range(0, len(batch), CHUNK):
        part = batch.part(first, min(first + CHUNK, len(batch)))
        parts.append(_kernels.fit_many(part.series, part.design_ratio, order, scale_free, SETTINGS, threads))
        advance(len(part))
    found = np.concatenate(parts)
    ending = found[:, 6].astype(int)
    kept = np.flatnonzero(ending != ENDINGS.index("left"))
    advance(len(kept) - len(batch))
    found, ending, batch = found[kept], ending[kept], batch.chosen(kept)
    log_q, value, decrement, sse, edf, design = found.T[:6]
    q = np.where(ending == ENDINGS.index("at_lower"), 0.0, np.exp(log_q))
    factor = sse / (batch.counts - order) if scale_free else np.ones(len(batch))
    minima = [
        Minimum(np.array([t]), v, d, np.array([e == 1]), np.array([e == 2]), 1)
        for t, v, d, e in zip(log_q.tolist(), value.tolist(), decrement.tolist(), ending.tolist(), strict=True)
    ]
    return BatchFit(batch, q * factor, factor, edf, value, design, minima, found[:, 7:])


def fit_shared(batch: Batch, order: int, scale_free: bool, threads: int, advance: Callable[[int], object]) -> BatchFit | None:
    """Fit all curves with one q, and one SD if it is unknown; None if none can be fitted."""
    batch = _only_estimable(batch, order)
    if not len(batch):
        return None
    if scale_free:  # if no curve has noise, each by itself reports it
        _, sse = _summed_terms(batch, order, np.zeros(1), threads)
        if sse[0] <= EXACT_SD**2 * float(np.sum(batch.y**2 / batch.ratio)):
            return None
    shared = SharedLikelihood(batch, order, scale_free, threads)
    ranges = np.add.reduceat(batch.delta, batch.start[:-1])
    spacing = float(batch.delta.sum() / (len(batch.y) - len(batch)))
    information = float(np.mean(1 / batch.ratio)) / spacing
    power = LIMIT ** (1 / (2 * order))
    bandwidths = np.geomspace(3 * ranges.max() * power, batch.delta[batch.delta > 0].min() / (3 * power), 6 * GRID)
    highest = int(batch.deriv.max())
    theta = -np.log(information) - 2 * (order - highest) * np.log(bandwidths)
    minimum = minimize(shared, theta[:, None], theta[:1], theta[-1:])
    q = 0.0 if minimum.at_lower[0] else float(np.exp(minimum.theta[0]))
    factor = 1.0
    if scale_free:
        factor = float(_summed_terms(batch, order, np.array([q]), threads)[1, 0]) / shared.count
    terms = np.array([_terms_at(batch.part(i, i + 1), order, q * factor, factor) for i in range(len(batch))])
    value, edf, design = terms.T
    advance(len(batch))
    n = len(batch)
    return BatchFit(batch, np.full(n, q * factor), np.full(n, factor), edf, value, design, [minimum] * n)


def _only_estimable(batch: Batch, order: int) -> Batch:
    """The curves that can be fitted at a given smoothing: others are left to report their reason."""
    kept = []
    for i in range(len(batch)):
        one = batch.part(i, i + 1)
        try:
            _kernels.require_identified(one.rows(one.ratio), order, np.ones(1))
        except _kernels.KernelError:
            continue
        kept.append(i)
    return batch.chosen(np.array(kept, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class SharedLikelihood:
    """-2 log restricted likelihood of all curves, as a function of log q; the common variance maximised out if it is unknown."""

    batch: Batch
    order: int
    scale_free: bool
    threads: int
    unbounded = False

    @property
    def count(self) -> int:
        return len(self.batch.y) - self.order * len(self.batch)

    def values(self, theta: FloatArray) -> FloatArray:
        log_det, sse = _summed_terms(self.batch, self.order, np.exp(theta[:, 0]), self.threads)
        return np.asarray(newton.deviance(self.count, log_det, sse, self.scale_free))

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        return self.hessian(theta)[:2]

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian, exact."""
        log_det, sse = _kernels.sum_many_second(self.batch.series, self.order, float(np.exp(theta[0])), self.threads)
        slope = self.count / sse[0] if self.scale_free else 1.0
        second = log_det[2] + slope * sse[2]
        if self.scale_free:
            second -= slope / sse[0] * sse[1] ** 2
        value = float(newton.deviance(self.count, log_det[0], sse[0], self.scale_free))
        return value, np.array([log_det[1] + slope * sse[1]]), np.array([[second]])


def _summed_terms(batch: Batch, order: int, q: FloatArray, threads: int) -> FloatArray:
    """Sums over the series of log_det and sse at each q (L,), for noise of variance one: (2, L)."""
    curves, blocks = np.arange(len(batch)), np.split(q, range(newton.ZOOM, len(q), newton.ZOOM))  # side by side, in little memory
    sums = [
        _kernels.terms_many(batch.series, curves, order, np.tile(part, (len(batch), 1)), threads).sum(axis=1) for part in blocks
    ]
    return np.concatenate(sums, axis=1)


def _terms_at(one: Batch, order: int, q: float, sigma2: float) -> tuple[float, float, float]:
    """-2 log restricted likelihood, edf and log|X'X| of one curve, scaled."""
    variance, noise = np.array([sigma2]), np.array([[0.0, 1.0]])
    log_det, sse, _ = _kernels.likelihood_gradient(one.rows(one.ratio), order, q, variance, noise)
    design = _kernels.likelihood(one.rows(one.design_ratio), order, np.zeros(1), np.ones((1, 1)))[0, 0]
    n = len(one.y)
    return newton.deviance(n - order, log_det[0], sse[0], False), n - log_det[1], design
