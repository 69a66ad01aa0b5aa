"""Which sizes of t, y and u an equation can be estimated at.

Coefficients have the unit of time to the power -m, variances of noise that of y squared over time to the power 2m - 1, and searches
multiply both. Sizes beyond what is refused here overflow in some products and underflow in others, and no search can report why.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import DataError
from .sample import Sample
from .specification import derivative_name

OF_TIME = 100.0  # decades of a gap to the power m + 1, either way of one
OF_VALUES = 50.0  # decades of observations, inputs and SDs, either way of one


def check_scales(sample: Sample, order: int) -> None:
    """Raise if times, observations, sds or inputs are too far from one for products of them.

    Parameters
    ----------
    sample : Sample
    order : int
        m.

    Raises
    ------
    DataError
        The message names the column, and the size and place that are out of range.
    """
    _check_times(sample, order)
    for channel, y, ratio in zip(sample.channels, sample.y.T, sample.ratio.T, strict=True):
        known = np.isfinite(y)
        _check_largest(sample, channel.name, np.where(known, np.abs(y), 0.0))
        observed = derivative_name(sample.outputs[channel.output], channel.deriv)
        _check_all(sample, f"the {'sd' if channel.known else 'weight'} of {observed}", ratio, known)
    for name, u in zip(sample.inputs, sample.u.T, strict=True):
        _check_largest(sample, name, np.abs(u))


def _check_times(sample: Sample, order: int) -> None:
    if not len(sample.gaps):
        return
    limit = 10 ** (OF_TIME / (order + 1))
    for gap in (float(sample.gaps.min()), float(sample.gaps.max())):
        if not 1 / limit <= gap <= limit:
            raise DataError(
                f"{sample.t_name} has neighbours {gap:.3g} apart, and an equation of order {order} is estimated for gaps from "
                f"{1 / limit:.0e} to {limit:.0e}; pass {sample.t_name} in another unit"
            )


def _check_largest(sample: Sample, name: str, size: FloatArray) -> None:
    """Raise if the largest of a column is too large or too small; zeros throughout are not looked at here."""
    limit = 10**OF_VALUES
    i = int(np.argmax(size))
    if size[i] > 0 and not 1 / limit <= size[i] <= limit:
        where = f"{sample.t_name} = {sample.abscissa.label_of_number(float(sample.t[i]))}"
        raise DataError(
            f"{name} is at most {size[i]:.3g} in size (at {where}), beyond {1 / limit:.0e} to {limit:.0e}; pass it in another unit"
        )


def _check_all(sample: Sample, what: str, ratio: FloatArray, known: npt.NDArray[np.bool_]) -> None:
    """Raise if a given variance (or the inverse of a weight) is too large or too small."""
    limit = 10 ** (2 * OF_VALUES)
    bad = known & ~((ratio >= 1 / limit) & (ratio <= limit))
    if bad.any():
        i = int(np.argmax(bad))
        raise DataError(
            f"{what} is that of a variance of {ratio[i]:.3g} at {sample.t_name} = "
            f"{sample.abscissa.label_of_number(float(sample.t[i]))}, beyond {1 / limit:.0e} to {limit:.0e}; pass it in another unit"
        )
