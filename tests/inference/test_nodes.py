import itertools
import re
import warnings

import numpy as np
import pytest
from scipy.special import digamma, gammaln, polygamma

from smoothfit.errors import IntegrationWarning, NumericalError
from smoothfit.inference import lattice
from smoothfit.inference.adaptive import sampled_nodes
from smoothfit.inference.lattice import lattice_nodes
from smoothfit.inference.nodes import Density, climb, shape_of


def within(function, p, reach=20.0):
    return Density(function, np.full(p, -reach), np.full(p, reach))


def moments(nodes, weights):
    mean = weights @ nodes
    return mean, (weights[:, None] * (nodes - mean)).T @ (nodes - mean)


def log_gammas(points):
    """Logs of gamma variables, mixed linearly: skewed and correlated."""
    p = points.shape[1]
    mixed = points @ (np.eye(p) + 0.4 * np.tri(p, k=-1)).T
    shapes = 1.5 + np.arange(p)
    return (shapes * mixed - np.exp(mixed)).sum(axis=1)


@pytest.mark.parametrize(
    ("find", "p"), [(lattice_nodes, 1), (lattice_nodes, 2), (lattice_nodes, 3), (sampled_nodes, 3), (sampled_nodes, 5)]
)
def test_moments_of_skewed_densities(find, p):
    nodes, weights, _, log_integral, _ = find(within(log_gammas, p), np.zeros(p))
    unmixed = np.linalg.inv(np.eye(p) + 0.4 * np.tri(p, k=-1))
    shapes = 1.5 + np.arange(p)
    beyond = 2e-4  # of normal variables, three of them, 6.5e-5 of the weight lies where a lattice does not grow
    assert log_integral == pytest.approx(gammaln(shapes).sum(), abs=beyond if find is lattice_nodes else 0.05)
    mean, cov = moments(nodes, weights)
    sd = np.sqrt(np.diag(cov))
    assert mean / sd == pytest.approx(unmixed @ digamma(shapes) / sd, abs=0.002 if find is lattice_nodes else 0.05)
    exact = unmixed @ np.diag(polygamma(1, shapes)) @ unmixed.T
    assert cov / np.outer(sd, sd) == pytest.approx(exact / np.outer(sd, sd), abs=0.005 if find is lattice_nodes else 0.12)


def test_quasi_random_points_agree_with_product_quadrature():
    density = within(log_gammas, 3)
    nodes, weights, *_ = sampled_nodes(density, np.zeros(3))
    grid = np.array(list(itertools.product(np.linspace(-9, 5, 57), repeat=3)))
    exact = np.exp(density(grid))
    exact /= exact.sum()
    for function in (lambda t: np.tanh(t[:, 0]), lambda t: np.exp(-(t[:, 1] ** 2)), lambda t: np.arctan(t[:, 2] - t[:, 0])):
        assert weights @ function(nodes) == pytest.approx(exact @ function(grid), abs=0.03)


def test_both_modes_are_found_with_their_weights():
    def two(points):
        x = points[:, 0]
        return np.logaddexp(np.log(0.3) - (x + 10) ** 2 / 2, np.log(0.7) - (x - 7) ** 2 / 2)

    for start in (-10.0, 7.0):
        nodes, weights, *_ = lattice_nodes(within(two, 1), np.array([start]))
        assert weights[nodes[:, 0] < 0].sum() == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("rate", [0.3, 1.0, 40.0])
@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_densities_that_are_high_at_a_bound_take_few_nodes(rate, slope):
    """An exponential law from a bound on, alone and beside a normal law whose mean depends on it."""

    def counted(points):
        count[0] += len(points)
        apart = points[:, 1:].sum(axis=1) - slope * points[:, 0]
        return np.log(rate) - rate * points[:, 0] - apart**2 / 2

    for p in (1, 2):
        count = [0]
        lower = np.array([0.0, -30.0])[:p]
        function = counted if p == 2 else lambda points: counted(np.hstack([points, slope * points]))
        found = lattice_nodes(Density(function, lower, np.full(p, 60.0)), np.zeros(p))
        mean, cov = moments(found.theta, found.weights)
        assert found.theta.min(axis=0)[0] >= 0
        np.testing.assert_allclose(mean[0] * rate, 1, atol=2e-3)
        np.testing.assert_allclose(cov[0, 0] * rate**2, 1, atol=1e-2)
        if p == 2:
            np.testing.assert_allclose(cov[1], [slope / rate**2, 1 + (slope / rate) ** 2], atol=1e-2 * max(1, slope / rate**2))
        assert found.log_integral == pytest.approx((p - 1) / 2 * np.log(2 * np.pi), abs=2e-3)
        assert count[0] < 700


