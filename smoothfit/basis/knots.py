"""Where to put knots: checks, quantiles, even spacing, and insertion led by residuals."""

from __future__ import annotations

from collections.abc import Generator
from math import frexp
from typing import Any

import numpy as np

from .._entry import quiet
from .._validation import FloatArray, check_finite, check_order, first_index, shown, to_floats
from ..errors import DataError, KnotError, NumericalError, SpecificationError

HIGHEST_DEGREE = 10
MANY = 10_000  # points, from which on counting is sooner than partitioning
N_CELLS = 2**12


def check_knots(given: Any, degree: int) -> FloatArray:
    """Return a full knot vector for splines of a degree."""
    knots, _ = to_floats(given, "knots")
    check_finite(knots, "knots", "knots are finite")
    _check_sorted(knots)
    if len(knots) < 2 * degree + 2:
        raise KnotError(f"{len(knots)} knots are too few for degree {degree}; pass at least {2 * degree + 2}")
    repeated = knots[degree + 1 :] == knots[: -degree - 1]
    if repeated.any():
        i = first_index(repeated)
        raise KnotError(f"knots[{i}] = {knots[i]} is repeated more than degree + 1 = {degree + 1} times")
    lower, upper = knots[degree], knots[-degree - 1]
    if not lower < upper:
        raise KnotError(f"the domain from knots[{degree}] to knots[-{degree + 1}] is the point {lower}; spread the knots")
    _check_width(float(knots[0]), float(knots[-1]), "the knots range")
    gaps = np.diff(knots)
    narrow = (gaps > 0) & (gaps < np.finfo(np.float64).tiny)
    if narrow.any():
        i = first_index(narrow)
        raise KnotError(f"knots[{i}] and knots[{i + 1}] are {gaps[i]} apart, too close to divide by; choose another unit of x")
    return knots


def _check_sorted(knots: FloatArray, argument: str = "knots") -> None:
    decreasing = knots[1:] < knots[:-1]
    if decreasing.any():
        i = first_index(decreasing) + 1
        raise KnotError(f"{argument}[{i}] = {knots[i]} is below {argument}[{i - 1}] = {knots[i - 1]}; sort the knots")


def check_boundary(boundary: Any) -> tuple[float, float]:
    ends, _ = to_floats(boundary, "boundary")
    check_finite(ends, "boundary", "the ends of the domain are finite")
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise KnotError(f"boundary is {shown(boundary)}; pass (lower, upper) with lower < upper")
    lower, upper = float(ends[0]), float(ends[1])
    _check_width(lower, upper, "boundary is")
    return lower, upper


def _check_width(lower: float, upper: float, what: str) -> None:
    """Refuse a domain whose length is no floating-point number."""
    if not upper / 4 - lower / 4 < np.finfo(np.float64).max / 4:
        raise KnotError(f"{what} from {lower} to {upper}, beyond floating-point numbers; choose another unit of x")


def clamped(inner: FloatArray, boundary: tuple[float, float], degree: int) -> FloatArray:
    """Full knots with `degree` + 1 copies of both ends."""
    lower, upper = boundary
    check_inside(inner, boundary, "knots")
    return np.concatenate([np.full(degree + 1, lower), inner, np.full(degree + 1, upper)])


def check_inside(inner: FloatArray, boundary: tuple[float, float], argument: str) -> None:
    """Refuse inner knots that are not strictly between the ends of a domain."""
    lower, upper = boundary
    outside = ~((inner > lower) & (inner < upper))
    if outside.any():
        i = first_index(outside)
        raise KnotError(f"{argument}[{i}] = {inner[i]} is not inside the boundary ({lower}, {upper})")


