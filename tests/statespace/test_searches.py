"""Searches that must end at the best optimum, at a limit, or with a reason: contradicting, exact, periodic and seasonal series."""

import warnings

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit import priors as pri
from smoothfit.errors import DataError, ExactSeriesWarning, IdentificationError, SmoothfitError
from smoothfit.markov.criteria import RestrictedLikelihood
from smoothfit.statespace import fitting

# random mixtures of series that contradict each other, as they may
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")

ignore_exact = pytest.mark.filterwarnings("ignore::smoothfit.errors.ExactSeriesWarning")

# Several series that contradict each other -----------------------------------------------------------------------------


def contradicting(seed):
    """Two or three series of sin, the second with a factor, an offset, or slopes with the wrong sign, factor or offset."""
    rng = np.random.default_rng([77, seed])
    noise, w = 10 ** rng.uniform(-3, -1), rng.uniform(2, 8)

    def series(name, f, deriv=0):
        x = np.round(np.sort(rng.uniform(0, 1, rng.integers(6, 25))), 2)
        return sf.observe(x, f(x) + noise * rng.standard_normal(len(x)), deriv=deriv, name=name)

    factor = rng.choice([1.7, -1, 0.3])
    obs = series("a", lambda x: np.sin(w * x))
    kinds = [
        lambda: series("b", lambda x: factor * np.sin(w * x)),
        lambda: series("b", lambda x: np.sin(w * x) + factor),
        lambda: series("b", lambda x: -w * np.cos(w * x), 1),
        lambda: series("b", lambda x: factor * np.sin(w * x)) + series("c", lambda x: np.sin(w * x) + 0.5),
        lambda: series("b", lambda x: factor * w * np.cos(w * x), 1) + series("c", lambda x: np.sin(w * x)),
    ]
    return obs + kinds[seed % len(kinds)]()


@ignore_exact
@pytest.mark.parametrize("seed", range(10))
def test_no_random_start_leads_lower_than_the_search(seed):
    model = sf.SmoothingSpline(contradicting(seed), order=3)
    likelihood = RestrictedLikelihood(model._rows, 3)
    best = model.fit().optimum.value
    rng = np.random.default_rng(seed)
    spread = fitting.log_spreads(model._rows, model._rows.unknown)
    for _ in range(12):
        start = np.exp(spread + 2 * np.log(10) * rng.uniform(-3.5, 0.3, len(spread)))
        try:
            found = fitting._search(likelihood, start).value
        except SmoothfitError:
            continue
        assert found >= best - 1e-6  # each is within 1e-10 of its minimum, or within its change towards a bound


def two_sensors():
    """The second sensor reads 1.7 times the quantity."""
    rng = np.random.default_rng(190)
    x, _, w = (np.round(np.sort(rng.uniform(0, 1, k)), 2) for k in (8, 6, 10))
    a = np.round(np.sin(3 * x) + 0.003 * rng.standard_normal(8), 3)
    b = np.round(1.7 * np.sin(3 * w) + 0.003 * rng.standard_normal(10), 3)
    return sf.observe(x, a, name="a") + sf.observe(w, b, name="b")


@ignore_exact
@pytest.mark.parametrize("options", [{"order": 2}, {"prior": pri.IntegratedWiener(2)}])
def test_both_engines_find_the_sensor_to_trust(options):
    res = sf.SmoothingSpline(two_sensors(), **options).fit()
    assert res.llf == pytest.approx(26.7348, abs=1e-3)  # 26.73 by dense algebra of 40 digits; without trust in one series 4.89


@ignore_exact
@pytest.mark.parametrize("seed", [3, 8])
def test_both_engines_trust_the_same_of_three(seed):
    obs = contradicting(seed)
    llfs = [sf.SmoothingSpline(obs, **options).fit().llf for options in ({"order": 3}, {"prior": pri.IntegratedWiener(3)})]
    assert llfs[0] == pytest.approx(llfs[1], abs=1e-5)


