"""The estimated parameters of a smoothing spline and their covariance."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._validation import FloatArray
from ..markov.criteria import LIKELIHOODS
from ..results.curve import CurveResults
from ..results.influence import LEAST_FREE
from ..results.integrated import Integrated
from .fit import Fit

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class Parameters(CurveResults, Integrated):
    """Estimated SDs, hyperparameters and coefficients, with their covariance."""

    fitted: Fit

    @property
    def method(self) -> str:
        """The criterion that was optimised."""
        return self.fitted.method

    @property
    def fixed(self) -> str | None:
        """What was given of the smoothing: ``"lam"``, ``"bandwidth"`` or ``"edf"``."""
        return self.fitted.fixed

    @property
    def boundary(self) -> tuple[str, ...]:
        """Parameters whose optimum is at a boundary.

        Of the plain smoothing spline: ``"q"`` (the curve is a polynomial), or the name of a series (its SD is zero). Of other
        models: names of `params` at a bound of the search; an intensity or amplitude there is zero.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, 2 * x + 0.01 * np.tile([1, -1, 0], 5), sd=0.1)).fit()
        >>> res.boundary, round(res.edf, 6)  # a line
        (('q',), 2.0)
        """
        return self.fitted.optimum.boundary

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, noise SD and whether it was estimated, for each series."""
        return self.fitted.posterior.noise_sds

    @property
    def effect_names(self) -> tuple[str, ...]:
        """Names of the coefficients: regressors, biases of series (``bias.<name>``), then interventions."""
        return self.fitted.posterior.effect_names

    @property
    def params(self) -> pd.Series:
        """Estimated parameters: ``sigma.<name>`` for each unknown noise SD, hyperparameters, coefficients."""
        import pandas as pd

        values = {f"sigma.{name}": sd for name, sd, estimated in self.noise_sds if estimated}
        found = self.fitted.posterior.hyperparameters
        values |= {name: found[name] for name in self._searched}
        values |= dict(zip(self.effect_names, self.fitted.posterior.effects[0].tolist(), strict=True))
        return pd.Series(values, name="params", dtype=float)

    @property
    def _searched(self) -> tuple[str, ...]:
        """Names of the hyperparameters that were estimated."""
        return tuple(name for name, is_noise in self.fitted.posterior.logs if not is_noise and name not in self.fitted.held)

    @property
    def _n_positive(self) -> int:
        """Number of SDs and hyperparameters among `params`; these are positive but for lags and correlations."""
        return sum(estimated for *_, estimated in self.noise_sds) + len(self._searched)

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        is_log = ~self.params.index.isin(list(self.fitted.posterior.slopes))
        return np.asarray((np.arange(len(self.params)) < self._n_positive) & is_log)

    @property
    def _tested(self) -> list[str]:
        return [*self.fitted.posterior.of_sensors, *self.effect_names] if self.effect_names else list(self.params.index)

    # Covariance -------------------------------------------------------------------------------------------------------

    @cached_property
    def _cov_logs(self) -> FloatArray:
        """Covariance (k, k) of the logarithms of all that was not given, by the observed information; NaN for what has none."""
        posterior, is_likelihood = self.fitted.posterior, self.fixed is None and self.method in LIKELIHOODS
        k = len(posterior.logs)
        covariance = np.full((k, k), np.nan)
        is_noise = np.array([noise for _, noise in posterior.logs], dtype=bool)
        inside = np.array([name not in (*self.boundary, *self.fitted.held) for name, _ in posterior.logs], dtype=bool)
        if not is_likelihood and posterior.is_relative and is_noise.sum() == 1 and (self.fixed is None or k == 2):
            if self.df_resid >= LEAST_FREE:  # RSS / sigma^2 as chi-squared on n - edf
                found = np.flatnonzero(is_noise & inside)
                covariance[found, found] = 1 / (2 * self.df_resid) / posterior.noise_factor**2
            return covariance
        # given a smoothing that no likelihood set, that of the others
        free = np.flatnonzero(inside if is_likelihood or self.fixed else inside & is_noise)
        if len(free):
            hessian = posterior.log_hessian(free, self.method if self.method in LIKELIHOODS else "reml")
            if np.linalg.eigvalsh(hessian).min() > 0:
                covariance[np.ix_(free, free)] = 2 * np.linalg.solve(hessian, np.eye(len(free)))
        return covariance

    @property
    def _cov_log_params(self) -> FloatArray:
        """Covariance of the logarithms of the SDs and hyperparameters among `params`."""
        logs, factor = self.fitted.posterior.logs, self.fitted.posterior.noise_factor
        order = [i for i, (_, is_noise) in enumerate(logs) if is_noise]
        order += [i for i, (name, is_noise) in enumerate(logs) if not is_noise and name not in self.fitted.held]
        factors = np.array([factor if logs[i][1] else 1.0 for i in order])
        return np.asarray(self._cov_logs[np.ix_(order, order)] * np.outer(factors, factors))

    @property
    def _slopes(self) -> FloatArray:
        """Derivatives of the SDs and hyperparameters among `params` by their coordinates: of logarithms, themselves."""
        slopes, params = self.fitted.posterior.slopes, self.params.iloc[: self._n_positive]
        known = zip(params.index, params.tolist(), strict=True)
        return np.array([slopes.get(name, value) for name, value in known], dtype=np.float64)

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`: observed information of the logarithms with the delta method, and of coefficients.

        NaN for a parameter at a boundary and for a smoothing chosen by gcv or aicc, which have no information matrix; 0 or infinite
        where a square leaves the range of floating-point numbers, unlike `bse`. The coefficients' is that at the estimated
        parameters, to first order independent of these, but for scales, lags and correlations of series, which move biases: theirs
        is carried over with the slopes of the coefficients by them.
        """
        import pandas as pd

        params, n = self.params, self._n_positive
        values = self._slopes
        cov = np.zeros((len(params), len(params)))
        with np.errstate(over="ignore", under="ignore"):  # q may be a number of which the square is none
            cov[:n, :n] = self._cov_log_params * values[:, None] * values
        cov[n:, n:] = self._cov_effects
        slopes = self.fitted.posterior.effects_by_sensors
        if slopes.size:
            cov[:n, n:] = values[:, None] * self._cov_log_params[:, n - slopes.shape[1] :] @ slopes.T
            cov[n:, :n] = cov[:n, n:].T
        return pd.DataFrame(cov, index=params.index, columns=params.index)

    @cached_property
    def _cov_effects(self) -> FloatArray:
        """Covariance of the coefficients, with that of scales, lags and correlations of series."""
        slopes = self.fitted.posterior.effects_by_sensors
        covariance = self.fitted.posterior.effects[1]
        if not slopes.size:
            return covariance
        places = slice(self._n_positive - slopes.shape[1], None)
        return np.asarray(covariance + slopes @ self._cov_log_params[places, places] @ slopes.T)

    @property
    def _standard_errors(self) -> FloatArray:
        of_logs = np.sqrt(np.diag(self._cov_log_params))
        return np.concatenate([of_logs * self._slopes, np.sqrt(np.diag(self._cov_effects))])
