"""Series of which it is unknown how they relate to the curve, y(x) = s L f(x - d) + b + e, or how their noise is correlated.

The unknowns are the scale s, the lag d and the correlation of the e of two series. Where they are given the model is an ordinary
one, of observations y / s at x - d. The density of y is that of y / s times s^-n, n the number of observations of the series;
s^(1-n) with a bias b that is integrated out under a flat prior, as b / s is the bias of y / s. By log s, by d and by atanh r of a
correlation r all terms are differentiated by central differences. The density has a continuous second derivative by d where what
the series observes has a slope: `check_sensors` asks for it.

What is diffuse are p coefficients of a design X(s). A prior that is flat for them is not flat for those of s f: with it the score
by log s has the mean -p / 2 if both sensors are alike, and the maximum depends on which of them is the reference. The restricted
likelihood therefore has the factor |X'R^-1 X|^(1/2), R the covariance of the noise, over that at a scale in the middle of the
search, so that variances are estimated as without it. The score then has the mean zero whatever these coefficients are, as that of
the full likelihood has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from .._validation import FloatArray, frozen
from ..errors import IdentificationError, SpecificationError
from ..markov.joint import Correlated, Joint
from ..markov.program import Sums
from ..markov.response import Response
from ..observations import Observations, Readings
from ..observations.readings import OF_INTEGRAL
from ..observations.series import CALIBRATED, estimated_of
from .extent import ATANH, IDENTITY, LOG, Extent, Parameter

STEP = 1e-4  # of a coordinate, of central differences: right to its square
REACH = 7.0  # of log s about where it is looked for
NEAR, FAR = 1.0, 2.5  # how far about it starts lie: about a ratio of SDs, or about one
MOST_ATANH, LIKELY_ATANH = 6.0, 2.5  # of a correlation at most, .99999, and of one that is as likely as none
LONGEST, LIKELY = 0.5, 0.25  # of the range of x: a lag at most, and one that is as likely as none


class Unknown(NamedTuple):
    """A scale or a lag of a series, or a correlation of two, that is estimated."""

    kind: str
    series: str

    @property
    def label(self) -> str:
        """Its name among the parameters."""
        return f"{self.kind}.{self.series}"

    @property
    def described(self) -> str:
        """That it is to be estimated, for messages."""
        if self.kind == "correlation":
            return f"covariances='estimate' is given for {self.series}"
        return f"{self.series!r} has {self.kind}='estimate'"

    @property
    def known(self) -> str:
        """What to pass instead, for messages."""
        return "covariance itself" if self.kind == "correlation" else f"{self.kind} as a number"


class Calibrated(Protocol):
    """The interface of a specification of series with unknown scales, lags and correlations."""

    @property
    def observations(self) -> Observations:
        """As they are given."""

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """Scales, lags and correlations that are estimated."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What is searched, scales, lags and correlations last."""

    @property
    def hyperparameters(self) -> tuple[Any, ...]:
        """Those of processes."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Series with an unknown noise SD."""

    @property
    def joint(self) -> Sequence[Joint | Correlated]:
        """Series with covariances."""

    def n_own_effects(self, reading: Readings) -> int:
        """How many coefficients are of one series alone."""

    def calibrated(self, numbers: FloatArray, variance: FloatArray) -> Any:
        """The specification at given scales, lags and correlations."""


def unknowns_of(observations: Observations, joint: Sequence[Joint | Correlated]) -> tuple[Unknown, ...]:
    """Scales, lags and correlations to be estimated, if for each kind some series can be the reference."""
    found = [Unknown(kind, name) for kind in CALIBRATED for name in estimated_of(observations.readings, kind)]
    return (*found, *(Unknown("correlation", part.label) for part in joint if isinstance(part, Correlated)))


