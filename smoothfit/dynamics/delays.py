"""The delay of inputs as a parameter: its profile likelihood, over a grid of whole steps and then between them.

All delays are compared on the same observations, those for which inputs are known at the longest of them. With D(d) minus twice the
largest log-likelihood given the delay d, exp(-D(d) / 2) is the density of delays under a flat prior but for what the other
parameters take of it; it may have several maxima, as inputs act at whole steps. It is computed from the estimate outwards until it
has fallen by `CUT`, and between these delays until their interpolant is right (`table`). An interval is that of highest density.
Coefficients are those at the estimate; to their covariance it adds that of its own error times the change of the coefficients with
the delay. In the normal scores of this density a few delays represent it, given each of which coefficients and noises have a
posterior (`delayed`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from .._validation import FloatArray, frozen
from ..errors import ConvergenceError, IdentificationError, NumericalError, SmoothfitError, SpecificationError
from .centring import centring
from .delay_law import DelayLaw
from .fast import FastPoleError
from .likelihood import StateSpace
from .methods.base import Problem
from .methods.kalman import find, fixed_coefficients, in_units
from .output_units import OutputUnits
from .sample import Sample
from .scoring import Optimum, Search
from .shifts import UNMOVED, shifted
from .start import starts

LONGEST = 0.2  # of the longest run: the longest delay that is looked at, if no range is given
MOST = 60  # delays on the grid
BEST = 3  # of them, from which searches start
RATIO = 0.1  # of variances, with which delays are compared before any search
FIRST, GROWTH = 0.8, 1.25  # standard errors between the first delays of the profile, and by how much further ones are wider apart
CUT = 8.0  # fall of the log likelihood beyond which a delay plays no part
UNSURE = 0.002  # of the probability: what an interval of delays may be off by
MOST_FITS = 100  # of a profile
MOST_NAMED = 4  # delays in a warning
BEFORE = "prepend rows with the inputs of the time before and missing outputs (NaN)"
RESOLVED = 1e-4  # of a standard error, or of a step where it is smaller: how far the minimum is followed


class Point(NamedTuple):
    """The best fit at a delay: D, coefficients (of centred columns) and variances."""

    value: float
    theta: FloatArray
    variances: FloatArray
    is_exact: bool


@dataclass(frozen=True, eq=False)
class Delay:
    """An estimated delay.

    Attributes
    ----------
    value, se : float
        The estimate, and the root mean square of its distance.
    law : DelayLaw
    slope : ndarray, shape (n_params,)
        Change of the coefficients with the delay.
    doubt : str
        What is wrong with the law if searches did not converge, for a warning; else empty.
    """

    value: float
    se: float
    law: DelayLaw
    slope: FloatArray
    doubt: str = ""

    @property
    def covariance(self) -> FloatArray:
        """What the error of the delay adds to the covariance of the coefficients."""
        return np.outer(self.slope, self.slope) * self.se**2


def estimated_delay(problem: Problem, lower: float, upper: float | None, *, sum_of_squares: bool) -> Delay:
    """The delay of a problem whose inputs are as recorded, between `lower` and `upper`.

    Raises
    ------
    IdentificationError
        The likelihood is largest at the longest delay.
    ConvergenceError
        No search converges at any delay.
    """
    sample = problem.sample
    h, upper = sample.gap, _longest(sample, lower, upper)
    if sample.step is None:
        grid = np.linspace(lower, upper, MOST + 1)
    else:
        step = h * np.ceil((upper - lower) / (h * MOST))
        grid = np.unique(
            np.append(step * np.arange(np.ceil(lower / step - 1e-9), np.floor(upper / step + 1e-9) + 1), [lower, upper])
        )
    profile = Profile(problem, upper, sum_of_squares)
    best, point = _on_grid(profile, grid)
    if best == len(grid) - 1:
        way = f"to look at longer ones, {BEFORE}"
        if 2 * grid[-1] <= _last_change(sample) + lower:
            longer = f"delay=({lower:g}, {2 * grid[-1]:g}), of less than the record ({sample.longest:g})"
            way = f"pass a range with a longer one, such as {longer}"
        raise IdentificationError(f"the likelihood is largest at the longest delay that was tried, {grid[-1]:g}: {way}")
    value, width = float(grid[best]), float(np.diff(grid).max())
    if point.is_exact:
        return Delay(value, 0.0, DelayLaw(np.array([value]), np.zeros(1)), np.zeros(len(point.theta)))
    low, high = float(grid[max(best - 1, 0)]), float(grid[best + 1])
    value, point = _between(profile, low, high, value, point, RESOLVED * width)
    se = _scale(profile, value, point, width, lower)
    # Again on all observations that the longest delay of any weight leaves.
    first = Table(profile, lower, value, point)
    first.grow(1.0, se)
    again = Profile(problem, first.highest, sum_of_squares)
    point = again.at(value, point)
    low, high = max(value - se, lower), min(value + se, again.upper)
    value, point = _between(again, low, high, value, point, RESOLVED * min(se, width))
    delay = _profiled(again, value, point, _scale(again, value, point, se, lower), lower)
    # Where the law has been computed since then, it does not matter what failed at first.
    elsewhere = {d: error for d, error in profile.failed.items() if not delay.law.at[0] <= d <= delay.law.at[-1]}
    return replace(delay, doubt=delay.doubt or _doubt({**elsewhere, **again.failed}))


def _longest(sample: Sample, lower: float, upper: float | None) -> float:
    """The longest delay that is looked at: `upper`, or else a fifth of the longest run, if the shortest then has an effect.

    Inputs before a run are unknown, so that all delays are compared from the longest one after its start on. If no input changes
    there, as after a single step early in the run, short delays have no effect, and the likelihood is that without the input.
    """
    most = _last_change(sample) + lower
    if not most > lower:
        raise IdentificationError(f"no input changes after the second row of its run, so that no delay can be estimated: {BEFORE}")
    if upper is None:
        return min(LONGEST * sample.longest, most)
    if upper > most:
        raise IdentificationError(
            f"delay reaches to {upper:g}, and delays are compared on observations that are later than that in their run, by which "
            f"no input changes any more: pass at most delay=({lower:g}, {most:g}), or {BEFORE}"
        )
    return upper


def _last_change(sample: Sample) -> float:
    """How long after the start of its run an input is last about to change; zero if none changes."""
    last = 0.0
    for s in sample.slices():
        changes = np.flatnonzero(np.diff(sample.u[s], axis=0).any(axis=1))
        if len(changes):
            last = max(last, float(sample.t[s][changes[-1]] - sample.t[s][0]))
    return last


class Profile:
    """Best fits given the delay, on the observations that all delays up to `upper` leave.

    Attributes
    ----------
    failed : dict
        Delays at which no search converged, and why, of those that were `tried`.
    """

    def __init__(self, problem: Problem, upper: float, sum_of_squares: bool):
        self.problem = problem
        self.upper = upper
        self.sum_of_squares = sum_of_squares
        self.levels = centring(problem)
        self.failed: dict[float, SmoothfitError] = {}

    @cached_property
    def _first(self) -> FloatArray:
        """The first time that is compared, by run."""
        return np.array([self.problem.sample.t[s.start] + self.upper for s in self.problem.sample.slices()])

    def part(self, delay: float) -> Problem:
        """The problem at a delay, of outputs and inputs less their levels."""
        return self.levels.problem(self.at_delay(delay))

    def at_delay(self, delay: float) -> Problem:
        equation, recorded = self.problem.equation, self.problem.sample
        sample = shifted(recorded, delay, UNMOVED, equation.intersample)
        labels = [recorded.labels.index(label) for label in sample.labels]
        early = sample.t < self._first[labels][sample.run] - 1e-9 * recorded.gap
        sample = replace(sample, y=frozen(np.where(early[:, None], np.nan, sample.y)))
        return Problem(equation, sample)

    def rough(self, delay: float) -> float:
        """D at coefficients by least squares on integrals: what delays are worth a search."""
        search = self._search(self.part(delay))
        model, first = search.model, starts(self.problem.equation, search.model.sample)[0]
        return search.value(first, self._units(model))

    def tried(self, delay: float, start: Point | None = None) -> Point | None:
        """As `at`; None if no search converges, which is kept in `failed`."""
        try:
            found = self.at(delay, start)
        except SmoothfitError as error:
            self.failed[delay] = error
            return None
        self.failed.pop(delay, None)
        return found

    def at(self, delay: float, start: Point | None = None) -> Point:
        """The best fit at a delay, from one nearby or from the equation's own starts."""
        part = self.part(delay)
        search = self._search(part)
        fixed = fixed_coefficients(search.model)
        n, p = part.equation.n_params, part.equation.n_noises
        zeros: tuple[int, ...] = ()
        if self.sum_of_squares:
            fixed[n : n + p] = True
            fixed[n + p :] |= search.sum_of_squares
            zeros = tuple(range(p))
        if start is None or part.equation.bounds:
            found = find(search, part, fixed, zeros)
        else:
            # Sums of squares are relative to the variance at which they start.
            variances = self._units(search.model) if search.sum_of_squares else start.variances
            try:
                found = _from_nearby(search, part, start.theta, variances, fixed)
            except (ConvergenceError, NumericalError, FastPoleError, np.linalg.LinAlgError):
                found = find(search, part, fixed, zeros)
        return Point(found.value, found.theta, np.concatenate([found.q, found.sigma2]), found.is_exact)

    def _units(self, model: StateSpace) -> FloatArray:
        """Variances at which a search may start; without process noise in sums of squares."""
        gap = model.sample.gap
        process = 0.0 if self.sum_of_squares else RATIO * gap ** (1.0 - 2 * model.equation.noise_orders)
        noises = [gap ** (-2.0 * model.sample.channels[i].deriv) for i in model.unknown]
        return model.equation.with_known_noises(np.append(np.broadcast_to(process, model.equation.n_noises), noises))

    def _search(self, part: Problem) -> Search:
        model = StateSpace(part.equation, part.sample)
        weighs = bool(model.unknown) and len(part.sample.channels) > 1
        return Search(model, sum_of_squares=self.sum_of_squares and not weighs)


