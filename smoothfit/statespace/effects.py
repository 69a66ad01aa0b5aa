"""What is read along with a curve of unknown size: interventions and regressors, with flat priors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._abscissa import Abscissa, Points
from .._validation import FloatArray
from ..errors import SpecificationError


@dataclass(frozen=True, eq=False)
class Intervention(ABC):
    """A change of the curve at a known x, of unknown size.

    Parameters
    ----------
    x : number or time
        Where; of the kind of the readings' x, and within them.
    name : str, optional
        Of its size among the parameters; ``<kind>(x)`` by default.
    """

    x: Any
    name: str | None = None
    kind: ClassVar[str]
    x_power: ClassVar[int] = 0

    @abstractmethod
    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """The change of f^(deriv) per unit size, at distances `offset` beyond x: shape (n,)."""

    @abstractmethod
    def integral(self, offset: FloatArray) -> FloatArray:
        """Integral of the change from far below to `offset` beyond x."""

    def label(self, abscissa: Abscissa) -> str:
        """Name of its size."""
        return self.name or f"{self.kind}({abscissa.label(abscissa.given(self.x).reshape(1)[0])})"

    def at(self, abscissa: Abscissa) -> Points:
        """Where, as a point."""
        if np.ndim(self.x) > 0:
            raise SpecificationError(f"x of an intervention is {self.x!r}; pass one abscissa, and an intervention for each")
        return abscissa.points(abscissa.given(self.x, f"x of {type(self).__name__}").reshape(1))


@dataclass(frozen=True, eq=False)
class Pulse(Intervention):
    """All readings at one x are off by an unknown amount, which is not part of f elsewhere."""

    kind: ClassVar[str] = "pulse"

    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """One at x."""
        return np.asarray((offset == 0) & (deriv == 0), dtype=np.float64)

    def integral(self, offset: FloatArray) -> FloatArray:
        """Zero."""
        return np.zeros_like(offset)


@dataclass(frozen=True, eq=False)
class Level(Intervention):
    """The curve jumps at x, and stays there."""

    kind: ClassVar[str] = "level"

    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """One from x on."""
        return np.asarray((offset >= 0) & (deriv == 0), dtype=np.float64)

    def integral(self, offset: FloatArray) -> FloatArray:
        """Of a step."""
        return np.maximum(offset, 0.0)


@dataclass(frozen=True, eq=False)
class Slope(Intervention):
    """The slope of the curve changes at x."""

    kind: ClassVar[str] = "slope"
    x_power: ClassVar[int] = -1

    def values(self, offset: FloatArray, deriv: int) -> FloatArray:
        """A ramp from x on."""
        if deriv > 1:
            return np.zeros_like(offset)
        return np.asarray(np.maximum(offset, 0.0) if deriv == 0 else offset >= 0, dtype=np.float64)

    def integral(self, offset: FloatArray) -> FloatArray:
        """Of a ramp."""
        return np.asarray(np.maximum(offset, 0.0) ** 2 / 2)
