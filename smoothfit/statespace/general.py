"""Curves with any Markov prior, read through any functionals: the general form of the smoothing spline.

The likelihood is that of y = L f + X b + e with f ~ prior, b the coefficients of regressors and interventions and everything
that is diffuse in the prior's start, e the noise. With K the covariance of y but for b:

- ``reml``: -2 l_R = (n - p) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r,   p the number of diffuse directions,
- ``ml``:   -2 l   = n log 2 pi + log|K| + r'K^-1 r,

in the second of which the random part of what wanders from a diffuse start is orthogonal to what is read of that start, in the
metric of the rest: see `criteria`. Of a stationary curve it is the usual likelihood.

Both are minimised over the logarithms of the hyperparameters and of the unknown variances, from the best of many starts, with exact
scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import brentq

from .._validation import FloatArray, check_finite, check_positive, to_floats
from ..errors import DataError, IdentificationError, SpecificationError
from ..markov.joint import Joint
from ..markov.priors import IntegratedWiener, OrnsteinUhlenbeck, Seasonal, Sum
from ..markov.process import Hyperparameter, Prior, check_readable
from ..markov.program import DIFFERENCE, INTEGRAL, VALUE, Functionals, Processes, Program, Sums, compiled
from ..markov.rows import MOST_GROUPS, Scale, scaled_ratio
from ..observations import Observations, Readings
from ..observations.abscissa import Points
from ..observations.readings import OF_INTEGRAL
from ..results.exact import is_stuck, warn_of_exact_series
from .effects import Intervention, RegressedPoints
from .general_search import REMEDY, SMALLEST_SD, Extent, GeneralCriterion, Parameter, has_level, power_of

METHODS = ("reml", "ml")
WIDEST = 35.0  # logarithms of a scaled q: beyond, the curve is a polynomial or an interpolant
PHASE_ROUNDING, MOST_ROUNDED = 16.0, 1e3  # units of rounding of x that a phase is right to, and of these in a period


class GeneralModel:
    """What `SmoothingSpline` fits where it has a prior of its own, regressors, or readings of integrals or differences.

    Parameters are those of `SmoothingSpline`, but `joint`: what `with_covariances` makes of its covariances.
    """

    def __init__(
        self,
        observations: Observations,
        prior: Any,
        regressors: Mapping[str, Any] | None = None,
        interventions: Sequence[Any] = (),
        noise: Mapping[str, Any] | None = None,
        period: float | None = None,
        joint: Sequence[Joint] = (),
    ):
        if not isinstance(prior, Prior):
            hint = f"{prior.__name__}()" if isinstance(prior, type) else "sf.priors.Matern(nu=2.5)"
            raise SpecificationError(f"prior is {prior!r}; pass a prior, for example {hint}")
        self.observations = observations
        self.prior = prior
        self.noise = _checked_noise(noise, observations)
        self.interventions: tuple[Intervention, ...] = tuple(interventions)
        self.period = None if period is None else check_positive(period, "period")
        self.joint = tuple(joint)
        for reading in observations.readings:
            check_readable(prior, max(reading.deriv, 0), reading.name)
        self.scale = self._scale()
        self.processes = Processes((prior, *self.noise.values()), self.scale.x_unit)
        self.unknown = tuple(reading.name for reading in observations.readings if reading.sd is None)
        if len(self.unknown) + 1 > MOST_GROUPS:
            raise DataError(f"{len(self.unknown)} names have an unknown sd; at most {MOST_GROUPS - 1} can")
        self._check_interventions()
        self._regressors, self._regressor_units = self._checked_regressors(regressors or {})
        self._check_period()
        self.prior = self._told_apart()
        self.processes = Processes((self.prior, *self.noise.values()), self.scale.x_unit)
        self._check_distinct()
        self.program  # noqa: B018  compiled now, so that a model too large is told here
        self._check_identified()

    # Names ------------------------------------------------------------------------------------------------------------

    @cached_property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Of the prior, then of the noise processes as ``noise.<name>.<hyperparameter>``."""
        return self.prior.hyperparameters + tuple(
            p._replace(name=f"noise.{name}.{p.name}") for name, process in self.noise.items() for p in process.hyperparameters
        )

    @cached_property
    def effects(self) -> tuple[str, ...]:
        """Names of the coefficients: regressors, then interventions."""
        return (*self._regressors, *self._intervention_labels)

    @property
    def regressors(self) -> tuple[str, ...]:
        """Names of the regressors."""
        return tuple(self._regressors)

    @property
    def regressor_units(self) -> FloatArray:
        """What each regressor is divided by in scaled rows."""
        return np.array([self._regressor_units[name] for name in self._regressors])

    def dependents(self, deriv: int, name: str | None = None) -> tuple[str, ...]:
        """Regressors on which observations of f^(deriv) depend, or those of one series; all on which f could, for f."""
        if deriv == 0 and name is None:
            return self.regressors
        found: set[str] = set()
        first = 0
        for reading in self.observations.readings:
            rows = slice(first, first + len(reading))
            first += len(reading)
            if reading.deriv == deriv if name is None else reading.name == name:
                found |= {label for label, column in self._regressors.items() if column[rows].any()}
        return tuple(label for label in self.regressors if label in found)

    @cached_property
    def _intervention_labels(self) -> tuple[str, ...]:
        return tuple(change.label(self.observations.abscissa) for change in self.interventions)

    @cached_property
    def effect_units(self) -> FloatArray:
        """Units of the coefficients."""
        y_unit, x_unit = self.scale.y_unit, self.scale.x_unit
        units = [y_unit / self._regressor_units[name] for name in self._regressors]
        return np.array(units + [y_unit * x_unit**change.x_power for change in self.interventions])

    # Units ------------------------------------------------------------------------------------------------------------

    def _scale(self) -> Scale:
        """Units in which x is spaced by about one and readings are within one; the origin is taken out where a level is free."""
        obs = self.observations
        parts = [obs.abscissa.points(x) for reading in obs.readings for x in reading.limits]
        keys = np.unique(np.concatenate([part.keys for part in parts]))
        if len(keys) < 2:
            label = obs.abscissa.label(obs.readings[0].x[0])
            raise DataError(f"all {len(obs)} readings are at x = {label}; a curve needs readings at two abscissae or more")
        span, n_steps = float((keys[-1] - keys[0]).real), len(keys) - 1
        if self.period is not None:
            span, n_steps = self.period, len(self._phases)
        x_unit = float(np.ldexp(1.0, int(np.frexp(span / n_steps)[1])))
        values = [r.y for r in obs.readings if has_level(r)]
        origin = 0.0
        if values and self.prior.level is not None:
            origin = float(min(v.min() for v in values) / 2 + max(v.max() for v in values) / 2)
        sizes = []
        for reading in obs.readings:
            y = reading.y - origin if has_level(reading) else reading.y
            sizes.append(float(np.abs(y).max()) * x_unit ** power_of(reading))
        size = max(sizes)
        scale = Scale(x_unit, float(np.ldexp(1.0, int(np.frexp(size)[1]))) if size > 0 else 1.0, origin)
        units = [self._unit(reading, scale) for reading in obs.readings]
        scale.check(*units, *(unit * unit for unit in units))  # of readings, and of their variances
        return scale

    @staticmethod
    def _unit(reading: Readings, scale: Scale) -> float:
        """Unit of a name's readings: a mean or a difference is one of f, an integral of f times x."""
        return scale.of(power_of(reading))

    def scaled_hyperparameters(self) -> list[float | None]:
        """Given values in scaled units."""
        return [None if p.value is None else p.value / self._hyper_unit(p) for p in self.hyperparameters]

    def _hyper_unit(self, p: Hyperparameter) -> float:
        return float(self.scale.x_unit**p.x_power * self.scale.y_unit**p.f_power)

    # Checks -----------------------------------------------------------------------------------------------------------

    def _check_interventions(self) -> None:
        abscissa, places = self.observations.abscissa, self.observations.places
        for change in self.interventions:
            if not isinstance(change, Intervention):  # the annotation promises it, the caller may not keep it
                raise SpecificationError(f"{change!r} is no intervention; pass sf.Pulse(x), sf.Level(x) or sf.Slope(x)")
            x = float(change.at(abscissa).coarse[0])
            if not places.min() <= x <= places.max():
                raise DataError(
                    f"{change.label(abscissa)} lies outside the readings, {abscissa.label_of_number(places.min())} .. "
                    f"{abscissa.label_of_number(places.max())}: nothing tells its size; leave it out"
                )
        labels = self._intervention_labels
        for label in labels:
            if labels.count(label) > 1:
                raise SpecificationError(f"two interventions are called {label!r}; pass name= for one of them")

    def _checked_regressors(self, regressors: Mapping[str, Any]) -> tuple[dict[str, FloatArray], dict[str, float]]:
        """Columns in units of a power of two, so that they are within one, and these units."""
        n = len(self.observations)
        columns, units = {}, {}
        for name, given in regressors.items():
            column, _ = to_floats(given, f"regressors[{name!r}]")
            if len(column) != n:
                dropped = sum(reading.n_dropped for reading in self.observations.readings)
                hint = f" ({dropped} missing readings were left out: leave out their rows)" if dropped else ""
                raise DataError(f"regressors[{name!r}] has {len(column)} entries for {n} readings{hint}; pass one for each reading")
            check_finite(column, f"regressors[{name!r}]", "a regressor is known for every reading: leave the reading out")
            size = float(np.abs(column).max())
            if size == 0:
                raise IdentificationError(f"regressors[{name!r}] is zero throughout; leave it out")
            units[name] = float(np.ldexp(1.0, int(np.frexp(size)[1])))
            columns[name] = column / units[name]
            if name in self._intervention_labels or name == "q" or name in (p.name for p in self.hyperparameters):
                raise SpecificationError(f"a regressor is called {name!r}, as another parameter is; rename it")
        return columns, units

    def _check_period(self) -> None:
        if self.period is None:
            return
        if not isinstance(self.prior, IntegratedWiener) or any(r.upper is not None for r in self.observations.readings):
            raise SpecificationError(
                "period goes with order= and readings of f and its derivatives; other priors: add Seasonal(period)"
            )
        if self.noise or self.interventions:
            raise SpecificationError("period goes with neither noise nor interventions")

    def _told_apart(self) -> Prior:
        """The prior with seasonal harmonics of as many unknown constants as the observations tell: on an even grid one."""
        if not any(isinstance(component, Seasonal) for component in self.prior.components):
            return self.prior
        read, at, found = self.as_read, 0, []
        start, end = (
            x.minus(self._first_point.take(np.zeros(len(x.coarse), np.int64))) / self.scale.x_unit for x in (read.start, read.end)
        )
        for component in self.prior.components:
            rows = read.process[:, at : at + component.dim]
            at += component.dim
            if isinstance(component, Seasonal):
                component = component.as_told(start, end, read.kind, rows, self.scale.x_unit)
            found.append(component)
        return found[0] if len(found) == 1 else Sum(tuple(found))

    def _check_distinct(self) -> None:
        """Refuse components of a sum that no readings tell apart."""
        terms = list(self.prior.components)
        if len(self.observations.names) == 1:
            terms += list(self.noise.values())
        kinds = [_kind(term) for term in terms]
        for i, kind in enumerate(kinds):
            if kind is not None and kind in kinds[:i]:
                raise IdentificationError(
                    f"{terms[kinds.index(kind)]!r} and {terms[i]!r} are of one kind, and no reading tells them apart; leave one "
                    "out, or give their length scales"
                )

    def _check_identified(self) -> None:
        """Raise where readings leave part of the state undetermined whatever the hyperparameters."""
        values = np.array([1.0 if v is None else v for v in self.scaled_hyperparameters()])
        self.program.sums(values, np.ones(len(self.unknown) + 1))
        n_free = len(self.parameters)
        if n_free and self.nobs < self.n_diffuse + n_free:
            raise DataError(
                f"{self.nobs} readings are too few: {self.n_diffuse} fix what is entirely unknown, and {n_free} parameters are to "
                f"be estimated; {REMEDY}"
            )

    # What is read -----------------------------------------------------------------------------------------------------

    @property
    def nobs(self) -> int:
        """Number of readings."""
        return len(self.observations)

    @cached_property
    def n_diffuse(self) -> int:
        """Number of entirely unknown constants."""
        if self.period is not None:
            return 1 + len(self.effects)
        return int(self.processes.start(np.ones(len(self.hyperparameters))).diffuse.shape[1]) + len(self.effects)

    def folded(self, x: Points) -> Points:
        """Points moved by whole periods to the first; those within rounding of a place that is read at, to it."""
        if self.period is None:
            return x
        phase = self._phase_of(x)
        place = np.searchsorted(self._phases, phase - self._phase_rounding)
        nearest = self._phases[np.minimum(place, len(self._phases) - 1)]
        within = np.where(np.abs(nearest - phase) <= self._phase_rounding, nearest, phase)
        return RegressedPoints(within, None, x.regressors) if isinstance(x, RegressedPoints) else Points(within)

    def _phase_of(self, x: Points) -> FloatArray:
        """Distance of each x from the first, less whole periods."""
        assert self.period is not None
        phase = np.mod(x.minus(self._first_point.take(np.zeros(len(x.coarse), np.int64))), self.period)
        return np.asarray(np.where(phase >= self.period - self._phase_rounding, 0.0, phase))

    @cached_property
    def _phase_rounding(self) -> float:
        """What rounding of x may move a phase by."""
        return PHASE_ROUNDING * float(
            np.finfo(float).eps * (np.ptp(self.observations.places) + np.abs(self._first_point.coarse[0]))
        )

    @cached_property
    def _phases(self) -> FloatArray:
        """Distinct phases of the observations, increasing."""
        assert self.period is not None
        if self.period < MOST_ROUNDED * self._phase_rounding:
            raise DataError(
                f"period is {self.period:g}, which rounding of x hides: its numbers are right to {self._phase_rounding:.1e}; check "
                "the unit of the period, or take another origin of x"
            )
        phases = np.unique(self._phase_of(self.observations.points))
        phases = phases[np.diff(phases, prepend=-np.inf) > self._phase_rounding]
        if len(phases) < 2:
            raise DataError(
                f"all {len(self.observations)} x are whole periods of {self.period:g} apart, so that nothing tells the "
                "curve within a period; check the period and its unit, or fit a constant"
            )
        return phases

    @cached_property
    def _first_point(self) -> Points:
        points = self.observations.points
        return points.take(np.argsort(points.keys, kind="stable")[:1])

    @cached_property
    def _close(self) -> Points | None:
        """Where the first state returns."""
        return None if self.period is None else Points(np.array([0.0, self.period]))

    def process_row(self, deriv: int, component: str | None = None, name: str | None = None) -> FloatArray:
        """Row (D,) of the processes that f^(deriv), or a component of it, is; with the noise process of a name."""
        parts = []
        for label, term in zip(self.component_names, self.prior.components, strict=True):
            row = term.readout(deriv, self.scale.x_unit)
            parts.append(row if component in (None, label) else np.zeros_like(row))
        for label, term in self.noise.items():
            row = term.readout(0, self.scale.x_unit)
            parts.append(row if label == name else np.zeros_like(row))
        return np.concatenate(parts)

    @cached_property
    def component_names(self) -> tuple[str, ...]:
        """Names of the prior's components."""
        return getattr(self.prior, "names", (self.prior.label,))

    def intervention_columns(self, start: Points | None, end: Points, deriv: int, component: str | None = None) -> FloatArray:
        """What is read of each intervention: shape (n, interventions)."""
        columns = np.zeros((len(end.coarse), len(self.interventions)))
        for j, (change, label) in enumerate(zip(self.interventions, self._intervention_labels, strict=True)):
            if component not in (None, label):
                continue
            at = change.at(self.observations.abscissa)

            def beyond(x: Points, at: Points = at) -> FloatArray:
                return x.minus(at.take(np.zeros(len(x.coarse), np.int64))) / self.scale.x_unit

            if start is None:
                columns[:, j] = change.values(beyond(end), deriv)
            elif deriv == OF_INTEGRAL:
                columns[:, j] = change.integral(beyond(end)) - change.integral(beyond(start))
            else:
                columns[:, j] = change.values(beyond(end), 0) - change.values(beyond(start), 0)
        return columns

    @cached_property
    def functionals(self) -> Functionals:
        """The readings, name after name, in combinations whose noise is independent."""
        read = self.as_read
        if not self.joint:
            return read
        process, effects, y, ratio = (column.copy() for column in (read.process, read.effects, read.y, read.ratio))
        for part in self.joint:
            rows, D = part.rows, process.shape[1]
            columns = np.concatenate([process[rows], effects[rows], y[rows][..., None]], axis=2)
            white, ratio[rows] = part.whitened(self.reading_units, columns)
            process[rows], effects[rows], y[rows] = white[..., :D], white[..., D:-1], white[..., -1]
        return replace(read, process=process, effects=effects, y=y, ratio=ratio)

    @cached_property
    def as_read(self) -> Functionals:
        """The readings themselves, with the variance of each."""
        parts, first = [], 0
        for reading in self.observations.readings:
            rows = slice(first, first + len(reading))
            first += len(reading)
            parts.append(self._read(reading, rows))
        return Functionals.join(parts)

    def _read(self, reading: Readings, rows: slice) -> Functionals:
        abscissa, scale, n = self.observations.abscissa, self.scale, len(reading)
        unit = self._unit(reading, scale)
        ratio = scaled_ratio(reading, unit)
        is_span = reading.upper is not None
        start = self.folded(abscissa.points(reading.x))
        end = start if reading.upper is None else abscissa.points(reading.upper)
        origin = scale.y_origin if has_level(reading) else 0.0
        factor = np.ones(n)  # of the scaled reading
        if reading.deriv == OF_INTEGRAL:
            length = end.minus(start) / scale.x_unit
            factor = length if reading.mean else factor
            origin_of_integral = 0.0 if reading.mean else scale.y_origin / scale.y_unit * length
            y = ((reading.y - origin) / unit) * factor - origin_of_integral
        else:
            y = (reading.y - origin) / unit
        process = np.zeros((n, self.processes.dim))
        if reading.deriv != OF_INTEGRAL:
            process[:] = self.process_row(max(reading.deriv, 0), None, reading.name)
        effects = np.zeros((n, len(self.effects)))
        for j, column in enumerate(self._regressors.values()):
            effects[:, j] = column[rows] * factor * (scale.y_unit / unit)
        if self.interventions:
            effects[:, len(self._regressors) :] = self.intervention_columns(start if is_span else None, end, reading.deriv)
        kind = np.int8(VALUE if not is_span else INTEGRAL if reading.deriv == OF_INTEGRAL else DIFFERENCE)
        group = self.unknown.index(reading.name) if reading.sd is None else len(self.unknown)
        return Functionals(start, end, np.full(n, kind), process, effects, y, ratio * factor**2, np.full(n, group, np.uint8))

    def query(
        self, start: Points | None, end: Points, deriv: int, *, kind: int = VALUE, component: str | None = None
    ) -> Functionals:
        """What is asked for: f^(deriv) at `end`, or the integral of f from `start` to `end`.

        With the regressors of `end` if it has any.
        """
        n = len(end.coarse)
        process = np.zeros((n, self.processes.dim))
        if kind != INTEGRAL:
            process[:] = self.process_row(max(deriv, 0), component)
        effects = np.zeros((n, len(self.effects)))
        if isinstance(end, RegressedPoints):
            effects[:, : len(self._regressors)] = end.regressors * (self.scale.y_unit / self.scale.of(deriv))
        if self.interventions:
            effects[:, len(self._regressors) :] = self.intervention_columns(start, end, deriv, component)
        return Functionals(
            end if start is None else start,
            end,
            np.full(n, kind, np.int8),
            process,
            effects,
            np.full(n, np.nan),
            np.ones(n),
            np.zeros(n, np.uint8),
        )

    def compiled(self, functionals: Functionals) -> Program:
        """Compile functionals of this model's state."""
        readout = self.process_row(0)
        return compiled(self.processes, functionals, readout, self.effects, close=self._close)

    @cached_property
    def program(self) -> Program:
        """Of the readings."""
        return self.compiled(self.functionals)

    @cached_property
    def _constraint(self) -> Program | None:
        """Of the periodicity alone, whose density is not that of a reading."""
        if self._close is None:
            return None
        nothing = self.query(None, self._close, 0)
        return replace(self.compiled(nothing), complete=False)

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is searched: hyperparameters that are not given, then unknown variances."""
        extent = Extent.of(self)
        found = []
        for i, p in enumerate(self.hyperparameters):
            if p.value is None:
                found.append(extent.parameter(p, i, self._hyper_unit(p)))
        for g, name in enumerate(self.unknown):
            reading = self.observations[name]
            unit = self._unit(reading, self.scale)
            size = extent.size_of(reading, unit)
            log = 2 * np.log(size)
            lower, upper = log + 2 * np.log(SMALLEST_SD), log + 10.0
            stuck = is_stuck(reading.y) and len(self.observations.readings) > 1
            found.append(
                Parameter(f"sigma.{name}", g, True, unit, lower, upper, log - 9.0, log + 0.0, vanishes=False, is_stuck=stuck)
            )
        return tuple(found)

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All hyperparameters and all variances, scaled, at a theta."""
        values = np.array([np.nan if v is None else v for v in self.scaled_hyperparameters()])
        variance = np.ones(len(self.unknown) + 1)
        for log, p in zip(theta, self.parameters, strict=True):
            (variance if p.is_variance else values)[p.index] = np.exp(log)
        return values, variance

    def sums(self, values: FloatArray, variance: FloatArray, method: str, *, along: Sequence[int] = ()) -> Sums:
        """Terms of the likelihood, and derivatives by the components `along` of theta, in order.

        For "ml" log_information is what the full likelihood leaves out of the restricted one's log|K| + log|X'K^-1 X|.
        """
        program = self.program
        chosen = [self.parameters[i] for i in along]
        free = [p.index for p in chosen if not p.is_variance]
        directions = np.zeros((len(chosen), len(variance)))
        for d, p in enumerate(chosen):
            if p.is_variance:
                directions[d, p.index] = variance[p.index]
        sums = program.sums(values, variance, free, directions)
        if method == "ml":
            of_start = program.log_det_of_start(values, variance, free, directions)
            sums = sums._replace(log_information=sums.log_information + of_start)
        if self._constraint is not None:
            alone = self._constraint.sums(values, variance, free, directions)
            sums = Sums(sums.log_det - alone.log_det, sums.sse, sums.log_information, sums.n_used - alone.n_used)
        return sums

    @cached_property
    def log_det_design(self) -> float:
        """log|X'X| of the diffuse directions in the user's readings and the scaled units of the directions."""
        units = self.reading_units / np.sqrt(self._factors)
        alone = 0.0
        if self._constraint is not None:
            alone = self._constraint.without_processes(np.ones(2))
        program = self.compiled(self.as_read) if self.joint else self.program
        return program.without_processes(1 / units**2) + 2 * float(np.log(units).sum()) - alone

    @cached_property
    def _factors(self) -> FloatArray:
        """Squared factor from a scaled reading to its row: of means the squared length of the interval."""
        parts = []
        for reading in self.observations.readings:
            if reading.mean and reading.upper is not None:
                abscissa = self.observations.abscissa
                parts.append(((abscissa.points(reading.upper).minus(abscissa.points(reading.x))) / self.scale.x_unit) ** 2)
            else:
                parts.append(np.ones(len(reading)))
        return np.concatenate(parts)

    @cached_property
    def reading_units(self) -> FloatArray:
        """Unit of each reading, shape (n,)."""
        readings = self.observations.readings
        return np.repeat([self._unit(r, self.scale) for r in readings], [len(r) for r in readings])

    # Fit --------------------------------------------------------------------------------------------------------------

    def fit(self, method: str = "reml") -> Any:
        """Estimate all that is not given."""
        from .general_results import GeneralResults

        method = self._checked_method(method)
        if method == "ml" and self.period is not None:
            raise SpecificationError("method is 'ml', which periodic splines do not take; pass 'reml'")
        criterion = GeneralCriterion(self, method)
        minimum = criterion.minimum() if self.parameters else None
        theta = np.empty(0) if minimum is None else minimum.theta
        values, variance = self.split(theta)
        boundary = []
        if minimum is not None:
            for p, low, high in zip(self.parameters, minimum.at_lower, minimum.at_upper, strict=True):
                if low or high:
                    boundary.append(p.name)
                if low and p.vanishes:
                    values[p.index] = 0.0
        low = np.zeros(len(theta), np.bool_) if minimum is None else minimum.at_lower
        zero = [p.name.removeprefix("sigma.") for p, is_zero in zip(self.parameters, low, strict=True) if is_zero and p.is_variance]
        warn_of_exact_series(self.observations, zero)
        return GeneralResults(self, method, values, variance, theta, minimum, tuple(boundary))

    @property
    def is_spline(self) -> bool:
        """Whether one smoothing parameter says all: an integrated Wiener process, and one variance that is unknown, or none."""
        is_wiener = isinstance(self.prior, IntegratedWiener) and self.prior.q is None
        return is_wiener and not self.noise and len(self.unknown) in (0, len(self.observations.names)) and len(self.unknown) <= 1

    def fit_fixed(self, method: str, lam: float | None, edf: float | None) -> Any:
        """Take the smoothing from lam, the variance over q, or from the effective degrees of freedom.

        An unknown sd follows from sum (y - Lf)^2 / r = n - edf.
        """
        from .general_results import GeneralResults

        method = self._checked_method(method)
        unit = self._unit(self.observations[self.unknown[0]], self.scale) ** 2 if self.unknown else 1.0
        q_unit = self._hyper_unit(self.hyperparameters[0])
        variance = np.ones(len(self.unknown) + 1)
        q = self._intensity_of(edf) if edf is not None else unit / (check_positive(lam, "lam") * q_unit)
        boundary: tuple[str, ...] = ()
        factor = 1.0
        if self.unknown:
            mean, spread = self.program.moments(np.array([q]), variance)
            read = self.functionals
            factor = float(((read.y - mean) ** 2 / read.ratio).sum() / (self.nobs - (spread / read.ratio).sum()))
            least = float(np.finfo(float).eps) ** 2 * (float((read.y**2 / read.ratio).mean()) or 1.0)
            if factor < least:  # noise-free: any smoothing gives the same curve
                factor, boundary = least, (f"sigma.{self.unknown[0]}",)
            variance[0] = factor
        columns = {name: column * self._regressor_units[name] for name, column in self._regressors.items()}
        assert isinstance(self.prior, IntegratedWiener)
        prior = IntegratedWiener(self.prior.order, q * factor * q_unit)
        model = GeneralModel(self.observations, prior, columns, self.interventions, self.noise, self.period, self.joint)
        fixed = "lam" if lam is not None else "edf"
        return GeneralResults(model, method, np.array([q * factor]), variance, np.log(variance[:-1]), None, boundary, fixed)

    def _intensity_of(self, edf: float) -> float:
        """The scaled q, over the variance, at which the smoother matrix has a trace."""
        edf, ratio = check_positive(edf, "edf"), self.functionals.ratio

        def excess(log_q: float) -> float:
            return float((self.program.moments(np.array([np.exp(log_q)]), np.ones(len(self.unknown) + 1))[1] / ratio).sum()) - edf

        if not self.n_diffuse < edf < self.nobs:
            raise SpecificationError(
                f"edf is {edf}; it exceeds {self.n_diffuse}, what is entirely unknown, and is below {self.nobs}"
            )
        low, high = -WIDEST, WIDEST
        if excess(low) > 0 or excess(high) < 0:
            raise SpecificationError(f"edf is {edf}; these readings allow {excess(low) + edf:.6g} to {excess(high) + edf:.6g}")
        return float(np.exp(brentq(excess, low, high, xtol=1e-12)))

    @staticmethod
    def _checked_method(method: Any) -> str:
        if not isinstance(method, str) or method.lower() not in METHODS:
            raise SpecificationError(f"method is {method!r}; with a prior, regressors or integrals pass 'reml' or 'ml'")
        return method.lower()

    def __repr__(self) -> str:
        return f"SmoothingSpline(prior={self.prior!r}) of {self.nobs} readings"


