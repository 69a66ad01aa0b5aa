"""How far rounding has moved a fit, in posterior standard deviations.

With A = R'R and the gradient g = B'V^-1 (y - B c) - S c at the computed c, the exact minimiser is c + A^-1 g. A functional b'c is
off by b'A^-1 g, and its posterior sd is |R'^-1 b|: by Cauchy and Schwarz, no functional is off by more than |R'^-1 g| of its sds.
g is what cancels: it is computed in extended precision (one step of iterative refinement, Wilkinson 1965; Björck 1967).

A bound that costs nothing tells first whether that is worth the trouble: with a_s = scale_s |R_s| |c|, D_j the size of column j of
R and rho^2 the minimum, QR decompositions move c by about eps (|a| + max_j D_j sqrt((A^-1)_jj) rho) sds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import FloatArray
from .band import BandRows, multiply_factor, rows_of_factor, solve_transposed
from .system import column_sizes, penalty_roots

if TYPE_CHECKING:
    from .results import SplineRegressionResults

EPS = float(np.finfo(np.float64).eps)
GOOD = 1e-8  # posterior sds that nobody misses
IS_EXTENDED = np.finfo(np.longdouble).eps < EPS  # on some platforms it is not
CHUNK = 2**18  # readings at a time


def rounding_bound(results: SplineRegressionResults) -> float:
    """About how far rounding may have moved the fit, in posterior sds."""
    fit, system = results._fit, results._fit.system
    coef, R, inverse = results._solution
    scales = system.scales(fit.log_tau, fit.log_sigma2)
    size = [scale * multiply_factor(np.abs(own), np.abs(coef)) for scale, own in zip(scales, system.factors, strict=True)]
    left = [scale * (multiply_factor(own, coef) - z) for scale, own, z in zip(scales, system.factors, system.rhs, strict=True)]
    rho = np.sqrt(np.sum(np.square(left)) + scales**2 @ system.rest)
    spread = np.sqrt(np.max(column_sizes(R) ** 2 * np.abs(inverse[:, 0])))
    return EPS * float(np.linalg.norm(size) + spread * rho)


def rounding_error(results: SplineRegressionResults) -> float:
    """How far the fit is from that of exact arithmetic, in posterior sds; the bound where that is good, or cannot be beaten."""
    bound = rounding_bound(results)
    if bound <= GOOD or not IS_EXTENDED:
        return bound
    fit = results._fit
    coef, R, _ = results._solution
    whole = coef if fit.columns is None else fit.columns @ coef
    whole = whole if fit.offset is None else whole + fit.offset
    gradient = _gradient(results, whole.astype(np.longdouble))
    own = gradient if fit.columns is None else fit.columns.T.astype(np.longdouble) @ gradient
    return float(np.linalg.norm(solve_transposed(R, own.astype(np.float64))))


def _gradient(results: SplineRegressionResults, coef: np.ndarray) -> np.ndarray:
    """B'V^-1 (y - B c) - S c in extended precision, (K,)."""
    rows, fit = results._rows, results._fit
    total = np.zeros(len(coef), np.longdouble)
    if rows.keeps_readings:
        y = rows.per_name(rows.whitened(rows.observations.y))
        for part, own, group in zip(rows.white_parts, y, rows.group_of_name, strict=True):
            total += _pull(part, own, coef) / np.exp(fit.log_sigma2[group].astype(np.longdouble))
    else:
        whole = results._whole
        for g in range(whole.n_groups):
            total += _pull(rows_of_factor(whole.factors[g]), whole.rhs[g], coef) / np.exp(fit.log_sigma2[g].astype(np.longdouble))
    for tau, root in zip(fit.tau, penalty_roots(results.model._penalties, results.basis), strict=True):
        if np.isfinite(tau):
            total += np.longdouble(tau) * _pull(root, np.zeros(len(root.first)), coef)
    return total


def _pull(rows: BandRows, rhs: FloatArray, coef: np.ndarray) -> np.ndarray:
    """B'(y - B c) in extended precision."""
    total = np.zeros(len(coef), np.longdouble)
    for start in range(0, len(rhs), CHUNK):
        values, first = rows.values[start : start + CHUNK].astype(np.longdouble), rows.first[start : start + CHUNK]
        left = rhs[start : start + CHUNK].astype(np.longdouble)
        for i in range(values.shape[1]):
            left -= values[:, i] * coef[first + i]
        for i in range(values.shape[1]):
            np.add.at(total, first + i, values[:, i] * left)
    return total
