"""Predicted values of a curve or of a derivative, with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from scipy.interpolate import CubicSpline

from .._entry import entry_point
from .._validation import FloatArray, check_flag, check_level, frozen
from ..errors import SpecificationError
from .mixtures import critical_value

if TYPE_CHECKING:
    import pandas as pd

N_MAXIMA = 10_000  # draws of a simultaneous band: its level is then right to 0.2 %
MOST_NUMBERS = 2**21  # drawn at a time
SEED = 20_240_229
LEAST_TAIL = 10  # draws beyond a simulated critical value
N_QUADRATURE = 80
WIDEST_TABLED, N_TABLED = 4.0, 129  # of sqrt(spread); log c is interpolated there to 1e-7
HALVINGS = 60
LOG_FARTHEST = 4.0  # a normal variable lies beyond exp(4) sds with probability zero, to rounding


def mixture_critical_value(alpha: float, spread: FloatArray) -> FloatArray:
    """Two-sided critical values of a normal variable whose log variance is itself normal, of variance `spread` (n,).

    c solves E 2 Phi(-c exp(-sqrt(spread) W / 2)) = alpha, W standard normal. Up to sqrt(spread) = WIDEST_TABLED it is interpolated
    in a table of log c that depends on alpha alone, beyond solved for each value, so that no interval depends on another.
    """
    level, sd = check_level(alpha), np.sqrt(spread)
    value = np.exp(_critical_table(level)(np.minimum(sd, WIDEST_TABLED)))
    wide = sd > WIDEST_TABLED
    if wide.any():
        value[wide] = np.exp(_log_critical_value(level, sd[wide]))
    return np.asarray(value)


@lru_cache(maxsize=32)
def _critical_table(level: float) -> CubicSpline:
    """Logarithms of critical values at even values of sqrt(spread)."""
    at = np.linspace(0.0, WIDEST_TABLED, N_TABLED)
    return CubicSpline(at, _log_critical_value(level, at))


def _log_critical_value(level: float, sd: FloatArray) -> FloatArray:
    """Logarithms of the critical values at sqrt(spread) = sd (n,), by Gauss-Hermite quadrature and bisection."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_QUADRATURE)
    weights = weights / weights.sum()
    shifts = sd[:, None] * nodes / 2
    lower = np.log(stats.norm.isf(level / 2)) + shifts.min(axis=1)
    upper = np.log(stats.norm.isf(level / 2)) + shifts.max(axis=1)
    for _ in range(HALVINGS):
        middle = (lower + upper) / 2
        is_below = (2 * stats.norm.sf(np.exp(np.minimum(middle[:, None] - shifts, LOG_FARTHEST)))) @ weights > level
        lower, upper = np.where(is_below, middle, lower), np.where(is_below, upper, middle)
    return np.asarray(upper)