def test_densities_that_are_high_at_both_bounds():
    """The uniform law, whose moments are known, in ranges of any length and place: -0.3 + 1 * (0.1 + 0.3) is not 0.1."""
    for lower, width in ((0.0, 30.0), (-0.3, 0.4), (7.7, 1e-3)):
        bounds = np.full(1, lower), np.full(1, lower + width)
        found = lattice_nodes(Density(lambda points: np.zeros(len(points)), *bounds), bounds[0])
        mean, cov = moments(found.theta, found.weights)
        np.testing.assert_allclose([(mean[0] - lower) / width, cov[0, 0] / width**2], [1 / 2, 1 / 12], atol=2e-3)
        assert found.log_integral == pytest.approx(np.log(width), abs=2e-3)


@pytest.mark.parametrize("p", [1, 2])
def test_a_density_that_is_high_at_an_upper_bound_takes_few_nodes(p):
    """An exponential law below a bound that a scan of the range misses by rounding."""
    lower, upper = np.full(p, -10.6), np.full(p, 0.1)

    def rising(points):
        count[0] += len(points)
        return 9 * (points[:, 0] - 0.1) - (points[:, 1:] + 4).sum(axis=1) ** 2 / 2

    count = [0]
    found = lattice_nodes(Density(rising, lower, upper), np.where(np.arange(p) == 0, upper, -4.0))
    mean, cov = moments(found.theta, found.weights)
    np.testing.assert_allclose([(0.1 - mean[0]) * 9, cov[0, 0] * 81], 1, atol=1e-2)
    assert count[0] < 700


def test_the_extent_is_told_apart_on_both_sides():
    def split(points):
        x = points[:, 0] - 1.5
        return -(x**2) / 2 / np.where(x < 0, 3.0, 0.5) ** 2

    shape = shape_of(within(split, 1), np.zeros(1))
    assert shape.mode == pytest.approx([1.5], rel=1e-12)
    assert shape.sd[0] == pytest.approx(3, rel=1e-12)
    assert shape.sd[1] == pytest.approx(0.5, rel=1e-12)


def test_densities_that_end_have_no_weight_beyond():
    def ends(points):
        return np.where(points[:, 0] > 2, np.nan, -(points[:, 0] ** 2) / 2)

    nodes, weights, *_ = lattice_nodes(within(ends, 1), np.zeros(1))
    assert nodes.max() <= 2
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(("p", "find"), [(1, lattice_nodes), (2, lattice_nodes), (3, sampled_nodes)])
def test_a_hole_in_the_density_is_refused(p, find):
    def hole(points):
        value = -(points**2).sum(axis=1) / 2
        return np.where(np.linalg.norm(points - 0.8, axis=1) < 0.5, np.nan, value)

    with pytest.raises(NumericalError, match="cannot be computed at theta"):
        find(within(hole, p), np.zeros(p))


@pytest.mark.parametrize(("p", "find"), [(1, lattice_nodes), (3, sampled_nodes)])
def test_a_start_without_density_is_refused(p, find):
    with pytest.raises(NumericalError, match="at the estimates"):
        find(within(lambda points: np.full(len(points), np.nan), p), np.zeros(p))


def test_a_density_that_no_lattice_resolves_is_warned_of(monkeypatch):
    monkeypatch.setattr(lattice, "AGREE", 0.0)
    with pytest.warns(IntegrationWarning, match="rough"):
        lattice_nodes(within(log_gammas, 1), np.zeros(1))


