"""Weighted nodes of a density of a few variables: a lattice grown from its mode, or weighted quasi-random points.

The methods are those of the docstring of `marginal`; what the density is of does not matter here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from .._validation import FloatArray
from ..errors import NumericalError

CUT = 11.0  # fall of the log density beyond which a lattice does not grow: a factor of 6e4
SCAN = (33, 13, 7)  # points of the scan along each of one to three variables; more variables take SCANNED points
SCANNED, SCANNED_EDGES = 256, 64
ALONG = 17  # points of the scan along each axis through the start
FIRST_STENCIL = 0.5  # in a logarithm
LEAST_STENCIL = 1e-4
CLIMBS = 60
LEVEL = 0.02  # Newton decrement at which a mode is found: the lattice does not depend on where it is centred
FALL = 2.0  # of the log density, at two standard deviations of a normal law
DISTANCES = 2.0 ** np.arange(-2, 6)  # along a ray, in the standard deviations of the curvature; one batch of eight
WIDENING, WIDENINGS = 128.0, 5  # of the distances, where they are all too short, or all too long
NEGLIGIBLE = 2e-4  # total weight of nodes that are left out: tails of 0.025 change by less than 1 % of themselves
PROPOSAL_DF = 6.0  # of t laws, whose tails are heavier than those of the density
EVEN = 8  # of so many points of t laws there is one more of the uniform law: none counts for more than the bounds enclose

Integers = npt.NDArray[np.int64]


class Density:
    """Log of a density within bounds, minus infinity outside; `function` takes many points (L, p) at once.

    `highest` may give an upper bound, which costs less, where the density is certainly not the highest; `theta` gives the
    parameters (p,) of a point, if its coordinates are others.
    """

    def __init__(
        self,
        function: Callable[[FloatArray], FloatArray],
        lower: FloatArray,
        upper: FloatArray,
        highest: Callable[[FloatArray], FloatArray] | None = None,
        theta: Callable[[FloatArray], FloatArray] = np.asarray,
    ):
        self.function, self.lower, self.upper = function, np.asarray(lower, float), np.asarray(upper, float)
        self.highest, self.theta = highest or function, theta

    def __call__(self, points: FloatArray) -> FloatArray:
        """Log density (L,); NaN if it cannot be computed, or is no density (infinite)."""
        value = np.full(len(points), -np.inf)
        inside = np.all((points >= self.lower) & (points <= self.upper), axis=1)
        if inside.any():
            value[inside] = self.function(points[inside])
        value[np.isposinf(value)] = np.nan
        return value

    def in_units(self, units: FloatArray) -> Density:
        """The density of points in other units (p,), up to a constant."""
        function, highest = (lambda u: self.function(u * units)), (lambda u: self.highest(u * units))
        return Density(function, self.lower / units, self.upper / units, highest, lambda u: self.theta(u * units))


class Nodes(NamedTuple):
    """Points that represent a density.

    Attributes
    ----------
    theta : ndarray, shape (L, p)
    weights : ndarray, shape (L,)
        They sum to one.
    log_density : ndarray, shape (L,)
        Up to a constant.
    log_integral : float
        Logarithm of the integral of the density, up to the same constant.
    ends : ndarray of bool, shape (p,), or None
        Variables at whose bounds the density is high, if there are any: the nodes are a lattice in coordinates of `Stretched`.
    """

    theta: FloatArray
    weights: FloatArray
    log_density: FloatArray
    log_integral: float
    ends: npt.NDArray[np.bool_] | None = None

    def take(self, which: Integers) -> Nodes:
        """Some of them, their weights summing to one again."""
        weights = self.weights[which]
        return self._replace(theta=self.theta[which], weights=weights / weights.sum(), log_density=self.log_density[which])


class Shape(NamedTuple):
    """Where a density is and how it extends: standard deviations `sd` (2, p) below and above the mode, along axes (p, p)."""

    mode: FloatArray
    axes: FloatArray  # one in each column, of unit length
    sd: FloatArray


def filled(values: FloatArray) -> FloatArray:
    """Log densities with minus infinity for NaN."""
    return np.where(np.isnan(values), -np.inf, values)


def normalised(log_weights: FloatArray) -> FloatArray:
    """Weights that sum to one."""
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def mean_and_covariance(points: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of weighted points (L, p): (p,) and (p, p)."""
    mean = weights @ points
    deviation = points - mean
    return mean, np.asarray((weights[:, None] * deviation).T @ deviation)


