"""What must not matter to a fit does not: units and origins of X and y, the order of the observations and of the inputs."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import smoothfit as sf

KERNELS = [sf.gp.SquaredExponential, sf.gp.Matern32, sf.gp.Matern52]
repeatable = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def readings(X, y, slopes, x_unit=1.0, x_origin=0.0, y_unit=1.0, y_origin=0.0, known=False):
    """Values and slopes in other units."""
    d = X.shape[1]
    x_unit = np.broadcast_to(x_unit, d)
    sds = [0.125 * y_unit, 0.25 * y_unit / x_unit * np.ones((len(slopes), d))] if known else [None, None]
    points = X * x_unit + x_origin
    obs = sf.gp.observe(points, y * y_unit + y_origin, sd=sds[0])
    return obs + sf.gp.observe(points[: len(slopes)], slopes * y_unit / x_unit, axis="all", sd=sds[1])


def field(n, d, seed=0):
    """Observations on multiples of 1/64, so that shifts are exact."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.uniform(0, 4, (n, d)) * 64) / 64
    y = np.round((np.sin(X).sum(axis=1) + 0.1 * rng.standard_normal(n)) * 1024) / 1024
    slopes = np.round((np.cos(X) + 0.1 * rng.standard_normal((n, d)))[: n // 3] * 1024) / 1024
    return X, y, slopes


@pytest.mark.parametrize(
    ("kernel", "mean"), [*((kernel, "constant") for kernel in KERNELS), (sf.gp.Matern52, "zero"), (sf.gp.Matern52, "linear")]
)
@pytest.mark.parametrize("d", [1, 2])
def test_power_of_two_units_and_exact_shifts_change_no_bit(kernel, mean, d):
    X, y, slopes = field(18, d)
    x_unit, y_unit = 2.0 ** np.array([-40, 7])[:d], 2.0**30
    x_origin = x_unit * np.array([1000.0, -77.0])[:d]
    y_origin = 0.0 if mean == "zero" else 4096.0 * y_unit
    at = X[:5] + 1 / 128
    for route in ["dense"] + ["state_space"] * (d == 1 and kernel is not sf.gp.SquaredExponential):
        one = sf.GaussianProcess(readings(X, y, slopes), kernel=kernel(), mean=mean).fit(route=route)
        moved = readings(X, y, slopes, x_unit, x_origin, y_unit, y_origin)
        other = sf.GaussianProcess(moved, kernel=kernel(), mean=mean).fit(route=route)
        assert other.amplitude == one.amplitude * y_unit
        np.testing.assert_array_equal(other.length_scale, one.length_scale * x_unit)
        np.testing.assert_array_equal(other.sigma, one.sigma * np.r_[y_unit, y_unit / x_unit])
        np.testing.assert_array_equal(other.bse_log, one.bse_log)
        assert other.boundary == one.boundary
        there = at * x_unit + x_origin
        np.testing.assert_array_equal(other.joint_covariance(there), one.joint_covariance(at) * y_unit**2)
        for axis, unit in enumerate(y_unit / x_unit):
            orders = tuple(np.eye(d, dtype=int)[axis])
            np.testing.assert_array_equal(other.predict(there, orders), one.predict(at, orders) * unit)
            np.testing.assert_array_equal(other.joint_covariance(there, orders), one.joint_covariance(at, orders) * unit**2)
        if mean != "constant":  # to integrate over hyperparameters takes seconds, and a mean enters by what is compared above
            continue
        ours, theirs = one.get_prediction(at), other.get_prediction(there)
        np.testing.assert_array_equal(theirs.se_mean, ours.se_mean * y_unit)
        moved_mean = ours.predicted_mean * y_unit + y_origin  # adding the origin rounds
        np.testing.assert_allclose(theirs.predicted_mean, moved_mean, rtol=1e-15, atol=1e-12 * y_unit)
        ours, theirs = one.predict_gradient(at), other.predict_gradient(there)
        np.testing.assert_array_equal(theirs.mean, ours.mean * y_unit / x_unit)
        units = np.outer(y_unit / x_unit, y_unit / x_unit)
        np.testing.assert_array_equal(theirs.covariance, ours.covariance * units)


def test_likelihood_is_a_density_of_the_contrasts():
    X, y, _ = field(30, 2)
    for mean, p in (("zero", 0), ("constant", 1), ("linear", 3)):
        one = sf.GaussianProcess(X, y, mean=mean).fit()
        other = sf.GaussianProcess(X * [0.25, 1024] + [3, -8], y * 0.5 + (0 if mean == "zero" else 16), mean=mean).fit()
        assert other.llf == pytest.approx(one.llf - (30 - p) * np.log(0.5), rel=1e-13)


@repeatable
@given(
    st.sampled_from(KERNELS),
    st.sampled_from(["constant", "linear"]),
    st.floats(-100, 100),
    st.floats(1e-5, 1e5),
    st.floats(1e-5, 1e5),
    st.integers(0, 100),
)
def test_any_units_give_the_same_posterior(kernel, mean, shift, factor, unit, seed):
    X, y, slopes = field(12, 2, seed)
    known = kernel([1.5, 0.75], 1.25)
    one = sf.GaussianProcess(readings(X, y, slopes, known=True), kernel=known, mean=mean).fit()
    scale = np.array([unit, 1 / unit])
    moved = readings(X, y, slopes, scale, 0.0, factor, shift * factor, known=True)
    other = sf.GaussianProcess(moved, kernel=kernel([1.5 * unit, 0.75 / unit], 1.25 * factor), mean=mean).fit()
    at = X[:4] + 0.1
    ours, theirs = one.get_prediction(at), other.get_prediction(at * scale)
    # observations a hundred SDs from zero are rounded to 1e-14 SD; condition 1e3
    assert np.max(np.abs(theirs.predicted_mean / factor - shift - ours.predicted_mean) / ours.se_mean) < 1e-10
    np.testing.assert_allclose(theirs.se_mean / factor, ours.se_mean, rtol=1e-10)
    ours, theirs = one.predict_gradient(at), other.predict_gradient(at * scale)
    assert np.max(np.abs(theirs.mean * scale / factor - ours.mean) / ours.se) < 1e-10
    np.testing.assert_allclose(theirs.se * scale / factor, ours.se, rtol=1e-10)


@repeatable
@given(st.sampled_from(KERNELS), st.sampled_from(["zero", "constant", "linear"]), st.randoms(use_true_random=False))
def test_order_of_readings_and_of_inputs_does_not_matter(kernel, mean, random):
    X, y, slopes = field(12, 3)
    known = kernel([1.5, 0.75, 2.0], 1.25)
    one = sf.GaussianProcess(readings(X, y, slopes, known=True), kernel=known, mean=mean).fit()
    row, column = (np.array(random.sample(range(k), k)) for k in (4, 3))
    row = np.r_[row, np.arange(4, 12)]
    shuffled = readings(X[row][:, column], y[row], slopes[row[:4]][:, column], known=True)
    other = sf.GaussianProcess(shuffled, kernel=kernel(np.array([1.5, 0.75, 2.0])[column], 1.25), mean=mean).fit()
    at = X[:4] + 0.1
    assert other.llf == pytest.approx(one.llf, rel=1e-11)
    ours, theirs = one.predict_gradient(at), other.predict_gradient(at[:, column])
    assert np.max(np.abs(theirs.mean - ours.mean[:, column]) / ours.se[:, column]) < 1e-10
    np.testing.assert_allclose(theirs.covariance, ours.covariance[:, column][:, :, column], atol=1e-10 * ours.se.max() ** 2)
    np.testing.assert_allclose(other.fittedvalues[:12], one.fittedvalues[:12][row], atol=1e-11)


def test_rotation_does_not_matter_to_one_length_scale():
    X, y, slopes = field(15, 2)
    angle = 0.6
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    kernel = sf.gp.Matern52(1.5, 1.25, ard=False)
    at = X[:4] + 0.1
    one = sf.GaussianProcess(readings(X, y, slopes, known=True), kernel=kernel, mean="linear").fit()
    other = sf.GaussianProcess(readings(X @ R.T, y, slopes @ R.T, known=True), kernel=kernel, mean="linear").fit()
    assert other.llf == pytest.approx(one.llf, rel=1e-12)
    np.testing.assert_allclose(other.predict_gradient(at @ R.T).mean, one.predict_gradient(at).mean @ R.T, atol=1e-11)
    turned = R @ one.predict_hessian(at).mean @ R.T
    np.testing.assert_allclose(other.predict_hessian(at @ R.T).mean, turned, atol=1e-10)


def test_weights_and_repeated_readings_say_the_same():
    X, y, _ = field(20, 2)
    kernel = sf.gp.Matern52([1.5, 1.0], 1.0)
    doubled = sf.gp.observe(np.vstack([X, X]), np.r_[y, y], sd=0.2)
    weighted = sf.gp.observe(X, y, sd=0.2, weights=2.0)
    one, other = (sf.GaussianProcess(obs, kernel=kernel).fit().predict_gradient(X + 0.1) for obs in (doubled, weighted))
    np.testing.assert_allclose(other.mean, one.mean, atol=1e-11)
    np.testing.assert_allclose(other.covariance, one.covariance, atol=1e-12)
