"""What a method found in the data of a model: what results are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from .._validation import FloatArray, frozen
from .delayed import delay_posterior
from .delays import Delay
from .frames import ReadsFrames
from .methods import METHODS
from .methods.base import Fitted, Problem
from .posterior import Posterior, is_normal, posterior_of
from .specification import Equation
from .truncated import truncated_posterior


class Model(ReadsFrames, Protocol):
    """What results need of a `DerivativeRegression`."""

    equation: Equation
    formula: str | None

    @property
    def problem(self) -> Problem:
        """What a method takes."""


@dataclass(frozen=True, eq=False)
class Fit:
    """An equation and its sample, the method that fitted it with its options, what that found, and a covariance of it."""

    model: Model
    method: str
    options: dict[str, Any]
    found: Fitted
    cov_type: str
    cov: FloatArray
    delay: Delay | None = None  # if it was estimated

    @cached_property
    def cov_params(self) -> FloatArray:
        """Covariance of coefficients and noises (p, p); NaN for a noise at its boundary."""
        size = len(self.found.theta) + len(self.found.noise)
        cov = np.full((size, size), np.nan)
        known = min(size, len(self.cov))
        cov[:known, :known] = self.cov[:known, :known]
        return frozen(cov)

    @property
    def has_given_noise(self) -> bool:
        """Whether the SD of a series, or the intensity of a noise, is given."""
        return any(channel.known for channel in self.model.sample.channels) or bool(self.model.equation.intensities)

    @property
    def n_likelihood(self) -> tuple[int, int]:
        """Number of parameters and of observations that the likelihood counts."""
        n_params = len(self.cov_params) - int(self.model.equation.is_fixed.sum()) + (self.delay is not None)
        return n_params + (self.method in ("arx", "arimax", "difference")), self.model.sample.n_readings

    @cached_property
    def posterior(self) -> Posterior | None:
        """Weighted nodes of all parameters; None if intervals are those of a normal law.

        That is so of methods other than "kalman", of a covariance other than its own, where the two agree, of equations with
        too many parameters (`posterior.is_normal`), and of those with fixed coefficients or priors.
        """
        found, problem = self.found, self.model.problem
        equation, is_own = self.model.equation, self.cov_type == self.found.cov_type
        if equation.bounds and is_own and not found.notes and self.delay is None:
            return truncated_posterior(problem, METHODS[self.method], self.options)
        if self.method != "kalman" or not is_own or found.notes or not equation.derivatives:
            return None
        if equation.known or equation.bounds or is_normal(problem, found, self.cov):
            return None
        if self.delay is None:
            return posterior_of(problem, found)
        recorded = Problem(equation, problem.sample.recorded or problem.sample)
        return delay_posterior(recorded, found, self.delay)
