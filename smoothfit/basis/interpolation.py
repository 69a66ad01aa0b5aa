"""Interpolating splines: the spline of a basis that passes through points, under conditions at its ends.

With odd degree d = 2m - 1 and a knot at each x, the conditions at each end are m - 1:

===============  ============================================================================================
``natural``      the derivatives of orders m .. 2m - 2 are zero: of all curves through the points this one has
                 the smallest integral of (f^(m))^2, the limit of smoothing splines of order m
``clamped``      the first derivative is given, those of orders 2 .. m - 1 are zero
``not-a-knot``   the m - 1 points next to the end are no knots
``periodic``     the derivatives up to d - 1 agree at both ends
===============  ============================================================================================

``monotone`` is PCHIP instead: cubic pieces between slopes at the points that keep the data's rises and falls, with a continuous
first derivative (Fritsch & Butland 1984, "A method for constructing local monotone piecewise cubic interpolants").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.sparse import csc_array, vstack
from scipy.sparse.linalg import splu

from .._validation import FloatArray, check_choice, check_finite, check_order, first_index, to_floats, to_numbers
from ..errors import DataError, SpecificationError
from .bspline import BSplineBasis
from .knots import HIGHEST_DEGREE, clamped
from .periodic import PeriodicBSplineBasis

BOUNDARIES = ("natural", "clamped", "not-a-knot", "periodic", "monotone")


def interpolant(
    x: Any, y: Any, boundary: Any, degree: Any, slopes: Any, extrapolate: str | None
) -> tuple[BSplineBasis | PeriodicBSplineBasis, FloatArray]:
    """Basis and coefficients of the interpolating spline; see `Spline.interpolate`."""
    check_choice(boundary, "boundary", BOUNDARIES)
    degree = check_order(degree, "degree", 1, HIGHEST_DEGREE)
    if degree % 2 == 0 or (boundary == "monotone" and degree != 3):
        needed = "3, as monotone pieces are cubic" if boundary == "monotone" else "odd, so that knots and conditions pair up"
        raise SpecificationError(f"degree is {degree}; it is {needed}")
    if slopes is not None and (boundary != "clamped" or degree == 1):
        raise SpecificationError("slopes needs boundary='clamped' and a degree of at least 3; leave it out")
    points, values = _points(x, y)
    mode = {} if extrapolate is None else {"extrapolate": extrapolate}
    if boundary == "monotone":
        return _monotone(points, values, mode)
    if boundary == "periodic":
        return _periodic(points, values, degree, mode)
    m, n = (degree + 1) // 2, len(points)
    if boundary == "not-a-knot" and n <= degree:
        raise DataError(f"{n} points are too few for 'not-a-knot' of degree {degree}; pass {degree + 1}, or boundary='natural'")
    inner = points[m : n - m] if boundary == "not-a-knot" else points[1:-1]
    basis = BSplineBasis(clamped(inner, (points[0], points[-1]), degree), degree, **mode)
    orders = {"natural": range(m, degree), "clamped": range(1, m)}.get(boundary, range(0))
    given = _slopes(slopes, values.shape[1:])
    ends = [np.where(order == 1, given[end], 0.0) for end in (0, 1) for order in orders]
    rows = [basis.design(points[[-end]], order) for end in (0, 1) for order in orders]
    matrix = csc_array(vstack([basis.design(points), *rows]))
    return basis, _solved(matrix, np.concatenate([values, *(end[None] for end in ends)]))


def _points(x: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    """Points in order of x, distinct and finite."""
    points, values = to_floats(x, "x")[0], to_numbers(y, "y")
    if values.ndim == 0 or len(values) != len(points):
        raise DataError(f"x has {len(points)} entries and y has shape {values.shape}; pass a value, or a row, for each x")
    check_finite(points, "x", "drop missing points")
    bad: Any = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise DataError(f"y[{first_index(bad)}] is not finite; drop missing points")
    order = np.argsort(points, kind="stable")
    repeated = np.asarray(points[order][1:] == points[order][:-1])
    if repeated.any():
        first, second = order[first_index(repeated) : first_index(repeated) + 2]
        raise DataError(
            f"x[{second}] = {points[second]} repeats x[{first}]; a curve has one value there: average them, or smooth by "
            "SmoothingSpline"
        )
    if len(points) < 2:
        raise DataError(f"{len(points)} points are too few to interpolate; pass at least 2")
    return points[order], values[order]


def _slopes(slopes: Any, shape: tuple[int, ...]) -> FloatArray:
    """Slopes at both ends, (2, ...)."""
    given = np.atleast_1d(np.zeros(2) if slopes is None else to_numbers(slopes, "slopes"))
    if len(given) != 2 or given.shape[1:] not in ((), shape) or not np.isfinite(given).all():
        raise SpecificationError(f"slopes has shape {given.shape}; pass two finite slopes, at the first and at the last x")
    return np.broadcast_to(given.reshape(given.shape + (1,) * (1 + len(shape) - given.ndim)), (2, *shape))


def _periodic(points: FloatArray, values: FloatArray, degree: int, mode: dict[str, Any]) -> tuple[PeriodicBSplineBasis, FloatArray]:
    """The spline whose period is the range of x."""
    if not np.array_equal(values[0], values[-1]):
        raise DataError(f"y is {values[0]} at the first x and {values[-1]} at the last, which are one point; make them equal")
    if len(points) < 3:
        raise DataError("2 points are too few for a periodic spline; pass at least 3")
    basis = PeriodicBSplineBasis(points, degree, **mode)
    return basis, _solved(csc_array(basis.design(points[:-1])), values[:-1])


def _monotone(points: FloatArray, values: FloatArray, mode: dict[str, str]) -> tuple[BSplineBasis, FloatArray]:
    """Cubic pieces with given values and slopes: B-splines on double knots, two coefficients a third of a piece from each."""
    slopes = PchipInterpolator(points, values).derivative()(points)
    third = (np.diff(points) / 3).reshape(-1, *(1,) * (values.ndim - 1))
    coef = np.empty((2 * len(points), *values.shape[1:]))
    coef[[0, -1]] = values[[0, -1]]
    coef[1:-1:2] = values[:-1] + third * slopes[:-1]
    coef[2::2] = values[1:] - third * slopes[1:]
    return BSplineBasis(clamped(np.repeat(points[1:-1], 2), (points[0], points[-1]), 3), 3, **mode), coef


def _solved(matrix: csc_array, values: FloatArray) -> FloatArray:
    flat = splu(matrix).solve(values.reshape(len(values), -1))
    return np.asarray(flat.reshape(values.shape))
