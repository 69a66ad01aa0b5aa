"""What a smoothing spline estimates besides its curve: sds, hyperparameters, coefficients, likelihoods."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._validation import FloatArray
from ..markov.criteria import LIKELIHOODS
from ..results.curve import CurveResults
from .general_search import power_of
from .robust import Robustness

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class Estimated(CurveResults):
    """Estimates with their uncertainty, from what an engine provides."""

    method: str
    fixed: str | None
    robustness: Robustness | None

    # What an engine provides ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, sd and whether it was estimated."""

    @property
    @abstractmethod
    def hyperparameters(self) -> pd.Series:
        """All hyperparameters of the prior and of noise processes, given or estimated, in the user's units."""

    @property
    @abstractmethod
    def _searched(self) -> tuple[str, ...]:
        """Names of the hyperparameters that were estimated."""

    @property
    @abstractmethod
    def trend(self) -> tuple[int, str] | None:
        """Order, and name of the intensity, of the only integrated Wiener process of the prior."""

    @property
    @abstractmethod
    def bandwidth(self) -> float:
        """Half width of the averaging window, in units of x; infinite for a polynomial. See ``smoothfit.markov.bandwidth``."""

    @property
    @abstractmethod
    def _cov_log_params(self) -> FloatArray:
        """Covariance of the logarithms of the sds and hyperparameters among `params`."""

    @abstractmethod
    def _log_likelihood(self, method: str) -> float:
        """Log-likelihood of a method for the user's readings, what is entirely unknown in scaled units."""

    @property
    @abstractmethod
    def _log_det_design(self) -> float:
        """log|X'X|, X the user's readings of what is entirely unknown in scaled units."""

    @property
    @abstractmethod
    def _log_det_units(self) -> float:
        """Log determinant of the change of what is entirely unknown to the user's units."""

    @property
    @abstractmethod
    def fitted_variance(self) -> FloatArray:
        """Posterior variance of what each reading reads, shape (n,), in the squared units of the readings."""

    @property
    def _effects(self) -> tuple[FloatArray, FloatArray]:
        """Coefficients of regressors and interventions, and their covariance (p, p)."""
        return np.zeros(0), np.zeros((0, 0))

    @property
    def effect_names(self) -> tuple[str, ...]:
        """Names of the coefficients: regressors, then interventions."""
        return ()

    # Smoothing and noise ----------------------------------------------------------------------------------------------

    @property
    def q(self) -> float:
        """White-noise intensity of f^(order), in units of f^2 per unit of x to the power 2 order - 1; 0 for a polynomial."""
        if self.trend is None:
            raise AttributeError("q is that of an integrated Wiener process; see hyperparameters")
        return float(self.hyperparameters[self.trend[1]])

    @property
    def lam(self) -> float:
        """Smoothing parameter: weight of integral (f^(order))^2, in `lam_unit`; infinite for a polynomial.

        1 / q where every sd is known; else the variance of the first name with unknown sd, at weight one, over q.
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
        """Noise sd per name at weight one: estimated, or given (root mean square where it varies)."""
        import pandas as pd

        return pd.Series({name: value for name, value, _ in self.noise_sds}, name="sigma", dtype=float)

    @property
    def scale(self) -> float:
        """Variance at weight one of the first name with unknown sd; 1 where every sd is known."""
        return next((sd**2 for _, sd, estimated in self.noise_sds if estimated), 1.0)

    @property
    def noise_df(self) -> pd.Series:
        """Degrees of freedom of each name's noise: infinite where it is normal."""
        import pandas as pd

        known = {} if self.robustness is None else self.robustness.df
        return pd.Series({name: known.get(name, np.inf) for name in self.observations.names}, name="noise_df", dtype=float)

    @property
    def robust_weights(self) -> FloatArray:
        """How much each reading counts beside its kind, shape (n,): one where the noise is normal, near zero for a gross error."""
        known = {} if self.robustness is None else self.robustness.weights
        return np.concatenate([known.get(r.name, np.ones(len(r))) for r in self.observations.readings])

    # Parameters -------------------------------------------------------------------------------------------------------

    @property
    def params(self) -> pd.Series:
        """Estimated parameters: ``sigma.<name>`` for each unknown sd, hyperparameters, coefficients."""
        import pandas as pd

        values = {f"sigma.{name}": sd for name, sd, estimated in self.noise_sds if estimated}
        found = self.hyperparameters
        values |= {name: float(found[name]) for name in self._searched}
        values |= dict(zip(self.effect_names, self._effects[0].tolist(), strict=True))
        return pd.Series(values, name="params", dtype=float)

    @property
    def _n_positive(self) -> int:
        """Number of sds and hyperparameters among `params`."""
        return sum(estimated for *_, estimated in self.noise_sds) + len(self._searched)

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`: observed information of the logarithms with the delta method, and of coefficients.

        NaN for a parameter at a boundary and for a smoothing chosen by gcv or aicc, which have no information matrix; 0 or infinite
        where a square leaves the range of floating-point numbers, unlike `bse`. The coefficients' is that at the estimated
        parameters, to first order independent of these.
        """
        import pandas as pd

        params, n = self.params, self._n_positive
        values = params.to_numpy()[:n]
        cov = np.zeros((len(params), len(params)))
        with np.errstate(over="ignore", under="ignore"):  # q may be a number of which the square is none
            cov[:n, :n] = self._cov_log_params * values[:, None] * values
        cov[n:, n:] = self._effects[1]
        return pd.DataFrame(cov, index=params.index, columns=params.index)

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        return np.arange(len(self.params)) < self._n_positive

    @property
    def _standard_errors(self) -> FloatArray:
        n = self._n_positive
        of_logs = np.sqrt(np.diag(self._cov_log_params))
        return np.concatenate([of_logs * self.params.to_numpy()[:n], np.sqrt(np.diag(self._effects[1]))])

    @property
    def _tested(self) -> list[str]:
        return list(self.effect_names) or list(self.params.index)

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Log-likelihood: restricted, in Harville's form (full with ``method="ml"``).

        llf_diffuse + log|X'X| / 2, X_ij the reading of x^j / j!, and of all else that is entirely unknown. It does not depend on
        the basis of the polynomials, nor for readings of f itself on the unit of x. It is a density of nobs - p contrasts, p the
        number of unknown constants, so that its differences between orders or priors with other constants depend on the unit of y:
        compare these by ``method="ml"``, a density of all readings.
        """
        design = 0.0 if self.method == "ml" else self._log_det_design / 2
        return self._log_likelihood(self.method) + design

    @cached_property
    def llf_diffuse(self) -> float:
        """Diffuse log-likelihood as other software reports it: -1/2 [(n-p) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r].

        X are the readings of what is entirely unknown, in the user's units: of polynomials x^j / j!, seasons, coefficients.
        """
        return self._log_likelihood("reml") + self._log_det_units

    @property
    def restricted_llf(self) -> float:
        """Restricted log-likelihood of the user's readings, what is entirely unknown in scaled units."""
        return self._log_likelihood("reml")

    @property
    def _maximises_likelihood(self) -> bool:
        return self.fixed is None and self.method in LIKELIHOODS and self.robustness is None
