"""Bases made of B-splines: every function is a combination of a few of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy.linalg import null_space, svdvals
from scipy.sparse import block_diag, csr_array, eye_array

from .._entry import quiet
from .._validation import FloatArray, check_order, shown, to_numbers
from ..errors import SpecificationError
from .base import Basis
from .bspline import HIGHEST_DERIVATIVE, BSplineBasis
from .knots import power_of_two


class RecombinedBasis(Basis):
    """A basis whose functions are the columns of B-splines times a matrix; derivatives, integrals and penalties follow."""

    @property
    @abstractmethod
    def parent(self) -> BSplineBasis:
        """The B-splines of which the functions are combinations."""

    @property
    @abstractmethod
    def matrix(self) -> csr_array:
        """Coefficients of the functions: (parent.n_basis, n_basis)."""

    @property
    def n_basis(self) -> int:
        """Number of basis functions, the columns of `matrix`."""
        return int(self.matrix.shape[1])

    @property
    def domain(self) -> tuple[float, float]:
        return self.parent.domain

    @property
    @quiet
    def greville(self) -> FloatArray:
        """Location of each function (n_basis,): means of those of the B-splines in them, weighted by their coefficients."""
        return weighted_abscissae(self.parent, self.matrix)

    def _design(self, x: Any, deriv: int) -> csr_array:
        deriv = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        if deriv > self.parent.degree:
            return csr_array(self.parent.design(x, deriv) @ self.matrix)
        if deriv not in self._derivatives:
            self._derivatives[deriv] = self.parent.derivative_basis(deriv, self.matrix)
        lower, matrix = self._derivatives[deriv]
        return csr_array(lower.design(x) @ matrix)

    @cached_property
    def _derivatives(self) -> dict[int, tuple[BSplineBasis, csr_array]]:
        """B-splines of lower degree and what combines them to derivatives, by their order."""
        return {}

    def _integral(self, lower: Any, upper: Any) -> csr_array:
        return csr_array(self.parent.integral(lower, upper, sparse=True) @ self.matrix)

    def _penalty(self, order: int) -> csr_array:
        return self.parent.gram(order, self.matrix)


def weighted_abscissae(parent: BSplineBasis, matrix: csr_array) -> FloatArray:
    """Means of the Greville abscissae of B-splines, weighted by the sizes of the coefficients in each column."""
    weights = abs(matrix)
    return np.asarray((weights.T @ parent.greville) / weights.sum(axis=0))


Condition = Mapping[int, float] | Sequence[float]


@dataclass(frozen=True, eq=False)
class BoundaryConditionBasis(RecombinedBasis):
    """The splines of a basis that satisfy homogeneous linear conditions at the ends of its domain.

    Each condition is sum_k w_k f^(k)(end) = 0. Only the functions that reach an end are combined, orthonormally in their
    coefficients, so that the basis stays banded.

    Parameters
    ----------
    bsplines : BSplineBasis
        The basis without conditions.
    left, right : sequence of conditions
        Each a mapping from the order of a derivative to its weight, or the sequence of weights of f, f', f'', ....

    Raises
    ------
    SpecificationError
        Orders beyond the degree, or conditions that depend on one another.

    Examples
    --------
    Splines that start at zero and end with zero slope:

    >>> import smoothfit as sf
    >>> basis = sf.BoundaryConditionBasis(sf.BSplineBasis.uniform(0, 1, 4), left=[{0: 1.0}], right=[{1: 1.0}])
    >>> basis.n_basis
    5
    >>> float(abs(basis.design([0.0], sparse=False)).max()), float(abs(basis.design([1.0], 1, sparse=False)).max()) < 1e-13
    (0.0, True)
    """

    bsplines: BSplineBasis
    left: Sequence[Condition] = ()
    right: Sequence[Condition] = ()

    @quiet
    def __post_init__(self) -> None:
        if not isinstance(self.bsplines, BSplineBasis):
            raise SpecificationError(f"bsplines is {type(self.bsplines).__name__}; pass a BSplineBasis")
        degree = self.bsplines.degree
        for side in ("left", "right"):
            given = getattr(self, side)
            if not is_sequence(given):
                raise SpecificationError(f"{side} is {shown(given)}; pass a sequence of conditions, such as [{{0: 1.0}}]")
            conditions = tuple(_weights(c, degree, f"{side}[{i}]") for i, c in enumerate(given))
            object.__setattr__(self, side, conditions)
        if self.n_basis == 0:
            raise SpecificationError("the boundary conditions leave no function; drop one, or add knots")

    @property
    def parent(self) -> BSplineBasis:
        """The B-splines before the conditions."""
        return self.bsplines

    @property
    def extrapolate(self) -> str:
        """What the functions are beyond the domain."""
        return self.bsplines.extrapolate

    @cached_property
    @quiet
    def matrix(self) -> csr_array:
        """Coefficients of the functions: (parent.n_basis, n_basis)."""
        n = self.parent.n_basis
        lower, upper = self.parent.domain
        left, right = self._rows(self.left, lower), self._rows(self.right, upper)
        first = _reach(left)
        last = _reach(right[:, ::-1])
        if first + last >= n:  # the two ends share functions
            return csr_array(_null_space(np.vstack([left, right])))
        middle = eye_array(n - first - last)
        return csr_array(block_diag([_null_space(left[:, :first]), middle, _null_space(right[:, n - last :])]))

    @property
    def knots(self) -> FloatArray:
        """Full knots of the B-splines."""
        return self.bsplines.knots

    @property
    def inner_knots(self) -> FloatArray:
        """The knots strictly inside the domain, with repetitions."""
        return self.bsplines.inner_knots

    @property
    def degree(self) -> int:
        """Degree of the polynomial pieces."""
        return self.bsplines.degree

    def insert(self, knots: Any) -> Self:
        """Return the basis with more knots and the same conditions.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BoundaryConditionBasis(sf.BSplineBasis.uniform(0, 1, 2), left=[{0: 1.0}])
        >>> finer = basis.insert(0.25)
        >>> finer.inner_knots, bool(finer.design([0]).nnz)
        (array([0.25, 0.5 ]), False)
        """
        return replace(self, bsplines=self.bsplines.insert(knots))

    def refine(self, n: int = 2) -> Self:
        """Return the basis with every piece cut into n, and the same conditions.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BoundaryConditionBasis(sf.BSplineBasis.uniform(0, 1, 2), left=[{0: 1.0}])
        >>> basis.n_basis, basis.refine(2).n_basis
        (4, 6)
        """
        return replace(self, bsplines=self.bsplines.refine(n))

    def elevate(self, k: int = 1) -> Self:
        """Return the basis with pieces of degree + k and the same conditions.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BoundaryConditionBasis(sf.BSplineBasis.uniform(0, 1, 2), left=[{0: 1.0}])
        >>> basis.elevate().degree
        4
        """
        return replace(self, bsplines=self.bsplines.elevate(k))

    def _rows(self, conditions: Sequence[Condition], end: float) -> FloatArray:
        rows = np.zeros((len(conditions), self.parent.n_basis))
        for i, condition in enumerate(conditions):
            assert isinstance(condition, Mapping)  # since __post_init__
            unit = power_of_two(max(abs(weight) for weight in condition.values()))
            for order, weight in condition.items():
                rows[i] += weight / unit * self.parent.design([end], order, sparse=False)[0]
        return rows


def _weights(condition: Any, degree: int, argument: str) -> dict[int, float]:
    """A condition as order -> weight."""
    if not isinstance(condition, Mapping) and not is_sequence(condition):
        raise SpecificationError(f"{argument} is {shown(condition)}; pass order -> weight, or the weights of f, f', ...")
    given = dict(condition) if isinstance(condition, Mapping) else dict(enumerate(condition))
    numbers = (int, float, np.integer, np.floating)
    if not all(isinstance(w, numbers) for w in given.values()):
        raise SpecificationError(f"{argument} is {shown(condition)}; weights are numbers")
    kept = {check_order(order, f"an order in {argument}", 0, degree): w for order, w in given.items() if w != 0}
    weights = dict(zip(kept, to_numbers(list(kept.values()), argument).tolist(), strict=True))
    if not weights or not np.isfinite(list(weights.values())).all():
        raise SpecificationError(f"{argument} is {shown(condition)}; pass finite weights, one of them not zero")
    return weights


def is_sequence(given: Any) -> bool:
    """Whether something is an ordered sequence other than a string."""
    return (isinstance(given, Sequence) and not isinstance(given, str)) or (isinstance(given, np.ndarray) and given.ndim > 0)


def _reach(rows: FloatArray) -> int:
    """How many first columns the conditions involve."""
    used = np.flatnonzero(rows.any(axis=0))
    return int(used[-1]) + 1 if len(used) else 0


def _null_space(rows: FloatArray) -> FloatArray:
    """Orthonormal coefficients that satisfy conditions."""
    if not rows.size:
        return np.eye(rows.shape[1])
    scaled = rows / np.abs(rows).max(axis=1, keepdims=True)
    size = svdvals(scaled)
    if len(scaled) > scaled.shape[1] or size[-1] <= 1e-13 * size[0]:
        raise SpecificationError(
            f"the {len(scaled)} boundary conditions on {scaled.shape[1]} functions depend on one another; drop one, or add knots"
        )
    return np.asarray(null_space(scaled))
