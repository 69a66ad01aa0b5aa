"""Descent to a converged minimum where a score costs little more than a value, and a Hessian several scores.

Newton's method whose Hessian is differenced at the start and again near the minimum, and kept up between by the secants of the
scores (BFGS). The convergence criterion is that of `newton`: a negligible Newton decrement, by a Hessian differenced near the
minimum.

Why there are two searches: the kernels of regression and of the integrated Wiener process evaluate eight candidates side by side
and have second derivatives, or a scale of them (`quasi_newton.Scaled`). `newton` scans a grid in a few calls, takes the best of
eight damped steps at each iteration, and asks for a Hessian each time, as the kernel that searches many curves does (`many.hpp`).
A general process has neither: its candidates are filtered one after the other, and a Hessian of p parameters is differenced from p
further scores; a score of a dense Gaussian process costs as much as many values. This search takes one score an iteration, and a
Hessian at its start, near the minimum, and where secants fail. Over 12 fits of 120 to 2000 observations (Matérn processes of one
and two series, a trend with a season, a level with a cycle) that is 1751 scores and 3212 values; by the steps of `newton` the same
optima take 3388 and 6336, and twice the time. The reverse gains little: regressions of two series take 5 to 10 % less time by
secants, others the same. Bounds and the test of convergence are those of `newton`, which follows a start on which this search does
not converge (`general_search`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .._log import logger
from .._validation import FloatArray
from ..errors import ConvergenceError
from .newton import Minimum
from .quasi_newton import DECREMENT, FLAT, LEVEL, at_bounds, to_bound

CLOSE = 0.1  # a decrement, near which a Hessian is that of the minimum
ROUNDED = 1e-3  # a decrement below which rounding, of no more than this, may hide the descent
DAMPINGS = (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e2, 1e4, 1e6, 1e8)  # of the Hessian, relative to its largest eigenvalue
LONGEST_STEP = 2.0  # in a logarithm: starts of a search are nearer than that
MAX_ITERATIONS = 40
DIFFERENCES = 1e-4  # of the largest curvature: below, the sign of one is rounding, and a level slope along it is enough
MOST_SECANTS = 6  # steps with one Hessian
SLOW = 0.1  # of the descent that is predicted: what is less asks for a new Hessian
LEVELLING = 0.3  # a slope that is small, and how far from it, relatively, the descent that it predicts may be
CURVED = 1e-8  # smallest cosine of a step and the change of the score for a secant


Bounds = tuple[FloatArray, FloatArray]


class Scored(NamedTuple):
    """A point, perhaps moved to a lower one that came at no cost, with value and score; an infinite value if there is none.

    `along` is what its objective keeps of it for the Hessian.
    """

    theta: FloatArray
    value: float
    gradient: FloatArray
    along: FloatArray | None = None


class ScoredObjective(Protocol):
    """What can be descended."""

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p)."""

    def score(self, theta: FloatArray) -> Scored:
        """Value and score."""

    def curvature(self, at: Scored) -> FloatArray:
        """Hessian."""