@pytest.mark.parametrize("level", [0.3, 0.1, 1e6 / 3])
@pytest.mark.parametrize("options", [{"order": 2}, {"prior": pri.IntegratedWiener(2)}])
def test_a_series_that_never_changes_is_noise_and_named(options, level):
    """Rounding spreads equal numbers by 1e-17 about their mean: no series of that precision."""
    rng = np.random.default_rng(2)
    x, z = np.sort(rng.uniform(0, 1, 30)), np.sort(rng.uniform(0, 1, 5))
    y = level + np.sin(6 * x) + 0.1 * rng.standard_normal(30)
    obs = sf.observe(x, y, name="a") + sf.observe(z, np.full(5, level), name="b")
    with pytest.warns(ExactSeriesWarning, match="all 5 observations of 'b' are equal"):
        res = sf.SmoothingSpline(obs, **options).fit()
    assert not {"b", "sigma.b"} & set(res.boundary)
    # The noise of b is its distance from the curve that a tells.
    alone = sf.SmoothingSpline(sf.observe(x, y, name="a"), order=2).fit()
    assert res.sigma["b"] == pytest.approx(np.sqrt(np.mean((alone.predict(z) - level) ** 2)), rel=0.02)
    assert res.sigma["a"] == pytest.approx(alone.sigma["a"], rel=0.01)


def test_a_series_estimated_as_exact_is_named():
    x = np.linspace(0, 6, 30)
    y = np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(30)
    obs = sf.observe(x[::2], np.sin(x[::2]), name="exact") + sf.observe(x, y, name="noisy")
    with pytest.warns(ExactSeriesWarning, match="the SD of 'exact' is estimated as zero") as caught:
        res = sf.SmoothingSpline(obs, order=3).fit()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_allclose(res.predict(x[::2]), np.sin(x[::2]), atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sf.SmoothingSpline(sf.observe(x, np.sin(x)), order=3).fit()  # the interpolant is what a single exact series asks for


# Exact values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [lambda x: 1 / (1 + np.exp(-20 * (x - 5))), np.sin, lambda x: np.exp(-4 * (x - 5) ** 2)])
@pytest.mark.parametrize(("order", "size"), [(2, 50), (2, 200), (3, 200)])
def test_exact_values_at_irregular_x_are_interpolated(f, order, size):
    for seed in range(3):
        x = np.sort(np.random.default_rng([size, seed]).uniform(0, 10, size))
        res = sf.SmoothingSpline(sf.observe(x, f(x)), order=order).fit()
        np.testing.assert_allclose(res.predict(x), f(x), atol=1e-6)


@pytest.mark.parametrize("fixed", [{"lam": 1.0}, {"lam": 1e-8}, {"edf": 5.0}, {"bandwidth": 0.1}])
@pytest.mark.parametrize("y", [np.ones(20), np.zeros(20), 1 + 2 * np.linspace(0, 1, 20), 1e6 + np.linspace(0, 3, 20)])
def test_a_line_with_a_given_smoothing_needs_no_noise(y, fixed):
    x = np.linspace(0, 1, 20)
    res = sf.SmoothingSpline(sf.observe(x, y), order=2).fit(**fixed)
    np.testing.assert_allclose(res.predict(x), y, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(res.predict(x, deriv=1), (y[-1] - y[0]) * np.ones(20), atol=1e-8)
    assert res.boundary == ("f",)
    assert res.sigma["f"] < 1e-9
    assert np.isfinite(res.llf)
    general = sf.SmoothingSpline(sf.observe(x, y), prior=pri.IntegratedWiener(2, q=1.0)).fit()
    np.testing.assert_allclose(general.predict(x), y, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"smoothing": "shared"}, {"method": "gcv"}])
def test_flat_sensors_have_a_reason_of_their_own(options):
    x = np.arange(30.0)
    noisy = np.sin(x / 3) + 0.1 * np.random.default_rng(0).standard_normal(30)
    for last in (np.full(30, 0.7), noisy):
        df = pd.DataFrame({"id": np.repeat(["a", "b"], 30), "x": np.tile(x, 2), "y": np.r_[np.full(30, 0.3), last]})
        fits = sf.fit_curves(df, by="id", x="x", readings={"y": 0}, **options)
        assert set(fits.params.index) | set(fits.failures.index) == {"a", "b"}
        assert all("no noise to estimate" in reason for reason in fits.failures)
        assert ("b" in fits.params.index) == (last is noisy)


# Periodic curves -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [0.37, 7.3, 120.0])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_periodic_curve_without_process_noise_is_the_mean(order, period):
    limits = 0
    for seed in range(3):
        rng = np.random.default_rng([seed, order])
        x, y = np.sort(rng.uniform(0, period, 60)), 5 + rng.standard_normal(60)
        res = sf.SmoothingSpline(sf.observe(x, y), order=order, period=period).fit()
        assert res.edf >= 1 - 1e-12
        if res.q > 0:
            continue
        limits += 1
        np.testing.assert_allclose(res.predict(np.linspace(-period, 2 * period, 9)), y.mean(), rtol=1e-13)
        assert res.sigma["f"] == pytest.approx(y.std(ddof=1), rel=1e-5)
        assert res.get_prediction([x[3]]).se_mean[0] == pytest.approx(y.std(ddof=1) / np.sqrt(60), rel=1e-5)
        rss = np.sum((y - y.mean()) ** 2) / res.sigma["f"] ** 2
        llf = -(59 * np.log(2 * np.pi * res.sigma["f"] ** 2) + rss) / 2  # Harville's form: log|X'X| cancels
        assert res.llf == pytest.approx(llf, abs=1e-9)
    assert limits


