"""The general engine against a dense oracle in fifty digits, the special engine, Gaussian processes and spline regression.

The oracle knows only a stochastic differential equation x' = A x + L w and a law of x at the first x. It discretises by the
matrix exponential in fifty digits, writes the covariances of all functionals out and solves one linear system.
"""

import itertools
import pickle
from decimal import Decimal
from math import comb, factorial

import numpy as np
import pytest
from mpmath import MPContext

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError
from smoothfit.statespace.general_search import GeneralCriterion
from smoothfit.statespace.specification import Specification

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


SLOW = {"wiener4", "matern72", "iou3", "seasonal", "sum"}  # matrices of fifty digits


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in CASES])
def test_values_slopes_integrals_and_likelihood(case, seed):
    prior, process = CASES[case]
    x, y, deriv, sd = readings_of(prior.smoothness, seed)
    obs = observed(x, y, deriv, sd)
    order = np.argsort(deriv, kind="stable")
    res = sf.SmoothingSpline(obs, prior=prior).fit()
    oracle = Oracle(
        process, [(x[i], int(deriv[i])) for i in order], y[order], [Decimal(s) ** 2 for s in sd[order]], start=x.min() - 1
    )
    # The law at the first x is the stationary or diffuse one wherever that is: also where the oracle starts before.
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


# Observations of other kinds ---------------------------------------------------------------------------------------------


def kinds_of_readings(rng):
    """Overlapping integrals and means, differences that overlap, values; and the same for the oracle."""
    lower, length = rng.uniform(0, 4, 6), rng.uniform(0.2, 2, 6)
    upper = lower + length
    a, b = np.array([0.5, 1.0, 1.0, 3.0]), np.array([2.5, 1.7, 4.0, 5.0])
    x = np.array([0.0, 1.0, 2.2, 2.2, 6.0])
    sd = rng.uniform(0.05, 0.5, 15)
    y = rng.standard_normal(15)
    obs = sf.observe_integral(lower[:3], upper[:3], y[:3], sd=sd[:3])
    obs = obs + sf.observe_integral(lower[3:], upper[3:], y[3:6], mean=True, sd=sd[3:6])
    obs = obs + sf.observe_difference(a, b, y[6:10], sd=sd[6:10]) + sf.observe(x, y[10:], sd=sd[10:])
    readings = [((p, q), "integral") for p, q in zip(lower[:3], upper[:3], strict=True)]
    readings += [((p, q), "mean") for p, q in zip(lower[3:], upper[3:], strict=True)]
    readings += [((p, q), "difference") for p, q in zip(a, b, strict=True)] + [(p, 0) for p in x]
    return obs, readings, y, sd


