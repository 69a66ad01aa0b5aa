"""Whether observations contradict the model of a fit by least squares.

The tests are those of ``smoothfit.results.misfit``, on errors that are independent under the model: the recursive residuals, in
order of x. If a curve takes few degrees of freedom, at most a fiftieth of the observations, the standardised residuals are nearly
independent and cost nothing more. Level shifts are not looked for; a large one may show as an outlier.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._validation import FloatArray
from ..observations import Observations
from ..results.misfit import Errors, Misfit, Remedies, even_stretches, misfits_of
from ..results.offsets import Offset, Stretch, offsets_of
from .band import BandRows
from .fit import Fit
from .recursive import recursive_residuals

FEW = 50  # observations a degree of freedom, from which on residuals serve: their autocorrelations are then below 0.04
MOST_RECURSIVE = 2000  # observations, so that recursive residuals cost little beside a fit
METHODS = ("reml", "ml", "ols")
COVARIANCES = ("bayesian", "frequentist")  # the others are right of noise that varies or correlates, too
REMEDIES = Remedies(
    outlier="see outliers(); correct or leave out these observations, or fit(loss='huber')",
    autocorrelation="let the errors correlate, errors={{{0!r}: sf.AR1()}}, or give the curve another basis or penalty=",
    rounding="fit a SmoothingSpline to sf.observe(..., resolution={0:.4g})",
)


def misfits_of_fit(fit: Fit, sds: Sequence[float]) -> tuple[Misfit, ...]:
    """Contradictions between observations and model, given the noise SD of each series, zero if the curve passes through it."""
    observations = fit.rows.observations
    if not isinstance(observations, Observations) or not fit.rows.keeps_readings:
        return ()
    if fit.loss != "squares" or fit.cov_type not in COVARIANCES or fit.fixed is not None or fit.method not in METHODS:
        return ()
    is_stiff = fit.edf * FEW <= len(fit.rows)
    if not is_stiff and len(fit.rows) > MOST_RECURSIVE:
        return ()
    rows = np.concatenate([fit.order[stretch] for stretch in even_stretches(len(fit.order))])
    standardized = fit.resid_standardized
    one_step = standardized if is_stiff else recursive_residuals(fit)
    is_looked_for = len(sds) > 1 and len(rows) == len(fit.rows) and not any(fit.rows.whitenings)
    offsets = _offsets(fit) if is_looked_for else []
    return misfits_of(observations, sds, Errors(rows, one_step[rows], standardized[rows], [], offsets), REMEDIES)


def _offsets(fit: Fit) -> list[Offset]:
    """What series are off the others by, errors being independent."""
    readings = fit.rows.observations.readings
    series = np.repeat(np.arange(len(readings)), [len(reading) for reading in readings])
    variance = fit.rows.ratio * fit.sigma2[fit.rows.group]

    def pull(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        weighted = columns / variance[:, None]
        parts = zip(fit.rows.parts, np.split(weighted, np.cumsum([len(reading) for reading in readings])[:-1]), strict=True)
        seen = np.sum([part.sparse(fit.n_coef).T @ own for part, own in parts if isinstance(part, BandRows)], axis=0)
        return weighted.T @ fit.resid, columns.T @ weighted - seen.T @ fit.bayesian.times(seen)

    return offsets_of([Stretch(series, fit.fittedvalues, fit.leverage, variance, pull)], len(readings))
