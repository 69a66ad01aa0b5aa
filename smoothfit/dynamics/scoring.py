"""Maximum likelihood by Fisher scoring with exact scores, converged if Newton's decrement is negligible.

What is minimised is D = -2 log-likelihood over coefficients and logarithms of variances. If no SD is known, the common factor of
all variances is at its optimum sse / n in closed form at every point. A variance that wants to vanish is set to exactly zero
and kept there as long as the derivative of D by it is not negative. If a pole is fast, steps and curvatures are those of
coordinates in which an infinitely fast one is a point like others (`Chart`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._log import logger
from .._validation import FloatArray
from ..errors import ConvergenceError, IdentificationError, NumericalError
from ..inference.damped import Quadratic, descend
from .fast import Chart, check_vanishing
from .likelihood import StateSpace, Terms

DECREMENT = 1e-9  # in D: a parameter within 3e-5 of its standard error
SHARP = 1e-12  # the same for one or two steps more, which cost little beside the Hessian: estimates are the same in all units
MAX_ITERATIONS = 200
MAX_NEWTON = 20
SCORED = 1e-6  # decrement at which scoring hands over to Newton's steps, which certify
LOOSE = 1e-3  # the same after many steps, or where none leads lower
ROUNDED = 1e-9  # of D: a rise that is rounding, near the minimum
DAMPING = 1e-4  # of the first step
SLOW = 30  # steps: where curvature is not what was expected, scoring goes to and fro; Newton's steps do not
LONGEST_LOG_STEP = 3.0
EXACT = 1e-12  # innovations this small beside the observations are rounding: the data have no noise
NEARLY_EXACT = 1e3 * EXACT  # the same if no step leads lower
NEAR = 1e-12  # by observation: decrement of a step that leaves the Hessian what it is, as that moves with its root over n
ONE_SIDED = 50_000  # observations, from which such differences are one-sided: right to 5e-7
FEW = 100  # observations, for which that is a ten-thousandth of a standard error
DIFFERENCE = 1e-3  # of a standard error: the step of differences of scores
LONGEST_DIFFERENCE = 1e-2  # of a logarithm
COLLINEAR = 1e-12  # of the curvature along a coordinate: what is less does not make steps along a direction longer
LEAST_CURVATURE = 1e-12  # of a logarithm, below which its steps do not become longer
MAX_RELEASES = 6
RELEASE = 1e-6  # of D: what letting a variance leave zero has to gain
WEAK = 0.05  # information on the logarithm of a variance, below which zero is tried
MANY = 1_000  # rows, from which two starts that lead to one minimum are enough: short samples may have a lower one
SAME = 1e-3  # of D, within which two starts have led to one minimum
OUT_OF_RANGE = "the derivatives of the likelihood leave the range of floating-point numbers"
NONE = 1e-8  # such information, below which the slope is rounding


@dataclass(frozen=True, eq=False)
class Point:
    """D, gradient and expected Hessian by (theta, log q, log sigma2) at one point, rescaled."""

    theta: FloatArray
    variances: FloatArray
    value: float
    gradient: FloatArray
    expected: FloatArray
    raw: FloatArray  # derivatives of D by the variances themselves
    raw_curvature: FloatArray  # their expected second derivatives
    spread: float  # typical size of an innovation
    factor: float = 1.0  # of the common variance, where the variances are kept as they are

    @property
    def x(self) -> FloatArray:
        """Coordinates of the search."""
        with np.errstate(divide="ignore"):
            return np.concatenate([self.theta, np.log(self.variances)])


@dataclass(frozen=True, eq=False)
class Optimum:
    """A converged maximum of the likelihood.

    Attributes
    ----------
    theta, q, sigma2 : ndarray
    value : float
        -2 log-likelihood.
    hessian : ndarray
        Of D / 2 by (theta, log q, log sigma2), over the free ones; zeros elsewhere.
    free : ndarray of bool
    decrement : float
    is_exact : bool
        The observations obey the equation to rounding, so that there is no noise to estimate.
    """

    theta: FloatArray
    q: FloatArray
    sigma2: FloatArray
    value: float
    hessian: FloatArray
    free: npt.NDArray[np.bool_]
    decrement: float
    is_exact: bool
    n_iterations: int


class Followed(NamedTuple):
    """Where scoring has come to from one start: a maximum but for a small decrement, which `Search.certified` removes."""

    point: Point
    free: npt.NDArray[np.bool_]
    n_iterations: int
    is_exact: bool

    @property
    def value(self) -> float:
        """-2 log-likelihood."""
        return self.point.value


class _State(NamedTuple):
    """A point, what is held there, and the coordinates of a step from it."""

    point: Point
    fixed: npt.NDArray[np.bool_]
    chart: Chart


def agree(values: Iterable[float], n: int) -> bool:
    """Whether two starts have led to the lowest of the minima of D of n rows, in samples of so many that others are not tried."""
    lowest = sorted(values)[:2]
    return n >= MANY and len(lowest) > 1 and lowest[1] - lowest[0] < SAME


def _root(expected: FloatArray) -> FloatArray:
    """A lower triangle R, so that R R' is an expected curvature (k, k), but for directions along which it hardly has one."""
    scale = np.sqrt(np.maximum(expected.diagonal(), LEAST_CURVATURE))
    return np.asarray(scale[:, None] * np.linalg.cholesky(expected / np.outer(scale, scale) + COLLINEAR * np.eye(len(scale))))


