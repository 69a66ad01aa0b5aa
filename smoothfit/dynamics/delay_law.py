"""The law of an estimated delay: a density known at some delays, and interpolated between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special
from scipy.interpolate import PchipInterpolator

from .._validation import FloatArray, check_level

FINE = 16  # parts of the interval between two known delays
SPACING, WIDEST = 0.75, 2.625  # of the nodes in normal scores, and how far they reach: beyond half a spacing more is 0.3 %


@dataclass(frozen=True, eq=False)
class DelayLaw:
    """A density between the first and the last of some delays, by monotone cubics of its logarithm.

    Attributes
    ----------
    at, heights : ndarray, shape (k,)
        Delays, increasing, and logarithms of the density, up to a constant; of one delay alone the law is that delay.
    """

    at: FloatArray
    heights: FloatArray

    def log_density(self, delays: FloatArray) -> FloatArray:
        """Its logarithm, up to a constant."""
        return np.asarray(PchipInterpolator(self.at, self.heights)(delays))

    @cached_property
    def _fine(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Many delays, the density there, and the probabilities of the intervals between them."""
        share = np.arange(FINE) / FINE
        x = np.append((self.at[:-1, None] + share * np.diff(self.at)[:, None]).ravel(), self.at[-1])
        logs = self.log_density(x)
        density = np.exp(logs - logs.max())
        masses = (density[1:] + density[:-1]) / 2 * np.diff(x)
        return x, density / masses.sum(), masses / masses.sum()

    def masses_between(self, delays: FloatArray) -> FloatArray:
        """Probabilities of the intervals between some delays."""
        x, _, masses = self._fine
        return np.diff(np.interp(delays, x, np.append(0.0, np.cumsum(masses))))

    def masses_about(self, delays: FloatArray) -> FloatArray:
        """Probabilities of the intervals about some delays, from middle to middle."""
        middles = (delays[1:] + delays[:-1]) / 2
        return self.masses_between(np.concatenate([delays[:1], middles, delays[-1:]]))

    def mean_square(self, centre: float) -> float:
        """Mean square of the distance from a delay."""
        if len(self.at) < 2:
            return 0.0
        x, _, masses = self._fine
        return float(masses @ (((x[1:] + x[:-1]) / 2 - centre) ** 2))

    def interval(self, alpha: float) -> tuple[float, float]:
        """From the first to the last of the delays of highest density, which have the probability 1 - alpha.

        It begins with the shortest delay that is allowed if the density does not fall towards it.
        """
        level = check_level(alpha)
        if len(self.at) < 2:
            return float(self.at[0]), float(self.at[0])
        x, density, masses = self._fine
        lowest = np.minimum(density[1:], density[:-1])
        order = np.argsort(-lowest)
        inside = np.sort(order[: 1 + np.searchsorted(np.cumsum(masses[order]), 1 - level)])
        return float(x[inside[0]]), float(x[inside[-1] + 1])

    def nodes(self) -> tuple[FloatArray, FloatArray]:
        """Delays that represent the law by the trapezoidal rule in its normal scores, and their weights."""
        if len(self.at) < 2:
            return self.at, np.ones(1)
        scores = np.arange(-WIDEST, WIDEST + SPACING / 2, SPACING)
        x, _, masses = self._fine
        delays = np.interp(special.ndtr(scores), np.append(0.0, np.cumsum(masses)), x)
        weights = np.exp(-(scores**2) / 2)
        return delays, weights / weights.sum()

    def tilted(self, delays: FloatArray, logs: FloatArray) -> DelayLaw:
        """The law with a density that is larger by factors, of which `logs` are the logarithms at some delays.

        Beyond these the factor stays as it is.
        """
        if len(self.at) < 2:
            return self
        x = self._fine[0]
        factor = PchipInterpolator(delays, logs)(np.clip(x, delays[0], delays[-1]))
        return DelayLaw(x, self.log_density(x) + factor)
