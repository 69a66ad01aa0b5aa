"""The smoothed output as a fitted curve."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.dynamics.fit import Fit
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.dynamics.results import DynamicsResults
from smoothfit.errors import BiasWarning, DataError, SpecificationError
from smoothfit.results import CurvePrediction, CurveResults

GRID = np.linspace(0.0, 5.9, 13)


@pytest.fixture(scope="module", params=["kalman", "output_error"])
def swing(request):
    """A damped oscillation with observations of position and velocity, some missing."""
    rng = np.random.default_rng(4)
    t = np.linspace(0, 6, 90)
    position, velocity = np.exp(-t / 4) * np.cos(2 * t), -np.exp(-t / 4) * (np.cos(2 * t) / 4 + 2 * np.sin(2 * t))
    if request.param == "kalman":
        position = position + np.cumsum(rng.standard_normal(90)) * 0.03
    obs = sf.observe(t, position + 0.1 * rng.standard_normal(90), name="position") + sf.observe(
        t[::2], velocity[::2] + 0.2 * rng.standard_normal(45), deriv=1, name="velocity"
    )
    return sf.DerivativeRegression(obs, order=2, intercept=False).fit(request.param)


def test_it_is_a_curve_with_the_results_own_predictions(swing):
    curve = swing.curve()
    assert isinstance(curve, CurveResults)
    assert curve.nobs == 135
    assert list(curve.observations.names) == ["position", "velocity"]
    for deriv in (0, 1):
        ours, theirs = curve.get_prediction(GRID, deriv), swing.get_prediction(GRID, deriv)
        assert isinstance(ours, CurvePrediction)
        np.testing.assert_array_equal(ours.predicted_mean, theirs.predicted_mean)
        np.testing.assert_array_equal(ours.se_mean, theirs.se_mean)
        assert ours.noise_sd == theirs.noise_sd
        np.testing.assert_array_equal(curve.predict(GRID, deriv), ours.predicted_mean)
    frame = curve.get_prediction(GRID).summary_frame(alpha=0.1)
    assert {"mean", "mean_se", "mean_ci_lower", "obs_ci_upper"} <= set(frame.columns)
    np.testing.assert_allclose(curve.fittedvalues[:90], curve.predict(np.linspace(0, 6, 90)), rtol=1e-9, atol=1e-12)
    assert list(curve.params.index) == list(swing.params.index) == list(curve.conf_int().index) == list(curve.bse.index)
    assert (curve.llf, curve.aic, curve.bic) == pytest.approx((swing.llf, swing.aic, swing.bic), rel=1e-12)
    with pytest.raises(SpecificationError, match="deriv"):
        curve.get_prediction(GRID, 2)
    with pytest.raises(SpecificationError, match="not a spline; use predict"):
        curve.spline()


def test_leave_one_out_residuals_are_those_of_fits_without(swing):
    curve = swing.curve()
    sample = swing.model.sample
    for row, channel, place in ((0, 0, 0), (40, 0, 40), (20, 1, 100)):  # of velocity, every second node is read
        y = sample.y.copy()
        y[row, channel] = np.nan
        mean = swing.smoother.states(sample.with_readings(y))[0]
        assert curve.loo_resid[place] == pytest.approx(sample.y[row, channel] - mean[row, channel], rel=1e-6, abs=1e-8)
    if swing.method == "output_error":  # the initial state is all that is free
        assert curve.edf == pytest.approx(2, rel=1e-9)
    else:
        assert 2 < curve.edf < 135
    assert curve.resid_standardized.std() == pytest.approx(1, abs=0.2)


def test_draws_have_the_posterior_as_their_distribution(swing):
    curve = swing.curve()
    for drawn, predicted in (("fixed", "estimated"), ("integrated", "integrated")):
        draws = curve.sample(GRID, deriv=[0, 1], size=1500, rng=0, parameters=drawn)
        assert draws.shape == (2, 1500, 13)
        for deriv in (0, 1):
            prediction = curve.get_prediction(GRID, deriv, parameters=predicted)
            error = (draws[deriv].mean(axis=0) - prediction.predicted_mean) / prediction.se_mean
            assert np.abs(error).max() < 4.5 / np.sqrt(1500)
            np.testing.assert_allclose(draws[deriv].std(axis=0), prediction.se_mean, rtol=4.5 / np.sqrt(2 * 1500))
    np.testing.assert_array_equal(curve.sample(GRID, size=3, rng=1), curve.sample(GRID, size=5, rng=1)[:3])


def test_integrals_are_those_of_the_mean_and_know_their_error(swing):
    curve = swing.curve()
    found = curve.integrate(0.7, 4.1)
    edges = np.concatenate([[0.7], swing.model.sample.t[11:61], [4.1]])  # the curve is smooth between samples
    (nodes, weights), half = np.polynomial.legendre.leggauss(10), np.diff(edges)[:, None] / 2
    values = curve.predict((edges[:-1, None] + half * (1 + nodes)).ravel()).reshape(len(half), -1)
    assert (half > 0).all()
    assert found == pytest.approx(np.sum(half * weights * values), abs=1e-7)
    grid = np.linspace(0.7, 4.1, 200)
    draws = np.trapezoid(curve.sample(grid, size=1500, rng=2, parameters="fixed"), grid, axis=1)
    assert found.se == pytest.approx(draws.std(), rel=0.09)
    draws = np.trapezoid(curve.sample(grid, size=1500, rng=2), grid, axis=1)
    low, high = found.conf_int()
    assert np.mean((low < draws) & (draws < high)) == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 1500))
    assert curve.integrate(4.1, 0.7) == pytest.approx(-found, abs=1e-8)


def test_simultaneous_bands_roots_and_pictures(swing):
    curve = swing.curve()
    pointwise, together = curve.get_prediction(GRID), curve.get_prediction(GRID, simultaneous=True)
    ratio = np.diff(together.conf_int(), axis=1) / np.diff(pointwise.conf_int(), axis=1)
    assert ((ratio > 1.1) & (ratio < 2)).all()
    roots = curve.roots()
    assert len(roots) == 4
    np.testing.assert_allclose(np.abs(curve.predict(roots["x"].to_numpy())), 0, atol=1e-7)
    assert set(curve.extrema()["kind"]) == {"maximum", "minimum"}
    assert curve.plot().get_lines()
    assert curve.plot(deriv=1).get_lines()
    assert len(curve.plot_diagnostics()) == 6
    again = pickle.loads(pickle.dumps(curve))
    np.testing.assert_array_equal(again.predict(GRID), curve.predict(GRID))
    assert "Derivative Regression" in str(curve.summary())


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_outputs_and_runs_have_curves_of_their_own(noisy):
    t, u, y = noisy
    pair = pd.DataFrame({"a": y, "b": y[::-1]})
    res = sf.DerivativeRegression(pair, t, u, groups=np.where(t < 10, "early", "late")).fit(method="output_error")
    late = res.curve("b", "late")
    np.testing.assert_array_equal(late.observations.y, y[::-1][200:])
    np.testing.assert_allclose(late.fittedvalues, np.asarray(res.fittedvalues)[200:, 1], rtol=1e-12)
    np.testing.assert_allclose(late.predict([12.3]), res.predict([12.3], output="b", run="late"), rtol=1e-12)
    with pytest.raises(SpecificationError, match="outputs are a, b"):
        res.curve("c")
    with pytest.raises(SpecificationError, match="groups are 'early', 'late'"):
        res.curve("a", "never")


def test_times_are_those_of_the_readings(noisy):
    _, u, y = noisy
    when = pd.Timestamp("2026-03-01") + pd.to_timedelta(np.arange(400), unit="min")
    res = sf.DerivativeRegression(y, when, u, unit="h", groups=np.arange(400) >= 100).fit()
    curve = res.curve(run=True)
    assert curve.observations.abscissa.unit == "h"
    np.testing.assert_allclose(curve.predict(when[150:160]), res.predict(when[150:160], run=True), rtol=1e-12)
    np.testing.assert_allclose(curve.fittedvalues, res.fittedvalues[100:], rtol=1e-12)


def test_before_the_first_reading_inputs_are_not_known(noisy):
    t, u, y = noisy
    driven = sf.DerivativeRegression(y, t, u).fit().curve()
    with pytest.raises(DataError, match="no input is known there"):
        driven.predict([-1.0])
    with pytest.warns(BiasWarning, match="residuals are correlated"):  # the input that is left out
        free = sf.DerivativeRegression(y[:60], t[:60]).fit("output_error").curve()
    a, c = free.results.coefficients
    value = free.predict([0.0])[0]
    assert free.predict([-1.0])[0] == pytest.approx(np.exp(-a) * (value + c / a) - c / a, rel=1e-8)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
def test_integrals_need_room_for_the_state():
    rng = np.random.default_rng(0)
    t = np.arange(60) * 0.1
    y = np.column_stack([np.exp(-t), 2 * np.exp(-t / 2)]) + 0.01 * rng.standard_normal((60, 2))
    four = sf.DerivativeRegression(y, t).fit("output_error")
    assert four.curve("y2").integrate(0, 2) == pytest.approx(4 * (1 - np.exp(-1)), abs=0.05)
    third = sf.DerivativeRegression(y, t, order=3, derivatives=(0,), intercept=False)
    found = replace(four.fitted, theta=np.array([-1.0, 0, 0, -1]))
    six = DynamicsResults(Fit(third, "output_error", {}, found, "nonrobust", np.eye(6)))
    with pytest.raises(SpecificationError, match="state of at most 4"):
        six.curve().integrate(0, 1)
    exact = sf.DerivativeRegression(np.exp(-t), t).fit("output_error")
    assert exact.curve().integrate(0, 1) == pytest.approx(1 - np.exp(-1), rel=1e-9)


def test_equations_with_terms_have_no_smoothed_curve():
    t = np.arange(60) * 0.1
    res = sf.DerivativeRegression(np.exp(-t), t, terms={"square": lambda y, t: y[0] ** 2}).fit("output_error")
    with pytest.raises(SpecificationError, match="square"):
        res.curve()


@pytest.mark.parametrize("method", ["kalman", "output_error"])
def test_left_out_readings_are_predicted_at_the_estimates(method):
    rng = np.random.default_rng(4)
    t = np.arange(40) * 0.1
    y = np.exp(-t) + 0.05 * rng.standard_normal(40)
    res = sf.DerivativeRegression(y, t, intercept=False).fit(method)
    sample, values = res.model.sample, res.smoother.estimate
    space = StateSpace(res.model.equation, sample)
    sigma2, left_out = values.sigma2[space.unknown], []
    for i in range(len(t)):
        without = sample.with_readings(np.where(np.arange(len(t))[:, None] == i, np.nan, sample.y))
        mean, _ = StateSpace(res.model.equation, without).smooth(values.theta, values.q, sigma2)
        left_out.append(y[i] - mean[i, 0])
    np.testing.assert_allclose(res.loo_resid, left_out, rtol=1e-7, atol=1e-10)
    base = space.smooth(values.theta, values.q, sigma2)[0][:, 0]
    moved = [
        space_of(res, sample.y + row[:, None]).smooth(values.theta, values.q, sigma2)[0][:, 0] - base for row in np.eye(len(t))
    ]
    assert res.edf == pytest.approx(np.trace(np.array(moved)), rel=1e-8)
    assert res.curve().edf == pytest.approx(res.edf, rel=1e-12)
    np.testing.assert_allclose(res.curve().loo_resid, res.loo_resid, rtol=1e-12)


def space_of(res, y):
    return StateSpace(res.model.equation, res.model.sample.with_readings(y))


def test_results_and_their_curves_draw_and_integrate_alike():
    t = np.arange(60) * 0.1
    y = np.column_stack([np.exp(-t), np.exp(-2 * t)]) + 0.01 * np.random.default_rng(0).standard_normal((60, 2))
    res = sf.DerivativeRegression(y, t).fit("output_error")
    curve, at = res.curve("y1"), [0.5, 2.0]
    for parameters in ("integrated", "fixed"):
        theirs = curve.sample(at, size=5, rng=3, parameters=parameters)
        np.testing.assert_array_equal(res.sample(at, 0, 5, rng=3, output="y1", parameters=parameters), theirs)
    assert res.integrate(0, 2, output="y1") == curve.integrate(0, 2)
    band = res.get_prediction(at, output="y1", simultaneous=True)
    np.testing.assert_array_equal(band.conf_int(), curve.get_prediction(at, simultaneous=True).conf_int())
