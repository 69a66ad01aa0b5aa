"""Priors of a curve: Gaussian Markov processes, each the first component of a linear stochastic differential equation.

A prior is a state x of which the curve is a fixed combination, f = h'x, with

    x(s + dt) = T(dt) x(s) + w,   Var w = Q(dt),       x at the first abscissa = B beta + w_0,   Var w_0 = P0,

beta entirely unknown (exactly diffuse). All priors but `LinearSDE` have the state (f, f', ..., f^(d-1)) and are driven by white
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

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import comb, factorial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_continuous_lyapunov

from .._validation import FloatArray, check_order, check_positive, frozen
from ..errors import SpecificationError
from .discretize import discretize
from .matern import MaternState
from .process import (
    AMPLITUDE,
    INTENSITY,
    LENGTH,
    RATIO,
    AnyArray,
    Chain,
    Hyperparameter,
    Prior,
    Start,
    Sum,
    block_diagonal,
    taylor_matrices,
)

__all__ = [
    "DampedOscillator",
    "IntegratedOrnsteinUhlenbeck",
    "IntegratedWiener",
    "LinearSDE",
    "Matern",
    "OrnsteinUhlenbeck",
    "Polynomial",
    "Prior",
    "Seasonal",
    "Sum",
    "TensionSpline",
]

MOST_HARMONICS = 10
ON_GRID = 1e3  # units of rounding of a phase within which observations are on a grid
SERIES_BELOW = 1.0
EPS = float(np.finfo(np.float64).eps)
MARGINAL = 1e-10  # of the norm of A: a real part or a singular value below is zero


def _given(value: Any, argument: str) -> float | None:
    """Check a hyperparameter."""
    return None if value is None else check_positive(value, argument)


@dataclass(frozen=True)
class IntegratedWiener(Chain):
    """f^(order) is white noise of intensity q; the polynomial of degree order - 1 is entirely unknown: smoothing splines.

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
        _given(self.q, "q")

    @property
    def dim(self) -> int:
        """The order."""
        return self.order

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The intensity q."""
        return (Hyperparameter("q", INTENSITY, 1 - 2 * self.order, 2, self.q),)

    @property
    def level(self) -> FloatArray | None:
        """A constant."""
        return np.asarray(np.eye(self.dim)[0])

    def rate(self, values: AnyArray) -> Any:
        """None is typical."""
        return 1.0

    def companion(self, values: AnyArray) -> AnyArray:
        """Zeros."""
        return np.zeros(self.dim)

    def intensity(self, values: AnyArray) -> Any:
        """The hyperparameter q."""
        return values[0]

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Entirely unknown."""
        return Start(np.eye(self.dim), np.zeros((self.dim, self.dim)))

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """Closed forms: the antiderivative is an integrated Wiener process of one order more."""
        T, Q = taylor_matrices(dt, self.dim + integral)
        return T, Q * self.intensity(values)


