"""Hidden states against laws that share no code with the filter: residues at 40 digits, scipy.signal, statsmodels."""

import warnings

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from scipy import signal
from scipy.linalg import expm, solve_continuous_lyapunov
from statsmodels.tsa.statespace.mlemodel import MLEModel

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.engine import EquationEngine
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import SamplingWarning, SpecificationError

from .conftest import held

# A room, observed, and its wall: resistances of 2 and 8 K/kW, capacities of 1 and 8 kWh/K; poles -.564 and -.0138, gain 10.
ROOM = np.array([[-1 / 2, 1 / 2], [1 / 16, -1 / 16 - 1 / 64]])
HEATER = np.array([[1.0], [0.0]])
POLES = np.sort(np.linalg.eigvals(ROOM))
TRUTH = np.array([-1 / 128, -37 / 64, 5 / 64, 1.0])  # of y, D(y), u, D(u)


def building(n=300, noise=0.0, seed=0, hold=8, step=1.0, process=(0.0, 0.0), intersample="zoh", **options):
    """The room's temperature, by scipy.signal or by a simulation of both states with noise."""
    rng = np.random.default_rng(seed)
    t, u = np.arange(n) * step, held(rng, n, hold) + 1.0
    system = ROOM, HEATER, np.array([[1.0, 0.0]]), np.zeros((1, 1))
    if intersample == "foh":
        y = signal.lsim(system, u, t)[1]
    else:
        A, B = signal.cont2discrete(system, step, "zoh")[:2]
        noise_of = np.diag(process)
        # Of the step, by the stationary covariance: V - exp(A h) V exp(A h)'.
        whole = solve_continuous_lyapunov(ROOM, -noise_of)
        values, axes = np.linalg.eigh(whole - A @ whole @ A.T)
        kicks = rng.standard_normal((n, 2)) * np.sqrt(np.maximum(values, 0.0)) @ axes.T
        x = np.zeros((n, 2))
        for k in range(1, n):
            x[k] = A @ x[k - 1] + B[:, 0] * u[k - 1] + kicks[k]
        y = x[:, 0]
    options = {"hidden": 1, "intercept": False, "intersample": intersample} | options
    return sf.DerivativeRegression(y + noise * rng.standard_normal(n), t, u, **options)


# The law -------------------------------------------------------------------------------------------------------------


def minus_two_log_likelihood(theta, q, sigma2, t, u, y):
    """log|V| + log|X' V^-1 X| - 2 log|det X_1| + r' P r, X_1 of the first rows, by residues of N(s) / D(s) and s^l / D(s)."""
    n = len(q)
    companion = mp.matrix(n)
    for j in range(n):
        companion[n - 1, j] = theta[j]
        if j:
            companion[j - 1, j] = 1
    poles = mp.eig(companion, right=False)
    slope = [mp.fprod(p - other for other in poles if other is not p) for p in poles]
    r = mp.matrix(len(t), 1)
    for k, time in enumerate(t):
        for p, d in zip(poles, slope, strict=True):
            gain = sum(b * p**j for j, b in enumerate(theta[n:])) / d
            for i in range(k):
                r[k] += gain * u[i] * (mp.exp(p * (time - t[i])) - mp.exp(p * (time - t[i + 1]))) / p
        r[k] = y[k] - mp.re(r[k])
    V = mp.matrix(len(t))
    for i, s in enumerate(t):
        for k, e in enumerate(t):
            for level, size in enumerate(q[::-1]):  # the last one is of no derivative
                for p, d in zip(poles, slope, strict=True):
                    for o, f in zip(poles, slope, strict=True):
                        since = (1 - mp.exp(-(p + o) * min(s, e))) / (p + o)
                        V[i, k] += mp.re(size * (p * o) ** level / (d * f) * mp.exp(p * s + o * e) * since)
        V[i, i] += sigma2
    X = mp.matrix(len(t), n)
    for i, s in enumerate(t):
        for j in range(n):
            X[i, j] = mp.re(sum(p**j * mp.exp(p * s) / d for p, d in zip(poles, slope, strict=True)))
    inverse = V**-1
    inner = X.T * inverse * X
    left = inverse * r - inverse * X * (inner**-1) * (X.T * inverse * r)
    return mp.log(mp.det(V)) + mp.log(mp.det(inner)) - 2 * mp.log(abs(mp.det(X[:n, :]))) + (r.T * left)[0]


