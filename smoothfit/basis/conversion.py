"""Splines of SciPy in B-splines: knots, coefficients and degrees."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import BivariateSpline, BPoly, BSpline, NdBSpline, NdPPoly, PPoly, UnivariateSpline

from .._validation import FloatArray, check_order, described, first_index
from ..errors import KnotError, SpecificationError
from .bernstein import binomials
from .bspline import BSplineBasis
from .knots import HIGHEST_DEGREE

OF_SCIPY: dict[str, Any] = {
    "polynomial": True,
    "periodic": "periodic",
}  # extrapolations that SciPy has; others become NaN beyond the domain


def of_curve(spline: Any, extrapolate: str) -> tuple[BSplineBasis, FloatArray]:
    """Basis and coefficients of a curve of SciPy."""
    if isinstance(spline, BPoly):
        spline = PPoly.from_bernstein_basis(spline)
    if isinstance(spline, PPoly):
        basis = pieces_basis(spline.x, spline.c.shape[0] - 1, extrapolate)
        return basis, bernstein_of_powers(spline.c, spline.x)
    if isinstance(spline, UnivariateSpline):
        ends, coef = spline.get_knots(), spline.get_coeffs()
        degree = len(coef) - len(ends) + 1
        knots = np.concatenate([np.repeat(ends[0], degree), ends, np.repeat(ends[-1], degree)])
    elif isinstance(spline, BSpline):
        knots, coef, degree = spline.tck
    elif isinstance(spline, tuple) and len(spline) == 3:  # of splrep
        knots, coef, degree = spline
    else:
        raise SpecificationError(
            f"spline is {described(spline)}; pass a BSpline, PPoly (such as a CubicSpline), BPoly or UnivariateSpline of "
            "scipy.interpolate, or the (t, c, k) of splrep"
        )
    basis = BSplineBasis(knots, degree, extrapolate)
    return basis, np.asarray(coef)[: basis.n_basis]


def of_surface(spline: Any, extrapolate: str) -> tuple[list[BSplineBasis], FloatArray]:
    """Bases of the variables, and coefficients in the shape of their sizes, of a surface of SciPy."""
    surface: Any = spline
    if isinstance(spline, NdPPoly):
        table, bases = spline.c, []
        for axis, breaks in enumerate(spline.x):  # powers lie along the first of the axes left, their pieces d places behind
            d = len(spline.x) - axis
            bases.append(pieces_basis(breaks, table.shape[0] - 1, extrapolate))
            coef = bernstein_of_powers(np.moveaxis(table, d, 1), breaks)
            table = np.moveaxis(coef, 0, -1)
        return bases, table
    if isinstance(spline, NdBSpline):
        knots, degrees, coef = spline.t, spline.k, spline.c
    elif isinstance(spline, BivariateSpline):
        knots, degrees, coef = surface.get_knots(), surface.degrees, surface.get_coeffs()
    else:
        raise SpecificationError(
            f"spline is {described(spline)}; pass an NdBSpline, NdPPoly or BivariateSpline (such as a RectBivariateSpline) of "
            "scipy.interpolate"
        )
    bases = [BSplineBasis(t, int(k), extrapolate) for t, k in zip(knots, degrees, strict=True)]
    shape = tuple(basis.n_basis for basis in bases)
    if np.size(coef) != np.prod(shape):
        raise SpecificationError(f"c has shape {np.shape(coef)} for {shape} functions; pass a spline of a single value")
    return bases, np.reshape(coef, shape)


def pieces_basis(breaks: Any, degree: int, extrapolate: str) -> BSplineBasis:
    """B-splines for pieces that join in any way: every break is a knot repeated degree + 1 times."""
    check_order(degree, "the degree of the pieces", 0, HIGHEST_DEGREE)
    places = np.asarray(breaks, dtype=np.float64)
    if not (np.diff(places) > 0).all():
        i = first_index(~(np.diff(places) > 0)) + 1
        raise KnotError(f"the break x[{i}] = {places[i]} does not exceed the one before; reverse or clean the breaks")
    return BSplineBasis(np.repeat(places, degree + 1), degree, extrapolate)


def bernstein_of_powers(powers: Any, breaks: Any) -> FloatArray:
    """Bernstein coefficients (n_pieces (degree + 1), ...) of powers (degree + 1, n_pieces, ...) of x - break, the highest first."""
    degree, width = len(powers) - 1, np.diff(breaks).reshape(-1, *(1,) * (powers.ndim - 2))
    coefficients = []
    for k in range(degree + 1):  # b_k = sum over j <= k of C(k, j) / C(d, j) a_j h^j
        terms = [binomials(k)[j] / binomials(degree)[j] * powers[degree - j] * width**j for j in range(k + 1)]
        coefficients.append(sum(terms[1:], start=terms[0]))
    pieces = np.stack(coefficients, axis=1)
    return np.asarray(pieces.reshape(-1, *pieces.shape[2:]))
