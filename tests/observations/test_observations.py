import copy
import datetime
import pickle

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SmoothfitError, SpecificationError
from smoothfit.observations.abscissa import NANOSECONDS

X = np.arange(10.0)
Y = np.sin(X)
NOON = datetime.datetime(2024, 3, 1, 12)
TIMES = pd.date_range(NOON, periods=10, freq="90s")
REPEATED = pd.DataFrame(np.column_stack([X, Y, Y]), columns=["t", "a", "a"])


def with_value(values, i, value):
    values = np.array(values, dtype=float)
    values[i] = value
    return values


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sf.observe(X, Y[:-1]), ["y has 9", "x has 10"]),
        (lambda: sf.observe(X, with_value(Y, 3, np.inf)), ["y[3]", "NaN where it is missing"]),
        (lambda: sf.observe(X, with_value(Y, 4, -np.inf)), ["y[4]"]),
        (lambda: sf.observe(with_value(X, 2, np.nan), Y), ["x[2]", "drop the row"]),
        (lambda: sf.observe(with_value(X, 2, np.inf), Y), ["x[2]"]),
        (lambda: sf.observe(X, Y, sd=-1), ["sd[0] is -1.0", "positive"]),
        (lambda: sf.observe(X, Y, sd=with_value(np.ones(10), 5, 0.0)), ["sd[5] is 0.0", "None to have it estimated"]),
        (lambda: sf.observe(X, Y, sd=np.nan), ["sd[0] is nan"]),
        (lambda: sf.observe(X, Y, sd=[1.0, 2.0]), ["sd has 2 entries for 10"]),
        (lambda: sf.observe(X, Y, weights=with_value(np.ones(10), 7, -2)), ["weights[7] is -2.0"]),
        (lambda: sf.observe(X, Y, weights=with_value(np.ones(10), 7, 0)), ["weights[7]", "NaN"]),
        (lambda: sf.observe(X, ["a"] * 10), ["y contains strings", "numbers", "pandas.to_numeric"]),
        (lambda: sf.observe(["a"] * 10, Y), ["x contains strings", "numbers", "pandas.to_datetime"]),
        (lambda: sf.observe(X, pd.Series(list("abcdefghij"))), ["y[0] is 'a'"]),
        (lambda: sf.observe(X, Y + 1j), ["y is complex"]),
        (lambda: sf.observe(X, X > 3), ["y is boolean"]),
        (lambda: sf.observe([], []), ["empty"]),
        (lambda: sf.observe(X, np.full(10, np.nan)), ["all 10 observations", "missing", "leave the series out"]),
        (lambda: sf.observe(X, np.column_stack([Y, Y])), ["shape (10, 2)"]),
        (lambda: sf.observe(pd.to_datetime(["2024-01-01", None]), [1.0, 2.0]), ["x[1] is missing (NaT)"]),
        (lambda: sf.observe(np.array(["1500-01-01", "1800"], "M8[D]"), [1, 2]), ["x[0] = 1500-01-01", "1678"]),
        (lambda: sf.observe(np.ma.array(X, mask=X == 3), Y), ["x[3] is nan"]),
        (lambda: sf.Observations.from_frame(pl.LazyFrame({"t": X}), x="t", readings={"a": 0}), ["LazyFrame", "collect"]),
        (lambda: sf.observe(X, Y, name="a") + sf.observe(X, Y, deriv=1, name="a"), ["'a'", "order 0 and of order 1"]),
        (lambda: sf.observe(X, Y, sd=1) + sf.observe(X, Y), ["known noise SD in one part"]),
        (lambda: sf.observe(X, Y) + sf.observe(pd.date_range("2024", periods=2), [1, 2]), ["times", "numbers"]),
        (lambda: sf.Observations.from_frame(pd.DataFrame({"t": X}), x="t", readings={"a": 0}), ["no column 'a'", "t"]),
        (lambda: sf.Observations.from_frame(REPEATED, x="t", readings={"a": 0}), ["several columns of one name: 'a'", "rename"]),
        (lambda: sf.observe([[1, 2], [3]], [1, 2]), ["x has entries of different lengths", "one dimension"]),
        (lambda: sf.observe([0, 1], [2**64, -1]), ["y has integers from -1", "64 bits"]),
        (lambda: sf.observe([0, 2**64], [0, 1]), ["x has integers", "subtract an origin"]),
        (lambda: sf.observe([2**63, -1], [0, 1]), ["x has integers", "subtract an origin"]),
        (lambda: sf.observe([-1], [0]) + sf.observe([2**63], [1]), ["x of 'f' ranges from -1", "subtract an origin"]),
        (lambda: sf.observe([2**60], [0]) + sf.observe([0.5], [1]), ["x of 'f' holds integers beyond 2^53", "one kind"]),
        (lambda: sf.observe([NOON, NOON.replace(tzinfo=datetime.UTC)], [1, 2]), ["x[1]", "x[0]", "zone"]),
        (lambda: sf.observe(TIMES, Y) + sf.observe(TIMES.tz_localize("UTC"), Y), ["with a zone", "without one"]),
        (lambda: sf.observe_integral(X, X + 1, Y[:-1]), ["y has 9", "lower has 10"]),
        (lambda: sf.observe_integral(X, X, Y), ["lower[0] = 0.0 is not below upper[0]", "swap"]),
        (lambda: sf.observe_integral(X, with_value(X + 1, 3, np.nan), Y), ["upper[3]", "drop the row"]),
        (lambda: sf.observe_integral(X, TIMES, Y), ["upper", "different kinds"]),
        (
            lambda: sf.observe_integral(X, X + 1, Y, name="a") + sf.observe(X, Y, name="a"),
            ["'a'", "the integral of f and of order 0"],
        ),
        (lambda: sf.observe(pl.Series([NOON]), [1]) + sf.observe([NOON.replace(tzinfo=datetime.UTC)], [1]), ["with a zone"]),
    ],
)
def test_bad_data_is_named_with_index_and_remedy(call, words):
    with pytest.raises(DataError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sf.observe(X, Y, deriv=-1),
        lambda: sf.observe(X, Y, deriv=1.5),
        lambda: sf.observe(X, Y, deriv=True),
        lambda: sf.observe(X, Y, name=3),
        lambda: sf.observe(X, Y, unit="s"),
        lambda: sf.observe(pd.date_range("2024", periods=10), Y, unit="fortnight"),
        lambda: sf.observe(pd.date_range("2024", periods=10), Y, unit=["s"]),
        lambda: sf.observe(pd.date_range("2024", periods=10), Y, deriv=1),
        lambda: sf.observe_integral(TIMES, TIMES + pd.Timedelta("1h"), Y),
        lambda: sf.observe_integral(X, X + 1, Y, unit="s"),
        lambda: sf.SmoothingSpline(sf.observe_integral(X, X + 1, Y)).fit(bandwidth=1.0),
        lambda: sf.Observations.from_frame(pd.DataFrame({"t": X}), x="t", readings={}),
        lambda: sf.Observations.from_frame(pd.DataFrame({"t": X}), x="t", readings=["t"]),
        lambda: sf.Observations.from_frame(pd.DataFrame({"t": X}), x="t", readings={"t": 0}, sd=0.1),
    ],
)
def test_bad_options_are_refused(call):
    with pytest.raises(SpecificationError):
        call()


