"""From readings to variances: starts, bounds and ties for every way to fit a smoothing spline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import ConvergenceError, DataError
from ..inference.newton import LEVEL, REMEDY, Minimum, best_from, difference_hessian, minimize, trusting_each
from ..markov.bandwidth import LIMIT, Resolution, Tie
from ..markov.criteria import LIKELIHOODS, PREDICTION_CRITERIA, Criterion, FullLikelihood, Likelihood, likelihood_of
from ..markov.kernels import residual_terms, terms
from ..markov.pyramid import is_exact, is_long, quick_minimum
from ..markov.rows import Rows
from ..results.exact import is_stuck

GRID = 14
COARSE = 6.0  # between starts, in log q
NOTHING = np.empty(0)
NOISE_FREE = 1e-10  # of the size of a single name's readings; below, an sd counts as zero
LANES, ROUNDS = 8, 6  # candidates side by side, and how often their range is divided
SMALLEST_SD = 1e-8  # of the spread of a name's readings; below, an sd counts as zero


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

    @property
    def value(self) -> float:
        """The criterion; infinite where nothing was searched."""
        return np.inf if self.minimum is None else self.minimum.value


@dataclass(frozen=True, eq=False)
class Tied:
    """A criterion with the smoothing fixed: a function of the logarithms of the unknown variances alone."""

    criterion: Likelihood
    resolution: Resolution
    tie: Tie
    unbounded = False
    exact_hessian = False

    def full(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return theta with log q put first, and the slopes of log q by theta."""
        logs = theta @ self.criterion.directions[1:, 1:] if len(theta) else np.zeros(self.criterion.rows.n_groups)
        log_q, slopes = self.tie.log_q(self.resolution, logs)
        return np.concatenate([[log_q], theta]), self.criterion.directions[1:, 1:] @ slopes

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p)."""
        return self.criterion.values(np.array([self.full(t)[0] for t in theta]))

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        full, slopes = self.full(theta)
        value, gradient = self.criterion.gradient(full)
        return value, gradient[1:] + gradient[0] * slopes

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian."""
        value, gradient = self.gradient(theta)
        return value, gradient, difference_hessian(lambda t: self.gradient(t)[1], theta, gradient)


def estimate(rows: Rows, order: int, method: str, tie: Tie | None) -> Variances:
    """Minimise the criterion of a method; with a tie, a likelihood over the variances alone."""
    _check_estimable(rows, order, len(rows.unknown) + (tie is None))
    likelihood = likelihood_of(method)(rows, order)
    is_quick = tie is None and method in LIKELIHOODS and is_long(likelihood)  # which looks for noise on its way
    if tie is None and (method in PREDICTION_CRITERIA or not (rows.has_known or is_quick)):
        _check_noise(rows, order)
    if method in LIKELIHOODS or tie is not None:
        return _maximise(likelihood) if tie is None else _at_fixed_smoothing(likelihood, tie)
    if method == "aicc" and len(rows) <= order + 2:
        raise DataError(f"{len(rows)} readings are too few for aicc at order {order}: it needs n - edf > 2; use reml")
    # Relative precisions first; they are known where there is one name, or every sd is.
    sigma2 = np.ones(1) if rows.n_groups == 1 else estimate(rows, order, "reml", None).sigma2
    return _search(PREDICTION_CRITERIA[method](rows, order, sigma2), sigma2)


def _maximise(likelihood: Likelihood) -> Variances:
    """Search for the smoothing and all unknown variances."""
    starts, intensities = _starts(likelihood)
    return _best_inside(likelihood, starts, lambda sigma2: _search(likelihood, sigma2, intensities))


