"""The sufficient statistics of a penalised fit: one triangular factor for each variance and one for each penalty.

With c the coefficients, sigma_g^2 the variance of group g and tau_j the weight of penalty j, a fit minimises

    sum_g |R_g c - z_g|^2 / sigma_g^2 + sum_j tau_j |M_j c|^2,      A = sum_g R_g'R_g / sigma_g^2 + sum_j tau_j M_j'M_j.

Whatever n is, a system has (n_groups + n_penalties) K w numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import block_diag, csr_array, diags_array, eye_array

from .._core import _kernels
from .._validation import FloatArray, type_of
from ..basis.base import Basis
from ..basis.penalty import Penalty, PenaltySum
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import IdentificationError, SpecificationError
from .band import (
    BandRows,
    Factor,
    Slope,
    Solution,
    Values,
    factorize,
    join,
    multiply_factor,
    pack,
    rows_of_factor,
    solve_factor,
    solve_stack,
    solve_stack_slope,
    stack_values,
)
from .rows import Rows
from .words import surface_in_words

DEPENDENT = 1e-12  # of the size of a column: what is left of it beside the others, below which they determine no coefficient
FREE = 1e-7  # likewise of a column of the penalty
SILENT = 1e-10  # of the size of its terms: below, a penalty of what others leave free is rounding
COMPONENTS = ("level", "slope", "curvature")


def terms_of(penalty: Penalty | None) -> tuple[Penalty, ...]:
    """The penalties that get a smoothing parameter each."""
    if penalty is None:
        return ()
    if not isinstance(penalty, Penalty):
        raise SpecificationError(
            f"penalty is {type_of(penalty)}; pass sf.DerivativePenalty(2), another penalty, a sum (first + second), or None; "
            "shapes and equalities are passed as constraints="
        )
    return penalty.penalties if isinstance(penalty, PenaltySum) else (penalty,)


@dataclass(frozen=True, eq=False)
class System:
    """Factors of the groups, then of the penalties.

    Attributes
    ----------
    factors : ndarray, shape (S, K, w)
    rhs : ndarray, shape (S, K)
    rest : ndarray, shape (S,)
        What the rows of a source leave whatever c is.
    counts : ndarray, shape (n_groups,)
        Number of observations.
    unknown : int
        How many groups, the first ones, have an unknown variance; that of the others is one.
    spreads : ndarray, shape (n_groups,)
        Mean square of the observations of a group about their mean, in units of its variance.
    untouched : tuple of csr_array or None
        Columns that span what each penalty leaves free, right to rounding, where they are known in closed form; empty if none are.
    """

    factors: FloatArray
    rhs: FloatArray
    rest: FloatArray
    counts: npt.NDArray[np.int64]
    unknown: int
    spreads: FloatArray
    untouched: tuple[csr_array | None, ...] = ()

    @classmethod
    def of(cls, rows: Rows, penalty: Penalty | None, roots: Sequence[BandRows] | None = None) -> System:
        """Compress rows and penalties, of which the `roots` may be known."""
        roots = penalty_roots(terms_of(penalty), rows.basis) if roots is None else roots
        w = max([rows.width, *(root.width for root in roots)])
        groups = rows.statistics(w)
        counts, spreads = np.array([group.n for group in groups]), np.array([group.spread for group in groups])
        found = cls.from_factors([group.factor for group in groups], roots, counts, len(rows.unknown), spreads)
        extras = eye_array(len(rows.extras))  # which no penalty touches
        known = (own.untouched(rows.basis) for own in terms_of(penalty))
        return replace(found, untouched=tuple(None if own is None else csr_array(block_diag((own, extras))) for own in known))

    @classmethod
    def from_factors(
        cls,
        factors: Sequence[Factor],
        roots: Sequence[BandRows],
        counts: npt.NDArray[np.int64],
        unknown: int,
        spreads: FloatArray,
    ) -> System:
        """Stack the factors of groups, of one width, and those of penalties."""
        K, w = factors[0].R.shape
        penalties = [factorize(root, np.zeros(len(root.first)), K, w) for root in roots]
        stacked = [*factors, *penalties]
        return cls(
            np.array([factor.R for factor in stacked]),
            np.array([factor.z for factor in stacked]),
            np.array([factor.rest for factor in stacked]),
            counts,
            unknown,
            spreads,
        )

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return int(self.factors.shape[1])

    @property
    def n(self) -> int:
        """Number of observations."""
        return int(self.counts.sum())

    @property
    def n_groups(self) -> int:
        """Number of variances, known ones being one."""
        return len(self.counts)

    @property
    def n_penalties(self) -> int:
        return len(self.factors) - self.n_groups

    def without(self, penalties: Sequence[int]) -> System:
        """The system without some of the penalties."""
        if not len(penalties):
            return self
        kept = np.delete(np.arange(len(self.factors)), np.asarray(penalties) + self.n_groups)
        known = tuple(own for j, own in enumerate(self.untouched) if j not in penalties)
        return replace(self, factors=self.factors[kept], rhs=self.rhs[kept], rest=self.rest[kept], untouched=known)

    @cached_property
    def dense_factors(self) -> FloatArray:
        """The factors with their zeros, (S, K, K)."""
        return np.array([multiply_factor(R, np.eye(self.size)) for R in self.factors])

    @property
    def scale_free(self) -> bool:
        """True where the only variance is unknown: the others are then measured in it."""
        return self.unknown == 1 and self.n_groups == 1

    def searches_scale(self, count: int) -> bool:
        """Whether so many parameters are all weights and the variances of all, several, groups."""
        return self.n_groups > 1 and self.unknown == self.n_groups and count == self.n_penalties + self.unknown

    def scales(self, log_tau: FloatArray, log_sigma2: FloatArray) -> FloatArray:
        """Roots of the weights of all sources (..., S)."""
        return np.exp(np.concatenate([-log_sigma2, log_tau], axis=-1) / 2)

    def unfitted(self, log_tau: FloatArray, log_sigma2: FloatArray) -> FloatArray:
        """What is left of the penalised sum of squares whatever c is (...,), without the squares of scales, which may overflow."""
        return np.asarray(np.sum((self.scales(log_tau, log_sigma2) * np.sqrt(self.rest)) ** 2, axis=-1))

    def solve(self, log_tau: FloatArray, log_sigma2: FloatArray) -> Solution:
        """Solve at weights of the penalties (n_penalties,) and variances (n_groups,)."""
        try:
            return solve_stack(self.factors, self.rhs, self.scales(log_tau, log_sigma2))
        except _kernels.KernelError:
            raise IdentificationError("the observations do not determine the coefficients") from None

    def values(self, log_tau: FloatArray, log_sigma2: FloatArray, solved: bool = False) -> Values:
        """Return numbers of the solutions at weights (L, n_penalties) and variances (L, n_groups); see `stack_values`."""
        return stack_values(self.factors, self.rhs, self.scales(log_tau, log_sigma2), solved)

    def slope(self, log_tau: FloatArray, log_sigma2: FloatArray, direction: FloatArray) -> Slope:
        """Differentiate `solve` along a direction of (log_tau, log_sigma2 of the unknown)."""
        return solve_stack_slope(self.factors, self.rhs, *self._moving(log_tau, log_sigma2, direction))

    def _moving(self, log_tau: FloatArray, log_sigma2: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        scale = self.scales(log_tau, log_sigma2)
        P, G = self.n_penalties, self.n_groups
        rate = np.zeros(len(scale))
        rate[: self.unknown] = -direction[P:] / 2
        rate[G:] = direction[:P] / 2
        return scale, scale * rate

    # The penalty's null space -------------------------------------------------------------------------------------------

    @cached_property
    def _penalty_factor(self) -> FloatArray:
        """Factor (K, w) of all penalties, each brought to size one."""
        G, K, w = self.n_groups, self.size, self.factors.shape[2]
        rows = [rows_of_factor(_of_size_one(R)) for R in self.factors[G:]]
        together = join(rows)
        return factorize(together, np.zeros(len(together.first)), K, w).R

    @cached_property
    def _echelon(self) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Factor of all penalties, with rows of zeros where a column depends on earlier ones, and those columns.

        With splines of one variable these are the last ones. Otherwise what stands right of a zero pivot belongs to the rows
        below, which absorb it.
        """
        R, _, _, found = _echelon_of(self._penalty_factor, np.zeros(self.size))
        return R, found

    @property
    def anchors(self) -> npt.NDArray[np.int64]:
        """The d coefficients that identify the functions that no penalty affects: of columns that depend on earlier ones."""
        return self._echelon[1] if self.n_penalties and self.size else np.arange(self.size)

    @property
    def n_free(self) -> int:
        """Dimension of the space that no penalty touches."""
        return len(self.anchors)

    @cached_property
    def free(self) -> FloatArray:
        """Coefficients (K, d) of functions that no penalty touches; their entries at the anchors are the unit matrix."""
        d, K = self.n_free, self.size
        columns = np.zeros((K, d))
        columns[self.anchors, np.arange(d)] = 1.0
        if 0 < d < K:
            R, others = self._echelon[0], np.delete(np.arange(K), self.anchors)
            columns[others] = -solve_factor(_kept(R, others), multiply_factor(R, columns)[others])
        return columns

    @property
    def free_log_det(self) -> float:
        """log|N'B'BN|, the scale of a restricted likelihood, which depends on the basis N of what no penalty touches."""
        d = self.n_free
        triangle = np.linalg.qr(self.free_factors.reshape(self.n_groups * d, d), mode="r") if d else np.zeros((0, 0))
        return 2 * float(np.log(np.abs(np.diag(triangle))).sum())

    @cached_property
    def free_factors(self) -> FloatArray:
        """Triangles (n_groups, d, d): what the observations of each group see of `free`."""
        d = self.n_free
        triangles = np.zeros((self.n_groups, d, d))
        for triangle, R in zip(triangles, self.factors, strict=False):
            triangle[:] = np.linalg.qr(multiply_factor(R, self.free), mode="r")
        return triangles

    def _without_anchors(self, R: FloatArray) -> FloatArray:
        """Factor of a factor's columns other than the anchors."""
        K, r = self.size, self.size - self.n_free
        if not self.n_free or self.anchors[0] == r:  # the last ones
            return R[:r]
        rows = pack(csr_array(_sparse(R)[:, np.delete(np.arange(K), self.anchors)]))
        return factorize(rows, np.zeros(len(rows.first)), r, R.shape[1]).R

    def penalty_log_det(self, log_tau: FloatArray) -> tuple[float, FloatArray]:
        """log|S|_J, and its derivatives by log_tau: S = sum tau_j M_j'M_j without the rows and columns of the anchors."""
        P, r = self.n_penalties, self.size - self.n_free
        if P == 0 or r == 0:
            return 0.0, np.zeros(P)
        if P == 1:
            return self._unit_log_det + r * float(log_tau[0]), np.full(1, float(r))
        solution = solve_stack(*self.penalized, np.exp(log_tau / 2))
        return solution.log_det, np.exp(log_tau) * solution.trace

    def penalty_log_dets(self, log_tau: FloatArray) -> FloatArray:
        """The first of `penalty_log_det` for weights (L, P)."""
        P, r = self.n_penalties, self.size - self.n_free
        if P == 0 or r == 0:
            return np.zeros(len(log_tau))
        if P == 1:
            return self._unit_log_det + r * log_tau[:, 0]
        return stack_values(*self.penalized, np.exp(log_tau / 2)).log_det

    def penalty_curvature(self, log_tau: FloatArray, direction: FloatArray) -> FloatArray:
        """Derivative of the gradient in `penalty_log_det` along a direction (P,)."""
        if self.n_penalties < 2 or self.n_free == self.size:
            return np.zeros(self.n_penalties)
        scale = np.exp(log_tau / 2)
        trace = solve_stack(*self.penalized, scale).trace
        slope = solve_stack_slope(*self.penalized, scale, scale * direction / 2)
        return scale**2 * (direction * trace + slope.trace)

    @cached_property
    def penalized(self) -> tuple[FloatArray, FloatArray]:
        """Factors (P, r, w) of the penalties without the anchors, and right-hand sides of zero."""
        parts = np.array([self._without_anchors(R) for R in self.factors[self.n_groups :]])
        return parts, np.zeros(parts.shape[:2])

    @cached_property
    def _unit_log_det(self) -> float:
        return 2 * float(np.log(self.penalized[0][-1, :, 0]).sum())

    # What the observations determine ----------------------------------------------------------------------------------------

    def require_identified(self, basis: AnyBasis, columns: csr_array | None = None, inputs: Sequence[str] = ()) -> None:
        """Raise if the observations leave functions undetermined that no penalty touches; name them.

        `columns` are the coefficients in the basis of what the system holds; by default the unit matrix. `inputs` are the labels of
        several variables.
        """
        missing = self._undetermined()
        if missing is not None:
            missing = missing if columns is None else columns @ missing
            if isinstance(basis, TensorProductBasis):
                raise IdentificationError(surface_in_words(missing, basis, inputs, self.n_penalties > 0))
            raise IdentificationError(_in_words(missing, basis, self.n_penalties > 0))

    @property
    def is_identified(self) -> bool:
        """Whether observations and penalties determine all coefficients."""
        return self._undetermined() is None

    def _undetermined(self) -> FloatArray | None:
        """Coefficients (K, u) of functions that neither observations nor penalties see; None if there are none."""
        if self.n_penalties:
            if not self.n_free:
                return None
            groups = [_of_size_one(R) for R in self.factors[: self.n_groups]]  # no group in the rounding of another
            seen = np.concatenate([multiply_factor(R, self.free) for R in groups])
            terms = np.concatenate([multiply_factor(np.abs(R), np.abs(self.free)) for R in groups])
            size = np.linalg.norm(seen, axis=0)
            unseen = size <= DEPENDENT * np.linalg.norm(terms, axis=0)  # what is seen are the terms' roundings
            found = self.free[:, unseen]
            if not unseen.all():
                _, singular, axes = np.linalg.svd(seen[:, ~unseen] / size[~unseen], full_matrices=False)
                hidden = axes[singular <= DEPENDENT][::-1] / size[~unseen]
                found = np.hstack([found, self.free[:, ~unseen] @ hidden.T])
            return found if found.shape[1] else None
        rows = join([rows_of_factor(_of_size_one(R)) for R in self.factors])
        R = factorize(rows, np.zeros(len(rows.first)), self.size, self.factors.shape[2]).R
        small = R[:, 0] <= DEPENDENT * column_sizes(R)
        if not small.any():
            return None
        j = int(np.argmax(small))
        missing = np.zeros(self.size)
        missing[j] = 1.0
        if j > 0:
            missing[:j] = -solve_factor(R[:j], multiply_factor(R, missing)[:j])
        return missing[:, None]

    def substituted(self, columns: csr_array, offset: FloatArray | None, left_out: int | None = None) -> System:
        """The system of gamma, c = offset + columns @ gamma, without penalty `left_out`; its band is that of R_g @ columns."""
        kept = [s for s in range(len(self.factors)) if left_out is None or s != self.n_groups + left_out]
        rows = [pack(self._times_columns(s, columns)) for s in kept]
        w = max(part.width for part in rows)
        factors = []
        for s, part in zip(kept, rows, strict=True):
            right = self.rhs[s] if offset is None else self.rhs[s] - multiply_factor(self.factors[s], offset)
            if s >= self.n_groups and np.linalg.norm(part.values) <= SILENT * self._size_of_terms(s, columns):
                part = part.scaled(np.zeros(part.n))
            factor = factorize(part, right, columns.shape[1], w)
            factors.append(factor._replace(rest=factor.rest + float(self.rest[s])))
        return replace(
            self,
            factors=np.array([factor.R for factor in factors]),
            rhs=np.array([factor.z for factor in factors]),
            rest=np.array([factor.rest for factor in factors]),
            untouched=(),
        )

    def _times_columns(self, s: int, columns: csr_array) -> csr_array:
        """The product of a factor with columns; of a penalty without columns of which only roundings are left."""
        product = csr_array(rows_of_factor(self.factors[s]).sparse(self.size) @ columns)
        if s < self.n_groups:
            return product
        left, terms = (np.sqrt((m * m).sum(axis=0)) for m in (product, abs(_sparse(self.factors[s])) @ abs(columns)))
        return csr_array(product @ diags_array(np.asarray(left > SILENT * terms, dtype=np.float64)))

    def _size_of_terms(self, s: int, columns: csr_array) -> float:
        """Size of the terms that the product of a factor with columns adds up."""
        return float(np.linalg.norm((abs(_sparse(self.factors[s])) @ abs(columns)).data))

    def gap(self, j: int) -> float:
        """How far penalty j is from zero at its smallest, relative to the values that equalities give it; zero without these."""
        s = self.n_groups + j
        size = float(np.sum(self.rhs[s] ** 2) + self.rest[s])
        if size == 0.0:
            return 0.0
        return float(np.sqrt((self._least(s)[1] + self.rest[s]) / size))

    def _least(self, s: int) -> tuple[FloatArray, float]:
        """Coefficients (K,) that minimise the squares of a factor alone, zero where a column depends on others; these squares."""
        if not self.factors[s].any():
            return np.zeros(self.size), float(np.sum(self.rhs[s] ** 2))
        R, z, rest, dependent = _echelon_of(self.factors[s], self.rhs[s])
        others = np.delete(np.arange(self.size), dependent)
        coef = np.zeros(self.size)
        coef[others] = solve_factor(_kept(R, others), z[others])
        return coef, rest

    def reduced(self, j: int) -> tuple[System, csr_array, FloatArray | None]:
        """The system on what penalty j leaves free, without it; the columns (K, d) and the offset (K,) of what it leaves."""
        G, offset = self.n_groups, None
        alone = self.without([i for i in range(self.n_penalties) if i != j])
        known = self.untouched[j] if self.untouched else None
        columns = csr_array(alone.free) if known is None else known
        if self.rhs[G + j].any():  # where equalities keep the penalty from zero
            offset = self._least(G + j)[0]
        return self.substituted(columns, offset, left_out=j), columns, offset


