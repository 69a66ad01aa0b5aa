"""Observations of a curve over intervals: integrals, means and differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._entry import entry_point
from .._frames import RowLabels
from .._validation import to_floats
from ..errors import SpecificationError
from .checked import intervals_of, readings_of, refuse_beyond_one
from .observations import Observations
from .points import has_columns, observe_boxes
from .readings import OF_INTEGRAL
from .series import OF_DIFFERENCE


@entry_point
def observe_integral(
    lower: Any,
    upper: Any,
    y: Any,
    mean: bool = False,
    sd: Any = None,
    weights: Any = None,
    name: str | None = None,
    unit: str | None = None,
    resolution: Any = None,
    bias: Any = None,
    scale: Any = None,
    lag: Any = None,
    noise_growth: Any = None,
) -> Any:
    """Observations of integrals of f: y_i = int from lower_i to upper_i of f(x) dx + sd_i e_i / sqrt(weights_i).

    With ``mean=True`` the integral is divided by upper_i - lower_i: what an observation is that averages over an interval.

    Parameters
    ----------
    lower, upper : array_like, shape (n,), or (n, d)
        Limits of the intervals, lower below upper: numbers or times, as x of `observe`. Two dimensions make integrals of a function
        of d variables over boxes, a corner a row.
    y : array_like, shape (n,)
        Observations, in the unit of f times the unit of x; means in the unit of f. NaN is a missing observation.
    mean : bool
        Whether `y` are means instead of integrals.
    sd, weights : float or array_like, shape (n,), optional
        Known standard deviations, or one unknown value (None); relative precisions. As in `observe`.
    name : str, optional
        Name of the series. Defaults to the name of the pandas series `y`, else to ``integral`` or ``mean``.
    unit : {"Y", "M", "D", "h", "min", "s", "ms", "us", "ns"}, optional
        Unit in which times are counted, as of `observe`; integrals over times need it.
    resolution : float or array_like, shape (n,), optional
        Step to whose multiples y was rounded, as in `observe`; of intervals of one variable. A meter that reports whole
        kilowatt-hours has a resolution of one.
    bias, scale, lag : "estimate", float or duration, optional
        Offset, factor and lag of every observation, as in `observe`; of intervals of one variable.
    noise_growth : float, optional
        Power of the integral or mean with which the noise SD grows, as in `observe`; of intervals of one variable.

    Returns
    -------
    Observations, or PointObservations of boxes

    Raises
    ------
    DataError
        As of `observe`; a lower limit that is not below the upper one.
    SpecificationError
        `unit` is missing, unknown, or given for numbers; `name` is of the wrong kind.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.observe_integral([0.0, 1.0], [1.0, 3.0], [0.4, 2.1], mean=True, sd=0.1) + sf.observe([0.0], [0.1])
    Observations: 3 over x = 0 .. 3
      mean: 2 observations of the mean of f, SD given
      f: 1 observation of f, SD to be estimated
    """
    options = {"resolution": resolution, "bias": bias, "scale": scale, "lag": lag, "noise_growth": noise_growth}
    if has_columns(lower) or has_columns(upper):
        refuse_beyond_one("boxes", unit, **options)
        return observe_boxes(lower, upper, y, mean, sd, weights, name)
    values, y_label = to_floats(y, "y")
    places = intervals_of(lower, upper, len(values), unit, "interval")
    if places.are_times and unit is None and not mean:
        raise SpecificationError(
            'lower and upper hold times and y integrals, in which unit of time? Pass unit="s", "min", "h", ...'
        )
    if name is None:
        name = y_label or ("mean" if mean else "integral")
    readings = readings_of(name, OF_INTEGRAL, places, values, RowLabels.of(y, lower), sd=sd, weights=weights, **options)
    return Observations((replace(readings, mean=bool(mean)),), *places.named)


@entry_point
def observe_difference(
    lower: Any,
    upper: Any,
    y: Any,
    sd: Any = None,
    weights: Any = None,
    name: str | None = None,
    unit: str | None = None,
    resolution: Any = None,
    bias: Any = None,
    scale: Any = None,
    lag: Any = None,
    noise_growth: Any = None,
) -> Observations:
    """Observations of differences of f: y_i = f(upper_i) - f(lower_i) + sd_i e_i / sqrt(weights_i).

    Parameters
    ----------
    lower, upper : array_like, shape (n,)
        Where the differences are taken, lower below upper: numbers or times, as x of `observe`.
    y : array_like, shape (n,)
        Observations, in the unit of f. NaN is a missing observation.
    sd, weights, name, unit, resolution, bias, scale, lag, noise_growth
        As in `observe`; the name defaults to that of the pandas series `y`, else to ``difference``.

    Returns
    -------
    Observations

    Raises
    ------
    DataError
        As of `observe`; a lower limit that is not below the upper one.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.observe_difference([0.0, 1.0], [1.0, 3.0], [0.4, 2.1], sd=0.1) + sf.observe([0.0], [0.1])
    Observations: 3 over x = 0 .. 3
      difference: 2 observations of a difference of f, SD given
      f: 1 observation of f, SD to be estimated
    """
    values, y_label = to_floats(y, "y")
    places = intervals_of(lower, upper, len(values), unit, "difference")
    name, rows = name or y_label or "difference", RowLabels.of(y, lower)
    options = {"resolution": resolution, "bias": bias, "scale": scale, "lag": lag, "noise_growth": noise_growth}
    readings = readings_of(name, OF_DIFFERENCE, places, values, rows, sd=sd, weights=weights, **options)
    return Observations((readings,), *places.named)
