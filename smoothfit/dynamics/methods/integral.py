"""Regression of y on running integrals of y and of the inputs: measurement noise averages out.

The exact difference equation is summed m times (once per order), which is the equation integrated m times with quadratures
that are exact for
sampled solutions; the constants of integration are free in each run. Its residual is W e, W = S^m A(L), S the running sum: sums of
noise beside noise itself, small against sums of y. Generalised least squares with the weights (W W')^-1, iterated until they
converge (Steiglitz & McBride 1965, "A technique for the identification of linear systems"), is consistent. Ordinary least squares
(`weights="ols"`) has the errors-in-variables covariance

    sigma^2 (J'J)^-1 J' W W' J (J'J)^-1

and serves short runs: over many time constants the sums of noise add up. Non-linear terms enter as inputs, those of a smoothing
spline of the observations, by ordinary least squares.

In samples of up to 1000 rows residuals need not show process noise that the coefficients have absorbed. Their covariance is then
that at the posterior means of both noises (`noises`): either estimate is, to first order, linear in the noise.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from scipy.signal import lfilter

from ..._core import _kernels
from ..._validation import FloatArray
from ...errors import ConvergenceError, IdentificationError, SmoothfitError, SpecificationError
from ..fast import FastPoleError
from ..regressing import (
    LONG,
    PART,
    Weighted,
    by_run,
    coordinates_of,
    filtered,
    fitted_regression,
    fitted_weighted,
    impulses,
    noise_by_node,
    polynomial,
    relation_of,
    run_starts,
    search_starts,
    settle,
    weighted_of,
)
from ..relation import EXACT, Relation, Rows, Solution, least_squares, triangle
from ..sample import Sample
from .base import Fitted, Method, Problem, RowScores
from .noises import PROCESS_NOISE, SHORT, average_noises, of_both_noises

HIGHEST_ORDER = 3
MOST_COLUMNS = 10  # that the kernel of sums of products takes


def estimate(problem: Problem, weights: str | None = None) -> Fitted:
    """Estimate by summed equations; `weights` "gls" (default) or "ols" (always, where there are non-linear terms)."""
    if weights not in (None, "ols", "gls"):
        raise SpecificationError(f'weights is {weights!r}; pass "gls" or "ols"')
    if problem.equation.terms:
        from ..nonlinear import by_smoothed_terms

        if weights == "gls":
            raise SpecificationError(
                f'the error of the term {problem.equation.terms[0].name} is not measurement noise; use weights="ols"'
            )
        # Without process noise, which no method supports beside terms.
        return by_smoothed_terms(problem, lambda linear: _by_sums_alone(linear, *relation_of(linear))[0])
    weights = weights or "gls"
    if weights == "gls" and len(problem.sample) >= LONG:
        long = _long(problem)
        if long is not None:
            return long
    relation, rows = relation_of(problem)
    if weights == "gls":
        return _fitted(problem, relation, rows, _settled(problem, relation, rows))
    fitted, back = _by_sums_alone(problem, relation, rows)
    A = polynomial(relation.psi(fitted.theta), relation.order)
    return _with_both_noises(problem, relation, rows, fitted, A, back)


def _by_sums_alone(problem: Problem, relation: Relation, rows: Rows) -> tuple[Fitted, FloatArray]:
    """Ordinary least squares, its covariance that of measurement noise alone, and W'J (r, k)."""
    found = _ordinary(problem, relation, rows)
    noise = noise_by_node(relation, problem.sample, found.theta)
    sigma2 = _variance(relation, noise, problem.sample)
    columns = rows.design @ relation.jacobian(found.theta)
    A = polynomial(relation.psi(found.theta), relation.order)
    J = _beside(summed(rows, columns, relation.order), constants(rows, relation.order))
    left = summed(rows, relation.residual(found.theta, rows)[:, None], relation.order)
    residual = _beside(left, constants(rows, relation.order))[:, 0]
    fitted = fitted_regression(problem, rows, found.theta, J, residual, sigma2=sigma2, decrement=found.decrement)
    assert fitted.bread is not None
    # W'J: sums and the filter run backwards. The first m rows' own noise goes into the constants.
    back = by_run(rows, J, lambda part: _adjoint(part, A, relation.order))
    cov = fitted.bread @ (back.T @ back) @ fitted.bread * sigma2
    return replace(fitted, cov=cov, cov_type="eiv", llf=np.nan, resid=noise), back


