"""Results of a spline regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._abscissa import Points
from .._validation import FloatArray, check_order
from ..basis import Spline
from ..curves.prediction import CurvePrediction, critical_value
from ..curves.results import Estimate
from ..errors import SpecificationError
from ..observations import derivative_label
from .band import BandRows, multiply_factor, pack, solve_factor
from .conic import Active
from .constraints import Equals
from .criteria import LIKELIHOODS, RestrictedLikelihood
from .fitting import Estimate as Fit
from .fitting import effective_df
from .inference import Inference
from .posterior import Banded, Covariance, Factored
from .products import ProductRows
from .restricted import gradient, lifted, multipliers_of, on_the_active_set
from .rows import Rows, degree_of
from .sandwich import sandwich_root
from .simultaneous import critical_of_band
from .system import System

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from .model import SplineRegression

METHOD_NAMES = {"reml": "REML", "ml": "ML", "gcv": "GCV", "aicc": "AICc", "fixed": "fixed", "ols": "least squares"}
HIGHEST_OF_SMOOTH = 10  # derivative of a basis without a degree


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
    loss_weights : ndarray, shape (n,), or None
        Weights that stand for a loss other than squares, beside those that the readings have.
    """

    loss: str = "squares"
    loss_weights: FloatArray | None = None

    def __init__(
        self,
        model: SplineRegression,
        method: str,
        fixed: str | None,
        rows: Rows,
        estimate: Fit,
        cov_type: str,
        cov_kwds: dict[str, Any],
        bounded: tuple[FloatArray, Active] | None = None,
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
        if self._bounded is not None:
            return self._bounded[0]
        return lifted(self._solution[0], self._fit.columns, self._fit.offset)

    @property
    def _active_rows(self) -> FloatArray | None:
        """What bounds that are reached hold fixed, (m, K); None where there are none."""
        return None if self._bounded is None or not len(self._bounded[1].rows) else self._bounded[1].rows

    @cached_property
    def _bayesian(self) -> Covariance:
        """A^-1."""
        _, R, inverse = self._solution
        columns, active = self._fit.columns, self._active_rows
        free: Covariance = Banded(R, inverse)
        if columns is not None:
            free = Factored(columns @ solve_factor(R, np.eye(len(R))))
        return free if active is None else on_the_active_set(free, active)

    @cached_property
    def _whole(self) -> System:
        """The system of all coefficients, whatever equalities and infinite penalties leave of them."""
        return System.of(self._rows, self.model.penalty)

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
        """``"lam"`` (``"lam[j]"`` of several) where it is infinite, and names whose sd is indistinguishable from zero."""
        return self._fit.boundary

    @property
    def decrement(self) -> float:
        """The certificate of convergence: twice the distance of the criterion from its minimum, g'H^-1 g."""
        return 0.0 if self._fit.minimum is None else self._fit.minimum.decrement

    @property
    def sigma(self) -> pd.Series:
        """Noise sd per name at weight one: estimated, or given (root mean square where it varies)."""
        import pandas as pd

        values = []
        for reading, group in zip(self.observations.readings, self._rows.group_of_name, strict=True):
            known = 1.0 if reading.sd is None else float(np.sqrt(np.mean(reading.sd**2)))
            is_estimated = group < len(self._rows.unknown)
            values.append(known * (float(np.exp(self._fit.log_sigma2[group] / 2)) if is_estimated else 1.0))
        return pd.Series(values, index=list(self.observations.names), name="sigma")

    @cached_property
    def _sigma2(self) -> FloatArray:
        """Variance of every group."""
        return np.exp(self._fit.log_sigma2)

    @property
    def _noise_variance(self) -> FloatArray:
        return self._rows.ratio * self._sigma2[self._rows.group]

    @property
    def fittedvalues(self) -> FloatArray:
        """What the curve says of each reading, shape (n,), in the units of the readings."""
        return self._rows.times(self._coef)

    @cached_property
    def _leverage(self) -> FloatArray:
        variances = [self._bayesian.variance(part) for part in self._rows.parts]
        return np.asarray(np.concatenate(variances) / self._noise_variance)

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix."""
        if self._active_rows is not None:
            return float(self._leverage.sum())
        return effective_df(self._fit.system, self._fit.log_tau, self._fit.log_sigma2)

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
            active = self._bounded[1]
            owner = np.concatenate([owner, active.owner + len(entries)])
            entries += [(restrictions.polynomials[i].label, lower, upper) for i, lower, upper in active.places]
            rows = np.vstack([rows, active.rows])
        multipliers = np.full(len(entries), np.nan)
        if np.isfinite(self._fit.tau).all() and len(entries):
            whole = self._whole
            slope = gradient(whole.factors, whole.rhs, whole.scales(np.log(self._fit.tau), self._fit.log_sigma2), self._coef)
            n_equal = len(rows) if self._bounded is None else len(rows) - len(self._bounded[1].rows)
            multipliers = np.bincount(owner, multipliers_of(rows, n_equal, slope), minlength=len(entries))
        frame = pd.DataFrame(entries, columns=["constraint", "lower", "upper"])
        return frame.assign(multiplier=multipliers)

    # Likelihood -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Log-likelihood: restricted, in Harville's form; full with ``method="ml"`` and ``"ols"``.

        The restricted one is -1/2 [(n - d) log 2 pi + log|V| + log|A| - log|S|_+ + log|N'N| - log|N'B'BN| + minimum], with N any
        basis of what no penalty touches: it depends neither on that basis nor on that of the splines. With ``"ols"`` it is
        that of statsmodels: n log(RSS / n) stands for the variance where no sd is known.
        """
        return -(self._deviance() + self._rows.log_ratio) / 2

    def _deviance(self) -> float:
        """-2 log-likelihood of the rows divided by the roots of their variance ratios."""
        fit, system = self._fit, self._fit.system
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
        if self.method == "ml":
            return deviance + (criterion.determinant(solution, fit.log_tau) if system.n_penalties else 0.0)
        return deviance + criterion.determinant(solution, fit.log_tau) - self._log_det_free

    @cached_property
    def _unpenalized(self) -> FloatArray:
        """Coefficients (K, d) of what no penalty touches, or of what infinite ones leave."""
        columns, free = self._fit.columns, self._fit.system.free
        return free if columns is None else columns @ free

    @property
    def _log_det_free(self) -> float:
        """log|N'B'BN|, in the units of the readings."""
        return self._rows.log_det_of(self._unpenalized)

    @property
    def _n_contrasts(self) -> int:
        return self.nobs - self._fit.system.n_free

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        if self.method == "ols":
            return self._fit.system.size, self.nobs
        n_smoothing = 0 if self.fixed else len(self._fit.tau)
        n_params = n_smoothing + len(self._rows.unknown)
        return (n_params + self._fit.system.n_free, self.nobs) if self.method == "ml" else (n_params, self._n_contrasts)

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

    def get_prediction(self, x: Any, deriv: int = 0, name: str | None = None, simultaneous: bool = False) -> CurvePrediction:
        """Estimate of f^(deriv) at x, with standard errors and intervals.

        Parameters
        ----------
        x : array_like, shape (n,)
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
            Its `x` are those given.

        References
        ----------
        D. Ruppert, M. Wand and R. Carroll (2003), *Semiparametric Regression*, section 6.5.
        """
        prediction = super().get_prediction(x, deriv, name)
        if not simultaneous:
            return prediction
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
        """
        orders: list[Any] = [deriv] if np.ndim(deriv) == 0 else list(np.asarray(deriv))
        curves = self._drawn([self._design(x, order) for order in orders], np.shape(x), size, rng)
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
        draws = np.random.default_rng(rng).standard_normal((check_order(size, "size", 1, 2**31), root.shape[1]))
        values = [rows.times(self._coef) + (rows.times(root) @ draws.T).T for rows in designs]
        return [part.reshape(len(draws), *shape) for part in values]

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
