"""Intervals integrate over the hyperparameters: against dense quadrature over theta, one theta at a time."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

import smoothfit as sf
from smoothfit.gp.dense import DenseLikelihood, DensePosterior
from smoothfit.gp.estimates import MOST_INTEGRATED
from smoothfit.inference.marginal import log_prior

AT = np.array([0.4, 1.7, 3.2])


def noisy(n=12, kernel=None, sd=None, route="auto"):
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(0, 3, n))
    return sf.GaussianProcess(x, np.sin(2 * x) + 0.1 * rng.standard_normal(n), kernel, sd=sd).fit(route=route)


def by_quadrature(res, entries, n_nodes=400):
    """Interval of each derivative at AT from even nodes of the only hyperparameter, by the loops of the dense route."""
    engine = res.engine
    rows, likelihood = engine.rows, DenseLikelihood(engine.rows, engine.kernel, engine.parameters)
    theta = np.linspace(engine.lower[0], engine.upper[0], n_nodes)[:, None]
    logs, means, sds = [], [], []
    for at in theta:
        values = engine.parameters.values(engine._whole(at[None])[0])
        posterior = DensePosterior(rows, engine.kernel, values, likelihood.factor(values))
        log_det, sse = posterior.log_det_and_quadratic
        misfit = engine.count * np.log(sse) if engine.relative else sse
        logs.append(log_prior(engine.information(at[None]), engine.count)[0] - (log_det + misfit) / 2)
        mean, cov = posterior.moments(rows.to_scaled(AT[:, None]), entries)
        scale2 = sse / engine.count if engine.relative else 1.0
        means.append(mean[:, 0])
        sds.append(np.sqrt(scale2 * cov[:, 0, 0]))
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    df = engine.count if engine.relative else np.inf
    unit = rows.y_unit / rows.x_unit[0] ** len(entries[0])
    origin = 0.0 if entries[0] else rows.y_origin

    def quantile(j, p):
        mean, sd = np.array(means)[:, j], np.array(sds)[:, j]
        return brentq(lambda q: weights @ stats.t.cdf((q - mean) / sd, df) - p, (mean - 90 * sd).min(), (mean + 90 * sd).max())

    return np.array([[quantile(j, p) for p in (0.025, 0.975)] for j in range(len(AT))]) * unit + origin


@pytest.mark.parametrize("deriv", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "sd"),
    [
        (sf.gp.SquaredExponential(length_scale=0.8), None),  # the ratio of noise to amplitude
        (sf.gp.SquaredExponential(amplitude=1.0), 0.1),  # the length scale
        (sf.gp.Matern52(length_scale=1.2), None),  # of a fit by the state-space route
    ],
)
def test_intervals_against_quadrature(kernel, sd, deriv):
    res = noisy(kernel=kernel, sd=sd)
    assert not res.parameter_posterior.is_single
    expected = by_quadrature(res, [(0,) * deriv])
    half = np.diff(expected)[:, 0] / 2
    prediction = res.get_prediction(AT, deriv)
    np.testing.assert_allclose((prediction.conf_int() - expected) / half[:, None], 0, atol=0.01)
    if deriv:
        np.testing.assert_allclose(res.predict_gradient(AT).conf_int()[:, 0], prediction.conf_int(), rtol=1e-12)


def test_two_inputs_agree_with_draws():
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 3, (15, 2))
    res = sf.GaussianProcess(X, np.sin(X[:, 0]) * np.cos(X[:, 1]) + 0.1 * rng.standard_normal(15)).fit()
    at = np.array([[1.0, 1.0], [2.0, 0.5]])
    draws = res.sample(at, [(1, 0), (0, 1)], size=20_000, rng=1)
    lower, upper = np.moveaxis(res.predict_gradient(at).conf_int(alpha=0.1), -1, 0)
    inside = (draws > lower.T[:, None]) & (draws < upper.T[:, None])
    np.testing.assert_allclose(inside.mean(axis=1), 0.9, atol=0.01)
    band = res.get_prediction(at, simultaneous=True).conf_int(alpha=0.1)
    together = res.sample(at, size=20_000, rng=3)
    assert ((together > band[:, 0]) & (together < band[:, 1])).all(axis=1).mean() == pytest.approx(0.9, abs=0.012)


def test_moments_of_the_integrated_posterior():
    res = noisy()
    one, other = res.get_prediction(AT, 1, parameters="integrated"), res.predict_gradient(AT, parameters="integrated")
    np.testing.assert_allclose(other.mean[:, 0], one.predicted_mean, rtol=1e-9)
    np.testing.assert_allclose(other.se[:, 0], one.se_mean, rtol=1e-7)
    joint = other.joint_covariance()[:, 0, :, 0]
    np.testing.assert_allclose(np.diag(joint), other.covariance[:, 0, 0], rtol=1e-7)
    plug_in = res.get_prediction(AT, 1)
    np.testing.assert_allclose(plug_in.predicted_mean, res.predict(AT, 1), rtol=1e-12)
    np.testing.assert_array_equal(plug_in.conf_int(), one.conf_int())


def test_integrals_have_the_interval_of_a_sum_of_draws():
    res = noisy()
    nodes, weights = np.polynomial.legendre.leggauss(12)
    found = res.integrate(0.5, 2.5)
    sums = res.sample(1.5 + nodes, size=20_000, rng=0) @ weights
    low, high = found.conf_int(alpha=0.1)
    assert ((sums > low) & (sums < high)).mean() == pytest.approx(0.9, abs=0.01)
    assert (-found).conf_int(alpha=0.1) == (-high, -low)
    assert res.integrate(2.5, 0.5).conf_int(alpha=0.1) == pytest.approx((-high, -low))


def test_given_hyperparameters_leave_normal_intervals():
    res = noisy(kernel=sf.gp.SquaredExponential(0.8, 1.0), sd=0.1)
    prediction = res.get_prediction(AT)
    assert res.parameter_posterior.is_single
    assert prediction.law is None
    half = stats.norm.isf(0.025) * prediction.se_mean
    np.testing.assert_allclose(np.diff(prediction.conf_int())[:, 0] / 2, half, rtol=1e-12)


def test_many_observations_are_not_integrated():
    res = noisy(n=MOST_INTEGRATED + 1, kernel=sf.gp.Matern52())
    assert res.route == "state_space"
    assert res.parameter_posterior.is_single
    assert len(res.hyperparameters) == 1
    prediction = res.get_prediction(AT)
    half = stats.t.isf(0.025, res.df_interval) * prediction.se_mean
    np.testing.assert_allclose(np.diff(prediction.conf_int())[:, 0] / 2, half, rtol=1e-12)


def test_hyperparameters_are_drawn():
    res = noisy()
    axes = res.plot_hyperparameters()
    assert [ax.get_xlabel() for ax in axes] == list(res.params.index)
