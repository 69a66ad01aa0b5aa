"""Draws of smoothed states about their mean, at given coefficients and noises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .._validation import FloatArray, frozen
from ..errors import SpecificationError
from ..markov.discretize import discretize
from .likelihood import StateSpace
from .sample import Sample
from .specification import Equation

Deviations = Callable[[np.random.Generator, int], FloatArray]


def solutions_from(equation: Equation, sample: Sample, theta: FloatArray, cov: FloatArray) -> Deviations:
    """As `deviations`, without process noise: solutions from initial states of a covariance (M, M)."""
    spread = discretize(equation.matrices(theta)[0], equation.entry, sample.t - sample.t[0], noise=False).T
    m = equation.n_states
    values, axes = np.linalg.eigh(cov[:m, :m])
    root = axes * np.sqrt(np.maximum(values, 0.0))

    def draw(rng: np.random.Generator, size: int) -> FloatArray:
        return np.asarray(np.einsum("nij,sj->sni", spread, rng.standard_normal((size, m)) @ root.T))

    return draw


def deviations(equation: Equation, sample: Sample, theta: FloatArray, q: FloatArray, sigma2: FloatArray) -> Deviations:
    """Return what draws deviations (size, nodes, M) of the states of one run from their posterior mean.

    By simulation (J. Durbin & S. J. Koopman 2002, "A simple and efficient simulation smoother"). A path and observations of it are
    simulated without inputs; the path less what smoothing makes of the observations has the posterior's distribution whatever the
    path's start. There is process noise; `sigma2` is by channel.
    """
    if not equation.derivatives:
        raise SpecificationError(
            f"{equation.outputs[0]} and its derivatives are not on the right: draw from SmoothingSpline instead"
        )
    still = replace(equation, inputs=(), input_derivatives=(), intercept=False, known=(), levels=())
    bare = StateSpace(still, replace(sample, u=frozen(np.zeros((len(sample), 0))), inputs=()))
    classes, lengths = sample.steps
    d = discretize(equation.matrices(theta)[0], equation.entry, lengths)
    values, axes = np.linalg.eigh(np.tensordot(q, d.Q, axes=1))
    roots = axes * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    smoothed = bare.smoother(theta[equation.in_system], q, sigma2[bare.unknown])
    sd, read = np.sqrt(sigma2 * sample.ratio), np.isfinite(sample.y)

    def draw(rng: np.random.Generator, size: int) -> FloatArray:
        m, channels = equation.n_states, sample.y.shape[1]
        noise = rng.standard_normal((size, len(sample), m + channels))
        states = np.zeros((len(sample), size, m))
        for k in range(1, len(sample)):
            c = classes[k]
            states[k] = states[k - 1] @ d.T[c].T + noise[:, k, :m] @ roots[c].T
        if bare.is_wide:
            states = np.concatenate([states, states @ equation.matrices(theta)[0][-1:].T], axis=2)
        found = np.empty((size, len(sample), states.shape[2]))
        for s in range(size):
            y = np.where(read, states[:, s, bare.component] + sd * noise[s, :, m:], np.nan)
            found[s] = states[:, s] - smoothed(y)[0]
        return found

    return draw
