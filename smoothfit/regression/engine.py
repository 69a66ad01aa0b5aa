"""Penalised bases as an engine: the restricted likelihood of weights and variances, and the posterior at any of them.

In the notation of ``smoothfit.regression.system``, theta are the logarithms of

===================  =====================================================================================================
no SD is known       lam_j = tau_j sigma_1^2 and the ratios sigma_g^2 / sigma_1^2, g > 1; the common factor s^2 is sigma_1^2
otherwise            tau_j and the unknown variances sigma_g^2; s^2 is one
lam is fixed         the same without the weights: tau_j = lam_j / sigma_1^2
===================  =====================================================================================================

The covariance of the contrasts, sum_g sigma_g^2 D_g + B S^- B', is linear in every variance, and with one penalty in 1 / tau: the
expected information then follows from the derivatives of the log-determinant. Several penalties add up in the precision S: with P
the projected precision of the contrasts and K_j = -tau_j B S^- M_j'M_j S^- B' the derivative of their covariance by log tau_j,

    tr(P K_i P K_j) = tau_i tau_j |M_i (S^- - A^-1) M_j'|^2,

since B'P B = S - S A^-1 S. Entries of a penalty and a variance are those of one penalty.

The engine is that of the least squares of a fit: without bounds, with the weights at which a loss converged, at the parameters
found for correlated errors, and of the restricted likelihood even if another criterion chose the smoothing. A fixed edf counts as
the lam that it has at the estimates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from .._validation import FloatArray
from ..errors import DataError, IdentificationError, SpecificationError
from ..inference.engine import Expansion, Moments, PointDraws, Sized, Terms, information_of_scales
from ..observations import Observations
from ..observations.points import PointObservations
from ..observations.series import refuse_estimates, refuse_resolution
from ..results.exact import SMALLEST_SD
from .band import BandRows, Factor, absorb, pack, solve_stack, solve_transposed
from .criteria import RestrictedLikelihood
from .fitting import Estimate
from .functionals import rows_of_reading
from .posterior import Covariance, covariance_of
from .products import ProductRows
from .restricted import lifted
from .rows import Rows, check_variables
from .search import ROOM, likely_range_of_tau, log_floors
from .system import System


@dataclass(frozen=True, eq=False)
class BandEngine(Sized):
    """A penalised basis at given weights and variances; see `smoothfit.inference.engine.Engine`.

    Functionals are rows of coefficients: of derivatives, integrals and differences of f.

    Attributes
    ----------
    rows : Rows
    system : System
        That of the coefficients gamma, c = offset + columns @ gamma.
    columns : csr_array, shape (K, d), or None
        What equalities leave; None if that is all.
    offset : ndarray, shape (K,), or None
    fixed : ndarray, shape (P,), or None
        Logarithms of weights lam that are fixed.
    """

    rows: Rows
    system: System
    columns: csr_array | None = None
    offset: FloatArray | None = None
    fixed: FloatArray | None = None

    # Theta ------------------------------------------------------------------------------------------------------------------

    @property
    def relative(self) -> bool:
        """Whether no SD is known: a common factor s^2, the variance of the first series, is then left out of theta."""
        return self.system.unknown == self.system.n_groups

    @property
    def n_weights(self) -> int:
        """Number of weights in theta, its first entries."""
        return self.system.n_penalties if self.fixed is None else 0

    @property
    def names(self) -> tuple[str, ...]:
        P, unknown = self.n_weights, self.rows.unknown
        weight = "lam" if self.relative or not unknown else "tau"
        weights = [weight] if P == 1 else [f"{weight}[{j}]" for j in range(P)]
        if self.relative:
            return (*weights, *(f"sigma2.{name} / sigma2.{unknown[0]}" for name in unknown[1:]))
        return (*weights, *(f"sigma2.{name}" for name in unknown))

    @property
    def has_slow_prior(self) -> bool:
        """With several penalties: an information matrix takes dense algebra."""
        return self.n_weights > 1

    @property
    def count(self) -> int:
        """Observations less the functions that no penalty touches."""
        return self._likelihood.count

    @property
    def lower(self) -> FloatArray:
        return self._bounds[0]

    @property
    def upper(self) -> FloatArray:
        return self._bounds[1]

    @cached_property
    def _likelihood(self) -> RestrictedLikelihood:
        P, U = self.system.n_penalties, self.system.unknown
        origin, directions = np.zeros(P + U), np.eye(P + U)
        if self.relative:
            directions = np.delete(directions, P, axis=0)
        if self.fixed is not None:
            origin[:P], directions = self.fixed, directions[P:]
            if U and not self.relative:
                directions[0, :P] = -1.0
        return RestrictedLikelihood(self.system, origin, directions)

    @cached_property
    def _bounds(self) -> tuple[FloatArray, FloatArray]:
        system, U = self.system, self.system.unknown
        spread = np.log(system.spreads[:U])
        if self.relative:
            spread = spread[1:] - spread[0]
            lower, upper = spread + 2 * np.log(SMALLEST_SD), spread - 2 * np.log(SMALLEST_SD)
        else:
            lower, upper = log_floors(system), spread + ROOM
        if not self.n_weights:
            return lower, upper
        log_sigma2 = self._likelihood.logs(np.concatenate([np.zeros(self.n_weights), spread]))[1]
        base, low, high = likely_range_of_tau(system, log_sigma2)
        room = ROOM if len(spread) else 0.0
        return np.concatenate([base + low - room, lower]), np.concatenate([base + high + room, upper])

    def logs(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logarithms of the weights tau (L, P) and of the variances of the groups (L, n_groups), for s^2 = 1."""
        return self._likelihood.logs(theta)

    def theta_of(self, found: Estimate) -> FloatArray:
        """An estimate as theta (p,); weights of zero or infinity and SDs of zero are at a bound."""
        with np.errstate(divide="ignore"):
            log_tau = np.log(found.tau[: self.n_weights])
        log_sigma2 = found.log_sigma2[: self.system.unknown]
        if self.relative:
            log_tau, log_sigma2 = log_tau + log_sigma2[0], log_sigma2[1:] - log_sigma2[0]
        return np.asarray(np.clip(np.concatenate([log_tau, log_sigma2]), self.lower, self.upper))

    def boundary_of(self, found: Estimate) -> tuple[str, ...]:
        """Names of entries of theta at a bound of an estimate, ratios of a variance at zero included."""
        theta, P, unknown = self.theta_of(found), self.n_weights, self.rows.unknown
        is_zero = np.array([name in found.boundary for name in unknown], np.bool_)
        at_bound = (theta <= self.lower) | (theta >= self.upper)
        at_bound[P:] |= (is_zero[1:] | is_zero[0]) if self.relative else is_zero
        return tuple(name for name, is_at in zip(self.names, at_bound, strict=True) if is_at)

    # Likelihood -------------------------------------------------------------------------------------------------------------

    def terms(self, theta: FloatArray, order: int = 0) -> Terms:
        """Terms of the restricted likelihood with derivatives up to `order`; NaN where theta leaves coefficients undetermined."""
        if order == 0:
            values = np.array(self._likelihood.terms(theta))
            values[:, ~np.isfinite(values).all(axis=0)] = np.nan
            return Terms(*(Expansion(value) for value in values))
        L, p = theta.shape
        shapes = [(L,), (L, p), (L, p, p)][: order + 1]
        found = [[np.full(shape, np.nan) for shape in shapes] for _ in range(2)]
        for i, at in enumerate(theta):
            try:
                expansions = _expansions(self._likelihood, at, order)
            except IdentificationError:  # NaN has no weight at ends of the range, and is an error elsewhere
                continue
            for arrays, parts in zip(found, expansions, strict=True):
                for array, part in zip(arrays, parts, strict=False):
                    array[i] = part
        return Terms(*(Expansion(*arrays) for arrays in found))

    def information(self, theta: FloatArray) -> FloatArray:
        """Expected information (L, p, p); with several penalties at the cost of dense matrices (K, K)."""
        P = self.n_weights
        if P > 1:
            return np.array([self._dense_information(at) for at in theta]).reshape(*theta.shape, theta.shape[1])
        log_det = self.terms(theta, 2).log_det
        assert log_det.gradient is not None
        assert log_det.hessian is not None
        sign = np.ones(theta.shape[1])
        sign[:P] = -1.0  # the covariance is linear in 1 / tau
        signs = np.outer(sign, sign)
        linear = Expansion(log_det.value, log_det.gradient * sign, log_det.hessian * signs)
        return information_of_scales(linear, self.count, self.relative) * signs

    def _dense_information(self, theta: FloatArray) -> FloatArray:
        """Expected information (p, p) at one theta of weights and of variances; see `information_of_scales`.

        The process has the covariance of S^-1 = (sum_j tau_j P_j)^-1 and the posterior A^-1. With D their difference,
        tr(P K_i P K_j) is tr(P_i D P_j D) of two weights, -tr(A^-1 R_g'R_g A^-1 P_j) of a variance and a weight, and
        tr(A^-1 R_g'R_g A^-1 R_h'R_h) + [g = h] (n_g - 2 tr A^-1 R_g'R_g) of two variances, each matrix with its weight.
        """
        system = self.system
        log_tau, log_sigma2 = self.logs(theta)
        G, U, P = system.n_groups, system.unknown, system.n_penalties
        scales = system.scales(log_tau, log_sigma2)
        roots = [scales[i] * system.dense_factors[i] for i in (*range(G, G + P), *range(U))]
        others = np.delete(np.arange(system.size), system.anchors)
        try:
            A = system.solve(log_tau, log_sigma2).R
        except IdentificationError:  # likewise
            return np.full((len(theta), len(theta)), np.nan)
        S = solve_stack(*system.penalized, scales[G:]).R
        posterior = [solve_transposed(A, root.T) for root in roots]
        prior = [solve_transposed(S, root[:, others].T) for root in roots[:P]]
        slopes, traces = np.zeros(P + U), np.zeros((P + U, P + U))
        for i, a in enumerate(posterior):
            slopes[i] = np.sum(a**2) - np.sum(prior[i] ** 2) if i < P else system.counts[i - P] - np.sum(a**2)
            for j, b in enumerate(posterior[: i + 1]):
                common = a.T @ b
                if i < P:
                    common -= prior[i].T @ prior[j]
                traces[i, j] = traces[j, i] = np.sum(common**2) * (-1.0 if j < P <= i else 1.0)
            if i >= P:
                traces[i, i] += 2 * slopes[i] - system.counts[i - P]
        if self.relative:
            kept = np.delete(np.arange(P + U), P)
            slopes, traces = slopes[kept], traces[np.ix_(kept, kept)] - np.outer(slopes[kept], slopes[kept]) / self.count
        return traces / 2

    # Posterior --------------------------------------------------------------------------------------------------------------

    def _posteriors(self, theta: FloatArray) -> Iterator[tuple[FloatArray, Covariance]]:
        """Coefficients (K,) and their covariance at each theta."""
        for at in theta:
            solution = self.system.solve(*self.logs(at))
            yield lifted(solution.coef, self.columns, self.offset), covariance_of(solution, self.columns)

    def moments(self, theta: FloatArray, functionals: BandRows | ProductRows) -> Moments:
        """Posterior means and variances of rows of coefficients, for s^2 = 1."""
        mean, variance = np.empty((2, len(theta), functionals.n))
        for i, (coef, covariance) in enumerate(self._posteriors(theta)):
            mean[i], variance[i] = functionals.times(coef), covariance.variance(functionals)
        return Moments(mean, variance)

    def draws(self, theta: FloatArray, functionals: BandRows | ProductRows) -> PointDraws:
        """What draws rows of coefficients at one theta (p,), less their means and for s^2 = 1."""
        _, covariance = next(self._posteriors(theta[None]))
        root = functionals.times(covariance.root())
        return lambda rng, size: rng.standard_normal((size, root.shape[1])) @ root.T

    def leverages(self, theta: FloatArray) -> FloatArray:
        """Diagonals (L, n_obs) of the smoother matrix; with correlated errors of observations made independent."""
        sigma2 = np.exp(self.logs(theta)[1])
        pairs = zip(self._posteriors(theta), sigma2, strict=True)
        return np.array([leverages_of(self.rows, covariance, own) for (_, covariance), own in pairs])

    def stream(self, theta: FloatArray, lag: int | None = None) -> BandStream:
        """A posterior at one theta (p,) that goes on; it keeps the whole curve, whatever the lag."""
        log_tau, log_sigma2 = self.logs(theta)
        solution = self.system.solve(log_tau, log_sigma2)
        return BandStream(self, np.exp(log_sigma2 / 2), Factor(solution.R, solution.z, solution.rest))


