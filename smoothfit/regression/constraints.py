"""What a fitted curve must satisfy: equalities, and bounds on whole intervals.

A constraint is a value object; for a basis it becomes rows of equations, or `polynomials` that are to be nonnegative.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from .._validation import FloatArray, Frozen, check_finite, check_order, described, first_index, frozen, shown, to_floats
from ..basis import Spline
from ..basis.base import Basis
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import SpecificationError
from ..observations import derivative_label
from ..observations.points import check_orders, default_inputs, partial_label, to_points
from ..observations.readings import HIGHEST_DERIVATIVE
from .polynomials import Limit, Polynomials, nonnegative, within


class Equalities(NamedTuple):
    """Rows @ coef = values."""

    rows: FloatArray
    values: FloatArray
    label: str


class Constraint(Frozen, ABC):
    """What a curve must satisfy.

    Examples
    --------
    >>> import smoothfit as sf
    >>> from smoothfit.regression import Constraint
    >>> isinstance(sf.Increasing(), Constraint), isinstance(sf.Equals(0.0, 1.0), Constraint)
    (True, True)
    """

    def equalities(self, basis: AnyBasis) -> list[Equalities]:
        """Return the linear equations in the coefficients that the constraint is for a basis.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> (equality,) = sf.Equals(0.5, 3.0).equalities(line)
        >>> equality.rows, equality.values
        (array([[0.5, 0.5]]), array([3.]))
        """
        return []

    def polynomials(self, basis: Basis) -> list[Polynomials]:
        """Return the polynomials, one for each piece, that the constraint makes nonnegative for a basis.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> (slope,) = sf.Increasing().polynomials(line)
        >>> slope.rows.toarray(), slope.label  # coefficients of b_1 - b_0
        (array([[-1.,  1.]]), 'Increasing')
        """
        return []

    def limits(self, deriv: int, x: FloatArray, domain: tuple[float, float]) -> FloatArray:
        """Return lower and upper limits (n, 2) of f^(deriv) at x; infinite if there is none.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> sf.Bounds(lower=0, on=(0, 1)).limits(0, np.array([0.5, 2.0]), (0, 3))
        array([[  0.,  inf],
               [-inf,  inf]])
        """
        return np.tile([-np.inf, np.inf], (len(x), 1))


@dataclass(frozen=True, eq=False)
class Equals(Constraint):
    """Values of the curve, of a derivative or of an integral are given.

    Parameters
    ----------
    x : float or array_like, shape (n,), or (n, d)
        x, as numbers; of a surface, points.
    value : float or array_like, shape (n,)
        What f^(deriv)(x) is; with `upper`, the integral from x to `upper`; with `minus`, f^(deriv)(x) - f^(deriv)(minus).
    deriv : int or sequence of d ints
        Order of the derivative; of a surface by each variable.
    upper : float or array_like, optional
        Upper limits: the integral from x is given.
    minus : float or array_like, optional
        A second set of x: the difference is given; 0 makes two points equal, and for all orders below the degree a curve periodic.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 50)
    >>> basis = sf.BSplineBasis.uniform(0, 1, 6)
    >>> through = [sf.Equals(0.0, 0.0), sf.Equals([0.0, 1.0], [1.0, 0.0], deriv=1)]
    >>> res = sf.SplineRegression(sf.observe(x, np.sin(x * np.pi / 2), sd=0.1), basis, constraints=through).fit()
    >>> bool(abs(res.predict([0.0, 1.0], deriv=1) - [1.0, 0.0]).max() < 1e-12)
    True
    """

    x: Any
    value: Any = 0.0
    deriv: Any = 0
    upper: Any = None
    minus: Any = None

    def __post_init__(self) -> None:
        if np.ndim(self.deriv):
            object.__setattr__(self, "deriv", check_orders(self.deriv, len(self.deriv)))
        else:
            object.__setattr__(self, "deriv", check_order(self.deriv, "deriv", 0, HIGHEST_DERIVATIVE))
        if self.upper is not None and (self.minus is not None or self.deriv):
            raise SpecificationError("upper makes an integral of f; it excludes minus and deriv")
        for name in ("x", "value", "upper", "minus"):
            if name in ("x", "value") or getattr(self, name) is not None:
                given = getattr(self, name)
                numbers = to_points(given, name)[0] if np.ndim(given) == 2 else to_floats(given, name)[0]
                if not len(numbers):
                    raise SpecificationError(f"{name} of Equals is empty; pass a number or more, or leave the constraint out")
                check_finite(numbers.ravel(), name, "pass finite numbers")
                object.__setattr__(self, name, frozen(numbers))

    def equalities(self, basis: AnyBasis) -> list[Equalities]:
        x = cast(FloatArray, self.x)
        if isinstance(basis, TensorProductBasis) != (x.ndim == 2):
            wanted = "points (n, d)" if isinstance(basis, TensorProductBasis) else "values of x (n,)"
            raise SpecificationError(f"x of Equals has shape {x.shape}; for {described(basis)} pass {wanted}")
        if self.upper is not None:
            rows = basis.integral(x, self.upper)
        else:
            rows = basis.design(x, self.deriv, sparse=False)
            if self.minus is not None:
                rows = rows - basis.design(self.minus, self.deriv, sparse=False)
        if len(self.value) not in (1, len(rows)):
            raise SpecificationError(
                f"value has {len(self.value)} entries for {len(rows)} equations; pass one number or one for each"
            )
        what = "the integral of f" if self.upper is not None else _label(self.deriv)
        return [Equalities(np.asarray(rows), np.broadcast_to(self.value, (len(rows),)), f"Equals({what})")]


def _label(deriv: int | tuple[int, ...]) -> str:
    return derivative_label(deriv) if isinstance(deriv, int) else partial_label(default_inputs(len(deriv)), deriv)


class Shape(Constraint):
    """A bound on one derivative."""

    on: tuple[float, float] | None

    @property
    @abstractmethod
    def bounds(self) -> Bounds:
        """The bound."""

    def polynomials(self, basis: Basis) -> list[Polynomials]:
        return self.bounds.labelled(basis, type(self).__name__)

    def limits(self, deriv: int, x: FloatArray, domain: tuple[float, float]) -> FloatArray:
        return self.bounds.limits(deriv, x, domain)


@dataclass(frozen=True, eq=False)
class Bounds(Constraint):
    """lower <= f^(deriv) <= upper on a whole interval.

    Parameters
    ----------
    deriv : int
        Order q of the derivative.
    lower, upper : float or Spline, optional
        Bounds: constants or piecewise polynomials; None for none.
    on : (float, float), optional
        The interval; the domain of the basis by default.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 50)
    >>> basis = sf.BSplineBasis.uniform(0, 1, 8)
    >>> obs = sf.observe(x, np.tanh(9 * x - 4) + 0.1 * np.random.default_rng(0).standard_normal(50), sd=0.1)
    >>> res = sf.SplineRegression(obs, basis, constraints=[sf.Bounds(lower=-1, upper=1), sf.Increasing()]).fit()
    >>> f, slope = (res.predict(np.linspace(0, 1, 10_001), deriv=k) for k in (0, 1))
    >>> bool(f.max() <= 1 + 1e-9), bool(slope.min() >= -1e-9)
    (True, True)
    """

    deriv: int = 0
    _: KW_ONLY  # Bounds(0, 1) would bound from below by one
    lower: Limit | None = None
    upper: Limit | None = None
    on: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "deriv", check_order(self.deriv, "deriv", 0, HIGHEST_DERIVATIVE))
        if self.lower is None and self.upper is None:
            raise SpecificationError("neither lower nor upper is given; pass one of them")
        for name in ("lower", "upper"):
            limit = getattr(self, name)
            if limit is not None and not isinstance(limit, Spline):
                given, _ = to_floats(limit, name)
                if len(given) != 1 or not np.isfinite(given[0]):
                    raise SpecificationError(f"{name} is {limit!r}; pass a finite number or a Spline")
                object.__setattr__(self, name, float(given[0]))
        if isinstance(self.lower, float) and isinstance(self.upper, float) and self.lower > self.upper:
            raise SpecificationError(f"lower is {self.lower}, above upper = {self.upper}; exchange them")
        object.__setattr__(self, "on", check_interval(self.on))

    def polynomials(self, basis: Basis) -> list[Polynomials]:
        return self.labelled(basis)

    def labelled(self, basis: Basis, label: str | None = None) -> list[Polynomials]:
        """Return the polynomials with a label for messages, by default ``Bounds(lower, f)`` or the like.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> [polynomials.label for polynomials in sf.Bounds(lower=0, upper=1).labelled(line)]
        ['Bounds(lower, f)', 'Bounds(upper, f)']
        """
        return [
            nonnegative(basis, self.deriv, sign, limit, self.on, label or f"Bounds({name}, {derivative_label(self.deriv)})")
            for name, sign, limit in (("lower", 1.0, self.lower), ("upper", -1.0, self.upper))
            if limit is not None
        ]

    def limits(self, deriv: int, x: FloatArray, domain: tuple[float, float]) -> FloatArray:
        found = super().limits(deriv, x, domain)
        start, end = domain if self.on is None else self.on
        inside = (x >= start) & (x <= end)
        if deriv == self.deriv:
            for side, limit in enumerate((self.lower, self.upper)):
                if limit is not None:
                    found[inside, side] = limit(x[inside]) if isinstance(limit, Spline) else limit
        return found


@dataclass(frozen=True, eq=False)
class Increasing(Shape):
    """f' >= 0 on an interval (by default the domain of the basis).

    Examples
    --------
    >>> import smoothfit as sf
    >>> line = sf.BSplineBasis([0, 0, 0.5, 1, 1], degree=1)
    >>> obs = sf.observe([0, 0.5, 1], [1, 3, 2], sd=1.0)
    >>> sf.SplineRegression(obs, line, constraints=sf.Increasing()).fit().predict([0, 0.5, 1]).round(6)
    array([1. , 2.5, 2.5])
    """

    on: tuple[float, float] | None = None

    @property
    def bounds(self) -> Bounds:
        """The same as a `Bounds` object, f' >= 0."""
        return Bounds(deriv=1, lower=0.0, on=self.on)


