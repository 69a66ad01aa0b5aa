"""The equation tested against smooth functions that vanish at both ends (its weak form).

Integration by parts moves derivatives from noisy y to smooth test functions. Here the exact difference equation is summed against
samples of test functions phi(s) = exp(-9 / (1 - s^2)) of several radii, orthonormalised by a singular value decomposition:

    Phi (y - Z psi(theta)) = Phi A(L) e,      Var = sigma^2 L L',  L = Phi A,

and generalised least squares with these weights is iterated. Test functions are smooth over many steps, so that Phi A ~ h^m
D^m Phi is small:
they see y as the continuous weak form does, without its quadrature error. Long runs are cut into windows.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from ..._validation import FloatArray
from ...errors import DataError, IdentificationError
from ..regressing import (
    LONG,
    PART,
    Weighted,
    coordinates_of,
    fitted_weighted,
    noise_by_node,
    polynomial,
    search_starts,
    settle,
    weighted_of,
)
from ..relation import Relation, triangle
from ..sample import Sample
from .base import Fitted, Method, Problem, RowScores

LONGEST_WINDOW = 500
ENOUGH_WINDOWS = 40  # for coordinates
RADII = (0.03, 0.1, 0.3)  # of the window; more between them add nothing
SMALLEST = 1e-6  # of the largest singular value: what is kept of the test functions
SHORTEST_RADIUS = 3  # rows


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


class Tested(NamedTuple):
    """Windows of one length, tested by functions whose values have independent noise under the weights that were started from.

    Attributes
    ----------
    values : ndarray, shape (columns, windows, k)
        The target last.
    products : ndarray, shape (m + 1, m + 1, k, k)
        Of the functions and themselves, shifted by up to m rows: what the covariance of tested noise is made of.
    """

    values: FloatArray
    products: FloatArray

    def covariance(self, A: FloatArray) -> FloatArray:
        """Phi A A' Phi', of the values' noise."""
        return np.asarray(np.einsum("i,j,ijkl->kl", A, A, self.products))


def estimate(problem: Problem) -> Fitted:
    """Generalised least squares on the test functions, iterated."""
    sample, equation = problem.sample, problem.equation
    assert sample.step is not None
    relation = Relation(equation, sample.step)
    thetas = search_starts(problem if len(sample) < LONG else Problem(equation, sample.head(PART)), relation)
    tested = _tested(relation, sample, thetas[0])
    count = sum(part.values[0].size for part in tested)
    if sum(part.values.shape[2] for part in tested) <= relation.n_psi:
        raise DataError('the runs are too short for test functions; use method="integral"')
    # Coordinates in which the columns are orthonormal, so that their products keep their digits.
    coordinates = coordinates_of(*triangle(*_stacked(tested, ENOUGH_WINDOWS)))
    if coordinates is None:
        coordinates = coordinates_of(*triangle(*_stacked(tested)))
    if coordinates is None:
        raise IdentificationError("the tested observations do not identify the coefficients; leave out an input")
    k = len(coordinates)
    moments = [(part, _moments(np.tensordot(np.linalg.solve(coordinates, np.eye(k)).T, part.values, axes=1))) for part in tested]

    def weigh(theta: FloatArray) -> Weighted:
        A = polynomial(relation.psi(theta), relation.order)
        gram = np.zeros((k, k))
        for part, products in moments:
            covariance = part.covariance(A)
            gram += np.tensordot(products, cho_solve(cho_factor(covariance), np.eye(len(covariance))), axes=2)
        return weighted_of(gram, coordinates, count)

    found, weighted = settle(relation, weigh, thetas, 'method="output_error"')
    return fitted_weighted(
        relation,
        found,
        weighted,
        noise=noise_by_node(relation, sample, found.theta),
        sigma2=found.rss / (count - equation.n_params),
        by_row=partial(_row_scores, problem, found.theta),
        extra={"n_tests": count},
    )


def _tested(relation: Relation, sample: Sample, theta: FloatArray) -> list[Tested]:
    """Test functions applied to the rows of the difference equation, run after run, in windows of nearly equal length."""
    m, y = relation.order, sample.y[:, 0]
    A = polynomial(relation.psi(theta), m)
    functions: dict[int, tuple[FloatArray, FloatArray]] = {}
    found: dict[int, list[FloatArray]] = {}
    for s in sample.slices():
        rows = s.stop - s.start - m
        if rows <= 2 * SHORTEST_RADIUS:
            continue
        count = -(-rows // LONGEST_WINDOW)
        first = s.start + m
        for n, windows in ((rows // count + 1, rows % count), (rows // count, count - rows % count)):
            if not windows:
                continue
            if n not in functions:
                functions[n] = _independent(test_functions(n), A)
            phi = functions[n][0]
            last = first + n * windows

            def applied(series: FloatArray, lag: int, first: int = first, last: int = last, phi: FloatArray = phi) -> FloatArray:
                return np.asarray(series[first - lag : last - lag].reshape(-1, phi.shape[1]) @ phi.T)

            columns = [applied(y, lag) for lag in range(1, m + 1)]
            columns += [applied(u, lag) for u in sample.u.T for lag in relation.lags]
            if relation.equation.intercept:
                columns.append(np.broadcast_to(phi.sum(axis=1), columns[0].shape))
            found.setdefault(n, []).append(np.stack([*columns, applied(y, 0)]))
            first = last
    if not found:
        raise DataError('every run is too short for test functions; use method="integral"')
    return [Tested(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1), functions[n][1]) for n, parts in found.items()]


def _independent(phi: FloatArray, A: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Combinations of test functions whose values of A e are independent, and the products of their shifts."""
    m, (k, n) = len(A) - 1, phi.shape
    shifted = np.zeros((m + 1, k, n + m))  # over the observations of the window and the m before it
    for j in range(m + 1):
        shifted[j, :, m - j : m - j + n] = phi
    factor = np.asarray(np.linalg.qr(np.tensordot(A, shifted, axes=1).T, mode="r")).T
    shifted = np.stack([solve_triangular(factor, part, lower=True) for part in shifted])
    return np.ascontiguousarray(shifted[0][:, m:]), np.einsum("ikn,jln->ijkl", shifted, shifted, optimize=True)


def _moments(columns: FloatArray) -> FloatArray:
    """Products of columns (c, windows, k), summed over windows: (c, c, k, k)."""
    c, _, k = columns.shape
    products = np.empty((c, c, k, k))
    for a in range(c):
        for b in range(a + 1):
            products[a, b] = columns[a].T @ columns[b]
            products[b, a] = products[a, b].T
    return products


def _stacked(tested: list[Tested], most: int | None = None) -> tuple[FloatArray, FloatArray]:
    """Design (tests, psi) and target (tests,), of some windows of each length or of all."""
    parts = [part.values[:, :: 1 if most is None else max(1, part.values.shape[1] // most)] for part in tested]
    both = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1).T
    return both[:, :-1], both[:, -1]


def _row_scores(problem: Problem, theta: FloatArray) -> RowScores:
    """Scores of the tests, all as of one run."""
    assert problem.sample.step is not None
    relation = Relation(problem.equation, problem.sample.step)
    design, target = _stacked(_tested(relation, problem.sample, theta))
    J = design @ relation.jacobian(theta)
    residual = target - design @ relation.psi(theta)
    return RowScores(J * residual[:, None], np.zeros(len(target), np.int64), (np.linalg.qr(J)[0] ** 2).sum(axis=1))


METHOD = Method(
    "weak",
    estimate,
    "independent measurement noise only; no process noise",
    instead="output_error",
    terms_instead="integral",
    input_rates=True,
)