def _best_inside(likelihood: Likelihood, starts: list[FloatArray], search: Callable[[FloatArray], Variances]) -> Variances:
    """The best that starts lead to: inside, where the likelihood grows without bound as an sd tends to zero.

    A restricted likelihood does so for a name whose readings lie on a polynomial; if nothing inside is found, it is noise-free.
    """
    is_full = isinstance(likelihood, FullLikelihood)
    boundless = set(likelihood.names[1:]) if is_full else exact_names(likelihood.rows, likelihood.order)
    outside: list[Variances] = []

    def follow(sigma2: FloatArray, _: Variances | None) -> Variances | None:
        found = search(sigma2)
        if boundless.isdisjoint(found.boundary):
            return found
        outside.append(found)
        return None

    best = best_from(starts, follow, LEVEL)
    if best is not None:
        return best
    if is_full:
        raise ConvergenceError(f"the likelihood has no maximum short of an sd of zero, where it grows without bound; {REMEDY}")
    return min(outside, key=lambda found: found.value)


def exact_names(rows: Rows, order: int) -> set[str]:
    """Names of unknown sd whose readings lie on a polynomial without process noise, or are all equal, to rounding."""
    found = set()
    for g, name in enumerate(rows.unknown):
        if is_stuck(rows.readings_of(g)):
            found.add(name)
            continue
        alone, k = _alone(rows, g)
        if alone is not None and len(alone.gaps) >= order - k + 1:
            sse = terms(alone, order - k, np.zeros(1), np.ones((1, 1))).sse
            found |= {name} if is_exact(alone, float(sse[0])) else set()
    return found


def _starts(likelihood: Likelihood) -> tuple[list[FloatArray], FloatArray]:
    """Sets of variances (n_groups,) to start from, several where several are searched; log intensities worth a try."""
    rows = likelihood.rows
    log_sigma2, intensities = _start(rows, likelihood.order)
    if len(likelihood.names) == 1:
        return [np.exp(log_sigma2)], intensities
    unknown = slice(len(rows.unknown))
    alone, spread = log_sigma2[unknown], _log_spreads(rows, rows.unknown)
    starts = []
    alike = [alone, np.maximum(alone, spread + 2 * np.log(0.01)), spread + 2 * np.log(0.1), spread]
    trusted = trusting_each(alone, spread)
    exact = exact_names(rows, likelihood.order)
    for logs in alike + [logs for name, logs in zip(rows.unknown, trusted, strict=bool(trusted)) if name not in exact]:
        sigma2 = np.ones(rows.n_groups)
        sigma2[unknown] = np.exp(logs)
        starts.append(sigma2)
    return starts, intensities


def _search(criterion: Criterion, sigma2: FloatArray, intensities: FloatArray = NOTHING) -> Variances:
    """Minimise from a grid of bandwidths, the variances starting at `sigma2`; log q in `intensities` are tried too."""
    rows, resolution = criterion.rows, Resolution(criterion.rows, criterion.order)
    others, lower, upper = _other_variances(criterion, sigma2)
    names = criterion.names[1:]
    lowest, highest = resolution.limits(sigma2)
    # Dense where even readings have their optimum, between 3 ranges and a third of the spacing; coarser out to the limits.
    bandwidths = np.geomspace(3 * rows.range, resolution.spacing / 3, GRID)
    inner = resolution.log_intensity(bandwidths, sigma2)
    if not isinstance(criterion, Likelihood):  # n - edf is rounding beyond what even readings would interpolate
        narrowest = resolution.spacing / LIMIT ** (1 / (2 * criterion.order))
        highest = float(resolution.log_intensity(narrowest, sigma2))
    below = np.linspace(lowest, inner[0], max(2, int((inner[0] - lowest) / COARSE)), endpoint=False)
    above = np.linspace(highest, inner[-1], max(2, int((highest - inner[-1]) / COARSE)), endpoint=False)
    grid = np.concatenate([below, inner, above[::-1]])
    if criterion.scale_free and not is_long(criterion):
        grid = _short_of_rounding(criterion, grid)
    log_q = np.append(grid, intensities)
    starts = np.column_stack([log_q, np.broadcast_to(others, (len(log_q), len(others)))])
    room = np.log(LIMIT) if names else 0.0  # the limits move with the other variances
    quick = quick_minimum(criterion, grid) if isinstance(criterion, Likelihood) and is_long(criterion) else None
    if quick is not None:
        minimum, sse = quick
    else:
        if criterion.scale_free and is_long(criterion):
            _check_noise(rows, criterion.order)
        minimum, sse = minimize(criterion, starts, np.append(grid[0] - room, lower), np.append(grid[-1] + room, upper)), None
    q, sigma2 = criterion.at(minimum.theta)
    boundary = [name for name, low in zip(criterion.names, minimum.at_lower, strict=True) if low]
    if minimum.at_upper[0] and criterion.scale_free:
        boundary.extend(rows.unknown)
    if minimum.at_lower[0]:
        q = 0.0
    factor = _common_factor(criterion, q, sigma2, sse)
    return Variances(q * factor, sigma2 * factor, tuple(boundary), minimum)


