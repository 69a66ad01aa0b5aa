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

from collections.abc import Callable, Sequence
from functools import cached_property
from operator import mul
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import SpecificationError
from .discretize import COMPLEX_STEP, discretize
from .equation import AnyArray, Equation, clear_rounding
from .process import AMPLITUDE, INTENSITY, RESPONSE, Hyperparameter, Prior, Start, names_of, start_together, sum_of
from .seasonal import DummySeasonal

__all__ = ["Filtered", "Response", "with_responses"]

Kept = TypeVar("Kept")


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


class Part(NamedTuple):
    """One equation of a curve with what filters make of it: x' = (system + sum_j gains_j / times_j) x + entry (noises).

    Attributes
    ----------
    system : ndarray, shape (m, m)
    gains : ndarray, shape (late, m, m)
    entry : ndarray, shape (m, p)
    shares : ndarray, shape (p, J)
        What the intensities of the noises have of each size.
    places : ndarray, shape (m,)
        Where its components are in the state.
    frequency : float
        As of equations.
    """

    system: AnyArray
    gains: AnyArray
    entry: FloatArray
    shares: AnyArray
    places: npt.NDArray[np.int64]
    frequency: float


class Steps(NamedTuple):
    """T of steps (n, M, M), and Q for each size of one: (J, n, M, M)."""

    T: AnyArray
    Q: AnyArray


class Last(Generic[Kept]):
    """The last thing that was made, for as long as the same is asked for; it is not pickled."""

    def __init__(self) -> None:
        self._kept: tuple[bytes, Kept] | None = None

    def __reduce__(self) -> tuple[type[Last[Kept]], tuple[()]]:
        return type(self), ()

    def get(self, key: bytes, make: Callable[[], Kept]) -> Kept:
        """What is kept under a key, made now if it is another than the last one."""
        kept = self._kept
        if kept is None or kept[0] != key:
            self._kept = kept = key, make()
        return kept[1]


