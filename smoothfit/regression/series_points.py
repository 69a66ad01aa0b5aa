"""What a series would observe: the points at which it is asked for, and its rows at any scale, lag and response time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..observations.abscissa import Points
from .band import BandRows
from .rows import Rows


@dataclass(frozen=True, eq=False)
class SeriesPoints(Points):
    """Points at which a series with coefficients of its own observes."""

    series: str = ""


@dataclass(frozen=True, eq=False)
class SeriesRows:
    """Rows of what a series would observe at x (n,), in numbers, which depend on its scale, lag and response time."""

    series: str
    x: FloatArray
    deriv: int

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.x)

    def __len__(self) -> int:
        return self.n

    def take(self, index: npt.NDArray[np.intp]) -> SeriesRows:
        """Some of the rows."""
        return SeriesRows(self.series, self.x[index], self.deriv)

    def of(self, rows: Rows) -> BandRows:
        """The rows where scales, lags and response times are those of `rows`."""
        return rows.rows_at(self.series, self.x, self.deriv)