def _short_of_rounding(criterion: Criterion, log_q: FloatArray) -> FloatArray:
    """A grid of log q, increasing, up to where the sd, the only one, falls to that of the readings' rounding."""
    rows, order = criterion.rows, criterion.order
    smallest = _smallest_sd(rows) ** 2

    def is_noise(log_q: FloatArray) -> npt.NDArray[np.bool_]:
        if isinstance(criterion, Likelihood):
            found = terms(rows, order, np.exp(log_q), np.ones((len(log_q), 1))).sse / criterion.count
        else:
            rss, free = residual_terms(rows, order, np.exp(log_q), np.ones((len(log_q), 1)))
            found = rss / free
        return np.asarray(found > smallest)

    enough = is_noise(log_q)
    if enough.all():
        return log_q
    first = int(np.argmin(enough))
    if first == 0:
        return log_q
    low, high = log_q[first - 1], log_q[first]
    for _ in range(ROUNDS):
        between = np.linspace(low, high, LANES + 2)[1:-1]
        still = int(np.argmin(np.append(is_noise(between), False)))
        ends = np.concatenate([[low], between, [high]])
        low, high = ends[still], ends[still + 1]
    return np.append(log_q[:first], high)


def _smallest_sd(rows: Rows) -> float:
    """Sd below which the noise of a single name is rounding, scaled: of the filter, or of the readings with their level."""
    level = abs(rows.scale.y_origin) / rows.scale.y_unit if rows.deriv.min() == 0 else 0.0
    rounding = float(np.finfo(float).eps)
    return max(NOISE_FREE * float(np.sqrt(np.mean(rows.y**2 / rows.ratio))), rounding * level) or rounding


def _at_fixed_smoothing(likelihood: Likelihood, tie: Tie) -> Variances:
    """Search for the unknown variances where there are several, else nothing."""
    starts, _ = _starts(likelihood)
    return _best_inside(likelihood, starts, lambda sigma2: _search_tied(likelihood, tie, sigma2))


def _search_tied(likelihood: Likelihood, tie: Tie, sigma2: FloatArray) -> Variances:
    """Minimise over the variances that are part of theta, starting at `sigma2`."""
    rows, order = likelihood.rows, likelihood.order
    others, lower, upper = _other_variances(likelihood, sigma2)
    tied = Tied(likelihood, Resolution(rows, order), tie)
    minimum = minimize(tied, others[None], lower, upper) if len(others) else None
    q, sigma2 = likelihood.at(tied.full(others if minimum is None else minimum.theta)[0])
    boundary = [] if minimum is None else [n for n, low in zip(likelihood.names[1:], minimum.at_lower, strict=True) if low]
    factor = 1.0 if rows.has_known else _residual_variance(rows, order, q, sigma2)
    least = _smallest_sd(rows) ** 2 / float(sigma2.max())
    if factor < least and not rows.has_known:  # noise-free: any smoothing gives the same curve
        factor, boundary = least, list(rows.unknown)
    return Variances(q * factor, sigma2 * factor, tuple(boundary), minimum)


