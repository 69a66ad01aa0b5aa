"""Functions that scipy.special lacks, without loss of digits in any tail."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from .._validation import FloatArray, first_index
from ..errors import DataError

ROOT_TWO_PI = float(np.sqrt(2 * np.pi))
FAR_LEFT = 4.0  # beyond, the continued fraction of x + lambda converges to all digits in DEPTH terms
DEPTH = 80


def reals(x: Any, argument: str) -> FloatArray:
    """Return numbers of any shape, infinite ones too; NaN and complex are refused."""
    array = np.asarray(x)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{argument} holds {array.dtype}; pass real numbers")
    bad = np.isnan(array).ravel()
    if bad.any():
        raise DataError(f"{argument}[{first_index(bad)}] is nan; drop it")
    return np.array(array, dtype=np.float64)


def normal_pdf(x: FloatArray) -> FloatArray:
    """Standard normal density exp(-x^2/2) / sqrt(2 pi), to all digits.

    The rounding of x^2 would cost a relative error of machine epsilon x^2/2; x is split at 1/16, where squares are exact.
    """
    x = np.abs(np.clip(x, -1e3, 1e3))  # zero beyond 39
    coarse = np.round(x * 16) / 16
    return np.asarray(np.exp(-(coarse**2) / 2) * np.exp(-(x - coarse) * (x + coarse) / 2) / ROOT_TWO_PI)


def inverse_mills(x: Any) -> FloatArray:
    """Inverse Mills ratio lambda(x) = phi(x) / Phi(x), standard normal density over distribution function.

    Parameters
    ----------
    x : array_like, any shape
        Infinite values are taken as limits.

    Returns
    -------
    ndarray, shape of x
        Positive and decreasing; about -x for x -> -inf. E[Z | Z < x] = -lambda(x).

    Raises
    ------
    DataError
        x is NaN or not real.

    Notes
    -----
    sqrt(2/pi) / erfcx(-x / sqrt 2) for x < 0, so that neither phi nor Phi underflows; phi / Phi, with the square of x kept
    exact, for x > 0. The relative error is below 1e-15 for x < 0 and 2e-15 for x > 0 wherever the result is a normal number.

    References
    ----------
    Mills (1926), Biometrika 18; Cody (1969), Mathematics of Computation 23, for erfcx.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.inverse_mills([-40.0, 0.0, 5.0])
    array([4.00249688e+01, 7.97884561e-01, 1.48671994e-06])
    """
    x = reals(x, "x")
    left = np.minimum(x, 0.0)
    with np.errstate(divide="ignore"):  # infinite at x = -inf, where erfcx is zero
        low = np.sqrt(2 / np.pi) / special.erfcx(-left / np.sqrt(2))
    return np.asarray(np.where(x < 0, low, normal_pdf(x) / special.ndtr(np.maximum(x, 0.0))))


def inverse_mills_derivative(x: Any) -> FloatArray:
    """Derivative of the inverse Mills ratio, lambda'(x) = -lambda(x) (x + lambda(x)), strictly between -1 and 0.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    ndarray, shape of x
        -1 at -inf and 0 at inf; 1 + lambda'(x) is the variance of Z given Z < x.

    Raises
    ------
    DataError
        x is NaN or not real.

    Notes
    -----
    x + lambda(x) loses its digits for x -> -inf, where it falls like 1/t, t = -x. There it is the continued fraction
    1/(t + 2/(t + 3/(t + ...))), and lambda is t plus that.

    References
    ----------
    Laplace's continued fraction, as in Abramowitz and Stegun (1964), 26.2.14; Sampford (1953), Annals of Mathematical Statistics
    24, for the bounds.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.inverse_mills_derivative([-1e8, 0.0, 10.0])
    array([-1.00000000e+00, -6.36619772e-01, -7.69459863e-22])
    """
    x = reals(x, "x")
    t = np.clip(-x, FAR_LEFT, 1e9)  # -1 to all digits beyond
    inner = np.zeros_like(t)
    for k in range(DEPTH, 1, -1):
        inner = k / (t + inner)
    outer = 1 / (t + inner)  # x + lambda
    far = (inner - outer) / (t + inner) - 1  # lambda (x + lambda) is 1 less a variance, which is rounded by itself
    near = np.clip(x, -FAR_LEFT, 1e3)  # lambda is zero beyond 39
    ratio = inverse_mills(near)
    return np.asarray(np.where(x > -FAR_LEFT, -ratio * (near + ratio), far))


def logistic_growth(t: Any, capacity: Any, rate: Any, start: Any) -> FloatArray:
    """Logistic growth x(t) = K expit(r t + logit(x0 / K)), the solution of x' = r x (1 - x/K) with x(0) = x0.

    Parameters
    ----------
    t : array_like
        Times.
    capacity : array_like
        K > 0.
    rate : array_like
        r, of either sign, per unit of t.
    start : array_like
        x0 in (0, K). All are broadcast.

    Returns
    -------
    ndarray
        In (0, K) but for underflow and rounding; no overflow for any t.

    Raises
    ------
    DataError
        A capacity is not positive, or a start is not between zero and its capacity.

    References
    ----------
    Verhulst (1838), Correspondance mathematique et physique 10.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.logistic_growth([0.0, 1e4], capacity=10.0, rate=0.5, start=2.0)
    array([ 2., 10.])
    """
    t, K, r, x0 = _growth(t, capacity, rate, start)
    return np.asarray(K * special.expit(r * t + _logit_share(x0, K)))


def logistic_growth_derivative(t: Any, capacity: Any, rate: Any, start: Any) -> FloatArray:
    """Derivative of `logistic_growth` by t, r K expit(z) expit(-z) with z = r t + logit(x0 / K).

    Written without 1 - x/K, which has no digits near the capacity. Parameters and errors are those of `logistic_growth`.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.logistic_growth_derivative(100.0, capacity=1.0, rate=1.0, start=0.5)
    array(3.72007598e-44)
    """
    t, K, r, x0 = _growth(t, capacity, rate, start)
    z = r * t + _logit_share(x0, K)
    return np.asarray(r * K * special.expit(z) * special.expit(-z))


def _growth(t: Any, capacity: Any, rate: Any, start: Any) -> tuple[FloatArray, ...]:
    named = {"t": t, "capacity": capacity, "rate": rate, "start": start}
    try:
        t, K, r, x0 = np.broadcast_arrays(*(reals(value, name) for name, value in named.items()))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"t, capacity, rate and start do not broadcast: shapes {[np.shape(v) for v in named.values()]}") from None
    for bad, words in (
        (~((K > 0) & np.isfinite(K)), "capacity[{i}] is {K}; it is positive and finite"),
        (~((x0 > 0) & (x0 < K)), "start[{i}] is {x0}; it lies between 0 and the capacity {K}"),
    ):
        if bad.any():
            i = first_index(bad.ravel())
            raise DataError(words.format(i=i, K=K.ravel()[i], x0=x0.ravel()[i]))
    return t, K, r, x0


def _logit_share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """logit(part / whole), from the difference itself: the quotient would lose it where part is nearly whole."""
    return np.asarray(np.log(part) - np.log(whole - part))
