"""Searches for the weights of penalties and for unknown variances: from a scan of the whole range, down to converged minima."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter
from scipy.stats import qmc

from .._validation import FloatArray
from ..errors import ConvergenceError
from ..inference.newton import MAX_RESCANS, REMEDY, Minimum, best_of, minimize, trusting_each
from ..inference.quasi_newton import LEVEL, Objective
from ..results.exact import SMALLEST_SD
from .band import multiply_factor
from .criteria import Criterion, PredictionCriterion
from .system import System

STEP = 5.0  # in log tau, when the ends of the range of edf are looked for
MOST_STEPS = 40
SLACK = 1e-6  # effective degrees of freedom by which the ends are missed
INTERPOLATES = 1e-4  # effective degrees of freedom short of all observations: with less smoothing the minimum is soon rounding
INTERPOLATES_KNOWN = 1e-9  # the same of a likelihood if all SDs are known: the size of the curve decides, not the residuals
BESIDE = 8  # solutions that the kernels find side by side
SPACING = 2.0  # in log tau, at most, between the points of a scan: REML and GCV vary over some two or three
MOST_BLOCKS = 6  # of BESIDE points, of a scan
COARSE = 3.0  # between the points of a scan over two penalties
SCATTERED = 64  # points of a scan over more
MOST_FOLLOWED = 3  # points of a scan
SHORTEST = 0.5  # step in log tau before Newton's
ROOM = 30.0  # by which log tau may leave the range that it has at the first variances
TRUSTED = 0.01  # noise SD, as a fraction of the spread, from which a series is trusted that others contradict
NEARBY = 3.0  # in logarithms: how far the minimum of a similar system is looked for from its own
EXACT = 1e-13  # of the size of the observations: residuals below are rounding
UNBOUNDED = f"the likelihood has no maximum short of an SD of zero, where it grows without bound; {REMEDY}"


def range_of_tau(system: System, log_sigma2: FloatArray, short: float = INTERPOLATES) -> tuple[FloatArray, float, float]:
    """Logarithms (P,) of weights that balance observations and penalties, and shifts between which edf takes all its values.

    `short`: effective degrees of freedom by which interpolation is missed.
    """
    G = system.n_groups
    sizes = np.sum(system.factors**2, axis=(1, 2))
    base = np.log(float(np.exp(-log_sigma2) @ sizes[:G])) - np.log(sizes[G:])

    def edfs(step: float) -> Iterator[float]:
        """Effective degrees of freedom at every step from zero on; infinite where the penalty vanishes beside the observations."""
        for block in range(0, MOST_STEPS, BESIDE):
            shifts = step * np.arange(block, block + BESIDE)
            found = system.values(base + shifts[:, None], np.tile(log_sigma2, (BESIDE, 1)), solved=True)
            edf = found.trace[:, :G] @ np.exp(-log_sigma2)
            yield from np.where(np.isfinite(edf), edf, np.inf).tolist()

    high = 0.0
    for edf in edfs(STEP):
        if edf - system.n_free < SLACK:
            break
        high += STEP
    falling = edfs(-STEP)
    low, here = 0.0, next(falling)
    for there in falling:
        if not np.isfinite(there) or there > system.n - short:
            break
        low -= STEP
        if there - here < SLACK and here > system.n_free + SLACK:
            break
        here = there
    return base, low, high


def likely_range_of_tau(system: System, log_sigma2: FloatArray) -> tuple[FloatArray, float, float]:
    """What `range_of_tau` returns, wide enough for likelihoods."""
    return range_of_tau(system, log_sigma2, INTERPOLATES if system.unknown else INTERPOLATES_KNOWN)


def search_from(criterion: Criterion, start: FloatArray) -> Callable[[], Minimum]:
    """A search over the weights from a grid, the unknown variances starting at logarithms `start` (U,)."""
    system, P = criterion.system, criterion.system.n_penalties
    log_sigma2 = np.concatenate([start, np.zeros(system.n_groups - system.unknown)])
    others = start if len(criterion.directions) > P else np.zeros(0)

    def search() -> Minimum:
        if isinstance(criterion, PredictionCriterion):
            base, low, high = range_of_tau(system, log_sigma2)
            low = min(low + STEP, high)
        else:
            base, low, high = likely_range_of_tau(system, log_sigma2)
        room = ROOM if len(others) else 0.0
        floors = np.minimum(log_floors(system)[: len(others)], others - 1)
        lower = np.concatenate([base + low - room, floors])
        upper = np.concatenate([base + high + room, others + ROOM])
        floor, ceiling = base + low, base + high
        if P == 1:
            count = BESIDE * int(np.clip(np.ceil((high - low) / (SPACING * BESIDE)), 2, MOST_BLOCKS))
            line = np.column_stack([np.linspace(floor, ceiling, count), np.broadcast_to(others, (count, len(others)))])
            line = np.clip(criterion.scanned(line)[0], lower, upper)
            return (_short_of_interpolation if criterion.interpolates else minimize)(criterion, line, lower, upper)
        lows = np.clip(_lows(criterion, floor, ceiling, others), lower, upper)
        starts = [_settled(criterion, start) for start in lows]
        if criterion.interpolates and not starts:
            raise ConvergenceError(UNBOUNDED, -np.inf)
        try:
            best = best_of([partial(_followed, criterion, start, lower, upper) for start in starts])
        except ConvergenceError as error:  # nothing inside
            raise ConvergenceError(str(error), -np.inf if criterion.interpolates else error.value) from None
        return _rescanned(criterion, best, floor, ceiling, lower, upper)

    return search


def search_near(objective: Objective, start: FloatArray) -> Minimum:
    """The minimum near a start.

    Raises
    ------
    ConvergenceError
        The search left the neighbourhood, or did not converge.
    """
    found = minimize(objective, start[None], start - NEARBY, start + NEARBY)
    if (found.at_lower | found.at_upper).any():
        raise ConvergenceError("there is no minimum near the start", found.value)
    return found


def _short_of_interpolation(criterion: Criterion, grid: FloatArray, lower: FloatArray, upper: FloatArray) -> Minimum:
    """The best minimum inside of a criterion that falls without bound as the weight goes to zero."""
    falling = np.flatnonzero(np.diff(criterion.finite_values(grid)) < 0)
    start = int(falling[0]) if len(falling) else len(grid) - 1
    found = minimize(criterion, grid[start:], np.append(grid[start, :1], lower[1:]), upper)
    if found.at_lower[0]:
        raise ConvergenceError(UNBOUNDED, -np.inf)
    return found


def _followed(criterion: Criterion, start: FloatArray, lower: FloatArray, upper: FloatArray) -> Minimum:
    """The minimum that a start over several penalties leads to."""
    found = minimize(criterion, start[None], lower, upper)
    if criterion.interpolates and found.at_lower[: criterion.system.n_penalties].any():
        raise ConvergenceError(UNBOUNDED)
    return found


def _rescanned(
    criterion: Criterion, best: Minimum, floor: FloatArray, ceiling: FloatArray, lower: FloatArray, upper: FloatArray
) -> Minimum:
    """Scan every log tau at the minimum's others; go on from any lower point."""
    P = criterion.system.n_penalties
    count = BESIDE * int(np.ceil(np.max(ceiling - floor) / (SPACING * BESIDE)))
    for _ in range(MAX_RESCANS):
        points = np.tile(best.theta, (P, count, 1))
        for j in range(P):
            points[j, :, j] = np.linspace(floor[j], ceiling[j], count)
        points = points.reshape(P * count, -1)
        values = criterion.finite_values(points)
        i = int(np.argmin(values))
        if values[i] >= best.value - LEVEL or (criterion.interpolates and (points[i, :P] <= floor).any()):
            break
        try:
            found = _followed(criterion, _settled(criterion, points[i]), lower, upper)
        except ConvergenceError as error:
            if error.value < best.value - LEVEL:
                raise
            break
        if found.value >= best.value - LEVEL:
            break
        best = found
    return best


