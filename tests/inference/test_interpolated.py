"""A prior density that is interpolated between information matrices."""

import pickle

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.gp.engine import DenseEngine
from smoothfit.inference import marginal
from smoothfit.inference.interpolated import CUT, ERROR, InterpolatedPrior, KnownPoints
from smoothfit.inference.refined import refined
from smoothfit.markov import priors as pri
from smoothfit.statespace import markov_engine
from smoothfit.statespace.markov_engine import MarkovEngine


def bend(theta):
    """A log prior of sizes: it rises and falls with slopes up to one."""
    return -np.logaddexp(0, theta).sum(axis=1) / 2 + np.logaddexp(0, -theta @ np.ones(theta.shape[1]))


@pytest.mark.parametrize("p", [2, 3])
def test_few_points_are_computed_and_the_others_are_right(p):
    asked = []

    def exact(theta, log_likelihood):
        asked.append(theta)
        return bend(theta)

    theta = np.random.default_rng(p).standard_normal((600, p)) * np.array([0.3, 1.5, 2.0])[:p]
    log_likelihood = -((theta / np.array([0.3, 1.5, 2.0])[:p]) ** 2).sum(axis=1) / 2
    prior = InterpolatedPrior(exact, KnownPoints(p))
    found = prior(theta, log_likelihood)
    matter = log_likelihood + bend(theta) > (log_likelihood + bend(theta)).max() - CUT
    assert len(np.concatenate(asked)) < 200
    assert np.abs(found - bend(theta))[matter].max() < 6 * ERROR
    assert np.sqrt(np.mean((found - bend(theta))[matter] ** 2)) < ERROR
    n_asked = len(np.concatenate(asked))
    np.testing.assert_allclose(prior(theta[:50], log_likelihood[:50]), found[:50], atol=6 * ERROR)
    np.testing.assert_allclose(prior(asked[0], np.zeros(len(asked[0]))), bend(asked[0]), atol=1e-9)
    assert len(np.concatenate(asked)) <= n_asked + 12


def test_a_point_without_a_density_is_no_part_of_the_interpolant():
    def exact(theta, log_likelihood):
        return np.where(theta[:, 0] > 0.9, -np.inf, np.where(theta[:, 1] > 0.9, np.nan, theta.sum(axis=1)))

    theta = np.random.default_rng(0).uniform(size=(60, 2))
    found = InterpolatedPrior(exact, KnownPoints(2))(theta, np.zeros(60))
    assert np.abs(found - theta.sum(axis=1))[(theta < 0.9).all(axis=1)].max() < 1e-9


def quarterly():
    t, rng = np.arange(48.0), np.random.default_rng(1)
    y = np.cumsum(0.4 * rng.standard_normal(48)) + np.tile([1.0, 0.0, -0.5, -0.5], 12) + 0.5 * rng.standard_normal(48)
    return sf.SmoothingSpline(sf.observe(t, y), prior=pri.IntegratedWiener(1) + pri.Seasonal(4)).fit()


def hundred():
    x, rng = np.linspace(0, 10, 100), np.random.default_rng(1)
    return sf.GaussianProcess(x, np.sin(x) + 0.3 * rng.standard_normal(100), sf.gp.SquaredExponential()).fit()


@pytest.mark.parametrize(("fit", "engine"), [(quarterly, MarkovEngine), (hundred, DenseEngine)])
def test_intervals_are_those_of_all_matrices(fit, engine, monkeypatch):
    counts, information = [], engine.information
    monkeypatch.setattr(markov_engine, "MANY", 0)

    def counted(self, theta):
        counts.append(len(theta))
        return information(self, theta)

    monkeypatch.setattr(engine, "information", counted)
    few = fit().conf_int().to_numpy()
    n_few = sum(counts)
    monkeypatch.setattr(engine, "has_slow_prior", False)
    counts.clear()
    all_of_them = fit().conf_int().to_numpy()
    assert n_few < sum(counts) / 2
    assert (2 * np.abs(few - all_of_them) / np.diff(all_of_them)).max() < 0.01


def two_penalties():
    x, rng = np.linspace(0, 1, 60), np.random.default_rng(2)
    penalty = sf.DerivativePenalty(1) + sf.DerivativePenalty(3)
    obs = sf.observe(x, np.sin(5 * x) + 0.2 * rng.standard_normal(60))
    return sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 12), penalty).fit()


@pytest.mark.parametrize("fit", [quarterly, two_penalties])
def test_a_slope_bounds_the_prior_and_the_highest_point_is_found_by_few_matrices(fit, monkeypatch):
    monkeypatch.setattr(markov_engine, "MANY", 0)
    engine = fit().engine
    assert engine.has_slow_prior
    assert engine.is_linear
    theta = engine.lower + np.random.default_rng(3).uniform(size=(200, len(engine.lower))) * (engine.upper - engine.lower)
    likelihood = marginal.log_likelihood(engine, theta)
    exact = marginal.prior_of(engine)(theta, likelihood)
    assert (marginal._sharper(engine, theta) >= exact - 1e-9).all()
    asked = []

    def counted(theta, log_likelihood):
        asked.append(theta)
        return marginal.prior_of(engine)(theta, log_likelihood)

    found = marginal.highest_density(engine, theta, counted)
    best = np.argmax(likelihood + exact)
    assert np.argmax(found) == best
    assert found[best] == pytest.approx(likelihood[best] + exact[best], abs=1e-9)
    assert len(np.concatenate(asked)) <= 16


def test_refined_nodes_take_few_more_matrices(monkeypatch):
    """They interpolate the prior between the points at which the integration computed it."""
    monkeypatch.setattr(markov_engine, "MANY", 0)
    res, counts, information = quarterly(), [], MarkovEngine.information
    known = res.parameter_posterior.known
    before = known.points.copy()
    monkeypatch.setattr(MarkovEngine, "information", lambda self, theta: counts.append(len(theta)) or information(self, theta))
    refined(res.engine, res.parameter_posterior)
    assert sum(counts) <= 16
    np.testing.assert_array_equal(known.points, before)
    copied = pickle.loads(pickle.dumps(res.parameter_posterior)).known
    np.testing.assert_array_equal(copied.guess(res.theta_hat[None]), known.guess(res.theta_hat[None]))


def test_the_slope_of_the_reference_follows_from_the_others():
    res = quarterly()
    engine = res.engine
    whole = engine._whole(res.theta_hat)[0]
    sums = engine.specification.sums(*engine.specification.split(whole), "reml", slopes=True)
    log_det, sse = engine._scores(whole[None])[:, 0]
    np.testing.assert_allclose(log_det, sums.log_det, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sse, sums.sse, rtol=1e-9, atol=1e-12)


def test_rounding_does_not_choose_the_points():
    """Of a symmetric stencil many distances are equal: a shift, as of the unit of x, changes their last digits only."""
    unit = np.vstack([np.zeros((1, 3)), np.eye(3), -np.eye(3), [[1, 1, 0], [1, 0, 1], [0, 1, 1]]])
    theta = np.concatenate([0.5 * unit + centre for centre in np.random.default_rng(0).uniform(-3, 3, (6, 3))])
    found = []
    for shift in (0.0, np.log(3.0), -7.1):
        prior = InterpolatedPrior(lambda theta, _, shift=shift: np.sin(2 * (theta - shift)).sum(axis=1), KnownPoints(3))
        prior(theta + shift, np.zeros(len(theta)))
        found.append(prior.known.points - shift)
    for points in found[1:]:
        np.testing.assert_allclose(points, found[0], rtol=1e-12, atol=1e-12)
