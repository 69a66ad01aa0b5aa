"""How the errors of one series correlate; `whitening` makes them independent.

The noise of a series is e_i = s_i u_i / sqrt(w_i), s_i its known or unknown noise SD and w_i its weights, with Cov u = C:

- ``AR1(rho)``:       C_ij = rho^|i - j| in the order of x: u_i = rho u_(i-1) + sqrt(1 - rho^2) z_i, z independent
- ``OU(timescale)``:  C_ij = exp(-|x_i - x_j| / timescale), the Ornstein-Uhlenbeck process: the same with
  rho_i = exp(-(x_i - x_(i-1)) / timescale)
- a matrix:           C as given
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cholesky

from .._validation import FloatArray, Frozen, check_positive, first_index, frozen, shown, to_numbers, type_of
from ..errors import DataError, SpecificationError
from ..observations import Observations, Readings
from .whitening import Chain, Dense, Whitening

ASYMMETRIC = 1e-10  # of the largest entry: a covariance that differs so much from its transpose is none
GREATEST_THETA = 7.0  # of atanh(rho): |rho| up to 1 - 1.7e-6
SCANNED_RHO = (-0.99, -0.9, -0.6, -0.3, 0.0, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 0.999)
NEGLIGIBLE = 1e-30  # a correlation that no sum of observations feels, and the square of which might underflow
WHITE = 8.0  # shortest gaps over a timescale: even the two nearest observations then correlate by 3e-4 only
WANDERING = 100.0  # ranges of x: a timescale at which errors are a random walk


class Moving(NamedTuple):
    """W at a parameter theta, its derivative by theta, and that of log|C|."""

    white: Chain
    slope: Chain
    by_log_det: float


class Correlation(Frozen, ABC):
    """How the errors of a series correlate."""

    @property
    def is_known(self) -> bool:
        """Whether no parameter is to be estimated."""
        return True

    @abstractmethod
    def whitening(self, x: FloatArray) -> Whitening:
        """Return W with W C W' = 1 for observations at x (n,); a parameter is known.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> white = sf.AR1(rho=0.6).whitening(np.arange(3.0))
        >>> white.times(np.array([1.0, 1.6, 0.96])).round(12)  # (u_i - rho u_(i-1)) / sqrt(1 - rho^2)
        array([1.  , 1.25, 0.  ])
        """


class Markov(Correlation):
    """Errors of which each depends on the one before it alone, by one parameter."""

    parameter: str  # its name
    at_end: tuple[str, str]  # what errors are at the ends of `limits`

    @property
    def value(self) -> float | None:
        """The parameter in its own units; None if it is to be estimated."""
        found: float | None = getattr(self, self.parameter)
        return found

    @property
    def is_known(self) -> bool:
        return self.value is not None

    @abstractmethod
    def at(self, theta: float) -> Markov:
        """Return the same with the parameter at theta, the scale on which it is searched without limits.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.AR1().at(0.0), sf.OU().at(0.0)  # rho = tanh(theta), timescale = exp(theta)
        (AR1(rho=0.0), OU(timescale=1.0))
        """

    @property
    @abstractmethod
    def theta(self) -> float:
        """Theta of the parameter, which is known: its image on the scale of the search."""

    @property
    @abstractmethod
    def by_theta(self) -> float:
        """Derivative of the parameter by theta."""

    @abstractmethod
    def limits(self, x: FloatArray) -> tuple[float, float]:
        """Return the smallest and the largest theta for observations at x (n,).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> low, high = sf.OU().limits(np.arange(11.0))
        >>> np.exp([low, high]).round(3)  # timescales: an eighth of the shortest gap, 100 times the range
        array([1.25e-01, 1.00e+03])
        """

    @abstractmethod
    def scan(self, x: FloatArray) -> FloatArray:
        """Return values of theta within the limits, between which a likelihood is expected to have one minimum at most.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> np.tanh(sf.AR1().scan(np.arange(5.0)))[-3:]  # correlations
        array([0.95 , 0.99 , 0.999])
        """

    @abstractmethod
    def links(self, gaps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return correlations rho_i of neighbours at distances (m,), 1 - rho_i^2, and derivatives of rho_i by theta.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> rho, free, slope = sf.OU(timescale=2.0).links(np.array([1.0, 2.0]))
        >>> rho.round(4), slope.round(4)  # exp(-gap / timescale), rho gap / timescale
        (array([0.6065, 0.3679]), array([0.3033, 0.3679]))
        """

    def moving(self, x: FloatArray) -> Moving:
        """Return W and its derivative by theta for observations at x (n,), and the derivative of log|C|.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> sf.AR1(rho=0.6).moving(np.arange(3.0)).by_log_det  # of 2 log(1 - rho^2), rho = tanh(theta): -4 rho
        -2.4
        """
        order = np.argsort(x, kind="stable")
        rho, free, slope = self.links(np.diff(x[order]))
        linked = np.concatenate([[False], (rho != 0) | (slope != 0)])
        s = np.sqrt(free)
        first, last = np.ones(1), np.zeros(1)
        log_det = float(np.log(free).sum())
        white = Chain(order, linked, np.concatenate([first, 1 / s]), np.concatenate([last, -rho / s]), log_det)
        own, before = rho * slope / (s * free), -slope / (s * free)
        moved = Chain(order, linked, np.concatenate([last, own]), np.concatenate([last, before]), log_det)
        return Moving(white, moved, float(np.sum(-2 * rho * slope / free)))

    def whitening(self, x: FloatArray) -> Whitening:
        return self.moving(x).white


