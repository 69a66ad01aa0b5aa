"""Unknown scales of series: noise-free ones exactly, others by dense algebra, and where they cannot be."""

import pickle
import warnings

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import ConvergenceError, IdentificationError, MisfitWarning, SpecificationError
from smoothfit.statespace.general_search import GeneralCriterion
from smoothfit.statespace.sensors import brought_to_curve
from smoothfit.statespace.specification import Specification

SCALE = 2.5


def pair(n=40, noise=0.1, bias=None, sd=None, deriv=0, **second):
    """Observations of a sine, and of a multiple of it or of its slope at other x."""
    rng = np.random.default_rng(4)
    x, z = np.sort(rng.uniform(0, 6, n)), np.sort(rng.uniform(0, 6, n))
    first = sf.observe(x, 3 + np.sin(x) + noise * rng.standard_normal(n), sd=sd, name="a")
    curve = np.cos(z) if deriv else 3 + np.sin(z)
    y = SCALE * curve + (0.7 if bias else 0.0) + noise * rng.standard_normal(n)
    return first + sf.observe(z, y, deriv, sd=sd, name="b", scale="estimate", bias=bias, **second)


@pytest.fixture(scope="module")
def fitted():
    return sf.SmoothingSpline(pair()).fit()


@pytest.mark.parametrize("bias", [None, "estimate"])
def test_the_scale_of_noise_free_observations_is_exact(bias):
    x, sd = np.linspace(0, 6, 40), 1e-4  # the flat prior of the line moves the maximum by the order of sd^2
    first = sf.observe(x, 2 + 3 * x, sd=sd, name="a")
    second = sf.observe(x, SCALE * (2 + 3 * x) + (0.7 if bias else 0.0), sd=sd, name="b", scale="estimate", bias=bias)
    res = sf.SmoothingSpline(first + second, prior=sf.priors.IntegratedWiener(2, q=1e-3)).fit()
    assert res.params["scale.b"] == pytest.approx(SCALE, abs=1e-8)
    if bias:
        assert res.params["bias.b"] == pytest.approx(0.7, abs=1e-7)
    np.testing.assert_allclose(res.fittedvalues, (first + second).y, atol=1e-7)
    np.testing.assert_allclose(res.predict(x), 2 + 3 * x, atol=1e-8)


def dense(res, scale, bias, noise=0.0):
    """Restricted -2 log-likelihood of the observations as they are given, at the estimates and a scale, up to constants.

    `noise` is the covariance of the noise process of the observations.
    """
    (a, b), q = res.observations.readings, res.params["q"]
    x, s = np.concatenate([a.x, b.x]), np.repeat([1.0, scale], [len(a), len(b)])
    low = np.minimum.outer(x, x)
    K = q * low**2 * (3 * np.maximum.outer(x, x) - low) / 6 * np.outer(s, s)
    V = K + np.diag(np.repeat(res.sigma.to_numpy() ** 2, [len(a), len(b)])) + noise
    X = np.column_stack([s, s * x, *([s != 1.0] if bias else [])]).astype(float)
    A = X.T @ np.linalg.solve(V, X)
    coef = np.linalg.solve(A, X.T @ np.linalg.solve(V, res.observations.y))
    rest = res.observations.y - X @ coef
    at_rest = np.linalg.slogdet((X.T / np.repeat(res.sigma.to_numpy() ** 2, [len(a), len(b)])) @ X)[1]
    return np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] - at_rest + rest @ np.linalg.solve(V, rest), coef, X, V, rest


@pytest.mark.parametrize("bias", [None, "estimate"])
def test_likelihood_scores_and_predictions_are_those_of_dense_algebra(bias, fitted):
    res = sf.SmoothingSpline(pair(bias=bias)).fit() if bias else fitted
    spec, theta = res.model.specification, res.optimum.theta
    criterion, j = GeneralCriterion(spec, "reml"), [p.name for p in spec.parameters].index("scale.b")
    moved = theta + 0.1 * np.eye(len(theta))[j]
    s = res.params["scale.b"]
    ours = criterion.values(np.array([theta, moved]))
    theirs = [dense(res, s, bias)[0], dense(res, s * np.exp(0.1), bias)[0]]
    assert ours[1] - ours[0] == pytest.approx(theirs[1] - theirs[0], rel=1e-6)
    ends = [dense(res, s * np.exp(0.1 + h), bias)[0] for h in (1e-4, -1e-4)]
    assert criterion.gradient(moved)[1][j] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4)
    assert np.abs(criterion.gradient(theta)[1]).max() < 1e-3
    ends = np.array([[criterion.values((moved + h * e)[None])[0] for h in (1e-4, -1e-4)] for e in np.eye(len(theta))])
    np.testing.assert_allclose(criterion.gradient(moved)[1], (ends[:, 0] - ends[:, 1]) / 2e-4, rtol=1e-5, atol=1e-5)
    _, coef, X, V, rest = dense(res, s, bias)
    fit_of_all = res.observations.y - np.repeat(res.sigma.to_numpy() ** 2, 40) * np.linalg.solve(V, rest)
    np.testing.assert_allclose(res.fittedvalues, fit_of_all, rtol=1e-6)
    assert len(coef) == X.shape[1]
    if bias:
        assert res.params["bias.b"] == pytest.approx(coef[2], rel=1e-6)


