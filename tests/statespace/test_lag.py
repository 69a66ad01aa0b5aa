"""Unknown lags of series: noise-free ones exactly, others by dense algebra, and where they cannot be."""

import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, IntegrationWarning, MisfitWarning, SpecificationError
from smoothfit.observations.abscissa import Points
from smoothfit.results.mixtures import mixture
from smoothfit.statespace.functionals import CurveFunctionals
from smoothfit.statespace.general_search import GeneralCriterion
from smoothfit.statespace.markov_engine import MarkovEngine

LAG = 0.4


def pair(n=40, noise=0.1, deriv=0, lag="estimate", **second):
    """Observations of a sine, and of it or its slope a while later at other x."""
    rng = np.random.default_rng(4)
    x, z = np.sort(rng.uniform(0, 9, n)), np.sort(rng.uniform(0, 9, n))
    first = sf.observe(x, np.sin(x) + noise * rng.standard_normal(n), name="a")
    curve = np.cos(z - LAG) if deriv else np.sin(z - LAG)
    return first + sf.observe(z, curve + noise * rng.standard_normal(n), deriv, name="b", lag=lag, **second)


@pytest.fixture(scope="module")
def fitted():
    return sf.SmoothingSpline(pair(), order=3).fit()


@pytest.mark.parametrize("bias", [None, "estimate"])
def test_the_lag_of_noise_free_observations_is_exact(bias):
    x = np.linspace(0, 6, 40)
    first = sf.observe(x, x**2, sd=1e-4, name="a")
    second = sf.observe(x, (x - LAG) ** 2 + (0.7 if bias else 0.0), sd=1e-4, name="b", lag="estimate", bias=bias)
    res = sf.SmoothingSpline(first + second, prior=sf.priors.IntegratedWiener(3, q=1e-6)).fit()
    assert res.params["lag.b"] == pytest.approx(LAG, abs=1e-8)
    if bias:
        assert res.params["bias.b"] == pytest.approx(0.7, abs=1e-7)
    np.testing.assert_allclose(res.predict(x), x**2, atol=1e-7)
    late = (2 - LAG) ** 2 + (0.7 if bias else 0)
    np.testing.assert_allclose(res.get_prediction([2.0], name="b").predicted_mean, late, atol=1e-7)


def dense(res, lag):
    """Restricted -2 log-likelihood at the estimates and a lag, up to constants, and the fitted values."""
    (a, b), q = res.observations.readings, res.params["q"]
    x, y = np.concatenate([a.x, b.x - lag]) + 5, res.observations.y  # the process begins before all x
    low, high = np.minimum.outer(x, x), np.maximum.outer(x, x)
    K = q * low**3 * (10 * high**2 - 5 * high * low + low**2) / 120
    V = K + np.diag(np.repeat(res.sigma.to_numpy() ** 2, [len(a), len(b)]))
    X = np.vander(x, 3)
    A = X.T @ np.linalg.solve(V, X)
    rest = y - X @ np.linalg.solve(A, X.T @ np.linalg.solve(V, y))
    weighted = np.linalg.solve(V, rest)
    value = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] + rest @ weighted
    return value, y - np.repeat(res.sigma.to_numpy() ** 2, [len(a), len(b)]) * weighted


def test_likelihood_scores_and_predictions_are_those_of_dense_algebra(fitted):
    spec, theta, lag = fitted.model.specification, fitted.optimum.theta, fitted.params["lag.b"]
    criterion, j = GeneralCriterion(spec, "reml"), [p.name for p in spec.parameters].index("lag.b")
    unit = spec.parameters[j].unit
    moved = theta + 0.1 / unit * np.eye(len(theta))[j]
    ours = criterion.values(np.array([theta, moved]))
    assert ours[1] - ours[0] == pytest.approx(dense(fitted, lag + 0.1)[0] - dense(fitted, lag)[0], rel=1e-6)
    ends = [dense(fitted, lag + 0.1 + h)[0] for h in (1e-4, -1e-4)]
    assert criterion.gradient(moved)[1][j] == pytest.approx((ends[0] - ends[1]) / 2e-4 * unit, rel=1e-5)
    assert np.abs(criterion.gradient(theta)[1]).max() < 1e-3
    np.testing.assert_allclose(fitted.fittedvalues, dense(fitted, lag)[1], rtol=1e-6, atol=1e-8)
    curve = optimize.minimize_scalar(lambda d: dense(fitted, d)[0], bracket=(lag - 0.1, lag + 0.1), tol=1e-10)
    assert curve.x == pytest.approx(lag, abs=1e-5)


