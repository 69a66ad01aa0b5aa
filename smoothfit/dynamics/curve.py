"""The smoothed output of an equation as a fitted curve, with everything that fitted curves can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._validation import FloatArray, frozen
from ..errors import SpecificationError
from ..inference.engine import PointDraws
from ..observations import Observations, observe
from ..observations.abscissa import Points
from ..results import CurvePrediction, CurveResults, Estimate
from ..results.draws import BandDraws, Indices
from ..results.later import Later
from ..results.mixtures import Laws, ends_of
from .engine import Outputs
from .sample import Channel, Sample, with_times
from .shifts import reaching
from .simulation import deviations, solutions_from
from .smoothed import Smoothed
from .specification import HIGHEST_ORDER, Equation

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from ..basis import Spline

AS_GOOD_AS_EXACT = 1e-12  # noise variance, in units of y's, of the observation that fixes the start of an integral


@entry_point
class DynamicsCurve(CurveResults):
    """A smoothed output y of one run: its posterior given the observations, the coefficients and the noises; made by `curve`.

    Attributes
    ----------
    results : DynamicsResults
    output : str
    observations : Observations
        The observations of y and of its derivatives, series after series, each in order of time.

    Notes
    -----
    Standard errors are given the coefficients and the noises. Intervals, simultaneous bands and draws include the uncertainty of
    these; see `DynamicsResults.get_prediction`. `spline` raises, as the mean is not a spline.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> t = np.arange(60) * 0.1
    >>> res = sf.DerivativeRegression(np.exp(-t), t, intercept=False).fit("integral")
    >>> curve = res.curve()
    >>> curve.predict([0.0, 1.0], deriv=0).round(4)  # exp(-t)
    array([1.    , 0.3679])
    """

    use_t = False

    def __init__(self, results: Smoothed, output: int, run: int):
        self.results = results
        self._output = output
        self._run = run

    @property
    def output(self) -> str:
        """Name of the output whose curve this is."""
        return self.results.model.equation.outputs[self._output]

    @property
    def _sample(self) -> Sample:
        return self.results.model.sample

    @cached_property
    def _nodes(self) -> slice:
        return self._sample.slice_of(self._run)

    @cached_property
    def _channels(self) -> list[int]:
        """Series that observe this output in this run."""
        read = np.isfinite(self._sample.y[self._nodes])
        return [i for i, c in enumerate(self._sample.channels) if c.output == self._output and read[:, i].any()]

    @cached_property
    def observations(self) -> Observations:  # type: ignore[override]
        """Observations of this output in this run."""
        sample = self._sample
        parts = []
        for i in self._channels:
            channel, rows = sample.channels[i], self._rows(i)
            ratio = sample.ratio[rows, i]
            noise = {"sd": np.sqrt(ratio)} if channel.known else {"weights": None if (ratio == 1).all() else 1 / ratio}
            x = sample.abscissa.restore(sample.t[rows])
            parts.append(observe(x, sample.y[rows, i], channel.deriv, name=channel.name, unit=sample.abscissa.unit, **noise))
        joined = sum(parts[1:], parts[0])
        return Observations(joined.readings, sample.t_name)

    def _rows(self, channel: int) -> npt.NDArray[np.int64]:
        """Nodes at which a series has observations."""
        return np.asarray(self._nodes.start + np.flatnonzero(np.isfinite(self._sample.y[self._nodes, channel])))

    def _by_reading(self, values: Callable[[int, npt.NDArray[np.int64]], FloatArray]) -> FloatArray:
        return np.concatenate([values(i, self._rows(i)) for i in self._channels])

    def _component(self, deriv: int) -> int:
        return deriv * self.results.model.equation.n_outputs + self._output

    # What every curve provides ----------------------------------------------------------------------------------------

    @property
    def highest_derivative(self) -> int:
        """One below the order of the equation, beyond which is white noise; or below, where inputs add impulses."""
        return self.results.model.equation.highest_derivative

    @property
    def highest_mean_derivative(self) -> int:
        """The highest derivative of the posterior mean, that of the curve itself."""
        return self.highest_derivative

    def _rough_mean(self, x: Points, deriv: int) -> NoReturn:
        raise SpecificationError(f"the smoothed curve has derivatives up to order {self.highest_derivative}")

    def _times(self, x: Points) -> FloatArray:
        """Numbers on the scale of the sample, whose origin need not be that of these observations."""
        mine, theirs = self.observations.abscissa, self._sample.abscissa
        return x.coarse if mine == theirs else theirs.to_numbers(mine.restore(x.coarse))

    def _asked(self, x: Points) -> tuple[Sample, npt.NDArray[np.int64]]:
        """The run with nodes at points, and where these are."""
        return reaching(self._sample, self._run, self._times(x), self.results.model.equation)

    def _at(self, sample: Sample, at: Any, deriv: int, equation: Equation | None = None) -> tuple[FloatArray, FloatArray]:
        """Means and variances at nodes of a sample, which may be of integrals, with their equation."""
        return self.results.smoother.component(sample, at, deriv, self._output, equation)

    def _laws_at(self, sample: Sample, at: Any, deriv: int, channel: int | None = None, equation: Equation | None = None) -> Laws:
        return self.results.smoother.laws(sample, at, deriv, self._output, channel, equation)

    def _moments(self, x: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        return self._at(*self._asked(x), deriv)

    def _laws(self, points: Points, deriv: int, noise: str | None) -> Laws:
        return self._laws_at(*self._asked(points), deriv, self._unknown(noise))

    def _noise_sd(self, name: str) -> float:
        return float(self.sigma[name]) if self._unknown(name) is not None else np.nan

    def _unknown(self, name: str | None) -> int | None:
        """The channel of a series, if its noise is estimated."""
        channels = self._sample.channels
        return next((i for i in self._channels if channels[i].name == name and not channels[i].known), None)

    def _curves(self, points: Points, orders: Sequence[int], integrated: bool) -> Callable[[np.random.Generator, int], FloatArray]:
        smoother, posterior = self.results.smoother, self.results.smoother.fit.posterior
        if not integrated or (posterior is None and not smoother.moves):
            return super()._curves(points, orders, integrated)
        wide, at = self._asked(points)
        if posterior is not None:
            components = np.repeat([self._component(k) for k in orders], len(at))
            draw = posterior.curves(Outputs(wide, np.tile(at, len(orders)), components))

            def curves(rng: np.random.Generator, size: int) -> FloatArray:
                return np.moveaxis(draw(rng, size).reshape(size, len(orders), len(at)), 1, 0)

            return curves
        found, deviations = [smoother.first_order(wide, at, k, self._output) for k in orders], self._draws(points)

        def moved(rng: np.random.Generator, size: int) -> FloatArray:
            of_parameters, of_curves = rng.spawn(2)
            coordinates = of_parameters.standard_normal((size, len(smoother.steps)))
            parts = zip(found, deviations(of_curves, size, np.array(orders)), strict=True)
            return np.array([part.curves(coordinates, deviation) for part, deviation in parts])

        return moved

    def _band_draws(self, points: Points, prediction: CurvePrediction) -> BandDraws:
        """Draws of the curve at parameters that are drawn as well, as the pointwise intervals are."""
        orders: Any = (prediction.deriv,)

        def drawing(some: Indices) -> PointDraws:
            curves = self._curves(points.take(some), orders, integrated=True)
            return lambda rng, size: np.asarray(curves(rng, size)[0])

        return drawing

    def _draws(self, x: Points) -> Callable[[np.random.Generator, int, npt.NDArray[np.int64]], FloatArray]:
        equation, fitted = self.results.model.equation, self.results.fitted
        wide, at = self._asked(x)
        components = np.vectorize(self._component, otypes=[np.int64])
        if (fitted.q > 0).any():
            draw = deviations(equation, wide, fitted.theta, fitted.q, fitted.sigma2)
        else:  # only the initial state is uncertain
            draw = solutions_from(equation, wide, fitted.theta, self.results.smoother.states(wide)[1][0])

        def paths(rng: np.random.Generator, size: int, derivs: npt.NDArray[np.int64]) -> FloatArray:
            return np.moveaxis(draw(rng, size)[:, at][:, :, components(derivs)], 2, 0)

        return paths

    @property
    def _leverage(self) -> FloatArray:
        return self._by_reading(lambda i, rows: self.results.smoother.leverages[rows, i])

    @cached_property
    def _noise_variance(self) -> FloatArray:
        return self._by_reading(lambda i, rows: self.results.fitted.sigma2[i] * self._sample.ratio[rows, i])

    @cached_property
    def _fittedvalues(self) -> FloatArray:
        mean = self.results.smoother.at_nodes[0]
        return self._by_reading(lambda i, rows: mean[rows, self._component(self._sample.channels[i].deriv)])

    @property
    def _resid_recursive(self) -> FloatArray:
        errors = self.results.innovations
        return self._by_reading(lambda i, rows: np.asarray(errors[rows, i]))

    @property
    def params(self) -> pd.Series:
        """Parameters of the equation, as `params` of its results."""
        return self.results.params

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        return self.results.fitted.is_noise

    def cov_params(self) -> pd.DataFrame:
        return self.results.cov_params()

    @property
    def _tested(self) -> list[str]:
        return self.results.model.equation.names

    @property
    def sigma(self) -> pd.Series:
        """Noise standard deviation per series; one, in units of the given noise SDs, if these are known."""
        import pandas as pd

        names = [self._sample.channels[i].name for i in self._channels]
        return pd.Series(np.sqrt(self.results.fitted.sigma2[self._channels]), index=names, name="sigma")

    @property
    def scale(self) -> float:
        return float(self.sigma.iloc[0] ** 2)

    @property
    def llf(self) -> float:
        return self.results.llf

    @property
    def aic(self) -> float:
        """Akaike's criterion, as of `DynamicsResults`."""
        return self.results.aic

    @property
    def bic(self) -> float:
        """Schwarz's criterion, as of `DynamicsResults`."""
        return self.results.bic

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        return self.results.smoother.fit.n_likelihood

    @property
    def _maximises_likelihood(self) -> bool:
        return bool(np.isfinite(self.llf))

    @property
    def _n_contrasts(self) -> int:
        return self.nobs - self.results.model.equation.n_states

    def spline(self) -> Spline:
        """Raises: the mean consists of solutions of the equation, which are not polynomials."""
        raise SpecificationError(
            "the smoothed output of an equation consists of exponentials and is not a spline; use predict, or fit a "
            "smoothing spline to observations of it: SmoothingSpline(res.curve().observations)"
        )

    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
        from ..results.critical import crossings_on_grid

        return crossings_on_grid(self._as_curve, deriv, value)

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of y from lower to upper with its standard error, and an interval as those of predictions.

        The equation of Y = int y is that of y, with every order one higher; Y(lower) = 0 is observed, and Y(upper) smoothed.
        """
        sample, equation = self._sample, self.results.model.equation
        p = equation.n_outputs
        if equation.hidden:
            raise SpecificationError("integrals are of equations without hidden states; sum predictions at a fine grid")
        if equation.n_states + p > HIGHEST_ORDER:
            raise SpecificationError(f"integrals are of equations with a state of at most {HIGHEST_ORDER - p}; sum predictions")
        ends = np.concatenate([self._times(end) for end in self._limits_of_integral(lower, upper)])
        wide, at = with_times(sample, self._run, ends, equation)
        n = len(wide)
        higher = replace(equation, order=equation.order + 1, derivatives=tuple(j + 1 for j in equation.derivatives))
        channels = [replace(c, deriv=c.deriv + 1) for c in sample.channels]
        channels += [Channel(f"integral of {name}", i, 0, known=True) for i, name in enumerate(equation.outputs)]
        zero = np.full((n, p), np.nan)
        zero[np.searchsorted(wide.t, ends[0], side="right") - 1] = 0.0  # after all replicates: steps of zero add no noise to it
        is_random = bool((self.results.fitted.q > 0).any())
        exact = 0.0 if is_random else AS_GOOD_AS_EXACT * float(np.median(wide.ratio[np.isfinite(wide.y)]))
        integrated = replace(
            wide,
            y=frozen(np.hstack([wide.y, zero])),
            ratio=frozen(np.hstack([wide.ratio, np.full((n, p), exact)])),
            channels=tuple(channels),
        )
        mean, variance = self._at(integrated, at[1:], 0, higher)
        laws = Later(partial(self._laws_at, integrated, at[1:], 0, equation=higher))
        return Estimate(mean[0], float(np.sqrt(variance[0])), ends=laws.then(ends_of))

    def summary(self, alpha: float = 0.05) -> Summary:
        return self.results.summary(alpha)

    def __repr__(self) -> str:
        return f"DynamicsCurve({self.output!r} of {self.results!r})"
