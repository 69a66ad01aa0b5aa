"""Maximum likelihood with process noise and measurement noise, by the exact Kalman filter.

    dx = (A x + E (B u + gamma)) dt + E sqrt(q) dW,      readings y_k = x(t_k) + sigma e_k

discretised exactly over every step. The state at the start of each run is diffuse. Missing readings, irregular times, several
runs, coupled equations and readings of derivatives need nothing special. A noise that the readings do not show is estimated as
exactly zero; likelihood ratios test each against that boundary.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..._validation import FloatArray
from ...errors import ConvergenceError, DataError, NumericalError, SmoothfitError
from ..likelihood import StateSpace, Terms
from ..scoring import Optimum, Search
from ..start import starts
from .base import Fitted, Method, Problem, RowScores

PART = 10_000  # rows that tell where the search of ever longer samples starts
VERY_LONG = 50_000  # rows, from which they do
LONG = 5_000  # rows, beyond which one start that leads to a maximum is enough
RATIOS = 10.0 ** np.arange(-6, 5, 2)  # of the variances that process and readings add over a step, at which a search may start


def estimate(problem: Problem) -> Fitted:
    """Estimate coefficients, intensities q and unknown noise sds by maximum likelihood."""
    model = StateSpace(problem.equation, problem.sample)
    check_enough(problem, model.n_params)
    search = Search(model)
    optimum = find(search, problem, np.zeros(model.n_params, np.bool_))
    return fitted(model, search, optimum)


def check_enough(problem: Problem, n_params: int) -> None:
    """Raise where there are fewer readings than constants."""
    needed = n_params + problem.equation.n_states * len(problem.sample.labels)
    if problem.sample.n_readings <= needed:
        raise DataError(
            f"{problem.sample.n_readings} readings are too few for {n_params} parameters and "
            f"{needed - n_params} constants of initial states; more than {needed} are needed"
        )


def find(search: Search, problem: Problem, fixed: np.typing.NDArray[np.bool_], zeros: tuple[int, ...] = ()) -> Optimum:
    """The best maximum from several starts; variances `zeros` stay at zero."""
    model, equation = search.model, problem.equation
    n_theta = equation.n_params
    m, p = equation.order, equation.n_outputs
    sample = problem.sample
    gap = float(np.median(np.diff(sample.t)[np.diff(sample.run) == 0]))
    known = [float(np.nanmedian(sample.ratio[:, i])) for i, c in enumerate(sample.channels) if c.known]
    noise = np.array([gap ** (-2.0 * sample.channels[i].deriv) for i in model.unknown])
    scale = 1.0
    if known:
        scale = known[0]
    failure: Exception | None = None
    best: Optimum | None = None
    if len(sample) >= VERY_LONG:
        near = _near(search, problem, fixed, zeros)
        if near is not None:
            try:
                return _scanned(search, search.minimise(*near, fixed), fixed, n_theta)
            except (ConvergenceError, NumericalError, np.linalg.LinAlgError) as error:
                failure = error
    candidates: list[tuple[float, FloatArray, FloatArray]] = []
    thetas = starts(equation, sample)
    for theta in thetas[:1] if len(sample) > LONG else thetas:
        here = []
        for ratio in RATIOS:
            variances = np.concatenate([np.full(p, ratio / gap ** (2 * m - 1)), noise]) * scale
            variances[list(zeros)] = 0.0
            here.append((search.value(theta, variances), theta, variances))
        candidates.append(min(here, key=lambda c: c[0]))
    candidates.sort(key=lambda c: c[0])
    if not np.isfinite(candidates[0][0]):
        search.terms(candidates[0][1], candidates[0][2], slopes=False)  # says what is wrong, where anything is
    for value, theta, variances in candidates:
        if not np.isfinite(value):
            continue
        try:
            optimum = _scanned(search, search.minimise(theta, variances, fixed), fixed, n_theta)
        except (ConvergenceError, NumericalError, np.linalg.LinAlgError) as error:
            failure = error
            continue
        if best is None or optimum.value < best.value:
            best = optimum
        if best.is_exact or len(sample) > LONG:
            break
    if best is not None:
        return best
    if isinstance(failure, ConvergenceError):
        raise failure
    raise ConvergenceError(f"no start leads to a maximum of the likelihood ({failure or 'it is not finite at any'})")


def _near(
    search: Search, problem: Problem, fixed: np.typing.NDArray[np.bool_], zeros: tuple[int, ...]
) -> tuple[FloatArray, FloatArray] | None:
    """The maximum on the first rows; None where they have none inside, or do not tell all coefficients."""
    part = Problem(problem.equation, problem.sample.head(PART))
    try:
        model = StateSpace(part.equation, part.sample)
        optimum = find(Search(model, sum_of_squares=search.sum_of_squares), part, fixed, zeros)
    except (SmoothfitError, np.linalg.LinAlgError):
        return None
    variances = np.concatenate([optimum.q, optimum.sigma2])
    return None if optimum.is_exact or (np.delete(variances, list(zeros)) == 0).any() else (optimum.theta, variances)


def _scanned(search: Search, optimum: Optimum, fixed: np.typing.NDArray[np.bool_], n_theta: int) -> Optimum:
    """Look at other ratios of process to measurement noise at the optimum's coefficients; go on from a better one."""
    p = search.p
    variances = np.concatenate([optimum.q, optimum.sigma2])
    if optimum.is_exact or not search.scalable or fixed[n_theta:].any() or not (variances > 0).all():
        return optimum
    for factor in (1e-4, 1e-2, 1e2, 1e4):
        trial = variances * np.concatenate([np.full(p, factor), np.ones(len(variances) - p)])
        if search.value(optimum.theta, trial) < optimum.value - 1e-6:
            return search.minimise(optimum.theta, trial, fixed)
    return optimum


