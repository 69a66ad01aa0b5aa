"""Least squares under bounds that hold on whole intervals, as a cone program for clarabel.

A polynomial of degree e with Bernstein coefficients b is nonnegative on [0, 1] if and only if, X and Y positive semidefinite,

    p = B'X B + u (1 - u) C'Y C     (e = 2k; B and C the Bernstein polynomials of degree k and k - 1),
    p = u B'X B + (1 - u) B'Y B     (e = 2k + 1; of degree k),

(Karlin & Studden 1966, *Tchebycheff Systems*), which are linear equations between b, X and Y. Of degree 0 and 1 it suffices that
b is nonnegative. Matrices of size 2 are second-order cones.

The program has the residual of the factor for variables, |R c - z|^2, so that no condition number is squared; columns, readings
and bounds are scaled to size one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial
from scipy.sparse import block_array, coo_array, csc_array, csr_array, diags_array, eye_array, kron, vstack

from .._validation import FloatArray
from ..errors import ConvergenceError, SpecificationError
from .constraints import Polynomials

TOLERANCES = (1e-12, 1e-11, 1e-10, 1e-9)  # of clarabel, relative
BLAMED = 1e-6  # share of a certificate of infeasibility, above which a constraint takes part
ACTIVE = 1e-7  # of the size of a bounded function: a bound so near is reached


class Program(NamedTuple):
    """minimise |R c - z|^2 (R square, as a sparse matrix) with every polynomial nonnegative."""

    R: csr_array
    z: FloatArray
    polynomials: Sequence[Polynomials]


def solve_program(program: Program) -> FloatArray:
    """Return the minimiser (K,).

    Raises
    ------
    SpecificationError
        The constraints contradict each other; those that do are named.
    ConvergenceError
        The solver did not reach its tolerance.
    """
    status, coef, blamed = _attempt(program)
    if "Infeasible" in status:
        raise SpecificationError(_conflict(program, blamed))
    if status != "Solved":
        raise ConvergenceError(f"the constrained fit did not converge ({status}); rescale x or y, or use fewer functions")
    return coef


def _attempt(program: Program) -> tuple[str, FloatArray, FloatArray]:
    """Status, coefficients, and the share of each bound in a certificate of infeasibility."""
    import clarabel

    K = program.R.shape[1]
    column = np.sqrt(np.asarray((program.R**2).sum(axis=0))).ravel()
    scale = np.where(column > 0, column, 1.0)
    size = (
        max([float(np.abs(program.z).max(initial=0.0)), *(float(_in_readings(p, scale)) for p in program.polynomials)], default=1.0)
        or 1.0
    )
    columns = diags_array(1 / scale)
    blocks, rights, cones, owners = _objective(program.R @ columns, program.z / size)
    n_matrix = 0
    for i, polynomials in enumerate(program.polynomials):
        rows = polynomials.rows @ columns
        unit = float(np.sqrt((rows**2).sum(axis=1).max())) or 1.0
        part = _cone(csr_array(rows / unit), polynomials.bound / (unit * size), polynomials.degree)
        for left, own, right, cone in part.rows:
            blocks.append((left, own, n_matrix))
            rights.append(right)
            cones.append(cone)
            owners.append(np.full(len(right), i))
        n_matrix += part.n_matrix
    A = _assemble(blocks, K, n_matrix)
    n = K + len(program.z) + n_matrix
    P = csc_array(coo_array((np.ones(len(program.z)), (np.arange(K, K + len(program.z)),) * 2), shape=(n, n)))
    objects = [cone for group in cones for cone in group(clarabel)]
    status = ""
    for tolerance in TOLERANCES:  # the first that rounding allows
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
        solution = clarabel.DefaultSolver(P, np.zeros(n), A, np.concatenate(rights), objects, settings).solve()
        status = str(solution.status)
        if "Infeasible" in status or status == "Solved":
            break
    owner, weight = np.concatenate(owners), np.abs(np.asarray(solution.z))
    blamed = np.bincount(owner[owner >= 0], weight[owner >= 0], minlength=len(program.polynomials))
    return status, np.asarray(solution.x[:K]) / scale * size, np.asarray(blamed, dtype=np.float64)


def _in_readings(polynomials: Polynomials, scale: FloatArray) -> float:
    """Size of the bounds in units of the scaled coefficients."""
    rows = polynomials.rows @ diags_array(1 / scale)
    unit = float(np.sqrt((rows**2).sum(axis=1).max())) or 1.0
    return float(np.abs(polynomials.bound).max(initial=0.0)) / unit


def _conflict(program: Program, blamed: FloatArray) -> str:
    """Name constraints that contradict each other, as few as leaving out one after the other leaves."""
    guilty = [p for p, share in zip(program.polynomials, blamed, strict=True) if share > BLAMED * blamed.sum()]
    for p in tuple(guilty):
        others = [other for other in guilty if other is not p]
        if others and "Infeasible" in _attempt(program._replace(polynomials=others))[0]:
            guilty = others
    names = dict.fromkeys(f"{p.label} on [{p.lower[0]:g}, {p.upper[-1]:g}]" for p in guilty)
    return f"no curve satisfies {' and '.join(names)} together, with the equalities; drop or loosen one of them"


class _Part(NamedTuple):
    rows: list[tuple[Any, Any, FloatArray, Any]]
    n_matrix: int


def _objective(R: Any, z: FloatArray) -> tuple[list[Any], list[FloatArray], list[Any], list[npt.NDArray[np.int64]]]:
    """R c - u = z."""
    n = len(z)

    def cone(clarabel: Any) -> list[Any]:
        return [clarabel.ZeroConeT(n)]

    return [((R, -eye_array(n)), None, 0)], [z], [cone], [np.full(n, -1)]


def _cone(rows: csr_array, bound: FloatArray, degree: int) -> _Part:
    """Rows of A x + s = b, for the coefficients, for matrices, right-hand sides and cones."""
    n = len(bound)
    if degree <= 1:
        return _Part([(-rows, None, -bound.ravel(), lambda clarabel: [clarabel.NonnegativeConeT(bound.size)])], 0)
    k = degree // 2
    sizes, shifts = ((k + 1, k), (0, 1)) if degree % 2 == 0 else ((k + 1, k + 1), (1, 0))
    entries, width = _gram_entries(degree, sizes, shifts)
    own = csr_array(kron(eye_array(n), csr_array(entries)))
    weights = np.tile([float(comb(degree, i)) for i in range(degree + 1)], n)
    equations = (
        diags_array(weights) @ rows,
        -own,
        weights * bound.ravel(),
        lambda clarabel: [clarabel.ZeroConeT(n * (degree + 1))],
    )
    blocks = [_cone_map(size) for size in sizes]
    local = np.zeros((width, width))
    position = 0
    for block in blocks:
        local[position : position + len(block), position : position + len(block)] = block
        position += len(block)
    maps = csr_array(kron(eye_array(n), csr_array(local)))

    def cones(clarabel: Any) -> list[Any]:
        return [cone for _ in range(n) for size in sizes for cone in _cones_of(clarabel, size)]

    return _Part([equations, (None, -maps, np.zeros(n * width), cones)], n * width)


def _gram_entries(degree: int, sizes: Sequence[int], shifts: Sequence[int]) -> tuple[FloatArray, int]:
    """Matrix (degree + 1, width): from the upper triangles of X and Y to the coefficients of u^i (1 - u)^(degree - i)."""
    columns = []
    for size, shift in zip(sizes, shifts, strict=True):
        for b in range(size):
            for a in range(b + 1):
                column = np.zeros(degree + 1)
                column[a + b + shift] = comb(size - 1, a) * comb(size - 1, b) * (1.0 if a == b else 2.0)
                columns.append(column)
    return np.array(columns).T, len(columns)


def _cone_map(size: int) -> FloatArray:
    """What takes the upper triangle of a matrix to the cone that says that it is positive semidefinite."""
    if size == 1:
        return np.eye(1)
    if size == 2:  # x00 + x11 >= |(x00 - x11, 2 x01)|
        return np.array([[1.0, 0.0, 1.0], [1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
    return np.diag([1.0 if a == b else np.sqrt(2.0) for b in range(size) for a in range(b + 1)])


def _cones_of(clarabel: Any, size: int) -> list[Any]:
    if size == 0:
        return []
    if size == 1:
        return [clarabel.NonnegativeConeT(1)]
    return [clarabel.SecondOrderConeT(3)] if size == 2 else [clarabel.PSDTriangleConeT(size)]


def _assemble(blocks: list[Any], K: int, n_matrix: int) -> csc_array:
    """A, whose columns are the coefficients, the residuals and the matrices."""
    (first, residual), _, _ = blocks[0]
    m = residual.shape[0]
    rows = [block_array([[first, residual, csr_array((m, n_matrix))]]) if n_matrix else block_array([[first, residual]])]
    for left, own, start in blocks[1:]:
        height = left.shape[0] if left is not None else own.shape[0]
        left = csr_array((height, K)) if left is None else left
        parts = [left, csr_array((height, m))]
        if n_matrix:
            width = 0 if own is None else own.shape[1]
            parts += [csr_array((height, start))] if start else []
            parts += [own] if own is not None else []
            rest = n_matrix - start - width
            parts += [csr_array((height, rest))] if rest else []
        rows.append(block_array([parts]))
    return csc_array(vstack(rows))


class Active(NamedTuple):
    """Where bounds are reached: (index of the polynomials, lower, upper) of intervals or points, and rows (m, K) of them."""

    places: list[tuple[int, float, float]]
    rows: FloatArray
    owner: npt.NDArray[np.int64]


def active_set(polynomials: Sequence[Polynomials], coef: FloatArray) -> Active:
    """Points and pieces where a bounded function touches its bound."""
    places: list[tuple[int, float, float]] = []
    rows, owner = [], []
    for i, p in enumerate(polynomials):
        b = p.coefficients(coef)
        spread = np.asarray(abs(p.rows) @ np.abs(coef))
        size = max(float(np.abs(b).max()), 1e-6 * float(spread.max()))
        near = np.flatnonzero(_least(b) <= ACTIVE * size)
        for piece in near.tolist():
            own = p.rows[piece * (p.degree + 1) : (piece + 1) * (p.degree + 1)].toarray()
            if np.abs(b[piece]).max() <= ACTIVE * size:
                places.append((i, float(p.lower[piece]), float(p.upper[piece])))
                nodes = (1 - np.cos(np.pi * np.arange(p.degree + 1) / max(p.degree, 1))) / 2
                rows.append(np.array([_bernstein(p.degree, u) for u in nodes]) @ own)
                owner.append(np.full(len(own), len(places) - 1))
                continue
            for u in _touching(b[piece], ACTIVE * size):
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
    """Lower bounds of polynomials in Bernstein form: their least coefficients, after one halving."""
    left, right, points = [b[:, 0]], [b[:, -1]], b
    while points.shape[1] > 1:
        points = (points[:, :-1] + points[:, 1:]) / 2
        left.append(points[:, 0])
        right.append(points[:, -1])
    return np.asarray(np.minimum(np.min(left, axis=0), np.min(right, axis=0)))


def _touching(b: FloatArray, tolerance: float) -> list[float]:
    """Local minima in [0, 1] of a polynomial in Bernstein form whose values are at most `tolerance`."""
    degree = len(b) - 1
    u, v = Polynomial([0.0, 1.0]), Polynomial([1.0, -1.0])
    polynomial = sum((c * comb(degree, k) * u**k * v ** (degree - k) for k, c in enumerate(b)), start=Polynomial([0.0]))
    candidates = [0.0, 1.0]
    if degree >= 2:
        critical = polynomial.deriv().roots()
        inner = np.real(critical[np.abs(np.imag(critical)) < 1e-4])
        candidates += [float(u) for u in inner if 0 < u < 1]
    return sorted(u for u in candidates if polynomial(u) <= tolerance)
