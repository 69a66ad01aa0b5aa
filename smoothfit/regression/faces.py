"""Edges of the range of the penalties' weights: each may be positive, zero or infinite, and every combination is a fit of its own.

A weight of zero leaves its penalty out. An infinite one leaves the functions that its penalty does not touch; penalties that are
zero on these have infinite weights, too, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .._validation import FloatArray
from .system import System

MOST_CROSSED = 3  # penalties of which all edges and corners are fitted; of more the edges where one weight is zero or infinite
CONTRADICTION = 1e-9  # of the size of the values that equalities give a penalty: what an infinite weight would make of it


class Face(NamedTuple):
    """The system of an edge; its coefficients (K, d) and offset (K,), None if it has all; weights (P,), NaN where positive."""

    system: System
    columns: csr_array | None
    offset: FloatArray | None
    weights: FloatArray


def face_of(system: System, weights: FloatArray) -> Face | None:
    """The edge where weights (P,) are zero or infinite.

    None if no function is left, or where equalities keep a penalty of infinite weight from zero.
    """
    kept, weights = list(range(system.n_penalties)), weights.copy()
    columns: csr_array | None = None
    offset: FloatArray | None = None
    for j in np.flatnonzero(np.isinf(weights)).tolist():
        if j not in kept:
            continue
        if system.gap(kept.index(j)) > CONTRADICTION:
            return None
        if not system.without([k for k, i in enumerate(kept) if i != j]).n_free:
            return None
        system, own, shift = system.reduced(kept.index(j))
        if shift is not None:
            shift = shift if columns is None else np.asarray(columns @ shift)
            offset = shift if offset is None else offset + shift
        columns = own if columns is None else csr_array(columns @ own)
        kept.remove(j)
        silent = [k for k, i in enumerate(kept) if not system.factors[system.n_groups + k].any()]
        if any(system.gap(k) > CONTRADICTION for k in silent):
            return None
        weights[[kept[k] for k in silent]] = np.inf
        system, kept = system.without(silent), [i for k, i in enumerate(kept) if k not in silent]
    system = system.without([k for k, i in enumerate(kept) if weights[i] == 0])
    return Face(system, columns, offset, np.where(np.isinf(weights) | (weights == 0), weights, np.nan))


def faces(system: System) -> Iterator[Face]:
    """The inside and all edges, each once."""
    P = system.n_penalties
    states = [np.array(own) for own in product((np.nan, np.inf, 0.0), repeat=P)]
    if P > MOST_CROSSED:
        states = [own for own in states if np.isnan(own).sum() >= P - 1]
    seen = set()
    for weights in states:
        face = face_of(system, weights)
        if face is not None and face.weights.tobytes() not in seen:
            seen.add(face.weights.tobytes())
            yield face
