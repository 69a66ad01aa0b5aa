"""Roots of the middle of sandwich covariances; statsmodels sums over lags and clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import FloatArray, check_order
from ..errors import DataError
from .band import merged, multiply_factor

if TYPE_CHECKING:
    from .results import SplineRegressionResults


def sandwich_root(results: SplineRegressionResults) -> FloatArray:
    """A matrix (K, r) of which the product with its transpose is the middle of the sandwich."""
    kind, options = results.cov_type, results.cov_kwds
    n, K = results.nobs, results.basis.n_basis
    residuals = results.resid / results._noise_variance
    if kind.startswith("HC"):
        free = 1 - results._leverage
        residuals = residuals / {"HC0": 1.0, "HC1": np.sqrt(results.df_resid / n), "HC2": np.sqrt(free), "HC3": free}[kind]
        parts = results._rows.parts
        w = max(part.width for part in parts)
        scaled = zip(parts, results._rows.per_name(residuals), strict=True)
        R = merged([part.scaled(e).factor(np.zeros(len(e)), K, w) for part, e in scaled]).R
        return multiply_factor(R, np.eye(K)).T
    scores = results._rows.dense() * residuals[:, None]
    correct = bool(options.get("use_correction", kind == "cluster"))
    if kind == "HAC":
        from statsmodels.stats.sandwich_covariance import S_hac_simple

        order = results._order
        middle = S_hac_simple(scores[order], nlags=check_order(options["maxlags"], "maxlags", 0, n - 1))
        factor = n / results.df_resid if correct else 1.0
    else:
        from statsmodels.stats.sandwich_covariance import S_crosssection

        groups = np.asarray(options["groups"])
        if groups.shape != (n,):
            raise DataError(f"groups has shape {groups.shape}; pass one label for each of the {n} readings")
        labels, codes = np.unique(groups, return_inverse=True)
        if len(labels) < 2:
            raise DataError("groups has a single cluster; pass two or more")
        middle = S_crosssection(scores, codes)
        factor = len(labels) / (len(labels) - 1) * (n - 1) / results.df_resid if correct else 1.0
    values, axes = np.linalg.eigh((middle + middle.T) / 2 * factor)
    return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)))
