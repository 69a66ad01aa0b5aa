"""Scales and lags of series in spline regressions: noise-free ones exactly, others by dense algebra, and where they cannot be."""

import pickle
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import interpolate, optimize, special, stats

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, MisfitWarning, SpecificationError
from smoothfit.regression.criteria import RestrictedLikelihood
from smoothfit.regression.sensors import SensorProfile

SCALE, LAG, LAM = 2.5, 0.4, 0.5
BASIS = sf.BSplineBasis.uniform(-1, 7, 8)


def pair(n=30, noise=0.1, sd=0.1, lag=None, scale=None, bias=None, late=0.0, factor=1.0):
    """Observations of a sine, and of a multiple of it, a while later, at other x."""
    rng = np.random.default_rng(4)
    x, z = np.sort(rng.uniform(0, 6, n)), np.sort(rng.uniform(0, 6, n))
    first = sf.observe(x, 1 + np.sin(x) + noise * rng.standard_normal(n), sd=sd, name="a")
    y = factor * (1 + np.sin(z - late)) + (0.7 if bias else 0.0) + noise * rng.standard_normal(n)
    return first + sf.observe(z, y, sd=sd, name="b", lag=lag, scale=scale, bias=bias)


def model(observations, basis=BASIS):
    return sf.SplineRegression(observations, basis, sf.DerivativePenalty(2))


@pytest.fixture(scope="module")
def fitted():
    return model(pair(scale="estimate", factor=SCALE)).fit()


def test_scales_and_lags_of_noise_free_observations_are_exact():
    x, cubic = np.linspace(0, 6, 30), np.poly1d([0.1, -0.5, 0.3, 1.0])
    second = sf.observe(x, SCALE * cubic(x - LAG) + 0.7, sd=1e-4, name="b", lag=(-0.9, 0.9), scale="estimate", bias="estimate")
    res = sf.SplineRegression(sf.observe(x, cubic(x), sd=1e-4, name="a") + second, sf.BSplineBasis.uniform(-1, 7, 1)).fit()
    np.testing.assert_allclose(res.sensor_params["estimate"], [SCALE, LAG], rtol=1e-8)
    assert res.params["bias.b"] == pytest.approx(0.7, abs=1e-7)
    np.testing.assert_allclose(res.predict(x), cubic(x), atol=1e-8)
    np.testing.assert_allclose(res.fittedvalues, res.observations.y, atol=1e-7)


def dense(observations, scale, lag, lam=LAM):
    """-2 log restricted likelihood at a scale, a lag and a lam, up to constants, and the coefficients."""
    a, b = observations.readings
    V, is_b = np.concatenate([a.sd, b.sd]) ** 2, np.repeat([0.0, 1.0], [len(a), len(b)])
    curve = np.vstack([BASIS.design(a.x, sparse=False), BASIS.design(b.x - lag, sparse=False)])
    P = np.pad(BASIS.penalty(2).toarray(), (0, int(b.has_bias)))
    N = np.linalg.svd(P)[2][BASIS.n_basis - 2 :].T

    def rows_at(scale):
        rows = curve * np.where(is_b, scale, 1.0)[:, None]
        return np.column_stack([rows, is_b]) if b.has_bias else rows

    def at_rest(scale):
        seen = rows_at(scale) @ N
        return np.linalg.slogdet(seen.T @ (seen / V[:, None]))[1]

    rows = rows_at(scale)
    A = rows.T @ (rows / V[:, None]) + lam * P
    coef = np.linalg.solve(A, rows.T @ (observations.y / V))
    rest = observations.y - rows @ coef
    least = rest @ (rest / V) + lam * coef @ P @ coef
    return np.linalg.slogdet(A)[1] + least - at_rest(scale) + at_rest(np.std(b.y) / np.std(a.y)), coef


