"""Posterior states of a fitted equation at any times, given the observations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._validation import FloatArray
from ..results.mixtures import Laws
from .engine import Outputs
from .fit import Fit
from .likelihood import StateSpace
from .nonlinear import solution
from .propagation import FirstOrder, Values, first_order, principal_steps
from .sample import Sample
from .shifts import redelayed
from .specification import Equation


@dataclass(frozen=True, eq=False)
class Smoother:
    """Smooths the observations that an equation was fitted to, or others, at the estimated coefficients and noises."""

    fit: Fit

    def states(
        self, sample: Sample, equation: Equation | None = None, values: Values | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Posterior means and covariances of the states at the nodes of a sample, given the estimate or other values.

        Of an equation with terms the solution, whose covariance includes that of the estimates.
        """
        if "cov_solution" in self.fit.found.extra:
            return solution(self.fit.model.problem, self.fit.found, sample)
        self.fit.model.equation.require_linear("the smoothed state")
        model = StateSpace(equation or self.fit.model.equation, sample)
        theta, q, sigma2, _ = values or self.estimate
        scale = 1.0
        if not (q > 0).any() and not self.fit.has_given_noise:
            # Without process noise the mean does not depend on the size of the measurement noise, and the
            # covariance is proportional to it.
            scale = float(sigma2.mean())
            sigma2 = sigma2 / scale if scale > 0 else np.ones_like(sigma2)
        mean, cov = model.smooth(theta, q, sigma2[model.unknown])
        return mean, cov * scale

    @property
    def estimate(self) -> Values:
        """Coefficients, noises and delay of the estimate."""
        delay = self.fit.delay
        return Values(self.fit.found.theta, self.fit.found.q, self.fit.found.sigma2, None if delay is None else delay.value)

    @cached_property
    def steps(self) -> FloatArray:
        """Independent steps of the parameters; the last is that of an estimated delay, with which coefficients move."""
        model, delay = StateSpace(self.fit.model.equation, self.fit.model.sample), self.fit.delay
        cov = self.fit.cov_params.copy()
        if delay is None:
            return principal_steps(self.fit.found, cov, model)
        k = len(delay.slope)
        cov[:k, :k] -= delay.covariance
        steps = principal_steps(self.fit.found, cov, model)
        found = np.zeros((len(steps) + 1, steps.shape[1] + 1))
        found[:-1, :-1], found[-1, :k], found[-1, -1] = steps, delay.slope * delay.se, delay.se
        return found

    def component(
        self, sample: Sample, at: Any, deriv: int, output: int, equation: Equation | None = None, values: Values | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Means and variances of a derivative of an output at some nodes, given the estimate or other values."""
        if values is not None and values.delay is not None:
            sample, place = redelayed(sample, values.delay, self.fit.model.equation.intersample)
            at = place[at]
        mean, cov = self.states(sample, equation, values)
        i = deriv * self.fit.model.equation.n_outputs + output
        return mean[at, i], np.maximum(cov[at, i, i], 0.0)

    def laws(
        self, sample: Sample, at: Any, deriv: int, output: int, channel: int | None = None, equation: Equation | None = None
    ) -> Laws:
        """Laws of a derivative of an output at some nodes, and of observations there with the noise of a channel.

        `equation` is that of integrals of the outputs, if `sample` is of these.
        """
        posterior = self.fit.posterior
        if posterior is not None:
            component = deriv * self.fit.model.equation.n_outputs + output
            law = posterior.law(Outputs(sample, np.asarray(at), np.full(len(at), component), equation))
            return law, None if channel is None else law.with_noise(posterior.noise_variances(channel))
        if not self.moves:
            return None, None
        found = self.first_order(sample, at, deriv, output, equation)
        if channel is None:
            return found.law(), None
        k = len(self.fit.found.theta) + len(self.fit.found.q)
        return found.law(), found.law(float(self.fit.found.sigma2[channel]), self.steps[:, k + channel])

    @property
    def moves(self) -> bool:
        """Whether parameters without a posterior by nodes add to the uncertainty of outputs, to first order."""
        return not self.fit.model.equation.terms and len(self.steps) > 0

    def first_order(self, sample: Sample, at: Any, deriv: int, output: int, equation: Equation | None = None) -> FirstOrder:
        """What `component` returns, and its derivatives along the steps of the parameters."""

        def moments(values: Values) -> tuple[FloatArray, FloatArray]:
            return self.component(sample, at, deriv, output, equation, values)

        return first_order(self.steps, self.estimate, moments)

    @cached_property
    def at_nodes(self) -> tuple[FloatArray, FloatArray]:
        """States at the nodes of the sample of the fit."""
        return self.states(self.fit.model.sample)

    @cached_property
    def leverages(self) -> FloatArray:
        """Leverage of each observation at the parameters, (nodes, channels); NaN if nothing is observed."""
        sample, cov = self.fit.model.sample, self.at_nodes[1]
        component = StateSpace(self.fit.model.equation, sample).component
        noise = self.fit.found.sigma2 * sample.ratio
        spread = np.where(noise > 0, cov[:, component, component] / np.where(noise > 0, noise, 1.0), 1.0)
        return np.where(np.isfinite(sample.y), spread, np.nan)
