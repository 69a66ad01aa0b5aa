"""Structural time series: trends, seasons and cycles, beside statsmodels and beside dense algebra."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
from statsmodels.datasets import nile
from statsmodels.tsa.api import UnobservedComponents

import smoothfit as sf
from smoothfit.errors import IdentificationError, MisfitWarning, SamplingWarning, SpecificationError
from smoothfit.markov import priors as pri
from smoothfit.markov.compiler import even_steps
from smoothfit.statespace.general_search import GeneralCriterion

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="module")
def trending():
    """A local linear trend of which both noises are found, with a gap."""
    rng = np.random.default_rng(0)
    slope = np.cumsum(0.05 * rng.standard_normal(200))
    y = np.cumsum(slope + 0.4 * rng.standard_normal(200)) + 0.5 * rng.standard_normal(200)
    y[90:100] = np.nan
    return y


@pytest.fixture(scope="module")
def gas():
    """Quarterly consumption of gas in the United Kingdom, logarithms."""
    return np.log10(pd.read_csv(REFERENCE / "ukgas.csv")["gas"].to_numpy())


def fitted(y, prior, **options):
    return sf.SmoothingSpline(sf.observe(np.arange(float(len(y))), y, name="y"), prior=prior, **options).fit()


def moments(res, x, part, deriv=0):
    """Mean and SD of a part of the curve at the estimates."""
    prediction = res.get_prediction(np.array(x, dtype=float), deriv, component=part)
    return prediction.predicted_mean, prediction.se_mean


def unobserved(y, **options):
    """A model of statsmodels, with its exact diffuse likelihood."""
    return UnobservedComponents(y, use_exact_diffuse=True, **options)


def distance(model, params, free=slice(None)):
    """How far the largest likelihood of statsmodels is from parameters, in their logarithms: a step of Newton's method."""
    at = np.array(params, dtype=float)
    moves = 1e-3 * np.eye(len(at))[free]

    def loglike(move):
        return model.loglike(at * np.exp(move))

    slope = [(loglike(a) - loglike(-a)) / 2e-3 for a in moves]
    curvature = [[(loglike(a + b) - loglike(a - b) - loglike(b - a) + loglike(-a - b)) / 4e-6 for b in moves] for a in moves]
    return -np.linalg.solve(curvature, slope)


def test_the_discrete_trend_is_that_of_statsmodels(trending):
    """Estimates to five digits; levels and forecasts with their variances where the parameters are the same."""
    res = fitted(trending, pri.LocalLinearTrend(step=1.0))
    model = unobserved(trending, level="local linear trend")
    mine = [res.sigma["y"] ** 2, res.params["q_level"], res.params["q_slope"]]
    np.testing.assert_allclose(distance(model, mine), 0, atol=1e-5)
    found = model.smooth(mine)
    mean, sd = moments(res, np.arange(200.0), "trend")
    np.testing.assert_allclose(mean, found.level["smoothed"], rtol=1e-7)
    np.testing.assert_allclose(sd, np.sqrt(found.level["smoothed_cov"]), rtol=1e-6)
    forecast = found.get_forecast(20)
    mean, sd = moments(res, [200.0, 219.0], "trend")
    np.testing.assert_allclose(mean, forecast.predicted_mean[[0, 19]], rtol=1e-7)
    np.testing.assert_allclose(np.hypot(sd, res.sigma["y"]), forecast.se_mean[[0, 19]], rtol=1e-6)


def test_the_continuous_trend_has_a_sixth_of_the_slope_more(trending):
    discrete, continuous = (fitted(trending, pri.LocalLinearTrend(step=step)) for step in (1.0, None))
    assert continuous.llf == pytest.approx(discrete.llf, abs=1e-8)
    expected = discrete.params["q_level"] + discrete.params["q_slope"] / 6
    assert continuous.params["q_level"] == pytest.approx(expected, rel=1e-5)


