"""What the methods that fit the exact difference equation share: filters run by run, starts, and the way to a Fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.signal import lfilter

from .._validation import FloatArray
from ..errors import DataError, SpecificationError
from .methods.base import Fitted, Problem
from .relation import Relation, Rows, no_memory, triangle
from .start import starts


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


def by_run(rows: Rows, values: FloatArray, action: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Apply an action along time to the rows of each run."""
    edges = np.flatnonzero(np.diff(rows.run)) + 1
    if not len(edges):
        return action(values)
    return np.concatenate([action(part) for part in np.split(values, edges)])


def filtered(rows: Rows, values: FloatArray, denominator: FloatArray) -> FloatArray:
    """Values / C(L) run by run, from rest; C = 1 + c_1 L + ..."""
    return by_run(rows, values, lambda part: np.asarray(lfilter([1.0], denominator, part, axis=0)))


def polynomial(psi: FloatArray, order: int) -> FloatArray:
    """A(L) = 1 - phi_1 L - ... as coefficients of 1, L, ..."""
    return np.concatenate([[1.0], -psi[:order]])


def impulses(rows: Rows, count: int) -> FloatArray:
    """Ones at the first `count` rows of each run, a column each: (r, runs count)."""
    firsts = np.flatnonzero(np.diff(rows.run, prepend=-1))
    columns = np.zeros((len(rows.run), len(firsts) * count))
    for i, first in enumerate(firsts):
        for j in range(count):
            if first + j < len(rows.run):
                columns[first + j, i * count + j] = 1.0
    return columns


def unrestricted(relation: Relation, rows: Rows) -> FloatArray:
    """Discrete coefficients by ordinary least squares."""
    R, q, _ = triangle(rows.design, rows.target)
    return np.asarray(np.linalg.lstsq(R, q, rcond=None)[0])


def search_starts(problem: Problem, relation: Relation, psi: FloatArray | None = None) -> list[FloatArray]:
    """Starts: what unrestricted coefficients say, then those of every method."""
    found = []
    if psi is not None:
        theta = relation.from_psi(psi)
        if theta is not None:
            found.append(theta)
        elif relation.order == 1:
            raise no_memory(relation)
    return found + starts(problem.equation, problem.sample)


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
    notes: tuple[str, ...] = (),
    extra: Mapping[str, Any] | None = None,
    n_constants: int = 0,
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
        scores=jacobian * residual[:, None],
        runs=rows.run,
        leverage=(orthogonal**2).sum(axis=1),
        llf=gaussian_llf(rss, n),
        n_constants=n_constants,
        decrement=decrement,
        notes=notes,
        extra=extra or {},
    )


def require_memory_loss(problem: Problem, method: str) -> None:
    """Refuse an equation that integrates (y itself not on the right): its moving average has a root on the unit circle."""
    if 0 not in problem.equation.derivatives:
        name = problem.equation.outputs[0]
        raise SpecificationError(
            f'method="{method}" needs {name} itself on the right: without it the equation integrates for ever, and noise of '
            f"the readings is not "
            'invertible; use method="kalman"'
        )
