"""What every basis can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Literal, Self, cast, overload

import numpy as np
from scipy.sparse import csr_array

from .._entry import quiet
from .._validation import FloatArray, Frozen, check_flag, check_memory, check_order, first_index, frozen, to_floats, with_article
from ..errors import KnotError, NumericalError
from .extrapolation import check_mode
from .knots import (
    HIGHEST_DEGREE,
    check_boundary,
    check_knots,
    clamped,
    data_and_boundary,
    given_knots,
    n_inner_for,
    quantile_knots,
)
from .sparse import to_dense

PER_KNOT = 64.0  # bytes while knots are made and checked


class Basis(Frozen, ABC):
    """Functions b_0 .. b_(n_basis - 1) that span a space of curves."""

    @property
    @abstractmethod
    def n_basis(self) -> int:
        """Number of basis functions."""

    @property
    @abstractmethod
    def domain(self) -> tuple[float, float]:
        """The interval on which the basis is meant."""

    @abstractmethod
    def _design(self, x: Any, deriv: int) -> csr_array:
        """Rows of derivatives at x (n,)."""

    def _dense_design(self, x: Any, deriv: int) -> FloatArray:
        return to_dense(self._design(x, deriv))

    @abstractmethod
    def _integral(self, lower: Any, upper: Any) -> csr_array:
        """Rows of integrals (n, n_basis)."""

    @abstractmethod
    def _penalty(self, order: int) -> csr_array:
        """Gram matrix of derivatives."""

    @overload
    def design(self, x: Any, deriv: int = 0, sparse: Literal[True] = True) -> csr_array: ...
    @overload
    def design(self, x: Any, deriv: int = 0, *, sparse: Literal[False]) -> FloatArray: ...
    @quiet
    def design(self, x: Any, deriv: int = 0, sparse: bool = True) -> csr_array | FloatArray:
        """Return the matrix of derivatives D^deriv b_j(x_i).

        Parameters
        ----------
        x : array_like, shape (n,)
            Values of x. At a knot the value is the right limit, at the end of the domain the left limit.
        deriv : int
            Order of the derivative; beyond the degree of the pieces all are zero.
        sparse : bool
            Whether to return a sparse matrix.

        Returns
        -------
        scipy.sparse.csr_array or ndarray, shape (n, n_basis)

        Raises
        ------
        DataError
            An x is infinite, or outside the domain and the basis does not extrapolate; the message gives the first.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> basis.design([0.25, 0.5], sparse=False)
        array([[0.75, 0.25],
               [0.5 , 0.5 ]])
        >>> basis.design([0.25, 0.5], deriv=1).toarray()
        array([[-1.,  1.],
               [-1.,  1.]])
        """
        rows = self._design(x, deriv) if check_flag(sparse, "sparse") else self._dense_design(x, deriv)
        self._check_rows(rows, deriv)
        return rows

    def _check_rows(self, rows: csr_array | FloatArray, deriv: int) -> None:
        """Refuse derivatives that overflow: beyond the domain, or on narrow pieces."""
        indptr = rows.indptr if isinstance(rows, csr_array) else np.arange(0, rows.size + 1, self.n_basis)
        values = rows.data if isinstance(rows, csr_array) else rows.ravel()
        if getattr(self, "extrapolate", "error") == "nan" or np.isfinite(values.sum()):  # no array of flags is needed
            return
        bad = ~np.isfinite(values)
        if bad.any():
            k = first_index(bad)
            i = np.searchsorted(indptr, k, side="right") - 1
            raise NumericalError(
                f"the derivative of order {deriv} at x[{i}] overflows, on the domain {self.domain}; choose another unit of x, or, "
                "for an x beyond the domain, another extrapolate"
            )

    @overload
    def integral(self, lower: Any, upper: Any, sparse: Literal[False] = False) -> FloatArray: ...
    @overload
    def integral(self, lower: Any, upper: Any, *, sparse: Literal[True]) -> csr_array: ...
    @quiet
    def integral(self, lower: Any, upper: Any, sparse: bool = False) -> csr_array | FloatArray:
        """Return the definite integrals of every b_j from lower_i to upper_i.

        Parameters
        ----------
        lower, upper : float or array_like, shape (n,)
            Limits; if lower exceeds upper the integral changes sign. The two are broadcast.
        sparse : bool
            Whether to return a sparse matrix.

        Returns
        -------
        ndarray or scipy.sparse.csr_array, shape (n, n_basis)

        Raises
        ------
        DataError
            A limit is infinite, or outside the domain and the basis does not extrapolate.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> basis.integral(0, [0.5, 1])
        array([[0.375, 0.125],
               [0.5  , 0.5  ]])
        """
        rows = self._integral(lower, upper)
        if not np.isfinite(rows.data).all() and getattr(self, "extrapolate", "error") != "nan":
            raise NumericalError(f"integrals overflow between limits so far beyond the domain {self.domain}; choose nearer ones")
        return rows if check_flag(sparse, "sparse") else to_dense(rows)

    @overload
    def penalty(self, order: int, sparse: Literal[True] = True) -> csr_array: ...
    @overload
    def penalty(self, order: int, *, sparse: Literal[False]) -> FloatArray: ...
    @quiet
    def penalty(self, order: int, sparse: bool = True) -> csr_array | FloatArray:
        """Return the Gram matrix of the derivatives, integral over the domain of D^order b_i D^order b_j.

        It is exact, and banded where the b_j have local support. For coefficients c, c' P c is the integral of
        (D^order f)^2; its unit is that of f^2 / x^(2 order - 1).

        Parameters
        ----------
        order : int
            Order of the derivative.
        sparse : bool
            Whether to return a sparse matrix.

        Returns
        -------
        scipy.sparse.csr_array or ndarray, shape (n_basis, n_basis)

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 2, 2], degree=1)
        >>> basis.penalty(1, sparse=False)
        array([[ 0.5, -0.5],
               [-0.5,  0.5]])
        """
        gram = self._penalty(order)
        if not np.isfinite(gram.data).all():
            raise NumericalError(f"the penalty of order {order} overflows on the domain {self.domain}; choose another unit of x")
        gram = csr_array(gram / 2 + gram.T / 2)  # symmetric to the last bit
        return gram if check_flag(sparse, "sparse") else to_dense(gram)


class SplineBasis(Basis):
    """A basis of piecewise polynomials: a frozen dataclass with knots, a degree and an extrapolation."""

    knots: FloatArray
    degree: int
    extrapolate: str

    @classmethod
    @abstractmethod
    def _of(cls, inner: FloatArray, ends: tuple[float, float], degree: int, **options: str) -> Self:
        """Make the basis of inner knots and a domain."""

    @classmethod
    @abstractmethod
    def _fewest(cls, degree: int) -> int:
        """Number of functions without inner knots."""

    @classmethod
    def _quantile_data(cls, points: FloatArray, ends: tuple[float, float]) -> FloatArray:
        """The data at whose quantiles knots are put: those in the domain."""
        return points[(points >= ends[0]) & (points <= ends[1])]

    @classmethod
    @quiet
    def from_data(
        cls,
        x: Any,
        df: int | None = None,
        *,
        degree: int = 3,
        knots: Any = None,
        boundary: tuple[float, float] | None = None,
        extrapolate: str | None = None,
    ) -> Self:
        """Make a basis for data, with inner knots at quantiles of x.

        Parameters
        ----------
        x : array_like, shape (n,)
            Values of x; missing ones are passed over.
        df : int, optional
            Number of functions; without inner knots by default.
        degree : int
            Degree of the pieces.
        knots : array_like, optional
            Inner knots, instead of `df`.
        boundary : (float, float), optional
            Ends of the domain; the smallest and the largest x by default.
        extrapolate : str, optional
            What the functions are beyond the domain.

        Raises
        ------
        KnotError
            There are too few distinct x, or quantiles coincide because of repeated ones.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis.from_data([0, 1, 2, 4, 8], df=5).knots
        array([0., 0., 0., 0., 2., 8., 8., 8., 8.])
        """
        degree = check_order(degree, "degree", 0, HIGHEST_DEGREE)
        n_inner = 0 if df is None else n_inner_for(df, cls._fewest(degree), f"{with_article(cls.__name__)} of degree {degree}")
        points, ends = data_and_boundary(x, boundary)
        inner = quantile_knots(cls._quantile_data(points, ends), n_inner, ends) if knots is None else given_knots(knots)
        if df is not None and knots is not None and len(inner) != n_inner:
            raise KnotError(f"df={df} asks for {n_inner} inner knots, and {len(inner)} are given; pass one of df and knots")
        return cls._of(inner, ends, degree, **_given(extrapolate=extrapolate))

    @classmethod
    @quiet
    def uniform(cls, lower: float, upper: float, n_segments: int, degree: int = 3, extrapolate: str | None = None) -> Self:
        """Make a basis with evenly spaced knots.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis.uniform(0, 1, 4).inner_knots
        array([0.25, 0.5 , 0.75])
        """
        degree = check_order(degree, "degree", 0, HIGHEST_DEGREE)
        ends = check_boundary((lower, upper))
        segments = check_order(n_segments, "n_segments", 1, 2**31)
        check_memory(PER_KNOT * segments, f"a basis of n_segments = {segments}", "pass fewer")
        return cls._of(np.linspace(*ends, segments + 1)[1:-1], ends, degree, **_given(extrapolate=extrapolate))

    @property
    def inner_knots(self) -> FloatArray:
        """The knots strictly inside the domain, with repetitions."""
        lower, upper = self.domain
        return self.knots[(self.knots > lower) & (self.knots < upper)]

    @quiet
    def insert(self, knots: Any) -> Self:
        """Return the basis with more knots, which spans every spline of this one.

        Parameters
        ----------
        knots : array_like
            Further knots inside the domain.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis([0, 0, 1, 1], degree=1).insert([0.25, 0.5]).knots
        array([0.  , 0.  , 0.25, 0.5 , 1.  , 1.  ])
        """
        further, _ = to_floats(knots, "knots")
        lower, upper = self.domain
        outside = ~((further > lower) & (further < upper))
        if outside.any():
            i = first_index(outside)
            raise KnotError(f"knots[{i}] = {further[i]} is not inside the domain ({lower}, {upper})")
        finer: Self = replace(cast(Any, self), knots=np.sort(np.concatenate([self.knots, further])))
        return finer

    @quiet
    def refine(self, n: int = 2) -> Self:
        """Return the basis with every piece cut into `n` equal ones.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis.uniform(0, 1, 2).refine(2).inner_knots
        array([0.25, 0.5 , 0.75])
        """
        n = check_order(n, "n", 1, 2**20)
        shares = np.arange(1, n) / n
        breaks = np.unique(np.concatenate([self.domain, self.inner_knots]))
        check_memory(PER_KNOT * n * len(breaks), f"a basis of {len(breaks) - 1} pieces cut into n = {n} each", "pass a smaller n")
        return self.insert((breaks[:-1, None] + np.diff(breaks)[:, None] * shares).ravel())


class FullKnotsBasis(SplineBasis):
    """A basis on full knots for splines of its degree: a frozen dataclass that starts with knots, degree and extrapolate."""

    @quiet
    def __post_init__(self) -> None:
        degree = check_order(self.degree, "degree", 0, HIGHEST_DEGREE)
        object.__setattr__(self, "degree", degree)
        object.__setattr__(self, "knots", frozen(check_knots(self.knots, degree)))
        object.__setattr__(self, "extrapolate", check_mode(self.extrapolate))

    @classmethod
    def _of(cls, inner: FloatArray, ends: tuple[float, float], degree: int, **options: str) -> Self:
        make: Any = cls
        made: Self = make(clamped(inner, ends, degree), degree, **options)
        return made

    @classmethod
    def _fewest(cls, degree: int) -> int:
        return degree + 1


def _given(**options: str | None) -> dict[str, str]:
    """The options that are not None; the others keep the default of the class."""
    return {name: value for name, value in options.items() if value is not None}
