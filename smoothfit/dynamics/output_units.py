"""Outputs in units of their own spread, in which searches for several outputs are made.

Starts, ratios of noises and what counts as rounding have one level for all outputs. In units that differ by many decades one output
would drown the others, and a search could end at a lower maximum, or overflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._validation import FloatArray
from ..errors import NumericalError
from .likelihood import WITHOUT_NOISE, StateSpace
from .methods.base import Problem
from .sample import Sample
from .scoring import NEARLY_EXACT
from .specification import Bound, Equation, Known

SAME = 1e-6  # of the logarithm of a unit: what rounding leaves of one


def units_of(sample: Sample) -> FloatArray:
    """Spread of each output (p,): the SD of its values, or of a derivative that is observed, times the spacing to its order."""
    found = np.ones(len(sample.outputs))
    for i in range(len(found)):
        own = sorted((c.deriv, k) for k, c in enumerate(sample.channels) if c.output == i)
        seen = ((deriv, sample.y[np.isfinite(sample.y[:, k]), k]) for deriv, k in own)
        spreads = [float(y.std()) * sample.gap**deriv if len(y) else 0.0 for deriv, y in seen]
        found[i] = next((spread for spread in spreads if spread > 0), 1.0)
    return found


def check_all_exact(model: StateSpace, sigma2: FloatArray) -> None:
    """Refuse noise of some series, beside their largest observation, in a fit without noise of others."""
    sample = model.sample
    largest = np.nanmax(np.abs(sample.y[:, model.unknown]), axis=0, initial=0.0)
    has_noise = np.sqrt(sigma2) > NEARLY_EXACT * np.where(largest > 0, largest, 1.0)
    if any(has_noise):
        exact = [repr(sample.channels[i].name) for i, noisy in zip(model.unknown, has_noise, strict=True) if not noisy]
        vanishing = f"of {' and '.join(exact)} vanishes" if exact else "in the equation vanishes"
        raise NumericalError(f"the likelihood grows without bound as the noise {vanishing}. {WITHOUT_NOISE}")


@dataclass(frozen=True, eq=False)
class OutputUnits:
    """What a problem of several outputs becomes if each is divided by its unit (p,).

    Attributes
    ----------
    problem : Problem
        In the units of the user.
    units : ndarray, shape (p,)
    """

    problem: Problem
    units: FloatArray

    @classmethod
    def of(cls, problem: Problem) -> OutputUnits | None:
        """The units of a problem; None if there is one output, or all have their unit."""
        if problem.equation.n_outputs == 1:
            return None
        units = units_of(problem.sample)
        return None if (np.abs(np.log(units)) < SAME).all() else cls(problem, units)

    @property
    def scaled(self) -> Problem:
        """The problem in these units."""
        equation, sample, units = self.problem.equation, self.problem.sample, self.units
        by_channel = units[[c.output for c in sample.channels]]
        is_known = np.array([c.known for c in sample.channels])
        ratio = sample.ratio / np.where(is_known, by_channel**2, 1.0)
        return Problem(self._equation(equation), replace(sample, y=sample.y / by_channel, ratio=ratio))

    def _equation(self, equation: Equation) -> Equation:
        theta, q, p = self.of_theta, self.of_noises, len(self.units)
        levels: Sequence[float] = equation.levels
        if levels:
            levels = [*(np.array(levels[:p]) / self.units).tolist(), *levels[p:]]
        return replace(
            equation,
            known=tuple(Known(one.place, one.mean / theta[one.place], one.sd / theta[one.place]) for one in equation.known),
            bounds=tuple(Bound(one.place, one.lower / theta[one.place], one.upper / theta[one.place]) for one in equation.bounds),
            intensities=tuple((np.array(equation.intensities) / q).tolist()) if equation.intensities else (),
            levels=tuple(levels),
        )

    @property
    def of_theta(self) -> FloatArray:
        """The units of the coefficients (k,)."""
        return self.problem.equation.coefficient_units(self.units)

    def with_stated(self, theta: FloatArray, within: FloatArray, scaled: Equation) -> FloatArray:
        """Coefficients (k,), those that are fixed or at a bound `within` these units being exactly that."""
        equation = self.problem.equation
        theta[equation.is_fixed] = equation.with_known(theta)[equation.is_fixed]
        for one, there in zip(equation.bounds, scaled.bounds, strict=True):
            if within[one.place] in (there.lower, there.upper):
                theta[one.place] = one.lower if within[one.place] == there.lower else one.upper
        return theta

    @property
    def of_noises(self) -> FloatArray:
        """The units of the intensities of the process noises."""
        return np.asarray(self.units[self.problem.equation.noise_outputs] ** 2)

    def of_observations(self, unknown: Sequence[int]) -> FloatArray:
        """The units of the unknown noise variances."""
        channels = self.problem.sample.channels
        return np.asarray(self.units[[channels[i].output for i in unknown]] ** 2)
