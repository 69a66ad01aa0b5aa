"""What residuals tell about the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import FloatArray

if TYPE_CHECKING:
    from .methods.base import Problem


def noise_variance_from_lags(problem: Problem) -> float | None:
    """Variance of the readings' noise from the autocovariance of lag m of the difference equation's residuals; None where it cannot be told.

    Instrumental variables (the difference equation's own regressors, m rows earlier) estimate the coefficients without bias from noise
    of the readings. The residual is then process noise, a moving average of order m - 1, and A(L) e, one of order m whose last
    autocovariance is A_m sigma^2.
    """
    from .relation import Relation

    step = problem.sample.step
    if step is None:
        return None
    relation = Relation(problem.equation, step)
    m = relation.order
    rows = relation.rows(problem.sample)
    same = rows.run[m + 1 :] == rows.run[: -(m + 1)] if len(rows.run) > m + 1 else np.zeros(0, np.bool_)
    if same.sum() <= 3 * relation.n_psi:
        return None
    design, target = rows.design[m + 1 :][same], rows.target[m + 1 :][same]
    instruments = np.column_stack([design[:, m:], rows.design[: -(m + 1)][same][:, :m]])
    for lag in range(1, m + 2):  # inputs of the rows before, where there are any
        if problem.equation.inputs:
            instruments = np.column_stack([instruments, rows.design[m + 1 - lag : len(rows.design) - lag][same][:, m:-1]])
    basis = np.linalg.svd(instruments / (np.linalg.norm(instruments, axis=0) + 1e-300), full_matrices=False)
    kept = basis[0][:, basis[1] > 1e-8 * basis[1][0]]
    psi = np.linalg.lstsq(kept.T @ design, kept.T @ target, rcond=None)[0]
    residual = rows.target - rows.design @ psi
    lagged = rows.run[m:] == rows.run[:-m]
    last = -psi[m - 1]
    if last == 0:
        return None
    covariance = float((residual[m:] * residual[:-m])[lagged].mean())
    return max(0.0, covariance / last)


def autocorrelations(residual: FloatArray, n_lags: int) -> FloatArray:
    """Sample autocorrelations at lags 1 .. n_lags of residuals by node, pairs with a missing one left out."""
    known = np.isfinite(residual)
    centred = np.where(known, residual - np.nanmean(residual), 0.0)
    total = float(centred @ centred)
    return np.array([centred[lag:] @ centred[:-lag] / total if total > 0 else 0.0 for lag in range(1, n_lags + 1)])
