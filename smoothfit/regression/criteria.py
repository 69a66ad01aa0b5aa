"""What a fit minimises, as a function of the logarithms of the penalties' weights tau_j and of the unknown variances.

With n observations of variances V, d the dimension of what no penalty touches, A as in `system` and S = sum tau_j M_j'M_j:

- ``reml``: -2 l = (n - d) log 2 pi + log|V| + log|A| - log|S|_+ + log|N'N| + min        (Patterson & Thompson 1971)
- ``ml``:   -2 l = n log 2 pi + log|V| + log|A| - log|S|_+ + log|N'N| - log|N'B'V^-1 BN| + min
- ``gcv``:  n log GCV,   GCV = n RSS / (n - edf)^2        (Craven & Wahba 1979)
- ``aicc``: n [log(RSS / n) + (n + edf) / (n - edf - 2)]        (Hurvich, Simonoff & Tsai 1998)

N is the null space. A full likelihood needs a complement of it in which the random part of the curve lies, and depends on which:
``ml`` takes the one that is orthogonal to N as observed, in the metric of the noise, (B u)'V^-1 B N = 0. So it depends neither on
the basis nor on the direction of x, and is the one of the state space. R's mgcv takes a complement U of the coefficients in its own
basis, and log|U'AU| - log|U'SU| for the determinants. Where U is orthonormal to N, its -2 l has log|N'A^-1 N| in place of
-log|N'B'V^-1 BN|, with orthonormal N.
min is the minimum of the penalised sum of squares, RSS = sum (y - Lf)^2 / variance and edf = tr A^-1 B'V^-1 B. Without any
penalty ``reml`` estimates the variances of the names: its score vanishes where sigma_g^2 = RSS_g / (n_g - tr H_gg).
The terms of N: with d entries of each function in N, at its anchors, the unit matrix, log|S|_+ - log|N'N| is the log determinant
of S without the rows and columns of the anchors, and no eigenvalue is needed.

With one series and no known noise SD, a common factor of the variance and 1/tau is left out, as in the state space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._validation import FloatArray
from ..inference.newton import PREDICTION_CRITERIA, deviance
from .band import Solution
from .system import System


@dataclass(frozen=True, eq=False)
class Criterion(ABC):
    """A function of theta: the logarithms of (tau, sigma2 of the unknown) are origin + theta @ directions."""

    system: System
    origin: FloatArray
    directions: FloatArray
    unbounded = False

    @property
    def interpolates(self) -> bool:
        """Whether it falls without bound as the weights and the SD go to zero."""
        return False

    def logs(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log_tau (..., P) and log_sigma2 (..., n_groups) of theta (..., p)."""
        P, system = self.system.n_penalties, self.system
        logs = self.origin + theta @ self.directions
        known = np.zeros((*logs.shape[:-1], system.n_groups - system.unknown))
        return logs[..., :P], np.concatenate([logs[..., P:], known], axis=-1)

    @abstractmethod
    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates theta (L, p); not finite where the observations do not determine the coefficients."""

    def scanned(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Candidates theta (L, p), moved to where they are best if that takes no search, and values; infinite if not finite."""
        return theta, self.finite_values(theta)

    def finite_values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates theta (L, p); infinite where they are not finite."""
        values = self.values(theta)
        return np.where(np.isfinite(values), values, np.inf)

    def value(self, theta: FloatArray) -> float:
        return float(self.values(theta[None])[0])

    @abstractmethod
    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient at one theta."""


