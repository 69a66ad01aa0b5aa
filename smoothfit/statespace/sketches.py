"""Parts of the readings on which the search of a long series begins: every so manieth, which shows what is slow, and a stretch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._validation import frozen
from ..errors import IdentificationError, SpecificationError
from ..observations import Readings

if TYPE_CHECKING:
    from .general import GeneralModel

MANY, PART = 2000, 500  # readings from which on the search starts on parts, and of how many
LEAST = 50  # readings of a name that a part keeps, if it has them


def sketches_of(model: GeneralModel) -> list[GeneralModel]:
    """Models of parts of the readings; none where these are few, or tell only together what is to be estimated."""
    every = model.nobs // PART
    if model.nobs < MANY or model.effects or model.joint or model.period is not None:
        return []

    def thinned(reading: Readings, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return order[:: every if len(order) > LEAST * every else max(len(order) // LEAST, 1)]

    def stretch(reading: Readings, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        size = max(len(order) // every, min(LEAST, len(order)))
        first = (len(order) - size) // 2
        return order[first : first + size]

    found = []
    for rule in (thinned, stretch):
        try:
            found.append(_part(model, rule))
        except (IdentificationError, SpecificationError):  # a season that every so manieth reading meets in one phase
            continue
    return found


def _part(model: GeneralModel, rule: Callable[[Readings, npt.NDArray[np.int64]], npt.NDArray[np.int64]]) -> GeneralModel:
    parts = []
    for reading in model.observations.readings:
        rows = np.sort(rule(reading, np.argsort(reading.x, kind="stable")))

        def part(column: Any, rows: Any = rows) -> Any:
            return None if column is None else frozen(column[rows])

        columns = {"sd": part(reading.sd), "weights": part(reading.weights), "upper": part(reading.upper)}
        parts.append(replace(reading, x=part(reading.x), y=part(reading.y), **columns))
    return type(model)(replace(model.observations, readings=tuple(parts)), model.prior, noise=model.noise)
