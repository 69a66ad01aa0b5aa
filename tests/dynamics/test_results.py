"""What results of an equation can do."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from scipy.signal import StateSpace, lsim
from statsmodels.iolib.summary import Summary

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.behaviour import _of_normal_rate
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import BiasWarning, DataError, SpecificationError
from smoothfit.results import CurvePrediction, Estimate

METHODS = ("kalman", "arx", "armax", "integral", "weak", "fourier", "whittle", "profile", "iv", "output_error", "difference")


@pytest.fixture(scope="module", params=METHODS)
def results(request, noisy):
    t, u, y = noisy
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sf.DerivativeRegression(pd.Series(y, name="level"), pd.Series(t, name="time"), pd.Series(u, name="flow")).fit(
            request.param
        )


@pytest.fixture(scope="module")
def best(noisy):
    t, u, y = noisy
    return sf.DerivativeRegression(y, t, u).fit()


def test_parameters_and_their_uncertainty_share_an_index(results):
    index = list(results.params.index)
    assert index[:3] == ["level", "flow", "const"]
    for other in (results.bse, results.tvalues, results.pvalues, results.conf_int(), results.cov_params()):
        assert list(other.index) == index
    assert (results.bse.iloc[:3] > 0).all()
    interval, wider = results.conf_int(), results.conf_int(alpha=0.01)
    known = results.bse.notna()
    assert (interval.loc[known, 0] < results.params[known]).all()
    assert (results.params[known] < interval.loc[known, 1]).all()
    assert (wider.loc[known, 0] < interval.loc[known, 0]).all()
    assert results.nobs == 400
    assert results.df_resid > 0


def test_summary_states_the_equation_and_its_noise(results):
    summary = results.summary()
    assert isinstance(summary, Summary)
    text = summary.as_text()
    for words in ("D(level) = ", "Noise assumed:", "Poles:", "Diagnostics:", results.method, "No. Observations:", "400"):
        assert words in text
    assert "<table" in summary.as_html()
    assert "tabular" in summary.as_latex()


def test_time_constant_and_gain_follow_from_the_coefficients(results):
    a, b = results.coefficients[:2]
    constant = results.time_constant()
    assert isinstance(constant, Estimate)
    assert constant == pytest.approx(-1 / a, rel=1e-12)
    assert constant.se == pytest.approx(results.bse.iloc[0] / a**2, rel=1e-6)
    gain = results.gain().loc["flow"]
    assert gain["gain"] == pytest.approx(-b / a, rel=1e-12)
    J = np.array([b / a**2, -1 / a])
    cov = results.cov_params().to_numpy()[:2, :2]
    assert gain["se"] == pytest.approx(np.sqrt(J @ cov @ J), rel=1e-6)
    z = 1.959963984540054
    for level in results.gain(method="fieller").loc["flow", ["lower", "upper"]].tolist():
        # on the edge of Fieller's set, b + r a is as far from zero as its standard error allows
        pair = np.array([level, 1.0])
        if results._integrates:
            assert float(np.squeeze(results.t_test(f"flow + {level!r} * level").pvalue)) == pytest.approx(0.05, abs=0.02)
            continue
        assert (b + level * a) ** 2 == pytest.approx(z**2 * pair @ cov @ pair, rel=1e-9)
    settled = results.steady_state([1.0])
    c = results.coefficients[2]
    assert settled == pytest.approx(-(b + c) / a, rel=1e-12)
    cov = results.cov_params().to_numpy()[:3, :3]
    for level in settled.conf_int():
        whole = np.array([level, 1.0, 1.0])
        if results._integrates:
            text = f"flow + const + {level!r} * level"
            assert float(np.squeeze(results.t_test(text).pvalue)) == pytest.approx(0.05, abs=0.02)
            continue
        assert (b + c + level * a) ** 2 == pytest.approx(z**2 * whole @ cov @ whole, rel=1e-6)


def test_intervals_of_time_constants_are_those_of_rates_turned_over(results):
    low, high = results.conf_int(0.1).loc["level"]
    constant, half = results.time_constant(), results.half_life()
    np.testing.assert_allclose(constant.conf_int(0.1), [-1 / low, -1 / high], rtol=1e-6)
    assert half == pytest.approx(np.log(2) * constant, rel=1e-14)
    assert half.se == pytest.approx(np.log(2) * constant.se, rel=1e-14)
    np.testing.assert_allclose(half.conf_int(0.1), np.log(2) * np.array(constant.conf_int(0.1)), rtol=1e-14)
    again = pickle.loads(pickle.dumps(half))
    assert again.conf_int(0.1) == half.conf_int(0.1)


@pytest.mark.parametrize(
    ("rate", "ends"), [(-1.0, (0.5, np.inf)), (1.0, (-np.inf, -0.5)), (-2.0, (1 / 3, 1.0)), (2.0, (-1.0, -1 / 3))]
)
def test_time_constants_of_rates_that_may_be_zero_reach_to_infinity(rate, ends):
    # A standard error of 1 / z gives rates of rate - 1 to rate + 1.
    np.testing.assert_allclose(_of_normal_rate(rate, 1 / 1.959963984540054, 0.05), ends, rtol=1e-12)


def test_gains_of_coupled_outputs_invert_a_test_too():
    rng = np.random.default_rng(3)
    t = np.arange(300) * 0.1
    u = np.repeat(rng.choice([-1.0, 1.0], 30), 10)
    x = np.zeros((300, 2))
    for k in range(299):
        x[k + 1] = x[k] + 0.1 * (np.array([[-1.0, 0.4], [0.3, -0.8]]) @ x[k] + np.array([1.0, 0.5]) * u[k])
    res = sf.DerivativeRegression(x + 0.05 * rng.standard_normal((300, 2)), t, u, intercept=False).fit("output_error")
    exact, delta = res.gain(), res.gain("delta")
    np.testing.assert_allclose(exact["gain"], delta["gain"])
    assert list(exact["kind"]) == ["interval", "interval"]
    # Both intervals are the same to second order: up to z^2 cv se, with cv of the determinant some 0.06.
    np.testing.assert_allclose(exact["lower"], delta["lower"], atol=0.3 * delta["se"].max())
    np.testing.assert_allclose(exact["upper"], delta["upper"], atol=0.3 * delta["se"].max())
    # By hand: (det A) r + adj(A) b is as far from zero as its standard error, by differences, allows.
    theta, cov = res.coefficients, res.cov_params().to_numpy()[:6, :6]

    def statistic(theta, level):
        (a, b, c), (d, e, f) = theta.reshape(2, 3)
        return (a * e - b * d) * level + e * c - b * f

    level = exact["lower"].iloc[0]
    slope = [(statistic(theta + s, level) - statistic(theta - s, level)) / 2e-6 for s in 1e-6 * np.eye(6)]
    assert statistic(theta, level) ** 2 == pytest.approx(1.959963984540054**2 * np.array(slope) @ cov @ slope, rel=1e-4)


def test_fieller_sets_may_be_unbounded():
    kinds = [response.fieller(1.0, d, np.diag([0.01, 0.04]), 0.05).kind for d in (2.0, 0.1)]
    assert kinds == ["interval", "unbounded"]
    assert response.fieller(0.01, 0.01, np.eye(2), 0.05).kind == "all"


def test_smoothed_state_and_forecast_have_bands(results):
    states = results.states()
    assert len(states) == 400
    assert (states["se(level)"] >= 0).all()
    prediction = results.get_prediction([0.0, 3.33, 19.95])
    assert isinstance(prediction, CurvePrediction)
    np.testing.assert_allclose(prediction.predicted_mean[[0, 2]], states["level"].iloc[[0, -1]], rtol=1e-9, atol=1e-12)
    future = 20 + 0.05 * np.arange(40)
    forecast = results.forecast(future, np.ones(40))
    assert list(forecast.columns[:2]) == ["mean", "mean_se"]
    assert forecast["mean_se"].iloc[-1] >= forecast["mean_se"].iloc[0] * (0 if results.q[0] == 0 else 1)
    a, b, c = results.coefficients
    h = 0.05
    step = np.exp(a * h) * forecast["mean"].to_numpy()[:-1] + np.expm1(a * h) / a * (b + c)
    np.testing.assert_allclose(forecast["mean"].to_numpy()[1:], step, rtol=1e-9)


def test_a_fresh_process_unpickles_every_bit(best, tmp_path):
    numbers = [best.params.to_numpy(), best.bse.to_numpy(), best.predict([1.0, 2.5])]
    (tmp_path / "results.pickle").write_bytes(pickle.dumps(best))
    script = textwrap.dedent(
        f"""
        import pickle
        with open({str(tmp_path / "results.pickle")!r}, "rb") as file:
            results = pickle.load(file)
        numbers = [results.params.to_numpy(), results.bse.to_numpy(), results.predict([1.0, 2.5])]
        results.summary()
        with open({str(tmp_path / "numbers.pickle")!r}, "wb") as file:
            pickle.dump(numbers, file)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(p for p in sys.path if p)}, cwd=tmp_path)
    for ours, theirs in zip(numbers, pickle.loads((tmp_path / "numbers.pickle").read_bytes()), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["robust", "HC1", "HAC"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_every_method_has_robust_covariances(results, kind):
    if results.method == "iv" and kind != "HAC":  # its rows are correlated
        with pytest.raises(SpecificationError, match="treats rows as independent"):
            results.model.fit("iv", cov_type=kind)
        return
    other = results.model.fit(results.method, cov_type=kind)
    assert other.cov_type == kind
    np.testing.assert_array_equal(other.params, results.params)
    ratio = other.bse.iloc[:3] / results.bse.iloc[:3]
    least = 0.1 if results.method == "integral" and kind != "HAC" else 0.2  # its own allow for process noise, which correlates rows
    assert ((ratio > least) & (ratio < 5)).all()


def test_information_criteria_count_every_reading(best):
    y = best.model.sample.y[:, 0]
    first = np.log(2 * np.pi * y.var()) + 1  # the one that fixes the initial state, as any of them
    assert best.aic == pytest.approx(-2 * best.llf + first + 2 * 5, rel=1e-13)
    assert best.bic == pytest.approx(-2 * best.llf + first + np.log(len(y)) * 5, rel=1e-13)


@pytest.mark.parametrize("method", ["kalman", "armax", "whittle", "output_error", "arx"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
def test_orders_are_compared_in_any_unit(method):
    rng = np.random.default_rng(8)
    t = np.arange(500) * 0.05
    u = np.repeat(rng.choice([-1.0, 1.0], 50), 10)
    equation = Equation(2, ("y",), (0, 1), ("u",))
    y = response.simulate(equation, np.array([-4.0, -0.8, 3.0, 0.5]), t, u[:, None], np.zeros(2))[:, 0]
    y = y + 0.05 * rng.standard_normal(500)
    gains = []
    for unit in (1.0, 1e6, 1e-6):
        first, second = (sf.DerivativeRegression(unit * y, t, u, order=order).fit(method) for order in (1, 2))
        gains.append(first.aic - second.aic)
    np.testing.assert_allclose(gains, gains[0], atol=1e-3)
    assert gains[0] > 10


def test_robust_covariances_are_near_where_the_model_is_right(best):
    for kind, options in (("robust", {}), ("HAC", {"maxlags": 5})):
        other = best.model.fit(cov_type=kind, cov_kwds=options)
        assert other.cov_type == kind
        np.testing.assert_allclose(other.bse, best.bse, rtol=0.35)


def test_scores_of_the_readings_add_up_to_the_score(best):
    np.testing.assert_allclose(best.fitted.row_scores().scores.sum(axis=0) * best.bse, 0, atol=1e-3)


def test_tests_of_the_noises_find_both(best):
    table = best.test_noise()
    assert list(table.index) == ["q = 0", "sigma = 0"]
    assert (table["pvalue"] == 1 / 400).all()  # no one of 399 simulated ratios is as large
    assert 0 < best.diagnostics["noise fraction"] < 1
    assert best.diagnostics["Ljung-Box p"] > 0.001


def test_responses_are_those_of_the_linear_system():
    rng = np.random.default_rng(0)
    t, u = np.arange(300) * 0.05, np.repeat(rng.standard_normal(30), 10)
    from smoothfit.dynamics.specification import Equation

    equation = Equation(2, ("y",), (0, 1), ("u",))
    y = response.simulate(equation, np.array([-4.0, -1.0, 2.0, 0.5]), t, u[:, None], np.zeros(2))[:, 0]
    res = sf.DerivativeRegression(y + 0.01 * rng.standard_normal(300), t, u, order=2).fit("output_error")
    a0, a1, b, _c = res.coefficients
    system = StateSpace([[0, 1], [a0, a1]], [[0], [b]], [[1, 0]], [[0]])
    grid = np.linspace(0, 10, 101)
    step = res.step_response(grid)
    np.testing.assert_allclose(step["mean"], lsim(system, np.ones(101), grid)[1], atol=1e-10)
    impulse = res.impulse_response(grid)
    np.testing.assert_allclose(np.gradient(step["mean"], grid)[5:-5], impulse["mean"][5:-5], atol=0.01)
    np.testing.assert_allclose(step["mean"].iloc[-1], res.gain().loc["u", "gain"], atol=0.03)
    assert (step["se"].iloc[1:] > 0).all()
    assert step["se"].iloc[0] == 0
    poles = res.poles()
    np.testing.assert_allclose(poles.sum(), a1, rtol=1e-12)
    np.testing.assert_allclose((poles[0] * poles[1]).real, -a0, rtol=1e-12)
    np.testing.assert_allclose(res.natural_frequency, np.sqrt(-a0), rtol=1e-12)
    np.testing.assert_allclose(res.damping, -a1 / 2 / np.sqrt(-a0), rtol=1e-12)
    np.testing.assert_allclose(res.simulate(initial=[0, 0]), res.simulate(u, t, [0, 0]), rtol=1e-14)
    np.testing.assert_allclose(res.get_prediction([1.0, 2.0], deriv=1).predicted_mean, res.predict([1.0, 2.0], deriv=1))
    with pytest.raises(SpecificationError, match="deriv"):
        res.predict([1.0], deriv=2)


def test_forecast_intervals_cover_what_comes():
    rng = np.random.default_rng(3)
    from smoothfit.dynamics.specification import Equation

    equation = Equation(1, ("y",), (0,), ("u",))
    inside = []
    t = np.arange(160) * 0.1
    for _ in range(20):
        u = np.repeat(rng.standard_normal(16), 10)
        y = response.simulate(equation, np.array([-1.0, 1.0, 0.0]), t, u[:, None], np.zeros(1), np.array([0.2]), rng)[:, 0]
        y = y + 0.1 * rng.standard_normal(160)
        res = sf.DerivativeRegression(y[:140], t[:140], u[:140]).fit()
        frame = res.forecast(t[140:], u[140:])
        inside.append(((frame["obs_ci_lower"] < y[140:]) & (y[140:] < frame["obs_ci_upper"])).mean())
    assert 0.85 < np.mean(inside) <= 1


def test_coherence_is_high_where_the_input_drives(best):
    table = best.coherence()
    assert table["coherence"].iloc[:5].max() > 2 * table["level"].iloc[0]
    assert ((table["coherence"] >= 0) & (table["coherence"] <= 1)).all()
    assert (table["coherence"] > table["level"]).mean() < 0.5


@pytest.mark.parametrize("kind", ["parametric", "block"])
def test_bootstrap_spreads_as_the_standard_errors_say(kind):
    rng = np.random.default_rng(5)
    t = np.arange(200) * 0.05
    y = 2 * np.exp(-t) + 0.05 * rng.standard_normal(200)
    res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
    boot = res.bootstrap(40, kind, rng=1)
    assert boot.n_failed == 0
    assert boot.bse["y"] == pytest.approx(res.bse["y"], rel=0.5)
    interval = boot.conf_int()
    assert interval.loc["y", 0] < res.params["y"] < interval.loc["y", 1]
    again = res.bootstrap(40, kind, rng=1, n_jobs=2)
    pd.testing.assert_frame_equal(boot.params, again.params)


def test_comparison_lays_methods_side_by_side(best):
    comparison = best.compare()
    assert next(iter(comparison.results)) == "kalman"
    assert comparison.results["kalman"] is best
    assert "arimax" in comparison.refused
    assert {"difference", "arx"} <= set(comparison.advice)
    table = comparison.table
    assert table.loc[("y", "kalman"), "estimate"] == best.params["y"]
    assert "both process and measurement noise are present" in comparison.why
    assert comparison.why in " ".join(str(comparison).split())
    assert len(comparison.plot()) == 3
    only = sf.compare_methods(best.model, methods=["arx", "kalman"])
    assert list(only.results) == ["arx", "kalman"]


def test_pictures(best):
    assert [ax.get_ylabel() for ax in best.plot()[:-1]] == ["y", *best.model.equation.inputs]
    ax = best.plot_step_response(np.linspace(0, 5, 50))
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), best.step_response(np.linspace(0, 5, 50))["mean"])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: r.gain(method="exact"), SpecificationError, "fieller"),
        (lambda r: r.conf_int(alpha=2), SpecificationError, "alpha"),
        (lambda r: r.step_response([-1.0]), DataError, r"t\[0\] is negative"),
        (lambda r: r.forecast([5.0], [1.0]), DataError, "end of the run"),
        (lambda r: r.forecast([25.0]), DataError, "u is missing"),
        (lambda r: r.predict([-5.0]), DataError, "before the run"),
        (lambda r: r.predict([1.0], output="z"), SpecificationError, "outputs are y"),
        (lambda r: r.predict([1.0], run="b"), SpecificationError, "groups are"),
        (lambda r: r.bootstrap(10, "wild"), SpecificationError, "parametric"),
        (lambda r: r.coherence("z"), SpecificationError, "inputs are u"),
        (lambda r: r.steady_state([1.0, 2.0]), DataError, "2 entries for 1 inputs"),
        (lambda r: r.simulate(initial=[1.0, 2.0]), DataError, "initial has 2 entries"),
    ],
)
def test_bad_requests_are_refused_with_the_way_out(best, call, error, words):
    with pytest.raises(error, match=words):
        call(best)


