"""Results of a smoothing spline with the unrolled engine: an integrated Wiener process, observations of f and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..markov.bandwidth import Resolution, Tie
from ..markov.criteria import LIKELIHOODS, likelihood_of
from ..markov.integral import integral_moments
from ..markov.kernels import filtered_states, higher_derivatives, innovations, smoothed_states, state_variances, states_at, terms
from ..markov.priors import IntegratedWiener
from ..markov.rows import Rows
from ..markov.sampling import IntArray, Sampler, Shocks, shocks
from ..observations import Observations
from ..observations.abscissa import Points
from ..results.estimates import LEAST_FREE
from ..results.prediction import Estimate, ParameterUncertainty
from ..results.propagation import NEGLIGIBLE, propagated
from ..results.protocols import Change
from .estimation import Optimum
from .fitting import Variances
from .propagation import posterior_slopes
from .results import MovedDraws, SmoothingSplineResults
from .robust import Robustness
from .specification import Specification
from .spline import Pieces
from .structural import StructuralResults
from .structural_estimates import StructuralFit
from .wiener_engine import WienerEngine

if TYPE_CHECKING:
    import pandas as pd

    from ..basis import Spline
    from .online import OnlineSpline

CENTRE_BEYOND = 150  # powers of two: units of 1e-45 to 1e45 are left as they are


@dataclass(frozen=True, eq=False)
class WienerFit:
    """What a fit found, and of what.

    Attributes
    ----------
    observations : Observations
    rows : Rows
    order : int
    method : str
    fixed : str or None
    variances : Variances
    robustness : Robustness or None
    tie : Tie or None
        The fixed smoothing.
    """

    observations: Observations
    rows: Rows
    order: int
    method: str
    fixed: str | None
    variances: Variances
    robustness: Robustness | None = None
    tie: Tie | None = None


@entry_point
class WienerResults(SmoothingSplineResults):
    """A fitted smoothing spline with the unrolled engine; see `SmoothingSplineResults`."""

    engine: WienerEngine

    def __init__(self, model: Any, fit: WienerFit):
        self.model = model
        self.method, self.fixed, self.robustness = fit.method, fit.fixed, fit.robustness
        self.observations = fit.observations
        self._variances, self._order, self._rows = fit.variances, fit.order, fit.rows
        self._described = f"order={fit.order}"
        self.boundary = fit.variances.boundary
        self._minimum = fit.variances.minimum
        self.use_t = bool(fit.rows.unknown)
        self.engine = WienerEngine(fit.observations, fit.rows, fit.order, fit.tie)

    @property
    def theta_hat(self) -> FloatArray:
        """The estimates as a theta of the engine, within its bounds."""
        return self.engine.theta_at(self._variances)

    @property
    def variances(self) -> Variances:
        """What was estimated, in scaled units."""
        return self._variances

    # Smoothing and noise ----------------------------------------------------------------------------------------------

    @cached_property
    def bandwidth(self) -> float:
        """Half width of the averaging window, in units of x; infinite for a polynomial. See ``smoothfit.markov.bandwidth``."""
        resolution = Resolution(self._rows, self._order)
        return resolution.bandwidth(self._variances.q, self._variances.sigma2) * self._rows.scale.x_unit

    @property
    def hyperparameters(self) -> pd.Series:
        """The intensity q."""
        import pandas as pd

        q = self._variances.q * self._rows.scale.intensity(self._order)
        return pd.Series({"q": q}, name="hyperparameters", dtype=float)

    @property
    def _searched(self) -> tuple[str, ...]:
        return ("q",) if self.fixed is None else ()

    @property
    def trend(self) -> tuple[int, str] | None:
        """Order, and name of the intensity, of the only integrated Wiener process of the prior."""
        return self._order, "q"

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, sd and whether it was estimated."""
        rows, sds = self._rows, []
        for reading in self.observations.readings:
            if reading.sd is None:
                variance = self._variances.sigma2[rows.unknown.index(reading.name)]
                sds.append((reading.name, float(np.sqrt(variance)) * rows.scale.of(reading.deriv), True))
            else:
                unit = rows.scale.of(reading.deriv)  # whose squares are numbers, whatever the user's unit
                sds.append((reading.name, float(np.sqrt(np.mean((reading.sd / unit) ** 2))) * unit, False))
        return sds

    @property
    def fitted_variance(self) -> FloatArray:
        """Posterior variance of what each reading reads, shape (n,), in the squared units of the readings."""
        return self._at_rows(state_variances(self._order, self._posterior)) * self._reading_units**2

    @cached_property
    def _cov_log_params(self) -> FloatArray:
        """Covariance of log sigma and log q; NaN where a criterion other than a likelihood set the smoothing."""
        unknown = self._rows.unknown
        n_params = len(self.params)
        cov = np.full((n_params, n_params), np.nan)
        at_boundary = [name in self.boundary for name in unknown] + ["q" in self.boundary] * (self.fixed is None)
        directions = np.zeros((n_params, 1 + self._rows.n_groups))
        directions[np.arange(len(unknown)), 1 + np.arange(len(unknown))] = 2.0  # log sigma2 = 2 log sigma
        is_likelihood = self.method in LIKELIHOODS and self.fixed is None
        if is_likelihood:
            directions[-1, 0] = 1.0
            free = np.flatnonzero(~np.array(at_boundary))
        elif len(unknown) == 1 and not self._rows.has_known:
            if at_boundary[0] or self.df_resid < LEAST_FREE:
                return cov
            cov[0, 0] = 1 / (2 * self.df_resid)  # RSS / sigma^2 as chi-squared on n - edf
            return cov
        else:  # the variances given the smoothing
            free = np.flatnonzero(~np.array(at_boundary[: len(unknown)], dtype=bool))
        if len(free):
            likelihood = likelihood_of(self.method)(self._rows, self._order)
            hessian = likelihood.joint_hessian(self._variances.q, self._variances.sigma2, directions[free])
            if np.linalg.eigvalsh(hessian).min() > 0:
                cov[np.ix_(free, free)] = 2 * np.linalg.solve(hessian, np.eye(len(free)))
        return cov

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def _log_det_design(self) -> float:
        """log|X'X| with X_ij = (x^j / j!)^(k_i) at x_i, in the user's units of the readings and scaled units of x and f."""
        rows = self._rows
        ratio, exponent = _centred(rows.scale.units(self._order)[rows.deriv])
        plain = replace(rows, group=np.zeros_like(rows.group), ratio=ratio, unknown=("all",), has_known=False)
        log_det = terms(plain, self._order, np.zeros(1), np.ones((1, 1))).log_det[0]
        return float(log_det - np.log(ratio).sum() + self._order * exponent * np.log(2))

    @property
    def _log_det_units(self) -> float:
        return float(np.log(self._rows.scale.units(self._order)).sum())

    def _log_likelihood(self, method: str) -> float:
        """Log-likelihood of a method for the user's readings, the polynomials in scaled units."""
        likelihood = likelihood_of(method)(self._rows, self._order)
        return -likelihood.at_variances(self._variances.q, self._variances.sigma2) / 2 - self._log_reading_units

    @property
    def _log_reading_units(self) -> float:
        """Log determinant of the change from the user's readings to scaled ones."""
        units = self._rows.scale.units(self._order)
        return float(np.bincount(self._rows.deriv, minlength=self._order) @ np.log(units))

    @property
    def _n_contrasts(self) -> int:
        return self.nobs - self._order

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        if self.method == "ml":
            return len(self.params) + self._order, self.nobs
        return len(self.params), self._n_contrasts

    # The curve --------------------------------------------------------------------------------------------------------

    @property
    def highest_derivative(self) -> int:
        """Highest order of a derivative with a posterior variance: order - 1."""
        return self._order - 1

    @cached_property
    def _filtered(self) -> FloatArray:
        return filtered_states(self._rows, self._order, self._variances.q, self._variances.sigma2)

    @cached_property
    def _posterior(self) -> FloatArray:
        return smoothed_states(self._rows, self._order, self._variances.q, self._filtered)

    def _at_rows(self, values: FloatArray) -> FloatArray:
        """Entry (node, deriv) of values (n_nodes, order) for each reading, in the order of the observations."""
        rows = self._rows
        return rows.in_given_order(values[rows.node_of_row, rows.deriv])

    def _moments(self, x: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        rows = self._rows
        states = states_at(rows, self._order, self._variances.q, self._filtered, self._posterior, x)
        unit = rows.scale.of(deriv)
        mean = states[:, deriv] * unit + (rows.scale.y_origin if deriv == 0 else 0.0)
        return mean, state_variances(self._order, states)[:, deriv] * unit**2

    def _parameter_uncertainty(
        self, points: Points, deriv: int, variance: FloatArray, noise: str | None
    ) -> ParameterUncertainty | None:
        if self.fixed is not None or self.method not in LIKELIHOODS or not len(points.coarse):
            return None
        rows, cov = self._rows, self._cov_log_params
        if not cov[-1, -1] >= NEGLIGIBLE:  # of log q; NaN at a boundary
            return None
        free = np.flatnonzero(np.isfinite(np.diag(cov)))  # an sd at a boundary counts as known
        means, logs = posterior_slopes(rows, self._order, self._variances.q, self._variances.sigma2, free, points, deriv)
        noise_slope = np.array([2.0 if noise in rows.unknown and i == rows.unknown.index(noise) else 0.0 for i in free])
        noise_variance = 0.0 if noise is None else float(self.sigma[noise]) ** 2
        unit = rows.scale.of(deriv)
        return propagated(cov[np.ix_(free, free)], means * unit, logs, variance, noise_variance, noise_slope)

    @property
    def component_names(self) -> tuple[str, ...]:
        """The one component of the prior."""
        return (IntegratedWiener.label,)

    def part_of_curve(self, x: Points, deriv: int, part: str) -> tuple[FloatArray, FloatArray]:
        """The curve itself."""
        return self._moments(x, deriv)

    def _component_smoothness(self, component: str) -> int:
        return self.highest_derivative

    @property
    def highest_mean_derivative(self) -> int:
        """2 order - 1: between readings the mean is a polynomial of that degree."""
        return 2 * self._order - 1

    @property
    def _pieces(self) -> Pieces:
        rows, order = self._rows, self._order
        higher = higher_derivatives(rows, order, self._variances.q, self._filtered, self._posterior)
        return Pieces(rows.points, rows.gaps, rows.scale, self._posterior[:, :order], higher)

    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        return self._pieces.mean(x, deriv)

    @property
    def fittedvalues(self) -> FloatArray:
        """Posterior mean of what each reading reads, shape (n,), in the units of the readings."""
        scale = self._rows.scale
        units = scale.units(self._order)
        origins = np.where(np.arange(self._order) == 0, scale.y_origin, 0.0)
        return self._at_rows(self._posterior[:, : self._order] * units + origins)

    @property
    def _noise_ratio(self) -> FloatArray:
        """Scaled noise variance of each sorted row."""
        return self._rows.ratio * self._variances.sigma2[self._rows.group]

    @property
    def _leverage(self) -> FloatArray:
        variance = self._at_rows(state_variances(self._order, self._posterior))
        return variance / self._rows.in_given_order(self._noise_ratio)

    @property
    def _noise_variance(self) -> FloatArray:
        rows = self._rows
        units = rows.scale.units(self._order)
        return rows.in_given_order(self._noise_ratio * units[rows.deriv] ** 2)

    # Draws and shocks -------------------------------------------------------------------------------------------------

    def _draws(self, x: Points) -> Callable[[np.random.Generator, int, IntArray], FloatArray]:
        v = self._variances
        sampler = Sampler.of(self._rows, self._order, v.q, v.sigma2, self._filtered, x)

        def draw(rng: np.random.Generator, size: int, derivs: IntArray) -> FloatArray:
            draws = sampler.draw(rng, size, derivs)
            draws *= self._rows.scale.units(self._order)[derivs, None, None]
            return draws

        return draw

    @property
    def _cov_drawn(self) -> FloatArray:
        return self._cov_log_params

    def _moved_draws(self, x: Points, derivs: IntArray) -> MovedDraws:
        rows, order, n_unknown = self._rows, self._order, len(self._rows.unknown)
        units = rows.scale.units(order)
        means = np.array([self._moments(x, k)[0] for k in derivs.tolist()])
        origin = np.where(derivs == 0, rows.scale.y_origin, 0.0)[:, None]

        def draw(rng: np.random.Generator, size: int, step: FloatArray) -> FloatArray:
            sigma2 = self._variances.sigma2.copy()
            sigma2[:n_unknown] *= np.exp(2 * step[:n_unknown])
            q = self._variances.q * float(np.exp(step[-1]))
            filtered = filtered_states(rows, order, q, sigma2)
            posterior = smoothed_states(rows, order, q, filtered)
            shift = states_at(rows, order, q, filtered, posterior, x)[:, derivs].T * units[derivs, None] + origin - means
            sampler = Sampler.of(rows, order, q, sigma2, filtered, x)
            return np.asarray(sampler.draw(rng, size, derivs) * units[derivs, None, None] + shift[:, None])

        return draw

    @cached_property
    def _shocks(self) -> Shocks:
        return shocks(self._rows, self._order, self._variances.q, self._variances.sigma2)

    @property
    def _reading_units(self) -> FloatArray:
        """Unit of each reading, in the order of the observations."""
        return self._rows.in_given_order(self._rows.scale.units(self._order)[self._rows.deriv])

    @property
    def loo_resid(self) -> FloatArray:
        """Leave-one-out residuals at the fitted parameters: readings minus predictions without them, shape (n,).

        u / D with u = K^-1 (y - X b) and D its variance: they keep their digits where the curve interpolates.
        NaN for a reading without which the others determine no curve.
        """
        with np.errstate(invalid="ignore"):
            return self._rows.in_given_order(self._shocks.u / self._shocks.D) * self._reading_units

    @property
    def resid_standardized(self) -> FloatArray:
        """Residuals divided by their standard deviations, u / sqrt(D), shape (n,); also those of `loo_resid` by theirs.

        NaN for a reading without which the others determine no curve.
        """
        with np.errstate(invalid="ignore"):
            return self._rows.in_given_order(self._shocks.u / np.sqrt(self._shocks.D))

    @property
    def resid_recursive(self) -> FloatArray:
        """Standardised one-step-ahead prediction errors (innovations), shape (n,); see `CurveResults.resid_recursive`."""
        v = self._variances
        return self._rows.in_given_order(innovations(self._rows, self._order, v.q, v.sigma2))

    def _changes(self) -> list[Change]:
        rows, found, order = self._rows, self._shocks, self._order
        x = self.observations.abscissa.restore(rows.nodes)
        changes = []
        for j, kind in enumerate(("level shift", "slope break")[:order]):
            unit = rows.scale.of(j)
            known = found.information[:, j] > 0
            information = found.information[known, j]
            effect = found.score[known, j] / information * unit
            changes.append(Change(kind, x[known], effect, unit / np.sqrt(information)))
        return changes

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f from lower to upper, in units of f times x, with its standard error.

        The integral from `lower` is the curve's antiderivative, an integrated Wiener process of order + 1 that is zero there: the
        filter and the smoother give its mean and variance at `upper`. Both may lie between the observations and beyond.
        """
        start, end = self._limits_of_integral(lower, upper)
        df = self.df_interval
        distance = float(end.minus(start)[0])
        if distance == 0:
            return Estimate(0.0, 0.0, df)
        low, high = (start, end) if distance > 0 else (end, start)
        value, variance = integral_moments(self._rows, self._order, self._variances.q, self._variances.sigma2, low, high)
        unit = self._rows.scale.y_unit * self._rows.scale.x_unit
        value = value * unit + self._rows.scale.y_origin * abs(distance)
        return Estimate(value if distance > 0 else -value, np.sqrt(variance) * unit, df)

    def difference(self, lower: Any, upper: Any) -> Estimate:
        """Return f(upper) - f(lower) with its standard error, by the general engine at the parameters of this fit."""
        specification = Specification(self.observations, IntegratedWiener(self._order))
        sds = [sd / specification.unit_of(self.observations[name]) for name, sd, is_estimated in self.noise_sds if is_estimated]
        hyper = np.array([self.q / specification.hyper_unit(specification.hyperparameters[0])])
        variance = np.append(np.square(sds), 1.0)
        optimum = Optimum(self.method, hyper, variance, np.empty(0), None, self.boundary, self.fixed)
        return StructuralResults(self.model, StructuralFit(specification, optimum, self._described)).difference(lower, upper)

    def spline(self) -> Spline:
        """Return the posterior mean as an exact spline of degree 2 order - 1 over the range of the readings.

        Its x are numbers; where x was times, units of time since the first reading (datetimes) or since zero (durations), and
        where x was integers beyond 2^53, differences from the least of them. A reading of f^(k) makes the derivative of order
        2 order - 1 - k jump, so its node is a knot of multiplicity k + 1.

        Raises
        ------
        NumericalError
            Neighbouring readings are so close in so wide a range of x that float64 knots cannot tell them apart.
        """
        rows = self._rows
        multiplicity = np.ones(len(rows.nodes), dtype=np.int64)
        np.maximum.at(multiplicity, rows.node_of_row, rows.deriv.astype(np.int64) + 1)
        return self._pieces.spline(multiplicity)

    def online(self, lag: int) -> OnlineSpline:
        """Return a curve that goes on with new readings; see `SmoothingSplineResults.online`."""
        from .online import Kind, Source
        from .online_wiener import WienerOnline

        rows, kinds = self._rows, {}
        for reading in self.observations.readings:
            origin = rows.scale.y_origin if reading.deriv == 0 else 0.0
            kinds[reading.name] = Kind.of(reading, rows.scale.of(reading.deriv), origin, rows.unknown)
        noise = {str(name): float(sd) for name, sd in self.sigma.items()}
        source = Source(self.observations, kinds, noise, self.df_interval, self._described)
        v = self._variances
        return WienerOnline(source, lag, rows, self._order, v.q, v.sigma2, self._filtered)

    # What the summary says --------------------------------------------------------------------------------------------

    def facts_of_model(self) -> list[tuple[str, str]]:
        """The order."""
        return [("Order:", str(self._order))]

    def _notes_of_model(self) -> list[str]:
        abscissa, notes = self.observations.abscissa, []
        if abscissa.unit:
            notes.append(f"x is counted in {abscissa.unit}" + (f" from {abscissa.origin_label}" * (abscissa.kind == "datetime")))
        elif abscissa.origin:
            notes.append(f"x is counted from {abscissa.origin_label}")
        for name in self.boundary:
            if name == "q":
                notes.append(f"boundary: q = 0, the curve is a polynomial of degree {self._order - 1}")
            else:
                notes.append(f"boundary: the noise SD of {name} is indistinguishable from zero, the curve interpolates")
        return notes


def _centred(units: FloatArray) -> tuple[FloatArray, int]:
    """Return 1 / units^2 times 2^exponent, and the exponent: zero unless the squares are so far from one that kernels may fail."""
    exponents = np.frexp(units)[1] - 1
    lowest, highest = int(exponents.min()), int(exponents.max())
    exponent = 0 if lowest > -CENTRE_BEYOND and highest < CENTRE_BEYOND else lowest + highest
    return np.ldexp(1.0, exponent - 2 * exponents), exponent