def test_zero_noise_gives_a_spline_and_a_drift(trending):
    y = trending[:90]
    smooth, spline = fitted(y, pri.LocalLinearTrend(q_level=0)), sf.SmoothingSpline(sf.observe(np.arange(90.0), y), order=2).fit()
    assert smooth.llf == pytest.approx(spline.llf, abs=1e-6)
    drift = fitted(y, pri.LocalLinearTrend(q_slope=0))
    walk = fitted(y, pri.IntegratedWiener(1), regressors={"time": np.arange(90.0)})
    assert drift.params["q_level"] == pytest.approx(walk.params["q"], rel=1e-4)
    slope, sd = moments(drift, [40.0], "trend", 1)
    assert slope[0] == pytest.approx(walk.params["time"], rel=1e-4)
    assert sd[0] == pytest.approx(walk.bse["time"], rel=1e-3)


def test_a_damped_trend_forecasts_a_level():
    y = np.cumsum(np.random.default_rng(2).standard_normal(80)) + np.random.default_rng(3).standard_normal(80)
    res = fitted(y, pri.DampedTrend(q_level=0.4, q_slope=0.1, damping=0.2))
    slope, f = res.predict([79.0], deriv=1)[0], res.predict([79.0, 84.0, 500.0])
    np.testing.assert_allclose(f[1:] - f[0], slope * -np.expm1(-0.2 * np.array([5.0, 421.0])) / 0.2, rtol=1e-9)


@pytest.mark.parametrize(
    ("season", "options"),
    [(pri.DummySeasonal(4, 4), {"seasonal": 4}), (pri.Seasonal(4, smooth=False), {"freq_seasonal": [{"period": 4}]})],
)
def test_basic_structural_models_are_those_of_statsmodels(gas, season, options):
    """The optimum, where the level has no noise, and the seasonal component with its variance."""
    res = fitted(gas, pri.LocalLinearTrend(step=1.0) + season)
    model = unobserved(gas, level="local linear trend", **options)
    mine = np.array([res.sigma["y"] ** 2, *res.params.iloc[1:]])
    assert mine[1] == 0
    np.testing.assert_allclose(distance(model, mine, [0, 2, 3]), 0, atol=2e-5)
    assert model.loglike(mine + 1e-7 * np.eye(4)[1]) < model.loglike(mine)
    found = model.smooth(mine)
    part = found.seasonal if "seasonal" in options else found.freq_seasonal[0]
    np.testing.assert_allclose(moments(res, np.arange(108.0), "seasonal")[0], part["smoothed"], atol=1e-7)
    mean, sd = moments(res, np.arange(108.0), "trend")
    np.testing.assert_allclose(mean, found.level["smoothed"], rtol=1e-7)
    np.testing.assert_allclose(sd, np.sqrt(found.level["smoothed_cov"]), rtol=1e-5)


@pytest.mark.parametrize("case", ["nile", "missing", "trend", "gas", "air"])
def test_variances_are_those_of_the_filter_of_r(case, gas):
    """Optimum and likelihood of R's KalmanLike from a start that leaves each state unknown (SD 300 times that of y).

    Its search, by differences of the likelihood, ends within 1e-4; so wide a start moves it by 1e-5. ``StructTS`` itself prints
    these variances for local levels alone. It starts others from a covariance of rank one, and the likelihood of what it
    prints is lower here by the same number as in R: 8.0 for the gas, 38.4 for the passengers.
    """
    table = pd.read_csv(REFERENCE / "structts.csv").set_index(["case", "start"]).loc[case]
    if case in ("gas", "air"):
        y = gas if case == "gas" else np.log10(pd.read_csv(REFERENCE / "airpassengers.csv")["passengers"].to_numpy()) - 2
    else:
        y = nile.load_pandas().data["volume"].to_numpy(dtype=float, copy=True)
        y[[*range(20, 40), *range(60, 80)] if case == "missing" else []] = np.nan
    period = {"gas": 4, "air": 12}.get(case)
    states = [name for name in ("level", "slope", "seas") if np.isfinite(table[name].iloc[0])]

    def prior(given=(None, None, None)):
        trend = pri.LocalLinearTrend(*given[:2], step=1.0) if "slope" in states else pri.IntegratedWiener(1, given[0])
        return trend + pri.DummySeasonal(period, period, given[2]) if period else trend

    res = fitted(y, prior())
    found = np.array([*res.params.iloc[1:], res.sigma["y"] ** 2])
    theirs = table.loc["unknown states", [*states, "epsilon"]].to_numpy(dtype=float)
    np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-6 * theirs.max() if period is None else 1e-8)
    printed = table.loc["StructTS", ["level", "slope", "seas", "epsilon"]].to_numpy(dtype=float)
    if "slope" not in states:
        np.testing.assert_allclose(found, printed[[0, 3]], rtol=1e-5)
    else:
        fixed = sf.observe(np.arange(float(len(y))), y, sd=max(np.sqrt(printed[3]), 1e-9), name="y")
        there = sf.SmoothingSpline(fixed, prior=prior(printed)).fit()
        lower = table.loc["unknown states", "loglik"] - table.loc["unknown states", "loglik_other"]
        assert res.llf - there.llf == pytest.approx(lower, abs=1e-3)


