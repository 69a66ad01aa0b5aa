"""Hidden states behind several outputs against laws that share no code with the filter: dense algebra, scipy.signal."""

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from scipy import signal
from scipy.linalg import expm, solve_continuous_lyapunov

import smoothfit as sf
from smoothfit.dynamics.engine import EquationEngine
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.errors import BiasWarning, SamplingWarning, SpecificationError

from .conftest import held

# Two rooms, each heated, and what stores heat behind them: one wall between them, or a wall for each.
SHARED = np.array([[-0.6, 0.1, 0.4], [0.05, -0.4, 0.3], [0.05, 0.04, -0.1]])
WALLS = np.array([[-0.7, 0.2, 0.45, 0], [0.15, -0.6, 0, 0.4], [0.06, 0, -0.08, 0], [0, 0.05, 0, -0.07]])
ROOMS, HEATERS = ["room1", "room2"], ["heat1", "heat2"]
THROUGH = np.array([[0.5, -0.2], [0.1, 0.3]])  # by how much the heaters warm the thermometers at once
AT_ONCE = {"through": THROUGH, "input_derivatives": 1}


def plant(rates, through=0.0):
    """The matrices of scipy.signal."""
    n = len(rates)
    return rates, np.vstack([np.diag([1.0, 0.8]), np.zeros((n - 2, 2))]), np.eye(2, n), np.zeros((2, 2)) + through


def rooms(rates, n=200, noise=0.0, seed=0, process=0.0, intersample="zoh", level=(0.0, 0.0), through=0.0, **options):
    """Temperatures by scipy.signal, with independent noises of all states if there is a `process` intensity."""
    rng, (A, B, _, D) = np.random.default_rng(seed), plant(rates, through)
    t, u = np.arange(n, dtype=float), np.column_stack([held(rng, n, 8), held(rng, n, 8)])
    if intersample == "foh":
        x = signal.lsim((A, B, np.eye(len(A)), np.zeros((len(A), 2))), u, t)[2]
    else:
        F, G = signal.cont2discrete((A, B, np.eye(len(A)), np.zeros((len(A), 2))), 1.0, "zoh")[:2]
        whole = solve_continuous_lyapunov(A, -process * np.eye(len(A)))
        values, axes = np.linalg.eigh(whole - F @ whole @ F.T)
        kicks = rng.standard_normal((n, len(A))) * np.sqrt(np.maximum(values, 0.0)) @ axes.T
        x = np.zeros((n, len(A)))
        for k in range(1, n):
            x[k] = F @ x[k - 1] + G @ u[k - 1] + kicks[k]
    y = x[:, :2] + u @ D.T + noise * rng.standard_normal((n, 2)) + level
    options = {"hidden": len(A) - 2, "intercept": False, "intersample": intersample} | options
    return sf.DerivativeRegression(pd.DataFrame(y, columns=ROOMS), t, pd.DataFrame(u, columns=HEATERS), **options)


def form(outputs, hidden, inputs=("u",), intercept=True, **options):
    """The equation of order one with hidden states."""
    return sf.DerivativeRegression(
        np.random.default_rng(0).standard_normal((40, outputs)),
        np.arange(40.0),
        pd.DataFrame({name: np.random.default_rng(i).standard_normal(40) for i, name in enumerate(inputs)}),
        hidden=hidden,
        intercept=intercept,
        **options,
    ).equation


# The form ------------------------------------------------------------------------------------------------------------


