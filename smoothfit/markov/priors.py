"""Priors of a curve: Gaussian Markov processes, each the first component of a linear stochastic differential equation.

A prior is a state x of which the curve is a fixed combination, f = h'x, with

    x(s + dt) = T(dt) x(s) + w,   Var w = Q(dt),       state at the first x = B beta + w_0,   Var w_0 = P0,

beta exactly diffuse. All priors but `LinearSDE` have the state (f, f', ..., f^(d-1)) and are driven by white
noise in f^(d):

    f^(d) = c_0 f + c_1 f' + ... + c_(d-1) f^(d-1) + white noise of intensity q,

so that d - 1 derivatives exist in mean square. Sums of priors are priors, of independent components.

Hyperparameters that are None are estimated. They are in the user's units: a length or a period in units of x, an amplitude in
those of f, an intensity q of f^(d) in f^2 per x^(2d-1).

References
----------
- A. C. Harvey (1989), *Forecasting, Structural Time Series Models and the Kalman Filter*, chapter 9: cycles, continuous time.
- J. Hartikainen and S. Särkkä (2010), "Kalman filtering and smoothing solutions to temporal Gaussian process regression models".
- A. Solin and S. Särkkä (2014), "Explicit link between periodic covariance functions and state space models".
- G. Wahba (1978), "Improper priors, spline smoothing and the problem of guarding against model errors in regression".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._validation import FloatArray, check_order
from .cycle import StochasticCycle
from .equation import AnyArray
from .matern import Matern, OrnsteinUhlenbeck
from .process import (
    AMPLITUDE,
    INTENSITY,
    LENGTH,
    PERIOD,
    RATIO,
    Chain,
    Hyperparameter,
    Prior,
    Start,
    Sum,
    given_or_none,
)
from .sde import LinearSDE
from .seasonal import DummySeasonal, Seasonal
from .trend import DampedTrend, LocalLinearTrend

__all__ = [
    "DampedOscillator",
    "DampedTrend",
    "DummySeasonal",
    "IntegratedOrnsteinUhlenbeck",
    "IntegratedWiener",
    "LinearSDE",
    "LocalLinearTrend",
    "Matern",
    "OrnsteinUhlenbeck",
    "Polynomial",
    "Prior",
    "Seasonal",
    "StochasticCycle",
    "Sum",
    "TensionSpline",
]


@dataclass(frozen=True)
class IntegratedWiener(Chain):
    """f^(order) is white noise of intensity q; the polynomial of degree order - 1 is diffuse: smoothing splines.

    Parameters
    ----------
    order : int
        1 to 4.
    q : float, optional
        Intensity, in f^2 per x^(2 order - 1).

    Examples
    --------
    >>> import smoothfit as sf
    >>> print(sf.priors.IntegratedWiener(order=2, q=3.0).noise(2.0))
    [[8. 6.]
     [6. 6.]]
    """

    order: int = 2
    q: float | None = None
    label: ClassVar[str] = "wiener"

    def __post_init__(self) -> None:
        check_order(self.order, "order", 1, 4)
        given_or_none(self.q, "q")

    @property
    def dim(self) -> int:
        """Dimension of the state, the order."""
        return self.order

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The intensity q of the white noise in f^(order)."""
        return (Hyperparameter("q", INTENSITY, 1 - 2 * self.order, 2, self.q),)

    @property
    def level(self) -> FloatArray | None:
        """State (1, 0, ...) of a constant curve of value one, which the start leaves free."""
        return np.asarray(np.eye(self.dim)[0])

    def rate(self, values: AnyArray) -> Any:
        """One: no frequency is typical of the process, which has no time scale."""
        return 1.0

    def companion(self, values: AnyArray) -> AnyArray:
        """Coefficients of the equation f^(order) = white noise: zeros, shape (order,)."""
        return np.zeros(self.dim)

    def intensity(self, values: AnyArray) -> Any:
        """Intensity of the white noise, the hyperparameter q."""
        return values[0]

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Diffuse law: each component of the first state is unrestricted."""
        return Start(np.eye(self.dim), np.zeros((self.dim, self.dim)))


@dataclass(frozen=True)
class Polynomial(IntegratedWiener):
    """A diffuse polynomial: of degree 0 the constant that a stationary prior lacks.

    Parameters
    ----------
    degree : int
        0 to 3.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> prior = sf.priors.Matern(nu=2.5, length_scale=1.0, amplitude=1.0) + sf.priors.Polynomial(0)
    >>> res = sf.SmoothingSpline(sf.observe(np.arange(9.0), np.full(9, 7.0), sd=0.1), prior=prior).fit()
    >>> res.predict([100.0]).round(6)  # far away the level, not zero
    array([7.])
    """

    order: int = 1
    q: float | None = 0.0
    degree: int = 0
    label: ClassVar[str] = "polynomial"

    def __init__(self, degree: int = 0):
        object.__setattr__(self, "degree", check_order(degree, "degree", 0, 3))
        object.__setattr__(self, "order", degree + 1)
        object.__setattr__(self, "q", 0.0)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """An empty tuple: a polynomial has nothing to estimate."""
        return ()

    @property
    def smoothness(self) -> int:
        """The highest derivative that observations may have; those beyond the degree are zero."""
        return 10

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Component `deriv` of the state, zero beyond."""
        return np.eye(self.dim)[deriv] if deriv < self.dim else np.zeros(self.dim)

    def intensity(self, values: AnyArray) -> Any:
        """Zero: no noise changes the polynomial."""
        return 0.0

    def __repr__(self) -> str:
        return f"Polynomial(degree={self.degree})"


