"""Equations with non-linear terms, solved numerically and fitted by least squares.

Classical Runge-Kutta steps of order four, as many between two samples as the fastest part of the equation needs. Perturbed
coefficients and initial states run side by side, so that the derivatives of the solution are central differences at the cost of one
vectorised solution. These derivatives make its bands, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, frozen
from ..errors import ConvergenceError, DataError, IdentificationError, MisfitWarning
from ..inference.damped import Quadratic, descend, lengths
from ..observations import observe
from ..statespace import SmoothingSpline, SmoothingSplineResults
from .likelihood import StateSpace
from .methods.base import Fitted, Problem, check_enough
from .sample import Sample, term_columns
from .specification import Equation
from .start import regress, running_integral

PLACES = 8  # at which a term is averaged over a step
SUBSTEP = 0.1  # of the fastest time constant: errors of order 1e-7 of the solution
MOST_SUBSTEPS = 64
SMALL = 1e-2  # of the typical size of a number, from which differences about it are in proportion to that size
WIDTH = 1e-4  # relative: central differences then err by 1e-8, and steps across a jump such as that of a sign are averaged
COLLINEAR = 1e-10  # a term is a combination of others where less than this fraction of its length is left
DECREMENT = 1e-8
DAMPING = 1e-3  # of the first step
MAX_ITERATIONS = 50
PROGRESS = 1e-6  # of the sum of squares: a step that gains less is idle
PATIENCE = 3  # idle steps, after which the sum of squares is rough
SETTLED = 1e-8  # of SDs: what the last round may change
ROUNDING = 1e-14  # of observations: the smallest SD
MAX_ROUNDS = 100  # of weights
LOOSE = 1e-3  # where no step is better: terms with jumps leave the sum of squares rough at that level


def solve(equation: Equation, theta: FloatArray, t: FloatArray, u: FloatArray, initial: FloatArray) -> FloatArray:
    """States (n, M) of the equation without noise."""
    return _solve(equation, np.asarray(theta)[None], t, u, np.asarray(initial)[None], substeps(equation, theta, t))[:, 0]


def substeps(equation: Equation, theta: FloatArray, t: FloatArray) -> int:
    """Steps between two samples."""
    poles = np.linalg.eigvals(equation.matrices(np.asarray(theta))[0])
    gap = float(np.diff(t).max(initial=0.0))
    return int(np.clip(np.ceil(np.abs(poles).max() * gap / SUBSTEP), 2, MOST_SUBSTEPS))


def _solve(equation: Equation, thetas: FloatArray, t: FloatArray, u: FloatArray, initial: FloatArray, count: int) -> FloatArray:
    """States (n, L, M) for L sets of coefficients and initial states side by side."""
    m, k, n_terms = equation.order, len(equation.inputs), len(equation.terms)
    derivatives = sorted(equation.derivatives)
    first = len(derivatives)
    inputs, terms = thetas[:, first : first + k], thetas[:, first + k : first + k + n_terms]
    constant = thetas[:, -1] if equation.intercept else np.zeros(len(thetas))
    states = np.empty((len(t), *initial.shape))
    states[0] = x = initial.copy()

    def slope(x: FloatArray, time: float, drive: FloatArray) -> FloatArray:
        top = constant + inputs @ drive
        for i, j in enumerate(derivatives):
            top = top + thetas[:, i] * x[:, j]
        if n_terms:
            curves = [x[:, j] for j in range(m)]
            times = np.full(len(x), time)
            for r, term in enumerate(equation.terms):
                top = top + terms[:, r] * term(curves, times)
        return np.column_stack([x[:, 1:], top])

    linear = equation.intersample == "foh"
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(len(t) - 1):
            h = (t[i + 1] - t[i]) / count
            change = (u[i + 1] - u[i]) / count if linear else np.zeros(k)
            for s in range(count):
                time, drive = t[i] + s * h, u[i] + s * change
                middle, end = drive + change / 2, drive + change
                k1 = slope(x, time, drive)
                k2 = slope(x + h / 2 * k1, time + h / 2, middle)
                k3 = slope(x + h / 2 * k2, time + h / 2, middle)
                k4 = slope(x + h * k3, time + h, end)
                x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            states[i + 1] = x
    return states


def _smoothed(problem: Problem, s: slice) -> SmoothingSplineResults:
    """A smoothing spline of a run that has the derivatives which terms may take."""
    sample, m = problem.sample, problem.equation.order
    known = np.isfinite(sample.y[s])
    if known.any(axis=1).sum() <= m + 3:
        count = int(known.sum())
        raise DataError(f"a run of {count} observations is too short for an equation of order {m} with non-linear terms")
    parts = []
    for channel, y, ratio, kept in zip(sample.channels, sample.y[s].T, sample.ratio[s].T, known.T, strict=True):
        if kept.any():
            noise = {"sd": np.sqrt(ratio[kept])} if channel.known else {"weights": 1 / ratio[kept]}
            parts.append(observe(sample.t[s][kept], y[kept], channel.deriv, name=channel.name, **noise))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisfitWarning)  # the spline is a means, and not the user's model
        results: SmoothingSplineResults = SmoothingSpline(sum(parts[1:], parts[0]), order=min(4, m + 1)).fit()
    return results


def by_smoothed_terms(problem: Problem, estimate: Callable[[Problem], Fitted]) -> Fitted:
    """A method for linear equations, with terms of the smoothed observations among its inputs.

    Inputs that are held between samples have a term's mean over the step beside them, others its value at the samples.
    """
    equation, sample, m = problem.equation, problem.sample, problem.equation.order
    columns, right, initial = [], [], []
    for s in sample.slices():
        spline, t = _smoothed(problem, s), sample.t[s]
        at = t[:, None]
        if equation.intersample == "zoh":
            at = at + np.diff(t, append=t[-1])[:, None] * (np.arange(PLACES) + 0.5) / PLACES
        curves = [spline.predict(at.ravel(), deriv=j) for j in range(m)]
        values = [curves[j] for j in sorted(equation.derivatives)] + term_columns(sample, equation, curves, at.ravel())
        means = np.column_stack([value.reshape(at.shape).mean(axis=1) for value in values])
        columns.append(means[:, len(equation.derivatives) :])
        right.append(np.column_stack([means[:, : len(equation.derivatives)], sample.u[s], columns[-1]]))
        initial.append([float(spline.predict(t[:1], deriv=j)[0]) for j in range(m)])
    _check_terms_apart(equation, np.vstack(right))
    names = (*equation.inputs, *(term.name for term in equation.terms))
    inputs = np.column_stack([sample.u, np.concatenate(columns)])
    linear = Problem(replace(equation, inputs=names, terms=()), replace(sample, u=frozen(inputs), inputs=names))
    fitted = estimate(linear)
    note = "Nonlinear terms are computed from smoothed observations; standard errors do not include the error of the smoothing."
    return replace(fitted, notes=(*fitted.notes, note), extra={**fitted.extra, "initial": np.array(initial)})


def _check_terms_apart(equation: Equation, right: FloatArray) -> None:
    """Raise if a term is a combination of what is on the right before it: derivatives, inputs and terms, in columns."""
    if equation.intercept:
        right = np.column_stack([np.ones(len(right)), right])
    right = right / lengths(right)
    for i, term in enumerate(equation.terms):
        before, column = np.split(right, [right.shape[1] - len(equation.terms) + i], axis=1)
        rest = column[:, 0] - before @ np.linalg.lstsq(before, column[:, 0], rcond=None)[0]
        if np.linalg.norm(rest) <= COLLINEAR:
            raise IdentificationError(
                f"the term {term.name!r} is zero, or a linear combination of the rest of the right side, all along the smoothed "
                "observations, so that its coefficient is not identified; leave it out"
            )


class Start(NamedTuple):
    """Where a search starts.

    Attributes
    ----------
    x : ndarray, shape (k + runs M,)
        Coefficients, and the initial states of the runs.
    sizes : ndarray, likewise
        The size of each: of a coefficient, the one at which its regressor alone has the size of the left side.
    """

    x: FloatArray
    sizes: FloatArray


def gradient_matching(problem: Problem) -> Start:
    """Coefficients by the equation integrated over a smoothing spline of each run, and the initial states."""
    equation, sample = problem.equation, problem.sample
    m = equation.order
    designs, targets, right, initial, sizes = [], [], [], [], []
    for s in sample.slices():
        spline, t = _smoothed(problem, s), sample.t[s]
        curves = [spline.predict(t, deriv=j) for j in range(m)]
        columns = [curves[j] for j in sorted(equation.derivatives)] + list(sample.u[s].T)
        columns += term_columns(sample, equation, curves, t)
        right.append(np.column_stack(columns))
        if equation.intercept:
            columns.append(np.ones(len(t)))
        integrals = running_integral(np.column_stack(columns), t, held=False)
        designs.append(integrals - integrals.mean(axis=0))
        targets.append(curves[m - 1] - curves[m - 1].mean())
        initial += [curve[0] for curve in curves]
        sizes += [np.abs(curve).max() for curve in curves]
    _check_terms_apart(equation, np.vstack(right))
    design, target = np.vstack(designs), np.concatenate(targets)
    own = np.linalg.norm(target) / lengths(design)
    return Start(np.concatenate([regress(design, target), initial]), np.concatenate([own, sizes]))


class Point(NamedTuple):
    """Coefficients and initial states, residuals, and steps in a row that gained hardly anything."""

    x: FloatArray
    r: FloatArray
    idle: int = 0


class Minimum(NamedTuple):
    """Weighted least squares: x, residuals r (n,), their leverages, (J'J)^-1, and Newton's decrement."""

    x: FloatArray
    r: FloatArray
    leverage: FloatArray
    inverse: FloatArray
    decrement: float


def estimate_by_integration(problem: Problem) -> Fitted:
    """Nonlinear least squares over coefficients and the initial state of each run.

    One unknown noise SD is a common factor. Beside other series each unknown noise SD s is that of its residuals, s^2 = rss / (n -
    trace of its part of the hat matrix), and weights and least squares alternate until they no longer move.
    """
    equation, sample = problem.equation, problem.sample
    n_runs, m, k = len(sample.labels), equation.order, equation.n_params
    check_enough(problem, k)
    start = gradient_matching(problem)
    x = _finite_start(problem, start.x)
    read = np.isfinite(sample.y)
    series = np.broadcast_to(np.arange(len(sample.channels)), read.shape)[read]
    unknown = [i for i, channel in enumerate(sample.channels) if not channel.known]
    sd = np.ones(len(sample.channels))
    weighs = bool(unknown) and len(sd) > 1
    if weighs:
        first = _residuals(equation, sample, x[None], sd)[0]
        sd[unknown] = [_size(first[series == i], sample.y[:, i]) for i in unknown]
    for _ in range(MAX_ROUNDS):
        found = _descend(problem, x, start.sizes, sd)
        free = np.array([(1 - found.leverage[series == i]).sum() for i in unknown])
        sums = np.array([float(np.sum((found.r[series == i] * sd[i]) ** 2)) for i in unknown])
        now = np.sqrt(sums / free)
        if not weighs or (np.abs(now - sd[unknown]) <= SETTLED * sd[unknown]).all():
            break
        x, sd[unknown] = found.x, np.maximum(now, [ROUNDING * float(np.nanmax(np.abs(sample.y[:, i]))) for i in unknown])
    else:
        raise ConvergenceError(
            f"the SDs of the series have not converged after {MAX_ROUNDS} rounds; pass sd= for one of them", float("nan")
        )
    noise = dict(zip(StateSpace(equation, sample).variance_names[1:], now.tolist(), strict=True))
    factor = float(now[0] ** 2) if unknown and not weighs else 1.0
    cov = np.zeros((k + len(noise), k + len(noise)))
    cov[:k, :k] = found.inverse[:k, :k] * factor
    cov[k:, k:] = np.diag(now**2 / (2 * free))
    resid = np.full(sample.y.shape, np.nan)
    resid[read] = found.r * sd[series]
    sigma2 = np.ones(len(sd))
    sigma2[unknown] = now**2
    return Fitted(
        theta=found.x[:k],
        cov=cov,
        cov_type="nonrobust",
        noise=noise,
        q=np.zeros(1),
        sigma2=sigma2,
        resid=resid,
        n_rows=len(found.r),
        llf=_log_likelihood(sample, series, resid[read]),
        decrement=found.decrement,
        extra={
            "initial": found.x[k:].reshape(n_runs, m),
            "cov_solution": found.inverse * factor,
            "sizes": start.sizes,
        },
    )


def _size(residuals: FloatArray, y: FloatArray) -> float:
    """A first SD of a series: that of residuals at the start."""
    return max(float(np.sqrt(np.mean(residuals**2))), ROUNDING * float(np.nanmax(np.abs(y))))


def _log_likelihood(sample: Sample, series: npt.NDArray[np.int64], r: FloatArray) -> float:
    """Normal log-likelihood of residuals r in units of weights; unknown noise SDs are at their maximum."""
    total = -0.5 * (len(r) * np.log(2 * np.pi) + float(np.log(sample.ratio[np.isfinite(sample.y)]).sum()))
    for i, channel in enumerate(sample.channels):
        part = r[series == i]
        rss = float(part @ part)
        total -= 0.5 * (rss if channel.known else len(part) * (np.log(max(rss, np.finfo(float).tiny) / len(part)) + 1))
    return float(total)


def _finite_start(problem: Problem, x: FloatArray) -> FloatArray:
    """A start whose solution is finite: x, or its initial states with coefficients of zero."""
    equation, sample = problem.equation, problem.sample
    still = x.copy()
    still[: equation.n_params] = 0.0
    for trial in (x, still):
        if np.isfinite(_residuals(equation, sample, trial[None], np.ones(sample.y.shape[1]))).all():
            return trial
    names = ", ".join(repr(term.name) for term in equation.terms)
    raise ConvergenceError(
        f"the solution that starts the search overflows, or where the terms {names} are finite; give them finite "
        'values everywhere, or use method="integral"'
    )


def widths_of(x: FloatArray, sizes: FloatArray) -> FloatArray:
    """Steps of differences, each in proportion to the size of its own number."""
    return np.asarray(WIDTH * np.maximum(np.abs(x), SMALL * sizes))


def _descend(problem: Problem, x: FloatArray, sizes: FloatArray, sd: FloatArray) -> Minimum:
    """Least squares at SDs of the series."""

    def residuals(x: FloatArray) -> FloatArray:
        return _residuals(problem.equation, problem.sample, x, sd)

    def jacobian(x: FloatArray) -> FloatArray:
        widths = widths_of(x, sizes)
        both = residuals(np.vstack([x + np.diag(widths), x - np.diag(widths)]))
        return np.asarray(((both[: len(x)] - both[len(x) :]) / (2 * widths)[:, None]).T)

    read = np.isfinite(problem.sample.y)
    size = float(np.linalg.norm((problem.sample.y / (np.sqrt(problem.sample.ratio) * sd))[read]))

    def model(point: Point) -> Quadratic:
        r = point.r
        return Quadratic.of_residuals(jacobian(point.x), r, max(float(r @ r) / (len(r) - len(x)), (1e-13 * size) ** 2 / len(r)))

    def lower(point: Point, step: FloatArray, _: Quadratic) -> Point | None:
        if point.idle == PATIENCE:
            return None
        trial, before = point.x + step, float(point.r @ point.r)
        with np.errstate(over="ignore", invalid="ignore"):
            r = residuals(trial[None])[0]
            now = float(r @ r)
        return Point(trial, r, point.idle + 1 if now > (1 - PROGRESS) * before else 0) if now < before else None

    (x, r, _), at, _ = descend(Point(x, residuals(x[None])[0]), model, lower, DECREMENT, MAX_ITERATIONS, damping=DAMPING)
    if at.decrement > LOOSE:
        raise ConvergenceError(
            f"least squares has not converged (decrement {at.decrement:.3g}): the sum of squares is rough, as terms with jumps "
            'make it; use method="integral", or smooth them, for example sign(D(y)) as tanh(10*D(y))',
            float(r @ r),
        )
    return Minimum(x, r, ((jacobian(x) @ at.axes) ** 2 / at.curvature).sum(axis=1), at.inverse, at.decrement)


def solution(problem: Problem, fitted: Fitted, wide: Sample) -> tuple[FloatArray, FloatArray]:
    """The fitted solution at the nodes of runs of a sample, (n, M), and its covariance by the delta method, (n, M, M).

    What is uncertain are coefficients and initial states, jointly; there is no process noise.
    """
    equation, sample, k, m = problem.equation, problem.sample, problem.equation.n_params, problem.equation.order
    starts, cov = np.asarray(fitted.extra["initial"]), np.asarray(fitted.extra["cov_solution"])
    states, spread = np.empty((len(wide), m)), np.empty((len(wide), m, m))
    for s in wide.slices():
        run = sample.labels.index(wide.labels[wide.run[s.start]])
        begins = float(sample.t[sample.starts[run]])
        if wide.t[s.start] < begins:
            raise DataError(
                f"t reaches back before the run, which starts at {sample.t_name} = {sample.abscissa.label_of_number(begins)}, "
                "where the solution starts"
            )
        own = [*range(k), *range(k + run * m, k + (run + 1) * m)]
        x = np.concatenate([fitted.theta, starts[run]])
        widths = widths_of(x, np.asarray(fitted.extra["sizes"])[own])
        moved = np.vstack([x, x + np.diag(widths), x - np.diag(widths)])
        count = substeps(equation, fitted.theta, wide.t[s])
        found = _solve(equation, moved[:, :k], wide.t[s], wide.u[s], moved[:, k:], count)
        slopes = (found[:, 1 : len(x) + 1] - found[:, len(x) + 1 :]) / (2 * widths)[:, None]
        states[s] = found[:, 0]
        spread[s] = np.einsum("nai,ab,nbj->nij", slopes, cov[np.ix_(own, own)], slopes, optimize=True)
    return states, spread


def _residuals(equation: Equation, sample: Sample, x: FloatArray, sd: FloatArray) -> FloatArray:
    """Observations less solutions over their SDs (L, n), for L vectors (theta, initial states) and SDs of series of weight one."""
    k, m = equation.n_params, equation.order
    derivs = [channel.deriv for channel in sample.channels]
    out = np.empty((len(x), *sample.y.shape))
    for i, s in enumerate(sample.slices()):
        count = substeps(equation, x[0, :k], sample.t[s])
        states = _solve(equation, x[:, :k], sample.t[s], sample.u[s], x[:, k + i * m : k + (i + 1) * m], count)
        out[:, s] = np.swapaxes(sample.y[s][:, None] - states[:, :, derivs], 0, 1)
    return np.asarray((out / (np.sqrt(sample.ratio) * sd))[:, np.isfinite(sample.y)])
