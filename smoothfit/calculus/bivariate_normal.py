"""Distribution function of two correlated normal variables, to all digits in every tail, and its gradient.

P(X <= h, Y <= k) is the integral over y > 0 of phi(h - y) Phi(a + c y), with a = (k - rho h) / r, c = rho / r and r^2 = 1 - rho^2.
Nothing is subtracted, so the integral is as exact as the integrand. That is log-concave: one peak, found by bisection, and
ends beyond which it is negligible; Gauss-Legendre panels between them also resolve the step of Phi, as steep as |rho| -> 1 makes
it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from .._entry import quiet
from .._validation import FloatArray, first_index
from ..errors import DataError
from .special import broadcast, inverse_mills, normal_pdf, reals

NEGLIGIBLE = 45.0  # e^-45 of the peak
WIDEST = 12.0  # the integrand falls from its peak at least as fast as a standard normal density
BISECTIONS = 60
NODES, WEIGHTS = special.roots_legendre(24)
STEP = (-9.0, -3.0, 0.0, 3.0, 9.0)  # panels around the step of Phi, in its widths
INSIDE = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)  # panels to either side of the peak
BATCH = 4096


class BivariateNormalGradient(NamedTuple):
    """Derivatives of the distribution function by both limits and by the correlation, each of the broadcast shape.

    References
    ----------
    Plackett (1954), Biometrika 41.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> gradient = calculus.bivariate_normal_gradient(0.0, 0.0, 0.0)
    >>> round(float(gradient.rho), 6)  # the density at the limits, 1 / (2 pi)
    0.159155
    """

    h: FloatArray
    k: FloatArray
    rho: FloatArray


@quiet
def bivariate_normal_cdf(h: Any, k: Any, rho: Any) -> FloatArray:
    """Probability P(X <= h, Y <= k) for standard normal X and Y of correlation rho.

    Parameters
    ----------
    h, k : array_like
        Limits; infinite ones give the other margin.
    rho : array_like
        Correlation in [-1, 1]; +-1 are the limits min(Phi(h), Phi(k)) and max(0, Phi(h) - Phi(-k)). All are broadcast.

    Returns
    -------
    ndarray
        With a relative error below 1e-12, down to 1e-300.

    Raises
    ------
    DataError
        rho is outside [-1, 1], or an argument is NaN or not real.

    Notes
    -----
    Conditional quadrature of phi(x) Phi((k - rho x) / sqrt(1 - rho^2)) for x < h; k - rho h is formed as (k - h) + (1 - rho) h, or
    (k + h) - (1 + rho) h, which keeps its digits as rho -> +-1.

    References
    ----------
    Owen (1956), Annals of Mathematical Statistics 27; Drezner and Wesolowsky (1990), Journal of Statistical Computation and
    Simulation 35.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.bivariate_normal_cdf([0.0, -1.0, -25.0], [0.0, 0.0, -25.0], 0.5)
    array([3.33333333e-001, 1.27398207e-001, 7.26882102e-185])
    """
    h, k, rho = _broadcast(h, k, rho)
    flat = [array.ravel() for array in (h, k, rho)]
    parts = [_cdf(*(array[i : i + BATCH] for array in flat)) for i in range(0, h.size, BATCH)]
    return np.concatenate([*parts, np.empty(0)]).reshape(h.shape)


@quiet
def bivariate_normal_gradient(h: Any, k: Any, rho: Any) -> BivariateNormalGradient:
    """Gradient of `bivariate_normal_cdf` by h, k and rho.

    Parameters
    ----------
    h, k, rho : array_like
        As for `bivariate_normal_cdf`.

    Returns
    -------
    BivariateNormalGradient
        phi(h) Phi((k - rho h)/r), phi(k) Phi((h - rho k)/r) and the density at (h, k), which is the derivative by rho (Plackett
        1954). As rho -> +-1 the first two are phi times 0, 1/2 or 1, the third 0, or infinite on the line that carries all
        probability.

    Raises
    ------
    DataError
        As for `bivariate_normal_cdf`.

    References
    ----------
    Plackett (1954), Biometrika 41.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> gradient = calculus.bivariate_normal_gradient(-1.0, 0.0, 0.5)
    >>> round(float(gradient.h), 7), round(float(gradient.k), 7)
    (0.1737709, 0.0495113)
    """
    h, k, rho = _broadcast(h, k, rho)
    a, b, r = _conditional(h, k, rho), _conditional(k, h, rho), _root(rho)
    with np.errstate(divide="ignore", invalid="ignore"):
        # phi(h) phi(a) / r; on the line of a degenerate distribution it is infinite
        density = np.where(np.isfinite(a), normal_pdf(h) * normal_pdf(a) / r, 0.0)
    return BivariateNormalGradient(normal_pdf(h) * special.ndtr(a), normal_pdf(k) * special.ndtr(b), density)


@quiet
def bivariate_normal_common_mean(x: Any, y: Any, mean: Any, sd1: Any, sd2: Any, rho: Any) -> tuple[FloatArray, FloatArray]:
    """P(X <= x, Y <= y) for normal X and Y of one mean, and its derivative by that mean.

    Parameters
    ----------
    x, y, mean : array_like
    sd1, sd2 : array_like
        Positive standard deviations.
    rho : array_like
        Correlation in [-1, 1]. All are broadcast.

    Returns
    -------
    probability, derivative : ndarray
        With h = (x - mean)/sd1 and k = (y - mean)/sd2, the derivative is -(dP/dh / sd1 + dP/dk / sd2).

    Raises
    ------
    DataError
        A standard deviation is not positive and finite; otherwise as for `bivariate_normal_cdf`.

    References
    ----------
    Y. Tong (1990), *The Multivariate Normal Distribution*, chapter 2.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> probability, derivative = calculus.bivariate_normal_common_mean(0.0, 0.0, 0.0, 1.0, 2.0, 0.0)
    >>> round(float(probability), 6), round(float(derivative), 6)
    (0.25, -0.299207)
    """
    sds = []
    for name, sd in (("sd1", reals(sd1, "sd1")), ("sd2", reals(sd2, "sd2"))):
        bad = ~((sd > 0) & np.isfinite(sd)).ravel()
        if bad.any():
            raise DataError(f"{name}[{first_index(bad)}] is {sd.ravel()[first_index(bad)]}; standard deviations are positive")
        sds.append(sd)
    given = {
        "x": reals(x, "x"),
        "y": reals(y, "y"),
        "mean": reals(mean, "mean"),
        "sd1": sds[0],
        "sd2": sds[1],
        "rho": reals(rho, "rho"),
    }
    x, y, mean, *sds, rho = broadcast(**given)
    h, k = (x - mean) / sds[0], (y - mean) / sds[1]
    if np.isnan(h).any() or np.isnan(k).any():
        raise DataError("mean is infinite, as x or y is at the same place; pass a finite mean")
    gradient = bivariate_normal_gradient(h, k, rho)
    return bivariate_normal_cdf(h, k, rho), -(gradient.h / sds[0] + gradient.k / sds[1])


def _broadcast(h: Any, k: Any, rho: Any) -> tuple[FloatArray, ...]:
    arrays = [reals(value, name) for name, value in (("h", h), ("k", k), ("rho", rho))]
    bad = ~(np.abs(arrays[2]) <= 1).ravel()
    if bad.any():
        i = first_index(bad)
        raise DataError(f"rho[{i}] is {arrays[2].ravel()[i]}; a correlation lies in [-1, 1]")
    return broadcast(h=arrays[0], k=arrays[1], rho=arrays[2])


def _root(rho: FloatArray) -> FloatArray:
    return np.sqrt((1 - rho) * (1 + rho))


def _conditional(h: FloatArray, k: FloatArray, rho: FloatArray) -> FloatArray:
    """(k - rho h) / r without cancellation near rho = +-1; infinite, or zero on the line, at +-1; infinite for infinite k."""
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.where(rho >= 0, (k - h) + (1 - rho) * h, (k + h) - (1 + rho) * h)
        a = difference / _root(rho)
    a = np.where(np.isinf(k), k, a)
    a = np.where(np.isinf(h) & ~np.isinf(k), -np.sign(rho) * h, a)  # no matter: phi(h) is zero
    return np.where(np.isnan(a), 0.0, a)


def _cdf(h: FloatArray, k: FloatArray, rho: FloatArray) -> FloatArray:
    """P(X <= h, Y <= k), vectors."""
    result = np.zeros(h.shape)
    h, k = np.minimum(h, k), np.maximum(h, k)  # the narrower limit bounds the integral
    is_margin = np.isposinf(k)
    is_zero = np.isneginf(h)
    is_inner = ~is_margin & ~is_zero & (np.abs(rho) < 1)
    result[is_margin] = special.ndtr(h[is_margin])
    equal = (rho == 1) & ~is_margin
    result[equal] = special.ndtr(h[equal])
    opposite = (rho == -1) & ~is_margin & ~is_zero & (h + k > 0)
    result[opposite] = _interval(-k[opposite], h[opposite])
    result[is_inner] = _conditional_quadrature(h[is_inner], k[is_inner], rho[is_inner])
    return result


def _interval(lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Phi(upper) - Phi(lower) for lower < upper, without subtracting."""
    length = upper - lower
    start = np.where(lower + upper > 0, lower, -upper)  # the end nearer to zero, or the left of an interval around it

    def log_density(y: FloatArray) -> FloatArray:
        return np.asarray(-start * y - y**2 / 2)

    # phi(start + y) = phi(start) exp(-start y - y^2/2)
    peak = np.clip(-start, 0.0, length)
    return np.asarray(normal_pdf(start) * _integral(log_density, peak, np.zeros_like(length), length, ()))


