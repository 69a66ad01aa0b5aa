"""Results of a smoothing spline."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import NumericalError
from ..markov.bandwidth import Resolution
from ..markov.criteria import LIKELIHOODS, likelihood_of
from ..markov.integral import integral_moments
from ..markov.kernels import filtered_states, higher_derivatives, innovations, smoothed_states, state_variances, states_at
from ..markov.rows import Rows
from ..markov.sampling import IntArray, Sampler, Shocks, shocks
from ..observations import derivative_label
from ..observations.abscissa import Points
from ..results.curve import CurveResults, Estimate
from ..results.estimates import LEAST_FREE
from ..results.prediction import ParameterUncertainty
from ..results.propagation import NEGLIGIBLE, propagated
from ..results.protocols import Change
from .fitting import Variances
from .propagation import posterior_slopes
from .robust import HIGHEST_DF

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from ..basis import Spline
    from .model import SmoothingSpline
    from .online import OnlineSpline
    from .robust import Robustness

LIGHT = 0.1
MOST_WITH_PARAMETERS = 20_000  # readings, beyond which their uncertainty hardly shows in a band
DRAWS_A_PARAMETER = 50
METHOD_NAMES = {"reml": "REML", "ml": "ML", "gcv": "GCV", "aicc": "AICc"}


@entry_point
class SmoothingSplineResults(CurveResults):
    """A fitted smoothing spline; made by `SmoothingSpline.fit`.

    Attributes
    ----------
    model : SmoothingSpline
    method : str
        The criterion that was optimised.
    fixed : str or None
        ``"lam"``, ``"bandwidth"`` or ``"edf"`` where the smoothing was fixed.
    robustness : Robustness or None
        Of a fit with Student-t noise: its degrees of freedom, weights and bound.
    """

    def __init__(
        self, model: SmoothingSpline, method: str, fixed: str | None, variances: Variances, robustness: Robustness | None = None
    ):
        self.model = model
        self.method = method
        self.fixed = fixed
        self.observations = model.observations
        self._variances = variances
        self.robustness = robustness
        self._order = model.order
        self._rows: Rows = model._rows
        self.use_t = bool(self._rows.unknown)

    # Smoothing and noise ----------------------------------------------------------------------------------------------

    @property
    def q(self) -> float:
        """White-noise intensity of f^(order), in units of f^2 per unit of x to the power 2 order - 1; 0 for a polynomial."""
        return self._variances.q * self._rows.scale.intensity(self._order)

    @property
    def lam(self) -> float:
        """Smoothing parameter: weight of integral (f^(order))^2, in `lam_unit`; infinite for a polynomial.

        1 / q where every sd is known; else the variance of the first name with unknown sd, at weight one, over q.
        """
        unknown = self._rows.unknown
        reference = float(self.sigma[unknown[0]]) ** 2 if unknown else 1.0
        return reference / self.q if self.q > 0 else np.inf

    @property
    def lam_unit(self) -> str:
        """Unit of `lam`, x and y standing for the units of x and of f."""
        k = self.observations[self._rows.unknown[0]].deriv if self._rows.unknown else 0
        power = 2 * (self._order - k) - 1
        unit = "x" if power == 1 else f"x^{power}"
        return unit if self._rows.unknown else f"{unit}/y^2"

    @cached_property
    def bandwidth(self) -> float:
        """Half width of the averaging window, in units of x; infinite for a polynomial. See ``smoothfit.markov.bandwidth``."""
        resolution = Resolution(self._rows, self._order)
        return resolution.bandwidth(self._variances.q, self._variances.sigma2) * self._rows.scale.x_unit

    @property
    def boundary(self) -> tuple[str, ...]:
        """Parameters whose optimum is at a boundary: ``"q"`` (the curve is a polynomial), or a name (its sd is zero)."""
        return self._variances.boundary

    @property
    def sigma(self) -> pd.Series:
        """Noise sd per name at weight one: estimated, or given (root mean square where it varies)."""
        import pandas as pd

        return pd.Series({name: value for name, value, _ in self._sds}, name="sigma", dtype=float)

    @property
    def scale(self) -> float:
        """Variance at weight one of the first name with unknown sd; 1 where every sd is known."""
        unknown = self._rows.unknown
        return float(self.sigma[unknown[0]]) ** 2 if unknown else 1.0

    @property
    def _sds(self) -> list[tuple[str, float, bool]]:
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

    # Student-t noise --------------------------------------------------------------------------------------------------

    @property
    def fitted_variance(self) -> FloatArray:
        """Posterior variance of what each reading reads, shape (n,), in the squared units of the readings."""
        return self._at_rows(state_variances(self._order, self._posterior)) * self._reading_units**2

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

    # Estimated parameters ---------------------------------------------------------------------------------------------

    @property
    def params(self) -> pd.Series:
        """Estimated parameters: ``sigma.<name>`` for each unknown sd, and ``q`` unless the smoothing was fixed."""
        import pandas as pd

        values = {f"sigma.{name}": sd for name, sd, estimated in self._sds if estimated}
        if self.fixed is None:
            values["q"] = self.q
        return pd.Series(values, name="params", dtype=float)

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

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`: observed information of the logarithms, and the delta method.

        NaN for a parameter at a boundary and for a smoothing chosen by gcv or aicc, which have no information matrix; 0 or infinite
        where a square leaves the range of floating-point numbers, unlike `bse`.
        """
        import pandas as pd

        values = self.params.to_numpy()
        with np.errstate(over="ignore", under="ignore"):  # q may be a number of which the square is none
            cov = self._cov_log_params * values[:, None] * values
        return pd.DataFrame(cov, index=self.params.index, columns=self.params.index)

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self.params), np.bool_)

    @property
    def _standard_errors(self) -> FloatArray:
        return np.asarray(np.sqrt(np.diag(self._cov_log_params)) * self.params)

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Log-likelihood: restricted, in Harville's form (full with ``method="ml"``).

        llf_diffuse + log|X'X| / 2, X_ij the reading of x^j / j!. It does not depend on the basis of the polynomials, nor for
        readings of f itself on the unit of x. It is a density of nobs - order contrasts, so that its differences between
        orders depend on the unit of y: compare orders by ``method="ml"``, a density of all readings.
        """
        design = 0.0 if self.method == "ml" else self.model._log_det_design / 2
        return self._log_likelihood(self.method) + design

    @cached_property
    def llf_diffuse(self) -> float:
        """Diffuse log-likelihood as other software reports it: -1/2 [(n-m) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r]."""
        return self._log_likelihood("reml") + float(np.log(self._rows.scale.units(self._order)).sum())

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
    def _maximises_likelihood(self) -> bool:
        return self.fixed is None and self.method in LIKELIHOODS and self.robustness is None

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
    def highest_mean_derivative(self) -> int:
        """2 order - 1: between readings the mean is a polynomial of that degree."""
        return 2 * self._order - 1

    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        rows, order = self._rows, self._order
        piece = rows.last_before(x)
        inside = (piece >= 0) & (piece < len(rows.nodes) - 1)  # beyond the readings the mean is of degree order - 1
        offset = rows.beyond(x.take(inside), piece[inside] + 1)
        higher = higher_derivatives(rows, order, self._variances.q, self._filtered, self._posterior)[piece[inside]]
        mean = np.zeros(len(inside))
        for j in range(2 * order - 1, deriv - 1, -1):  # Horner's scheme of the Taylor series at the right end
            mean[inside] = mean[inside] * offset / (j - deriv + 1) + higher[:, j - order]
        return mean * rows.scale.of(deriv)

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

    def _band_draws(self, x: Points) -> tuple[Callable[[np.random.Generator, int, IntArray], FloatArray], bool]:
        """Draws of the curve at parameters that are drawn as well, normal in their logarithms."""
        log_cov, rows = self._cov_log_params, self._rows
        if self.fixed is not None or self.nobs > MOST_WITH_PARAMETERS or not np.isfinite(log_cov).all() or not len(log_cov):
            return self._draws(x), False
        root = np.linalg.cholesky(log_cov)
        units = rows.scale.units(self._order)

        def draw(rng: np.random.Generator, size: int, derivs: IntArray) -> FloatArray:
            draws = np.empty((len(derivs), size, len(x.coarse)))
            means = np.array([self._moments(x, k)[0] for k in derivs.tolist()])
            for start in range(0, size, DRAWS_A_PARAMETER):
                part = slice(start, min(size, start + DRAWS_A_PARAMETER))
                steps = root @ rng.standard_normal(len(root))
                sigma2 = self._variances.sigma2.copy()
                sigma2[: len(rows.unknown)] *= np.exp(2 * steps[: len(rows.unknown)])
                q = self._variances.q * float(np.exp(steps[-1]))
                filtered = filtered_states(rows, self._order, q, sigma2)
                posterior = smoothed_states(rows, self._order, q, filtered)
                states = states_at(rows, self._order, q, filtered, posterior, x)
                origin = np.where(derivs == 0, rows.scale.y_origin, 0.0)[:, None]
                shift = states[:, derivs].T * units[derivs, None] + origin - means
                sampler = Sampler.of(rows, self._order, q, sigma2, filtered, x)
                draws[:, part] = sampler.draw(rng, part.stop - start, derivs) * units[derivs, None, None] + shift[:, None]
            return draws

        return draw, True

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
        from .spline import posterior_spline

        rows, order = self._rows, self._order
        lost = np.diff(rows.nodes) <= 0
        if lost.any():
            raise NumericalError(
                f"{lost.sum()} gaps between readings vanish beside the range of x in float64 knots; use predict, which keeps "
                "them, or fit a shorter stretch of x"
            )
        higher = higher_derivatives(rows, order, self._variances.q, self._filtered, self._posterior)
        return posterior_spline(rows, order, self._posterior[:, :order], higher)

    def online(self, lag: int) -> OnlineSpline:
        """Return a curve that goes on with new readings, at the parameters of this fit.

        Parameters
        ----------
        lag : int
            How many of the last readings can still be smoothed, joined by late ones, or rolled back.

        Returns
        -------
        OnlineSpline
            With the readings of this fit taken in.
        """
        from .online import OnlineSpline

        return OnlineSpline(self, lag)

    # Summary ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: method, smoothing, readings by name, parameters with intervals, convergence."""
        import pandas as pd

        from ..results.summary import criteria, curve_summary, number

        x_unit = self.observations.abscissa.unit or self.observations.x_name
        smoothing = f"{self.fixed} fixed" if self.fixed else METHOD_NAMES[self.method]
        likelihood = "Log-likelihood" if self.method == "ml" else "Restricted log-lik."
        facts = [
            ("Model:", "SmoothingSpline"),
            ("Order:", str(self._order)),
            ("Smoothing by:", smoothing),
            ("No. Observations:", str(self.nobs)),
            ("Df Residuals:", number(self.df_resid)),
            ("Effective df:", number(self.edf)),
            (f"Bandwidth ({x_unit}):", number(self.bandwidth)),
            (f"lam ({self.lam_unit.replace('x', x_unit, 1)}):", number(self.lam)),
            (f"{likelihood}:", number(self.llf)),
            *criteria(self),
            ("Converged:", self._convergence),
        ]
        bse, readings = self.bse, []
        for reading, (name, sd, estimated) in zip(self.observations.readings, self._sds, strict=True):
            readings.append(
                {
                    "observes": derivative_label(reading.deriv),
                    "n": len(reading),
                    "missing": reading.n_dropped,
                    "sigma": number(sd),
                    "std err": number(bse[f"sigma.{name}"]) if estimated else "given",
                }
            )
        interval = self.conf_int(alpha)
        params = pd.DataFrame(
            {
                "estimate": [number(v) for v in self.params],
                "std err": [number(v) for v in bse],
                f"[{alpha / 2:g}": [number(v) for v in interval[0]],
                f"{1 - alpha / 2:g}]": [number(v) for v in interval[1]],
            },
            index=self.params.index,
        )
        return curve_summary(
            "Smoothing Spline Results",
            facts,
            pd.DataFrame(readings, index=list(self.observations.names)),
            params,
            self._notes(),
        )

    @property
    def decrement(self) -> float:
        """The certificate of convergence: twice the distance of the criterion from its minimum, g'H^-1 g."""
        minimum = self._variances.minimum
        return 0.0 if minimum is None else minimum.decrement

    @property
    def _convergence(self) -> str:
        if self._variances.minimum is None:
            return "nothing to search"
        return "at a boundary" if self.boundary else "yes, certified"

    def _notes(self) -> list[str]:
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
        if self.robustness is not None:
            dfs = self.robustness.df.items()
            said = ", ".join(f"{name} {df:.3g}" if df < HIGHEST_DF else f"{name} normal (at the upper limit)" for name, df in dfs)
            light = int((self.robust_weights < LIGHT).sum())
            notes.append(
                f"Student-t noise, df: {said}; {light} observations have weights below {LIGHT:g}. sigma is its scale, and the"
            )
            notes.append("likelihood that of normal noise with these weights.")
        notes.append("sigma: noise sd at weight one. Bands: posterior (Bayesian), pointwise.")
        return notes

    def __repr__(self) -> str:
        return f"SmoothingSplineResults(order={self._order}, nobs={self.nobs}, edf={self.edf:.4g}, bandwidth={self.bandwidth:.4g})"