def responses_of(observations: Observations) -> list[Response]:
    """Filters of instruments that respond slowly, if some series can be the reference of those with an unknown response time."""
    readings, abscissa = observations.readings, observations.abscissa
    unknown = [reading.name for reading in readings if reading.has_response]
    if len(unknown) == len(readings):
        raise IdentificationError(
            f"response_time='estimate' of {', '.join(unknown)}: a response time is relative to a series without one, or with a "
            "known one: leave response_time= of one series out, or pass it as a number"
        )
    known = [None if r.response_time is None else abscissa.in_unit(r.response_time) for r in readings]
    return [Response(r.name, r.deriv, time) for r, time in zip(readings, known, strict=True) if r.is_filtered]


def check_sensors(spec: Any) -> None:
    """Refuse what series with an unknown scale or lag, or a response time, do not go with."""
    slow = next((reading.name for reading in spec.observations.readings if reading.is_filtered), None)
    for what, given, remedy in (
        ("interventions=", spec.interventions, "add their response, as it is known, to regressors="),
        ("period=", spec.period, "leave period= out"),
    ):
        if slow is not None and given:
            raise SpecificationError(f"{slow!r} has response_time=, which {what} does not support; {remedy}")
    for kind, name in spec.unknowns:
        if kind == "correlation":
            continue
        reading = spec.observations[name]
        mine = spec.observations.series == spec.observations.names.index(name)
        acting = [label for label in spec.regressors if spec.regressor(label)[mine].any()]
        if any(name in part.names for part in spec.joint):
            what, remedy = "covariances=", "pass sd= instead"
        elif reading.resolution is not None:
            what, remedy = "a resolution", "leave resolution= out: where the steps h are small, pass sd = sqrt(sd^2 + h^2 / 12)"
        elif kind == "scale" and acting:
            what, remedy = f"the regressor {acting[0]!r}", "make it zero for this series"
        elif kind == "lag" and (varying := [label for label in acting if label in spec.varying]):
            what, remedy = f"the varying coefficient of {varying[0]!r}", "leave it out of varying="
        elif kind == "lag" and _derivatives(reading) >= spec.prior.smoothness:
            what, remedy = "a curve without a slope", "use a higher order=, or a smoother prior="
        else:
            continue
        raise SpecificationError(
            f"{name!r} has {kind}='estimate', which {what} of it does not support; {remedy}, or pass {kind}= as a number"
        )


def _derivatives(reading: Readings) -> int:
    """How many derivatives of f its observations take."""
    return -1 if reading.deriv == OF_INTEGRAL else max(reading.deriv, 0)


def brought_to_curve(observations: Observations, scales: dict[str, float]) -> Observations:
    """Observations of some series divided by their scales, with the noise that this leaves; nothing is left to be estimated."""
    readings = []
    for reading in observations.readings:
        s = scales.get(reading.name)
        if s is not None:
            weights = reading.weights
            if reading.sd is None:  # the unknown SD stays that of the observations as they are given
                weights = frozen((1.0 if weights is None else weights) * np.full(len(reading), s * s))
            sd = None if reading.sd is None else frozen(reading.sd / s)
            reading = replace(reading, y=frozen(reading.y / s), sd=sd, weights=weights)
        readings.append(replace(reading, has_scale=False, has_lag=False))
    return replace(observations, readings=tuple(readings))


