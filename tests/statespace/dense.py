"""Dense algebra of y = f + X b + e, f of a covariance that is written out; and a wave to fit."""

import numpy as np


def wave(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 6, n))
    return x, np.sin(x) + 0.1 * rng.standard_normal(n)


def wiener(s, t, q):
    """Covariance of the integrated Wiener process of order 2 from zero."""
    low, high = np.minimum.outer(s, t), np.maximum.outer(s, t)
    return q * low**2 * (3 * high - low) / 6


def matern(s, t, length, amplitude):
    """Covariance of smoothness 5/2."""
    z = np.sqrt(5) * np.abs(np.subtract.outer(s, t)) / length
    return amplitude**2 * (1 + z + z**2 / 3) * np.exp(-z)


class Dense:
    """y = f + X b + e, f of covariance K, b diffuse, e of variances r."""

    def __init__(self, K, X, r, y):
        self.y, self.r, self.X = y, r, X
        self.inverse = np.linalg.inv(K + np.diag(r))
        self.information = X.T @ self.inverse @ X
        self.P = self.inverse - self.inverse @ X @ np.linalg.solve(self.information, X.T @ self.inverse)

    @property
    def llf_diffuse(self):
        logs = -np.linalg.slogdet(self.inverse)[1] + np.linalg.slogdet(self.information)[1]
        n, p = self.X.shape
        return -((n - p) * np.log(2 * np.pi) + logs + self.y @ self.P @ self.y) / 2

    @property
    def edf(self):
        return len(self.y) - self.r @ np.diag(self.P)

    @property
    def rss(self):
        return float(((self.r * (self.P @ self.y)) ** 2 / self.r).sum())

    def part(self, across, own, columns):
        """Mean and variance of a Gaussian part of covariances `across` with the observations and `own`, with columns of b."""
        coef = np.linalg.solve(self.information, self.X.T @ self.inverse @ self.y)
        left = columns - across @ self.inverse @ self.X
        mean = across @ self.inverse @ (self.y - self.X @ coef) + columns @ coef
        spread = own - np.einsum("ij,jk,ik->i", across, self.inverse, across)
        return mean, spread + np.einsum("ij,ij->i", left, np.linalg.solve(self.information, left.T).T)

    def change(self, column):
        """Estimate and standard error of the coefficient of one more column."""
        precision = column @ self.P @ column
        return column @ self.P @ self.y / precision, precision**-0.5
