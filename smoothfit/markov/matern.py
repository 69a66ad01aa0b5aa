"""Matérn processes as priors.

Their state (f, f'/c, ..., f^(p)/c^p), p = nu - 1/2, in dimensionless time z = c x, c = sqrt(2 nu) / length scale, has the companion
matrix F of (D + 1)^(p+1): exp(z F) = exp(-z) sum_k (z N)^k / k!, N = F + I being nilpotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb, factorial
from typing import Any, ClassVar

import numpy as np

from .._validation import FloatArray, frozen
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


@cache
def stationary(dim: int) -> tuple[float, FloatArray]:
    """Intensity of the noise that drives the state of dimension `dim` at an amplitude of one, and the state's covariance."""
    N = np.eye(dim) + np.eye(dim, k=1)
    N[-1] -= [comb(dim, i) for i in range(dim)]
    # exp(z F) e_last = exp(-z) g(z), g the polynomials of coefficients (dim, power)
    g = np.array([np.linalg.matrix_power(N, k)[:, -1] / factorial(k) for k in range(dim)]).T
    weights = np.array([factorial(k) / 2.0 ** (k + 1) for k in range(2 * dim - 1)])  # integrals of z^k exp(-2 z)
    unscaled = np.array([[np.convolve(a, b) @ weights for b in g] for a in g])
    intensity = float(1 / unscaled[0, 0])
    return intensity, frozen(unscaled * intensity)


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
        return values[1] ** 2 * self.rate(values) ** (2 * self.dim - 1) * stationary(self.dim)[0]

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """The stationary law of f and its derivatives, of mean zero."""
        values = self._values(values)
        scale = self.rate(values) ** np.arange(self.dim)
        return Start(np.zeros((self.dim, 0)), stationary(self.dim)[1] * np.outer(scale, scale) * values[1] ** 2)


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
