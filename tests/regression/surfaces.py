"""Surfaces to fit: bases, observations of values, partial derivatives and boxes; and the dense route.

The dense route: design and penalties from the bases as matrices, the restricted likelihood of y = B c + e with c normal on the
range of the penalty, in plain linear algebra.
"""

import numpy as np

import smoothfit as sf

UNEVEN = np.random.default_rng(2).uniform(0, 1, 60) ** 2
B0, B1 = sf.BSplineBasis.uniform(0, 2, 5), sf.BSplineBasis.from_data(UNEVEN, df=6, boundary=(0, 1))
BASIS = sf.TensorProductBasis(B0, B1)
BENT, BOTH = sf.DerivativePenalty(2), sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)
GRID = np.stack(np.meshgrid(np.linspace(0, 2, 9), np.linspace(0, 1, 8), indexing="ij"), axis=-1)


def f(X, deriv=(0, 0)):
    x, y = np.asarray(X, dtype=float).T
    a = [np.sin(2 * x), 2 * np.cos(2 * x), -4 * np.sin(2 * x)][deriv[0]]
    b = [np.exp(y), np.exp(y)][deriv[1]] if sum(deriv) else np.exp(y)
    return a * b


def points(n, seed=0):
    return np.random.default_rng(seed).uniform([0, 0], [2, 1], (n, 2))


def readings(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X, Z, low = points(n, seed), points(n, seed + 1), rng.uniform([0, 0], [1.7, 0.8], (20, 2))
    high = low + np.array([0.3, 0.2])
    volume = lambda lo, hi: (np.cos(2 * lo[:, 0]) - np.cos(2 * hi[:, 0])) / 2 * (np.exp(hi[:, 1]) - np.exp(lo[:, 1]))  # noqa: E731
    obs = sf.observe(X, f(X) + 0.1 * rng.standard_normal(n), name="level", weights=rng.uniform(0.5, 2, n))
    obs += sf.observe(Z, f(Z, (1, 0)) + 0.3 * rng.standard_normal(n), deriv=(1, 0), name="slope")
    obs += sf.observe(Z, f(Z, (0, 1)) + 0.2 * rng.standard_normal(n), deriv=(0, 1), sd=0.2, name="other")
    return obs + sf.observe_integral(low, high, volume(low, high) / 0.06 + 0.05 * rng.standard_normal(20), mean=True, sd=0.05)


class Dense:
    """Generalised least squares and the restricted likelihood by matrices."""

    def __init__(self, obs, basis, penalty):
        rows = []
        for reading in obs.readings:
            if reading.upper is None:
                rows += [basis.design(x[None], tuple(k), sparse=False) for x, k in zip(reading.X, reading.deriv, strict=True)]
            else:
                area = np.prod(reading.upper - reading.X, axis=1)[:, None] if reading.mean else 1.0
                rows.append(basis.integral(reading.X, reading.upper) / area)
        self.B = np.vstack(rows)
        self.y = obs.y
        terms = getattr(penalty, "penalties", (penalty,))
        self.P = [term.matrix(basis).toarray() for term in terms]
        self.ratio = np.concatenate([reading.variance_ratio for reading in obs.readings])
        sizes = [len(reading) for reading in obs.readings]
        unknown = [i for i, reading in enumerate(obs.readings) if reading.sd is None]
        index = np.repeat(np.arange(len(sizes)), sizes)
        self.masks = [index == i for i in unknown]

    def variance(self, log_sigma2):
        v = self.ratio.copy()
        for mask, log in zip(self.masks, log_sigma2, strict=True):
            v[mask] *= np.exp(log)
        return v

    def solve(self, log_tau, log_sigma2):
        v = self.variance(log_sigma2)
        S = sum(np.exp(t) * P for t, P in zip(log_tau, self.P, strict=True))
        A = self.B.T @ (self.B / v[:, None]) + S
        c = np.linalg.solve(A, self.B.T @ (self.y / v))
        return A, S, v, c

    def deviance(self, theta):
        A, S, v, c = self.solve(theta[: len(self.P)], theta[len(self.P) :])
        scaled = sum(P / np.linalg.norm(P) for P in self.P)
        values, axes = np.linalg.eigh(scaled)
        kept = values > 1e-10 * values[-1]
        U, N = axes[:, kept], axes[:, ~kept]
        logdet = lambda M: np.linalg.slogdet(M)[1]  # noqa: E731
        least = np.sum((self.y - self.B @ c) ** 2 / v) + c @ S @ c
        m = len(self.y) - N.shape[1]
        return (
            m * np.log(2 * np.pi) + np.log(v).sum() + logdet(A) - logdet(U.T @ S @ U) - logdet((self.B @ N).T @ self.B @ N) + least
        )
