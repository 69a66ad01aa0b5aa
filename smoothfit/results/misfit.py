"""Whether observations contradict the model of a fit, by its one-step-ahead prediction errors.

At the right parameters of the right model the standardised errors z_1, ..., z_n of a series, in order of x, are independent and
N(0, s^2). Three tests, each at a level of `LEVEL`, look for what falsifies intervals most; a fourth look is at the observations:

- outlier or shift: the largest |z_i + ... + z_(i+w-1)| / sqrt(w) for w = 1, 2, 4, 8, 16. Of independent normal errors its square
  over sum z^2 is Beta(1/2, (n-1)/2), whatever s is; Bonferroni's factor is the number of sums.
- noise level: Kuiper's statistic of the cumulated ranks of |z|, the largest excess of large errors in a stretch of x. Ranks have
  the same law whatever s and the tails of the noise are; it tends to that of the range of a Brownian bridge, with a correction for
  n steps in place of a continuum (D. Siegmund 1985, *Sequential Analysis*: 0.5826 steps at each of the two ends).
- autocorrelation: Ljung and Box's test with five lags.
- rounding: observations that repeat a few multiples of one step, which is large beside their SD. This is no test: continuous
  observations have no step.

The estimated parameters take little from these laws: ``benchmarks/misfit.py`` has false-alarm rates and powers. In long records a
significant departure may be immaterial; those whose effect on intervals is below a tenth or so are not reported.

References
----------
N. H. Kuiper (1960), "Tests concerning random points on a circle". G. Ljung and G. Box (1978), "On a measure of lack of fit in time
series models". A. C. Harvey and S. J. Koopman (1992), "Diagnostic checking of unobserved-components time series models".
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from .._entry import warn
from .._validation import FloatArray
from ..errors import MisfitWarning
from ..observations import Observations, Readings
from .exact import is_stuck
from .serial import autocorrelations, ljung_box

IntArray = npt.NDArray[np.int64]

LEVEL = 5e-4  # of each test, over all series
FEWEST = 20  # errors of a series that are tested
LONGEST = 10_000  # observations; of longer records stretches are tested, so that the tests cost little beside the fit
STRETCHES = 10
WIDTHS = (1, 2, 4, 8, 16)  # numbers of neighbouring errors that a shift may show in
MOST_LAGS = 5
LEAST_CORRELATION = 0.1  # that is reported: it moves the SD of local means by a tenth
LEAST_RATIO = 1.25  # of noise levels that are reported
COARSE = 0.4  # SDs in a step, inverted: with less noise, rounding errors of neighbours are correlated by more than a fifth
DISCRETE = 0.5826  # steps by which a random walk overshoots a bound that a Brownian path reaches
NOTE_WIDTH = 100  # characters of a line of a summary
TERMS = np.arange(1, 8)  # of the series of Kuiper's law


class Misfit(NamedTuple):
    """One contradiction between observations and model.

    Attributes
    ----------
    series : str
        Name of the observations.
    kind : str
        ``"rounding"``, ``"outlier or shift"``, ``"noise level"`` or ``"autocorrelation"``.
    p_value : float
        Of the test, for one series; 0 for rounding, which is no test.
    finding : str
        What contradicts the model.
    remedy : str
        What to do about it.
    """

    series: str
    kind: str
    p_value: float
    finding: str
    remedy: str


def even_stretches(n: int) -> list[slice]:
    """All of n observations, or even stretches of a long record, `LONGEST` in all."""
    if n <= LONGEST:
        return [slice(0, n)]
    length = LONGEST // STRETCHES
    return [slice(start, start + length) for start in np.linspace(0, n - length, STRETCHES).astype(int).tolist()]


def misfits_of(observations: Observations, sds: Sequence[float], rows: IntArray, errors: FloatArray) -> tuple[Misfit, ...]:
    """Contradictions between observations and model, series by series.

    Parameters
    ----------
    observations : Observations
    sds : sequence of float
        Noise SD of each series at weight one; a series with SD zero is not tested.
    rows : ndarray, shape (m,)
        Observations in order of x.
    errors : ndarray, shape (m,)
        Their standardised one-step-ahead prediction errors.
    """
    found: list[Misfit] = []
    x, start = observations.x, 0
    for reading, sd in zip(observations.readings, sds, strict=True):
        mine = (rows >= start) & (rows < start + len(reading)) & np.isfinite(errors)
        start += len(reading)
        z, places = errors[mine], x[rows[mine]]
        if len(z) < FEWEST or not sd > 0 or not z.any() or is_stuck(reading.y):
            continue

        def shown(i: int, places: FloatArray = places) -> str:
            return observations.abscissa.label_of_number(float(places[i]))

        level = LEVEL / len(observations.readings)
        looked = (
            _rounding(reading, sd),
            _shift(reading, z, level, shown),
            _noise_level(reading, z, level, shown),
            _autocorrelation(reading, z, level),
        )
        found += [one for one in looked if one is not None]
    return tuple(found)


def warn_of_misfits(found: Sequence[Misfit]) -> None:
    """Warn once of all contradictions."""
    if found:
        said = "; ".join(f"{one.finding}: {one.remedy}" for one in found)
        warn(f"the observations contradict the model, so that its intervals may be too short or too long: {said}", MisfitWarning)


def notes_of(found: Sequence[Misfit]) -> list[str]:
    """Lines of a summary."""
    lines = (textwrap.wrap(f"misfit: {one.finding}: {one.remedy}", NOTE_WIDTH, subsequent_indent="  ") for one in found)
    return [line for one in lines for line in one]


def _shift(reading: Readings, z: FloatArray, level: float, shown: Callable[[int], str]) -> Misfit | None:
    """The largest sum of neighbouring errors."""
    n, total = len(z), np.concatenate([[0.0], np.cumsum(z)])
    widths = [w for w in WIDTHS if 4 * w <= n]
    sums = [(total[w:] - total[:-w]) / np.sqrt(w) for w in widths]
    k = int(np.argmax([np.abs(one).max() for one in sums]))
    i = int(np.abs(sums[k]).argmax())
    fraction = min(1.0, float(sums[k][i] ** 2 / (z @ z)))
    p = sum(len(one) for one in sums) * float(special.betaincc(0.5, (n - 1) / 2, fraction))
    if p > level:
        return None
    size = np.sqrt(fraction * n)
    where = f"at x = {shown(i)}" if widths[k] == 1 else f"of {widths[k]} observations from x = {shown(i)} on"
    return Misfit(
        reading.name,
        "outlier or shift",
        p,
        f"{reading.name!r} departs from its predictions by {size:.1f} SDs {where}",
        "an outlier or a level shift, see outliers(); then fit(robust=True), or interventions=[sf.Level(x)]",
    )


def _noise_level(reading: Readings, z: FloatArray, level: float, shown: Callable[[int], str]) -> Misfit | None:
    """The stretch of x with the largest excess of large, or small, errors."""
    n, size = len(z), np.abs(z)
    ranks = np.empty(n)
    ranks[np.argsort(size)] = np.arange(n)
    bridge = np.concatenate([[0.0], np.cumsum(ranks - (n - 1) / 2)]) / np.sqrt(n * (n**2 - 1) / 12)
    bottom, top = int(bridge.argmin()), int(bridge.argmax())
    p = _kuiper(float(bridge[top] - bridge[bottom]) + 2 * DISCRETE / np.sqrt(n))
    if p > level:
        return None
    first, last = sorted((bottom, top))
    inside, outside = size[first:last], np.concatenate([size[:first], size[last:]])
    near, far = (float(np.sqrt(np.mean(part**2))) for part in (inside, outside))
    low, high = sorted((near, far))
    if not high >= LEAST_RATIO * low:
        return None
    ratio = f"{high / low:.3g} times as large" if low > 0 else "much larger"
    stretch = f"for x from {shown(first)} to {shown(last - 1)}"
    return Misfit(
        reading.name,
        "noise level",
        p,
        f"prediction errors of {reading.name!r} are {ratio} {stretch if near > far else f'elsewhere as {stretch}'}"
        + (" as elsewhere" if near > far else ""),
        "give sd= or weights= that follow the noise, or a name= to each stretch; if the curve is rougher there, smooth adaptively: "
        "SplineRegression with a penalty= of weights w(x), sf.DifferentialOperatorPenalty([0, 0, w])",
    )


def _kuiper(value: float) -> float:
    """Probability that the range of a Brownian bridge exceeds a value: 2 sum_k (4 k^2 v^2 - 1) exp(-2 k^2 v^2)."""
    if value < 1.0:
        return 1.0
    square = (TERMS * value) ** 2
    return min(1.0, float(2 * ((4 * square - 1) * np.exp(-2 * square)).sum()))


def _autocorrelation(reading: Readings, z: FloatArray, level: float) -> Misfit | None:
    """Ljung and Box's test."""
    correlations = autocorrelations(z, MOST_LAGS)
    lag = int(np.abs(correlations).argmax())
    p = ljung_box(correlations, len(z))[1]
    if p > level or abs(correlations[lag]) < LEAST_CORRELATION:
        return None
    remedy = f"give the noise a process, noise={{{reading.name!r}: sf.priors.OrnsteinUhlenbeck()}}, or the curve another order= or prior="
    if reading.upper is None and reading.deriv == 0 and _accumulates(reading.y):
        remedy += "; if these are cumulative counts, pass their increments to sf.observe_integral"
    return Misfit(
        reading.name,
        "autocorrelation",
        p,
        f"prediction errors of {reading.name!r} are autocorrelated ({correlations[lag]:.2f} at lag {lag + 1})",
        remedy,
    )


