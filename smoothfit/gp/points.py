"""Observations of a function and of its slopes, for Gaussian processes: points, and curves as functions of one input."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v1 as nw
import numpy as np

from .._entry import entry_point
from .._frames import RowLabels
from .._validation import FloatArray, frozen, to_floats
from ..errors import DataError, SpecificationError
from ..observations import Observations
from ..observations.points import PointObservations, PointReadings, default_inputs, partial_label, readings_at, to_points
from ..observations.readings import check_name
from .kernels import Kernel

VALUE = -1  # the axis of observations of f itself


def slope_label(inputs: tuple[str, ...], axis: int) -> str:
    """``f``, or ``df/dx1``."""
    return partial_label(inputs, _orders(axis, len(inputs)))


def _orders(axis: int, d: int) -> tuple[int, ...]:
    """Orders of the derivative by each input."""
    return tuple(int(j == axis) for j in range(d))


def of_curve(observations: Observations) -> PointObservations:
    """Return the observations of a curve and of its slope as observations in one input."""
    if observations.abscissa.kind != "number":
        raise DataError("x holds times; a GaussianProcess takes numbers: pass (t - t[0]) / np.timedelta64(1, 's'), for example")
    parts = []
    for reading in observations.readings:
        if reading.upper is not None:
            raise SpecificationError(f"{reading.name!r} observes {reading.label}; a GaussianProcess takes f and its slopes")
        if reading.deriv > 1:
            raise SpecificationError(
                f"{reading.name!r} observes a derivative of order {reading.deriv}; a GaussianProcess takes only f and "
                "its slopes (deriv=0 or 1); SmoothingSpline takes higher ones"
            )
        deriv = frozen(np.full((len(reading), 1), reading.deriv, dtype=np.int64))
        X = frozen(reading.x.astype(np.float64)[:, None])
        noise = reading.sd, reading.weights, reading.n_dropped
        parts.append(PointReadings(reading.name, X, reading.y, deriv, *noise, rows=reading.rows))
    return PointObservations(tuple(parts), (observations.x_name,))


def check_slopes(observations: PointObservations, kernel: Kernel) -> PointObservations:
    """Return observations of f and of its slopes; refuse those of anything else, and slopes of functions that have none."""
    for reading in observations.readings:
        if reading.upper is not None or any(sum(orders) > 1 for orders in reading.orders):
            raise SpecificationError(
                f"{reading.name!r} observes {observations.read_by(reading)}; a GaussianProcess takes only f and its slopes: "
                "derivatives of order 0 or 1 in total"
            )
    slopes = observations.axis[observations.axis >= 0]
    if len(slopes) and kernel.smoothness < 1:
        label = slope_label(observations.inputs, int(slopes[0]))
        raise SpecificationError(
            f"{label} is observed, but functions of the {kernel.label} kernel have no slope; use Matern32, Matern52 or "
            "SquaredExponential"
        )
    return observations


@entry_point
def observe(
    X: Any,
    y: Any,
    axis: int | str | None = None,
    sd: Any = None,
    weights: Any = None,
    name: str | None = None,
) -> PointObservations:
    """Observations of f, or of its slope along an input, at points: y_i = df/dx_axis (X_i) + sd_i e_i / sqrt(weights_i).

    Parameters
    ----------
    X : array_like, shape (n, d) or (n,), or data frame
        Points, one in a row; one dimension means one input. The columns of a data frame label the inputs.
    y : array_like, shape (n,), or (n, d) with ``axis="all"``
        Observations, in units of f, or of f per unit of the input. NaN is a missing observation: it is left out and counted.
    axis : int or str, optional
        None: y observes f itself. An input, by number or label: y observes the slope of f along it. ``"all"``: the columns of y
        observe the slopes along all inputs, the gradient.
    sd : float or array_like, of the shape of y or (n,), optional
        Known standard deviation of the noise; zero where observations are exact. None: one unknown value for each series,
        estimated.
    weights : array_like, of the shape of y or (n,), optional
        Known relative precisions within a series: the noise variance is sd^2 / weights.
    name : str, optional
        Name of the series; unknown noise SDs are estimated per series. Defaults to the name of the pandas series `y`, else to
        ``f`` or
        ``df/dx0``, ...: one series, and so one unknown noise SD, for each kind of observation. With ``axis="all"`` a name that is
        given joins all slopes, which makes sense where the inputs have one unit.

    Returns
    -------
    PointObservations
        Copies of the data, read-only; ``+`` joins them with others.

    Raises
    ------
    DataError
        Lengths differ; X, sd or weights not finite; y infinite; sd negative; weights not positive; nothing left. The message
        names the argument, the first bad index and what to do.
    SpecificationError
        `axis` is not an input; `name` is not a string.

    Examples
    --------
    Values and gradients at the same points:

    >>> import numpy as np, smoothfit as sf
    >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> sf.gp.observe(X, X[:, 0] ** 2, sd=0.1) + sf.gp.observe(X, 2 * X * [1, 0], axis="all")
    PointObservations: 9 in 2 inputs (x0, x1)
      f: 3 observations of f, SD given
      df/dx0: 3 observations of df/dx0, SD to be estimated
      df/dx1: 3 observations of df/dx1, SD to be estimated
    """
    points, labels = to_points(X)
    inputs = labels or default_inputs(points.shape[1])
    if name is not None:
        check_name(name)
    if isinstance(axis, str) and axis == "all" and "all" not in inputs:
        return _observe_gradient(points, inputs, y, sd, weights, name, RowLabels.of(y, X))
    number = _axis_number(axis, inputs)
    values, y_label = to_floats(y, "y")
    name = name or y_label or slope_label(inputs, number)
    return PointObservations((_readings(name, points, values, number, sd, weights, "y", RowLabels.of(y, X)),), inputs)


def _observe_gradient(
    points: FloatArray, inputs: tuple[str, ...], y: Any, sd: Any, weights: Any, name: str | None, rows: RowLabels | None
) -> PointObservations:
    """Observations of all slopes."""
    slopes = _to_table(y, "y")
    n, d = points.shape
    if slopes.shape != (n, d):
        raise DataError(f"y has shape {slopes.shape}; the gradients at {n} points with {d} inputs have shape ({n}, {d})")
    if np.isnan(slopes).all():
        raise DataError(f"all {slopes.size} observations in y are missing (NaN); leave the gradients out, or pass others")

    def column(given: Any, argument: str, j: int) -> Any:
        if given is None or np.ndim(given) < 2:
            return given
        table = _to_table(given, argument)
        if table.shape != (n, d):
            raise DataError(f"{argument} has shape {table.shape} for gradients of shape ({n}, {d})")
        return table[:, j]

    total: PointObservations | None = None
    for j in range(d):
        if np.isnan(slopes[:, j]).all():
            continue
        label = name or slope_label(inputs, j)
        noise = column(sd, "sd", j), column(weights, "weights", j)
        part = _readings(label, points, slopes[:, j], j, *noise, f"y[:, {j}]", rows)
        one = PointObservations((part,), inputs)
        total = one if total is None else total + one
    assert total is not None
    return total


def _to_table(values: Any, argument: str) -> FloatArray:
    native = nw.from_native(values, eager_only=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        return np.column_stack([to_floats(native[c].to_native(), f"{argument}[{c!r}]")[0] for c in native.columns])
    shape = np.shape(values)
    if len(shape) == 1:
        return to_floats(values, argument)[0][:, None]
    if len(shape) != 2:
        raise DataError(f"{argument} has shape {shape}; gradients at n points with d inputs have shape (n, d)")
    return to_floats(np.ma.asanyarray(values).reshape(-1) if isinstance(values, np.ma.MaskedArray) else np.ravel(values), argument)[
        0
    ].reshape(shape)


def _axis_number(axis: Any, inputs: tuple[str, ...]) -> int:
    """Return the number of an input given by number or label; -1 for f itself."""
    if axis is None:
        return VALUE
    if isinstance(axis, str) and axis in inputs:
        return inputs.index(axis)
    if isinstance(axis, (int, np.integer)) and not isinstance(axis, bool) and 0 <= axis < len(inputs):
        return int(axis)
    last = len(inputs) - 1
    raise SpecificationError(
        f'axis is {axis!r}; pass None (observations of f), an input 0 .. {last} or its label ({", ".join(inputs)}), or "all"'
    )


def _readings(
    name: str, points: FloatArray, values: FloatArray, axis: int, sd: Any, weights: Any, argument: str, rows: RowLabels | None
) -> PointReadings:
    """Check and freeze the observations of one series along one axis."""
    return readings_at(name, points, values, _orders(axis, points.shape[1]), sd, weights, argument, exact=True, rows=rows)
