"""What the kernels get of processes: those whose matrices they make themselves, and tables of the matrices of all others.

A prior of one of the types in `KINDS` is a kind of process with hyperparameters; its matrices and their derivatives are made where
they are needed (processes.hpp). Any other prior, also one that derives from a type here, supplies its matrices itself, with
derivatives by complex step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from .discretize import COMPLEX_STEP
from .priors import (
    DampedOscillator,
    DampedTrend,
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

TABLE, HARMONIC, ROTATION = 0, 6, 7  # as in processes.hpp
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
    prior, mine = block.prior, slice(block.parameter, block.parameter + len(block.prior.hyperparameters))

    def at(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        return (*prior.matrices(dt, values[mine], x_unit, integral), prior.start(values[mine], x_unit).covariance)

    slopes = []
    for d, i in reversed(list(enumerate(free, 1))):  # the last, a response time, makes what the others leave as it is
        if mine.start <= i < mine.stop:
            moved = values.astype(complex)
            moved[i] *= 1 + 1j * COMPLEX_STEP
            slopes.append((d, at(moved)))
    real = at(values)
    wide = tuple(np.zeros((*matrix.shape, width)) for matrix in real)
    for array, matrix in zip(wide, real, strict=True):
        array[..., 0] = matrix
    for d, slope in slopes:
        for array, matrix in zip(wide, slope, strict=True):
            np.divide(matrix.imag, COMPLEX_STEP, out=array[..., d])
    size = wide[0].shape[1]
    for j, waiting in enumerate(() if waits is None else waits.T, size - prior.late):
        wide[0][waiting, j] = wide[1][waiting, j] = wide[1][waiting, :, j] = 0.0
        wide[0][waiting, j, j, 0] = 1.0
    return wide[0], wide[1], wide[2]
