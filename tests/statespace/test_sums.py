"""Trend, season and regressor: fixed smoothings, parts, changes, outliers and streams of a sum, against dense algebra."""

import typing

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.statespace import stream

from .dense import Dense, matern, wiener

pri = sf.priors


@pytest.fixture(scope="module")
def season():
    """A trend, a season and a regressor, with an outlier and a jump."""
    rng = np.random.default_rng(11)
    t = np.arange(48.0)
    load = rng.standard_normal(48)
    y = 0.05 * t + np.cos(2 * np.pi * t / 8) + 0.7 * load + 0.2 * rng.standard_normal(48)
    y[30:] += 2.0
    y[11] += 2.0
    return t, load, y


def seasonal_model(season):
    t, load, y = season
    prior = pri.IntegratedWiener(2) + pri.Seasonal(8, 1, q=0)
    return sf.SmoothingSpline(sf.observe(pd.Series(t, name="month"), y), prior=prior, regressors={"load": load})


def seasonal_dense(season, q, sigma, weights=1.0):
    t, load, y = season
    angle = 2 * np.pi * t / 8
    X = np.column_stack([np.ones_like(t), t, np.cos(angle), np.sin(angle), load])
    return Dense(wiener(t, t, q), X, np.full(len(t), sigma**2) / weights, y)


@pytest.mark.parametrize("smoothing", [{"lam": 3.0}, {"bandwidth": 2.5}, {"edf": 14.0}], ids=lambda given: next(iter(given)))
def test_a_fixed_smoothing_acts_on_the_trend_of_a_sum(season, smoothing):
    res = seasonal_model(season).fit(**smoothing)
    ((name, value),) = smoothing.items()
    sigma = float(res.sigma["f"])
    dense = seasonal_dense(season, res.q, sigma)
    found = {"lam": sigma**2 / res.q, "bandwidth": (sigma**2 / res.q) ** 0.25, "edf": dense.edf}  # observations one apart
    assert found[name] == pytest.approx(value, rel=1e-8)
    assert getattr(res, name) == pytest.approx(value, rel=1e-8)
    assert res.edf == pytest.approx(dense.edf, rel=1e-8)
    # in units of sigma^2 the residuals leave n - edf
    assert dense.rss == pytest.approx(len(season[0]) - dense.edf, rel=1e-8)
    assert list(res.params.index) == ["sigma.f", "load"]
    assert res.bse["sigma.f"] == pytest.approx(sigma / np.sqrt(2 * (48 - dense.edf)), rel=1e-8)
    assert res.llf_diffuse == pytest.approx(dense.llf_diffuse, rel=1e-9)
    assert res.fixed == name


def test_an_edf_that_most_seasons_exceed_is_searched_among_the_others():
    """Where the season changes fast it alone takes up more: there no trend has this trace, which is no reason to give up."""
    rng = np.random.default_rng(0)
    t = np.arange(36.0)
    y = np.sin(t / 9) + np.cos(2 * np.pi * t / 6) + 0.1 * rng.standard_normal(36)
    model = sf.SmoothingSpline(sf.observe(t, y), prior=pri.IntegratedWiener(2) + pri.Seasonal(6, 1))
    res = model.fit(edf=9.0)
    assert res.edf == pytest.approx(9.0, rel=1e-8)
    with pytest.raises(SpecificationError, match="edf is 4"):
        model.fit(edf=4.0)


