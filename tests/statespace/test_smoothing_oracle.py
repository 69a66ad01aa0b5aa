"""The filter and the smoother against the dense posterior in a hundred digits.

Means are compared in posterior standard deviations, variances relatively. A double holds 16 digits; observations lie up to
10^4 of their standard deviations from zero and gaps between values of x are rounded, so that 12 are left.
"""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import smoothfit as sf

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")

ORDERS = (1, 2, 3, 4)
MEAN, VARIANCE = 1e-11, 1e-12
# Near ties (1e-9 of the spacing) and gaps of many bandwidths cost another digit at order 4.
HOSTILE_MEAN, HOSTILE_VARIANCE = 1e-10, 1e-11

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def mixed_readings(rng, order, n=16):
    """Unsorted observations of all orders; a quarter of the values of x repeat; variances over 10^8."""
    x = np.cumsum(rng.exponential(size=n) * (rng.random(n) < 0.75))
    deriv = rng.permutation(np.r_[np.zeros(order, int), rng.integers(0, order, n - order)])
    deriv[np.unique(x, return_index=True)[1][:order]] = 0
    row = rng.permutation(n)
    sd, weights = 10.0 ** rng.uniform(-1, 1, n), 10.0 ** rng.uniform(-3, 3, n)
    return x[row], 3 * rng.standard_normal(n), deriv[row], sd, weights


def between_and_beyond(x):
    nodes = np.unique(x)
    return np.concatenate([nodes, (nodes[1:] + nodes[:-1]) / 2, nodes[[0, -1]] - [2, -2], nodes[[0, -1]] - [0.01, -0.01]])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", ORDERS)
def test_posterior_at_between_and_beyond_the_readings(order, seed, observe, dense, table, errors):
    rng = np.random.default_rng(seed)
    x, *readings = mixed_readings(rng, order)
    observations = observe(x, *readings)
    lam = 10.0 ** rng.uniform(-3, 3)
    res = sf.SmoothingSpline(observations, order=order).fit(lam=lam)
    assert res.q == pytest.approx(1 / lam, rel=1e-13)  # one exp and one log
    points = between_and_beyond(x)
    mean_error, variance_error = errors(res, dense(table(observations), order, res.q, start=points.min()), points)
    assert mean_error < MEAN
    assert variance_error < VARIANCE


@pytest.mark.parametrize("order", ORDERS)
def test_fitted_values_and_leverages_in_the_order_of_the_observations(order, observe, dense, table):
    rng = np.random.default_rng(10 + order)
    observations = observe(*mixed_readings(rng, order))
    res = sf.SmoothingSpline(observations, order=order).fit(lam=0.3)
    oracle = dense(table(observations), order, res.q)
    fitted = oracle.y.astype(float) - (oracle.noise * (oracle.projector @ oracle.y)).astype(float)
    leverage = np.diag(oracle.smoother_matrix)
    sd = np.sqrt(leverage * oracle.noise.astype(float))
    assert np.max(np.abs(res.fittedvalues - fitted) / sd) < MEAN
    # The oracle's own I - R P, rounded last, is exact to 1e-16 of one; the smallest leverages are 1e-6.
    np.testing.assert_allclose(res._leverage, leverage, rtol=1e-9, atol=1e-15)
    assert res.edf == pytest.approx(np.trace(oracle.smoother_matrix), rel=1e-13)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("order", ORDERS)
