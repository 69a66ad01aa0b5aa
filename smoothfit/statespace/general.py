"""Curves with any Markov prior, read through any functionals: the general form of the smoothing spline.

The likelihood is that of y = L f + X b + e with f ~ prior, b the coefficients of regressors and interventions and everything
that is diffuse in the prior's start, e the noise. With K the covariance of y but for b:

- ``reml``: -2 l_R = (n - p) log 2 pi + log|K| + log|X'K^-1 X| + r'K^-1 r,   p the number of diffuse directions,
- ``ml``:   -2 l   = n log 2 pi + log|K| + r'K^-1 r.

Both are minimised over the logarithms of the hyperparameters and of the unknown variances, from the best of many starts, with exact
scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import qmc

from .._abscissa import Points
from .._readings import OF_INTEGRAL
from .._validation import FloatArray, check_finite, check_positive, frozen, to_floats
from ..curves.optimize import Minimum, difference_hessian, minimize
from ..errors import ConvergenceError, DataError, IdentificationError, NumericalError, SpecificationError
from ..observations import OF_DIFFERENCE, Observations, Readings
from .effects import Intervention, RegressedPoints
from .joint import Joint
from .markov import LENGTH, RATIO, Hyperparameter, Prior, check_readable
from .priors import IntegratedWiener, OrnsteinUhlenbeck
from .program import DIFFERENCE, INTEGRAL, VALUE, Functionals, Processes, Program, Sums, compiled
from .rows import MOST_GROUPS, Scale, scaled_ratio

METHODS = ("reml", "ml")
CANDIDATES = 6  # powers of two of starts that are tried
WIDEST = 35.0  # logarithms of a scaled q: beyond, the curve is a polynomial or an interpolant
MANY = 4000  # readings, of twice which the search starts on a part
LEAST = 200  # readings of a name that a part keeps
NEAR = 2.0  # in a logarithm: how far from the optimum of a part that of all is looked for
REMEDY = "give more hyperparameters in the prior, or an sd"
SMALLEST_SD = 1e-8  # of the size of a name's readings; below, an sd counts as zero


@dataclass(frozen=True)
class Parameter:
    """One coordinate of the search, the logarithm of a scaled number.

    Attributes
    ----------
    name : str
    index : int
        Of the hyperparameter, or of the variance group.
    is_variance : bool
    unit : float
        Of the number (of the sd, for a variance).
    lower, upper : float
        Bounds of the logarithm.
    first, last : float
        Where starts lie.
    vanishes : bool
        Whether at the lower bound it is zero.
    """

    name: str
    index: int
    is_variance: bool
    unit: float
    lower: float
    upper: float
    first: float
    last: float
    vanishes: bool


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
        span = float((keys[-1] - keys[0]).real)
        x_unit = float(np.ldexp(1.0, int(np.frexp(span / (len(keys) - 1))[1])))
        values = [r.y for r in obs.readings if _has_level(r)]
        origin = 0.0
        if values and self.prior.level is not None:
            origin = float(min(v.min() for v in values) / 2 + max(v.max() for v in values) / 2)
        sizes = []
        for reading in obs.readings:
            y = reading.y - origin if _has_level(reading) else reading.y
            sizes.append(float(np.abs(y).max()) * x_unit ** _power(reading))
        size = max(sizes)
        scale = Scale(x_unit, float(np.ldexp(1.0, int(np.frexp(size)[1]))) if size > 0 else 1.0, origin)
        scale.check(*(self._unit(reading, scale) for reading in obs.readings))
        return scale

    @staticmethod
    def _unit(reading: Readings, scale: Scale) -> float:
        """Unit of a name's readings: a mean or a difference is one of f, an integral of f times x."""
        return scale.of(_power(reading))

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
        """Points moved by whole periods to the first."""
        if self.period is None:
            return x
        start = self._first_point
        within = np.mod(x.minus(start.take(np.zeros(len(x.coarse), np.int64))), self.period)
        return RegressedPoints(within, None, x.regressors) if isinstance(x, RegressedPoints) else Points(within)

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
        origin = scale.y_origin if _has_level(reading) else 0.0
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

    def compiled(self, functionals: Functionals, *, copies: bool = False) -> Program:
        """Compile functionals of this model's state."""
        readout = self.process_row(0)
        return compiled(self.processes, functionals, readout, self.effects, copies=copies, close=self._close)

    @cached_property
    def program(self) -> Program:
        """Of the readings."""
        return self.compiled(self.functionals)

    @cached_property
    def _program_with_copies(self) -> Program:
        return self.compiled(self.functionals, copies=True)

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
            found.append(
                Parameter(
                    f"sigma.{name}", g, True, unit, log + 2 * np.log(SMALLEST_SD), log + 10.0, log - 9.0, log + 0.0, vanishes=False
                )
            )
        return tuple(found)

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All hyperparameters and all variances, scaled, at a theta."""
        values = np.array([np.nan if v is None else v for v in self.scaled_hyperparameters()])
        variance = np.ones(len(self.unknown) + 1)
        for log, p in zip(theta, self.parameters, strict=True):
            (variance if p.is_variance else values)[p.index] = np.exp(log)
        return values, variance

    def sums(self, values: FloatArray, variance: FloatArray, method: str, *, slopes: bool = False) -> Sums:
        """Terms of the likelihood; with `slopes` derivatives by theta."""
        program = self._program_with_copies if method == "ml" else self.program
        free = [p.index for p in self.parameters if not p.is_variance]
        directions = None
        if slopes:
            directions = np.zeros((len(self.parameters), len(variance)))
            for d, p in enumerate(self.parameters):
                if p.is_variance:
                    directions[d, p.index] = variance[p.index]
        sums = program.sums(values, variance, free, directions)
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
        factor = 1.0
        if self.unknown:
            mean, spread = self.program.moments(np.array([q]), variance)
            read = self.functionals
            factor = float(((read.y - mean) ** 2 / read.ratio).sum() / (self.nobs - (spread / read.ratio).sum()))
            variance[0] = factor
        columns = {name: column * self._regressor_units[name] for name, column in self._regressors.items()}
        assert isinstance(self.prior, IntegratedWiener)
        prior = IntegratedWiener(self.prior.order, q * factor * q_unit)
        model = GeneralModel(self.observations, prior, columns, self.interventions, self.noise, self.period, self.joint)
        fixed = "lam" if lam is not None else "edf"
        return GeneralResults(model, method, np.array([q * factor]), variance, np.log(variance[:-1]), None, (), fixed)

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

    def thinned(self) -> GeneralModel | None:
        """The model of every so manieth reading, where there are many; None where there are not."""
        every = self.nobs // MANY
        if every < 2 or self.effects or self.joint or self.period is not None:
            return None
        parts = []
        for reading in self.observations.readings:
            order = np.argsort(reading.x, kind="stable")
            rows = np.sort(order[:: every if len(reading) > LEAST * every else 1])

            def part(column: Any, rows: Any = rows) -> Any:
                return None if column is None else frozen(column[rows])

            columns = {"sd": part(reading.sd), "weights": part(reading.weights), "upper": part(reading.upper)}
            parts.append(replace(reading, x=part(reading.x), y=part(reading.y), **columns))
        return GeneralModel(replace(self.observations, readings=tuple(parts)), self.prior, noise=self.noise)

    def __repr__(self) -> str:
        return f"SmoothingSpline(prior={self.prior!r}) of {self.nobs} readings"


@dataclass(frozen=True)
class Extent:
    """How long and how large the readings are, scaled: what bounds a search.

    Attributes
    ----------
    gap, spacing, range : float
        Least and mean distance of neighbouring abscissae, and of the first from the last.
    size : float
        Typical deviation of f.
    """

    gap: float
    spacing: float
    range: float
    size: float

    @classmethod
    def of(cls, model: GeneralModel) -> Extent:
        """Of the readings of a model."""
        dt = model.program.dt
        whole = float(dt[model.program.class_dt][model.program.step[1:]].sum())
        sizes = [cls.size_of(r, model._unit(r, model.scale)) for r in model.observations.readings if _has_level(r)]
        return cls(float(dt.min()), whole / max(len(model.program.step) - 1, 1), whole, max(sizes, default=0.5))

    @staticmethod
    def size_of(reading: Readings, unit: float) -> float:
        """Standard deviation of a name's readings, or their size where they are all alike."""
        y = reading.y / unit
        return float(np.std(y) or np.abs(y).max() or 1.0)

    def parameter(self, p: Hyperparameter, index: int, unit: float) -> Parameter:
        """Bounds and starts of a hyperparameter."""
        power = p.x_power
        if p.kind == RATIO:
            bounds, starts = (1e-4, 1e2), (0.01, 1.0)
            (lower, upper), (first, last) = np.log(bounds), np.log(starts)
            return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=False)
        if p.kind == LENGTH:
            bounds, starts = (self.gap / 4, 100 * self.range), (1.5 * self.spacing, self.range)
            (lower, upper), (first, last) = _powers(bounds, power), _powers(starts, power)
            return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=False)
        size = p.f_power * np.log(self.size)
        lower, upper = size + _powers((self.gap, self.range), power) + 16 * p.f_power * np.array([-1.0, 1.0])
        first, last = size + _powers((self.spacing, 3 * self.range), power) + np.array([-2.0, 0.5])
        return Parameter(p.name, index, False, unit, lower, upper, first, last, vanishes=True)


