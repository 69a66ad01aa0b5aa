"""Predicted values of a curve or of a derivative, with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from .._entry import entry_point
from .._frames import framed
from .._html import html_of
from .._validation import FloatArray, check_flag, check_level
from ..errors import SpecificationError
from .later import Later, known
from .mixtures import Laws, Mixture, critical_value

if TYPE_CHECKING:
    import pandas as pd

OF_SERIES = ("bias.", "scale.", "lag.", "response_time.")  # labels of what a series differs from the curve by
PARAMETERS = ("estimated", "integrated")  # of a prediction
MOST_SHOWN = 10_000  # predicted values, beyond which their intervals are not computed only to be shown
ALPHA_BY_NAME = "; the significance level is the second argument: conf_int(alpha=...)"  # what a number for obs= was meant as
LEAST_TAIL = 10  # draws beyond a simulated critical value


Ends = Callable[[float], tuple[float, float]]  # those of the interval of level 1 - alpha


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
        ``ends(alpha)``, the ends of the interval of level 1 - alpha, if the interval is not symmetric about the estimate. Found
        when it is first asked for.

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
    _ends: Later[Ends | None]

    def __new__(cls, value: float, se: float, df: float = np.inf, ends: Ends | Later[Ends | None] | None = None) -> Estimate:
        """Make a number with a standard error."""
        estimate = super().__new__(cls, value)
        estimate.se = float(se)
        estimate.df = float(df)
        estimate._ends = ends if isinstance(ends, Later) else known(ends)
        return estimate

    @property
    def ends(self) -> Ends | None:
        """What computes the ends of intervals that are not symmetric about the estimate, None if they are."""
        return self._ends.value

    def __getnewargs__(self) -> tuple[float, float, float, Any]:  # type: ignore[override]
        return float(self), self.se, self.df, self._ends

    def conf_int(self, alpha: float = 0.05) -> tuple[float, float]:
        """Return the interval of level 1 - alpha.

        Examples
        --------
        >>> import smoothfit as sf
        >>> low, high = sf.results.Estimate(2.0, 0.5).conf_int()
        >>> round(low, 2), round(high, 2)
        (1.02, 2.98)
        """
        half, ends = critical_value(alpha, self.df) * self.se, self.ends
        return ends(alpha) if ends is not None else (float(self) - half, float(self) + half)

    def _turned(self, value: float, factor: float, shift: float) -> Estimate:
        """The estimate times a factor, plus a shift, which is `value`."""
        ends = self._ends.then(lambda ends: None if ends is None else partial(_turned_ends, ends, factor, shift))
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


def _turned_ends(ends: Ends, factor: float, shift: float, alpha: float) -> tuple[float, float]:
    """Ends of an interval times a factor, plus a shift; an infinite end times zero is the shift."""
    low, high = (end * factor + shift if factor else shift for end in ends(alpha))
    return (low, high) if low <= high else (high, low)


class Limiting(Protocol):
    """What intervals of a curve end at."""

    def within(self, ends: FloatArray, alpha: float, *, obs: bool = False, simultaneous: bool = False) -> FloatArray:
        """Intervals (n, 2) of level 1 - alpha brought within the limits."""


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
        Variance of f^(deriv)(x) given the observations.
    noise_sd : float or ndarray, shape (n,)
        Standard deviation of a new observation of f^(deriv); NaN if this derivative is not observed. One for each x if it
        grows with the curve.
    df : float
        Degrees of freedom of the intervals: n - order where an SD was estimated, infinite if all are known.
    x_name : str
        Label of x.
    laws : Later or None
        Computes `law` and `law_obs` when an interval, a mean with integrated parameters or a pickle is first asked for, and with
        that the integration over the parameters, which means and standard errors do without. None if no parameter is estimated.
    maxima : ndarray or None
        For simultaneous intervals: the largest deviation over x in units of the shape of the band, of each of many draws,
        increasing.
    limits : object or None
        ``limits.within(ends, alpha)`` brings intervals within what constraints imply of f^(deriv).
    omits : tuple of str
        Regressors on which observations depend and which this prediction leaves out, because their values at x were not given,
        and ``bias.<name>``, ``scale.<name>``, ``lag.<name>`` or ``response_time.<name>`` if only a series with an unknown one, or
        a slow instrument, observes f^(deriv) and `name` was not given: it is of the curve alone, and intervals for a new
        observation are refused.
    library : str or None
        Library of the frame that `summary_frame` returns: that of x, or else of the data.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> prediction = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().get_prediction([1.0, 2.0])
    >>> prediction.predicted_mean.round(2), prediction.se_mean.round(3)
    (array([0.84, 0.91]), array([0.016, 0.016]))
    """

    x: Any
    deriv: int | tuple[int, ...]
    predicted_mean: FloatArray
    var_pred_mean: FloatArray
    noise_sd: float | FloatArray
    df: float
    x_name: str = "x"
    laws: Later[Laws] | None = None
    maxima: FloatArray | None = None
    limits: Limiting | None = None
    omits: tuple[str, ...] = ()
    library: str | None = None

    def __repr__(self) -> str:
        alone = f" of the curve alone, without {', '.join(self.omits)}" if self.omits else ""
        order = "" if self.deriv == 0 else f", deriv={self.deriv}"
        return f"{type(self).__name__}({len(self.x)} values of {self.x_name}{order}){alone}"

    def _repr_html_(self) -> str | None:
        return html_of(repr(self), self.summary_frame()) if len(self.x) <= MOST_SHOWN else None  # else as text

    def _require_regressors(self) -> None:
        """Refuse what an observation is expected to be if it depends on a bias, or on regressors that are not known."""
        of_series = [label for label in self.omits if label.startswith(OF_SERIES)]
        if of_series:
            what, name = of_series[0].split(".", 1)
            raise SpecificationError(
                f"an observation of {name!r} has a {what}, and this prediction is of the curve; pass name={name!r} to "
                "get_prediction (intervals of the curve alone: obs=False)"
            )
        if self.omits:
            raise SpecificationError(
                f"an observation depends on {', '.join(self.omits)}, whose values at these {self.x_name} are not known; pass "
                "regressors={...} to get_prediction, or a data frame with these columns (intervals of the curve alone: obs=False)"
            )

    @property
    def law(self) -> Mixture | None:
        """Posterior law of f^(deriv) at x with the estimated parameters integrated out, whose quantiles are the intervals.

        See `smoothfit.inference.marginal`. None if no parameter was integrated; the intervals are then mean +- a critical value of
        Student's t times the standard error.
        """
        return None if self.laws is None else self.laws.value[0]

    @property
    def law_obs(self) -> Mixture | None:
        """Posterior law of a new observation of f^(deriv) at x."""
        return None if self.laws is None else self.laws.value[1]

    @property
    def se_mean(self) -> FloatArray:
        """Standard error of the mean, shape (n,)."""
        return np.sqrt(self.var_pred_mean)

    @property
    def shape(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Centre (n,) of simultaneous intervals, and their half-widths below and above for a critical value of one."""
        law = self.law
        return (self.predicted_mean, self.se_mean, self.se_mean) if law is None else law.shape

    @property
    def se_obs(self) -> FloatArray:
        """Standard error of a new observation of weight one, shape (n,)."""
        self._require_regressors()
        return np.sqrt(self.var_pred_mean + self.noise_sd**2)

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Return intervals of level 1 - alpha, shape (n, 2): pointwise, or of the whole curve where that was asked for.

        Parameters
        ----------
        obs : bool
            Whether for a new observation rather than for the curve; always pointwise. Refused if it depends on regressors that were
            not given (`omits`).
        alpha : float
            Significance level.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> prediction = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().get_prediction([1.0, 2.0])
        >>> prediction.conf_int().round(2)
        array([[0.81, 0.87],
               [0.88, 0.94]])
        >>> np.ptp(prediction.conf_int(obs=True), axis=1).round(2)  # width for a new observation
        array([0.08, 0.08])
        """
        level = check_level(alpha)
        if check_flag(obs, "obs", ALPHA_BY_NAME):
            self._require_regressors()
            ends = self._ends(self.law_obs, self.se_obs, alpha)
            return ends if self.limits is None else self.limits.within(ends, alpha, obs=True)
        if self.maxima is None:
            ends = self._ends(self.law, self.se_mean, alpha)
        else:
            least = LEAST_TAIL / len(self.maxima)
            if level < least:
                raise SpecificationError(f"alpha is {alpha}; simultaneous bands are simulated, for alpha from {least:g}")
            centre, below, above = self.shape
            critical = float(np.quantile(self.maxima, 1 - level))
            ends = np.column_stack([centre - critical * below, centre + critical * above])
        return ends if self.limits is None else self.limits.within(ends, alpha, simultaneous=self.maxima is not None)

    def _ends(self, law: Mixture | None, se: FloatArray, alpha: float) -> FloatArray:
        """Pointwise intervals (n, 2): quantiles of a law, or mean +- c se if there is none."""
        if law is not None:
            return law.interval(alpha)
        half = critical_value(alpha, self.df) * se
        return np.column_stack([self.predicted_mean - half, self.predicted_mean + half])

    def integrated(self) -> Self:
        """The same with mean and standard error of the law in which the parameters are integrated out.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> prediction = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.1)).fit().get_prediction([8.0])
        >>> bool(prediction.integrated().se_mean[0] > prediction.se_mean[0])
        True
        """
        law = self.law
        return self if law is None else replace(self, predicted_mean=law.expectation, var_pred_mean=law.variance)

    @framed
    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return mean, mean_se and the intervals of the curve and of a new observation, one row for each x.

        If a new observation depends on regressors that were not given (`omits`), the frame has no ``obs_ci_lower`` and
        ``obs_ci_upper``, and its columns are named ``curve without <regressors>``.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> prediction = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().get_prediction([1.0, 2.0])
        >>> prediction.summary_frame()[["mean", "mean_ci_lower", "mean_ci_upper"]].round(2).to_dict("index")[1.0]
        {'mean': 0.84, 'mean_ci_lower': 0.81, 'mean_ci_upper': 0.87}
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

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
    >>> prediction = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().get_prediction([1.0, 2.0], deriv=1)
    >>> prediction.predicted_mean.round(2), np.cos([1.0, 2.0]).round(2)
    (array([ 0.54, -0.42]), array([ 0.54, -0.42]))
    """

    inputs: tuple[str, ...] = ()

    @property
    def _index(self) -> Any:
        import pandas as pd

        if len(self.inputs) == 1:
            return pd.Index(self.x[:, 0], name=self.inputs[0])
        return pd.MultiIndex.from_arrays(list(self.x.T), names=self.inputs)
