"""Results of a spline regression in several variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .._entry import entry_point
from .._frames import column_of, labelled, library_of, table_of
from .._validation import FloatArray, check_choice, check_memory, check_order, check_rng, frozen, to_floats
from ..basis import TensorProductBasis, TensorSpline
from ..errors import DataError, SpecificationError
from ..observations.points import Orders, PointObservations, check_orders, noise_name, partial_label, to_points
from ..results.draws import greatest_deviations
from ..results.later import later
from ..results.prediction import PARAMETERS, Estimate, SurfacePrediction
from .band import pack
from .bootstrap import CurveBootstrap
from .functionals import check_degrees, degree_of
from .products import ProductRows, rows_at, rows_over
from .results import SplineRegressionResults


@entry_point
class SurfaceRegressionResults(SplineRegressionResults):
    """A fitted function of several variables; made by `SplineRegression.fit` with a `TensorProductBasis`.

    What `regression.SplineRegressionResults` has, with points for x: arrays (..., d), of which the results have the shape
    (...), or data frames with the inputs as columns. Derivatives are tuples with an order for each variable; 0 is f itself.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 1, (300, 2))
    >>> height = np.sin(3 * X[:, 0]) * X[:, 1]
    >>> slope = 3 * np.cos(3 * X[:, 0]) * X[:, 1]
    >>> obs = sf.observe(X, height + 0.05 * rng.standard_normal(300), name="height")
    >>> obs += sf.observe(X, slope + 0.1 * rng.standard_normal(300), deriv=(1, 0), name="slope")
    >>> basis = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 1, 6), sf.BSplineBasis.uniform(0, 1, 4))
    >>> res = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)).fit()
    >>> res.sigma.round(2).to_dict()
    {'height': 0.05, 'slope': 0.1}
    >>> res.gradient([0.2, 0.5]).round(1), np.round([3 * np.cos(0.6) * 0.5, np.sin(0.6)], 1)
    (array([1.2, 0.6]), array([1.2, 0.6]))
    """

    @property
    def _surface(self) -> TensorProductBasis:
        return cast(TensorProductBasis, self.basis)

    @property
    def _readings(self) -> PointObservations:
        return cast(PointObservations, self.observations)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Labels of the variables, from a data frame's columns or x1, x2, ..."""
        return self._readings.inputs

    @property
    def highest_derivative(self) -> int:
        """The highest degree of the splines, of all variables."""
        degrees = [degree_of(factor) for factor in self._surface.factors]
        return max(super().highest_derivative if degree is None else degree for degree in degrees)

    def _check_deriv(self, deriv: Any) -> Orders:  # type: ignore[override]
        orders = check_orders(deriv, self._surface.n_variables)
        check_degrees(self._surface, orders, f"deriv asks for {partial_label(self.inputs, orders)}", self.inputs)
        return orders

    def _read(self, X: Any, argument: str = "X") -> tuple[FloatArray, tuple[int, ...]]:
        """Points (m, d) and the shape of what is predicted at them."""
        inputs, d = self.inputs, len(self.inputs)
        table = table_of(X, argument)
        if table is not None:
            columns = [to_floats(column_of(table, name, argument), f"{argument}[{name!r}]")[0] for name in inputs]
            return to_points(np.column_stack(columns), argument)[0], (len(columns[0]),)
        shape = np.shape(X)
        if not shape or shape[-1] != d:
            raise DataError(f"{argument} has shape {shape}; pass points (..., {d}) with {', '.join(inputs)} in the last dimension")
        return to_points(np.reshape(np.asarray(X), (-1, d)), argument)[0], shape[:-1]

    def _design(self, x: Any, deriv: Any) -> ProductRows:
        return rows_at(self._surface, self._read(x)[0], self._check_deriv(deriv))

    @property
    def _places(self) -> dict[str, FloatArray]:
        return dict(zip(self.inputs, self._readings.X.T, strict=True))

    # The surface --------------------------------------------------------------------------------------------------------------

    def predict(self, X: Any, deriv: int | Sequence[int] = 0) -> Any:
        """Estimate of a partial derivative at points.

        Parameters
        ----------
        X : array_like, shape (..., d), or data frame
        deriv : sequence of d ints
            Order of the derivative by each variable; 0 is f itself.

        Returns
        -------
        ndarray, shape (...); of a data frame a series with its index

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> X = np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 2), axis=-1).reshape(-1, 2)
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> obs = sf.observe(X, X @ [1, 2], sd=0.1)
        >>> res = sf.SplineRegression(obs, sf.TensorProductBasis(line, line)).fit()
        >>> res.predict([[0.5, 0.5], [1, 0]]).round(6), float(res.predict([0.5, 0.5], deriv=(0, 1)).round(6))
        (array([1.5, 1. ]), 2.0)
        """
        return labelled(self._values(X, deriv), X, "mean")

    def _values(self, X: Any, deriv: Any) -> FloatArray:
        return self._design(X, deriv).times(self._fit.coef).reshape(self._read(X)[1])

    def gradient(self, X: Any) -> FloatArray:
        """Estimate of all slopes at points X (..., d): (..., d).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> X = np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 2), axis=-1).reshape(-1, 2)
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> obs = sf.observe(X, X @ [1, 2], sd=0.1)
        >>> res = sf.SplineRegression(obs, sf.TensorProductBasis(line, line)).fit()
        >>> res.gradient([[0.5, 0.5], [1, 0]]).round(6)
        array([[1., 2.],
               [1., 2.]])
        """
        d = len(self.inputs)
        return np.stack([self._values(X, orders) for orders in np.eye(d, dtype=np.int64).tolist()], axis=-1)

    def get_prediction(
        self,
        X: Any,
        deriv: int | Sequence[int] = 0,
        name: str | None = None,
        *,
        simultaneous: bool = False,
        parameters: str = "estimated",
    ) -> SurfacePrediction:
        """Estimate of a partial derivative at points, with standard errors and intervals.

        Parameters
        ----------
        X : array_like, shape (..., d), or data frame
            Points; the prediction has them in one list.
        deriv : sequence of d ints
            Order of the derivative by each variable; 0 is f itself.
        name : str, optional
            Whose noise a new observation has, a series that observes this derivative; by default the first.
        simultaneous : bool
            Whether the intervals are to cover the surface at all points simultaneously; see
            `SplineRegressionResults.get_prediction`.
        parameters : {"estimated", "integrated"}
            As of `SplineRegressionResults.get_prediction`, whose notes list what intervals integrate over.

        Returns
        -------
        SurfacePrediction

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> X = np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 2), axis=-1).reshape(-1, 2)
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> obs = sf.observe(X, X @ [1, 2], sd=0.1)
        >>> res = sf.SplineRegression(obs, sf.TensorProductBasis(line, line)).fit()
        >>> prediction = res.get_prediction([0.5, 0.5])
        >>> prediction.predicted_mean.round(6), prediction.se_mean.round(6)  # 0.1 / sqrt(16)
        (array([1.5]), array([0.025]))
        """
        check_choice(parameters, "parameters", PARAMETERS)
        points, _ = self._read(X)
        orders = self._check_deriv(deriv)
        rows, noise = rows_at(self._surface, points, orders), noise_name(self._readings, orders, name)
        prediction = SurfacePrediction(
            x=frozen(points),
            deriv=orders,
            predicted_mean=rows.times(self._fit.coef),
            var_pred_mean=self._fit.cov.variance(rows),
            noise_sd=np.nan if noise is None else float(self.sigma[noise]),
            df=self.df_interval,
            laws=later(self._laws_of, rows, noise),
            inputs=self.inputs,
            library=library_of(X) or self.library,
        )
        if simultaneous and len(points):
            prediction = replace(prediction, maxima=greatest_deviations(self._band_draws_of(rows), *prediction.shape))
        return prediction.integrated() if parameters == PARAMETERS[1] else prediction

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f over the box from lower (d,) to upper (d,), with its standard error and its interval."""
        return self._estimate_of(rows_over(self._surface, *self._points_of(lower, upper, "integrate")))

    def _points_of(self, lower: Any, upper: Any, method: str) -> list[FloatArray]:
        """Both points, (1, d)."""
        points = [self._read(point, argument) for point, argument in ((lower, "lower"), (upper, "upper"))]
        if any(shape for _, shape in points):
            raise SpecificationError(f"lower and upper are single points; call {method} for each")
        return [point for point, _ in points]

    def difference(self, lower: Any, upper: Any) -> Estimate:
        """Return f at the point upper (d,) less f at lower (d,), with its standard error and its interval."""
        start, end = self._points_of(lower, upper, "difference")
        return self._estimate_of(pack(csr_array(self._surface.design(end) - self._surface.design(start))))

    def sample(
        self,
        X: Any,
        deriv: Any = 0,
        size: int = 100,
        rng: np.random.Generator | int | None = None,
        *,
        parameters: str = "integrated",
    ) -> FloatArray:
        """Draw surfaces from the posterior: partial derivatives at points.

        Parameters
        ----------
        X : array_like, shape (..., d), or data frame
        deriv : sequence of d ints, or a sequence of such
            Order of the derivative by each variable; of several derivatives the draws belong together.
        size : int
            Number of draws.
        rng : numpy.random.Generator or int, optional
            Source of randomness, or a seed for one.
        parameters : {"integrated", "fixed"}
            As of `SplineRegressionResults.sample`.

        Returns
        -------
        ndarray, shape (size, ...), or (len(deriv), size, ...) for several derivatives

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> X = np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 2), axis=-1).reshape(-1, 2)
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> obs = sf.observe(X, X @ [1, 2], sd=0.1)
        >>> res = sf.SplineRegression(obs, sf.TensorProductBasis(line, line)).fit()
        >>> res.sample([[0.5, 0.5], [1, 0]], size=1000, rng=0).mean(axis=0).round(1)
        array([1.5, 1. ])
        """
        check_choice(parameters, "parameters", ("integrated", "fixed"))
        several = np.ndim(deriv) == 2
        designs, shape = [self._design(X, k) for k in (deriv if several else [deriv])], self._read(X)[1]
        n_draws, generator = check_order(size, "size", 0, 2**31), check_rng(rng)
        entries = float(n_draws) * sum(rows.n for rows in designs)
        check_memory(24 * entries, f"a sample of size = {n_draws}", "lower size, or pass fewer points")
        drawn = self._drawn(designs, parameters == "integrated")(generator, n_draws).reshape(len(designs), n_draws, *shape)
        return drawn if several else drawn[0]

    def bootstrap(
        self,
        x: Any,
        deriv: Any = 0,
        size: int = 999,
        kind: str = "residual",
        block: int = 1,
        rng: Any = None,
        *,
        studentize: bool = False,
        n_jobs: int = 1,
        progress: bool = False,
    ) -> CurveBootstrap:
        """Draw estimates at points from observations made anew; see `SplineRegressionResults.bootstrap`.

        Without ``kind="block"``, for which observations at points have no order.
        """
        if kind == "block":
            raise SpecificationError("kind is 'block', which needs ordered observations; at points pass 'residual' or 'wild'")
        return super().bootstrap(x, deriv, size, kind, block, rng, studentize=studentize, n_jobs=n_jobs, progress=progress)

    def spline(self) -> TensorSpline:  # type: ignore[override]
        """Return the estimate as a tensor spline."""
        return TensorSpline(self._surface, self._fit.coef)

    def _mean_without_data(self) -> TensorSpline:
        return self.spline()

    # What a surface has not ---------------------------------------------------------------------------------------------------

    def roots(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a surface crosses a value along lines."""
        raise SpecificationError("a surface has no crossings at points; draw its contours (plot), or use predict along a line")

    def extrema(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused; `calculus.find_critical_points` searches functions of several variables."""
        raise SpecificationError("extrema are of one variable; see sf.calculus.find_critical_points for res.spline()")

    def zero_test(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused; `wald_test` tests any combinations."""
        raise SpecificationError("zero_test is of one variable; test values at points: wald_test(basis.design(X, deriv).toarray())")

    # Pictures -----------------------------------------------------------------------------------------------------------------

    def plot(  # type: ignore[override]
        self, deriv: int | Sequence[int] = 0, ax: Any = None, se: bool = False, **contour: Any
    ) -> Any:
        """Draw contours of a partial derivative over two variables, and the observations of it in the same colours.

        Parameters
        ----------
        deriv : sequence of 2 ints
            Order of the derivative by each variable; 0 is f itself.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        se : bool
            Whether to draw standard errors instead, and the places of all observations.
        **contour
            Passed to `matplotlib.axes.Axes.contourf`, such as ``levels`` or ``cmap``.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> X = np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 2), axis=-1).reshape(-1, 2)
        >>> line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> obs = sf.observe(X, X @ [1, 2], sd=0.1)
        >>> res = sf.SplineRegression(obs, sf.TensorProductBasis(line, line)).fit()
        >>> ax = res.plot()
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('x0', 'x1')
        >>> plt.close(ax.figure)
        """
        from ..results.contours import plot_surface

        return plot_surface(self, self._check_deriv(deriv), ax, se, contour)

    @property
    def _resid_recursive(self) -> NoReturn:
        """Refused: points of several variables have no order."""
        raise SpecificationError(
            "points of several variables have no order in which one is predicted from those before; see resid_standardized"
        )

    def test_serial_correlation(self, lags: int | None = None) -> NoReturn:
        """Refused: points of several variables have no order."""
        raise SpecificationError("points of several variables have no order, and their residuals no serial correlation")

    def plot_diagnostics(self, ax: Any = None) -> npt.NDArray[Any]:
        """Draw standardised residuals over variables and fitted values, their distribution and quantiles; `ax` are 4 axes."""
        from ..results.contours import plot_point_diagnostics

        return plot_point_diagnostics(self._readings.X, self._resid_standardized, self._fittedvalues, self.inputs, ax)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self._surface.shape))
        return f"SurfaceRegressionResults(n_basis={shape}, nobs={self.nobs}, edf={self.edf:.4g})"
