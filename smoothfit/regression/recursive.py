"""Recursive residuals of a penalised fit: standardised one-step-ahead prediction errors, independent under the model.

With rows b_i and observations y_i of noise variance one, in order of x, and the penalty as the prior |M c|^2 of the coefficients,

    e_i = (y_i - b_i'c_i) / sqrt(1 + b_i'A_i^-1 b_i),    A_i c_i = sum_{j before i} b_j y_j,   A_i = M'M + sum_{j before i} b_j b_j'

are independent standard normal numbers (R. L. Brown, J. Durbin and J. M. Evans 1975, "Techniques for testing the constancy of
regression relationships over time"; with a penalty they are the innovations of the Kalman filter). As many observations as there
are functions that no penalty touches come before all others and have no residual. Which they are is free: the errors of the others
are independent whatever is chosen (H. Theil 1971, "Principles of Econometrics", section 5.2). Of few functions they are the first
that determine these, as a diffuse filter takes them up; of many, as without a penalty, those where each is largest, since a spline
is hardly known far from the first observations.

Givens rotations that add an observation to the triangular factor of A leave its recursive residual (G. H. Golub and G. P. H.
Styan 1973, "Numerical computations for univariate linear models").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr
from scipy.sparse import csr_array

from .._core import _kernels
from .._validation import FloatArray, IntArray
from .band import BandRows, factorize, join, pack
from .fit import Fit

BLOCK = 32  # observations that are looked through together
FEW = 4  # functions, that the first observations identify well enough
NEW = 1e-4  # of the size of a row: what is left of it beside the rows before, from which it adds information
DEPENDENT = 1e-8  # of the largest singular value of a penalty, below which it leaves a direction free


class Record(NamedTuple):
    """Some observations of a fit in order of x, and its penalty, about the fit, in units of the noise.

    Attributes
    ----------
    rows : BandRows
        Independent rows (m, d), of variance one, of the d numbers that may move.
    residual : ndarray, shape (m,)
    prior : BandRows
        Rows of the penalty.
    target : ndarray
        What `prior` is to give.
    """

    rows: BandRows
    residual: FloatArray
    prior: BandRows
    target: FloatArray

    @property
    def width(self) -> int:
        """Of the band of the factor."""
        return max(self.rows.width, self.prior.width)

    def stretch(self, start: int, stop: int, free: FloatArray) -> tuple[Record, FloatArray]:
        """A stretch of the observations, with the columns that it sees and the penalty on these alone, and `free` of these."""
        rows, prior, d = self.rows.take(np.arange(start, stop)), self.prior, len(free)
        low, high = int(rows.first.min()), int(rows.first.max()) + rows.width
        if prior.width > high - low:  # a penalty that reaches over more columns, on which nothing else depends
            low, high = 0, d
        inside = np.flatnonzero((prior.first >= low) & (prior.first + prior.width <= high))
        rows, prior = rows._replace(first=rows.first - low), prior.take(inside)
        own = Record(rows, self.residual[start:stop], prior._replace(first=prior.first - low), self.target[inside])
        free = free[low:high, np.any(free[low:high] != 0, axis=0)]
        return own, np.linalg.qr(free)[0] if free.shape[1] <= FEW else free


def record_of(fit: Fit, index: IntArray) -> Record:
    """The observations `index` as a record."""
    found, rows, y = fit.estimate, fit.rows, fit.rows.observations.y
    sd = np.sqrt(fit.sigma2[rows.group[index]])
    seen = rows.rows_of(index)
    if any(white is not None for white in rows.whitenings):
        residual = fit.resid_whitened[index]
    else:
        residual = (y[index] / np.sqrt(rows.ratio[index]) - seen.times(fit.coef)) / sd
    kept = np.isfinite(found.tau)
    roots = [root for root, is_kept in zip(fit.specification.roots, kept, strict=True) if is_kept]
    parts = [root.scaled(np.full(root.n, np.sqrt(tau))) for tau, root in zip(found.tau[kept], roots, strict=True)]
    prior = join(parts) if parts else BandRows(np.zeros((0, 1)), np.zeros(0, np.int64))
    target = -prior.times(fit.coef)
    columns = found.columns if fit.active_rows is None else csr_array(fit.moving)
    seen = seen.scaled(1 / sd)
    if columns is not None:
        seen, prior = (pack(csr_array(part.sparse(fit.n_coef) @ columns)) for part in (seen, prior))
    return Record(seen, residual, prior, target)


def recursive_residuals(fit: Fit) -> FloatArray:
    """Recursive residuals of a fit of a curve, (n,) in the order of the observations; NaN where there is none."""
    residual, order = fit.resid_whitened, fit.order  # of chunks, whose observations are gone, this raises
    order = order[np.isfinite(fit.rows.ratio[order])]  # a loss may leave observations without weight
    found = np.full(len(fit.rows), np.nan)
    if not fit.n_moving:  # nothing is predicted
        found[order] = residual[order]
        return found
    record = record_of(fit, order)
    found[order] = recursive(record, free_of(fit, record.prior))[0]
    return found


def recursive(record: Record, free: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Recursive residuals (m,) of a record, NaN where there is none, and the factor R, z of all its rows.

    The columns `free` (d, k) are what the penalty leaves free.
    """
    rows, d = record.rows, len(free)
    first = _telling(rows, free)
    others = np.delete(np.arange(rows.n), first)
    start = np.concatenate([record.target, record.residual[first]])
    R, z, _ = factorize(join([record.prior, rows.take(first)]), start, d, record.width)
    found, rest = np.full(rows.n, np.nan), rows.take(others)
    R, z, found[others] = _kernels.recursive_residuals(rest.values, rest.first, record.residual[others], R, z)
    return found, R, z


