"""What tests, pictures and searches for crossings ask of a fitted curve; `curve.CurveResults` has it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy.typing as npt

from .._validation import FloatArray
from ..observations import Observations
from ..observations.abscissa import Points
from .prediction import CurvePrediction, SurfacePrediction

if TYPE_CHECKING:
    pass


class Change(NamedTuple):
    """Estimated jumps at x, in their order, and their standard errors: all (n,)."""

    kind: str
    x: npt.NDArray[Any]
    effect: FloatArray
    se: FloatArray


class Posterior(Protocol):
    """A curve of which every derivative has a mean and a variance."""

    @property
    def observations(self) -> Observations: ...
    @property
    def highest_derivative(self) -> int: ...
    @property
    def _range(self) -> tuple[float, ...]: ...
    def _moments(self, x: Points, deriv: int) -> tuple[FloatArray, FloatArray]: ...
    def _prediction(self, points: Points, x: Any, deriv: int) -> CurvePrediction: ...
    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]: ...


class Residuals(Protocol):
    """What a curve leaves of its observations."""

    @property
    def observations(self) -> Observations: ...
    @property
    def df_interval(self) -> float: ...
    @property
    def _fittedvalues(self) -> FloatArray: ...
    @property
    def _resid_standardized(self) -> FloatArray: ...
    @property
    def _loo_resid(self) -> FloatArray: ...
    @property
    def _diagnostic_resid(self) -> tuple[str, FloatArray]: ...
    def _changes(self) -> list[Change]: ...


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