@pytest.mark.parametrize("case", ["local_level", "local_linear_trend", "local_linear_trend_missing"])
def test_levels_variances_and_slopes_are_those_of_kfas(case):
    """The slope of the curve at x is the mean of the slopes of the steps before and after it."""
    table = pd.read_csv(REFERENCE / "kfas.csv").set_index("case").loc[case]
    prior = pri.IntegratedWiener(1, 8.253) if case == "local_level" else pri.LocalLinearTrend(8.253, 2.334, step=1.0)
    x = np.arange(10.0)
    res = sf.SmoothingSpline(sf.observe(x, table["y"].to_numpy(), sd=np.sqrt(1.993), name="y"), prior=prior).fit()
    found = res.get_prediction(x)
    np.testing.assert_allclose(found.predicted_mean, table["level"], rtol=1e-12)
    np.testing.assert_allclose(found.se_mean**2, table["variance"], rtol=1e-12)
    assert res.llf_diffuse == pytest.approx(table["llf"].iloc[0], rel=1e-13)
    if case != "local_level":
        np.testing.assert_allclose(res.predict(x[1:], 1), (table["slope"][1:] + table["slope"].shift()[1:]) / 2, rtol=1e-10)


def test_a_pattern_on_a_grid_is_drawn_on_it_and_has_no_crossings(gas):
    """Its diffuse likelihood, which counts no 2 pi for the five diffuse states, is that of statsmodels in any unit of x."""
    res = fitted(gas, pri.LocalLinearTrend(step=1.0) + pri.DummySeasonal(4, 4))
    np.testing.assert_array_equal(res.plot().lines[0].get_xdata(), np.arange(108.0))
    with pytest.raises(SpecificationError, match=r"multiples of 1 from the first x alone.*use the prior Seasonal"):
        res.roots()
    mine = [res.sigma["y"] ** 2, *res.params.iloc[1:]]
    theirs = unobserved(gas, level="local linear trend", seasonal=4).loglike(mine) + 2.5 * np.log(2 * np.pi)
    assert res.llf_diffuse == pytest.approx(theirs, abs=2e-5)
    model = sf.SmoothingSpline(
        sf.observe(1960 + np.arange(108.0) / 4, gas), prior=pri.LocalLinearTrend(step=0.25) + pri.DummySeasonal(1, 4)
    )
    assert model.fit().llf_diffuse == pytest.approx(theirs - np.log(0.25), abs=2e-5)  # the unit of the slope


@pytest.mark.parametrize(
    "second", [pri.IntegratedWiener(1), pri.IntegratedWiener(2), pri.LocalLinearTrend(), pri.DampedTrend(), pri.Polynomial(0)]
)
def test_a_trend_that_two_components_share_is_named_with_the_way_out(trending, second):
    prior = pri.IntegratedWiener(2) + pri.OrnsteinUhlenbeck() + second
    names = rf"{re.escape(repr(prior.terms[0]))} and {re.escape(repr(second))} undetermined"
    with pytest.raises(IdentificationError, match=rf"part of {names}.*an unknown level.*keep one of them; sf.priors.LocalLinearT"):
        sf.SmoothingSpline(sf.observe(np.arange(200.0), trending), prior=prior)


