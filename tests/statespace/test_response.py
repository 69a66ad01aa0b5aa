"""Instruments that respond slowly, tau z' + z = f^(k): by dense algebra, by matrix exponentials, and where they cannot be."""

import math
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError
from smoothfit.markov.response import Filtered, Response

TAU = 0.6


def shown(t, deriv=0, tau=TAU):
    """What an instrument shows of a sine, or of its slope, that it has always been exposed to."""
    return (np.sin(t) - tau * np.cos(t) if deriv == 0 else np.cos(t) + tau * np.sin(t)) / (1 + tau**2)


def pair(n=40, noise=0.1, deriv=0, response="estimate", after=0.0, sd=None, **second):
    """Observations of a sine, and at other x from `after` on those of a slow instrument."""
    rng = np.random.default_rng(4)
    x, z = np.sort(rng.uniform(0, 9, n)), np.sort(rng.uniform(after, 9, n))
    first = sf.observe(x, np.sin(x) + noise * rng.standard_normal(n), sd=sd, name="a")
    y = shown(z, deriv) + noise * rng.standard_normal(n)
    return first + sf.observe(z, y, deriv, sd=sd, name="b", response_time=response, **second)


def filtered_powers(t, start, u, power, tau):
    """Integral over s from max(start, u) to t of exp((s - t) / tau) / tau (s - u)^power / power!, by parts."""
    low = np.maximum(start, u)
    decay, total = np.exp((low - t) / tau), 0.0
    for p in range(power + 1):
        total = (t - u) ** p / math.factorial(p) - decay * (low - u) ** p / math.factorial(p) - (tau * total if p else 0.0)
    return np.where(low < t, total, 0.0)


def functional(t, u, order, deriv, tau=None, start=0.0):
    """What white noise at u in f^(order) adds to f^(deriv)(t), or to what a slow instrument shows of it: (t, u)."""
    t, power = t[:, None], order - 1 - deriv
    if tau is not None:
        return filtered_powers(t, start, u, power, tau)
    return np.where(u < t, np.maximum(t - u, 0.0) ** power, 0.0) / math.factorial(power)


def dense(obs, order, q, sd, tau, x_new, deriv):
    """-2 log-likelihood up to a constant, and posterior mean and variance of f^(deriv), of the prior as an integral over noise."""
    a, b = obs.readings
    origin = min(a.x[0], b.x[0], x_new[0])
    x, z, new, start = a.x - origin, b.x - origin, x_new - origin, b.x[0] - origin
    ends = np.unique(np.concatenate([[0.0], x, z, new]))
    nodes, weights = np.polynomial.legendre.leggauss(14)  # of products of exponentials and polynomials between neighbouring x
    half = np.diff(ends)[:, None] / 2
    u, w = (ends[:-1, None] + half + half * nodes).ravel(), (half * weights).ravel()
    rows = np.vstack([functional(x, u, order, a.deriv), functional(z, u, order, b.deriv, tau, start)])
    asked = functional(new, u, order, deriv)

    def slow_polynomial(t, power):
        """Integral over s from the first observation to t of exp((s - t) / tau) / tau s^power / power!, by parts."""
        total = 0.0
        for p in range(power + 1):
            total = (t**p - np.exp((start - t) / tau) * start**p) / math.factorial(p) - (tau * total if p else 0.0)
        return total

    def powers(t, k, is_slow=False):
        """Of the polynomial that is diffuse, and of what the slow instrument showed at first."""
        made = slow_polynomial if is_slow else lambda t, power: t**power / math.factorial(power)
        columns = [np.zeros_like(t)] * k + [made(t, power) for power in range(order - k)]
        return np.column_stack([*columns, np.exp((start - t) / tau) if is_slow else np.zeros_like(t)])

    X, x_asked = np.vstack([powers(x, a.deriv), powers(z, b.deriv, True)]), powers(new, deriv)
    V = q * (rows * w) @ rows.T + sd**2 * np.eye(len(obs))
    C, own = q * (asked * w) @ rows.T, q * (asked**2 * w).sum(axis=1)
    information = X.T @ np.linalg.solve(V, X)
    beta = np.linalg.solve(information, X.T @ np.linalg.solve(V, obs.y))
    rest = obs.y - X @ beta
    value = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1] + rest @ np.linalg.solve(V, rest)
    left = x_asked - C @ np.linalg.solve(V, X)
    mean = x_asked @ beta + C @ np.linalg.solve(V, rest)
    spread = np.einsum("ij,ji->i", left, np.linalg.solve(information, left.T))
    return value, mean, own - np.einsum("ij,ji->i", C, np.linalg.solve(V, C.T)) + spread


