"""Student-t noise, under which outliers get small weights.

An observation of a robust series is y = f^(k)(x) + s e / sqrt(w u), e standard normal and u ~ Gamma(nu/2, nu/2): given f, Student's
t with nu degrees of freedom and scale s / sqrt(w). The posterior of f and of the u is approximated by a product; q, the SDs and nu
maximise the lower bound of the restricted likelihood that goes with it (variational EM),

    B = llf of the fit with weights w E u  +  sum_i [E log p(u_i) - E log p*(u_i) + (E log u_i - log E u_i) / 2],

by turns: E u = (nu + 1) / (nu + E (y - f^(k))^2 w / s^2) and the like from the last fit, then a fit by restricted likelihood with
these weights. No turn lowers B, and they end where what all further turns can add, a geometric series by the last ones, is
negligible. With ``method="ml"`` the fits maximise the full likelihood, and llf in B is that. B may have several maxima: of two
starts, one that leaves out what lies far from running medians and one that weighs it little, the better end is taken. Its curve,
bands and likelihood are those of normal noise with the final weights times (nu + 1) / (nu + 3), the information of an observation
with t noise beside 1 / s^2.

- K. L. Lange, R. J. A. Little and J. M. G. Taylor (1989), "Robust statistical modeling using the t distribution".
- M. E. Tipping and N. D. Lawrence (2005), "Variational inference for Student-t models".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from scipy.ndimage import median_filter
from scipy.optimize import brentq
from scipy.special import digamma, gammaln

from .._validation import FloatArray, check_positive, frozen, shown
from ..errors import ConvergenceError, SpecificationError
from ..observations import Observations

LOSSES = ("squares", "student_t")
LEAST_WEIGHT = 1e-10  # of an observation that lies 10^5 SDs away, or more
FIRST_DF = 4.0
LOWEST_DF, HIGHEST_DF = 0.2, 1e4  # beyond, the noise is normal for every purpose
WINDOW = 9  # observations whose median the first residuals are taken from
MOST_TURNS = 500
SAME = 0.1  # change of a log weight between two starts' turns, below which both go to one end
NEGLIGIBLE = 1e-7  # gain of the bound
LEAST_RATIO = 1e-3  # of it, a gain that ends the turns whatever the one before
FAR = 3.0  # SDs from a running median
NORMAL_CONSISTENT = 1.4826  # median absolute deviation to SD


@dataclass(frozen=True, eq=False)
class Robustness:
    """Degrees of freedom and weights of the robust series.

    Attributes
    ----------
    df : dict
        Degrees of freedom of each robust series.
    weights : dict
        E u of its observations, arrays: near one for ordinary observations, near zero for outliers.
    bound : float
        Lower bound B of the restricted log-likelihood; with ``method="ml"`` that with the full one in place of llf.
    n_turns : int
    """

    df: dict[str, float]
    weights: dict[str, FloatArray]
    bound: float
    n_turns: int


class Fitted(Protocol):
    """What the weights are taken from."""

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, sd and whether it was estimated."""

    @property
    def fitted(self) -> Any:
        """With the posterior of what each observation measures."""

    @property
    def maximised_llf(self) -> float:
        """Restricted log-likelihood, or the full one with ``method="ml"``; what is diffuse in scaled units."""


Fit = TypeVar("Fit", bound=Fitted)


def fit_robustly(
    fit: Callable[[Observations, Fit | None], Fit],
    observations: Observations,
    free: Mapping[str, float | None],
    smooth: FloatArray | None = None,
    places: FloatArray | None = None,
) -> tuple[Fit, Robustness]:
    """Fit with Student-t noise from two starts, and return the fit with the higher bound, with the weights `Robustness.weights`.

    Parameters
    ----------
    fit : callable
        A fit with normal noise to observations with other weights; given the fit of the turn before, it may begin there.
    free : dict
        Of `check_robust`.
    smooth : ndarray, shape (n,), optional
        The observations less what is no smooth function of x in them, as far as that is known.
    places : ndarray, shape (n,), optional
        Numbers in whose order they are smooth; x by default.
    """
    found: list[tuple[Fit, Robustness]] = []
    failures: list[ConvergenceError] = []
    for is_hard in (True, False):
        try:
            first = first_weights(observations, free, is_hard, smooth, places)
            ended = _alternated(fit, observations, free, first, found[0][1] if found else None)
            found += [] if ended is None else [ended]
        except ConvergenceError as error:
            failures.append(error)
    if not found:
        raise failures[0]
    best = max(found, key=lambda pair: pair[1].bound)
    for failure in failures:
        if -failure.value > best[1].bound:
            raise failure  # what did not converge was better
    return best


