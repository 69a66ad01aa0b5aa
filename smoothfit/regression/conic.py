"""Least squares under bounds that hold on whole intervals, as a cone program for clarabel.

A polynomial of degree e with Bernstein coefficients b is nonnegative on [0, 1] if and only if, X and Y positive semidefinite,

    p = B'X B + u (1 - u) C'Y C     (e = 2k; B and C the Bernstein polynomials of degree k and k - 1),
    p = u B'X B + (1 - u) B'Y B     (e = 2k + 1; of degree k),

(Karlin & Studden 1966, *Tchebycheff Systems*), which are linear equations between b, X and Y; each is solved for an entry of X or
Y, so that what is left are free entries. Of degree 0 and 1 it suffices that b is nonnegative. Matrices of size 2 are second-order
cones.

The program is solved for the difference d from the minimiser without bounds, of which |R d|^2 is minimised: a constant that is
added to all observations changes neither d nor any tolerance. R d are variables of their own, so that no condition number is
squared; columns and bounds are scaled to size one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import block_diag, solve_triangular
from scipy.sparse import coo_array, csc_array, csr_array, eye_array
from scipy.sparse.linalg import spsolve_triangular

from .._validation import FloatArray
from ..basis.critical import halves
from ..errors import ConvergenceError, SpecificationError
from .polynomials import Polynomials

TOLERANCES = (1e-12, 1e-11, 1e-10, 1e-9)  # of clarabel, relative
INFEASIBLE = ("PrimalInfeasible", "DualInfeasible")  # statuses of clarabel; what is almost so at a tolerance is tried at the next
BLAMED = 1e-6  # share of a certificate of infeasibility, above which a constraint takes part
SHORT = 1e-11  # of the size of a bounded function: what of it lies below its bound is rounding
MOST_MARGINS = 5  # that are tried
NEARLY = 1e-9  # of that size: what may be left where no margin helps, such as on either side of a mode
NEGLIGIBLE = 1e-7  # of the change that bounds make of R c, or of one: what a solution may be from the minimum
ENOUGH = 1e-4  # of the same: what is taken where no other way comes nearer
MOST_DENSE = 2000  # functions of which all combinations may be entries of the program
ACTIVE = 1e-7  # of the variation of the observations: a bound so near is reached


class Program(NamedTuple):
    """minimise |R c - z|^2 (R upper triangular, as a sparse matrix; `free` is its minimiser) with every polynomial nonnegative.

    Of differences from the minimiser z and `free` are zero.
    """

    R: csr_array
    z: FloatArray
    free: FloatArray
    polynomials: Sequence[Polynomials]


def change_of(R: csr_array, polynomials: Sequence[Polynomials]) -> FloatArray:
    """Return the difference d (K,) of the minimiser from that without bounds: |R d| is smallest, the polynomials of d nonnegative.

    Only pieces where the bounds would not hold otherwise are part of the program, and some beside them; those where the solution
    does not hold them join. What minimises under some of the bounds and satisfies them all minimises under all of them. Where the
    solver's tolerance leaves a bound short, by some 1e-10 of the size of what is bounded, four times that is asked for as a margin,
    and four times what is short still beside it.

    Raises
    ------
    SpecificationError
        The constraints contradict each other; those that do are named.
    ConvergenceError
        The solver did not reach its tolerance, or no margin keeps the bounds.
    """
    none = np.zeros(R.shape[1])
    held = [_widened(p.coefficients(none).min(axis=1) < 0) for p in polynomials]
    if not any(of.any() for of in held):
        return none
    program = Program(R, np.zeros(R.shape[0]), none, polynomials)
    margins, best, least, widened = np.zeros(len(polynomials)), none, np.inf, 0
    while True:
        taken = [p.taken(of) for p, of in zip(polynomials, held, strict=True)]
        part = [p._replace(bound=p.bound + margin) for p, margin in zip(taken, margins, strict=True)]
        status, change, blamed = _solved(program._replace(polynomials=part))
        if status != "Solved" and least <= NEARLY:
            return best  # there is no room for a margin
        if status in INFEASIBLE and not widened:
            raise SpecificationError(_conflict(program, blamed))
        if status != "Solved":
            raise ConvergenceError(f"the constrained fit did not converge ({status}); rescale x or y, or use fewer functions")
        broken = [(_least(p.coefficients(change)) < 0) & ~of for p, of in zip(polynomials, held, strict=True)]
        if any(of.any() for of in broken):
            held = [of | _widened(more) for of, more in zip(held, broken, strict=True)]
            continue
        found = [_shortfall(p, change) for p in polynomials]
        if max(short / size for short, size in found) < least:
            best, least = change, max(short / size for short, size in found)
        if least <= SHORT or (widened == MOST_MARGINS and least <= NEARLY):
            return best
        if widened == MOST_MARGINS:
            raise ConvergenceError(
                f"the constrained fit leaves its bounds by {max(short for short, _ in found):.3g} whatever the margin; rescale x "
                "or y, or use fewer functions"
            )
        margins, widened = margins + 4 * np.array([short for short, _ in found]), widened + 1


def _widened(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pieces chosen, and on either side of each run of them one more than as many."""
    wide = chosen.copy()
    ends = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]])))
    for start, end in ends.reshape(-1, 2).tolist():
        wide[max(2 * start - end - 1, 0) : 2 * end - start + 1] = True
    return wide


