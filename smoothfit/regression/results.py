"""Results of a spline regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.sparse import csr_array

from .._abscissa import Points
from .._entry import entry_point
from .._validation import FloatArray, check_memory, check_order, check_rng
from ..basis import Spline
from ..curves.prediction import CurvePrediction, ParameterUncertainty, critical_value
from ..curves.results import LEAST_FREE, Estimate
from ..errors import SpecificationError
from ..observations import derivative_label
from .band import BandRows, multiply_factor, pack, rows_of_factor
from .constraints import Equals, Polynomials, Unimodal, limits_of
from .correlated import Correlated
from .correlation import Correlation, Markov
from .criteria import LIKELIHOODS, RestrictedLikelihood
from .fitting import Estimate as Fit
from .fitting import effective_df
from .inference import Inference
from .mode import Peak
from .posterior import Banded, Covariance, Factored, Substituted
from .precision import EPS, refined
from .products import ProductRows
from .propagation import Neighbours
from .restricted import Bounded, brought_within, crossings_within, gradient, multipliers_of
from .rows import Rows, degree_of
from .sandwich import sandwich_root
from .simultaneous import critical_of_band
from .system import System

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from .bootstrap import CurveBootstrap
    from .model import SplineRegression

METHOD_NAMES = {"sic": "SIC", "reml": "REML", "ml": "ML", "gcv": "GCV", "aicc": "AICc", "fixed": "fixed", "ols": "least squares"}
HIGHEST_OF_SMOOTH = 10  # derivative of a basis without a degree
OF_BAND = 32.0  # bytes at the peak of a simultaneous band, for each abscissa and basis function


@entry_point
class SplineRegressionResults(Inference):
    """A fitted spline regression; made by `SplineRegression.fit`.

    Attributes
    ----------
    model : SplineRegression
    method : str
        The criterion that was optimised.
    fixed : str or None
        ``"lam"`` or ``"edf"`` where the smoothing was fixed.
    cov_type : str
        Kind of covariance of the coefficients.
    loss : str
        What residuals cost.
    loss_parameter : float or None
        Of a loss other than squares: Huber's k, the c of the bisquare, or a level.
    loss_weights : ndarray, shape (n,), or None
        Weights that stand for a loss other than squares, beside those that the readings have.
    """

    loss: str = "squares"
    loss_parameter: float | None = None
    loss_weights: FloatArray | None = None
    _correlated: Correlated | None = None
    _peak: Peak | None = None

    def __init__(
        self,
        model: SplineRegression,
        method: str,
        fixed: str | None,
        rows: Rows,
        estimate: Fit,
        cov_type: str,
        cov_kwds: dict[str, Any],
        bounded: Bounded | None = None,
    ):
        self.model = model
        self.method = method
        self.fixed = fixed
        self.observations = rows.observations  # type: ignore[assignment]
        self.basis = model.basis  # type: ignore[assignment]
        self.cov_type = cov_type
        self.cov_kwds = cov_kwds
        self.use_t = bool(rows.unknown)
        self._rows = rows
        self._fit = estimate
        self._bounded = bounded

    # Coefficients and their covariance ----------------------------------------------------------------------------------------

    @cached_property
    def _solution(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Coefficients of the fit's system, factor and band of the inverse of A."""
        solution = self._fit.system.solve(self._fit.log_tau, self._fit.log_sigma2)
        return solution.coef, solution.R, solution.inverse

    @cached_property
    def _coef(self) -> FloatArray:
        return self._refined[0] if self._bounded is None else self._bounded.coef

    @cached_property
    def _refined(self) -> tuple[FloatArray, float]:
        """Coefficients without bounds, and how far rounding may have moved them, in posterior sds."""
        return refined(self)

    @property
    def _active_rows(self) -> FloatArray | None:
        """What bounds that are reached hold fixed, (m, K); None where there are none."""
        return None if self._bounded is None or not len(self._bounded.active.rows) else self._bounded.active.rows

    @property
    def _held(self) -> Fit:
        """The fit in which bounds that are reached are equations: what degrees of freedom and likelihoods are of."""
        return self._fit if self._bounded is None or self._bounded.held is None else self._bounded.held

    @cached_property
    def _bayesian(self) -> Covariance:
        """A^-1, whatever bounds are reached: these cut intervals, and the curve may lie on either side of where it is held."""
        _, R, inverse = self._solution
        return _spread(Banded(R, inverse), self._fit.columns)

    @cached_property
    def _within_held(self) -> Covariance:
        """A^-1 where bounds that are reached are equations."""
        held = self._held
        if held is self._fit:
            return self._bayesian
        solution = held.system.solve(held.log_tau, held.log_sigma2)
        if not held.system.size:
            return Factored(np.zeros((self.basis.n_basis, 0)))
        return _spread(Banded(solution.R, solution.inverse), held.columns)

    @cached_property
    def _whole(self) -> System:
        """The system of all coefficients, whatever equalities and infinite penalties leave of them."""
        return System.of(self._rows, self.model.penalty, self.model._roots)

    @cached_property
    def _cov(self) -> Covariance:
        if self.cov_type == "bayesian":
            return self._bayesian
        if self.cov_type == "frequentist":
            roots = [
                multiply_factor(R, np.eye(self.basis.n_basis)) / np.sqrt(variance)
                for R, variance in zip(self._whole.factors, self._sigma2, strict=False)
            ]
            return Factored(self._bayesian.times(np.vstack(roots).T))
        return Factored(self._bayesian.times(sandwich_root(self)))

    @property
    def params(self) -> pd.Series:
        """Coefficients of the basis functions, in units of f."""
        import pandas as pd

        return pd.Series(self._coef.copy(), index=self._names_of_params, name="params")

    @property
    def _names_of_params(self) -> list[str]:
        return [f"b{j}" for j in range(self.basis.n_basis)]

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the coefficients, of the kind `cov_type`."""
        import pandas as pd

        root = self._cov.root()
        return pd.DataFrame(root @ root.T, index=self._names_of_params, columns=self._names_of_params)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients."""
        import pandas as pd

        K = self.basis.n_basis
        unit = BandRows(np.ones((K, 1)), np.arange(K))
        return pd.Series(np.sqrt(self._cov.variance(unit)), index=self._names_of_params, name="bse")

    @property
    def _se_log_params(self) -> FloatArray:
        return np.asarray(self.bse / np.abs(self.params))

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of the coefficients."""
        import pandas as pd

        half = critical_value(alpha, self.df_interval) * self.bse
        return pd.DataFrame({0: self.params - half, 1: self.params + half})

    # Smoothing and noise --------------------------------------------------------------------------------------------------------

    @property
    def lam(self) -> Any:
        """Smoothing parameter, one for each penalty; infinite where the curve is what it leaves free; None without a penalty."""
        lam = self._fit.tau * self.scale
        return None if not len(lam) else float(lam[0]) if len(lam) == 1 else lam

    @property
    def scale(self) -> float:
        """Variance at weight one of the first name with unknown sd; 1 where every sd is known."""
        return float(np.exp(self._fit.log_sigma2[0])) if self._rows.unknown else 1.0

    @property
    def boundary(self) -> tuple[str, ...]:
        """``"lam"`` (``"lam[j]"`` of several) where it is infinite or zero, and names whose sd is indistinguishable from zero.

        ``"name rho"`` or ``"name timescale"`` where a parameter of correlated errors ran to an end of its range.
        """
        return self._fit.boundary + tuple(f"{label} {kind.parameter}" for label, kind, end, _ in self._chains if end)

    @property
    def decrement(self) -> float:
        """The certificate of convergence: twice the distance of the criterion from its minimum, g'H^-1 g."""
        searches = [self._fit.minimum, None if self._correlated is None else self._correlated.minimum]
        return max([0.0, *(search.decrement for search in searches if search is not None)])

    @cached_property
    def digits_lost(self) -> float:
        """Decimal digits that rounding costs: no value, derivative or integral is off by more than eps 10^digits_lost sds.

        Its posterior sds are meant, at the fitted smoothing and variances and before bounds; eps is 2.2e-16. Up to 7.6, which
        leaves 1e-8 sds, it is mostly a bound that costs nothing. Where that is greater, iterative refinement in extended precision
        corrects the fit and measures what is left, and `fit` warns where that is still beyond. The formulas are in the module
        ``smoothfit.regression.precision``.
        """
        return float(np.log10(max(self._refined[1] / EPS, 1.0)))

    @property
    def errors(self) -> dict[str, Correlation]:
        """How the errors of the names correlate that have correlated ones, with estimated parameters."""
        kinds = self._rows.errors or (None,) * len(self.observations.names)
        return {name: kind for name, kind in zip(self.observations.names, kinds, strict=True) if kind is not None}

    @property
    def _chains(self) -> list[tuple[str, Markov, str, float]]:
        """Of each name with estimated errors: its name, their kind, what they are where that is an end, and the se of theta."""
        search = self._correlated
        if search is None:
            return []
        minimum, found = search.minimum, []
        inside = ~(minimum.at_lower | minimum.at_upper)
        variance = np.full(len(inside), np.nan)
        variance[inside] = np.diag(np.linalg.inv(search.hessian[np.ix_(inside, inside)] / 2))
        for j, i in enumerate(search.names):
            kind = self._rows.errors[i]
            assert isinstance(kind, Markov)
            end = kind.at_end[int(minimum.at_upper[j])] if not inside[j] else ""
            found.append((self.observations.names[i], kind, end, float(np.sqrt(variance[j]))))
        return found

    @property
    def error_params(self) -> pd.DataFrame:
        """Estimated parameters of correlated errors: one row for each name, ``estimate``, ``bse``, ``ci_lower``, ``ci_upper``.

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
    def sigma(self) -> pd.Series:
        """Noise sd per name at weight one: estimated, or given (root mean square where it, or a given covariance, varies)."""
        import pandas as pd

        values, rows = [], self._rows
        for reading, group, white in zip(self.observations.readings, rows.group_of_name, rows.whitenings, strict=True):
            squares = np.ones(1) if reading.sd is None else reading.sd**2
            known = float(np.sqrt(np.mean(squares if white is None else squares * white.variances)))
            is_estimated = group < len(self._rows.unknown)
            values.append(known * (float(np.exp(self._fit.log_sigma2[group] / 2)) if is_estimated else 1.0))
        return pd.Series(values, index=list(self.observations.names), name="sigma")

    @cached_property
    def _sigma2(self) -> FloatArray:
        """Variance of every group."""
        return np.exp(self._fit.log_sigma2)

    @property
    def _noise_variance(self) -> FloatArray:
        return self._rows.variances * self._sigma2[self._rows.group]

    @property
    def fittedvalues(self) -> FloatArray:
        """What the curve says of each reading, shape (n,), in the units of the readings."""
        return self._rows.times(self._coef)

    @cached_property
    def _leverage(self) -> FloatArray:
        variances = [self._within_held.variance(part) for part in self._rows.white_parts]
        return np.asarray(np.concatenate(variances) / self._sigma2[self._rows.group])

    def _observation(self, i: int) -> tuple[str, int]:
        """Name and number within it of an observation."""
        readings = self.observations.readings
        starts = np.cumsum([0, *(len(reading) for reading in readings)])
        k = int(np.searchsorted(starts, i, side="right")) - 1
        return readings[k].name, i - int(starts[k])

    @property
    def resid_whitened(self) -> FloatArray:
        """Residuals made independent and divided by their sds, shape (n,): W D^-1 (y - L f) / sigma, W as in `errors`.

        D holds the known part of the noise sds. Without correlated errors they are residuals over the noise sds; with AR1 or OU
        what a residual has beyond what the one before it says. statsmodels calls them ``wresid``, there without the sigma.
        """
        return self._rows.whitened(self.resid) / np.sqrt(self._sigma2[self._rows.group])

    @property
    def resid_standardized(self) -> FloatArray:
        """`resid_whitened` over sqrt(1 - leverage), shape (n,), of variance one; NaN where the curve interpolates."""
        return self.resid_whitened / np.sqrt(self._free)

    @cached_property
    def resid_recursive(self) -> FloatArray:
        """Recursive residuals, shape (n,): the errors of predictions from the observations before in x, over their SDs.

        With correlated errors those of the whitened observations. NaN for the first observations that determine what no penalty
        touches. See the module ``smoothfit.regression.recursive``.
        """
        from .recursive import recursive_residuals

        return recursive_residuals(self)

    @property
    def loo_resid(self) -> FloatArray:
        """Leave-one-out residuals at the fitted parameters: readings minus predictions without them, shape (n,).

        With correlated errors the prediction is that of the reading, from the curve and the errors of all others: the reading
        less its mean given them. NaN where the curve interpolates a reading.
        """
        residual, _, leverage = self._deleted
        free = 1 - leverage
        return np.asarray(residual / np.where(free > LEAST_FREE, free, np.nan))

    @cached_property
    def _deleted(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of each reading given the errors of all others (n,): its residual, the variance of its noise, its leverage.

        With Q = V^-1: (Q e)_i / Q_ii, 1 / Q_ii, and (Q B A^-1 B' Q)_ii / Q_ii; without correlation e, v and the leverage.
        """
        rows, K = self._rows, self.basis.n_basis
        variances, leverages = rows.ratio * self._sigma2[rows.group], self._leverage
        if not any(rows.whitenings):
            return self.resid, variances, leverages
        parts = zip(
            rows.per_name(self.resid), rows.per_name(np.sqrt(variances)), rows.per_name(leverages), rows.whitenings, strict=True
        )
        found = []
        for i, (residual, root, leverage, white) in enumerate(parts):
            if white is None:
                found.append((residual, root**2, leverage))
                continue
            precision = white.precisions
            given = root * white.transposed(white.times(residual / root)) / precision
            sd = np.sqrt(self._sigma2[rows.group_of_name[i]] * precision)
            seen = white.precision_rows(rows.band_part(i), K).scaled(1 / sd)
            found.append((given, root**2 / precision, self._within_held.variance(seen)))
        residual, variance, leverage = (np.concatenate(column) for column in zip(*found, strict=True))
        return residual, variance, leverage

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix; bounds that are reached count as equations."""
        held = self._held
        return effective_df(held.system, held.log_tau, held.log_sigma2)

    @property
    def mode(self) -> float | None:
        """Where the curve is highest, as `Unimodal` without a mode found it; None where there is no such constraint."""
        return None if self._peak is None else self._peak.mode

    @property
    def active_constraints(self) -> pd.DataFrame:
        """Where constraints hold as equations: one row for each equality, and for each point or piece where a bound is reached.

        ``constraint`` says which, ``lower`` and ``upper`` where in x (NaN for integrals and for points of surfaces), ``multiplier``
        by how much the penalised sum of squares, in units of the variances, would fall for each unit by which the bound is
        loosened (for equalities: its derivative by the value, with the sign turned). NaN where a penalty is infinite.
        """
        import pandas as pd

        restrictions, K = self.model._restrictions, self.basis.n_basis
        entries: list[tuple[str, float, float]] = []
        for part in restrictions.equalities:
            entries += [(part.label, np.nan, np.nan)] * len(part.values)
        for constraint in self.model.constraints:
            if isinstance(constraint, Equals) and constraint.upper is None and np.ndim(constraint.x) == 1:
                first = next(i for i, entry in enumerate(entries) if np.isnan(entry[1]))
                entries[first : first + len(constraint.x)] = [(entries[first][0], float(x), float(x)) for x in constraint.x]
        owner = np.arange(len(entries))
        rows = restrictions.rows if restrictions.equalities else np.zeros((0, K))
        if self._bounded is not None:
            active = self._bounded.active
            owner = np.concatenate([owner, active.owner + len(entries)])
            entries += [(self._polynomials[i].label, lower, upper) for i, lower, upper in active.places]
            rows = np.vstack([rows, active.rows])
        multipliers = np.full(len(entries), np.nan)
        if np.isfinite(self._fit.tau).all() and len(entries):
            n_equal = len(rows) if self._bounded is None else len(rows) - len(self._bounded.active.rows)
            multipliers = np.bincount(owner, multipliers_of(rows, n_equal, self._objective_slope()), minlength=len(entries))
        frame = pd.DataFrame(entries, columns=["constraint", "lower", "upper"])
        return frame.assign(multiplier=multipliers)

    @property
    def _contradiction(self) -> float:
        """Probability that true bounds raise the minimum by as much, at given sds: at most that of chi-squared.

        Under the bounds the increase is a mixture of chi-squared variables of at most as many degrees of freedom as bounds hold.
        One where no bound is reached, and where all sds are estimated, which are then those of the constrained curve.
        """
        if self._bounded is None or self._bounded.held is None or not self._rows.has_known:
            return 1.0
        count = self._fit.system.size - self._bounded.held.system.size
        return float(stats.chi2.sf(self._bounded.excess, max(count, 1)))

    def _penalty_gram(self) -> FloatArray:
        """Sum of tau_j P_j (K, K) over the finite tau."""
        penalties = self._whole.factors[self._whole.n_groups :]
        roots = [multiply_factor(R, np.eye(self.basis.n_basis)) for R in penalties]
        finite = zip(self._fit.tau, roots, strict=True)
        return np.asarray(
            sum((tau * root.T @ root for tau, root in finite if np.isfinite(tau)), np.zeros((self.basis.n_basis,) * 2))
        )

    @property
    def _moving(self) -> FloatArray:
        """Columns (K, d) along which coefficients may move: within equalities, infinite penalties and bounds that are reached."""
        columns = np.eye(self.basis.n_basis) if self._fit.columns is None else self._fit.columns.toarray()
        if self._active_rows is None:
            return columns
        _, sizes, axes = np.linalg.svd(self._active_rows @ columns)
        return np.asarray(columns @ axes[int(np.sum(sizes > 1e-9 * sizes[0])) :].T)

    def _objective_slope(self) -> FloatArray:
        """Gradient (K,) of what is minimised."""
        whole = self._whole
        scales = np.concatenate([np.exp(-self._fit.log_sigma2 / 2), np.sqrt(self._fit.tau)])
        return gradient(whole.factors, whole.rhs, scales, self._coef)

    # Likelihood -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Log-likelihood: restricted, in Harville's form; full with ``method="ml"`` and ``"ols"``.

        The restricted one is -1/2 [(n - d) log 2 pi + log|V| + log|A| - log|S|_+ + log|N'N| - log|N'B'BN| + minimum], with N any
        basis of what no penalty touches: it depends neither on that basis nor on that of the splines. The full one with ``"ml"``
        has n for n - d and log|N'B'V^-1 BN| for log|N'B'BN|: the random part of the curve lies in the complement orthogonal to N
        in the metric of the noise. It is that of `SmoothingSpline`, not that of R's mgcv, which depends on the basis. With
        ``"ols"`` it is that of statsmodels: n log(RSS / n) stands for the variance where no sd is known.
        """
        return -(self._deviance() + self._rows.log_ratio) / 2

    def _deviance(self) -> float:
        """-2 log-likelihood of the rows divided by the roots of their variance ratios."""
        fit, system = self._held, self._held.system
        solution = system.solve(fit.log_tau, fit.log_sigma2)
        kind = LIKELIHOODS.get(self.method, RestrictedLikelihood)
        criterion = kind(system, np.zeros(0), np.zeros((0, 0)))
        least = criterion.minimum(solution, fit.log_tau, fit.log_sigma2)
        log_variances = float(system.counts @ fit.log_sigma2)
        if self.method == "ols":
            n = system.n
            if system.unknown == system.n_groups:  # no sd is known: their common size is at its maximum
                return n * float(np.log(2 * np.pi * least / n) + 1) + log_variances
            return n * float(np.log(2 * np.pi)) + log_variances + least
        deviance = criterion.count * float(np.log(2 * np.pi)) + log_variances + least
        if self.method == "ml" and not system.n_penalties:
            return deviance
        determinant = criterion.determinant(solution, fit.log_tau, fit.log_sigma2)
        return deviance + determinant - (0.0 if self.method == "ml" else self._log_det_free)

    @cached_property
    def _unpenalized(self) -> FloatArray:
        """Coefficients (K, d) of what no penalty touches, or of what infinite ones leave."""
        columns, free = self._held.columns, self._held.system.free
        return free if columns is None else columns @ free

    @property
    def _log_det_free(self) -> float:
        """log|N'B'BN|, in the units of the readings."""
        return self._rows.log_det_of(self._unpenalized)

    @property
    def _n_contrasts(self) -> int:
        return self._held.system.n - self._held.system.n_free

    @property
    def _maximises_likelihood(self) -> bool:
        if self.method == "ols":
            return self.loss == "squares"
        return self.fixed is None and self.method in LIKELIHOODS and self.loss == "squares"

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        n_errors = 0 if self._correlated is None else len(self._correlated.names)
        n_smoothing = 0 if self.fixed else len(self._fit.tau)
        n_params = n_smoothing + len(self._rows.unknown) + n_errors
        is_full = self.method in ("ols", "ml")
        return (n_params + self._held.system.n_free, self.nobs) if is_full else (n_params, self._n_contrasts)

    @property
    def df_resid(self) -> float:
        """Residual degrees of freedom, nobs - edf; readings to which a loss gives no weight do not count."""
        return self._fit.system.n - self.edf

    # The curve ------------------------------------------------------------------------------------------------------------------

    @property
    def highest_derivative(self) -> int:
        """Degree of the splines: derivatives of higher order are zero."""
        degree = degree_of(self.basis)
        return HIGHEST_OF_SMOOTH if degree is None else degree

    @property
    def highest_mean_derivative(self) -> int:
        """Degree of the splines."""
        return self.highest_derivative

    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        raise SpecificationError(f"deriv is {deriv}; the derivatives end at {self.highest_derivative}")

    def _check_deriv(self, deriv: Any) -> int:
        order = check_order(deriv, "deriv", 0, 10**6)
        if order > self.highest_derivative:
            raise SpecificationError(
                f"deriv is {order}: {derivative_label(order)} has no finite variance in splines of degree "
                f"{self.highest_derivative}, which have no such derivative; use a higher degree"
            )
        return order

    def _moments(self, x: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        if not len(x.coarse):
            return np.empty(0), np.empty(0)
        rows = pack(self.basis.design(x.coarse, deriv))
        return rows.times(self._coef), self._cov.variance(rows)

    @property
    def _range(self) -> tuple[float, ...]:
        return self.basis.domain

    def _limits(self, x: FloatArray, deriv: int) -> FloatArray | None:
        """Lower and upper bounds (n, 2) of f^(deriv) at x, None where no constraint has one."""
        found = limits_of(self.model.constraints, deriv, x, self.basis.domain)
        return found if np.isfinite(found).any() else None

    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
        """Crossings but those that bounds forbid: where the curve touches its bound, they are rounding."""
        crossings, mode = super()._mean_crossings(deriv, value), self.mode
        constraints = [replace(c, mode=mode) if isinstance(c, Unimodal) and c.mode is None else c for c in self.model.constraints]
        return crossings_within(*crossings, value, lambda x: limits_of(constraints, deriv, x, self.basis.domain), self._range)

    def _prediction(self, points: Points, x: npt.NDArray[Any], deriv: int, noise: str | None = None) -> CurvePrediction:
        return replace(super()._prediction(points, x, deriv, noise), limits=self._limits(points.coarse, deriv))

    @cached_property
    def _neighbours(self) -> Neighbours | None:
        """Fits at other smoothing and sds; None where intervals take both for known."""
        is_estimated = (
            self.fixed is None
            and self.method in LIKELIHOODS
            and len(self._fit.tau)
            and not np.isin(self._fit.tau, [0, np.inf]).any()
        )
        is_plain = self.cov_type == "bayesian" and self.loss == "squares" and not self.errors and self._active_rows is None
        if not (is_estimated and is_plain):
            return None
        inside = [u for u, name in enumerate(self._rows.unknown) if name not in self.boundary]
        return Neighbours.of(self._fit, LIKELIHOODS[self.method], inside)

    def _parameter_uncertainty(
        self, points: Points, deriv: int, variance: FloatArray, noise: str | None
    ) -> ParameterUncertainty | None:
        if self._neighbours is None or not len(variance):
            return None
        return self._uncertainty_of(pack(self.basis.design(points.coarse, deriv)), variance, noise)

    def _uncertainty_of(self, rows: BandRows | ProductRows, variance: FloatArray, noise: str | None) -> ParameterUncertainty | None:
        """What estimated parameters add to rows of a variance (n,), and to new readings of a name."""
        if self._neighbours is None or not len(variance):
            return None
        if noise is None:
            return self._neighbours.uncertainty(rows, variance, 0.0, len(self._sigma2))
        group = self._rows.group_of_name[self.observations.names.index(noise)]
        return self._neighbours.uncertainty(rows, variance, float(self.sigma[noise]) ** 2, int(group))

    def get_prediction(self, x: Any, deriv: int = 0, name: str | None = None, simultaneous: bool = False) -> CurvePrediction:
        """Estimate of f^(deriv) at x, with standard errors and intervals.

        Parameters
        ----------
        x : array_like, shape (n,), or data frame
            As of `predict`.
        deriv : int
            Order of the derivative, at most the degree.
        name : str, optional
            Whose noise a new reading has, a name that reads f^(deriv); by default the first.
        simultaneous : bool
            Whether the intervals of the curve are to hold at all x together with the level asked for. The critical value is that
            of the greatest distance from the estimate in standard errors over these x, by 20 000 draws of the coefficients from a
            fixed seed: right to 1 %.

        Returns
        -------
        CurvePrediction
            Its `x` are those given. With correlated errors, intervals of a new reading are for one whose error is independent of
            those of the readings: of another run.

        Notes
        -----
        Standard errors are those at the estimated smoothing and sds. Pointwise intervals of a fit by REML or ML allow for the
        uncertainty of both (Kass & Steffey 1989; `CurvePrediction.parameters`) where `cov_type` is ``"bayesian"`` and the loss
        squares. They are Student's t with fixed smoothing, after GCV or AICc, where a lam is infinite, under bounds that are
        reached, and with correlated errors.

        References
        ----------
        R. Kass and D. Steffey (1989), "Approximate Bayesian inference in conditionally independent hierarchical models".
        D. Ruppert, M. Wand and R. Carroll (2003), *Semiparametric Regression*, section 6.5.
        """
        prediction = super().get_prediction(x, deriv, name)
        if not simultaneous:
            return prediction
        n = prediction.predicted_mean.size
        check_memory(OF_BAND * n * self.basis.n_basis, f"a simultaneous band at {n} x", "pass fewer x, or use fewer functions")
        return replace(prediction, maxima=critical_of_band(self._design(x, deriv), self._cov, self.df_interval))

    def integrate(self, a: Any, b: Any) -> Estimate:
        """Return the integral of f from a to b, in units of f times x, with its standard error."""
        if np.ndim(a) or np.ndim(b):
            raise SpecificationError("a and b are single abscissae; call integrate for each interval")
        abscissa = self.observations.abscissa
        lower, upper = (abscissa.read(limit, name).reshape(1) for limit, name in ((a, "a"), (b, "b")))
        rows = pack(self.basis.integral(lower, upper, sparse=True))
        value = float(rows.times(self._coef)[0])
        return Estimate(value, np.sqrt(self._cov.variance(rows)[0]), self.df_interval)

    def sample(
        self, x: Any, deriv: int | Sequence[int] = 0, size: int = 100, rng: np.random.Generator | int | None = None
    ) -> FloatArray:
        """Draw curves from the posterior: their derivatives at x, at the estimated variances.

        Under bounds each draw is brought within them: it is the curve that satisfies them nearest to a draw of the posterior
        without them, in the metric of the fit, as the estimate itself is (Lin & Dunson 2014). That costs a cone program a draw.

        Parameters
        ----------
        x : array_like
        deriv : int or sequence of int
            Order of the derivative; of several, the draws belong together.
        size : int
            Number of curves.
        rng : numpy.random.Generator or int, optional
            Source of randomness, or a seed for one.

        Returns
        -------
        ndarray
            Shape (size, ...), ... that of x, or (len(deriv), size, ...) for several orders.

        References
        ----------
        L. Lin and D. Dunson (2014), "Bayesian monotone regression using Gaussian process projection", *Biometrika* 101.
        """
        orders: list[Any] = [deriv] if np.ndim(deriv) == 0 else list(np.asarray(deriv))
        given = self.observations.abscissa.given(x)
        curves = self._drawn([self._design(given, order) for order in orders], given.shape, size, rng)
        return curves[0] if np.ndim(deriv) == 0 else np.stack(curves)

    def _drawn(
        self,
        designs: Sequence[BandRows | ProductRows],
        shape: tuple[int, ...],
        size: int,
        rng: np.random.Generator | int | None,
    ) -> list[FloatArray]:
        """What draws of the coefficients are in each design, (size, *shape)."""
        root = self._cov.root()
        n_draws, generator = check_order(size, "size", 1, 2**31), check_rng(rng)
        entries = float(n_draws) * (2 * root.shape[1] + 3 * sum(rows.n for rows in designs))
        check_memory(8 * entries, f"a sample of size = {n_draws}", "lower size, or pass fewer x")
        draws = generator.standard_normal((n_draws, root.shape[1]))
        if self._bounded is None:
            values = [rows.times(self._coef) + (rows.times(root) @ draws.T).T for rows in designs]
        else:
            polynomials, (metric, columns) = self._polynomials, self._metric
            free = self._without_bounds + draws @ root.T
            coef = np.array([brought_within(draw, metric, columns, polynomials) for draw in free])
            values = [rows.times(coef.T).T for rows in designs]
        return [part.reshape(len(draws), *shape) for part in values]

    @property
    def _polynomials(self) -> Sequence[Polynomials]:
        """What bounds keep nonnegative, with a mode that was searched."""
        return self.model._restrictions.polynomials if self._peak is None else self._peak.polynomials

    @property
    def _without_bounds(self) -> FloatArray:
        """Coefficients (K,) at the same smoothing and variances without bounds."""
        return self._refined[0]

    @property
    def _metric(self) -> tuple[csr_array, csr_array | None]:
        """R, with |R d|^2 by how much a change columns @ d raises the penalised sum of squares, and these columns."""
        R = self._solution[1]
        return rows_of_factor(R).sparse(len(R)), self._fit.columns

    def bootstrap(
        self,
        x: Any,
        deriv: int = 0,
        size: int = 999,
        kind: str = "residual",
        block: int = 1,
        rng: Any = None,
        *,
        studentize: bool = False,
        n_jobs: int = 1,
        progress: bool = False,
    ) -> CurveBootstrap:
        """Draw estimates of f^(deriv) at x from readings made anew, at the fitted smoothing and variances.

        Without bounds and with squares the estimator is linear in the readings, and a draw costs a product. Else each draw is
        fitted: under its own active constraints, with its own weights of a loss.

        Parameters
        ----------
        x : array_like, shape (m,)
        deriv : int
            Order of the derivative.
        size : int
            Number of draws.
        kind : {"residual", "wild", "block"}
            New noise of each name: its residuals drawn with replacement; its own residuals with random signs (Wu 1986), of a
            quantile with the factors of Feng, He & Hu (2011); or runs of `block` neighbours in x (Künsch 1989). Residuals of
            squares are made independent, standardised by sqrt(1 - leverage) and centred before, and correlated again.
        block : int
            Length of the runs.
        rng : numpy.random.Generator or seed, optional
            Draws depend on it alone, whatever `n_jobs`.
        studentize : bool
            Whether to find the standard errors of every draw, for studentised intervals; every draw is then fitted.
        n_jobs : int
            Number of processes for draws that are fitted.
        progress : bool
            Whether to show a progress bar.

        Returns
        -------
        CurveBootstrap
            The draws, and intervals from them.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 60)
        >>> obs = sf.observe(x, x + 0.1 * np.random.default_rng(0).standard_normal(60))
        >>> model = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 5), sf.DerivativePenalty(2), sf.Increasing())
        >>> draws = model.fit(edf=4).bootstrap([0.25, 0.75], size=99, rng=0)
        >>> draws.conf_int(alpha=0.1).shape
        (2, 2)
        """
        from .bootstrap import bootstrap, job_of

        count, runs = check_order(size, "size", 2, 2**31), check_order(block, "block", 1, self.nobs)
        target = self._design(x, deriv)
        limits = None if self._bounded is None else self._limits(self.observations.abscissa.read(x).ravel(), deriv)
        job = job_of(self, target, kind, runs, bool(studentize), limits)
        return bootstrap(job, count, rng, check_order(n_jobs, "n_jobs", 1, 1024), bool(progress))

    def spline(self) -> Spline:
        """Return the estimate as a spline, its x counted as the knots are."""
        return Spline(self.basis, self._coef)  # type: ignore[arg-type]

    # Summary ----------------------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: method, smoothing, readings by name, coefficients with intervals, convergence."""
        from .tables import regression_summary

        return regression_summary(self, alpha)

    def __repr__(self) -> str:
        return f"SplineRegressionResults(n_basis={self.basis.n_basis}, nobs={self.nobs}, edf={self.edf:.4g})"


def _spread(inner: Banded, columns: csr_array | None) -> Covariance:
    """The covariance of coefficients that sparse columns combine."""
    return inner if columns is None else Substituted(inner, columns)
