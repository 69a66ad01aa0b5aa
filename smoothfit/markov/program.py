"""What the kernels run of Markov processes: the steps between nodes, the rows of the state at each, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray, IntArray
from ..errors import IdentificationError, NumericalError
from .blocks import SCALED, TABLE, Block, table
from .equation import AnyArray
from .functionals import Functionals
from .process import AMPLITUDE, INTENSITY
from .processes import Processes
from .undetermined import undetermined
from .wide import LEFT, WIDE, Typical

DIRECTIONS = 2  # that the kernel takes at once


class Sums(NamedTuple):
    """Terms of -2 log-likelihood = n_used log 2 pi + log_det + sse, with derivatives: (1 + p,) each.

    log_information is log|Z'P Z|, Z the design of the coefficients and P = K^-1 less its part in the diffuse directions of the
    start.
    """

    log_det: FloatArray
    sse: FloatArray
    log_information: FloatArray
    n_used: int


class Scan(NamedTuple):
    """`Sums` of L candidates side by side: (L, 1 + p) each, NaN if they cannot be computed, and `n_used` (L,)."""

    log_det: FloatArray
    sse: FloatArray
    log_information: FloatArray
    n_used: IntArray


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
    given: float = 0.0  # what given noise and hyperparameters add to the variance of an observation, roughly
    wide: float = WIDE  # variance of directions of the start that are wide instead of diffuse, see `wide`

    @property
    def n_effects(self) -> int:
        return len(self.effects)

    @property
    def n_states(self) -> int:
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
            self._spread,
        )

    def _unknown(self, values: FloatArray) -> FloatArray:
        """The directions B of the state (M, K) in which nothing is known at the start."""
        constant = self.processes.constant_start
        diffuse = (self.processes.start(values).diffuse if constant is None else constant)[:, : self.unknown]
        constants = self.n_totals + (0 if self.without_effects else self.n_effects)
        D, k = diffuse.shape
        first = self.n_states - self.n_totals - self.n_effects
        B = np.zeros((self.n_states, k + constants))
        B[:D, :k] = diffuse
        B[first : first + constants, k:] = np.eye(constants)
        return B

    @cached_property
    def _spread(self) -> FloatArray:
        """Of each of these directions, as of `Start`."""
        constants = self.n_totals + (0 if self.without_effects else self.n_effects)
        return np.append(self.processes.spread[: self.unknown], np.full(constants, np.inf))

    @cached_property
    def n_wide(self) -> int:
        """Directions of the start that are wide instead of diffuse."""
        return int(np.isfinite(self._spread).sum())

    def _taken_by_wide(self, has_error: npt.NDArray[np.bool_]) -> IntArray:
        """The first rows with a prediction error (n,), as many as a diffuse start would take in place of a wide one.

        A row that others at its node determine is none of these, such as that of another series.
        """
        found, node, H = list[int](), -1, self.H[:, self._reached]
        for row in np.flatnonzero(~np.isnan(self.y)).tolist() if self.n_wide else ():
            if self.node_of_row[row] != node:
                node, seen = self.node_of_row[row], H[:0]
            more = np.vstack([seen, H[row]])
            if np.linalg.matrix_rank(more) > len(seen):
                seen = more
            elif H[row].any():  # not what is reached later, as by an instrument that responds slowly
                continue
            found += [row] * bool(has_error[row])
            if len(found) == self.n_wide:
                break
        return np.array(found, np.int64)

    @cached_property
    def _reached(self) -> npt.NDArray[np.bool_]:
        """Components of the state (M,) that a wide start reaches: of the processes, and integrals and values of these."""
        place = np.arange(self.n_states)
        follows = (place >= self.processes.dim) & (place < self.n_states - self.n_effects)
        return follows | self._unknown(self.processes.ones)[:, np.isfinite(self._spread)].any(axis=1)

    @cached_property
    def _typical(self) -> Typical:
        own = (self.order >= 0) & ~np.isnan(self.y)
        return Typical.of(self.y[own], self.group[own], self.ratio[own], self.given)

    @cached_property
    def _constant_unknown(self) -> FloatArray | None:
        """The same at all hyperparameters, if that is known of all processes."""
        return None if self.processes.constant_start is None else self._unknown(self.processes.ones)

    @cached_property
    def _tabled(self) -> tuple[Block, ...]:
        """Processes whose matrices the kernels do not make."""
        return tuple(block for block in self.processes.blocks if block.kind in (TABLE, SCALED))

    @cached_property
    def _scaled(self) -> dict[int, list[FloatArray]]:
        """T, and Q of intensity one, of scaled processes, by the place of their hyperparameter."""
        found = {}
        for block in self._tabled:
            if block.kind == SCALED:
                matrices = block.prior.matrices(self.dt, np.ones(1), self.processes.x_unit, self._integrates(block))
                found[block.parameter] = [matrix[..., None] for matrix in matrices]
        return found

    def _integrates(self, block: Block) -> bool:
        """Whether the integral of a process is part of its state."""
        return block.integrated and self.n_accumulators > 0

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
        """What a kernel takes, with derivatives along the rows of `slopes` (p, G), p <= `DIRECTIONS`, the first those of `free`.

        Of one candidate, values (P,) and variance (G,), or of many (L, P) and (L, G), with slopes (L, p, G); tables are of one.
        """
        count = 0 if slopes is None else slopes.shape[-2]
        width = 1 + (DIRECTIONS if count else 0)
        parameters, noise = widened(values, width), widened(variance, width)
        parameters[..., list(free), range(1, 1 + len(free))] = values[..., list(free)]
        if slopes is not None:
            noise[..., 1 : 1 + count] = np.swapaxes(slopes, -1, -2)
        if self.n_wide:
            size = self._typical.size(noise, None if is_still else self.processes, values, list(free))
            noise = np.concatenate([noise, self.wide * size[..., None, :]], axis=-2)
        B = self._start_of_width.get(width)
        if not self._takes_many:
            values = values.reshape(-1, values.shape[-1])[0]
        if B is None:
            B = widened(self._unknown(values), width)
        tables: list[FloatArray] = []
        for block in self._tabled:
            if block.kind == SCALED:
                tables += self._scaled[block.parameter]
            else:
                integral = self._integrates(block)
                tables += table(block, self.dt, values, self.processes.x_unit, integral, free, width, self.waits)
        return self._read, self._steps, tuple(tables), parameters, B, noise, is_still

    def _at(self, values: FloatArray, *, is_still: bool = False) -> Program:
        """The program at hyperparameters: a closed curve without process noise is a constant, which is closed anyhow."""
        return self._constant if self.closed and (is_still or values[0] == 0) else self

    def with_column(self, column: FloatArray) -> Program:
        """The program of a column (n,) in place of the observations, with the start of these."""
        found = replace(self, y=np.where(self.order >= 0, column[self.order], self.y))
        found.__dict__["_typical"] = self._typical
        return found

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

    def scan(self, values: FloatArray, variance: FloatArray, free: Sequence[int] = (), slopes: FloatArray | None = None) -> Scan:
        """Terms of candidates (L, P) and (L, G), with derivatives as `sums` takes them, slopes (L, p, G)."""
        if not self._takes_many:
            return self._scan_one_by_one(values, variance, free, slopes)
        n_effects, parts = 0 if self.without_effects else self.n_effects, []
        count = 0 if slopes is None else slopes.shape[1]
        for begin in range(0, max(count, 1), DIRECTIONS):
            some = None if slopes is None else slopes[:, begin : begin + DIRECTIONS]
            rows, steps, tables, parameters, B, noise, _ = self._arguments(values, variance, free[begin : begin + DIRECTIONS], some)
            found, used = _kernels.markov_scan(rows, steps, tables, parameters, B, noise, n_effects, self.complete)
            parts.append(found[:, :, min(begin, 1) : 1 + count - begin])
        log_det, sse, log_information = np.concatenate(parts, axis=2).transpose(1, 0, 2)
        return Scan(log_det, sse, log_information, used)

    @property
    def _takes_many(self) -> bool:
        """Whether the kernels take many candidates at once: what they need besides is the same for all."""
        return self._constant_unknown is not None and all(b.kind == SCALED for b in self._tabled) and not self.closed

    def _scan_one_by_one(self, values: FloatArray, variance: FloatArray, free: Sequence[int], slopes: FloatArray | None) -> Scan:
        count = 0 if slopes is None else slopes.shape[1]
        found, used = np.full((3, len(values), 1 + count), np.nan), np.zeros(len(values), np.int64)
        for i, (value, noise) in enumerate(zip(values, variance, strict=True)):
            try:
                sums = self.sums(value, noise, free, None if slopes is None else slopes[i])
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                continue
            found[:, i] = sums.log_det, sums.sse, sums.log_information
            used[i] = sums.n_used
        return Scan(found[0], found[1], found[2], used)

    def _sums(self, *arguments: Any) -> Sums:
        totals, end, n_used, _, unknown = self._run(_kernels.markov_likelihood, arguments)
        if unknown and self.complete:
            raise IdentificationError(undetermined(self.processes, self.effects, self.n_states, unknown))
        information = np.zeros(totals.shape[1])
        if self.n_effects and not self.without_effects:
            last = end[len(end) - self.n_effects :]
            information[0] = -np.log(last[:, 0]).sum()
            information[1:] = -(last[:, 1:] / last[:, :1]).sum(axis=0)
        return Sums(totals[0], totals[1], information, n_used)

    def moments(self, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances of the functionals, in their order."""
        mean, spread = self.moments_of_many(values[None], variance[None])
        return mean[0], spread[0]

    def moments_of_many(self, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same (L, n) of candidates (L, P) and (L, G)."""
        if len(values) > 1 and not self._takes_many:
            parts = [self.moments(*one) for one in zip(values, variance, strict=True)]
            return np.array([mean for mean, _ in parts]), np.array([spread for _, spread in parts])
        if self._at(values[0]) is not self:
            return self._constant.moments_of_many(values, variance)
        arguments = self._arguments(values, variance)
        mean, spread = (self._in_order(rows.T).T for rows in self._run(_kernels.markov_smooth, arguments))
        return mean, spread

    def joint(self, values: FloatArray, variance: FloatArray, asked: npt.NDArray[np.bool_]) -> FloatArray:
        """Posterior covariances (K, K) of the K functionals that `asked` (n,) marks, in their order."""
        if self._at(values) is not self:
            return self._constant.joint(values, variance, asked)
        marked = (self.order >= 0) & asked[self.order]
        found = self._run(_kernels.markov_joint, (*self._arguments(values, variance), marked.astype(np.uint8)))
        place = np.argsort(self.order[marked])
        return np.asarray(found[np.ix_(place, place)])

    def innovations(self, values: FloatArray, variance: FloatArray, *, of_wide: bool = False) -> FloatArray:
        """One-step-ahead prediction errors of the functionals over their SDs; NaN where a diffuse start takes them.

        Those that it would take in place of a wide one are nearly zero, and NaN as well but for `of_wide`.
        """
        found = self._run(_kernels.markov_innovations, self._arguments(values, variance))
        if not of_wide:
            found[self._taken_by_wide(~np.isnan(found))] = np.nan
        return self._in_order(found)

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
        return float(self._sums(*self._arguments(self.processes.ones, np.ones(1), is_still=True)).log_det[0])

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
                raise IdentificationError(undetermined(self.processes, self.effects, self.n_states, where)) from None
            raise NumericalError(
                f"the predicted variance of row {where} left the range of floating-point numbers; an SD, a weight or a "
                "hyperparameter is out of proportion to the observations"
            ) from None

    @cached_property
    def node_of_row(self) -> IntArray:
        return np.repeat(np.arange(len(self.step)), np.diff(self.first))

    def adjoint(self, values: FloatArray, variance: FloatArray) -> Adjoint:
        if self._at(values) is not self:
            return self._constant.adjoint(values, variance)
        score, information, errors, flat = self._run(_kernels.markov_adjoint, self._arguments(values, variance))
        is_start = flat > 0
        is_start[self._taken_by_wide(~is_start & ~np.isnan(self.y))] = True
        return Adjoint(score, information, self._in_order(errors), self._in_order(is_start), self.node_of_row[is_start])

    def is_wide_enough(self, given: FloatArray, variance: FloatArray) -> bool:
        """Whether the observations determine wide directions of the start so well that they might as well be diffuse.

        At `given` hyperparameters (P,), NaN where they are unknown: intensities and amplitudes are then zero.
        """
        if not self.n_wide:
            return True
        powers = self.processes.sizes(self.processes.ones)[1]
        values = np.where(np.isnan(given), np.where(powers > 0, 0.0, self.processes.ones), given)
        wider = (replace(self, wide=factor * self.wide) for factor in (1, 4))
        here, there = (program.sums(values, variance).log_det[0] for program in wider)
        return bool(abs(there - here) < LEFT)

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
