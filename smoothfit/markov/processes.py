"""Processes side by side: the prior, coefficients that vary, and noise of single series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._validation import FloatArray
from .blocks import KINDS, Block, blocks_of
from .equation import AnyArray
from .process import RESPONSE, Prior, Start, split_values, start_together


@dataclass(frozen=True, eq=False)
class Processes:
    """The prior and other processes side by side, x measured in `x_unit`; `labels` name the first of them, "" by themselves."""

    terms: tuple[Prior, ...]
    x_unit: float
    labels: tuple[str, ...] = ()

    @cached_property
    def dim(self) -> int:
        """Components of all states."""
        return sum(term.dim for term in self.terms)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """What the kernels get of them."""
        return blocks_of(self.terms, self.x_unit)

    @cached_property
    def constant_start(self) -> FloatArray | None:
        """The unknown directions of the first state (dim, k), if they are certainly the same at all hyperparameters."""
        if not all(type(part) in KINDS for term in self.terms for part in term.components):
            return None
        return np.asarray(self.start(self.ones).diffuse)

    @cached_property
    def ones(self) -> FloatArray:
        """Hyperparameters that do not matter: one each, and instruments that respond at once."""
        return np.array([0.0 if p.kind == RESPONSE else 1.0 for term in self.terms for p in term.hyperparameters])

    def start(self, values: AnyArray) -> Start:
        """Law of the first state."""
        return start_together(
            [term.start(v, self.x_unit) for term, v in zip(self.terms, split_values(self.terms, values), strict=True)]
        )

    @cached_property
    def spread(self) -> FloatArray:
        """Of each diffuse direction of the start, as of `Start`."""
        start = self.start(self.ones)
        return np.full(start.diffuse.shape[1], np.inf) if start.spread is None else start.spread

    def sizes(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Roughly what each hyperparameter adds to the variance of the curve over a step of one (..., P), and its powers (P,)."""
        powers = np.array([2 / p.f_power if p.f_power else 0.0 for term in self.terms for p in term.hyperparameters])
        values = values[..., : len(powers)]
        return np.where(powers > 0, values**powers, 0.0), powers
