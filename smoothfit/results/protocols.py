"""What tests, pictures and searches for crossings take of a fit; `curve.CurveResults` has it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..observations import Observations
from ..observations.abscissa import Points
from .prediction import CurvePrediction, SurfacePrediction


class Change(NamedTuple):
    """Estimated jumps at x, in their order, and their standard errors: all (n,)."""

    kind: str
    x: npt.NDArray[Any]
    effect: FloatArray
    se: FloatArray

    @classmethod
    def of(cls, kind: str, x: npt.NDArray[Any], score: FloatArray, information: FloatArray, unit: float = 1.0) -> Change:
        """By their scores and information (n,), in units."""
        return cls(kind, x, score / information * unit, unit / np.sqrt(information))


class Posterior(NamedTuple):
    """A curve of which every derivative has a mean and a variance.

    Attributes
    ----------
    range : tuple of float
        Ends of the range in which crossings are found, if it is wider than that of the observations.
    step : float or None
        Of x from the first one, at whose multiples alone the curve has values.
    moments, predict, mean_crossings
        By points and deriv means and variances, or a prediction; by deriv and a value where the mean has it, and its slopes there.
    """

    observations: Observations
    highest_derivative: int
    range: tuple[float, ...]
    step: float | None
    moments: Callable[[Points, int], tuple[FloatArray, FloatArray]]
    predict: Callable[[Points, Any, int], CurvePrediction]
    mean_crossings: Callable[[int, float], tuple[FloatArray, FloatArray]]


class Unexplained(NamedTuple):
    """Standardised and leave-one-out residuals of a curve, sudden changes it may have, degrees of freedom of its noise."""

    observations: Observations
    df: float
    standardized: FloatArray
    loo: FloatArray
    changes: list[Change]


class Diagnosed(NamedTuple):
    """Residuals that are independent under the model, what they are called, and the fitted values."""

    observations: Observations
    label: str
    residuals: FloatArray
    fittedvalues: FloatArray


class Likelihood(Protocol):
    """Criteria by which fits are compared."""

    @property
    def aic(self) -> float: ...
    @property
    def bic(self) -> float: ...
    @property
    def _maximises_likelihood(self) -> bool: ...


class Surface(Protocol):
    """A fit at points, of which partial derivatives have a mean and a variance."""

    @property
    def observations(self) -> Any: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    def predict(self, X: Any, deriv: Any) -> Any: ...
    def get_prediction(self, X: Any, deriv: Any) -> SurfacePrediction: ...
