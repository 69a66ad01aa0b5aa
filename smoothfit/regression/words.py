"""What the observations of a surface leave undetermined, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from .._validation import FloatArray
from ..basis.tensor import TensorProductBasis

MOST_POINTS = 4000  # of the grid on which functions are compared
LEVEL = "level of f"
SAME = 1e-6  # distance between functions of size one that are one function


def surface_in_words(missing: FloatArray, basis: TensorProductBasis, inputs: Sequence[str], penalized: bool) -> str:
    """Name the simplest of the functions with coefficients missing (K, u) that no observation fixes."""
    d = basis.n_variables
    side = max(4, int(MOST_POINTS ** (1 / d)))
    u = np.stack([grid.ravel() for grid in np.meshgrid(*[np.linspace(0.003, 0.997, side)] * d, indexing="ij")], axis=1)
    lower, upper = np.array(basis.domain).T
    X = lower + u * (upper - lower)
    functions = np.asarray(basis.design(X) @ missing)
    one = np.ones(len(u))
    for label, terms in _candidates(u, one, inputs):
        if _meet(functions, np.column_stack(terms)):
            remedy = "one observation of f, or an Equals constraint" if label == LEVEL else "others, of a lower order or at other x"
            return f"no observation fixes the {label}; add {remedy}"
    if penalized:
        return "no observation fixes a function that the penalty leaves free; add observations, or another penalty"
    seen = X[np.abs(functions[:, 0]) > SAME * np.abs(functions[:, 0]).max()]
    box = ", ".join(
        f"{a:.6g} <= {label} <= {b:.6g}" for label, a, b in zip(inputs, seen.min(axis=0), seen.max(axis=0), strict=True)
    )
    return f"the observations do not fix f in {box}: there are too few of them; use fewer knots there, or a penalty"


def _candidates(u: FloatArray, one: FloatArray, inputs: Sequence[str]) -> list[tuple[str, list[FloatArray]]]:
    """Names of polynomials and what spans them, the simplest first."""
    found: list[tuple[str, list[FloatArray]]] = [(LEVEL, [one])]
    found += [(f"slope of f along {label}", [one, u[:, j]]) for j, label in enumerate(inputs)]
    found += [("slope of f along some direction", [one, *u.T])]
    pairs = combinations(range(len(inputs)), 2)
    found += [(f"twist of f ({inputs[i]} times {inputs[j]})", [one, u[:, i], u[:, j], u[:, i] * u[:, j]]) for i, j in pairs]
    found += [(f"curvature of f along {label}", [one, u[:, j], u[:, j] ** 2]) for j, label in enumerate(inputs)]
    return found


def _meet(functions: FloatArray, others: FloatArray) -> bool:
    """Whether the spans of two sets of columns have more than zero in common."""
    axes, sizes, _ = np.linalg.svd(functions, full_matrices=False)
    axes = axes[:, sizes > SAME * sizes[0]]
    return bool(np.linalg.svd(axes.T @ np.linalg.qr(others)[0], compute_uv=False)[0] > 1 - SAME)
