"""Units of what is estimated: noise, and what is diffuse in a specification."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .._validation import FloatArray
from ..markov.process import Prior
from ..observations import Observations, Readings
from .specification import Specification

STEPS = (1.0, 0.38)  # in units of x, at which states move each other: within the first a harmonic may turn by half a cycle
STILL = 1e-12  # what a sine of half a cycle leaves


def noise_sds(
    observations: Observations, unknown: Sequence[str], variance: FloatArray, unit_of: Callable[[Readings], float]
) -> list[tuple[str, float, bool]]:
    """Name, sd and whether it is unknown, from scaled variances of the unknown series."""
    sds = []
    for reading in observations.readings:
        unit = unit_of(reading)  # whose squares are numbers, whatever the user's unit
        if reading.sd is None:
            sd = float(np.sqrt(variance[unknown.index(reading.name)])) * unit
        else:
            sd = float(np.sqrt(np.mean((reading.sd / unit) ** 2))) * unit
        sds.append((reading.name, sd, reading.sd is None))
    return sds


def log_det_units(specification: Specification, values: FloatArray) -> float:
    """Log determinant of the change of what is diffuse to the user's units, at scaled hyperparameters."""
    scale, prior = specification.scale, specification.prior
    found = float(np.log(specification.effect_units).sum())
    if specification.period is not None:
        return found + float(np.log(scale.y_unit))
    slow = [reading.deriv for reading in specification.observations.readings if reading.is_filtered]
    found += float(np.sum(np.log([scale.of(deriv) for deriv in slow])))
    varying = [(process, specification.coefficient_unit(name)) for name, process in specification.varying.items()]
    at = 0
    for term, size in [(prior, scale.y_unit), *varying]:
        for component in term.components:
            mine = specification.hyperparameters[at : at + len(component.hyperparameters)]
            at += len(mine)
            scaled = values[at - len(mine) : at]
            given = scaled * np.array([specification.hyper_unit(p) for p in mine])
            before, after = component.start(scaled, scale.x_unit).diffuse, component.start(given, 1.0).diffuse
            if before.shape[1]:
                moved = _state_units(component, scale.x_unit, size, scaled, given)[:, None] * before
                found += float(np.linalg.slogdet(np.linalg.lstsq(after, moved, rcond=None)[0])[1])
        at += term.late  # response times
    return found


def _state_units(component: Prior, x_unit: float, size: float, scaled: FloatArray, given: FloatArray) -> FloatArray:
    """Unit of each entry of a component's state: `size` for observed components, and of others by how they move each other."""
    ours, theirs = component.readout(0, x_unit), component.readout(0, 1.0)
    units = np.full(component.dim, np.nan)
    units[theirs != 0] = size * ours[theirs != 0] / theirs[theirs != 0]
    for step in STEPS if component.grid is None else (component.grid / x_unit,):
        if not np.isnan(units).any():
            break
        T = component.matrices(np.array([step]), scaled, x_unit, False)[0][0]
        moves = component.matrices(np.array([step * x_unit]), given, 1.0, False)[0][0]
        for _ in range(component.dim):
            for i in np.flatnonzero(~np.isnan(units)):
                for j in np.flatnonzero((np.abs(T[i]) > STILL) & (moves[i] != 0)):
                    units[j] = units[i] * T[i, j] / moves[i, j]
    return units
