"""How far rounding has moved a fit, in posterior standard deviations.

With A = R'R and the gradient g = B'V^-1 (y - B c) - S c at the computed c, the exact minimiser is c + A^-1 g. A functional b'c is
off by b'A^-1 g, and its posterior SD is |R'^-1 b|: by Cauchy and Schwarz, no functional is off by more than |R'^-1 g| of its SDs.
g is what cancels: it is computed in extended precision, and A^-1 g added to c (iterative refinement, Wilkinson 1965; Björck 1967).
What is left is the rounding of c itself.

A bound that costs nothing decides first whether that is necessary: with a_s = scale_s |R_s| |c|, D_j the size of column j of
R and rho^2 the minimum, QR decompositions move c by about eps (|a| + max_j D_j sqrt((A^-1)_jj) rho) SDs.
"""

from __future__ import annotations

import numpy as np

from .._validation import EPS, FloatArray
from .band import BandRows, multiply_factor, rows_of_factor, solve_factor, solve_transposed
from .products import ProductRows
from .protocols import Solved
from .restricted import lifted
from .system import column_sizes

GOOD = 1e-8  # posterior SDs that do not matter
IS_EXTENDED = np.finfo(np.longdouble).eps < EPS  # on some platforms it is not
MOST_STEPS = 4
CHUNK = 2**18  # observations at a time


def rounding_bound(fit: Solved) -> float:
    """About how far rounding may have moved the fit, in posterior SDs."""
    found, system = fit.estimate, fit.estimate.system
    coef, R, inverse = fit.solution.coef, fit.solution.R, fit.solution.inverse
    scales = system.scales(found.log_tau, found.log_sigma2)
    size = [scale * multiply_factor(np.abs(own), np.abs(coef)) for scale, own in zip(scales, system.factors, strict=True)]
    left = [scale * (multiply_factor(own, coef) - z) for scale, own, z in zip(scales, system.factors, system.rhs, strict=True)]
    rho = np.sqrt(np.sum(np.square(left)) + scales**2 @ system.rest)
    spread = np.sqrt(np.max(column_sizes(R) ** 2 * np.abs(inverse[:, 0])))
    return EPS * float(np.linalg.norm(size) + spread * rho)


def refined(fit: Solved) -> tuple[FloatArray, float]:
    """Coefficients (K,) and how far they may be from those of exact arithmetic, in posterior SDs.

    Where the bound is good, or nothing wider than double is at hand, they are those of the solution; else steps of refinement are
    taken as long as they halve the error.
    """
    found, bound = fit.estimate, rounding_bound(fit)
    R = fit.solution.R
    coef = lifted(fit.solution.coef, found.columns, found.offset)
    if bound <= GOOD or not IS_EXTENDED:
        return coef, bound
    best, error = coef, np.inf
    for _ in range(MOST_STEPS):
        gradient = _gradient(fit, coef.astype(np.longdouble))
        own = gradient if found.columns is None else found.columns.T.astype(np.longdouble) @ gradient
        seen = solve_transposed(R, own.astype(np.float64))
        distance = float(np.linalg.norm(seen))
        if distance < error / 2:
            best, error = coef, distance
        elif distance >= error:
            break
        if distance <= GOOD:
            break
        coef = coef + lifted(solve_factor(R, seen), found.columns, None)
    return best, error


def _gradient(fit: Solved, coef: np.ndarray) -> np.ndarray:
    """B'V^-1 (y - B c) - S c in extended precision, (K,)."""
    rows, found = fit.rows, fit.estimate
    total = np.zeros(len(coef), np.longdouble)
    if rows.keeps_readings:
        ratio, white = rows.per_name(rows.ratio), rows.per_name(rows.whitened(rows.observations.y))
        for i, (reading, group) in enumerate(zip(rows.observations.readings, rows.group_of_name, strict=True)):
            if rows.whitenings[i] is None:  # unscaled: what rounding makes of heavy rows would not cancel
                pull = _pull(rows.parts[i], reading.y, coef, ratio[i])
            else:
                pull = _pull(rows.white_parts[i], white[i], coef)
            total += pull / np.exp(found.log_sigma2[group].astype(np.longdouble))
    else:
        whole = fit.whole
        for g in range(whole.n_groups):
            total += _pull(rows_of_factor(whole.factors[g]), whole.rhs[g], coef) / np.exp(found.log_sigma2[g].astype(np.longdouble))
    for tau, root in zip(found.tau, fit.specification.roots, strict=True):
        if np.isfinite(tau):
            total += np.longdouble(tau) * _pull(root, np.zeros(root.n), coef)
    return total


def _pull(rows: BandRows | ProductRows, rhs: FloatArray, coef: np.ndarray, ratio: FloatArray | None = None) -> np.ndarray:
    """B'((y - B c) / ratio) in extended precision."""
    total, done = np.zeros(len(coef), np.longdouble), 0
    for part in rows.chunks():
        for start in range(0, len(part.first), CHUNK):
            values, first = part.values[start : start + CHUNK].astype(np.longdouble), part.first[start : start + CHUNK]
            here = slice(done, done + len(first))
            left = rhs[here].astype(np.longdouble)
            for i in range(values.shape[1]):
                left -= values[:, i] * coef[first + i]
            if ratio is not None:
                left /= ratio[here]
            for i in range(values.shape[1]):
                np.add.at(total, first + i, values[:, i] * left)
            done = here.stop
    return total
