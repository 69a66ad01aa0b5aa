"""The posterior of the parameters of an equation as weighted nodes, and the laws of what follows from them.

Coefficients of y and of its derivatives and ratios of variances are integrated by nodes (`inference.nodes`), coefficients that
enter linearly and a common factor s^2 of the variances exactly (`engine`). A combination of coefficients is thus a mixture of
Student's t laws; of those of y and its derivatives alone a distribution on the nodes, between which the density is interpolated.
Functions of the parameters, such as time constants and responses, have the quantiles of the function at draws.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._entry import warn
from .._validation import FloatArray, check_level
from ..errors import IntegrationWarning
from ..inference.adaptive import SEED, adaptive_nodes
from ..inference.engine import PointDraws
from ..inference.marginal import (
    MOST_ON_A_LATTICE,
    MOST_SAMPLED,
    NARROW,
    HyperparameterPosterior,
    density_of,
    is_on_a_lattice,
    resampled,
    significant,
    weighted_nodes,
)
from ..inference.nodes import Nodes
from ..inference.refined import carried, refined
from ..results.draws import curve_draws
from ..results.mixtures import Mixture, mixture
from ..results.parameters import quantile_of_parameter
from .engine import EquationEngine, Linear, Outputs, sizes
from .likelihood import WIDTHS
from .methods.base import Fitted, Problem

N_DRAWS = 2000  # for quantiles of functions: their probabilities are then right to 0.0035
INSIDE = 1e-6  # of the range of a logarithm: how far within its bounds a search starts
ENOUGH, ENOUGH_OF_MANY = 2000.0, 1000.0  # effective nodes: ends of intervals are then right to 3 and 5 % of the half-width
MANY = 4  # parameters, beyond which each costs more
FEWEST_SAMPLED = 100.0  # effective nodes, below which intervals are those of the normal law
FEWEST_IN_PART = 200.0  # likewise, of one part of a mixture
LARGEST_PARETO = 0.7  # index of the weights, from which on they are, too
ROUGH_SD = 2.0  # of log ratios of variances, at the start of sampling
LONG = 20_000  # nodes in time, beyond which intervals are those of the normal law of the estimates
LONG_IF_SAMPLED = 1000  # likewise, of more parameters than a lattice takes
MOST_PARAMETERS, MOST_ORDER = 9, 3  # of equations that are sampled
MOST_BY_STATE = 13  # parameters of those of several outputs with hidden states: two of each


class Values(NamedTuple):
    """Draws of the parameters: coefficients (size, k), intensities (size, p) and noise variances by channel (size, channels).

    `delay` (size,) is that of the inputs, None if it is not estimated.
    """

    theta: FloatArray
    q: FloatArray
    sigma2: FloatArray
    delay: FloatArray | None = None


class Posterior(ABC):
    """What intervals, tests, predictions and draws need of a posterior of the parameters."""

    @abstractmethod
    def intervals(self, rows: FloatArray, alpha: float) -> FloatArray:
        """Equal-tailed intervals (m, 2) of combinations `rows` (m, k) of the coefficients."""

    @abstractmethod
    def p_values(self, rows: FloatArray, values: FloatArray) -> FloatArray:
        """Twice the smaller probability of the combinations (m,) being on either side of `values`."""

    @abstractmethod
    def noise_intervals(self, alpha: float) -> FloatArray:
        """Equal-tailed intervals (noises, 2) of intensities and of SDs, in the order of their names."""

    @abstractmethod
    def draws(self, rng: np.random.Generator, size: int) -> Values:
        """Draws of all parameters together."""

    @abstractmethod
    def law(self, outputs: Outputs) -> Mixture:
        """Laws of smoothed or forecast outputs."""

    @abstractmethod
    def noise_variances(self, channel: int) -> FloatArray:
        """Noise variance (L,) of an observation of weight one in each component of `law`."""

    @abstractmethod
    def curves(self, outputs: Outputs) -> PointDraws:
        """What draws outputs, the parameters drawn as well."""

    @cached_property
    def for_quantiles(self) -> Values:
        """The same N_DRAWS draws for all quantiles of functions of the parameters."""
        return self.draws(np.random.default_rng(SEED), N_DRAWS)


class NodePosterior(Posterior):
    """One by nodes, at which combinations of the coefficients are numbers or have a law."""

    @abstractmethod
    def laws(self, rows: FloatArray) -> Mixture:
        """Laws of combinations `rows` (m, k) of the coefficients at the nodes."""

    @abstractmethod
    def is_discrete(self, rows: FloatArray) -> npt.NDArray[np.bool_]:
        """Which combinations are numbers at each node: those of coefficients of y and its derivatives alone."""

    @abstractmethod
    def values_of(self, row: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Such a combination at fine nodes, and the weights of these."""

    def intervals(self, rows: FloatArray, alpha: float) -> FloatArray:
        law, discrete, level = self.laws(rows), self.is_discrete(rows), check_level(alpha)
        found = law.interval(alpha)
        for i in np.flatnonzero(discrete):
            found[i] = weighted_quantiles(*self.values_of(rows[i]), [level / 2, 1 - level / 2])
        return found

    def p_values(self, rows: FloatArray, values: FloatArray) -> FloatArray:
        values = np.broadcast_to(values, len(rows)).astype(float)
        below, above = self._at_most(rows, values), self._at_most(-rows, -values)  # 1 - below would keep no digit of a small one
        return np.asarray(2 * np.minimum(below, above) / (below + above))

    def _at_most(self, rows: FloatArray, values: FloatArray) -> FloatArray:
        """Probabilities (m,) that combinations are at most `values` (m,)."""
        found = self.laws(rows).cdf(values)
        for i in np.flatnonzero(self.is_discrete(rows)):
            found[i] = weighted_probability(*self.values_of(rows[i]), float(values[i]))
        return found


