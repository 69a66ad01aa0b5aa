"""Assignment of intervals to components of the state.

Intervals from one origin share an accumulator, read where each ends: cumulative counts need one. Others that overlap have
accumulators of their own, by greedy colouring of the interval graph; all that do not overlap share one. Where that needs more than
the state can hold, so do intervals with a common end: with C the integral from the first of their beginnings to that end, an
unknown constant that a row without noise determines there, each is C less the accumulator, read where it begins. Differences of f
likewise, with f at a limit held instead of accumulated.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import IntArray

Mask = npt.NDArray[np.bool_]
CLOSED, FRESH, OPEN = 0, 1, 2  # what a slot is over a step: of no interval, of one that begins with the step, of one that goes on
FEWEST = 3  # intervals with a common end that are worth a constant and an accumulator


class Total(NamedTuple):
    """An integral or a difference up to a common end: the node there, and its accumulator, or -1 of a difference."""

    end: int
    slot: int


@dataclass(frozen=True, eq=False)
class Intervals:
    """Nodes and components of the state at which functionals between nodes are evaluated.

    Attributes
    ----------
    read_at : ndarray, shape (n,)
        Node at which each functional is evaluated.
    slot : ndarray, shape (n,)
        Accumulator, or n_accumulators + held value, that it uses with sign; -1 for none.
    total : ndarray, shape (n,)
        Constant that it uses; -1 for none.
    uses : ndarray, shape (n_nodes, n_accumulators + n_held)
        What each slot is over the step into each node.
    totals : tuple of Total
    """

    read_at: IntArray
    slot: IntArray
    total: IntArray
    uses: npt.NDArray[np.int8]
    n_accumulators: int
    n_held: int
    totals: tuple[Total, ...]

    @property
    def size(self) -> int:
        """Components of the state."""
        return self.n_accumulators + self.n_held + len(self.totals)


def planned(begin: IntArray, end: IntArray, integral: Mask, difference: Mask, plain: Mask, n_nodes: int, room: int) -> Intervals:
    """Slots of functionals that begin and end at nodes (n,), with common ends where the state has not room otherwise.

    `plain` are the differences of f itself, which may have a common end.
    """
    if not (integral.any() or difference.any()):
        none = np.full(len(end), -1, np.int64)
        return Intervals(end, none, none, np.zeros((n_nodes, 0), np.int8), 0, 0, ())
    kinds = np.where(integral, 0, np.where(difference, 1, -1))
    plan = _plan(begin, end, kinds, (), n_nodes)
    if plan.size <= room:
        return plan
    shared = np.unique(np.column_stack([end, kinds, begin])[integral | plain], axis=0)
    ends, counts = np.unique(shared[:, :2], axis=0, return_counts=True)
    best, chosen = plan, []
    for i in np.argsort(-counts, kind="stable")[:room]:
        if counts[i] < FEWEST:
            break
        chosen.append((int(ends[i, 0]), int(ends[i, 1])))
        plan = _plan(begin, end, np.where((kinds == 1) & ~plain, 2, kinds), tuple(chosen), n_nodes)
        if plan.size < best.size:
            best = plan
        if best.size <= room:
            break
    return best


def _plan(begin: IntArray, end: IntArray, kinds: IntArray, common: tuple[tuple[int, int], ...], n_nodes: int) -> Intervals:
    """Slots where intervals of a kind, 0 integrals, 1 and 2 differences, that end at one of the `common` ends have a total."""
    read_at, slot, total = end.copy(), np.full(len(end), -1, np.int64), np.full(len(end), -1, np.int64)
    firsts = []
    for j, (at, kind) in enumerate(common):
        members = (end == at) & (kinds == kind)
        total[members] = j
        read_at[members] = begin[members]
        firsts.append(int(begin[members].min()))
    forward = total < 0
    # each total of integrals accumulates from its first beginning to its end, as an interval of its own would
    sums = [(first, at, j) for j, (first, (at, kind)) in enumerate(zip(firsts, common, strict=True)) if kind == 0]
    own = np.flatnonzero((kinds == 0) & forward)
    begins = np.concatenate([begin[own], np.array([s[0] for s in sums], np.int64)])
    ends = np.concatenate([end[own], np.array([s[1] for s in sums], np.int64)])
    slots, n_accumulators = _coloured(begins, ends)
    slot[own] = slots[: len(own)]
    of_total = {j: int(s) for (_, _, j), s in zip(sums, slots[len(own) :], strict=True)}
    for j, (first, _, _) in ((s[2], s) for s in sums):
        slot[(total == j) & (begin > first)] = of_total[j]
    held = np.flatnonzero((kinds > 0) & forward)
    held_slots, n_held = _coloured(begin[held], end[held])
    slot[held] = n_accumulators + held_slots
    uses = np.hstack(
        [_uses(begins, ends, slots, n_nodes, n_accumulators), _uses(begin[held], end[held], held_slots, n_nodes, n_held)]
    )
    totals = tuple(Total(at, of_total.get(j, -1)) for j, (at, _) in enumerate(common))
    return Intervals(read_at, slot, total, uses, n_accumulators, n_held, totals)


def _coloured(begin: IntArray, end: IntArray) -> tuple[IntArray, int]:
    """Slot of each interval between nodes; those with a common begin share one until the last ends. And the number of slots."""
    starts, inverse = np.unique(begin, return_inverse=True)
    last = np.zeros(len(starts), np.int64)
    np.maximum.at(last, inverse.ravel(), end)
    busy: list[tuple[int, int]] = []
    free: list[int] = []
    slot, count = np.zeros(len(starts), np.int64), 0
    for i, (low, high) in enumerate(zip(starts.tolist(), last.tolist(), strict=True)):
        while busy and busy[0][0] <= low:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            slot[i] = heapq.heappop(free)
        else:
            slot[i], count = count, count + 1
        heapq.heappush(busy, (high, int(slot[i])))
    return slot[inverse.ravel()], count


def _uses(begin: IntArray, end: IntArray, slot: IntArray, n_nodes: int, n_slots: int) -> npt.NDArray[np.int8]:
    """What each slot is over the step into each node: (n_nodes, n_slots)."""
    pairs, inverse = np.unique(np.column_stack([begin, slot]), axis=0, return_inverse=True)
    last = np.zeros(len(pairs), np.int64)
    np.maximum.at(last, inverse.ravel(), end)
    change = np.zeros((n_nodes + 1, n_slots), np.int8)
    np.add.at(change, (pairs[:, 0] + 1, pairs[:, 1]), 1)
    np.add.at(change, (last + 1, pairs[:, 1]), -1)
    uses = np.cumsum(change, axis=0, dtype=np.int8)[:n_nodes] * np.int8(OPEN)
    uses[pairs[:, 0] + 1, pairs[:, 1]] = FRESH
    return uses