@pytest.mark.parametrize(
    "case", ["wiener2", "matern32", "iou2", *(pytest.param(case, marks=pytest.mark.slow) for case in ("seasonal", "sum"))]
)
def test_overlapping_integrals_means_and_differences(case):
    prior, process = CASES[case]
    obs, readings, y, sd = kinds_of_readings(np.random.default_rng(3))
    res = sf.SmoothingSpline(obs, prior=prior).fit()
    oracle = Oracle(process, readings, y, [Decimal(s) ** 2 for s in sd])
    places = np.linspace(-0.5, 6.5, 9)
    mean, variance = oracle.moments([(p, 0) for p in places])
    found = res.get_prediction(places)
    assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
    np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10, rel=1e-12)
    fitted, variance = oracle.moments(readings)
    np.testing.assert_allclose(res.fittedvalues, fitted, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(res._leverage, variance / sd**2, rtol=1e-9)


def correlated(rng, shape, m):
    """Covariances (*shape, m, m) of noise with correlations of all sizes."""
    root = rng.standard_normal((*shape, m, m)) * 10.0 ** rng.uniform(-1, 0, (*shape, m, 1))
    return root @ np.swapaxes(root, -1, -2)


def joint_readings(case, rng, n=6):
    """Values and slopes with a covariance at each x, of which one repeats; two values with an SD of their own."""
    x = np.sort(rng.uniform(0, 5, n))
    x[2] = x[1]
    y, covariance = rng.standard_normal((2, n)), correlated(rng, (n,), 2)
    obs = sf.observe(x, y[0], name="a") + sf.observe(x, y[1], deriv=1, name="b")
    obs = obs + sf.observe([x[1], 2.5], [0.3, -0.4], sd=0.2, name="c")
    noise = np.zeros((2 * n + 2, 2 * n + 2))
    rows = np.arange(n)[:, None] + [0, n]
    noise[rows[:, :, None], rows[:, None, :]] = covariance
    noise[range(2 * n, 2 * n + 2), range(2 * n, 2 * n + 2)] = 0.2**2
    oracle = Oracle(CASES[case][1], [(p, k) for k in (0, 1) for p in x] + [(x[1], 0), (2.5, 0)], obs.y, noise)
    return obs, {("a", "b"): covariance}, oracle


@pytest.mark.parametrize("case", ["wiener2", "matern52", "iou2"])
def test_readings_of_two_names_with_a_covariance(case):
    obs, covariances, oracle = joint_readings(case, np.random.default_rng(8))
    prior = CASES[case][0]
    res = sf.SmoothingSpline(obs, prior=prior, covariances=covariances).fit()
    places = np.linspace(-0.5, 5.5, 7)
    for k in range(2):
        mean, variance = oracle.moments([(p, k) for p in places])
        found = res.get_prediction(places, deriv=k)
        assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
        np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10, rel=1e-12)
    # What is fitted is in the user's observations.
    fitted, variance = oracle.moments(oracle.readings)
    full = sf.SmoothingSpline(obs, prior=prior, covariances=covariances).fit("ml")
    assert full.llf == pytest.approx(float(oracle.llf_full), abs=1e-10, rel=1e-12)
    noise = np.diag(oracle.noise).astype(float)
    np.testing.assert_allclose(res.fittedvalues, fitted, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(res.resid_standardized, (obs.y - fitted) / np.sqrt(noise - variance), rtol=1e-8)
    np.testing.assert_allclose(res.sigma["a"] ** 2, covariances["a", "b"][:, 0, 0].mean())


def test_leave_one_out_knows_the_partner():
    obs, covariances, _ = joint_readings("matern52", np.random.default_rng(9))
    prior, C = CASES["matern52"][0], covariances["a", "b"]
    res = sf.SmoothingSpline(obs, prior=prior, covariances=covariances).fit()
    a, b, n = obs["a"], obs["b"], len(obs["a"])
    for i in range(n):
        rest = np.arange(n) != i
        part = sf.observe(a.x[rest], a.y[rest], name="a") + sf.observe(b.x[rest], b.y[rest], deriv=1, name="b")
        part = part + sf.observe(obs["c"].x, obs["c"].y, sd=0.2, name="c")
        part = part + sf.observe(a.x[i], a.y[i], sd=C[i, 0, 0] ** 0.5, name="d")
        without = sf.SmoothingSpline(part, prior=prior, covariances={("a", "b"): C[rest]}).fit()
        noise = C[i, 1, 0] / C[i, 0, 0] * (a.y[i] - without.predict(a.x[i]))
        assert res.loo_resid[n + i] == pytest.approx(b.y[i] - without.predict(b.x[i], deriv=1) - noise, rel=1e-8)
    last = sf.observe(2.5, -0.4, sd=0.2, name="c")
    part = sf.observe(a.x, a.y, name="a") + sf.observe(b.x, b.y, deriv=1, name="b") + sf.observe(a.x[1], 0.3, sd=0.2, name="c")
    without = sf.SmoothingSpline(part, prior=prior, covariances=covariances).fit()
    assert res.loo_resid[-1] == pytest.approx(last.y[0] - without.predict(2.5), rel=1e-8)


def test_a_covariance_of_three_names_of_one_order_is_their_best_mean():
    """Three observations of f with one covariance say of f what their generalised mean says."""
    rng = np.random.default_rng(4)
    x, y, C = np.linspace(0, 3, 20), rng.standard_normal((3, 20)), correlated(rng, (), 3)
    weights = np.linalg.solve(C, np.ones(3))
    obs = sum(sf.observe(x, row, name=name) for row, name in zip(y, "abc", strict=True))
    res = sf.SmoothingSpline(obs, order=2, covariances={("a", "b", "c"): C}).fit()
    mean = sf.SmoothingSpline(sf.observe(x, weights @ y / weights.sum(), sd=weights.sum() ** -0.5), order=2).fit()
    assert res.q == pytest.approx(mean.q, rel=1e-4)
    fixed = sf.SmoothingSpline(obs, order=2, covariances={("c", "a", "b"): C[np.ix_([2, 0, 1], [2, 0, 1])]})
    again = fixed.fit(lam=1 / mean.q)
    np.testing.assert_allclose(again.predict(x), mean.predict(x), rtol=1e-9, atol=1e-10)
    assert again.edf == pytest.approx(mean.edf, rel=1e-9)
    assert fixed.fit(edf=6.0).edf == pytest.approx(6.0, rel=1e-9)
    assert "covariances: of the noise of c, a, b" in str(again.summary())


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # the observations are random numbers about no curve
def test_a_diagonal_covariance_is_known_sds():
    rng = np.random.default_rng(5)
    x, y = np.sort(rng.uniform(0, 5, 30)), rng.standard_normal((2, 30))
    sd = rng.uniform(0.1, 0.4, (30, 2))
    other = sf.observe(x + 0.01, y[0] / 2, name="c")
    free = sf.observe(x, y[0], name="a") + other + sf.observe(x, y[1], deriv=1, name="b")
    known = sf.observe(x, y[0], sd=sd[:, 0], name="a") + other + sf.observe(x, y[1], deriv=1, sd=sd[:, 1], name="b")
    options = {"prior": pri.Matern(2.5), "regressors": {"w": np.sin(np.arange(90.0))}, "interventions": [sf.Level(2.0)]}
    joint = {("b", "a"): sd[:, ::-1, None] ** 2 * np.eye(2)}
    res = sf.SmoothingSpline(free, **options, covariances=joint).fit()
    plain = sf.SmoothingSpline(known, **options).fit()
    np.testing.assert_allclose(res.params, plain.params, rtol=1e-6)
    assert res.llf == pytest.approx(plain.llf, abs=1e-9)
    np.testing.assert_allclose(res.loo_resid, plain.loo_resid, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("covariances", "error", "message"),
    [
        ({"ab": np.eye(2)}, SpecificationError, "pass a tuple"),
        ({("a", "a"): np.eye(2)}, SpecificationError, "different names"),
        ({("a", "z"): np.eye(2)}, SpecificationError, "named a, b, short, moved, known, bins"),
        ({("a", "b"): np.eye(2), ("b", "moved"): np.eye(2)}, SpecificationError, "'b' has a covariance already"),
        ({("a", "known"): np.eye(2)}, SpecificationError, "sd of 'known' are given"),
        ({("a", "bins"): np.eye(2)}, SpecificationError, "the integral of f cannot have a covariance"),
        ({("a", "short"): np.eye(2)}, DataError, "9 observations of 'a', but 8 of 'short'"),
        ({("a", "moved"): np.eye(2)}, DataError, r"observation 4 of 'a' is at x = 4, that of 'moved' at 4.5"),
        ({("a", "b"): np.eye(3)}, DataError, r"shape \(3, 3\); pass \(2, 2\), or \(9, 2, 2\)"),
        ({("a", "b"): np.full((2, 2), np.nan)}, DataError, "not finite"),
        ({("a", "b"): -np.eye(2)}, DataError, "not all positive"),
        ({("a", "b"): [[1.0, 0.5], [0.4, 1.0]]}, DataError, "not symmetric"),
        (
            {("a", "b"): np.where(np.arange(9) == 3, 2.0, 0.5)[:, None, None] ** (1 - np.eye(2))},
            DataError,
            r"\[3\] .* positive definite",
        ),
    ],
)
def test_covariances_that_are_none(covariances, error, message):
    x = np.arange(9.0)
    obs = sf.observe(x, x, name="a") + sf.observe(x, x, deriv=1, name="b") + sf.observe(x[1:], x[1:], name="short")
    obs = obs + sf.observe(np.where(x == 4, 4.5, x), x, name="moved") + sf.observe(x, x, sd=1.0, name="known")
    obs = obs + sf.observe_integral(x, x + 1, x, name="bins")
    with pytest.raises(error, match=message):
        sf.SmoothingSpline(obs, order=3, covariances=covariances)


def test_full_likelihood_takes_what_wanders_orthogonal_to_the_unknown_start():
    prior, process = CASES["iou2"]
    x, y, deriv, sd = readings_of(1, 5)
    res = sf.SmoothingSpline(observed(x, y, deriv, sd), prior=prior).fit("ml")
    order = np.argsort(deriv, kind="stable")
    oracle = Oracle(process, [(x[i], int(deriv[i])) for i in order], y[order], [Decimal(s) ** 2 for s in sd[order]])
    oracle.moments()
    assert res.llf == pytest.approx(float(oracle.llf_full), abs=1e-10)


def test_regressors_and_interventions_are_exactly_diffuse():
    rng = np.random.default_rng(1)
    prior, process = CASES["matern32"]
    x = np.sort(rng.uniform(0, 5, 14))
    w = rng.standard_normal(14)
    y, sd = rng.standard_normal(14), rng.uniform(0.1, 0.4, 14)
    obs = sf.observe(x, y, sd=sd)
    changes = [sf.Pulse(x[3]), sf.Level(2.0), sf.Slope(3.0)]
    res = sf.SmoothingSpline(obs, prior=prior, regressors={"w": w}, interventions=changes).fit()
    columns = np.column_stack([w, x == x[3], x >= 2.0, np.maximum(x - 3.0, 0)])
    oracle = Oracle(process, [(p, 0) for p in x], y, [Decimal(s) ** 2 for s in sd], regressors=columns)
    oracle.moments()
    np.testing.assert_allclose(res.params.to_numpy(), oracle.coef.astype(float), rtol=1e-10)
    np.testing.assert_allclose(res.cov_params().to_numpy(), oracle.coef_cov.astype(float), rtol=1e-9, atol=1e-12)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10)
    assert list(res.params.index) == ["w", f"pulse({x[3]:.10g})", "level(2)", "slope(3)"]
    test = res.t_test("w")
    assert float(test.tvalue.squeeze()) == pytest.approx(res.params["w"] / res.bse["w"], rel=1e-10)
    combined = res.t_test("level(2) = 1, w = 2 * slope(3)")
    rows = np.array([[0, 0, 1, 0], [1, 0, 0, -2]])
    errors = np.sqrt(np.diag(rows @ res.cov_params().to_numpy() @ rows.T))
    np.testing.assert_allclose(combined.tvalue.ravel(), (rows @ res.params.to_numpy() - [1, 0]) / errors, rtol=1e-10)
    # The curve includes what changes it, and not the regressor.
    total = sum(res.predict(x, component=name) for name in ["matern", "level(2)", "slope(3)", f"pulse({x[3]:.10g})"])
    np.testing.assert_allclose(res.predict(x), total, atol=1e-12)
    np.testing.assert_allclose(res.fittedvalues, total + res.params["w"] * w, atol=1e-12)


