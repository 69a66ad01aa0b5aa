"""Rows of tensor products: observed functionals of a surface, of every product of basis functions, stored by variable.

A row is the Kronecker product of the factors' rows, of a few entries each, the last variable fastest. Those of one cell of the grid
of pieces have their entries in the same columns: they are reduced there to a small triangle before they enter the band, so that
neither memory nor the greater part of the work is proportional to the number of observations times the width of the band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, vstack

from .._core import _kernels
from .._validation import FloatArray, IntArray
from ..basis import TensorProductBasis
from ..basis.base import Basis
from ..basis.sparse import rows_of
from .band import BandRows, Factor, pack

MOST_ENTRIES = 2**22  # of rows that are multiplied out at a time


class ProductRows(NamedTuple):
    """Rows of a tensor product: the rows of each factor (n), and the factors' numbers of functions."""

    factors: tuple[BandRows, ...]
    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        return len(self.factors[0].first)

    @property
    def strides(self) -> IntArray:
        """By how much a step of each factor's index moves the column."""
        return np.append(np.cumprod(self.shape[:0:-1])[::-1], 1).astype(np.int64)

    @property
    def width(self) -> int:
        """Number of columns from the first entry of a row to its last."""
        return int(self._offsets[-1]) + 1

    @property
    def _offsets(self) -> IntArray:
        """Columns of a row's entries after the first."""
        steps = [stride * np.arange(rows.width) for stride, rows in zip(self.strides, self.factors, strict=True)]
        return np.asarray(reduce(np.add.outer, steps).ravel())

    @property
    def first(self) -> IntArray:
        """Column of each row's first entry; rows of one cell share it."""
        terms = [stride * rows.first for stride, rows in zip(self.strides, self.factors, strict=True)]
        return np.asarray(np.sum(terms, axis=0), dtype=np.int64)

    def take(self, index: IntArray | slice) -> ProductRows:
        return self._replace(factors=tuple(BandRows(rows.values[index], rows.first[index]) for rows in self.factors))

    def scaled(self, factors: FloatArray) -> ProductRows:
        return self._replace(factors=(self.factors[0].scaled(factors), *self.factors[1:]))

    def multiplied(self) -> FloatArray:
        """Entries (n, p) of the rows, in the columns first + offsets."""
        return reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), [rows.values for rows in self.factors])

    def sparse(self) -> csr_array:
        return rows_of(self.multiplied(), self.first[:, None] + self._offsets, int(np.prod(self.shape)))

    def band(self) -> BandRows:
        """Return rows of the full width."""
        values = np.zeros((self.n, self.width))
        values[:, self._offsets] = self.multiplied()
        return BandRows(values, self.first)

    def chunks(self) -> Iterator[BandRows]:
        """The rows in their full width, as many at a time as memory allows."""
        size = max(1, MOST_ENTRIES // self.width)
        for start in range(0, self.n, size):
            yield self.take(slice(start, start + size)).band()

    def times(self, columns: FloatArray) -> FloatArray:
        size = max(1, MOST_ENTRIES // len(self._offsets))
        parts = [np.asarray(self.take(slice(i, i + size)).sparse() @ columns) for i in range(0, self.n, size)]
        return np.concatenate(parts) if parts else np.zeros((0, *columns.shape[1:]))

    def dense(self, K: int) -> FloatArray:
        return np.asarray(self.sparse().toarray())

    def factor(self, rhs: FloatArray, K: int, w: int) -> Factor:
        first, offsets = self.first, self._offsets
        order = np.argsort(first, kind="stable")
        found = Factor(np.zeros((K, w)), np.zeros(K), 0.0)
        size = max(1, MOST_ENTRIES // len(offsets))
        for start in range(0, self.n, size):
            chosen = order[start : start + size]
            cells = _reduced(self.take(chosen).multiplied(), rhs[chosen], first[chosen])
            found = _absorbed(found, *cells, offsets, self.width)
        return found


def _reduced(values: FloatArray, rhs: FloatArray, cell: IntArray) -> tuple[FloatArray, FloatArray, IntArray, float]:
    """Entries, right-hand sides, cells and rest of rows, sorted by cell, of which those of one cell are brought to a triangle."""
    p = values.shape[1]
    ends = np.append(np.flatnonzero(np.diff(cell)) + 1, len(cell))
    starts = np.append(0, ends[:-1])
    if (ends - starts).max() <= p:
        return values, rhs, cell, 0.0
    parts, rest = [], 0.0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        rows: FloatArray = np.column_stack([values[start:end], rhs[start:end]])
        if len(rows) > p:
            rows = np.asarray(np.linalg.qr(rows, mode="r"))
            rest += float(np.sum(rows[p:, p] ** 2))
            rows = rows[:p]
        parts.append(rows)
    joined = np.concatenate(parts)
    counts = np.minimum(ends - starts, p)
    return joined[:, :p], joined[:, p], np.repeat(cell[starts], counts), rest


def _absorbed(
    factor: Factor, values: FloatArray, rhs: FloatArray, cell: IntArray, rest: float, offsets: IntArray, width: int
) -> Factor:
    """The factor of its rows and of those of cells in increasing order."""
    size = max(1, MOST_ENTRIES // width)
    for start in range(0, len(cell), size):
        part = slice(start, start + size)
        band = np.zeros((len(cell[part]), width))
        band[:, offsets] = values[part]
        factor = Factor(*_kernels.absorb_rows(band, np.ascontiguousarray(cell[part]), np.ascontiguousarray(rhs[part]), *factor))
    return factor._replace(rest=factor.rest + rest)


def rows_at(basis: TensorProductBasis, X: FloatArray, deriv: IntArray | Sequence[int]) -> ProductRows:
    """Rows of partial derivatives of orders deriv (n, d) or (d,) at points X (n, d)."""
    orders = np.broadcast_to(np.asarray(deriv, dtype=np.int64), X.shape)
    factors = [_factor_rows(factor, X[:, j], orders[:, j]) for j, factor in enumerate(basis.factors)]
    return ProductRows(tuple(factors), basis.shape)


def rows_over(basis: TensorProductBasis, lower: FloatArray, upper: FloatArray) -> ProductRows:
    """Rows of integrals over boxes from lower (n, d) to upper (n, d)."""
    factors = [pack(factor.integral(lower[:, j], upper[:, j], sparse=True)) for j, factor in enumerate(basis.factors)]
    return ProductRows(tuple(factors), basis.shape)


def _factor_rows(basis: Basis, x: FloatArray, orders: IntArray) -> BandRows:
    """Rows of derivatives of one factor at x (n,), each of its own order."""
    kinds = np.unique(orders).tolist()
    if len(kinds) == 1:
        return pack(basis.design(x, kinds[0]))
    places = [np.flatnonzero(orders == k) for k in kinds]
    rows = vstack([basis.design(x[place], k) for k, place in zip(kinds, places, strict=True)], format="csr")
    return pack(csr_array(rows[np.argsort(np.concatenate(places), kind="stable")]))
