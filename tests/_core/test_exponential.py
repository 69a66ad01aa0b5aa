"""Exponentials of small matrices against SciPy's."""

import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet

from smoothfit._core import _kernels


@pytest.mark.parametrize("m", [1, 2, 3, 6, 7, 12])  # loops of constant length up to six
def test_exponentials_and_their_derivatives_are_those_of_scipy(m):
    rng = np.random.default_rng(m)
    a, move = rng.standard_normal((2, 5, m, m))
    a *= np.array([0.0, 1e-9, 0.3, 4.0, 30.0])[:, None, None] / m
    found = _kernels.matrix_exponentials(np.stack([a, move], axis=-1))
    for one, direction, value in zip(a, move, found, strict=True):
        size = np.abs(expm(one)).max()
        np.testing.assert_allclose(value[..., 0], expm(one), rtol=1e-12, atol=1e-13 * size)
        np.testing.assert_allclose(value[..., 1], expm_frechet(one, direction)[1], rtol=1e-11, atol=1e-12 * size)
    np.testing.assert_array_equal(_kernels.matrix_exponentials(a[..., None])[..., 0], found[..., 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_has_no_exponential_is_not_a_number_and_leaves_the_others(bad):
    blocks = np.zeros((2, 2, 2, 1))
    blocks[0, 0, 1] = bad
    found = _kernels.matrix_exponentials(blocks)
    assert not np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[1, ..., 0], np.eye(2))


def test_of_none_there_are_none():
    assert _kernels.matrix_exponentials(np.empty((0, 3, 3, 1))).shape == (0, 3, 3, 1)


def test_other_shapes_are_refused():
    for shape in [(2, 3, 2, 1), (2, 2, 2, 3), (2, 2, 2)]:
        with pytest.raises(ValueError, match=r"blocks are|N is 0 or 1"):
            _kernels.matrix_exponentials(np.zeros(shape))