def free_of(fit: Fit, prior: BandRows) -> FloatArray:
    """Columns (d, k) of what the penalty leaves free."""
    d, system = fit.n_moving, fit.estimate.system
    if fit.active_rows is None and (fit.estimate.tau > 0).all():
        return system.free if system.n_penalties else np.eye(d)
    if not prior.n:
        return np.eye(d)
    dense = prior.dense(d)
    _, sizes, axes = np.linalg.svd(dense / (np.linalg.norm(dense) or 1.0))
    return np.asarray(axes[int(np.count_nonzero(sizes > DEPENDENT * sizes.max(initial=0.0))) :].T)


def _telling(rows: BandRows, free: FloatArray) -> IntArray:
    """Rows that identify the functions of some columns (K, d), d of them."""
    k = free.shape[1]
    if k <= FEW:
        chosen = _first(rows, free)
        if len(chosen) == k:
            return chosen
    seen = rows.times(free)
    chosen = np.unique(np.abs(seen).argmax(axis=0)).astype(np.int64)
    if len(chosen) < k or np.abs(np.diag(np.linalg.qr(seen[chosen], mode="r"))).min() < NEW * np.abs(seen).max():
        chosen = qr(seen.T, mode="r", pivoting=True)[1][:k].astype(np.int64)
    return np.sort(chosen)


def _first(rows: BandRows, columns: FloatArray) -> IntArray:
    """The first rows that are independent on the columns, by Gram & Schmidt."""
    d = columns.shape[1]
    axes, chosen = np.zeros((d, 0)), list[int]()
    for begin in range(0, rows.n, BLOCK):
        if len(chosen) == d:
            break
        seen = rows.take(np.arange(begin, min(begin + BLOCK, rows.n))).times(columns)
        size = np.linalg.norm(seen, axis=1)
        left = seen - (seen @ axes) @ axes.T
        while len(chosen) < d:
            is_new = np.linalg.norm(left, axis=1) > NEW * size
            if not is_new.any():
                break
            i = int(np.argmax(is_new))
            axis = left[i] - axes @ (axes.T @ left[i])  # once more, for what rounding left
            axis /= np.linalg.norm(axis)
            axes = np.column_stack([axes, axis])
            left -= np.outer(left @ axis, axis)
            chosen.append(begin + i)
    return np.array(chosen, np.int64)
