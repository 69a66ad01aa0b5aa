"""The group lasso at scales of 1e+-150: the same solution in other units, or an error of ours, at once."""

import numpy as np
import pytest

from smoothfit import calculus, errors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 8))
Y = X[:, :3] @ [1.0, 2.0, -1.0] + RNG.normal(size=40)
GROUPS = np.repeat(range(4), 2)
FIT = calculus.group_lasso(X, Y, GROUPS, 20.0)


@pytest.mark.parametrize("size_x", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("size_y", [1e-150, 1.0, 1e150])
def test_group_lasso(size_x, size_y):
    found = calculus.group_lasso(X * size_x, Y * size_y, GROUPS, 20.0 * size_x * size_y)
    # the gap certifies the coefficients to the square root of 1e-10 at worst, and Newton's steps go far below
    np.testing.assert_allclose(found.coef * size_x / size_y, FIT.coef, rtol=1e-9, atol=1e-12)
    path = calculus.group_lasso_path(X * size_x, Y * size_y, GROUPS, 3)
    np.testing.assert_allclose(path[0].coef, 0.0, atol=1e-8 * size_y / size_x)


@pytest.mark.parametrize("lam", [1e-300, 1e-150, 1.0])
def test_columns_of_all_sizes_end_in_an_error_of_ours(lam):
    sizes = np.array([1e-150, 1e150, 1.0, 1.0, 1e100, 1.0, 1.0, 1e-100])
    with pytest.raises(errors.SmoothfitError):
        calculus.group_lasso(X * sizes, Y, GROUPS, lam)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_group_block(size):
    S, unit = np.array([3.0, 4.0]), np.eye(2)
    np.testing.assert_allclose(calculus.group_block(S * size, unit * size, size), [2.4, 3.2], rtol=1e-14)
    np.testing.assert_allclose(calculus.group_block(S, unit * size, 1.0), np.array([2.4, 3.2]) / size, rtol=1e-14)


def test_a_block_without_a_minimum_is_an_error():
    for gram in (np.zeros((2, 2)), np.diag([1e300, 1e-300])):
        with pytest.raises(errors.DataError, match="not in the range of gram"):
            calculus.group_block([3.0, 4.0], gram, 1.0)
