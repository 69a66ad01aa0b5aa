r"""Posterior of the smoothing of each of many curves, as a few weighted nodes: what the intervals of `CurveFits` integrate over.

The posterior is that of `inference.marginal`: the restricted likelihood as a function of rho = log q, relative to the noise if
that is estimated, times Jeffreys' prior. Both are evaluated on a lattice of each curve, which is narrowed to where the density
matters. The derivatives of the log determinant in the prior are differences along the lattice that are exact for exp(+-rho) and
exp(+-2 rho): in the tails these dominate, and the first of them cancels in the prior.

A Gaussian quadrature rule for the weighted lattice (Golub & Welsch 1969; its recurrence by Stieltjes' procedure) replaces it by 4
to 16 nodes, fewer if the posterior is narrow (`NODES`); n of them integrate polynomials of rho of degree 2 n - 1 exactly. Ends of
95 % intervals of f are then within 2 % of a half-width of those of a single fit, those of f'' within 4 %.

References
----------
G. H. Golub & J. H. Welsch (1969), Calculation of Gauss quadrature rules. Math. Comp. 23, 221-230.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._core import _kernels
from .._validation import FloatArray
from ..inference.engine import Expansion, information_of_scales
from ..inference.marginal import log_prior
from ..markov.sampling import IntArray
from .batch import Batch

# Nodes of posteriors of rho, up to each SD of it. With more of them no end of 2250 curves of 10 to 100 observations moves by more
# than 1.7 % of a half-width of f, 3.7 % of f''.
NODES = {0.7: 4, 0.85: 5, 1.0: 6, 1.5: 9, np.inf: 16}
SCAN = 24  # points of the first lattice, which finds where the density matters
POINTS = 40  # of those that follow
MARGIN = 3  # points at either end, which serve differences only
CUT = 11.0  # fall of the log density beyond which it does not matter
RESOLVED = 12  # points that matter, of a lattice that is fine enough
FINE = 0.8  # step of log q at which differences are right to a percent
LEAST_RATE = 0.1  # a step, of the exponentials for which differences are exact: below, rounding would spoil their weights
FULL = 0.8  # fraction of a lattice that matters, at which narrowing it is no use
NARROWINGS = 12
BEYOND = np.array([3.0, 12.0])  # of log q, by which the lattice goes beyond bandwidths of the range and of the smallest gap


class CurveNodes(NamedTuple):
    """Weighted nodes of S curves."""

    q: FloatArray  # (S, L), scaled, relative to the noise if that is estimated
    weights: FloatArray  # (S, L); NaN for a curve whose lattice shows nothing
    scale2: FloatArray  # (S, L): estimates of the variance of the noise at each node, or ones


def curve_nodes(batch: Batch, order: int, relative: bool, threads: int) -> CurveNodes:
    """Nodes of each curve; `relative` if the variance of the noise is unknown."""
    ends, n_inner = _widest(batch, order), POINTS - 2 * MARGIN
    rho, weights = np.empty((len(batch), n_inner)), np.empty((len(batch), n_inner))
    left = np.arange(len(batch))
    for narrowing in range(NARROWINGS):
        is_scan = narrowing == 0
        lattice = ends[left, :1] + np.diff(ends[left], axis=1) * np.linspace(0, 1, SCAN if is_scan else POINTS)
        density = _log_density(batch, left, order, lattice, relative, threads)
        matters = density > -CUT
        first, last = matters.argmax(axis=1), matters.shape[1] - 1 - matters[:, ::-1].argmax(axis=1)
        coarse = np.arange(len(left))
        if not is_scan:
            rho[left], weights[left] = lattice[:, MARGIN:-MARGIN], np.exp(density)
            is_coarse = (lattice[:, 1] - lattice[:, 0] > FINE) & (last - first < FULL * n_inner)
            coarse = np.flatnonzero((matters.sum(axis=1) < RESOLVED) | is_coarse)
        if not len(coarse):
            break
        first, last = first[coarse] + MARGIN - 1, last[coarse] + MARGIN + 1
        inward = np.stack([lattice[coarse, first], lattice[coarse, last]], axis=1)
        room = (inward[:, 1:] - inward[:, :1]) / n_inner * MARGIN
        ends[left[coarse]] = inward + room * np.array([-1.0, 1.0])
        left = left[coarse]
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0, weights, 1.0)
    nodes, weights = _rules(rho, weights / weights.sum(axis=1, keepdims=True))
    weights[total[:, 0] == 0] = np.nan
    scale2 = np.ones_like(nodes)
    used = weights.shape[1] - (weights > 0)[:, ::-1].argmax(axis=1)
    for n_nodes in np.unique(used).tolist() if relative else []:
        some = np.flatnonzero(used == n_nodes)
        sse = _kernels.terms_many(batch.series, some, order, np.exp(nodes[some, :n_nodes]), threads)[1]
        scale2[some, :n_nodes] = sse / (batch.counts[some] - order)[:, None]
    return CurveNodes(np.exp(nodes), weights, scale2)


def _widest(batch: Batch, order: int) -> FloatArray:
    """Ends (S, 2) of log q beyond which no curve has any posterior."""
    first = batch.start[:-1]
    length = np.add.reduceat(batch.delta, first)
    gap = np.minimum.reduceat(np.where(batch.delta > 0, batch.delta, np.inf), first)
    log_density = np.log(np.add.reduceat(1 / batch.ratio, first) / length)
    powers = 2.0 * (order - np.arange(int(batch.deriv.max()) + 1))
    low = -log_density - np.max(powers * np.log(3 * length)[:, None], axis=1)
    high = -log_density - np.min(powers * np.log(gap / 3)[:, None], axis=1)
    return np.asarray(np.stack([low, high], axis=1) + BEYOND * np.array([-1.0, 1.0]))


def _log_density(batch: Batch, curves: IntArray, order: int, lattice: FloatArray, relative: bool, threads: int) -> FloatArray:
    """Log posterior density of some curves at all but the outermost `MARGIN` points of their lattices (C, K), at most zero."""
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
    return np.asarray(density - np.where(np.isfinite(highest), highest, 0.0))


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


def _rules(rho: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gaussian rules (S, most nodes) of weighted lattices (S, K), by as many nodes as each needs; the others have weight zero."""
    mean = (weights * rho).sum(axis=1, keepdims=True)
    sd = np.sqrt((weights * (rho - mean) ** 2).sum(axis=1))
    nodes, found = np.repeat(mean, max(NODES.values()), axis=1), np.zeros((len(rho), max(NODES.values())))
    place = np.searchsorted(list(NODES), sd)
    for i, n_nodes in enumerate(NODES.values()):
        some = np.flatnonzero(place == i)
        nodes[some, :n_nodes], found[some, :n_nodes] = gauss_rule(rho[some], weights[some], n_nodes)
    return nodes, found


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
