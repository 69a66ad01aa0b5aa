r"""Coordinates in which a density that is high at its bounds falls to zero there.

A variance that the observations do not show, or that is nearly zero as in exact observations, has a density that is highest at
the lower bound of a search. The trapezoidal rule is right to the first power of its step there, so that a lattice would be refined
until it has thousands of nodes. With t = (theta - lower) / (upper - lower) and the coordinate u from zero to one,

    t = u^3 / (u^3 + (1 - u)^3),   dt / du = 3 u^2 (1 - u)^2 / (u^3 + (1 - u)^3)^2,

the density of u vanishes at both ends as u^2 does, and the rule is right to the third power of the step, wherever its nodes lie
(A. Sidi 1993, "A new variable transformation for numerical integration"). Coordinates are u times the range, of the size of
logarithms. An exponential law of any scale takes some ten nodes, of which the nearest to the bound is at 0.02 of the scale: nodes
remain far enough apart to interpolate between them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .nodes import Density, Nodes, filled

HIGH = 6.0  # fall of the log density at a bound, up to which it counts as high there: what is cut off matters at steps of 0.75 SD
ROUNDING = 1e-9  # of the range, by which points of a scan may miss its end
INWARD = 8  # halvings of the coordinate, along which a start at a bound moves inwards: down to 1e-7 of the range


class Stretched:
    """A density in coordinates that are stretched at the bounds of some variables.

    Attributes
    ----------
    density : Density
        That of the coordinates, which are theta for the other variables.
    """

    def __init__(self, of: Density, which: npt.NDArray[np.bool_]):
        self._of, self._which, self._range = of, which, np.where(which, of.upper - of.lower, 1.0)
        lower, upper = np.where(which, 0.0, of.lower), np.where(which, self._range, of.upper)
        self.density = Density(
            lambda at: of(self.theta(at)) + self.log_slope(at), lower, upper, theta=lambda at: of.theta(self.theta(at))
        )

    def theta(self, at: FloatArray) -> FloatArray:
        """Theta (..., p) at coordinates (..., p)."""
        u = np.where(self._which, at / self._range, 0.5)
        return np.where(self._which, self._of.lower + self._range * u**3 / (u**3 + (1 - u) ** 3), at)

    def log_slope(self, at: FloatArray) -> FloatArray:
        """Logarithms (L,) of the derivatives of theta by the coordinates."""
        u = np.where(self._which, at / self._range, 0.5)
        with np.errstate(divide="ignore"):
            logs = np.log(3 * (u * (1 - u) / (u**3 + (1 - u) ** 3)) ** 2)
        return np.asarray(np.where(self._which, logs, 0.0).sum(axis=1))

    def coordinates(self, theta: FloatArray) -> FloatArray:
        """Coordinates (L, p) of theta (L, p)."""
        t = np.where(self._which, (theta - self._of.lower) / self._range, 0.5)
        below, above = np.cbrt(t), np.cbrt(1 - t)
        return np.where(self._which, self._range * below / (below + above), theta)

    def nodes(self, found: Nodes) -> Nodes:
        """Nodes of the density in coordinates."""
        at = self.coordinates(found.theta)
        return found._replace(theta=at, log_density=found.log_density + self.log_slope(at), ends=None)

    def restored(self, found: Nodes) -> Nodes:
        """Nodes of the density of theta, given nodes in coordinates."""
        logs = found.log_density - self.log_slope(found.theta)
        return found._replace(theta=self.theta(found.theta), log_density=logs, ends=self._which)

    def inside(self, start: FloatArray) -> FloatArray:
        """Coordinates (p,) near theta (p,), off the bounds if it lies there: where the density of the coordinates is highest."""
        at = self.coordinates(start[None])[0]
        shares = 2.0 ** -np.arange(1, INWARD + 1)[:, None] * self._range
        points = np.where(self._which & (at <= 0), shares, np.where(self._which & (at >= self._range), self._range - shares, at))
        return np.asarray(points[np.argmax(filled(self.density(points)))])


def high_ends(density: Density, points: FloatArray, bounds: FloatArray) -> npt.NDArray[np.bool_]:
    """Which variables have a density at one of their bounds that is high (p,), given points (L, p) and upper bounds of it there."""
    highest, found = float(density(points[[np.argmax(bounds)]])[0]), np.zeros(points.shape[1], np.bool_)
    lower, upper = density.lower, density.upper
    for end in (lower, upper):
        for i, is_there in enumerate((np.abs(points - end) <= ROUNDING * (upper - lower)).T):
            if is_there.any():
                there = points[is_there][np.argmax(bounds[is_there])]
                there[i] = end[i]
                found[i] |= bool(density(there[None])[0] > highest - HIGH)
    return found
