"""A fast way to the optimum for long series of one kind of reading: the search on less data, the certificate on all of them.

Wide bandwidths are scanned on means of 8, 64, ... consecutive readings, which keep the criterion where a curve is level within a
block: with W_b the sum of the precisions 1 / r in block b, the terms of the likelihood are

    log_det = log_det(means) + sum_b log W_b + sum_i log r_i,   sse = sse(means) + sum of squares within blocks.

Narrow ones are scanned on some contiguous stretches, whose criterion is taken for that of the rest. What this finds is checked on
all readings, eight candidates side by side: the best local minimum of the scan, refined, with points around it, and the other
minima or its neighbours on the grid. If it is the lowest there too, it is brought to the minimum of the full criterion by its exact
score, and certified by it. Whatever does not go so is left to the search on all data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..inference.newton import DECREMENT, Minimum
from .bandwidth import Resolution
from .criteria import Criterion, Likelihood, RestrictedLikelihood
from .kernels import terms
from .rows import Rows

EXACT_SD = 1e-13  # of the readings' size; below, residuals are rounding
SHORTEST = 50_000  # readings from which this pays
FACTOR = 8  # from one level of means to the next
FEWEST_MEANS = 2_000
WIDE = 4.0  # bandwidths in blocks from which a level serves
N_STRETCHES = 8
SHARE = 16  # one reading in so many is in a stretch
ZOOM = 8
MOST_SCORES = 6
AROUND = 0.5  # standard errors of log q, between the points around the minimum of the scan
CERTAIN = 20.0  # standard errors of what the stretches tell, from which a competitor is ruled out
NARROW = 2.0  # spacings, a bandwidth that is always checked
NEAR = 2.0  # these, how far the minimum may be from that of the scan
LEAST_STEP = 1e-6  # in log q, between the two scores that tell the curvature: above their rounding
NOWHERE = np.zeros(1, np.bool_)


@dataclass(frozen=True, eq=False)
class Level:
    """A part of the data that stands for all: its rows in pieces, and what turns its terms into those of all."""

    parts: tuple[Rows, ...]
    narrowest: float  # bandwidth, scaled
    log_det: float = 0.0
    sse: float = 0.0
    scale: float = 1.0

    def values(self, likelihood: Likelihood, log_q: FloatArray) -> FloatArray:
        """Approximate the criterion at candidates (L,)."""
        q, sigma2 = likelihood.split(log_q[:, None])
        log_det, sse = np.full(len(q), self.log_det), np.full(len(q), self.sse)
        for rows in self.parts:
            found = terms(rows, likelihood.order, q, sigma2)
            log_det += found.log_det
            sse += found.sse
        return likelihood.assemble(log_det * self.scale, sse * self.scale)


def is_long(likelihood: Criterion) -> bool:
    """Whether the search may start on less data."""
    rows = likelihood.rows
    return isinstance(likelihood, RestrictedLikelihood) and len(rows) >= SHORTEST and rows.is_of_one_kind


def quick_minimum(likelihood: Likelihood, log_q: FloatArray) -> tuple[Minimum, float] | None:
    """Certified minimum from a grid (L,) of log q, increasing, and the sse there; None where it takes all data to tell."""
    levels, resolution = _levels(likelihood.rows), Resolution(likelihood.rows, likelihood.order)
    values, level_of = _scan(likelihood, levels, resolution, log_q)
    padded = np.concatenate([[np.inf], values, [np.inf]])
    lows = np.flatnonzero((values <= padded[:-2]) & (values <= padded[2:]) & np.isfinite(values))
    lows = lows[np.argsort(values[lows], kind="stable")][:3]
    if not len(lows) or lows[0] in (0, len(log_q) - 1):
        return None  # at a bound
    best = int(lows[0])
    start, curvature = _refined(likelihood, levels[level_of[best]], log_q, best, 2)
    if not curvature > 0:
        return None
    width = AROUND * np.sqrt(2 / curvature)
    around = start + width * np.arange(-2, 3)
    # Competitors that the scan cannot rule out; else a narrow bandwidth, where it saw least, and a neighbour.
    doubt = CERTAIN * np.sqrt(2 * SHARE * len(likelihood.rows))
    rivals = [i for i in lows[1:].tolist() if values[i] < values[best] + doubt]
    others = [_refined(likelihood, levels[level_of[i]], log_q, i, 1)[0] for i in rivals]
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


def _scan(
    likelihood: Likelihood, levels: list[Level], resolution: Resolution, log_q: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Approximate values of the grid, each by the coarsest level that serves, and which."""
    sigma2 = np.ones(1)
    limits = np.array([float(resolution.log_intensity(level.narrowest, sigma2)) for level in levels[1:]])
    level_of = np.count_nonzero(log_q[:, None] <= limits, axis=1)
    values = np.empty(len(log_q))
    for i, level in enumerate(levels):
        mine = level_of == i
        if mine.any():
            values[mine] = level.values(likelihood, log_q[mine])
    return np.where(np.isfinite(values), values, np.inf), level_of


def _refined(likelihood: Likelihood, level: Level, log_q: FloatArray, i: int, n_zooms: int) -> tuple[float, float]:
    """Where the approximate criterion is least between the neighbours of entry i, and its curvature there."""
    lower, upper = log_q[max(i - 1, 0)], log_q[min(i + 1, len(log_q) - 1)]
    fine, values, j = log_q, np.empty(0), 0
    for _ in range(n_zooms):
        fine = np.linspace(lower, upper, ZOOM)
        values = level.values(likelihood, fine)
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
    """The minimum near theta by exact scores, and the sse there; the certificate's curvature is the slope of the last two."""
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


def _levels(rows: Rows) -> list[Level]:
    """Stretches of the readings, then means of them in growing blocks."""
    n, spacing = len(rows), rows.range / (len(rows) - 1)
    length = n // (N_STRETCHES * SHARE)
    order_free = np.linspace(0, n - length, N_STRETCHES).astype(int)
    stretches = tuple(_part(rows, slice(i, i + length)) for i in order_free.tolist())
    levels = [Level(stretches, 0.0, scale=n / (N_STRETCHES * length))]
    x, y, ratio = np.cumsum(rows.delta), rows.y, rows.ratio
    is_even = bool(ratio.min() == ratio.max())
    if is_even:
        log_det, within = n * float(np.log(ratio[0])), float(y @ y) / float(ratio[0])
    else:
        log_det, within = float(np.log(ratio).sum()), float((y / ratio) @ y)
    precision, block = np.empty(0), 1
    while len(y) >= FACTOR * FEWEST_MEANS:
        first = np.arange(0, len(y), FACTOR)
        if block == 1 and is_even:
            count = np.diff(np.append(first, n))
            x, y, precision = np.add.reduceat(x, first) / count, np.add.reduceat(y, first) / count, count / ratio[0]
        else:
            weight = 1 / ratio if block == 1 else precision
            precision = np.add.reduceat(weight, first)
            x, y = (np.add.reduceat(weight * values, first) / precision for values in (x, y))
        block *= FACTOR
        delta = np.diff(x, prepend=x[0])
        means = replace(
            rows,
            nodes=x,
            fine=None,
            sorter=None,
            delta=delta,
            deriv=rows.deriv[: len(y)],
            group=rows.group[: len(y)],
            y=y,
            ratio=1 / precision,
        )
        levels.append(
            Level((means,), WIDE * block * spacing, log_det + float(np.log(precision).sum()), within - float(precision @ (y * y)))
        )
    return levels


def _part(rows: Rows, part: slice) -> Rows:
    """Return some of the rows."""
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
