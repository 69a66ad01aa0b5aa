r"""Integration of the restricted likelihood over the hyperparameters theta, for any `Engine`.

Intervals computed at the estimates (plug-in) take the estimated variances for known. With few observations they are too short,
most of all if the estimate lies at a bound. First-order corrections (Kass & Steffey 1989) take the log parameters for normal,
with the inverse of the curvature for covariance; near a bound the likelihood is flat and that covariance is meaningless. Here
the posterior of theta is represented by weighted nodes instead, so that every posterior of the curve is a finite mixture.

Density. A common factor s^2 of all variances, with the density 1 / s^2, is integrated exactly (`Engine.relative`):

    p(theta | y) = exp(-log_det / 2) sse^(-count / 2) pi(theta)      (relative; given theta, Student's t with `count` df)
    p(theta | y) = exp(-(log_det + sse) / 2) pi(theta)               (else; given theta, normal)

Prior. pi = det^(1/2) of the expected information of the restricted likelihood (Jeffreys 1946). It depends neither on units nor
on the parametrisation, and it is probability matching to first order. For the log ratio rho of a variance to the noise, with
a_i the shrinkage of contrast i, it is [(sum a_i^2 - (sum a_i)^2 / N) / 2]^(1/2). That decays as exp(-|rho|) at both ends, where
the likelihood itself is flat, so that the posterior is proper. The joint determinant is used, not a product of priors along one
parameter at a time: the product does not decay where two variances grow together, which is a change of scale only. This prior
is that of sizes: variances, intensities and amplitudes. Length scales, periods and ratios have a prior of the model's
(`Engine.log_prior_of_shapes`), and the sizes have theirs given them.

Nodes. One or two parameters: the trapezoidal rule on a lattice along the eigenvectors of the Hessian of the log density at its
mode (the grid strategy of Rue, Martino & Chopin 2009), grown from the mode and from every other region of high density that a
scan of the bounds finds, until the density has fallen to `CUT` of its maximum. On smooth densities the rule converges
exponentially; the step is halved until the sublattices of twice the step agree. At bounds where the density is high the coordinates
are stretched, see `stretched`. More parameters: Sobol points from a split-t law about the mode (Geweke 1989), weighted by density
over proposal, and if too few of them are effective rounds from mixtures that are adapted to the points so far, see `adaptive`. Of
these a few are kept that give the same averages, see `fewer`. Quantiles of parameters, which are numbers at each node, take more:
see `refined`.

One node is used instead if the density is narrow, see `is_narrow`.

References
----------
J. Geweke (1989), Bayesian inference in econometric models using Monte Carlo integration. Econometrica 57, 1317-1339.
A. Gelman, J. B. Carlin, H. S. Stern, D. B. Dunson, A. Vehtari & D. B. Rubin (2013), Bayesian Data Analysis, 3rd ed., CRC Press.
H. Jeffreys (1946), An invariant form for the prior probability in estimation problems. Proc. R. Soc. A 186, 453-461.
G. Kitagawa (1996), Monte Carlo filter and smoother for non-Gaussian nonlinear state space models. J. Comput. Graph. Stat. 5, 1-25.
R. E. Kass & D. Steffey (1989), Approximate Bayesian inference in conditionally independent hierarchical models. JASA 84, 717-726.
H. Rue, S. Martino & N. Chopin (2009), Approximate Bayesian inference for latent Gaussian models by using integrated nested
Laplace approximations. J. R. Stat. Soc. B 71, 319-392.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, Frozen, frozen
from .adaptive import sampled_nodes
from .compressed import MOST_POLYNOMIALS, compressed, degree_of
from .engine import Likelihood
from .interpolated import ROUGH, InterpolatedPrior, KnownPoints, Prior
from .lattice import lattice_nodes
from .nodes import NEGLIGIBLE, Density, Nodes, mean_and_covariance, normalised

NARROW = 0.01  # total variance of theta, logs of variances: see `is_narrow`
STEP = 0.05  # in logarithms of sizes, of second differences: half an SD of what is narrow, and far above rounding
CARRIED, MOST_CARRIED = 1e-3, 64  # weight of a node that a stream carries, and how many of them
MOST_SAMPLED = 256  # nodes that represent quasi-random points: each costs every prediction a pass
MANY_OBSERVATIONS = 200  # beyond which posteriors are near enough to normal that few nodes are better than a sample
MOST_COMPRESSED = 2048  # points that fewer nodes are chosen from, which costs their number times the square of that of the nodes
LEFT_OUT = 0.01  # weight beyond which what is left out is represented by resampling
MOST_ON_A_LATTICE = 2  # parameters: beyond, a lattice needs thousands of nodes
FARTHEST = 40.0  # below the log density at the maximum of the likelihood: what is less plays no part
FLAT = 1e-6  # of a log likelihood: less does not identify a shape
BATCH = 4  # points of which the density is asked for at a time, where the highest is looked for
ROUNDING = 1e-13  # of count / 2, which bounds the information of a variance: a smaller pivot may be rounding alone


@dataclass(frozen=True, eq=False)
class HyperparameterPosterior(Frozen):
    """Posterior of what is estimated, as weighted nodes.

    Attributes
    ----------
    theta : ndarray, shape (L, p)
        Nodes, in the engine's logarithms.
    weights : ndarray, shape (L,)
        Posterior probabilities; they sum to one.
    scale2 : ndarray, shape (L,)
        Estimate sse / count of the common factor s^2 at each node; one if no factor is left out of theta.
    df : float
        Degrees of freedom of Student's t laws given theta: `count`, or infinite if no factor is left out.
    effective : float
        Effective number of nodes, 1 / sum(weights^2).
    is_single : bool
        Whether theta is treated as known: nothing is estimated, the density is narrow, or this was asked for.
    found : Nodes or None
        All points of which the nodes are some, with their densities: see ``smoothfit.inference.refined``.
    known : KnownPoints or None
        Where the prior density was computed: it is interpolated.
    """

    theta: FloatArray
    weights: FloatArray
    scale2: FloatArray
    df: float
    is_single: bool
    found: Nodes | None = None
    known: KnownPoints | None = None

    @property
    def effective(self) -> float:
        """Effective number of nodes."""
        return float(1 / np.sum(self.weights**2))

    @property
    def mean(self) -> FloatArray:
        """Posterior mean of theta (p,)."""
        return np.asarray(self.weights @ self.theta)

    @property
    def cov(self) -> FloatArray:
        """Posterior covariance of theta (p, p); zero for a single node."""
        return mean_and_covariance(self.theta, self.weights)[1]

    def reduced(self) -> HyperparameterPosterior:
        """The posterior by at most `MOST_CARRIED` nodes: those of weight above `CARRIED`, if these are nearly all of it.

        Else the nodes are resampled systematically (Kitagawa 1996): node l is kept with the number of points (i + 1/2) /
        MOST_CARRIED in its interval of the cumulated weights.
        """
        weights = np.where(self.weights > CARRIED, self.weights, 0.0)
        if weights.sum() < 1 - LEFT_OUT or np.count_nonzero(weights) > MOST_CARRIED:
            place = _systematic(self.weights, MOST_CARRIED)
            weights = np.bincount(place, minlength=len(self.weights)).astype(float)
        kept = np.flatnonzero(weights)
        return self.take(kept, weights[kept] / weights.sum())

    def take(self, kept: npt.NDArray[np.intp], weights: FloatArray) -> HyperparameterPosterior:
        """Some of the nodes, by number, with weights of their own."""
        scale2 = frozen(self.scale2[kept])
        return replace(self, theta=frozen(self.theta[kept]), weights=frozen(weights), scale2=scale2, found=None, known=None)

    def updated(self, log_det: FloatArray, sse: FloatArray, count: int) -> HyperparameterPosterior:
        """The posterior after `count` more observations, which add log_det and sse (L,) to the terms at each node.

        Every weight is multiplied by the predictive density of the observations. If s^2 is left out of theta, that is Student's t
        whose sum of squares and degrees of freedom grow from one observation to the next; the product is a ratio of marginals.
        """
        misfit, scale2, df = sse, self.scale2, self.df
        if np.isfinite(self.df):
            before, df = self.scale2 * self.df, self.df + count
            scale2 = (before + sse) / df
            misfit = df * np.log(before + sse) - self.df * np.log(before)
        log_weights = np.log(self.weights) - (log_det + misfit) / 2
        return replace(self, weights=frozen(normalised(log_weights)), scale2=frozen(scale2.copy()), df=df, found=None, known=None)


def integrate(engine: Likelihood, theta_hat: FloatArray) -> HyperparameterPosterior:
    """Weighted nodes of the posterior of theta, given the maximum `theta_hat` (p,) of the restricted likelihood.

    `theta_hat` may lie at a bound. The likelihood has weight zero if it cannot be computed (NaN), which is right at the ends
    of the range only.

    Raises
    ------
    NumericalError
        If the likelihood cannot be computed at `theta_hat`, or between points of high density.

    Warns
    -----
    IntegrationWarning
        If the nodes represent the posterior poorly.
    """
    if not theta_hat.size:
        return at_estimate(engine, theta_hat)
    sse, curvature = about(engine, theta_hat)
    if (engine.relative and sse == 0) or is_narrow(engine, theta_hat, curvature):  # s^2 is zero, and intervals have no length
        return _posterior(engine, theta_hat[None, :], np.ones(1), np.array([sse]), is_single=True)
    known = KnownPoints(len(theta_hat)) if is_interpolated(engine) else None
    found = _all_nodes(engine, _start(engine, theta_hat), np.ones(len(theta_hat)), known)
    nodes = significant(found)
    if is_on_a_lattice(engine):
        return replace(_nodes_of(engine, nodes.theta, nodes.weights), found=found, known=known)
    few = fewer(nodes.theta, nodes.weights) if engine.count > MANY_OBSERVATIONS else sample_of(nodes.theta, nodes.weights)
    return replace(_nodes_of(engine, *few), found=found, known=known)


def _start(engine: Likelihood, theta_hat: FloatArray) -> FloatArray:
    """The maximum, with shapes that it does not depend on in the middle of their range.

    So are length scales of a process that is estimated as absent: rounding decides where a search leaves them.
    """
    start, shapes = theta_hat.copy(), np.flatnonzero(~np.asarray(engine.is_size))
    for i in shapes.tolist():
        middle = start.copy()
        middle[i] = (engine.lower[i] + engine.upper[i]) / 2
        here, there = log_likelihood(engine, np.stack([start, middle]))
        if abs(there - here) <= FLAT:
            start = middle
    return start


def is_on_a_lattice(engine: Likelihood) -> bool:
    """Whether nodes are those of a lattice; of more parameters they are sampled."""
    return len(engine.lower) <= MOST_ON_A_LATTICE


def is_interpolated(engine: Likelihood) -> bool:
    """Whether the prior is computed at some points only, and interpolated at others."""
    return engine.has_slow_prior and len(engine.lower) > 1


def density_of(engine: Likelihood, start: FloatArray, known: KnownPoints | None = None) -> Density:
    """The posterior density of theta, a bound of it where it is far below that at `start` (p,).

    If the prior is interpolated, it is so between points that are known, to which those are added that are computed.
    """
    prior = rough = prior_of(engine)
    if is_interpolated(engine):
        known = KnownPoints(len(start)) if known is None else known
        prior, rough = InterpolatedPrior(prior, known), InterpolatedPrior(prior, known, ROUGH)
    least = float(log_density(engine, start[None, :], prior=prior)[0]) - FARTHEST
    function, highest = (lambda theta: log_density(engine, theta, least, prior)), partial(highest_density, engine, prior=rough)
    return Density(function, engine.lower, engine.upper, highest)


def weighted_nodes(engine: Likelihood, start: FloatArray, units: FloatArray | None = None) -> Nodes:
    """Nodes of the posterior density of theta, without those of negligible weight.

    `units` (p,) are those of coordinates that are no logarithms: searches begin with steps of half a unit.
    """
    return significant(_all_nodes(engine, start, np.ones(len(start)) if units is None else units))


def _all_nodes(engine: Likelihood, start: FloatArray, units: FloatArray, known: KnownPoints | None = None) -> Nodes:
    """Nodes of the posterior density of theta."""
    density = density_of(engine, start, known).in_units(units)
    found = (lattice_nodes if is_on_a_lattice(engine) else sampled_nodes)(density, start / units)
    return found._replace(theta=found.theta * units, log_integral=found.log_integral + float(np.log(units).sum()))


def significant(nodes: Nodes) -> Nodes:
    """Nodes without those of negligible weight."""
    order = np.argsort(nodes.weights, kind="stable")
    return nodes.take(np.sort(order[np.cumsum(nodes.weights[order]) > NEGLIGIBLE]))


def resampled(theta: FloatArray, weights: FloatArray, most: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """At most so many nodes, by number, with new weights: resampled systematically along their largest principal component."""
    if len(weights) <= most:
        return np.arange(len(weights)), weights
    mean, cov = mean_and_covariance(theta, weights)
    order = np.argsort((theta - mean) @ np.linalg.eigh(cov)[1][:, -1], kind="stable")
    kept, count = np.unique(order[_systematic(weights[order], most)], return_counts=True)
    return kept, count / most


def sample_of(theta: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most `MOST_SAMPLED` nodes for sampled ones (N, p), and their weights."""
    kept, weights = resampled(theta, weights, MOST_SAMPLED)
    return theta[kept], weights


