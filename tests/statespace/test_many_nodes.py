"""Intervals of many curves, parameters integrated out, against those of single fits and dense quadrature."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.inference.marginal import HyperparameterPosterior, log_density
from smoothfit.observations.abscissa import Points
from smoothfit.results.mixtures import Mixture, mixture
from smoothfit.statespace import batch_nodes
from smoothfit.statespace.batch_nodes import gauss_rule
from smoothfit.statespace.functionals import CurveFunctionals

GRID = np.linspace(-0.1, 1.1, 13)
SHAPES = [
    lambda x: np.sin(6 * x),
    np.ones_like,
    lambda x: 4 * np.abs(x - 0.5),
    lambda x: 2 * x,
    lambda x: 1 / (1 + np.exp(60 - 120 * x)),
]
ENDS = ["mean_ci_lower", "mean_ci_upper"]
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")


def curves(n_curves, seed=0, low=10, high=101):
    rng, parts = np.random.default_rng(seed), []
    for i in range(n_curves):
        x = np.sort(rng.uniform(0, 1, int(rng.integers(low, high))))
        y = SHAPES[i % len(SHAPES)](x) + 0.3 * rng.standard_normal(len(x))
        parts.append(pd.DataFrame({"id": i, "x": x, "y": y}))
    return pd.concat(parts)


def fitted(data, order, sd=None, **options):
    return sf.fit_curves(data, by="id", x="x", readings={"y": 0}, order=order, sd=sd, progress=False, **options)


def distance(ends, reference):
    """Largest distance of ends (n, 2) in half-widths."""
    return np.max(np.abs(ends - reference) / (np.ptp(reference, axis=1)[:, None] / 2))


@pytest.mark.parametrize("sd", [None, {"y": 0.3}])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_intervals_are_those_of_single_fits(order, sd):
    data = curves(20, order)
    fits = fitted(data, order, sd)
    assert len(fits._fitted.side_by_side.batch) >= 18
    for deriv in range(order):
        frame = fits.predict(GRID, deriv)
        assert (frame["mean_ci_lower"] < frame["mean_ci_upper"]).all()
        found = []
        for curve, part in frame.groupby("id"):
            reference = fits[curve].get_prediction(GRID, deriv)
            np.testing.assert_allclose(part["mean_se"], reference.se_mean, rtol=1e-6)
            found.append(distance(part[ENDS].to_numpy(), reference.conf_int()))
        assert max(found) < (0.025 if deriv == 0 else 0.03)
        assert np.median(found) < 0.005


@pytest.mark.parametrize("order", [2, 3])
def test_intervals_are_those_of_dense_quadrature(order):
    """With 400 nodes of the posterior of a single fit, evaluated without any search, over all that is possible."""
    fits, found = fitted(curves(10, 11 + order), order), []
    for deriv in range(order):
        frame = fits.predict(GRID, deriv)
        for curve, part in frame.groupby("id"):
            fit = fits[curve].fitted
            theta = np.linspace(fit.engine.lower[0], fit.engine.upper[0], 400)[:, None]
            log = log_density(fit.engine, theta)
            theta, log = theta[log > log.max() - 12], log[log > log.max() - 12]
            weights = np.exp(log - log.max())
            scale2 = fit.engine.terms(theta).sse.value / fit.engine.count
            dense = HyperparameterPosterior(theta, weights / weights.sum(), scale2, float(fit.engine.count), False)
            law = mixture(dense, fit.engine.moments(theta, CurveFunctionals(Points(GRID), (deriv,))))
            found.append(distance(part[ENDS].to_numpy(), law.interval()))
    assert np.quantile(found, 0.9) < 0.005
    assert max(found) < 0.0125


def test_curves_at_a_boundary_and_other_levels():
    data = curves(20, 3, 10, 20)
    fits = fitted(data, 2)
    at_boundary = fits.params.index[fits.params["boundary"] == "q"]
    assert len(at_boundary) > 3
    frame = fits.predict(GRID, alpha=0.3)
    for curve in at_boundary:
        reference = fits[curve].get_prediction(GRID)
        mine = frame.loc[frame["id"] == curve, ENDS].to_numpy()
        assert distance(mine, reference.conf_int(alpha=0.3)) < 0.02
        plug_in = 2 * stats.t.isf(0.15, reference.df) * reference.se_mean
        assert np.ptp(mine, axis=1).max() > 1.1 * plug_in.min()


def test_nodes_have_the_moments_of_the_posterior():
    fits = fitted(curves(6, 5, 40, 80), 2)
    nodes = fits._nodes
    np.testing.assert_allclose(nodes.weights.sum(axis=1), 1, rtol=1e-12)
    for i, curve in enumerate(fits):
        res = fits[curve]
        posterior, scale = res.parameter_posterior, res.fitted.posterior.rows.scale
        units = np.log(fits._fitted.side_by_side.batch.x_unit[i] ** -3 * scale.x_unit**3)
        rho = np.log(nodes.q[i]) + units
        sd = np.sqrt(posterior.cov[0, 0])
        assert abs(nodes.weights[i] @ rho - posterior.mean[0]) < 0.02 * sd
        mean = nodes.weights[i] @ rho
        assert abs(np.sqrt(nodes.weights[i] @ (rho - mean) ** 2) / sd - 1) < 0.05  # rules are exact for another variable


def test_long_curves_have_narrow_posteriors_that_are_resolved():
    x = np.linspace(0, 1, 4000)
    y = np.sin(20 * x) + 0.3 * np.random.default_rng(0).standard_normal(4000)
    fits = fitted(pd.DataFrame({"id": "a", "x": x, "y": y}), 1)
    reference = fits["a"].get_prediction(GRID).conf_int()
    assert distance(fits.predict(GRID)[ENDS].to_numpy(), reference) < 0.02
    nodes = fits._nodes
    assert np.sqrt(nodes.weights[0] @ np.log(nodes.q[0] / fits["a"].optimum.q * fits["a"].optimum.sigma2[0]) ** 2) < 0.5


def test_gauss_rules_integrate_polynomials():
    rng = np.random.default_rng(0)
    points, weights = np.sort(rng.uniform(-3, 5, (4, 30)), axis=1), rng.dirichlet(np.ones(30), 4)
    nodes, found = gauss_rule(points, weights, 5)
    for power in range(10):
        np.testing.assert_allclose((found * nodes**power).sum(axis=1), (weights * points**power).sum(axis=1), rtol=1e-10)


def test_mixtures_take_weights_by_point():
    rng = np.random.default_rng(0)
    mean, scale2, weights = rng.standard_normal((3, 40)), rng.random((3, 40)) + 0.1, rng.dirichlet(np.ones(3), 40).T
    for df in (np.inf, 5.0):
        ends = Mixture(mean, scale2, weights, df).interval(0.1)
        for j in range(40):
            alone = Mixture(mean[:, j : j + 1], scale2[:, j : j + 1], weights[:, j], df)
            np.testing.assert_array_equal(ends[j], alone.interval(0.1)[0])


def test_shared_parameters_are_taken_for_known():
    fits = fitted(curves(10, 2), 2, smoothing="shared")
    frame, reference = fits.predict(GRID), fits[3].get_prediction(GRID).conf_int()
    np.testing.assert_allclose(frame.loc[frame["id"] == 3, ENDS], reference, rtol=1e-6)


def test_a_curve_whose_lattice_shows_nothing_is_predicted_by_itself(monkeypatch):
    plain = batch_nodes._log_density

    def log_density(batch, which, *options):
        density, u = plain(batch, which, *options)
        density[which == 2] = -np.inf
        return density, u

    monkeypatch.setattr(batch_nodes, "_log_density", log_density)
    fits = fitted(curves(5, 7), 2)
    frame = fits.predict(GRID)
    np.testing.assert_array_equal(np.isnan(fits._nodes.weights).all(axis=1), np.arange(5) == 2)
    np.testing.assert_array_equal(frame.loc[frame["id"] == 2, ENDS], fits[2].get_prediction(GRID).conf_int())


def test_as_many_places_as_fix_a_polynomial_show_no_smoothing():
    x, y = np.repeat([0.0, 1.0, 2.0], [3, 3, 1]), np.array([0.1, -0.1, 0.0, 1.0, 1.1, 0.9, 2.5])
    with pytest.raises(sf.errors.DataError, match="at 3 different x, which fix a polynomial at order 3"):
        sf.SmoothingSpline(sf.observe(x, y), order=3).fit()
    assert sf.SmoothingSpline(sf.observe(x, y), order=3).fit(lam=1.0).predict([1.0]) == pytest.approx(1.0, abs=1e-9)
    data = pd.concat([curves(1, low=20), pd.DataFrame({"id": "few", "x": x, "y": y})])
    fits = fitted(data, 3)
    assert list(fits.failures.index) == ["few"]
    assert np.isfinite(fits.predict(GRID)[ENDS]).all(axis=None)
