"""Periodic splines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy.sparse import coo_array, csr_array

from .._entry import quiet
from .._validation import FloatArray, check_flag, check_order, first_index, frozen, to_floats
from ..errors import KnotError
from .base import SplineBasis
from .bspline import BSplineBasis
from .extrapolation import check_mode, reduced
from .knots import HIGHEST_DEGREE, check_boundary, given_knots, supports
from .recombined import RecombinedBasis


@dataclass(frozen=True, eq=False)
class PeriodicBSplineBasis(RecombinedBasis, SplineBasis):
    """Periodic B-splines: values and derivatives up to degree - 1 agree at both ends of the domain, which are one point.

    Function j starts at the j-th knot; the last `degree` ones wrap round. There are as many as knots in a period.

    Parameters
    ----------
    knots : array_like, shape (n_basis + 1,)
        Knots of one period, its two ends included, which are one knot. Inner knots may be repeated.
    degree : int
        Degree of the pieces, 0 to 10.
    extrapolate : str
        ``"periodic"`` by default: an x beyond the domain is reduced to it.
    unit_integral : bool
        Whether to scale the functions to integral one over a period (periodic M-splines) instead of to sum one.

    Examples
    --------
    >>> import smoothfit as sf
    >>> basis = sf.PeriodicBSplineBasis.uniform(0, 1, 4, degree=2)
    >>> basis.n_basis
    4
    >>> basis.design([0, 1, 7], deriv=1, sparse=False)
    array([[ 0.,  0., -4.,  4.],
           [ 0.,  0., -4.,  4.],
           [ 0.,  0., -4.,  4.]])
    """

    knots: FloatArray
    degree: int = 3
    extrapolate: str = "periodic"
    unit_integral: bool = False

    @quiet
    def __post_init__(self) -> None:
        degree = check_order(self.degree, "degree", 0, HIGHEST_DEGREE)
        knots = given_knots(self.knots)
        if len(knots) < 2 or not knots[0] < knots[-1]:
            raise KnotError("a period needs two distinct knots, its ends")
        check_boundary((knots[0], knots[-1]))
        inner = (knots[1:-1] <= knots[0]) | (knots[1:-1] >= knots[-1])
        if inner.any():
            i = first_index(inner) + 1
            raise KnotError(f"knots[{i}] = {knots[i]} repeats an end of the period; the two ends count as one knot")
        object.__setattr__(self, "degree", degree)
        object.__setattr__(self, "knots", frozen(knots))
        object.__setattr__(self, "extrapolate", check_mode(self.extrapolate))
        object.__setattr__(self, "unit_integral", check_flag(self.unit_integral, "unit_integral"))
        self.parent  # noqa: B018  knots repeated too often are refused now

    @classmethod
    def _of(cls, inner: FloatArray, ends: tuple[float, float], degree: int, **options: str) -> Self:
        make: Any = cls
        made: Self = make(np.concatenate([ends[:1], inner, ends[1:]]), degree, **options)
        return made

    @classmethod
    def _fewest(cls, degree: int) -> int:
        return 1

    @classmethod
    def _quantile_data(cls, points: FloatArray, ends: tuple[float, float]) -> FloatArray:
        return reduced(points, ends)

    @property
    @quiet
    def greville(self) -> FloatArray:
        """Location of each function (n_basis,): means of their inner knots, reduced to the domain."""
        lower, n = float(self.knots[0]), len(self.knots) - 1
        unwrapped = self.parent.greville[self.degree : self.degree + n]
        return np.asarray(lower + np.mod(unwrapped - lower, self.period))

    @property
    def period(self) -> float:
        """Length of the domain, after which the functions repeat."""
        return float(self.knots[-1] - self.knots[0])

    @cached_property
    @quiet
    def parent(self) -> BSplineBasis:
        """The B-splines on the knots continued periodically beyond both ends."""
        n, degree = len(self.knots) - 1, self.degree
        index = np.arange(-degree, n + degree + 1)
        turns, within = np.divmod(index, n)
        continued = self.knots[within] + turns * self.period
        if not np.isfinite(continued).all():
            raise KnotError(
                f"the knots leave floating-point numbers where the period of {self.period} repeats; choose another unit of x"
            )
        return BSplineBasis(continued, degree, self.extrapolate)

    @cached_property
    @quiet
    def matrix(self) -> csr_array:
        """Coefficients of the functions: B-splines a period apart belong together."""
        n, n_parent = len(self.knots) - 1, self.parent.n_basis
        rows = np.arange(n_parent)
        columns = (rows - self.degree) % n
        values = np.ones(n_parent)
        if self.unit_integral:
            values = (self.degree + 1) / supports(self.parent.knots, self.degree)
        return csr_array(coo_array((values, (rows, columns)), shape=(n_parent, n)))

    def _design(self, x: Any, deriv: int) -> csr_array:
        points, _ = to_floats(x, "x")
        lower, upper = self.domain
        return super()._design(np.where(points == upper, lower, points), deriv)

    @quiet
    def elevate(self, k: int = 1) -> Self:
        """Return the basis of degree + k with the same continuity at the inner knots and one order more at the ends.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.PeriodicBSplineBasis([0, 0.25, 0.5, 1], degree=1).elevate().knots
        array([0.  , 0.25, 0.25, 0.5 , 0.5 , 1.  ])
        """
        k = check_order(k, "k", 0, HIGHEST_DEGREE - self.degree)
        distinct, counts = np.unique(self.knots[1:-1], return_counts=True)
        inner = np.repeat(distinct, counts + k)
        return replace(self, knots=np.concatenate([self.knots[:1], inner, self.knots[-1:]]), degree=self.degree + k)
