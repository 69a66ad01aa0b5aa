"""Posteriors of linear stochastic differential equations in fifty digits, by none of the engine's formulas.

The oracle knows only an equation x' = A x + L w and a law of x at the first x. It discretises by the matrix exponential, writes the
covariances of all functionals out and solves one linear system.
"""

from decimal import Decimal
from math import comb, factorial

import numpy as np
from mpmath import MPContext

import smoothfit as sf

from .conftest import PI, solve, to_digits

MP = MPContext()
MP.dps = 50
to_mp = np.frompyfunc(MP.mpf, 1, 1)
rounded = np.frompyfunc(lambda x: Decimal(MP.nstr(x, 55)) if isinstance(x, MP.mpf) else Decimal(x), 1, 1)  # decimals are faster
pri = sf.priors
# A first slope from two observations 10^-3 apart is 10^5 posterior SDs off, and is corrected later: of 16 digits some ten are left.
MEAN, VARIANCE = 1e-9, 1e-10


def product(rows, matrix):
    """rows @ matrix, where few entries of a row are not zero."""
    return np.array([row[at] @ matrix[at] for row, at in ((row, np.flatnonzero(row)) for row in rows)]) + Decimal(0)


def exponential(M):
    """exp(M): Taylor's series to fifty digits and more where the norm is below 1/32, squared."""
    squarings = max(0, int(np.ceil(np.log2(float(np.abs(M).sum(axis=1).max())))) + 5)
    M = M / 2**squarings
    term = total = to_digits(np.eye(len(M)))
    for k in range(1, 36):
        term = product(M, term) / k
        total = total + term
    for _ in range(squarings):
        total = product(total, total)
    return total


class Process:
    """x' = A x + L w, w of intensity one; f = h x; x at the start B beta + w_0, Var w_0 = P0. All given in plain numbers."""

    def __init__(self, A, L, h, B, P0):
        d = len(A)
        self.d = d
        self.A = np.zeros((d + 1, d + 1), dtype=object) + MP.mpf(0)  # the integral of f comes first
        self.A[0, 1:] = to_mp(np.asarray(h, dtype=object))
        self.A[1:, 1:] = to_mp(np.asarray(A, dtype=object))
        L = np.asarray(L, dtype=object).reshape(d, -1)
        self.LL = np.zeros((d + 1, d + 1), dtype=object) + MP.mpf(0)
        self.LL[1:, 1:] = to_mp(L @ L.T)
        self.h = to_mp(np.asarray(h, dtype=object))
        B = np.asarray(B, dtype=object).reshape(d, -1)
        self.B = np.vstack([np.zeros((1, B.shape[1])), B])
        self.P0 = np.zeros((d + 1, d + 1), dtype=object) + MP.mpf(0)
        self.P0[1:, 1:] = to_mp(np.asarray(P0, dtype=object))
        self.steps = {}

    def row(self, deriv):
        """State row (d + 1,) of f^(deriv), or of the integral for -1."""
        if deriv < 0:
            return to_digits(np.eye(self.d + 1)[0])
        row = self.h
        for _ in range(deriv):
            row = row @ self.A[1:, 1:]
        return rounded(np.r_[MP.mpf(0), row])

    def step(self, dt):
        """T and Q over dt: functionals of every kind ask for the same steps."""
        if dt not in self.steps:
            self.steps[dt] = self.discretized(dt)
        return self.steps[dt]

    def discretized(self, dt):
        n = self.d + 1
        block = np.zeros((2 * n, 2 * n), dtype=object) + Decimal(0)
        A = rounded(self.A)
        block[:n, :n], block[:n, n:], block[n:, n:] = -A, rounded(self.LL), A.T
        both = exponential(block * dt)
        T = both[n:, n:].T
        return T, T @ both[:n, n:]

    def law(self, times):
        """Diffuse responses (N, n, k) and joint covariance (N, n, N, n) of the states at times."""
        n, N = self.d + 1, len(times)
        V = np.zeros((N, n, N, n), dtype=object)
        X = [rounded(self.B)]
        V[0, :, 0] = rounded(self.P0)
        for i in range(1, N):
            T, Q = self.step(times[i] - times[i - 1])
            X.append(T @ X[-1])
            for j in range(i):
                V[i, :, j] = T @ V[i - 1, :, j]
                V[j, :, i] = V[i, :, j].T
            V[i, :, i] = T @ V[i - 1, :, i - 1] @ T.T + Q
        return np.array(X), V


