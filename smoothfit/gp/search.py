"""Maximum of the restricted likelihood, with a convergence check.

The best starts of a grid are followed by L-BFGS-B with exact gradients, then by Newton's method with the exact Hessian. A maximum
has converged if the Newton decrement g'H^-1 g of the free variables is negligible, H is positive definite, and at each
bound that is reached the gradient points outward. Where rounding leaves no sign to the curvature of a direction that hardly
matters (amplitude and length scale growing together, for example), a plateau along it is as good.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from .._log import logger
from .._validation import FloatArray
from ..errors import ConvergenceError, NumericalError
from ..inference.newton import best_from
from ..inference.quasi_newton import DECREMENT, to_bound
from .pieces import Criterion, Expansion, Singular

ACCEPTED = 1e-5  # what rounding may leave of it where the covariance is nearly singular: 0.3 % of a standard error
NEAR = 1e-3  # a decrement below which Newton's steps are not checked for descent
PLATEAU = 1e-2  # slope and second derivative of -2 llf by logarithms, below which parameters hardly matter
SAME = 0.02  # distance in logarithms of a descent from a minimum that is known, below which it leads there
MOST_IDLE = 3  # steps that do not halve the decrement
MAX_ITERATIONS = 100
LONGEST_STEP = 3.0
FLAT = 1e-3  # second derivative of the criterion by a logarithm, below which a bound may be the optimum
LEVEL = 1e-6  # a slope at a bound, or a difference of values, that does not count
DAMPINGS = np.concatenate([[0.0], 10.0 ** np.arange(-6.0, 6.0)])
REMEDY = "give a noise SD (sd=), a length_scale or an amplitude"
SINGULAR_REMEDY = (
    "leave the noise SD to be estimated (sd=None) or give a larger one, merge coincident points, or use a rougher kernel"
)


@dataclass(frozen=True, eq=False)
class Optimum:
    """A converged minimum of the criterion.

    Attributes
    ----------
    u : ndarray, shape (p,)
    value : float
    decrement : float
        g'H^-1 g over the free variables: twice the criterion's distance from its minimum.
    at_lower, at_upper : ndarray of bool, shape (p,)
        Variables on a bound, where the gradient points outward.
    n_starts : int
        How many starts were followed.
    on_plateau : bool
        Whether rounding hides the curvature along a direction in which the criterion hardly changes, by less than `PLATEAU` for a
        factor e; the decrement then counts the other directions.
    """

    u: FloatArray
    value: float
    decrement: float
    at_lower: npt.NDArray[np.bool_]
    at_upper: npt.NDArray[np.bool_]
    n_starts: int
    on_plateau: bool = False


def search(criterion: Criterion, n_starts: int) -> Optimum:
    """Return the best converged minimum from the `n_starts` most promising starts.

    Raises
    ------
    ConvergenceError
        The search did not converge, or one that did not converge reached lower values than the best that did.
    NumericalError
        The covariance is numerically singular at every start.
    """
    rows, parameters = criterion.rows, criterion.parameters
    lower, upper = (bound[criterion.searched] for bound in parameters.bounds(rows))
    grid = np.clip(parameters.starts(rows)[:, :, criterion.searched], lower, upper)
    n_lengths, n_noises, n_searched = grid.shape
    if n_searched == 0:
        nowhere = np.zeros(0, np.bool_)
        return Optimum(np.zeros(0), 0.0, 0.0, nowhere, nowhere, 0)
    values = criterion.values(grid.reshape(-1, n_searched)).reshape(n_lengths, n_noises)
    best_noise = values.argmin(axis=1)
    along = values.min(axis=1)
    if not np.isfinite(along).any():
        raise NumericalError(f"the covariance of the observations is numerically singular at every start; {SINGULAR_REMEDY}")
    padded = np.concatenate([[np.inf], along, [np.inf]])
    is_low = (along <= padded[:-2]) & (along <= padded[2:])
    promising = np.lexsort((along, ~is_low))  # local minima first
    promising = promising[np.isfinite(along[promising])][:n_starts]

    def follow(i: int, best: Optimum | None) -> Optimum | None:
        u = _descend(criterion, grid[i, best_noise[i]], lower, upper)
        if best is not None and np.abs(u - best.u).max() < SAME:
            return None
        return _newton(criterion, u, lower, upper, len(promising))

    logger.info("search over %d parameters: grid of %d points, %d starts", n_searched, values.size, len(promising))
    best = best_from(promising.tolist(), follow, LEVEL)
    assert best is not None
    logger.info("Newton's method ended: criterion %.10g, decrement %.3g", best.value, best.decrement)
    return best


def _descend(criterion: Criterion, start: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Follow one start by exact gradients to the neighbourhood of a minimum."""
    best_u, best_value = start, np.inf

    def objective(u: FloatArray) -> tuple[float, FloatArray]:
        nonlocal best_u, best_value
        expansion = criterion.expand(u)
        if expansion.value < best_value:
            best_u, best_value = u.copy(), expansion.value
        return expansion.value, expansion.gradient

    # a step into parameters where the covariance is singular ends it: Newton's method goes on from the best point
    with suppress(Singular):
        minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(lower.tolist(), upper.tolist(), strict=True)),
            options={"maxiter": 200, "ftol": 1e-7, "gtol": 1e-3},
        )
    return np.clip(best_u, lower, upper)


