"""Functions that have derivatives of their own: splines of several variables, and results of fits."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._validation import FloatArray


class Known(NamedTuple):
    """A function of one point (n,) with its exact gradient (n,) and Hessian (n, n)."""

    value: Callable[[FloatArray], float]
    gradient: Callable[[FloatArray], FloatArray]
    hessian: Callable[[FloatArray], FloatArray]


def own_derivatives(f: Any) -> Callable[..., Any] | None:
    """Return what gives f and its derivatives by an argument `deriv`; None if f has none."""
    evaluate = getattr(f, "predict", f)
    try:
        return evaluate if "deriv" in inspect.signature(evaluate).parameters else None
    except (TypeError, ValueError):  # not a function, or one of C without a signature
        return None


def known(evaluate: Callable[..., Any], n: int) -> Known:
    """Return a function of n variables and its derivatives, of one that takes points (m, n) or (m,) and the orders `deriv`."""

    def partial(x: FloatArray, *by: int) -> float:
        orders = tuple(by.count(i) for i in range(n))
        values = evaluate(x[None], deriv=orders) if n > 1 else evaluate(x, deriv=orders[0])
        return float(np.asarray(values).item())

    def gradient(x: FloatArray) -> FloatArray:
        return np.array([partial(x, i) for i in range(n)])

    def hessian(x: FloatArray) -> FloatArray:
        H = np.zeros((n, n))
        for i, j in zip(*np.tril_indices(n), strict=True):
            H[i, j] = H[j, i] = partial(x, int(i), int(j))
        return H

    return Known(partial, gradient, hessian)