def test_errors_are_ours_and_the_builtin():
    with pytest.raises(ValueError, match="empty") as caught:
        sf.observe([], [])
    assert isinstance(caught.value, SmoothfitError)


def test_missing_readings_are_dropped_with_a_count():
    obs = sf.observe(X, with_value(Y, [1, 2], np.nan), sd=with_value(np.ones(10), 1, np.nan), name="level")
    assert len(obs) == 8
    assert obs["level"].n_dropped == 2
    assert "2 missing left out" in repr(obs)
    np.testing.assert_array_equal(obs.x, np.delete(X, [1, 2]))


def test_inputs_are_copied_and_frozen():
    x, y, sd = X.copy(), Y.copy(), np.ones(10)
    obs = sf.observe(x, y, sd=sd)
    x[:], y[:], sd[:] = 0, 0, 9
    np.testing.assert_array_equal(obs.x, X)
    np.testing.assert_array_equal(obs.y, Y)
    assert obs.readings[0].sd[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        obs.readings[0].y[0] = 5.0


def test_names_default_to_the_series_then_to_the_derivative():
    obs = sf.observe(pd.Series(X, name="t"), pd.Series(Y, name="height")) + sf.observe(X, Y, deriv=1)
    assert obs.names == ("height", "f'")
    assert obs.x_name == "t"


def test_readings_of_one_name_are_joined():
    obs = sf.observe(X, Y, weights=2.0) + sf.observe(X + 0.5, Y)
    assert obs.names == ("f",)
    assert len(obs) == 20
    np.testing.assert_array_equal(obs.readings[0].variance_ratio, np.repeat([0.5, 1.0], 10))


def test_noise_variance_is_sd_squared_over_weight():
    obs = sf.observe(X, Y, sd=3.0, weights=np.arange(1, 11))
    np.testing.assert_allclose(obs.readings[0].variance_ratio, 9 / np.arange(1, 11), rtol=1e-15)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, lambda d: pl.DataFrame(d).to_arrow()])
