"""What estimated coefficients and noises add to the uncertainty of a smoothed or forecast output.

The posterior of the state takes coefficients theta and variances for known. Around their estimates, with (theta, log q,
log sigma^2) normal of the covariance C of the fit, the mean moves by its derivative J, which adds J C J' to its variance, and the
logarithm of the variance moves by its own (R. Kass and D. Steffey 1989, "Approximate Bayesian inference in conditionally
independent hierarchical models"). With C = L L' these are sums of squares of derivatives along the columns of L, central
differences over a small part of a column: steps along single coefficients, which may be known far worse than their
combinations, would lead to equations that the readings exclude.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._validation import FloatArray
from ..results.prediction import ParameterUncertainty
from ..results.propagation import DIFFERENCE, propagated
from .likelihood import StateSpace
from .methods.base import Fitted


class Values(NamedTuple):
    """Coefficients (k,), intensities by output (p,) and noise variances by channel."""

    theta: FloatArray
    q: FloatArray
    sigma2: FloatArray

    def moved(self, step: FloatArray) -> Values:
        """The values after a step in (theta, log q, log sigma2)."""
        by_theta, by_q, by_sigma2 = np.split(step, np.cumsum([len(self.theta), len(self.q)]))
        return Values(self.theta + by_theta, self.q * np.exp(by_q), self.sigma2 * np.exp(by_sigma2))


def principal_steps(fitted: Fitted, cov: FloatArray, model: StateSpace) -> FloatArray:
    """Rows whose products sum to the covariance of (theta, log q, log sigma2), given that of params, (directions, coordinates).

    What has no standard error, such as a variance at zero or one that stands not in params, stays as it is.
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
    steps[:, where[known]] = (axes[:, kept] * np.sqrt(values[kept])).T * (scale * to_logs[known])
    return steps


class Slopes(NamedTuple):
    """Derivatives of means and of logarithms of variances along the steps, (steps, n)."""

    mean: FloatArray
    log_variance: FloatArray

    def shaken(self, deviations: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Deviations (size, n) at the estimates, made those at parameters that are drawn as well."""
        z = rng.standard_normal((len(deviations), len(self.mean)))
        return z @ self.mean + np.exp(z @ self.log_variance / 2) * deviations


def slopes_along(
    steps: FloatArray, values: Values, moments: Callable[[Values], tuple[FloatArray, FloatArray]], variance: FloatArray
) -> Slopes:
    """Central differences of what computes means and variances at any values; at these, the variance is `variance` (n,)."""
    mean, log_variance = np.zeros((2, len(steps), len(variance)))
    uncertain = variance > 0  # not where readings without noise fix the curve
    for i, step in enumerate(steps):
        (high, wide), (low, narrow) = (moments(values.moved(sign * DIFFERENCE * step)) for sign in (1.0, -1.0))
        mean[i] = (high - low) / (2 * DIFFERENCE)
        log_variance[i, uncertain] = (wide - narrow)[uncertain] / (2 * DIFFERENCE * variance[uncertain])
    return Slopes(mean, log_variance)


def parameter_uncertainty(
    slopes: Slopes, steps: FloatArray, variance: FloatArray, values: Values, channel: int | None
) -> ParameterUncertainty | None:
    """What parameters add to `variance` (n,); None where all are known. A new reading has the noise of `channel`, of weight one."""
    if not len(steps):
        return None
    noise_variance, noise_slope = 0.0, np.zeros(len(steps))
    if channel is not None:
        noise_variance = float(values.sigma2[channel])
        noise_slope = steps[:, len(values.theta) + len(values.q) + channel]
    # What is normal given the parameters has but a part of the whole variance, and so has the slope of its logarithm.
    whole = variance + (slopes.mean**2).sum(axis=0)
    part = np.divide(variance, whole, out=np.zeros_like(whole), where=whole > 0)
    divisor = whole if noise_variance > 0 else np.where(whole > 0, whole, 1.0)  # zero over one is the slope of zero
    return propagated(np.eye(len(steps)), slopes.mean, part * slopes.log_variance, divisor, noise_variance, noise_slope)
