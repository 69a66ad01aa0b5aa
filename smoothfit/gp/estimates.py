"""Estimated hyperparameters of a Gaussian process, with their uncertainty, and its likelihood."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._entry import entry_point, warn
from .._validation import FloatArray, frozen
from ..errors import IntegrationWarning, NumericalError
from ..inference.marginal import HyperparameterPosterior, integrate
from ..results import Results
from ..results.integrated import Integrated
from ..results.misfit import Misfit
from .engine import DenseEngine
from .fit import Fit
from .kernels import Kernel
from .misfits import misfits_of_process
from .terms import ALL

if TYPE_CHECKING:
    import pandas as pd

    from ..observations.points import PointObservations
    from .protocols import Specified


MOST_INTEGRATED = 300  # observations: a node of the integration takes time O(n^3), 20 ms for so many


@entry_point
class Hyperparameters(Results, Integrated):
    """Estimates of a kernel, of the noise and of the mean by the restricted likelihood.

    Attributes
    ----------
    use_t : bool
        Whether intervals are Student's: the amplitude and every SD that is not zero were estimated, no scale was given.
    """

    observations: PointObservations

    def __init__(self, model: Specified, fit: Fit):
        self.model = model
        self.observations = model.observations
        self.route = fit.route
        self._fit = fit
        self.use_t = fit.parameters.profiled

    # Hyperparameters --------------------------------------------------------------------------------------------------

    @property
    def amplitude(self) -> float:
        """Prior standard deviation of f about its mean, estimated or given, in units of y."""
        return float(self._fit.estimates.amplitude * self.model.rows.y_unit)

    @property
    def length_scale(self) -> pd.Series:
        """Length scale of each input, estimated or given, in its units."""
        import pandas as pd

        return pd.Series(self._fit.estimates.length * self.model.rows.x_unit, index=list(self.model.inputs), name="length_scale")

    @property
    def sigma(self) -> pd.Series:
        """Noise SD per series, for observations of weight 1: estimated, or given (root mean square where it varies)."""
        import pandas as pd

        rows, sds = self.model.rows, {}
        for reading in self.observations.readings:
            if reading.sd is None:
                group = rows.unknown.index(reading.name)
                sds[reading.name] = float(np.sqrt(self._fit.estimates.sigma2[group]) * rows.group_unit[group])
            else:
                largest = float(reading.sd.max()) or 1.0
                sds[reading.name] = largest * float(np.sqrt(np.mean((reading.sd / largest) ** 2)))
        return pd.Series(sds, name="sigma", dtype=float)

    @cached_property
    def kernel(self) -> Kernel:
        """The kernel with its length scales and amplitude, estimated or given.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.Matern52(length_scale=2)
        >>> res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.1).fit()
        >>> res.kernel.length_scale, res.kernel.amplitude == res.amplitude
        ((2.0,), True)
        """
        shared = not self.model.kernel.ard
        lengths = self.length_scale.tolist()
        return type(self.model.kernel)(lengths[0] if shared else lengths, self.amplitude, self.model.kernel.ard)

    @property
    def params(self) -> pd.Series:
        """Estimated hyperparameters: ``amplitude``, ``length_scale.<input>``, ``sigma.<name>``, as far as they were not given."""
        import pandas as pd

        parameters, values = self.model.parameters, {}
        if parameters.amplitude is None:
            values["amplitude"] = self.amplitude
        for j in parameters.by:
            name = "length_scale" if j == ALL else f"length_scale.{self.model.inputs[j]}"
            values[name] = float(self.length_scale.iloc[0 if j == ALL else j])
        for name in self.model.rows.unknown:
            values[f"sigma.{name}"] = float(self.sigma[name])
        return pd.Series(values, name="params", dtype=float)

    @property
    def engine(self) -> DenseEngine:
        return self._fit.engine

    @property
    def theta_hat(self) -> FloatArray:
        return self._fit.theta_hat

    @cached_property
    def parameter_posterior(self) -> HyperparameterPosterior:
        """Posterior of the hyperparameters, as weighted nodes: what intervals, bands and draws integrate over.

        A single node, the estimates, if all are given, if their uncertainty changes no interval by a percent, and of more
        than 300 observations, of which dense algebra at many nodes takes minutes. Intervals are then those at the estimates.

        Warns
        -----
        IntegrationWarning
            If dense algebra cannot compute the likelihood where it is high, so that the estimates are the only node.
        """
        if self.nobs <= MOST_INTEGRATED:
            try:
                return integrate(self.engine, self.theta_hat)
            except NumericalError as error:
                warn(
                    f"intervals treat the hyperparameters as known: {error}; estimate the noise SD, or give a larger one",
                    IntegrationWarning,
                )
        scale2 = float(self._fit.estimates.amplitude) ** 2 if self.use_t else 1.0
        theta, weight, scale = (frozen(part.copy()) for part in (self.theta_hat[None], np.ones(1), np.array([scale2])))
        return HyperparameterPosterior(theta, weight, scale, self.df_interval, is_single=True)

    @cached_property
    def _at_nodes(self) -> dict[str, tuple[FloatArray, float]]:
        rows, parameters = self.model.rows, self.model.parameters
        values, power = self.engine.values(self.parameter_posterior.theta), float(self.use_t)
        found = {}
        if parameters.amplitude is None:
            found["amplitude"] = values.amplitude * rows.y_unit, power
        for j in parameters.by:
            i, name = max(j, 0), "length_scale" if j == ALL else f"length_scale.{self.model.inputs[j]}"
            found[name] = values.length[:, i] * rows.x_unit[i], 0.0
        for group, name in enumerate(rows.unknown):
            found[f"sigma.{name}"] = np.sqrt(values.sigma2[:, group]) * rows.group_unit[group], power
        return found

    @property
    def _plotted(self) -> tuple[pd.Series, pd.DataFrame]:
        return self.params, self.conf_int()

    @property
    def _at_estimates(self) -> dict[str, float]:
        return {str(name): float(value) for name, value in self.params.items()}

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of `params`: quantiles of their posterior.

        If nothing was integrated (see `parameter_posterior`), they are normal on the logarithmic scale.
        """
        frame = super().conf_int(alpha)
        for name in self._at_nodes if self._is_integrated else ():
            frame.loc[name] = self._interval_of(name, alpha)
        return frame

    @property
    def boundary(self) -> tuple[str, ...]:
        """Names of `params` whose optimum is at a bound of the search.

        ``sigma.<name>``: 2^-17 of the prior SD of what is observed, indistinguishable from zero. ``length_scale.<input>``: endless
        (the input has no influence, or f is a polynomial or a spline), or shorter than the gaps. ``amplitude``:
        indistinguishable from zero beside the noise.
        """
        parameters, names = self.model.parameters, list(self.params.index)
        skipped = int(parameters.profiled)
        found = set()
        for i in np.flatnonzero(self._fit.optimum.at_lower | self._fit.optimum.at_upper).tolist():
            is_ratio = i + skipped >= parameters.ratios.start
            no_signal = is_ratio and self._fit.optimum.at_upper[i] and parameters.amplitude is None
            found.add("amplitude" if no_signal else names[i + skipped])
        return tuple(name for name in names if name in found)

    @cached_property
    def misfits(self) -> tuple[Misfit, ...]:
        """What contradicts the model in the prediction errors and the observations, of which `fit` warns; empty if nothing does.

        See ``smoothfit.results.misfit``. In one input errors are in order of x, and else in the order of the rows, so that noise
        that changes, or errors that are alike, in that order are found, too. Level shifts are looked for in one input. Series with
        an SD at its lower limit and of fewer than 20 prediction errors are not tested, nor is a model of which nothing was
        estimated; of more than 1000 observations, five stretches are.
        """
        if not self._fit.parameters.n_free:
            return ()
        fit, sds = self._fit, {name: 0.0 if f"sigma.{name}" in self.boundary else sd for name, sd in self.sigma.items()}
        return misfits_of_process(self.observations, fit.rows, fit.kernel, fit.estimates, list(sds.values()))

    @cached_property
    def _cov_log_params(self) -> FloatArray:
        """Covariance of the logarithms of `params`; NaN for one at a boundary."""
        parameters = self.model.parameters
        n_free = parameters.n_free
        cov = np.full((n_free, n_free), np.nan)
        held = np.zeros(n_free, np.bool_)
        held[int(parameters.profiled) :] = self._fit.optimum.at_lower | self._fit.optimum.at_upper
        free = np.flatnonzero(~held)
        logs = parameters.to_logs
        information = self._fit.information[np.ix_(free, free)]
        known = ~self.params.index.isin(self.boundary)
        if len(free) and np.linalg.eigvalsh(information).min() > 0:
            of_logs = logs[:, free] @ np.linalg.solve(information, logs[:, free].T)
            of_logs = (of_logs + of_logs.T) / 2
            cov[np.ix_(known, known)] = of_logs[np.ix_(known, known)]
        return cov

    def cov_log_params(self) -> pd.DataFrame:
        """Return the covariance of the logarithms of `params`, the inverse of the observed information; NaN at a boundary.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.GaussianProcess(x, np.sin(x), sf.gp.Matern52(), sd=0.1).fit()
        >>> cov = res.cov_log_params()
        >>> list(cov.columns), bool(np.allclose(np.diag(cov), res.bse_log**2))
        (['amplitude', 'length_scale.x'], True)
        """
        import pandas as pd

        return pd.DataFrame(self._cov_log_params, index=self.params.index, columns=self.params.index)

    @property
    def bse_log(self) -> pd.Series:
        """Standard errors of the logarithms of `params`."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self._cov_log_params)), index=self.params.index, name="bse_log")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`: that of the logarithms, and the delta method."""
        values = self.params.to_numpy()
        return self.cov_log_params() * np.outer(values, values)

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self.params), np.bool_)

    @property
    def _standard_errors(self) -> FloatArray:
        return np.asarray(self.bse_log * self.params)

    @property
    def scale(self) -> float:
        unknown = self.model.rows.unknown
        return float(self.sigma[unknown[0]]) ** 2 if unknown else 1.0

    @property
    def mean_coef(self) -> pd.Series:
        """Coefficients of the mean in the user's units: ``const``, the mean at the origin, and a slope for each input."""
        import pandas as pd

        transform, origin = self._mean_transform
        values = transform @ self._fit.posterior.coef
        if len(values):
            values[0] += origin
        return pd.Series(values, index=self._mean_names, name="mean_coef", dtype=float)

    def cov_mean_coef(self) -> pd.DataFrame:
        """Return the posterior covariance of `mean_coef`, hyperparameters given.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.GaussianProcess(x, np.sin(x), sf.gp.Matern52(), sd=0.1, mean="linear").fit()
        >>> cov = res.cov_mean_coef()
        >>> list(cov.columns) == list(res.mean_coef.index), bool((np.diag(cov) > 0).all())
        (True, True)
        """
        import pandas as pd

        transform, _ = self._mean_transform
        return pd.DataFrame(
            transform @ self._fit.posterior.coef_cov @ transform.T, index=self._mean_names, columns=self._mean_names
        )

    @property
    def _mean_names(self) -> list[str]:
        return ["const", *self.model.inputs][: self.model.rows.n_terms]

    @property
    def _mean_transform(self) -> tuple[FloatArray, float]:
        """Matrix from coefficients in scaled units to the user's, and the origin of y."""
        rows = self.model.rows
        transform = np.eye(rows.n_terms) * rows.y_unit
        if rows.n_terms > 1:
            transform[1:] /= rows.x_unit[:, None]
            transform[0, 1:] = -rows.y_unit * rows.x_origin / rows.x_unit
        return transform, rows.y_origin

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Restricted log-likelihood, -1/2 [(n - p) log 2 pi + log|K| + log|H'K^-1 H| - log|H'H| + y'P y].

        A density of n - p contrasts of the observations; with ``mean="zero"`` the full marginal likelihood. Compare values at one
        `mean` only.
        """
        rows = self.model.rows
        log_det, quadratic = self._fit.posterior.log_det_and_quadratic
        core = -0.5 * (rows.n_contrasts * np.log(2 * np.pi) + log_det + quadratic)
        return float(core - rows.log_units + rows.log_det_design / 2)

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        return len(self.params), self.model.rows.n_contrasts

    @property
    def decrement(self) -> float:
        """The convergence criterion: g'H^-1 g, twice the distance of -2 llf from its minimum."""
        return self._fit.optimum.decrement

    @property
    def df_interval(self) -> float:
        """Degrees of freedom of intervals: n - p where `use_t`, else infinite."""
        return self.model.rows.n_contrasts if self.use_t else np.inf

    @property
    def _convergence(self) -> str:
        if not len(self._fit.optimum.theta):
            return "in closed form" if len(self.params) else "nothing to search"
        if self.boundary:
            return "at a boundary"
        return "on a plateau" if self._fit.optimum.on_plateau else "yes"
