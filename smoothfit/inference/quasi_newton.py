"""Quasi-Newton descents within bounds, for objectives that give a scale of their curvature with each score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from .._log import logger
from .._validation import FloatArray

DECREMENT = 1e-10  # the criterion is within half of this of its minimum; a parameter within 1e-5 of its standard error
LONGEST_STEP = 6.0
NEAR = 1e-3  # a decrement below which Newton's steps are not checked for descent
LEVEL = 1e-8  # a slope, or a difference of values, that does not count
FLAT = 1e-4  # second derivative of the criterion by a logarithm, below which a bound may be the optimum
LEVELLING = 0.01  # the same of the scale, which is cheap to test
MOST_DESCENTS = 100  # scores of one descent
FAR = 0.5  # in logarithms: steps of the scale alone that are longer start the descent
MOST_SCALED = 3  # of these
SETTLED = 0.1 * DECREMENT  # a decrement by the approximate Hessian
SUFFICIENT = 1e-4  # of the descent that the slope promises
DAMPED = 0.2  # of the approximate curvature along a step: it is not lowered further at once
MAX_HALVINGS = 20  # of a step, at least


class Objective(Protocol):
    """What can be minimised."""

    @property
    def unbounded(self) -> bool:
        """Whether it falls without bound as the first variable grows, so that its minimum is the best one inside."""

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p)."""

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""


class Scaled(Objective, Protocol):
    """An objective that gives a scale of its curvature with each score."""

    def scaled_gradient(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient, and roughly the second derivative along each variable, if it is near its optimum."""


def is_scaled(objective: Objective) -> TypeGuard[Scaled]:
    """Whether an objective gives a scale; a check of the whole protocol would cost as much as a score."""
    return hasattr(objective, "scaled_gradient")


@dataclass(frozen=True, eq=False)
class End:
    """The end of a quasi-Newton descent, before any check of convergence.

    Attributes
    ----------
    theta : ndarray, shape (p,)
    value : float
    curvature : ndarray, shape (p, p)
        Approximate Hessian, positive definite.
    remaining : float
        The decrement by this Hessian.
    at_bound : ndarray of bool, shape (p,)
    """

    theta: FloatArray
    value: float
    curvature: FloatArray
    remaining: float
    at_bound: npt.NDArray[np.bool_]

    def is_near(self, theta: FloatArray, value: float | None, decrement: float) -> bool:
        """Whether a point, with its value if it is comparable, lies in the basin of this end: within a decrement of it."""
        off = theta - self.theta
        if off[self.at_bound].any():  # on the way to a bound the criterion is flat, and may be lower elsewhere
            return False
        return bool(off @ self.curvature @ off < decrement and (value is None or abs(value - self.value) < decrement))


def descend(
    objective: Scaled,
    theta: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    is_known: Callable[[FloatArray, float], bool] = lambda theta, value: False,
    curvature: FloatArray | None = None,
    settled: float = SETTLED,
) -> End | None:
    """Go down by damped BFGS, projected onto the bounds, to a decrement `settled`; None once a point and its value are known.

    Without a `curvature` to start with, the first steps are those of the scale alone, in logarithms: a variance moves to where its
    slopes of the log determinant and of the sum of squares would balance (Fellner & Schall).
    """
    theta = np.clip(theta, lower, upper)
    value, gradient, scale = objective.scaled_gradient(theta)
    n_scaled = MOST_SCALED if curvature is None else 0
    hessian = np.diag(np.maximum(scale, FLAT)) if curvature is None else curvature
    decrement = np.inf
    for iteration in range(MOST_DESCENTS):
        logger.debug("BFGS, iteration %d: criterion %.10g", iteration, value)
        if is_known(theta, value):
            return None
        free = ~((theta <= lower) & (gradient >= 0) | (theta >= upper) & (gradient <= 0))
        levelling = free & (scale < LEVELLING) & (gradient > -LEVEL)
        moved = to_bound(objective.values, theta, value, levelling, np.abs(gradient), lower, upper) if levelling.any() else None
        if moved is not None:
            theta = moved
            value, gradient, scale = objective.scaled_gradient(theta)
            continue
        step = np.zeros(len(theta))
        step[free] = -np.linalg.solve(hessian if free.all() else hessian[np.ix_(free, free)], gradient[free])
        decrement = float(-gradient @ step)
        if decrement <= settled:
            break
        if n_scaled:
            ratio = 1 - gradient[free] / np.maximum(scale[free], FLAT)
            alone = np.log(np.maximum(ratio, np.exp(-LONGEST_STEP)))
            n_scaled = n_scaled - 1 if np.abs(alone).max() > FAR else 0
            step[free] = alone
        found = _line_search(objective, theta, value, gradient, step, decrement, lower, upper)
        if found is None:
            break
        new, value, new_gradient, scale = found
        hessian = np.diag(np.maximum(scale, FLAT)) if n_scaled else _updated(hessian, new - theta, new_gradient - gradient)
        theta, gradient = new, new_gradient
    logger.info("BFGS ended after %d iterations: criterion %.10g, decrement %.3g", iteration, value, decrement)
    return End(theta, value, hessian, decrement, (theta <= lower) | (theta >= upper))


def _line_search(
    objective: Scaled,
    theta: FloatArray,
    value: float,
    gradient: FloatArray,
    step: FloatArray,
    decrement: float,
    lower: FloatArray,
    upper: FloatArray,
) -> tuple[FloatArray, float, FloatArray, FloatArray] | None:
    """A point along a step that is lower, with its value, gradient and scale; None if there is none."""
    step = step * min(1.0, LONGEST_STEP / np.abs(step).max())
    for _ in range(MAX_HALVINGS):
        new = np.clip(theta + step, lower, upper)
        slope = float(gradient @ (new - theta))
        found = objective.scaled_gradient(new)
        fall = found[0] - value
        if fall <= SUFFICIENT * slope or (decrement < NEAR and fall < NEAR):  # NaN is neither
            return (new, *found)
        shorter = -slope / (2 * (fall - slope)) if np.isfinite(fall) and slope < fall else 0.0
        step = (new - theta) * np.clip(shorter, 0.1, 0.5)
    return None


def _updated(hessian: FloatArray, step: FloatArray, change: FloatArray) -> FloatArray:
    """BFGS update of an approximate Hessian by a step and the change of the gradient, damped (Powell) to stay positive definite."""
    expected = hessian @ step
    curvature = float(step @ expected)
    if not curvature > 0:
        return hessian
    if step @ change < DAMPED * curvature:
        share = (1 - DAMPED) * curvature / (curvature - step @ change)
        change = share * change + (1 - share) * expected
    return hessian - np.outer(expected, expected) / curvature + np.outer(change, change) / float(step @ change)


def at_bounds(
    theta: FloatArray, gradient: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Variables at a lower and at an upper bound, where the gradient points outward."""
    return (theta <= lower) & (gradient >= -LEVEL), (theta >= upper) & (gradient <= LEVEL)


def to_bound(
    values: Callable[[FloatArray], FloatArray],
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
        trial[i] = lower[i] if gradient[i] >= 0 else upper[i]
        if trial[i] != theta[i] and values(trial[None])[0] <= value + LEVEL:
            return trial
    return None
