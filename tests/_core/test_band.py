"""The kernels of banded least squares against dense algebra, and what they refuse."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit._core import _kernels
from smoothfit.regression.band import factorize_readings

RNG = np.random.default_rng(12)
K, W, N = 9, 4, 40
EMPTY = np.empty(0)


def upper(R):
    """A band as a matrix."""
    size, w = R.shape
    matrix = np.zeros((size, size + w))
    for j in range(size):
        matrix[j, j : j + w] = R[j]
    return matrix[:, :size]


def rows(n=N, width=W):
    first = np.sort(RNG.integers(0, K - width + 1, n))
    values = RNG.standard_normal((n, width))
    dense = np.zeros((n, K))
    np.put_along_axis(dense, first[:, None] + np.arange(width), values, axis=1)
    return values, first, dense


@pytest.mark.parametrize("shuffled", [False, True])
def test_absorbed_rows_keep_their_sums_of_squares(shuffled):
    values, first, dense = rows()
    y = RNG.standard_normal(N)
    if shuffled:
        order = RNG.permutation(N)
        values, first, dense, y = values[order], first[order], dense[order], y[order]
    R, z, rest = _kernels.absorb_rows(values, first, y, np.zeros((K, W)), np.zeros(K), 0.0)
    c = RNG.standard_normal(K)
    assert np.sum((upper(R) @ c - z) ** 2) + rest == pytest.approx(np.sum((dense @ c - y) ** 2), rel=1e-13)
    np.testing.assert_allclose(upper(R).T @ upper(R), dense.T @ dense, atol=1e-12)
    assert (R[:, 0] >= 0).all()


def test_recursive_residuals_are_errors_of_predictions_by_the_rows_before():
    values, first, matrix = rows()
    y = RNG.standard_normal(N)
    R, z, left = _kernels.recursive_residuals(values, first, y, np.zeros((K, W)), np.zeros(K))
    whole = _kernels.absorb_rows(values, first, y, np.zeros((K, W)), np.zeros(K), 0.0)
    np.testing.assert_array_equal(R, whole[0])
    np.testing.assert_array_equal(z, whole[1])
    assert left @ left == pytest.approx(whole[2], rel=1e-12)
    coef = np.linalg.lstsq(matrix[: N - 1], y[: N - 1])[0]
    seen = np.linalg.lstsq(matrix[: N - 1].T, matrix[N - 1])[0]
    assert left[N - 1] == pytest.approx((y[N - 1] - matrix[N - 1] @ coef) / np.sqrt(1 + seen @ seen), rel=1e-9)
    assert np.count_nonzero(left) == N - K  # the others fill an empty row of R


def test_a_stack_is_solved_with_its_traces_and_slopes():
    factors = []
    for _ in range(3):
        values, first, _ = rows()
        factors.append(_kernels.absorb_rows(values, first, RNG.standard_normal(N), np.zeros((K, W)), np.zeros(K), 0.0))
    sources, rhs = np.array([f[0] for f in factors]), np.array([f[1] for f in factors])
    scale, slope = np.array([1.0, 0.5, 2.0]), np.array([0.3, -0.2, 0.7])

    def solve(s):
        return _kernels.solve_stack(sources, rhs, s)

    R, z, coef, inverse, misfit, trace, log_det, rest = solve(scale)
    A = sum(s**2 * upper(f).T @ upper(f) for s, f in zip(scale, sources, strict=True))
    b = sum(s**2 * upper(f).T @ y for s, f, y in zip(scale, sources, rhs, strict=True))
    np.testing.assert_allclose(upper(R).T @ upper(R), A, atol=1e-11)
    np.testing.assert_allclose(upper(R).T @ z, b, atol=1e-11)
    np.testing.assert_allclose(coef, np.linalg.solve(A, b), rtol=1e-10)
    for i in range(W):
        np.testing.assert_allclose(inverse[: K - i, i], np.diag(np.linalg.inv(A), i), rtol=1e-9, atol=1e-14)
    expected = [np.sum((upper(f) @ coef - y) ** 2) for f, y in zip(sources, rhs, strict=True)]
    np.testing.assert_allclose(misfit, expected, rtol=1e-11)
    np.testing.assert_allclose(trace, [np.trace(np.linalg.solve(A, upper(f).T @ upper(f))) for f in sources], rtol=1e-10)
    assert log_det == pytest.approx(np.linalg.slogdet(A)[1], rel=1e-12)
    assert rest == pytest.approx(scale**2 @ misfit, rel=1e-11)
    scales = scale * np.array([[1.0], [2.0], [1.0]])
    log_dets, rests, misfits, traces = _kernels.stack_values(sources, rhs, scales, True)
    np.testing.assert_allclose(log_dets[[0, 2]], log_det, rtol=1e-14)
    np.testing.assert_allclose(rests, rest * np.array([1, 4, 1]), rtol=1e-12)
    np.testing.assert_allclose(misfits, np.tile(misfit, (3, 1)), rtol=1e-12)
    np.testing.assert_allclose(traces[0], trace, rtol=1e-12)
    np.testing.assert_array_equal(_kernels.stack_values(sources, rhs, scales, False)[0], log_dets)
    h = 1e-6
    slopes = _kernels.solve_stack_slope(sources, rhs, scale, slope)
    ahead, behind = solve(scale + h * slope), solve(scale - h * slope)
    for exact, i in zip(slopes, (4, 5, 6, 7), strict=True):
        np.testing.assert_allclose(exact, (np.asarray(ahead[i]) - behind[i]) / (2 * h), rtol=1e-6, atol=1e-7)
    values, first, dense = rows(width=3)
    np.testing.assert_allclose(_kernels.band_forms(values, first, inverse), np.diag(dense @ np.linalg.inv(A) @ dense.T), rtol=1e-9)


@pytest.mark.parametrize("degree", [0, 1, 3, 10, 12])
@pytest.mark.parametrize("n", [1, 7, 5000])
@pytest.mark.parametrize("weighted", [False, True])
def test_streamed_rows_are_stored_rows(degree, n, weighted):
    basis = sf.BSplineBasis.uniform(0, 1, 6, degree=min(degree, 10))
    degree = basis.degree
    x, y = np.sort(RNG.uniform(0, 1, n)), RNG.standard_normal(n)
    root = RNG.uniform(0.5, 2, n) if weighted else EMPTY
    for deriv in {0, degree // 2, degree}:
        design = basis.design(x, deriv, sparse=False) * (root[:, None] if weighted else 1.0)
        R, z, rest = _kernels.absorb_spline_rows(x, y, root, basis.knots, *basis.lookup, degree, deriv, True, degree + 1)
        rhs = y * root if weighted else y
        size = np.abs(design.T @ design).max()
        np.testing.assert_allclose(upper(R).T @ upper(R), design.T @ design, atol=1e-13 * size)
        np.testing.assert_allclose(upper(R).T @ z, design.T @ rhs, atol=1e-12 * np.sqrt(size * n))
        assert z @ z + rest == pytest.approx(rhs @ rhs, rel=1e-13)


def test_streamed_rows_in_any_order_are_right():
    basis = sf.BSplineBasis.uniform(0, 1, 6)
    x, y = RNG.uniform(0, 1, 300), RNG.standard_normal(300)
    factor = factorize_readings(basis, x, y, EMPTY, 0, 5)
    design = basis.design(x, sparse=False)
    np.testing.assert_allclose(upper(factor.R).T @ upper(factor.R), design.T @ design, atol=1e-12)


def test_stops_are_told_with_their_place():
    basis = sf.BSplineBasis.uniform(0, 1, 6)
    with pytest.raises(_kernels.KernelError) as caught:
        _kernels.absorb_spline_rows(np.array([0.5, 2.0]), np.ones(2), EMPTY, basis.knots, *basis.lookup, 3, 0, True, 4)
    assert caught.value.args == ("outside", 1)
    with pytest.raises(_kernels.KernelError) as caught:
        _kernels.absorb_rows(np.ones((2, 3)), np.array([0, K]), np.ones(2), np.zeros((K, W)), np.zeros(K), 0.0)
    assert caught.value.args == ("outside", 1)
    sources = np.zeros((1, K, W))
    sources[0, :3, 0] = 1.0
    with pytest.raises(_kernels.KernelError) as caught:
        _kernels.solve_stack(sources, np.ones((1, K)), np.ones(1))
    assert caught.value.args == ("unidentified", 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: _kernels.absorb_rows(np.ones((2, 5)), np.zeros(2, np.int64), np.ones(2), np.zeros((K, W)), np.zeros(K), 0.0),
        lambda: _kernels.absorb_rows(np.ones((2, 3)), np.zeros(3, np.int64), np.ones(2), np.zeros((K, W)), np.zeros(K), 0.0),
        lambda: _kernels.absorb_rows(np.ones((2, 3)), np.zeros(2, np.int64), np.ones(1), np.zeros((K, W)), np.zeros(K), 0.0),
        lambda: _kernels.absorb_rows(np.ones((2, 3)), np.zeros(2, np.int64), np.ones(2), np.zeros((K, W)), np.zeros(2), 0.0),
        lambda: _kernels.solve_stack(np.ones((1, K, W)), np.ones((2, K)), np.ones(1)),
        lambda: _kernels.solve_stack(np.ones((1, K, W)), np.ones((1, K)), np.ones(2)),
        lambda: _kernels.solve_stack_slope(np.ones((1, K, W)), np.ones((1, K)), np.ones(1), np.ones(2)),
        lambda: _kernels.band_forms(np.ones((2, 5)), np.zeros(2, np.int64), np.ones((K, W))),
    ],
)
def test_sizes_are_checked(call):
    with pytest.raises(ValueError, match=r"is|wider"):
        call()
