"""The posterior of a specification at given hyperparameters and variances, by the kernels of any prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from .._validation import EPS, FloatArray
from ..basis import Spline
from ..markov.functionals import VALUE, Functionals
from ..markov.program import Program
from ..markov.sampling import IntArray
from ..observations import Observations, Readings
from ..observations.abscissa import Points
from ..observations.readings import HIGHEST_DERIVATIVE, OF_INTEGRAL
from ..results.estimates import LEAST_FREE
from ..results.misfit import Errors
from ..results.offsets import Offset, Stretch, offsets_of, scores_of
from ..results.protocols import Change
from .effects import RegressedPoints
from .functionals import CurveFunctionals, in_state
from .general_search import GeneralCriterion
from .online import Kind, Nodes, Source
from .rounding import without_each
from .shapes import changes_of, multiplicities, no_spline, pieces_of
from .smoothing import Density, trend_of
from .specification import Specification
from .spline import Pieces
from .stream import StructuralOnline
from .units import log_det_units, noise_sds
from .varying import coefficient_label

MOST_NORMALS = 2**23  # drawn at a time
MOST_SMOOTHED = 2**18  # rows at a time, those of all candidates together
CERTAIN = 0.1  # of the precision of an observation, left in its error: the others predict it, rounding is far less
ROUNDING = 64 * EPS  # of the noise of an observation, left in the error of one that alone determines a direction
STEP = 1e-3  # in a logarithm: of central differences of exact scores, right to its square


class Question(NamedTuple):
    """Functionals compiled after the observations, with what takes their answers to the user's units: (n,) each."""

    program: Program
    units: FloatArray
    origins: FloatArray

    def centred(self, hyper: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior means less the origins, and variances (L, n) at hyperparameters (L, P) and variances (L, G)."""
        block, n = max(1, MOST_SMOOTHED // len(self.program.y)), len(self.units)
        found = np.empty((2, len(hyper), n))
        for start in range(0, len(hyper), block):
            some = slice(start, start + block)
            found[:, some] = [part[:, part.shape[1] - n :] for part in self.program.moments_of_many(hyper[some], variance[some])]
        return found[0] * self.units, found[1] * self.units**2


def noise_sds_of_many(model: Specification, reading: Readings, hyper: FloatArray, variance: FloatArray) -> FloatArray:
    """`MarkovPosterior.noise_sd_of` of a series at hyperparameters (L, P) and variances (L, G): (L,)."""
    name, unit = reading.name, model.unit_of(reading)
    own = float(np.mean((reading.sd / unit) ** 2)) if reading.sd is not None else variance[:, model.unknown.index(name)]
    found = own + np.full(len(hyper), np.mean(model.rounding_of(reading)))
    if name in model.noise:
        row = model.process_row(0, None, name) - model.process_row(0)
        found += [float(row @ model.processes.start(values).covariance @ row) for values in hyper]
    return np.asarray(np.sqrt(found) * unit)


@dataclass(frozen=True, eq=False)
class MarkovPosterior:
    """The posterior of a specification.

    Attributes
    ----------
    specification : Specification
    hyper : ndarray
        Scaled hyperparameters, all of them.
    variance : ndarray, shape (n_groups,)
        Scaled variances of the unknown series, and one for the known ones.
    """

    specification: Specification
    hyper: FloatArray
    variance: FloatArray
    noise_factor: ClassVar[float] = 0.5  # by which the logarithm of an SD moves with its entry of `logs`

    @property
    def observations(self) -> Observations:
        """Those of the specification."""
        return self.specification.observations

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, sd and whether it is unknown."""
        return noise_sds(self.observations, self.specification.unknown, self.variance, self.specification.unit_of)

    # Parameters -------------------------------------------------------------------------------------------------------

    @property
    def hyperparameters(self) -> dict[str, float]:
        """All of them, in the user's units."""
        parameters = self.specification.hyperparameters
        return {p.name: float(v) * self.specification.hyper_unit(p) for p, v in zip(parameters, self.hyper, strict=True)}

    @property
    def trend(self) -> tuple[int, str] | None:
        """Order, and name of the intensity, of the only integrated Wiener process of the prior."""
        return trend_of(self.specification.prior)

    @property
    def bandwidth(self) -> float:
        """Half width of the averaging window of that process, in units of x."""
        if self.trend is None:
            raise AttributeError("bandwidth is that of an integrated Wiener process; see hyperparameters")
        order, name = self.trend
        q = self.hyper[[p.name for p in self.specification.hyperparameters].index(name)]
        return Density(self.specification, order).bandwidth(float(q), self.variance) * self.specification.scale.x_unit

    @property
    def logs(self) -> tuple[tuple[str, bool], ...]:
        """Name of each parameter, of whose logarithms `moved` takes changes, and whether it is a variance of noise."""
        return tuple((p.name, p.is_variance) for p in self.specification.parameters)

    @property
    def effects_by_sensors(self) -> FloatArray:
        """Slopes (p, s) of coefficients by the coordinates of scales, lags and correlations that are estimated: none."""
        return np.zeros((0, 0))

    @property
    def of_sensors(self) -> tuple[str, ...]:
        """Names of scales, lags and correlations that are estimated: none."""
        return ()

    @property
    def slopes(self) -> dict[str, float]:
        """Derivatives by their coordinates of hyperparameters that are not searched by their logarithms."""
        return {}

    @property
    def is_relative(self) -> bool:
        """Whether a common factor of all variances is unknown."""
        return self.specification.is_relative

    def moved(self, step: FloatArray) -> MarkovPosterior:
        """The same at parameters whose logarithms are moved by a step (k,)."""
        hyper, variance = self.hyper.copy(), self.variance.copy()
        for p, move in zip(self.specification.parameters, step, strict=True):
            (variance if p.is_variance else hyper)[p.index] *= np.exp(move)
        return replace(self, hyper=hyper, variance=variance)

    def log_hessian(self, free: IntArray, method: str) -> FloatArray:
        """Hessian of -2 log-likelihood by the logarithms of some parameters, by differences of exact scores."""
        columns = []
        for i in free:
            ends = []
            for step in (STEP, -STEP):
                there = self.moved(step * np.eye(len(self.logs))[i])
                sums = self.specification.sums(there.hyper, there.variance, method, slopes=True)
                ends.append(GeneralCriterion(self.specification, method).assemble(sums)[1:][free])
            columns.append((ends[0] - ends[1]) / (2 * STEP))
        return (np.array(columns) + np.array(columns).T) / 2

    @property
    def effect_names(self) -> tuple[str, ...]:
        """Names of the coefficients: regressors, biases of series, then interventions."""
        return self.specification.effects

    @cached_property
    def effects(self) -> tuple[FloatArray, FloatArray]:
        """Coefficients of regressors and interventions, and their covariance (p, p), by sums and differences of pairs."""
        p = len(self.effect_names)
        if not p:
            return np.zeros(0), np.zeros((0, 0))
        rows = [np.eye(p)[i] for i in range(p)] + [np.eye(p)[i] + np.eye(p)[j] for i in range(p) for j in range(i)]
        query = self.specification.query(None, self.specification.functionals.end.take(np.zeros(len(rows), np.int64)), 0)
        mean, variance = self._ask(replace(query, process=0 * query.process, effects=np.array(rows)))
        covariance = np.diag(variance[:p])
        k = p
        for i in range(p):
            for j in range(i):
                covariance[i, j] = covariance[j, i] = (variance[k] - variance[i] - variance[j]) / 2
                k += 1
        units = self.specification.effect_units
        return mean[:p] * units, covariance * np.outer(units, units)

    # Likelihood -------------------------------------------------------------------------------------------------------

    @property
    def n_diffuse(self) -> int:
        """Constants that are diffuse."""
        return self.specification.n_diffuse

    @property
    def log_det_design(self) -> float:
        """log|X'X|, X the user's observations of what is diffuse in scaled units."""
        return self.specification.log_det_design

    @property
    def log_det_units(self) -> float:
        """Log determinant of the change of what is diffuse to the user's units."""
        return log_det_units(self.specification, self.hyper)

    def log_likelihood(self, method: str) -> float:
        """Log-likelihood of the user's observations, the unknown constants in scaled units."""
        sums = self.specification.sums(self.hyper, self.variance, method)
        total = GeneralCriterion(self.specification, method).assemble(sums)[0]
        return -float(total) / 2 - float(np.log(self._units).sum())

    # Functionals ------------------------------------------------------------------------------------------------------

    @property
    def highest_derivative(self) -> int:
        """Highest order of a derivative that curves of the prior have."""
        return min(self.specification.prior.smoothness, HIGHEST_DERIVATIVE)

    @property
    def highest_mean_derivative(self) -> int:
        """The same; 2 order - 1 where the mean is a spline: between observations it is a polynomial of that degree."""
        return self.highest_derivative if self.no_spline else 2 * self.specification.prior.dim - 1

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the additive parts of the curve, components of the prior and interventions, then coefficients that vary."""
        spec = self.specification
        return (*spec.component_names, *spec.intervention_labels, *map(coefficient_label, spec.varying))

    def component_smoothness(self, component: str) -> int:
        """How many derivatives a part of the curve has."""
        spec = self.specification
        found = {coefficient_label(name): process.smoothness for name, process in spec.varying.items()}
        found |= {name: one.smoothness for name, one in zip(spec.component_names, spec.prior.components, strict=True)}
        return found.get(component, HIGHEST_DERIVATIVE)

    def question(self, functionals: CurveFunctionals) -> Question:
        """Compile functionals."""
        query, units, origins = in_state(self.specification, functionals)
        return Question(self.specification.compiled(Functionals.join([self.specification.functionals, query])), units, origins)

    def answer(self, asked: Question) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances of functionals (n,), in the user's units."""
        mean, variance = self.centred(asked)
        return mean + asked.origins, variance

    def centred(self, asked: Question) -> tuple[FloatArray, FloatArray]:
        """The same of f less its origin, with all digits of differences between parameters."""
        mean, variance = asked.centred(self.hyper[None], self.variance[None])
        return mean[0], variance[0]

    def draws(self, asked: Question) -> Callable[[np.random.Generator, int], FloatArray]:
        """What draws functionals about their means, in the user's units: rng, size -> (size, n)."""
        program, n = asked.program, self.specification.nobs
        block = max(1, MOST_NORMALS // (len(program.step) * 2 * program.n_states))

        def draw(rng: np.random.Generator, size: int) -> FloatArray:
            draws = np.empty((size, len(asked.units)))
            for start in range(0, size, block):
                normals = rng.standard_normal((min(block, size - start), len(program.step), 2 * program.n_states))
                rows = program.draws(self.hyper, self.variance, np.ascontiguousarray(np.moveaxis(normals, 0, -1)))
                draws[start : start + block] = rows[n:].T * asked.units
            return draws

        return draw

    def _ask(self, query: Functionals) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of functionals of the state."""
        query = replace(query, y=np.full(len(query), np.nan))
        program = self.specification.compiled(Functionals.join([self.specification.functionals, query]))
        mean, variance = program.moments(self.hyper, self.variance)
        return mean[self.specification.nobs :], variance[self.specification.nobs :]

    @cached_property
    def _pieces(self) -> Pieces:
        model = self.specification
        return pieces_of(model, self.hyper, self.variance, lambda at, k: self._ask(model.query(None, at, k))[0])

    def rough_mean(self, x: Points, deriv: int) -> FloatArray:
        """Derivatives of the mean of an order that the curve has not."""
        return self._pieces.mean(self.specification.folded(x), deriv)

    @property
    def no_spline(self) -> str:
        """Why the mean is no spline; empty where it is one."""
        return no_spline(self.specification)

    @property
    def is_periodic(self) -> bool:
        """Whether f is periodic."""
        return self.specification.period is not None

    def spline(self) -> Spline:
        """The posterior mean as an exact spline."""
        return self._pieces.spline(multiplicities(self.specification))

    def dependents(self, deriv: int, name: str | None = None) -> tuple[str, ...]:
        """Regressors on which observations of f^(deriv), or of a series, depend."""
        return self.specification.dependents(deriv, name)

    def pulses(self, deriv: int) -> tuple[str, ...]:
        """Pulses of series that observe f^(deriv)."""
        spec = self.specification
        of_series = {label: spec.observations[str(pulse.series)] for label, pulse in spec.pulses.items()}
        return tuple(label for label, reading in of_series.items() if reading.deriv == deriv and reading.upper is None)

    @property
    def regressors(self) -> tuple[str, ...]:
        """Names of the regressors."""
        return self.specification.regressors

    def regressor(self, name: str) -> FloatArray:
        """Values of a regressor for all observations."""
        return self.specification.regressor(name)

    @property
    def biased(self) -> tuple[str, ...]:
        """Series that show something else than the curve: with an unknown bias, scale or lag, or a response time."""
        return tuple(reading.name for reading in self.observations.readings if reading.has_bias or reading.is_filtered)

    def regressed(self, points: Points, known: Mapping[str, FloatArray], name: str | None) -> Points:
        """Points with values of some regressors, others being zero, and with the bias of a series."""
        return RegressedPoints(points.coarse, points.fine, self.specification.columns(len(points.coarse), known, name), name)

    # Observations -----------------------------------------------------------------------------------------------------

    @cached_property
    def _white(self) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of the combinations of observations whose noise is independent."""
        return self.specification.program.moments(self.hyper, self.variance)

    @cached_property
    def _read(self) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of what the observations measure."""
        return self._ask(self.specification.as_read) if self.specification.joint else self._white

    @property
    def _units(self) -> FloatArray:
        """From a scaled row to its observation."""
        return self.specification.reading_units / np.sqrt(self.specification.factors)

    @property
    def _noise_ratio(self) -> FloatArray:
        """Scaled noise variance of each observation."""
        return self.specification.as_read.noise(self.variance)

    @property
    def fitted(self) -> FloatArray:
        """Posterior mean of what each observation measures, regressors and noise processes included, (n,)."""
        return np.asarray(self._read[0] * self._units + self._origins)

    @property
    def _origins(self) -> FloatArray:
        """What the origin of the curve adds to each observation (n,)."""
        origin, y_origin, abscissa = [], self.specification.scale.y_origin, self.observations.abscissa
        for reading in self.observations.readings:
            if reading.mean or reading.deriv == 0:
                origin.append(np.full(len(reading), y_origin))
            elif reading.upper is not None and reading.deriv == OF_INTEGRAL:
                origin.append(y_origin * abscissa.points(reading.upper).minus(abscissa.points(reading.x)))
            else:
                origin.append(np.zeros(len(reading)))
        return np.concatenate(origin)

    @property
    def fitted_variance(self) -> FloatArray:
        """Its posterior variance (n,)."""
        return self._read[1] * self._units**2

    @property
    def noise_variance(self) -> FloatArray:
        """Noise variance of each observation (n,), in its squared units."""
        return self._noise_ratio * self._units**2

    def noise_sd_of(self, name: str) -> float:
        """Of a new observation of weight one: its independent noise, its rounding and the spread of its noise process."""
        return float(noise_sds_of_many(self.specification, self.observations[name], self.hyper[None], self.variance[None])[0])

    @property
    def leverage(self) -> FloatArray:
        """Diagonal (n,) of the smoother matrix."""
        return self._read[1] / self._noise_ratio

    @cached_property
    def edf(self) -> float:
        """Trace of the smoother matrix."""
        return float((self._white[1] / self.specification.functionals.noise(self.variance)).sum())

    @cached_property
    def _errors(self) -> tuple[FloatArray, FloatArray]:
        """Of each observation u and D as of `Program.adjoint`; D is NaN where the others do not determine what it is of."""
        program = self.specification.program
        adjoint = program.adjoint(self.hyper, self.variance)
        u, D = adjoint.errors.T.copy()
        noise = self.specification.functionals.noise(self.variance)
        for i in np.flatnonzero(adjoint.is_start):  # what only one observation determines has no precision without it
            share = D[i] * noise[i]  # of the precision of the observation alone
            if share > CERTAIN:
                continue
            if share < ROUNDING * (noise[i] > 0) or not program.is_identified_without(int(i), self.hyper, self.variance):
                D[i] = np.nan
        if self.specification.sites is not None:  # of the reports, not of what represents them
            read, plain = self.specification.as_read, self.specification.as_reported
            known = ~np.isnan(D)
            parts = (*self._white, read.y, read.noise(self.variance))
            m, variance = without_each(*(part[known] for part in parts))
            D[known] = 1 / (variance + plain.noise(self.variance)[known])
            u[known] = (plain.y[known] - m) * D[known]
        return u, D

    @cached_property
    def _free(self) -> FloatArray:
        """1 - leverage; NaN if that is rounding."""
        free = 1 - self.leverage
        return np.where(free > LEAST_FREE, free, np.nan)

    @property
    def resid_standardized(self) -> FloatArray:
        """Residuals divided by their standard deviations (n,)."""
        if self.specification.joint:
            return (self.observations.y - self.fitted) / np.sqrt(self.noise_variance * self._free)
        u, D = self._errors
        return u / np.sqrt(D)

    @property
    def loo_resid(self) -> FloatArray:
        """Observations minus predictions without them (n,); the other observations at x count, with their covariance."""
        model = self.specification
        if not model.joint:
            u, D = self._errors
            return u / D * self._units
        resid = self.observations.y - self.fitted
        left_out = resid / self._free
        # C^-1 r over the diagonal of C^-1 - C^-1 V C^-1, V the posterior covariance of what is observed
        read, units = model.as_read, model.reading_units
        process, effects = read.process.copy(), read.effects.copy()
        inverses = [np.linalg.inv(part.scaled(units, self._noise_ratio)) for part in model.joint]
        for part, inverse in zip(model.joint, inverses, strict=True):
            process[part.rows], effects[part.rows] = inverse @ process[part.rows], inverse @ effects[part.rows]
        spread = self._ask(replace(read, process=process, effects=effects))[1]
        for part, inverse in zip(model.joint, inverses, strict=True):
            precision = np.diagonal(inverse, axis1=1, axis2=2)
            free = 1 - spread[part.rows] / precision
            weighted = np.einsum("nij,nj->ni", inverse, (resid / units)[part.rows])
            left_out[part.rows] = weighted / (precision * np.where(free > LEAST_FREE, free, np.nan)) * units[part.rows]
        return left_out

    @property
    def innovations(self) -> FloatArray:
        """Standardised one-step-ahead prediction errors (n,)."""
        return self.specification.program.innovations(self.hyper, self.variance)

    def errors(self, stretches: list[slice]) -> Errors:
        """Standardised errors of some stretches of the observations, in order of x, given all observations.

        In a long record, of several stretches, no shifts are looked for, which would take a pass with a larger state. Where normal
        observations represent rounded ones there are no errors.
        """
        if self.specification.sites is not None:
            return Errors(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), [])
        order = self.specification.program.order
        rows = np.concatenate([order[order >= 0][part] for part in stretches])
        shifts = self.changes()[:1] if len(stretches) == 1 else []
        return Errors(rows, self.innovations[rows], self.resid_standardized[rows], shifts, self._offsets)

    @property
    def _offsets(self) -> list[Offset]:
        """What series are off the others by; not looked for with covariances between series."""
        n_series = len(self.observations.readings)
        if self.specification.joint or n_series == 1:
            return []
        whole = Stretch(self.observations.series, self.fitted, self.leverage, self.noise_variance, self._pull, self._slopes)
        return offsets_of([whole], n_series)

    @property
    def _slopes(self) -> FloatArray:
        """Posterior mean of the derivative of what each observation measures (n,); NaN of intervals, and if the curve has none."""
        model = self.specification
        read, first = model.as_read, 0
        process, units = np.zeros_like(read.process), np.full(len(read), np.nan)
        for reading in model.observations.readings:
            rows, k = slice(first, first + len(reading)), reading.deriv + 1
            first += len(reading)
            if reading.upper is None and k <= model.prior.smoothness:
                process[rows], units[rows] = self._slope_row(reading), model.scale.of(k)
        kind = np.full(len(read), VALUE, np.int8)
        return np.asarray(self._ask(replace(read, process=process, effects=0 * read.effects, kind=kind))[0] * units)

    def _slope_row(self, reading: Readings) -> FloatArray:
        """Row (D,) of the derivative of what a series shows: of a filter (f^(deriv) - z) / tau."""
        model = self.specification
        if not reading.is_filtered:
            return model.process_row(reading.deriv + 1)
        names = [p.name for p in model.hyperparameters]
        lead = model.process_row(reading.deriv)
        lead[: model.prior.dim] -= model.prior.shown(reading.name, reading.deriv, model.scale.x_unit)
        return np.asarray(lead / self.hyper[names.index(f"response_time.{reading.name}")])

    def _pull(self, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scores and information of columns (n, k) of the observations, by their innovations."""
        program, found = self.specification.program, []
        for column in (columns / self._units[:, None]).T:
            y = np.where(program.order >= 0, column[program.order], program.y)
            found.append(replace(program, y=y).innovations(self.hyper, self.variance))
        return scores_of(self.innovations, np.column_stack(found))

    def changes(self) -> list[Change]:
        """Estimates of level shifts and slope breaks."""
        return changes_of(self.specification, self.hyper, self.variance)

    @property
    def structure_in_observations(self) -> FloatArray:
        """What regressors, interventions, noise processes and all components but the first add to each observation, (n,)."""
        read = self.specification.as_read
        process = read.process.copy()
        process[:, : self.specification.prior.components[0].dim] = 0.0
        mean, _ = self._ask(replace(read, process=process, kind=np.full(len(read), VALUE, np.int8)))
        return np.asarray(mean * self._units)

    def online(self, lag: int, df: float, described: str, nodes: Nodes | None = None) -> StructuralOnline:
        """A curve that goes on with new observations; `df` and the model as `described` are what it shows."""
        model, kinds, noise = self.specification, {}, {}
        for reading in self.observations.readings:
            unit = model.unit_of(reading)
            kinds[reading.name] = Kind.of(reading, unit, 0.0, model.unknown)
            noise[reading.name] = self.noise_sd_of(reading.name)
        source = Source.of(self.observations, kinds, noise, df, described, nodes)
        filters = [self] if nodes is None else [self, *nodes.at]
        return StructuralOnline(source, lag, [(one.specification, one.hyper, one.variance) for one in filters])

    # For the summary ------------------------------------------------------------------------------------------------

    def title(self, described: str) -> str:
        """The addition to the title for a model described so."""
        return f": {described}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The components of the prior."""
        varying = [f"{name} * {coefficient_label(name)}" for name in self.specification.varying]
        return [("Components:", " + ".join([*self.specification.component_names, *varying]))]

    @property
    def _rounding(self) -> str:
        """How rounded observations enter."""
        return "by the variance of its steps" if self.specification.sites is None else "by the likelihood of its intervals"

    def notes(self, boundary: tuple[str, ...]) -> list[str]:
        """The model, what was given, and what is at a boundary."""
        spec = self.specification
        notes = [f"prior: {spec.prior!r}"]
        notes += [f"coefficient of {name}: {process!r}" for name, process in spec.varying.items()]
        notes += [f"noise of {name}: {process!r}" for name, process in spec.noise.items()]
        notes += [
            f"{reading.name} was rounded: {self._rounding}"
            for reading in spec.observations.readings
            if reading.resolution is not None
        ]
        notes += [
            f"{reading.name} responds slowly: it shows z with response_time z' + z = {reading.label}"
            for reading in spec.observations.readings
            if reading.is_filtered
        ]
        notes += [f"covariances: of the noise of {', '.join(part.names)}" for part in spec.joint]
        if spec.period is not None:
            notes.append(f"periodic, of period {spec.period:g}")
        given = [f"{p.name} = {p.value:.6g}" for p in spec.hyperparameters if p.value is not None]
        if given:
            notes.append(f"given: {', '.join(given)}")
        return notes + [f"boundary: {name} is at a bound of the search" for name in boundary]
