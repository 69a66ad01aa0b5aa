"""Results that every fitted curve shares, with statsmodels' names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._abscissa import Points
from .._validation import FloatArray, check_order
from ..errors import SpecificationError
from ..observations import Observations, derivative_label
from .prediction import CurvePrediction, critical_value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from statsmodels.iolib.summary import Summary

    from ..basis import Spline


LEAST_FREE = 1e-10  # a share of a reading's noise that is left in its residual, below which it is rounding


class Estimate(float):
    """A number that knows its standard error.

    Attributes
    ----------
    se : float
        Standard error.
    df : float
        Degrees of freedom of its intervals; infinite for normal ones.
    """

    se: float
    df: float

    def __new__(cls, value: float, se: float, df: float = np.inf) -> Estimate:
        """Make a number with a standard error."""
        estimate = super().__new__(cls, value)
        estimate.se = float(se)
        estimate.df = float(df)
        return estimate

    def __getnewargs__(self) -> tuple[float, float, float]:  # type: ignore[override]
        return float(self), self.se, self.df

    def conf_int(self, alpha: float = 0.05) -> tuple[float, float]:
        """Return the interval of level 1 - alpha."""
        half = critical_value(alpha, self.df) * self.se
        return float(self) - half, float(self) + half

    def __repr__(self) -> str:
        return f"{float(self):.8g} (se {self.se:.3g})"


class CurveResults(ABC):
    """A fitted curve: estimates, predictions with bands, diagnostics, pictures.

    Subclasses say how the curve is predicted (`_moments`), its residual leverages (`_leverage`) and its parameters.
    Residuals, fitted values and leverages are in the order of the observations, name after name.
    """

    observations: Observations
    use_t: bool

    # What a subclass provides -----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def highest_derivative(self) -> int:
        """Highest order of a derivative that has a posterior variance."""

    @property
    @abstractmethod
    def highest_mean_derivative(self) -> int:
        """Highest order of a derivative of the posterior mean that is not zero everywhere."""

    @abstractmethod
    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        """Posterior mean's derivative of an order above `highest_derivative` at points x (n,)."""

    @abstractmethod
    def _moments(self, x: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and variance of f^(deriv) at points x (n,)."""

    @property
    @abstractmethod
    def _leverage(self) -> FloatArray:
        """Diagonal of the smoother matrix, shape (n,)."""

    @property
    @abstractmethod
    def _noise_variance(self) -> FloatArray:
        """Noise variance of each reading, given or estimated, shape (n,)."""

    @property
    @abstractmethod
    def fittedvalues(self) -> FloatArray:
        """Posterior mean of what each reading reads, shape (n,)."""

    @property
    @abstractmethod
    def params(self) -> pd.Series:
        """Estimated parameters."""

    @abstractmethod
    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the estimated parameters, by the observed information and the delta method."""

    @property
    @abstractmethod
    def _se_log_params(self) -> FloatArray:
        """Standard errors of the logarithms of the positive `params`."""

    @property
    @abstractmethod
    def sigma(self) -> pd.Series:
        """Noise standard deviation per name, estimated or given."""

    @property
    @abstractmethod
    def llf(self) -> float:
        """Log-likelihood."""

    @property
    @abstractmethod
    def _n_likelihood(self) -> tuple[int, int]:
        """Number of parameters and of contrasts that the likelihood counts, for AIC and BIC."""

    @abstractmethod
    def spline(self) -> Spline:
        """Return the posterior mean as an exact spline."""

    @abstractmethod
    def integrate(self, a: Any, b: Any) -> Estimate:
        """Return the integral of f from a to b with its standard error."""

    @abstractmethod
    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit."""

    # What follows from it ---------------------------------------------------------------------------------------------

    @property
    def nobs(self) -> int:
        """Number of readings used."""
        return len(self.observations)

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix."""
        return float(self._leverage.sum())

    @property
    def df_resid(self) -> float:
        """Residual degrees of freedom, nobs - edf."""
        return self.nobs - self.edf

    @property
    def df_interval(self) -> float:
        """Degrees of freedom of intervals: the contrasts that tell the noise, or infinite where every sd is known."""
        return self._n_contrasts if self.use_t else np.inf

    @property
    @abstractmethod
    def _n_contrasts(self) -> int:
        """Number of readings less that of constants that no prior restricts."""

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 llf + 2 (number of parameters that llf maximises over).

        Parameters are the estimated sds and, unless the smoothing was fixed, q; not the effective degrees of freedom. After
        gcv, aicc or a fixed smoothing `llf` is the restricted likelihood at the variances found, which is not its maximum:
        compare `aic` only among fits by likelihood.
        """
        return -2 * self.llf + 2 * self._n_likelihood[0]

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 llf + log(number of contrasts) (number of parameters), which are counted as in `aic`."""
        return float(-2 * self.llf + np.log(self._n_likelihood[1]) * self._n_likelihood[0])

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params`; NaN for a parameter that is fixed by a criterion or at a boundary."""
        import pandas as pd

        return pd.Series(self._se_log_params * self.params.to_numpy(), index=self.params.index, name="bse")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of the positive `params`, normal on the logarithmic scale."""
        import pandas as pd

        params = self.params
        with np.errstate(over="ignore"):  # an sd that is hardly known may be anything: up to infinity
            factor = np.exp(critical_value(alpha, np.inf) * self._se_log_params)
            return pd.DataFrame({0: params / factor, 1: params * factor})

    @property
    def resid(self) -> FloatArray:
        """Readings minus fitted values, shape (n,), in the units of the readings."""
        return self.observations.y - self.fittedvalues

    @property
    def resid_standardized(self) -> FloatArray:
        """Residuals divided by their standard deviations sqrt(r (1 - leverage)), shape (n,); NaN where the curve interpolates."""
        return self.resid / np.sqrt(self._noise_variance * self._free)

    @property
    def loo_resid(self) -> FloatArray:
        """Leave-one-out residuals at the fitted parameters: readings minus predictions without them, shape (n,).

        NaN where the curve interpolates a reading (its leverage is one to rounding).
        """
        return self.resid / self._free

    @property
    def _free(self) -> FloatArray:
        """1 - leverage; NaN where that is rounding."""
        free = 1 - self._leverage
        return np.where(free > LEAST_FREE, free, np.nan)

    def predict(self, x: Any, deriv: int = 0) -> FloatArray:
        """Posterior mean of f^(deriv) at x: between the readings, at them and beyond.

        Parameters
        ----------
        x : array_like
            Abscissae of the kind of the readings' (numbers, or times).
        deriv : int
            Order of the derivative. Beyond `highest_derivative` the mean still has derivatives, right limits at the
            readings; the curve itself has none, so that `get_prediction` refuses them.

        Returns
        -------
        ndarray
            Of the shape of x, in the unit of f per unit of x to the power `deriv`.
        """
        given = self.observations.abscissa.given(x)
        points = self.observations.abscissa.points(given.ravel())
        order = check_order(deriv, "deriv", 0, self.highest_mean_derivative)
        mean = self._moments(points, order)[0] if order <= self.highest_derivative else self._rough_mean(points, order)
        return mean.reshape(given.shape)

    def get_prediction(self, x: Any, deriv: int = 0, name: str | None = None) -> CurvePrediction:
        """Posterior of f^(deriv) at x, with standard errors and intervals.

        Parameters
        ----------
        x : array_like, shape (n,)
        deriv : int
            Order of the derivative, at most `highest_derivative`.
        name : str, optional
            Whose noise a new reading has, a name that reads f^(deriv); by default the first.

        Returns
        -------
        CurvePrediction
            Its `x` are those given.
        """
        deriv = self._check_deriv(deriv)
        given = self.observations.abscissa.given(x).ravel().copy()
        return self._prediction(self.observations.abscissa.points(given), given, deriv, self._noise_sd(deriv, name))

    def _noise_sd(self, deriv: int, name: str | None) -> float:
        """Noise sd of a new reading of f^(deriv): of a name, or of the first that reads it; NaN where none does."""
        readings = self.observations.readings
        readers = [reading.name for reading in readings if reading.deriv == deriv]
        if name is None:
            return float(self.sigma[readers[0]]) if readers else np.nan
        if name not in self.observations.names:
            raise SpecificationError(f"name is {name!r}; the readings are named {', '.join(self.observations.names)}")
        if name not in readers:
            k = self.observations[name].deriv
            others = f", or one of the names that read {derivative_label(deriv)}: {', '.join(readers)}" if readers else ""
            raise SpecificationError(
                f"name is {name!r}, which reads {derivative_label(k)} and not {derivative_label(deriv)}; pass deriv={k}{others}"
            )
        return float(self.sigma[name])

    def _prediction(self, points: Points, x: npt.NDArray[Any], deriv: int, noise_sd: float) -> CurvePrediction:
        """Predict at points, which stand for abscissae x."""
        mean, variance = self._moments(points, deriv)
        return CurvePrediction(
            x=x,
            deriv=deriv,
            predicted_mean=mean,
            var_pred_mean=variance,
            noise_sd=noise_sd,
            df=self.df_interval,
            x_name=self.observations.x_name,
        )

    def plot(self, deriv: int = 0, ax: Axes | None = None, alpha: float = 0.05, label: str | None = None, **line: Any) -> Figure:
        """Draw f^(deriv) with its pointwise band and the readings of it.

        Parameters
        ----------
        deriv : int
            Order of the derivative.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure. Several fits on one axes take colours in turn, and readings drawn once stay.
        alpha : float
            The band has level 1 - alpha.
        label : str, optional
            What the legend says of the curve.
        **line
            Passed to `matplotlib.axes.Axes.plot` for the curve, such as ``color``, ``linestyle`` or ``linewidth``; the band has the
            colour of the curve.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .plotting import plot_curve

        return plot_curve(self, self._check_deriv(deriv), ax, alpha, label, line)

    def plot_diagnostics(self) -> Figure:
        """Draw standardised residuals over x, their distribution, normal quantiles and autocorrelation."""
        from .plotting import plot_diagnostics

        return plot_diagnostics(self)

    def _check_deriv(self, deriv: Any) -> int:
        order = check_order(deriv, "deriv", 0, 10**6)
        if order > self.highest_derivative:
            raise SpecificationError(
                f"deriv is {order}: {derivative_label(order)} has no finite variance under this prior, whose derivatives end at "
                f"{derivative_label(self.highest_derivative)}; raise the model's order, or take the mean alone: "
                f"predict(x, deriv={order})"
            )
        return order

    def _name_of_row(self) -> npt.NDArray[np.int64]:
        """Index into names of each reading."""
        readings = self.observations.readings
        return np.repeat(np.arange(len(readings)), [len(reading) for reading in readings])
