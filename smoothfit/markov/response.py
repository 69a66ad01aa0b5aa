"""Curves beside the outputs of instruments that respond to them slowly, by a filter of first order.

An instrument with response time tau that observes f^(k) shows z, the solution of

    tau z' + z = f^(k).

Beside a prior that is a linear stochastic differential equation, or a sum of such priors, this is one of as many states more as
there are filters, whose transition and noise over steps of any length are exact. `Filtered` is the prior with these states. What z
gathers over a step is the sum of what it gathers of each part of the curve.

z is diffuse at the first observation of its series: to what the instrument was exposed before is not known, and a stationary start
would be wrong for one that was just switched on. It costs one observation. A flat density of z at an earlier x would be one of
z exp(-distance / tau) at that observation, and count as evidence for a short tau.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import SpecificationError
from .equation import AnyArray, Equation
from .process import AMPLITUDE, INTENSITY, RESPONSE, Hyperparameter, Prior, Start, names_of, start_together, sum_of
from .seasonal import DummySeasonal, turn

__all__ = ["Filtered", "Response", "with_responses"]


class Response(NamedTuple):
    """A filter of first order.

    Attributes
    ----------
    name : str
        Of the series.
    deriv : int
        Order of the derivative that is filtered.
    time : float or None
        The response time in units of x; None: estimated.
    """

    name: str
    deriv: int
    time: float | None


class Units(NamedTuple):
    """T of steps (n, M, M), and of each equation the places in the state (m,) and Q (p, n, m, m) for noises of intensity one."""

    T: AnyArray
    parts: list[tuple[npt.NDArray[np.int64], AnyArray]]


class Filtered(Prior):
    """A prior of a curve, which may be a sum, and below its state the outputs of some filters of it."""

    label: ClassVar[str] = "filtered"

    def __init__(self, curve: Prior, responses: Sequence[Response]):
        self._curve = curve
        self.responses = tuple(responses)
        self._kept: tuple[bytes, Units] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None}

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the parts of the curve."""
        return names_of(self._curve.components)

    @property
    def components(self) -> tuple[Prior, ...]:
        """The priors of which the curve is a sum."""
        return self._curve.components

    @property
    def curve(self) -> Prior:
        """The prior of the curve."""
        return self._curve

    @property
    def late(self) -> int:
        """One state for each filter."""
        return len(self.responses)

    @property
    def dim(self) -> int:
        """Of the curve, and of the filters."""
        return self._curve.dim + self.late

    @property
    def smoothness(self) -> int:
        """Of the curve."""
        return self._curve.smoothness

    @property
    def level(self) -> FloatArray | None:
        """Of the curve; filters of values show the same constant."""
        mine = self._curve.level
        return None if mine is None else np.append(mine, [float(one.deriv == 0) for one in self.responses])

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Those of the curve, then the response times."""
        times = (Hyperparameter(f"response_time.{one.name}", RESPONSE, 1, 0, one.time) for one in self.responses)
        return (*self._curve.hyperparameters, *times)

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Of the curve."""
        return np.append(self._curve.readout(deriv, x_unit), np.zeros(self.late))

    def shown(self, name: str, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """The output of the filter of a series, or what it observes of the curve."""
        names = [one.name for one in self.responses]
        if name not in names:
            return self.readout(deriv, x_unit)
        return np.asarray(np.eye(self.dim)[self._curve.dim + names.index(name)])

    def with_components(self, parts: Sequence[Prior]) -> Filtered:
        """The same filters of another curve."""
        return Filtered(sum_of(parts), self.responses)

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """Those of the curve, each with what the filters make of it, of which the outputs are the sum."""
        found, at, times = [], 0, list(values[len(values) - self.late :])
        rows = [self._curve.readout(one.deriv, x_unit) for one in self.responses]
        for equation in self._curve.equations(values[: len(values) - self.late], x_unit):
            here = slice(at, at + len(equation.system))
            found.append(equation.filtered([row[here] for row in rows], times))
            at = here.stop
        return tuple(found)

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """That of the curve; outputs are diffuse."""
        own = self._values(values)
        diffuse = Start(np.eye(self.late), np.zeros((self.late, self.late)))
        return start_together([self._curve.start(own[: len(own) - self.late], x_unit), diffuse])

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """By matrix exponentials of each part of the curve with what the filters make of it."""
        curve = self._curve.equations(values[: len(values) - self.late], x_unit)
        sizes = [equation.intensities for equation in curve]
        T, parts = self._units(dt, values, x_unit, int(integral))
        Q = np.zeros(T.shape, dtype=np.result_type(*sizes, *(spread for _, spread in parts)))
        for (places, spread), size in zip(parts, sizes, strict=True):
            Q[:, places[:, None], places] += np.tensordot(size, spread, 1)
        return T, Q

    def _units(self, dt: FloatArray, values: AnyArray, x_unit: float, first: int) -> Units:
        """For noises of intensity one; real matrices are kept until others are asked for, as sizes do not change them."""
        shape = values[[p.kind not in (INTENSITY, AMPLITUDE) for p in self.hyperparameters]]
        key = dt.tobytes() + np.append(shape.real, [x_unit, first]).tobytes()
        is_real = not np.any(np.imag(shape))
        if is_real and self._kept is not None and self._kept[0] == key:
            return self._kept[1]
        found = self._discrete(self.equations(values.real if is_real else values, x_unit), dt, x_unit, first)
        self._kept = key, Units(found.T.real, [(places, spread.real) for places, spread in found.parts])
        return found

    def _discrete(self, equations: Sequence[Equation], dt: FloatArray, x_unit: float, first: int) -> Units:
        """For noises of intensity one; the integral of the curve comes first if `first` is one."""
        k, at, shown, found = self.late, first, self._curve.readout(0, x_unit), []
        size = first + self.dim
        T = np.zeros((len(dt), size, size), dtype=np.result_type(*(equation.system for equation in equations)))
        for equation in equations:
            d = len(equation.system) - k
            places = np.array([*range(first), *range(at, at + d), *range(size - k, size)])
            own = shown[at - first : at - first + d]
            T[:, places[:, None], places], spread = (equation.integrated(own) if first else equation).discrete(dt)
            found.append((places, spread))
            if equation.frequency:
                sine, cosine = turn(equation.frequency * dt)
                T[:, [at, at + 1], [at + 1, at]] *= (sine != 0)[:, None]
                T[:, [at, at + 1], [at, at + 1]] *= (cosine != 0)[:, None]
            at += d
        for j, response in enumerate(self.responses):
            if equations[0].system[j - k, j - k] == 0:  # responds at once
                row = np.append(np.zeros(first), self.readout(response.deriv, x_unit))
                T[:, j - k] = row @ T
                for places, spread in found:
                    spread[..., j - k, :] = row[places] @ spread
                    spread[..., j - k] = spread @ row[places]
        return Units(T, found)

    def naming(self, parts: Sequence[int]) -> str:
        """Outputs of instruments."""
        return " and ".join(f"the response of {self.responses[part - self._curve.dim].name!r}" for part in parts)

    def __repr__(self) -> str:
        return repr(self._curve)


def with_responses(prior: Prior, responses: Sequence[Response]) -> Prior:
    """The prior with the outputs of instruments that respond slowly, if there are any."""
    if not responses or isinstance(prior, Filtered):
        return prior
    for part in prior.components:
        if not part.equations(np.ones(len(part.hyperparameters)), 1.0):
            remedy = "use Seasonal" if isinstance(part, DummySeasonal) else "use a prior of sf.priors, such as LinearSDE"
            raise SpecificationError(
                f"{responses[0].name!r} has response_time=, which {part!r} does not support: it has steps, but no differential "
                f"equation; {remedy}"
            )
    return Filtered(prior, responses)