def test_noise_process_of_one_name():
    rng = np.random.default_rng(2)
    x, z = np.sort(rng.uniform(0, 5, 12)), np.sort(rng.uniform(0, 5, 10))
    y, sd = rng.standard_normal(22), rng.uniform(0.1, 0.4, 22)
    obs = sf.observe(x, y[:12], sd=sd[:12], name="a") + sf.observe(z, y[12:], sd=sd[12:], name="b")
    prior, process = CASES["wiener2"]
    res = sf.SmoothingSpline(obs, order=2, prior=prior, noise={"b": pri.OrnsteinUhlenbeck(0.7, 1.3)}).fit()

    class Both(Process):
        def row(self, deriv):  # 0 is f, 1 is f and the noise of b
            row = Process.row(self, 0)
            if deriv == 0:
                row[3:] = Decimal(0)
            return row

    whole = together(process, matern(0, 0.7, 1.3))
    whole.__class__ = Both
    oracle = Oracle(whole, [(p, 0) for p in x] + [(p, 1) for p in z], y, [Decimal(s) ** 2 for s in sd])
    places = np.linspace(0, 5, 7)
    mean, variance = oracle.moments([(p, 0) for p in places])
    found = res.get_prediction(places)
    assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
    np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10)


# Other engines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_integrated_wiener_is_the_special_engine(order):
    rng = np.random.default_rng(order)
    x, y, deriv, sd = readings_of(order - 1, 7, n=40)
    obs = observed(x, y, deriv, sd)
    with np.errstate(all="ignore"):
        fast = sf.SmoothingSpline(obs, order=order).fit(lam=2.0)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(order, q=0.5)).fit()
    assert res.llf == pytest.approx(fast.llf, abs=1e-9)
    places = np.r_[x, rng.uniform(x.min() - 1, x.max() + 1, 20)]
    for k in range(order):
        one, other = res.get_prediction(places, deriv=k), fast.get_prediction(places, deriv=k)
        assert np.max(np.abs(one.predicted_mean - other.predicted_mean) / other.se_mean) < 1e-9
        np.testing.assert_allclose(one.var_pred_mean, other.var_pred_mean, rtol=1e-9)
    a, b = res.integrate(x[1], x[-1] + 1), fast.integrate(x[1], x[-1] + 1)
    assert a == pytest.approx(float(b), rel=1e-9)
    assert a.se == pytest.approx(b.se, rel=1e-9)
    np.testing.assert_allclose(res.loo_resid, fast.loo_resid, rtol=1e-7)
    assert res.edf == pytest.approx(fast.edf, rel=1e-9)


pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_estimates_of_the_special_engine(method):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 10, 80))
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(80)) + sf.observe(
        x[::2], np.cos(x[::2]) + 0.3 * rng.standard_normal(40), deriv=1
    )
    fast = sf.SmoothingSpline(obs, order=3).fit(method)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(3)).fit(method)
    assert res.llf == pytest.approx(fast.llf, abs=1e-7 if method == "reml" else 1e-6)
    np.testing.assert_allclose(res.params[fast.params.index], fast.params, rtol=1e-4)
    np.testing.assert_allclose(res.bse[fast.params.index], fast.bse, rtol=1e-3)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
@pytest.mark.parametrize("mean", ["zero", "constant"])
def test_matern_is_the_dense_gaussian_process(nu, mean):
    rng = np.random.default_rng(int(nu))
    x = rng.uniform(0, 4, 40)
    y = np.sin(2 * x) + 0.1 * rng.standard_normal(40)
    kernel = {0.5: sf.gp.Matern12, 1.5: sf.gp.Matern32, 2.5: sf.gp.Matern52}[nu]
    gp = sf.GaussianProcess(x, y, kernel=kernel(length_scale=0.6, amplitude=1.2), sd=0.1, mean=mean).fit(route="dense")
    prior = pri.Matern(nu, length_scale=0.6, amplitude=1.2)
    res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1), prior=prior if mean == "zero" else prior + pri.Polynomial(0)).fit()
    places = np.linspace(-1, 5, 31)
    dense = gp.get_prediction(places)
    found = res.get_prediction(places)
    np.testing.assert_allclose(found.predicted_mean, dense.predicted_mean, atol=1e-9)
    np.testing.assert_allclose(found.se_mean, dense.se_mean, rtol=1e-9)
    assert res.llf == pytest.approx(gp.llf, abs=1e-9)
    if nu > 1:
        np.testing.assert_allclose(res.predict(places, deriv=1), gp.predict_gradient(places).mean[:, 0], atol=1e-9)