def _from_nearby(
    search: Search, part: Problem, theta: FloatArray, variances: FloatArray, fixed: np.typing.NDArray[np.bool_]
) -> Optimum:
    """The maximum that coefficients and variances lead to, searched for in units of the outputs."""
    units = OutputUnits.of(part)
    if units is None or part.equation.terms:
        return search.minimise(theta, variances, fixed)
    of_variances = np.append(units.of_noises, units.of_observations(search.model.unknown))
    return in_units(search, units, lambda inner, _: inner.minimise(theta / units.of_theta, variances / of_variances, fixed))


class Table:
    """Best fits at delays from one on, and what follows for delays between them.

    Attributes
    ----------
    fits : dict
        By delay.
    """

    def __init__(self, profile: Profile, lower: float, value: float, point: Point):
        self.profile, self.lower = profile, lower
        self.fits = {value: point}

    @property
    def at(self) -> FloatArray:
        """The delays, increasing."""
        return np.array(sorted(self.fits))

    @property
    def best(self) -> float:
        """The likeliest delay."""
        return min(self.fits, key=lambda delay: self.fits[delay].value)

    @property
    def heights(self) -> FloatArray:
        """Their log likelihoods less the largest."""
        values = np.array([self.fits[delay].value for delay in self.at.tolist()])
        return np.asarray((values.min() - values) / 2)

    @property
    def highest(self) -> float:
        """The longest delay."""
        return max(self.fits)

    def law(self) -> DelayLaw:
        """The law of the delay if the other parameters have their likeliest values."""
        return DelayLaw(self.at, self.heights)

    def add(self, delay: float) -> bool:
        """Fit at a delay, from the fit nearest to it; whether the search converges."""
        nearest = min(self.fits, key=lambda one: abs(one - delay))
        found = self.profile.tried(delay, self.fits[nearest])
        if found is not None:
            self.fits[delay] = found
        return found is not None

    def grow(self, side: float, step: float) -> None:
        """Go on to shorter (-1) or longer (1) delays until their likelihood is negligible."""
        bound = self.lower if side < 0 else self.profile.upper
        while len(self.fits) < MOST_FITS:
            edge = min(self.fits) if side < 0 else max(self.fits)
            fallen = self.heights[0 if side < 0 else -1] < -CUT
            if fallen or edge == bound:
                return
            delay = max(edge - step, bound) if side < 0 else min(edge + step, bound)
            if not self.add(delay):
                return
            step *= GROWTH

    def refine(self) -> None:
        """Fit halfway between delays until the law has converged."""
        sure: set[float] = set()  # where intervals begin that need no more
        while len(self.fits) < MOST_FITS:
            law, at = self.law(), self.at
            masses = law.masses_between(at)
            open_ = [i for i in range(len(masses)) if masses[i] > UNSURE and float(at[i]) not in sure]
            if not open_:
                return
            i = max(open_, key=lambda k: masses[k])
            middle = float(at[i] + at[i + 1]) / 2
            guess = float(law.log_density(np.array([middle]))[0])
            if not self.add(middle):
                sure.add(float(at[i]))
                continue
            found = float(self.heights[np.searchsorted(self.at, middle)])
            if abs(np.expm1(found - guess)) * masses[i] < UNSURE:
                sure |= {float(at[i]), middle}