def _solved(program: Program) -> tuple[str, FloatArray, FloatArray]:
    """Status, coefficients, and the fraction of each bound in a certificate of infeasibility.

    Where R takes some coefficients for far smaller than others, as it does lines under a great weight of the curvature, the solver
    may end short of the minimum. Then it minimises over R c.
    """
    status, coef, blamed, gap = _attempt(program)
    if status in INFEASIBLE or gap <= NEGLIGIBLE:
        return status, coef, blamed
    if len(coef) <= MOST_DENSE:
        back = solve_triangular(program.R.toarray(), np.eye(len(coef)))
        parts = [p._replace(rows=csr_array(p.rows @ back)) for p in program.polynomials]
        unit = csr_array(eye_array(len(coef)))
        there, moved, guilty, left = _attempt(program._replace(R=unit, free=program.R @ program.free, polynomials=parts))
        if left < gap:
            status, coef, blamed, gap = there, back @ moved, guilty, left
    return "AlmostSolved" if status == "Solved" and gap > ENOUGH else status, coef, blamed


def _attempt(program: Program) -> tuple[str, FloatArray, FloatArray, float]:
    """Status, coefficients, weight of each bound in a certificate of infeasibility, and how far R c may be from the minimiser's.

    The last is the distance of R c from what the multipliers of the bounds make of it, beside its size or one.
    """
    import clarabel

    m, K = program.R.shape
    column = np.sqrt(np.bincount(program.R.indices, program.R.data**2, minlength=K))
    scale = np.where(column > 0, column, 1.0)
    parts = [Scaled.of(polynomials, scale) for polynomials in program.polynomials]
    size = max([float(np.abs(right).max(initial=0.0)) for right in (program.z, *(part.bound for part in parts))]) or 1.0
    # R c - u = z, then the cones of the bounds; columns: c, u and the free entries of the matrices
    blocks = [(0, 0, over(program.R, scale)), (0, K, _repeated(-np.eye(1), m))]
    rights, cones, owners = [program.z / size], [clarabel.ZeroConeT(m)], [np.full(m, -1)]
    row, n = m, K + m
    for i, part in enumerate(parts):
        own = part.cone_rows(row, n)
        blocks += own.blocks
        rights.append(own.right / size)
        cones += own.cones
        owners.append(np.full(len(own.right), i))
        row, n = own.end
    P = csc_array((np.ones(m), np.arange(K, K + m), np.clip(np.arange(n + 1) - K, 0, m)), shape=(n, n))
    A = assembled(blocks, (row, n))
    status, x, z = solve_cones(P, np.zeros(n), A, np.concatenate(rights), cones)
    owner, weight = np.concatenate(owners), np.abs(z)
    blamed = np.bincount(owner[owner >= 0], weight[owner >= 0], minlength=len(program.polynomials))
    seen, reached = over(program.R, scale), x[K : K + m]
    left = seen.T @ reached + A.T[:K, m:] @ z[m:]
    lower = csr_array(seen.T)
    lower.indices, lower.indptr = lower.indices.astype(np.intc), lower.indptr.astype(np.intc)  # as SciPy before 1.17 asks
    off = spsolve_triangular(lower, left)
    gap = float(np.linalg.norm(off)) / max(float(np.linalg.norm(reached)), 1 / size)
    return status, x[:K] / scale * size, np.asarray(blamed, dtype=np.float64), gap


