"""Pointwise intervals allow for the uncertainty of the estimated parameters."""

import mpmath
import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.markov.kernels import filtered_states, smoothed_states, state_variances, states_at
from smoothfit.results.prediction import mixture_critical_value


def wave(n=120, noise=0.3, scale=1.0):
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 6, n))
    return sf.observe(scale * x, np.sin(x) + noise * rng.standard_normal(n), name="level")


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.5])
def test_critical_values_of_the_mixture(alpha):
    spread = np.array([0.0, 0.01, 0.5, 1.0, 4.0])
    found = mixture_critical_value(alpha, spread)
    assert found[0] == pytest.approx(stats.norm.isf(alpha / 2), rel=1e-12)
    for s2, c in zip(spread[1:], found[1:], strict=True):

        def beyond(w, c=c, s2=s2):
            return 2 * mpmath.ncdf(-c * mpmath.exp(-mpmath.sqrt(s2) * w / 2)) * mpmath.npdf(w)

        # the quadrature and the table each hold the critical value to 1e-6, which moves the tail by a few times that, relatively
        assert float(mpmath.quad(beyond, [-10, -5, 0, 5, 10])) == pytest.approx(alpha, rel=5e-6)


def test_critical_values_of_one_spread():
    np.testing.assert_allclose(mixture_critical_value(0.05, np.full(3, 0.3)), mixture_critical_value(0.05, np.array([0.3, 0.9]))[0])
    alike = 0.3 * (1 + np.finfo(float).eps * np.arange(3))
    np.testing.assert_allclose(mixture_critical_value(0.05, alike), mixture_critical_value(0.05, np.full(3, 0.3)))


@pytest.mark.parametrize("alpha", [1e-4, 0.05])
def test_no_critical_value_depends_on_another_one_or_is_negative(alpha):
    # near a boundary the log variance may have a variance of thousands beside points where it has none
    spread = np.array([0.0, 1e-6, 0.3, 15.9, 16.1, 400.0, 1e4])
    together = mixture_critical_value(alpha, spread)
    alone = np.concatenate([mixture_critical_value(alpha, spread[[i]]) for i in range(len(spread))])
    np.testing.assert_array_equal(together, alone)
    assert (np.diff(together) > 0).all()
    assert together[0] > 0


@pytest.mark.parametrize("deriv", [0, 1, 2])
def test_intervals_are_those_of_draws_of_parameters_and_curve(deriv):
    """The marginal posterior by simulation: of parameters, then of the normal posterior given them."""
    res = sf.SmoothingSpline(wave(), order=3).fit()
    x = np.array([0.5, 2.0, 3.3, 5.9])
    rows, v, order = res.engine.rows, res.optimum, 3
    points = res.observations.abscissa.points(x)
    rng = np.random.default_rng(0)
    steps = rng.multivariate_normal(np.zeros(2), res._cov_log_params, 4000)
    draws = np.empty((len(steps), len(x)))
    for i, (log_sd, log_q) in enumerate(steps):
        q, sigma2 = v.q * float(np.exp(log_q)), v.sigma2 * np.exp(2 * log_sd)
        filtered = filtered_states(rows, order, q, sigma2)
        states = states_at(rows, order, q, filtered, smoothed_states(rows, order, q, filtered), points)
        sd = np.sqrt(state_variances(order, states)[:, deriv])
        draws[i] = (states[:, deriv] + sd * rng.standard_normal(len(x))) * rows.scale.of(deriv)
    draws += rows.scale.y_origin if deriv == 0 else 0.0
    prediction = res.get_prediction(x, deriv=deriv)
    lower, upper = prediction.conf_int(alpha=0.1).T
    # 4000 draws tell a level of .9 to .005; what is of second order in the parameters' sds (.4 for log q) is some .01 here
    inside = np.mean((draws > lower) & (draws < upper), axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=0.03)
    plain = stats.norm.isf(0.05) * prediction.se_mean
    inside = np.mean(np.abs(draws - prediction.predicted_mean) < plain, axis=0)
    if deriv == 2:
        assert (inside < 0.87).any()  # where it matters


def test_fixed_smoothing_leaves_students_t():
    model = sf.SmoothingSpline(wave(), order=3)
    prediction = model.fit(bandwidth=0.6).get_prediction([1.0, 2.0], deriv=1)
    assert prediction.parameters is None
    half = stats.t.isf(0.05, 120 - 3) * prediction.se_mean
    np.testing.assert_allclose(np.diff(prediction.conf_int(alpha=0.1)).ravel() / 2, half, rtol=1e-14)


def test_standard_errors_are_those_at_the_estimates():
    model = sf.SmoothingSpline(wave(), order=2)
    free = model.fit().get_prediction([1.0, 2.0], deriv=1)
    fixed = model.fit(bandwidth=model.fit().bandwidth).get_prediction([1.0, 2.0], deriv=1)
    np.testing.assert_allclose(free.se_mean, fixed.se_mean, rtol=1e-5)
    assert (np.diff(free.conf_int()) > np.diff(fixed.conf_int())).all()


def test_intervals_do_not_depend_on_the_unit_of_x():
    x = np.array([0.3, 2.0, 7.0])
    for deriv in (0, 1):
        one = sf.SmoothingSpline(wave()).fit().get_prediction(x, deriv=deriv).conf_int()
        other = sf.SmoothingSpline(wave(scale=2.0**20)).fit().get_prediction(2.0**20 * x, deriv=deriv).conf_int()
        np.testing.assert_allclose(other * 2.0 ** (20 * deriv), one, rtol=1e-12)


def test_new_readings():
    """Most of the uncertainty of a new reading is its noise, whose sd 120 readings tell to 7 %."""
    prediction = sf.SmoothingSpline(wave(), order=2).fit().get_prediction([3.0])
    half = np.diff(prediction.conf_int(obs=True)).ravel() / 2
    assert half / prediction.se_obs == pytest.approx(stats.t.isf(0.025, 112), rel=5e-3)
