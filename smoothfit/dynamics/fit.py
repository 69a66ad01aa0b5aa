"""What a method found in the data of a model: what results are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .._validation import FloatArray
from .delays import Delay
from .frames import ReadsFrames
from .methods.base import Fitted, Problem
from .specification import Equation


class Model(ReadsFrames, Protocol):
    """What results need of a `DerivativeRegression`."""

    equation: Equation
    formula: str | None

    @property
    def problem(self) -> Problem:
        """What a method takes."""


@dataclass(frozen=True, eq=False)
class Fit:
    """An equation and its sample, the method that fitted it with its options, what that found, and a covariance of it."""

    model: Model
    method: str
    options: dict[str, Any]
    found: Fitted
    cov_type: str
    cov: FloatArray
    delay: Delay | None = None  # if it was estimated
