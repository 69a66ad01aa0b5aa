"""A dense oracle in a hundred digits: covariances written out, one linear system, none of the kernels' formulas."""

from decimal import Decimal, getcontext
from functools import cached_property
from math import comb, factorial
from typing import NamedTuple

import mpmath
import numpy as np
import pytest

import smoothfit as sf

getcontext().prec = 100  # digits, of all decimals: those of the standard library are six times as fast as mpmath's numbers
to_digits = np.frompyfunc(Decimal, 1, 1)  # exact for doubles
with mpmath.workdps(110):
    PI = Decimal(str(+mpmath.pi))


def power(x, k):
    """x^k; one for k = 0, also of zero, which decimals refuse."""
    return x**k if k else Decimal(1)


class Table(NamedTuple):
    """Observations y of f^(deriv) at x with noise of the given variance: arrays of equal length."""

    x: np.ndarray
    y: np.ndarray
    deriv: np.ndarray
    variance: np.ndarray


def table_of(observations, sigma=None):
    """The observations of `observations`; `sigma` maps the names whose SD is unknown to theirs."""
    variance = [r.variance_ratio * (1.0 if r.sd is not None else sigma[r.name] ** 2) for r in observations.readings]
    return Table(observations.x, observations.y, observations.deriv, np.concatenate(variance))


def solve(A, b):
    """Gauss-Jordan elimination with partial pivoting: A^-1 b in the digits of its entries, and log |det A|."""
    n = len(A)
    work, log_det = np.hstack([A, b]), Decimal(0)
    for k in range(n):
        pivot = k + max(range(n - k), key=lambda i: abs(work[k + i, k]))
        work[[k, pivot]] = work[[pivot, k]]
        log_det += abs(work[k, k]).ln()
        work[k] = work[k] / work[k, k]
        for i in range(n):
            if i != k and work[i, k] != 0:
                work[i, k:] = work[i, k:] - work[i, k] * work[k, k:]
    return work[:, n:], log_det


def inverse_and_log_det(A):
    return solve(A, to_digits(np.eye(len(A))))


