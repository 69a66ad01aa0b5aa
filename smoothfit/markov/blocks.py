"""What the kernels get of processes: those whose matrices they make themselves, and tables of the matrices of all others.

A prior of one of the types in `KINDS` is a kind of process with hyperparameters; its matrices and their derivatives are made where
they are needed (processes.hpp), or are multiples of given ones, those of a `SCALED` process. Any other prior, also one that derives
from a type here, supplies its matrices itself, with derivatives by complex step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .discretize import COMPLEX_STEP
from .equation import AnyArray
from .priors import (
    DampedOscillator,
    DampedTrend,
    DummySeasonal,
    IntegratedOrnsteinUhlenbeck,
    IntegratedWiener,
    Jump,
    LocalLinearTrend,
    Matern,
    OrnsteinUhlenbeck,
    Polynomial,
    Seasonal,
    StochasticCycle,
    TensionSpline,
)
from .process import Prior
from .response import Filtered

TABLE, HARMONIC, ROTATION, SCALED = 0, 6, 7, 11  # as in processes.hpp
KINDS: dict[type[Prior], int] = {
    IntegratedWiener: 1,
    Polynomial: 1,
    Jump: 1,
    Matern: 2,
    OrnsteinUhlenbeck: 2,
    IntegratedOrnsteinUhlenbeck: 3,
    TensionSpline: 4,
    DampedOscillator: 5,
    Seasonal: HARMONIC,  # or ROTATION
    StochasticCycle: 8,
    LocalLinearTrend: 9,
    DampedTrend: 10,
    DummySeasonal: SCALED,
}


class Block(NamedTuple):
    """A process, or one harmonic of a season.

    Attributes
    ----------
    kind, dim : int
    parameter : int
        Place of the first of its hyperparameters; -1 of none.
    integrated : bool
        Whether integrals of the curve count it in.
    constant : float
        Frequency of a harmonic, in radians per unit of x; what a trend's level shares of the intensity of its slope.
    prior : Prior
    """

    kind: int
    dim: int
    parameter: int
    integrated: bool
    constant: float
    prior: Prior


def blocks_of(terms: Iterable[Prior], x_unit: float) -> tuple[Block, ...]:
    """Of the prior, the first of the terms, and of noise processes; x is measured in `x_unit`."""
    found, at = [], 0
    for t, term in enumerate(terms):
        for prior in (term,) if isinstance(term, Filtered) else term.components:
            kind, n = KINDS.get(type(prior), TABLE), len(prior.hyperparameters)
            place = at if n or kind == TABLE else -1
            if isinstance(prior, Seasonal) and kind == HARMONIC:
                kind = HARMONIC if prior.smooth else ROTATION
                for k, w in zip(prior.order, prior.frequencies(x_unit).tolist(), strict=True):
                    found.append(Block(kind, 2, place + (k - 1) * prior.separate, t == 0, w, prior))
            else:
                constant = prior.shared(x_unit) if isinstance(prior, LocalLinearTrend) else 0.0
                found.append(Block(kind, prior.dim, place, t == 0, constant, prior))
            at += n
    return tuple(found)


def table(
    block: Block,
    dt: FloatArray,
    values: FloatArray,
    x_unit: float,
    integral: bool,
    free: Sequence[int],
    width: int,
    waits: npt.NDArray[np.bool_] | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """T and Q of all steps dt and P0 of a prior, with derivatives by the logarithms of the hyperparameters `free`, last axis.

    States that start late stay as they are over the steps that they wait (n, late).
    """
    prior, first = block.prior, block.parameter
    own = values[first : first + len(prior.hyperparameters)]
    along = {d: i - first for d, i in enumerate(free, 1) if 0 <= i - first < len(own)}
    if isinstance(prior, Filtered):
        T, Q = prior.tables(dt, own, x_unit, integral, along, width, waits)
        if prior.starts_unknown:
            return T, Q, np.zeros((prior.dim, prior.dim, width))
    else:
        T, Q = _expanded(lambda moved: prior.matrices(dt, moved, x_unit, integral), own, along, width)
    (P0,) = _expanded(lambda moved: (prior.start(moved, x_unit).covariance,), own, along, width)
    return T, Q, P0


def _expanded(
    matrices: Callable[[AnyArray], Sequence[AnyArray]], values: FloatArray, along: dict[int, int], width: int
) -> list[FloatArray]:
    """Matrices at hyperparameters, and at d on a last axis their derivatives by the logarithm of the one of number `along[d]`."""
    found = []
    for real in matrices(values):
        found.append(np.zeros((*real.shape, width)))
        found[-1][..., 0] = real
    for d, i in along.items():
        moved = values.astype(complex)
        moved[i] *= 1 + 1j * COMPLEX_STEP
        for wide, matrix in zip(found, matrices(moved), strict=True):
            np.divide(matrix.imag, COMPLEX_STEP, out=wide[..., d])
    return found
