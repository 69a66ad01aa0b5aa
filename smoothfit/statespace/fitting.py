"""From readings to variances: starts, bounds and ties for every way to fit a smoothing spline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._validation import FloatArray
from ..errors import DataError
from .bandwidth import LIMIT, Resolution, Tie
from .criteria import Criterion, Likelihood, RestrictedLikelihood, difference_hessian, residual_terms
from .kernels import terms
from .optimize import Minimum, minimize
from .rows import Rows

GRID = 14
SMALLEST_SD = 1e-8  # of the spread of a name's readings; below, an sd counts as zero
EXACT_SD = 1e-13  # of the readings' size; below, residuals are rounding


@dataclass(frozen=True, eq=False)
class Variances:
    """What a fit estimated, in scaled units.

    Attributes
    ----------
    q : float
        White-noise intensity; zero where the fit is a polynomial.
    sigma2 : ndarray, shape (n_groups,)
        Variance of each unknown name; one for the known names.
    boundary : tuple of str
        Parameters at a boundary: ``"q"`` (q = 0), or a name whose sd is indistinguishable from zero.
    minimum : Minimum or None
        The certificate; None where nothing had to be searched.
    """

    q: float
    sigma2: FloatArray
    boundary: tuple[str, ...]
    minimum: Minimum | None


@dataclass(frozen=True, eq=False)
class Tied:
    """A criterion with the smoothing fixed: a function of the logarithms of the unknown variances alone."""

    criterion: Criterion
    resolution: Resolution
    tie: Tie

    def _full(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return theta with log q put first, and the slopes of log q by theta."""
        logs = theta @ self.criterion.directions[1:, 1:] if len(theta) else np.zeros(self.criterion.rows.n_groups)
        log_q, slopes = self.tie.log_q(self.resolution, logs)
        return np.concatenate([[log_q], theta]), self.criterion.directions[1:, 1:] @ slopes

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p)."""
        return self.criterion.values(np.array([self._full(t)[0] for t in theta]))

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        full, slopes = self._full(theta)
        value, gradient = self.criterion.gradient(full)
        return value, gradient[1:] + gradient[0] * slopes

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian."""
        value, gradient = self.gradient(theta)
        return value, gradient, difference_hessian(lambda t: self.gradient(t)[1], theta, gradient)


def estimate(criterion: Criterion, tie: Tie | None) -> Variances:
    """Minimise the criterion; with a tie, over the variances alone."""
    rows, order = criterion.rows, criterion.order
    resolution = Resolution(rows, order)
    if criterion.scale_free:
        _check_noise(rows, order)
    log_sigma2, intensities = _start(rows, order)
    n_fixed = int(criterion.scale_free)  # the first variance is one where no sd is known
    if criterion.scale_free:
        intensities = intensities - log_sigma2[0]
        log_sigma2 = log_sigma2 - log_sigma2[0]
    others = log_sigma2[n_fixed : len(rows.unknown)]
    lower, upper = np.minimum(_floors(rows, n_fixed), others - 1), others + np.log(LIMIT)
    if tie is not None:
        tied = Tied(criterion, resolution, tie)
        minimum = minimize(tied, [others], lower, upper) if len(others) else None
        full, _ = tied._full(others if minimum is None else minimum.theta)
        return _variances(criterion, full, minimum, fixed=True)
    widest, narrowest = resolution.limits
    # The fit is next to its limits outside 3 ranges and a third of the spacing: one start there, the others between.
    bandwidths = np.concatenate([[widest], np.geomspace(3 * rows.range, resolution.spacing / 3, GRID), [narrowest]])
    grid = resolution.log_intensity(bandwidths, np.exp(log_sigma2))
    starts = [np.append(log_q, others) for log_q in np.append(grid, intensities)]
    lower, upper = np.append(grid[0], lower), np.append(grid[-1], upper)
    minimum = minimize(criterion, starts, lower, upper)
    return _variances(criterion, minimum.theta, minimum, fixed=False)


