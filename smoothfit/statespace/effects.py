"""Interventions and regressors, which add to observations with unknown coefficients under flat priors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .._frames import column_of, table_of
from .._validation import FloatArray, check_finite, to_floats
from ..errors import DataError, SpecificationError
from ..observations.abscissa import Abscissa, Asked, Points
from ..observations.readings import OF_INTEGRAL
from .periodic import distances


@dataclass(frozen=True, eq=False)
class RegressedPoints(Points):
    """Points with the scaled regressors (n, k) of observations there, perhaps of a series with an unknown bias, scale or lag.

    `has_noise` adds the noise process of the series.
    """

    regressors: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    series: str | None = None
    has_noise: bool = False

    def take(self, index: Any) -> RegressedPoints:
        fine = None if self.fine is None else self.fine[index]
        return RegressedPoints(self.coarse[index], fine, self.regressors[index], self.series, self.has_noise)


def goes_on(points: Points) -> bool:
    """Whether points are of observations whose noise process goes on from that of the fit."""
    return isinstance(points, RegressedPoints) and points.has_noise


def regressor_table(regressors: Any) -> dict[str, Any]:
    """Regressors of a fit, by name."""
    table = {} if regressors is None else table_of(regressors, "regressors")
    if table is None:
        raise SpecificationError(f"regressors is {type(regressors).__name__}; pass a mapping from names to values, or a data frame")
    return table


def named_columns(names: Sequence[str], regressors: Any, n: int) -> FloatArray:
    """Values (n, k) of all regressors of a fit for n new observations."""
    table = regressor_table(regressors)
    if set(table) != set(names):
        given, known = ", ".join(table) or "none", ", ".join(names) or "none"
        raise DataError(f"regressors given: {given}; those of the fit: {known}. Pass regressors={{name: values}} with each of them")
    columns = np.empty((n, len(names)))
    for j, name in enumerate(names):
        label = f"regressors[{name!r}]"
        values, _ = to_floats(np.atleast_1d(table[name]), label, is_indicator=True)
        if len(values) not in (1, n):
            raise DataError(f"{label} has {len(values)} entries for {n} observations; pass one for each, or a single one for all")
        check_finite(values, label, "a regressor is known for every observation: leave the observation out")
        columns[:, j] = values
    return columns


def future_columns(names: Sequence[str], known: Sequence[str], regressors: Any, asked: Asked, n: int) -> dict[str, FloatArray]:
    """Values (n,) of the named regressors at the points a user asks about: those given, or the columns of the points' data frame.

    `known` are all regressors of the fit.
    """
    argument, hint = "regressors", ""
    table = table_of(regressors, argument) if regressors is not None else asked.table
    if table is None:
        raise SpecificationError(
            f"regressors is {type(regressors).__name__}; pass a mapping, {{{names[0]!r}: ...}}, or a data frame"
        )
    if regressors is None:
        argument, hint = "x", "; add the regressor, or pass the column of x alone to predict the curve without regressors"
    elif isinstance(regressors, Mapping) and not set(table) <= set(known):
        unknown = next(name for name in table if name not in known)
        raise SpecificationError(f"regressors has {unknown!r}; the regressors of the fit are {', '.join(known)}")
    columns = {}
    for name in names:
        label = f"{argument}[{name!r}]"
        values, _ = to_floats(column_of(table, name, argument, hint), label, is_indicator=True)
        if len(values) not in (1, n):
            raise DataError(f"{label} has {len(values)} entries for {n} points; pass one for each, or a single one for all")
        check_finite(values, label, "a prediction needs the values of regressors: leave the point out")
        columns[name] = np.broadcast_to(values, n)
    return columns


@dataclass(frozen=True, eq=False, repr=False)
class Intervention(ABC):
    """A change of the curve at a known x, of unknown size.

    Parameters
    ----------
    x : number or time
        Location, of the type of the observations' x and within their range.
    name : str, optional
        Name of its coefficient; ``<kind>(x)`` by default.
    """

    x: Any
    name: str | None = None
    kind: ClassVar[str]
    x_power: ClassVar[int] = 0

    def __repr__(self) -> str:
        given = (f", {one.name}={value!r}" for one in fields(self)[1:] if (value := getattr(self, one.name)) is not None)
        return f"{type(self).__name__}({self.x!r}{''.join(given)})"

    @abstractmethod
    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """Return the change of f^(deriv) per unit size, at distances `offset` beyond x: shape (n,).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> offset = np.array([-1.0, 0.0, 2.0])
        >>> [change(5).values(offset, deriv=0).tolist() for change in (sf.Pulse, sf.Level, sf.Slope)]
        [[0.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0]]
        """

    @abstractmethod
    def integral(self, offset: FloatArray) -> FloatArray:
        """Return the integral of the change per unit size from far below to `offset` beyond x: shape (n,).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> [change(5).integral(np.array([-1.0, 2.0])).tolist() for change in (sf.Pulse, sf.Level, sf.Slope)]
        [[0.0, 0.0], [0.0, 2.0], [0.0, 2.0]]
        """

    def label(self, abscissa: Abscissa) -> str:
        """Return the name of the coefficient, ``<kind>(x)`` unless `name` was given.

        Examples
        --------
        >>> import smoothfit as sf
        >>> obs = sf.observe([0.0, 5.0], [1.0, 2.0])
        >>> sf.Level(5).label(obs.abscissa), sf.Level(5, name="new sensor").label(obs.abscissa)
        ('level(5)', 'new sensor')
        """
        return self.name or f"{self.kind}({abscissa.label(abscissa.given(self.x).reshape(1)[0])})"

    def at(self, abscissa: Abscissa) -> Points:
        """Return the location as a point of the observations' x.

        Examples
        --------
        >>> import pandas as pd, smoothfit as sf
        >>> days = pd.date_range("2024-01-01", periods=4)
        >>> obs = sf.observe(days, [1.0, 2.0, 1.0, 2.0], unit="D")  # times count from the first
        >>> sf.Level(days[2]).at(obs.abscissa).coarse
        array([2.])
        """
        if np.ndim(self.x) > 0:
            raise SpecificationError(f"x of an intervention is {self.x!r}; pass one x, and an intervention for each")
        return abscissa.points(abscissa.given(self.x, f"x of {type(self).__name__}").reshape(1))


@dataclass(frozen=True, eq=False, repr=False)
class Pulse(Intervention):
    """All observations of f at one x, or what one series observes there, are off by an unknown amount.

    Parameters
    ----------
    x : number or time
        Location, of the type of the observations' x and within their range.
    name : str, optional
        Name of its coefficient; ``pulse(x)`` by default, and ``pulse.<series>(x)`` of one series.
    series : str, optional
        The series that is off, in its own unit: of f, of a derivative or of integrals, whose x is the lower end. The pulse is
        then no part of f. By default it is one, at this x alone, and observations of derivatives do not have it.
    number : int, optional
        Which of several observations of the series at this x is off, counted from 0 in the order in which they were given; by
        default all of them. For a pulse of a series.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.arange(15.0)
    >>> y = np.sin(x / 3) + 2 * (x == 7)
    >>> res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1), interventions=[sf.Pulse(7)]).fit()
    >>> print(res.params["pulse(7)"].round(1))
    2.0
    >>> both = sf.observe(x, y, sd=0.1, name="a") + sf.observe(x, np.sin(x / 3), sd=0.1, name="b")
    >>> res = sf.SmoothingSpline(both, interventions=[sf.Pulse(7, series="a")]).fit()
    >>> print(res.params["pulse.a(7)"].round(1))
    2.0
    """

    kind: ClassVar[str] = "pulse"
    series: str | None = None
    number: int | None = None

    def label(self, abscissa: Abscissa) -> str:
        """Return the name of the coefficient, ``pulse.<series>(x)`` of one series, with ``[number]``, unless `name` was given."""
        label = super().label(abscissa)
        if self.series is None or self.name:
            return label
        return f"pulse.{self.series}{label.removeprefix('pulse')}" + ("" if self.number is None else f"[{self.number}]")

    def is_at(self, x: Any, abscissa: Abscissa) -> npt.NDArray[np.bool_]:
        """Return which of the observations of a series at x are its own: shape (n,).

        Examples
        --------
        >>> import smoothfit as sf
        >>> obs = sf.observe([0.0, 5.0], [1.0, 2.0])
        >>> sf.Pulse(5).is_at(obs.x, obs.abscissa)
        array([False,  True])
        """
        found = np.asarray(abscissa.points(x).minus(self.at(abscissa)) == 0)
        return found if self.number is None else found & (np.cumsum(found) == self.number + 1)

    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """Return one at x and zero elsewhere."""
        return np.asarray((offset == 0) & (deriv == 0), dtype=np.float64)

    def integral(self, offset: FloatArray) -> FloatArray:
        """Return zeros: a pulse has no area."""
        return np.zeros_like(offset)


@dataclass(frozen=True, eq=False, repr=False)
class Level(Intervention):
    """The curve jumps at x, and stays there.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.arange(15.0)
    >>> y = np.sin(x / 3) + 2 * (x >= 7)
    >>> res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1), interventions=[sf.Level(7, name="jump")]).fit()
    >>> print(res.params["jump"].round(1))
    2.0
    """

    kind: ClassVar[str] = "level"

    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """Return one from x on and zero before; derivatives are zero."""
        return np.asarray((offset >= 0) & (deriv == 0), dtype=np.float64)

    def integral(self, offset: FloatArray) -> FloatArray:
        """Return the integral of a step, max(offset, 0)."""
        return np.maximum(offset, 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class Slope(Intervention):
    """The slope of the curve changes at x.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.arange(15.0)
    >>> y = 0.1 * x + 2 * np.maximum(x - 7, 0)
    >>> res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1), interventions=[sf.Slope(7)]).fit()
    >>> print(res.params["slope(7)"].round(1))
    2.0
    """

    kind: ClassVar[str] = "slope"
    x_power: ClassVar[int] = -1

    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """Return a ramp from x on, max(offset, 0), or its slope."""
        if deriv > 1:
            return np.zeros_like(offset)
        return np.asarray(np.maximum(offset, 0.0) if deriv == 0 else offset >= 0, dtype=np.float64)

    def integral(self, offset: FloatArray) -> FloatArray:
        """Return the integral of a ramp, max(offset, 0)^2 / 2."""
        return np.asarray(np.maximum(offset, 0.0) ** 2 / 2)


def change_of(change: Intervention, at: Points, x_unit: float, start: Points | None, end: Points, deriv: int) -> FloatArray:
    """The change of f^(deriv) at `end`, or its integral or difference from `start`, per unit size: shape (n,)."""
    after = distances(end, at) / x_unit
    if start is None:
        return change.values(after, deriv)
    before = distances(start, at) / x_unit
    if deriv == OF_INTEGRAL:
        return change.integral(after) - change.integral(before)
    return change.values(after, 0) - change.values(before, 0)
