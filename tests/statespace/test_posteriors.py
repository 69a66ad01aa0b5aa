"""Posteriors under every prior against an oracle in fifty digits: curves, integrals, coefficients, likelihoods; and draws."""

import pickle
from decimal import Decimal

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError

from .oracle import CASES, MEAN, VARIANCE, Oracle, Process, matern, observed, readings_of, together

pri = sf.priors


SLOW = {"wiener4", "matern72", "iou3", "seasonal", "sum"}  # matrices of fifty digits


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in CASES])
def test_values_slopes_integrals_and_likelihood(case, seed):
    prior, process = CASES[case]
    x, y, deriv, sd = readings_of(prior.smoothness, seed)
    obs = observed(x, y, deriv, sd)
    order = np.argsort(deriv, kind="stable")
    res = sf.SmoothingSpline(obs, prior=prior).fit()
    oracle = Oracle(
        process, [(x[i], int(deriv[i])) for i in order], y[order], [Decimal(s) ** 2 for s in sd[order]], start=x.min() - 1
    )
    # The law at the first x is the stationary or diffuse one wherever that is: also where the oracle starts before.
    places = np.unique(np.concatenate([x, x[:-1] + np.diff(x) / 3, [x.min() - 1, x.max() + 1]]))
    for k in range(min(prior.smoothness, 3) + 1):
        mean, variance = oracle.moments([(p, k) for p in places])
        found = res.get_prediction(places, deriv=k)
        assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
        np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    (integral,), (variance,) = oracle.moments([((x[2] + 0.01, x[-2]), "integral")])
    found = res.integrate(x[2] + 0.01, x[-2])
    assert abs(found - integral) / np.sqrt(variance) < MEAN
    assert found.se**2 == pytest.approx(variance, rel=VARIANCE)
    (difference,), (variance,) = oracle.moments([((x[2] + 0.01, x[-2]), "difference")])
    found = res.difference(x[2] + 0.01, x[-2])
    assert abs(found - difference) / np.sqrt(variance) < MEAN
    assert found.se**2 == pytest.approx(variance, rel=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10, rel=1e-12)
    full = sf.SmoothingSpline(obs, prior=prior).fit("ml")
    if not process.B.shape[1]:
        assert full.llf == pytest.approx(float(oracle.llf_full), abs=1e-10, rel=1e-12)


def kinds_of_readings(rng):
    """Overlapping integrals and means, differences that overlap, values; and the same for the oracle."""
    lower, length = rng.uniform(0, 4, 6), rng.uniform(0.2, 2, 6)
    upper = lower + length
    a, b = np.array([0.5, 1.0, 1.0, 3.0]), np.array([2.5, 1.7, 4.0, 5.0])
    x = np.array([0.0, 1.0, 2.2, 2.2, 6.0])
    sd = rng.uniform(0.05, 0.5, 15)
    y = rng.standard_normal(15)
    obs = sf.observe_integral(lower[:3], upper[:3], y[:3], sd=sd[:3])
    obs = obs + sf.observe_integral(lower[3:], upper[3:], y[3:6], mean=True, sd=sd[3:6])
    obs = obs + sf.observe_difference(a, b, y[6:10], sd=sd[6:10]) + sf.observe(x, y[10:], sd=sd[10:])
    readings = [((p, q), "integral") for p, q in zip(lower[:3], upper[:3], strict=True)]
    readings += [((p, q), "mean") for p, q in zip(lower[3:], upper[3:], strict=True)]
    readings += [((p, q), "difference") for p, q in zip(a, b, strict=True)] + [(p, 0) for p in x]
    return obs, readings, y, sd