def _conditional_quadrature(h: FloatArray, k: FloatArray, rho: FloatArray) -> FloatArray:
    a, c = _conditional(h, k, rho), rho / _root(rho)

    def slope(y: FloatArray) -> FloatArray:
        return np.asarray((h - y) + c * inverse_mills(a + c * y))

    # the peak: where the slope, which falls, is zero, or the boundary
    low, high = np.zeros_like(h), np.maximum(h, 0.0) + WIDEST + np.abs(a)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        rises = slope(middle) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    peak = np.where(slope(np.zeros_like(h)) > 0, (low + high) / 2, 0.0)
    at_peak = a + c * peak
    base = special.log_ndtr(at_peak)

    def log_integrand(y: FloatArray) -> FloatArray:
        """Relative to the peak; y is counted from it, so that no digits of the step's place are lost."""
        s = y - peak
        return np.asarray((h - peak) * s - s**2 / 2 + special.log_ndtr(at_peak + c * s) - base)

    is_flat = np.abs(c) < 1e-30  # hardly any correlation: no step within reach
    steps = [np.where(is_flat, 0.0, z - a) / np.where(is_flat, 1.0, c) for z in STEP]
    integral = _integral(log_integrand, peak, np.zeros_like(h), peak + WIDEST, tuple(steps))
    return np.asarray(normal_pdf(h - peak) * special.ndtr(at_peak) * integral)


