"""The kernels of bases against SciPy, and what they refuse."""

import numpy as np
import pytest
from scipy.interpolate import BPoly, BSpline
from scipy.special import comb

from smoothfit._core import _kernels

DEGREES = range(_kernels.MAX_DEGREE + 1)
BREAKS = np.array([0.0, 0.01, 0.3, 0.35, 1.0, 4.0])


def make_knots(degree):
    """Clamped at the left end, not at the right, one knot inside double."""
    inner = np.insert(BREAKS, 3, BREAKS[3]) if degree else BREAKS
    return np.concatenate([np.zeros(degree), inner, 4.0 + np.arange(1.0, degree + 1)])


def pieces_of(knots, degree):
    within = knots[degree : len(knots) - degree]
    span = degree + np.flatnonzero(np.diff(within) > 0)
    breaks = np.append(knots[span], within[-1])
    return breaks, span, _kernels.cells(breaks, 4 * len(span))


@pytest.mark.parametrize("n_cells", [1, 2, 7, 100])
def test_a_cell_knows_the_piece_in_which_it_begins(n_cells):
    starts = BREAKS[-1] * np.arange(n_cells) / n_cells
    pieces = np.maximum(np.searchsorted(BREAKS, starts) - 1, 0)
    np.testing.assert_array_equal(_kernels.cells(BREAKS, n_cells), np.append(pieces, 4))


@pytest.mark.parametrize("degree", DEGREES)
def test_rows_are_those_of_scipy(degree):
    knots = make_knots(degree)
    pieces, n_basis = pieces_of(knots, degree), len(knots) - degree - 1
    rng = np.random.default_rng(degree)
    x = rng.permutation(np.concatenate([rng.uniform(0, 4, 40), rng.uniform(0, 0.01, 5), [0.0, 4.0]]))
    beyond = np.concatenate([x, [-0.5, 4.5]])
    for deriv in {0, degree // 2, degree}:
        spline = BSpline(knots, np.eye(n_basis), degree)
        expected = spline(beyond, nu=deriv)
        size = 1e-11 * np.abs(expected).max()  # SciPy's own rounding
        rows, columns = _kernels.basis_rows(beyond, knots, *pieces, degree, deriv, False)
        dense = np.zeros((len(beyond), n_basis))
        np.put_along_axis(dense, columns.astype(np.int64), rows, axis=1)
        np.testing.assert_allclose(dense, expected, rtol=1e-10, atol=size)
        for skipped in {0, 1, n_basis - 1}:
            stored = _kernels.dense_rows(x, knots, *pieces, degree, deriv, True, skipped)
            np.testing.assert_array_equal(stored, dense[: len(x), skipped:])


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("n_columns", [1, 3])
def test_splines_are_those_of_scipy(degree, n_columns):
    rng = np.random.default_rng(degree)
    coef = rng.standard_normal((5, degree + 1, n_columns))
    scaled = coef * comb(degree, np.arange(degree + 1))[:, None]
    x = np.concatenate([rng.uniform(0, 4, 40), rng.uniform(0, 0.01, 5), BREAKS])
    values = _kernels.spline_values(x, BREAKS, np.arange(5), _kernels.cells(BREAKS, 9), 1 / np.diff(BREAKS), scaled, True)
    np.testing.assert_allclose(values, BPoly(coef.swapaxes(0, 1), BREAKS)(x), rtol=1e-12, atol=1e-13 * np.abs(coef).max())


@pytest.mark.parametrize("x", [-1e-300, np.nextafter(4.0, 5.0), np.nan, np.inf])
def test_what_is_outside_is_told_with_its_place(x):
    knots = make_knots(2)
    points, pieces = np.array([0.5, x, 0.5]), pieces_of(knots, 2)
    for call in (
        lambda: _kernels.basis_rows(points, knots, *pieces, 2, 0, True),
        lambda: _kernels.dense_rows(points, knots, *pieces, 2, 0, True, 0),
        lambda: _kernels.spline_values(points, *pieces, np.ones(5), np.ones((5, 3, 1)), True),
    ):
        with pytest.raises(_kernels.KernelError) as caught:
            call()
        assert caught.value.args == ("outside", 1)


def test_what_is_no_number_has_no_values():
    knots = make_knots(2)
    rows, columns = _kernels.basis_rows(np.array([np.nan]), knots, *pieces_of(knots, 2), 2, 0, False)
    assert np.isnan(rows).all()
    assert 0 <= columns.min() <= columns.max() < len(knots) - 3


KNOTS = make_knots(2)
PIECES = pieces_of(KNOTS, 2)
X = np.array([0.5])


@pytest.mark.parametrize(
    "call",
    [
        lambda: _kernels.cells(BREAKS[:1], 3),
        lambda: _kernels.cells(BREAKS, 0),
        lambda: _kernels.cells(BREAKS[::-1].copy(), 3),
        lambda: _kernels.basis_rows(X, KNOTS, BREAKS[:-1], *PIECES[1:], 2, 0, True),
        lambda: _kernels.basis_rows(X, KNOTS, *PIECES[:2], PIECES[2] + np.int32(1), 2, 0, True),
        lambda: _kernels.basis_rows(X, KNOTS, *PIECES[:2], PIECES[2] - np.int32(1), 2, 0, True),
        lambda: _kernels.basis_rows(X, KNOTS, PIECES[0], PIECES[1] + 3, PIECES[2], 2, 0, True),
        lambda: _kernels.basis_rows(X, KNOTS, PIECES[0], PIECES[1] - 1, PIECES[2], 2, 0, True),
        lambda: _kernels.basis_rows(X, KNOTS, *PIECES, 2, 3, True),
        lambda: _kernels.basis_rows(X, KNOTS, *PIECES, 13, 0, True),
        lambda: _kernels.basis_rows(X, KNOTS, *PIECES, -1, 0, True),
        lambda: _kernels.dense_rows(X, KNOTS, *PIECES, 2, -1, True, 0),
        lambda: _kernels.dense_rows(X, KNOTS, *PIECES, 2, 0, True, len(KNOTS) - 3),
        lambda: _kernels.spline_values(X, *PIECES, np.ones(4), np.ones((5, 3, 1)), True),
        lambda: _kernels.spline_values(X, *PIECES, np.ones(5), np.ones((4, 3, 1)), True),
        lambda: _kernels.spline_values(X, *PIECES, np.ones(5), np.ones((5, 14, 1)), True),
    ],
)
def test_sizes_are_checked(call):
    with pytest.raises(ValueError, match=r"breaks|cells|span|degree|deriv|skipped|scaled|per_width"):
        call()
