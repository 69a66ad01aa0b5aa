"""How inputs with derivatives on the right of an equation move its state.

    s = (y, y', ..., y^(m-1)) without the impulses of inputs:   s' = A s + E (B u + gamma) + F u',      y = s_1,

with F = (beta_0, ..., beta_(m-1)), which follows from the coefficients b_l of u^(l) and A_j of y^(j):

    beta_0 = b_m,     beta_k = b_(m-k) + sum_{j=1..k} A_(m-j) beta_(k-j).

No derivative of an input is taken: x = s - F u obeys x' = A x + (E B + A F) u, so that over a step s moves by F times the change of
a held input, at its end, and by int exp(A t) dt F / h times the change of a linear one (T. Kailath 1980, "Linear systems", section
2.2, the observability form). With hidden states s is that of the observer form with y for x_1: F has b_m alone, in its first row,
or of several outputs D, in their rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..markov.discretize import COMPLEX_STEP, Discrete
from .specification import Equation


def jumps(equation: Equation, system: npt.NDArray[Any], rates: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """F (..., M, inputs): by how much the state jumps where inputs do, of A (..., M, M) and coefficients (orders, p, inputs)."""
    m, p = equation.order, equation.n_outputs
    highest = len(rates)
    found = np.zeros((*system.shape[:-1], rates.shape[-1]), dtype=np.result_type(system, rates))
    if equation.hidden:
        if highest == m:
            found[..., :p, :] = rates[-1]
        return found
    for k in range(m - highest, m):  # the first ones are zero
        beta = np.broadcast_to(rates[m - k - 1], (*system.shape[:-2], *rates.shape[1:]))
        for j in range(1, k + 1):
            block = system[..., -p:, (m - j) * p : (m - j + 1) * p]
            beta = beta + block @ found[..., (k - j) * p : (k - j + 1) * p, :]
        found[..., k * p : (k + 1) * p, :] = beta
    return found


def gains(equation: Equation, theta: FloatArray, system: npt.NDArray[Any], d: Discrete, steps: FloatArray) -> npt.NDArray[Any]:
    """What inputs and constant at the start of steps (C,), and changes of the inputs over them, add to the state.

    Of A (..., M, M), which is that of `d`, and all other coefficients `theta`; (..., C, M, drives) or, if the state moves with
    changes, (..., C, M, drives + inputs).
    """
    B, k = equation.matrices(theta)[1], len(equation.inputs)
    held = d.hold @ B
    if not equation.takes_changes:
        return np.asarray(held)
    changed: Any = d.ramp @ B[:, :k] if equation.is_ramped else 0.0
    if equation.jumps:
        F = jumps(equation, system, equation.rates(theta))[..., None, :, :]
        if equation.is_ramped:
            F = _integrated(equation, system, d, F) / np.where(steps > 0, steps, 1.0)[:, None, None]
        changed = changed + F
    return np.concatenate([held, np.broadcast_to(changed, (*held.shape[:-1], k))], axis=-1)


def gain_slopes(
    equation: Equation,
    theta: FloatArray,
    system: FloatArray,
    direction: FloatArray,
    d: Discrete,
    slope: Discrete,
    steps: FloatArray,
) -> FloatArray:
    """The derivative of `gains` along a change of A, of which `slope` is that of the matrices of the steps."""
    if not equation.jumps:  # linear in these matrices
        return np.asarray(gains(equation, theta, system, slope, steps))
    T, hold, ramp = (there + 1j * COMPLEX_STEP * by for there, by in zip(d[:3], slope[:3], strict=True))
    moved = gains(equation, theta, system + 1j * COMPLEX_STEP * direction, Discrete(T, hold, ramp, d.Q), steps)
    return np.asarray(moved.imag / COMPLEX_STEP)


def _integrated(equation: Equation, system: npt.NDArray[Any], d: Discrete, F: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """int_0^h exp(A t) dt F, by int_0^h exp(A t) dt A = T - I, in which column block j + 1 of A is E_j + E A_j."""
    m, p = equation.order, equation.n_outputs
    if equation.hidden:
        return np.asarray(d.hold @ F)
    total = d.hold @ F[..., -p:, :]
    for j in range(m - 1):
        after = slice((j + 1) * p, (j + 2) * p)
        part = d.T[..., after] - np.eye(m * p)[:, after] - d.hold @ system[..., None, -p:, after]
        total = total + part @ F[..., j * p : (j + 1) * p, :]
    return np.asarray(total)
