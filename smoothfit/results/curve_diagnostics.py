"""Diagnostics of fitted curves: residuals, influence, outliers, serial correlation."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray
from ..observations import Observations
from .estimates import Results
from .influence import Influence, externally_studentized
from .protocols import Change, Diagnosed, Unexplained

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class CurveDiagnostics(Results):
    """Residuals, influence, outliers, and tests and plots of whether the model holds; the part of `CurveResults` about them."""

    observations: Observations

    @property
    def df_interval(self) -> float:
        return self._n_contrasts if self.use_t else np.inf

    @property
    @abstractmethod
    def _n_contrasts(self) -> int:
        """Number of observations less that of constants that no prior restricts."""

    @property
    @abstractmethod
    def _maximises_likelihood(self) -> bool:
        """Whether `llf` is a maximum over all parameters, so that `aic` and `bic` compare."""

    @property
    @abstractmethod
    def _noise_variance(self) -> FloatArray:
        """Noise variance of each observation, given or estimated, shape (n,)."""

    @property
    @abstractmethod
    def _resid_recursive(self) -> FloatArray:
        """Standardised one-step-ahead prediction errors, shape (n,)."""

    @property
    def _resid_standardized(self) -> FloatArray:
        return self._resid / np.sqrt(self._noise_variance * self._free)

    @property
    def resid_standardized(self) -> Any:
        """Residuals divided by their standard deviations sqrt(r (1 - leverage)); labelled as `fittedvalues`.

        NaN where the curve interpolates an observation, and where the others determine no curve.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + np.where(x == x[7], 0.5, 0.0)
        >>> res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1)).fit(edf=6)
        >>> int(res.resid_standardized.argmax())  # the observation that is off by 0.5
        7
        """
        return self._labelled(self._resid_standardized, "resid_standardized")

    @property
    def resid_recursive(self) -> Any:
        """Standardised one-step-ahead prediction errors (innovations, recursive residuals); labelled as `fittedvalues`.

        Each observation less its prediction from those before it in x, over the standard deviation of that difference, at the
        fitted parameters. Under the model they are independent standard normal numbers, while `resid_standardized` are correlated
        with their neighbours, because the curve follows these. NaN for the first observations, which determine what no prior or
        penalty restricts. Observations of integrals, means and differences are predicted where their interval ends. If errors are
        correlated across series, these are the errors of combinations whose noise is independent; with correlated errors of a
        spline regression, those of the whitened observations.
        """
        return self._labelled(self._resid_recursive, "resid_recursive")

    @property
    def _diagnostic_resid(self) -> tuple[str, FloatArray]:
        """What diagnostics draw and test, and what it is called."""
        return "one-step-ahead prediction errors", self._resid_recursive

    @property
    def _diagnosed(self) -> Diagnosed:
        return Diagnosed(self.observations, *self._diagnostic_resid, self._fittedvalues)

    def _studentized(self, standardized: FloatArray) -> FloatArray:
        """Standardised residuals (n,) with the noise variance, if it is estimated, estimated without the observation."""
        m = self.df_interval
        return standardized if np.isinf(m) else externally_studentized(standardized, m)

    def get_influence(self) -> Influence:
        """Return how far each observation draws the curve: leverages, studentised residuals, Cook's distances.

        Returns
        -------
        smoothfit.results.Influence
            As statsmodels' ``OLSInfluence``, whose names it has; at the fitted smoothing. With several unknown noise levels the
            external residuals are those of a common factor of all of them.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 50)
        >>> y = np.sin(6 * x) + 0.1 * np.random.default_rng(0).standard_normal(50)
        >>> frame = sf.SmoothingSpline(sf.observe(x, y)).fit().get_influence().summary_frame()
        >>> int(frame["hat_diag"].idxmax()) in (0, 49)  # ends of the data have the highest leverage
        True
        """
        standardized = self._resid_standardized
        external = self._studentized(standardized)
        return Influence(self._leverage, standardized, external, self.edf, self.df_resid, self._labelled)

    @framed
    def test_serial_correlation(self, lags: int | None = None) -> pd.DataFrame:
        """Ljung and Box's test that the one-step-ahead prediction errors of each series are uncorrelated.

        Parameters
        ----------
        lags : int, optional
            Number of autocorrelations. By default 10, or a fifth of the number of errors if that is smaller.

        Returns
        -------
        pandas.DataFrame
            One row for each series: ``nobs`` (errors), ``lags``, ``lag1`` (the first autocorrelation), ``statistic``, ``pvalue``
            (chi-squared, a degree of freedom a lag). NaN for series with fewer than 10 errors.

        Notes
        -----
        ``statistic`` = n (n + 2) sum_k r_k^2 / (n - k), r_k the autocorrelations of `resid_recursive` in order of x. Estimated
        parameters take no degree of freedom: in simulations of 25 to 200 observations with estimated smoothing 5 % of tests reject
        at a nominal 5 % (2 to 8 % by curve), and 8 % with one degree less. `resid_standardized` would not do: they are correlated
        under the right model, and up to 22 % of such tests reject.

        References
        ----------
        G. Ljung and G. Box (1978), "On a measure of lack of fit in time series models". A. C. Harvey (1989), *Forecasting,
        structural time series models and the Kalman filter*, section 5.4.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 100)
        >>> y = np.sin(6 * x) + 0.1 * np.random.default_rng(0).standard_normal(100)
        >>> test = sf.SmoothingSpline(sf.observe(x, y)).fit().test_serial_correlation()
        >>> bool(test.loc["f", "pvalue"] > 0.05)
        True
        """
        from .serial import test_of_curve

        return test_of_curve(self._diagnosed, lags)

    @framed
    def outliers(self, alpha: float = 0.05) -> pd.DataFrame:
        """Observations, level shifts and slope breaks that the fit does not explain, by auxiliary residuals.

        Parameters
        ----------
        alpha : float
            Level of the test of each kind: the chance that a fit without outliers reports any of that kind.

        Returns
        -------
        pandas.DataFrame
            ``kind`` ("observation", "level shift", "slope break"), ``name`` of an observation, ``x``, ``effect`` and ``se`` (how
            far the observation lies from the fit without it, or f or f' jumps there), ``statistic`` = effect / se, ``p_value``
            adjusted for the number of tests (Bonferroni), ``row`` of an observation among the observations (-1 for others); the
            most significant first. Of neighbouring shifts all beyond the level only the largest is listed.

        Notes
        -----
        A. C. Harvey and S. J. Koopman (1992), "Diagnostic checking of unobserved-components time series models". The noise
        and the smoothing are those of the fit, outliers included: remove the largest, fit again and look again.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + np.where(x == x[7], 0.1, 0.0)
        >>> found = sf.SmoothingSpline(sf.observe(x, y, sd=0.01), order=3).fit(lam=1).outliers()
        >>> print(found[["kind", "x", "effect", "se"]].head(1).round(2))
                  kind    x  effect    se
        0  observation  3.0     0.1  0.02
        """
        from .outliers import outliers

        return outliers(self._unexplained, alpha)

    @property
    def _unexplained(self) -> Unexplained:
        return Unexplained(self.observations, self.df_interval, self._resid_standardized, self._loo_resid, self._changes())

    def _changes(self) -> list[Change]:
        """Estimates of sudden changes, by kind."""
        return []

    def plot_diagnostics(self, ax: Any = None) -> npt.NDArray[Any]:
        """Draw standardised one-step-ahead prediction errors in six panels.

        The panels are: errors over x, errors against fitted values, observations against fitted values, the distribution of the
        errors, their normal quantiles, and their autocorrelations. Under the model the errors are independent and standard normal.
        Grey ranges contain 95 % of the quantiles and autocorrelations of independent normal errors, each by itself; the title
        reports the test of all lags together, `test_serial_correlation`.

        Parameters
        ----------
        ax : sequence of 6 matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
        """
        from .plotting import plot_diagnostics

        return plot_diagnostics(self._diagnosed, ax)
