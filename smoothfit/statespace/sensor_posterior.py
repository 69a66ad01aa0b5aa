"""The posterior where series observe an unknown multiple of the curve: that of the observations brought to its scale.

An observation y = s L f + b + e of noise SD sigma is one of f itself, y / s = L f + b / s + e / s: `Specification.calibrated` has
these, with noise of the variance sigma^2 / s^2. All of f is read there; what is of observations is taken back to their units
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError
from ..markov.sampling import IntArray
from ..observations import Observations
from ..observations.abscissa import Points
from .effects import RegressedPoints
from .functionals import CurveFunctionals
from .general_search import GeneralCriterion
from .markov_posterior import STEP, MarkovPosterior, Question
from .online import Nodes
from .specification import Specification
from .stream import StructuralOnline


def posterior_of(specification: Specification, values: FloatArray, variance: FloatArray) -> MarkovPosterior:
    """The posterior at hyperparameters, scales of series after them, and variances."""
    if not specification.scaled:
        return MarkovPosterior(specification, values, variance)
    n = len(specification.hyperparameters)
    return SensorPosterior(specification.calibrated(values[n:]), values[:n], variance, specification, values[n:])


@dataclass(frozen=True, eq=False)
class SensorPosterior(MarkovPosterior):
    """`MarkovPosterior` of observations brought to the scale of the curve.

    Attributes
    ----------
    given : Specification
        That of the observations themselves.
    scales : ndarray, shape (S,)
        Of the series in `Specification.scaled`.
    """

    given: Specification
    scales: FloatArray

    @property
    def observations(self) -> Observations:
        """As they are given."""
        return self.given.observations

    # Parameters -------------------------------------------------------------------------------------------------------

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Those of the prior, and scales."""
        scales = zip(self.given.scaled, self.scales.tolist(), strict=True)
        return super().hyperparameters | {f"scale.{name}": scale for name, scale in scales}

    @property
    def logs(self) -> tuple[tuple[str, bool], ...]:
        """Name of each parameter, and whether it is a variance of noise."""
        return tuple((p.name, p.is_variance) for p in self.given.parameters)

    def _moved(self, step: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hyperparameters with scales, and variances, whose logarithms are moved by a step (k,)."""
        values, variance = np.append(self.hyper, self.scales), self.variance.copy()
        for p, move in zip(self.given.parameters, step, strict=True):
            (variance if p.is_variance else values)[p.index] *= np.exp(move)
        return values, variance

    def moved(self, step: FloatArray) -> MarkovPosterior:
        """The same at parameters whose logarithms are moved by a step (k,)."""
        return posterior_of(self.given, *self._moved(step))

    def log_hessian(self, free: IntArray, method: str) -> FloatArray:
        """Hessian of -2 log-likelihood by the logarithms of some parameters, by differences of scores."""
        criterion, columns = GeneralCriterion(self.given, method), []
        for i in free:
            ends = [
                criterion.assemble(self.given.sums(*self._moved(sign * STEP * np.eye(len(self.logs))[i]), method, slopes=True))
                for sign in (1, -1)
            ]
            columns.append((ends[0] - ends[1])[1:][free] / (2 * STEP))
        return (np.array(columns) + np.array(columns).T) / 2

    def log_likelihood(self, method: str) -> float:
        """Log-likelihood of the user's observations, the unknown constants in scaled units."""
        sums = self.given.sums(np.append(self.hyper, self.scales), self.variance, method)
        return -float(GeneralCriterion(self.given, method).assemble(sums)[0]) / 2 - float(np.log(super()._units).sum())

    @cached_property
    def effects(self) -> tuple[FloatArray, FloatArray]:
        """Coefficients, and their covariance; biases are in the units of their series."""
        coef, covariance = super().effects
        factors = np.array([self._scale_of(name.removeprefix("bias.")) for name in self.effect_names])
        return coef * factors, covariance * np.outer(factors, factors)

    def _scale_of(self, name: str | None) -> float:
        """The scale of a series, one of others."""
        return float(self.scales[self.given.scaled.index(name)]) if name in self.given.scaled else 1.0

    # Functionals ------------------------------------------------------------------------------------------------------

    @property
    def biased(self) -> tuple[str, ...]:
        """Series with an unknown bias or scale."""
        return tuple(name for name in self.observations.names if name in self.given.biased or name in self.given.scaled)

    def question(self, functionals: CurveFunctionals) -> Question:
        """Compile functionals; those at points of a series are of what it observes."""
        program, units, origins = super().question(functionals)
        points: Points = functionals.points
        scale = self._scale_of(points.series) if isinstance(points, RegressedPoints) else 1.0
        return Question(program, units * scale, origins * scale)

    # Observations -----------------------------------------------------------------------------------------------------

    @cached_property
    def _factors(self) -> FloatArray:
        """The scale of each observation (n,)."""
        readings = self.observations.readings
        return np.repeat([self._scale_of(reading.name) for reading in readings], [len(reading) for reading in readings])

    @property
    def _units(self) -> FloatArray:
        """From a scaled row to its observation."""
        return super()._units * self._factors

    @property
    def fitted(self) -> FloatArray:
        """Posterior mean of what each observation measures (n,)."""
        return np.asarray((self._read[0] * super()._units + self._origins) * self._factors)

    def online(self, lag: int, df: float, described: str, nodes: Nodes | None = None) -> StructuralOnline:
        """Refused."""
        name = self.given.scaled[0]
        raise SpecificationError(
            f"{name!r} has scale='estimate', which a stream does not support; fit with its scale as a number, "
            f"scale=res.params['scale.{name}'], and go on with that fit"
        )
