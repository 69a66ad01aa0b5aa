"""Parts of the observations on which the search of a long series begins: every k-th, which shows slow changes, and a stretch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError, IdentificationError, SpecificationError
from ..observations import Observations

Rule = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]
Model = TypeVar("Model")
MANY, PART = 2000, 500  # observations from which on the search starts on parts, and of how many
LEAST = 50  # observations of a series that a part keeps, if it has them


def sketches_of(observations: Observations) -> list[Observations]:
    """Parts of the observations; none if these are few."""
    if len(observations) < MANY:
        return []
    every = len(observations) // PART

    def thinned(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return order[:: every if len(order) > LEAST * every else max(len(order) // LEAST, 1)]

    def stretch(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        size = max(len(order) // every, min(LEAST, len(order)))
        first = (len(order) - size) // 2
        return order[first : first + size]

    return [_part(observations, rule) for rule in (thinned, stretch)]


def sketched(observations: Observations, model: Callable[[Observations], Model]) -> list[Model]:
    """Models of parts of the observations, if these are many."""
    found = []
    for part in sketches_of(observations):
        try:
            found.append(model(part))
        except (DataError, IdentificationError, SpecificationError):  # as a season that is met in one phase
            continue
    return found


def _part(observations: Observations, rule: Rule) -> Observations:
    parts = []
    for reading in observations.readings:
        parts.append(reading.take(np.sort(rule(np.argsort(reading.x, kind="stable")))))
    return replace(observations, readings=tuple(parts))