def _newton(criterion: Criterion, u: FloatArray, lower: FloatArray, upper: FloatArray, n_starts: int) -> Optimum:
    """Newton's method with the exact Hessian, damped away from the minimum, until the decrement stops shrinking."""
    nearest: Optimum | None = None  # the point so far with the smallest decrement
    level: Optimum | None = None  # the lowest one so far on a plateau
    idle = 0
    value, decrement = np.inf, np.inf
    for _ in range(MAX_ITERATIONS):
        value, gradient, hessian = _expand(criterion, u)
        at_lower = (u <= lower) & (gradient >= -LEVEL)
        at_upper = (u >= upper) & (gradient <= LEVEL)
        free = ~(at_lower | at_upper)
        moved = to_bound(criterion.values, u, value, free & (np.abs(hessian.diagonal()) < FLAT), gradient, lower, upper)
        if moved is not None:
            u, nearest, level, idle = moved, None, None, 0
            continue
        decrement, plateau = _decrement(gradient[free], hessian[np.ix_(free, free)])
        logger.debug("Newton's method: criterion %.10g, decrement %.3g", value, decrement)
        idle = 0 if nearest is None or decrement < nearest.decrement / 2 else idle + 1
        if nearest is None or decrement < nearest.decrement:
            nearest = Optimum(u, value, decrement, at_lower, at_upper, n_starts)
        if plateau <= ACCEPTED and (level is None or value < level.value):
            level = Optimum(u, value, plateau, at_lower, at_upper, n_starts, on_plateau=True)
        if nearest.decrement <= DECREMENT or (idle >= MOST_IDLE and nearest.decrement <= ACCEPTED):
            return nearest
        if level is not None and idle >= 2 * MOST_IDLE:
            return level
        if decrement < NEAR and idle < 2 * MOST_IDLE:  # the criterion's own rounding would hide the descent
            u = _stepped(u, gradient, hessian, free, 0.0, lower, upper)
            continue
        for damping in DAMPINGS:
            trial = _stepped(u, gradient, hessian, free, damping, lower, upper)
            if criterion.values(trial[None])[0] < value:
                u = trial
                break
        else:
            if level is not None:
                return level
            raise ConvergenceError(
                f"no descent from a point that is not a minimum (-2 log-likelihood {value:.10g}, decrement {decrement:.3g}): "
                f"the covariance may be too close to singular; {SINGULAR_REMEDY}",
                value,
            )
    raise ConvergenceError(f"not converged after {MAX_ITERATIONS} Newton steps (decrement {decrement:.3g}); {REMEDY}", value)


def _decrement(gradient: FloatArray, hessian: FloatArray) -> tuple[float, float]:
    """g'H^-1 g, infinite where H is not positive definite, and the same without directions of a plateau."""
    if not gradient.any():
        return 0.0, 0.0
    curvature, axes = np.linalg.eigh(hessian)
    along = axes.T @ gradient
    decrement = float(along @ (along / curvature)) if curvature.min() > 0 else np.inf
    steep = (np.abs(curvature) > PLATEAU) | (np.abs(along) > PLATEAU)
    if not (curvature[steep] > 0).all():
        return decrement, np.inf
    return decrement, float(along[steep] @ (along[steep] / curvature[steep]))


def _expand(criterion: Criterion, u: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    expansion: Expansion = criterion.expand(u, hessian=True)
    assert expansion.hessian is not None
    return expansion.value, expansion.gradient, expansion.hessian


def _stepped(
    u: FloatArray,
    gradient: FloatArray,
    hessian: FloatArray,
    free: npt.NDArray[np.bool_],
    damping: float,
    lower: FloatArray,
    upper: FloatArray,
) -> FloatArray:
    """Damped Newton step of the free variables; one that would cross its bound stops there, the rest follow to their best."""
    step, moving = np.zeros_like(u), free.copy()
    while moving.any():
        stopped = free & ~moving
        curvature, axes = np.linalg.eigh(hessian[np.ix_(moving, moving)])
        along = axes.T @ (gradient[moving] + hessian[np.ix_(moving, stopped)] @ step[stopped])
        size = np.abs(curvature).max()
        step[moving] = -axes @ (along / np.maximum(np.abs(curvature) + size * damping, 1e-12 * size))
        step[moving] *= min(1.0, LONGEST_STEP / np.abs(step[moving]).max()) if step[moving].any() else 1.0
        crossing = moving & ((u + step < lower) | (u + step > upper))
        if not crossing.any():
            break
        step[crossing] = np.clip(u + step, lower, upper)[crossing] - u[crossing]
        moving &= ~crossing
    return np.clip(u + step, lower, upper)
