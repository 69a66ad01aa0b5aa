"""Whether observations contradict the model of a fit, by its one-step-ahead prediction errors.

At the right parameters of the right model the standardised errors z_1, ..., z_n of a series, in order of x, are independent and
N(0, s^2). Six tests, each at a level of `LEVEL`, look for what falsifies intervals most; a last look is at the observations:

- outlier: the largest standardised residual of an observation from all others; level shift: the largest standardised estimate of a
  jump of f (auxiliary residuals). Each is a'z with |a| = 1, so that its square over sum z^2 is Beta(1/2, (n-1)/2), whatever s is;
  Bonferroni's factor is the number of observations, or of jumps.
- noise level: Kuiper's statistic of the cumulated ranks of |z|, the largest excess of large errors in a stretch of x. Ranks have
  the same law whatever s and the tails of the noise are; it tends to that of the range of a Brownian bridge, with a correction for
  n steps in place of a continuum (D. Siegmund 1985, *Sequential Analysis*: 0.5826 steps at each of the two ends).
- autocorrelation: Ljung and Box's test with five lags.
- bias, scale: the largest score of a bias of one series against the others, and of a scale; see ``smoothfit.results.offsets``. What
  such a series does to the errors is not reported beside it: autocorrelation, noise levels, level shifts.
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
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from .._entry import warn
from .._validation import FloatArray, IntArray
from ..errors import MisfitWarning
from ..observations import Observations, Readings
from ..observations.points import PointObservations
from ..observations.readings import NoisyReadings
from .exact import is_stuck
from .offsets import KINDS, Offset
from .protocols import Change
from .serial import autocorrelations, ljung_box

LEVEL = 5e-4  # of each test, over all series
FAR_BELOW = 0.5  # SDs: smaller errors are those of a given sd= that is too large, which only widens intervals
FEWEST = 20  # errors of a series that are tested
LONGEST = 10_000  # observations; of longer records stretches are tested, so that the tests cost little beside the fit
STRETCHES = 10
FEW, FEW_STRETCHES = 1000, 5  # of models whose errors take dense or wide matrices
MOST_LAGS = 5
LEAST_CORRELATION = 0.1  # that is reported: it moves the SD of local means by a tenth
LEAST_OFFSET = 0.1  # noise SDs by which a series is off the others that are reported
LEAST_RATIO = 1.25  # of noise levels that are reported
FARTHEST = 5.0  # factor of a scale, or its inverse, that is reported as a number
ALIKE, MUCH_ALIKE = 1e-6, 0.3  # relative difference of statistics that are one: exactly, or but for their information
MUCH = 1000.0  # of them, from which the number means no more
COARSE = 0.4  # of a step: with a smaller SD, rounding errors of neighbours are correlated by more than a fifth
DISCRETE = 0.5826  # steps by which a random walk overshoots a bound that a Brownian path reaches
NOTE_WIDTH = 100  # characters of a line of a summary
TERMS = np.arange(1, 8)  # of the series of Kuiper's law


class Misfit(NamedTuple):
    """One contradiction between observations and model.

    Attributes
    ----------
    series : str
        Name of the observations; "" for a level shift of f.
    kind : str
        ``"bias"``, ``"scale"``, ``"lag"``, ``"rounding"``, ``"outlier"``, ``"level shift"``, ``"noise level"`` or
        ``"autocorrelation"``.
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


ALONG_X = (
    "give sd= or weights= that follow the noise, noise_growth=1 if it is proportional to the curve, or a name= to each "
    "stretch; if the curve is rougher there, smooth adaptively: "
    "SplineRegression with a penalty= of weights w(x), sf.DifferentialOperatorPenalty([0, 0, w])"
)


AT_POINTS = "give sd= or weights= that follow the noise, or a name= to each part"


class Remedies(NamedTuple):
    """What to do about misfits of a kind of model, as templates of the name of the series, or of the step of rounding."""

    outlier: str
    level_shift: str
    autocorrelation: str
    rounding: str
    noise_level: str = ALONG_X