def test_the_diffuse_likelihood_of_harmonics_that_turn_by_half_a_cycle():
    """In units of 2 the third of 12 does within a step; only the unit of the diffuse slope changes the likelihood."""
    y = np.tile(np.arange(12.0), 8) + np.random.default_rng(0).standard_normal(96)
    found = []
    for unit in (1.0, 2.0):
        prior = pri.LocalLinearTrend(q_level=0, q_slope=0.01 / unit**3) + pri.Seasonal(12 * unit, 4, q=0.02 / unit, smooth=False)
        found.append(sf.SmoothingSpline(sf.observe(unit * np.arange(96.0), y, sd=1.0), prior=prior).fit().llf_diffuse)
    assert found[0] - found[1] == pytest.approx(np.log(2), abs=1e-9)


def test_dummy_seasons_need_their_grid(gas):
    with pytest.raises(SpecificationError, match=r"x has a step of 0.5, but DummySeasonal.*multiples of 1 .*use Seasonal"):
        sf.SmoothingSpline(sf.observe(np.arange(108.0) / 2, gas), prior=pri.DummySeasonal(4, 4))
    kept = np.delete(np.arange(108.0), [5, 6, 7, 8, 9, 40])  # a gap longer than a year
    prior = pri.LocalLinearTrend(q_level=1e-4, q_slope=1e-6) + pri.DummySeasonal(4, 4, q=1e-4)
    with_gap = sf.SmoothingSpline(sf.observe(kept, gas[kept.astype(int)], sd=0.02), prior=prior).fit()
    missing = np.where(np.isin(np.arange(108), kept), gas, np.nan)
    asked = sf.SmoothingSpline(sf.observe(np.arange(108.0), missing, sd=0.02), prior=prior).fit()
    np.testing.assert_allclose(with_gap.predict(np.arange(108.0)), asked.predict(np.arange(108.0)), rtol=1e-12)


def test_a_season_is_the_full_pattern_by_default_and_missed_harmonics_are_named():
    rng = np.random.default_rng(0)
    t = np.arange(240.0)
    noise = np.cumsum(0.05 * rng.standard_normal(240)) + 0.5 * rng.standard_normal(240)
    peaks = {period: sf.observe(t, 4.0 * (t % period == 3) + noise) for period in (12, 24)}
    months = sf.SmoothingSpline(peaks[12], prior=pri.IntegratedWiener(1) + pri.Seasonal(12, q=0)).fit()
    assert months.model.specification.prior.components[1].harmonics == 6
    assert months.sigma["f"] == pytest.approx(0.5, rel=0.1)
    hours = pri.IntegratedWiener(1) + pri.Seasonal(24, q=0)
    with pytest.warns(MisfitWarning, match="autocorrelated.*raise harmonics= of the season, or give the noise"):
        sf.SmoothingSpline(peaks[24], prior=hours).fit()
    full = sf.SmoothingSpline(peaks[24], prior=pri.IntegratedWiener(1) + pri.Seasonal(24, 12, q=0)).fit()
    assert full.sigma["f"] == pytest.approx(0.5, rel=0.1)


def test_one_noise_for_each_harmonic():
    """Beside harmonics as priors of their own, whose likelihood is that of the same model."""
    rng = np.random.default_rng(4)
    y = np.cumsum(0.1 * rng.standard_normal(96)) + np.tile(np.sin(np.arange(12.0)), 8) + 0.3 * rng.standard_normal(96)
    prior = pri.IntegratedWiener(1, q=0.01) + pri.Seasonal(12, 2, separate=True)
    res = fitted(y, prior)
    assert list(res.params.index[1:]) == ["seasonal.q1", "seasonal.q2"]
    single = pri.IntegratedWiener(1, q=0.01) + pri.Seasonal(12, 1) + pri.Seasonal(6, 1)
    assert res.llf == pytest.approx(fitted(y, single).llf, abs=1e-6)
    with pytest.raises(SpecificationError, match="separate=True estimates one q for each"):
        pri.Seasonal(12, 2, q=1.0, separate=True)


