"""Minimisation of a criterion over logarithms within bounds, with a convergence check.

From every local minimum of a grid, Newton's method with the exact Hessian, projected onto the bounds. If the objective gives a
scale of its curvature (`Scaled`), quasi-Newton descents (BFGS) from several grids come first, and only the best end costs a
Hessian; along one variable whose second derivative would cost differences of scores, the secant method is used. A minimum is
converged if the Newton decrement g'H^-1 g of the free variables is negligible, H is positive definite, and at each bound reached
the score points outward. Prediction criteria and likelihoods as functions of their terms stand here, too. `descent` is the search
for objectives without second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from typing import Any, Protocol, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

from .._log import logger
from .._validation import FloatArray
from ..errors import ConvergenceError
from .quasi_newton import (
    DECREMENT,
    FLAT,
    LEVEL,
    LONGEST_STEP,
    NEAR,
    End,
    Objective,
    Scaled,
    at_bounds,
    descend,
    is_scaled,
    to_bound,
)

MAX_ITERATIONS = 100
DAMPINGS = (  # of the Hessian, relative to its largest eigenvalue; zero is Newton's step
    np.concatenate([[0.0], 10.0 ** np.arange(-6, 1)]),
    10.0 ** np.arange(1, 9),
)
ROUNDED = 1e-6  # decrement that Newton's steps may end with if rounding of scores keeps them from less: within 0.001 SE
MAX_RESCANS = 5
REMEDY = "fix the smoothing (lam=, bandwidth= or edf=) or give an SD"
ZOOM = 8  # candidates of one refinement of the grid: what the kernels compute side by side
HOPELESS = 10.0  # times the descent that the refinement brought: more than the rest of the way down can bring
MAX_SECANTS = 8
DIFFERENCE = 1e-4  # in logarithms, between the scores of a Hessian
FIRST_SECANT = 0.01  # in a logarithm: beside it the error of a zoomed start is small, and rounding of the score smaller
SAME = 0.01  # decrement from one point to another, below which both descents go to one minimum


@dataclass(frozen=True, eq=False)
class Minimum:
    """A converged minimum.

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


def minimize(
    objective: Objective,
    starts: FloatArray | Sequence[FloatArray],
    lower: FloatArray,
    upper: FloatArray,
    is_inside: Callable[[npt.NDArray[np.bool_]], bool] = lambda at_lower: True,
) -> Minimum:
    """Return the best converged minimum.

    `starts` (L, p), or each of several, form a grid along the first variable; every local minimum on it (three at most) is
    followed. Minima for which `is_inside`, of the variables at their lower bounds, is false count only if there is no other.

    Raises
    ------
    ConvergenceError
        If the search converges from no start.
    """
    grids = [np.clip(grid, lower, upper) for grid in ([starts] if isinstance(starts, np.ndarray) else starts)]
    grids = [grid[np.argsort(grid[:, 0], kind="stable")] for grid in grids]
    lengths = np.cumsum([len(grid) for grid in grids])
    values = [_finite(v) for v in np.split(objective.values(np.concatenate(grids)), lengths[:-1])]
    lows = [(grid, v, i) for grid, v in zip(grids, values, strict=True) for i in local_minima(v, objective.unbounded)]
    if not lows and objective.unbounded and np.isfinite(values).any():
        raise ConvergenceError(f"the likelihood has no maximum short of an SD of zero, where it grows without bound; {REMEDY}")
    if not lows:
        raise ConvergenceError("the criterion is not finite at any start")
    if is_scaled(objective) and len(lower) > 1:
        ends = ends_of(objective, [grid[i] for grid, _, i in lows], lower, upper)
        return certified(objective, ends, grids[0], lower, upper, is_inside)

    def follow(low: tuple[FloatArray, FloatArray, int], best: Minimum | None) -> Minimum | None:
        grid, values, i = low
        start, value = _zoom(objective, grid, i)
        if best is not None and len(start) == 1 and value - HOPELESS * (values[i] - value) > best.value:
            return None
        return _descend(objective, start, lower, upper, len(lows))

    logger.info("search over %d parameters: grid of %d points, %d local minima", len(lower), lengths[-1], len(lows))
    best = best_from(lows, follow)
    assert best is not None
    return _rescanned(objective, best, grids[0], lower, upper, is_inside)