class Jump(Polynomial):
    """A polynomial that is zero until it changes: no part of a curve, but what changes of its level and slope would be."""

    label: ClassVar[str] = "jump"

    @property
    def level(self) -> None:
        """None: it starts at zero."""
        return

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        return Start(np.zeros((self.dim, 0)), np.zeros((self.dim, self.dim)))


@dataclass(frozen=True)
class IntegratedOrnsteinUhlenbeck(Chain):
    """f^(order - 1) is a stationary Ornstein-Uhlenbeck process; what is integrated to f is diffuse.

    With ``order=2`` the velocity is autocorrelated: f is a random walk over long steps, and smooth over short ones.

    Parameters
    ----------
    order : int
        2 to 4.
    length_scale : float, optional
        Over which the correlation of f^(order-1) falls to 1/e, in units of x.
    amplitude : float, optional
        Standard deviation of f^(order-1).

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> prior = sf.priors.IntegratedOrnsteinUhlenbeck(2, length_scale=1.0, amplitude=0.5)  # of the slope
    >>> x = np.linspace(0, 10, 40)
    >>> res = sf.SmoothingSpline(sf.observe(x, 3 + 2 * x, sd=0.1), prior=prior).fit()
    >>> res.predict([5.0]).round(6)
    array([13.])
    """

    order: int = 2
    length_scale: float | None = None
    amplitude: float | None = None
    label: ClassVar[str] = "iou"

    def __post_init__(self) -> None:
        check_order(self.order, "order", 2, 4)
        given_or_none(self.length_scale, "length_scale")
        given_or_none(self.amplitude, "amplitude")

    @property
    def dim(self) -> int:
        """Dimension of the state, the order."""
        return self.order

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The length_scale and the amplitude."""
        return (
            Hyperparameter("length_scale", LENGTH, 1, 0, self.length_scale),
            Hyperparameter("amplitude", AMPLITUDE, 1 - self.order, 1, self.amplitude),
        )

    @property
    def level(self) -> FloatArray | None:
        return np.asarray(np.eye(self.dim)[0])

    def rate(self, values: AnyArray) -> Any:
        """The decay, 1 / length_scale."""
        return 1 / values[0]

    def companion(self, values: AnyArray) -> AnyArray:
        """Only the last derivative decays."""
        return np.asarray(-np.eye(self.dim)[-1])

    def variance(self, values: AnyArray) -> Any:
        """Return the stationary variance of f^(order - 1), amplitude^2.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> float(sf.priors.IntegratedOrnsteinUhlenbeck().variance(np.array([2.0, 3.0])))  # length_scale, amplitude
        9.0
        """
        return values[1] ** 2

    def intensity(self, values: AnyArray) -> Any:
        """Intensity of the white noise that gives f^(order - 1) its variance."""
        return 2 * self.variance(values) * self.rate(values)

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Stationary in the last component."""
        last = np.eye(self.dim)[-1]
        return Start(np.eye(self.dim)[:, :-1], np.outer(last, last) * self.variance(self._values(values)))