def test_integrals_are_those_of_spline_regression():
    rng = np.random.default_rng(4)
    edges = np.linspace(0, 5, 21)
    y = np.array([np.cos(a) - np.cos(b) for a, b in itertools.pairwise(edges)]) + 0.01 * rng.standard_normal(20)
    obs = sf.observe_integral(edges[:-1], edges[1:], y, sd=0.02)
    q = 1.5
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(2, q=q)).fit()
    # The posterior mean is a spline of degree 4 with knots at the edges.
    basis = sf.BSplineBasis(np.r_[[0] * 4, edges, [5] * 4], degree=4)
    fit = sf.SplineRegression(obs, basis, penalty=sf.DerivativePenalty(2)).fit(lam=1 / q)
    places = np.linspace(0, 5, 41)
    np.testing.assert_allclose(res.predict(places), fit.predict(places), atol=1e-9)


# Properties ----------------------------------------------------------------------------------------------------------


def periodic_readings():
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 3, 25)
    return x, np.sin(2 * np.pi * x / 2.0) + 0.1 * rng.standard_normal(25)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_periodic_spline_is_the_fourier_solution(order):
    x, y = periodic_readings()
    T, sd = 2.0, 0.1
    obs = sf.observe(x, y, sd=sd)
    model = sf.SmoothingSpline(obs, order=order, prior=None, period=T)
    res = model.fit()
    q = res.q
    # Dense: a free constant, and the periodic kernel q sum_k 2 / (T w_k^(2m)) cos w_k r as a Bernoulli polynomial.
    factor = (-1) ** (order + 1) * q * T ** (2 * order - 1) / factorial(2 * order)
    kernel = np.vectorize(lambda r: factor * float(MP.bernpoly(2 * order, (r / T) % 1.0)))
    K = kernel(x[:, None] - x) + sd**2 * np.eye(len(x))
    places = np.linspace(-1, 4, 23)
    one = np.ones(len(x))
    Ki = np.linalg.inv(K)
    level = one @ Ki @ y / (one @ Ki @ one)
    mean = level + kernel(places[:, None] - x) @ Ki @ (y - level)
    np.testing.assert_allclose(res.predict(places), mean, atol=1e-9)
    P = Ki - np.outer(Ki @ one, Ki @ one) / (one @ Ki @ one)
    _, log_det = np.linalg.slogdet(K)
    expected = -0.5 * ((len(x) - 1) * np.log(2 * np.pi) + log_det + np.log(one @ Ki @ one / len(x)) + y @ P @ y)
    assert res.llf == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose(res.predict(places), res.predict(places + T), atol=1e-10)


def test_leave_one_out_is_refitting():
    x, y, deriv, sd = readings_of(1, 9, n=16)
    prior = CASES["sum"][0]
    obs = observed(x, y, deriv, sd)
    res = sf.SmoothingSpline(obs, prior=prior).fit()
    order = np.argsort(deriv, kind="stable")
    for i in (0, 5, 15):
        keep = np.delete(order, i)
        rest = sf.SmoothingSpline(observed(x[keep], y[keep], deriv[keep], sd[keep]), prior=prior).fit()
        j = order[i]
        assert res.loo_resid[i] == pytest.approx(y[j] - rest.predict(x[j : j + 1], deriv=int(deriv[j]))[0], rel=1e-8)


@pytest.mark.parametrize("case", ["matern52", "oscillator", "sde"])
def test_stationary_priors_do_not_know_the_direction_of_time(case):
    prior = CASES[case][0]
    if case == "sde":
        prior = pri.LinearSDE([[0.0, 1.0], [-4.0, -0.5]], [0.0, 1.0], q=1.0)
    x, y, deriv, sd = readings_of(1, 10)
    res = sf.SmoothingSpline(observed(x, y, deriv, sd), prior=prior).fit()
    back = sf.SmoothingSpline(observed(-x, y * (-1.0) ** deriv, deriv, sd), prior=prior).fit()
    places = np.linspace(-1, 6, 15)
    np.testing.assert_allclose(res.predict(places), back.predict(-places), atol=1e-9)
    assert res.llf == pytest.approx(back.llf, abs=1e-10)


@pytest.mark.parametrize(
    "prior",
    [
        pri.Matern(2.5) + pri.Polynomial(0),
        pri.TensionSpline(2),
        pri.DampedOscillator() + pri.Polynomial(0),
        pri.IntegratedWiener(2),
    ],
    ids=["matern", "tension", "oscillator", "wiener"],
)
def test_estimates_do_not_depend_on_units(prior):
    rng = np.random.default_rng(11)
    x = np.sort(rng.uniform(0, 8, 60))
    y = np.sin(2.5 * x) + 0.2 * rng.standard_normal(60)
    res = sf.SmoothingSpline(sf.observe(x, y), prior=prior).fit()
    # powers of two: the same numbers to the last bit
    a, b = 2.0**-7, 2.0**5
    other = sf.SmoothingSpline(sf.observe(a * x, b * y), prior=prior).fit()
    assert np.array_equal(b * res.predict(x), other.predict(a * x))
    units = np.array([a**p.x_power * b**p.f_power for p in res.model.specification.hyperparameters])
    np.testing.assert_array_equal(
        other.params[list(res.fitted.posterior.hyperparameters)],
        np.array(list(res.fitted.posterior.hyperparameters.values())) * units,
    )
    assert other.llf - res.llf == pytest.approx(-(60 - res.model.specification.n_diffuse) * np.log(b), abs=1e-8)


