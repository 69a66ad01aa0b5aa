"""Sum of squares of the exact difference equation with the moving average that both noises make.

    A(L) y = B(L) u + c + C(L) e,   C(L) = 1 + c_1 L + ... + c_m L^m

measurement noise adds A(L) e, a moving average of order m, to process noise, one of order m - 1: together an ARMAX
equation whose A, B and c are functions of the continuous-time parameters theta, and whose C is the spectral factor of

    gamma(z) = v n(z) Q n(1/z)' / p_0 + (1 - v) A(z) A(1/z) / |A|^2,    0 <= v <= 1 the fraction of process noise,

with n the rows of the difference equation's process noise and p_0 their variance. Each run's first m observations are given. The m
innovations before its first row are as uncertain as any (`presample="exact"`), with H their responses,

    minimise  n log(min_k |e - H k|^2 + |k|^2) + log|I + H'H|,

or zero (`"zero"`, the conditional sum of squares).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..._validation import FloatArray, check_choice
from ...errors import ConvergenceError, SmoothfitError
from ...inference.damped import Quadratic, descend
from ..fast import Chart, FastPoleError, check_vanishing
from ..moving_average import DIFFERENCE, moving_average, slopes_of_average, widths_of
from ..regressing import (
    LONG,
    early,
    filtered,
    fitted_regression,
    impulses,
    of_first_rows,
    polynomial,
    process_gain,
    relation_of,
    require_memory_loss,
    run_starts,
    search_starts,
    unrestricted,
)
from ..relation import ROUNDING, Relation, Rows, in_range
from ..scoring import ONE_SIDED, agree
from . import arx, kalman, output_error
from .base import Fitted, Method, Problem, RowScores

DECREMENT = 1e-8
SETTLED = 1e-6  # decrement of a step of a thousandth of a standard error, which leaves the Hessian of a long sample what it is
LOOSE = 1e-5
NEAR = 0.5  # of the decrement of Gauss-Newton steps, from which Newton's take over
WIDTH = 1e-2  # of a standard error: the step of differences of gradients, whose own slopes are differences

MAX_ITERATIONS = 100
SHARES = (1.0, 0.7, 0.2, 0.03, 0.0)
TRIED = 3  # of the starts on a grid, the best


class Descended(NamedTuple):
    """A minimum: (theta, v), half the Hessian of n log sum e^2 (zeros for a v at a bound), Newton's decrement, e and its slopes."""

    x: FloatArray
    hessian: FloatArray
    decrement: float
    e: FloatArray
    J: FloatArray

    @property
    def value(self) -> float:
        """Sum of squares."""
        return float(self.e @ self.e)


def estimate(problem: Problem, presample: str = "exact") -> Fitted:
    """Maximum likelihood over theta and v (innovations before each run: `presample` "exact" or "zero")."""
    exact = check_choice(presample, "presample", ("exact", "zero")) == "exact"
    require_memory_loss(problem, "armax")
    relation, rows = relation_of(problem)
    near = _near(problem, relation)
    if near is not None:
        try:
            return _fitted(problem, relation, rows, _descend(relation, rows, near, exact), exact)
        except (ConvergenceError, FastPoleError):  # the starts below follow, whose failures are raised
            pass
    found: list[Descended] = []
    failure: ConvergenceError | FastPoleError | None = None
    # Of starts on a grid one that leads to a minimum is enough, and two that lead to the same one are.
    for group in _starts(problem, relation, rows, exact):
        for x in group:
            try:
                found.append(_descend(relation, rows, x, exact))
                break
            except (ConvergenceError, FastPoleError) as error:
                failure = failure if isinstance(failure, FastPoleError) else error
        found.sort(key=lambda each: each.value)
        n = len(rows.target)
        if agree((n * np.log(max(each.value, np.finfo(float).tiny)) for each in found), n):
            break
    if found:
        return _fitted(problem, relation, rows, found[0], exact)
    assert failure is not None
    raise failure


