"""Equations with non-linear terms, solved numerically and fitted by least squares.

Classical Runge-Kutta steps of order four, as many between two samples as the fastest part of the equation needs. Perturbed
coefficients and initial states run side by side, so that the derivatives of the solution are central differences at the cost of one
vectorised solution. These derivatives make its bands, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .._validation import FloatArray, frozen
from ..errors import ConvergenceError, DataError, IdentificationError
from ..observations import observe
from ..statespace import SmoothingSpline, SmoothingSplineResults
from .methods.base import Fitted, Problem
from .sample import Sample, term_columns
from .specification import Equation
from .start import running_integral

PLACES = 8  # at which a term is averaged over a step
SUBSTEP = 0.1  # of the fastest time constant: errors of order 1e-7 of the solution
MOST_SUBSTEPS = 64
WIDTH = 1e-4  # relative: central differences then err by 1e-8, and steps across a jump such as that of a sign are averaged
COLLINEAR = 1e-10  # a term is a combination of others where less than this share of its length is left
DECREMENT = 1e-8
DAMPINGS = 8.0 ** np.arange(30).reshape(5, 6)
PROGRESS = 1e-6  # of the sum of squares: a step that gains less is idle
PATIENCE = 3  # idle steps, after which the sum of squares is rough
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
    known = np.isfinite(sample.y[s, 0])
    if known.sum() <= m + 3:
        raise DataError(f"a run of {int(known.sum())} readings is too short for an equation of order {m} with non-linear terms")
    model = SmoothingSpline(observe(sample.t[s][known], sample.y[s, 0][known]), order=min(4, m + 1))
    results: SmoothingSplineResults = model.fit()
    return results


def by_smoothed_terms(problem: Problem, estimate: Callable[[Problem], Fitted]) -> Fitted:
    """A method for linear equations, with terms of the smoothed readings among its inputs.

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
    note = "Non-linear terms are those of smoothed readings; standard errors do not know of the smoothing's own error."
    return replace(fitted, notes=(*fitted.notes, note), extra={**fitted.extra, "initial": np.array(initial)})


def _check_terms_apart(equation: Equation, right: FloatArray) -> None:
    """Raise where a term is a combination of what is on the right before it: derivatives, inputs and terms, in columns."""
    if equation.intercept:
        right = np.column_stack([np.ones(len(right)), right])
    lengths = np.linalg.norm(right, axis=0)
    right = right / np.where(lengths > 0, lengths, 1.0)
    for i, term in enumerate(equation.terms):
        before, column = np.split(right, [right.shape[1] - len(equation.terms) + i], axis=1)
        rest = column[:, 0] - before @ np.linalg.lstsq(before, column[:, 0], rcond=None)[0]
        if np.linalg.norm(rest) <= COLLINEAR:
            raise IdentificationError(
                f"the term {term.name!r} is zero, or a linear combination of the rest of the right side, all along the smoothed "
                "readings: nothing tells its coefficient; leave it out"
            )