@pytest.mark.parametrize("bias", [None, "estimate"])
def test_estimates_and_standard_errors_are_those_of_dense_algebra(bias):
    obs = pair(scale="estimate", lag=(-0.9, 0.9), bias=bias, late=LAG, factor=SCALE)
    res = model(obs).fit(lam=LAM)
    found = optimize.minimize(lambda p: dense(obs, np.exp(p[0]), p[1])[0], [np.log(SCALE), LAG], tol=1e-10)
    s, d = np.exp(found.x[0]), found.x[1]
    np.testing.assert_allclose(res.sensor_params["estimate"], [s, d], rtol=1e-5)
    np.testing.assert_allclose(res.params, dense(obs, s, d)[1], rtol=1e-4)
    steps = 1e-3 * np.eye(2)
    value = [
        [dense(obs, np.exp(p[0]), p[1])[0] for p in found.x + np.array([u + v, u - v, v - u, -u - v])] for u in steps for v in steps
    ]
    hessian = np.array([(a - b - c + d) / 4e-6 for a, b, c, d in value]).reshape(2, 2)
    bse = np.sqrt(np.diag(np.linalg.inv(hessian / 2))) * [s, 1.0]
    np.testing.assert_allclose(res.sensor_params["bse"], bse, rtol=0.02)
    low, high = res.sensor_params.loc["scale.b", ["ci_lower", "ci_upper"]]
    assert np.log(high / low) == pytest.approx(2 * 1.96 * bse[0] / s, rel=0.02)
    if bias:
        return
    tests = res.test_sensors()
    no_scale = optimize.minimize_scalar(lambda d: dense(obs, 1.0, d)[0], bounds=(-0.9, 0.9), method="bounded").fun
    no_lag = optimize.minimize_scalar(lambda p: dense(obs, np.exp(p), 0.0)[0], bracket=(0.5, 1.0)).fun
    np.testing.assert_allclose(tests["lr"], [no_scale - found.fun, no_lag - found.fun], rtol=1e-4)
    np.testing.assert_array_equal(tests["null"], [1.0, 0.0])
    np.testing.assert_allclose(tests["pvalue"], stats.chi2.sf(tests["lr"], 1))


def test_intervals_integrate_over_the_scale(fitted):
    row = fitted.sensor_params.loc["scale.b"]
    assert row["ci_lower"] < SCALE < row["ci_upper"]
    assert row["ci_upper"] - row["ci_lower"] == pytest.approx(2 * 1.96 * row["bse"], rel=0.01)
    frame = fitted.hyperparameters
    values, weights = np.log(frame["scale.b"]), frame["weight"]
    assert np.sqrt(weights @ (values - weights @ values) ** 2) == pytest.approx(row["bse"] / row["estimate"], rel=0.01)
    known = model(pair(scale=row["estimate"], factor=SCALE)).fit()
    x = np.array([1.5, 4.5])
    np.testing.assert_allclose(known.predict(x), fitted.predict(x), rtol=1e-3)
    assert (np.ptp(fitted.get_prediction(x).conf_int(), axis=1) > np.ptp(known.get_prediction(x).conf_int(), axis=1)).any()
    assert "scale.b = 2.4" in fitted.summary().as_text()
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.sensor_params, fitted.sensor_params)


def test_ends_of_the_interval_of_a_scale_are_those_of_dense_quadrature(fitted):
    row, (a, b) = fitted.sensor_params.loc["scale.b"], fitted.observations.readings
    designs, P = [BASIS.design(own.x, sparse=False) / own.sd[:, None] for own in (a, b)], BASIS.penalty(2).toarray()
    N = np.linalg.svd(P)[2][-2:].T
    log_s, log_lam = np.linspace(-5, 5, 61) * row["bse"] / row["estimate"] + np.log(row["estimate"]), np.linspace(-9, 6, 51)
    s, lam = (np.exp(part).ravel()[:, None, None] for part in np.meshgrid(log_s, log_lam, indexing="ij"))
    Q = sum(factor**2 * B.T @ B for factor, B in zip((1, s), designs, strict=True))
    seen = sum(factor * (B.T @ (own.y / own.sd)) for factor, B, own in zip((1, s[..., 0]), designs, (a, b), strict=True))
    A = Q + lam * P
    G = np.linalg.solve(A, Q)
    log_det = np.linalg.slogdet(A)[1] - np.linalg.slogdet(N.T @ Q @ N)[1] - (len(P) - 2) * np.log(lam[:, 0, 0])
    fit = np.einsum("li,li->l", seen, np.linalg.solve(A, seen[..., None])[..., 0])
    information = np.einsum("lij,lji->l", G, G) - 2  # twice that of log lam
    log_density = (fit - log_det + np.log(information)) / 2
    marginal = np.exp(log_density - log_density.max()).reshape(61, 51).sum(axis=1)
    below = interpolate.CubicSpline(log_s, marginal).antiderivative()
    fine = np.linspace(log_s[0], log_s[-1], 10_001)
    ends = np.interp([0.025, 0.975], below(fine) / below(log_s[-1]), fine)
    np.testing.assert_allclose(np.log(row[["ci_lower", "ci_upper"]].to_numpy(float)), ends, atol=0.01 * np.diff(ends)[0] / 2)

    x = np.array([0.5, 3.0, 6.5])  # what b shows there: mixtures of normal laws
    weights, B = np.exp(log_density - log_density.max()), BASIS.design(x, sparse=False)
    means = s[:, 0] * (np.linalg.solve(A, seen[..., None])[..., 0] @ B.T)
    sds = s[:, 0] * np.sqrt(np.einsum("ik,lkj,ij->li", B, np.linalg.inv(A), B))
    prediction = fitted.get_prediction(x, name="b")
    for is_new, widths in ((False, sds), (True, np.hypot(sds, 0.1))):
        found = prediction.conf_int(is_new)
        for level, at in zip((0.025, 0.975), found.T, strict=True):
            below = weights @ special.ndtr((at - means) / widths) / weights.sum()
            np.testing.assert_allclose(special.ndtri(below), special.ndtri(level), atol=0.02)  # in SDs


