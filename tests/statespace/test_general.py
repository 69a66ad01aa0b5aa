"""The general engine against a dense oracle in fifty digits, the special engine, Gaussian processes and spline regression.

The oracle knows only a stochastic differential equation x' = A x + L w and a law of x at the first abscissa. It discretises by the
matrix exponential in fifty digits, writes the covariances of all functionals out and solves one linear system.
"""

import pickle

import numpy as np
import pytest
from mpmath import MPContext

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError

MP = MPContext()
MP.dps = 50
to_mp = np.frompyfunc(MP.mpf, 1, 1)
pri = sf.priors
MEAN, VARIANCE = 1e-10, 1e-10


def matrix(a):
    return MP.matrix(np.asarray(a, dtype=object).tolist())


def array(m):
    return np.array(m.tolist(), dtype=object).reshape(m.rows, m.cols)


def solve(a, b):
    """Gauss-Jordan elimination with partial pivoting, and log of the determinant's size."""
    n = len(a)
    work, log_det = np.hstack([a, b]), MP.mpf(0)
    for k in range(n):
        pivot = k + max(range(n - k), key=lambda i: abs(work[k + i, k]))
        work[[k, pivot]] = work[[pivot, k]]
        log_det += MP.log(abs(work[k, k]))
        work[k] = work[k] / work[k, k]
        for i in range(n):
            if i != k and work[i, k] != 0:
                work[i, k:] = work[i, k:] - work[i, k] * work[k, k:]
    return work[:, n:], log_det


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

    def row(self, deriv):
        """State row (d + 1,) of f^(deriv), or of the integral for -1."""
        if deriv < 0:
            return np.r_[MP.mpf(1), np.zeros(self.d)]
        row = self.h
        for _ in range(deriv):
            row = row @ self.A[1:, 1:]
        return np.r_[MP.mpf(0), row]

    def step(self, dt):
        n = self.d + 1
        block = np.zeros((2 * n, 2 * n), dtype=object) + MP.mpf(0)
        block[:n, :n], block[:n, n:], block[n:, n:] = -self.A, self.LL, self.A.T
        both = array(MP.expm(matrix(block * dt)))
        T = both[n:, n:].T
        return T, T @ both[:n, n:]

    def law(self, times):
        """Diffuse responses (N, n, k) and joint covariance (N, n, N, n) of the states at times."""
        n, N = self.d + 1, len(times)
        V = np.zeros((N, n, N, n), dtype=object)
        X = [self.B]
        V[0, :, 0] = self.P0
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
        self.y, self.noise = to_mp(np.asarray(y, float)), to_mp(np.asarray(variance, dtype=object))
        self.W = np.zeros((len(y), 0)) if regressors is None else np.asarray(regressors, float)
        places = [p for x, _ in readings for p in np.atleast_1d(x)]
        self.start = min(places) if start is None else start

    def moments(self, asked=()):
        every = [*self.readings, *asked]
        times = sorted({float(p) for x, _ in every for p in np.atleast_1d(x)} | {float(self.start)})
        X, V = self.process.law([MP.mpf(t) for t in times])
        N, n = len(times), self.process.d + 1
        rows = np.zeros((len(every), N, n), dtype=object) + MP.mpf(0)
        for i, (x, kind) in enumerate(every):
            if isinstance(kind, str):
                a, b = (times.index(float(p)) for p in x)
                row = self.process.row(0 if kind == "difference" else -1)
                if kind == "mean":
                    row = row / (MP.mpf(float(x[1])) - MP.mpf(float(x[0])))
                rows[i, b], rows[i, a] = row, -row
            else:
                rows[i, times.index(float(x))] = self.process.row(kind)
        flat = rows.reshape(len(every), -1)
        K = flat @ V.reshape(N * n, N * n) @ flat.T
        design = flat @ X.reshape(N * n, -1)
        W = np.vstack([self.W, np.zeros((len(asked), self.W.shape[1]))])
        design = np.hstack([design, to_mp(W)]) if W.shape[1] else design
        k, m = design.shape[1], self.n
        S = K[:m, :m].copy()
        S[range(m), range(m)] += self.noise
        corner = np.zeros((k, k), dtype=object) + MP.mpf(0)
        whole = np.block([[S, design[:m]], [design[:m].T, corner]])
        right = np.vstack([K[:m, m:], design[m:].T])
        solved, log_det = solve(whole, np.hstack([right, np.r_[self.y, np.zeros(k)][:, None], np.eye(m + k)]))
        q = len(asked)
        means = solved[:m, :q].T @ self.y
        variances = np.array([K[m + j, m + j] - solved[:, j] @ right[:, j] for j in range(q)])
        quadratic = self.y @ solved[:m, q]
        self.llf_diffuse = -(((m - k) * MP.log(2 * MP.pi)) + log_det + quadratic) / 2
        self.llf = self.llf_diffuse
        if k:
            self.llf = self.llf_diffuse + solve(design[:m].T @ design[:m], np.zeros((k, 0)))[1] / 2
        self.llf_full = -((m * MP.log(2 * MP.pi)) + solve(S, np.zeros((m, 0)))[1] + quadratic) / 2
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
    return solve(system, -LL.reshape(-1, 1))[0].reshape(n, n)


