"""Rounded observations: by the variance of rounding where steps are small, by the likelihood of intervals where they are not.

An instrument reports z = L f + e, e normal of variance s^2, as the nearest multiple of its step h. The likelihood of a report y is

    P(y - h/2 < z < y + h/2 | f) = Phi((y + h/2 - L f) / s) - Phi((y - h/2 - L f) / s).

Fine steps. For h <= s the rounding error has, to a relative exp(-2 pi^2 s^2 / h^2) < 3e-9, the moments of one that is uniform and
independent of z (Widrow & Kollar 2008): y is a normal observation with a known variance h^2 / 12 beside s^2.

Coarse steps. Expectation propagation (Minka 2001) puts a normal observation y*, of a variance r beside s^2, in place of each
report: its *site*. Without its own site the prediction of z has a mean m and a variance t^2. Sites are right where each leaves the
mean and variance of L f that the likelihood of its interval does: with M and V the mean and variance of a standard normal between
(y - h/2 - m) / t and (y + h/2 - m) / t,

    r = t^2 V / (1 - V),        y* = m + t M / (1 - V).

Estimates. The probability of a report given the others, P(y - h/2 < z < y + h/2) under z ~ N(m, t^2), depends on s^2 through t^2
alone: its derivative by t^2 is half the second one by m. Matched moments match both derivatives of its logarithm by m. The score
of the evidence, by s^2 as by the hyperparameters of the prior, is therefore that of the normal observations at fixed y* and r. A
fit of these and the sites at its estimates take turns, until a further fit can gain nothing. Posteriors, and the integration over
the parameters, are those of the normal observations.

Limits. If all reports are one value, the posterior of a constant without noise is uniform within their interval, with the SD
h / sqrt(12) = 0.29 h. The normal approximation is narrower: 0.20 h for 150 reports.

- T. P. Minka (2001), "Expectation propagation for approximate Bayesian inference".
- B. Widrow and I. Kollar (2008), *Quantization Noise*.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from .._validation import FloatArray
from ..errors import ConvergenceError
from .estimation import Optimum, estimate
from .general_search import GeneralCriterion
from .specification import Sites, Specification

MOST_TURNS, MOST_SWEEPS = 200, 1000
PATIENCE = 12  # sweeps that are to halve the change, or sites move half as far: many reports of one value overshoot together
NEGLIGIBLE = 1e-7  # gain of -2 log-likelihood by a further fit
SAME = 1e-7  # change of sites, in SDs of predictions and as a fraction of their variances
LEAST_START = 0.25  # SD, in steps, from which a search begins
LEAST_INFORMATION = 1e-8  # 1 - V: a report with less information on what is predicted counts as if it had so much
NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
DECAY = 80.0  # twice the logarithm by which a density falls where it no longer counts
WIDE = 2.0  # of an interval in SDs, from which on 1 - V is taken from the density at its ends


def estimate_rounded(specification: Specification, method: str) -> tuple[Specification, Optimum]:
    """Estimate what is unknown from rounded observations; with the specification by whose sites it was estimated."""
    optimum = estimate(specification, method)
    plain = specification.as_read
    if (12 * plain.offset <= plain.ratio * optimum.variance[plain.group]).all():
        return specification, optimum
    sites, theta, gain = Sites(plain.y, plain.offset), _start(specification, optimum), np.inf
    for _ in range(MOST_TURNS):
        sites = sites_at(specification, *specification.split(theta), sites)
        approximate = specification.with_sites(sites)
        before = GeneralCriterion(approximate, method).values(theta[None])[0]
        try:
            optimum = estimate(approximate, method, None, theta)
        except ConvergenceError:  # the path from there was no valley of this likelihood
            optimum = estimate(approximate, method)
        if optimum.minimum is None:
            return approximate, optimum
        theta, gain = optimum.theta, float(before - optimum.minimum.value)
        if gain < NEGLIGIBLE:
            return approximate, optimum
    raise ConvergenceError(
        f"the likelihood of rounded observations still grows by {gain:.1e} after {MOST_TURNS} turns; give sd=, or "
        "hyperparameters of the prior",
        gain,
    )


def _start(specification: Specification, optimum: Optimum) -> FloatArray:
    """The theta of an optimum, sds being at least a quarter of the step: at a lesser one the likelihood may be flat."""
    theta, plain = optimum.theta.copy(), specification.as_read
    for i, p in enumerate(specification.parameters):
        mine = plain.group == p.index
        if p.is_variance and plain.offset[mine].any():
            theta[i] = max(theta[i], float(np.log(12 * np.mean(plain.offset[mine]) * LEAST_START**2)))
    return theta


def sites_at(specification: Specification, hyper: FloatArray, variance: FloatArray, sites: Sites) -> Sites:
    """The sites of expectation propagation at given hyperparameters and variances; sweeps begin at others."""
    plain, program = specification.as_read, specification.program
    rounded = np.flatnonzero(_is_predicted(specification, hyper, variance) & (plain.offset > 0))
    middle, half = plain.y[rounded], np.sqrt(3 * plain.offset[rounded])
    noise = plain.ratio[rounded] * variance[plain.group[rounded]]
    y, offset = sites.y.copy(), sites.offset.copy()
    step, least = 1.0, np.inf
    for sweep in range(1, 1 + MOST_SWEEPS):
        mean, spread = (part[rounded] for part in program.reading(replace(plain, y=y, offset=offset)).moments(hyper, variance))
        m, others = without_each(mean, spread, y[rounded], noise + offset[rounded])
        t = np.sqrt(others + noise)
        M, V, left = truncated_moments((middle - half - m) / t, (middle + half - m) / t)
        left = np.maximum(left, LEAST_INFORMATION)
        new_y, new_offset = m + t * M / left, t**2 * V / left
        total = t**2 + offset[rounded]
        moves = np.concatenate([(new_y - y[rounded]) / np.sqrt(total), (new_offset - offset[rounded]) / total])
        change = float(np.max(np.abs(moves), initial=0.0))
        if change < SAME:
            return Sites(y, offset)
        if sweep % PATIENCE == 0:
            step, least = step if change < least / 2 else step / 2, change
        kept, moved = (1 - step) / offset[rounded], step / new_offset
        y[rounded] = (kept * y[rounded] + moved * new_y) / (kept + moved)
        offset[rounded] = 1 / (kept + moved)
    raise ConvergenceError(
        f"the intervals of rounded observations still move the curve by {change:.1e} SDs after {MOST_SWEEPS} sweeps; give sd=, or "
        "hyperparameters of the prior",
        change,
    )


def without_each(mean: FloatArray, variance: FloatArray, y: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance (n,) of what each observation measures without it, from those with it."""
    left = noise - variance
    return mean + variance * (mean - y) / left, variance * noise / left


