r"""Posterior of the smoothing of each of many curves, as a few weighted nodes: what the intervals of `CurveFits` integrate over.

The posterior is that of `inference.marginal`: the restricted likelihood as a function of rho = log q, relative to the noise if
that is estimated, times Jeffreys' prior. Both are evaluated on a lattice of each curve, which is narrowed to where the density
matters. The derivatives of the log determinant in the prior are differences along the lattice that are exact for exp(+-rho) and
exp(+-2 rho): in the tails these dominate, and the first of them cancels in the prior.

A Gaussian quadrature rule for the weighted lattice (Golub & Welsch 1969; its recurrence by Stieltjes' procedure) replaces it by 4
to 12 nodes, fewer if the posterior is narrow (`NODES`). Its variable is the number u = d log_det / d rho of effective degrees of
freedom beyond the polynomial: n nodes integrate polynomials of u of degree 2 n - 1 exactly. What is averaged is a curve and its
variance, which change little with rho where the curve is nearly a polynomial or nearly interpolates, and there u does not change
either. 99 % of 95 % intervals of f are then within 0.4 % of a half-width of dense quadrature, those of derivatives within 0.8 %.

References
----------
G. H. Golub & J. H. Welsch (1969), Calculation of Gauss quadrature rules. Math. Comp. 23, 221-230.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray, IntArray
from ..inference.engine import Expansion, information_of_scales
from ..inference.marginal import log_prior
from .batch import Batch

# Nodes of posteriors of rho, up to each SD of it. Beside the estimate, seven fill a pack of the kernels.
NODES = {0.65: 4, 0.8: 5, 1.1: 7, np.inf: 12}
WIDE = 13.0  # width in rho beyond which a first lattice finds where the density matters
SCAN = 24  # points of that lattice
POINTS, MORE_POINTS = 32, 48  # of the first lattice of other curves, and of those that follow
MARGIN = 3  # points at either end, which serve differences only
CUT = 11.0  # fall of the log density beyond which it does not matter
RESOLVED = 12  # points that matter, of a lattice that is fine enough
FINE = 0.8  # step of log q at which differences are right to a percent
LEAST_RATE = 0.1  # a step, of the exponentials for which differences are exact: below, rounding would spoil their weights
FULL = 0.75  # fraction of a lattice that matters, at which narrowing it is no use
NARROWINGS = 12


class CurveNodes(NamedTuple):
    """Weighted nodes of S curves."""

    q: FloatArray  # (S, L), scaled, relative to the noise if that is estimated
    weights: FloatArray  # (S, L); NaN for a curve whose lattice shows nothing


def curve_nodes(batch: Batch, likely: FloatArray, order: int, relative: bool, threads: int) -> CurveNodes:
    """Nodes of each curve, whose likelihood is low beyond `likely` (S, 2); `relative` if the variance of the noise is unknown."""
    nodes, weights = np.empty((2, len(batch), max(NODES.values())))
    ends, is_wide = likely.copy(), np.diff(likely, axis=1)[:, 0] > WIDE
    wide, left = np.flatnonzero(is_wide), np.flatnonzero(~is_wide)
    lattice = _lattice(likely[wide], SCAN)
    ends[wide] = _narrowed(lattice, _log_density(batch, wide, order, lattice, relative, threads)[0] > -CUT)
    for narrowing in range(1 + NARROWINGS):
        lattice = _lattice(ends[left], MORE_POINTS if narrowing else POINTS)
        density, slope = _log_density(batch, left, order, lattice, relative, threads)
        matters = density > -CUT
        ends[left] = _narrowed(lattice, matters)
        is_full = (np.diff(ends[left], axis=1)[:, 0] > FULL * (lattice[:, -1] - lattice[:, 0])) & (narrowing > 0)
        is_coarse = (lattice[:, 1] - lattice[:, 0] > FINE) & ~is_full
        again = ((matters.sum(axis=1) < RESOLVED) | is_coarse) & (narrowing < NARROWINGS)
        nodes[left[~again]], weights[left[~again]] = _rules(lattice[~again, MARGIN:-MARGIN], slope[~again], density[~again])
        left = np.append(left[again], wide) if narrowing == 0 else left[again]
        if not len(left):
            break
    return CurveNodes(np.exp(nodes), weights)


def _lattice(ends: FloatArray, n_points: int) -> FloatArray:
    """Lattices (S, n_points) that have ends (S, 2) without their margins."""
    return np.asarray(ends[:, :1] + np.diff(ends, axis=1) * (np.arange(-MARGIN, n_points - MARGIN) / (n_points - 2 * MARGIN - 1)))


def _narrowed(lattice: FloatArray, matters: npt.NDArray[np.bool_]) -> FloatArray:
    """Points (S, 2) of lattices (S, K) on either side of those that matter, which may be any but the margins."""
    first, last = matters.argmax(axis=1), matters.shape[1] - 1 - matters[:, ::-1].argmax(axis=1)
    around = np.stack([first + MARGIN - 1, last + MARGIN + 1], axis=1)
    return np.asarray(np.take_along_axis(lattice, around, axis=1))


def _log_density(
    batch: Batch, curves: IntArray, order: int, lattice: FloatArray, relative: bool, threads: int
) -> tuple[FloatArray, FloatArray]:
    """Log posterior density of some curves, at most zero, and u, at all but the outermost `MARGIN` points of lattices (C, K)."""
    log_det, sse = _kernels.terms_many(batch.series, curves, order, np.exp(lattice), threads)
    counts = batch.counts[curves] - order
    step = (lattice[:, 1] - lattice[:, 0])[:, None]
    n_points = lattice.shape[1]
    inner = slice(MARGIN, n_points - MARGIN)
    rises, bends = np.zeros((2, len(curves), n_points - 2 * MARGIN))
    for k, (first, second) in enumerate(zip(*_differences(step[:, 0]), strict=True), 1):
        after, before = (log_det[:, MARGIN + shift : n_points - MARGIN + shift] for shift in (k, -k))
        rises += first[:, None] * (after - before)
        bends += second[:, None] * ((after - log_det[:, inner]) - (log_det[:, inner] - before))
    slope, bend = rises / step, bends / step**2
    with np.errstate(divide="ignore"):
        misfit = counts[:, None] * np.log(sse[:, inner]) if relative else sse[:, inner]
    density = -(log_det[:, inner] + misfit) / 2
    for count in np.unique(counts).tolist():
        some = np.flatnonzero(counts == count)
        expansion = Expansion(log_det[some, inner].ravel(), slope[some].reshape(-1, 1), bend[some].reshape(-1, 1, 1))
        density[some] += log_prior(information_of_scales(expansion, count, relative), count).reshape(len(some), -1)
    density = np.where(np.isfinite(density), density, -np.inf)
    highest = density.max(axis=1, keepdims=True)
    return density - np.where(np.isfinite(highest), highest, 0.0), slope


def _differences(step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights (MARGIN, C) of central differences over 1, 2 .. `MARGIN` steps, for first and second derivatives by steps.

    First derivatives are exact for t, exp(+-s t) and exp(+-2 s t), second ones for exp(+-j s t), j = 1, 2, 3, and for linear
    functions; s is the step in log q.
    """
    k, rate = np.arange(1, MARGIN + 1), np.maximum(step, LEAST_RATE)[:, None, None] * np.arange(1, MARGIN + 1)[:, None]
    odd = np.concatenate([np.broadcast_to(2.0 * k, (len(step), 1, MARGIN)), 2 * np.sinh(rate[:, :-1] * k)], axis=1)
    even = 2 * (np.cosh(rate * k) - 1)
    slopes = np.concatenate([np.ones((len(step), 1, 1)), rate[:, :-1]], axis=1)
    return np.linalg.solve(odd, slopes)[:, :, 0].T, np.linalg.solve(even, rate**2)[:, :, 0].T