def _with_both_noises(
    problem: Problem, relation: Relation, rows: Rows, fitted: Fitted, A: FloatArray, columns: FloatArray
) -> Fitted:
    """The covariance at the posterior means of both noises, in samples so short that their residuals do not show process noise."""
    sample, bread = problem.sample, fitted.bread
    if len(sample) > SHORT or fitted.sigma2[0] <= EXACT**2 * np.nanmean(sample.y**2):
        return fitted
    noises = average_noises(problem, fitted.theta)
    assert bread is not None
    cov = bread @ of_both_noises(relation, rows, fitted.theta, A, columns, noises) @ bread
    return replace(fitted, cov=cov, extra={**fitted.extra, PROCESS_NOISE: noises[1]})


def _settled(problem: Problem, relation: Relation, rows: Rows) -> Solution:
    """The solution of weighted least squares with the smallest variance of noise, of those that several starts lead to."""
    try:
        first = [_ordinary(problem, relation, rows).theta]
    except (ConvergenceError, IdentificationError):  # a start less
        first = []
    best: tuple[float, Solution] | None = None
    failure: SmoothfitError | None = None
    for start in [*first, *search_starts(problem, relation)]:
        try:
            found, _ = settle(relation, partial(_weigh, relation, rows), [start], 'weights="ols"')
        except (ConvergenceError, IdentificationError) as error:
            failure = error if failure is None or isinstance(error, FastPoleError) else failure
            continue
        noise = noise_by_node(relation, problem.sample, found.theta)
        variance = _variance(relation, noise, problem.sample)
        if best is None or variance < best[0]:
            best = variance, found
    if best is None:
        assert failure is not None
        raise failure
    return best[1]


def _variance(relation: Relation, noise: FloatArray, sample: Sample) -> float:
    """Variance of noise by node, initial states and coefficients taken off."""
    m = relation.order
    runs = [noise[s, 0][m:] for s in sample.slices() if s.stop - s.start > m]
    free = sum(len(run) for run in runs) - relation.equation.n_params - m * len(runs)
    return sum(float(run @ run) for run in runs) / max(1, free)


def _regressed(problem: Problem, relation: Relation, rows: Rows, found: Solution) -> tuple[Fitted, FloatArray]:
    """The weighted regression at its solution, with everything by row, and its columns (r, k)."""
    A = polynomial(relation.psi(found.theta), relation.order)
    response = impulses_of(rows, A, relation.order)
    J = _beside(filtered(rows, rows.design @ relation.jacobian(found.theta), A), response)
    noise = noise_by_node(relation, problem.sample, found.theta)
    fitted = fitted_regression(problem, rows, found.theta, J, noise[rows.node, 0], decrement=found.decrement)
    return replace(fitted, sigma2=np.array([_variance(relation, noise, problem.sample)])), J


def _fitted(problem: Problem, relation: Relation, rows: Rows, found: Solution) -> Fitted:
    fitted, columns = _regressed(problem, relation, rows, found)
    assert fitted.bread is not None
    fitted = replace(fitted, cov=fitted.bread * fitted.sigma2[0], cov_type="eiv", llf=np.nan)
    return _with_both_noises(problem, relation, rows, fitted, polynomial(relation.psi(found.theta), relation.order), columns)


def _row_scores(problem: Problem, found: Solution) -> RowScores:
    relation, rows = relation_of(problem)
    whole = _regressed(problem, relation, rows, found)[0].row_scores()
    assert whole is not None
    return whole