def fitted(model: StateSpace, search: Search, optimum: Optimum) -> Fitted:
    """The estimate with its covariances."""
    equation, n = model.equation, model.equation.n_params
    free = optimum.free.copy()
    bread = np.zeros_like(optimum.hessian)
    inner = np.ix_(free, free)
    bread[inner] = np.linalg.inv(optimum.hessian[inner]) if not optimum.is_exact else 0.0
    # From log variances to q itself and to sigma = sqrt(variance).
    to_public = np.concatenate([np.ones(n), optimum.q, np.sqrt(optimum.sigma2) / 2])
    cov = bread * np.outer(to_public, to_public)
    known = free | (np.arange(len(free)) < n)
    cov[~known, :] = np.nan
    cov[:, ~known] = np.nan
    terms = model.terms(optimum.theta, optimum.q, optimum.sigma2, slopes=False, keep=True)
    inverse = np.linalg.inv(optimum.hessian[inner]) * np.outer(to_public[free], to_public[free]) if not optimum.is_exact else None
    names = model.variance_names
    values = np.concatenate([optimum.q, np.sqrt(optimum.sigma2)])
    boundary = tuple(name for name, value in zip(names, values, strict=True) if value == 0)
    sigma2 = np.ones(len(model.sample.channels))
    sigma2[model.unknown] = optimum.sigma2
    return Fitted(
        theta=optimum.theta,
        cov=cov,
        cov_type="oim",
        noise=dict(zip(names, values.tolist(), strict=True)),
        q=optimum.q,
        sigma2=sigma2,
        resid=innovations_of(model, terms),
        n_rows=terms.n_used,
        bread=None if inverse is None else np.asarray(inverse),
        by_row=partial(score_rows, Problem(equation, model.sample), optimum, to_public),
        llf=-0.5 * optimum.value,
        n_constants=equation.n_states * len(model.sample.labels),
        decrement=optimum.decrement,
        boundary=boundary,
        notes=("the readings obey the equation to rounding: there is no noise to estimate",) if optimum.is_exact else (),
        extra={"n_iterations": optimum.n_iterations, "n_evaluations": search.n_evaluations, "free": free},
    )


def score_rows(problem: Problem, optimum: Optimum, to_public: FloatArray) -> RowScores:
    """Scores of the readings by the free parameters, as `to_public` scales (theta, log variances)."""
    model = StateSpace(problem.equation, problem.sample)
    terms = model.terms(optimum.theta, optimum.q, optimum.sigma2, keep=True)
    v, f = terms.innovations, terms.variances
    rows = np.isfinite(f[..., 0])
    run = np.broadcast_to(model.sample.run[:, None], rows.shape)[rows]
    v, f = v[rows], f[rows]
    ratio = v[:, :1] / f[:, :1]
    by_raw = -(ratio * v[:, 1:]) - 0.5 * (1 / f[:, :1] - ratio**2) * f[:, 1:]
    by_logs = np.concatenate([np.ones(model.equation.n_params), optimum.q, optimum.sigma2])
    return RowScores(by_raw[:, optimum.free] * (by_logs[optimum.free] / to_public[optimum.free]), run)


def innovations_of(model: StateSpace, terms: Terms) -> FloatArray:
    """Standardised innovations by node and channel; NaN where there is none."""
    v, f = terms.innovations[..., 0], terms.variances[..., 0]
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(f), v / np.sqrt(f), np.nan)


def restricted(problem: Problem, zero: int) -> float:
    """Log-likelihood at its maximum with one variance at zero, for likelihood ratios."""
    model = StateSpace(problem.equation, problem.sample)
    fixed = np.zeros(model.n_params, np.bool_)
    fixed[problem.equation.n_params + zero] = True
    return -0.5 * find(Search(model), problem, fixed, (zero,)).value


METHOD = Method(
    "kalman",
    estimate,
    "process noise (white, entering the equation) and independent noise of the readings, both normal and both estimated",
    irregular=True,
    between=True,
    missing=True,
    vector=True,
    rates=True,
)