def solve_cones(P: csc_array, q: FloatArray, A: csc_array, b: FloatArray, cones: list[Any]) -> tuple[str, FloatArray, FloatArray]:
    """Minimise x'P x / 2 + q'x with b - A x in the cones, to the first tolerance that rounding allows: status, x, multipliers."""
    import clarabel

    status = ""
    for tolerance, equilibrate in product(TOLERANCES, (True, False)):  # clarabel's own scaling helps most programs and hurts some
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.equilibrate_enable = False, equilibrate
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
        solution = clarabel.DefaultSolver(P, q, A, b, cones, settings).solve()
        status = str(solution.status)
        if status in INFEASIBLE or status == "Solved":
            break
    return status, np.asarray(solution.x), np.asarray(solution.z)


class ConeRows(NamedTuple):
    """Rows of A x + s = b, s in cones, that keep polynomials nonnegative: blocks at (row, column), and the end of both."""

    blocks: list[tuple[int, int, csr_array]]
    right: FloatArray
    cones: list[Any]
    end: tuple[int, int]


class Scaled(NamedTuple):
    """Polynomials by scaled coefficients, of size one."""

    rows: csr_array
    bound: FloatArray

    @classmethod
    def of(cls, polynomials: Polynomials, scale: FloatArray) -> Scaled:
        """Polynomials of coefficients that are divided by `scale` (K,)."""
        rows = over(polynomials.rows, scale)
        row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        unit = float(np.sqrt(np.bincount(row, rows.data**2, minlength=1).max())) or 1.0
        return cls(csr_array((rows.data / unit, rows.indices, rows.indptr), shape=rows.shape), polynomials.bound / unit)

    def cone_rows(self, row: int, column: int) -> ConeRows:
        """Rows from `row` on, of the coefficients in the first columns and of the free entries of matrices from `column` on."""
        import clarabel

        count, degree = len(self.bound), self.bound.shape[1] - 1
        bound, free = _cone_entries(degree)
        blocks = [(row, 0, csr_array(-(_repeated(bound, count) @ self.rows)))]
        if free.size:
            blocks.append((row, column, -_repeated(free, count)))
        right = -(self.bound @ bound.T).ravel()
        return ConeRows(blocks, right, _cones_of(clarabel, degree) * count, (row + len(right), column + free.shape[1] * count))


def over(matrix: csr_array, scale: FloatArray) -> csr_array:
    """The matrix with its columns divided."""
    return csr_array((matrix.data / scale[matrix.indices], matrix.indices, matrix.indptr), shape=matrix.shape)


def _repeated(block: FloatArray, n: int) -> csr_array:
    """N times the block (p, q) down the diagonal: (n p, n q)."""
    p, q = block.shape
    columns = q * np.arange(n)[:, None, None] + np.broadcast_to(np.arange(q), (p, q))
    return csr_array((np.tile(block.ravel(), n), columns.ravel(), np.arange(0, n * p * q + 1, q)), shape=(n * p, n * q))


def assembled(blocks: Sequence[tuple[int, int, Any]], shape: tuple[int, int]) -> csc_array:
    """The matrix of blocks at (row, column); entries that are zero are left out."""
    parts = [(row, column, csr_array(block)) for row, column, block in blocks]
    values = np.concatenate([part.data for _, _, part in parts])
    rows = np.concatenate([np.repeat(np.arange(row, row + part.shape[0]), np.diff(part.indptr)) for row, _, part in parts])
    columns = np.concatenate([part.indices + column for _, column, part in parts])
    kept = values != 0
    return csc_array(coo_array((values[kept], (rows[kept], columns[kept])), shape=shape))


