"""Softmax and cross-entropy of logits: values, derivatives and products with them, without overflow."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._entry import quiet
from .._validation import FloatArray, check_memory
from ..errors import DataError
from .special import finite_reals, reals, rounding_of_sum, sums_of_others


class _Softmax(NamedTuple):
    """What softmax is made of, with all its digits: of a class that is nearly certain, too.

    Attributes
    ----------
    p : ndarray, shape (..., K)
    rest : ndarray, shape (..., K)
        1 - p, the sum of the others.
    surprise : ndarray, shape (..., K)
        -log p, a sum of terms that are not negative.
    peak : ndarray of int, shape (..., 1)
        The class with the largest logit.
    """

    p: FloatArray
    rest: FloatArray
    surprise: FloatArray
    peak: Any

    @classmethod
    def of(cls, z: FloatArray) -> _Softmax:
        peak = np.argmax(z, axis=-1, keepdims=True)
        top = np.take_along_axis(z, peak, axis=-1)
        d = z - top
        lost = rounding_of_sum(z, -top, d)  # by that subtraction: an absolute error of it is a relative one of p
        lost = np.where(np.isfinite(lost), lost, 0.0)
        odds = np.exp(d) * (1 + lost)  # against the class at the peak
        others = odds.copy()
        np.put_along_axis(others, peak, 0.0, axis=-1)
        others = others.sum(axis=-1, keepdims=True)
        p = odds / (1 + others)
        return cls(p, sums_of_others(p), np.log1p(others) - (d + lost), peak)


@quiet
def softmax(z: Any) -> FloatArray:
    """Probabilities exp(z_i) / sum_j exp(z_j) along the last axis, of any z.

    Raises DataError if z is NaN, or a row of it contains +inf or only -inf.

    References
    ----------
    J. Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs". Shifted by the largest z:
    P. Blanchard, D. Higham and N. Higham (2021), "Accurately computing the log-sum-exp and softmax functions".

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.softmax([1000.0, 1000.0, -1000.0])
    array([0.5, 0.5, 0. ])
    """
    return _Softmax.of(_logits(z)).p


@quiet
def softmax_jacobian(z: Any) -> FloatArray:
    """Jacobian of softmax, diag(p) - pp', symmetric: both layouts are the same.

    Parameters
    ----------
    z : array_like, shape (..., K)

    Returns
    -------
    ndarray, shape (..., K, K)
        Its diagonal is p_i times the sum of the others, which keeps the digits of 1 - p_i.

    Raises
    ------
    DataError
        As for `softmax`.

    References
    ----------
    Bridle (1990), in Neurocomputing: Algorithms, Architectures and Applications.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.softmax_jacobian([0.0, 0.0])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    z = _logits(z)
    check_memory(24.0 * z.size * z.shape[-1], f"a Jacobian of softmax for z of shape {z.shape}", "use softmax_jvp")
    found = _Softmax.of(z)
    return class_covariance(found.p, found.rest)


def class_covariance(p: FloatArray, rest: FloatArray) -> FloatArray:
    """Matrix diag p - pp' (..., K, K), its diagonal p (1 - p) with 1 - p given."""
    result: FloatArray = -p[..., :, None] * p[..., None, :]
    k = np.arange(p.shape[-1])
    result[..., k, k] = p * rest
    return result


@quiet
def softmax_jvp(z: Any, v: Any) -> FloatArray:
    """Product of the Jacobian of softmax at z and a vector, p o (v - p'v); arrays (..., K).

    Parameters
    ----------
    z, v : array_like, shape (..., K)
        Logits and finite numbers; leading axes are broadcast.

    Returns
    -------
    ndarray, shape (..., K)

    Raises
    ------
    DataError
        Shapes do not go together, v is not finite, or z is as `softmax` refuses it.

    Notes
    -----
    Computed as p_i (u_i - sum_j p_j u_j) with u_j = v_j - v_k and k the class with the largest logit. If p_k is close to one, v_k -
    p'v has no digits left, and u_k = 0.

    References
    ----------
    Bridle (1990), in Neurocomputing: Algorithms, Architectures and Applications, for the Jacobian.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.softmax_jvp([0.0, 0.0], [1.0, 3.0])
    array([-0.5,  0.5])
    >>> calculus.softmax_jvp([40.0, 0.0], [1.0, 0.0])
    array([ 4.24835426e-18, -4.24835426e-18])
    """
    return _jvp(_Softmax.of(_logits(z)), finite_reals(v, "v"))