def _rules(rho: FloatArray, slope: FloatArray, density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gaussian rules (S, most nodes) of lattices (S, K) with log densities, by as many nodes as each needs.

    The others have weight zero; all have NaN for a curve whose density is zero.
    """
    weights = np.exp(density)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0, weights, 1.0)
    weights /= weights.sum(axis=1, keepdims=True)
    mean = (weights * rho).sum(axis=1, keepdims=True)
    sd = np.sqrt((weights * (rho - mean) ** 2).sum(axis=1))
    nodes, found = np.repeat(mean, max(NODES.values()), axis=1), np.zeros((len(rho), max(NODES.values())))
    place = np.searchsorted(list(NODES), sd)
    for i, n_nodes in enumerate(NODES.values()):
        some = np.flatnonzero(place == i)
        at, found[some, :n_nodes] = gauss_rule(slope[some], weights[some], n_nodes)
        nodes[some, :n_nodes] = _where(rho[some], slope[some], at)
    found[total[:, 0] == 0] = np.nan
    return nodes, found


def _where(rho: FloatArray, u: FloatArray, wanted: FloatArray) -> FloatArray:
    """Where increasing functions with values u at lattices rho (S, K) have the values `wanted` (S, n).

    Between two points, Newton's method for the cubic through them and their neighbours.
    """
    last = rho.shape[1] - 1
    place = np.clip((u[:, :, None] <= wanted[:, None, :]).sum(axis=1) - 1, 0, last - 1)
    left, right = (np.take_along_axis(u, place + k, axis=1) for k in (0, 1))
    before = np.take_along_axis(u, np.maximum(place - 1, 0), axis=1)
    after = np.take_along_axis(u, np.minimum(place + 2, last), axis=1)
    rise = right - left
    tilts = (right - before) / np.where(place > 0, 2, 1), (after - left) / np.where(place < last - 1, 2, 1)
    bend, turn = 3 * rise - 2 * tilts[0] - tilts[1], tilts[0] + tilts[1] - 2 * rise
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(rise > 0, (wanted - left) / rise, 0.5)
        for _ in range(2):
            step = (left + t * (tilts[0] + t * (bend + t * turn)) - wanted) / (tilts[0] + t * (2 * bend + 3 * t * turn))
            t = np.clip(t - np.where(np.isfinite(step), step, 0.0), 0, 1)
    return np.asarray(np.take_along_axis(rho, place, axis=1) + t * (rho[:, 1:2] - rho[:, :1]))


def gauss_rule(points: FloatArray, weights: FloatArray, n_nodes: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights (S, n_nodes) of the Gaussian quadrature rules of S weighted sets of points (S, K)."""
    mean = (weights * points).sum(axis=1, keepdims=True)
    sd = np.sqrt((weights * (points - mean) ** 2).sum(axis=1, keepdims=True))
    x = (points - mean) / sd
    jacobi = np.zeros((len(x), n_nodes, n_nodes))
    before, now = np.zeros_like(x), np.ones_like(x)  # orthonormal polynomials
    beta = np.zeros((len(x), 1))
    for k in range(n_nodes):
        alpha = (weights * x * now**2).sum(axis=1, keepdims=True)
        jacobi[:, k, k] = alpha[:, 0]
        after = (x - alpha) * now - beta * before
        beta = np.sqrt((weights * after**2).sum(axis=1, keepdims=True))
        if k + 1 < n_nodes:
            jacobi[:, k, k + 1] = jacobi[:, k + 1, k] = beta[:, 0]
        before, now = now, after / beta
    nodes, vectors = np.linalg.eigh(jacobi)
    return mean + sd * nodes, vectors[:, 0] ** 2
