"""Forecasts after the last observation, beside statsmodels and beside predictions."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.api import UnobservedComponents

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.markov import priors as pri


@pytest.fixture(scope="module")
def correlated():
    """A straight line with autocorrelated and independent noise."""
    rng = np.random.default_rng(0)
    e = np.zeros(150)
    for i in range(1, 150):
        e[i] = 0.9 * e[i - 1] + 0.3 * rng.standard_normal()
    return 1 + 0.02 * np.arange(150) + e + 0.2 * rng.standard_normal(150)


@pytest.mark.parametrize("sd", [0.2, None])
def test_noise_goes_on_as_in_statsmodels(correlated, sd):
    """A line and an autoregression, at the same parameters; mean and SD of new observations, which are normal given these."""
    noise = {"y": pri.OrnsteinUhlenbeck(length_scale=9.0, amplitude=0.7)} if sd else {"y": pri.OrnsteinUhlenbeck()}
    res = sf.SmoothingSpline(sf.observe(np.arange(150.0), correlated, sd=sd, name="y"), prior=pri.Polynomial(1), noise=noise).fit()
    length, amplitude = (9.0, 0.7) if sd else res.params[["noise.y.length_scale", "noise.y.amplitude"]]
    rho = np.exp(-1 / length)
    model = UnobservedComponents(correlated, level=True, trend=True, irregular=True, autoregressive=1, use_exact_diffuse=True)
    their = model.smooth([res.sigma["y"] ** 2, amplitude**2 * (1 - rho**2), rho]).get_forecast(20)
    frame = res.forecast(20)
    np.testing.assert_allclose(frame.index, np.arange(150.0, 170.0))
    np.testing.assert_allclose(frame["mean"], their.predicted_mean, rtol=1e-6)
    np.testing.assert_allclose(np.hypot(frame["mean_se"], res.sigma["y"]), their.se_mean, rtol=1e-6)
    if sd:  # nothing is estimated: intervals are normal
        np.testing.assert_allclose(frame["obs_ci_upper"] - frame["mean"], 1.959964 * their.se_mean, rtol=1e-6)
        far = res.forecast([1e4])  # the noise process has forgotten where it was
        ends = res.get_prediction([1e4]).conf_int(obs=True)
        np.testing.assert_allclose(far[["obs_ci_lower", "obs_ci_upper"]], ends, rtol=1e-9)


def test_a_biased_series_has_its_noise_and_its_bias(correlated):
    x = np.arange(150.0)
    f = np.sin(x / 20)
    reference = sf.observe(x, f + 0.1 * np.random.default_rng(1).standard_normal(150), sd=0.1, name="a")
    obs = reference + sf.observe(x, f + correlated - 0.02 * x, sd=0.2, name="b", bias="estimate")
    process = pri.OrnsteinUhlenbeck(length_scale=9.0, amplitude=0.7)
    res = sf.SmoothingSpline(obs, noise={"b": process}).fit(lam=100.0)
    now, later = res.forecast([149.001, 149.5 + 1e3], "b"), res.get_prediction([149.001, 149.5 + 1e3], name="b")
    assert now["mean_se"].iloc[0] < 0.2 < later.se_mean[0] + 0.7
    assert now["mean"].iloc[0] == pytest.approx(res.fittedvalues[-1], abs=2e-3)
    assert now["mean"].iloc[1] == pytest.approx(later.predicted_mean[1], rel=1e-9)
    frame = res.forecast([150.0])  # of the series without a bias, which has no noise process
    pd.testing.assert_frame_equal(frame, res.get_prediction([150.0], name="a").summary_frame())


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (pd.date_range("2020-01-01", periods=24, freq="MS"), ["2022-01-01", "2022-02-01"]),
        (pd.date_range("2024-01-01", periods=20, freq="B"), ["2024-01-29", "2024-01-30"]),
        (
            pd.date_range("2024-03-25", periods=6, tz="Europe/Berlin"),
            ["2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"],
        ),
        (pd.date_range("2024-01-01", periods=20, freq="D").delete([5, 6]), ["2024-01-21", "2024-01-22"]),
        (pd.bdate_range("2024-01-01", periods=20).delete([6]), ["2024-01-29", "2024-01-30"]),
        (
            pd.date_range("2024-03-25", periods=6, tz="Europe/Berlin").delete([1]),
            ["2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"],
        ),
        (pd.date_range("2020-01-01", periods=24, freq="MS").delete([5, 6, 7]), ["2022-01-01", "2022-02-01"]),
        (pd.date_range("2020-01-31", periods=8, freq="QE-JAN").delete([2]), ["2022-01-31", "2022-04-30"]),
        (
            pd.date_range("2024-01-15T12:00", periods=10, freq=pd.DateOffset(months=1), tz="Europe/Berlin").delete([3]),
            ["2024-11-15T12:00+01:00", "2024-12-15T12:00+01:00"],
        ),
        (pd.date_range("2024-01-01", periods=10, freq="W").delete([3]), ["2024-03-17", "2024-03-24"]),
        (1.7e9 + 0.01 * np.arange(50), [1.7e9 + 0.5, 1.7e9 + 0.51]),
        (pd.timedelta_range("0h", periods=10, freq="6h"), ["60h", "66h"]),
        (np.arange(2000, 2020), [2020, 2021]),
        (0.1 * np.arange(10), [1.0, 1.1]),
    ],
)
def test_steps_go_on_as_those_of_the_observations(x, expected):
    y = np.random.default_rng(0).standard_normal(len(x))
    index = sf.SmoothingSpline(sf.observe(x, y, sd=1.0), order=1).fit(lam=1.0).forecast(2).index
    if isinstance(x, np.ndarray):
        np.testing.assert_allclose(index, expected, rtol=1e-14)
    else:
        of = pd.Timestamp if isinstance(x, pd.DatetimeIndex) else pd.Timedelta
        assert list(index) == [of(one) for one in expected]


def test_regressors_need_future_values(correlated):
    frame = pd.DataFrame({"day": np.arange(150), "y": correlated, "price": np.cos(np.arange(150.0))})
    obs = sf.observe(frame["day"], frame["y"], name="y")
    res = sf.SmoothingSpline(obs, regressors={"price": frame["price"]}).fit()
    future = pd.DataFrame({"day": [150, 151], "price": [1.0, 2.0]})
    pd.testing.assert_frame_equal(res.forecast(future), res.get_prediction(future).summary_frame())
    pd.testing.assert_frame_equal(res.forecast(2, regressors={"price": [1.0, 2.0]}), res.forecast(future))
    with pytest.raises(SpecificationError, match=r"depend on price; pass future values, regressors=\{'price'"):
        res.forecast(2)


def test_what_is_no_forecast_is_named(correlated):
    x = np.sort(np.random.default_rng(0).uniform(0, 9, 150))
    res = sf.SmoothingSpline(sf.observe(x, correlated, sd=0.3)).fit(lam=1.0)
    with pytest.raises(DataError, match="150 x of the observations have no common step; pass x itself"):
        res.forecast(3)
    ends = sf.SmoothingSpline(sf.observe(pd.to_datetime(["2024-01-30", "2024-03-30", "2024-08-30"]), [1, 2, 2], sd=0.1), order=1)
    with pytest.raises(DataError, match="3 x of the observations have no common step"):
        ends.fit(lam=1.0).forecast(3)  # some months have no 30th
    with pytest.raises(DataError, match=r"x\[1\] is 4, and the last observation is at .*get_prediction\(\) is of any x"):
        res.forecast([10.0, 4.0])
    with pytest.raises(KeyError, match="no observations are named 'z'"):
        res.forecast([10.0], "z")
    hours = np.arange(20.0)
    counts = sf.SmoothingSpline(sf.observe_integral(hours, hours + 1, np.cos(hours / 5), sd=0.1, name="counts")).fit(lam=1.0)
    np.testing.assert_allclose(counts.forecast(2)["mean"], counts.predict([21.0, 22.0]), rtol=1e-12)
    with pytest.raises(SpecificationError, match="'counts', which observes the integral of f; forecasts are of values: integrate"):
        counts.forecast(2, "counts")
    with pytest.raises(SpecificationError, match="x is 0; it ranges from 1"):
        res.forecast(0)
    dates = pd.date_range("2020-01-01", periods=20, freq="MS")
    months = sf.SmoothingSpline(sf.observe(dates, np.cos(hours / 5), sd=0.1)).fit(lam=1.0)
    with pytest.raises(DataError, match="x is 100000 steps, which end beyond the last date of pandas; pass fewer"):
        months.forecast(100_000)