def test_bands_of_what_a_series_shows_have_the_shape_of_its_intervals(fitted):
    x = np.linspace(0, 6, 13)
    band = fitted.get_prediction(x, name="b", simultaneous=True)
    pointwise = fitted.get_prediction(x, name="b").conf_int()
    ratio = (band.conf_int() - band.shape[0][:, None]) / (pointwise - band.shape[0][:, None])
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)
    assert 1.2 < ratio[0, 0] < 1.6  # of 13 points that correlate


def test_searches_from_neighbours_find_what_searches_from_all_starts_do():
    observations = pair(n=12, noise=0.3, sd=None, lag="estimate", late=LAG)
    specification = model(observations).specification
    fit = partial(specification.estimated, method="reml", lam=None)
    profile = SensorProfile(specification.rows, fit, RestrictedLikelihood, False, specification.sensors, specification.at_weights)
    grid = specification.sensors.grids()[0][::3]
    profile.along(grid)
    np.testing.assert_allclose([one.value for one in profile.visited], [profile.searched(psi).value for psi in grid], atol=1e-7)
    assert sum(one.is_whole for one in profile.visited) < len(grid) / 2


def test_a_lag_at_the_end_of_the_domain_has_no_standard_error():
    with pytest.warns(MisfitWarning, match="lag.b is estimated at the upper end .* wider knots"):
        res = model(pair(lag="estimate", late=1.3), sf.BSplineBasis.uniform(-0.2, 6.2, 8)).fit(lam=LAM)
    last = res.observations.readings[1].x.min() + 0.2
    row = res.sensor_params.loc["lag.b"]
    assert row["estimate"] == pytest.approx(last, abs=0.01)
    assert row["estimate"] < last
    assert np.isnan(row["bse"])


def test_a_negative_lag_is_drawn_on_a_linear_axis():
    axes = model(pair(sd=None, lag=(-0.9, 0.9), late=-LAG)).fit(lam=LAM).plot_hyperparameters()
    scales = {ax.get_xlabel(): ax.get_xscale() for ax in axes}
    assert scales.pop("lag.b") == "linear"
    assert set(scales.values()) == {"log"}
    plt.close(axes[0].figure)


def test_which_series_is_the_reference_changes_nothing(fitted):
    a, b = fitted.observations.readings
    other = sf.observe(a.x, a.y, sd=0.1, name="a", scale="estimate") + sf.observe(b.x, b.y, sd=0.1, name="b")
    swapped = model(other).fit(cov_type="frequentist")  # nothing is integrated
    s = fitted.sensor_params.loc["scale.b", "estimate"]
    assert swapped.sensor_params.loc["scale.a", "estimate"] * s == pytest.approx(1, rel=1e-5)


