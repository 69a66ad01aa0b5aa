"""Searched parameters of a specification, with limits and starts from the extent and the size of the observations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._validation import FloatArray, IntArray, first_index
from ..errors import DataError
from ..markov.process import LENGTH, PERIOD, RATIO, RESPONSE, Hyperparameter
from ..markov.program import Program
from ..markov.rows import Scale
from ..observations import OF_DIFFERENCE, Observations, Readings
from ..results.exact import SMALLEST_SD, is_stuck
from .periodic import Phases

SHORTEST, LONGEST = 1e-3, 10.0  # of the mean spacing and of the range of x: response times at least and at most
SMALLEST_IN_STEPS = 1e-3  # SD of noise that counts as none: one report in hundreds changes by it
COARSEST = 1e8  # steps, as multiples of the size of the observations


class Link(NamedTuple):
    """The number of a coordinate, the coordinate of a number, and at a number its derivative by the coordinate."""

    number: Callable[[float], float]
    coordinate: Callable[[float], float]
    slope: Callable[[float], float]


def _one(_: float) -> float:
    return 1.0


def _slope_of_tanh(number: float) -> float:
    return (1 - number) * (1 + number)


LOG = Link(math.exp, math.log, float)
IDENTITY = Link(float, float, _one)
ATANH = Link(math.tanh, math.atanh, _slope_of_tanh)


@dataclass(frozen=True)
class Parameter:
    """One coordinate of the search, the logarithm of a scaled number, or what its link makes of it.

    Attributes
    ----------
    name : str
    index : int
        Of the hyperparameter, or of the variance group.
    is_variance : bool
    unit : float
        Of the number (of the SD, for a variance).
    lower, upper : float
        Bounds of the logarithm.
    first, last : float
        Where starts lie.
    vanishes : bool
        Whether at the lower bound it is zero.
    is_length : bool
        Whether it is a length scale, a period or a tension, or a lag: the likelihood may have several maxima along it.
    is_stuck : bool
        Whether it is the variance of observations that are all equal, of which the likelihood has no largest value.
    is_rounded : bool
        Whether it is the variance of observations that all have the noise of rounding besides, so that the likelihood is bounded.
    link : Link
        From the coordinate to the number: logarithms, but of what may be negative.
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
    is_rounded: bool = False
    link: Link = LOG

    def moved(self, number: float, step: float) -> float:
        """A number whose coordinate is moved by a step; zero stays zero on a logarithmic scale."""
        return number * math.exp(step) if self.link == LOG else self.link.number(self.link.coordinate(number) + step)


class Places(NamedTuple):
    """Which parameters are hyperparameters and which variances, their places there, and the links that are no logarithms."""

    hyper: IntArray
    of_hyper: IntArray
    variance: IntArray
    of_variance: IntArray
    links: dict[int, Link]

    @classmethod
    def of(cls, parameters: Sequence[Parameter]) -> Places:
        """Of all parameters, in their order."""
        is_variance = np.array([p.is_variance for p in parameters], dtype=bool)
        index = np.array([p.index for p in parameters], np.int64)
        hyper, variance = np.flatnonzero(~is_variance), np.flatnonzero(is_variance)
        links = {i: p.link for i, p in enumerate(parameters) if p.link != LOG}
        return cls(hyper, index[hyper], variance, index[variance], links)

    def numbers(self, theta: FloatArray) -> FloatArray:
        """What the parameters are (..., k) at thetas (..., k)."""
        if not self.links:
            return np.asarray(np.exp(theta))
        logs = theta.copy()
        logs[..., list(self.links)] = 0.0
        found = np.exp(logs)
        for i, link in self.links.items():
            found[..., i] = np.vectorize(link.number, otypes=[float])(theta[..., i])
        return np.asarray(found)


@dataclass(frozen=True)
class Extent:
    """How long and how large the observations are, scaled: what bounds a search.

    Attributes
    ----------
    gap, spacing, range : float
        Smallest and mean distance of neighbouring values of x, and of the first from the last.
    size : float
        Typical deviation of f.
    """

    gap: float
    spacing: float
    range: float
    size: float

    @classmethod
    def of(cls, program: Program, units: Iterable[tuple[Readings, float]]) -> Extent:
        """Of the observations of a program: of series and their units."""
        whole = float(program.dt[program.class_dt][program.step[1:]].sum())
        sizes = [cls.size_of(reading, unit) for reading, unit in units if has_level(reading)]
        return cls(float(program.dt.min()), whole / max(len(program.step) - 1, 1), whole, max(sizes, default=0.5))

    @staticmethod
    def size_of(reading: Readings, unit: float) -> float:
        """Standard deviation of a series' observations, or their size where they are all alike, to rounding."""
        y = reading.y / unit
        return float((0.0 if is_stuck(reading.y) else np.std(y)) or np.abs(y).max() or 1.0)

    def parameter(self, p: Hyperparameter, index: int, unit: float) -> Parameter:
        """Bounds and starts of a hyperparameter."""
        power = p.x_power
        if p.kind == RATIO:
            bounds, starts = (1e-4, 1e2), (0.01, 1.0)
            (lower, upper), (first, last) = np.log(bounds), np.log(starts)
            return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=False)
        if p.kind in (LENGTH, PERIOD, RESPONSE):
            bounds, starts = (self.gap / 4, 100 * self.range), (1.5 * self.spacing, self.range)
            if p.kind == RESPONSE:
                bounds, starts = (SHORTEST * self.spacing, LONGEST * self.range), (self.spacing / 4, self.range / 4)
            if p.kind == PERIOD:  # on an even grid shorter ones than two steps look longer
                bounds, starts = (2 * self.gap, bounds[1]), (max(starts[0], 2 * self.gap), starts[1])
            (lower, upper), (first, last) = _powers(bounds, power), _powers(starts, power)
            return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=False, is_length=True)
        size = p.f_power * np.log(self.size)
        lower, upper = size + _powers((self.gap, self.range), power) + 16 * p.f_power * np.array([-1.0, 1.0])
        first, last = size + _powers((self.spacing, 3 * self.range), power) + np.array([-2.0, 0.5])
        return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=True)


