"""Whether observations contradict the model of a Gaussian process.

The tests are those of ``smoothfit.results.misfit``. With L the Cholesky factor of the covariance K of the observations, U an
orthonormal basis of the columns of L^-1 H, the terms of the mean, and G = (I - U U') L^-1, so that P = G'G:

- One-step-ahead errors are the recursive residuals of the regression of L^-1 y on U, independent N(0, 1) under the model. As many
  observations as there are terms have none: those that identify the terms best, since any may come first.
- Errors of predictions from all others are (P y)_i / sqrt(P_ii).
- A level shift before x_k adds effect * s, s_i being one for values of f from x_k on and zero for others; generalised least
  squares give effect = s'P y / s'P s, of variance 1 / s'P s. It is looked for in one input.

Errors are in order of x in one input, and else in the order of the rows. Of a Matérn process in one input they are those of the
Kalman filter and its adjoint, O(n): one-step-ahead errors are its innovations, of which the first observations have none, and a
level is a component of the state that is zero until it jumps (``smoothfit.markov.program.Program.adjoint``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack, qr

from .._validation import FloatArray
from ..observations.points import PointObservations
from ..results.influence import LEAST_FREE
from ..results.misfit import AT_POINTS, FEW, FEW_STRETCHES, Errors, Misfit, Remedies, even_stretches, misfits_of
from ..results.protocols import Change
from .dense import Correlations, factor
from .kernels import Kernel
from .markov import MarkovModel, arguments
from .parameters import Values
from .points import VALUE
from .rows import RANK_TOLERANCE, Rows

LEAST_NEW = 1e-6  # of the squares of a shift: what neither f nor the mean follows; less is rounding
REMEDIES = Remedies(
    outlier="correct or leave out this observation, or give it a larger sd=",
    level_shift="in one input fit a SmoothingSpline(obs, prior=sf.priors.Matern(2.5)) with interventions=[sf.Level(x)]",
    autocorrelation="add the input that is missing (time, if rows are in its order), or another kernel",
    rounding="where x is one input, fit a SmoothingSpline to sf.observe(..., resolution={0:.4g})",
    noise_level=AT_POINTS,
)


def misfits_of_process(
    observations: PointObservations, rows: Rows, kernel: Kernel, values: Values, sds: Sequence[float]
) -> tuple[Misfit, ...]:
    """Contradictions between observations and model; a series with SD zero is not tested."""
    one_input = rows.X.shape[1] == 1
    order = np.argsort(rows.X[:, 0] if one_input else rows.order, kind="stable")
    record = [np.sort(order[stretch]) for stretch in even_stretches(len(rows), FEW, FEW_STRETCHES)]
    errors_of = _by_filter if one_input and kernel.markov_order is not None else _by_factor
    found = [errors_of(rows.take(part), kernel, values) for part in record]
    errors = Errors(
        rows.order[np.concatenate(record)],
        np.concatenate([own.one_step for own in found]),
        np.concatenate([own.deleted for own in found]),
        [_in_units(shift, rows) for own in found for shift in own.shifts],
    )
    return misfits_of(observations, sds, errors, REMEDIES)


def _in_units(shift: Change, rows: Rows) -> Change:
    """Shifts at the user's x and in the user's units."""
    x = rows.x_origin[0] + rows.x_unit[0] * shift.x
    return shift._replace(x=x, effect=shift.effect * rows.y_unit, se=shift.se * rows.y_unit)


def _by_filter(rows: Rows, kernel: Kernel, values: Values) -> Errors:
    """Standardised errors of a record of its own in one input, of a Matérn process."""
    model, (hyper, variance) = MarkovModel.of(rows, kernel), arguments(values)
    adjoint = model.with_jump.adjoint(hyper, variance)
    u, precision = adjoint.errors.T
    free = precision * rows.noise(values.sigma2) > LEAST_FREE
    deleted = u / np.sqrt(np.where(free, precision, np.nan))
    is_value = rows.axis == VALUE
    x, before = np.unique(rows.X[is_value, 0], return_index=True)
    at = np.searchsorted(np.unique(rows.X[:, 0]), x)  # nodes of values: elsewhere a shift is the same as at the next one
    information, score = (of_state[at, model.processes.dim] for of_state in (adjoint.information, adjoint.score))
    size = np.cumsum(precision[is_value][::-1])[::-1][before]
    found = np.flatnonzero((information > LEAST_NEW * size) & (x > x.min(initial=np.inf)))
    innovations = model.with_jump.innovations(hyper, variance)
    return Errors(rows.order, innovations, deleted, [Change.of("level shift", x[found], score[found], information[found])])


def _by_factor(rows: Rows, kernel: Kernel, values: Values) -> Errors:
    """Standardised errors of a record of its own, by dense algebra."""
    K = Correlations(kernel, rows, values.length).matrix() * values.amplitude**2 + np.diag(rows.noise(values.sigma2))
    G, _ = lapack.dtrtri(factor(K), lower=1)
    U, sizes, _ = np.linalg.svd(G @ rows.design, full_matrices=False)
    U = U[:, sizes > RANK_TOLERANCE * sizes.max(initial=0.0)]  # a stretch need not identify every term
    G -= U @ (U.T @ G)
    residual = G @ rows.y
    precision = np.einsum("ij,ij->j", G, G)
    free = precision * rows.noise(values.sigma2) > LEAST_FREE
    deleted = (G.T @ residual) / np.sqrt(np.where(free, precision, np.nan))
    shifts = [_shifts(rows, residual, G)] if rows.X.shape[1] == 1 else []
    return Errors(rows.order, _recursive(U, residual), deleted, shifts)


def _recursive(U: FloatArray, y: FloatArray) -> FloatArray:
    """Recursive residuals (n,) of y on the columns of U (n, p); NaN for the p rows that come first."""
    n, p = U.shape
    found = np.full(n, np.nan)
    first = qr(U.T, mode="r", pivoting=True)[1][:p]
    others = np.setdiff1d(np.arange(n), first)
    each, products = U[:, :, None] * U[:, None, :], U * y[:, None]
    before = each[first].sum(axis=0) + np.cumsum(each[others], axis=0) - each[others]
    target = products[first].sum(axis=0) + np.cumsum(products[others], axis=0) - products[others]
    both = np.linalg.solve(before, np.stack([target, U[others]], axis=-1))
    predicted, variance = (np.einsum("np,np->n", U[others], both[..., k]) for k in range(2))
    found[others] = (y[others] - predicted) / np.sqrt(1 + variance)
    return found


def _shifts(rows: Rows, residual: FloatArray, G: FloatArray) -> Change:
    """Estimated level shifts of f at every x but the first, in scaled units."""
    is_value = rows.axis == VALUE
    x = rows.X[is_value, 0]
    steps = np.cumsum(G[:, is_value][:, ::-1], axis=1)[:, ::-1]
    size = np.cumsum(np.einsum("ij,ij->j", G, G)[is_value][::-1])[::-1]
    information = np.einsum("ij,ij->j", steps, steps)
    place = np.flatnonzero((np.diff(x, prepend=x[:1]) > 0) & (information > LEAST_NEW * size))
    return Change.of("level shift", x[place], (steps.T @ residual)[place], information[place])
