"""From a problem to the estimate of a method, or an error with the reason."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import IdentificationError, SpecificationError
from .centring import centring
from .methods import Method, Problem
from .methods.base import Fitted


def estimate(method: Method, problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Estimate by a method, from levels near the observations and the inputs.

    Raises
    ------
    SpecificationError
        The method does not support the problem, and the message names one that does; or an option is unknown.
    IdentificationError
        The observations do not identify the coefficients.
    """
    check_method_options(method, options)
    levels = centring(problem)
    reason = (
        f'method="{method.name}" cannot identify the coefficients: given the others, some regressor hardly varies over these '
        f"{len(problem.sample)} rows; leave an input out, lower the order, or sample longer"
    )
    try:
        fitted = method.fit(levels.problem(problem), **options)
    except np.linalg.LinAlgError as error:
        raise IdentificationError(reason) from error
    k = len(fitted.theta)
    if not (np.isfinite(fitted.theta).all() and np.isfinite(fitted.cov[:k, :k]).all() and (fitted.cov.diagonal()[:k] >= 0).all()):
        raise IdentificationError(reason)
    return levels.back(problem.equation, fitted) if levels.is_needed else fitted


def check_method_options(method: Method, options: Mapping[str, Any]) -> None:
    known = list(inspect.signature(method.estimate).parameters)[1:]
    for name in options:
        if name not in known:
            known_ones = f"its options are {', '.join(known)}" if known else "it has no options"
            raise SpecificationError(f'method="{method.name}" has no option {name!r}; {known_ones}')
