"""Finite mixtures of location-scale t or normal laws: what is known of a curve once its hyperparameters are integrated out.

Component l of the law at point j is mean[l, j] + sd[l, j] T, with T Student's t of `df` degrees of freedom (normal if infinite)
and probability weights[l], or weights[l, j] if points belong to different curves.
Quantiles solve log F(q) = log p by Halley's method, between the smallest and the largest quantile of the components, which enclose
the solution (``mixtures.hpp``). Every point is solved for itself, with the same operations whatever other points there are, so that
its interval depends on no other, in any bit.

The distribution function of t costs ten times an exponential. Its normal score z(t) = Phi^-1(F(t)) is smooth, and so is the Mills
ratio M(z) = Phi(-z) / phi(z), with F(-t) = phi(z) M. Both are interpolated: by Hermite's quintic (the first two derivatives are
known) between 32 points an octave of 1 + |t|, within 1e-11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from .._core import _kernels
from .._validation import FloatArray, Frozen, check_level, frozen
from ..inference.engine import Moments
from ..inference.marginal import HyperparameterPosterior

CELLS = 32  # an octave of 1 + |t|
OCTAVES = 64
FARTHEST = 1e-300  # probability beyond the table
SHAPE_LEVEL = 0.05  # of the pointwise intervals whose shape a simultaneous band has


def critical_value(alpha: float, df: float) -> float:
    """Two-sided critical value of Student's t; of the normal distribution where df is infinite."""
    return -standard_quantile(df, check_level(alpha) / 2)


@lru_cache(maxsize=64)
def standard_law(df: float) -> _kernels.StandardLaw:
    """Table of the normal score and the Mills ratio of Student's t, for the kernels."""
    edges = np.exp2(np.arange(OCTAVES, dtype=float))[:, None] * (1 + np.arange(CELLS) / CELLS)
    t = np.append(edges.ravel(), 2.0**OCTAVES) - 1
    tail = special.ndtr(-t) if np.isinf(df) else special.stdtr(df, -t)
    t = t[: max(2, int(np.sum(tail > FARTHEST)))]
    z, slope, bend = t, np.ones_like(t), np.zeros_like(t)
    if np.isfinite(df):
        z = np.asarray(-special.ndtri(tail[: len(t)]), dtype=float)
        slope = np.asarray(np.exp(stats.t.logpdf(t, df) + z**2 / 2) * np.sqrt(2 * np.pi), dtype=float)
        bend = slope * (z * slope - (df + 1) * t / (df + t**2))
    mills = np.sqrt(np.pi / 2) * special.erfcx(z / np.sqrt(2))
    fall = z * mills - 1
    of_mills = mills, fall * slope, (mills + z * fall) * slope**2 + fall * bend
    cells = np.vstack([t[:-1] + 1, _quintics(np.diff(t), z, slope, bend), _quintics(np.diff(t), *of_mills)])
    return _kernels.StandardLaw(np.ascontiguousarray(cells.T), t[-1])


def _quintics(h: FloatArray, z: FloatArray, slope: FloatArray, bend: FloatArray) -> FloatArray:
    """Coefficients (6, n - 1) of the powers of the distance from the left end, given z, z' and z'' (n,) at the ends."""
    c0, c1, c2 = z[:-1], slope[:-1], bend[:-1] / 2
    rise = (z[1:] - c0 - c1 * h - c2 * h**2) / h**3
    tilt = (slope[1:] - c1 - 2 * c2 * h) / h**2
    turn = (bend[1:] - 2 * c2) / h
    return np.array(
        [c0, c1, c2, 10 * rise - 4 * tilt + turn / 2, (-15 * rise + 7 * tilt - turn) / h, (6 * rise - 3 * tilt + turn / 2) / h**2]
    )


def standard_quantile(df: float, p: float) -> float:
    """Quantile of Student's t; of the normal law if df is infinite."""
    return float(special.ndtri(p) if np.isinf(df) else special.stdtrit(df, p))


