"""Results of a curve with any Markov prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import table_of
from .._validation import FloatArray, check_order
from ..errors import SpecificationError
from ..inference.newton import Minimum
from ..markov.priors import IntegratedWiener
from ..markov.program import DIFFERENCE as OF_ENDS
from ..markov.program import INTEGRAL, VALUE, Functionals, Program
from ..markov.sampling import IntArray
from ..observations import OF_DIFFERENCE, derivative_label
from ..observations.abscissa import Asked, Points
from ..observations.readings import HIGHEST_DERIVATIVE, OF_INTEGRAL
from ..results.curve import CurveResults, Estimate
from ..results.estimates import LEAST_FREE
from ..results.prediction import CurvePrediction, ParameterUncertainty
from ..results.propagation import DIFFERENCE, NEGLIGIBLE, propagated
from .effects import RegressedPoints, future_columns
from .general import GeneralModel
from .general_search import GeneralCriterion

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from ..basis import Spline

MOST_NORMALS = 2**23  # drawn at a time
STEP = 1e-3  # in a logarithm: of central differences of exact scores, right to its square


@entry_point
class GeneralResults(CurveResults):
    """A fitted curve with any Markov prior; made by `SmoothingSpline.fit`.

    Attributes
    ----------
    model : GeneralModel
    method : str
        The likelihood that was maximised.
    boundary : tuple of str
        Parameters whose optimum is at a bound of the search; an intensity or amplitude there is zero.
    fixed : str or None
        ``"lam"`` or ``"edf"`` where the smoothing was fixed.
    """

    def __init__(
        self,
        model: GeneralModel,
        method: str,
        values: FloatArray,
        variance: FloatArray,
        theta: FloatArray,
        minimum: Minimum | None,
        boundary: tuple[str, ...],
        fixed: str | None = None,
    ):
        self.model = model
        self.method = method
        self.observations = model.observations
        self.boundary = boundary
        self.fixed = fixed
        self._values = values
        self._variance = variance
        self._theta = theta
        self._minimum = minimum
        self.use_t = bool(model.unknown)

    # Parameters -------------------------------------------------------------------------------------------------------

    @property
    def sigma(self) -> pd.Series:
        """Noise sd per name at weight one: estimated, or given (root mean square where it varies)."""
        import pandas as pd

        sds = {}
        for reading in self.observations.readings:
            unit = self.model._unit(reading, self.model.scale)
            if reading.sd is None:
                sds[reading.name] = float(np.sqrt(self._variance[self.model.unknown.index(reading.name)])) * unit
            else:
                sds[reading.name] = float(np.sqrt(np.mean((reading.sd / unit) ** 2))) * unit
        return pd.Series(sds, name="sigma", dtype=float)

    @property
    def hyperparameters(self) -> pd.Series:
        """All hyperparameters of the prior and of noise processes, given or estimated, in the user's units."""
        import pandas as pd

        names = [p.name for p in self.model.hyperparameters]
        units = [self.model._hyper_unit(p) for p in self.model.hyperparameters]
        return pd.Series(self._values * np.array(units), index=names, name="hyperparameters", dtype=float)

    @property
    def q(self) -> float:
        """White-noise intensity of f^(order) of an integrated Wiener prior, in units of f^2 per x^(2 order - 1)."""
        if not isinstance(self.model.prior, IntegratedWiener):
            raise AttributeError("q is that of a smoothing spline; see hyperparameters")
        return float(self.hyperparameters["q"])

    @property
    def lam(self) -> float:
        """Weight of integral (f^(order))^2 of a smoothing spline: the variance of the first unknown name, or 1, over q."""
        return self.scale / self.q if self.q > 0 else np.inf

    @property
    def scale(self) -> float:
        """Variance at weight one of the first name with unknown sd; 1 where every sd is known."""
        return float(self.sigma[self.model.unknown[0]]) ** 2 if self.model.unknown else 1.0

    @property
    def params(self) -> pd.Series:
        """Estimated parameters: ``sigma.<name>``, hyperparameters, coefficients of regressors and interventions."""
        import pandas as pd

        values = {f"sigma.{name}": float(self.sigma[name]) for name in self.model.unknown}
        found = self.hyperparameters
        values |= {p.name: float(found[p.name]) for p in self.model.parameters if not p.is_variance}
        values |= dict(zip(self.model.effects, self._effects[0].tolist(), strict=True))
        return pd.Series(values, name="params", dtype=float)

    @cached_property
    def _effects(self) -> tuple[FloatArray, FloatArray]:
        """Coefficients of regressors and interventions, and their covariance (p, p), by sums and differences of pairs."""
        p = len(self.model.effects)
        rows = [np.eye(p)[i] for i in range(p)] + [np.eye(p)[i] + np.eye(p)[j] for i in range(p) for j in range(i)]
        if not p:
            return np.zeros(0), np.zeros((0, 0))
        at = self.model.functionals.end.take(np.zeros(len(rows), np.int64))
        asked = self.model.query(None, at, 0)
        asked = Functionals(
            asked.start, asked.end, asked.kind, 0 * asked.process, np.array(rows), asked.y, asked.ratio, asked.group
        )
        mean, variance = self._ask(asked)
        covariance = np.diag(variance[:p])
        k = p
        for i in range(p):
            for j in range(i):
                covariance[i, j] = covariance[j, i] = (variance[k] - variance[i] - variance[j]) / 2
                k += 1
        units = self.model.effect_units
        return mean[:p] * units, covariance * np.outer(units, units)

    @cached_property
    def _cov_log(self) -> FloatArray:
        """Covariance of the logarithms that were searched, by the observed information; NaN at a bound."""
        model = self.model
        n = len(model.parameters)
        covariance = np.full((n, n), np.nan)
        if self.fixed:
            covariance[:] = 2 / self.df_resid  # RSS / sigma^2 as chi-squared on n - edf
            return covariance
        free = np.array([i for i, p in enumerate(model.parameters) if p.name not in self.boundary], dtype=np.int64)
        if not len(free):
            return covariance
        criterion = GeneralCriterion(model, self.method)
        columns = []
        for i in free:
            step = STEP * np.eye(n)[i]
            columns.append(
                (criterion.gradient(self._theta + step)[1] - criterion.gradient(self._theta - step)[1])[free] / (2 * STEP)
            )
        hessian = np.array(columns)
        hessian = (hessian + hessian.T) / 2
        if np.linalg.eigvalsh(hessian).min() > 0:
            covariance[np.ix_(free, free)] = 2 * np.linalg.solve(hessian, np.eye(len(free)))
        return covariance

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of `params`: observed information of the logarithms with the delta method, and of coefficients.

        The coefficients' is that at the estimated parameters, to first order independent of these; NaN for one at a bound.
        """
        import pandas as pd

        params = self.params
        order = self._order_of_params
        n = len(order)
        cov = np.zeros((len(params), len(params)))
        factors = np.array([0.5 if self.model.parameters[i].is_variance else 1.0 for i in order])
        logs = self._cov_log[np.ix_(order, order)] * np.outer(factors, factors)
        values = params.to_numpy()[:n]
        cov[:n, :n] = logs * np.outer(values, values)
        cov[n:, n:] = self._effects[1]
        return pd.DataFrame(cov, index=params.index, columns=params.index)

    @property
    def _order_of_params(self) -> list[int]:
        """Index of the searched coordinate of each of `params` but coefficients."""
        kinds = [p.is_variance for p in self.model.parameters]
        return [i for i, k in enumerate(kinds) if k] + [i for i, k in enumerate(kinds) if not k]

    @property
    def _is_positive(self) -> npt.NDArray[np.bool_]:
        return np.arange(len(self.params)) < len(self.model.parameters)

    @property
    def _standard_errors(self) -> FloatArray:
        factors = np.array([0.5 if p.is_variance else 1.0 for p in self.model.parameters])
        of_logs = (np.sqrt(np.diag(self._cov_log)) * factors)[self._order_of_params]
        return np.concatenate([of_logs * self.params.to_numpy()[: len(of_logs)], np.sqrt(np.diag(self._effects[1]))])

    @property
    def _tested(self) -> list[str]:
        return list(self.model.effects) or list(self.params.index)

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def llf(self) -> float:
        """Log-likelihood: restricted, in Harville's form (full with ``method="ml"``).

        -1/2 [(n - p) log 2 pi + log|K| + log|X'K^-1 X| - log|X'X| + r'K^-1 r], X the readings of all that is entirely unknown.
        """
        design = 0.0 if self.method == "ml" else self.model.log_det_design / 2
        return self._log_likelihood(self.method) + design

    def _log_likelihood(self, method: str) -> float:
        """Log-likelihood of the user's readings, the unknown constants in scaled units."""
        sums = self.model.sums(self._values, self._variance, method)
        total = GeneralCriterion(self.model, method).assemble(sums)[0]
        units = self.model.reading_units / np.sqrt(self.model._factors)
        return -float(total) / 2 - float(np.log(units).sum())

    @property
    def _n_contrasts(self) -> int:
        return self.nobs - self.model.n_diffuse

    @property
    def _maximises_likelihood(self) -> bool:
        return self.fixed is None

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        n = len(self.model.parameters)
        return (n + self.model.n_diffuse, self.nobs) if self.method == "ml" else (n, self._n_contrasts)

    # The curve --------------------------------------------------------------------------------------------------------

    def _ask(self, asked: Functionals) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of functionals beside the readings'."""
        return self._answer(self.model.compiled(Functionals.join([self.model.functionals, asked])), self._values, self._variance)

    def _answer(self, program: Program, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and variances of what a program asks for after the readings, at any parameters."""
        mean, spread = program.moments(values, variance)
        return mean[self.nobs :], spread[self.nobs :]

    def _parameter_uncertainty(
        self, points: Points, deriv: int, variance: FloatArray, noise: str | None
    ) -> ParameterUncertainty | None:
        model, cov = self.model, self._cov_log
        free = np.flatnonzero(np.isfinite(np.diag(cov)))
        if not len(points.coarse) or not any(cov[i, i] >= NEGLIGIBLE and not model.parameters[i].is_variance for i in free):
            return None
        program = model.compiled(Functionals.join([model.functionals, model.query(None, model.folded(points), deriv)]))
        means, logs = np.empty((2, len(free), len(points.coarse)))
        noise_slope = np.zeros(len(free))
        for row, i in enumerate(free.tolist()):
            parameter, ends = model.parameters[i], []
            for step in (DIFFERENCE, -DIFFERENCE):
                values, noises = self._values.copy(), self._variance.copy()
                (noises if parameter.is_variance else values)[parameter.index] *= np.exp(step)
                mean, spread = self._answer(program, values, noises)
                of_noise = 1.0 if noise is None else self._noise_variance_of(noise, values, noises)
                ends.append((mean, np.log(spread), np.log(of_noise)))
            means[row] = (ends[0][0] - ends[1][0]) / (2 * DIFFERENCE)
            logs[row] = (ends[0][1] - ends[1][1]) / (2 * DIFFERENCE)
            noise_slope[row] = (ends[0][2] - ends[1][2]) / (2 * DIFFERENCE)
        noise_variance = 0.0 if noise is None else self._noise_sd(noise) ** 2
        unit = model.scale.of(deriv)
        return propagated(cov[np.ix_(free, free)], means * unit, logs, variance, noise_variance, noise_slope)

    def _noise_sd(self, name: str) -> float:
        """Of a new observation: its independent noise and the stationary spread of its noise process, if it has one."""
        unit = self.model._unit(self.observations[name], self.model.scale)
        return float(np.sqrt(self._noise_variance_of(name, self._values, self._variance))) * unit

    def _noise_variance_of(self, name: str, values: FloatArray, variance: FloatArray) -> float:
        """Scaled noise variance of a new observation of weight one at any parameters."""
        model = self.model
        known = (float(self.sigma[name]) / model._unit(self.observations[name], model.scale)) ** 2
        independent = float(variance[model.unknown.index(name)]) if name in model.unknown else known
        if name not in model.noise:
            return independent
        row = model.process_row(0, None, name) - model.process_row(0)
        return independent + float(row @ model.processes.start(values).covariance @ row)

    @cached_property
    def _read(self) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of what the readings read."""
        if not self.model.joint:
            return self._white
        return self._ask(_asked(self.model.as_read))

    @cached_property
    def _white(self) -> tuple[FloatArray, FloatArray]:
        """The same of combinations of the readings whose noise is independent."""
        return self.model.program.moments(self._values, self._variance)

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix."""
        read = self.model.functionals
        return float((self._white[1] / (read.ratio * self._variance[read.group])).sum())

    @property
    def loo_resid(self) -> FloatArray:
        """Leave-one-out residuals at the fitted parameters: readings minus predictions without them, shape (n,).

        The other readings at the abscissa count, with their covariance. NaN where the curve interpolates a reading.
        """
        left_out = super().loo_resid
        if not self.model.joint:
            return left_out
        # C^-1 r over the diagonal of C^-1 - C^-1 V C^-1, V the posterior covariance of what is read
        read, units = self.model.as_read, self.model.reading_units
        process, effects = read.process.copy(), read.effects.copy()
        inverses = [np.linalg.inv(part.scaled(units)) for part in self.model.joint]
        for part, inverse in zip(self.model.joint, inverses, strict=True):
            process[part.rows], effects[part.rows] = inverse @ process[part.rows], inverse @ effects[part.rows]
        spread = self._ask(_asked(replace(read, process=process, effects=effects)))[1]
        resid = self.resid / units
        for part, inverse in zip(self.model.joint, inverses, strict=True):
            precision = np.diagonal(inverse, axis1=1, axis2=2)
            free = 1 - spread[part.rows] / precision
            weighted = np.einsum("nij,nj->ni", inverse, resid[part.rows])
            left_out[part.rows] = weighted / (precision * np.where(free > LEAST_FREE, free, np.nan)) * units[part.rows]
        return left_out

    @cached_property
    def resid_recursive(self) -> FloatArray:
        """Standardised one-step-ahead prediction errors (innovations), shape (n,); see `CurveResults.resid_recursive`.

        Observations of integrals, means and differences are predicted where their interval ends. If errors are correlated across
        series, these are the errors of combinations whose noise is independent.
        """
        return self.model.program.innovations(self._values, self._variance)

    @property
    def highest_derivative(self) -> int:
        """Highest order of a derivative that curves of the prior have."""
        return min(self.model.prior.smoothness, HIGHEST_DERIVATIVE)

    @property
    def highest_mean_derivative(self) -> int:
        """The same; for smoothing splines of readings of f and its derivatives there are more."""
        return self.highest_derivative

    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        raise SpecificationError(f"deriv is {deriv}; derivatives of this prior end at {derivative_label(self.highest_derivative)}")

    def _moments(self, x: Points, deriv: int, component: str | None = None) -> tuple[FloatArray, FloatArray]:
        model = self.model
        mean, variance = self._ask(model.query(None, model.folded(x), deriv, component=component))
        unit = model.scale.of(deriv)
        return mean * unit + (self._origin(component) if deriv == 0 else 0.0), variance * unit**2

    def _origin(self, component: str | None) -> float:
        """What was taken out of the readings of the curve or of a component."""
        first = next(
            (n for n, t in zip(self.model.component_names, self.model.prior.components, strict=True) if t.level is not None), None
        )
        return self.model.scale.y_origin if component in (None, first) else 0.0

    def predict(self, x: Any, deriv: int = 0, component: str | None = None, *, regressors: Any = None) -> FloatArray:
        """Posterior mean of an observation of f^(deriv) at x with its regressors, of f^(deriv) alone, or of a component.

        Parameters
        ----------
        x : array_like, or data frame
            Numbers or times, as x of the observations. Of a data frame the columns of x and of the regressors are taken by name.
        deriv : int
            Order of the derivative.
        component : str, optional
            One of ``model.component_names``, or the name of an intervention; regressors are then left out.
        regressors : mapping from str to float or array_like, shape (n,), or data frame, optional
            Values at x of all regressors. Without them, and without a data frame as x, the curve alone is predicted.

        Returns
        -------
        ndarray, of the shape of x
            f^(deriv)(x) with all components and interventions, plus sum_j b_j g_j if values g_j of regressors are given. Noise
            processes are never included.

        Raises
        ------
        DataError
            A data frame lacks the column of x or of a regressor.
        SpecificationError
            `regressors` for a derivative whose observations depend on none, or with `component`.

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
        self._refuse_regressors(regressors)
        asked = self.observations.abscissa.asked(x)
        points = self.observations.abscissa.points(asked.array.ravel())
        return self._moments(points, *self._checked(deriv, component))[0].reshape(asked.array.shape)

    def get_prediction(
        self,
        x: Any,
        deriv: int = 0,
        name: str | None = None,
        *,
        component: str | None = None,
        simultaneous: bool = False,
        regressors: Any = None,
    ) -> CurvePrediction:
        """Posterior of what `predict` returns the mean of; see also `CurveResults.get_prediction`.

        Parameters
        ----------
        x, deriv, component, regressors
            As of `predict`.
        name, simultaneous
            As of `CurveResults.get_prediction`.

        Returns
        -------
        CurvePrediction
            Its variances are those of the joint posterior of the curve and the coefficients of regressors and interventions.
            Without values of the regressors it is of the curve alone (`CurvePrediction.omits` names what it leaves out), and
            intervals for a new observation are refused. With a noise process, these are for an observation whose process is
            independent of that of the observations: of another run.
        """
        if component is None:
            prediction = self._get_prediction(x, deriv, name, simultaneous, regressors)
            is_curve = regressors is None and table_of(x, "x") is None
            return replace(prediction, omits=self.model.dependents(int(deriv), name)) if is_curve else prediction
        if simultaneous or name is not None:
            raise SpecificationError("component goes with neither simultaneous nor name: bands of a component are pointwise")
        self._refuse_regressors(regressors)
        order, component = self._checked(deriv, component)
        asked = self.observations.abscissa.asked(x)
        mean, variance = self._moments(self.observations.abscissa.points(asked.array.ravel()), order, component)
        return CurvePrediction(asked.shown, order, mean, variance, np.nan, self.df_interval, self.observations.x_name)

    def sample(
        self,
        x: Any,
        deriv: int | Sequence[int] = 0,
        size: int = 100,
        rng: np.random.Generator | int | None = None,
        *,
        regressors: Any = None,
    ) -> FloatArray:
        """Draw what `predict` returns the mean of from its posterior; see `CurveResults.sample`.

        Parameters
        ----------
        x, deriv, size, rng
            As of `CurveResults.sample`.
        regressors
            As of `predict`.
        """
        return self._sampled(x, deriv, size, rng, regressors)

    @staticmethod
    def _refuse_regressors(regressors: Any) -> None:
        if regressors is not None:
            raise SpecificationError("regressors goes not with component, of which they are no part; leave one of them out")

    def _points(self, asked: Asked, deriv: int, regressors: Any = None, name: str | None = None) -> Points:
        """Points with the regressors of observations there, if these are given and observations of f^(deriv) depend on them."""
        points, model = super()._points(asked, deriv), self.model
        depends = model.dependents(deriv, name)
        if regressors is not None and not depends:
            what = f"no observation of {derivative_label(deriv)} depends on them" if model.regressors else "the model has none"
            raise SpecificationError(f"regressors are given, but {what}; leave them out")
        if not depends or (regressors is None and asked.table is None):
            return points
        known = future_columns(depends, model.regressors, regressors, asked, len(points.coarse))
        columns = [known[label] if label in known else np.zeros(len(points.coarse)) for label in model.regressors]
        return RegressedPoints(points.coarse, points.fine, np.column_stack(columns) / model.regressor_units)

    def _checked(self, deriv: Any, component: str) -> tuple[int, str]:
        """Check a component and the order of a derivative of it."""
        model = self.model
        labels = (*model.component_names, *model._intervention_labels)
        if component not in labels:
            raise SpecificationError(f"component is {component!r}; the components are {', '.join(labels)}")
        if component in model.component_names:
            prior = model.prior.components[model.component_names.index(component)]
            highest = min(prior.smoothness, HIGHEST_DERIVATIVE)
        else:
            highest = HIGHEST_DERIVATIVE
        order = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        if order > highest:
            raise SpecificationError(f"deriv is {order}; derivatives of {component} end at {derivative_label(highest)}")
        return order, component

    @property
    def fittedvalues(self) -> FloatArray:
        """Posterior mean of what each reading reads, regressors and noise processes included, shape (n,)."""
        origin = []
        for reading in self.observations.readings:
            y_origin = self.model.scale.y_origin
            if reading.mean or reading.deriv == 0:
                origin.append(np.full(len(reading), y_origin))
            elif reading.upper is not None and reading.deriv == OF_INTEGRAL:
                abscissa = self.observations.abscissa
                origin.append(y_origin * abscissa.points(reading.upper).minus(abscissa.points(reading.x)))
            else:
                origin.append(np.zeros(len(reading)))
        return np.asarray(self._read[0] * self._row_units + np.concatenate(origin))

    @property
    def _row_units(self) -> FloatArray:
        """From a scaled row to its reading."""
        return self.model.reading_units / np.sqrt(self.model._factors)

    @property
    def _noise_ratio(self) -> FloatArray:
        """Scaled noise variance of each reading."""
        read = self.model.as_read
        return read.ratio * self._variance[read.group]

    @property
    def _leverage(self) -> FloatArray:
        return self._read[1] / self._noise_ratio

    @property
    def _noise_variance(self) -> FloatArray:
        return self._noise_ratio * self._row_units**2

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f from lower to upper, in units of f times x, with its standard error."""
        if self.model.period is not None:
            raise SpecificationError("a periodic spline is not integrated; take predict on a grid")
        value, variance, distance = self._between(lower, upper, INTEGRAL)
        unit = self.model.scale.y_unit * self.model.scale.x_unit
        return Estimate(value * unit + self.model.scale.y_origin * distance, float(np.sqrt(variance)) * unit, self.df_interval)

    def difference(self, lower: Any, upper: Any) -> Estimate:
        """Return f(upper) - f(lower) with its standard error."""
        if self.model.period is not None:
            raise SpecificationError("differences of a periodic spline are not implemented; take sample")
        value, variance, _ = self._between(lower, upper, OF_ENDS)
        unit = self.model.scale.y_unit
        return Estimate(value * unit, float(np.sqrt(variance)) * unit, self.df_interval)

    def _between(self, lower: Any, upper: Any, kind: int) -> tuple[float, float, float]:
        """Scaled mean and variance of what is asked for from lower to upper, and their distance."""
        start, end = self._limits_of_integral(lower, upper)
        distance = float(end.minus(start)[0])
        if distance == 0:
            return 0.0, 0.0, 0.0
        low, high = (start, end) if distance > 0 else (end, start)
        asked = self.model.query(low, high, OF_INTEGRAL if kind == INTEGRAL else OF_DIFFERENCE, kind=kind)
        mean, variance = self._ask(asked)
        return float(mean[0]) * (1 if distance > 0 else -1), float(variance[0]), distance

    def spline(self) -> Spline:
        """Not implemented: the mean under these priors and readings is no spline in general."""
        raise SpecificationError("the posterior mean of this model is not given as a spline; evaluate it by predict")

    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
        from ..results.critical import crossings_on_grid

        if deriv >= self.highest_derivative:
            raise SpecificationError(
                f"deriv is {deriv}: curves of this prior have no derivative of order {deriv + 1}, which tells how well a crossing "
                "is known"
            )
        return crossings_on_grid(self, deriv, value)

    def _draws(self, x: Points) -> Callable[[np.random.Generator, int, IntArray], FloatArray]:
        model = self.model
        read = model.functionals

        def draw(rng: np.random.Generator, size: int, derivs: IntArray) -> FloatArray:
            asked = [model.query(None, model.folded(x), int(k)) for k in derivs]
            program = model.compiled(Functionals.join([read, *asked]))
            per_draw = len(program.step) * 2 * program.n_states
            block = max(1, MOST_NORMALS // per_draw)
            draws = np.empty((len(derivs), size, len(x.coarse)))
            units = np.array([model.scale.of(int(k)) for k in derivs])
            for start in range(0, size, block):
                count = min(block, size - start)
                normals = rng.standard_normal((count, len(program.step), 2 * program.n_states))
                rows = program.draws(self._values, self._variance, np.ascontiguousarray(np.moveaxis(normals, 0, -1)))[len(read) :]
                shaped = rows.reshape(len(derivs), len(x.coarse), count)
                draws[:, start : start + count] = np.swapaxes(shaped, 1, 2) * units[:, None, None]
            return draws

        return draw

    # Summary ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: prior, readings by name, parameters with intervals, convergence."""
        import pandas as pd

        from ..results.summary import criteria, curve_summary, number

        likelihood = "Log-likelihood" if self.method == "ml" else "Restricted log-lik."
        facts = [
            ("Model:", "SmoothingSpline"),
            ("Components:", " + ".join(self.model.component_names)),
            ("Parameters by:", f"{self.fixed} fixed" if self.fixed else self.method.upper()),
            ("No. Observations:", str(self.nobs)),
            ("Df Residuals:", number(self.df_resid)),
            ("Effective df:", number(self.edf)),
            (f"{likelihood}:", number(self.llf)),
            *criteria(self),
            ("Converged:", self._convergence),
        ]
        bse, sigma, readings = self.bse, self.sigma, []
        for reading in self.observations.readings:
            readings.append(
                {
                    "observes": reading.label,
                    "n": len(reading),
                    "missing": reading.n_dropped,
                    "sigma": number(float(sigma[reading.name])),
                    "std err": number(bse[f"sigma.{reading.name}"]) if reading.sd is None else "given",
                }
            )
        interval, params = self.conf_int(alpha), self.params
        n = len(self.model.parameters)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = params.to_numpy() / bse.to_numpy()
        table = pd.DataFrame(
            {
                "estimate": [number(v) for v in params],
                "std err": [number(v) for v in bse],
                "t" if self.use_t else "z": ["" if i < n else number(v) for i, v in enumerate(t)],
                f"[{alpha / 2:g}": [number(v) for v in interval[0]],
                f"{1 - alpha / 2:g}]": [number(v) for v in interval[1]],
            },
            index=params.index,
        )
        names = list(self.observations.names)
        return curve_summary("Smoothing Spline Results", facts, pd.DataFrame(readings, index=names), table, self._notes())

    @property
    def decrement(self) -> float:
        """The certificate of convergence, g'H^-1 g."""
        return 0.0 if self._minimum is None else self._minimum.decrement

    @property
    def _convergence(self) -> str:
        if self._minimum is None:
            return "nothing to search"
        return "at a boundary" if self.boundary else "yes, certified"

    def _notes(self) -> list[str]:
        notes = [f"prior: {self.model.prior!r}"]
        notes += [f"noise of {name}: {process!r}" for name, process in self.model.noise.items()]
        notes += [f"covariances: of the noise of {', '.join(part.names)}" for part in self.model.joint]
        if self.model.period is not None:
            notes.append(f"periodic, of period {self.model.period:g}")
        given = [f"{p.name} = {p.value:.6g}" for p in self.model.hyperparameters if p.value is not None]
        if given:
            notes.append(f"given: {', '.join(given)}")
        notes += [f"boundary: {name} is at a bound of the search" for name in self.boundary]
        notes.append("sigma: noise sd at weight one. Bands: posterior (Bayesian), pointwise.")
        return notes

    def __repr__(self) -> str:
        return f"GeneralResults(prior={self.model.prior!r}, nobs={self.nobs}, edf={self.edf:.4g})"


def _asked(read: Functionals) -> Functionals:
    """What is read, asked for."""
    return replace(read, y=np.full(len(read), np.nan))


assert VALUE == 0  # rows of `query` default to it
