"""Observations of the highest derivative, as of an accelerometer beside positions: the state has y^(m) as one more entry.

    y^(m) = r x + b u + gamma,      r the last row of A,

is a row on state and inputs. A step x -> T x + G u + w thus takes the state with it to S (T x + G u + w) + e (b u + gamma), where
S = (I; r) and e is the unit vector of the entry; nothing depends on the entry before. Inputs count as they are after a jump, as
those of y do. Process noise is white and has no value at an instant, so that the entry is y^(m) without it. What it adds to an
instrument that averages over a time tau has the variance q / tau, is part of the noise of these observations, which is estimated,
and is nearly independent of the noise of the states if tau is short beside the spacing: the squared correlation is tau over it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .specification import Equation

Rows = tuple[npt.NDArray[np.int32], FloatArray, FloatArray, FloatArray]


def highest_rows(equation: Equation, theta: FloatArray, directions: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """The row r (M, 1 + n) and what acts at once (drives + inputs, 1 + n), with derivatives by all parameters if n > 0."""
    system, drives = equation.matrices(theta)
    row, own = np.zeros((len(system), 1 + n)), np.zeros((drives.shape[1] + len(equation.inputs), 1 + n))
    row[:, 0], own[:, 0] = system[-1], at_once(equation, theta)
    if n:
        row[:, 1 + np.flatnonzero(equation.in_system)] = directions[:, -1].T
        for i in np.flatnonzero(~equation.in_system):
            own[:, 1 + i] = at_once(equation, np.eye(len(theta))[i])
    return row, own


def at_once(equation: Equation, theta: FloatArray) -> FloatArray:
    """Coefficients of y^(m) of inputs and constant at the start of a step, and of changes of the inputs over it."""
    drives = equation.matrices(theta)[1][0]
    return np.append(drives, drives[: len(equation.inputs)])


def widened(
    row: FloatArray, own: FloatArray, T: FloatArray, Q: FloatArray, G: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """T, Q (.., C, M, M, 1 + n) and G (.., C, M, drives + inputs, 1 + n) of the state with y^(m), and derivatives.

    `row` (.., M, 1 + n) and `own` (drives + inputs, 1 + n) are those of `highest_rows`.
    """
    *classes, m, _, width = T.shape
    wide_T, wide_Q = np.zeros((2, *classes, m + 1, m + 1, width))
    wide_G = np.zeros((*classes, m + 1, *G.shape[-2:]))
    wide_T[..., :m, :m, :], wide_Q[..., :m, :m, :], wide_G[..., :m, :, :] = T, Q, G
    wide_T[..., m, :m, :] = _product("...j,...cjk->...ck", row, T)
    wide_Q[..., m, :m, :] = wide_Q[..., :m, m, :] = _product("...j,...cjk->...ck", row, Q)
    wide_Q[..., m, m, :] = _product("...k,...ck->...c", row, wide_Q[..., m, :m, :])
    wide_G[..., m, :, :] = _product("...j,...cjk->...ck", row, G) + own
    return wide_T, wide_Q, wide_G


def _product(spec: str, a: FloatArray, b: FloatArray) -> FloatArray:
    """A product of sums, of numbers with derivatives along the last axis."""
    found = np.stack([np.einsum(spec, a[..., 0], b[..., i]) for i in range(b.shape[-1])], axis=-1)
    for i in range(1, a.shape[-1]):
        found[..., i] += np.einsum(spec, a[..., i], b[..., 0])
    return found


def with_first(rows: Rows, at_start: FloatArray, is_highest: npt.NDArray[np.bool_], still: int) -> Rows:
    """Classes of steps, drives, observations and their variances with a row before each run.

    There the entry of y^(m), of which nothing is known at the start, counts as observed; the step of length zero from there, of the
    class `still`, makes it that of the state at the first node, whose drives are `at_start` (runs, drives + inputs).
    """
    step, drives, y, ratio = rows
    starts = np.flatnonzero(step < 0)
    step, drives = step.copy(), drives.copy()
    step[starts], drives[starts] = still, at_start
    first = np.where(is_highest, 0.0, np.nan)
    return (
        np.insert(step, starts, -1),
        np.insert(drives, starts, 0.0, axis=0),
        np.insert(y, starts, first, axis=0),
        np.insert(ratio, starts, 1.0, axis=0),
    )


class Turned(NamedTuple):
    """Rows of a smoother with two at each node: the state, and the state with r x in place of one of its entries, observed there.

    The covariance of the state with y^(m) as well would be singular.
    """

    row: FloatArray  # r
    level: FloatArray  # b u + gamma at the nodes
    rows: Rows
    component: npt.NDArray[np.uint8]
    matrices: tuple[FloatArray, FloatArray, FloatArray]  # T, Q, G

    def back(self, mean: FloatArray, cov: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and covariances of the state with y^(m) at the nodes, of those at the rows."""
        S = np.vstack([np.eye(len(self.row)), self.row])
        mean = mean[::2] @ S.T
        mean[:, -1] += self.level
        return mean, S @ cov[::2] @ S.T


def turned_rows(
    equation: Equation,
    theta: FloatArray,
    rows: Rows,
    component: npt.NDArray[np.uint8],
    u: FloatArray,
    matrices: tuple[FloatArray, FloatArray, FloatArray],
    gap: float,
) -> Turned:
    """These rows, of T, Q and G (C, M, ..) of the steps, given a typical spacing."""
    step, drives, y, ratio = rows
    T, Q, G = matrices
    m = equation.n_states
    system, own = equation.matrices(theta)
    row, is_highest = system[-1], component == m
    place = int(np.argmax(np.abs(row) * gap ** -np.arange(m, dtype=float)))
    level = np.column_stack([u, np.ones(len(u))])[:, : own.shape[1]] @ own[0]
    turn = np.eye(m)
    apart = np.where(is_highest, np.nan, y), np.where(is_highest, y - level[:, None], np.nan)
    if row[place]:
        turn[place] = row
    else:  # no curve is on the right: nothing is learnt of the state
        apart = apart[0], np.full_like(y, np.nan)
    twice = np.stack([step, np.full_like(step, len(T))], axis=1).ravel()
    still = np.zeros((1, m, m))
    longer = (
        twice,
        np.stack([drives, np.zeros_like(drives)], axis=1).reshape(len(twice), -1 if drives.size else 0),
        np.stack(apart, axis=1).reshape(-1, y.shape[1]),
        np.repeat(ratio, 2, axis=0),
    )
    steps = (
        np.concatenate([T @ np.linalg.solve(turn, np.eye(m)), turn[None]])[..., None],
        np.concatenate([Q, still])[..., None],
        np.concatenate([G, np.zeros((1, *G.shape[1:]))])[..., None],
    )
    return Turned(row, level, longer, np.where(is_highest, place, component).astype(np.uint8), steps)