def test_a_noise_process_is_in_the_unit_of_its_series():
    obs, length, size = pair(n=25), 0.4, 0.5
    a, b = obs.readings
    rng = np.random.default_rng(2)
    K = np.zeros((50, 50))
    K[25:, 25:] = np.exp(-np.abs(np.subtract.outer(b.x, b.x)) / length)
    shown = b.y + size * np.linalg.cholesky(K[25:, 25:]) @ rng.standard_normal(25)
    obs = sf.observe(a.x, a.y, name="a") + sf.observe(b.x, shown, name="b", scale="estimate")
    noise = {"b": sf.priors.OrnsteinUhlenbeck(length)}
    res = sf.SmoothingSpline(obs, noise=noise).fit()
    spec, theta = res.model.specification, res.optimum.theta
    criterion, steps = GeneralCriterion(spec, "reml"), np.eye(len(theta))
    moved = theta + 0.1 * steps[-1]
    s, size = res.params["scale.b"], res.params["noise.b.amplitude"]
    ours = criterion.values(np.array([theta, moved]))
    theirs = [dense(res, scale, None, size**2 * K)[0] for scale in (s, s * np.exp(0.1))]
    assert ours[1] - ours[0] == pytest.approx(theirs[1] - theirs[0], rel=1e-6)
    ends = np.array([[criterion.values((moved + h * e)[None])[0] for h in (1e-4, -1e-4)] for e in steps])
    np.testing.assert_allclose(criterion.gradient(moved)[1], (ends[:, 0] - ends[:, 1]) / 2e-4, rtol=1e-5, atol=1e-5)
    _, _, _, V, rest = dense(res, s, None, size**2 * K)
    whitened, independent = np.linalg.solve(V, rest), np.repeat(res.sigma.to_numpy() ** 2, 25)
    np.testing.assert_allclose(res.fittedvalues, obs.y - independent * whitened, rtol=1e-6)
    prediction = res.get_prediction([2.0], name="b")
    assert prediction.predicted_mean[0] == pytest.approx(s * res.predict([2.0])[0], rel=1e-9)
    assert prediction.noise_sd == pytest.approx(np.hypot(res.sigma["b"], size), rel=1e-9)
    end = max(a.x.max(), b.x.max()) + 0.1  # there the noise process goes on from where it was
    goes_on = size**2 * np.exp(-(end - b.x) / length) @ whitened[25:]
    assert res.forecast([end], name="b")["mean"].iloc[0] == pytest.approx(s * res.predict([end])[0] + goes_on, rel=1e-6)


@pytest.mark.parametrize("bias", [None, "estimate"])
def test_which_series_is_the_reference_changes_nothing(bias, fitted):
    res = sf.SmoothingSpline(pair(bias=bias)).fit() if bias else fitted
    a, b = res.observations.readings
    other = sf.observe(a.x, a.y, name="a", scale="estimate", bias=bias) + sf.observe(b.x, b.y, name="b")
    swapped = sf.SmoothingSpline(other).fit()
    s = res.params["scale.b"]
    assert swapped.params["scale.a"] * s == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(swapped.sigma, res.sigma, rtol=1e-5)
    assert swapped.bse["scale.a"] * s**2 == pytest.approx(res.bse["scale.b"], rel=1e-4)


