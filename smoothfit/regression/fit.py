"""A fit by penalised least squares: what was estimated, and the algebra that results, tests and plots use.

Results of all kinds hold one; sandwich covariances, recursive residuals, the control of rounding and the bootstrap take one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.sparse import csr_array

from .._validation import EPS, FloatArray
from ..basis.tensor import AnyBasis
from ..inference.newton import deviance
from ..observations import Observations
from ..results.influence import left_free
from .band import Solution, multiply_factor, rows_of_factor
from .correlated import Correlated
from .correlation import Correlation
from .criteria import LIKELIHOODS, RestrictedLikelihood
from .engine import BandEngine, leverages_of
from .fitting import Estimate, effective_df
from .mode import Peak
from .polynomials import Polynomials
from .posterior import Covariance, Factored, covariance_of
from .precision import refined
from .restricted import Bounded, gradient
from .rows import Rows
from .sandwich import sandwich_root
from .sensor_engine import SensorEngine
from .sensors import Sensed, Unscaled, free_of
from .specification import Specification
from .system import System


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit of a specification to rows.

    Attributes
    ----------
    specification : Specification
    rows : Rows
        What was fitted: with the weights of a loss, the parameters of correlated errors, a common scale.
    estimate : Estimate
        Smoothing and variances, without bounds.
    method : str
    fixed : str or None
        ``"lam"`` or ``"edf"``.
    cov_type : str
    cov_kwds : dict
    bounded : Bounded or None
        The coefficients under bounds.
    correlated : Correlated or None
        The search for parameters of correlated errors.
    peak : Peak or None
        The mode that was searched.
    loss : str
    loss_parameter : float or None
    loss_weights : ndarray, shape (n,), or None
    sensed : Sensed or None
        The search for scales, lags and response times of series.
    """

    specification: Specification
    rows: Rows
    estimate: Estimate
    method: str
    fixed: str | None = None
    cov_type: str = "bayesian"
    cov_kwds: dict[str, Any] = field(default_factory=dict)
    bounded: Bounded | None = None
    correlated: Correlated | None = None
    peak: Peak | None = None
    loss: str = "squares"
    loss_parameter: float | None = None
    loss_weights: FloatArray | None = None
    sensed: Sensed | None = None

    @property
    def basis(self) -> AnyBasis:
        """The functions of which coefficients were estimated."""
        return self.specification.basis

    @property
    def n_coef(self) -> int:
        """Number of coefficients, K: of functions, and biases."""
        return self.rows.n_coef

    # The engine -----------------------------------------------------------------------------------------------------------

    @cached_property
    def engine(self) -> BandEngine | SensorEngine:
        """The restricted likelihood and the posterior at other smoothing, variances, scales, lags and response times."""
        if self.sensed is None:
            return self._engine_of(self.rows)
        return SensorEngine(self.sensed.sensors, self.rows, self._engine_of, self.sensed.minimum.theta)

    def _engine_of(self, rows: Rows) -> BandEngine:
        """That of rows of which these are known."""
        columns, offset = self.specification.substitution or (None, None)
        fixed = None if self.fixed is None else np.log(self.lam)
        return BandEngine(rows, self.specification.system_of(rows), columns, offset, fixed)

    @property
    def theta_hat(self) -> FloatArray:
        engine = self.engine
        if isinstance(engine, BandEngine):
            return engine.theta_of(self.estimate)
        return np.concatenate([engine.at_estimate.theta_of(self.estimate), engine.psi_hat])

    @property
    def theta_boundary(self) -> tuple[str, ...]:
        """Names of the entries of `theta_hat` at a bound."""
        engine = self.engine
        return (engine if isinstance(engine, BandEngine) else engine.at_estimate).boundary_of(self.estimate)

    # Coefficients and their covariance ------------------------------------------------------------------------------------

    @cached_property
    def solution(self) -> Solution:
        """Coefficients of the estimate's system, with the factor of A and the band of its inverse."""
        return self.estimate.system.solve(self.estimate.log_tau, self.estimate.log_sigma2)

    @cached_property
    def coef(self) -> FloatArray:
        """Coefficients (K,), within the bounds."""
        return self.refined[0] if self.bounded is None else self.bounded.coef

    @cached_property
    def refined(self) -> tuple[FloatArray, float]:
        """Coefficients without bounds, and how far rounding may have moved them, in posterior SDs."""
        return refined(self)

    @property
    def active_rows(self) -> FloatArray | None:
        """Rows (m, K) of bounds that are reached; None if there are none."""
        return None if self.bounded is None or not len(self.bounded.active.rows) else self.bounded.active.rows

    @property
    def held(self) -> Estimate:
        """The fit in which bounds that are reached are equations: what degrees of freedom and likelihoods are of."""
        return self.estimate if self.bounded is None or self.bounded.held is None else self.bounded.held

    @cached_property
    def bayesian(self) -> Covariance:
        """A^-1, whatever bounds are reached: these cut intervals, and the curve may lie on either side of where it is held."""
        return covariance_of(self.solution, self.estimate.columns)

    @cached_property
    def within_held(self) -> Covariance:
        """A^-1 where bounds that are reached are equations."""
        held = self.held
        if held is self.estimate:
            return self.bayesian
        solution = held.system.solve(held.log_tau, held.log_sigma2)
        if not held.system.size:
            return Factored(np.zeros((self.n_coef, 0)))
        return covariance_of(solution, held.columns)

    @cached_property
    def whole(self) -> System:
        """The system of all coefficients, whatever equalities and infinite penalties leave of them."""
        return self.specification.whole(self.rows)

    @cached_property
    def cov(self) -> Covariance:
        """Covariance of the coefficients, of the kind `cov_type`."""
        if self.cov_type == "bayesian":
            return self.bayesian
        if self.cov_type == "frequentist":
            roots = [
                multiply_factor(R, np.eye(self.n_coef)) / np.sqrt(variance)
                for R, variance in zip(self.whole.factors, self.sigma2, strict=False)
            ]
            return Factored(self.bayesian.times(np.vstack(roots).T))
        return Factored(self.bayesian.times(sandwich_root(self)))

    # Variances and residuals ----------------------------------------------------------------------------------------------

    @cached_property
    def sigma2(self) -> FloatArray:
        """Variance of every group of observations."""
        return np.exp(self.estimate.log_sigma2)

    def sds(self, log_sigma2: FloatArray) -> FloatArray:
        """Noise SD (..., n_names) of each series, of observations of weight 1, at log variances of the groups (..., n_groups).

        That of given noise SDs, or of a given covariance, is the root mean square.
        """
        rows, factors = self.rows, []
        for reading, white in zip(rows.observations.readings, rows.whitenings, strict=True):
            squares = np.ones(1) if reading.sd is None else reading.sd**2
            factors.append(float(np.sqrt(np.mean(squares if white is None else squares * white.variances))))
        return np.asarray(np.exp(log_sigma2[..., list(rows.group_of_name)] / 2) * np.array(factors))

    @property
    def scale(self) -> float:
        """Variance of the first series with unknown noise SD, for observations of weight 1; 1 if every SD is known."""
        return float(np.exp(self.estimate.log_sigma2[0])) if self.rows.unknown else 1.0

    @property
    def lam(self) -> FloatArray:
        """Smoothing parameters, one for each penalty."""
        return self.estimate.tau * self.scale

    @property
    def fittedvalues(self) -> FloatArray:
        return self.rows.times(self.coef)

    @property
    def resid(self) -> FloatArray:
        """Observations less fitted values, (n,)."""
        return self.rows.observations.y - self.fittedvalues

    @cached_property
    def leverage(self) -> FloatArray:
        """Diagonal of the smoother matrix, (n,)."""
        return leverages_of(self.rows, self.within_held, self.sigma2)

    @property
    def digits_lost(self) -> float:
        """Decimal digits that rounding costs; see `SplineRegressionResults.digits_lost`."""
        return float(np.log10(max(self.refined[1] / EPS, 1.0)))

    @property
    def resid_whitened(self) -> FloatArray:
        """Residuals made independent and divided by their SDs, (n,)."""
        return self.rows.whitened(self.resid) / np.sqrt(self.sigma2[self.rows.group])

    @property
    def resid_standardized(self) -> FloatArray:
        """`resid_whitened` over sqrt(1 - leverage), (n,); NaN where the curve interpolates."""
        return self.resid_whitened / np.sqrt(left_free(self.leverage))

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """The observations in order of x, (n,); those at points as they are."""
        observations = self.rows.observations
        return np.argsort(observations.x, kind="stable") if isinstance(observations, Observations) else np.arange(len(observations))

    def observation(self, i: int) -> tuple[str, int]:
        """Name and number within it of an observation."""
        readings = self.rows.observations.readings
        starts = np.cumsum([0, *(len(reading) for reading in readings)])
        k = int(np.searchsorted(starts, i, side="right")) - 1
        return readings[k].name, i - int(starts[k])

    @cached_property
    def deleted(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of each observation given the errors of all others (n,): its residual, the variance of its noise, its leverage.

        With Q = V^-1: (Q e)_i / Q_ii, 1 / Q_ii, and (Q B A^-1 B' Q)_ii / Q_ii; without correlation e, v and the leverage.
        """
        rows = self.rows
        residuals, leverages = self.resid, self.leverage  # before the variances: accumulated rows refuse
        variances = rows.ratio * self.sigma2[rows.group]
        if not any(rows.whitenings):
            return residuals, variances, leverages
        parts = zip(
            rows.per_name(residuals), rows.per_name(np.sqrt(variances)), rows.per_name(leverages), rows.whitenings, strict=True
        )
        found = []
        for i, (residual, root, leverage, white) in enumerate(parts):
            if white is None:
                found.append((residual, root**2, leverage))
                continue
            precision = white.precisions
            given = root * white.transposed(white.times(residual / root)) / precision
            sd = np.sqrt(self.sigma2[rows.group_of_name[i]] * precision)
            seen = white.precision_rows(rows.band_part(i), self.n_coef).scaled(1 / sd)
            found.append((given, root**2 / precision, self.within_held.variance(seen)))
        residual, variance, leverage = (np.concatenate(column) for column in zip(*found, strict=True))
        return residual, variance, leverage

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix; bounds that are reached count as equations."""
        return effective_df(self.held.system, self.held.log_tau, self.held.log_sigma2)

    @property
    def df_resid(self) -> float:
        """Observations less `edf`; those to which a loss gives no weight do not count."""
        return self.estimate.system.n - self.edf

    @property
    def errors(self) -> dict[str, Correlation]:
        """Correlation of the errors of each series that has correlated ones."""
        names = self.rows.observations.names
        kinds = self.rows.errors or (None,) * len(names)
        return {name: kind for name, kind in zip(names, kinds, strict=True) if kind is not None}

    # Constraints ----------------------------------------------------------------------------------------------------------

    @property
    def contradiction(self) -> float:
        """Probability that true bounds raise the minimum by as much, at given noise SDs: at most that of chi-squared.

        Under the bounds the increase is a mixture of chi-squared variables of at most as many degrees of freedom as bounds hold.
        One where no bound is reached, and where all SDs are estimated, which are then those of the constrained curve.
        """
        if self.bounded is None or self.bounded.held is None or not self.rows.has_known:
            return 1.0
        count = self.estimate.system.size - self.bounded.held.system.size
        return float(stats.chi2.sf(self.bounded.excess, max(count, 1)))

    @property
    def polynomials(self) -> Sequence[Polynomials]:
        """What bounds keep nonnegative, with a mode that was searched."""
        return self.specification.restrictions.polynomials if self.peak is None else self.peak.polynomials

    @property
    def without_bounds(self) -> FloatArray:
        """Coefficients (K,) at the same smoothing and variances without bounds."""
        return self.refined[0]

    @property
    def metric(self) -> tuple[csr_array, csr_array | None]:
        """R, with |R d|^2 by how much a change columns @ d raises the penalised sum of squares, and these columns."""
        R = self.solution.R
        return rows_of_factor(R).sparse(len(R)), self.estimate.columns

    def penalty_gram(self) -> FloatArray:
        """Sum of tau_j P_j (K, K) over the finite tau."""
        penalties = self.whole.factors[self.whole.n_groups :]
        roots = [multiply_factor(R, np.eye(self.n_coef)) for R in penalties]
        finite = zip(self.estimate.tau, roots, strict=True)
        return np.asarray(sum((tau * root.T @ root for tau, root in finite if np.isfinite(tau)), np.zeros((self.n_coef,) * 2)))

    @property
    def moving(self) -> FloatArray:
        """Columns (K, d) along which coefficients may move: within equalities, infinite penalties and bounds that are reached."""
        columns = np.eye(self.n_coef) if self.estimate.columns is None else self.estimate.columns.toarray()
        if self.active_rows is None:
            return columns
        _, sizes, axes = np.linalg.svd(self.active_rows @ columns)
        return np.asarray(columns @ axes[int(np.sum(sizes > 1e-9 * sizes[0])) :].T)

    @property
    def n_moving(self) -> int:
        """Number d of columns of `moving`."""
        return self.estimate.system.size if self.active_rows is None else int(self.moving.shape[1])

    def objective_slope(self) -> FloatArray:
        """Gradient (K,) of what is minimised."""
        scales = np.concatenate([np.exp(-self.estimate.log_sigma2 / 2), np.sqrt(self.estimate.tau)])
        return gradient(self.whole.factors, self.whole.rhs, scales, self.coef)

    # Likelihood -----------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Log-likelihood: restricted, or full with ``"ml"`` and ``"ols"``."""
        factor = 0.0
        if self.sensed is not None and self.method not in ("ml", "ols"):
            psi, fit = self.sensed.minimum.theta, self.held
            factor = Unscaled(self.sensed.sensors, self.rows).log_det(psi, self.rows, free_of(fit), fit.log_sigma2)
        return -(self._deviance() + self.rows.log_ratio - factor) / 2

    def _deviance(self) -> float:
        """-2 log-likelihood of the rows divided by the roots of their variance ratios."""
        fit, system = self.held, self.held.system
        solution = system.solve(fit.log_tau, fit.log_sigma2)
        kind = LIKELIHOODS.get(self.method, RestrictedLikelihood)
        criterion = kind(system, np.zeros(0), np.zeros((0, 0)))
        least = criterion.minimum(solution, fit.log_tau, fit.log_sigma2)
        log_variances = float(system.counts @ fit.log_sigma2)
        if self.method == "ols":  # if no SD is known their common size is at its maximum
            return float(deviance(system.n, log_variances, least, system.unknown == system.n_groups))
        whole = float(deviance(criterion.count, log_variances, least, False))
        if self.method == "ml" and not system.n_penalties:
            return whole
        determinant = criterion.determinant(solution, fit.log_tau, fit.log_sigma2)
        return whole + determinant - (0.0 if self.method == "ml" else self.rows.plain().log_det_of(self.unpenalized))

    @cached_property
    def unpenalized(self) -> FloatArray:
        """Coefficients (K, d) of what no penalty touches, or of what infinite ones leave."""
        columns, free = self.held.columns, self.held.system.free
        return free if columns is None else columns @ free

    @property
    def n_contrasts(self) -> int:
        """Number of observations less that of functions that no penalty touches."""
        return self.held.system.n - self.held.system.n_free

    @property
    def maximises_likelihood(self) -> bool:
        """Whether `llf` is a maximum over all parameters."""
        if self.method == "ols":
            return self.loss == "squares"
        return self.fixed is None and self.method in LIKELIHOODS and self.loss == "squares"

    @property
    def n_likelihood(self) -> tuple[int, int]:
        """Number of parameters and of contrasts that the likelihood counts."""
        n_errors = 0 if self.correlated is None else len(self.correlated.names)
        n_sensors = 0 if self.sensed is None else len(self.sensed.sensors.labels)
        n_params = (0 if self.fixed else len(self.estimate.tau)) + len(self.rows.unknown) + n_errors + n_sensors
        is_full = self.method in ("ols", "ml")
        return (n_params + self.held.system.n_free, len(self.rows.observations)) if is_full else (n_params, self.n_contrasts)
