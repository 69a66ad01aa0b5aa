"""Ordinary least squares on the differenced exact equation, where y itself is not on the right.

For y'' = a y' + b u + c sampled at the spacing h, with phi = exp(a h):

    (y_{k+1} - y_k) = phi (y_k - y_{k-1}) + b_0 u_k + b_1 u_{k-1} + c_0,   c1 = (phi - 1)/a,   c2 = (c1 - h)/a,
    b_0 = b c2,   b_1 = b (c1^2 - phi c2),   c_0 = c c1 h

and likewise for higher orders: the exact difference equation has the root one, which differences take out. The discrete
coefficients are
free; poles follow from phi and b, c from the sums of their coefficients, with the delta method. As "arx", it takes the observations
as exact; differences of noisy observations ruin it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import SpecificationError
from ..regressing import fitted_regression, process_gain, relation_of
from ..relation import no_memory, triangle
from .base import Fitted, Method, Problem


def estimate(problem: Problem) -> Fitted:
    """OLS on first differences, then continuous time."""
    equation = problem.equation
    m = equation.order
    name = equation.outputs[0]
    if m < 2 or sorted(equation.derivatives) != list(range(1, m)):
        raise SpecificationError(
            f'method="arimax" regresses differences of {name}, for equations of order two or more with all derivatives of '
            f"{name} but "
            f'not {name} itself on the right; use method="arx", or pass derivatives=({", ".join(map(str, range(1, max(2, m))))},)'
        )
    relation, rows = relation_of(problem)
    # y_{k+m} - y_{k+m-1} on the differences before it: lags 1 .. m - 1, from lags of y.
    lags = rows.design[:, :m]
    differences = lags[:, :-1] - lags[:, 1:]
    design = np.column_stack([differences, rows.design[:, m:]])
    target = rows.target - lags[:, 0]
    R, q, _ = triangle(design, target)
    free = np.linalg.solve(R, q)
    psi = _levels(free, m)
    theta = relation.from_psi(psi)
    if theta is None:
        raise no_memory(relation)
    residual = target - design @ free
    fitted = fitted_regression(problem, rows, theta, design, residual)
    # The delta method, through differences of the inverse map; phi = exp(a h) may be anything positive.
    slopes = np.empty((len(theta), len(free)))
    se = np.sqrt(np.diag(fitted.cov))
    for i in range(len(free)):
        sides = []
        for sign in (1.0, -1.0):
            moved = free.copy()
            moved[i] += sign * 1e-4 * se[i]
            there = relation.from_psi(_levels(moved, m))
            if there is None:
                raise no_memory(relation)
            sides.append(there)
        slopes[:, i] = (sides[0] - sides[1]) / (2e-4 * se[i])
    variance = float(residual @ residual) / (len(residual) - len(free))
    whole = fitted.row_scores()
    assert fitted.bread is not None
    assert whole is not None
    return replace(
        fitted,
        cov=slopes @ fitted.cov @ slopes.T,
        bread=slopes @ fitted.bread @ slopes.T,
        by_row=whole._replace(scores=whole.scores @ np.linalg.pinv(slopes)),
        q=np.array([variance / process_gain(relation, theta)]),
        extra={"root": 1.0},
    )


def _levels(free: np.ndarray, m: int) -> np.ndarray:
    """Coefficients of levels from those of differences: A(L) = (1 - L) (1 - sum delta_i L^i)."""
    A = np.convolve([1.0, -1.0], np.concatenate([[1.0], -free[: m - 1]]))
    return np.concatenate([-A[1:], free[m - 1 :]])


METHOD = Method(
    "arimax",
    estimate,
    "process noise only; no measurement noise",
    missing=True,
)
