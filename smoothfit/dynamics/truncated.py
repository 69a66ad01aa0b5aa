"""The posterior of an equation whose coefficients have bounds: draws without them, of which those within are kept.

Draws are those of the posterior by nodes where there is one, else of the normal law of coefficients and logarithms of variances,
at the maximum without bounds. The density is that without bounds, cut off: what is kept has the law given the bounds exactly.
Smoothed and forecast outputs are mixtures over some of the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from .._entry import warn
from .._validation import FloatArray, check_level
from ..errors import IntegrationWarning, SmoothfitError
from ..inference.adaptive import SEED
from ..inference.engine import PointDraws
from ..inference.marginal import resampled
from ..results.mixtures import Mixture
from .engine import Outputs
from .estimation import estimate
from .likelihood import StateSpace
from .methods import Method
from .methods.base import Problem
from .posterior import Posterior, Values, draws_of_parts, is_normal, posterior_of
from .propagation import principal_steps
from .simulation import deviations, solutions_from

KEPT = 8000  # draws within the bounds: probabilities of 0.025 are then right to 0.0017
BATCH, BATCHES = 4096, 64  # of draws without bounds
FEWEST = 400  # of these within, below which there are no intervals of the posterior
MOST_SMOOTHED = 200  # of the draws, over which outputs are mixtures

Draw = Callable[[np.random.Generator, int], Values]


@dataclass(frozen=True, eq=False)
class DrawnPosterior(Posterior):
    """Draws of the parameters of a problem."""

    problem: Problem
    values: Values

    def intervals(self, rows: FloatArray, alpha: float) -> FloatArray:
        return _quantiles(self.values.theta @ rows.T, alpha)

    def p_values(self, rows: FloatArray, values: FloatArray) -> FloatArray:
        below = np.mean(self.values.theta @ rows.T <= values, axis=0)
        return np.asarray(2 * np.minimum(below, 1 - below))

    def noise_intervals(self, alpha: float) -> FloatArray:
        unknown = [i for i, channel in enumerate(self.problem.sample.channels) if not channel.known]
        return _quantiles(np.hstack([self.values.q, np.sqrt(self.values.sigma2[:, unknown])]), alpha)

    def draws(self, rng: np.random.Generator, size: int) -> Values:
        return _taken(self.values, rng.choice(len(self.values.theta), size, replace=size > len(self.values.theta)))

    @cached_property
    def _some(self) -> Values:
        """Draws for outputs."""
        count = len(self.values.theta)
        scaled = self.values.theta / np.maximum(self.values.theta.std(axis=0), np.finfo(float).tiny)
        return _taken(self.values, resampled(scaled, np.full(count, 1 / count), MOST_SMOOTHED)[0])

    def law(self, outputs: Outputs) -> Mixture:
        moments = [self._smoothed(i, outputs) for i in range(len(self._some.theta))]
        mean = np.array([mean[outputs.at, outputs.components] for mean, _ in moments])
        scale2 = np.array([cov[outputs.at, outputs.components, outputs.components] for _, cov in moments])
        return Mixture(mean, np.maximum(scale2, 0.0), np.full(len(mean), 1 / len(mean)), np.inf)

    def noise_variances(self, channel: int) -> FloatArray:
        return self._some.sigma2[:, channel]

    def curves(self, outputs: Outputs) -> PointDraws:
        equation, some = outputs.equation or self.problem.equation, self._some

        def draw(k: int, rng: np.random.Generator, size: int) -> FloatArray:
            mean, cov = self._smoothed(k, outputs)
            theta, q, sigma2 = some.theta[k], some.q[k], some.sigma2[k]
            if (q > 0).any():
                away = deviations(equation, outputs.sample, theta, q, sigma2)
            else:
                away = solutions_from(equation, outputs.sample, theta, cov[0])
            return np.asarray((mean + away(rng, size))[:, outputs.at, outputs.components])

        count = len(some.theta)
        return draws_of_parts([partial(draw, k) for k in range(count)], np.full(count, 1 / count))

    def _smoothed(self, k: int, outputs: Outputs) -> tuple[FloatArray, FloatArray]:
        """Means and covariances of the states at a draw."""
        space = StateSpace(outputs.equation or self.problem.equation, outputs.sample)
        return space.smooth(self._some.theta[k], self._some.q[k], self._some.sigma2[k][space.unknown])


def truncated_posterior(problem: Problem, method: Method, options: Mapping[str, Any]) -> DrawnPosterior | None:
    """The posterior within the bounds of a problem; None if hardly any of that without is within.

    Warns
    -----
    IntegrationWarning
        If it is None.
    """
    free = Problem(replace(problem.equation, bounds=()), problem.sample)
    lower, upper = np.full(problem.equation.n_params, -np.inf), np.full(problem.equation.n_params, np.inf)
    for one in problem.equation.bounds:
        lower[one.place], upper[one.place] = one.lower, one.upper
    kept: list[Values] = []
    try:
        draw, rng = _without_bounds(free, method, options), np.random.default_rng(SEED)
        while sum(len(part.theta) for part in kept) < KEPT and len(kept) < BATCHES:
            drawn = draw(rng, BATCH)
            kept.append(_taken(drawn, np.flatnonzero(((drawn.theta >= lower) & (drawn.theta <= upper)).all(axis=1))))
    except SmoothfitError as error:
        _warn(f"without bounds= the likelihood has no maximum ({error})")
        return None
    theta, q, sigma2 = (np.concatenate(columns)[:KEPT] for columns in zip(*(part[:3] for part in kept), strict=True))
    if len(theta) < FEWEST:
        _warn(f"{len(theta)} of {len(kept) * BATCH} draws of the coefficients without bounds= are within them")
        return None
    return DrawnPosterior(free, Values(theta, q, sigma2))


def _without_bounds(problem: Problem, method: Method, options: Mapping[str, Any]) -> Draw:
    """What draws parameters from their posterior without bounds."""
    found = estimate(method, problem, options)
    if method.name == "kalman" and not problem.equation.known and not is_normal(problem, found, found.cov):
        posterior = posterior_of(problem, found)
        if posterior is not None:
            return posterior.draws
    steps = principal_steps(found, found.cov, StateSpace(problem.equation, problem.sample))
    k, p = len(found.theta), len(found.q)

    def draw(rng: np.random.Generator, size: int) -> Values:
        moved = rng.standard_normal((size, len(steps))) @ steps
        logs = moved[:, k:]
        return Values(found.theta + moved[:, :k], found.q * np.exp(logs[:, :p]), found.sigma2 * np.exp(logs[:, p:]))

    return draw


def _quantiles(drawn: FloatArray, alpha: float) -> FloatArray:
    """Equal-tailed intervals (m, 2) of columns of draws."""
    level = check_level(alpha)
    return np.quantile(drawn, [level / 2, 1 - level / 2], axis=0).T


def _taken(values: Values, which: np.typing.NDArray[np.int64]) -> Values:
    """Some of the draws, by number."""
    return Values(values.theta[which], values.q[which], values.sigma2[which])


def _warn(why: str) -> None:
    warn(
        f"{why}; intervals are those of the normal law, given the coefficients at their bounds. Check the bounds, or the signs",
        IntegrationWarning,
    )
