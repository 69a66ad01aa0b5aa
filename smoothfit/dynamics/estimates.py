"""Estimated coefficients and noises with their uncertainty, under statsmodels' names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray
from ..results import Estimate, Results
from .delayed import DelayPosterior
from .fit import Fit, Model
from .likelihood import StateSpace
from .methods.base import Fitted
from .posterior import Posterior

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.stats.contrast import ContrastResults


@entry_point
class Estimates(Results):
    """What a method found: parameters, standard errors, intervals, tests, criteria, residuals.

    Tests are of the coefficients, with the covariance of `cov_type`; noise parameters have `test_noise`: zero is their boundary.

    Attributes
    ----------
    model : DerivativeRegression
    method : str
    options : dict
        Of the method.
    fitted : smoothfit.dynamics.methods.Fitted
    cov_type : str
    """

    use_t = False
    _tests_elsewhere = "; noises have test_noise()"

    def __init__(self, fit: Fit):
        self._fit = fit

    @property
    def model(self) -> Model:
        """The `DerivativeRegression` that was fitted."""
        return self._fit.model

    @property
    def method(self) -> str:
        """Name of the estimation method, such as "kalman"."""
        return self._fit.method

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method by name, defaults included."""
        return self._fit.options

    @property
    def fitted(self) -> Fitted:
        """What the method found, for those who want its internals."""
        return self._fit.found

    @property
    def cov_type(self) -> str:
        """Kind of the covariance of the coefficients, such as "nonrobust" or "HAC"."""
        return self._fit.cov_type

    @property
    def params(self) -> pd.Series:
        """Coefficients of the equation in continuous time, then estimated noise parameters.

        ``q`` is the intensity of the process noise (variance of its integral per unit of t), ``sigma`` the SD of the
        measurement noise. With hidden states there are ``q0``, ``q1``, ..., of a noise and of derivatives of other noises; of
        several outputs one by state, ``q.y1``, ..., ``q.x3``.
        """
        import pandas as pd

        names = [*self.model.equation.names, *self.fitted.noise]
        return pd.Series([*self.fitted.theta, *self.fitted.noise.values()], index=names, name="params", dtype=float)

    @property
    def coefficients(self) -> FloatArray:
        """The coefficients alone, shape (k,)."""
        return self.fitted.theta

    def cov_params(self) -> pd.DataFrame:
        import pandas as pd

        names = self.params.index
        return pd.DataFrame(self._fit.cov_params.copy(), index=names, columns=names)

    @property
    def _posterior(self) -> Posterior | None:
        return self._fit.posterior

    @property
    def _integrates(self) -> bool:  # type: ignore[override]
        return self._posterior is not None

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of `params`.

        After "kalman" equal-tailed ones of the posterior, which integrates over all parameters (docs: theory of equations),
        unless a normal law has the same, or the equation is of an order above three, of more than nine coefficients of outputs and
        ratios of noises (13 if hidden states are behind several outputs), or of a long sample (more than 20 000 times; with more
        than two such parameters 1000), or has fixed coefficients or priors. Else normal; of noises normal on the logarithmic scale.
        An estimated delay is integrated as well, in normal intervals to first order.
        """
        import pandas as pd

        if self._posterior is None:
            return super().conf_int(alpha)
        rows = np.eye(len(self.fitted.theta))
        noises = self._posterior.noise_intervals(alpha)[self._estimated_noises]
        return pd.DataFrame(np.vstack([self._posterior.intervals(rows, alpha), noises]), index=self.params.index)

    @property
    def _estimated_noises(self) -> list[bool]:
        """Which of the intensities and unknown noise SDs are among `params`."""
        return [name in self.fitted.noise for name in StateSpace(self.model.equation, self.model.sample).variance_names]

    @property
    @framed
    def hyperparameters(self) -> pd.DataFrame:
        """Posterior of `params` by draws of all of them together, in the user's units, with the same ``weight``, one in sum.

        An estimated delay has a column of its own. A single row, the estimates, if nothing was integrated; see `conf_int`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> draws = sf.DerivativeRegression(y, t, intercept=False).fit().hyperparameters
        >>> list(draws.columns), round(float(draws["weight"].sum()), 6)
        (['y', 'q', 'sigma', 'weight'], 1.0)
        """
        import pandas as pd

        if self._posterior is None:
            return pd.DataFrame([self.params.to_dict() | {"weight": 1.0}]).rename_axis("node")
        values, model = self._posterior.for_quantiles, StateSpace(self.model.equation, self.model.sample)
        noises = np.column_stack([values.q, np.sqrt(values.sigma2[:, model.unknown])])[:, self._estimated_noises]
        frame = pd.DataFrame(np.column_stack([values.theta, noises]), columns=self.params.index)
        if values.delay is not None:
            frame["delay"] = values.delay
        return frame.assign(weight=1 / len(frame)).rename_axis("node")

    def plot_hyperparameters(self, ax: Any = None) -> npt.NDArray[Any]:
        """Draw the posterior density of each of `params`, of the logarithm of a noise, with its estimate and its interval.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or sequence of these, optional
            One for each of `params`.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> axes = sf.DerivativeRegression(y, t, intercept=False).fit().plot_hyperparameters()
        >>> len(axes)  # y, q and sigma
        3
        >>> plt.close()
        """
        from ..results.plotting import PROBABILITIES, plot_posteriors

        quantiles = None if self._posterior is None else self.hyperparameters.quantile(PROBABILITIES)
        return plot_posteriors(quantiles, self.params, self.conf_int(), ax, self._is_positive)

    @property
    def delay(self) -> Estimate:
        """How much later inputs act, in the unit of t, with an interval of highest density if it is estimated.

        After "kalman" the density is the posterior; if intervals are of a normal law, it is the profile likelihood.
        """
        found = self._fit.delay
        if found is not None:
            return Estimate(found.value, found.se, ends=self._ends_of_delay)
        value = self.model.sample.delay
        return Estimate(value, 0.0, ends=lambda alpha: (value, value))

    def _ends_of_delay(self, alpha: float) -> tuple[float, float]:
        """Interval of the estimated delay."""
        assert self._fit.delay is not None
        posterior = self._posterior
        return (posterior.of_delay if isinstance(posterior, DelayPosterior) else self._fit.delay.law).interval(alpha)

    @property
    def _is_set(self) -> npt.NDArray[np.bool_]:
        """Which of `params` are fixed, or at a bound."""
        equation = self.model.equation
        found = np.append(equation.is_fixed, np.zeros(len(self.fitted.noise), np.bool_))
        found[list(equation.at_bounds(self.fitted.theta))] = True
        return found

    @property
    def tvalues(self) -> pd.Series:
        """Estimates over standard errors; NaN of fixed coefficients."""
        found = super().tvalues
        found[self._is_set] = np.nan
        return found

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of zero: of coefficients after "kalman" by the posterior that `conf_int` is of, else normal.

        Those of noises are normal, and a convention of statsmodels rather than tests: zero is their boundary.
        """
        found = super().pvalues
        found[self._is_set] = np.nan
        if self._posterior is not None:
            k = len(self.fitted.theta)
            found.iloc[:k] = self._posterior.p_values(np.eye(k), np.zeros(k))
        return found

    def t_test(self, r_matrix: Any, q_matrix: Any = 0.0) -> ContrastResults:
        """Test linear combinations of coefficients, each by itself; see `Results.t_test`.

        After "kalman" p-values and intervals are those of the posterior that `conf_int` is of.
        """
        found = super().t_test(r_matrix, q_matrix)
        if self._posterior is not None:
            rows, values = self._combinations(r_matrix, q_matrix)
            found.pvalue = self._posterior.p_values(rows, values)
            found.conf_int = partial(self._posterior.intervals, rows)
        return found

    @property
    def _cov_theta(self) -> FloatArray:
        k = len(self.fitted.theta)
        return self._fit.cov[:k, :k]

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        return self.fitted.is_noise

    @property
    def _tested(self) -> list[str]:
        return self.model.equation.names

    @property
    def df_interval(self) -> float:
        """Degrees of freedom of intervals: infinite, they are normal."""
        return np.inf

    @property
    def _fitted_by(self) -> tuple[str, str, float | None]:
        return "ml", "squares", None  # every method's likelihood is of all observations

    @property
    def _observed(self) -> FloatArray:
        return self.model.sample.y

    @property
    def llf(self) -> float:
        """Log-likelihood at the estimate, given the first observations, which fix initial states; NaN where a method has none."""
        return self.fitted.llf

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        return self._fit.n_likelihood

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 llf + 2 (number of parameters), in which every observation counts.

        Likelihoods of different orders are given different numbers of first observations. To be compared, the first of each run
        counts with the normal density of all observations, others with that of the steps between neighbours.
        """
        return self._deviance + 2 * self._n_likelihood[0]

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 llf + log(observations) (number of parameters), in which every observation counts as in `aic`."""
        return self._deviance + float(np.log(self.nobs)) * self._n_likelihood[0]

    @property
    def _deviance(self) -> float:
        sample = self.model.sample
        unexplained = max(0, self.nobs - self.fitted.n_rows)
        first = min(unexplained, len(sample.labels))  # one in each run; the next are near their neighbours
        alone, beside = [], []
        for column in sample.y.T:
            known = np.isfinite(column)
            steps = np.diff(column[known])[np.diff(sample.run[known]) == 0]
            if not np.ptp(column[known]) > 0:  # a known start
                continue
            alone.append(np.log(2 * np.pi * np.var(column[known])) + 1)
            beside.append(np.log(2 * np.pi * np.mean(steps**2)) + 1 if steps.any() else alone[-1])
        return -2 * self.llf + first * float(np.mean(alone)) + (unexplained - first) * float(np.mean(beside))

    @property
    def nobs(self) -> int:
        return self.model.sample.n_readings

    @property
    def df_model(self) -> int:
        """Number of coefficients that are estimated; `edf` is that of the smoothed curve."""
        return len(self.fitted.theta) - int(self.model.equation.is_fixed.sum())

    @property
    def df_resid(self) -> int:
        """Rows that the estimate uses, less the number of coefficients."""
        return self.fitted.n_rows - self.df_model

    @property
    def library(self) -> str | None:
        labels = self.model.sample.labels_of_rows
        return None if labels is None else labels.library

    def _labelled(self, values: FloatArray, name: str) -> Any:
        return self.model.sample.as_given(values, name)

    @property
    def resid(self) -> Any:
        """Residuals by row and output or series; NaN if there is none, (n,) of one column. Labelled as `fittedvalues`.

        Standardised one-step prediction errors of "kalman"; what the method's noise is estimated to be elsewhere.
        """
        return super().resid

    @property
    def _resid(self) -> FloatArray:
        resid = self.fitted.resid[self.model.sample.rows]
        return resid[:, 0] if resid.shape[1] == 1 else resid

    @property
    def q(self) -> FloatArray:
        """Intensity of the process noise by output; zero where the method has none."""
        return self.fitted.q

    @property
    def sigma(self) -> pd.Series:
        """Noise SD of each series; of a series with given SDs one, in units of these."""
        import pandas as pd

        names = [channel.name for channel in self.model.sample.channels]
        return pd.Series(np.sqrt(self.fitted.sigma2), index=names, name="sigma", dtype=float)

    @property
    def scale(self) -> float:
        unknown = [i for i, channel in enumerate(self.model.sample.channels) if not channel.known]
        return float(self.fitted.sigma2[unknown[0]]) if unknown else 1.0

    @property
    def boundary(self) -> tuple[str, ...]:
        """Noise parameters that are estimated as zero."""
        return self.fitted.boundary
