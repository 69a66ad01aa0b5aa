"""Results of a spline regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .._entry import entry_point
from .._frames import framed, labelled
from .._validation import FloatArray, check_order
from ..basis import Spline
from ..errors import SpecificationError
from ..observations import derivative_label
from ..observations.abscissa import Abscissa, Points
from ..results.prediction import CurvePrediction, Estimate
from .band import pack
from .bootstrap import CurveBootstrap, bootstrap, job_of
from .constraints import Equals, Unimodal, limits_of
from .fit import Fit
from .functionals import degree_of
from .limits import Limits
from .noise import NoiseResults
from .restricted import crossings_within, multipliers_of
from .series_points import SeriesPoints

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

HIGHEST_OF_SMOOTH = 10  # derivative of a basis without a degree


@entry_point
class SplineRegressionResults(NoiseResults):
    """A fitted spline regression; made by `SplineRegression.fit`.

    Attributes
    ----------
    model : SplineRegression
        What was fitted.
    observations : Observations or PointObservations
    basis : Basis or TensorProductBasis
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
        Weights that represent a loss other than squares, beside those that the observations have.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 11)
    >>> res = sf.SplineRegression(sf.observe(x, x**2, sd=0.1), sf.BSplineBasis.uniform(0, 1, 2, degree=2)).fit()
    >>> res
    SplineRegressionResults(n_basis=4, nobs=11, edf=4)
    >>> res.predict([0.5, 1.0], deriv=1).round(6)
    array([1., 2.])
    """

    def __init__(self, model: Any, fit: Fit):
        self.model = model
        self._fit = fit
        self.observations = fit.rows.observations  # type: ignore[assignment]
        self.basis = fit.basis  # type: ignore[assignment]
        self.method, self.fixed = fit.method, fit.fixed
        self.cov_type, self.cov_kwds = fit.cov_type, fit.cov_kwds
        self.loss, self.loss_parameter, self.loss_weights = fit.loss, fit.loss_parameter, fit.loss_weights
        self.use_t = bool(fit.rows.unknown) and fit.loss != "quantile"

    # Coefficients and their covariance ----------------------------------------------------------------------------------------

    @property
    def params(self) -> pd.Series:
        """Coefficients of the basis functions, in units of f, then of series, in theirs: ``bias.<name>``, ``start.<name>``.

        ``start.<name>`` is what a slow instrument (`response_time` of `observe`) showed at its first observation, less its bias.
        """
        import pandas as pd

        return pd.Series(self._fit.coef.copy(), index=self._names_of_params, name="params")

    @property
    def _names_of_params(self) -> list[str]:
        return [*(f"b{j}" for j in range(self.basis.n_basis)), *self._fit.rows.extras]

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the coefficients, of the kind `cov_type`."""
        import pandas as pd

        root = self._fit.cov.root()
        return pd.DataFrame(root @ root.T, index=self._names_of_params, columns=self._names_of_params)

    @property
    def _standard_errors(self) -> FloatArray:
        return np.sqrt(self._fit.cov.variance(self._every_coefficient))

    # Smoothing -----------------------------------------------------------------------------------------------------------------

    @property
    def lam(self) -> Any:
        """Smoothing parameter of each penalty; infinite if the curve is in the penalty's null space; None without a penalty."""
        lam = self._fit.lam
        return None if not len(lam) else float(lam[0]) if len(lam) == 1 else lam

    @property
    def decrement(self) -> float:
        """The convergence criterion: twice the distance of the criterion from its minimum, g'H^-1 g."""
        outer = [None if own is None else own.minimum for own in (self._fit.correlated, self._fit.sensed)]
        searches = [self._fit.estimate.minimum, *outer]
        return max([0.0, *(search.decrement for search in searches if search is not None)])

    @property
    def digits_lost(self) -> float:
        """Decimal digits that rounding costs: no value, derivative or integral is off by more than eps 10^digits_lost SDs.

        SDs are posterior ones, at the fitted smoothing and variances and before bounds; eps is 2.2e-16. Values up to 7.6 mean a
        rounding error below 1e-8 posterior SD. If the bound is larger, iterative refinement in extended precision corrects the fit
        and measures the remaining error; `fit` warns if that exceeds 1e-8. The formulas are in ``smoothfit.regression.precision``.
        """
        return self._fit.digits_lost

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix; bounds that are reached count as equations."""
        return self._fit.edf

    @property
    def mode(self) -> float | None:
        """Where the curve is highest, as `Unimodal` without a mode found it; None if there is no such constraint."""
        return None if self._fit.peak is None else self._fit.peak.mode

    @property
    @framed
    def active_constraints(self) -> pd.DataFrame:
        """Active constraints: one row for each equality, and for each point or piece where a bound is reached.

        ``constraint`` is its name, ``lower`` and ``upper`` its range of x (NaN for integrals and for points of surfaces),
        ``multiplier`` by how much the penalised sum of squares, in units of the variances, would fall for each unit by which the
        bound is loosened (for equalities: its derivative by the value, with the sign turned). NaN where a penalty is infinite.
        """
        import pandas as pd

        fit, restrictions = self._fit, self._fit.specification.restrictions
        entries: list[tuple[str, float, float]] = []
        for part in restrictions.equalities:
            entries += [(part.label, np.nan, np.nan)] * len(part.values)
        for constraint in fit.specification.constraints:
            if isinstance(constraint, Equals) and constraint.upper is None and np.ndim(constraint.x) == 1:
                first = next(i for i, entry in enumerate(entries) if np.isnan(entry[1]))
                entries[first : first + len(constraint.x)] = [(entries[first][0], float(x), float(x)) for x in constraint.x]
        owner = np.arange(len(entries))
        rows = restrictions.rows if restrictions.equalities else np.zeros((0, fit.n_coef))
        rows = np.pad(rows, ((0, 0), (0, fit.n_coef - rows.shape[1])))  # of biases they are zero
        if fit.bounded is not None:
            active = fit.bounded.active
            owner = np.concatenate([owner, active.owner + len(entries)])
            entries += [(fit.polynomials[i].label, lower, upper) for i, lower, upper in active.places]
            rows = np.vstack([rows, active.rows])
        multipliers = np.full(len(entries), np.nan)
        if np.isfinite(fit.estimate.tau).all() and len(entries):
            n_equal = len(rows) if fit.bounded is None else len(rows) - len(fit.bounded.active.rows)
            multipliers = np.bincount(owner, multipliers_of(rows, n_equal, fit.objective_slope()), minlength=len(entries))
        frame = pd.DataFrame(entries, columns=["constraint", "lower", "upper"])
        return frame.assign(multiplier=multipliers)

    # Likelihood -----------------------------------------------------------------------------------------------------------------

    @property
    def llf(self) -> float:
        """Log-likelihood: restricted, in Harville's form; full with ``method="ml"`` and ``"ols"``.

        The restricted one is -1/2 [(n - d) log 2 pi + log|V| + log|A| - log|S|_+ + log|N'N| - log|N'B'BN| + minimum], with N any
        basis of what no penalty touches: it depends neither on that basis nor on that of the splines. The full one with ``"ml"``
        has n for n - d and log|N'B'V^-1 BN| for log|N'B'BN|: the random part of the curve lies in the complement orthogonal to N
        in the metric of the noise. It is that of `SmoothingSpline`, not that of R's mgcv, which depends on the basis. With
        ``"ols"`` it is that of statsmodels: n log(RSS / n) replaces the variance if no SD is known.
        """
        return self._fit.llf

    @property
    def _n_contrasts(self) -> int:
        return self._fit.n_contrasts

    @property
    def _maximises_likelihood(self) -> bool:
        return self._fit.maximises_likelihood

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        return self._fit.n_likelihood

    @property
    def df_resid(self) -> float:
        """Residual degrees of freedom, nobs - edf; observations to which a loss gives no weight do not count."""
        return self._fit.df_resid

    # The curve ------------------------------------------------------------------------------------------------------------------

    @property
    def highest_derivative(self) -> int:
        """Degree of the splines: derivatives of higher order are zero."""
        degree = degree_of(self.basis)
        return HIGHEST_OF_SMOOTH if degree is None else degree

    @property
    def highest_mean_derivative(self) -> int:
        """The highest derivative of the estimate that is not zero everywhere, the degree of the splines."""
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
        rows = self._rows_at(x, deriv)
        return rows.times(self._fit.coef), self._fit.cov.variance(rows)

    @property
    def _range(self) -> tuple[float, ...]:
        return self.basis.domain

    def _limits(self, x: FloatArray, deriv: int) -> FloatArray | None:
        """Lower and upper bounds (n, 2) of f^(deriv) at x, None if no constraint has one."""
        found = limits_of(self._fit.specification.constraints, deriv, x, self.basis.domain)
        return found if np.isfinite(found).any() else None

    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
        """Crossings but those that bounds forbid: where the curve touches its bound, they are rounding."""
        crossings, mode = super()._mean_crossings(deriv, value), self.mode
        constraints = [
            replace(c, mode=mode) if isinstance(c, Unimodal) and c.mode is None else c for c in self._fit.specification.constraints
        ]
        return crossings_within(*crossings, value, lambda x: limits_of(constraints, deriv, x, self.basis.domain), self._range)

    def _prediction(self, points: Points, x: npt.NDArray[Any], deriv: int, noise: str | None = None) -> CurvePrediction:
        free = super()._prediction
        if isinstance(points, SeriesPoints):  # the constraints are of the curve
            return free(points, x, deriv, noise)
        limits = Limits.of(self._fit, self.basis.domain, points.coarse, deriv, lambda at: free(Points(at), at, deriv, noise))
        return replace(free(points, x, deriv, noise), limits=limits)

    def get_prediction(
        self,
        x: Any,
        deriv: int = 0,
        name: str | None = None,
        *,
        simultaneous: bool = False,
        parameters: str = "estimated",
    ) -> CurvePrediction:
        """Estimate of f^(deriv) at x, with standard errors and intervals.

        Parameters
        ----------
        x : array_like, shape (n,), or data frame
            As of `predict`.
        deriv : int
            Order of the derivative, at most the degree.
        name, simultaneous, parameters
            As of `CurveResults.get_prediction`.

        Returns
        -------
        CurvePrediction
            Its `x` are those given. With correlated errors, intervals of a new observation are for one whose error is independent
            of those of the observations: of another run.

        Notes
        -----
        Standard errors are those at the estimated smoothing and SDs. Intervals and bands integrate over both (`hyperparameters`):
        they are quantiles of a mixture of t or normal laws, also where a lam is infinite or an SD zero at the estimates. They treat
        parameters of correlated errors for known, and ignore bounds but for ending there; where constraints make f^(deriv)
        monotone, an interval also ends where intervals to its left and right imply that it does.

        Smoothing and SDs are taken for known, and intervals are Student's t or normal, with fixed smoothing; after GCV or AICc;
        with a `cov_type` other than ``"bayesian"`` or a loss other than squares; and under bounds that are reached.

        References
        ----------
        H. Rue, S. Martino and N. Chopin (2009), "Approximate Bayesian inference for latent Gaussian models by using integrated
        nested Laplace approximations". D. Ruppert, M. Wand and R. Carroll (2003), *Semiparametric Regression*, section 6.5.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> res = sf.SplineRegression(sf.observe(x, 2 * x, sd=0.1), sf.BSplineBasis([0, 0, 1, 1], degree=1)).fit()
        >>> prediction = res.get_prediction([0.5])
        >>> prediction.se_mean.round(3), prediction.conf_int().round(3)  # 0.1 / sqrt(11), 1 -+ 1.96 se
        (array([0.03]), array([[0.941, 1.059]]))
        """
        return self._get_prediction(x, deriv, name, simultaneous, parameters)

    def difference(self, lower: Any, upper: Any) -> Estimate:
        """Return f(upper) - f(lower) with its standard error and its interval.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> res = sf.SplineRegression(sf.observe(x, 2 * x, sd=0.1), sf.BSplineBasis([0, 0, 1, 1], degree=1)).fit()
        >>> change = res.difference(0, 1)
        >>> round(float(change), 6), round(change.se, 4)  # of a line: 0.1 / sqrt(1.1), the sum of (x - .5)^2 being 1.1
        (2.0, 0.0953)
        """
        start, end = self._limits_within(lower, upper)
        return self._estimate_of(pack(csr_array(self.basis.design(end.coarse, 0) - self.basis.design(start.coarse, 0))))

    def sample(
        self,
        x: Any,
        deriv: int | Sequence[int] = 0,
        size: int = 100,
        rng: np.random.Generator | int | None = None,
        *,
        parameters: str = "integrated",
    ) -> FloatArray:
        """Draw curves from the posterior: their derivatives at x.

        Under bounds each draw is brought within them: it is the curve that satisfies them nearest to a draw of the posterior
        without them, in the metric of the fit, as the estimate itself is (Lin & Dunson 2014). That costs a cone program a draw.

        Parameters
        ----------
        x, deriv, size, rng
            As of `CurveResults.sample`.
        parameters : {"integrated", "fixed"}
            Whether each draw is at smoothing and SDs that are drawn as well, as those over which intervals integrate, or at the
            estimates. Where intervals take the smoothing for known (see `get_prediction`) but an SD is estimated, integrated draws
            are Student's t, as intervals are.

        Returns
        -------
        ndarray
            Shape (size, ...), ... that of x, or (len(deriv), size, ...) for several orders.

        References
        ----------
        L. Lin and D. Dunson (2014), "Bayesian monotone regression using Gaussian process projection", *Biometrika* 101.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> res = sf.SplineRegression(sf.observe(x, 2 * x, sd=0.1), sf.BSplineBasis([0, 0, 1, 1], degree=1)).fit()
        >>> curves = res.sample([0.5, 1.0], size=1000, rng=0)
        >>> curves.shape, curves.mean(axis=0).round(1)
        ((1000, 2), array([1., 2.]))
        """
        return self._sampled(x, deriv, size, rng, parameters)

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
        """Draw estimates of f^(deriv) at x from observations made anew, at the fitted smoothing and variances.

        Without bounds and with squares the estimator is linear in the observations, and a draw costs a product. Else each draw is
        fitted: under its own active constraints, with its own weights of a loss.

        Parameters
        ----------
        x : array_like, shape (m,)
        deriv : int
            Order of the derivative.
        size : int
            Number of draws.
        kind : {"residual", "wild", "block"}
            New noise of each series: its residuals drawn with replacement; its own residuals with random signs (Wu 1986), of a
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
        count, runs = check_order(size, "size", 2, 2**31), check_order(block, "block", 1, self.nobs)
        target = self._design(x, deriv)
        limits = None if self._fit.bounded is None else self._limits(self.observations.abscissa.read(x).ravel(), deriv)
        job = job_of(self._fit, target, kind, runs, bool(studentize), limits)
        return bootstrap(job, count, rng, check_order(n_jobs, "n_jobs", 1, 1024), bool(progress))

    def spline(self) -> Spline:
        """Return the estimate as a spline, its x counted as the knots are."""
        return Spline(self.basis, self._fit.coef[: self.basis.n_basis])  # type: ignore[arg-type]

    @property
    def _criteria(self) -> dict[str, float]:
        rss = float(np.sum(self._fit.rows.whitened(self._resid) ** 2))
        return {"n_basis": self.basis.n_basis, **super()._criteria, "gcv": self.nobs * rss / self.df_resid**2}

    def _mean_without_data(self) -> Callable[[Any, Any], FloatArray]:
        return partial(_mean_at, self.spline(), self.observations.abscissa)

    # Summary ----------------------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: method, smoothing, observations by series, coefficients with intervals, convergence."""
        from .tables import regression_summary

        return regression_summary(self._fit, self, alpha)

    def __repr__(self) -> str:
        return f"SplineRegressionResults(n_basis={self.basis.n_basis}, nobs={self.nobs}, edf={self.edf:.4g})"


def _mean_at(spline: Spline, abscissa: Abscissa, x: Any, deriv: Any) -> Any:
    """A spline or its derivative at the given x."""
    return labelled(np.asarray(spline(abscissa.read(x), deriv=deriv)), x, "mean")
