"""Equations of a higher order than the samples': a maximum inside, or words that say which order they tell."""

import pickle
import warnings

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.dynamics.fast import Chart, FastPoleError, lowered, raised
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import BiasWarning, IdentificationError, NumericalError, SamplingWarning
from smoothfit.markov.discretize import discretize

from .conftest import held, solution

STEP = 0.05
THETA = {1: [-1.0, 2.0, 0.5], 2: [-4.0, -1.2, 3.0, 0.7]}
NOISES = {"readings": (0.0, 0.1), "process": (0.3, 0.0), "both": (0.3, 0.1)}
WORDS = r"poles? decays? too fast for these samples: the observations fit an equation of order (\d) as well; use order=\1"


def samples(order, noise, seed, n=400):
    rng = np.random.default_rng(seed)
    q, sigma = NOISES[noise]
    t, u = np.arange(n) * STEP, held(rng, n, 10)
    y = solution(THETA[order], t, u, order, q=q**2, rng=rng)[:, 0]
    return t, u, y + sigma * rng.standard_normal(n)


def fitted(model, method="kalman"):
    """A fit, or the error in words; poles that decay within a step are expected here."""
    with warnings.catch_warnings():
        for category in (SamplingWarning, BiasWarning):
            warnings.simplefilter("ignore", category)
        try:
            return model.fit(method)
        except FastPoleError as error:
            return error


def deviance(model, theta, q, sigma2):
    terms = StateSpace(model.equation, model.sample).terms(theta, q, sigma2, slopes=False)
    return terms.n_used * np.log(2 * np.pi) + terms.log_det + terms.sse


@pytest.mark.parametrize(("truth", "noise"), [(1, "readings"), (1, "process"), (1, "both"), (2, "readings"), (2, "both")])
def test_one_order_too_many_has_a_certified_maximum_or_says_so(truth, noise):
    kinds = set()
    for seed in range(6 if truth == 1 else 4):
        t, u, y = samples(truth, noise, seed)
        above = sf.DerivativeRegression(y, t, u, order=truth + 1)
        # An infinitely fast pole takes up the first observation and leaves the order below.
        limit = sf.DerivativeRegression(y[1:], t[1:], u[1:], order=truth).fit()
        res = fitted(above)
        kinds.add(type(res))
        if isinstance(res, FastPoleError):
            assert res.order == truth
            with pytest.raises(IdentificationError, match=WORDS):
                raise res
            for time in (1e-3, 1e-2, 0.1, 1.0):  # the boundary is a maximum
                theta = raised(limit.model.equation, limit.coefficients, above.equation, np.array([time * STEP]))
                q = limit.fitted.q / (time * STEP) ** 2
                assert deviance(above, theta, q, limit.fitted.sigma2) > -2 * limit.llf
        else:
            assert res.llf > limit.llf
            assert res.fitted.decrement <= 1e-9
    if truth == 1:
        assert kinds == {sf.dynamics.DynamicsResults, FastPoleError}


def test_two_orders_too_many_lead_back_to_the_first():
    t, u, y = samples(1, "both", 0)
    found = fitted(sf.DerivativeRegression(y, t, u, order=2)), fitted(sf.DerivativeRegression(y, t, u, order=3))
    lowest = sf.DerivativeRegression(y[2:], t[2:], u[2:]).fit()
    for res in found:
        assert isinstance(res, FastPoleError) or res.llf > lowest.llf


@pytest.mark.parametrize("method", ["armax", "whittle", "output_error", "iv", "arx"])
@pytest.mark.parametrize("noise", NOISES)
def test_other_methods_say_the_same(method, noise):
    for seed in range(3):
        t, u, y = samples(1, noise, seed)
        res = fitted(sf.DerivativeRegression(y, t, u, order=2), method)
        if isinstance(res, FastPoleError):
            with pytest.raises(IdentificationError, match=WORDS):
                raise res
        else:
            assert res.poles().real.max() == pytest.approx(-1, abs=0.4)


def test_the_likelihood_is_continuous_up_to_an_infinitely_fast_pole():
    t, u, y = samples(1, "both", 1)
    y[:3] = np.nan  # leading gaps, too
    above = sf.DerivativeRegression(y, t, u, order=2)
    lower, rest = lowered(above.equation, above.sample)
    assert len(rest) == len(t) - 4
    theta, q, sigma2 = np.array(THETA[1]), np.array([0.09]), np.array([0.01])
    limit = StateSpace(lower, rest).terms(theta, q, sigma2, slopes=False)
    at = []
    for time in (1e-4 * STEP, 1e-5 * STEP):
        high = raised(lower, theta, above.equation, np.array([time]))
        terms = StateSpace(above.equation, above.sample).terms(high, q / time**2, sigma2, slopes=False)
        assert terms.n_used == limit.n_used
        at.append(terms.log_det + terms.sse - limit.log_det - limit.sse)
    assert abs(at[0]) < 0.1
    assert at[1] == pytest.approx(at[0] / 10, rel=0.05)  # linear in the time constant