def scan(density: Density, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points of the whole range, `start` first, and their log densities.

    A narrow maximum of some of the variables lies between the points. `start` is there, but may be at the bounds of the others.
    Where it is at several, as of variances that vanish, lines through it stay at a bound: these are then scanned by themselves.
    """
    p = len(start)
    unit = np.array(list(itertools.product(np.linspace(0, 1, SCAN[p - 1]), repeat=p))) if p <= len(SCAN) else sobol(p, SCANNED)
    parts = [start[None, :], density.lower + unit * (density.upper - density.lower)]
    for i in range(p if p > 1 else 0):
        along = np.repeat(start[None, :], ALONG, axis=0)
        along[:, i] = np.linspace(density.lower[i], density.upper[i], ALONG)
        parts.append(along)
    points = np.concatenate(parts)
    values = density(points)
    if np.isnan(values[0]):
        raise NumericalError(f"the likelihood cannot be computed at the estimates, theta = {start.tolist()}")
    edges = np.flatnonzero((start <= density.lower) | (start >= density.upper))
    if len(edges) > 1:
        inside = np.repeat(start[None, :], SCANNED_EDGES, axis=0)
        inside[:, edges] = (density.lower + sobol(p, SCANNED_EDGES) * (density.upper - density.lower))[:, edges]
        heights = filled(density(inside))
        for i in edges.tolist():
            along = np.repeat(inside[[np.argmax(heights)]], ALONG, axis=0)
            along[:, i] = np.linspace(density.lower[i], density.upper[i], ALONG)
            inside, heights = np.concatenate([inside, along]), np.append(heights, filled(density(along)))
        points, values = np.concatenate([points, inside]), np.append(values, heights)
    return points, filled(values)


def climb(density: Density, start: FloatArray) -> tuple[FloatArray, FloatArray, bool]:
    """Mode near `start` and the Hessian there, by Newton's method on differences, and by the best point where that fails.

    The last result is whether Newton's method ended there.
    """
    p = len(start)
    unit = np.eye(p)
    pairs = list(itertools.combinations(range(p), 2))
    stencil = np.concatenate([np.zeros((1, p)), unit, -unit, *[unit[[i]] + unit[[j]] for i, j in pairs]])
    centre, step = start, FIRST_STENCIL
    for _ in range(CLIMBS):
        points = centre + step * stencil
        values = filled(density(points))
        best = int(np.argmax(values))
        above, below = values[1 : p + 1], values[p + 1 : 2 * p + 1]
        if np.isfinite(values).all():
            gradient = (above - below) / (2 * step)
            hessian = np.diag((above - 2 * values[0] + below) / step**2)
            for (i, j), value in zip(pairs, values[2 * p + 1 :], strict=True):
                hessian[i, j] = hessian[j, i] = (value - above[i] - above[j] + values[0]) / step**2
            curvature = np.linalg.eigvalsh(-hessian)
            if curvature[0] > 0:
                move = -np.linalg.solve(hessian, gradient)
                is_fine = curvature[-1] * step**2 < 1
                if is_fine and gradient @ move < LEVEL:
                    return centre, hessian, True
                if is_fine and density((centre + move)[None, :])[0] > values[best]:
                    centre = centre + move
                    continue
        if best == 0:
            step /= 2
        centre = points[best]
        if step < LEAST_STENCIL:
            break
    return centre, -unit / step**2, False


def shape_of(density: Density, start: FloatArray) -> Shape:
    """Shape of a density about the mode near `start`, by how far it extends along the eigenvectors of its Hessian."""
    mode, hessian, _ = climb(density, start)
    curvature, axes = np.linalg.eigh(-hessian)
    directions = np.stack([-axes.T, axes.T])  # (2, p, p)
    unit = np.broadcast_to(1 / np.sqrt(curvature), directions.shape[:2]).copy()
    sd = np.full(unit.shape, np.nan)
    for _ in range(WIDENINGS):
        distances = unit[..., None] * DISTANCES
        points = mode + distances[..., None] * directions[:, :, None, :]
        values = filled(density(np.concatenate([mode[None, :], points.reshape(-1, len(mode))])))
        fall = values[0] - values[1:].reshape(distances.shape)
        for ray in np.ndindex(unit.shape):
            if np.isnan(sd[ray]):
                sd[ray] = _distance(distances[ray], fall[ray]) / np.sqrt(2 * FALL)
        falls_too_soon = fall[..., 0] > FALL
        unit = np.where(np.isnan(sd), unit * np.where(falls_too_soon, 1 / WIDENING, WIDENING), unit)
        if not np.isnan(sd).any():
            break
    sd[np.isinf(sd)] = np.nan
    ends = np.isnan(sd)  # at a bound: as on the other side
    sd = np.where(ends, sd[::-1], sd)
    return Shape(mode, axes, np.where(np.isnan(sd), density.upper.max() - density.lower.min(), sd))


def _distance(distances: FloatArray, fall: FloatArray) -> float:
    """Distance at which the log density has fallen by FALL, as a power of the distance.

    NaN where `distances` do not enclose it; infinite where the density ends within the smallest.
    """
    if np.isinf(fall[0]):
        return np.inf
    i = int(np.argmax(fall >= FALL))
    if i == 0:
        return np.nan
    if np.isinf(fall[i]) or fall[i - 1] <= 0:
        return float(distances[i - 1])
    share = np.log(FALL / fall[i - 1]) / np.log(fall[i] / fall[i - 1])
    return float(distances[i - 1] * (distances[i] / distances[i - 1]) ** share)


def sobol(p: int, size: int) -> FloatArray:
    """The first points (size, p) of Sobol's sequence, moved off the faces of the unit cube."""
    return np.asarray(stats.qmc.Sobol(p, scramble=False).random(size) + 0.5 / size)


def proposal(density: Density, shape: Shape, size: int) -> FloatArray:
    """Points of a mixture of a split-t law, `size` of them, and the uniform law within the bounds."""
    extent = density.upper - density.lower
    return np.concatenate([split_t(shape, size), density.lower + sobol(len(extent), size // EVEN) * extent])


def log_proposal(density: Density, shape: Shape, points: FloatArray) -> FloatArray:
    """Log densities (L,) of the law of `proposal` at points (L, p)."""
    extent, share = density.upper - density.lower, 1 / (EVEN + 1)
    inside = np.all((points >= density.lower) & (points <= density.upper), axis=1)
    log_even = np.where(inside, np.log(share) - np.log(extent).sum(), -np.inf)
    return np.asarray(np.logaddexp(np.log1p(-share) + log_split_t(shape, points), log_even))


def log_split_t(shape: Shape, points: FloatArray) -> FloatArray:
    """Log densities (L,) of the law of `split_t` at points (L, p)."""
    along = (points - shape.mode) @ shape.axes
    scores = along / np.where(along < 0, *shape.sd[:, None])
    return np.asarray(np.sum(stats.t.logpdf(scores, PROPOSAL_DF) + np.log(2 / shape.sd.sum(axis=0)), axis=1))


def split_t(shape: Shape, size: int) -> FloatArray:
    """Quasi-random points (size, p) with a t law along each axis that is wider on one side of the mode."""
    p = len(shape.mode)
    uniform = sobol(p, size)
    below = shape.sd[0] / shape.sd.sum(axis=0)  # probability of the lower side: the density is continuous
    is_below = uniform < below
    tail = np.where(is_below, uniform / below, (1 - uniform) / (1 - below)) / 2
    score = stats.t.isf(tail, PROPOSAL_DF)
    along = np.where(is_below, -score * shape.sd[0], score * shape.sd[1])
    return np.asarray(shape.mode + along @ shape.axes.T)


def check_near(density: Density, values: FloatArray, points: FloatArray, shape: Shape) -> None:
    """Refuse a point without a likelihood that is nearer to the mode than most others."""
    along = (points - shape.mode) @ shape.axes
    refuse_gaps(density, values, points, np.linalg.norm(along / np.where(along < 0, shape.sd[0], shape.sd[1]), axis=1))


def refuse_gaps(density: Density, values: FloatArray, points: FloatArray, radius: FloatArray) -> None:
    """Refuse a point (of L) whose log density is NaN and whose distance from the mode is smaller than most."""
    near = np.isnan(values) & (radius < np.median(radius))
    if near.any():
        where = density.theta(points[np.argmax(near)]).tolist()
        raise NumericalError(f"the likelihood cannot be computed at theta = {where}, near where it is high")


def refitted(shape: Shape, points: FloatArray, weights: FloatArray) -> Shape:
    """Shape whose axes and extent are those of weighted points about the mode."""
    deviation = points - shape.mode
    axes = np.linalg.eigh((weights[:, None] * deviation).T @ deviation)[1]
    along = deviation @ axes
    sd = np.empty_like(shape.sd)
    for side, sign in enumerate((-1, 1)):
        mine = np.where(sign * along > 0, weights[:, None], 0.0)
        sd[side] = np.sqrt((mine * along**2).sum(axis=0) / np.maximum(mine.sum(axis=0), np.finfo(float).tiny))
    return Shape(shape.mode, axes, np.maximum(sd, sd.max(axis=0) / 10))