def _is_predicted(specification: Specification, hyper: FloatArray, variance: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether the other observations determine what each reads (n,); the site of one that alone determines a direction stays."""
    program = specification.program
    found = np.ones(specification.nobs, dtype=bool)
    for i in np.flatnonzero(program.adjoint(hyper, variance).is_start):
        found[i] = program.is_identified_without(int(i), hyper, variance)
    return found


def truncated_moments(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, variance V and 1 - V of a standard normal between limits, without cancellation."""
    nearest = np.clip(0.0, lower, upper)[..., None]
    far = np.sqrt(nearest[..., 0] ** 2 + DECAY)
    low, high = np.maximum(lower, -far), np.minimum(upper, far)
    x = (low + high)[..., None] / 2 + (high - low)[..., None] / 2 * NODES
    density = WEIGHTS * np.exp((nearest - x) * (nearest + x) / 2)
    density /= density.sum(axis=-1, keepdims=True)
    mean = (density * x).sum(axis=-1)
    V = (density * (x - mean[..., None]) ** 2).sum(axis=-1)
    left = 1 - V
    wide = (lower < -WIDE) & (upper > WIDE)
    a, b = lower[wide], upper[wide]
    at_a, at_b = (np.exp(-end * end / 2) / np.sqrt(2 * np.pi) / (ndtr(b) - ndtr(a)) for end in (a, b))
    mean[wide] = at_a - at_b
    left[wide] = b * at_b - a * at_a + mean[wide] ** 2
    return mean, V, left
