"""What the control of rounding and sandwich covariances ask of a fit; `fit.Fit` has it all."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .band import Solution
from .fitting import Estimate
from .rows import Rows
from .specification import Specification
from .system import System


class Estimated(Protocol):
    """The rows of a fit, and what was estimated."""

    @property
    def rows(self) -> Rows: ...
    @property
    def estimate(self) -> Estimate: ...


class Solved(Estimated, Protocol):
    """A fit as the control of rounding sees it."""

    @property
    def specification(self) -> Specification: ...
    @property
    def whole(self) -> System: ...
    @property
    def solution(self) -> Solution: ...


class Judged(Estimated, Protocol):
    """A fit as sandwich covariances see it."""

    @property
    def cov_type(self) -> str: ...
    @property
    def cov_kwds(self) -> dict[str, Any]: ...
    @property
    def n_coef(self) -> int: ...
    @property
    def resid(self) -> FloatArray: ...
    @property
    def sigma2(self) -> FloatArray: ...
    @property
    def leverage(self) -> FloatArray: ...
    @property
    def df_resid(self) -> float: ...
    @property
    def order(self) -> npt.NDArray[np.int64]: ...
    def observation(self, i: int) -> tuple[str, int]: ...