def _common_factor(criterion: Criterion, q: float, sigma2: FloatArray, sse: float | None) -> float:
    """The factor of all variances that theta leaves out; 1 where it leaves out none. `sse` is that at q where it is known."""
    rows, order = criterion.rows, criterion.order
    if not isinstance(criterion, Likelihood):
        return 1.0 if rows.has_known else _residual_variance(rows, order, q, sigma2)
    if not criterion.scale_free:
        return 1.0
    return criterion.common_variance(float(terms(rows, order, np.array([q]), sigma2[None]).sse[0]) if sse is None else sse)


def _residual_variance(rows: Rows, order: int, q: float, sigma2: FloatArray) -> float:
    """RSS / (n - edf)."""
    rss, free = residual_terms(rows, order, np.array([q]), sigma2[None])
    return float(rss[0] / free[0])


def _other_variances(criterion: Criterion, sigma2: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The logarithms of variances that are part of theta, and their bounds."""
    names = criterion.names[1:]
    logs = np.log(sigma2[[criterion.rows.unknown.index(name) for name in names]]) if names else NOTHING
    floors = _log_spreads(criterion.rows, names) + 2 * np.log(SMALLEST_SD)
    return logs, np.minimum(floors, logs - 1), logs + np.log(LIMIT)


def _check_estimable(rows: Rows, order: int, n_parameters: int) -> None:
    """Refuse readings too few for the parameters."""
    n = len(rows)
    if n < order + n_parameters:
        raise DataError(
            f"{n} readings are too few at order {order}: {order} fix a polynomial, and {n_parameters} more are needed for the "
            "smoothing and the sds; add readings, fix the smoothing (lam=, bandwidth=) or give sd="
        )
    for g, name in enumerate(rows.unknown):
        if np.count_nonzero(rows.group == g) < 2:
            raise DataError(f"{name!r} has one reading, which cannot tell the sd of its noise; give sd= for it")


def _check_noise(rows: Rows, order: int) -> None:
    """Refuse readings without noise, on a polynomial of degree < order."""
    if is_exact(rows, float(terms(rows, order, np.zeros(1), np.ones((1, rows.n_groups))).sse[0])):
        raise DataError(
            f"the readings lie on a polynomial of degree {order - 1} to rounding: there is no noise to estimate; "
            "give sd=, and fit by reml or ml"
        )


def _log_spreads(rows: Rows, names: Sequence[str]) -> FloatArray:
    """Logarithm of the variance of each name's readings, or of their size where they are all alike, to rounding."""
    spreads = []
    for name in names:
        g = rows.unknown.index(name)
        y, ratio = rows.y[rows.group == g], rows.ratio[rows.group == g]
        spread = 0.0 if is_stuck(rows.readings_of(g)) else np.mean((y - y.mean()) ** 2 / ratio)
        spreads.append(np.log(spread or np.mean(y**2 / ratio) or 1.0))
    return np.array(spreads)


def _start(rows: Rows, order: int) -> tuple[FloatArray, FloatArray]:
    """Starting log variances (n_groups,), and log intensities worth a try.

    Readings of f^(k) alone are readings of a curve of order m - k with the same q: each name is first fitted by itself.
    """
    n_unknown = len(rows.unknown)
    log_sigma2 = np.zeros(rows.n_groups)
    if rows.n_groups == 1:
        return log_sigma2, NOTHING
    intensities = []
    for g in range(n_unknown):
        alone, k = _alone(rows, g)
        if alone is None or len(alone.gaps) < order - k + 2:
            log_sigma2[g] = _log_spreads(rows, rows.unknown[g : g + 1])[0] - np.log(10)
            continue
        try:
            fit = estimate(alone, order - k, "reml", None)
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
    zeros = np.zeros(len(x), np.uint8)
    alone = replace(
        rows,
        nodes=nodes * rows.scale.x_unit,
        fine=None,
        sorter=None,
        delta=np.diff(x, prepend=x[0]),
        deriv=zeros,
        group=zeros,
        y=rows.y[mine],
        ratio=rows.ratio[mine],
        unknown=(rows.unknown[g],),
        has_known=False,
    )
    return alone, k