@dataclass(frozen=True, eq=False)
class EquationPosterior(NodePosterior):
    """Weighted nodes, which are also `found` with their densities, and the linear coefficients at each.

    As a part of a mixture it has a `share` of the nodes for curves, if they are sampled.
    """

    engine: EquationEngine
    nodes: HyperparameterPosterior
    linear: Linear
    found: Nodes
    share: float = 1.0

    @property
    def units(self) -> FloatArray:
        """Units of theta (p,) that go with those of time: the bounds of coefficients, and one for logarithms."""
        return np.where(self.engine.is_size, 1.0, self.engine.upper)

    @cached_property
    def few(self) -> HyperparameterPosterior:
        """Nodes for curves and forecasts."""
        nodes = self.nodes
        if is_on_a_lattice(self.engine):
            return nodes
        return nodes.take(*resampled(nodes.theta / self.units, nodes.weights, int(np.ceil(self.share * MOST_SAMPLED))))

    @cached_property
    def fine(self) -> HyperparameterPosterior:
        """Nodes for quantiles of what is not linear: many that are interpolated, of a lattice."""
        return refined(self.engine, self.nodes, self.units) if is_on_a_lattice(self.engine) else self.nodes

    def _at_fine(self, values: FloatArray) -> FloatArray:
        """Values (L, ...) at the nodes taken to the fine ones."""
        flat = carried(self.nodes, self.fine, values.reshape(len(values), -1), np.zeros(values[0].size, np.bool_))
        return flat.reshape(len(self.fine.theta), *values.shape[1:])

    # Coefficients -----------------------------------------------------------------------------------------------------

    def values_of(self, row: FloatArray) -> tuple[FloatArray, FloatArray]:
        fine = self.fine
        return fine.theta[:, : self.engine.n_system] @ (row @ self.engine.way_back)[self.engine.in_system], fine.weights

    def is_discrete(self, rows: FloatArray) -> npt.NDArray[np.bool_]:
        return np.asarray(~(rows @ self.engine.way_back)[:, ~self.engine.in_system].any(axis=1))

    def laws(self, rows: FloatArray) -> Mixture:
        turned, linear = rows @ self.engine.way_back, ~self.engine.in_system
        theta = self.engine.coefficients(self.nodes.theta, self.linear.mean)
        variance = np.einsum("mk,lkj,mj->lm", turned[:, linear], self.linear.cov, turned[:, linear])
        return Mixture(theta @ turned.T, self.nodes.scale2[:, None] * variance, self.nodes.weights, self.nodes.df)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the coefficients (k, k)."""
        theta = self.engine.coefficients(self.nodes.theta, self.linear.mean)
        apart = theta - self.nodes.weights @ theta
        within = np.zeros((theta.shape[1],) * 2)
        df, linear = self.nodes.df, ~self.engine.in_system
        spread = self.nodes.scale2 * (df / (df - 2) if np.isfinite(df) else 1.0)
        within[np.ix_(linear, linear)] = np.tensordot(self.nodes.weights * spread, self.linear.cov, axes=1)
        T = self.engine.way_back
        return np.asarray(T @ ((apart.T * self.nodes.weights) @ apart + within) @ T.T)

    # Noises -----------------------------------------------------------------------------------------------------------

    def noise_intervals(self, alpha: float) -> FloatArray:
        return intervals_of_noises(self.engine, self.fine, alpha)

    # Draws ------------------------------------------------------------------------------------------------------------

    def draws(self, rng: np.random.Generator, size: int) -> Values:
        engine, nodes, fine = self.engine, self.nodes, self.fine
        which = np.searchsorted(np.cumsum(fine.weights)[:-1], (rng.permutation(size) + rng.random(size)) / size)
        mean, root = (self._at_fine(part)[which] for part in (self.linear.mean, np.asarray(np.linalg.cholesky(self.linear.cov))))
        scale2 = fine.scale2[which]
        if np.isfinite(nodes.df):
            scale2 = scale2 * nodes.df / rng.chisquare(nodes.df, size)
        normal = rng.standard_normal(mean.shape)
        beta = mean + np.sqrt(scale2)[:, None] * np.einsum("lij,lj->li", root, normal)
        theta = engine.coefficients(fine.theta[which], beta) @ engine.way_back.T
        q, unknown = engine.variances(fine.theta[which])
        sigma2 = np.ones((size, len(engine.problem.sample.channels)))
        sigma2[:, engine.space.unknown] = scale2[:, None] * unknown
        return Values(theta, scale2[:, None] * q, sigma2)

    # Outputs ----------------------------------------------------------------------------------------------------------

    def law(self, outputs: Outputs) -> Mixture:
        return mixture(self.few, self.engine.moments(self.few.theta, outputs))

    def noise_variances(self, channel: int) -> FloatArray:
        sigma2 = self.engine.variances(self.few.theta)[1][:, self.engine.space.unknown.index(channel)]
        return np.asarray(self.few.scale2 * sigma2)

    def curves(self, outputs: Outputs) -> PointDraws:
        engine: Any = self.engine  # draws need moments and draws of the protocol alone
        return curve_draws(engine, self.few, outputs)


def intervals_of_noises(engine: EquationEngine, nodes: HyperparameterPosterior, alpha: float) -> FloatArray:
    """Equal-tailed intervals (noises, 2) of intensities and of SDs, from nodes of the parameters of an engine; numbers if known."""
    tails = check_level(alpha) / 2, 1 - check_level(alpha) / 2
    q, sigma2 = engine.variances(nodes.theta)
    columns = [*((column, 2.0) for column in q.T), *((np.sqrt(column), 1.0) for column in sigma2.T)]
    return np.array([[quantile_of_parameter(nodes, *column, p) for p in tails] for column in columns])


def draws_of_parts(parts: Sequence[PointDraws], weights: FloatArray) -> PointDraws:
    """What draws of a mixture: of each draw a part by the weights (k,), and values of that from the part's own stream."""

    def draw(rng: np.random.Generator, size: int) -> FloatArray:
        picks, *streams = rng.spawn(1 + len(parts))
        which = picks.choice(len(parts), size, p=weights)
        drawn, order = [], []
        for k in np.unique(which).tolist():
            order.append(np.flatnonzero(which == k))
            drawn.append(parts[k](streams[k], len(order[-1])))
        return np.asarray(np.concatenate(drawn)[np.argsort(np.concatenate(order))])

    return draw


