"""Estimates of the noise from residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.signal import correlate, lfilter

from .._validation import FloatArray, check_order
from ..errors import DataError, SpecificationError
from .relation import Relation

if TYPE_CHECKING:
    import pandas as pd

    from .methods.base import Problem
    from .sample import Sample

ENOUGH_RESIDUALS = 100_000  # to test whether they are white


def noise_variance_from_lags(problem: Problem) -> float | None:
    """Variance of the measurement noise, from the last autocovariance of the equation's residuals; None if unknown.

    Instrumental variables (the difference equation's own regressors, m rows earlier) estimate the coefficients without bias from
    measurement noise. The residual is then process noise, a moving average of order m - 1, and A(L) e, one of order m whose
    last autocovariance is A_m sigma^2.
    """
    step = problem.sample.step
    if step is None:
        return None
    relation = Relation(problem.equation, step)
    m = relation.order
    rows = relation.rows(problem.sample)
    # Rows that miss an observation are left out, so that neighbours are identified by their nodes.
    same = (rows.run[m + 1 :] == rows.run[: -(m + 1)]) & (rows.node[m + 1 :] - rows.node[: -(m + 1)] == m + 1)
    if same.sum() <= 3 * relation.n_psi:
        return None
    design, target = rows.design[m + 1 :][same], rows.target[m + 1 :][same]
    instruments = np.column_stack([design[:, m:], rows.design[: -(m + 1)][same][:, :m]])
    for lag in range(1, m + 2):  # inputs of the rows before, where there are any
        if problem.equation.inputs:
            instruments = np.column_stack([instruments, rows.design[m + 1 - lag : len(rows.design) - lag][same][:, m:-1]])
    basis = np.linalg.svd(instruments / (np.linalg.norm(instruments, axis=0) + 1e-300), full_matrices=False)
    kept = basis[0][:, basis[1] > 1e-8 * basis[1][0]]
    psi = np.linalg.lstsq(kept.T @ design, kept.T @ target, rcond=None)[0]
    residual = rows.target - rows.design @ psi
    lagged = (rows.run[m:] == rows.run[:-m]) & (rows.node[m:] - rows.node[:-m] == m)
    last = -psi[m - 1]
    if last == 0 or not lagged.any():
        return None
    covariance = float((residual[m:] * residual[:-m])[lagged].mean())
    return max(0.0, float(covariance / last))


def memory_inflation(residual: FloatArray, sample: Sample, poles: npt.NDArray[Any]) -> tuple[float, float]:
    """By how much process noise inflates variances of coefficients, and the p-value of white residuals.

    Process noise reaches the residuals e through the equation's own memory g, the response of 1 / A(L), A the
    characteristic polynomial of one step. Autocorrelations r_k of e that are alike make

        |g * e|^2 / (|e|^2 |g|^2) = 1 + 2 sum_k w_k r_k,     w_k = sum_j g_j g_{j+k} / |g|^2,

    the factor of the variance of a coefficient whose regressor is autocorrelated as the solution is. For white e it has mean one
    and variance 4 sum w_k^2 / n; as a sum of squares it is chi-squared over its degrees of freedom, nearly.
    Poles that would outlast a tenth of the residuals are held there.
    """
    residual, run = residual[:ENOUGH_RESIDUALS], sample.run[:ENOUGH_RESIDUALS]
    known = np.isfinite(residual)
    n = int(known.sum())
    decays = np.minimum(poles.real * sample.gap, -10 / n)
    A = np.poly(np.exp(decays + 1j * poles.imag * sample.gap)).real
    longest = min(len(residual), int(np.ceil(-10 / decays.max())) + 1)  # where exp(-10) is left of the slowest
    g = lfilter([1.0], A, np.arange(longest) == 0)
    e = np.where(known, residual, 0.0)
    found = expected = 0.0
    for part in np.split(e, np.flatnonzero(np.diff(run)) + 1):
        found += float(np.sum(lfilter([1.0], A, part) ** 2))
        expected += float(np.cumsum(g**2)[np.minimum(np.arange(len(part)), longest - 1)].sum())
    white = float(e @ e) / n * expected * n / len(e)
    if white == 0:
        return 1.0, 1.0
    w = correlate(g, g)[longest:]
    variance = 4 * float(w @ w) / n / float(g @ g) ** 2
    if variance == 0:  # nothing is remembered
        return found / white, 1.0
    return found / white, float(stats.chi2.sf(2 / variance * found / white, 2 / variance))


def coherence(problem: Problem, name: str | None, n_tapers: int) -> pd.DataFrame:
    """Multitaper coherence of the first output and an input over the longest run (Thomson 1982)."""
    import pandas as pd
    from scipy.signal.windows import dpss

    sample, equation = problem.sample, problem.equation
    if sample.step is None or not sample.reads_values_only or not np.isfinite(sample.y).all():
        raise SpecificationError("coherence needs regular times and every observation")
    if not equation.inputs:
        raise SpecificationError("coherence is with an input, and there is none")
    chosen = equation.inputs[0] if name is None else name
    if chosen not in equation.inputs:
        raise SpecificationError(f"name is {name!r}; the inputs are {', '.join(equation.inputs)}")
    n_tapers = check_order(n_tapers, "n_tapers", 2, 50)
    s = max(sample.slices(), key=lambda s: s.stop - s.start)
    n = s.stop - s.start
    if n < 4 * n_tapers:
        raise DataError(f"{n} rows are too few for {n_tapers} tapers; pass fewer")
    tapers = dpss(n, (n_tapers + 1) / 2, n_tapers)
    ends = np.linspace(0, 1, n)

    def spectra(values: FloatArray) -> npt.NDArray[np.complex128]:
        line = np.polynomial.polynomial.polyfit(ends, values, 1)
        return np.asarray(np.fft.rfft(tapers * (values - line[0] - line[1] * ends), axis=1))

    y, u = spectra(sample.y[s, 0]), spectra(sample.u[s, equation.inputs.index(chosen)])
    cross = np.abs((y * u.conj()).sum(axis=0)) ** 2
    power = (np.abs(y) ** 2).sum(axis=0) * (np.abs(u) ** 2).sum(axis=0)
    frequency = 2 * np.pi * np.fft.rfftfreq(n, sample.step)
    level = 1 - 0.05 ** (1 / (n_tapers - 1))
    return pd.DataFrame(
        {"coherence": np.where(power > 0, cross / np.where(power > 0, power, 1.0), 0.0), "level": level},
        index=pd.Index(frequency, name="frequency"),
    ).iloc[1:]
