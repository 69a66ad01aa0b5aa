"""Readings of a function of several inputs and of its slopes: the data language of `smoothfit.observe` at points.

A reading is y_i = L_i f + s e_i / sqrt(w_i), e_i independent and standard normal, with L_i f = f(x_i), or the slope
df/dx_j (x_i) along input j. Readings that share one unknown standard deviation s share a *name*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, first_index, frozen, to_floats
from ..errors import DataError, SpecificationError
from ..observations import Observations

VALUE = -1  # the axis of readings of f itself


@dataclass(frozen=True, eq=False)
class PointReadings:
    """The readings of one name.

    Attributes
    ----------
    name : str
        What is read; unknown standard deviations are estimated per name.
    X : ndarray, shape (n, d)
        Points.
    y : ndarray, shape (n,)
        Readings, in units of f, or of f per unit of the input along which the slope is read.
    axis : ndarray of int, shape (n,)
        Input along which the slope is read; -1 where f itself is.
    sd : ndarray, shape (n,), or None
        Known standard deviations (before weighting), zero for exact readings; None: one unknown value, to be estimated.
    weights : ndarray, shape (n,), or None
        Known relative precisions.
    n_dropped : int
        How many missing (NaN) readings were left out.
    """

    name: str
    X: FloatArray
    y: FloatArray
    axis: npt.NDArray[np.int64]
    sd: FloatArray | None
    weights: FloatArray | None
    n_dropped: int = 0

    def __len__(self) -> int:
        return len(self.y)

    @property
    def variance_ratio(self) -> FloatArray:
        """Variance of each reading's noise: in units of y^2 where sd is known, else relative to the unknown variance."""
        variance = np.ones(len(self.y)) if self.sd is None else self.sd**2
        return variance if self.weights is None else variance / self.weights

    def merged(self, other: PointReadings) -> PointReadings:
        """Return the readings of both, which share a name."""
        if (self.sd is None) != (other.sd is None):
            raise DataError(f"name {self.name!r} has a known sd in one part and none in the other; give both or neither")
        sd = None if self.sd is None or other.sd is None else frozen(np.concatenate([self.sd, other.sd]))
        weights = None
        if self.weights is not None or other.weights is not None:
            ones = [np.ones(len(part)) if part.weights is None else part.weights for part in (self, other)]
            weights = frozen(np.concatenate(ones))
        return replace(
            self,
            X=frozen(np.concatenate([self.X, other.X])),
            y=frozen(np.concatenate([self.y, other.y])),
            axis=frozen(np.concatenate([self.axis, other.axis])),
            sd=sd,
            weights=weights,
            n_dropped=self.n_dropped + other.n_dropped,
        )


