"""Recursive residuals of a penalised fit: standardised one-step-ahead prediction errors, independent under the model.

With rows b_i and observations y_i of noise variance one, in order of x, and the penalty as the prior |M c|^2 of the coefficients,

    e_i = (y_i - b_i'c_i) / sqrt(1 + b_i'A_i^-1 b_i),    A_i c_i = sum_{j before i} b_j y_j,   A_i = M'M + sum_{j before i} b_j b_j'

are independent standard normal numbers (R. L. Brown, J. Durbin and J. M. Evans 1975, "Techniques for testing the constancy of
regression relationships over time"; with a penalty they are the innovations of the Kalman filter). As many observations as there
are functions that no penalty touches come before all others and have no residual. Which they are is free: the errors of the others
are independent whatever is chosen (H. Theil 1971, "Principles of Econometrics", section 5.2). Of few functions they are the first
that identify these, as in a diffuse filter; of many, as without a penalty, those that identify them best, since a spline is
hardly known far from the first observations.

Blocks of observations are predicted together: the triangular factor of 1 + B A^-1 B' makes their errors independent.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr, solve_triangular

from .._core import _kernels
from .._validation import FloatArray
from .band import BandRows, factorize, join, multiply_factor, rows_of_factor, solve_transposed
from .fit import Fit

BLOCK = 32  # observations that are predicted together
FEW = 4  # functions, that the first observations identify well enough
NEW = 1e-4  # of the size of a row: what is left of it beside the rows before, from which it adds information
CANDIDATES = 50  # rows for each of many functions, among which the best are sought first
DEPENDENT = 1e-8  # of the largest singular value of a penalty, below which it leaves a direction free


def recursive_residuals(fit: Fit) -> FloatArray:
    """Recursive residuals of a fit of a curve, (n,) in the order of the observations; NaN if there is none."""
    rows, order, residual = fit.rows, fit.order, fit.resid_whitened
    order = order[np.isfinite(rows.ratio[order])]  # a loss may leave observations without weight
    whole = join([part for part in rows.white_parts if isinstance(part, BandRows)])
    whole = whole.scaled(1 / np.sqrt(fit.sigma2[rows.group]))
    whole = BandRows(whole.values[order], whole.first[order])
    prior, target, free = _prior(fit)
    if fit.estimate.columns is not None or fit.active_rows is not None:
        values = whole.times(fit.moving)
        whole = BandRows(values, np.zeros(len(values), np.int64))
    found = np.full(len(rows), np.nan)
    found[order] = _recursive(whole, residual[order], prior, target, free)
    return found


def _prior(fit: Fit) -> tuple[BandRows, FloatArray, FloatArray]:
    """Rows of the penalty on what moves, what they are to be, and columns of what they leave free; all about the fit."""
    found, system, coef = fit.estimate, fit.whole, fit.coef
    kept = np.isfinite(found.tau)
    parts = [np.sqrt(tau) * R for tau, R in zip(found.tau[kept], system.factors[system.n_groups :][kept], strict=True)]
    target = np.concatenate([np.zeros(0), *(-multiply_factor(R, coef) for R in parts)])
    K, w = system.factors.shape[1:]
    if found.columns is None and fit.active_rows is None:
        free = system.free if parts else np.eye(K)
        return join([rows_of_factor(R) for R in parts] or [BandRows(np.zeros((0, w)), np.zeros(0, np.int64))]), target, free
    moving = fit.moving
    d = moving.shape[1]
    dense = np.concatenate([np.zeros((0, d)), *(multiply_factor(R, moving) for R in parts)])
    _, sizes, axes = np.linalg.svd(dense / (np.linalg.norm(dense) or 1.0)) if len(dense) else (None, np.zeros(0), np.eye(d))
    free = axes[int(np.count_nonzero(sizes > DEPENDENT * sizes.max(initial=0.0))) :].T
    return BandRows(dense, np.zeros(len(dense), np.int64)), target, free


def _recursive(rows: BandRows, residual: FloatArray, prior: BandRows, target: FloatArray, free: FloatArray) -> FloatArray:
    K, w = len(free), max(rows.width, prior.width)
    first = _telling(rows, free)
    found = np.full(rows.n, np.nan)
    start = join([prior, _part(rows, first)])
    R, z, _ = factorize(start, np.concatenate([target, residual[first]]), K, w)
    others = np.delete(np.arange(rows.n), first)
    for begin in range(0, len(others), BLOCK):
        block = others[begin : begin + BLOCK]
        part = _part(rows, block)
        seen = solve_transposed(R, part.dense(K).T)
        spread = np.linalg.qr(np.vstack([np.eye(len(block)), seen]), mode="r")  # its square is 1 + B A^-1 B'
        spread *= np.sign(np.diag(spread))[:, None]
        found[block] = solve_triangular(spread, residual[block] - seen.T @ z, trans="T")
        R, z, _ = _kernels.absorb_rows(part.values, part.first, residual[block], R, z, 0.0)
    return found


def _part(rows: BandRows, index: npt.NDArray[np.int64]) -> BandRows:
    return BandRows(np.ascontiguousarray(rows.values[index]), np.ascontiguousarray(rows.first[index]))


def _telling(rows: BandRows, free: FloatArray) -> npt.NDArray[np.int64]:
    """Rows that identify the functions of some columns (K, d), d of them."""
    n, d = rows.n, free.shape[1]
    chosen = _first(rows, free) if d <= FEW else np.zeros(0, np.int64)
    for stride in (max(1, n // (CANDIDATES * max(d, 1))), 1):
        if len(chosen) == d:
            break
        index = np.arange(0, n, stride)
        R, pivots = qr(_part(rows, index).times(free).T, mode="r", pivoting=True)
        if abs(R[d - 1, d - 1]) > DEPENDENT * abs(R[0, 0]) or stride == 1:
            chosen = index[pivots[:d]]
    return np.sort(chosen)


def _first(rows: BandRows, columns: FloatArray) -> npt.NDArray[np.int64]:
    """The first rows that are independent on the columns, by Gram & Schmidt."""
    d = columns.shape[1]
    axes, chosen = np.zeros((d, 0)), list[int]()
    for begin in range(0, rows.n, BLOCK):
        if len(chosen) == d:
            break
        seen = _part(rows, np.arange(begin, min(begin + BLOCK, rows.n))).times(columns)
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
