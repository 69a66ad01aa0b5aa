"""Draws of curves with their hyperparameters, and simultaneous bands from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, frozen
from ..inference.engine import Engine
from ..inference.marginal import HyperparameterPosterior
from .mixtures import Mixture, critical_value

N_MAXIMA = 10_000  # draws of a simultaneous band: its level is then right to 0.2 %
SHAPE_LEVEL = 0.05  # of the pointwise intervals whose shape a band has
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
    """Posterior draws (size, n) of functionals: of each draw a node, a factor s^2 if one is estimated, and a curve."""
    if posterior.is_single:
        moments = engine.moments(posterior.theta, functionals)
        return np.asarray(moments.mean[0] + _scaled(engine.draws(posterior.theta, functionals, rng, size)[0], posterior, 0, rng))
    counts = _allocated(posterior.weights, rng, size)
    drawn = np.flatnonzero(counts)
    mean = engine.moments(posterior.theta[drawn], functionals).mean
    parts = [
        m + _scaled(engine.draws(posterior.theta[[node]], functionals, rng, int(counts[node]))[0], posterior, int(node), rng)
        for node, m in zip(drawn, mean, strict=True)
    ]
    return np.asarray(rng.permutation(np.concatenate(parts)))


def _allocated(weights: FloatArray, rng: np.random.Generator, size: int) -> npt.NDArray[np.int64]:
    """Numbers of draws (L,) of each node: those expected, rounded up or down at random (systematic sampling)."""
    starts = np.floor(np.append(0.0, np.cumsum(weights[:-1])) * size + rng.random()).astype(np.int64)
    return np.asarray(np.append(starts[1:], size) - starts, dtype=np.int64)


def _scaled(deviations: FloatArray, posterior: HyperparameterPosterior, node: int, rng: np.random.Generator) -> FloatArray:
    """Deviations (size, n) for s^2 = 1, times draws of s."""
    s = np.sqrt(posterior.scale2[node])
    if np.isfinite(posterior.df):
        s = s * np.sqrt(posterior.df / rng.chisquare(posterior.df, (len(deviations), 1)))
    return np.asarray(deviations * s)


def band_shape(law: Mixture) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centre (n,) of a simultaneous band, and its half-widths below and above for a critical value of one.

    The half-widths are those of the pointwise intervals of level 1 - SHAPE_LEVEL. The centre is the mean, moved into the middle
    half of the pointwise interval if it lies outside, so that neither half-width is zero for laws that are very skewed.
    """
    if len(law.weights) == 1:
        sd = np.sqrt(law.scale2[0])
        return law.mean[0], sd, sd
    lower, upper = law.interval(SHAPE_LEVEL).T
    margin = (upper - lower) / 4
    centre, unit = np.clip(law.expectation, lower + margin, upper - margin), critical_value(SHAPE_LEVEL, law.df)
    return centre, (centre - lower) / unit, (upper - centre) / unit


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
