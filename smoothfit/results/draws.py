"""Draws of curves with their hyperparameters, and simultaneous bands from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, frozen
from ..inference.adaptive import SEED
from ..inference.engine import Engine, PointDraws
from ..inference.marginal import HyperparameterPosterior
from .mixtures import SHAPE_LEVEL

N_MAXIMA = 10_000  # draws of a simultaneous band: its level is then right to 0.2 %
FEWEST_MAXIMA = 2000  # likewise over many points: to 0.5 %, and the critical value to 0.6 %
N_PILOT = 1000  # draws by which the number of points is found
MOST_DRAWN = 2**24  # numbers in all, where more than the fewest draws would take more
FIRST_POINTS = 128  # on which a maximum is taken first
SAME = 0.01  # of the critical value, by which half of the points may change it
MOST_PREPARED = 32  # nodes whose matrices are kept from one block of draws to the next
MOST_NUMBERS = 2**21  # drawn at a time

Indices = npt.NDArray[np.intp]
BandDraws = Callable[[Indices], PointDraws]  # what draws the values at k of the points


def curve_draws(engine: Engine[Any, Any], posterior: HyperparameterPosterior, functionals: Any) -> PointDraws:
    """What draws functionals: of each draw a node, a factor s^2 if one is estimated, and a curve: rng, size -> (size, n).

    Nodes, factors and the curves of each node come from streams of their own, so that the first draws of a seed are the same
    whatever the size. What a node takes is computed when it is first drawn.
    """

    @lru_cache(MOST_PREPARED)
    def at(node: int) -> tuple[FloatArray, PointDraws]:
        theta = posterior.theta[node]
        return engine.moments(theta[None], functionals).mean[0], engine.draws(theta, functionals)

    def draw(rng: np.random.Generator, size: int) -> FloatArray:
        picks, factors, *streams = rng.spawn(2 + len(posterior.weights))
        nodes = picks.choice(len(posterior.weights), size, p=posterior.weights)
        scale = np.sqrt(posterior.scale2)[nodes]
        if np.isfinite(posterior.df):
            scale *= np.sqrt(posterior.df / factors.chisquare(posterior.df, size))
        drawn = np.unique(nodes).tolist()
        values = np.empty((size, len(at(drawn[0])[0])))
        for node in drawn:
            mine = np.flatnonzero(nodes == node)
            mean, deviations = at(node)
            values[mine] = mean + deviations(streams[node], len(mine)) * scale[mine, None]
        return values

    return draw


def greatest_deviations(drawing: BandDraws, centre: FloatArray, below: FloatArray, above: FloatArray) -> FloatArray:
    """Largest deviation from `centre` (n,) in units of `below` and `above` (n,), in each of up to N_MAXIMA draws, increasing.

    The maximum is taken over evenly numbered points, twice as many until half of them give a 95 % critical value less than SAME
    apart, in N_PILOT draws: points in order of x are best.
    """
    n = len(centre)
    k = min(n, FIRST_POINTS)
    with np.errstate(divide="ignore"):
        unit = np.stack([np.where(width > 0, 1 / width, 0.0) for width in (below, above)])

    def maxima(points: Indices, size: int) -> tuple[FloatArray, FloatArray]:
        """Largest deviations over all points and over half of them."""
        rng, draw = np.random.default_rng(SEED), drawing(points)
        every, half = np.empty(size), np.empty(size)
        block = max(1, MOST_NUMBERS // len(points))
        for start in range(0, size, block):
            stop = min(start + block, size)
            deviation = draw(rng, stop - start) - centre[points]
            sizes = np.maximum(deviation * unit[1, points], -deviation * unit[0, points])
            half[start:stop] = sizes[:, ::2].max(axis=1)
            every[start:stop] = np.maximum(half[start:stop], sizes[:, 1::2].max(axis=1, initial=0.0))
        return every, half

    while True:
        points = np.linspace(0, n - 1, k).round().astype(np.intp)
        if k == n:
            break
        critical, of_half = (np.quantile(part, 1 - SHAPE_LEVEL) for part in maxima(points, N_PILOT))
        if critical - of_half <= SAME * critical:
            break
        k = min(n, 2 * k)
    return frozen(np.sort(maxima(points, max(FEWEST_MAXIMA, min(N_MAXIMA, MOST_DRAWN // k)))[0]))
