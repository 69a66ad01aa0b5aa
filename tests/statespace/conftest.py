"""A dense oracle in a hundred digits: covariances written out, one linear system, none of the kernels' formulas."""

from functools import cached_property
from math import comb, factorial
from typing import NamedTuple

import numpy as np
import pytest
from mpmath import MPContext

MP = MPContext()
MP.dps = 100
to_mp = np.frompyfunc(MP.mpf, 1, 1)  # exact for doubles


class Table(NamedTuple):
    """Readings y of f^(deriv) at x with noise of the given variance: arrays of equal length."""

    x: np.ndarray
    y: np.ndarray
    deriv: np.ndarray
    variance: np.ndarray


def table_of(observations, sigma=None):
    """The readings of `observations`; `sigma` maps the names whose sd is unknown to theirs."""
    variance = [r.variance_ratio * (1.0 if r.sd is not None else sigma[r.name] ** 2) for r in observations.readings]
    return Table(observations.x, observations.y, observations.deriv, np.concatenate(variance))


def inverse_and_log_det(matrix):
    """Gauss-Jordan elimination with partial pivoting; the logarithm is that of the determinant's size."""
    n = len(matrix)
    work = np.hstack([matrix, to_mp(np.eye(n))])
    log_det = MP.mpf(0)
    for k in range(n):
        pivot = k + max(range(n - k), key=lambda i: abs(work[k + i, k]))
        work[[k, pivot]] = work[[pivot, k]]
        log_det += MP.log(abs(work[k, k]))
        work[k] = work[k] / work[k, k]
        for i in range(n):
            if i != k and work[i, k] != 0:
                work[i, k:] = work[i, k:] - work[i, k] * work[k, k:]
    return work[:, n:], log_det


class DensePosterior:
    """Posterior of f given readings, f^(order) white noise of intensity q from `start` on, the polynomial there diffuse.

    The pairs (x, k) stand for f^(k)(x), and for the integral of f from `start` to x where k = -1. By universal kriging:

        [K X; X' 0] [w; c] = [k; p],   mean = w'y,   variance = prior - w'k - c'p.
    """

    def __init__(self, table, order, q, start=None):
        self.table, self.order, self.q = table, order, MP.mpf(q)
        self.n = len(table.x)
        self.start = MP.mpf(min(table.x) if start is None else start)
        self.y = to_mp(np.asarray(table.y, float))
        self.rows = [self._offset(x, k) for x, k in zip(table.x, table.deriv, strict=True)]
        self.noise = to_mp(np.asarray(table.variance, float))

    def _offset(self, x, k):
        return MP.mpf(float(x)) - self.start, int(k)

    def _prior(self, one, other):
        """cov(f^(a)(s), f^(b)(t)) = q int_0^s v^p / p! (v + t - s)^r / r! dv for s <= t, p = m-1-a, r = m-1-b."""
        (s, a), (t, b) = sorted([one, other])
        p, r = self.order - 1 - a, self.order - 1 - b
        total = sum(comb(r, i) * (t - s) ** (r - i) * s ** (p + i + 1) / (p + i + 1) for i in range(r + 1))
        return self.q * total / (factorial(p) * factorial(r))

    def _polynomials(self, row):
        """The reading of x^j / j!, j = 0 .. order - 1."""
        x, k = row
        return [x ** (j - k) / factorial(j - k) if j >= k else MP.mpf(0) for j in range(self.order)]

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
        corner = to_mp(np.zeros((self.order, self.order)))
        return inverse_and_log_det(np.block([[self.covariance, self.design], [self.design.T, corner]]))

    @property
    def projector(self):
        """P = K^-1 - K^-1 X (X'K^-1 X)^-1 X'K^-1."""
        return self._system[0][: self.n, : self.n]

    def _moments(self, terms):
        """Mean and variance of the sum of weight * f^(k)(x) over terms (weight, x, k)."""
        terms = [(weight, self._offset(x, k)) for weight, x, k in terms]
        right = sum(weight * np.array([self._prior(row, r) for r in self.rows] + self._polynomials(row)) for weight, row in terms)
        solved = self._system[0] @ right
        prior = sum(v * w * self._prior(a, b) for v, a in terms for w, b in terms)
        return solved[: self.n] @ self.y, prior - solved @ right

    def moments(self, x, deriv=0):
        """Posterior means and variances of f^(deriv) at x, rounded once."""
        pairs = np.array([self._moments([(1, at, deriv)]) for at in x])
        return pairs[:, 0].astype(float), pairs[:, 1].astype(float)

    def mean(self, x):
        """The posterior mean of f at x, unrounded: an array of mpf."""
        return np.array([self._moments([(1, at, 0)])[0] for at in x])

    def integral(self, a, b):
        """Posterior mean and variance of the integral of f from a to b."""
        mean, variance = self._moments([(1, b, -1), (-1, a, -1)])
        return float(mean), float(variance)

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
        constant = (self.n - self.order) * MP.log(2 * MP.pi)
        return -(constant + self._system[1] + self._quadratic) / 2

    @property
    def llf(self):
        """llf_diffuse + 1/2 log|X'X|."""
        return self.llf_diffuse + inverse_and_log_det(self.design.T @ self.design)[1] / 2

    @property
    def llf_full(self):
        """-1/2 [n log 2 pi + log|K| + r'K^-1 r]: the state at `start` is an unknown constant."""
        return -(self.n * MP.log(2 * MP.pi) + inverse_and_log_det(self.covariance)[1] + self._quadratic) / 2


@pytest.fixture(scope="session")
def dense():
    """The oracle: dense(table, order, q, start=None)."""
    return DensePosterior


@pytest.fixture(scope="session")
def table():
    """table(observations, sigma=None): what the oracle reads."""
    return table_of
