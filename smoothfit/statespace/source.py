"""What the continuation of a fit with new observations takes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._validation import FloatArray
from ..inference.marginal import HyperparameterPosterior
from ..observations import Observations, Readings


@dataclass(frozen=True)
class Kind:
    """A series of the fit, scaled: f^(deriv) from an origin, in a unit; its variance is ratio times that of its group.

    `sd` is the one that the fit was given for all its observations, None if it estimated one, NaN where it was given several;
    `ratio` the variance ratio of an observation that comes with no sd or weight. `differs`: whether a bias, a scale or a lag was
    estimated.
    """

    deriv: int
    group: int
    unit: float
    origin: float
    sd: float | None
    ratio: float
    mean: bool
    differs: bool

    @classmethod
    def of(cls, reading: Readings, unit: float, origin: float, unknown: tuple[str, ...]) -> Kind:
        """Of a series' observations."""
        sd = None
        if reading.sd is not None:
            sd = float(reading.sd[0]) if (reading.sd == reading.sd[0]).all() else np.nan
        group = unknown.index(reading.name) if reading.sd is None else len(unknown)
        ratio = 1.0 if sd is None else (sd / unit) ** 2
        return cls(reading.deriv, group, unit, origin, sd, ratio, reading.mean, bool(reading.estimates))


class Nodes(NamedTuple):
    """Posterior of the parameters at the end of a fit, with the posterior of the curve at each node of it."""

    posterior: HyperparameterPosterior
    at: list[Any]


@dataclass(frozen=True, eq=False)
class Source:
    """The part of a fit that its continuation needs.

    Attributes
    ----------
    observations : Observations
    kinds : dict
        What each series observes.
    noise : dict
        Noise SD of each series.
    df : float
        Degrees of freedom of intervals.
    described : str
        The arguments that made the model.
    posterior : HyperparameterPosterior or None
        The nodes that are carried along; None if the parameters are taken for known.
    noise_at_nodes : dict
        Noise SD (L,) of each series at these nodes, for a common factor of one.
    """

    observations: Observations
    kinds: dict[str, Kind]
    noise: dict[str, float]
    df: float
    described: str
    posterior: HyperparameterPosterior | None
    noise_at_nodes: dict[str, FloatArray]

    @classmethod
    def of(
        cls,
        observations: Observations,
        kinds: dict[str, Kind],
        noise: dict[str, float],
        df: float,
        described: str,
        nodes: Nodes | None,
    ) -> Source:
        """With the nodes of a posterior of the parameters, or without."""
        if nodes is None:
            return cls(observations, kinds, noise, df, described, None, {})
        at_nodes = {name: np.array([one.noise_sd_of(name) for one in nodes.at]) for name in kinds}
        return cls(observations, kinds, noise, df, described, nodes.posterior, at_nodes)