@pytest.mark.parametrize("period", [0.37, 0.99, 1 / 3 + 1 / 7])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_periods_shorter_than_the_spacing_are_those_of_the_phases(order, period):
    x = np.arange(60.0)
    y = np.sin(2 * np.pi * x / period) + 0.3 * np.random.default_rng(order).standard_normal(60)
    short = sf.SmoothingSpline(sf.observe(x, y), order=order, period=period).fit()
    phases = sf.SmoothingSpline(sf.observe(np.round(np.mod(x, period), 12), y), order=order, period=period).fit()
    assert short.llf == pytest.approx(phases.llf, abs=1e-6)
    np.testing.assert_allclose(short.predict(x[:9]), phases.predict(x[:9]), atol=1e-5)


@pytest.mark.parametrize(
    ("period", "word"), [(0.5, "whole periods of 0.5 apart"), (1 / 3, "whole periods"), (1e-16, "rounding of x hides")]
)
def test_periods_that_tell_nothing(period, word):
    x = np.arange(60.0)
    with pytest.raises(DataError, match=word):
        sf.SmoothingSpline(sf.observe(x, np.sin(x)), period=period)


# Seasons on a grid -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "length", "start"), [(2, 1.0, 0.0), (4, 1.0, 0.37), (6, 0.5, 0.0), (12, 1 / 12, 2000.25)])
def test_a_full_season_of_an_even_period_is_a_table_of_means(steps, length, start):
    n = 20 * steps
    x = start + length * np.arange(float(n))
    y = np.tile(np.random.default_rng(0).standard_normal(steps), 20) + 0.1 * np.random.default_rng(1).standard_normal(n)
    prior = pri.Polynomial(0) + pri.Seasonal(steps * length, harmonics=steps // 2, q=0.0)
    res = sf.SmoothingSpline(sf.observe(x, y, name="y"), prior=prior).fit()
    means = y.reshape(20, steps).mean(axis=0)
    np.testing.assert_allclose(res.fittedvalues, np.tile(means, 20), atol=1e-9)
    rss = np.sum((y - np.tile(means, 20)) ** 2)
    assert res.sigma["y"] == pytest.approx(np.sqrt(rss / (n - steps)), rel=1e-6)
    assert res.edf == pytest.approx(steps, rel=1e-9)
    if steps > 4:
        return
    free = pri.IntegratedWiener(1) + pri.Seasonal(steps * length, harmonics=steps // 2)
    assert sf.SmoothingSpline(sf.observe(x, y, name="y"), prior=free).fit().llf > res.llf - 1e-6


def test_off_a_grid_both_constants_of_the_last_harmonic_are_free():
    x = np.arange(40.0)
    prior = pri.IntegratedWiener(1) + pri.Seasonal(4.0, harmonics=2)
    y = np.cos(np.pi * x / 2) + 0.1 * np.random.default_rng(1).standard_normal(40)
    moved = x + 0.1 * np.random.default_rng(2).uniform(size=40)
    assert [sf.SmoothingSpline(sf.observe(places, y), prior=prior).specification.n_diffuse for places in (x, moved)] == [4, 5]
    bins = sf.observe_integral(x, x + 1, y)  # of which the sine alone tells the last harmonic
    assert sf.SmoothingSpline(bins, prior=prior).specification.n_diffuse == 4


def test_harmonics_that_a_grid_does_not_tell_are_named():
    x = np.arange(40.0)
    prior = pri.IntegratedWiener(1) + pri.Seasonal(4.0, harmonics=3)
    with pytest.raises(IdentificationError, match=r"harmonics 1, 3 of Seasonal\(period=4.0, harmonics=3.*lower harmonics="):
        sf.SmoothingSpline(sf.observe(x, np.cos(x)), prior=prior)


# Length scales ---------------------------------------------------------------------------------------------------------


def test_a_correlated_noise_of_short_length_is_found():
    rng = np.random.default_rng(321)
    t = np.arange(1, 101) / 100
    for _ in range(2):
        e, z = np.zeros(100), rng.standard_normal(100)
        e[0] = z[0] / np.sqrt(1 - 0.3713**2)
        for i in range(1, 100):
            e[i] = 0.3713 * e[i - 1] + z[i]
    obs = sf.observe(t, 1280 * t**4 * (1 - t) ** 4 + e)
    found = sf.SmoothingSpline(obs, noise={"f": pri.OrnsteinUhlenbeck()}).fit()
    held = [sf.SmoothingSpline(obs, noise={"f": pri.OrnsteinUhlenbeck(scale)}).fit().llf for scale in (0.00737, 0.1)]
    assert found.llf >= max(held) - 1e-6
    assert held[0] == pytest.approx(-144.7825, abs=1e-3)  # dense algebra


# Intervals with a common limit -----------------------------------------------------------------------------------------


def antiderivative(x):
    return -np.cos(6 * x) / 6 + x


INTERVALS = {
    "origin": lambda rng, n: (np.zeros(n), rng.uniform(0.1, 1, n)),
    "end": lambda rng, n: (rng.uniform(0, 0.9, n), np.ones(n)),
    "both": lambda rng, n: (np.r_[np.zeros(n), rng.uniform(0, 0.9, n)], np.r_[rng.uniform(0.1, 1, n), np.ones(n)]),
    "adjoining": lambda rng, n: (np.arange(n) / n, np.arange(1, n + 1) / n),
}


@pytest.mark.parametrize("case", INTERVALS)
@pytest.mark.parametrize("observe", [sf.observe_integral, sf.observe_difference])
def test_thousands_of_intervals_with_a_common_limit(case, observe):
    rng = np.random.default_rng(0)
    lower, upper = INTERVALS[case](rng, 1000)
    values = antiderivative if observe is sf.observe_integral else np.sin
    y = values(upper) - values(lower) + 0.02 * rng.standard_normal(len(lower))
    obs = observe(lower, upper, y, name="counts")
    if observe is sf.observe_difference:
        obs = obs + sf.observe([0.5], [np.sin(0.5)], sd=0.01)
    res = sf.SmoothingSpline(obs, order=2).fit()
    assert res.sigma["counts"] == pytest.approx(0.02, rel=0.1)  # four standard errors


@pytest.mark.parametrize("case", ["end", "both"])
def test_intervals_with_a_common_end_are_those_of_spline_regression(case):
    rng = np.random.default_rng(1)
    lower, upper = INTERVALS[case](rng, 30)
    y = antiderivative(upper) - antiderivative(lower) + 0.02 * rng.standard_normal(len(lower))
    obs = sf.observe_integral(lower, upper, y, sd=0.02)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(2, q=50.0)).fit()
    # The posterior mean is a spline of degree 4 with knots at the limits.
    knots = np.unique(np.r_[lower, upper])
    basis = sf.BSplineBasis(np.r_[[knots[0]] * 4, knots, [knots[-1]] * 4], degree=4)
    fit = sf.SplineRegression(obs, basis, penalty=sf.DerivativePenalty(2)).fit(lam=1 / 50)
    places = np.linspace(knots[0], 1, 21)
    np.testing.assert_allclose(res.predict(places), fit.predict(places), atol=1e-6)


# Full likelihood -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"order": 3}, {"prior": pri.IntegratedWiener(3)}])
def test_full_likelihood_does_not_know_the_direction_of_x(options):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 10, 40))
    y, slope = np.sin(x) + 0.1 * rng.standard_normal(40), np.cos(x) + 0.3 * rng.standard_normal(40)
    fits = [
        sf.SmoothingSpline(sf.observe(s * x, y, name="a") + sf.observe(s * x, s * slope, deriv=1, name="b"), **options).fit("ml")
        for s in (1, -1)
    ]
    assert fits[0].llf == pytest.approx(fits[1].llf, abs=1e-8)
    assert fits[0].edf == pytest.approx(fits[1].edf, rel=1e-4)
    assert fits[0].aic == pytest.approx(-2 * fits[0].llf + 2 * (3 + 3), rel=1e-12)  # three coefficients, two SDs, the smoothing


def test_full_likelihood_of_a_polynomial_is_that_of_least_squares():
    rng = np.random.default_rng(5)
    x = np.linspace(0, 1, 40)
    y = 1 + 2 * x + 0.1 * rng.standard_normal(40)
    res = sf.SmoothingSpline(sf.observe(x, y), order=2).fit("ml")
    assert res.q == 0
    sigma2 = np.mean((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2)
    assert res.sigma["f"] == pytest.approx(np.sqrt(sigma2), rel=1e-6)
    assert res.llf == pytest.approx(-20 * (np.log(2 * np.pi * sigma2) + 1), rel=1e-9)
