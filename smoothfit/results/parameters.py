"""Intervals of positive parameters from the weighted nodes of their posterior.

At node l a parameter is c_l s^k, c_l its value for a common factor s^2 of one and k the power of s with which it grows: 1 of an
SD, 2 of an intensity, 0 of a length scale. Where s^2 is estimated it is scale2_l df / chi^2_df, a scaled inverse chi-squared law,
so that

    P(parameter <= v) = sum_l w_l P(chi^2_df >= df scale2_l (c_l / v)^(2 / k)).

Where k is zero, or s^2 is known, the parameter takes the values c_l, and the normal score of the distribution function is
interpolated in log c between them, which is exact for a normal law of log c: a node represents its neighbourhood.
"""

from __future__ import annotations

import numpy as np
from scipy import special
from scipy.optimize import brentq

from .._validation import FloatArray
from ..inference.marginal import HyperparameterPosterior

TOLERANCE = 1e-10  # of a logarithm


def quantile_of_parameter(posterior: HyperparameterPosterior, values: FloatArray, power: float, p: float) -> float:
    """Quantile of a positive parameter with values (L,) at the nodes, at a common factor of one, and a power of it."""
    if power and np.isfinite(posterior.df):
        return _of_scales(posterior, values * posterior.scale2 ** (power / 2), power, p)
    return _of_nodes(posterior, values, p)


def _of_scales(posterior: HyperparameterPosterior, centres: FloatArray, power: float, p: float) -> float:
    """Of the mixture of scaled inverse chi-squared laws."""
    df, weights = posterior.df, posterior.weights
    at_zero = centres == 0
    if weights[at_zero].sum() >= p:
        return 0.0
    logs = np.log(centres[~at_zero])
    half = power / 2
    ends = half * (np.log(df) - np.log(special.chdtri(df, np.array([1 - p, p]))))  # of one law: all quantiles lie between
    lower, upper = float(logs.min() + ends.min()) - 1, float(logs.max() + ends.max()) + 1

    def excess(log_value: float) -> float:
        beyond = special.chdtrc(df, df * np.exp((logs - log_value) / half))
        return float(weights[at_zero].sum() + weights[~at_zero] @ beyond - p)

    while excess(lower) > 0:  # the weights of the smallest may not suffice
        lower -= 1
    while excess(upper) < 0:
        upper += 1
    return float(np.exp(brentq(excess, lower, upper, xtol=TOLERANCE)))


def _of_nodes(posterior: HyperparameterPosterior, values: FloatArray, p: float) -> float:
    """Of a discrete law, half the weight of each node on either side of it."""
    order = np.argsort(values, kind="stable")
    weights, values = posterior.weights[order], values[order]
    score, scores = special.ndtri(p), special.ndtri(np.cumsum(weights) - weights / 2)
    if values[0] > 0:
        return float(np.exp(np.interp(score, scores, np.log(values))))
    return float(np.interp(score, scores, values))
