"""A spline: a function that is a combination of B-splines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import factorial
from typing import Any, cast

import numpy as np
from scipy.interpolate import BSpline, PPoly
from scipy.sparse import csr_array

from .._core import _kernels
from .._entry import quiet
from .._validation import (
    FloatArray,
    Frozen,
    check_finite,
    check_number,
    check_order,
    first_index,
    frozen,
    to_array,
    to_floats,
    view_floats,
)
from ..errors import DataError, NumericalError, SpecificationError
from .arithmetic import Combination, composed, product_of, running_integral, sum_of
from .bernstein import binomials
from .bspline import HIGHEST_DERIVATIVE, BSplineBasis
from .conversion import OF_SCIPY, of_curve
from .critical import Extrema, bernstein_roots, turns
from .extrapolation import brought_inside, outside_error
from .interpolation import interpolant
from .recombined import RecombinedBasis


@dataclass(frozen=True, eq=False)
class Spline(Frozen):
    """The function s(x) = sum_j coef_j b_j(x).

    Parameters
    ----------
    basis : BSplineBasis or RecombinedBasis
        B-splines, or a family made of them. What the spline is beyond the domain follows ``basis.extrapolate``, and so do its
        derivatives: that of a tangent is constant, that of a constant zero.
    coef : array_like, shape (n_basis, ...)
        Coefficients; further axes make a vector-valued function.

    Raises
    ------
    DataError
        The number of coefficients is not ``basis.n_basis``, or a coefficient is not finite.

    Notes
    -----
    Values are computed from Bernstein coefficients on every piece, which are averages of `coef`: the error is rounding of the
    largest of the coefficients that matter at x (Farouki 2012, "The Bernstein polynomial basis: a centennial retrospective").

    Examples
    --------
    >>> import smoothfit as sf
    >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1.0, 3.0])
    >>> float(s(0.5)), float(s(0.5, deriv=1)), s.integrate(0, 1)
    (2.0, 2.0, 2.0)
    """

    basis: BSplineBasis | RecombinedBasis
    coef: FloatArray
    __array_ufunc__ = None  # an array, or a number of NumPy, on the left leaves the operation to the spline

    def __post_init__(self) -> None:
        if not isinstance(self.basis, (BSplineBasis, RecombinedBasis)):
            raise SpecificationError(f"basis is {type(self.basis).__name__}; a spline has a basis made of B-splines")
        array = np.atleast_1d(to_array(self.coef, "coef")[0])
        flat, _ = to_floats(array.ravel(), "coef")
        coef = flat.reshape(array.shape)
        if len(coef) != self.basis.n_basis:
            raise DataError(f"coef has {len(coef)} entries; the basis has {self.basis.n_basis} functions")
        check_finite(flat, "coef", "coefficients are finite")
        object.__setattr__(self, "coef", frozen(coef))

    @cached_property
    @quiet
    def bsplines(self) -> Spline:
        """The same function with B-splines for its basis."""
        if isinstance(self.basis, BSplineBasis):
            return self
        flat = self.coef.reshape(len(self.coef), -1)
        coef = np.asarray(self.basis.matrix @ flat)
        return Spline(self.basis.parent, coef.reshape(-1, *self.coef.shape[1:]))

    @property
    def domain(self) -> tuple[float, float]:
        """The interval on which the spline is meant."""
        return self.basis.domain

    @property
    def degree(self) -> int:
        """Degree of the polynomial pieces."""
        return combination_of(self).basis.degree

    @cached_property
    def _kernel_pieces(self) -> tuple[FloatArray, FloatArray]:
        """What the kernel evaluates: 1 / width of every piece, and Bernstein coefficients times binomials."""
        basis = combination_of(self).basis
        pieces = combination_of(self).pieces.reshape(len(basis.span), basis.degree + 1, -1)
        return 1 / np.diff(basis.breaks), pieces * binomials(basis.degree)[:, None]

    @cached_property
    def _first_derivative(self) -> Spline:
        return self.derivative()

    @quiet
    def __call__(self, x: Any, deriv: int = 0) -> FloatArray:
        """Return the derivative of order `deriv` at x.

        Right limits at knots, left limits at the end of the domain.

        Parameters
        ----------
        x : array_like
            Values of x, of any shape.
        deriv : int
            Order of the derivative; beyond the degree it is zero.

        Returns
        -------
        ndarray
            Of the shape of x, followed by that of one coefficient.

        Raises
        ------
        DataError
            An x is outside the domain and the basis does not extrapolate; the message gives the first index.

        Examples
        --------
        >>> import smoothfit as sf
        >>> parabola = sf.Spline(sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2), [0, 0, 1])  # x^2
        >>> parabola([0.0, 0.5]), parabola([0.0, 0.5], deriv=1)
        (array([0.  , 0.25]), array([0., 1.]))
        """
        deriv = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        spline, basis = self, combination_of(self).basis
        order = min(deriv, basis.degree)
        for _ in range(order):
            spline = spline._first_derivative
        given = to_array(x, "x").values
        shape, points = given.shape, view_floats(given.ravel(), "x")
        values = spline._values(points, beyond=deriv > basis.degree)
        bad: Any = ~np.isfinite(values).all(axis=1)
        if basis.extrapolate != "nan" and bad.any():
            raise NumericalError(f"the spline overflows at x[{first_index(bad)}] = {points[first_index(bad)]}; scale its coef")
        return values.reshape((*shape, *self.coef.shape[1:]))

    def _values(self, points: FloatArray, beyond: bool = False) -> FloatArray:
        """Values (n, n_columns); zero in the domain where the derivative is `beyond` the degree."""
        basis = combination_of(self).basis
        mode = basis.extrapolate
        inside, outside = points, None
        if mode != "error":
            inside, outside = brought_inside(points, mode, basis.domain)
        try:
            values = np.asarray(_kernels.spline_values(inside, *basis.lookup, *self._kernel_pieces, mode == "error"))
        except _kernels.KernelError as error:
            raise outside_error(points, error.args[1], basis.domain) from None
        if mode == "polynomial":
            outside = ~((points >= basis.domain[0]) & (points <= basis.domain[1]))
            # Bernstein coefficients of a short piece lose digits far from it; B-splines with wide supports do not.
            if outside.any():
                rows, columns = basis._inner_rows(points[outside], 0, strict=False)
                coef = self.bsplines.coef.reshape(basis.n_basis, -1)
                values[outside] = np.einsum("nk,nkc->nc", rows, coef[columns])
        if beyond:
            values[:] = 0.0
        if outside is None or mode == "polynomial":
            return values
        if mode == "nan":
            values[outside] = np.nan
        elif mode == "zero" or beyond:
            values[outside] = 0.0
        elif mode == "linear" and basis.degree > 0:
            slopes = self._first_derivative._values(inside[outside])
            values[outside] += (points - inside)[outside, None] * slopes
        return values

    @quiet
    def derivative(self, k: int = 1) -> Spline:
        """Return the derivative of order k as a spline of degree - k.

        Beyond the domain it is the derivative of what this spline is there.

        Examples
        --------
        >>> import smoothfit as sf
        >>> parabola = sf.Spline(sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2), [0, 0, 1])  # x^2
        >>> slope = parabola.derivative()
        >>> slope.degree, float(slope(0.5))
        (1, 1.0)
        """
        k = check_order(k, "k", 0, self.degree)
        flat = self.bsplines.coef.reshape(len(self.bsplines.coef), -1)
        basis, slopes = combination_of(self).basis.derivative_basis(k, csr_array(flat))
        return Spline(basis, slopes.toarray().reshape(-1, *self.coef.shape[1:]))

    @quiet
    def antiderivative(self) -> Spline:
        """Return the running integral from the start of the domain, a spline of degree + 1.

        Its coefficients are sums of coef_j (t_(j+degree+1) - t_j) / (degree + 1). Beyond the domain it follows the spline where
        some extrapolation does (a tangent above a constant), else it does not extrapolate.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [0, 2])  # 2 x
        >>> line.antiderivative()([0.0, 0.5, 1.0])
        array([0.  , 0.25, 1.  ])
        """
        running = Spline(*running_integral(combination_of(self)))
        constant = running(self.domain[0])
        return Spline(running.basis, running.coef - constant) if np.any(constant) else running  # B-splines sum to one

    @quiet
    def integrate(self, lower: float, upper: float) -> Any:
        """Return the definite integral: a float, or an array where the spline is vector-valued.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [0, 2])  # 2 x
        >>> line.integrate(0, 1), line.integrate(1, 0.5)
        (1.0, -0.75)
        """
        rows = self.basis.integral(lower, upper)
        if len(rows) != 1:
            raise SpecificationError("the limits are single numbers; for many intervals use basis.integral(lower, upper) @ coef")
        value = np.tensordot(rows[0], self.coef, axes=1)
        return float(value) if value.ndim == 0 else value

    @quiet
    def roots(self, deriv: int = 0) -> FloatArray:
        """Return the zeros of the derivative of order `deriv` in the domain, increasing.

        Found by subdivision of Bernstein coefficients, whose changes of sign bound the number of zeros (Lane & Riesenfeld 1981),
        and right to rounding. A zero without a change of sign is found where it is one to rounding; of an interval on which the
        derivative vanishes both ends are returned.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2), [3, -5, 3])  # 16 x^2 - 16 x + 3
        >>> s.roots().round(12), s.roots(deriv=1).round(12)
        (array([0.25, 0.75]), array([0.5]))
        """
        self._require_scalar()
        spline = self.bsplines.derivative(check_order(deriv, "deriv", 0, self.degree))
        return bernstein_roots(combination_of(spline).basis.breaks, combination_of(spline).pieces)

    @quiet
    def extrema(self) -> Extrema:
        """Return the local extrema inside the domain: where the first derivative changes sign.

        An interval on which the spline is level counts with its middle.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2), [3, -5, 3])  # 16 x^2 - 16 x + 3
        >>> found = s.extrema()
        >>> found.x.round(12), found.value.round(12), found.is_maximum
        (array([0.5]), array([-1.]), array([False]))
        """
        self._require_scalar()
        if self.degree == 0:
            return Extrema(np.empty(0), np.empty(0), np.empty(0, np.bool_))
        lower, upper = self.domain
        kinks = combination_of(self).basis.breaks[1:-1]  # the slope may jump there through zero, where knots are repeated
        candidates = np.unique(np.concatenate([self.roots(deriv=1), kinks]))
        candidates = candidates[(candidates > lower) & (candidates < upper)]
        ends = np.concatenate([[lower], candidates, [upper]])
        between = ends[:-1] + np.diff(ends) / 2
        signs = np.sign(self.bsplines(between, deriv=1))
        x, is_maximum = turns(candidates, signs)
        return Extrema(x, self(x) if len(x) else np.empty(0), is_maximum)

    @quiet
    def __add__(self, other: Any) -> Spline:
        """Sum with a spline on the same domain, or with a number."""
        if isinstance(other, Spline):
            return Spline(*sum_of(combination_of(self), combination_of(other)))
        basis, coef = combination_of(self)
        return Spline(basis, coef + check_number(other))

    __radd__ = __add__

    def __neg__(self) -> Spline:
        return Spline(self.basis, -self.coef)

    def __sub__(self, other: Any) -> Spline:
        """Difference from a spline on the same domain, or from a number."""
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Spline:
        return (-self).__add__(other)

    @quiet
    def __mul__(self, other: Any) -> Spline:
        """Product with a spline on the same domain (degrees add), or with a number."""
        if not isinstance(other, Spline):
            return Spline(self.basis, self.coef * check_number(other))
        return Spline(*product_of(combination_of(self), combination_of(other)))

    __rmul__ = __mul__

    @quiet
    def __truediv__(self, other: Any) -> Spline:
        divisor = check_number(other)
        if divisor == 0:
            raise SpecificationError("a spline is divided by zero")
        return Spline(self.basis, self.coef / divisor)

    @quiet
    def compose(self, scale: float, shift: float = 0.0) -> Spline:
        """Return the spline x -> s(scale x + shift); scale is not zero.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1, 3])
        >>> minutes = s.compose(1 / 60)  # s is a function of hours
        >>> minutes.domain, float(minutes(30).round(12))
        ((0.0, 60.0), 2.0)
        """
        scale, shift = check_number(scale), check_number(shift)
        if scale == 0:
            raise SpecificationError("scale is 0; the composition would be a constant")
        return Spline(*composed(combination_of(self), scale, shift))

    def insert(self, knots: Any) -> Spline:
        """Return the same function with more knots.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1, 3])
        >>> s.insert(0.25).coef
        array([1. , 1.5, 3. ])
        """
        return self.to_basis(combination_of(self).basis.insert(knots))

    def refine(self, n: int = 2) -> Spline:
        """Return the same function with every piece cut into n.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1, 3])
        >>> s.refine(4).coef
        array([1. , 1.5, 2. , 2.5, 3. ])
        """
        return self.to_basis(combination_of(self).basis.refine(n))

    def elevate(self, k: int = 1) -> Spline:
        """Return the same function with pieces of degree + k.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1, 3])
        >>> s.elevate().degree, s.elevate().coef
        (2, array([1., 2., 3.]))
        """
        return self.to_basis(combination_of(self).basis.elevate(k))

    @quiet
    def to_basis(self, finer: BSplineBasis) -> Spline:
        """Return the same function in a basis that has this one's knots, and more, or a higher degree.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1, 3])
        >>> s.to_basis(sf.BSplineBasis([0, 0, 0, 0.5, 1, 1, 1], degree=2)).coef
        array([1. , 1.5, 2.5, 3. ])
        """
        return Spline(*combination_of(self).within(finer))

    def to_scipy(self) -> BSpline[Any]:
        """Return the same function as a `scipy.interpolate.BSpline`, which extrapolates by its end pieces or not at all.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1, 3])
        >>> float(s.to_scipy()(0.25))
        1.5
        """
        basis = combination_of(self).basis
        return BSpline(
            basis.knots.copy(), self.bsplines.coef.copy(), basis.degree, extrapolate=OF_SCIPY.get(basis.extrapolate, False)
        )

    @classmethod
    @quiet
    def from_scipy(cls, spline: Any, extrapolate: str = "error") -> Spline:
        """Make a spline from one of `scipy.interpolate`.

        Parameters
        ----------
        spline : BSpline, PPoly, BPoly, UnivariateSpline or tuple
            Also a subclass, such as CubicSpline, PchipInterpolator or Akima1DInterpolator; or the (t, c, k) of ``splrep``.
            The pieces of a PPoly or BPoly may join in any way, so that every break becomes a knot repeated degree + 1 times.
        extrapolate : str
            What the spline is beyond its domain, as for `BSplineBasis`.

        Examples
        --------
        >>> import smoothfit as sf
        >>> from scipy.interpolate import CubicSpline
        >>> s = sf.Spline.from_scipy(CubicSpline([0, 1, 2, 3], [0, 1, 8, 27]))
        >>> float(s(2.0, deriv=1).round(12)), round(s.integrate(0, 2), 12)
        (12.0, 4.0)
        """
        return cls(*of_curve(spline, extrapolate))

    @classmethod
    @quiet
    def interpolate(
        cls, x: Any, y: Any, boundary: str = "natural", degree: int = 3, slopes: Any = None, extrapolate: str | None = None
    ) -> Spline:
        """Make the spline that passes through points.

        Parameters
        ----------
        x : array_like, shape (n,)
            Distinct x, in any order.
        y : array_like, shape (n, ...)
            Values.
        boundary : {"natural", "clamped", "not-a-knot", "periodic", "monotone"}
            Conditions at the ends: derivatives of order (degree + 1) / 2 and above are zero; slopes are given; the points next to
            the ends are no knots; the range of x is a period. ``"monotone"`` is PCHIP (Fritsch & Butland 1984): it rises and falls
            with the data, and its second derivative jumps.
        degree : int
            Odd: 1, 3, 5, 7 or 9; 3 for ``"monotone"``.
        slopes : (float, float), optional
            Slopes at the first and the last x, for ``"clamped"``; zero by default.
        extrapolate : str, optional
            What the spline is beyond the points, as for `BSplineBasis`: by default an error, or periodic.

        Raises
        ------
        DataError
            An x is repeated, or there are too few points; the first bad index is named.

        Notes
        -----
        Natural splines are limits of smoothing splines: ``SmoothingSpline(observations).fit(lam=0)`` adds their uncertainty.

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline.interpolate([0, 1, 2, 3], [0, 1, 1, 2])
        >>> float(s(1.5)), float(sf.Spline.interpolate([0, 1, 2, 3], [0, 1, 1, 2], "monotone")(1.5).round(12))
        (1.0, 1.0)
        """
        return cls(*interpolant(x, y, boundary, degree, slopes, extrapolate))

    @quiet
    def to_ppoly(self) -> PPoly[Any]:
        """Return the same function as a `scipy.interpolate.PPoly`: powers of x - (start of the piece).

        Examples
        --------
        >>> import smoothfit as sf
        >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1, 3])  # 1 + 2 x
        >>> s.to_ppoly().c.tolist()
        [[2.0], [1.0]]
        """
        basis, spline = combination_of(self).basis, self.bsplines
        powers = []
        for k in range(basis.degree + 1):  # the k-th power has the k-th derivative at the start of the piece over k!
            powers.append(combination_of(spline).pieces[:, 0] / factorial(k))
            spline = spline.derivative() if k < basis.degree else spline
        if not np.isfinite(powers).all():
            raise NumericalError("powers of x overflow in this unit of x; choose another, or use to_scipy()")
        return PPoly(np.array(powers[::-1]), basis.breaks.copy(), extrapolate=OF_SCIPY.get(basis.extrapolate, False))

    def _require_scalar(self) -> None:
        if self.coef.ndim != 1:
            raise SpecificationError(f"coef has shape {self.coef.shape}; take one column: Spline(s.basis, s.coef[:, i])")


def combination_of(spline: Spline) -> Combination:
    """The B-splines that a spline is a combination of, whatever its own basis is, and their coefficients."""
    return Combination(cast(BSplineBasis, spline.bsplines.basis), spline.bsplines.coef)
