"""Few nodes against the many they stand for: averages of polynomials, and of functions that are none."""

import itertools

import numpy as np
import pytest

from smoothfit.inference.adaptive import sampled_nodes
from smoothfit.inference.compressed import MOST_POLYNOMIALS, compressed, degree_of
from smoothfit.inference.marginal import MOST_SAMPLED, fewer, resampled, significant
from smoothfit.inference.nodes import Density


def skewed(p):
    """Nodes of logarithms of gamma variables, mixed linearly."""
    mixing, shapes = np.eye(p) + 0.4 * np.tri(p, k=-1), 2.0 + np.arange(p)
    density = Density(
        lambda at: (shapes * (at @ mixing.T) - np.exp(at @ mixing.T)).sum(axis=1), np.full(p, -20.0), np.full(p, 20.0)
    )
    return significant(sampled_nodes(density, np.zeros(p)))


@pytest.mark.parametrize(("p", "degree", "count"), [(3, 6, 84), (4, 5, 126), (5, 4, 126)])
def test_averages_of_polynomials_are_kept(p, degree, count):
    assert degree_of(p) == degree
    nodes = skewed(p)
    kept, weights = compressed(nodes.theta, nodes.weights, degree)
    assert len(kept) <= count <= MOST_POLYNOMIALS
    assert (weights > 0).all()
    for powers in itertools.product(range(degree + 1), repeat=p):
        if sum(powers) <= degree:
            values = np.prod(nodes.theta**powers, axis=1)
            size = nodes.weights @ np.abs(values)
            assert abs(weights @ values[kept] - nodes.weights @ values) < 1e-10 * size


@pytest.mark.parametrize("p", [3, 4, 5])
def test_mixtures_are_nearer_than_those_of_a_sample(p):
    """Of normal laws whose means and SDs depend on theta, as those of a curve do: their densities, up to a factor."""
    nodes = skewed(p)
    to_mean, to_log_sd = np.array([0.5, -0.3, 0.2, 0.2, 0.1])[:p], np.array([0.25, 0.25, -0.25, 0.1, 0.1])[:p]

    def mixed(theta, weights):
        means, sds = np.tanh(theta @ to_mean), np.exp(theta @ to_log_sd)
        return weights @ np.exp(-(((np.linspace(-3, 3, 25) - means[:, None]) / sds[:, None]) ** 2))

    exact = mixed(nodes.theta, nodes.weights)
    kept, weights = resampled(nodes.theta, nodes.weights, MOST_SAMPLED)
    of_few, of_sample = (np.abs(mixed(*law) - exact).mean() for law in (fewer(*nodes[:2]), (nodes.theta[kept], weights)))
    assert of_few < 2e-3
    assert of_few < 0.7 * of_sample


def test_many_parameters_are_resampled():
    theta = np.random.default_rng(0).standard_normal((1000, 6))
    assert degree_of(6) is None
    found, weights = fewer(theta, np.full(1000, 1e-3))
    assert len(found) <= MOST_SAMPLED
    assert weights.sum() == pytest.approx(1, abs=1e-12)


def test_points_on_a_line_are_resampled():
    along = np.random.default_rng(0).standard_normal(1000)
    found, weights = fewer(np.stack([along, along, along], axis=1), np.full(1000, 1e-3))
    assert MOST_POLYNOMIALS < len(found) <= MOST_SAMPLED
    assert weights @ found[:, 0] == pytest.approx(along.mean(), abs=0.01)