def is_normal(problem: Problem, fitted: Fitted, cov: FloatArray) -> bool:
    """Whether intervals are those of the normal law of the estimates.

    So they are where integration takes too long: of many parameters, high orders, many inputs or long runs; and where it would
    change intervals by less than 1 % of their half-width. The latter is judged by the variances of the logarithms of noises and
    poles: to first order a mixture over logarithms of variance V widens an interval by (1.96^2 + 1) V / 8, and a quantile of
    exp(x) is off by as much of its distance as sqrt(V) / 2 squared.
    """
    n_system, n_ratios, n_linear = sizes(problem)
    is_lattice = n_system + n_ratios <= MOST_ON_A_LATTICE
    most = MOST_BY_STATE if problem.equation.is_by_state else MOST_PARAMETERS
    if not is_lattice and (n_system + n_ratios > most or problem.equation.order > MOST_ORDER):
        return True
    if len(problem.sample) > (LONG if is_lattice else LONG_IF_SAMPLED) or n_linear > WIDTHS[-1]:
        return True
    k, noises = len(fitted.theta), np.array(list(fitted.noise.values()))
    powers = np.array([1.0 if name.startswith("q") else 2.0 for name in fitted.noise])  # of the SD in the variance
    if not (noises > 0).all():
        return False
    of_noises = float(np.sum(cov.diagonal()[k : k + len(noises)] * (powers / noises) ** 2))
    equation = problem.equation
    system = equation.matrices(fitted.theta)[0]
    poles, vectors = np.linalg.eig(system)
    rows = np.linalg.pinv(vectors)
    moves = [np.diag(rows @ (equation.matrices(unit)[0] - equation.matrices(0 * unit)[0]) @ vectors) for unit in np.eye(k)]
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.array(moves) / poles
        of_poles = float(np.einsum("ip,ij,jp->", slopes.conj(), cov[:k, :k], slopes).real)
    return of_noises <= NARROW and of_poles <= NARROW