def data_and_boundary(x: Any, boundary: Any) -> tuple[FloatArray, tuple[float, float]]:
    """Return the data that are not missing, and the domain: the given one, or their range."""
    points, _ = to_floats(x, "x")
    infinite = np.isinf(points)
    if infinite.any():
        i = first_index(infinite)
        raise DataError(f"x[{i}] is {points[i]}; values of x must be finite")
    points = points[~np.isnan(points)]
    if boundary is not None:
        return points, check_boundary(boundary)
    if not len(points):
        raise DataError("x is empty or all NaN; a domain needs data, or pass boundary=")
    lower, upper = float(points.min()), float(points.max())
    if lower == upper:
        raise KnotError(f"all {len(points)} of x are {lower}; a domain needs two distinct x, or pass boundary=")
    _check_width(lower, upper, "x ranges")
    return points, (lower, upper)


def given_knots(knots: Any, argument: str = "knots") -> FloatArray:
    inner, _ = to_floats(knots, argument)
    check_finite(inner, argument, "knots are finite")
    _check_sorted(inner, argument)
    return inner


def quantile_knots(points: FloatArray, n_inner: int, ends: tuple[float, float]) -> FloatArray:
    """Return `n_inner` inner knots at quantiles of data (Hyndman & Fan's seventh kind, as R and NumPy have it)."""
    if n_inner == 0:
        return np.empty(0)
    n_distinct = len(np.unique(points[: 10 * n_inner]))  # enough, mostly
    if n_distinct < n_inner:
        n_distinct = len(np.unique(points))
    if n_distinct < n_inner:
        raise KnotError(
            f"x has {n_distinct} distinct values in the domain, too few for {n_inner} inner knots at quantiles; lower df, or "
            "pass knots="
        )
    inner = _quantiles(points, np.linspace(0, 1, n_inner + 2)[1:-1])
    bad = (inner <= ends[0]) | (inner >= ends[1]) | (np.diff(inner, prepend=-np.inf) <= 0)
    if bad.any():
        raise KnotError(
            f"repeated values of x bring its quantiles together at {inner[first_index(bad)]}; lower df, or pass knots=, for "
            "example quantiles of numpy.unique(x)"
        )
    return inner


def _quantiles(points: FloatArray, shares: FloatArray) -> FloatArray:
    """What `numpy.quantile` returns, sooner for many points: those around the quantiles are found by counting, and sorted."""
    lower, upper = float(points.min()), float(points.max())
    with np.errstate(all="ignore"):
        scale = (N_CELLS - 1) / (np.float64(upper) - lower)
    if len(points) < MANY or not 0 < scale < np.inf:
        return np.asarray(np.quantile(points, shares))
    cell = ((points - lower) * scale).astype(np.int64)  # increases with x, rounded or not
    counts = np.bincount(cell, minlength=N_CELLS)
    place = shares * (len(points) - 1)
    before = np.floor(place).astype(np.int64)
    ranks = np.stack([before, np.minimum(before + 1, len(points) - 1)])
    cells = np.searchsorted(np.cumsum(counts), ranks, side="right")
    is_sorted = np.zeros(N_CELLS, dtype=bool)
    is_sorted[cells] = True
    passed_over = np.cumsum(np.where(is_sorted, 0, counts))
    low, high = np.sort(points[is_sorted[cell]])[ranks - passed_over[cells]]
    share = place - before
    return np.asarray(np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share)))


def n_inner_for(df: Any, least: int, what: str) -> int:
    """Number of inner knots that give `df` functions, `least` of which come without inner knots."""
    n_functions = check_order(df, "df", 1, 2**31)
    if n_functions < least:
        raise SpecificationError(f"df is {df}; {what} has at least {least}")
    return n_functions - least