def _alternated(
    fit: Callable[[Observations, Fit | None], Fit],
    observations: Observations,
    free: Mapping[str, float | None],
    weights: dict[str, FloatArray],
    known: Robustness | None,
) -> tuple[Fit, Robustness] | None:
    """Alternate between the weights of the robust series and a fit with them; None once they come to those that are known."""
    df = {name: FIRST_DF if fixed is None else fixed for name, fixed in free.items()}
    gain, bounds = -np.inf, []
    found: Fit | None = None
    for turn in range(1, MOST_TURNS + 1):
        found = fit(with_weights(observations, weights), found)
        bounds.append(found.maximised_llf + gain)
        if has_converged(bounds):
            anew = fit(with_weights(observations, weights), None)
            if not anew.maximised_llf > found.maximised_llf + NEGLIGIBLE:
                return found, Robustness(df, weights, bounds[-1], turn)
            found = anew  # a fit that began at the one before had missed it
            bounds[-1] = found.maximised_llf + gain
        weights, df, gain = next_weights(found, observations, df, free)
        if known is not None and moved(known.weights, weights) < SAME:
            return None
    raise not_converged(bounds)


def check_robust(robust: Any, observations: Observations) -> dict[str, float | None]:
    """Return the degrees of freedom of the robust series, None if they are estimated."""
    if robust is False or robust is None:
        return {}
    names = observations.names
    if robust is True:
        return dict.fromkeys(names)
    if isinstance(robust, str):
        robust = [robust]
    if not isinstance(robust, Mapping):
        robust = dict.fromkeys(robust)
    for name, df in robust.items():
        if name not in names:
            raise SpecificationError(
                f"robust names {name!r}; the series are {', '.join(names)}. robust=True is Student-t noise of all of them, and a "
                "loss by its name is loss="
            )
        if df is not None:
            check_positive(df, f"robust[{name!r}]")
    return dict(robust)


def of_loss(loss: Any, parameter: float | None, robust: Any, observations: Observations) -> Any:
    """The option `robust`: series with Student-t noise, and their degrees of freedom."""
    losses = loss if isinstance(loss, Mapping) else dict.fromkeys(observations.names, loss)
    for kind in losses.values():
        if not isinstance(kind, str) or kind not in LOSSES:
            raise SpecificationError(
                f"loss is {shown(kind)}; SmoothingSpline has 'squares' and 'student_t', and SplineRegression also 'huber', "
                "'bisquare', 'expectile' and 'quantile'"
            )
    chosen = {name: parameter for name, kind in losses.items() if kind == "student_t"}
    if not chosen and parameter is not None:
        raise SpecificationError("parameter is of loss='student_t', the degrees of freedom; squares have none: leave it out")
    if chosen and robust is not False and robust is not None:
        raise SpecificationError("loss and robust are given; robust=True is loss='student_t': pass one of them")
    return chosen or robust


def with_weights(observations: Observations, weights: Mapping[str, FloatArray]) -> Observations:
    """Return the observations with weights multiplied."""
    readings = []
    for reading in observations.readings:
        factor = weights.get(reading.name)
        if factor is not None:
            product = factor if reading.weights is None else reading.weights * factor
            reading = replace(reading, weights=frozen(np.array(product)))
        readings.append(reading)
    return replace(observations, readings=tuple(readings))


def first_weights(
    observations: Observations,
    names: Mapping[str, float | None],
    is_hard: bool,
    smooth: FloatArray | None = None,
    places: FloatArray | None = None,
) -> dict[str, FloatArray]:
    """Weights from residuals beside running medians: none or all, or graded.

    Medians of the observations along x, or of what is `smooth` in them along `places`.
    """
    smooth = observations.y if smooth is None else smooth
    places = observations.x if places is None else places
    weights, start = {}, 0
    for reading in observations.readings:
        mine = slice(start, start + len(reading))
        start += len(reading)
        name, y = reading.name, smooth[mine]
        if name not in names:
            continue
        order = np.argsort(places[mine], kind="stable")
        residual = np.empty(len(reading))
        residual[order] = y[order] - median_filter(y[order], size=WINDOW, mode="nearest")
        size = NORMAL_CONSISTENT * np.median(np.abs(residual))
        if not size > 0:
            size = np.sqrt(np.mean(residual**2)) or 1.0
        square = (residual / size) ** 2
        weights[name] = np.where(square > FAR**2, LEAST_WEIGHT, 1.0) if is_hard else (FIRST_DF + 1) / (FIRST_DF + square)
        weights[name] = _bounded(weights[name])
    return weights


