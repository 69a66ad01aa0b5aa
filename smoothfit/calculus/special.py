"""Functions that scipy.special lacks, without loss of digits in any tail."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from .._entry import quiet
from .._validation import FloatArray, check_finite, first_index, to_numbers
from ..errors import DataError

ROOT_TWO_PI = float(np.sqrt(2 * np.pi))
FAR_LEFT = 4.0  # beyond, the continued fraction of x + lambda converges to all digits in DEPTH terms
DEPTH = 80
SPLITTER = 2.0**27 + 1  # cuts a number of 53 bits in halves
TINY = float(np.finfo(np.float64).tiny)
NEAR = 0.1  # |x - y| / (x + y), below which the series is taken
SERIES = 8  # terms; the next is below 1e-17 of the sum


def reals(x: Any, argument: str) -> FloatArray:
    """Return numbers of any shape, infinite ones too; NaN and complex are refused."""
    array = to_numbers(x, argument)
    bad = np.isnan(array).ravel()
    if bad.any():
        raise DataError(f"{argument}[{first_index(bad)}] is nan; drop it")
    return array


def as_array(values: Any, argument: str) -> npt.NDArray[Any]:
    """Return an array of any kind."""
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{argument} has entries of different lengths, which make no array") from None


def finite_reals(x: Any, argument: str) -> FloatArray:
    """Return finite numbers of any shape."""
    array = reals(x, argument)
    check_finite(array.ravel(), argument, "pass finite numbers")
    return array


def broadcast(**named: FloatArray) -> tuple[FloatArray, ...]:
    """Return arrays in one shape."""
    try:
        return tuple(np.broadcast_arrays(*named.values()))
    except ValueError:
        names = list(named)
        shapes = [array.shape for array in named.values()]
        raise DataError(f"{', '.join(names[:-1])} and {names[-1]} do not broadcast: shapes {shapes}") from None


def sums_of_others(values: FloatArray) -> FloatArray:
    """Sums over the last axis without the element itself, each added up and not subtracted from the total."""
    before, after = np.zeros_like(values), np.zeros_like(values)
    np.cumsum(values[..., :-1], axis=-1, out=before[..., 1:])
    np.cumsum(values[..., :0:-1], axis=-1, out=after[..., -2::-1])
    return before + after


def relative_entropy(x: Any, y: Any, difference: Any, log_ratio: Any = None) -> FloatArray:
    """Deviance x log(x / y) - x + y for x, y >= 0, with x - y given, to all its digits where x is close to y.

    `log_ratio` is log(x / y), where that is known better than x / y is.

    Near y it is (x - y) v + 2 x (v^3/3 + v^5/5 + ...), v = (x - y)/(x + y) (Loader 2000, "Fast and accurate computation of binomial
    probabilities"); infinite where y = 0 < x.
    """
    x, y, difference = np.broadcast_arrays(x, y, difference)
    with np.errstate(all="ignore"):
        v = difference / (x + y)
        is_near = np.abs(v) < NEAR
        v = np.where(is_near, v, 0.0)
        tail = np.zeros_like(v)
        for k in range(2 * SERIES + 1, 1, -2):
            tail = (tail + 1 / k) * v**2
        near = difference * v + 2 * x * v * tail
        ratio = x / y
        is_normal = (ratio > TINY) & np.isfinite(ratio)
        logarithm = np.where(is_normal, np.log(ratio), np.log(x) - np.log(y)) if log_ratio is None else log_ratio
        far = np.where(x > 0, x * logarithm, 0.0) - difference
    return np.asarray(np.where(is_near, near, far))


def squared_sech(x: FloatArray) -> FloatArray:
    """1 / cosh^2 x, the derivative of tanh, where 1 - tanh^2 x has no digits left, too."""
    decay = np.exp(-2 * np.minimum(np.abs(x), 1e3))
    return np.asarray(4 * decay / (1 + decay) ** 2)


def normal_pdf(x: FloatArray) -> FloatArray:
    """Standard normal density exp(-x^2/2) / sqrt(2 pi), to all digits.

    The rounding of x^2 would cost a relative error of machine epsilon x^2/2; x is split at 1/16, where squares are exact.
    """
    x = np.abs(np.clip(x, -1e3, 1e3))  # zero beyond 39
    coarse = np.round(x * 16) / 16
    return np.asarray(np.exp(-(coarse**2) / 2) * np.exp(-(x - coarse) * (x + coarse) / 2) / ROOT_TWO_PI)


@quiet
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


@quiet
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


@quiet
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
    z, rest = _logit_growth(t, K, r, x0)
    return np.asarray(K * (special.expit(z) * (1 + rest * special.expit(-z))))


@quiet
def logistic_growth_derivative(t: Any, capacity: Any, rate: Any, start: Any) -> FloatArray:
    """Derivative of `logistic_growth` by t, r K expit(z) expit(-z) with z = r t + logit(x0 / K).

    Written without 1 - x/K, which has no digits near the capacity. Parameters and errors are those of `logistic_growth`.

    References
    ----------
    P. Verhulst (1838), "Notice sur la loi que la population suit dans son accroissement".

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.logistic_growth_derivative(100.0, capacity=1.0, rate=1.0, start=0.5)
    array(3.72007598e-44)
    """
    t, K, r, x0 = _growth(t, capacity, rate, start)
    z, rest = _logit_growth(t, K, r, x0)
    up, down = special.expit(z), special.expit(-z)
    return np.asarray(r * (K * (up * down * (1 + rest * (down - up)))))


def _growth(t: Any, capacity: Any, rate: Any, start: Any) -> tuple[FloatArray, ...]:
    named = {"t": t, "capacity": capacity, "rate": rate, "start": start}
    t, K, r, x0 = broadcast(**{name: reals(value, name) for name, value in named.items()})
    for bad, words in (
        (~np.isfinite(r), "rate[{i}] is {r}; pass a finite rate"),
        (~((K > 0) & np.isfinite(K)), "capacity[{i}] is {K}; it is positive and finite"),
        (~((x0 > 0) & (x0 < K)), "start[{i}] is {x0}; it lies between 0 and the capacity {K}"),
    ):
        if bad.any():
            i = first_index(bad.ravel())
            raise DataError(words.format(i=i, K=K.ravel()[i], x0=x0.ravel()[i], r=r.ravel()[i]))
    return t, K, r, x0


def _logit_growth(t: FloatArray, K: FloatArray, r: FloatArray, x0: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The sum r t + logit(x0 / K), and its rounding error: in the tail an absolute error of it is a relative one of the growth."""
    # from the difference itself: 1 - x0 / K would lose it where x0 is nearly K; of quotients that overflow, from the logarithms
    odds = x0 / (K - x0)
    is_normal = (odds > TINY) & np.isfinite(odds)
    logit = np.where(is_normal, np.log(odds), np.log(x0) - np.log(K - x0))
    product = np.where(r == 0, 0.0, r * t)  # no growth, for infinite t, too
    z = product + logit
    rest = _rounding_of_product(r, t, product) + rounding_of_sum(product, logit, z)
    return z, np.where(np.isfinite(rest), rest, 0.0)


def rounding_of_sum(a: FloatArray, b: FloatArray, total: FloatArray) -> FloatArray:
    """Return a + b - total, exactly (Knuth 1969, section 4.2.2)."""
    added = total - a
    return np.asarray((a - (total - added)) + (b - added))


def _rounding_of_product(a: FloatArray, b: FloatArray, product: FloatArray) -> FloatArray:
    """Return a b - product, exactly (Dekker 1971, "A floating-point technique for extending the available precision")."""
    halves = []
    for x in (a, b):
        high = SPLITTER * x - (SPLITTER * x - x)
        halves.append((high, x - high))
    (a1, a2), (b1, b2) = halves
    return np.asarray(((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2)