def adaptive_knots(
    x: Any, boundary: tuple[float, float] | None = None, start: Any = (), most: int | None = None
) -> Generator[FloatArray, Any, None]:
    """Inner knots, more and more of them where residuals are large; a generator that only needs the residuals.

    Each `send` takes the residuals (n,) of the fit with the knots last yielded, in the order of x, and yields a longer
    knot vector: up to as many knots are added as the decrease of the residual sum of squares suggests, one at a time,
    each in the interval with the largest residual sum of squares, at its median x (Dierckx 1993, "Curve and surface
    fitting with splines", section 4.2). It ends when `most` knots are reached or no interval has an x between its knots.

    Parameters
    ----------
    x : array_like, shape (n,)
    boundary : (float, float), optional
        Ends of the domain; those of x by default.
    start : array_like, optional
        Inner knots to begin with.
    most : int, optional
        Largest number of inner knots; n by default.

    Yields
    ------
    ndarray
        Inner knots, increasing.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 201)
    >>> y = np.tanh(40 * (x - 0.3))
    >>> places = sf.basis.adaptive_knots(x, most=30)
    >>> inner = next(places)
    >>> for _ in range(20):
    ...     basis = sf.BSplineBasis.from_data(x, knots=inner)
    ...     B = basis.design(x, sparse=False)
    ...     resid = y - B @ np.linalg.lstsq(B, y, rcond=None)[0]
    ...     if np.abs(resid).max() < 1e-3:
    ...         break
    ...     inner = places.send(resid)
    >>> bool(np.abs(resid).max() < 1e-3), bool(np.median(np.abs(inner - 0.3)) < 0.06)
    (True, True)
    """
    points, _ = to_floats(x, "x")
    check_finite(points, "x", "values of x must be finite")
    _, (lower, upper) = data_and_boundary(points, boundary)
    inner = given_knots(start, "start knots")
    check_inside(inner, (lower, upper), "start knots")
    limit = len(points) if most is None else check_order(most, "most", 0, 2**31)
    ordered = np.sort(points, kind="stable")
    by_x = np.argsort(points, kind="stable")
    previous, added, unit = np.inf, 1, 0.0
    while True:
        residuals, _ = to_floats((yield inner), "residuals")
        if len(residuals) != len(points):
            raise DataError(f"residuals has {len(residuals)} entries; x has {len(points)}")
        check_finite(residuals, "residuals", "residuals are finite")
        unit = unit or power_of_two(float(np.abs(residuals).max(initial=0.0)))
        squares = _running_squares(residuals[by_x], unit)
        total = squares[-1]
        if np.isfinite(previous) and previous > total:  # as many as would bring the same decrease again, twice at most
            wanted = int(np.ceil(added * total / (previous - total)))
            added = max(1, min(2 * added, wanted))
        previous = total
        before = len(inner)
        for _ in range(min(added, limit - len(inner))):
            inner = _with_one_more(inner, ordered, squares, (lower, upper))
            if len(inner) == before:
                return
        if len(inner) == before:
            return


def power_of_two(size: float) -> float:
    """The unit in which numbers of this size are near one, and no digit of theirs changes; 0 for 0."""
    return 2.0 ** (frexp(size)[1] - 1) if size else 0.0


@quiet
def _running_squares(residuals: FloatArray, unit: float) -> FloatArray:
    """Running sums of squares in a unit, zero first."""
    squares = np.cumsum(np.concatenate([[0.0], (residuals / (unit or 1.0)) ** 2]))
    if not np.isfinite(squares[-1]):
        raise NumericalError("the squares of residuals overflow: they are far greater than those sent before; start anew")
    return squares


def _with_one_more(inner: FloatArray, x: FloatArray, squares: FloatArray, boundary: tuple[float, float]) -> FloatArray:
    """Inner knots and one more, at the median x of the interval with the largest residual sum of squares."""
    ends = np.concatenate([[boundary[0]], inner, [boundary[1]]])
    first, last = np.searchsorted(x, ends[:-1], side="right"), np.searchsorted(x, ends[1:], side="left")
    worth = np.where(last > first, squares[np.maximum(last, first)] - squares[first], -np.inf)
    interval = int(np.argmax(worth))
    if not np.isfinite(worth[interval]):
        return inner
    middle = x[(first[interval] + last[interval]) // 2]
    return np.insert(inner, interval, middle)


def supports(knots: FloatArray, degree: int) -> FloatArray:
    """Lengths of the supports of B-splines."""
    return np.asarray(knots[degree + 1 :] - knots[: -degree - 1])
