"""Searched parameters of a specification, with limits and starts from the extent and the size of the observations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .._validation import FloatArray
from ..markov.process import LENGTH, PERIOD, RATIO, RESPONSE, Hyperparameter
from ..markov.program import Program
from ..observations import OF_DIFFERENCE, Observations, Readings
from ..results.exact import is_stuck

SHORTEST, LONGEST = 1e-3, 10.0  # of the mean spacing and of the range of x: response times at least and at most
SMALLEST_SD = 1e-8  # of the size of a series' observations; below, an SD counts as zero


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


class Measured(Protocol):
    """What measures how long and how large observations are."""

    @property
    def observations(self) -> Observations:
        """The observations."""

    @property
    def program(self) -> Program:
        """Of the observations."""

    def unit_of(self, reading: Readings) -> float:
        """Unit of a series' observations."""


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
    def of(cls, model: Measured) -> Extent:
        """Of the observations of a model."""
        dt = model.program.dt
        whole = float(dt[model.program.class_dt][model.program.step[1:]].sum())
        sizes = [cls.size_of(r, model.unit_of(r)) for r in model.observations.readings if has_level(r)]
        return cls(float(dt.min()), whole / max(len(model.program.step) - 1, 1), whole, max(sizes, default=0.5))

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