def _on_grid(profile: Profile, grid: FloatArray) -> tuple[int, Point]:
    """The best delay of a grid, from the roughly best ones downhill."""
    rough = np.array([profile.rough(float(delay)) for delay in grid])
    known: dict[int, Point] = {}
    for i in np.argsort(rough)[:BEST].tolist():
        point = profile.tried(float(grid[i]))
        if point is not None:
            known[i] = point
    if not known:
        *_, failure = profile.failed.values()
        raise ConvergenceError(f"no search converges at any delay ({failure}); pass a delay, or other regressors")
    best, without = min(known, key=lambda i: known[i].value), set[int]()  # the latter without a fit
    while True:
        for i in (best - 1, best + 1):
            if 0 <= i < len(grid) and i not in known and i not in without:
                point = profile.tried(float(grid[i]), known[best])
                if point is None:
                    without.add(i)
                else:
                    known[i] = point
        nearby = min(known, key=lambda i: known[i].value)
        if nearby == best:
            return best, known[best]
        best = nearby


def _between(profile: Profile, low: float, high: float, middle: float, point: Point, tolerance: float) -> tuple[float, Point]:
    """The best delay between two, beside one between them whose fit is known, and the fit there."""
    known = [(middle, point)]

    def value(delay: float) -> float:
        found = profile.tried(float(delay), point)
        if found is None:
            return np.inf
        known.append((float(delay), found))
        return found.value

    minimize_scalar(value, bounds=(low, high), method="bounded", options={"xatol": tolerance})
    value(low)
    return min(known, key=lambda one: one[1].value)


