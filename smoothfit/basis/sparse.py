"""Sparse matrices with the same number of entries in every row, and Kronecker products."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, kron

from .._validation import FloatArray, check_memory

LARGEST_INT32 = np.iinfo(np.int32).max
ENTRY = 24.0  # bytes of an entry of a sparse matrix while it is made: its number, two indices
PRODUCT = 80.0  # of an entry of a row-wise product, with the places of its factors
FEWER = "use fewer knots, fewer variables, or fewer rows at a time"


def rows_of(values: FloatArray, columns: npt.NDArray[Any], n_columns: int) -> csr_array:
    """Matrix (n, n_columns) with entries values (n, width) in columns (n, width), increasing in each row."""
    fits = max(values.size, n_columns) <= LARGEST_INT32
    kind = np.int32 if fits else np.int64  # both index arrays of one type, or SciPy copies
    indptr = np.arange(0, values.size + 1, values.shape[1], dtype=kind)
    return csr_array((values.ravel(), columns.ravel().astype(kind, copy=False), indptr), shape=(len(values), n_columns))


def to_dense(matrix: Any) -> FloatArray:
    n, m = matrix.shape
    check_memory(8.0 * n * m, f"a dense matrix of {n} rows and {m} columns", "pass sparse=True, or use fewer rows or functions")
    return np.asarray(matrix.toarray())


def spread(rows: csr_array, places: npt.NDArray[Any], n: int) -> csr_array:
    """The rows at their places among n, the others zero."""
    counts = np.zeros(n, dtype=rows.indptr.dtype)
    counts[places] = np.diff(rows.indptr)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(rows.indptr.dtype)
    return csr_array((rows.data, rows.indices, indptr), shape=(n, rows.shape[1]))


def kronecker_products(matrices: Sequence[Any]) -> csr_array:
    """Kronecker product of all the matrices, the last index fastest."""
    entries = prod(float(matrix.nnz) for matrix in matrices)
    rows = prod(float(matrix.shape[0]) for matrix in matrices)
    check_memory(2 * ENTRY * entries + 8 * rows, f"a product of {len(matrices)} matrices with {entries:.3g} entries", FEWER)
    return csr_array(reduce(_kronecker_product, matrices))


def _kronecker_product(a: Any, b: Any) -> Any:  # untyped: resolving the overloads of kron would take mypy a minute
    return csr_array(kron(a, b))


def row_products(matrices: Sequence[csr_array]) -> csr_array:
    """Row-wise Kronecker products of matrices with as many rows, the last index fastest."""
    counts = np.prod([np.diff(matrix.indptr).astype(np.float64) for matrix in matrices], axis=0)
    check_memory(PRODUCT * counts.sum(), f"a design of {len(counts)} rows with {counts.sum():.3g} entries", FEWER)
    return reduce(_row_product, matrices)


def _row_product(a: csr_array, b: csr_array) -> csr_array:
    n = a.shape[0]
    counts_a, counts_b = np.diff(a.indptr).astype(np.int64), np.diff(b.indptr).astype(np.int64)
    counts = counts_a * counts_b
    indptr = np.concatenate([[0], np.cumsum(counts)])
    row = np.repeat(np.arange(n), counts)
    within = np.arange(indptr[-1]) - indptr[row]
    left = a.indptr[row] + within // np.maximum(counts_b[row], 1)
    right = b.indptr[row] + within % np.maximum(counts_b[row], 1)
    columns = a.indices[left].astype(np.int64) * b.shape[1] + b.indices[right]
    return csr_array((a.data[left] * b.data[right], columns, indptr), shape=(n, a.shape[1] * b.shape[1]))
