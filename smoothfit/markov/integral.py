"""Posterior mean and variance of an integral of the curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._validation import FloatArray
from ..observations.abscissa import Points
from .kernels import filtered_states, smoothed_states, state_variances, states_at
from .rows import Rows

PIN = 1e-60  # scaled variance with which the antiderivative is zero at its lower limit: far below that of any integral


def integral_moments(rows: Rows, order: int, q: float, sigma2: FloatArray, lower: Points, upper: Points) -> tuple[float, float]:
    """Scaled mean and variance of the integral of the scaled f from lower to upper, lower < upper, each of shape (1,).

    F(x) = integral of f from `lower` to x is an integrated Wiener process of order + 1 with the same q; an observation of f^(k)
    is one of F^(k+1), and F(lower) = 0 is one more. The integral is F(upper).
    """
    lifted = _with_pin(rows, lower)
    variances = np.append(sigma2, PIN)
    filtered = filtered_states(lifted, order + 1, q, variances)
    posterior = smoothed_states(lifted, order + 1, q, filtered)
    state = states_at(lifted, order + 1, q, filtered, posterior, upper)
    return float(state[0, 0]), float(state_variances(order + 1, state)[0, 0])


def _with_pin(rows: Rows, x: Points) -> Rows:
    """Rows as observations of the antiderivative, with the observation 0 of its value at x, in a variance group of its own."""
    node = int(rows.last_before(x)[0])
    ahead = float(rows.beyond(x, np.array([max(node, 0)]))[0])
    is_node = node >= 0 and ahead == 0
    # before the rows of its own node, or after those of the node before
    i = int(np.searchsorted(rows.node_of_row, node, side="left" if is_node else "right"))
    delta = np.insert(rows.delta, i, 0.0)
    nodes, fine = rows.nodes, rows.fine
    if is_node:
        delta[i], delta[i + 1] = delta[i + 1], 0.0
    else:
        nodes = np.insert(nodes, node + 1, x.coarse)
        fine = None if fine is None else np.insert(fine, node + 1, 0.0 if x.fine is None else x.fine)
        if i > 0:
            delta[i] = ahead
        if i < len(rows):
            delta[i + 1] = -float(rows.beyond(x, np.array([node + 1]))[0])
    return replace(
        rows,
        nodes=nodes,
        fine=fine,
        sorter=None,
        delta=delta,
        deriv=np.insert(rows.deriv + np.uint8(1), i, 0).astype(np.uint8),
        group=np.insert(rows.group, i, rows.n_groups).astype(np.uint8),
        y=np.insert(rows.y, i, 0.0),
        ratio=np.insert(rows.ratio, i, 1.0),
    )