def test_a_density_that_is_hard_to_sample_is_warned_of():
    def sphere(points):
        return -((np.linalg.norm(points, axis=1) - 8) ** 2) * 5000

    with pytest.warns(IntegrationWarning, match="effective"):
        sampled_nodes(within(sphere, 5), np.array([8.0, 0, 0, 0, 0]))


def test_smooth_densities_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for p in (1, 2):
            nodes, weights, *_ = lattice_nodes(within(lambda points: -(points**2).sum(axis=1) / 2, p), np.ones(p))
            assert moments(nodes, weights)[1] == pytest.approx(np.eye(p), abs=1e-3)


def test_a_saddle_is_no_mode():
    density = Density(lambda at: -(at[:, 0] ** 2) + at[:, 1] ** 2 - at[:, 1] ** 4, np.full(2, -5.0), np.full(2, 5.0))
    mode, hessian, _ = climb(density, np.zeros(2))
    assert mode[0] == 0
    assert 0.4 < abs(mode[1]) < 1  # the mode is at sqrt(1 / 2)
    assert (np.linalg.eigvalsh(hessian) < 0).all()


def test_a_climb_tells_whether_it_ended_at_a_mode():
    far = np.full(2, 50.0)
    assert climb(Density(lambda at: -((at - 3) ** 2).sum(axis=1), -far, far), np.zeros(2))[2]
    assert not climb(Density(lambda at: at.sum(axis=1), -far, far), np.zeros(2))[2]


@pytest.mark.parametrize("centre", [0.4, 4.6])
def test_gaps_matter_by_the_weight_around_them(centre):
    """Beside the mode of a normal law a gap is refused; where the law has fallen by exp(-10.6) it is left out."""

    def holed(points):
        return np.where(np.abs(points[:, 0] - centre) < 0.4, np.nan, -np.sum(points**2, axis=1) / 2)

    if centre < 1:
        with pytest.raises(NumericalError, match="between points where it is high"):
            lattice_nodes(within(holed, 1), np.array([-0.5]))
        return
    found = lattice_nodes(within(holed, 1), np.zeros(1))
    mean, cov = moments(found.theta, found.weights)
    np.testing.assert_allclose([mean[0], cov[0, 0]], [0, 1], atol=1e-3)


def test_the_error_of_a_hole_shows_the_parameter_whatever_its_coordinate():
    """That of a stretched lattice, 0.9 where theta is 0.04 of a range of 20, had been shown."""

    def holed(points):
        theta = points[:, 0] + 20
        return np.where((theta > 0.6) & (theta < 1.2), np.nan, -theta)  # highest at the lower bound, -20

    for unit in (1.0, 4.0):
        density = within(lambda at, unit=unit: holed(at / unit), 1, 20 * unit).in_units(np.array([unit]))
        with pytest.raises(NumericalError, match="cannot be computed at theta") as error:
            lattice_nodes(density, np.array([density.lower[0]]))
        shown = float(re.search(r"theta = \[(.*)\]", str(error.value)).group(1))
        assert np.isnan(holed(np.array([[shown / unit]])))


def test_the_start_may_be_at_several_bounds():
    """As of variances that vanish by the likelihood, beside others that are known well."""
    count = [0]

    def function(theta):
        count[0] += len(theta)
        vanishing, known = theta[:, :2] + 8.0, theta[:, 2:]
        return (vanishing - np.exp(vanishing)).sum(axis=1) - (known**2).sum(axis=1) / (2 * 0.03**2)

    density = Density(function, np.full(4, -50.0), np.full(4, 50.0))
    found = sampled_nodes(density, np.array([-50.0, -50.0, 0.0, 0.0]))
    mean = found.weights @ found.theta
    variance = found.weights @ (found.theta - mean) ** 2
    np.testing.assert_allclose(mean[:2], digamma(1.0) - 8.0, atol=0.1)
    # Of 770 effective points a variance has an error of 0.08 (the fourth moment is 5.4), and this is three times that.
    np.testing.assert_allclose(variance, [polygamma(1, 1)] * 2 + [0.03**2] * 2, rtol=0.24)
    assert count[0] < 2500  # 1831