class Estimate(float):
    """A number with its standard error.

    A product with a number, a quotient by one, a sum with one and the negation are estimates as well, with the standard error and
    the interval scaled and shifted. Operations on two estimates, whose errors may be related, return plain numbers.

    Attributes
    ----------
    se : float
        Standard error.
    df : float
        Degrees of freedom of its intervals; infinite for normal ones.
    ends : callable, optional
        ``ends(alpha)``, the ends of the interval of level 1 - alpha, if the interval is not symmetric about the estimate.

    Examples
    --------
    >>> import smoothfit as sf
    >>> area = sf.results.Estimate(2.0, 0.5)
    >>> 10 * area
    20 (se 5)
    """

    __array_priority__ = -1.0  # above numpy's scalars, so that their products are estimates, and below its arrays

    se: float
    df: float
    ends: Callable[[float], tuple[float, float]] | None

    def __new__(
        cls, value: float, se: float, df: float = np.inf, ends: Callable[[float], tuple[float, float]] | None = None
    ) -> Estimate:
        """Make a number with a standard error."""
        estimate = super().__new__(cls, value)
        estimate.se = float(se)
        estimate.df = float(df)
        estimate.ends = ends
        return estimate

    def __getnewargs__(self) -> tuple[float, float, float, Any]:  # type: ignore[override]
        return float(self), self.se, self.df, self.ends

    def conf_int(self, alpha: float = 0.05) -> tuple[float, float]:
        """Return the interval of level 1 - alpha."""
        half = critical_value(alpha, self.df) * self.se
        return self.ends(alpha) if self.ends is not None else (float(self) - half, float(self) + half)

    def _turned(self, value: float, factor: float, shift: float) -> Estimate:
        """The estimate times a factor, plus a shift, which is `value`."""
        ends = None if self.ends is None else partial(_turned_ends, self.ends, factor, shift)
        return Estimate(value, self.se * abs(factor), self.df, ends)

    def __neg__(self) -> Estimate:
        return self._turned(-float(self), -1.0, 0.0)

    def __pos__(self) -> Estimate:
        return self

    def __mul__(self, other: Any) -> Any:
        return self._turned(float(self) * float(other), float(other), 0.0) if _is_number(other) else super().__mul__(other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._turned(float(self) / float(other), 1 / float(other), 0.0) if _is_number(other) else super().__truediv__(other)

    def __add__(self, other: Any) -> Any:
        return self._turned(float(self) + float(other), 1.0, float(other)) if _is_number(other) else super().__add__(other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._turned(float(self) - float(other), 1.0, -float(other)) if _is_number(other) else super().__sub__(other)

    def __rsub__(self, other: Any) -> Any:
        return self._turned(float(other) - float(self), -1.0, float(other)) if _is_number(other) else super().__rsub__(other)

    def __repr__(self) -> str:
        return f"{float(self):.8g} (se {self.se:.3g})"


def _is_number(other: Any) -> bool:
    """Whether a number is known without error."""
    return isinstance(other, (int, float, np.integer, np.floating)) and not isinstance(other, Estimate)


def _turned_ends(ends: Callable[[float], tuple[float, float]], factor: float, shift: float, alpha: float) -> tuple[float, float]:
    """Ends of an interval times a factor, plus a shift; an infinite end times zero is the shift."""
    low, high = (end * factor + shift if factor else shift for end in ends(alpha))
    return (low, high) if low <= high else (high, low)


def greatest_deviations(
    draw: Callable[[np.random.Generator, int], FloatArray], scale: FloatArray, df: float = np.inf
) -> FloatArray:
    """Greatest size of a deviation in units of `scale` (n,), in each of N_MAXIMA draws, increasing.

    ``draw(rng, size)`` makes deviations (size, n); with finite `df` each draw is divided by a common estimate of the noise.
    """
    rng = np.random.default_rng(SEED)
    with np.errstate(divide="ignore"):
        precision = np.where(scale > 0, 1 / scale, 0.0)
    block = max(1, MOST_NUMBERS // len(scale))
    maxima = [np.abs(draw(rng, min(block, N_MAXIMA - start)) * precision).max(axis=1) for start in range(0, N_MAXIMA, block)]
    greatest = np.concatenate(maxima)
    if np.isfinite(df):
        greatest *= np.sqrt(df / rng.chisquare(df, N_MAXIMA))
    return frozen(np.sort(greatest))


@dataclass(frozen=True, eq=False)
class ParameterUncertainty:
    """What estimated parameters add to the uncertainty of a curve, to first order in their logarithms.

    Attributes
    ----------
    shift : ndarray, shape (n,)
        Variance of the posterior mean as the parameters vary.
    spread : ndarray, shape (n,)
        Variance of the logarithm of the posterior variance.
    spread_obs : ndarray, shape (n,)
        Likewise of that with the noise of a new reading.
    """

    shift: FloatArray
    spread: FloatArray
    spread_obs: FloatArray


@entry_point
@dataclass(frozen=True, eq=False)
class CurvePrediction:
    """Posterior mean and standard error of f^(deriv), as statsmodels' ``PredictionResults``.

    Attributes
    ----------
    x : ndarray or pandas.DatetimeIndex, shape (n,)
        x as it was given: in one dimension, times as times, and times with a zone in that zone.
    deriv : int
    predicted_mean : ndarray, shape (n,)
        In the unit of f per unit of x to the power `deriv`.
    var_pred_mean : ndarray, shape (n,)
        Variance of f^(deriv)(x) given the readings.
    noise_sd : float
        Standard deviation of a new reading of f^(deriv); NaN where none is read.
    df : float
        Degrees of freedom of the intervals: n - order where an sd was estimated, infinite where all are known.
    x_name : str
        Label of the abscissa.
    maxima : ndarray or None
        For simultaneous intervals: the greatest deviation over x, in units of sqrt(variance + shift), of each of many draws,
        increasing.
    parameters : ParameterUncertainty or None
        What the uncertainty of estimated parameters adds to pointwise intervals (Kass & Steffey 1989); the standard errors are
        those at the estimates. With it the intervals are mean +- c sqrt(variance + shift), c from `mixture_critical_value`.
    limits : ndarray, shape (n, 2), or None
        Bounds that f^(deriv) satisfies at x, infinite where there is none: intervals of the curve end there.
    omits : tuple of str
        Regressors on which observations depend and which this prediction leaves out, because their values at x were not given: it
        is of the curve alone, and intervals for a new observation are refused.
    """

    x: Any
    deriv: int | tuple[int, ...]
    predicted_mean: FloatArray
    var_pred_mean: FloatArray
    noise_sd: float
    df: float
    x_name: str = "x"
    maxima: FloatArray | None = None
    parameters: ParameterUncertainty | None = None
    limits: FloatArray | None = None
    omits: tuple[str, ...] = ()

    def __repr__(self) -> str:
        alone = f" of the curve alone, without {', '.join(self.omits)}" if self.omits else ""
        order = "" if self.deriv == 0 else f", deriv={self.deriv}"
        return f"{type(self).__name__}({len(self.x)} values of {self.x_name}{order}){alone}"

    def _require_regressors(self) -> None:
        """Refuse what an observation is expected to be if it depends on regressors that are not known."""
        if self.omits:
            raise SpecificationError(
                f"an observation depends on {', '.join(self.omits)}, whose values at these {self.x_name} are not known; pass "
                "regressors={...} to get_prediction, or a data frame with these columns (intervals of the curve alone: obs=False)"
            )

    @property
    def se_mean(self) -> FloatArray:
        """Standard error of the mean, shape (n,)."""
        return np.sqrt(self.var_pred_mean)

    @property
    def scale_mean(self) -> FloatArray:
        """Sd of the curve about its mean with what estimated parameters shift it: the shape of simultaneous bands, shape (n,)."""
        return self.se_mean if self.parameters is None else np.sqrt(self.var_pred_mean + self.parameters.shift)

    @property
    def se_obs(self) -> FloatArray:
        """Standard error of a new reading of weight one, shape (n,)."""
        self._require_regressors()
        return np.sqrt(self.var_pred_mean + self.noise_sd**2)

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Return intervals of level 1 - alpha, shape (n, 2): pointwise, or of the whole curve where that was asked for.

        Parameters
        ----------
        obs : bool
            Whether for a new reading rather than for the curve; always pointwise. Refused if it depends on regressors that were
            not given (`omits`).
        alpha : float
            Significance level.
        """
        half = self.half_width(alpha, check_flag(obs, "obs"))
        ends = np.column_stack([self.predicted_mean - half, self.predicted_mean + half])
        return ends if self.limits is None or obs else np.clip(ends, self.limits[:, :1], self.limits[:, 1:])

    def half_width(self, alpha: float, obs: bool = False) -> FloatArray:
        """Return half the widths of the intervals of `conf_int`, shape (n,)."""
        level = check_level(alpha)
        if self.maxima is not None and not obs:
            least = LEAST_TAIL / len(self.maxima)
            if level < least:
                raise SpecificationError(f"alpha is {alpha}; simultaneous bands are simulated, for alpha from {least:g}")
            return float(np.quantile(self.maxima, 1 - level)) * self.scale_mean
        se = self.se_obs if obs else self.se_mean
        if self.parameters is None or not len(se):
            return critical_value(alpha, self.df) * se
        spread = self.parameters.spread_obs if obs else self.parameters.spread
        return mixture_critical_value(alpha, spread) * np.sqrt(se**2 + self.parameters.shift)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return mean, mean_se and the intervals of the curve and of a new observation, one row for each x.

        If a new observation depends on regressors that were not given (`omits`), the frame has no ``obs_ci_lower`` and
        ``obs_ci_upper``, and its columns are named ``curve without <regressors>``.
        """
        import pandas as pd

        mean = self.conf_int(alpha=alpha)
        columns = {
            "mean": self.predicted_mean,
            "mean_se": self.se_mean,
            "mean_ci_lower": mean[:, 0],
            "mean_ci_upper": mean[:, 1],
        }
        if not self.omits:
            columns["obs_ci_lower"], columns["obs_ci_upper"] = self.conf_int(obs=True, alpha=alpha).T
        frame = pd.DataFrame(columns, index=self._index)
        return frame.rename_axis(columns=f"curve without {', '.join(self.omits)}") if self.omits else frame

    @property
    def _index(self) -> Any:
        """Labels of the rows of `summary_frame`."""
        import pandas as pd

        return pd.Index(self.x, name=self.x_name)


@entry_point
@dataclass(frozen=True, eq=False)
class SurfacePrediction(CurvePrediction):
    """Estimate and standard error of a partial derivative at points.

    As `CurvePrediction`, with points `x` (n, d) and the order `deriv` by each variable; `summary_frame` has the coordinates
    for an index.

    Attributes
    ----------
    inputs : tuple of str
        Labels of the variables.
    """

    inputs: tuple[str, ...] = ()

    @property
    def _index(self) -> Any:
        import pandas as pd

        if len(self.inputs) == 1:
            return pd.Index(self.x[:, 0], name=self.inputs[0])
        return pd.MultiIndex.from_arrays(list(self.x.T), names=self.inputs)