def test_modes_have_errors_by_the_delta_method():
    rng = np.random.default_rng(5)
    t = np.arange(600) * 0.05
    y = np.exp(-0.2 * t) * np.cos(2 * t) + 0.05 * rng.standard_normal(600)
    res = sf.DerivativeRegression(y, t, order=2, intercept=False).fit("output_error")
    a0, a1 = res.coefficients
    modes = res.modes().loc[0]
    # s^2 - a1 s - a0: rate a1 / 2, |pole|^2 = -a0, damping -a1 / (2 sqrt(-a0)).
    cov = res.cov_params().iloc[:2, :2].to_numpy()
    frequency = np.sqrt(-a0 - a1**2 / 4)
    closed = {
        "rate": (a1 / 2, [0, 0.5]),
        "frequency": (frequency, [-0.5 / frequency, -a1 / (4 * frequency)]),
        "natural_frequency": (np.sqrt(-a0), [-0.5 / np.sqrt(-a0), 0]),
        "damping": (-a1 / (2 * np.sqrt(-a0)), [-a1 / (4 * (-a0) ** 1.5), -0.5 / np.sqrt(-a0)]),
    }
    for name, (value, slopes) in closed.items():
        assert modes[name] == pytest.approx(value, rel=1e-9)
        assert modes[f"se({name})"] == pytest.approx(np.sqrt(slopes @ cov @ slopes), rel=1e-5)
    assert res.poles()[0].real == pytest.approx(modes["rate"])