def descend(
    objective: ScoredObjective,
    start: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    n_starts: int,
    guess: FloatArray | None = None,
    tolerance: float = DECREMENT,
    is_known: Callable[[FloatArray, float], bool] = lambda theta, value: False,
    plateau: float = 0.0,
) -> tuple[Minimum, FloatArray] | None:
    """The minimum that a start leads to, and the Hessian there, the whole of it; `guess` is one to begin with.

    A decrement of `tolerance` is negligible; where that is more than `CLOSE`, the Hessian may be one of secants. None once a point
    and its value are known, as those in the bowl about another minimum are. Directions along which slope and curvature are below
    `plateau` need not have a minimum.

    Raises
    ------
    ConvergenceError
    """
    at = objective.score(np.clip(start, lower, upper))
    if not np.isfinite(at.value):
        raise ConvergenceError("the criterion is not finite at a start")
    hessian = guess
    is_near, refused, age = False, np.full(len(start), LEVELLING), 0
    for iteration in range(MAX_ITERATIONS):
        logger.debug("descent, iteration %d: criterion %.10g", iteration, at.value)
        if is_known(at.theta, at.value):
            return None
        at_lower, at_upper = at_bounds(at.theta, at.gradient, lower, upper)
        free = ~(at_lower | at_upper)
        is_fresh = hessian is None
        if hessian is None:
            hessian = objective.curvature(at)
            flat = free & (np.abs(hessian.diagonal()) < FLAT)
            moved = to_bound(objective.values, at.theta, at.value, flat, at.gradient, lower, upper)
            if moved is not None:
                at, hessian = objective.score(moved), None
                continue
        if not at.gradient[free].any():
            return Minimum(at.theta, at.value, 0.0, at_lower, at_upper, n_starts), hessian
        curvature, axes = np.linalg.eigh(hessian if free.all() else hessian[np.ix_(free, free)])
        along = axes.T @ at.gradient[free]
        decrement = _decrement(curvature, along, plateau)
        is_minimum = decrement < np.inf
        is_near = decrement <= CLOSE if is_fresh else is_near
        if not is_fresh and (not is_minimum or (max(tolerance, decrement) <= CLOSE and not is_near)):
            hessian = None
            continue
        if decrement <= tolerance:
            logger.info("descent ended after %d iterations: criterion %.10g, decrement %.3g", iteration, at.value, decrement)
            return Minimum(at.theta, at.value, decrement, at_lower, at_upper, n_starts), hessian
        ahead = _levelled(objective, at, np.flatnonzero(free), hessian, np.where(at.gradient > 0, lower, upper), refused)
        if ahead is not None:
            at = ahead
            continue
        newton = partial(_damped, free, curvature, axes, along)
        dampings = DAMPINGS if is_fresh else DAMPINGS[:1]  # a Hessian of secants is taken at its word or not at all
        found = _lower(objective, at, newton, (lower, upper), dampings, decrement < ROUNDED)
        if found is None:
            if is_fresh:
                raise ConvergenceError(f"no descent from a point that is not a minimum (criterion {at.value:.10g});", at.value)
            hessian = None
            continue
        age, descent = 0 if is_fresh else age + 1, at.value - found.value
        is_slow = age >= MOST_SECANTS or descent < 0 or (decrement > ROUNDED and descent < SLOW * decrement / 2)
        step, change, at = found.theta - at.theta, found.gradient - at.gradient, found
        hessian = _secant(hessian, step, change) if is_minimum and not is_slow else None
    raise ConvergenceError(f"not converged after {MAX_ITERATIONS} steps (decrement {decrement:.3g});", at.value)


def _decrement(curvature: FloatArray, along: FloatArray, plateau: float) -> float:
    """Newton decrement, of a Hessian's eigenvalues and the gradient along its axes; infinite if it is not positive definite."""
    sizes = np.abs(curvature)
    steep = (np.abs(along) > max(LEVEL, plateau)) | (sizes > max(DIFFERENCES * sizes.max(), plateau))
    if not (curvature[steep] > 0).all():
        return np.inf
    return float(along[steep] @ (along[steep] / curvature[steep]))


def _levelled(
    objective: ScoredObjective,
    at: Scored,
    free: npt.NDArray[np.int64],
    hessian: FloatArray,
    bounds: FloatArray,
    refused: FloatArray,
) -> Scored | None:
    """The point with a variable at the bound ahead, where the criterion levels off to it as c + a exp(-distance); None elsewhere.

    There slope and curvature are alike, and are what is left to descend; Newton's method would go in steps of one. `refused` has
    the slopes at which that was tried last.
    """
    for i in free:
        slope = abs(float(at.gradient[i]))
        if not (LEVEL < slope < refused[i] and slope / 2 < hessian[i, i] < 2 * slope):
            continue
        refused[i] = slope / 10
        theta = at.theta.copy()
        theta[i] = bounds[i]
        found = objective.score(theta)
        if abs(at.value - found.value - slope) < LEVELLING * slope:
            return found
    return None


def _damped(free: npt.NDArray[np.bool_], curvature: FloatArray, axes: FloatArray, along: FloatArray, damping: float) -> FloatArray:
    """A Newton step of the free variables, by the eigenvalues and axes of their Hessian, the sizes of the former damped."""
    step, size = np.zeros(len(free)), np.abs(curvature).max()
    step[free] = -axes @ (along / np.maximum(np.abs(curvature) + size * damping, 1e-12 * size))
    return np.asarray(step * min(1.0, LONGEST_STEP / np.abs(step).max()))


def _lower(
    objective: ScoredObjective,
    at: Scored,
    step: Callable[[float], FloatArray],
    bounds: Bounds,
    dampings: Sequence[float],
    rounded: bool,
) -> Scored | None:
    """A lower point, by a step as little damped as need be; None if there is none. If `rounded`, Newton's step is taken."""
    for damping in dampings:
        found = objective.score(np.clip(at.theta + step(damping), *bounds))
        if found.value < at.value + (ROUNDED if rounded and not damping else 0.0):
            return found
    return None


def _secant(hessian: FloatArray, step: FloatArray, change: FloatArray) -> FloatArray | None:
    """Hessian that maps the last step to the change of the score; None if this is no positive curvature."""
    product, mapped = float(step @ change), hessian @ step
    if not product > CURVED * np.sqrt((step @ step) * (change @ change)) or not step @ mapped > 0:
        return None
    return np.asarray(hessian + np.outer(change, change) / product - np.outer(mapped, mapped) / (step @ mapped))
