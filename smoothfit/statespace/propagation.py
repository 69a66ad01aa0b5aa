"""Slopes of the posterior by the estimated parameters, for `results.propagation`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..markov.kernels import filtered_states, smoothed_states, state_variances, states_at
from ..markov.rows import Rows
from ..observations.abscissa import Points
from ..results.propagation import DIFFERENCE


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
