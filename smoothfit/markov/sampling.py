"""Draws from the posterior, and the scores of single observations and of sudden changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray, IntArray
from ..errors import IdentificationError
from ..observations.abscissa import Points
from .kernels import filtered_states, require_identified, shock_scores
from .rows import Rows

Kind = TypeVar("Kind", bound=np.generic)
MOST_NUMBERS = 2**18  # standard normal ones drawn at a time


def with_points(rows: Rows, x: Points) -> tuple[Rows, IntArray]:
    """Rows with a missing observation at each x (n,) that is no node, and the node of each x."""
    left = rows.last_before(x)
    is_node = (left >= 0) & (rows.beyond(x, np.maximum(left, 0)) == 0)
    if is_node.all():
        return rows, left
    new = x.take(~is_node)
    nodes, node, steps = Points.join([rows.points, new]).distinct()
    of_old, of_new = node[: len(rows.nodes)], node[len(rows.nodes) :]
    added = np.unique(of_new)

    of_rows = np.concatenate([of_old[rows.node_of_row], added])
    sorter = np.argsort(of_rows, kind="stable")
    of_rows = of_rows[sorter]
    gaps = np.concatenate([[0.0], steps / rows.scale.x_unit])
    delta = np.where(np.diff(of_rows, prepend=-1) > 0, gaps[of_rows], 0.0)

    def column(values: npt.NDArray[Kind], filler: float) -> npt.NDArray[Kind]:
        return np.concatenate([values, np.full(len(added), filler, values.dtype)])[sorter]

    longer = replace(
        rows,
        nodes=nodes.coarse,
        fine=nodes.fine,
        sorter=None,
        delta=delta,
        deriv=column(rows.deriv, _kernels.MISSING),
        group=column(rows.group, 0),
        y=column(rows.y, 0.0),
        ratio=column(rows.ratio, 1.0),
    )
    of_x = left.copy()
    of_x[is_node] = of_old[left[is_node]]
    of_x[~is_node] = of_new
    return longer, of_x


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws of deviations from the posterior mean at given points.

    Attributes
    ----------
    order : int
    links : ndarray, shape (n_kept, order^2 + order (order + 1) / 2)
        Regressions between neighbouring points, from the last to the first; see sampling.hpp.
    place : ndarray, shape (n,)
        The entry of `links` that each point has.
    """

    order: int
    links: FloatArray
    place: IntArray

    @classmethod
    def of(cls, rows: Rows, order: int, q: float, sigma2: FloatArray, filtered: FloatArray, x: Points) -> Sampler:
        """Prepare draws at x (n,), from filtered states of the rows."""
        longer, node = with_points(rows, x)
        if longer is not rows:
            filtered = filtered_states(longer, order, q, sigma2)
        keep = np.zeros(len(longer.nodes), np.uint8)
        keep[node] = 1
        links = _kernels.links(longer.gaps, order, q, filtered, keep)
        return cls(order, links, np.cumsum(keep, dtype=np.int64)[node] - 1)

    def draw(self, rng: np.random.Generator, size: int, derivs: IntArray) -> FloatArray:
        """Draws of scaled derivatives: (n_derivs, size, n). The first draws do not depend on how many follow."""
        n_kept = len(self.links)
        draws = np.empty((len(derivs), size, len(self.place)))
        block = max(1, MOST_NUMBERS // (n_kept * self.order))
        is_plain = n_kept == len(self.place) and bool((np.diff(self.place) == 1).all())
        for start in range(0, size, block):
            normal = rng.standard_normal((min(block, size - start), n_kept, self.order))
            drawn = _kernels.draw(self.order, self.links, normal, derivs)
            draws[:, start : start + block] = drawn if is_plain else drawn[:, :, self.place]
        return draws


class Shocks(NamedTuple):
    """What a change of single observations, or of the state from a node on, would explain; all scaled.

    An observation's noise of unknown size has the estimate u / D with variance 1 / D; a shock of f^(j) at a node score /
    information with variance 1 / information. Zero if the other observations do not determine it.
    """

    u: FloatArray
    D: FloatArray
    score: FloatArray
    information: FloatArray


def shocks(rows: Rows, order: int, q: float, sigma2: FloatArray) -> Shocks:
    """Scores of all observations (n,) in the rows' order, and of shocks of f, f', ... at all nodes (n_nodes, order)."""
    errors, scores, diffuse = shock_scores(rows, order, q, sigma2)
    u, precision = errors.T.copy()
    score, information = scores[:, :order].copy(), scores[:, order:].copy()
    # An observation that alone determines a direction has no prediction. It is among those that the diffuse start absorbs.
    for i in np.flatnonzero(diffuse).tolist():
        if not _is_identified_without(rows, order, i):
            u[i] = precision[i] = 0.0
    # A shock before the polynomial is determined cannot be distinguished from this.
    known = int(rows.node_of_row[np.flatnonzero(diffuse)[-1]])
    score[: known + 1] = 0.0
    information[: known + 1] = 0.0
    return Shocks(u, precision, score, information)


def _is_identified_without(rows: Rows, order: int, i: int) -> bool:
    """Whether the observations other than row i determine a polynomial."""
    delta = rows.delta.copy()
    if i + 1 < len(rows):
        delta[i + 1] += delta[i]
    if len(rows) == 1:
        return False
    others = replace(
        rows,
        sorter=None,
        delta=np.delete(delta, i),
        deriv=np.delete(rows.deriv, i),
        group=np.delete(rows.group, i),
        y=np.delete(rows.y, i),
        ratio=np.delete(rows.ratio, i),
    )
    try:
        require_identified(others, order)
    except IdentificationError:
        return False
    return True