def _scale(profile: Profile, value: float, point: Point, width: float, lower: float) -> float:
    """A standard error: the distance at which the signed root is about one."""
    for _ in range(40):
        side = value + width if value + width <= profile.upper else value - width
        if side < lower:
            width /= 2
            continue
        root = np.sqrt(max(profile.at(side, point).value - point.value, 0.0))
        if 0.5 < root < 2:
            return float(width / root)
        width *= float(np.clip(1 / max(root, 1e-3), 0.05, 4))
        if width > profile.upper - lower:
            return float(profile.upper - lower)
    return width


def _profiled(profile: Profile, value: float, point: Point, se: float, lower: float) -> Delay:
    """The profile about the estimate."""
    known = Table(profile, lower, value, point)
    for side in (-1.0, 1.0):
        known.grow(side, FIRST * se)
    known.refine()
    at = known.at
    best = known.best
    if best != value:  # another maximum is higher
        i = int(np.searchsorted(at, best))
        ends = float(at[max(i - 1, 0)]), float(at[min(i + 1, len(at) - 1)])
        value, point = _between(profile, *ends, best, known.fits[best], RESOLVED * min(se, profile.problem.sample.gap))
        known.fits[value] = point
    law = known.law()
    masses = law.masses_about(known.at)
    apart = known.at - value
    se = float(np.sqrt(law.mean_square(value)))
    thetas = np.array([known.fits[one].theta for one in known.at.tolist()]) - point.theta
    slope = masses * apart @ thetas / max(float(masses @ apart**2), np.finfo(float).tiny)
    doubt = ""
    if len(known.fits) >= MOST_FITS:
        doubt = (
            f"the likelihood of the delay is not resolved by {MOST_FITS} fits between {at[0]:g} and {at[-1]:g}; its interval may "
            "be wrong: pass a shorter range, delay=(shortest, longest)"
        )
    return Delay(value, se, law, profile.levels.way_back(profile.problem.equation) @ slope, doubt)


def _doubt(failed: dict[float, SmoothfitError]) -> str:
    """What failed searches at some delays leave open; empty if there are none."""
    if not failed:
        return ""
    delays = sorted(failed)
    shown = ", ".join(f"{delay:g}" for delay in delays[:MOST_NAMED]) + (", ..." if len(delays) > MOST_NAMED else "")
    return (
        f"no search converges at {len(delays)} of the delays that were tried ({shown}): {failed[delays[0]]}. The likelihood of "
        "delays is interpolated there, and taken to be zero beyond the last one with a fit, so that the delay and all intervals "
        "may be wrong; pass a range without these delays, delay=(shortest, longest)"
    )


def delay_range(delay: Any) -> tuple[float, float | None] | None:
    """Between which delays one is estimated, of "estimate" or of a pair; None of a number."""
    if isinstance(delay, str):
        if delay != "estimate":
            raise SpecificationError(f'delay is {delay!r}; pass a number in the unit of t, "estimate", or a pair of limits')
        return 0.0, None
    if not isinstance(delay, (tuple, list)):
        return None
    limits = np.asarray(delay, float)
    if limits.shape != (2,) or not (np.isfinite(limits).all() and 0 <= limits[0] < limits[1]):
        raise SpecificationError(f"delay is {delay!r}; limits of a delay are two finite numbers, the lower one zero or more")
    return float(limits[0]), float(limits[1])


def check_range(problem: Problem, span: tuple[float, float | None]) -> None:
    """Raise if there is no delay to estimate, or the longest is longer than the record."""
    sample = problem.sample
    if not sample.inputs or problem.equation.terms or sample.lags != UNMOVED:
        reason = "has no inputs" if not sample.inputs else "has nonlinear terms" if problem.equation.terms else "has lags"
        raise SpecificationError(f'delay="estimate" is for linear equations with inputs and without lags, and this one {reason}')
    if span[1] is not None and span[1] >= sample.longest:
        raise SpecificationError(
            f"delay reaches to {span[1]:g}, and the longest record is {sample.longest:g} long; pass a shorter range"
        )