def even_stretches(n: int, longest: int = LONGEST, count: int = STRETCHES) -> list[slice]:
    """All of n observations, or even stretches of a long record, `longest` in all."""
    if n <= longest:
        return [slice(0, n)]
    length = longest // count
    return [slice(start, start + length) for start in np.linspace(0, n - length, count).astype(int).tolist()]


class Errors(NamedTuple):
    """Standardised errors of m observations in order of x, each N(0, 1) under the model.

    Attributes
    ----------
    rows : ndarray, shape (m,)
        Places among the observations.
    one_step : ndarray, shape (m,)
        Of predictions from the observations before: independent ones. NaN where a diffuse start takes them.
    deleted : ndarray, shape (m,)
        Of predictions from all other observations. NaN for observations that determine a part of f.
    shifts : list of Change
        Estimated jumps of f.
    offsets : sequence of Offset
        What series are off the others by.
    """

    rows: IntArray
    one_step: FloatArray
    deleted: FloatArray
    shifts: list[Change]
    offsets: Sequence[Offset] = ()


class Places:
    """How findings name where observations along x are."""

    def __init__(self, observations: Observations):
        self._x, self._abscissa = observations.x, observations.abscissa

    def _label(self, row: int) -> str:
        return self._abscissa.label_of_number(float(self._x[row]))

    def at(self, row: int) -> str:
        """Of one observation."""
        return f"at x = {self._label(row)}"

    def between(self, first: int, last: int) -> str:
        """Of a stretch from one observation to another."""
        return f"for x from {self._label(first)} to {self._label(last)}"

    def of_shift(self, x: Any) -> str:
        """Of a jump of f."""
        return f"at x = {self._abscissa.label(x)}"


class PlacesOfPoints(Places):
    """How findings name where observations at points are, in one input or several."""

    def __init__(self, observations: PointObservations):
        self._X = observations.X

    def _label(self, row: int) -> str:
        return f"{self._X[row, 0]:.6g}"

    def at(self, row: int) -> str:
        if self._X.shape[1] == 1:
            return super().at(row)
        return f"at X = [{', '.join(f'{x:.6g}' for x in self._X[row])}]"

    def between(self, first: int, last: int) -> str:
        """Of a stretch from one observation to another, in the order of the rows if there are several inputs."""
        return super().between(first, last) if self._X.shape[1] == 1 else f"in rows {first} to {last}"

    def of_shift(self, x: Any) -> str:
        return f"at x = {x:.6g}"


def misfits_of(
    observations: Observations | PointObservations, sds: Sequence[float], errors: Errors, remedies: Remedies
) -> tuple[Misfit, ...]:
    """Contradictions between observations and model, series by series.

    Parameters
    ----------
    observations : Observations or PointObservations
    sds : sequence of float
        Noise SD of each series, for observations of weight 1; a series with SD zero is not tested, and then no shift of f either.
    errors : Errors
    remedies : Remedies
    """
    found: list[Misfit] = []
    where = Places(observations) if isinstance(observations, Observations) else PlacesOfPoints(observations)
    start = 0
    for reading, sd in zip(observations.readings, sds, strict=True):
        mine = (errors.rows >= start) & (errors.rows < start + len(reading)) & np.isfinite(errors.one_step)
        start += len(reading)
        z, deleted, rows = errors.one_step[mine], errors.deleted[mine], errors.rows[mine]
        if not (sd > 0 and _are_tested(z)) or is_stuck(reading.y):
            continue

        def at(i: int, rows: IntArray = rows) -> str:
            return where.at(int(rows[i]))

        def between(i: int, j: int, rows: IntArray = rows) -> str:
            return where.between(int(rows[i]), int(rows[j]))

        level = LEVEL / len(observations.readings)
        looked = (
            _rounding(reading, sd, remedies),
            _outlier(reading, z, deleted, level, at, remedies),
            _noise_level(reading, z, level, between, remedies),
            _autocorrelation(reading, z, level, remedies),
        )
        found += [one for one in looked if one is not None]
    z = errors.one_step[np.isfinite(errors.one_step)]
    if min(sds) > 0 and _are_tested(z):
        shift = _level_shift(where, z, errors.shifts, remedies)
        found += [] if shift is None else [shift]
        curve = observations if isinstance(observations, Observations) else None
        tested = [_apart(curve, sds, z, errors.offsets, kind) for kind in KINDS if curve is not None]
        apart = [one for one in tested if one is not None]
        if len({one.kind for one in apart} & {"scale", "lag"}) > 1:  # a lag makes a factor seem less than one
            larger = max((abs(one.statistic), one.kind) for one in errors.offsets if one.kind != "bias")[1]
            apart = [one for one in apart if one.kind in ("bias", larger)]
        if apart:
            found = [*apart, *(one for one in found if one.kind in ("rounding", "outlier"))]
    return tuple(found)


