"""Least squares on the differenced exact equation, where y itself is not on the right.

For y'' = a y' + b u + c sampled at the spacing h, with phi = exp(a h):

    (y_{k+1} - y_k) = phi (y_k - y_{k-1}) + b_0 u_k + b_1 u_{k-1} + c_0,   c1 = (phi - 1)/a,   c2 = (c1 - h)/a,
    b_0 = b c2,   b_1 = b (c1^2 - phi c2),   c_0 = c c1 h

and likewise for higher orders: the exact difference equation has the root one. As "arx", it takes the readings as exact; differences of noisy
readings ruin it.
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import SpecificationError
from . import arx
from .base import Fitted, Method, Problem


def estimate(problem: Problem) -> Fitted:
    """Least squares over the continuous-time parameters, the root at one imposed."""
    equation = problem.equation
    if equation.order < 2 or 0 in equation.derivatives:
        raise SpecificationError(
            f'method="arimax" regresses differences of {equation.outputs[0]}, for equations of order two or more without '
            f'{equation.outputs[0]} itself on the right; use method="arx", or pass derivatives=(1,)'
        )
    found = arx.estimate(problem)
    return replace(found, extra={**found.extra, "root": 1.0})


METHOD = Method(
    "arimax",
    estimate,
    "noise that enters the equation alone; the readings themselves are exact",
    missing=True,
)