def test_the_matrices_are_those_of_the_named_coefficients():
    equation = form(2, 3)
    value = dict(zip(equation.names, np.random.default_rng(0).standard_normal(equation.n_params), strict=True))
    names = iter(equation.names)

    def one(name):
        assert next(names) == name
        return value[name]

    expected = [  # x5 is a state of y1 on a third level
        [one("y1: y1"), 0, 1, 0, 0, one("y1: u"), 0],
        [one("y2: y1"), one("y2: y2"), 0, 1, 0, one("y2: u"), 0],
        [one("x3: y1"), one("x3: y2"), 0, 0, 1, one("x3: u"), 0],
        [one("x4: y1"), one("x4: y2"), 0, 0, one("x4: x5"), one("x4: u"), one("x4: const")],
        [one("x5: y1"), one("x5: y2"), 0, 0, 0, one("x5: u"), one("x5: const")],
    ]
    assert not [*names]
    np.testing.assert_array_equal(np.hstack(equation.matrices(np.array([*value.values()]))), expected)
    assert equation.noise_names == ["q.y1", "q.y2", "q.x3", "q.x4", "q.x5"]


@pytest.mark.parametrize(("outputs", "hidden"), [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2)])
def test_coefficients_are_those_of_the_highest_derivatives(outputs, hidden):
    """n p of them, whose characteristic polynomial and Markov parameters are those of the last rows of a companion form."""
    rng, equation = np.random.default_rng(outputs + 10 * hidden), form(outputs, hidden)
    n, p, k = equation.n_states, outputs, int(equation.in_system.sum())
    assert k == n * p
    curves = rng.standard_normal((p, n))
    theta = equation.of_highest(curves, np.zeros((p, equation.order, 1)), np.zeros(p))
    companion = np.eye(n, k=p)
    companion[np.arange(n - p, n)] = curves[np.arange(n - p, n) % p]
    system, seen = equation.matrices(theta)[0], equation.seen()
    np.testing.assert_allclose(np.poly(system), np.poly(companion), rtol=1e-9)
    (found,) = equation.of_seen(theta[equation.in_system][None])
    np.testing.assert_allclose(seen.matrices(found)[0], companion, atol=1e-10)
    H, own = np.eye(p, n), np.eye(p, n)
    for _ in range(n):  # y after an initial state is C A^j x, in both up to a change of the state that leaves y as it is
        H, own = np.vstack([H, H[-p:] @ companion]), np.vstack([own, own[-p:] @ system])
    np.testing.assert_allclose(own, H @ np.linalg.solve(H[:n], own[:n]), atol=1e-8 * np.abs(own).max())
    at, step = theta[equation.in_system], 1e-6
    moved = (equation.of_seen(at + step * np.eye(k)) - equation.of_seen(at - step * np.eye(k))) / (2 * step)
    assert abs(np.linalg.det(moved)) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("outputs", "hidden", "order"), [(2, 1, 1), (2, 2, 1), (2, 3, 1), (3, 1, 1), (3, 2, 1), (2, 1, 2)])