def test_intervals_tests_and_predictions(fitted):
    low, high = fitted.conf_int().loc["lag.b"]
    assert low < LAG < high
    assert high - low == pytest.approx(2 * 1.96 * fitted.bse["lag.b"], rel=0.1)
    assert fitted.t_test("lag.b = 0").pvalue < 1e-6
    assert fitted.pvalues["lag.b"] < 1e-6
    assert "lag.b" in fitted.summary().as_text()
    of_b, of_a = fitted.get_prediction([2.0], name="b"), fitted.get_prediction([2.0 - fitted.params["lag.b"]])
    assert of_b.predicted_mean[0] == pytest.approx(of_a.predicted_mean[0], rel=1e-9)
    assert np.ptp(of_b.conf_int(obs=True)) > np.ptp(of_b.conf_int())
    assert np.nanstd(fitted.resid_standardized) == pytest.approx(1.0, abs=0.1)
    assert pickle.loads(pickle.dumps(fitted)).params.equals(fitted.params)
    assert fitted.misfits == ()
    assert len(fitted.plot_hyperparameters()) == 4


def test_that_one_series_is_late_is_that_the_other_is_early():
    obs = pair()
    swapped = sf.observe(obs["b"].x, obs["b"].y, name="b") + sf.observe(obs["a"].x, obs["a"].y, name="a", lag="estimate")
    late, early = (sf.SmoothingSpline(one, prior=sf.priors.IntegratedWiener(3, q=0.5)).fit() for one in (obs, swapped))
    assert early.params["lag.a"] == pytest.approx(-late.params["lag.b"], abs=1e-5)
    assert early.llf == pytest.approx(late.llf, abs=1e-5)


def test_a_late_rate_with_a_bias_and_a_scale_is_found_beside_values():
    res = sf.SmoothingSpline(pair(n=80, deriv=1, bias="estimate", scale="estimate"), order=4).fit()
    truth = {"lag.b": LAG, "scale.b": 1.0, "bias.b": 0.0}
    for name, value in truth.items():
        assert abs(res.params[name] - value) < 3.5 * res.bse[name] < 1.0
    assert res.t_test("bias.b = 0, lag.b = 0").pvalue.shape == (2,)


def test_a_lag_of_dates_is_in_the_unit_of_x_and_known_ones_are_durations():
    obs, start = pair(), pd.Timestamp("2024-05-01")
    hours = {name: start + pd.to_timedelta(obs[name].x, "h") for name in "ab"}
    first = sf.observe(hours["a"], obs["a"].y, name="a", unit="h")
    prior = sf.priors.IntegratedWiener(3, q=0.5)
    res = sf.SmoothingSpline(first + sf.observe(hours["b"], obs["b"].y, name="b", lag="estimate"), prior=prior).fit()
    assert res.params["lag.b"] == pytest.approx(sf.SmoothingSpline(obs, prior=prior).fit().params["lag.b"], rel=1e-6)
    for lag in (pd.Timedelta("24min"), np.timedelta64(24, "m"), datetime.timedelta(minutes=24)):
        known = sf.observe(hours["b"], obs["b"].y, name="b", lag=lag)
        np.testing.assert_array_equal(known["b"].x, (hours["b"] - pd.Timedelta("24min")).to_numpy())
    with pytest.raises(SpecificationError, match="x holds times; pass a duration"):
        sf.observe(hours["b"], obs["b"].y, lag=0.4)
    with pytest.raises(SpecificationError, match="x holds numbers"):
        sf.observe([1.0], [1.0], lag=np.timedelta64(1, "s"))