def test_scores_are_exact():
    rng = np.random.default_rng(12)
    x = np.sort(rng.uniform(0, 8, 50))
    y = np.sin(2.5 * x) + 0.2 * rng.standard_normal(50)
    prior = pri.DampedOscillator() + pri.Matern(1.5) + pri.Seasonal(0.7, 1) + pri.TensionSpline(2)

    model = Specification(sf.observe(x, y) + sf.observe_integral(x[:20], x[5:25], y[:20]), prior, {"w": rng.standard_normal(70)})
    theta = np.array([(p.first + p.last) / 2 for p in model.parameters])
    for method in ("reml", "ml"):
        criterion = GeneralCriterion(model, method)
        _, gradient = criterion.gradient(theta)
        for i, slope in enumerate(gradient):
            h = 1e-3 * np.eye(len(theta))[i]
            v = criterion.values(np.array([theta + 2 * h, theta + h, theta - h, theta - 2 * h]))
            numeric = (8 * (v[1] - v[2]) - (v[0] - v[3])) / 12e-3
            assert slope == pytest.approx(numeric, rel=1e-6, abs=1e-7)


def test_draws_have_the_posterior_moments():
    x, y, deriv, sd = readings_of(1, 13)
    res = sf.SmoothingSpline(observed(x, y, deriv, sd), prior=CASES["sum"][0]).fit()
    places = np.linspace(-0.5, 5, 6)
    f, slope = res.sample(places, deriv=[0, 1], size=4000, rng=1)
    for draws, k in ((f, 0), (slope, 1)):
        found = res.get_prediction(places, deriv=k)
        assert np.abs((draws.mean(axis=0) - found.predicted_mean) / found.se_mean).max() < 4.5 / np.sqrt(4000)
        assert np.abs(draws.var(axis=0) / found.var_pred_mean - 1).max() < 4.5 * np.sqrt(2 / 4000)
    np.testing.assert_array_equal(res.sample(places, size=7, rng=3), res.sample(places, size=20, rng=3)[:7])


def test_large_states_take_the_general_path():
    """Beyond eight components the kernel's loops have run-time bounds: against generalised least squares, and the score."""

    rng = np.random.default_rng(18)
    n, p = 60, 9
    x = np.sort(rng.uniform(0, 10, n))
    W = rng.standard_normal((n, p))
    y = np.sin(x) + W @ np.arange(p) / 5 + 0.1 * rng.standard_normal(n)
    columns = {f"w{j}": W[:, j] for j in range(p)}
    res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1), prior=pri.Matern(1.5, 1.0, 1.2), regressors=columns).fit()
    r = np.sqrt(3) * np.abs(x[:, None] - x)
    K = 1.44 * (1 + r) * np.exp(-r) + 0.01 * np.eye(n)
    root = np.linalg.cholesky(K)
    A, b = np.linalg.solve(root, W), np.linalg.solve(root, y)
    coef, rss = np.linalg.lstsq(A, b)[:2]
    np.testing.assert_allclose(res.params, coef, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(res.cov_params(), np.linalg.inv(A.T @ A), rtol=1e-8, atol=1e-12)
    log_det = 2 * np.log(np.diag(root)).sum() + np.linalg.slogdet(A.T @ A)[1] - np.linalg.slogdet(W.T @ W)[1]
    assert res.llf == pytest.approx(-0.5 * ((n - p) * np.log(2 * np.pi) + log_det + rss[0]), abs=1e-9)
    draws = res.sample([2.0, 5.0], size=2000, rng=0)
    assert np.abs(draws.var(axis=0) / res.get_prediction([2.0, 5.0]).var_pred_mean - 1).max() < 4.5 * np.sqrt(2 / 2000)

    criterion = GeneralCriterion(Specification(sf.observe(x, y), pri.Matern(1.5), columns), "reml")
    theta = np.zeros(3)
    h = 1e-3 * np.eye(3)
    for i, slope in enumerate(criterion.gradient(theta)[1]):
        v = criterion.values(np.array([2 * h[i], h[i], -h[i], -2 * h[i]]))
        assert slope == pytest.approx((8 * (v[1] - v[2]) - (v[0] - v[3])) / 12e-3, rel=1e-7)

    with pytest.raises(SpecificationError, match="a state of 62 components"):
        sf.SmoothingSpline(sf.observe(x, y), prior=pri.Matern(1.5), regressors={f"w{j}": rng.standard_normal(n) for j in range(60)})


def test_long_series_start_on_a_part_and_end_on_all():
    rng = np.random.default_rng(19)
    x = np.arange(10_000) / 16
    obs = sf.observe(x, np.sin(x / 5) + 0.2 * rng.standard_normal(len(x)))
    fast = sf.SmoothingSpline(obs, order=2).fit()
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(2)).fit()
    assert res.llf == pytest.approx(fast.llf, abs=1e-6)
    assert res.decrement < 1e-9


