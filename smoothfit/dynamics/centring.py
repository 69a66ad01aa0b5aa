"""Observations and inputs far from zero, taken from a level near them.

With y = x + c and u = v + d, y^(m) = A_0 y + ... + B u + gamma is x^(m) = A_0 x + ... + B v + gamma', where

    gamma = gamma' - A_0 c - B d

is the only coefficient that differs. Sums of products of observations around 1e6 that vary by one lose the digits that separate
gamma from the others; those of x and v do not. All methods therefore work on x and v, and what they find is brought back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._validation import FloatArray
from .methods.base import Fitted, Problem, turned
from .specification import Equation

FAR = 1.0  # ranges of a column, from which its level is taken off
ENOUGH = 10_000  # rows that locate a column


@dataclass(frozen=True, eq=False)
class Centring:
    """Levels taken off, and the way back.

    Attributes
    ----------
    outputs : ndarray, shape (p,)
        c, zero where an output stays as it is.
    inputs : ndarray, shape (k,)
        d.
    """

    outputs: FloatArray
    inputs: FloatArray

    @property
    def is_needed(self) -> bool:
        return bool(self.outputs.any() or self.inputs.any())

    def as_tuple(self) -> tuple[float, ...]:
        """Levels of the outputs, then of the inputs; empty if none is taken off."""
        return (*self.outputs.tolist(), *self.inputs.tolist()) if self.is_needed else ()

    def problem(self, problem: Problem) -> Problem:
        """The problem of x and v."""
        if not self.is_needed:
            return problem
        return Problem(problem.equation, problem.sample.less(self.outputs, self.inputs))

    def way_back(self, equation: Equation) -> FloatArray:
        """T of theta = T theta', (k, k)."""
        width, p = len(equation.regressors), equation.n_outputs
        T = np.eye(equation.n_params)
        if not equation.intercept or equation.is_by_state:
            return T
        curves = sorted(equation.derivatives)
        for i in range(p):
            first, const = i * width, (i + 1) * width - 1
            if 0 in curves:
                T[const, first : first + p] = -self.outputs
            levels = first + len(curves) * p
            T[const, levels : levels + len(self.inputs)] = -self.inputs
        return T

    def back(self, equation: Equation, fitted: Fitted) -> Fitted:
        """What was found, of y and u."""
        T = self.way_back(equation)
        extra = dict(fitted.extra)
        if "bias" in extra:
            bias = T @ np.array([extra["bias"][name] for name in equation.names])
            extra["bias"] = dict(zip(equation.names, bias.tolist(), strict=True))
        return replace(fitted, theta=T @ fitted.theta, cov=turned(fitted.cov, T), way_back=T, extra=extra)


def centred(problem: Problem) -> Problem:
    """The problem with levels taken off, whose noises and residuals are those of the problem itself."""
    return centring(problem).problem(problem)


def centring(problem: Problem) -> Centring:
    """The levels of columns that are far from zero beside their range, where an intercept takes them up and has to be brought back.

    Equations by state have theirs in their coefficients (`Equation.levels`), on which constants do not depend linearly.
    """
    equation = problem.equation
    return Centring(np.zeros(equation.n_outputs), np.zeros(len(equation.inputs))) if equation.is_by_state else levels_of(problem)


def levels_of(problem: Problem) -> Centring:
    """The levels of columns that are far from zero beside their range, if there is an intercept that nothing is known of."""
    sample, equation = problem.sample, problem.equation
    outputs, inputs = np.zeros(equation.n_outputs), np.zeros(len(equation.inputs))
    names = equation.names
    is_free = not any(names[place].split(": ")[-1] == "const" for place in equation.stated)
    if equation.intercept and is_free and not equation.terms:
        for i, column in enumerate(sample.u.T):
            inputs[i] = _level(column)
        for channel, column in zip(sample.channels, sample.y.T, strict=True):
            if channel.deriv == 0 and not outputs[channel.output]:
                outputs[channel.output] = _level(column)
    return Centring(outputs, inputs)


def _level(column: FloatArray) -> float:
    """The middle of the range where zero is far from it, else zero; of long columns some rows decide."""
    some = column[:: max(1, len(column) // ENOUGH)]
    column = some if np.isfinite(some).any() else column
    low, high = float(np.fmin.reduce(column)), float(np.fmax.reduce(column))
    middle = low + (high - low) / 2
    return middle if abs(middle) > FAR * (high - low) else 0.0
