"""Results of a smoothing spline, whatever its prior and engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._entry import entry_point
from .._frames import labelled, table_of
from .._validation import FloatArray, IntArray, check_choice
from ..errors import SpecificationError
from ..inference.engine import PointDraws
from ..markov.functionals import DIFFERENCE as OF_ENDS
from ..markov.functionals import INTEGRAL
from ..observations import derivative_label
from ..observations.abscissa import Asked, Points
from ..observations.series import CALIBRATED, refuse_estimates, refuse_resolution
from ..results.draws import BandDraws, Indices, curve_draws
from ..results.influence import Influence
from ..results.later import later
from ..results.mixtures import Laws, alone, ends_of
from ..results.prediction import PARAMETERS, CurvePrediction, Estimate
from ..results.protocols import Change
from .components import Additive
from .effects import future_columns, goes_on
from .fit import Fit
from .forecasting import Forecasting
from .functionals import CurveFunctionals
from .growing import growth_factor
from .source import Nodes

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

    from ..basis import Spline
    from .online import OnlineSpline

Draws = Callable[[np.random.Generator, int, IntArray], FloatArray]


@entry_point
class SmoothingSplineResults(Additive, Forecasting):
    """A fitted smoothing spline or structural model; made by `SmoothingSpline.fit`.

    Attributes
    ----------
    model : SmoothingSpline
    observations : Observations
        With the weights of a robust fit.
    fitted : Fit
        What was found, and of what.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit(edf=10)
    SmoothingSplineResults(order=3, nobs=15, edf=10, bandwidth=0.2398)
    """

    def __init__(self, model: Any, fitted: Fit):
        self.model, self.fitted = model, fitted
        self.observations = fitted.posterior.observations

    def get_influence(self) -> Influence:
        """Return how far each observation draws the curve; see `CurveResults.get_influence`.

        Refused with `covariances` between the errors of series, whose observations are not left out one by one.
        """
        if self.model.specification is not None and self.model.specification.joint:
            raise SpecificationError(
                "errors of series have covariances=, and an observation is not independent of the others; see loo_resid"
            )
        return super().get_influence()

    # Online and changes -----------------------------------------------------------------------------------------------

    def _changes(self) -> list[Change]:
        return self.fitted.posterior.changes()

    def online(self, lag: int, parameters: str = "integrated") -> OnlineSpline:
        """Return a curve that goes on with new observations.

        Parameters
        ----------
        lag : int
            How many of the last observations can still be smoothed, joined by late ones, or rolled back.
        parameters : {"integrated", "fixed"}
            Whether the nodes of `parameter_posterior` are carried along and weighted by what follows, so that intervals integrate
            over the parameters, or the parameters are taken for known: then an observation costs that of a single filter. The means
            are those at the estimates of this fit in either case.

        Returns
        -------
        OnlineSpline
            With the observations of this fit taken in.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> rng = np.random.default_rng(1)
        >>> x = np.arange(40.0)
        >>> y = np.sin(x / 6) + 0.2 * rng.standard_normal(40)
        >>> res = sf.SmoothingSpline(sf.observe(x[:20], y[:20])).fit()
        >>> widths = []
        >>> for parameters in ("integrated", "fixed"):
        ...     online = res.online(lag=5, parameters=parameters)
        ...     online.append(x[20:], y[20:])
        ...     widths.append(np.ptp(online.get_prediction([40.0]).conf_int(obs=True)))
        >>> widths[0] > widths[1]
        np.True_
        """
        check_choice(parameters, "parameters", ("integrated", "fixed"))
        refuse_resolution(self.observations.readings, "a stream")
        refuse_estimates(self.observations.readings, "a stream", ("bias", "response_time", *CALIBRATED))
        nodes = None
        if parameters == "integrated" and not self.parameter_posterior.is_single:
            engine, kept = cast(Any, self.engine), self.parameter_posterior.reduced()
            nodes = Nodes(kept, [engine.at(theta) for theta in kept.theta])
        return self.fitted.posterior.online(lag, self.df_interval, self.fitted.described, nodes)

    def _points(self, asked: Asked, deriv: int, regressors: Any = None, name: str | None = None, *, go_on: bool = False) -> Points:
        """Points with the regressors of observations there, if these are given and observations of f^(deriv) depend on them.

        With the noise process of the series `name` if these `go_on` from the observations.
        """
        points, posterior = super()._points(asked, deriv), self.fitted.posterior
        depends = posterior.dependents(deriv, name)
        biased = name if name in posterior.biased else None
        if regressors is not None and not depends:
            what = f"no observation of {derivative_label(deriv)} depends on them" if posterior.regressors else "the model has none"
            raise SpecificationError(f"regressors are given, but {what}; leave them out")
        is_alone = not depends or (regressors is None and asked.table is None)
        spec = self.model.specification
        has_noise = go_on and spec is not None and name in spec.noise
        if is_alone and biased is None and not has_noise:
            return points
        known = {} if is_alone else future_columns(depends, posterior.regressors, regressors, asked, len(points.coarse))
        return posterior.regressed(points, known, name if has_noise else biased, has_noise=has_noise)

    def _going_on(self, asked: Asked, deriv: int, regressors: Any, name: str | None) -> Points:
        return self._points(asked, deriv, regressors, name, go_on=True)

    # The curve --------------------------------------------------------------------------------------------------------

    @property
    def highest_derivative(self) -> int:
        """Highest order of a derivative with a posterior variance: that which curves of the prior have."""
        return self.fitted.posterior.highest_derivative

    @property
    def highest_mean_derivative(self) -> int:
        """The same; 2 order - 1 where the mean is a spline: between observations it is a polynomial of that degree."""
        return self.fitted.posterior.highest_mean_derivative

    def _moments(self, x: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        return self._asked(CurveFunctionals(x, (deriv,)))

    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        return self.fitted.posterior.rough_mean(x, deriv)

    def spline(self) -> Spline:
        """Return the posterior mean as an exact spline of degree 2 order - 1 over the range of the observations.

        Its x are numbers; if x was times, units of time since the first observation (datetimes) or since zero (durations), and
        if x was integers beyond 2^53, differences from the smallest of them. An observation of f^(k) makes the derivative of order
        2 order - 1 - k jump, so its node is a knot of multiplicity k + 1.

        Raises
        ------
        NumericalError
            Neighbouring observations are so close in so wide a range of x that float64 knots cannot distinguish them.
        SpecificationError
            The posterior mean is not a spline.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
        >>> spline = res.spline()
        >>> spline.degree, bool(np.allclose(spline(x), res.predict(x)))
        (3, True)
        """
        reason = self.fitted.posterior.no_spline
        if reason:
            raise SpecificationError(f"the posterior mean of this model is not a spline: {reason}")
        return self.fitted.posterior.spline()

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f from lower to upper, in units of f times x, with its standard error."""
        if self.fitted.posterior.is_periodic:
            raise SpecificationError(
                "a periodic spline is not integrated; for the mean over a period take draws on an even grid, "
                "res.sample(grid).mean(axis=1), or fit SplineRegression with a PeriodicBSplineBasis"
            )
        return self._between(lower, upper, INTEGRAL)

    def difference(self, lower: Any, upper: Any) -> Estimate:
        """Return f(upper) - f(lower) with its standard error.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> change = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit().difference(1, 4)
        >>> round(change, 2), round(change.se, 3)  # of a sine: sin(4) - sin(1) = -1.6
        (-1.6, 0.011)
        """
        if self.fitted.posterior.is_periodic:
            raise SpecificationError("differences of a periodic spline are not implemented; use sample")
        return self._between(lower, upper, OF_ENDS)

    def _between(self, lower: Any, upper: Any, kind: int) -> Estimate:
        """Estimate of an integral or a difference, with an interval that integrates over the parameters."""
        start, end = self._limits_of_integral(lower, upper)
        distance = float(end.minus(start)[0])
        if distance == 0:
            return Estimate(0.0, 0.0, self.df_interval)
        low, high = (start, end) if distance > 0 else (end, start)
        functionals = CurveFunctionals(low, kind=kind, upper=high)
        mean, variance = self._asked(functionals)
        ends = later(self._law, functionals).then(alone).then(ends_of)
        found = Estimate(float(mean[0]), float(np.sqrt(variance[0])), self.df_interval, ends)
        return found if distance > 0 else -found

    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
        posterior = self.fitted.posterior
        if not (posterior.no_spline or posterior.is_periodic):
            return super()._mean_crossings(deriv, value)
        self._refuse_steps()
        from ..results.critical import crossings_on_grid

        return crossings_on_grid(self._as_curve, deriv, value)

    def _laws(self, points: Points, deriv: int, noise: str | None) -> Laws:
        law = self._law(CurveFunctionals(points, (deriv,)))
        if law is None or noise is None:
            return law, None
        posterior, engine = self.parameter_posterior, cast(Any, self.engine)
        variances = engine.noise_sds(posterior.theta, noise, process=not goes_on(points)) ** 2
        power = self.observations[noise].noise_growth
        if power is not None:
            variances = variances[:, None] * growth_factor(law.expectation, law.variance, power) ** 2
            return law, law.with_noise(posterior.scale2[:, None] * variances)
        return law, law.with_noise(posterior.scale2 * variances)

    def _prediction(self, points: Points, x: Any, deriv: int, noise: str | None = None) -> CurvePrediction:
        """Predict at points; the noise of a new observation may grow with the curve."""
        found = super()._prediction(points, x, deriv, noise)
        if noise is not None and goes_on(points):
            found = replace(found, noise_sd=self.fitted.posterior.noise_sd_of(noise, process=False))
        power = None if noise is None else self.observations[noise].noise_growth
        if power is None:
            return found
        return replace(found, noise_sd=found.noise_sd * growth_factor(found.predicted_mean, found.var_pred_mean, power))

    # Predictions and draws --------------------------------------------------------------------------------------------

    def predict(self, x: Any, deriv: int = 0, component: str | None = None, *, regressors: Any = None) -> Any:
        """Posterior mean of an observation of f^(deriv) at x with its regressors, of f^(deriv) alone, or of a component.

        Parameters
        ----------
        x : array_like, or data frame
            Numbers or times, as x of the observations, in one dimension. Of a data frame the columns are taken by the names of the
            fit: its column of x, and those of regressors on which observations of f^(deriv) depend. Of a data frame with the column
            of x alone,
            ``df[["x"]]``, pass the column, ``df["x"]``, to predict the curve without regressors.
        deriv : int
            Order of the derivative. Beyond `highest_derivative` the mean of a spline still has derivatives, right limits at the
            observations; the curve itself has none, so that `get_prediction` refuses them.
        component : str, optional
            One of `component_names`: a component of a sum of priors, an intervention, or ``"coef(<regressor>)"``, the path of
            a coefficient that varies, in units of f per unit of the regressor.
        regressors : mapping from str to array_like, shape (n,), or data frame, optional
            Values of the regressors at x: as many as x, or a single one for all. Other columns of a data frame are ignored.

        Returns
        -------
        ndarray
            Of the shape of x, in the unit of f per unit of x to the power `deriv`.

        Notes
        -----
        Interventions are part of f: their effects are known functions of x, so that forecasts include them. Regressors are not;
        they enter observations. A derivative of f is not one of the regressors: with `deriv` above zero they are included only if
        observations of f^(deriv) depended on them in the fit, as these do. In a fit from a formula none does.

        Examples
        --------
        >>> import numpy as np, pandas as pd, smoothfit as sf
        >>> rng = np.random.default_rng(0)
        >>> df = pd.DataFrame({"t": np.arange(60.0), "load": rng.uniform(0, 1, 60)})
        >>> df["power"] = np.sin(df["t"] / 9) + 3 * df["load"] + 0.1 * rng.standard_normal(60)
        >>> res = sf.SmoothingSpline.from_formula("power ~ s(t) + load", df).fit()
        >>> future = res.get_prediction([60.0, 61.0], regressors={"load": [0.2, 0.9]})
        >>> list(future.summary_frame().columns)[-2:]
        ['obs_ci_lower', 'obs_ci_upper']
        >>> res.get_prediction([60.0, 61.0])
        CurvePrediction(2 values of t) of the curve alone, without load
        """
        if component is None:
            return self._predict(x, deriv, regressors)
        asked, points, order = self._asked_of_part(x, deriv, component, regressors)
        return labelled(self._part(points, order, component)[0].reshape(asked.array.shape), x, "mean")

    def get_prediction(
        self,
        x: Any,
        deriv: int = 0,
        name: str | None = None,
        *,
        component: str | None = None,
        simultaneous: bool = False,
        parameters: str = "estimated",
        regressors: Any = None,
    ) -> CurvePrediction:
        """Posterior of what `predict` returns the mean of; see also `CurveResults.get_prediction`.

        Parameters
        ----------
        x, deriv, component, regressors
            As of `predict`.
        name, simultaneous, parameters
            As of `CurveResults.get_prediction`.

        Returns
        -------
        CurvePrediction
            Its variances are those of the joint posterior of the curve and the coefficients of regressors and interventions.
            Without values of the regressors it is of the curve alone (`CurvePrediction.omits` names what it leaves out), and
            intervals for a new observation are refused. With a noise process, these are for an observation whose process is
            independent of that of the observations: of another run. If `name` is a series with an unknown bias, the prediction is
            of what that series observes, f^(deriv) and its bias; without `name` it is of f^(deriv).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> load = np.tile([0, 1, 0, 2, 1], 3)
        >>> obs = sf.observe(x, np.sin(x) + 3 * load, sd=0.1)
        >>> res = sf.SmoothingSpline(obs, regressors={"load": load}).fit()
        >>> res.get_prediction([1.0, 2.0]).predicted_mean.round(1)  # the curve alone
        array([0.8, 0.9])
        >>> res.get_prediction([1.0, 2.0], regressors={"load": 1}).predicted_mean.round(1)
        array([3.8, 3.9])
        """
        if component is None:
            prediction = self._get_prediction(x, deriv, name, simultaneous, parameters, regressors)
            is_curve = regressors is None and table_of(x, "x") is None
            omits = self.fitted.posterior.dependents(int(deriv), name) if is_curve else ()
            return replace(prediction, omits=prediction.omits + omits)
        if simultaneous or name is not None:
            raise SpecificationError("component excludes simultaneous and name: intervals of a component are pointwise")
        asked, points, order = self._asked_of_part(x, deriv, component, regressors)
        prediction = self._prediction_of_part(points, asked.shown, order, component)
        return prediction.integrated() if check_choice(parameters, "parameters", PARAMETERS) == PARAMETERS[1] else prediction

    def sample(
        self,
        x: Any,
        deriv: int | Sequence[int] = 0,
        size: int = 100,
        rng: np.random.Generator | int | None = None,
        *,
        parameters: str = "integrated",
        regressors: Any = None,
    ) -> FloatArray:
        """Draw what `predict` returns the mean of from its posterior; see `CurveResults.sample`.

        Parameters
        ----------
        x, deriv, size, rng, parameters
            As of `CurveResults.sample`.
        regressors
            As of `predict`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit()
        >>> highest = res.sample(np.linspace(0, 6, 61), size=200, rng=1).max(axis=1)  # of each draw
        >>> highest.shape, float(highest.mean().round(2))
        ((200,), 1.0)
        """
        return self._sampled(x, deriv, size, rng, parameters, regressors)

    def _draws(self, x: Points) -> Draws:
        posterior: Any = self.fitted.posterior

        @cache
        def sampler(derivs: tuple[int, ...]) -> Callable[[np.random.Generator, int], FloatArray]:
            draw: Callable[[np.random.Generator, int], FloatArray] = posterior.draws(
                posterior.question(CurveFunctionals(x, derivs))
            )
            return draw

        return lambda rng, size, derivs: _by_derivative(sampler(tuple(derivs.tolist()))(rng, size), len(derivs))

    def _curves(self, points: Points, orders: Sequence[int], integrated: bool) -> Callable[[np.random.Generator, int], FloatArray]:
        if not integrated:
            return super()._curves(points, orders, integrated)
        posterior, engine = self.parameter_posterior, cast(Any, self.engine)
        if posterior.is_single and not (self.use_t and engine.relative):
            return super()._curves(points, orders, integrated)
        functionals = CurveFunctionals(points, tuple(orders))
        draw = curve_draws(engine, posterior, functionals)
        return lambda rng, size: _by_derivative(draw(rng, size), len(orders))

    def _band_draws(self, points: Points, prediction: CurvePrediction) -> BandDraws:
        if prediction.law is None:
            return super()._band_draws(points, prediction)
        engine, orders = cast(Any, self.engine), (cast(int, prediction.deriv),)

        def drawing(some: Indices) -> PointDraws:
            return curve_draws(engine, self.parameter_posterior, CurveFunctionals(points.take(some), orders))

        return drawing

    # Summary ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        from ..results.summary import curve_summary
        from .tables import facts_of, notes_of_fit, parameters_of, readings_of

        title = f"Smoothing Spline Results{self.fitted.posterior.title(self.fitted.described)}"
        facts = facts_of(self, self.fitted.posterior.facts)
        return curve_summary(title, facts, readings_of(self), parameters_of(self, alpha), notes_of_fit(self))

    def __repr__(self) -> str:
        bandwidth = "" if self.trend is None else f", bandwidth={self.bandwidth:.4g}"
        return f"SmoothingSplineResults({self.fitted.described}, nobs={self.nobs}, edf={self.edf:.4g}{bandwidth})"


def _by_derivative(draws: FloatArray, n_derivs: int) -> FloatArray:
    """Draws (size, n_derivs n) as (n_derivs, size, n)."""
    return np.swapaxes(draws.reshape(len(draws), n_derivs, -1), 0, 1)
