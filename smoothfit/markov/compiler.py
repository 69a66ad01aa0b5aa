"""From functionals of a curve to what the kernel runs: nodes, classes of steps, rows of the state.

The state holds, in this order,

- the processes: the prior, coefficients of regressors that vary, and noise processes of single series,
- accumulators: the integral of f from the lower limit of an interval, reset where the interval begins,
- held values: f at the first limit of a difference, or the state at the first node,
- totals: integrals or differences up to a common end, unknown constants until a row without noise determines them there,
- coefficients of regressors and interventions, which never change.

`slots` decides which intervals share an accumulator.
Everything here is scaled by `Scale`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, IntArray
from ..errors import SpecificationError
from ..observations.abscissa import Points
from .functionals import DIFFERENCE, INTEGRAL, VALUE, Functionals
from .process import Prior
from .processes import Processes
from .program import Program
from .slots import FRESH, OPEN, Intervals, planned

MOST_STATES = 60  # of the kernel
ROUNDED = 2.0  # units of rounding of the largest x, by which steps of an even grid differ


def even_steps(steps: FloatArray, rounding: float) -> FloatArray:
    """Steps (n,), of which those that differ by `rounding` of x are one, their mean.

    A season turns in the steps of a grid by exact fractions of its period: the rounding of these would be taken for a trace of what
    nothing identifies, or not, as other parameters move.
    """
    gaps = np.diff(np.sort(steps))
    if not (gaps[gaps > 0] <= rounding).any():
        return steps
    dt, of_step, counts = np.unique(steps, return_inverse=True, return_counts=True)
    first = np.flatnonzero(np.diff(dt, prepend=-np.inf) > rounding)
    last = np.append(first[1:], len(dt)) - 1
    if len(first) == len(dt) or np.any(dt[last] - dt[first] > 2 * rounding):
        return steps
    cluster = np.searchsorted(first, np.arange(len(dt)), side="right") - 1
    means = dt[first] + np.add.reduceat((dt - dt[first][cluster]) * counts, first) / np.add.reduceat(counts, first)
    return np.asarray(means[cluster[of_step.ravel()]])


def compiled(
    processes: Processes,
    functionals: Functionals,
    readout: FloatArray,
    labels: tuple[str, ...] = (),
    *,
    close: Points | None = None,
) -> Program:
    """Compile functionals.

    Parameters
    ----------
    readout : ndarray, shape (D,)
        Row of f.
    labels : tuple of str
        Names of the coefficients.
    close : Points, optional
        Two values of x, of which the first precedes and the second follows all others: the prior's state is the same at both.

    Raises
    ------
    SpecificationError
        More intervals are open at once than the state can hold.
    """
    n, D, p = len(functionals), processes.dim, functionals.effects.shape[1]
    spans = functionals.kind != VALUE
    parts = [functionals.end, functionals.start.take(spans)] + ([] if close is None else [close])
    points = Points.join(parts)
    _, node, steps = points.distinct()
    n_nodes = len(steps) + 1
    integral, difference = functionals.kind == INTEGRAL, functionals.kind == DIFFERENCE
    begin = np.full(n, -1, np.int64)
    begin[spans] = node[n : n + int(spans.sum())]
    n_ring = 0 if close is None else processes.terms[0].dim  # values of the prior's state at the first node
    plain = difference & (functionals.process == readout).all(axis=1)
    intervals = planned(begin, node[:n], integral, difference, plain, n_nodes, MOST_STATES - D - n_ring - p)
    acc, held, n_totals = intervals.n_accumulators, intervals.n_held, len(intervals.totals)
    use, sources = intervals.uses, np.repeat(readout[None], held, axis=0)
    if close is not None:
        ring = np.full((n_nodes, n_ring), OPEN, np.int8)
        ring[1] = FRESH
        use = np.hstack([use, ring])
        sources = np.vstack([sources, np.eye(n_ring, D)])
    places = _Places(D, D + acc + len(sources), D + acc + len(sources) + n_totals)
    M = places.effects + p
    _check_size(M, acc + held + n_totals if acc + held else 0)
    rows, at = _constraints(intervals, readout, places, M)
    if close is not None:
        rows = np.vstack([rows, np.eye(n_ring, M) - np.eye(n_ring, M, D + acc + held)])
        at = np.append(at, np.full(n_ring, n_nodes - 1))
    none, end = np.zeros(len(rows)), np.append(intervals.read_at, at)
    by_node = np.argsort(end, kind="stable")
    y, ratio, offset = (np.append(part, none)[by_node] for part in (functionals.y, functionals.ratio, functionals.offset))
    starts = _starts_of_late(processes.terms[0], functionals.process, node[:n])
    dt, waits, dt_of_step = _distinct_steps(_evened(steps, points, processes.x_unit), starts)
    class_of_step, class_dt, class_slots = _classes(dt_of_step, use)
    return Program(
        processes=processes,
        step=np.concatenate([[0], class_of_step]).astype(np.int32),
        first=np.concatenate([[0], np.cumsum(np.bincount(end, minlength=n_nodes))]).astype(np.int64),
        H=np.vstack([_readouts(functionals, intervals, places), rows])[by_node],
        y=y,
        ratio=ratio,
        offset=offset,
        group=np.append(functionals.group, none.astype(np.uint8))[by_node].astype(np.uint8),
        order=np.append(np.arange(n), np.full(len(rows), -1))[by_node],
        dt=dt,
        waits=waits,
        class_dt=class_dt,
        class_slots=class_slots,
        n_accumulators=acc,
        sources=sources,
        n_totals=n_totals,
        effects=labels,
        closed=close is not None,
    )


def _starts_of_late(prior: Prior, rows: FloatArray, nodes: IntArray) -> IntArray:
    """Nodes (late,) at which the prior's states that start late are first used, by `rows` of the processes (n, D) at `nodes`."""
    used = rows[:, prior.dim - prior.late : prior.dim] != 0
    return np.array([nodes[one].min(initial=nodes.max(initial=0)) for one in used.T], np.int64)


