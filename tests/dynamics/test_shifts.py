"""Delays and lags: what acts later is recorded earlier, in responses, simulations and forecasts too."""

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import DataError, SpecificationError

from .conftest import held

H = 0.05
THETA = np.array([-1.0, 2.0, 0.5])


def delayed(delay, intersample, n=400):
    """t, u and exact y of y'(t) = -y + 2 u(t - delay) + 0.5, on nodes twenty times as dense."""
    rng = np.random.default_rng(1)
    t, u = np.arange(n) * H, held(rng, n, 10) if intersample == "zoh" else rng.standard_normal(n).cumsum() / 3
    fine = np.arange((n - 1) * 20 + 1) * H / 20
    back = fine - delay
    held_at = np.clip(np.floor(back / H + 1e-9).astype(int), 0, n - 1)
    acting = u[held_at] if intersample == "zoh" else np.interp(back, t, u)
    equation = Equation(1, ("y",), (0,), ("u",), (), True, intersample)
    y = response.simulate(equation, THETA, fine, acting[:, None], np.array([0.3]))[::20, 0]
    return t, u, y


@pytest.mark.parametrize("intersample", ["zoh", "foh"])
@pytest.mark.parametrize("delay", [0.1, 0.1325])
def test_simulations_and_forecasts_take_inputs_as_recorded(delay, intersample):
    t, u, y = delayed(delay, intersample)
    fitted = sf.DerivativeRegression(y[:300], t[:300], u[:300], delay=delay, intersample=intersample).fit("output_error")
    np.testing.assert_allclose(fitted.coefficients, THETA, rtol=1e-7)
    ahead = fitted.forecast(t[300:], u[300:])
    np.testing.assert_allclose(ahead["mean"], y[300:], atol=1e-7)
    np.testing.assert_allclose(fitted.simulate(u, t, initial=[0.3]), y, atol=1e-7)


def test_responses_are_as_late_as_the_inputs():
    t, u, y = delayed(0.1325, "zoh")
    fitted = sf.DerivativeRegression(y, t, u, delay=0.1325).fit("output_error")
    times = np.array([0.0, 0.1, 0.1324, 0.1325, 0.5, 3.0])
    late = np.maximum(times - 0.1325, 0.0)
    np.testing.assert_allclose(fitted.step_response(times)["mean"], 2 * (1 - np.exp(-late)), atol=1e-7)
    np.testing.assert_allclose(fitted.impulse_response(times)["mean"], np.where(times >= 0.1325, 2 * np.exp(-late), 0), atol=1e-7)
    assert (fitted.step_response(times)["se"].to_numpy()[:3] == 0).all()


@pytest.mark.parametrize("lags", [2, -2, (-1, 1)])
def test_lags_of_an_input_add_up(lags):
    rng = np.random.default_rng(2)
    n, weights, first = 500, np.array([1.0, -0.5, 2.0]), lags[0] if isinstance(lags, tuple) else min(lags, 0)
    t, u = np.arange(n) * H, held(rng, n, 3)
    lagged = np.stack([u[np.clip(np.arange(n) - k, 0, n - 1)] for k in range(first, first + 3)], axis=1)
    equation = Equation(1, ("y",), (0,), ("a", "b", "c"))
    y = response.simulate(equation, np.array([-1.0, *weights, 0.5]), t, lagged, np.array([0.3]))[:, 0]
    fitted = sf.DerivativeRegression(y[:400], t[:400], u[:400], lags=lags).fit("output_error")
    assert len(fitted.fittedvalues) == 398
    np.testing.assert_allclose(fitted.coefficients, [-1.0, *weights, 0.5], rtol=1e-7)
    assert fitted.gain().loc["u", "gain"] == pytest.approx(weights.sum(), rel=1e-7)
    assert fitted.gain("fieller").loc["u", "gain"] == pytest.approx(weights.sum(), rel=1e-7)
    assert fitted.steady_state([2.0]) == pytest.approx(2 * weights.sum() + 0.5, rel=1e-7)
    np.testing.assert_allclose(fitted.simulate(u, t, initial=[0.3]), y, atol=1e-7)
    np.testing.assert_allclose(fitted.forecast(t[400:], u[400:])["mean"], y[400:], atol=1e-7)
    times = np.array([0.02, 0.07, 1.0])
    step = sum(w * -np.expm1(-np.maximum(times - k * H, 0)) for k, w in enumerate(weights, first))
    np.testing.assert_allclose(fitted.step_response(times)["mean"], step, atol=1e-7)


