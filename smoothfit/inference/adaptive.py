r"""Adaptive importance sampling: weighted points of a density of several variables, from a mixture of Student's t laws.

Rounds of quasi-random points are drawn, each from a mixture that is fitted to all weighted points before (J.-M. Cornuet,
J.-M. Marin, A. Mira & C. P. Robert 2012, "Adaptive multiple importance sampling", Scandinavian Journal of Statistics 39, 798-812).
Points of all rounds are weighted by the density over the average of the mixtures, so that no early round spoils the result. While
few points are effective, the mixture is fitted to weights raised to a power below one, which at first widens it. A share of every
mixture is three times as wide as the rest, for the tails. Several components represent skewed and funnel-shaped densities, as that
of coefficients and of logarithms of variances is. Where widths differ by more than a factor of some 20, too little of the neck and
of the mouth of a funnel is found.

The first law is given: of equations a normal law made heavier, of other models a split-t law about the mode and the uniform law
(`sampled_nodes`), which is enough for most posteriors of variances and length scales.

Whether the result is good is judged by two numbers: the effective number of points, 1 / sum w^2, and the index k of a generalised
Pareto law of the largest weights, above 0.7 of which averages are unreliable (A. Vehtari, D. Simpson, A. Gelman, Y. Yao & J. Gabry
2024, "Pareto smoothed importance sampling", Journal of Machine Learning Research 25).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from .._entry import warn
from .._validation import FloatArray
from ..errors import IntegrationWarning, NumericalError
from .nodes import (
    Density,
    Nodes,
    check_near,
    filled,
    log_proposal,
    mean_and_covariance,
    normalised,
    proposal,
    refuse_gaps,
    scan,
    shape_of,
)

POINTS = 512  # a round; a power of two, as Sobol's sequence wants
MOST_ROUNDS = 16
ENOUGH, FEWEST = 200.0, 30.0  # effective points: where sampling ends by default, and below which it has failed
TAIL = 0.025  # weight beyond an end of a 95 % interval: a point that has as much decides where the end lies
HEAVIEST = 0.015  # weight of a point, by which such an end moves by 0.1 to 0.2 of a half-width
MORE = 2.0  # times as many, and none so heavy, of a density that the first law does not fit: its tails are found by few points
DF, FIRST_DF = 5.0, 3.0  # of the t laws: their tails are heavier than those of the density
MOST_COMPONENTS = 6
A_COMPONENT = 6  # effective points a component needs, in units of the number of variables
WIDE, SHARE = 3.0, 0.25  # of every component there is a copy so much wider, with this share of the weight
TEMPERED = 8  # effective points that weights are tempered to, in units of the number of variables
ITERATIONS = 15  # of the fit of a mixture, which need not be exact
LEAST = 1e-3  # of the covariance of all points, which is added to that of every component
HALVINGS = 30  # of the interval of the power
SEED = 20_240_229


Law = Callable[[FloatArray], FloatArray]  # log density (N,) at points (N, p)


class Sampled(NamedTuple):
    """Weighted points, and the index of the Pareto law of their largest weights."""

    nodes: Nodes
    pareto: float


class Mixture(NamedTuple):
    """Student's t laws: shares (K,), centres (K, p), Cholesky factors of their scales (K, p, p), degrees of freedom."""

    shares: FloatArray
    centres: FloatArray
    roots: FloatArray
    df: float

    def log_parts(self, points: FloatArray) -> FloatArray:
        """Log densities of the components, times their shares, at points (N, p): (K, N)."""
        p, df = points.shape[1], self.df
        constant = special.gammaln((df + p) / 2) - special.gammaln(df / 2) - p / 2 * np.log(np.pi * df)
        log_volume = np.log(np.diagonal(self.roots, axis1=1, axis2=2)).sum(axis=1)
        height = np.log(self.shares) + constant - log_volume
        return np.asarray(height[:, None] - (df + p) / 2 * np.log1p(self.distances(points) / df))

    def distances(self, points: FloatArray) -> FloatArray:
        """Squared distances from the centres in units of the scales, (K, N)."""
        scores = np.linalg.solve(self.roots, np.swapaxes(points - self.centres[:, None], 1, 2))
        return np.asarray((scores**2).sum(axis=1))

    def log_density(self, points: FloatArray) -> FloatArray:
        return np.asarray(np.logaddexp.reduce(self.log_parts(points), axis=0))

    def points(self, uniform: FloatArray) -> FloatArray:
        """Points (N, p) of uniform ones (N, p + 2)."""
        p = self.centres.shape[1]
        which = np.searchsorted(np.cumsum(self.shares)[:-1], uniform[:, p])
        chi2 = stats.chi2.ppf(uniform[:, p + 1], self.df)
        scores = stats.norm.ppf(uniform[:, :p]) / np.sqrt(chi2 / self.df)[:, None]
        return np.asarray(self.centres[which] + np.einsum("nij,nj->ni", self.roots[which], scores))

    def widened(self) -> Mixture:
        """The mixture with wider copies of all components."""
        shares = np.concatenate([(1 - SHARE) * self.shares, SHARE * self.shares])
        return Mixture(shares, np.tile(self.centres, (2, 1)), np.concatenate([self.roots, WIDE * self.roots]), self.df)


