"""Bands that hold at all abscissae together."""

from __future__ import annotations

import numpy as np

from .._validation import FloatArray
from .band import BandRows
from .posterior import Covariance
from .products import ProductRows

DRAWS = 20_000
SEED = 20030709
BLOCK = 2**22  # entries of a block of draws


def critical_of_band(rows: BandRows | ProductRows, cov: Covariance, df: float) -> FloatArray:
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