class RestrictedLikelihood(Criterion):
    """-2 l_R of the rows divided by the roots of their variance ratios."""

    @property
    def count(self) -> int:
        """Number of contrasts whose density is taken."""
        return self.system.n - self.system.n_free

    def minimum(self, solution: Solution, log_tau: FloatArray, log_sigma2: FloatArray) -> float:
        """The penalised sum of squares."""
        return solution.rest + float(self.system.unfitted(log_tau, log_sigma2))

    def values(self, theta: FloatArray) -> FloatArray:
        return np.asarray(self._deviance(*self.terms(theta)))

    def terms(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All determinants and the minima (L,) at candidates theta (L, p)."""
        log_tau, log_sigma2 = self.logs(theta)
        found = self.system.values(log_tau, log_sigma2)
        determinants = self.determinants(found.log_det, log_tau, log_sigma2) + log_sigma2 @ self.system.counts
        return determinants, found.rest + self.system.unfitted(log_tau, log_sigma2)

    def scanned(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Candidates theta (L, p), with the factor of all variances and 1/tau that suits each best if all are searched, and values.

        Such a factor c leaves the minimiser as it is: -2 l = const + count log c + min / c.
        """
        system = self.system
        if not system.searches_scale(theta.shape[-1]):
            return super().scanned(theta)
        determinants, least = self.terms(theta)
        factor = least / self.count
        good = np.isfinite(determinants) & (factor > 0) & (factor < np.inf)
        log = np.log(np.where(good, factor, 1.0))
        values = np.where(good, self._deviance(determinants + self.count * log, float(self.count)), np.inf)
        return theta + log[:, None] * np.append(-np.ones(system.n_penalties), np.ones(system.unknown)), values

    def assemble(self, solution: Solution, log_tau: FloatArray, log_sigma2: FloatArray) -> float:
        """Value from a solution; where the variance is left out, at its maximising value."""
        determinant = self.determinant(solution, log_tau, log_sigma2) + float(log_sigma2 @ self.system.counts)
        return float(self._deviance(determinant, self.minimum(solution, log_tau, log_sigma2)))

    def _deviance(self, determinant: Any, least: Any) -> Any:
        """Value from all determinants and the minimum."""
        return deviance(self.count, determinant, least, self.system.scale_free)

    def determinants(self, log_det: FloatArray, log_tau: FloatArray, log_sigma2: FloatArray) -> FloatArray:
        """log|A| - log|S|_J (L,), the first being known."""
        return np.asarray(log_det - self.system.penalty_log_dets(log_tau))

    def determinant(self, solution: Solution, log_tau: FloatArray, log_sigma2: FloatArray) -> float:
        """`determinants` of one solution."""
        return float(self.determinants(np.array([solution.log_det]), log_tau[None], log_sigma2[None])[0])

    def parts(self, solution: Solution, log_tau: FloatArray, log_sigma2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradients of the determinants and of the minimum by (log_tau, log_sigma2 of the unknown)."""
        system, G, U = self.system, self.system.n_groups, self.system.unknown
        tau, precision = np.exp(log_tau), np.exp(-log_sigma2[:U])
        if system.n_penalties == 1:  # tau tr A^-1 M'M - (K - d) without the digits that cancel where tau is large
            by_penalty = np.full(1, system.n_free - float(np.exp(-log_sigma2) @ solution.trace[:G]))
        else:
            by_penalty = tau * solution.trace[G:] - system.penalty_log_det(log_tau)[1]
        by_variance = system.counts[:U] - precision * solution.trace[:U]
        rss = solution.misfit + system.rest
        least = np.concatenate([tau * rss[G:], -precision * rss[:U]])
        return np.concatenate([by_penalty, by_variance]), least

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        log_tau, log_sigma2 = self.logs(theta)
        solution = self.system.solve(log_tau, log_sigma2)
        determinants, least = self.parts(solution, log_tau, log_sigma2)
        if self.system.scale_free:
            least = self.count * (least / self.minimum(solution, log_tau, log_sigma2))
        return self.assemble(solution, log_tau, log_sigma2), self.directions @ (determinants + least)

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian at one theta, exact."""
        log_tau, log_sigma2 = self.logs(theta)
        system = self.system
        solution = system.solve(log_tau, log_sigma2)
        determinants, least = self.parts(solution, log_tau, log_sigma2)
        # Where the minimum enters by its logarithm: as a fraction of it, whose square stays in range whatever the unit of y is.
        q = self.minimum(solution, log_tau, log_sigma2) if system.scale_free else 1.0
        weight, share = self.count if system.scale_free else 1.0, least / q
        columns = []
        for direction in self.directions:
            of_det, of_least = self.restricted_slopes(solution, log_tau, log_sigma2, direction)
            column = of_det + weight * (of_least / q)
            if system.scale_free:
                column = column - weight * float(direction @ share) * share
            columns.append(self.directions @ column)
        hessian = np.array(columns).reshape(len(theta), len(theta))
        return (
            self.assemble(solution, log_tau, log_sigma2),
            self.directions @ (determinants + weight * share),
            (hessian + hessian.T) / 2,
        )

    def restricted_slopes(
        self, solution: Solution, log_tau: FloatArray, log_sigma2: FloatArray, direction: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Derivatives of the restricted `parts` along a direction of (log_tau, log_sigma2 of the unknown)."""
        system, G, U, P = self.system, self.system.n_groups, self.system.unknown, self.system.n_penalties
        tau, precision = np.exp(log_tau), np.exp(-log_sigma2[:U])
        slope = system.slope(log_tau, log_sigma2, direction)
        by_variance = precision * (direction[P:] * solution.trace[:U] - slope.trace[:U])
        if P == 1:
            by_penalty = np.full(1, float(by_variance.sum() - slope.trace[U:G].sum()))
        else:
            by_penalty = tau * (direction[:P] * solution.trace[G:] + slope.trace[G:])
            by_penalty = by_penalty - system.penalty_curvature(log_tau, direction[:P])
        of_least = np.concatenate(
            [
                tau * (direction[:P] * (solution.misfit[G:] + system.rest[G:]) + slope.misfit[G:]),
                precision * (direction[P:] * (solution.misfit[:U] + system.rest[:U]) - slope.misfit[:U]),
            ]
        )
        return np.concatenate([by_penalty, by_variance]), of_least


class FullLikelihood(RestrictedLikelihood):
    """-2 l with what no penalty touches as unknown constants.

    The random part lies in the complement orthogonal to them in the metric of the noise: the determinants are those of the
    restricted likelihood less log|N'B'V^-1 BN|. With P_g the part of N'B'V^-1 BN of group g and W their sum, its derivatives
    by the logarithms of the variances are -tr W^-1 P_g and [g = h] tr W^-1 P_g - tr W^-1 P_g W^-1 P_h.
    """

    @property
    def count(self) -> int:
        return self.system.n

    @property
    def interpolates(self) -> bool:
        """True where there are functions enough to interpolate, and no known noise SD."""
        return self.system.scale_free and self.system.size >= self.system.n

    def _seen(self, log_sigma2: FloatArray) -> FloatArray:
        """Roots (L, G, d, d) of the P_g at variances (L, G)."""
        return np.asarray(np.exp(-log_sigma2 / 2)[..., None, None] * self.system.free_factors)

    def determinants(self, log_det: FloatArray, log_tau: FloatArray, log_sigma2: FloatArray) -> FloatArray:
        """log|A| - log|S|_J - log|N'B'V^-1 BN| (L,)."""
        restricted = super().determinants(log_det, log_tau, log_sigma2)
        d = self.system.n_free
        if not d:
            return restricted
        triangle = np.linalg.qr(self._seen(log_sigma2).reshape(len(log_tau), self.system.n_groups * d, d), mode="r")
        return np.asarray(restricted - 2 * np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2))).sum(axis=1))

    def _shares(self, log_sigma2: FloatArray) -> FloatArray:
        """W^-1/2 P_g W^-1/2 of the unknown variances, (U, d, d)."""
        G, U, d = self.system.n_groups, self.system.unknown, self.system.n_free
        seen = self._seen(log_sigma2)
        triangle: FloatArray = np.asarray(np.linalg.qr(seen.reshape(G * d, d), mode="r")) if d else np.zeros((0, 0))
        roots = np.linalg.solve(triangle.T, seen[:U].transpose(0, 2, 1))
        return np.asarray(roots @ roots.transpose(0, 2, 1))

    def parts(self, solution: Solution, log_tau: FloatArray, log_sigma2: FloatArray) -> tuple[FloatArray, FloatArray]:
        determinants, least = super().parts(solution, log_tau, log_sigma2)
        slopes = np.trace(self._shares(log_sigma2), axis1=1, axis2=2)
        return determinants + np.concatenate([np.zeros(self.system.n_penalties), slopes]), least

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        value, gradient, hessian = super().hessian(theta)
        shares, by_variance = self._shares(self.logs(theta)[1]), self.directions[:, self.system.n_penalties :]
        curvature = np.diag(np.trace(shares, axis1=1, axis2=2)) - np.einsum("gij,hji->gh", shares, shares)
        return value, gradient, hessian - by_variance @ curvature @ by_variance.T


@dataclass(frozen=True, eq=False)
class PredictionCriterion(Criterion):
    """A criterion of `PREDICTION_CRITERIA`, of RSS and n - edf at relative variances; theta moves the penalties' weights alone."""

    method: str

    def score(self, log_rss: float, free: float) -> tuple[float, float, float]:
        """Value, and its derivatives by log RSS and by free = n - edf."""
        return PREDICTION_CRITERIA[self.method](self.system.n, log_rss, free)

    def residual(self, theta: FloatArray) -> tuple[float, float]:
        """RSS and n - edf."""
        log_tau, log_sigma2 = self.logs(theta)
        return residual_terms(self.system, self.system.solve(log_tau, log_sigma2), log_sigma2)

    def values(self, theta: FloatArray) -> FloatArray:
        log_tau, log_sigma2 = self.logs(theta)
        found = self.system.values(log_tau, log_sigma2, solved=True)
        G, precision = self.system.n_groups, np.exp(-log_sigma2)
        rss = np.sum(precision * (found.misfit[:, :G] + self.system.rest[:G]), axis=1)
        free = self.system.n - np.sum(precision * found.trace[:, :G], axis=1)
        return np.array([self.score(*pair)[0] for pair in zip(np.log(rss), free, strict=True)])

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        log_tau, log_sigma2 = self.logs(theta)
        rss, free = self.residual(theta)
        value, by_log_rss, by_free = self.score(np.log(rss), free)
        precision, G = np.exp(-log_sigma2), self.system.n_groups
        gradient = []
        for direction in self.directions:
            slope = self.system.slope(log_tau, log_sigma2, direction)
            gradient.append(by_log_rss * float(precision @ slope.misfit[:G]) / rss - by_free * float(precision @ slope.trace[:G]))
        return value, np.array(gradient)


LIKELIHOODS: dict[str, type[RestrictedLikelihood]] = {"reml": RestrictedLikelihood, "ml": FullLikelihood}
METHODS = (*LIKELIHOODS, *PREDICTION_CRITERIA, "fixed", "ols")


def residual_terms(system: System, solution: Solution, log_sigma2: FloatArray) -> tuple[float, float]:
    """RSS and n - edf."""
    G = system.n_groups
    precision = np.exp(-log_sigma2)
    rss = float(precision @ (solution.misfit[:G] + system.rest[:G]))
    return rss, system.n - float(precision @ solution.trace[:G])
