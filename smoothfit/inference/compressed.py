"""Few nodes of a law of several variables, whose averages of polynomials are those of many.

Of N weighted points a few suffice: the averages of m functions, of which one is constant, are those of at most m of the points,
with other positive weights (V. Tchakaloff 1957), which are found as a non-negative least-squares solution (C. L. Lawson & R. J.
Hanson 1974, *Solving Least Squares Problems*). With all polynomials of a degree the rule is of the kind of Gauss. What is mixed
over theta, means, variances and distribution functions of a curve, is smooth in theta, so that 84 nodes of three parameters are
nearer to the points than a sample of 256 of these: ends of intervals by 0.0002 to 0.007 of a half-width, instead of 0.012 to 0.040,
in five models. Laws of few observations with long tails are served no better than by a sample, and which points are chosen depends
on rounding.
"""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from .._validation import FloatArray
from .nodes import mean_and_covariance

DEGREES = (6, 5, 4)  # tried in turn; nodes of degree 3 miss ends of intervals by more than a sample of 256 points
MOST_POLYNOMIALS = 128  # polynomials, and so nodes: up to five parameters


def degree_of(p: int) -> int | None:
    """Degree of the polynomials of p variables, None if these are too many."""
    return next((degree for degree in DEGREES if comb(p + degree, degree) <= MOST_POLYNOMIALS), None)


def compressed(theta: FloatArray, weights: FloatArray, degree: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Some of the points (N, p), by number, with new weights, so that averages of polynomials up to a degree remain."""
    functions = _orthonormal(theta, weights, degree)
    found, _ = nnls(functions.T, functions.T @ weights)
    kept = np.flatnonzero(found)
    return kept, found[kept] / found[kept].sum()


def _orthonormal(theta: FloatArray, weights: FloatArray, degree: int) -> FloatArray:
    """Polynomials up to a degree at points (N, p), orthonormal in the law of the weights: (N, m)."""
    mean, cov = mean_and_covariance(theta, weights)
    scores = np.linalg.solve(np.linalg.cholesky(cov), (theta - mean).T)
    powers = scores ** np.arange(degree + 1)[:, None, None]
    each = [k for k in itertools.product(range(degree + 1), repeat=len(scores)) if sum(k) <= degree]
    monomials = np.stack([np.prod([powers[power, i] for i, power in enumerate(k)], axis=0) for k in each], axis=1)
    root = np.sqrt(weights)[:, None]
    return np.asarray(np.linalg.qr(root * monomials)[0] / root)
