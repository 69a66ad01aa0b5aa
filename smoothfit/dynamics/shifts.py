"""When inputs act: later than they are recorded (a delay), and over several rows, earlier or later (lags)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, check_order, frozen, shown
from ..errors import DataError, SpecificationError
from .sample import REGULAR, Sample, between, check_nodes, merged, with_times
from .specification import Equation

UNMOVED = (0,)  # lags of inputs that act as they are recorded
MOST = 10_000  # rows


def check_lags(lags: Any) -> tuple[int, ...]:
    """Lags of the inputs, of a number, up to which they go from zero, or of a pair, the first and the last."""
    if not isinstance(lags, (tuple, list)):
        last = check_order(lags, "lags", -MOST, MOST)
        return tuple(range(min(last, 0), max(last, 0) + 1))
    if len(lags) != 2:
        raise SpecificationError(f"lags is {shown(lags)}; pass a number of rows, or the first and the last lag as a pair")
    first, last = (check_order(lag, f"lags[{i}]", -MOST, MOST) for i, lag in enumerate(lags))
    if first > last:
        raise SpecificationError(f"lags is {shown(lags)}; of a pair the first lag is the smaller one")
    return tuple(range(first, last + 1))


def shifted(sample: Sample, delay: float, lags: tuple[int, ...], intersample: str) -> Sample:
    """Inputs that act `delay` later, each at its `lags`."""
    if not sample.inputs or not (delay or lags != UNMOVED):
        return sample
    moved = _delayed(sample, delay, intersample) if delay else sample
    moved = _lagged(moved, lags) if lags != UNMOVED else moved
    return replace(moved, recorded=sample, delay=delay, lags=lags)


def gone_on(
    sample: Sample, run: int, times: FloatArray, inputs: FloatArray, intersample: str
) -> tuple[Sample, npt.NDArray[np.int64]]:
    """One run of a sample with rows after it, where `inputs` (k, recorded inputs) are recorded, and the position of each.

    Inputs that act ahead of their row stay after the last one what they are there.
    """
    recorded = sample.recorded or sample
    s = recorded.slice_of(recorded.labels.index(sample.labels[run]))
    known, u = np.concatenate([recorded.t[s], times]), np.vstack([recorded.u[s], inputs])
    if sample.lags[0] < 0:
        ahead = np.arange(1, 1 - sample.lags[0])
        known, u = np.append(known, known[-1] + (recorded.step or 0.0) * ahead), np.vstack([u, np.tile(u[-1], (len(ahead), 1))])
    n, channels = s.stop - s.start, len(sample.channels)
    k = len(known) - n
    wide = replace(
        recorded,
        t=frozen(known),
        run=frozen(np.zeros(n + k, np.int64)),
        labels=(sample.labels[run],),
        y=frozen(np.vstack([recorded.y[s], np.full((k, channels), np.nan)])),
        ratio=frozen(np.vstack([recorded.ratio[s], np.ones((k, channels))])),
        u=frozen(u),
    )
    wide = shifted(wide, sample.delay, sample.lags, intersample)
    return wide, np.searchsorted(wide.t, times)


def reaching(sample: Sample, run: int, times: FloatArray, equation: Equation) -> tuple[Sample, npt.NDArray[np.int64]]:
    """As `with_times`; after the run inputs stay as they were last recorded, and act by delays and lags."""
    recorded = sample.recorded
    end = float(sample.t[sample.slice_of(run).stop - 1])
    if recorded is not None and len(times) and times.max() > end:
        h, whole = recorded.step, recorded.slice_of(recorded.labels.index(sample.labels[run]))
        end = float(recorded.t[whole.stop - 1])
        check_nodes(len(times) if h is None else (times.max() - end) / h, len(times) if h is None else 1, equation)
        ahead = (
            np.unique(times[times > end]) if h is None else end + h * np.arange(1, np.ceil((times.max() - end) / h - REGULAR) + 1)
        )
        last = recorded.u[whole.stop - 1]
        sample, run = gone_on(sample, run, ahead, np.tile(last, (len(ahead), 1)), equation.intersample)[0], 0
    return with_times(sample, run, times, equation)


def acting(
    sample: Sample, times: FloatArray, inputs: FloatArray, intersample: str
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Nodes, what acts there of `inputs` (n, recorded inputs) recorded at `times`, and where these are among the nodes.

    Before the first row, inputs were what they are there; after the last one they stay so.
    """
    nodes = times
    if sample.delay:
        later = _snapped(times + sample.delay, times, min(sample.delay, float(np.diff(times, append=np.inf).min())))
        nodes = np.unique(np.concatenate([times, later[later <= times[-1]]]))
        knots = np.concatenate([[min(times[0], later[0]) - 1.0], later])
        inputs = between(knots, np.vstack([inputs[:1], inputs]), nodes, intersample)
    if sample.lags != UNMOVED:
        rows = np.arange(len(nodes))[:, None] - np.array(sample.lags)
        inputs = inputs[np.clip(rows, 0, len(nodes) - 1)].transpose(0, 2, 1).reshape(len(nodes), -1)
    return nodes, np.ascontiguousarray(inputs), np.searchsorted(nodes, times)


