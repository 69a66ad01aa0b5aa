"""Tensor products: bases of functions of several variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from scipy.interpolate import NdBSpline, NdPPoly

from .._entry import quiet
from .._validation import (
    FloatArray,
    Frozen,
    check_finite,
    check_flag,
    check_memory,
    check_order,
    described,
    frozen,
    shown,
    to_numbers,
)
from ..errors import DataError, NumericalError, SpecificationError
from .base import Basis
from .bspline import HIGHEST_DERIVATIVE, BSplineBasis
from .conversion import of_surface
from .recombined import RecombinedBasis, is_sequence
from .sparse import kronecker_products, row_products, to_dense
from .spline import Spline


@dataclass(frozen=True, eq=False, init=False)
class TensorProductBasis(Frozen):
    """Products b_i(x_1) c_j(x_2) ... of the functions of several bases, the last index fastest.

    Parameters
    ----------
    *factors : Basis
        A basis for each variable, two or more.

    Examples
    --------
    >>> import smoothfit as sf
    >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
    >>> sf.TensorProductBasis(line, line).design([[0.25, 0.5]], sparse=False)
    array([[0.375, 0.375, 0.125, 0.125]])
    """

    factors: tuple[Basis, ...]

    def __init__(self, *factors: Basis):
        for i, factor in enumerate(factors):
            if not isinstance(factor, Basis):
                raise SpecificationError(
                    f"factor {i} is {type(factor).__name__}; pass bases, one for each variable: (first, second)"
                )
        if len(factors) < 2:
            raise SpecificationError(f"{len(factors)} basis is given; a tensor product has two or more")
        object.__setattr__(self, "factors", tuple(factors))

    @property
    def n_variables(self) -> int:
        """Number of variables d, one for each factor."""
        return len(self.factors)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of functions in each variable; coefficients (n_basis,) reshape to it."""
        return tuple(factor.n_basis for factor in self.factors)

    @property
    def n_basis(self) -> int:
        """Number of functions, the product of `shape`."""
        return prod(self.shape)

    @property
    def domain(self) -> tuple[tuple[float, float], ...]:
        """The interval of each variable."""
        return tuple(factor.domain for factor in self.factors)

    @property
    @quiet
    def greville(self) -> FloatArray:
        """Points (n_basis, d) of the functions: the Greville abscissae of their factors."""
        abscissae: list[Any] = [getattr(factor, "greville", None) for factor in self.factors]
        for i, values in enumerate(abscissae):
            if values is None:
                raise SpecificationError(f"factor {i} is {described(self.factors[i])}, which has no Greville abscissae")
        check_memory(
            24.0 * self.n_basis * self.n_variables,
            f"a grid of the points of {self.n_basis} functions",
            "use fewer knots or variables",
        )
        return np.stack([grid.ravel() for grid in np.meshgrid(*abscissae, indexing="ij")], axis=1)

    @quiet
    def design(self, x: Any, deriv: int | Sequence[int] = 0, sparse: bool = True) -> Any:
        """Return the matrix of partial derivatives at the points x.

        Parameters
        ----------
        x : array_like, shape (n, d)
            Points, one a row.
        deriv : int or sequence of d ints
            Order of the derivative by each variable; a single 0 asks for values.
        sparse : bool
            Whether to return a sparse matrix.

        Returns
        -------
        scipy.sparse.csr_array or ndarray, shape (n, n_basis)
            Row i is the Kronecker product of the rows of the factors.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> basis = sf.TensorProductBasis(line, line)
        >>> basis.design([[0.25, 0.5]], deriv=(1, 0), sparse=False)
        array([[-0.5, -0.5,  0.5,  0.5]])
        """
        points = self._points(x, "x")
        orders = self.orders(deriv)
        rows = [factor.design(points[:, i], orders[i]) for i, factor in enumerate(self.factors)]
        product = row_products(rows)
        if np.isinf(product.data).any():
            raise NumericalError(f"products of derivatives of the orders {orders} overflow; choose other units of x")
        return product if check_flag(sparse, "sparse") else to_dense(product)

    @quiet
    def integral(self, lower: Any, upper: Any, sparse: bool = False) -> Any:
        """Return the integrals of every function over the boxes from lower (n, d) to upper (n, d): (n, n_basis).

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> sf.TensorProductBasis(line, line).integral([[0, 0]], [[1, 1]])
        array([[0.25, 0.25, 0.25, 0.25]])
        """
        low, high = self._points(lower, "lower"), self._points(upper, "upper")
        rows = [factor.integral(low[:, i], high[:, i], sparse=True) for i, factor in enumerate(self.factors)]
        if len(low) != len(high) and 1 not in (len(low), len(high)):
            raise DataError(f"lower has {len(low)} rows and upper {len(high)}; pass as many of both")
        product = row_products(rows)
        return product if check_flag(sparse, "sparse") else to_dense(product)

    @quiet
    def penalty(self, order: int | Sequence[int], sparse: bool = True) -> Any:
        """Return the Gram matrix of partial derivatives of the orders given, over the whole domain.

        For the penalty of a surface add several: ``penalty((2, 0)) + 2 * penalty((1, 1)) + penalty((0, 2))``.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> sf.TensorProductBasis(line, line).penalty((1, 1), sparse=False)  # product of two [[1, -1], [-1, 1]]
        array([[ 1., -1., -1.,  1.],
               [-1.,  1.,  1., -1.],
               [-1.,  1.,  1., -1.],
               [ 1., -1., -1.,  1.]])
        """
        orders = self.orders(order)
        grams = [factor.penalty(orders[i]) for i, factor in enumerate(self.factors)]
        gram = kronecker_products(grams)
        return gram if check_flag(sparse, "sparse") else to_dense(gram)

    def _points(self, x: Any, argument: str) -> FloatArray:
        given = to_numbers(x, argument)
        points = np.atleast_2d(given)
        if points.ndim != 2 or points.shape[1] != self.n_variables:
            raise DataError(f"{argument} has shape {given.shape}; pass (n, {self.n_variables}): a point a row")
        return points

    def orders(self, orders: int | Sequence[int]) -> tuple[int, ...]:
        """Return one order for each variable; a single 0 counts for all.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> sf.TensorProductBasis(line, line).orders(0), sf.TensorProductBasis(line, line).orders([1, 0])
        ((0, 0), (1, 0))
        """
        if isinstance(orders, (int, np.integer)) and orders == 0:
            return (0,) * self.n_variables
        if not is_sequence(orders) or len(orders) != self.n_variables:  # type: ignore[arg-type]
            raise SpecificationError(
                f"{shown(orders)} does not give an order for each of {self.n_variables} variables; pass a tuple of them"
            )
        return tuple(check_order(order, "deriv", 0, HIGHEST_DERIVATIVE) for order in orders)  # type: ignore[union-attr]


