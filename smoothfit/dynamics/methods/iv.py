"""Refined instrumental variables: consistent whatever the noise, as long as the inputs are not correlated with it.

The regressors y_{k-1}, ... carry noise; instruments are the same regressors of the equation's own noise-free solution,
driven by the inputs. Both are
filtered by 1 / A(L), the optimal filter where the observations have the only noise (P. C. Young 1976, "Some observations on
instrumental variable methods of time-series analysis"), and the estimating equations

    Zhat' (y - Z psi(theta)) = 0,    Zhat = [filtered solution, filtered inputs] d psi / d theta,

are iterated; responses to the first m measurement noise are taken out of all columns. The filtered residual is noise of the
observations and the state that process noise makes, with the autocovariance sigma^2 delta_k + q c_k: at the posterior means of
sigma^2 and q given the coefficients it gives the covariance Zhat' Var Zhat of the estimating equations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..._validation import FloatArray
from ...errors import ConvergenceError, NumericalError, SpecificationError
from ..fast import Chart, FastPoleError, check_vanishing
from ..regressing import (
    early,
    filtered,
    fitted_regression,
    impulses,
    noise_by_node,
    of_first_rows,
    polynomial,
    relation_of,
    run_starts,
    search_starts,
    stable,
)
from ..relation import EXACT, Relation, Rows, in_range
from ..scoring import agree
from .base import Fitted, Method, Problem, RowScores
from .noises import PROCESS_NOISE, SHORT, noises_at, of_both_noises

MAX_ITERATIONS = 300
PATIENCE = 25  # iterations for each start, as long as another may settle: most take 10, and some wander about for hundreds
GREATEST_GROWTH = 30.0  # logarithm of the factor by which the noise-free solution may grow over a run


def estimate(problem: Problem) -> Fitted:
    """Iterate instruments and filter to a fixed point."""
    if not problem.equation.inputs:
        raise SpecificationError('method="iv" derives its instruments from inputs, and there are none; use method="kalman"')
    relation, rows = relation_of(problem)
    return _fitted(problem, relation, rows, _best(problem, relation, rows))


def _best(problem: Problem, relation: Relation, rows: Rows) -> Settled:
    """The fixed point whose noise-free solution is nearest to the observations."""
    near = of_first_rows(problem, lambda part: _best(part, *relation_of(part)))
    starts_of = [near.theta] if near is not None else search_starts(problem, relation)
    found: list[tuple[float, Settled]] = []
    failure: Exception | None = None
    n = len(rows.target)
    for patience in (PATIENCE, MAX_ITERATIONS):
        for theta in starts_of:
            try:
                settled = _iterate(relation, rows, theta, patience)
            except (ConvergenceError, FastPoleError, np.linalg.LinAlgError) as error:
                failure = error if failure is None or isinstance(error, FastPoleError) else failure
                continue
            misfit = noise_by_node(relation, problem.sample, settled.theta)  # by the noise-free solution
            found.append((float(np.nansum(misfit**2)), settled))
            if agree((n * np.log(max(value, np.finfo(float).tiny)) for value, _ in found), n):
                break
        if found:
            return min(found, key=lambda one: one[0])[1]
        starts_of = search_starts(problem, relation)
    assert failure is not None
    raise failure


class Settled(NamedTuple):
    """A fixed point: coefficients, instruments (r, k), their products with the regressors, filtered residual, squared step."""

    theta: FloatArray
    instruments: FloatArray
    cross: FloatArray
    residual: FloatArray
    decrement: float


def _solution(relation: Relation, rows: Rows, psi: FloatArray) -> FloatArray:
    """Lags (r, m) of the noise-free solution x from the initial state that fits best."""
    m = relation.order
    A = polynomial(psi, m)
    x = filtered(rows, rows.design[:, m:] @ psi[m:], A)
    first = early(rows, A)
    response = _response(rows, first, m, A)
    x[first] += response @ np.linalg.lstsq(response, rows.target[first] - x[first], rcond=None)[0]
    lags = np.empty((len(x), m))
    firsts = run_starts(rows.run)
    for lag in range(1, m + 1):
        lags[lag:, lag - 1] = x[:-lag]
        for begin in firsts:  # the first rows of a run have observations before them only
            lags[begin : begin + lag, lag - 1] = rows.design[begin : begin + lag, lag - 1]
    return lags


def _response(rows: Rows, first: npt.NDArray[np.int64], m: int, A: FloatArray) -> FloatArray:
    """Responses of 1 / A(L) to what comes before each run, at its first rows, (rows, runs m)."""
    part = rows._replace(run=rows.run[first])
    return filtered(part, impulses(part, m), A)


def _iterate(relation: Relation, rows: Rows, theta: FloatArray, patience: int) -> Settled:
    m = relation.order
    longest = relation.step * float(np.bincount(rows.run).max())
    for _ in range(patience):
        psi = relation.psi(theta)
        denominator = stable(polynomial(psi, m))
        first = early(rows, denominator)
        response = np.linalg.qr(_response(rows, first, m, denominator))[0]
        lags, design, target = (
            filtered(rows, columns, denominator) for columns in (_solution(relation, rows, psi), rows.design, rows.target)
        )
        for columns in (lags, design, target):
            columns[first] -= response @ (response.T @ columns[first])
        jacobian = relation.jacobian(theta)
        instruments = lags @ jacobian[:m] + design[:, m:] @ jacobian[m:]
        size = float(np.linalg.norm(target))
        residual = target - design @ psi
        cross = (instruments.T @ design) @ jacobian
        step = np.linalg.solve(cross, instruments.T @ residual)
        fitted = instruments @ step
        noise = float(residual @ residual) / max(1, len(residual) - len(theta))
        decrement = float(fitted @ fitted) / max(noise, np.finfo(float).tiny)
        if decrement <= 1e-12 or float(residual @ residual) <= (EXACT * size) ** 2:
            return Settled(theta, instruments, cross, residual, decrement)
        chart = Chart.at(relation.equation, theta, 0, relation.step)
        turned: FloatArray = np.linalg.solve(chart.jacobian(theta), step).astype(float)
        check_vanishing(relation.equation, chart, theta, relation.step, -float(turned[chart.lead or 0]))
        share = 1.0
        while share > 1e-6:
            trial = chart.moved(theta, np.zeros(0), chart.within(theta, share * turned, cross.T @ cross))[0]
            if in_range(relation, trial, GREATEST_GROWTH * relation.step / longest):
                break
            share /= 2
        theta = trial
    raise ConvergenceError(
        f'instruments and filter have not converged after {patience} iterations; use method="kalman" or a lower order',
        float("inf"),
    )


def _fitted(problem: Problem, relation: Relation, rows: Rows, settled: Settled) -> Fitted:
    theta, instruments, cross, residual, decrement = settled
    base = fitted_regression(problem, rows, theta, instruments, residual, decrement=decrement)
    bread = np.linalg.solve(cross, np.eye(len(theta)))
    try:
        sigma2, q = noises_at(problem, theta)
    except (ConvergenceError, NumericalError) as error:
        raise ConvergenceError(f'the noise of the residuals cannot be estimated ({error}); use method="kalman"') from error
    middle = of_both_noises(
        relation, rows, theta, stable(polynomial(relation.psi(theta), relation.order)), instruments, (sigma2, q)
    )
    return replace(
        base,
        cov=bread @ middle @ bread.T,
        bread=(bread + bread.T) / 2,
        by_row=RowScores(instruments * residual[:, None], rows.run, independent=False),
        llf=np.nan,
        q=np.array([q]),
        sigma2=np.array([sigma2]),
        extra={**base.extra, **({PROCESS_NOISE: q} if len(problem.sample) <= SHORT else {})},
    )


METHOD = Method(
    "iv",
    estimate,
    "process and measurement noise of any kind that is uncorrelated with the inputs",
    input_rates=True,
)
