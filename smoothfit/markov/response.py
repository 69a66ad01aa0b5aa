"""Curves beside the outputs of instruments that respond to them slowly, by a filter of first order.

An instrument with response time tau that observes f^(k) shows z, the solution of

    tau z' + z = f^(k).

Beside a prior of state (f, ..., f^(d-1)) this is a linear stochastic differential equation of d + 1 states, whose transition and
noise over steps of any length are exact. `Filtered` is the prior with such a state for each instrument.

z is diffuse at the first observation of its series: to what the instrument was exposed before is not known, and a stationary start
would be wrong for one that was just switched on. It costs one observation. A flat density of z at an earlier x would be one of
z exp(-distance / tau) at that observation, and count as evidence for a short tau.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError
from .process import RESPONSE, AnyArray, Chain, Hyperparameter, Prior, Start, discrete_chain, split_values
from .trend import Trend

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


class Filtered(Prior):
    """A prior of a curve, one or several chains, and below its state the outputs of some filters.

    The output of a filter is the sum of what it makes of each chain, which are states of their own.
    """

    label: ClassVar[str] = "filtered"

    def __init__(self, curve: Prior, responses: Sequence[Response]):
        self._curve = curve
        self._chains = [part for part in curve.components if isinstance(part, Chain)]
        self.responses = tuple(responses)
        self._last: tuple[tuple[bytes, bytes], tuple[AnyArray, AnyArray]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}

    @property
    def names(self) -> tuple[str, ...]:
        """The kind of the curve's prior."""
        return (self._curve.label,)

    @property
    def curve(self) -> Prior:
        """The prior of the curve."""
        return self._curve

    @property
    def late(self) -> int:
        """One state for each filter of each chain."""
        return len(self.responses) * len(self._chains)

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
        mine, shown = self._curve.level, np.zeros(self.late)
        shown[: len(self.responses)] = [float(one.deriv == 0) for one in self.responses]
        return None if mine is None else np.append(mine, shown)

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
        row = np.zeros(self.dim)
        row[self._curve.dim + names.index(name) :: len(names)] = 1.0
        return row

    def with_component(self, part: Prior) -> Filtered:
        """The prior with another part of the curve."""
        return Filtered(self._curve.with_component(part), self.responses)

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """That of the curve; outputs are diffuse, and those of the first chain take this up."""
        k, own = len(self.responses), self._values(values)
        diffuse, covariance = self._curve.start(own[: len(own) - k], x_unit)
        D, free = diffuse.shape
        directions, known = np.zeros((self.dim, free + k)), np.zeros((self.dim, self.dim), dtype=covariance.dtype)
        directions[:D, :free], directions[D : D + k, free:], known[:D, :D] = diffuse, np.eye(k), covariance
        return Start(directions, known)

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """By the matrix exponential in dimensionless time, of each chain and its filters together."""
        k, D = len(self.responses), self._curve.dim
        links = [(one.deriv, time) for one, time in zip(self.responses, values[len(values) - k :], strict=True)]
        if len(self._chains) == 1:
            return self._chains[0].driving(dt, values[: len(values) - k], integral, links, self._discrete)
        given = split_values(self._chains, values[: len(values) - k])
        size, at, whole = int(integral) + self.dim, int(integral), []
        for j, (chain, own) in enumerate(zip(self._chains, given, strict=True)):
            below = int(integral) + D + k * j
            places = np.array([*range(int(integral)), *range(at, at + chain.dim), *range(below, below + k)])
            parts = chain.driving(dt, own, integral, links, discrete_chain)
            both = np.zeros((2, len(dt), size, size), dtype=np.result_type(*parts))
            both[:, :, places[:, None], places] = parts
            whole.append(both)
            at += chain.dim
        T, Q = np.sum(whole, axis=0)
        if integral:
            T[:, 0, 0] = 1.0
        return T, Q

    def _discrete(self, system: AnyArray, z: AnyArray, last: int) -> tuple[AnyArray, AnyArray]:
        """As `discrete_chain`; real matrices are kept until others are asked for: sizes and noise leave them as they are."""
        if np.iscomplexobj(system) or np.iscomplexobj(z):
            return discrete_chain(system, z, last)
        key, kept = (system.tobytes(), z.tobytes()), self._last
        if kept is None or kept[0] != key:
            kept = self._last = key, discrete_chain(system, z, last)
        return kept[1]

    def naming(self, parts: Sequence[int]) -> str:
        """The curve, or the output of an instrument."""
        below = [(part - self._curve.dim) % len(self.responses) for part in parts if part >= self._curve.dim]
        found = [f"the response of {self.responses[j].name!r}" for j in below]
        return " and ".join(([repr(self._curve)] if len(found) < len(parts) else []) + found)

    def __repr__(self) -> str:
        return repr(self._curve)


def with_responses(prior: Prior, responses: Sequence[Response]) -> Prior:
    """The prior with the outputs of instruments that respond slowly, if there are any."""
    if not responses or isinstance(prior, Filtered):
        return prior
    if not isinstance(prior, Chain) or isinstance(prior, Trend):
        raise SpecificationError(
            f"{responses[0].name!r} has response_time=, which {prior!r} does not support; use order=, or a prior by itself: "
            "IntegratedWiener, Matern, OrnsteinUhlenbeck, IntegratedOrnsteinUhlenbeck, TensionSpline or DampedOscillator"
        )
    return Filtered(prior, responses)