def _variances(criterion: Criterion, theta: FloatArray, minimum: Minimum | None, fixed: bool) -> Variances:
    """Undo what theta leaves out: the common factor of the variances, and the limit at a boundary."""
    rows, order = criterion.rows, criterion.order
    q, sigma2 = criterion.at(theta)
    boundary = []
    if minimum is not None:
        names = criterion.names[1:] if fixed else criterion.names
        boundary = [name for name, low in zip(names, minimum.at_lower, strict=True) if low]
        if not fixed and minimum.at_upper[0]:
            boundary.extend(rows.unknown[:1])
        if not fixed and minimum.at_lower[0]:
            q = 0.0
    if criterion.scale_free:
        if isinstance(criterion, Likelihood) and not fixed:
            factor = criterion.common_variance(float(terms(rows, order, np.array([q]), sigma2[None]).sse[0]))
        else:
            rss, free = residual_terms(rows, order, q, sigma2)
            factor = float((rss / sigma2).sum() / free.sum())
        q, sigma2 = q * factor, sigma2 * factor
    return Variances(q, sigma2, tuple(boundary), minimum)


def _check_noise(rows: Rows, order: int) -> None:
    """Refuse readings without noise to estimate: on a polynomial of degree < order, to rounding."""
    n_groups = rows.n_groups
    sse = float(terms(rows, order, np.zeros(1), np.ones((1, n_groups))).sse[0])
    size = float(np.sum(rows.y**2 / rows.ratio))
    if len(rows) <= order or sse <= EXACT_SD**2 * size:
        what = (
            f"{len(rows)} readings are as many as an order {order} has free constants"
            if len(rows) <= order
            else f"the readings lie on a polynomial of degree {order - 1} to rounding"
        )
        raise DataError(f"{what}: there is no noise to estimate; give sd=")


def _floors(rows: Rows, first: int) -> FloatArray:
    """Logarithm of the variance below which each unknown sd counts as zero, from the unknown name `first` on."""
    floors = []
    for g in range(first, len(rows.unknown)):
        mine = rows.group == g
        y, ratio = rows.y[mine], rows.ratio[mine]
        spread = np.mean((y - y.mean()) ** 2 / ratio) or np.mean(y**2 / ratio) or 1.0
        floors.append(np.log(spread) + 2 * np.log(SMALLEST_SD))
    return np.array(floors)


def _start(rows: Rows, order: int) -> tuple[FloatArray, FloatArray]:
    """Starting log variances (n_groups,), and log intensities worth a try.

    Readings of f^(k) alone are readings of a curve of order m - k with the same q: each name is first fitted by itself.
    """
    n_unknown = len(rows.unknown)
    log_sigma2 = np.zeros(rows.n_groups)
    if rows.n_groups == 1:
        return log_sigma2, np.empty(0)
    intensities = []
    for g in range(n_unknown):
        alone, k = _alone(rows, g)
        if alone is None or len(alone.gaps) < order - k + 2:
            y = rows.y[rows.group == g]
            log_sigma2[g] = np.log(np.mean((y - y.mean()) ** 2) / 10 or 1e-2)
            continue
        try:
            fit = estimate(RestrictedLikelihood(alone, order - k), None)
        except DataError:  # no noise: any start will do, the joint fit decides
            log_sigma2[g] = np.log(np.mean(alone.y**2) * 1e-6 or 1e-6)
            continue
        log_sigma2[g] = np.log(fit.sigma2[0])
        if fit.q > 0:
            intensities.append(np.log(fit.q))
    return log_sigma2, np.array(intensities)


def _alone(rows: Rows, g: int) -> tuple[Rows | None, int]:
    """The readings of one unknown name as readings of a curve's values, and their order."""
    mine = rows.group == g
    x = np.cumsum(rows.delta)[mine]
    k = int(rows.deriv[mine][0])
    nodes = np.unique(x)
    if len(nodes) < 2:
        return None, k
    return (
        Rows(
            nodes * rows.scale.x_unit,
            None,
            np.diff(x, prepend=x[0]),
            np.zeros(mine.sum(), np.uint8),
            np.zeros(mine.sum(), np.uint8),
            rows.y[mine],
            rows.ratio[mine],
            rows.scale,
            (rows.unknown[g],),
            False,
        ),
        k,
    )
