"""A fast way to the optimum for long series: the search on less data, the convergence criterion on all of them.

Wide bandwidths are scanned on means of the observations of each series in bins of 8, 64, ... spacings, which keep the criterion if
the curve is level within a bin: with W_b the sum of the precisions 1 / r in bin b, n_g observations and B_g bins of variance
sigma2_g,

    log_det = log_det(means) + sum_b log W_b + sum_i log r_i + sum_g (n_g - B_g) log sigma2_g,
    sse = sse(means) + sum_g (sum of squares within the bins) / sigma2_g.

Narrow ones are scanned on some contiguous stretches, whose criterion is taken for that of the rest.

With one series, what this finds is checked on all observations, eight candidates side by side: the best local minimum of the scan,
refined, with points around it, and the other minima or its neighbours on the grid. If it is the lowest there too, it is brought to
the minimum of the full criterion by its exact score, which also checks convergence. Otherwise all data are searched.

With several, quasi-Newton descents from every start end on the coarsest level that serves them. All data judge these ends, and
those that could be the best are brought to the minimum of the full criterion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import ConvergenceError, IdentificationError
from ..inference.newton import ZOOM, Minimum, ends_of, local_minima
from ..inference.quasi_newton import DECREMENT, End, descend
from .criteria import Criterion, Likelihood, RestrictedLikelihood
from .kernels import Terms, require_identified, terms
from .rows import Rows

EXACT_SD = 1e-13  # of the observations' size; below, residuals are rounding
SHORTEST = 50_000  # observations from which this pays, of one series
SHORTEST_SEVERAL = 4_000  # and of several, whose search has many starts
FACTOR = 8  # from one level of means to the next
FEWEST_MEANS = 2_000
FEWEST_MEANS_SEVERAL = 500
N_STRETCHES_SEVERAL = 4  # of several series, or of one for a rough fit
STRETCH = 1_000, 3_000  # observations of these, smallest and most
LEAST_SHARE = 0.5  # of the observations in stretches: beyond, all are taken
FEWEST_IN_STRETCHES = 30  # observations of each series
SAME_PLACE = 4.0  # times what a level leaves open: ROUGH from end to end, its scale for each variable from level to level
ROUGH = 1.0  # decrement at which a descent on less data ends: their optimum is off by more
WIDE = 4.0  # bandwidths in blocks from which a level serves
N_STRETCHES = 8
SHARE = 16  # one observation in so many is in a stretch
MOST_SCORES = 6
AROUND = 0.5  # standard errors of log q, between the points around the minimum of the scan
CERTAIN = 20.0  # standard errors of what the stretches imply, from which a competitor is ruled out
NARROW = 2.0  # spacings, a bandwidth that is always checked
NEAR = 2.0  # these, how far the minimum may be from that of the scan
LEAST_STEP = 1e-6  # in log q, between the two scores that determine the curvature: above their rounding
NOWHERE = np.zeros(1, np.bool_)


@dataclass(frozen=True, eq=False)
class Series:
    """Observations of one derivative with one variance, or their means in bins."""

    group: int
    deriv: int
    x: FloatArray
    y: FloatArray
    precision: FloatArray

    def binned(self, width: float) -> Series:
        """Means in bins of a width; the centre of each is the mean x."""
        bins = np.floor(self.x / width)
        first = np.flatnonzero(np.diff(bins, prepend=-1.0))
        precision = np.add.reduceat(self.precision, first)
        x, y = (np.add.reduceat(self.precision * values, first) / precision for values in (self.x, self.y))
        return replace(self, x=x, y=y, precision=precision)


@dataclass(frozen=True, eq=False)
class Level:
    """A part of the data that represents all: its rows in pieces, and what turns its terms into those of all."""

    parts: tuple[Rows, ...]
    narrowest: float  # bandwidth, scaled
    merged: FloatArray  # (n_groups,): how many observations the means are fewer
    within: FloatArray  # (n_groups,): sums of squares within the bins
    log_det: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class CoarseLikelihood(RestrictedLikelihood):
    """The restricted likelihood of all rows, approximated on a level."""

    level: Level

    @property
    def degree(self) -> float:
        contrasts = sum(len(rows) - self.order for rows in self.level.parts)
        return self.level.scale * (contrasts + float(self.level.merged.sum()))

    def _terms(
        self, kernel: Callable[..., Terms], q: FloatArray | float, sigma2: FloatArray, *directions: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The terms, with their first derivatives along `directions`."""
        level = self.level
        found = [kernel(rows, self.order, q, sigma2, *directions) for rows in level.parts]
        log_det, sse = (np.sum([part[i] for part in found], axis=0) for i in (0, 1))
        values = slice(1 if directions else None)
        log_det[values] += level.log_det + np.log(sigma2) @ level.merged
        sse[values] += (1 / sigma2) @ level.within
        for along in directions:
            log_det[1:] += along[:, 1:] @ level.merged
            sse[1:] -= along[:, 1:] @ (level.within / sigma2)
        return level.scale * log_det, level.scale * sse


