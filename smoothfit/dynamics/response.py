"""What a fitted linear equation does: poles, gains, responses, simulation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.linalg import expm

from .._validation import FloatArray, check_level, check_memory
from ..markov.discretize import discretize
from .drives import gains, jumps
from .specification import Equation

PER_GAP, PER_TIME = 6, 8  # matrices of a distinct gap, and states of a time, at the peak of a simulation


class Interval(NamedTuple):
    """A confidence set of a ratio: an interval, its complement (unbounded), or everything."""

    lower: float
    upper: float
    kind: str


def fieller(numerator: float, denominator: float, cov: FloatArray, alpha: float) -> Interval:
    """Fieller's confidence set of numerator / denominator, estimates with joint covariance (2, 2).

    The set of ratios r with (numerator - r denominator)^2 <= z^2 Var(numerator - r denominator): an interval where the
    denominator differs from zero at the level, else the complement of one ("unbounded"), or every number ("all").
    """
    z2 = float(stats.norm.isf(alpha / 2)) ** 2
    a = denominator**2 - z2 * cov[1, 1]
    b = numerator * denominator - z2 * cov[0, 1]
    c = numerator**2 - z2 * cov[0, 0]
    discriminant = b * b - a * c
    if a > 0:
        root = np.sqrt(max(discriminant, 0.0))
        return Interval((b - root) / a, (b + root) / a, "interval")
    if discriminant < 0 or a == 0:
        return Interval(-np.inf, np.inf, "all")
    root = np.sqrt(discriminant)
    low, high = sorted([(b - root) / a, (b + root) / a])
    return Interval(low, high, "unbounded")


def fieller_ends(numerator: float, denominator: float, cov: FloatArray, alpha: float) -> tuple[float, float]:
    """Ends of Fieller's set if it is an interval; else nothing is excluded between minus infinity and infinity."""
    found = fieller(numerator, denominator, cov, check_level(alpha))
    return (found.lower, found.upper) if found.kind == "interval" else (-np.inf, np.inf)


def ratio_set(numerator: FloatArray, denominator: FloatArray, alpha: float) -> Interval:
    """The set of ratios r at which numerator - r denominator is not surely of one sign, by joint draws of both (N,).

    Fieller's set with a posterior in place of the normal law: at r in it, the draws are positive with a probability between alpha
    / 2 and 1 - alpha / 2. It is bounded where the denominator is of one sign with a probability above 1 - alpha / 2.
    """
    level = check_level(alpha) / 2
    nonzero = denominator != 0
    breaks, steps = numerator[nonzero] / denominator[nonzero], np.where(denominator[nonzero] > 0, -1.0, 1.0)
    order = np.argsort(breaks, kind="stable")
    start = np.sum(np.where(nonzero, denominator > 0, numerator > 0))
    share = np.append(start, start + np.cumsum(steps[order])) / len(numerator)  # up to each break, and beyond the last
    inside = (share >= level) & (share <= 1 - level)
    edges = np.concatenate([[-np.inf], breaks[order], [np.inf]])
    if not inside.any():
        at = float(edges[1 + np.argmax(share >= 0.5)])
        return Interval(at, at, "interval")
    if not (inside[0] or inside[-1]):
        found = np.flatnonzero(inside)
        return Interval(float(edges[found[0]]), float(edges[found[-1] + 1]), "interval")
    outside = np.flatnonzero(~inside)
    if not len(outside):
        return Interval(-np.inf, np.inf, "all")
    return Interval(float(edges[outside[0]]), float(edges[outside[-1] + 1]), "unbounded")


def ratio_ends(numerator: FloatArray, denominator: FloatArray, alpha: float) -> tuple[float, float]:
    """Ends of `ratio_set` if it is an interval; else nothing is excluded between minus infinity and infinity."""
    found = ratio_set(numerator, denominator, alpha)
    return (found.lower, found.upper) if found.kind == "interval" else (-np.inf, np.inf)


def static_gain(equation: Equation, theta: FloatArray) -> FloatArray:
    """Change of the outputs in the long run per unit of each drive, (p, drives): -A_0^-1 B."""
    p = equation.n_outputs
    system, B = equation.matrices(theta)
    if equation.is_by_state:
        return np.asarray(-np.linalg.solve(system, B)[:p])
    return np.asarray(-np.linalg.solve(system[-p:, :p], B[-p:]))


def static_ratio(equation: Equation, theta: FloatArray) -> FloatArray:
    """The static gain as a ratio: numerators -adj(A_0) B, flattened (p drives,), then the denominator det A_0.

    Both are polynomials of the coefficients, which the delta method suits even where the denominator may be zero.
    """
    p = equation.n_outputs
    system, B = equation.matrices(theta)
    inner = system if equation.is_by_state else system[-p:, :p]
    if p == 1:
        return np.append(-B[-1], inner[0, 0])
    determinant = np.linalg.det(inner)
    return np.append(-determinant * np.linalg.solve(inner, B)[:p].ravel(), determinant)


