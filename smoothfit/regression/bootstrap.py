"""New readings from old residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import FloatArray

if TYPE_CHECKING:
    from .inference import Inference


def bootstrap_draws(
    results: Inference, target: FloatArray, size: int, kind: str, block: int, rng: np.random.Generator
) -> FloatArray:
    """Estimates target @ coef (size, m) from fitted values plus new noise.

    Residuals are first divided by sqrt(1 - leverage) and centred within a name, so that their variance is that of the noise. The
    estimator is linear in the readings: each draw costs one product with A^-1 B'V^-1.
    """
    rows = results._rows
    noise_sd = np.sqrt(results._noise_variance)
    standard = np.where(np.isfinite(results.resid_standardized), results.resid_standardized, 0.0)
    weighed = rows.dense() / results._noise_variance[:, None]
    operator = target @ results._bayesian.times(weighed.T)
    values = np.empty((size, len(target)))
    parts = rows.per_name(np.arange(len(rows), dtype=np.float64))
    rank = np.argsort(results._order)
    for i in range(size):
        noise = np.empty(len(rows))
        for part in parts:
            mine = part.astype(np.int64)
            mine = mine[np.argsort(rank[mine])]
            noise[mine] = _new_noise(standard[mine], kind, block, rng)
        values[i] = operator @ (results.fittedvalues + noise * noise_sd)
    return values


def _new_noise(residuals: FloatArray, kind: str, block: int, rng: np.random.Generator) -> FloatArray:
    n = len(residuals)
    if kind == "wild":
        return np.asarray(residuals * rng.choice([-1.0, 1.0], n))
    centred = residuals - residuals.mean()
    if kind == "residual":
        return np.asarray(rng.choice(centred, n))
    length = min(block, n)
    starts = rng.integers(0, n - length + 1, -(-n // length))
    return np.asarray(centred[(starts[:, None] + np.arange(length)).ravel()[:n]])