def local_minima(values: FloatArray, unbounded: bool = False) -> list[int]:
    """Indices of the local minima of values along a grid, the lowest three; the last is none if they fall on without bound.

    One point alone is where a search begins.
    """
    padded = np.concatenate([[np.inf], values, [-np.inf if unbounded and len(values) > 1 else np.inf]])
    lows = np.flatnonzero((values <= padded[:-2]) & (values <= padded[2:]) & np.isfinite(values))
    return [int(i) for i in lows[np.argsort(values[lows], kind="stable")][:3]]


def ends_of(
    objective: Scaled,
    starts: Iterable[FloatArray],
    lower: FloatArray,
    upper: FloatArray,
    curvatures: Iterable[FloatArray | None] = repeat(None),
) -> list[End]:
    """Where quasi-Newton descents from the starts (each (p,)) end; one End for those that go to one minimum."""
    ends: list[End] = []

    def is_known(theta: FloatArray, value: float) -> bool:
        return any(end.is_near(theta, value, SAME) for end in ends)

    for start, curvature in zip(starts, curvatures, strict=False):
        end = descend(objective, start, lower, upper, is_known, curvature)
        if end is not None:
            ends.append(end)
    return ends


def certified(
    objective: Scaled,
    ends: Sequence[End],
    grid: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    is_inside: Callable[[npt.NDArray[np.bool_]], bool] = lambda at_lower: True,
) -> Minimum:
    """Check convergence of the lowest end, or of the next ones if it is not inside; scan the grid's first variable again there."""
    outside: list[Minimum] = []

    def follow(end: End, best: Minimum | None) -> Minimum | None:
        if best is not None and end.value - max(end.remaining, 0.0) >= best.value - LEVEL:
            return None
        found = _newton(objective, end.theta, lower, upper, len(ends))
        if is_inside(found.at_lower):
            return found
        outside.append(found)
        return None

    best = best_from(sorted(ends, key=lambda end: end.value), follow)
    if best is None:
        return min(outside, key=lambda found: found.value)
    return _rescanned(objective, best, grid, lower, upper, is_inside)


class Ended(Protocol):
    """What a search ends with."""

    @property
    def value(self) -> float:
        """The criterion reached."""


Result = TypeVar("Result", bound=Ended)
Start = TypeVar("Start")


def best_of(searches: Sequence[Callable[[], Result]]) -> Result:
    """The result with the smallest criterion; an error where a search that failed had got lower than any that ended."""

    def follow(search: Callable[[], Result], _: Result | None) -> Result:
        return search()

    best = best_from(searches, follow)
    assert best is not None
    return best


def best_from(starts: Iterable[Start], follow: Callable[[Start, Result | None], Result | None]) -> Result | None:
    """The result with the smallest criterion of those that the starts lead to; None if they lead to none.

    `follow` is given the best result so far, and returns None for a start that need not be followed. An error is raised if a search
    that failed got lower than any that ended, by more than `LEVEL`: what did not converge was lower.
    """
    best: Result | None = None
    failure: ConvergenceError | None = None
    for start in starts:
        try:
            result = follow(start, best)
        except ConvergenceError as error:
            if failure is None or error.value < failure.value:
                failure = error
            continue
        if result is not None and (best is None or result.value < best.value):
            best = result
    if failure is not None and (best is None or failure.value < best.value - LEVEL):
        raise failure
    return best


