"""Coverage of scales, lags and response times in a spline regression, by an independent program in plain NumPy and SciPy.

python benchmarks/sensors_dense.py [samples]

The designs are those of ``benchmarks/sensors.py``. The restricted likelihood is maximised by dense algebra; intervals are normal in
the logarithms of scale and response time and in the lag, by the Hessian there. A slow instrument shows, on each piece of a cubic
spline, the particular solution sum_m (-tau)^m f^(m) of tau z' + z = f and a decaying exponential that makes it continuous.
"""

import sys

import numpy as np
from scipy import optimize
from scipy.interpolate import BSpline

N, SD = 200, 0.3


class Cubic:
    """Cubic B-splines on even knots, with the Gram matrix of their third derivatives."""

    def __init__(self, lower, upper, n_segments):
        self.ends = np.linspace(lower, upper, n_segments + 1)
        t, self.n_basis = np.r_[[lower] * 3, self.ends, [upper] * 3], n_segments + 3
        first = [BSpline(t, unit, 3) for unit in np.eye(self.n_basis)]
        self.functions = [first, *([own.derivative(k) for own in first] for k in (1, 2, 3))]
        third = self.design((self.ends[1:] + self.ends[:-1]) / 2, 3)
        self.gram = third.T @ (third * np.diff(self.ends)[:, None])

    def design(self, x, deriv=0):
        """Rows (n, n_basis)."""
        return np.column_stack([own(x) for own in self.functions[deriv]])

    def shown(self, x):
        """What makes rows (n, n_basis + 1) of a slow instrument at x, increasing, from a response time; the last is z(x_0)."""
        borders = np.r_[x[0], self.ends[(self.ends > x[0]) & (self.ends < x[-1])]]
        near = 1e-12 * (np.arange(4) == 3)  # the third derivative jumps
        sides = [
            [self.design(at + sign * shift, k) for k, shift in enumerate(near)]
            for at, sign in ((x, 0), (borders, 1), (borders, -1))
        ]
        place = np.searchsorted(borders, x, side="right") - 1

        def rows(tau):
            own, right, left = (sum((-tau) ** k * part for k, part in enumerate(side)) for side in sides)
            rest = np.zeros((len(borders), self.n_basis + 1))
            rest[0] = np.r_[-right[0], 1.0]
            for j, gap in enumerate(np.diff(borders), 1):
                rest[j] = np.exp(-gap / tau) * rest[j - 1] + np.r_[left[j] - right[j], 0.0]
            return np.pad(own, ((0, 0), (0, 1))) + np.exp(-(x - borders[place]) / tau)[:, None] * rest[place]

        return rows


def estimate(first, y, rows, gram, start, steps, scale=None):
    """Estimate and standard errors of the last entries of p = (log lam, two log variances, ...), with the rows `rows(p)` of y[1].

    `scale`: how much of these rows there is at p, for the factor by which no series is the reference.
    """
    values, axes = np.linalg.eigh(gram)
    free = axes[:, values < 1e-9 * values[-1]]
    of_first, n_free = first.T @ first, free.shape[1]

    def rest(square, p, factor):
        seen = free.T @ (of_first * np.exp(-p[1]) + factor**2 * np.exp(-p[2]) * square) @ free
        return np.linalg.slogdet(seen)[1]

    def deviance(p):
        if abs(p[0]) > 25:
            return 1e10
        s, precisions = 1.0 if scale is None else scale(p), np.exp(-p[1:3])
        square, product = rows(p)
        A = of_first * precisions[0] + square * (s * s * precisions[1]) + np.exp(p[0]) * gram
        L = np.linalg.cholesky(A)
        seen = np.linalg.solve(L, first.T @ y[0] * precisions[0] + product * (s * precisions[1]))
        least = (y**2).sum(axis=1) @ precisions - seen @ seen
        factor = 0.0 if scale is None else rest(square, p, scale(start)) - rest(square, p, s)
        return 2 * np.log(np.diag(L)).sum() + N * p[1:3].sum() - (len(gram) - n_free) * p[0] + least + factor

    p = optimize.minimize(deviance, start, method="BFGS", options={"gtol": 1e-4}).x
    H, moves = np.empty((len(p), len(p))), np.diag(steps)
    for i, u in enumerate(moves):
        for j, v in enumerate(moves):
            H[i, j] = deviance(p + u + v) - deviance(p + u - v) - deviance(p - u + v) + deviance(p - u - v)
    H /= 4 * np.outer(steps, steps)
    return p[3:], np.sqrt(np.diag(np.linalg.inv(H / 2)))[3:]


def late(seed, basis):
    """Errors of log scale and lag, and their standard errors."""
    rng = np.random.default_rng(2 * seed)
    x, z = np.sort(rng.uniform(0, 12, (2, N)), axis=1)
    y = np.array([np.sin(x) + SD * rng.standard_normal(N), 2.5 * np.sin(z - 0.5) + SD * rng.standard_normal(N)])

    def rows(p):
        B = basis.design(z - p[4])
        return B.T @ B, B.T @ y[1]

    truth, steps = np.array([np.log(2.5), 0.5]), np.array([3e-2, 1e-2, 1e-2, 3e-3, 3e-3])
    start = np.r_[np.log(0.02), 2 * np.log([SD, SD]), truth]
    found, se = estimate(basis.design(x), y, rows, basis.gram, start, steps, lambda p: np.exp(p[3]))
    return found - truth, se


def slow(seed, basis, tau=0.5):
    """Error of the logarithm of a response time, and its standard error."""
    rng = np.random.default_rng(seed)
    x, z = np.sort(rng.uniform(0, 12, (2, N)), axis=1)
    shown = (np.sin(z) - tau * np.cos(z)) / (1 + tau**2) + rng.standard_normal() * np.exp((z[0] - z) / tau)
    y = np.array([np.sin(x) + SD * rng.standard_normal(N), shown + SD * rng.standard_normal(N)])
    make = basis.shown(z)

    def rows(p):
        B = make(np.exp(p[3]))
        return B.T @ B, B.T @ y[1]

    start, steps = np.r_[np.log(0.02), 2 * np.log([SD, SD]), np.log(tau)], np.array([3e-2, 1e-2, 1e-2, 1e-2])
    found, se = estimate(np.pad(basis.design(x), ((0, 0), (0, 1))), y, rows, np.pad(basis.gram, (0, 1)), start, steps)
    return found - np.log(tau), se


if __name__ == "__main__":
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for labels, design, basis in (
        (("log scale", "lag"), late, Cubic(-2, 14, 16)),
        (("log response time",), slow, Cubic(0, 12, 12)),
    ):
        errors, ses = np.moveaxis([design(seed, basis) for seed in range(samples)], 1, 0)
        for label, error, se in zip(labels, errors.T, ses.T, strict=True):
            z = error / se
            print(f"{label}: coverage {np.mean(np.abs(z) < 1.96):.4f}, error / SE: mean {np.mean(z):.3f}, SD {np.std(z):.3f}")