def _integral(
    log_integrand: Callable[[FloatArray], FloatArray],
    peak: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    breaks: tuple[FloatArray, ...],
) -> FloatArray:
    """Integrate exp(log_integrand), concave and zero at the peak, over [lower, upper], with panel ends at breaks too."""
    start = _where_negligible(log_integrand, peak, lower)
    end = _where_negligible(log_integrand, peak, upper)
    ends = [start + share * (peak - start) for share in INSIDE[:-1]] + [peak + share * (end - peak) for share in INSIDE]
    panels = np.sort([*ends, *(np.clip(z, start, end) for z in breaks)], axis=0)
    total = np.zeros_like(peak)
    for left, right in pairwise(panels):
        half = (right - left) / 2
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            total += weight * half * np.exp(log_integrand(left + half * (1 + node)))
    return total


def _where_negligible(log_integrand: Callable[[FloatArray], FloatArray], peak: FloatArray, limit: FloatArray) -> FloatArray:
    """The point between the peak and a limit beyond which the integrand is negligible."""
    near, far = peak, limit
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        matters = log_integrand(middle) > -NEGLIGIBLE
        near, far = np.where(matters, middle, near), np.where(matters, far, middle)
    return np.where(log_integrand(limit) > -NEGLIGIBLE, limit, far)
