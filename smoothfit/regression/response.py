"""Rows of instruments that respond slowly, by a filter of first order, in any basis.

An instrument with response time tau that observes f^(k) shows z, tau z' + z = f^(k), from its first observation x_0 on:

    z(x) = z(x_0) exp(-(x - x_0) / tau) + integral from x_0 to x of exp(-(x - s) / tau) / tau f^(k)(s) ds.

z(x_0) is a coefficient that no penalty touches: to what the instrument was exposed before is not known. A flat density of it at the
first observation is the diffuse start that state-space models give it (``smoothfit.markov.response``).

f^(k) is a polynomial on each piece between knots. On an interval of length h that ends at x, in t from -1 to 1, the terms of its
series of Legendre polynomials P_l contribute, by the expansion of a plane wave (Abramowitz and Stegun 1964, section 10.2),

    r/2 integral of exp(-(1 - t) r / 2) P_l(t) dt = (pi r)^(1/2) exp(-r / 2) I_(l + 1/2)(r / 2),    r = h / tau.

These are between zero and one for every r, so that no digits are lost if tau is far below or far above h. From one border to the
next z decays, and takes up what the piece between them contributes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import eval_legendre, ive

from .._validation import FloatArray, check_memory
from ..basis import BSplineBasis, FourierBasis
from ..basis.base import Basis
from ..basis.recombined import RecombinedBasis

FAR = 1e8  # of r, from which on two terms in 1 / r are right to rounding
TERMS = 16  # of the Legendre series of pieces of sines: the next one is below rounding
LONGEST = 2.0  # radians of such a piece
NEGLIGIBLE = 1e-30  # of the largest entry of a row: what has decayed so far is zero, or its squares would underflow


def borders_of(basis: Basis, first: float, last: float) -> FloatArray:
    """Points within (first, last) between which the functions of a basis are polynomials, or sines of at most `LONGEST` radians."""
    if isinstance(basis, FourierBasis):
        n = int(np.ceil((last - first) * float(basis.frequencies.max(initial=0.0)) / LONGEST))
        return np.linspace(first, last, n + 1)[1:-1]
    own = basis.parent if isinstance(basis, RecombinedBasis) else basis
    assert isinstance(own, BSplineBasis)
    (lower, upper), knots = basis.domain, np.unique(own.knots)
    knots = knots[(knots >= lower) & (knots <= upper)]
    if own.extrapolate == "periodic":
        period = upper - lower
        turns = np.arange(np.floor((first - lower) / period), np.ceil((last - lower) / period))
        knots = np.unique(knots[:-1] + period * turns[:, None])
    return knots[(knots > first) & (knots < last)]


class Pieces(NamedTuple):
    """Intervals on which functions are polynomials, which end at the points asked for, and below these at each border.

    Attributes
    ----------
    lengths : ndarray, shape (n + m,)
    places : ndarray, shape (n,)
        Which border, or the start, is the last one before each point.
    design : csr_array, shape ((n + m) L, K)
        The functions at the L nodes of each interval.
    to_series : ndarray, shape (L, L)
        From values at nodes to coefficients of Legendre polynomials.
    """

    lengths: FloatArray
    places: npt.NDArray[np.int64]
    design: csr_array
    to_series: FloatArray

    @classmethod
    def of(cls, basis: Basis, degree: int | None, deriv: int, x: FloatArray, start: float) -> Pieces:
        """Of points x (n,), from the start on; `degree` of pieces, None of sines."""
        terms = TERMS if degree is None else max(degree - deriv, 0) + 1
        check_memory(32.0 * len(x) * basis.n_basis, f"rows of {len(x)} observations of a slow instrument", "use fewer functions")
        borders = np.concatenate([[start], borders_of(basis, start, float(x.max(initial=start)))])
        places = np.searchsorted(borders, x, side="right") - 1
        below, above = np.concatenate([borders[places], borders[:-1]]), np.concatenate([x, borders[1:]])
        nodes, weights = np.polynomial.legendre.leggauss(terms)
        orders = np.arange(terms)[:, None]
        to_series = (orders + 0.5) * eval_legendre(orders, nodes) * weights
        inside = below[:, None] + (above - below)[:, None] * (nodes + 1) / 2
        return cls(above - below, places, basis.design(inside.ravel(), deriv), to_series)


def gains_of(r: FloatArray, terms: int) -> FloatArray:
    """What P_0, P_1, ... on intervals of r (n,) response times contribute at their ends: (n, terms)."""
    near, orders = np.minimum(r, FAR)[:, None], np.arange(terms)
    twice = orders * (orders + 1.0) / np.maximum(r, FAR)[:, None]
    far = 1 - twice + twice * (twice - 2 / np.maximum(r, FAR)[:, None]) / 2
    return np.where(r[:, None] > FAR, far, np.sqrt(np.pi * near) * ive(orders + 0.5, near / 2))


class Slow:
    """What instruments show of functions of a basis at x (n,), from a start on, for every response time."""

    def __init__(self, basis: Basis, degree: int | None, deriv: int, x: FloatArray, start: float):
        self._pieces = Pieces.of(basis, degree, deriv, x, start)

    def rows(self, time: float) -> FloatArray:
        """Rows (n, K + 1) at a response time, in units of x, or zero; the last column is the decay of z(x_0)."""
        lengths, places, design, to_series = self._pieces
        n, terms = len(places), len(to_series)
        r = lengths / time if time else np.full(len(lengths), np.inf)
        r[lengths <= 0] = 0.0
        weights = gains_of(r, terms) @ to_series
        index = np.arange(weights.size + 1)
        added = (csr_array((weights.ravel(), index[:-1], index[::terms]), shape=(len(r), weights.size)) @ design).toarray()
        decay = np.exp(-r)
        shown = np.zeros((len(r) - n + 1, added.shape[1] + 1))  # at the start and at the borders
        shown[0, -1] = 1.0
        for j in range(1, len(shown)):
            shown[j] = decay[n + j - 1] * shown[j - 1]
            shown[j, :-1] += added[n + j - 1]
        found = decay[:n, None] * shown[places]
        found[:, :-1] += added[:n]
        found[np.abs(found) < NEGLIGIBLE * np.abs(found).max(axis=1, keepdims=True)] = 0.0
        return found
