"""Advice: what residuals say against the noise that a method assumes."""

import warnings

import numpy as np
import pytest
from scipy.signal import lfilter

import smoothfit as sf
from smoothfit.dynamics.diagnostics import memory_inflation
from smoothfit.errors import BiasWarning

from .conftest import held, solution

H = 0.05


def sample_of(n, runs):
    """A sample of some runs of equal length, of which only the times and the joins matter."""
    t = np.tile(np.arange(n // runs) * H, runs)
    groups = np.repeat(np.arange(runs), n // runs)
    return sf.DerivativeRegression(np.sin(t) + groups, t, groups=groups).sample


@pytest.mark.parametrize("runs", [1, 5])
@pytest.mark.parametrize("poles", [[-1.0], [-0.4 + 3j, -0.4 - 3j], [-1.0, -8.0], [0.0], [0.0, -0.5]])
def test_white_residuals_inflate_nothing(poles, runs):
    rng = np.random.default_rng(1)
    sample, poles = sample_of(4000, runs), np.array(poles, dtype=complex)
    found, p = np.array([memory_inflation(rng.standard_normal(4000), sample, poles) for _ in range(400)]).T
    assert abs(found.mean() - 1) < 4 * found.std() / np.sqrt(400)
    # Beyond the three standard errors of 0.015 (levels 0.1) there is what chi-squared and short runs leave.
    assert (p < 0.1).mean() == pytest.approx(0.1, abs=0.045 + 0.02)
    assert (p < 0.5).mean() == pytest.approx(0.5, abs=0.075 + 0.05)


def test_the_inflation_is_that_of_noise_within_the_equation():
    # Residuals of which a share is a first-order process: autocorrelations share phi^k, weights phi^k.
    rng = np.random.default_rng(2)
    n, phi, share = 50_000, np.exp(-H), 0.3
    process = lfilter([np.sqrt(1 - phi**2)], [1, -phi], rng.standard_normal(n))
    residual = np.sqrt(share) * process + np.sqrt(1 - share) * rng.standard_normal(n)
    inflation, p = memory_inflation(residual, sample_of(n, 1), np.array([-1.0]))
    assert inflation == pytest.approx(1 + 2 * share * phi**2 / (1 - phi**2), rel=0.1)
    assert p < 1e-20


def test_missing_residuals_are_left_out():
    rng = np.random.default_rng(3)
    sample, residual = sample_of(20_000, 1), rng.standard_normal(20_000)
    residual[rng.random(20_000) < 0.4] = np.nan
    inflation, p = memory_inflation(residual, sample, np.array([-1.0]))
    assert 0.001 < p < 0.999
    assert inflation == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("method", ["integral", "weak", "fourier", "output_error"])
def test_rough_readings_do_not_hide_noise_within_the_equation(method):
    # Noise of the readings of sd 0.6 hides process noise of sd 0.2 from neighbouring residuals, but not from the standard errors.
    t, within, without = np.arange(2000) * H, [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        u = held(rng, 2000, 10)
        for q, found in ((0.09, within), (0.0, without)):
            y = solution([-1.0, 2.0, 0.5], t, u, q=q, rng=rng)[:, 0] + 0.6 * rng.standard_normal(2000)
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                sf.DerivativeRegression(y, t, u).fit(method)
            found.append([str(each.message) for each in heard if each.category is BiasWarning])
    assert all(len(words) == 1 and "by a factor of some" in words[0] for words in within)
    assert sum(map(len, without)) <= 1


def test_advice_holds_for_irregular_times():
    rng = np.random.default_rng(5)
    t = np.cumsum(rng.uniform(0.5, 1.5, 1000)) * H
    u = held(rng, 1000, 10)
    y = solution([-1.0, 2.0, 0.5], t, u, q=0.09, rng=rng)[:, 0] + 0.1 * rng.standard_normal(1000)
    with pytest.warns(BiasWarning, match="too small by a factor of"):
        sf.DerivativeRegression(y, t, u).fit("output_error")


def test_profiling_is_told_what_its_standard_errors_know(noisy):
    t, u, y = noisy
    model = sf.DerivativeRegression(y, t, u)
    with pytest.warns(BiasWarning, match="its standard errors know of the noise within the equation"):
        model.fit("profile")


def test_the_stated_factor_is_that_of_the_errors():
    # Over a hundred time constants; a fit to fewer takes more of the correlation up, and the factor is too small.
    errors, stated, factors = [], [], []
    t = np.arange(2000) * H
    for seed in range(40):
        rng = np.random.default_rng(seed)
        u = held(rng, 2000, 10)
        y = solution([-1.0, 2.0, 0.5], t, u, q=0.09, rng=rng)[:, 0] + 0.1 * rng.standard_normal(2000)
        model = sf.DerivativeRegression(y, t, u)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BiasWarning)
            res = model.fit("output_error")
        inflation, _ = memory_inflation(res.fitted.resid[:, 0], model.sample, res.poles())
        errors.append(res.params["y"] + 1)
        stated.append(res.bse["y"])
        factors.append(np.sqrt(inflation))
    assert np.sqrt(np.mean(np.square(errors))) / np.mean(stated) == pytest.approx(np.mean(factors), rel=0.35)


def test_differences_at_irregular_times_are_told_by_their_residuals():
    rng = np.random.default_rng(8)
    t = np.cumsum(rng.uniform(0.5, 1.5, 600)) * H
    u = held(rng, 600, 10)
    y = solution([-1.0, 2.0, 0.5], t, u)[:, 0] + 0.1 * rng.standard_normal(600)
    with pytest.warns(BiasWarning, match="neighbouring residuals are negatively correlated"):
        sf.DerivativeRegression(y, t, u).fit("difference")


@pytest.mark.parametrize("method", ["kalman", "armax"])
def test_likelihoods_tell_an_equation_that_does_not_describe_the_readings(method):
    rng = np.random.default_rng(9)
    t = np.arange(600) * H
    u = held(rng, 600, 10)
    y = solution([-4.0, -0.4, 3.0, 0.5], t, u, 2)[:, 0] + 0.05 * rng.standard_normal(600)  # an oscillator
    with pytest.warns(BiasWarning, match="one-step prediction errors of .* are correlated"):
        sf.DerivativeRegression(y, t, u).fit(method)
    right = sf.DerivativeRegression(y, t, u, order=2).fit(method)
    assert right.diagnostics["Ljung-Box p"] > 1e-3


def test_every_method_says_what_differences_would_be_off_by(noisy):
    t, u, y = noisy
    model = sf.DerivativeRegression(y, t, u)
    with pytest.warns(BiasWarning):
        naive = model.fit("difference")
    good = model.fit()
    off = naive.params["y"] - good.params["y"]
    assert good.diagnostics["attenuation of differences y"] == naive.diagnostics["attenuation y"]
    assert good.diagnostics["predicted bias of differences y"] == naive.diagnostics["predicted bias y"]
    assert good.diagnostics["predicted bias of differences y"] == pytest.approx(off, abs=3 * good.bse["y"])
    assert good.diagnostics["q / sigma^2"] == pytest.approx(good.params["q"] / good.params["sigma"] ** 2)
    assert "Tests of the noises, at their boundary: q = 0: LR" in str(good.summary())
