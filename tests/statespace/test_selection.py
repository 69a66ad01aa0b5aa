"""Interventions that a fit adds by itself, and the shares of variance of components."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.errors import MisfitWarning, SpecificationError
from smoothfit.markov import priors as pri

T = np.arange(100.0)


def sine(seed=0):
    return 3 * np.sin(T / 12) + np.random.default_rng(seed).standard_normal(100)


def auto(y, **options):
    return sf.SmoothingSpline(sf.observe(T, y), **options).fit(interventions="auto")


@pytest.mark.parametrize("options", [{}, {"prior": pri.IntegratedWiener(1)}, {"prior": pri.LocalLinearTrend()}], ids=str)
def test_a_shift_and_an_outlier_are_found_and_reported(options):
    """The same fit as with these interventions given; p-values are of the t test times the number of places."""
    y = sine(1) + 5 * (T >= 55) + 8 * (T == 20)
    res = auto(y, **options)
    given = sf.SmoothingSpline(sf.observe(T, y), interventions=[sf.Pulse(20.0), sf.Level(55.0)], **options).fit()
    assert res.llf == pytest.approx(given.llf, abs=1e-7)
    assert set(res.effect_names) == {"pulse(20)", "level(55)"}
    for name in given.effect_names:
        assert res.params[name] == pytest.approx(given.params[name], rel=1e-3)
        expected = 200 * stats.t.sf(res.params[name] / res.bse[name], res.df_interval)
        assert res.fitted.selection.p_values[name] == pytest.approx(expected, rel=1e-9)
        assert expected < 0.05
    text = " ".join(res.summary().as_text().split())
    assert "interventions='auto' added: " in text
    assert "level(55) (p = " in text
    assert "Intervals do not include the search for them." in text
    assert "level(55)" in res.component_names
    assert "level(55)" in pickle.loads(pickle.dumps(res)).summary().as_text()


def test_a_clean_series_stays_as_it_is():
    res, plain = auto(sine()), sf.SmoothingSpline(sf.observe(T, sine())).fit()
    assert res.llf == plain.llf
    assert res.fitted.selection.p_values == {}
    assert "interventions='auto' added: none found" in res.summary().as_text()


def test_a_search_that_stops_early_is_reported(monkeypatch):
    monkeypatch.setattr("smoothfit.statespace.selection.MOST", 1)
    with pytest.warns(MisfitWarning, match="the curve jumps by"):
        res = auto(sine(1) + 8 * (T >= 55) + 20 * (T == 20))
    assert res.effect_names == ("pulse(20)",)
    assert "stopped at 1." in res.summary().as_text()


def test_interventions_that_are_given_stay_and_times_are_times():
    day = pd.date_range("2024-01-01", periods=100, freq="D")
    y = sine(1) + 6 * (T >= 55) + 4 * (T >= 20)
    known = sf.Level(pd.Timestamp("2024-01-21"), name="law")
    res = sf.SmoothingSpline(sf.observe(day, y), interventions=[known]).fit(interventions="auto")
    assert res.effect_names == ("law", "level(2024-02-25)")


def test_what_the_search_does_not_go_with_is_named_with_the_way_out():
    y, one = sine(), sf.observe(T, sine(), name="a")
    slopes = sf.observe(T, y, 1, name="a")
    refused = [
        (one + sf.observe(T, y, name="b"), {}, {}, "needs one series, and there are 2; see outliers"),
        (slopes, {"prior": pri.Matern(2.5)}, {}, "'a' observes f'; see"),
        (sf.observe_integral(T, T + 1, y, name="a"), {}, {}, "'a' observes "),
        (sf.observe(T, y, resolution=0.1), {}, {}, "values of f without resolution="),
        (sf.observe(np.repeat(T[:50], 2), y), {}, {}, "needs one observation at each x"),
        (one, {"period": 100.0}, {}, "needs a curve without period="),
        (one, {}, {"method": "gcv"}, "needs a likelihood; pass method='reml' or 'ml'"),
        (one, {}, {"lam": 1.0}, "needs a fit without lam; leave lam out, or see outliers"),
        (one, {}, {"robust": True}, "needs a fit without robust"),
    ]
    for obs, options, fit, message in refused:
        with pytest.raises(SpecificationError, match=f"interventions='auto' needs .*{message}|{message}"):
            sf.SmoothingSpline(obs, **options).fit(interventions="auto", **fit)
    with pytest.raises(SpecificationError, match="interventions is"):
        sf.SmoothingSpline(one).fit(interventions=[sf.Level(5.0)])


def test_shares_of_variance_sum_to_one_and_are_covariances():
    rng = np.random.default_rng(0)
    price, holiday = rng.standard_normal((2, 100))
    y = sine() + np.cos(np.pi * T / 6) + 0.7 * holiday + price * (1 + T / 100)
    noise = {"f": pri.OrnsteinUhlenbeck(length_scale=2.0, amplitude=0.5)}
    res = sf.SmoothingSpline(
        sf.observe(T, y),
        prior=pri.IntegratedWiener(2) + pri.Seasonal(12, q=0),
        regressors={"holiday": holiday, "price": price},
        varying={"price": pri.IntegratedWiener(1)},
        interventions=[sf.Level(50.0)],
        noise=noise,
    ).fit()
    shares = res.variance_shares()
    rows = ["wiener", "seasonal", "level(50)", "holiday", "price", "noise process", "residual"]
    assert list(shares.index) == rows
    assert shares["share"].sum() == pytest.approx(1, abs=1e-12)
    parts = {name: part["mean"].to_numpy() for name, part in res.components().groupby("component")}
    parts["noise process"] = res.fittedvalues - sum(parts[name] for name in rows[:5])
    for name, mean in parts.items():
        if name != "coef(price)":
            assert shares["share"][name] == pytest.approx(np.cov(mean, y)[0, 1] / np.var(y, ddof=1), rel=1e-8)
            assert shares["variance"][name] == pytest.approx(np.var(mean), rel=1e-8)
            strength = max(0.0, 1 - np.var(res.resid) / np.var(mean + res.resid))
            assert shares["strength"][name] == pytest.approx(strength, rel=1e-8, abs=1e-9)
    assert np.isnan(shares["strength"]["residual"])


def test_shares_of_slopes_and_of_a_series():
    slopes = np.cos(T / 12) / 4 + 0.1 * np.random.default_rng(1).standard_normal(100)
    obs = sf.observe(T, sine(), name="a") + sf.observe(T, slopes, 1, name="b")
    res = sf.SmoothingSpline(obs, order=3).fit()
    slope = res.predict(T, 1)
    share = np.cov(slope, obs.y[100:])[0, 1] / np.var(obs.y[100:], ddof=1)
    assert res.variance_shares("b")["share"]["wiener"] == pytest.approx(share, rel=1e-9)
    assert list(res.variance_shares().index) == ["wiener", "residual"]
    with pytest.raises(SpecificationError, match="name is 'c'; the observations are named a, b"):
        res.variance_shares("c")
    with_sums = sf.observe(T, sine(), name="a") + sf.observe_integral([0.0], [5.0], [3.0], sd=1.0, name="s")
    with pytest.raises(SpecificationError, match=r"'s' does not observe f.*pass name= of a; see components"):
        sf.SmoothingSpline(with_sums).fit().variance_shares("s")
