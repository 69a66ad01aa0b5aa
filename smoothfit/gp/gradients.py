"""Gradients and Hessians of a fitted Gaussian process, and its points and moments."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._frames import column_of, listed, table_of
from .._validation import FloatArray, check_choice, check_finite, to_floats
from ..errors import DataError, SpecificationError
from ..observations.points import default_inputs, to_points
from ..results.later import later
from ..results.mixtures import Laws
from ..results.prediction import PARAMETERS
from .estimates import Hyperparameters
from .points import VALUE
from .posterior import Derivatives, covariance_of, moments_of
from .prediction import PointPrediction, between_all, entries_of, placed, placement
from .terms import Axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


HIGHEST = 2  # order of a derivative


@entry_point
class Gradients(Hyperparameters):
    """Posteriors of the gradient and of the Hessian; the part of `GaussianProcessResults` about them."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Labels of the inputs, as those of the model."""
        return self.model.inputs

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
        if parameters == PARAMETERS[1] and len(points) and self._is_integrated:
            between, (mean, cov) = self._between_integrated, self._moments_integrated(points, entries)
        else:
            between, (mean, cov) = self._between, self._moments(points, entries)
        se = np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2), 0.0))  # below zero is rounding
        shape = (len(points), *(d,) * order)
        names = self._noise_names(order, d)
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
            laws=later(self._laws_of_entries, points, order, names),
        )

    def _laws_of_entries(self, points: FloatArray, order: int, names: Sequence[str | None]) -> Laws:
        """Laws of the entries of gradients or Hessians at points, and of new observations by name; NaN of what is not observed."""
        m, d = points.shape
        law = self._law(Derivatives(points, entries_of(order, d)))
        if law is None:
            return None, None
        law, nodes = law.taken(placed(m, order, d)), len(law.weights)
        variances = [np.full(nodes, np.nan) if name is None else self._noise_variance(name) for name in names]
        return law, law.with_noise(np.tile(np.column_stack(variances), (1, m)))

    def _noise_variance(self, name: str) -> FloatArray:
        """Noise variance of a series, for observations of weight 1, at each node (L,)."""
        posterior = self.parameter_posterior
        if name not in self.model.rows.unknown:
            return np.full(len(posterior.weights), self.sigma[name] ** 2)
        values, power = self._at_nodes[f"sigma.{name}"]
        return np.asarray(values**2 * posterior.scale2**power)

    def _noise_names(self, order: int, d: int) -> list[str | None]:
        """The first series that observes each entry of a gradient or Hessian, flattened; None if none does."""
        names: list[str | None] = [None] * d**order
        if order == 1:
            for reading in reversed(self.observations.readings):
                for axis in set(reading.axis.tolist()) - {VALUE}:
                    names[axis] = reading.name
        return names

    def _require_smooth(self, order: int, what: str) -> None:
        """Refuse derivatives that functions of the kernel have not, and those above the second."""
        kernel = self.model.kernel
        if order > HIGHEST:
            raise SpecificationError(f"{what} is a derivative of order {order}; predictions end at order {HIGHEST}")
        if order > kernel.smoothness:
            others = ["Matern32, Matern52", "Matern52"][order - 1]
            raise SpecificationError(f"functions of the {kernel.label} kernel have no {what}; use {others} or SquaredExponential")

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