def trusting_each(alone: FloatArray, spread: FloatArray) -> list[FloatArray]:
    """Starts of the log variances of several series (n_series,): for each series one that trusts it and not the others.

    Where series contradict each other, the criterion has a minimum at which each of some of them is believed and the rest is noise;
    starts that trust all alike lead to any of these. `alone` are the log variances of the noise as each series by itself implies
    them, `spread` those of its observations about their mean.
    """
    if len(alone) < 2:
        return []
    return [np.where(mine, np.minimum(alone, spread), spread) for mine in np.eye(len(alone), dtype=bool)]


def _finite(values: FloatArray) -> FloatArray:
    """Values, infinite where they overflowed."""
    return np.where(np.isfinite(values), values, np.inf)


def _rescanned(
    objective: Objective,
    best: Minimum,
    candidates: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    is_inside: Callable[[npt.NDArray[np.bool_]], bool],
) -> Minimum:
    """Scan the first variable again at the minimum's other variables; go on from any lower point."""
    if candidates.shape[1] == 1 or not len(candidates):
        return best
    for _ in range(MAX_RESCANS):
        candidates = candidates.copy()
        candidates[:, 1:] = best.theta[1:]
        values = _finite(objective.values(candidates))
        i = int(np.argmin(values))
        if values[i] >= best.value - LEVEL:
            return best
        found = _descend(objective, _zoom(objective, candidates, i)[0], lower, upper, best.n_starts)
        if not is_inside(found.at_lower):
            return best
        best = found
    raise ConvergenceError(
        f"every scan of the smoothing finds a lower point than the last, after {MAX_RESCANS}; {REMEDY}", best.value
    )


def _zoom(objective: Objective, candidates: FloatArray, i: int) -> tuple[FloatArray, float]:
    """Move the first variable to where a polynomial through a finer grid between candidate i's neighbours is lowest.

    Returns the point and the lowest value on the finer grid.
    """
    neighbours = candidates[max(i - 1, 0) : i + 2]
    fine = np.repeat(candidates[i : i + 1], ZOOM, axis=0)
    fine[:, 0] = np.linspace(neighbours[0, 0], neighbours[-1, 0], ZOOM)
    values = _finite(objective.values(fine))
    lowest = int(np.argmin(values))
    if 0 < lowest < ZOOM - 1 and np.isfinite(values).all():
        fine[lowest, 0] += _vertex(values, lowest) * (fine[1, 0] - fine[0, 0])
    return np.asarray(fine[lowest]), float(values[lowest])


@cache
def interpolation() -> FloatArray:
    """Values of the polynomials that are one at one of the points 0 .. ZOOM - 1 and zero at the rest, every 1/32: (.., ZOOM)."""
    points, at = np.arange(ZOOM), np.arange(32 * (ZOOM - 1) + 1) / 32
    others = np.array([np.delete(points, j) for j in points])
    # Not by scipy's barycentric formula: it shuffles the points, and fits of one table would differ in their last digits.
    return np.asarray(np.prod((at[:, None, None] - others) / (points[:, None] - others), axis=2))


def _vertex(values: FloatArray, lowest: int) -> float:
    """Where the polynomial through equidistant values is lowest near an inner point, from that point in spacings."""
    inside = slice(32 * (lowest - 1), 32 * (lowest + 1) + 1)
    # Less its smallest value: what counts may be small beside the values.
    near = interpolation()[inside] @ (values - values[lowest])
    best = int(np.argmin(near))
    if not 0 < best < len(near) - 1:
        return 0.0
    left, right = near[best - 1] - near[best], near[best + 1] - near[best]
    offset = (left - right) / (2 * (left + right)) if left + right > 0 else 0.0
    return float((best + offset) / 32 - 1)


