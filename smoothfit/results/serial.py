"""Serial correlation of residuals that are independent under the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from .._validation import FloatArray, check_order
from ..errors import SpecificationError
from .protocols import Diagnosed

if TYPE_CHECKING:
    import pandas as pd

MOST_LAGS = 10  # of the test
RESIDUALS_A_LAG = 5
FEWEST = 10  # residuals that a test takes


def autocorrelations(residual: FloatArray, n_lags: int, run: npt.NDArray[np.int64] | None = None) -> FloatArray:
    """Sample autocorrelations at lags 1 .. n_lags; missing residuals and pairs of different runs are left out."""
    known = np.isfinite(residual)
    if not known.any():
        return np.full(n_lags, np.nan)
    centred = np.where(known, residual - residual[known].mean(), 0.0)
    total = float(centred @ centred)
    found = np.zeros(n_lags)
    for lag in range(1, min(n_lags, len(centred) - 1) + 1) if total > 0 else ():
        products = centred[lag:] * centred[:-lag]
        found[lag - 1] = float((products if run is None else products[run[lag:] == run[:-lag]]).sum() / total)
    return found


def limits(n: int, n_lags: int) -> FloatArray:
    """Half widths of 95 % ranges of autocorrelations of n independent normal numbers, by lag: 1.96 sqrt((n - k) / (n (n + 2)))."""
    lags = np.arange(1, n_lags + 1)
    return np.asarray(stats.norm.ppf(0.975) * np.sqrt((n - lags) / (n * (n + 2))))


def ljung_box(correlations: FloatArray, n: int) -> tuple[float, float]:
    """Ljung & Box's statistic n (n + 2) sum r_k^2 / (n - k), and its p-value with one degree of freedom a lag."""
    lags = np.arange(1, len(correlations) + 1)
    statistic = float(n * (n + 2) * (correlations**2 / (n - lags)).sum())
    return statistic, float(special.chdtrc(len(correlations), statistic))


def test_of_curve(fit: Diagnosed, lags: int | None) -> pd.DataFrame:
    """Ljung & Box's test of what diagnostics draw, series by series."""
    import pandas as pd

    wanted = None if lags is None else check_order(lags, "lags", 1, 10_000)
    rows = {}
    for name, residual in by_series(fit).items():
        n = len(residual)
        n_lags = min(MOST_LAGS, n // RESIDUALS_A_LAG) if wanted is None else wanted
        if wanted is not None and n >= FEWEST and wanted >= n:
            raise SpecificationError(f"lags is {wanted}; {name!r} has {n} errors, whose lags are at most {n - 1}")
        if n < FEWEST:
            rows[name] = [n, n_lags, np.nan, np.nan, np.nan]
            continue
        correlations = autocorrelations(residual, n_lags)
        rows[name] = [n, n_lags, correlations[0], *ljung_box(correlations, n)]
    columns = ["nobs", "lags", "lag1", "statistic", "pvalue"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
    return frame.rename_axis(index="series").astype({"nobs": int, "lags": int}).reindex(list(fit.observations.names))


def by_series(fit: Diagnosed) -> dict[str, FloatArray]:
    """What diagnostics draw, of each series, in order of x and without missing ones."""
    observations, residual = fit.observations, fit.residuals
    order = np.argsort(observations.x, kind="stable")
    order = order[np.isfinite(residual[order])]
    series = observations.series[order]
    return {name: residual[order[series == i]] for i, name in enumerate(observations.names)}
