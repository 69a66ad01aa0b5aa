"""Data frames of future times and inputs: a fit takes its own columns, by name."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

FUTURE = pd.DataFrame({"heat": [3.0, 1.0, 5.0], "level": np.nan, "flow": [2.0, 1.0, 2.0], "time": [20.0, 20.1, 20.2]})


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    flow, heat = np.repeat(rng.choice([1.0, 2.0], 20), 10), np.repeat(rng.choice([1.0, 3.0, 5.0], 40), 5)
    y, decay = np.zeros(200), np.exp(-0.1)
    for k in range(199):
        y[k + 1] = decay * y[k] + (1 - decay) * (2 * np.log(flow[k]) + heat[k])
    return pd.DataFrame({"time": np.arange(200) * 0.1, "level": y + 0.01 * rng.standard_normal(200), "flow": flow, "heat": heat})


@pytest.fixture(scope="module")
def by_formula(frame):
    formula = "D(level) ~ level + np.log(flow) + center(heat)"
    fit = sf.DerivativeRegression.from_formula(formula, frame, t="time").fit()
    return pickle.loads(pickle.dumps(fit))


@pytest.fixture(scope="module")
def by_frame(frame):
    return sf.DerivativeRegression(frame["level"], frame["time"], frame[["flow", "heat"]]).fit()


@pytest.mark.parametrize("kind", [pd.DataFrame, lambda f: pl.from_pandas(f), lambda f: {k: f[k].to_numpy() for k in f}])
def test_a_formula_takes_its_columns(by_formula, frame, kind):
    inputs = np.column_stack([np.log(FUTURE["flow"]), FUTURE["heat"] - frame["heat"].mean()])  # centred as in the fit
    expected = by_formula.forecast(FUTURE["time"].to_numpy(), inputs)
    pd.testing.assert_frame_equal(by_formula.forecast(kind(FUTURE)), expected)
    pd.testing.assert_frame_equal(by_formula.forecast(FUTURE["time"].to_numpy(), kind(FUTURE)), expected)
    np.testing.assert_array_equal(by_formula.simulate(kind(frame)), by_formula.simulate())


def test_a_fit_from_frames_takes_its_columns_in_any_order(by_frame, frame):
    expected = by_frame.forecast(FUTURE["time"], FUTURE[["flow", "heat"]].to_numpy())
    pd.testing.assert_frame_equal(by_frame.forecast(FUTURE), expected)
    pd.testing.assert_frame_equal(by_frame.forecast(FUTURE["time"], FUTURE), expected)
    np.testing.assert_array_equal(by_frame.simulate(frame[["heat", "flow"]]), by_frame.simulate())
    np.testing.assert_array_equal(by_frame.predict(frame.iloc[5:8]), by_frame.predict(frame["time"].iloc[5:8].to_numpy()))
    assert by_frame.steady_state({"heat": 1.0, "flow": 2.0}) == by_frame.steady_state([2.0, 1.0])


@pytest.mark.parametrize("fit", ["by_formula", "by_frame"])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda r, f: r.predict(f[["level"]]),
            "t is a data frame without the column 'time' .it has level.; pass a frame with time",
        ),
        (lambda r, f: r.get_prediction(f[["level", "flow"]]), "without the column 'time'"),
        (lambda r, f: r.forecast(FUTURE[["flow", "heat"]]), "without the column 'time'"),
        (
            lambda r, f: r.forecast(FUTURE[["time", "flow"]]),
            "without the column 'heat' .it has time, flow.; pass a frame with flow, heat",
        ),
        (lambda r, f: r.forecast(FUTURE["time"], FUTURE[["level"]]), "without the column 'flow'"),
        (
            lambda r, f: r.forecast(FUTURE[["time", "flow", "heat"]].to_numpy()),
            "t has shape .3, 3., but t is one variable",
        ),
        (lambda r, f: r.forecast(FUTURE["time"], np.ones((3, 3))), "u has shape .3, 3.; pass 3 rows of 2 inputs"),
        (lambda r, f: r.simulate(f[["time", "level"]]), "without the column 'flow'"),
    ],
)
def test_other_frames_and_matrices_are_refused_with_the_columns(request, frame, fit, call, words):
    with pytest.raises(DataError, match=words):
        call(request.getfixturevalue(fit), frame)


def test_a_fit_from_arrays_names_what_it_takes(frame):
    arrays = (frame[columns].to_numpy() for columns in ("level", "time", ["flow", "heat"]))
    fit = sf.DerivativeRegression(*arrays).fit()
    with pytest.raises(DataError, match=r"without the column 't' \(it has heat, level, flow, time\)"):
        fit.forecast(FUTURE)
    assert len(fit.forecast({"t": FUTURE["time"], "u1": FUTURE["flow"], "u2": FUTURE["heat"]})) == 3
    with pytest.raises(SpecificationError, match=r"u\['u1'\] has 3 values; pass one number for each input"):
        fit.steady_state({"u1": FUTURE["flow"], "u2": FUTURE["heat"]})


def test_times_come_back_in_their_zone():
    times = pd.date_range("2024-03-08", periods=200, freq="h", tz="America/New_York")  # over a change to daylight saving time
    rng = np.random.default_rng(0)
    y = 3 * np.exp(-np.arange(200) / 50) + 0.05 * rng.standard_normal(200)
    res = sf.DerivativeRegression(y, times, intercept=False).fit()
    later = times[-1] + pd.to_timedelta([1, 2], "h")
    assert res.forecast(later).index.equals(later.rename("t"))
    assert res.get_prediction(times[:3]).summary_frame().index.equals(times[:3].rename("t"))
    assert str(res.states().index.tz) == "America/New_York"