def step_response(equation: Equation, theta: FloatArray, t: FloatArray) -> FloatArray:
    """Outputs at times t >= 0 after each drive becomes one at 0, from rest, (n, p, drives)."""
    system, B = equation.matrices(theta)
    d = discretize(system, equation.entry, t, noise=False, ramp=False)
    found = d.hold @ B
    found[..., : len(equation.inputs)] += d.T @ jumps(equation, system, equation.rates(theta))
    return np.asarray(found[:, : equation.n_outputs])


def impulse_response(equation: Equation, theta: FloatArray, t: FloatArray) -> FloatArray:
    """Outputs at times t >= 0 after a unit impulse of each drive at 0, from rest, (n, p, drives), without one of theirs."""
    system, B = equation.matrices(theta)
    entry = equation.entry @ B
    entry[:, : len(equation.inputs)] += system @ jumps(equation, system, equation.rates(theta))
    return np.asarray(expm(system * t[:, None, None])[:, : equation.n_outputs] @ entry)


def input_polynomials(equation: Equation, theta: FloatArray) -> FloatArray:
    """What multiplies the inputs on the right, by power of s from zero on, (powers, p, inputs); by state (powers, M, inputs)."""
    system, B = equation.matrices(theta)
    levels = B[None, :, : len(equation.inputs)]
    if equation.is_by_state:
        F = jumps(equation, system, equation.rates(theta))
        return np.concatenate([levels, F[None]]) if equation.jumps else levels
    levels = levels[:, -equation.n_outputs :]
    return np.concatenate([levels, equation.rates(theta)])


def transfer_polynomials(equation: Equation, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Numerators (p, inputs, M + 1) and denominator (M + 1,) of the transfer functions, the highest power of s first.

    Of the first p rows of adj(s I - A) E B(s) and of det(s I - A), by Faddeev and Leverrier.
    """
    p, m = equation.n_outputs, equation.n_states
    system = equation.matrices(theta)[0]
    adjoint, denominator, rows = np.eye(m), [1.0], []
    for k in range(1, m + 1):
        rows.append(adjoint[:p] @ equation.entry)
        moved = system @ adjoint
        denominator.append(-float(np.trace(moved)) / k)
        adjoint = moved + denominator[-1] * np.eye(m)
    numerators = np.zeros((p, len(equation.inputs), m + 1))
    if equation.hidden and not equation.is_by_state:
        inputs = input_polynomials(equation, theta)
        numerators[:, :, m + 1 - len(inputs) :] = np.moveaxis(inputs[::-1], 0, 2)
        return numerators, np.array(denominator)
    for power, B in enumerate(input_polynomials(equation, theta)):
        for k, row in enumerate(rows):  # of s^(m - 1 - k)
            if k + 1 >= power:
                numerators[:, :, k + 1 - power] += row @ B
    return numerators, np.array(denominator)


def zeros(equation: Equation, i: int, j: int, theta: FloatArray) -> npt.NDArray[Any]:
    """Zeros of the transfer function of output j by input i."""
    return np.roots(transfer_polynomials(equation, theta)[0][j, i])


def simulate(
    equation: Equation,
    theta: FloatArray,
    t: FloatArray,
    u: FloatArray,
    initial: FloatArray,
    q: FloatArray | None = None,
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """States at times t (n, M) from an initial state, with process noise of intensities q where rng is given."""
    gaps, classes = np.unique(np.diff(t), return_inverse=True)
    size = float(equation.n_states)
    check_memory(
        8 * (PER_GAP * len(gaps) * size**2 + PER_TIME * len(t) * size), f"a simulation at {len(t)} times", "pass fewer t at once"
    )
    p = equation.n_outputs
    levels = np.array(equation.levels or (0.0,) * (p + len(equation.inputs)))
    u = u - levels[p:]
    system = equation.matrices(theta)[0]
    d = discretize(system, equation.entry, gaps)
    G = gains(equation, theta, system, d, gaps)
    drives = np.column_stack([u, np.ones(len(t))]) if equation.intercept else u
    if equation.takes_changes:
        drives = np.hstack([drives, np.diff(u, axis=0, append=u[-1:])])
    states = np.empty((len(t), equation.n_states))
    states[0] = initial
    states[0, :p] -= levels[:p]
    noise = np.zeros((max(0, len(t) - 1), equation.n_states))
    if rng is not None and q is not None:
        spread = np.tensordot(q, d.Q, axes=1)
        values, axes = np.linalg.eigh(spread)
        roots = axes * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        noise = np.einsum("nij,nj->ni", roots[classes], rng.standard_normal((len(t) - 1, equation.n_states)))
    for k, c in enumerate(classes):
        states[k + 1] = d.T[c] @ states[k] + G[c] @ drives[k] + noise[k]
    states[:, :p] += levels[:p]
    return states
