"""What estimated coefficients and noises add to bands of smoothed and forecast outputs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.dynamics.propagation import LARGEST, Values

from .conftest import solution

N = 60
GRID = np.array([0.0, 0.33, 2.0, 5.9, 6.5, 8.0])


def short(rng, n=N, q=0.0, sd=0.1):
    """Times, input, curve and observations of y' = -y / 2 + u."""
    t, u = np.arange(n) * 0.1, np.repeat(rng.standard_normal(n // 10), 10)
    x = solution([-0.5, 1.0, 0.0], t, u, q=q, rng=rng)[:, 0]
    return t, u, x, x + sd * rng.standard_normal(n)


def half_width(prediction, obs=False):
    return np.diff(prediction.conf_int(obs=obs), axis=1)[:, 0] / 2


@pytest.fixture(scope="module", params=["armax", "output_error"])
def fit(request):
    t, u, _, y = short(np.random.default_rng(5), 160, 0.2 if request.param == "armax" else 0.0)
    return sf.DerivativeRegression(y, t, u).fit(request.param)


def drawn(res, size, rng):
    """Values of the parameters from the normal distribution of (theta, log noises)."""
    names = list(res.fitted.noise)
    k = len(res.coefficients)
    to_logs = np.concatenate([np.ones(k), [1 / res.params[name] for name in names]])
    centre = np.concatenate([res.coefficients, [np.log(res.params[name]) for name in names]])
    cov = res.cov_params().to_numpy() * np.outer(to_logs, to_logs)
    for row in rng.multivariate_normal(centre, cov, size=size):
        noise = dict(zip(names, np.exp(row[k:]), strict=True))
        q = np.array([noise["q"]]) if "q" in noise else res.fitted.q
        yield Values(row[:k], q, np.array([noise["sigma"] ** 2]))


def test_bands_hold_their_level_of_paths_with_drawn_parameters(fit):
    """The smoother rerun at each draw of (theta, log q, log sigma) gives the mixture that the intervals represent."""
    times = np.array([1.0, 7.77, 15.9, 16.5, 18.0])
    prediction = fit.get_prediction(times)
    sample, at, *_ = fit._asked(times, 0, None, None)
    parts = [(*fit.smoother.component(sample, at, 0, 0, values=v), v.sigma2[0]) for v in drawn(fit, 1500, np.random.default_rng(0))]
    means, variances = np.array([p[0] for p in parts]), np.array([p[1] for p in parts])
    noises = np.array([p[2] for p in parts])[:, None]
    for alpha in (0.05, 0.32):
        for obs, spread in ((False, variances), (True, variances + noises)):
            low, high = prediction.conf_int(obs=obs, alpha=alpha).T
            sd = np.sqrt(spread)
            covered = stats.norm.cdf((high - means) / sd) - stats.norm.cdf((low - means) / sd)
            # terms of second order in the standard errors of the parameters are left out: some 0.01
            np.testing.assert_allclose(covered.mean(axis=0), 1 - alpha, atol=0.02)
    known = prediction.predicted_mean + 1.96 * np.array([[-1], [1]]) * prediction.se_mean
    without = stats.norm.cdf((known[1] - means) / np.sqrt(variances)) - stats.norm.cdf((known[0] - means) / np.sqrt(variances))
    assert without.mean(axis=0).min() < 0.93


def test_what_is_added_is_the_delta_term_of_an_equation_that_is_solved_by_hand():
    """y = a e^(b t), with observations of noise alone: a is a ratio of sums at every b."""
    rng = np.random.default_rng(1)
    t = np.arange(40) * 0.1
    y = 2 * np.exp(-0.7 * t) + 0.05 * rng.standard_normal(40)
    res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
    b, sigma = res.params
    (var_b, _), (_, var_sigma) = res.cov_params().to_numpy()
    e = np.exp(b * t)
    S, slope_of_S = e @ e, 2 * (t * e) @ e
    a = y @ e / S
    slope_of_a = (y * t) @ e / S - a * slope_of_S / S
    new = np.array([0.0, 1.3, 3.9, 5.0, 8.0])
    given_b = sigma**2 * np.exp(2 * b * new) / S
    shift = ((slope_of_a + a * new) * np.exp(b * new)) ** 2 * var_b
    prediction = res.get_prediction(new)
    # differences have an error of second order in 1/32 of a standard error, which is 2 % of b
    np.testing.assert_allclose(prediction.var_pred_mean, given_b, rtol=1e-9)
    spread = (2 * new - slope_of_S / S) ** 2 * var_b + 4 * var_sigma / sigma**2
    # the mean of the lognormal variance, and the variance of the mean
    np.testing.assert_allclose(prediction.law.variance, given_b * np.exp(spread / 2) + shift, rtol=1e-4)
    # the quantile of the mixture over the logarithm of the variance, by direct integration
    z, step = np.linspace(-8, 8, 4001, retstep=True)
    sd = np.sqrt(given_b * np.exp(z[:, None] * np.sqrt(spread)) + shift)
    beyond = stats.norm.sf((prediction.conf_int()[:, 1] - prediction.predicted_mean) / sd)
    np.testing.assert_allclose(stats.norm.pdf(z) @ beyond * step, 0.025, rtol=2e-3)
    new_sd = np.sqrt(
        shift + given_b * np.exp(z[:, None] * np.sqrt(spread)) + sigma**2 * np.exp(2 * z[:, None] * np.sqrt(var_sigma) / sigma)
    )
    beyond = stats.norm.sf((prediction.conf_int(obs=True)[:, 1] - prediction.predicted_mean) / new_sd)
    np.testing.assert_allclose(stats.norm.pdf(z) @ beyond * step, 0.025, rtol=2e-2)


def test_standard_errors_stay_those_at_the_estimates_and_intervals_widen(fit):
    prediction = fit.get_prediction(GRID)
    sample, at, *_ = fit._asked(GRID, 0, None, None)
    cov = fit.smoother.states(sample)[1]
    np.testing.assert_array_equal(prediction.se_mean, np.sqrt(cov[at, 0, 0]))
    assert (half_width(prediction) > 1.9599 * prediction.se_mean).all()
    assert (half_width(prediction, obs=True) > 1.9599 * prediction.se_obs).all()
    ours = fit.curve().get_prediction(GRID[:5])
    theirs = fit.get_prediction(GRID[:5])
    for obs in (False, True):
        np.testing.assert_allclose(ours.conf_int(obs=obs), theirs.conf_int(obs=obs), rtol=1e-12)
    forecast = fit.forecast([16.5, 17.0], [1.0, 1.0])
    half = (forecast["mean_ci_upper"] - forecast["mean"]).to_numpy()
    assert (half > 1.9599 * forecast["mean_se"].to_numpy()).all()


def test_simultaneous_bands_at_one_time_are_pointwise_ones(fit):
    curve = fit.curve()
    for time in (0.33, 8.0):
        together, alone = curve.get_prediction([time], simultaneous=True), curve.get_prediction([time])
        # a quantile of 10 000 draws is known to 1.2 %
        assert half_width(together)[0] == pytest.approx(half_width(alone)[0], rel=0.05)
    grid = np.linspace(0, 15, 40)
    assert (half_width(curve.get_prediction(grid, simultaneous=True)) > half_width(curve.get_prediction(grid))).all()


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")  # a few of a hundred white residuals do not look white
def test_forecasts_after_sixty_readings_hold_their_level():
    """Of 100 decays, level 0.95 within three Monte Carlo standard errors; given the coefficients it is not by far."""
    inside = {"curve": [], "reading": [], "curve, coefficients known": []}
    t = np.arange(N + 20) * 0.05
    x = np.exp(-t / 2)
    for seed in range(100):
        y = x + 0.1 * np.random.default_rng(seed).standard_normal(N + 20)
        frame = sf.DerivativeRegression(y[:N], t[:N], intercept=False).fit("output_error").forecast(t[N:])
        low, high = frame["mean_ci_lower"], frame["mean_ci_upper"]
        inside["curve"].append(((low < x[N:]) & (x[N:] < high)).mean())
        inside["reading"].append(((frame["obs_ci_lower"] < y[N:]) & (y[N:] < frame["obs_ci_upper"])).mean())
        inside["curve, coefficients known"].append((np.abs(frame["mean"] - x[N:]) < 1.96 * frame["mean_se"]).mean())
    for name in ("curve", "reading"):
        error = np.std(inside[name]) / np.sqrt(len(inside[name]))
        assert np.mean(inside[name]) == pytest.approx(0.95, abs=3 * error), name
    assert np.mean(inside["curve, coefficients known"]) < 0.8


@pytest.mark.parametrize("method", ["arx", "armax", "whittle", "iv", "profile", "integral", "weak", "fourier"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_every_method_has_bands(noisy, method):
    t, u, y = noisy
    res = sf.DerivativeRegression(y, t, u).fit(method)
    frame = res.forecast([20.0, 20.5], [1.0, 1.0])
    assert np.isfinite(frame.to_numpy()).all()
    prediction = res.get_prediction([3.0, 3.33])
    half = half_width(prediction)
    assert (half >= 1.9599 * prediction.se_mean).all()
    assert np.isfinite(prediction.summary_frame().to_numpy()).all()


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_known_sds_noises_at_zero_and_several_outputs(noisy):
    t, u, y = noisy
    known = sf.DerivativeRegression(sf.observe(t, y, sd=0.1), u=pd.DataFrame({"u": u}), t=t).fit("output_error")
    prediction = known.get_prediction([3.33])
    assert np.isnan(prediction.conf_int(obs=True)).all()
    assert np.isfinite(prediction.conf_int()).all()
    pair = sf.DerivativeRegression(pd.DataFrame({"a": y, "b": y[::-1]}), t, u).fit("output_error")
    one, other = (pair.get_prediction([3.33], output=name) for name in "ab")
    frame = pair.forecast([20.0], [1.0])
    assert np.isfinite(frame.to_numpy()).all()
    for prediction in (one, other):
        assert prediction.law.variance[0] > prediction.var_pred_mean[0]
    assert len(pair.get_prediction([]).conf_int()) == 0


def test_a_variance_near_zero_leaves_forecasts_finite():
    """Its logarithm has a standard error of 1e12, whose exponential is no number."""
    t, u, _, y = short(np.random.default_rng(5), 160, 0.2)
    res = sf.DerivativeRegression(y, t, u).fit("armax")
    noise, cov = {**res.fitted.noise, "q": 1e-12}, res.cov_params().to_numpy().copy()
    cov[3], cov[:, 3] = cov[3] / res.bse["q"], cov[:, 3] / res.bse["q"]
    cov[3, 3] = 1.0
    found = replace(res.fitted, q=np.array([1e-12]), noise=noise)
    near_zero = type(res)(replace(res._fit, found=found, cov=cov))
    assert np.abs(near_zero.smoother.steps[:, 3:]).max() <= LARGEST
    ahead = near_zero.forecast(t[-1] + 0.1 * np.arange(1, 21), np.zeros(20))
    assert np.isfinite(ahead.to_numpy()).all()
    assert (ahead["mean_ci_upper"] > ahead["mean_ci_lower"]).all()