AnyBasis = Basis | TensorProductBasis


@dataclass(frozen=True, eq=False)
class TensorSpline(Frozen):
    """A function of several variables, sum_ij.. coef_ij.. b_i(x_1) c_j(x_2) ...

    Parameters
    ----------
    basis : TensorProductBasis
    coef : array_like, shape (n_basis,) or basis.shape
        Coefficients.

    Examples
    --------
    >>> import smoothfit as sf
    >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
    >>> f = sf.TensorSpline(sf.TensorProductBasis(line, line), [[0, 0], [0, 1]])  # x_1 x_2
    >>> f([0.5, 0.5]), f([[0.5, 0.5], [0.5, 1]], deriv=(1, 0)), f.integrate([0, 0], [1, 1])
    (0.25, array([0.5, 1. ]), 0.25)
    """

    basis: TensorProductBasis
    coef: FloatArray

    def __post_init__(self) -> None:
        if not isinstance(self.basis, TensorProductBasis):
            raise SpecificationError(f"basis is {type(self.basis).__name__}; pass a TensorProductBasis")
        given = to_numbers(self.coef, "coef")
        if given.shape not in ((self.basis.n_basis,), self.basis.shape):
            raise SpecificationError(f"coef has shape {given.shape}; pass {self.basis.shape} or ({self.basis.n_basis},)")
        coef = given.ravel()
        check_finite(coef, "coef", "pass finite numbers")
        object.__setattr__(self, "coef", frozen(coef))

    @quiet
    def __call__(self, x: Any, deriv: int | Sequence[int] = 0) -> Any:
        """Partial derivative at x (..., d), of the orders `deriv`: shape (...)."""
        points = to_numbers(x, "x")
        if points.ndim == 0 or points.shape[-1] != self.basis.n_variables:
            raise DataError(f"x has shape {points.shape}; pass (..., {self.basis.n_variables}): a point in the last dimension")
        values = self.basis.design(points.reshape(-1, points.shape[-1]), deriv) @ self.coef
        return float(values[0]) if points.ndim == 1 else values.reshape(points.shape[:-1])

    @classmethod
    @quiet
    def from_scipy(cls, spline: Any, extrapolate: str = "error") -> TensorSpline:
        """Make a tensor spline from one of `scipy.interpolate`.

        Parameters
        ----------
        spline : NdBSpline, NdPPoly or BivariateSpline
            Also a subclass, such as RectBivariateSpline.
        extrapolate : str
            What the tensor spline is beyond its domain, as for `BSplineBasis`.

        Examples
        --------
        >>> import smoothfit as sf
        >>> from scipy.interpolate import RectBivariateSpline
        >>> f = sf.TensorSpline.from_scipy(RectBivariateSpline([0, 1], [0, 2], [[0, 0], [0, 2]], kx=1, ky=1))  # x_1 x_2
        >>> round(f([0.5, 1.0]), 12)
        0.5
        """
        bases, table = of_surface(spline, extrapolate)
        return cls(TensorProductBasis(*bases), table)

    @quiet
    def to_scipy(self) -> NdBSpline:
        """Return the same function as a `scipy.interpolate.NdBSpline`.

        It extrapolates by its end pieces if all factors do, else it is NaN beyond the domain.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> f = sf.TensorSpline(sf.TensorProductBasis(line, line), [[0, 0], [0, 1]])  # x_1 x_2
        >>> float(f.to_scipy()([0.5, 0.25]))
        0.125
        """
        spline = self.derivative((0,) * self.basis.n_variables)  # in B-splines
        bases: tuple[Any, ...] = spline.basis.factors
        extrapolate = all(basis.extrapolate == "polynomial" for basis in bases)
        table, degrees = spline.coef.reshape(spline.basis.shape), tuple(basis.degree for basis in bases)
        return NdBSpline(tuple(basis.knots.copy() for basis in bases), table, degrees, extrapolate=extrapolate)

    @quiet
    def to_ppoly(self) -> NdPPoly:
        """Return the same function as a `scipy.interpolate.NdPPoly`, powers of the distances from the start of each piece.

        It extrapolates as that of `to_scipy`.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> f = sf.TensorSpline(sf.TensorProductBasis(line, line), [[0, 0], [0, 1]])  # x_1 x_2
        >>> f.to_ppoly().c[:, :, 0, 0]
        array([[1., 0.],
               [0., 0.]])
        """
        spline = self.derivative((0,) * self.basis.n_variables)
        bases: tuple[Any, ...] = spline.basis.factors
        d, table = len(bases), spline.coef.reshape(spline.basis.shape)
        for basis in bases:  # each takes the first axis of functions, and puts one of powers and one of pieces at the end
            table = np.moveaxis(Spline(basis, table).to_ppoly().c, (0, 1), (-2, -1))
        table = np.transpose(table, (*range(0, 2 * d, 2), *range(1, 2 * d, 2)))
        extrapolate = all(basis.extrapolate == "polynomial" for basis in bases)
        return NdPPoly(np.ascontiguousarray(table), tuple(basis.breaks.copy() for basis in bases), extrapolate=extrapolate)

    @quiet
    def derivative(self, deriv: Sequence[int]) -> TensorSpline:
        """Return a partial derivative as a spline, of lower degrees; the factors are B-splines or made of them.

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> f = sf.TensorSpline(sf.TensorProductBasis(line, line), [[0, 0], [0, 1]])  # x_1 x_2
        >>> f.derivative((1, 0))([0.5, 0.25])
        0.25
        """
        factors, table = [], self.coef.reshape(self.basis.shape)
        for j, (factor, k) in enumerate(zip(self.basis.factors, self.basis.orders(deriv), strict=True)):
            if not isinstance(factor, (BSplineBasis, RecombinedBasis)):
                raise SpecificationError(f"factor {j} is {described(factor)}, which is not made of B-splines; use s(x, deriv)")
            bsplines, combined = (factor, None) if isinstance(factor, BSplineBasis) else (factor.parent, factor.matrix)
            if k > bsplines.degree:
                raise SpecificationError(
                    f"deriv is {deriv}, beyond the degree {bsplines.degree} of factor {j}; it is zero everywhere"
                )
            lower, slopes = bsplines.derivative_basis(k, combined)
            factors.append(lower)
            table = np.moveaxis(np.tensordot(slopes.toarray(), table, axes=(1, j)), 0, j)
        return TensorSpline(TensorProductBasis(*factors), table)

    @quiet
    def integrate(self, lower: Any, upper: Any) -> float:
        """Return the integral over the box from lower (d,) to upper (d,).

        Examples
        --------
        >>> import smoothfit as sf
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> f = sf.TensorSpline(sf.TensorProductBasis(line, line), [[0, 0], [0, 1]])  # x_1 x_2
        >>> f.integrate([0, 0], [1, 0.5])
        0.0625
        """
        values = self.basis.integral(lower, upper, sparse=True) @ self.coef
        if len(values) != 1:
            raise SpecificationError("the limits are those of one box; for many use basis.integral(lower, upper) @ coef")
        return float(values[0])
