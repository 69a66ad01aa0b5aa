"""Fourier series: the smooth periodic basis without knots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array

from .._entry import quiet
from .._validation import FloatArray, check_finite, check_memory, check_order, check_positive, to_floats
from ..errors import SpecificationError
from .base import Basis
from .bspline import HIGHEST_DERIVATIVE, limits_of

TABLES = 40.0  # bytes of an entry of a design while it is made: its angle, sine, cosine, and the entry itself


@dataclass(frozen=True, eq=False)
class FourierBasis(Basis):
    """1, cos(w x), sin(w x), cos(2 w x), sin(2 w x), ..., with w = 2 pi / period; periodic everywhere.

    Parameters
    ----------
    period : float
        Period, in units of x.
    n_harmonics : int
        Number of pairs of cosine and sine; there are 2 n_harmonics + 1 functions.
    start : float
        Start of the domain, where every phase is zero.

    Examples
    --------
    >>> import smoothfit as sf
    >>> basis = sf.FourierBasis(period=4.0, n_harmonics=1)
    >>> basis.design([0, 1, 2], sparse=False).round(12) + 0.0
    array([[ 1.,  1.,  0.],
           [ 1.,  0.,  1.],
           [ 1., -1.,  0.]])
    """

    period: float
    n_harmonics: int
    start: float = 0.0

    @quiet
    def __post_init__(self) -> None:
        object.__setattr__(self, "period", check_positive(self.period, "period"))
        object.__setattr__(self, "n_harmonics", check_order(self.n_harmonics, "n_harmonics", 0, 2**30))
        start, _ = to_floats(self.start, "start")
        if len(start) != 1:
            raise SpecificationError(f"start has {len(start)} entries; pass one number, where phases are zero")
        check_finite(start, "start", "the start is finite")
        if not start[0] < start[0] + self.period < np.inf:
            raise SpecificationError(f"the period {self.period} is lost beside the start {start[0]}; choose another unit of x")
        object.__setattr__(self, "start", float(start[0]))

    @property
    def n_basis(self) -> int:
        """Number of basis functions, a constant included."""
        return 2 * self.n_harmonics + 1

    @property
    def domain(self) -> tuple[float, float]:
        """One period, (start, start + period), over which functions are integrated."""
        return self.start, self.start + self.period

    def _check_memory(self, n: int) -> None:
        """Refuse a dense matrix of n rows that memory cannot hold."""
        what = f"a dense matrix of {n} rows and {self.n_basis} functions"
        check_memory(TABLES * n * self.n_basis, what, "lower n_harmonics, or pass fewer x at a time")

    @property
    @quiet
    def frequencies(self) -> FloatArray:
        """Angular frequencies of the harmonics, radians a unit of x."""
        return np.asarray(2 * np.pi / self.period * np.arange(1, self.n_harmonics + 1), dtype=np.float64)

    def _design(self, x: Any, deriv: int) -> csr_array:
        return csr_array(self._dense_design(x, deriv))

    def _dense_design(self, x: Any, deriv: int) -> FloatArray:
        deriv = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        points, _ = to_floats(x, "x")
        check_finite(points, "x", "values of x must be finite")
        self._check_memory(len(points))
        turns = np.mod((points - self.start) / self.period, 1.0)
        # Whole turns are taken off before the sine, a quarter turn for each derivative added.
        angle = np.mod(np.outer(turns, np.arange(1, self.n_harmonics + 1)), 1.0)
        rate = self.frequencies**deriv
        result: FloatArray = np.empty((len(points), self.n_basis))
        result[:, 0] = deriv == 0
        result[:, 1::2] = _cosine(angle, deriv) * rate
        result[:, 2::2] = _cosine(angle, deriv + 3) * rate
        return result

    def _integral(self, lower: Any, upper: Any) -> csr_array:
        """The integral of cos is a difference of sines, taken as a product that keeps its digits over short intervals."""
        start, end = limits_of(lower, upper, self.domain, "periodic")
        self._check_memory(len(start))
        result = np.empty((len(start), self.n_basis))
        result[:, 0] = end - start
        width = (end - start)[:, None] / self.period * np.arange(1, self.n_harmonics + 1)
        middle = self._dense_design(start + (end - start) / 2, 0)[:, 1:]
        chord = (end - start)[:, None] * np.sinc(width)
        result[:, 1::2] = middle[:, 0::2] * chord
        result[:, 2::2] = middle[:, 1::2] * chord
        return csr_array(result)

    def _penalty(self, order: int) -> csr_array:
        order = check_order(order, "order", 0, HIGHEST_DERIVATIVE)
        self._check_memory(1)
        constant = self.period if order == 0 else 0.0
        harmonics = np.repeat(self.frequencies ** (2 * order) * self.period / 2, 2)
        return csr_array(diags_array(np.concatenate([[constant], harmonics])))


def _cosine(turns: FloatArray, quarters: int) -> FloatArray:
    """cos(2 pi turns + quarters pi / 2), exact at quarter turns."""
    quarters %= 4
    values = np.cos(2 * np.pi * turns) if quarters % 2 == 0 else np.sin(2 * np.pi * turns)
    exact = np.mod(4 * turns, 1.0) == 0
    values = np.where(exact, np.round(values), values)
    return values if quarters in (0, 3) else -values
