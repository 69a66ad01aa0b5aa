"""Gaussian Markov processes as priors of a curve: what all of them do, their sums, and what is to be estimated of them.

`priors` states the equations and has the processes by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._validation import FloatArray, check_positive, is_zero
from ..errors import SpecificationError
from ..observations import derivative_label
from .equation import AnyArray, Equation

LENGTH, PERIOD, AMPLITUDE, INTENSITY, RATIO = "length", "period", "amplitude", "intensity", "ratio"
RESPONSE = "response"  # a time over which an instrument responds, zero if it does at once


class Hyperparameter(NamedTuple):
    """One hyperparameter of a prior.

    Attributes
    ----------
    name : str
    kind : {"length", "period", "amplitude", "intensity", "ratio", "response"}
        What its size is compared with in the search; an intensity or an amplitude may turn out to be zero.
    x_power, f_power : int
        Its unit is that of x to `x_power` times that of f to `f_power`.
    value : float or None
        None: estimated.
    """

    name: str
    kind: str
    x_power: int
    f_power: int
    value: float | None


class Start(NamedTuple):
    """Law of the state at the first x.

    Attributes
    ----------
    diffuse : ndarray, shape (dim, k)
        Directions in which nothing is known.
    covariance : ndarray, shape (dim, dim)
        Of what is known.
    spread : ndarray, shape (k,), or None
        Infinite, or of directions with a variance so large that they might as well be diffuse, multiples of one variance; None if
        all are diffuse.
    """

    diffuse: AnyArray
    covariance: AnyArray
    spread: FloatArray | None = None


class Prior(ABC):
    """A Gaussian Markov process as prior of a curve. Priors add: ``Matern(nu=2.5) + Seasonal(period=1.0)``.

    Examples
    --------
    >>> import smoothfit as sf
    >>> [part.label for part in (sf.priors.Matern(nu=2.5) + sf.priors.Polynomial(0)).components]
    ['matern', 'polynomial']
    """

    label: ClassVar[str]

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of components of the state."""

    @property
    @abstractmethod
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters, given or to be estimated."""

    @property
    @abstractmethod
    def smoothness(self) -> int:
        """How many derivatives the curve has in mean square."""

    @abstractmethod
    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Return the row h of the state with f^(deriv) = h'x, with x measured in `x_unit`: shape (dim,).

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.priors.IntegratedWiener(3).readout(1)  # the state is (f, f', f'')
        array([0., 1., 0.])
        """

    def shown(self, name: str, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Return the row of what the instrument of a series shows of f^(deriv): that itself, if it responds at once.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.priors.IntegratedWiener(3).shown("speed", 1)  # the state is (f, f', f'')
        array([0., 1., 0.])
        """
        return self.readout(deriv, x_unit)

    @abstractmethod
    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Return the law of the state at the first x.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> prior = sf.priors.OrnsteinUhlenbeck(length_scale=2.0, amplitude=3.0)
        >>> prior.start().covariance, prior.start().diffuse.shape  # stationary: nothing is diffuse
        (array([[9.]]), (1, 0))
        """

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """Return T and Q of steps dt (n,): (n, M, M), M = dim, or dim + 1 with the integral of f as first component.

        They follow from `equations`, exactly for any step. `values` are all hyperparameters, real or with a small imaginary part,
        with x and dt measured in `x_unit`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> T, Q = sf.priors.IntegratedWiener(1).matrices(np.array([2.0]), np.array([1.0]), 1.0, integral=True)
        >>> T[0], Q[0].round(3)  # of (integral of f, f): 2^3/3, 2^2/2, 2
        (array([[1., 2.],
               [0., 1.]]), array([[2.667, 2.   ],
               [2.   , 2.   ]]))
        """
        row, parts, equations = self.readout(0, x_unit), [], self.equations(values, x_unit)
        if not equations:
            raise NotImplementedError(f"{type(self).__name__} has neither `equations` nor `matrices`; define one of them")
        size = sum(len(equation.system) for equation in equations)
        if size != self.dim:
            raise SpecificationError(
                f"the state of {type(self).__name__}.equations has {size} components, and dim is {self.dim}; change one of them"
            )
        for equation in equations:
            own, row = np.split(row, [len(equation.system)])
            parts.append((equation.integrated(own) if integral else equation).matrices(dt))
        return side_by_side(parts, integral)

    def transition(self, dt: Any, values: AnyArray | None = None) -> AnyArray:
        """Return T(dt), which carries the state over a step: shape of dt + (dim, dim).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> prior = sf.priors.OrnsteinUhlenbeck(length_scale=2.0, amplitude=3.0)
        >>> prior.transition(2.0).round(4)  # exp(-dt / length_scale)
        array([[0.3679]])
        """
        return self._matrices(dt, values)[0]

    def noise(self, dt: Any, values: AnyArray | None = None) -> AnyArray:
        """Return Q(dt), the covariance of the state given that before: shape of dt + (dim, dim).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> prior = sf.priors.OrnsteinUhlenbeck(length_scale=2.0, amplitude=3.0)
        >>> prior.noise([0.0, 2.0]).ravel().round(4)  # amplitude^2 (1 - exp(-2 dt / length_scale))
        array([0.   , 7.782])
        """
        return self._matrices(dt, values)[1]

    def _matrices(self, dt: Any, values: AnyArray | None) -> tuple[AnyArray, AnyArray]:
        steps = np.asarray(dt, dtype=np.float64)
        T, Q = self.matrices(steps.ravel(), self._values(values), 1.0, False)
        shape = (*steps.shape, self.dim, self.dim)
        return T.reshape(shape), Q.reshape(shape)

    def _values(self, values: AnyArray | None) -> AnyArray:
        """Return values; by default those that are given, which all must be."""
        if values is not None:
            return np.asarray(values)
        missing = [p.name for p in self.hyperparameters if p.value is None]
        if missing:
            raise SpecificationError(f"{' and '.join(missing)} of {self!r} are not given; pass them, or values=")
        return np.array([p.value for p in self.hyperparameters], dtype=np.float64)

    @property
    def components(self) -> tuple[Prior, ...]:
        """The priors of which it is a sum: here itself alone."""
        return (self,)

    @property
    def curve(self) -> Prior:
        """The prior of the curve, without what instruments make of it."""
        return self

    @property
    def late(self) -> int:
        """How many components of the state, the last ones, start at the first observation of them, not at the first x."""
        return 0

    def with_components(self, parts: Sequence[Prior]) -> Prior:
        """Return the prior with a sum of others as the curve.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.priors.Polynomial(1).with_components([sf.priors.Polynomial(2), sf.priors.OrnsteinUhlenbeck()]).dim
        4
        """
        return sum_of(parts)

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """Return independent stochastic differential equations of the state, in its order; none if it has no such equation.

        `values` are all hyperparameters, with x measured in `x_unit`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> (equation,) = sf.priors.IntegratedWiener(2).equations(np.array([3.0]), 1.0)
        >>> print(equation.system, equation.entry.ravel(), equation.intensities)  # f'' is white noise
        [[0. 1.]
         [0. 0.]] [0. 1.] [3.]
        """
        return ()

    @property
    def grid(self) -> float | None:
        """Step of x from the first one, at whose multiples alone the curve has values; None if it has them anywhere."""
        return None

    @property
    def level(self) -> FloatArray | None:
        """State of a constant curve of value one that the start leaves free; None if there is none."""
        return None

    def naming(self, parts: Sequence[int]) -> str:
        """Return components of the state in words, for an error.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.priors.Seasonal(12, harmonics=2).naming([2, 3]).split(" (")[0]
        'harmonic 1 of Seasonal(period=12, harmonics=2, q=None)'
        """
        return repr(self)

    def __add__(self, other: Prior) -> Sum:
        if not isinstance(other, Prior):
            return NotImplemented
        return Sum((*self.components, *other.components))


def given_or_none(value: Any, argument: str) -> float | None:
    """Check a hyperparameter, None if it is to be estimated."""
    return None if value is None else check_positive(value, argument)


def zero_given_or_none(value: Any, argument: str) -> float | None:
    """Check a hyperparameter that may be zero, None if it is to be estimated."""
    return 0.0 if is_zero(value) else given_or_none(value, argument)


def block_diagonal(matrices: Sequence[AnyArray]) -> AnyArray:
    """Stacks (n, a, a), (n, b, b), ... as blocks on the diagonal of one."""
    size = sum(matrix.shape[-1] for matrix in matrices)
    whole = np.zeros((*matrices[0].shape[:-2], size, size), dtype=np.result_type(*matrices))
    at = 0
    for matrix in matrices:
        end = at + matrix.shape[-1]
        whole[..., at:end, at:end] = matrix
        at = end
    return whole


def side_by_side(parts: Sequence[tuple[AnyArray, AnyArray]], integral: bool) -> tuple[AnyArray, AnyArray]:
    """T and Q of independent processes from those of each; the integral of their sum, the first component, is the sum of theirs."""
    if len(parts) == 1:
        return parts[0]
    if not integral:
        return block_diagonal([T for T, _ in parts]), block_diagonal([Q for _, Q in parts])
    T, Q = (np.pad(block_diagonal([part[k][:, 1:, 1:] for part in parts]), ((0, 0), (1, 0), (1, 0))) for k in (0, 1))
    T[:, 0, 0] = 1.0
    T[:, 0, 1:] = np.concatenate([t[:, 0, 1:] for t, _ in parts], axis=1)
    Q[:, 0, 1:] = Q[:, 1:, 0] = np.concatenate([spread[:, 0, 1:] for _, spread in parts], axis=1)
    Q[:, 0, 0] = sum(spread[:, 0, 0] for _, spread in parts)
    return T, Q


class Chain(Prior):
    """A prior of state (f, f', ..., f^(d-1)), driven by white noise in f^(d)."""

    @abstractmethod
    def rate(self, values: AnyArray) -> Any:
        """Return a typical frequency, by which the equation becomes dimensionless.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> prior = sf.priors.OrnsteinUhlenbeck(length_scale=2.0, amplitude=3.0)
        >>> float(prior.rate(np.array([2.0, 3.0])))  # 1 / length_scale
        0.5
        """

    @abstractmethod
    def companion(self, values: AnyArray) -> AnyArray:
        """Return coefficients c_0, ..., c_(d-1), each over the rate to the power d - j: shape (d,).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> sf.priors.DampedOscillator().companion(np.array([12.0, 0.1, 1.0]))  # period, damping, amplitude
        array([-1. , -0.2])
        """

    @abstractmethod
    def intensity(self, values: AnyArray) -> Any:
        """Return the intensity of the white noise that drives the process.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> prior = sf.priors.OrnsteinUhlenbeck(length_scale=2.0, amplitude=3.0)
        >>> float(prior.intensity(np.array([2.0, 3.0])))  # 2 amplitude^2 / length_scale
        9.0
        """

    @property
    def smoothness(self) -> int:
        """How many derivatives the curve has in mean square: the dimension less one."""
        return self.dim - 1

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Component `deriv` of the state."""
        return np.asarray(np.eye(self.dim)[deriv])

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """One equation, that of f^(d), as a system of first order."""
        rate, d = self.rate(values), self.dim
        own = np.asarray(self.companion(values) * rate ** np.arange(d, 0, -1))
        system = np.eye(d, k=1, dtype=own.dtype)
        system[-1] = own
        return (Equation(system, np.eye(d)[:, -1:], np.array([self.intensity(values)])),)


@dataclass(frozen=True)
class Sum(Prior):
    """Independent priors added; made by ``+``.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(12.0, harmonics=2)
    IntegratedWiener(order=2, q=None) + Seasonal(period=12.0, harmonics=2, q=None)
    """

    terms: tuple[Prior, ...]
    label: ClassVar[str] = "sum"

    @property
    def components(self) -> tuple[Prior, ...]:
        """The priors of which it is the sum."""
        return self.terms

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each term: its kind, numbered where a kind occurs again."""
        return names_of(self.terms)

    @property
    def dim(self) -> int:
        """Dimension of the state, the sum of those of the terms."""
        return sum(term.dim for term in self.terms)

    @property
    def smoothness(self) -> int:
        """How many derivatives the roughest term has."""
        return min(term.smoothness for term in self.terms)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """Hyperparameters of all terms, named ``<component>.<name>``."""
        return tuple(
            p._replace(name=f"{name}.{p.name}")
            for name, term in zip(self.names, self.terms, strict=True)
            for p in term.hyperparameters
        )

    @property
    def grid(self) -> float | None:
        """The longest step of a term that has values at whole steps alone."""
        return max((term.grid for term in self.terms if term.grid is not None), default=None)

    @property
    def level(self) -> FloatArray | None:
        """State of a constant of value one in the first term that has one; None if no term has."""
        parts = [np.zeros(term.dim) for term in self.terms]
        for i, term in enumerate(self.terms):
            mine = term.level
            if mine is not None:
                parts[i] = mine
                return np.concatenate(parts)
        return None

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Rows of the terms joined, so that the curve is their sum."""
        return np.concatenate([term.readout(deriv, x_unit) for term in self.terms])

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """Those of the terms, which have none or all of them one."""
        found = [term.equations(own, x_unit) for term, own in zip(self.terms, split_values(self.terms, values), strict=True)]
        return tuple(equation for own in found for equation in own) if all(found) else ()

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """Law of the states of the terms, independent of each other."""
        starts = [t.start(v, x_unit) for t, v in zip(self.terms, split_values(self.terms, self._values(values)), strict=True)]
        return start_together(starts)

    def matrices(self, dt: FloatArray, values: AnyArray, x_unit: float, integral: bool) -> tuple[AnyArray, AnyArray]:
        """Those of the terms, which need not have equations."""
        parts = [t.matrices(dt, v, x_unit, integral) for t, v in zip(self.terms, split_values(self.terms, values), strict=True)]
        return side_by_side(parts, integral)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


def split_values(terms: Sequence[Prior], values: AnyArray) -> list[AnyArray]:
    """Hyperparameters of each of several priors, from those of all."""
    ends = np.cumsum([len(term.hyperparameters) for term in terms])
    return list(np.split(values, ends[:-1]))


def start_together(starts: Sequence[Start]) -> Start:
    """Law of the states of independent processes under each other."""
    diffuse = np.zeros(np.sum([s.diffuse.shape for s in starts], axis=0))
    row = column = 0
    for s in starts:
        rows, columns = s.diffuse.shape
        diffuse[row : row + rows, column : column + columns] = s.diffuse
        row, column = row + rows, column + columns
    spread = [np.full(s.diffuse.shape[1], np.inf) if s.spread is None else s.spread for s in starts]
    return Start(diffuse, block_diagonal([s.covariance for s in starts]), np.concatenate(spread))


def sum_of(terms: Sequence[Prior]) -> Prior:
    """The sum of priors, of one itself."""
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))


def names_of(terms: Sequence[Prior]) -> tuple[str, ...]:
    """A name for each prior: its kind, numbered where a kind occurs again."""
    seen: Counter[str] = Counter()
    names = []
    for term in terms:
        seen[term.label] += 1
        names.append(term.label if seen[term.label] == 1 else f"{term.label}{seen[term.label]}")
    return tuple(names)


def check_readable(prior: Prior, deriv: int, name: str) -> None:
    """Refuse observations of derivatives that a prior has not."""
    if deriv <= prior.smoothness:
        return
    roughest = min(prior.components, key=lambda term: term.smoothness)
    raise SpecificationError(
        f"{name!r} observes {derivative_label(deriv)}, but curves of {roughest!r} have no {derivative_label(deriv)} in mean "
        f"square: their derivatives end at {derivative_label(roughest.smoothness)}; use a smoother prior"
    )
