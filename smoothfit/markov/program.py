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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError, SpecificationError
from ..observations.abscissa import Points
from .blocks import TABLE, Block, blocks_of, table
from .process import AMPLITUDE, INTENSITY, RESPONSE, Prior, Start, split_values, start_together
from .slots import FRESH, OPEN, Intervals, planned

IntArray = npt.NDArray[np.int64]
AnyArray = npt.NDArray[Any]
MOST_STATES = 60  # of the kernel
ROUNDED = 2.0  # units of rounding of the largest x, by which steps of an even grid differ
DIRECTIONS = 2  # that the kernel takes at once
VALUE, INTEGRAL, DIFFERENCE = 0, 1, 2


COLUMNS = ("kind", "process", "effects", "y", "ratio", "group", "offset")  # arrays of functionals beside their points


@dataclass(frozen=True, eq=False)
class Functionals:
    """Functionals of the state: row i is a combination of the processes at `end`, or over the interval from `start` to `end`.

    Attributes
    ----------
    start, end : Points, n values of x
    kind : ndarray of int, shape (n,)
        `VALUE`, `INTEGRAL` of f, `DIFFERENCE` of f.
    process : ndarray, shape (n, D)
        Row of the processes at `end`, beside an integral.
    effects : ndarray, shape (n, p)
        Design of the coefficients.
    y, ratio, group : ndarray, shape (n,)
        Observation (NaN where one is asked for), variance ratio, variance group.
    offset : ndarray, shape (n,)
        Known variance beside that of the group.
    """

    start: Points
    end: Points
    kind: npt.NDArray[np.int8]
    process: FloatArray
    effects: FloatArray
    y: FloatArray
    ratio: FloatArray
    group: npt.NDArray[np.uint8]
    offset: FloatArray

    def __len__(self) -> int:
        return len(self.y)

    def noise(self, variance: FloatArray) -> FloatArray:
        """Variance (n,) of the noise, at variances of the groups."""
        return self.ratio * variance[self.group] + self.offset

    @classmethod
    def join(cls, parts: Sequence[Functionals]) -> Functionals:
        """Concatenate."""

        def column(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts])

        def points(name: str) -> Points:
            return Points.join([getattr(part, name) for part in parts])

        return cls(points("start"), points("end"), **{name: column(name) for name in COLUMNS})

    def take(self, keep: npt.NDArray[np.bool_]) -> Functionals:
        """Some of them."""
        return Functionals(self.start.take(keep), self.end.take(keep), **{name: getattr(self, name)[keep] for name in COLUMNS})


@dataclass(frozen=True, eq=False)
class Processes:
    """The prior and other processes side by side, x measured in `x_unit`; `labels` name the first of them, "" by themselves."""

    terms: tuple[Prior, ...]
    x_unit: float
    labels: tuple[str, ...] = ()

    @cached_property
    def dim(self) -> int:
        """Components of all states."""
        return sum(term.dim for term in self.terms)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """What the kernels get of them."""
        return blocks_of(self.terms, self.x_unit)

    def start(self, values: AnyArray) -> Start:
        """Law of the first state."""
        return start_together(
            [term.start(v, self.x_unit) for term, v in zip(self.terms, split_values(self.terms, values), strict=True)]
        )


class Sums(NamedTuple):
    """Terms of -2 log-likelihood = n_used log 2 pi + log_det + sse, with derivatives: (1 + p,) each.

    log_information is log|Z'P Z|, Z the design of the coefficients and P = K^-1 less its part in the diffuse directions of the
    start.
    """

    log_det: FloatArray
    sse: FloatArray
    log_information: FloatArray
    n_used: int


class Adjoint(NamedTuple):
    """The information of all observations on changes of the state, and of each observation by itself.

    Attributes
    ----------
    score, information : ndarray, shape (n_nodes, M)
        Of a change of each component of the state before the observations of each node.
    errors : ndarray, shape (n, 2)
        Of each functional u and D: u / D is the observation less its prediction from all others, of variance 1 / D.
    is_start : ndarray of bool, shape (n,)
        Whether an unknown direction of the start took the observation up.
    start_nodes : ndarray
        Nodes at which unknown directions took rows up, in their order.
    """

    score: FloatArray
    information: FloatArray
    errors: FloatArray
    is_start: npt.NDArray[np.bool_]
    start_nodes: IntArray