@dataclass(frozen=True, eq=False)
class Decreasing(Shape):
    """f' <= 0 on an interval (by default the domain of the basis).

    Examples
    --------
    >>> import smoothfit as sf
    >>> line = sf.BSplineBasis([0, 0, 0.5, 1, 1], degree=1)
    >>> obs = sf.observe([0, 0.5, 1], [2, 3, 1], sd=1.0)
    >>> sf.SplineRegression(obs, line, constraints=sf.Decreasing()).fit().predict([0, 0.5, 1]).round(6)
    array([2.5, 2.5, 1. ])
    """

    on: tuple[float, float] | None = None

    @property
    def bounds(self) -> Bounds:
        """The same as a `Bounds` object, f' <= 0."""
        return Bounds(deriv=1, upper=0.0, on=self.on)


@dataclass(frozen=True, eq=False)
class Convex(Shape):
    """f'' >= 0 on an interval (by default the domain of the basis).

    Examples
    --------
    >>> import smoothfit as sf
    >>> parabola = sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2)
    >>> obs = sf.observe([0, 0.5, 1], [0, 1, 0], sd=1.0)  # a peak: the nearest convex curve is the mean
    >>> sf.SplineRegression(obs, parabola, constraints=sf.Convex()).fit().predict([0, 0.5, 1]).round(4)
    array([0.3333, 0.3333, 0.3333])
    """

    on: tuple[float, float] | None = None

    @property
    def bounds(self) -> Bounds:
        """The same as a `Bounds` object, f'' >= 0."""
        return Bounds(deriv=2, lower=0.0, on=self.on)