@dataclass(frozen=True, eq=False)
class AR1(Markov):
    """Autoregressive errors: each correlates by rho with the one before it, in the order of x.

    Distances in x do not count, and missing observations close up; see `OU` for uneven x. It is nlme's ``corAR1`` and the model of
    statsmodels' ``GLSAR`` of order one, which leaves out the first observation.

    Parameters
    ----------
    rho : float, optional
        Correlation of neighbours, between -1 and 1. None: estimated.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> e = np.zeros(300)
    >>> for i in range(1, 300):
    ...     e[i] = 0.7 * e[i - 1] + 0.1 * rng.standard_normal()
    >>> x = np.linspace(0, 1, 300)
    >>> basis = sf.BSplineBasis.uniform(0, 1, 20)
    >>> model = sf.SplineRegression(sf.observe(x, np.sin(6 * x) + e), basis, sf.DerivativePenalty(2), errors=sf.AR1())
    >>> model.fit().error_params.round(2)
           estimate   bse  ci_lower  ci_upper
    f rho      0.73  0.05      0.62      0.81
    """

    rho: float | None = None
    parameter = "rho"
    at_end = ("-1", "1")

    def __post_init__(self) -> None:
        if self.rho is None:
            return
        if isinstance(self.rho, bool) or not isinstance(self.rho, (int, float, np.integer, np.floating)) or not abs(self.rho) < 1:
            raise SpecificationError(f"rho is {self.rho!r}; a correlation lies between -1 and 1, or is None to have it estimated")
        object.__setattr__(self, "rho", float(self.rho))

    def at(self, theta: float) -> AR1:
        """Return the same with rho = tanh(theta)."""
        return AR1(float(np.tanh(theta)))

    @property
    def theta(self) -> float:
        """The inverse hyperbolic tangent of rho."""
        assert self.rho is not None
        return float(np.arctanh(self.rho))

    @property
    def by_theta(self) -> float:
        """Derivative of rho = tanh(theta) by theta, 1 - rho^2."""
        assert self.rho is not None
        return 1 - self.rho**2

    def limits(self, x: FloatArray) -> tuple[float, float]:
        """Return -7 and 7, between which theta = atanh(rho) is searched."""
        return -GREATEST_THETA, GREATEST_THETA

    def scan(self, x: FloatArray) -> FloatArray:
        """Return values of theta = atanh(rho) at correlations from -0.99 to 0.999."""
        return np.arctanh(SCANNED_RHO)

    def links(self, gaps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return rho, 1 - rho^2 and the derivative by theta, the same for all neighbours whatever their distance."""
        assert self.rho is not None
        free = (1 - self.rho) * (1 + self.rho)
        return np.full(len(gaps), self.rho), np.full(len(gaps), free), np.full(len(gaps), free)


@dataclass(frozen=True, eq=False)
class OU(Markov):
    """Errors of an Ornstein-Uhlenbeck process: correlation ``exp(-|x_i - x_j| / timescale)``, at uneven x as well.

    It is nlme's ``corCAR1``, whose Phi is exp(-1 / timescale), and ``corExp``. Observations of a series at one x would share their
    errors, and are refused. Integrals and means count with the middle of their interval.

    Parameters
    ----------
    timescale : float, optional
        Distance, in units of x, over which the correlation falls to 1/e. None: estimated.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.OU(timescale=0.5)
    OU(timescale=0.5)
    """

    timescale: float | None = None
    parameter = "timescale"
    at_end = ("0", "infinite")

    def __post_init__(self) -> None:
        if self.timescale is not None:
            object.__setattr__(self, "timescale", check_positive(self.timescale, "timescale"))

    def at(self, theta: float) -> OU:
        """Return the same with the timescale exp(theta)."""
        return OU(float(np.exp(theta)))

    @property
    def theta(self) -> float:
        """The natural logarithm of the timescale."""
        assert self.timescale is not None
        return float(np.log(self.timescale))

    @property
    def by_theta(self) -> float:
        """Derivative of the timescale exp(theta) by theta, the timescale itself."""
        assert self.timescale is not None
        return self.timescale

    def limits(self, x: FloatArray) -> tuple[float, float]:
        """Return the limits of theta: timescales at which errors are independent, and at which they are a random walk."""
        gaps = np.diff(np.sort(x))
        return float(np.log(gaps.min() / WHITE)), float(np.log(np.ptp(x) * WANDERING))

    def scan(self, x: FloatArray) -> FloatArray:
        """Return values of theta from a quarter of the median gap to four times the range of x."""
        return np.linspace(np.log(np.median(np.diff(np.sort(x))) / 4), np.log(4 * np.ptp(x)), len(SCANNED_RHO))

    def links(self, gaps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return rho = exp(-gap / timescale), 1 - rho^2, and rho gap / timescale, the derivative by theta."""
        assert self.timescale is not None
        u = gaps / self.timescale
        rho = np.exp(-u)
        rho[rho < NEGLIGIBLE] = 0.0
        return rho, -np.expm1(-2 * u), rho * u


@dataclass(frozen=True, eq=False)
class Given(Correlation):
    """Errors of which the covariance is given, by its Cholesky factor L (n, n)."""

    L: FloatArray

    def whitening(self, x: FloatArray) -> Whitening:
        """W = L^-1."""
        return Dense(self.L)


def check_errors(errors: Any, observations: Observations) -> tuple[Correlation | None, ...]:
    """Return how the errors of each series correlate; None if they are independent."""
    names = observations.names
    if errors is None:
        return ()
    if not isinstance(errors, Mapping):
        if len(names) > 1:
            raise SpecificationError(f"errors is of one kind for {len(names)} names; pass {{name: kind}}, of {', '.join(names)}")
        errors = {names[0]: errors}
    unknown = [name for name in errors if name not in names]
    if unknown:
        raise SpecificationError(f"errors is given for {unknown[0]!r}; the observations are named {', '.join(names)}")
    given = [(reading, errors.get(reading.name)) for reading in observations.readings]
    return tuple(None if kind is None else _check(kind, reading, places(observations, reading)) for reading, kind in given)


def places(observations: Observations, reading: Readings) -> FloatArray:
    """Where observations stand, as numbers (n,): of intervals the middle."""
    limits = [observations.abscissa.to_numbers(x) for x in reading.limits]
    return np.asarray(np.mean(limits, axis=0))


def _check(kind: Any, reading: Readings, x: FloatArray) -> Correlation:
    label = f"errors[{reading.name!r}]"
    if isinstance(kind, Markov):
        if len(reading) < 2:
            raise DataError(f"{label} correlates neighbours, of which a single observation has none; leave it out")
        if isinstance(kind, OU):
            same = np.flatnonzero(np.diff(np.sort(x)) == 0)
            if len(same):
                raise DataError(
                    f"{label} is OU, and two observations stand at x = {np.sort(x)[same[0]]:g}: their errors would be one; average "
                    "them, or use AR1"
                )
        return kind
    if isinstance(kind, Correlation):
        return kind
    if isinstance(kind, (str, type)) or kind is None:
        given = type_of(kind) if isinstance(kind, type) else shown(kind)
        raise SpecificationError(f"{label} is {given}; pass sf.AR1(), sf.OU(), or the covariance of its errors")
    matrix = to_numbers(kind, label)
    n = len(reading)
    if matrix.shape != (n, n):
        missing = f"; {reading.n_dropped} missing observations were left out: leave out their rows, too" * (reading.n_dropped > 0)
        raise DataError(
            f"{label} has shape {matrix.shape}; pass sf.AR1(), sf.OU(), or the covariance ({n}, {n}) of its observations{missing}"
        )
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0].tolist()
        raise DataError(f"{label}[{i}, {j}] is {matrix[i, j]}; a covariance is finite")
    if np.abs(matrix - matrix.T).max() > ASYMMETRIC * np.abs(matrix).max():
        i, j = np.unravel_index(int(np.abs(matrix - matrix.T).argmax()), matrix.shape)
        raise DataError(f"{label} is not symmetric: entries [{i}, {j}] and [{j}, {i}] are {matrix[i, j]:g} and {matrix[j, i]:g}")
    if (np.diag(matrix) <= 0).any():
        i = first_index(np.diag(matrix) <= 0)
        raise DataError(f"{label}[{i}, {i}] is {matrix[i, i]:g}; variances are positive")
    try:
        return Given(frozen(cholesky((matrix + matrix.T) / 2, lower=True)))
    except LinAlgError:
        raise DataError(
            f"{label} is not positive definite: a combination of its observations would have no noise; add the noise of a single "
            "observation to the diagonal"
        ) from None
