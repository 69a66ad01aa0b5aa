"""Advice where the residuals contradict what a method assumes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .centring import centred
from .diagnostics import ENOUGH_RESIDUALS, autocorrelations, ljung_box, memory_inflation, noise_variance_from_lags
from .methods.base import Fitted, Problem

EQUATION_NOISE = ("arx", "arimax", "difference")
BOTH_NOISES = ("kalman", "armax")  # whose residuals are innovations
READING_NOISE = ("integral", "weak", "fourier", "profile", "output_error")
CORRELATED = 0.3  # lag-one correlation of what should be white
INFLATED = 1.3  # variances of coefficients, by noise within the equation
LEVEL = 0.05  # of the test that finds it; of a third of that after a fit, which takes some of the noise up
FEWEST = 50  # residuals
LAGS = 10
DOUBTFUL = 1e-4  # p-value
WEAK = 0.1  # correlation that changes little
ROUNDING = 1e-8  # of the readings: noise that is none, but what rounding leaves after filters of high order
NEGATIVE = -0.2  # lag-one correlation that nothing but noise of the readings makes
MOVING = 0.1  # lag-one correlation of the difference equation; sampled noise of order two makes some 0.2
SHARE = 0.1  # of the one-step variance that noise of the readings has to make up


def advise(problem: Problem, method: str, fitted: Fitted, cov_type: str) -> str | None:
    """One sentence on why the method does not suit these readings and which one does; None where nothing speaks against it."""
    if method in EQUATION_NOISE:
        return _noisy_readings(problem, method, fitted)
    if method in READING_NOISE:
        return _noisy_equation(problem, method, fitted)
    if method in BOTH_NOISES and cov_type != "HAC":  # which allows for it
        return _correlated_innovations(problem, method, fitted)
    return None


def _noisy_readings(problem: Problem, method: str, fitted: Fitted) -> str | None:
    sample, equation = problem.sample, problem.equation
    if equation.terms or not sample.reads_values_only or equation.n_outputs > 1:
        return None
    residual = fitted.resid[np.isfinite(fitted.resid)]
    if len(residual) < 20:
        return None
    variance = float(residual @ residual) / len(residual)
    if variance <= 1e-24 * max(float(np.nanvar(sample.y)), np.finfo(float).tiny):
        return None
    first = _lag_one(residual)
    if equation.order > 1 and first > max(MOVING, 3 / np.sqrt(len(residual))):
        return (
            f'method="{method}" takes the noise of the difference equation as white, but neighbouring residuals are correlated '
            f"({first:.2f}), as noise within an equation of order {equation.order} makes them between samples: the coefficients "
            'are biased; use method="kalman"'
        )
    told = method == "difference" and sample.step is not None  # by the attenuation that it estimates
    if told or first > -2 / np.sqrt(len(residual)):
        return None
    sigma2 = noise_variance_from_lags(centred(problem))
    if 2 * (sigma2 or 0.0) / variance < SHARE and first > NEGATIVE:
        return None
    size = f" (of sd {np.sqrt(sigma2):.3g})" if sigma2 else ""
    return (
        f'method="{method}" takes the readings as exact, but neighbouring residuals are negatively correlated ({first:.2f}), as '
        f'noise of the readings{size} makes them: the coefficients are biased towards fast decay; use method="kalman"'
    )


def _noisy_equation(problem: Problem, method: str, fitted: Fitted) -> str | None:
    poles = np.linalg.eigvals(problem.equation.matrices(fitted.theta)[0])
    for i, channel in enumerate(problem.sample.channels):
        said = _not_white(problem, method, fitted.resid[:, i], poles, float(fitted.sigma2[i]), problem.sample.y[:, i])
        if said:
            several = len(problem.sample.channels) > 1
            return said.replace("residuals", f"residuals of {channel.name}", 1) if several else said
    return None


def _not_white(
    problem: Problem, method: str, residual: FloatArray, poles: npt.NDArray[np.complex128], sigma2: float, y: FloatArray
) -> str | None:
    sample = problem.sample
    residual, y = residual[:ENOUGH_RESIDUALS], y[:ENOUGH_RESIDUALS]
    n = int(np.count_nonzero(np.isfinite(residual)))
    if n < 20:
        return None
    filled, joins = np.nan_to_num(residual, nan=0.0), sample.starts[1:]
    joins = joins[joins < len(filled)]
    first = float((filled[1:] @ filled[:-1] - filled[joins] @ filled[joins - 1]) / (filled @ filled))
    # Of an equation with terms the linear part's memory is not that of the solution.
    inflation, p = (1.0, 1.0) if problem.equation.terms else memory_inflation(residual, sample, poles)
    drifts = inflation > INFLATED and p < LEVEL
    alternates = first < -max(CORRELATED, 3 / np.sqrt(n))
    if not (drifts or alternates or first >= max(CORRELATED, 3 / np.sqrt(n))):
        return None
    if sigma2 <= ROUNDING**2 * float(np.nanmean(y**2)):
        return None
    if alternates:
        return (
            f'method="{method}" leaves residuals that alternate from one sample to the next (correlation {first:.2f}), which no '
            "noise of the readings and no equation makes of these samples: sample faster, or look for a defect of the readings"
        )
    if method == "profile":
        return (
            f'the residuals of method="profile" are correlated ({first:.2f} from one to the next): its standard errors know of the '
            'noise within the equation that this shows, but its coefficients are drawn towards slow decay; use method="kalman"'
        )
    if problem.equation.terms:
        return (
            f'method="{method}" takes the readings\' noise as the only one, but its residuals are correlated ({first:.2f} from one '
            "to the next), as noise within the equation makes them, or what the terms leave out: standard errors are too small, "
            "and no method knows both noises of an equation with terms"
        )
    size = f" by a factor of some {np.sqrt(inflation):.1f}" if drifts else ""
    return (
        f'method="{method}" takes the readings\' noise as the only one, but its residuals are correlated ({first:.2f} from '
        f"one to the next), as noise within the equation makes them: standard errors are too small{size}; use "
        f'method="kalman"'
    )


def _correlated_innovations(problem: Problem, method: str, fitted: Fitted) -> str | None:
    sample = problem.sample
    noise = float(fitted.sigma2.max() + fitted.q.max() * sample.gap ** (2 * problem.equation.order - 1))
    if noise <= ROUNDING**2 * float(np.nanmean(sample.y**2)):
        return None
    for channel, column in zip(sample.channels, fitted.resid.T, strict=True):
        residual = column[sample.rows][:ENOUGH_RESIDUALS]
        n = int(np.isfinite(residual).sum())
        if n < FEWEST:
            continue
        correlations = autocorrelations(residual, sample.run[sample.rows][:ENOUGH_RESIDUALS], LAGS)
        _, p = ljung_box(correlations, n)
        largest = int(np.abs(correlations).argmax())
        if p < DOUBTFUL and abs(correlations[largest]) > WEAK:
            of = f" of {channel.name}" if len(sample.channels) > 1 else ""
            return (
                f'the one-step prediction errors{of} of method="{method}" are correlated ({correlations[largest]:.2f} at lag '
                f"{largest + 1}, Ljung-Box p = {p:.1g}), which no noise that it assumes makes them: the order, an input or a delay "
                'does not describe these readings; compare orders by aic, look for what is left out, or use cov_type="HAC"'
            )
    return None


def _lag_one(residual: np.ndarray) -> float:
    centred = residual - residual.mean()
    return float(centred[1:] @ centred[:-1] / (centred @ centred))
