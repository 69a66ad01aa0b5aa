"""Finite mixtures of location-scale t or normal laws: what is known of a curve once its hyperparameters are integrated out.

Component l of the law at point j is mean[l, j] + sd[l, j] T, with T Student's t of `df` degrees of freedom (normal if infinite)
and probability weights[l], or weights[l, j] if points belong to different curves.
Quantiles solve F(q) = p by Newton's method on the normal score of F, between the smallest and the largest quantile of the
components, which enclose the solution. Every point is solved for itself, with the same operations whatever other points there are,
so that its interval depends on no other, in any bit.

The distribution function of t costs ten times that of the normal law. Its normal score z(t) = Phi^-1(F(t)) is smooth, so that it
is interpolated: by Hermite's quintic (z, z' and z'' are known) between 32 points an octave of 1 + |t|, within 1e-11.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from .._validation import FloatArray, Frozen, check_level, frozen
from ..inference.engine import Moments
from ..inference.marginal import HyperparameterPosterior

BLOCK = 2**14  # numbers of one step of the solution: what fits into the cache of a processor
CLOSE = 1e-12  # of a normal score to the one wanted, as predicted for after the next step of Newton's method
MOST_NEWTON = 12  # steps after which every fourth is a bisection
CELLS = 32  # an octave of 1 + |t|
SHIFT = 52 - 5  # bits of a double below those that number the cells of an octave
OCTAVES = 64
FARTHEST = 1e-300  # probability beyond the table
SHAPE_LEVEL = 0.05  # of the pointwise intervals whose shape a simultaneous band has


def critical_value(alpha: float, df: float) -> float:
    """Two-sided critical value of Student's t; of the normal distribution where df is infinite."""
    level = check_level(alpha)
    return float(stats.norm.isf(level / 2) if np.isinf(df) else stats.t.isf(level / 2, df))


