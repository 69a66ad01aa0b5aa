"""What estimated parameters add to the uncertainty of a curve.

The posterior at the estimates takes them for known. Around them, with theta the logarithms of the estimated parameters, normal
with the inverse of the observed information, the mean moves by its derivative and the logarithm of the variance by its own
(R. Kass and D. Steffey 1989, "Approximate Bayesian inference in conditionally independent hierarchical models"). Both derivatives
are central differences; their error, of second order in DIFFERENCE, is some 1e-4 of what they add.
"""

from __future__ import annotations

import numpy as np

from .._validation import FloatArray
from .prediction import ParameterUncertainty

DIFFERENCE = 2.0**-5  # in a logarithm
NEGLIGIBLE = 1e-3  # variance of a logarithm, which widens an interval by less than 1e-3 of its width


def propagated(
    cov: FloatArray,
    mean_slope: FloatArray,
    log_slope: FloatArray,
    variance: FloatArray,
    noise_variance: float,
    noise_slope: FloatArray,
) -> ParameterUncertainty:
    """What parameters of covariance `cov` (p, p) add, given slopes (p, n) of the mean and of the log of the variance (n,).

    A new reading adds `noise_variance`, whose logarithm has the slopes `noise_slope` (p,).
    """
    moving = variance * log_slope + noise_variance * noise_slope[:, None]
    total = np.broadcast_to(variance + noise_variance, moving.shape)
    of_obs = np.divide(moving, total, out=np.zeros_like(moving), where=total > 0)

    def variance_along(slope: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("in,ij,jn->n", slope, cov, slope))

    return ParameterUncertainty(*(variance_along(slope) for slope in (mean_slope, log_slope, of_obs)))
