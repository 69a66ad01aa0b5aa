"""Units of t and of y: every method finds in other units what it finds in these."""

import numpy as np
import pytest
from scipy.linalg import expm

import smoothfit as sf
from smoothfit.dynamics.engine import EquationEngine
from smoothfit.dynamics.methods.base import Problem
from smoothfit.errors import NumericalError
from smoothfit.markov.discretize import discretize

from .conftest import held, solution

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
METHODS = ("kalman", "arx", "armax", "integral", "weak", "fourier", "whittle", "profile", "iv", "output_error", "difference")
UNITS = [(1e9, 1.0), (1e-9, 1.0), (1.0, 1e6)]
TRUTH = {1: [-1.0, 2.0, 0.5], 2: [-4.0, -0.8, 3.0, 0.7]}


def sample(order):
    """t, u and y with process noise and in the observations."""
    rng = np.random.default_rng(7)
    t = np.arange(400) * 0.05
    u = held(rng, 400, 10)
    return t, u, solution(TRUTH[order], t, u, order, q=0.09, rng=rng)[:, 0] + 0.05 * rng.standard_normal(400)


def assert_same(plain, other, order, time, size):
    """Estimates within 1e-6 of a standard error; standard errors of likelihoods are ended by 1e-9 of D, and differ by as much."""
    units = {"y": time**-order, "D(y)": time ** (1 - order), "u": size * time**-order, "const": size * time**-order}
    units |= {"q": size**2 * time ** (1 - 2 * order), "sigma": size}
    back = np.array([units[name] for name in plain.params.index])
    np.testing.assert_allclose((other.params / back - plain.params) / plain.bse, 0, atol=1e-6)
    np.testing.assert_allclose(other.bse / back, plain.bse, rtol=1e-4)
    assert other.boundary == plain.boundary


@pytest.mark.parametrize("method", METHODS)
def test_units_do_not_matter(method):
    t, u, y = sample(1)
    plain = sf.DerivativeRegression(y, t, u).fit(method)
    for time, size in UNITS:
        assert_same(plain, sf.DerivativeRegression(size * y, time * t, u).fit(method), 1, time, size)


def test_intervals_of_short_samples_do_not_depend_on_units():
    """A lattice of coefficients in their unit: in seconds a decade is far from one, and steps of one left the density out."""
    t, u, y = (column[::5] for column in sample(1))
    ends = []
    for time in (1.0, 1e-8, 1e8):
        res = sf.DerivativeRegression(y, time * t, u).fit()
        coefficients = res.conf_int().to_numpy() * time ** np.array([1, 1, 1, 1, 0])[:, None]
        others = [res.time_constant().conf_int() / np.array(time), res.gain()[["lower", "upper"]].to_numpy()[0]]
        predicted = res.get_prediction(time * t[5:7] + time / 10).conf_int()
        ends.append(np.vstack([coefficients, *others, predicted]))
    half = np.ptp(ends[0], axis=1)[:, None] / 2
    for other in ends[1:]:
        np.testing.assert_allclose((other - ends[0]) / half, 0, atol=1e-6)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("arx", "difference")])
def test_units_do_not_matter_for_second_order(method):
    t, u, y = sample(2)
    plain = sf.DerivativeRegression(y, t, u, order=2).fit(method)
    for time, size in UNITS:
        assert_same(plain, sf.DerivativeRegression(size * y, time * t, u, order=2).fit(method), 2, time, size)


@pytest.mark.parametrize(("method", "derivatives"), [("arx", (0, 1)), ("difference", (0, 1)), ("arimax", (1,))])
def test_units_do_not_matter_for_methods_that_take_readings_as_exact(method, derivatives):
    rng = np.random.default_rng(7)  # without measurement noise, in which these find poles that no sample remembers
    t, u = np.arange(400) * 0.05, held(rng, 400, 10)
    truth = [*(-4.0, -0.8)[2 - len(derivatives) :], 3.0, 0.7]
    y = solution(truth, t, u, 2, q=0.09, rng=rng, derivatives=derivatives)[:, 0]
    plain = sf.DerivativeRegression(y, t, u, order=2, derivatives=derivatives).fit(method)
    for time, size in UNITS:
        other = sf.DerivativeRegression(size * y, time * t, u, order=2, derivatives=derivatives).fit(method)
        assert_same(plain, other, 2, time, size)


@pytest.mark.parametrize("time", [1e12, 1e-12])
def test_whittle_in_extreme_units(time):
    for order in (1, 2):
        t, u, y = sample(order)
        plain = sf.DerivativeRegression(y, t, u, order=order).fit("whittle")
        assert_same(plain, sf.DerivativeRegression(y, time * t, u, order=order).fit("whittle"), order, time, 1.0)