def test_inputs_that_act_at_once_are_those_of_the_highest_derivatives(outputs, hidden, order):
    """The transfer functions of D(s) y = N(s) u, N of as high an order as D: C (s I - A)^-1 (B + s F), F = (D, 0)."""
    rng, names = np.random.default_rng(outputs + 10 * hidden), ("u", "v")
    equation = form(outputs, hidden, names, order=order, input_derivatives={"v": order})
    n, p, s = equation.n_states, outputs, 0.3 + 0.7j
    curves, inputs = rng.standard_normal((p, n)), rng.standard_normal((p, equation.order + 1, 2))
    theta = equation.of_highest(curves, inputs, np.zeros(p))
    left, right = np.zeros((p, p), complex), np.zeros((p, 2), complex)
    for i in range(p):
        own = len(range(i, n, p))
        left[i, i] += s**own
        for j in range(n):
            left[i, j % p] -= curves[i, j] * s ** (j // p)
        right[i] = s ** np.arange(own) @ inputs[i, :own]
        right[i, 1] += s**own * inputs[i, own, 1]
    value = dict(zip(equation.names, theta, strict=True))
    F = np.zeros((n, 2))
    F[:p, 1] = [value[f"y{i + 1}: D(v)"] for i in range(p)]
    A, B = equation.matrices(theta)
    found = np.linalg.solve(s * np.eye(n) - A, B[:, :2] + s * F)[:p]
    np.testing.assert_allclose(found, np.linalg.solve(left, right), rtol=1e-9)


def minus_two_log_likelihood(A, B, D, q, sigma2, p, t, u, y):
    """log|V| + log|X' V^-1 X| - 2 log|det X_1| + r' P r, X_1 of the first rows, by eigenvectors of A.

    With F = (D, 0) the state less F u has the input B + A F.
    """
    n, rows = A.rows, p * len(t)
    poles, R = mp.eig(A)
    L = R**-1
    F = mp.zeros(n, 2)
    F[:p, 0] = mp.matrix(D)
    noise, into = L * mp.diag(q) * L.T, L * (B + A * F)
    V, X, r = mp.matrix(rows), mp.matrix(rows, n), mp.matrix(rows, 1)
    for i, s in enumerate(t):
        X[i * p : (i + 1) * p, :] = (R * mp.diag([mp.exp(pole * s) for pole in poles]) * L)[:p, :]
        for j, e in enumerate(t):
            first = min(s, e)
            inner = mp.matrix(n)
            for a in range(n):
                for b in range(n):
                    both = poles[a] + poles[b]
                    inner[a, b] = noise[a, b] * mp.exp(poles[a] * s + poles[b] * e) * (1 - mp.exp(-both * first)) / both
            V[i * p : (i + 1) * p, j * p : (j + 1) * p] = (R * inner * R.T)[:p, :p]
        drive = mp.matrix(n, 1)
        for a, pole in enumerate(poles):
            for j in range(i):
                gain = (mp.exp(pole * (s - t[j])) - mp.exp(pole * (s - t[j + 1]))) / pole
                drive[a] += gain * (into[a, 0] * u[j] + into[a, 1])
        for output in range(p):
            r[i * p + output] = y[i][output] - mp.re((R * drive)[output]) - D[output] * u[i]
            V[i * p + output, i * p + output] += sigma2[output]
    V, X = V.apply(mp.re), X.apply(mp.re)
    inverse = V**-1
    inner = X.T * inverse * X
    left = inverse * r - inverse * X * (inner**-1) * (X.T * inverse * r)
    return mp.log(mp.det(V)) + mp.log(mp.det(inner)) - 2 * mp.log(abs(mp.det(X[:n, :]))) + (r.T * left)[0]


@pytest.mark.parametrize(("outputs", "hidden", "at_once"), [(2, 1, 0), (2, 3, 0), (3, 1, 0), (2, 1, 1), (3, 2, 1)])
def test_likelihood_and_score_are_those_of_the_joint_normal_law(outputs, hidden, at_once):
    rng = np.random.default_rng(hidden)
    t = np.append(0.0, np.cumsum(rng.uniform(0.3, 1.5, 3 + hidden // 2)))
    u, y = rng.standard_normal(len(t)), rng.standard_normal((len(t), outputs))
    model = sf.DerivativeRegression(y, t, u, hidden=hidden, input_derivatives=at_once)
    equation, k, n = model.equation, model.equation.n_params, model.equation.n_states
    theta = equation.uncoupled(-np.geomspace(0.2, 2.0, equation.order)) + 0.1 * rng.standard_normal(k)
    q, sigma2 = rng.uniform(0.1, 0.5, n), rng.uniform(0.1, 0.3, outputs)
    found = StateSpace(equation, model.sample).terms(theta, q, sigma2)
    with mp.workdps(40):
        at = [mp.mpf(float(x)) for x in (*theta, *q, *sigma2)]

        def value(x):
            whole = np.hstack(equation.matrices(np.array(x[:k], dtype=object)))
            A, B = mp.matrix(whole[:, :n].tolist()), mp.matrix(whole[:, n:].tolist())
            value = dict(zip(equation.names, x, strict=False))
            D = [value.get(f"y{i + 1}: D(u)", mp.mpf(0)) for i in range(outputs)]
            return minus_two_log_likelihood(A, B, D, x[k : k + n], x[k + n :], outputs, t, u, y)

        assert found.log_det + found.sse == pytest.approx(float(value(at)), rel=1e-11)
        gradient, width = found.log_det_gradient + found.sse_gradient, mp.mpf(10) ** -15
        direction = rng.standard_normal(len(at))  # all derivatives at once, each with a weight of its own
        up, down = ([x + sign * width * float(d) for x, d in zip(at, direction, strict=True)] for sign in (1, -1))
        expected = float((value(up) - value(down)) / (2 * width))
        assert gradient @ direction == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("options", [{}, AT_ONCE], ids=["plain", "at once"])
def test_the_restricted_likelihood_is_that_of_contrasts(options):
    """Those of outputs in units of their spread that are free of states, inputs and constants."""
    model = rooms(SHARED, 30, 0.1, 1, process=1e-3, intercept=True, **options)
    equation, n = model.equation, len(model.sample)
    rng, theta = np.random.default_rng(1), equation.uncoupled(np.array([-0.05, -0.5]))
    engine = EquationEngine(model.problem, theta)
    points = np.hstack([theta[equation.in_system] + 0.05 * rng.standard_normal((2, 6)), rng.uniform(-5, 0, (2, 4))])
    found, expected = engine.profile(points), []
    for point in points:
        full = np.zeros(equation.n_params)
        full[equation.in_system] = point[:6]
        A = equation.matrices(full)[0]
        whole = solve_continuous_lyapunov(A, -np.diag(np.exp(point[6:9])))
        T, into = expm(A), np.linalg.solve(A, expm(A) - np.eye(3))
        units = np.eye(equation.n_params)[~equation.in_system]
        drives, jumps = [equation.matrices(unit)[1] for unit in units], np.zeros((len(units), 3, 2))
        if options:
            jumps[:, :2] = [equation.rates(unit)[-1] for unit in units]
        states, K = np.zeros((n, 3, 3 + len(drives))), np.zeros((n, 3, n, 3))
        states[0, :, :3] = np.eye(3)
        for i in range(1, n):
            states[i] = T @ states[i - 1]
            states[i, :, 3:] += np.column_stack([into @ B @ [*model.sample.u[i - 1], 1.0] for B in drives])
            states[i, :, 3:] += (jumps @ (model.sample.u[i] - model.sample.u[i - 1])).T
            K[i, :, :i] = np.tensordot(T, K[i - 1, :, :i], axes=1)
            K[:i, :, i] = np.transpose(K[i, :, :i], (1, 2, 0))
            K[i, :, i] = T @ K[i - 1, :, i - 1] @ T.T + whole - T @ whole @ T.T
        H, V = states[:, :2].reshape(2 * n, -1), K[:, :2, :, :2].reshape(2 * n, 2 * n)
        spreads = np.nanstd(model.sample.y, axis=0)
        scale = np.tile(spreads / spreads[1], n)
        contrasts = np.linalg.svd(H.T / scale)[2][H.shape[1] :] / scale
        V = contrasts @ (V + np.diag(np.tile([np.exp(point[9]), 1.0], n))) @ contrasts.T
        value = contrasts @ model.sample.y.ravel()
        expected.append((np.linalg.slogdet(V)[1], value @ np.linalg.solve(V, value)))
    np.testing.assert_allclose(found.log_det, np.array(expected)[:, 0], rtol=1e-9)
    np.testing.assert_allclose(found.sse, np.array(expected)[:, 1], rtol=1e-9)


def test_the_prior_does_not_depend_on_units():
    model = rooms(SHARED, 60, 0.1, process=1e-3)
    equation, sample = model.equation, model.sample
    rng, theta = np.random.default_rng(1), equation.uncoupled(np.array([-0.05, -0.5]))
    points = np.hstack([theta[equation.in_system] + 0.03 * rng.standard_normal((3, 6)), np.zeros((3, 4))])
    units = pd.DataFrame(sample.y * [1e3, 0.1], columns=ROOMS)
    other = sf.DerivativeRegression(units, sample.t / 24, sample.u, hidden=1, intercept=False)
    # of y1: y1, y2: y1, y2: y2, y2: x3, x3: y1, x3: y2
    factors = np.array([24, 24e-4, 24, 1e-4, 24**2, 24**2 * 1e4, 1, 1, 1, 1])
    first, second = EquationEngine(model.problem, theta), EquationEngine(other.problem, theta)
    change = second.log_prior_of_shapes(points * factors) - first.log_prior_of_shapes(points)
    np.testing.assert_allclose(change, change[0], rtol=1e-9)
    np.testing.assert_allclose(second.upper[:6], first.upper[:6] * factors[:6], rtol=1e-9)


# Estimates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "method", "intersample", "options"),
    [
        (SHARED, "kalman", "foh", {}),
        (WALLS, "kalman", "zoh", {}),
        (SHARED, "output_error", "zoh", {}),
        (SHARED, "kalman", "zoh", AT_ONCE),
        (SHARED, "kalman", "foh", AT_ONCE),
        (WALLS, "output_error", "zoh", AT_ONCE),
    ],
)
def test_exact_samples_give_the_rooms(rates, method, intersample, options):
    fitted = rooms(rates, intersample=intersample, **options).fit(method)
    np.testing.assert_allclose(np.sort(fitted.poles().real), np.sort(np.linalg.eigvals(rates).real), rtol=1e-8)
    system = plant(rates, options.get("through", 0.0))
    if options:
        found = fitted.params[[f"{room}: D({heater})" for room in ROOMS for heater in HEATERS]]
        np.testing.assert_allclose(found, THROUGH.ravel(), rtol=1e-8)
    after, w = np.array([15.0, 30.0]), np.array([0.01, 2.0])
    steps, impulses, waves = fitted.step_response(after), fitted.impulse_response(after), fitted.frequency_response(w)
    for k, heater in enumerate(HEATERS):
        numerators, denominator = signal.ss2tf(*system, input=k)
        single = system[0], system[1][:, [k]], system[2], system[3][:, [k]]
        of_step, of_impulse = (law(single, T=np.append(0.0, after))[1][1:] for law in (signal.step, signal.impulse))
        for i, room in enumerate(ROOMS):
            transfer, pair = fitted.transfer_function(heater, room), f"{room}: {heater}"
            whole = np.append(np.zeros(len(denominator) - len(transfer.numerator)), transfer.numerator)
            np.testing.assert_allclose(whole, numerators[i], atol=1e-8)
            np.testing.assert_allclose(transfer.denominator, denominator, rtol=1e-8)
            assert float(transfer.gain) == pytest.approx(numerators[i, -1] / denominator[-1], rel=1e-8)
            expected = signal.freqs(numerators[i], denominator, w)[1]
            np.testing.assert_allclose(waves[pair]["magnitude"], np.abs(expected), rtol=1e-7)
            np.testing.assert_allclose(steps[pair]["mean"], of_step[:, i], atol=1e-8)
            np.testing.assert_allclose(impulses[pair]["mean"], of_impulse[:, i], atol=1e-8)


def test_levels_far_from_zero_change_nothing_but_the_level():
    """Constants are of the outputs less their levels, on which they would depend bilinearly."""
    near, far = (rooms(SHARED, 60, 0.05, intercept=True, level=level) for level in ((0, 0), (300.0, 1e4)))
    first, second = near.fit("output_error"), far.fit("output_error")
    np.testing.assert_allclose(second.params[:8], first.params[:8], rtol=1e-6)
    assert second.llf == pytest.approx(first.llf, abs=1e-7)
    np.testing.assert_allclose(second.fittedvalues - [300, 1e4], first.fittedvalues, atol=1e-7)
    ahead = [res.forecast([60.0, 70.0], np.ones((2, 2)))["room2"]["mean"] for res in (first, second)]
    np.testing.assert_allclose(ahead[1] - 1e4, ahead[0], atol=1e-7)
    np.testing.assert_allclose(second.simulate() - [300, 1e4], first.simulate(), atol=1e-7)
    np.testing.assert_allclose(second.simulate()[-1], second.states()[ROOMS].iloc[-1], rtol=1e-9)  # there is no process noise
    assert "(room2 - 1000" in second.model.equation.in_words(second.fitted.theta)[1]


# What a result has ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    known = {"sigma.room1": 0.05, "sigma.room2": 0.05, "q.room1": 1e-4, "q.room2": 1e-4}
    return rooms(SHARED, 100, 0.05, 2, process=1e-4, fixed=known).fit()


def test_intervals_are_integrated(fitted):
    assert fitted._integrates
    ends = fitted.conf_int().loc[["room1: room1", "room2: x3", "room1: heat1"]].to_numpy()
    truth = np.array([-0.625, 0.75, 1.0])  # room1' = -.6 room1 + ... has -.625 beside a state that decays not by itself
    assert ((ends[:, 0] < truth) & (truth < ends[:, 1])).all()
    slow, fast = np.sort(np.linalg.eigvals(SHARED).real)[[2, 0]]
    modes = fitted.modes()
    for place, pole in ((0, slow), (2, fast)):
        low, high = modes[["lower(rate)", "upper(rate)"]].iloc[place]
        assert low < pole < high
    assert "Hidden states: 1 of 3." in str(fitted.summary())


def test_forecasts_continue_the_simulation_of_the_states(fitted):
    sample, states = fitted.model.sample, fitted.states()
    assert list(states)[::2] == ["room1", "room2", "x3"]
    t, u = sample.t[-1] + np.arange(1, 4), np.ones((3, 2))
    forecast = fitted.forecast(t, u)
    ahead = fitted.simulate(np.vstack([sample.u[-1:], u]), np.append(sample.t[-1], t), initial=states.iloc[-1, ::2])
    for i, room in enumerate(ROOMS):
        np.testing.assert_allclose(forecast[room]["mean"], ahead[1:, i], rtol=1e-9)
        assert (forecast[room]["mean_ci_lower"] < forecast[room]["mean"]).all()


@pytest.mark.parametrize("method", ["kalman", "output_error"])
def test_rooms_whose_heaters_act_at_once_are_forecast_with_the_jumps(method):
    has_both = method == "kalman"
    known = {"sigma.room1": 0.05, "sigma.room2": 0.05} | ({"q.room1": 1e-4, "q.room2": 1e-4} if has_both else {})
    res = rooms(SHARED, 100, 0.05, 2, process=1e-4 * has_both, fixed=known, **AT_ONCE).fit(method)
    ends = res.conf_int().loc[[f"{room}: D({heater})" for room in ROOMS for heater in HEATERS]].to_numpy()
    assert ((ends[:, 0] < THROUGH.ravel()) & (THROUGH.ravel() < ends[:, 1])).all()
    assert res._integrates == has_both
    u, t = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([100.0, 101.0, 102.0])
    forecast, last = res.forecast(t, u), res.states().iloc[-1, ::2]
    ahead = res.simulate(np.vstack([res.model.sample.u[-1:], u]), np.append(99.0, t), initial=last)
    own = res.gain()
    for i, room in enumerate(ROOMS):
        np.testing.assert_allclose(forecast[room]["mean"], ahead[1:, i], rtol=1e-9)
        for j, heater in enumerate(HEATERS):
            gain = plant(SHARED, THROUGH)[3][i, j] - (np.eye(2, 3) @ np.linalg.solve(SHARED, plant(SHARED)[1]))[i, j]
            low, high = own.loc[f"{room}: {heater}", ["lower", "upper"]]
            assert low < gain < high


def test_a_heater_that_acts_at_once_is_named_with_the_way_out():
    model = rooms(SHARED, 150, 0.05, through=THROUGH, process=1e-4)
    with pytest.warns(
        BiasWarning, match=r"move with the input heat1 at the same time.* at once, pass input_derivatives={'heat1': 1}$"
    ):
        model.fit("output_error")


def test_what_acts_at_once_is_in_the_unit_of_its_output():
    first = rooms(SHARED, 60, 0.05, **AT_ONCE)
    sample = first.sample
    y, u = pd.DataFrame(sample.y * [1e3, 0.1], columns=ROOMS), pd.DataFrame(sample.u, columns=HEATERS)
    second = sf.DerivativeRegression(y, sample.t, u, hidden=1, intercept=False, input_derivatives=1)
    one, two = (model.fit("output_error").params for model in (first, second))
    for room, unit in zip(ROOMS, (1e3, 0.1), strict=True):
        for name in (f"{room}: D(heat1)", f"{room}: heat2", f"sigma.{room}"):
            assert two[name] == pytest.approx(unit * one[name], rel=1e-6)


# What is refused or named --------------------------------------------------------------------------------------------


def test_what_nothing_identifies_is_named():
    with pytest.warns(SamplingWarning, match=r"hidden=1 is not identified: hidden=0 fits as well.*Use hidden=0"):
        rooms(WALLS[:2, :2], 60, 0.05, hidden=1).fit("output_error")
    with pytest.warns(SamplingWarning, match=r"hidden=1 is not identified: hidden=0 fits as well"):
        rooms(WALLS[:2, :2], 60, 0.05, hidden=1, **AT_ONCE).fit("output_error")
    second = np.array([[-0.5, 0.2, 0], [0.15, -0.6, 0.4], [0, 0.06, -0.08]])  # the wall is behind the second room alone
    with pytest.warns(SamplingWarning, match="acts on room1, and the observations fit better if it acts on room2.*room2, room1"):
        rooms(second, 100, 0.1).fit()


def test_what_several_outputs_with_hidden_states_do_not_go_with():
    t, y = np.arange(50.0), np.random.default_rng(0).standard_normal((50, 2))
    for options, message in (
        ({"hidden": 5}, "order 1 with 2 outputs and hidden=5 is a state of 7; at most 6"),
        (
            {"order": 2, "input_derivatives": 1},
            "input_derivatives is 1 for 'u'; with hidden=1 and 2 outputs.*pass 2 if 'u' acts at",
        ),
        ({"derivatives": [0]}, "derivatives= does not go with hidden=1"),
        ({"terms": {"y**2": lambda y, t: y[0] ** 2}}, "terms= does not go with hidden=1"),
        ({"lags": 1}, r"several lags \(0 to 1\) and derivatives of the inputs are not.*pass lags=0$"),
        ({"fixed": {"y1: y2": 0.0}}, "fixed has 'y1: y2', which is no coefficient; they are y1: y1, y1: u"),
    ):
        with pytest.raises(SpecificationError, match=message):
            sf.DerivativeRegression(y, t, np.sin(t), **({"hidden": 1} | options))
    with pytest.raises(SpecificationError, match="a column is called 'x3', which is the name of a hidden state; rename it"):
        sf.DerivativeRegression(pd.DataFrame(y, columns=["x3", "y"]), t, hidden=1)
    model = rooms(SHARED, 60, 0.1)
    with pytest.raises(SpecificationError, match='method="armax" has no hidden states; use method="kalman"'):
        model.fit("armax")
    with pytest.raises(SpecificationError, match="integrals are of equations without hidden states"):
        rooms(SHARED).fit("output_error").integrate(1.0, 2.0)