class Rounds:
    """Points of all rounds so far, weighted by the density over the average of their laws.

    Attributes
    ----------
    points : ndarray, shape (N, p)
    values : ndarray, shape (N,)
        Log density; NaN where it cannot be computed.
    """

    def __init__(self, density: Density, law: Law, points: FloatArray, sobol: stats.qmc.Sobol):
        self.density, self._first, self._sobol = density, len(points), sobol
        self._laws: list[tuple[float, Law]] = []
        self.points, self.values, self._proposals = points[:0], np.empty(0), np.empty(0)
        self._take(law, points)

    def _take(self, law: Law, points: FloatArray) -> None:
        """Compute the density at points of a law, its log density."""
        share = np.log(len(points) / self._first)
        self._laws.append((share, law))
        before = np.logaddexp(self._proposals, share + law(self.points))
        own = np.logaddexp.reduce([share + law(points) for share, law in self._laws], axis=0)
        self.points, self._proposals = np.vstack([self.points, points]), np.append(before, own)
        self.values = np.append(self.values, self.density(points))

    @property
    def log_weights(self) -> FloatArray:
        """Logarithms of weights (N,), up to a constant."""
        return filled(self.values) - self._proposals

    @property
    def effective(self) -> float:
        return float(1 / np.sum(normalised(self.log_weights) ** 2))

    @property
    def heaviest(self) -> float:
        """Largest weight."""
        return float(normalised(self.log_weights).max())

    @property
    def positive(self) -> int:
        """How many points have a density above zero."""
        return int(np.count_nonzero(filled(self.values) > -np.inf))

    def adapt(self, enough: float, heaviest: float = 1.0) -> Mixture | None:
        """Add rounds from mixtures fitted to the points so far, MOST_ROUNDS in all at most.

        They end when enough points are effective, and none has more than the weight `heaviest`.

        Returns the last mixture, None if none was needed.
        """
        p, mixture = self.points.shape[1], None
        while self.positive > p and len(self._laws) < MOST_ROUNDS and (self.effective < enough or self.heaviest > heaviest):
            mixture = _fitted(self.points, _tempered(self.log_weights, TEMPERED * p)).widened()
            self._take(mixture.log_density, mixture.points(self._sobol.random(POINTS)))
        return mixture

    def refuse_gaps(self, mixture: Mixture) -> None:
        """Refuse a point whose density cannot be computed and which is nearer to the mixture than most."""
        refuse_gaps(self.density, self.values, self.points, mixture.distances(self.points).min(axis=0))

    def nodes(self) -> Nodes:
        total = float(special.logsumexp(self.log_weights)) - np.log(self._first)
        return Nodes(self.points, normalised(self.log_weights), filled(self.values), total)


def adaptive_nodes(density: Density, centre: FloatArray, root: FloatArray, enough: float) -> Sampled:
    """Weighted points of a density, `enough` of them effective if that takes at most MOST_ROUNDS * POINTS of them.

    Parameters
    ----------
    density : Density
    centre, root : ndarray, shapes (p,) and (p, p)
        Of the first law: where the density is, and a Cholesky factor of a rough covariance.
    enough : float

    Raises
    ------
    NumericalError
        If the density cannot be computed at a point that is nearer to the last mixture than most, or is zero or unknown at all but
        p points.
    """
    p = len(centre)
    first = Mixture(np.ones(1), centre[None], root[None], FIRST_DF).widened()
    sobol = quasi_random(p)
    rounds = Rounds(density, first.log_density, first.points(sobol.random(POINTS)), sobol)
    last = rounds.adapt(enough) or first
    if rounds.positive <= p:
        raise NumericalError(
            f"the likelihood is positive at {rounds.positive} of {len(rounds.points)} points about the estimates, too few to "
            f"integrate over {p} parameters; fix some of them"
        )
    rounds.refuse_gaps(last)
    return Sampled(rounds.nodes(), pareto_index(rounds.log_weights))