def _powers(lengths: tuple[float, float], power: int) -> FloatArray:
    """Logarithms of powers of two lengths, the lesser first."""
    return np.sort(power * np.log(lengths))


def has_level(reading: Readings) -> bool:
    """Whether a constant added to f is one added to the observations: values and means."""
    return reading.deriv == 0 or reading.mean


def power_of(reading: Readings) -> int:
    """Order of the derivative whose unit the observations have."""
    return 0 if reading.mean or reading.deriv == OF_DIFFERENCE else reading.deriv


def scale_of(observations: Observations, is_free: bool, phases: Phases | None) -> Scale:
    """Units in which x is spaced by about one and observations are within one; the origin is removed if the level is free."""
    parts = [observations.abscissa.points(x) for reading in observations.readings for x in reading.limits]
    keys = np.unique(np.concatenate([part.keys for part in parts]))
    if len(keys) < 2:
        label = observations.abscissa.label(observations.readings[0].x[0])
        which = f"all {len(observations)} observations are" if len(observations) > 1 else "the only observation is"
        raise DataError(f"{which} at x = {label}; a curve needs at least two distinct x")
    span, n_steps = float((keys[-1] - keys[0]).real), len(keys) - 1
    if phases is not None:
        span, n_steps = phases.period, len(phases.distinct)
    x_unit = float(np.ldexp(1.0, int(np.frexp(span / n_steps)[1])))
    values = [r.y for r in observations.readings if has_level(r)]
    origin = 0.0
    if values and is_free:
        origin = float(min(v.min() for v in values) / 2 + max(v.max() for v in values) / 2)
    sizes = []
    for reading in observations.readings:
        y = reading.y - origin if has_level(reading) else reading.y
        sizes.append(float(np.abs(y).max()) * x_unit ** power_of(reading))
    size = max(sizes)
    scale = Scale(x_unit, float(np.ldexp(1.0, int(np.frexp(size)[1]))) if size > 0 else 1.0, origin)
    units = [scale.of(power_of(reading)) for reading in observations.readings]
    scale.check(*units, *(unit * unit for unit in units))  # of observations, and of their variances
    return scale


def noise_parameter(observations: Observations, name: str, group: int, unit: float) -> Parameter:
    """Bounds and starts of the variance of a series' noise."""
    reading = observations[name]
    log = 2 * np.log(Extent.size_of(reading, unit))
    lower, upper = max(log + 2 * np.log(SMALLEST_SD), _log_floor(reading, unit)), log + 10.0
    is_rounded = reading.resolution is not None and bool((reading.resolution > 0).all())
    stuck = is_stuck(reading.y) and not is_rounded and len(observations.readings) > 1
    ends = lower, upper, log - 9.0, log + 0.0
    return Parameter(f"sigma.{name}", group, True, unit, *ends, vanishes=False, is_stuck=stuck, is_rounded=is_rounded)


def _log_floor(reading: Readings, unit: float) -> float:
    """Logarithm of a scaled variance that is none beside the steps of rounded observations."""
    if reading.resolution is None or not reading.resolution.any():
        return -np.inf
    least = float(reading.resolution[reading.resolution > 0].min())
    return 2 * float(np.log(SMALLEST_IN_STEPS * least / unit))


def rounding_variance(reading: Readings, unit: float) -> FloatArray:
    """Scaled variances of rounding (n,)."""
    if reading.resolution is None:
        return np.zeros(len(reading))
    size = reading.resolution / unit
    bad = size > COARSEST
    if bad.any():
        i = first_index(bad)
        raise DataError(
            f"resolution[{i}] of {reading.name!r} is {reading.resolution[i]}, more than {COARSEST:g} times the size of the "
            f"observations, {unit:.1e}; check its unit"
        )
    return size**2 / 12


def squared_factors(observations: Observations, x_unit: float) -> FloatArray:
    """Squared factor (n,) from a scaled observation to its row: of means the squared length of the interval."""
    parts = []
    for reading in observations.readings:
        if reading.mean and reading.upper is not None:
            lengths = observations.abscissa.points(reading.upper).minus(observations.abscissa.points(reading.x))
            parts.append((lengths / x_unit) ** 2)
        else:
            parts.append(np.ones(len(reading)))
    return np.concatenate(parts)


def directions_of(parameters: Sequence[Parameter], variance: FloatArray, along: Sequence[int]) -> tuple[list[int], FloatArray]:
    """Hyperparameters among the components `along` of theta, and the slopes (..., p, G) of variances (..., G) by all."""
    chosen = [parameters[i] for i in along]
    directions = np.zeros((*variance.shape[:-1], len(chosen), variance.shape[-1]))
    for d, p in enumerate(chosen):
        if p.is_variance:
            directions[..., d, p.index] = variance[..., p.index]
    return [p.index for p in chosen if not p.is_variance], directions
