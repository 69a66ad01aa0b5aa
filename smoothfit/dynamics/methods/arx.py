"""Least squares on the exact difference equation: consistent if the observations have no noise.

    y_{k+m} = sum phi_i(a) y_{k+m-i} + sum_i b_i sum_l beta_l(a) u_{i,k+m-l} + gamma sum_l beta_l(a) + e_k

Of order one this is ordinary least squares of y_{k+1} on y_k, u_k and one, and a = log(phi) / h, b = b_d a / (phi - 1) with
the delta
method. Measurement noise biases phi towards zero, without limit as h shrinks; no robust covariance mends that.
"""

from __future__ import annotations

from ..regressing import fitted_regression, process_gain, relation_of, search_starts, unrestricted
from ..relation import least_squares, triangle
from .base import Fitted, Method, Problem


def estimate(problem: Problem) -> Fitted:
    """Least squares over the continuous-time parameters."""
    relation, rows = relation_of(problem)
    R, q, rest = triangle(rows.design, rows.target)
    found = least_squares(relation, R, q, len(rows.target), search_starts(problem, relation, unrestricted(rows)), rest)
    jacobian = rows.design @ relation.jacobian(found.theta)
    residual = relation.residual(found.theta, rows)
    variance = float(residual @ residual) / (len(residual) - len(found.theta))
    return fitted_regression(
        problem,
        rows,
        found.theta,
        jacobian,
        residual,
        q=variance / process_gain(relation, found.theta),
        decrement=found.decrement,
    )


METHOD = Method(
    "arx",
    estimate,
    "process noise only; no measurement noise",
    missing=True,
    input_rates=True,
)