@dataclass(frozen=True)
class Polynomial(IntegratedWiener):
    """An entirely unknown polynomial: of degree 0 the constant that a stationary prior lacks.

    Parameters
    ----------
    degree : int
        0 to 3.
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
        """None."""
        return ()

    @property
    def smoothness(self) -> int:
        """All derivatives exist."""
        return 10

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Component `deriv` of the state, zero beyond."""
        return np.eye(self.dim)[deriv] if deriv < self.dim else np.zeros(self.dim)

    def intensity(self, values: AnyArray) -> Any:
        """No noise."""
        return 0.0

    def __repr__(self) -> str:
        return f"Polynomial(degree={self.degree})"


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
        _given(self.length_scale, "length_scale")
        _given(self.amplitude, "amplitude")

    @property
    def dim(self) -> int:
        """The nu + 1/2."""
        return int(self.nu + 0.5)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The length_scale and the amplitude."""
        return (
            Hyperparameter("length_scale", LENGTH, 1, 0, self.length_scale),
            Hyperparameter("amplitude", AMPLITUDE, 0, 1, self.amplitude),
        )

    def rate(self, values: AnyArray) -> Any:
        """The sqrt(2 nu) / length_scale."""
        return np.sqrt(2 * self.nu) / values[0]

    def companion(self, values: AnyArray) -> AnyArray:
        """Of (D + 1)^dim."""
        return -np.array([float(comb(self.dim, i)) for i in range(self.dim)])

    def intensity(self, values: AnyArray) -> Any:
        """That which keeps the variance."""
        return values[1] ** 2 * self.rate(values) ** (2 * self.dim - 1) * _matern_state(self.dim - 1).intensity

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Stationary."""
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
    """

    nu: float = 0.5
    label: ClassVar[str] = "ou"

    def __init__(self, length_scale: float | None = None, amplitude: float | None = None):
        object.__setattr__(self, "nu", 0.5)
        object.__setattr__(self, "length_scale", _given(length_scale, "length_scale"))
        object.__setattr__(self, "amplitude", _given(amplitude, "amplitude"))

    def __repr__(self) -> str:
        return f"OrnsteinUhlenbeck(length_scale={self.length_scale}, amplitude={self.amplitude})"


@dataclass(frozen=True)
class IntegratedOrnsteinUhlenbeck(Chain):
    """f^(order - 1) is a stationary Ornstein-Uhlenbeck process; what is integrated to f is entirely unknown.

    With ``order=2`` a velocity that forgets: a random walk of f over long steps, smooth over short ones.

    Parameters
    ----------
    order : int
        2 to 4.
    length_scale : float, optional
        Over which the correlation of f^(order-1) falls to 1/e, in units of x.
    amplitude : float, optional
        Standard deviation of f^(order-1).
    """

    order: int = 2
    length_scale: float | None = None
    amplitude: float | None = None
    label: ClassVar[str] = "iou"

    def __post_init__(self) -> None:
        check_order(self.order, "order", 2, 4)
        _given(self.length_scale, "length_scale")
        _given(self.amplitude, "amplitude")

    @property
    def dim(self) -> int:
        """The order."""
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
        """A constant."""
        return np.asarray(np.eye(self.dim)[0])

    def rate(self, values: AnyArray) -> Any:
        """The decay, 1 / length_scale."""
        return 1 / values[0]

    def companion(self, values: AnyArray) -> AnyArray:
        """Only the last derivative decays."""
        return np.asarray(-np.eye(self.dim)[-1])

    def variance(self, values: AnyArray) -> Any:
        """Variance of f^(order-1)."""
        return values[1] ** 2

    def intensity(self, values: AnyArray) -> Any:
        """That which keeps the variance."""
        return 2 * self.variance(values) * self.rate(values)

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Stationary in the last component."""
        last = np.eye(self.dim)[-1]
        return Start(np.eye(self.dim)[:, :-1], np.outer(last, last) * self.variance(self._values(values)))


