"""Whether observations contradict the model of a fit by least squares.

The tests are those of ``smoothfit.results.misfit``, on the recursive residuals, in order of x, which are independent under the
model. A level shift before observation k adds effect * s_i to the whitened rows i >= k: s is 1 / SD for a value or a mean, the
length over the SD for an integral, and zero for derivatives and differences. With the residuals r and the smoother H = U'U,

    effect = s'r / s'(I - H)s,    Var(effect) = 1 / s'(I - H)s

are generalised least squares given everything else (Harvey and Koopman's auxiliary residuals). Correlated errors spread a shift
over all rows, and slow instruments over those that follow; it is then not looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._validation import FloatArray, IntArray
from ..observations import OF_DIFFERENCE, Observations
from ..observations.abscissa import Abscissa
from ..observations.points import PointObservations
from ..results.influence import left_free
from ..results.misfit import AT_POINTS, FEW, FEW_STRETCHES, Errors, Misfit, Remedies, even_stretches, misfits_of
from ..results.offsets import Offset, Stretch, offsets_of
from ..results.protocols import Change
from .band import BandRows, solve_transposed
from .fit import Fit
from .recursive import DEPENDENT, Record, free_of, record_of, recursive

MOST_OPERATIONS = 50_000_000  # from which on a fit is not tested
LEAST_NEW = 1e-6  # of the squares of a shift: what the curve does not follow; less is rounding
METHODS = ("reml", "ml", "ols")
COVARIANCES = ("bayesian", "frequentist")  # the others are right of noise that varies or correlates, too
REMEDIES = Remedies(
    outlier="see outliers(); correct or leave out these observations, or fit(loss='huber')",
    level_shift="see outliers(); repeat the knot at x degree + 1 times, or fit a SmoothingSpline with interventions=[sf.Level(x)]",
    autocorrelation="let the errors correlate, errors={{{0!r}: sf.AR1()}}, or give the curve another basis or penalty=",
    rounding="fit a SmoothingSpline to sf.observe(..., resolution={0:.4g})",
)
OF_SURFACES = Remedies(
    outlier="correct or leave out this observation, or fit(loss='huber')",
    level_shift="",  # not looked for
    autocorrelation="add the input that is missing (time, if rows are in its order), or give the surface another basis or penalty=",
    rounding="give an sd= of half a step, {0:.4g} / 2: the largest rounding error",
    noise_level=AT_POINTS,
)


def misfits_of_fit(fit: Fit, boundary: Sequence[str]) -> tuple[Misfit, ...]:
    """Contradictions between observations and model; `boundary` names the series through which the curve passes."""
    observations = fit.rows.observations
    if not isinstance(observations, (Observations, PointObservations)) or not fit.rows.keeps_readings:
        return ()
    if fit.loss != "squares" or fit.cov_type not in COVARIANCES or fit.fixed is not None or fit.method not in METHODS:
        return ()
    errors = _errors(fit, even_stretches(len(observations), FEW, FEW_STRETCHES))
    if errors is None:
        return ()
    along_x = isinstance(observations, Observations)
    if along_x and len(observations.readings) > 1 and len(errors.rows) == len(fit.rows) and not any(fit.rows.whitenings):
        errors = errors._replace(offsets=_offsets(fit))
    sds = fit.sds(fit.estimate.log_sigma2).tolist()
    sds = [0.0 if name in boundary else sd for name, sd in zip(observations.names, sds, strict=True)]
    return misfits_of(observations, sds, errors, REMEDIES if along_x else OF_SURFACES)


def _offsets(fit: Fit) -> list[Offset]:
    """What series are off the others by, errors being independent."""
    observations = fit.rows.along_x
    readings = observations.readings
    variance = fit.rows.ratio * fit.sigma2[fit.rows.group]

    def pull(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        weighted = columns / variance[:, None]
        parts = zip(fit.rows.parts, np.split(weighted, np.cumsum([len(reading) for reading in readings])[:-1]), strict=True)
        seen = np.sum([part.sparse(fit.n_coef).T @ own for part, own in parts if isinstance(part, BandRows)], axis=0)
        return weighted.T @ fit.resid, columns.T @ weighted - seen.T @ fit.bayesian.times(seen)

    return offsets_of([Stretch(observations.series, fit.fittedvalues, fit.leverage, variance, pull)], len(readings))


def level_shifts(fit: Fit) -> list[Change]:
    """Estimated level shifts of a whole record; none if they are not looked for."""
    errors = _errors(fit, [slice(0, len(fit.rows))])
    return [] if errors is None else errors.shifts


def _errors(fit: Fit, stretches: list[slice]) -> Errors | None:
    """Standardised errors of stretches of the observations, each its own record; None if that takes too long or nothing varies."""
    if not fit.n_moving:
        return None
    order = fit.order  # of surfaces that of the rows
    rows = np.concatenate([order[stretch] for stretch in stretches])
    record = record_of(fit, rows)
    if len(rows) * fit.n_moving * record.width > MOST_OPERATIONS:
        return None
    free, steps = free_of(fit, record.prior), _Steps.of(fit, rows)
    ends = np.cumsum([0, *(stretch.stop - stretch.start for stretch in stretches)])
    one_step, deleted, shifts = [], [], []
    for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        own, its_free = record.stretch(start, stop, free)
        errors, R, z = recursive(own, its_free)
        seen = _seen(own, R)
        residual, leverage = own.residual - z @ seen, np.einsum("dm,dm->m", seen, seen)
        one_step.append(errors)
        deleted.append(residual / np.sqrt(left_free(leverage)))
        if steps is not None:
            shifts.append(steps.estimated(slice(start, stop), residual, seen))
    return Errors(rows, np.concatenate(one_step), np.concatenate(deleted), shifts)


def _seen(record: Record, R: FloatArray) -> FloatArray:
    """U (d, m) of a record and its factor R, zero in coefficients that its observations do not determine."""
    dense, prior = record.rows.dense(len(R)), record.prior.dense(len(R))
    sizes = np.sqrt(np.einsum("nd,nd->d", dense, dense) + np.einsum("nd,nd->d", prior, prior))
    unknown = np.abs(R[:, 0]) <= DEPENDENT * sizes
    if unknown.any():
        R = R.copy()
        R[unknown] = 0.0
        R[unknown, 0] = 1.0
    seen = solve_transposed(R, dense.T)
    seen[unknown] = 0.0
    return seen


class _Steps(NamedTuple):
    """What a shift by one adds to whitened observations, with their x and upper limits, all (m,) in order of x."""

    abscissa: Abscissa
    x: FloatArray
    upper: FloatArray
    effect: FloatArray

    @classmethod
    def of(cls, fit: Fit, rows: IntArray) -> _Steps | None:
        """Of the observations `rows`; None if their errors correlate, an instrument is slow, or they are of a surface."""
        if any(white is not None for white in fit.rows.whitenings) or not isinstance(fit.rows.observations, Observations):
            return None
        if any(reading.is_filtered for reading in fit.rows.observations.readings):
            return None
        observations, upper, effect = fit.rows.along_x, list[FloatArray](), list[FloatArray]()
        abscissa = observations.abscissa
        for own in observations.readings:
            limits = [abscissa.to_numbers(x) for x in own.limits]
            is_integral = own.upper is not None and own.deriv != OF_DIFFERENCE and not own.mean
            upper.append(limits[-1])
            effect.append(limits[1] - limits[0] if is_integral else np.full(len(own), float(own.deriv == 0 or own.mean)))
        sd = np.sqrt(fit.rows.ratio[rows] * fit.sigma2[fit.rows.group[rows]])
        return cls(abscissa, observations.x[rows], np.concatenate(upper)[rows], np.concatenate(effect)[rows] / sd)

    def estimated(self, part: slice, residual: FloatArray, seen: FloatArray) -> Change:
        """Estimated shifts of f at every x of a stretch but its first, unless an interval contains it."""
        x, effect = self.x[part], self.effect[part]
        score = np.cumsum((effect * residual)[::-1])[::-1]
        size = np.cumsum((effect**2)[::-1])[::-1]
        followed = np.cumsum((seen * effect)[:, ::-1], axis=1)[:, ::-1]
        information = size - np.einsum("dm,dm->m", followed, followed)
        is_between = (np.diff(x) > 0) & (np.maximum.accumulate(self.upper[part])[:-1] <= x[1:])
        place = np.flatnonzero(np.append(False, is_between) & (information > LEAST_NEW * size))
        return Change.of("level shift", self.abscissa.restore(x[place]), score[place], information[place])
