"""Dense algebra of linear Gaussian models, at the digits that mpmath is set to: what every engine must reproduce.

A twin states a model by its joint covariance; all else here follows from that by inverses and by differences at 1e-12, which at 50
digits are right to 1e-24.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf

H = mpf(10) ** -12


class Twin(NamedTuple):
    """A model y ~ N(X b, K(theta)), b unknown, in the user's units.

    Attributes
    ----------
    y : list
        Observations (n,).
    joint : callable
        joint(theta, asked) is the covariance (n + k, n + k) of y and of k functionals, an mpmath matrix; the last k have no noise.
    design : callable
        design(asked) is X with the rows (n + k, p) of the same.
    noise : callable
        noise(theta) are the variances (n,) of independent noise in y.
    """

    y: list[Any]
    joint: Callable[[Any, Any], Any]
    design: Callable[[Any], Any]
    noise: Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """An engine and its dense twin.

    Attributes
    ----------
    engine
    twin : Twin
    asked : list of (functionals, rows)
        What the engine is asked for, and the same in terms of the twin.
    theta : ndarray, shape (L, p)
    later : tuple of (data, options, Twin, asked) or None
        Observations to be appended to a stream with options, the twin of all, and what is asked for then, as in `asked`.
    sizes : ndarray of bool, shape (p,)
        The entries of theta of which `information` has the expected one.
    """

    engine: Any
    twin: Twin
    asked: list[Any]
    theta: np.ndarray
    later: Any = None
    sizes: Any = None


def numbers(matrix):
    return np.array([[float(matrix[i, j]) for j in range(matrix.cols)] for i in range(matrix.rows)])


def projected(K, X):
    """P = K^-1 - K^-1 X (X'K^-1 X)^-1 X'K^-1, and log|K| + log|X'K^-1 X|."""
    inverse = K**-1
    weighted = inverse * X
    information = X.T * weighted
    log_det = mp.log(mp.det(K)) + mp.log(mp.det(information))
    return inverse - weighted * information**-1 * weighted.T, log_det


def terms(twin, theta):
    """log_det and sse."""
    P, log_det = projected(twin.joint(theta, None), twin.design(None))
    y = mp.matrix(twin.y)
    return log_det, (y.T * P * y)[0]


def shifted(theta, *steps):
    moved = list(map(mpf, theta))
    for i, step in steps:
        moved[i] += step
    return moved


def gradients(twin, theta):
    """Of log_det and sse: (2, p)."""
    columns = []
    for i in range(len(theta)):
        high, low = (terms(twin, shifted(theta, (i, h))) for h in (H, -H))
        columns.append([float((a - b) / (2 * H)) for a, b in zip(high, low, strict=True)])
    return np.array(columns).reshape(len(theta), 2).T


def hessians(twin, theta):
    """Of log_det and sse: (2, p, p), each pair of parameters from the change along both at once."""
    p = len(theta)
    found = np.zeros((2, p, p), dtype=object)
    centre = terms(twin, shifted(theta))

    def second(*which):
        ends = [terms(twin, shifted(theta, *((i, sign * H) for i in which))) for sign in (1, -1)]
        return [(ends[0][k] - 2 * centre[k] + ends[1][k]) / (H * H) for k in range(2)]

    for i in range(p):
        found[:, i, i] = second(i)
    for i, j in combinations(range(p), 2):
        found[:, i, j] = found[:, j, i] = (second(i, j) - found[:, i, i] - found[:, j, j]) / 2
    return found.astype(float)


def information(twin, theta, relative):
    """1/2 tr(P K_i P K_j), less the fraction of a common factor of all variances if that is estimated: (p, p)."""
    K, X = twin.joint(theta, None), twin.design(None)
    P, _ = projected(K, X)
    moves = [P * (twin.joint(shifted(theta, (i, H)), None) - twin.joint(shifted(theta, (i, -H)), None)) / (2 * H)
             for i in range(len(theta))]  # fmt: skip
    traces = [sum(move[i, i] for i in range(move.rows)) for move in moves]
    count = X.rows - X.cols

    def entry(i, j):
        product = moves[i] * moves[j]
        whole = sum(product[k, k] for k in range(product.rows))
        return float((whole - (traces[i] * traces[j] / count if relative else 0)) / 2)

    p = len(theta)
    return np.array([[entry(i, j) for j in range(p)] for i in range(p)]).reshape(p, p)


def moments(twin, theta, asked):
    """Posterior means (k,) and covariance (k, k) of functionals."""
    n, whole, X = len(twin.y), twin.joint(theta, asked), twin.design(asked)
    K, cross, own = whole[:n, :n], whole[n:, :n], whole[n:, n:]
    rows, Z = X[:n, :], X[n:, :]
    inverse = K**-1
    coefficients = (rows.T * inverse * rows) ** -1
    y = mp.matrix(twin.y)
    b = coefficients * (rows.T * inverse * y)
    left = Z - cross * inverse * rows
    mean = Z * b + cross * inverse * (y - rows * b)
    return numbers(mean)[:, 0], numbers(own - cross * inverse * cross.T + left * coefficients * left.T)


def leverages(twin, theta):
    """Diagonal of I - R P."""
    P, _ = projected(twin.joint(theta, None), twin.design(None))
    return np.array([float(1 - r * P[i, i]) for i, r in enumerate(twin.noise(theta))])
