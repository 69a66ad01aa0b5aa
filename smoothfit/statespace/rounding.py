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

Estimates. The evidence of this approximation depends on s^2 only through normal densities convolved with the intervals, so that its
derivative by s^2 is that by m twice over, halved. Matched moments match the first two derivatives by m; the score of the evidence
is therefore that of the normal observations at fixed y* and r, by s^2 as by the hyperparameters of the prior. A fit of these and
the sites at its estimates take turns, until a further fit can gain nothing. Posteriors, and the integration over the parameters,
are those of the normal observations.

- T. P. Minka (2001), "Expectation propagation for approximate Bayesian inference".
- B. Widrow and I. Kollar (2008), *Quantization Noise*.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtr

from .._validation import FloatArray
from ..errors import ConvergenceError
from .estimation import Optimum, estimate
from .general_search import GeneralCriterion
from .specification import Sites, Specification

MOST_TURNS, MOST_SWEEPS = 200, 500
NEGLIGIBLE = 1e-7  # gain of -2 log-likelihood by a further fit
SAME = 1e-9  # change of sites, in sds of predictions and as a share of their variances
LEAST_TOLD = 1e-10  # 1 - V: a report that tells less of what is predicted counts as if it told so much
NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
DECAY = 80.0  # twice the logarithm by which a density falls where it no longer counts
WIDE = 2.0  # of an interval in sds, from which on 1 - V is taken from the density at its ends


def estimate_rounded(specification: Specification, method: str) -> tuple[Specification, Optimum]:
    """Estimate what is unknown from rounded observations; with the specification by whose sites it was estimated."""
    optimum = estimate(specification, method)
    plain = specification.as_read
    noise = plain.ratio * optimum.variance[plain.group]
    if (12 * plain.offset <= noise).all():
        return specification, optimum
    sites = Sites(plain.y, plain.offset)
    gains: list[float] = []
    for _ in range(MOST_TURNS):
        sites = sites_at(specification, optimum.hyper, optimum.variance, sites)
        approximate = specification.with_sites(sites)
        if optimum.minimum is None:
            return approximate, optimum
        before = GeneralCriterion(approximate, method).values(optimum.theta[None])[0]
        optimum = estimate(approximate, method, None, optimum.theta)
        assert optimum.minimum is not None
        gains.append(float(before - optimum.minimum.value))
        if gains[-1] < NEGLIGIBLE:
            return approximate, optimum
    raise ConvergenceError(
        f"the likelihood of rounded observations still grows by {gains[-1]:.1e} after {MOST_TURNS} turns; give sd=, or "
        "hyperparameters of the prior",
        gains[-1],
    )


def sites_at(specification: Specification, hyper: FloatArray, variance: FloatArray, sites: Sites) -> Sites:
    """The sites of expectation propagation at given hyperparameters and variances; sweeps begin at others."""
    plain = specification.as_read
    rounded = np.flatnonzero(plain.offset > 0)
    middle, half = plain.y[rounded], np.sqrt(3 * plain.offset[rounded])
    y, offset = sites.y.copy(), sites.offset.copy()
    step, last = 1.0, np.inf
    for _ in range(MOST_SWEEPS):
        adjoint = specification.program.reading(replace(plain, y=y, offset=offset)).adjoint(hyper, variance)
        u, D = adjoint.errors[rounded].T
        told = (D > 0) & ~adjoint.is_start[rounded]  # of the others nothing is predicted else, and the site stays
        at, u, D = rounded[told], u[told], D[told]
        m, t = y[at] - u / D, np.sqrt(1 / D - offset[at])
        mean, V, left = truncated_moments((middle[told] - half[told] - m) / t, (middle[told] + half[told] - m) / t)
        left = np.maximum(left, LEAST_TOLD)
        new_y, new_offset = m + t * mean / left, t**2 * V / left
        precision = 1 / offset[at]
        change = float(np.max(np.abs(np.concatenate([(new_y - y[at]) * np.sqrt(D), (new_offset - offset[at]) * D])), initial=0.0))
        if change < SAME:
            return Sites(y, offset)
        if change > last:
            step /= 2
        last = change
        mixed = (1 - step) * precision + step / new_offset
        y[at] = ((1 - step) * precision * y[at] + step * new_y / new_offset) / mixed
        offset[at] = 1 / mixed
    raise ConvergenceError(
        f"the intervals of rounded observations still move the curve by {change:.1e} sds after {MOST_SWEEPS} sweeps; give sd=, or "
        "hyperparameters of the prior",
        change,
    )


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