def posterior_of(problem: Problem, fitted: Fitted, share: float = 1.0) -> EquationPosterior | None:
    """The posterior, given the estimates, which may lie at a boundary; None if too few of its nodes are effective.

    As a part of a mixture it needs a `share` of the nodes only, if they are sampled.

    Warns
    -----
    IntegrationWarning
        If it is None.
    """
    engine = EquationEngine(problem, fitted.theta)
    start = _start(engine, fitted)
    found = weighted_nodes(engine, start, engine.of_a_run) if is_on_a_lattice(engine) else _sampled(engine, fitted, start, share)
    if found is None:
        warn(
            "the sample has too little information on the coefficients of y and its derivatives to sample their posterior; "
            "intervals are those of the normal law, which are too short; use a lower order or fewer coefficients",
            IntegrationWarning,
        )
        return None
    _, sse, linear = engine.profile(found.theta)
    scale2, df = (sse / engine.count, float(engine.count)) if engine.relative else (np.ones(len(sse)), np.inf)
    nodes = HyperparameterPosterior(found.theta, found.weights, scale2, df, is_single=False, found=found)
    return EquationPosterior(engine, nodes, linear, found, share)


def _start(engine: EquationEngine, fitted: Fitted) -> FloatArray:
    """The estimates as parameters of an engine, within its bounds."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.concatenate([fitted.q, fitted.sigma2[engine.space.unknown]]))
    logs = logs[:-1] - logs[-1] if engine.relative else logs[engine.free]
    margin = INSIDE * (engine.upper - engine.lower)
    start = np.concatenate([fitted.theta[engine.in_system], logs])
    return np.asarray(np.clip(start, engine.lower + margin, engine.upper - margin))


def _sampled(engine: EquationEngine, fitted: Fitted, start: FloatArray, share: float) -> Nodes | None:
    """Nodes by adaptive sampling, from the normal law of the coefficients and rough logarithms; None if these are no good.

    If a noise is estimated as zero, its logarithm starts in the middle of its range.
    """
    k = engine.n_system
    inside = (engine.lower + 2 * ROUGH_SD < start) & (start < engine.upper - 2 * ROUGH_SD)
    centre = np.where(inside | ~engine.is_size, start, (engine.lower + engine.upper) / 2)
    cov = np.diag(np.append(start[:k] ** 2, np.full(len(start) - k, ROUGH_SD**2)))
    of_system = np.flatnonzero(engine.in_system)
    known = fitted.cov[np.ix_(of_system, of_system)]
    if np.isfinite(known).all():
        cov[:k, :k] = 2 * known
    try:
        root = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:  # estimates without noise have no standard errors
        return None
    enough = max(share * (ENOUGH if len(start) <= MANY else ENOUGH_OF_MANY), FEWEST_IN_PART)
    nodes, pareto = adaptive_nodes(density_of(engine, centre), centre, root, enough)
    is_good = 1 / np.sum(nodes.weights**2) >= FEWEST_SAMPLED and pareto < LARGEST_PARETO
    return significant(nodes) if is_good else None


def weighted_quantiles(values: FloatArray, weights: FloatArray, probabilities: list[float]) -> FloatArray:
    """Quantiles of weighted values, between which the distribution function goes on linearly from middle to middle of its steps."""
    order = np.argsort(values, kind="stable")
    middles = np.cumsum(weights[order]) - weights[order] / 2
    return np.interp(probabilities, middles, values[order])


def weighted_probability(values: FloatArray, weights: FloatArray, value: float) -> float:
    """Probability of at most a value, by the inverse of `weighted_quantiles`."""
    order = np.argsort(values, kind="stable")
    middles = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(value, values[order], middles, left=0.0, right=1.0))
