"""B-splines: the basis of all splines of a degree with given knots."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Self

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array, eye_array

from .._core import _kernels
from .._entry import quiet
from .._validation import FloatArray, IntArray, check_memory, check_order, first_index, frozen, to_floats, view_floats
from ..errors import DataError, KnotError, NumericalError, SpecificationError
from .base import FullKnotsBasis
from .bernstein import binomials, blossom_weights, extraction
from .extrapolation import OF_DERIVATIVE, brought_inside, outside_error
from .knots import HIGHEST_DEGREE
from .sparse import ENTRY, rows_of, spread

CELLS_PER_PIECE = 2  # of the table that finds the piece of an x
HIGHEST_DERIVATIVE = 1000
ROUNDED = 1e-14  # of a weight in a change of coefficients: nothing


@dataclass(frozen=True, eq=False)
class BSplineBasis(FullKnotsBasis):
    """B-splines of a degree on a full knot vector.

    On the domain, from ``knots[degree]`` to ``knots[-degree - 1]``, the functions are nonnegative and sum to one; at most
    degree + 1 of them differ from zero at any x.

    Parameters
    ----------
    knots : array_like, shape (n_basis + degree + 1,)
        Full knots, non-decreasing, in units of x; clamped (the ends degree + 1 times) or not. Repeating a knot lowers the
        continuity there by one each time; it may stand degree + 1 times.
    degree : int
        Degree of the pieces, 0 to 10.
    extrapolate : {"error", "polynomial", "linear", "constant", "zero", "nan", "periodic"}
        What the functions are beyond the domain: by default there are none, and an x there is an error. Derivatives follow.

    Raises
    ------
    KnotError
        Knots that decrease, are too few, or are repeated too often; the first bad index is named.

    References
    ----------
    C. de Boor (1978), *A Practical Guide to Splines*.

    Examples
    --------
    >>> import smoothfit as sf
    >>> basis = sf.BSplineBasis([0, 0, 0, 0, 0.5, 1, 1, 1, 1])
    >>> basis.n_basis, basis.domain
    (5, (0.0, 1.0))
    >>> basis.design([0.25, 1], deriv=1, sparse=False)
    array([[-1.5  , -0.375,  1.5  ,  0.375,  0.   ],
           [ 0.   ,  0.   ,  0.   , -6.   ,  6.   ]])
    """

    knots: FloatArray
    degree: int = 3
    extrapolate: str = "error"

    @property
    def n_basis(self) -> int:
        """Number of basis functions, len(knots) - degree - 1."""
        return len(self.knots) - self.degree - 1

    @property
    def domain(self) -> tuple[float, float]:
        """The interval on which the B-splines sum to one."""
        return float(self.knots[self.degree]), float(self.knots[-self.degree - 1])

    @property
    @quiet
    def greville(self) -> FloatArray:
        """Greville abscissae (n_basis,): the coefficients of the function x; means of `degree` neighbouring knots."""
        n, degree = self.n_basis, self.degree
        if degree == 0:
            return self.knots[:-1] / 2 + self.knots[1:] / 2
        return sum((self.knots[1 + r : 1 + r + n] / degree for r in range(degree)), start=np.zeros(n))

    def polynomials(self, order: int) -> FloatArray:
        """Return coefficients (n_basis, order) of 1, u, .., u^(order - 1), order <= degree + 1, u from -1 to 1 on the domain.

        The blossom of u^k is the mean of the products of k different arguments, which are here the inner knots of a function.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis([0, 0, 1, 3, 3], degree=1).polynomials(2).round(4)  # of 1 and of u = (2 x - 3) / 3
        array([[ 1.    , -1.    ],
               [ 1.    , -0.3333],
               [ 1.    ,  1.    ]])
        """
        lower, upper = self.domain
        u, n = (self.knots - lower + (self.knots - upper)) / (upper - lower), self.n_basis
        inner = np.array([u[1 + r : 1 + r + n] for r in range(self.degree)]).reshape(self.degree, n)
        powers = [
            np.mean([np.prod(inner[list(chosen)], axis=0) for chosen in combinations(range(self.degree), k)], axis=0)
            for k in range(order)
        ]
        return np.column_stack(powers)

    def unclamped(self) -> tuple[BSplineBasis, csr_array]:
        """Return B-splines of the same splines without clamped ends, and the matrix (n_basis, n_basis) of their coefficients.

        Beyond a clamped end their knots go on in steps of its piece. A coefficient is the blossom at its function's inner knots.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis, matrix = sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2).unclamped()
        >>> basis.knots, matrix @ [0.0, 0.5, 1.0]  # the coefficients of x
        (array([-2., -1.,  0.,  1.,  2.,  3.]), array([-0.5,  0.5,  1.5]))
        """
        degree, n, knots = self.degree, self.n_basis, self.knots.copy()
        lower, upper = self.domain
        steps = np.arange(1, degree + 1)
        if degree and knots[0] == lower:
            knots[:degree] = lower - (self.breaks[1] - lower) * steps[::-1]
        if degree and knots[-1] == upper:
            knots[n + 1 :] = upper + (upper - self.breaks[-2]) * steps
        if np.array_equal(knots, self.knots):
            return self, csr_array(eye_array(n))
        functions = np.arange(n)
        near = np.clip(np.searchsorted(self.span, functions + degree // 2), 0, len(self.span) - 1)
        span = self.span[near]
        weights = blossom_weights(self.knots, degree, span, [knots[functions + 1 + r] for r in range(degree)])
        rows, columns = np.repeat(functions, degree + 1), (span[:, None] - degree + np.arange(degree + 1)).ravel()
        matrix = csr_array(coo_array((weights.ravel(), (rows, columns)), shape=(n, n)))
        matrix.data[np.abs(matrix.data) < ROUNDED] = 0.0
        matrix.eliminate_zeros()
        return replace(self, knots=knots), matrix

    @cached_property
    def breaks(self) -> FloatArray:
        """Distinct knots of the domain, (n_pieces + 1,)."""
        return frozen(np.append(self.knots[self.span], self.domain[1]))

    @cached_property
    def span(self) -> IntArray:
        """Index of the last knot at or before the start of each piece, (n_pieces,)."""
        within = self.knots[self.degree : self.n_basis + 1]
        return frozen(self.degree + np.flatnonzero(np.diff(within) > 0))

    @cached_property
    def lookup(self) -> tuple[FloatArray, IntArray, Any]:
        """What the kernels take to find the piece of an x."""
        return self.breaks, self.span, _kernels.cells(self.breaks, CELLS_PER_PIECE * len(self.span))

    def _dense_design(self, x: Any, deriv: int) -> FloatArray:
        if self.extrapolate != "error" or check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE):
            return super()._dense_design(x, deriv)
        return self.values_without(x, 0)

    @quiet
    def values_without(self, x: Any, skipped: int) -> FloatArray:
        """Return values at x (n,) in the domain without the first `skipped` functions, (n, n_basis - skipped).

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis([0, 0, 1, 3, 3], degree=1).values_without([0.25, 1.5], 1)
        array([[0.25, 0.  ],
               [0.75, 0.25]])
        """
        points = view_floats(x, "x")
        n, skipped = len(points), check_order(skipped, "skipped", 0, self.n_basis - 1)
        check_memory(8.0 * n * self.n_basis, f"a dense design of {n} rows and {self.n_basis} functions", "pass sparse=True")
        try:
            return np.asarray(_kernels.dense_rows(points, self.knots, *self.lookup, self.degree, 0, True, skipped))
        except _kernels.KernelError as error:
            raise outside_error(points, error.args[1], self.domain) from None

    def _design(self, x: Any, deriv: int) -> csr_array:
        points = view_floats(x, "x")
        deriv = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        return rows_of(*self._rows(points, deriv), self.n_basis)

    def _rows(self, points: FloatArray, deriv: int) -> tuple[FloatArray, Any]:
        """Entries (n, degree + 1) that may differ from zero, and their columns."""
        mode, degree = self.extrapolate, self.degree
        outside = None
        inside = points
        if mode != "error":
            inside, outside = brought_inside(points, mode, self.domain)
        values, columns = self._inner_rows(inside, min(deriv, degree), strict=mode == "error")
        if deriv > degree:
            values[:] = 0.0
        if outside is None:
            return values, columns
        if mode == "nan":
            values[outside] = np.nan
        elif mode == "zero" or (mode == "constant" and deriv > 0) or (mode == "linear" and deriv > 1):
            values[outside] = 0.0
        elif mode == "linear" and deriv == 0 and degree > 0:
            slopes, _ = self._inner_rows(inside[outside], 1, strict=False)
            values[outside] += (points - inside)[outside, None] * slopes
        return values, columns

    def _inner_rows(self, points: FloatArray, deriv: int, strict: bool) -> tuple[FloatArray, Any]:
        try:
            values, columns = _kernels.basis_rows(points, self.knots, *self.lookup, self.degree, deriv, strict)
        except _kernels.KernelError as error:
            raise outside_error(points, error.args[1], self.domain) from None
        return values, columns

    def _integral(self, lower: Any, upper: Any) -> csr_array:
        start, end = limits_of(lower, upper, self.domain, self.extrapolate)
        sign = np.where(start <= end, 1.0, -1.0)
        start, end = np.minimum(start, end), np.maximum(start, end)
        if self.extrapolate == "periodic":
            rows = self._periodic_integral(start, end)
        else:
            low, high = self.domain
            rows = self._integral_within(np.clip(start, low, high), np.clip(end, low, high))
            for a, b in ((start, np.minimum(end, low)), (np.maximum(start, high), end)):
                beyond = np.flatnonzero(a < b)
                if len(beyond):
                    outer = self._quadrature(a[beyond], b[beyond])
                    rows = rows + spread(outer, beyond, len(start))
        return csr_array(diags_array(sign) @ rows)

    def _integral_within(self, start: FloatArray, end: FloatArray) -> csr_array:
        """Integrals between limits start <= end of the domain: sums of positive numbers."""
        breaks = self.breaks
        first = np.clip(np.searchsorted(breaks, start, side="right") - 1, 0, len(self.span) - 1)
        last = np.clip(np.searchsorted(breaks, end, side="left") - 1, first, None)
        rows = self._quadrature(start, np.minimum(end, breaks[first + 1]))
        split = np.flatnonzero(last > first)
        if not len(split):
            return rows
        rows = rows + spread(self._quadrature(breaks[last[split]], end[split]), split, len(start))
        # Whole pieces in between, as a matrix of ones times the integrals over every piece.
        counts = np.maximum(last - first - 1, 0)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        check_memory(
            ENTRY * float(counts.sum()) * (self.degree + 1),
            f"a matrix of integrals over {len(start)} intervals",
            "pass fewer at a time",
        )
        indices = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - first - 1, counts)
        whole = csr_array((np.ones(indptr[-1]), indices, indptr), shape=(len(start), len(self.span)))
        return csr_array(rows + whole @ self._piece_integrals)

    @cached_property
    def _piece_integrals(self) -> csr_array:
        """Integrals of the functions over every piece, (n_pieces, n_basis): width times the mean Bernstein coefficient."""
        values = extraction(self.knots, self.degree, self.span).mean(axis=2) * np.diff(self.breaks)[:, None]
        return rows_of(values, self.span[:, None] - self.degree + np.arange(self.degree + 1), self.n_basis)

    def _quadrature(self, start: FloatArray, end: FloatArray) -> csr_array:
        """Integrals between limits of one piece each, by a Gauss-Legendre rule that is exact for it."""
        nodes, weights = np.polynomial.legendre.leggauss(self.degree // 2 + 1)
        half = (end - start) / 2
        points = (start + half)[:, None] + half[:, None] * nodes
        points = np.clip(points, start[:, None], np.nextafter(end, start)[:, None])  # rounding must not reach the next piece
        values, columns = self._rows(points.ravel(), 0)
        shape = (len(start), len(nodes), self.degree + 1)  # the nodes of a row are in one piece: their functions are the same
        sums = (values.reshape(shape) * (half[:, None] * weights)[:, :, None]).sum(axis=1)
        return rows_of(sums, columns.reshape(shape)[:, 0], self.n_basis)

    def _periodic_integral(self, start: FloatArray, end: FloatArray) -> csr_array:
        low, high = self.domain
        period = high - low
        from_start = low + np.mod(start - low, period)
        turns = np.floor((start - low) / period)
        reach = end - turns * period  # the end, where the start is in the first period
        whole = np.maximum(np.floor((reach - low) / period), 0.0)
        rest = reach - whole * period
        passes = whole > 0
        rows = self._integral_within(np.minimum(from_start, high), np.where(passes, high, np.clip(rest, from_start, high)))
        beyond = np.flatnonzero(passes)
        if len(beyond):
            ends = np.clip(rest[beyond], low, high)
            rows = rows + spread(self._integral_within(np.full(len(beyond), low), ends), beyond, len(start))
            total = csr_array(self._piece_integrals.sum(axis=0)[None])
            turns_between = csr_array(np.maximum(whole - 1, 0.0)[:, None])
            rows = rows + turns_between @ total
        return csr_array(rows)

    def _penalty(self, order: int) -> csr_array:
        return self.gram(order)

    @quiet
    def gram(self, order: int, of: csr_array | None = None) -> csr_array:
        """Integrals of products of derivatives, of the B-splines or of combinations with the columns `of`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> from scipy.sparse import csr_array
        >>> line = csr_array(np.array([[0.0], [0.5], [1.0]]))  # x in quadratic B-splines
        >>> sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2).gram(0, line).toarray().round(6)  # the integral of x^2
        array([[0.333333]])
        """
        order = check_order(order, "order", 0, HIGHEST_DERIVATIVE)
        if order > self.degree:
            n = self.n_basis if of is None else of.shape[1]
            return csr_array((n, n))
        lower, slopes = self.derivative_basis(order, of)
        result = csr_array(slopes.T @ _gram(lower.knots, lower.degree, lower.span) @ slopes)
        if of is None and not result.data.any():
            raise NumericalError(f"the penalty of order {order} underflows on the domain {self.domain}; choose another unit of x")
        return result

    @quiet
    def rows_within(self, u: FloatArray, deriv: int = 0) -> csr_array:
        """Return derivatives at the same fractions u (k,) in [0, 1] of every piece: (n_pieces k, n_basis), piece by piece.

        From Bernstein coefficients of the pieces, so that the digits of u count however narrow a piece is beside its x.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis([0, 0, 1, 3, 3], degree=1).rows_within([0.25]).toarray()
        array([[0.75, 0.25, 0.  ],
               [0.  , 0.75, 0.25]])
        """
        deriv, (u, _) = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE), to_floats(u, "u")
        if not ((u >= 0) & (u <= 1)).all():
            i = first_index(~((u >= 0) & (u <= 1)))
            raise DataError(f"u[{i}] is {u[i]}; fractions of a piece are from 0 to 1")
        if deriv > self.degree:
            return csr_array((len(self.span) * len(u), self.n_basis))
        lower, slopes = self.derivative_basis(deriv) if deriv else (self, None)
        k, degree = np.arange(lower.degree + 1), lower.degree
        bernstein = binomials(degree) * u[:, None] ** k * (1 - u)[:, None] ** (degree - k)
        pieces = extraction(lower.knots, degree, lower.span)
        values = np.einsum("prk,uk->pur", pieces, bernstein).reshape(-1, degree + 1)
        columns = np.repeat(lower.span[:, None] - degree + k, len(u), axis=0)
        rows = rows_of(values, columns, lower.n_basis)
        return rows if slopes is None else csr_array(rows @ slopes)

    @quiet
    def derivative_basis(self, order: int, of: csr_array | None = None) -> tuple[BSplineBasis, csr_array]:
        """Return the basis of the derivatives of an order <= degree, and the matrix that takes coefficients to theirs.

        c'_i = degree (c_i - c_(i-1)) / (t_(i+degree) - t_i), order times over (de Boor 1978, chapter X), a spline of degree - order
        on fewer knots. Where the support is empty, at a knot repeated too often for the lower degree, both the coefficient and
        the knot go. With `of` the matrix is that of these columns of coefficients; its differences are then taken
        one after the other, so that constants and lines among them vanish exactly.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=2)
        >>> slopes, matrix = basis.derivative_basis(1)
        >>> slopes.degree, matrix @ [0, 0, 1]  # x^2 has the slope 2 x
        (1, array([0., 2.]))
        """
        order = check_order(order, "order", 0, self.degree)
        knots, mode = self.knots, self.extrapolate
        matrix: Any = eye_array(self.n_basis, format="csr") if of is None else of
        for degree in range(self.degree, self.degree - order, -1):
            width = knots[degree + 1 : -1] - knots[1 : -degree - 1]
            kept = np.flatnonzero(width > 0)
            matrix = diags_array(degree / width[kept]) @ (matrix[kept + 1] - matrix[kept])
            knots = np.delete(knots[1:-1], np.flatnonzero(width == 0))
            mode = OF_DERIVATIVE.get(mode, mode)
        return BSplineBasis(knots, self.degree - order, mode), csr_array(matrix)

    @quiet
    def elevate(self, k: int = 1) -> Self:
        """Return the basis of degree + k with the same continuity, which spans every spline of this one.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.BSplineBasis([0, 0, 0.5, 1, 1], degree=1).elevate().knots
        array([0. , 0. , 0. , 0.5, 0.5, 1. , 1. , 1. ])
        """
        k = check_order(k, "k", 0, HIGHEST_DEGREE - self.degree)
        distinct, counts = np.unique(self.knots, return_counts=True)
        knots, degree = np.repeat(distinct, counts + k), self.degree + k
        lower, upper = self.domain
        first = np.searchsorted(knots, lower, side="right") - 1 - degree  # of the knots before the domain those that matter
        last = np.searchsorted(knots, upper, side="left") + degree
        return replace(self, knots=knots[first : last + 1], degree=degree)

    @quiet
    def matrix_to(self, finer: BSplineBasis) -> csr_array:
        """Matrix (finer.n_basis, n_basis) that takes coefficients to those of the same function in a finer basis.

        The finer basis has the knots of this one, each as often (plus the gain in degree), and more. By the Oslo algorithm:
        blossoms of the piece in which the support of a finer function begins, hence averages only (Cohen, Lyche & Riesenfeld
        1980); a higher degree averages blossoms that each leave out as many arguments.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> basis.matrix_to(basis.insert(0.25)).toarray()
        array([[1.  , 0.  ],
               [0.75, 0.25],
               [0.  , 1.  ]])
        """
        if not isinstance(finer, BSplineBasis):
            raise SpecificationError(f"the finer basis is {type(finer).__name__}; pass a BSplineBasis")
        gain = finer.degree - self.degree
        self._check_finer(finer, gain)
        t, n, degree = finer.knots, finer.n_basis, self.degree
        # Knots of zero width at both ends make every span one of degree + 1 functions; those added have no coefficients.
        padded = np.concatenate([self.knots[:1].repeat(degree), self.knots, self.knots[-1:].repeat(degree)])
        last = np.flatnonzero(np.diff(padded) > 0)[-1]
        span = np.minimum(np.searchsorted(padded, t[:n], side="right") - 1, last)
        chosen = list(combinations([t[1 + r : 1 + r + n] for r in range(finer.degree)], degree))
        entries = np.mean([blossom_weights(padded, degree, span, arguments) for arguments in chosen], axis=0)
        columns = span[:, None] - 2 * degree + np.arange(degree + 1)
        rows = np.broadcast_to(np.arange(n)[:, None], columns.shape)
        kept = (columns >= 0) & (columns < self.n_basis) & (entries != 0)
        return csr_array(coo_array((entries[kept], (rows[kept], columns[kept])), shape=(n, self.n_basis)))

    def _check_finer(self, finer: BSplineBasis, gain: int) -> None:
        """Refuse a basis that does not span the splines of this one."""
        if gain < 0:
            raise SpecificationError(f"the finer basis has degree {finer.degree}, below {self.degree}")
        distinct, counts = np.unique(self.knots, return_counts=True)
        places = np.searchsorted(finer.knots, distinct, side="left")
        found = np.searchsorted(finer.knots, distinct, side="right") - places
        lower, upper = self.domain
        lacking = (found < counts + gain) & (distinct >= lower) & (distinct <= upper)
        if lacking.any() or finer.domain != self.domain:
            i = first_index(lacking) if lacking.any() else 0
            raise KnotError(
                f"the finer basis has the knot {distinct[i]} {found[i]} times and the domain {finer.domain}; to span this one it "
                f"needs it {counts[i] + gain} times and the domain {self.domain}"
            )


def _gram(knots: FloatArray, degree: int, span: IntArray) -> csr_array:
    """Gram matrix of the B-splines over the spans: sums of positive numbers, from their Bernstein coefficients.

    On a piece of width h the integral of two Bernstein polynomials is h C(d, k) C(d, l) / [C(2d, k + l) (2d + 1)].
    """
    n_basis = len(knots) - degree - 1
    index = np.arange(degree + 1)
    weights = np.outer(binomials(degree), binomials(degree)) / binomials(2 * degree)[index[:, None] + index] / (2 * degree + 1)
    pieces = extraction(knots, degree, span)
    blocks = (pieces @ weights) @ pieces.transpose(0, 2, 1) * (knots[span + 1] - knots[span])[:, None, None]
    functions = span[:, None] - degree + index
    rows = np.broadcast_to(functions[:, :, None], blocks.shape)
    columns = np.broadcast_to(functions[:, None, :], blocks.shape)
    return csr_array(coo_array((blocks.ravel(), (rows.ravel(), columns.ravel())), shape=(n_basis, n_basis)))


def limits_of(lower: Any, upper: Any, domain: tuple[float, float], mode: str) -> tuple[FloatArray, FloatArray]:
    """Limits of integration, broadcast and checked."""
    given = []
    for limit, argument in ((lower, "lower"), (upper, "upper")):
        points = view_floats(limit, argument)
        bad = ~((points >= domain[0]) & (points <= domain[1])) if mode == "error" else ~np.isfinite(points)
        if bad.any():
            i = first_index(bad)
            if mode == "error":
                raise outside_error(points, i, domain, argument)
            raise DataError(f"{argument}[{i}] is {points[i]}; limits are finite")
        given.append(points)
    if len(given[0]) != len(given[1]) and 1 not in (len(given[0]), len(given[1])):
        raise DataError(f"lower has {len(given[0])} entries and upper {len(given[1])}; pass as many of both")
    start, end = np.broadcast_arrays(*given)
    return start, end