@dataclass(frozen=True)
class TensionSpline(IntegratedOrnsteinUhlenbeck):
    """The mean minimises sum (y - f)^2 / r + (1/q) integral (f^(order))^2 + tension^2 (f^(order-1))^2 over the whole line.

    The integrated Ornstein-Uhlenbeck process in other parameters: the autocorrelation of f^(order-1) decays over 1 / tension.
    Between smoothing splines of `order` (tension zero) and of order - 1 (infinite).

    Parameters
    ----------
    order : int
        2 to 4.
    tension : float, optional
        Per unit of x.
    q : float, optional
        Intensity of f^(order), in f^2 per x^(2 order - 1).

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x, y = np.arange(6.0), np.array([0, 0, 0, 1, 1, 1.0])
    >>> curves = {k: sf.priors.TensionSpline(2, tension=k, q=1.0) for k in (0.1, 30.0)}
    >>> fits = {k: sf.SmoothingSpline(sf.observe(x, y, sd=1e-3), prior=prior).fit() for k, prior in curves.items()}
    >>> grid = np.linspace(3, 4, 21)
    >>> {k: round(float(res.predict(grid).max() - 1), 2) for k, res in fits.items()}  # a step overshoots without tension
    {0.1: 0.11, 30.0: 0.01}
    """

    order: int = 2
    tension: float | None = None
    q: float | None = None
    label: ClassVar[str] = "tension"

    def __init__(self, order: int = 2, tension: float | None = None, q: float | None = None):
        object.__setattr__(self, "order", check_order(order, "order", 2, 4))
        object.__setattr__(self, "tension", given_or_none(tension, "tension"))
        object.__setattr__(self, "q", given_or_none(q, "q"))
        object.__setattr__(self, "length_scale", None)
        object.__setattr__(self, "amplitude", None)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The tension, an inverse length, and the intensity q."""
        return (
            Hyperparameter("tension", LENGTH, -1, 0, self.tension),
            Hyperparameter("q", INTENSITY, 1 - 2 * self.order, 2, self.q),
        )

    def rate(self, values: AnyArray) -> Any:
        """The tension, by which f^(order - 1) decays."""
        return values[0]

    def variance(self, values: AnyArray) -> Any:
        """Return the stationary variance of f^(order - 1), q / (2 tension)."""
        return values[1] / (2 * values[0])

    def intensity(self, values: AnyArray) -> Any:
        """Intensity of the white noise, the hyperparameter q."""
        return values[1]

    def __repr__(self) -> str:
        return f"TensionSpline(order={self.order}, tension={self.tension}, q={self.q})"


@dataclass(frozen=True)
class DampedOscillator(Chain):
    """Stationary f'' = -2 damping w f' - w^2 f + white noise, w = 2 pi / period, of mean zero: a cycle that loses its phase.

    Parameters
    ----------
    period : float, optional
        Of the undamped cycle, in units of x.
    damping : float, optional
        Ratio to critical damping: the phase is kept over 1 / (2 pi damping) periods.
    amplitude : float, optional
        Standard deviation of f.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> t = np.arange(80) * 0.25
    >>> y = np.sin(2 * np.pi * t / 5) + 0.1 * np.random.default_rng(0).standard_normal(80)
    >>> res = sf.SmoothingSpline(sf.observe(t, y), prior=sf.priors.DampedOscillator()).fit()
    >>> round(float(res.params["period"]), 1)
    5.0
    """

    period: float | None = None
    damping: float | None = None
    amplitude: float | None = None
    label: ClassVar[str] = "oscillator"

    def __post_init__(self) -> None:
        for name in ("period", "damping", "amplitude"):
            given_or_none(getattr(self, name), name)

    @property
    def dim(self) -> int:
        """Dimension of the state (f, f')."""
        return 2

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The period, the damping and the amplitude."""
        return (
            Hyperparameter("period", PERIOD, 1, 0, self.period),
            Hyperparameter("damping", RATIO, 0, 0, self.damping),
            Hyperparameter("amplitude", AMPLITUDE, 0, 1, self.amplitude),
        )

    def rate(self, values: AnyArray) -> Any:
        """The angular frequency w = 2 pi / period."""
        return 2 * np.pi / values[0]

    def companion(self, values: AnyArray) -> AnyArray:
        """Coefficients -1 and -2 damping."""
        return np.array([-1.0, -2 * values[1]])

    def intensity(self, values: AnyArray) -> Any:
        """That which keeps the variance, 4 damping w^3 amplitude^2."""
        return 4 * values[1] * self.rate(values) ** 3 * values[2] ** 2

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Stationary: f and f' are independent."""
        values = self._values(values)
        scale = np.array([1.0, self.rate(values)])
        return Start(np.zeros((2, 0)), np.diag(scale**2) * values[2] ** 2)