def sensor_parameters(observations: Observations, unknowns: Sequence[Unknown], extent: Extent, x_unit: float) -> list[Parameter]:
    """Bounds and starts of the logarithms of scales, of lags, and of the inverse hyperbolic tangents of correlations."""
    found = []
    for unknown in unknowns:
        if unknown.kind == "lag":
            ends = -LONGEST * extent.range, LONGEST * extent.range, -LIKELY * extent.range, LIKELY * extent.range
            limits = observations[unknown.series].lag_limits
            if limits is not None:
                low, high = (observations.abscissa.in_unit(end) / x_unit for end in limits)
                ends = low, high, low, high
            found.append(Parameter(unknown.label, 0, False, x_unit, *ends, vanishes=False, is_length=True, link=IDENTITY))
            continue
        if unknown.kind == "correlation":
            ends = -MOST_ATANH, MOST_ATANH, -LIKELY_ATANH, LIKELY_ATANH
            found.append(Parameter(unknown.label, 0, False, 1.0, *ends, vanishes=False, link=ATANH))
            continue
        mine = observations[unknown.series]
        alike = [r for r in observations.readings if not r.has_scale and (r.deriv, r.mean) == (mine.deriv, mine.mean)]
        spreads = [float(np.std(reading.y)) for reading in (mine, *alike[:1])]
        centre, reach = 0.0, FAR
        if alike and min(spreads) > 0:
            centre, reach = float(np.log(spreads[0] / spreads[1])), NEAR
        around = centre - REACH, centre + REACH, centre - reach, centre + reach
        found.append(Parameter(unknown.label, 0, False, 1.0, *around, vanishes=False, link=LOG))
    return found


def sensor_sums(spec: Calibrated, values: FloatArray, variance: FloatArray, method: str, places: Sequence[int]) -> Sums:
    """Terms of the likelihood with derivatives by the parameters at some places; `values` end with what is unknown of series.

    The noise of a series is r (v_2 / v_1)^(1/2) times that of another beside its own: derivatives by the logarithm of such a
    variance have a part, by differences, that is left out at given factors.
    """
    n = len(spec.hyperparameters)
    is_own = [not spec.parameters[i].is_variance and spec.parameters[i].index >= n for i in places]
    plain = [i for i, own in zip(places, is_own, strict=True) if not own]
    is_scale = np.array([unknown.kind == "scale" for unknown in spec.unknowns])
    readings = [spec.observations[unknown.series] if unknown.kind == "scale" else None for unknown in spec.unknowns]
    counts = np.array([0 if reading is None else len(reading) for reading in readings])
    flat = np.array([0 if reading is None else spec.n_own_effects(reading) for reading in readings])
    tied = {name for part in spec.joint if isinstance(part, Correlated) for name in part.names}

    middle = np.exp([(p.first + p.last) / 2 for p in spec.parameters[len(spec.parameters) - len(is_scale) :]])

    def at(numbers: FloatArray, along: Sequence[int] = (), noise: FloatArray = variance) -> tuple[FloatArray, int]:
        model = spec.calibrated(numbers, noise)
        sums = model.sums(values[:n], variance, method, along=along)
        parts, log = np.array([sums.log_det, sums.sse, sums.log_information]), np.log(np.where(is_scale, numbers, 1.0))
        parts[2, 0] -= 2 * float(flat @ log)
        if method == "reml" and is_scale.any():
            reference = spec.calibrated(np.where(is_scale, middle, numbers), noise)
            rests = [one.log_det_at_rest(values[:n], noise, along) for one in (model, reference)]
            parts[0] += rests[1] - rests[0]
            log = np.log(np.where(is_scale, middle, 1.0))
        parts[0, 0] += 2 * float((counts - flat) @ log)
        return parts, sums.n_used

    found = np.zeros((3, 1 + len(places)))
    found[:, [0, *(1 + k for k, own in enumerate(is_own) if not own)]], n_used = at(values[n:], plain)
    for k, place in enumerate(places):
        p, ends = spec.parameters[place], []
        if not is_own[k] and not (p.is_variance and spec.unknown[p.index] in tied):
            continue
        for step in (STEP, -STEP):
            moved, noise = values[n:].copy(), variance.copy()
            kind, i = (moved, p.index - n) if is_own[k] else (noise, p.index)
            kind[i] = p.moved(float(kind[i]), step)
            ends.append(at(moved, (), noise)[0][:, 0])
        found[:, 1 + k] += (ends[0] - ends[1]) / (2 * STEP)
    return Sums(found[0], found[1], found[2], n_used)