def fewer(theta: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Nodes for sampled ones (N, p), and their weights: see `compressed`; of many parameters a sample."""
    degree = degree_of(theta.shape[1])
    if degree is None:
        return sample_of(theta, weights)
    kept, weights = resampled(theta, weights, MOST_COMPRESSED)
    theta = theta[kept]
    if len(theta) > MOST_POLYNOMIALS:
        try:
            kept, weights = compressed(theta, weights, degree)
        except (np.linalg.LinAlgError, RuntimeError):  # points on a line, or no end of the search for weights
            return sample_of(theta, weights)
        theta = theta[kept]
    return theta, weights


def _systematic(weights: FloatArray, size: int) -> npt.NDArray[np.intp]:
    """Where the points (i + 1/2) / size lie among the cumulated weights (Kitagawa 1996)."""
    return np.minimum(np.searchsorted(np.cumsum(weights), (np.arange(size) + 0.5) / size), len(weights) - 1)


def at_estimate(engine: Likelihood, theta_hat: FloatArray) -> HyperparameterPosterior:
    """The posterior that takes theta_hat (p,) for known: one node."""
    return replace(_nodes_of(engine, theta_hat[None, :], np.ones(1)), is_single=True)


def _nodes_of(engine: Likelihood, theta: FloatArray, weights: FloatArray) -> HyperparameterPosterior:
    """Posterior of given nodes, whose sums of squares are computed if they are needed."""
    sse = engine.terms(theta).sse.value if engine.relative else np.ones(len(theta))
    return _posterior(engine, theta, weights, sse, is_single=False)


def _posterior(
    engine: Likelihood, theta: FloatArray, weights: FloatArray, sse: FloatArray, is_single: bool
) -> HyperparameterPosterior:
    """Posterior of nodes with given sums of squares."""
    scale2, df = (sse / engine.count, float(engine.count)) if engine.relative else (np.ones(len(theta)), np.inf)
    return HyperparameterPosterior(frozen(theta.copy()), frozen(weights), frozen(scale2), df, is_single)


def about(engine: Likelihood, theta_hat: FloatArray) -> tuple[float, FloatArray]:
    """The sum of squares at theta_hat (p,), and the curvature (p, p) of -2 log likelihood; NaN if it cannot be computed.

    If variances are linear in exp(theta), these are second differences of values, which are computed side by side in less time than
    exact derivatives. With a the fraction of a contrast's variance that a size accounts for, the logarithm of that variance has
    second derivatives a (1 - a) and fourth ones a (1 - a) (1 - 6 a (1 - a)), no larger, so that differences over `STEP` are right
    to some STEP^2 / 12, 0.02 %. Length scales and periods may be far better known than their logarithm's unit.
    """
    if not engine.is_linear:
        return _exact_curvature(engine, theta_hat)
    p = len(theta_hat)
    i, j = np.triu_indices(p)
    steps = STEP * np.where((i == j)[:, None], np.eye(p)[i], np.eye(p)[i] + np.eye(p)[j])
    log_det, sse = (term.value for term in engine.terms(theta_hat + np.vstack([np.zeros(p), steps, -steps])))
    if engine.relative and sse[0] == 0:
        return 0.0, np.full((p, p), np.nan)
    values = log_det + (engine.count * np.log(sse / sse[0]) if engine.relative else sse)
    along, second = (values[1:].reshape(2, -1).sum(axis=0) - 2 * values[0]) / STEP**2, np.empty((p, p))
    second[i, j] = second[j, i] = along
    sizes = np.diag(second)
    return float(sse[0]), np.where(np.eye(p, dtype=bool), second, (second - sizes - sizes[:, None]) / 2)


def _exact_curvature(engine: Likelihood, theta_hat: FloatArray) -> tuple[float, FloatArray]:
    """The same by exact derivatives."""
    log_det, sse = engine.terms(theta_hat[None, :], order=2)
    assert log_det.hessian is not None
    assert sse.hessian is not None
    assert sse.gradient is not None
    value = float(sse.value[0])
    if not engine.relative:
        return value, log_det.hessian[0] + sse.hessian[0]
    if value == 0:
        return value, np.full_like(log_det.hessian[0], np.nan)
    slope = sse.gradient[0] / value  # the squares of either may be out of range
    return value, log_det.hessian[0] + engine.count * (sse.hessian[0] / value - np.outer(slope, slope))


def is_narrow(engine: Likelihood, theta_hat: FloatArray, curvature: FloatArray) -> bool:
    """Whether theta is known so well that integrating over it changes intervals by less than 1 % of their half-width.

    With V the inverse of the curvature of the log likelihood at theta_hat, half that of `about`, the rule is trace V <= NARROW,
    theta_hat not at a bound. The derivative of a posterior variance by the log of a variance of the model lies between zero and
    that variance itself, so that log SDs vary by at most tau^2 = trace V / 4. To first order a mixture over log SDs of variance
    tau^2 widens 95 % intervals by (1.96^2 + 1) tau^2 / 2, or 0.6 % at the limit. The posterior mean moves with theta as well: on
    average over the observations that adds V d / 2 with d = 0.1 for smoothing splines of order 2.

    A second maximum of the likelihood is not looked for: beside a maximum this narrow another of comparable height would be a
    coincidence, and the search for theta_hat has compared their heights.
    """
    if np.any((theta_hat <= engine.lower) | (theta_hat >= engine.upper)) or not np.isfinite(curvature).all():
        return False
    half = np.linalg.eigvalsh(curvature / 2)
    return bool(half[0] > 0 and np.sum(1 / half) <= NARROW)


def prior_of(engine: Likelihood) -> Prior:
    """Log of Jeffreys' prior (L,) at theta (L, p), by an information matrix at each."""
    sizes = np.flatnonzero(engine.is_size)

    def prior(theta: FloatArray, log_likelihood: FloatArray) -> FloatArray:
        return log_prior(engine.information(theta)[:, sizes[:, None], sizes], engine.count)

    return prior


def log_density(engine: Likelihood, theta: FloatArray, least: float = -np.inf, prior: Prior | None = None) -> FloatArray:
    """Log posterior density of theta (L, p), up to a constant; NaN if it cannot be computed.

    If it is certainly below `least`, a bound of it is given instead, which costs no information matrix.
    """
    density = engine.log_prior_of_shapes(theta) + log_likelihood(engine, theta)
    bound: FloatArray = density + _most_of_prior(engine)
    matters = np.flatnonzero(~(bound < least))
    bound[matters] = density[matters] + (prior or prior_of(engine))(theta[matters], density[matters])
    return bound


def highest_density(engine: Likelihood, theta: FloatArray, prior: Prior | None = None) -> FloatArray:
    """As `log_density`, but a bound of it at points (L, p) where it is below that at another.

    Of the points of the highest bounds these are sharpened (`_sharper`) before the density is computed: far from the mode the prior
    may be zero where the likelihood is flat.
    """
    found = log_density(engine, theta, np.inf)
    likelihood = found - _most_of_prior(engine)
    is_exact, is_sharp = np.zeros(len(theta), bool), np.full(len(theta), not (engine.is_linear and engine.has_slow_prior))
    while True:
        first = np.argsort(-found, kind="stable")[:BATCH]
        if is_exact[first[0]] or np.isneginf(found[first[0]]):
            return found
        some = first[~is_sharp[first]]
        if len(some):
            found[some] = np.fmin(found[some], likelihood[some] + _sharper(engine, theta[some]))
            is_sharp[some] = True
        else:
            some = first[~is_exact[first]]
            found[some] = log_density(engine, theta[some], prior=prior)
            is_exact[some] = True


def _most_of_prior(engine: Likelihood) -> float:
    """A bound of the log prior.

    The information of the logarithm of a variance is at most count / 2, and a determinant at most the product of its diagonal.
    """
    return float(np.count_nonzero(engine.is_size) / 2 * np.log(engine.count / 2))


def _sharper(engine: Likelihood, theta: FloatArray) -> FloatArray:
    """A bound of the log prior (L,) at theta (L, p) by one pass with derivatives.

    A size accounts for fractions a between zero and one of the variances of contrasts. Its information is sum a^2 / 2, times a
    square f^2 of the power f <= 2 of exp(theta_i) that it is, at most the slope f sum a of log_det. See `log_prior` for zero.
    """
    gradient = engine.terms(theta, order=1).log_det.gradient
    assert gradient is not None
    slopes = np.abs(gradient[:, np.asarray(engine.is_size)])
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.where(slopes <= ROUNDING * engine.count / 2, 0.0, slopes)).sum(axis=1) / 2)