def test_an_input_recorded_a_row_late_is_one_recorded_in_time():
    t, u, y = delayed(0.0, "zoh")
    y = y + 0.05 * np.random.default_rng(7).standard_normal(len(t))
    late = sf.DerivativeRegression(y[1:], t[1:], u[:-1], lags=(-1, -1)).fit("output_error")
    straight = sf.DerivativeRegression(y[1:-1], t[1:-1], u[1:-1]).fit("output_error")
    assert list(late.params.index) == ["y", "u.F1", "const", "sigma"]
    np.testing.assert_array_equal(late.params, straight.params)
    np.testing.assert_array_equal(late.cov_params(), straight.cov_params())
    assert late.transfer_function().delay == pytest.approx(-H)
    assert "The last rows, 1 in all, were left out" in str(late.summary())
    with pytest.raises(SpecificationError, match=r"lags is \(2, 1\); of a pair the first lag is the smaller one"):
        sf.DerivativeRegression(y, t, u, lags=(2, 1))


def test_rows_left_out_at_the_end_are_missing_there():
    t, u, y = delayed(0.0, "zoh")
    index = [f"row {i}" for i in range(len(t))]
    fitted = sf.DerivativeRegression(pd.Series(y, index), t, u, lags=(-2, 1)).fit("output_error")
    assert list(np.flatnonzero(fitted.fittedvalues.isna())) == [0, len(t) - 2, len(t) - 1]
    np.testing.assert_allclose(fitted.fittedvalues.iloc[1:-2], y[1:-2], atol=1e-7)
    # Two rows of inputs act before the row at which they are recorded: those after the record stay as the last one.
    ahead = t[-1] + H * np.arange(-1, 5)
    held_on = fitted.forecast(ahead[2:], np.full(4, u[-1]))
    np.testing.assert_allclose(fitted.predict(ahead)[2:], held_on["mean"], atol=1e-9)
    np.testing.assert_allclose(fitted.predict(ahead)[:2], y[-2:], atol=1e-7)


def test_the_error_of_a_gain_with_lags_is_that_of_a_sum():
    rng = np.random.default_rng(3)
    t, u = np.arange(600) * H, held(rng, 600, 7)
    y = np.zeros(600)
    for k in range(2, 600):
        y[k] = 0.95 * y[k - 1] + 0.05 * (u[k - 1] + 0.5 * u[k - 2])
    fitted = sf.DerivativeRegression(y + 0.05 * rng.standard_normal(600), t, u, lags=1).fit("output_error")
    a, b, c = fitted.params[["y", "u", "u.L1"]]
    slopes = np.array([(b + c) / a**2, -1 / a, -1 / a])
    cov = fitted.cov_params().loc[["y", "u", "u.L1"], ["y", "u", "u.L1"]].to_numpy()
    gain = fitted.gain().loc["u"]
    assert gain["se"] == pytest.approx(np.sqrt(slopes @ cov @ slopes), rel=1e-5)
    fieller = fitted.gain("fieller").loc["u"]
    # Fieller's set is the delta interval to second order in the relative errors.
    assert fieller["lower"] == pytest.approx(gain["lower"], abs=0.1 * gain["se"])
    assert fieller["upper"] == pytest.approx(gain["upper"], abs=0.1 * gain["se"])


