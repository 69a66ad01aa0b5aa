"""Quantiles by many nodes of a density, against those of gamma and normal laws."""

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.inference import refined
from smoothfit.inference.adaptive import sampled_nodes
from smoothfit.inference.lattice import lattice_nodes
from smoothfit.inference.marginal import MOST_SAMPLED, HyperparameterPosterior, log_density, resampled
from smoothfit.inference.nodes import Density, normalised
from smoothfit.inference.refined import carried, interpolated, many
from smoothfit.results.parameters import quantile_of_parameter

TAILS = (0.025, 0.5, 0.975)


def within(function, p, reach=20.0):
    return Density(function, np.full(p, -reach), np.full(p, reach))


def quantiles(theta, weights, i):
    """Of the logarithm of a parameter that is the exponential of an entry of theta."""
    nodes = HyperparameterPosterior(theta, weights, np.ones(len(theta)), np.inf, False)
    return np.log([quantile_of_parameter(nodes, np.exp(theta[:, i]), 0.0, tail) for tail in TAILS])


def error(found, exact):
    """Largest difference, in half-widths."""
    return np.max(np.abs(found - exact)) / ((exact[2] - exact[0]) / 2)


def log_gammas(shapes):
    """Of correlated logarithms of gamma variables, the first of which varies least, across the axis that nodes are drawn along."""
    mixing = np.eye(len(shapes)) + 0.4 * np.tri(len(shapes), k=-1)
    return within(lambda points: (shapes * (points @ mixing.T) - np.exp(points @ mixing.T)).sum(axis=1), len(shapes))


@pytest.mark.parametrize("p", [3, 4])
def test_quantiles_of_skewed_and_correlated_variables(p):
    shapes = np.array([8.0, 4.0, 3.0, 3.0])[:p]
    density = log_gammas(shapes)
    sampled = sampled_nodes(density, np.zeros(p))
    exact = np.log(stats.gamma(shapes[0]).ppf(TAILS))
    theta, weights = many(density, sampled)
    kept, weights_kept = resampled(sampled.theta, sampled.weights, MOST_SAMPLED)
    assert error(quantiles(sampled.theta[kept], weights_kept, 0), exact) > 0.05
    assert error(quantiles(theta, weights, 0), exact) < 0.02


def test_an_interpolant_takes_some_of_many_points(monkeypatch):
    density, most, counts = log_gammas(np.array([8.0, 4.0, 3.0])), 200, []

    def counted(known, *arguments):
        counts.append(len(known))
        return interpolated(known, *arguments)

    monkeypatch.setattr(refined, "MOST_KNOWN", most)
    monkeypatch.setattr(refined, "interpolated", counted)
    theta, weights = many(density, sampled_nodes(density, np.zeros(3)))
    assert most / 2 < counts[0] <= most
    assert error(quantiles(theta, weights, 0), np.log(stats.gamma(8.0).ppf(TAILS))) < 0.02


@pytest.mark.parametrize("p", [1, 2])
def test_quantiles_of_lattices_do_not_depend_on_steps(p):
    sd = np.array([0.3, 1.4])[:p]
    density = within(lambda points: -np.sum((points / sd) ** 2, axis=1) / 2, p)
    lattice = lattice_nodes(density, np.zeros(p))
    theta, weights = many(density, lattice)
    for i in range(p):
        exact = stats.norm(scale=sd[i]).ppf(TAILS)
        assert error(quantiles(lattice.theta, lattice.weights, i), exact) > 0.03
        assert error(quantiles(theta, weights, i), exact) < 0.005


def test_lattices_turned_against_a_bound_leave_no_gap_there():
    """A gamma law cut at its quantile of 0.9, beside another parameter that depends on it."""
    law, density = stats.gamma(8.0), log_gammas(np.array([8.0, 3.0]))
    density.upper[0] = np.log(law.ppf(0.9))
    lattice = lattice_nodes(density, np.zeros(2))
    theta, weights = many(density, lattice)
    exact = np.log(law.ppf(0.9 * np.array(TAILS)))
    assert error(quantiles(lattice.theta, lattice.weights, 0), exact) > 0.02
    assert error(quantiles(theta, weights, 0), exact) < 0.01