def test_scales_and_lags_that_cannot_be_are_named_with_the_way_out():
    obs = pair(lag="estimate")
    with pytest.raises(SpecificationError, match=r"lags from -1.* only; extend the domain by the longest lag.*limits"):
        model(pair(lag=(-5, 5)))
    with pytest.raises(SpecificationError, match="a slope that is continuous; use degree=2 or more"):
        model(obs, sf.BSplineBasis.uniform(-1, 7, 8, degree=1))
    with pytest.raises(IdentificationError, match="leave lag= of one series out"):
        model(sf.observe(np.arange(6.0), np.arange(6.0), name="b", lag="estimate"))
    with pytest.raises(SpecificationError, match="method='gcv' does not support"):
        model(obs).fit("gcv")
    with pytest.raises(SpecificationError, match="edf= does not support"):
        model(obs).fit(edf=5)
    with pytest.raises(SpecificationError, match="loss='huber' does not support"):
        model(obs).fit(loss="huber")
    with pytest.raises(SpecificationError, match="with errors= does not support"):
        sf.SplineRegression(obs, BASIS, errors={"b": sf.AR1()})
    res = model(pair(lag=(-0.9, 0.9), late=LAG)).fit(lam=LAM)
    with pytest.raises(
        DataError, match=r"x\[1\] = -0.9 less the lag of 'b', .* outside the domain of the basis, -1 to 7; pass x from"
    ):
        res.get_prediction([1.0, -0.9], name="b")


def test_a_prediction_is_refused_at_once_if_some_lags_of_the_posterior_leave_the_domain():
    t, rng = np.arange(20.0), np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(t, "D")
    a, b = np.sin(t / 4) + 0.3 * rng.standard_normal(20), np.sin((t - 1) / 4) + 0.3 * rng.standard_normal(20)
    limits = tuple(pd.to_timedelta([-3, 3], "D"))
    obs = sf.observe(days, a, sd=0.3, name="a", unit="D") + sf.observe(days, b, sd=0.3, name="b", lag=limits, unit="D")
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(-4, 24, 1)).fit()
    lags, estimate = res.hyperparameters["lag.b"], res.sensor_params.loc["lag.b", "estimate"]
    assert lags.min() < estimate < lags.max()
    late = pd.Timestamp("2024-01-25") + pd.to_timedelta(np.array([lags.min(), estimate]), "D")
    assert np.isfinite(res.get_prediction(late[:1] - pd.Timedelta("1s"), name="b").conf_int()).all()
    with pytest.raises(DataError, match=r"x\[[01]\] = 2024-01-2.* 2023-12-28 to 2024-01-25; pass x from 20") as refused:
        res.get_prediction(late, name="b")
    start, end = pd.to_datetime(str(refused.value).split("pass x from ")[1].split(",")[0].split(" to "))
    assert np.isfinite(res.get_prediction([start, end], name="b").conf_int()).all()
    assert (late[0] - end) < pd.Timedelta("0.02D")
    known = res.model.fit(cov_type="frequentist")  # nothing is integrated
    assert np.isfinite(known.get_prediction(late[1:] - pd.Timedelta("0.2D"), name="b").conf_int()).all()


def test_the_interval_of_a_scale_at_the_end_of_its_range_starts_there():
    """One of the other sign; without a penalty and with known SDs its posterior is that of the sum of squares."""
    x, rng = np.linspace(0, 6, 12), np.random.default_rng(1)
    first, second = np.sin(x) + 0.1 * rng.standard_normal(12), -np.sin(x) + 0.5 * rng.standard_normal(12)
    obs = sf.observe(x, first, sd=0.1, name="a") + sf.observe(x, second, sd=0.5, name="b", scale="estimate")
    basis = sf.BSplineBasis.uniform(0, 6, 2)
    with pytest.warns(MisfitWarning, match="scale.b is estimated at the lower end .* turn the sign of 'b'"):
        res = sf.SplineRegression(obs, basis).fit()
    row, middle = res.sensor_params.loc["scale.b"], np.log(np.std(second) / np.std(first))
    logs, B = np.linspace(middle - 7, middle + 7, 3001), basis.design(x, sparse=False)

    def squares(scale):
        rows = np.vstack([B / 0.1, scale * B / 0.5])
        y = np.concatenate([first / 0.1, second / 0.5])
        return np.linalg.lstsq(rows, y)[1][0]

    density = np.exp(-0.5 * (np.array([squares(s) for s in np.exp(logs)]) - squares(0.0)))
    upper = np.exp(np.interp(0.95, np.cumsum(density) / density.sum(), logs))
    assert res.boundary == ("scale.b",)
    assert row["estimate"] == row["ci_lower"] == pytest.approx(np.exp(middle - 7), rel=1e-6)
    assert np.log(row["ci_upper"]) == pytest.approx(np.log(upper), abs=0.02)
