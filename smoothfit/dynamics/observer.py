"""Equations of several outputs with hidden states, in a state-space form whose coefficients the outputs identify.

The states are the p outputs and then the hidden ones, n together, counted from one; the state s is of level j = 1, 2, ... and of
the output l, with s = (j - 1) p + l. The last states are thus those of the first r = n mod p outputs on one more level (all outputs
have as many if r = 0):

    x_s' = sum_l a_sl y_l + x_(s + p) + b_s u + gamma_s + sqrt(q_s) w_s,     y_l = x_l,

with gamma_s in the last p states and x_(s + p) up to n. Inputs that act on the outputs at once (`input_derivatives`) add D u' to
the equations of these, which jump where the inputs do (see `drives`). If r > 0, two sets of coefficients differ: those of the
outputs r + 1 to p in the states 1 to r are zero, and each of the states n - p + 1 to n - r has further coefficients of the last r
states. That makes n p coefficients of A, as many as transfer functions of n states have, and A, B and D are linear in all
coefficients.

It is the observer form of D(s) y = N(s) u with D in the echelon form of structural indices that differ by one at most, which is
generic (R. P. Guidorzi 1975, "Canonical structures in the identification of multivariable systems", Automatica 11, 361-374): y and
the first derivatives of the first outputs, without their inputs and noises, determine the state. `Companion` is the form of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import SpecificationError
from .specification import HIGHEST_ORDER, Equation, derivative_name, in_words_of


@dataclass(frozen=True, eq=False)
class StateForm(Equation):
    """First-order equations of the states, whose parameters are entries of A, of B and of D, row by row.

    Attributes
    ----------
    order : int
        The highest level of a state.
    derivatives : tuple of int
        The levels less one.
    input_derivatives : tuple of int
        The order for inputs that act at once, else zero; empty if none does.
    """

    @property
    def is_by_state(self) -> bool:
        """Whether the parameters are entries of A, B and D: they are."""
        return True

    @property
    def n_noises(self) -> int:
        """Number of process noises, one by state."""
        return self.n_states

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states: outputs, then x3, x4, ... by their number."""
        return (*self.outputs, *(f"x{s + 1}" for s in range(len(self.outputs), self.n_states)))

    @property
    def noise_names(self) -> list[str]:
        """Names of the intensities of the process noises."""
        return [f"q.{name}" for name in self.states]

    @property
    def noise_orders(self) -> FloatArray:
        """How many integrals of a process noise its output is: the level of its state, (n_noises,)."""
        return np.arange(self.n_states) // len(self.outputs) + np.ones(self.n_states)

    @property
    def noise_outputs(self) -> npt.NDArray[np.int64]:
        """The output that a process noise is integrated to, (n_noises,)."""
        return np.arange(self.n_states) % len(self.outputs)

    @property
    def at_once(self) -> npt.NDArray[np.int64]:
        """Numbers of the inputs that act at once."""
        return np.flatnonzero(self.input_derivatives)

    @property
    def input_rates(self) -> list[tuple[int, int]]:
        """Order and input of each derivative of an input on the right: the first ones, of inputs that act at once."""
        return [(1, i) for i in self.at_once.tolist()]

    @cached_property
    def free(self) -> npt.NDArray[np.bool_]:
        """Which entries of A, B and D are parameters, (n, n + drives + inputs that act at once)."""
        n, p = self.n_states, len(self.outputs)
        found = np.ones((n, n + self.n_drives + len(self.at_once)), np.bool_)
        found[p:, n + self.n_drives :] = False
        found[:, p:n] = False
        r = n % p
        if r:
            found[:r, r:p] = False
            found[n - p : n - r, n - r : n] = True
        if self.intercept:
            found[: n - p, n + self.n_drives - 1] = False
        return found

    @property
    def regressors(self) -> tuple[str, ...]:
        """Names of the columns of A, B and D."""
        at_once = (derivative_name(self.inputs[i], 1) for i in self.at_once)
        return (*self.states, *self.inputs, *(["const"] if self.intercept else []), *at_once)

    @property
    def left(self) -> tuple[str, ...]:
        """Names of the left sides."""
        return tuple(derivative_name(name, 1) for name in self.states)

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        columns = self.regressors
        return [f"{self.states[i]}: {columns[j]}" for i, j in np.argwhere(self.free)]

    @property
    def _in_words(self) -> list[str]:
        """The columns of A, B and D as they stand in equations, with the levels that they are counted from."""
        found = list(self.regressors)
        p, n = len(self.outputs), self.n_states
        for column, level in zip([*range(p), *range(n, n + len(self.inputs))], self.levels, strict=False):
            if level:
                found[column] = f"({found[column]} {'-' if level > 0 else '+'} {abs(level):.6g})"
        return found

    @property
    def n_params(self) -> int:
        """Number of coefficients."""
        return int(self.free.sum())

    def _whole(self, theta: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A, B and D side by side."""
        theta, n, p = np.asarray(theta), self.n_states, len(self.outputs)
        whole = np.zeros(self.free.shape, dtype=theta.dtype)
        whole[np.arange(n - p), np.arange(p, n)] = 1.0
        whole[self.free] = theta
        return whole

    def matrices(self, theta: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """A (M, M) and B (M, drives); parameters may be complex."""
        n, whole = self.n_states, self._whole(theta)
        return whole[:, :n], whole[:, n : n + self.n_drives]

    def rates(self, theta: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The feedthrough D as the last of (order, p, inputs), where it has its place with one output; (0, p, inputs) without."""
        p, at_once = len(self.outputs), self.at_once
        found = np.zeros((self.order if len(at_once) else 0, p, len(self.inputs)), dtype=np.asarray(theta).dtype)
        if len(at_once):
            found[-1][:, at_once] = self._whole(theta)[:p, self.n_states + self.n_drives :]
        return found

    @property
    def entry(self) -> FloatArray:
        """Where drives and noises enter, (M, M)."""
        return np.eye(self.n_states)

    @property
    def in_system(self) -> npt.NDArray[np.bool_]:
        """Which parameters enter A rather than B, shape (n_params,)."""
        return np.nonzero(self.free)[1] < self.n_states

    def coefficient_units(self, units: FloatArray) -> FloatArray:
        """Units of the coefficients (n_params,), if those of the outputs are `units` (p,) and all others one."""
        rows, columns = np.nonzero(self.free)
        by_state = np.resize(units, self.n_states)
        return np.asarray(by_state[rows] / np.append(by_state, np.ones(self.n_drives + len(self.at_once)))[columns])

    def sizes(self, rate: float, span: float, sds: FloatArray) -> FloatArray:
        """Sizes of the coefficients in A if all poles are at a rate, of outputs of SDs `sds` (p,)."""
        rows, columns = np.nonzero(self.free[:, : self.n_states])
        p = len(self.outputs)
        level = 1 + rows // p
        sizes = np.array([comb(self.order, j) * rate**j for j in level.tolist()])
        sizes[columns >= p] = rate * span
        return np.asarray(sizes * sds[rows % p] / sds[columns % p])

    def in_words(self, theta: FloatArray) -> list[str]:
        """The fitted equations, for example ``D(y0) = -0.5 y0 + x3 + 0.9 u``."""
        whole, n, p = self._whole(theta), self.n_states, len(self.outputs)
        shown = self.free.copy()
        shown[np.arange(n - p), np.arange(p, n)] = True
        return [
            in_words_of(left, ((name, value) for name, value, there in zip(self._in_words, row, there, strict=True) if there))
            for left, row, there in zip(self.left, whole, shown, strict=True)
        ]

    def with_fewer_hidden(self) -> Equation:
        """The equation with one hidden state less, nothing being known of its coefficients."""
        if self.hidden > 1:
            return _observer_form(self, self.hidden - 1)
        order = self.order - 1
        at_once = tuple(order * (j > 0) for j in self.input_derivatives)
        return Equation(order, self.outputs, tuple(range(order)), self.inputs, (), self.intercept, self.intersample, at_once)


@dataclass(frozen=True, eq=False)
class Companion(StateForm):
    """The form whose states are derivatives of the outputs: the last p rows of A are free, and have the noises."""

    @cached_property
    def free(self) -> npt.NDArray[np.bool_]:
        """Which entries of A are parameters."""
        return np.repeat([[False], [True]], [self.n_states - len(self.outputs), len(self.outputs)], axis=0) & np.ones(
            self.n_states + self.n_drives, np.bool_
        )

    @property
    def entry(self) -> FloatArray:
        """Where noises enter, (M, p)."""
        n, p = self.n_states, len(self.outputs)
        found = np.zeros((n, p))
        found[np.arange(n - p, n), np.arange(n - p, n) % p] = 1.0
        return found


@dataclass(frozen=True, eq=False)
class ObserverForm(StateForm):
    """The form of the module's docstring."""

    def seen(self) -> Equation:
        """The equation whose state is y and its derivatives."""
        return Companion(self.order, self.outputs, self.derivatives, hidden=self.hidden, intercept=False)

    def of_seen(self, theta: FloatArray) -> FloatArray:
        """Coefficients (L, k) of `seen` from those in A of this equation.

        With H the rows of y and of its derivatives in the state, which are unit triangular, they are the last rows of H A H^-1. The
        Jacobian is one: each is that of the same place, but for products of others.
        """
        n, p = self.n_states, len(self.outputs)
        found = np.zeros((len(theta), n, n))
        found[:, np.arange(n - p), np.arange(p, n)] = 1.0
        found[:, self.free[:, :n]] = theta
        H = np.empty_like(found)
        H[:, :p] = np.eye(p, n)
        for s in range(p, n):
            H[:, s] = np.einsum("li,lij->lj", H[:, s - p], found)
        last = H[:, n - p :] @ found
        return np.asarray(np.swapaxes(np.linalg.solve(np.swapaxes(H, 1, 2), np.swapaxes(last, 1, 2)), 1, 2).reshape(len(theta), -1))

    def of_highest(self, curves: FloatArray, inputs: FloatArray, constants: FloatArray) -> FloatArray:
        """Coefficients (k,) from those of the highest derivative of each output, whose order is the number of its states.

        `curves` (p, n) are of y and of its derivatives, in the order of the states, `inputs` (p, order, inputs) of the inputs and
        their derivatives (one order more if some act at once), `constants` (p,).
        """
        n, p, k = self.n_states, len(self.outputs), len(self.inputs)
        width = n + self.n_drives + len(self.at_once)
        whole, r, outer = np.zeros((n, width)), n % p, np.delete(np.arange(width), np.arange(p, n))
        for i in range(p if len(self.at_once) else 0):
            whole[i, n + self.n_drives :] = inputs[i, 1 + (n - 1 - i) // p, self.at_once]
        for s in range(n):
            power = (n - 1 - s % p) // p - s // p
            seen = curves[s % p, power * p : (power + 1) * p]
            whole[s, : len(seen)], whole[s, n : n + k] = seen, inputs[s % p, power]
        if r:  # y_b^(k) = coupling y_a^(k) + ...
            whole[n - p : n - r, n - r : n] = coupling = curves[r:, n - r :]
            for first in range(0, n - r, p):
                whole[first + r : first + p, outer] += coupling @ whole[first : first + r, outer]
        if self.intercept:
            whole[n - p :, n + k] = constants[np.arange(n - p, n) % p]
        return whole[self.free]

    def uncoupled(self, poles: npt.NDArray[Any]) -> FloatArray:
        """Coefficients with which every output has the poles for itself, the first ones if it has fewer states, and no input."""
        n, p = self.n_states, len(self.outputs)
        curves = np.zeros((p, n))
        for i in range(p):
            own = np.arange(i, n, p)
            curves[i, own] = -np.poly(poles[: len(own)]).real[:0:-1]
        return self.of_highest(curves, np.zeros((p, self.order + 1, len(self.inputs))), np.zeros(p))


def _observer_form(like: Equation, hidden: int) -> ObserverForm:
    """The form of the same outputs and inputs with another number of hidden states."""
    p = len(like.outputs)
    order = like.visible_order + -(-hidden // p)
    at_once = tuple(order * (j > 0) for j in like.input_derivatives)
    return ObserverForm(
        order,
        like.outputs,
        tuple(range(order)),
        like.inputs,
        (),
        like.intercept,
        like.intersample,
        at_once,
        hidden=hidden,
        levels=like.levels,
    )


def with_hidden(plain: Equation, hidden: int, asked: Iterable[str]) -> ObserverForm:
    """An equation of several outputs with hidden states beside those that it has; `asked` are options that it refuses.

    Raises
    ------
    SpecificationError
        The state is too large, or another option does not go with several outputs.
    """
    p = len(plain.outputs)
    if plain.n_states + hidden > HIGHEST_ORDER:
        raise SpecificationError(
            f"order {plain.order} with {p} outputs and hidden={hidden} is a state of {plain.n_states + hidden}; at most "
            f"{HIGHEST_ORDER}: take a lower order=, fewer hidden states or fewer outputs"
        )
    for name, j in zip(plain.inputs, plain.input_derivatives, strict=False):
        if j not in (0, plain.order):
            raise SpecificationError(
                f"input_derivatives is {j} for {name!r}; with hidden={hidden} and {p} outputs the states have the inputs and what "
                f"their derivatives below order {plain.order} do already: pass {plain.order} if {name!r} acts at once, else 0"
            )
    for option in asked:
        raise SpecificationError(
            f"{option}= does not go with hidden={hidden} and {p} outputs ({', '.join(plain.outputs)}), whose equations have all "
            f"states and inputs on the right; leave it out, set coefficients by fixed=, or pass one output"
        )
    hidden_names = [f"x{s + 1}" for s in range(p, plain.n_states + hidden)]
    for name in (*plain.outputs, *plain.inputs):
        if name in hidden_names:
            raise SpecificationError(f"a column is called {name!r}, which is the name of a hidden state; rename it")
    return _observer_form(plain, hidden)
