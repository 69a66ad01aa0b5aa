"""Matrices W with W C W' = 1, which make the correlated errors of one series independent.

Of `AR1` and `OU` W has two entries a row, so that rows of B-splines stay rows of few entries: as many more as knots lie between two
neighbouring observations. Of a matrix W is the inverse of the Cholesky factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_banded, solve_triangular

from .._validation import FloatArray
from .band import BandRows


class Whitening(Protocol):
    """W with W C W' = 1."""

    @property
    def log_det(self) -> float:
        """log|C|."""

    @property
    def variances(self) -> FloatArray:
        """Diagonal of C, (n,)."""

    @property
    def precisions(self) -> FloatArray:
        """Diagonal of the inverse of C, (n,)."""

    def rows(self, rows: BandRows, K: int) -> BandRows:
        """Return W B for rows B of K columns."""

    def precision_rows(self, rows: BandRows, K: int) -> BandRows:
        """Return C^-1 B."""

    def times(self, values: FloatArray) -> FloatArray:
        """Return W v."""

    def transposed(self, values: FloatArray) -> FloatArray:
        """Return W'v."""

    def solve(self, values: FloatArray) -> FloatArray:
        """Return W^-1 v: independent errors made correlated."""

    def mixes(self, groups: npt.NDArray[Any]) -> bool:
        """Whether a row of W joins observations of different groups (n,)."""


@dataclass(frozen=True, eq=False)
class Chain:
    """W of a Markov chain: in order of x, (W v)_i = own_i v_i + before_i v_(i-1).

    `linked` (n,) marks observations that have one before them at all; `log_det` is log|C|.
    """

    order: npt.NDArray[np.int64]
    linked: npt.NDArray[np.bool_]
    own: FloatArray
    before: FloatArray
    log_det: float

    @property
    def variances(self) -> FloatArray:
        """Diagonal of C: ones, shape (n,)."""
        return np.ones(len(self.order))

    @property
    def precisions(self) -> FloatArray:
        return self._placed(self.own**2 + np.append(self.before[1:], 0.0) ** 2)

    def _placed(self, values: FloatArray) -> FloatArray:
        """Values in order of x, where the observations stand."""
        placed = np.empty_like(values)
        placed[self.order] = values
        return placed

    def times(self, values: FloatArray) -> FloatArray:
        v = values[self.order]
        return self._placed(self.own * v + self.before * np.concatenate([[0.0], v[:-1]]))

    def transposed(self, values: FloatArray) -> FloatArray:
        v = values[self.order]
        return self._placed(self.own * v + np.append((self.before * v)[1:], 0.0))

    def solve(self, values: FloatArray) -> FloatArray:
        bands = np.vstack([self.own, np.append(self.before[1:], 0.0)])
        return self._placed(np.asarray(solve_banded((1, 0), bands, values[self.order])))

    def rows(self, rows: BandRows, K: int) -> BandRows:
        ranked = BandRows(rows.values[self.order], rows.first[self.order])
        previous = np.where(self.linked, np.arange(len(self.order)) - 1, np.arange(len(self.order)))
        return self._replaced(_combined(ranked, self.own, np.where(self.linked, self.before, 0.0), previous, K))

    def precision_rows(self, rows: BandRows, K: int) -> BandRows:
        white = self.rows(rows, K)
        ranked = BandRows(white.values[self.order], white.first[self.order])
        index = np.arange(len(self.order))
        is_linked = np.append(self.linked[1:], False)
        following = np.where(is_linked, index + 1, index)
        factor = np.where(is_linked, np.append(self.before[1:], 0.0), 0.0)
        return self._replaced(_combined(ranked, self.own, factor, following, K))

    def _replaced(self, rows: BandRows) -> BandRows:
        place = np.argsort(self.order)
        return BandRows(rows.values[place], rows.first[place])

    def mixes(self, groups: npt.NDArray[Any]) -> bool:
        ranked = groups[self.order]
        return bool((ranked[1:] != ranked[:-1])[self.linked[1:]].any())


def _combined(rows: BandRows, own: FloatArray, factor: FloatArray, other: npt.NDArray[np.int64], K: int) -> BandRows:
    """Rows own_i b_i + factor_i b_other(i), from the first entry of both to the last."""
    start = np.minimum(rows.first, rows.first[other])
    stop = np.maximum(rows.first, rows.first[other]) + rows.width
    width = int((stop - start).max())
    first = np.minimum(start, K - width)
    values = np.zeros((len(first), width))
    row, column = np.arange(len(first))[:, None], np.arange(rows.width)
    values[row, (rows.first - first)[:, None] + column] = own[:, None] * rows.values
    values[row, (rows.first[other] - first)[:, None] + column] += factor[:, None] * rows.values[other]
    return BandRows(values, first)


@dataclass(frozen=True, eq=False)
class Dense:
    """W = L^-1 of a covariance C = LL'."""

    L: FloatArray

    @property
    def log_det(self) -> float:
        return 2 * float(np.log(np.diag(self.L)).sum())

    @property
    def variances(self) -> FloatArray:
        return np.asarray(np.sum(self.L**2, axis=1))

    @property
    def precisions(self) -> FloatArray:
        return np.asarray(np.sum(self.times(np.eye(len(self.L))) ** 2, axis=0))

    def times(self, values: FloatArray) -> FloatArray:
        return np.asarray(solve_triangular(self.L, values, lower=True))

    def transposed(self, values: FloatArray) -> FloatArray:
        return np.asarray(solve_triangular(self.L, values, lower=True, trans="T"))

    def solve(self, values: FloatArray) -> FloatArray:
        return np.asarray(self.L @ values)

    def rows(self, rows: BandRows, K: int) -> BandRows:
        return BandRows(self.times(rows.dense(K)), np.zeros(len(rows.first), dtype=np.int64))

    def precision_rows(self, rows: BandRows, K: int) -> BandRows:
        white = self.rows(rows, K)
        return white._replace(values=self.transposed(white.values))

    def mixes(self, groups: npt.NDArray[Any]) -> bool:
        return bool((self.L != 0)[groups[:, None] != groups].any())
