"""The summary of a spline regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from statsmodels.iolib.summary import Summary

from ..basis.tensor import AnyBasis, TensorProductBasis
from ..results.summary import criteria, curve_summary, number
from .correlation import Correlation, Markov
from .precision import EPS, GOOD
from .rows import degree_of

if TYPE_CHECKING:
    from .results import SplineRegressionResults

MOST_COEFFICIENTS = 30  # beyond, a table of them tells nothing


def regression_summary(results: SplineRegressionResults, alpha: float) -> Summary:
    """Facts, readings by name, coefficients with intervals."""
    from .results import METHOD_NAMES

    lam = results.lam
    by = f"{results.fixed} fixed" if results.fixed else METHOD_NAMES[results.method]
    if results.loss == "quantile" and results.method == "gcv":
        by = "GACV"
    is_full = results.method in ("ml", "ols") or results.loss == "quantile"
    facts = [
        ("Model:", "SplineRegression"),
        ("Basis:", f"{type(results.basis).__name__}({_size(results.basis)})"),
        ("Degree:", _degree(results.basis)),
        ("Fitted by:", by),
        ("No. Observations:", str(results.nobs)),
        ("Df Residuals:", number(results.df_resid)),
        ("Effective df:", number(results.edf)),
        ("lam:", "none" if lam is None else ", ".join(number(value) for value in np.atleast_1d(lam))),
        ("Log-likelihood:" if is_full else "Restricted log-lik.:", number(results.llf)),
        *criteria(results),
        ("Covariance Type:", results.cov_type),
        ("Converged:", _convergence(results)),
    ]
    if results.digits_lost > np.log10(GOOD / EPS):
        facts.append(("Digits lost:", f"{results.digits_lost:.1f} of 15.7"))
    if results.loss_parameter is not None:
        facts.insert(4, ("Loss:", f"{results.loss} {results.loss_parameter:g}"))
    readings = pd.DataFrame(
        [
            {
                "observes": results.observations.read_by(reading),
                "n": len(reading),
                "missing": reading.n_dropped,
                "sigma": number(sd),
                "": "estimated" if group < len(results._rows.unknown) else "given",
            }
            for reading, sd, group in zip(results.observations.readings, results.sigma, results._rows.group_of_name, strict=True)
        ],
        index=list(results.observations.names),
    )
    table = pd.DataFrame()
    if results.basis.n_basis <= MOST_COEFFICIENTS:
        interval = results.conf_int(alpha)
        table = pd.DataFrame(
            {
                "coef": [number(v) for v in results.params],
                "std err": [number(v) for v in results.bse],
                f"[{alpha / 2:g}": [number(v) for v in interval[0]],
                f"{1 - alpha / 2:g}]": [number(v) for v in interval[1]],
            },
            index=results.params.index,
        )
    return curve_summary("Spline Regression Results", facts, readings, table, _notes(results))


def _size(basis: AnyBasis) -> str:
    return " x ".join(map(str, basis.shape)) if isinstance(basis, TensorProductBasis) else str(basis.n_basis)


def _degree(basis: AnyBasis) -> str:
    factors: Sequence[AnyBasis] = basis.factors if isinstance(basis, TensorProductBasis) else (basis,)
    return ", ".join(str(degree_of(factor)) for factor in factors)


def _convergence(results: SplineRegressionResults) -> str:
    if results.loss == "quantile":
        return "solver" if results.fixed or results.lam is None else "solver; lam on a grid"
    if results._fit.minimum is None and results._correlated is None:
        return "nothing to search"
    return "at a boundary" if results.boundary else "yes, certified"


def _correlation(results: SplineRegressionResults, label: str, kind: Correlation) -> str:
    """What correlates the errors of a name."""
    if not isinstance(kind, Markov):
        return "a given covariance"
    name, estimated = f"{label} {kind.parameter}", results.error_params
    text = f"{type(kind).__name__}, {kind.parameter} = {number(float(kind.value or 0.0))}"
    return f"{text} (std err {number(estimated['bse'][name])})" if name in estimated.index else f"{text}, given"


def _notes(results: SplineRegressionResults) -> list[str]:
    notes = []
    abscissa = getattr(results.observations, "abscissa", None)  # points have none
    if abscissa is not None and abscissa.unit:
        notes.append(f"x is counted in {abscissa.unit}" + (f" from {abscissa.origin_label}" * (abscissa.kind == "datetime")))
    for name in results.boundary:
        if name == "lam" or name.startswith("lam["):
            j = int(name[4:-1]) if name != "lam" else 0
            at_zero = results._fit.tau[j] == 0
            what = "zero, the penalty has no part in the fit" if at_zero else "infinite, the curve is what the penalty leaves free"
            notes.append(f"boundary: {name} is {what}")
        elif name not in results.observations.names:
            notes.append(f"boundary: {name} is at the end of its range")
        else:
            notes.append(f"boundary: the noise SD of {name} is estimated as zero")
    if results.basis.n_basis > MOST_COEFFICIENTS:
        notes.append(f"{results.basis.n_basis} coefficients: see params, bse and conf_int()")
    for label, kind in results.errors.items():
        notes.append(f"errors of {label}: {_correlation(results, label, kind)}")
    if results.loss == "quantile":
        notes.append("sigma: mean check loss, no sd. Effective df: observations on the curve. Log-likelihood: asymmetric Laplace.")
        return [*notes, "Standard errors: Powell's sandwich with the bias of the penalty, at the given smoothing."]
    notes.append("sigma: noise sd at weight one. Standard errors: given the smoothing and the variances.")
    return notes
