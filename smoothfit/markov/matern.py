"""The state of a Matérn process of smoothness p + 1/2 in dimensionless time z = c x, c = sqrt(2 nu) / length scale, amplitude one.

===========  ====================================================================================================
``s``        the state (f, f'/c, ..., f^(p)/c^p), stationary
``T(z)``     exp(-z) sum_k (z N)^k / k!, transition over z; N = F + I is nilpotent, F the companion matrix of (D + 1)^(p+1)
``Q(z)``     covariance of s(z) given s(0)
``Pinf``     stationary covariance, Q(infinity)
===========  ====================================================================================================

Every function takes z with a small imaginary part, so that derivatives by complex step are exact to rounding.
"""

from __future__ import annotations

from math import comb, factorial
from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]

SERIES_END = 12.0  # z, above which incomplete gamma functions come from their closed form
SERIES_TERMS = 60
NEGLIGIBLE = 1e-18  # of a sum: so are the terms after it, whose ratio is below one
FORGOTTEN = 1e3  # z, beyond which exp(-z) underflows to zero


def moments_of_decay(k: int, z: AnyArray) -> AnyArray:
    """Integral of u^k exp(-z u) over u = 0 .. 1, for z >= 0 of any size, real or with a small imaginary part.

    Below `SERIES_END` by Kummer's series exp(-z) sum_m k! z^m / (k+1+m)!, of positive terms; above it by the closed form.
    """
    z = np.asarray(z)
    small = np.where(z.real < SERIES_END, z, 1.0)
    term = np.full_like(small, 1.0 / (k + 1))
    total = term.copy()
    for m in range(1, SERIES_TERMS):
        term = term * small / (k + 1 + m)
        total = total + term
        if (np.abs(term) <= NEGLIGIBLE * np.abs(total)).all():
            break
    large = np.where(z.real < SERIES_END, SERIES_END, z)
    tail = np.ones_like(large)
    power = np.ones_like(large)
    for m in range(1, k + 1):
        power = power * large / m
        tail = tail + power
    closed = factorial(k) / large ** (k + 1) * (1 - np.exp(-large) * tail)
    return np.asarray(np.where(z.real < SERIES_END, np.exp(-small) * total, closed))


class MaternState:
    """Transition, noise and stationary covariance of the dimensionless state of Matern p + 1/2.

    `intensity` is that of the white noise which drives the last component.
    """

    def __init__(self, p: int):
        self.dim = dim = p + 1
        # companion matrix of (D + 1)^dim, plus the identity
        N = np.eye(dim)
        N[:-1, 1:] += np.eye(dim - 1)
        N[-1] -= [comb(dim, i) for i in range(dim)]
        self._nilpotent = [np.linalg.matrix_power(N, k) / factorial(k) for k in range(dim)]
        # exp(z F) e_last = exp(-z) g(z), g the polynomials of coefficients (dim, power)
        g = np.array([power[:, -1] for power in self._nilpotent]).T
        self._products = np.zeros((dim, dim, 2 * dim - 1))  # coefficients of g_i g_j
        for i in range(dim):
            for j in range(dim):
                self._products[i, j] = np.convolve(g[i], g[j])
        weights = np.array([factorial(k) / 2.0 ** (k + 1) for k in range(2 * dim - 1)])  # integrals of z^k exp(-2 z)
        unscaled = self._products @ weights
        self.intensity = 1 / unscaled[0, 0]
        self.stationary = unscaled * self.intensity

    def transition(self, z: AnyArray) -> AnyArray:
        """T(z), shape of z + (dim, dim); z may be negative."""
        z = _near(z)[..., None, None]
        total, power = self._nilpotent[0], z
        for k in range(1, self.dim):
            total = total + power * self._nilpotent[k]
            power = power * z
        return np.asarray(np.exp(-z) * total)

    def noise(self, z: AnyArray) -> AnyArray:
        """Q(z) = intensity * integral of exp(-2 s) g(s) g(s)' over s = 0 .. z, shape of z + (dim, dim)."""
        z = _near(z)
        total = np.zeros((*z.shape, self.dim, self.dim), dtype=z.dtype)
        for k in range(2 * self.dim - 1):
            integral = z ** (k + 1) * moments_of_decay(k, 2 * z)
            total += integral[..., None, None] * (self._products[:, :, k] * self.intensity)
        return total


def _near(z: AnyArray) -> AnyArray:
    """Steps, those of which nothing survives cut short of overflow."""
    z = np.asarray(z)
    return np.asarray(np.where(z.real > FORGOTTEN, FORGOTTEN, z))
