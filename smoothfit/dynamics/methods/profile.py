"""Generalised profiling: a curve that fits both observations and equation, and the coefficients that bring it closest to y.

    f(theta) = argmin  sum (y_k - f(t_k))^2 + lam int (f^(m) - sum a_j f^(j) - B u - gamma)^2 dt,
    minimise  sum (y_k - f(t_k; theta))^2

(J. O. Ramsay, G. Hooker, D. Campbell and J. Cao 2007, "Parameter estimation for differential equations: a generalized smoothing
approach"). The inner minimum over all functions, not only those of a basis, is the posterior mean of the equation with process
noise of intensity q = sigma^2 / lam, which the Kalman smoother gives exactly. Gauss-Newton steps solve the outer problem.

At lam = sigma^2 / q of the likelihood the sum of squares is drawn towards equations that let f follow the observations; in
simulations its error is smallest from some hundred times that on, which is the default. As lam grows the method becomes least
squares on the solution. Standard errors are a sandwich, (J'J)^-1 J'(I - S) V (I - S)' J (J'J)^-1 with S the smoother and V what
both noises of the maximum likelihood make of the observations. As I - S is sigma^2 times the precision of the observations at the
intensity sigma^2 / lam, its middle is sigma^2 J'[(1 - rho) (I - S)^2 + rho (I - S)] J, rho = lam q / sigma^2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..._validation import FloatArray, check_positive
from ...errors import ConvergenceError, NumericalError, SpecificationError
from ...inference.damped import Quadratic, descend
from ..likelihood import StateSpace
from ..scoring import DIFFERENCE
from ..start import starts
from . import kalman, output_error
from .base import Fitted, Method, Problem, RowScores

WEIGHT = 100.0  # of the equation, in units of sigma^2 / q
MAX_ITERATIONS = 60
DECREMENT = 1e-10
LOOSE = 1e-3  # where no step is better: within three hundredths of a standard error


def estimate(problem: Problem, lam: float | None = None) -> Fitted:
    """Estimate at the weight `lam` of the equation; by default a hundred times sigma^2 / q of the maximum likelihood."""
    first = kalman.estimate(problem)
    q, sigma2 = float(first.q[0]), float(first.sigma2[0])
    if lam is None:
        if q == 0 or first.notes:
            solved = output_error.estimate(problem)
            return replace(solved, notes=("lam is infinite: the likelihood shows no process noise, and f solves the equation",))
        if sigma2 == 0:
            raise SpecificationError(
                "the likelihood shows no measurement noise, so that lam = sigma^2 / q is zero and f would interpolate; pass "
                'lam=, or use method="arx"'
            )
        lam, thetas = WEIGHT * sigma2 / q, [first.theta]
    else:
        lam, thetas = check_positive(lam, "lam"), starts(problem.equation, problem.sample)
    model = StateSpace(problem.equation, problem.sample)
    failure: ConvergenceError | None = None
    for theta in thetas:
        try:
            return _fitted(problem, lam, q, sigma2, *_descend(model, lam, theta))
        except ConvergenceError as error:
            failure = failure or error
        except NumericalError as error:
            failure = failure or ConvergenceError(f'{error}; use method="kalman"', float("nan"))
    assert failure is not None
    raise failure


def _curve(model: StateSpace, lam: float, theta: FloatArray) -> FloatArray:
    """Fitted curve at the observations."""
    read = np.isfinite(model.sample.y[:, 0])
    return np.asarray(model.smooth(theta, np.array([1 / lam]), np.ones(1))[0][read, 0])


def _jacobian(model: StateSpace, lam: float, theta: FloatArray) -> tuple[FloatArray, float]:
    """Derivatives of f by theta, by central differences, and the noise variance of the observations at this lam."""
    t = model.terms(theta, np.array([1 / lam]), np.ones(1))
    sigma2 = t.sse / t.n_used
    k = len(theta)
    information = (t.of_mean / max(sigma2, np.finfo(float).tiny) + t.of_variance).diagonal()[:k]
    widths = DIFFERENCE / np.sqrt(np.maximum(information, np.finfo(float).tiny))
    columns = []
    for i in range(k):
        step = widths[i] * np.eye(k)[i]
        columns.append((_curve(model, lam, theta + step) - _curve(model, lam, theta - step)) / (2 * widths[i]))
    return np.column_stack(columns), float(sigma2)


class _Point(NamedTuple):
    """Coefficients, residuals, derivatives of the curve, and the noise variance."""

    theta: FloatArray
    r: FloatArray
    J: FloatArray
    sigma2: float


def _descend(model: StateSpace, lam: float, theta: FloatArray) -> tuple[_Point, float]:
    """The minimum of the sum of squares, and its decrement."""
    y = model.sample.y[:, 0]
    y = y[np.isfinite(y)]

    def lower(point: _Point, step: FloatArray, _: Quadratic) -> _Point | None:
        trial = point.theta + step
        r = y - _curve(model, lam, trial) if np.isfinite(trial).all() else np.full_like(y, np.nan)
        return _Point(trial, r, *_jacobian(model, lam, trial)) if r @ r <= point.r @ point.r else None

    def quadratic(point: _Point) -> Quadratic:
        return Quadratic.of_residuals(-point.J, point.r, max(point.sigma2, float(np.finfo(float).tiny)))

    start = _Point(theta, y - _curve(model, lam, theta), *_jacobian(model, lam, theta))
    found, at, _ = descend(start, quadratic, lower, DECREMENT, MAX_ITERATIONS)
    if at.decrement > LOOSE:
        raise ConvergenceError(
            f'the search for the minimum did not converge (decrement {at.decrement:.3g}); use method="kalman"',
            float(found.r @ found.r),
        )
    return found, at.decrement


def _fitted(problem: Problem, lam: float, q: float, sigma2: float, found: _Point, decrement: float) -> Fitted:
    theta, r, J, _ = found
    sample, k = problem.sample, len(theta)
    read = np.isfinite(sample.y[:, 0])
    smoothed = np.empty_like(J)
    for i in range(k):  # the smoother without inputs is S
        column = np.full_like(sample.y, np.nan)
        column[read, 0] = J[:, i]
        still = replace(problem.equation, inputs=(), intercept=False)
        bare = StateSpace(still, replace(sample, y=column, u=np.zeros((len(sample), 0)), inputs=()))
        smoothed[:, i] = _curve(bare, lam, theta[problem.equation.in_system])
    bread = np.linalg.inv(J.T @ J)
    rest = J - smoothed
    middle = sigma2 * rest.T @ rest + lam * q * (J.T @ rest - rest.T @ rest)
    resid = np.full((len(sample), 1), np.nan)
    resid[read, 0] = r
    return Fitted(
        theta=theta,
        cov=bread @ ((middle + middle.T) / 2) @ bread,
        cov_type="eiv",
        noise={},
        q=np.array([q]),
        sigma2=np.array([sigma2]),
        resid=resid,
        n_rows=len(r),
        bread=np.asarray(bread),
        by_row=RowScores(J * r[:, None], sample.run[read]),
        decrement=decrement,
        extra={"lam": lam},
    )


METHOD = Method(
    "profile",
    estimate,
    "independent measurement noise; deviations from the equation of a size set by lam",
    irregular=True,
    replicates=True,
    between=True,
    missing=True,
)