def _conflict(program: Program, blamed: FloatArray) -> str:
    """Name constraints that contradict each other, as few as leaving out one after the other leaves."""
    guilty = [p for p, share in zip(program.polynomials, blamed, strict=True) if share > BLAMED * blamed.sum()]
    for p in tuple(guilty):
        others = [other for other in guilty if other is not p]
        if others and _attempt(program._replace(polynomials=others))[0] in INFEASIBLE:
            guilty = others
    names = dict.fromkeys(f"{p.label} on [{p.lower[0]:g}, {p.upper[-1]:g}]" for p in guilty)
    return f"no curve satisfies {' and '.join(names)} and the equalities (if any) together; drop or loosen one of them"


def _matrix_sizes(degree: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sizes of X and Y, and the powers of u beside theirs."""
    k = degree // 2
    return ((k + 1, k), (0, 1)) if degree % 2 == 0 else ((k + 1, k + 1), (1, 0))


@cache
def _cone_entries(degree: int) -> tuple[FloatArray, FloatArray]:
    """What lies in the cones of a piece, by its Bernstein coefficients b (.., degree + 1) and by the free entries of X and Y.

    The equation of b_i is solved for an entry of X next to the diagonal, or where X has none in it, of Y.
    """
    if degree <= 1:
        return np.eye(degree + 1), np.zeros((degree + 1, 0))
    sizes, shifts = _matrix_sizes(degree)
    gram = _gram_entries(degree, sizes, shifts)
    width = gram.shape[1]
    first = sizes[0] * (sizes[0] + 1) // 2
    pivots = []
    for i in range(degree + 1):
        j, start = (i - shifts[0], 0) if 0 <= i - shifts[0] <= 2 * (sizes[0] - 1) else (i - shifts[1], first)
        low, high = j // 2, j - j // 2
        pivots.append(start + high * (high + 1) // 2 + low)
    others = np.setdiff1d(np.arange(width), pivots)
    by_b, by_free = np.zeros((width, degree + 1)), np.zeros((width, len(others)))
    by_b[pivots] = np.diag([comb(degree, i) / gram[i, pivot] for i, pivot in enumerate(pivots)])
    by_free[others] = np.eye(len(others))
    by_free[pivots] = -gram[:, others] / gram[np.arange(degree + 1), pivots][:, None]
    cone = block_diag(*(_cone_map(size) for size in sizes))
    return cone @ by_b, cone @ by_free


def _gram_entries(degree: int, sizes: Sequence[int], shifts: Sequence[int]) -> FloatArray:
    """Matrix (degree + 1, width): from the upper triangles of X and Y to the coefficients of u^i (1 - u)^(degree - i)."""
    columns = []
    for size, shift in zip(sizes, shifts, strict=True):
        for b in range(size):
            for a in range(b + 1):
                column = np.zeros(degree + 1)
                column[a + b + shift] = comb(size - 1, a) * comb(size - 1, b) * (1.0 if a == b else 2.0)
                columns.append(column)
    return np.array(columns).T


def _cone_map(size: int) -> FloatArray:
    """What maps the upper triangle of a matrix to the cone of positive semidefinite ones."""
    if size == 1:
        return np.eye(1)
    if size == 2:  # x00 + x11 >= |(x00 - x11, 2 x01)|
        return np.array([[1.0, 0.0, 1.0], [1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
    return np.diag([1.0 if a == b else np.sqrt(2.0) for b in range(size) for a in range(b + 1)])


def _cones_of(clarabel: Any, degree: int) -> list[Any]:
    """Cones of a piece."""
    if degree <= 1:
        return [clarabel.NonnegativeConeT(degree + 1)]
    kinds = {1: clarabel.NonnegativeConeT(1), 2: clarabel.SecondOrderConeT(3)}
    return [kinds[size] if size in kinds else clarabel.PSDTriangleConeT(size) for size in _matrix_sizes(degree)[0]]


class Active(NamedTuple):
    """Where bounds are reached: (index of the polynomials, lower, upper) of intervals or points, and rows (m, K) of them."""

    places: list[tuple[int, float, float]]
    rows: FloatArray
    owner: npt.NDArray[np.int64]


def active_set(polynomials: Sequence[Polynomials], coef: FloatArray, size: float) -> Active:
    """Points and pieces where a bounded function touches its bound.

    `size` is the variation of the observations in units of the coefficients: a bounded function that is zero everywhere has no size
    of its own, and the level of the observations is unrelated to the distance from a bound.
    """
    places: list[tuple[int, float, float]] = []
    rows, owner = [], []
    for i, p in enumerate(polynomials):
        b = p.coefficients(coef)
        tolerance = ACTIVE * size * p.slope
        near = np.flatnonzero(_least(b) <= tolerance)
        ours = p.rows[(near[:, None] * (p.degree + 1) + np.arange(p.degree + 1)).ravel()].toarray()
        for piece, own in zip(near.tolist(), ours.reshape(len(near), p.degree + 1, len(coef)), strict=True):
            if np.abs(b[piece]).max() <= tolerance:
                places.append((i, float(p.lower[piece]), float(p.upper[piece])))
                nodes = (1 - np.cos(np.pi * np.arange(p.degree + 1) / max(p.degree, 1))) / 2
                rows.append(np.array([_bernstein(p.degree, u) for u in nodes]) @ own)
                owner.append(np.full(len(own), len(places) - 1))
                continue
            for u in _touching(b[piece], tolerance):
                x = float(p.lower[piece] + u * (p.upper[piece] - p.lower[piece]))
                if places and places[-1][0] == i and places[-1][2] >= x - 1e-9 * (p.upper[piece] - p.lower[piece]):
                    continue  # the end of the piece before
                places.append((i, x, x))
                rows.append(np.asarray(_bernstein(p.degree, u)[None] @ own))
                owner.append(np.full(1, len(places) - 1))
    K = len(coef)
    return Active(places, np.vstack(rows) if rows else np.zeros((0, K)), np.concatenate(owner) if owner else np.zeros(0, np.int64))


def _bernstein(degree: int, u: float) -> FloatArray:
    """Values of the Bernstein polynomials at u."""
    return np.array([comb(degree, k) * u**k * (1 - u) ** (degree - k) for k in range(degree + 1)])


def _least(b: FloatArray) -> FloatArray:
    """Lower bounds of polynomials in Bernstein form: their smallest coefficients, after one halving."""
    return np.asarray(np.vstack(halves(b.T)).min(axis=0))


def _shortfall(polynomials: Polynomials, coef: FloatArray) -> tuple[float, float]:
    """How far polynomials fall below zero, and the largest of their coefficients: here, or at zero coefficients."""
    b = polynomials.coefficients(coef)
    size = max(float(np.abs(b).max(initial=0.0)), float(np.abs(polynomials.bound).max(initial=0.0))) or 1.0
    below = b[_least(b) < -SHORT * size]
    values = [_bernstein(len(piece) - 1, u) @ piece for piece in below for u in _touching(piece, 0.0)]
    return max(-min(values, default=0.0), 0.0), size


def _touching(b: FloatArray, tolerance: float) -> list[float]:
    """Local minima in [0, 1] of a polynomial in Bernstein form whose values are at most `tolerance`."""
    slope = np.diff(b)  # in Bernstein form; its j-th power of u has C(degree, j) times a j-th difference
    powers = [comb(len(slope) - 1, j) * np.diff(slope, j)[0] for j in range(len(slope))]
    # of a line, which is the common case, the root is at hand
    critical = np.array([-powers[0] / powers[1]]) if len(powers) == 2 and powers[1] else np.roots(powers[::-1])
    inner = np.real(critical[np.abs(np.imag(critical)) < 1e-4])
    candidates = [0.0, 1.0, *(float(u) for u in inner if 0 < u < 1)]
    return sorted(u for u in candidates if _bernstein(len(b) - 1, u) @ b <= tolerance)
