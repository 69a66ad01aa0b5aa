"""The search for what a specification leaves unknown: criteria as functions of logarithms, and the starts of descents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import numpy as np
from scipy.stats import qmc

from .._entry import warn
from .._validation import FloatArray, IntArray, frozen
from ..errors import ConvergenceError, IdentificationError, IntegrationWarning, NumericalError
from ..inference.descent import Scored, descend
from ..inference.newton import Minimum, best_from, differenced, minimize
from ..inference.quasi_newton import DECREMENT, LEVEL
from ..markov.program import Scan, Sums
from .extent import LOG, Parameter

LOG_2_PI = float(np.log(2 * np.pi))
CANDIDATES, FEWEST = 6, 5  # powers of two of starts that are tried at most and at least
LENGTHS, POOL = 9, 15  # of each length scale, inner values that are tried, each with the others of so many starts
RIVAL, APART = 6.0, 4.0  # of -2 log-likelihood below which another lag is almost as likely, and SDs by which it is another
TINY = float(np.finfo(float).tiny)
LAGS, POOL_OF_LAGS = 47, 2  # of each lag, which has narrower valleys
MOST_FOLLOWED = 3
TRUST, DISTRUST = 4.0, 2.0  # how far a log variance is tried below the spread of its series at least, and above if not believed
WITHIN_REACH = 4.0  # of -2 log-likelihood: how much higher a start may lie from which it is worth to go on
STEP = 1e-4  # in a logarithm, of the differences of scores
SHALLOW, STEEP = 0.5, 2.0  # how much lower or higher a start in the bowl about a minimum may be than its curvature predicts
GENEROUS = 2.0  # times the gain that a Hessian predicts where an intensity is zero
ROUGH = 0.1  # a decrement at which a start for another search is good enough
HOPELESS = 3.0  # times what the descent from the best start brought: more than that from another can bring
RARE, N_RARE = 5.0, 4  # below the smallest start, and how many, where an intensity is tried that is zero by some observations
NEAR, NOISY = 1e-9, 1e-4  # in a logarithm, and an SD of the log-likelihood that hides a minimum
REMEDY = "give more hyperparameters in the prior, or an SD"
UNDETERMINED = (
    "the observations hardly determine what is unknown at the start: of a season use fewer harmonics, or observations of more of "
    "its period, and leave out a regressor that repeats with it"
)


Start = tuple[FloatArray, float]  # a point and the value there


class Searched(Protocol):
    """The interface of a model to a search."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is searched."""

    @property
    def nobs(self) -> int:
        """Number of observations."""

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All hyperparameters and all variances, scaled, at a theta; with a `scaling`, at many."""

    def sums(
        self, values: FloatArray, variance: FloatArray, method: str, *, slopes: bool = False, along: Sequence[int] | None = None
    ) -> Sums:
        """Terms of the likelihood; with `slopes` derivatives by theta, or by the components `along` of it."""

    def scan(self, values: FloatArray, variance: FloatArray, along: Sequence[int] = ()) -> Scan | None:
        """Terms of candidates, with derivatives `along` as of `sums`; None if they come one by one only."""

    @property
    def scaling(self) -> FloatArray | None:
        """What multiplies all variances by e, as a change of theta; None if some size is given."""

    def sketches(self) -> Sequence[Searched]:
        """The models of parts of the observations, if these are many."""


@dataclass(frozen=True, eq=False)
class GeneralCriterion:
    """-2 log-likelihood as a function of theta, to be minimised; roughly, to start the search of another."""

    model: Searched
    method: str
    is_rough: bool = False
    unbounded = False

    def assemble(self, sums: Sums) -> FloatArray:
        """Value and gradient (1 + p,)."""
        return self._level(sums) + sums.sse

    def _level(self, sums: Sums) -> FloatArray:
        """What is not the sum of squares."""
        total = sums.log_det.copy()
        if self.method == "ml":
            total -= sums.log_information
        total[0] += self._count(sums) * LOG_2_PI
        return total

    def _count(self, sums: Sums) -> int:
        """Of the densities in the likelihood."""
        return self.model.nobs if self.method == "ml" else sums.n_used

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p); infinite if they cannot be computed."""
        level, sse, _ = self._scan(theta)
        return np.where(np.isnan(level[:, 0]), np.inf, level[:, 0] + sse[:, 0])

    def _scan(self, theta: FloatArray, along: Sequence[int] = ()) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Level and sum of squares of candidates (L, p) with slopes `along`, (L, 1 + a), and counts (L,); NaN if not computable."""
        level, sse = np.full((2, len(theta), 1 + len(along)), np.nan)
        count = np.full(len(theta), np.nan)
        if self.method == "reml":
            computed, values, variance = self._splits(theta)
            scanned = self.model.scan(values, variance, along) if len(computed) else None
            if scanned is not None:
                used = scanned.n_used.astype(np.float64)
                scanned.log_det[:, 0] += used * LOG_2_PI
                if len(computed) == len(theta):
                    return scanned.log_det, scanned.sse, used
                level[computed], sse[computed], count[computed] = scanned.log_det, scanned.sse, used
                return level, sse, count
        for i, candidate in enumerate(theta):
            sums = self._sums(candidate, along)
            if sums is not None:
                level[i], sse[i], count[i] = self._level(sums), sums.sse, self._count(sums)
        return level, sse, count

    def _splits(self, theta: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Which candidates (L, p) there are, and their hyperparameters and variances: a fixed smoothing may not be had."""
        if self.scaling is not None:
            return np.arange(len(theta)), *self.model.split(theta)
        computed, parts = [], []
        for i, candidate in enumerate(theta):
            try:
                parts.append(self.model.split(candidate))
            except NumericalError:
                continue
            computed.append(i)
        values, variance = (np.array(part) for part in zip(*parts, strict=True)) if parts else np.empty((2, 0, 0))
        return np.array(computed, np.int64), values, variance

    def _sums(self, theta: FloatArray, along: Sequence[int]) -> Sums | None:
        try:
            return self.model.sums(*self.model.split(theta), self.method, along=along)
        except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
            return None

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        total = self.assemble(self.model.sums(*self.model.split(theta), self.method, slopes=True))
        return float(total[0]), total[1:]

    # One scale of all --------------------------------------------------------------------------------------------------

    @property
    def scaling(self) -> FloatArray | None:
        """What multiplies all variances by e, as a change of theta; None if some size is given.

        Along it K = e^t K_0: log|K| grows by t for each density and the sum of squares shrinks by e^-t, so that the best t, the
        score and the Hessian along it follow from the values and scores of the terms at one point.
        """
        return self.model.scaling

    @cached_property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        return tuple(np.array([getattr(p, name) for p in self.model.parameters]) for name in ("lower", "upper"))  # type: ignore[return-value]

    @cached_property
    def _moving(self) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
        """The components that the scaling moves: how much, and their bounds."""
        assert self.scaling is not None
        moves, (lower, upper) = np.flatnonzero(self.scaling > 0), self.bounds
        return moves, self.scaling[moves], lower[moves], upper[moves]

    def _rescaled(self, theta: FloatArray, ratio: FloatArray) -> FloatArray:
        """The best t of candidates (L, p) within the bounds, `ratio` that of the sums of squares to the counts; zero at a bound."""
        moves, scaling, lower, upper = self._moving
        here = theta[:, moves]
        least, most = ((lower - here) / scaling).max(axis=1), ((upper - here) / scaling).min(axis=1)
        best = np.minimum(np.maximum(np.log(np.maximum(ratio, TINY)), least), most)
        return np.where((least < 0) & (most > 0), best, 0.0)

    def lowered(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Candidates (L, p), each at its best scale, and their values."""
        theta = np.clip(theta, *self.bounds)
        if self.scaling is None:
            return theta, self.values(theta)
        level, sse, count = self._scan(theta)
        level, sse = level[:, 0], sse[:, 0]
        computed = ~np.isnan(level)
        t = np.zeros(len(theta))
        t[computed] = self._rescaled(theta[computed], sse[computed] / count[computed])
        values = np.where(computed, level + count * t + sse * np.exp(-t), np.inf)
        return theta + t[:, None] * self.scaling, values

    def _terms(self, theta: FloatArray, scaling: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The likelihood but for the sum of squares, and that sum: values and scores (L, 1 + p); and the counts of densities (L,).

        The component of the scores with the largest share in the scaling follows from the others. NaN if they cannot be computed.
        """
        pivot, others = self._pivot
        level, sse, count = self._scan(theta, others)
        parts, share = [], scaling[others]
        for terms, of_all in ((level, count), (sse, -sse[:, 0])):
            own = (of_all - terms[:, 1:] @ share) / scaling[pivot]
            parts.append(np.concatenate([terms[:, : 1 + pivot], own[:, None], terms[:, 1 + pivot :]], axis=1))
        return parts[0], parts[1], count

    @cached_property
    def _pivot(self) -> tuple[int, list[int]]:
        """The component with the largest share in the scaling, and the others."""
        assert self.scaling is not None
        pivot = int(np.argmax(self.scaling))
        return pivot, [i for i in range(len(self.scaling)) if i != pivot]

    def score(self, theta: FloatArray) -> Scored:
        """Value and score at the best scale; a value that is infinite if there is none."""
        nowhere = Scored(theta, np.inf, np.zeros_like(theta))
        if self.scaling is None:
            try:
                return Scored(theta, *self.gradient(theta))
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                return nowhere
        level, sse, count = (part[0] for part in self._terms(theta[None], self.scaling))
        if np.isnan(level[0]):
            return nowhere
        t = float(self._rescaled(theta[None], sse[:1] / count)[0])
        sse = np.exp(-t) * sse
        total = level + sse
        return Scored(theta + t * self.scaling, float(total[0] + count * t), total[1:], sse[1:])

    def curvature(self, at: Scored) -> FloatArray:
        """Hessian, by differences of exact scores but along the scaling, where it is exact."""
        p, scaling = len(at.theta), self.scaling
        moved = at.theta + STEP * np.eye(p)
        if scaling is None:
            scored = [self.score(theta) for theta in moved]
            hessian = (np.array([each.gradient for each in scored]) - at.gradient) / STEP
            if not np.isfinite([each.value for each in scored]).all():
                return np.zeros((p, p))
        else:
            hessian, (pivot, others) = np.zeros((p, p)), self._pivot
            level, sse, _ = self._terms(moved[others], scaling)
            if np.isnan(level).any():
                return hessian
            hessian[others] = ((level + sse)[:, 1:] - at.gradient) / STEP
            if at.along is not None:
                hessian[pivot] = (-at.along - scaling @ hessian) / scaling[pivot]
        return (hessian + hessian.T) / 2

    # Search --------------------------------------------------------------------------------------------------------------

    def minimum(self) -> Minimum:
        """The best of many starts that converged; warns of another maximum of the likelihood by a lag that is almost as high."""
        try:
            paths, best = self._best()
        except ConvergenceError as error:
            noise, what, remedy = self._rounding(), str(error).rsplit(";", 1)[0], REMEDY
            if noise > NOISY:
                what, remedy = f"rounding makes the log-likelihood uncertain by {noise:.1g}", UNDETERMINED
            raise ConvergenceError(f"{what}; {remedy}", error.value) from None
        self._warn_of_rivals(paths, best)
        return best

    def _rounding(self) -> float:
        """SD of the log-likelihood among points so near each other that it should not differ, about the best start."""
        starts, values = self.lowered(self._spread())
        near = starts[np.argmin(values)] + NEAR * _spread_over_cube(starts.shape[1], FEWEST)
        values = self.values(near)
        return float(np.std(values)) / 2 if np.isfinite(values).all() else 0.0

    def _warn_of_rivals(self, paths: _Paths, best: Minimum) -> None:
        """Warn if the likelihood has another maximum elsewhere along a lag, as of curves that are nearly periodic."""
        hessian = paths.end(best)[1]
        for i, p in enumerate(self.model.parameters):
            if not p.is_length or p.link == LOG:
                continue
            width = APART * float(np.sqrt(2 / max(hessian[i, i], TINY)))
            rivals = [end for end, _ in paths.ends if end.value < best.value + RIVAL and abs(end.theta[i] - best.theta[i]) > width]
            if rivals:
                other = min(rivals, key=lambda end: end.value)
                here, there = (p.link.number(float(end.theta[i])) * p.unit for end in (best, other))
                warn(
                    f"{p.name} = {here:.4g} and {there:.4g} are almost equally likely, log-likelihoods differ by "
                    f"{(other.value - best.value) / 2:.1f}; intervals are about the first: if the lag is known to some extent, "
                    "pass limits, lag=(low, high)",
                    IntegrationWarning,
                )

    def basin(self) -> tuple[Minimum, FloatArray]:
        """The best minimum inside of where the criterion falls without bound, and the Hessian there."""
        paths, best = self._best()
        return paths.end(best)

    def _best(self) -> tuple[_Paths, Minimum]:
        """The best minimum inside of where the criterion falls without bound, and the paths to minima that were followed.

        It falls without bound where an SD that cannot be zero tends to zero.
        """
        of_parts, hessians = self._starts_of_parts()
        starts, values = self.lowered(self._spread() if of_parts is None else of_parts)
        lows = _lows(starts[:, 0], values) if of_parts is None else np.argsort(values, kind="stable")[:MOST_FOLLOWED]
        first: list[Start] = [(starts[i], float(values[i])) for i in lows if np.isfinite(values[i])]
        if not first:
            raise ConvergenceError("the criterion is not finite at any start;")
        guesses = {float(value): hessian for value, hessian in zip(values, hessians, strict=False) if hessian is not None}
        paths = _Paths(self, len(starts), first[0][1], guesses)
        trusting = [] if of_parts is not None else self._trusting(starts)
        candidates = [(start, False) for start in first] + [(start, True) for start in trusting]
        best = best_from(candidates, lambda each, best: paths.follow(each[0], None if each[1] else best))
        if best is None:
            if self.method == "ml":
                raise ConvergenceError("the likelihood has no maximum short of an SD of zero, where it grows without bound;")
            best = min(paths.outside, key=lambda end: end[0].value)[0]
            paths.ends += paths.outside
        sound = best
        size = POOL if self.scaling is None else min(2 ** (starts.shape[1] - 1) - 2, POOL)  # one scale less to be found
        pool = starts[np.argsort(values, kind="stable")[:size]]
        others = [] if self.is_rough else self._without(*paths.end(best))
        if of_parts is None:
            others += self._elsewhere(best, pool)
        best = best_from([None, *others], lambda start, _: sound if start is None else paths.follow(start, sound))
        assert best is not None
        return paths, best

    def _trusting(self, starts: FloatArray) -> list[Start]:
        """For each of several series the best start that trusts it and not the others."""
        parameters = self.model.parameters
        noises = [i for i, p in enumerate(parameters) if p.is_variance]
        if len(noises) < 2:
            return []
        distrust = np.array([parameters[i].last for i in noises]) + DISTRUST
        found = []
        for g, i in enumerate(noises):
            if parameters[i].is_stuck:
                continue
            candidates = starts.copy()
            candidates[:, i] = np.minimum(candidates[:, i], parameters[i].last - TRUST)
            candidates[:, np.delete(noises, g)] = np.delete(distrust, g)
            values = self.values(candidates)
            best = int(np.argmin(values))
            if np.isfinite(values[best]):
                found.append((candidates[best], float(values[best])))
        return found

    def _without(self, best: Minimum, hessian: FloatArray) -> list[Start]:
        """Starts where an intensity is zero, as far as what the others have to gain there can make up for it."""
        found = []
        lower, _ = self.bounds
        for i, p in enumerate(self.model.parameters):
            if not p.vanishes or best.at_lower[i]:
                continue
            trial = best.theta.copy()
            trial[i] = lower[i]
            if not self.values(trial[None])[0] < best.value + WITHIN_REACH:
                continue
            at = self.score(trial)
            others = ~(best.at_lower | best.at_upper)
            others[i] = False
            slope = at.gradient[others]
            gain = float(slope @ np.linalg.solve(hessian[np.ix_(others, others)], slope)) / 2
            if at.value - GENEROUS * gain < best.value:
                found.append((trial, at.value))
        return found

    def _elsewhere(self, best: Minimum, pool: FloatArray) -> list[Start]:
        """Other starts that may lead lower: along each length scale and lag, out to its bounds."""
        found = []
        parameters, (lower, upper) = self.model.parameters, self.bounds
        pool = np.vstack([best.theta, pool])
        for i, p in enumerate(parameters):
            if not p.is_length:
                continue
            count, size = (LENGTHS, POOL) if p.link == LOG else (LAGS, POOL_OF_LAGS)
            grid = np.concatenate([lower[i : i + 1], np.linspace(lower[i], upper[i], count + 2)[1:-1], upper[i : i + 1]])
            candidates = np.repeat(pool[None, : 1 + size], len(grid), axis=0)
            candidates[:, :, i] = grid[:, None]
            flat, values = self.lowered(candidates.reshape(-1, len(parameters)))
            candidates, values = flat.reshape(candidates.shape), values.reshape(len(grid), -1)
            along, which = values.min(axis=1), values.argmin(axis=1)
            near = int(np.argmin(np.abs(grid - best.theta[i])))
            found += [(candidates[j, which[j]], float(along[j])) for j in _lows(grid, along) if j != near]
        return found

    def _starts_of_parts(self) -> tuple[FloatArray | None, list[FloatArray | None]]:
        """Starts at the optima of parts of the observations, if these are many, with the Hessians of these.

        Also with intensities that are zero by all parts.
        """
        parameters = self.model.parameters
        starts: list[FloatArray] = []
        hessians: list[FloatArray | None] = []
        zero = np.array([p.vanishes for p in parameters])  # by all parts
        for part in self.model.sketches():
            try:
                found, hessian = GeneralCriterion(part, self.method, is_rough=True).basin()
            except ConvergenceError:  # a part that does not determine what all do
                continue
            units = [
                (2 if p.is_variance else 1) * np.log(q.unit / p.unit) for p, q in zip(parameters, part.parameters, strict=True)
            ]
            starts.append(found.theta + units)
            is_inside = not (found.at_lower | found.at_upper).any()
            hessians.append(hessian * (self.model.nobs / part.nobs) if is_inside else None)
            zero &= found.at_lower
        for theta in list(starts):
            for i in np.flatnonzero(zero).tolist():
                rare = np.repeat(theta[None], N_RARE, axis=0)
                rare[:, i] = np.linspace(parameters[i].first - RARE, parameters[i].last, N_RARE)
                starts += list(rare)
                hessians += [None] * N_RARE
        return (np.array(starts), hessians) if starts else (None, [])

    def _spread(self) -> FloatArray:
        """Points spread over the whole search."""
        parameters = self.model.parameters
        n = CANDIDATES if self.scaling is None else min(max(2 * len(parameters) - 2, FEWEST), CANDIDATES)
        cube = _spread_over_cube(len(parameters), n)
        first, last = (np.array([getattr(p, name) for p in parameters]) for name in ("first", "last"))
        return np.asarray(first + cube * (last - first))


class _Paths:
    """Descents from starts to minima, each with the Hessian there; those along which the criterion falls without bound apart.

    Parameters
    ----------
    first : float
        Value of the best start.
    guesses : dict
        Hessians that are known about starts, by the values there.
    """

    def __init__(self, criterion: GeneralCriterion, n_starts: int, first: float, guesses: dict[float, FloatArray]):
        self.criterion, self.n_starts, self.first, self.guesses = criterion, n_starts, first, guesses
        self.ends: list[tuple[Minimum, FloatArray]] = []
        self.outside: list[tuple[Minimum, FloatArray]] = []
        is_boundless = criterion.method == "ml"
        parameters = criterion.model.parameters
        self._boundless = np.array([p.is_variance and (p.is_stuck or (is_boundless and not p.is_rounded)) for p in parameters])

    def follow(self, start: Start, best: Minimum | None) -> Minimum | None:
        """The minimum; None if it is known or outside, or the start so high above the best that none came down as far."""
        theta, value = start
        if best is not None and value - best.value > max(HOPELESS * (self.first - best.value), WITHIN_REACH):
            return None
        if self.is_known(theta, value):
            return None
        lower, upper = self.criterion.bounds
        guess, tolerance = self.guesses.get(value), ROUGH if self.criterion.is_rough else DECREMENT
        try:
            way = descend(self.criterion, theta, lower, upper, self.n_starts, guess, tolerance, self.is_reached)
            if way is None:
                return None
            end = way
        except ConvergenceError:  # in a narrow valley secants do not see the bend
            found = minimize(self.criterion, theta[None], lower, upper)
            end = found, differenced(self.criterion, found.theta)[2]
        is_outside = bool((end[0].at_lower & self._boundless).any())
        (self.outside if is_outside else self.ends).append(end)
        return None if is_outside else end[0]

    def is_known(self, theta: FloatArray, value: float) -> bool:
        """Whether a point lies in the bowl about a minimum that was found."""
        return any(_leads_to(theta, value, *end) for end in self.ends)

    def is_reached(self, theta: FloatArray, value: float) -> bool:
        """Whether a descent has come to the bowl about a minimum that was found; if not a rough one, near to its bottom."""
        near = [end for end in self.ends if self.criterion.is_rough or value <= end[0].value + WITHIN_REACH]
        return any(_leads_to(theta, value, *end) for end in near)

    def end(self, found: Minimum) -> tuple[Minimum, FloatArray]:
        """A minimum with its Hessian."""
        return next(end for end in self.ends if end[0] is found)


@cache
def _spread_over_cube(p: int, power: int) -> FloatArray:
    """Points of Sobol's sequence but for its first, a corner: (2^power - 1, p)."""
    return frozen(qmc.Sobol(p, scramble=False).random_base2(power)[1:])


def _lows(along: FloatArray, values: FloatArray) -> IntArray:
    """Local minima of values along a line, the lowest first, `MOST_FOLLOWED` at most."""
    order = np.argsort(along, kind="stable")
    padded = np.concatenate([[np.inf], values[order], [np.inf]])
    lows = order[(padded[1:-1] <= padded[:-2]) & (padded[1:-1] <= padded[2:]) & np.isfinite(padded[1:-1])]
    return np.asarray(lows[np.argsort(values[lows], kind="stable")][:MOST_FOLLOWED])


def _leads_to(theta: FloatArray, value: float, found: Minimum, hessian: FloatArray) -> bool:
    """Whether a start lies in the bowl about a minimum: it is about as high as the curvature there predicts."""
    away = theta - found.theta
    predicted = float(away @ hessian @ away) / 2
    return SHALLOW * predicted <= value - found.value <= STEEP * predicted + LEVEL