class BandStream:
    """A penalised basis at one theta that takes more observations: a triangular factor that absorbs rows.

    Observations have the names of the fit, or a known noise SD where the fit has known ones.
    """

    def __init__(self, engine: BandEngine, sd: FloatArray, factor: Factor):
        self._engine = engine
        self._sd = sd  # of each variance group
        self._factor = factor

    def append(self, data: Observations | PointObservations) -> None:
        """Take more observations, anywhere in the domain of the basis.

        Raises
        ------
        SpecificationError
            A series whose noise SD is neither given nor part of the fit, or known where s^2 is not; correlated errors.
        DataError
            x is of another kind than in the fit, or counted in another unit.
        """
        refuse_resolution(data.readings, "SplineRegression")
        engine = self._engine
        rows = engine.rows
        if any(rows.errors):
            raise SpecificationError("the errors of the fit are correlated, also with those to come; fit all observations at once")
        refuse_estimates([*data.readings, *rows.observations.readings], "a stream of a SplineRegression")
        check_variables(data, rows.basis)
        for reading in data.readings:
            sd = self._sd[self._group(reading.name, reading.sd is not None)] * np.sqrt(reading.variance_ratio)
            whole, done = rows_of_reading(rows.basis, reading, self._like_fit(data)), 0
            for part in whole.scaled(1 / sd).chunks():
                y = (reading.y / sd)[done : done + part.n]
                done += part.n
                if engine.offset is not None:
                    y = y - part.times(engine.offset)
                if engine.columns is not None:
                    part = pack(csr_array(part.sparse(rows.basis.n_basis) @ engine.columns))
                self._factor = absorb(self._factor, part, y)

    def _group(self, name: str, is_known: bool) -> int:
        """Variance group of observations of a series."""
        rows = self._engine.rows
        if rows.common and name in rows.observations.names:
            return 0
        if is_known and rows.has_known:
            return len(rows.unknown)
        if is_known or name not in rows.unknown:
            what = "a known noise SD, and the fit has none" if is_known else "no SD, and the fit estimated none for it"
            raise SpecificationError(f"{name!r} has {what}; append series of the fit, and give sd= where the fit had it")
        return rows.unknown.index(name)

    def _like_fit(self, data: Observations | PointObservations) -> Observations | PointObservations:
        """Observations in whose scale of x rows are made: those of the fit."""
        ours = self._engine.rows.observations
        if isinstance(ours, Observations) and isinstance(data, Observations):
            mine, theirs = ours.abscissa, data.abscissa
            if (mine.kind, mine.unit) != (theirs.kind, theirs.unit):
                raise DataError(
                    f"x holds {theirs.kind} values in units of {theirs.unit}, and the fit has {mine.kind} in units of {mine.unit}; "
                    "pass x of that kind, and unit= to observe"
                )
        return ours

    def moments(self, functionals: BandRows | ProductRows) -> Moments:
        """Posterior moments (1, n) of rows of coefficients, for s^2 = 1."""
        engine, (R, z, _) = self._engine, self._factor
        solution = solve_stack(R[None], z[None], np.ones(1))
        mean = functionals.times(lifted(solution.coef, engine.columns, engine.offset))
        return Moments(mean[None], covariance_of(solution, engine.columns).variance(functionals)[None])


