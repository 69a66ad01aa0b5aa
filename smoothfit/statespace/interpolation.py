"""Smoothing splines in the limit of no noise: natural splines through the observations, with the uncertainty between them."""

from __future__ import annotations

import numpy as np

from .._validation import FloatArray, first_index
from ..errors import DataError, SpecificationError
from ..markov.bandwidth import FixedLam
from ..markov.kernels import terms
from ..markov.pyramid import is_exact
from ..markov.rows import Rows
from ..observations import Observations, derivative_label
from .fitting import Variances, smallest_sd

NO_NOISE = FixedLam(1e-30)  # scaled: the curve then misses the observations by less than rounding


def interpolated(observations: Observations, rows: Rows, order: int) -> Variances:
    """Variances of the curve through the observations; its intensity by the restricted likelihood of observations without noise."""
    if rows.has_known:
        known = next(r.name for r in observations.readings if r.sd is not None)
        raise SpecificationError(f"lam is 0, a curve through the observations, but {known!r} has sd=; leave out one of them")
    _check_distinct(observations)
    if len(rows) <= order:
        raise DataError(
            f"{len(rows)} observations at order {order} fix a polynomial and leave nothing for its uncertainty; add observations"
        )
    lam = NO_NOISE.lam
    sse = float(terms(rows, order, np.ones(1), np.full((1, rows.n_groups), lam)).sse[0])
    if is_exact(rows, float(terms(rows, order, np.zeros(1), np.ones((1, rows.n_groups))).sse[0])):
        noise: FloatArray = np.full(rows.n_groups, smallest_sd(rows) ** 2)
        return Variances(0.0, noise, ("q", *rows.unknown), None)
    q = sse / (len(rows) - order)
    return Variances(q, np.full(rows.n_groups, q * lam), rows.unknown, None)


def _check_distinct(observations: Observations) -> None:
    """Refuse two observations of the same thing."""
    for deriv in sorted({reading.deriv for reading in observations.readings}):
        x = np.sort(np.concatenate([reading.x for reading in observations.readings if reading.deriv == deriv]))
        repeated = x[1:] == x[:-1]
        if repeated.any():
            place = observations.abscissa.label(x[first_index(repeated)])
            raise DataError(
                f"lam is 0, but {derivative_label(deriv)} is observed twice at x = {place}, and no curve passes through "
                "both; average them, or pass a positive lam"
            )