def penalty_roots(penalties: Sequence[Penalty], basis: AnyBasis) -> list[BandRows]:
    """Rows M_j with M_j'M_j = P_j of each penalty."""
    roots = [penalty.root(basis) for penalty in penalties]
    for penalty, root in zip(penalties, roots, strict=True):
        if not root.nnz:
            raise SpecificationError(
                f"penalty {penalty!r} is zero for all splines of this basis, whose derivatives of that order vanish; lower the "
                "order of the penalty, or raise the degree of the basis"
            )
    return [pack(root) for root in roots]


def _of_size_one(R: FloatArray) -> FloatArray:
    """A factor in units of its size."""
    return np.asarray(R / (np.linalg.norm(R) or 1.0))


def _sparse(R: FloatArray) -> csr_array:
    """A factor as a sparse matrix (K, K)."""
    K = len(R)
    row, i = np.nonzero(R)
    inside = row + i < K
    return csr_array((R[row, i][inside], (row[inside], (row + i)[inside])), shape=(K, K))


def _echelon_of(R: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, float, npt.NDArray[np.int64]]:
    """Factor and right-hand side with rows of zeros where a column depends on earlier ones, what is left, and those columns."""
    sizes, found, start, rest = column_sizes(R), [], 0, 0.0
    while len(small := np.flatnonzero(np.abs(R[start:, 0]) <= FREE * sizes[start:])):
        j = start + int(small[0])
        row, right, R, z = R[j : j + 1, 1:].copy(), z[j : j + 1].copy(), R.copy(), z.copy()
        R[j], z[j] = 0.0, 0.0
        found.append(j)
        start = j + 1
        if start < len(R) and row.shape[1]:
            R, z, rest = _kernels.absorb_rows(row, np.array([start]), right, R, z, rest)
        else:
            rest += float(right[0] ** 2)
    return R, z, rest, np.array(found, dtype=np.int64)


