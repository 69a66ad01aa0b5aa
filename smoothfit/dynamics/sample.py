"""What was sampled: runs of observations and inputs on one grid of nodes each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._frames import RowLabels, in_library
from .._validation import FloatArray, check_memory, first_index, frozen
from ..errors import DataError
from ..observations.abscissa import Abscissa
from .specification import Equation, derivative_name

if TYPE_CHECKING:
    import pandas as pd

REGULAR = 1e-6  # of a step: what sample times may be off a regular grid
OF_NODE, OF_STATE, OF_GAP = 240.0, 160.0, 320.0  # bytes at the peak of a prediction: a node by output, by state, a gap by states^2


@dataclass(frozen=True, eq=False)
class Channel:
    """One column of observations: a series that observes a derivative of an output.

    Attributes
    ----------
    name : str
    output : int
        Index of the output.
    deriv : int
    known : bool
        Whether its noise SD is given.
    """

    name: str
    output: int
    deriv: int
    known: bool = False


@dataclass(frozen=True, eq=False)
class Sample:
    """Observations and inputs at nodes, run after run, each run in order of time.

    Attributes
    ----------
    abscissa : Abscissa
        How t becomes numbers.
    t : ndarray, shape (n,)
    run : ndarray of int, shape (n,)
        Which run a node belongs to, 0, 1, ...
    labels : tuple
        What the user calls the runs.
    y : ndarray, shape (n, channels)
        Observations; NaN if there is none.
    ratio : ndarray, shape (n, channels)
        Noise variance of an observation if its SD is known, and relative to the channel's unknown variance elsewhere.
    u : ndarray, shape (n, inputs)
    channels : tuple of Channel
    outputs : tuple of str
    inputs : tuple of str
    t_name : str
    n_dropped : int
        Rows left out because lags or delays reach beyond their run.
    delay : float
        How much later than recorded inputs act.
    lags : tuple of int
        How many rows earlier each input is taken, increasing; rows later are negative.
    recorded : Sample or None
        The sample before its inputs were delayed and lagged; None if they are not.
    labels_of_rows : RowLabels or None
        The rows of the series or data frame that were passed.
    order : ndarray of int, or None
        Which of these rows each node is, in a sample as recorded; -1 if it is a time of inputs alone; None where nodes are of
        several series, each with rows of its own.
    """

    abscissa: Abscissa
    t: FloatArray
    run: npt.NDArray[np.int64]
    labels: tuple[Any, ...]
    y: FloatArray
    ratio: FloatArray
    u: FloatArray
    channels: tuple[Channel, ...]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    t_name: str = "t"
    n_dropped: int = 0
    delay: float = 0.0
    lags: tuple[int, ...] = (0,)
    recorded: Sample | None = None
    labels_of_rows: RowLabels | None = None
    order: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.t)

    @property
    def n_readings(self) -> int:
        """Number of observations that are not missing."""
        return int(np.isfinite(self.y).sum())

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Index of the first node of each run."""
        return np.flatnonzero(np.diff(self.run, prepend=-1))

    def slices(self) -> Iterator[slice]:
        ends = [*self.starts[1:].tolist(), len(self.t)]
        for start, end in zip(self.starts.tolist(), ends, strict=True):
            yield slice(start, end)

    def slice_of(self, run: int) -> slice:
        start, stop = self.edges[run : run + 2].tolist()
        return slice(start, stop)

    @cached_property
    def longest(self) -> float:
        """Duration of the longest run."""
        return max(float(np.ptp(self.t[s])) for s in self.slices())

    @cached_property
    def step(self) -> float | None:
        """The spacing of t where all runs are sampled at one regular spacing; None elsewhere."""
        spans = [self.t[s] for s in self.slices() if s.stop - s.start > 1]
        if not spans:
            return None
        longest = max(spans, key=len)
        h = float((longest[-1] - longest[0]) / (len(longest) - 1))
        if h == 0:
            return None
        rounding = 4 * np.finfo(float).eps * float(np.abs(self.t).max())  # of times such as 1.7e9 seconds
        for t in spans:
            if (np.abs(t - t[0] - h * np.arange(len(t))) > REGULAR * h + rounding).any():
                return None
        return h

    @cached_property
    def gaps(self) -> FloatArray:
        """Times between neighbouring nodes of a run, without those of zero between replicates."""
        gaps: FloatArray = np.diff(self.t)[np.diff(self.run) == 0]
        return gaps[gaps > 0]

    @cached_property
    def gap(self) -> float:
        """The typical spacing within runs: the step, or the median if there is none."""
        return self.step if self.step is not None else float(np.median(self.gaps))

    def decay(self, rate: float) -> float:
        """Decay at a rate (negative) between neighbours, in logarithms: that of the step, or of their mean squared correlation.

        The mean of exp(2 rate gap) is what the spacing contributes to the information on the rate: short gaps among long ones
        identify a fast pole.
        """
        rate, gaps = min(rate, 0.0), self.gaps if self.step is None else np.array([self.step])
        return -rate * float(gaps.min()) - 0.5 * float(np.log(np.mean(np.exp(2 * rate * (gaps - gaps.min())))))

    @property
    def first_replicate(self) -> int | None:
        """The first node at the time of the node before it; None if there is none."""
        same = (np.diff(self.t) == 0) & (np.diff(self.run) == 0)
        return int(np.argmax(same)) + 1 if same.any() else None

    @property
    def first_given(self) -> int | None:
        """The first series with given SDs or weights; None if there is none."""
        for i, channel in enumerate(self.channels):
            if channel.known or (self.ratio[np.isfinite(self.y[:, i]), i] != 1).any():
                return i
        return None

    def replicates_differ(self, channel: int) -> bool:
        """Whether a channel has different observations at one time, which no curve without noise passes."""
        known = np.isfinite(self.y[:, channel])
        t, run, y = self.t[known], self.run[known], self.y[known, channel]
        return bool(((np.diff(t) == 0) & (np.diff(run) == 0) & (np.diff(y) != 0)).any())

    @property
    def irregularity(self) -> float:
        """How far times are off the regular grid from the first to the last of their run, in mean steps; the worst run."""
        worst = 0.0
        for s in self.slices():
            t = self.t[s]
            if len(t) > 2 and t[-1] > t[0]:
                h = (t[-1] - t[0]) / (len(t) - 1)
                worst = max(worst, float(np.abs((t - t[0]) / h - np.arange(len(t))).max()))
        return worst

    @cached_property
    def steps(self) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """Class of the step into each node (-1 where a run starts), and the length of each class."""
        if self.step is not None:
            classes = np.zeros(len(self.t), np.int32)
            lengths = np.array([self.step])
        else:
            gaps = np.diff(self.t, prepend=self.t[0])
            gaps[self.starts] = np.nan
            inside = np.isfinite(gaps)
            # Times that are equal but for rounding share a class: gaps are compared in units of the rounding of t.
            quantum = float(np.ldexp(1.0, int(np.frexp(max(np.abs(self.t).max(), np.ptp(self.t)))[1]) - 49))
            keys = np.round(gaps[inside] / quantum)
            _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
            classes = np.zeros(len(self.t), np.int32)
            classes[inside] = inverse
            lengths = gaps[inside][first] if len(first) else np.ones(1)
        classes[self.starts] = -1
        return classes, lengths

    @property
    def recorded_inputs(self) -> tuple[str, ...]:
        """Names of the inputs, without their lags."""
        return self.inputs if self.recorded is None else self.recorded.inputs

    @property
    def acts_between(self) -> bool:
        """Whether inputs change at nodes that have no row, because they act later by no whole number of steps."""
        return self.delay > 0 and self.step is None

    @cached_property
    def rows(self) -> npt.NDArray[np.bool_]:
        """Which nodes are rows as passed, and not merely times where inputs change, (n,)."""
        if not self.acts_between or self.recorded is None:
            return np.ones(len(self), np.bool_)
        whole, found = self.recorded, np.empty(len(self), np.bool_)
        runs = {label: whole.t[s] for label, s in zip(whole.labels, whole.slices(), strict=True)}
        for label, s in zip(self.labels, self.slices(), strict=True):
            found[s] = np.isin(self.t[s], runs[label])
        return found

    def as_given(self, values: FloatArray, name: str) -> Any:
        """Values (n,) or (n, k) of the rows, sorted by run and time, by output or by series, under the labels of those passed.

        In the order of these, NaN if nothing is observed and in rows that delays and lags left out. By time where the observations
        are of several series; as they are if the rows have no labels.
        """
        if self.labels_of_rows is None:
            return values
        columns = values.reshape(len(values), -1)
        by_series = columns.shape[1] == len(self.channels)
        names = [channel.name for channel in self.channels] if by_series else list(self.outputs)
        whole = self.recorded or self
        if whole.order is None:
            return self._by_time(values, name, names)
        kept = np.flatnonzero(self.rows)
        seen = np.isfinite(self.y[kept])
        if not by_series:
            of = np.array([channel.output for channel in self.channels])
            seen = np.column_stack([seen[:, of == i].any(axis=1) for i in range(len(self.outputs))])
        columns, runs = np.where(seen, columns, np.nan), self.run[kept]
        found = np.full((int(whole.order.max()) + 1, columns.shape[1]), np.nan)
        for i, label in enumerate(self.labels):
            given = whole.order[whole.slice_of(whole.labels.index(label))]
            own = columns[runs == i]
            stop = len(given) - max(0, -self.lags[0])  # the last rows are left out where inputs act ahead, the first ones else
            places = given[stop - len(own) : stop]
            found[places[places >= 0]] = own[places >= 0]
        labels = self.labels_of_rows
        return labels.series(found[:, 0], name) if values.ndim == 1 else labels.frame(found, names)

    def _by_time(self, values: FloatArray, name: str, names: Sequence[str]) -> Any:
        """Values of the rows as a series or a frame whose index is their times, or that has these for its first column."""
        import pandas as pd

        assert self.labels_of_rows is not None
        columns = [name] if values.ndim == 1 else list(names)
        found = pd.DataFrame(values.reshape(len(values), -1), index=self.times_of_rows, columns=columns)
        frame = in_library(found, self.labels_of_rows.library)
        return frame[name] if frame is found and values.ndim == 1 else frame

    @property
    def times_of_rows(self) -> pd.Index:
        """Times of the rows, sorted by run and time, as the user measures them."""
        import pandas as pd

        found: pd.Index[Any] = pd.Index(self.abscissa.shown(self.abscissa.restore(self.t[self.rows])), name=self.t_name)
        return found

    @property
    def reads_values_only(self) -> bool:
        """Whether there is one series for each output, which observes the output itself."""
        return tuple((c.output, c.deriv) for c in self.channels) == tuple((i, 0) for i in range(len(self.outputs)))

    @property
    def edges(self) -> npt.NDArray[np.int64]:
        """Index of the first node of each run, and n, shape (runs + 1,)."""
        return np.append(self.starts, len(self.t)).astype(np.int64)

    def head(self, count: int) -> Sample:
        parts = {name: getattr(self, name)[:count] for name in ("t", "run", "y", "ratio", "u")}
        return replace(self, labels=self.labels[: int(parts["run"][-1]) + 1], **parts)

    def less(self, outputs: FloatArray, inputs: FloatArray) -> Sample:
        """The sample with levels of the outputs and of the inputs taken off."""
        levels = np.array([outputs[channel.output] if channel.deriv == 0 else 0.0 for channel in self.channels])
        return replace(self, y=frozen(self.y - levels), u=frozen(self.u - inputs))

    def with_readings(self, y: FloatArray) -> Sample:
        """The same design with other observations."""
        return replace(self, y=frozen(y))


