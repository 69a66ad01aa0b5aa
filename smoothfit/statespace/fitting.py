"""From observations to variances: starts, bounds and ties for every way to fit a smoothing spline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import ConvergenceError, DataError
from ..inference.newton import PREDICTION_CRITERIA, REMEDY, Minimum, certified, minimize, trusting_each
from ..markov.bandwidth import LIMIT, Resolution, Tie
from ..markov.criteria import (
    LIKELIHOODS,
    Criterion,
    FullLikelihood,
    Likelihood,
    PredictionCriterion,
    RestrictedLikelihood,
    likelihood_of,
)
from ..markov.kernels import residual_terms, terms
from ..markov.pyramid import Pyramid, are_long, is_exact, is_long, quick_ends, quick_minimum
from ..markov.rows import Rows
from ..results.exact import SMALLEST_SD, is_stuck

GRID = 14
COARSE = 6.0  # between starts, in log q
NOTHING = np.empty(0)
NOISE_FREE = 1e-10  # of the size of a single series' observations; below, an SD counts as zero
LANES, ROUNDS = 8, 6  # candidates side by side, and how often their range is divided


@dataclass(frozen=True, eq=False)
class Variances:
    """What a fit estimated, in scaled units.

    Attributes
    ----------
    q : float
        White-noise intensity; zero where the fit is a polynomial.
    sigma2 : ndarray, shape (n_groups,)
        Variance of each unknown series; one for the known ones.
    boundary : tuple of str
        Parameters at a boundary: ``"q"`` (q = 0), or the name of a series whose SD is indistinguishable from zero.
    minimum : Minimum or None
        The convergence criterion; None if nothing had to be searched.
    """

    q: float
    sigma2: FloatArray
    boundary: tuple[str, ...]
    minimum: Minimum | None

    @property
    def value(self) -> float:
        """The criterion; infinite if nothing was searched."""
        return np.inf if self.minimum is None else self.minimum.value


@dataclass(frozen=True, eq=False)
class Tied:
    """A criterion with the smoothing fixed: a function of the logarithms of the unknown variances alone."""

    criterion: Likelihood
    resolution: Resolution
    tie: Tie
    unbounded = False

    def full(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return theta with log q put first, and the slopes of log q by theta."""
        logs = theta @ self.criterion.directions[1:, 1:] if len(theta) else np.zeros(self.criterion.rows.n_groups)
        log_q, slopes = self.tie.log_q(self.resolution, logs)
        return np.concatenate([[log_q], theta]), self.criterion.directions[1:, 1:] @ slopes

    def values(self, theta: FloatArray) -> FloatArray:
        return self.criterion.values(np.array([self.full(t)[0] for t in theta]))

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        full, slopes = self.full(theta)
        value, gradient = self.criterion.gradient(full)
        return value, gradient[1:] + gradient[0] * slopes

    def scaled_gradient(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and the slopes of the log determinant."""
        full, slopes = self.full(theta)
        value, gradient, scale = self.criterion.scaled_gradient(full)
        return value, gradient[1:] + gradient[0] * slopes, scale[1:] + scale[0] * slopes


def estimate(rows: Rows, order: int, method: str, tie: Tie | None, near: Variances | None = None) -> Variances:
    """Minimise the criterion of a method; with a tie, a likelihood over the variances alone.

    With `near`, only the minimum that a descent from there leads to is found.
    """
    _check_estimable(rows, order, len(rows.unknown) + (tie is None))
    if tie is None:
        _check_smoothing(rows, order)
    likelihood = likelihood_of(method)(rows, order)
    is_quick = tie is None and method in LIKELIHOODS and is_long(likelihood)  # which looks for noise on its way
    if tie is None and (method in PREDICTION_CRITERIA or not (rows.has_known or is_quick)):
        _check_noise(rows, order)
    if tie is not None:
        return _at_fixed_smoothing(likelihood, tie, near)
    if method in LIKELIHOODS:
        return _maximise(likelihood, near)
    if method == "aicc" and len(rows) <= order + 2:
        raise DataError(f"{len(rows)} observations are too few for aicc at order {order}: it needs n - edf > 2; use reml")
    # Relative precisions first; they are known if there is one series, or every SD is.
    sigma2 = np.ones(1) if rows.n_groups == 1 else estimate(rows, order, "reml", None, near).sigma2
    return _search(PredictionCriterion(rows, order, sigma2, method), sigma2, near=near)


def _maximise(likelihood: Likelihood, near: Variances | None) -> Variances:
    """Search for the smoothing and all unknown variances."""
    if len(likelihood.names) == 1:
        return _search(likelihood, np.ones(1), near=near)
    if near is not None:
        return _search(likelihood, near.sigma2, boundless=_boundless(likelihood, []), near=near)
    own = own_series(likelihood.rows, likelihood.order)
    starts, intensities = _starts(likelihood.rows, own)
    return _search(likelihood, starts, intensities, _boundless(likelihood, own))


def _boundless(likelihood: Likelihood, own: list[Own]) -> set[str]:
    """Series as whose SD tends to zero the likelihood grows without bound.

    A restricted likelihood does so for a series whose observations lie on a polynomial; if nothing inside is found, it is
    noise-free.
    """
    return set(likelihood.names[1:]) if isinstance(likelihood, FullLikelihood) else {o.name for o in own if o.is_exact}


def _minimize(
    criterion: Criterion | Tied,
    names: tuple[str, ...],
    starts: list[FloatArray],
    lower: FloatArray,
    upper: FloatArray,
    boundless: Iterable[str],
) -> Minimum:
    """The best minimum inside, of variables with names."""
    excluded = np.isin(names, list(boundless))

    def is_inside(at_lower: npt.NDArray[np.bool_]) -> bool:
        return not (at_lower & excluded).any()

    if isinstance(criterion, Likelihood) and are_long(criterion) and len(starts[0]) > 1:
        minimum = certified(criterion, *quick_ends(criterion, starts, lower, upper, is_inside), lower, upper, is_inside)
    else:
        minimum = minimize(criterion, starts, lower, upper, is_inside)
    likelihood = criterion.criterion if isinstance(criterion, Tied) else criterion
    if isinstance(likelihood, FullLikelihood) and not is_inside(minimum.at_lower):
        raise ConvergenceError(f"the likelihood has no maximum short of an SD of zero, where it grows without bound; {REMEDY}")
    return minimum


@dataclass(frozen=True, eq=False)
class Own:
    """A series of unknown noise SD by itself.

    Observations of f^(k) alone are observations of the values of a curve of order m - k with the same q.

    Attributes
    ----------
    name : str
    log_spread : float
        Logarithm of the variance of its observations.
    rows : Rows or None
        Its observations as those of values; None if they are all at one x.
    order : int
        The order of that curve.
    is_exact : bool
        Whether they lie on a polynomial without process noise, or are all equal, to rounding.
    """

    name: str
    log_spread: float
    rows: Rows | None
    order: int
    is_exact: bool


def own_series(rows: Rows, order: int) -> list[Own]:
    """The series of unknown noise SD."""
    found = []
    for g, name in enumerate(rows.unknown):
        log_spread, exact = _log_spread(rows, g)
        alone, k = _alone(rows, g)
        if not exact and alone is not None and len(alone.gaps) >= order - k + 1:
            exact = is_exact(alone, float(terms(alone, order - k, np.zeros(1), np.ones((1, 1))).sse[0]))
        found.append(Own(name, log_spread, alone, order - k, exact))
    return found


def _starts(rows: Rows, own: list[Own]) -> tuple[FloatArray, FloatArray]:
    """Sets of variances (S, n_groups) to start from, if there are several; log intensities worth a try."""
    fits = [_rough_fit(series) for series in own]
    alone, spread = np.array([log_sigma2 for log_sigma2, _ in fits]), np.array([series.log_spread for series in own])
    trusted = trusting_each(alone, spread)
    logs = [alone, np.maximum(alone, spread + 2 * np.log(0.01)), spread + 2 * np.log(0.1), spread]
    logs += [logs for series, logs in zip(own, trusted, strict=bool(trusted)) if not series.is_exact]
    logs = [one for i, one in enumerate(logs) if not any(np.array_equal(one, other) for other in logs[:i])]
    known = np.ones((len(logs), rows.n_groups - len(own)))
    return np.hstack([np.exp(logs), known]), np.array([log_q for _, log_q in fits if np.isfinite(log_q)])


def _rough_fit(series: Own) -> tuple[float, float]:
    """Logarithms of the variance and of the intensity by a scan; the latter infinite if there is none worth a try."""
    rows = series.rows
    if rows is None or len(rows.gaps) < series.order + 2:
        return series.log_spread - float(np.log(10)), np.inf
    if series.is_exact:  # no noise: any start will do, the joint fit decides
        return float(np.log(np.mean(rows.y**2) * 1e-6 or 1e-6)), np.inf
    likelihood = RestrictedLikelihood(rows, series.order)
    (log_q,) = _grids(likelihood, np.ones((1, 1)))
    best, sse = Pyramid(likelihood).lowest(log_q)
    log_sigma2 = float(np.log(max(likelihood.common_variance(sse), smallest_sd(rows) ** 2)))
    return log_sigma2, float(log_q[best]) + log_sigma2 if best else np.inf


def _search(
    criterion: Criterion,
    starts: FloatArray,
    intensities: FloatArray = NOTHING,
    boundless: Iterable[str] = (),
    near: Variances | None = None,
) -> Variances:
    """Minimise from grids of bandwidths, the variances starting at each of `starts`, (n_groups,) or (S, n_groups).

    The log q of `intensities` are tried too; with `near`, only the q there, in proportion. `boundless` are the names whose SD is
    zero only if there is no other minimum.
    """
    rows = criterion.rows
    starts = np.atleast_2d(starts)
    log_q = _grids(criterion, starts)
    if criterion.scale_free and near is None and not is_long(criterion):
        log_q = [_short_of_rounding(criterion, grid) for grid in log_q]
    others, lower, upper = _other_variances(criterion, starts)
    grids = [_along(np.sort(np.append(q, intensities)), logs) for q, logs in zip(log_q, others, strict=True)]
    if near is not None:
        with np.errstate(divide="ignore"):  # zero is the lower bound
            grids = [_along(np.log([near.q * starts[0, 0] / near.sigma2[0]]), others[0])]
    room = np.log(LIMIT) if others.size else 0.0  # the limits move with the other variances
    lower, upper = np.append(min(q[0] for q in log_q) - room, lower), np.append(max(q[-1] for q in log_q) + room, upper)
    quick = None
    if isinstance(criterion, Likelihood) and is_long(criterion) and near is None:
        quick = quick_minimum(criterion, log_q[0])
    if quick is not None:
        minimum, sse = quick
    else:
        if criterion.scale_free and is_long(criterion):
            _check_noise(rows, criterion.order)
        minimum, sse = _minimize(criterion, criterion.names, grids, lower, upper, boundless), None
    q, sigma2 = criterion.at(minimum.theta)
    boundary = [name for name, low in zip(criterion.names, minimum.at_lower, strict=True) if low]
    if minimum.at_upper[0] and criterion.scale_free:
        boundary.extend(rows.unknown)
    if minimum.at_lower[0]:
        q = 0.0
    factor = _common_factor(criterion, q, sigma2, sse)
    return Variances(q * factor, sigma2 * factor, tuple(boundary), minimum)


def _grids(criterion: Criterion, starts: FloatArray) -> list[FloatArray]:
    """Logarithms of q, increasing, at each of several variances (S, n_groups)."""
    rows, resolution = criterion.rows, criterion.resolution
    # Dense where even observations have their optimum, between 3 ranges and a third of the spacing; coarser out to the limits.
    bandwidths = np.geomspace(3 * rows.range, resolution.spacing / 3, GRID)
    grids = []
    for sigma2 in starts:
        inner = resolution.log_intensity(bandwidths, sigma2)
        lowest, highest = resolution.limits(sigma2)
        if not isinstance(criterion, Likelihood):  # n - edf is rounding beyond what even observations would interpolate
            narrowest = resolution.spacing / LIMIT ** (1 / (2 * criterion.order))
            highest = float(resolution.log_intensity(narrowest, sigma2))
        below = np.linspace(lowest, inner[0], max(2, int((inner[0] - lowest) / COARSE)), endpoint=False)
        above = np.linspace(highest, inner[-1], max(2, int((highest - inner[-1]) / COARSE)), endpoint=False)
        grids.append(np.concatenate([below, inner, above[::-1]]))
    return grids


def _along(log_q: FloatArray, others: FloatArray) -> FloatArray:
    """Points (L, p) with the other logarithms."""
    return np.column_stack([log_q, np.broadcast_to(others, (len(log_q), len(others)))])


def _short_of_rounding(criterion: Criterion, log_q: FloatArray) -> FloatArray:
    """A grid of log q, increasing, up to where the SD, the only one, falls to that of the observations' rounding."""
    rows, order = criterion.rows, criterion.order
    smallest = smallest_sd(rows) ** 2

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


def smallest_sd(rows: Rows) -> float:
    """SD below which the noise of a single series is rounding, scaled: of the filter, or of the observations with their level."""
    level = abs(rows.scale.y_origin) / rows.scale.y_unit if rows.deriv.min() == 0 else 0.0
    rounding = float(np.finfo(float).eps)
    return max(NOISE_FREE * float(np.sqrt(np.mean(rows.y**2 / rows.ratio))), rounding * level) or rounding


def _at_fixed_smoothing(likelihood: Likelihood, tie: Tie, near: Variances | None) -> Variances:
    """Search for the unknown variances that are part of theta, if there are any."""
    rows, order, names = likelihood.rows, likelihood.order, likelihood.names[1:]
    tied = Tied(likelihood, likelihood.resolution, tie)
    theta, minimum, boundary = NOTHING, None, []
    if names:
        own = own_series(rows, order) if near is None else []
        starts = _starts(rows, own)[0] if near is None else near.sigma2[None]
        others, lower, upper = _other_variances(likelihood, starts)
        minimum = _minimize(tied, names, [logs[None] for logs in others], lower, upper, _boundless(likelihood, own))
        theta, boundary = minimum.theta, [name for name, low in zip(names, minimum.at_lower, strict=True) if low]
    q, sigma2 = likelihood.at(tied.full(theta)[0])
    factor = 1.0 if rows.has_known else _residual_variance(rows, order, q, sigma2)
    least = smallest_sd(rows) ** 2 / float(sigma2.max())
    if factor < least and not rows.has_known:  # noise-free: any smoothing gives the same curve
        factor, boundary = least, list(rows.unknown)
    return Variances(q * factor, sigma2 * factor, tuple(boundary), minimum)


def _common_factor(criterion: Criterion, q: float, sigma2: FloatArray, sse: float | None) -> float:
    """The factor of all variances that theta leaves out; 1 where it leaves out none. `sse` is that at q if it is known."""
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
    """The logarithms (S, p - 1) of the variances (S, n_groups) that are part of theta, and their bounds."""
    names = criterion.names[1:]
    logs = np.log(sigma2[:, [criterion.rows.unknown.index(name) for name in names]])
    floors = log_spreads(criterion.rows, names) + 2 * np.log(SMALLEST_SD)
    return logs, np.minimum(floors, logs.min(axis=0) - 1), logs.max(axis=0) + np.log(LIMIT)


def _check_estimable(rows: Rows, order: int, n_parameters: int) -> None:
    """Refuse observations too few for the parameters."""
    n = len(rows)
    if n < order + n_parameters:
        raise DataError(
            f"{n} observations are too few at order {order}: {order} fix a polynomial, and {n_parameters} more are needed for the "
            "smoothing and the SDs; add observations, fix the smoothing (lam=, bandwidth=) or give sd="
        )
    for g, name in enumerate(rows.unknown):
        if np.count_nonzero(rows.group == g) < 2:
            raise DataError(f"{name!r} has one observation, from which its noise SD cannot be estimated; pass sd= for it")


def _check_smoothing(rows: Rows, order: int) -> None:
    """Refuse as many places as fix a polynomial: whatever the smoothing, the curve leaves the same residuals."""
    if len(rows.nodes) > order:
        return
    n_places = np.count_nonzero(np.bincount(np.cumsum(rows.delta > 0) * order + rows.deriv))
    if n_places <= order:
        raise DataError(
            f"the observations are at {len(rows.nodes)} different x, which fix a polynomial at order {order} and leave nothing "
            "that shows the smoothing; observe at more x, use a lower order, or fix the smoothing (lam=, bandwidth=)"
        )


def _check_noise(rows: Rows, order: int) -> None:
    """Refuse observations without noise, on a polynomial of degree < order."""
    if is_exact(rows, float(terms(rows, order, np.zeros(1), np.ones((1, rows.n_groups))).sse[0])):
        raise DataError(
            f"the observations lie on a polynomial of degree {order - 1} to rounding: there is no noise to estimate; "
            "give sd=, and fit by reml or ml"
        )


def log_spreads(rows: Rows, names: Sequence[str]) -> FloatArray:
    """Logarithm of the variance of each series' observations, or of their size if they are all alike."""
    return np.array([_log_spread(rows, rows.unknown.index(name))[0] for name in names])


def _log_spread(rows: Rows, g: int) -> tuple[float, bool]:
    """Logarithm of the variance of a series' observations, or of their size if they are all alike; and whether they are."""
    mine = rows.of_group(g)
    y, ratio = rows.y[mine], rows.ratio[mine]
    stuck = is_stuck(rows.readings_of(g))
    spread = 0.0 if stuck else float(np.mean((y - y.mean()) ** 2 / ratio))
    return float(np.log(spread or np.mean(y**2 / ratio) or 1.0)), stuck


def _alone(rows: Rows, g: int) -> tuple[Rows | None, int]:
    """The observations of one unknown series as observations of a curve's values, and their order."""
    mine = rows.group == g
    x = np.cumsum(rows.delta)[mine]
    k = int(rows.deriv[mine][0])
    nodes = x[np.diff(x, prepend=-1.0) > 0]
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