def log_likelihood(engine: Likelihood, theta: FloatArray) -> FloatArray:
    """Log restricted likelihood of theta (L, p), a common factor s^2 being integrated out, up to a constant."""
    log_det, sse = (term.value for term in engine.terms(theta))
    with np.errstate(divide="ignore"):
        misfit = engine.count * np.log(sse) if engine.relative else sse
    return np.asarray(-(log_det + misfit) / 2)


def log_prior(information: FloatArray, count: int) -> FloatArray:
    """Log of Jeffreys' prior, log det(information) / 2, given information (L, p, p) of `count` contrasts.

    The information of a log variance is at most count / 2, so that rounding leaves errors of some eps * count / 2 in the pivots
    of its elimination. A pivot of less than ROUNDING * count / 2 is therefore taken for zero, and so is the prior: it is there
    below sqrt(ROUNDING) = 3e-7 of the largest that it can be, and falls further.
    """
    rest = information.copy()
    total = np.zeros(len(rest))
    for i in range(rest.shape[1]):
        pivot = rest[:, i, i].copy()
        is_zero = pivot <= ROUNDING * count / 2
        pivot[is_zero] = 1.0
        total += np.where(is_zero, -np.inf, np.log(pivot) / 2)
        rest -= rest[:, :, i, None] * rest[:, i, None, :] / pivot[:, None, None]
    return total