def sampled_nodes(density: Density, start: FloatArray, enough: float = ENOUGH) -> Nodes:
    """Quasi-random points of a split-t law about the mode and of the uniform law, and of adapted mixtures if these are too few.

    Where the density has a curved ridge, the t law alone hardly reaches its end, and one point there may get all the weight. With
    a fraction of uniform points the ratio of the densities is bounded (Hesterberg 1995, Technometrics 37, 185-194).
    """
    scanned, heights = scan(Density(density.highest, density.lower, density.upper), start)
    shape = shape_of(density, scanned[np.argmax(heights)])
    law, points = partial(log_proposal, density, shape), proposal(density, shape, POINTS)
    rounds = Rounds(density, law, points, quasi_random(len(start)))
    check_near(density, rounds.values, rounds.points, shape)
    fits = rounds.effective >= enough and rounds.heaviest <= HEAVIEST
    last = None if fits else rounds.adapt(MORE * enough, HEAVIEST / MORE)
    if last is not None:
        rounds.refuse_gaps(last)
    if rounds.effective < FEWEST or rounds.heaviest > TAIL:
        warn(
            f"the posterior of what is estimated is hard to sample: of {len(rounds.points)} points {rounds.effective:.0f} are "
            f"effective, and one has a weight of {rounds.heaviest:.2g}; intervals may be too short; fix some of the parameters",
            IntegrationWarning,
        )
    return rounds.nodes()


def quasi_random(p: int) -> stats.qmc.Sobol:
    """Uniform points for mixtures of p variables."""
    return stats.qmc.Sobol(p + 2, scramble=True, rng=np.random.default_rng(SEED))


def _tempered(log_weights: FloatArray, effective: float) -> FloatArray:
    """Weights raised to the largest power, at most one, at which so many are effective."""
    low, high = 0.0, 1.0
    if 1 / np.sum(normalised(log_weights) ** 2) >= effective:
        return normalised(log_weights)
    finite = np.where(np.isfinite(log_weights), log_weights, -np.finfo(float).max / 2)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        few = 1 / np.sum(normalised(middle * finite) ** 2) < effective
        low, high = (low, middle) if few else (middle, high)
    return normalised(low * finite)


def _fitted(points: FloatArray, weights: FloatArray) -> Mixture:
    """Mixture of t laws of largest likelihood of weighted points, by the EM algorithm from components at random points."""
    p, kept = points.shape[1], weights > 0
    points, weights = points[kept], weights[kept]
    effective = 1 / np.sum(weights**2)
    mean, cov = mean_and_covariance(points, weights)
    count = int(np.clip(effective // (A_COMPONENT * p), 1, MOST_COMPONENTS))
    first = np.random.default_rng(SEED).choice(len(points), count, p=weights) if count > 1 else None
    centres = mean[None] if first is None else points[first]
    shape = cov / 2 if count > 1 else cov * (1 - 2 / DF)
    mixture = Mixture(np.full(count, 1 / count), centres, np.repeat(np.linalg.cholesky(shape)[None], count, axis=0), DF)
    for _ in range(ITERATIONS):
        log_parts = mixture.log_parts(points)
        owned = np.exp(log_parts - np.logaddexp.reduce(log_parts, axis=0)) * weights
        shares = owned.sum(axis=1)
        large = shares * effective > 2 * p
        if not large.any():
            break
        pulled = (owned * (DF + p) / (DF + mixture.distances(points)))[large]
        centres = pulled @ points / pulled.sum(axis=1)[:, None]
        apart = points - centres[:, None]
        scales = np.einsum("kn,kni,knj->kij", pulled, apart, apart, optimize=True) / shares[large, None, None] + LEAST * cov
        mixture = Mixture(shares[large] / shares[large].sum(), centres, np.linalg.cholesky(scales), DF)
    return mixture


def pareto_index(log_weights: FloatArray) -> float:
    """Index k of a generalised Pareto law of the largest weights (J. Zhang & M. A. Stephens 2009, Technometrics 51, 316-325)."""
    n = len(log_weights)
    ordered = np.sort(np.exp(log_weights - log_weights.max()))
    count = int(min(n / 5, 3 * np.sqrt(n)))
    excess = ordered[-count:] - ordered[-count - 1]
    excess = excess[excess > 0]
    if len(excess) < 5:
        return np.inf
    m = 30 + int(np.sqrt(len(excess)))
    ranks = np.arange(1, m + 1) - 0.5
    b = 1 / excess[-1] + (1 - np.sqrt(m / ranks)) / (3 * excess[int(len(excess) / 4 + 0.5) - 1])
    k = np.log1p(-b[:, None] * excess).mean(axis=1)
    profile = len(excess) * (np.log(-b / k) - k - 1)
    chosen = b @ normalised(profile)
    return float(np.log1p(-chosen * excess).mean())
