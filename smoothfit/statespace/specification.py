"""Curves with any Markov prior, observed through any linear functionals: the general form of the smoothing spline.

The likelihood is that of y = L f + X b + e with f ~ prior, b the coefficients of regressors and interventions and everything
that is diffuse in the prior's start, e the noise. With K the covariance of y but for b:

- ``reml``: -2 l_R = (n - p) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r,   p the number of diffuse directions,
- ``ml``:   -2 l   = n log 2 pi + log|K| + r'K^-1 r,

in the second of which the random part of a path from a diffuse start is orthogonal to the observed directions of that start, in the
metric of the rest: see `criteria`. Of a stationary curve it is the usual likelihood.

Both are minimised over the logarithms of the hyperparameters and of the unknown variances, from the best of many starts, with exact
scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._validation import FloatArray, check_positive
from ..errors import DataError, IdentificationError
from ..markov.compiler import compiled
from ..markov.functionals import DIFFERENCE, INTEGRAL, VALUE, Functionals
from ..markov.joint import Correlated, Joint, independent
from ..markov.process import Prior, check_readable
from ..markov.program import Program, Scan, Sums
from ..markov.response import with_responses
from ..markov.rows import MOST_GROUPS, Scale, scaled_ratio
from ..markov.wide import given_variance
from ..observations import Observations, Readings
from ..observations.abscissa import Points
from ..observations.readings import OF_INTEGRAL
from .checks import (
    WIDER,
    check_count,
    check_distinct,
    check_period,
    checked_interventions,
    checked_noise,
    checked_prior,
    checked_regressors,
    with_harmonics,
    with_identified_seasons,
    with_wider_starts,
)
from .effects import RegressedPoints
from .extent import (
    Extent,
    Parameter,
    Places,
    directions_of,
    has_level,
    noise_parameter,
    rounding_variance,
    scale_of,
)
from .general_search import REMEDY, UNDETERMINED
from .periodic import Phases
from .sensors import Unknown, brought_to_curve, check_sensors, responses_of, sensor_parameters, sensor_sums, unknowns_of
from .sketches import sketched
from .terms import Terms
from .varying import check_acting, checked_varying

FEWEST_KEPT, MOST_KEPT = 8, 2**18  # specifications at given scales, lags and correlations, and observations of them


class Sites(NamedTuple):
    """Scaled observations y (n,) and known variances (n,) beside those of the noise, in place of rounded observations."""

    y: FloatArray
    offset: FloatArray


class Specification(Terms):
    """What `SmoothingSpline` fits where it has a prior of its own, regressors, or observations of integrals or differences.

    Parameters are those of `SmoothingSpline`, but `joint`: what `with_covariances` makes of its covariances; `sites`: normal
    observations that represent rounded ones, see `rounding`; and `lags`: by how much less x series are of, in its numbers.
    """

    def __init__(
        self,
        observations: Observations,
        prior: Any,
        regressors: Mapping[str, Any] | None = None,
        interventions: Sequence[Any] = (),
        noise: Mapping[str, Any] | None = None,
        period: float | None = None,
        joint: Sequence[Joint | Correlated] = (),
        sites: Sites | None = None,
        scale: Scale | None = None,
        varying: Mapping[str, Any] | None = None,
        lags: Mapping[str, float] | None = None,
    ):
        self.observations = observations
        self.lags, self.scales = dict(lags or {}), dict[str, float]()
        self.unknowns = unknowns_of(observations, joint)
        self._calibrated: dict[bytes, Specification] = {}
        self._units_given = scale
        self.sites = sites
        self.prior = with_responses(with_harmonics(checked_prior(prior), observations), responses_of(observations))
        self.noise = checked_noise(noise, observations)
        self.interventions = checked_interventions(interventions, observations)
        self.period = None if period is None else check_positive(period, "period")
        self.varying = checked_varying(varying, regressors or {}, self.period)
        self.joint = tuple(joint)
        for reading in observations.readings:
            check_readable(self.prior, max(reading.deriv, 0), reading.name)
        phases = None if period is None else self.phases
        self.scale = scale_of(observations, self.prior.level is not None, phases) if scale is None else scale
        self.processes = self._processes()
        self.unknown = tuple(reading.name for reading in observations.readings if reading.sd is None)
        if len(self.unknown) + 1 > MOST_GROUPS:
            raise DataError(f"{len(self.unknown)} series have an unknown noise SD; at most {MOST_GROUPS - 1} can")
        labels = (change.label(observations.abscissa) for change in self.interventions)
        taken = ("q", *labels, *(p.name for p in self.hyperparameters))
        self._regressors, self._regressor_units = checked_regressors(regressors or {}, observations, taken)
        check_acting(self.varying, self._regressors, observations)
        self._add_biases()
        self._add_pulses()
        check_sensors(self)
        check_period(self)
        self.prior = with_identified_seasons(self.prior, lambda: self.as_read, observations.points, self.scale.x_unit)
        for label in ("as_read", "as_reported"):  # in which the states of seasons have the order of before
            self.__dict__.pop(label, None)
        self.processes = self._processes()
        check_distinct([*self.prior.components, *(self.noise.values() if len(observations.names) == 1 else ())])
        self.program  # noqa: B018  compiled now, so that a model too large is reported here
        self._check_identified()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_calibrated": {}}

    def on(self, observations: Observations) -> Specification:
        """The same of observations with other weights."""
        return self._with(observations, self.sites)

    def with_state(self, component: Prior) -> Specification:
        """A copy whose prior has one more component, without hyperparameters and unknown constants."""
        found = self.without_rows()
        found.__dict__.pop("component_names", None)
        found.prior = self.prior.with_components([*self.prior.components, component])
        found.processes = found._processes()
        return found

    def with_sites(self, sites: Sites) -> Specification:
        """The same with other normal observations in place of rounded ones."""
        return self._with(self.observations, sites)

    def with_interventions(self, added: Sequence[Any]) -> Specification:
        """The same with more interventions."""
        return self._with(self.observations, self.sites, added)

    def _with(self, observations: Observations, sites: Sites | None, added: Sequence[Any] = ()) -> Specification:
        columns = {name: self.regressor(name) for name in self.regressors}
        return Specification(
            observations,
            self.prior,
            columns,
            (*self.interventions, *added),
            self.noise,
            self.period,
            self.joint,
            sites,
            self._units_given,
            self.varying,
            self.lags,
        )

    def calibrated(self, numbers: FloatArray, variance: FloatArray) -> Specification:
        """That at given scales, lags and correlations, scaled numbers (S,) in the order of `unknowns`; the last ones are kept.

        The variances of series with a correlation determine what multiple of the noise of one is in that of the other.
        """
        joint = tuple(self._known(part, numbers, variance) if isinstance(part, Correlated) else part for part in self.joint)
        key = numbers.tobytes() + np.array([part.slope for part in joint if isinstance(part, Correlated)]).tobytes()
        if key not in self._calibrated:
            if len(self._calibrated) >= max(FEWEST_KEPT, MOST_KEPT // self.nobs):
                del self._calibrated[next(iter(self._calibrated))]
            known = dict(zip(self.unknowns, numbers.tolist(), strict=True))
            lags = {unknown.series: number * self.scale.x_unit for unknown, number in known.items() if unknown.kind == "lag"}
            later = self if not lags and joint == self.joint else self._moved(lags, joint)
            self._calibrated[key] = later.divided({u.series: number for u, number in known.items() if u.kind == "scale"})
        return self._calibrated[key]

    def _known(self, part: Correlated, numbers: FloatArray, variance: FloatArray) -> Correlated:
        """A pair of series with its correlation, if this was estimated; given ones stay as they are."""
        place = Unknown("correlation", part.label)
        if place not in self.unknowns:
            return part
        groups = [self.unknown.index(name) if name in self.unknown else len(self.unknown) for name in part.names]
        first, second = variance[groups]
        correlation = float(numbers[self.unknowns.index(place)])
        return replace(part, correlation=correlation, slope=correlation * float(np.sqrt(second / first)))

    def _moved(self, lags: dict[str, float], joint: tuple[Joint | Correlated, ...]) -> Specification:
        """A copy of which some series are of x less a lag, or correlated, and nothing else is different."""
        found = self.without_rows()
        found.__dict__.pop("phases", None)
        found.lags, found.joint = lags, joint
        return found

    def without_rows(self) -> Specification:
        """A copy that does not hold its rows: it makes them again if they are asked for."""
        found = copy(self)
        for label in ("log_det_design", "as_read", "as_reported", "functionals", "program"):
            found.__dict__.pop(label, None)
        return found

    def divided(self, scales: dict[str, float]) -> Specification:
        """A copy of observations divided by scales: its program reads other y, with other noise, and nothing else."""
        read, program = self.functionals, self.program
        found = copy(self)
        for label in ("log_det_design", "as_read", "as_reported", "_places"):
            found.__dict__.pop(label, None)
        readings = self.observations.readings
        s = np.repeat([scales.get(reading.name, 1.0) for reading in readings], [len(reading) for reading in readings])
        origin = self.observations.y / self.reading_units * np.sqrt(self.factors) - read.y
        y, ratio, process, H = (read.y + origin) / s - origin, read.ratio / s**2, read.process, program.H
        mine = program.order >= 0
        if any(name in self.noise for name in scales):  # a noise process is in the unit of its series
            process, H, D = process.copy(), H.copy(), self.processes.dim
            of_noise = slice(D - sum(term.dim for term in self.noise.values()), D)
            process[:, of_noise] /= s[:, None]
            H[mine, of_noise] /= s[program.order[mine], None]
        values = {
            "observations": brought_to_curve(self.observations, scales),
            "scales": scales,
            "unknowns": (),
            "parameters": tuple(p for p in self.parameters if p.is_variance or p.index < len(self.hyperparameters)),
            "functionals": replace(read, y=y, ratio=ratio, process=process),
            "program": replace(
                program,
                H=H,
                y=np.where(mine, y[program.order], program.y),
                ratio=np.where(mine, ratio[program.order], program.ratio),
            ),
            "_calibrated": {},
            "_units_given": self.scale,
        }
        found.__dict__.update(values)
        return found

    # Checks -----------------------------------------------------------------------------------------------------------

    def _check_identified(self) -> None:
        """Raise if observations leave part of the state undetermined, or to rounding, whatever the hyperparameters."""
        values = np.array([1.0 if v is None else v for v in self.scaled_hyperparameters()])
        ones, factors, has_digits = np.ones(len(self.unknown) + 1), iter(WIDER), True
        while not self.program.is_wide_enough(self._given, ones):
            factor = next(factors)
            has_digits = np.isfinite(factor)
            self.prior = with_wider_starts(self.prior, factor)
            self.processes = self._processes()
            del self.program
        self.program.sums(values, ones)
        if not has_digits:
            raise IdentificationError(f"rounding would change the likelihood: {UNDETERMINED}")
        check_count(self.nobs, self.n_diffuse, len(self.parameters), REMEDY)

    # What is observed -----------------------------------------------------------------------------------------------------

    @cached_property
    def n_diffuse(self) -> int:
        if self.period is not None:
            return 1 + len(self.effects)
        constant = self.processes.constant_start
        diffuse = self.processes.start(np.ones(len(self.hyperparameters))).diffuse if constant is None else constant
        return int(diffuse.shape[1]) + len(self.effects)

    @cached_property
    def phases(self) -> Phases:
        """Of a periodic curve."""
        assert self.period is not None
        return Phases(Points.join([self._points(reading, reading.x) for reading in self.observations.readings]), self.period)

    def _points(self, reading: Readings, x: Any) -> Points:
        """Where a series observes the curve that is given an x of it."""
        points = self.observations.abscissa.points(x)
        return points.before(self.lags[reading.name]) if reading.name in self.lags else points

    def folded(self, x: Points) -> Points:
        """Points of a periodic curve moved by whole periods to the first; those within rounding of an observed place, to it."""
        if self.period is None:
            return x
        within = self.phases.folded(x)
        return replace(x, coarse=within, fine=None)

    @cached_property
    def _close(self) -> Points | None:
        """Where the first state returns."""
        return None if self.period is None else Points(np.array([0.0, self.period]))

    @cached_property
    def functionals(self) -> Functionals:
        """The observations, series after series, in combinations whose noise is independent."""
        return independent(self.as_read, self.joint, self.reading_units) if self.joint else self.as_read

    @cached_property
    def as_read(self) -> Functionals:
        """The observations themselves, or what represents rounded ones, with the variance of each."""
        read = self.as_reported
        return read if self.sites is None else replace(read, y=self.sites.y, offset=self.sites.offset)

    @cached_property
    def as_reported(self) -> Functionals:
        """The observations themselves, rounding being noise."""
        parts, first = [], 0
        columns = np.column_stack([np.zeros((self.nobs, 0)), *self._regressors.values()])
        for reading in self.observations.readings:
            rows = slice(first, first + len(reading))
            first += len(reading)
            parts.append(self.read(reading, columns[rows]))
        return Functionals.join(parts)

    def read(self, reading: Readings, regressors: FloatArray) -> Functionals:
        """Observations of a series, with scaled regressors (n, k)."""
        scale, n = self.scale, len(reading)
        unit = self.unit_of(reading)
        ratio = scaled_ratio(reading, unit)
        is_span = reading.upper is not None
        start = self.folded(self._points(reading, reading.x))
        end = start if reading.upper is None else self._points(reading, reading.upper)
        origin = scale.y_origin if has_level(reading) else 0.0
        factor = np.ones(n)  # of the scaled observation
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
        self._add_regressors(regressors * factor[:, None] * (scale.y_unit / unit), process, effects)
        if self._changes:
            effects[:, len(self._constant) :] = self.intervention_columns(start if is_span else None, end, reading.deriv)
        kind = np.int8(VALUE if not is_span else INTEGRAL if reading.deriv == OF_INTEGRAL else DIFFERENCE)
        group = self.unknown.index(reading.name) if reading.sd is None else len(self.unknown)
        ratio, offset = ratio * factor**2, self.rounding_of(reading) * factor**2
        return Functionals(start, end, np.full(n, kind), process, effects, y, ratio, np.full(n, group, np.uint8), offset)

    def _add_regressors(self, acting: FloatArray, process: FloatArray, effects: FloatArray) -> None:
        """Add regressors, scaled (n, k), to rows of coefficients (n, p), and to rows of processes (n, D) if coefficients vary."""
        effects[:, : len(self._constant)] = acting[:, self._constant]
        own = zip(self.varying.values(), (list(self._regressors).index(name) for name in self.varying), strict=True)
        rows = [acting[:, [j]] * term.readout(0, self.scale.x_unit) for term, j in own]
        after = self.processes.dim - self.prior.dim - sum(row.shape[1] for row in rows)
        process += np.hstack([np.zeros((len(acting), self.prior.dim)), *rows, np.zeros((len(acting), after))])

    def rounding_of(self, reading: Readings) -> FloatArray:
        """Scaled variances of rounding (n,)."""
        return rounding_variance(reading, self.unit_of(reading))

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
            if end.has_noise:
                process[:] = self.process_row(max(deriv, 0), None, end.series)
            elif end.series is not None and component is None:
                process[:, : self.prior.dim] = self.prior.shown(end.series, max(deriv, 0), self.scale.x_unit)
            self._add_regressors(end.regressors * (self.scale.y_unit / self.scale.of(deriv)), process, effects)
        if self._changes:
            effects[:, len(self._constant) :] = self.intervention_columns(start, end, deriv, component)
        first, kinds, group = end if start is None else start, np.full(n, kind, np.int8), np.zeros(n, np.uint8)
        return Functionals(first, end, kinds, process, effects, np.full(n, np.nan), np.ones(n), group, np.zeros(n))

    def compiled(self, functionals: Functionals) -> Program:
        """Compile functionals of this model's state."""
        known = functionals.ratio[(functionals.group == len(self.unknown)) & ~np.isnan(functionals.y)]
        program = compiled(self.processes, functionals, self.process_row(0), self.effects, close=self._close)
        return replace(program, given=given_variance(known, self.processes, self._given))

    @cached_property
    def program(self) -> Program:
        """Of the observations."""
        return self.compiled(self.functionals)

    @cached_property
    def _constraint(self) -> Program | None:
        """Of the periodicity alone, whose density is not that of an observation."""
        if self._close is None:
            return None
        nothing = self.query(None, self._close, 0)
        return replace(self.compiled(nothing), complete=False, without_effects=True)

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is searched: hyperparameters that are not given, unknown variances, then scales, lags and correlations of series."""
        extent = Extent.of(self.program, ((reading, self.unit_of(reading)) for reading in self.observations.readings))
        found = []
        for i, p in enumerate(self.hyperparameters):
            if p.value is None:
                found.append(extent.parameter(p, i, self.hyper_unit(p)))
        for g, name in enumerate(self.unknown):
            found.append(noise_parameter(self.observations, name, g, self.unit_of(self.observations[name])))
        own = sensor_parameters(self.observations, self.unknowns, extent, self.scale.x_unit)
        return (*found, *(replace(p, index=len(self.hyperparameters) + j) for j, p in enumerate(own)))

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All hyperparameters, with scales, lags and correlations of series, and all variances, scaled, at thetas (..., k)."""
        numbers, places, given, shape = self.numbers(theta), self._places, self._given, theta.shape[:-1]
        values, variance = np.ones((*shape, len(given) + len(self.unknowns))), np.ones((*shape, len(self.unknown) + 1))
        values[..., : len(given)] = given
        values[..., places.of_hyper] = numbers[..., places.hyper]
        variance[..., places.of_variance] = numbers[..., places.variance]
        return values, variance

    def numbers(self, theta: FloatArray) -> FloatArray:
        """What the parameters are (..., k) at thetas (..., k)."""
        return self._places.numbers(theta)

    @cached_property
    def _places(self) -> Places:
        return Places.of(self.parameters)

    @cached_property
    def _given(self) -> FloatArray:
        """Hyperparameters, scaled; NaN where they are searched."""
        return np.array([np.nan if v is None else v for v in self.scaled_hyperparameters()])

    def sums(
        self, values: FloatArray, variance: FloatArray, method: str, *, slopes: bool = False, along: Sequence[int] | None = None
    ) -> Sums:
        """Terms of the likelihood; with `slopes` derivatives by theta, or by the components `along` of it, in order.

        For "ml" log_information is what the full likelihood leaves out of the restricted one's log|K| + log|X'K^-1 X|.
        """
        places = along if along is not None else range(len(self.parameters)) if slopes else ()
        if self.unknowns:
            return sensor_sums(self, values, variance, method, places)
        program = self.program
        free, directions = directions_of(self.parameters, variance, places)
        sums = program.sums(values, variance, free, directions)
        if method == "ml":
            of_start = program.log_det_of_start(values, variance, free, directions)
            sums = sums._replace(log_information=sums.log_information + of_start)
        if self._constraint is not None:
            alone = self._constraint.sums(values, variance, free, directions)
            sums = Sums(sums.log_det - alone.log_det, sums.sse, sums.log_information, sums.n_used - alone.n_used)
        return sums

    def log_det_at_rest(self, values: FloatArray, variance: FloatArray, along: Sequence[int]) -> FloatArray:
        """log|R| + log|X'R^-1 X|, R the covariance of the noise, X the design of all that is diffuse; and its slopes (1 + p,)."""
        return self.program.sums(values, variance, *directions_of(self.parameters, variance, along), is_still=True).log_det

    def scan(self, values: FloatArray, variance: FloatArray, along: Sequence[int] = ()) -> Scan | None:
        """Terms of the restricted likelihood of candidates, with derivatives `along` as of `sums`; None if they come one by one."""
        if self._constraint is not None or self.unknowns:
            return None
        return self.program.scan(values, variance, *directions_of(self.parameters, variance, along))

    @cached_property
    def scaling(self) -> FloatArray | None:
        """What multiplies all variances by e, as a change of theta; None if some size is given."""
        powers = [self.power_of(p) for p in self.parameters]
        return np.array(powers) / 2 if self.is_relative and powers and min(powers) >= 0 else None

    @cached_property
    def log_det_design(self) -> float:
        """log|X'X| of the diffuse directions in the user's observations and the scaled units of the directions."""
        units = self.reading_units / np.sqrt(self.factors)
        alone = 0.0
        if self._constraint is not None:
            alone = self._constraint.without_processes(np.ones(2))
        program = self.compiled(self.as_read) if self.joint else self.program
        size = float(np.ldexp(1.0, int(np.frexp(units.max())[1])))  # its square may be out of range
        relative = units / size
        n_diffuse = self.n_diffuse
        rest = program.without_processes(1 / relative**2) + 2 * float(np.log(relative).sum())
        return rest + 2 * n_diffuse * float(np.log(size)) - alone

    def sketches(self) -> list[Specification]:
        """The models of parts of the observations, if these are many."""
        if self.effects or self.varying or self.joint or self.unknowns or self.period is not None or self.sites is not None:
            return []
        return sketched(self.observations, lambda part: Specification(part, self.prior, noise=self.noise))
