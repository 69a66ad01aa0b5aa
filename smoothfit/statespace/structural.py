"""Results of a model with the general engine: any prior, regressors, interventions, noise processes, integrals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import SpecificationError
from ..markov.program import DIFFERENCE as OF_ENDS
from ..markov.program import INTEGRAL, VALUE, Functionals, Program
from ..markov.sampling import IntArray
from ..observations import OF_DIFFERENCE, derivative_label
from ..observations.abscissa import Asked, Points
from ..observations.readings import HIGHEST_DERIVATIVE, OF_INTEGRAL
from ..results.estimates import LEAST_FREE
from ..results.prediction import Estimate, ParameterUncertainty
from ..results.propagation import DIFFERENCE, NEGLIGIBLE, propagated
from ..results.protocols import Change
from .effects import RegressedPoints, future_columns
from .results import MovedDraws
from .shapes import changes_of, multiplicities, no_spline, pieces_of
from .spline import Pieces
from .structural_estimates import StructuralEstimates

if TYPE_CHECKING:
    from ..basis import Spline
    from .online import OnlineSpline

MOST_NORMALS = 2**23  # drawn at a time


@entry_point
class StructuralResults(StructuralEstimates):
    """A fitted model of any prior with the general engine; see `SmoothingSplineResults`."""

    @property
    def structure_in_observations(self) -> FloatArray:
        """What regressors, interventions, noise processes and all components but the first add to each observation, shape (n,)."""
        read = self._spec.as_read
        process = read.process.copy()
        process[:, : self._spec.prior.components[0].dim] = 0.0
        mean, _ = self._ask(_asked(replace(read, process=process, kind=np.full(len(read), VALUE, np.int8))))
        return np.asarray(mean * self._row_units)

    # The curve --------------------------------------------------------------------------------------------------------

    def _parameter_uncertainty(
        self, points: Points, deriv: int, variance: FloatArray, noise: str | None
    ) -> ParameterUncertainty | None:
        model, cov = self._spec, self._cov_log
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
        unit = self._spec.unit_of(self.observations[name])
        return float(np.sqrt(self._noise_variance_of(name, self._values, self._variance))) * unit

    def _noise_variance_of(self, name: str, values: FloatArray, variance: FloatArray) -> float:
        """Scaled noise variance of a new observation of weight one at any parameters."""
        model = self._spec
        known = (float(self.sigma[name]) / model.unit_of(self.observations[name])) ** 2
        independent = float(variance[model.unknown.index(name)]) if name in model.unknown else known
        if name not in model.noise:
            return independent
        row = model.process_row(0, None, name) - model.process_row(0)
        return independent + float(row @ model.processes.start(values).covariance @ row)

    @cached_property
    def _read(self) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of what the readings read."""
        if not self._spec.joint:
            return self._white
        return self._ask(_asked(self._spec.as_read))

    @cached_property
    def _white(self) -> tuple[FloatArray, FloatArray]:
        """The same of combinations of the readings whose noise is independent."""
        return self._spec.program.moments(self._values, self._variance)

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom, the trace of the smoother matrix."""
        read = self._spec.functionals
        return float((self._white[1] / (read.ratio * self._variance[read.group])).sum())

    @cached_property
    def _errors(self) -> tuple[FloatArray, FloatArray]:
        """Of each reading u and D as of `Program.adjoint`; D is NaN where the others do not determine what it is of."""
        program = self._spec.program
        adjoint = program.adjoint(self._values, self._variance)
        u, D = adjoint.errors.T.copy()
        for i in np.flatnonzero(adjoint.is_start):  # what a reading says that no other does has no precision
            if not program.is_identified_without(int(i), self._values, self._variance):
                D[i] = np.nan
        return u, D

    @property
    def resid_standardized(self) -> FloatArray:
        """Residuals divided by their standard deviations, shape (n,); also those of `loo_resid` by theirs.

        NaN for a reading without which the others determine no curve.
        """
        if self._spec.joint:
            return super().resid_standardized
        u, D = self._errors
        return u / np.sqrt(D)

    @property
    def loo_resid(self) -> FloatArray:
        """Leave-one-out residuals at the fitted parameters: readings minus predictions without them, shape (n,).

        The other readings at the abscissa count, with their covariance. NaN for a reading without which the others determine no
        curve.
        """
        if not self._spec.joint:
            u, D = self._errors
            return u / D * self._row_units
        left_out = super().loo_resid
        # C^-1 r over the diagonal of C^-1 - C^-1 V C^-1, V the posterior covariance of what is read
        read, units = self._spec.as_read, self._spec.reading_units
        process, effects = read.process.copy(), read.effects.copy()
        inverses = [np.linalg.inv(part.scaled(units)) for part in self._spec.joint]
        for part, inverse in zip(self._spec.joint, inverses, strict=True):
            process[part.rows], effects[part.rows] = inverse @ process[part.rows], inverse @ effects[part.rows]
        spread = self._ask(_asked(replace(read, process=process, effects=effects)))[1]
        resid = self.resid / units
        for part, inverse in zip(self._spec.joint, inverses, strict=True):
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
        return self._spec.program.innovations(self._values, self._variance)

    @property
    def highest_derivative(self) -> int:
        """Highest order of a derivative that curves of the prior have."""
        return min(self._spec.prior.smoothness, HIGHEST_DERIVATIVE)

    @property
    def highest_mean_derivative(self) -> int:
        """The same; 2 order - 1 where the mean is a spline: between readings it is a polynomial of that degree."""
        return self.highest_derivative if no_spline(self._spec) else 2 * self._spec.prior.dim - 1

    @cached_property
    def _pieces(self) -> Pieces:
        """The mean as polynomials."""
        return pieces_of(self._spec, self._values, self._variance, lambda at, k: self._ask(self._spec.query(None, at, k))[0])

    def _rough_mean(self, x: Points, deriv: int) -> FloatArray:
        return self._pieces.mean(self._spec.folded(x), deriv)

    def spline(self) -> Spline:
        """Return the posterior mean of f as an exact spline, if it is one; see `SmoothingSplineResults.spline`."""
        reason = no_spline(self._spec)
        if reason:
            raise SpecificationError(f"the posterior mean of this model is no spline: {reason}")
        return self._pieces.spline(multiplicities(self._spec))

    def _moments(self, x: Points, deriv: int, component: str | None = None) -> tuple[FloatArray, FloatArray]:
        model = self._spec
        mean, variance = self._ask(model.query(None, model.folded(x), deriv, component=component))
        unit = model.scale.of(deriv)
        return mean * unit + (self._origin(component) if deriv == 0 else 0.0), variance * unit**2

    def _origin(self, component: str | None) -> float:
        """What was taken out of the readings of the curve or of a component."""
        names, components = self._spec.component_names, self._spec.prior.components
        first = next((n for n, t in zip(names, components, strict=True) if t.level is not None), None)
        return self._spec.scale.y_origin if component in (None, first) else 0.0

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the additive parts of the curve: components of the prior, then interventions."""
        return (*self._spec.component_names, *self._spec.intervention_labels)

    def part_of_curve(self, x: Points, deriv: int, part: str) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and variance of a derivative of one part of the curve at points x (n,)."""
        return self._moments(x, deriv, part)

    def _component_smoothness(self, component: str) -> int:
        names = self._spec.component_names
        return self._spec.prior.components[names.index(component)].smoothness if component in names else HIGHEST_DERIVATIVE

    def parts_of_observations(self, x: Any, deriv: int) -> list[tuple[str, Points, FloatArray, FloatArray]]:
        """Name, abscissae, means and variances of what regressors add to observations, at x or where they were observed."""
        spec, found = self._spec, []
        names = spec.dependents(deriv)
        coef, covariance = self._effects
        asked = None if x is None else self.observations.abscissa.asked(x)
        if not names or (asked is not None and asked.table is None):
            return []
        if asked is not None:
            points = self.observations.abscissa.points(asked.array.ravel())
            known = future_columns(names, spec.regressors, None, asked, len(points.coarse))
        for j, name in enumerate(spec.regressors):
            if name not in names:
                continue
            if asked is None:
                rows = np.concatenate([np.full(len(r), r.deriv == deriv and r.upper is None) for r in self.observations.readings])
                points, column = self.observations.points.take(rows), spec.regressor(name)[rows]
            else:
                column = known[name]
            found.append((name, points, column * coef[j], column**2 * covariance[j, j]))
        return found

    def _dependents(self, deriv: int, name: str | None) -> tuple[str, ...]:
        return self._spec.dependents(deriv, name)

    def _points(self, asked: Asked, deriv: int, regressors: Any = None, name: str | None = None) -> Points:
        """Points with the regressors of observations there, if these are given and observations of f^(deriv) depend on them."""
        points, model = super()._points(asked, deriv), self._spec
        depends = model.dependents(deriv, name)
        if regressors is not None and not depends:
            what = f"no observation of {derivative_label(deriv)} depends on them" if model.regressors else "the model has none"
            raise SpecificationError(f"regressors are given, but {what}; leave them out")
        if not depends or (regressors is None and asked.table is None):
            return points
        known = future_columns(depends, model.regressors, regressors, asked, len(points.coarse))
        columns = [known[label] if label in known else np.zeros(len(points.coarse)) for label in model.regressors]
        return RegressedPoints(points.coarse, points.fine, np.column_stack(columns) / model.regressor_units)

    @property
    def fittedvalues(self) -> FloatArray:
        """Posterior mean of what each reading reads, regressors and noise processes included, shape (n,)."""
        origin = []
        for reading in self.observations.readings:
            y_origin = self._spec.scale.y_origin
            if reading.mean or reading.deriv == 0:
                origin.append(np.full(len(reading), y_origin))
            elif reading.upper is not None and reading.deriv == OF_INTEGRAL:
                abscissa = self.observations.abscissa
                origin.append(y_origin * abscissa.points(reading.upper).minus(abscissa.points(reading.x)))
            else:
                origin.append(np.zeros(len(reading)))
        return np.asarray(self._read[0] * self._row_units + np.concatenate(origin))

    @property
    def fitted_variance(self) -> FloatArray:
        """Posterior variance of what each reading reads, shape (n,), in the squared units of the readings."""
        return self._read[1] * self._row_units**2

    @property
    def _row_units(self) -> FloatArray:
        """From a scaled row to its reading."""
        return self._spec.reading_units / np.sqrt(self._spec.factors)

    @property
    def _noise_ratio(self) -> FloatArray:
        """Scaled noise variance of each reading."""
        read = self._spec.as_read
        return read.ratio * self._variance[read.group]

    @property
    def _leverage(self) -> FloatArray:
        return self._read[1] / self._noise_ratio

    @property
    def _noise_variance(self) -> FloatArray:
        return self._noise_ratio * self._row_units**2

    def integrate(self, lower: Any, upper: Any) -> Estimate:
        """Return the integral of f from lower to upper, in units of f times x, with its standard error."""
        if self._spec.period is not None:
            raise SpecificationError("a periodic spline is not integrated; take predict on a grid")
        value, variance, distance = self._between(lower, upper, INTEGRAL)
        unit = self._spec.scale.y_unit * self._spec.scale.x_unit
        return Estimate(value * unit + self._spec.scale.y_origin * distance, float(np.sqrt(variance)) * unit, self.df_interval)

    def difference(self, lower: Any, upper: Any) -> Estimate:
        """Return f(upper) - f(lower) with its standard error."""
        if self._spec.period is not None:
            raise SpecificationError("differences of a periodic spline are not implemented; take sample")
        value, variance, _ = self._between(lower, upper, OF_ENDS)
        unit = self._spec.scale.y_unit
        return Estimate(value * unit, float(np.sqrt(variance)) * unit, self.df_interval)

    def _between(self, lower: Any, upper: Any, kind: int) -> tuple[float, float, float]:
        """Scaled mean and variance of what is asked for from lower to upper, and their distance."""
        start, end = self._limits_of_integral(lower, upper)
        distance = float(end.minus(start)[0])
        if distance == 0:
            return 0.0, 0.0, 0.0
        low, high = (start, end) if distance > 0 else (end, start)
        asked = self._spec.query(low, high, OF_INTEGRAL if kind == INTEGRAL else OF_DIFFERENCE, kind=kind)
        mean, variance = self._ask(asked)
        return float(mean[0]) * (1 if distance > 0 else -1), float(variance[0]), distance

    def _mean_crossings(self, deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
        if not no_spline(self._spec) and self._spec.period is None:
            return super()._mean_crossings(deriv, value)
        if deriv >= self.highest_derivative:
            raise SpecificationError(
                f"deriv is {deriv}: curves of this prior have no derivative of order {deriv + 1}, which tells how well a crossing "
                "is known"
            )
        from ..results.critical import crossings_on_grid

        return crossings_on_grid(self, deriv, value)

    def _changes(self) -> list[Change]:
        return changes_of(self._spec, self._values, self._variance)

    def online(self, lag: int) -> OnlineSpline:
        """Return a curve that goes on with new readings; see `SmoothingSplineResults.online`."""
        from .online import Kind, Source
        from .stream import StructuralOnline

        spec, kinds = self._spec, {}
        for reading in self.observations.readings:
            kinds[reading.name] = Kind.of(reading, spec.unit_of(reading), 0.0, spec.unknown)
        noise = {name: self._noise_sd(name) for name in self.observations.names}
        source = Source(self.observations, kinds, noise, self.df_interval, self._described)
        return StructuralOnline(source, lag, spec, self._values, self._variance)

    def _draws(self, x: Points) -> Callable[[np.random.Generator, int, IntArray], FloatArray]:
        def draw(rng: np.random.Generator, size: int, derivs: IntArray) -> FloatArray:
            return self._drawn(self._asked_for(x, derivs), derivs, rng, size, self._values, self._variance)

        return draw

    def _asked_for(self, x: Points, derivs: IntArray) -> Program:
        """Program of the readings and of derivatives at points."""
        model = self._spec
        return model.compiled(Functionals.join([model.functionals, *(model.query(None, model.folded(x), int(k)) for k in derivs)]))

    def _drawn(
        self, program: Program, derivs: IntArray, rng: np.random.Generator, size: int, values: FloatArray, variance: FloatArray
    ) -> FloatArray:
        """Draws (n_derivs, size, n) of what a program asks for less its mean, at any parameters."""
        per_draw = len(program.step) * 2 * program.n_states
        block = max(1, MOST_NORMALS // per_draw)
        units = np.array([self._spec.scale.of(int(k)) for k in derivs])
        parts = []
        for start in range(0, size, block):
            count = min(block, size - start)
            normals = rng.standard_normal((count, len(program.step), 2 * program.n_states))
            rows = program.draws(values, variance, np.ascontiguousarray(np.moveaxis(normals, 0, -1)))[self.nobs :]
            parts.append(np.swapaxes(rows.reshape(len(derivs), -1, count), 1, 2) * units[:, None, None])
        return np.concatenate(parts, axis=1)

    @property
    def _cov_drawn(self) -> FloatArray:
        return self._cov_log

    def _moved_draws(self, x: Points, derivs: IntArray) -> MovedDraws:
        program = self._asked_for(x, derivs)
        units = np.array([self._spec.scale.of(int(k)) for k in derivs])[:, None]
        centre = self._answer(program, self._values, self._variance)[0]

        def draw(rng: np.random.Generator, size: int, step: FloatArray) -> FloatArray:
            values, variance = self._spec.split(self._theta + step)
            shift = (self._answer(program, values, variance)[0] - centre).reshape(len(derivs), -1) * units
            return np.asarray(self._drawn(program, derivs, rng, size, values, variance) + shift[:, None])

        return draw

    # What the summary says --------------------------------------------------------------------------------------------

    def facts_of_model(self) -> list[tuple[str, str]]:
        """The components of the prior."""
        return [("Components:", " + ".join(self._spec.component_names))]

    @property
    def _title(self) -> str:
        return f": {self._described}"

    def _notes_of_model(self) -> list[str]:
        spec = self._spec
        notes = [f"prior: {spec.prior!r}"]
        notes += [f"noise of {name}: {process!r}" for name, process in spec.noise.items()]
        notes += [f"covariances: of the noise of {', '.join(part.names)}" for part in spec.joint]
        if spec.period is not None:
            notes.append(f"periodic, of period {spec.period:g}")
        given = [f"{p.name} = {p.value:.6g}" for p in spec.hyperparameters if p.value is not None]
        if given:
            notes.append(f"given: {', '.join(given)}")
        notes += [f"boundary: {name} is at a bound of the search" for name in self.boundary]
        return notes


def _asked(read: Functionals) -> Functionals:
    """What is read, asked for."""
    return replace(read, y=np.full(len(read), np.nan))