@dataclass(frozen=True, eq=False)
class Program:
    """What the kernel runs; made by `compiled`.

    Attributes
    ----------
    step, first, H, y, ratio, offset, group
        As in markov.hpp.
    order : ndarray of int, shape (n,)
        Functional of each row; -1 for a constraint.
    dt : ndarray
        Distinct steps; `class_dt` (C,) and `class_slots` (C, slots) are the step and the use of each slot by class.
    waits : ndarray of bool, shape (n_dt, late)
        Over which of these steps the prior's states that start late have not started.
    sources : ndarray, shape (n_held, D)
        What held slots hold.
    """

    processes: Processes
    step: npt.NDArray[np.int32]
    first: IntArray
    H: FloatArray
    y: FloatArray
    ratio: FloatArray
    offset: FloatArray
    group: npt.NDArray[np.uint8]
    order: IntArray
    dt: FloatArray
    waits: npt.NDArray[np.bool_]
    class_dt: IntArray
    class_slots: npt.NDArray[np.int8]
    n_accumulators: int
    sources: FloatArray
    n_totals: int
    effects: tuple[str, ...]
    complete: bool = True  # whether the observations are to determine the state
    closed: bool = False  # whether the prior's state is to be the same at both ends
    unknown: int | None = None  # how many diffuse directions of the start are unknown: all, unless given
    without_effects: bool = False  # whether coefficients are zero

    @property
    def n_effects(self) -> int:
        """Number of coefficients."""
        return len(self.effects)

    @property
    def n_states(self) -> int:
        """Components of the state."""
        return int(self.H.shape[1])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_read", "_steps")}

    @cached_property
    def _read(self) -> _kernels.MarkovRows:
        return _kernels.MarkovRows(self.step, self.first, self.H, self.y, self.ratio, self.offset, self.group)

    @cached_property
    def _steps(self) -> _kernels.MarkovSteps:
        blocks = self.processes.blocks
        return _kernels.MarkovSteps(
            np.array([(b.kind, b.dim, b.parameter, b.integrated) for b in blocks], np.int32),
            np.array([b.constant for b in blocks]),
            self.dt,
            self.class_dt,
            self.class_slots,
            np.ascontiguousarray(self.sources),
            self.n_accumulators,
            self.n_totals + self.n_effects,
        )

    def _unknown(self, values: FloatArray) -> FloatArray:
        """The directions B of the state (M, K) in which nothing is known at the start."""
        diffuse = self.processes.start(values).diffuse[:, : self.unknown]
        constants = self.n_totals + (0 if self.without_effects else self.n_effects)
        D, k = diffuse.shape
        first = self.n_states - self.n_totals - self.n_effects
        B = np.zeros((self.n_states, k + constants))
        B[:D, :k] = diffuse
        B[first : first + constants, k:] = np.eye(constants)
        return B

    @cached_property
    def _constant_unknown(self) -> FloatArray | None:
        """The same at all hyperparameters of processes that the kernels support."""
        return None if any(b.kind == TABLE for b in self.processes.blocks) else self._unknown(self._ones)

    @cached_property
    def _start_of_width(self) -> dict[int, FloatArray]:
        """The same with derivatives of zero (M, K, width), by their width."""
        unknown = self._constant_unknown
        return {} if unknown is None else {width: widened(unknown, width) for width in (1, 1 + DIRECTIONS)}

    def _arguments(
        self,
        values: FloatArray,
        variance: FloatArray,
        free: Sequence[int] = (),
        slopes: FloatArray | None = None,
        *,
        is_still: bool = False,
    ) -> tuple[Any, ...]:
        """What a kernel takes, with derivatives along the rows of `slopes` (p, G), p <= `DIRECTIONS`, the first those of `free`."""
        count = 0 if slopes is None else len(slopes)
        width = 1 + (DIRECTIONS if count else 0)
        parameters, noise = np.zeros((len(values), width)), np.zeros((len(variance), width))
        parameters[:, 0], noise[:, 0] = values, variance
        parameters[free, range(1, 1 + len(free))] = values[list(free)]
        if slopes is not None:
            noise[:, 1 : 1 + count] = slopes.T
        B = self._start_of_width.get(width)
        tables: list[FloatArray] = []
        if B is not None:
            return self._read, self._steps, (), parameters, B, noise, is_still
        for block in self.processes.blocks:
            if block.kind == TABLE:
                integral = block.integrated and self.n_accumulators > 0
                tables += table(block, self.dt, values, self.processes.x_unit, integral, free, width, self.waits)
        return self._read, self._steps, tuple(tables), parameters, widened(self._unknown(values), width), noise, is_still

    def _at(self, values: FloatArray, *, is_still: bool = False) -> Program:
        """The program at hyperparameters: a closed curve without process noise is a constant, which is closed anyhow."""
        return self._constant if self.closed and (is_still or values[0] == 0) else self

    def reading(self, functionals: Functionals) -> Program:
        """The program of functionals that differ from its own in y and offset alone."""
        own = self.order >= 0
        rows = self.order[own]
        y, offset = self.y.copy(), self.offset.copy()
        y[own], offset[own] = functionals.y[rows], functionals.offset[rows]
        return replace(self, y=y, offset=offset)

    def log_det_of_start(
        self, values: FloatArray, variance: FloatArray, free: Sequence[int], slopes: FloatArray | None
    ) -> FloatArray:
        """log|X'R^-1 X|, X the design of the diffuse directions of the start and R the covariance of the rest; and derivatives.

        R is that of the noise and of processes whose start is not diffuse: what wanders from a diffuse start is left out.
        """
        still, at = values.copy(), 0
        for term in self.processes.terms:
            for component in term.components:
                n = len(component.hyperparameters)
                if component.start(np.ones(n)).diffuse.shape[1]:
                    sizes = [at + i for i, p in enumerate(component.hyperparameters) if p.kind in (INTENSITY, AMPLITUDE)]
                    still[sizes] = 0.0
                at += n
            at += term.late
        both = [replace(self, unknown=k, without_effects=True).sums(still, variance, free, slopes).log_det for k in (None, 0)]
        return both[0] - both[1]

    @cached_property
    def _constant(self) -> Program:
        return replace(self, y=np.where(self.order < 0, np.nan, self.y), closed=False, unknown=1)

    def sums(
        self,
        values: FloatArray,
        variance: FloatArray,
        free: Sequence[int] = (),
        slopes: FloatArray | None = None,
        *,
        is_still: bool = False,
    ) -> Sums:
        """The likelihood's terms, and derivatives by the logarithms of the hyperparameters `free` and along `slopes` of variances.

        `slopes` (p, G) are derivatives of `variance` (G,) along all p directions, of which the first are those of `free`.
        `is_still` leaves out all that is random of the processes.
        """
        if self._at(values, is_still=is_still) is not self:
            return self._constant.sums(values, variance, free, slopes, is_still=is_still)
        if slopes is None or len(slopes) <= DIRECTIONS:
            whole = self._sums(*self._arguments(values, variance, free, slopes, is_still=is_still))
            count = 1 if slopes is None else 1 + len(slopes)
            return Sums(whole.log_det[:count], whole.sse[:count], whole.log_information[:count], whole.n_used)
        parts = []
        for begin in range(0, len(slopes), DIRECTIONS):
            some = slopes[begin : begin + DIRECTIONS]
            part = self._sums(*self._arguments(values, variance, free[begin : begin + DIRECTIONS], some, is_still=is_still))
            parts.append([terms[: 1 + len(some)] for terms in part[:3]])
        joined = [np.concatenate([first[:1], *(part[k][1:] for part in parts)]) for k, first in enumerate(parts[0])]
        return Sums(joined[0], joined[1], joined[2], part.n_used)

    def scan(self, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
        """Terms of `Sums` of candidates (L, p) and (L, G), each (L,); NaN if they cannot be computed."""
        unknown = self._constant_unknown
        if unknown is None or self.closed:
            return self._scan_one_by_one(values, variance)
        n_effects = 0 if self.without_effects else self.n_effects
        found, used = _kernels.markov_scan(
            self._read,
            self._steps,
            np.ascontiguousarray(values),
            np.ascontiguousarray(unknown[..., None]),
            np.ascontiguousarray(variance),
            n_effects,
            self.complete,
        )
        return found[:, 0], found[:, 1], found[:, 2], used

    def _scan_one_by_one(self, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
        found, used = np.full((3, len(values)), np.nan), np.zeros(len(values), np.int64)
        for i, (value, noise) in enumerate(zip(values, variance, strict=True)):
            try:
                sums = self.sums(value, noise)
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                continue
            found[:, i] = sums.log_det[0], sums.sse[0], sums.log_information[0]
            used[i] = sums.n_used
        return found[0], found[1], found[2], used

    def _sums(self, *arguments: Any) -> Sums:
        totals, end, n_used, _, unknown = self._run(_kernels.markov_likelihood, arguments)
        if unknown and self.complete:
            raise IdentificationError(self._unidentified(unknown))
        information = np.zeros(totals.shape[1])
        if self.n_effects and not self.without_effects:
            last = end[len(end) - self.n_effects :]
            information[0] = -np.log(last[:, 0]).sum()
            information[1:] = -(last[:, 1:] / last[:, :1]).sum(axis=0)
        return Sums(totals[0], totals[1], information, n_used)

    def moments(self, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances of the functionals, in their order."""
        if self._at(values) is not self:
            return self._constant.moments(values, variance)
        mean, spread = self._run(_kernels.markov_smooth, self._arguments(values, variance))
        return self._in_order(mean), self._in_order(spread)

    def joint(self, values: FloatArray, variance: FloatArray, asked: npt.NDArray[np.bool_]) -> FloatArray:
        """Posterior covariances (K, K) of the K functionals that `asked` (n,) marks, in their order."""
        if self._at(values) is not self:
            return self._constant.joint(values, variance, asked)
        marked = (self.order >= 0) & asked[self.order]
        found = self._run(_kernels.markov_joint, (*self._arguments(values, variance), marked.astype(np.uint8)))
        place = np.argsort(self.order[marked])
        return np.asarray(found[np.ix_(place, place)])

    def innovations(self, values: FloatArray, variance: FloatArray) -> FloatArray:
        """One-step-ahead prediction errors of the functionals over their SDs; NaN where a diffuse start takes them."""
        return self._in_order(self._run(_kernels.markov_innovations, self._arguments(values, variance)))

    def draws(self, values: FloatArray, variance: FloatArray, normals: FloatArray) -> FloatArray:
        """Draws (n, L) of the functionals less their means, from normal numbers (n_nodes, 2 M, L)."""
        if self._at(values) is not self:
            return self._constant.draws(values, variance, normals)
        return self._in_order(self._run(_kernels.markov_draw, (*self._arguments(values, variance), normals)))

    def without_processes(self, ratio: FloatArray) -> float:
        """log|X'X| of the diffuse directions alone, each functional with noise of variance ratio (n,)."""
        rows = np.where(self.order >= 0, ratio[self.order], 0.0)
        y, constraints = self.y.copy(), np.flatnonzero(self.order < 0)
        if self.closed:
            y[constraints[-1:]] = np.nan  # without noise the highest derivative never changes: this one has no information
        plain = replace(self, y=y, ratio=rows, offset=np.zeros_like(rows), group=np.zeros_like(self.group))
        return plain.log_det_when_still()

    def log_det_when_still(self) -> float:
        """log|X'X| of what is diffuse, as no process moves."""
        return float(self._sums(*self._arguments(self._ones, np.ones(1), is_still=True)).log_det[0])

    @cached_property
    def _ones(self) -> FloatArray:
        """Hyperparameters of processes that do not matter: one each, and instruments that respond at once."""
        return np.array([0.0 if p.kind == RESPONSE else 1.0 for term in self.processes.terms for p in term.hyperparameters])

    def _in_order(self, rows: AnyArray) -> AnyArray:
        kept = self.order >= 0
        values = np.empty((int(kept.sum()), *rows.shape[1:]), dtype=rows.dtype)
        values[self.order[kept]] = rows[kept]
        return values

    def _run(self, kernel: Any, arguments: tuple[Any, ...]) -> Any:
        try:
            return kernel(*arguments)
        except _kernels.KernelError as error:
            kind, where = error.args
            if kind == "unidentified":
                raise IdentificationError(self._unidentified(where)) from None
            raise NumericalError(
                f"the predicted variance of row {where} left the range of floating-point numbers; an SD, a weight or a "
                "hyperparameter is out of proportion to the observations"
            ) from None

    def _unidentified(self, mask: int) -> str:
        """What no observation fixes."""
        labels: list[str] = []
        trends: list[str] = []
        at = 0
        for term, label in zip_longest(self.processes.terms, self.processes.labels):
            for component in term.components:
                parts = [j for j in range(component.dim) if mask >> (at + j) & 1]
                if parts:
                    labels.append(label or component.naming(parts))
                    trends += [] if label or component.level is None else labels[-1:]
                at += component.dim
            late = [term.dim - term.late + j for j in range(term.late) if mask >> (at + j) & 1]
            labels += [term.naming(late)] if late else []
            at += term.late
        first_effect = self.n_states - self.n_effects
        found = [name for j, name in enumerate(self.effects) if mask >> (first_effect + j) & 1]
        labels += [name if name.startswith("bias.") else f"the coefficient of {name}" for name in found]
        remedy = "add observations of f, or leave out a component or a regressor"
        if len(trends) > 1:
            remedy = (
                "each has an unknown level, and only their sum is observed: keep one of them; sf.priors.LocalLinearTrend() has "
                "noise of its level and of its slope, and stationary components have no level"
            )
        if any(name.startswith("bias.") for name in found):
            remedy = (
                "a bias is relative to a series without one: leave bias= of one series out, which is then the reference, pass it "
                "as a number, or add observations of f without a bias"
            )
        return (
            f"the observations leave part of {' and '.join(labels) or 'the state'} undetermined: it is not identified separately "
            f"from the rest; {remedy}"
        )

    @property
    def node_of_row(self) -> IntArray:
        """The node of each row."""
        return np.repeat(np.arange(len(self.step)), np.diff(self.first))

    def adjoint(self, values: FloatArray, variance: FloatArray) -> Adjoint:
        """Adjoint of the filter."""
        if self._at(values) is not self:
            return self._constant.adjoint(values, variance)
        score, information, errors, flat = self._run(_kernels.markov_adjoint, self._arguments(values, variance))
        is_start = flat > 0
        return Adjoint(score, information, self._in_order(errors), self._in_order(is_start), self.node_of_row[is_start])

    def is_identified_without(self, i: int, values: FloatArray, variance: FloatArray) -> bool:
        """Whether the functionals other than i determine the state."""
        try:
            replace(self, y=np.where(self.order == i, np.nan, self.y)).sums(values, variance)
        except IdentificationError:
            return False
        return True

    def end(self, values: FloatArray, variance: FloatArray) -> FloatArray:
        """Law of the processes and coefficients after the last observation: (K, 3 + K), see `_kernels.markov_end`."""
        kept = np.r_[: self.processes.dim, self.n_states - self.n_effects : self.n_states].astype(np.int32)
        return np.asarray(self._run(_kernels.markov_end, (*self._arguments(values, variance), kept)))


def widened(numbers: FloatArray, width: int) -> FloatArray:
    """Numbers with derivatives of zero after them on a last axis."""
    found = np.zeros((*numbers.shape, width))
    found[..., 0] = numbers
    return found


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
