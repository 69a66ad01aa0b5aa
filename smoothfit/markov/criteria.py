"""What a fit minimises, as a function of theta: the logarithms of q and, for likelihoods, of the unknown variances.

With n observations, m the order and K, X, r as in `kernels.Terms`:

- ``reml``: -2 l_R = (n - m) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r        (restricted likelihood)
- ``ml``:   -2 l   = n log 2 pi + log|K| + r'K^-1 r
- ``gcv``:  n log GCV,   GCV = n RSS / (n - edf)^2        (Craven & Wahba 1979)
- ``aicc``: n [log(RSS / n) + (n + edf) / (n - edf - 2)]        (Hurvich, Simonoff & Tsai 1998)

The polynomial of degree m - 1 is a constant of ``ml``, and K depends on where the random part of f is taken to be zero. It is taken
orthogonal to the polynomials in the metric of the noise R: then K^-1 X = R^-1 X, and

    -2 l = n log 2 pi + (log|K| + log|X'K^-1 X|) - log|X'R^-1 X| + r'K^-1 r,

in which the term in brackets is that of ``reml`` and depends on no such choice. So neither the direction of x nor a basis matters.

RSS = sum (y - f^(k))^2 / r and edf = tr H, the trace of the smoother matrix. ``gcv`` and ``aicc`` weigh observations by known
relative precisions: where several series have an unknown noise SD, or some a known one, these come from ``reml``.
RSS and edf need no smoothing pass: they are derivatives of the filter's terms by a common factor e^c of all noise variances,
d log_det / dc = n - edf and d sse / dc = -RSS.

With one series and no known noise SD, a common factor of the variance and q is left out of theta: ``reml`` and ``ml`` are maximal
at the factor sse / (n - m) and sse / n, and ``gcv`` and ``aicc`` do not depend on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, check_choice
from ..inference.newton import DIFFERENCE, PREDICTION_CRITERIA, deviance, differenced
from .bandwidth import Resolution
from .kernels import Terms, gradient_terms, residual_terms, second_terms, terms
from .rows import Rows

MOST_EXACT = 4_000  # observations up to which a Hessian costs little beside the rest of a fit


@dataclass(frozen=True, eq=False)
class Criterion(ABC):
    """A function of theta to minimise, with exact derivatives.

    theta = log of (q, sigma2 of the unknown series), scaled as the rows are; the variance of a single unknown series is one
    and not part of theta.
    """

    rows: Rows
    order: int

    @property
    def scale_free(self) -> bool:
        """True where the only variance is unknown, so that a common factor of it and of q is left out."""
        return self.rows.n_groups == 1 and not self.rows.has_known

    @cached_property
    def directions(self) -> FloatArray:
        """Entry (i, j): how theta_i moves (log q, log sigma2_1, ...)_j; the variance of the known names stays one."""
        keep = [0, *range(1 + self.scale_free, 1 + len(self.rows.unknown))]
        return np.eye(1 + self.rows.n_groups)[keep]

    @cached_property
    def resolution(self) -> Resolution:
        """Conversions between bandwidths and q."""
        return Resolution(self.rows, self.order)

    @property
    def unbounded(self) -> bool:
        """Whether it falls without bound as q grows."""
        return False

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries of theta are the logarithms of."""
        return ("q", *self.rows.unknown[int(self.scale_free) :])

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return q (L,) and sigma2 (L, G) of candidates theta (L, p)."""
        logs = theta @ self.directions
        return np.exp(logs[:, 0]), np.exp(logs[:, 1:])

    def at(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return q and sigma2 (G,) of one theta."""
        q, sigma2 = self.split(theta[None])
        return float(q[0]), sigma2[0]

    @abstractmethod
    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates theta (L, p)."""

    @abstractmethod
    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient at one theta."""