class Oracle:
    """Posterior of functionals [(x, deriv), ...] or [((a, b), "integral" | "mean" | "difference"), ...]."""

    def __init__(self, process, readings, y, variance, start=None, regressors=None):
        self.process, self.readings, self.n = process, readings, len(y)
        self.y, self.noise = to_digits(np.asarray(y, float)), to_digits(np.asarray(variance, dtype=object))
        self.W = np.zeros((len(y), 0)) if regressors is None else np.asarray(regressors, float)
        places = [p for x, _ in readings for p in np.atleast_1d(x)]
        self.start = min(places) if start is None else start

    def moments(self, asked=()):
        every = [*self.readings, *asked]
        times = sorted({float(p) for x, _ in every for p in np.atleast_1d(x)} | {float(self.start)})
        X, V = self.process.law([Decimal(t) for t in times])
        N, n = len(times), self.process.d + 1
        rows = np.zeros((len(every), N, n), dtype=object) + Decimal(0)
        for i, (x, kind) in enumerate(every):
            if isinstance(kind, str):
                a, b = (times.index(float(p)) for p in x)
                row = self.process.row(0 if kind == "difference" else -1)
                if kind == "mean":
                    row = row / (Decimal(float(x[1])) - Decimal(float(x[0])))
                rows[i, b], rows[i, a] = row, -row
            else:
                rows[i, times.index(float(x))] = self.process.row(kind)
        flat = rows.reshape(len(every), -1)
        K = product(flat, product(flat, V.reshape(N * n, N * n)).T)
        design = product(flat, X.reshape(N * n, -1))
        W = np.vstack([self.W, np.zeros((len(asked), self.W.shape[1]))])
        design = np.hstack([design, to_digits(W)]) if W.shape[1] else design
        k, m = design.shape[1], self.n
        S = K[:m, :m].copy()
        S += self.noise if self.noise.ndim == 2 else np.diag(self.noise)
        corner = np.zeros((k, k), dtype=object) + Decimal(0)
        whole = np.block([[S, design[:m]], [design[:m].T, corner]])
        right = np.vstack([K[:m, m:], design[m:].T])
        solved, log_det = solve(whole, np.hstack([right, np.r_[self.y, to_digits(np.zeros(k))][:, None], to_digits(np.eye(m + k))]))
        q = len(asked)
        means = solved[:m, :q].T @ self.y
        variances = np.array([K[m + j, m + j] - solved[:, j] @ right[:, j] for j in range(q)])
        quadratic = self.y @ solved[:m, q]
        self.llf_diffuse = -(((m - k) * (2 * PI).ln()) + log_det + quadratic) / 2
        self.llf = self.llf_diffuse
        if k:
            self.llf = self.llf_diffuse + solve(design[:m].T @ design[:m], np.zeros((k, 0)))[1] / 2
        if X.shape[2] and not self.W.shape[1]:  # what wanders from a diffuse start, orthogonal to that in the metric of the noise
            noise = S - K[:m, :m]
            weighted = solve(noise, design[:m])[0]
            across = to_digits(np.eye(m)) - design[:m] @ solve(design[:m].T @ weighted, weighted.T)[0]
            S = across @ K[:m, :m] @ across.T + noise
        self.llf_full = -((m * (2 * PI).ln()) + solve(S, np.zeros((m, 0)))[1] + quadratic) / 2
        self.coef = solved[m:, q]
        self.coef_cov = -solved[m:, q + 1 + m :]
        return means.astype(float), variances.astype(float)


def chain(coefficients, intensity, B=None, P0=None):
    """State (f, f', ...): f^(d) = sum_j c_j f^(j) + white noise."""
    d = len(coefficients)
    A = np.zeros((d, d), dtype=object)
    A[:-1, 1:] = np.eye(d - 1)
    A[-1] = coefficients
    L = np.zeros(d, dtype=object)
    L[-1] = MP.sqrt(MP.mpf(intensity))
    return Process(A, L, np.eye(d)[0], np.zeros((d, 0)) if B is None else B, np.zeros((d, d)) if P0 is None else P0)


def lyapunov(A, LL):
    """Stationary covariance in fifty digits: the linear system of A P + P A' = -LL'."""
    n = len(A)
    eye = np.eye(n)
    system = np.kron(A, eye) + np.kron(eye, A)
    return to_mp(solve(rounded(system), rounded(-LL.reshape(-1, 1)))[0].astype(str)).reshape(n, n)


def stationary(process):
    process.P0[1:, 1:] = lyapunov(process.A[1:, 1:], process.LL[1:, 1:])
    return process


def matern(p, length, amplitude):
    c = MP.sqrt(2 * p + 1) / MP.mpf(length)
    d = p + 1
    coefficients = [-comb(d, i) * c ** (d - i) for i in range(d)]
    q = MP.mpf(amplitude) ** 2 * (2 * c) ** (2 * p + 1) * MP.mpf(factorial(p)) ** 2 / factorial(2 * p)
    return stationary(chain(coefficients, q))


def together(one, other):
    a, b = one.d, other.d
    A = np.zeros((a + b, a + b), dtype=object) + MP.mpf(0)
    A[:a, :a], A[a:, a:] = one.A[1:, 1:], other.A[1:, 1:]
    B = np.zeros((a + b, one.B.shape[1] + other.B.shape[1]), dtype=object)
    B[:a, : one.B.shape[1]], B[a:, one.B.shape[1] :] = one.B[1:], other.B[1:]
    P0 = np.zeros((a + b, a + b), dtype=object)
    P0[:a, :a], P0[a:, a:] = one.P0[1:, 1:], other.P0[1:, 1:]
    both = Process(A, np.zeros((a + b, 1)), np.r_[one.h, other.h], B, P0)
    both.LL[1 : a + 1, 1 : a + 1], both.LL[a + 1 :, a + 1 :] = one.LL[1:, 1:], other.LL[1:, 1:]
    return both


