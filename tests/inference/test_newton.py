import numpy as np
import pytest

from smoothfit.errors import ConvergenceError
from smoothfit.inference import newton
from smoothfit.inference.newton import ZOOM, interpolation, minimize
from smoothfit.inference.quasi_newton import DECREMENT, SETTLED, descend


class Sloped:
    """A function of theta with its gradient by central differences, for the optimiser's own tests."""

    unbounded = False

    def __init__(self, function):
        self.function = function

    def values(self, theta):
        return np.array([self.function(t) for t in theta])

    def gradient(self, theta):
        steps = 1e-5 * np.eye(len(theta))
        return self.function(theta), np.array([(self.function(theta + s) - self.function(theta - s)) / 2e-5 for s in steps])


class Function(Sloped):
    """The same with a Hessian."""

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
def test_secants_find_what_newton_finds_without_a_hessian(centre, monkeypatch):
    bowl = Sloped(lambda t: 5 * np.log(np.cosh(t[0] - centre)) + 0.2 * t[0])
    monkeypatch.setattr(newton, "differenced", None)  # must not be called
    minimum = minimize(bowl, column(*np.linspace(-20, 20, 9)), *WIDE)
    assert minimum.theta[0] == pytest.approx(centre - np.arctanh(0.04), abs=1e-5)  # where 5 tanh(t - centre) = -0.2
    assert minimum.decrement <= DECREMENT


def test_secants_give_way_to_newton_at_a_bound():
    slope = Sloped(lambda t: np.exp(t[0] / 4))
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


class Variances(Function):
    """Sums n_i theta_i + s_i exp(-theta_i), and a coupling: each scale is n_i, as for the variances of several series."""

    def __init__(self, counts, sums, coupling=0.0):
        self.counts, self.sums, self.coupling = np.array(counts), np.array(sums), coupling
        self.n_scores = self.n_hessians = 0
        super().__init__(lambda t: float(self.counts @ t + self.sums @ np.exp(-t) + coupling * np.prod(np.tanh(t))))

    def scaled_gradient(self, theta):
        self.n_scores += 1
        return *self.gradient(theta), self.counts

    def hessian(self, theta):
        self.n_hessians += 1
        return super().hessian(theta)


BOUNDS = np.full(3, -30.0), np.full(3, 30.0)


@pytest.mark.parametrize("start", [-12.0, 0.0, 12.0])
def test_a_scaled_descent_goes_where_slopes_balance(start):
    function = Variances([10.0, 200.0, 3e4], [1.0, 5e3, 3e4])
    end = descend(function, np.full(3, start), *BOUNDS)
    # n = s exp(-theta) at the minimum; each is within 1e-5 of the standard error n^-1/2, or the rounding of the differences
    np.testing.assert_allclose(end.theta, np.log([0.1, 25, 1]), atol=1e-5)
    assert end.remaining <= SETTLED
    assert function.n_scores < 40


def test_several_grids_cost_one_hessian():
    function = Variances([10.0, 200.0, 300.0], [1.0, 5e3, 3e4], coupling=20.0)
    grids = [np.column_stack([np.linspace(-12, 6, 7), np.full((7, 2), other)]) for other in (-8.0, 0.0, 8.0)]
    minimum = minimize(function, grids, *BOUNDS)
    assert function.n_hessians == 1
    assert minimum.decrement <= DECREMENT
    np.testing.assert_allclose(function.gradient(minimum.theta)[1], 0, atol=1e-3)


def test_a_minimum_inside_is_kept_though_the_bound_is_lower():
    """Between theta_0 = 1, a minimum, and the lower bound, where the criterion falls on."""

    class Boundless(Variances):
        def __init__(self):
            super().__init__([1.0, 1.0], [1.0, 1.0])
            self.function = lambda t: float(
                (t[0] - 1) ** 2 / (1 + np.exp(-t[0] - 5)) + 20 * np.minimum(t[0] + 9, 0) + (t[1] - 2) ** 2
            )

    lower, upper = np.full(2, -20.0), np.full(2, 20.0)
    starts = [np.array([[-15.0, 0.0]]), np.array([[0.0, 0.0]])]
    assert minimize(Boundless(), starts, lower, upper).at_lower.tolist() == [True, False]
    inside = minimize(Boundless(), starts, lower, upper, lambda at_lower: not at_lower[0])
    np.testing.assert_allclose(inside.theta, [1, 2], atol=0.1)
    outside = minimize(Boundless(), starts[:1], lower, upper, lambda at_lower: not at_lower[0])
    assert outside.at_lower[0]  # there is no other
