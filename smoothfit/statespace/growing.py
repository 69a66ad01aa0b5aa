"""Noise that grows with the curve: SD = sigma |m|^p, m what an observation measures, p given.

The SD is evaluated at the smoothed curve, by the posterior mean of m^2, mean^2 + variance, which is never zero. A fit at given SDs
is an ordinary one with the weights (mean^2 + variance)^-p; fits and weights alternate until the weights repeat. The weights then
count as known: likelihoods and intervals are those at these weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._validation import FloatArray
from ..errors import ConvergenceError, DataError, SpecificationError
from ..markov.rows import HEAVIEST
from ..observations import Observations
from .robust import with_weights

TOLERANCE = 1e-6  # of the logarithm of a weight
MOST_ROUNDS = 100
HALVED_FROM = 20  # rounds, from which steps are halved, should the weights alternate


def growing(observations: Observations) -> dict[str, float]:
    """Powers of the curve with which the noise of series grows."""
    return {reading.name: reading.noise_growth for reading in observations.readings if reading.noise_growth is not None}


def check_growing(observations: Observations, free: Mapping[str, float | None], given: tuple[str, ...]) -> None:
    """Refuse what noise that grows does not go with: Student-t noise, steps of rounding and covariances that are `given`."""
    for name in growing(observations):
        if free:
            what, remedy = "a robust loss", "see outliers(), and leave these observations out"
        elif observations[name].resolution is not None:
            what, remedy = "a resolution", "leave resolution= out"
        elif name in given:
            what, remedy = "known covariances= of it", "let them follow the curve, or leave noise_growth= out"
        else:
            continue
        raise SpecificationError(f"{name!r} has noise_growth=, which {what} does not support; {remedy}")


def growth_factor(mean: FloatArray, variance: FloatArray, power: float) -> FloatArray:
    """How many times the noise SD at m = 1 that at the given moments of m is."""
    return np.asarray((mean**2 + variance) ** (power / 2))


def fit_growing(fit: Callable[[Observations, Any], Any], observations: Observations) -> Any:
    """Alternate `fit` of observations with weights, from an earlier fit on, and weights, until the weights repeat.

    Raises
    ------
    ConvergenceError
        If they do not.
    """
    powers, found, logs = growing(observations), None, None
    ends = np.cumsum([0, *map(len, observations.readings)])
    places = {r.name: slice(a, b) for r, a, b in zip(observations.readings, ends[:-1], ends[1:], strict=True)}
    change = np.inf
    for round_ in range(MOST_ROUNDS):
        if logs is None:
            found = fit(observations, None)
        else:
            found = fit(
                with_weights(observations, {name: np.exp(one) for name, one in logs.items()}), found if round_ > 1 else None
            )
        mean, variance = found.fitted.posterior.fitted, found.fitted.posterior.fitted_variance
        new = {name: -2 * np.log(_factor(mean, variance, power, name, places[name])) for name, power in powers.items()}
        if logs is not None:
            change = max(float(np.abs(new[name] - logs[name]).max()) for name in powers)
            if change <= TOLERANCE:
                return found
            if round_ >= HALVED_FROM:
                new = {name: (new[name] + logs[name]) / 2 for name in powers}
        logs = new
    raise ConvergenceError(
        f"the weights of noise_growth= still change by {change:.1e} of themselves after {MOST_ROUNDS} fits; the curve may come "
        "near zero: pass weights= of your own, or a smaller power",
        change,
    )


def _factor(mean: FloatArray, variance: FloatArray, power: float, name: str, rows: slice) -> FloatArray:
    with np.errstate(over="ignore", under="ignore"):
        found = growth_factor(mean[rows], variance[rows], power)
    bad = ~(np.isfinite(found) & (found > 0) & np.isfinite(found**-2.0))
    if bad.any():
        i = int(np.argmax(bad))
        raise DataError(
            f"what {name!r} measures is {mean[rows][i]:.3g} at its observation {i}, where noise that grows with it has an SD of "
            f"{found[i]:.1e} of that at one; pass y in another unit, or weights="
        )
    vanishing = (np.median(found) / found) ** 2 > HEAVIEST
    if vanishing.any():
        i = int(np.argmax(vanishing))
        raise DataError(
            f"the curve comes to {mean[rows][i]:.3g} at observation {i} of {name!r}, where noise that grows with it vanishes "
            "beside that of the others; give this observation its own name= and sd=, leave it out (NaN), or pass a smaller power"
        )
    return found
