"""The posterior where series have unknown scales, lags and correlations: that of the observations brought to the curve.

An observation y = s L f + b + e of noise SD sigma is one of f itself, y / s = L f + b / s + e / s: `Specification.calibrated` has
these, with noise of the variance sigma^2 / s^2, at x less a lag. All of f is read there; what is of observations is taken back to
their units here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._validation import FloatArray, IntArray
from ..observations import Observations
from ..observations.abscissa import Points
from .effects import RegressedPoints
from .extent import LOG, Parameter
from .functionals import CurveFunctionals
from .general_search import GeneralCriterion
from .markov_posterior import STEP, MarkovPosterior, Question
from .sensors import Unknown
from .specification import Specification


def posterior_of(specification: Specification, values: FloatArray, variance: FloatArray) -> MarkovPosterior:
    """The posterior at hyperparameters, scales, lags and correlations of series after them, and variances."""
    if not specification.unknowns:
        return MarkovPosterior(specification, values, variance)
    n = len(specification.hyperparameters)
    return SensorPosterior(specification.calibrated(values[n:], variance), values[:n], variance, specification, values[n:])


@dataclass(frozen=True, eq=False)
class SensorPosterior(MarkovPosterior):
    """`MarkovPosterior` of observations brought to the curve.

    Attributes
    ----------
    given : Specification
        That of the observations themselves.
    numbers : ndarray, shape (S,)
        What `Specification.unknowns` are, scaled.
    """

    given: Specification
    numbers: FloatArray

    @property
    def observations(self) -> Observations:
        return self.given.observations

    # Parameters -------------------------------------------------------------------------------------------------------

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Those of the prior, scales, lags and correlations, in the user's units."""
        known = zip(self._unknown_parameters, self.numbers.tolist(), strict=True)
        return super().hyperparameters | {p.name: number * p.unit for p, number in known}

    @property
    def _unknown_parameters(self) -> tuple[Parameter, ...]:
        """Scales, lags and correlations."""
        return self.given.parameters[len(self.given.parameters) - len(self.given.unknowns) :]

    @property
    def of_sensors(self) -> tuple[str, ...]:
        return tuple(unknown.label for unknown in self.given.unknowns)

    @property
    def slopes(self) -> dict[str, float]:
        """Derivatives of lags and correlations by their coordinates."""
        known = zip(self._unknown_parameters, self.numbers.tolist(), strict=True)
        return {p.name: p.link.slope(number) * p.unit for p, number in known if p.link != LOG}

    @property
    def logs(self) -> tuple[tuple[str, bool], ...]:
        """Name of each parameter, and whether it is a variance of noise."""
        return tuple((p.name, p.is_variance) for p in self.given.parameters)

    def _moved(self, step: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hyperparameters with scales, lags and correlations, and variances, whose coordinates are moved by a step (k,)."""
        values, variance = np.append(self.hyper, self.numbers), self.variance.copy()
        for p, move in zip(self.given.parameters, step.tolist(), strict=True):
            kind = variance if p.is_variance else values
            kind[p.index] = p.moved(float(kind[p.index]), move)
        return values, variance

    def moved(self, step: FloatArray) -> MarkovPosterior:
        """The same at parameters whose coordinates are moved by a step (k,)."""
        return posterior_of(self.given, *self._moved(step))

    def log_hessian(self, free: IntArray, method: str) -> FloatArray:
        """Hessian of -2 log-likelihood by the coordinates of some parameters, by differences of scores."""
        criterion, columns = GeneralCriterion(self.given, method), []
        for i in free:
            ends = [
                criterion.assemble(self.given.sums(*self._moved(sign * STEP * np.eye(len(self.logs))[i]), method, slopes=True))
                for sign in (1, -1)
            ]
            columns.append((ends[0] - ends[1])[1:][free] / (2 * STEP))
        return (np.array(columns) + np.array(columns).T) / 2

    def log_likelihood(self, method: str) -> float:
        sums = self.given.sums(np.append(self.hyper, self.numbers), self.variance, method)
        return -float(GeneralCriterion(self.given, method).assemble(sums)[0]) / 2 - float(np.log(super()._units).sum())

    @cached_property
    def effects(self) -> tuple[FloatArray, FloatArray]:
        """Coefficients, and their covariance; biases and pulses of series are in the units of these."""
        coef, covariance = super().effects
        of_series = {label: pulse.series for label, pulse in self.given.pulses.items()}
        factors = np.array([self._scale_of(of_series.get(name, name.removeprefix("bias."))) for name in self.effect_names])
        return coef * factors, covariance * np.outer(factors, factors)

    @cached_property
    def effects_by_sensors(self) -> FloatArray:
        """Slopes (p, s) of coefficients by the coordinates of scales, lags and correlations, by central differences."""
        k, s = len(self.logs), len(self.given.unknowns)
        if not self.effect_names:
            return np.zeros((0, s))
        steps = STEP * np.eye(k)[k - s :]
        return np.array([(self.moved(step).effects[0] - self.moved(-step).effects[0]) / (2 * STEP) for step in steps]).T

    def _scale_of(self, name: str | None) -> float:
        """The scale of a series, one of others."""
        return self._number_of("scale", name, 1.0)

    def _number_of(self, kind: str, name: str | None, default: float) -> float:
        """A scale or a lag, scaled."""
        known = dict(zip(self.given.unknowns, self.numbers.tolist(), strict=True))
        return default if name is None else known.get(Unknown(kind, name), default)

    # Functionals ------------------------------------------------------------------------------------------------------

    @property
    def biased(self) -> tuple[str, ...]:
        return tuple(reading.name for reading in self.observations.readings if reading.is_adjusted)

    def question(self, functionals: CurveFunctionals) -> Question:
        """Compile functionals; those at points of a series are of what it observes."""
        points: Points = functionals.points
        series = points.series if isinstance(points, RegressedPoints) else None
        lag, scale = self._number_of("lag", series, 0.0) * self.given.scale.x_unit, self._scale_of(series)
        if lag:
            functionals = replace(functionals, points=points.before(lag))
        program, units, origins = super().question(functionals)
        return Question(program, units * scale, origins * scale)

    # Observations -----------------------------------------------------------------------------------------------------

    @cached_property
    def _factors(self) -> FloatArray:
        """The scale of each observation (n,)."""
        readings = self.observations.readings
        return np.repeat([self._scale_of(reading.name) for reading in readings], [len(reading) for reading in readings])

    @property
    def _units(self) -> FloatArray:
        return super()._units * self._factors

    @property
    def fitted(self) -> FloatArray:
        return np.asarray((self._read[0] * super()._units + self._origins) * self._factors)

    @property
    def _slopes(self) -> FloatArray:
        return super()._slopes * self._factors