def resonators(period, harmonics, q):
    total = None
    for k in range(1, harmonics + 1):
        w = 2 * MP.pi * k / MP.mpf(period)
        one = chain([-(w**2), 0], 2 * MP.mpf(q) * w**2, B=np.eye(2))
        total = one if total is None else together(total, one)
    return total


tau = MP.mpf(1) / MP.mpf(0.7)
w = 2 * MP.pi / MP.mpf(1.7)
A_SDE = np.array([[-0.5, 1.0, 0.0], [-1.0, -0.5, 0.3], [0.0, 0.0, -2.0]])
L_SDE = np.array([[0.0, 0.2], [0.0, 0.0], [1.0, 0.0]])
CASES = {
    "wiener1": (pri.IntegratedWiener(1, q=0.8), chain([0], 0.8, B=np.eye(1))),
    "wiener2": (pri.IntegratedWiener(2, q=0.8), chain([0, 0], 0.8, B=np.eye(2))),
    "wiener3": (pri.IntegratedWiener(3, q=0.8), chain([0, 0, 0], 0.8, B=np.eye(3))),
    "wiener4": (pri.IntegratedWiener(4, q=0.8), chain([0, 0, 0, 0], 0.8, B=np.eye(4))),
    "matern12": (pri.Matern(0.5, length_scale=0.7, amplitude=1.3), matern(0, 0.7, 1.3)),
    "matern32": (pri.Matern(1.5, length_scale=0.7, amplitude=1.3), matern(1, 0.7, 1.3)),
    "matern52": (pri.Matern(2.5, length_scale=0.7, amplitude=1.3), matern(2, 0.7, 1.3)),
    "matern72": (pri.Matern(3.5, length_scale=0.7, amplitude=1.3), matern(3, 0.7, 1.3)),
    "ou": (pri.OrnsteinUhlenbeck(0.7, 1.3), matern(0, 0.7, 1.3)),
    "iou2": (
        pri.IntegratedOrnsteinUhlenbeck(2, length_scale=0.7, amplitude=1.5),
        chain([0, -tau], 2 * MP.mpf(2.25) * tau, B=np.eye(2)[:, :1], P0=np.diag([0.0, 2.25])),
    ),
    "iou3": (
        pri.IntegratedOrnsteinUhlenbeck(3, length_scale=0.7, amplitude=1.5),
        chain([0, 0, -tau], 2 * MP.mpf(2.25) * tau, B=np.eye(3)[:, :2], P0=np.diag([0.0, 0, 2.25])),
    ),
    "tension": (
        pri.TensionSpline(2, tension=0.9, q=1.1),
        chain([0, -MP.mpf(0.9)], 1.1, B=np.eye(2)[:, :1], P0=np.diag([0, MP.mpf(1.1) / (2 * MP.mpf(0.9))])),
    ),
    "oscillator": (
        pri.DampedOscillator(period=1.7, damping=0.1, amplitude=1.2),
        chain(
            [-(w**2), -2 * MP.mpf(0.1) * w],
            4 * MP.mpf(0.1) * w**3 * MP.mpf(1.2) ** 2,
            P0=np.diag([MP.mpf(1.2) ** 2, w**2 * MP.mpf(1.2) ** 2]),
        ),
    ),
    "seasonal": (pri.Seasonal(1.7, harmonics=2, q=0.3), resonators(1.7, 2, 0.3)),
    "sde": (
        pri.LinearSDE(A_SDE, L_SDE, q=1.0),
        stationary(Process(A_SDE, L_SDE, np.eye(3)[0], np.zeros((3, 0)), np.zeros((3, 3)))),
    ),
    "sum": (
        pri.Matern(2.5, length_scale=0.7, amplitude=1.3) + pri.Seasonal(1.7, 1, q=0.3) + pri.Polynomial(0),
        together(together(matern(2, 0.7, 1.3), resonators(1.7, 1, 0.3)), chain([0], 0, B=np.eye(1))),
    ),
}


def readings_of(process_smoothness, seed, n=11):
    """Observations of values and, where they exist, of slopes; a third of the values of x repeat, one gap is wide."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.exponential(0.4, n) * (rng.random(n) < 0.7))
    x[n // 2 :] += 1.5
    deriv = np.zeros(n, int)
    if process_smoothness >= 1:
        deriv[1::3] = 1
    if process_smoothness >= 2:
        deriv[3::7] = 2
    sd = 10.0 ** rng.uniform(-1.5, 0.3, n)
    y = rng.standard_normal(n)
    return x, y, deriv, sd


def observed(x, y, deriv, sd):
    return sum(sf.observe(x[deriv == k], y[deriv == k], deriv=int(k), sd=sd[deriv == k], name=f"d{k}") for k in np.unique(deriv))
