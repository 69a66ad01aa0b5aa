"""Maximum of the restricted likelihood, with a convergence check.

The best starts of a grid are followed by `smoothfit.inference.descent`. Where rounding leaves no sign to the curvature of a
direction that hardly matters (amplitude and length scale growing together, for example), a plateau along it is as good as a
maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._log import logger
from .._validation import FloatArray
from ..errors import ConvergenceError, NumericalError
from ..inference.descent import Scored, descend
from ..inference.newton import Minimum, best_from
from .pieces import Criterion, Singular

ACCEPTED = 1e-5  # what rounding may leave of a decrement where the covariance is nearly singular: 0.3 % of a standard error
PLATEAU = 1e-2  # slope and second derivative of -2 llf by logarithms, below which parameters hardly matter
SAME = 0.02  # distance in logarithms of a descent from a minimum that is known, below which it leads there
LEVEL = 1e-6  # a difference of values that does not count
REMEDY = "give a noise SD (sd=), a length_scale or an amplitude"
SINGULAR_REMEDY = (
    "leave the noise SD to be estimated (sd=None) or give a larger one, merge coincident points, or use a rougher kernel"
)


@dataclass(frozen=True, eq=False)
class Optimum(Minimum):
    """A converged minimum of the criterion.

    Attributes
    ----------
    on_plateau : bool
        Whether rounding hides the curvature along a direction in which the criterion hardly changes, by less than `PLATEAU` for a
        factor e; the decrement then counts the other directions.
    """

    on_plateau: bool = False


@dataclass(frozen=True)
class Scores:
    """A criterion as what `descend` takes: infinite where the covariance is singular."""

    criterion: Criterion

    def values(self, theta: FloatArray) -> FloatArray:
        return self.criterion.values(theta)

    def score(self, theta: FloatArray) -> Scored:
        try:
            expansion = self.criterion.expand(theta)
        except Singular:
            return Scored(theta, np.inf, np.full(len(theta), np.nan))
        return Scored(theta, expansion.value, expansion.gradient)

    def curvature(self, at: Scored) -> FloatArray:
        hessian = self.criterion.expand(at.theta, hessian=True).hessian
        assert hessian is not None
        return hessian


def search(criterion: Criterion, n_starts: int) -> Optimum:
    """Return the best converged minimum from the `n_starts` most promising starts.

    Raises
    ------
    ConvergenceError
        The search did not converge, or one that did not converge reached lower values than the best that did.
    NumericalError
        The covariance is numerically singular at every start.
    """
    rows, parameters = criterion.rows, criterion.parameters
    lower, upper = (bound[criterion.searched] for bound in parameters.bounds(rows))
    grid = np.clip(parameters.starts(rows)[:, :, criterion.searched], lower, upper)
    n_lengths, n_noises, n_searched = grid.shape
    if n_searched == 0:
        nowhere = np.zeros(0, np.bool_)
        return Optimum(np.zeros(0), 0.0, 0.0, nowhere, nowhere, 0)
    values = criterion.values(grid.reshape(-1, n_searched)).reshape(n_lengths, n_noises)
    best_noise = values.argmin(axis=1)
    along = values.min(axis=1)
    if not np.isfinite(along).any():
        raise NumericalError(f"the covariance of the observations is numerically singular at every start; {SINGULAR_REMEDY}")
    padded = np.concatenate([[np.inf], along, [np.inf]])
    is_low = (along <= padded[:-2]) & (along <= padded[2:])
    promising = np.lexsort((along, ~is_low))  # local minima first
    promising = promising[np.isfinite(along[promising])][:n_starts]

    def follow(i: int, best: Optimum | None) -> Optimum | None:
        return _followed(Scores(criterion), grid[i, best_noise[i]], lower, upper, len(promising), best)

    logger.info("search over %d parameters: grid of %d points, %d starts", n_searched, values.size, len(promising))
    try:
        best = best_from(promising.tolist(), follow)
    except ConvergenceError as error:
        raise ConvergenceError(f"{str(error).rsplit(';', 1)[0]}; {SINGULAR_REMEDY}, or {REMEDY}", error.value) from None
    assert best is not None
    return best


def _followed(
    scores: Scores, start: FloatArray, lower: FloatArray, upper: FloatArray, n_starts: int, best: Optimum | None
) -> Optimum | None:
    """The minimum that a start leads to, or a plateau if rounding keeps it from converging; None if that is the best so far."""

    def is_known(theta: FloatArray, value: float) -> bool:
        return best is not None and bool(np.abs(theta - best.theta).max() < SAME)

    plateau = 0.0
    try:
        end = descend(scores, start, lower, upper, n_starts, is_known=is_known)
    except ConvergenceError:
        plateau = PLATEAU
        end = descend(scores, start, lower, upper, n_starts, None, ACCEPTED, is_known, plateau)
    if end is None:
        return None
    found, hessian = end
    free = ~(found.at_lower | found.at_upper)
    is_level = bool((np.linalg.eigvalsh(hessian[np.ix_(free, free)]) <= plateau).any())
    return Optimum(**vars(found), on_plateau=plateau > 0 and is_level)
