"""Seasons as priors: harmonics that keep or change their shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import factorial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, check_order, check_positive
from .process import (
    INTENSITY,
    AnyArray,
    Hyperparameter,
    Prior,
    Start,
    block_diagonal,
)

MOST_HARMONICS = 10
ON_GRID = 1e3  # units of rounding of a phase within which observations are on a grid
SERIES_BELOW = 1.0
EPS = float(np.finfo(np.float64).eps)


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
    harmonics : int
        Number of harmonics: 1, the default, is a single sine. On a regular grid ``period // 2`` harmonics fit any pattern, as
        ``Seasonal(12, harmonics=6)`` for months counted with ``unit="M"``.
    q : float, optional
        In f^2 per x; 0 for a pattern that does not change.

    Notes
    -----
    Where all observations are on a grid with an even number of steps to a period, the sine of the last harmonic is zero at each of
    them: the harmonic then has one unknown constant instead of two, as in statsmodels, and its sine is zero at the first x.
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
        """Diffuse, except for harmonics of which observations identify one direction: `told` has (harmonic, cosine, sine)."""
        scale = np.column_stack([np.ones(self.harmonics), self.frequencies(x_unit)]).ravel()
        diffuse = np.diag(scale)
        for k, cosine, sine in self.told:
            diffuse[:, 2 * k - 2] *= cosine
            diffuse[2 * k - 1, 2 * k - 2] = sine * scale[2 * k - 1]
        left = np.delete(diffuse, [2 * k - 1 for k, _, _ in self.told], axis=1)
        return Start(left, np.zeros((self.dim, self.dim)))

    def as_told(self, start: FloatArray, end: FloatArray, kind: npt.NDArray[np.int8], rows: FloatArray, x_unit: float) -> Seasonal:
        """The prior with as many unknown constants of each harmonic as functionals identify, at places or over intervals.

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
            f"{names} of {self!r} (observations at s phases of a period identify s // 2 harmonics beside the level: "
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
