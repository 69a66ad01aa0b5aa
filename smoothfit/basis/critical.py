"""Zeros of piecewise polynomials in Bernstein form, and extrema."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from .._validation import FloatArray
from .bernstein import binomials
from .knots import power_of_two

ROUNDING = 8 * np.finfo(np.float64).eps


class Extrema(NamedTuple):
    """Local extrema inside a domain: x, values, and whether each is a maximum (else a minimum)."""

    x: FloatArray
    value: FloatArray
    is_maximum: Any


def bernstein_roots(breaks: FloatArray, pieces: FloatArray) -> FloatArray:
    """Zeros of the polynomials with Bernstein coefficients (n_pieces, degree + 1) between breaks, increasing, each once.

    A piece whose coefficients have one sign has no zero; one change of sign, exactly one; with more, the piece is halved
    until the changes part or the coefficients are zero to rounding of those they came from (a zero of even order).
    """
    found: list[float] = []
    for i in np.flatnonzero((pieces.min(axis=1) <= 0) & (pieces.max(axis=1) >= 0)):
        lower, upper = float(breaks[i]), float(breaks[i + 1])
        size = float(np.abs(pieces[i]).max())
        if size == 0:
            found += [lower, upper]
        else:
            found += [lower + (upper - lower) * u for u in _unit_roots(pieces[i] / power_of_two(size))]
    # Jumps through zero between pieces are no zeros. A zero on a break is found from both sides, to rounding.
    zeros = np.sort(np.array(found))
    if not len(zeros):
        return zeros
    near = np.diff(zeros) <= 4 * ROUNDING * np.maximum(np.abs(zeros[1:]), np.diff(breaks).min())
    return np.asarray(zeros[np.concatenate([[True], ~near])])


def _unit_roots(coef: FloatArray) -> list[float]:
    """Zeros on [0, 1], increasing."""
    size = float(np.abs(coef).max())
    roots: list[float] = []
    stack = [(0.0, 1.0, coef)]
    while stack:
        start, end, b = stack.pop()
        b = np.where(np.abs(b) <= ROUNDING * size, 0.0, b)
        signs = np.sign(b[b != 0])
        changes = int(np.count_nonzero(np.diff(signs)))
        if not len(signs):  # zero to rounding throughout: a zero of even order, or one as good as level
            roots.append((start + end) / 2)
            continue
        if b[0] == 0:
            roots.append(start)
        if b[-1] == 0:
            roots.append(end)
        if changes == 0 or (b[0] == 0 and b[-1] == 0 and len(b) < 3):
            continue
        if changes == 1 and b[0] != 0 and b[-1] != 0:
            u = brentq(_polynomial, 0.0, 1.0, args=(b * binomials(len(b) - 1),), xtol=1e-16, rtol=4 * np.finfo(float).eps)
            roots.append(start + (end - start) * float(u))
            continue
        if end - start <= ROUNDING:
            roots.append((start + end) / 2)
            continue
        left, right = halves(b)
        middle = start + (end - start) / 2
        stack += [(middle, end, right), (start, middle, left)]
    roots.sort()
    return [u for i, u in enumerate(roots) if i == 0 or u - roots[i - 1] > 4 * ROUNDING]


def _polynomial(u: float, scaled: FloatArray) -> float:
    """Value at u from Bernstein coefficients times binomials."""
    v, power, value = 1.0 - u, u, scaled[0]
    for c in scaled[1:]:
        value = value * v + c * power
        power *= u
    return float(value)


def halves(coef: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bernstein coefficients on both halves (de Casteljau)."""
    left, right, points = [coef[0]], [coef[-1]], coef
    while len(points) > 1:
        points = (points[:-1] + points[1:]) / 2
        left.append(points[0])
        right.append(points[-1])
    return np.array(left), np.array(right[::-1])


def turns(candidates: FloatArray, signs: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Which of the candidates (k,) are extrema, and whether they are maxima, by the signs (k + 1,) of the slope between them.

    An interval between candidates on which the function is level counts with its middle.
    """
    x, kinds = [], []
    i = 0
    while i < len(candidates):
        j = i
        while j < len(candidates) - 1 and signs[j + 1] == 0:  # level up to the next candidate
            j += 1
        before, after = signs[i], signs[j + 1]
        if before * after < 0:
            x.append(candidates[i] + (candidates[j] - candidates[i]) / 2)
            kinds.append(before > 0)
        i = j + 1
    return np.array(x), np.array(kinds, dtype=np.bool_)