@dataclass(frozen=True, eq=False)
class Concave(Shape):
    """f'' <= 0 on an interval (by default the domain of the basis).

    Examples
    --------
    >>> import smoothfit as sf
    >>> parabola = sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2)
    >>> obs = sf.observe([0, 0.5, 1], [1, 0, 1], sd=1.0)  # a trough: the nearest concave curve is the mean
    >>> sf.SplineRegression(obs, parabola, constraints=sf.Concave()).fit().predict([0, 0.5, 1]).round(4)
    array([0.6667, 0.6667, 0.6667])
    """

    on: tuple[float, float] | None = None

    @property
    def bounds(self) -> Bounds:
        """The same as a `Bounds` object, f'' <= 0."""
        return Bounds(deriv=2, upper=0.0, on=self.on)


@dataclass(frozen=True, eq=False)
class Positive(Shape):
    """f >= 0 on an interval (by default the domain of the basis).

    Examples
    --------
    >>> import smoothfit as sf
    >>> line = sf.BSplineBasis([0, 0, 0.5, 1, 1], degree=1)
    >>> obs = sf.observe([0, 0.5, 1], [2, -0.5, 1], sd=1.0)
    >>> res = sf.SplineRegression(obs, line, constraints=sf.Positive()).fit()
    >>> round(abs(float(res.predict(0.5))), 6)  # -0.5 without the constraint
    0.0
    """

    on: tuple[float, float] | None = None

    @property
    def bounds(self) -> Bounds:
        """The same as a `Bounds` object, f >= 0."""
        return Bounds(lower=0.0, on=self.on)


