"""B-splines: the knots and the degree that span a space of splines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._validation import FloatArray, Frozen, check_finite, check_order, frozen, to_floats
from ..errors import KnotError

HIGHEST_DEGREE = 10


@dataclass(frozen=True, eq=False)
class BSplineBasis(Frozen):
    """B-splines of a degree on a full knot vector.

    Parameters
    ----------
    knots : array_like, shape (n_basis + degree + 1,)
        Non-decreasing; a knot is repeated at most degree + 1 times. Clamped or not.
    degree : int
        Degree of the pieces, 0 to 10.

    Raises
    ------
    KnotError
        Knots that decrease, are too few, are repeated too often, or leave no domain; the first bad index is named.

    Examples
    --------
    >>> import smoothfit as sf
    >>> basis = sf.BSplineBasis([0, 0, 0, 0, 0.5, 1, 1, 1, 1])
    >>> basis.n_basis, basis.domain
    (5, (0.0, 1.0))
    """

    knots: FloatArray
    degree: int = 3

    def __post_init__(self) -> None:
        degree = check_order(self.degree, "degree", 0, HIGHEST_DEGREE)
        given: Any = self.knots
        knots, _ = to_floats(given, "knots")
        check_finite(knots, "knots", "knots are finite")
        decreasing = np.diff(knots) < 0
        if decreasing.any():
            i = int(np.argmax(decreasing)) + 1
            raise KnotError(f"knots[{i}] = {knots[i]} is below knots[{i - 1}] = {knots[i - 1]}; sort the knots")
        if len(knots) < 2 * degree + 2:
            raise KnotError(f"{len(knots)} knots are too few for degree {degree}; pass at least {2 * degree + 2}")
        repeated = knots[degree + 1 :] == knots[: -degree - 1]
        if repeated.any():
            i = int(np.argmax(repeated))
            raise KnotError(f"knots[{i}] = {knots[i]} is repeated more than degree + 1 = {degree + 1} times")
        if knots[degree] == knots[-degree - 1]:
            raise KnotError(
                f"the domain is empty: knots[{degree}] = knots[{len(knots) - degree - 1}] = {knots[degree]}; the splines live "
                "between these two"
            )
        object.__setattr__(self, "knots", frozen(knots))
        object.__setattr__(self, "degree", degree)

    @property
    def n_basis(self) -> int:
        """Number of basis functions."""
        return len(self.knots) - self.degree - 1

    @property
    def domain(self) -> tuple[float, float]:
        """The interval on which the B-splines sum to one."""
        return float(self.knots[self.degree]), float(self.knots[-self.degree - 1])