def _descend(objective: Objective, theta: FloatArray, lower: FloatArray, upper: FloatArray, n_starts: int) -> Minimum:
    """Follow one start to a converged minimum."""
    if is_scaled(objective) and len(theta) > 1:
        end = descend(objective, theta, lower, upper)
        theta = theta if end is None else end.theta
    elif len(theta) == 1 and not has_hessian(objective):
        minimum = _secant(objective, theta, lower, upper, n_starts)
        if minimum is not None:
            return minimum
    return _newton(objective, theta, lower, upper, n_starts)


def _secant(objective: Objective, theta: FloatArray, lower: FloatArray, upper: FloatArray, n_starts: int) -> Minimum | None:
    """Minimum along one variable from exact scores alone; None if they do not shrink at once towards one inside.

    The curvature of the convergence criterion is the slope of the score between the last two points.
    """
    nowhere = np.zeros(1, np.bool_)
    _, before = objective.gradient(theta)
    step = FIRST_SECANT if before[0] < 0 else -FIRST_SECANT
    for iteration in range(MAX_SECANTS):
        theta = theta + step
        if not lower[0] < theta[0] < upper[0]:
            return None
        value, gradient = objective.gradient(theta)
        curvature = (gradient[0] - before[0]) / step
        if not curvature > FLAT:
            return None
        decrement = float(gradient[0] ** 2 / curvature)
        logger.debug("secant method, iteration %d: criterion %.10g, decrement %.3g", iteration, value, decrement)
        if decrement <= DECREMENT:
            return _logged(Minimum(theta, value, decrement, nowhere, nowhere, n_starts), "the secant method", iteration)
        step, before = -gradient[0] / curvature, gradient
        if not abs(step) <= LONGEST_STEP:
            return None
    return None


def _newton(objective: Objective, theta: FloatArray, lower: FloatArray, upper: FloatArray, n_starts: int) -> Minimum:
    theta, decrement, value = theta.copy(), np.inf, np.inf
    for iteration in range(MAX_ITERATIONS):
        is_last = iteration == MAX_ITERATIONS - 1
        value, gradient, hessian = curvature_of(objective, theta)
        logger.debug("Newton's method, iteration %d: criterion %.10g", iteration, value)
        at_lower, at_upper = at_bounds(theta, gradient, lower, upper)
        free = ~(at_lower | at_upper)
        moved = to_bound(objective.values, theta, value, free & (np.abs(hessian.diagonal()) < FLAT), gradient, lower, upper)
        if moved is not None:
            theta = moved
            continue
        if not gradient[free].any():
            return _logged(Minimum(theta, value, 0.0, at_lower, at_upper, n_starts), "Newton's method", iteration)
        curvature, axes = np.linalg.eigh(hessian if free.all() else hessian[np.ix_(free, free)])
        along = axes.T @ gradient[free]
        is_minimum = curvature.min() > 0
        decrement = float(along @ (along / curvature)) if is_minimum else np.inf
        if decrement <= (ROUNDED if is_last else DECREMENT):
            return _logged(Minimum(theta, value, decrement, at_lower, at_upper, n_starts), "Newton's method", iteration)
        size = np.abs(curvature).max()
        for damping in DAMPINGS:
            steps = np.zeros((len(damping), len(theta)))
            steps[:, free] = -(along / np.maximum(np.abs(curvature) + size * damping[:, None], 1e-12 * size)) @ axes.T
            steps *= np.minimum(1.0, LONGEST_STEP / np.abs(steps).max(axis=1, keepdims=True))
            trials = _held_at_bounds(theta, steps, gradient, hessian, lower, upper)
            if decrement < NEAR and not damping[0]:  # the criterion's own rounding would hide the descent
                theta = trials[0]
                break
            values = _finite(objective.values(trials))
            best = int(np.argmin(values))
            if values[best] < value:
                theta = trials[best]
                break
        else:
            raise ConvergenceError(
                f"no descent from a point that is not a minimum (criterion {value:.10g}); {REMEDY}",
                value,
            )
    raise ConvergenceError(f"not converged after {MAX_ITERATIONS} Newton steps (decrement {decrement:.3g}); {REMEDY}", value)


