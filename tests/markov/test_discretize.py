import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec
from scipy.linalg import expm

from smoothfit.markov.discretize import discretize, discretize_jacobian, phi2


@pytest.mark.parametrize(("m", "p"), [(1, 1), (2, 1), (3, 1), (2, 2), (4, 2)])
def test_matrices_are_the_integrals_they_stand_for(m, p):
    rng = np.random.default_rng(m + p)
    A, E, steps = rng.standard_normal((m, m)), rng.standard_normal((m, p)), np.array([0.05, 1.3])
    d = discretize(A, E, steps)
    for c, h in enumerate(steps):
        np.testing.assert_allclose(d.T[c], expm(A * h), rtol=1e-12, atol=1e-13)
        hold = quad_vec(lambda s: expm(A * s) @ E, 0, h, epsabs=1e-13)[0]
        np.testing.assert_allclose(d.hold[c], hold, rtol=1e-10, atol=1e-12)
        ramp = quad_vec(lambda s, h=h: expm(A * (h - s)) @ E * s / h, 0, h, epsabs=1e-13)[0]
        np.testing.assert_allclose(d.ramp[c], ramp, rtol=1e-10, atol=1e-12)
        for j in range(p):
            spread = quad_vec(lambda s, j=j: np.outer(expm(A * s) @ E[:, j], expm(A * s) @ E[:, j]), 0, h, epsabs=1e-13)[0]
            np.testing.assert_allclose(d.Q[j, c], spread, rtol=1e-9, atol=1e-11)


def test_one_state_has_closed_forms():
    a, h = -1.7, 0.3
    d = discretize(np.array([[a]]), np.ones((1, 1)), np.array([h]))
    assert d.T[0, 0, 0] == pytest.approx(np.exp(a * h), rel=1e-15)
    assert d.hold[0, 0, 0] == pytest.approx(np.expm1(a * h) / a, rel=1e-15)
    assert d.ramp[0, 0, 0] == pytest.approx((np.expm1(a * h) - a * h) / a**2 / h, rel=1e-13)
    assert d.Q[0, 0, 0, 0] == pytest.approx(np.expm1(2 * a * h) / (2 * a), rel=1e-15)


def test_an_integrator_is_a_limit_and_not_a_special_case():
    d = discretize(np.zeros((1, 1)), np.ones((1, 1)), np.array([2.0]))
    assert [part.item() for part in d] == [1.0, 2.0, 1.0, 2.0]
    near = discretize(np.full((1, 1), -1e-9), np.ones((1, 1)), np.array([2.0]))
    np.testing.assert_allclose([part.item() for part in near], [1.0, 2.0, 1.0, 2.0], rtol=1e-8)
    z = np.array([1e-12, 0.4999999, 0.5000001, -0.4999999, -0.5000001])
    np.testing.assert_allclose(phi2(z), [0.5 + 1e-12 / 6, *((np.expm1(v) - v) / v**2 for v in z[1:])], rtol=1e-14)


def test_fast_modes_do_not_overflow_the_noise():
    # exp(-A h) of the textbook formula is exp(2000): the short step, doubled, does not see it
    d = discretize(np.array([[0.0, 1.0], [-500.0, -2000.0]]), np.array([[0.0], [1.0]]), np.array([1.0]))
    Q = d.Q[0, 0]
    assert np.isfinite(Q).all()
    assert np.linalg.eigvalsh(Q).min() > 0
    # the slow mode, -0.25003: stationary variance of y' is q / (2 a) but for it
    assert Q[1, 1] == pytest.approx(1 / 4000, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 2.0), st.floats(0.01, 2.0))
def test_two_steps_are_one_long_step(seed, first, second):
    rng = np.random.default_rng(seed)
    A, E = rng.standard_normal((3, 3)), np.eye(3)[:, 2:]
    d = discretize(A, E, np.array([first, second, first + second]))
    np.testing.assert_allclose(d.T[1] @ d.T[0], d.T[2], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(d.T[1] @ d.hold[0] + d.hold[1], d.hold[2], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(d.T[1] @ d.Q[0, 0] @ d.T[1].T + d.Q[0, 1], d.Q[0, 2], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("m", [1, 2])
def test_nothing_that_moves_gives_no_matrices(m):
    steps = np.array([0.4, 1.0])
    d, slopes = discretize_jacobian(-np.eye(m), np.ones((m, 1)), steps, np.empty((0, m, m)))
    assert slopes == []
    np.testing.assert_array_equal(d.T, discretize(-np.eye(m), np.ones((m, 1)), steps).T)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_jacobians_are_exact(m):
    rng = np.random.default_rng(m)
    A, E, steps, D = rng.standard_normal((m, m)), np.eye(m)[:, -1:], np.array([0.4, 1.0]), rng.standard_normal((1, m, m))
    _, (slopes,) = discretize_jacobian(A, E, steps, D)
    # Frechet derivative from the block exponential, another route to the same number
    for c, h in enumerate(steps):
        block = expm(np.block([[A * h, D[0] * h], [np.zeros((m, m)), A * h]]))
        np.testing.assert_allclose(slopes.T[c], block[:m, m:], rtol=1e-11, atol=1e-13)
    width = 1e-6
    up, down = (discretize(A + sign * width * D[0], E, steps) for sign in (1, -1))
    for part, (high, low) in zip(slopes, zip(up, down, strict=True), strict=True):
        np.testing.assert_allclose(part, (high - low) / (2 * width), rtol=1e-6, atol=1e-8)
