"""What estimated parameters add to the uncertainty of the curve.

The posterior at the estimates takes them for known. Around them, with theta the logarithms of the estimated sds and of q, normal
with the inverse of the observed information, the mean moves by its derivative and the logarithm of the variance by its own
(R. Kass and D. Steffey 1989, "Approximate Bayesian inference in conditionally independent hierarchical models"). Both derivatives
are central differences; their error, of second order in DIFFERENCE, is some 1e-4 of what they add.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._abscissa import Points
from .._validation import FloatArray
from ..curves.prediction import ParameterUncertainty
from .kernels import filtered_states, smoothed_states, state_variances, states_at
from .rows import Rows

DIFFERENCE = 2.0**-5  # in a logarithm
NEGLIGIBLE = 1e-3  # variance of a logarithm, which widens an interval by less than 1e-3 of its width


def posterior_slopes(
    rows: Rows, order: int, q: float, sigma2: FloatArray, parameters: npt.NDArray[np.int64], x: Points, deriv: int
) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the scaled posterior mean of f^(deriv) at x (n,) and of the logarithm of its variance: (n_parameters, n).

    Parameter g is the logarithm of the sd of unknown g, and the one after them log q.
    """
    mean, log_variance = np.empty((len(parameters), len(x.coarse))), np.empty((len(parameters), len(x.coarse)))
    for i, parameter in enumerate(parameters.tolist()):
        ends = []
        for step in (DIFFERENCE, -DIFFERENCE):
            moved, intensity = sigma2.copy(), q
            if parameter < len(rows.unknown):
                moved[parameter] *= np.exp(2 * step)
            else:
                intensity *= float(np.exp(step))
            filtered = filtered_states(rows, order, intensity, moved)
            states = states_at(rows, order, intensity, filtered, smoothed_states(rows, order, intensity, filtered), x)
            ends.append((states[:, deriv], np.log(state_variances(order, states)[:, deriv])))
        mean[i] = (ends[0][0] - ends[1][0]) / (2 * DIFFERENCE)
        log_variance[i] = (ends[0][1] - ends[1][1]) / (2 * DIFFERENCE)
    return mean, log_variance


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
    of_obs = (variance * log_slope + noise_variance * noise_slope[:, None]) / (variance + noise_variance)

    def variance_along(slope: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("in,ij,jn->n", slope, cov, slope))

    return ParameterUncertainty(*(variance_along(slope) for slope in (mean_slope, log_slope, of_obs)))
