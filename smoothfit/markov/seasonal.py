"""Seasons as priors: harmonics that keep or change their shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .._validation import EPS, FloatArray, check_flag, check_order, check_positive
from ..errors import SpecificationError
from .equation import AnyArray, Equation
from .process import (
    INTENSITY,
    Hyperparameter,
    Prior,
    Start,
    zero_given_or_none,
)

MOST_HARMONICS = 28
MOST_CHOSEN = 6  # harmonics by default: the full pattern of quarters, weekdays and months
ON_GRID = 1e3  # units of rounding of a phase within which observations are on a grid
FEW = 16  # functionals that are looked at first: as a rule they identify both waves of a harmonic
OFF_GRID = 1e-6  # of a step, by which a place may miss a grid


@dataclass(frozen=True)
class Seasonal(Prior):
    """A seasonal pattern of given period whose harmonics change slowly; their amplitudes and phases are diffuse.

    f = sum_k g_k,   g_k'' = -w_k^2 g_k + white noise of intensity 2 q w_k^2,   w_k = 2 pi k / period:

    over whole cycles the variances of the two amplitudes of each harmonic grow by q per unit of x, as in Harvey's trigonometric
    season, but f' exists.

    Parameters
    ----------
    period : float
        In units of x; if x are times, in the `unit` of `observe`, which is days by default for monthly observations.
    harmonics : int, optional
        1 to 28; 1 is a single sine. On a regular grid ``period // 2`` harmonics fit any pattern, as ``Seasonal(12, harmonics=6)``
        for months counted with ``unit="M"``. By default such a full pattern if the observations are at 13 phases of the period or
        fewer, and 6 harmonics if at more; at most one harmonic for every four observations.
    q : float, optional
        In f^2 per x; 0 for a pattern that does not change.
    smooth : bool, optional
        False: each harmonic is driven by noise in both of its components, g' = w h + noise, h' = -w g + noise, of intensity q each:
        exactly Harvey's trigonometric season, which has no derivative.
    separate : bool, optional
        Whether each harmonic has an intensity of its own, q1, q2, ..., all estimated.

    Notes
    -----
    Each harmonic adds two states, and time grows with the square of their number: from one to six beside a trend, by eight.

    Where all observations are on a grid with an even number of steps to a period, the sine of the last harmonic is zero at each of
    them: the harmonic then has one unknown constant instead of two, as in statsmodels, and its sine is zero at the first x.
    Between the steps of the grid that is an assumption. Off a grid both are identified.

    The first observations may lie so close together, as days of a year, that a filter with a diffuse start loses its digits. The
    amplitudes then start with an SD of about 1e4 times the size of the observations instead, which changes log-likelihoods by 1e-8,
    or up to 1e10 times in records below half a period, which changes them by up to 1e-5. In still shorter ones, some 90 daily
    observations of a year for six harmonics, no start keeps the digits, and an error is raised.

    ``Seasonal(period, smooth=False)`` is ``freq_seasonal`` of statsmodels' UnobservedComponents and
    ``sea.type="trigonometric"`` of KFAS, on any x. `DummySeasonal` is the season of StructTS.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.priors.LocalLinearTrend() + sf.priors.Seasonal(12, harmonics=6, smooth=False)
    LocalLinearTrend(q_level=None, q_slope=None, step=None) + Seasonal(period=12, harmonics=6, q=None, smooth=False)
    """

    period: float
    harmonics: int | None = None
    q: float | None = None
    smooth: bool = True
    separate: bool = False
    identified: tuple[tuple[int, float, float], ...] = field(default=(), repr=False, compare=False, kw_only=True)
    spread: tuple[float, ...] = field(default=(), repr=False, compare=False, kw_only=True)
    label: ClassVar[str] = "seasonal"

    def __post_init__(self) -> None:
        check_positive(self.period, "period")
        if self.harmonics is not None:
            check_order(self.harmonics, "harmonics", 1, MOST_HARMONICS)
        zero_given_or_none(self.q, "q")
        check_flag(self.smooth, "smooth")
        if check_flag(self.separate, "separate") and self.q is not None:
            raise SpecificationError(f"q is {self.q}, but separate=True estimates one q for each harmonic; leave one of them out")

    @property
    def count(self) -> int:
        """Number of harmonics that are modelled."""
        if self.harmonics is None:
            raise SpecificationError(f"the observations choose the harmonics of {self!r}; pass harmonics= to use it without them")
        return self.harmonics

    @property
    def dim(self) -> int:
        """Dimension of the state, two for each harmonic."""
        return 2 * self.count

    @property
    def smoothness(self) -> int:
        """One derivative, or none, or all of a pattern that does not change."""
        return 10 if self.q == 0 else int(self.smooth)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The intensity q, or one for each harmonic."""
        names = [f"q{k + 1}" for k in range(self.count)] if self.separate else ["q"]
        return tuple(Hyperparameter(name, INTENSITY, -1, 2, self.q) for name in names)

    def chosen(self, n_phases: int, n: int) -> Seasonal:
        """Return the prior with a number of harmonics; by default for n observations at so many phases of the period.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.priors.Seasonal(12).chosen(n_phases=12, n=100).harmonics
        6
        """
        if self.harmonics is not None:
            return self
        return replace(self, harmonics=max(min(n_phases // 2, n // 4, MOST_CHOSEN), 1))

    @property
    def order(self) -> tuple[int, ...]:
        """The harmonics in the order of the state, those of one constant last: over rounded phases digits were lost."""
        single = [k for k, _, _ in self.identified]
        return (*(k for k in spread_harmonics(self.count) if k not in single), *single)

    def frequencies(self, x_unit: float) -> FloatArray:
        """Return the frequencies of the harmonics in the order of the state, in radians per unit of x.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> sf.priors.Seasonal(4, harmonics=2).frequencies(1.0) / (2 * np.pi)
        array([0.5 , 0.25])
        """
        return np.asarray(2 * np.pi * np.array(self.order) * (x_unit / self.period), dtype=np.float64)

    def _units(self, x_unit: float) -> FloatArray:
        """Of the second state of each harmonic, g' or the sine."""
        w = self.frequencies(x_unit)
        return w if self.smooth else np.ones_like(w)

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """States are (g_k, g_k'), or (g_k, g_k' / w_k) but for noise; g'' = -w^2 g."""
        w, pairs = self.frequencies(x_unit), np.zeros((self.count, 2))
        pairs[:, deriv % 2] = (-1.0) ** (deriv // 2) * w**deriv
        pairs[:, 1] /= self._units(x_unit)
        return pairs.ravel()

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Diffuse, except for harmonics of which observations identify one direction: `identified` has (harmonic, cosine, sine).

        Or wide, with the `spread` of each harmonic.
        """
        scale = np.column_stack([np.ones(self.count), self._units(x_unit)]).ravel()
        diffuse, dropped = np.diag(scale), []
        for k, cosine, sine in self.identified:
            first, second = 2 * self.order.index(k), 2 * self.order.index(k) + 1
            diffuse[:, first] *= cosine
            diffuse[second, first] = sine * scale[second]
            dropped.append(second)
        left = np.delete(diffuse, dropped, axis=1)
        spread = np.delete(np.repeat(self.spread, 2), dropped) if self.spread else None
        return Start(left, np.zeros((self.dim, self.dim)), spread)

    def identified_by(
        self, start: FloatArray, end: FloatArray, kind: npt.NDArray[np.int8], rows: FloatArray, x_unit: float
    ) -> Seasonal:
        """Return the prior with as many unknown constants of each harmonic as functionals identify, at places or over intervals.

        Places are counted from the first. `rows` (n, dim) are those of values and differences, `kind` 0 of values, 1 of integrals,
        2 of differences.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> prior, x = sf.priors.Seasonal(12, harmonics=1), np.array([0.0, 6.0, 12.0])
        >>> rows = np.tile(prior.readout(0), (3, 1))
        >>> ((harmonic, cosine, sine),) = prior.identified_by(x, x, np.zeros(3, dtype=np.int8), rows, 1.0).identified
        >>> harmonic, abs(cosine), sine  # the cosine alone: the sine is zero at all of these x
        (1, 1.0, 0.0)
        """
        identified = []
        for place, (k, w, unit) in enumerate(zip(self.order, self.frequencies(x_unit), self._units(x_unit), strict=True)):
            rounding = ON_GRID * EPS * (1 + w * np.abs(end).max())
            for part in (slice(FEW), slice(None)):
                pair = rows[part, 2 * place : 2 * place + 2] * [1, unit]
                _, sizes, axes = np.linalg.svd(
                    _of_size_one(_waves(w, start[part], end[part], kind[part], pair)), full_matrices=False
                )
                if len(sizes) < 2 or sizes[1] > rounding * np.sqrt(2 * len(end)):  # whatever the others are
                    break
            else:
                if sizes[0] > 0 and sizes[1] <= rounding * sizes[0]:
                    cosine, sine = np.where(np.abs(axes[0]) > rounding, axes[0], 0.0)
                    identified.append((k, float(cosine), float(sine)))
        return replace(self, identified=tuple(identified))

    def design(
        self, start: FloatArray, end: FloatArray, kind: npt.NDArray[np.int8], rows: FloatArray, x_unit: float
    ) -> list[FloatArray]:
        """Return what functionals, as of `identified_by`, have of the unknown constants: of each harmonic (n, 1 or 2).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> prior, x = sf.priors.Seasonal(12, harmonics=1), np.array([0.0, 3.0, 6.0])
        >>> prior.design(x, x, np.zeros(3, dtype=np.int8), np.tile(prior.readout(0), (3, 1)), 1.0)[0].round(9)
        array([[ 1.,  0.],
               [ 0.,  1.],
               [-1.,  0.]])
        """
        found, single = [], {k: np.array([[cosine], [sine]]) for k, cosine, sine in self.identified}
        for place, (k, w, unit) in enumerate(zip(self.order, self.frequencies(x_unit), self._units(x_unit), strict=True)):
            waves = _waves(w, start, end, kind, rows[:, 2 * place : 2 * place + 2] * [1, unit])
            waves /= np.where(kind == 1, w, 1.0)[:, None]
            found.append(waves @ single[k] if k in single else waves)
        return found

    def naming(self, parts: Sequence[int]) -> str:
        """Harmonics to which components of the state belong, in words."""
        found = sorted({self.order[part // 2] for part in parts})
        names = f"harmonic{'s' * (len(found) > 1)} {', '.join(map(str, found))}"
        return (
            f"{names} of {self!r} (observations at s phases of a period identify s // 2 harmonics beside the level: "
            "lower harmonics=)"
        )

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """One equation for each harmonic, in the order of the state."""
        found = []
        for k, w in zip(self.order, self.frequencies(x_unit).tolist(), strict=True):
            q = values[(k - 1) * self.separate]
            if self.smooth:
                found.append(Equation(np.array([[0.0, 1.0], [-w * w, 0.0]]), np.eye(2)[:, 1:], np.array([2 * w * w * q]), w))
            else:
                found.append(Equation(np.array([[0.0, w], [-w, 0.0]]), np.eye(2), np.array([q, q]), w))
        return tuple(found)

    def __repr__(self) -> str:
        options = ", smooth=False" * (not self.smooth) + ", separate=True" * self.separate
        return f"Seasonal(period={self.period!r}, harmonics={self.harmonics!r}, q={self.q!r}{options})"


def _waves(w: float, start: FloatArray, end: FloatArray, kind: npt.NDArray[np.int8], pair: FloatArray) -> FloatArray:
    """What functionals have of the cosine and the sine of a harmonic, or of their integrals: (n, 2)."""
    h, slope = pair.T

    def wave(x: FloatArray) -> FloatArray:
        cosine, sine = np.cos(w * x), np.sin(w * x)
        return np.column_stack([h * cosine - slope * sine, h * sine + slope * cosine])

    design = wave(end)
    if kind.any():
        integral = np.column_stack([np.sin(w * end) - np.sin(w * start), np.cos(w * start) - np.cos(w * end)])
        design = np.where((kind == 1)[:, None], integral, design - (kind == 2)[:, None] * wave(start))
    return design


def _of_size_one(design: FloatArray) -> FloatArray:
    """Rows of which the largest entry is one."""
    size = np.abs(design).max(axis=1, keepdims=True)
    return np.asarray(design / (size + (size == 0)))


@dataclass(frozen=True)
class DummySeasonal(Prior):
    """The seasonal pattern of discrete models in dummy form: values of all seasons of a period sum to noise of variance q step.

        f(t) = -f(t - step) - ... - f(t - period + step) + noise,   step = period / seasons

    Parameters
    ----------
    period : float
        In units of x.
    seasons : int
        Number of steps to a period, such as 12 months or 4 quarters.
    q : float, optional
        In f^2 per x; 0 for a pattern that does not change.

    Notes
    -----
    It is the season of StructTS and ``seasonal=`` of statsmodels' UnobservedComponents, with ``q step`` their variance. It is
    defined at whole steps from the first x alone, without derivatives and integrals. ``Seasonal`` takes any x.

    Examples
    --------
    >>> import smoothfit as sf
    >>> prior = sf.priors.DummySeasonal(period=1.0, seasons=4, q=2.0)
    >>> print(prior.transition(0.25))
    [[-1. -1. -1.]
     [ 1.  0.  0.]
     [ 0.  1.  0.]]
    """

    period: float
    seasons: int
    q: float | None = None
    label: ClassVar[str] = "seasonal"

    def __post_init__(self) -> None:
        check_positive(self.period, "period")
        check_order(self.seasons, "seasons", 2, 2 * MOST_HARMONICS)
        zero_given_or_none(self.q, "q")

    @property
    def dim(self) -> int:
        """Dimension of the state, the number of seasons less one."""
        return self.seasons - 1

    @property
    def smoothness(self) -> int:
        """Zero: values at whole steps have no derivative."""
        return 0

    @property
    def grid(self) -> float:
        """The step from the first x, period / seasons."""
        return self.period / self.seasons

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The intensity q of the change from one period to the next."""
        return (Hyperparameter("q", INTENSITY, -1, 2, self.q),)

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """The first of the last values."""
        return np.asarray(np.eye(self.dim)[0])

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Diffuse law: the first seasons are unrestricted."""
        return Start(np.eye(self.dim), np.zeros((self.dim, self.dim)))

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """Powers of one step, which returns after a period."""
        step = self.grid / x_unit
        if integral:
            raise SpecificationError(f"{self!r} has values at whole steps alone, and no integral; use Seasonal, which has one")
        counts = np.round(dt / step)
        bad = np.abs(dt / step - counts) > OFF_GRID
        if bad.any():
            raise SpecificationError(
                f"x has a step of {dt[bad][0] * x_unit:.6g}, but {self!r} has values at multiples of {step * x_unit:.6g} from the "
                "first x alone; use Seasonal, which has values at any x"
            )
        one = np.eye(self.dim, k=-1)
        one[0] = -1.0
        powers, spreads = [np.eye(self.dim)], [np.zeros((self.dim, self.dim))]
        for _ in range(self.seasons):
            shock = powers[-1][:, 0]
            spreads.append(spreads[-1] + np.outer(shock, shock))
            powers.append(one @ powers[-1])
        periods, left = np.divmod(counts.astype(np.int64), self.seasons)
        Q = np.array(spreads)[left] + periods[:, None, None] * spreads[-1]
        return np.array(powers)[left], Q * (step * values[0])


@cache
def spread_harmonics(count: int) -> tuple[int, ...]:
    """The numbers 1 .. count from the last, each as far as can be from those before it, from their conjugates and from the level.

    Points of Leja on the unit circle. A filter identifies unknown harmonics one by one from the first observations. In the order
    1, 2, 3, .. they are almost the same function over so short a stretch, and the first almost a line: with a dozen, or beside a
    smooth trend, half of the digits would be lost.
    """
    places = np.cos(np.pi * np.arange(count + 1) / (count + 1))
    order = [0]  # the level
    for _ in range(count):
        with np.errstate(divide="ignore"):
            order.append(int(np.argmax(np.log(np.abs(places[:, None] - places[order])).sum(axis=1))))
    return tuple(order[1:])
