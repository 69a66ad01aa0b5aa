"""Parameters of correlated errors, by the likelihood that chooses everything else.

With theta the parameters of all names (atanh rho, log timescale), -2 l is first minimised over smoothing and variances, then over
theta. Where the first are at their minimum, its derivative is that at fixed tau and variances,

    d/dtheta (log|C| + log|A| + min) = d log|C|/dtheta + (2 / sigma^2) [tr(A^-1 B'W'W' B) + r'W'W' r],      W' = dW/dtheta,

r = y - B c, which costs as much as one more whitening. The likelihood often has two maxima, a rough curve with independent errors
and a smooth one with correlated errors: theta is scanned first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np

from .._validation import FloatArray
from ..errors import ConvergenceError
from ..inference.newton import Minimum, best_of, differenced, minimize
from .band import BandRows
from .correlation import Markov, places
from .criteria import FullLikelihood, RestrictedLikelihood
from .fitting import Estimate
from .posterior import Banded, Covariance, Substituted
from .restricted import lifted
from .rows import Rows

LEVELS = (0.3, 0.7)  # quantiles of the values scanned of each other parameter, to start from


class Correlated(NamedTuple):
    """Estimated parameters of errors: which names have them, theta, and the Hessian of -2 l by theta, (p, p)."""

    names: tuple[int, ...]
    minimum: Minimum
    hessian: FloatArray


@dataclass(frozen=True, eq=False)
class Profile:
    """-2 l as a function of theta (p,), all else at its best.

    `fit` estimates what is left at rows with known correlations; `likelihood` is what it maximises; `tied`: whether it
    holds lam, tau times the first variance, fixed.
    """

    rows: Rows
    fit: Callable[[Rows], Estimate]
    likelihood: type[RestrictedLikelihood]
    tied: bool = False
    unbounded = False

    @property
    def names(self) -> tuple[int, ...]:
        """Indices of the names with an unknown parameter."""
        return tuple(i for i, kind in enumerate(self.rows.errors) if kind is not None and not kind.is_known)

    def at(self, theta: FloatArray) -> Rows:
        """The rows at known parameters."""
        errors = list(self.rows.errors)
        for i, value in zip(self.names, theta.tolist(), strict=True):
            kind = errors[i]
            assert isinstance(kind, Markov)
            errors[i] = kind.at(value)
        return self.rows.with_errors(tuple(errors))

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates theta (L, p); infinite where the rest cannot be estimated."""
        found = []
        for candidate in theta:
            rows = self.at(candidate)
            try:
                found.append(self._value(rows, self._at_rest(self.fit(rows))))
            except ConvergenceError:
                found.append(np.inf)
        return np.array(found)

    def _at_rest(self, fit: Estimate) -> Estimate:
        """The fit after one more Newton step: what its certificate leaves would enter the derivative by theta."""
        system, P, U = fit.system, fit.system.n_penalties, fit.system.unknown
        kept = P if system.scale_free else P + U
        if fit.minimum is None or fit.minimum.at_lower.any() or not kept:
            return fit
        directions = np.eye(P + U)[:kept]
        if self.tied:
            directions = np.hstack([np.zeros((U, P)), np.eye(U)])
            directions[0, :P] = -1.0
        criterion = self.likelihood(system, np.concatenate([fit.log_tau, fit.log_sigma2[:U]]), directions)
        _, gradient, hessian = criterion.hessian(np.zeros(len(directions)))
        log_tau, log_sigma2 = criterion.logs(np.asarray(-np.linalg.solve(hessian, gradient), dtype=np.float64))
        return replace(fit, log_tau=log_tau, log_sigma2=log_sigma2)

    def _value(self, rows: Rows, fit: Estimate) -> float:
        criterion = self.likelihood(fit.system, np.zeros(0), np.zeros((0, 0)))
        solution = fit.system.solve(fit.log_tau, fit.log_sigma2)
        value = criterion.assemble(solution, fit.log_tau, fit.log_sigma2) + rows.log_ratio
        if self.likelihood is FullLikelihood or not fit.system.n_free:
            return value
        free = fit.system.free if fit.columns is None else fit.columns @ fit.system.free
        triangle = np.linalg.qr(free, mode="r")  # on edges of the weights N has another basis
        return value - 2 * float(np.log(np.abs(np.diag(triangle))).sum())

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        rows = self.at(theta)
        fit = self._at_rest(self.fit(rows))
        system, log_sigma2 = fit.system, fit.log_sigma2
        criterion = self.likelihood(system, np.zeros(0), np.zeros((0, 0)))
        solution = system.solve(fit.log_tau, log_sigma2)
        least = criterion.minimum(solution, fit.log_tau, log_sigma2)
        weight = criterion.count / least if system.scale_free else 1.0
        coef = lifted(solution.coef, fit.columns, fit.offset)
        banded = Banded(solution.R, solution.inverse)
        free: Covariance = banded if fit.columns is None else Substituted(banded, fit.columns)
        seen = np.zeros((len(coef), 0))
        if self.likelihood is FullLikelihood and system.n_free:  # less the derivative of log|N'B'V^-1 BN|
            roots = np.exp(-log_sigma2 / 2)[:, None, None] * system.free_factors
            inner: FloatArray = np.asarray(np.linalg.qr(roots.reshape(-1, system.n_free), mode="r"))
            seen = lifted(np.asarray(np.linalg.solve(inner.T, system.free.T).T, dtype=np.float64), fit.columns, None)
        observations, gradient = rows.along_x, []
        for i in self.names:
            reading, kind = observations.readings[i], rows.errors[i]
            assert isinstance(kind, Markov)
            moving = kind.moving(places(observations, reading))
            plain = rows.band_part(i)
            white, moved = (chain.rows(plain, rows.n_coef) for chain in (moving.white, moving.slope))
            residual = reading.y / np.sqrt(reading.variance_ratio) - plain.times(coef)
            precision = np.exp(-log_sigma2[rows.group_of_name[i]])
            trace = _cross(free, white, moved) - float(np.sum(white.times(seen) * moved.times(seen)))
            change = float(moving.white.times(residual) @ moving.slope.times(residual))
            gradient.append(moving.by_log_det + 2 * precision * (trace + weight * change))
        return self._value(rows, fit), np.array(gradient)


def _cross(cov: Covariance, rows: BandRows, others: BandRows) -> float:
    """Sum of b_i'C d_i over rows b_i and d_i in the same columns."""
    both = (rows._replace(values=rows.values + sign * others.values) for sign in (1, -1))
    more, less = (cov.variance(own) for own in both)
    return float(np.sum(more - less)) / 4


def correlated(profile: Profile) -> Correlated:
    """Minimise the profile.

    Raises
    ------
    ConvergenceError
        The search did not converge.
    """
    observations = profile.rows.along_x
    kinds = [(profile.rows.errors[i], places(observations, observations.readings[i])) for i in profile.names]
    lower, upper = np.array([kind.limits(x) for kind, x in kinds if isinstance(kind, Markov)]).T
    grids = _starts([kind.scan(x) for kind, x in kinds if isinstance(kind, Markov)])
    minimum = best_of([partial(minimize, profile, grid, lower, upper) for grid in grids])
    return Correlated(profile.names, minimum, differenced(profile, minimum.theta)[2])


def _starts(scans: Sequence[FloatArray]) -> list[FloatArray]:
    """Grids along the first parameter, one for each combination of levels of the others."""
    first, *others = scans
    levels = product(*(np.quantile(scan, LEVELS).tolist() for scan in others))
    return [np.column_stack([first, *(np.full(len(first), level) for level in combination)]) for combination in levels]
