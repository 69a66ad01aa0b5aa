"""Losses other than squares, by squares with weights that follow the residuals.

With u_i = (y_i - L_i f) / s_i, s_i the noise sd of a reading by the scale of its name, the fit minimises
sum_i rho(u_i) + sum_j tau_j c'P_j c:

- ``huber``:     rho(u) = u^2 up to |u| = k, 2 k |u| - k^2 beyond (Huber 1964); weight min(1, k / |u|), k = 1.345
- ``expectile``: rho(u) = 2 |level - (u < 0)| u^2 (Newey & Powell 1987); weight 2 level above the curve, 2 (1 - level) below

Given the weights it is a weighted least squares fit; weights and fits alternate until nothing moves (Holland & Welsch 1977). The
scale of a name whose sd is unknown is median |y - L f| / 0.6745 at weight one (only ``huber`` needs one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .._validation import FloatArray, frozen
from ..errors import ConvergenceError, SpecificationError
from .rows import Rows

if TYPE_CHECKING:
    from .results import SplineRegressionResults

MOST_STEPS = 500
STILL = 1e-9  # of the spread of residuals: a fit that moves less has come to rest
LOSSES = ("huber", "expectile")
NORMAL_MAD = float(stats.norm.ppf(0.75))

Fit = Callable[[Rows], "SplineRegressionResults"]


def check_loss(loss: object, parameter: float | None) -> float:
    """Return the parameter of a loss: Huber's k, or the level of an expectile."""
    if loss not in LOSSES:
        raise SpecificationError(f"loss is {loss!r}; pass one of {', '.join(map(repr, LOSSES))}")
    value = {"huber": 1.345, "expectile": 0.5}[str(loss)] if parameter is None else float(parameter)
    if not value > 0 or not np.isfinite(value) or (loss == "expectile" and value >= 1):
        what = "lies between 0 and 1" if loss == "expectile" else "is positive"
        raise SpecificationError(f"parameter is {parameter}; for loss={loss!r} it {what}")
    return value


def reweighted(rows: Rows, loss: str, parameter: float, fit: Fit) -> tuple[SplineRegressionResults, FloatArray]:
    """The fit at rest and the weights (n,) that its residuals ask for."""
    results = fit(rows)
    weights = np.ones(len(rows))
    for _ in range(MOST_STEPS):
        before = results.fittedvalues
        weights = _weights(rows, rows.observations.y - before, loss, parameter)
        results = fit(_with_weights(rows, weights))
        move = np.abs(results.fittedvalues - before)
        spread = np.array([np.std(part) for part in rows.per_name(rows.observations.y - before)])
        limit = np.repeat(STILL * spread, [len(reading) for reading in rows.observations.readings])
        if (move <= limit).all():
            return results, weights
    raise ConvergenceError(f"the weights of loss={loss!r} do not come to rest in {MOST_STEPS} steps; fix the smoothing (lam=)")


def _weights(rows: Rows, residuals: FloatArray, loss: str, parameter: float) -> FloatArray:
    if loss == "expectile":
        return np.asarray(2 * np.abs(parameter - (residuals < 0)))
    u = residuals / np.sqrt(rows.ratio)
    parts = []
    for part, group in zip(rows.per_name(u), rows.group_of_name, strict=True):
        scale = float(np.median(np.abs(part))) / NORMAL_MAD if group < len(rows.unknown) else 1.0
        size = np.abs(part)
        parts.append(np.where(size > parameter * scale, parameter * scale / np.where(size > 0, size, 1.0), 1.0))
    return np.concatenate(parts)


def _with_weights(rows: Rows, weights: FloatArray) -> Rows:
    """The rows with weights (n,) beside those that they have."""
    observations: Any = rows.observations
    readings = tuple(
        replace(reading, weights=frozen(own if reading.weights is None else own * reading.weights))
        for reading, own in zip(observations.readings, rows.per_name(weights), strict=True)
    )
    return replace(rows, observations=replace(observations, readings=readings))