def test_parts_of_a_sum_are_their_posteriors(season):
    t = season[0]
    res = seasonal_model(season).fit(lam=3.0)
    dense = seasonal_dense(season, res.q, float(res.sigma["f"]))
    frame = res.components()
    assert list(frame.columns) == ["component", "month", "mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    parts = dict(iter(frame.groupby("component")))
    assert set(parts) == {"wiener", "seasonal", "load"}
    K, zero = wiener(t, t, res.q), np.zeros((48, 48))
    trend, wave_, effect = (np.where(np.isin(np.arange(5), kept), dense.X, 0.0) for kept in ([0, 1], [2, 3], [4]))
    for name, across, columns in (("wiener", K, trend), ("seasonal", zero, wave_), ("load", zero, effect)):
        mean, variance = dense.part(across, np.diag(across), columns)
        np.testing.assert_allclose(parts[name]["mean"], mean, atol=1e-9)
        np.testing.assert_allclose(parts[name]["mean_se"] ** 2, variance, rtol=1e-7)
    total = sum(part["mean"].to_numpy() for part in parts.values())
    np.testing.assert_allclose(total, res.fittedvalues, atol=1e-11)
    asked = pd.DataFrame({"month": [50.0, 51.0], "load": [2.0, -1.0]})
    future = res.components(asked, alpha=0.1)
    np.testing.assert_allclose(future.groupby("month")["mean"].sum(), res.predict(asked), rtol=1e-10)
    assert set(res.components([50.0])["component"]) == {"wiener", "seasonal"}
    assert set(res.components(deriv=1)["component"]) == {"wiener", "seasonal"}
    assert [ax.get_ylabel() for ax in res.plot_components()] == ["wiener", "seasonal", "load"]


@pytest.mark.parametrize("kind", ["level shift", "slope break"])
def test_changes_are_generalised_least_squares_under_any_prior(season, kind):
    t = season[0]
    res = seasonal_model(season).fit(lam=3.0)
    dense = seasonal_dense(season, res.q, float(res.sigma["f"]))
    found = next(change for change in res._changes() if change.kind == kind)
    assert len(found.x) > 40
    for x, effect, se in zip(found.x, found.effect, found.se, strict=True):
        column = (t >= x).astype(float) if kind == "level shift" else np.maximum(t - x, 0.0)
        mean, error = dense.change(column)
        assert effect == pytest.approx(mean, abs=1e-9)
        assert se == pytest.approx(error, rel=1e-8)


def test_outliers_of_a_sum_are_found(season):
    frame = seasonal_model(season).fit(lam=100.0).outliers()
    first = frame.groupby("kind").first()
    assert first.loc["observation", "x"] == 11
    assert first.loc["level shift", "x"] == 30


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # the last observation lies 1.9 from the means around it
def test_changes_of_a_stationary_curve_and_of_integrals():
    """Under a Matern prior, of integrals and means: the change enters these as its integral."""
    rng = np.random.default_rng(4)
    edges = np.arange(25.0)
    y = np.r_[np.sin(edges[:-1] / 3), 1.0] + 0.1 * rng.standard_normal(25)
    obs = sf.observe_integral(edges[:-1], edges[1:], y[:-1], mean=True, sd=0.1, name="bins") + sf.observe(12.5, y[-1], sd=0.2)
    res = sf.SmoothingSpline(obs, prior=pri.Matern(2.5, length_scale=3.0, amplitude=1.0)).fit()
    nodes, weights = np.polynomial.legendre.leggauss(12)
    points = np.r_[(edges[:-1, None] + 0.5 + nodes / 2).ravel(), 12.5]
    mean = np.zeros((25, len(points)))
    for i in range(24):
        mean[i, 12 * i : 12 * i + 12] = weights / 2
    mean[-1, -1] = 1
    K = mean @ matern(points, points, 3.0, 1.0) @ mean.T
    dense = Dense(K, np.zeros((25, 0)), np.r_[np.full(24, 0.01), 0.04], y)
    level, slope = res._changes()
    for x in (3.0, 12.5, 20.0):
        for change, column in ((level, (points >= x) * 1.0), (slope, np.maximum(points - x, 0.0))):
            if x == 12.5:  # the quadrature of the bin that it divides
                exact = np.where(edges[:-1] > x, 1.0, np.where(edges[:-1] == 12.0, 0.5, 0.0))
                if change is slope:
                    exact = np.where(edges[:-1] > x, edges[:-1] + 0.5 - x, np.where(edges[:-1] == 12.0, 0.125, 0.0))
                column = np.r_[exact, 1.0 if change is level else 0.0]
            else:
                column = mean @ column
            expected, error = dense.change(column)
            at = int(np.flatnonzero(change.x == x)[0])
            assert change.effect[at] == pytest.approx(expected, abs=1e-7)
            assert change.se[at] == pytest.approx(error, rel=1e-7)


def test_robust_weights_of_a_sum_are_a_fixed_point(season):
    y = season[2]
    res = seasonal_model(season).fit(robust={"f": 4.0}, lam=20.0)
    weights, sigma = res.robust_weights, float(res.sigma["f"])
    assert weights[11] < 0.15
    dense = seasonal_dense(season, res.q, sigma, weights)
    resid = dense.r * (dense.P @ y)
    variance = dense.r - dense.r**2 * np.diag(dense.P)
    np.testing.assert_allclose(weights, 5 / (4 + (resid**2 + variance) / sigma**2), rtol=1e-3)
    assert res.noise_df["f"] == 4.0


def test_a_stream_of_a_sum_is_the_posterior_of_all(season, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", 0)
    t, load, y = season
    prior = pri.IntegratedWiener(2) + pri.Seasonal(8, 1, q=0)
    first = sf.SmoothingSpline(sf.observe(t[:20], y[:20]), prior=prior, regressors={"load": load[:20]}).fit(lam=3.0)
    online = first.online(lag=3)
    for i in range(20, 48):
        online.append(t[i], y[i], regressors={"load": load[i]})
    assert len(online._windows[0].rows) <= 12
    dense = seasonal_dense(season, first.q, float(first.sigma["f"]))
    x = np.array([45.5, 47.0, 49.0])
    angle = 2 * np.pi * x / 8
    columns = np.column_stack([np.ones(3), x, np.cos(angle), np.sin(angle), np.zeros(3)])
    mean, variance = dense.part(wiener(x, t, first.q), np.diag(wiener(x, x, first.q)), columns)
    ours = online.get_prediction(x)
    np.testing.assert_allclose(ours.predicted_mean, mean, rtol=1e-8)
    np.testing.assert_allclose(ours.se_mean**2, variance, rtol=1e-7)
    with pytest.raises(DataError, match="regressors"):
        online.append(50.0, 1.0)


def test_splines_and_streams_that_cannot_be_name_the_alternative(season):
    res = seasonal_model(season).fit(lam=3.0)
    with pytest.raises(SpecificationError, match=r"predict\(x, component='wiener'\)"):
        res.spline()
    t, _, y = season
    periodic = sf.SmoothingSpline(sf.observe(t, y), 2, period=50.0).fit(edf=8.0)
    with pytest.raises(SpecificationError, match="Seasonal"):
        periodic.online(lag=3)
    level = sf.SmoothingSpline(sf.observe(t, y), 2, interventions=[sf.Level(30.0)]).fit(edf=8.0)
    with pytest.raises(SpecificationError, match=r"level\(30\)"):
        level.spline()
    spline = periodic.spline()
    np.testing.assert_allclose(spline(t), periodic.predict(t), atol=1e-10)
    assert spline(50.0) == pytest.approx(float(spline(0.0)), abs=1e-10)
    assert spline(50.0, deriv=1) == pytest.approx(float(spline(0.0, deriv=1)), abs=1e-9)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # some models lack the season or the load
def test_results_are_of_one_class_and_name_the_model(season):
    t, load, y = season
    obs = sf.observe(t, y)
    for made, words in [
        ({"order": 3}, "order=3"),
        ({"prior": pri.Matern(2.5, length_scale=2.0)}, "prior=Matern(nu=2.5"),
        ({"order": 2, "period": 50.0}, "order=2, period=50"),
        ({"regressors": {"load": load}}, "order=2, regressors=['load']"),
    ]:
        model = sf.SmoothingSpline(obs, **made)
        res = model.fit()
        assert isinstance(res, sf.statespace.SmoothingSplineResults)
        assert repr(model).startswith(f"SmoothingSpline({words}")
        assert repr(res).startswith(f"SmoothingSplineResults({words}")
        assert res.model is model
        assert "Smoothing Spline Results" in res.summary().as_text()
        assert words.split(",")[0] in res.summary().as_text() or made == {"order": 3}
    assert typing.get_type_hints(sf.SmoothingSpline.fit)["return"] is sf.statespace.SmoothingSplineResults
