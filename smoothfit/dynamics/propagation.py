"""What estimated coefficients and noises add to the uncertainty of a smoothed or forecast output.

The posterior of the state takes coefficients theta and variances for known. Around their estimates, with (theta, log q,
log sigma^2) normal of the covariance C of the fit, the mean moves by its derivative J, which adds J C J' to its variance, and the
logarithm of the variance moves by its own (R. Kass and D. Steffey 1989, "Approximate Bayesian inference in conditionally
independent hierarchical models"). With C = L L' these are sums of squares of derivatives along the columns of L, central
differences over a small part of a column: steps along single coefficients, which may be known far worse than their
combinations, would lead to equations that the observations exclude.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._validation import FloatArray
from ..results.mixtures import Mixture
from .likelihood import StateSpace
from .methods.base import Fitted

DIFFERENCE = 2.0**-5  # of a step: the error of a derivative, of second order in it, is some 1e-4
LARGEST = 3.0  # SD of the logarithm of a variance: beyond, the normal law of the logarithm describes nothing
COMPONENTS = 25  # of Gauss-Hermite quadrature: 95 % intervals are right to 0.6 % for logs of variances of SD 3


class Values(NamedTuple):
    """Coefficients (k,), intensities by output (p,), noise variances by channel, and the delay of inputs if it is estimated."""

    theta: FloatArray
    q: FloatArray
    sigma2: FloatArray
    delay: float | None = None

    def moved(self, step: FloatArray) -> Values:
        """The values after a step in (theta, log q, log sigma2), and in the delay if there is one."""
        by_theta, by_q, by_sigma2, by_delay = np.split(step, np.cumsum([len(part) for part in self[:3]]))
        delay = None if self.delay is None else self.delay + float(by_delay[0])
        return Values(self.theta + by_theta, self.q * np.exp(by_q), self.sigma2 * np.exp(by_sigma2), delay)


def principal_steps(fitted: Fitted, cov: FloatArray, model: StateSpace) -> FloatArray:
    """Rows whose products sum to the covariance of (theta, log q, log sigma2), given that of params, (directions, coordinates).

    What has no standard error, such as a variance at zero or one that is not in params, stays as it is. A variance near zero has a
    logarithm of a standard error without bound; it is taken to be at most LARGEST.
    """
    k, p = len(fitted.theta), len(fitted.q)
    coordinates = [*range(k + p), *(k + p + channel for channel in model.unknown)]
    place = dict(zip(model.variance_names, coordinates[k:], strict=True))
    known = np.isfinite(np.diag(cov)) & (np.diag(cov) > 0)  # a variance at zero has no standard error
    to_logs = np.ones(len(cov))
    where = np.arange(len(cov))
    for i, (name, value) in enumerate(fitted.noise.items(), start=k):
        where[i] = place[name]
        if known[i]:
            to_logs[i] = (1.0 if where[i] < k + p else 2.0) / value  # log sigma2 = 2 log sigma
    scale = np.sqrt(np.diag(cov)[known])
    values, axes = np.linalg.eigh(cov[np.ix_(known, known)] / np.outer(scale, scale))
    kept = values > 0  # an eigenvalue of zero may come out below
    steps = np.zeros((int(kept.sum()), k + p + len(fitted.sigma2)))
    is_log = np.arange(len(cov))[known] >= k
    sizes = np.where(is_log, np.minimum(scale * to_logs[known], LARGEST), scale)
    steps[:, where[known]] = (axes[:, kept] * np.sqrt(values[kept])).T * sizes
    return steps


class FirstOrder(NamedTuple):
    """Means and variances (n,) at the estimates, derivatives (steps, n) of the means and of the logarithms of the variances.

    Coordinates along the steps are independent and standard normal.
    """

    mean: FloatArray
    variance: FloatArray
    mean_slope: FloatArray
    log_slope: FloatArray

    def law(self, noise_variance: float = 0.0, noise_slope: FloatArray | None = None) -> Mixture:
        """Law over the parameters; a new observation adds a noise, whose log variance has slopes (steps,).

        Mean and variance move along different directions in general; their correlation, which skews the law, is left out.
        """
        whole = self.variance + noise_variance
        moving = self.variance * self.log_slope
        if noise_slope is not None:
            moving = moving + noise_variance * noise_slope[:, None]
        slope = np.divide(moving, whole, out=np.zeros_like(moving), where=whole > 0)
        nodes, weights = np.polynomial.hermite_e.hermegauss(COMPONENTS)
        factors = np.exp(nodes[:, None] * np.sqrt((slope**2).sum(axis=0)))
        scale2 = whole * factors + (self.mean_slope**2).sum(axis=0)
        return Mixture(np.broadcast_to(self.mean, scale2.shape), scale2, weights / weights.sum(), np.inf)

    def curves(self, coordinates: FloatArray, deviations: FloatArray) -> FloatArray:
        """Curves (size, n) at parameters of coordinates (size, steps), given deviations (size, n) at the estimates."""
        return self.mean + coordinates @ self.mean_slope + np.exp(coordinates @ self.log_slope / 2) * deviations


def first_order(steps: FloatArray, values: Values, moments: Callable[[Values], tuple[FloatArray, FloatArray]]) -> FirstOrder:
    """By central differences of what computes means and variances at any values."""
    mean, variance = moments(values)
    mean_slope, log_slope = np.zeros((2, len(steps), len(variance)))
    uncertain = variance > 0  # not where observations without noise fix the curve
    for i, step in enumerate(steps):
        (high, wide), (low, narrow) = (moments(values.moved(sign * DIFFERENCE * step)) for sign in (1.0, -1.0))
        mean_slope[i] = (high - low) / (2 * DIFFERENCE)
        log_slope[i, uncertain] = (wide - narrow)[uncertain] / (2 * DIFFERENCE * variance[uncertain])
    return FirstOrder(mean, variance, mean_slope, log_slope)
