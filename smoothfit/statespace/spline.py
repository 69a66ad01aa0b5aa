"""The posterior mean of a smoothing spline in B-splines."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, factorial

import numpy as np

from .._validation import FloatArray, IntArray
from ..basis import BSplineBasis, Spline
from ..errors import NumericalError
from ..markov.rows import Scale
from ..observations.abscissa import Points


@dataclass(frozen=True, eq=False)
class Pieces:
    """A posterior mean that is a polynomial of degree 2 order - 1 between neighbouring nodes.

    Attributes
    ----------
    points : Points, of n_nodes
    gaps : ndarray, shape (n_nodes - 1,)
        Their distances, scaled.
    scale : Scale
    states : ndarray, shape (n_nodes, order)
        Derivatives below the order at the nodes, scaled.
    higher : ndarray, shape (n_nodes - 1, order)
        Derivatives order .. 2 order - 1 left of the later nodes.
    """

    points: Points
    gaps: FloatArray
    scale: Scale
    states: FloatArray
    higher: FloatArray

    def mean(self, x: Points, deriv: int) -> FloatArray:
        """Derivative of an order from `order` on at x (n,), right limits at the nodes, in the user's units."""
        order, n = self.states.shape[1], len(self.points.coarse)
        keys = x if self.points.fine is None or x.fine is not None else Points(x.coarse, np.zeros_like(x.coarse))
        piece = np.searchsorted(self.points.keys, keys.keys, side="right").astype(np.int64) - 1
        inside = (piece >= 0) & (piece < n - 1)  # beyond the nodes the mean is of degree order - 1
        offset = x.take(inside).minus(self.points.take(piece[inside] + 1)) / self.scale.x_unit
        higher = self.higher[piece[inside]]
        mean = np.zeros(len(inside))
        for j in range(2 * order - 1, deriv - 1, -1):  # Horner's scheme of the Taylor series at the right end
            mean[inside] = mean[inside] * offset / (j - deriv + 1) + higher[:, j - order]
        return mean * self.scale.of(deriv)

    def spline(self, multiplicity: IntArray) -> Spline:
        """In B-splines with knots of these multiplicities at the nodes.

        The B-spline coefficient of knots t_1 .. t_d between its end knots is the blossom of any piece p in its support,

            c = sum_j p^(j)(a) e_j(t_1 - a, ..., t_d - a) (d - j)! / d!,

        e_j the elementary symmetric polynomials (Ramshaw 1989), a the right end of the piece. Of the pieces in a support the one
        whose terms cancel least is taken: across a wide gap those of the gap itself would lose every digit.
        """
        degree, nodes = 2 * self.states.shape[1] - 1, self.points.coarse
        lost = np.diff(nodes) <= 0
        if lost.any():
            raise NumericalError(
                f"{lost.sum()} gaps between observations vanish beside the range of x in float64 knots; use predict, which keeps "
                "them, or fit a shorter stretch of x"
            )
        multiplicity = multiplicity.copy()
        multiplicity[[0, -1]] = degree + 1
        node = np.repeat(np.arange(len(nodes)), multiplicity)  # of each knot
        positions = np.concatenate([[0.0], np.cumsum(self.gaps)])
        n_basis = len(node) - degree - 1
        inner = [node[s : s + n_basis] for s in range(1, degree + 1)]  # of the knots t_1 .. t_d

        coef, least = np.zeros(n_basis), np.full(n_basis, np.inf)
        for s in range(degree + 1):  # the piece between knots j + s and j + s + 1, if they differ
            start = node[s : s + n_basis]
            used = np.flatnonzero(node[s + 1 : s + 1 + n_basis] > start)
            terms = self._blossom_terms(positions, start[used], [knot[used] for knot in inner])
            size = np.abs(terms).sum(axis=0)
            better = size < least[used]
            least[used[better]] = size[better]
            coef[used[better]] = terms.sum(axis=0)[better]
        return Spline(BSplineBasis(nodes[node], degree), coef * self.scale.y_unit + self.scale.y_origin)

    def _blossom_terms(self, positions: FloatArray, piece: IntArray, knots: list[IntArray]) -> FloatArray:
        """Terms of the blossom at `knots`, d arrays of nodes, of the pieces right of the nodes `piece`: (d + 1, n)."""
        degree = len(knots)
        terms = np.zeros((degree + 1, len(piece)))
        terms[0] = 1.0
        for s, knot in enumerate(knots, start=1):
            offset = _between(self.gaps, positions, piece + 1, knot)
            for j in range(s, 0, -1):
                terms[j] += offset * terms[j - 1]
        order = self.states.shape[1]
        for j in range(degree + 1):
            derivative = self.states[piece + 1, j] if j < order else self.higher[piece, j - order]
            terms[j] *= derivative / (comb(degree, j) * factorial(j))
        return terms


def _between(gaps: FloatArray, positions: FloatArray, start: IntArray, end: IntArray) -> FloatArray:
    """Scaled distance from node start to node end, exact for neighbours."""
    distance = positions[end] - positions[start]
    ahead, behind = end == start + 1, end == start - 1
    distance[ahead] = gaps[start[ahead]]
    distance[behind] = -gaps[end[behind]]
    return np.asarray(distance)