class _Score:
    """Normal score of Student's t, z(t) = Phi^-1(F(t)), and its derivative."""

    def __init__(self, df: float):
        edges = np.exp2(np.arange(OCTAVES, dtype=float))[:, None] * (1 + np.arange(CELLS) / CELLS)
        t = np.append(edges.ravel(), 2.0**OCTAVES) - 1
        n = max(2, int(np.sum(special.stdtr(df, -t) > FARTHEST)))
        t = t[:n]
        self.farthest = t[-1]
        z: FloatArray = np.asarray(-special.ndtri(special.stdtr(df, -t)), dtype=float)
        slope = np.asarray(np.exp(stats.t.logpdf(t, df) + z**2 / 2) * np.sqrt(2 * np.pi), dtype=float)
        bend = slope * (z * slope - (df + 1) * t / (df + t**2))
        self.coef = _quintics(np.diff(t), z, slope, bend)
        self.left = t[:-1] + 1

    def __call__(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scores and their derivatives."""
        size = np.minimum(np.abs(t), self.farthest) + 1
        cell = np.minimum((size.view(np.int64) >> SHIFT) - (1023 << 5), len(self.left) - 1)
        size -= self.left[cell]
        c0, c1, c2, c3, c4, c5 = (c.take(cell) for c in self.coef)
        z = ((((c5 * size + c4) * size + c3) * size + c2) * size + c1) * size + c0
        slope = (((5 * c5 * size + 4 * c4) * size + 3 * c3) * size + 2 * c2) * size + c1
        return np.copysign(z, t), slope


def _quintics(h: FloatArray, z: FloatArray, slope: FloatArray, bend: FloatArray) -> FloatArray:
    """Coefficients (6, n - 1) of the powers of the distance from the left end, given z, z' and z'' (n,) at the ends."""
    c0, c1, c2 = z[:-1], slope[:-1], bend[:-1] / 2
    rise = (z[1:] - c0 - c1 * h - c2 * h**2) / h**3
    tilt = (slope[1:] - c1 - 2 * c2 * h) / h**2
    turn = (bend[1:] - 2 * c2) / h
    return np.array(
        [c0, c1, c2, 10 * rise - 4 * tilt + turn / 2, (-15 * rise + 7 * tilt - turn) / h, (6 * rise - 3 * tilt + turn / 2) / h**2]
    )


@lru_cache(maxsize=64)
def _score(df: float) -> _Score:
    """Table of one number of degrees of freedom."""
    return _Score(df)


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
            object.__setattr__(self, name, frozen(np.array(getattr(self, name), dtype=float)))

    def with_noise(self, variance: FloatArray) -> Mixture:
        """Laws of new observations, whose noise has the given variance (L,) or (L, n) in each component."""
        noise = np.asarray(variance, dtype=float)
        return Mixture(self.mean, self.scale2 + (noise[:, None] if noise.ndim == 1 else noise), self.weights, self.df)

    def taken(self, points: npt.NDArray[np.intp]) -> Mixture:
        """Laws at some of the points, by number."""
        return Mixture(self.mean[:, points], self.scale2[:, points], _of(self.weights, points), self.df)

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
        return np.asarray(_distribution(np.asarray(value), self.mean, np.sqrt(self.scale2), self.weights, self.df)[0])

    def quantile(self, probability: float) -> FloatArray:
        """Quantiles of one level at every point (n,)."""
        if probability > 0.5:
            return -_quantiles(-self.mean, np.sqrt(self.scale2), self.weights, self.df, 1 - probability)
        return _quantiles(self.mean, np.sqrt(self.scale2), self.weights, self.df, probability)

    def interval(self, alpha: float = 0.05) -> FloatArray:
        """Equal-tailed intervals of level 1 - alpha, shape (n, 2)."""
        level, sd = check_level(alpha), np.sqrt(self.scale2)
        if len(self.weights) == 1:
            half = critical_value(alpha, self.df) * sd[0]
            return np.column_stack([self.mean[0] - half, self.mean[0] + half])
        both = np.concatenate([self.mean, -self.mean], axis=1), np.concatenate([sd, sd], axis=1)
        weights = self.weights if self.weights.ndim == 1 else np.concatenate([self.weights, self.weights], axis=1)
        ends = _quantiles(*both, weights, self.df, level / 2)
        n = self.mean.shape[1]
        return np.column_stack([ends[:n], -ends[n:]])

    def ends(self, alpha: float) -> tuple[float, float]:
        """Ends of the interval of level 1 - alpha of a law at a single point."""
        low, high = self.interval(alpha)[0]
        return float(low), float(high)


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


def _distribution(
    value: FloatArray, mean: FloatArray, sd: FloatArray, weights: FloatArray, df: float
) -> tuple[FloatArray, FloatArray]:
    """Distribution functions and densities of mixtures at `value` (n,); a component without uncertainty has no density."""
    t = value - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        t /= sd
    is_fixed = sd == 0
    if is_fixed.any():
        t[is_fixed] = np.where(value >= mean, np.inf, -np.inf)[is_fixed]
        sd = np.where(is_fixed, np.inf, sd)
    slope = None
    if np.isfinite(df):
        t, slope = _score(df)(t)
    probability = _total(weights, special.ndtr(t))
    t *= t
    t *= -0.5
    density = np.exp(t, out=t)
    density /= sd
    if slope is not None:
        density *= slope
    return probability, _total(weights, density) / np.sqrt(2 * np.pi)


def _quantiles(mean: FloatArray, sd: FloatArray, weights: FloatArray, df: float, p: float) -> FloatArray:
    """Smallest values (n,) whose distribution function is at least p, at most one half."""
    block = max(1, BLOCK // len(weights))
    parts: list[FloatArray] = [
        _quantiles_of_block(mean[:, i : i + block], sd[:, i : i + block], _of(weights, slice(i, i + block)), df, p)
        for i in range(0, mean.shape[1], block)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _of(weights: FloatArray, points: Any) -> FloatArray:
    """Weights of some of the points."""
    return weights if weights.ndim == 1 else weights[:, points]


def _quantiles_of_block(mean: FloatArray, sd: FloatArray, weights: FloatArray, df: float, p: float) -> FloatArray:
    """As `_quantiles`."""
    ends = mean + (special.ndtri(p) if np.isinf(df) else special.stdtrit(df, p)) * sd
    low, high = ends.min(axis=0), ends.max(axis=0)
    score_wanted = special.ndtri(p)
    value = np.clip(_total(weights, ends), low, high)
    result: FloatArray = np.where(np.isnan(weights.sum(axis=0)), np.nan, high)  # of curves without nodes nothing is known
    left = np.flatnonzero((low < high) & ~np.isnan(result))
    low, high, value, mean, sd = low[left], high[left], value[left], mean[:, left], sd[:, left]
    weights = _of(weights, left)
    low = np.nextafter(low, -np.inf)  # the smallest component may be without uncertainty, and its value the solution
    before = np.zeros(len(left))  # distance of the score from the one wanted, before the last step if it was one of Newton's
    step = 0
    while len(left):
        probability, density = _distribution(value, mean, sd, weights, df)
        is_low = probability < p
        low, high = np.where(is_low, value, low), np.where(is_low, high, value)
        score = special.ndtri(probability)
        distance = np.abs(score - score_wanted)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            move = (score - score_wanted) * np.exp(-0.5 * score**2) / (np.sqrt(2 * np.pi) * density)
            newton = value - move
            # The convergence is quadratic, d' = c d^2, with c of the last step or one; between components far apart it is large.
            slowness = np.maximum(distance / np.where(before > 0, before, distance) ** 2, 1)
            is_close = (distance == 0) | (slowness * distance**2 <= CLOSE)
        middle = low + (high - low) / 2
        is_newton = (newton > low) & (newton < high) & (step % 4 != 3 if step > MOST_NEWTON else True)
        done = is_close & (newton >= low) & (newton <= high)
        exhausted = ~done & ((middle <= low) | (middle >= high))
        result[left[done]], result[left[exhausted]] = newton[done], high[exhausted]
        value, before = np.where(is_newton, newton, middle), np.where(is_newton, distance, 0)
        kept = np.flatnonzero(~(done | exhausted))
        if len(kept) < len(left):
            left, low, high, value, before = left[kept], low[kept], high[kept], value[kept], before[kept]
            mean, sd, weights = mean.take(kept, axis=1), sd.take(kept, axis=1), _of(weights, kept)
        step += 1
    return result
