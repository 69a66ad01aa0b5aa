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
from scipy.linalg import solve_triangular

from ..._validation import FloatArray
from ...errors import DataError, IdentificationError
from ..regressing import LONG, PART, Weighted, coordinates_of, noise_by_node, polynomial, search_starts, settle, weighted_of
from ..relation import Relation, triangle
from ..sample import Sample
from .base import Fitted, Method, Problem, RowScores

LONGEST_WINDOW = 500
ENOUGH_WINDOWS = 40  # for coordinates
RADII = (0.03, 0.06, 0.12, 0.25, 0.5)  # of the window
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
    """Test functions of one length applied to windows: (columns, windows, k), the target last."""

    n: int
    values: FloatArray


def estimate(problem: Problem) -> Fitted:
    """Generalised least squares on the test functions, iterated."""
    sample, equation = problem.sample, problem.equation
    assert sample.step is not None
    relation = Relation(equation, sample.step)
    tested = _tested(relation, sample)
    if sum(len(test_functions(part.n)) for part in tested) <= relation.n_psi:
        raise DataError('the runs are too short for test functions; use method="integral"')
    thetas = search_starts(problem if len(sample) < LONG else Problem(equation, sample.head(PART)), relation)
    # Coordinates in which the weighted columns are orthonormal, so that their products keep their digits.
    some = [Tested(n, values[:, :: max(1, values.shape[1] // ENOUGH_WINDOWS)]) for n, values in tested]
    coordinates = coordinates_of(*triangle(*_whitened(relation, thetas[0], some)))
    if coordinates is None:
        coordinates = coordinates_of(*triangle(*_whitened(relation, thetas[0], tested)))
    if coordinates is None:
        raise IdentificationError("the tested readings do not tell the coefficients apart; leave an input out")
    k = len(coordinates)
    turned = np.linalg.solve(coordinates, np.eye(k)).T
    products = []
    for n, values in tested:
        columns = np.tensordot(turned, values, axes=1)
        products.append((n, np.einsum("awk,bwl->abkl", columns, columns, optimize=True)))
    count = sum(part.values.shape[1] * part.values.shape[2] for part in tested)

    def weigh(theta: FloatArray) -> Weighted:
        gram = np.zeros((k, k))
        for n, product in products:
            inverse = solve_triangular(_factor(relation, theta, n), np.eye(product.shape[-1]), lower=True)
            gram += ((inverse @ product) * inverse).sum(axis=(2, 3))
        return weighted_of(gram, coordinates, count)

    found, weighted = settle(relation, weigh, thetas, 'method="output_error"')
    noise = noise_by_node(relation, sample, found.theta)
    sigma2 = found.rss / (count - equation.n_params)
    root = np.linalg.solve(np.linalg.qr(weighted.R @ relation.jacobian(found.theta), mode="r"), np.eye(equation.n_params))
    return Fitted(
        theta=found.theta,
        cov=root @ root.T * sigma2,
        cov_type="eiv",
        noise={},
        q=np.zeros(1),
        sigma2=np.array([sigma2]),
        resid=noise,
        n_rows=count,
        bread=root @ root.T,
        by_row=partial(_row_scores, problem, found.theta),
        decrement=found.decrement,
        extra={"n_tests": count},
    )


def _tested(relation: Relation, sample: Sample) -> list[Tested]:
    """Test functions applied to the rows of the difference equation, run after run, in windows of nearly equal length."""
    m, y = relation.order, sample.y[:, 0]
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
            phi = test_functions(n)

            def applied(series: FloatArray, lag: int, at: slice = slice(first, first + n * windows), phi: FloatArray = phi) -> FloatArray:
                return np.asarray(series[at.start - lag : at.stop - lag].reshape(-1, phi.shape[1]) @ phi.T)

            columns = [applied(y, lag) for lag in range(1, m + 1)]
            columns += [applied(u, lag) for u in sample.u.T for lag in relation.lags]
            if relation.equation.intercept:
                columns.append(np.broadcast_to(phi.sum(axis=1), columns[0].shape))
            found.setdefault(n, []).append(np.stack([*columns, applied(y, 0)]))
            first += n * windows
    if not found:
        raise DataError('every run is too short for test functions; use method="integral"')
    return [Tested(n, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)) for n, parts in found.items()]


def _factor(relation: Relation, theta: FloatArray, n: int) -> FloatArray:
    """Cholesky factor of Phi A A' Phi', the covariance of tested noise."""
    A = polynomial(relation.psi(theta), relation.order)
    phi = test_functions(n)
    m = relation.order
    moved = np.zeros((len(phi), n + m))  # A'phi over the readings of the window and the m before it
    for j, a in enumerate(A):
        moved[:, m - j : m - j + n] += a * phi
    return np.asarray(np.linalg.qr(moved.T, mode="r")).T


def _whitened(relation: Relation, theta: FloatArray, tested: list[Tested]) -> tuple[FloatArray, FloatArray]:
    """Design (tests, psi) and target (tests,), divided by the factor of their covariance."""
    parts = []
    for n, values in tested:
        factor = _factor(relation, theta, n)
        columns = values.reshape(-1, values.shape[2]).T
        parts.append(solve_triangular(factor, columns, lower=True).T.reshape(len(values), -1).T)
    both = np.concatenate(parts)
    return both[:, :-1], both[:, -1]


def _row_scores(problem: Problem, theta: FloatArray) -> RowScores:
    """Scores of the tests, all as of one run."""
    assert problem.sample.step is not None
    relation = Relation(problem.equation, problem.sample.step)
    design, target = _whitened(relation, theta, _tested(relation, problem.sample))
    J = design @ relation.jacobian(theta)
    residual = target - design @ relation.psi(theta)
    return RowScores(J * residual[:, None], np.zeros(len(target), np.int64), (np.linalg.qr(J)[0] ** 2).sum(axis=1))


METHOD = Method(
    "weak",
    estimate,
    "independent noise of the readings alone; the equation itself holds exactly",
    instead="output_error",
)