class DensePosterior:
    """Posterior of f given observations, f^(order) white noise of intensity q from `start` on, the polynomial there diffuse.

    The pairs (x, k) represent f^(k)(x), and for the integral of f from `start` to x where k = -1. By universal kriging:

        [K X; X' 0] [w; c] = [k; p],   mean = w'y,   variance = prior - w'k - c'p.
    """

    def __init__(self, table, order, q, start=None):
        self.table, self.order, self.q = table, order, Decimal(q)
        self.n = len(table.x)
        self.start = Decimal(min(table.x) if start is None else start)
        self.y = to_digits(np.asarray(table.y, float))
        self.rows = [self._offset(x, k) for x, k in zip(table.x, table.deriv, strict=True)]
        self.noise = to_digits(np.asarray(table.variance, float))

    def _offset(self, x, k):
        return Decimal(float(x)) - self.start, int(k)

    def _prior(self, one, other):
        """cov(f^(a)(s), f^(b)(t)) = q int_0^s v^p / p! (v + t - s)^r / r! dv for s <= t, p = m-1-a, r = m-1-b.

        One of a and b may exceed m - 1: then it is the derivative of this by s or by t, for s < t.
        """
        (s, a), (t, b) = sorted([one, other])
        p, r = self.order - 1 - a, self.order - 1 - b
        if r < 0 or r + p + 1 < 0:
            return Decimal(0)
        if p < 0:
            return self.q * (-1) ** abs(p + 1) * power(t - s, r + p + 1) / factorial(r + p + 1)
        total = sum(comb(r, i) * power(t - s, r - i) * s ** (p + i + 1) / (p + i + 1) for i in range(r + 1))
        return self.q * total / (factorial(p) * factorial(r))

    def _polynomials(self, row):
        """The observation of x^j / j!, j = 0 .. order - 1."""
        x, k = row
        return [power(x, j - k) / factorial(j - k) if j >= k else Decimal(0) for j in range(self.order)]

    @cached_property
    def design(self):
        return np.array([self._polynomials(row) for row in self.rows], dtype=object)

    @cached_property
    def covariance(self):
        K = np.empty((self.n, self.n), dtype=object)
        for i, one in enumerate(self.rows):
            for j in range(i + 1):
                K[i, j] = K[j, i] = self._prior(one, self.rows[j])
            K[i, i] += self.noise[i]
        return K

    @cached_property
    def _system(self):
        corner = to_digits(np.zeros((self.order, self.order)))
        return inverse_and_log_det(np.block([[self.covariance, self.design], [self.design.T, corner]]))

    @property
    def projector(self):
        """P = K^-1 - K^-1 X (X'K^-1 X)^-1 X'K^-1."""
        return self._system[0][: self.n, : self.n]

    def _right(self, x, k):
        row = self._offset(x, k)
        return np.array([self._prior(row, reading) for reading in self.rows] + self._polynomials(row), dtype=object)

    def moments(self, x, deriv=0):
        """Posterior means and variances of f^(deriv) at x, deriv < order."""
        means, variances = [], []
        for at in x:
            right = self._right(at, deriv)
            solved = self._system[0] @ right
            means.append(solved[: self.n] @ self.y)
            variances.append(self._prior(*[self._offset(at, deriv)] * 2) - solved @ right)
        return np.array(means, float), np.array(variances, float)

    def joint_covariance(self, pairs):
        """Posterior covariance of f^(k)(x) for pairs (x, k)."""
        rows = [self._offset(x, k) for x, k in pairs]
        right = np.array([self._right(x, k) for x, k in pairs], dtype=object)
        prior = np.array([[self._prior(a, b) for b in rows] for a in rows], dtype=object)
        return (prior - right @ self._system[0] @ right.T).astype(float)

    def shock(self, node, j):
        """Estimate and variance of a jump of f^(j) at x = node, before the observations there."""
        at = Decimal(float(node)) - self.start
        column = np.array(
            [power(x - at, j - k) / factorial(j - k) if j >= k and x >= at else Decimal(0) for x, k in self.rows], dtype=object
        )
        information = column @ self.projector @ column
        return float(column @ self.projector @ self.y / information), float(1 / information)

    def without(self, i):
        """Residual of observation i from the fit to the others, and its variance."""
        P = self.projector
        return float((P[i] @ self.y) / P[i, i]), float(1 / P[i, i])

    def mean_between(self, x, deriv):
        """Posterior means of f^(deriv) at x, none of which is read at, for any deriv."""
        weights = self._system[0][:, : self.n] @ self.y
        return np.array([self._right(at, deriv) @ weights for at in x], float)

    def integral(self, a, b):
        """Posterior mean and variance of the integral of f from a to b."""
        right = self._right(b, -1) - self._right(a, -1)
        solved = self._system[0] @ right
        start, end = self._offset(a, -1), self._offset(b, -1)
        prior = self._prior(start, start) - 2 * self._prior(start, end) + self._prior(end, end)
        return float(solved[: self.n] @ self.y), float(prior - solved @ right)

    @cached_property
    def smoother_matrix(self):
        """A with fitted values A y: I - R P."""
        return np.eye(self.n) - (self.noise[:, None] * self.projector).astype(float)

    @cached_property
    def _quadratic(self):
        return self.y @ self.projector @ self.y

    @property
    def llf_diffuse(self):
        """-1/2 [(n-m) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r], unrounded."""
        constant = (self.n - self.order) * (2 * PI).ln()
        return -(constant + self._system[1] + self._quadratic) / 2

    @property
    def llf(self):
        """llf_diffuse + 1/2 log|X'X|."""
        return self.llf_diffuse + inverse_and_log_det(self.design.T @ self.design)[1] / 2

    @property
    def llf_full(self):
        """-1/2 [n log 2 pi + log|K| + r'K^-1 r], the random part of f orthogonal to the polynomials in the metric of the noise."""
        X, R = self.design, np.diag(self.noise)
        weighted = X / self.noise[:, None]
        across = np.diag(to_digits(np.ones(self.n))) - X @ inverse_and_log_det(X.T @ weighted)[0] @ weighted.T
        K = across @ (self.covariance - R) @ across.T + R
        return -(self.n * (2 * PI).ln() + inverse_and_log_det(K)[1] + self._quadratic) / 2


def observe_mixed(x, y, deriv, sd=None, weights=None):
    """Observations with one name for each order that occurs; `sd` is one number or one for each observation."""
    total = None
    for k in np.unique(deriv):
        mine = deriv == k
        given = {"sd": sd, "weights": weights}
        given = {name: np.broadcast_to(value, len(x))[mine] for name, value in given.items() if value is not None}
        part = sf.observe(x[mine], y[mine], deriv=int(k), **given)
        total = part if total is None else total + part
    return total


def posterior_errors(res, oracle, x):
    """Worst error over all derivatives at x: of means in posterior standard deviations, of variances relative."""
    mean_error = variance_error = 0.0
    for k in range(oracle.order):
        prediction = res.get_prediction(x, deriv=k)
        mean, variance = oracle.moments(x, k)
        mean_error = max(mean_error, np.max(np.abs(prediction.predicted_mean - mean) / np.sqrt(variance)))
        variance_error = max(variance_error, np.max(np.abs(prediction.var_pred_mean / variance - 1)))
    return mean_error, variance_error


@pytest.fixture(scope="session")
def dense():
    """dense(table, order, q, start=None): the oracle."""
    return DensePosterior


@pytest.fixture(scope="session")
def table():
    """table(observations, sigma=None): what the oracle reads."""
    return table_of


@pytest.fixture(scope="session")
def observe():
    """observe(x, y, deriv, sd=None, weights=None): observations of several orders."""
    return observe_mixed


@pytest.fixture(scope="session")
def errors():
    """errors(res, oracle, x): worst error of means and of variances."""
    return posterior_errors
