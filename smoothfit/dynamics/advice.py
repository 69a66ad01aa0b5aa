"""Warnings if poles are not identified, or if the residuals contradict the assumptions of a method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from .._validation import FloatArray
from ..errors import SmoothfitError
from ..results.serial import autocorrelations, ljung_box
from .centring import centred
from .diagnostics import ENOUGH_RESIDUALS, memory_inflation, noise_variance_from_lags
from .methods.base import Fitted, Problem
from .methods.noises import PROCESS_NOISE, SHORT, likeliest_noises
from .specification import derivative_name

EQUATION_NOISE = ("arx", "arimax", "difference")
BOTH_NOISES = ("kalman", "armax")  # whose residuals are innovations
PREDICTING = (
    *BOTH_NOISES,
    "whittle",
    "iv",
    "arx",
    "arimax",
)  # whose one-step prediction errors are white under their own assumption
READING_NOISE = ("integral", "weak", "fourier", "profile", "output_error")
CORRELATED = 0.3  # lag-one correlation of what should be white
INFLATED = 1.3  # variances of coefficients, by process noise
LEVEL = 0.05  # of the test that finds it; of a third of that after a fit, which absorbs some of the noise
FEWEST = 50  # residuals
LAGS = 10
DOUBTFUL = 1e-4  # p-value
ADDED = 0.02  # of the variance of both noises: what process noise adds over a step, from which a short sample shows it
WEAK = 0.1  # correlation that changes little
ROUNDING = 1e-8  # of the observations: noise that is none, but what rounding leaves after filters of high order
NEGATIVE = -0.2  # lag-one correlation that nothing but measurement noise makes
MOVING = 0.1  # lag-one correlation of the difference equation; sampled noise of order two makes some 0.2
SHARE = 0.1  # of the one-step variance that measurement noise has to make up
AT_ONCE = 1e-3  # level of the test for inputs that act at once
MANY = 20_000  # nodes that show them: the standard error of a correlation is then 0.007, beside WEAK

GROWTH = 1e-6  # over a run: what counts as growing
FASTEST_DECAY = 2.0  # over one sample, in logarithms, from which a fitted pole is flagged
SAMPLING_LIMIT = 0.95  # of the Nyquist frequency, from which a fitted pole is flagged


def doubtful_poles(problem: Problem, method: str, poles: npt.NDArray[np.complex128]) -> list[str]:
    """Sentences on poles of a fit that grow, or that are too fast for the samples to show."""
    sample, is_linear, found = problem.sample, not problem.equation.terms, []
    if (poles.real * sample.longest > GROWTH).any() and is_linear:
        worst = poles[int(np.argmax(poles.real))]
        found.append(f"the fitted equation is unstable: a pole at {worst.real:.4g} grows by e every {1 / worst.real:.4g}")
    h = sample.step
    if h is not None and (np.abs(poles.imag) * h > SAMPLING_LIMIT * np.pi).any():
        found.append(
            f"a fitted pole oscillates at the limit of what samples {h:g} apart can show (pi / {h:g}); it may be an alias: sample "
            "faster"
        )
    fastest = 1.0 if method == "difference" else FASTEST_DECAY  # 1 + a h < 0: what alternates has no decay
    if sample.decay(poles.real.min()) > fastest and is_linear:
        where = f"within one sample ({h:g})" if h is not None else "between most neighbouring samples"
        found.append(
            f"a fitted pole, {poles.real.min():.4g}, decays {where}: successive samples are nearly uncorrelated, and faster poles "
            "are not identified; sample faster, or check the order and the inputs"
        )
    return found


def advise(
    problem: Problem,
    method: str,
    fitted: Fitted,
    cov_type: str,
    innovations: FloatArray,
    with_both_noises: Callable[[], Fitted | None],
) -> str | None:
    """One sentence on why the method does not suit these observations and which one does; None if nothing speaks against it.

    `innovations` (nodes, channels) are standardised one-step prediction errors at the fit; `with_both_noises` fits the likelihood
    with process and measurement noise, None if it has no maximum.
    """
    if method in PREDICTING or method == "output_error":
        at_once = _acts_early(problem, fitted, innovations)
        if at_once:
            return at_once
    if method in EQUATION_NOISE:
        return _noisy_readings(problem, method, fitted)
    if method in READING_NOISE:
        return _noisy_equation(problem, method, fitted, with_both_noises)
    if method in BOTH_NOISES and cov_type != "HAC":  # which allows for it
        return _correlated_innovations(problem, method, fitted)
    return None


def _acts_early(problem: Problem, fitted: Fitted, innovations: FloatArray) -> str | None:
    """A warning if errors of one-step predictions move with an input at the same time, or with the row of it that follows.

    Under the model errors are independent of inputs. What is new in an input at a node, beside its values at the two nodes before,
    then has with them a correlation r of which (n - 1 - k) r^2 / (1 - r^2) is F-distributed, for k regressors that are taken out of
    both.
    """
    sample, equation = problem.sample, problem.equation
    if equation.terms or not equation.inputs or _is_exact(problem, fitted):
        return None
    nodes, run = np.arange(len(sample))[:MANY], sample.run[:MANY]
    of_run, last = nodes - sample.starts[run], sample.edges[1:][run] - 1
    for channel, column in zip(sample.channels, innovations[:MANY].T, strict=True):
        for ahead in (0, 1):
            read = np.isfinite(column) & (of_run >= 2 - ahead) & (nodes + ahead <= last)
            for i in range(len(equation.inputs)):
                if not ahead and equation.input_derivatives and equation.input_derivatives[i] == equation.order:
                    continue
                r, p = _with_news(column, sample.u, np.flatnonzero(read), i, ahead)
                if p < AT_ONCE / (2 * len(equation.inputs) * len(sample.channels)) and abs(r) > WEAK:
                    return _early(problem, channel.name, i, ahead, r)
    return None


def _is_exact(problem: Problem, fitted: Fitted) -> bool:
    """Whether the noise is no more than rounding leaves."""
    sample = problem.sample
    added = fitted.q * sample.gap ** (2 * problem.equation.noise_orders - 1)
    noise = float(fitted.sigma2.max() + added.max())
    return noise <= ROUNDING**2 * float(np.nanmean(sample.y**2))


def _with_news(errors: FloatArray, u: FloatArray, rows: npt.NDArray[np.int64], i: int, ahead: int) -> tuple[float, float]:
    """Correlation of errors at rows with what is new in input i `ahead` rows later, and its p-value."""
    if len(rows) < FEWEST:
        return 0.0, 1.0
    past = np.column_stack([np.ones(len(rows)), *(u[rows + ahead - lag] for lag in (1, 2))])
    basis, sizes, _ = np.linalg.svd(past / (np.linalg.norm(past, axis=0) + np.finfo(float).tiny), full_matrices=False)
    basis = basis[:, sizes > ROUNDING * sizes[0]]
    error, value = errors[rows], u[rows + ahead, i]
    error, new = error - basis @ (basis.T @ error), value - basis @ (basis.T @ value)
    if not new @ new > ROUNDING * (value @ value) or not error @ error > 0:
        return 0.0, 1.0  # it goes on as before, as one that is held without end
    r = float(new @ error / np.sqrt((new @ new) * (error @ error)))
    free = len(rows) - basis.shape[1] - 1
    return r, float(stats.f.sf(free * r**2 / max(1 - r**2, np.finfo(float).tiny), 1, free))


def _early(problem: Problem, series: str, i: int, ahead: int, r: float) -> str:
    """The message on errors that move with input i, with a remedy."""
    sample, equation = problem.sample, problem.equation
    name, order = equation.inputs[i], equation.order
    if ahead:
        first, last = sample.lags[0] - 1, sample.lags[-1]
        late = f"pass lags=({first}, {last if len(sample.lags) > 1 else first})"
        if sample.step is None:
            late = f"pass y[:-1], t[:-1] and {name}[1:]"
        return (
            f"the one-step prediction errors of {series} move with the next value of the input {name} (correlation {r:.2f}). "
            f"Either the times of {name} are late, or it is set in response to {series}: the coefficients are then biased. If they "
            f"are late by a row, {late}"
        )
    rates = " + ".join(derivative_name(name, j) for j in range(1, order + 1))
    remedy = f"pass input_derivatives={{{name!r}: {order}}}, or + {rates} in a formula"
    if equation.is_by_state:  # whose hidden states are on further levels
        remedy = f"pass input_derivatives={{{name!r}: {equation.visible_order}}}"
    return (
        f"the one-step prediction errors of {series} move with the input {name} at the same time (correlation {r:.2f}). In the "
        f"equation an input acts through the derivative, that is, on later observations only. Either {name} also acts at once "
        f"(direct feedthrough), or its times are late, or it is set in response to {series}: the coefficients and time constants "
        f"are then biased. If it acts at once, {remedy}"
    )


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
    centre = residual - residual.mean()
    first = float(centre[1:] @ centre[:-1] / (centre @ centre))
    if equation.order > 1 and first > max(MOVING, 3 / np.sqrt(len(residual))):
        return (
            f'method="{method}" assumes white noise in the difference equation, but neighbouring residuals are correlated '
            f"({first:.2f}), as sampled process noise of order {equation.order} makes them: "
            'the coefficients are biased; use method="kalman"'
        )
    by_attenuation = method == "difference" and sample.step is not None  # reported by its own attenuation
    if by_attenuation or first > -2 / np.sqrt(len(residual)):
        return None
    sigma2 = noise_variance_from_lags(centred(problem))
    if 2 * (sigma2 or 0.0) / variance < SHARE and first > NEGATIVE:
        return None
    size = f" (SD {np.sqrt(sigma2):.3g})" if sigma2 else ""
    return (
        f'method="{method}" assumes exact observations, but neighbouring residuals are negatively correlated ({first:.2f}), as '
        f'measurement noise{size} makes them: the coefficients are biased towards fast decay; use method="kalman"'
    )


def _noisy_equation(problem: Problem, method: str, fitted: Fitted, with_both_noises: Callable[[], Fitted | None]) -> str | None:
    poles = np.linalg.eigvals(problem.equation.matrices(fitted.theta)[0])

    for i, channel in enumerate(problem.sample.channels):
        said = _not_white(problem, method, fitted, i, poles)
        both = with_both_noises() if said else None
        at_once = None if both is None else _acts_early(problem, both, both.resid)
        if at_once:
            return at_once
        if said:
            several = len(problem.sample.channels) > 1
            return said.replace("residuals", f"residuals of {channel.name}", 1) if several else said
    return _absorbed_noise(problem, method, fitted)


def _absorbed_noise(problem: Problem, method: str, fitted: Fitted) -> str | None:
    """A warning if process noise is likely at the coefficients, in a sample so short that they absorb its correlations."""
    sample, equation = problem.sample, problem.equation
    if equation.terms or equation.hidden or equation.n_outputs > 1 or sample.step is None:
        return None
    if len(sample) > SHORT or sample.n_readings < FEWEST:
        return None
    if not sample.reads_values_only or sample.first_given is not None or (fitted.sigma2 <= ROUNDING**2 * np.nanmean(sample.y**2)):
        return None
    try:
        sigma2, q = likeliest_noises(problem, fitted.theta)
    except SmoothfitError:
        return None
    added = q * sample.step ** (2 * equation.order - 1)
    if added <= ADDED * (added + sigma2):
        return None
    return (
        f'method="{method}" assumes measurement noise only, but process noise (q = {q:.2g}) beside it is likelier: '
        f'{_what_is_wrong(fitted)}. Use method="kalman", which estimates both'
    )


def _what_is_wrong(fitted: Fitted) -> str:
    if PROCESS_NOISE in fitted.extra:
        return "coefficients have standard errors that allow for it, the curve and forecasts do not"
    return "standard errors are too small, often several times"


def _not_white(problem: Problem, method: str, fitted: Fitted, channel: int, poles: npt.NDArray[np.complex128]) -> str | None:
    sample, residual, y = problem.sample, fitted.resid[:, channel], problem.sample.y[:, channel]
    sigma2 = float(fitted.sigma2[channel])
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
            f'method="{method}" leaves residuals that alternate from one sample to the next (correlation {first:.2f}). Neither '
            "measurement noise nor the equation produces that: sample faster, or look for a defect of the observations"
        )
    if method == "profile":
        return (
            f'the residuals of method="profile" are correlated ({first:.2f} from one to the next): its standard errors include the '
            'process noise, but its coefficients are biased towards slow decay; use method="kalman"'
        )
    if problem.equation.terms:
        return (
            f'method="{method}" assumes measurement noise only, but its residuals are correlated ({first:.2f} from one to the '
            "next), as process noise or a missing term makes them. No method supports process and measurement noise with "
            "non-linear terms: treat these standard errors as lower bounds"
        )
    # The residuals do not show by how much: the fit has absorbed the slow part of the process noise.
    return (
        f'method="{method}" assumes measurement noise only, but its residuals are correlated ({first:.2f} from one to the next), '
        f'as process noise makes them: {_what_is_wrong(fitted)}. Use method="kalman", which estimates both'
    )


def _correlated_innovations(problem: Problem, method: str, fitted: Fitted) -> str | None:
    sample = problem.sample
    if _is_exact(problem, fitted):
        return None
    for channel, column in zip(sample.channels, fitted.resid.T, strict=True):
        residual = column[sample.rows][:ENOUGH_RESIDUALS]
        n = int(np.isfinite(residual).sum())
        if n < FEWEST:
            continue
        correlations = autocorrelations(residual, LAGS, sample.run[sample.rows][:ENOUGH_RESIDUALS])
        _, p = ljung_box(correlations, n)
        largest = int(np.abs(correlations).argmax())
        if p < DOUBTFUL and abs(correlations[largest]) > WEAK:
            of = f" of {channel.name}" if len(sample.channels) > 1 else ""
            return (
                f'the one-step prediction errors{of} of method="{method}" are correlated in time ({correlations[largest]:.2f} at '
                f"lag {largest + 1}, Ljung-Box p = {p:.1g}): the model misses dynamics. Try another order (compare aic), a further "
                'input, derivatives of inputs or a delay (delay="estimate"), or use cov_type="HAC"'
            )
    return None