def gradient_matching(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Coefficients by the equation integrated over a smoothing spline of each run, and the initial states (runs, M): a start."""
    equation, sample = problem.equation, problem.sample
    m = equation.order
    designs, targets, right, initial = [], [], [], []
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
        initial.append([curve[0] for curve in curves])
    _check_terms_apart(equation, np.vstack(right))
    theta = np.linalg.lstsq(np.vstack(designs), np.concatenate(targets), rcond=None)[0]
    return np.asarray(theta), np.array(initial)


def estimate_by_integration(problem: Problem) -> Fitted:
    """Nonlinear least squares over coefficients and the initial state of each run."""
    equation, sample = problem.equation, problem.sample
    n_runs, m, k = len(sample.labels), equation.order, equation.n_params
    if sample.n_readings <= k + n_runs * m:
        raise DataError(f"{sample.n_readings} readings are too few for {k} parameters and {n_runs * m} initial values")
    theta, initial = gradient_matching(problem)
    x = np.concatenate([theta, initial.ravel()])
    weights = 1 / np.sqrt(sample.ratio[:, 0])
    known = np.isfinite(sample.y[:, 0])
    size = float(np.linalg.norm(sample.y[known, 0] * weights[known]))

    def residual(x: FloatArray) -> FloatArray:
        return np.asarray(_residuals(equation, sample, x[None], weights)[0][known])

    r = residual(x)
    if not np.isfinite(r).all():
        x[: len(theta)] = 0.0
        r = residual(x)
    if not np.isfinite(r).all():
        names = ", ".join(repr(term.name) for term in equation.terms)
        raise ConvergenceError(
            f"the solution that starts the search leaves the numbers, or where the terms {names} are finite; give them finite "
            'values everywhere, or use method="integral"'
        )
    damping, decrement, idle = 1e-3, np.inf, 0
    J = np.zeros((len(r), len(x)))
    for _ in range(50):
        widths = WIDTH * np.maximum(np.abs(x), 1e-3 * np.abs(x).max())
        moved = np.vstack([x + np.diag(widths), x - np.diag(widths)])
        both = _residuals(equation, sample, moved, weights)[:, known]
        J = (-(both[: len(x)] - both[len(x) :]) / (2 * widths)[:, None]).T
        scale = np.linalg.norm(J, axis=0)
        scale[scale == 0] = 1.0
        U, s, Vt = np.linalg.svd(J / scale, full_matrices=False)
        along = U.T @ r
        noise = max(float(r @ r) / (len(r) - len(x)), (1e-13 * size) ** 2 / len(r))
        decrement = float(along @ along) / noise
        if decrement <= DECREMENT:
            break
        before = float(r @ r)
        for dampings in np.maximum(damping, 1e-12) * DAMPINGS:  # side by side, for the price of one
            trials = x + (Vt.T @ (s[:, None] / (s[:, None] ** 2 + dampings) * along[:, None])).T / scale
            left = _residuals(equation, sample, trials, weights)[:, known]
            with np.errstate(over="ignore", invalid="ignore"):
                sums = np.where(np.isfinite(left).all(axis=1), np.einsum("ij,ij->i", left, left), np.inf)
            best = int(sums.argmin())
            if sums[best] < before:
                x, r, damping = trials[best], left[best], max(float(dampings[best]) / 10, 1e-14)
                break
        idle = idle + 1 if float(r @ r) > (1 - PROGRESS) * before else 0
        if idle == PATIENCE or float(r @ r) == before:
            if decrement <= LOOSE:
                break
            raise ConvergenceError(
                f"least squares has not converged (decrement {decrement:.3g}): the sum of squares is rough, as terms with jumps "
                'make it; use method="integral", or smooth them, for example sign(D(y)) as tanh(10*D(y))',
                before,
            )
    if decrement > LOOSE:
        raise ConvergenceError(
            f"least squares has not converged after 50 steps (decrement {decrement:.3g}); a term with jumps leaves it rough: "
            'use method="integral", or smooth it, for example sign(D(y)) as tanh(10*D(y))',
            float(r @ r),
        )
    sigma2 = float(r @ r) / (len(r) - len(x))
    inverse = np.linalg.inv((J / scale).T @ (J / scale)) / np.outer(scale, scale)
    cov = np.zeros((k + 1, k + 1))
    cov[:k, :k] = inverse[:k, :k] * sigma2
    cov[k, k] = sigma2 / (2 * (len(r) - len(x)))
    resid = np.full((len(sample), 1), np.nan)
    resid[known, 0] = r
    return Fitted(
        theta=x[:k],
        cov=cov,
        cov_type="nonrobust",
        noise={"sigma": float(np.sqrt(sigma2))},
        q=np.zeros(1),
        sigma2=np.array([sigma2]),
        resid=resid,
        n_rows=len(r),
        llf=float(-0.5 * len(r) * (np.log(2 * np.pi * max(float(r @ r), 1e-300) / len(r)) + 1)),
        n_constants=n_runs * m,
        decrement=decrement,
        extra={"initial": x[k:].reshape(n_runs, m), "cov_solution": inverse * sigma2},
    )


def solution(problem: Problem, fitted: Fitted, wide: Sample) -> tuple[FloatArray, FloatArray]:
    """The fitted solution at the nodes of runs of a sample, (n, M), and its covariance by the delta method, (n, M, M).

    What is uncertain are coefficients and initial states, jointly; there is no noise within the equation.
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
        widths = WIDTH * np.maximum(np.abs(x), 1e-3 * np.abs(x).max())
        moved = np.vstack([x, x + np.diag(widths), x - np.diag(widths)])
        count = substeps(equation, fitted.theta, wide.t[s])
        found = _solve(equation, moved[:, :k], wide.t[s], wide.u[s], moved[:, k:], count)
        slopes = (found[:, 1 : len(x) + 1] - found[:, len(x) + 1 :]) / (2 * widths)[:, None]
        states[s] = found[:, 0]
        spread[s] = np.einsum("nai,ab,nbj->nij", slopes, cov[np.ix_(own, own)], slopes, optimize=True)
    return states, spread


def _residuals(equation: Equation, sample: Sample, x: FloatArray, weights: FloatArray) -> FloatArray:
    """Readings minus solutions (L, n) for L parameter vectors (theta, initial states)."""
    k, m = equation.n_params, equation.order
    out = np.empty((len(x), len(sample)))
    for i, s in enumerate(sample.slices()):
        count = substeps(equation, x[0, :k], sample.t[s])
        states = _solve(equation, x[:, :k], sample.t[s], sample.u[s], x[:, k + i * m : k + (i + 1) * m], count)
        out[:, s] = (sample.y[s, 0][:, None] - states[:, :, 0]).T * weights[s]
    return out
