"""From a problem to what a method finds in it, or an error that says why there is nothing to find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import IdentificationError
from .centring import centring
from .methods import Method, Problem
from .methods.base import Fitted


def estimate(method: Method, problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Estimate by a method, from levels near the readings and the inputs.

    Raises
    ------
    SpecificationError
        The method refuses the problem; the message names one that does not.
    IdentificationError
        The readings do not tell the coefficients apart.
    """
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