@pytest.mark.parametrize("poles", [POLES, np.array([-0.2 + 0.6j, -0.2 - 0.6j]), np.array([-1.5, -0.3, -0.05])])
def test_likelihood_and_score_are_those_of_the_joint_normal_law(poles):
    rng, n = np.random.default_rng(3), len(poles)
    t = np.append(0.0, np.cumsum(rng.uniform(0.3, 1.5, 5)))
    u, y = rng.standard_normal(6), rng.standard_normal(6)
    theta = np.concatenate([-np.poly(poles).real[:0:-1], rng.standard_normal(n)])
    q, sigma2 = rng.uniform(0.1, 0.5, n), np.array([0.2])
    model = sf.DerivativeRegression(y, t, u, hidden=n - 1, intercept=False)
    found = StateSpace(model.equation, model.sample).terms(theta, q, sigma2)
    with mp.workdps(40):
        at = [mp.mpf(float(x)) for x in (*theta, *q, *sigma2)]
        times, inputs, values = ([mp.mpf(float(x)) for x in column] for column in (t, u, y))

        def value(x):
            return minus_two_log_likelihood(x[: 2 * n], x[2 * n : 3 * n], x[3 * n], times, inputs, values)

        assert found.log_det + found.sse == pytest.approx(float(value(at)), rel=1e-12)
        gradient = found.log_det_gradient + found.sse_gradient
        width = mp.mpf(10) ** -15
        for direction in rng.standard_normal((2, len(at))):  # all derivatives at once, each with a weight of its own
            up, down = ([x + sign * width * float(d) for x, d in zip(at, direction, strict=True)] for sign in (1, -1))
            expected = float((value(up) - value(down)) / (2 * width))
            assert gradient @ direction == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(gradient).max())


class Discrete(MLEModel):
    """Room and wall in discrete time, with noises that are independent in the observer form."""

    def __init__(self, y, u, coefficients, q, sigma2):
        super().__init__(y, k_states=2, initialization="diffuse")
        A = np.array([[coefficients[1], 1.0], [coefficients[0], 0.0]])
        whole = solve_continuous_lyapunov(A, -np.diag(q))
        self["transition"] = T = expm(A)
        self["selection"] = np.eye(2)
        self["state_cov"] = whole - T @ whole @ T.T
        self["state_intercept"] = np.linalg.solve(A, T - np.eye(2)) @ coefficients[[3, 2]][:, None] * u
        self["design"], self["obs_cov", 0, 0] = np.array([[1.0, 0.0]]), sigma2
        self.first = np.array([[1.0, 0.0], T[0]])


def test_statsmodels_has_the_same_likelihood():
    model = building(120, 0.1, process=(0.02, 0.01))
    fitted = model.fit()
    y, u = model.sample.y[:, 0], model.sample.u[:, 0]
    q, sigma2 = fitted.fitted.q, float(fitted.fitted.sigma2[0])
    peer = Discrete(y, u, fitted.coefficients, q, sigma2)
    given = peer.ssm.loglike() + np.log(2 * np.pi) + np.linalg.slogdet(peer.first)[1]  # the first two fix the state
    assert fitted.llf == pytest.approx(given, abs=1e-6)


