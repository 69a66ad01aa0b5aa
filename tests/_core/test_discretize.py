"""The kernel of exact discretisation: exponentials against SciPy's, and its border."""

import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet

from smoothfit._core import _kernels

STEPS = np.array([0.0, 1e-9, 0.3, 1.0, 7.5])


@pytest.mark.parametrize("m", [2, 3, 7, 12])
def test_exponentials_and_their_derivatives_are_those_of_scipy(m):
    rng = np.random.default_rng(m)
    systems, moves = rng.standard_normal((2, 3, m, m))
    systems *= np.array([0.01, 1.0, 4.0])[:, None, None] / m
    found = _kernels.discretize(np.stack([systems, moves], axis=-1), np.eye(m)[:, -1:], STEPS, True, True)
    for a, direction, rows in zip(systems, moves, found, strict=True):
        for h, row in zip(STEPS, rows, strict=True):
            T, slope = np.moveaxis(row[: m * m].reshape(m, m, 2), 2, 0)
            exact, exact_slope = expm(a * h), expm_frechet(a * h, direction * h)[1]
            np.testing.assert_allclose(T, exact, rtol=1e-12, atol=1e-13 * np.abs(exact).max())
            np.testing.assert_allclose(slope, exact_slope, rtol=1e-11, atol=1e-12 * np.abs(exact_slope).max())
    alone = _kernels.discretize(systems[..., None], np.eye(m)[:, -1:], STEPS, True, True)
    np.testing.assert_array_equal(alone[..., 0], found[..., 0])


def test_small_entries_keep_their_digits():
    # Q of an integrated chain over a short step: h^(2m-1-i-j) over factorials, from 1e-35 to 1e-3
    m, h = 6, 1e-3
    found = _kernels.discretize(np.diag(np.ones(m - 1), 1)[None, ..., None], np.eye(m)[:, -1:], np.array([h]), False, True)
    order = np.arange(m - 1, -1, -1)
    powers = order[:, None] + order + 1
    factorial = np.cumprod(np.append(1.0, np.arange(1.0, m)))[order]
    np.testing.assert_allclose(
        found[0, 0, -m * m :, 0].reshape(m, m), h**powers / powers / np.outer(factorial, factorial), rtol=1e-14
    )


def test_units_of_states_and_time_scale_results_exactly():
    A, E = np.array([[0.0, 1.0], [-4.0, -0.8]]), np.array([[0.0], [1.0]])
    time, D = 2.0**-40, np.array([1.0, 2.0**40])
    plain = _kernels.discretize(A[None, ..., None], E, STEPS, True, True)[0, :, :, 0]
    other = _kernels.discretize((A * D[:, None] / D / time)[None, ..., None], E, STEPS * time, True, True)[0, :, :, 0]
    across = np.outer(D, 1 / D).ravel()
    np.testing.assert_array_equal(other[:, :4], plain[:, :4] * across)
    np.testing.assert_array_equal(other[:, 4:6], plain[:, 4:6] * time * D / D[1])
    np.testing.assert_array_equal(other[:, 8:], plain[:, 8:] * time * np.outer(D, D).ravel() / D[1] ** 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_has_no_exponential_is_not_a_number_and_leaves_the_others(bad):
    systems = np.zeros((2, 2, 2, 1))
    systems[0, 0, 1] = bad
    found = _kernels.discretize(systems, np.eye(2)[:, 1:], np.ones(1), False, False)
    assert not np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[1, 0, :4, 0], [1, 0, 0, 1])


def test_of_none_there_are_none():
    assert _kernels.discretize(np.empty((0, 3, 3, 1)), np.ones((3, 2)), np.ones(4), True, True).shape == (0, 4, 39, 1)
    assert _kernels.discretize(np.zeros((2, 3, 3, 1)), np.ones((3, 2)), np.ones(0), False, False).shape == (2, 0, 15, 1)


@pytest.mark.parametrize(
    ("systems", "entry", "words"),
    [
        ((2, 3, 2, 1), (3, 1), "systems are"),
        ((2, 2, 2), (2, 1), "systems are"),
        ((2, 2, 2, 3), (2, 1), "N is 0 or 1"),
        ((2, 2, 2, 1), (3, 1), "entry is"),
        ((2, 2, 2, 1), (2, 0), "entry is"),
    ],
)
def test_other_shapes_are_refused(systems, entry, words):
    with pytest.raises(ValueError, match=words):
        _kernels.discretize(np.zeros(systems), np.zeros(entry), STEPS, True, True)