@pytest.mark.parametrize(
    "case", ["wiener2", "matern32", "iou2", *(pytest.param(case, marks=pytest.mark.slow) for case in ("seasonal", "sum"))]
)
def test_overlapping_integrals_means_and_differences(case):
    prior, process = CASES[case]
    obs, readings, y, sd = kinds_of_readings(np.random.default_rng(3))
    res = sf.SmoothingSpline(obs, prior=prior).fit()
    oracle = Oracle(process, readings, y, [Decimal(s) ** 2 for s in sd])
    places = np.linspace(-0.5, 6.5, 9)
    mean, variance = oracle.moments([(p, 0) for p in places])
    found = res.get_prediction(places)
    assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
    np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10, rel=1e-12)
    fitted, variance = oracle.moments(readings)
    np.testing.assert_allclose(res.fittedvalues, fitted, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(res._leverage, variance / sd**2, rtol=1e-9)


def test_full_likelihood_takes_what_wanders_orthogonal_to_the_unknown_start():
    prior, process = CASES["iou2"]
    x, y, deriv, sd = readings_of(1, 5)
    res = sf.SmoothingSpline(observed(x, y, deriv, sd), prior=prior).fit("ml")
    order = np.argsort(deriv, kind="stable")
    oracle = Oracle(process, [(x[i], int(deriv[i])) for i in order], y[order], [Decimal(s) ** 2 for s in sd[order]])
    oracle.moments()
    assert res.llf == pytest.approx(float(oracle.llf_full), abs=1e-10)


def test_regressors_and_interventions_are_exactly_diffuse():
    rng = np.random.default_rng(1)
    prior, process = CASES["matern32"]
    x = np.sort(rng.uniform(0, 5, 14))
    w = rng.standard_normal(14)
    y, sd = rng.standard_normal(14), rng.uniform(0.1, 0.4, 14)
    obs = sf.observe(x, y, sd=sd)
    changes = [sf.Pulse(x[3]), sf.Level(2.0), sf.Slope(3.0)]
    res = sf.SmoothingSpline(obs, prior=prior, regressors={"w": w}, interventions=changes).fit()
    columns = np.column_stack([w, x == x[3], x >= 2.0, np.maximum(x - 3.0, 0)])
    oracle = Oracle(process, [(p, 0) for p in x], y, [Decimal(s) ** 2 for s in sd], regressors=columns)
    oracle.moments()
    np.testing.assert_allclose(res.params.to_numpy(), oracle.coef.astype(float), rtol=1e-10)
    np.testing.assert_allclose(res.cov_params().to_numpy(), oracle.coef_cov.astype(float), rtol=1e-9, atol=1e-12)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10)
    assert list(res.params.index) == ["w", f"pulse({x[3]:.10g})", "level(2)", "slope(3)"]
    test = res.t_test("w")
    assert float(test.tvalue.squeeze()) == pytest.approx(res.params["w"] / res.bse["w"], rel=1e-10)
    combined = res.t_test("level(2) = 1, w = 2 * slope(3)")
    rows = np.array([[0, 0, 1, 0], [1, 0, 0, -2]])
    errors = np.sqrt(np.diag(rows @ res.cov_params().to_numpy() @ rows.T))
    np.testing.assert_allclose(combined.tvalue.ravel(), (rows @ res.params.to_numpy() - [1, 0]) / errors, rtol=1e-10)
    # The curve includes what changes it, and not the regressor.
    total = sum(res.predict(x, component=name) for name in ["matern", "level(2)", "slope(3)", f"pulse({x[3]:.10g})"])
    np.testing.assert_allclose(res.predict(x), total, atol=1e-12)
    np.testing.assert_allclose(res.fittedvalues, total + res.params["w"] * w, atol=1e-12)


def test_noise_process_of_one_name():
    rng = np.random.default_rng(2)
    x, z = np.sort(rng.uniform(0, 5, 12)), np.sort(rng.uniform(0, 5, 10))
    y, sd = rng.standard_normal(22), rng.uniform(0.1, 0.4, 22)
    obs = sf.observe(x, y[:12], sd=sd[:12], name="a") + sf.observe(z, y[12:], sd=sd[12:], name="b")
    prior, process = CASES["wiener2"]
    res = sf.SmoothingSpline(obs, order=2, prior=prior, noise={"b": pri.OrnsteinUhlenbeck(0.7, 1.3)}).fit()

    class Both(Process):
        def row(self, deriv):  # 0 is f, 1 is f and the noise of b
            row = Process.row(self, 0)
            if deriv == 0:
                row[3:] = Decimal(0)
            return row

    whole = together(process, matern(0, 0.7, 1.3))
    whole.__class__ = Both
    oracle = Oracle(whole, [(p, 0) for p in x] + [(p, 1) for p in z], y, [Decimal(s) ** 2 for s in sd])
    places = np.linspace(0, 5, 7)
    mean, variance = oracle.moments([(p, 0) for p in places])
    found = res.get_prediction(places)
    assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
    np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10)


