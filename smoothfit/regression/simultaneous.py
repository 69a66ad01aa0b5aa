"""Bands that hold at all abscissae together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .._validation import FloatArray, check_level
from ..curves.prediction import CurvePrediction
from .band import BandRows
from .posterior import Covariance

DRAWS = 20_000
SEED = 20030709
BLOCK = 2**22  # entries of a block of draws


def critical_of_band(rows: BandRows, cov: Covariance, df: float) -> FloatArray:
    """Sorted draws of the greatest |b'(c - coef)| / se over the rows, c normal, or Student with df degrees of freedom."""
    root = rows.times(cov.root())
    size = np.sqrt(np.sum(root**2, axis=1))
    root = root[size > 0] / size[size > 0, None]
    rng = np.random.default_rng(SEED)
    maxima = []
    block = max(1, min(DRAWS, BLOCK // max(len(root), 1)))
    for start in range(0, DRAWS, block):
        draws = rng.standard_normal((min(block, DRAWS - start), root.shape[1]))
        maxima.append(np.abs(draws @ root.T).max(axis=1, initial=0.0))
    greatest = np.concatenate(maxima)
    if np.isfinite(df):
        greatest = greatest / np.sqrt(rng.chisquare(df, DRAWS) / df)
    return np.sort(greatest)


@dataclass(frozen=True, eq=False)
class SimultaneousPrediction(CurvePrediction):
    """A prediction whose intervals of the curve hold at all its x together.

    Attributes
    ----------
    maxima : ndarray
        Sorted draws of the greatest standardised distance of the curve from its estimate.
    """

    maxima: FloatArray = field(default_factory=lambda: np.empty(0))

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Return intervals, shape (n, 2): simultaneous ones of level 1 - alpha for the curve, pointwise ones for a new reading."""
        if obs:
            return super().conf_int(obs=True, alpha=alpha)
        half = float(np.quantile(self.maxima, 1 - check_level(alpha))) * self.se_mean
        return np.column_stack([self.predicted_mean - half, self.predicted_mean + half])