@pytest.mark.parametrize(("phases", "n", "harmonics"), [(4, 40, 2), (7, 70, 3), (12, 60, 6), (24, 240, 6), (12, 13, 3)])
def test_harmonics_are_chosen_by_the_observations(phases, n, harmonics):
    prior = pri.IntegratedWiener(1) + pri.Seasonal(float(phases), None, q=0)
    y = np.cumsum(np.random.default_rng(0).standard_normal(n))
    model = sf.SmoothingSpline(sf.observe(np.arange(float(n)), y), prior=prior)
    assert f"harmonics={harmonics}, q=0" in repr(model)
    with pytest.raises(SpecificationError, match="the observations choose the harmonics"):
        prior.dim  # noqa: B018


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("prior", [pri.IntegratedWiener(1), pri.IntegratedWiener(2), pri.LocalLinearTrend(q_slope=0)])
def test_twelve_harmonics_of_a_day_by_dense_algebra(prior, smooth):
    """Unknown harmonics that are told in their order lose half of the digits."""
    y = np.random.default_rng(5).standard_normal(96)
    whole = prior + pri.Seasonal(24, 12, smooth=smooth)
    model = sf.SmoothingSpline(sf.observe(np.arange(96.0), y, name="y"), prior=whole).specification
    values, variance = model.split(np.log([1e-4, 1e-5, 0.1]))
    unit = model.processes.x_unit
    start = model.prior.start(values, unit).diffuse
    T, Q = (a[0] for a in model.prior.matrices(np.array([1 / unit]), values, unit, False))
    h, P, X, K = model.process_row(0), np.zeros_like(T), [], np.zeros((96, 96))
    for i in range(96):
        X.append(h @ np.linalg.matrix_power(T, i) @ start)
        ahead = P @ h
        for j in range(i, 96):
            K[i, j] = K[j, i] = h @ ahead
            ahead = T @ ahead
        P = T @ P @ T.T + Q
    root = np.linalg.cholesky(K + variance[0] * np.eye(96))
    q, r = np.linalg.qr(scipy.linalg.solve_triangular(root, np.array(X), lower=True))
    white = scipy.linalg.solve_triangular(root, model.functionals.y, lower=True)
    sums = model.program.sums(values, variance)
    assert sums.sse[0] == pytest.approx(np.sum((white - q @ (q.T @ white)) ** 2), rel=1e-9)
    assert sums.log_det[0] == pytest.approx(2 * np.log(np.abs(np.append(np.diag(root), np.diag(r)))).sum(), rel=1e-9)


def test_a_stochastic_cycle_is_that_of_statsmodels():
    rng = np.random.default_rng(3)
    rho, turn, state, y = 0.95, 2 * np.pi / 9, np.zeros(2), []
    for _ in range(250):
        c, s = np.cos(turn), np.sin(turn)
        state = rho * np.array([[c, s], [-s, c]]) @ state + 0.5 * rng.standard_normal(2)
        y.append(state[0] + 0.5 * rng.standard_normal())
    y = np.array(y)
    res = fitted(y, pri.StochasticCycle())
    kept = np.exp(-1 / res.params["length_scale"])
    mine = [res.sigma["y"] ** 2, res.params["amplitude"] ** 2 * (1 - kept**2), 2 * np.pi / res.params["period"], kept]
    model = unobserved(y, irregular=True, cycle=True, stochastic_cycle=True, damped_cycle=True, cycle_period_bounds=(2, 50))
    model.ssm.initialize_stationary()  # its own start is diffuse
    np.testing.assert_allclose(distance(model, mine), 0, atol=1e-5)
    assert res.llf == pytest.approx(model.loglike(mine), abs=1e-8)
    mean, sd = moments(res, np.arange(250.0), "cycle")
    found = model.smooth(mine).cycle
    np.testing.assert_allclose(mean, found["smoothed"], atol=1e-8)
    np.testing.assert_allclose(sd, np.sqrt(found["smoothed_cov"]), rtol=1e-6)