def term_columns(sample: Sample, equation: Equation, curves: Sequence[FloatArray], t: FloatArray) -> list[FloatArray]:
    """Non-linear terms of curves (y, y', ...) at times t, a column each; NaN only where a curve is.

    Raises
    ------
    DataError
        A term is infinite or NaN where the curves are known; the message has its name, the first such row, and their number.
    """
    columns = []
    known = np.isfinite(curves).all(axis=0)
    for term in equation.terms:
        with np.errstate(all="ignore"):
            column = term(curves, t)
        bad = known & ~np.isfinite(column)
        if bad.any():
            i = first_index(bad)
            name = sample.outputs[0]
            where = ", ".join(f"{derivative_name(name, j)} = {curve[i]:.4g}" for j, curve in enumerate(curves))
            raise DataError(
                f"the term {term.name!r} is {column[i]:g} at {int(bad.sum())} of {len(t)} places, first at {sample.t_name} = "
                f"{sample.abscissa.label_of_number(float(t[i]))}, where {where}; give it a finite value there, for example by "
                "np.maximum or np.where, or set what lies beyond its domain to NaN"
            )
        columns.append(column)
    return columns


def check_nodes(n: float, n_gaps: float, equation: Equation) -> None:
    """Refuse more nodes than the memory holds in a prediction: n times with `n_gaps` distinct distances."""
    per_node = OF_NODE * equation.n_outputs + OF_STATE * equation.n_states
    needed = n * per_node + n_gaps * OF_GAP * equation.n_states**2
    check_memory(float(needed), f"a prediction at {n:.4g} times", "pass fewer t at once, or nearer ones")