class Search:
    """Minimises D of a model; `sum_of_squares` leaves out the determinant (least squares of the innovations)."""

    def __init__(self, model: StateSpace, *, sum_of_squares: bool = False):
        self.model = model
        self.n_theta = model.equation.n_params
        self.p = model.equation.n_noises
        self.scalable = not any(c.known for c in model.sample.channels) and not model.equation.intensities
        self.sum_of_squares = sum_of_squares
        y = model.sample.y[np.isfinite(model.sample.y)]
        self.size = float(np.abs(y).max()) or 1.0
        self.gap = model.sample.gap
        self.n_evaluations = 0

    def terms(self, theta: FloatArray, variances: FloatArray, *, slopes: bool) -> Terms:
        """The sums of the likelihood."""
        self.n_evaluations += 1
        return self.model.terms(theta, variances[: self.p], variances[self.p :], slopes=slopes)

    def value(self, theta: FloatArray, variances: FloatArray) -> float:
        """D; infinite if it cannot be computed."""
        if not (np.isfinite(theta).all() and np.isfinite(variances).all()):
            return np.inf
        try:
            with np.errstate(all="ignore"):
                t = self.terms(theta, variances, slopes=False)
        except (NumericalError, IdentificationError):  # at extreme coefficients observations may not fix a state numerically
            return np.inf
        value = self._assemble(t)[0] + self.model.equation.misfit(theta)[0]
        return value if np.isfinite(value) else np.inf

    def _assemble(self, t: Terms) -> tuple[float, float]:
        """D and the factor by which all variances are rescaled."""
        n = t.n_used
        if n <= 0:
            raise NumericalError("no observations are left beside the initial states")
        factor = t.sse / n if self.scalable else 1.0
        if not factor > 0:
            factor = float(np.finfo(float).tiny)
        log_det = 0.0 if self.sum_of_squares else t.log_det
        return n * np.log(2 * np.pi) + log_det + n * np.log(factor) + t.sse / factor, factor

    def profiled(self, theta: FloatArray, variances: FloatArray) -> tuple[float, FloatArray]:
        """D, and the coefficients, at the best of those of inputs and constant for the others; infinite as `value`.

        The sum of squares is quadratic in them, and the determinant does not depend on them.
        """
        equation = self.model.equation
        is_linear = ~equation.in_system
        is_linear[[one.place for one in equation.known]] = False
        try:
            with np.errstate(all="ignore"):
                t = self.terms(theta, variances, slopes=True)
        except (NumericalError, IdentificationError):
            return np.inf, theta
        slope = t.sse_gradient[: self.n_theta][is_linear]
        curvature = 2 * t.of_mean[: self.n_theta, : self.n_theta][np.ix_(is_linear, is_linear)]
        size = np.sqrt(curvature.diagonal())
        if not (np.isfinite(curvature).all() and np.isfinite(slope).all() and (size > 0).all()):
            return np.inf, theta
        step = -np.linalg.lstsq(curvature / np.outer(size, size), slope / size, rcond=None)[0] / size
        there = theta.copy()
        there[is_linear] += step
        value = self._assemble(t._replace(sse=max(t.sse + float(slope @ step) / 2, 0.0)))[0] + equation.misfit(there)[0]
        return (value if np.isfinite(value) else np.inf), there

    def point(self, theta: FloatArray, variances: FloatArray) -> Point:
        """D with derivatives."""
        with np.errstate(all="ignore"):
            point = self._point(theta, variances)
        if not (np.isfinite(point.gradient).all() and np.isfinite(point.expected).all()):
            raise NumericalError(OUT_OF_RANGE)
        return point

    def _point(self, theta: FloatArray, variances: FloatArray) -> Point:
        t = self.terms(theta, variances, slopes=True)
        value, factor = self._assemble(t)
        weight = 0.0 if self.sum_of_squares else 1.0
        raw = weight * t.log_det_gradient + t.sse_gradient / factor
        scale = np.concatenate([np.ones(self.n_theta), variances])
        plain = 2 * (t.of_mean / factor + weight * t.of_variance)
        expected = plain * np.outer(scale, scale)
        prior, slopes, curvatures = self.model.equation.misfit(theta)
        value += prior
        raw[: self.n_theta] += slopes
        expected[np.arange(self.n_theta), np.arange(self.n_theta)] += curvatures
        curvature = plain.diagonal()[self.n_theta :]
        spread = float(np.sqrt(np.exp(t.log_det / t.n_used) * factor))
        if self.sum_of_squares:
            return Point(theta, variances, value, raw * scale, expected, raw[self.n_theta :], curvature, spread, factor)
        return Point(
            theta, variances * factor, value, raw * scale, expected, raw[self.n_theta :] / factor, curvature / factor**2, spread
        )

    # Search -----------------------------------------------------------------------------------------------------------

    def minimise(self, theta: FloatArray, variances: FloatArray, fixed: npt.NDArray[np.bool_]) -> Optimum:
        """The maximum from one start; `fixed` marks coordinates (theta, variances) that stay as they are."""
        return self.certified(self.follow(theta, variances, fixed))

    def follow(self, theta: FloatArray, variances: FloatArray, fixed: npt.NDArray[np.bool_]) -> Followed:
        """Where scoring comes to from one start; `fixed` as of `minimise`."""
        point = self.point(theta, variances)
        if not self.sum_of_squares:  # whose variances stay as they are
            point = self.point(point.theta, point.variances)
        fixed = fixed.copy()
        held = fixed.copy()
        before = np.inf
        for _ in range(MAX_RELEASES):
            point, free, iterations, exact = self._descend(point, fixed)
            released = (
                ~held[self.n_theta :]
                & (point.variances == 0)
                & (point.raw < 0)
                & (point.raw**2 > 2 * RELEASE * point.raw_curvature)
            )
            if exact or not released.any() or point.value > before - RELEASE:
                return Followed(point, free, iterations, exact)
            before = point.value
            variances = np.where(released, 1e-3 * point.spread**2, point.variances)
            fixed = held.copy()
            fixed[self.n_theta :] |= (variances == 0) & ~released
            point = self.point(point.theta, variances)
        raise ConvergenceError(
            "the search alternates between a zero and a positive noise variance; pass sd=, or use another method", point.value
        )

    def _chart(self, point: Point, fixed: npt.NDArray[np.bool_]) -> Chart:
        """The coordinates of steps from a point."""
        if fixed[: self.n_theta].any() or self.model.equation.intensities:
            return Chart(self.n_theta, len(point.variances))
        return Chart.at(self.model.equation, point.theta, len(point.variances), self.gap)

    def _state(self, point: Point, fixed: npt.NDArray[np.bool_]) -> _State:
        """A point after variances have vanished, which then stay zero."""
        point = self._vanished(point, fixed) or point
        fixed = fixed.copy()
        fixed[self.n_theta :] |= point.variances == 0
        return _State(point, fixed, self._chart(point, fixed))

    def _lower(self, at: _State, step: FloatArray, model: Quadratic, slack: float = 0.0) -> Point | None:
        """The point after a step, if D is lower there or rounding hides it."""
        point, _, chart = at
        longest = np.abs(step[self.n_theta :]).max(initial=0.0)
        step = step * min(1.0, LONGEST_LOG_STEP / max(longest, 1e-300))
        theta, variances = chart.moved(point.theta, point.variances, chart.within(point.theta, step, model.hessian))
        return self.point(theta, variances) if self.value(theta, variances) < point.value + slack else None

    def _descend(self, point: Point, fixed: npt.NDArray[np.bool_]) -> tuple[Point, npt.NDArray[np.bool_], int, bool]:
        """Scoring to a small decrement."""

        def model(at: _State) -> Quadratic:
            point, fixed, chart = at
            J = chart.jacobian(point.theta)
            gradient = J.T @ point.gradient
            free = ~fixed & (point.spread > 1e-14 * self.size)
            if free.any():
                check_vanishing(self.model.equation, chart, point.theta, self.gap, float(gradient[chart.lead or 0]))
            return Quadratic.of_hessian(gradient, J.T @ point.expected @ J, free)

        def lower(at: _State, step: FloatArray, model: Quadratic) -> _State | None:
            found = self._lower(at, step, model)
            return None if found is None else self._state(found, at.fixed)

        start = self._state(point, fixed)
        end, found, iterations = descend(start, model, lower, SCORED, MAX_ITERATIONS, DAMPING, (SLOW, LOOSE))
        (point, fixed, _), decrement = end, found.decrement
        is_exact = point.spread <= (EXACT if decrement <= SCORED else NEARLY_EXACT) * self.size
        if decrement > LOOSE and not is_exact:
            raise ConvergenceError(f"scoring of the likelihood has not converged (decrement {decrement:.3g})", point.value)
        return point, ~fixed, iterations, is_exact and not fixed.all()

    def _vanished(self, point: Point, fixed: npt.NDArray[np.bool_]) -> Point | None:
        """The point with a variance at zero that D does not want and hardly depends on; None if there is none."""
        n = self.n_theta
        for k in range(len(point.variances)):
            if fixed[n + k] or point.variances[k] == 0 or point.expected[n + k, n + k] > WEAK:
                continue
            if point.gradient[n + k] < 0 and point.expected[n + k, n + k] > NONE:
                continue
            variances = point.variances.copy()
            variances[k] = 0.0
            # If no SD is given some variance has to stay, or there is no likelihood.
            if (not self.scalable or (variances > 0).any()) and self.value(point.theta, variances) <= point.value + 1e-9:
                return self.point(point.theta, variances)
        return None

    def certified(self, followed: Followed) -> Optimum:
        """Newton's steps with differences of exact scores, until their decrement is negligible."""
        point, free, iterations, exact = followed
        logger.info("scoring ended after %d iterations: criterion %.10g", iterations, point.value)
        chart = self._chart(point, ~free)
        hessian, decrement = np.outer(free, free) * point.expected, 0.0
        if not exact and free.any():
            point, at = self._newton(_State(point, ~free, chart))
            decrement = at.decrement
            back = np.linalg.inv(chart.jacobian(point.theta))
            hessian = back.T @ at.hessian @ back
        variances = point.variances * point.factor
        return Optimum(
            point.theta, variances[: self.p], variances[self.p :], point.value, hessian / 2, free, decrement, exact, iterations
        )

    def _newton(self, start: _State) -> tuple[Point, Quadratic]:
        """The minimum, and the model there; in one chart."""
        free, chart = ~start.fixed, start.chart
        last: Quadratic | None = None

        def model(at: _State) -> Quadratic:
            nonlocal last
            gradient = chart.jacobian(at.point.theta).T @ at.point.gradient
            if last is None or last.decrement > NEAR * max(self.model.sample.n_readings, FEW):
                last = Quadratic.of_hessian(gradient, self._hessian(at.point, free, chart), free)
            else:
                last = Quadratic.of_hessian(gradient, last.hessian, free)
            return last

        def lower(at: _State, step: FloatArray, model: Quadratic) -> _State | None:
            found = self._lower(at, step, model, ROUNDED if model.decrement < LOOSE else 0.0)
            return None if found is None else at._replace(point=found)

        (point, _, _), found, _ = descend(start, model, lower, SHARP, MAX_NEWTON, slow=(2, DECREMENT))
        if found.decrement > DECREMENT or not found.is_convex:
            raise ConvergenceError(
                f"the search for the maximum of the likelihood did not converge (decrement {found.decrement:.3g})", point.value
            )
        return point, found

    def _hessian(self, point: Point, free: npt.NDArray[np.bool_], chart: Chart) -> FloatArray:
        """Differences of the score of D at fixed scale, in the coordinates of the chart.

        Differences are taken along directions that the expected curvature makes orthonormal: steps are then as long as coefficients
        are uncertain together, beside which the rounding of a step's matrices is small, and errors are relative to the curvature
        along each direction, even if coefficients are nearly collinear. D is quadratic in the coefficients of inputs and constant,
        of which the expected curvature is the curvature itself. By other coefficients of long samples differences are one-sided:
        with third derivatives of the size of the second ones over the root of n, they are right to DIFFERENCE over this root.
        """
        is_linear = np.zeros(len(free), np.bool_)
        if chart.lead is None:
            is_linear[: self.n_theta] = ~self.model.equation.in_system
        order = np.concatenate([np.flatnonzero(free & is_linear), np.flatnonzero(free & ~is_linear)])
        n_linear = int((free & is_linear).sum())
        J = chart.jacobian(point.theta)
        expected = (J.T @ point.expected @ J)[np.ix_(order, order)]
        root = _root(expected)
        directions = np.zeros((len(free), len(order)))
        directions[order] = np.linalg.inv(root).T
        is_long = self.model.sample.n_readings > ONE_SIDED
        columns = []
        for k in range(n_linear, len(order)):
            one_sided = is_long and order[k] < self.n_theta
            step = self._difference(point, directions[:, k], chart)
            up = self._score(point, step * directions[:, k], chart)
            down = J.T @ point.gradient if one_sided else self._score(point, -step * directions[:, k], chart)
            columns.append(directions.T @ (up - down) / ((1 if one_sided else 2) * step))
        along = directions[order].T @ expected @ directions[order]
        if columns:
            along[:, n_linear:] = np.column_stack(columns)
        along[n_linear:, :n_linear] = along[:n_linear, n_linear:].T
        hessian = np.zeros((len(free), len(free)))
        hessian[np.ix_(order, order)] = root @ ((along + along.T) / 2) @ root.T
        return hessian

    def _difference(self, point: Point, direction: FloatArray, chart: Chart) -> float:
        """The step along a direction: DIFFERENCE of its standard error, less where logarithms or the chart's z would move far."""
        longest = float(np.abs(direction[self.n_theta :]).max(initial=0.0))
        step = min(DIFFERENCE, LONGEST_DIFFERENCE / longest) if longest > 0 else DIFFERENCE
        if chart.lead is not None and direction[chart.lead]:
            step = min(step, chart.time(point.theta) / 10 / abs(float(direction[chart.lead])))
        return step

    def _score(self, point: Point, step: FloatArray, chart: Chart) -> FloatArray:
        theta, variances = chart.moved(point.theta, point.variances, step)
        weight = 0.0 if self.sum_of_squares else 1.0
        scale = np.concatenate([np.ones(self.n_theta), variances])
        with np.errstate(all="ignore"):
            t = self.terms(theta, variances, slopes=True)
            raw = weight * t.log_det_gradient + t.sse_gradient / point.factor
            raw[: self.n_theta] += self.model.equation.misfit(theta)[1]
            score = chart.jacobian(theta).T @ (raw * scale)
        if not np.isfinite(score).all():
            raise NumericalError(OUT_OF_RANGE)
        return np.asarray(score)