def redelayed(sample: Sample, delay: float, intersample: str) -> tuple[Sample, npt.NDArray[np.int64]]:
    """One run at its nodes with inputs that act at another delay, and where these nodes are then.

    Before the first input acts, it is taken to act already: a longer delay keeps all nodes.
    """
    recorded = sample.recorded or sample
    s = recorded.slice_of(recorded.labels.index(sample.labels[0]))
    knots = _snapped(recorded.t[s] + delay, sample.t, recorded.gap)
    nodes, place = merged(sample.t, knots[(knots > sample.t[0]) & (knots <= sample.t[-1])])
    y = np.full((len(nodes), sample.y.shape[1]), np.nan)
    ratio = np.ones_like(y)
    y[place], ratio[place] = sample.y, sample.ratio
    first = np.append(min(nodes[0], knots[0]) - 1.0, knots)
    u = between(first, np.vstack([recorded.u[s][:1], recorded.u[s]]), nodes, intersample)
    moved = replace(
        sample,
        t=frozen(nodes),
        run=frozen(np.zeros(len(nodes), np.int64)),
        y=frozen(y),
        ratio=frozen(ratio),
        u=frozen(np.ascontiguousarray(u)),
    )
    return moved, place


def _snapped(later: FloatArray, times: FloatArray, gap: float) -> FloatArray:
    """Times at which inputs act, those of `times` that they are but for rounding: delays of whole steps."""
    nearest = times[np.minimum(np.searchsorted(times, later - gap / 2), len(times) - 1)]
    return np.where(np.abs(later - nearest) <= REGULAR * gap, nearest, later)


def _delayed(sample: Sample, delay: float, intersample: str) -> Sample:
    """Inputs that act `delay` later; what comes before the first of them acts is left out."""
    h = sample.step
    whole = h is not None and abs(delay / h - round(delay / h)) <= REGULAR
    times, runs, tables, ratios, inputs = [], [], [], [], []
    dropped = 0
    for s in sample.slices():
        t = sample.t[s]
        if whole:
            assert h is not None
            k = round(delay / h)
            kept = np.arange(len(t)) >= k
            nodes, u = t[kept], sample.u[s][: max(0, len(t) - k)]
            at = np.arange(len(nodes))
        else:
            knots = t + delay
            kept = t >= knots[0]
            nodes, at = merged(t[kept], knots[knots <= t[-1]])
            u = between(knots, sample.u[s], nodes, intersample) if len(nodes) else sample.u[s][:0]
        dropped += int((~kept).sum())
        table = np.full((len(nodes), sample.y.shape[1]), np.nan)
        ratio = np.ones_like(table)
        table[at], ratio[at] = sample.y[s][kept], sample.ratio[s][kept]
        times.append(nodes)
        runs.append(np.full(len(nodes), sample.run[s.start]))
        tables.append(table)
        ratios.append(ratio)
        inputs.append(u)
    return _joined(sample, times, runs, tables, ratios, inputs, sample.inputs, dropped, f"delay = {delay:g}")


def _lagged(sample: Sample, lags: tuple[int, ...]) -> Sample:
    """Each input at its lags; rows of each run that these reach beyond are left out."""
    if sample.step is None:
        raise SpecificationError(
            "lags= counts rows, which are not at regular times here; resample u, or use delay= in the unit of t"
        )
    times, runs, tables, ratios, inputs = [], [], [], [], []
    dropped, back, ahead = 0, max(lags[-1], 0), max(-lags[0], 0)
    for s in sample.slices():
        n = s.stop - s.start
        count = max(n - back - ahead, 0)
        dropped += n - count
        kept = slice(s.start + back, s.start + back + count) if count else slice(s.start, s.start)
        u = sample.u[s]
        inputs.append(
            np.column_stack([u[back - k : back - k + count, i] for i in range(u.shape[1]) for k in lags])
            if count
            else np.zeros((0, u.shape[1] * len(lags)))
        )
        times.append(sample.t[kept])
        runs.append(sample.run[kept])
        tables.append(sample.y[kept])
        ratios.append(sample.ratio[kept])
    names = tuple(f"{name}.{'L' if k > 0 else 'F'}{abs(k)}" if k else name for name in sample.inputs for k in lags)
    return _joined(sample, times, runs, tables, ratios, inputs, names, dropped, f"lags = {lags[0]} to {lags[-1]}")


def _joined(
    sample: Sample,
    times: list[FloatArray],
    runs: list[npt.NDArray[np.int64]],
    tables: list[FloatArray],
    ratios: list[FloatArray],
    inputs: list[FloatArray],
    names: tuple[str, ...],
    dropped: int,
    why: str,
) -> Sample:
    t = np.concatenate(times)
    if not len(t):
        raise DataError(f"{why} reaches beyond the run of every row; there is nothing left to fit")
    run = np.concatenate(runs)
    present = np.unique(run)
    return replace(
        sample,
        t=frozen(t),
        run=frozen(np.searchsorted(present, run)),
        labels=tuple(sample.labels[k] for k in present),
        y=frozen(np.concatenate(tables)),
        ratio=frozen(np.concatenate(ratios)),
        u=frozen(np.ascontiguousarray(np.concatenate(inputs))),
        inputs=names,
        n_dropped=sample.n_dropped + dropped,
    )
