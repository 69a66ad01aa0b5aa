"""Observations of a curve, of its derivatives and of its integrals, each with its noise.

An observation is y_i = L_i f + s e_i / sqrt(w_i), e_i independent and standard normal; L_i f is f^(k)(x_i), or the integral or the
mean of f over an interval. Observations of the same functional with the same unknown standard deviation s, for example those of one
instrument, form a *series*, set by ``name=``; `Observations` is a set of series.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import RowLabels, framed, table_of
from .._validation import FloatArray, check_order, from_sequence, to_floats
from ..errors import DataError, SmoothfitError, SpecificationError
from .abscissa import Abscissa, Points, check_response
from .checked import places_of, readings_of, refuse_beyond_one
from .points import PointObservations, has_columns, observe_points
from .readings import HIGHEST_DERIVATIVE, NamedReadings, Table, pooled
from .series import Readings, derivative_label

if TYPE_CHECKING:
    import pandas as pd


@entry_point
@dataclass(frozen=True, eq=False)
class Observations(NamedReadings[Readings]):
    """Observations of a curve, of its derivatives and integrals; made by `observe` and `observe_integral`, joined by ``+``.

    Attributes
    ----------
    readings : tuple of Readings
        One entry for each series, in order of first appearance.
    x_name : str
        Label of x.
    x_column : str or None
        Column of a data frame, or name of a series, that x came from; results take it from other data frames by this name. None if
        x came without a name.

    Examples
    --------
    >>> import smoothfit as sf
    >>> obs = sf.observe([0, 1, 2, 3], [0.1, 0.9, 2.2, 2.9], name="position")
    >>> obs = obs + sf.observe([0.5, 2.5], [1.0, 1.1], deriv=1, sd=0.1, name="speed")
    >>> obs
    Observations: 6 over x = 0 .. 3
      position: 4 observations of f, SD to be estimated
      speed: 2 observations of f', SD given
    """

    readings: tuple[Readings, ...]
    x_name: str = "x"
    x_column: str | None = None

    def __post_init__(self) -> None:
        _check_one_kind(self.readings)
        units = {reading.unit for reading in self.readings} - {None}
        if len(units) > 1:
            raise DataError(f"derivatives are meant per {' and per '.join(sorted(map(str, units)))}; use one unit")

    def __add__(self, other: Observations) -> Observations:
        if not isinstance(other, Observations):
            return NotImplemented
        _check_one_kind(self.readings + other.readings)
        x_name = other.x_name if self.x_name == "x" else self.x_name
        return Observations(pooled(self.readings, other.readings), x_name, self.x_column or other.x_column)

    def __repr__(self) -> str:
        is_time = self.abscissa.unit is not None
        limits = [x for reading in self.readings for x in reading.limits]
        ends = [end if is_time else end.item() for x in limits for end in (x.min(), x.max())]
        lowest, highest = self.abscissa.label(min(ends)), self.abscissa.label(max(ends))
        unit = f", unit {self.abscissa.unit}" if self.abscissa.unit else ""
        head = f"Observations: {len(self)} over {self.x_name} = {lowest} .. {highest}{unit}"
        return "\n".join([head, *self._lines()])

    def read_by(self, reading: Readings) -> str:
        """What a series observes: ``f``, ``f'``, ..., ``the integral of f``, ``the mean of f``."""
        return reading.label

    @cached_property
    def abscissa(self) -> Abscissa:
        """How x becomes numbers: the origin, and the unit of time."""
        unit = next((reading.unit for reading in self.readings if reading.unit), None)
        zone = next((reading.zone for reading in self.readings if reading.zone is not None), None)
        return Abscissa.of([x for reading in self.readings for x in reading.limits], unit, zone, self.x_column)

    @property
    def places(self) -> FloatArray:
        """The x as numbers, of integrals both limits, shape (n,) or longer."""
        return np.concatenate([self.abscissa.to_numbers(x) for reading in self.readings for x in reading.limits])

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which of the given observations are not missing, shape (n + missing,), series after series."""
        return np.concatenate([r.is_present for r in self.readings])

    @property
    def x(self) -> FloatArray:
        """The x as numbers, of integrals the lower limits, shape (n,); see `abscissa`."""
        return np.concatenate([self.abscissa.to_numbers(reading.x) for reading in self.readings])

    @property
    def points(self) -> Points:
        """The x as numbers of all digits, shape (n,)."""
        return Points.join([self.abscissa.points(reading.x) for reading in self.readings])

    @property
    def deriv(self) -> npt.NDArray[np.int64]:
        """Order of the derivative that each observation is of, -1 for integrals and means, shape (n,)."""
        return np.repeat([reading.deriv for reading in self.readings], [len(reading) for reading in self.readings])

    @framed
    def to_frame(self) -> pd.DataFrame:
        """Return one row for each observation: x, y, deriv, name, sd, weight; ``resolution`` and ``upper`` where there are any.

        Examples
        --------
        >>> import smoothfit as sf
        >>> print((sf.observe([0.0, 1.0], [0.1, 0.9], name="height") + sf.observe([0.5], [1.0], deriv=1, sd=0.1)).to_frame())
             x    y  deriv    name   sd  weight
        0  0.0  0.1      0  height  NaN     1.0
        1  1.0  0.9      0  height  NaN     1.0
        2  0.5  1.0      1      f'  0.1     1.0
        """
        import pandas as pd

        with_upper = any(reading.upper is not None for reading in self.readings)
        is_rounded = any(reading.resolution is not None for reading in self.readings)

        frames = [
            pd.DataFrame(
                {
                    self.x_name: self.abscissa.shown(reading.x),
                    "y": reading.y,
                    "deriv": reading.deriv,
                    "name": reading.name,
                    "sd": np.nan if reading.sd is None else reading.sd,
                    "weight": 1.0 if reading.weights is None else reading.weights,
                }
                | ({"resolution": 0.0 if reading.resolution is None else reading.resolution} if is_rounded else {})
                | ({"upper": self.abscissa.shown(reading.x if reading.upper is None else reading.upper)} if with_upper else {})
            )
            for reading in self.readings
        ]
        return pd.concat(frames, ignore_index=True)

    @classmethod
    def from_frame(
        cls,
        data: Any,
        x: Hashable,
        readings: Mapping[Any, int],
        sd: Mapping[Any, Any] | None = None,
        weights: Mapping[Any, Any] | None = None,
        unit: str | None = None,
        resolution: Mapping[Any, Any] | None = None,
        bias: Mapping[Any, Any] | None = None,
        scale: Mapping[Any, Any] | None = None,
        lag: Mapping[Any, Any] | None = None,
        noise_growth: Mapping[Any, Any] | None = None,
        response_time: Mapping[Any, Any] | None = None,
    ) -> Observations:
        """Read the columns of a data frame.

        Parameters
        ----------
        data : pandas, Polars or PyArrow data frame
        x : str, or any label of a pandas column
            Column of x.
        readings : mapping from str to int
            Column of observations -> order of the derivative that it observes. Missing values are left out. A label that is not a
            string is converted to one.
        sd, weights : mapping from str to float, array or str, optional
            Column of observations -> its known standard deviation or relative precisions; a str names a column, not a number.
        unit : str, optional
            Unit of time of derivatives where x holds times; see `observe`.
        resolution : mapping from str to float, array or str, optional
            Column of observations -> step to whose multiples it was rounded; see `observe`.
        bias, scale, lag : mapping from str to "estimate", float or duration, optional
            Column of observations -> its offset, factor or lag; see `observe`.
        noise_growth : mapping from str to float, optional
            Column of observations -> power of the curve that the noise SD grows with; see `observe`.
        response_time : mapping from str to "estimate", float or duration, optional
            Column of observations -> response time of the instrument; see `observe`.

        Returns
        -------
        Observations

        Raises
        ------
        DataError
            A column does not exist or cannot be read as numbers; see `observe` for other errors.

        Examples
        --------
        >>> import pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"t": [0.0, 1.0, 2.0], "height": [1.0, None, 3.0], "speed": [1.0, 1.1, 0.9]})
        >>> sf.Observations.from_frame(df, x="t", readings={"height": 0, "speed": 1})
        Observations: 5 over t = 0 .. 2
          height: 2 observations of f, SD to be estimated, 1 missing left out
          speed: 3 observations of f', SD to be estimated
        """
        options = {"sd": sd, "weights": weights, "resolution": resolution}
        differences = {"bias": bias, "scale": scale, "lag": lag, "noise_growth": noise_growth, "response_time": response_time}
        table = Table.of(data, readings, **options, **differences)
        parts = []
        for name, deriv in readings.items():
            columns = table.column(x), table.column(name)
            of_name = {argument: table.option(given, name) for argument, given in options.items()}
            of_name |= {argument: (given or {}).get(name) for argument, given in differences.items()}
            try:
                parts.append(observe(*columns, deriv, name=str(name), unit=unit, **of_name))
            except SmoothfitError as error:
                raise type(error)(f"of x = {x!r} and y = {name!r}: {error}") from None
        return replace(sum(parts[1:], parts[0]), x_name=str(x), x_column=str(x))


def _check_one_kind(readings: tuple[Readings, ...]) -> None:
    zoned = {None if reading.zone is None else reading.zone is not False for reading in readings}
    if zoned >= {True, False}:
        raise DataError("some observations have times with a zone and others times without one; give all of them a zone, or none")
    kinds = {reading.x.dtype.kind if reading.x.dtype.kind in "Mm" else "number" for reading in readings}
    if len(kinds) > 1:
        raise DataError("some observations have times as x and others have numbers; use one kind of x")


@overload
def observe(
    x: Any,
    y: Any,
    deriv: int = 0,
    sd: Any = None,
    weights: Any = None,
    name: str | None = None,
    unit: str | None = None,
    resolution: Any = None,
    bias: Any = None,
    scale: Any = None,
    lag: Any = None,
    noise_growth: Any = None,
    response_time: Any = None,
) -> Observations: ...
@overload
def observe(
    x: Any,
    y: Any,
    deriv: Sequence[int],
    sd: Any = None,
    weights: Any = None,
    name: str | None = None,
    unit: str | None = None,
    resolution: None = None,
    bias: None = None,
    scale: None = None,
    lag: None = None,
    noise_growth: None = None,
    response_time: None = None,
) -> PointObservations: ...
@entry_point
def observe(
    x: Any,
    y: Any,
    deriv: int | Sequence[int] = 0,
    sd: Any = None,
    weights: Any = None,
    name: str | None = None,
    unit: str | None = None,
    resolution: Any = None,
    bias: Any = None,
    scale: Any = None,
    lag: Any = None,
    noise_growth: Any = None,
    response_time: Any = None,
) -> Observations | PointObservations:
    """Observations of f^(deriv) at x: y_i = f^(deriv)(x_i) + sd_i e_i / sqrt(weights_i).

    Parameters
    ----------
    x : array_like, shape (n,), or (n, d)
        Numbers or times, in any order, also repeated; pandas and Polars series are accepted. 64-bit integers keep
        all their digits. Two dimensions, or a data frame, make observations of a function of d variables: a point a row, of
        numbers.
    y : array_like, shape (n,)
        Observations, in the unit of f divided by the unit of x to the power `deriv`. NaN is a missing observation: it is left out
        and counted.
    deriv : int or sequence of d ints
        Order of the derivative that is observed, of points by each variable: (1, 0) is the slope along the first; 0 is f itself.
    sd : float or array_like, shape (n,), optional
        Known standard deviation (SD) of the noise. None: one unknown value for the series, estimated by every fit.
    weights : array_like, shape (n,), optional
        Known relative precisions within the series: the noise variance is sd^2 / weights.
    name : str, optional
        Name of the series. Defaults to the name of the pandas series `y`, else to ``f``, ``f'``, ... If no `sd` is given, one noise
        SD is estimated for each name. Two instruments need two names; unnamed series are pooled with one noise SD.
    unit : {"Y", "M", "D", "h", "min", "s", "ms", "us", "ns"}, optional
        Unit in which a datetime or timedelta x is counted. Observations of derivatives need it: a climb rate is metres per what?
        A year "Y" has 365.2425 days, and a month "M" is a twelfth of it, whatever the calendar. By default the longest unit up to a
        day that is no longer than the mean spacing.
    resolution : float or array_like, shape (n,), optional
        Step h of an instrument that rounds, in the unit of y: the reported value is the multiple of h nearest to the noisy one, so
        that it is off by up to h/2 either way. For a `SmoothingSpline` along one variable.
    bias : "estimate" or float, optional
        Offset of the series: y_i = f^(deriv)(x_i) + bias + noise. A number is known, and is subtracted from y. ``"estimate"`` makes
        it a coefficient of the fit, ``bias.<name>``, with an interval; another series, without a bias, is then the reference. The
        bias of a rate is identified beside values. Along one variable.
    scale : "estimate" or float, optional
        Factor of the series: y_i = scale f^(deriv)(x_i) + bias + noise. A number is known: y, less a known bias, and sd are divided
        by it. ``"estimate"`` makes it a parameter of a `SmoothingSpline` or a `SplineRegression`, ``scale.<name>``, positive, with
        an interval; another series, without a scale, is then the reference.
    lag : "estimate", float or duration, or two of these, optional
        How late the series shows the curve, in units of x: y_i = scale f^(deriv)(x_i - lag) + bias + noise; negative if it is
        early. A known one, a number, or a duration if x holds times, is subtracted from x. ``"estimate"`` makes it a parameter of a
        `SmoothingSpline` or a `SplineRegression`, ``lag.<name>``, in the unit that x is counted in, with an interval; another
        series, without a lag, is then the reference. A pair (low, high) of numbers or durations estimates it within these limits.
    noise_growth : float, optional
        Power p with which the noise SD grows with what is observed: ``sd * abs(f^(deriv)(x_i))**p``, bias and scale included, in
        place of `sd`; 1 is noise proportional to the curve, 0.5 that of counts. The SD is evaluated at the smoothed curve. For a
        `SmoothingSpline`.
    response_time : "estimate", float or duration, optional
        Time constant tau of an instrument that responds slowly, or averages internally, in units of x. It shows z with
        tau z' + z = f^(deriv), a filter of first order, in place of f^(deriv): y_i = scale z(x_i) + bias + noise. z is diffuse at
        the first observation of the series. A known tau is a number, or a duration if x holds times. ``"estimate"`` makes it a
        parameter of a `SmoothingSpline` or a `SplineRegression`, ``response_time.<name>``, in the unit that x is counted in, with
        an interval; another series, without a response time or with a known one, is then the reference.

    Returns
    -------
    Observations, or PointObservations of points
        Copies of the data, read-only; ``+`` joins them with others, and pools observations of one series. x and y pair up by
        position, not by index. Times with a zone become UTC, and do not mix with times without one; NumPy's go with both, as UTC.

    Raises
    ------
    DataError
        Lengths differ; x, sd, weights or resolution not finite; y infinite; sd, weights or resolution not positive; nothing left.
        The message names the argument, the first bad index and what to do.
    SpecificationError
        `deriv` or `name` is of the wrong kind; `unit` is missing, unknown, or given for numbers.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.observe([0.0, 1.0, 2.0], [1.0, float("nan"), 3.0], sd=0.1)
    Observations: 2 over x = 0 .. 2
      f: 2 observations of f, SD given, 1 missing left out

    The slope of a surface along the second variable:

    >>> sf.observe([[0.0, 0.0], [1.0, 0.5]], [0.3, 0.2], deriv=(0, 1))
    PointObservations: 2 in 2 inputs (x0, x1)
      df/dx1: 2 observations of df/dx1, SD to be estimated

    A thermometer that shows half degrees:

    >>> sf.observe([0.0, 1.0, 2.0], [20.0, 20.5, 20.5], resolution=0.5)
    Observations: 3 over x = 0 .. 2
      f: 3 observations of f, SD to be estimated, rounded to steps

    A second thermometer, which shows some constant more or less than the first:

    >>> first = sf.observe([0.0, 1.0, 2.0], [20.1, 20.4, 20.6], name="first")
    >>> first + sf.observe([0.5, 1.5], [21.8, 22.1], name="second", bias="estimate")
    Observations: 5 over x = 0 .. 2
      first: 3 observations of f, SD to be estimated
      second: 2 observations of f, SD to be estimated, bias to be estimated

    A third, which is slow, and takes 0.8 units of x to follow:

    >>> sf.observe([0.0, 1.0, 2.0], [19.2, 20.0, 20.3], name="third", response_time=0.8)
    Observations: 3 over x = 0 .. 2
      third: 3 observations of f, SD to be estimated, response time given
    """
    options = {"resolution": resolution, "bias": bias, "scale": scale, "lag": lag, "noise_growth": noise_growth}
    if isinstance(y, str) and table_of(x, "x") is not None:
        given: Any = deriv
        names = (y, given) if isinstance(given, str) else ("x", y)
        raise DataError(f"y is {y!r}; for columns by name use sf.Observations.from_frame(frame, {names[0]!r}, {{{names[1]!r}: 0}})")
    if from_sequence(deriv, "deriv").ndim or has_columns(x):
        refuse_beyond_one("points", unit, **options, response_time=response_time)
        return observe_points(x, y, deriv, sd, weights, name)
    deriv = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
    values, y_label = to_floats(y, "y")
    places = places_of(x, len(values), unit)
    if places.are_times and deriv > 0 and unit is None:
        raise SpecificationError('x holds times and y derivatives, per which unit of time? Pass unit="s", "min", "h", ...')
    if name is None:
        name = y_label or derivative_label(deriv)
    readings = readings_of(name, deriv, places, values, RowLabels.of(y, x), sd=sd, weights=weights, **options)
    known, is_unknown = check_response(places.x, response_time)
    return Observations((replace(readings, response_time=known, has_response=is_unknown),), *places.named)