def _distinct_steps(steps: FloatArray, starts: IntArray) -> tuple[FloatArray, npt.NDArray[np.bool_], IntArray]:
    """Distinct steps (k,), which states that start late at nodes (late,) wait over them (k, late), and the place of each step."""
    dt, place = np.unique(steps, return_inverse=True)
    waits = np.arange(1, len(steps) + 1)[:, None] <= starts
    if not waits.any():
        return dt, np.zeros((len(dt), len(starts)), dtype=bool), place.ravel()
    pairs, place = np.unique(np.column_stack([place, waits]), axis=0, return_inverse=True)
    return dt[pairs[:, 0]], pairs[:, 1:].astype(bool), place.ravel()


def _evened(steps: FloatArray, points: Points, x_unit: float) -> FloatArray:
    """Scaled steps, those that differ by rounding of x alike."""
    size = float(np.abs(points.coarse).max()) if points.fine is None else 0.0
    return even_steps(steps / x_unit, ROUNDED * np.finfo(float).eps * size / x_unit)


def _check_size(n_states: int, n_open: int) -> None:
    if n_states > MOST_STATES:
        what = f", {n_open} of them for intervals that are open at one x" if n_open else ""
        raise SpecificationError(
            f"the model has a state of {n_states} components{what}; the kernel takes {MOST_STATES}: use fewer harmonics, "
            "regressors or components, or intervals that overlap less, or SplineRegression, which takes any"
        )


class _Places(NamedTuple):
    """Where accumulators and held values, totals, and coefficients begin in the state; they follow the processes."""

    slots: int
    totals: int
    effects: int


def _readouts(functionals: Functionals, intervals: Intervals, places: _Places) -> FloatArray:
    """Rows (n, M) of functionals, at the nodes at which they are evaluated."""
    D, p = functionals.process.shape[1], functionals.effects.shape[1]
    integral, difference, backward = functionals.kind == INTEGRAL, functionals.kind == DIFFERENCE, intervals.total >= 0
    H = np.zeros((len(functionals), places.effects + p))
    H[:, :D] = functionals.process * np.where(backward & difference, -1.0, 1.0)[:, None]
    own = np.flatnonzero(intervals.slot >= 0)
    H[own, places.slots + intervals.slot[own]] = np.where(integral & ~backward, 1.0, -1.0)[own]
    H[np.flatnonzero(backward), places.totals + intervals.total[backward]] = 1.0
    H[:, places.effects :] = functionals.effects
    return H


def _constraints(intervals: Intervals, readout: FloatArray, places: _Places, n_states: int) -> tuple[FloatArray, IntArray]:
    """Rows (n_totals, M) without noise that determine totals, and their nodes."""
    rows = np.zeros((len(intervals.totals), n_states))
    for j, total in enumerate(intervals.totals):
        rows[j, places.totals + j] = 1.0
        if total.slot >= 0:
            rows[j, places.slots + total.slot] = -1.0
        else:
            rows[j, : len(readout)] = -readout
    return rows, np.array([total.end for total in intervals.totals], np.int64)


def _classes(dt_of_step: IntArray, use: npt.NDArray[np.int8]) -> tuple[IntArray, IntArray, npt.NDArray[np.int8]]:
    """The class of each step, and of each class the distinct step and the use of slots."""
    if not use.shape[1]:
        n = int(dt_of_step.max(initial=-1)) + 1
        return dt_of_step, np.arange(n), np.zeros((n, 0), np.int8)
    patterns, pattern_of_step = np.unique(use[1:], axis=0, return_inverse=True)
    codes, class_of_step = np.unique(dt_of_step * len(patterns) + pattern_of_step.ravel(), return_inverse=True)
    class_dt, class_pattern = np.divmod(codes, len(patterns))
    return class_of_step.ravel(), class_dt, patterns[class_pattern]
