"""Descent with Levenberg's damping: the search of least squares, of scoring and of Newton's method for equations.

Slope and curvature at a point (J'r and J'J of residuals r, or gradient and Hessian, exact or expected) make a quadratic model of
what is minimised. Its step is damped as much as it takes to come lower; the damping is relative to a curvature with ones on its
diagonal. The search has converged if the decrement g'H^-1 g is negligible. `newton` and `descent` are the searches over logarithms
within bounds; here steps are those of coordinates that may change from point to point, and the caller moves along them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .._log import logger
from .._validation import FloatArray

FACTOR = 10.0  # by which the damping grows until a step leads lower, and falls after one that does
LEAST = 1e-10  # damping, below which there is none
FIRST = 1e-6  # after a step without damping that leads nowhere
TRIES = 30  # of a step
COLLINEAR = 1e-12  # of a Hessian with ones on its diagonal: a curvature that is rounding
DEPENDENT = 1e-14  # of the largest singular value of derivatives whose columns have length one

Point = TypeVar("Point")


class Quadratic(NamedTuple):
    """A quadratic model of what is minimised.

    Its Hessian (p, p), zero for coordinates that are held; along its axes (p, k) slope and curvature (k,), this in absolute value;
    the unit of the decrement; and the least damping of a step.
    """

    hessian: FloatArray
    slope: FloatArray
    curvature: FloatArray
    axes: FloatArray
    is_convex: bool = True
    noise: float = 1.0
    least: float = 0.0

    @classmethod
    def of_hessian(cls, gradient: FloatArray, hessian: FloatArray, free: npt.NDArray[np.bool_]) -> Quadratic:
        """The model of a gradient (p,) and a Hessian (p, p) along coordinates that are free."""
        hessian = np.outer(free, free) * hessian
        scale = np.sqrt(np.maximum(np.abs(hessian.diagonal()[free]), 1e-300))
        curvature, own = np.linalg.eigh(hessian[np.ix_(free, free)] / np.outer(scale, scale))
        axes = np.zeros((len(free), len(curvature)))
        axes[free] = own / scale[:, None]
        strength = np.maximum(np.abs(curvature), COLLINEAR)
        return cls(hessian, axes.T @ gradient, strength, axes, bool((curvature > 0).all()), least=LEAST)

    @classmethod
    def of_residuals(cls, J: FloatArray, r: FloatArray, noise: float, rounding: float = 0.0) -> Quadratic:
        """The model of |r|^2 / 2, J (n, p) the derivatives of r; what they explain of r counts if it is above `rounding`."""
        scale = lengths(J)
        U, s, Vt = np.linalg.svd(J / scale, full_matrices=False)
        kept = s > DEPENDENT * s.max(initial=0.0)
        along = U.T[kept] @ r
        if np.linalg.norm(along) <= rounding:
            along = np.zeros(len(along))
        return cls(J.T @ J, s[kept] * along, s[kept] ** 2, Vt[kept].T / scale[:, None], noise=noise)

    @property
    def decrement(self) -> float:
        """Twice what the minimum of the model lies below the point."""
        return float(self.slope @ (self.slope / self.curvature)) / self.noise

    @property
    def inverse(self) -> FloatArray:
        """The inverse of the Hessian."""
        return np.asarray((self.axes / self.curvature) @ self.axes.T)

    def step(self, damping: float) -> FloatArray:
        """The damped step (p,) towards the minimum."""
        return np.asarray(-self.axes @ (self.slope / (self.curvature + max(damping, self.least))))


def lengths(J: FloatArray) -> FloatArray:
    """Lengths of columns; one of those that are zero."""
    found = np.linalg.norm(J, axis=0)
    return np.where(found > 0, found, 1.0)


def descend(
    point: Point,
    model: Callable[[Point], Quadratic],
    lower: Callable[[Point, FloatArray, Quadratic], Point | None],
    tolerance: float,
    most: int,
    damping: float = 0.0,
    slow: tuple[float, float] = (np.inf, 0.0),
) -> tuple[Point, Quadratic, int]:
    """Go down to a decrement of `tolerance`, or until no step leads lower or `most` are taken: the caller checks the decrement.

    `lower` returns the point after a step of a model, or None if it is not lower. After `slow[0]` steps a decrement of `slow[1]`
    is enough. Returns the point, its model, and how many steps it took.
    """
    for iteration in range(most + 1):
        at = model(point)
        logger.debug("damped descent, iteration %d: decrement %.3g", iteration, at.decrement)
        enough = slow[1] if iteration >= slow[0] else tolerance
        if iteration == most or (at.is_convex and at.decrement <= enough):
            break
        for _ in range(TRIES):
            found = lower(point, at.step(damping), at)
            if found is not None:
                break
            damping = max(FACTOR * damping, FIRST)
        else:
            break
        point, damping = found, damping / FACTOR if damping > LEAST else 0.0
    return point, at, iteration