def _accumulates(y: FloatArray) -> bool:
    """Whether observations are never below the one before."""
    return bool(np.all(np.diff(y) >= 0))


def _rounding(reading: Readings, sd: float) -> Misfit | None:
    """Observations that repeat a few multiples of a step, which is large beside their SD."""
    step = _step(reading.y)
    if step is None or reading.weights is not None or sd >= COARSE * step:
        return None
    return Misfit(
        reading.name,
        "rounding",
        0.0,
        f"observations of {reading.name!r} are rounded to multiples of {step:.4g}, and their SD is {sd:.2g}: rounding errors of "
        "neighbours are alike",
        f"give them a process, noise={{{reading.name!r}: sf.priors.OrnsteinUhlenbeck()}}, or pass fewer observations",
    )


def _step(y: FloatArray) -> float | None:
    """The step of which all differences are multiples, if most values repeat; None of others."""
    few = y[: 4 * FEWEST]
    if 2 * len(np.unique(few)) > len(few):
        return None
    values = np.unique(y)
    if len(values) < 2 or 2 * len(values) > len(y):
        return None
    gaps = np.diff(values)
    step = float(gaps.min())
    multiples = gaps / step
    rounding = 8 * np.finfo(np.float64).eps * float(np.abs(values).max()) / step
    is_even = bool(np.all(np.abs(multiples - np.round(multiples)) <= 1e-6 * multiples + rounding)) and rounding < 0.1
    return step if is_even else None
