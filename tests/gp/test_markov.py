"""The state-space route: its pieces against closed forms and expm, its answers against the dense route and many digits."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import smoothfit as sf
from smoothfit.errors import NumericalError, SpecificationError

KERNELS = [sf.gp.Matern12, sf.gp.Matern32, sf.gp.Matern52]
repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
@pytest.mark.parametrize("kernel", KERNELS[1:])
def test_against_many_digits(kernel, mean, oracle):
    rng = np.random.default_rng(3)
    x = np.array([0.0, 0.4, 0.4, 1.5, 2.0, 2.0001])
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(6), sd=0.05) + sf.observe(
        [0.4, 1.0, 3.0], [1.0, 0.5, -1.0], deriv=1, sd=[0.1, 0.2, 0.01]
    )
    res = sf.GaussianProcess(obs, kernel=kernel(0.9, 1.2), mean=mean).fit(route="state_space")
    truth = oracle(res)
    assert res.llf == pytest.approx(float(truth.llf), rel=1e-12)
    at = np.array([-2.0, 0.0, 0.4, 0.7, 2.00005, 3.0, 8.0])
    for order in range(kernel.markov_order + 1):
        prediction = res.get_prediction(at, deriv=order)
        for i, point in enumerate(at):
            expected, cov = truth.moments([[point]], [(0,) * order])
            sd = np.sqrt(cov[0, 0])
            assert abs(prediction.predicted_mean[i] - expected[0]) < 1e-11 * sd
            assert prediction.se_mean[i] == pytest.approx(sd, rel=1e-11)


@st.composite
def readings(draw):
    """Kernel, mean and observations of values and slopes at points that may coincide, of any scale."""
    kernel = draw(st.sampled_from(KERNELS))
    mean = draw(st.sampled_from(["zero", "constant", "linear"]))
    n = draw(st.integers(4, 14))
    x = np.cumsum([0.0, 1.0, *draw(st.lists(st.sampled_from([0.0, 1e-3, 0.1, 1.0, 4.0]), min_size=n - 2, max_size=n - 2))])
    slope = np.zeros(n, bool)
    if kernel.markov_order > 0:
        slope[2:] = draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))
    y = np.array(draw(st.lists(st.floats(-3, 3, width=32), min_size=n, max_size=n)))
    sd = 10.0 ** np.array(draw(st.lists(st.floats(-2, 1), min_size=n, max_size=n)))
    unit = 10.0 ** draw(st.floats(-6, 6))
    obs = sf.observe(x[~slope] * unit, y[~slope], sd=sd[~slope])
    if slope.any():
        obs = obs + sf.observe(x[slope] * unit, y[slope] / unit, deriv=1, sd=sd[slope] / unit)
    length = unit * 10.0 ** draw(st.floats(-1, 1))
    return sf.GaussianProcess(obs, kernel=kernel(length, 1.5), mean=mean), x, unit


def condition(model):
    """A bound on the condition number of the covariance of observations in units of their noise: one plus its trace."""
    kernel = model.kernel
    of_slopes = {sf.gp.Matern12: np.nan, sf.gp.Matern32: 3, sf.gp.Matern52: 5 / 3}[type(kernel)] / kernel.length_scale**2
    parts = [(reading.deriv[:, 0], reading.sd) for reading in model.observations.readings]
    return 1 + sum(np.sum(kernel.amplitude**2 * np.where(deriv == 0, 1, of_slopes) / sd**2) for deriv, sd in parts)


@repeatable
@given(readings())
def test_both_routes_give_one_answer(given_model):
    model, x, unit = given_model
    dense, filtered = model.fit(route="dense"), model.fit(route="state_space")
    assert filtered.llf == pytest.approx(dense.llf, rel=1e-9, abs=1e-9)
    at = np.r_[x[0] - 2, x, (x[1:] + x[:-1]) / 2, x[-1] + 2] * unit
    bound = max(1e-9, 4 * np.finfo(float).eps * condition(model))  # of the dense route
    np.testing.assert_allclose(filtered.fittedvalues, dense.fittedvalues, rtol=1e-9, atol=1e-9 * np.abs(dense.fittedvalues).max())
    for order in range(model.kernel.markov_order + 1):
        one, other = dense.get_prediction(at, deriv=order), filtered.get_prediction(at, deriv=order)
        assert np.max(np.abs(one.predicted_mean - other.predicted_mean) / one.se_mean) < bound
        np.testing.assert_allclose(other.se_mean, one.se_mean, rtol=bound)
        gap = filtered.joint_covariance(at, deriv=order) - dense.joint_covariance(at, deriv=order)
        assert np.max(np.abs(gap) / np.outer(one.se_mean, one.se_mean)) < bound
    if filtered.mean_coef.size:
        limit = 1e-9 * np.sqrt(np.diag(dense.cov_mean_coef()))
        assert (np.abs(filtered.mean_coef - dense.mean_coef) < limit).all()
        np.testing.assert_allclose(filtered.cov_mean_coef(), dense.cov_mean_coef(), rtol=1e-9, atol=1e-9 * limit.max() ** 2)


@pytest.mark.parametrize("kernel", KERNELS[1:])
def test_fits_agree(kernel, wave):
    model = sf.GaussianProcess(wave, kernel=kernel())
    one, other = model.fit(route="dense"), model.fit(route="state_space")
    assert (one.route, other.route) == ("dense", "state_space")
    assert other.llf == pytest.approx(one.llf, abs=1e-9)
    free = one.bse_log.notna()
    # each is certified to 1e-5 of a standard error
    assert (np.abs(np.log(other.params / one.params))[free] < 2e-5 * one.bse_log[free]).all()
    np.testing.assert_allclose(other.bse_log, one.bse_log, rtol=1e-5)


def test_joint_covariance_comes_in_the_order_of_the_points(wave):
    model = sf.GaussianProcess(wave, kernel=sf.gp.Matern52(1.5, 1.0), mean="linear")
    at = np.array([3.0, -1.0, 7.0, 3.0, 2.5, -0.5, 6.5])
    one, other = (model.fit(route=route) for route in ("dense", "state_space"))
    pairs = [(one.joint_covariance(at), other.joint_covariance(at))]
    pairs += [tuple(res.predict_gradient(at).joint_covariance() for res in (one, other))]
    for one, other in pairs:
        np.testing.assert_allclose(other, one, atol=1e-10 * np.abs(one).max())


def test_the_route_follows_the_kernel_and_the_number_of_inputs(wave):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 40, 1000))
    y = np.sin(x) + 0.1 * rng.standard_normal(1000)
    long = sf.GaussianProcess(x, y, sf.gp.Matern32(2.0, 1.0), sd=0.1)
    assert long.fit().route == "state_space"
    assert long.fit().llf == pytest.approx(long.fit(route="dense").llf, rel=1e-11)
    assert sf.GaussianProcess(wave, kernel=sf.gp.Matern32(2.0, 1.0)).fit().route == "state_space"
    assert sf.GaussianProcess(wave).fit().route == "dense"
    squared = sf.GaussianProcess(x[:30], y[:30], sf.gp.SquaredExponential(2.0, 1.0))
    with pytest.raises(SpecificationError, match="squared exponential kernel in 1 input"):
        squared.fit(route="state_space")
    with pytest.raises(SpecificationError, match='use route="dense"'):
        sf.GaussianProcess(np.ones((30, 2)) * x[:30, None], y[:30], sf.gp.Matern32([1.0, 1.0], 1.0)).fit(route="state_space")
    with pytest.raises(SpecificationError, match="route is 'fast'"):
        squared.fit(route="fast")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # a sine is no draw of these priors
@pytest.mark.parametrize("kernel", KERNELS[1:])
def test_many_readings_that_dense_algebra_could_not_take(kernel):
    # 30 000 observations: a dense covariance would have 7 GB. The error of the slope must be what it says.
    rng = np.random.default_rng(4)
    n = 30_000
    x = np.sort(rng.uniform(0, 300, n))
    y = np.sin(x) + 0.3 * rng.standard_normal(n)
    res = sf.GaussianProcess(
        x, y, kernel(6.0 if kernel is sf.gp.Matern52 else 20.0, 1.0 if kernel is sf.gp.Matern52 else 3.0), sd=0.3
    )
    res = res.fit()
    at = np.linspace(5, 295, 400)
    prediction = res.predict_gradient(at)
    errors = (prediction.mean[:, 0] - np.cos(at)) / prediction.se[:, 0]
    assert 0.5 < np.sqrt(np.mean(errors**2)) < 1.2  # a sine is smoother than the prior


@pytest.mark.parametrize("kernel", KERNELS)
def test_close_readings_keep_their_digits(kernel, oracle):
    # Gaps of 1e-7 length scales, little noise: the dense covariance is singular to rounding, the filter's is not.
    x = np.array([0.0, 1e-7, 2e-7, 0.5, 0.5 + 1e-7, 1.0])
    res = sf.GaussianProcess(x, np.sin(x), kernel(1.0, 1.0), sd=1e-6).fit(route="state_space")
    truth = oracle(res)
    assert res.llf == pytest.approx(float(truth.llf), rel=1e-9)
    prediction = res.get_prediction([0.25, 0.75, 2.0])
    for i, point in enumerate([0.25, 0.75, 2.0]):
        expected, cov = truth.moments([[point]], [()])
        assert abs(prediction.predicted_mean[i] - expected[0]) < 1e-6 * np.sqrt(cov[0, 0])
        assert prediction.se_mean[i] == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-6)


def test_exact_readings_are_interpolated():
    x = np.linspace(0, 5, 30)
    res = sf.GaussianProcess(sf.gp.observe(x, np.sin(x), sd=0), kernel=sf.gp.Matern52()).fit(route="state_space")
    np.testing.assert_allclose(res.predict(x), np.sin(x), atol=1e-13)
    np.testing.assert_allclose(res.fittedvalues, np.sin(x), atol=1e-13)
    assert res.get_prediction(x).se_mean.max() < 1e-7
    between = res.predict_gradient((x[1:] + x[:-1]) / 2)
    assert np.max(np.abs(between.mean[:, 0] - np.cos((x[1:] + x[:-1]) / 2)) / between.se[:, 0]) < 3
    slopes = sf.gp.observe([1.0], [0.5], sd=0) + sf.gp.observe([1.0], [0.5], axis=0, sd=0)
    again = slopes + sf.gp.observe([1.0], [0.5], sd=0, name="twin")
    assert np.isfinite(sf.GaussianProcess(slopes, kernel=sf.gp.Matern52(1.0, 1.0), mean="zero").fit(route="state_space").llf)
    with pytest.raises(sf.errors.DataError, match="exact observations"):
        sf.GaussianProcess(again, kernel=sf.gp.Matern52(1.0, 1.0), mean="zero")
    close = sf.gp.observe([0.0, 5e-324, 1.0], [0.0, 0.0, 1.0], sd=0)
    with pytest.raises(NumericalError, match="singular"):  # closer than numbers resolve
        sf.GaussianProcess(close, kernel=sf.gp.Matern32(1.0, 1.0)).fit(route="state_space")
