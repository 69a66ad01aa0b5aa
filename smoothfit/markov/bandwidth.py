"""How smooth: q, lam, bandwidth and edf, and what ties one of them to the noise when it is fixed.

At the bandwidth h the information of the observations balances that of the prior. With I_k the information per unit of x of
observations of f^(k), that is their mean 1 / variance times their number (n - 1)/n n_k over the range of x,

    q sum_k I_k h^(2(m-k)) = 1,

which for equal observations of f is h = (lam dt)^(1/2m), lam = sigma^2 / q and dt the mean spacing. All here is scaled as the rows
are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from .._validation import FloatArray
from ..errors import SpecificationError
from .kernels import residual_terms, second_terms
from .rows import Rows

# Beyond these bounds a fit is indistinguishable from its limit: a polynomial (q -> 0) and an interpolant (SD -> 0).
LIMIT = 1e10


class Information(ABC):
    """Conversions between bandwidths and intensities q at one order."""

    order: int

    @property
    @abstractmethod
    def information(self) -> FloatArray:
        """I_kg for sigma2_g = 1, shape (order, n_groups)."""

    def log_intensity(self, bandwidth: FloatArray | float, sigma2: FloatArray) -> FloatArray:
        """Return log q at bandwidths, of their shape."""
        return np.asarray(-np.log(self.powers(bandwidth) @ (self.information @ (1 / sigma2))))

    def bandwidth(self, q: float, sigma2: FloatArray) -> float:
        """Bandwidth at q; infinite for q = 0."""
        if q == 0:
            return np.inf
        information = q * self.information @ (1 / sigma2)
        used = np.flatnonzero(information)
        alone = [information[k] ** (-1 / (2 * (self.order - k))) for k in used]
        if len(used) == 1:
            return float(alone[0])
        highest = np.log(min(alone)) + 0.1  # there one term exceeds 1
        lowest = np.log(min(alone)) - np.log(len(used)) - 0.1  # there each term is below 1 / len(used)

        def excess(log_h: float) -> float:
            return float(information @ self.powers(np.exp(log_h))) - 1

        return float(np.exp(brentq(excess, lowest, highest, xtol=1e-15)))

    def powers(self, bandwidth: FloatArray | float) -> FloatArray:
        """Return h^(2(m-k)) for k = 0 .. m-1, along a last axis."""
        return np.asarray(np.expand_dims(bandwidth, -1) ** (2.0 * (self.order - np.arange(self.order))))


@dataclass(frozen=True, eq=False)
class Resolution(Information):
    """Of the observations of `rows` at one order."""

    rows: Rows
    order: int

    @cached_property
    def information(self) -> FloatArray:
        rows = self.rows
        if rows.is_of_one_kind:
            alone = np.zeros((self.order, 1))
            alone[rows.deriv[0]] = np.sum(1 / rows.ratio) * (len(rows) - 1) / (len(rows) * rows.range)
            return alone
        index = rows.deriv.astype(np.int64) * rows.n_groups + rows.group
        total = np.bincount(index, weights=1 / rows.ratio, minlength=self.order * rows.n_groups)
        n = len(rows)
        return total.reshape(self.order, rows.n_groups) * (n - 1) / (n * rows.range)

    @property
    def spacing(self) -> float:
        """Mean distance between observations."""
        return self.rows.range / (len(self.rows) - 1)

    def limits(self, sigma2: FloatArray) -> tuple[float, float]:
        """Smallest and largest log q that can differ from the limits, whatever single observations and gaps dominate.

        Below: h = range * LIMIT^(1/2m) as if every observation were as good as the best. Above: h = (smallest gap) / LIMIT^(1/2m)
        as if every one were as poor as the poorest; and q (smallest gap)^(2m-1) = LIMIT, a variance beyond that of the scaled
        observations.
        """
        rows, m = self.rows, self.order
        precise, poor, powers = self._extremes(sigma2)
        density = len(rows) / rows.range
        power = LIMIT ** (1 / (2 * m))
        best = np.max(np.log(precise * density) + powers * np.log(rows.range * power))
        least_gap = float(rows.gaps.min())
        poorest = np.min(np.log(poor * density) + powers * np.log(least_gap / power))
        highest = -poorest
        if rows.has_known:
            highest = max(highest, np.log(LIMIT) - (2 * m - 1) * np.log(least_gap))
        return float(-best - np.log(m)), float(highest)

    def _extremes(self, sigma2: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The largest and the smallest precision of each series, and its power 2 (m - k) of the bandwidth."""
        kinds, least, greatest = self._ratios
        deriv, group = np.divmod(kinds, self.rows.n_groups)
        return 1 / (least * sigma2[group]), 1 / (greatest * sigma2[group]), 2.0 * (self.order - deriv)

    @cached_property
    def _ratios(self) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
        """The series, deriv * n_groups + group, with the smallest and the largest variance ratio of each."""
        rows = self.rows
        if rows.is_of_one_kind:
            return np.array([int(rows.deriv[0])]), np.array([rows.ratio.min()]), np.array([rows.ratio.max()])
        kinds = rows.deriv.astype(np.int64) * rows.n_groups + rows.group
        present = np.flatnonzero(np.bincount(kinds))
        ratios = [rows.ratio[kinds == kind] for kind in present]
        return present, np.array([r.min() for r in ratios]), np.array([r.max() for r in ratios])


