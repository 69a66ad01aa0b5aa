"""Banded least squares: rows with few neighbouring entries, triangular factors, and what the kernels make of them.

A factor R (K, w) holds an upper band row by row, R[j, i] the entry (j, j + i); see ``smoothfit/_core/band.hpp``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve_banded
from scipy.linalg.lapack import dtbtrs
from scipy.sparse import csr_array

from .._core import _kernels
from .._validation import FloatArray
from ..basis import BSplineBasis
from ..basis.extrapolation import outside_error

CHUNK = 2**15  # observations that a pass takes at once, so that what it makes of them stays in a cache


class BandRows(NamedTuple):
    """Rows of a matrix with K columns: values (n, width) in the columns first (n) .. first + width - 1."""

    values: FloatArray
    first: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.first)

    @property
    def width(self) -> int:
        """Number of stored columns of a row."""
        return int(self.values.shape[1])

    def take(self, index: npt.NDArray[np.int64]) -> BandRows:
        return BandRows(self.values[index], self.first[index])

    def scaled(self, factors: FloatArray) -> BandRows:
        """Return the rows times factors (n,)."""
        return BandRows(self.values * factors[:, None], self.first)

    def times(self, columns: FloatArray) -> FloatArray:
        """Return the product with columns (K,) or (K, d)."""
        index = self.first[:, None] + np.arange(self.width)
        return np.asarray(np.einsum("nw,nw...->n...", self.values, columns[index]))

    def sparse(self, K: int) -> csr_array:
        """Return the matrix (n, K), zeros of the rows included."""
        n, width = self.values.shape
        columns = self.first[:, None] + np.arange(width)
        return csr_array((self.values.ravel(), columns.ravel(), np.arange(0, n * width + 1, width)), shape=(n, K))

    def dense(self, K: int) -> FloatArray:
        """Return the matrix (n, K)."""
        matrix = np.zeros((len(self.first), K))
        np.put_along_axis(matrix, self.first[:, None] + np.arange(self.width), self.values, axis=1)
        return matrix

    def factor(self, rhs: FloatArray, K: int, w: int) -> Factor:
        """Triangular factor of the rows in a band of width w >= self.width."""
        return factorize(self, rhs, K, w)

    def chunks(self) -> Iterator[BandRows]:
        """The rows themselves."""
        yield self


def pack(matrix: csr_array) -> BandRows:
    """Store the rows of a sparse matrix from their first entry to their last."""
    n, K = matrix.shape
    counts = np.diff(matrix.indptr)
    columns = matrix.indices.astype(np.int64)
    if n and counts.min() == counts.max() and counts[0] > 0:
        table = columns.reshape(n, -1)
        if (np.diff(table, axis=1) == 1).all():  # as B-splines come
            return BandRows(matrix.data.reshape(n, -1), np.ascontiguousarray(table[:, 0]))
    row = np.repeat(np.arange(n), counts)
    low, high = np.full(n, K - 1), np.zeros(n, dtype=np.int64)
    np.minimum.at(low, row, columns)
    np.maximum.at(high, row, columns)
    width = int((high - low).max(initial=0)) + 1
    first = np.minimum(low, K - width)
    values = np.zeros((n, width))
    np.add.at(values, (row, columns - first[row]), matrix.data)
    return BandRows(values, first.astype(np.int64))


def join(parts: Sequence[BandRows]) -> BandRows:
    """Put rows below one another; narrower ones are filled up with zeros on their right, or left at the last columns."""
    width = max(part.width for part in parts)
    K = max(int(part.first.max(initial=0)) + part.width for part in parts)
    return BandRows(
        np.concatenate([_widened(part, width, K - width) for part in parts]),
        np.concatenate([np.minimum(part.first, K - width) for part in parts]),
    )


def _widened(rows: BandRows, width: int, last: int) -> FloatArray:
    """Values of rows in a greater width, those that begin beyond column `last` beginning there."""
    values = np.zeros((rows.n, width))
    shift = np.maximum(rows.first - last, 0)
    values[np.arange(rows.n)[:, None], shift[:, None] + np.arange(rows.width)] = rows.values
    return values


class Factor(NamedTuple):
    """What rows and a right-hand side amount to: |B c - y|^2 = |R c - z|^2 + rest."""

    R: FloatArray
    z: FloatArray
    rest: float


def factorize(rows: BandRows, rhs: FloatArray, K: int, w: int) -> Factor:
    """Triangular factor of rows in a band of width w >= rows.width."""
    return absorb(Factor(np.zeros((K, w)), np.zeros(K), 0.0), rows, rhs)


def absorb(factor: Factor, rows: BandRows, rhs: FloatArray) -> Factor:
    """The factor of its own rows and of others, in a band as wide as the widest."""
    R, z, rest = factor
    if len(R) == 0:
        return Factor(R, z, rest + float(rhs @ rhs))
    R = np.pad(R, ((0, 0), (0, max(0, rows.width - R.shape[1]))))
    first, values = rows.first, rows.values
    if (np.diff(first) < 0).any():  # in another order the rows would fill the band below them
        order = np.argsort(first, kind="stable")
        first, values, rhs = first[order], values[order], rhs[order]
    arrays = (np.ascontiguousarray(array, dtype=np.float64) for array in (values, rhs))
    values, rhs = arrays
    return Factor(*_kernels.absorb_rows(values, np.ascontiguousarray(first), rhs, R, z, rest))


def is_increasing(x: FloatArray) -> bool:
    """Whether no entry of x is below the one before, or NaN, without a copy of x."""
    return all(bool((x[i + 1 : i + 1 + CHUNK] >= x[i : i + CHUNK][: len(x) - i - 1]).all()) for i in range(0, len(x), CHUNK))


def factorize_readings(basis: BSplineBasis, x: FloatArray, y: FloatArray, root: FloatArray, deriv: int, w: int) -> Factor:
    """Triangular factor of the rows of f^(deriv) at x (n,), times `root` (n,) or, where that is empty, one; no row is kept."""
    order = None if is_increasing(x) else np.argsort(x, kind="stable")
    if order is not None:
        x, y, root = x[order], y[order], root[order] if len(root) else root
    x, y, root = np.ascontiguousarray(x), np.ascontiguousarray(y), np.ascontiguousarray(root)
    try:
        return Factor(*_kernels.absorb_spline_rows(x, y, root, basis.knots, *basis.lookup, basis.degree, deriv, True, w))
    except _kernels.KernelError as error:
        i = error.args[1] if order is None else int(order[error.args[1]])
        raise outside_error(x if order is None else x[np.argsort(order)], i, basis.domain) from None


def rows_of_factor(R: FloatArray) -> BandRows:
    """The rows of a factor, as ending within the matrix."""
    K, w = R.shape
    width = min(w, K)
    first = np.minimum(np.arange(K), K - width)
    values = R[:, :width].copy()
    for j in range(K - width + 1, K):
        shift = j - (K - width)
        values[j] = np.concatenate([np.zeros(shift), R[j, : width - shift]])
    return BandRows(values, first.astype(np.int64))


def merged(factors: Sequence[Factor]) -> Factor:
    """The factor of the rows of several, of one width: their rows interleaved, so that the band stays."""
    if len(factors) == 1:
        return factors[0]
    K, w = factors[0].R.shape
    rows = join([rows_of_factor(factor.R) for factor in factors])
    whole = factorize(rows, np.concatenate([factor.z for factor in factors]), K, w)
    return whole._replace(rest=whole.rest + sum(factor.rest for factor in factors))


class Solution(NamedTuple):
    """The minimiser of sum_s scale_s^2 |R_s c - z_s|^2 and what goes with it.

    R, z : factor of the whole; coef (K,); inverse (K, w): band of (R'R)^-1; misfit (S,): |R_s coef - z_s|^2; trace (S,):
    tr[(R'R)^-1 R_s'R_s]; log_det: log|R'R|; rest: the minimum.
    """

    R: FloatArray
    z: FloatArray
    coef: FloatArray
    inverse: FloatArray
    misfit: FloatArray
    trace: FloatArray
    log_det: float
    rest: float


class Values(NamedTuple):
    """log|R'R| (L,) and the minima (L,) of Solutions, and where asked for misfit and trace (L, S).

    Not finite where the sources do not determine the minimiser.
    """

    log_det: FloatArray
    rest: FloatArray
    misfit: FloatArray
    trace: FloatArray


class Slope(NamedTuple):
    """Derivatives of a Solution's misfit (S,), trace (S,), log_det and rest along a direction of the scales."""

    misfit: FloatArray
    trace: FloatArray
    log_det: float
    rest: float


def solve_stack(sources: FloatArray, rhs: FloatArray, scale: FloatArray) -> Solution:
    """Solve stacked factors (S, K, w) with right-hand sides (S, K) and scales (S,)."""
    S, K, w = sources.shape
    if K == 0:  # no coefficient is free: the kernels expect one
        return Solution(np.zeros((0, w)), np.zeros(0), np.zeros(0), np.zeros((0, w)), np.zeros(S), np.zeros(S), 0.0, 0.0)
    return Solution(*_kernels.solve_stack(sources, rhs, scale))


def stack_values(sources: FloatArray, rhs: FloatArray, scales: FloatArray, solved: bool = False) -> Values:
    """What `solve_stack` finds for scales (L, S) before it solves, or, `solved`, all numbers: eight of them side by side."""
    if sources.shape[1] == 0:
        return Values(*np.zeros((2, len(scales))), *np.zeros((2, *scales.shape)))
    return Values(*_kernels.stack_values(sources, rhs, scales, solved))


def solve_stack_slope(sources: FloatArray, rhs: FloatArray, scale: FloatArray, slope: FloatArray) -> Slope:
    """Differentiate `solve_stack` along `slope` (S,), exactly."""
    if sources.shape[1] == 0:
        return Slope(np.zeros(len(scale)), np.zeros(len(scale)), 0.0, 0.0)
    return Slope(*_kernels.solve_stack_slope(sources, rhs, scale, slope))


def forms(rows: BandRows, band: FloatArray) -> FloatArray:
    """Quadratic forms b'Mb of rows in a symmetric band (K, w), (n,)."""
    return np.asarray(_kernels.band_forms(np.ascontiguousarray(rows.values), rows.first, band))


def _lapack(R: FloatArray) -> FloatArray:
    """The factor in LAPACK's upper band storage."""
    K, w = R.shape
    stored = np.zeros((w, K))
    for i in range(min(w, K)):
        stored[w - 1 - i, i:] = R[: K - i, i]
    return stored


def solve_gram(R: FloatArray, rhs: FloatArray) -> FloatArray:
    """Return (R'R)^-1 rhs."""
    return np.asarray(cho_solve_banded((_lapack(R), False), rhs))


def solve_factor(R: FloatArray, rhs: FloatArray) -> FloatArray:
    """Return R^-1 rhs."""
    return _solve_triangle(R, rhs, "N")


def solve_transposed(R: FloatArray, rhs: FloatArray) -> FloatArray:
    """Return R'^-1 rhs."""
    return _solve_triangle(R, rhs, "T")


def _solve_triangle(R: FloatArray, rhs: FloatArray, trans: str) -> FloatArray:
    if not rhs.size:
        return np.zeros(rhs.shape)
    solution, info = dtbtrs(_lapack(R), rhs, trans=trans)
    if info:
        raise np.linalg.LinAlgError(f"the factor is singular in row {info - 1}")
    return np.asarray(solution)


def multiply_factor(R: FloatArray, columns: FloatArray) -> FloatArray:
    """Return R @ columns, for columns (K,) or (K, d)."""
    K, w = R.shape
    product = np.zeros(columns.shape)
    for i in range(min(w, K)):
        diagonal = R[: K - i, i]
        product[: K - i] += diagonal.reshape(-1, *(1,) * (columns.ndim - 1)) * columns[i:]
    return product