def test_the_fast_copy_is_the_specification_of_the_divided_observations():
    spec = sf.SmoothingSpline(pair(sd=0.1, weights=np.linspace(1, 2, 40))).specification
    whole = Specification(brought_to_curve(spec.observations, {"b": 2.0}), spec.prior, scale=spec.scale)
    fast = spec.calibrated(np.array([2.0]), np.ones(1))
    np.testing.assert_allclose(fast.program.y, whole.program.y, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(fast.program.ratio, whole.program.ratio, rtol=1e-14)
    assert [p.name for p in fast.parameters] == [p.name for p in whole.parameters]


def test_intervals_tests_and_predictions(fitted):
    low, high = fitted.conf_int().loc["scale.b"]
    assert low < SCALE < high
    assert high - low == pytest.approx(2 * 1.96 * fitted.bse["scale.b"], rel=0.1)
    assert fitted.t_test("scale.b = 1").pvalue < 1e-6
    assert "scale.b" in fitted.summary().as_text()
    of_b, of_a = fitted.get_prediction([2.0], name="b"), fitted.get_prediction([2.0])
    assert of_b.predicted_mean[0] == pytest.approx(fitted.params["scale.b"] * of_a.predicted_mean[0], rel=1e-9)
    assert np.ptp(of_b.conf_int(obs=True)) > np.ptp(of_b.conf_int())
    assert fitted.noise_sds[1][1] == pytest.approx(0.1, rel=0.4)
    assert np.nanstd(fitted.resid_standardized) == pytest.approx(1.0, abs=0.1)
    assert pickle.loads(pickle.dumps(fitted)).params.equals(fitted.params)
    assert fitted.misfits == ()


def test_a_rate_in_another_unit_has_a_scale_beside_values():
    res = sf.SmoothingSpline(pair(deriv=1), order=3).fit()
    assert abs(res.params["scale.b"] - SCALE) < 4 * res.bse["scale.b"] < 1.0
    with pytest.raises(SpecificationError, match=r"has a scale.*pass name='b'"):
        res.get_prediction([2.0], deriv=1).conf_int(obs=True)


def test_a_known_scale_divides_observations_and_their_sd():
    known = sf.observe([0.0, 1.0], [1.0, 5.0], sd=0.2, bias=1.0, scale=2.0)
    np.testing.assert_allclose(known.y, [0.0, 2.0])
    np.testing.assert_allclose(known["f"].sd, 0.1)
    assert repr(pair()).endswith("scale to be estimated")


def test_scales_that_cannot_be_are_named_with_the_way_out(fitted):
    alone = sf.observe(np.arange(9.0), np.arange(9.0), name="b", scale="estimate")
    with pytest.raises(IdentificationError, match="leave scale= of one series out"):
        sf.SmoothingSpline(alone)
    with pytest.raises(SpecificationError, match="GaussianProcess does not support"):
        sf.GaussianProcess(pair())
    with pytest.raises(SpecificationError, match="'gcv' does not support"):
        sf.SmoothingSpline(pair()).fit(method="gcv")
    with pytest.raises(SpecificationError, match="lam does not support"):
        sf.SmoothingSpline(pair()).fit(lam=1.0)
    with pytest.raises(SpecificationError, match="robust loss does not support"):
        sf.SmoothingSpline(pair()).fit(robust=True)
    with pytest.raises(SpecificationError, match="the regressor 'u' of it does not support"):
        sf.SmoothingSpline(pair(), regressors={"u": np.arange(80.0)})
    with pytest.raises(sf.errors.DataError, match=r"scale is -1\.0; pass a positive number"):
        sf.observe([0.0], [1.0], scale=-1)


def test_an_ignored_scale_is_reported_with_its_remedy():
    obs = pair(n=100)
    second = sf.observe(obs["b"].x, obs["b"].y / SCALE * 0.6 + 1.2, name="b")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sf.errors.MisfitWarning)
        res = sf.SmoothingSpline(sf.observe(obs["a"].x, obs["a"].y, name="a") + second).fit()
    (found,) = res.misfits
    assert found.kind == "scale"
    assert "scale='estimate'" in found.remedy


def test_standard_errors_of_biases_include_those_of_scales():
    res = sf.SmoothingSpline(pair(bias="estimate")).fit()
    low, high = res.conf_int().loc["bias.b"]
    assert high - low == pytest.approx(2 * 1.98 * res.bse["bias.b"], rel=0.05)
    assert res.bse["bias.b"] > 2 * np.sqrt(res.fitted.posterior.effects[1][0, 0])
    cov = res.cov_params()
    assert cov.loc["bias.b", "scale.b"] / (res.bse["bias.b"] * res.bse["scale.b"]) < -0.9


def test_a_series_of_the_other_sign_is_advised_to_turn_it():
    x, rng = np.linspace(0, 6, 60), np.random.default_rng(0)
    y = np.sin(x) + 0.05 * rng.standard_normal((2, 60))
    with pytest.warns(MisfitWarning, match=r"turn the sign of 'b' \(a scale is positive\)"):
        sf.SmoothingSpline(sf.observe(x, y[0], name="a") + sf.observe(x, -y[1], name="b", scale="estimate")).fit()


@pytest.mark.parametrize("kind", ["smoothing", "regression"])
def test_values_far_from_zero_have_a_way_out(kind):
    """Where y is 1e9 of its SD the scale is hidden by rounding; without the level it is found."""
    rng, t, level = np.random.default_rng(0), np.arange(40.0), 1e9
    f, first, second = np.sin(t / 5), *(0.1 * rng.standard_normal((2, 40)))

    def fit(a, b, bias="estimate"):
        obs = sf.observe(t, a, sd=0.1, name="a") + sf.observe(t, b, sd=0.1, name="b", bias=bias, scale="estimate")
        if kind == "smoothing":
            return sf.SmoothingSpline(obs).fit().params["scale.b"]
        return sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 39, 5)).fit().sensor_params["estimate"]["scale.b"]

    a, b = level + f + first, level + 0.3 + 1.2 * f + second
    named = r"'b' has scale='estimate'.* about 1e\+09 .* subtract from the values of each series their mean"
    with pytest.raises(ConvergenceError, match=named + ".*; biases alone change"):
        fit(a, b)
    if kind == "smoothing":  # a spline regression finds the ratio of the levels
        with pytest.raises(ConvergenceError, match=named + ".*, and pass bias='estimate' beside it"):
            fit(a, b, bias=0.0)
    assert fit(a - a.mean(), b - b.mean()) == pytest.approx(1.2, abs=0.1)
