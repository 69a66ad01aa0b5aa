"""Sums, products, antiderivatives and compositions of combinations of B-splines: their bases and coefficients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._validation import FloatArray, first_index
from ..errors import KnotError, SpecificationError
from .bernstein import bernstein_coefficients, blossom, coefficients_of_pieces, product
from .bspline import BSplineBasis
from .extrapolation import OF_ANTIDERIVATIVE
from .knots import HIGHEST_DEGREE, supports


class Combination(NamedTuple):
    """B-splines and their coefficients (n_basis, ...)."""

    basis: BSplineBasis
    coef: FloatArray

    @property
    def pieces(self) -> FloatArray:
        """Bernstein coefficients on every piece, (n_pieces, degree + 1, ...)."""
        basis = self.basis
        return bernstein_coefficients(basis.knots, self.coef, basis.degree, basis.span)

    def pieces_between(self, breaks: FloatArray) -> FloatArray:
        """Bernstein coefficients between breaks, among which are those of the basis."""
        basis = self.basis
        span = basis.span[np.searchsorted(basis.breaks, breaks[:-1], side="right") - 1]
        ends = [[breaks[:-1]] * (basis.degree - k) + [breaks[1:]] * k for k in range(basis.degree + 1)]
        return np.stack([blossom(basis.knots, self.coef, basis.degree, span, corner) for corner in ends], axis=1)

    def within(self, finer: BSplineBasis) -> Combination:
        """The same function in a basis that has this one's knots, and more, or a higher degree."""
        matrix, flat = self.basis.matrix_to(finer), self.coef.reshape(len(self.coef), -1)
        return Combination(finer, np.asarray(matrix @ flat).reshape(-1, *self.coef.shape[1:]))

    def clamped(self, degree: int) -> Combination:
        """The same function of a degree, its end knots degree + 1 times."""
        found, basis = self, self.basis
        lower, upper = basis.domain
        knots = np.concatenate([np.full(basis.degree + 1, lower), basis.inner_knots, np.full(basis.degree + 1, upper)])
        if not np.array_equal(knots, basis.knots):
            coef = coefficients_of_pieces(knots, basis.degree, basis.breaks, self.pieces)
            found = Combination(replace(basis, knots=knots), coef)
        return found.within(found.basis.elevate(degree - basis.degree)) if degree > basis.degree else found


def _check_domains(a: Combination, b: Combination) -> None:
    if a.basis.domain != b.basis.domain:
        raise KnotError(f"the splines have the domains {a.basis.domain} and {b.basis.domain}; they combine on one domain")


def _multiplicity(basis: BSplineBasis, places: FloatArray) -> Any:
    """How often each place is a knot."""
    return np.searchsorted(basis.knots, places, side="right") - np.searchsorted(basis.knots, places, side="left")


def sum_of(a: Combination, b: Combination) -> Combination:
    """The sum, on one domain, in the smallest basis that has both."""
    _check_domains(a, b)
    if a.basis.degree != b.basis.degree or not np.array_equal(a.basis.knots, b.basis.knots):
        degree = max(a.basis.degree, b.basis.degree)
        a, b = a.clamped(degree), b.clamped(degree)
        distinct = np.unique(np.concatenate([a.basis.inner_knots, b.basis.inner_knots]))
        counts = np.maximum(_multiplicity(a.basis, distinct), _multiplicity(b.basis, distinct))
        a, b = (one.within(one.basis.insert(np.repeat(distinct, counts - _multiplicity(one.basis, distinct)))) for one in (a, b))
    return Combination(a.basis, a.coef + b.coef)


def product_of(a: Combination, b: Combination) -> Combination:
    """The product, on one domain; degrees add."""
    _check_domains(a, b)
    degree = a.basis.degree + b.basis.degree
    if degree > HIGHEST_DEGREE:
        raise SpecificationError(f"the product would have degree {degree}; splines end at {HIGHEST_DEGREE}")
    lower, upper = a.basis.domain
    breaks = np.unique(np.concatenate([a.basis.breaks, b.basis.breaks]))
    pieces = product(a.pieces_between(breaks), b.pieces_between(breaks))
    distinct, continuity = breaks[1:-1], []
    for basis in (a.basis, b.basis):
        counts = _multiplicity(basis, distinct)
        continuity.append(np.where(counts > 0, basis.degree - counts, HIGHEST_DEGREE))
    inner = np.repeat(distinct, degree - np.minimum(*continuity))
    knots = np.concatenate([np.full(degree + 1, lower), inner, np.full(degree + 1, upper)])
    return Combination(BSplineBasis(knots, degree, a.basis.extrapolate), coefficients_of_pieces(knots, degree, breaks, pieces))


def running_integral(a: Combination) -> Combination:
    """An antiderivative, of degree + 1; beyond the domain it follows a where some extrapolation does."""
    basis, coef = a
    if basis.degree == HIGHEST_DEGREE:
        raise SpecificationError(f"the spline has degree {basis.degree}, the highest; integrate it over intervals instead")
    width = supports(basis.knots, basis.degree).reshape(-1, *(1,) * (coef.ndim - 1))
    sums = np.concatenate([np.zeros((1, *coef.shape[1:])), np.cumsum(coef * width / (basis.degree + 1), axis=0)])
    mode = OF_ANTIDERIVATIVE.get(basis.extrapolate, basis.extrapolate)
    padded = np.concatenate([basis.knots[:1], basis.knots, basis.knots[-1:]])
    return Combination(BSplineBasis(padded, basis.degree + 1, mode), sums)


def composed(a: Combination, scale: float, shift: float) -> Combination:
    """The function x -> a(scale x + shift)."""
    given, coef = a.basis.knots, a.coef
    knots = (given - shift) / scale
    lost = (np.diff(knots) == 0) & (np.diff(given) > 0)
    if lost.any():
        i = first_index(lost)
        raise KnotError(f"knots[{i}] and knots[{i + 1}] fall together at {knots[i]}; choose a smaller shift, or another scale")
    if scale < 0:
        knots, coef = knots[::-1], coef[::-1]
    return Combination(replace(a.basis, knots=knots), coef)
