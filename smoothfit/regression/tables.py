"""The summary of a spline regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.iolib.summary import Summary

from .._validation import EPS
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..observations import Readings
from ..results.misfit import notes_of
from ..results.summary import criteria, curve_summary, number
from .correlation import Correlation, Markov
from .fit import Fit
from .functionals import degree_of
from .noise import NoiseResults
from .precision import GOOD

METHOD_NAMES = {"sic": "SIC", "reml": "REML", "ml": "ML", "gcv": "GCV", "aicc": "AICc", "fixed": "fixed", "ols": "least squares"}
MOST_COEFFICIENTS = 30  # beyond, a table of them is useless


def regression_summary(fit: Fit, results: NoiseResults, alpha: float) -> Summary:
    """Facts, observations by name, coefficients with intervals."""
    observations: Any = fit.rows.observations
    lam = fit.lam if len(fit.lam) else None
    by = f"{fit.fixed} fixed" if fit.fixed else METHOD_NAMES[fit.method]
    if fit.loss == "quantile" and fit.method == "gcv":
        by = "GACV"
    is_full = fit.method in ("ml", "ols") or fit.loss == "quantile"
    facts = [
        ("Model:", "SplineRegression"),
        ("Basis:", f"{type(fit.basis).__name__}({_size(fit.basis)})"),
        ("Degree:", _degree(fit.basis)),
        ("Fitted by:", by),
        ("No. Observations:", str(len(observations))),
        ("Df Residuals:", number(fit.df_resid)),
        ("Effective df:", number(fit.edf)),
        ("lam:", "none" if lam is None else ", ".join(number(value) for value in np.atleast_1d(lam))),
        ("Log-likelihood:" if is_full else "Restricted log-lik.:", number(fit.llf)),
        *criteria(results),
        ("Covariance Type:", fit.cov_type),
        ("Converged:", _convergence(fit, results.boundary)),
    ]
    if fit.digits_lost > np.log10(GOOD / EPS):
        facts.append(("Digits lost:", f"{fit.digits_lost:.1f} of 15.7"))
    if fit.loss_parameter is not None:
        facts.insert(4, ("Loss:", f"{fit.loss} {fit.loss_parameter:g}"))
    readings = pd.DataFrame(
        [
            {
                "observes": observations.read_by(reading),
                "n": len(reading),
                "missing": reading.n_dropped,
                "sigma": number(sd),
                "": "estimated" if group < len(fit.rows.unknown) else "given",
            }
            for reading, sd, group in zip(fit.rows.observations.readings, results.sigma, fit.rows.group_of_name, strict=True)
        ],
        index=list(observations.names),
    )
    table = pd.DataFrame()
    n_shown = fit.n_coef if fit.basis.n_basis <= MOST_COEFFICIENTS else len(fit.rows.extras)  # the last ones
    if n_shown:
        params, bse, interval = results.params[-n_shown:], results.bse[-n_shown:], results.conf_int(alpha)[-n_shown:]
        table = pd.DataFrame(
            {
                "coef": [number(v) for v in params],
                "std err": [number(v) for v in bse],
                f"[{alpha / 2:g}": [number(v) for v in interval[0]],
                f"{1 - alpha / 2:g}]": [number(v) for v in interval[1]],
            },
            index=params.index,
        )
    return curve_summary("Spline Regression Results", facts, readings, table, _notes(fit, results))


def _size(basis: AnyBasis) -> str:
    return " x ".join(map(str, basis.shape)) if isinstance(basis, TensorProductBasis) else str(basis.n_basis)


def _degree(basis: AnyBasis) -> str:
    factors: Sequence[AnyBasis] = basis.factors if isinstance(basis, TensorProductBasis) else (basis,)
    return ", ".join(str(degree_of(factor)) for factor in factors)


def _convergence(fit: Fit, boundary: tuple[str, ...]) -> str:
    if fit.loss == "quantile":
        return "solver" if fit.fixed or not len(fit.lam) else "solver; lam on a grid"
    if fit.estimate.minimum is None and fit.correlated is None:
        return "nothing to search"
    return "at a boundary" if boundary else "yes"


def _correlation(results: NoiseResults, label: str, kind: Correlation) -> str:
    """What correlates the errors of a series."""
    if not isinstance(kind, Markov):
        return "a given covariance"
    name, estimated = f"{label} {kind.parameter}", results.error_params
    text = f"{type(kind).__name__}, {kind.parameter} = {number(float(kind.value or 0.0))}"
    return f"{text} (std err {number(estimated['bse'][name])})" if name in estimated.index else f"{text}, given"


def _notes(fit: Fit, results: NoiseResults) -> list[str]:
    notes = []
    abscissa = getattr(fit.rows.observations, "abscissa", None)  # points have none
    if abscissa is not None and abscissa.unit:
        notes.append(f"x is counted in {abscissa.unit}" + (f" from {abscissa.origin_label}" * (abscissa.kind == "datetime")))
    for name in results.boundary:
        if name == "lam" or name.startswith("lam["):
            j = int(name[4:-1]) if name != "lam" else 0
            at_zero = fit.estimate.tau[j] == 0
            what = "zero, the penalty has no part in the fit" if at_zero else "infinite, the curve is what the penalty leaves free"
            notes.append(f"boundary: {name} is {what}")
        elif name not in fit.rows.observations.names:
            notes.append(f"boundary: {name} is at the end of its range")
        else:
            notes.append(f"boundary: the noise SD of {name} is estimated as zero")
    if fit.basis.n_basis > MOST_COEFFICIENTS:
        notes.append(f"{fit.basis.n_basis} coefficients: see params, bse and conf_int()")
    for reading in fit.rows.observations.readings:
        if isinstance(reading, Readings) and reading.is_filtered:
            name, of = reading.name, reading.label
            notes.append(f"{name} responds slowly: it shows z with response_time z' + z = {of}, at first start.{name}")
    for label, row in results.sensor_params.iterrows():
        interval = f"95 % interval {number(row['ci_lower'])} to {number(row['ci_upper'])}"
        notes.append(f"{label} = {number(row['estimate'])} (std err {number(row['bse'])}, {interval})")
    for label, kind in fit.errors.items():
        notes.append(f"errors of {label}: {_correlation(results, label, kind)}")
    if fit.loss == "quantile":
        notes.append("sigma: mean check loss, no SD. Effective df: observations on the curve. Log-likelihood: asymmetric Laplace.")
        return [*notes, "Standard errors: Powell's sandwich with the bias of the penalty, at the given smoothing."]
    notes.append("sigma: noise SD (of an observation of weight 1). Standard errors: given the smoothing and the variances.")
    return [*notes, *notes_of(results.misfits)]
