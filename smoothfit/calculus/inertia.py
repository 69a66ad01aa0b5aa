"""Classification of a critical point by the inertia of its Hessian.

A zero eigenvalue proves nothing, and a numeric one is never zero, so each eigenvalue is compared with what is known about it: the
rounding of the decomposition and the error of the Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._validation import EPS, FloatArray

ROUNDING = 10.0  # of eigenvalues, in units of n eps |lam|_max


class Inertia(NamedTuple):
    """Numbers of positive, negative and undecided eigenvalues.

    References
    ----------
    Sylvester (1852), Philosophical Magazine 4; Horn and Johnson (2013), Matrix Analysis, 4.5.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.classify_critical_point(hess=[[0.0, 1.0], [1.0, 0.0]]).inertia  # eigenvalues 1 and -1
    Inertia(positive=1, negative=1, zero=0)
    """

    positive: int
    negative: int
    zero: int


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """A point with its classification.

    Attributes
    ----------
    x : ndarray, shape (n,)
    kind : str
        "minimum", "maximum", "saddle", "inconclusive", or "not critical" where the gradient is not zero.
    inertia : Inertia
        Of the Hessian.
    eigenvalues : ndarray, shape (n,)
        Of the Hessian, ascending.
    tolerance : float
        Eigenvalues no larger than this count as zero.
    gradient : ndarray, shape (n,)
    value : float or None
        f at x, where f is known.

    References
    ----------
    Nocedal and Wright (2006), Numerical Optimization, 2.1.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> point = calculus.classify_critical_point(lambda x: x[0] ** 2 + 3 * x[1] ** 2, [0.0, 0.0])
    >>> point.kind, point.eigenvalues.round(6)
    ('minimum', array([2., 6.]))
    """

    x: FloatArray
    kind: str
    inertia: Inertia
    eigenvalues: FloatArray
    tolerance: float
    gradient: FloatArray
    value: float | None = None


def classified(
    x: FloatArray,
    g: FloatArray,
    g_error: FloatArray,
    H: FloatArray,
    H_error: float,
    rtol: float,
    typical: float,
    value: float | None,
) -> CriticalPoint:
    """A point with its kind, from the gradient and the Hessian there and their errors."""
    lam, axes = np.linalg.eigh((H + H.T) / 2)
    tolerance = max(ROUNDING * len(lam) * EPS * float(np.abs(lam).max()), H_error)
    inertia = Inertia(int((lam > tolerance).sum()), int((lam < -tolerance).sum()), int((np.abs(lam) <= tolerance).sum()))
    curvature = np.maximum(np.abs(lam), max(tolerance, np.finfo(float).tiny))
    step = np.abs(axes @ ((axes.T @ g) / curvature))
    is_critical = bool(np.all(np.abs(g) <= 2 * g_error) or np.all(step <= rtol * np.maximum(np.abs(x), typical)))
    return CriticalPoint(x, _kind(inertia) if is_critical else "not critical", inertia, lam, tolerance, g, value)


def _kind(inertia: Inertia) -> str:
    if inertia.positive and inertia.negative:
        return "saddle"
    if inertia.zero:
        return "inconclusive"
    return "minimum" if inertia.positive else "maximum"
