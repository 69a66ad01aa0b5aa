"""The noise of a spline regression: its SDs, correlations and sensors, residuals, and what contradicts the model in them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .._entry import entry_point
from .._validation import FloatArray
from ..results.influence import left_free
from ..results.misfit import Misfit
from ..results.mixtures import critical_value
from ..results.protocols import Change
from .correlation import Correlation, Markov
from .inference import Inference
from .misfits import level_shifts, misfits_of_fit
from .recursive import recursive_residuals
from .sensors import sensed

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class NoiseResults(Inference):
    """Estimates of the noise, and residuals; the part of `SplineRegressionResults` about them."""

    @property
    def scale(self) -> float:
        return self._fit.scale

    @property
    def boundary(self) -> tuple[str, ...]:
        """``"lam"`` (``"lam[j]"`` of several) where it is infinite or zero, and names whose SD is indistinguishable from zero.

        ``"name rho"`` or ``"name timescale"`` where a parameter of correlated errors ran to an end of its range, ``"scale.name"``
        ``"lag.name"`` or ``"response_time.name"`` where one of these did.
        """
        ends = tuple(f"{label} {kind.parameter}" for label, kind, end, _ in self._chains if end)
        return (*self._fit.estimate.boundary, *ends, *self.range_ends)

    @property
    def errors(self) -> dict[str, Correlation]:
        """Correlation of the errors of each series that has correlated ones, with estimated parameters."""
        return self._fit.errors

    @property
    def _chains(self) -> list[tuple[str, Markov, str, float]]:
        """Of each series with estimated errors: its name, their kind, what they are where that is an end, and the se of theta."""
        search = self._fit.correlated
        if search is None:
            return []
        minimum, found = search.minimum, []
        inside = ~(minimum.at_lower | minimum.at_upper)
        variance = np.full(len(inside), np.nan)
        variance[inside] = np.diag(np.linalg.inv(search.hessian[np.ix_(inside, inside)] / 2))
        for j, i in enumerate(search.names):
            kind = self._fit.rows.errors[i]
            assert isinstance(kind, Markov)
            end = kind.at_end[int(minimum.at_upper[j])] if not inside[j] else ""
            found.append((self.observations.names[i], kind, end, float(np.sqrt(variance[j]))))
        return found

    @property
    def error_params(self) -> pd.DataFrame:
        """Estimated parameters of correlated errors: one row for each series, ``estimate``, ``bse``, ``ci_lower``, ``ci_upper``.

        Standard errors are those of the likelihood at its best in all else; intervals, of level 0.95, are normal in atanh rho and
        in log timescale. NaN at a boundary.
        """
        import pandas as pd

        rows, half = {}, critical_value(0.05, np.inf)
        for name, kind, _, se in self._chains:
            ends = [np.nan, np.nan] if np.isnan(se) else [kind.at(kind.theta + sign * half * se).value for sign in (-1, 1)]
            rows[f"{name} {kind.parameter}"] = [kind.value, se * kind.by_theta, *ends]
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "bse", "ci_lower", "ci_upper"], dtype=np.float64)

    @property
    def sensor_params(self) -> pd.DataFrame:
        """Estimated scales, lags and response times of series: ``estimate``, ``bse``, ``ci_lower``, ``ci_upper``, of level 0.95.

        Lags and response times are in the unit that x is counted in. Standard errors are those of the likelihood at its best in all
        else. Intervals are quantiles of the posterior, with smoothing and SDs integrated out, or, if these are taken for known
        (see `get_prediction`), normal in a lag and in the logarithms of the others.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 40)
        >>> obs = sf.observe(x, np.sin(x), sd=0.01, name="a") + sf.observe(x, 2 * np.sin(x), sd=0.01, name="b", scale="estimate")
        >>> res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 6, 6)).fit()
        >>> round(float(res.sensor_params.loc["scale.b", "estimate"]), 2)
        2.0
        """
        import pandas as pd

        search, rows, half = self._fit.sensed, {}, critical_value(0.05, np.inf)
        integrated = self.hyperparameter_intervals() if search is not None and self._is_integrated else None
        for j, (label, value) in enumerate(self._sensed.items()):
            assert search is not None
            theta, at_end = search.minimum.theta, search.minimum.at_lower | search.minimum.at_upper
            se = np.full(len(theta), np.nan)
            se[~at_end] = np.sqrt(np.diag(np.linalg.inv(search.hessian[np.ix_(~at_end, ~at_end)] / 2)))
            ends = [float(search.sensors.numbers(theta + sign * half * se)[j]) for sign in (-1, 1)]
            if integrated is not None:
                ends = [float(integrated[end][label]) for end in ("ci_lower", "ci_upper")]
            rows[label] = [value, float((se * search.sensors.slopes(theta))[j]), *ends]
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "bse", "ci_lower", "ci_upper"], dtype=np.float64)

    def test_sensors(self) -> pd.DataFrame:
        """Test of each estimated scale, lag and response time that the series needs none, by the likelihood ratio.

        Returns
        -------
        pandas.DataFrame
            One row for each, as in `sensor_params`: ``null``, a scale of one, a lag or a response time of zero; ``lr``, twice the
            gain of the log-likelihood over its maximum there, all else estimated again, by the method of the fit and without
            `constraints`; ``pvalue``, the tail of chi-squared with one degree of freedom, and half of it for a response time, which
            is not negative. These laws are asymptotic: of short series the test of a response time rejects somewhat too often.

        References
        ----------
        S. G. Self and K.-Y. Liang (1987), "Asymptotic properties of maximum likelihood estimators and likelihood ratio tests under
        nonstandard conditions", *Journal of the American Statistical Association* 82.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x, rng = np.linspace(0, 6, 40), np.random.default_rng(0)
        >>> first = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(40), name="a")
        >>> second = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(40), name="b", scale="estimate")
        >>> res = sf.SplineRegression(first + second, sf.BSplineBasis.uniform(0, 6, 6)).fit()
        >>> bool(res.test_sensors().loc["scale.b", "pvalue"] > 0.05)
        True
        """
        import pandas as pd

        fit, rows = self._fit, {}
        search, lam = fit.sensed, fit.lam if fit.fixed == "lam" else None
        for j, label in enumerate(self._sensed):
            assert search is not None
            null, sensors = search.sensors.without(j)
            least = sensed(fit.specification.sensor_profile(sensors, fit.specification.rows, fit.method, lam)).minimum.value
            lr = max(least - search.minimum.value, 0.0)
            tail = float(stats.chi2.sf(lr, 1))
            rows[label] = [null, lr, tail if search.sensors.kinds[j] != "response_time" else tail / 2 if lr > 0 else 1.0]
        return pd.DataFrame.from_dict(rows, orient="index", columns=["null", "lr", "pvalue"], dtype=np.float64)

    @property
    def sigma(self) -> pd.Series:
        """Noise SD per series, for observations of weight 1: estimated, or the given one (root mean square if it varies)."""
        import pandas as pd

        values = self._fit.sds(self._fit.estimate.log_sigma2)
        return pd.Series(values, index=list(self.observations.names), name="sigma")

    @property
    def _noise_variance(self) -> FloatArray:
        rows = self._fit.rows
        return rows.variances * self._fit.sigma2[rows.group]

    @property
    def _fittedvalues(self) -> FloatArray:
        return self._fit.fittedvalues

    @property
    def _leverage(self) -> FloatArray:
        return self._fit.leverage

    @property
    def resid_whitened(self) -> Any:
        """Residuals made independent and divided by their SDs, W D^-1 (y - L f) / sigma with W as in `errors`; as `fittedvalues`.

        D holds the known part of the noise SDs. Without correlated errors they are residuals over the noise SDs; with AR1 or OU
        the part of a residual that the one before it does not predict. statsmodels calls them ``wresid``, there without the sigma.
        """
        return self._labelled(self._fit.resid_whitened, "resid_whitened")

    @property
    def _resid_standardized(self) -> FloatArray:
        """Whitened residuals over sqrt(1 - leverage), shape (n,), of variance one; NaN where the curve interpolates."""
        return self._fit.resid_standardized

    @cached_property
    def _resid_recursive(self) -> FloatArray:
        """Recursive residuals, shape (n,): the errors of predictions from the observations before in x, over their SDs.

        With correlated errors those of the whitened observations. NaN for the first observations that determine what no penalty
        touches. See the module ``smoothfit.regression.recursive``.
        """
        return recursive_residuals(self._fit)

    @cached_property
    def misfits(self) -> tuple[Misfit, ...]:
        """What contradicts the model in the prediction errors and the observations, of which `fit` warns; empty if nothing does.

        See ``smoothfit.results.misfit``. Not looked for in fits with another loss than squares, with a robust `cov_type`, with a
        smoothing that was given, or chosen by gcv or aicc, and to chunks; nor in series whose SD is estimated as zero, and of fewer
        than 20 prediction errors; level shifts not with correlated errors and in surfaces, whose errors are in the order of the
        rows. Of more than 1000 observations, five stretches are tested.
        """
        return misfits_of_fit(self._fit, self.boundary)

    def _changes(self) -> list[Change]:
        return level_shifts(self._fit)

    @property
    def _loo_resid(self) -> FloatArray:
        """Leave-one-out residuals at the fitted parameters: observations minus predictions without them, shape (n,).

        With correlated errors the prediction is that of the observation, from the curve and the errors of all others: the
        observation less its mean given them. NaN where the curve interpolates an observation.
        """
        residual, _, leverage = self._fit.deleted
        return residual / left_free(leverage)