@pytest.mark.parametrize("sd", [0.1, None])
def test_fixed_smoothing_is_that_of_the_special_engine(sd):
    rng = np.random.default_rng(20)
    x = np.sort(rng.uniform(0, 9, 50))
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(50), sd=sd)
    # an intervention that every curve has anyway would not be identified: one of the last observation, left out
    for fixed in ({"lam": 0.3}, {"edf": 9.5}):
        fast = sf.SmoothingSpline(sf.observe(x[:-1], obs.y[:-1], sd=sd), order=3).fit(**fixed)
        edf = {"edf": 10.5} if "edf" in fixed else fixed  # the pulse takes one
        res = sf.SmoothingSpline(obs, order=3, interventions=[sf.Pulse(x[-1])]).fit(**edf)
        np.testing.assert_allclose(res.predict(x[:-1]), fast.predict(x[:-1]), rtol=1e-7, atol=1e-9)
        assert res.q == pytest.approx(fast.q, rel=1e-7)
        assert res.lam == pytest.approx(fast.lam, rel=1e-7)
        np.testing.assert_allclose(res.sigma, fast.sigma, rtol=1e-7)
        if sd is None:
            assert res.bse["sigma.f"] == pytest.approx(fast.bse["sigma.f"], rel=1e-6)


def test_crossings_and_extrema_are_those_of_the_special_engine():
    rng = np.random.default_rng(15)
    x = np.sort(rng.uniform(0, 9, 80))
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(80), sd=0.1)
    fast = sf.SmoothingSpline(obs, order=3).fit(lam=1.0)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(3, q=1.0)).fit()
    for one, other in ((res.roots(value=0.3), fast.roots(value=0.3)), (res.extrema(), fast.extrema())):
        assert len(one) == len(other) >= 2
        for column in one.columns.drop("kind", errors="ignore"):
            np.testing.assert_allclose(one[column].astype(float), other[column].astype(float), rtol=1e-7)
    rough = sf.SmoothingSpline(obs, prior=pri.Matern(0.5, length_scale=1.0, amplitude=1.0)).fit()
    roots = rough.roots()  # a curve without a derivative has a mean with one, but for the observations
    at = roots["x"].to_numpy()
    np.testing.assert_allclose(rough.predict(at), 0, atol=1e-9)
    slope = (rough.predict(at + 1e-6) - rough.predict(at - 1e-6)) / 2e-6
    np.testing.assert_array_equal(np.sign(slope), roots["direction"])
    np.testing.assert_allclose(rough.get_prediction(at).se_mean / np.abs(slope), roots["se"], rtol=1e-4)


def test_differences_of_spline_regression():
    d = sf.observe_difference([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 2.0, 1.0], sd=0.1)
    obs = d + sf.observe([0.0, 0.5, 2.0, 2.2], [1.0, 0.0, 1.0, 2.0], sd=0.1)
    fit = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 3, 3), sf.DerivativePenalty(2)).fit(lam=1.0)
    np.testing.assert_allclose(fit.fittedvalues[:3], fit.predict([1.0, 2.0, 3.0]) - fit.predict([0.0, 1.0, 2.0]), atol=1e-13)
    # ten knots a unit: the smoothing spline of the same prior
    dense = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 3, 30), sf.DerivativePenalty(2)).fit(lam=1.0)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(2, q=1.0)).fit()
    np.testing.assert_allclose(res.predict(np.linspace(0, 3, 13)), dense.predict(np.linspace(0, 3, 13)), atol=1e-9)


def test_times_as_x():
    import pandas as pd

    rng = np.random.default_rng(16)
    t = pd.date_range("2026-01-01", periods=60, freq="D")
    y = np.sin(np.arange(60) / 5) + 2.0 * (t >= "2026-02-01") + 0.1 * rng.standard_normal(60)
    frame = pd.DataFrame({"t": t, "n": np.arange(60.0), "y": y})
    timed = sf.SmoothingSpline.from_formula("y ~ s(t, unit='D') + Level('2026-02-01')", frame).fit()
    plain = sf.SmoothingSpline.from_formula("y ~ s(n) + Level(31)", frame).fit()
    np.testing.assert_array_equal(timed.params.to_numpy(), plain.params.to_numpy())
    np.testing.assert_array_equal(timed.predict(t[:5]), plain.predict(frame["n"][:5]))


