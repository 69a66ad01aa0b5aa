"""The posterior mean of a smoothing spline in B-splines."""

from __future__ import annotations

from math import comb, factorial

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..basis import BSplineBasis, Spline
from ..markov.rows import Rows

IntArray = npt.NDArray[np.int64]


def posterior_spline(rows: Rows, order: int, states: FloatArray, higher: FloatArray) -> Spline:
    """Return the spline with given states (n_nodes, order) and derivatives order .. 2 order - 1 left of the later nodes.

    The B-spline coefficient of knots t_1 .. t_d between its end knots is the blossom of any piece p in its support,

        c = sum_j p^(j)(a) e_j(t_1 - a, ..., t_d - a) (d - j)! / d!,

    e_j the elementary symmetric polynomials (Ramshaw 1989), a the right end of the piece. Of the pieces in a support the one
    whose terms cancel least is taken: across a wide gap those of the gap itself would lose every digit.
    """
    degree = 2 * order - 1
    scale = rows.scale
    multiplicity = np.ones(len(rows.nodes), dtype=np.int64)
    np.maximum.at(multiplicity, rows.node_of_row, rows.deriv.astype(np.int64) + 1)
    multiplicity[[0, -1]] = degree + 1
    node = np.repeat(np.arange(len(rows.nodes)), multiplicity)  # of each knot
    positions = np.concatenate([[0.0], np.cumsum(rows.gaps)])
    n_basis = len(node) - degree - 1
    inner = [node[s : s + n_basis] for s in range(1, degree + 1)]  # of the knots t_1 .. t_d

    coef, least = np.zeros(n_basis), np.full(n_basis, np.inf)
    for s in range(degree + 1):  # the piece between knots j + s and j + s + 1, if they differ
        start = node[s : s + n_basis]
        used = np.flatnonzero(node[s + 1 : s + 1 + n_basis] > start)
        terms = _blossom_terms(rows, positions, start[used], [knot[used] for knot in inner], states, higher)
        size = np.abs(terms).sum(axis=0)
        better = size < least[used]
        least[used[better]] = size[better]
        coef[used[better]] = terms.sum(axis=0)[better]
    return Spline(BSplineBasis(rows.nodes[node], degree), coef * scale.y_unit + scale.y_origin)


def _blossom_terms(
    rows: Rows, positions: FloatArray, piece: IntArray, knots: list[IntArray], states: FloatArray, higher: FloatArray
) -> FloatArray:
    """Terms of the blossom at `knots`, d arrays of nodes, of the pieces right of the nodes `piece`: (d + 1, n)."""
    degree = len(knots)
    terms = np.zeros((degree + 1, len(piece)))
    terms[0] = 1.0
    for s, knot in enumerate(knots, start=1):
        offset = _between(rows.gaps, positions, piece + 1, knot)
        for j in range(s, 0, -1):
            terms[j] += offset * terms[j - 1]
    order = states.shape[1]
    for j in range(degree + 1):
        derivative = states[piece + 1, j] if j < order else higher[piece, j - order]
        terms[j] *= derivative / (comb(degree, j) * factorial(j))
    return terms


def _between(gaps: FloatArray, positions: FloatArray, start: IntArray, end: IntArray) -> FloatArray:
    """Scaled distance from node start to node end, exact for neighbours."""
    distance = positions[end] - positions[start]
    ahead, behind = end == start + 1, end == start - 1
    distance[ahead] = gaps[start[ahead]]
    distance[behind] = -gaps[end[behind]]
    return np.asarray(distance)