def with_times(sample: Sample, run: int, times: FloatArray, equation: Equation) -> tuple[Sample, npt.NDArray[np.int64]]:
    """One run of a sample with nodes added at times, and the position of each time.

    Inputs go on as they last were after the run; before it they are not known.
    """
    s = sample.slice_of(run)
    t = sample.t[s]
    if len(times) and times.min() < t[0] and equation.inputs:
        raise DataError(
            f"t reaches back before the run, which starts at {sample.t_name} = {sample.abscissa.label_of_number(float(t[0]))}, and "
            f"no input is known there"
        )
    nodes, place = merged(t, times)
    check_nodes(len(nodes), len(np.unique(np.diff(nodes))), equation)
    y = np.full((len(nodes), sample.y.shape[1]), np.nan)
    ratio = np.ones_like(y)
    y[place], ratio[place] = sample.y[s], sample.ratio[s]
    inputs = between(t, sample.u[s], nodes, equation.intersample) if equation.inputs else np.zeros((len(nodes), 0))
    wide = replace(
        sample,
        t=frozen(nodes),
        run=frozen(np.zeros(len(nodes), np.int64)),
        labels=(sample.labels[run],),
        y=frozen(y),
        ratio=frozen(ratio),
        u=frozen(np.ascontiguousarray(inputs)),
    )
    return wide, np.searchsorted(nodes, times)


def merged(t: FloatArray, extra: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Times with those added that are not among them, in order, and where the first ones, replicates included, are."""
    nodes = np.concatenate([t, np.setdiff1d(extra, t)])
    order = np.argsort(nodes, kind="stable")
    place = np.empty(len(nodes), np.int64)
    place[order] = np.arange(len(nodes))
    return nodes[order], place[: len(t)]


def between(knots: FloatArray, values: FloatArray, nodes: FloatArray, intersample: str) -> FloatArray:
    """Inputs at nodes from their values at knots: held, or linear; after the last knot held."""
    if intersample == "foh":
        return np.column_stack([np.interp(nodes, knots, column) for column in values.T])
    return np.asarray(values[np.searchsorted(knots, nodes, side="right") - 1])
