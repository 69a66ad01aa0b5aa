"""What a fitted Gaussian process asks of the model that it was made by; `model.GaussianProcess` has it."""

from __future__ import annotations

from typing import Protocol

from ..observations.points import PointObservations
from .kernels import Kernel
from .parameters import Parameters
from .rows import Rows


class Specified(Protocol):
    """A kernel, a mean and observations, and what follows from them before anything is estimated."""

    observations: PointObservations
    kernel: Kernel
    mean: str
    rows: Rows
    parameters: Parameters

    @property
    def inputs(self) -> tuple[str, ...]: ...
