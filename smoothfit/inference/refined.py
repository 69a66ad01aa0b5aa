"""Many nodes of a posterior, for quantiles of what is a number at each node.

The curve is a mixture of wide laws, for which some ten nodes along a parameter are enough, or a few hundred sampled ones. A scale,
a lag, a length scale, a coefficient of y in an equation, or an SD where others are given, is a number at each node, and its
distribution function has steps: of 256 sampled ones six lie beyond each end of a 95 % interval, which was wrong by 0.1 to 0.2 of a
half-width, and of a lattice along the axis of the parameter by up to 0.1. A parameter that has a law at each node, as an SD does
where the common scale is estimated, has fewer steps, but ends were wrong by up to 0.08 where that law is narrow.

Here the log density is interpolated between the points at which it was computed, by quintic radial basis functions about a
quadratic polynomial (M. Buhmann 2003, *Radial Basis Functions*), which is exact for a normal density, and integrated at POINTS
quasi-random points, which cost no likelihood: even ones among a lattice, those of a split-t law among sampled nodes. CHECKED of
these, drawn by their weights, are computed as well: they find where the interpolant is too high, in tails without points. It is
made anew with them, and others are drawn until it is right to GOOD. Beside lattices of 400 nodes, or 130 by 130, ends of one
parameter are then right to 0.0005 of a half-width, of two to 0.01 (numbers) and 0.002 (SDs and intensities).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from .._validation import FloatArray, frozen
from .engine import Likelihood
from .marginal import MOST_ON_A_LATTICE, HyperparameterPosterior, density_of, resampled, significant
from .nodes import Density, Nodes, Shape, filled, log_split_t, mean_and_covariance, normalised, refitted, sobol, split_t
from .stretched import Stretched

POINTS, FEWEST = 2**13, 512.0  # and how many of them are effective at least, if they are sampled
FEW = 2**10  # points of one parameter
CHECKED, ROUNDS = 16, 4  # points checked in a round, in units of the number of parameters
GOOD = 0.1  # root mean square error of a log density; in a distribution function errors average out further
CUT = 12.0  # fall of the log density beyond which known points are not interpolated
REACH = 2.0  # steps of a lattice by which points may lie beyond it
DEEPEST = 25.0  # fall of a checked point, at most
MOST_KNOWN = 2500  # points of an interpolant, which costs their third power: half a second
A_TERM = 2  # nodes for each term of a quadratic polynomial, at least


def refined(engine: Likelihood, posterior: HyperparameterPosterior, units: FloatArray | None = None) -> HyperparameterPosterior:
    """The posterior at many nodes; itself if it has few, or given ones.

    `units` (p,) are those of coordinates that are no logarithms: the points lie along axes of a covariance in these units.
    """
    found, p = posterior.found, posterior.theta.shape[1]
    if found is None or len(posterior.theta) < A_TERM * (p + 1) * (p + 2) / 2:
        return posterior
    units = np.ones(p) if units is None else units
    known = None if posterior.known is None else posterior.known.copy()
    density = density_of(engine, found.theta[np.argmax(found.log_density)], known).in_units(units)
    theta, weights = many(density, found._replace(theta=found.theta / units))
    fine = replace(posterior, theta=frozen(theta * units), weights=frozen(weights), found=None, known=None)
    return replace(fine, scale2=frozen(carried(posterior, fine, posterior.scale2[:, None], np.ones(1, np.bool_))[:, 0]))


def carried(
    posterior: HyperparameterPosterior, fine: HyperparameterPosterior, values: FloatArray, is_log: npt.NDArray[np.bool_]
) -> FloatArray:
    """Values (N, m) at refined nodes of smooth functions of theta that are known at those of a posterior (L, m).

    `is_log` (m,): of which the logarithms are interpolated, as these are linear in theta for variances and scales.
    """
    if fine is posterior:
        return values
    smooth, kept = np.where(is_log, np.log(np.where(is_log, values, 1.0)), values), _at_all_heights(posterior.weights)
    found = interpolated(posterior.theta[kept], smooth[kept], fine.theta, posterior.mean, posterior.cov)
    return np.where(is_log, np.exp(np.where(is_log, found, 0.0)), found)


def many(density: Density, found: Nodes) -> tuple[FloatArray, FloatArray]:
    """Many points (N, p) of a density, given nodes of it, and their weights; these nodes if it is too rough."""
    if found.ends is not None:
        stretched = Stretched(density, found.ends)
        at, weights = many(stretched.density, stretched.nodes(found))
        return stretched.theta(at), weights
    theta, logs, p = found.theta, found.log_density, found.theta.shape[1]
    mean, cov = mean_and_covariance(theta, found.weights)
    shape, highest = refitted(Shape(mean, np.eye(p), np.ones((2, p))), theta, found.weights), logs.max()
    kept = np.flatnonzero(logs > highest - CUT)
    points, log_proposal = _among(theta[kept], shape, density)
    kept = kept[_at_all_heights(logs[kept])]
    theta, logs = theta[kept], logs[kept]
    log_new = np.zeros(len(points))  # minus infinity of those that were computed
    for _ in range(ROUNDS):
        guess = interpolated(theta, logs, points, mean, cov)
        drawn = resampled(points, normalised(guess - log_proposal + log_new), CHECKED * p)[0]
        exact = np.maximum(filled(density(points[drawn])), highest - DEEPEST)
        theta, logs = np.vstack([theta, points[drawn]]), np.append(logs, exact)
        log_new[drawn] = -np.inf
        if np.std(exact - guess[drawn]) < GOOD:
            weights = normalised(interpolated(theta, logs, points, mean, cov) - log_proposal)
            if p <= MOST_ON_A_LATTICE or 1 / np.sum(weights**2) >= FEWEST:
                return points, weights
            break
    return significant(found)[:2]


def _at_all_heights(density: FloatArray) -> npt.NDArray[np.intp]:
    """Indices of points of a density, or of its logarithm: of all, or of about `MOST_KNOWN` at all its heights."""
    every = -(-len(density) // MOST_KNOWN)
    return np.argsort(density)[::every] if every > 1 else np.arange(len(density))


def _among(known: FloatArray, shape: Shape, density: Density) -> tuple[FloatArray, FloatArray]:
    """Many points among known ones, beyond which the interpolant may rise, and the log density of their law.

    Of one or two parameters they are even, within `REACH` steps of the known ones, which are a lattice: one that is turned leaves
    gaps at bounds.
    """
    p = known.shape[1]
    if p > MOST_ON_A_LATTICE:
        points = split_t(shape, POINTS)
        inside = np.all((points >= known.min(axis=0)) & (points <= known.max(axis=0)), axis=1)
        return points[inside], log_split_t(shape, points[inside])
    scale = shape.sd.mean(axis=0)
    units = (known - shape.mode) @ shape.axes / scale
    nearest = KDTree(units)
    reach = REACH * float(np.median(np.asarray(nearest.query(units, 2)[0])[:, 1]))
    points = units.min(axis=0) - reach + sobol(p, FEW if p == 1 else POINTS) * (np.ptp(units, axis=0) + 2 * reach)
    points = shape.mode + points[nearest.query(points)[0] <= reach] * scale @ shape.axes.T
    points = points[np.all((points >= density.lower) & (points <= density.upper), axis=1)]
    return points, np.zeros(len(points))


def interpolated(known: FloatArray, values: FloatArray, theta: FloatArray, mean: FloatArray, cov: FloatArray) -> FloatArray:
    """Values (N, ...) at theta (N, p) of functions known at others (L, p), in units in which a law has the covariance one."""
    root = np.linalg.cholesky(cov)
    units, asked = (np.linalg.solve(root, (points - mean).T).T for points in (known, theta))
    found: FloatArray = np.asarray(RBFInterpolator(units, values, kernel="quintic", degree=2)(asked))
    return found
