"""The relatives of B-splines: M-, I- and C-splines, natural splines, Bernstein polynomials.

Each is a matrix times B-splines (`recombined.py`). With B_j of degree d on the clamped knots t and w_j = t_(j+d+1) - t_j:

- M-splines   M_j = (d + 1) B_j / w_j, of integral one;
- I-splines   I_j(x) = integral of M_j up to x = sum of the B-splines of degree d + 1 after the j-th, rising from 0 to 1;
- C-splines   C_j(x) = integral of I_j up to x, convex and rising, divided by its last value.

Ramsay (1988), "Monotone regression splines in action"; Meyer (2008), "Inference using shape-restricted regression splines".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array

from .._entry import quiet
from .._validation import FloatArray, check_flag, check_memory, check_order, described
from ..errors import KnotError, SpecificationError
from .base import FullKnotsBasis
from .bspline import BSplineBasis
from .extrapolation import check_mode
from .knots import HIGHEST_DEGREE, check_boundary, clamped, data_and_boundary, supports
from .recombined import RecombinedBasis, weighted_abscissae
from .sparse import ENTRY


class _KnotFamily(RecombinedBasis, FullKnotsBasis):
    """A family on the same full knots as B-splines of its degree."""

    @quiet
    def elevate(self, k: int = 1) -> Self:
        """Return the basis of degree + k with the same continuity.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.MSplineBasis([0, 0, 0.5, 1, 1], degree=1).elevate()
        >>> basis.degree, basis.knots
        (2, array([0. , 0. , 0. , 0.5, 0.5, 1. , 1. , 1. ]))
        """
        bsplines = BSplineBasis(self.knots, self.degree).elevate(k)
        elevated: Self = replace(cast(Any, self), knots=bsplines.knots, degree=bsplines.degree)
        return elevated

    @property
    @quiet
    def greville(self) -> FloatArray:
        """Location of each function (n_basis,): means of the knots inside the supports of the M-splines behind them."""
        return BSplineBasis(self.knots, self.degree).greville

    def _require_clamped(self) -> None:
        if self.knots[0] != self.knots[self.degree] or self.knots[-1] != self.knots[-self.degree - 1]:
            raise KnotError(
                f"the knots of {described(self)} are clamped: its functions are integrals from the start of the domain; "
                f"pass {self.degree + 1} knots at both ends, as from_data and uniform do"
            )


@dataclass(frozen=True, eq=False)
class MSplineBasis(_KnotFamily):
    """M-splines: B-splines scaled to integral one, M_j = (degree + 1) B_j / (t_(j+degree+1) - t_j).

    Parameters
    ----------
    knots : array_like, shape (n_basis + degree + 1,)
        Full knots, as for `BSplineBasis`.
    degree : int
        Degree of the pieces, 0 to 10.
    extrapolate : str
        What the functions are beyond the domain, as for `BSplineBasis`.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.MSplineBasis.uniform(0, 2, 4, degree=2).integral(0, 2)
    array([[1., 1., 1., 1., 1., 1.]])
    """

    knots: FloatArray
    degree: int = 3
    extrapolate: str = "error"

    @cached_property
    def parent(self) -> BSplineBasis:
        """The B-splines of the same knots and degree, of which each M-spline is a multiple."""
        return BSplineBasis(self.knots, self.degree, self.extrapolate)

    @cached_property
    @quiet
    def matrix(self) -> csr_array:
        """Coefficients of the functions."""
        return csr_array(diags_array((self.degree + 1) / supports(self.knots, self.degree)))


@dataclass(frozen=True, eq=False)
class ISplineBasis(_KnotFamily):
    """I-splines: running integrals of M-splines, each rising from 0 to 1; nonnegative combinations are monotone.

    Parameters
    ----------
    knots : array_like, shape (n_basis + degree + 1,)
        Full clamped knots of the M-splines.
    degree : int
        Degree of the M-splines, 0 to 9; the I-splines have one more.
    extrapolate : str
        What the functions are beyond the domain, as for `BSplineBasis`.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.ISplineBasis.uniform(0, 1, 2, degree=1).design([0, 0.5, 1], sparse=False)
    array([[0. , 0. , 0. ],
           [1. , 0.5, 0. ],
           [1. , 1. , 1. ]])
    """

    knots: FloatArray
    degree: int = 3
    extrapolate: str = "error"

    @quiet
    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_clamped()

    @cached_property
    def parent(self) -> BSplineBasis:
        """The B-splines of degree + 1."""
        return _integrated(self.knots, self.degree, 1, self.extrapolate)

    @cached_property
    def matrix(self) -> csr_array:
        """Coefficients of the functions."""
        return _tails(self.parent.n_basis)


@dataclass(frozen=True, eq=False)
class CSplineBasis(_KnotFamily):
    """C-splines: integrals of I-splines, divided by their last value; nonnegative combinations are convex and rising.

    Parameters
    ----------
    knots : array_like, shape (n_basis + degree + 1,)
        Full clamped knots of the M-splines.
    degree : int
        Degree of the M-splines, 0 to 8; the C-splines have two more.
    extrapolate : str
        What the functions are beyond the domain, as for `BSplineBasis`.
    scaled : bool
        Whether to divide every function by its value at the end of the domain.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.CSplineBasis.uniform(0, 1, 2, degree=0).design([0, 0.5, 1], sparse=False)
    array([[0.        , 0.        ],
           [0.33333333, 0.        ],
           [1.        , 1.        ]])
    """

    knots: FloatArray
    degree: int = 3
    extrapolate: str = "error"
    scaled: bool = True

    @quiet
    def __post_init__(self) -> None:
        object.__setattr__(self, "scaled", check_flag(self.scaled, "scaled"))
        super().__post_init__()
        self._require_clamped()

    @cached_property
    def parent(self) -> BSplineBasis:
        """The B-splines of degree + 2."""
        return _integrated(self.knots, self.degree, 2, self.extrapolate)

    @cached_property
    @quiet
    def matrix(self) -> csr_array:
        """Coefficients of the functions."""
        once = _integrated(self.knots, self.degree, 1, "error")
        widths = diags_array(supports(once.knots, once.degree) / (once.degree + 1))
        # The first of the B-splines of degree + 1 starts above zero, but no I-spline contains it.
        matrix = _tails(self.parent.n_basis) @ widths @ _tails(once.n_basis)
        if self.scaled:
            last = matrix[[-1]].toarray()[0]  # at the end of the domain the last B-spline alone is one
            matrix = matrix @ diags_array(1 / last)
        return csr_array(matrix)


@dataclass(frozen=True, eq=False)
class BernsteinBasis(RecombinedBasis):
    """Bernstein polynomials C(d, j) u^j (1 - u)^(d - j), u = (x - lower) / (upper - lower): one piece.

    Parameters
    ----------
    degree : int
        Degree d, 0 to 10; there are d + 1 functions.
    lower, upper : float
        The domain.
    extrapolate : str
        What the functions are beyond the domain, as for `BSplineBasis`.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.BernsteinBasis(2, 0, 4).design([1], sparse=False)
    array([[0.5625, 0.375 , 0.0625]])
    """

    degree: int
    lower: float = 0.0
    upper: float = 1.0
    extrapolate: str = "error"

    @quiet
    def __post_init__(self) -> None:
        object.__setattr__(self, "degree", check_order(self.degree, "degree", 0, HIGHEST_DEGREE))
        lower, upper = check_boundary((self.lower, self.upper))
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)
        object.__setattr__(self, "extrapolate", check_mode(self.extrapolate))

    @classmethod
    @quiet
    def from_data(cls, x: Any, degree: int, **options: Any) -> Self:
        """Make the basis of a degree on the range of x.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BernsteinBasis.from_data([3.0, 1.0, 5.0], degree=2)
        >>> basis.domain, basis.n_basis
        ((1.0, 5.0), 3)
        """
        return cls(degree, *data_and_boundary(x, None)[1], **options)

    @cached_property
    def parent(self) -> BSplineBasis:
        """The B-splines, which are the same functions."""
        return BSplineBasis(clamped(np.empty(0), (self.lower, self.upper), self.degree), self.degree, self.extrapolate)

    @cached_property
    def matrix(self) -> csr_array:
        """Coefficients of the functions: the unit matrix."""
        return csr_array(diags_array(np.ones(self.degree + 1)))

    @property
    def knots(self) -> FloatArray:
        """Full knots: both ends degree + 1 times."""
        return self.parent.knots

    @property
    def inner_knots(self) -> FloatArray:
        """Knots inside the domain: none, shape (0,)."""
        return np.empty(0)

    @quiet
    def elevate(self, k: int = 1) -> Self:
        """Return the basis of degree + k.

        Examples
        --------
        >>> import smoothfit as sf
        >>> basis = sf.BernsteinBasis(3).elevate(2)
        >>> basis.degree, basis.n_basis
        (5, 6)
        """
        return replace(self, degree=self.degree + check_order(k, "k", 0, HIGHEST_DEGREE - self.degree))


@dataclass(frozen=True, eq=False)
class NaturalSplineBasis(_KnotFamily):
    """Natural cubic splines: no curvature at the ends of the domain, straight lines beyond with ``extrapolate="linear"``.

    The functions are nonnegative and have local support: those of the B-splines, the three at either end combined to two.
    There are two more than inner knots. Their span is that of R's ``splines::ns`` with an intercept, and the functions those
    of R's ``splines2::naturalSpline``.

    Parameters
    ----------
    knots : array_like, shape (n_inner + 8,)
        Full clamped knots of cubic splines.
    degree : int
        3.
    extrapolate : str
        What the functions are beyond the domain, as for `BSplineBasis`.

    References
    ----------
    W. Wang and J. Yan (2021), "Shape-restricted regression splines with R package splines2", *Journal of Data Science* 19.

    Examples
    --------
    >>> import smoothfit as sf
    >>> basis = sf.NaturalSplineBasis.from_data([0, 1, 2, 4, 8], df=4)
    >>> basis.inner_knots
    array([1.33333333, 3.33333333])
    >>> float(abs(basis.design([0, 8], deriv=2, sparse=False)).max()) < 1e-14
    True
    """

    knots: FloatArray
    degree: int = 3
    extrapolate: str = "error"

    @quiet
    def __post_init__(self) -> None:
        if check_order(self.degree, "degree", 0, HIGHEST_DEGREE) != 3:
            raise SpecificationError(f"degree is {self.degree}; natural splines are cubic: leave degree=3")
        super().__post_init__()
        self._require_clamped()

    @classmethod
    def _fewest(cls, degree: int) -> int:
        return 2

    @property
    @quiet
    def greville(self) -> FloatArray:
        """Location of each function (n_basis,): means of those of the B-splines in them, weighted by their coefficients."""
        return weighted_abscissae(self.parent, self.matrix)

    @cached_property
    def parent(self) -> BSplineBasis:
        """The cubic B-splines of which the natural splines are combinations."""
        return BSplineBasis(self.knots, 3, self.extrapolate)

    @cached_property
    @quiet
    def matrix(self) -> csr_array:
        """Coefficients of the functions; each column sums to one."""
        lower, upper = self.domain
        inner = self.inner_knots
        n_inner = len(inner)
        dense: dict[int, list[tuple[int, float]]] = {}  # column -> (row, entry)
        if n_inner == 0:  # straight lines
            dense = {0: [(0, 3), (1, 2), (2, 1)], 1: [(1, 1), (2, 2), (3, 3)]}
        elif n_inner == 1:
            u, v = (inner[0] - lower) / (upper - lower), (upper - inner[0]) / (upper - lower)
            dense = {
                0: [(0, 1 + u), (1, 1)],
                1: [(1, u / (1 + u)), (2, 1), (3, v / (1 + v))],
                2: [(3, 1), (4, 1 + v)],
            }
        else:
            p, q, r, s = inner[0] - lower, inner[1] - lower, upper - inner[-1], upper - inner[-2]
            last = n_inner + 3
            dense = {0: [(0, 1), (1, 1), (2, 1)], 1: [(1, p), (2, p + q)]}
            dense |= {column: [(column + 1, 1)] for column in range(2, n_inner)}
            dense |= {n_inner: [(last - 2, r + s), (last - 1, r)], n_inner + 1: [(last - 2, 1), (last - 1, 1), (last, 1)]}
        columns = np.repeat(list(dense), [len(entries) for entries in dense.values()])
        rows, entries = np.array([entry for column in dense.values() for entry in column]).T
        sums = np.bincount(columns, weights=entries)
        shape = (n_inner + 4, n_inner + 2)
        return csr_array(coo_array((entries / sums[columns], (rows.astype(np.int64), columns)), shape=shape))

    def elevate(self, k: int = 1) -> Self:
        """Refused: natural splines are cubic."""
        raise SpecificationError("natural splines are cubic; elevate the B-splines, basis.parent.elevate()")


def _integrated(knots: FloatArray, degree: int, times: int, extrapolate: str) -> BSplineBasis:
    """B-splines of degree + times, in which integrals of those of `degree` are found."""
    highest = HIGHEST_DEGREE - times
    if degree > highest:
        raise SpecificationError(f"degree is {degree}; it ranges from 0 to {highest}, as the integrals have {times} more")
    padded = np.concatenate([np.repeat(knots[0], times), knots, np.repeat(knots[-1], times)])
    return BSplineBasis(padded, degree + times, extrapolate)


def _tails(n: int) -> csr_array:
    """Matrix (n, n - 1) that sums: column j adds the rows after j."""
    check_memory(2 * ENTRY * n * n, f"a basis of {n - 1} I- or C-splines, which all overlap,", "use fewer knots")
    return csr_array(np.tri(n, n - 1, -1))
