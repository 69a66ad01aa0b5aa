"""A spline: a function that is a combination of B-splines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import BSpline

from .._validation import FloatArray, Frozen, check_finite, check_order, first_index, frozen, to_floats
from ..errors import DataError, KnotError
from .bspline import HIGHEST_DEGREE, BSplineBasis


@dataclass(frozen=True, eq=False)
class Spline(Frozen):
    """The function s(x) = sum_j coef_j B_j(x).

    Parameters
    ----------
    basis : BSplineBasis
    coef : array_like, shape (n_basis,)

    Raises
    ------
    DataError
        Where the number of coefficients is not ``basis.n_basis``, or a coefficient is not finite.

    Examples
    --------
    >>> import smoothfit as sf
    >>> s = sf.Spline(sf.BSplineBasis([0, 0, 1, 1], degree=1), [1.0, 3.0])
    >>> float(s(0.5)), float(s(0.5, deriv=1)), s.integrate(0, 1)
    (2.0, 2.0, 2.0)
    """

    basis: BSplineBasis
    coef: FloatArray

    def __post_init__(self) -> None:
        given: Any = self.coef
        coef, _ = to_floats(given, "coef")
        if len(coef) != self.basis.n_basis:
            raise DataError(f"coef has {len(coef)} entries; the basis has {self.basis.n_basis} functions")
        check_finite(coef, "coef", "coefficients are finite")
        object.__setattr__(self, "coef", frozen(coef))

    def __call__(self, x: Any, deriv: int = 0) -> FloatArray:
        """Value of the derivative of order `deriv` at x, an array of the shape of x; right limits inside the domain.

        Raises DataError where x leaves the domain.
        """
        deriv = check_order(deriv, "deriv", 0, HIGHEST_DEGREE + 1)
        points, _ = to_floats(np.ravel(x), "x")
        lower, upper = self.basis.domain
        outside = ~((points >= lower) & (points <= upper))
        if outside.any():
            i = first_index(outside)
            raise DataError(f"x[{i}] = {points[i]} is outside the spline's domain [{lower}, {upper}]")
        values = np.zeros(len(points)) if deriv > self.basis.degree else self._scipy(points, nu=deriv)
        return np.asarray(values, dtype=np.float64).reshape(np.shape(x))

    def derivative(self, k: int = 1) -> Spline:
        """Return the derivative of order k as a spline of degree - k.

        c'_i = degree (c_i - c_{i-1}) / (t_{i+degree} - t_i) (de Boor 1978, chapter X); where the support is empty, at a knot
        repeated too often for the lower degree, both the coefficient and the knot go.
        """
        k = check_order(k, "k", 0, self.basis.degree)
        knots, coef = self.basis.knots, self.coef
        for degree in range(self.basis.degree, self.basis.degree - k, -1):
            width = knots[degree + 1 : -1] - knots[1 : -degree - 1]
            kept = width > 0
            coef = degree * np.diff(coef)[kept] / width[kept]
            knots = np.delete(knots[1:-1], np.flatnonzero(~kept))
        return Spline(BSplineBasis(knots, self.basis.degree - k), coef)

    def antiderivative(self) -> Spline:
        """Return the running integral from the left end of the domain, a spline of degree + 1."""
        running = Spline.from_scipy(self._scipy.antiderivative())  # zero at the first knot, which may be before the domain
        constant = float(running(self.basis.domain[0]))
        return Spline(running.basis, running.coef - constant) if constant else running  # B-splines sum to one

    def integrate(self, lower: float, upper: float) -> float:
        """Definite integral; the limits lie in the domain."""
        start, end = self.basis.domain
        for limit in (lower, upper):
            if not start <= limit <= end:
                raise DataError(f"the limit {limit} is outside the spline's domain [{start}, {end}]")
        return float(self._scipy.integrate(lower, upper))

    def to_scipy(self) -> BSpline:
        """Return the same function as a `scipy.interpolate.BSpline`, which extrapolates by its end pieces."""
        return BSpline(self.basis.knots.copy(), self.coef.copy(), self.basis.degree)

    @classmethod
    def from_scipy(cls, spline: BSpline) -> Spline:
        """Make a spline from a `scipy.interpolate.BSpline` with scalar values."""
        knots, coef, degree = spline.tck
        if np.ndim(coef) != 1:
            raise KnotError(f"the coefficients have shape {np.shape(coef)}; only scalar splines are taken")
        return cls(BSplineBasis(knots, degree), coef[: len(knots) - degree - 1])

    @cached_property
    def _scipy(self) -> BSpline:
        return self.to_scipy()
