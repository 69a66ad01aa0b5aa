"""Roots of the middle of sandwich covariances; statsmodels sums over lags and clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._entry import warn
from .._validation import FloatArray, check_order
from ..errors import DataError, LeverageWarning, SpecificationError
from ..results.influence import LEAST_FREE
from .band import merged, multiply_factor
from .protocols import Judged
from .rows import Rows
from .whitening import Dense

MOST_INFLATED = 1000.0  # a residual, by a leverage near one


def check_sandwich(rows: Rows, kind: str, options: dict[str, Any]) -> None:
    """Refuse clusters that do not fit the observations, and sandwiches that mean nothing with correlated errors."""
    observations, n = rows.observations, len(rows)
    if kind == "cluster":
        groups = np.asarray(options["groups"])
        if groups.shape != (n,):
            raise DataError(f"groups has shape {groups.shape}; pass one label for each of the {n} observations")
        if len(np.unique(groups)) < 2:
            raise DataError("groups has a single cluster; pass two or more")
        ends = np.cumsum([len(reading) for reading in observations.readings])
        for name, mine, white in zip(observations.names, np.split(groups, ends[:-1]), rows.whitenings, strict=True):
            if white is not None and white.mixes(mine):
                raise SpecificationError(
                    f"cov_type='cluster' treats clusters as independent, and the errors of {name!r} correlate across them; give "
                    "each cluster a name of its own, or leave out errors"
                )
    elif kind not in ("bayesian", "frequentist"):
        for name, white in zip(observations.names, rows.whitenings, strict=True):
            if isinstance(white, Dense):
                raise SpecificationError(
                    f"cov_type={kind!r} treats residuals one by one, and with a given covariance (of {name!r}) what they are "
                    "depends on how it is factored; use 'bayesian', 'frequentist' or 'cluster'"
                )


def check_leverages(fit: Judged) -> None:
    """Refuse HC2 and HC3 where an observation has leverage one, and warn where one has nearly that."""
    power = {"HC2": 0.5, "HC3": 1.0}.get(fit.cov_type)
    if power is None:
        return
    free = 1 - fit.leverage
    i = int(np.argmin(free))
    if free[i] ** power >= 1 / MOST_INFLATED:
        return
    name, own = fit.observation(i)
    what = f"cov_type={fit.cov_type!r} divides the residual of observation {own} of {name!r} by "
    remedy = "use cov_type='HC1' or 'bayesian', fewer knots there, or a penalty"
    if free[i] <= LEAST_FREE:
        raise SpecificationError(f"{what}1 - leverage, which is zero: the curve passes through it whatever its value; {remedy}")
    warn(
        f"{what}{free[i] ** power:.2g}, as its leverage is {1 - free[i]:.10g}: standard errors near it use it alone; {remedy}",
        LeverageWarning,
    )


def sandwich_root(fit: Judged) -> FloatArray:
    """A matrix (K, r) of which the product with its transpose is the middle of the sandwich.

    With correlated errors, rows and residuals are those made independent: of innovations.
    """
    kind, options = fit.cov_type, fit.cov_kwds
    n, K = len(fit.rows), fit.n_coef
    own = fit.rows
    residuals = own.whitened(fit.resid) / fit.sigma2[own.group]
    if kind.startswith("HC"):
        free = 1 - fit.leverage
        shares = {"HC0": 1.0, "HC1": np.sqrt(fit.df_resid / fit.estimate.system.n), "HC2": np.sqrt(free), "HC3": free}
        residuals = residuals / shares[kind]
        parts = own.white_parts
        w = max(part.width for part in parts)
        scaled = zip(parts, own.per_name(residuals), strict=True)
        R = merged([part.scaled(e).factor(np.zeros(len(e)), K, w) for part, e in scaled]).R
        return multiply_factor(R, np.eye(K)).T
    scores = np.concatenate([part.dense(K) for part in own.white_parts]) * residuals[:, None]
    correct = bool(options.get("use_correction", kind == "cluster"))
    if kind == "HAC":
        from statsmodels.stats.sandwich_covariance import S_hac_simple

        order = fit.order
        middle = S_hac_simple(scores[order], nlags=check_order(options["maxlags"], "maxlags", 0, n - 1))
        factor = n / fit.df_resid if correct else 1.0
    else:
        from statsmodels.stats.sandwich_covariance import S_crosssection

        labels, codes = np.unique(np.asarray(options["groups"]), return_inverse=True)
        middle = S_crosssection(scores, codes)
        factor = len(labels) / (len(labels) - 1) * (n - 1) / fit.df_resid if correct else 1.0
    values, axes = np.linalg.eigh((middle + middle.T) / 2 * factor)
    return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)))
