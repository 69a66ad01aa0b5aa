"""Noise that grows with the curve: the fit at the weights of its own curve, by dense algebra too, and where it cannot be."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import ConvergenceError, DataError, SpecificationError
from smoothfit.statespace.growing import fit_growing

SD = 0.1
QUIET = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")


def curve(x):
    return np.exp(1.5 * np.sin(x))


def grown(n=120, power=1.0, unit=1.0, growth=..., **options):
    """Observations of a curve between 0.2 and 4.5 whose noise SD grows with a power of it."""
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(0, 9, n))
    y = curve(x) + SD * curve(x) ** power * rng.standard_normal(n)
    return sf.observe(x, unit * y, name="a", noise_growth=power if growth is ... else growth, **options)


def dense(res, weights):
    """Posterior mean and variance of f at the observations."""
    x, q = res.observations["a"].x + 5, res.params["q"]
    low, high = np.minimum.outer(x, x), np.maximum.outer(x, x)
    K = q * low**3 * (10 * high**2 - 5 * high * low + low**2) / 120
    V, X = K + np.diag(res.sigma["a"] ** 2 / weights), np.vander(x, 3)
    W = np.linalg.inv(V)
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
    noise = res.sigma["a"] ** 2 / weights
    return res.observations.y - noise * (P @ res.observations.y), noise - noise**2 * np.diag(P)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_the_weights_are_those_of_the_curve_that_they_give(power):
    obs = grown(power=power)
    res = sf.SmoothingSpline(obs, order=3).fit()
    weights = res.observations["a"].weights
    mean, variance = dense(res, weights)
    np.testing.assert_allclose(np.log(weights), -power * np.log(mean**2 + variance), atol=2e-6)
    assert abs(res.params["sigma.a"] - SD) < 3 * res.bse["sigma.a"] < 0.03
    given = sf.SmoothingSpline(sf.observe(obs["a"].x, obs["a"].y, weights=weights, name="a"), order=3).fit()
    np.testing.assert_allclose(given.params, res.params, rtol=1e-5)
    assert given.llf == pytest.approx(res.llf, abs=1e-6)
    np.testing.assert_allclose(given.predict(obs["a"].x), res.predict(obs["a"].x), rtol=1e-6)


@QUIET
def test_the_right_power_is_likelier_and_proportional_noise_has_no_unit():
    right = sf.SmoothingSpline(grown(), order=3).fit()
    others = [sf.SmoothingSpline(grown(growth=growth), order=3).fit() for growth in (None, 2.0)]
    assert all(right.llf > other.llf + 20 for other in others)
    large = sf.SmoothingSpline(grown(unit=1000.0), order=3).fit()
    assert large.params["sigma.a"] == pytest.approx(right.params["sigma.a"], rel=1e-5)
    np.testing.assert_allclose(large.predict([2.0, 5.0]), 1000 * right.predict([2.0, 5.0]), rtol=1e-6)


@pytest.mark.parametrize("options", [{"method": "ml"}, {"method": "gcv"}, {"bandwidth": 0.5}], ids=str)
@QUIET
def test_all_criteria_go_on_from_the_fit_before(options):
    res = sf.SmoothingSpline(grown(), order=3).fit(**options)
    weighted = sf.observe(res.observations["a"].x, res.observations["a"].y, weights=res.observations["a"].weights, name="a")
    np.testing.assert_allclose(sf.SmoothingSpline(weighted, order=3).fit(**options).params, res.params, rtol=1e-4)


def test_a_new_observation_has_the_noise_of_the_curve_at_its_place():
    res = sf.SmoothingSpline(grown(), order=3).fit()
    x = np.linspace(0.5, 8.5, 9)
    prediction = res.get_prediction(x)
    mean, variance = prediction.predicted_mean, prediction.var_pred_mean
    np.testing.assert_allclose(prediction.noise_sd, res.sigma["a"] * np.sqrt(mean**2 + variance), rtol=1e-9)
    np.testing.assert_allclose(prediction.se_obs**2, variance + prediction.noise_sd**2, rtol=1e-12)
    half = np.ptp(prediction.conf_int(obs=True), axis=1) / 2
    np.testing.assert_allclose(half, 1.98 * prediction.se_obs, rtol=0.05)
    assert "SD = sigma |m|^1" in res.summary().as_text()
    assert np.nanstd(res.resid_standardized) == pytest.approx(1.0, abs=0.1)
    assert res.misfits == ()


@QUIET
def test_other_engines_biases_and_a_fixed_smoothing_go_with_it():
    plain = sf.SmoothingSpline(grown(), order=3).fit()
    general = sf.SmoothingSpline(grown(), prior=sf.priors.IntegratedWiener(3)).fit()
    np.testing.assert_allclose(general.params, plain.params, rtol=1e-4)
    fixed = sf.SmoothingSpline(grown(), order=3).fit(edf=12)
    assert fixed.edf == pytest.approx(12, abs=1e-6)
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(0, 9, 60))
    other = sf.observe(x, curve(x) + 1.5 + 0.05 * rng.standard_normal(60), name="b", bias="estimate")
    both = sf.SmoothingSpline(grown() + other, order=3).fit()
    assert abs(both.params["bias.b"] - 1.5) < 3 * both.bse["bias.b"] < 0.2
    assert both.observations["b"].weights is None


def test_parts_and_frames_keep_it():
    x, y = np.arange(4.0), np.arange(4.0)
    joined = sf.observe(x, y, name="a", noise_growth=1) + sf.observe(x, y, name="a", noise_growth=1.0)
    assert joined["a"].noise_growth == 1.0
    assert "SD proportional to |f|^1" in repr(joined)
    with pytest.raises(DataError, match="different noise_growth= in its parts"):
        sf.observe(x, y, name="a", noise_growth=1) + sf.observe(x, y, name="a")
    frame = pd.DataFrame({"t": x, "y": y})
    assert sf.Observations.from_frame(frame, "t", {"y": 0}, noise_growth={"y": 0.5})["y"].noise_growth == 0.5
    assert sf.SmoothingSpline.from_formula("y ~ s(t)", frame, noise_growth={"y": 2}).observations["y"].noise_growth == 2.0


def test_what_it_does_not_go_with_is_named_with_the_way_out():
    with pytest.raises(DataError, match=r"noise_growth is -1\.0; pass a positive number"):
        grown(growth=-1)
    with pytest.raises(SpecificationError, match="pass one number"):
        grown(growth="estimate")
    with pytest.raises(SpecificationError, match="a robust loss does not support"):
        sf.SmoothingSpline(grown(), order=3).fit(robust=True)
    with pytest.raises(SpecificationError, match="a resolution does not support"):
        sf.SmoothingSpline(grown(resolution=0.1), order=3).fit()
    with pytest.raises(SpecificationError, match=r"SplineRegression does not support; .* weights=1"):
        sf.SplineRegression(grown(), sf.BSplineBasis.uniform(0, 9, 8))
    with pytest.raises(SpecificationError, match="a stream does not support"):
        sf.SmoothingSpline(grown(), order=3).fit().online(lag=5)
    with pytest.raises(SpecificationError, match="points"):
        sf.observe(np.ones((3, 2)), np.ones(3), noise_growth=1.0)


def test_weights_that_do_not_repeat_are_an_error():
    moments = (SimpleNamespace(fitted=np.full(120, float(i)), fitted_variance=np.zeros(120)) for i in range(1, 1000))
    with pytest.raises(ConvergenceError, match="still change by"):
        fit_growing(lambda observations, before: SimpleNamespace(fitted=SimpleNamespace(posterior=next(moments))), grown())


def test_an_observation_where_the_curve_is_zero_is_named_with_the_way_out():
    """A dose has no concentration at its start, and the noise of an assay is some per cent."""
    t = np.array([0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 24])
    y = (np.exp(-0.15 * t) - np.exp(-1.4 * t)) * (1 + 0.05 * np.random.default_rng(1).standard_normal(12))
    x = np.log1p(t)
    with pytest.raises(DataError, match=r"the curve comes to .* at observation 0 of 'mg/L'.*its own name= and sd="):
        sf.SmoothingSpline(sf.observe(x, y, name="mg/L", noise_growth=1), order=3).fit()
    start = sf.observe(x[:1], y[:1], sd=1e-3, name="start")
    res = sf.SmoothingSpline(start + sf.observe(x[1:], y[1:], name="mg/L", noise_growth=1), order=3).fit()
    low, high = res.conf_int().loc["sigma.mg/L"]
    assert low < 0.05 < high
