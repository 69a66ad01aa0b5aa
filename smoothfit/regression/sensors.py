"""Scales, lags and response times of series that are estimated with a penalised basis: y(x) = s L f(x - d) + b + e.

L may contain the filter of an instrument with response time tau (see ``response``). psi are log s, d and log tau of all these.
-2 l is first minimised over smoothing and variances, then over psi; at its minimum in the first its derivative by psi is that at
fixed weights and variances, taken by central differences. With N a basis of what no penalty touches, biases included, B(s) the rows
of the observations and V the covariance of the noise, the restricted likelihood has the factor |N'B(s)'V^-1 B(s) N|^(1/2), over
that at a scale in the middle of the search: without it a flat prior of these coefficients prefers small scales, and the estimate
depends on which series is the reference (see ``smoothfit.statespace.sensors``).

For intervals psi is integrated over together with smoothing and variances, with a uniform prior within the limits of the search;
that of a response time falls beyond what the observations can determine, as for a ``SmoothingSpline``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..basis.base import Basis
from ..errors import ConvergenceError, SpecificationError
from ..inference.newton import MAX_RESCANS, Minimum, differenced, minimize
from ..observations import Readings
from ..observations.series import CALIBRATED, estimated_of
from .correlated import Profile
from .criteria import RestrictedLikelihood
from .fitting import Estimate
from .functionals import closed_domain, degree_of
from .rows import Rows

KINDS = (*CALIBRATED, "response_time")
STEP = 1e-4  # of a coordinate, of central differences: right to its square
REACH, NEAR = 7.0, 1.0  # of log s about the ratio of spreads: where it is looked for, and where starts lie
LONGEST = 0.5  # of the range of x: a lag at most
MARGIN = 2e-3  # of a coordinate: from lags at which the basis ends, where rounding and differences would leave it
SCALES, LAGS, TIMES = 5, 41, 9  # points of a grid
SHORTEST_TIME, LONGEST_TIME = 1e-3, 10.0  # of the mean spacing and of the range of x: response times at least and at most
LIKELY_TIME = 0.25  # of these: between them response times are looked for first, and alike likely
SAME = 1e-6  # of -2 l: what searches leave of one minimum


class Sensors(NamedTuple):
    """What is unknown of series: kind and place of each entry of psi, limits, and the middle of scales.

    Lags are in units of `x_unit`, so that a coordinate of one changes the fit. The prior is uniform from `first` to `last`, and
    falls as exp(-distance) beyond.
    """

    kinds: tuple[str, ...]
    places: tuple[int, ...]
    labels: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    middle: FloatArray
    first: FloatArray
    last: FloatArray
    x_unit: float

    @classmethod
    def of(cls, rows: Rows) -> Sensors | None:
        """What rows leave unknown; None if that is nothing."""
        observations = rows.observations
        unknown = [(kind, name) for kind in KINDS for name in estimated_of(observations.readings, kind)]
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
                ends.append((low / unit, high / unit, float(np.clip(0.0, low, high)) / unit, low / unit, high / unit))
                continue
            if kind == "response_time":
                ends.append(_limits_of_response(x))
                continue
            alike = [r for r in rows.along_x.readings if not r.has_scale and (r.deriv, r.mean) == (own.deriv, own.mean)]
            spreads = [float(np.std(reading.y)) for reading in (own, *alike[:1])]
            centre = float(np.log(spreads[0] / spreads[1])) if alike and min(spreads) > 0 else 0.0
            ends.append((centre - REACH, centre + REACH, centre, centre - REACH, centre + REACH))
        lower, upper, middle, first, last = np.array(ends).T
        kinds, labels = tuple(kind for kind, _ in unknown), tuple(f"{kind}.{name}" for kind, name in unknown)
        return cls(kinds, places, labels, lower, upper, middle, first, last, unit)

    def at(self, rows: Rows, psi: FloatArray) -> Rows:
        """The rows at known scales, lags and response times."""
        n = len(rows.observations.readings)
        found = {"scale": [1.0] * n, "lag": [0.0] * n, "response_time": list(rows.response_times)}
        for kind, place, number in zip(self.kinds, self.places, self.numbers(psi).tolist(), strict=True):
            found[kind][place] = number
        return rows.with_sensors(*(tuple(found[kind]) for kind in KINDS))

    def centred(self, psi: FloatArray) -> FloatArray:
        """The same lags, with scales in the middle of the search."""
        return np.where([kind == "scale" for kind in self.kinds], self.middle, psi)

    def numbers(self, psi: FloatArray) -> FloatArray:
        """Scales, lags and response times (..., p), in the unit of x."""
        return np.where(self.is_log, np.exp(np.where(self.is_log, psi, 0.0)), psi * self.x_unit)

    def slopes(self, psi: FloatArray) -> FloatArray:
        """Derivatives of `numbers` by psi (p,)."""
        return np.where(self.is_log, self.numbers(psi), self.x_unit)

    @property
    def is_log(self) -> npt.NDArray[np.bool_]:
        """Which entries of psi are logarithms (p,)."""
        return np.array([kind != "lag" for kind in self.kinds])

    def log_prior(self, psi: FloatArray) -> FloatArray:
        """Log prior density (L,) at psi (L, p)."""
        beyond = np.maximum(0.0, np.maximum(self.first - psi, psi - self.last))
        return np.asarray(-beyond.sum(axis=1))

    @property
    def start(self) -> FloatArray:
        """The middle, within the limits (p,)."""
        return np.clip(self.middle, self.lower, self.upper)

    def grids(self) -> list[FloatArray]:
        """Starts along each entry, the others in the middle of theirs."""
        found = []
        for j, kind in enumerate(self.kinds):
            ends = (self.middle[j] - NEAR, self.middle[j] + NEAR) if kind == "scale" else (self.first[j], self.last[j])
            values = np.linspace(*ends, {"scale": SCALES, "lag": LAGS, "response_time": TIMES}[kind])
            values = np.unique(np.clip(values, self.lower[j], self.upper[j]))
            grid = np.repeat(self.start[None], len(values), axis=0)
            grid[:, j] = values
            found.append(grid)
        return found

    def without(self, j: int) -> tuple[float, Sensors]:
        """What entry j is if the series needs none, a scale of one, no lag, no response time, and these with it fixed there.

        The shortest response time stands for none.
        """
        null = 1.0 if self.kinds[j] == "scale" else 0.0
        at = float(self.lower[j]) if self.kinds[j] == "response_time" else 0.0
        lower, upper = self.lower.copy(), self.upper.copy()
        lower[j] = upper[j] = at
        return null, self._replace(lower=lower, upper=upper)


def _limits_of_response(x: FloatArray) -> tuple[float, float, float, float, float]:
    """Ends of the logarithm of a response time, its middle, and ends of what x (n,) can determine."""
    extent = float(np.ptp(x))
    spacing = extent / (len(np.unique(x)) - 1)
    first, last = np.log(LIKELY_TIME * spacing), np.log(LIKELY_TIME * extent)
    return np.log(SHORTEST_TIME * spacing), np.log(LONGEST_TIME * extent), (first + last) / 2, first, last


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
    low, high, closed = -LONGEST * extent, LONGEST * extent, closed_domain(basis)
    if reading.lag_limits is not None:
        low, high = (abscissa.in_unit(end) for end in reading.lag_limits)
    if closed is None:
        return low, high
    first, last = closed
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
    """What was estimated of series, the Hessian of -2 l by psi (p, p), and the fit there."""

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
        assert self.sensors is not None
        return self.sensors.at(self.rows, theta)

    def values(self, theta: FloatArray) -> FloatArray:
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
    """Minimise the profile; from the lowest points along each scale, lag and response time.

    Raises
    ------
    ConvergenceError
        The search did not converge.
    """
    sensors = profile.sensors
    assert sensors is not None
    start = sensors.start
    for j, grid in enumerate(sensors.grids()):
        grid[:, :j] = start[:j]
        start[j] = profile.along(grid).psi[j]
    for _ in range(MAX_RESCANS):
        minimum = minimize(profile, start[None], sensors.lower, sensors.upper)
        start, here, whole = minimum.theta, profile.visit(minimum.theta), profile.searched(minimum.theta)
        if not whole.is_below(here):
            fit = whole.fit if here.is_like(whole) else here.fit
            assert fit is not None
            return Sensed(sensors, minimum, differenced(profile, minimum.theta)[2], fit)
        profile.visited[:] = [whole]  # the others have a higher minimum of smoothing and variances
    what = ", ".join(sensors.labels)
    raise ConvergenceError(f"every search of {what} ends at a lower fit than the last, after {MAX_RESCANS}", whole.value)