def _lows(criterion: Criterion, floor: FloatArray, ceiling: FloatArray, others: FloatArray) -> FloatArray:
    """The lowest points (L, p) of a scan over several log tau between (P,) limits, the unknown variances being at `others`."""
    P = len(floor)
    if P == 2:
        count = max(4, int(np.ceil((ceiling - floor)[0] / COARSE)) + 1)
        u, v = (np.linspace(*ends, count) for ends in zip(floor, ceiling, strict=True))
        points = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
    else:  # points that fill the range evenly, and those where all penalties have one size
        scattered = qmc.Sobol(P, scramble=False).random(SCATTERED)
        points = floor + np.vstack([scattered, np.linspace(0, 1, 2 * BESIDE)[:, None] * np.ones(P)]) * (ceiling - floor)
    starts, values = criterion.scanned(np.column_stack([points, np.broadcast_to(others, (len(points), len(others)))]))
    if P == 2:
        table = values.reshape(count, count)
        is_low = table <= minimum_filter(table, size=3, mode="nearest")
        if criterion.interpolates:
            is_low[0] = is_low[:, 0] = False
        starts, values = starts[is_low.ravel()], values[is_low.ravel()]
    order = np.argsort(values, kind="stable")
    return starts[order[np.isfinite(values[order])][:MOST_FOLLOWED]]


