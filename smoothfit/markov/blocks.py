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
from .priors import (
    DampedOscillator,
    IntegratedOrnsteinUhlenbeck,
    IntegratedWiener,
    Matern,
    OrnsteinUhlenbeck,
    Polynomial,
    Seasonal,
    TensionSpline,
)
from .process import Prior

COMPLEX_STEP = 1e-30
TABLE, HARMONIC = 0, 6  # as in processes.hpp
KINDS: dict[type[Prior], int] = {
    IntegratedWiener: 1,
    Polynomial: 1,
    Matern: 2,
    OrnsteinUhlenbeck: 2,
    IntegratedOrnsteinUhlenbeck: 3,
    TensionSpline: 4,
    DampedOscillator: 5,
    Seasonal: HARMONIC,
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
    frequency : float
        Of a harmonic, in radians per unit of x.
    prior : Prior
    """

    kind: int
    dim: int
    parameter: int
    integrated: bool
    frequency: float
    prior: Prior


def blocks_of(terms: Iterable[Prior], x_unit: float) -> tuple[Block, ...]:
    """Of the prior, the first of the terms, and of noise processes; x is measured in `x_unit`."""
    found, at = [], 0
    for t, term in enumerate(terms):
        for prior in term.components:
            kind, n = KINDS.get(type(prior), TABLE), len(prior.hyperparameters)
            place = at if n or kind == TABLE else -1
            if isinstance(prior, Seasonal) and kind == HARMONIC:
                found += [Block(kind, 2, place, t == 0, float(w), prior) for w in prior.frequencies(x_unit)]
            else:
                found.append(Block(kind, prior.dim, place, t == 0, 0.0, prior))
            at += n
    return tuple(found)


def table(
    block: Block, dt: FloatArray, values: FloatArray, x_unit: float, integral: bool, free: Sequence[int], width: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """T and Q of all steps dt and P0 of a prior, with derivatives by the logarithms of the hyperparameters `free`, last axis."""
    prior, mine = block.prior, slice(block.parameter, block.parameter + len(block.prior.hyperparameters))

    def at(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        return (*prior.matrices(dt, values[mine], x_unit, integral), prior.start(values[mine], x_unit).covariance)

    real = at(values)
    wide = tuple(np.zeros((*matrix.shape, width)) for matrix in real)
    for array, matrix in zip(wide, real, strict=True):
        array[..., 0] = matrix
    for d, i in enumerate(free):
        if mine.start <= i < mine.stop:
            moved = values.astype(complex)
            moved[i] *= 1 + 1j * COMPLEX_STEP
            for array, matrix in zip(wide, at(moved), strict=True):
                array[..., 1 + d] = matrix.imag / COMPLEX_STEP
    return wide[0], wide[1], wide[2]
