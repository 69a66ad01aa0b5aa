"""Streaming against fits to all observations at the same parameters."""

import pickle

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

STEPS = ["new", "block", "late", "tie", "rate", "undo", "pickle", "copy"]
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")


def readings(n=120, seed=0):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.exponential(size=n))
    return x, np.sin(x / 5) + 0.1 * rng.standard_normal(n)


def level(x, y):
    return sf.observe(x, y, sd=0.1, name="level")


def rate(x, y):
    return sf.observe(x, y, deriv=1, sd=0.2, name="rate")


def assert_same(online, batch, x):
    """Means in posterior SDs and variances, to 1e-10."""
    for k in range(batch.engine.order):
        one, other = online.get_prediction(x, deriv=k), batch.get_prediction(x, deriv=k)
        assert np.max(np.abs(one.predicted_mean - other.predicted_mean) / other.se_mean) < 1e-10
        np.testing.assert_allclose(one.var_pred_mean, other.var_pred_mean, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_stream_equals_the_batch_within_the_lag_and_beyond(order):
    x, y = readings()
    online = sf.SmoothingSpline(level(x[:30], y[:30]), order=order).fit(lam=2.0).online(lag=20)
    for i in range(30, 70):
        online.append(float(x[i]), float(y[i]))
    online.append(x[70:100], y[70:100])
    online.append(level(x[100:], y[100:]))
    assert online.nobs == 120
    batch = sf.SmoothingSpline(level(x, y), order=order).fit(lam=2.0)
    within = np.linspace(x[-20], x[-1] + 10, 77)
    assert_same(online, batch, np.r_[within, x[-20:]])
    with pytest.raises(DataError, match="one variable"):
        online.predict(within.reshape(7, 11))
    smoothed = online.smoothed()
    np.testing.assert_array_equal(smoothed.index, x[-20:])
    np.testing.assert_allclose(smoothed["mean_se"], batch.get_prediction(x[-20:]).se_mean, rtol=1e-10)
    assert smoothed["obs_ci_upper"].notna().all()


def test_a_lag_longer_than_the_series_is_the_batch_everywhere():
    x, y = readings(40)
    online = sf.SmoothingSpline(level(x[:10], y[:10]), order=3).fit(lam=2.0).online(lag=100)
    online.append(x[10:], y[10:])
    online.append(x[0] - 1.0, 0.3)
    batch = sf.SmoothingSpline(level(np.r_[x, x[0] - 1], np.r_[y, 0.3]), order=3).fit(lam=2.0)
    assert_same(online, batch, np.linspace(x[0] - 5, x[-1] + 5, 60))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_any_history_ends_where_the_batch_does(data):
    order = data.draw(st.sampled_from([2, 3]))
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    x, y = readings(20, seed)
    obs = level(x, y) + rate(x[:3], np.zeros(3))
    online = sf.SmoothingSpline(obs, order=order).fit(lam=1.0).online(lag=15)
    history = []
    for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=25)):
        last = max([x[-1], *(r[0] for r in history)])
        if step == "undo":
            if history:
                online.rollback()
                history.pop()
            continue
        if step in ("pickle", "copy"):
            online = pickle.loads(pickle.dumps(online)) if step == "pickle" else online.copy()
            continue
        at = {"late": last - rng.random(), "tie": last}.get(step, last + rng.exponential())
        kind = step == "rate"
        value = float(rng.standard_normal())
        if step == "block":
            part = [(at + j, value + j, False) for j in range(3)]
            online.append(np.array([p[0] for p in part]), np.array([p[1] for p in part]))
            history += part
        else:
            online.append(float(at), value, name="rate" if kind else "level")
            history.append((at, value, kind))
    for a, v, kind in history:
        obs = obs + (rate if kind else level)([a], [v])
    batch = sf.SmoothingSpline(obs, order=order).fit(lam=1.0)
    assert online.nobs == len(obs)
    last = max([x[-1], *(r[0] for r in history)])
    assert_same(online, batch, np.linspace(np.sort(obs.x)[-15], last + 2, 25))


def test_estimated_sds_weights_and_several_names():
    x, y = readings(200)
    noise = 0.05 * np.random.default_rng(1).standard_normal(200)
    both = [sf.observe(x, y, name="level"), sf.observe(x, np.cos(x / 5) / 5 + noise, deriv=1, name="rate")]
    res = sf.SmoothingSpline(both[0] + both[1], order=3).fit()
    online = res.online(lag=30)
    t = x[-1] + np.arange(1.0, 11.0)
    online.append(t, np.sin(t / 5), name="level", weights=2.0)
    online.append(sf.observe(t, np.cos(t / 5) / 5, deriv=1, name="rate"))
    # the same as known noise SDs, in one batch
    s, r = res.sigma
    known = (
        sf.observe(x, y, sd=s, name="level")
        + sf.observe(t, np.sin(t / 5), sd=s, weights=2.0, name="level")
        + sf.observe(np.r_[x, t], np.r_[both[1].y, np.cos(t / 5) / 5], deriv=1, sd=r, name="rate")
    )
    batch = sf.SmoothingSpline(known, order=3).fit(lam=1 / res.q)
    assert_same(online, batch, np.linspace(t[0], t[-1] + 5, 40))
    assert online.get_prediction([t[0]], deriv=1).noise_sd == r
    assert online.get_prediction([t[0]]).df == res.df_interval


