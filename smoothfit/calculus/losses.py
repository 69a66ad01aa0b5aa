"""Losses of residuals, with their slopes and curvatures: absolute, Huber, pseudo-Huber, log cosh."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._entry import quiet
from .._validation import FloatArray, check_finite, check_positive, to_floats
from ..errors import DataError
from .special import reals, squared_sech

LOG_TWO = float(np.log(2.0))


class ResidualLoss(NamedTuple):
    """A loss at residuals r, arrays of their shape.

    Attributes
    ----------
    value, slope, curvature : ndarray
        The loss, its first and its second derivative by r.

    References
    ----------
    Huber (1964), Annals of Mathematical Statistics 35.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.huber([-3.0], delta=1.0)  # abs(r) - 1/2
    ResidualLoss(value=array([2.5]), slope=array([-1.]), curvature=array([0.]))
    """

    value: FloatArray
    slope: FloatArray
    curvature: FloatArray


@quiet
def huber(r: Any, delta: float = 1.0) -> ResidualLoss:
    """Huber's loss: r^2/2 for abs(r) <= delta, delta (abs(r) - delta/2) beyond.

    Parameters
    ----------
    r : array_like, any shape
        Residuals.
    delta : float
        Positive, in units of r.

    Returns
    -------
    ResidualLoss
        The curvature, which jumps at delta, is that from within.

    Raises
    ------
    DataError, SpecificationError
        r is NaN or not real; delta is not positive and finite.

    References
    ----------
    Huber (1964), Annals of Mathematical Statistics 35.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.huber([0.5, 3.0]).value, calculus.huber([0.5, 3.0]).slope
    (array([0.125, 2.5  ]), array([0.5, 1. ]))
    """
    r, delta = reals(r, "r"), check_positive(delta, "delta")
    slope = np.clip(r, -delta, delta)
    # slope (r - slope/2) is r^2/2 within; beyond, no square can overflow
    return ResidualLoss(slope * (r - slope / 2), slope, np.where(np.abs(r) <= delta, 1.0, 0.0))


@quiet
def pseudo_huber(r: Any, delta: float = 1.0) -> ResidualLoss:
    """Pseudo-Huber loss delta^2 (sqrt(1 + (r/delta)^2) - 1), smooth everywhere.

    Parameters, errors as for `huber`.

    Notes
    -----
    Written r slope / (1 + s) with s = delta / sqrt(delta^2 + r^2), slope = r s and curvature s^3, which neither cancels for small r
    nor overflows for large ones.

    References
    ----------
    Charbonnier, Blanc-Feraud, Aubert and Barlaud (1997), IEEE Transactions on Image Processing 6.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.pseudo_huber([1e-9, 1e200]).value
    array([5.e-019, 1.e+200])
    """
    r, delta = reals(r, "r"), check_positive(delta, "delta")
    larger = np.maximum(np.abs(r), delta)
    u, s = np.where(np.isinf(r), np.sign(r), r / larger), delta / larger
    root = np.hypot(u, s)
    u, s = u / root, s / root  # sine and cosine of the angle whose tangent is r / delta
    slope = np.where(np.abs(r) < delta, r * s, delta * u)
    return ResidualLoss(r * (slope / (1 + s)), slope, s**3)


@quiet
def log_cosh(r: Any) -> ResidualLoss:
    """Loss log cosh r, about r^2/2 for small and abs(r) - log 2 for large residuals.

    Parameters
    ----------
    r : array_like, any shape

    Returns
    -------
    ResidualLoss
        Slope tanh r, curvature 1 / cosh^2 r.

    Raises
    ------
    DataError
        r is NaN or not real.

    Notes
    -----
    log1p(2 sinh^2(r/2)) below 1, abs(r) + log1p(exp(-2 abs(r))) - log 2 above: all digits at 1e-150, no overflow at 1e300.

    References
    ----------
    P. Green (1990), "Bayesian reconstructions from emission tomography data using a modified EM algorithm".

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.log_cosh([1e-9, 1e3]).value
    array([5.00000000e-19, 9.99306853e+02])
    """
    size = np.abs(reals(r, "r"))
    small = np.log1p(2 * np.sinh(np.minimum(size, 1.0) / 2) ** 2)
    large = size + (np.log1p(np.exp(-2 * size)) - LOG_TWO)
    return ResidualLoss(np.where(size < 1, small, large), np.tanh(reals(r, "r")), squared_sech(size))


class Subdifferential(NamedTuple):
    """The interval of slopes of a convex function in each coordinate, arrays (n,).

    References
    ----------
    Rockafellar (1970), Convex Analysis, section 23.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.mean_absolute_error_subdifferential([1.0], [1.0])
    Subdifferential(lower=array([-1.]), upper=array([1.]))
    """

    lower: FloatArray
    upper: FloatArray

    @property
    def least_norm(self) -> FloatArray:
        """The subgradient closest to zero."""
        return np.asarray(np.clip(0.0, self.lower, self.upper))

    def contains(self, slope: Any) -> bool:
        """Whether a vector is a subgradient.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> slopes = calculus.mean_absolute_error_subdifferential([1.0], [1.0])
        >>> slopes.contains([0.5]), slopes.contains([2.0])
        (True, False)
        """
        slope = np.asarray(slope, dtype=np.float64)
        return bool(np.all((self.lower <= slope) & (slope <= self.upper)))


@quiet
def mean_absolute_error(y: Any, prediction: Any) -> float:
    """Mean of abs(y - prediction).

    Parameters
    ----------
    y, prediction : array_like, shape (n,)

    Returns
    -------
    float

    Raises
    ------
    DataError
        Lengths differ, nothing is passed, or a number is not finite.

    References
    ----------
    R. Koenker (2005), *Quantile Regression*, section 1.3.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.mean_absolute_error([1.0, 2.0], [2.0, 2.0])
    0.5
    """
    r = np.abs(_residuals(y, prediction))
    return float((r / len(r)).sum())  # their sum may overflow


@quiet
def mean_absolute_error_subdifferential(y: Any, prediction: Any) -> Subdifferential:
    """Subdifferential of the mean absolute error by the predictions: +-1/n, and [-1/n, 1/n] where prediction equals observation.

    Parameters
    ----------
    y, prediction : array_like, shape (n,)

    Returns
    -------
    Subdifferential
        `least_norm` chooses 0 at ties. The error is smallest where zero is in the subdifferential: a constant prediction is then a
        median.

    Raises
    ------
    DataError
        As for `mean_absolute_error`.

    References
    ----------
    Rockafellar (1970), Convex Analysis, section 23.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> slopes = calculus.mean_absolute_error_subdifferential([1.0, 2.0], [2.0, 2.0])
    >>> slopes.lower, slopes.upper, slopes.least_norm
    (array([ 0.5, -0.5]), array([0.5, 0.5]), array([0.5, 0. ]))
    """
    r = _residuals(y, prediction)
    return Subdifferential(np.where(r > 0, 1.0, -1.0) / len(r), np.where(r < 0, -1.0, 1.0) / len(r))


def _residuals(y: Any, prediction: Any) -> FloatArray:
    """Prediction minus observation."""
    readings, predicted = to_floats(y, "y")[0], to_floats(prediction, "prediction")[0]
    if len(readings) != len(predicted):
        raise DataError(f"y has {len(readings)} entries and prediction {len(predicted)}; they go together one to one")
    if not len(readings):
        raise DataError("y is empty")
    check_finite(readings, "y", "drop missing observations")
    check_finite(predicted, "prediction", "predictions are finite")
    return predicted - readings