def _are_tested(z: FloatArray) -> bool:
    """Whether there are enough errors, and not far smaller ones than the model's."""
    return len(z) >= FEWEST and bool(z @ z >= FAR_BELOW**2 * len(z))


def warn_of_misfits(found: Sequence[Misfit]) -> None:
    """Warn once of all contradictions."""
    if found:
        said = "; ".join(f"{one.finding}: {one.remedy}" for one in found)
        warn(f"the observations contradict the model, so that its intervals may be too short or too long: {said}", MisfitWarning)


def notes_of(found: Sequence[Misfit]) -> list[str]:
    """Lines of a summary."""
    lines = (textwrap.wrap(f"misfit: {one.finding}: {one.remedy}", NOTE_WIDTH, subsequent_indent="  ") for one in found)
    return [line for one in lines for line in one]


def _p_value(statistic: float, z: FloatArray, n_tests: int) -> float:
    """Of the largest of several unit combinations of independent normal errors of one variance, at most (Bonferroni)."""
    fraction = min(1.0, statistic**2 / float(z @ z))
    return n_tests * float(special.betaincc(0.5, (len(z) - 1) / 2, fraction))


def _outlier(
    reading: NoisyReadings, z: FloatArray, deleted: FloatArray, level: float, shown: Callable[[int], str], remedies: Remedies
) -> Misfit | None:
    """The observation farthest from what all others predict."""
    size = np.where(np.isfinite(deleted), np.abs(deleted), 0.0)
    i = int(size.argmax())
    p = _p_value(float(size[i]), z, len(z))
    if p > level:
        return None
    return Misfit(
        reading.name,
        "outlier",
        p,
        f"{reading.name!r} {shown(i)} is {size[i] / np.sqrt(np.mean(z**2)):.1f} SDs from what the others predict",
        remedies.outlier,
    )


def _level_shift(where: Places, z: FloatArray, shifts: Sequence[Change], remedies: Remedies) -> Misfit | None:
    """The jump of f that stands out most."""
    n_tests = sum(len(change.x) for change in shifts)
    if n_tests == 0:
        return None
    statistic = np.concatenate([change.effect / change.se for change in shifts])
    i = int(np.abs(statistic).argmax())
    p = _p_value(float(statistic[i]), z, n_tests)
    if p > LEVEL:
        return None
    x, effect = np.concatenate([change.x for change in shifts])[i], np.concatenate([change.effect for change in shifts])[i]
    return Misfit(
        "",
        "level shift",
        p,
        f"the curve jumps by {effect:.3g} {where.of_shift(x)} ({abs(statistic[i]) / np.sqrt(np.mean(z**2)):.1f} SDs)",
        remedies.level_shift,
    )