def test_frames_of_any_kind_give_the_same_observations(frame):
    data = {"t": X, "height": with_value(Y, 3, np.nan), "speed": np.cos(X), "error": np.full(10, 0.2)}
    obs = sf.Observations.from_frame(frame(data), x="t", readings={"height": 0, "speed": 1}, sd={"height": "error"})
    assert obs.names == ("height", "speed")
    assert obs.x_name == "t"
    assert obs["height"].n_dropped == 1
    np.testing.assert_array_equal(obs["height"].sd, np.full(9, 0.2))
    np.testing.assert_array_equal(obs.deriv, np.repeat([0, 1], [9, 10]))


@pytest.mark.parametrize(
    "y",
    [
        pl.Series("h", [1.0, None, 3.0]),
        pd.Series([1, pd.NA, 3], dtype="Int64"),
        [1, None, 3],
        np.array([1, np.nan, 3]),
        np.ma.array([1, 9, 3], mask=[0, 1, 0]),
    ],
)
def test_missing_values_of_every_kind(y):
    obs = sf.observe([0.0, 1.0, 2.0], y)
    np.testing.assert_array_equal(obs.y, [1.0, 3.0])
    assert obs.readings[0].n_dropped == 1


def test_to_frame_round_trip():
    obs = sf.observe(X, Y, sd=0.1, name="a") + sf.observe(X, Y, deriv=1, weights=2.0, name="b")
    frame = obs.to_frame()
    assert list(frame.columns) == ["x", "y", "deriv", "name", "sd", "weight"]
    np.testing.assert_array_equal(frame["y"], obs.y)
    assert frame.loc[frame["name"] == "b", "sd"].isna().all()


@pytest.mark.parametrize(
    "times",
    [
        TIMES,
        TIMES.to_numpy(),
        TIMES.to_series(),
        pl.Series(TIMES.to_list()),
        TIMES.to_pydatetime(),
        TIMES.tz_localize("UTC").tz_convert("Asia/Tokyo"),
        TIMES.tz_localize("UTC").tz_convert("Asia/Tokyo").to_series(),
    ],
)
def test_times_of_every_kind_are_counted_in_one_unit(times):
    obs = sf.observe(times, Y)
    assert obs.abscissa.unit == "min"
    np.testing.assert_allclose(obs.x, 1.5 * np.arange(10), rtol=1e-15)
    assert "unit min" in repr(obs)
    assert ("2024-03-01T21:00+09:00" if obs.abscissa.zone else "2024-03-01T12:00") in repr(obs)  # in their own zone


@pytest.mark.parametrize(("unit", "days"), [("Y", 365.2425), ("M", 365.2425 / 12)])
def test_months_and_years_have_their_mean_length_and_are_no_default(unit, days):
    times = pd.date_range("2000-01-01", periods=30, freq="YS")
    growth = 3 * (times - times[0]) / pd.Timedelta(days=days) + np.tile([0.1, -0.1], 15)
    res = sf.SmoothingSpline(sf.observe(times, growth, unit=unit)).fit(bandwidth=40 * 365 / days)
    daily = sf.SmoothingSpline(sf.observe(times, growth)).fit(bandwidth=40 * 365)
    assert daily.observations.abscissa.unit == "D"
    np.testing.assert_allclose(res.predict(times[:3], deriv=1), daily.predict(times[:3], deriv=1) * days, rtol=1e-9)
    np.testing.assert_allclose(res.predict(times[15:16], deriv=1), 3, rtol=0.01)


def test_the_unit_of_a_derivative_serves_all():
    obs = sf.observe(TIMES, Y) + sf.observe(TIMES, Y, deriv=1, unit="h")
    assert obs.abscissa.unit == "h"
    np.testing.assert_allclose(obs.x[:10], np.arange(10) / 40, rtol=1e-15)
    with pytest.raises(DataError, match="per h and per s"):
        obs + sf.observe(TIMES, Y, deriv=2, unit="s")