class Likelihood(Criterion):
    """-2 log-likelihood; the restricted and the full one differ in `count` and in one determinant."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of contrasts whose density is taken."""

    @abstractmethod
    def left_out(
        self, kernel: Callable[..., Terms], q: FloatArray | float, sigma2: FloatArray, *directions: FloatArray
    ) -> FloatArray:
        """What the likelihood leaves out of log|K| + log|X'K^-1 X|, with the derivatives that `kernel` gives along `directions`."""

    def _terms(
        self, kernel: Callable[..., Terms], q: FloatArray | float, sigma2: FloatArray, *directions: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The determinant of the contrasts and r'K^-1 r, with the derivatives that `kernel` gives."""
        log_det, sse, _ = kernel(self.rows, self.order, q, sigma2, *directions)
        return log_det - self.left_out(kernel, q, sigma2, *directions), sse

    def values(self, theta: FloatArray) -> FloatArray:
        return self.assemble(*self._terms(terms, *self.split(theta)))

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        return self.scaled_gradient(theta)[:2]

    def gradient_and_sse(self, theta: FloatArray) -> tuple[float, FloatArray, float]:
        """Value, gradient, and r'K^-1 r."""
        value, gradient, _, sse = self._score(theta)
        return value, gradient, sse

    def scaled_gradient(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient, and the slopes of the log determinant: edf - m by log q, n_g - edf_g by log sigma2_g.

        At the optimum r'K^-1 r has the opposite slopes; were it one term e^-theta_i for each, these would be its curvatures.
        """
        return self._score(theta)[:3]

    def _score(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray, float]:
        """Value, gradient, slopes of the determinant, and r'K^-1 r; the last one is kept, as a search asks for it twice."""
        key = theta.tobytes()
        if key not in self._scored:
            determinant, sse = self._terms(gradient_terms, *self.at(theta), self._asked)
            if len(self._asked) < len(theta):
                determinant = np.concatenate([determinant, [self.degree - determinant[1:].sum()]])[self._places]
                sse = np.concatenate([sse, [-sse.sum()]])[self._places]
            value = float(self.assemble(determinant[:1], sse[:1])[0])
            gradient = determinant[1:] + self._sse_slope(sse[0]) * sse[1:]
            self._scored.clear()
            self._scored[key] = value, gradient, determinant[1:], float(sse[0])
        return self._scored[key]

    @cached_property
    def _asked(self) -> FloatArray:
        """The directions along which the kernels differentiate: if theta holds every variance, not that of the longest series.

        With all variances and q times e^c the determinant grows by `degree` c, and r'K^-1 r falls as e^-c, which gives its slopes.
        """
        if self.rows.has_known or self.scale_free:
            return self.directions
        return np.delete(self.directions, self._longest, axis=0)

    @cached_property
    def _longest(self) -> int:
        """The variable of the longest series."""
        return 1 + int(np.argmax(np.bincount(self.rows.group)))

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """Where value and slopes stand if those of the longest series are last."""
        return np.insert(np.arange(1 + len(self._asked)), 1 + self._longest, 1 + len(self._asked))

    @property
    def degree(self) -> float:
        """What the slopes of the determinant sum to."""
        return self.count

    @cached_property
    def _scored(self) -> dict[bytes, tuple[float, FloatArray, FloatArray, float]]:
        return {}

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian at one theta: exact for one variable or few observations, else by differences."""
        p = len(theta)
        if p > 1 and len(self.rows) > MOST_EXACT:
            return self._difference_hessian(theta)
        determinant, sse = self._terms(second_terms, *self.at(theta), self.directions)
        value = float(self.assemble(determinant[:1], sse[:1])[0])
        slope, first = self._sse_slope(sse[0]), sse[1 : 1 + p]
        hessian = (determinant[1 + p :] + slope * sse[1 + p :]).reshape(p, p)
        if self.scale_free:
            hessian = hessian - slope / sse[0] * np.outer(first, first)
        return value, determinant[1 : 1 + p] + slope * first, hessian

    def _difference_hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """The same by forward differences of scores.

        If theta holds every variance, the columns sum to the slopes of r'K^-1 r, negative, which gives that of the longest series:
        with all variances and q times e^c these slopes fall as e^-c, and those of the determinant stay.
        """
        if len(self._asked) == len(theta):
            return differenced(self, theta)
        value, gradient, scale = self.scaled_gradient(theta)
        shifts = np.delete(DIFFERENCE * np.eye(len(theta)), self._longest, axis=0)
        columns = [(self.gradient(theta + shift)[1] - gradient) / DIFFERENCE for shift in shifts]
        columns.insert(self._longest, scale - gradient - np.sum(columns, axis=0))
        return value, gradient, (np.array(columns) + np.array(columns).T) / 2

    def joint_hessian(self, q: float, sigma2: FloatArray, directions: FloatArray) -> FloatArray:
        """Hessian of -2 log-likelihood along directions of (log q, log sigma2), no factor left out: (p, p)."""
        p = len(directions)
        determinant, sse = self._terms(second_terms, q, sigma2, directions)
        return np.asarray(determinant[1 + p :] + sse[1 + p :]).reshape(p, p)

    def at_variances(self, q: float, sigma2: FloatArray) -> float:
        """-2 log-likelihood of the scaled rows at given variances, no factor left out."""
        determinant, sse = self._terms(terms, np.array([q]), sigma2[None])
        return float(deviance(self.count, determinant[0], sse[0], False))

    def common_variance(self, sse: float) -> float:
        """Maximising value of the common factor that theta leaves out."""
        return sse / self.count

    def assemble(self, determinant: FloatArray, sse: FloatArray) -> FloatArray:
        """-2 log-likelihood from its terms."""
        return np.asarray(deviance(self.count, determinant, sse, self.scale_free))

    def _sse_slope(self, sse: float) -> float:
        return self.count / sse if self.scale_free else 1.0


class RestrictedLikelihood(Likelihood):
    """-2 l_R."""

    @property
    def count(self) -> int:
        """Number of observations less the order."""
        return len(self.rows) - self.order

    def left_out(
        self, kernel: Callable[..., Terms], q: FloatArray | float, sigma2: FloatArray, *directions: FloatArray
    ) -> FloatArray:
        return np.zeros(1)


class FullLikelihood(Likelihood):
    """-2 l with the polynomials as unknown constants, the random part orthogonal to them in the metric of the noise.

    As an SD tends to zero, so does the variance of as many contrasts as its observations fix constants: the likelihood grows
    without bound. The maximum that is meant is the best one inside.
    """

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def unbounded(self) -> bool:
        """True if the SD is unknown."""
        return self.scale_free

    def left_out(
        self, kernel: Callable[..., Terms], q: FloatArray | float, sigma2: FloatArray, *directions: FloatArray
    ) -> FloatArray:
        """log|X'R^-1 X|: the kernel's log|R| + log|X'R^-1 X| at q = 0, less log|R| = sum_i log(ratio_i sigma2_i)."""
        rows = self.rows
        whole = kernel(rows, self.order, 0 * q, sigma2, *directions).log_det
        counts = np.bincount(rows.group, minlength=rows.n_groups)
        of_noise = np.zeros_like(whole)
        if not directions:
            of_noise[:] = np.log(sigma2) @ counts
        else:
            of_noise[0] = np.log(sigma2) @ counts
            of_noise[1 : 1 + len(directions[0])] = directions[0][:, 1:] @ counts  # it is linear in the logarithms
        of_noise[: 1 if directions else None] += np.log(rows.ratio).sum()
        return np.asarray(whole - of_noise)


@dataclass(frozen=True, eq=False)
class PredictionCriterion(Criterion):
    """A criterion of `PREDICTION_CRITERIA`, of RSS and n - edf at relative variances `sigma2` (G,); theta is log q alone."""

    sigma2: FloatArray
    method: str

    @cached_property
    def directions(self) -> FloatArray:
        return np.eye(1, 1 + self.rows.n_groups)

    @property
    def names(self) -> tuple[str, ...]:
        return ("q",)

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.exp(theta[:, 0]), np.repeat(self.sigma2[None], len(theta), axis=0)

    def score(self, log_rss: float, free: float) -> tuple[float, float, float]:
        """Value, and its derivatives by log RSS and by free = n - edf."""
        return PREDICTION_CRITERIA[self.method](len(self.rows), log_rss, free)

    def values(self, theta: FloatArray) -> FloatArray:
        rss, free = residual_terms(self.rows, self.order, *self.split(theta))
        return np.array([self.score(np.log(r), f)[0] for r, f in zip(rss, free, strict=True)])

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        q = float(np.exp(theta[0]))
        log_det, sse, _ = second_terms(self.rows, self.order, q, self.sigma2, 1 - self.directions, self.directions)
        value, by_log_rss, by_free = self.score(np.log(-sse[1]), log_det[1])
        return value, np.array([by_log_rss * sse[2] / sse[1] + by_free * log_det[2]])


LIKELIHOODS: dict[str, type[Likelihood]] = {"reml": RestrictedLikelihood, "ml": FullLikelihood}


def likelihood_of(method: str) -> type[Likelihood]:
    """The likelihood that estimates variances along with a method: its own, or the restricted one."""
    return LIKELIHOODS.get(method, RestrictedLikelihood)


def check_method(method: object) -> str:
    return check_choice(method.lower() if isinstance(method, str) else method, "method", (*LIKELIHOODS, *PREDICTION_CRITERIA))