def leverages_of(rows: Rows, covariance: Covariance, sigma2: FloatArray) -> FloatArray:
    """Diagonal of the smoother matrix (n,) at a covariance of the coefficients and variances of the groups."""
    variances = [covariance.variance(part) for part in rows.white_parts]
    return np.asarray(np.concatenate(variances) / sigma2[rows.group])


def _expansions(likelihood: RestrictedLikelihood, theta: FloatArray, order: int) -> list[list[FloatArray]]:
    """Value, gradient and at order 2 Hessian at one theta: of the determinants, and of the minimum."""
    logs = likelihood.logs(theta)
    system = likelihood.system
    solution = system.solve(*logs)
    determinants = likelihood.determinant(solution, *logs) + float(logs[1] @ system.counts)
    values = (determinants, likelihood.minimum(solution, *logs))
    slopes = [likelihood.restricted_slopes(solution, *logs, direction) for direction in likelihood.directions if order == 2]
    expansions = []
    for k, (value, gradient) in enumerate(zip(values, likelihood.parts(solution, *logs), strict=True)):
        found = [np.array(value), likelihood.directions @ gradient]
        if order == 2:
            hessian = np.array([slope[k] for slope in slopes]).reshape(likelihood.directions.shape) @ likelihood.directions.T
            found.append((hessian + hessian.T) / 2)
        expansions.append(found)
    return expansions