def test_rollback_and_forget():
    x, y = readings(100)
    online = sf.SmoothingSpline(level(x[:50], y[:50]), order=3).fit(lam=2.0).online(lag=10)
    online.append(x[50:60], y[50:60])
    before = online.get_prediction(x[59] + np.arange(3.0))
    online.append(x[60:65], y[60:65])
    online.append(x[62] + 1e-3, 5.0)
    online.rollback(6)
    after = online.get_prediction(x[59] + np.arange(3.0))
    np.testing.assert_array_equal(before.predicted_mean, after.predicted_mean)
    np.testing.assert_array_equal(before.var_pred_mean, after.var_pred_mean)
    with pytest.raises(SpecificationError, match="n is 11"):
        online.rollback(11)
    online.forget()
    after = online.get_prediction(x[59] + np.arange(3.0))
    np.testing.assert_array_equal(before.predicted_mean, after.predicted_mean)
    with pytest.raises(DataError, match="older than the lag"):
        online.append(float(x[58]), 0.0)
    with pytest.raises(SpecificationError, match="n is 1"):
        online.rollback()
    online.append(x[60:], y[60:])
    batch = sf.SmoothingSpline(level(x, y), order=3).fit(lam=2.0)
    assert_same(online, batch, np.linspace(x[-10], x[-1] + 3, 20))


def test_a_long_stream_keeps_what_the_lag_asks_for():
    x, y = readings(30_000, seed=3)
    online = sf.SmoothingSpline(level(x[:100], y[:100])).fit(lam=2.0).online(lag=50)
    online.append(x[100:20_000], y[100:20_000])
    for i in range(20_000, 26_000):
        online.append(float(x[i]), float(y[i]))
    late = online.copy()
    assert late._n < late._capacity
    for i in np.random.default_rng(0).permutation(np.arange(26_000, 26_020)):
        late.append(float(x[i]), float(y[i]))
    batch = sf.SmoothingSpline(level(x[:26_020], y[:26_020])).fit(lam=2.0)
    assert_same(late, batch, np.linspace(x[26_019 - 49], x[26_019] + 2, 50))


def test_times_come_as_times():
    times = pd.date_range("2024-06-01", periods=60, freq="h", tz="Europe/Berlin")
    y = np.sin(np.arange(60.0) / 5)
    online = sf.SmoothingSpline(sf.observe(times[:40], y[:40], unit="h", sd=0.1), order=3).fit(lam=1.0).online(lag=15)
    for i in range(40, 50):
        online.append(times[i : i + 1], y[i : i + 1])
    online.append(sf.observe(times[50:], y[50:], sd=0.1))
    batch = sf.SmoothingSpline(sf.observe(times, y, unit="h", sd=0.1), order=3).fit(lam=1.0)
    assert_same(online, batch, times[-15:] + pd.Timedelta("20min"))
    assert online.smoothed().index.dtype.kind == "M"
    with pytest.raises(DataError, match=r"2024-05-31T22:00 is older than the lag"):
        online.append(times[:1], [0.0])


def test_units_of_x_by_powers_of_two_change_no_bit():
    x, y = readings(60)
    frames = []
    for factor in (1.0, 2.0**30):
        online = sf.SmoothingSpline(level(x[:40] * factor, y[:40]), order=3).fit(bandwidth=3.0 * factor).online(lag=12)
        online.append(x[40:] * factor, y[40:])
        frames.append(online.get_prediction(x[-5:] * factor, deriv=1))
    np.testing.assert_array_equal(frames[0].predicted_mean, frames[1].predicted_mean * 2.0**30)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda o: o.append(1.0, 2.0), DataError, "older than the lag.*raise lag="),
        (lambda o: o.append(100.0, 2.0, name="depth"), DataError, "'depth' is not a series of the fit.*level"),
        (lambda o: o.append(sf.observe([100.0], [1.0], name="level")), DataError, "pass sd="),
        (lambda o: o.append(sf.observe([100.0], [1.0], deriv=1, name="level", sd=1.0)), DataError, "observes f' here, but f in"),
        (lambda o: o.append(sf.observe([100.0], [1.0]), 3.0), SpecificationError, "pass them alone"),
        (lambda o: o.append([100.0]), SpecificationError, "y is missing"),
        (lambda o: o.append(np.nan, 1.0), DataError, "x"),
        (lambda o: o.append(100.0, np.inf), DataError, r"y\[0\] is inf"),
        (lambda o: o.append([100.0, 101.0], [1.0]), DataError, "pass one x for each"),
        (lambda o: o.predict(1.0), DataError, "older than the lag"),
        (lambda o: o.predict(100.0, deriv=2), SpecificationError, "deriv is 2"),
        (lambda o: o.append(pd.Timestamp("2024-01-01"), 1.0), DataError, "datetime"),
    ],
)
def test_bad_readings_change_nothing(call, error, words):
    x, y = readings(60)
    online = sf.SmoothingSpline(level(x, y)).fit(lam=1.0).online(lag=10)
    before = pickle.dumps(online)
    with pytest.raises(error, match=words):
        call(online)
    assert pickle.dumps(online) == before


def test_missing_readings_are_none_and_the_lag_is_checked():
    x, y = readings(60)
    res = sf.SmoothingSpline(level(x, y)).fit(lam=1.0)
    online = res.online(lag=10)
    online.append(float(x[-1]) + 1, np.nan)
    online.append(x[-1] + np.arange(1.0, 4.0), [1.0, np.nan, 2.0])
    assert online.nobs == 62
    for lag in (0, 2.5, None):
        with pytest.raises(SpecificationError, match="lag is"):
            res.online(lag=lag)
    assert "lag=10, nobs=62" in repr(online)