def test_the_restricted_likelihood_is_that_of_contrasts():
    """Differences of restricted log-likelihoods are those of the density of contrasts free of states, input and constant."""
    model = building(30, 0.1, process=(0.02, 0.01), intercept=True)
    engine = EquationEngine(model.problem, np.append(TRUTH, 0.0))
    points = np.array([[*TRUTH[:2], 0.3, -1.0], [*TRUTH[:2] * 1.2, -0.5, 0.4]])
    found = engine.profile(points)
    y, u = model.sample.y[:, 0], model.sample.u[:, 0]
    expected = []
    for a0, a1, *logs in points:
        A = np.array([[a1, 1.0], [a0, 0.0]])
        T = expm(A)
        hold = np.linalg.solve(A, T - np.eye(2))
        states = np.zeros((30, 2, 5))  # by initial states, u, u' and the constant
        states[0, :, :2] = np.eye(2)
        whole = solve_continuous_lyapunov(A, -np.diag(np.exp(logs)))
        Q = whole - T @ whole @ T.T
        K = np.zeros((30, 2, 30, 2))
        for i in range(1, 30):
            states[i] = T @ states[i - 1]
            states[i, :, 2:] += hold @ np.array([[0.0, u[i - 1], 0.0], [u[i - 1], 0.0, 1.0]])
            K[i, :, :i] = np.tensordot(T, K[i - 1, :, :i], axes=1)
            K[:i, :, i] = np.transpose(K[i, :, :i], (1, 2, 0))
            K[i, :, i] = T @ K[i - 1, :, i - 1] @ T.T + Q
        H = states[:, 0]
        contrasts = np.linalg.svd(H.T)[2][5:]
        V = contrasts @ (K[:, 0, :, 0] + np.eye(30)) @ contrasts.T
        value = contrasts @ y
        expected.append((np.linalg.slogdet(V)[1], value @ np.linalg.solve(V, value)))
    expected = np.array(expected)
    np.testing.assert_allclose(found.log_det, expected[:, 0], rtol=1e-9)
    np.testing.assert_allclose(found.sse, expected[:, 1], rtol=1e-9)


# Estimates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["kalman", "output_error"])
@pytest.mark.parametrize("intersample", ["zoh", "foh"])
def test_exact_samples_give_the_building(method, intersample):
    fitted = building(intersample=intersample).fit(method)
    np.testing.assert_allclose(fitted.coefficients, TRUTH, rtol=1e-8)
    np.testing.assert_allclose(fitted.poles().real, POLES[::-1], rtol=1e-8)
    assert float(fitted.transfer_function().gain) == pytest.approx(10, rel=1e-8)
    assert list(fitted.params.index[:4]) == ["y", "D(y)", "u", "D(u)"]


def test_exact_samples_give_a_feedthrough_beside_hidden_states():
    """Two RC pairs behind a resistance: 0.5 + 0.2 / (s + 0.3) + 0.01 / (s + 0.02), at irregular times of a held input."""
    rng = np.random.default_rng(1)
    t = np.cumsum(rng.uniform(0.5, 1.5, 250))
    u = held(rng, 250, 6)
    y, states = 0.5 * u, np.zeros(2)
    for k in range(1, 250):
        decay = np.exp(-np.array([0.3, 0.02]) * (t[k] - t[k - 1]))
        states = decay * states + (1 - decay) * np.array([0.2 / 0.3, 0.5]) * u[k - 1]
        y[k] += states.sum()
    fitted = sf.DerivativeRegression(y, t, u, hidden=1, input_derivatives=2, intercept=False).fit("output_error")
    numerator = np.polyadd(0.5 * np.poly([-0.3, -0.02]), np.polyadd([0.2, 0.2 * 0.02], [0.01, 0.01 * 0.3]))
    np.testing.assert_allclose(fitted.transfer_function().numerator, numerator, rtol=1e-7)
    step = fitted.step_response([0.0, 5.0])["mean"]
    np.testing.assert_allclose(step, [0.5, 0.5 + 0.2 / 0.3 * -np.expm1(-1.5) + 0.5 * -np.expm1(-0.1)], rtol=1e-7)


