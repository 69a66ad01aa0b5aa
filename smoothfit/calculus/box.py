"""Search for critical points in a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize
from scipy.stats import qmc

from .._validation import EPS, FloatArray
from ..errors import DataError
from .inertia import CriticalPoint, Inertia, classified
from .lines import real_array
from .numeric import gradient, hessian
from .partials import GradientField

MIDDLE = 0.4871  # a point inside the box at which nothing special is to be expected
POLISH = 60
DEGENERATE = 1e4  # times the distance at which two points are one


def in_box(
    f: Callable[..., Any],
    grad: Any,
    hess: Any,
    lower: FloatArray,
    upper: FloatArray,
    n_starts: int,
    rng: np.random.Generator,
    rtol: float,
) -> list[CriticalPoint]:
    """Critical points of a function of a vector: sought with a fast gradient, accepted by a verified one."""
    width = upper - lower
    field = GradientField.of(f, (), lower + width * MIDDLE, (lower, upper), 1.0, "auto") if grad is None else None

    def slope(x: FloatArray) -> FloatArray:
        return np.asarray(grad(x) if field is None else field(x[:, None])[0], dtype=np.float64)

    def curvature(x: FloatArray) -> FloatArray:
        if hess is None:
            return hessian(f, x, grad=grad, bounds=(lower, upper)).value
        H = real_array(hess(x.copy()), "hess")
        if H.shape != (len(x), len(x)):
            raise DataError(f"hess gives shape {H.shape}; a Hessian of {len(x)} variables is ({len(x)}, {len(x)})")
        return (H + H.T) / 2

    points: list[CriticalPoint] = []
    for start in lower + width * _sobol(n_starts, len(lower), rng):
        if not np.isfinite(slope(start)).all():
            continue
        # to the precision at which Newton's steps go on
        settings: Any = {"bounds": (lower, upper), "x_scale": width, "xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12}
        sought = optimize.least_squares(slope, start, jac="2-point" if hess is None else curvature, **settings)
        if _is_among(points, sought.x, rtol * width):
            continue
        point = _polished(f, grad, curvature, np.asarray(sought.x), lower, upper, rng, rtol)
        if point.kind != "not critical" and not _is_among(points, point.x, rtol * width):
            points.append(point)
    return sorted(points, key=lambda point: (point.value, *point.x))


def _sobol(n: int, dimension: int, rng: np.random.Generator) -> FloatArray:
    """Sobol points in the unit cube, (n, dimension), all shifted by one random vector (Cranley and Patterson 1976)."""
    sampler: Any = qmc.Sobol(dimension, scramble=False)
    points = sampler.random_base2(int(np.ceil(np.log2(n))))[:n]
    return np.asarray((points + rng.random(dimension)) % 1)


def _polished(
    f: Callable[..., Any],
    grad: Any,
    curvature: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    rng: np.random.Generator,
    rtol: float,
) -> CriticalPoint:
    """Newton's steps to the zero of the gradient, which is approached by thirds only where the Hessian is singular."""
    width = upper - lower
    numeric = gradient(f, x, bounds=(lower, upper)) if grad is None else None
    g = np.asarray(grad(x), dtype=np.float64) if numeric is None else numeric.value
    noise = EPS * np.abs(g) if numeric is None else numeric.error
    H = curvature(x)
    for _ in range(POLISH):
        if not (np.isfinite(H).all() and np.isfinite(g).all()):
            break
        step = np.linalg.lstsq(H, g, rcond=None)[0]
        if np.all(np.abs(step) <= rtol * width / 10) or np.any((x - step < lower) | (x - step > upper)):
            break
        x = x - step
        g = np.asarray(grad(x), dtype=np.float64) if grad is not None else gradient(f, x, bounds=(lower, upper)).value
        H = curvature(x)
    if not (np.isfinite(H).all() and np.isfinite(g).all()):
        return CriticalPoint(x, "not critical", Inertia(0, 0, len(x)), np.full(len(x), np.nan), np.inf, g)
    moved = np.clip(x + rtol * width * rng.choice([-1.0, 1.0], len(x)), lower, upper)
    spread = float(np.linalg.norm(curvature(moved) - H))
    value = float(np.asarray(f(x.copy())).item())
    return classified(x, g, noise, H, spread, rtol, float(width.min()), value)


def _is_among(points: list[CriticalPoint], x: FloatArray, distance: FloatArray) -> bool:
    """Whether x is one of the points, of which degenerate ones are found to fewer digits."""
    return any(np.all(np.abs(x - p.x) <= distance * (DEGENERATE if p.inertia.zero else 10)) for p in points)
