"""Intervals, bands and draws of a spline regression: smoothing and SDs are integrated out where a likelihood estimated them.

They are taken for known, and intervals are Student's t or normal, with fixed smoothing, after GCV or AICc, with a covariance that
is not Bayesian, a loss that is not squares, and under bounds that are reached: there is no likelihood of the smoothing there, or
not that of the curve. Parameters of correlated errors are taken for known as well, and what is left is integrated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray, check_level, check_memory
from ..basis.base import Basis
from ..inference.engine import PointDraws
from ..inference.newton import PREDICTION_CRITERIA
from ..observations.abscissa import Asked, Points
from ..results.curve import CurveResults
from ..results.draws import N_MAXIMA, BandDraws, Indices, curve_draws
from ..results.integrated import Integrated
from ..results.later import later
from ..results.mixtures import Laws, ends_of
from ..results.prediction import CurvePrediction, Estimate
from ..results.range_ends import RangeEnd
from .band import BandRows, pack
from .engine import BandEngine
from .fit import Fit
from .functionals import check_dates, check_lagged, outside_lagged
from .products import ProductRows
from .restricted import brought_within
from .sensor_engine import SensorEngine
from .series_points import SeriesPoints, SeriesRows

if TYPE_CHECKING:
    import pandas as pd

SEED = 20_030_709  # of simultaneous bands


@entry_point
class Intervals(CurveResults, Integrated):
    """The part of `SplineRegressionResults` on the uncertainty of the curve, its coefficients, the smoothing and the SDs."""

    basis: Basis
    _fit: Fit

    # What is integrated -------------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> BandEngine | SensorEngine:
        """The model without bounds, as a function of smoothing and variances; `theta_hat` are the estimates in its terms."""
        return self._fit.engine

    @property
    def theta_hat(self) -> FloatArray:
        return self._fit.theta_hat

    @property
    def _conditions(self) -> bool:
        fit = self._fit
        is_chosen = fit.fixed is not None or fit.method in PREDICTION_CRITERIA  # SDs are then those of residuals
        return is_chosen or fit.cov_type != "bayesian" or fit.loss != "squares" or fit.active_rows is not None

    @property
    def _plotted(self) -> tuple[pd.Series, pd.DataFrame]:
        table = self.hyperparameter_intervals()
        estimates = table["estimate"].where(np.isfinite(table["estimate"]))  # an infinite lam has no place on the axis
        return estimates, table[["ci_lower", "ci_upper"]]

    @property
    def _at_estimates(self) -> dict[str, float]:
        sds = {f"sigma.{name}": sd for name, sd in self.sigma.items()}
        return dict(zip(self._names_of_weights, self._fit.lam.tolist(), strict=True)) | sds | self._sensed

    def hyperparameter_intervals(self, alpha: float = 0.05) -> pd.DataFrame:
        """Estimates of the smoothing and the SDs, with intervals of level 1 - alpha: quantiles of their posterior.

        Parameters
        ----------
        alpha : float
            Significance level.

        Returns
        -------
        pandas.DataFrame
            One row for each ``lam`` and ``sigma.<name>`` that was estimated: ``estimate``, ``ci_lower``, ``ci_upper``. NaN where
            smoothing and SDs are taken for known (see `get_prediction`).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 25)
        >>> obs = sf.observe(x, np.sin(6 * x) + 0.2 * np.random.default_rng(0).standard_normal(25))
        >>> res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 17), sf.DerivativePenalty(2)).fit()
        >>> low, high = res.hyperparameter_intervals().loc["sigma.f", ["ci_lower", "ci_upper"]]
        >>> bool(low < 0.2 < high)
        True
        """
        import pandas as pd

        rows, level = {}, check_level(alpha)
        for name, estimate in self._estimated.items():
            is_known = self._conditions or not (self._is_integrated or self._at_nodes[name][1])
            rows[name] = [estimate, *([np.nan, np.nan] if is_known else self._interval_of(name, level))]
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "ci_lower", "ci_upper"], dtype=np.float64)

    @property
    def _names_of_weights(self) -> list[str]:
        P = len(self._fit.lam)
        return ["lam"] if P == 1 else [f"lam[{j}]" for j in range(P)]

    @property
    def _estimated(self) -> dict[str, float]:
        """Names and estimates of the weights and SDs that were estimated."""
        fit = self._fit
        found = {} if fit.fixed else dict(zip(self._names_of_weights, fit.lam.tolist(), strict=True))
        is_unknown = [group < len(fit.rows.unknown) for group in fit.rows.group_of_name]
        found |= {f"sigma.{name}": sd for (name, sd), is_own in zip(self.sigma.items(), is_unknown, strict=True) if is_own}
        return found | self._sensed

    @property
    def _sensed(self) -> dict[str, float]:
        """Estimated scales, lags and response times of series, by name."""
        search = self._fit.sensed
        if search is None:
            return {}
        return dict(zip(search.sensors.labels, search.sensors.numbers(search.minimum.theta).tolist(), strict=True))

    @property
    def range_ends(self) -> dict[str, RangeEnd]:
        """Scales, lags and response times of series that are estimated at an end of the range that is searched."""
        search = self._fit.sensed
        if search is None:
            return {}
        ends = zip(search.minimum.at_lower.tolist(), search.minimum.at_upper.tolist(), strict=True)
        found = zip(self._sensed.items(), ends, strict=True)
        return {label: RangeEnd(is_lower, value) for (label, value), (is_lower, is_upper) in found if is_lower or is_upper}

    @property
    def _signed(self) -> Collection[str]:
        return [label for label in self._sensed if label.startswith("lag.")]

    @cached_property
    def _at_nodes(self) -> dict[str, tuple[FloatArray, float]]:
        engine = self.engine
        log_tau, log_sigma2 = engine.logs(self.parameter_posterior.theta)
        scale = log_sigma2[:, :1] if engine.rows.unknown else 0.0  # lam weighs against the first unknown variance
        found = {name: (lam, 0.0) for name, lam in zip(self._names_of_weights, np.exp(log_tau + scale).T, strict=True)}
        for name, sds in zip(self.observations.names, self._fit.sds(log_sigma2).T, strict=True):
            found[f"sigma.{name}"] = sds, float(engine.relative)
        if isinstance(engine, SensorEngine):
            sensors = engine.sensors
            psi = self.parameter_posterior.theta[:, -len(sensors.labels) :]
            found |= {label: (values, 0.0) for label, values in zip(sensors.labels, sensors.numbers(psi).T, strict=True)}
        return found

    # Laws ---------------------------------------------------------------------------------------------------------------------

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of the coefficients: quantiles of their posterior, smoothing and SDs integrated out.

        If nothing is integrated (see `get_prediction`) they are Student's t where `use_t`, else normal.
        """
        frame, (law, _) = super().conf_int(alpha), self._laws_of(self._every_coefficient)
        if law is not None:
            frame.iloc[:, :] = law.interval(alpha)
        return frame

    @property
    def _every_coefficient(self) -> BandRows:
        K = self._fit.n_coef
        return BandRows(np.ones((K, 1)), np.arange(K))

    def _laws_of(self, rows: BandRows | ProductRows | SeriesRows, noise: str | None = None) -> Laws:
        """Laws of rows of coefficients, and of observations of them with the noise of a series; None if none is integrated."""
        if not rows.n or not self._is_integrated:
            return None, None
        posterior = self.parameter_posterior
        check_memory(64.0 * rows.n * len(posterior.weights), f"intervals at {rows.n} points", "pass fewer points")
        law = self._law(rows)
        if law is None or noise is None:
            return law, None
        return law, law.with_noise(posterior.scale2 * self._at_nodes[f"sigma.{noise}"][0] ** 2)

    def _laws(self, points: Points, deriv: int, noise: str | None) -> Laws:
        return self._laws_of(self._integrated_rows_at(points, deriv), noise) if len(points.coarse) else (None, None)

    def _points(self, asked: Asked, deriv: int, regressors: Any = None, name: str | None = None) -> Points:
        """Points a user asks about, where a series that shows something else than the curve observes if `name` is one."""
        points = super()._points(asked, deriv)
        if name not in self.observations.names or not self.observations[str(name)].has_lag:
            check_dates(self.basis, self.observations.abscissa, points.coarse, "x")
        else:
            self._check_lagged(points.coarse, str(name))
        has_own = name in self.observations.names and self.observations[str(name)].is_adjusted
        return SeriesPoints(points.coarse, points.fine, str(name)) if has_own else points

    def _check_lagged(self, x: FloatArray, name: str) -> None:
        """Refuse x at which the basis has no values less some of the lags that intervals integrate over."""
        search, label = self._fit.sensed, f"lag.{name}"
        assert search is not None
        ends = np.array([search.sensors.lower, search.sensors.upper]) * search.sensors.x_unit
        lags = ends[:, search.sensors.labels.index(label)]
        if self._conditions:
            lags = np.array([self._sensed[label]])
        elif outside_lagged(self.basis, x, lags).any():  # what is integrated costs far more than a prediction
            lags = self._at_nodes[label][0]
        check_lagged(self.basis, self.observations.abscissa, x, lags, name)

    def _rows_at(self, points: Points, deriv: int) -> BandRows:
        if isinstance(points, SeriesPoints):
            return SeriesRows(points.series, points.coarse, deriv).of(self._fit.rows)
        return pack(self.basis.design(points.coarse, deriv))

    def _integrated_rows_at(self, points: Points, deriv: int) -> BandRows | SeriesRows:
        """Rows of which the law is asked for: of a series with what is integrated of it."""
        if isinstance(points, SeriesPoints) and self._sensed:
            return SeriesRows(points.series, points.coarse, deriv)
        return self._rows_at(points, deriv)

    def _limits_within(self, lower: Any, upper: Any) -> tuple[Points, Points]:
        """Limits as points, (1,) each, within the basis."""
        ends = self._limits_of_integral(lower, upper)
        for argument, end in zip(("lower", "upper"), ends, strict=True):
            check_dates(self.basis, self.observations.abscissa, end.coarse, argument)
        return ends

    def _estimate_of(self, rows: BandRows | ProductRows) -> Estimate:
        """Estimate of a single row, with an interval that integrates over smoothing and SDs."""
        value, se = float(rows.times(self._fit.coef)[0]), float(np.sqrt(self._fit.cov.variance(rows)[0]))
        return Estimate(value, se, self.df_interval, later(self._laws_of, rows).then(ends_of))

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f from lower to upper, in units of f times x, with its standard error and its interval."""
        start, end = self._limits_within(lower, upper)
        return self._estimate_of(pack(self.basis.integral(start.coarse, end.coarse, sparse=True)))

    # Draws --------------------------------------------------------------------------------------------------------------------

    def _coefficients(self, centre: FloatArray, integrated: bool) -> Callable[[np.random.Generator, int], FloatArray]:
        """Return what draws coefficients without bounds: rng, size -> (size, K).

        If nothing is integrated they are Student's t about `centre` (K,), or normal if not `integrated`, as intervals are.
        """
        if integrated and self._is_integrated:
            engine, posterior, rows = self.engine, self.parameter_posterior, self._every_coefficient
            return curve_draws(engine, posterior, rows)
        root, df = self._fit.cov.root(), self.df_interval if integrated else np.inf

        def draw(rng: np.random.Generator, size: int) -> FloatArray:
            normal, factors = rng.spawn(2)  # so that the first draws are the same whatever the size
            deviations = normal.standard_normal((size, root.shape[1])) @ root.T
            if np.isfinite(df):
                deviations *= np.sqrt(df / factors.chisquare(df, (size, 1)))
            return np.asarray(centre + deviations)

        return draw

    def _drawn(
        self, designs: Sequence[BandRows | ProductRows], integrated: bool
    ) -> Callable[[np.random.Generator, int], FloatArray]:
        """Return what draws curves within the bounds, by the rows of each design: rng, size -> (n_designs, size, n)."""
        fit, K = self._fit, self.basis.n_basis
        is_free = fit.bounded is None
        draw = self._coefficients(fit.coef if is_free else fit.without_bounds, integrated)

        def curves(rng: np.random.Generator, size: int) -> FloatArray:
            check_memory(24.0 * size * K, f"a sample of size = {size}", "lower size")
            coef = draw(rng, size)
            if not is_free:
                polynomials, (metric, columns) = fit.polynomials, fit.metric
                coef = np.array([brought_within(one, metric, columns, polynomials) for one in coef])
            return np.stack([rows.times(coef.T).T for rows in designs])

        return curves

    def _curves(self, points: Points, orders: Sequence[int], integrated: bool) -> Callable[[np.random.Generator, int], FloatArray]:
        return self._drawn([self._rows_at(points, order) for order in orders], integrated)

    def _band_draws(self, points: Points, prediction: CurvePrediction) -> BandDraws:
        deriv = cast(int, prediction.deriv)
        rows = self._integrated_rows_at(points, deriv)
        if not (isinstance(rows, SeriesRows) and self._is_integrated):
            return self._band_draws_of(self._rows_at(points, deriv))
        return lambda some: curve_draws(self.engine, self.parameter_posterior, rows.take(some))

    def _band_draws_of(self, rows: BandRows | ProductRows) -> BandDraws:
        """What draws some of the rows for simultaneous bands, without bounds: all points have the same N_MAXIMA coefficients."""
        K = self.basis.n_basis
        check_memory(24.0 * N_MAXIMA * K, f"a simultaneous band at {rows.n} x", "pass fewer x, or use fewer functions")
        coef = self._coefficients(self._fit.coef, integrated=True)(np.random.default_rng(SEED), N_MAXIMA)

        def drawing(some: Indices) -> PointDraws:
            taken, done = rows.take(some), 0

            def draw(rng: np.random.Generator, size: int) -> FloatArray:
                nonlocal done
                mine = coef[done : done + size]
                done += size
                return taken.times(mine.T).T

            return draw

        return drawing