def _long(problem: Problem) -> Fitted | None:
    """The estimate by sums of products that one pass over the observations adds up; None if these would lose digits.

    A part of the observations determines where to start, and coordinates in which the columns are nearly orthonormal.
    """
    sample, equation = problem.sample, problem.equation
    assert sample.step is not None
    relation = Relation(equation, sample.step)
    m, runs = relation.order, np.diff(sample.edges)
    if m > HIGHEST_ORDER or relation.n_psi + 1 > MOST_COLUMNS or runs.min() <= 2 * m:
        return None
    part = Problem(equation, sample.head(PART))
    rows = relation.rows(part.sample)
    try:
        start, weighted = settle(relation, partial(_weigh, relation, rows), [_ordinary(part, relation, rows).theta], "")
    except SmoothfitError:  # by all rows instead, which raises what is wrong with them
        return None
    coordinates = coordinates_of(weighted.R, weighted.q, weighted.rest)
    if coordinates is None:
        return None
    k = len(coordinates)
    inverse = np.asarray(np.linalg.solve(coordinates, np.eye(k)), dtype=np.float64)
    y, n = np.ascontiguousarray(sample.y[:, 0]), len(sample) - m * len(runs)

    def weigh(theta: FloatArray) -> Weighted:
        a = polynomial(relation.psi(theta), m)[1:]
        lower = _kernels.filtered_moments(y, sample.u, sample.edges, a, relation.lags[0], equation.intercept, inverse)
        moments = lower + np.swapaxes(np.tril(lower, -1), 1, 2)
        cross, responses = moments[:, k:, :k], moments[:, k:, k:]  # of each run: its constants are taken out
        gram = moments[:, :k, :k] - np.swapaxes(cross, 1, 2) @ np.linalg.solve(responses, cross)
        return weighted_of(gram.sum(axis=0), coordinates, n)

    try:
        found, weighted = settle(relation, weigh, [start.theta], 'weights="ols"')
    except np.linalg.LinAlgError:  # sums of products that are singular to rounding: by all rows instead
        return None
    noise = noise_by_node(relation, sample, found.theta)
    sigma2 = _variance(relation, noise, sample)
    by_row = partial(_row_scores, problem, found)
    return fitted_weighted(relation, found, weighted, noise=noise, sigma2=sigma2, by_row=by_row)


def summed(rows: Rows, values: FloatArray, times: int) -> FloatArray:
    """Running sums of running sums ..., run by run."""
    for _ in range(times):
        values = by_run(rows, values, lambda part: np.cumsum(part, axis=0))
    return values


def constants(rows: Rows, order: int) -> FloatArray:
    """Orthonormal polynomials of degree below the order in each run: (r, runs order)."""
    edges = [*run_starts(rows.run).tolist(), len(rows.run)]
    columns = np.zeros((len(rows.run), (len(edges) - 1) * order))
    for i in range(len(edges) - 1):
        n = edges[i + 1] - edges[i]
        powers = np.linspace(-1, 1, n)[:, None] ** np.arange(min(order, n))
        columns[edges[i] : edges[i + 1], i * order : i * order + powers.shape[1]] = np.linalg.qr(powers)[0]
    return columns


def impulses_of(rows: Rows, A: FloatArray, order: int) -> FloatArray:
    """Orthonormal responses of 1 / A to the first observations of each run."""
    return np.asarray(np.linalg.qr(filtered(rows, impulses(rows, order), A))[0])


def _beside(values: FloatArray, nuisance: FloatArray) -> FloatArray:
    """What the nuisance columns (orthonormal) leave of values."""
    return values - nuisance @ (nuisance.T @ values)


def _adjoint(part: FloatArray, A: FloatArray, order: int) -> FloatArray:
    """A(L)' (S')^m applied to the columns."""
    backwards = part[::-1]
    for _ in range(order):
        backwards = np.cumsum(backwards, axis=0)
    return np.asarray(lfilter(A, [1.0], backwards, axis=0)[::-1])


def _ordinary(problem: Problem, relation: Relation, rows: Rows) -> Solution:
    nuisance = constants(rows, relation.order)
    both = summed(rows, np.column_stack([rows.design, rows.target]), relation.order)
    both = _beside(_beside(both, nuisance), nuisance)
    R, q, rest = triangle(both[:, :-1], both[:, -1])
    return least_squares(relation, R, q, len(both), search_starts(problem, relation), rest)


def _weigh(relation: Relation, rows: Rows, theta: FloatArray) -> Weighted:
    """Rows divided by A of theta, beside the responses to the first observations."""
    A = polynomial(relation.psi(theta), relation.order)
    both = filtered(rows, np.column_stack([rows.design, rows.target]), A)
    left = _beside(both, impulses_of(rows, A, relation.order))
    return Weighted(*triangle(left[:, :-1], left[:, -1]), len(left))


METHOD = Method(
    "integral",
    estimate,
    "independent measurement noise only; no process noise",
    instead="output_error",
    terms="any",
    input_rates=True,
)
