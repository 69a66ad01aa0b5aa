"""What a smoothing spline estimates besides its curve: SDs, hyperparameters, coefficients, likelihoods."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..inference.engine import Moments
from ..markov.criteria import LIKELIHOODS
from ..results.misfit import Misfit, Remedies, even_stretches, misfits_of
from ..results.mixtures import critical_value, mixture
from ..results.range_ends import RangeEnd
from .checks import lacks_harmonics
from .engine import StateSpaceEngine
from .estimation import Optimum
from .extent import power_of
from .fitting import Variances
from .markov_engine import MarkovEngine
from .parameters import Parameters
from .robust import Robustness
from .wiener_engine import WienerEngine

if TYPE_CHECKING:
    import pandas as pd

REMEDIES = Remedies(
    outlier="see outliers(); correct or leave out these observations, or fit(robust=True)",
    level_shift="see outliers(); pass interventions=[sf.Level(x)]",
    autocorrelation="give the noise a process, noise={{{0!r}: sf.priors.OrnsteinUhlenbeck()}}, or the curve another order= or "
    "prior=",
    rounding="pass the step, observe(..., resolution={0:.4g})",
)


@entry_point
class Estimated(Parameters):
    """Estimates with their uncertainty."""

    model: Any

    @property
    def robustness(self) -> Robustness | None:
        """Degrees of freedom, weights and bound of a fit with Student-t noise."""
        return self.fitted.robustness

    @property
    def optimum(self) -> Variances | Optimum:
        """What the search returned, in scaled units."""
        return self.fitted.optimum

    @property
    def decrement(self) -> float:
        """The convergence criterion: twice the distance of the criterion from its minimum, g'H^-1 g."""
        return 0.0 if self.optimum.minimum is None else self.optimum.minimum.decrement

    @property
    def convergence(self) -> str:
        """Whether the search converged, in words."""
        if self.optimum.minimum is None:
            return "nothing to search"
        return "at a boundary" if self.boundary else "yes"

    @property
    def engine(self) -> WienerEngine | MarkovEngine:
        return self.fitted.engine

    @property
    def theta_hat(self) -> FloatArray:
        engine: StateSpaceEngine = self.fitted.engine
        return engine.theta_at(self.optimum)

    @property
    def use_t(self) -> bool:  # type: ignore[override]
        """Whether a noise SD is estimated, so that intervals use Student's t."""
        return any(estimated for *_, estimated in self.noise_sds)

    @property
    def _conditions(self) -> bool:
        """Whether the smoothing was chosen by ``"gcv"`` or ``"aicc"``."""
        return self.fixed is None and self.method not in LIKELIHOODS

    @property
    def _plotted(self) -> tuple[pd.Series, pd.DataFrame]:
        names = list(self.params.index[: self._n_positive])
        return self.params[names], self.conf_int().loc[names]

    @property
    def _at_estimates(self) -> dict[str, float]:
        return {f"sigma.{name}": sd for name, sd, _ in self.noise_sds} | self.fitted.posterior.hyperparameters

    @property
    def range_ends(self) -> dict[str, RangeEnd]:
        """Scales, lags and response times of series that are estimated at an end of the range that is searched."""
        labels = [f"{kind}.{reading.name}" for reading in self.observations.readings for kind in reading.estimates]
        found, engine = [label for label in labels if label in self.boundary], self.engine
        places = [engine.names.index(label) for label in found]
        is_lower = self.theta_hat[places] < (engine.lower[places] + engine.upper[places]) / 2
        return {label: RangeEnd(low, self._at_estimates[label]) for label, low in zip(found, is_lower.tolist(), strict=True)}

    @property
    def _signed(self) -> Collection[str]:
        return self.fitted.posterior.slopes

    @cached_property
    def _at_nodes(self) -> dict[str, tuple[FloatArray, float]]:
        engine: Any = self.engine
        nodes = [engine.at(theta) for theta in self.parameter_posterior.theta]
        powers = dict(zip(engine.coordinates, engine.powers.tolist(), strict=True))
        found = {
            f"sigma.{name}": (np.array([node.noise_sds[i][1] for node in nodes]), 1.0 if is_estimated else 0.0)
            for i, (name, _, is_estimated) in enumerate(self.noise_sds)
        }
        for name in self.fitted.posterior.hyperparameters:
            found[name] = np.array([node.hyperparameters[name] for node in nodes]), powers.get(name, 0.0)
        return found

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of `params`: quantiles of their posterior, with all parameters integrated out.

        If nothing was integrated (see `hyperparameters`) they are normal on the logarithmic scale, and Student's t of
        coefficients.
        """
        posterior = self.parameter_posterior
        frame = super().conf_int(alpha)
        if posterior.is_single:
            for name, slope in self.fitted.posterior.slopes.items():
                if name.startswith("correlation."):  # Fisher's z
                    half = critical_value(alpha, np.inf) * self.bse[name] / slope
                    frame.loc[name] = np.tanh(np.arctanh(self.params[name]) + np.array([-half, half]))
            return frame
        for name in frame.index[: self._n_positive]:
            frame.loc[name] = self._interval_of(name, alpha)
        if self.effect_names:
            engine: Any = self.engine
            effects = [engine.at(theta).effects for theta in posterior.theta]
            moments = Moments(np.array([coef for coef, _ in effects]), np.array([np.diag(cov) for _, cov in effects]))
            frame.iloc[self._n_positive :] = mixture(posterior, moments).interval(alpha)
        return frame

    @property
    def trend(self) -> tuple[int, str] | None:
        """Order, and name of the intensity, of the only integrated Wiener process of the prior."""
        return self.fitted.posterior.trend

    @property
    def bandwidth(self) -> float:
        """Half width of the averaging window, in units of x; infinite for a polynomial. See ``smoothfit.markov.bandwidth``.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.1)).fit(bandwidth=0.5)
        >>> round(res.bandwidth, 6)
        0.5
        """
        return self.fitted.posterior.bandwidth

    @property
    def fitted_variance(self) -> FloatArray:
        """Posterior variance of what each observation measures, shape (n,), in the squared units of the observations."""
        return self.fitted.posterior.fitted_variance

    # Smoothing and noise ----------------------------------------------------------------------------------------------

    @property
    def q(self) -> float:
        """White-noise intensity of f^(order), in units of f^2 per unit of x to the power 2 order - 1; 0 for a polynomial."""
        if self.trend is None:
            raise AttributeError("q is that of an integrated Wiener process; see hyperparameters")
        return self.fitted.posterior.hyperparameters[self.trend[1]]

    @property
    def lam(self) -> float:
        """Smoothing parameter: weight of integral (f^(order))^2, in `lam_unit`; infinite for a polynomial.

        1 / q if every SD is known; else the variance of the first series with unknown noise SD, for observations of weight 1, over
        q.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.1)).fit(lam=2)
        >>> round(res.lam, 6), round(res.lam * res.q, 6), res.lam_unit
        (2.0, 1.0, 'x^3/y^2')
        """
        return self.scale / self.q if self.q > 0 else np.inf

    @property
    def lam_unit(self) -> str:
        """Unit of `lam`, x and y standing for the units of x and of f."""
        if self.trend is None:
            raise AttributeError("lam is that of an integrated Wiener process; see hyperparameters")
        unknown = next((r for r in self.observations.readings if r.sd is None), None)
        k = 0 if unknown is None else power_of(unknown)
        power = 2 * (self.trend[0] - k) - 1
        unit = "x" if power == 1 else f"x^{power}"
        return f"{unit}/y^2" if unknown is None else unit

    @property
    def sigma(self) -> pd.Series:
        """Noise SD per series, for observations of weight 1: estimated, or given (root mean square where it varies)."""
        import pandas as pd

        return pd.Series({name: value for name, value, _ in self.noise_sds}, name="sigma", dtype=float)

    @property
    def scale(self) -> float:
        return next((sd**2 for _, sd, estimated in self.noise_sds if estimated), 1.0)

    @property
    def noise_df(self) -> pd.Series:
        """Degrees of freedom of each series' noise: infinite where it is normal."""
        import pandas as pd

        known = {} if self.robustness is None else self.robustness.df
        return pd.Series({name: known.get(name, np.inf) for name in self.observations.names}, name="noise_df", dtype=float)

    @property
    def robust_weights(self) -> FloatArray:
        """Weight of each observation relative to its series, shape (n,): one if the noise is normal, near zero for an outlier.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 25)
        >>> y = np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(25) + 3 * (x == 3)
        >>> res = sf.SmoothingSpline(sf.observe(x, y)).fit(robust=True)
        >>> int(res.robust_weights.argmin()), bool(res.robust_weights[12] < 0.05)  # the outlier
        (12, True)
        """
        known = {} if self.robustness is None else self.robustness.weights
        return np.concatenate([known.get(r.name, np.ones(len(r))) for r in self.observations.readings])

    # Observations -----------------------------------------------------------------------------------------------------

    @property
    def _fittedvalues(self) -> FloatArray:
        """Posterior mean of what each observation measures, regressors and noise processes included, shape (n,)."""
        return self.fitted.posterior.fitted

    @property
    def _noise_variance(self) -> FloatArray:
        return self.fitted.posterior.noise_variance

    def _noise_sd(self, name: str) -> float:
        return self.fitted.posterior.noise_sd_of(name)

    @property
    def _remedies(self) -> Remedies:
        """What to do about misfits; more harmonics, if a season has fewer than the observations identify."""
        spec = self.model.specification
        if spec is None or not lacks_harmonics(spec.prior, self.observations):
            return REMEDIES
        return REMEDIES._replace(autocorrelation=f"raise harmonics= of the season, or {REMEDIES.autocorrelation}")

    @cached_property
    def misfits(self) -> tuple[Misfit, ...]:
        """What contradicts the model in the prediction errors and the observations, of which `fit` warns; empty if nothing does.

        See ``smoothfit.results.misfit``. Not looked for in fits with Student-t noise, whose errors are not normal, and with a
        smoothing that was given, or chosen by gcv or aicc, whose errors are not independent; nor in series whose SD is estimated
        as zero, through which the curve passes, and of fewer than 20 prediction errors.
        """
        if self.robustness is not None or self.fixed is not None or self._conditions or not self._searched:
            return ()
        at_zero = {name.removeprefix("sigma.") for name in self.boundary}
        sds = [0.0 if name in at_zero else sd for name, sd, _ in self.noise_sds]
        return misfits_of(self.observations, sds, self.fitted.posterior.errors(even_stretches(self.nobs)), self._remedies)

    @property
    def _leverage(self) -> FloatArray:
        return self.fitted.posterior.leverage

    @property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix."""
        return self.fitted.posterior.edf

    @property
    def _loo_resid(self) -> FloatArray:
        """Leave-one-out residuals.

        They keep their digits where the curve interpolates. The other observations at x count, with their covariance. NaN
        for an observation without which the others determine no curve.
        """
        return self.fitted.posterior.loo_resid

    @property
    def _resid_standardized(self) -> FloatArray:
        return self.fitted.posterior.resid_standardized

    @cached_property
    def _resid_recursive(self) -> FloatArray:
        return self.fitted.posterior.innovations

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Log-likelihood: restricted, in Harville's form (full with ``method="ml"``).

        llf_diffuse + log|X'X| / 2, X_ij the observation of x^j / j!, and of all else that is diffuse. It does not depend on
        the basis of the polynomials, nor for observations of f itself on the unit of x. It is a density of nobs - p contrasts, p
        the number of unknown constants, so that its differences between orders or priors with other constants depend on the unit of
        y: compare these by ``method="ml"``, a density of all observations.
        """
        posterior = self.fitted.posterior
        design = 0.0 if self.method == "ml" else posterior.log_det_design / 2
        return posterior.log_likelihood(self.method) + design

    @cached_property
    def llf_diffuse(self) -> float:
        """Diffuse log-likelihood as other software reports it: -1/2 [(n-p) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r].

        X are the observations of what is diffuse, in the user's units: of polynomials x^j / j!, seasons, coefficients.
        """
        return self.restricted_llf + self.fitted.posterior.log_det_units

    @property
    def restricted_llf(self) -> float:
        """Restricted log-likelihood of the user's observations, what is diffuse in scaled units."""
        return self.fitted.posterior.log_likelihood("reml")

    @property
    def maximised_llf(self) -> float:
        """That, or with ``method="ml"`` the full log-likelihood."""
        return self.fitted.posterior.log_likelihood("ml") if self.method == "ml" else self.restricted_llf

    @property
    def _n_contrasts(self) -> int:
        return self.nobs - self.fitted.posterior.n_diffuse

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        n = self._n_positive
        return (n + self.fitted.posterior.n_diffuse, self.nobs) if self.method == "ml" else (n, self._n_contrasts)

    @property
    def _maximises_likelihood(self) -> bool:
        return self.fixed is None and self.method in LIKELIHOODS and self.robustness is None