def lost_accuracy(rows: Rows, order: int, q: float, sigma2: FloatArray) -> float:
    """Bound on the error of the filter after the widest gap, in posterior SDs.

    Past a gap d the filter holds regressions of f', ..., f^(m-2) on f^(m-1) of size up to d^(m-2); the observations of one
    bandwidth h, or of the m first ones, bring them down to h^(m-2), with the rounding of the former. The h here is that of
    the usual spacing, which no gap widens.
    """
    if order <= 2:
        return float(np.finfo(float).eps)
    gaps = rows.gaps
    usual = float(np.median(gaps))
    resolution = Resolution(rows, order)
    within = resolution.bandwidth(q * resolution.spacing / usual, sigma2)
    return float(np.finfo(float).eps * (gaps.max() / max(within, usual)) ** (order - 2))


def effective_df(rows: Rows, order: int, q: float, sigma2: FloatArray) -> float:
    """Trace of the smoother matrix."""
    return len(rows) - float(residual_terms(rows, order, np.array([q]), sigma2[None])[1][0])


class Tie(ABC):
    """A fixed smoothing: q as a function of the variances."""

    @abstractmethod
    def log_q(self, resolution: Any, log_sigma2: FloatArray) -> tuple[float, FloatArray]:
        """Return log q, and its slopes by log sigma2 (G,)."""


@dataclass(frozen=True)
class FixedLam(Tie):
    """q = sigma2 of the first unknown series / lam, or 1 / lam where every SD is known."""

    lam: float

    def log_q(self, resolution: object, log_sigma2: FloatArray) -> tuple[float, FloatArray]:
        return float(log_sigma2[0] - np.log(self.lam)), np.eye(len(log_sigma2))[0]


@dataclass(frozen=True)
class FixedBandwidth(Tie):
    """q at which the bandwidth has a given value."""

    bandwidth: float

    def log_q(self, resolution: Information, log_sigma2: FloatArray) -> tuple[float, FloatArray]:
        shares = resolution.powers(self.bandwidth) @ resolution.information * np.exp(-log_sigma2)
        return float(-np.log(shares.sum())), shares / shares.sum()


@dataclass(frozen=True)
class FixedDf(Tie):
    """q at which the smoother matrix has a given trace."""

    edf: float

    def log_q(self, resolution: Resolution, log_sigma2: FloatArray) -> tuple[float, FloatArray]:
        rows, order, sigma2 = resolution.rows, resolution.order, np.exp(log_sigma2)
        lowest, highest = resolution.limits(sigma2)

        def excess(log_q: float) -> float:
            return effective_df(rows, order, float(np.exp(log_q)), sigma2) - self.edf

        least, most = excess(lowest), excess(highest)
        if not least < 0 < most:
            raise SpecificationError(
                f"edf is {self.edf}; at order {order} these observations allow values between {order} and {most + self.edf:.6g}"
            )
        log_q = float(brentq(excess, lowest, highest, xtol=1e-12, rtol=1e-14))
        groups = np.eye(1 + rows.n_groups)[1:]
        log_det = second_terms(rows, order, float(np.exp(log_q)), sigma2, groups).log_det
        slopes = log_det[1 + len(groups) :].reshape(len(groups), -1).sum(axis=0)
        return log_q, slopes / slopes.sum()