def test_the_law_on_seat_belts_by_the_published_model():
    """Level, fixed seasons, price of petrol and the law: Durbin and Koopman (2012) publish -.239 and -.279."""
    data = pd.read_csv(REFERENCE / "seatbelts.csv")
    regressors = {"law": data["law"].astype(float), "petrol": np.log(data["PetrolPrice"])}
    res = fitted(np.log(data["drivers"]), pri.IntegratedWiener(1) + pri.DummySeasonal(12, 12, q=0), regressors=regressors)
    np.testing.assert_allclose(res.params[["law", "petrol"]], [-0.239, -0.279], atol=0.003)
    harmonics = fitted(np.log(data["drivers"]), pri.IntegratedWiener(1) + pri.Seasonal(12, None, q=0), regressors=regressors)
    np.testing.assert_allclose(res.params, harmonics.params, rtol=1e-6)


@pytest.mark.parametrize(("period", "harmonics"), [(24, 6), (48, 3), (12, 3)])
def test_seasons_that_stay_are_regressors(period, harmonics):
    """A diffuse start of many harmonics beside a smooth trend must keep its digits, in either order."""
    rng = np.random.default_rng(period)
    x = np.arange(300.0)
    obs = sf.observe(
        x, np.sin(2 * np.pi * x / period) + np.cumsum(0.05 * rng.standard_normal(300)) + 0.3 * rng.standard_normal(300)
    )
    season = pri.Seasonal(period, harmonics, q=0)
    angles = {k: 2 * np.pi * k * x / period for k in range(1, harmonics + 1)}
    waves = {f"{f.__name__}{k}": f(angle) for k, angle in angles.items() for f in (np.cos, np.sin)}
    expected = sf.SmoothingSpline(obs, order=2, regressors=waves).fit()
    for prior in (pri.IntegratedWiener(2) + season, season + pri.IntegratedWiener(2)):
        res = sf.SmoothingSpline(obs, prior=prior).fit()
        assert res.sigma["f"] == pytest.approx(expected.sigma["f"], rel=1e-6)
        assert res.params["wiener.q"] == pytest.approx(expected.q, rel=1e-5)