def test_timedeltas_keep_their_origin():
    obs = sf.observe(TIMES - TIMES[0] + datetime.timedelta(minutes=3), Y)
    np.testing.assert_allclose(obs.x, 3 + 1.5 * np.arange(10), rtol=1e-15)


def test_abscissae_are_restored_from_numbers():
    obs = sf.observe(TIMES, Y)
    np.testing.assert_array_equal(obs.abscissa.restore(obs.x), TIMES.to_numpy())
    large = 1_700_000_000_000_000_001 + np.arange(10)
    obs = sf.observe(large, Y)
    np.testing.assert_array_equal(obs.x, np.arange(10.0))
    np.testing.assert_array_equal(obs.abscissa.read(large), np.arange(10.0))


def test_abscissae_of_another_kind_are_refused():
    obs = sf.observe(TIMES, Y)
    with pytest.raises(DataError, match="datetime x, counted in min"):
        obs.abscissa.read([1.0, 2.0])
    with pytest.raises(DataError, match="number x"):
        sf.observe(X, Y).abscissa.read(TIMES)


def test_unknown_names_are_told_which_exist():
    with pytest.raises(KeyError, match="the names are f"):
        sf.observe(X, Y)["altitude"]


LARGE = 2**60 + np.array([0, 3, 4, 9, 1000])


@pytest.mark.parametrize(
    "x",
    [
        LARGE,
        LARGE.astype(np.uint64),
        LARGE.astype(np.uint64) + np.uint64(2**63),
        LARGE.astype(object),
        LARGE.tolist(),
        [n + 2**63 for n in LARGE.tolist()],
        np.ma.array(LARGE),
        pd.Series(LARGE, dtype="Int64"),
        pd.Series(LARGE, dtype=object),
        pl.Series(LARGE.astype(np.uint64) + np.uint64(2**63)),
    ],
)
def test_integers_of_every_kind_keep_their_digits(x):
    obs = sf.observe(x, np.zeros(5))
    np.testing.assert_array_equal(obs.x, LARGE - LARGE[0])
    np.testing.assert_array_equal(obs.abscissa.read(x), LARGE - LARGE[0])
    assert str(int(obs.readings[0].x[0])) + " .. " in repr(obs)


