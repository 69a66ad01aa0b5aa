"""Damped descent: minima in closed form and by scipy, dependent columns, saddles, and what certifies convergence."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from smoothfit.inference.damped import Quadratic, descend

T = np.linspace(0, 4, 30)
Y = 3 * np.exp(-1.3 * T) + 0.4 + 0.05 * np.random.default_rng(0).standard_normal(30)


def residuals(x):
    return x[0] * np.exp(-x[1] * T) + x[2] - Y


def slopes(x):
    decay = np.exp(-x[1] * T)
    return np.column_stack([decay, -x[0] * T * decay, np.ones(30)])


def search(x, **options):
    """Least squares of the decay from a start."""

    def lower(x, step, model):
        trial = x + step
        with np.errstate(over="ignore"):
            return trial if np.sum(residuals(trial) ** 2) < np.sum(residuals(x) ** 2) else None

    def model(x):
        r = residuals(x)
        return Quadratic.of_residuals(slopes(x), r, r @ r / 27)

    return descend(np.array(x, dtype=float), model, lower, 1e-14, 100, **options)


@pytest.mark.parametrize("start", [(1.0, 1.0, 0.0), (10.0, 0.1, -5.0), (0.1, 5.0, 3.0)])
def test_least_squares_end_where_scipy_does(start):
    found, model, _ = search(start)
    expected = least_squares(residuals, found, slopes, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(found, expected.x, rtol=1e-7)
    J, r = slopes(found), residuals(found)
    assert model.decrement <= 1e-14
    # g'H^-1 g over the noise, whose inverse is that of J'J
    assert model.decrement == pytest.approx(r @ J @ np.linalg.solve(J.T @ J, J.T @ r) / (r @ r / 27), rel=1e-3, abs=1e-18)
    np.testing.assert_allclose(model.inverse, np.linalg.inv(J.T @ J), rtol=1e-9)


def test_a_quadratic_takes_one_step_whatever_the_units():
    A, b = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([1.0, -2.0])
    unit = np.array([1e-6, 1e5])
    H, centre = A * np.outer(unit, unit), np.linalg.solve(A, b) / unit
    free = np.ones(2, np.bool_)

    def lower(x, step, model):
        new = x + step
        return new if (new - centre) @ H @ (new - centre) < (x - centre) @ H @ (x - centre) else None

    found, model, n = descend(np.zeros(2), lambda x: Quadratic.of_hessian(H @ (x - centre), H, free), lower, 1e-12, 9)
    assert n == 1
    assert model.decrement <= 1e-12
    np.testing.assert_allclose(found, centre, rtol=1e-8)  # a damping of 1e-10


def test_coordinates_that_are_held_do_not_move():
    H = np.array([[2.0, 1.0], [1.0, 3.0]])
    model = Quadratic.of_hessian(np.array([1.0, 5.0]), H, np.array([True, False]))
    np.testing.assert_allclose(model.step(0.0), [-0.5, 0.0], rtol=1e-9)
    assert model.decrement == pytest.approx(0.5)
    np.testing.assert_array_equal(model.hessian, [[2.0, 0.0], [0.0, 0.0]])


def test_dependent_columns_take_the_shortest_step():
    J = np.column_stack([T, T, np.ones(30)])
    r = 2 * T + 1
    model = Quadratic.of_residuals(J, r, 1.0)
    np.testing.assert_allclose(model.step(0.0), [-1, -1, -1], rtol=1e-12)
    assert model.decrement == pytest.approx(r @ r, rel=1e-12)
    assert Quadratic.of_residuals(J, 1e-13 * r, 1.0, rounding=1e-11).decrement == 0


def test_a_saddle_is_no_minimum_and_is_left():
    def model(x):  # x^4 / 4 - x^2 / 2 + y^2 / 2
        return Quadratic.of_hessian(np.array([x[0] ** 3 - x[0], x[1]]), np.diag([3 * x[0] ** 2 - 1, 1.0]), np.ones(2, np.bool_))

    def lower(x, step, model):
        new = x + step
        values = [z[0] ** 4 / 4 - z[0] ** 2 / 2 + z[1] ** 2 / 2 for z in (new, x)]
        return new if values[0] < values[1] else None

    assert not model(np.array([0.1, 1.0])).is_convex
    found, at, _ = descend(np.array([0.1, 1.0]), model, lower, 1e-16, 50)
    np.testing.assert_allclose(found, [1, 0], atol=1e-8)
    assert at.is_convex


def test_a_search_that_cannot_go_on_shows_its_decrement():
    H = np.eye(1)
    _, model, n = descend(np.ones(1), lambda x: Quadratic.of_hessian(x, H, np.ones(1, np.bool_)), lambda *_: None, 1e-9, 5)
    assert n == 0
    assert model.decrement == pytest.approx(1.0)


def test_a_slow_search_ends_at_a_larger_decrement():
    found, model, n = search((10.0, 0.1, -5.0), slow=(2, np.inf))
    assert n == 2
    assert model.decrement > 1e-14
    assert np.sum(residuals(found) ** 2) < np.sum(residuals((10.0, 0.1, -5.0)) ** 2)
