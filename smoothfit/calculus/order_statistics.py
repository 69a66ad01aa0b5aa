"""The r-th smallest of n independent draws: its density, distribution function and the density's slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from .._validation import FloatArray, check_order
from ..errors import DataError, SpecificationError
from .numeric import derivative
from .special import reals

LARGEST_SAMPLE = 10**9


def order_statistic_logpdf(x: Any, distribution: Any, r: int, n: int) -> FloatArray:
    """Logarithm of `order_statistic_pdf`, finite where that underflows. Parameters and errors are the same.

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> float(calculus.order_statistic_logpdf(-40.0, stats.norm(), r=2, n=2).round(6))
    -1604.834233
    """
    x, r, n = _read(x, distribution, r, n)
    return np.asarray(
        _times(r - 1, distribution.logcdf(x))
        + _times(n - r, distribution.logsf(x))
        + np.asarray(distribution.logpdf(x))
        - special.betaln(r, n - r + 1)
    )


def order_statistic_pdf(x: Any, distribution: Any, r: int, n: int) -> FloatArray:
    """Density of the r-th smallest of n independent draws, F^(r-1) S^(n-r) f / B(r, n - r + 1).

    Parameters
    ----------
    x : array_like, any shape
    distribution : frozen continuous distribution of scipy.stats
        Anything with `logpdf`, `logcdf` and `logsf`.
    r : int
        Rank, 1 (the smallest) to n (the largest).
    n : int
        Size of the sample.

    Returns
    -------
    ndarray, shape of x

    Raises
    ------
    SpecificationError
        r is outside 1..n, or `distribution` lacks a method.
    DataError
        x is NaN or not real.

    Notes
    -----
    Summed as logarithms; powers of zero, where r = 1 or r = n, are one, also where F or S vanishes.

    References
    ----------
    David and Nagaraja (2003), Order Statistics, 2.1.

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> calculus.order_statistic_pdf([0.25, 0.5], stats.uniform(), r=2, n=3)
    array([1.125, 1.5  ])
    """
    return np.asarray(np.exp(order_statistic_logpdf(x, distribution, r, n)))


def order_statistic_cdf(x: Any, distribution: Any, r: int, n: int) -> FloatArray:
    """Distribution function of the r-th smallest of n independent draws, the incomplete beta function I_F(r, n - r + 1).

    Parameters, errors and source are those of `order_statistic_pdf`; the distribution has `cdf` and `sf`.

    Notes
    -----
    Above the median 1 - I_S(n - r + 1, r), so that a small survival function keeps its digits.

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> calculus.order_statistic_cdf([0.25, 0.5], stats.uniform(), r=2, n=3)
    array([0.15625, 0.5    ])
    """
    x, r, n = _read(x, distribution, r, n)
    F, S = np.asarray(distribution.cdf(x)), np.asarray(distribution.sf(x))
    return np.asarray(np.where(F <= 0.5, special.betainc(r, n - r + 1, F), special.betaincc(n - r + 1, r, S)))


def order_statistic_pdf_derivative(
    x: Any, distribution: Any, r: int, n: int, score: Callable[[FloatArray], Any] | None = None
) -> FloatArray:
    """Slope of `order_statistic_pdf`, its density times ((r - 1) f/F - (n - r) f/S + f'/f).

    Parameters
    ----------
    x, distribution, r, n
        As for `order_statistic_pdf`.
    score : callable, optional
        f'/f, the slope of log f; taken numerically from `logpdf` where it is not given.

    Returns
    -------
    ndarray, shape of x
        Zero where the density is.

    Raises
    ------
    SpecificationError, DataError
        As for `order_statistic_pdf`; DataError also where the numeric slope of log f does not exist, inside the support.

    References
    ----------
    David and Nagaraja (2003), Order Statistics, 2.1.

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> calculus.order_statistic_pdf_derivative([0.25, 0.5], stats.uniform(), r=2, n=3, score=lambda x: 0 * x)
    array([3., 0.])
    """
    density = order_statistic_pdf(x, distribution, r, n)
    x, r, n = _read(x, distribution, r, n)
    result = np.zeros(x.shape)
    inside = density > 0
    if not inside.any():
        return result
    at = x[inside]
    if score is None:
        numeric = derivative(distribution.logpdf, at)
        if not np.isfinite(numeric.value).all():
            raise DataError(f"log f has no slope at x = {at[~np.isfinite(numeric.value)][0]}; pass score=")
        slope = numeric.value
    else:
        slope = np.broadcast_to(np.asarray(score(at.copy()), dtype=np.float64), at.shape)
    logpdf = np.asarray(distribution.logpdf(at))
    below = (r - 1) * np.exp(logpdf - distribution.logcdf(at)) if r > 1 else 0.0
    above = (n - r) * np.exp(logpdf - distribution.logsf(at)) if r < n else 0.0
    result[inside] = density[inside] * (below - above + slope)
    return result


def _read(x: Any, distribution: Any, r: Any, n: Any) -> tuple[FloatArray, int, int]:
    for method in ("logpdf", "logcdf", "logsf", "cdf", "sf"):
        if not hasattr(distribution, method):
            raise SpecificationError(
                f"distribution is {type(distribution).__name__}, which has no {method}; pass a frozen scipy.stats distribution"
            )
    n = check_order(n, "n", 1, LARGEST_SAMPLE)
    return reals(x, "x"), check_order(r, "r", 1, n), n


def _times(count: int, logarithm: Any) -> FloatArray:
    """Count * log p, with 0 log 0 = 0."""
    return np.asarray(np.zeros(np.shape(logarithm)) if count == 0 else count * np.asarray(logarithm))
