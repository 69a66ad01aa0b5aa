"""Scales and lags of series that are estimated with a penalised basis: y(x) = s L f(x - d) + b + e.

psi are log s and d of all such series. -2 l is first minimised over smoothing and variances, then over psi; at its minimum in the
first its derivative by psi is that at fixed tau and variances, taken by central differences. With N a basis of what no penalty
touches, biases included, B(s) the rows of the observations and V the covariance of the noise, the restricted likelihood has the
factor |N'B(s)'V^-1 B(s) N|^(1/2), over that at a scale in the middle of the search: without it a flat prior of these coefficients
prefers small scales, and the estimate depends on which series is the reference (see ``smoothfit.statespace.sensors``).

For intervals psi is integrated over together with smoothing and variances, with a uniform prior within the limits of the search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..basis.base import Basis
from ..errors import ConvergenceError, SpecificationError
from ..inference.engine import Expansion, Moments, PointDraws, Terms
from ..inference.newton import MAX_RESCANS, Minimum, minimize
from ..observations import Readings
from ..observations.series import CALIBRATED, estimated_of
from .band import BandRows
from .correlated import Profile
from .criteria import RestrictedLikelihood
from .engine import BandEngine, BandStream
from .fitting import Estimate
from .products import ProductRows
from .rows import Rows, degree_of

STEP = 1e-4  # of a coordinate, of central differences: right to its square
WIDE = 1e-3  # likewise, of second differences
REACH, NEAR = 7.0, 1.0  # of log s about the ratio of spreads: where it is looked for, and where starts lie
LONGEST = 0.5  # of the range of x: a lag at most
MARGIN = 2e-3  # of a coordinate: from lags at which the basis ends, where rounding and differences would leave it
SCALES, LAGS = 5, 41  # points of a grid
MOST_KEPT, ROOM = 600, 200_000  # engines that are kept, and observations of all of them
SAME = 1e-6  # of -2 l: what searches leave of one minimum


class Sensors(NamedTuple):
    """What is unknown of series: kind and place of each entry of psi, limits, and the middle of scales.

    Lags are in units of `x_unit`, so that a coordinate of one changes the fit.
    """

    kinds: tuple[str, ...]
    places: tuple[int, ...]
    labels: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    middle: FloatArray
    x_unit: float

    @classmethod
    def of(cls, rows: Rows) -> Sensors | None:
        """What rows leave unknown; None if that is nothing."""
        observations = rows.observations
        unknown = [(kind, name) for kind in CALIBRATED for name in estimated_of(observations.readings, kind)]
        if not unknown:
            return None
        x = rows.along_x.abscissa.to_numbers(np.concatenate([end for own in rows.along_x.readings for end in own.limits]))
        places = tuple(observations.names.index(name) for _, name in unknown)
        unit = float(np.ptp(x)) / rows.basis.n_basis
        ends = []
        for (kind, _), place in zip(unknown, places, strict=True):
            own = rows.along_x.readings[place]
            if kind == "lag":
                low, high = _limits_of_lag(rows, own, float(np.ptp(x)))
                ends.append((low / unit, high / unit, float(np.clip(0.0, low, high)) / unit))
                continue
            alike = [r for r in rows.along_x.readings if not r.has_scale and (r.deriv, r.mean) == (own.deriv, own.mean)]
            spreads = [float(np.std(reading.y)) for reading in (own, *alike[:1])]
            centre = float(np.log(spreads[0] / spreads[1])) if alike and min(spreads) > 0 else 0.0
            ends.append((centre - REACH, centre + REACH, centre))
        lower, upper, middle = np.array(ends).T
        return cls(tuple(kind for kind, _ in unknown), places, tuple(f"{k}.{n}" for k, n in unknown), lower, upper, middle, unit)

    def at(self, rows: Rows, psi: FloatArray) -> Rows:
        """The rows at known scales and lags."""
        n = len(rows.observations.readings)
        factors, lags = np.ones(n), np.zeros(n)
        for kind, place, value in zip(self.kinds, self.places, psi.tolist(), strict=True):
            if kind == "scale":
                factors[place] = np.exp(value)
            else:
                lags[place] = value * self.x_unit
        return rows.with_sensors(tuple(factors.tolist()), tuple(lags.tolist()))

    def centred(self, psi: FloatArray) -> FloatArray:
        """The same lags, with scales in the middle of the search."""
        return np.where([kind == "scale" for kind in self.kinds], self.middle, psi)

    def numbers(self, psi: FloatArray) -> FloatArray:
        """Scales and lags (..., p), in the unit of x."""
        is_scale = np.array([kind == "scale" for kind in self.kinds])
        return np.where(is_scale, np.exp(np.where(is_scale, psi, 0.0)), psi * self.x_unit)

    def slopes(self, psi: FloatArray) -> FloatArray:
        """Derivatives of `numbers` by psi (p,)."""
        return np.where([kind == "scale" for kind in self.kinds], self.numbers(psi), self.x_unit)

    def grids(self) -> list[FloatArray]:
        """Starts along each entry, the others in the middle of theirs."""
        found = []
        for j, kind in enumerate(self.kinds):
            near = np.linspace(self.middle[j] - NEAR, self.middle[j] + NEAR, SCALES)
            values = np.linspace(self.lower[j], self.upper[j], LAGS) if kind == "lag" else near
            grid = np.repeat(self.middle[None], len(values), axis=0)
            grid[:, j] = values
            found.append(grid)
        return found


def _limits_of_lag(rows: Rows, reading: Readings, extent: float) -> tuple[float, float]:
    """Between which ends a lag is looked for: those given, or all at which the basis has the observations, in numbers of x."""
    basis = rows.basis
    assert isinstance(basis, Basis)
    degree, deriv = degree_of(basis), max(reading.deriv, 0) if reading.upper is None else 0
    if degree is not None and degree < deriv + 2:
        raise SpecificationError(
            f"{reading.name!r} has lag='estimate', which needs splines with a slope that is continuous; use degree={deriv + 2} or "
            "more, or pass lag= as a number"
        )
    abscissa = rows.along_x.abscissa
    x = np.concatenate([abscissa.to_numbers(end) for end in reading.limits])
    (first, last), low, high = basis.domain, -LONGEST * extent, LONGEST * extent
    if reading.lag_limits is not None:
        low, high = (abscissa.in_unit(end) for end in reading.lag_limits)
    if getattr(basis, "extrapolate", "error") != "error":
        return low, high
    ends, margin = (float(x.max()) - last, float(x.min()) - first), MARGIN * extent / basis.n_basis
    inner = max(low, ends[0]), min(high, ends[1])
    if not inner[0] + 2 * margin < inner[1] or (reading.lag_limits is not None and inner != (low, high)):
        raise SpecificationError(
            f"{reading.name!r} has lag='estimate', and the domain of the basis, {first:g} to {last:g}, has x less the lag for lags "
            f"from {inner[0]:g} to {inner[1]:g} only; extend the domain by the longest lag on either side, or pass limits, "
            "lag=(low, high)"
        )
    return max(low, ends[0] + margin), min(high, ends[1] - margin)


class Sensed(NamedTuple):
    """Estimated scales and lags of series, the Hessian of -2 l by psi (p, p), and the fit there."""

    sensors: Sensors
    minimum: Minimum
    hessian: FloatArray
    fit: Estimate


class Visited(NamedTuple):
    """Value of the profile at psi (p,), infinite where the rest cannot be estimated; the fit, as searched and at rest.

    `is_whole`: whether it was searched from all starts.
    """

    psi: FloatArray
    value: float
    is_whole: bool
    fit: Estimate | None = None
    at_rest: Estimate | None = None

    def is_below(self, other: Visited) -> bool:
        """Whether it is a lower minimum of all else than another one at the same psi."""
        return self.value < other.value - SAME

    def is_like(self, other: Visited) -> bool:
        """Whether both are one minimum, or none."""
        return not self.is_below(other) and not other.is_below(self)


@dataclass(frozen=True, eq=False)
class Unscaled:
    """The factor of the restricted likelihood by which no series is the reference: see the docstring of the module."""

    sensors: Sensors
    rows: Rows
    middle: dict[bytes, Rows] = field(default_factory=dict)

    def log_det(self, psi: FloatArray, rows: Rows, free: FloatArray, log_sigma2: FloatArray) -> float:
        """log|N'B(s)'V^-1 B(s)N| of the rows at psi less that in the middle, N (K, d)."""
        if "scale" not in self.sensors.kinds:
            return 0.0
        centred = self.sensors.centred(psi)
        key = centred.tobytes()
        if key not in self.middle:
            self.middle.clear()
            self.middle[key] = self.sensors.at(self.rows, centred)
        ends = []
        for own in (rows, self.middle[key]):
            seen = own.times(free) / np.sqrt(own.ratio * np.exp(log_sigma2[own.group]))[:, None]
            ends.append(2 * float(np.log(np.abs(np.diag(np.linalg.qr(seen, mode="r")))).sum()))
        return ends[0] - ends[1]


@dataclass(frozen=True, eq=False)
class SensorProfile(Profile):
    """-2 l as a function of psi (p,), all else at its best.

    `fit` takes `near`, `ends` of an estimate to start from, as well; `held` is the fit to rows at given weights and variances. All
    points visited are kept, and a further one starts from the nearest.
    """

    fit: Callable[..., Estimate]
    sensors: Sensors | None = None
    held: Callable[[Rows, FloatArray, FloatArray], Estimate] | None = None
    visited: list[Visited] = field(default_factory=list)

    @cached_property
    def unscaled(self) -> Unscaled:
        """The factor by which no series is the reference."""
        assert self.sensors is not None
        return Unscaled(self.sensors, self.rows)

    def at(self, theta: FloatArray) -> Rows:
        """The rows at known scales and lags."""
        assert self.sensors is not None
        return self.sensors.at(self.rows, theta)

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p); infinite where the rest cannot be estimated."""
        return np.array([self.visit(psi).value for psi in theta])

    def visit(self, psi: FloatArray) -> Visited:
        """A point that was visited before, or one searched from the nearest of these."""
        nearest = min(self.visited, key=lambda one: float(np.abs(one.psi - psi).max()), default=None)
        if nearest is None or not np.array_equal(nearest.psi, psi):
            nearest = self.searched(psi.copy(), nearest)  # callers write in theirs
            self.visited.append(nearest)
        return nearest

    def searched(self, psi: FloatArray, other: Visited | None = None) -> Visited:
        """The point psi, its fit searched from where that of another point ended, or else from all starts."""
        rows, ends = self.at(psi), {} if other is None or other.fit is None else other.fit.ends
        try:
            fit = self.fit(rows, near=ends)
            at_rest = self._at_rest(fit)
            return Visited(psi, self._of(psi, rows, at_rest), not ends, fit, at_rest)
        except ConvergenceError:  # no lowest point of a grid; where the search ends the fit is made again, and raises
            return Visited(psi, np.inf, not ends)

    def along(self, grid: FloatArray) -> Visited:
        """The lowest point of a grid (L, p) along one entry of psi.

        Each is searched from its neighbour on either side, from all starts where the two differ, and at the lowest.
        """
        there: list[Visited] = []
        for psi in grid:
            there.append(self.searched(psi, there[-1] if there else None))
        back: list[Visited] = []
        for one in reversed(there):
            back.append(one if one.is_whole else self.searched(one.psi, back[-1] if back else None))
        pairs = list(zip(there, reversed(back), strict=True))
        found = [min(pair, key=lambda one: one.value) for pair in pairs]
        waiting = {i for i, (a, b) in enumerate(pairs) if not a.is_like(b)}
        done = {i for i, pair in enumerate(pairs) if any(one.is_whole for one in pair)}
        while True:
            lowest = int(np.argmin([one.value for one in found]))
            left = (waiting | {lowest}) - done
            if not left:
                self.visited[:] = found
                return found[lowest]
            i = min(left)
            done.add(i)
            whole = self.searched(grid[i])
            if whole.is_below(found[i]):
                found[i] = whole
                self._spread(found, i)

    def _spread(self, found: list[Visited], i: int) -> None:
        """Search the points on either side of point i again from there, as far as that gets lower."""
        for side in (range(i + 1, len(found)), range(i - 1, -1, -1)):
            last = found[i]
            for j in side:
                last = self.searched(found[j].psi, last)
                if not last.is_below(found[j]):
                    break
                found[j] = last

    def _of(self, psi: FloatArray, rows: Rows, fit: Estimate) -> float:
        """Value of a fit to the rows at psi."""
        if self.likelihood is not RestrictedLikelihood:
            return self._value(rows, fit)
        return self._value(rows, fit) - self.unscaled.log_det(psi, rows, free_of(fit), fit.log_sigma2)

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient at one psi."""
        assert self.held is not None
        here = self.visit(theta)
        fit = here.at_rest or self._at_rest(self.fit(self.at(theta)))
        tau = fit.tau.copy()
        tau[np.isfinite(tau) & (tau > 0)] = np.exp(fit.log_tau)
        slopes = []
        for step in STEP * np.eye(len(theta)):
            moved = [(psi, self.at(psi)) for psi in (theta + step, theta - step)]
            up, down = (self._of(psi, there, self.held(there, tau, fit.log_sigma2)) for psi, there in moved)
            slopes.append((up - down) / (2 * STEP))
        return here.value, np.array(slopes)


def free_of(fit: Estimate) -> FloatArray:
    """Coefficients (K, d) of what the penalties of a fit leave free."""
    return fit.system.free if fit.columns is None else np.asarray(fit.columns @ fit.system.free)


def sensed(profile: SensorProfile) -> Sensed:
    """Minimise the profile; from the lowest points along each scale and lag.

    Raises
    ------
    ConvergenceError
        The search did not converge.
    """
    sensors = profile.sensors
    assert sensors is not None
    start = sensors.middle.copy()
    for j, grid in enumerate(sensors.grids()):
        grid[:, :j] = start[:j]
        start[j] = profile.along(grid).psi[j]
    for _ in range(MAX_RESCANS):
        minimum = minimize(profile, start[None], sensors.lower, sensors.upper)
        start, here, whole = minimum.theta, profile.visit(minimum.theta), profile.searched(minimum.theta)
        if not whole.is_below(here):
            fit = whole.fit if here.is_like(whole) else here.fit
            assert fit is not None
            return Sensed(sensors, minimum, profile.hessian(minimum.theta)[2], fit)
        profile.visited[:] = [whole]  # the others have a higher minimum of smoothing and variances
    raise ConvergenceError(f"every search of scales and lags ends at a lower fit than the last, after {MAX_RESCANS}", whole.value)


@dataclass(frozen=True, eq=False)
class SensorEngine:
    """A penalised basis at given weights, variances, scales and lags; theta ends with psi.

    Attributes
    ----------
    sensors : Sensors
    rows : Rows
        Of which scales and lags are unknown.
    make : callable
        From rows to the engine at their scales and lags.
    psi_hat : ndarray, shape (p,)
    """

    sensors: Sensors
    rows: Rows
    make: Callable[[Rows], BandEngine]
    psi_hat: FloatArray
    kept: dict[bytes, BandEngine] = field(default_factory=dict)

    def inner(self, psi: FloatArray) -> BandEngine:
        """The engine at scales and lags; the last ones are kept, since priors and moments are asked for where likelihoods were."""
        key = psi.tobytes()
        if key not in self.kept:
            if self.kept and len(self.kept) >= min(MOST_KEPT, ROOM // len(self.rows.ratio)):
                del self.kept[next(iter(self.kept))]
            self.kept[key] = self.make(self.sensors.at(self.rows, psi))
        return self.kept[key]

    @cached_property
    def at_estimate(self) -> BandEngine:
        """The engine at the estimated scales and lags."""
        return self.inner(self.psi_hat)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "at_estimate"} | {"kept": {}}

    @property
    def relative(self) -> bool:
        """As of `BandEngine`."""
        return self.at_estimate.relative

    @property
    def count(self) -> int:
        """As of `BandEngine`."""
        return self.at_estimate.count

    @property
    def names(self) -> tuple[str, ...]:
        """Those of weights and variances, then scales and lags."""
        return (*self.at_estimate.names, *self.sensors.labels)

    @property
    def lower(self) -> FloatArray:
        """Lower bounds of theta (p,)."""
        return np.concatenate([self.at_estimate.lower, self.sensors.lower])

    @property
    def upper(self) -> FloatArray:
        """Upper bounds of theta (p,)."""
        return np.concatenate([self.at_estimate.upper, self.sensors.upper])

    @property
    def is_size(self) -> npt.NDArray[np.bool_]:
        """Whether an entry has Jeffreys' prior: weights and variances."""
        return np.arange(len(self.names)) < len(self.at_estimate.names)

    @property
    def is_linear(self) -> bool:
        """It is not: scales and lags are estimated, too."""
        return False

    @property
    def has_slow_prior(self) -> bool:
        """It has not: the matrices cost little."""
        return False

    def log_prior_of_shapes(self, theta: FloatArray) -> FloatArray:
        """Uniform in log s and d (L,)."""
        return np.zeros(len(theta))

    def logs(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As of `BandEngine`."""
        return self.at_estimate.logs(theta[:, : self._split])

    @property
    def _split(self) -> int:
        return len(self.at_estimate.names)

    def _each(self, theta: FloatArray) -> Iterator[tuple[BandEngine, FloatArray, FloatArray]]:
        """The engine at each theta, with the rest of theta (1, q) and psi."""
        for point in theta:
            psi = point[self._split :]
            yield self.inner(psi), point[None, : self._split], psi

    def terms(self, theta: FloatArray, order: int = 0) -> Terms:
        """Terms of the restricted likelihood; derivatives by central differences."""
        if order == 0:
            return Terms(*(Expansion(value) for value in self._values(theta)))
        found = [self._expansion(point) for point in theta]
        parts = [[np.array([one[k][i] for one in found]) for i in range(3)] for k in range(2)]
        return Terms(*(Expansion(value, slope, bend if order > 1 else None) for value, slope, bend in parts))

    def _values(self, theta: FloatArray) -> FloatArray:
        """log_det and sse (2, L)."""
        found, unscaled = np.empty((2, len(theta))), Unscaled(self.sensors, self.rows)
        for i, (engine, rest, psi) in enumerate(self._each(theta)):
            terms = engine.terms(rest)
            free = engine.system.free if engine.columns is None else np.asarray(engine.columns @ engine.system.free)
            factor = unscaled.log_det(psi, engine.rows, free, engine.logs(rest)[1][0])
            found[:, i] = terms.log_det.value[0] - factor, terms.sse.value[0]
        return found

    def _expansion(self, theta: FloatArray) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Value, gradient and Hessian of log_det and of sse at one theta."""
        p = len(theta)
        moves = WIDE * np.eye(p)
        pairs = [(i, j) for i in range(p) for j in range(i)]
        corners = [a * moves[i] + b * moves[j] for i, j in pairs for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        values = self._values(theta + np.array([np.zeros(p), *moves, *-moves, *corners]))
        found = []
        sides = values[:, 1 : 2 * p + 1].reshape(2, 2, p)
        for centre, (up, down), rest in zip(values[:, 0], sides, values[:, 2 * p + 1 :], strict=True):
            hessian = np.diag((up - 2 * centre + down) / WIDE**2)
            for (i, j), (a, b, c, d) in zip(pairs, rest.reshape(-1, 4), strict=True):
                hessian[i, j] = hessian[j, i] = (a - b - c + d) / (4 * WIDE**2)
            found.append((centre, (up - down) / (2 * WIDE), hessian))
        return found

    def information(self, theta: FloatArray) -> FloatArray:
        """Expected information (L, p, p) of weights and variances; zero elsewhere."""
        found, q = np.zeros((*theta.shape, theta.shape[1])), self._split
        for one, (engine, rest, _) in zip(found, self._each(theta), strict=True):
            one[:q, :q] = engine.information(rest)[0]
        return found

    def moments(self, theta: FloatArray, functionals: BandRows | ProductRows) -> Moments:
        """As of `BandEngine`."""
        parts = [engine.moments(rest, functionals) for engine, rest, _ in self._each(theta)]
        return Moments(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def draws(self, theta: FloatArray, functionals: BandRows | ProductRows) -> PointDraws:
        """As of `BandEngine`."""
        engine, rest, _ = next(self._each(theta[None]))
        return engine.draws(rest[0], functionals)

    def leverages(self, theta: FloatArray) -> FloatArray:
        """As of `BandEngine`."""
        return np.concatenate([engine.leverages(rest) for engine, rest, _ in self._each(theta)])

    def stream(self, theta: FloatArray, lag: int | None = None) -> BandStream:
        """Refused."""
        raise SpecificationError(
            f"{self.sensors.labels[0]} is estimated, which a stream of a SplineRegression does not support; use SmoothingSpline"
        )


def plain(rows: Rows) -> Rows:
    """Rows of the curve itself, whatever the scales of series are."""
    return replace(rows, factors=()) if rows.factors else rows
