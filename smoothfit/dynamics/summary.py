"""The summary of a fitted equation."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..results.summary import curve_summary, number
from .methods import METHODS
from .methods.noises import PROCESS_NOISE
from .smoothed import Smoothed
from .specification import wrapped

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

WIDTH = 100


def summarise(results: Smoothed, diagnostics: pd.Series, alpha: float) -> Summary:
    """Facts, parameters, and the equation and its noise in words, with diagnostics."""
    equation, sample = results.model.equation, results.model.sample
    unit = sample.abscissa.unit
    spacing = (sample.recorded or sample).step
    step = "irregular" if spacing is None else number(spacing)
    facts = [
        ("Model:", "DerivativeRegression"),
        ("Dep. Variable:", ", ".join(equation.left)),
        ("Method:", results.method),
        ("Covariance:", results.cov_type),
        ("Order:", str(equation.order)),
        ("Inputs between samples:", "held" if equation.intersample == "zoh" else "linear"),
        ("No. Observations:", str(results.nobs)),
        ("Runs:", str(len(sample.labels))),
        (f"Spacing{f' ({unit})' if unit else ''}:", step),
        ("Log-likelihood:", number(results.llf)),
        ("AIC:", number(results.aic)),
        ("BIC:", number(results.bic)),
    ]
    interval = results.conf_int(alpha)
    params = pd.DataFrame(
        {
            "coef": [number(v) for v in results.params],
            "std err": [number(v) for v in results.bse],
            "z": [number(v) for v in results.tvalues],
            "P>|z|": ["-" if np.isnan(v) else f"{v:.3f}" for v in results.pvalues],
            f"[{alpha / 2:g}": [number(v) for v in interval[0]],
            f"{1 - alpha / 2:g}]": [number(v) for v in interval[1]],
        },
        index=results.params.index,
    )
    for name in results.fitted.noise:
        params.loc[name, ["z", "P>|z|"]] = "-"
    notes = _notes(results, diagnostics, interval[1], alpha)
    return curve_summary("Derivative Regression Results", facts, pd.DataFrame(), params, notes)


def _notes(results: Smoothed, diagnostics: pd.Series, upper_ends: pd.Series, alpha: float) -> list[str]:
    """The equation and its noise in words, and what stands below the table."""
    model, equation, sample = results.model, results.model.equation, results.model.sample
    unit = sample.abscissa.unit
    notes = [line for words in equation.in_words(results.fitted.theta) for line in wrapped(f"Equation: {words}", WIDTH)]
    notes += wrap(f"Noise assumed: {METHODS[results.method].noise}.", WIDTH)
    notes += wrap(_allowance(results), WIDTH)
    notes += [f"Hidden states: {equation.hidden} of {equation.n_states}."] if equation.hidden else []
    notes += _behaviour(results)
    shown = [f"{name} {value + 0.0:.3g}" for name, value in diagnostics.items() if np.isfinite(value)]
    if shown:
        notes += wrap("Diagnostics: " + ", ".join(shown) + ".", WIDTH)
    names = equation.names
    fixed = [f"{names[one.place]} = {number(one.mean)}" for one in equation.known if one.sd == 0]
    intensities = zip(equation.noise_names, equation.intensities or [np.nan] * equation.n_noises, strict=True)
    fixed += [f"{name} = {number(value)}" for name, value in intensities if np.isfinite(value)]
    priors = [f"{names[one.place]} {number(one.mean)} (SD {number(one.sd)})" for one in equation.known if one.sd > 0]
    notes += wrap(f"Fixed, not estimated: {', '.join(fixed)}.", WIDTH) if fixed else []
    at_bounds = [f"{names[place]} = {number(end)}" for place, end in equation.at_bounds(results.fitted.theta).items()]
    notes += wrap(f"Estimated at a bound, without a standard error: {', '.join(at_bounds)}.", WIDTH) if at_bounds else []
    notes += wrap(f"Normal priors: {', '.join(priors)}.", WIDTH) if priors else []
    for name in results.boundary:
        what = "Process noise" if name.startswith("q") else "Measurement noise"
        upper = float(upper_ends[name])
        reaches = f"; it may be up to {number(upper)}, the end of its interval" if np.isfinite(upper) else ""
        notes += wrap(f"{what} estimated as zero ({name} = 0, a boundary): no standard error{reaches}.", WIDTH)
    if sample.delay:
        counted = "" if unit else f" The delay is in units of {sample.t_name}."
        low, high = results.delay.conf_int(alpha)
        free = f" (estimated, se {number(results.delay.se)}, interval {number(low)} to {number(high)})" if results.delay.se else ""
        notes.append(f"Inputs act {number(sample.delay)}{f' {unit}' if unit else ''} later than they are recorded{free}.{counted}")
    if sample.n_dropped:
        which = "last" if sample.lags[-1] <= 0 and not sample.delay else "first" if sample.lags[0] >= 0 else "first and last"
        notes.append(f"The {which} rows, {sample.n_dropped} in all, were left out: lags or the delay reach beyond the data.")
    if model.formula:
        notes += wrap(f"Formula: {model.formula}", WIDTH)
    if unit:
        notes.append(f"t is counted in {unit}: derivatives are per {unit}.")
    notes += [line for note in results.fitted.notes for line in wrap(note, WIDTH)]
    return notes


def _allowance(results: Smoothed) -> str:
    """What standard errors that include a process noise which the sample need not show are if there is none."""
    if PROCESS_NOISE not in results.fitted.extra or results.cov_type != results.fitted.cov_type:
        return ""
    q = number(results.fitted.extra[PROCESS_NOISE])
    return (
        f"Standard errors of coefficients include process noise of intensity {q}, its posterior mean. If there is none, they are "
        'larger than necessary; those of method="output_error" assume none.'
    )


def _behaviour(results: Smoothed) -> list[str]:
    """Poles and what follows from them, in a line or two."""
    if results.model.equation.terms:
        return []
    lines = []
    parts = []
    for pole, size, ratio in zip(results.poles(), results.natural_frequency, results.damping, strict=True):
        if pole.imag < 0:
            continue
        if pole.imag > 0:
            parts.append(f"{pole.real:.4g} +- {pole.imag:.4g}i (natural frequency {size:.4g}, damping {ratio:.3g})")
        else:
            parts.append(f"{pole.real:.4g}")
    lines += wrap("Poles: " + "; ".join(parts) + ".", WIDTH)
    constant = results.time_constant()
    if np.isfinite(constant) and constant > 0 and np.isfinite(constant.se):
        lines.append(f"Slowest time constant: {float(constant):.5g} (se {constant.se:.3g}).")
    return lines
