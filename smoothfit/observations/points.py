"""Observations of a function of several variables, of its partial derivatives and of its integrals over boxes.

An observation is y_i = L_i f + s e_i / sqrt(w_i), e_i independent and standard normal; L_i f is a partial derivative of f at a
point, or the integral or the mean of f over a box. `smoothfit.observe` makes them of two-dimensional x, `smoothfit.gp.observe` too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np

from .._entry import entry_point
from .._frames import RowLabels, framed
from .._validation import FloatArray, IntArray, check_order, first_index, from_sequence, frozen, to_floats
from ..errors import DataError, SpecificationError
from .readings import HIGHEST_DERIVATIVE, OF_INTEGRAL, NamedReadings, NoisyReadings, Table, check_name, check_noise, pooled

if TYPE_CHECKING:
    import pandas as pd

Orders = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PointReadings(NoisyReadings):
    """The observations of one series.

    Attributes
    ----------
    name : str
        What is observed; unknown standard deviations are estimated per series.
    X : ndarray, shape (n, d)
        Points; of integrals the lower corners of the boxes.
    y : ndarray, shape (n,)
        Observations, in units of f per unit of each variable to the power of its order.
    deriv : ndarray of int, shape (n, d)
        Order of the derivative by each variable; -1 for integrals and means.
    sd : ndarray, shape (n,), or None
        Known standard deviations (before weighting); None: one unknown value, to be estimated.
    weights : ndarray, shape (n,), or None
        Known relative precisions.
    n_dropped : int
        How many missing (NaN) observations were left out.
    upper : ndarray, shape (n, d), or None
        Upper corners of the boxes of integrals and means.
    mean : bool
        Whether the integrals are divided by the volumes of their boxes.
    rows : RowLabels or None
        The rows of the series or data frame that the observations came from.
    """

    name: str
    X: FloatArray
    y: FloatArray
    deriv: IntArray
    sd: FloatArray | None
    weights: FloatArray | None
    n_dropped: int = 0
    upper: FloatArray | None = None
    mean: bool = False
    rows: RowLabels | None = None

    @property
    def orders(self) -> list[Orders]:
        """The partial derivatives that occur, as tuples of orders; none for integrals."""
        return [] if self.upper is not None else [tuple(row) for row in np.unique(self.deriv, axis=0).tolist()]

    @property
    def axis(self) -> IntArray:
        """Variable along which each observation is a slope, -1 for observations of f, shape (n,)."""
        if self.upper is not None or (self.deriv.sum(axis=1) > 1).any():
            raise SpecificationError(f"{self.name!r} observes more than f and its slopes, which have no single axis; see deriv")
        return np.where(self.deriv.any(axis=1), self.deriv.argmax(axis=1), -1)

    def merged(self, other: PointReadings) -> PointReadings:
        if (self.upper is None, self.mean) != (other.upper is None, other.mean):
            raise DataError(f"name {self.name!r} has observations at points and others over boxes; give them different names")
        return replace(
            self,
            X=frozen(np.concatenate([self.X, other.X])),
            deriv=frozen(np.concatenate([self.deriv, other.deriv])),
            upper=None if self.upper is None or other.upper is None else frozen(np.concatenate([self.upper, other.upper])),
            **self._merged_noise(other),
        )


@entry_point
@dataclass(frozen=True, eq=False)
class PointObservations(NamedReadings[PointReadings]):
    """Observations of a function of several variables; made by `observe` and `observe_integral`, joined by ``+``.

    Attributes
    ----------
    readings : tuple of PointReadings
        One entry for each series, in order of first appearance.
    inputs : tuple of str
        Labels of the variables.

    Examples
    --------
    >>> import smoothfit as sf
    >>> X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    >>> sf.observe(X, [1.0, 2.0, 3.0], name="height") + sf.observe(X, [0.9, 1.1, 1.0], deriv=(0, 1), sd=0.1)
    PointObservations: 6 in 2 inputs (x0, x1)
      height: 3 observations of f, SD to be estimated
      df/dx1: 3 observations of df/dx1, SD given
    """

    readings: tuple[PointReadings, ...]
    inputs: tuple[str, ...]

    def __add__(self, other: PointObservations) -> PointObservations:
        if not isinstance(other, PointObservations):
            return NotImplemented
        if len(self.inputs) != len(other.inputs):
            raise DataError(f"some observations have {len(self.inputs)} inputs and others {len(other.inputs)}; use the same inputs")
        labelled = [obs.inputs for obs in (self, other) if obs.inputs != default_inputs(len(self.inputs))]
        if len(set(labelled)) > 1:
            raise DataError(f"some observations have inputs {', '.join(self.inputs)} and others {', '.join(other.inputs)}")
        return PointObservations(pooled(self.readings, other.readings), labelled[0] if labelled else self.inputs)

    def __repr__(self) -> str:
        d = len(self.inputs)
        head = f"PointObservations: {len(self)} in {d} input{'s' * (d > 1)} ({', '.join(self.inputs)})"
        return "\n".join([head, *self._lines()])

    @property
    def X(self) -> FloatArray:  # noqa: N802
        """Points, of boxes the lower corners, shape (n, d), series after series."""
        return np.concatenate([reading.X for reading in self.readings])

    @property
    def deriv(self) -> IntArray:
        """Order of the derivative by each variable, -1 for integrals and means, shape (n, d)."""
        return np.concatenate([reading.deriv for reading in self.readings])

    @property
    def axis(self) -> IntArray:
        """Variable along which each observation is a slope, -1 for observations of f, shape (n,)."""
        return np.concatenate([reading.axis for reading in self.readings])

    def read_by(self, reading: PointReadings) -> str:
        """What a series observes: ``f``, ``df/dx1``, or several of them."""
        if reading.upper is not None:
            return "the mean of f" if reading.mean else "the integral of f"
        return ", ".join(partial_label(self.inputs, orders) for orders in sorted(reading.orders, key=lambda o: (sum(o), o[::-1])))

    @framed
    def to_frame(self) -> pd.DataFrame:
        """Return one row for each observation: the inputs, y, what it observes, name, sd, weight; upper corners of boxes.

        Examples
        --------
        >>> import smoothfit as sf
        >>> X = [[0.0, 0.0], [0.0, 1.0]]
        >>> print((sf.observe(X, [1.0, 2.0], name="height") + sf.observe(X, [0.9, 1.1], deriv=(0, 1), sd=0.1)).to_frame())
            x0   x1    y observes    name   sd  weight
        0  0.0  0.0  1.0        f  height  NaN     1.0
        1  0.0  1.0  2.0        f  height  NaN     1.0
        2  0.0  0.0  0.9   df/dx1  df/dx1  0.1     1.0
        3  0.0  1.0  1.1   df/dx1  df/dx1  0.1     1.0
        """
        import pandas as pd

        frames = []
        for reading in self.readings:
            columns: dict[str, Any] = dict(zip(self.inputs, reading.X.T, strict=True))
            if any(r.upper is not None for r in self.readings):
                upper = reading.X if reading.upper is None else reading.upper
                columns |= {f"{label}_upper": values for label, values in zip(self.inputs, upper.T, strict=True)}
            observed = [self.read_by(reading)] * len(reading)
            if reading.upper is None:
                observed = [partial_label(self.inputs, orders) for orders in reading.deriv.tolist()]
            columns |= {"y": reading.y, "observes": observed, "name": reading.name}
            columns["sd"] = np.nan if reading.sd is None else reading.sd
            columns["weight"] = 1.0 if reading.weights is None else reading.weights
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    @classmethod
    def from_frame(
        cls,
        data: Any,
        inputs: Sequence[str],
        readings: Mapping[Any, int | Sequence[int]],
        sd: Mapping[Any, Any] | None = None,
        weights: Mapping[Any, Any] | None = None,
    ) -> PointObservations:
        """Read the columns of a data frame.

        Parameters
        ----------
        data : pandas, Polars or PyArrow data frame
        inputs : sequence of str
            Columns of the variables.
        readings : mapping from str to sequence of int
            Column of observations -> order of the derivative by each variable; 0 is f itself. Missing values are left out.
        sd, weights : mapping from str to float, array or str, optional
            Column of observations -> its known standard deviation or relative precisions; a str names a column.

        Examples
        --------
        >>> import pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"east": [0.0, 1.0], "north": [0.0, 2.0], "height": [1.0, None], "slope": [0.1, 0.2]})
        >>> sf.PointObservations.from_frame(df, ["east", "north"], {"height": 0, "slope": (1, 0)})
        PointObservations: 3 in 2 inputs (east, north)
          height: 1 observation of f, SD to be estimated, 1 missing left out
          slope: 2 observations of df/deast, SD to be estimated
        """
        table = Table.of(data, readings, sd=sd, weights=weights)
        columns = [to_floats(table.column(name), repr(name))[0] for name in inputs]
        X, _ = to_points(np.column_stack(columns))
        parts, rows = [], RowLabels.of(data)
        for name, deriv in readings.items():
            orders, values = check_orders(deriv, len(inputs)), to_floats(table.column(name), repr(name))[0]
            noise = table.option(sd, name), table.option(weights, name)
            parts.append(readings_at(str(name), X, values, orders, *noise, repr(name), rows=rows))
        return cls(tuple(parts), tuple(map(str, inputs)))


def default_inputs(d: int) -> tuple[str, ...]:
    """Labels of inputs that have none: ``x``, or ``x0``, ``x1``, ..."""
    return ("x",) if d == 1 else tuple(f"x{j}" for j in range(d))


def partial_label(inputs: Sequence[str], orders: Sequence[int]) -> str:
    """``f``, ``df/dx1``, ``d2f/dx0dx1``, ``d2f/dx1^2``."""
    total = sum(orders)
    if not total:
        return "f"
    below = "".join(f"d{label}" + f"^{k}" * (k > 1) for label, k in zip(inputs, orders, strict=True) if k)
    return f"d{total if total > 1 else ''}f/{below}"


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
        array = (
            X
            if isinstance(native, nw.Series)
            else np.ma.asanyarray(X)
            if isinstance(X, np.ma.MaskedArray)
            else from_sequence(X, argument)
        )
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


def has_columns(x: Any) -> bool:
    """Whether x holds points of several variables: two or more columns."""
    native = nw.from_native(x, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series):
        return False
    if isinstance(native, nw.DataFrame):
        return len(native.columns) > 1
    if isinstance(x, (list, tuple)):
        sizes = {len(row) if isinstance(row, (list, tuple, np.ndarray)) else 0 for row in x}
        return len(sizes) == 1 and max(sizes) > 1
    shape = from_sequence(x, "x").shape
    return len(shape) == 2 and shape[1] > 1


def check_orders(deriv: Any, d: int) -> Orders:
    """Return the order of a partial derivative by each of d variables; of several a single 0 is f itself."""
    if np.ndim(deriv) == 0 and not isinstance(deriv, (str, bool, np.bool_)) and (d == 1 or deriv == 0):
        return (check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE),) * d
    if isinstance(deriv, (str, bool)) or np.ndim(deriv) != 1 or len(deriv) != d:
        example = ", ".join(["1"] + ["0"] * (d - 1))
        raise SpecificationError(f"deriv is {deriv!r}; pass an order for each of {d} variables, for example ({example})")
    return tuple(check_order(k, f"deriv[{j}]", 0, HIGHEST_DERIVATIVE) for j, k in enumerate(deriv))


def noise_name(observations: PointObservations, orders: Orders, name: str | None) -> str | None:
    """Whose noise a new observation of a partial derivative has: a series, or the first that observes it; None if none does."""
    readers = [reading.name for reading in observations.readings if orders in reading.orders]
    if name is None:
        return readers[0] if readers else None
    if name not in readers:
        what = partial_label(observations.inputs, orders)
        raise SpecificationError(f"name is {name!r}; {what} is observed by {', '.join(readers) or 'no series'}")
    return name


def observe_points(X: Any, y: Any, deriv: Any, sd: Any, weights: Any, name: str | None) -> PointObservations:
    """Observations of one partial derivative at points; what `smoothfit.observe` does with two-dimensional x."""
    points, labels = to_points(X, "x")
    inputs = labels or default_inputs(points.shape[1])
    orders = check_orders(deriv, len(inputs))
    values, y_label = to_floats(y, "y")
    name = check_name(name if name is not None else y_label or partial_label(inputs, orders))
    readings = readings_at(name, points, values, orders, sd, weights, point_argument="x", rows=RowLabels.of(y, X))
    return PointObservations((readings,), inputs)


def observe_boxes(lower: Any, upper: Any, y: Any, mean: bool, sd: Any, weights: Any, name: str | None) -> PointObservations:
    """Observations of integrals or means over boxes; what `smoothfit.observe_integral` does with two-dimensional limits."""
    low, labels = to_points(lower, "lower")
    high, _ = to_points(upper, "upper")
    if low.shape != high.shape:
        raise DataError(f"lower has shape {low.shape} and upper {high.shape}; pass a corner of each box in both")
    bad = ~(low < high)
    if bad.any():
        i, j = np.unravel_index(first_index(bad.ravel()), bad.shape)
        raise DataError(f"lower[{i}, {j}] = {low[i, j]} is not below upper[{i}, {j}] = {high[i, j]}; swap them, or drop the box")
    values, y_label = to_floats(y, "y")
    name = check_name(name if name is not None else y_label or ("mean" if mean else "integral"))
    orders, rows = (OF_INTEGRAL,) * low.shape[1], RowLabels.of(y, lower)
    readings = readings_at(name, low, values, orders, sd, weights, point_argument="lower", upper=high, rows=rows)
    return PointObservations((replace(readings, mean=bool(mean)),), labels or default_inputs(low.shape[1]))


def readings_at(
    name: str,
    points: FloatArray,
    values: FloatArray,
    orders: Orders,
    sd: Any,
    weights: Any,
    argument: str = "y",
    point_argument: str = "X",
    upper: FloatArray | None = None,
    exact: bool = False,
    rows: RowLabels | None = None,
) -> PointReadings:
    """Check and freeze the observations of one series and one kind; `exact` allows SDs of zero."""
    n = len(points)
    if len(values) != n:
        raise DataError(f"{argument} has {len(values)} observations and {point_argument} has {n} points; they pair up one to one")
    if n == 0:
        raise DataError(f"{point_argument} and y are empty; pass at least one observation")
    noise = check_noise(values, sd, weights, argument, exact)
    return PointReadings(
        name=name,
        X=frozen(points[noise.kept]),
        y=noise.y,
        deriv=frozen(np.tile(np.array(orders, dtype=np.int64), (len(noise.y), 1))),
        sd=noise.sd,
        weights=noise.weights,
        n_dropped=noise.n_dropped,
        upper=None if upper is None else frozen(upper[noise.kept]),
        rows=None if rows is None else rows.only(noise.kept),
    )
