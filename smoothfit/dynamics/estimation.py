"""From a problem to what a method finds in it, or an error that says why there is nothing to find."""

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
    """Estimate by a method, from levels near the readings and the inputs.

    Raises
    ------
    SpecificationError
        The method refuses the problem, and the message names one that does not; or it does not know an option.
    IdentificationError
        The readings do not tell the coefficients apart.
    """
    check_method_options(method, options)
    levels = centring(problem)
    untold = (
        f'method="{method.name}" cannot tell the coefficients apart: given the others, some regressor hardly varies over these '
        f"{len(problem.sample)} rows; leave an input out, lower the order, or sample longer"
    )
    try:
        fitted = method.fit(levels.problem(problem), **options)
    except np.linalg.LinAlgError as error:
        raise IdentificationError(untold) from error
    k = len(fitted.theta)
    if not (np.isfinite(fitted.theta).all() and np.isfinite(fitted.cov[:k, :k]).all() and (fitted.cov.diagonal()[:k] >= 0).all()):
        raise IdentificationError(untold)
    return levels.back(problem.equation, fitted) if levels.is_needed else fitted


def check_method_options(method: Method, options: Mapping[str, Any]) -> None:
    """Raise where a method does not know an option."""
    known = list(inspect.signature(method.estimate).parameters)[1:]
    for name in options:
        if name not in known:
            takes = f"its options are {', '.join(known)}" if known else "it takes none"
            raise SpecificationError(f'method="{method.name}" does not know the option {name!r}; {takes}')
