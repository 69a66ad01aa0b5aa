import numpy as np
import pytest

from smoothfit.errors import ConvergenceError
from smoothfit.inference.newton import DECREMENT, ZOOM, interpolation, minimize


class Function:
    """A function of theta with its derivatives by central differences, for the optimiser's own tests."""

    unbounded = False

    def __init__(self, function, exact_hessian=True):
        self.function, self.exact_hessian = function, exact_hessian

    def values(self, theta):
        return np.array([self.function(t) for t in theta])

    def gradient(self, theta):
        steps = 1e-5 * np.eye(len(theta))
        return self.function(theta), np.array([(self.function(theta + s) - self.function(theta - s)) / 2e-5 for s in steps])

    def hessian(self, theta):
        value, gradient = self.gradient(theta)
        steps = 1e-4 * np.eye(len(theta))
        hessian = np.array([(self.gradient(theta + s)[1] - self.gradient(theta - s)[1]) / 2e-4 for s in steps])
        return value, gradient, (hessian + hessian.T) / 2


def column(*values):
    return np.array(values, dtype=float)[:, None]


WIDE = np.array([-20.0]), np.array([20.0])


def test_the_lower_of_two_minima_is_found_whichever_is_wider():
    two = Function(lambda t: -3 * np.exp(-((t[0] - 4) ** 2)) - 2 * np.exp(-((t[0] + 5) ** 2) / 20))
    minimum = minimize(two, column(*np.linspace(-20, 20, 25)), *WIDE)
    assert minimum.theta[0] == pytest.approx(4, abs=0.05)
    assert minimum.decrement <= DECREMENT
    assert minimum.n_starts >= 2


@pytest.mark.parametrize("centre", [-3.3, 0.0, 4.7])
def test_secants_find_what_newton_finds_without_a_hessian(centre):
    bowl = Function(lambda t: 5 * np.log(np.cosh(t[0] - centre)) + 0.2 * t[0], exact_hessian=False)
    bowl.hessian = None  # must not be called
    minimum = minimize(bowl, column(*np.linspace(-20, 20, 9)), *WIDE)
    assert minimum.theta[0] == pytest.approx(centre - np.arctanh(0.04), abs=1e-5)  # where 5 tanh(t - centre) = -0.2
    assert minimum.decrement <= DECREMENT


def test_secants_give_way_to_newton_at_a_bound():
    slope = Function(lambda t: np.exp(t[0] / 4), exact_hessian=False)
    minimum = minimize(slope, column(-20, -10, 0, 10, 20), *WIDE)
    assert minimum.theta[0] == -20
    assert minimum.at_lower[0]


def test_polynomials_through_a_zoom_are_exact_and_the_same_to_the_bit_each_time():
    first = interpolation().copy()
    at = np.arange(len(first)) / 32
    for k in range(ZOOM):
        np.testing.assert_allclose(first @ np.arange(ZOOM) ** float(k), at**k, rtol=0, atol=1e-14 * (ZOOM - 1) ** k)
    interpolation.cache_clear()
    np.testing.assert_array_equal(interpolation(), first)


def test_a_start_that_cannot_win_is_not_followed():
    two = Function(lambda t: -300 * np.exp(-((t[0] - 4) ** 2)) - np.exp(-((t[0] + 5) ** 2) / 20))
    followed = []
    gradient = two.gradient
    two.gradient = lambda theta: followed.append(theta[0]) or gradient(theta)
    minimum = minimize(two, column(*np.linspace(-20, 20, 25)), *WIDE)
    assert minimum.n_starts >= 2
    assert minimum.theta[0] == pytest.approx(4, abs=0.05)
    assert min(followed) > 0


def test_a_minimum_is_certified_by_its_decrement():
    bowl = Function(lambda t: np.cosh(t[0] - 1.5) + 2 * np.cosh(t[1] + 0.5) + 0.3 * t[0] * t[1])
    minimum = minimize(bowl, np.array([[-6.0, 4.0], [0.0, 4.0], [6.0, 4.0]]), np.full(2, -20.0), np.full(2, 20.0))
    _, gradient = bowl.gradient(minimum.theta)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    assert not (minimum.at_lower | minimum.at_upper).any()


def test_a_bound_is_reached_where_the_score_points_outward():
    slope = Function(lambda t: np.exp(t[0] / 4))
    minimum = minimize(slope, column(-20, -10, 0, 10, 20), *WIDE)
    assert minimum.theta[0] == -20
    assert minimum.at_lower[0]
    assert not minimum.at_upper[0]


def test_a_level_tail_leads_to_its_bound():
    tail = Function(lambda t: 1 + 1e-3 / (1 + np.exp(-t[0])) + (t[1] - 1) ** 2)
    minimum = minimize(tail, np.array([[0.0, 0.0]]), np.array([-60.0, -5.0]), np.array([60.0, 5.0]))
    assert minimum.theta[0] == -60
    assert minimum.at_lower[0]
    assert minimum.theta[1] == pytest.approx(1, abs=1e-6)


def test_a_saddle_is_not_taken_for_a_minimum():
    saddle = Function(lambda t: t[0] ** 2 + (t[1] ** 2 - 1) ** 2)
    minimum = minimize(saddle, np.array([[0.5, 1e-3]]), np.full(2, -3.0), np.full(2, 3.0))
    assert abs(minimum.theta[1]) == pytest.approx(1, abs=1e-5)


def test_no_minimum_is_an_error_not_a_guess():
    kink = Function(lambda t: abs(t[0] - 0.3) - 1e-3 * t[0] ** 2)
    with pytest.raises(ConvergenceError, match="fix the smoothing"):
        minimize(kink, column(-2, -1, 0, 1, 2), *WIDE)
    nowhere = Function(lambda t: np.inf)
    with pytest.raises(ConvergenceError, match="not finite"):
        minimize(nowhere, column(-1, 0, 1), *WIDE)
