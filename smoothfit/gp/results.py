"""Results of a Gaussian-process regression."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import column_of, labelled, library_of, listed, table_of
from .._validation import FloatArray, check_choice, check_finite, check_memory, check_order, check_rng, frozen, to_floats
from ..errors import DataError, SpecificationError
from ..inference.engine import PointDraws
from ..observations.points import Orders, check_orders, default_inputs, noise_name, partial_label, to_points
from ..results import Estimate
from ..results.draws import Indices, curve_draws, greatest_deviations
from ..results.mixtures import Mixture
from ..results.prediction import PARAMETERS, SurfacePrediction
from .dense import DensePosterior
from .estimates import Hyperparameters
from .kernels import SquaredExponential
from .points import VALUE
from .posterior import Box, Derivatives, covariance_of, leverages_of, moments_of, root_of
from .prediction import PointPrediction, axes, between_all, entries_of, placed, placement
from .terms import Axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import matplotlib.axes
    from statsmodels.iolib.summary import Summary


HIGHEST = 2  # order of a derivative


@entry_point
class GaussianProcessResults(Hyperparameters):
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

    @property
    def inputs(self) -> tuple[str, ...]:
        """Labels of the inputs, as those of the model."""
        return self.model.inputs

    def _check_deriv(self, deriv: Any) -> Orders:
        """Orders of a derivative by each input, if functions of the kernel have it."""
        orders = check_orders(deriv, len(self.inputs))
        self._require_smooth(sum(orders), partial_label(self.inputs, orders))
        return orders

    def _require_smooth(self, order: int, what: str) -> None:
        """Refuse derivatives that functions of the kernel have not, and those above the second."""
        kernel = self.model.kernel
        if order > HIGHEST:
            raise SpecificationError(f"{what} is a derivative of order {order}; predictions end at order {HIGHEST}")
        if order > kernel.smoothness:
            others = ["Matern32, Matern52", "Matern52"][order - 1]
            raise SpecificationError(f"functions of the {kernel.label} kernel have no {what}; use {others} or SquaredExponential")

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
        law = self._law(asked)
        prediction = SurfacePrediction(
            x=frozen(points),
            deriv=orders,
            predicted_mean=mean[:, 0],
            var_pred_mean=np.maximum(cov[:, 0, 0], 0.0),  # below zero is rounding
            noise_sd=np.nan if noise is None else float(self.sigma[noise]),
            df=self.df_interval,
            law=law,
            law_obs=None if law is None or noise is None else law.with_noise(self._noise_variance(noise)),
            inputs=self.inputs,
            library=library_of(X) or self.library,
        )
        if simultaneous and len(points):

            def drawing(some: Indices) -> PointDraws:
                return self._drawn(Derivatives(points[some], asked.entries), integrated=True)

            prediction = replace(prediction, maxima=greatest_deviations(drawing, *prediction.shape))
        return prediction.integrated() if parameters == PARAMETERS[1] else prediction

    def _noise_variance(self, name: str) -> FloatArray:
        """Noise variance of a series, for observations of weight 1, at each node (L,)."""
        posterior = self.parameter_posterior
        if name not in self.model.rows.unknown:
            return np.full(len(posterior.weights), self.sigma[name] ** 2)
        values, power = self._at_nodes[f"sigma.{name}"]
        return np.asarray(values**2 * posterior.scale2**power)

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
        law = self._law(box)
        ends = None if law is None else law.ends
        found = Estimate(mean * unit + shift, float(np.sqrt(max(variance, 0.0))) * unit, self.df_interval, ends)
        turned: Estimate = float(np.prod(np.sign(end - start))) * found
        return turned

    def predict_gradient(self, X: Any, *, parameters: str = "estimated") -> PointPrediction:
        """Posterior of the gradient of f at points.

        With a = K^-1 (y - H b): mean sum_i a_i dk(x, x_i)/dx (+ the mean's slopes), covariance
        d^2 k / dx dx' - G K^-1 G', G = dk(x, X)/dx, plus the part of the mean's coefficients.

        Parameters
        ----------
        X : array_like, shape (m, d), (m,) in one input, or data frame
        parameters : {"estimated", "integrated"}
            Whether `mean`, `se`, `covariance` and `joint_covariance` are those at the estimated hyperparameters, or of the
            posterior in which these are integrated out. Intervals integrate over the hyperparameters in either case.

        Returns
        -------
        PointPrediction
            `mean` and `se` of shape (m, d); `covariance` of shape (m, d, d), between the components at each point.

        Raises
        ------
        DataError
            X is not finite or has other inputs than the observations.
        SpecificationError
            Functions of the kernel have no gradient (`Matern12`).

        References
        ----------
        - C. E. Rasmussen and C. K. I. Williams (2006), *Gaussian Processes for Machine Learning*, section 9.4.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 25)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01, mean="zero").fit()
        >>> mean, covariance = res.predict_gradient([1.0, 3.0])
        >>> print(mean.ravel().round(8), covariance.ravel().round(8))
        [ 0.53698288 -0.98880721] [0.00039536 0.00030705]
        """
        return self._predict(X, 1, parameters)

    def predict_hessian(self, X: Any, *, parameters: str = "estimated") -> PointPrediction:
        """Posterior of the Hessian of f at points.

        Parameters
        ----------
        X : array_like, shape (m, d), (m,) in one input, or data frame
        parameters : {"estimated", "integrated"}
            Whether `mean`, `se`, `covariance` and `joint_covariance` are those at the estimated hyperparameters, or of the
            posterior in which these are integrated out. Intervals integrate over the hyperparameters in either case.

        Returns
        -------
        PointPrediction
            `mean` and `se` of shape (m, d, d); `covariance` of shape (m, d, d, d, d), between the entries at each point.

        Raises
        ------
        DataError
            X is not finite or has other inputs than the observations.
        SpecificationError
            Functions of the kernel have no Hessian (`Matern12`, `Matern32`).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> curvature = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().predict_hessian([1.0, 3.0])
        >>> curvature.mean.shape, curvature.mean.ravel().round(2), -np.sin([1.0, 3.0]).round(2)
        ((2, 1, 1), array([-0.85, -0.14]), array([-0.84, -0.14]))
        """
        return self._predict(X, 2, parameters)

    def _predict(self, X: Any, order: int, parameters: str) -> PointPrediction:
        check_choice(parameters, "parameters", PARAMETERS)
        self._require_smooth(order, ("gradient", "Hessian")[order - 1])
        points = self._read(X)
        d = points.shape[1]
        entries, place = entries_of(order, d), placement(order, d)
        law = self._law(Derivatives(points, entries))
        if parameters == PARAMETERS[1] and law is not None:
            between, (mean, cov) = self._between_integrated, self._moments_integrated(points, entries)
        else:
            between, (mean, cov) = self._between, self._moments(points, entries)
        se = np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2), 0.0))  # below zero is rounding
        shape = (len(points), *(d,) * order)
        names = self._noise_names(order, d)
        if law is not None:
            law = law.taken(placed(len(points), order, d))
        return PointPrediction(
            X=points,
            order=order,
            mean=mean[:, place].reshape(shape),
            se=se[:, place].reshape(shape),
            covariance=cov[:, place][:, :, place].reshape(len(points), *(d,) * (2 * order)),
            noise_sd=np.array([np.nan if name is None else self.sigma[name] for name in names]).reshape((d,) * order),
            df=self.df_interval,
            inputs=self.model.inputs,
            _between=partial(between_all, between),
            law=law,
            law_obs=None if law is None else self._with_noise(law, names, len(points)),
        )

    def _with_noise(self, law: Mixture, names: Sequence[str | None], m: int) -> Mixture:
        """Laws of new observations of the entries at m points, by name; NaN if this derivative is not observed."""
        nodes = len(law.weights)
        variances = [np.full(nodes, np.nan) if name is None else self._noise_variance(name) for name in names]
        return law.with_noise(np.tile(np.column_stack(variances), (1, m)))

    def _moments(self, points: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray]:
        """Means (m, e) of derivatives at points and covariances (m, e, e) between those of each point."""
        return moments_of(self._fit.posterior, self.model.rows, Derivatives(points, entries))

    def _between(self, points: FloatArray, entries: list[Axes]) -> FloatArray:
        """Covariances (m e, m e) between derivatives at all points, those of a point together."""
        return covariance_of(self._fit.posterior, self.model.rows, Derivatives(points, entries))

    def _moments_integrated(self, points: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray]:
        """As `_moments`, with the hyperparameters integrated out."""
        posterior, engine = self.parameter_posterior, self.engine
        parts = [engine.pointwise(theta, Derivatives(points, entries)) for theta in posterior.theta]
        mean = sum(w * own for w, (own, _) in zip(posterior.weights, parts, strict=True))
        cov = np.zeros((*mean.shape, mean.shape[1]))
        for weight, scale2, (own, given) in zip(posterior.weights, posterior.scale2, parts, strict=True):
            away = own - mean
            cov += weight * (scale2 * given + away[:, :, None] * away[:, None, :])
        return mean, cov

    def _between_integrated(self, points: FloatArray, entries: list[Axes]) -> FloatArray:
        """As `_between`, with the hyperparameters integrated out."""
        posterior, engine, asked = self.parameter_posterior, self.engine, Derivatives(points, entries)
        away = engine.moments(posterior.theta, asked).mean
        away = away - posterior.weights @ away
        cov = (posterior.weights[:, None] * away).T @ away
        for weight, scale2, theta in zip(posterior.weights, posterior.scale2, posterior.theta, strict=True):
            cov += weight * scale2 * engine.covariance(theta, asked)
        return np.asarray(cov)

    def _noise_names(self, order: int, d: int) -> list[str | None]:
        """The first series that observes each entry of a gradient or Hessian, flattened; None if none does."""
        names: list[str | None] = [None] * d**order
        if order == 1:
            for reading in reversed(self.observations.readings):
                for axis in set(reading.axis.tolist()) - {VALUE}:
                    names[axis] = reading.name
        return names

    def _read(self, X: Any) -> FloatArray:
        """Points of the user; of a data frame the columns of the observations' inputs, by name."""
        inputs = self.model.inputs
        d = len(inputs)
        table = table_of(X, "X")
        if table is not None:
            columns = [to_floats(self._column(table, name), f"X[{name!r}]")[0] for name in inputs]
            for name, column in zip(inputs, columns, strict=True):
                check_finite(column, f"X[{name!r}]", "every point needs finite inputs: drop the row")
                if column.shape != columns[0].shape:
                    raise DataError(f"X[{name!r}] has {column.size} values and X[{inputs[0]!r}] {columns[0].size}; pass as many")
            return np.column_stack(columns)
        points, _ = to_points(X)
        if points.shape[1] != d:
            hint = f"pass points as rows: (m, {d})"
            if np.shape(X) == (d,):
                hint = "a single point is one row: X[None, :]"
            raise DataError(f"X has {points.shape[1]} input(s) and the observations {d} ({', '.join(inputs)}); {hint}")
        return points

    def _column(self, table: Mapping[str, Any], name: str) -> Any:
        """The column of an input; where the observations have no labels, a data frame may only happen to have theirs."""
        inputs = self.model.inputs
        if name not in table and inputs == default_inputs(len(inputs)):
            remedy = "pass the column of x" if len(inputs) == 1 else f"pass its {len(inputs)} columns as a matrix"
            raise DataError(
                f"X is a data frame with the columns {listed(table)}, and the inputs of the observations have no names; {remedy}: "
                "frame[...].to_numpy()"
            )
        return column_of(table, name, "X", f"; pass the inputs {listed(inputs)}")

    # Showing ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: kernel, observations by name, hyperparameters with intervals, convergence.

        Parameters
        ----------
        alpha : float
            The intervals have level 1 - alpha.

        Returns
        -------
        statsmodels.iolib.summary.Summary

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> table = sf.GaussianProcess(x, y, sf.gp.Matern52()).fit().summary()
        >>> "length_scale.x" in table.as_text()
        True
        """
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
        """Draw standardised residuals over the inputs and over fitted values, their distribution and normal quantiles.

        Parameters
        ----------
        ax : sequence of 4 matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> axes = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().plot_diagnostics()
        >>> len(axes)
        4
        >>> plt.close()
        """
        from ..results.contours import plot_point_diagnostics

        return plot_point_diagnostics(self.observations.X, self._resid_standardized, self._fittedvalues, self.inputs, ax)

    def __repr__(self) -> str:
        return f"GaussianProcessResults({self.kernel!r}, nobs={self.nobs}, llf={self.llf:.6g})"