class Filtered(Prior):
    """A prior of a curve, which may be a sum, and below its state the outputs of some filters of it."""

    label: ClassVar[str] = "filtered"

    def __init__(self, curve: Prior, responses: Sequence[Response]):
        self._curve = curve
        self.responses = tuple(responses)
        self._last_parts, self._last_steps = Last[tuple[Part, ...]](), Last[tuple[Steps, dict[int, Steps]]]()

    @property
    def names(self) -> tuple[str, ...]:
        return names_of(self._curve.components)

    @property
    def components(self) -> tuple[Prior, ...]:
        return self._curve.components

    @property
    def curve(self) -> Prior:
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
        own, times = values[: len(values) - self.late], values[len(values) - self.late :]
        return self._filtered(self._curve.equations(own, x_unit), times, x_unit)

    def _filtered(self, equations: Sequence[Equation], times: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """Equations of the curve with what filters of given response times make of them."""
        found, at = [], 0
        rows = [self._curve.readout(one.deriv, x_unit) for one in self.responses]
        for equation in equations:
            here = slice(at, at + len(equation.system))
            found.append(equation.filtered([row[here] for row in rows], list(times)))
            at = here.stop
        return tuple(found)

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """That of the curve; outputs are diffuse."""
        own = self._values(values)
        diffuse = Start(np.eye(self.late), np.zeros((self.late, self.late)))
        return start_together([self._curve.start(own[: len(own) - self.late], x_unit), diffuse])

    @cached_property
    def starts_unknown(self) -> bool:
        """Whether all of the first state is diffuse."""
        return not self.start(np.ones(len(self.hyperparameters))).covariance.any()

    @cached_property
    def powers(self) -> npt.NDArray[np.int64]:
        """The power of each hyperparameter to which Q is proportional: 1 of intensities, 2 of amplitudes, 0 of others."""
        return np.array([{INTENSITY: 1, AMPLITUDE: 2}.get(p.kind, 0) for p in self.hyperparameters])

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """By matrix exponentials of each part of the curve with what the filters make of it."""
        found = self._steps(dt, values, x_unit, int(integral))
        return found.T, np.tensordot(self._sizes(values), found.Q, 1)

    def tables(
        self,
        dt: FloatArray,
        values: FloatArray,
        x_unit: float,
        integral: bool,
        along: dict[int, int],
        width: int,
        waits: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """T and Q of steps (n, M, M, width), and at d on the last axis their derivatives by the logarithm of number `along[d]`.

        Outputs stay as they are over the steps that they wait (n, late). What sizes do not change is kept until others are asked
        for.
        """
        waits = np.zeros((len(dt), self.late), dtype=bool) if waits is None else waits
        first, is_shape = int(integral), self.powers == 0
        key = dt.tobytes() + waits.tobytes() + np.append(values[is_shape], [x_unit, first]).tobytes()

        def made() -> tuple[Steps, dict[int, Steps]]:
            return _waiting(self._steps(dt, values, x_unit, first), waits, 1.0), {}

        real, slopes = self._last_steps.get(key, made)
        for i in along.values():
            if is_shape[i] and i not in slopes:
                moved = values.astype(complex)
                moved[i] *= 1 + 1j * COMPLEX_STEP
                at = self._steps(dt, moved, x_unit, first)
                slopes[i] = _waiting(Steps(at.T.imag / COMPLEX_STEP, at.Q.imag / COMPLEX_STEP), waits, 0.0)
        sizes = np.zeros((len(real.Q), width))
        sizes[:, 0] = self._sizes(values)
        T = np.zeros((*real.T.shape, width))
        T[..., 0] = real.T
        for d, i in along.items():
            if is_shape[i]:
                T[..., d] = slopes[i].T
            else:
                place = 1 + np.count_nonzero(~is_shape[:i])
                sizes[place, d] = self.powers[i] * sizes[place, 0]
        Q = (real.Q.reshape(len(sizes), -1).T @ sizes).reshape(T.shape)
        for d, i in along.items():
            if is_shape[i]:
                Q[..., d] = np.tensordot(sizes[:, 0], slopes[i].Q, 1)
        return T, Q

    def _sizes(self, values: AnyArray) -> AnyArray:
        """One, and intensities and squared amplitudes (J,), in which Q is linear."""
        is_size = self.powers > 0
        return np.append(1.0, values[is_size] ** self.powers[is_size])

    def _parts_at(self, values: AnyArray, x_unit: float, first: int) -> tuple[Part, ...]:
        """The equations at shapes of the curve; the integral of the curve comes first if `first` is one."""
        k, sizes = self.late, np.flatnonzero(self.powers)
        each = np.repeat(values[None, : len(values) - k], 1 + len(sizes), axis=0)
        each[:, sizes] = np.eye(1 + len(sizes))[:, 1:]
        none, *of_sizes = (self._curve.equations(one, x_unit) for one in each)
        slow = [self._filtered(none, times, x_unit) for times in (np.full(k, np.inf), *np.where(np.eye(k) > 0, 1.0, np.inf))]
        found, at, shown = [], first, self._curve.readout(0, x_unit)
        for i, equation in enumerate(none):
            d, base = len(equation.system), equation.intensities
            own = shown[at - first : at - first + d]
            wide = [(one[i].integrated(own) if first else one[i]) for one in slow]
            found.append(
                Part(
                    wide[0].system,
                    np.array([one.system - wide[0].system for one in wide[1:]]),
                    wide[0].entry,
                    np.column_stack([base, *(one[i].intensities - base for one in of_sizes)]),
                    np.array([*range(first), *range(at, at + d), *range(first + self.dim - k, first + self.dim)]),
                    equation.frequency,
                )
            )
            at += d
        return tuple(found)

    def _parts(self, values: AnyArray, x_unit: float, first: int) -> tuple[Part, ...]:
        """The same, kept if real until others are asked for."""
        shapes = values[: len(values) - self.late][self.powers[: len(values) - self.late] == 0]
        if np.any(np.imag(shapes)):
            return self._parts_at(values, x_unit, first)
        key = np.append(shapes.real, [x_unit, first]).tobytes()
        return self._last_parts.get(key, lambda: self._parts_at(values.real, x_unit, first))

    def _steps(self, dt: FloatArray, values: AnyArray, x_unit: float, first: int) -> Steps:
        """Matrices for sizes of one."""
        parts, times = self._parts(values, x_unit, first), values[len(values) - self.late :]
        is_slow = times != 0
        rates = 1 / times[is_slow] if np.any(np.imag(times)) else 1 / times[is_slow].real
        systems = [part.system + sum(map(mul, rates, part.gains[is_slow])) for part in parts]
        kind, size, n = np.result_type(*systems, *(part.shares for part in parts)), first + self.dim, len(dt)
        T, Q = np.zeros((n, size * size), kind), np.zeros((parts[0].shares.shape[1], n, size * size), kind)
        for part, system in zip(parts, systems, strict=True):
            flat = (part.places[:, None] * size + part.places).ravel()
            found = discretize(system, part.entry, dt, ramp=False)
            clear_rounding(found.T, part.frequency * dt, first)
            T[:, flat] = found.T.reshape(n, len(flat))
            for noise, j in np.argwhere(part.shares).tolist():
                Q[j][:, flat] += part.shares[noise, j] * found.Q[noise].reshape(n, len(flat))
        T, Q = T.reshape(n, size, size), Q.reshape(len(Q), n, size, size)
        for j in np.flatnonzero(~is_slow).tolist():  # responds at once
            row, place = np.append(np.zeros(first), self.readout(self.responses[j].deriv, x_unit)), size - self.late + j
            T[:, place] = row @ T
            Q[..., place, :] = row @ Q
            Q[..., place] = Q @ row
        return Steps(T, Q)

    def naming(self, parts: Sequence[int]) -> str:
        return " and ".join(f"the response of {self.responses[part - self._curve.dim].name!r}" for part in parts)

    def __repr__(self) -> str:
        return repr(self._curve)


def _waiting(steps: Steps, waits: npt.NDArray[np.bool_], one: float) -> Steps:
    """Steps with outputs that stay as they are over those that they wait (n, late); `one` is zero for derivatives."""
    T, Q = steps
    for j, waiting in enumerate(waits.T, T.shape[1] - waits.shape[1]):
        T[waiting, j] = Q[:, waiting, j] = Q[:, waiting, :, j] = 0.0
        T[waiting, j, j] = one
    return steps


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
