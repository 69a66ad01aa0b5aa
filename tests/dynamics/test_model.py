"""What the model takes, and what it says about what it does not."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError

T = np.arange(40.0)
Y = np.sin(T)
U = np.cos(T / 3)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((Y, None), {}, SpecificationError, "t is missing"),
        ((Y[:-1], T), {}, DataError, "y has 39 rows and t has 40"),
        ((Y, T, U[:-1]), {}, DataError, "u has 39 rows"),
        ((np.where(T == 5, np.inf, Y), T), {}, DataError, r"y\[5\] is infinite"),
        ((Y, np.where(T == 5, np.nan, T)), {}, DataError, r"t\[5\] is nan"),
        ((Y, np.where(T == 5, 4, T), U), {}, DataError, r"t\[5\] repeats t\[4\] = 4 with another value of the input 'u'"),
        ((Y, np.zeros(40)), {}, DataError, "all rows are at one time"),
        ((Y, T, np.where(T == 5, np.nan, U)), {}, DataError, r"u\[5\] is nan"),
        ((np.full(40, np.nan), T), {}, DataError, "all 40 observations"),
        ((np.full(40, 3.0), T), {}, IdentificationError, "all observations of 'y' are 3"),
        ((Y, T, np.full(40, 2.0)), {}, IdentificationError, "'u' is constant"),
        ((Y, T, np.zeros(40)), {"intercept": False}, IdentificationError, "'u' is zero"),
        ((Y, T, np.column_stack([U, 2 * U + 1])), {}, IdentificationError, "'u2' is a linear combination"),
        ((Y, T), {"order": 0}, SpecificationError, "order is 0"),
        ((Y, T), {"order": 9}, SpecificationError, "order is 9"),
        ((Y, T, U), {"intersample": "spline"}, SpecificationError, "intersample"),
        ((Y, T, U), {"lags": 1.5}, SpecificationError, "lags"),
        ((Y, T, U), {"delay": -1}, SpecificationError, "delay"),
        ((Y, T, U), {"delay": 100}, DataError, "reaches beyond"),
        ((Y, T**2, U), {"lags": 1}, SpecificationError, "regular"),
        ((Y, T), {"groups": [0] * 39}, DataError, "groups has 39"),
        ((Y, T), {"derivatives": (1,)}, SpecificationError, "derivatives"),
        ((Y, T), {"terms": [abs]}, SpecificationError, "Term"),
        ((Y, T), {"unit": "s"}, SpecificationError, "unit"),
        ((Y, T, pd.DataFrame({"y": U})), {}, SpecificationError, "two regressors are called 'y'"),
        ((Y, T), {"derivatives": (), "intercept": False}, SpecificationError, "right side is empty"),
    ],
)
def test_bad_input_is_refused_with_the_way_out(arguments, options, error, words):
    with pytest.raises(error, match=words):
        sf.DerivativeRegression(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "ols"}, "method is 'ols'; pass one of 'kalman'"),
        ({"method": "arx", "cov_type": "sandwich"}, "cov_type"),
        ({"method": "arx", "cov_type": "cluster"}, "groups="),
        ({"method": "integral", "weights": "wls"}, "weights"),
        ({"method": "difference", "scheme": "up"}, "scheme"),
    ],
)
def test_bad_fits_are_refused(options, words):
    rng = np.random.default_rng(0)
    with pytest.raises(SpecificationError, match=words):
        sf.DerivativeRegression(np.cumsum(rng.standard_normal(200)), np.arange(200.0)).fit(**options)


@pytest.mark.parametrize("method", ["kalman", "arx", "output_error", "whittle", "difference"])
def test_too_few_rows_are_refused(method):
    with pytest.raises((DataError, IdentificationError), match="too few"):
        sf.DerivativeRegression(Y[:4], T[:4], U[:4]).fit(method)


def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"t": T, "level": np.cumsum(rng.standard_normal(40)), "flow": rng.standard_normal(40)})


def test_series_frames_and_datetimes_are_welcome():
    df = frame()
    plain = sf.DerivativeRegression(df["level"].to_numpy(), df["t"].to_numpy(), df["flow"].to_numpy()).fit("arx")
    named = sf.DerivativeRegression(df["level"], df["t"], df["flow"]).fit("arx")
    assert list(named.params.index) == ["level", "flow", "const"]
    polars = pl.from_pandas(df)
    other = sf.DerivativeRegression(polars["level"], polars["t"], polars[["flow"]]).fit("arx")
    when = pd.Timestamp("2024-03-01") + pd.to_timedelta(df["t"], unit="h")
    timed = sf.DerivativeRegression(df["level"], when, df["flow"], unit="h").fit("arx")
    minutes = sf.DerivativeRegression(df["level"], when, df["flow"], unit="min").fit("arx")
    for res in (named, other, timed):
        np.testing.assert_allclose(res.params, plain.params, rtol=1e-12)
    np.testing.assert_allclose(minutes.params * 60, plain.params, rtol=1e-9)
    assert "per min" in str(minutes.summary())
    assert isinstance(timed.states().index, pd.DatetimeIndex)


def test_rows_may_come_in_any_order():
    df = frame()
    mixed = df.sample(frac=1, random_state=0)
    straight, shuffled = (sf.DerivativeRegression(d["level"], d["t"], d["flow"]).fit() for d in (df, mixed))
    np.testing.assert_array_equal(straight.params, shuffled.params)


def test_lags_are_shifted_inputs_within_runs():
    df = frame()
    groups = np.repeat([0, 1], 20)
    model = sf.DerivativeRegression(df["level"], df["t"], df["flow"], lags=2, groups=groups)
    assert model.sample.inputs == ("flow", "flow.L1", "flow.L2")
    assert model.sample.n_dropped == 4
    np.testing.assert_array_equal(model.sample.u[0], df["flow"].to_numpy()[[2, 1, 0]])
    np.testing.assert_array_equal(model.sample.u[18], df["flow"].to_numpy()[[22, 21, 20]])


@pytest.mark.parametrize("intersample", ["zoh", "foh"])
def test_delays_are_recovered_exactly_whether_whole_steps_or_not(intersample):
    from smoothfit.dynamics import response
    from smoothfit.dynamics.specification import Equation

    rng = np.random.default_rng(1)
    h, delay = 0.1, 0.25
    t, u = np.arange(200) * h, rng.standard_normal(200)
    fine = np.arange(401) * h / 2
    shifted = fine - delay
    known = shifted >= 0
    at = np.clip(np.floor(shifted / h + 1e-9).astype(int), 0, 199)
    acting = u[at] if intersample == "zoh" else np.interp(shifted, t, u)
    equation = Equation(1, ("y",), (0,), ("u",), (), True, intersample)
    x = response.simulate(equation, np.array([-1.0, 2.0, 0.5]), fine[known], acting[known][:, None], np.array([0.3]))[:, 0]
    rows = np.isin(np.round(fine[known] / h, 6), np.arange(200))
    y = np.full(200, np.nan)
    y[np.round(fine[known][rows] / h).astype(int)] = x[rows]
    res = sf.DerivativeRegression(y, t, u, delay=delay, intersample=intersample).fit("output_error")
    np.testing.assert_allclose(res.coefficients, [-1.0, 2.0, 0.5], rtol=1e-8)
    whole = sf.DerivativeRegression(y, t, u, delay=0.3)
    assert whole.sample.step == pytest.approx(h)
    np.testing.assert_array_equal(whole.sample.u[:, 0], u[:-3])


def test_known_sds_are_taken_as_they_are():
    rng = np.random.default_rng(2)
    t = np.arange(200) * 0.1
    y = np.exp(-t / 3) + 0.05 * rng.standard_normal(200)
    res = sf.DerivativeRegression(sf.observe(t, y, sd=0.05), intercept=False).fit("output_error")
    assert list(res.params.index) == ["f"]
    free = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
    assert res.params["f"] == pytest.approx(free.params["y"], rel=1e-6)
    assert res.bse["f"] == pytest.approx(free.bse["y"] * 0.05 / free.params["sigma"], rel=1e-3)


def test_a_model_and_its_parts_are_not_changed_by_fitting():
    df = frame()
    model = sf.DerivativeRegression(df["level"], df["t"], df["flow"])
    before = model.sample.y.copy()
    first, second = model.fit(), model.fit()
    np.testing.assert_array_equal(first.params, second.params)
    np.testing.assert_array_equal(model.sample.y, before)
    with pytest.raises(ValueError, match="read-only"):
        model.sample.y[0] = 1


@pytest.mark.parametrize("method", ["kalman", "arx", "armax", "integral", "weak", "fourier", "iv", "output_error", "difference"])
@pytest.mark.parametrize(("size", "span", "offset"), [(1e-9, 1e9, 0.0), (1e6, 1e-6, 0.0), (1.0, 1.0, 1e4)])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_units_and_origin_do_not_matter(noisy, method, size, span, offset):
    t, u, y = noisy
    base = sf.DerivativeRegression(y, t, u).fit(method)
    other = sf.DerivativeRegression(y * size + offset, t * span, u * 3).fit(method)
    a, b, c = other.coefficients * span
    np.testing.assert_allclose([a, 3 * b / size, (c + a * offset) / size], base.coefficients, rtol=1e-5)
    assert other.bse.iloc[0] * span == pytest.approx(
        base.bse.iloc[0], rel=0.02
    )  # Hessians of likelihoods are differences of scores