def test_errors_of_the_observations_that_fix_a_season():
    """They lie close together beside its period: what all others predict of them, by leaving them out."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 100, 2000))
    y = np.sin(x / 9) + 0.5 * np.sin(2 * np.pi * x / 12) + 0.3 * rng.standard_normal(2000)
    prior = pri.IntegratedWiener(2, q=5e-4) + pri.Seasonal(12.0, harmonics=2, q=1e-5)
    res = sf.SmoothingSpline(sf.observe(x, y, sd=0.3), prior=prior).fit()
    for i in (0, 3, 5):
        others = np.arange(2000) != i
        left_out = sf.SmoothingSpline(sf.observe(x[others], y[others], sd=0.3), prior=prior).fit().get_prediction(x[[i]])
        error, se = y[i] - left_out.predicted_mean[0], left_out.se_mean[0]
        np.testing.assert_allclose(res.loo_resid[i], error, rtol=1e-5)
        np.testing.assert_allclose(res.get_influence().resid_studentized_internal[i], error / np.hypot(se, 0.3), rtol=1e-5)


@pytest.mark.parametrize("x_unit", [1.0, 1e-3, 1e-6, 1e-9])
def test_a_season_on_a_grid_of_rounded_steps_has_one_likelihood(x_unit):
    """Steps of k * 1e-9 differ by rounding: the last harmonic must not be identified at some parameters and not at others."""
    rng = np.random.default_rng(0)
    t = np.arange(40.0)
    y = 0.05 * t + np.tile(rng.standard_normal(4), 10) + 0.3 * rng.standard_normal(40)
    prior = pri.IntegratedWiener(2) + pri.Seasonal(4 * x_unit)
    spec = sf.SmoothingSpline(sf.observe(x_unit * t, y), prior=prior).specification
    assert len(spec.program.dt) == 1
    unit = sf.SmoothingSpline(sf.observe(t, y), prior=pri.IntegratedWiener(2) + pri.Seasonal(4)).fit()
    res = sf.SmoothingSpline(sf.observe(x_unit * t, y), prior=prior).fit()
    assert res.llf == pytest.approx(unit.llf, abs=1e-8)
    assert res.sigma["f"] == pytest.approx(unit.sigma["f"], rel=1e-6)
    np.testing.assert_allclose(res.predict(x_unit * t), unit.predict(t), atol=1e-6)


def test_steps_that_rounding_makes_differ_are_one():
    steps = np.array([0.1, 0.3 - 0.2, 0.1, 0.25])
    np.testing.assert_allclose(even_steps(steps, 1e-15), [0.1, 0.1, 0.1, 0.25], rtol=1e-15)
    assert len(np.unique(even_steps(steps, 1e-15))) == 2
    np.testing.assert_array_equal(even_steps(steps, 0.0), steps)
    chain = 1 + 1e-16 * np.arange(0, 400, 8.0)  # any two neighbours differ by rounding, but not the first and the last
    np.testing.assert_array_equal(even_steps(chain, 1e-15), chain)


def test_huge_and_tiny_observations_have_the_same_fit():
    """The squares of units of 1e100 are near the largest numbers: the likelihood moves by their logarithms."""
    rng = np.random.default_rng(1)
    t = np.arange(30.0)
    y = np.cumsum(rng.standard_normal(30)) + np.tile([1.0, 0.0, -1.0], 10)
    prior = pri.IntegratedWiener(1) + pri.Seasonal(3)
    base = sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit()
    for size in (1e100, 1e-100):
        res = sf.SmoothingSpline(sf.observe(t, size * y), prior=prior).fit()
        assert res.sigma["f"] / size == pytest.approx(base.sigma["f"], rel=1e-6)
        assert res.llf == pytest.approx(base.llf - (30 - 3) * np.log(size), abs=1e-7)


def test_the_period_of_a_cycle_on_an_even_grid_is_at_least_two_steps():
    """Shorter ones are aliases of longer ones: a line with noise got a cycle of 0.7 steps."""
    t = np.arange(96.0)
    y = 0.1 * t + np.random.default_rng(0).standard_normal(96)
    for cycle in (pri.StochasticCycle(), pri.DampedOscillator()):
        spec = sf.SmoothingSpline(sf.observe(t, y), prior=pri.IntegratedWiener(2) + cycle).specification
        period = next(p for p in spec.parameters if p.name.endswith(".period"))
        assert np.exp(period.lower) * period.unit == pytest.approx(2)
        assert period.lower <= period.first < period.last < period.upper


def test_a_season_longer_than_the_record_is_named():
    t = np.arange(60.0)
    y = np.sin(t / 20) + 0.1 * np.random.default_rng(0).standard_normal(60)
    prior = pri.IntegratedWiener(2) + pri.Seasonal(365, 1, q=0)
    with pytest.warns(SamplingWarning, match=r"Seasonal\(period=365\) is longer than the record, which spans 59: "):
        sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit()


def test_a_season_is_identified_by_all_observations():
    """Of a harmonic on whose zeros nearly all observations lie, by the few that do not."""
    season, x = pri.Seasonal(2.0, 1), np.arange(40.0)
    for moved, count in ((0.0, 1), (0.3, 0)):
        at = np.append(x[:-1], x[-1] + moved)
        found = season.identified_by(at, at, np.zeros(40, np.int8), np.tile(season.readout(0), (40, 1)), 1.0)
        assert len(found.identified) == count


@pytest.mark.parametrize("harmonics", [2, 3, 4, 5])
def test_seasons_on_an_even_grid_start_as_on_a_nearly_even_one(harmonics):
    """On months many traces of the unknown start are zero, and their rounding must not count for any."""
    rng = np.random.default_rng(0)
    months, y = np.arange(60), rng.standard_normal(60)
    near = months / 12 + 1e-9 * rng.uniform(-1, 1, 60)
    values = []
    for x in (months / 12, near):
        model = sf.SmoothingSpline(sf.observe(x, y), prior=sf.priors.Seasonal(1.0, harmonics=harmonics)).specification
        values.append(GeneralCriterion(model, "reml").values(np.array([[log_q, 0.0] for log_q in (-8.0, -5.0, -5.0 + 1e-7)])))
    np.testing.assert_allclose(values[0], values[1], atol=1e-5)
    assert abs(values[0][2] - values[0][1]) < 1e-5
