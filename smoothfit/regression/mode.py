"""The best mode of a unimodal curve, by branch and bound: a global search over the whole interval.

v(m), the minimum of the penalised sum of squares with f increasing up to m and decreasing beyond, may have several minima. Over
modes between a and b its minimum is no less than that with f increasing up to a and decreasing from b, and no more than v at any of
them: where that looser curve is highest is a good one. Intervals whose bound is above the best value found are left out, others
halved.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._log import logger
from .._progress import progress_bar
from .._validation import FloatArray
from ..basis import BSplineBasis, Spline
from ..basis.recombined import RecombinedBasis
from ..errors import ConvergenceError
from .constraints import Bounds, Unimodal
from .fitting import Estimate
from .polynomials import Polynomials
from .restricted import Bounded, bounded_change, constrained, lifted

GAP = 1e-7  # in the penalised sum of squares, beside 1e-9 of it: modes that fit better by no more are as good
MOST_INTERVALS = 500


class Peak(NamedTuple):
    """The mode, the fit under bounds with it, and all polynomials that were bounded."""

    mode: float
    bounded: Bounded
    polynomials: list[Polynomials]


def best_mode(
    fit: Estimate,
    polynomials: Sequence[Polynomials],
    unimodal: Unimodal,
    basis: BSplineBasis | RecombinedBasis,
    progress: bool = False,
) -> Peak:
    """Minimise over the mode; `progress` shows a bar of intervals, whose number is not known before.

    Raises
    ------
    ConvergenceError
        The bounds do not meet the value found.
    """
    lower, upper = unimodal.interval(basis)

    def solve(a: float, b: float) -> tuple[FloatArray, float, list[Polynomials]]:
        own = [*polynomials, *_shape(basis, (lower, a), (b, upper))]
        free, change, excess = bounded_change(fit, own)
        return lifted(free + change, fit.columns, fit.offset), excess, own

    best, value = np.nan, np.inf
    count = 0
    waiting: list[tuple[float, int, float, float, FloatArray]] = []

    def examine(a: float, b: float) -> None:
        nonlocal best, value, count
        coef, bound, _ = solve(a, b)
        mode = _highest(Spline(basis, coef), a, b)
        _, here, _ = solve(mode, mode)
        if here < value:
            best, value = mode, here
        heapq.heappush(waiting, (bound, count, a, b, coef))
        count += 1

    examine(lower, upper)
    with progress_bar(progress, None, "interval") as advance:
        while waiting[0][0] < value - GAP - 1e-9 * abs(value):
            if count > MOST_INTERVALS:
                raise ConvergenceError(f"the search for the mode has not converged after {count} intervals; give mode=", value)
            bound, _, a, b, _ = heapq.heappop(waiting)
            logger.debug("best mode: %d intervals, lowest %.10g, bound %.10g", count, value, bound)
            middle = (a + b) / 2
            examine(a, middle)
            examine(middle, b)
            advance(2)
    logger.info("best mode: x = %.6g found after %d intervals", best, count)
    _, _, own = solve(best, best)
    return Peak(best, constrained(fit, own), own)


def _shape(basis: BSplineBasis | RecombinedBasis, rising: tuple[float, float], falling: tuple[float, float]) -> list[Polynomials]:
    """Polynomials of f' on two intervals, either of which may be empty."""
    parts = []
    for on, bounds in ((rising, {"lower": 0.0}), (falling, {"upper": 0.0})):
        if on[0] < on[1]:
            parts += [p._replace(label="Unimodal") for p in Bounds(1, on=on, **bounds).polynomials(basis)]
    return parts


def _highest(curve: Spline, a: float, b: float) -> float:
    """Where a curve is highest between a and b; its level makes no digits of the differences."""
    bsplines = curve.bsplines
    curve = Spline(bsplines.basis, bsplines.coef - bsplines.coef.mean())
    zeros = curve.roots(deriv=1)
    candidates = np.concatenate([[a, b], zeros[(zeros > a) & (zeros < b)]])
    return float(candidates[int(np.argmax(curve(candidates)))])
