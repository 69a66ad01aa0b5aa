"""The likelihood of Student-t noise, by importance sampling.

A robust fit ends with normal noise of variances s_i^2 / w_i, w_i its weights times (nu + 1) / (nu + 3), and a normal posterior of
what the observations measure that is as wide as the exact one. With draws g of it

    p(y) = p_w(y) E prod_i t(y_i | g_i) / N_w(y_i | g_i),

p_w the likelihood of the normal model. The bound that the fit maximises lies below log p(y) by more the more the curve wanders, so
that it cannot measure what a level shift explains: of a random walk with t noise of three degrees of freedom it reported a shift
in 14 % of clean samples.

J. Durbin and S. J. Koopman (1997), "Monte Carlo maximum likelihood estimation for non-Gaussian state space models".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp

from .._validation import FloatArray
from ..errors import ConvergenceError, NumericalError
from .effects import Intervention
from .robust import informative

Robust = Callable[[tuple[Intervention, ...], Mapping[str, float | None] | None], Any]  # fits, degrees of freedom estimated if None
DRAWS = 1000  # each is used with both signs
FEWEST = 10.0  # effective draws: the standard error of a log-likelihood is at most some .3
BLOCK = 10**6  # numbers that are drawn at once
SEED = 0


def log_likelihood(results: Any) -> float:
    """Restricted log-likelihood of a robust fit of a specification, what is diffuse in scaled units."""
    posterior, rng = results.fitted.posterior, np.random.default_rng(SEED)
    size = min(DRAWS, max(1, BLOCK // results.nobs))
    ratios = np.concatenate([_ratios(results, posterior.draws_of_observations(rng, size)) for _ in range(0, DRAWS, size)])
    effective = float(np.exp(2 * logsumexp(ratios) - logsumexp(2 * ratios)))
    if effective < FEWEST:
        raise NumericalError(
            f"the likelihood of Student-t noise is not determined: {effective:.1f} of {len(ratios)} draws of the curve are "
            "effective; pass interventions= to SmoothingSpline, or search a shorter part of the observations"
        )
    return float(posterior.log_likelihood("reml")) + float(logsumexp(ratios)) - float(np.log(len(ratios)))


def _ratios(results: Any, moved: FloatArray) -> FloatArray:
    """Log ratios (2 k,) of the t and the normal likelihood at draws (k, n) about the mean, and at their reflections."""
    posterior, robustness = results.fitted.posterior, results.robustness
    draws = posterior.fitted + np.concatenate([moved, -moved])
    weights, sds = informative(robustness.weights, robustness.df), {name: sd for name, sd, _ in posterior.noise_sds}
    ratios, first = np.zeros(len(draws)), 0
    for reading in results.model.observations.readings:
        mine = slice(first, first + len(reading))
        first = mine.stop
        if reading.name in robustness.df:
            sd = np.sqrt(reading.variance_ratio) * (sds[reading.name] if reading.sd is None else 1.0)
            z = (reading.y - draws[:, mine]) / sd
            ratios += _log_ratio(z, weights[reading.name], robustness.df[reading.name]).sum(axis=1)
    return ratios


def _log_ratio(z: FloatArray, weights: FloatArray, df: float) -> FloatArray:
    """Log of a t density over a normal one of variance 1 / weights."""
    of_t = gammaln((df + 1) / 2) - gammaln(df / 2) - np.log(df) / 2 - (df + 1) / 2 * np.log1p(z**2 / df)
    return np.asarray(of_t + (np.log(2) - np.log(weights) + weights * z**2) / 2)


def profiled(results: Any, name: str) -> float:
    """Restricted log-likelihood at the best size of one intervention: integrated it is (2 pi)^(1/2) SDs of that as large."""
    posterior, unit = results.fitted.posterior, results.model.specification.effect_units
    j = posterior.effect_names.index(name)
    return log_likelihood(results) - float(np.log(2 * np.pi * posterior.effects[1][j, j] / unit[j] ** 2)) / 2


def gain_of(fit: Robust, plain: Any, changes: tuple[Intervention, ...], change: Intervention, name: str) -> tuple[float, Any]:
    """Twice the difference of log-likelihoods with one intervention more, and that fit.

    A fit maximises the bound. Each likelihood is the larger one of those at its own degrees of freedom and at those of the other.
    """
    larger = fit((*changes, change), None)
    smaller, found = [log_likelihood(plain)], [profiled(larger, name)]
    if larger.robustness.df != plain.robustness.df:
        try:
            smaller.append(log_likelihood(fit(changes, larger.robustness.df)))
            found.append(profiled(fit((*changes, change), plain.robustness.df), name))
        except ConvergenceError:
            pass
    return 2 * (max(found) - max(smaller)), larger
