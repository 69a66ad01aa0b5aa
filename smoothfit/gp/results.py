"""Results of a Gaussian-process regression."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._frames import column_of, listed, table_of
from .._validation import FloatArray, check_finite, to_floats
from ..errors import DataError, SpecificationError
from ..observations.points import default_inputs, to_points
from ..results.prediction import critical_value
from .dense import DensePosterior
from .kernels import Kernel
from .markov import MarkovPosterior
from .parameters import Values
from .points import VALUE
from .prediction import PointPrediction
from .search import Optimum
from .terms import ALL, Axes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from .protocols import Specified

ROUTE_NAMES = {"dense": "dense", "state_space": "state space"}


@entry_point
class GaussianProcessResults:
    """A fitted Gaussian process; made by `GaussianProcess.fit`.

    Attributes
    ----------
    model : GaussianProcess
    observations : PointObservations
    route : str
        ``"dense"`` or ``"state_space"``: the algebra that was used.
    """

    def __init__(
        self,
        model: Specified,
        route: str,
        optimum: Optimum,
        values: Values,
        information: FloatArray,
        posterior: DensePosterior | MarkovPosterior,
    ):
        self.model = model
        self.observations = model.observations
        self.route = route
        self._optimum = optimum
        self._values = values
        self._information = information
        self._posterior = posterior

    # Hyperparameters --------------------------------------------------------------------------------------------------

    @property
    def nobs(self) -> int:
        """Number of readings used."""
        return len(self.observations)

    @property
    def amplitude(self) -> float:
        """Prior standard deviation of f about its mean, estimated or given, in units of y."""
        return float(self._values.amplitude * self.model.rows.y_unit)

    @cached_property
    def length_scale(self) -> pd.Series:
        """Length scale of each input, estimated or given, in its units."""
        import pandas as pd

        return pd.Series(self._values.length * self.model.rows.x_unit, index=list(self.model.inputs), name="length_scale")

    @cached_property
    def sigma(self) -> pd.Series:
        """Noise sd per name at weight one: estimated, or given (root mean square where it varies)."""
        import pandas as pd

        rows, sds = self.model.rows, {}
        for reading in self.observations.readings:
            if reading.sd is None:
                group = rows.unknown.index(reading.name)
                sds[reading.name] = float(np.sqrt(self._values.sigma2[group]) * rows.group_unit[group])
            else:
                largest = float(reading.sd.max()) or 1.0
                sds[reading.name] = largest * float(np.sqrt(np.mean((reading.sd / largest) ** 2)))
        return pd.Series(sds, name="sigma", dtype=float)

    @cached_property
    def kernel(self) -> Kernel:
        """The kernel with its length scales and amplitude, estimated or given."""
        shared = not self.model.kernel.ard
        lengths = self.length_scale.tolist()
        return type(self.model.kernel)(lengths[0] if shared else lengths, self.amplitude, self.model.kernel.ard)

    @cached_property
    def params(self) -> pd.Series:
        """Estimated hyperparameters: ``amplitude``, ``length_scale.<input>``, ``sigma.<name>``, as far as they were not given."""
        import pandas as pd

        parameters, values = self.model.parameters, {}
        if parameters.amplitude is None:
            values["amplitude"] = self.amplitude
        for j in parameters.by:
            name = "length_scale" if j == ALL else f"length_scale.{self.model.inputs[j]}"
            values[name] = float(self.length_scale.iloc[0 if j == ALL else j])
        for name in self.model.rows.unknown:
            values[f"sigma.{name}"] = float(self.sigma[name])
        return pd.Series(values, name="params", dtype=float)

    @property
    def boundary(self) -> tuple[str, ...]:
        """Names of `params` whose optimum is at a bound of the search.

        ``sigma.<name>``: 2^-17 of the prior's sd of what is read, indistinguishable from zero. ``length_scale.<input>``: endless
        (the input has no influence, or f is a polynomial or a spline), or shorter than the gaps. ``amplitude``:
        indistinguishable from zero beside the noise.
        """
        parameters, names = self.model.parameters, list(self.params.index)
        skipped = int(parameters.profiled)
        found = set()
        for i in np.flatnonzero(self._optimum.at_lower | self._optimum.at_upper).tolist():
            is_ratio = i + skipped >= parameters.ratios.start
            no_signal = is_ratio and self._optimum.at_upper[i] and parameters.amplitude is None
            found.add("amplitude" if no_signal else names[i + skipped])
        return tuple(name for name in names if name in found)

    @cached_property
    def _cov_log_params(self) -> FloatArray:
        """Covariance of the logarithms of `params`; NaN for one at a boundary."""
        parameters = self.model.parameters
        n_free = parameters.n_free
        cov = np.full((n_free, n_free), np.nan)
        held = np.zeros(n_free, np.bool_)
        held[int(parameters.profiled) :] = self._optimum.at_lower | self._optimum.at_upper
        free = np.flatnonzero(~held)
        logs = parameters.to_logs
        information = self._information[np.ix_(free, free)]
        known = ~self.params.index.isin(self.boundary)
        if len(free) and np.linalg.eigvalsh(information).min() > 0:
            of_logs = logs[:, free] @ np.linalg.solve(information, logs[:, free].T)
            of_logs = (of_logs + of_logs.T) / 2
            cov[np.ix_(known, known)] = of_logs[np.ix_(known, known)]
        return cov

    def cov_log_params(self) -> pd.DataFrame:
        """Return the covariance of the logarithms of `params`, the inverse of the observed information; NaN at a boundary."""
        import pandas as pd

        return pd.DataFrame(self._cov_log_params, index=self.params.index, columns=self.params.index)

    @property
    def bse_log(self) -> pd.Series:
        """Standard errors of the logarithms of `params`."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self._cov_log_params)), index=self.params.index, name="bse_log")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`: that of the logarithms, and the delta method."""
        values = self.params.to_numpy()
        return self.cov_log_params() * np.outer(values, values)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of `params`; NaN at a boundary."""
        return (self.bse_log * self.params).rename("bse")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha of `params`, normal on the logarithmic scale."""
        import pandas as pd

        with np.errstate(over="ignore"):
            factor = np.exp(critical_value(alpha, np.inf) * self.bse_log)
        return pd.DataFrame({0: self.params / factor, 1: self.params * factor})

    @cached_property
    def mean_coef(self) -> pd.Series:
        """Coefficients of the mean in the user's units: ``const``, the mean at the origin, and a slope for each input."""
        import pandas as pd

        transform, origin = self._mean_transform
        values = transform @ self._posterior.coef
        if len(values):
            values[0] += origin
        return pd.Series(values, index=self._mean_names, name="mean_coef", dtype=float)

    def cov_mean_coef(self) -> pd.DataFrame:
        """Return the posterior covariance of `mean_coef`, hyperparameters given."""
        import pandas as pd

        transform, _ = self._mean_transform
        return pd.DataFrame(transform @ self._posterior.coef_cov @ transform.T, index=self._mean_names, columns=self._mean_names)

    @property
    def _mean_names(self) -> list[str]:
        return ["const", *self.model.inputs][: self.model.rows.n_terms]

    @property
    def _mean_transform(self) -> tuple[FloatArray, float]:
        """Matrix from coefficients in scaled units to the user's, and the origin of y."""
        rows = self.model.rows
        transform = np.eye(rows.n_terms) * rows.y_unit
        if rows.n_terms > 1:
            transform[1:] /= rows.x_unit[:, None]
            transform[0, 1:] = -rows.y_unit * rows.x_origin / rows.x_unit
        return transform, rows.y_origin

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Restricted log-likelihood, -1/2 [(n - p) log 2 pi + log|K| + log|H'K^-1 H| - log|H'H| + y'P y].

        A density of n - p contrasts of the readings; with ``mean="zero"`` the full marginal likelihood. Compare values at one
        `mean` only.
        """
        rows = self.model.rows
        log_det, quadratic = self._posterior.log_det_and_quadratic
        core = -0.5 * (rows.n_contrasts * np.log(2 * np.pi) + log_det + quadratic)
        return float(core - rows.log_units + rows.log_det_design / 2)

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 llf + 2 (number of `params`)."""
        return -2 * self.llf + 2 * len(self.params)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 llf + log(n - p) (number of `params`)."""
        return float(-2 * self.llf + np.log(self.model.rows.n_contrasts) * len(self.params))

    @property
    def decrement(self) -> float:
        """The certificate of convergence: g'H^-1 g, twice the distance of -2 llf from its minimum."""
        return self._optimum.decrement

    @property
    def use_t(self) -> bool:
        """Whether intervals are Student's: the amplitude and every sd that is not zero were estimated, no scale was given."""
        return self.model.parameters.profiled

    @property
    def df_interval(self) -> float:
        """Degrees of freedom of intervals: n - p where `use_t`, else infinite."""
        return self.model.rows.n_contrasts if self.use_t else np.inf

    # Predictions ------------------------------------------------------------------------------------------------------

    @cached_property
    def fittedvalues(self) -> FloatArray:
        """Posterior mean of what each reading reads, shape (n,), in the order of the observations."""
        rows = self.model.rows
        origin = np.where(rows.axis == VALUE, rows.y_origin, 0.0)
        return rows.in_given_order(self._posterior.fitted() * rows.row_unit + origin)

    @property
    def resid(self) -> FloatArray:
        """Readings minus fitted values, shape (n,), in the units of the readings."""
        return self.observations.y - self.fittedvalues

    def predict(self, X: Any) -> PointPrediction:
        """Posterior of f at points.

        Parameters
        ----------
        X : array_like, shape (m, d), (m,) in one input, or data frame
            Of a data frame the columns named as the inputs are taken; it may have others, and in any order.

        Returns
        -------
        PointPrediction
            `mean` and `se` of shape (m,); `covariance` of shape (m, m), between the points, computed when asked for.

        Raises
        ------
        DataError
            X is not finite or has other inputs than the readings.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 25)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> res = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01, mean="zero").fit()
        >>> res.predict([1.0, 3.0]).mean.round(4)
        array([0.8416, 0.1411])
        """
        return self._predict(X, 0)

    def predict_gradient(self, X: Any) -> PointPrediction:
        """Posterior of the gradient of f at points.

        With a = K^-1 (y - H b): mean sum_i a_i dk(x, x_i)/dx (+ the mean's slopes), covariance
        d^2 k / dx dx' - G K^-1 G', G = dk(x, X)/dx, plus the part of the mean's coefficients.

        Parameters
        ----------
        X : array_like, shape (m, d), (m,) in one input, or data frame

        Returns
        -------
        PointPrediction
            `mean` and `se` of shape (m, d); `covariance` of shape (m, d, d), between the components at each point.

        Raises
        ------
        DataError
            X is not finite or has other inputs than the readings.
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
        return self._predict(X, 1)

    def predict_hessian(self, X: Any) -> PointPrediction:
        """Posterior of the Hessian of f at points.

        Parameters
        ----------
        X : array_like, shape (m, d), (m,) in one input, or data frame

        Returns
        -------
        PointPrediction
            `mean` and `se` of shape (m, d, d); `covariance` of shape (m, d, d, d, d), between the entries at each point.

        Raises
        ------
        DataError
            X is not finite or has other inputs than the readings.
        SpecificationError
            Functions of the kernel have no Hessian (`Matern12`, `Matern32`).
        """
        return self._predict(X, 2)

    def _predict(self, X: Any, order: int) -> PointPrediction:
        kernel, rows = self.model.kernel, self.model.rows
        if order > kernel.smoothness:
            what, others = [("gradient", "Matern32, Matern52"), ("Hessian", "Matern52")][order - 1]
            raise SpecificationError(f"functions of the {kernel.label} kernel have no {what}; use {others} or SquaredExponential")
        points = self._read(X)
        d = points.shape[1]
        entries = _entries(order, d)
        mean, cov = self._posterior.moments(rows.to_scaled(points), entries)
        unit = self._units(entries)
        mean = mean * unit + (rows.y_origin if order == 0 else 0.0)
        cov = cov * np.outer(unit, unit)
        se = np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2), 0.0))  # below zero is rounding
        place = _placement(order, d)
        shape = (len(points), *(d,) * order)
        return PointPrediction(
            X=points,
            order=order,
            mean=mean[:, place].reshape(shape),
            se=se[:, place].reshape(shape),
            noise_sd=self._noise_sd(order, d),
            df=self.df_interval,
            inputs=self.model.inputs,
            _covariance=self._joint_covariance,
            _within=None if order == 0 else cov[:, place][:, :, place].reshape(len(points), *(d,) * (2 * order)),
        )

    def _joint_covariance(self, X: FloatArray, order: int) -> FloatArray:
        """Posterior covariance between all entries at all points, as `PointPrediction.joint_covariance` says."""
        rows, (m, d) = self.model.rows, X.shape
        entries = _entries(order, d)
        unit = np.tile(self._units(entries), m)
        cov = self._posterior.joint(rows.to_scaled(X), entries) * unit[:, None] * unit
        place = (np.arange(m)[:, None] * len(entries) + _placement(order, d)).ravel()
        return np.asarray(cov[np.ix_(place, place)].reshape((m, *(d,) * order) * 2))

    def _units(self, entries: list[Axes]) -> FloatArray:
        rows = self.model.rows
        return np.array([rows.y_unit / float(np.prod(rows.x_unit[list(A)])) for A in entries])

    def _noise_sd(self, order: int, d: int) -> FloatArray:
        sds = np.full((d,) * order, np.nan)
        if order < 2:
            for reading in reversed(self.observations.readings):
                for axis in np.unique(reading.axis).tolist():
                    if order == 0 and axis == VALUE:
                        sds[()] = self.sigma[reading.name]
                    elif order == 1 and axis != VALUE:
                        sds[axis] = self.sigma[reading.name]
        return sds

    def _read(self, X: Any) -> FloatArray:
        """Points of the user; of a data frame the columns of the readings' inputs, by name."""
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
            raise DataError(f"X has {points.shape[1]} input(s) and the readings {d} ({', '.join(inputs)}); {hint}")
        return points

    def _column(self, table: Mapping[str, Any], name: str) -> Any:
        """The column of an input; where the readings have no labels, a data frame may only happen to have theirs."""
        inputs = self.model.inputs
        if name not in table and inputs == default_inputs(len(inputs)):
            remedy = "pass the column of x" if len(inputs) == 1 else f"pass its {len(inputs)} columns as a matrix"
            raise DataError(
                f"X is a data frame with the columns {listed(table)}, and the inputs of the readings have no names; {remedy}: "
                "frame[...].to_numpy()"
            )
        return column_of(table, name, "X", f"; pass the inputs {listed(inputs)}")

    # Summary ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Any:
        """Return a table of the fit: kernel, readings by name, hyperparameters with intervals, convergence.

        Parameters
        ----------
        alpha : float
            The intervals have level 1 - alpha.

        Returns
        -------
        statsmodels.iolib.summary.Summary
        """
        import pandas as pd

        from ..results.summary import curve_summary, number

        model = self.model
        facts = [
            ("Model:", "GaussianProcess"),
            ("Kernel:", model.kernel.label),
            ("Mean:", model.mean),
            ("Inputs:", str(len(model.inputs))),
            ("No. Observations:", str(self.nobs)),
            ("Route:", ROUTE_NAMES[self.route]),
            ("Restricted log-lik.:" if model.rows.n_terms else "Log-likelihood:", number(self.llf)),
            ("AIC:", number(self.aic)),
            ("BIC:", number(self.bic)),
            ("Converged:", self._convergence),
        ]
        bse, interval = self.bse, self.conf_int(alpha)
        readings = pd.DataFrame(
            [
                {
                    "reads": self.observations.read_by(reading),
                    "n": len(reading),
                    "missing": reading.n_dropped,
                    "sigma": number(self.sigma[reading.name]),
                    "std err": number(bse[f"sigma.{reading.name}"]) if reading.sd is None else "given",
                }
                for reading in self.observations.readings
            ],
            index=list(self.observations.names),
        )
        lines: dict[str, list[str]] = {}
        columns = ["estimate", "std err", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]", "se(log)"]
        for name in self.params.index:
            cells = [self.params[name], bse[name], interval.loc[name, 0], interval.loc[name, 1], self.bse_log[name]]
            lines[name] = [number(cell) for cell in cells]
        for name, value in self._given().items():
            lines[name] = [number(value), "given", "", "", ""]
        half = critical_value(alpha, self.df_interval)
        if len(self.mean_coef):
            variances = np.diag(self.cov_mean_coef())
            for name, value, variance in zip(self.mean_coef.index, self.mean_coef, variances, strict=True):
                se = float(np.sqrt(variance))
                lines[f"mean.{name}"] = [*(number(v) for v in (value, se, value - half * se, value + half * se)), ""]
        params = pd.DataFrame.from_dict(lines, orient="index", columns=columns)
        return curve_summary("Gaussian Process Results", facts, readings, params, self._notes())

    def _given(self) -> dict[str, float]:
        """Hyperparameters that were given."""
        parameters, given = self.model.parameters, {}
        if parameters.amplitude is not None:
            given["amplitude"] = self.amplitude
        for name, known, value in zip(self.model.inputs, parameters.length, self.length_scale, strict=True):
            if known is not None:
                given[f"length_scale.{name}"] = float(value)
        return given

    @property
    def _convergence(self) -> str:
        if not len(self._optimum.u):
            return "in closed form" if len(self.params) else "nothing to search"
        if self.boundary:
            return "at a boundary"
        return "on a plateau" if self._optimum.on_plateau else "yes, certified"

    def _notes(self) -> list[str]:
        notes = []
        for name in self.boundary:
            if name == "amplitude":
                notes.append("boundary: the amplitude is indistinguishable from zero, the readings are the mean and noise")
            elif name.startswith("sigma"):
                notes.append(
                    f"boundary: {name} is the least searched, 2^-17 of the prior's sd: exact readings or an endless amplitude"
                )
            else:
                notes.append(f"boundary: {name} is as long or as short as is searched")
        if self._optimum.on_plateau:
            notes.append("plateau: the likelihood hardly changes along a combination of hyperparameters")
        notes.append("std err: observed information of the logarithms, delta method. Bands: posterior, pointwise.")
        return notes

    def __repr__(self) -> str:
        return f"GaussianProcessResults({self.kernel!r}, nobs={self.nobs}, llf={self.llf:.6g})"


def _entries(order: int, d: int) -> list[Axes]:
    """What a prediction of an order computes at each point: f, the slopes, or the upper triangle of the Hessian."""
    if order == 0:
        return [()]
    if order == 1:
        return [(j,) for j in range(d)]
    return [(i, j) for i in range(d) for j in range(i, d)]


def _placement(order: int, d: int) -> Any:
    """Number of the entry that stands at each place of the full value, gradient or Hessian, flattened."""
    entries = _entries(order, d)
    if order < 2:
        return np.arange(len(entries))
    number = {entry: i for i, entry in enumerate(entries)}
    return np.array([number[min(i, j), max(i, j)] for i in range(d) for j in range(d)])
