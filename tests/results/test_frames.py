"""Data frames as x, regressors of new observations, and time zones."""

import datetime

import matplotlib.dates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

RNG = np.random.default_rng(5)
N = 40
X = np.sort(RNG.uniform(0, 10, N))
G = RNG.uniform(0, 1, N)
FRAME = pd.DataFrame({"y": np.sin(X) + 2 * G + 0.1 * RNG.standard_normal(N), "g": G, "x": X})
NEW = pd.DataFrame({"g": [0.2, 0.9, 0.5], "x": [1.0, 10.5, 12.0], "y": np.nan})
CURVES = {
    "smoothing": sf.SmoothingSpline.from_formula("y ~ s(x)", FRAME),
    "general": sf.SmoothingSpline.from_formula("y ~ s(x)", FRAME, prior=sf.priors.IntegratedWiener(2, q=0.5)),
    "regression": sf.SplineRegression.from_formula("y ~ bsp(x, df=8)", FRAME),
}
Q, SD = 0.5, 0.1


@pytest.mark.parametrize("model", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize(
    "kind", [lambda f: f, pl.from_pandas, pa.Table.from_pandas, dict], ids=["pandas", "polars", "arrow", "dict"]
)
def test_frames_give_x_by_name(model, kind):
    res, frame = model.fit(), kind(NEW)
    at = NEW["x"].clip(upper=FRAME["x"].max()).to_numpy()
    frame = kind(NEW.assign(x=at))
    np.testing.assert_array_equal(res.predict(frame), res.predict(at))
    np.testing.assert_array_equal(res.get_prediction(frame).se_mean, res.get_prediction(at).se_mean)
    np.testing.assert_array_equal(res.sample(frame, size=3, rng=0), res.sample(at, size=3, rng=0))
    with pytest.raises(DataError, match="no column 'x'; its columns are 'y', 'z'"):
        res.predict(kind(NEW[["y"]].assign(z=at)))
    with pytest.raises(DataError, match=r"one variable \(x\); pass its column"):
        res.get_prediction(NEW.to_numpy())


def test_fits_of_nameless_arrays_name_the_column_to_pass():
    res = sf.SmoothingSpline(sf.observe(X, FRAME["y"])).fit()
    with pytest.raises(DataError, match=r"pass the column of x, for example frame\['x'\]"):
        res.predict(FRAME)


def driven():
    observations = sf.Observations.from_frame(FRAME, "x", {"y": 0}, sd={"y": SD})
    prior = sf.priors.IntegratedWiener(2, q=Q)
    return sf.SmoothingSpline(observations, prior=prior, regressors={"g": G}, interventions=[sf.Level(5.0)]).fit()


def dense(x, g):
    """Mean and variance of f(x) + b g by generalised least squares with the covariance of an integrated Wiener process."""

    def covariance(s, t):
        low, high = np.minimum(s[:, None], t), np.maximum(s[:, None], t)
        return Q * (low**2 * high / 2 - low**3 / 6)

    def design(s, g):
        return np.column_stack([np.ones_like(s), s, g, s >= 5.0])

    K = covariance(X, X) + SD**2 * np.eye(N)
    H, h, k = design(X, G), design(x, g), covariance(X, x)
    information = H.T @ np.linalg.solve(K, H)
    coef = np.linalg.solve(information, H.T @ np.linalg.solve(K, FRAME["y"].to_numpy()))
    rest = h - (k.T @ np.linalg.solve(K, H))
    mean = h @ coef + k.T @ np.linalg.solve(K, FRAME["y"].to_numpy() - H @ coef)
    variance = covariance(x, x) - k.T @ np.linalg.solve(K, k) + rest @ np.linalg.solve(information, rest.T)
    return mean, np.diag(variance)


def test_forecasts_have_the_joint_variance_of_curve_and_coefficients():
    res, at = driven(), NEW["x"].to_numpy()
    for g, found in ((NEW["g"].to_numpy(), res.get_prediction(NEW)), (np.zeros(3), res.get_prediction(at))):
        mean, variance = dense(at, g)
        np.testing.assert_allclose(found.predicted_mean, mean, rtol=1e-8)
        np.testing.assert_allclose(found.var_pred_mean, variance, rtol=1e-7)
    by_mapping = res.get_prediction(at, regressors={"g": NEW["g"]})
    np.testing.assert_array_equal(by_mapping.summary_frame(), res.get_prediction(NEW).summary_frame())
    draws = res.sample(NEW, size=4000, rng=0)
    np.testing.assert_allclose(draws.var(axis=0), dense(at, NEW["g"].to_numpy())[1], rtol=0.1)  # 4 SDs of sqrt(2 / 4000)
    np.testing.assert_allclose(res.predict(FRAME), res.fittedvalues, rtol=1e-8)


def test_without_regressors_the_curve_alone_is_predicted_and_says_so():
    res = driven()
    alone = res.get_prediction([1.0, 2.0])
    assert alone.omits == ("g",)
    assert "without g" in repr(alone)
    frame = alone.summary_frame()
    assert list(frame.columns) == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    assert frame.columns.name == "curve without g"
    for ask in (lambda: alone.se_obs, lambda: alone.conf_int(obs=True)):
        with pytest.raises(SpecificationError, match=r"depends on g.*regressors=\{"):
            ask()
    slope = res.get_prediction(NEW, deriv=1)
    np.testing.assert_array_equal(slope.predicted_mean, res.predict(NEW["x"], deriv=1))


@pytest.mark.parametrize(
    ("regressors", "x", "error", "words"),
    [
        ({"h": 1.0}, [1.0], SpecificationError, "'h'; the regressors of the fit are g"),
        ({"g": [1.0, 2.0]}, [1.0], DataError, "2 entries for 1 points"),
        ({"g": np.nan}, [1.0], DataError, r"regressors\['g'\]\[0\] is nan"),
        (3.0, [1.0], SpecificationError, "pass a mapping"),
        (None, NEW[["x"]], DataError, "no column 'g'.*without regressors"),
    ],
)
def test_bad_regressors_are_refused(regressors, x, error, words):
    with pytest.raises(error, match=words):
        driven().get_prediction(x, regressors=regressors)
    with pytest.raises(SpecificationError, match="no observation of f' depends"):
        driven().predict([1.0], deriv=1, regressors={"g": 1.0})


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # made-up observations without noise, or with jumps
def test_time_zones_come_back():
    times = pd.date_range("2024-03-09", periods=60, freq="h", tz="America/New_York")  # a change of clocks in between
    y = np.sin(np.arange(60) / 5)
    y[30] += 3
    res = sf.SmoothingSpline(sf.observe(times, y, sd=0.05), order=3).fit()
    extrema, prediction = res.extrema(), res.get_prediction(times)
    assert (extrema["x"].dt.tz, prediction.x.tz, prediction.summary_frame().index.tz) == (times.tz,) * 3
    assert (prediction.x == times).all()
    assert extrema["ci_lower"].dt.tz == res.roots()["x"].dt.tz == times.tz
    assert np.isfinite(res.predict(extrema["x"])).all()
    assert times[30] in set(res.outliers()["x"])
    assert res.online(lag=5).smoothed().index.tz == times.tz
    utc = times.tz_convert("UTC")
    np.testing.assert_array_equal(res.predict(utc), res.predict(times))
    assert str(res.get_prediction(utc).x.tz) == "UTC"
    assert res.observations.to_frame()["x"].dt.tz == times.tz


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", datetime.timezone(datetime.timedelta(hours=-7)), None])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # made-up observations without noise, or with jumps
def test_labels_and_axes_tell_times_in_their_zone(zone):
    times = pd.date_range("2024-03-09", periods=60, freq="h", tz=zone)  # over a change of clocks in New York
    changes = [sf.Level(times[30]), sf.Pulse(times[24])]
    res = sf.SmoothingSpline(sf.observe(times, np.sin(np.arange(60) / 5), sd=0.05), interventions=changes).fit()
    level, pulse = (name[name.index("(") + 1 : -1] for name in res.params.index[-2:])
    assert (pd.Timestamp(level), pd.Timestamp(pulse)) == (times[30], times[24])
    assert pd.Timestamp(level).utcoffset() == times[30].utcoffset()
    outside = sf.Level(times[0] - pd.Timedelta("2h"))
    clock = times[0].strftime("%Y-%m-%dT00:00") if zone else "2024-03-09"
    with pytest.raises(DataError, match=rf"outside the observations, {clock}.* \.\. 2024-03-11T1[12]:00"):
        sf.SmoothingSpline(res.observations, interventions=[outside])
    wide, narrow = res.plot().xaxis, res.plot_diagnostics()[0].xaxis  # with ticks of hours, and of days, whose month stands aside
    for axis, expected in ((wide, "Mar-10"), (narrow, "10")):
        midnight = matplotlib.dates.date2num(times[24].to_pydatetime())
        figure = axis.get_figure()
        figure.canvas.draw()
        shown = dict(zip(axis.get_majorticklocs(), axis.get_major_formatter().format_ticks(axis.get_majorticklocs()), strict=True))
        assert shown[midnight] == expected
    plt.close("all")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # made-up observations without noise, or with jumps
@pytest.mark.filterwarnings("error")
def test_times_in_formulas_have_the_zone_that_they_say():
    times = pd.date_range("2024-01-01", periods=40, freq="h", tz="Europe/Rome")
    frame = pd.DataFrame({"t": times, "y": np.sin(np.arange(40) / 4)})
    formula = "y ~ s(t) + Level('2024-01-01T{}')"
    given = sf.SmoothingSpline.from_formula(formula.format("10:00+01:00"), frame, sd={"y": 0.1}).fit()
    direct = sf.SmoothingSpline(given.observations, interventions=[sf.Level(times[10])]).fit()
    np.testing.assert_allclose(given.params.iloc[-1], direct.params.iloc[-1], rtol=1e-12)
    np.testing.assert_allclose(given.bse.iloc[-1], direct.bse.iloc[-1], rtol=1e-12)
    with pytest.raises(DataError, match="x of Level contains times without a zone"):
        sf.SmoothingSpline.from_formula(formula.format("10:00"), frame)
    with pytest.raises(SpecificationError, match="'2024-01-01Tnoon' is not a time; write it as"):
        sf.SmoothingSpline.from_formula(formula.format("noon"), frame)


def test_many_curves_take_and_give_x_as_they_were_given():
    times = pd.date_range("2024-01-01", periods=30, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"id": np.repeat(["a", "b"], 30), "t": times.append(times), "y": np.sin(np.arange(60) / 4)})
    fits = sf.fit_curves(frame, by="id", x="t", readings={"y": 0}, sd={"y": 0.1})
    table = fits.predict(frame[["t"]].iloc[:5])
    pd.testing.assert_frame_equal(table, fits.predict(times[:5]))
    assert table["t"].dt.tz == times.tz
    assert fits["a"].get_prediction(frame.iloc[:3]).x.tz == times.tz


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sf.SplineRegression.from_formula("y ~ bsp(x) + g", FRAME), r"SmoothingSpline.from_formula\(.*smf.ols"),
        (lambda: sf.SplineRegression.from_formula("y ~ bsp(x)", FRAME, family="poisson"), "smf.glm"),
        (lambda: sf.SmoothingSpline.from_formula("y ~ s(x)", FRAME, family="poisson"), "smf.glm"),
        (lambda: sf.SmoothingSpline.from_formula("y ~ s(Solar.R)", FRAME), r"s\(Q\('Solar.R'\)\)"),
    ],
)
def test_refusals_point_to_what_does_it(make, words):
    with pytest.raises(SpecificationError, match=words):
        make()


def test_results_go_by_their_own_name():
    assert repr(driven()).startswith("SmoothingSplineResults(")


def test_surfaces_take_their_columns_by_name():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"z": rng.standard_normal(80), "v": rng.uniform(0, 1, 80), "u": rng.uniform(0, 1, 80)})
    res = sf.SplineRegression.from_formula("z ~ te(bsp(u, df=4), bsp(v, df=4))", frame).fit()
    np.testing.assert_array_equal(res.predict(frame), res.predict(frame[["u", "v"]].to_numpy()))
    with pytest.raises(DataError, match="no column 'u'"):
        res.predict(frame[["z", "v"]])


def test_intervals_of_observations_include_the_spread_of_a_noise_process():
    noise = sf.priors.Matern(nu=1.5, length_scale=0.3, amplitude=0.4)
    observations = sf.observe(X, FRAME["y"], sd=SD)
    res = sf.SmoothingSpline(observations, prior=sf.priors.IntegratedWiener(2, q=Q), noise={"y": noise}).fit()
    assert res.get_prediction([1.0]).noise_sd == pytest.approx(np.hypot(SD, 0.4), rel=1e-10)  # of the amplitude, an SD