class Pyramid:
    """A likelihood on levels: stretches of the observations, then their means in growing bins."""

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood
        rows, order = likelihood.rows, likelihood.order
        self.levels = [CoarseLikelihood(rows, order, level) for level in (_finest(rows, order), *_means(rows, order))]
        self.scales = [coarse.level.scale for coarse in self.levels]

    def serving(self, log_q: FloatArray | float, sigma2: FloatArray) -> npt.NDArray[np.int64]:
        """Index of the coarsest level whose bins are narrow beside the bandwidth, at each log q."""
        narrowest = np.array([coarse.level.narrowest for coarse in self.levels[1:]])
        limits = self.likelihood.resolution.log_intensity(narrowest, sigma2)
        return np.asarray(np.count_nonzero(np.expand_dims(log_q, -1) <= limits, axis=-1))

    def scan(self, theta: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Approximate values of candidates (L, p) that differ in log q alone, and the level of each."""
        level_of = self.serving(theta[:, 0], self.likelihood.at(theta[0])[1])
        values = np.empty(len(theta))
        for i, coarse in enumerate(self.levels):
            mine = level_of == i
            if mine.any():
                values[mine] = coarse.values(theta[mine])
        return np.where(np.isfinite(values), values, np.inf), level_of

    def aligned_scan(self, theta: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """The same for increasing log q, each level raised to meet the next coarser one: a step between two is no minimum."""
        values, level_of = self.scan(theta)
        for i in np.flatnonzero(np.diff(level_of)):
            step = values[i] - self.levels[level_of[i + 1]].values(theta[i : i + 1])[0]
            values[i + 1 :] += step if np.isfinite(step) else 0.0
        return values, level_of

    def lowest(self, log_q: FloatArray) -> tuple[int, float]:
        """Index of the lowest of a grid of log q, the only variable, and r'K^-1 r there."""
        values, level_of = self.scan(log_q[:, None])
        best = int(np.argmin(values))
        return best, self.levels[level_of[best]].gradient_and_sse(log_q[best : best + 1])[2]


def is_long(likelihood: Criterion) -> bool:
    """Whether the search of one series may start on less data."""
    rows = likelihood.rows
    return isinstance(likelihood, RestrictedLikelihood) and len(rows) >= SHORTEST and rows.is_of_one_kind


def are_long(likelihood: Criterion) -> bool:
    """Whether the search of several series may start on less data."""
    return isinstance(likelihood, Likelihood) and len(likelihood.names) > 1 and len(likelihood.rows) >= SHORTEST_SEVERAL


def quick_ends(
    likelihood: Likelihood,
    grids: list[FloatArray],
    lower: FloatArray,
    upper: FloatArray,
    is_inside: Callable[[npt.NDArray[np.bool_]], bool],
) -> tuple[list[End], FloatArray]:
    """Ends of descents from the local minima of grids (L, p) along log q: first on less data, then on all for the best.

    Ends for which `is_inside`, of the variables at their lower bounds, is false count only if there is no other. Also returns the
    points (L, p) of a scan of log q at the best end that could be lower.
    """
    descent = CoarseDescent(Pyramid(likelihood), lower, upper)
    for grid in grids:
        values, level_of = descent.pyramid.aligned_scan(grid)
        for i in local_minima(values):
            descent.follow(grid[i], int(level_of[i]))
    if not descent.reached:
        raise ConvergenceError("the criterion is not finite at any start")
    ends = descent.polished(is_inside)
    best = min(ends, key=lambda end: end.value).theta
    again = grids[0].copy()
    again[:, 1:] = best[1:]
    inner = int(np.clip(np.searchsorted(again[:, 0], best[0]), 1, len(again) - 1))
    return ends, again[[i for i in local_minima(descent.pyramid.aligned_scan(again)[0]) if i not in (inner - 1, inner)]]


class CoarseDescent:
    """Descents on the levels of a pyramid, and where they ended."""

    def __init__(self, pyramid: Pyramid, lower: FloatArray, upper: FloatArray) -> None:
        self.pyramid, self.lower, self.upper = pyramid, lower, upper
        self.passed: list[list[End]] = [[] for _ in pyramid.levels]  # on each level
        self.reached: list[tuple[End, int]] = []  # on the coarsest level that serves there

    def follow(self, theta: FloatArray, level: int) -> None:
        """Go down from a point, and on from the end if another level serves there, once on each."""
        curvature, tried = None, {level}
        while (end := self._descend(theta, level, curvature)) is not None:
            self.passed[level].append(end)
            serving = int(self.pyramid.serving(end.theta[0], self.pyramid.likelihood.at(end.theta)[1]))
            if serving in tried:
                self.reached.append((end, level))
                return
            tried.add(serving)
            level, theta, curvature = serving, end.theta, end.curvature

    def _descend(self, theta: FloatArray, level: int, curvature: FloatArray | None) -> End | None:
        """One descent; None if it leads to where another ended: on this level, or on any to the accuracy of this level."""

        def is_known(theta: FloatArray, value: float) -> bool:
            here = any(end.is_near(theta, value, SAME_PLACE * ROUGH) for end in self.passed[level])
            return here or self._is_same_place(theta, level, self.reached)

        return descend(self.pyramid.levels[level], theta, self.lower, self.upper, is_known, curvature, ROUGH)

    def _is_same_place(self, theta: FloatArray, level: int, ends: list[tuple[End, int]]) -> bool:
        """Whether a point of a level lies where a descent on a better level ended, to the accuracy of this level."""
        scales = self.pyramid.scales
        blur = SAME_PLACE * len(theta) * scales[level]
        return any(end.is_near(theta, None, blur) for end, other in ends if other != level and scales[other] <= scales[level])

    def polished(self, is_inside: Callable[[npt.NDArray[np.bool_]], bool]) -> list[End]:
        """Ends on all data from those that could be the best."""
        likelihood = self.pyramid.likelihood
        reached = [pair for pair in self.reached if is_inside(pair[0].theta <= self.lower)] or self.reached
        scales = np.array([self.pyramid.scales[level] for _, level in reached])
        values, doubts = np.array([end.value for end, _ in reached]), CERTAIN * np.sqrt(2 * scales * len(likelihood.rows))
        good = [reached[i] for i in np.argsort(scales, kind="stable") if values[i] - doubts[i] <= np.min(values + doubts)]
        rivals = [end for i, (end, level) in enumerate(good) if not self._is_same_place(end.theta, level, good[:i])]
        truth = likelihood.values(np.array([end.theta for end in rivals])) if len(rivals) > 1 else np.zeros(1)
        truth = np.where(np.isfinite(truth), truth, np.inf)
        margin = CERTAIN * len(self.lower) * float(scales.max())
        starts = [rivals[i] for i in np.argsort(truth, kind="stable") if truth[i] <= truth.min() + margin]
        return ends_of(likelihood, [s.theta for s in starts], self.lower, self.upper, [s.curvature for s in starts])


def quick_minimum(likelihood: Likelihood, log_q: FloatArray) -> tuple[Minimum, float] | None:
    """Converged minimum from a grid (L,) of log q, increasing, and the sse there; None if only all data can decide."""
    pyramid = Pyramid(likelihood)
    values, level_of = pyramid.scan(log_q[:, None])
    lows = local_minima(values)
    if not lows or lows[0] in (0, len(log_q) - 1):
        return None  # at a bound
    best = lows[0]
    start, curvature = _refined(pyramid.levels[level_of[best]], log_q, best, 2)
    if not curvature > 0:
        return None
    width = AROUND * np.sqrt(2 / curvature)
    around = start + width * np.arange(-2, 3)
    # Competitors that the scan cannot rule out; else a narrow bandwidth, where it saw smallest, and a neighbour.
    doubt = CERTAIN * np.sqrt(2 * SHARE * len(likelihood.rows))
    rivals = [i for i in lows[1:] if values[i] < values[best] + doubt]
    others = [_refined(pyramid.levels[level_of[i]], log_q, i, 1)[0] for i in rivals]
    resolution = likelihood.resolution
    narrow = float(resolution.log_intensity(NARROW * resolution.spacing, np.ones(1)))
    others += [narrow if narrow > start + 3 * width else log_q[best + 1], log_q[best - 1]][: 2 - len(others)]
    q, sigma2 = likelihood.split(np.concatenate([around, others])[:, None])
    found = terms(likelihood.rows, likelihood.order, np.append(q, 0.0), np.append(sigma2, sigma2[:1], axis=0))
    truth = likelihood.assemble(found.log_det[:-1], found.sse[:-1])
    if not np.isfinite(truth).all() or truth[5:].min() <= truth[:5].min() or is_exact(likelihood.rows, float(found.sse[-1])):
        return None
    # The quartic through the five points, in units of their distance.
    shape = np.polynomial.Polynomial.fit(np.arange(-2.0, 3.0), truth[:5] - truth[2], 4, domain=[-1, 1])
    slope, bend = shape.deriv(1), shape.deriv(2)
    at = 0.0
    for _ in range(4):
        if not bend(at) > 0:
            return None
        at = float(np.clip(at - slope(at) / bend(at), -NEAR / AROUND, NEAR / AROUND))
    if not bend(at) > 0:
        return None
    return _certified(likelihood, start + width * at, bend(at) / width**2, (float(log_q[0]), float(log_q[-1])), len(lows))


def is_exact(rows: Rows, sse: float) -> bool:
    """Whether residuals from a polynomial are rounding."""
    least = max(EXACT_SD, len(rows) * np.finfo(float).eps / 16)  # rounding grows with the length of the series
    return sse <= least**2 * float(np.sum(rows.y**2 / rows.ratio))


def _refined(level: CoarseLikelihood, log_q: FloatArray, i: int, n_zooms: int) -> tuple[float, float]:
    """Where the approximate criterion is smallest between the neighbours of entry i, and its curvature there."""
    lower, upper = log_q[max(i - 1, 0)], log_q[min(i + 1, len(log_q) - 1)]
    fine, values, j = log_q, np.empty(0), 0
    for _ in range(n_zooms):
        fine = np.linspace(lower, upper, ZOOM)
        values = level.values(fine[:, None])
        j = int(np.clip(np.argmin(values), 1, ZOOM - 2))
        lower, upper = fine[j - 1], fine[j + 1]
    width = fine[1] - fine[0]
    first, second = (values[j + 1] - values[j - 1]) / 2, values[j + 1] - 2 * values[j] + values[j - 1]
    if not second > 0:
        return float(fine[j]), 0.0
    return float(fine[j] - np.clip(first / second, -1, 1) * width), float(second / width**2)


def _certified(
    likelihood: Likelihood, theta: float, curvature: float, bounds: tuple[float, float], n_starts: int
) -> tuple[Minimum, float] | None:
    """The minimum near theta by exact scores, and the sse there; its curvature is the slope of the last two scores."""
    before: tuple[float, float] | None = None
    for _ in range(MOST_SCORES):
        value, gradient, sse = likelihood.gradient_and_sse(np.array([theta]))
        score = float(gradient[0])
        if before is not None:
            curvature = (score - before[1]) / (theta - before[0])
            if not curvature > 0:
                return None
            if score**2 / curvature <= DECREMENT:
                return Minimum(np.array([theta]), value, score**2 / curvature, NOWHERE, NOWHERE, n_starts), sse
        before = theta, score
        step = -score / curvature
        theta += step if abs(step) > LEAST_STEP else float(np.copysign(LEAST_STEP, step))
        if not (abs(step) < 1 and bounds[0] < theta < bounds[1]):
            return None
    return None


def _finest(rows: Rows, order: int) -> Level:
    """Stretches of the observations, or all."""
    zeros = np.zeros(rows.n_groups)
    level = Level((rows,), 0.0, zeros, zeros)
    return _in_stretches(level, len(rows), order)


def _in_stretches(level: Level, n: int, order: int) -> Level:
    """Contiguous stretches of a level of n observations; all of it if they would be most of it, or hold too little of a series."""
    (rows,) = level.parts
    one_kind = rows.is_of_one_kind and n >= SHORTEST
    count = N_STRETCHES if one_kind else N_STRETCHES_SEVERAL
    length = n // (count * SHARE) if one_kind else int(np.clip(n // (count * SHARE), *STRETCH))
    if count * length > LEAST_SHARE * len(rows):
        return level
    firsts = np.linspace(0, len(rows) - length, count).astype(int).tolist()
    parts = tuple(_part(rows, slice(i, i + length)) for i in firsts)
    if not one_kind:
        counts = np.sum([np.bincount(part.group, minlength=rows.n_groups) for part in parts], axis=0)
        if counts.min() < FEWEST_IN_STRETCHES or not all(_is_identified(part, order) for part in parts):
            return level
    scale = len(rows) / (count * length)
    return replace(
        level, parts=parts, merged=level.merged / scale, within=level.within / scale, log_det=level.log_det / scale, scale=scale
    )


def _is_identified(rows: Rows, order: int) -> bool:
    try:
        require_identified(rows, order)
    except IdentificationError:
        return False
    return True


def _means(rows: Rows, order: int) -> Iterator[Level]:
    """Means of each series in bins of growing width."""
    n, spacing, n_groups = len(rows), rows.range / (len(rows) - 1), rows.n_groups
    fewest = FEWEST_MEANS if rows.is_of_one_kind else FEWEST_MEANS_SEVERAL
    if n < FACTOR * fewest:
        return
    series = _series(rows)
    is_even = bool(rows.ratio.min() == rows.ratio.max())
    log_det = n * float(np.log(rows.ratio[0])) if is_even else float(np.log(rows.ratio).sum())
    squares = _by_group(n_groups, ((s.group, float((s.y * s.precision) @ s.y)) for s in series))
    counts = _by_group(n_groups, ((s.group, float(len(s.y))) for s in series))
    block, left = 1, n
    while left >= FACTOR * fewest:
        block *= FACTOR
        series = [s.binned(block * spacing) for s in series]
        before, left = left, sum(len(s.y) for s in series)
        merged = _merged(rows, series)
        if left > LEAST_SHARE * before or not _is_identified(merged, order):
            return
        level = Level(
            (merged,),
            WIDE * block * spacing,
            counts - _by_group(n_groups, ((s.group, float(len(s.y))) for s in series)),
            squares - _by_group(n_groups, ((s.group, float(s.precision @ (s.y * s.y))) for s in series)),
            log_det + sum(float(np.log(s.precision).sum()) for s in series),
        )
        yield level if rows.is_of_one_kind else _in_stretches(level, n, order)


def _series(rows: Rows) -> list[Series]:
    """The series of the rows; x counts from the first node."""
    x, precision = np.cumsum(rows.delta) - rows.delta[0], 1 / rows.ratio
    if rows.is_of_one_kind:
        return [Series(0, int(rows.deriv[0]), x, rows.y, precision)]
    n_orders = int(rows.deriv.max()) + 1
    kinds = rows.group.astype(np.int64) * n_orders + rows.deriv
    found = []
    for kind in np.flatnonzero(np.bincount(kinds)):
        mine = np.flatnonzero(kinds == kind)
        found.append(Series(int(rows.group[mine[0]]), int(rows.deriv[mine[0]]), x[mine], rows.y[mine], precision[mine]))
    return found


def _by_group(n_groups: int, shares: Iterable[tuple[int, float]]) -> FloatArray:
    """Sums of shares by group, (n_groups,)."""
    total = np.zeros(n_groups)
    for group, share in shares:
        total[group] += share
    return total


def _merged(rows: Rows, series: list[Series]) -> Rows:
    """Rows of all series, in order of x."""
    x = np.concatenate([s.x for s in series])
    order = np.argsort(x, kind="stable")
    lengths = [len(s.x) for s in series]
    x = x[order]
    return replace(
        rows,
        nodes=x,
        fine=None,
        sorter=None,
        delta=np.diff(x, prepend=x[0]),
        deriv=np.repeat(np.array([s.deriv for s in series], np.uint8), lengths)[order],
        group=np.repeat(np.array([s.group for s in series], np.uint8), lengths)[order],
        y=np.concatenate([s.y for s in series])[order],
        ratio=1 / np.concatenate([s.precision for s in series])[order],
    )


def _part(rows: Rows, part: slice) -> Rows:
    return replace(
        rows,
        nodes=rows.nodes[:0],
        fine=None,
        sorter=None,
        delta=rows.delta[part],
        deriv=rows.deriv[part],
        group=rows.group[part],
        y=rows.y[part],
        ratio=rows.ratio[part],
    )