def test_a_known_lag_is_subtracted_from_x():
    np.testing.assert_array_equal(sf.observe([2, 3], [0.0, 1.0], lag=1)["f"].x, [1, 2])
    np.testing.assert_array_equal(sf.observe([2, 3], [0.0, 1.0], lag=0.5)["f"].x, [1.5, 2.5])
    both = sf.observe_integral([0.0], [1.0], [1.0], lag=0.25)["integral"]
    np.testing.assert_array_equal([both.x, both.upper], [[-0.25], [0.75]])
    np.testing.assert_array_equal(sf.observe([2**60, 2**60 + 1], [0.0, 1.0], lag=1)["f"].x, [2**60 - 1, 2**60])
    with pytest.raises(DataError, match=r"beyond 2\^53"):
        sf.observe([2**60], [0.0], lag=0.5)
    with pytest.raises(DataError, match=r"lag.*finite"):
        sf.observe([0.0], [1.0], lag=np.inf)
    assert repr(pair()).endswith("lag to be estimated")
    frame = pd.DataFrame({"t": np.arange(30.0), "a": np.arange(30.0), "b": np.arange(30.0)})
    read = sf.Observations.from_frame(frame, "t", {"a": 0, "b": 0}, lag={"b": 2.0})
    np.testing.assert_array_equal(read["b"].x, np.arange(30.0) - 2)
    assert sf.SmoothingSpline.from_formula("a + b ~ s(t)", frame, lag={"b": "estimate"}).observations["b"].has_lag


def test_the_lag_of_a_periodic_curve_and_of_means():
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 12.5, 60))
    first = sf.observe(x, np.sin(x) + 0.05 * rng.standard_normal(60), name="a")
    late = sf.observe(x, np.sin(x - LAG) + 0.05 * rng.standard_normal(60), name="b", lag="estimate")
    res = sf.SmoothingSpline(first + late, period=2 * np.pi).fit()
    assert abs(res.params["lag.b"] - LAG) < 4 * res.bse["lag.b"] < 0.2
    low, high = x[:-2], x[2:]
    means = (np.cos(low - LAG) - np.cos(high - LAG)) / (high - low) + 0.05 * rng.standard_normal(58)
    res = sf.SmoothingSpline(first + sf.observe_integral(low, high, means, mean=True, name="m", lag="estimate")).fit()
    assert abs(res.params["lag.m"] - LAG) < 4 * res.bse["lag.m"] < 0.3


def test_lags_that_cannot_be_are_named_with_the_way_out(fitted):
    alone = sf.observe(np.arange(9.0), np.arange(9.0), name="b", lag="estimate")
    with pytest.raises(IdentificationError, match="leave lag= of one series out"):
        sf.SmoothingSpline(alone)
    with pytest.raises(SpecificationError, match=r"a curve without a slope.*higher order="):
        sf.SmoothingSpline(pair(), order=1)
    with pytest.raises(SpecificationError, match="a curve without a slope"):
        sf.SmoothingSpline(pair(deriv=1), order=2)
    with pytest.raises(SpecificationError, match=r"GaussianProcess does not support.*lag=res.params"):
        sf.GaussianProcess(pair())
    with pytest.raises(SpecificationError, match="lag='estimate', which lam does not support"):
        sf.SmoothingSpline(pair()).fit(lam=1.0)
    with pytest.raises(SpecificationError, match="robust loss does not support"):
        sf.SmoothingSpline(pair()).fit(robust=True)
    with pytest.raises(SpecificationError, match="a resolution of it does not support"):
        sf.SmoothingSpline(pair(resolution=0.5))
    with pytest.raises(SpecificationError, match='pass "estimate", or a number or duration'):
        sf.observe([0.0], [1.0], lag="late")


