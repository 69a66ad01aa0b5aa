"""An equation with process and measurement noise as an engine of `inference`; coefficients that enter linearly are integrated out.

theta holds what enters otherwise: the coefficients of y and of its derivatives, in the order of the equation's names, then the
logarithms of the unknown intensities and noise variances. If no SD or intensity is given, all variances are relative to the last
of these, which is left out. The coefficients beta of inputs and intercepts, and the initial states, enter linearly. With v the
innovations at an origin of beta, F their variances and D = dv / d beta, one pass of the filter gives the parts of

    sse     = v' F^-1 v - v' F^-1 D (D' F^-1 D)^-1 D' F^-1 v,
    log_det = log|F| + log|D' F^-1 D| - log|H'H|,

with H the responses of the observations, in units of the spread of their series, to initial states and to beta without noise,
which come from a pass with q = 0: Harville's form of the restricted likelihood. It depends neither on units nor on how the linear
coefficients are written. Given theta and a common factor s^2 of the variances, beta is normal, of covariance s^2 (D' F^-1 D)^-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray
from ..errors import SpecificationError
from ..inference.engine import Expansion, Moments, PointDraws, Terms, information_of_scales
from ..markov.discretize import COMPLEX_STEP, Discrete, discretize_many
from .accelerations import at_once, widened
from .centring import centring
from .drives import gains
from .likelihood import WIDTHS, StateSpace
from .methods.base import Problem
from .sample import Sample
from .simulation import deviations
from .specification import Equation
from .spectrum import noise_information

STEP = 0.1  # in the logarithm of a variance: differences of log_det, right to 1e-6 of the information
RANGE = 1e-5  # fraction of the variance of any contrast, below which a noise is none: its prior is then 1e-5 of its largest
MOST_ENTRIES = 2**23  # of the matrices that are packed at a time
FASTEST = 20.0  # decay over a step, in logarithms, of which nothing is left
LONGEST_GROWTH = 50.0  # logarithm of what a solution may grow by over a run
POINTS = 4  # of the quadrature of the Gramian over a step


class Steps(NamedTuple):
    """The matrices of the steps (see `Discrete`) and A at several points, all with a leading axis of these."""

    T: FloatArray
    hold: FloatArray
    ramp: FloatArray
    Q: FloatArray
    systems: FloatArray


class Linear(NamedTuple):
    """The coefficients that enter linearly, given theta: means (L, k) and covariances (L, k, k) at s^2 = 1."""

    mean: FloatArray
    cov: FloatArray


class Profile(NamedTuple):
    """log_det and sse (L,) of the restricted likelihood, NaN if it cannot be computed, and what is linear."""

    log_det: FloatArray
    sse: FloatArray
    beta: Linear


class Outputs(NamedTuple):
    """Functionals: components of the state at nodes of one run, which is as the user passed it, (n,) each.

    `equation` is that of integrals of the outputs, with the same coefficients, if these are asked for.
    """

    sample: Sample
    at: npt.NDArray[np.int64]
    components: npt.NDArray[np.int64]
    equation: Equation | None = None


def sizes(problem: Problem) -> tuple[int, int, int]:
    """Numbers of coefficients and of log variances in theta if all noises are present, and of coefficients that enter linearly."""
    equation, known = problem.equation, [channel.known for channel in problem.sample.channels]
    n_known = int(equation.is_known_noise.sum())
    n_variances = equation.n_noises - n_known + known.count(False) - (not any(known) and not n_known)  # relative to the last
    n_system = int(equation.in_system.sum())
    return n_system, n_variances, len(equation.in_system) - n_system


class EquationEngine:
    """The restricted likelihood of an equation.

    Attributes
    ----------
    problem : Problem
        Of outputs and inputs less their levels (see `centring`).
    way_back : ndarray, shape (n_params, n_params)
        Takes its coefficients to those of the outputs and inputs themselves.
    origin : ndarray, shape (k,)
        Values of the linear coefficients from which they are counted: where they are nearly right, no digits cancel.
    present : ndarray of bool
        Which of the intensities and unknown noise variances there are; others are zero.
    """

    is_linear = has_slow_prior = False  # coefficients are estimated, too

    def __init__(self, problem: Problem, coefficients: FloatArray, absent: int | None = None):
        levels = centring(problem)
        self.problem = problem = levels.problem(problem)
        self.way_back = levels.way_back(problem.equation)
        coefficients = np.asarray(np.linalg.solve(self.way_back, coefficients))
        self.space = StateSpace(problem.equation, problem.sample)
        self.in_system = problem.equation.in_system
        self.origin = coefficients[~self.in_system]
        self.n_system = int(self.in_system.sum())
        self.present = np.arange(problem.equation.n_noises + len(self.space.unknown)) != absent
        if len(self.origin) > WIDTHS[-1]:
            raise SpecificationError(f"{len(self.origin)} inputs and intercepts; intervals by integration take {WIDTHS[-1]}")

    # What the protocol asks for ---------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """What theta holds: coefficients, and the noises whose log variances follow."""
        names = [name for name, inside in zip(self.problem.equation.names, self.in_system, strict=True) if inside]
        return (*names, *(self.space.variance_names[i] for i in self.free))

    @property
    def free(self) -> npt.NDArray[np.int64]:
        """Which of the intensities and unknown noise variances theta has."""
        known = np.append(self.problem.equation.is_known_noise, np.zeros(len(self.space.unknown), np.bool_))
        present = np.flatnonzero(self.present & ~known)
        return present[:-1] if self.relative else present

    @property
    def relative(self) -> bool:
        """Whether the variances are relative to the last: no SD or intensity is given."""
        return not any(channel.known for channel in self.problem.sample.channels) and not self.problem.equation.intensities

    @property
    def count(self) -> int:
        """Observations less initial states and linear coefficients."""
        return self._n_used - len(self.origin)

    @property
    def _n_used(self) -> int:
        sample = self.problem.sample
        return sample.n_readings - self.problem.equation.n_states * len(sample.labels)

    @property
    def _gap(self) -> float:
        """The typical spacing of the observations, whatever nodes a delay has put between them."""
        sample = self.problem.sample
        return (sample.recorded or sample).gap

    @cached_property
    def lower(self) -> FloatArray:
        """Lower bounds: no pole is faster than samples resolve; variances beside which the others are all to rounding."""
        return np.append(-self._coefficients(FASTEST / self._gap), self._log_ranges[0])

    @cached_property
    def upper(self) -> FloatArray:
        return np.append(self._coefficients(FASTEST / self._gap), self._log_ranges[1])

    def _coefficients(self, rate: float) -> FloatArray:
        """Sizes of the coefficients of y and its derivatives if all poles are at a rate (n_system,)."""
        return self.problem.equation.sizes(rate, self.problem.sample.longest, np.sqrt(self._typical))

    @property
    def of_a_run(self) -> FloatArray:
        """Units of theta (p,) that go with those of time: coefficients of poles as slow as a run, and one for logarithms."""
        return np.append(self._coefficients(1 / self.problem.sample.longest), np.ones(len(self.free)))

    @property
    def units(self) -> FloatArray:
        """Logarithms of the intensities and noise variances that add as much to an output over a step as its own variance.

        An intensity q adds q h^(2m - 1) over a step h, m the integrals from it to y; a noise of the j-th derivative is that of y
        over h^(2j).
        """
        sample, gap = self.problem.sample, np.log(self._gap)
        levels = np.log(self._typical)
        noises = [levels[sample.channels[i].output] - 2 * sample.channels[i].deriv * gap for i in self.space.unknown]
        return np.append(levels[self.problem.equation.noise_outputs] - (2 * self.problem.equation.noise_orders - 1) * gap, noises)

    @cached_property
    def _alike(self) -> FloatArray:
        """Unknown noise variances that are alike beside what the series observe, relative to the last if variances are."""
        found = np.nanvar(self.problem.sample.y[:, self.space.unknown], axis=0)
        found = np.where(found > 0, found, 1.0)
        return np.asarray(found / found[-1] if self.relative else found)

    @cached_property
    def _log_ranges(self) -> tuple[FloatArray, FloatArray]:
        """Log variances, beyond which a noise is none, or all there is, to rounding; q adds some q T^(2m - 1) over a whole run."""
        sample, unit = self.problem.sample, self.units
        powers = np.append(2 * self.problem.equation.noise_orders - 1, np.zeros(len(self.space.unknown)))
        gap = np.log(self._gap)
        over_run = powers * (np.log(sample.longest) - gap)
        if self.relative:
            reference = np.flatnonzero(self.present)[-1]
            least, most = -unit[reference], over_run[reference] - unit[reference]
        else:
            given = [
                np.log(np.nanmedian(sample.ratio[:, i])) + 2 * c.deriv * gap - np.log(self._typical[c.output])
                for i, c in enumerate(sample.channels)
                if c.known
            ]
            process = np.log(self.problem.equation.intensities or [np.nan]) - unit[: self.problem.equation.n_noises]
            given += process[np.isfinite(process)].tolist()
            least, most = min(given), max(given)
        lower, upper = unit - over_run + least + np.log(RANGE), unit + most - np.log(RANGE)
        return lower[self.free], upper[self.free]

    @property
    def is_size(self) -> npt.NDArray[np.bool_]:
        """The log variances (p,)."""
        return np.arange(self.n_system + len(self.free)) >= self.n_system

    def terms(self, theta: FloatArray, order: int = 0) -> Terms:
        """Log-determinant and sum of squares at theta (L, p); derivatives stand in no closed form.

        The likelihood of solutions that grow by more than LONGEST_GROWTH over a run is zero.
        """
        if order:
            raise SpecificationError(f"order is {order}; the terms of an equation have no derivatives")
        log_det, sse = np.full(len(theta), np.inf), np.ones(len(theta))
        kept = self._is_bounded(theta)
        if kept.any():
            log_det[kept], sse[kept], _ = self.profile(theta[kept])
        return Terms(Expansion(log_det), Expansion(sse))

    def information(self, theta: FloatArray) -> FloatArray:
        """Expected information (L, p, p) of the log variances, the coefficients being given; zero where the likelihood is.

        That of several takes tens of likelihoods a point; it is Whittle's approximation (see `spectrum`).
        """
        found = np.zeros((len(theta), len(self.is_size), len(self.is_size)))
        kept, i = np.flatnonzero(self._is_bounded(theta)), np.flatnonzero(self.is_size)
        if len(kept) and len(i):
            found[np.ix_(kept, i, i)] = (self._spectral_information if len(i) > 1 else self._information)(theta[kept])
        return found

    def _is_bounded(self, theta: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether solutions grow by little enough for a likelihood (L,)."""
        rates = np.linalg.eigvals(self._systems(theta)).real.max(axis=1)
        return np.asarray(rates * self.problem.sample.longest < LONGEST_GROWTH)

    def moments(self, theta: FloatArray, functionals: Outputs) -> Moments:
        """Means and variances of outputs and of their derivatives; given theta the linear coefficients are normal."""
        mean, variance = np.empty((2, len(theta), len(functionals.at)))
        beta = self.profile(theta).beta
        for i in range(len(theta)):
            mean[i], by_beta, variance[i] = self._smoothed(theta[i], beta.mean[i], functionals)
            variance[i] += np.einsum("kn,kl,ln->n", by_beta, beta.cov[i], by_beta)
        return Moments(mean, variance)

    def draws(self, theta: FloatArray, functionals: Outputs) -> PointDraws:
        """Draws about the means, the linear coefficients drawn as well."""
        beta, sample, one = self.profile(theta[None]).beta, functionals.sample, theta[None]
        by_beta = self._smoothed(theta, beta.mean[0], functionals)[1]
        coefficients = self.way_back @ self.coefficients(one, beta.mean)[0]
        q, sigma2 = (part[0] for part in self.variances(one))
        noises = np.ones(len(sample.channels))
        noises[self.space.unknown] = sigma2
        of_states = deviations(self.problem.equation, sample, coefficients, q, noises)
        root = np.linalg.cholesky(beta.cov[0])

        def draw(rng: np.random.Generator, size: int) -> FloatArray:
            for_states, for_beta = rng.spawn(2)  # so that the first draws are the same whatever the size
            shift = for_beta.standard_normal((size, len(by_beta))) @ root.T
            return np.asarray(of_states(for_states, size)[:, functionals.at, functionals.components] + shift @ by_beta)

        return draw

    def _smoothed(self, point: FloatArray, beta: FloatArray, functionals: Outputs) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Means (n,) of functionals, their derivatives by beta (k, n), and variances given beta (n,)."""
        sample, at, components, equation = functionals
        space = StateSpace(equation or self.problem.equation, sample)
        q, sigma2 = (part[0] for part in self.variances(point[None]))
        theta = self.coefficients(point[None], beta[None])[0]
        mean, cov = space.smooth(self.way_back @ theta, q, sigma2)
        blank = np.where(np.isfinite(sample.y), 0.0, np.nan)
        by_beta = np.empty((len(beta), len(at)))
        for i, column in enumerate(self.way_back[:, ~self.in_system].T):
            theta[~self.in_system] = column[~self.in_system]
            by_beta[i] = space.smoother(theta, q, sigma2)(blank)[0][at, components]
        return mean[at, components], by_beta, np.maximum(cov[at, components, components], 0.0)

    # The likelihood ---------------------------------------------------------------------------------------------------

    def coefficients(self, theta: FloatArray, beta: FloatArray) -> FloatArray:
        """All coefficients (L, n_params), in the order of the equation."""
        found = np.empty((len(theta), len(self.in_system)))
        found[:, self.in_system], found[:, ~self.in_system] = theta[:, : self.n_system], beta
        return found

    def variances(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Intensities (L, outputs) and unknown noise variances (L, unknown) at s^2 = 1."""
        values = np.tile(self.present.astype(float), (len(theta), 1))
        values[:, self.free] = np.exp(theta[:, self.n_system :])
        values, p = self.problem.equation.with_known_noises(values), self.problem.equation.n_noises
        return values[:, :p], values[:, p:]

    def profile(self, theta: FloatArray) -> Profile:
        """The restricted likelihood at theta (L, p), and the linear coefficients given it."""
        return self.profile_at(self.steps(theta), *self.variances(theta))

    def _systems(self, theta: FloatArray) -> FloatArray:
        """The matrices A (L, M, M)."""
        base = self.problem.equation.matrices(np.zeros(len(self.in_system)))[0]
        return base + np.tensordot(theta[:, : self.n_system], self.space.directions, axes=1)

    @np.errstate(all="ignore")
    def log_prior_of_shapes(self, theta: FloatArray) -> FloatArray:
        """Log prior density of the coefficients of y and of its derivatives (L,): that of Jeffreys for exact states.

        States sampled every h over a span T, from rest, determine the coefficients a_i, by x -> exp(A h) x + w, the information

            I_ij = tr(E_i' Q(h)^-1 E_j W) / h,     E_i = d exp(A h) / d a_i,     W = int_0^T Q(t) dt,

        with Q(t) the covariance of what the noise adds over t; the prior is det(I)^(1 / 2p), p the number of outputs. For one pole
        a it is (exp(2 |a| h) - 1)^(-1/2) where T |a| is large: flat in log |a| to half, |a|^(-1/2), as far as the samples resolve
        the decay, and falling exponentially beyond. For several it is that of the stationary process, prod |l_i + l_j|^(-1/2) over
        pairs of poles. With several outputs det(I)^(1/2) would be the p-th power of that, as each has coefficients of every other,
        and move intervals towards slow poles; with the root the prior of uncoupled outputs of one pole is the product of their own.
        It stays finite as poles approach zero. Solutions that grow count as those that decay as fast, which would else have a prior
        without bound (J. Berger & R.-Y. Yang 1994, "Noninformative priors and Bayesian testing for the AR(1) model"). With hidden
        states it is that of the equation without them: of y and all its derivatives.
        """
        if not self.n_system:
            return np.zeros(len(theta))
        gap = np.array([self._gap])
        equation, directions = self._all_seen
        coefficients = self.problem.equation.of_seen(theta[:, : self.n_system])
        systems = equation.matrices(np.zeros(equation.n_params))[0] + np.tensordot(coefficients, directions, axes=1)
        growth = np.maximum(np.linalg.eigvals(systems).real.max(axis=1), 0.0)
        entry = equation.entry
        systems = systems - 2 * growth[:, None, None] * np.eye(systems.shape[1])
        Q, W = self._gramians(systems)
        size = np.sqrt(np.diagonal(Q, axis1=1, axis2=2))
        moved = (systems[:, None] + 1j * COMPLEX_STEP * directions).reshape(-1, *systems.shape[1:])
        E = (discretize_many(moved, entry, gap, noise=False, ramp=False).T[:, 0].imag / COMPLEX_STEP).reshape(
            len(theta), -1, *systems.shape[1:]
        )
        E = E / size[:, None, :, None]
        forward = np.linalg.solve((Q / (size[:, :, None] * size[:, None, :]))[:, None], E)
        information = np.einsum("liab,ljac,lbc->lij", E, forward, W, optimize=True)
        return np.asarray(np.linalg.slogdet(information)[1] / (2 * equation.n_outputs))

    @cached_property
    def _all_seen(self) -> tuple[Equation, FloatArray]:
        """The equation whose state is y and its derivatives, and the change of its A with each of its coefficients."""
        equation = self.problem.equation.seen()
        return equation, StateSpace(equation, self.problem.sample).directions

    def _gramians(self, systems: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Q(h) of noises of typical size, and W / T, the mean of Q(t) over a span T, (L, M, M) each.

        W(2t) = W(t) + t Q(t) + T(t) W(t) T(t)', from a t that is at most h, over which W(t) is a quadrature.
        """
        sample = self.problem.sample
        doublings = int(np.ceil(np.log2(max(sample.longest / self._gap, 1.0))))
        short = sample.longest / 2**doublings
        nodes, weights = np.polynomial.legendre.leggauss(POINTS)
        times = np.append((nodes + 1) / 2 * short, [short, self._gap])
        d = discretize_many(systems, self._all_seen[0].entry, times, ramp=False)
        levels = np.bincount(self.problem.equation.noise_outputs)  # from each noise to its output: as many integrals
        sizes = self._typical * self._gap ** (2.0 * (levels.max() - levels))
        every = np.tensordot(sizes, d.Q, axes=(0, 1))
        T, Q = d.T[:, -2], every[:, -2]
        W = np.tensordot(weights / 2, every[:, :-2], axes=(0, 1))
        for _ in range(doublings):
            back = np.swapaxes(T, 1, 2)
            T, Q, W = T @ T, Q + T @ Q @ back, (W + Q + T @ W @ back) / 2
        return every[:, -1], W

    @cached_property
    def _typical(self) -> FloatArray:
        """Variances of the outputs, which make the prior free of their units, (outputs,)."""
        sample = self.problem.sample
        found = np.ones(self.problem.equation.n_outputs)
        for channel, column in zip(sample.channels, sample.y.T, strict=True):
            if channel.deriv == 0 and np.nanvar(column) > 0:
                found[channel.output] = np.nanvar(column)
        return found

    def steps(self, theta: FloatArray) -> Steps:
        """The matrices of the steps at each point (L, p)."""
        equation, systems = self.problem.equation, self._systems(theta)
        return Steps(*discretize_many(systems, equation.entry, self.space.lengths, ramp=equation.is_ramped), systems)

    @np.errstate(all="ignore")
    def profile_at(self, steps: Steps, q: FloatArray, sigma2: FloatArray) -> Profile:
        """As `profile`, given the matrices of the steps, intensities (L, p) and unknown noise variances."""
        k = len(self.origin)
        log_det, sse, slope, inner = self._sums(steps, q, sigma2)
        bare, _, _, still = self._sums(steps, np.zeros_like(q), np.broadcast_to(self._alike, sigma2.shape))
        good = np.isfinite(log_det) & np.isfinite(bare) & np.isfinite(inner).all(axis=(1, 2)) & np.isfinite(still).all(axis=(1, 2))
        size = np.sqrt(np.where(good[:, None], np.diagonal(inner, axis1=1, axis2=2), 1.0))
        unit = np.where(good[:, None, None], inner / (size[:, :, None] * size[:, None, :]), np.eye(k))
        (sign, log), (other, harville) = np.linalg.slogdet(unit), np.linalg.slogdet(np.where(good[:, None, None], still, np.eye(k)))
        good &= (sign > 0) & (other > 0)
        unit[~good] = np.eye(k)
        inverse = np.linalg.inv(unit) / (size[:, :, None] * size[:, None, :])
        moved = np.einsum("lij,lj->li", inverse, slope / 2)
        left = sse - np.einsum("li,li->l", moved, slope / 2)
        total = log_det - bare - harville + log + 2 * np.log(size).sum(axis=1)
        good &= left > 0
        return Profile(np.where(good, total, np.nan), np.where(good, left, np.nan), Linear(self.origin - moved, inverse))

    @np.errstate(all="ignore")
    def _spectral_information(self, theta: FloatArray) -> FloatArray:
        """Whittle's approximation, as if all series were complete at the median spacing."""
        sample = self.problem.sample
        systems, m = self._systems(theta), self.problem.equation.n_states
        steps = discretize_many(systems, self.problem.equation.entry, np.array([self._gap]), ramp=False)
        rows = np.concatenate([np.broadcast_to(np.eye(m), systems.shape), systems[:, -1:]], axis=1)[:, self.space.component]
        q, unknown = self.variances(theta)
        noises = np.ones((len(theta), len(sample.channels)))
        noises[:, self.space.unknown] = unknown
        noises = noises * [np.median(ratio[np.isfinite(y)]) for ratio, y in zip(sample.ratio.T, sample.y.T, strict=True)]
        whole = noise_information(steps, rows, q, noises, 1 + sample.longest / self._gap, self.count)
        if self.relative:
            slope = 2 * whole.sum(axis=2)
            whole = whole - slope[:, :, None] * slope[:, None, :] / (2 * self.count)
        of_variances = np.append(np.arange(q.shape[1]), q.shape[1] + np.array(self.space.unknown, int))[self.free]
        return np.asarray(whole[:, of_variances[:, None], of_variances])

    @np.errstate(all="ignore")
    def _information(self, theta: FloatArray) -> FloatArray:
        """That of one log variance, by differences of log_det: a variance is linear in the exponential of its logarithm."""
        steps, along = self.steps(theta), STEP * np.eye(theta.shape[1])[-1]
        far_below, below, middle, above, far_above = (self._restricted(theta + k * along, steps) for k in (-2, -1, 0, 1, 2))
        gradient = (8 * (above - below) - (far_above - far_below)) / (12 * STEP)
        hessian = (16 * (above + below) - (far_above + far_below) - 30 * middle) / (12 * STEP**2)
        return information_of_scales(Expansion(middle, gradient[:, None], hessian[:, None, None]), self.count, self.relative)

    def _restricted(self, theta: FloatArray, steps: Steps) -> FloatArray:
        """log_det without the part that depends on A alone."""
        log_det, _, _, inner = self._sums(steps, *self.variances(theta))
        return np.asarray(log_det + np.linalg.slogdet(inner)[1])

    def _sums(self, steps: Steps, q: FloatArray, sigma2: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Log-determinant and sum of squares (L,) at the origin, its slope (L, k) and half its curvature (L, k, k) in beta."""
        space, k = self.space, len(self.origin)
        rows = space.rows
        log_det, sse = np.empty((2, len(q)))
        slope, inner = np.empty((len(q), k)), np.empty((len(q), k, k))
        for part in self._blocks(len(q)):
            here = Steps(*(matrices[part] for matrices in steps))
            sums, information, _ = _kernels.linear_likelihoods(*rows, space.component, *self.packed(here, q[part], sigma2[part]))
            log_det[part], sse[part] = sums[:, 0, 0], sums[:, 1, 0]
            slope[part], inner[part] = sums[:, 1, 1 : 1 + k], information[:, :k, :k]
        return log_det, sse, slope, inner

    def _blocks(self, count: int) -> Iterator[slice]:
        """Slices of points whose matrices are not too many at a time."""
        m = self.problem.equation.n_states
        size = max(1, MOST_ENTRIES // (len(self.space.lengths) * m * (2 * m + self._width) * (1 + WIDTHS[-1])))
        for first in range(0, count, size):
            yield slice(first, first + size)

    @property
    def _width(self) -> int:
        return int(self.space.drives.shape[1])

    def packed(self, steps: Steps, q: FloatArray, sigma2: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """T, Q, G and noise variances with a leading axis and derivatives by beta."""
        equation, space, k = self.problem.equation, self.space, len(self.origin)
        width = 1 + next(n for n in WIDTHS if n >= k)
        L, C, m = steps.T.shape[:3]
        T, Q = np.zeros((2, L, C, m, m, width))
        G = np.zeros((L, C, m, self._width, width))
        variance = np.zeros((L, len(self.problem.sample.channels), width))
        T[..., 0] = steps.T
        Q[..., 0] = np.einsum("lp,lpcij->lcij", q, steps.Q)
        variance[..., 0] = 1.0
        variance[:, space.unknown, 0] = sigma2
        units = np.zeros((1 + k, len(self.in_system)))
        units[0, ~self.in_system] = self.origin
        units[1:, ~self.in_system] = np.eye(k)
        for i, unit in enumerate(units):
            driven = gains(equation, unit, steps.systems, Discrete(*steps[:4]), space.lengths)
            G[..., : driven.shape[-1], i] = driven
        if not space.is_wide:
            return T, Q, G, variance
        row, own = np.zeros((L, m, width)), np.zeros((self._width, width))
        row[..., 0] = steps.systems[:, -1]
        own[:, : 1 + k] = np.transpose([at_once(equation, unit) for unit in units])
        return *widened(row, own, T, Q, G), variance
