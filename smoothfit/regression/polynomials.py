"""Bounds on whole intervals as polynomials that are to be nonnegative: f^(q) - lower or upper - f^(q) in Bernstein form."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, hstack

from .._validation import FloatArray, described
from ..basis import BSplineBasis, Spline
from ..basis.base import Basis
from ..basis.bernstein import binomials, blossom_weights
from ..basis.recombined import RecombinedBasis
from ..errors import SpecificationError
from ..observations import derivative_label

Limit = float | Spline
ROUNDINGS = 256  # that a sum of coefficients may be off by and still be zero


class Derived(NamedTuple):
    """Combinations of the coefficients of a derivative: weights @ those of D^deriv, of B-splines or of what `combined` makes."""

    weights: csr_array
    bsplines: BSplineBasis
    combined: csr_array | None
    deriv: int

    def rows(self, coef: FloatArray) -> FloatArray:
        """What the combinations are for coefficients (K,), and others after them."""
        own = coef[: self.bsplines.n_basis] if self.combined is None else self.combined @ coef[: self.combined.shape[1]]
        _, slopes = self.bsplines.derivative_basis(self.deriv, csr_array(own[:, None]))
        return np.asarray(self.weights @ slopes.toarray()[:, 0])

    def taken(self, rows: npt.NDArray[np.bool_]) -> Derived:
        """Some of the combinations."""
        return self._replace(weights=self.weights[rows])


class Polynomials(NamedTuple):
    """Polynomials on intervals that are to be nonnegative: (rows @ coef - bound) are their Bernstein coefficients.

    rows : csr (n (degree + 1), K), the coefficients of one interval below one another; bound : (n, degree + 1);
    lower, upper : (n,), ends of the intervals; label : what is bounded; derived : of what the rows are combinations.
    """

    rows: csr_array
    bound: FloatArray
    lower: FloatArray
    upper: FloatArray
    label: str
    derived: Derived

    @property
    def degree(self) -> int:
        """Degree of the polynomials."""
        return int(self.bound.shape[1]) - 1

    def coefficients(self, coef: FloatArray) -> FloatArray:
        """Bernstein coefficients (n, degree + 1) for a curve."""
        return np.asarray((self.rows @ coef).reshape(self.bound.shape) - self.bound)

    def about(self, coef: FloatArray) -> Polynomials:
        """The same polynomials of the difference from coefficients (K,) of the basis: what they are there becomes the bound.

        Of a derivative the coefficients are differenced first, so that their level leaves no rounding in the differences. What is
        left is zero where it is no more than the rounding of the coefficients themselves, such as the curvature of a line.
        """
        bound = self.bound - self.derived.rows(coef).reshape(self.bound.shape)
        terms = (abs(self.rows) @ np.abs(coef)).reshape(bound.shape) + np.abs(self.bound)
        return self._replace(bound=np.where(np.abs(bound) <= ROUNDINGS * np.finfo(np.float64).eps * terms, 0.0, bound))

    def beside(self, n: int) -> Polynomials:
        """The same polynomials for coefficients with n others after them, which they do not restrict."""
        empty = csr_array((self.rows.shape[0], n))
        return self._replace(rows=csr_array(hstack([self.rows, empty]))) if n else self

    @property
    def slope(self) -> float:
        """How much a coefficient moves the bounded function: the median over the pieces, which a very short one does not move."""
        return float(np.median(np.asarray(abs(self.rows).sum(axis=1)))) if self.rows.shape[0] else 0.0

    def taken(self, pieces: npt.NDArray[np.bool_]) -> Polynomials:
        """The polynomials of some intervals."""
        chosen = np.repeat(pieces, self.degree + 1)
        return self._replace(
            rows=self.rows[chosen],
            bound=self.bound[pieces],
            lower=self.lower[pieces],
            upper=self.upper[pieces],
            derived=self.derived.taken(chosen),
        )


def within(basis: Basis, on: tuple[float, float] | None) -> tuple[float, float]:
    """Ends of an interval, which lies in the domain of a basis: by default that domain."""
    lower, upper = basis.domain if on is None else on
    if lower < basis.domain[0] or upper > basis.domain[1]:
        raise SpecificationError(
            f"on = ({lower}, {upper}) leaves the domain {basis.domain} of the basis; shorten it, or widen the knots"
        )
    return lower, upper


def nonnegative(basis: Basis, deriv: int, sign: float, limit: Limit, on: tuple[float, float] | None, label: str) -> Polynomials:
    """Sign (f^(deriv) - limit) on every piece of an interval."""
    if not isinstance(basis, (BSplineBasis, RecombinedBasis)):
        raise SpecificationError(f"{described(basis)} has no pieces on which a bound could be exact; use B-splines")
    bsplines, combined = (basis, None) if isinstance(basis, BSplineBasis) else (basis.parent, basis.matrix)
    if deriv > bsplines.degree:
        raise SpecificationError(
            f"{label} bounds {derivative_label(deriv)}, which is zero everywhere for splines of degree {bsplines.degree}; use a "
            "higher degree"
        )
    lower, upper = within(basis, on)
    derivatives, slopes = bsplines.derivative_basis(deriv, combined)
    theirs = limit.bsplines.basis if isinstance(limit, Spline) else None
    if isinstance(theirs, BSplineBasis) and not theirs.domain[0] <= lower < upper <= theirs.domain[1]:
        raise SpecificationError(f"the bound is a spline on {theirs.domain}, which is not satisfied ({lower}, {upper})")
    breaks = np.concatenate([derivatives.breaks, theirs.breaks if isinstance(theirs, BSplineBasis) else np.empty(0)])
    breaks = np.unique(np.concatenate([[lower, upper], breaks[(breaks > lower) & (breaks < upper)]]))
    start, end = breaks[:-1], breaks[1:]
    degree = max(derivatives.degree, theirs.degree if isinstance(theirs, BSplineBasis) else 0)
    weights, columns = _pieces(derivatives, start, end, degree)
    shape = (weights.size // weights.shape[2], derivatives.n_basis)
    indptr = np.arange(0, weights.size + 1, weights.shape[2])
    index = np.repeat(columns, degree + 1, axis=0).ravel()
    signed = csr_array((sign * weights.ravel(), index, indptr), shape=shape)
    if isinstance(limit, Spline) and isinstance(theirs, BSplineBasis):
        own, index = _pieces(theirs, start, end, degree)
        bound = np.einsum("nkr,nr->nk", own, limit.bsplines.coef[index])
    else:
        bound = np.full((len(start), degree + 1), float(cast(float, limit)))
    derived = Derived(signed, bsplines, combined, deriv)
    return Polynomials(csr_array(signed @ slopes), sign * bound, start, end, label, derived)


def _pieces(basis: BSplineBasis, start: FloatArray, end: FloatArray, degree: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Bernstein coefficients of a degree >= basis.degree on intervals within pieces.

    Weights (n, degree + 1, basis.degree + 1) of the coefficients in columns (n, basis.degree + 1).
    """
    own = basis.degree
    span = basis.span[np.clip(np.searchsorted(basis.breaks, start, side="right") - 1, 0, len(basis.span) - 1)]
    weights = np.stack([blossom_weights(basis.knots, own, span, [start] * (own - k) + [end] * k) for k in range(own + 1)], axis=1)
    gain = degree - own
    if gain:  # b_i = sum_k C(own, k) C(gain, i - k) / C(degree, i) b_k
        elevation = np.zeros((degree + 1, own + 1))
        for i in range(degree + 1):
            for k in range(max(0, i - gain), min(own, i) + 1):
                elevation[i, k] = binomials(own)[k] * binomials(gain)[i - k] / binomials(degree)[i]
        weights = np.einsum("ik,nkr->nir", elevation, weights)
    return weights, span[:, None] - own + np.arange(own + 1)
