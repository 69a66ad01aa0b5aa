"""The tables of a smoothing spline's summary."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ..results.misfit import NOTE_WIDTH, notes_of
from ..results.summary import criteria, number
from .estimates import Estimated
from .growing import growing
from .robust import HIGHEST_DF

if TYPE_CHECKING:
    import pandas as pd

LIGHT = 0.1  # a weight of a robust fit, below which the notes count an observation
METHOD_NAMES = {"reml": "REML", "ml": "ML", "gcv": "GCV", "aicc": "AICc"}


def facts_of(results: Estimated, model: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The model, how it was fitted, and how well it fits."""
    x_unit = results.observations.abscissa.unit or results.observations.x_name
    likelihood = "Log-likelihood" if results.method == "ml" else "Restricted log-lik."
    facts = [
        ("Model:", "SmoothingSpline"),
        *model,
        ("Smoothing by:", f"{results.fixed} fixed" if results.fixed else METHOD_NAMES[results.method]),
        ("No. Observations:", str(results.nobs)),
        ("Df Residuals:", number(results.df_resid)),
        ("Effective df:", number(results.edf)),
    ]
    if results.trend is not None:
        facts.append((f"Bandwidth ({x_unit}):", number(results.bandwidth)))
        facts.append((f"lam ({results.lam_unit.replace('x', x_unit, 1)}):", number(results.lam)))
    return [*facts, (f"{likelihood}:", number(results.llf)), *criteria(results), ("Converged:", results.convergence)]


def readings_of(results: Estimated) -> pd.DataFrame:
    """A row for each series: what it observes, how often, with which noise."""
    import pandas as pd

    bse, rows = results.bse, []
    for reading, (name, sd, estimated) in zip(results.observations.readings, results.noise_sds, strict=True):
        rows.append(
            {
                "observes": reading.label,
                "n": len(reading),
                "missing": reading.n_dropped,
                "sigma": number(sd),
                "std err": number(bse[f"sigma.{name}"]) if estimated else "given",
            }
        )
    return pd.DataFrame(rows, index=list(results.observations.names))


def parameters_of(results: Estimated, alpha: float) -> pd.DataFrame:
    """Estimates with standard errors and intervals; coefficients with their statistics."""
    import pandas as pd

    params, bse, interval = results.params, results.bse, results.conf_int(alpha)
    columns = {"estimate": [number(v) for v in params], "std err": [number(v) for v in bse]}
    n_coefficients = len(results.effect_names)
    if n_coefficients:
        with np.errstate(invalid="ignore", divide="ignore"):
            statistic = params.to_numpy() / bse.to_numpy()
        first = len(params) - n_coefficients
        columns["t" if results.use_t else "z"] = ["" if i < first else number(v) for i, v in enumerate(statistic)]
    columns[f"[{alpha / 2:g}"] = [number(v) for v in interval[0]]
    columns[f"{1 - alpha / 2:g}]"] = [number(v) for v in interval[1]]
    return pd.DataFrame(columns, index=params.index)


def notes_of_fit(results: Estimated) -> list[str]:
    """The notes below the tables: what was assumed, given or selected, and what contradicts it."""
    notes = [*results.fitted.posterior.notes(results.boundary), *notes_of(results.misfits)]
    if results.fitted.selection is not None:
        notes += textwrap.wrap(results.fitted.selection.note, NOTE_WIDTH, subsequent_indent="  ")
    notes += [
        f"noise of {name}: SD = sigma |m|^{power:g}, m what it observes, at the smoothed curve; likelihood given these SDs"
        for name, power in growing(results.observations).items()
    ]
    if results.robustness is not None:
        dfs = results.robustness.df.items()
        said = ", ".join(f"{name} {df:.3g}" if df < HIGHEST_DF else f"{name} normal (at the upper limit)" for name, df in dfs)
        light = int((results.robust_weights < LIGHT).sum())
        notes.append(f"Student-t noise, df: {said}; {light} observations have weights below {LIGHT:g}. sigma is its scale, and the")
        notes.append("likelihood that of normal noise with these weights.")
    notes.append("sigma: noise SD (of an observation of weight 1). Intervals: pointwise, Bayesian (credible).")
    return notes
