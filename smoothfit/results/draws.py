"""Draws of curves with their hyperparameters, and simultaneous bands from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, frozen
from ..inference.engine import Engine
from ..inference.marginal import HyperparameterPosterior
from .mixtures import SHAPE_LEVEL

N_MAXIMA = 10_000  # draws of a simultaneous band: its level is then right to 0.2 %
FIRST_POINTS = 128  # on which a maximum is taken first
SAME = 0.01  # of the critical value, by which half of the points may change it
MOST_NUMBERS = 2**21  # drawn at a time
SEED = 20_240_229

Indices = npt.NDArray[np.intp]


def draw_curves(
    engine: Engine[Any, Any],
    posterior: HyperparameterPosterior,
    functionals: Any,
    rng: np.random.Generator,
    size: int,
) -> FloatArray:
    """Posterior draws (size, n) of functionals: of each draw a node, a factor s^2 if one is estimated, and a curve.

    Nodes, factors and the curves of each node come from streams of their own, so that the first draws of a seed are the same
    whatever the size.
    """
    picks, factors, *streams = rng.spawn(2 + len(posterior.weights))
    nodes = picks.choice(len(posterior.weights), size, p=posterior.weights)
    drawn = np.unique(nodes)
    means = engine.moments(posterior.theta[drawn], functionals).mean
    scale = np.sqrt(posterior.scale2)[nodes]
    if np.isfinite(posterior.df):
        scale *= np.sqrt(posterior.df / factors.chisquare(posterior.df, size))
    values = np.empty((size, means.shape[1]))
    for node, mean in zip(drawn.tolist(), means, strict=True):
        mine = np.flatnonzero(nodes == node)
        deviations = engine.draws(posterior.theta[[node]], functionals, streams[node], len(mine))[0]
        values[mine] = mean + deviations * scale[mine, None]
    return values


def greatest_deviations(
    draw: Callable[[np.random.Generator, int, Indices], FloatArray], centre: FloatArray, below: FloatArray, above: FloatArray
) -> FloatArray:
    """Greatest deviation from `centre` (n,) in units of `below` and `above` (n,), in each of N_MAXIMA draws, increasing.

    ``draw(rng, size, points)`` makes draws (size, k) of the values at k of the points. The maximum is taken over evenly numbered
    points, twice as many until half of them give a 95 % critical value less than SAME apart: points in order of x are best.
    """
    n = len(centre)
    k = min(n, FIRST_POINTS)
    with np.errstate(divide="ignore"):
        unit = np.stack([np.where(width > 0, 1 / width, 0.0) for width in (below, above)])
    while True:
        points = np.linspace(0, n - 1, k).round().astype(np.intp)
        rng = np.random.default_rng(SEED)
        every, half = np.empty(N_MAXIMA), np.empty(N_MAXIMA)
        block = max(1, MOST_NUMBERS // k)
        for start in range(0, N_MAXIMA, block):
            stop = min(start + block, N_MAXIMA)
            deviation = draw(rng, stop - start, points) - centre[points]
            size = np.maximum(deviation * unit[1, points], -deviation * unit[0, points])
            half[start:stop] = size[:, ::2].max(axis=1)
            every[start:stop] = np.maximum(half[start:stop], size[:, 1::2].max(axis=1, initial=0.0))
        critical = np.quantile(every, 1 - SHAPE_LEVEL)
        if k == n or critical - np.quantile(half, 1 - SHAPE_LEVEL) <= SAME * critical:
            return frozen(np.sort(every))
        k = min(n, 2 * k)
