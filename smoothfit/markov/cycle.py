"""The stochastic cycle as a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .._validation import FloatArray
from .equation import AnyArray, Equation
from .process import AMPLITUDE, LENGTH, PERIOD, Hyperparameter, Prior, Start, given_or_none


@dataclass(frozen=True)
class StochasticCycle(Prior):
    """Stationary cycle of covariance amplitude^2 exp(-r / length_scale) cos(2 pi r / period): business cycles, sunspots.

    Its state turns once in a period, decays, and is driven by noise in both components,

        d (f, g) = [[-1/length_scale, w], [-w, -1/length_scale]] (f, g) dx + white noise,   w = 2 pi / period.

    Parameters
    ----------
    period : float, optional
        In units of x.
    length_scale : float, optional
        Over which amplitude and phase are forgotten, the correlation falling to 1/e, in units of x.
    amplitude : float, optional
        Standard deviation of f.

    Notes
    -----
    At unit steps it is exactly the damped stochastic cycle of Harvey, with damping rho = exp(-1 / length_scale), frequency
    2 pi / period and variance amplitude^2 (1 - rho^2), as in ``UnobservedComponents(cycle=True, stochastic_cycle=True,
    damped_cycle=True)`` of statsmodels, where the first state is diffuse instead of stationary. f has no derivative;
    ``DampedOscillator`` is a cycle that has one.

    References
    ----------
    - A. C. Harvey (1989), *Forecasting, Structural Time Series Models and the Kalman Filter*, sections 2.3.3 and 9.2.

    Examples
    --------
    >>> import smoothfit as sf
    >>> prior = sf.priors.StochasticCycle(period=4.0, length_scale=2.0, amplitude=1.0)
    >>> print(prior.transition(1.0).round(3))
    [[ 0.     0.607]
     [-0.607  0.   ]]
    """

    period: float | None = None
    length_scale: float | None = None
    amplitude: float | None = None
    label: ClassVar[str] = "cycle"

    def __post_init__(self) -> None:
        for name in ("period", "length_scale", "amplitude"):
            given_or_none(getattr(self, name), name)

    @property
    def dim(self) -> int:
        """Dimension of the state, the cycle and its conjugate: 2."""
        return 2

    @property
    def smoothness(self) -> int:
        """Zero: the curve is continuous and has no derivative."""
        return 0

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The period, the length_scale and the amplitude."""
        return (
            Hyperparameter("period", PERIOD, 1, 0, self.period),
            Hyperparameter("length_scale", LENGTH, 1, 0, self.length_scale),
            Hyperparameter("amplitude", AMPLITUDE, 0, 1, self.amplitude),
        )

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Row (1, 0): the cycle is the first component of the state."""
        return np.array([1.0, 0.0])

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """The stationary law: both components have the variance amplitude^2."""
        return Start(np.zeros((2, 0)), np.eye(2) * self._values(values)[2] ** 2)

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """One equation, of the cycle and its conjugate."""
        w, decay = 2 * np.pi / values[0], 1 / values[1]
        intensity = 2 * decay * values[2] ** 2
        return (Equation(np.array([[-decay, w], [-w, -decay]]), np.eye(2), np.array([intensity, intensity])),)