@dataclass(frozen=True, eq=False)
class Unimodal(Constraint):
    """f' >= 0 before a mode and f' <= 0 after it.

    Parameters
    ----------
    mode : float, optional
        Where the curve is highest. None: where the fit is best of all, an end of the interval included, found by branch and bound
        to within 1e-7 of the smallest penalised sum of squares, in units of the variances; the result reports it as ``mode``. Bands
        and degrees of freedom treat it as given.
    on : (float, float), optional
        The interval; the domain of the basis by default.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 80)
    >>> obs = sf.observe(x, np.exp(-20 * (x - 0.6) ** 2) + 0.05 * np.random.default_rng(1).standard_normal(80), sd=0.05)
    >>> res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 12), constraints=sf.Unimodal()).fit()
    >>> print(round(res.mode, 1), res.spline()(res.mode).round(1))
    0.6 1.0
    """

    mode: float | None = None
    on: tuple[float, float] | None = None

    def polynomials(self, basis: Basis) -> list[Polynomials]:
        lower, upper = self.interval(basis)
        if self.mode is None:
            return []
        if not lower < self.mode < upper:
            raise SpecificationError(
                f"mode is {self.mode}; it lies inside ({lower}, {upper}); use Increasing or Decreasing for an end"
            )
        parts = self._parts((lower, upper))
        return [polynomials for part in parts for polynomials in part.labelled(basis, "Unimodal")]

    def _parts(self, interval: tuple[float, float]) -> tuple[Bounds, ...]:
        """Bounds on either side of a given mode; none if it is searched."""
        if self.mode is None:
            return ()
        ends = ((interval[0], self.mode, {"lower": 0.0}), (self.mode, interval[1], {"upper": 0.0}))
        return tuple(Bounds(1, on=(a, b), **bound) for a, b, bound in ends if a < b)

    def limits(self, deriv: int, x: FloatArray, domain: tuple[float, float]) -> FloatArray:
        """Lower and upper limits (n, 2) of f^(deriv) at x; infinite if there is none: of the slope if a mode is searched."""
        return limits_of(self._parts(domain if self.on is None else self.on), deriv, x, domain)

    def interval(self, basis: Basis) -> tuple[float, float]:
        """Return the interval on which the curve is unimodal, which must lie in the domain of the basis.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> sf.Unimodal().interval(line), sf.Unimodal(on=(0.2, 1)).interval(line)
        ((0.0, 1.0), (0.2, 1.0))
        """
        return within(basis, check_interval(self.on))


def limits_of(constraints: Sequence[Constraint], deriv: int, x: FloatArray, domain: tuple[float, float]) -> FloatArray:
    """Lower and upper limits (n, 2) of f^(deriv) at x under all constraints together; infinite if there is none."""
    found = np.tile([-np.inf, np.inf], (len(x), 1))
    for constraint in constraints:
        lower, upper = constraint.limits(deriv, x, domain).T
        found = np.column_stack([np.maximum(found[:, 0], lower), np.minimum(found[:, 1], upper)])
    return found


def check_interval(on: Any) -> tuple[float, float] | None:
    """Return an interval as numbers."""
    if on is None:
        return None
    ends = np.empty(0) if isinstance(on, str) else to_floats(on, "on")[0]
    if len(ends) != 2 or not np.isfinite(ends).all() or not ends[0] < ends[1]:
        raise SpecificationError(f"on is {on!r}; pass (lower, upper) with lower below upper")
    return float(ends[0]), float(ends[1])


def check_constraints(constraints: Any) -> tuple[Constraint, ...]:
    is_one = isinstance(constraints, Constraint | np.ndarray | str) or not isinstance(constraints, Iterable)
    given = (constraints,) if is_one else tuple(constraints)
    bad = np.array([not isinstance(constraint, Constraint) for constraint in given], dtype=np.bool_)
    if bad.any():
        i = first_index(bad)
        place = "constraints" if is_one else f"constraints[{i}]"
        is_class = isinstance(given[i], type)
        name = f"{described(given[i])}; make one: {given[i].__name__}(...)" if is_class else shown(given[i])
        raise SpecificationError(f"{place} is {name}; pass sf.Equals, sf.Bounds, sf.Increasing() or the like")
    return given
