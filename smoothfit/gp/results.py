"""Results of a Gaussian-process regression."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import labelled, library_of
from .._validation import FloatArray, check_choice, check_memory, check_order, check_rng, frozen
from ..errors import SpecificationError
from ..inference.engine import PointDraws
from ..observations.points import Orders, check_orders, noise_name, partial_label
from ..results import Estimate
from ..results.draws import Indices, curve_draws, greatest_deviations
from ..results.later import later
from ..results.mixtures import Laws, ends_of
from ..results.prediction import PARAMETERS, SurfacePrediction
from .dense import DensePosterior
from .gradients import Gradients
from .kernels import SquaredExponential
from .points import VALUE
from .posterior import Box, Derivatives, leverages_of, root_of
from .prediction import axes

if TYPE_CHECKING:
    import matplotlib.axes
    from statsmodels.iolib.summary import Summary


@entry_point
class GaussianProcessResults(Gradients):
    """A fitted Gaussian process; made by `GaussianProcess.fit`.

    Attributes
    ----------
    model : GaussianProcess
    observations : PointObservations
    route : str
        ``"dense"`` or ``"state_space"``: the algebra that was used.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
    >>> res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit()
    >>> res.nobs, res.route, res.predict([1.0]).round(2)
    (15, 'dense', array([0.84]))
    """

    # Predictions ------------------------------------------------------------------------------------------------------

    @cached_property
    def _fittedvalues(self) -> FloatArray:
        rows = self.model.rows
        origin = np.where(rows.axis == VALUE, rows.y_origin, 0.0)
        return rows.in_given_order(self._fit.posterior.fitted() * rows.row_unit + origin)

    @cached_property
    def _leverage(self) -> FloatArray:
        return leverages_of(self._fit.posterior, self.model.rows, self._fit.estimates.sigma2)

    @property
    def resid_standardized(self) -> Any:
        """Residuals divided by their standard deviations; labelled as `fittedvalues`, NaN where f interpolates."""
        return self._labelled(self._resid_standardized, "resid_standardized")

    @property
    def _resid_standardized(self) -> FloatArray:
        rows = self.model.rows
        variance = rows.in_given_order(rows.noise(self._fit.estimates.sigma2) * rows.row_unit**2)
        return self._resid / np.sqrt(variance * self._free)

    def _check_deriv(self, deriv: Any) -> Orders:
        """Orders of a derivative by each input, if functions of the kernel have it."""
        orders = check_orders(deriv, len(self.inputs))
        self._require_smooth(sum(orders), partial_label(self.inputs, orders))
        return orders

    def predict(self, X: Any, deriv: Any = 0) -> Any:
        """Posterior mean of f, or of a partial derivative, at points.

        Parameters
        ----------
        X : array_like, shape (m, d), (m,) in one input, or data frame
            Of a data frame the columns named as the inputs are taken; it may have others, and in any order.
        deriv : int, or sequence of d ints
            Order of the derivative by each input, at most two in all; 0 is f itself.

        Returns
        -------
        ndarray, shape (m,); of a series or a data frame a series with its index

        Raises
        ------
        DataError
            X is not finite or has other inputs than the observations.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 25)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01, mean="zero").fit()
        >>> res.predict([1.0, 3.0]).round(4), res.predict([1.0, 3.0], deriv=1).round(2)
        (array([0.8416, 0.1411]), array([ 0.54, -0.99]))
        """
        return labelled(self._moments(self._read(X), [axes(self._check_deriv(deriv))])[0][:, 0], X, "mean")

    def get_prediction(
        self,
        X: Any,
        deriv: Any = 0,
        name: str | None = None,
        *,
        simultaneous: bool = False,
        parameters: str = "estimated",
    ) -> SurfacePrediction:
        """Posterior of f, or of a partial derivative, at points, with standard errors and intervals.

        Parameters
        ----------
        X, deriv
            As of `predict`.
        name : str, optional
            Whose noise a new observation has, a series that observes this derivative; by default the first.
        simultaneous : bool
            Whether the intervals cover f at all points simultaneously. They have the shape of the pointwise intervals, times the
            factor that covers the largest deviation over these points in 95 % (or 1 - alpha) of up to 10 000 seeded draws.
        parameters : {"estimated", "integrated"}
            Whether `predicted_mean` and `se_mean` are those at the estimated hyperparameters, or the mean and the standard
            deviation of the posterior in which these are integrated out. Intervals integrate over the hyperparameters in either
            case.

        Returns
        -------
        SurfacePrediction
            With ``predicted_mean``, ``se_mean``, ``conf_int``, ``summary_frame``.

        Notes
        -----
        Intervals are quantiles of the posterior with the hyperparameters integrated out under Jeffreys' prior of the restricted
        likelihood. With more than 300 observations, also of a Matérn kernel in one input, they are those at the estimates; see
        `parameter_posterior`. In simulations of 15 observations of sines (with two inputs: of products) with a noise SD of 0.1,
        nominal 95 % intervals of slopes cover 96 and 97 % in one and two inputs; those at the estimates cover 91 and 88 %.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> slope = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().get_prediction([1.0, 2.0], deriv=1)
        >>> slope.predicted_mean.round(2), slope.se_mean.round(2), np.cos([1.0, 2.0]).round(2)
        (array([ 0.54, -0.42]), array([0.02, 0.02]), array([ 0.54, -0.42]))
        """
        check_choice(parameters, "parameters", PARAMETERS)
        orders, points = self._check_deriv(deriv), self._read(X)
        noise = noise_name(self.observations, orders, name)
        asked = Derivatives(points, [axes(orders)])
        mean, cov = self._moments(points, asked.entries)
        prediction = SurfacePrediction(
            x=frozen(points),
            deriv=orders,
            predicted_mean=mean[:, 0],
            var_pred_mean=np.maximum(cov[:, 0, 0], 0.0),  # below zero is rounding
            noise_sd=np.nan if noise is None else float(self.sigma[noise]),
            df=self.df_interval,
            laws=later(self._laws, asked, noise),
            inputs=self.inputs,
            library=library_of(X) or self.library,
        )
        if simultaneous and len(points):

            def drawing(some: Indices) -> PointDraws:
                return self._drawn(Derivatives(points[some], asked.entries), integrated=True)

            prediction = replace(prediction, maxima=greatest_deviations(drawing, *prediction.shape))
        return prediction.integrated() if parameters == PARAMETERS[1] else prediction

    def _laws(self, asked: Derivatives | Box, noise: str | None) -> Laws:
        """Laws of a derivative at points or of an integral, and of new observations of a series."""
        law = self._law(asked)
        return law, None if law is None or noise is None else law.with_noise(self._noise_variance(noise))

    def _drawn(self, asked: Derivatives, integrated: bool) -> PointDraws:
        """What draws derivatives, with the hyperparameters drawn as well or at their estimates: rng, size -> (size, n)."""
        if integrated and not self.parameter_posterior.is_single:
            return curve_draws(self.engine, self.parameter_posterior, asked)
        root, mean = root_of(self._between(asked.X, asked.entries)), self._moments(asked.X, asked.entries)[0].ravel()

        def draw(rng: np.random.Generator, size: int) -> FloatArray:
            factors = rng.spawn(1)[0]
            deviations = rng.standard_normal((size, len(root))) @ root.T
            if integrated and self.use_t:
                deviations *= np.sqrt(self.df_interval / factors.chisquare(self.df_interval, (size, 1)))
            return np.asarray(mean + deviations)

        return draw

    def joint_covariance(self, X: Any, deriv: Any = 0) -> FloatArray:
        """Return the posterior covariance of f, or of a partial derivative, between points as of `predict`, shape (m, m).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit()
        >>> cov = res.joint_covariance([1.0, 2.0])
        >>> cov.shape, bool(np.allclose(np.diag(cov), res.get_prediction([1.0, 2.0]).var_pred_mean))
        ((2, 2), True)
        """
        return self._between(self._read(X), [axes(self._check_deriv(deriv))])

    def sample(
        self,
        X: Any,
        deriv: Any = 0,
        size: int = 100,
        rng: np.random.Generator | int | None = None,
        *,
        parameters: str = "integrated",
    ) -> FloatArray:
        """Draw functions from the posterior at points.

        Parameters
        ----------
        X : array_like, or data frame
            As of `predict`.
        deriv : int or sequence of d ints, or a sequence of such
            Order of the derivative by each input; of several derivatives the draws belong together.
        size : int
            Number of draws.
        rng : numpy.random.Generator or int, optional
            Source of randomness, or a seed for one.
        parameters : {"integrated", "fixed"}
            Whether each draw is at hyperparameters that are drawn as well, or at the estimates.

        Returns
        -------
        ndarray, shape (size, m), or (len(deriv), size, m) for several derivatives

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit()
        >>> f, slope = res.sample([1.0, 2.0], deriv=[0, 1], size=200, rng=1)
        >>> f.shape, slope.mean(axis=0).round(2)
        ((200, 2), array([ 0.53, -0.42]))
        """
        check_choice(parameters, "parameters", ("integrated", "fixed"))
        several = np.ndim(deriv) == (2 if len(self.inputs) > 1 else 1)
        entries = [axes(self._check_deriv(k)) for k in (deriv if several else [deriv])]
        n_draws, generator, points = check_order(size, "size", 0, 2**31), check_rng(rng), self._read(X)
        check_memory(24.0 * len(entries) * n_draws * len(points), f"a sample of size = {n_draws}", "lower size, or pass fewer X")
        draws = self._drawn(Derivatives(points, entries), parameters == "integrated")(generator, n_draws)
        drawn = np.moveaxis(draws.reshape(n_draws, len(points), len(entries)), 2, 0)
        return drawn if several else drawn[0]

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f over the box from lower (d,) to upper (d,), with its standard error.

        In closed form, of the squared-exponential kernel only.

        Raises
        ------
        SpecificationError
            Another kernel: its products over several inputs have no closed form, and in one input
            ``SmoothingSpline(observations, prior=...)`` integrates Matérn processes.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> area = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().integrate([0], [np.pi])
        >>> round(area, 2), round(area.se, 3)  # of a sine from 0 to pi: 2
        (2.0, 0.011)
        """
        if not isinstance(self._fit.posterior, DensePosterior) or not isinstance(self.model.kernel, SquaredExponential):
            raise SpecificationError(
                f"integrals are of the SquaredExponential kernel, and this one is {self.model.kernel.label}; in one input fit "
                "SmoothingSpline(observations, prior=sf.priors.Matern(...)), which integrates, or sum predict on a grid"
            )
        start, end = (self._read(np.reshape(np.asarray(corner, dtype=np.float64), (1, -1)))[0] for corner in (lower, upper))
        box, rows = Box(np.minimum(start, end), np.maximum(start, end)), self.model.rows
        mean, variance = self._fit.posterior.over_box(*box.scaled(rows))
        unit, shift = box.units(rows)
        laws = later(self._laws, box, None)
        found = Estimate(mean * unit + shift, float(np.sqrt(max(variance, 0.0))) * unit, self.df_interval, laws.then(ends_of))
        turned: Estimate = float(np.prod(np.sign(end - start))) * found
        return turned

    # Showing ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: kernel, observations by name, hyperparameters with intervals, convergence."""
        from .summary import process_summary

        return process_summary(self, alpha, self._convergence, self._fit.optimum.on_plateau)

    def plot(self, deriv: Any = 0, ax: Any = None, alpha: float = 0.05, *, se: bool = False, **style: Any) -> matplotlib.axes.Axes:
        """Draw f or a partial derivative: with its interval over one input, as contours over two.

        Parameters
        ----------
        deriv : int, or sequence of d ints
            As of `get_prediction`.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        alpha : float
            The interval over one input has level 1 - alpha.
        se : bool
            Over two inputs, whether to draw standard errors instead, and the places of all observations.
        **style
            Passed to `matplotlib.axes.Axes.plot` for the curve, or to `matplotlib.axes.Axes.contourf`.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> ax = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().plot(deriv=1)
        >>> ax.get_ylabel()
        'df/dx'
        >>> plt.close()
        """
        from ..results.contours import plot_over_input, plot_surface

        orders = self._check_deriv(deriv)
        if len(self.inputs) == 1:
            return plot_over_input(self, orders, ax, alpha, style)
        return plot_surface(self, orders, ax, se, style)

    def plot_diagnostics(self, ax: Any = None) -> npt.NDArray[Any]:
        """Draw standardised residuals over inputs and fitted values, their distribution and normal quantiles; `ax` are 4 axes."""
        from ..results.contours import plot_point_diagnostics

        return plot_point_diagnostics(self.observations.X, self._resid_standardized, self._fittedvalues, self.inputs, ax)

    def __repr__(self) -> str:
        return f"GaussianProcessResults({self.kernel!r}, nobs={self.nobs}, llf={self.llf:.6g})"
