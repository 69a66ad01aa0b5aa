"""Covariances of coefficients, of every kind, as what they do to rows.

==============  =====================================================================================================
``bayesian``    A^-1: right coverage across the function (Wahba 1983; Nychka 1988)
``frequentist`` A^-1 B'V^-1B A^-1: of the estimator at a fixed curve, its bias left out
``HC0``         A^-1 (sum_i e_i^2 b_i b_i' / v_i^2) A^-1, e_i = y_i - b_i c and v_i the variance of observation i (White 1980)
``HC1``         n / (n - edf) times that
``HC2, HC3``    with e_i^2 / (1 - h_i) and e_i^2 / (1 - h_i)^2, h_i the leverage (MacKinnon & White 1985)
``HAC``         with autocovariances of b_i e_i / v_i in order of x, Bartlett weights up to `maxlags` (Newey & West 1987)
``cluster``     with sums of b_i e_i / v_i over the `groups` (Liang & Zeger 1986)
==============  =====================================================================================================

With correlated errors b_i and e_i of ``HC`` and ``HAC`` are rows and residuals made independent: they allow for what the
correlation leaves. A given covariance has no such residuals of its own, and takes ``cluster`` alone, where it is zero across
clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array

from .._validation import FloatArray, check_choice
from ..errors import SpecificationError
from .band import BandRows, Solution, forms, pack, solve_factor, solve_gram, solve_transposed
from .products import ProductRows

MOST_SOLVED = 1_000_000  # entries of a triangular solution for all rows together; beyond, the band of the inverse serves
COV_TYPES = ("bayesian", "frequentist", "HC0", "HC1", "HC2", "HC3", "HAC", "cluster")


class Covariance(Protocol):
    """A covariance C (K, K) of coefficients."""

    def variance(self, rows: BandRows | ProductRows) -> FloatArray:
        """Diagonal of B C B' for rows B, (n,)."""

    def times(self, columns: FloatArray) -> FloatArray:
        """Return C @ columns."""

    def root(self) -> FloatArray:
        """Return a matrix (K, r) of which the product with its transpose is C."""


@dataclass(frozen=True, eq=False)
class Banded:
    """C = (R'R)^-1, with its band."""

    R: FloatArray
    inverse: FloatArray

    def variance(self, rows: BandRows | ProductRows) -> FloatArray:
        return np.concatenate([self._variance(part) for part in rows.chunks()])

    def _variance(self, rows: BandRows) -> FloatArray:
        n, K = len(rows.first), len(self.R)
        if rows.width <= self.inverse.shape[1] and n * K > MOST_SOLVED:
            return np.maximum(forms(rows, self.inverse), 0.0)
        return np.asarray(np.sum(solve_transposed(self.R, rows.dense(K).T) ** 2, axis=0))  # sums of squares lose no digits

    def times(self, columns: FloatArray) -> FloatArray:
        return solve_gram(self.R, columns)

    def root(self) -> FloatArray:
        """R^-1."""
        return solve_factor(self.R, np.eye(len(self.R)))


@dataclass(frozen=True, eq=False)
class Substituted:
    """C = N D N', D the covariance of what sparse columns N (K, d) combine."""

    inner: Banded
    columns: csr_array

    def variance(self, rows: BandRows | ProductRows) -> FloatArray:
        parts = (pack(csr_array(part.sparse(self.columns.shape[0]) @ self.columns)) for part in rows.chunks())
        return np.concatenate([self.inner.variance(part) for part in parts])

    def times(self, columns: FloatArray) -> FloatArray:
        return np.asarray(self.columns @ self.inner.times(self.columns.T @ columns))

    def root(self) -> FloatArray:
        """N R^-1."""
        return np.asarray(self.columns @ self.inner.root())


@dataclass(frozen=True, eq=False)
class Factored:
    """C = F F'."""

    F: FloatArray

    def variance(self, rows: BandRows | ProductRows) -> FloatArray:
        return np.asarray(np.sum(rows.times(self.F) ** 2, axis=1))

    def times(self, columns: FloatArray) -> FloatArray:
        return np.asarray(self.F @ (self.F.T @ columns))

    def root(self) -> FloatArray:
        """F."""
        return self.F


def covariance_of(solution: Solution, columns: csr_array | None) -> Covariance:
    """A^-1 of a solution, or, where sparse columns (K, d) combine what it solves for, of what they combine."""
    inner = Banded(solution.R, solution.inverse)
    return inner if columns is None else Substituted(inner, columns)


def check_cov_type(cov_type: object, options: dict[str, Any]) -> str:
    """Return the name of a covariance; refuse options that do not belong to it."""
    check_choice(cov_type, "cov_type", COV_TYPES)
    wanted = {"HAC": {"maxlags", "use_correction"}, "cluster": {"groups", "use_correction"}}.get(str(cov_type), set())
    unknown = set(options) - wanted
    if unknown:
        raise SpecificationError(
            f"cov_kwds has {sorted(unknown)}, which {cov_type!r} does not have; its options are {sorted(wanted) or 'none'}"
        )
    missing = (wanted - {"use_correction"}) - set(options)
    if missing:
        raise SpecificationError(f"cov_type={cov_type!r} needs cov_kwds={{{next(iter(missing))!r}: ...}}")
    return str(cov_type)
