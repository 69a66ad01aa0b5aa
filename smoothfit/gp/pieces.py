"""The restricted likelihood, in pieces that rescale exactly with the amplitude.

    -2 llf = (n - p) log 2 pi + [log|K| + log|H'K^-1 H|] + y'P y,   P = K^-1 - K^-1 H (H'K^-1 H)^-1 H'K^-1

with H the terms of the mean, whose coefficients have a flat prior (Rasmussen & Williams 2006, equation 2.45 with b = 0 and
B -> infinity; Patterson & Thompson 1971). Its first and second derivatives by theta are

    tr(P K_i) - y'P K_i P y,   tr(P K_ij) - tr(P K_i P K_j) + 2 y'P K_i P K_j P y - y'P K_ij P y.

If every variance scales with the amplitude, K = amplitude^2 C, the best amplitude^2 is y'P_C y / (n - p), and the profile of the
criterion in the other parameters follows from the same pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .._validation import FloatArray
from ..errors import DataError
from .parameters import Parameters
from .rows import Rows

LEAST_QUADRATIC = 1e-24  # of y'P y beside the observations' squares: they follow the mean to rounding
STEP = 2.0**-10  # in a logarithm, of differences for a search


class Singular(Exception):  # noqa: N818
    """The covariance is numerically singular at some parameters: a search turns back, a fit raises a NumericalError.

    Attributes
    ----------
    row : int
        The first scaled row that the ones before it determine to rounding.
    """

    def __init__(self, row: int):
        super().__init__(row)
        self.row = row


class Pieces(NamedTuple):
    """log|K| + log|H'K^-1 H|, y'P y, and their gradients and Hessians by theta (None if not asked for)."""

    log_det: float
    quadratic: float
    log_det_gradient: FloatArray
    quadratic_gradient: FloatArray
    log_det_hessian: FloatArray | None = None
    quadratic_hessian: FloatArray | None = None


class Expansion(NamedTuple):
    """A criterion with its gradient and Hessian (None if not asked for)."""

    value: float
    gradient: FloatArray
    hessian: FloatArray | None = None


class Likelihood(Protocol):
    """A route to the restricted likelihood."""

    @property
    def has_hessian(self) -> bool:
        """Whether it has exact second derivatives, at the cost of a few values."""

    def log_det_and_quadratic(self, thetas: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both pieces for candidates (L, n_free); NaN where the covariance is singular."""

    def pieces(self, theta: FloatArray, hessian: bool = False) -> Pieces:
        """All pieces at theta.

        Raises
        ------
        Singular
        """


@dataclass(frozen=True, eq=False)
class Criterion:
    """-2 llf, up to constants, of the parameters that are searched: theta without a profiled amplitude."""

    likelihood: Likelihood
    rows: Rows
    parameters: Parameters

    @property
    def searched(self) -> slice:
        """Where theta holds what is searched."""
        return slice(int(self.parameters.profiled), None)

    def values(self, u: FloatArray) -> FloatArray:
        """Criterion of candidates (L, n_searched); infinite where the covariance is singular."""
        log_det, quadratic = self.likelihood.log_det_and_quadratic(np.array([self._padded(v) for v in u]))
        if self.parameters.profiled:
            n = self.rows.n_contrasts
            with np.errstate(divide="ignore", invalid="ignore"):
                values = log_det + n * np.log(quadratic / n) + n
        else:
            values = log_det + quadratic
        return np.where(np.isfinite(values), values, np.inf)

    def expand(self, u: FloatArray, hessian: bool = False) -> Expansion:
        """Return the criterion with its gradient, and on request its Hessian.

        Raises
        ------
        Singular
        """
        if hessian and not self.likelihood.has_hessian:
            return self.expand(u)._replace(hessian=self._differenced(u))
        pieces = self.likelihood.pieces(self._padded(u), hessian)
        if not self.parameters.profiled:
            total = None
            if hessian:
                assert pieces.log_det_hessian is not None
                assert pieces.quadratic_hessian is not None
                total = pieces.log_det_hessian + pieces.quadratic_hessian
            return Expansion(pieces.log_det + pieces.quadratic, pieces.log_det_gradient + pieces.quadratic_gradient, total)
        n, quadratic = self.rows.n_contrasts, pieces.quadratic
        self._check_quadratic(quadratic)
        slope = pieces.quadratic_gradient[1:] / quadratic
        total = None
        if hessian:
            assert pieces.log_det_hessian is not None
            assert pieces.quadratic_hessian is not None
            total = pieces.log_det_hessian[1:, 1:] + n * (pieces.quadratic_hessian[1:, 1:] / quadratic - np.outer(slope, slope))
        value = pieces.log_det + n * np.log(quadratic / n) + n
        return Expansion(float(value), pieces.log_det_gradient[1:] + n * slope, total)

    def _differenced(self, u: FloatArray) -> FloatArray:
        """Hessian by central differences of gradients."""
        steps = STEP * np.eye(len(u))
        up, down = (np.array([self.expand(u + side * step).gradient for step in steps]) for side in (1, -1))
        differences = (up - down) / (2 * STEP)
        return np.asarray((differences + differences.T) / 2)

    def theta(self, u: FloatArray) -> FloatArray:
        """Return theta, with the best amplitude where it is profiled.

        Raises
        ------
        Singular
        """
        theta = self._padded(u)
        if self.parameters.profiled:
            quadratic = self.likelihood.pieces(theta).quadratic
            self._check_quadratic(quadratic)
            theta[0] = 0.5 * np.log(quadratic / self.rows.n_contrasts)
        return theta

    def information(self, theta: FloatArray) -> FloatArray:
        """Observed information of theta: half the Hessian of -2 llf."""
        pieces = self.likelihood.pieces(theta, hessian=True)
        assert pieces.log_det_hessian is not None
        assert pieces.quadratic_hessian is not None
        hessian = pieces.log_det_hessian + pieces.quadratic_hessian
        return hessian / 2

    def _check_quadratic(self, quadratic: float) -> None:
        """Raise if nothing but rounding is left to estimate the amplitude."""
        if quadratic <= LEAST_QUADRATIC * float(self.rows.y @ self.rows.y):
            raise DataError("the observations follow the mean exactly: there is nothing to estimate the amplitude from")

    def _padded(self, u: FloatArray) -> FloatArray:
        return np.append(0.0, u) if self.parameters.profiled else np.array(u, dtype=np.float64)
