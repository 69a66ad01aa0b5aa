"""Predictions of Gaussian processes under the names of every other fit, each number by a second route."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError

RNG = np.random.default_rng(11)
KERNELS = [sf.gp.SquaredExponential([0.9, 1.4], 1.2), sf.gp.Matern52([0.9, 1.4], 1.2)]


def surface(kernel, mean="linear", y=None):
    X = np.random.default_rng(4).uniform(0, 2, (25, 2))
    values = np.sin(X[:, 0]) * X[:, 1] if y is None else y[:25]
    slopes = np.cos(X[:8, 0]) * X[:8, 1] if y is None else y[25:]
    obs = sf.gp.observe(X, values, sd=0.1) + sf.gp.observe(X[:8] + 0.1, slopes, axis=0, sd=0.3)
    return sf.GaussianProcess(obs, kernel=kernel, mean=mean).fit()


def curve(kernel, route="auto"):
    x = np.linspace(0, 5, 30)
    obs = sf.observe(x, np.sin(x), sd=0.1) + sf.observe(x[::4], np.cos(x[::4]), deriv=1, sd=0.2)
    return sf.GaussianProcess(obs, kernel=kernel).fit(route=route)


@pytest.mark.parametrize("kernel", KERNELS)
def test_partial_derivatives_are_the_entries_of_gradients_and_hessians(kernel):
    res, at = surface(kernel), RNG.uniform(0, 2, (4, 2))
    gradient, hessian = res.predict_gradient(at), res.predict_hessian(at)
    for j, deriv in enumerate([(1, 0), (0, 1)]):
        prediction = res.get_prediction(at, deriv)
        np.testing.assert_allclose(prediction.predicted_mean, gradient.mean[:, j], rtol=1e-13)
        np.testing.assert_allclose(prediction.se_mean, gradient.se[:, j], rtol=1e-13)
        np.testing.assert_allclose(res.joint_covariance(at, deriv), gradient.joint_covariance()[:, j, :, j], rtol=1e-12)
    for (i, j), deriv in {(0, 0): (2, 0), (0, 1): (1, 1), (1, 1): (0, 2)}.items():
        np.testing.assert_allclose(res.get_prediction(at, deriv).se_mean, hessian.se[:, i, j], rtol=1e-12)
        np.testing.assert_allclose(res.predict(at, deriv), hessian.mean[:, i, j], rtol=1e-12)
    frame = res.get_prediction(at, (1, 0)).summary_frame()
    assert frame.index.names == ["x0", "x1"]
    assert frame["obs_ci_lower"].notna().all()
    assert res.get_prediction(at, (0, 1)).summary_frame()["obs_ci_lower"].isna().all()
    assert res.get_prediction(at, (1, 0), name="df/dx0").noise_sd == pytest.approx(0.3)
    with pytest.raises(SpecificationError, match="df/dx0 is observed by df/dx0"):
        res.get_prediction(at, (1, 0), name="f")
    with pytest.raises(SpecificationError, match="order 3; predictions end at order 2"):
        res.predict(at, (2, 1))
    with pytest.raises(SpecificationError, match=r"deriv is 1; pass an order for each of 2 variables, for example \(1, 0\)"):
        res.predict(at, 1)


def test_in_one_input_an_order_is_a_number():
    res = curve(sf.gp.Matern32(1.5, 1.0))
    np.testing.assert_array_equal(res.predict([0.3, 2.0], deriv=1), res.predict_gradient([0.3, 2.0]).mean[:, 0])
    assert res.get_prediction([0.3, 2.0]).summary_frame().index.tolist() == [0.3, 2.0]
    with pytest.raises(SpecificationError, match="Matérn 3/2 kernel have no d2f/dx"):
        res.predict([0.3], deriv=2)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # y + row has an outlier of ten SDs
@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
def test_leverages_are_those_of_a_linear_smoother(mean):
    kernel = KERNELS[0]
    res = surface(kernel, mean)
    n = res.nobs
    base, y = res.fittedvalues, res.observations.y
    smoother = np.array([surface(kernel, mean, y + row).fittedvalues - base for row in np.eye(n)]).T
    np.testing.assert_allclose(res.edf, np.trace(smoother), rtol=1e-9)
    assert res.df_resid == pytest.approx(n - res.edf)
    left_out = []
    for i in range(n):  # an observation that is missing is left out
        without = surface(kernel, mean, np.where(np.arange(n) == i, np.nan, y))
        point = res.observations.X[i : i + 1]
        left_out.append(y[i] - without.predict(point, (0, 0) if i < 25 else (1, 0))[0])
    np.testing.assert_allclose(res.loo_resid, left_out, rtol=1e-8, atol=1e-12)
    sd = np.r_[np.full(25, 0.1), np.full(8, 0.3)]
    np.testing.assert_allclose(res.resid_standardized, res.resid / sd / np.sqrt(1 - np.diag(smoother)), rtol=1e-8)


def test_both_routes_have_the_same_leverages():
    one, other = (curve(sf.gp.Matern52(1.5, 1.0), route) for route in ("dense", "state_space"))
    np.testing.assert_allclose(one.loo_resid, other.loo_resid, rtol=1e-8, atol=1e-10)
    assert one.edf == pytest.approx(other.edf, rel=1e-9)


@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
def test_integrals_are_sums_of_predictions(mean):
    res = surface(KERNELS[0], mean)
    lower, upper = np.array([0.2, -0.5]), np.array([1.7, 1.1])
    nodes, weights = np.polynomial.legendre.leggauss(18)
    axes = [(a + b) / 2 + (b - a) / 2 * nodes for a, b in zip(lower, upper, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    w = np.outer(weights, weights).ravel() * np.prod(upper - lower) / 4
    found = res.integrate(lower, upper)
    assert found == pytest.approx(w @ res.predict(grid), rel=1e-9)
    assert found.se == pytest.approx(np.sqrt(w @ res.joint_covariance(grid) @ w), rel=1e-6)
    assert res.integrate([1.7, -0.5], [0.2, 1.1]) == pytest.approx(-found, rel=1e-12)
    assert res.integrate(lower, lower) == 0


def test_integrals_in_one_input():
    res = curve(sf.gp.SquaredExponential(1.5, 1.0))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    x, w = 2.2 + 1.8 * nodes, 1.8 * weights
    found = res.integrate(0.4, 4.0)
    assert found == pytest.approx(w @ res.predict(x), rel=1e-11)
    assert found.se == pytest.approx(np.sqrt(w @ res.joint_covariance(x) @ w), rel=1e-7)
    with pytest.raises(SpecificationError, match=r"SmoothingSpline\(observations, prior"):
        curve(sf.gp.Matern52(1.5, 1.0)).integrate(0, 1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_draws_have_the_moments_of_the_posterior(kernel):
    res, at = surface(kernel), np.array([[0.3, 0.4], [1.5, 1.9], [3.0, 3.0]])
    draws = res.sample(at, [(0, 0), (1, 0)], size=20_000, rng=2)
    assert draws.shape == (2, 20_000, 3)
    np.testing.assert_array_equal(draws[:, :5], res.sample(at, [(0, 0), (1, 0)], size=5, rng=2))
    for part, deriv in zip(draws, [(0, 0), (1, 0)], strict=True):
        cov = res.joint_covariance(at, deriv)
        sd = np.sqrt(np.diag(cov))
        assert (np.abs(part.mean(axis=0) - res.predict(at, deriv)) < 5 * sd / np.sqrt(20_000)).all()
        assert np.abs((np.cov(part.T) - cov) / np.outer(sd, sd)).max() < 0.05
    # value and slope belong together: the derivative of their covariance
    step = 1e-5
    both = res.joint_covariance(at[:1] + step * np.array([[0, 0], [1, 0], [-1, 0]]))
    expected = (both[0, 1] - both[0, 2]) / (2 * step)
    scale = draws[0, :, 0].std() * draws[1, :, 0].std()
    assert abs(np.cov(draws[0, :, 0], draws[1, :, 0])[0, 1] - expected) < 0.05 * scale


def test_simultaneous_bands_hold_all_points_together():
    res, at = surface(KERNELS[0]), RNG.uniform(0, 2, (30, 2))
    prediction = res.get_prediction(at, simultaneous=True)
    lower, upper = prediction.conf_int(alpha=0.1).T
    draws = res.sample(at, size=20_000, rng=5)
    assert ((draws >= lower) & (draws <= upper)).all(axis=1).mean() == pytest.approx(0.9, abs=0.01)


def test_pictures_over_one_and_two_inputs():
    ax = curve(sf.gp.SquaredExponential(1.5, 1.0)).plot(deriv=1, color="black")
    assert ax.get_lines()[0].get_color() == "black"
    assert ax.get_ylabel() == "df/dx"
    assert len(surface(KERNELS[0]).plot(se=True).figure.axes) == 2
    three = sf.GaussianProcess(RNG.uniform(0, 1, (9, 3)), RNG.normal(size=9), sf.gp.Matern52([1, 1, 1], 1), sd=0.1).fit()
    with pytest.raises(SpecificationError, match="plot draws two variables, and there are 3"):
        three.plot()
    assert len(three.plot_diagnostics()) == 4
