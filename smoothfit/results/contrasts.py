"""Tests of linear combinations of coefficients, as statsmodels shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError

if TYPE_CHECKING:
    from statsmodels.stats.contrast import ContrastResults

MOST_NAMES = 30  # that an error lists
SMALL = 1e-10  # of the largest eigenvalue of a covariance: below, a direction is none


def combinations(text: str, names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Linear combinations (m, k) of named coefficients and their values (m,), from a string such as ``"y = -1, u = 2 * v"``."""
    import patsy

    try:
        constraint = patsy.DesignInfo(list(names)).linear_constraint(text)
    except (patsy.PatsyError, ValueError) as error:
        shown = ", ".join(names) if len(names) <= MOST_NAMES else f"{names[0]}, {names[1]}, .., {names[-1]}"
        reason = getattr(error, "message", error)
        raise SpecificationError(f"cannot read {text!r}: {reason}; the coefficients are {shown}") from None
    return np.asarray(constraint.coefs, dtype=float), np.asarray(constraint.constants, dtype=float).ravel()


def each_by_itself(effect: FloatArray, variance: FloatArray, hypothesis: Any, df: float) -> ContrastResults:
    """Combinations (m,), each against its value under the hypothesis: Student's t with df, normal where df is infinite."""
    from statsmodels.stats.contrast import ContrastResults

    sd = np.sqrt(variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (effect - np.broadcast_to(np.asarray(hypothesis, dtype=np.float64), effect.shape)) / sd
    if np.isfinite(df):
        return ContrastResults(effect=effect, t=t, sd=sd, df_denom=df)
    return ContrastResults(effect=effect, statistic=t, sd=sd, distribution="norm")


def all_together(effect: FloatArray, root: FloatArray, hypothesis: Any, df: float) -> ContrastResults:
    """Combinations (m,) with covariance root root' against their values under the hypothesis.

    Wald's statistic: over the rank as F with df in the denominator, chi-squared where df is infinite. Directions in which the
    covariance vanishes to rounding do not count.
    """
    from statsmodels.stats.contrast import ContrastResults

    axes, sizes, _ = np.linalg.svd(root, full_matrices=False)
    kept = sizes > np.sqrt(SMALL) * sizes[0]
    distance = effect - np.broadcast_to(np.asarray(hypothesis, dtype=np.float64), effect.shape)
    statistic, rank = float(np.sum((axes[:, kept].T @ distance / sizes[kept]) ** 2)), int(kept.sum())
    if np.isfinite(df):
        return ContrastResults(F=np.array([[statistic / rank]]), df_num=rank, df_denom=df)
    return ContrastResults(statistic=np.array([[statistic]]), df_denom=rank, distribution="chi2")