@dataclass(frozen=True, eq=False)
class PointObservations:
    """Readings of a function at points and of its slopes; made by `smoothfit.gp.observe`, joined by ``+``.

    Attributes
    ----------
    readings : tuple of PointReadings
        One entry for each name, in order of first appearance.
    inputs : tuple of str
        Labels of the inputs.

    Examples
    --------
    >>> import smoothfit as sf
    >>> X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    >>> sf.gp.observe(X, [1.0, 2.0, 3.0], name="height") + sf.gp.observe(X, [0.9, 1.1, 1.0], axis=1, sd=0.1)
    PointObservations of 6 readings in 2 inputs (x0, x1)
      height: 3 readings of f, sd to be estimated
      df/dx1: 3 readings of df/dx1, sd given
    """

    readings: tuple[PointReadings, ...]
    inputs: tuple[str, ...]

    def __len__(self) -> int:
        return sum(len(reading) for reading in self.readings)

    def __add__(self, other: PointObservations) -> PointObservations:
        if not isinstance(other, PointObservations):
            return NotImplemented
        if len(self.inputs) != len(other.inputs):
            raise DataError(f"some readings have {len(self.inputs)} inputs and others {len(other.inputs)}; use the same inputs")
        labelled = [obs.inputs for obs in (self, other) if obs.inputs != default_inputs(len(self.inputs))]
        if len(set(labelled)) > 1:
            raise DataError(f"some readings have inputs {', '.join(self.inputs)} and others {', '.join(other.inputs)}")
        parts = {reading.name: reading for reading in self.readings}
        for reading in other.readings:
            mine = parts.get(reading.name)
            parts[reading.name] = reading if mine is None else mine.merged(reading)
        return PointObservations(tuple(parts.values()), labelled[0] if labelled else self.inputs)

    def __repr__(self) -> str:
        lines = [
            f"PointObservations of {len(self)} readings in {len(self.inputs)} input{'s' * (len(self.inputs) > 1)} "
            f"({', '.join(self.inputs)})"
        ]
        for reading in self.readings:
            known = "sd to be estimated" if reading.sd is None else "sd given"
            dropped = f", {reading.n_dropped} missing left out" if reading.n_dropped else ""
            lines.append(f"  {reading.name}: {len(reading)} readings of {self.read_by(reading)}, {known}{dropped}")
        return "\n".join(lines)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order of first appearance."""
        return tuple(reading.name for reading in self.readings)

    @property
    def X(self) -> FloatArray:  # noqa: N802
        """Points, shape (n, d), name after name."""
        return np.concatenate([reading.X for reading in self.readings])

    @property
    def y(self) -> FloatArray:
        """Readings, shape (n,), name after name."""
        return np.concatenate([reading.y for reading in self.readings])

    @property
    def axis(self) -> npt.NDArray[np.int64]:
        """Input along which each reading is a slope, -1 for readings of f, shape (n,)."""
        return np.concatenate([reading.axis for reading in self.readings])

    def __getitem__(self, name: str) -> PointReadings:
        for reading in self.readings:
            if reading.name == name:
                return reading
        raise KeyError(f"no readings are named {name!r}; the names are {', '.join(self.names)}")

    def read_by(self, reading: PointReadings) -> str:
        """What a name reads: ``f``, ``df/dx1``, or several of them."""
        return ", ".join(slope_label(self.inputs, axis) for axis in np.unique(reading.axis).tolist())

    @classmethod
    def of_curve(cls, observations: Observations) -> PointObservations:
        """Return the readings of a curve and of its slope as readings in one input."""
        if observations.abscissa.kind != "number":
            raise DataError("x holds times; a GaussianProcess takes numbers: pass (t - t[0]) / np.timedelta64(1, 's'), for example")
        parts = []
        for reading in observations.readings:
            if reading.deriv > 1:
                raise SpecificationError(
                    f"{reading.name!r} reads a derivative of order {reading.deriv}; a GaussianProcess takes readings of f and of "
                    "its slopes (deriv=0 or 1); SmoothingSpline takes higher ones"
                )
            axis = frozen(np.full(len(reading), reading.deriv - 1, dtype=np.int64))
            X = frozen(reading.x.astype(np.float64)[:, None])
            parts.append(PointReadings(reading.name, X, reading.y, axis, reading.sd, reading.weights, reading.n_dropped))
        return cls(tuple(parts), (observations.x_name,))


def default_inputs(d: int) -> tuple[str, ...]:
    """Labels of inputs that have none: ``x``, or ``x0``, ``x1``, ..."""
    return ("x",) if d == 1 else tuple(f"x{j}" for j in range(d))


def slope_label(inputs: Sequence[str], axis: int) -> str:
    """``f``, or ``df/dx1``."""
    return "f" if axis == VALUE else f"df/d{inputs[axis]}"


def to_points(X: Any, argument: str = "X") -> tuple[FloatArray, tuple[str, ...] | None]:
    """Return points (n, d) as float64, never the caller's memory, and the labels of the inputs where X has some.

    One dimension means one input. Data frames (pandas, Polars, PyArrow) give their columns.
    """
    native = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        labels = tuple(map(str, native.columns))
        if not labels:
            raise DataError(f"{argument} has no columns; pass one for each input")
        points = np.column_stack([to_floats(native[name].to_native(), f"{argument}[{name!r}]")[0] for name in native.columns])
    else:
        labels = None
        array = X if isinstance(native, nw.Series) else np.ma.asanyarray(X) if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
        if np.ndim(array) == 2:
            n, d = array.shape
            if d == 0:
                raise DataError(f"{argument} has no columns; pass one for each input")
            points = to_floats(array.reshape(-1), argument)[0].reshape(n, d)
        elif np.ndim(array) > 2:
            raise DataError(f"{argument} has shape {np.shape(array)}; pass points as rows: (n, d)")
        else:
            vector, label = to_floats(array, argument)
            points, labels = vector[:, None], None if label is None else (label,)
    bad = ~np.isfinite(points)
    if bad.any():
        i, j = np.unravel_index(first_index(bad.ravel()), bad.shape)
        raise DataError(f"{argument}[{i}, {j}] is {points[i, j]}; every point needs finite inputs: drop the row")
    return points, labels


def observe(
    X: Any,
    y: Any,
    axis: int | str | None = None,
    sd: Any = None,
    weights: Any = None,
    name: str | None = None,
) -> PointObservations:
    """Readings of f, or of its slope along an input, at points: y_i = df/dx_axis (X_i) + sd_i e_i / sqrt(weights_i).

    Parameters
    ----------
    X : array_like, shape (n, d) or (n,), or data frame
        Points, one in a row; one dimension means one input. The columns of a data frame label the inputs.
    y : array_like, shape (n,), or (n, d) with ``axis="all"``
        Readings, in units of f, or of f per unit of the input. NaN is no reading: it is left out and counted.
    axis : int or str, optional
        None: y reads f itself. An input, by number or label: y reads the slope of f along it. ``"all"``: the columns of y read
        the slopes along all inputs, the gradient.
    sd : float or array_like, of the shape of y or (n,), optional
        Known standard deviation of the noise; zero where readings are exact. None: one unknown value for each name, estimated.
    weights : array_like, of the shape of y or (n,), optional
        Known relative precisions within a name: the noise variance is sd^2 / weights.
    name : str, optional
        What is read. Readings of one name share one unknown sd. Defaults to the name of the series `y`, else to ``f`` or
        ``df/dx0``, ...: one name, and so one unknown sd, for each kind of reading. With ``axis="all"`` a name that is given
        joins all slopes, which makes sense where the inputs have one unit.

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
        `axis` is no input; `name` is no text.

    Examples
    --------
    Values and gradients at the same points:

    >>> import numpy as np, smoothfit as sf
    >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> sf.gp.observe(X, X[:, 0] ** 2, sd=0.1) + sf.gp.observe(X, 2 * X * [1, 0], axis="all")
    PointObservations of 9 readings in 2 inputs (x0, x1)
      f: 3 readings of f, sd given
      df/dx0: 3 readings of df/dx0, sd to be estimated
      df/dx1: 3 readings of df/dx1, sd to be estimated
    """
    points, labels = to_points(X)
    inputs = labels or default_inputs(points.shape[1])
    if name is not None and (not isinstance(name, str) or not name):
        raise SpecificationError(f"name is {name!r}; pass a text")
    if isinstance(axis, str) and axis == "all" and "all" not in inputs:
        return _observe_gradient(points, inputs, y, sd, weights, name)
    number = _axis_number(axis, inputs)
    values, y_label = to_floats(y, "y")
    name = name or y_label or slope_label(inputs, number)
    return PointObservations((_readings(name, points, values, number, sd, weights, "y"),), inputs)


def _observe_gradient(
    points: FloatArray, inputs: tuple[str, ...], y: Any, sd: Any, weights: Any, name: str | None
) -> PointObservations:
    """Readings of all slopes."""
    slopes = _to_table(y, "y")
    n, d = points.shape
    if slopes.shape != (n, d):
        raise DataError(f"y has shape {slopes.shape}; the gradients at {n} points with {d} inputs have shape ({n}, {d})")
    if np.isnan(slopes).all():
        raise DataError(f"all {slopes.size} readings in y are missing (NaN)")

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
        part = _readings(label, points, slopes[:, j], j, column(sd, "sd", j), column(weights, "weights", j), f"y[:, {j}]")
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
        f'axis is {axis!r}; pass None (readings of f), an input 0 .. {last} or its label ({", ".join(inputs)}), or "all"'
    )


def _readings(name: str, points: FloatArray, values: FloatArray, axis: int, sd: Any, weights: Any, argument: str) -> PointReadings:
    """Check and freeze the readings of one name along one axis."""
    n = len(points)
    if len(values) != n:
        raise DataError(f"{argument} has {len(values)} readings and X has {n} points; they pair up one to one")
    if n == 0:
        raise DataError("X and y are empty; pass at least one reading")
    bad = np.isinf(values)
    if bad.any():
        i = first_index(bad)
        raise DataError(f"{argument}[{i}] is {values[i]}; a reading is finite, or NaN where it is missing")
    kept = ~np.isnan(values)
    if not kept.any():
        raise DataError(f"all {n} readings in {argument} are missing (NaN)")
    return PointReadings(
        name=name,
        X=frozen(points[kept]),
        y=frozen(values[kept]),
        axis=frozen(np.full(int(kept.sum()), axis, dtype=np.int64)),
        sd=_column(sd, "sd", kept),
        weights=_column(weights, "weights", kept),
        n_dropped=int(n - kept.sum()),
    )


def _column(given: Any, argument: str, kept: npt.NDArray[np.bool_]) -> FloatArray | None:
    """Check sd or weights wherever there is a reading; a scalar serves all."""
    if given is None:
        return None
    values, _ = to_floats(given, argument)
    n = len(kept)
    if np.ndim(given) == 0:
        values = np.full(n, values[0])
    if len(values) != n:
        raise DataError(f"{argument} has {len(values)} entries for {n} readings; pass one number or one for each reading")
    is_sd = argument == "sd"
    bad = kept & ~(((values >= 0) if is_sd else (values > 0)) & np.isfinite(values))
    if bad.any():
        i = first_index(bad)
        remedy = (
            "a standard deviation is positive, zero where the reading is exact, or None to have it estimated"
            if is_sd
            else "a weight is positive and finite; leave a reading out by setting it to NaN"
        )
        raise DataError(f"{argument}[{i}] is {values[i]}; {remedy}")
    return frozen(values[kept])
