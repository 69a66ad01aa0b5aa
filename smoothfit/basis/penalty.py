"""What keeps a fitted spline smooth: quadratic forms c' P c in its coefficients.

Each penalty makes its matrix P for a basis; P is positive semidefinite and banded where the basis is local.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb, factorial, prod
from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array, vstack

from .._core import _kernels
from .._entry import quiet
from .._validation import EPS, FloatArray, Frozen, check_memory, check_order, described
from ..errors import KnotError, NumericalError, SpecificationError
from .base import Basis
from .bspline import HIGHEST_DERIVATIVE, BSplineBasis
from .fourier import FourierBasis
from .periodic import PeriodicBSplineBasis
from .recombined import RecombinedBasis
from .sparse import kronecker_products, to_dense
from .tensor import AnyBasis, TensorProductBasis

PER_PARTIAL = 1e4  # bytes of a partial derivative's matrix, at the least


class Penalty(Frozen, ABC):
    """A quadratic form in the coefficients of a basis."""

    @abstractmethod
    def matrix(self, basis: AnyBasis) -> csr_array:
        """Return P (n_basis, n_basis)."""

    @quiet
    def root(self, basis: AnyBasis) -> csr_array:
        """Return a matrix M (.., n_basis) with M'M = P, without the digits that a factor of P itself would lose.

        Here from the eigenvectors of P, with those whose eigenvalues are rounding left out.
        """
        values, vectors = np.linalg.eigh(to_dense(self.matrix(basis)))
        kept = values > len(values) * EPS * values[-1]
        return csr_array(np.sqrt(values[kept])[:, None] * vectors[:, kept].T)

    def untouched(self, basis: AnyBasis) -> csr_array | None:
        """Return columns (n_basis, d) that span all of c'Pc = 0, right to rounding; None if no closed form is known.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> sf.DerivativePenalty(1).untouched(basis).toarray().ravel()  # constants
        array([1., 1.])
        >>> sf.DifferentialOperatorPenalty([1.0, 1.0]).untouched(basis) is None
        True
        """
        return None

    def __add__(self, other: Any) -> PenaltySum:
        """Both penalties, each with a smoothing parameter of its own."""
        if not isinstance(other, Penalty):
            return NotImplemented
        return PenaltySum((*_terms(self), *_terms(other)))


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.penalties if isinstance(penalty, PenaltySum) else (penalty,)


def finite(matrix: csr_array) -> csr_array:
    """The matrix, if no entry has overflown."""
    if not np.isfinite(matrix.data).all():
        raise NumericalError("the penalty overflows in this unit of x; choose another, or less unequal knots, or lower weights")
    return matrix


def check_axis(axis: Any) -> int | None:
    return None if axis is None else check_order(axis, "axis", 0, 1000)


def axis_of(axis: int | None, basis: TensorProductBasis, kind: str) -> int:
    """The variable of a tensor product that a penalty of one variable is along."""
    last = basis.n_variables - 1
    if axis is None:
        raise SpecificationError(
            f"{kind} is along one variable; pass axis=0 .. {last}, and add one for each: P(axis=0) + P(axis=1)"
        )
    if axis > last:
        raise SpecificationError(f"axis is {axis}; the variables of the basis are 0 .. {last}")
    return axis


def _polynomials_below(order: int, basis: AnyBasis, axis: int | None) -> csr_array | None:
    """Coefficients of the polynomials below an order, of a variable of a tensor product times all functions of the others."""
    if isinstance(basis, TensorProductBasis):
        if axis is None:
            return None
        factors = [
            _polynomials_below(order, factor, None) if j == axis else eye_array(factor.n_basis)
            for j, factor in enumerate(basis.factors)
        ]
        return None if factors[axis] is None else kronecker_products(factors)
    if not isinstance(basis, BSplineBasis) or not 0 < order <= basis.degree:
        return None
    return csr_array(basis.polynomials(order))


def refuse_axis(axis: int | None) -> None:
    """Raise if a variable is named of a basis of one."""
    if axis is not None:
        raise SpecificationError(f"axis is {axis}, but the basis has one variable; axis is for a TensorProductBasis")


def triangle(root: csr_array) -> csr_array:
    """A root of as many rows as columns and no wider band, with the same M'M; by rotations, which keep small rows' digits."""
    n, K = root.shape
    if n <= K:
        return root
    entries = root.tocoo()
    low, high = np.full(n, K - 1), np.zeros(n, dtype=np.int64)
    np.minimum.at(low, entries.row, entries.col)
    np.maximum.at(high, entries.row, entries.col)
    width = max(1, int((high - low).max()) + 1)
    first = np.minimum(low, K - width)
    values = np.zeros((n, width))
    np.add.at(values, (entries.row, entries.col - first[entries.row]), entries.data)
    order = np.argsort(first, kind="stable")
    R = _kernels.absorb_rows(values[order], first[order], np.zeros(n), np.zeros((K, width)), np.zeros(K), 0.0)[0]
    row, offset = np.nonzero(R)
    return csr_array((R[row, offset], (row, row + offset)), shape=(K, K))


class _OfPolynomials(Penalty):
    """A penalty that leaves polynomials below an order free."""

    order: int
    axis: int | None

    def untouched(self, basis: AnyBasis) -> csr_array | None:
        """Return the polynomials below `order`, of B-splines.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2)
        >>> sf.DerivativePenalty(2).untouched(basis).toarray()  # 1 and 2 x - 1
        array([[ 1., -1.],
               [ 1.,  0.],
               [ 1.,  1.]])
        """
        return _polynomials_below(self.order, basis, self.axis)


@dataclass(frozen=True, eq=False)
class DerivativePenalty(_OfPolynomials):
    """The integral of the squared derivative, int (D^order f)^2 over the domain; its null space are polynomials below `order`.

    Parameters
    ----------
    order : int
        Order m of the derivative.
    axis : int, optional
        Of a tensor product: the variable by which derivatives are taken. None: all partial derivatives of total order m, as of a
        thin plate, sum_|a|=m m!/a! int (D^a f)^2, whose balance depends on the units of the variables; that of a sum of
        penalties along each variable, ``DerivativePenalty(2, axis=0) + DerivativePenalty(2, axis=1)``, does not.

    Examples
    --------
    >>> import smoothfit as sf
    >>> P = sf.DerivativePenalty(2).matrix(sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2))
    >>> P.toarray()  # of f = x^2, with coefficients 0, 0, 1, the integral of 2^2
    array([[ 4., -8.,  4.],
           [-8., 16., -8.],
           [ 4., -8.,  4.]])
    """

    order: int = 2
    axis: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", check_order(self.order, "order", 0, HIGHEST_DERIVATIVE))
        object.__setattr__(self, "axis", check_axis(self.axis))

    def _partials(self, basis: TensorProductBasis) -> list[tuple[int, tuple[int, ...]]]:
        """Weights and orders of the partial derivatives that are penalised."""
        d, m = basis.n_variables, self.order
        if self.axis is not None:
            axis = axis_of(self.axis, basis, "the penalty")
            return [(1, tuple(m * (j == axis) for j in range(d)))]
        check_memory(
            PER_PARTIAL * comb(m + d - 1, m), f"a penalty of order {m} of {d} variables", "pass axis=, one penalty for each"
        )
        # m stars and d - 1 bars: the numbers of stars between them are the orders
        places = (np.array([-1, *bars, m + d - 1]) for bars in combinations(range(m + d - 1), d - 1))
        several = [tuple((np.diff(place) - 1).tolist()) for place in places]
        return [(factorial(m) // prod(map(factorial, orders)), orders) for orders in several]

    @quiet
    def matrix(self, basis: AnyBasis) -> csr_array:
        """Return P (n_basis, n_basis).

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.DerivativePenalty(1).matrix(sf.BSplineBasis([0, 0, 1, 1], degree=1)).toarray()
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        if isinstance(basis, TensorProductBasis):
            grams: Any = [weight * basis.penalty(orders) for weight, orders in self._partials(basis)]
            return csr_array(sum(grams[1:], start=grams[0]))
        if not isinstance(basis, Basis):
            raise SpecificationError(f"basis is {type(basis).__name__}; pass a basis")
        refuse_axis(self.axis)
        return basis.penalty(self.order)

    @quiet
    def root(self, basis: AnyBasis) -> csr_array:
        """Return M (.., n_basis) with M'M = P: derivatives at Gauss-Legendre nodes, which are exact here, times weights.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis, penalty = sf.BSplineBasis([0, 0, 1, 1], degree=1), sf.DerivativePenalty(1)
        >>> M = penalty.root(basis)
        >>> (M.T @ M).toarray().round(12)
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        if isinstance(basis, TensorProductBasis):
            parts = []
            for weight, orders in self._partials(basis):
                factors = [DerivativePenalty(k).root(factor) for k, factor in zip(orders, basis.factors, strict=True)]
                parts.append(np.sqrt(weight) * kronecker_products([triangle(factor) for factor in factors]))
            return csr_array(vstack(parts))
        refuse_axis(self.axis)
        if isinstance(basis, FourierBasis):
            return csr_array(diags_array(np.sqrt(basis.penalty(self.order).diagonal())))
        if not isinstance(basis, (BSplineBasis, RecombinedBasis)):
            return super().root(basis)
        bsplines, combined = (basis, None) if isinstance(basis, BSplineBasis) else (basis.parent, basis.matrix)
        if self.order > bsplines.degree:
            return csr_array((1, basis.n_basis))
        derivatives, slopes = bsplines.derivative_basis(self.order, combined)
        nodes, weights = np.polynomial.legendre.leggauss(derivatives.degree + 1)
        roots = np.sqrt(np.diff(derivatives.breaks)[:, None] * weights / 2).ravel()
        return finite(csr_array(diags_array(roots) @ derivatives.rows_within((nodes + 1) / 2) @ slopes))


@dataclass(frozen=True, eq=False)
class DifferencePenalty(_OfPolynomials):
    """Sum of squared differences of B-spline coefficients, weighted so that polynomials below `order` stay unpenalised.

    The differences are the coefficients of the derivative of that order (general differences, Li & Cao 2022, "General P-splines
    for non-uniform B-splines"), in units of the mean width w of a piece: P = w^(2 order) D'D. With even knots they are, away from
    clamped ends, the plain differences of Eilers & Marx (1996).

    Parameters
    ----------
    order : int
        Order m of the differences, at most the degree.
    axis : int, optional
        Of a tensor product: the variable along which differences are taken, of every row of coefficients (Eilers, Currie &
        Durbán 2006, "Fast and compact smoothing on large multidimensional grids"). The coefficients are those of B-splines whose
        knots go on evenly beyond the ends, also if those of the factors are clamped: with even knots P is their D'D x I,
        as of R's ``te(bs = "ps")``.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> basis = sf.BSplineBasis([0, 1, 2, 3, 4, 5, 6, 7], degree=2)
    >>> sf.DifferencePenalty(2).matrix(basis).toarray()
    array([[ 1., -2.,  1.,  0.,  0.],
           [-2.,  5., -4.,  1.,  0.],
           [ 1., -4.,  6., -4.,  1.],
           [ 0.,  1., -4.,  5., -2.],
           [ 0.,  0.,  1., -2.,  1.]])
    """

    order: int = 2
    axis: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", check_order(self.order, "order", 1, HIGHEST_DERIVATIVE))
        object.__setattr__(self, "axis", check_axis(self.axis))

    @quiet
    def differences(self, basis: AnyBasis) -> csr_array:
        """Return D w^order: (n_rows, n_basis).

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 1, 2, 3, 4, 5, 6], degree=2)
        >>> sf.DifferencePenalty(2).differences(basis).toarray()
        array([[ 1., -2.,  1.,  0.],
               [ 0.,  1., -2.,  1.]])
        """
        if isinstance(basis, TensorProductBasis):
            axis, factors = axis_of(self.axis, basis, "DifferencePenalty"), enumerate(basis.factors)
            return kronecker_products([self._along(f) if j == axis else _unclamped(f)[1] for j, f in factors])
        refuse_axis(self.axis)
        if not isinstance(basis, (BSplineBasis, RecombinedBasis)):
            raise SpecificationError(f"{described(basis)} is not made of B-splines; use DerivativePenalty")
        bsplines = basis if isinstance(basis, BSplineBasis) else basis.parent
        if self.order > bsplines.degree:
            raise SpecificationError(
                f"order is {self.order}, above the degree {bsplines.degree} of the splines, which contain no such polynomials; "
                "lower the order"
            )
        width = (bsplines.domain[1] - bsplines.domain[0]) / len(bsplines.span)
        unit = 2.0 ** round(np.log2(width))  # in it no power of a width overflows, and no digit changes
        with np.errstate(all="ignore"):
            scaled, knots = width / unit, bsplines.knots / unit
            narrow = (np.diff(bsplines.knots) > 0) & ~(np.diff(knots) >= np.finfo(np.float64).tiny)
            if isinstance(basis, PeriodicBSplineBasis):
                slopes = _round_the_period(basis, knots[basis.degree :], self.order)
            elif not narrow.any():
                combined = basis.matrix if isinstance(basis, RecombinedBasis) else None
                slopes = replace(bsplines, knots=knots).derivative_basis(self.order, combined)[1]
            result = csr_array((1, basis.n_basis)) if narrow.any() else csr_array(slopes * scaled**self.order)
        if narrow.any() or not np.isfinite(result.data).all():
            raise KnotError(
                f"differences of order {self.order} overflow: pieces are from {np.diff(bsplines.breaks).min():.3g} to "
                f"{np.diff(bsplines.breaks).max():.3g} wide; choose less unequal knots, or transform x, for example to log x"
            )
        return result

    def _along(self, factor: Basis) -> csr_array:
        """The differences along a variable of a tensor product, of coefficients of B-splines without clamped ends."""
        bsplines, coefficients = _unclamped(factor)
        own = DifferencePenalty(self.order)
        return own.differences(factor) if bsplines is None else csr_array(own.differences(bsplines) @ coefficients)

    @quiet
    def matrix(self, basis: AnyBasis) -> csr_array:
        """Return P (n_basis, n_basis).

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 1, 2, 3, 4, 5], degree=2)
        >>> sf.DifferencePenalty(1).matrix(basis).toarray()
        array([[ 1., -1.,  0.],
               [-1.,  2., -1.],
               [ 0., -1.,  1.]])
        """
        differences = self.differences(basis)
        with np.errstate(all="ignore"):
            result = csr_array(differences.T @ differences)
        return finite(result)

    def root(self, basis: AnyBasis) -> csr_array:
        """Return M (.., n_basis) with M'M = P: the differences.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 1, 2, 3, 4, 5], degree=2)
        >>> sf.DifferencePenalty(1).root(basis).toarray()
        array([[-1.,  1.,  0.],
               [ 0., -1.,  1.]])
        """
        return self.differences(basis)


def _unclamped(factor: Basis) -> tuple[BSplineBasis | None, csr_array]:
    """B-splines without clamped ends that a basis is made of, and the matrix of their coefficients; None and its own for others."""
    if not isinstance(factor, (BSplineBasis, RecombinedBasis)) or isinstance(factor, PeriodicBSplineBasis):
        return None, csr_array(eye_array(factor.n_basis))
    bsplines, coefficients = (factor if isinstance(factor, BSplineBasis) else factor.parent).unclamped()
    return bsplines, csr_array(coefficients @ factor.matrix) if isinstance(factor, RecombinedBasis) else coefficients


def _round_the_period(basis: PeriodicBSplineBasis, knots: FloatArray, order: int) -> csr_array:
    """The weighted differences of every coefficient and the ones before it, the first one's being the last.

    The knots are those from the first one of the period on.
    """
    n = basis.n_basis
    matrix: Any = csr_array(basis.matrix[basis.degree : basis.degree + n])  # the scale of the functions that start in the period
    before = np.roll(np.arange(n), 1)
    for degree in range(basis.degree, basis.degree - order, -1):
        width = knots[degree : degree + n] - knots[:n]
        rate = np.divide(degree, width, out=np.zeros(n), where=width > 0)
        matrix = diags_array(rate) @ (matrix - matrix[before])
    return csr_array(matrix)


@dataclass(frozen=True, eq=False)
class PenaltySum(Penalty):
    """Several penalties, each of which gets a smoothing parameter of its own in a fit; made by ``+``.

    Examples
    --------
    >>> import smoothfit as sf
    >>> basis = sf.BSplineBasis([0, 0, 1, 1], degree=1)
    >>> (sf.DerivativePenalty(1) + sf.DerivativePenalty(0)).matrix(basis).toarray().round(4)
    array([[ 1.3333, -0.8333],
           [-0.8333,  1.3333]])
    """

    penalties: tuple[Penalty, ...]

    @quiet
    def matrix(self, basis: AnyBasis) -> csr_array:
        """Return the sum of the P, at equal smoothing parameters."""
        return csr_array(sum((penalty.matrix(basis) for penalty in self.penalties[1:]), start=self.penalties[0].matrix(basis)))