def test_leave_one_out_is_refitting():
    x, y, deriv, sd = readings_of(1, 9, n=16)
    prior = CASES["sum"][0]
    obs = observed(x, y, deriv, sd)
    res = sf.SmoothingSpline(obs, prior=prior).fit()
    order = np.argsort(deriv, kind="stable")
    for i in (0, 5, 15):
        keep = np.delete(order, i)
        rest = sf.SmoothingSpline(observed(x[keep], y[keep], deriv[keep], sd[keep]), prior=prior).fit()
        j = order[i]
        assert res.loo_resid[i] == pytest.approx(y[j] - rest.predict(x[j : j + 1], deriv=int(deriv[j]))[0], rel=1e-8)


@pytest.mark.parametrize("case", ["matern52", "oscillator", "sde"])
def test_stationary_priors_do_not_know_the_direction_of_time(case):
    prior = CASES[case][0]
    if case == "sde":
        prior = pri.LinearSDE([[0.0, 1.0], [-4.0, -0.5]], [0.0, 1.0], q=1.0)
    x, y, deriv, sd = readings_of(1, 10)
    res = sf.SmoothingSpline(observed(x, y, deriv, sd), prior=prior).fit()
    back = sf.SmoothingSpline(observed(-x, y * (-1.0) ** deriv, deriv, sd), prior=prior).fit()
    places = np.linspace(-1, 6, 15)
    np.testing.assert_allclose(res.predict(places), back.predict(-places), atol=1e-9)
    assert res.llf == pytest.approx(back.llf, abs=1e-10)


def test_draws_have_the_posterior_moments():
    x, y, deriv, sd = readings_of(1, 13)
    res = sf.SmoothingSpline(observed(x, y, deriv, sd), prior=CASES["sum"][0]).fit()
    places = np.linspace(-0.5, 5, 6)
    f, slope = res.sample(places, deriv=[0, 1], size=4000, rng=1)
    for draws, k in ((f, 0), (slope, 1)):
        found = res.get_prediction(places, deriv=k)
        assert np.abs((draws.mean(axis=0) - found.predicted_mean) / found.se_mean).max() < 4.5 / np.sqrt(4000)
        assert np.abs(draws.var(axis=0) / found.var_pred_mean - 1).max() < 4.5 * np.sqrt(2 / 4000)
    np.testing.assert_array_equal(res.sample(places, size=7, rng=3), res.sample(places, size=20, rng=3)[:7])


def test_results_pickle_and_print():
    x, y, deriv, _sd = readings_of(1, 14, n=30)
    obs = sf.observe(x[deriv == 0], y[deriv == 0])
    res = sf.SmoothingSpline(obs, prior=pri.Matern(1.5), interventions=[sf.Level(float(x[12]))]).fit()
    again = pickle.loads(pickle.dumps(res))
    assert np.array_equal(again.predict(x), res.predict(x))
    assert again.llf == res.llf
    assert "matern" in str(res.summary())
    assert "level" in str(res.summary())
    assert not np.isnan(res.bse["level(" + f"{x[12]:.10g})"])
    res.plot()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5]], [1.0]), "explode"),
        (([[0.0]], [1.0]), "no stationary law"),
        (([[-1.0, 0.0], [0.0, -2.0]], [1.0, 0.0]), "uncontrollable"),
        (([[-1.0, 0.0], [0.0, -2.0]], [1.0, 1.0]), "unobservable"),
        (([[-1.0, 0.0]], [1.0]), "square"),
    ],
)
def test_dynamics_that_are_no_prior(arguments, message):
    with pytest.raises(SpecificationError, match=message):
        pri.LinearSDE(*arguments)
