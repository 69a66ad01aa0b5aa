"""What observations of a stream add to the terms of the likelihood at each node of the posterior of the parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import factorial

from .._validation import FloatArray, IntArray


class Totals:
    """Sums of the terms at L nodes after each of the last arrivals, so that these can be taken out again without rounding."""

    def __init__(self, n_nodes: int, arrived: int, lag: int):
        self._sums, self._arrived = np.zeros((n_nodes, 2, lag + 1)), arrived

    @property
    def last(self) -> FloatArray:
        """After all arrivals (L, 2)."""
        return np.asarray(self._sums[:, :, self._arrived % self._sums.shape[2]])

    def add(self, terms: FloatArray) -> None:
        """Add those of m arrivals (L, 2, m)."""
        size, count = self._sums.shape[2], terms.shape[2]
        sums = self.last[:, :, None] + np.cumsum(terms, axis=2)
        self._arrived += count
        kept = min(size, count)
        self._sums[:, :, np.arange(self._arrived - kept + 1, self._arrived + 1) % size] = sums[:, :, count - kept :]

    def rewind(self, count: int) -> None:
        """Take the last arrivals out, at most `lag`."""
        self._arrived -= count


class Steps(NamedTuple):
    """What rows have in common at all nodes: the Taylor coefficients (m, order) of what they observe, and the noise of q = 1 there.

    A step of length delta adds q delta^(2r - 1) / ((2r - 1) (r - 1)!^2) to the variance of the derivative of order `order` - r.
    """

    taylor: FloatArray
    wander: FloatArray

    @classmethod
    def of(cls, delta: FloatArray, deriv: IntArray, order: int) -> Steps:
        """Of m steps to an observation of a derivative each."""
        taylor, wander = np.zeros((len(delta), order)), np.empty(len(delta))
        for k in np.unique(deriv):
            rows, r = deriv == k, order - k
            step = delta[rows]
            taylor[rows, k:] = step[:, None] ** np.arange(r) / factorial(np.arange(r))
            wander[rows] = step ** (2 * r - 1) / ((2 * r - 1) * factorial(r - 1) ** 2)
        return cls(taylor, wander)

    def added_terms(self, states: FloatArray, y: FloatArray, noise: FloatArray, q: float) -> FloatArray:
        """What each row adds to log_det and to sse (2, m), given the packed filtered states before them (m, width).

        A state has covariance U D U' and mean U mu (filter.hpp).
        """
        order = self.taylor.shape[1]
        along = self.taylor.copy()
        for place, (i, j) in enumerate(zip(*np.triu_indices(order, 1), strict=True)):
            along[:, j] += self.taylor[:, i] * states[:, 2 * order + place]
        variance = np.einsum("mi,mi,mi->m", along, along, states[:, order : 2 * order]) + q * self.wander + noise
        error = y - np.einsum("mi,mi->m", along, states[:, :order])
        return np.array([np.log(variance), error**2 / variance])
