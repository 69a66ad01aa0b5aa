"""An oracle: Gaussian processes in discrete time by dense algebra, whose start is diffuse in part."""

from dataclasses import dataclass

import numpy as np
import pytest


@dataclass
class Posterior:
    """What observations y = X beta + known + noise say, beta of a flat density; the limit of ever larger variances."""

    log_det: float
    sse: float
    precision: np.ndarray  # of the observations, less what beta takes up: V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1
    scores: np.ndarray  # that times (observations - known)
    mean: np.ndarray  # of what was asked for
    covariance: np.ndarray


def dense_posterior(T, Q, start, P0, known, H, node, noise, y, asked, asked_node):
    """Posterior of asked_i x[asked_node_i] given y_i = H_i x[node_i] + noise_i, where T_i, Q_i lead into node i > 0."""
    n, m = len(T), len(P0)
    loading = np.zeros((n, m, start.shape[1] + n * m))  # of beta, of the start and of every step's shock
    offset = np.zeros((n, m))
    k = start.shape[1]
    loading[0, :, :k], loading[0, :, k : k + m], offset[0] = start, np.eye(m), known[0]
    shocks = np.zeros((n * m, n * m))
    shocks[:m, :m] = P0
    for i in range(1, n):
        loading[i] = T[i] @ loading[i - 1]
        here = slice(i * m, (i + 1) * m)
        loading[i, :, k + i * m : k + (i + 1) * m] = np.eye(m)
        offset[i], shocks[here, here] = T[i] @ offset[i - 1] + known[i], Q[i]
    of_readings = np.einsum("rm,rml->rl", H, loading[node])
    of_asked = np.einsum("rm,rml->rl", asked, loading[asked_node])
    V = of_readings[:, k:] @ shocks @ of_readings[:, k:].T + np.diag(noise)
    X, cross = of_readings[:, :k], of_asked[:, k:] @ shocks @ of_readings[:, k:].T
    rest = y - np.einsum("rm,rm->r", H, offset[node])
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    precision = inverse - inverse @ X @ np.linalg.solve(information, X.T @ inverse)
    beta = np.linalg.solve(information, X.T @ inverse @ rest)
    lever = of_asked[:, :k] - cross @ inverse @ X
    mean = np.einsum("rm,rm->r", asked, offset[asked_node]) + of_asked[:, :k] @ beta + cross @ inverse @ (rest - X @ beta)
    covariance = of_asked[:, k:] @ shocks @ of_asked[:, k:].T - cross @ inverse @ cross.T
    covariance += lever @ np.linalg.solve(information, lever.T)
    log_det = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1]
    return Posterior(log_det, rest @ precision @ rest, precision, precision @ rest, mean, covariance)


@pytest.fixture
def dense():
    return dense_posterior
