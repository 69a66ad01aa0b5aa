"""The posterior of an equation whose delay is estimated: that given each of a few delays, weighted by their likelihood.

The delays are those of `DelayLaw.nodes`, in whose density the other parameters have their likeliest values. Given each,
coefficients and noises have the posterior of `posterior`, on the observations that all of these delays leave; its integral takes
the place of that density, for the weights and for the law of the delay. What is predicted is predicted from all observations;
before the first recorded input acts, it is taken to act already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..inference.engine import PointDraws
from ..inference.marginal import HyperparameterPosterior
from ..results.mixtures import Mixture
from .delay_law import DelayLaw
from .delays import Delay, Point, Profile
from .engine import Outputs
from .methods.base import Fitted, Problem
from .posterior import EquationPosterior, NodePosterior, Values, draws_of_parts, intervals_of_noises, posterior_of
from .shifts import redelayed


@dataclass(frozen=True, eq=False)
class DelayPosterior(NodePosterior):
    """Posteriors given delays, the probabilities of these, and the law of the delay."""

    delays: FloatArray
    weights: FloatArray
    parts: tuple[EquationPosterior, ...]
    of_delay: DelayLaw

    def laws(self, rows: FloatArray) -> Mixture:
        return self._joined([part.laws(rows) for part in self.parts])

    def is_discrete(self, rows: FloatArray) -> npt.NDArray[np.bool_]:
        return self.parts[0].is_discrete(rows)

    def values_of(self, row: FloatArray) -> tuple[FloatArray, FloatArray]:
        values, weights = zip(*(part.values_of(row) for part in self.parts), strict=True)
        return np.concatenate(values), self._weighted(weights)

    def noise_intervals(self, alpha: float) -> FloatArray:
        fine = [part.fine for part in self.parts]
        weights = self._weighted([one.weights for one in fine])
        theta, scale2 = np.concatenate([one.theta for one in fine]), np.concatenate([one.scale2 for one in fine])
        nodes = HyperparameterPosterior(theta, weights, scale2, fine[0].df, is_single=False)
        return intervals_of_noises(self.parts[0].engine, nodes, alpha)

    def draws(self, rng: np.random.Generator, size: int) -> Values:
        which = np.searchsorted(np.cumsum(self.weights)[:-1], (rng.permutation(size) + rng.random(size)) / size)
        counts = np.bincount(which, minlength=len(self.parts))
        drawn = [part.draws(rng, int(count)) for part, count in zip(self.parts, counts, strict=True)]
        order = np.argsort(np.argsort(which, kind="stable"), kind="stable")
        theta, q, sigma2 = (np.concatenate(columns)[order] for columns in zip(*(one[:3] for one in drawn), strict=True))
        return Values(theta, q, sigma2, self.delays[which])

    def law(self, outputs: Outputs) -> Mixture:
        return self._joined([part.law(late) for part, late in zip(self.parts, self._late(outputs), strict=True)])

    def noise_variances(self, channel: int) -> FloatArray:
        return np.concatenate([part.noise_variances(channel) for part in self.parts])

    def curves(self, outputs: Outputs) -> PointDraws:
        late = zip(self.parts, self._late(outputs), strict=True)
        return draws_of_parts([part.curves(own) for part, own in late], self.weights)

    def _late(self, outputs: Outputs) -> list[Outputs]:
        """The same outputs with inputs at each delay."""
        found = []
        for delay in self.delays.tolist():
            sample, place = redelayed(outputs.sample, delay, self.parts[0].engine.problem.equation.intersample)
            found.append(outputs._replace(sample=sample, at=place[outputs.at]))
        return found

    def _weighted(self, weights: Any) -> FloatArray:
        """Weights of the nodes of all parts."""
        return np.concatenate([weight * part for weight, part in zip(self.weights, weights, strict=True)])

    def _joined(self, laws: list[Mixture]) -> Mixture:
        """The mixture of those of the parts."""
        mean, scale2 = np.concatenate([law.mean for law in laws]), np.concatenate([law.scale2 for law in laws])
        return Mixture(mean, scale2, self._weighted([law.weights for law in laws]), laws[0].df)


def delay_posterior(problem: Problem, found: Fitted, delay: Delay) -> DelayPosterior | None:
    """The posterior of a problem as recorded, given the estimate; None if too few nodes are effective at some delay."""
    delays, weights = delay.law.nodes()
    profile = Profile(problem, float(delays.max()), sum_of_squares=False)
    way_back = profile.levels.way_back(problem.equation)
    unknown = [i for i, channel in enumerate(problem.sample.channels) if not channel.known]
    variances = np.append(found.q, found.sigma2[unknown])
    start = Point(np.nan, np.asarray(np.linalg.solve(way_back, found.theta)), variances, is_exact=False)
    parts = []
    for one in delays.tolist():
        best = profile.at(one, start)
        q, sigma2 = best.variances[: len(found.q)], found.sigma2.copy()
        sigma2[unknown] = best.variances[len(found.q) :]
        there = replace(found, theta=way_back @ best.theta, q=q, sigma2=sigma2)
        part = posterior_of(profile.at_delay(one), there, share=1 / len(delays))
        if part is None:
            return None
        parts.append(part)
    logs = np.array([part.found.log_integral for part in parts]) - delay.law.log_density(delays)
    weights = weights * np.exp(logs - logs.max())
    return DelayPosterior(delays, weights / weights.sum(), tuple(parts), delay.law.tilted(delays, logs))
