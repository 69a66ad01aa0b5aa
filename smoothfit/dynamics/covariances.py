"""Covariances of estimates: nonrobust, heteroscedasticity-robust, autocorrelation-robust, clustered by run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from statsmodels.stats import sandwich_covariance as sandwich

from .._validation import FloatArray, check_order
from ..errors import SpecificationError

ROW_BY_ROW = ("robust", "HC0", "HC1", "HC2", "HC3")
COV_TYPES = ("nonrobust", "oim", "robust", "HC0", "HC1", "HC2", "HC3", "HAC", "cluster", "eiv", "bootstrap")


def sandwich_cov(
    bread: FloatArray,
    scores: FloatArray,
    cov_type: str,
    *,
    runs: npt.NDArray[np.int64],
    leverage: FloatArray | None,
    n_params: int,
    maxlags: Any = None,
) -> FloatArray:
    """Bread (sum of score products) bread.

    HC0, also called "robust", sums s s' over rows; HC1 times n / (n - k); HC2 and HC3 divide by 1 - leverage and its square;
    HAC has Bartlett weights up to `maxlags`, runs kept apart; cluster sums scores by run first, times G / (G - 1) (n - 1) / (n - k)
    for G runs, n rows and k parameters, as statsmodels does.
    """
    n = len(scores)
    if cov_type in ("robust", "HC0"):
        meat = sandwich.S_white_simple(scores)
    elif cov_type == "HC1":
        meat = sandwich.S_white_simple(scores) * (n / (n - n_params))
    elif cov_type in ("HC2", "HC3"):
        if leverage is None:
            raise SpecificationError(
                f'cov_type="{cov_type}" needs the leverages of a regression, which this method is not; use "robust"'
            )
        free = 1 - leverage
        meat = sandwich.S_white_simple(scores / (np.sqrt(free) if cov_type == "HC2" else free)[:, None])
    elif cov_type == "HAC":
        newey_west = int(4 * (n / 100) ** (2 / 9))
        lags = newey_west if maxlags is None else check_order(maxlags, "maxlags", 0, n - 1)
        meat = sum(sandwich.S_hac_simple(scores[runs == run], min(lags, int((runs == run).sum()) - 1)) for run in np.unique(runs))
    else:
        count = len(np.unique(runs))
        if count < 2:
            raise SpecificationError(
                'cov_type="cluster" sums scores by run and there is one run; pass groups=, or use cov_type="HAC"'
            )
        meat = sandwich.S_crosssection(scores, runs) * (count / (count - 1) * (n - 1) / max(n - n_params, 1))
    cov = bread @ meat @ bread
    return np.asarray((cov + cov.T) / 2)
