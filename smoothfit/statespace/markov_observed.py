"""The posterior of what the observations of a specification measure: fitted values, leverages, residuals, innovations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._validation import EPS, FloatArray
from ..markov.functionals import VALUE, Functionals
from ..observations import Observations, Readings
from ..observations.readings import OF_INTEGRAL
from ..results.influence import left_free
from ..results.misfit import Errors, even_stretches
from ..results.offsets import Offset, Stretch, offsets_of, scores_of
from ..results.protocols import Change
from .rounding import without_each
from .shapes import changes_of
from .specification import Specification

CERTAIN = 0.1  # of the precision of an observation, left in its error: the others predict it, rounding is far less
ROUNDING = 64 * EPS  # of the noise of an observation, left in the error of one that alone determines a direction


@dataclass(frozen=True, eq=False)
class ObservedPosterior:
    """The part of `MarkovPosterior` that is about the observations."""

    specification: Specification
    hyper: FloatArray
    variance: FloatArray

    @property
    def observations(self) -> Observations:
        return self.specification.observations

    def _ask(self, query: Functionals) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of functionals of the state."""
        query = replace(query, y=np.full(len(query), np.nan))
        program = self.specification.compiled(Functionals.join([self.specification.functionals, query]))
        mean, variance = program.moments(self.hyper, self.variance)
        return mean[self.specification.nobs :], variance[self.specification.nobs :]

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

    @property
    def leverage(self) -> FloatArray:
        """Diagonal (n,) of the smoother matrix."""
        return self._read[1] / self._noise_ratio

    @cached_property
    def edf(self) -> float:
        """Trace of the smoother matrix."""
        return float((self._white[1] / self.specification.functionals.noise(self.variance)).sum())

    @cached_property
    def _errors(self) -> tuple[FloatArray, FloatArray, list[Change]]:
        """Of each observation u and D as of `Program.adjoint`; D is NaN where the others do not determine what it is of.

        And level shifts, which may take a larger state, unless the record is long or the curve periodic.
        """
        program, shifts = self.specification.program, list[Change]()
        if self.specification.period is not None or len(even_stretches(self.specification.nobs)) > 1:
            adjoint = program.adjoint(self.hyper, self.variance)
        else:
            adjoint, shifts = changes_of(self.specification, self.hyper, self.variance, 1)
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
        return u, D, shifts

    @cached_property
    def _free(self) -> FloatArray:
        """1 - leverage; NaN if that is rounding."""
        return left_free(self.leverage)

    @property
    def resid_standardized(self) -> FloatArray:
        """Residuals divided by their standard deviations (n,)."""
        if self.specification.joint:
            return (self.observations.y - self.fitted) / np.sqrt(self.noise_variance * self._free)
        u, D, _ = self._errors
        return u / np.sqrt(D)

    @property
    def loo_resid(self) -> FloatArray:
        """Observations minus predictions without them (n,); the other observations at x count, with their covariance."""
        model = self.specification
        if not model.joint:
            u, D, _ = self._errors
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
            free = left_free(spread[part.rows] / precision)
            weighted = np.einsum("nij,nj->ni", inverse, (resid / units)[part.rows])
            left_out[part.rows] = weighted / (precision * free) * units[part.rows]
        return left_out

    @property
    def innovations(self) -> FloatArray:
        """Standardised one-step-ahead prediction errors (n,)."""
        return self.specification.program.innovations(self.hyper, self.variance)

    def errors(self, stretches: list[slice]) -> Errors:
        """Standardised errors of some stretches of the observations, in order of x, given all observations.

        In a long record, of several stretches, no shifts are looked for. Where normal observations represent rounded ones there are
        no errors.
        """
        if self.specification.sites is not None:
            return Errors(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), [])
        order = self.specification.program.order
        rows = np.concatenate([order[order >= 0][part] for part in stretches])
        shifts = self._errors[2] if len(stretches) == 1 else []
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
        program = self.specification.program
        programs = [program, *(program.with_column(column) for column in (columns / self._units[:, None]).T)]
        z, *found = (one.innovations(self.hyper, self.variance, of_wide=True) for one in programs)
        return scores_of(z, np.column_stack(found))

    def changes(self) -> list[Change]:
        """Estimates of level shifts and slope breaks; none of a periodic curve, which a jump up must leave again."""
        return [] if self.specification.period is not None else changes_of(self.specification, self.hyper, self.variance)[1]

    @property
    def structure_in_observations(self) -> FloatArray:
        """What regressors, interventions, noise processes and all components but the first add to each observation, (n,)."""
        read = self.specification.as_read
        process = read.process.copy()
        process[:, : self.specification.prior.components[0].dim] = 0.0
        mean, _ = self._ask(replace(read, process=process, kind=np.full(len(read), VALUE, np.int8)))
        return np.asarray(mean * self._units)
