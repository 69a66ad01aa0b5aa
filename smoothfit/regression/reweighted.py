"""Losses other than squares, by squares with weights that follow the residuals.

With u_i = (y_i - L_i f) / s_i, s_i the noise SD of an observation by the scale of its series, the fit minimises
sum_i rho(u_i) + sum_j tau_j c'P_j c:

- ``huber``:     rho(u) = u^2 up to |u| = k, 2 k |u| - k^2 beyond (Huber 1964); weight min(1, k / |u|), k = 1.345
- ``bisquare``:  rho(u) = (1 - [1 - (u / c)^2]^3) c^2 / 3 up to |u| = c, constant beyond (Beaton & Tukey 1974); weight
  [1 - (u / c)^2]^2, none beyond, c = 4.685: an outlier has no influence at all. rho is not convex, so that the fit starts at
  Huber's, and is checked to be a minimum and no saddle at its scales.
- ``expectile``: rho(u) = 2 |level - (u < 0)| u^2 (Newey & Powell 1987); weight 2 level above the curve, 2 (1 - level) below

Given the weights it is a weighted least squares fit; weights and fits alternate until nothing moves (Holland & Welsch 1977). The
scale of a series whose SD is unknown is median |y - L f| / 0.6745 of observations of weight 1 (an expectile needs none).
``quantile`` is not a weighted fit: see the module ``smoothfit.regression.quantile``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from .._validation import FloatArray, frozen, shown
from ..errors import ConvergenceError, SpecificationError
from .band import multiply_factor
from .fit import Fit
from .rows import Rows

MOST_STEPS = 500
DEPENDENT = 1e-9  # of the largest curvature: a negative one beyond it is a saddle's
STILL = 1e-9  # of the spread of residuals: a fit that moves less has converged
ROUNDING = 16 * float(np.finfo(np.float64).eps)  # of the size of fitted values: they do not move by less
LOSSES = ("squares", "huber", "bisquare", "expectile", "quantile")
DEFAULTS = {"huber": 1.345, "bisquare": 4.685, "expectile": 0.5, "quantile": 0.5}
NORMAL_MAD = float(stats.norm.ppf(0.75))


def check_loss(loss: object, parameter: float | None) -> float:
    """Return the parameter of a loss: Huber's k, the c of the bisquare, or the level of an expectile or a quantile."""
    if not isinstance(loss, str) or loss not in LOSSES:
        is_noise = isinstance(loss, str) and loss == "student_t"
        hint = "; Student-t noise, loss='student_t', is of SmoothingSpline" if is_noise else ""
        raise SpecificationError(f"loss is {shown(loss)}; pass one of {', '.join(map(repr, LOSSES))}{hint}")
    if loss == "squares" and parameter is not None:
        raise SpecificationError("parameter belongs to a loss other than 'squares'; leave it out, or pass loss=")
    value = DEFAULTS.get(str(loss), 1.0) if parameter is None else float(parameter)
    is_level = loss in ("expectile", "quantile")
    if not value > 0 or not np.isfinite(value) or (is_level and value >= 1):
        what = "lies between 0 and 1" if is_level else "is positive"
        raise SpecificationError(f"parameter is {parameter}; for loss={loss!r} it {what}")
    return value


def reweighted(rows: Rows, loss: str, parameter: float, fit: Callable[[Rows], Fit]) -> tuple[Fit, FloatArray]:
    """The fit at rest and the weights (n,) that its residuals ask for."""
    weights = np.ones(len(rows))
    if loss == "bisquare":
        found, weights = reweighted(rows, "huber", DEFAULTS["huber"], fit)
    else:
        found = fit(rows)
    for _ in range(MOST_STEPS):
        before = found.fittedvalues
        weights = _weights(rows, rows.observations.y - before, loss, parameter)
        found = fit(_with_weights(rows, weights))
        move = np.abs(found.fittedvalues - before)
        spread = np.array([np.std(part) for part in rows.per_name(rows.observations.y - before)])
        level = np.array([np.abs(part).max() for part in rows.per_name(before)])
        limit = np.repeat(np.maximum(STILL * spread, ROUNDING * level), [len(reading) for reading in rows.observations.readings])
        if (move <= limit).all():
            if loss == "bisquare":
                _require_minimum(rows, found, parameter)
            return found, weights
    raise ConvergenceError(f"the weights of loss={loss!r} do not converge in {MOST_STEPS} steps; fix the smoothing (lam=)")


def _require_minimum(rows: Rows, fit: Fit, c: float) -> None:
    """Raise at a saddle: beyond c / sqrt 5 the second derivative (1 - v)(1 - 5 v), v = (u / c)^2, is negative."""
    residuals = rows.observations.y - fit.fittedvalues
    v = (residuals / np.sqrt(rows.ratio) / scales(rows, residuals) / c) ** 2
    curvature = np.where(v < 1, (1 - v) * (1 - 5 * v), 0.0)
    gained = _gram(rows, fit, np.maximum(curvature, 0.0)) + fit.penalty_gram()
    lost = _gram(rows, fit, np.maximum(-curvature, 0.0))
    columns = fit.moving
    balance = np.linalg.eigvalsh(columns.T @ (gained - lost) @ columns)
    if balance[0] < -DEPENDENT * balance[-1]:
        raise ConvergenceError(
            "the bisquare fit converged to no minimum of its loss: observations are divided between several curves; use "
            "loss='huber', a greater parameter, or more smoothing"
        )


def _gram(rows: Rows, fit: Fit, factors: FloatArray) -> FloatArray:
    """Sum of factor_i b_i b_i' / v_i over observations, (K, K)."""
    K = rows.n_coef
    roots = np.sqrt(factors / fit.sigma2[rows.group])
    R = [
        multiply_factor(part.scaled(own).factor(np.zeros(len(own)), K, part.width).R, np.eye(K))
        for part, own in zip(rows.white_parts, rows.per_name(roots), strict=True)
    ]
    return np.asarray(sum(own.T @ own for own in R))


def scales(rows: Rows, residuals: FloatArray) -> FloatArray:
    """Robust noise SD of the series of each observation (n,): median |u| / 0.6745, or one if it is known."""
    u, found = residuals / np.sqrt(rows.ratio), []
    for part, group in zip(rows.per_name(u), rows.group_of_name, strict=True):
        scale = float(np.median(np.abs(part))) / NORMAL_MAD if group < len(rows.unknown) else 1.0
        found.append(np.full(len(part), scale))
    return np.concatenate(found)


def _weights(rows: Rows, residuals: FloatArray, loss: str, parameter: float) -> FloatArray:
    if loss == "expectile":
        return np.asarray(2 * np.abs(parameter - (residuals < 0)))
    size = np.abs(residuals / np.sqrt(rows.ratio))
    bound = parameter * scales(rows, residuals)
    if loss == "bisquare":
        share = np.divide(size, bound, out=np.where(size > 0, np.inf, 0.0), where=bound > 0)
        return np.asarray(np.maximum(1 - share**2, 0.0) ** 2)
    return np.where(size > bound, bound / np.where(size > 0, size, 1.0), 1.0)


def _with_weights(rows: Rows, weights: FloatArray) -> Rows:
    """The rows with weights (n,) beside those that they have."""
    observations: Any = rows.observations
    readings = tuple(
        replace(reading, weights=frozen(own if reading.weights is None else own * reading.weights))
        for reading, own in zip(observations.readings, rows.per_name(weights), strict=True)
    )
    return replace(rows, observations=replace(observations, readings=readings))
