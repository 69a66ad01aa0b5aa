"""Regression of y on running integrals of y and of the inputs: noise of the readings averages out.

The exact difference equation is summed m times (once per order), which is the equation integrated m times with quadratures
that are exact for
sampled solutions; the constants of integration are free in each run. Its residual is W e, W = S^m A(L), S the running sum: sums of
noise beside noise itself, small against sums of y. Generalised least squares with the weights (W W')^-1, iterated until they settle
(Steiglitz & McBride 1965, "A technique for the identification of linear systems"), is consistent. Ordinary least squares
(`weights="ols"`) has the errors-in-variables covariance

    sigma^2 (J'J)^-1 J' W W' J (J'J)^-1

and serves short runs: over many time constants the sums of noise add up.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import lfilter

from ..._validation import FloatArray
from ...errors import ConvergenceError, SpecificationError
from ..regressing import by_run, filtered, fitted_regression, impulses, polynomial, relation_of, search_starts
from ..relation import Relation, Rows, Solution, least_squares, triangle
from .base import Fitted, Method, Problem

MAX_ITERATIONS = 200


def estimate(problem: Problem, weights: str = "gls") -> Fitted:
    """Estimate by summed equations; `weights` "gls" or "ols"."""
    if weights not in ("ols", "gls"):
        raise SpecificationError(f'weights is {weights!r}; pass "gls" or "ols"')
    relation, rows = relation_of(problem)
    found = _ordinary(problem, relation, rows)
    if weights == "gls":
        found = _generalised(problem, relation, rows, found)
    theta = found.theta
    noise = noise_of_readings(relation, rows, theta)
    sigma2 = float(noise @ noise) / max(1, len(noise) - len(theta) - relation.order * len(set(rows.run)))
    columns = rows.design @ relation.jacobian(theta)
    A = polynomial(relation.psi(theta), relation.order)
    if weights == "gls":
        J = _beside(rows, filtered(rows, columns, A), impulses_of(rows, A, relation.order))
        fitted = fitted_regression(problem, rows, theta, J, noise, sigma2=sigma2, decrement=found.decrement)
        assert fitted.bread is not None
        return replace(fitted, cov=fitted.bread * sigma2, cov_type="eiv", llf=np.nan)
    J = _beside(rows, summed(rows, columns, relation.order), constants(rows, relation.order))
    residual = _beside(
        rows, summed(rows, relation.residual(theta, rows)[:, None], relation.order), constants(rows, relation.order)
    )[:, 0]
    fitted = fitted_regression(problem, rows, theta, J, residual, sigma2=sigma2, decrement=found.decrement)
    assert fitted.bread is not None
    # W'J: sums and the filter run backwards. The first m rows' own noise goes into the constants.
    back = by_run(rows, J, lambda part: _adjoint(part, A, relation.order))
    cov = fitted.bread @ (back.T @ back) @ fitted.bread * sigma2
    resid = np.full((len(problem.sample), 1), np.nan)
    resid[rows.node, 0] = noise
    return replace(fitted, cov=cov, cov_type="eiv", llf=np.nan, resid=resid)


def summed(rows: Rows, values: FloatArray, times: int) -> FloatArray:
    """Running sums of running sums ..., run by run."""
    for _ in range(times):
        values = by_run(rows, values, lambda part: np.cumsum(part, axis=0))
    return values


def constants(rows: Rows, order: int) -> FloatArray:
    """Orthonormal polynomials of degree below the order in each run: (r, runs order)."""
    edges = [*np.flatnonzero(np.diff(rows.run, prepend=-1)).tolist(), len(rows.run)]
    columns = np.zeros((len(rows.run), (len(edges) - 1) * order))
    for i in range(len(edges) - 1):
        n = edges[i + 1] - edges[i]
        powers = np.linspace(-1, 1, n)[:, None] ** np.arange(min(order, n))
        columns[edges[i] : edges[i + 1], i * order : i * order + powers.shape[1]] = np.linalg.qr(powers)[0]
    return columns


def impulses_of(rows: Rows, A: FloatArray, order: int) -> FloatArray:
    """Orthonormal responses of 1 / A to the first readings of each run."""
    return np.asarray(np.linalg.qr(filtered(rows, impulses(rows, order), A))[0])


def _beside(rows: Rows, values: FloatArray, nuisance: FloatArray) -> FloatArray:
    """What the nuisance columns (orthonormal) leave of values."""
    return values - nuisance @ (nuisance.T @ values)


def _adjoint(part: FloatArray, A: FloatArray, order: int) -> FloatArray:
    """A(L)' (S')^m applied to the columns."""
    backwards = part[::-1]
    for _ in range(order):
        backwards = np.cumsum(backwards, axis=0)
    return np.asarray(lfilter(A, [1.0], backwards, axis=0)[::-1])


def noise_of_readings(relation: Relation, rows: Rows, theta: FloatArray) -> FloatArray:
    """Readings minus the solution of the equation at theta, its initial states fitted."""
    A = polynomial(relation.psi(theta), relation.order)
    response = impulses_of(rows, A, relation.order)
    noise = filtered(rows, relation.residual(theta, rows), A)
    return np.asarray(noise - response @ (response.T @ noise))


def _ordinary(problem: Problem, relation: Relation, rows: Rows) -> Solution:
    nuisance = constants(rows, relation.order)
    both = summed(rows, np.column_stack([rows.design, rows.target]), relation.order)
    both = _beside(rows, _beside(rows, both, nuisance), nuisance)
    R, q, rest = triangle(both[:, :-1], both[:, -1])
    return least_squares(relation, R, q, len(both), search_starts(problem, relation), rest)


def _generalised(problem: Problem, relation: Relation, rows: Rows, found: Solution) -> Solution:
    """Weights from the coefficients before, until these no longer move."""
    both = np.column_stack([rows.design, rows.target])
    for _ in range(MAX_ITERATIONS):
        A = polynomial(relation.psi(found.theta), relation.order)
        response = impulses_of(rows, A, relation.order)
        R, q, rest = triangle(*_split(_beside(rows, filtered(rows, both, A), response)))
        following = least_squares(relation, R, q, len(both), [found.theta], rest)
        J = R @ relation.jacobian(following.theta)
        moved = J @ (following.theta - found.theta)
        noise = following.rss / max(1, len(both) - len(found.theta))
        found = following
        if moved @ moved <= 1e-10 * max(noise, (1e-12 * float(np.linalg.norm(q))) ** 2):
            return found
    raise ConvergenceError(f'the weights have not settled after {MAX_ITERATIONS} iterations; use weights="ols"', found.rss)


def _split(both: FloatArray) -> tuple[FloatArray, FloatArray]:
    return both[:, :-1], both[:, -1]


METHOD = Method(
    "integral",
    estimate,
    "independent noise of the readings alone; the equation itself holds exactly",
    instead="output_error",
)