def _jvp(found: _Softmax, v: FloatArray) -> FloatArray:
    p, shape = found.p, found.p.shape
    if v.shape[-1:] != shape[-1:]:
        raise DataError(f"v has shape {v.shape} and z {shape}; their last axes agree")
    try:
        joint = np.broadcast_shapes(v.shape, shape)
    except ValueError:
        raise DataError(f"v has shape {v.shape} and z {shape}, which do not broadcast; pass a vector for each row of z") from None
    v = np.broadcast_to(v, joint)
    u = v - np.take_along_axis(v, np.broadcast_to(found.peak, (*joint[:-1], 1)), axis=-1)
    return np.asarray(p * (u - np.sum(p * u, axis=-1, keepdims=True)))


@quiet
def softmax_vjp(z: Any, v: Any) -> FloatArray:
    """Product of a vector and the Jacobian of softmax at z: that of `softmax_jvp`, as the Jacobian is symmetric.

    Parameters, errors, formula and source are those of `softmax_jvp`.

    References
    ----------
    C. Bishop (2006), *Pattern Recognition and Machine Learning*, equation 4.106.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.softmax_vjp([0.0, 0.0], [1.0, 3.0])
    array([-0.5,  0.5])
    """
    return softmax_jvp(z, v)


@quiet
def cross_entropy(z: Any, t: Any) -> FloatArray:
    """Cross-entropy -sum_k t_k log softmax(z)_k along the last axis.

    Parameters
    ----------
    z : array_like, shape (..., K)
        Logits.
    t : array_like, shape (..., K)
        Targets, not negative. They need not sum to one (weights, counts); gradient and Hessian account for that.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    DataError
        A target is negative or not finite, shapes differ, or z is as `softmax` refuses it.

    Notes
    -----
    -log p_i = log(1 + sum_(j != k) exp(z_j - z_k)) + z_k - z_i with k the class with the largest logit: no digits are lost if p_k
    is close to one. 0 log 0 = 0. Gradient by z: p sum(t) - t (`cross_entropy_gradient`); Hessian: sum(t) (diag p - pp').

    References
    ----------
    Bishop (2006), Pattern Recognition and Machine Learning, 4.3.4.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.cross_entropy([[0.0, 1000.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]])
    array([1000.        ,    1.38629436])
    """
    z, t = check_targets(z, t)
    return np.asarray(np.where(t > 0, t * _Softmax.of(z).surprise, 0.0).sum(axis=-1))  # 0 * inf


@quiet
def cross_entropy_gradient(z: Any, t: Any) -> FloatArray:
    """Gradient of `cross_entropy` by the logits, p sum(t) - t, (..., K); p - t only where the targets sum to one.

    Parameters, errors and source are those of `cross_entropy`. Computed as p_i sum_(j != i) t_j - t_i sum_(j != i) p_j, which keeps
    its digits if p_i is close to one.

    References
    ----------
    C. Bishop (2006), *Pattern Recognition and Machine Learning*, equation 4.109.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.cross_entropy_gradient([0.0, 0.0], [1.0, 1.0])
    array([0., 0.])
    """
    z, t = check_targets(z, t)
    found = _Softmax.of(z)
    return np.asarray(found.p * sums_of_others(t) - t * found.rest)


@quiet
def cross_entropy_hessp(z: Any, t: Any, v: Any) -> FloatArray:
    """Product of the Hessian of `cross_entropy` by the logits and a vector, sum(t) p o (v - p'v); arrays (..., K).

    Parameters and errors are those of `cross_entropy` and `softmax_jvp`, whose formula keeps the digits.

    References
    ----------
    C. Bishop (2006), *Pattern Recognition and Machine Learning*, equation 4.110.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.cross_entropy_hessp([0.0, 0.0], [2.0, 0.0], [1.0, 0.0])
    array([ 0.5, -0.5])
    """
    z, t = check_targets(z, t)
    return np.asarray(t.sum(axis=-1, keepdims=True) * _jvp(_Softmax.of(z), finite_reals(v, "v")))


def _logits(z: Any) -> FloatArray:
    logits = reals(z, "z")
    if logits.ndim == 0:
        raise DataError("z is one number; pass logits along the last axis")
    if not logits.shape[-1]:
        raise DataError(f"z has shape {logits.shape}; pass one logit at least")
    peak = logits.max(axis=-1)
    if np.isinf(peak).any():
        raise DataError(
            f"z has a row whose largest logit is {peak[np.isinf(peak)].ravel()[0]}; pass rows with a finite largest one"
        )
    return logits


def check_targets(z: Any, t: Any) -> tuple[FloatArray, FloatArray]:
    """Return logits, and a target for each."""
    z, t = _logits(z), reals(t, "t")
    if t.shape != z.shape:
        raise DataError(f"t has shape {t.shape} and z {z.shape}; there is a target for each logit")
    bad = ~((t >= 0) & np.isfinite(t))
    if bad.any():
        i = tuple(np.argwhere(bad)[0].tolist())
        raise DataError(f"t[{', '.join(map(str, i))}] is {t[i]}; targets are finite and not negative")
    return z, t
