"""The posterior mean of a smoothing spline in B-splines."""

from __future__ import annotations

from math import comb, factorial

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..basis import BSplineBasis, Spline
from .rows import Rows

IntArray = npt.NDArray[np.int64]


def posterior_spline(rows: Rows, order: int, states: FloatArray, higher: FloatArray) -> Spline:
    """Return the spline with given states (n_nodes, order) and derivatives order .. 2 order - 1 left of the later nodes.

    The B-spline coefficient of knots t_1 .. t_d between its end knots is the blossom of any piece p in its support,

        c = sum_j p^(j)(a) e_j(t_1 - a, ..., t_d - a) (d - j)! / d!,

    e_j the elementary symmetric polynomials (Ramshaw 1989). The widest piece of each support is taken, a its right end.
    """
    degree = 2 * order - 1
    scale = rows.scale
    multiplicity = np.ones(len(rows.nodes), dtype=np.int64)
    np.maximum.at(multiplicity, rows.node_of_row, rows.deriv.astype(np.int64) + 1)
    multiplicity[[0, -1]] = degree + 1
    node = np.repeat(np.arange(len(rows.nodes)), multiplicity)  # of each knot
    positions = np.concatenate([[0.0], np.cumsum(rows.gaps)])
    n_basis = len(node) - degree - 1

    widest = np.full(n_basis, -1.0)
    piece = np.zeros(n_basis, dtype=np.int64)
    for s in range(degree + 1):  # the piece between knots j + s and j + s + 1, if they differ
        start, end = node[s : s + n_basis], node[s + 1 : s + 1 + n_basis]
        width = positions[end] - positions[start]
        better = width > widest
        widest[better] = width[better]
        piece[better] = start[better]

    derivatives = np.hstack([states[piece + 1], higher[piece]])
    symmetric = np.zeros((degree + 1, n_basis))
    symmetric[0] = 1.0
    for s in range(1, degree + 1):
        offset = _between(rows.gaps, positions, piece + 1, node[s : s + n_basis])
        for j in range(s, 0, -1):
            symmetric[j] += offset * symmetric[j - 1]
    weights = np.array([1 / (comb(degree, j) * factorial(j)) for j in range(degree + 1)])
    coef = np.einsum("j,jn,nj->n", weights, symmetric, derivatives)
    return Spline(BSplineBasis(rows.nodes[node], degree), coef * scale.y_unit + scale.y_origin)


def _between(gaps: FloatArray, positions: FloatArray, start: IntArray, end: IntArray) -> FloatArray:
    """Scaled distance from node start to node end, exact for neighbours."""
    distance = positions[end] - positions[start]
    ahead, behind = end == start + 1, end == start - 1
    distance[ahead] = gaps[start[ahead]]
    distance[behind] = -gaps[end[behind]]
    return np.asarray(distance)
