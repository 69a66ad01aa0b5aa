"""Adaptive importance sampling against densities whose moments and quantiles are known."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import digamma, gammaln, polygamma

from smoothfit.errors import IntegrationWarning, NumericalError
from smoothfit.inference.adaptive import HEAVIEST, MORE, adaptive_nodes, pareto_index, sampled_nodes
from smoothfit.inference.nodes import Density

from .test_nodes import log_gammas, moments, within


def quantiles(values, weights, probabilities):
    order = np.argsort(values)
    return np.interp(probabilities, np.cumsum(weights[order]) - weights[order] / 2, values[order])


@pytest.mark.parametrize("p", [3, 7])
def test_moments_of_skewed_densities(p):
    """From a first law that is three to ten sds away; 1000 effective points have errors of some 0.03 sds."""
    found, pareto = adaptive_nodes(within(log_gammas, p), np.full(p, 2.0), np.eye(p), 1000.0)
    unmixed = np.linalg.inv(np.eye(p) + 0.4 * np.tri(p, k=-1))
    shapes = 1.5 + np.arange(p)
    mean, cov = moments(found.theta, found.weights)
    sd = np.sqrt(np.diag(cov))
    assert 1 / np.sum(found.weights**2) >= 1000
    assert pareto < 0.7
    assert found.log_integral == pytest.approx(gammaln(shapes).sum(), abs=0.05 if p == 3 else 0.2)
    assert mean / sd == pytest.approx(unmixed @ digamma(shapes) / sd, abs=0.1)
    exact = unmixed @ np.diag(polygamma(1, shapes)) @ unmixed.T
    assert cov / np.outer(sd, sd) == pytest.approx(exact / np.outer(sd, sd), abs=0.15)


def funnel(points, sd=0.7):
    """The log width is normal of sd 0.7, so that widths differ by a factor of 16 within 95 %."""
    width = points[:, -1]
    return stats.norm.logpdf(width, scale=sd) + stats.norm.logpdf(points[:, :-1], scale=np.exp(width)[:, None]).sum(axis=1)


def test_a_funnel_has_its_neck_and_its_mouth():
    found, _ = adaptive_nodes(Density(funnel, np.full(4, -200.0), np.full(4, 200.0)), np.zeros(4), np.eye(4), 1000.0)
    ends = quantiles(found.theta[:, -1], found.weights, [0.025, 0.5, 0.975])
    np.testing.assert_allclose(ends, 0.7 * stats.norm.ppf([0.025, 0.5, 0.975]), atol=0.15 * 0.7 * 1.96)


def test_no_point_decides_an_end_of_an_interval():
    """Of 1600 points 634 were effective, but one had the weight 0.014, and an interval of +-3.4 ended at -2.0 and 3.5."""
    found = sampled_nodes(Density(funnel, np.full(3, -20.0), np.full(3, 20.0)), np.zeros(3))
    log_width, weights = np.polynomial.hermite_e.hermegauss(60)
    of_law = stats.norm(scale=np.exp(0.7 * log_width))
    exact = brentq(lambda x: of_law.cdf(x) @ weights / weights.sum() - 0.975, 0.0, 20.0)
    assert found.weights.max() <= HEAVIEST / MORE
    np.testing.assert_allclose(quantiles(found.theta[:, 0], found.weights, [0.025, 0.975]), [-exact, exact], rtol=0.1)


def test_a_point_that_decides_an_end_after_all_rounds_is_warned_of():
    """Widths differ by a factor of 360, and ends of +-9.8 came out as -5.7 and 3.8."""
    density = Density(lambda points: funnel(points, 1.5), np.full(5, -200.0), np.full(5, 200.0))
    with pytest.warns(IntegrationWarning, match="are effective, and one has a weight of 0.0.*; intervals may be too short"):
        sampled_nodes(density, np.zeros(5))


def test_a_density_that_cannot_be_computed_near_its_mode_is_refused():
    def normal(points, low, high):
        radius = np.linalg.norm(points, axis=1)
        return np.where((low < radius) & (radius < high), np.nan, -(radius**2) / 2)

    def nodes(low, high):
        limits = np.full(3, 50.0)
        return adaptive_nodes(Density(lambda points: normal(points, low, high), -limits, limits), np.zeros(3), np.eye(3), 300.0)

    with pytest.raises(NumericalError, match="near where it is high"):
        nodes(0.5, 1.0)
    with pytest.raises(NumericalError, match="positive at 0 of 512 points about the estimates, too few"):
        nodes(0.0, np.inf)
    far, whole = nodes(6.0, np.inf).nodes, nodes(np.inf, np.inf).nodes
    np.testing.assert_array_equal(far.weights > 1e-6, whole.weights > 1e-6)


@pytest.mark.parametrize("k", [0.3, 0.9])
def test_the_pareto_index_is_that_of_the_weights(k):
    weights = (np.arange(4000) + 0.5)[:, None] / 4000
    assert pareto_index(-k * np.log(weights[:, 0])) == pytest.approx(k, abs=0.15)