def test_every_column_of_readings_has_its_diagnostics():
    rng = np.random.default_rng(6)
    t = np.arange(400) * 0.1
    u = np.repeat(rng.choice([-1.0, 1.0], 40), 10)
    first = response.simulate(Equation(1, ("y",), (0,), ("u",)), np.array([-1.0, 1.0, 0.0]), t, u[:, None], np.zeros(1))[:, 0]
    second = response.simulate(
        Equation(1, ("y",), (0,), ("u",)), np.array([-0.5, 1.0, 0.0]), t, u[:, None], np.zeros(1), np.array([0.2]), rng
    )[:, 0]
    y = np.column_stack([first, second]) + 0.05 * rng.standard_normal((400, 2))
    with pytest.warns(BiasWarning, match="but its residuals of b are correlated"):
        res = sf.DerivativeRegression(pd.DataFrame(y, columns=["a", "b"]), t, u).fit("output_error")
    assert abs(res.diagnostics["lag-one correlation a"]) < 0.5 < res.diagnostics["lag-one correlation b"]
    assert res.diagnostics["Ljung-Box p b"] < 1e-6


@pytest.mark.parametrize("method", ["arx", "difference"])
def test_noise_within_an_equation_of_order_two_is_no_white_noise_of_its_samples(method):
    rng = np.random.default_rng(7)
    t = np.arange(3000) * 0.1
    u = np.repeat(rng.choice([-1.0, 1.0], 300), 10)
    equation = Equation(2, ("y",), (0, 1), ("u",))
    y = response.simulate(equation, np.array([-2.0, -0.8, 1.0, 0.3]), t, u[:, None], np.zeros(2), np.array([0.3]), rng)[:, 0]
    with pytest.warns(BiasWarning, match='process noise of order 2 .* use method="kalman"'):
        sf.DerivativeRegression(y, t, u, order=2).fit(method)


def test_an_equation_without_inputs_is_solved_at_any_times():
    t = np.arange(60) * 0.1
    res = sf.DerivativeRegression(np.exp(-t), t, intercept=False).fit("output_error")
    np.testing.assert_allclose(res.simulate(t=[0.0, 0.5, 9.0]), np.exp([0.0, -0.5, -9.0]), rtol=1e-8)
