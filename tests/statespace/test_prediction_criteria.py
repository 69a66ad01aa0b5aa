"""GCV, AICc and degrees of freedom under priors that only the general engine has, against dense algebra."""

import numpy as np
import pytest
from scipy.optimize import minimize

import smoothfit as sf

from .dense import Dense, matern, wave

pri = sf.priors


@pytest.mark.parametrize("method", ["gcv", "aicc"])
def test_prediction_criteria_of_a_matern_process_are_minimal(method):
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(0, 10, 40))
    y = 5 + np.sin(x) + 0.3 * rng.standard_normal(40)

    def criterion(logs):
        length, ratio = np.exp(logs)
        dense = Dense(matern(x, x, length, ratio), np.ones((40, 1)), np.ones(40), y)
        n, free = 40, 40 - dense.edf
        penalty = -2 * np.log(free / n) if method == "gcv" else (2 * n - free) / (free - 2)
        return n * (np.log(dense.rss / n) + penalty)

    res = sf.SmoothingSpline(sf.observe(x, y), prior=pri.Matern(2.5) + pri.Polynomial(0)).fit(method)
    length, amplitude = res.fitted.posterior.hyperparameters.values()
    sigma = float(res.sigma["f"])
    here = criterion(np.log([length, amplitude / sigma]))
    best = minimize(criterion, np.log([length, amplitude / sigma]), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    assert here == pytest.approx(best.fun, abs=1e-8)
    assert all(criterion(start) > here for start in np.log([[0.3, 1.0], [1.0, 3.0], [4.0, 10.0], [10.0, 30.0]]))
    dense = Dense(matern(x, x, length, amplitude), np.ones((40, 1)), np.full(40, sigma**2), y)
    assert sigma**2 == pytest.approx(sigma**2 * dense.rss / (40 - dense.edf), rel=1e-9)
    assert res.bse.isna().tolist() == [False, True, True]


def with_a_period():
    x, y = wave(30)
    return sf.SmoothingSpline(sf.observe(x, y), 2, period=2 * np.pi)


def with_regressors_and_a_jump():
    x, y = wave(30)
    load = np.random.default_rng(1).standard_normal(30)
    jump = sf.Level(x[15])
    return sf.SmoothingSpline(sf.observe(x, y + load + (x >= x[15])), 2, regressors={"load": load}, interventions=[jump])


def of_integrals():
    x, y = wave(20)
    lower = np.arange(0.0, 6.0, 0.5)
    rng = np.random.default_rng(2)
    integrals = np.cos(lower) - np.cos(lower + 1) + 0.1 * rng.standard_normal(len(lower))
    return sf.SmoothingSpline(sf.observe(x, y, sd=0.1) + sf.observe_integral(lower, lower + 1, integrals, sd=0.1, name="I"), 3)


def with_covariances():
    x, y = wave(20)
    obs = sf.observe(x, y, name="f") + sf.observe(x, np.cos(x), deriv=1, name="slope")
    return sf.SmoothingSpline(obs, 3, covariances={("f", "slope"): [[0.01, 0.008], [0.008, 0.04]]})


@pytest.mark.parametrize("method", ["gcv", "aicc"])
@pytest.mark.parametrize("make", [with_a_period, with_regressors_and_a_jump, of_integrals, with_covariances])
def test_prediction_criteria_are_minimal_by_residuals_and_leverages(make, method):
    """At fixed smoothings around the optimum: residuals and leverages come from the smoother, the optimum from the filter."""
    model = make()
    res = model.fit(method)
    n, values, steps = res.nobs, [], np.array([-0.2, 0.0, 0.2])
    for step in steps:
        other = model.fit(lam=res.lam * np.exp(step))
        white = other.engine.specification.functionals
        rss = ((white.y - other.fitted.posterior._white[0]) ** 2 / (white.ratio * other.optimum.variance[white.group])).sum() * (
            other.scale / res.scale
        )
        penalty = -2 * np.log(other.df_resid / n) if method == "gcv" else (2 * n - other.df_resid) / (other.df_resid - 2)
        values.append(n * (np.log(rss / n) + penalty))
    curvature, slope = np.polyfit(steps, values, 2)[:2]
    assert curvature > 0
    assert abs(slope / (2 * curvature)) < 0.02  # the criterion is a parabola to a few per cent of the step
    assert res.edf == pytest.approx(model.fit(lam=res.lam).edf, rel=1e-6)


def test_edf_of_a_stationary_curve_acts_on_its_amplitude():
    x, y = wave(30)
    res = sf.SmoothingSpline(sf.observe(x, y), prior=pri.Matern(2.5, length_scale=1.0)).fit(edf=7.5)
    dense = Dense(
        matern(x, x, 1.0, res.fitted.posterior.hyperparameters["amplitude"]), np.zeros((30, 0)), np.full(30, res.scale), y
    )
    assert dense.edf == pytest.approx(7.5, rel=1e-8)
    assert dense.rss == pytest.approx(22.5, rel=1e-8)
    assert list(res.params.index) == ["sigma.f"]