@dataclass(frozen=True, eq=False)
class Mixture(Frozen):
    """Laws at n points, each a mixture of L components with means and variances of their own.

    Parameters
    ----------
    mean : ndarray, shape (L, n)
        Mean of each component.
    scale2 : ndarray, shape (L, n)
        Squared scale of each component, its variance if it is normal; zero for a value without uncertainty.
    weights : ndarray, shape (L,) or (L, n)
        Probabilities of the components; they sum to one at each point.
    df : float
        Degrees of freedom of Student's t, infinite for normal laws.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit.results.mixtures import Mixture
    >>> law = Mixture(np.array([[0.0], [1.0]]), np.array([[1.0], [4.0]]), np.array([0.5, 0.5]), np.inf)
    >>> law.interval(0.05).round(3)
    array([[-2.441,  4.29 ]])
    """

    mean: FloatArray
    scale2: FloatArray
    weights: FloatArray
    df: float

    def __post_init__(self) -> None:
        for name in ("mean", "scale2", "weights"):
            object.__setattr__(self, name, frozen(np.array(getattr(self, name), dtype=float, order="C")))

    def with_noise(self, variance: FloatArray) -> Mixture:
        """Laws of new observations, whose noise has the given variance (L,) or (L, n) in each component."""
        noise = np.asarray(variance, dtype=float)
        return Mixture(self.mean, self.scale2 + (noise[:, None] if noise.ndim == 1 else noise), self.weights, self.df)

    def taken(self, points: npt.NDArray[np.intp]) -> Mixture:
        """Laws at some of the points, by number."""
        weights = self.weights if self.weights.ndim == 1 else self.weights[:, points]
        return Mixture(self.mean[:, points], self.scale2[:, points], weights, self.df)

    @property
    def expectation(self) -> FloatArray:
        """Weighted mean of the means (n,)."""
        return _total(self.weights, self.mean)

    @property
    def variance(self) -> FloatArray:
        """Weighted mean of the squared scales plus the variance of the means (n,); times df / (df - 2) the former is a variance."""
        return _total(self.weights, self.scale2 + (self.mean - self.expectation) ** 2)

    @cached_property
    def shape(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Centre (n,) of a simultaneous band, and its half-widths below and above for a critical value of one.

        The half-widths are those of the pointwise intervals of level 1 - SHAPE_LEVEL. The centre is the mean, moved into the middle
        half of the pointwise interval if it lies outside, so that neither half-width is zero for laws that are very skewed.
        """
        if len(self.weights) == 1:
            sd = np.sqrt(self.scale2[0])
            return self.mean[0], sd, sd
        lower, upper = self.interval(SHAPE_LEVEL).T
        margin = (upper - lower) / 4
        centre, unit = np.clip(self.expectation, lower + margin, upper - margin), critical_value(SHAPE_LEVEL, self.df)
        return centre, (centre - lower) / unit, (upper - centre) / unit

    def cdf(self, value: FloatArray) -> FloatArray:
        """Probability of at most `value` (n,) at each point."""
        at = np.ascontiguousarray(value, dtype=float)
        return _kernels.mixture_probabilities(standard_law(self.df), at, self.mean, self.scale2, self.weights)

    def quantile(self, probability: float) -> FloatArray:
        """Quantiles of one level at every point (n,)."""
        return self._quantiles(min(probability, 1 - probability))[:, int(probability > 0.5)]

    def interval(self, alpha: float = 0.05) -> FloatArray:
        """Equal-tailed intervals of level 1 - alpha, shape (n, 2)."""
        return self._quantiles(check_level(alpha) / 2)

    def _quantiles(self, p: float) -> FloatArray:
        """Those of the levels p and 1 - p (n, 2), p at most one half."""
        score = standard_quantile(self.df, p)
        if len(self.weights) == 1:
            half = -score * np.sqrt(self.scale2[0])
            return np.column_stack([self.mean[0] - half, self.mean[0] + half])
        return _kernels.mixture_intervals(standard_law(self.df), self.mean, self.scale2, self.weights, p, score)

    def ends(self, alpha: float) -> tuple[float, float]:
        """Ends of the interval of level 1 - alpha of a law at a single point."""
        low, high = self.interval(alpha)[0]
        return float(low), float(high)


Laws = tuple[Mixture | None, Mixture | None]  # of what is predicted and of a new observation of it; None if nothing is integrated


def alone(law: Mixture | None) -> Laws:
    """The laws of what has no new observations."""
    return law, None


def ends_of(laws: Laws) -> Callable[[float], tuple[float, float]] | None:
    """What computes the ends of intervals of the first law, at a single point; None if there is none."""
    return None if laws[0] is None else laws[0].ends


def mixture(posterior: HyperparameterPosterior, moments: Moments) -> Mixture:
    """Laws of functionals, given their moments at the nodes of a posterior (`Engine.moments`)."""
    return Mixture(moments.mean, posterior.scale2[:, None] * moments.variance, posterior.weights, posterior.df)


def _total(weights: FloatArray, values: FloatArray) -> FloatArray:
    """Weighted sum over components, added in order at every point: `@` adds in an order that depends on how many there are.

    Over the first of two axes numpy adds row after row, but a single column it adds in pairs.
    """
    weighted = (weights[:, None] if weights.ndim == 1 else weights) * values
    if weighted.shape[1] == 1:
        weighted = np.repeat(weighted, 2, axis=1)
    return np.asarray(np.add.reduce(weighted, axis=0)[: values.shape[1]])
