"""Minimisation of a criterion over logarithms within bounds, with a certificate.

Newton's method with the exact Hessian, projected onto the bounds, from every local minimum of a grid. A minimum is
certified where the Newton decrement g'H^-1 g of the free variables is negligible and H positive definite, and where at each
bound reached the score points outward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import ConvergenceError

DECREMENT = 1e-10  # the criterion is within half of this of its minimum; a parameter within 1e-5 of its standard error
MAX_ITERATIONS = 100
LONGEST_STEP = 6.0
DAMPINGS = (10.0 ** np.arange(-7, 1), 10.0 ** np.arange(1, 9))  # of the Hessian, relative to its largest eigenvalue
FLAT = 1e-4  # second derivative of the criterion by a logarithm, below which a bound may be the optimum


class Objective(Protocol):
    """What can be minimised."""

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p)."""

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """A certified minimum.

    Attributes
    ----------
    theta : ndarray, shape (p,)
    value : float
    decrement : float
        g'H^-1 g over the free variables: twice the criterion's distance from its minimum.
    at_lower, at_upper : ndarray of bool, shape (p,)
        Variables on a bound, where the score points outward.
    n_starts : int
        How many starts were followed.
    """

    theta: FloatArray
    value: float
    decrement: float
    at_lower: npt.NDArray[np.bool_]
    at_upper: npt.NDArray[np.bool_]
    n_starts: int


def minimize(objective: Objective, starts: FloatArray, lower: FloatArray, upper: FloatArray) -> Minimum:
    """Return the best certified minimum.

    `starts` (L, p) form a grid along the first variable; every local minimum on it (three at most) is followed.

    Raises
    ------
    ConvergenceError
        Where no start leads to a minimum that can be certified.
    """
    candidates = np.clip(starts, lower, upper)
    values = objective.values(candidates)
    order = np.argsort(candidates[:, 0], kind="stable")
    candidates, values = candidates[order], values[order]
    padded = np.concatenate([[np.inf], np.where(np.isfinite(values), values, np.inf), [np.inf]])
    is_low = (padded[1:-1] <= padded[:-2]) & (padded[1:-1] <= padded[2:]) & np.isfinite(values)
    lows = np.flatnonzero(is_low)
    lows = lows[np.argsort(values[lows], kind="stable")][:3]
    minima, failures = [], []
    for i in lows:
        theta = _zoom(objective, candidates[max(i - 1, 0) : i + 2], candidates[i])
        try:
            minima.append(_newton(objective, theta, lower, upper, len(lows)))
        except ConvergenceError as error:
            failures.append(error)
    if not minima:
        raise failures[0] if failures else ConvergenceError("the criterion is not finite at any start")
    return min(minima, key=lambda minimum: minimum.value)


def _zoom(objective: Objective, neighbours: FloatArray, theta: FloatArray) -> FloatArray:
    """Move the first variable to the lowest point of a finer grid between the neighbours, by a parabola there."""
    fine = np.repeat(theta[None], 8, axis=0)
    fine[:, 0] = np.linspace(neighbours[0, 0], neighbours[-1, 0], 8)
    values = objective.values(fine)
    i = int(np.argmin(values))
    if 0 < i < 7:
        fine[i, 0] = _vertex(fine[i - 1 : i + 2, 0], values[i - 1 : i + 2])
    return np.asarray(fine[i])


def _vertex(x: FloatArray, f: FloatArray) -> float:
    """Vertex of the parabola through three points, the middle one lowest; the middle one where they are level."""
    left, right = (f[0] - f[1]) / (x[0] - x[1]), (f[2] - f[1]) / (x[2] - x[1])
    curvature = (right - left) / (x[2] - x[0])
    if not (np.isfinite(curvature) and curvature > 0):
        return float(x[1])
    slope = left + curvature * (x[1] - x[0])
    return float(np.clip(x[1] - slope / (2 * curvature), x[0], x[2]))


def _newton(objective: Objective, theta: FloatArray, lower: FloatArray, upper: FloatArray, n_starts: int) -> Minimum:
    theta, decrement = theta.copy(), np.inf
    for _ in range(MAX_ITERATIONS):
        value, gradient, hessian = objective.hessian(theta)
        at_lower = (theta <= lower) & (gradient >= 0)
        at_upper = (theta >= upper) & (gradient <= 0)
        free = ~(at_lower | at_upper)
        moved = _to_bound(objective, theta, value, free & (np.abs(hessian.diagonal()) < FLAT), gradient, lower, upper)
        if moved is not None:
            theta = moved
            continue
        if not gradient[free].any():
            return Minimum(theta, value, 0.0, at_lower, at_upper, n_starts)
        curvature, axes = np.linalg.eigh(hessian if free.all() else hessian[np.ix_(free, free)])
        along = axes.T @ gradient[free]
        size = np.abs(curvature).max()
        is_minimum = curvature.min() > 0
        decrement = float(along @ (along / curvature)) if is_minimum else np.inf
        if is_minimum and decrement <= DECREMENT:
            return Minimum(theta, value, decrement, at_lower, at_upper, n_starts)
        if decrement < 2.0:  # Newton's steps converge from here, and rounding would hide the descent
            theta = theta.copy()
            theta[free] -= axes @ (along / curvature)
            theta = np.clip(theta, lower, upper)
            continue
        for damping in DAMPINGS:
            steps = np.zeros((len(damping), len(theta)))
            steps[:, free] = -(along / (np.abs(curvature) + size * damping[:, None])) @ axes.T
            steps *= np.minimum(1.0, LONGEST_STEP / np.abs(steps).max(axis=1, keepdims=True))
            trials = np.clip(theta + steps, lower, upper)
            values = objective.values(trials)
            best = int(np.nanargmin(values))
            if values[best] < value:
                theta = trials[best]
                break
        else:
            raise ConvergenceError(
                f"no descent from theta = {theta} (criterion {value:.10g}, decrement {decrement:.3g}); "
                "fix the smoothing (lam=, bandwidth= or edf=) or give an sd"
            )
    raise ConvergenceError(
        f"not converged after {MAX_ITERATIONS} Newton steps (decrement {decrement:.3g}); "
        "fix the smoothing (lam=, bandwidth= or edf=) or give an sd"
    )


def _to_bound(
    objective: Objective,
    theta: FloatArray,
    value: float,
    flat: npt.NDArray[np.bool_],
    gradient: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> FloatArray | None:
    """Move a variable that the criterion hardly depends on to the bound ahead, if that is no worse; None if nothing moved.

    Towards its limits a criterion levels off exponentially; Newton's method would go there in steps of one.
    """
    for i in np.flatnonzero(flat):
        trial = theta.copy()
        trial[i] = lower[i] if gradient[i] > 0 else upper[i]
        if trial[i] != theta[i] and objective.values(trial[None])[0] <= value + DECREMENT:
            return trial
    return None