def _kind(prior: Prior) -> Any:
    """What makes two priors indistinguishable; None for one that has something of its own."""
    if isinstance(prior, OrnsteinUhlenbeck):
        return ("matern", 0.5) if prior.length_scale is None else None
    nu, length = getattr(prior, "nu", None), getattr(prior, "length_scale", 1.0)
    return ("matern", nu) if nu is not None and length is None else None


def _checked_noise(noise: Mapping[str, Any] | None, observations: Observations) -> dict[str, Prior]:
    """Noise processes by name, stationary ones."""
    checked = dict(noise or {})
    for name, process in checked.items():
        if name not in observations.names:
            raise SpecificationError(f"noise is given for {name!r}; the readings are named {', '.join(observations.names)}")
        if not isinstance(process, Prior) or not process.hyperparameters:
            raise SpecificationError(f"noise[{name!r}] is {process!r}; pass a process, such as sf.priors.OrnsteinUhlenbeck()")
        ones = np.ones(len(process.hyperparameters))
        if process.start(ones).diffuse.shape[1]:
            raise SpecificationError(f"noise[{name!r}] is {process!r}, which wanders off; noise is stationary")
        if observations[name].upper is not None:
            raise SpecificationError(f"noise[{name!r}]: readings of {observations[name].label} take no noise process")
    return checked