def next_weights(
    results: Fitted, plain: Observations, df: Mapping[str, float], free: Mapping[str, float | None]
) -> tuple[dict[str, FloatArray], dict[str, float], float]:
    """Weights and degrees of freedom from the last fit, and the bound that goes with them before the next."""
    variance, fitted = results.fitted.posterior.fitted_variance, results.fitted.posterior.fitted
    sds = {name: sd for name, sd, _ in results.noise_sds}
    start, weights, dfs, gain = 0, {}, {}, 0.0
    for reading in plain.readings:
        mine = slice(start, start + len(reading))
        start += len(reading)
        if reading.name not in free:
            continue
        sd = sds[reading.name] if reading.sd is None else 1.0
        size = ((reading.y - fitted[mine]) ** 2 + variance[mine]) / (sd**2 * reading.variance_ratio)
        nu = df[reading.name]
        if free[reading.name] is None:
            nu = _best_df(size)
        shape, rate = (nu + 1) / 2, (nu + size) / 2
        mean, mean_log = shape / rate, digamma(shape) - np.log(rate)
        gain += float(np.sum(nu / 2 * np.log(nu / 2) - gammaln(nu / 2) + (nu / 2 - 1) * mean_log - nu / 2 * mean))
        gain -= float(np.sum(shape * np.log(rate) - gammaln(shape) + (shape - 1) * mean_log - shape))
        weights[reading.name] = _bounded(mean)
        gain += float(np.sum(mean_log - np.log(weights[reading.name]))) / 2
        dfs[reading.name] = nu
    return weights, dfs, gain


def moved(old: Mapping[str, FloatArray], new: Mapping[str, FloatArray]) -> float:
    """Largest change of a log weight."""
    return max(float(np.max(np.abs(np.log(new[name] / old[name])))) for name in new)


def informative(weights: Mapping[str, FloatArray], df: Mapping[str, float]) -> dict[str, FloatArray]:
    """Weights of normal noise that informs as the t noise does.

    E u is one on average, but an observation with t noise informs by (nu + 1) / (nu + 3) of 1 / s^2, as its weight may be a
    mistake.
    """
    return {name: _bounded(values * (df[name] + 1) / (df[name] + 3)) for name, values in weights.items()}


def has_converged(bounds: list[float]) -> bool:
    """Whether what further turns can add, by the ratio of the last two gains, is negligible."""
    if len(bounds) < 4:
        return False
    before, last = bounds[-2] - bounds[-3], bounds[-1] - bounds[-2]
    if -NEGLIGIBLE < last < NEGLIGIBLE * LEAST_RATIO:  # no turn lowers the bound but by the rounding of a fit
        return True
    ratio = last / before if before > 0 else 1.0
    return 0 <= ratio < 1 and last * ratio / (1 - ratio) < NEGLIGIBLE


def not_converged(bounds: list[float]) -> ConvergenceError:
    """The error of turns that did not end."""
    return ConvergenceError(
        f"the bound of the likelihood with Student-t noise still grows by {bounds[-1] - bounds[-2]:.1e} after {MOST_TURNS} turns; "
        "fix the degrees of freedom: robust={name: 4}",
        -bounds[-1],
    )


def _bounded(weights: FloatArray) -> FloatArray:
    return np.maximum(weights, LEAST_WEIGHT)


def _best_df(size: FloatArray) -> float:
    """Degrees of freedom that maximise the t density of standardised squared residuals, which are `size` in expectation."""

    def slope(log_df: float) -> float:
        nu = float(np.exp(log_df))
        weight = (nu + 1) / (nu + size)
        return float(digamma((nu + 1) / 2) - digamma(nu / 2) + 1 + np.mean(np.log(nu / (nu + size)) - weight))

    lowest, highest = np.log(LOWEST_DF), np.log(HIGHEST_DF)
    if slope(highest) >= 0:
        return HIGHEST_DF
    if slope(lowest) <= 0:
        return LOWEST_DF
    return float(np.exp(brentq(slope, lowest, highest, xtol=1e-12)))