@pytest.mark.parametrize("method", ["arx", "armax", "integral", "weak", "fourier", "whittle", "iv", "difference"])
def test_delays_between_the_readings_are_refused_with_the_way_out(method):
    t, u, y = delayed(0.1325, "zoh")
    with pytest.raises(
        SpecificationError, match=r'with delay = 0.1325 they change between; use method="(kalman|output_error)", or a'
    ):
        sf.DerivativeRegression(y, t, u, delay=0.1325).fit(method)


def test_the_summary_tells_spacing_and_delay():
    t, u, y = delayed(0.1325, "zoh")
    noisy = y + 0.1 * np.random.default_rng(4).standard_normal(len(t))
    fitted = sf.DerivativeRegression(noisy, t, u, delay=0.1325).fit("output_error")
    text = str(fitted.summary())
    assert "irregular" not in text
    assert "Inputs act 0.1325 later than they are recorded." in text
    # Neighbouring observations are compared, though there are nodes between them: white residuals to 3 / sqrt(n).
    assert 0 < abs(fitted.diagnostics["lag-one correlation"]) < 3 / np.sqrt(len(t))


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")  # the truth has another delay than most
@pytest.mark.parametrize("options", [{"delay": 0.2}, {"delay": 0.1325}, {"lags": 3}, {"lags": (-2, 1)}])
def test_predictions_after_the_end_know_inputs_that_have_yet_to_act(options):
    t, u, y = delayed(0.2, "zoh")
    u = u.copy()
    u[-2:] = -u[-3]
    noisy = y + 0.05 * np.random.default_rng(5).standard_normal(len(t))
    fitted = sf.DerivativeRegression(noisy, t, u, **options).fit("output_error")
    ahead = t[-1] + H * np.arange(1, 9)
    held_on = fitted.forecast(ahead, np.full(8, u[-1]))
    np.testing.assert_allclose(fitted.predict(ahead), held_on["mean"], atol=1e-10)
    np.testing.assert_allclose(fitted.curve().predict(ahead), held_on["mean"], atol=1e-10)
    np.testing.assert_allclose(fitted.predict(ahead[[2, 0]] - H / 3)[0], fitted.predict(ahead[2] - H / 3), atol=1e-10)


def test_a_state_that_is_not_estimated_is_asked_for():
    t, u, y = delayed(0.2, "zoh")
    fitted = sf.DerivativeRegression(y, t, u, delay=0.2).fit("output_error")
    with pytest.raises(DataError, match="initial is missing: delays or lags leave out the first rows"):
        fitted.simulate(u, t)


def test_rows_are_rows_where_inputs_change_between_them():
    t, u, y = delayed(0.1325, "zoh")
    fitted = sf.DerivativeRegression(y, t, u, delay=0.1325).fit("output_error")
    kept = t >= 0.1325
    assert len(fitted.fittedvalues) == len(fitted.states()) == len(fitted.resid) == kept.sum()
    np.testing.assert_allclose(fitted.fittedvalues, y[kept], atol=1e-7)
    np.testing.assert_allclose(fitted.states().index, t[kept])
    np.testing.assert_allclose(fitted.simulate(), y[kept], atol=1e-7)


def test_a_response_begins_where_the_input_acts_but_for_rounding():
    t, u, y = delayed(0.15, "zoh")
    fitted = sf.DerivativeRegression(y, t, u, delay=3 * H).fit("output_error")
    np.testing.assert_allclose(fitted.impulse_response([0.15, 3 * H])["mean"], 2.0, rtol=1e-7)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
def test_many_short_runs_do_not_pay_for_their_first_readings():
    rng = np.random.default_rng(6)
    runs, n = 40, 8
    t, groups = np.tile(np.arange(n) * 0.1, runs), np.repeat(np.arange(runs), n)
    phase, size = rng.uniform(0, 2 * np.pi, runs), rng.uniform(1, 3, runs)
    y = np.repeat(size, n) * np.cos(2 * t + np.repeat(phase, n)) + 0.3 * rng.standard_normal(runs * n)
    first, second = (sf.DerivativeRegression(y, t, groups=groups, order=m, intercept=False).fit() for m in (1, 2))
    assert second.aic < first.aic - 20