def stationary(process):
    process.P0[1:, 1:] = lyapunov(process.A[1:, 1:], process.LL[1:, 1:])
    return process


def matern(p, length, amplitude):
    from math import comb, factorial

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
        pri.Matern(2.5, length_scale=0.7, amplitude=1.3) + pri.Seasonal(1.7, q=0.3) + pri.Polynomial(0),
        together(together(matern(2, 0.7, 1.3), resonators(1.7, 1, 0.3)), chain([0], 0, B=np.eye(1))),
    ),
}


def readings_of(process_smoothness, seed, n=14):
    """Readings of values and, where they exist, of slopes; a third of the abscissae repeat, one gap is wide."""
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


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("case", CASES)
def test_values_slopes_integrals_and_likelihood(case, seed):
    prior, process = CASES[case]
    x, y, deriv, sd = readings_of(prior.smoothness, seed)
    obs = observed(x, y, deriv, sd)
    order = np.argsort(deriv, kind="stable")
    res = sf.SmoothingSpline(obs, prior=prior).fit()
    oracle = Oracle(
        process, [(x[i], int(deriv[i])) for i in order], y[order], [MP.mpf(s) ** 2 for s in sd[order]], start=x.min() - 1
    )
    # The law at the first abscissa is the stationary or diffuse one wherever that is: also where the oracle starts before.
    places = np.unique(np.concatenate([x, x[:-1] + np.diff(x) / 3, [x.min() - 1, x.max() + 1]]))
    for k in range(min(prior.smoothness, 3) + 1):
        mean, variance = oracle.moments([(p, k) for p in places])
        found = res.get_prediction(places, deriv=k)
        assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
        np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    (integral,), (variance,) = oracle.moments([((x[2] + 0.01, x[-2]), "integral")])
    found = res.integrate(x[2] + 0.01, x[-2])
    assert abs(found - integral) / np.sqrt(variance) < MEAN
    assert found.se**2 == pytest.approx(variance, rel=VARIANCE)
    (difference,), (variance,) = oracle.moments([((x[2] + 0.01, x[-2]), "difference")])
    found = res.difference(x[2] + 0.01, x[-2])
    assert abs(found - difference) / np.sqrt(variance) < MEAN
    assert found.se**2 == pytest.approx(variance, rel=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10, rel=1e-12)
    full = sf.SmoothingSpline(obs, prior=prior).fit("ml")
    if not process.B.shape[1]:
        assert full.llf == pytest.approx(float(oracle.llf_full), abs=1e-10, rel=1e-12)
