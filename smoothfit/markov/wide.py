"""A start that is wide instead of diffuse: it might as well be, and keeps its digits where the exact limit loses them.

A filter determines k unknown constants by the first k independent observations. If these lie close together beside the period of a
season, the constants are hardly determined for long, and what is known of the state there, P = U D U', has entries of D that differ
by 1e20: the direction of the next observation is what is left of a cancellation in U. With a start of the variance K = `WIDE` times
the squared size of the observations, D ends at K. -2 log-likelihood less k log K is that of the diffuse start but for terms 1 / K.

K is a multiple of all variances of the model, so that it grows as they do: `WIDE`, where the model predicts each observation as
well as the neighbours of that do. Observations may be far smoother than the given variances allow: what is predicted of them is no
less than these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .processes import Processes

WIDE = 2.0**28  # of the squared size of observations: log-likelihoods differ from those of a diffuse start by 1e-8, as by rounding
LEFT = 1e-6  # of a log-determinant, that four times this variance may change
SMOOTHEST = 2.0**-80  # squared differences of neighbouring observations that count as that
TRACE = 2.0**-36  # of a row, below which a filter takes what is left of it for rounding (markov.hpp)
MOST_LOST = 1e10  # condition of the rows that determine a start, beyond which -2 log-likelihood has noise of 1e-7 and more


def is_hardly_determined(design: FloatArray) -> bool:
    """Whether the rows (n, k) that a filter determines k unknown constants by, the first independent ones, lose digits of these."""
    taken, basis = np.zeros((0, design.shape[1])), np.zeros((0, design.shape[1]))
    for row in design:
        left = row - (basis @ row) @ basis
        left -= (basis @ left) @ basis
        if (size := np.linalg.norm(left)) > TRACE * np.linalg.norm(row):
            taken, basis = np.vstack([taken, row]), np.vstack([basis, left / size])
            if len(taken) == len(row):
                break
    sizes = np.linalg.svd(taken, compute_uv=False)
    return len(taken) < design.shape[1] or bool(sizes[-1] * MOST_LOST < sizes[0])


def given_variance(noise: FloatArray, processes: Processes, values: FloatArray) -> float:
    """Variance of an observation by given noise (n,) and hyperparameters, NaN where they are unknown, roughly."""
    return (float(np.median(noise)) if len(noise) else 0.0) + float(np.nansum(processes.sizes(values)[0]))


class Typical(NamedTuple):
    """What a model predicts of observations, roughly.

    Attributes
    ----------
    roughness : float
        Variance of an observation given its neighbours, from their differences, or what is given of the model if that is more.
    ratios : ndarray, shape (G,)
        Typical variances of the noise of groups, as multiples of theirs.
    """

    roughness: float
    ratios: FloatArray

    @classmethod
    def of(cls, y: FloatArray, group: npt.NDArray[np.uint8], ratio: FloatArray, given: float) -> Typical:
        """Of observations in the order of x, and their variance by what is given of the model."""
        order = np.argsort(group, kind="stable")
        y, group, ratio = y[order], group[order], ratio[order]
        squares = [np.diff(y, lag)[group[lag:] == group[:-lag]] ** 2 / size for lag, size in ((1, 2), (2, 6))]
        roughness = min((float(found.mean()) for found in squares if len(found)), default=1.0)
        groups = [ratio[group == g] for g in range(int(group.max(initial=0)) + 1)]
        return cls(max(roughness, given, SMOOTHEST), np.array([np.median(one) if len(one) else 0.0 for one in groups]))

    def size(self, noise: FloatArray, processes: Processes | None, values: FloatArray, free: list[int]) -> FloatArray:
        """Variance of an observation given those before, of a model relative to what it is, with derivatives (..., 1 + N).

        At noise variances (..., G, 1 + N) and hyperparameters (..., P), of which those `free` come first among the N.
        """
        found = np.einsum("...gd,g->...d", noise[..., : len(self.ratios), :], self.ratios)
        if processes is not None:
            parts, powers = processes.sizes(values)
            found[..., 0] += parts.sum(axis=-1)
            found[..., 1 : 1 + len(free)] += (parts * powers)[..., free]
        return np.asarray(found / self.roughness)