def test_responses_are_those_of_scipy():
    fitted = building().fit("output_error")
    system = signal.StateSpace(ROOM, HEATER, np.array([[1.0, 0.0]]), np.zeros((1, 1)))
    t, w = np.linspace(0, 200, 21), np.array([0.001, 0.1, 3.0])
    np.testing.assert_allclose(fitted.step_response(t)["mean"], signal.step(system, T=t)[1], atol=1e-8)
    np.testing.assert_allclose(fitted.impulse_response(t)["mean"], signal.impulse(system, T=t)[1], atol=1e-8)
    expected = signal.freqs(TRUTH[3:1:-1], np.poly(POLES), w)[1]
    found = fitted.frequency_response(w)
    np.testing.assert_allclose(found["magnitude"], np.abs(expected), rtol=1e-7)
    np.testing.assert_allclose(found["phase"], np.degrees(np.angle(expected)), atol=1e-5)
    np.testing.assert_allclose(fitted.transfer_function().to_scipy().zeros, [ROOM[1, 1]], rtol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_both_poles_are_found_from_starts_of_the_own(seed):
    """The maximum is no lower than the one that a search from the true values leads to."""
    model = building(250, 0.2, seed, process=(4e-4, 1e-4))
    fitted = model.fit()
    found = StateSpace(model.equation, model.sample)
    noise = np.array([4e-4, 4e-4 * ROOM[1, 1] ** 2 + 1e-4 * ROOM[0, 1] ** 2])
    at_truth = found.terms(TRUTH, noise, np.array([0.04]), slopes=False)
    assert fitted.llf > -0.5 * (at_truth.n_used * np.log(2 * np.pi) + at_truth.log_det + at_truth.sse)
    np.testing.assert_allclose(fitted.poles().real, POLES[::-1], rtol=0.25)  # some five standard errors
    assert fitted.fitted.decrement < 1e-8


def test_the_estimate_does_not_depend_on_units():
    model = building(200, 0.1, process=(4e-4, 1e-4))
    t, u, y = model.sample.t, model.sample.u[:, 0], model.sample.y[:, 0]
    first = model.fit()
    second = sf.DerivativeRegression(y * 1e3, t / 24, u * 10, hidden=1, intercept=False).fit()
    factors = np.array([24**2, 24, 1e2 * 24**2, 1e2 * 24, 24 * 1e6, 24**3 * 1e6, 1e3])
    np.testing.assert_allclose(second.params, first.params * factors, rtol=1e-5)


# What a result has ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return building(400, 0.1, 2, process=(4e-4, 1e-4), intercept=True).fit()


def test_intervals_are_integrated(fitted):
    assert fitted._integrates
    ends = fitted.conf_int().iloc[:4].to_numpy()
    assert ((ends[:, 0] < TRUTH) & (ends[:, 1] > TRUTH)).all()
    roots = fitted.transfer_function().roots()
    for place, value in ((("pole", 0), POLES[1]), (("pole", 1), POLES[0]), (("zero", 0), ROOM[1, 1])):
        low, high = roots.loc[place, ["lower(rate)", "upper(rate)"]]
        assert low < value < high
    low, high = fitted.half_life().conf_int()
    assert low < np.log(2) / 0.0138 < high
    assert float(fitted.delay) == 0.0
    assert "Hidden states: 1 of 2." in str(fitted.summary())


def test_forecasts_continue_the_simulation_of_the_states(fitted):
    sample = fitted.model.sample
    states = fitted.states()
    assert list(states) == ["y", "se(y)", "x2", "se(x2)"]
    u = np.ones(5)
    t = sample.t[-1] + np.arange(1, 6)
    forecast = fitted.forecast(t, u)
    inputs = np.append(sample.u[-1:, 0], u)
    ahead = fitted.simulate(inputs, np.append(sample.t[-1], t), initial=states[["y", "x2"]].iloc[-1])
    np.testing.assert_allclose(forecast["mean"], ahead[1:], rtol=1e-9)
    assert (np.diff(forecast["mean_se"]) > 0).all()
    np.testing.assert_allclose(fitted.simulate()[0], states["y"].iloc[0])


def test_hidden_states_are_those_of_the_wall():
    """In exact samples x2 = (wall - room) / 2 - a_1 room, as room' = (wall - room) / 2 + u = a_1 room + x2 + u."""
    model = building(200)
    states = model.fit("output_error").states()
    A, B = signal.cont2discrete((ROOM, HEATER, np.eye(2), np.zeros((2, 1))), 1.0, "zoh")[:2]
    x = np.zeros((200, 2))
    for k in range(1, 200):
        x[k] = A @ x[k - 1] + B[:, 0] * model.sample.u[k - 1, 0]
    np.testing.assert_allclose(states["x2"], ROOM[0, 1] * x[:, 1] - ROOM[1, 1] * x[:, 0], atol=1e-7)


def test_a_formula_names_the_observed_equation():
    model = building(200, 0.1)
    frame = pd.DataFrame({"t": model.sample.t, "room": model.sample.y[:, 0], "heat": model.sample.u[:, 0]})
    same = sf.DerivativeRegression.from_formula("D(room) ~ room + heat - 1", frame, t="t", hidden=1)
    assert same.equation.names == ["room", "D(room)", "heat", "D(heat)"]
    np.testing.assert_allclose(same.fit("output_error").coefficients, model.fit("output_error").coefficients)


# What is refused or named --------------------------------------------------------------------------------------------


def test_hidden_states_that_nothing_identifies_are_named():
    rng = np.random.default_rng(0)
    t, u = np.arange(300.0), held(rng, 300, 8)
    equation = Equation(1, ("y",), (0,), ("u",), intercept=False)
    y = response.simulate(equation, np.array([-0.1, 1.0]), t, u[:, None], np.zeros(1))[:, 0] + 0.2 * rng.standard_normal(300)
    with pytest.warns(SamplingWarning, match=r"hidden=1 is not identified: hidden=0 fits as well.*Use hidden=0"):
        sf.DerivativeRegression(y, t, u, hidden=1, intercept=False).fit("output_error")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        building(300, 0.1, process=(4e-4, 1e-4)).fit()


def test_what_hidden_states_do_not_go_with():
    t = np.arange(50.0)
    y = np.random.default_rng(0).standard_normal((50, 2))
    with pytest.raises(SpecificationError, match=r"has the term y\*\*2"):
        sf.DerivativeRegression(y[:, 0], t, terms={"y**2": lambda y, t: y[0] ** 2}, hidden=1)
    both = sf.observe(t, y[:, 0]) + sf.observe(t, y[:, 1], deriv=1, name="speed")
    with pytest.raises(SpecificationError, match="'speed' observes a derivative of order 1, which contains white noise"):
        sf.DerivativeRegression(both, order=2, hidden=1)
    with pytest.raises(SpecificationError, match=r"several lags \(0 to 1\) and derivatives of the inputs are not"):
        sf.DerivativeRegression(y[:, 0], t, y[:, 1], hidden=1, lags=1)
    with pytest.raises(SpecificationError, match="hidden"):
        sf.DerivativeRegression(y[:, 0], t, hidden=-1)
    with pytest.raises(SpecificationError, match="order"):
        sf.DerivativeRegression(y[:, 0], t, order=5, hidden=2)
    model = building(100, 0.1)
    with pytest.raises(SpecificationError, match='method="armax" has no hidden states; use method="kalman"'):
        model.fit("armax")
    with pytest.raises(SpecificationError, match="integrals are of equations without hidden states"):
        model.fit("output_error").integrate(1.0, 2.0)