def ignored(late=0.0, offset=0.0, n=100, seed=0, **model):
    """The fit of two sensors of which one is late, or off, and misfits are not avoided."""
    rng = np.random.default_rng(seed)
    x, z = np.sort(rng.uniform(0, 12, (2, n)), axis=1)
    first = sf.observe(x, np.sin(x) + 0.3 * rng.standard_normal(n), name="a")
    second = sf.observe(z, np.sin(z - late) + offset + 0.3 * rng.standard_normal(n), name="b")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisfitWarning)
        return sf.SmoothingSpline(first + second, **(model or {"order": 3})).fit()


@pytest.mark.parametrize("model", [{"order": 3}, {"prior": sf.priors.IntegratedWiener(3)}], ids=str)
def test_an_ignored_lag_is_reported_with_its_size_and_remedy(model):
    (found,) = ignored(0.5, **model).misfits
    assert (found.series, found.kind) == ("b", "lag")
    assert "some 0.417 late" in found.finding
    assert "lag='estimate'" in found.remedy
    assert "SmoothingSpline" not in found.remedy
    assert "early" in ignored(-0.5).misfits[0].finding
    assert {one.kind for one in ignored(0.7, offset=0.5).misfits} == {"bias", "lag"}
    assert ignored().misfits == ()


def test_the_score_of_a_lag_is_the_slope_of_the_likelihood():
    res = ignored(0.3)
    offset = next(one for one in res.fitted.posterior.errors([slice(0, 200)]).offsets if (one.series, one.kind) == (1, "lag"))
    parts = (
        sf.observe(res.observations[name].x, res.observations[name].y, name=name, lag=lag)
        for name, lag in (("a", None), ("b", "estimate"))
    )
    model = sf.SmoothingSpline(sum(parts), order=3)
    spec, criterion = model.specification, GeneralCriterion(model.specification, "reml")
    known = {"q": np.log(res.params["q"] / spec.hyper_unit(spec.hyperparameters[0]))}
    known |= {p.name: 2 * np.log(res.params[p.name] / p.unit) for p in spec.parameters if p.is_variance}
    theta = np.array([known.get(p.name, 0.0) for p in spec.parameters])
    score = -criterion.gradient(theta)[1][-1] / 2 / spec.parameters[-1].unit
    # bias and scale explain a part of score and information, which are orthogonal to 0.1 %
    assert offset.statistic**2 / offset.effect == pytest.approx(score, rel=0.01)


def test_another_lag_that_is_almost_as_likely_is_named_and_limits_exclude_it():
    rng = np.random.default_rng(1)
    x, z = np.sort(rng.uniform(0, 60, (2, 200)), axis=1)
    first = sf.observe(x, np.sin(x) + 0.3 * rng.standard_normal(200), name="a")
    y = np.sin(z - 0.5) + 0.3 * rng.standard_normal(200)
    with pytest.warns(IntegrationWarning, match=r"lag.b = 0.499.* and -5.79.* differ by 2.3.*lag=\(low, high\)"):
        free = sf.SmoothingSpline(first + sf.observe(z, y, name="b", lag="estimate"), order=3).fit()
    res = sf.SmoothingSpline(first + sf.observe(z, y, name="b", lag=(-2, 2)), order=3).fit()
    assert res.params["lag.b"] == pytest.approx(free.params["lag.b"], abs=1e-4)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(4.0), "h")
    limited = sf.observe(times, np.arange(4.0), lag=(-pd.Timedelta("30min"), pd.Timedelta("1h")))
    assert limited["f"].lag_limits == (-1.8e12, 3.6e12)
    with pytest.raises(DataError, match="limits do not increase"):
        sf.observe([0.0], [1.0], lag=(2, 1))
    with pytest.raises(SpecificationError, match=r"limits \(low, high\)"):
        sf.observe([0.0], [1.0], lag=[1, 2, 3])