def _starts(problem: Problem, relation: Relation, rows: Rows, exact: bool) -> Iterator[list[FloatArray]]:
    """Groups of starts (theta, v), one of each group to be followed to a minimum: of other methods, then of a grid."""
    yield from ([x] for x in _solutions(problem, relation))
    psi = unrestricted(rows)
    candidates = []
    for theta in search_starts(problem, relation, psi if relation.from_psi(psi) is not None else None):
        candidates += [np.append(theta, v) for v in SHARES]
    values = [float(np.sum(_weighted(relation, rows, x, exact) ** 2)) for x in candidates]
    yield [candidates[i] for i in np.argsort(values)[:TRIED]]


def _near(problem: Problem, relation: Relation) -> FloatArray | None:
    """(theta, v) of the likelihood of the first rows of a long sample; None if it has no maximum, or one without a noise."""
    found = of_first_rows(problem, kalman.estimate)
    return None if found is None or found.boundary else _start_of(relation, found)


def _start_of(relation: Relation, found: Fitted) -> FloatArray:
    """(theta, v) of an estimate by another method."""
    A = polynomial(relation.psi(found.theta), relation.order)
    process, observed = float(found.q[0]) * process_gain(relation, found.theta), float(found.sigma2[0] * (A @ A))
    return np.append(found.theta, process / (process + observed) if process + observed > 0 else 1.0)


def _solutions(problem: Problem, relation: Relation) -> Iterator[FloatArray]:
    """(theta, v) of the methods that this one has between them: the likelihood's, and least squares with either noise alone.

    With process noise alone least squares are a minimum of order one only; from order two on that noise is a moving average.
    """
    for method in (kalman, *([arx] if relation.order == 1 else []), output_error):
        try:
            yield _start_of(relation, method.estimate(problem))
        except (SmoothfitError, np.linalg.LinAlgError):  # what has no solution is no start
            continue


def _weighted(relation: Relation, rows: Rows, x: FloatArray, exact: bool) -> FloatArray:
    C = moving_average(relation, x[:-1], x[-1])
    return _innovations(relation, rows, x[:-1], C, _presample(rows, C) if exact else None)[0]


def _structured(relation: Relation, rows: Rows, x: FloatArray, exact: bool) -> tuple[FloatArray, FloatArray]:
    """Weighted innovations e and their derivatives by (theta, v), C following, with the sign of regressors: e(x + s) = e - J s."""
    theta, v = x[:-1], x[-1]
    C = moving_average(relation, theta, v)
    return _linearised(relation, rows, theta, C, slopes_of_average(relation, x, C), exact)


class Presample(NamedTuple):
    """What the innovations before runs do: their responses H (early rows, runs m) at the rows where these have not decayed."""

    rows: npt.NDArray[np.int64]
    response: FloatArray

    @property
    def log_weight(self) -> float:
        """log|I + H'H|."""
        return float(np.linalg.slogdet(np.eye(self.response.shape[1]) + self.response.T @ self.response)[1])

    def without(self, values: FloatArray) -> FloatArray:
        """What the best innovations k before the runs leave of values (r, ...), with -k below, (r + runs m, ...)."""
        count = self.response.shape[1]
        stacked = np.concatenate([values, np.zeros((count, *values.shape[1:]))])
        touched = np.append(self.rows, len(values) + np.arange(count))
        basis = np.linalg.qr(np.vstack([self.response, np.eye(count)]))[0]
        part = stacked[touched]
        stacked[touched] = part - basis @ (basis.T @ part)
        return stacked