@pytest.mark.parametrize("time", [1e12, 1e9, 1e-9, 1e-12])
def test_steps_are_exact_in_any_unit_of_time(time):
    entry, steps = np.array([[0.0], [0.0], [1.0]]), np.array([0.05, 0.1])
    plain = discretize(np.array([[0.0, 1, 0], [0, 0, 1], [-8.0, -4, -0.8]]), entry, steps)
    states = time ** -np.arange(3.0)
    system = np.array([[0, 1, 0], [0, 0, 1], np.array([-8.0, -4, -0.8]) * time ** np.array([-3.0, -2, -1])])
    scaled = discretize(system, entry, steps * time)
    np.testing.assert_allclose(scaled.T * (states / states[:, None]), plain.T, rtol=1e-13)
    np.testing.assert_allclose(scaled.hold / states[:, None] / time**3, plain.hold, rtol=1e-13)
    np.testing.assert_allclose(scaled.ramp / states[:, None] / time**3, plain.ramp, rtol=1e-13)
    np.testing.assert_allclose(scaled.Q / np.outer(states, states) / time**5, plain.Q, rtol=1e-12)


@pytest.mark.parametrize("units", [(1e8, 1.0), (1e-7, 1e3)])
@pytest.mark.parametrize(("method", "options"), [("kalman", {}), ("output_error", {}), ("kalman", {"delay": (0, 1.6)})])
def test_units_of_several_outputs_may_differ(method, options, units):
    """Searches ended at a lower maximum, or overflowed; one coefficient is fixed, one at a bound."""
    rng = np.random.default_rng(4)
    t, u = np.arange(80) * 0.2, held(rng, 80, 8)
    first = solution([-1.0, 2.0, 0.5], t, u, 1, q=0.01, rng=rng)[:, 0]
    second = solution([-0.3, 1.0, 0.0], t, first, 1, q=0.01, rng=rng)[:, 0]
    y = np.column_stack([first, second]) + 0.05 * rng.standard_normal((80, 2))
    units, has_delay = np.array(units), "delay" in options

    def fit(units):
        ends = {"fixed": {"y1: const": 0.5 * units[0]}, "bounds": {"y2: y2": (-0.1, None)}}
        return sf.DerivativeRegression(y * units, t, u, **options, **({} if has_delay else ends)).fit(method)

    plain, other = fit(np.ones(2)), fit(units)
    theta = other.model.equation.coefficient_units(units)
    q = units[other.model.equation.noise_outputs] ** 2 if method == "kalman" else []
    apart = (other.params / np.concatenate([theta, q, units]) - plain.params).to_numpy()
    free = (plain.bse > 0).to_numpy()
    np.testing.assert_allclose(apart[free] / plain.bse[free], 0, atol=1e-6)
    np.testing.assert_allclose(apart[~free], 0, atol=1e-12)
    assert other.llf + np.log(units).sum() * (other.nobs / 2 - 1) == pytest.approx(plain.llf, abs=1e-6)  # less the first ones
    if has_delay:
        assert float(other.delay) == pytest.approx(float(plain.delay), abs=1e-6)
    else:
        assert other.params["y1: const"] == 0.5 * units[0]
        assert other.params["y2: y2"] == plain.params["y2: y2"] == -0.1


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_one_output_without_noise_beside_one_with_noise_is_named(unit):
    """In the unit of the other output its noise had counted as rounding, and the fit as exact."""
    A, B, h, n = np.array([[-1.0, 0.3], [0.5, -2.0]]), np.array([1.0, 0.5]), 0.1, 200
    t, F = h * np.arange(n), expm(h * A)
    G, u, y = np.linalg.solve(A, (F - np.eye(2)) @ B), np.sign(np.sin(t)), np.zeros((n, 2))
    for k in range(n - 1):
        y[k + 1] = F @ y[k] + G * u[k]
    exact = sf.DerivativeRegression(y * [unit, 1.0], t, u).fit()
    assert exact.params["y2: y2"] == pytest.approx(-2, rel=1e-9)
    y[:, 1] += 1e-6 * np.random.default_rng(0).standard_normal(n)
    with pytest.raises(NumericalError, match=r"as the noise of 'y1' vanishes.*give the SDs"):
        sf.DerivativeRegression(y * [unit, 1.0], t, u).fit()


def test_what_intervals_integrate_over_does_not_depend_on_units_of_outputs():
    """A unit of noise in the reference of the likelihood had moved ends of intervals by a third of their width."""
    rng, units = np.random.default_rng(4), np.array([1.0, 1e5])
    t, y = np.arange(60) * 0.2, np.cumsum(rng.standard_normal((60, 2)), axis=0)
    u = np.sin(t)
    densities, ends = [], []
    for own in (np.ones(2), units):
        model = sf.DerivativeRegression(y * own, t, u)
        equation = model.equation
        by_theta = equation.coefficient_units(own)
        engine = EquationEngine(Problem(equation, model.sample), np.zeros(equation.n_params))
        logs = 2 * np.log(own[[0, 1, 0, 1]])
        shift = np.append(np.zeros(engine.n_system), logs[:-1] - logs[-1])
        scale = np.append(by_theta[equation.in_system], np.ones(3))
        theta = np.array([[-1, 0.1, 0.2, -0.5, 0, 0, 0], [-2, -0.5, 0.1, -0.1, 1, 2, 3.0], [-0.1, 1, -1, -0.1, -3, 0, 1]])
        there = theta * scale + shift
        terms = engine.terms(there)
        densities.append(terms.log_det.value + engine.count * np.log(terms.sse.value) - 2 * engine.log_prior_of_shapes(there))
        ends.append((np.array([engine.lower, engine.upper]) - shift) / scale)
    np.testing.assert_allclose(np.diff(densities[1]), np.diff(densities[0]), rtol=0, atol=1e-8)
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12)