def fitted(obs, order, q):
    return sf.SmoothingSpline(obs, prior=sf.priors.IntegratedWiener(order, q=q)).fit()


@pytest.mark.parametrize(("order", "deriv", "after"), [(2, 0, 0.0), (3, 0, 4.0), (3, 1, 2.0)])
def test_posterior_and_likelihood_are_those_of_dense_algebra(order, deriv, after):
    sd, q, new, values = 0.1, 0.4, np.array([-0.5, 0.3, 4.4, 8.9, 10.0]), []
    for tau in (0.05, 0.6, 8.0):
        obs = pair(15, deriv=deriv, response=tau, after=after, sd=sd)
        res = fitted(obs, order, q)
        for k in (0, 1):
            value, mean, variance = dense(obs, order, q, sd, tau, new, k)
            found = res.get_prediction(new, deriv=k)
            np.testing.assert_allclose(found.predicted_mean, mean, rtol=1e-7, atol=1e-8)
            np.testing.assert_allclose(found.var_pred_mean, variance, rtol=1e-6)
        values.append((-2 * res.llf, value))
    ours, theirs = np.diff(np.array(values), axis=0).T  # the constant is of no tau
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


def test_predictions_of_the_instrument_follow_its_equation():
    res = fitted(pair(15, response=TAU, sd=0.1), 3, 0.4)
    t = np.linspace(2, 8, 7)
    h = 1e-3
    z, ahead, behind = (res.get_prediction(t + s, name="b").predicted_mean for s in (0.0, h, -h))
    np.testing.assert_allclose(TAU * (ahead - behind) / (2 * h) + z, res.predict(t), atol=1e-5)  # differences: h^2
    np.testing.assert_allclose(res.fittedvalues[15:], res.get_prediction(res.observations["b"].x, name="b").predicted_mean)


