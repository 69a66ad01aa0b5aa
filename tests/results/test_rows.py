"""What is returned of observations, and at points, carries the labels of the rows that were passed."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import smoothfit as sf

N = 40
RNG = np.random.default_rng(0)
TIMES = pd.date_range("2024-03-30", periods=N, freq="h", tz="Europe/Berlin")  # over a change of clocks
X = np.arange(N) * 1.0
Y = pd.Series(np.sin(X / 6) + 0.1 * RNG.standard_normal(N), index=TIMES, name="temperature")
MISSING = [3, 17]
Y.iloc[MISSING] = np.nan
SLOPE = pd.Series(np.cos(X / 6) / 6 + 0.05 * RNG.standard_normal(N), index=TIMES, name="slope")
BASIS = sf.BSplineBasis.uniform(0, N - 1.0, 8)
PENALTY = sf.DerivativePenalty(2)
FIRST = pd.Series(X[:3], index=TIMES[:3])


@pytest.mark.parametrize(
    ("fit", "x"),
    [
        (lambda: sf.SmoothingSpline(sf.observe(TIMES, Y)).fit(), TIMES[:3]),
        (lambda: sf.SplineRegression(sf.observe(X, Y), BASIS, PENALTY).fit(), FIRST),
        (lambda: sf.GaussianProcess(X, Y, sf.gp.SquaredExponential()).fit(), FIRST),
        (lambda: sf.DerivativeRegression(SLOPE.where(Y.notna()), TIMES, unit="h", order=2).fit("output_error"), TIMES[:3]),
    ],
    ids=["spline", "regression", "process", "equation"],
)
def test_values_by_observation_have_the_index_of_the_series(fit, x):
    res = fit()
    for name in ("fittedvalues", "resid", "loo_resid"):
        values = getattr(res, name)
        pd.testing.assert_index_equal(values.index, TIMES)
        assert values.iloc[MISSING].isna().all()
    np.testing.assert_allclose(res.fittedvalues.iloc[:3], res.predict(x), rtol=1e-9)
    pd.testing.assert_index_equal(res.predict(x).index, TIMES[:3])
    pd.testing.assert_series_equal(pickle.loads(pickle.dumps(res)).fittedvalues, res.fittedvalues)


def test_several_series_are_the_first_level_of_the_index():
    frame = pd.DataFrame({"t": X, "y": Y.to_numpy(), "dy": SLOPE.to_numpy()}, index=TIMES)
    res = sf.SmoothingSpline(sf.Observations.from_frame(frame, "t", {"y": 0, "dy": 1}), order=3).fit()
    assert res.resid.index.names == ["series", None]
    pd.testing.assert_index_equal(res.resid["dy"].index, TIMES, check_names=False)
    np.testing.assert_allclose(res.resid["y"] + res.fittedvalues["y"], frame["y"])
    np.testing.assert_allclose(res.fittedvalues["dy"], res.predict(frame, deriv=1), rtol=1e-9)
    arrays = sf.SmoothingSpline(sf.observe(X, Y.to_numpy()) + sf.observe(X, frame["dy"].to_numpy(), 1, name="dy"), order=3).fit()
    assert isinstance(arrays.resid, np.ndarray)
    assert len(arrays.resid) == arrays.nobs == 2 * N - len(MISSING)


def test_parts_of_one_series_keep_their_rows_in_their_order():
    parts = sf.observe(X[:15], Y.iloc[:15]) + sf.observe(X[15:], Y.iloc[15:])
    res = sf.SmoothingSpline(parts).fit()
    pd.testing.assert_index_equal(res.resid.index, TIMES, exact="equiv")
    assert res.resid.isna().to_numpy().nonzero()[0].tolist() == MISSING


def test_polars_series_and_frames_come_back():
    frame = pl.DataFrame({"x": X, "y": Y.to_numpy()})
    res = sf.SmoothingSpline.from_formula("y ~ s(x)", frame).fit()
    wide = frame.with_columns(res.fittedvalues, res.predict(frame))
    assert wide.columns == ["x", "y", "fittedvalues", "mean"]
    kept = np.setdiff1d(np.arange(N), MISSING)
    np.testing.assert_allclose(wide["mean"].to_numpy()[kept], wide["fittedvalues"].to_numpy()[kept], rtol=1e-9)


def test_arrays_of_xarray_keep_name_and_coordinates():
    station = xr.DataArray(Y.to_numpy(), dims="hour", coords={"hour": X, "height": 2.0}, name="temperature")
    observations = sf.observe(station["hour"], station)
    assert (observations.names, observations.x_name) == (("temperature",), "hour")
    res = sf.SmoothingSpline(observations).fit()
    xr.testing.assert_allclose(res.resid + res.fittedvalues, station)
    assert float(res.fittedvalues["height"]) == 2.0
    xr.testing.assert_allclose(res.predict(station["hour"])[:3], res.fittedvalues[:3])


def test_each_of_many_curves_has_the_index_of_its_rows():
    frame = pd.DataFrame({"id": np.tile(["a", "b"], N // 2), "x": X, "y": Y.to_numpy()}, index=TIMES)
    res = sf.fit_curves(frame, by="id", x="x", readings={"y": 0})["b"]
    assert res.resid.index.equals(TIMES[1::2].delete([m // 2 for m in MISSING]))


def test_surfaces_and_gradients_have_the_index_of_their_frame():
    frame = pd.DataFrame(RNG.uniform(0, 1, (60, 2)), columns=["u", "v"], index=np.arange(60)[::-1])
    z = (frame["u"] * frame["v"] + 0.01 * RNG.standard_normal(60)).rename("z")
    formula = sf.SplineRegression.from_formula("z ~ te(bsp(u, df=4), bsp(v, df=4))", frame.assign(z=z)).fit()
    process = sf.GaussianProcess(frame, z, sf.gp.SquaredExponential(length_scale=1, amplitude=1), sd=0.01).fit()
    for res in (formula, process):
        pd.testing.assert_index_equal(res.resid.index, frame.index)
        np.testing.assert_allclose(res.predict(frame), res.fittedvalues, atol=1e-9)
        pd.testing.assert_index_equal(res.predict(frame).index, frame.index)


def test_rows_of_equations_come_back_in_their_order_without_those_before_the_lags():
    order = RNG.permutation(N)
    u = pd.Series(RNG.standard_normal(N), name="u")
    frame = pd.DataFrame({"y": Y.to_numpy(), "z": SLOPE.to_numpy(), "u": u, "t": X}).iloc[order]
    res = sf.DerivativeRegression(frame[["y", "z"]], frame["t"], frame["u"], lags=2).fit("output_error")
    assert list(res.fittedvalues.columns) == ["y", "z"]
    pd.testing.assert_index_equal(res.fittedvalues.index, frame.index)
    found = res.fittedvalues.sort_index()
    np.testing.assert_allclose(found["z"].iloc[2:], res.predict(X[2:], output="z"), rtol=1e-8)
    assert found["y"].isna().to_numpy().nonzero()[0].tolist() == [0, 1, *MISSING]


def test_formulas_of_equations_keep_time_zones_and_take_several_columns_of_groups():
    frame = pd.DataFrame({"y": Y.to_numpy(), "t": TIMES, "site": np.repeat(["a", "b"], N // 2), "year": np.tile([1, 2], N // 2)})
    model = sf.DerivativeRegression.from_formula("D(y) ~ y", frame, t="t", groups=["site", "year"], unit="h")
    assert model.sample.labels == (("a", 1), ("a", 2), ("b", 1), ("b", 2))
    by_array = sf.DerivativeRegression(frame["y"], frame["t"], groups=frame[["site", "year"]], unit="h")
    assert by_array.sample.labels == model.sample.labels
    res = model.fit("difference")
    assert res.get_prediction(TIMES[:4:2], run=("a", 1)).x.tz == TIMES.tz
    pd.testing.assert_index_equal(res.resid.index, frame.index)


def test_several_series_of_polars_are_a_frame_with_their_names():
    frame = pl.DataFrame({"t": X, "y": Y.to_numpy(), "dy": SLOPE.to_numpy()})
    res = sf.SmoothingSpline(sf.Observations.from_frame(frame, "t", {"y": 0, "dy": 1}), order=3).fit()
    assert res.resid.columns == ["series", "resid"]
    assert res.resid["series"].to_list() == N * ["y"] + N * ["dy"]
    ours = sf.Observations.from_frame(frame.to_pandas(), "t", {"y": 0, "dy": 1})
    expected = sf.SmoothingSpline(ours, order=3).fit()
    for name in ("fittedvalues", "resid", "loo_resid", "resid_standardized", "resid_recursive"):
        np.testing.assert_array_equal(getattr(res, name)[name].to_numpy(), getattr(expected, name).to_numpy())
    influence = res.get_influence().summary_frame()
    assert isinstance(influence, pl.DataFrame)
    assert influence["series"].equals(res.resid["series"])
    np.testing.assert_array_equal(influence["cooks_d"].to_numpy(), expected.get_influence().summary_frame()["cooks_d"])


@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")  # a wave is no first-order equation
def test_equations_of_observations_keep_their_rows():
    order = RNG.permutation(N)
    rows = pd.DataFrame({"t": X, "y": Y.to_numpy()}, index=TIMES).iloc[order]
    inputs = np.arange(-1, N, 0.5)  # at other times, too
    u = np.sin(inputs / 3)
    obs = sf.observe(rows["t"], rows["y"], name="y")
    res = sf.DerivativeRegression(obs, inputs, u, intersample="foh").fit("output_error")
    pd.testing.assert_index_equal(res.fittedvalues.index, rows.index)
    assert res.resid[TIMES[MISSING]].isna().all()
    assert res.fittedvalues.isna().equals(rows["y"].isna())
    np.testing.assert_allclose(res.fittedvalues.dropna(), res.predict(rows["t"][rows["y"].notna()]), rtol=1e-9)


@pytest.mark.filterwarnings(
    "ignore::smoothfit.errors.SmoothfitWarning"
)  # 40 rows of a wave: an undamped pole, correlated residuals
def test_equations_of_several_series_have_their_times_for_the_index():
    frame = pd.DataFrame({"t": TIMES, "y": Y.to_numpy(), "dy": SLOPE.to_numpy()})
    both = {"y": 0, "dy": 1}
    ours = sf.DerivativeRegression(sf.Observations.from_frame(frame, "t", both, unit="h"), order=2).fit("output_error")
    assert ours.fittedvalues.index.name == "t"
    assert ours.fittedvalues.index.equals(TIMES)
    np.testing.assert_allclose(ours.fittedvalues, ours.predict(TIMES), rtol=1e-9)  # known where y is missing, too
    assert ours.resid.columns.tolist() == ["y", "dy"]
    assert np.flatnonzero(ours.loo_resid["y"].isna()).tolist() == MISSING
    assert ours.loo_resid["dy"].notna().all()
    polars = sf.Observations.from_frame(pl.from_pandas(frame), "t", both, unit="h")
    theirs = sf.DerivativeRegression(polars, order=2).fit("output_error")
    assert theirs.resid.columns == ["t", "y", "dy"]
    assert theirs.resid["t"].to_list() == TIMES.to_list()
    np.testing.assert_array_equal(theirs.resid["dy"].to_numpy(), ours.resid["dy"].to_numpy())
    assert isinstance(theirs.states(), pl.DataFrame)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.SamplingWarning")
def test_an_initial_state_leaves_the_labels_of_the_rows():
    res = sf.DerivativeRegression(Y, TIMES, unit="h", order=2, initial={"temperature": (0.0, 0.1)}).fit("output_error")
    pd.testing.assert_index_equal(res.fittedvalues.index, TIMES, check_names=False)
    assert np.flatnonzero(res.fittedvalues.isna()).tolist() == MISSING
    assert res.resid.columns.tolist() == ["temperature", "initial temperature"]
    assert res.resid["initial temperature"].notna().tolist() == [True] + (N - 1) * [False]
