"""The summary of a Gaussian-process regression."""

from __future__ import annotations

import numpy as np
import pandas as pd
from statsmodels.iolib.summary import Summary

from ..results.misfit import notes_of
from ..results.mixtures import critical_value
from ..results.summary import curve_summary, number
from .estimates import Hyperparameters

ROUTE_NAMES = {"dense": "dense", "state_space": "state space"}


def process_summary(results: Hyperparameters, alpha: float, convergence: str, on_plateau: bool) -> Summary:
    """Facts, observations by name, hyperparameters and coefficients of the mean with intervals."""
    model = results.model
    facts = [
        ("Model:", "GaussianProcess"),
        ("Kernel:", model.kernel.label),
        ("Mean:", model.mean),
        ("Inputs:", str(len(model.inputs))),
        ("No. Observations:", str(results.nobs)),
        ("Route:", ROUTE_NAMES[results.route]),
        ("Restricted log-lik.:" if model.rows.n_terms else "Log-likelihood:", number(results.llf)),
        ("AIC:", number(results.aic)),
        ("BIC:", number(results.bic)),
        ("Converged:", convergence),
    ]
    bse, interval = results.bse, results.conf_int(alpha)
    readings = pd.DataFrame(
        [
            {
                "observes": results.observations.read_by(reading),
                "n": len(reading),
                "missing": reading.n_dropped,
                "sigma": number(results.sigma[reading.name]),
                "std err": number(bse[f"sigma.{reading.name}"]) if reading.sd is None else "given",
            }
            for reading in results.observations.readings
        ],
        index=list(results.observations.names),
    )
    lines: dict[str, list[str]] = {}
    columns = ["estimate", "std err", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]", "se(log)"]
    for name in results.params.index:
        cells = [results.params[name], bse[name], interval.loc[name, 0], interval.loc[name, 1], results.bse_log[name]]
        lines[name] = [number(cell) for cell in cells]
    for name, value in _given(results).items():
        lines[name] = [number(value), "given", "", "", ""]
    half = critical_value(alpha, results.df_interval)
    if len(results.mean_coef):
        variances = np.diag(results.cov_mean_coef())
        for name, value, variance in zip(results.mean_coef.index, results.mean_coef, variances, strict=True):
            se = float(np.sqrt(variance))
            lines[f"mean.{name}"] = [*(number(v) for v in (value, se, value - half * se, value + half * se)), ""]
    params = pd.DataFrame.from_dict(lines, orient="index", columns=columns)
    return curve_summary(
        "Gaussian Process Results", facts, readings, params, [*_notes(results.boundary, on_plateau), *notes_of(results.misfits)]
    )


def _given(results: Hyperparameters) -> dict[str, float]:
    """Hyperparameters that were given."""
    parameters, given = results.model.parameters, {}
    if parameters.amplitude is not None:
        given["amplitude"] = results.amplitude
    for name, known, value in zip(results.model.inputs, parameters.length, results.length_scale, strict=True):
        if known is not None:
            given[f"length_scale.{name}"] = float(value)
    return given


def _notes(boundary: tuple[str, ...], on_plateau: bool) -> list[str]:
    notes = []
    for name in boundary:
        if name == "amplitude":
            notes.append("boundary: the amplitude is indistinguishable from zero, the observations are the mean and noise")
        elif name.startswith("sigma"):
            notes.append(f"boundary: {name} at its lower limit, 2^-17 of the prior SD: exact observations or unbounded amplitude")
        else:
            notes.append(f"boundary: {name} is as long or as short as is searched")
    if on_plateau:
        notes.append("plateau: the likelihood hardly changes along a combination of hyperparameters")
    notes.append("std err: observed information of the logarithms, delta method. Intervals: pointwise, Bayesian (credible).")
    return notes
