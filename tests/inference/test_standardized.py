"""Coordinates in which a funnel is straight, against a funnel whose laws are known."""

import numpy as np
import pytest
from scipy import stats

from smoothfit.inference.nodes import Density, sampled_nodes
from smoothfit.inference.standardized import standardized

TILT = np.array([[1.0, 0.0], [0.7, 0.4]])
SPREAD = 2.0  # standard deviation of phi


def middle(phi):
    return np.stack([0.2 * np.sin(phi), 0.02 * phi**2], axis=-1)


def width(phi):
    """From a neck of 0.1 to a mouth: at the 95 % limits of phi 0.12 and 55."""
    return 0.1 + np.exp(phi)


def funnel(points):
    """phi is normal, and a given phi normal about a curve, with SDs that grow."""
    phi = points[:, 2]
    z = np.linalg.solve(TILT, (points[:, :2] - middle(phi)).T).T / width(phi)[:, None]
    return -(z**2).sum(axis=1) / 2 - 2 * np.log(width(phi)) - (phi / SPREAD) ** 2 / 2


@pytest.fixture
def density():
    far = np.array([1e4, 1e4, 12.0])
    return Density(funnel, -far, far)


@pytest.fixture
def coordinates(density):
    return standardized(density, np.array([0.3, 0.1, 0.4]))


def test_modes_and_factors_are_those_of_the_law_given_phi(coordinates):
    z = np.array([[0.3, -1.2], [2.0, 0.4], [0.0, 0.0]])
    phi = coordinates.knots[[2, -3, len(coordinates.knots) // 2]]
    off = (coordinates.theta(np.column_stack([z, phi]))[:, :2] - middle(phi)) / width(phi)[:, None] - z @ TILT.T
    # a climb ends where Newton's decrement is below 0.02, that is within 0.14 SDs; differences are exact for a parabola
    np.testing.assert_allclose(np.linalg.solve(TILT, off.T), 0, atol=0.14)


def test_knots_reach_as_far_as_the_density(coordinates):
    assert coordinates.knots[0] < -4 * SPREAD
    assert coordinates.knots[-1] > 4 * SPREAD
    assert coordinates.middle.shape == (3,)
    beyond = coordinates.theta(np.array([[1.0, 1.0, -11.9], [1.0, 1.0, 11.9]]))
    at_ends = coordinates.theta(np.array([[1.0, 1.0, knot] for knot in coordinates.knots[[0, -1]]]))
    np.testing.assert_array_equal(beyond[:, :2], at_ends[:, :2])


def test_a_funnel_is_sampled_well(density, coordinates):
    straight = coordinates.density(density)
    found = sampled_nodes(straight, coordinates.middle, 800.0)
    assert 1 / np.sum(found.weights**2) > 0.7 * len(found.weights)
    theta = coordinates.theta(found.theta)
    # the density of (z, phi) is that of theta times the volume: both integrate to the same
    at = np.array([[0.5, -0.5, 0.7], [-1.0, 2.0, -3.1]])
    step = 1e-5
    for point in at:
        ends = [coordinates.theta(point + sign * step * np.eye(3)) for sign in (1, -1)]
        volume = np.log(abs(np.linalg.det((ends[0] - ends[1]) / (2 * step))))
        expected = density(coordinates.theta(point[None]))[0] + volume
        assert straight(point[None])[0] == pytest.approx(expected, abs=1e-7)
    phi = theta[:, 2]
    assert found.weights @ phi == pytest.approx(0, abs=0.05 * SPREAD)
    assert np.sqrt(found.weights @ phi**2) == pytest.approx(SPREAD, rel=0.05)
    # of a: probabilities by the mixture of normal laws over phi
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    for limit in (-3.0, 0.2, 4.0):
        exact = weights @ stats.norm.cdf((limit - middle(SPREAD * nodes)[:, 0]) / width(SPREAD * nodes))
        assert found.weights[theta[:, 0] <= limit].sum() == pytest.approx(exact, abs=0.02)  # 1000 points at random: 0.016


@pytest.mark.filterwarnings("ignore::smoothfit.errors.IntegrationWarning")
def test_plain_points_of_a_funnel_are_few(density):
    found = sampled_nodes(density, np.array([0.3, 0.1, 0.4]), 800.0)
    assert 1 / np.sum(found.weights**2) < 0.2 * len(found.weights)


def test_a_single_knot_is_a_change_of_units():
    far = np.array([1e3, 0.6])
    density = Density(lambda points: -((points[:, 0] - 5) ** 2) / 8 - points[:, 1] ** 2, -far, far)
    coordinates = standardized(density, np.array([4.0, 0.1]))
    assert len(coordinates.knots) == 1
    np.testing.assert_allclose(coordinates.theta(np.array([[1.0, 0.5], [-1.0, -0.5]])), [[7, 0.5], [3, -0.5]], atol=1e-6)


def test_a_density_without_a_mode_has_no_coordinates():
    far = np.full(2, 1e3)
    assert standardized(Density(lambda points: points[:, 0], -far, far), np.zeros(2)) is None


def test_points_in_the_outer_half_of_the_range_are_told(coordinates):
    inside, outside = np.array([[1.0, -15.0, 3.0]]), np.array([[-25.0, 0.0, 3.0]])
    assert coordinates.hold(inside, np.ones(1))
    assert not coordinates.hold(outside, np.ones(1))
    assert coordinates.hold(np.vstack([inside, outside]), np.array([0.9995, 0.0005]))
