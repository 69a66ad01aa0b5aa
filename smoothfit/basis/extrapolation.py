"""What a basis and a spline are beyond their domain, and what their derivatives are there.

=============  ==========================================================================================
``error``      nothing: such an x raises DataError
``polynomial`` the end pieces go on
``linear``     the tangent at the end
``constant``   the value at the end
``zero``       zero
``nan``        NaN, in a row of a design matrix those entries that could differ from zero at the end
``periodic``   the domain repeats
=============  ==========================================================================================

The derivative of the extended function is the extension of the derivative: beyond the domain the derivative of a tangent is
constant, that of a constant zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, check_choice, first_index
from ..errors import DataError

MODES = ("error", "polynomial", "linear", "constant", "zero", "nan", "periodic")
OF_DERIVATIVE = {"linear": "constant", "constant": "zero"}  # the others stay
OF_ANTIDERIVATIVE = {"constant": "linear", "zero": "constant", "linear": "error", "periodic": "error"}


def check_mode(mode: object) -> str:
    return check_choice(mode, "extrapolate", MODES)


def outside_error(x: FloatArray, i: int, domain: tuple[float, float], argument: str = "x") -> DataError:
    """The error for a point beyond the domain, or NaN."""
    if np.isnan(x[i]):
        return DataError(f"{argument}[{i}] is nan; drop missing values of x, or pass extrapolate='nan'")
    return DataError(
        f"{argument}[{i}] = {x[i]} is outside the domain [{domain[0]}, {domain[1]}]; widen the knots or choose extrapolate="
    )


def brought_inside(x: FloatArray, mode: str, domain: tuple[float, float]) -> tuple[FloatArray, npt.NDArray[np.bool_] | None]:
    """Points at which to compute, and which of the given ones lie beyond the domain; None if that does not matter."""
    lower, upper = domain
    finite = np.isfinite(x) if mode != "nan" else ~np.isinf(x)
    if not finite.all():
        i = first_index(~finite)
        raise DataError(f"x[{i}] is {x[i]}; values of x must be finite")
    if mode == "polynomial":
        return x, None
    if mode == "periodic":
        return np.where((x >= lower) & (x <= upper), x, np.minimum(reduced(x, domain), upper)), None
    outside = ~((x >= lower) & (x <= upper))
    if not outside.any():
        return x, None
    return np.where(np.isnan(x), lower, np.clip(x, lower, upper)), outside


def reduced(x: FloatArray, domain: tuple[float, float]) -> FloatArray:
    """Points less whole periods, a period being the domain."""
    lower, upper = domain
    wrapped = np.asarray(lower + np.mod(x - lower, upper - lower))
    lost = np.isfinite(x) & ~np.isfinite(wrapped)
    if lost.any():
        i = first_index(lost)
        raise DataError(f"x[{i}] = {x[i]} is farther from the domain [{lower}, {upper}] than floating-point numbers reach")
    return wrapped
