"""Whether the observations identify hidden states: against the equation that has one state less, or has them for other outputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from ..errors import SmoothfitError
from .centring import centred
from .fast import lowered
from .likelihood import StateSpace
from .methods import Method, Problem
from .methods.base import Fitted
from .observer import ObserverForm
from .response import transfer_polynomials
from .specification import Equation

SURE = 100.0  # Wald statistic of the residues of a pole, beyond which no pole and zero cancel


def unidentified(problem: Problem, method: Method, fitted: Fitted) -> str | None:
    """A warning if an equation with one hidden state less fits as well, by Schwarz's criterion; None else.

    A pole without residues is not identified, so that a likelihood ratio has no chi-squared law; a further state is taken for
    identified if the ratio exceeds log(n) for each of its parameters.
    """
    equation = problem.equation
    if equation.known or equation.bounds or equation.intensities or _is_sure(equation, fitted):
        return None
    if isinstance(equation, ObserverForm):
        doubt = _of_other_outputs(problem, equation, method, fitted)
        if doubt:
            return doubt
    try:
        other = method.estimate(centred(_with_one_state_less(problem)))
    except (SmoothfitError, np.linalg.LinAlgError):  # an equation that cannot be fitted does not fit as well
        return None
    ratio = _ratio(fitted, other)
    extra = len(fitted.theta) - len(other.theta) + len(fitted.noise) - len(other.noise)
    exact = bool(fitted.notes) and bool(other.notes)  # noise-free samples have no likelihood to compare
    if not exact and (fitted.notes or ratio >= extra * np.log(fitted.n_rows)):
        return None
    fits = (
        "fits these observations to rounding, too"
        if exact
        else f"fits as well (likelihood ratio {ratio:.3g} for {extra} parameters)"
    )
    return (
        f"hidden={equation.hidden} is not identified: hidden={equation.hidden - 1} {fits}. A pole and a zero nearly cancel, or "
        f"nothing excites the further mode, and its pole is arbitrary. Use hidden={equation.hidden - 1}, or record longer, faster, "
        "or with inputs that change more"
    )


def _with_one_state_less(problem: Problem) -> Problem:
    """The problem of an equation with one hidden state less, given as many observations."""
    equation, sample = problem.equation, problem.sample
    if not isinstance(equation, ObserverForm):
        lower = tuple(max(0, j - 1) for j in equation.input_derivatives)  # as far below the number of states as before
        fewer = replace(equation, hidden=equation.hidden - 1, input_derivatives=lower if any(lower) else ())
        return Problem(*lowered(fewer, sample))
    y, space = sample.y.copy(), StateSpace(equation, sample)
    for s, chosen in zip(sample.slices(), space.fixing, strict=True):
        if chosen:  # the last observation that fixes the state, and the first one of its series
            channel = int(np.flatnonzero(space.component == chosen[-1][1])[0])
            y[s.start + int(np.argmax(np.isfinite(y[s, channel]))), channel] = np.nan
    return Problem(equation.with_fewer_hidden(), sample.with_readings(y))


def _of_other_outputs(problem: Problem, equation: ObserverForm, method: Method, fitted: Fitted) -> str | None:
    """A warning if the observations fit better with the last states being those of other outputs than the first; None else.

    There are as many coefficients, and the observations that fix the state are the same.
    """
    sample, r = problem.sample, equation.n_states % equation.n_outputs
    best: tuple[str, ...] = ()
    gain = float(np.log(fitted.n_rows))
    for chosen in [] if fitted.notes else [*combinations(range(equation.n_outputs), r)][1:]:
        order = [*chosen, *(i for i in range(equation.n_outputs) if i not in chosen)]
        outputs = tuple(equation.outputs[i] for i in order)
        channels = tuple(replace(channel, output=order.index(channel.output)) for channel in sample.channels)
        levels = tuple(equation.levels[i] for i in order) + equation.levels[len(order) :] if equation.levels else ()
        turned = replace(equation, outputs=outputs, levels=levels)
        try:
            other = method.estimate(Problem(turned, replace(sample, outputs=outputs, channels=channels)))
        except (SmoothfitError, np.linalg.LinAlgError):  # an equation that cannot be fitted does not fit better
            continue
        ratio = np.inf if other.notes else _ratio(other, fitted)
        if ratio > gain:
            best, gain = outputs, ratio
    if not best:
        return None
    first = ", ".join(equation.outputs[:r])
    better = f"twice the log-likelihood is {gain:.3g} higher" if np.isfinite(gain) else "to rounding"
    return (
        f"hidden={equation.hidden} is for a hidden state that acts on {first}, and the observations fit better if it acts on "
        f"{', '.join(best[:r])} ({better}). Pass the columns of y in the order {', '.join(best)}"
    )


def _ratio(fitted: Fitted, other: Fitted) -> float:
    """Twice the difference of log-likelihoods; of least squares, which maximise none, that of their residuals."""
    if fitted.q.any() or len(fitted.noise) != 1:
        return 2 * (fitted.llf - other.llf)
    squares = [(one.n_rows - len(one.theta)) * one.sigma2[0] for one in (fitted, other)]
    return float(fitted.n_rows * np.log(squares[1] / squares[0]))


def _is_sure(equation: Equation, fitted: Fitted) -> bool:
    """Whether every pole surely has a residue N(p) / D'(p) in the response to some input: a Wald test, which costs no fit.

    With D(s) = s^n - sum_j a_j s^j a pole moves by dp / da_j = p^j / D'(p).
    """
    k = len(fitted.theta)
    if not equation.inputs or fitted.notes or equation.is_by_state:
        return False
    N, denominator = transfer_polynomials(equation, fitted.theta)
    by_unit = np.array([transfer_polynomials(equation, unit)[0][0] for unit in np.eye(k)])  # linear in the coefficients
    for pole in np.roots(denominator):
        moves = np.zeros(k, complex)
        derivatives = sorted(equation.derivatives)
        moves[: len(derivatives)] = pole ** np.array(derivatives) / np.polyval(np.polyder(denominator), pole)
        powers = pole ** np.arange(N.shape[2])[::-1]
        slopes = powers @ np.moveaxis(by_unit, 2, 1) + moves[:, None] * [np.polyval(np.polyder(row), pole) for row in N[0]]
        value, both = N[0] @ powers, np.vstack([slopes.real.T, slopes.imag.T])
        value = np.concatenate([value.real, value.imag])
        if not value @ np.linalg.pinv(both @ fitted.cov[:k, :k] @ both.T, hermitian=True) @ value > SURE:
            return False
    return True