def test_a_stream_carries_lags_and_scales_by_its_nodes():
    first, n = 24, 40
    x, rng = np.arange(float(n)), np.random.default_rng(3)
    a, b = np.sin(x / 4) + 0.1 * rng.standard_normal(n), 1.6 * np.sin((x - 0.7) / 4) + 0.2 * rng.standard_normal(n)

    def model(n):
        second = sf.observe(x[:n], b[:n], sd=0.2, name="b", lag=(-3, 3), scale="estimate", bias="estimate")
        return sf.SmoothingSpline(sf.observe(x[:n], a[:n], sd=0.1, name="a") + second, order=3)

    res = model(first).fit()
    online = res.online(10)
    for i in [*range(first, 33), 34, 33, *range(35, n)]:
        online.append(x[i], a[i], name="a")
        online.append(sf.observe([x[i]], [b[i]], sd=0.2, name="b", lag="estimate", scale="estimate", bias="estimate"))
    before, after, whole = res.parameter_posterior.reduced(), online.parameter_posterior, MarkovEngine(model(n).specification)
    gains = []
    for engine in (res.engine, whole):
        terms = engine.terms(before.theta)
        gains.append(-(terms.log_det.value + terms.sse.value) / 2)
    weights = before.weights * np.exp(gains[1] - gains[0] - np.max(gains[1] - gains[0]))
    # the factor of the likelihood that makes no series the reference is that of the observations of the fit
    np.testing.assert_allclose(after.weights, weights / weights.sum(), rtol=1e-3)
    asked = CurveFunctionals(Points(np.array([37.5, 41.0])), (0,))
    np.testing.assert_allclose(online.predict([37.5, 41.0]), whole.moments(res.theta_hat[None], asked).mean[0], rtol=1e-9)
    law = mixture(after, whole.moments(after.theta, asked))
    np.testing.assert_allclose(online.get_prediction([37.5, 41.0]).conf_int(), law.interval(0.05), rtol=1e-7)
    again = pickle.loads(pickle.dumps(online))
    again.append([41.0], [0.0], name="b")
    again.rollback(1)
    np.testing.assert_array_equal(again.parameter_posterior.weights, after.weights)
    with pytest.raises(DataError, match="older than the lag"):
        online.append([30.0], [0.0], name="b")


def test_each_of_many_curves_has_a_lag_and_a_scale_of_its_own():
    obs = pair(noise=0.05)
    rows = [
        pd.DataFrame({"id": name, "t": r.x, r.name: (2.0 if r.name == "b" else 1.0) * r.y}) for name in "uv" for r in obs.readings
    ]
    rows[-1]["t"] += pd.Series(0.2, rows[-1].index)
    frame = pd.concat(rows)
    columns = {"x": "t", "readings": {"a": 0, "b": 0}, "order": 3}
    fits = sf.fit_curves(frame, by="id", **columns, lag={"b": (-1, 1)}, scale={"b": 2.0})
    assert list(fits.params.columns) == ["nobs", "sigma.a", "sigma.b", "q", "bandwidth", "lag.b", "edf", "llf", "boundary"]
    single = sf.SmoothingSpline(pair(noise=0.05, lag=(-1, 1)), order=3).fit()
    assert fits.params.loc["u", "lag.b"] == pytest.approx(single.params["lag.b"], abs=1e-6)
    assert fits.params.loc["v", "lag.b"] == pytest.approx(single.params["lag.b"] + 0.2, abs=1e-6)
    known = sf.fit_curves(frame, by="id", **columns, lag={"b": LAG}, scale={"b": 2.0})
    assert known.params.loc["u", "llf"] == pytest.approx(sf.SmoothingSpline(pair(noise=0.05, lag=LAG), order=3).fit().llf, rel=1e-9)
    with pytest.raises(SpecificationError, match='no "estimate" of a bias, scale or lag'):
        sf.fit_curves(frame, by="id", **columns, lag={"b": "estimate"}, smoothing="shared")