def _logged(minimum: Minimum, how: str, iterations: int) -> Minimum:
    """The minimum, with an entry in the log."""
    bounds = np.flatnonzero(minimum.at_lower | minimum.at_upper).tolist()
    logger.info(
        "%s converged to a minimum: iterations %d, criterion %.8g, parameters at a bound: %s",
        *(how, iterations, minimum.value, bounds or "none"),
    )
    return minimum


def _held_at_bounds(
    theta: FloatArray, steps: FloatArray, gradient: FloatArray, hessian: FloatArray, lower: FloatArray, upper: FloatArray
) -> FloatArray:
    """Points after steps (L, p). Where the first, Newton's, crosses a bound, the other variables follow to their best."""
    trials = np.clip(theta + steps, lower, upper)
    held = trials[0] != theta + steps[0]
    others = ~held & (steps[0] != 0)
    if held.any() and others.any():
        curvature, axes = np.linalg.eigh(hessian[np.ix_(others, others)])
        slope = gradient[others] + hessian[np.ix_(others, held)] @ (trials[0] - theta)[held]
        step = np.zeros_like(theta)
        step[others] = -axes @ ((axes.T @ slope) / np.maximum(np.abs(curvature), 1e-8 * np.abs(curvature).max()))
        step[others] *= min(1.0, LONGEST_STEP / np.abs(step).max()) if step.any() else 1.0
        step[held] = (trials[0] - theta)[held]
        trials = np.vstack([np.clip(theta + step, lower, upper), trials[:-1]])
    return trials


class Curved(Objective, Protocol):
    """An objective that has a Hessian."""

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian."""


def has_hessian(objective: Objective) -> TypeGuard[Curved]:
    """Whether an objective has a Hessian that costs no differences of its scores."""
    return hasattr(objective, "hessian")


def curvature_of(objective: Objective, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Value, gradient and Hessian: the objective's own, or else by differences of its gradient."""
    return objective.hessian(theta) if has_hessian(objective) else differenced(objective, theta)


def differenced(objective: Objective, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Value, gradient and Hessian, this by forward differences of the gradient, right to about `DIFFERENCE`, relatively."""
    value, gradient = objective.gradient(theta)
    shifts = DIFFERENCE * np.eye(len(theta))
    columns = [(objective.gradient(theta + shift)[1] - gradient) / DIFFERENCE for shift in shifts]
    hessian = np.array(columns).reshape(len(theta), len(theta))
    return value, gradient, (hessian + hessian.T) / 2


def generalized_cross_validation(n: int, log_rss: float, free: float) -> tuple[float, float, float]:
    """N log GCV, GCV = n RSS / free^2 with free = n - edf; and its derivatives by log RSS and by free."""
    return n * (np.log(n) + log_rss - 2 * np.log(free)), n, -2 * n / free


def corrected_akaike(n: int, log_rss: float, free: float) -> tuple[float, float, float]:
    """N [log(RSS / n) + (n + edf) / (n - edf - 2)], and its derivatives by log RSS and by free = n - edf.

    Infinite where n - edf <= 2.
    """
    spare = free - 2
    if spare <= 0:
        return np.inf, n, 0.0
    penalty = (2 * n - free) / spare
    return n * (log_rss - np.log(n) + penalty), n, -n * (1 + penalty) / spare


def deviance(n: float, log_det: Any, least: Any, is_relative: bool) -> Any:
    """-2 log-likelihood of n contrasts, a determinant and a sum of squares; at the best common variance if that is left out."""
    if is_relative:
        return n * (np.log(2 * np.pi * least / n) + 1) + log_det
    return n * np.log(2 * np.pi) + log_det + least


PREDICTION_CRITERIA: dict[str, Callable[[int, float, float], tuple[float, float, float]]] = {
    "gcv": generalized_cross_validation,
    "aicc": corrected_akaike,
}
