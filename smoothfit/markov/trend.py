"""Trends as priors: a level and its slope, each with noise of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._validation import FloatArray
from .equation import AnyArray, Equation
from .process import (
    INTENSITY,
    LENGTH,
    Chain,
    Hyperparameter,
    Start,
    given_or_none,
    zero_given_or_none,
)


@dataclass(frozen=True)
class Trend(Chain):
    """A level and its slope, with noise of the intensities `q_level` and `q_slope`; what slopes do is up to subclasses."""

    q_level: float | None = None
    q_slope: float | None = None

    @property
    def dim(self) -> int:
        """Dimension of the state (level, slope)."""
        return 2

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Intensities of level and slope."""
        return (
            Hyperparameter("q_level", INTENSITY, -1, 2, self.q_level),
            Hyperparameter("q_slope", INTENSITY, -3, 2, self.q_slope),
        )

    @property
    def level(self) -> FloatArray | None:
        return np.array([1.0, 0.0])

    def intensity(self, values: AnyArray) -> Any:
        """Intensity of the white noise in the derivative of the slope."""
        return values[1]

    def level_noise(self, values: AnyArray, x_unit: float) -> Any:
        """Return the intensity of the noise of the level, with x measured in `x_unit`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> float(sf.priors.LocalLinearTrend().level_noise(np.array([2.0, 3.0]), 1.0))
        2.0
        """
        return values[0]

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """One equation, of level and slope with noise in both."""
        (own,) = super().equations(values, x_unit)
        entry, intensities = np.eye(2)[:, ::-1], np.append(own.intensities, self.level_noise(values, x_unit))
        return (own._replace(entry=entry, intensities=intensities),)


@dataclass(frozen=True)
class LocalLinearTrend(Trend):
    """A level whose slope is a random walk, with noise of its own besides; level and slope are diffuse at the first x.

        d f = v dx + sqrt(q_level) dW1,   d v = sqrt(q_slope) dW2

    With ``q_level=0`` it is the cubic smoothing spline, with ``q_slope=0`` a random walk with a constant drift.

    Parameters
    ----------
    q_level : float, optional
        Intensity of the noise of the level, in f^2 per x; 0 for none.
    q_slope : float, optional
        Intensity of the noise of the slope, in f^2 per x^3; 0 for none.
    step : float, optional
        Counts the noise as the discrete model with this step does, see the Notes.

    Notes
    -----
    `deriv=1` is the slope v. If the level has noise, f has no derivative: v is its drift.

    The local linear trend of statsmodels, StructTS and KFAS is the discrete model

        f(t + 1) = f(t) + v(t) + e(t),   v(t + 1) = v(t) + d(t),

    with independent e and d. In continuous time the level also gathers the noise that its slope receives within a step, q_slope/3
    per unit step, correlated with that of the slope. Observations of f at unit steps have the same law in both models if

        q_slope = var(d),   q_level = var(e) + var(d) / 6,

    so that likelihood, levels, forecasts and their intervals agree. The slope v(t) of the discrete model is the mean slope of the
    next step. ``step=1`` makes `q_level` and `q_slope` var(e) and var(d) (at steps of h, per h and per h^3), and excludes what the
    discrete model excludes: the smoothing spline, for which var(e) is negative. x may be irregular all the same.

    References
    ----------
    - A. C. Harvey (1989), *Forecasting, Structural Time Series Models and the Kalman Filter*, sections 2.3.2 and 9.2.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> prior = sf.priors.LocalLinearTrend(q_level=2.0, q_slope=3.0)
    >>> print(prior.noise(1.0))
    [[3.  1.5]
     [1.5 3. ]]
    """

    step: float | None = None
    label: ClassVar[str] = "trend"

    def __post_init__(self) -> None:
        zero_given_or_none(self.q_level, "q_level")
        zero_given_or_none(self.q_slope, "q_slope")
        given_or_none(self.step, "step")

    def rate(self, values: AnyArray) -> Any:
        """One: no frequency is typical of the process, which has no time scale."""
        return 1.0

    def companion(self, values: AnyArray) -> AnyArray:
        """Coefficients of the equation, which drive the slope by noise alone: zeros, shape (2,)."""
        return np.zeros(2)

    def shared(self, x_unit: float) -> float:
        """Return the intensity that the level has besides its own, over that of the slope, with x measured in `x_unit`.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.priors.LocalLinearTrend().shared(1.0)  # in continuous time the level has only its own
        0.0
        """
        return 0.0 if self.step is None else (self.step / x_unit) ** 2 / 6

    def level_noise(self, values: AnyArray, x_unit: float) -> Any:
        """Its own intensity, and what it shares with the slope."""
        return values[0] + self.shared(x_unit) * values[1]

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Diffuse law: the first level and slope are unrestricted."""
        return Start(np.eye(2), np.zeros((2, 2)))


@dataclass(frozen=True)
class DampedTrend(Trend):
    """A level with noise of its own, and a slope that decays to zero at the rate `damping`: forecasts become level.

        d f = v dx + sqrt(q_level) dW1,   d v = -damping v dx + sqrt(q_slope) dW2

    The level at the first x is diffuse, the slope stationary, of variance q_slope / (2 damping).

    Parameters
    ----------
    q_level : float, optional
        Intensity of the noise of the level, in f^2 per x; 0 for none.
    q_slope : float, optional
        Intensity of the noise of the slope, in f^2 per x^3.
    damping : float, optional
        Per unit of x: over a step of 1 the slope keeps exp(-damping), which discrete models call phi.

    Notes
    -----
    `deriv=1` is the slope v. With ``q_level=0`` it is ``IntegratedOrnsteinUhlenbeck(order=2)``, ``TensionSpline(order=2)`` in other
    parameters.

    References
    ----------
    - A. C. Harvey (1989), *Forecasting, Structural Time Series Models and the Kalman Filter*, section 2.3.2.

    Examples
    --------
    >>> import smoothfit as sf
    >>> prior = sf.priors.DampedTrend(q_level=0.1, q_slope=0.2, damping=0.5)
    >>> print(prior.transition(2.0).round(3))
    [[1.    1.264]
     [0.    0.368]]
    """

    damping: float | None = None
    label: ClassVar[str] = "damped_trend"

    def __post_init__(self) -> None:
        zero_given_or_none(self.q_level, "q_level")
        given_or_none(self.q_slope, "q_slope")
        given_or_none(self.damping, "damping")

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Intensities of level and slope, and the damping."""
        return (*super().hyperparameters, Hyperparameter("damping", LENGTH, -1, 0, self.damping))

    def rate(self, values: AnyArray) -> Any:
        """The damping, by which the slope decays."""
        return values[2]

    def companion(self, values: AnyArray) -> AnyArray:
        """Coefficients of the equation over the damping: the slope decays, the level does not."""
        return np.array([0.0, -1.0])

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """A diffuse level and the stationary law of the slope."""
        values = self._values(values)
        return Start(np.eye(2)[:, :1], np.diag([0.0, 1.0]) * (values[1] / (2 * values[2])))
