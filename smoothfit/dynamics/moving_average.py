"""The moving average of a difference equation that process noise and measurement noise make, by the spectral factor."""

from __future__ import annotations

import numpy as np

from .._validation import FloatArray
from ..errors import ConvergenceError
from .regressing import polynomial, stable
from .relation import Relation

MAX_DOUBLINGS = 60
ROUNDING = 1e-12  # steps of v near one are no shorter
DIFFERENCE = 1e-6  # for slopes of C and of log|I + H'H|


def moving_average(relation: Relation, theta: FloatArray, v: float) -> FloatArray:
    """c_1 .. c_m of noise with the share v in the equation: the characteristic polynomial of the stationary Kalman filter."""
    m = relation.order
    d = relation.discrete(theta)
    T = d.T[0]
    phi, first = relation.polynomial(T)
    A = polynomial(phi, m)
    if v == 0:
        return stable(A)[1:] if (np.abs(np.roots(A)) > 1).any() else -phi
    Q = v / sum(float(row @ d.Q[0, 0] @ row) for row in first) * d.Q[0, 0]
    if v == 1:
        return np.append(_exact_readings(first, Q), 0.0)
    R = (1 - v) / float(A @ A)
    P = _stationary(T, Q, R)
    gain = P[:, 0] / (P[0, 0] + R)
    return -relation.polynomial(T - np.outer(T @ gain, np.arange(m) == 0))[0]


def _exact_readings(first: list[FloatArray], Q: FloatArray) -> FloatArray:
    """c_1 .. c_{m-1} of process noise alone: the roots inside the unit circle of its autocovariances."""
    gamma = np.zeros(2 * len(first) - 1)
    values, axes = np.linalg.eigh(Q)
    for column in (axes * np.sqrt(np.maximum(values, 0.0))).T:
        response = np.array([row @ column for row in first])
        gamma += np.correlate(response, response, "full")
    roots = np.roots(gamma)
    return np.real(np.atleast_1d(np.poly(roots[np.argsort(np.abs(roots))][: len(first) - 1])))[1:]


def _stationary(T: FloatArray, Q: FloatArray, R: float) -> FloatArray:
    """The state's covariance before an observation, P = T P (I + G P)^-1 T' + Q with G = e e' / R, in the long run.

    Doubling (B. D. O. Anderson & J. B. Moore 1979, "Optimal filtering", section 6.7) sums positive terms, so that filters with
    poles next to the unit circle keep their digits.
    """
    m = len(T)
    eye = np.eye(m)
    alpha, P = T.T, Q
    G = np.zeros((m, m))
    G[0, 0] = 1 / R
    for _ in range(MAX_DOUBLINGS):
        inverse = np.linalg.inv(eye + G @ P)
        turned = inverse @ alpha
        more = alpha.T @ P @ turned
        G = G + alpha @ inverse @ G @ alpha.T
        alpha = alpha @ turned
        P = P + (more + more.T) / 2
        if np.abs(more).max() <= 1e-16 * np.abs(P).max():
            return P
    raise ConvergenceError("the filter has no stationary covariance: a mode is at the edge of stability and without noise")


def slopes_of_average(relation: Relation, x: FloatArray, C: FloatArray) -> FloatArray:
    """Derivatives (m, params) of the moving average by (theta, v)."""
    last = len(x) - 1
    slopes = np.zeros((len(C), len(x)))
    for i, width in widths_of(relation, x).items():
        up, down = x.copy(), x.copy()
        up[i] += width
        down[i] -= width
        if i == last:
            up[i], down[i] = min(up[i], 1.0), max(down[i], 0.0)
        slopes[:, i] = (moving_average(relation, up[:-1], up[-1]) - moving_average(relation, down[:-1], down[-1])) / (
            up[i] - down[i]
        )
    return slopes


def widths_of(relation: Relation, x: FloatArray) -> dict[int, float]:
    """Steps of differences by the coordinates that C depends on: coefficients of the curve (in units of the spacing), and v.

    Where observations have nearly all of the noise, C turns within a change of v by (pole h)^(2m).
    """
    m, h, v = relation.order, relation.step, float(x[-1])
    derivatives = sorted(relation.equation.derivatives)
    widths = {i: DIFFERENCE * max(abs(float(x[i])), (1e-2 / h) ** (m - j)) for i, j in enumerate(derivatives)}
    by_share = DIFFERENCE * (min(v, 1 - v) or DIFFERENCE)
    return {**widths, len(x) - 1: by_share if v < 0.5 else max(by_share, ROUNDING)}
