"""Derivatives of a stationary kernel, as sums of terms.

With w_j = (x_j - x'_j) / l_j, every derivative of phi(r) by components of x, of x' and by logarithms of length scales is

    prod(1 / l_a, a the axes derived by)  sum_i  c_i phi_(m_i)(r) prod_j w_j^(p_ij),   phi_m = ((1/r) d/dr)^m phi,

since d phi_m / d w_j = phi_(m+1) w_j, d w_j / d x_j = 1 / l_j = -d w_j / d x'_j and d w_j / d log l_j = -w_j. `expansion` applies
these three rules; `evaluate` computes the sum as phi_m(r) r^k times powers of the direction w / r, so that nothing divides by a
small distance.

===========  =======================================================================================
``A, B``     axes that the random function is derived by at x and at x': ``()`` its value, ``(j,)`` its
             slope along input j, ``(i, j)`` an entry of its Hessian
``by``       length scales whose logarithms the covariance is derived by: inputs, or ALL for a shared one
===========  =======================================================================================
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache, cached_property

import numpy as np

from .._validation import FloatArray
from .kernels import Kernel
from .points import VALUE

Axes = tuple[int, ...]
Powers = tuple[int, ...]
ALL = -1  # all inputs: their shared length scale
FAR = 1e6  # length scales, beyond which every kernel and derivative underflows to zero


def axes_of(axis: int) -> Axes:
    """Axes along which the observed function is a derivative of f; none for f itself (-1)."""
    return () if axis == VALUE else (axis,)


@cache
def expansion(d: int, A: Axes, B: Axes, by: Axes = ()) -> Mapping[tuple[int, Powers], float]:
    """Return the coefficients c of the terms (m, powers of w), for d inputs, without the factor prod(1 / l_a)."""
    terms: Mapping[tuple[int, Powers], float] = {(0, (0,) * d): 1.0}
    for sign, axes in ((1, A), (-1, B)):
        for a in axes:
            terms = _by_input(terms, a, sign)
    counts = Counter(A + B)
    for j in by:
        terms = _by_log_length(terms, range(d) if j == ALL else (j,), counts)
    return terms


def _by_input(terms: Mapping[tuple[int, Powers], float], a: int, sign: int) -> Mapping[tuple[int, Powers], float]:
    new: defaultdict[tuple[int, Powers], float] = defaultdict(float)
    for (m, powers), c in terms.items():
        new[m + 1, _raised(powers, a, 1)] += sign * c
        if powers[a]:
            new[m, _raised(powers, a, -1)] += sign * c * powers[a]
    return new


def _by_log_length(
    terms: Mapping[tuple[int, Powers], float], inputs: range | Axes, counts: Counter[int]
) -> Mapping[tuple[int, Powers], float]:
    new: defaultdict[tuple[int, Powers], float] = defaultdict(float)
    for (m, powers), c in terms.items():
        for j in inputs:
            new[m + 1, _raised(powers, j, 2)] -= c
            if powers[j] + counts[j]:
                new[m, powers] -= c * (powers[j] + counts[j])
    return {key: c for key, c in new.items() if c}


def _raised(powers: Powers, a: int, by: int) -> Powers:
    return (*powers[:a], powers[a] + by, *powers[a + 1 :])


class Geometry:
    """Distances and directions between two sets of points, and the kernel's radial functions of them, each computed once.

    Parameters
    ----------
    kernel : Kernel
    X, Y : ndarray, shapes (n, d) and (m, d)
    length : ndarray, shape (d,) or (L, d)
        With L of them side by side everything has a first axis of length L.
    """

    def __init__(self, kernel: Kernel, X: FloatArray, Y: FloatArray, length: FloatArray):
        self._kernel = kernel
        self._length = [length[..., j, None, None] for j in range(length.shape[-1])]
        self._w = [_clipped((X[:, j, None] - Y[None, :, j]) / own) for j, own in enumerate(self._length)]
        if len(self._w) == 1:
            self.r = np.abs(self._w[0])
        else:
            self.r = np.sqrt(sum(component * component for component in self._w))
        self._radial: dict[tuple[int, int], FloatArray] = {}

    @cached_property
    def direction(self) -> list[FloatArray]:
        """Components of w / r, zero where r is."""
        away = np.where(self.r > 0, self.r, 1.0)
        return [component / away for component in self._w]

    def evaluate(self, A: Axes, B: Axes, by: Axes = ()) -> FloatArray:
        """Return the derivative of phi by A at X, B at Y and the logarithms `by`, shape (n, m) or (L, n, m)."""
        total: FloatArray | None = None
        for (m, powers), c in expansion(len(self._length), A, B, by).items():
            term = c * self._radial_function(m, sum(powers))
            for j, power in enumerate(powers):
                if power:
                    term *= self.direction[j] ** power if power > 1 else self.direction[j]
            total = term if total is None else total + term
        if total is None:
            total = np.zeros_like(self.r)
        for a in A + B:
            total /= self._length[a]
        return total

    def _radial_function(self, m: int, k: int) -> FloatArray:
        if (m, k) not in self._radial:
            self._radial[m, k] = self._kernel.radial(m, k, self.r)
        return self._radial[m, k]


def _clipped(w: FloatArray) -> FloatArray:
    """Distances within `FAR`, in their own memory."""
    return np.clip(w, -FAR, FAR, out=w)


def variance_at_zero(kernel: Kernel, length: FloatArray, A: Axes, B: Axes) -> FloatArray:
    """Return the covariance, () or (L,), of two derivatives at one point, for amplitude one."""
    origin = np.zeros((1, length.shape[-1]))
    return np.asarray(Geometry(kernel, origin, origin, length).evaluate(A, B)[..., 0, 0])
