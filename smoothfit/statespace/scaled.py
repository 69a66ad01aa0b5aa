"""Series that observe an unknown multiple of the curve, y = s L f + b + e: the likelihood by that of y / s, which are of f itself.

The density of y is that of y / s times s^-n, n the number of observations of the series; s^(1-n) with a bias b that is integrated
out under a flat prior, as b / s is the bias of y / s. By log s all terms are differentiated by central differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from .._validation import FloatArray, frozen
from ..errors import IdentificationError, SpecificationError
from ..markov.program import Sums
from ..observations import Observations
from .extent import Parameter

STEP = 1e-4  # in log s, of central differences: right to its square
REACH = 7.0  # of log s about where it is looked for
NEAR, FAR = 1.0, 2.5  # how far about it starts lie: about a ratio of SDs, or about one


class Scaled(Protocol):
    """The interface of a specification of which series have unknown scales."""

    @property
    def observations(self) -> Observations:
        """As they are given."""

    @property
    def scaled(self) -> tuple[str, ...]:
        """Series with an unknown scale."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is searched, scales last."""

    @property
    def hyperparameters(self) -> tuple[Any, ...]:
        """Those of processes."""

    def calibrated(self, scales: FloatArray) -> Any:
        """The specification of observations divided by their scales."""


def scaled_series(observations: Observations) -> tuple[str, ...]:
    """Series with an unknown scale, if others can be their reference."""
    names = tuple(reading.name for reading in observations.readings if reading.has_scale)
    if len(names) == len(observations.readings):
        raise IdentificationError(
            f"scale='estimate' of {', '.join(names)}: a scale is relative to a series without one: leave scale= of one series out, "
            "which is then the reference, or pass it as a number"
        )
    return names


def check_scaled(spec: Any) -> None:
    """Refuse what series with an unknown scale do not go with."""
    for name in spec.scaled:
        mine = spec.observations.series == spec.observations.names.index(name)
        acting = [label for label in spec.regressors if spec.regressor(label)[mine].any()]
        if name in spec.noise:
            what, remedy = "a noise process", "leave noise= of it out"
        elif any(name in part.names for part in spec.joint):
            what, remedy = "covariances=", "pass sd= instead"
        elif spec.observations[name].resolution is not None:
            what, remedy = "a resolution", "leave resolution= out: where the steps h are small, pass sd = sqrt(sd^2 + h^2 / 12)"
        elif acting:
            what, remedy = f"the regressor {acting[0]!r}", "make it zero for this series"
        else:
            continue
        raise SpecificationError(
            f"{name!r} has scale='estimate', which {what} of it does not support; {remedy}, or pass scale= as a number"
        )


def brought_to_curve(observations: Observations, scales: dict[str, float]) -> Observations:
    """Observations of some series divided by their scales, with the noise that this leaves."""
    readings = []
    for reading in observations.readings:
        s = scales.get(reading.name)
        if s is not None:
            weights = reading.weights
            if reading.sd is None:  # the unknown SD stays that of the observations as they are given
                weights = frozen((1.0 if weights is None else weights) * np.full(len(reading), s * s))
            sd = None if reading.sd is None else frozen(reading.sd / s)
            reading = replace(reading, y=frozen(reading.y / s), sd=sd, weights=weights, has_scale=False)
        readings.append(reading)
    return replace(observations, readings=tuple(readings))


def scale_parameters(observations: Observations, names: Sequence[str], first_index: int) -> list[Parameter]:
    """Bounds and starts of the logarithms of scales."""
    found = []
    for j, name in enumerate(names):
        mine = observations[name]
        alike = [r for r in observations.readings if not r.has_scale and (r.deriv, r.mean) == (mine.deriv, mine.mean)]
        spreads = [float(np.std(reading.y)) for reading in (mine, *alike[:1])]
        centre, reach = 0.0, FAR
        if alike and min(spreads) > 0:
            centre, reach = float(np.log(spreads[0] / spreads[1])), NEAR
        ends = centre - REACH, centre + REACH, centre - reach, centre + reach
        found.append(Parameter(f"scale.{name}", first_index + j, False, 1.0, *ends, vanishes=False))
    return found


def scaled_sums(spec: Scaled, values: FloatArray, variance: FloatArray, method: str, places: Sequence[int]) -> Sums:
    """Terms of the likelihood with derivatives by the parameters at some places; `values` end with the scales."""
    n = len(spec.hyperparameters)
    is_scale = [not spec.parameters[i].is_variance and spec.parameters[i].index >= n for i in places]
    plain = [i for i, own in zip(places, is_scale, strict=True) if not own]

    def at(scales: FloatArray, along: Sequence[int]) -> tuple[FloatArray, int]:
        sums = spec.calibrated(scales).sums(values[:n], variance, method, along=along)
        parts, log = np.array([sums.log_det, sums.sse, sums.log_information]), np.log(scales)
        readings = [spec.observations[name] for name in spec.scaled]
        parts[0, 0] += 2 * float(np.array([len(reading) - reading.has_bias for reading in readings]) @ log)
        parts[2, 0] -= 2 * float(np.array([reading.has_bias for reading in readings]) @ log)
        return parts, sums.n_used

    found = np.zeros((3, 1 + len(places)))
    found[:, [0, *(1 + k for k, own in enumerate(is_scale) if not own)]], n_used = at(values[n:], plain)
    for k, place in enumerate(places):
        if is_scale[k]:
            step = STEP * np.eye(len(spec.scaled))[spec.parameters[place].index - n]
            ends = [at(values[n:] * np.exp(sign * step), ())[0][:, 0] for sign in (1, -1)]
            found[:, 1 + k] = (ends[0] - ends[1]) / (2 * STEP)
    return Sums(found[0], found[1], found[2], n_used)
