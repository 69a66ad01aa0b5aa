"""The posterior of a specification at given hyperparameters and variances, by the kernels of any prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .._validation import FloatArray
from ..markov.program import Functionals, Program
from ..observations import Observations
from .functionals import CurveFunctionals, in_state
from .online import Kind, Source
from .specification import Specification
from .stream import StructuralOnline

MOST_NORMALS = 2**23  # drawn at a time


class Question(NamedTuple):
    """Functionals compiled after the observations, with what takes their answers to the user's units: (n,) each."""

    program: Program
    units: FloatArray
    origins: FloatArray


def question(specification: Specification, functionals: CurveFunctionals) -> Question:
    """Compile functionals."""
    query, units, origins = in_state(specification, functionals)
    return Question(specification.compiled(Functionals.join([specification.functionals, query])), units, origins)


@dataclass(frozen=True, eq=False)
class MarkovPosterior:
    """The posterior of a specification.

    Attributes
    ----------
    specification : Specification
    hyper : ndarray
        Scaled hyperparameters, all of them.
    variance : ndarray, shape (n_groups,)
        Scaled variances of the unknown series, and one for the known ones.
    """

    specification: Specification
    hyper: FloatArray
    variance: FloatArray

    @property
    def observations(self) -> Observations:
        """Those of the specification."""
        return self.specification.observations

    # Functionals ------------------------------------------------------------------------------------------------------

    def moments(self, functionals: CurveFunctionals) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances of functionals (n,), in the user's units."""
        return self.answer(question(self.specification, functionals))

    def answer(self, asked: Question) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances, in the user's units."""
        mean, variance = asked.program.moments(self.hyper, self.variance)
        n = self.specification.nobs
        return mean[n:] * asked.units + asked.origins, variance[n:] * asked.units**2

    def draws(self, functionals: CurveFunctionals, rng: np.random.Generator, size: int) -> FloatArray:
        """Draws (size, n) of functionals about their means, in the user's units."""
        return self.drawn(question(self.specification, functionals), rng, size)

    def drawn(self, asked: Question, rng: np.random.Generator, size: int) -> FloatArray:
        """Draws (size, n) about the means, in the user's units."""
        program, parts = asked.program, []
        block = max(1, MOST_NORMALS // (len(program.step) * 2 * program.n_states))
        for start in range(0, size, block):
            normals = rng.standard_normal((min(block, size - start), len(program.step), 2 * program.n_states))
            rows = program.draws(self.hyper, self.variance, np.ascontiguousarray(np.moveaxis(normals, 0, -1)))
            parts.append(rows[self.specification.nobs :].T * asked.units)
        return np.concatenate(parts) if parts else np.empty((0, len(asked.units)))

    def ask(self, query: Functionals) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of functionals of the state."""
        program = self.specification.compiled(Functionals.join([self.specification.functionals, query]))
        mean, variance = program.moments(self.hyper, self.variance)
        return mean[self.specification.nobs :], variance[self.specification.nobs :]

    # Observations -----------------------------------------------------------------------------------------------------

    @cached_property
    def white(self) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of the combinations of observations whose noise is independent."""
        return self.specification.program.moments(self.hyper, self.variance)

    @cached_property
    def read(self) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of what is observed."""
        read = self.specification.as_read
        return self.ask(replace(read, y=np.full(len(read), np.nan))) if self.specification.joint else self.white

    @property
    def noise_ratio(self) -> FloatArray:
        """Scaled noise variance of each observation."""
        read = self.specification.as_read
        return read.ratio * self.variance[read.group]

    @property
    def leverage(self) -> FloatArray:
        """Diagonal (n,) of the smoother matrix."""
        return self.read[1] / self.noise_ratio

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, sd and whether it is unknown."""
        sds = []
        for reading in self.observations.readings:
            unit = self.specification.unit_of(reading)
            if reading.sd is None:
                sd = float(np.sqrt(self.variance[self.specification.unknown.index(reading.name)])) * unit
            else:
                sd = float(np.sqrt(np.mean((reading.sd / unit) ** 2))) * unit
            sds.append((reading.name, sd, reading.sd is None))
        return sds

    def noise_variance_of(self, name: str) -> float:
        """Scaled noise variance of a new observation of weight one, with the stationary spread of its noise process."""
        model = self.specification
        unit = model.unit_of(self.observations[name])
        known = (next(sd for label, sd, _ in self.noise_sds if label == name) / unit) ** 2
        independent = float(self.variance[model.unknown.index(name)]) if name in model.unknown else known
        if name not in model.noise:
            return independent
        row = model.process_row(0, None, name) - model.process_row(0)
        return independent + float(row @ model.processes.start(self.hyper).covariance @ row)

    def online(self, lag: int, df: float, described: str) -> StructuralOnline:
        """A curve that goes on with new observations; `df` and the model as `described` are what it shows."""
        model, kinds, noise = self.specification, {}, {}
        for reading in self.observations.readings:
            unit = model.unit_of(reading)
            kinds[reading.name] = Kind.of(reading, unit, 0.0, model.unknown)
            noise[reading.name] = float(np.sqrt(self.noise_variance_of(reading.name))) * unit
        return StructuralOnline(Source(self.observations, kinds, noise, df, described), lag, model, self.hyper, self.variance)
