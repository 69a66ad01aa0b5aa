"""Results of every fitted curve, with statsmodels' names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed, labelled
from .._validation import FloatArray, check_choice, check_memory, check_order, check_rng, shown
from ..errors import SpecificationError
from ..inference.engine import PointDraws
from ..observations import Observations, derivative_label
from ..observations.abscissa import Asked, Points
from .curve_diagnostics import CurveDiagnostics
from .draws import BandDraws, Indices, greatest_deviations
from .later import later
from .mixtures import Laws
from .prediction import PARAMETERS, CurvePrediction, Estimate
from .protocols import Posterior

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ..basis import Spline


@entry_point
class CurveResults(CurveDiagnostics):
    """A fitted curve: estimates, predictions with intervals, diagnostics, plots.

    Subclasses define how the curve is predicted. Residuals and fitted values are in the order of the observations, series by
    series.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit()
    >>> res.nobs, res.predict([3.0]).round(2), res.get_prediction([3.0]).se_mean.round(3)
    (15, array([0.14]), array([0.01]))
    """

    observations: Observations

    # What a subclass provides -----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def highest_derivative(self) -> int:
        """Highest order of a derivative that has a posterior variance."""

    @property
    @abstractmethod
    def highest_mean_derivative(self) -> int:
        """Highest order of a derivative of the posterior mean that is not zero everywhere."""

    @abstractmethod
    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        """Posterior mean's derivative of an order above `highest_derivative` at points x (n,)."""

    @abstractmethod
    def _moments(self, x: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and variance of f^(deriv) at points x (n,)."""

    @abstractmethod
    def spline(self) -> Spline:
        """Return the posterior mean as an exact spline.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> spline = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit().spline()
        >>> spline([1.0, 2.0]).round(2), np.sin([1.0, 2.0]).round(2)
        (array([0.84, 0.91]), array([0.84, 0.91]))
        """

    @abstractmethod
    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f from lower to upper with its standard error.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> area = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit().integrate(0, np.pi)
        >>> round(area, 2), round(area.se, 3)  # of a sine from 0 to pi: 2
        (2.0, 0.011)
        """

    def _limits_of_integral(self, lower: Any, upper: Any) -> tuple[Points, Points]:
        """Limits as points, (1,) each."""
        if np.ndim(lower) or np.ndim(upper):
            raise SpecificationError("lower and upper are single numbers; make one call for each pair of them")
        abscissa = self.observations.abscissa
        start, end = (abscissa.given(limit, name) for limit, name in ((lower, "lower"), (upper, "upper")))
        return abscissa.points(start.reshape(1)), abscissa.points(end.reshape(1))

    # What follows from it ---------------------------------------------------------------------------------------------

    def predict(self, x: Any, deriv: int = 0) -> Any:
        """Posterior mean of f^(deriv) at x: between the observations, at them and beyond.

        Parameters
        ----------
        x : array_like, or data frame
            Numbers or times, as x of the observations, in one dimension. Of a data frame the column of x is taken, if x came
            from a data frame or from a named series; other columns are ignored.
        deriv : int
            Order of the derivative. Beyond `highest_derivative` the mean still has derivatives, right limits at the
            observations; the curve itself has none, so that `get_prediction` refuses them.

        Returns
        -------
        ndarray, or series
            Of the shape of x, in the unit of f per unit of x to the power `deriv`. Of a pandas series, index or data frame a series
            with its index; likewise of Polars and of an xarray.DataArray.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit()
        >>> res.predict([1.0, 2.0]).round(2), res.predict([1.0, 2.0], deriv=1).round(2)
        (array([0.84, 0.91]), array([ 0.54, -0.42]))
        """
        return self._predict(x, deriv)

    def _predict(self, x: Any, deriv: Any, regressors: Any = None) -> Any:
        """Posterior mean at x; `regressors` as of `_points`."""
        order = check_order(deriv, "deriv", 0, self.highest_mean_derivative)
        asked = self.observations.abscissa.asked(x)
        points = self._points(asked, order, regressors)
        mean = self._moments(points, order)[0] if order <= self.highest_derivative else self._rough_mean(points, order)
        return labelled(mean.reshape(asked.array.shape), x, "mean")

    def _points(self, asked: Asked, deriv: int, regressors: Any = None, name: str | None = None) -> Points:
        """Points a user asks about, with what else observations there depend on: `regressors`, or the data frame of `asked`."""
        return self.observations.abscissa.points(asked.array.ravel())

    def get_prediction(
        self,
        x: Any,
        deriv: int = 0,
        name: str | None = None,
        *,
        simultaneous: bool = False,
        parameters: str = "estimated",
    ) -> CurvePrediction:
        """Posterior of f^(deriv) at x, with standard errors and intervals.

        Parameters
        ----------
        x : array_like, shape (n,), or data frame
            As of `predict`.
        deriv : int
            Order of the derivative, at most `highest_derivative`.
        name : str, optional
            A series that observes f^(deriv): its observations are predicted, with its bias, scale, lag and response time, and with
            its noise. By default the curve, with the noise of the first series that has none of these, if there is one.
        simultaneous : bool
            Whether the intervals cover the curve at all x simultaneously. They have the shape of the pointwise intervals, times the
            factor that covers the largest deviation over these x in 95 % (or 1 - alpha) of up to 10 000 draws with a fixed seed. A
            grid of some points a bandwidth suffices for the whole curve. Intervals of new observations stay pointwise.
        parameters : {"estimated", "integrated"}
            Whether `predicted_mean` and `se_mean` are those at the estimated parameters, or the mean and the standard deviation
            of the posterior in which the parameters are integrated out: the better estimate of a curve where few observations
            determine its smoothness. Intervals integrate over the parameters in either case.

        Returns
        -------
        CurvePrediction
            Its `x` are those given.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit()
        >>> slope = res.get_prediction([1.0, 3.0], deriv=1)
        >>> slope.predicted_mean.round(2), slope.se_mean.round(2)
        (array([ 0.54, -0.99]), array([0.02, 0.02]))
        >>> band = res.get_prediction([1.0, 3.0], simultaneous=True)
        >>> bool((band.conf_int()[:, 0] < res.get_prediction([1.0, 3.0]).conf_int()[:, 0]).all())
        True
        """
        return self._get_prediction(x, deriv, name, simultaneous, parameters)

    def _get_prediction(
        self, x: Any, deriv: Any, name: str | None, simultaneous: bool, parameters: str, regressors: Any = None
    ) -> CurvePrediction:
        """Posterior at x; `regressors` as of `_points`."""
        check_choice(parameters, "parameters", PARAMETERS)
        deriv = self._check_deriv(deriv)
        asked = self.observations.abscissa.asked(x)
        points = self._points(asked, deriv, regressors, name)
        reader = self._noise_name(deriv, name)
        prediction = self._prediction(points, asked.shown, deriv, reader)
        left_out = () if name is not None or reader is None else self.observations[reader].adjustments
        omits = tuple(f"{what}.{reader}" for what in left_out)
        prediction = replace(prediction, library=asked.library or self.library, omits=omits)
        if simultaneous and len(points.coarse):
            maxima = greatest_deviations(self._band_draws(points, prediction), *prediction.shape)
            prediction = replace(prediction, maxima=maxima)
        return prediction.integrated() if parameters == PARAMETERS[1] else prediction

    def sample(
        self,
        x: Any,
        deriv: int | Sequence[int] = 0,
        size: int = 100,
        rng: np.random.Generator | int | None = None,
        *,
        parameters: str = "integrated",
    ) -> FloatArray:
        """Draw curves from the posterior.

        Parameters
        ----------
        x : array_like, or data frame
            As of `predict`, in any order: at the observations, between them and beyond.
        deriv : int or sequence of int
            Order of the derivative; of several, the draws belong together.
        size : int
            Number of draws.
        rng : numpy.random.Generator or int, optional
            Source of randomness, or a seed for one.
        parameters : {"integrated", "fixed"}
            Whether each draw is at estimated parameters (SDs, smoothing) that are drawn as well, or at the estimates.

        Returns
        -------
        ndarray
            Shape (size, ...), ... that of x, or (len(deriv), size, ...) for several orders: ``f, slope = res.sample(x, [0, 1])``.
            Within a draw all x and all orders are those of one curve. The first draws of a seed are the same whatever the size.

        Notes
        -----
        Exact backward sampling (Frühwirth-Schnatter 1994; Carter and Kohn 1994), at a cost linear in the number of observations,
        and for each draw in that of the points.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 50)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(6 * x), sd=0.1), order=3).fit()
        >>> f, slope = res.sample(x, deriv=[0, 1], size=200, rng=1)
        >>> f.shape
        (200, 50)
        >>> peak = x[f.argmax(axis=1)]  # of each draw
        >>> print(peak.mean().round(2), peak.std().round(2))
        0.26 0.01
        """
        return self._sampled(x, deriv, size, rng, parameters)

    def _sampled(self, x: Any, deriv: Any, size: Any, rng: Any, parameters: str, regressors: Any = None) -> FloatArray:
        """Draws at x; `regressors` as of `_points`."""
        check_choice(parameters, "parameters", ("integrated", "fixed"))
        several = not isinstance(deriv, (int, np.integer))
        orders = [self._check_deriv(k) for k in (deriv if isinstance(deriv, Sequence | np.ndarray) else [deriv])]
        if not orders:
            raise SpecificationError("deriv is empty; pass at least one order of a derivative")
        n_draws, generator = check_order(size, "size", 0, 2**31), check_rng(rng)
        asked = self.observations.abscissa.asked(x)
        entries = float(len(orders)) * n_draws * asked.array.size
        check_memory(24 * entries, f"a sample of size = {n_draws}", "lower size, or pass fewer x")
        points = self._points(asked, orders[0], regressors)
        draws = np.empty((len(orders), n_draws, len(points.coarse)))
        if draws.size:
            draws = self._curves(points, orders, parameters == "integrated")(generator, n_draws)
        draws = draws.reshape(len(orders), n_draws, *asked.array.shape)
        return draws if several else draws[0]

    def _curves(self, points: Points, orders: Sequence[int], integrated: bool) -> Callable[[np.random.Generator, int], FloatArray]:
        """Return what draws derivatives of curves at points: rng, size -> (n_orders, size, n)."""
        mean = np.array([self._moments(points, k)[0] for k in orders])
        deviations = self._draws(points)
        return lambda rng, size: deviations(rng, size, np.array(orders)) + mean[:, None]

    def _draws(self, x: Points) -> Callable[[np.random.Generator, int, npt.NDArray[np.int64]], FloatArray]:
        """Return what draws deviations from the posterior mean at points x (n,): rng, size, derivs -> (n_derivs, size, n)."""
        raise SpecificationError(f"{type(self).__name__} makes no draws")

    def _band_draws(self, points: Points, prediction: CurvePrediction) -> BandDraws:
        """Return what draws f^(deriv) at some of the points for simultaneous bands."""
        derivs, mean, df = np.array([prediction.deriv]), prediction.predicted_mean, prediction.df

        def drawing(some: Indices) -> PointDraws:
            draw_deviations = self._draws(points.take(some))

            def draw(rng: np.random.Generator, size: int) -> FloatArray:
                deviations = draw_deviations(rng, size, derivs)[0]
                if np.isfinite(df):
                    deviations *= np.sqrt(df / rng.chisquare(df, (size, 1)))
                return np.asarray(mean[some] + deviations)

            return draw

        return drawing

    @framed
    def roots(self, deriv: int = 0, value: float = 0.0, alpha: float = 0.05) -> pd.DataFrame:
        """Where f^(deriv) crosses a value, with uncertainty.

        Parameters
        ----------
        deriv : int
            Order of the derivative, at most `highest_derivative`.
        value : float
            What is crossed, in the unit of f^(deriv).
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            One row for each crossing of the posterior mean within the range of the observations, or of a spline regression within
            the domain of its basis: ``x``; ``se`` by the delta method, sd f^(deriv) over the slope of its mean, in units of x;
            ``ci_lower``, ``ci_upper``; ``direction``, 1 upward and -1 downward.

        Notes
        -----
        The interval is the x at which the pointwise interval of f^(deriv) includes the value (Fieller 1954). For a curve that
        crosses once, upward, P(crossing < x) = P(f^(deriv)(x) > value), so that it is the equal-tailed posterior interval. An end
        that is not reached within the range is infinite (NaT for times): the data do not confirm a crossing on that side.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(1, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit()
        >>> print(res.roots().round(2))  # of a sine: pi
              x    se  ci_lower  ci_upper  direction
        0  3.14  0.01      3.13      3.16         -1
        """
        from .critical import crossings

        try:
            order = self._check_deriv(deriv)
        except SpecificationError as error:
            raise SpecificationError(f"{error}; to find where f has a value: roots(value={shown(deriv)})") from None
        return crossings(self._as_curve, order, value, alpha)

    @property
    def _as_curve(self) -> Posterior:
        """What crossings and pictures take of the curve."""
        found = self._moments, self._prediction, self._mean_crossings
        return Posterior(self.observations, self.highest_derivative, self._range, self._step, *found)

    @property
    def _range(self) -> tuple[float, ...]:
        """Ends of the range in which crossings are found, as numbers, if it is wider than that of the observations."""
        return ()

    @property
    def _step(self) -> float | None:
        """Step of x from the first one, at whose multiples alone the curve has values; None if it has them anywhere."""
        return None

    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
        """Where the mean of f^(deriv) has a value, as numbers, and its slopes there."""
        spline = self.spline()
        curve = spline if deriv == 0 else spline.derivative(deriv)
        x = (curve if value == 0 else curve - value).roots()
        return x, curve(x, deriv=1) if len(x) else x

    @framed
    def extrema(self, deriv: int = 0, alpha: float = 0.05) -> pd.DataFrame:
        """Local extrema of f^(deriv), with uncertainty.

        Parameters
        ----------
        deriv : int
            Order of the derivative, below `highest_derivative`: an extremum is a root of the next one.
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            One row for each extremum of the posterior mean, in the range of `roots`: ``x``, ``se``, ``ci_lower``,
            ``ci_upper`` as there; ``kind``, "maximum" or "minimum"; ``value`` and ``value_se``, f^(deriv) there, to first
            order without error from x.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit()
        >>> print(res.extrema()[["x", "se", "kind", "value"]].round(2))  # of a sine: pi / 2 and 3 pi / 2
              x    se     kind  value
        0  1.57  0.02  maximum    1.0
        1  4.71  0.02  minimum   -1.0
        """
        from .critical import extrema

        if self._check_deriv(deriv) + 1 > self.highest_derivative:
            raise SpecificationError(
                f"deriv is {deriv}: an extremum is a root of {derivative_label(deriv + 1)}, which has no finite variance under "
                "this prior; raise the model's order"
            )
        return extrema(self._as_curve, deriv, alpha)

    def _noise_name(self, deriv: int, name: str | None) -> str | None:
        """Whose noise a new observation of f^(deriv) has: a series, or the first, if possible unbiased one; None if none does."""
        of_order = sorted(
            (reading for reading in self.observations.readings if reading.deriv == deriv), key=lambda r: r.is_adjusted
        )
        readers = [reading.name for reading in of_order]
        if name is None:
            return readers[0] if readers else None
        if name not in self.observations.names:
            raise SpecificationError(f"name is {name!r}; the observations are named {', '.join(self.observations.names)}")
        if name not in readers:
            k = self.observations[name].deriv
            others = f", or one of the series that observe {derivative_label(deriv)}: {', '.join(readers)}" if readers else ""
            if k < 0:
                raise SpecificationError(f"name is {name!r}, which observes integrals; use integrate(lower, upper){others}")
            raise SpecificationError(
                f"name is {name!r}, which observes {derivative_label(k)} and not {derivative_label(deriv)}; pass deriv={k}{others}"
            )
        return name

    def _prediction(self, points: Points, x: Any, deriv: int, noise: str | None = None) -> CurvePrediction:
        """Predict at points; new observations have the noise of a series."""
        mean, variance = self._moments(points, deriv)
        return CurvePrediction(
            x=x,
            deriv=deriv,
            predicted_mean=mean,
            var_pred_mean=variance,
            noise_sd=np.nan if noise is None else self._noise_sd(noise),
            df=self.df_interval,
            x_name=self.observations.x_name,
            laws=later(self._laws, points, deriv, noise),
        )

    def _noise_sd(self, name: str) -> float:
        """Standard deviation of the noise of a new observation of weight one of a series."""
        return float(self.sigma[name])

    def _laws(self, points: Points, deriv: int, noise: str | None) -> Laws:
        """Laws of f^(deriv) and of new observations with the noise of a series, parameters integrated out; None if none is."""
        return None, None

    def plot(self, deriv: int = 0, ax: Axes | None = None, alpha: float = 0.05, label: str | None = None, **line: Any) -> Axes:
        """Draw f^(deriv) with its pointwise interval and the observations of it.

        Parameters
        ----------
        deriv : int
            Order of the derivative.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure. Several fits on one axes take colours in turn; observations are drawn once.
        alpha : float
            The interval has level 1 - alpha.
        label : str, optional
            Label of the curve in the legend.
        **line
            Passed to `matplotlib.axes.Axes.plot` for the curve, such as ``color``, ``linestyle`` or ``linewidth``; the interval
            has the colour of the curve.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit()
        >>> ax = res.plot(deriv=1, color="C1")
        >>> ax.get_ylabel()
        "f'"
        >>> plt.close()
        """
        from .plotting import plot_curve

        return plot_curve(self._as_curve, self._check_deriv(deriv), ax, alpha, label, line)

    def _check_deriv(self, deriv: Any) -> int:
        order = check_order(deriv, "deriv", 0, 10**6)
        if order > self.highest_derivative:
            raise SpecificationError(
                f"deriv is {order}: {derivative_label(order)} has no finite variance under this prior, whose derivatives end at "
                f"{derivative_label(self.highest_derivative)}; raise the model's order, or use the mean alone: "
                f"predict(x, deriv={order})"
            )
        return order
