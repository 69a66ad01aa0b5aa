"""Linear stochastic differential equations x' = A x + E (independent white noises): what is added to them, and their matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import EPS, FloatArray
from .discretize import discretize

AnyArray = npt.NDArray[Any]


class Equation(NamedTuple):
    """x' = A x + E (independent white noises).

    Attributes
    ----------
    system : ndarray, shape (d, d)
        A; real or with a small imaginary part.
    entry : ndarray, shape (d, p)
        E.
    intensities : ndarray, shape (p,)
        Of the noises.
    frequency : float
        If the first two components turn, in radians per unit of x; else zero.
    """

    system: AnyArray
    entry: FloatArray
    intensities: AnyArray
    frequency: float = 0.0

    def integrated(self, row: FloatArray) -> Equation:
        """The equation with the integral of h'x as first component, h the first entries of a row, and zeros."""
        system = np.pad(self.system, ((1, 0), (1, 0)))
        system[0, 1 : 1 + len(row)] = row
        return self._replace(system=system, entry=np.pad(self.entry, ((1, 0), (0, 0))))

    def filtered(self, rows: Sequence[FloatArray], times: Sequence[Any]) -> Equation:
        """The equation with components z below, tau z' + z = h'x for rows h (d,) and times tau; z is constant if tau is zero."""
        (d, p), k = self.entry.shape, len(rows)
        system = np.zeros((d + k, d + k), dtype=np.result_type(self.system, *times))
        system[:d, :d] = self.system
        for j, (row, time) in enumerate(zip(rows, times, strict=True), d):
            if time != 0:
                system[j, :d], system[j, j] = row / time, -1.0 / time
        return self._replace(system=system, entry=np.vstack([self.entry, np.zeros((k, p))]))

    def discrete(self, dt: FloatArray) -> tuple[AnyArray, AnyArray]:
        """T of steps dt (n,), and Q of each noise at an intensity of one: (n, d, d) and (p, n, d, d)."""
        system = self.system if np.any(np.imag(self.system)) else np.real(self.system)
        found = discretize(system, self.entry, dt, ramp=False)
        clear_rounding(found.T, self.frequency * dt, len(system) - 2)  # behind the integral, if there is one
        return found.T, found.Q

    def matrices(self, dt: FloatArray) -> tuple[AnyArray, AnyArray]:
        """T and Q of steps dt (n,): (n, d, d)."""
        T, per_noise = self.discrete(dt)
        return T, np.tensordot(self.intensities, per_noise, 1)


def clear_rounding(T: AnyArray, z: FloatArray, first: int) -> None:
    """Make exact zeros in T (n, d, d) at quarters of a turn: components `first` and `first` + 1 turn by z (n,), if it is not zero.

    The rounding of z would be taken for a trace of an unknown start.
    """
    if not z.any():
        return
    rounding, both = EPS * np.maximum(z, 4.0), [first, first + 1]
    for wave, columns in ((np.sin(z), both[::-1]), (np.cos(z), both)):
        is_zero = np.abs(wave) <= rounding
        if is_zero.any():
            T[:, both, columns] *= ~is_zero[:, None]
