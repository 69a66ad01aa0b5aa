"""The terms of a specification: processes, regressors, interventions and biases, their names and units."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError
from ..markov.joint import Correlated, Joint
from ..markov.process import Hyperparameter, Prior
from ..markov.processes import Processes
from ..markov.rows import Scale
from ..observations import Observations, Readings
from ..observations.abscissa import Points
from .effects import Intervention, Pulse, change_of
from .extent import (
    Parameter,
    power_of,
    squared_factors,
)
from .varying import coefficient_label


class Terms:
    """What a `Specification` is the sum of: names, units and columns of its processes, regressors and interventions."""

    observations: Observations
    prior: Prior
    noise: dict[str, Prior]
    varying: dict[str, Prior]
    interventions: tuple[Any, ...]
    period: float | None
    joint: tuple[Joint | Correlated, ...]
    unknown: tuple[str, ...]
    scale: Scale
    scales: dict[str, float]  # by which observations were divided
    _regressors: dict[str, FloatArray]
    _regressor_units: dict[str, float]

    # Names ------------------------------------------------------------------------------------------------------------

    @cached_property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Of the prior, of coefficients as ``<regressor>.<hyperparameter>``, of noise as ``noise.<name>.<hyperparameter>``."""
        return self.prior.hyperparameters + tuple(
            p._replace(name=f"{label}.{p.name}")
            for label, process in (*self.varying.items(), *((f"noise.{name}", one) for name, one in self.noise.items()))
            for p in process.hyperparameters
        )

    @cached_property
    def component_names(self) -> tuple[str, ...]:
        return getattr(self.prior, "names", (self.prior.label,))

    @property
    def nobs(self) -> int:
        return len(self.observations)

    def process_row(self, deriv: int, component: str | None = None, name: str | None = None) -> FloatArray:
        """Row (D,) of the processes that f^(deriv), or a component of it, is; of a series, what that shows, with its noise."""
        prior, unit = self.prior, self.scale.x_unit
        row = prior.readout(deriv, unit) if name is None else prior.shown(name, deriv, unit)
        if component is not None:
            is_asked = [label == component for label in self.component_names]
            row = row * np.append(np.repeat(is_asked, [term.dim for term in prior.components]), np.zeros(prior.late))
        parts = [row]
        for label, term in self.varying.items():
            parts.append(term.readout(deriv, unit) if component == coefficient_label(label) else np.zeros(term.dim))
        for label, term in self.noise.items():
            parts.append(term.readout(0, unit) * (label == name) / self.scales.get(label, 1.0))
        return np.concatenate(parts)

    def _processes(self) -> Processes:
        terms = (self.prior, *self.varying.values(), *self.noise.values())
        return Processes(terms, self.scale.x_unit, ("", *(f"the coefficient of {name}" for name in self.varying)))

    @cached_property
    def effects(self) -> tuple[str, ...]:
        """Names of the constant coefficients: regressors, biases and pulses of series, then interventions of the curve."""
        return (*(name for name in self._regressors if name not in self.varying), *self.intervention_labels)

    @cached_property
    def _constant(self) -> list[int]:
        """Places of the regressors, biases and pulses with a constant coefficient."""
        return [j for j, name in enumerate(self._regressors) if name not in self.varying]

    @cached_property
    def biased(self) -> tuple[str, ...]:
        """Series with an unknown bias."""
        return tuple(reading.name for reading in self.observations.readings if reading.has_bias)

    def n_own_effects(self, reading: Readings) -> int:
        """How many coefficients are of one series alone, a bias and pulses, in its own unit."""
        return reading.has_bias + sum(pulse.series == reading.name for pulse in self.pulses.values())

    @property
    def regressors(self) -> tuple[str, ...]:
        """Names of the regressors, which come before biases and pulses among those columns."""
        return tuple(self._regressors)[: len(self._regressors) - len(self.biased) - len(self.pulses)]

    @cached_property
    def pulses(self) -> dict[str, Pulse]:
        """Interventions of one series each, by their names."""
        abscissa = self.observations.abscissa
        pulses = [one for one in self.interventions if isinstance(one, Pulse) and one.series is not None]
        return {pulse.label(abscissa): pulse for pulse in pulses}

    @cached_property
    def _changes(self) -> tuple[Intervention, ...]:
        """Interventions of the curve."""
        return tuple(change for change in self.interventions if getattr(change, "series", None) is None)

    @cached_property
    def intervention_labels(self) -> tuple[str, ...]:
        """Names of the interventions of the curve."""
        return tuple(change.label(self.observations.abscissa) for change in self._changes)

    def columns(self, n: int, known: Mapping[str, FloatArray], name: str | None) -> FloatArray:
        """Scaled regressors and biases of n observations of a series: those known, (n,) each, and zero for others."""
        ones = {f"bias.{name}": np.ones(n)} if name in self.biased else {}
        columns = [(dict(known) | ones).get(label, np.zeros(n)) / unit for label, unit in self._regressor_units.items()]
        return np.column_stack([np.zeros((n, 0)), *columns])

    def dependents(self, deriv: int, name: str | None = None) -> tuple[str, ...]:
        """Regressors on which observations of f^(deriv) depend, or those of one series; all on which f could, for f."""
        if deriv == 0 and name is None:
            return self.regressors
        mine = [reading.deriv == deriv if name is None else reading.name == name for reading in self.observations.readings]
        rows = np.array(mine)[self.observations.series]
        return tuple(label for label in self.regressors if self._regressors[label][rows].any())

    def regressor(self, name: str) -> FloatArray:
        """Values of a regressor for all observations."""
        return self._regressors[name] * self._regressor_units[name]

    def intervention_columns(self, start: Points | None, end: Points, deriv: int, component: str | None = None) -> FloatArray:
        """Design of each intervention of the curve: shape (n, interventions)."""
        columns = np.zeros((len(end.coarse), len(self._changes)))
        for j, (change, label) in enumerate(zip(self._changes, self.intervention_labels, strict=True)):
            if component in (None, label):
                at = change.at(self.observations.abscissa)
                columns[:, j] = change_of(change, at, self.scale.x_unit, start, end, deriv)
        return columns

    def described(self, order: int | None) -> str:
        """The arguments of a model as a caller writes them, with the prior, or the order of an integrated Wiener process."""
        parts = [f"prior={self.prior!r}" if order is None else f"order={order}"]
        if self.period is not None:
            parts.append(f"period={self.period:g}")
        given = {"regressors": list(self.regressors), "varying": self.varying, "interventions": list(self.interventions)}
        parts += [f"{name}={value!r}" for name, value in (given | {"noise": self.noise}).items() if value]
        if self.joint:
            parts.append(f"covariances of {', '.join(name for part in self.joint for name in part.names)}")
        return ", ".join(parts)

    # Units ------------------------------------------------------------------------------------------------------------

    def unit_of(self, reading: Readings) -> float:
        """Unit of a series' observations: a mean or a difference is one of f, an integral of f times x."""
        return self.scale.of(power_of(reading))

    def scaled_hyperparameters(self) -> list[float | None]:
        """Given values in scaled units."""
        return [None if p.value is None else p.value / self.hyper_unit(p) for p in self.hyperparameters]

    def hyper_unit(self, p: Hyperparameter) -> float:
        return float(self.scale.x_unit**p.x_power * self._size_units.get(p.name, self.scale.y_unit) ** p.f_power)

    @cached_property
    def _size_units(self) -> dict[str, float]:
        """Units of coefficients, by the names of their hyperparameters."""
        return {f"{name}.{p.name}": self.coefficient_unit(name) for name, one in self.varying.items() for p in one.hyperparameters}

    def coefficient_unit(self, regressor: str) -> float:
        return self.scale.y_unit / self._regressor_units[regressor]

    @cached_property
    def effect_units(self) -> FloatArray:
        y_unit, x_unit = self.scale.y_unit, self.scale.x_unit
        units = [y_unit / self._regressor_units[name] for name in self._regressors if name not in self.varying]
        return np.array(units + [y_unit * x_unit**change.x_power for change in self._changes])

    @cached_property
    def factors(self) -> FloatArray:
        """Squared factor from a scaled observation to its row: of means the squared length of the interval."""
        return squared_factors(self.observations, self.scale.x_unit)

    @cached_property
    def reading_units(self) -> FloatArray:
        """Unit of each observation, shape (n,)."""
        readings = self.observations.readings
        return np.repeat([self.unit_of(r) for r in readings], [len(r) for r in readings])

    @property
    def is_relative(self) -> bool:
        """Whether a common factor of all variances is unknown: no SD, no step and no size of a process is given."""
        given = any(p.f_power and p.value for p in self.hyperparameters) or self.is_rounded
        return len(self.unknown) == len(self.observations.names) and not given

    @property
    def is_rounded(self) -> bool:
        """Whether some observations were rounded to steps of a given size."""
        return any(reading.resolution is not None for reading in self.observations.readings)

    def power_of(self, p: Parameter) -> int:
        """The power of a common factor of all sizes with which a parameter grows."""
        if p.is_variance:
            return 2
        return self.hyperparameters[p.index].f_power if p.index < len(self.hyperparameters) else 0

    # Biases and pulses among the regressors ---------------------------------------------------------------------------

    def _add_biases(self) -> None:
        """Make a regressor of each unknown bias: one for the observations of its series, in their unit, and zero for others."""
        series = self.observations.series
        for name in self.biased:
            label, unit = f"bias.{name}", self.scale.y_unit / self.unit_of(self.observations[name])
            if label in self._regressors:
                raise SpecificationError(f"a regressor is called {label!r}, as the bias of a series is; rename it")
            self._regressors[label], self._regressor_units[label] = (series == self.observations.names.index(name)) / unit, unit

    def _add_pulses(self) -> None:
        """Likewise of each pulse of one series: one where that series is off."""
        observations = self.observations
        for label, pulse in self.pulses.items():
            reading, column = observations[str(pulse.series)], np.zeros(self.nobs)
            unit = self.scale.y_unit / self.unit_of(reading)
            mine = observations.series == observations.names.index(reading.name)
            column[mine] = pulse.is_at(reading.x, observations.abscissa) / unit
            self._regressors[label], self._regressor_units[label] = column, unit
