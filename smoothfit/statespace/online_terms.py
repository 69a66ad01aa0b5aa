"""What observations of a stream add to the terms of the likelihood at each node of the posterior of the parameters."""

from __future__ import annotations

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


def added_terms(
    states: FloatArray, delta: FloatArray, deriv: IntArray, y: FloatArray, noise: FloatArray, q: float, order: int
) -> FloatArray:
    """What each of m rows adds to log_det and to sse (2, m), given the packed filtered states before them (m, width).

    A state has covariance U D U' and mean U mu (filter.hpp). A step of length delta takes U to T U, with Taylor coefficients T, and
    adds q delta^(2r - 1) / ((2r - 1) (r - 1)!^2) to the variance of the derivative of order `order` - r.
    """
    powers = np.arange(order) - deriv[:, None]
    taylor = np.where(powers >= 0, delta[:, None] ** np.maximum(powers, 0) / factorial(np.maximum(powers, 0)), 0.0)
    rest = order - deriv
    wander = q * delta ** (2 * rest - 1) / ((2 * rest - 1) * factorial(rest - 1) ** 2)
    mu, d, upper = states[:, :order], states[:, order : 2 * order], states[:, 2 * order :]
    along = taylor.copy()
    for place, (i, j) in enumerate(zip(*np.triu_indices(order, 1), strict=True)):
        along[:, j] += taylor[:, i] * upper[:, place]
    variance = (along**2 * d).sum(axis=1) + wander + noise
    return np.array([np.log(variance), (y - (along * mu).sum(axis=1)) ** 2 / variance])
