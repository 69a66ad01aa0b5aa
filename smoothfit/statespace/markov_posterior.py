"""The posterior of a specification at given hyperparameters and variances, by the kernels of any prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from .._validation import FloatArray, IntArray
from ..basis import Spline
from ..markov.functionals import Functionals
from ..markov.program import Program
from ..observations import Readings
from ..observations.abscissa import Points
from ..observations.readings import HIGHEST_DERIVATIVE
from .effects import RegressedPoints
from .functionals import CurveFunctionals, in_state
from .general_search import GeneralCriterion
from .markov_observed import ObservedPosterior
from .shapes import multiplicities, no_spline, pieces_of
from .smoothing import Density, trend_of
from .source import Kind, Nodes, Source
from .specification import Specification
from .spline import Pieces
from .stream import StructuralOnline
from .units import log_det_units, noise_sds
from .varying import coefficient_label

MOST_NORMALS = 2**23  # drawn at a time
MOST_SMOOTHED = 2**18  # rows at a time, those of all candidates together

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


def noise_sds_of_many(
    model: Specification, reading: Readings, hyper: FloatArray, variance: FloatArray, *, process: bool = True
) -> FloatArray:
    """`MarkovPosterior.noise_sd_of` of a series at hyperparameters (L, P) and variances (L, G): (L,)."""
    name, unit = reading.name, model.unit_of(reading)
    own = float(np.mean((reading.sd / unit) ** 2)) if reading.sd is not None else variance[:, model.unknown.index(name)]
    found = own + np.full(len(hyper), np.mean(model.rounding_of(reading)))
    if process and name in model.noise:
        row = (model.process_row(0, None, name) - model.process_row(0)) * model.scales.get(name, 1.0)
        found += [float(row @ model.processes.start(values).covariance @ row) for values in hyper]
    return np.asarray(np.sqrt(found) * unit)


@dataclass(frozen=True, eq=False)
class MarkovPosterior(ObservedPosterior):
    """The posterior of a specification.

    Attributes
    ----------
    specification : Specification
    hyper : ndarray
        Scaled hyperparameters, all of them.
    variance : ndarray, shape (n_groups,)
        Scaled variances of the unknown series, and one for the known ones.
    """

    noise_factor: ClassVar[float] = 0.5  # by which the logarithm of an SD moves with its entry of `logs`

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

    def draws_of_observations(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Draws (size, n) of what the observations measure, about their means."""
        spec = self.specification
        query = replace(spec.as_read, y=np.full(spec.nobs, np.nan))
        program = spec.compiled(Functionals.join([spec.functionals, query]))
        return self.draws(Question(program, self._units, self._origins))(rng, size)

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
        return self.specification.regressors

    def regressor(self, name: str) -> FloatArray:
        return self.specification.regressor(name)

    @property
    def biased(self) -> tuple[str, ...]:
        """Series that show something else than the curve: with an unknown bias, scale or lag, or a response time."""
        return tuple(reading.name for reading in self.observations.readings if reading.has_bias or reading.is_filtered)

    def regressed(self, points: Points, known: Mapping[str, FloatArray], name: str | None, *, has_noise: bool = False) -> Points:
        """Points with values of some regressors, others being zero, and with the bias of a series, or its noise process."""
        columns = self.specification.columns(len(points.coarse), known, name)
        return RegressedPoints(points.coarse, points.fine, columns, name, has_noise)

    def noise_sd_of(self, name: str, *, process: bool = True) -> float:
        """Of a new observation of weight one: its independent noise, its rounding and the spread of its noise process."""
        here = self.hyper[None], self.variance[None]
        return float(noise_sds_of_many(self.specification, self.observations[name], *here, process=process)[0])

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

    def notes(self, boundary: tuple[str, ...]) -> list[str]:
        """The model, what was given, and what is at a boundary."""
        spec = self.specification
        rounding = "by the variance of its steps" if spec.sites is None else "by the likelihood of its intervals"
        notes = [f"prior: {spec.prior!r}"]
        notes += [f"coefficient of {name}: {process!r}" for name, process in spec.varying.items()]
        notes += [f"noise of {name}: {process!r}" for name, process in spec.noise.items()]
        notes += [
            f"{reading.name} was rounded: {rounding}" for reading in spec.observations.readings if reading.resolution is not None
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