@pytest.mark.parametrize(
    "prior",
    [
        sf.priors.IntegratedWiener(3, q=0.4),
        sf.priors.Matern(2.5, length_scale=1.3, amplitude=0.7),
        sf.priors.IntegratedOrnsteinUhlenbeck(2, length_scale=2.0, amplitude=0.4),
        sf.priors.TensionSpline(3, tension=0.8, q=0.3),
        sf.priors.DampedOscillator(period=3.0, damping=0.2, amplitude=1.0),
    ],
)
@pytest.mark.parametrize("tau", [0.1, 0.7])  # the exponential of the reference loses exp(step / tau)
def test_transition_and_noise_are_matrix_exponentials(prior, tau):
    values = np.array([p.value for p in prior.hyperparameters])
    d, k, dt = prior.dim, 1, np.array([0.3, 1.0])
    A, rate = np.diag(np.ones(d), 1), prior.rate(values)
    A[d - 1] = [*(prior.companion(values) * rate ** np.arange(d, 0, -1)), 0.0]
    A[d] = 0.0
    A[d, [k, d]] = np.array([1.0, -1.0]) / tau
    L = np.zeros((d + 1, d + 1))
    L[d - 1, d - 1] = prior.intensity(values)
    joint = Filtered(prior, [Response("b", k, tau)])
    for step, T, Q in zip(dt, joint.transition(dt), joint.noise(dt), strict=True):
        whole = expm(np.block([[-A, L], [np.zeros_like(A), A.T]]) * step)  # Van Loan
        np.testing.assert_allclose(T, expm(A * step), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(Q, whole[d + 1 :, d + 1 :].T @ whole[: d + 1, d + 1 :], rtol=1e-6, atol=1e-9)
    moved = Filtered(prior + sf.priors.Polynomial(1), [Response("b", k, tau)])  # what warnings of level shifts use
    T, Q = moved.transition(dt), moved.noise(dt)
    np.testing.assert_allclose(T[:, -1, :d], joint.transition(dt)[:, -1, :d], rtol=1e-10)
    np.testing.assert_allclose(Q[:, -1, -1], joint.noise(dt)[:, -1, -1], rtol=1e-10)
    np.testing.assert_allclose(T[:, -1, d + 1], 1 - np.exp(-dt / tau), rtol=1e-10)  # of a line's slope
    assert (Q[:, -1, d : d + 2] == 0).all()


@pytest.mark.parametrize("integral", [False, True])
def test_tables_and_their_slopes_are_those_of_matrices(integral):
    """Also by the shapes of the curve, whose equations change, and over steps that the output waits."""
    curve = sf.priors.Matern(1.5) + sf.priors.LocalLinearTrend(step=0.5) + sf.priors.OrnsteinUhlenbeck()
    prior = Filtered(curve, [Response("b", 0, None)])
    values, dt, step = np.array([0.9, 0.7, 0.2, 0.3, 2.0, 0.4, 0.6]), np.array([0.3, 1.0, 1.0]), 1e-5
    waits = np.array([[False], [False], [True]])
    for i in range(len(values)):
        moved = [values * np.exp(s * step * np.eye(len(values))[i]) for s in (1, -1)]
        ends = [prior.matrices(dt, at, 1.0, integral) for at in moved]
        T, Q = prior.tables(dt, values, 1.0, integral, {2: i}, 3, waits)
        assert prior.tables(dt[:1], values, 1.0, integral, {}, 1)[0].shape[-1] == 1  # keeps other steps
        for found, whole, high, low in zip((T, Q), prior.matrices(dt, values, 1.0, integral), *ends, strict=True):
            np.testing.assert_allclose(found[:2, ..., 0], whole[:2], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(found[:2, ..., 2], ((high - low) / (2 * step))[:2], rtol=1e-7, atol=1e-9)
            assert not found[..., 1].any()
        assert (T[2, -1, :, 0] == np.eye(T.shape[1])[-1]).all()
        assert not T[2, -1, :, 2].any()
        assert not Q[2, -1].any()
        assert not Q[2, :, -1].any()


def blocks(*parts):
    size = sum(len(part) for part in parts)
    whole, at = np.zeros((size, size)), 0
    for part in parts:
        whole[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    return whole


W, LINE = 2 * np.pi / 2.5, np.diag([1.0], 1)
SUMS = {  # A, density of the noise, covariance at the first x of what is not diffuse there, readout of f
    "a trend and two harmonics": (
        sf.priors.LocalLinearTrend(q_level=0.02, q_slope=0.05) + sf.priors.Seasonal(2.5, harmonics=2, q=0.03),
        blocks(LINE, [[0, 1], [-4 * W * W, 0]], [[0, 1], [-W * W, 0]]),
        np.diag([0.02, 0.05, 0, 0.06 * 4 * W * W, 0, 0.06 * W * W]),
        np.zeros((6, 6)),
        np.array([1.0, 0, 1, 0, 1, 0]),
    ),
    "a damped trend and a rotation": (
        sf.priors.DampedTrend(q_level=0.02, q_slope=0.05, damping=0.7) + sf.priors.Seasonal(2.5, harmonics=1, q=0.03, smooth=False),
        blocks([[0, 1], [0, -0.7]], [[0, W], [-W, 0]]),
        np.diag([0.02, 0.05, 0.03, 0.03]),
        np.diag([0, 0.05 / 1.4, 0, 0]),
        np.array([1.0, 0, 1, 0]),
    ),
    "a cycle, a process and a constant": (
        sf.priors.StochasticCycle(2.5, length_scale=3.0, amplitude=0.6)
        + sf.priors.OrnsteinUhlenbeck(2.0, amplitude=0.4)
        + sf.priors.Polynomial(0),
        blocks([[-1 / 3, W], [-W, -1 / 3]], [[-0.5]], [[0]]),
        np.diag([0.24, 0.24, 0.16, 0]),
        np.diag([0.36, 0.36, 0.16, 0]),
        np.array([1.0, 0, 1, 1]),
    ),
}


def dense_states(obs, A, noise, known, h, tau, sd, x_new):
    """-2 log-likelihood up to a constant, and posterior mean and variance of f, by the covariance of all states (Van Loan)."""
    a, b = obs.readings
    d, x = len(A), np.unique(np.concatenate([a.x, b.x, x_new]))
    whole, spread = np.zeros((d + 1, d + 1)), np.zeros((d + 1, d + 1))
    whole[:d, :d], whole[d, :d], whole[d, d] = A, h / tau, -1 / tau
    spread[:d, :d] = noise
    T, Q = [np.eye(d + 1)], [np.pad(known, (0, 1))]
    for start, step in zip(x, np.diff(x), strict=False):
        system = whole.copy()
        system[d] *= start >= b.x[0]  # what the instrument shows is unknown at its first observation
        both = expm(np.block([[-system, spread], [np.zeros_like(system), system.T]]) * step)
        T.append(both[d + 1 :, d + 1 :].T)
        Q.append(T[-1] @ both[: d + 1, d + 1 :])
    n, free = len(x), np.append(np.diag(known) == 0, True)
    design, joint, P = np.zeros((n, d + 1, int(free.sum()))), np.zeros((n, d + 1, n, d + 1)), np.zeros((d + 1, d + 1))
    state = np.eye(d + 1)[:, free]
    for i in range(n):
        state, P = T[i] @ state, T[i] @ P @ T[i].T + Q[i]
        design[i], joint[i, :, i] = state, P
        for j in range(i):
            joint[i, :, j] = T[i] @ joint[i - 1, :, j]
            joint[j, :, i] = joint[i, :, j].T
    H = np.zeros((len(obs) + len(x_new), n, d + 1))
    for i, (place, row) in enumerate(
        [*((t, [*h, 0]) for t in a.x), *((t, [0] * d + [1]) for t in b.x), *((t, [*h, 0]) for t in x_new)]
    ):
        H[i, np.searchsorted(x, place)] = row
    X, V = np.tensordot(H, design, 2), np.einsum("iab,abcd,jcd->ij", H, joint, H)
    m = len(obs)
    V[:m, :m] += sd**2 * np.eye(m)
    K, C, X_new = V[:m, :m], V[m:, :m], X[m:]
    X = X[:m]
    information = X.T @ np.linalg.solve(K, X)
    beta = np.linalg.solve(information, X.T @ np.linalg.solve(K, obs.y))
    rest, left = obs.y - X @ beta, X_new - C @ np.linalg.solve(K, X)
    value = np.linalg.slogdet(K)[1] + np.linalg.slogdet(information)[1] + rest @ np.linalg.solve(K, rest)
    variance = np.diag(V[m:, m:] - C @ np.linalg.solve(K, C.T) + left @ np.linalg.solve(information, left.T))
    return value, X_new @ beta + C @ np.linalg.solve(K, rest), variance


@pytest.mark.parametrize("name", SUMS)
def test_sums_of_priors_are_those_of_dense_algebra(name):
    prior, *equation = SUMS[name]
    new, values = np.array([0.1, 4.4, 8.9, 10.0]), []
    for tau in (0.3, 2.0):
        obs = pair(14, response=tau, after=2.0, sd=0.1)
        res = sf.SmoothingSpline(obs, prior=prior).fit()
        value, mean, variance = dense_states(obs, *equation, tau, 0.1, new)
        found = res.get_prediction(new)
        np.testing.assert_allclose(found.predicted_mean, mean, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(found.var_pred_mean, variance, rtol=1e-7)
        values.append((-2 * res.llf, value))
    ours, theirs = np.diff(np.array(values), axis=0).T
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


def test_a_response_time_is_estimated_beside_a_trend_and_a_season():
    x = np.arange(72.0)
    w, tau = 2 * np.pi / 12, 2.5
    z = 0.05 * (x - tau) + (np.sin(w * x) - w * tau * np.cos(w * x)) / (1 + (w * tau) ** 2)
    obs = sf.observe(x, 0.05 * x + np.sin(w * x), sd=1e-4, name="a") + sf.observe(x, z, sd=1e-4, name="b", response_time="estimate")
    res = sf.SmoothingSpline(obs, prior=sf.priors.LocalLinearTrend(q_level=0, q_slope=1e-9) + sf.priors.Seasonal(12, q=0)).fit()
    assert res.params["response_time.b"] == pytest.approx(tau, abs=1e-6)
    np.testing.assert_allclose(res.predict(x, component="seasonal"), np.sin(w * x), atol=1e-3)
    np.testing.assert_allclose(res.predict(x, component="trend") + res.predict(x, component="seasonal"), res.predict(x), atol=1e-12)


def test_nearly_exact_sensors_end_at_the_rounding_of_their_scores():
    """A scale of 5 and two response times: 1e-4 of the signal is noise, and steps ended at a decrement of 1e-8, which raised."""
    x, w = np.arange(72.0), 2 * np.pi / 12
    one, two = (0.05 * (x - tau) + (np.sin(w * x) - w * tau * np.cos(w * x)) / (1 + (w * tau) ** 2) for tau in (2.5, 1.0))
    obs = sf.observe(x, 0.05 * x + np.sin(w * x), sd=1e-4, name="a")
    obs += sf.observe(x, 5 * one, sd=5e-4, name="b", scale="estimate", response_time="estimate")
    obs += sf.observe(x, two, sd=1e-4, name="c", response_time="estimate")
    res = sf.SmoothingSpline(obs, prior=sf.priors.LocalLinearTrend(q_level=0, q_slope=1e-9) + sf.priors.Seasonal(12, q=0)).fit()
    assert res.params["scale.b"] == pytest.approx(5.0, abs=1e-6)
    assert res.params["response_time.b"] == pytest.approx(2.5, abs=1e-6)
    assert res.params["response_time.c"] == pytest.approx(1.0, abs=1e-6)


def test_intervals_over_which_the_curve_is_integrated_stand_beside_a_response():
    prior, *_ = SUMS["a trend and two harmonics"]
    res = sf.SmoothingSpline(pair(14, response=0.3, sd=0.1), prior=prior).fit()
    t = np.linspace(1.0, 4.0, 1001)
    values = res.predict(t)
    simpson = (values[0] + values[-1] + 4 * values[1::2].sum() + 2 * values[2:-1:2].sum()) * (t[1] - t[0]) / 3
    assert float(res.integrate(1.0, 4.0)) == pytest.approx(simpson, rel=1e-6)


def test_the_score_is_that_of_differences():
    for options in ({"order": 3}, {"prior": sf.priors.DampedTrend() + sf.priors.Seasonal(2.5, harmonics=1)}):
        check_score(sf.SmoothingSpline(pair(20), **options).specification)


def check_score(spec):
    theta = np.array([(p.first + p.last) / 2 for p in spec.parameters])
    for method in ("reml", "ml"):
        sums = spec.sums(*spec.split(theta), method, slopes=True)
        for part in ("log_det", "sse", "log_information"):
            ends = [
                [getattr(spec.sums(*spec.split(theta + s * e), method), part)[0] for e in np.eye(len(theta))] for s in (1e-5, -1e-5)
            ]
            slopes = (np.array(ends[0]) - ends[1]) / 2e-5
            np.testing.assert_allclose(getattr(sums, part)[1:], slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("deriv", [0, 1])
def test_the_response_time_of_noise_free_observations_is_exact(deriv):
    x = np.linspace(0, 6, 40)
    first = sf.observe(x, x**2, sd=1e-4, name="a")
    z = x**2 - 2 * TAU * x + 2 * TAU**2 if deriv == 0 else 2 * x - 2 * TAU
    y = z + 3 * np.exp(-x / TAU)  # just switched on
    second = sf.observe(x, y, deriv, sd=1e-4, name="b", response_time="estimate")
    res = sf.SmoothingSpline(first + second, prior=sf.priors.IntegratedWiener(3, q=1e-6)).fit()
    assert res.params["response_time.b"] == pytest.approx(TAU, abs=1e-8)
    np.testing.assert_allclose(res.predict(x), x**2, atol=1e-7)


def test_a_fast_instrument_shows_the_curve_after_its_first_observation():
    slow, x = pair(30, response=1e-9, sd=0.1), np.linspace(0.5, 8.5, 5)
    plain = pair(30, response=None, sd=0.1)
    b = plain["b"]
    without = sf.observe(plain["a"].x, plain["a"].y, sd=0.1, name="a") + sf.observe(b.x[1:], b.y[1:], sd=0.1, name="b")
    found, expected = (fitted(obs, 3, 0.4).get_prediction(x) for obs in (slow, without))
    np.testing.assert_allclose(found.predicted_mean, expected.predicted_mean, rtol=1e-7)
    np.testing.assert_allclose(found.var_pred_mean, expected.var_pred_mean, rtol=1e-7)


def test_estimates_intervals_and_summary():
    res = sf.SmoothingSpline(pair(60, sd=0.1), prior=sf.priors.IntegratedWiener(3, q=0.4)).fit()
    low, high = res.conf_int().loc["response_time.b"]
    assert low < TAU < high
    assert high - low == pytest.approx(4 * res.bse["response_time.b"], rel=0.05)
    assert "response_time z' + z = f" in str(res.summary())
    assert not res.misfits
    again = pickle.loads(pickle.dumps(res))
    assert again.predict([2.0]) == res.predict([2.0])
    assert res.sample([1.0, 2.0], size=3, rng=0).shape == (3, 2)
    assert abs(float(res.integrate(0, np.pi)) - 2) < 0.2


def test_any_unit_gives_the_same_fit():
    days = pair(30)
    res = sf.SmoothingSpline(days, order=3).fit()
    x = [pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(r.x * 3600, unit="s").round("us") for r in days.readings]
    times = sf.observe(x[0], days["a"].y, name="a", unit="min")
    times += sf.observe(x[1], days["b"].y, name="b", unit="min", response_time="estimate")
    other = sf.SmoothingSpline(times, order=3).fit()
    assert other.params["response_time.b"] == pytest.approx(60 * res.params["response_time.b"], rel=1e-4)
    assert other.llf == pytest.approx(res.llf, abs=1e-4)
    known = [
        sf.SmoothingSpline(times.__class__.from_frame(frame, "t", {"a": 0, "b": 0}, unit="min", response_time={"b": tau}), order=3)
        for frame, tau in [(pd.DataFrame({"t": x[0], "a": days["a"].y, "b": days["b"].y}), pd.Timedelta("36min"))]
    ]
    assert known[0].specification.hyperparameters[-1].value == pytest.approx(36)


def test_one_series_with_a_known_response_time_is_enough():
    x = np.arange(60) / 6
    y = shown(x) + 0.01 * np.random.default_rng(2).standard_normal(60)
    obs = sf.observe(x, y, sd=0.01, name="b", response_time=TAU)
    assert repr(obs).endswith("SD given, response time given")
    res = sf.SmoothingSpline(obs, order=3).fit()
    np.testing.assert_allclose(res.predict([3.0, 6.0]), np.sin([3.0, 6.0]), atol=0.03)


def test_each_of_many_curves_has_a_response_time_of_its_own():
    x, rng = np.arange(30) / 3, np.random.default_rng(0)
    frames = [pd.DataFrame({"id": name, "t": x, "a": np.sin(x), "b": shown(x, tau=tau)}) for name, tau in (("u", 0.5), ("v", 1.2))]
    for frame in frames:
        frame[["a", "b"]] += 0.1 * rng.standard_normal((30, 2))
    columns = {"x": "t", "readings": {"a": 0, "b": 0}, "sd": {"a": 0.1, "b": 0.1}}
    fits = sf.fit_curves(pd.concat(frames), by="id", **columns, order=3, response_time={"b": "estimate"})
    assert list(fits.params.columns) == ["nobs", "q", "bandwidth", "response_time.b", "edf", "llf", "boundary"]
    obs = sf.Observations.from_frame(frames[1], **columns, response_time={"b": "estimate"})
    single = sf.SmoothingSpline(obs, order=3).fit()
    assert fits.params.loc["v", "response_time.b"] == pytest.approx(single.params["response_time.b"], rel=1e-6)
    assert fits.params.loc["u", "response_time.b"] < fits.params.loc["v", "response_time.b"]
    np.testing.assert_allclose(fits["v"].predict([3.0, 5.0]), single.predict([3.0, 5.0]), rtol=1e-6)
    known = sf.fit_curves(pd.concat(frames), by="id", **columns, order=3, response_time={"b": 0.5})
    given = sf.SmoothingSpline(sf.Observations.from_frame(frames[0], **columns, response_time={"b": 0.5}), order=3).fit()
    assert known.params.loc["u", "llf"] == pytest.approx(given.llf, rel=1e-9)
    seasonal = sf.priors.IntegratedWiener(2) + sf.priors.DummySeasonal(
        4, 4
    )  # what no curve can have is an error, not a failure of each
    with pytest.raises(SpecificationError, match="'b' has response_time=, which DummySeasonal"):
        sf.fit_curves(pd.concat(frames), by="id", **columns, prior=seasonal, response_time={"b": 0.5})
    for what in ("response_time", "lag"):
        with pytest.raises(IdentificationError, match="relative to a series without one"):
            sf.fit_curves(pd.concat(frames), by="id", **columns, **{what: {"a": "estimate", "b": "estimate"}})
    with pytest.raises(SpecificationError, match="no response_time="):
        sf.fit_curves(pd.concat(frames), by="id", **columns, response_time={"b": 0.5}, smoothing="shared")


def test_what_cannot_be_is_named():
    x = np.arange(12.0)
    observe = sf.observe
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="response_time"):
            observe(x, x, response_time=bad)
    for bad in ("estimated", [1.0, 2.0], pd.Timedelta("1s")):
        with pytest.raises(SpecificationError, match="response_time"):
            observe(x, x, response_time=bad)
    with pytest.raises(SpecificationError, match="leave it out for points"):
        observe(np.zeros((3, 2)), np.zeros(3), (0, 0), response_time=1.0)
    with pytest.raises(IdentificationError, match="relative to a series"):
        sf.SmoothingSpline(observe(x, x, name="b", response_time="estimate"))
    with pytest.raises(DataError, match="response_time"):
        observe(x, x, name="b", response_time=1.0) + observe(x + 20, x, name="b")
    slow = observe(x, x, name="a") + observe(x, x, name="b", response_time="estimate")
    for what, options in {
        "interventions=": {"interventions": [sf.Level(5)]},
        "period=": {"period": 13.0},
        "DummySeasonal.*use Seasonal": {"prior": sf.priors.IntegratedWiener(2) + sf.priors.DummySeasonal(4, 4)},
    }.items():
        with pytest.raises(SpecificationError, match=f"'b' has response_time=, which .*{what}"):
            sf.SmoothingSpline(slow, **options)


@pytest.mark.parametrize("prior", [sf.priors.IntegratedWiener(2, q=0.4), SUMS["a trend and two harmonics"][0]])
def test_a_stream_equals_the_fit_of_all(prior):
    whole = pair(40, response=TAU, after=3.0, sd=0.1)
    a, b = whole.readings

    def part(low, high):
        keep = [(r.x >= low) & (r.x < high) for r in (a, b)]
        first = sf.observe(a.x[keep[0]], a.y[keep[0]], sd=0.1, name="a")
        if not keep[1].any():
            return first
        return first + sf.observe(b.x[keep[1]], b.y[keep[1]], sd=0.1, name="b", response_time=TAU)

    online = sf.SmoothingSpline(part(0, 5), prior=prior).fit().online(lag=6)
    for low in range(5, 9):
        online.append(part(low, low + 1))
    online.forget()  # all observations become a law of the state
    res = sf.SmoothingSpline(whole, prior=prior).fit()
    x = [online._last, 10.0]
    found, expected = online.get_prediction(x), res.get_prediction(x)
    np.testing.assert_allclose(found.predicted_mean, expected.predicted_mean, rtol=1e-9)
    np.testing.assert_allclose(found.var_pred_mean, expected.var_pred_mean, rtol=1e-9)


def test_an_observation_that_alone_fixes_its_instrument_has_no_leave_one_out_residual():
    x = np.linspace(0, 30, 60)
    rng = np.random.default_rng(0)
    y = np.sin(x) + 0.1 * rng.standard_normal((2, 60))
    for response, is_alone in ((1e-3, True), (1.0, False)):  # of 1e-3 nothing is left of the start at the next observation
        obs = sf.observe(x, y[0], name="a") + sf.observe(x, y[1], name="b", response_time=response)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sf.errors.MisfitWarning)  # no instrument is slow
            res = sf.SmoothingSpline(obs, order=3).fit()
        assert np.flatnonzero(np.isnan(res.loo_resid)).tolist() == [60] * is_alone