def _apart(observations: Observations, sds: Sequence[float], z: FloatArray, offsets: Sequence[Offset], kind: str) -> Misfit | None:
    """The series that is off the others most, by a constant, a factor or a lag."""
    mine = [one for one in offsets if one.kind == kind]
    if not mine:
        return None
    largest = max(abs(one.statistic) for one in mine)
    alike = MUCH_ALIKE if len(sds) == 2 else ALIKE
    one = [one for one in mine if abs(one.statistic) >= (1 - alike) * largest][-1]  # the first of two series is the reference
    p = _p_value(one.statistic, z, len(mine))
    name = observations.names[one.series]
    if p > LEVEL or one.size < LEAST_OFFSET * sds[one.series]:
        return None
    ses = f"{abs(one.statistic) / np.sqrt(np.mean(z**2)):.1f} standard errors"
    if kind == "bias":
        said = f"{name!r} is off the other series by {one.effect:.3g} on average ({ses})"
        return Misfit(name, kind, p, said, f"estimate the difference, sf.observe(..., name={name!r}, bias='estimate')")
    if kind == "lag":
        unit = f" {observations.abscissa.unit}" if observations.abscissa.unit else ""
        said = (
            f"{name!r} is some {abs(one.effect):.3g}{unit} {'late' if one.effect > 0 else 'early'} beside the other series ({ses})"
        )
        remedy = "or estimate the lag, lag='estimate', or of a slow instrument response_time='estimate'"
        return Misfit(name, kind, p, said, f"check the clock of {name!r}, {remedy}")
    factor = 1 + one.effect  # by one step from a factor of one, and so no more than a hint if it is far
    varies = f"varies {factor:.3g} times as much as" if 1 / FARTHEST < factor < FARTHEST else "does not vary as"
    said = f"{name!r} {varies} the other series suggest ({ses})"
    scaled = [r.name for r in observations.readings if r.has_scale and (r.name == name or len(sds) == 2)]
    way = (
        f"turn the sign of {scaled[0]!r} (a scale is positive), or leave it out"
        if scaled
        else "estimate the factor, scale='estimate'"
    )
    return Misfit(name, kind, p, said, f"check the unit of {name!r}, or {way}")


def _noise_level(
    reading: NoisyReadings, z: FloatArray, level: float, shown: Callable[[int, int], str], remedies: Remedies
) -> Misfit | None:
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
    ratio = f"{high / low:.3g} times as large" if high < MUCH * low else "much larger"
    stretch = shown(first, last - 1)
    return Misfit(
        reading.name,
        "noise level",
        p,
        f"prediction errors of {reading.name!r} are {ratio} {stretch if near > far else f'elsewhere as {stretch}'}"
        + (" as elsewhere" if near > far else ""),
        remedies.noise_level,
    )


def _kuiper(value: float) -> float:
    """Probability that the range of a Brownian bridge exceeds a value: 2 sum_k (4 k^2 v^2 - 1) exp(-2 k^2 v^2)."""
    if value < 1.0:
        return 1.0
    square = (TERMS * value) ** 2
    return min(1.0, float(2 * ((4 * square - 1) * np.exp(-2 * square)).sum()))


def _autocorrelation(reading: NoisyReadings, z: FloatArray, level: float, remedies: Remedies) -> Misfit | None:
    """Ljung and Box's test."""
    correlations = autocorrelations(z, MOST_LAGS)
    lag = int(np.abs(correlations).argmax())
    p = ljung_box(correlations, len(z))[1]
    if p > level or abs(correlations[lag]) < LEAST_CORRELATION:
        return None
    remedy = remedies.autocorrelation.format(reading.name)
    if isinstance(reading, Readings) and reading.upper is None and reading.deriv == 0 and (np.diff(reading.y) >= 0).all():
        remedy += "; of cumulative counts pass the increments to sf.observe_integral, of rounded positions the step, resolution="
    return Misfit(
        reading.name,
        "autocorrelation",
        p,
        f"prediction errors of {reading.name!r} are autocorrelated ({correlations[lag]:.2f} at lag {lag + 1})",
        remedy,
    )


def _rounding(reading: NoisyReadings, sd: float, remedies: Remedies) -> Misfit | None:
    """Observations that repeat a few multiples of a step, which is large beside their SD."""
    step = _step(reading.y)
    if step is None or reading.weights is not None or reading.resolution is not None or sd >= COARSE * step:
        return None
    return Misfit(
        reading.name,
        "rounding",
        0.0,
        f"observations of {reading.name!r} are rounded to multiples of {step:.4g}, and their SD is {sd:.2g}: rounding errors of "
        "neighbours are alike",
        remedies.rounding.format(step),
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
