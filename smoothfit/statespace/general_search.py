"""The search for what `general` does not know: what is searched, how large it can be, and where starts lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import qmc

from .._validation import FloatArray
from ..errors import ConvergenceError, IdentificationError, NumericalError
from ..inference.newton import LEVEL, Minimum, best_from, difference_hessian, minimize
from ..markov.process import LENGTH, RATIO, Hyperparameter
from ..markov.program import Program, Sums
from ..observations import OF_DIFFERENCE, Observations, Readings
from ..results.exact import is_stuck

CANDIDATES = 6  # powers of two of starts that are tried
LENGTHS, POOL = 9, 15  # of each length scale, inner values that are tried, each with the others of so many starts
MOST_FOLLOWED = 3
TRUST, DISTRUST = (
    4.0,
    2.0,
)  # how far below the spread of a series its log variance is tried at least, and how far above if not believed
WITHIN_REACH = 4.0  # of -2 log-likelihood: how much higher a start may lie from which it is worth to go on
NEAR = 2.0  # in a logarithm: how far from the optimum of a part that of all is looked for
REMEDY = "give more hyperparameters in the prior, or an sd"
SMALLEST_SD = 1e-8  # of the size of a name's readings; below, an sd counts as zero


@dataclass(frozen=True)
class Parameter:
    """One coordinate of the search, the logarithm of a scaled number.

    Attributes
    ----------
    name : str
    index : int
        Of the hyperparameter, or of the variance group.
    is_variance : bool
    unit : float
        Of the number (of the sd, for a variance).
    lower, upper : float
        Bounds of the logarithm.
    first, last : float
        Where starts lie.
    vanishes : bool
        Whether at the lower bound it is zero.
    is_length : bool
        Whether it is a length scale, a period or a tension.
    is_stuck : bool
        Whether it is the variance of observations that are all equal, of which the likelihood has no greatest value.
    """

    name: str
    index: int
    is_variance: bool
    unit: float
    lower: float
    upper: float
    first: float
    last: float
    vanishes: bool
    is_length: bool = False
    is_stuck: bool = False


class Measured(Protocol):
    """What tells how long and how large readings are."""

    @property
    def observations(self) -> Observations:
        """The readings."""

    @property
    def program(self) -> Program:
        """Of the readings."""

    def unit_of(self, reading: Readings) -> float:
        """Unit of a name's readings."""


class Searched(Protocol):
    """What a search knows of a model."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is searched."""

    @property
    def nobs(self) -> int:
        """Number of readings."""

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All hyperparameters and all variances, scaled, at a theta."""

    def sums(self, values: FloatArray, variance: FloatArray, method: str, *, slopes: bool = False) -> Sums:
        """Terms of the likelihood; with `slopes` derivatives by theta."""

    def thinned(self) -> Searched | None:
        """The model of every so manieth reading, where there are many; None where there are not."""


@dataclass(frozen=True)
class Extent:
    """How long and how large the readings are, scaled: what bounds a search.

    Attributes
    ----------
    gap, spacing, range : float
        Least and mean distance of neighbouring abscissae, and of the first from the last.
    size : float
        Typical deviation of f.
    """

    gap: float
    spacing: float
    range: float
    size: float

    @classmethod
    def of(cls, model: Measured) -> Extent:
        """Of the readings of a model."""
        dt = model.program.dt
        whole = float(dt[model.program.class_dt][model.program.step[1:]].sum())
        sizes = [cls.size_of(r, model.unit_of(r)) for r in model.observations.readings if has_level(r)]
        return cls(float(dt.min()), whole / max(len(model.program.step) - 1, 1), whole, max(sizes, default=0.5))

    @staticmethod
    def size_of(reading: Readings, unit: float) -> float:
        """Standard deviation of a name's readings, or their size where they are all alike, to rounding."""
        y = reading.y / unit
        return float((0.0 if is_stuck(reading.y) else np.std(y)) or np.abs(y).max() or 1.0)

    def parameter(self, p: Hyperparameter, index: int, unit: float) -> Parameter:
        """Bounds and starts of a hyperparameter."""
        power = p.x_power
        if p.kind == RATIO:
            bounds, starts = (1e-4, 1e2), (0.01, 1.0)
            (lower, upper), (first, last) = np.log(bounds), np.log(starts)
            return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=False)
        if p.kind == LENGTH:
            bounds, starts = (self.gap / 4, 100 * self.range), (1.5 * self.spacing, self.range)
            (lower, upper), (first, last) = _powers(bounds, power), _powers(starts, power)
            return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=False, is_length=True)
        size = p.f_power * np.log(self.size)
        lower, upper = size + _powers((self.gap, self.range), power) + 16 * p.f_power * np.array([-1.0, 1.0])
        first, last = size + _powers((self.spacing, 3 * self.range), power) + np.array([-2.0, 0.5])
        return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=True)


def _powers(lengths: tuple[float, float], power: int) -> FloatArray:
    """Logarithms of powers of two lengths, the lesser first."""
    return np.sort(power * np.log(lengths))


