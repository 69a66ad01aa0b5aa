r"""Coordinates in which a funnel is a ridge of constant width.

How well some variables a are known may depend on another one, phi, by orders of magnitude: the coefficients of an equation on the
logarithm of the process noise. In units of any one width the density has a narrow neck and a wide mouth, which a lattice or
sampled points represent poorly. Here theta = (a, phi) is written as

    a = mode(phi) + root(phi) z,

with the mode of the likelihood along a at each phi and a Cholesky factor of minus its inverse Hessian there, found at knots of phi
and interpolated between them. Any smooth functions would do: the density of (z, phi) is that of theta times det root(phi). Those
of the posterior would not: its prior has cusps, at the limit of stability.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from .._validation import FloatArray
from .nodes import CUT, Density, climb, filled, scan

SPACING = 1.0  # of knots in phi, a logarithm
BELOW = 4.0  # beyond the cut of a lattice, where no more knots are needed
WIDEST = 40.0  # range of z on either side
LEFT_OUT = 1e-3  # of the weight, in the outer half of that range
FIRST_SIZE = 0.1  # of a coefficient, from which the search for its mode starts


class Ridge(NamedTuple):
    """Mode along a given phi, the factor there, and the logarithm of Laplace's approximation of the integral over a."""

    mode: FloatArray
    root: FloatArray
    log_integral: float


@dataclass(frozen=True, eq=False)
class Standardized:
    """The coordinates, by knots phi (K,) with modes (K, m) and factors (K, m, m)."""

    knots: FloatArray
    mode: FloatArray
    root: FloatArray

    @cached_property
    def _between(self) -> PchipInterpolator:
        """Modes, logarithms of the diagonals of the factors, and their other entries over these."""
        diagonal = np.diagonal(self.root, axis1=1, axis2=2)
        i, j = np.tril_indices(self.mode.shape[1], -1)
        beside = self.root[:, i, j] / diagonal[:, i]
        values = np.hstack([self.mode, np.log(diagonal), beside])
        if len(self.knots) > 1:
            return PchipInterpolator(self.knots, values)
        return PchipInterpolator(self.knots[0] + np.array([-1.0, 1.0]), np.repeat(values, 2, axis=0))

    def _at(self, phi: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Modes (L, m), factors (L, m, m) and the logarithms of their determinants (L,); constant beyond the knots."""
        m = self.mode.shape[1]
        found = self._between(np.clip(phi, self.knots[0], self.knots[-1]))
        diagonal = np.exp(found[:, m : 2 * m])
        root = np.zeros((len(phi), m, m))
        i, j = np.tril_indices(m, -1)
        root[:, i, j] = found[:, 2 * m :]
        root[:, np.arange(m), np.arange(m)] = 1.0
        return found[:, :m], root * diagonal[:, :, None], found[:, m : 2 * m].sum(axis=1)

    def hold(self, points: FloatArray, weights: FloatArray) -> bool:
        """Whether nearly all weighted points are far from the ends of z, beyond which there may be more."""
        return bool(weights[np.abs(points[:, :-1]).max(axis=1) > WIDEST / 2].sum() < LEFT_OUT)

    @property
    def middle(self) -> FloatArray:
        """A point (m + 1,) on the ridge."""
        return np.append(np.zeros(self.mode.shape[1]), self.knots[len(self.knots) // 2])

    def theta(self, points: FloatArray) -> FloatArray:
        """The theta (L, m + 1) of points (z, phi)."""
        return self._theta_and_volume(points)[0]

    def _theta_and_volume(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The theta (L, m + 1) of points, and the logarithms of the volumes that a unit of (z, phi) has there (L,)."""
        mode, root, log_volume = self._at(points[:, -1])
        return np.column_stack([mode + np.einsum("lij,lj->li", root, points[:, :-1]), points[:, -1]]), log_volume

    def density(self, density: Density) -> Density:
        """A density of theta as one of (z, phi)."""

        def at(points: FloatArray) -> FloatArray:
            theta, log_volume = self._theta_and_volume(points)
            return density(theta) + log_volume

        wide = np.full(self.mode.shape[1], WIDEST)
        return Density(at, np.append(-wide, density.lower[-1]), np.append(wide, density.upper[-1]))


def standardized(likelihood: Density, start: FloatArray) -> Standardized | None:
    """Coordinates by a walk along the ridge of a likelihood, from the best point of a scan; None if there is no ridge.

    The walk ends where the likelihood has fallen to what a lattice leaves out, where it has no mode, and at the bounds.
    """
    points, values = scan(likelihood, start)
    best = points[int(np.argmax(values))]
    a, phi = best[:-1], float(best[-1])
    root = np.diag(np.where(a != 0, FIRST_SIZE * np.abs(a), (likelihood.upper - likelihood.lower)[:-1] / 2**10))
    middle = _climbed(likelihood, a, root, phi)
    if middle is None:
        return None
    found = {phi: middle}
    for sign in (-1, 1):
        last, highest = middle, middle.log_integral
        for knot in _knots(phi, sign, likelihood.lower[-1], likelihood.upper[-1]):
            here = _climbed(likelihood, last.mode, last.root, knot)
            if here is None or here.log_integral <= highest - CUT - BELOW:
                break
            found[knot] = last = here
            highest = max(highest, here.log_integral)
    order = sorted(found)
    return Standardized(np.array(order), *(np.array([found[k][part] for k in order]) for part in range(2)))


def _knots(phi: float, sign: int, lower: float, upper: float) -> Iterator[float]:
    """Knots from phi on in one direction, up to the bound."""
    knot = phi + sign * SPACING
    while lower < knot < upper:
        yield knot
        knot += sign * SPACING


def _climbed(likelihood: Density, a: FloatArray, root: FloatArray, phi: float) -> Ridge | None:
    """The ridge at a given phi, by a search from a in units of `root`; None if there is no mode near."""

    def along(units: FloatArray) -> FloatArray:
        return likelihood(np.column_stack([a + units @ root.T, np.full(len(units), phi)]))

    everywhere = np.full(len(a), np.inf)
    mine = Density(along, -everywhere, everywhere)
    if not np.isfinite(filled(mine(np.zeros((1, len(a)))))[0]):
        return None
    mode, hessian, is_mode = climb(mine, np.zeros(len(a)))
    if not is_mode:
        return None
    covariance = root @ np.linalg.inv(-hessian) @ root.T
    factor = np.linalg.cholesky((covariance + covariance.T) / 2)
    value = float(filled(mine(mode[None]))[0])
    return Ridge(np.asarray(a + root @ mode), np.asarray(factor), value + float(np.log(np.diagonal(factor)).sum()))