def _settled(criterion: Criterion, start: FloatArray) -> FloatArray:
    """Go down from a point of a scan in ever shorter steps of log tau: Newton's would leap over a hollow from its side."""
    P = criterion.system.n_penalties
    moves = np.zeros((2 * P, len(start)))
    moves[:, :P] = np.vstack([np.eye(P), -np.eye(P)])
    if P == 2:
        moves = np.vstack([moves, moves[[0, 0, 2, 2]] + moves[[1, 3, 1, 3]]])
    step, value = COARSE / 2, float(criterion.values(start[None])[0])
    while step > SHORTEST:
        values = criterion.finite_values(start + step * moves)
        best = int(np.argmin(values))
        if values[best] < value:
            start, value = start + step * moves[best], float(values[best])
        else:
            step /= 2
    return start


def variance_starts(system: System, shares: Sequence[float] = (0.3, 0.03, 0.003)) -> list[FloatArray]:
    """Logarithms (U,) to start from, some of them alike, as shares of the spreads: none at all where they are not searched."""
    if system.scale_free or system.unknown == 0:
        return [np.zeros(system.unknown)]
    spread = np.log(system.spreads[: system.unknown])
    alike = [spread + 2 * np.log(share) for share in shares]
    trusted = zip(trusting_each(spread + 2 * np.log(TRUSTED), spread), exact_groups(system), strict=False)
    return alike + [start for start, is_exact in trusted if not is_exact]


def exact_groups(system: System) -> npt.NDArray[np.bool_]:
    """Which unknown variances (U,) have no smallest value: those of observations that lie on a function that no penalty touches."""
    found = np.zeros(system.unknown, np.bool_)
    if not system.n_free or system.scale_free:
        return found
    for u in range(system.unknown):
        found[u] = lies_on_free(system, u)
    return found


def lies_on_free(system: System, u: int) -> bool:
    """Whether more observations of a group than determine it lie on a function that no penalty touches, to rounding."""
    seen = multiply_factor(system.factors[u], system.free)
    coef, _, rank, _ = np.linalg.lstsq(seen, system.rhs[u], rcond=1e-10)
    left = float(np.sum((seen @ coef - system.rhs[u]) ** 2)) + float(system.rest[u])
    size = float(np.sum(system.rhs[u] ** 2)) + float(system.rest[u])
    return bool(system.counts[u] > rank and left <= EXACT**2 * size)


def best_short_of(searches: Sequence[Callable[[], Minimum]], exact: npt.NDArray[np.bool_]) -> Minimum:
    """The best minimum, if possible one without a variance at zero that is `exact` (p,): the criterion has no minimum there."""
    kept: list[Minimum] = []
    for search in searches if exact.any() else ():
        try:
            found = search()
        except ConvergenceError:  # on the way down without end
            continue
        if not (found.at_lower & exact).any():
            kept.append(found)
    return min(kept, key=lambda found: found.value) if kept else best_of(searches)


def log_floors(system: System) -> FloatArray:
    """Logarithms (U,) of the smallest variances of the unknown."""
    return np.asarray(np.log(system.spreads[: system.unknown]) + 2 * np.log(SMALLEST_SD))
