"""Equations with a pole that decays too fast for the samples to identify it.

As a pole goes to minus infinity, coefficients grow together and the equation of order m becomes one of order r < m,

    z y^(m) + y^(r) = sum_{j != r} x_j y^(j) + sum_i beta_i u_i + gamma + sqrt(qx) w,      z -> 0,

whose first m - r observations are taken up by initial states. In the coordinates (x, z, beta, gamma, log qx) this limit is a point
like others: likelihoods and sums of squares are smooth up to z = 0, and have either a maximum at some z > 0 or the largest value
at the boundary, where nothing but the equation of order r is left.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._validation import FloatArray, frozen
from ..errors import DataError, IdentificationError
from .sample import Sample
from .specification import Equation
from .start import starts

FAST = 1.0  # decay over a step, in logarithms, beyond which a pole is treated as one that may be infinitely fast
START = 0.3  # of a step: a time constant at which to start
VERY_FAST = 1e3  # decay over a step, of which nothing is left at the next
SHORTEST = 1e-4  # of a step: a time constant that the search no longer follows where it wants to be shorter
VANISHED = 1e-7  # of a step: a time constant that is zero
CHANGE = 5.0  # the factor by which one step of a search may change z


class FastPoleError(IdentificationError):
    """The supremum of a criterion is at an infinitely fast pole."""

    def __init__(self, message: str, order: int = 0):
        super().__init__(message)
        self.order = order


def fast_pole(equation: Equation, order: int) -> FastPoleError:
    """Message if an equation of a lower order fits the observations as well as theirs with the fastest poles."""
    kept = tuple(j for j in equation.derivatives if j < order)
    also = "" if kept == tuple(range(order)) else f", derivatives={kept}"
    what = "a pole decays" if equation.order - order == 1 else f"{equation.order - order} poles decay"
    return FastPoleError(
        f"{what} too fast for these samples: the observations fit an equation of order {order} as well; use order={order}{also}",
        order,
    )


def n_fast(equation: Equation, theta: FloatArray, step: float, decay: float = FAST) -> int:
    """How many poles decay by more than exp(-decay) over a step."""
    return int((np.linalg.eigvals(equation.matrices(theta)[0]).real * step < -decay).sum())


def can_lower(equation: Equation, sample: Sample) -> bool:
    """Whether an infinitely fast pole leaves an equation of this kind."""
    m = equation.order
    rest = equation.order > 1 and (len(equation.derivatives) > 1 or equation.n_drives > 0)
    proper = max(equation.input_derivatives, default=0) < m
    kind = (
        proper
        and not equation.known
        and not equation.intensities
        and not equation.hidden
        and equation.n_outputs == 1
        and sample.reads_values_only
        and not equation.terms
    )
    return kind and rest and m - 1 in equation.derivatives


def lowered(equation: Equation, sample: Sample) -> tuple[Equation, Sample]:
    """What an infinitely fast pole leaves: the order below, and runs that start at their second observation."""
    kept, runs = [], []
    labels: list[Any] = []
    for s, label in zip(sample.slices(), sample.labels, strict=True):
        known = s.start + np.flatnonzero(np.isfinite(sample.y[s, 0]))
        if len(known) > 1:
            kept.append(np.arange(known[1], s.stop))
            runs.append(np.full(len(kept[-1]), len(labels)))
            labels.append(label)
    if not kept:
        raise DataError("no run has two observations")
    rows = np.concatenate(kept)
    order = equation.order - 1
    derivatives = tuple(j for j in equation.derivatives if j < order)
    return (
        replace(equation, order=order, derivatives=derivatives),
        replace(
            sample,
            t=frozen(sample.t[rows]),
            run=frozen(np.concatenate(runs)),
            labels=tuple(labels),
            y=frozen(sample.y[rows]),
            ratio=frozen(sample.ratio[rows]),
            u=frozen(sample.u[rows]),
        ),
    )


def raised(lower: Equation, theta: FloatArray, upper: Equation, times: FloatArray) -> FloatArray:
    """Coefficients of an equation from those of a lower order and the time constants of the poles that it has not."""
    characteristic = np.zeros(lower.order + 1)  # of s^0, s^1, ...
    characteristic[-1] = 1.0
    derivatives = sorted(lower.derivatives)
    characteristic[derivatives] = -theta[: len(derivatives)]
    for time in times:
        characteristic = np.append(characteristic, 0.0) + time * np.append(0.0, characteristic)
    characteristic, lead = characteristic / characteristic[-1], characteristic[-1]
    return np.concatenate([-characteristic[sorted(upper.derivatives)], theta[len(derivatives) :] / lead])


def fast_starts(equation: Equation, sample: Sample, step: float) -> list[FloatArray]:
    """Where a search may start that may end at a fast pole: the start of the order below, and a pole of its own."""
    if not can_lower(equation, sample):
        return []
    try:
        lower, part = lowered(equation, sample)
    except DataError:
        return []
    return [raised(lower, starts(lower, part)[0], equation, np.array([START * step]))]


class Chart:
    """Coordinates x of (theta, log variances): themselves, or those in which a vanishing z is a point like others.

    Parameters
    ----------
    lead : int or None
        Place in theta of the coefficient -1/z of y^(r); None for theta itself.
    """

    def __init__(self, n_theta: int, n_variances: int, lead: int | None = None):
        self.n_theta = n_theta
        self.size = n_theta + n_variances
        self.lead = lead

    @classmethod
    def at(cls, equation: Equation, theta: FloatArray, n_variances: int, step: float) -> Chart:
        """The coordinates that suit a search at theta."""
        lead = None
        if equation.n_outputs == 1 and equation.order > 1 and not equation.hidden:
            count = n_fast(equation, theta, step)
            derivatives = sorted(equation.derivatives)
            r = equation.order - count
            if count and r in derivatives and theta[derivatives.index(r)] < 0:
                lead = derivatives.index(r)
        return cls(len(theta), n_variances, lead)

    def time(self, theta: FloatArray) -> float:
        """The constant z."""
        return np.inf if self.lead is None else -1.0 / float(theta[self.lead])

    def difference(self, theta: FloatArray, i: int, width: float) -> float:
        """The step of differences along x_i, `width` but for z, of which it is a tenth at most."""
        return min(width, self.time(theta) / 10) if i == self.lead else width

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """Derivatives of (theta, log variances) by x; the first variance is the intensity of process noise."""
        J = np.eye(self.size)
        if self.lead is None:
            return J
        z, n = self.time(theta), self.n_theta
        J[:n, :n] /= z
        J[:n, self.lead] = -theta / z
        J[self.lead, self.lead] = 1 / z**2
        if self.size > n:
            J[n, self.lead] = -2 / z
        return J

    def within(self, theta: FloatArray, step: FloatArray, curvature: FloatArray) -> FloatArray:
        """A step that leaves z positive and of a like size, the others being best for that z by a curvature (zero where fixed)."""
        if self.lead is None:
            return step
        z, change = self.time(theta), float(step[self.lead])
        allowed = min(max(change, (1 / CHANGE - 1) * z), (CHANGE - 1) * z)
        if allowed == change:
            return step
        others = (curvature.diagonal() > 0) & (np.arange(len(step)) != self.lead)
        size = np.sqrt(curvature.diagonal()[others])
        unit = curvature[np.ix_(others, others)] / np.outer(size, size)
        follow = np.linalg.lstsq(unit, curvature[others, self.lead] / size, rcond=None)[0] / size
        limited = step.copy()
        limited[self.lead] = allowed
        limited[others] -= follow * (allowed - change)
        return limited

    def moved(self, theta: FloatArray, variances: FloatArray, step: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients and variances after a step in x."""
        n = self.n_theta
        with np.errstate(over="ignore"):  # beyond all numbers the criterion is infinite
            factors = np.exp(step[n:])
        if self.lead is None:
            return theta + step[:n], variances * factors
        z = self.time(theta)
        now = z + step[self.lead]
        there = (theta * z + step[:n]) / now
        there[self.lead] = -1 / now
        if len(factors):
            factors[0] *= (z / now) ** 2
        return there, variances * factors


def check_vanishing(equation: Equation, chart: Chart, theta: FloatArray, step: float, slope: float) -> None:
    """Raise if a search has come to what an infinitely fast pole leaves; `slope` of what it minimises, by x."""
    if chart.lead is not None and vanishes(equation, theta, step, slope):
        raise fast_pole(equation, equation.order - n_fast(equation, theta, step, VERY_FAST))


def vanishes(equation: Equation, theta: FloatArray, step: float, slope: float) -> bool:
    """Whether a pole is so fast that nothing but its limit is left, or fast and D falls (`slope` by z) as it becomes faster."""
    fastest = float(-np.linalg.eigvals(equation.matrices(theta)[0]).real.min()) * step
    return fastest * VANISHED > 1 or (fastest * SHORTEST > 1 and slope > 0)