@dataclass(frozen=True)
class TensionSpline(IntegratedOrnsteinUhlenbeck):
    """The mean minimises sum (y - f)^2 / r + (1/q) integral (f^(order))^2 + tension^2 (f^(order-1))^2 over the whole line.

    The integrated Ornstein-Uhlenbeck process in other parameters: f^(order-1) forgets over 1 / tension. Between smoothing
    splines of `order` (tension zero) and of order - 1 (infinite).

    Parameters
    ----------
    order : int
        2 to 4.
    tension : float, optional
        Per unit of x.
    q : float, optional
        Intensity of f^(order), in f^2 per x^(2 order - 1).
    """

    order: int = 2
    tension: float | None = None
    q: float | None = None
    label: ClassVar[str] = "tension"

    def __init__(self, order: int = 2, tension: float | None = None, q: float | None = None):
        object.__setattr__(self, "order", check_order(order, "order", 2, 4))
        object.__setattr__(self, "tension", _given(tension, "tension"))
        object.__setattr__(self, "q", _given(q, "q"))
        object.__setattr__(self, "length_scale", None)
        object.__setattr__(self, "amplitude", None)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Tension and q."""
        return (
            Hyperparameter("tension", LENGTH, -1, 0, self.tension),
            Hyperparameter("q", INTENSITY, 1 - 2 * self.order, 2, self.q),
        )

    def rate(self, values: AnyArray) -> Any:
        """Tension."""
        return values[0]

    def variance(self, values: AnyArray) -> Any:
        """The stationary q / (2 tension)."""
        return values[1] / (2 * values[0])

    def intensity(self, values: AnyArray) -> Any:
        """The hyperparameter q."""
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
    """

    period: float | None = None
    damping: float | None = None
    amplitude: float | None = None
    label: ClassVar[str] = "oscillator"

    def __post_init__(self) -> None:
        for name in ("period", "damping", "amplitude"):
            _given(getattr(self, name), name)

    @property
    def dim(self) -> int:
        """The state is (f, f')."""
        return 2

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Period, damping, amplitude."""
        return (
            Hyperparameter("period", LENGTH, 1, 0, self.period),
            Hyperparameter("damping", RATIO, 0, 0, self.damping),
            Hyperparameter("amplitude", AMPLITUDE, 0, 1, self.amplitude),
        )

    def rate(self, values: AnyArray) -> Any:
        """The frequency w."""
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


@dataclass(frozen=True)
class Seasonal(Prior):
    """A seasonal pattern of given period whose harmonics change slowly; their amplitudes and phases are entirely unknown.

    f = sum_k g_k,   g_k'' = -w_k^2 g_k + white noise of intensity 2 q w_k^2,   w_k = 2 pi k / period:

    over whole cycles the variances of the two amplitudes of each harmonic grow by q per unit of x, as in Harvey's trigonometric
    season, but f' exists.

    Parameters
    ----------
    period : float
        In units of x.
    harmonics : int
        Number of harmonics.
    q : float, optional
        In f^2 per x; 0 for a pattern that does not change.

    Notes
    -----
    Where all observations are on a grid with an even number of steps to a period, the sine of the last harmonic is zero at each of
    them: the harmonic then has one unknown constant instead of two, as in statsmodels, and its sine is zero at the first abscissa.
    Between the steps of the grid that is an assumption. Off a grid both are identified.
    """

    period: float
    harmonics: int = 1
    q: float | None = None
    told: tuple[tuple[int, float, float], ...] = field(default=(), repr=False, compare=False, kw_only=True)
    label: ClassVar[str] = "seasonal"

    def __post_init__(self) -> None:
        check_positive(self.period, "period")
        check_order(self.harmonics, "harmonics", 1, MOST_HARMONICS)
        if self.q is not None and self.q != 0:
            check_positive(self.q, "q")

    @property
    def dim(self) -> int:
        """Two for each harmonic."""
        return 2 * self.harmonics

    @property
    def smoothness(self) -> int:
        """One derivative, or all of a pattern that does not change."""
        return 10 if self.q == 0 else 1

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The intensity q."""
        return (Hyperparameter("q", INTENSITY, -1, 2, self.q),)

    def frequencies(self, x_unit: float) -> FloatArray:
        """Of the harmonics, in radians per unit of x."""
        return np.asarray(2 * np.pi * np.arange(1, self.harmonics + 1) * (x_unit / self.period), dtype=np.float64)

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """States are (g_k, g_k'); g'' = -w^2 g."""
        pairs = np.zeros((self.harmonics, 2))
        pairs[:, deriv % 2] = (-1.0) ** (deriv // 2) * self.frequencies(x_unit) ** (2 * (deriv // 2))
        return pairs.ravel()

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Entirely unknown, but for harmonics of which observations tell one direction: `told` has (harmonic, cosine, sine)."""
        scale = np.column_stack([np.ones(self.harmonics), self.frequencies(x_unit)]).ravel()
        diffuse = np.diag(scale)
        for k, cosine, sine in self.told:
            diffuse[:, 2 * k - 2] *= cosine
            diffuse[2 * k - 1, 2 * k - 2] = sine * scale[2 * k - 1]
        left = np.delete(diffuse, [2 * k - 1 for k, _, _ in self.told], axis=1)
        return Start(left, np.zeros((self.dim, self.dim)))

    def as_told(self, start: FloatArray, end: FloatArray, kind: npt.NDArray[np.int8], rows: FloatArray, x_unit: float) -> Seasonal:
        """The prior with as many unknown constants of each harmonic as functionals tell, at places or over intervals.

        Places are counted from the first. `rows` (n, dim) are those of values and differences, `kind` 0 of values, 1 of integrals,
        2 of differences.
        """
        told = []
        for k, w in enumerate(self.frequencies(x_unit), start=1):
            tells = np.zeros((len(end), 2))
            h, slope = rows[:, 2 * k - 2], rows[:, 2 * k - 1] * w

            def wave(x: FloatArray, h: FloatArray = h, slope: FloatArray = slope, w: float = float(w)) -> FloatArray:
                return np.column_stack([h * np.cos(w * x) - slope * np.sin(w * x), h * np.sin(w * x) + slope * np.cos(w * x)])

            integral = np.column_stack([np.sin(w * end) - np.sin(w * start), np.cos(w * start) - np.cos(w * end)])
            tells = np.where((kind == 1)[:, None], integral, wave(end) - (kind == 2)[:, None] * wave(start))
            tells /= np.abs(tells).max(axis=1, keepdims=True, initial=0.0) + (np.abs(tells).max(axis=1, keepdims=True) == 0)
            _, sizes, axes = np.linalg.svd(tells, full_matrices=False)
            rounding = ON_GRID * EPS * (1 + w * np.abs(end).max())
            if len(sizes) == 2 and sizes[0] > 0 and sizes[1] <= rounding * sizes[0]:
                cosine, sine = np.where(np.abs(axes[0]) > rounding, axes[0], 0.0)
                told.append((k, float(cosine), float(sine)))
        return replace(self, told=tuple(told))

    def naming(self, parts: Sequence[int]) -> str:
        """The harmonics."""
        found = sorted({part // 2 + 1 for part in parts})
        names = f"harmonic{'s' * (len(found) > 1)} {', '.join(map(str, found))}"
        return (
            f"{names} of {self!r} (observations at s phases of a period tell s // 2 harmonics from each other and from the level: "
            "lower harmonics=)"
        )

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """Closed forms."""
        whole = [_resonator(dt, float(w)) for w in self.frequencies(x_unit)]
        T, Q = (block_diagonal([pair[k][:, 1:, 1:] for pair in whole]) for k in (0, 1))
        if integral:
            size = self.dim + 1
            T, Q = (np.pad(matrix, ((0, 0), (1, 0), (1, 0))) for matrix in (T, Q))
            T[:, 0, 0] = 1.0
            for k, (t, spread) in enumerate(whole):
                pair = slice(1 + 2 * k, 3 + 2 * k)
                T[:, 0, pair] = t[:, 0, 1:]
                Q[:, 0, pair] = Q[:, pair, 0] = spread[:, 0, 1:]
                Q[:, 0, 0] += spread[:, 0, 0]
            assert T.shape[1] == size
        return T, Q * values[0]


def _remainder(z: FloatArray, first: int) -> FloatArray:
    """The sum z^n/n! - z^(n+2)/(n+2)! + ..., n = `first` = 2 or 3: 1 - cos z, and z - sin z; by the series near zero."""
    near = np.abs(z) < SERIES_BELOW
    small = np.where(near, z, 0.0)
    total = np.zeros_like(z)
    for n in range(first + 18, first, -2):
        total = (1 - total) * small * small / (n * (n - 1))
    series = (1 - total) * small**first / factorial(first)
    return np.where(near, series, 2 * np.sin(z / 2) ** 2 if first == 2 else z - np.sin(z))


def _resonator(dt: FloatArray, w: float) -> tuple[FloatArray, FloatArray]:
    """T and Q of (integral of g, g, g'), g'' = -w^2 g + white noise of intensity 2 w^2: (n, 3, 3)."""
    z = w * dt
    # At quarters of a turn, exact zeros: the rounding of z would be taken for a trace of an unknown start.
    sine, cosine = (np.where(np.abs(value) <= EPS * np.maximum(z, 4.0), 0.0, value) for value in (np.sin(z), np.cos(z)))
    T, Q = np.zeros((2, len(dt), 3, 3))
    T[:, 0, 0] = 1.0
    T[:, 0, 1], T[:, 0, 2] = sine / w, _remainder(z, 2) / w**2
    T[:, 1, 1], T[:, 1, 2], T[:, 2, 1], T[:, 2, 2] = cosine, sine / w, -w * sine, cosine
    # 2 w^2 integral of v v', v = ((1 - cos)/w^2, sin/w, cos) of w s
    half = _remainder(2 * z, 3)
    Q[:, 1, 1] = half / (2 * w)
    Q[:, 1, 2] = sine**2
    Q[:, 2, 2] = w * (z + sine * cosine)
    Q[:, 0, 1] = _remainder(z, 2) ** 2 / w**2
    # integral of (1 - cos) cos = sin z - z/2 - sin(2z)/4 = [2 (z - ...)]: by (z - sin 2z/2)/2 - (z - sin z)
    Q[:, 0, 2] = 2 / w * (half / 4 - _remainder(z, 3))
    Q[:, 0, 0] = 2 / w**3 * _fifth(z)
    for i in range(3):
        for j in range(i):
            Q[:, i, j] = Q[:, j, i]
    return T, Q


def _fifth(z: FloatArray) -> FloatArray:
    """Integral of (1 - cos s)^2 over s = 0 .. z, z^5/20 near zero."""
    near = np.abs(z) < SERIES_BELOW
    small = np.where(near, z, 0.0)
    # (1 - cos s)^2 = 3/2 - 2 cos s + cos(2 s)/2: terms (-1)^n s^(2n) (2^(2n-1) - 2) / (2n)!, n >= 2
    series = np.zeros_like(z)
    for n in range(16, 1, -1):
        series = series + (-1.0) ** n * small ** (2 * n + 1) * (2.0 ** (2 * n - 1) - 2) / (factorial(2 * n) * (2 * n + 1))
    return np.where(near, series, 1.5 * z - 2 * np.sin(z) + np.sin(2 * z) / 4)


class LinearSDE(Prior):
    """Any linear stochastic differential equation x' = A x + L (white noises of intensities q), of which f = H x is the curve.

    Parameters
    ----------
    A : array_like, shape (d, d)
        Per unit of x; its eigenvalues have no positive real part.
    L : array_like, shape (d,) or (d, p)
    q : float or array_like, shape (p,), optional
        Intensities; one by default is estimated, a factor of all p that stay in the given ratios.
    H : array_like, shape (d,), optional
        By default the first component. f' = H A x where H L = 0, and so on.
    diffuse : bool
        Whether the state at the first abscissa is entirely unknown; by default it is stationary.

    Raises
    ------
    SpecificationError
        Shapes do not match; the dynamics are unstable, without a stationary law, uncontrollable or unobservable.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> prior = sf.priors.LinearSDE([[-0.5]], [1.0], q=1.0)
    >>> bool(np.isclose(prior.start().covariance[0, 0], 1.0))
    True
    """

    label: ClassVar[str] = "sde"

    def __init__(self, A: Any, L: Any, q: Any = None, H: Any = None, diffuse: bool = False):
        self.A = frozen(np.array(A, dtype=np.float64))
        L = np.array(L, dtype=np.float64)
        self.L = frozen(L[:, None] if L.ndim == 1 else L)
        if self.A.ndim != 2 or self.A.shape[0] != self.A.shape[1] or not np.isfinite(self.A).all():
            raise SpecificationError(f"A has shape {self.A.shape}; pass a square matrix of finite numbers")
        d = len(self.A)
        if self.L.ndim != 2 or len(self.L) != d or not np.isfinite(self.L).all():
            raise SpecificationError(f"L has shape {self.L.shape}; pass ({d},) or ({d}, p) finite numbers")
        self.H = frozen(np.eye(d)[0] if H is None else np.array(H, dtype=np.float64))
        if self.H.shape != (d,):
            raise SpecificationError(f"H has shape {self.H.shape}; pass ({d},) numbers")
        given = np.ones(self.L.shape[1]) if q is None else np.array(q, dtype=np.float64) * np.ones(self.L.shape[1])
        if not ((given >= 0).all() and np.isfinite(given).all() and given.any()):
            raise SpecificationError(f"q is {q!r}; intensities are finite and not negative, and some is positive")
        self._factor = None if q is None else float(given.max())
        self._entry = frozen(self.L * np.sqrt(given / given.max()))
        self.diffuse = bool(diffuse)
        self._check()

    def _check(self) -> None:
        """Refuse dynamics that are no prior."""
        d, size = self.dim, float(np.abs(self.A).max(initial=0.0)) or 1.0
        real = np.linalg.eigvals(self.A).real.max()
        if real > MARGINAL * size:
            raise SpecificationError(
                f"A has an eigenvalue of real part {real:.3g}: the curve would explode; all real parts are zero or negative"
            )
        if not self.diffuse and real > -MARGINAL * size:
            raise SpecificationError("A has an eigenvalue of real part zero, so that no stationary law exists; pass diffuse=True")
        scaled = self.A / size
        for name, start, matrix, remedy in (
            ("uncontrollable: some component is never driven by the noise", self._entry, scaled, "drop it, or pass diffuse=True"),
            ("unobservable: some component never reaches f", self.H[:, None], scaled.T, "drop it"),
        ):
            if self.diffuse and "uncontrollable" in name:
                continue
            columns = [start]
            for _ in range(d - 1):
                columns.append(matrix @ columns[-1])
            rank = np.linalg.matrix_rank(np.hstack(columns), rtol=MARGINAL)
            if rank < d:
                raise SpecificationError(f"the dynamics are {name} (rank {rank} of {d}); {remedy}")

    @property
    def dim(self) -> int:
        """Size of A."""
        return len(self.A)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The greatest intensity; the others keep their ratios to it."""
        return (Hyperparameter("q", INTENSITY, -1, 2, self._factor),)

    @property
    def smoothness(self) -> int:
        """The greatest k with H A^j L = 0 for all j < k."""
        row, k = self.H, 0
        while k < self.dim - 1:
            product = np.abs(row @ self._entry)
            if (product > MARGINAL * (np.abs(row) @ np.abs(self._entry))).any():
                return k
            row, k = row @ self.A, k + 1
        return k

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """H A^deriv."""
        return np.asarray(self.H @ np.linalg.matrix_power(self.A * x_unit, deriv))

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Stationary, or entirely unknown."""
        d = self.dim
        if self.diffuse:
            return Start(np.eye(d), np.zeros((d, d)))
        covariance = solve_continuous_lyapunov(self.A * x_unit, -self._entry @ self._entry.T)
        return Start(np.zeros((d, 0)), (covariance + covariance.T) / 2 * self._values(values)[0])

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """By the matrix exponential."""
        system, entry = self.A * x_unit, self._entry
        if integral:
            system = np.block([[np.zeros((1, 1)), self.H[None]], [np.zeros((self.dim, 1)), system]])
            entry = np.vstack([np.zeros(entry.shape[1]), entry])
        d = discretize(system, entry, dt)
        return d.T, d.Q.sum(axis=0) * values[0]

    def __repr__(self) -> str:
        return f"LinearSDE(dim={self.dim})"
