"""The equation tested against smooth functions that vanish at both ends (its weak form).

Integration by parts moves derivatives from noisy y to smooth test functions. Here the exact difference equation is summed against
samples of test functions phi(s) = exp(-9 / (1 - s^2)) of several radii, orthonormalised by a singular value decomposition:

    Phi (y - Z psi(theta)) = Phi A(L) e,      Var = sigma^2 L L',  L = Phi A,

and generalised least squares with these weights is iterated. Test functions are smooth over many steps, so that Phi A ~ h^m
D^m Phi is small:
they see y as the continuous weak form does, without its quadrature error. Long runs are cut into windows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.linalg import solve_triangular

from ..._validation import FloatArray
from ...errors import ConvergenceError, DataError
from ..regressing import by_node, fitted_regression, polynomial, relation_of, search_starts
from ..relation import Relation, Rows, least_squares, triangle
from .base import Fitted, Method, Problem
from .integral import noise_of_readings

LONGEST_WINDOW = 500
RADII = (0.03, 0.06, 0.12, 0.25, 0.5)  # of the window
SMALLEST = 1e-6  # of the largest singular value: what is kept of the test functions
SHORTEST_RADIUS = 3  # rows
MAX_ITERATIONS = 200


@lru_cache(maxsize=16)
def test_functions(n: int) -> FloatArray:
    """Orthonormal rows (k, n) that span bumps of several radii, centred half a radius apart."""
    at = np.arange(n, dtype=float)
    bumps = []
    for share in RADII:
        radius = share * n
        if radius < SHORTEST_RADIUS:
            continue
        count = max(1, int(np.ceil((n - 1 - 2 * radius) / (radius / 2))) + 1)
        for centre in np.linspace(radius, n - 1 - radius, count) if n - 1 > 2 * radius else [(n - 1) / 2]:
            s = (at - centre) / radius
            inside = np.abs(s) < 1
            bump = np.zeros(n)
            bump[inside] = np.exp(-9 / (1 - s[inside] ** 2))
            if bump.any():
                bumps.append(bump / np.linalg.norm(bump))
    if not bumps:
        raise DataError(f'a run of {n} rows is too short for test functions; use method="integral"')
    _, size, rows = np.linalg.svd(np.array(bumps), full_matrices=False)
    kept = rows[size > SMALLEST * size[0]]
    kept.flags.writeable = False
    return np.asarray(kept)


def estimate(problem: Problem) -> Fitted:
    """Generalised least squares on the test functions, iterated."""
    relation, rows = relation_of(problem)
    windows = _windows(rows)
    if sum(len(test_functions(end - start)) for start, end in windows) <= relation.n_psi:
        raise DataError('the runs are too short for test functions; use method="integral"')
    both = np.column_stack([rows.design, rows.target])
    tested = [
        (n, _tested(both, n, [start for start, end in windows if end - start == n])) for n in sorted({b - a for a, b in windows})
    ]
    thetas = search_starts(problem, relation)
    found = None
    size = 1.0
    for _ in range(MAX_ITERATIONS):
        theta = thetas[0] if found is None else found.theta
        whitened = np.concatenate([_whiten(relation, theta, n, part, both.shape[1]) for n, part in tested])
        R, q, rest = triangle(whitened[:, :-1], whitened[:, -1])
        following = least_squares(relation, R, q, len(whitened), thetas if found is None else [theta], rest)
        if found is not None:
            moved = R @ relation.jacobian(following.theta) @ (following.theta - found.theta)
            noise = following.rss / max(1, len(whitened) - len(theta))
            size = float(np.linalg.norm(q))
            if moved @ moved <= 1e-10 * max(noise, (1e-12 * size) ** 2):
                return _fitted(problem, relation, rows, whitened, following.theta, following.decrement)
        found = following
    raise ConvergenceError(f'the weights have not settled after {MAX_ITERATIONS} iterations; use method="output_error"', size)


def _windows(rows: Rows) -> list[tuple[int, int]]:
    """Pieces of the runs, none longer than a window."""
    edges = [*np.flatnonzero(np.diff(rows.run, prepend=-1)).tolist(), len(rows.run)]
    pieces = []
    for start, end in pairwise(edges):
        count = max(1, int(np.ceil((end - start) / LONGEST_WINDOW)))
        cuts = [start + k * ((end - start) // count) for k in range(count)] + [end]
        pieces += [(a, b) for a, b in pairwise(cuts) if b - a > 2 * SHORTEST_RADIUS]
    if not pieces:
        raise DataError('every run is too short for test functions; use method="integral"')
    return pieces


def _tested(both: FloatArray, n: int, starts: list[int]) -> FloatArray:
    """Test functions applied to the windows of one length, (k, windows columns)."""
    phi = test_functions(n)
    windows = np.stack([both[start : start + n] for start in starts], axis=1)
    return np.asarray(phi @ windows.reshape(n, -1))


def _whiten(relation: Relation, theta: FloatArray, n: int, tested: FloatArray, width: int) -> FloatArray:
    """Divide by the Cholesky factor of Phi A A' Phi': (k windows, columns)."""
    A = polynomial(relation.psi(theta), relation.order)
    phi = test_functions(n)
    m = relation.order
    moved = np.zeros((len(phi), n + m))  # A'phi over the readings of the window and the m before it
    for j, a in enumerate(A):
        moved[:, m - j : m - j + n] += a * phi
    factor = np.asarray(np.linalg.qr(moved.T, mode="r")).T
    return np.asarray(solve_triangular(factor, tested, lower=True).reshape(-1, width))


def _fitted(problem: Problem, relation: Relation, rows: Rows, whitened: FloatArray, theta: FloatArray, decrement: float) -> Fitted:
    J = whitened[:, :-1] @ relation.jacobian(theta)
    residual = whitened[:, -1] - whitened[:, :-1] @ relation.psi(theta)
    free = len(residual) - len(theta)
    sigma2 = float(residual @ residual) / free
    tested = Rows(
        whitened[:, -1], whitened[:, :-1], np.arange(len(residual)) % len(problem.sample), np.zeros(len(residual), np.int64)
    )
    fitted = fitted_regression(problem, tested, theta, J, residual, sigma2=sigma2, decrement=decrement)
    return replace(
        fitted,
        cov_type="eiv",
        llf=np.nan,
        resid=by_node(problem, rows, noise_of_readings(relation, rows, theta)),
        extra={"n_tests": len(residual)},
    )


METHOD = Method(
    "weak",
    estimate,
    "independent noise of the readings alone; the equation itself holds exactly",
    instead="output_error",
)
