"""Where searches start for equations with hidden states: poles that are spread over what the samples resolve.

A slow pole that hides behind a fast one is lost on running integrals of noisy observations. Poles at a few decades are tried
instead, each set with several ratios of the noises and the coefficients of inputs and constant that are best for it: given the
poles and the noises, the likelihood is quadratic in these.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .observer import ObserverForm
from .sample import Sample
from .specification import Equation

SLOWEST, FASTEST = 2.0, 1.0  # decay over the longest run, and over a step, of the poles that are tried
RATES = 3  # more rates than there are poles, of which sets of poles are chosen
FREQUENCIES, DAMPING = 4, 0.1  # of pairs of oscillating poles
MOST_STARTS = 3  # sets from which searches start
ROWS = 2_000  # of a long sample that choose among the sets


def pole_starts(equation: Equation, sample: Sample) -> list[FloatArray]:
    """Coefficients (n_params,) of equations with sets of poles, those of inputs and constant being zero."""
    n = equation.order
    ends = SLOWEST / sample.longest, FASTEST / sample.gap
    if ends[0] >= ends[1]:
        return []
    sets: list[npt.NDArray[np.complex128]] = [-np.array(each, complex) for each in combinations(np.geomspace(*ends, n + RATES), n)]
    for size in np.geomspace(*ends, FREQUENCIES):
        pair = size * (-DAMPING + 1j * np.sqrt(1 - DAMPING**2))
        sets.append(np.concatenate([[pair, pair.conj()], -np.geomspace(*ends, n - 2)]))
    found = []
    for poles in sets:
        theta = np.zeros(equation.n_params)
        if isinstance(equation, ObserverForm):
            theta = equation.uncoupled(poles)
        else:
            coefficients = -np.poly(poles).real[:0:-1]  # of y, y', ...
            derivatives = sorted(equation.derivatives)
            theta[: len(derivatives)] = coefficients[derivatives]
        found.append(equation.with_known(theta))
    return found