def test_the_likelihood_knows_no_unit_of_time():
    t, u, y = samples(2, "both", 0)
    res, other = (sf.DerivativeRegression(y, t * unit, u, order=2).fit() for unit in (1.0, 1000.0))
    assert other.llf == pytest.approx(res.llf, rel=1e-10)
    np.testing.assert_allclose(other.coefficients * [1e6, 1e3, 1e6, 1e6], res.coefficients, rtol=1e-4)


def test_what_comes_before_the_first_reading_tells_nothing():
    t, u, y = samples(1, "both", 0)
    y[:5] = np.nan
    gap, start = sf.DerivativeRegression(y, t, u), sf.DerivativeRegression(y[5:], t[5:], u[5:])
    for theta in (THETA[1], [-3.0, 1.0, 0.0]):
        args = np.array(theta), np.array([0.09]), np.array([0.01])
        assert deviance(gap, *args) == pytest.approx(deviance(start, *args), rel=1e-10)


def test_readings_that_fix_a_state_are_not_said_not_to():
    t, u, y = samples(2, "readings", 0, 40)
    model = sf.DerivativeRegression(y, t, u, order=3)
    space = StateSpace(model.equation, model.sample)
    with pytest.raises(NumericalError, match="numerically at these coefficients"):
        space.terms(np.array([-1e13, -1e10, -1e6, 1.0, 0.0]), np.array([1.0]), np.array([1.0]), slopes=False)


def test_a_first_order_without_noise_is_told_from_a_second():
    rng = np.random.default_rng(0)
    t, u = np.arange(300) * STEP, held(rng, 300, 10)
    y = solution(THETA[1], t, u)[:, 0]
    res = fitted(sf.DerivativeRegression(y, t, u, order=2))
    assert isinstance(res, FastPoleError) or np.isclose(res.coefficients[-2:].min() / res.coefficients[0], -0.5, rtol=1e-6)


def test_charts_lead_there_and_back():
    equation = Equation(3, ("y",), (0, 1, 2), ("u",))
    slow = Equation(1, ("y",), (0,), ("u",))
    theta = raised(slow, np.array(THETA[1]), equation, np.array([0.3, 0.2]) * STEP)
    np.testing.assert_allclose(np.sort(np.roots([1, *-theta[2::-1]]).real), [-5 / STEP, -1 / 0.3 / STEP, -1], rtol=1e-9)
    variances = np.array([0.3, 0.1])
    chart = Chart.at(equation, theta, 2, STEP)
    assert chart.lead == 1  # the first derivative is what remains on the left
    assert chart.time(theta) == pytest.approx(0.06 * STEP**2 / (1 + 0.5 * STEP), rel=1e-9)
    J = chart.jacobian(theta)
    for i in range(7):
        unit = 1e-6 * chart.time(theta) * np.eye(7)[i]
        (up, up_v), (down, down_v) = (chart.moved(theta, variances, sign * unit) for sign in (1, -1))
        slope = np.concatenate([up - down, np.log(up_v / down_v)]) / (2 * unit[i])
        np.testing.assert_allclose(slope, J[:, i], rtol=1e-4, atol=1e-4 * np.abs(J[:, i]).max())
    far = chart.within(theta, -1e9 * np.eye(7)[1], np.eye(7))
    assert chart.time(chart.moved(theta, variances, far)[0]) == pytest.approx(chart.time(theta) / 5)


def test_steps_of_fast_beside_slow_poles_keep_their_digits():
    import mpmath as mp

    equation = Equation(3, ("y",), (0, 1, 2), ("u",))
    theta = raised(Equation(1, ("y",), (0,), ("u",)), np.array(THETA[1]), equation, np.array([1e-2, 0.7e-2]) * STEP)
    system = equation.matrices(theta)[0]
    with mp.workdps(60):
        block = mp.zeros(4)
        block[:3, :3] = mp.matrix(system.tolist()) * STEP
        block[2, 3] = STEP
        exact = np.array(mp.expm(block).tolist(), dtype=float)
    d = discretize(system, equation.entry, np.array([STEP]))
    np.testing.assert_allclose(d.T[0][0], exact[0, :3], rtol=1e-11)
    assert d.hold[0, 0, 0] == pytest.approx(exact[0, 3], rel=1e-11)


def test_the_error_survives_a_pickle():
    error = pickle.loads(pickle.dumps(FastPoleError("use order=2", 2)))
    assert (str(error), error.order) == ("use order=2", 2)