def _kept(R: FloatArray, kept: npt.NDArray[np.int64]) -> FloatArray:
    """The rows and columns of a factor that are kept, the other rows being zero."""
    entries = _sparse(R)[:, kept].tocoo()
    place = np.searchsorted(kept, entries.row)
    part = np.zeros((len(kept), R.shape[1]))
    part[place, entries.col - place] = entries.data
    return part


def free_last(penalties: Sequence[Penalty], basis: AnyBasis, columns: FloatArray) -> FloatArray:
    """Orthogonal columns (m, m), of which the last span what no penalty touches of functions with coefficients `columns`."""
    roots = [penalty.root(basis) @ columns for penalty in penalties]
    _, _, axes = np.linalg.svd(np.vstack([root / (np.linalg.norm(root) or 1.0) for root in roots]))
    return np.asarray(axes.T)


def column_sizes(R: FloatArray) -> FloatArray:
    """Euclidean norms of the columns of a factor."""
    K, w = R.shape
    squares = np.zeros(K)
    for i in range(min(w, K)):
        squares[i:] += R[: K - i, i] ** 2
    return np.sqrt(squares)


def _in_words(undetermined: FloatArray, basis: Basis, penalized: bool) -> str:
    """Name a function that no observation fixes, or state that biases are among the coefficients (K, u) that are undetermined."""
    if undetermined[basis.n_basis :].any():
        return (
            "the observations do not separate biases of series from the curve: a bias is relative to a series without one: leave "
            "bias= of one series out, which is then the reference, pass it as a number, or add observations of f without a bias"
        )
    missing = undetermined[: basis.n_basis, 0]
    lower, upper = basis.domain
    x = np.linspace(lower, upper, 1001)
    f = basis.design(x) @ missing
    size = np.abs(f).max()
    u = (x - lower) / (upper - lower)
    for degree, component in enumerate(COMPONENTS):
        rest = f - np.polynomial.Polynomial.fit(u, f, degree)(u)
        if np.abs(rest).max() <= 1e-6 * size:
            remedy = "one observation of f, or an Equals constraint" if degree == 0 else "others, of a lower order or at other x"
            return f"no observation fixes the {component} of f; add {remedy}"
    if penalized:
        return "no observation fixes a function that the penalty leaves free; add observations, or another penalty"
    seen = x[np.abs(f) > 1e-6 * size]
    return (
        f"the observations do not fix f between x = {seen[0]:.6g} and {seen[-1]:.6g}: there are too few of them; use fewer knots "
        "there, or a penalty"
    )
