"""The r-th smallest of n independent draws: its density, distribution function and the density's slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from .._entry import quiet
from .._validation import FloatArray, check_order, to_numbers
from ..errors import DataError, SpecificationError
from .lines import check_callable
from .numeric import derivative
from .special import broadcast, reals, relative_entropy

LARGEST_SAMPLE = 10**9
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # of n^-1, n^-3, ...
LARGE = 16  # from which on these terms are enough


@quiet
def order_statistic_logpdf(x: Any, distribution: Any, r: int, n: int) -> FloatArray:
    """Logarithm of `order_statistic_pdf`, finite where that underflows. Parameters and errors are the same.

    References
    ----------
    David and Nagaraja (2003), Order Statistics, 2.1.

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> float(calculus.order_statistic_logpdf(-40.0, stats.norm(), r=2, n=2).round(6))
    -1604.834233
    """
    x, r, n = _read(x, distribution, r, n)
    return np.asarray(_log_binomial(r - 1, n - r, *_tails(x, distribution)) + np.log(n) + _of(distribution, "logpdf", x))


@quiet
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
    As n f times the binomial probability of r - 1 of n - 1 draws below x, from its deviance: a sum of logarithms would lose the
    digits of n to a large sample. Powers of zero, where r = 1 or r = n, are one, also where F or S vanishes.

    References
    ----------
    David and Nagaraja (2003), Order Statistics, 2.1; Loader (2000), "Fast and accurate computation of binomial probabilities".

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> calculus.order_statistic_pdf([0.25, 0.5], stats.uniform(), r=2, n=3)
    array([1.125, 1.5  ])
    """
    return np.asarray(np.exp(order_statistic_logpdf(x, distribution, r, n)))


@quiet
def order_statistic_cdf(x: Any, distribution: Any, r: int, n: int) -> FloatArray:
    """Distribution function of the r-th smallest of n independent draws, the incomplete beta function I_F(r, n - r + 1).

    Parameters, errors and source are those of `order_statistic_pdf`; the distribution has `cdf` and `sf`.

    Notes
    -----
    Above the median 1 - I_S(n - r + 1, r), so that a small survival function keeps its digits.

    References
    ----------
    H. David and H. Nagaraja (2003), *Order Statistics*, equations 2.1.3 and 2.1.5.

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> calculus.order_statistic_cdf([0.25, 0.5], stats.uniform(), r=2, n=3)
    array([0.15625, 0.5    ])
    """
    x, r, n = _read(x, distribution, r, n)
    F, S = _of(distribution, "cdf", x), _of(distribution, "sf", x)
    return np.asarray(np.where(F <= 0.5, special.betainc(r, n - r + 1, F), special.betaincc(n - r + 1, r, S)))


@quiet
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
        check_callable(score, "score")
        slope, _ = broadcast(score=to_numbers(score(at.copy()), "score(x)"), x=at)
    logpdf = _of(distribution, "logpdf", at)
    _, _, log_F, log_S = _tails(at, distribution)
    below = (r - 1) * np.exp(logpdf - log_F) if r > 1 else 0.0
    above = (n - r) * np.exp(logpdf - log_S) if r < n else 0.0
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


def _of(distribution: Any, method: str, x: FloatArray) -> FloatArray:
    """Values of a distribution's method at x, in its shape."""
    values = to_numbers(getattr(distribution, method)(x), f"distribution.{method}(x)")
    if values.shape != x.shape:
        raise SpecificationError(
            f"distribution.{method} gives shape {values.shape} at x of shape {x.shape}; pass a distribution of one variable"
        )
    return values


def _tails(x: FloatArray, distribution: Any) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """F, S, log F and log S, each logarithm from the smaller of F and S, which has its digits."""
    F, S = _of(distribution, "cdf", x), _of(distribution, "sf", x)
    is_low = F <= 0.5
    log_F = np.where(is_low, _of(distribution, "logcdf", x), np.log1p(-S))
    log_S = np.where(is_low, np.log1p(-F), _of(distribution, "logsf", x))
    return F, S, log_F, log_S


def _log_binomial(a: int, b: int, F: FloatArray, S: FloatArray, log_F: FloatArray, log_S: FloatArray) -> FloatArray:
    """Logarithm of the probability of a successes and b failures, C(a + b, a) F^a S^b."""
    n = a + b
    if not a or not b:
        return np.asarray(n * (log_F if a else log_S) if n else np.zeros(F.shape))
    difference = a * S - b * F  # of a and n F
    deviance = relative_entropy(a, n * F, difference, np.log(a / n) - log_F)
    deviance = deviance + relative_entropy(b, n * S, -difference, np.log(b / n) - log_S)
    return np.asarray(_stirling(n) - _stirling(a) - _stirling(b) - deviance + np.log(n / a / b / (2 * np.pi)) / 2)


def _stirling(n: int) -> float:
    """Error of Stirling's formula, log n! - log(sqrt(2 pi n) (n / e)^n)."""
    if n < LARGE:
        return float(special.gammaln(n + 1) - (np.log(2 * np.pi * n) / 2 + n * np.log(n) - n))
    return float(sum(c / n ** (2 * k + 1) for k, c in enumerate(STIRLING)))
