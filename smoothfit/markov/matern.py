"""Matérn processes as priors.

Their state has smoothness p + 1/2 in dimensionless time z = c x, c = sqrt(2 nu) / length scale, at an amplitude of one:

===========  ====================================================================================================
``s``        the state (f, f'/c, ..., f^(p)/c^p), stationary
``T(z)``     exp(-z) sum_k (z N)^k / k!, transition over z; N = F + I is nilpotent, F the companion matrix of (D + 1)^(p+1)
``Q(z)``     covariance of s(z) given s(0)
``Pinf``     stationary covariance, Q(infinity)
===========  ====================================================================================================

Every function takes z with a small imaginary part, so that derivatives by complex step are exact to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb, factorial
from typing import Any, ClassVar

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError
from .equation import AnyArray
from .process import (
    AMPLITUDE,
    LENGTH,
    Chain,
    Hyperparameter,
    Start,
    given_or_none,
)

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


@cache
def _matern_state(p: int) -> MaternState:
    return MaternState(p)


@dataclass(frozen=True)
class Matern(Chain):
    """Stationary Matérn process of mean zero: covariance amplitude^2 phi(r / length_scale), phi of smoothness nu.

    Parameters
    ----------
    nu : {0.5, 1.5, 2.5, 3.5}
        Smoothness: f has nu - 1/2 derivatives in mean square.
    length_scale : float, optional
        In units of x, as of ``smoothfit.gp``.
    amplitude : float, optional
        Standard deviation of f.

    Notes
    -----
    Its mean is zero; ``Matern(nu=2.5) + Polynomial(0)`` has an unknown level.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> prior = sf.priors.Matern(nu=0.5, length_scale=2.0, amplitude=1.0)
    >>> bool(np.isclose(prior.transition(1.0)[0, 0], np.exp(-0.5)))
    True
    """

    nu: float = 2.5
    length_scale: float | None = None
    amplitude: float | None = None
    label: ClassVar[str] = "matern"

    def __post_init__(self) -> None:
        if not isinstance(self.nu, int | float | np.number) or self.nu not in (0.5, 1.5, 2.5, 3.5):
            raise SpecificationError(f"nu is {self.nu!r}; pass 0.5, 1.5, 2.5 or 3.5")
        given_or_none(self.length_scale, "length_scale")
        given_or_none(self.amplitude, "amplitude")

    @property
    def dim(self) -> int:
        """Dimension of the state, nu + 1/2."""
        return int(self.nu + 0.5)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The length_scale and the amplitude."""
        return (
            Hyperparameter("length_scale", LENGTH, 1, 0, self.length_scale),
            Hyperparameter("amplitude", AMPLITUDE, 0, 1, self.amplitude),
        )

    def rate(self, values: AnyArray) -> Any:
        """The decay sqrt(2 nu) / length_scale."""
        return np.sqrt(2 * self.nu) / values[0]

    def companion(self, values: AnyArray) -> AnyArray:
        """Coefficients of the polynomial (D + 1)^dim, D = d/dx over the rate, with their signs: shape (dim,)."""
        return -np.array([float(comb(self.dim, i)) for i in range(self.dim)])

    def intensity(self, values: AnyArray) -> Any:
        """Intensity of the white noise that gives f the variance amplitude^2."""
        return values[1] ** 2 * self.rate(values) ** (2 * self.dim - 1) * _matern_state(self.dim - 1).intensity

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """The stationary law of f and its derivatives, of mean zero."""
        values = self._values(values)
        scale = self.rate(values) ** np.arange(self.dim)
        stationary = _matern_state(self.dim - 1).stationary
        return Start(np.zeros((self.dim, 0)), stationary * np.outer(scale, scale) * values[1] ** 2)

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """Closed forms; with the integral by the matrix exponential."""
        if integral:
            return super().matrices(dt, values, x_unit, integral)
        rate, state = self.rate(values), _matern_state(self.dim - 1)
        scale = rate ** np.arange(self.dim)
        T = state.transition(dt * rate) * (scale[:, None] / scale)
        return T, state.noise(dt * rate) * (np.outer(scale, scale) * values[1] ** 2)


@dataclass(frozen=True)
class OrnsteinUhlenbeck(Matern):
    """Stationary process of covariance amplitude^2 exp(-r / length_scale): autoregressive of order one at even steps.

    Parameters
    ----------
    length_scale : float, optional
        Over which the correlation falls to 1/e, in units of x.
    amplitude : float, optional
        Standard deviation.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> prior = sf.priors.OrnsteinUhlenbeck(length_scale=2.0, amplitude=1.0)
    >>> bool(np.isclose(prior.transition(1.0)[0, 0], np.exp(-0.5)))  # correlation over one unit of x
    True
    """

    nu: float = 0.5
    label: ClassVar[str] = "ou"

    def __init__(self, length_scale: float | None = None, amplitude: float | None = None):
        object.__setattr__(self, "nu", 0.5)
        object.__setattr__(self, "length_scale", given_or_none(length_scale, "length_scale"))
        object.__setattr__(self, "amplitude", given_or_none(amplitude, "amplitude"))

    def __repr__(self) -> str:
        return f"OrnsteinUhlenbeck(length_scale={self.length_scale}, amplitude={self.amplitude})"
