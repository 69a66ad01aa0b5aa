"""What the methods that fit the exact difference equation share: filters run by run, starts, and the way to a Fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from .._core import _kernels
from .._validation import FloatArray
from ..errors import ConvergenceError, DataError, SmoothfitError, SpecificationError
from .fast import fast_starts
from .methods.base import Fitted, Problem, RowScores
from .relation import EXACT, Relation, Rows, Solution, least_squares, no_memory, triangle
from .sample import Sample
from .start import starts

Found = TypeVar("Found")

LONG = 50_000  # rows, from which sums of products take the place of columns
PART = 10_000  # rows that determine where a search of long samples starts
SETTLED = 1e-10  # of the noise's variance: what the next change of weights would move
MAX_ROUNDS = 200
DEGENERATE = 1e-4  # of a column, in coordinates that make columns of a part of the data orthonormal: another part is unlike it
DECAYED = 1e-30  # of a response: what is left out of it


def relation_of(problem: Problem) -> tuple[Relation, Rows]:
    """The difference equation of a problem at its spacing, and its rows."""
    step = problem.sample.step
    assert step is not None
    relation = Relation(problem.equation, step)
    rows = relation.rows(problem.sample)
    n_params = problem.equation.n_params
    if len(rows.target) <= relation.n_psi:
        raise DataError(
            f"{len(rows.target)} rows that have their {relation.order} predecessors are too few for {n_params} parameters "
            f"({relation.n_psi} discrete coefficients); sample longer, or leave regressors out"
        )
    return relation, rows


def of_first_rows(problem: Problem, estimate: Callable[[Problem], Found]) -> Found | None:
    """What a function estimates from the first rows of a long sample; None of a short one, or if it fails."""
    if len(problem.sample) < LONG:
        return None
    try:
        return estimate(replace(problem, sample=problem.sample.head(PART)))
    except (SmoothfitError, np.linalg.LinAlgError):  # a start less; the search over all rows raises
        return None


def by_run(rows: Rows, values: FloatArray, action: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Apply an action along time to the rows of each run."""
    starts_of = run_starts(rows.run)
    if len(starts_of) == 1:
        return action(values)
    return np.concatenate([action(part) for part in np.split(values, starts_of[1:])])