def test_likelihoods(order, seed, observe, dense, table):
    rng = np.random.default_rng(20 + seed)
    observations = observe(*mixed_readings(rng, order))
    model = sf.SmoothingSpline(observations, order=order)
    lam = 10.0 ** rng.uniform(-3, 3)
    res, full = model.fit(lam=lam), model.fit("ml", lam=lam)
    oracle = dense(table(observations), order, res.q)
    # Sums of some fifty terms up to 1e5 (observations 10^3 SD from the curve): absolute error 1e-16 of the largest.
    for value, expected in [(res.llf_diffuse, oracle.llf_diffuse), (res.llf, oracle.llf), (full.llf, oracle.llf_full)]:
        assert value == pytest.approx(float(expected), rel=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_likelihoods_with_estimated_sds_are_those_of_the_user_s_units(order, observe, dense, table):
    rng = np.random.default_rng(30 + order)
    x, y, deriv, *_ = mixed_readings(rng, order, n=24)
    observations = observe(x * 1e3, y * 1e-2, deriv)
    model = sf.SmoothingSpline(observations, order=order)
    for method in ("reml", "ml"):
        res = model.fit(method, bandwidth=2e3)
        oracle = dense(table(observations, res.sigma), order, res.q)
        expected = oracle.llf if method == "reml" else oracle.llf_full
        assert res.llf == pytest.approx(float(expected), rel=1e-12)  # sigma^2 is squared again: a few units of 1e-16
        assert res.llf_diffuse == pytest.approx(float(oracle.llf_diffuse), rel=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_integral(order, observe, dense, table):
    rng = np.random.default_rng(40 + order)
    x, *readings = mixed_readings(rng, order)
    observations = observe(x, *readings)
    res = sf.SmoothingSpline(observations, order=order).fit(lam=0.1)
    first, *_, last = nodes = np.unique(x)
    oracle = dense(table(observations), order, res.q, start=first - 3)
    limits = [(first, last), (first - 3, last + 3), (nodes[2], nodes[5]), (nodes[3] + 0.01, nodes[3] + 0.02)]
    limits += [(first - 2, first - 1), (last + 1, last + 1.5), (first - 1, nodes[1]), (nodes[-2] + 1e-3, last + 1)]
    limits += [(nodes[4], nodes[4] + 1e-9), (nodes[4] - 1e-9, nodes[5])]
    for a, b in limits:
        mean, variance = oracle.integral(a, b)
        result = res.integrate(a, b)
        assert abs(result - mean) < 1e-11 * np.sqrt(variance)
        assert result.se**2 == pytest.approx(variance, rel=1e-11)  # lengths of intervals are rounded too


def test_integral_backwards_and_over_nothing(observe):
    observations = observe(*mixed_readings(np.random.default_rng(50), 3))
    res = sf.SmoothingSpline(observations, order=3).fit(lam=1.0)
    ahead, back, none = res.integrate(1.0, 4.0), res.integrate(4.0, 1.0), res.integrate(2.0, 2.0)
    assert (back, back.se) == (-ahead, ahead.se)
    assert (none, none.se) == (0, 0)
    assert ahead == pytest.approx(res.integrate(1.0, 2.5) + res.integrate(2.5, 4.0), abs=1e-12 * ahead.se)


@pytest.mark.parametrize("order", ORDERS)
def test_polynomial_limit_is_exact(order, dense, table, errors):
    rng = np.random.default_rng(55)
    x = np.sort(rng.uniform(0, 1, 20))
    observations = sf.observe(x, 1 + np.tile([0.1, -0.1], 10) * rng.uniform(0.5, 1.5, 20))  # rougher than white noise
    res = sf.SmoothingSpline(observations, order=order).fit()
    assert res.q == 0
    oracle = dense(table(observations, res.sigma), order, 0, start=-1)
    mean_error, variance_error = errors(res, oracle, np.r_[-1, x, 2])
    assert mean_error < MEAN
    assert variance_error < VARIANCE
    mean, variance = oracle.integral(-0.5, 0.7)
    result = res.integrate(-0.5, 0.7)
    assert abs(result - mean) < 1e-12 * np.sqrt(variance)
    assert result.se**2 == pytest.approx(variance, rel=1e-12)
    np.testing.assert_allclose(res.spline()(x), res.predict(x), rtol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_spline_is_the_posterior_mean_in_every_derivative(order, observe, dense, table):
    rng = np.random.default_rng(60 + order)
    nodes = np.cumsum(rng.uniform(0.5, 1.5, 8))
    x = np.repeat(nodes, 2)
    deriv = np.tile([0, order - 1], 8)
    observations = observe(x, rng.standard_normal(16), deriv, sd=10.0 ** rng.uniform(-2, 0, 16))
    res = sf.SmoothingSpline(observations, order=order).fit(bandwidth=0.5)
    oracle = dense(table(observations), order, res.q)
    between = np.concatenate([nodes[:-1] + share * np.diff(nodes) for share in (0.01, 0.4, 0.99)])
    spline = res.spline()
    # Coefficients are right to rounding; each derivative takes differences of them over the shortest support.
    tolerance = 1e-14 * np.abs(spline.coef).max()
    for k in range(2 * order):
        assert np.max(np.abs(spline(between, deriv=k) - oracle.mean_between(between, k))) < tolerance
        tolerance *= 2 * (2 * order - 1 - k) / np.diff(nodes).min()


@pytest.mark.parametrize("order", ORDERS)
def test_leave_one_out_residuals_are_those_of_fits_without_the_reading(order, observe):
    rng = np.random.default_rng(70 + order)
    columns = mixed_readings(rng, order, n=14)
    observations = observe(*columns)
    res = sf.SmoothingSpline(observations, order=order).fit(lam=1.0)
    row = np.argsort(columns[2], kind="stable")  # observations come name after name, that is order after order
    x, y, deriv, sd, weights = (column[row] for column in columns)
    for i in range(0, len(x), 3):
        rest = np.arange(len(x)) != i
        without = sf.SmoothingSpline(observe(x[rest], y[rest], deriv[rest], sd[rest], weights[rest]), order=order)
        prediction = without.fit(lam=1.0).get_prediction([x[i]], deriv=int(deriv[i]))
        spread = np.sqrt(prediction.var_pred_mean[0] + sd[i] ** 2 / weights[i])
        # 1 - leverage is down to 1e-6 where an observation is the only precise one.
        assert abs(res.loo_resid[i] - (y[i] - prediction.predicted_mean[0])) < 1e-8 * spread


@pytest.mark.parametrize("n_close", [3, 4, 5])
@pytest.mark.parametrize("order", ORDERS)
def test_near_ties_at_the_start(order, n_close, observe, dense, table, errors):
    # Observations 1e-9 of the spacing apart leave a slope variance of 1e18 and a curvature variance of 1e36 until the others come:
    # a covariance that is updated by subtraction keeps no digit of either.
    rng = np.random.default_rng(80 + order)
    n = n_close + 8
    x = 1.5 + np.cumsum(np.r_[np.full(n_close, 1e-9), rng.uniform(0.5, 1.5, n - n_close)])
    observations = observe(x, rng.standard_normal(n), np.zeros(n, int), sd=10.0 ** rng.uniform(-2, 1, n))
    res = sf.SmoothingSpline(observations, order=order).fit(lam=3.0)
    points = between_and_beyond(x)
    oracle = dense(table(observations), order, res.q, start=points.min())
    mean_error, variance_error = errors(res, oracle, points)
    assert mean_error < HOSTILE_MEAN
    assert variance_error < HOSTILE_VARIANCE
    assert res.llf_diffuse == pytest.approx(float(oracle.llf_diffuse), rel=1e-12)


@st.composite
def hostile_readings(draw):
    """Ties, near ties and wide gaps in any order, derivatives anywhere; only the last observations fix the polynomial for sure."""
    order = draw(st.sampled_from(ORDERS))
    n = draw(st.integers(0, 7))
    gap = st.sampled_from([0.0, 1e-9, 1e-4, 0.3, 1.0, 7.0])
    gaps = draw(st.lists(gap, min_size=n, max_size=n)) + draw(st.lists(st.floats(0.5, 2), min_size=order + 1, max_size=order + 1))
    deriv = draw(st.lists(st.integers(0, order - 1), min_size=n, max_size=n)) + [0] * (order + 1)
    total = n + order + 1
    y = draw(st.lists(st.floats(-10, 10, width=32), min_size=total, max_size=total))
    log_sd = draw(st.lists(st.floats(-2, 2), min_size=total, max_size=total))
    bandwidth = 10.0 ** draw(st.floats(-1, 2))
    x = draw(st.sampled_from([-1.5, 0.0, 100.0])) + np.cumsum(gaps)
    return order, x, np.array(y), np.array(deriv), 10.0 ** np.array(log_sd), bandwidth


@repeatable
@given(hostile_readings())
def test_posterior_of_hostile_readings(observe, dense, table, errors, readings):
    order, x, y, deriv, sd, bandwidth = readings
    observations = observe(x, y, deriv, sd)
    res = sf.SmoothingSpline(observations, order=order).fit(bandwidth=bandwidth)
    points = np.r_[x, (x[1:] + x[:-1])[::3] / 2, x[0] - 1, x[-1] + 1]
    oracle = dense(table(observations), order, res.q, start=x[0] - 1)
    mean_error, variance_error = errors(res, oracle, points)
    assert mean_error < HOSTILE_MEAN
    assert variance_error < HOSTILE_VARIANCE
    assert res.llf_diffuse == pytest.approx(float(oracle.llf_diffuse), rel=1e-11, abs=1e-11)