def test_parts_of_signed_and_unsigned_integers_are_joined():
    obs = sf.observe([2**62], [0]) + sf.observe([2**63 + 5], [1])
    np.testing.assert_array_equal(obs.readings[0].x, np.array([2**62, 2**63 + 5], dtype=np.uint64))


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=6, unique=True),
    st.sampled_from([1, 2**30, 2**62]),
)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_differences_of_integers_are_right_to_rounding(x, divisor):
    x = [n // divisor for n in x]
    points = sf.observe(x, np.zeros(len(x))).points
    for i, mine in enumerate(x):
        distances = points.minus(points.take(np.full(len(x), i)))
        np.testing.assert_allclose(distances, [float(other - mine) for other in x], rtol=1e-15)


@pytest.mark.parametrize("unit", ["ns", "us", "s", "D", "M", "Y"])
def test_differences_of_times_over_centuries_are_right_to_rounding_of_the_unit(unit):
    counts = np.array([-(2**62), 0, 1, 10**9 + 1, 2**62 - 1])
    obs = sf.observe(counts.view("M8[ns]"), np.zeros(5), unit=unit)
    length = NANOSECONDS[unit]
    distances = obs.points.minus(obs.points.take(np.full(5, 2)))
    np.testing.assert_allclose(distances, [(int(n) - 1) / length for n in counts], rtol=1e-15, atol=2**-53)


def test_times_more_than_292_years_from_the_first_are_counted():
    obs = sf.observe(pd.date_range("2024-01-01", periods=3), [0, 1, 2])
    assert obs.abscissa.read(pd.Timestamp("1700-01-01")) == -118338
    assert obs.abscissa.read(np.datetime64("1700-01-01")) == (np.datetime64("1700-01-01") - np.datetime64("2024-01-01")).astype(int)


def test_zones_go_with_zones_and_with_numpy():
    tokyo = TIMES.tz_localize("UTC").tz_convert("Asia/Tokyo")
    obs = sf.observe(tokyo, Y, unit="min") + sf.observe(TIMES.tz_localize("UTC"), Y) + sf.observe(TIMES.to_numpy(), Y)
    np.testing.assert_array_equal(obs.x, np.tile(1.5 * np.arange(10), 3))
    np.testing.assert_array_equal(obs.abscissa.read(obs.readings[0].x), obs.x)
    np.testing.assert_array_equal(obs.abscissa.read(tokyo[:2]), [0.0, 1.5])
    with pytest.raises(DataError, match="contains times without a zone, the observations are at times with one"):
        obs.abscissa.read(TIMES)
    with pytest.raises(DataError, match="contains times with a zone"):
        sf.observe(TIMES, Y).abscissa.read(tokyo)


def test_nanoseconds_survive_a_zone():
    times = pd.to_datetime(np.array([1, 2, 1000]) + 10**18).tz_localize("UTC")
    for x in (times, list(times), times.to_series()):
        np.testing.assert_array_equal(sf.observe(x, np.zeros(3), unit="ns").x, [0, 1, 999])


def test_columns_may_have_any_labels():
    frame = pd.DataFrame({0: X, 5: Y, "speed": Y})
    obs = sf.Observations.from_frame(frame, x=0, readings={5: 0, "speed": 1}, sd={5: 0.5})
    assert obs.names == ("5", "speed")
    assert obs.x_name == "0"
    np.testing.assert_array_equal(obs["5"].sd, np.full(10, 0.5))


def test_observations_can_be_summed():
    parts = [sf.observe(X, Y, name=name) for name in "abc"]
    assert sum(parts).names == ("a", "b", "c")
    with pytest.raises(TypeError):
        1 + parts[0]


@pytest.mark.parametrize("again", [lambda obs: pickle.loads(pickle.dumps(obs)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_are_frozen_too(again):
    obs = again(sf.observe(X, Y, sd=1.0, weights=2.0))
    for array in (obs.readings[0].x, obs.readings[0].y, obs.readings[0].sd, obs.readings[0].weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5.0


def test_integrals_and_means_are_readings():
    integral = sf.observe_integral(X, X + 2, with_value(Y, 2, np.nan), sd=0.1)
    mean = sf.observe_integral(X, X + 1, Y, mean=True, weights=2.0)
    obs = sf.observe(X, Y) + integral + mean + sf.observe_integral(X + 0.5, X + 3, Y, mean=True)
    assert obs.names == ("f", "integral", "mean")
    assert len(obs) == 39
    assert set(obs.deriv) == {0, -1}
    assert obs["integral"].n_dropped == 1
    assert obs["mean"].mean
    np.testing.assert_array_equal(obs["mean"].upper, np.concatenate([X + 1, X + 3]))
    np.testing.assert_array_equal(obs["integral"].upper - obs["integral"].x, 2)
    assert obs.places.max() == 12
    assert "over x = 0 .. 12" in repr(obs)
    assert "9 observations of the integral of f, SD given, 1 missing" in repr(obs)
    frame = obs.to_frame()
    np.testing.assert_array_equal(frame["upper"] - frame["x"], np.repeat([0, 2, 1, 2.5], [10, 9, 10, 10]))
    copied = pickle.loads(pickle.dumps(obs))
    np.testing.assert_array_equal(copied["mean"].upper, obs["mean"].upper)
    assert not copied["mean"].upper.flags.writeable


def test_intervals_of_time_are_counted_in_the_unit():
    obs = sf.observe_integral(TIMES, TIMES + pd.Timedelta("90s"), Y, unit="min")
    assert obs.abscissa.unit == "min"
    np.testing.assert_allclose(obs.places[10:] - obs.places[:10], 1.5, rtol=1e-15)
    assert sf.observe_integral(TIMES, TIMES + pd.Timedelta("90s"), Y, mean=True).abscissa.unit == "s"


def test_two_series_of_differences_with_sds_need_a_value_or_a_slope():
    """Differences alone leave the level; with one value they tell the slope."""
    a = np.linspace(0, 1, 12)

    def differences(width, name, sd):
        return sf.observe_difference(a, a + width, np.sin(3 * (a + width)) - np.sin(3 * a), sd=sd, name=name)

    both = differences(0.5, "short", 0.01) + differences(0.8, "long", 0.02)
    with pytest.raises(IdentificationError, match="add observations of f"):
        sf.SmoothingSpline(both).fit()
    res = sf.SmoothingSpline(both + sf.observe([0.0], [0.0], sd=1e-3)).fit()
    assert abs(res.predict(0.5, deriv=1) - 3 * np.cos(1.5)) < 0.03
    extreme = differences(0.5, "short", 1e-300) + differences(0.8, "long", 1e300)
    with pytest.raises(DataError, match=r"sd\[0\] of 'short'"):
        sf.SmoothingSpline(extreme).fit()