@pytest.mark.parametrize("missing", [False, True])
def test_formula_with_regressors_is_the_model(missing):
    import pandas as pd

    rng = np.random.default_rng(17)
    n = 40
    frame = pd.DataFrame({"t": np.sort(rng.uniform(0, 6, n)), "w": rng.standard_normal(n)})
    frame["y"] = np.sin(frame["t"]) + 0.5 * frame["w"] + 0.1 * rng.standard_normal(n)
    frame["v"] = np.cos(frame["t"]) + 0.1 * rng.standard_normal(n)
    if missing:
        frame.loc[[3, 7], "y"] = np.nan
        frame.loc[5, "v"] = np.nan
    res = sf.SmoothingSpline.from_formula("y + D(v) ~ s(t, order=3) + w + Slope(2.0)", frame).fit()
    good = frame["y"].notna()
    obs = sf.observe(frame["t"], frame["y"], name="y") + sf.observe(frame["t"], frame["v"], deriv=1, name="v")
    w = np.r_[frame["w"][good], np.zeros(frame["v"].notna().sum())]
    model = sf.SmoothingSpline(obs, order=3, regressors={"w": w}, interventions=[sf.Slope(2.0)])
    np.testing.assert_array_equal(res.params.to_numpy(), model.fit().params.to_numpy())
    assert res.params["w"] == pytest.approx(0.5, abs=5 * res.bse["w"])


def test_results_pickle_and_print():
    x, y, deriv, _sd = readings_of(1, 14, n=30)
    obs = sf.observe(x[deriv == 0], y[deriv == 0])
    res = sf.SmoothingSpline(obs, prior=pri.Matern(1.5), interventions=[sf.Level(float(x[12]))]).fit()
    again = pickle.loads(pickle.dumps(res))
    assert np.array_equal(again.predict(x), res.predict(x))
    assert again.llf == res.llf
    assert "matern" in str(res.summary())
    assert "level" in str(res.summary())
    assert not np.isnan(res.bse["level(" + f"{x[12]:.10g})"])
    res.plot()


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: {"prior": pri.Matern(0.5)}, SpecificationError, "have no f' in mean square"),
        (lambda o: {"prior": 3}, SpecificationError, "prior is 3"),
        (lambda o: {"prior": pri.Matern}, SpecificationError, r"Matern\(\)"),
        (lambda o: {"prior": pri.Matern(2.5) + pri.Matern(2.5)}, IdentificationError, "the same covariance"),
        (lambda o: {"prior": pri.IntegratedWiener(2) + pri.Polynomial(0)}, IdentificationError, "undetermined"),
        (lambda o: {"prior": pri.Matern(2.5), "interventions": [sf.Level(99.0)]}, DataError, "outside the observations"),
        (lambda o: {"prior": pri.Matern(2.5), "interventions": [3]}, SpecificationError, "not an intervention"),
        (lambda o: {"prior": pri.Matern(2.5), "regressors": {"w": np.ones(3)}}, DataError, "3 entries for 12 observations"),
        (lambda o: {"order": 2, "regressors": {"w": np.ones(12)}}, IdentificationError, "coefficient of w"),
        (
            lambda o: {"prior": pri.Matern(2.5), "noise": {"z": pri.OrnsteinUhlenbeck()}},
            SpecificationError,
            "noise is given for 'z'",
        ),
        (lambda o: {"prior": pri.Matern(2.5), "noise": {"f": pri.IntegratedWiener(1)}}, SpecificationError, "wanders off"),
        (lambda o: {"prior": pri.Matern(2.5), "period": 2.0}, SpecificationError, "Seasonal"),
        (lambda o: {"order": 3, "period": -1.0}, SpecificationError, "period is -1"),
    ],
)
def test_errors_tell_the_way_out(make, error, message):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 5, 12))
    obs = sf.observe(x, rng.standard_normal(12), sd=0.1)
    if "mean square" in message:
        obs = obs + sf.observe(x[:3], x[:3], deriv=1, sd=0.1)
    with pytest.raises(error, match=message):
        sf.SmoothingSpline(obs, **make(obs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5]], [1.0]), "explode"),
        (([[0.0]], [1.0]), "no stationary law"),
        (([[-1.0, 0.0], [0.0, -2.0]], [1.0, 0.0]), "uncontrollable"),
        (([[-1.0, 0.0], [0.0, -2.0]], [1.0, 1.0]), "unobservable"),
        (([[-1.0, 0.0]], [1.0]), "square"),
    ],
)
def test_dynamics_that_are_no_prior(arguments, message):
    with pytest.raises(SpecificationError, match=message):
        pri.LinearSDE(*arguments)


@pytest.mark.parametrize("harmonics", [2, 3, 4, 5])
def test_seasons_on_an_even_grid_start_as_on_a_nearly_even_one(harmonics):
    """On months many traces of the unknown start are zero, and their rounding must not count for any."""
    rng = np.random.default_rng(0)
    months, y = np.arange(60), rng.standard_normal(60)
    near = months / 12 + 1e-9 * rng.uniform(-1, 1, 60)
    values = []
    for x in (months / 12, near):
        model = sf.SmoothingSpline(sf.observe(x, y), prior=sf.priors.Seasonal(1.0, harmonics=harmonics)).specification
        values.append(GeneralCriterion(model, "reml").values(np.array([[log_q, 0.0] for log_q in (-8.0, -5.0, -5.0 + 1e-7)])))
    np.testing.assert_allclose(values[0], values[1], atol=1e-5)
    assert abs(values[0][2] - values[0][1]) < 1e-5