@dataclass(frozen=True, eq=False)
class GeneralCriterion:
    """-2 log-likelihood as a function of theta, to be minimised."""

    model: Searched
    method: str
    unbounded = False
    exact_hessian = False

    def assemble(self, sums: Sums) -> FloatArray:
        """Value and gradient (1 + p,)."""
        total = sums.log_det + sums.sse
        if self.method == "ml":
            total = total - sums.log_information
            total[0] += self.model.nobs * np.log(2 * np.pi)
        else:
            total[0] += sums.n_used * np.log(2 * np.pi)
        return total

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p); infinite where they cannot be computed."""
        found = np.full(len(theta), np.inf)
        for i, candidate in enumerate(theta):
            try:
                found[i] = self.assemble(self.model.sums(*self.model.split(candidate), self.method))[0]
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                continue
        return found

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        total = self.assemble(self.model.sums(*self.model.split(theta), self.method, slopes=True))
        return float(total[0]), total[1:]

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian, this by differences of exact gradients."""
        value, gradient = self.gradient(theta)
        return value, gradient, difference_hessian(lambda t: self.gradient(t)[1], theta, gradient)

    def minimum(self) -> Minimum:
        """The best of many starts, certified."""
        parameters = self.model.parameters
        lower, upper = (np.array([getattr(p, name) for p in parameters]) for name in ("lower", "upper"))
        try:
            return self._best(parameters, lower, upper)
        except ConvergenceError as error:
            raise ConvergenceError(f"{str(error).rsplit(';', 1)[0]}; {REMEDY}", error.value) from None

    def _best(self, parameters: Sequence[Parameter], lower: FloatArray, upper: FloatArray) -> Minimum:
        """The best minimum inside of where the criterion falls without bound: there an sd that cannot be zero tends to zero."""
        boundless = np.array([p.is_variance and (self.method == "ml" or p.is_stuck) for p in parameters])
        outside: list[Minimum] = []

        def follow(starts: FloatArray, _: Minimum | None = None) -> Minimum | None:
            found = minimize(self, starts, lower, upper)
            if not (found.at_lower & boundless).any():
                return found
            outside.append(found)
            return None

        starts = self._starts(parameters)
        values = self.values(starts)
        lowest = starts[np.argsort(values, kind="stable")]
        groups = [lowest[i : i + 1] for i in range(MOST_FOLLOWED)] if boundless.any() else [starts]
        is_thinned = len(starts) < 2**CANDIDATES - 1
        if not is_thinned:
            groups += self._trusting(parameters, starts)
        best = best_from(groups, follow, LEVEL)
        if best is None:
            if self.method == "ml":
                raise ConvergenceError("the likelihood has no maximum short of an sd of zero, where it grows without bound;")
            best = min(outside, key=lambda found: found.value)
        if is_thinned:
            return best
        sound = best
        others = self._elsewhere(parameters, best, lowest[:POOL], lower, upper)
        best = best_from([None, *others], lambda start, _: sound if start is None else follow(start[None]), LEVEL)
        assert best is not None
        return best

    def _trusting(self, parameters: Sequence[Parameter], starts: FloatArray) -> list[FloatArray]:
        """For each of several series the best start that trusts it and not the others."""
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
            found.append(candidates[[int(np.argmin(self.values(candidates)))]])
        return found

    def _elsewhere(
        self, parameters: Sequence[Parameter], best: Minimum, pool: FloatArray, lower: FloatArray, upper: FloatArray
    ) -> list[FloatArray]:
        """Other starts that may lead lower: along each length scale, out to its bounds, and where an intensity is zero."""
        found = []
        pool = np.vstack([best.theta, pool])
        for i, p in enumerate(parameters):
            if p.vanishes:
                trial = best.theta.copy()
                trial[i] = lower[i]
                if not best.at_lower[i] and self.values(trial[None])[0] < best.value + WITHIN_REACH:
                    found.append(trial)
            if not p.is_length:
                continue
            grid = np.concatenate([lower[i : i + 1], np.linspace(lower[i], upper[i], LENGTHS + 2)[1:-1], upper[i : i + 1]])
            candidates = np.repeat(pool[None], len(grid), axis=0)
            candidates[:, :, i] = grid[:, None]
            values = self.values(candidates.reshape(-1, len(parameters))).reshape(len(grid), len(pool))
            along, which = values.min(axis=1), values.argmin(axis=1)
            padded = np.concatenate([[np.inf], along, [np.inf]])
            lows = np.flatnonzero((along <= padded[:-2]) & (along <= padded[2:]) & np.isfinite(along))
            near = int(np.argmin(np.abs(grid - best.theta[i])))
            found += [candidates[j, which[j]] for j in lows[np.argsort(along[lows])][:MOST_FOLLOWED] if j != near]
        return found

    def _starts(self, parameters: Sequence[Parameter]) -> FloatArray:
        """Points spread over the whole search; of long series, about the optimum of a part of the readings."""
        thinned = self.model.thinned()
        if thinned is not None:
            found = GeneralCriterion(thinned, self.method).minimum().theta.copy()
            for i, (theirs, mine) in enumerate(zip(thinned.parameters, parameters, strict=True)):
                found[i] += (2 if mine.is_variance else 1) * np.log(theirs.unit / mine.unit)
            return np.asarray(found + NEAR * np.linspace(-1, 1, 5)[:, None] * np.eye(len(found))[0])
        cube = qmc.Sobol(len(parameters), scramble=False).random_base2(CANDIDATES)[1:]  # whose first point is a corner
        first, last = (np.array([getattr(p, name) for p in parameters]) for name in ("first", "last"))
        return np.asarray(first + cube * (last - first))


def has_level(reading: Readings) -> bool:
    """Whether a constant added to f is one added to the readings: values and means."""
    return reading.deriv == 0 or reading.mean


def power_of(reading: Readings) -> int:
    """Order of the derivative whose unit the readings have."""
    return 0 if reading.mean or reading.deriv == OF_DIFFERENCE else reading.deriv
