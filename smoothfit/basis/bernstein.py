"""Splines piece by piece: blossoms, and Bernstein coefficients on every piece between neighbouring knots.

The blossom of a polynomial p of degree d is the symmetric function P(a_1, ..., a_d), affine in each argument, with
P(x, ..., x) = p(x) (Ramshaw 1989, "Blossoms are polar forms"). On the piece [a, b] the k-th Bernstein coefficient of p is
P(a, ..., a, b, ..., b), b taken k times, and the B-spline coefficient of a function with the inner knots t_1 .. t_d is
P(t_1, ..., t_d) for any piece p of its support. Every change of representation here is a blossom, computed by de Boor's
recursion; where the arguments lie between the knots at hand it takes averages only, and no digits cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from math import comb

import numpy as np

from .._validation import FloatArray, IntArray


def blossom_weights(knots: FloatArray, degree: int, span: IntArray, arguments: Sequence[FloatArray]) -> FloatArray:
    """Weights (n, degree + 1) of the coefficients span - degree .. span in blossoms at d = `degree` arguments (n,) each.

    The recursion of Cox and de Boor with an argument a step. Where the arguments, in increasing order, are neighbouring knots of a
    refinement and the span is that of the knot before them, the weights are discrete B-splines and every term is nonnegative
    (Cohen, Lyche & Riesenfeld 1980).
    """
    weights = np.zeros((len(span), degree + 1))
    weights[:, degree] = 1.0
    for step, argument in enumerate(arguments, start=1):
        for r in range(degree - step, degree + 1):
            j = span - degree + r
            value = np.zeros(len(span))
            if r > degree - step:
                low, high = knots[j], knots[j + step]
                value += (argument - low) / (high - low) * weights[:, r]
            if r < degree:
                low, high = knots[j + 1], knots[j + 1 + step]
                value += (high - argument) / (high - low) * weights[:, r + 1]
            weights[:, r] = value
    return weights


def blossom(knots: FloatArray, coef: FloatArray, degree: int, span: IntArray, arguments: Sequence[FloatArray]) -> FloatArray:
    """Blossoms of splines with coefficients coef (n_basis, ...): (n, ...)."""
    weights = blossom_weights(knots, degree, span, arguments)
    terms = [_times(weights[:, r], coef[span - degree + r]) for r in range(degree + 1)]
    return np.asarray(sum(terms[1:], start=terms[0]))


def bernstein_blossom(lower: FloatArray, upper: FloatArray, coef: FloatArray, arguments: Sequence[FloatArray]) -> FloatArray:
    """Blossoms at arguments (n,) of polynomials with Bernstein coefficients coef (n, d + 1, ...) on [lower, upper]: (n, ...)."""
    points = list(np.moveaxis(coef, 1, 0))
    width = upper - lower
    for argument in arguments:
        before, after = (upper - argument) / width, (argument - lower) / width
        points = [_times(before, p) + _times(after, q) for p, q in pairwise(points)]
    return np.asarray(points[0])


def bernstein_coefficients(knots: FloatArray, coef: FloatArray, degree: int, span: IntArray) -> FloatArray:
    """Bernstein coefficients (n, degree + 1, ...) of the pieces in the knot spans `span` (n,)."""
    return np.stack([blossom(knots, coef, degree, span, corner) for corner in _corners(knots, degree, span)], axis=1)


def _corners(knots: FloatArray, degree: int, span: IntArray) -> list[list[FloatArray]]:
    """Arguments at which the blossom is a Bernstein coefficient, of each of them."""
    return [[knots[span]] * (degree - k) + [knots[span + 1]] * k for k in range(degree + 1)]


def extraction(knots: FloatArray, degree: int, span: IntArray) -> FloatArray:
    """Bernstein coefficients of the B-splines themselves: entry (p, r, k) of function span[p] - degree + r on piece p.

    Nonnegative, and right to a few units in the last place (Borden, Scott, Evans & Hughes 2011, "Isogeometric finite element
    data structures based on Bezier extraction").
    """
    return np.stack([blossom_weights(knots, degree, span, corner) for corner in _corners(knots, degree, span)], axis=2)


@cache
def binomials(degree: int) -> FloatArray:
    """C(degree, k), k = 0 .. degree."""
    return np.array([comb(degree, k) for k in range(degree + 1)], dtype=np.float64)


def product(a: FloatArray, b: FloatArray) -> FloatArray:
    """Bernstein coefficients (n, d + e + 1, ...) of products of polynomials with coefficients (n, d + 1, ...), (n, e + 1, ...)."""
    d, e = a.shape[1] - 1, b.shape[1] - 1
    result = np.zeros((a.shape[0], d + e + 1, *np.broadcast_shapes(a.shape[2:], b.shape[2:])))
    for i in range(d + 1):
        for j in range(e + 1):
            result[:, i + j] += comb(d, i) * comb(e, j) / comb(d + e, i + j) * (a[:, i] * b[:, j])
    return result


def coefficients_of_pieces(knots: FloatArray, degree: int, breaks: FloatArray, pieces: FloatArray) -> FloatArray:
    """Coefficients in B-splines of a function with Bernstein coefficients (n_pieces, degree + 1, ...) between breaks.

    Each coefficient is a blossom of the widest piece of its support: the arguments are at most a few widths away.
    """
    n = len(knots) - degree - 1
    widest, piece = np.full(n, -1.0), np.zeros(n, dtype=np.int64)
    for r in range(degree + 1):
        low, high = knots[r : r + n], knots[r + 1 : r + 1 + n]
        within = (high > low) & (low >= breaks[0]) & (high <= breaks[-1])
        better = within & (high - low > widest)
        widest[better] = (high - low)[better]
        piece[better] = np.searchsorted(breaks, low[better], side="right") - 1
    arguments = [knots[1 + r : 1 + r + n] for r in range(degree)]
    return bernstein_blossom(breaks[piece], breaks[piece + 1], pieces[piece], arguments)


def _times(scalars: FloatArray, values: FloatArray) -> FloatArray:
    """Products along the first axis."""
    return np.asarray(scalars.reshape(scalars.shape + (1,) * (values.ndim - 1)) * values)