def run_starts(run: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first row of each run, of rows in order of their runs."""
    if run[0] == run[-1]:
        return np.zeros(1, np.int64)
    return np.flatnonzero(np.diff(run, prepend=-1))


def early(rows: Rows, denominator: FloatArray) -> npt.NDArray[np.int64]:
    """Rows near the starts of runs, at which responses of 1 / C(L) to what comes before have not decayed to nothing."""
    starts_of = run_starts(rows.run)
    ends = np.append(starts_of[1:], len(rows.run))
    lasting = len(_response(denominator[1:], int((ends - starts_of).max())))
    return np.concatenate([np.arange(a, min(a + lasting, b)) for a, b in zip(starts_of, ends, strict=True)])


def filtered(rows: Rows, values: FloatArray, denominator: FloatArray) -> FloatArray:
    """Values / C(L) run by run, from rest; C = 1 + c_1 L + ..."""
    return by_run(rows, values, lambda part: np.asarray(lfilter([1.0], denominator, part, axis=0)))


def polynomial(psi: FloatArray, order: int) -> FloatArray:
    """A(L) = 1 - phi_1 L - ... as coefficients of 1, L, ..."""
    return np.concatenate([[1.0], -psi[:order]])


def stable(A: FloatArray) -> FloatArray:
    """A(L) with the roots of growing solutions inverted."""
    roots = np.roots(A)
    return np.asarray(np.real(np.poly(np.where(np.abs(roots) > 1, 1 / np.conj(roots), roots))))


def impulses(rows: Rows, count: int) -> FloatArray:
    """Ones at the first `count` rows of each run, a column each: (r, runs count)."""
    firsts = run_starts(rows.run)
    columns = np.zeros((len(rows.run), len(firsts) * count))
    for i, first in enumerate(firsts):
        for j in range(count):
            if first + j < len(rows.run):
                columns[first + j, i * count + j] = 1.0
    return columns


def unrestricted(rows: Rows) -> FloatArray:
    """Discrete coefficients by ordinary least squares."""
    R, q, _ = triangle(rows.design, rows.target)
    return np.asarray(np.linalg.lstsq(R, q, rcond=None)[0])


def search_starts(problem: Problem, relation: Relation, psi: FloatArray | None = None) -> list[FloatArray]:
    """Starts: what unrestricted coefficients imply, then those of every method."""
    found = []
    if psi is not None:
        theta = relation.from_psi(psi)
        if theta is not None:
            found.append(theta)
        elif relation.order == 1:
            raise no_memory(relation)
    return found + starts(problem.equation, problem.sample) + fast_starts(problem.equation, problem.sample, relation.step)


def by_node(problem: Problem, rows: Rows, residual: FloatArray) -> FloatArray:
    """Residuals of rows at the nodes they belong to, (n, 1); NaN elsewhere."""
    table = np.full((len(problem.sample), 1), np.nan)
    table[rows.node, 0] = residual
    return table


def process_gain(relation: Relation, theta: FloatArray) -> float:
    """Variance that noise of unit intensity adds to the difference equation."""
    d = relation.discrete(theta)
    _, first = relation.polynomial(d.T[0])
    return float(sum(row @ d.Q[0, 0] @ row for row in first))


def gaussian_llf(rss: float, n: int) -> float:
    """Log-likelihood of n normal residuals at their own variance."""
    return float(-n / 2 * (np.log(2 * np.pi * max(rss, np.finfo(float).tiny) / n) + 1))


def fitted_regression(
    problem: Problem,
    rows: Rows,
    theta: FloatArray,
    jacobian: FloatArray,
    residual: FloatArray,
    *,
    q: float = 0.0,
    sigma2: float = 0.0,
    decrement: float = 0.0,
) -> Fitted:
    """A Fitted whose covariances are those of the least squares of `residual` on `jacobian` (r, k)."""
    n, k = jacobian.shape
    orthogonal, R = np.linalg.qr(jacobian)
    root = np.linalg.solve(R, np.eye(k))
    bread = root @ root.T
    rss = float(residual @ residual)
    return Fitted(
        theta=theta,
        cov=bread * (rss / (n - k)),
        cov_type="nonrobust",
        noise={},
        q=np.array([q]),
        sigma2=np.array([sigma2]),
        resid=by_node(problem, rows, residual),
        n_rows=n,
        bread=bread,
        by_row=RowScores(jacobian * residual[:, None], rows.run, (orthogonal**2).sum(axis=1)),
        llf=gaussian_llf(rss, n),
        decrement=decrement,
    )


class Weighted(NamedTuple):
    """Weighted rows as |R psi - q|^2 + rest, n of them."""

    R: FloatArray
    q: FloatArray
    rest: float
    n: int


def weighted_of(gram: FloatArray, coordinates: FloatArray, n: int) -> Weighted:
    """Weighted rows from the products of their columns (the target last) in coordinates that make them nearly orthonormal.

    Raises LinAlgError where they are not: products of nearly parallel columns have lost their digits.
    """
    root = np.linalg.cholesky(gram[:-1, :-1]).T
    if root.diagonal().min() <= DEGENERATE * root.diagonal().max():
        raise np.linalg.LinAlgError("a column is nearly a combination of others")
    aim = np.linalg.solve(root.T, gram[:-1, -1])
    rest = max(0.0, float(gram[-1, -1] - aim @ aim))
    R = root @ coordinates[:-1, :-1]
    return Weighted(R, root @ coordinates[:-1, -1] + aim * coordinates[-1, -1], rest * float(coordinates[-1, -1]) ** 2, n)


def coordinates_of(R: FloatArray, q: FloatArray, rest: float) -> FloatArray | None:
    """Coordinates in which columns with the triangle (R, q, rest) are orthonormal; None if they are dependent."""
    if (np.abs(R.diagonal()) <= np.finfo(float).eps * np.linalg.norm(R, axis=0)).any():
        return None
    return np.block([[R, q[:, None]], [np.zeros((1, len(q))), np.sqrt(rest) or np.linalg.norm(q) or 1.0]])


def settle(
    relation: Relation, weigh: Callable[[FloatArray], Weighted], thetas: list[FloatArray], instead: str
) -> tuple[Solution, Weighted]:
    """Least squares whose weights come from the coefficients before, until these no longer move; the last rows, too.

    The change r = g(theta) - theta of one round shrinks by a nearly constant factor. Rounds therefore start where the last two
    changes vanish together along a line, at g - b (g - g before), b = r'(r - r before)/|r - r before|^2 (D. G. Anderson 1965,
    "Iterative procedures for nonlinear integral equations").
    """
    theta, starts_of = thetas[0], thetas
    before: tuple[FloatArray, FloatArray] | None = None
    rss = last = np.inf
    for _ in range(MAX_ROUNDS):
        weighted = weigh(theta)
        R, q, rest, n = weighted
        found = least_squares(relation, R, q, n, starts_of, rest)
        if found.rss <= (EXACT * float(np.linalg.norm(q))) ** 2:  # no noise that weights could weigh
            return found, weighted
        slopes = R @ relation.jacobian(found.theta)
        change = found.theta - theta
        moved = float(np.sum((slopes @ change) ** 2))
        noise = found.rss / max(1, n - len(theta))
        shrinking = 1.0 if before is None else min(1.0, moved / max(last, np.finfo(float).tiny))
        if moved * shrinking <= SETTLED * max(noise, (1e-12 * float(np.linalg.norm(q))) ** 2):
            return found, weighted
        theta, rss = found.theta, found.rss
        if before is not None:
            gap = slopes @ (change - before[0])
            if gap @ gap > 0 and moved < np.sum((slopes @ before[0]) ** 2) / 4:
                theta = theta - float((slopes @ change) @ gap / (gap @ gap)) * (found.theta - before[1])
        before, last, starts_of = (change, found.theta), moved, [theta]
    raise ConvergenceError(
        f'the weights have not converged after {MAX_ROUNDS} rounds; process noise does that: use {instead} or method="kalman"',
        rss,
    )


def fitted_weighted(
    relation: Relation,
    found: Solution,
    weighted: Weighted,
    *,
    noise: FloatArray,
    sigma2: float,
    by_row: Callable[[], RowScores],
    extra: Mapping[str, Any] | None = None,
) -> Fitted:
    """A Fitted whose covariance is that of weighted rows, by their noise `sigma2`; `noise` by node, (n, 1)."""
    root = np.linalg.solve(np.linalg.qr(weighted.R @ relation.jacobian(found.theta), mode="r"), np.eye(len(found.theta)))
    bread = root @ root.T
    return Fitted(
        theta=found.theta,
        cov=bread * sigma2,
        cov_type="eiv",
        noise={},
        q=np.zeros(1),
        sigma2=np.array([sigma2]),
        resid=noise,
        n_rows=weighted.n,
        bread=bread,
        by_row=by_row,
        decrement=found.decrement,
        extra=extra or {},
    )


def noise_by_node(relation: Relation, sample: Sample, theta: FloatArray) -> FloatArray:
    """Observations minus the solution of the equation at theta, initial states fitted, (n, 1); NaN in the first rows of a run."""
    psi, m = relation.psi(theta), relation.order
    a = polynomial(psi, m)[1:]
    left = _kernels.filtered_residual(
        np.ascontiguousarray(sample.y[:, 0]), sample.u, sample.edges, a, relation.lags[0], relation.equation.intercept, psi
    )
    longest = int(np.diff(sample.edges).max())
    response = _response(a, longest - m)
    for s in sample.slices():
        rest = left[s.start + m : s.stop][: len(response)]
        if len(rest):
            basis = np.linalg.qr(response[: len(rest)])[0]
            rest -= basis @ (basis.T @ rest)
    return left[:, None]


def _response(a: FloatArray, n: int) -> FloatArray:
    """Responses of 1 / A to the first m of n rows, as far as they have not decayed."""
    denominator = np.concatenate([[1.0], a])
    count = min(n, 256)
    while True:
        first = lfilter([1.0], denominator, np.arange(count) == 0)
        if count == n or np.abs(first[-len(a) :]).max() < DECAYED:
            return np.column_stack([np.concatenate([np.zeros(j), first[: count - j]]) for j in range(min(len(a), count))])
        count = min(n, 4 * count)


def require_memory_loss(problem: Problem, method: str) -> None:
    """Refuse an equation that integrates (y itself not on the right): its moving average has a root on the unit circle."""
    if 0 not in problem.equation.derivatives:
        name = problem.equation.outputs[0]
        raise SpecificationError(
            f'method="{method}" needs {name} itself on the right: without it the equation integrates for ever, and noise of '
            f"the observations is not "
            'invertible; use method="kalman"'
        )