def _powers(lengths: tuple[float, float], power: int) -> FloatArray:
    """Logarithms of powers of two lengths, the lesser first."""
    return np.sort(power * np.log(lengths))


@dataclass(frozen=True, eq=False)
class GeneralCriterion:
    """-2 log-likelihood as a function of theta, to be minimised."""

    model: GeneralModel
    method: str
    unbounded = False
    exact_hessian = False

    def assemble(self, sums: Sums) -> FloatArray:
        """Value and gradient (1 + p,)."""
        total = sums.log_det + sums.sse
        if self.method == "ml":
            total = total - sums.log_information
            total[0] += self.model.nobs * np.log(2 * np.pi)
        else:
            total[0] += sums.n_used * np.log(2 * np.pi)
        return total

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p); infinite where they cannot be computed."""
        found = np.full(len(theta), np.inf)
        for i, candidate in enumerate(theta):
            try:
                found[i] = self.assemble(self.model.sums(*self.model.split(candidate), self.method))[0]
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                continue
        return found

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        total = self.assemble(self.model.sums(*self.model.split(theta), self.method, slopes=True))
        return float(total[0]), total[1:]

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian, this by differences of exact gradients."""
        value, gradient = self.gradient(theta)
        return value, gradient, difference_hessian(lambda t: self.gradient(t)[1], theta, gradient)

    def minimum(self) -> Minimum:
        """The best of many starts, certified."""
        parameters = self.model.parameters
        lower, upper = (np.array([getattr(p, name) for p in parameters]) for name in ("lower", "upper"))
        try:
            return minimize(self, self._starts(parameters), lower, upper)
        except ConvergenceError as error:
            raise ConvergenceError(f"{str(error).rsplit(';', 1)[0]}; {REMEDY}", error.value) from None

    def _starts(self, parameters: Sequence[Parameter]) -> FloatArray:
        """Points spread over the whole search; of long series, about the optimum of a part of the readings."""
        thinned = self.model.thinned()
        if thinned is not None:
            found = GeneralCriterion(thinned, self.method).minimum().theta.copy()
            for i, (theirs, mine) in enumerate(zip(thinned.parameters, parameters, strict=True)):
                found[i] += (2 if mine.is_variance else 1) * np.log(theirs.unit / mine.unit)
            return np.asarray(found + NEAR * np.linspace(-1, 1, 5)[:, None] * np.eye(len(found))[0])
        cube = qmc.Sobol(len(parameters), scramble=False).random_base2(CANDIDATES)[1:]  # whose first point is a corner
        first, last = (np.array([getattr(p, name) for p in parameters]) for name in ("first", "last"))
        return np.asarray(first + cube * (last - first))


def _has_level(reading: Readings) -> bool:
    """Whether a constant added to f is one added to the readings: values and means."""
    return reading.deriv == 0 or reading.mean


def _power(reading: Readings) -> int:
    """Order of the derivative whose unit the readings have."""
    return 0 if reading.mean or reading.deriv == OF_DIFFERENCE else reading.deriv


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