def _presample(rows: Rows, C: FloatArray) -> Presample:
    """Of innovations -1 .. -m before each run."""
    m, denominator = len(C), np.concatenate([[1.0], C])
    kept = early(rows, denominator)
    part = rows._replace(run=rows.run[kept])
    enters = np.array([[C[i + back] if i + back < m else 0.0 for back in range(m)] for i in range(m)])
    driven = filtered(part, impulses(part, m), denominator)
    return Presample(kept, np.asarray(driven @ np.kron(np.eye(driven.shape[1] // m), enters)))


def _log_weight(rows: Rows, C: FloatArray) -> float:
    """log|I + H'H| / (2 n): residuals times its exponential have the likelihood as their sum of squares."""
    return _presample(rows, C).log_weight / (2 * len(rows.target))


def _innovations(
    relation: Relation, rows: Rows, theta: FloatArray, C: FloatArray, before: Presample | None
) -> tuple[FloatArray, float]:
    """Innovations, weighted so that their sum of squares is smallest where the likelihood is largest, and the weight."""
    e = filtered(rows, relation.residual(theta, rows), np.concatenate([[1.0], C]))
    if before is None:
        return e, 1.0
    weight = float(np.exp(before.log_weight / (2 * len(rows.target))))
    return np.asarray(before.without(e) * weight), weight


def _linearised(
    relation: Relation, rows: Rows, theta: FloatArray, C: FloatArray, slopes: FloatArray, exact: bool
) -> tuple[FloatArray, FloatArray]:
    """As `_structured`, of the moving average C and its derivatives `slopes` (m, params)."""
    denominator = np.concatenate([[1.0], C])
    m, n, k = len(C), len(rows.target), len(theta)
    presample = _presample(rows, C) if exact else None
    e, weight = _innovations(relation, rows, theta, C, presample)
    lagged = np.zeros((n, m))
    starts = run_starts(rows.run).tolist()
    for run, (first, end) in enumerate(zip(starts, [*starts[1:], n], strict=True)):
        before = -e[n + run * m : n + (run + 1) * m][::-1] if exact else np.zeros(m)
        whole = np.concatenate([before, e[first:end]])
        for j in range(1, m + 1):
            lagged[first:end, j - 1] = whole[m - j : m - j + end - first]
    by_psi = np.zeros((rows.design.shape[1], k + 1))
    by_psi[:, :k] = relation.jacobian(theta) * weight
    driven = rows.design @ by_psi
    driven += lagged @ slopes  # of innovations that have the weight
    J = filtered(rows, driven, denominator)
    if presample is not None:
        J = presample.without(J)
        of_weight = np.array([_log_weight(rows, C + step) - _log_weight(rows, C - step) for step in DIFFERENCE * np.eye(m)])
        J -= np.outer(e, of_weight / (2 * DIFFERENCE) @ slopes)
    return e, J


class _Point(NamedTuple):
    """(theta, v), e with its slopes, and the coordinates of a step."""

    x: FloatArray
    e: FloatArray
    J: FloatArray
    chart: Chart


class _Descent:
    """Gauss-Newton steps, and near the minimum Newton's with differences of exact gradients; v between its bounds."""

    def __init__(self, relation: Relation, rows: Rows, exact: bool):
        self.relation, self.rows, self.exact = relation, rows, exact
        self.size = float(np.linalg.norm(rows.target))
        self.last: tuple[Quadratic, tuple[Any, ...]] | None = None  # Newton's model, and the coordinates that it is of

    def at(self, x: FloatArray) -> _Point:
        """A point with derivatives."""
        chart = Chart.at(self.relation.equation, x[:-1], 0, self.relation.step)
        return _Point(x, *_structured(self.relation, self.rows, x, self.exact), chart)

    def model(self, point: _Point) -> Quadratic:
        """The model of n log |e|^2 / 2."""
        x, e, J, chart = point
        turn, noise = _turn(chart, x), max(float(e @ e), (ROUNDING * self.size) ** 2) / len(e)
        gradient, gauss = -turn.T @ (J.T @ e) / noise, turn.T @ (J.T @ J) @ turn / noise
        check_vanishing(self.relation.equation, chart, x[:-1], self.relation.step, float(gradient[chart.lead or 0]))
        free = np.ones(len(x), np.bool_)
        if np.linalg.norm(e) <= ROUNDING * self.size:
            return Quadratic.of_hessian(np.zeros(len(x)), gauss, free)
        free[-1] = not ((x[-1] == 0 and gradient[-1] >= 0) or (x[-1] == 1 and gradient[-1] <= 0))
        model, of = Quadratic.of_hessian(gradient, gauss, free), (chart.lead, free[-1])
        if model.decrement >= NEAR:
            return model._replace(is_convex=False)
        if self.last is None or self.last[1] != of or self.last[0].decrement > SETTLED or len(self.rows.target) < LONG:
            widths = 1 / np.sqrt(np.maximum(model.hessian.diagonal(), 1e-300))
            hessian = self._hessian(point, free, widths, noise, gradient)
        else:
            hessian = self.last[0].hessian
        self.last = Quadratic.of_hessian(gradient, hessian, free), of
        return self.last[0]

    def lower(self, point: _Point, step: FloatArray, model: Quadratic) -> _Point | None:
        """The point after a step, if its sum of squares is not larger."""
        trial = _moved(point.chart, point.x, point.chart.within(point.x[:-1], step, model.hessian))
        trial[-1] = np.clip(trial[-1], 0.0, 1.0)
        if not (np.isfinite(trial[-1]) and in_range(self.relation, trial[:-1], 3.0)):
            return None
        with np.errstate(all="ignore"):
            e = _weighted(self.relation, self.rows, trial, self.exact)
            return self.at(trial) if e @ e <= (point.e @ point.e) * (1 + 1e-14) else None

    def _hessian(
        self, point: _Point, free: npt.NDArray[np.bool_], deviations: FloatArray, noise: float, gradient: FloatArray
    ) -> FloatArray:
        """Half the Hessian of n log |e|^2 at fixed scale by the coordinates of a chart, by differences of gradients.

        Steps are a small part of the standard `deviations`. Of long samples they are shorter and to one side (see
        `scoring.Search`).
        """
        x, _, _, chart = point
        hessian, last = np.zeros((len(x), len(x))), len(x) - 1
        one_sided = len(self.rows.target) > ONE_SIDED
        part = WIDTH / 10 if one_sided else WIDTH
        for i in np.flatnonzero(free).tolist():
            width = part * deviations[i]
            step = min(width, part * x[i]) if i == last and x[i] > 0 else chart.difference(x[:-1], i, width)
            unit = np.zeros(len(x))
            unit[i] = step
            signs = (1.0, -1.0) if not one_sided else (-1.0,) if i == last and x[i] > 0.5 else (1.0,)
            sides = [(0.0, gradient)] if one_sided else []
            for sign in signs:
                moved = _moved(chart, x, sign * unit)
                moved[last] = np.clip(moved[last], 0.0, 1.0)
                e, J = _structured(self.relation, self.rows, moved, self.exact)
                length = moved[i] - x[i] if i == last else sign * step
                sides.append((length, -_turn(chart, moved).T @ (J.T @ e) / noise))
            (one, there), (other, here) = sides[-1], sides[0]
            hessian[i] = (there - here) / (one - other)
        return np.asarray((hessian + hessian.T) / 2)


def _descend(relation: Relation, rows: Rows, x: FloatArray, exact: bool) -> Descended:
    """The minimum that a start leads to."""
    descent = _Descent(relation, rows, exact)
    (x, e, J, chart), at, _ = descend(descent.at(x), descent.model, descent.lower, DECREMENT, MAX_ITERATIONS)
    if at.decrement > LOOSE or not at.is_convex:
        raise ConvergenceError(
            f'the search for the minimum did not converge (decrement {at.decrement:.3g}); use method="kalman"', float(e @ e)
        )
    back = np.linalg.inv(_turn(chart, x))
    return Descended(x, np.asarray(back.T @ at.hessian @ back), at.decrement, e, J)


def _moved(chart: Chart, x: FloatArray, step: FloatArray) -> FloatArray:
    """(theta, v) after a step in the coordinates of the chart."""
    return np.append(chart.moved(x[:-1], np.zeros(0), step[:-1])[0], x[-1] + step[-1])


def _turn(chart: Chart, x: FloatArray) -> FloatArray:
    """Derivatives of (theta, v) by the coordinates of the chart and v."""
    turn = np.eye(len(x))
    turn[:-1, :-1] = chart.jacobian(x[:-1])
    return turn


def _noises(relation: Relation, x: FloatArray, log_variance: float) -> FloatArray:
    """Q and sigma of theta, v and the innovations' log variance."""
    theta, v = x[:-1], x[-1]
    C = np.concatenate([[1.0], moving_average(relation, theta, v)])
    A = polynomial(relation.psi(theta), relation.order)
    total = np.exp(log_variance) * (C @ C)
    return np.array([total * v / process_gain(relation, theta), np.sqrt(total * (1 - v) / (A @ A))])


def _fitted(problem: Problem, relation: Relation, rows: Rows, found: Descended, exact: bool) -> Fitted:
    x, hessian, decrement, e, J = found
    n, k = len(rows.target), len(x) - 1
    C = moving_average(relation, x[:-1], x[-1])
    weight = np.exp(_log_weight(rows, C)) if exact else 1.0
    likelihood = -0.5 * n * (np.log(2 * np.pi * max(float(e @ e), np.finfo(float).tiny) / n) + 1)
    e, J = e[:n] / weight, J[:n] / weight
    inside = 0 < x[-1] < 1
    kept = k + 1 if inside else k
    base = fitted_regression(problem, rows, x[:-1], J[:, :kept], e, decrement=decrement)
    variance = float(e @ e) / max(1, n - kept)
    bread = np.linalg.inv(hessian[:kept, :kept])
    # q and sigma by the delta method; the innovations' variance is separate from the rest, with 2/n as the variance of its log.
    at = np.append(x, np.log(variance))
    slopes = np.zeros((2, len(at)))
    for i, width in {**widths_of(relation, x), k + 1: DIFFERENCE}.items():
        up, down = at.copy(), at.copy()
        up[i] += width
        down[i] -= width
        if i == k:
            up[i], down[i] = min(up[i], 1.0), max(down[i], 0.0)
        with np.errstate(divide="ignore"):
            slopes[:, i] = (_noises(relation, up[:-1], up[-1]) - _noises(relation, down[:-1], down[-1])) / (up[i] - down[i])
    joint = np.zeros((len(at), len(at)))
    joint[:kept, :kept] = bread
    joint[-1, -1] = 2 / n
    to_params = np.vstack([np.eye(len(at))[:k], slopes])
    cov = to_params @ joint @ to_params.T
    q, sigma = _noises(relation, x, at[-1])
    boundary = tuple(name for name, value in (("q", q), ("sigma", sigma)) if value == 0)
    for i, value in enumerate((q, sigma)):
        if value == 0:
            cov[k + i, :] = cov[:, k + i] = np.nan
    # For sandwiches of theta alone: its block of the inverse, and scores from which v is taken out.
    inverse = bread[:k, :k]
    whole = base.row_scores()
    assert whole is not None
    scores = whole.scores @ bread[:, :k] @ np.linalg.inv(inverse)
    return replace(
        base,
        cov=cov,
        cov_type="oim",
        bread=np.asarray(inverse / variance),
        by_row=RowScores(scores, rows.run),
        noise={"q": float(q), "sigma": float(sigma)},
        q=np.array([q]),
        sigma2=np.array([sigma**2]),
        llf=likelihood,
        boundary=boundary,
        extra={"moving_average": C, "process_share": float(x[-1])},
    )


METHOD = Method(
    "armax",
    estimate,
    "process noise and independent measurement noise, as a moving average of the innovations",
    input_rates=True,
)