def test_quantiles_of_a_density_that_is_high_at_a_bound():
    """An exponential law from a bound on, beside a normal law whose mean depends on it."""
    lower, upper = np.array([-9.0, -30.0]), np.array([40.0, 30.0])
    density = Density(lambda at: -3 * (at[:, 0] + 9) - (at[:, 1] - at[:, 0]) ** 2 / 2, lower, upper)
    lattice = lattice_nodes(density, lower)
    theta, weights = many(density, lattice)
    exact = stats.expon(scale=1 / 3).ppf(TAILS) - 9
    assert error(quantiles(lattice.theta, lattice.weights, 0), exact) > 0.1
    assert error(quantiles(theta, weights, 0), exact) < 0.01


@pytest.mark.parametrize("n", [10, 25, 60])
def test_intervals_of_an_sd_and_an_intensity_are_those_of_400_nodes(n):
    """Of a straight line, whose roughness is nearly zero: its law at a node is narrow beside the steps between nodes."""
    rng = np.random.default_rng([n, 2])
    x = np.sort(rng.uniform(0, 1, n))
    res = sf.SmoothingSpline(sf.observe(x, 2 * x + 0.3 * rng.standard_normal(n), name="f")).fit()
    engine, found = res.engine, res.parameter_posterior.found
    theta = np.linspace(found.theta.min() - 2, min(found.theta.max() + 2, engine.upper[0]), 400)[:, None]
    weights = normalised(log_density(engine, theta))
    sse = engine.terms(theta).sse.value / engine.count
    dense = HyperparameterPosterior(theta, weights, sse, float(engine.count), False)
    ratio = float(res._at_nodes["q"][0][0] / np.exp(res.parameter_posterior.theta[0, 0]))
    sd = float(res._at_nodes["sigma.f"][0][0])
    ends = res.conf_int()
    for name, values, power in (("sigma.f", np.full(400, sd), 1), ("q", ratio * np.exp(theta[:, 0]), 2)):
        exact = np.log([quantile_of_parameter(dense, values, power, tail) for tail in TAILS])
        assert error(np.log([ends.loc[name].iloc[0], np.exp(exact[1]), ends.loc[name].iloc[1]]), exact) < 0.001


def test_rough_densities_keep_their_nodes():
    density = within(lambda points: -np.sum(points**2, axis=1) / 2 + np.sin(40 * points[:, 0]), 3)
    sampled = sampled_nodes(density, np.zeros(3))
    theta, _ = many(density, sampled)
    assert len(theta) <= len(sampled.theta)


def test_densities_with_narrow_maxima_far_apart_keep_their_nodes():
    density = within(lambda points: -((np.abs(points[:, 0]) - 15) ** 2) / 2 / 0.01**2, 1)
    lattice = lattice_nodes(density, np.array([15.0]))
    theta, _ = many(density, lattice)
    assert len(theta) <= len(lattice.theta)


def test_values_are_carried_from_some_of_many_nodes(monkeypatch):
    """Interpolation costs the third power of the number of nodes; of what is linear in theta any of them are enough."""
    density, counts = within(lambda points: -np.sum(points**2, axis=1) / 2, 2), []

    def counted(known, *arguments):
        counts.append(len(known))
        return interpolated(known, *arguments)

    monkeypatch.setattr(refined, "MOST_KNOWN", 100)
    monkeypatch.setattr(refined, "interpolated", counted)
    lattice = lattice_nodes(density, np.zeros(2))
    nodes = HyperparameterPosterior(lattice.theta, lattice.weights, np.ones(len(lattice.theta)), np.inf, False)
    asked = np.random.default_rng(0).standard_normal((50, 2))
    fine = HyperparameterPosterior(asked, np.full(50, 1 / 50), np.ones(50), np.inf, False)
    values = np.column_stack([1 + nodes.theta @ [2.0, -3.0], np.exp(nodes.theta[:, 0])])
    found = carried(nodes, fine, values, np.array([False, True]))
    np.testing.assert_allclose(found, np.column_stack([1 + asked @ [2.0, -3.0], np.exp(asked[:, 0])]), rtol=1e-9, atol=1e-9)
    assert 50 <= counts[0] <= 100 < len(nodes.theta)
