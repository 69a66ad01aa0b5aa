"""Descent by scores: minima in closed form, bounds, levels, saddles, and how many scores they take."""

import numpy as np
import pytest

from smoothfit.errors import ConvergenceError
from smoothfit.inference.descent import Scored, descend

FAR = np.array([-30.0, -30.0]), np.array([30.0, 30.0])


class Criterion:
    """A function of two variables with its gradient; Hessians by differences; counts its scores."""

    def __init__(self, f, gradient):
        self.f, self.gradient, self.n_scores = f, gradient, 0

    def values(self, theta):
        return np.array([self.f(*t) for t in theta])

    def score(self, theta):
        self.n_scores += 1
        return Scored(theta, self.f(*theta), np.array(self.gradient(*theta)))

    def curvature(self, at):
        columns = [(np.array(self.gradient(*(at.theta + h))) - at.gradient) / 1e-4 for h in 1e-4 * np.eye(2)]
        self.n_scores += 2
        return (np.array(columns) + np.array(columns).T) / 2


def likelihood(n):
    """n normal observations of mean square two, as functions of two sizes: log s + 2 n / s, s = exp(a), and of t = exp(b)."""
    return Criterion(
        lambda a, b: n * (a + 2 * np.exp(-a)) + n * (b + 0.5 * np.exp(-b)) + 0.1 * n * (a - b) ** 2,
        lambda a, b: (
            n * (1 - 2 * np.exp(-a)) + 0.2 * n * (a - b),
            n * (1 - 0.5 * np.exp(-b)) - 0.2 * n * (a - b),
        ),
    )


@pytest.mark.parametrize("start", [(0.0, 0.0), (3.0, -2.0), (-2.0, 4.0)])
def test_a_likelihood_has_its_minimum_where_its_score_vanishes(start):
    criterion = likelihood(1000)
    found, hessian = descend(criterion, np.array(start), *FAR, 1)
    a, b = found.theta
    np.testing.assert_allclose(criterion.gradient(a, b), 0, atol=1e-2 * np.sqrt(1000) * 1e-3)
    assert found.decrement <= 1e-10
    np.testing.assert_allclose(hessian, [[2000 * np.exp(-a) + 200, -200], [-200, 500 * np.exp(-b) + 200]], rtol=0.2)  # of secants
    assert criterion.n_scores <= 25


def test_a_descent_ends_where_its_way_is_known():
    whole, part = likelihood(1000), likelihood(1000)
    minimum, _ = descend(whole, np.array([3.0, -2.0]), *FAR, 1)
    assert descend(part, np.array([3.0, -2.0]), *FAR, 1, is_known=lambda theta, value: value < minimum.value + 10) is None
    assert part.n_scores < whole.n_scores


def test_a_guessed_hessian_certifies_no_minimum():
    """At a maximum the score is as small as at a minimum; only the curvature differs."""
    wave = Criterion(lambda a, b: np.cos(a) + np.cos(b), lambda a, b: (-np.sin(a), -np.sin(b)))
    found, _ = descend(wave, np.array([1e-7, 1e-7]), np.full(2, -4.0), np.full(2, 4.0), 1, guess=np.eye(2))
    np.testing.assert_allclose(np.abs(found.theta), np.pi, rtol=1e-6)
    assert found.value == pytest.approx(-2, abs=1e-10)


def test_a_good_guess_of_the_hessian_saves_scores():
    plain, told = likelihood(1000), likelihood(1000)
    minimum, hessian = descend(plain, np.array([1.0, 0.0]), *FAR, 1)
    plain.n_scores = 0
    near = minimum.theta + 0.1
    descend(plain, near, *FAR, 1)
    again, _ = descend(told, near, *FAR, 1, hessian)
    assert told.n_scores < plain.n_scores
    np.testing.assert_allclose(again.theta, minimum.theta, atol=1e-6)


def test_a_bad_guess_does_no_harm():
    minimum, _ = descend(likelihood(100), np.array([1.0, 0.0]), *FAR, 1)
    for guess in (-np.eye(2), 1e-6 * np.eye(2), 1e9 * np.eye(2)):
        found, _ = descend(likelihood(100), np.array([2.0, 1.0]), *FAR, 1, guess)
        np.testing.assert_allclose(found.theta, minimum.theta, atol=1e-5)


def test_a_variable_that_levels_off_goes_to_its_bound_at_once():
    criterion = Criterion(
        lambda a, b: (a - 1) ** 2 + np.exp(b) * (1 + a**2), lambda a, b: (2 * (a - 1) + 2 * a * np.exp(b), np.exp(b) * (1 + a**2))
    )
    found, _ = descend(criterion, np.array([0.0, 0.0]), *FAR, 1)
    assert found.at_lower.tolist() == [False, True]
    assert found.theta[0] == pytest.approx(1, abs=1e-5)
    assert criterion.n_scores <= 25


def test_a_valley_before_the_level_is_not_jumped_over():
    """Between the start and the level at -infinity lies a minimum, at b = log(1/2)."""
    criterion = Criterion(
        lambda a, b: (a - 1) ** 2 + np.exp(2 * b) - np.exp(b), lambda a, b: (2 * (a - 1), 2 * np.exp(2 * b) - np.exp(b))
    )
    found, _ = descend(criterion, np.array([0.0, 1.0]), *FAR, 1)
    assert found.theta[1] == pytest.approx(np.log(0.5), abs=1e-4)
    assert not found.at_lower.any()


def test_a_saddle_is_left():
    criterion = Criterion(lambda a, b: a**2 + b**4 / 4 - b**2 / 2, lambda a, b: (2 * a, b**3 - b))
    found, _ = descend(criterion, np.array([1.0, 1e-3]), *FAR, 1)
    assert abs(found.theta[1]) == pytest.approx(1, abs=1e-5)


def test_a_valley_of_minima_ends_the_descent():
    """Only a sum is told; rounding decides the sign of the curvature along the valley."""
    criterion = Criterion(lambda a, b: np.exp(a + 2 * b) - 3 * (a + 2 * b), lambda a, b: ((g := np.exp(a + 2 * b) - 3), 2 * g))
    found, _ = descend(criterion, np.array([2.0, 1.0]), *FAR, 1)
    assert found.theta @ [1, 2] == pytest.approx(np.log(3), abs=1e-5)


def test_a_bound_holds_where_the_score_points_outward():
    found, _ = descend(likelihood(100), np.array([2.0, 1.0]), np.array([1.5, -9.0]), np.array([9.0, 9.0]), 1)
    assert found.at_lower.tolist() == [True, False]
    assert found.theta[0] == 1.5


def test_what_has_no_value_at_the_start_is_an_error():
    with pytest.raises(ConvergenceError, match="not finite"):
        descend(Criterion(lambda a, b: np.inf, lambda a, b: (0.0, 0.0)), np.zeros(2), *FAR, 1)
