"""The dense route: posterior, likelihood and its derivatives against many digits and against sampling."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit import _validation
from smoothfit.errors import DataError, NumericalError, ResourceError
from smoothfit.gp import dense
from smoothfit.gp.dense import DenseLikelihood
from smoothfit.gp.markov import MarkovLikelihood

KERNELS = [sf.gp.SquaredExponential, sf.gp.Matern32, sf.gp.Matern52]
MEANS = ["zero", "constant", "linear"]


def test_fixture_of_the_design():
    x = np.linspace(0, 6, 25)
    kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
    res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01, mean="zero").fit()
    mean, covariance = res.predict_gradient([1.0, 3.0])
    np.testing.assert_allclose(mean[:, 0], [0.53698288, -0.98880721], atol=5e-9)
    np.testing.assert_allclose(covariance[:, 0, 0], [3.9536e-4, 3.0705e-4], rtol=2e-5)
    # the textbook's formula: l^-2 (X - x*)'(k* a)
    K = np.exp(-0.5 * (x[:, None] - x) ** 2)
    a = np.linalg.solve(K + 1e-4 * np.eye(25), np.sin(x))
    by_hand = [np.sum((x - at) * np.exp(-0.5 * (x - at) ** 2) * a) for at in (1.0, 3.0)]
    np.testing.assert_allclose(mean[:, 0], by_hand, rtol=1e-11)  # condition 1e5, 1e-16 of each number


def small(rng, d):
    """Five values and the slopes at three of their points."""
    X = rng.uniform(0, 2, (5, d))
    y = np.sin(X.sum(axis=1)) + 3.0
    slopes = np.cos(X.sum(axis=1))[:, None] * np.ones(d) + 0.1 * rng.standard_normal((5, d))
    return sf.gp.observe(X, y, sd=0.05) + sf.gp.observe(X[:3], slopes[:3], axis="all", sd=0.1)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("d", [1, 2])
def test_posterior_and_likelihood_against_many_digits(kernel, mean, d, oracle):
    rng = np.random.default_rng(d)
    known = kernel(length_scale=[0.8, 1.7][:d], amplitude=1.3)
    res = sf.GaussianProcess(small(rng, d), kernel=known, mean=mean).fit(route="dense")
    truth = oracle(res)
    assert res.llf == pytest.approx(float(truth.llf), rel=1e-12, abs=1e-12)
    at = np.array([[0.9, 1.1][:d], [3.5, -1.0][:d]])  # among the observations, and beyond
    predictions = [res.predict_gradient(at), *([res.predict_hessian(at)] if kernel.smoothness > 1 else [])]
    values = res.get_prediction(at)
    for i, point in enumerate(at):
        expected, cov = truth.moments(point[None], [()])
        assert abs(values.predicted_mean[i] - expected[0]) < 1e-11 * np.sqrt(cov[0, 0])
        assert values.se_mean[i] == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-11)
    for order, prediction in enumerate(predictions, start=1):
        entries = [(j,) for j in range(d)] if order < 2 else [(i, j) for i in range(d) for j in range(i, d)]
        for i, point in enumerate(at):
            expected, cov = truth.moments(point[None], entries)
            sd = np.sqrt(np.diag(cov))
            pick = (lambda array: np.atleast_1d(array)) if order < 2 else (lambda array: array[np.triu_indices(d)])
            # condition of K: some 1e3
            assert np.max(np.abs(pick(prediction.mean[i]) - expected) / sd) < 1e-11
            np.testing.assert_allclose(pick(prediction.se[i]), sd, rtol=1e-11)
            if order == 1:
                np.testing.assert_allclose(prediction.covariance[i], cov, atol=1e-11 * sd.max() ** 2)
            if order == 2:
                full = prediction.covariance[i]
                for a, (p, q) in enumerate(entries):
                    for b, (r, s) in enumerate(entries):
                        assert full[p, q, r, s] == pytest.approx(cov[a, b], abs=1e-11 * sd.max() ** 2)
                        assert full[q, p, r, s] == full[p, q, s, r] == full[p, q, r, s]


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("ard", [True, False])
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_of_the_likelihood_is_its_difference(kernel, ard, mean, terrain):
    model = sf.GaussianProcess(terrain, kernel=kernel(ard=ard), mean=mean)
    likelihood = DenseLikelihood(model.rows, model.kernel, model.parameters)
    theta = model.parameters.starts(model.rows)[3, 1]
    assert_derivatives(likelihood, theta, 1e-9)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("kernel", [sf.gp.Matern12, *KERNELS[1:]])
def test_gradient_of_the_filtered_likelihood_is_its_difference(kernel, mean, wave):
    readings = sf.Observations((wave["level"],)) if kernel is sf.gp.Matern12 else wave
    model = sf.GaussianProcess(readings, kernel=kernel(), mean=mean)
    theta = model.parameters.starts(model.rows)[3, 1]
    routes = [route(model.rows, model.kernel, model.parameters) for route in (DenseLikelihood, MarkovLikelihood)]
    assert_derivatives(routes[1], theta, 1e-9)
    one, other = (route.pieces(theta, hessian=True) for route in routes)
    for ours, theirs, tolerance in zip(one, other, [1e-12, 1e-12, 1e-11, 1e-11, 1e-9, 1e-9], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.max(np.abs(ours)))


def assert_derivatives(likelihood, theta, tolerance):
    """Gradient against differences of the pieces, Hessian against those of the gradient."""
    step = 1e-3  # five-point differences: 1e-12 by truncation, 1e-12 by rounding, times the function's higher derivatives
    pieces = likelihood.pieces(theta, hessian=True)

    def difference(function, i):
        at = [function(theta + k * step * np.eye(len(theta))[i]) for k in (-2, -1, 1, 2)]
        return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)

    values = [difference(lambda t: np.ravel(likelihood.log_det_and_quadratic(t[None])), i) for i in range(len(theta))]
    slopes = [difference(lambda t: np.array(likelihood.pieces(t)[2:4]), i) for i in range(len(theta))]
    for piece in range(2):
        gradient, hessian = pieces[2 + piece], pieces[4 + piece]
        np.testing.assert_allclose(gradient, np.array(values)[:, piece], atol=tolerance * np.abs(gradient).max())
        np.testing.assert_allclose(hessian, np.array(slopes)[:, piece], atol=tolerance * np.abs(hessian).max())


def test_gradient_of_the_likelihood_against_many_digits(oracle, mp):
    MP = mp[0]
    rng = np.random.default_rng(5)
    readings = small(rng, 2)
    unknown = sf.GaussianProcess(readings, kernel=sf.gp.Matern32(amplitude=1.3), mean="constant")
    theta = np.log([0.8, 1.7] / unknown.rows.x_unit)
    pieces = DenseLikelihood(unknown.rows, unknown.kernel, unknown.parameters).pieces(theta)
    step = MP.mpf("1e-20")
    for j in range(2):
        values = []
        for sign in (1, -1):
            res = sf.GaussianProcess(readings, kernel=sf.gp.Matern32([0.8, 1.7], 1.3)).fit()
            truth = type(oracle(res))
            obs = res.observations
            length = [MP.mpf(0.8), MP.mpf(1.7)]
            length[j] *= MP.exp(sign * step)
            variance = np.concatenate([r.variance_ratio for r in obs.readings])
            values.append(truth(sf.gp.Matern32, obs.X, obs.axis, obs.y, variance, length, 1.3, "constant").llf)
        expected = float(-2 * (values[0] - values[1]) / (2 * step))
        assert pieces.log_det_gradient[j] + pieces.quadratic_gradient[j] == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("mean", MEANS)
def test_covariances_are_those_of_samples(mean):
    # Errors of predictions of sampled functions have the stated covariance; slopes of the mean do not matter to them.
    rng = np.random.default_rng(11)
    X, at = rng.uniform(0, 2, (12, 2)), np.array([[0.5, 0.7], [1.8, 1.0], [2.6, 0.1]])
    kernel = sf.gp.Matern52([0.9, 1.4], 1.0)
    prior = sf.GaussianProcess(X[:1], [0.0], kernel, sd=1e6, mean="zero").fit()  # an observation that says nothing
    n, m = len(X), len(at)
    values = prior.joint_covariance(np.vstack([X, at]))
    gradients = prior.predict_gradient(at).joint_covariance().reshape(2 * m, 2 * m)
    # cross-covariances of values and gradients by differences of predicted means
    draws = 20_000
    step = 1e-3
    shifted = np.vstack([X, *(at + sign * step * e for e in np.eye(2) for sign in (1, -1))])
    factor = np.linalg.svd(prior.joint_covariance(shifted))
    f = (factor[0] * np.sqrt(factor[1])) @ rng.standard_normal((len(shifted), draws))
    sampled = np.stack([(f[n : n + m] - f[n + m : n + 2 * m]), (f[n + 2 * m : n + 3 * m] - f[n + 3 * m :])], axis=1) / (2 * step)
    sampled = sampled.reshape(2 * m, draws)
    sample_cov = sampled @ sampled.T / draws
    # sampling error of a covariance: sqrt((1 + rho^2) / draws); six SDs of 36 numbers; central differences 1e-6
    scale = np.sqrt(np.outer(np.diag(gradients), np.diag(gradients)))
    assert np.max(np.abs(sample_cov - gradients) / scale) < 6 * np.sqrt(2 / draws)
    assert values.shape == (n + m, n + m)

    sd = 0.1
    beta = {"zero": 0.0, "constant": 5.0, "linear": 5.0}[mean]
    tilt = np.array([2.0, -1.0]) if mean == "linear" else np.zeros(2)
    res = sf.GaussianProcess(X, np.zeros(n), kernel, sd=sd, mean=mean).fit()
    units = np.eye(n)
    weights = np.array(
        [sf.GaussianProcess(X, u, kernel, sd=sd, mean=mean).fit().predict_gradient(at).mean.ravel() for u in units]
    ).T
    readings = f[:n] + beta + (X @ tilt)[:, None] + sd * rng.standard_normal((n, draws))
    errors = weights @ readings - (sampled + np.tile(tilt, m)[:, None])
    stated = res.predict_gradient(at).joint_covariance().reshape(2 * m, 2 * m)
    scale = np.sqrt(np.outer(np.diag(stated), np.diag(stated)))
    assert np.max(np.abs(errors @ errors.T / draws - stated) / scale) < 6 * np.sqrt(2 / draws)
    assert np.max(np.abs(errors.mean(axis=1)) / np.sqrt(np.diag(stated))) < 5 / np.sqrt(draws)


def test_joint_covariance_holds_the_others(terrain):
    res = sf.GaussianProcess(terrain, kernel=sf.gp.Matern52([1.5, 1.2], 0.8)).fit()
    at = np.array([[0.5, 0.7], [1.8, 1.0], [2.6, 0.1]])
    value, gradient, hessian = res.get_prediction(at), res.predict_gradient(at), res.predict_hessian(at)
    np.testing.assert_allclose(np.sqrt(np.diag(res.joint_covariance(at))), value.se_mean, rtol=1e-12)
    joint, curved = gradient.joint_covariance(), hessian.joint_covariance()
    assert joint.shape == (3, 2, 3, 2)
    assert curved.shape == (3, 2, 2, 3, 2, 2)
    for i in range(3):
        np.testing.assert_allclose(joint[i, :, i], gradient.covariance[i], rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(curved[i, :, :, i], hessian.covariance[i], rtol=1e-11, atol=1e-14)
    # the gradient is the derivative of the value, the Hessian that of the gradient, in covariance too
    step = 1e-4
    east, north = step * np.eye(2)
    line = np.vstack([at[:1] + east, at[:1] - east])
    assert np.diff(res.predict(line))[0] / (-2 * step) == pytest.approx(gradient.mean[0, 0], abs=1e-6)
    c = res.joint_covariance(line)
    assert (c[0, 0] - 2 * c[0, 1] + c[1, 1]) / (4 * step**2) == pytest.approx(gradient.covariance[0, 0, 0], rel=1e-5)
    slope = res.predict_gradient(np.vstack([at[:1] + north, at[:1] - north]))
    assert (slope.mean[0, 0] - slope.mean[1, 0]) / (2 * step) == pytest.approx(hessian.mean[0, 0, 1], abs=1e-6)


def test_slopes_pin_the_gradient_down(terrain):
    kernel = sf.gp.SquaredExponential([1.5, 1.5], 0.8)
    X = terrain["height"].X
    alone = sf.gp.observe(X, terrain["height"].y, sd=0.05)
    with_slopes = alone + sf.gp.observe(X[:1], [[0.3, -0.2]], axis="all", sd=1e-6)
    one, other = (sf.GaussianProcess(obs, kernel=kernel).fit().predict_gradient(X[:1]) for obs in (alone, with_slopes))
    np.testing.assert_allclose(other.mean, [[0.3, -0.2]], atol=1e-5)
    np.testing.assert_allclose(other.se, 1e-6, rtol=1e-3)
    assert (one.se > 0.05).all()


def test_exact_readings_are_interpolated():
    X = np.random.default_rng(0).uniform(0, 3, (12, 2))
    y, G = np.sin(X).sum(axis=1), np.cos(X)
    obs = sf.gp.observe(X, y, sd=0) + sf.gp.observe(X, G, axis="all", sd=0)
    res = sf.GaussianProcess(obs, kernel=sf.gp.Matern52()).fit()
    np.testing.assert_allclose(res.predict(X), y, atol=1e-9)
    np.testing.assert_allclose(res.predict_gradient(X).mean, G, atol=1e-8)
    np.testing.assert_allclose(res.fittedvalues, obs.y, rtol=0, atol=1e-15)
    assert res.get_prediction(X).se_mean.max() < 1e-5  # the square root of rounding


def test_singular_covariances_are_refused_with_the_way_out():
    x = np.linspace(0, 1, 40)
    kernel = sf.gp.SquaredExponential(1.0, 1.0)
    with pytest.raises(NumericalError, match=r"y\[\d+\], at X = .*sd=None.*merge coincident points"):
        sf.GaussianProcess(x, np.sin(x), kernel, sd=0).fit()
    with pytest.raises(NumericalError, match="singular"):
        sf.GaussianProcess(x, np.sin(x), kernel, sd=1e-12).fit()
    assert np.isfinite(sf.GaussianProcess(x, np.sin(x), kernel, sd=1e-5).fit().llf)
    with pytest.raises(DataError, match=r"y\[1\] and y\[3\] are two exact observations.*merge them"):
        sf.GaussianProcess([0.0, 1.0, 2.0, 1.0], [1.0, 2.0, 3.0, 2.0], kernel, sd=0)


def test_too_many_readings_are_refused_before_anything_is_allocated(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (200_000, 2))
    model = sf.GaussianProcess(X, X[:, 0])
    with pytest.raises(ResourceError, match=r"200000 observations, with \d+ dense matrices.*at most \d+ fit"):
        model.fit()
    model = sf.GaussianProcess(X[:100], X[:100, 0] + 0.1 * rng.standard_normal(100), sf.gp.Matern52([1, 1], 1), sd=0.1)
    res = model.fit()
    monkeypatch.setattr(_validation, "UNQUESTIONED", 0)
    for module in (_validation, dense):
        monkeypatch.setattr(module, "available_memory", lambda: 12_500)
    with pytest.raises(ResourceError, match="at most 8 fit"):
        model.fit()
    with pytest.raises(ResourceError, match=r"100 predicted numbers.*fewer points"):
        res.joint_covariance(X[:100])
    assert res.get_prediction(X[:1000]).se_mean.shape == (1000,)  # no covariance between points was asked for


def test_long_predictions_come_in_chunks(terrain, monkeypatch):
    res = sf.GaussianProcess(terrain, kernel=sf.gp.Matern52([1.5, 1.2], 0.8)).fit()
    at = np.random.default_rng(0).uniform(0, 4, (50, 2))
    whole = res.predict_gradient(at)
    monkeypatch.setattr(dense, "CHUNK", 300)
    parts = res.predict_gradient(at)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-10, atol=1e-13)
