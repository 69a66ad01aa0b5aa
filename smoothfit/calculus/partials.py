"""Partial derivatives of functions of a vector at points, and the gradient as a field to be differentiated once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._validation import EPS, FloatArray, check_choice, check_memory, check_positive
from ..errors import DataError, SpecificationError
from .derivatives import Derivative
from .lines import LARGEST_BATCH, Columns, Refused, VectorFunction, check_callable, read_bounds, real_array
from .quotients import COMPLEX_STEP, PRECISE, Slopes, complex_steps, differences, is_confirmed, slopes_each_verified

METHODS = ("auto", "real")
TABLES = 64.0  # bytes for each coordinate of each line: points, directions, bounds, and copies of them
Function = Callable[..., Any]


def check_method(method: Any) -> str:
    """Return the name of a method."""
    return check_choice(method, "method", METHODS)


def one_point(x: Any, argument: str = "x") -> FloatArray:
    """Return a vector."""
    vector = real_array(x, argument)
    if vector.ndim != 1:
        raise DataError(f"{argument} has shape {vector.shape}; pass a vector, for example {argument}.ravel()")
    return vector


@dataclass(frozen=True, eq=False)
class Partials:
    """What is needed to differentiate f at points (n, P) along their coordinates, and along other directions."""

    f: VectorFunction
    points: FloatArray
    bounds: tuple[FloatArray, FloatArray]
    typical: float
    value: FloatArray  # of f at the points, (P, M)

    @classmethod
    def of(cls, f: Function, args: tuple[Any, ...], points: FloatArray, bounds: Any, typical: float) -> Partials:
        """Read what users pass, and find out whether f takes columns."""
        check_callable(f)
        if not np.isscalar(typical):
            raise SpecificationError(f"typical is {typical!r}; pass one number")
        lower, upper = read_bounds(_with_every_point(bounds), points)
        function = VectorFunction(f, args, points[:, 0], lower[:, 0], upper[:, 0])
        value = function.first.reshape(1, -1) if points.shape[1] == 1 else np.asarray(function(points))
        return cls(function, points, (lower, upper), check_positive(typical, "typical"), value)

    def coordinates(self) -> Columns:
        """Lines along every coordinate: the first of all points, the second of all points, ..."""
        n, p = self.points.shape
        check_memory(TABLES * n * n * p, f"derivatives by {n} coordinates at {p} points", "pass fewer, or use directional")
        directions = np.repeat(np.eye(n), p, axis=1)
        return Columns(
            self.f,
            np.tile(self.points, n),
            directions,
            np.tile(self.value, (n, 1)),
            (np.tile(self.bounds[0], n), np.tile(self.bounds[1], n)),
            self.typical,
            rounding=self.f.rounding,
        )

    def along(self, directions: FloatArray) -> Columns:
        """Lines along a direction (n, P) of each point."""
        return Columns(self.f, self.points, directions, self.value, self.bounds, self.typical, rounding=self.f.rounding)

    def slopes(self, method: str) -> tuple[Slopes, str]:
        """Partial derivatives (n P, M), confirmed along one direction a point; and why a complex step was refused."""
        lines = self.coordinates()
        if method == "real":
            return differences(lines), ""
        try:
            steps = complex_steps(lines)
        except Refused as refusal:
            return differences(lines), str(refusal)
        each = steps.mapped(lambda array: array.reshape(*self.points.shape, -1))
        directions = self._balanced(np.abs(each.value).max(axis=2))
        expected = Slopes(
            np.einsum("np,npm->pm", directions, each.value),
            np.einsum("np,npm->pm", np.abs(directions), each.error),
            each.method[0],
            each.status[0],
        )
        if is_confirmed(self.along(directions), expected):
            return steps, ""
        return slopes_each_verified(lines, method)

    def _balanced(self, size: FloatArray) -> FloatArray:
        """Directions (n, P) into the domain that move every coordinate, large partial derivatives less: none hides another."""
        n = len(self.points)
        scale = np.maximum(np.abs(self.points), self.typical)
        with np.errstate(all="ignore"):
            contribution = np.where(np.isfinite(size), size * scale, 0.0)
            positive = np.where(contribution > 0, contribution, np.nan)
            target = np.exp(np.nanmean(np.log(positive), axis=0)) if (contribution > 0).any(axis=0).all() else 1.0
            share = np.where(contribution > target, target / contribution, 1.0)
        weights = 0.5 + (0.6180339887498949 * np.arange(1, n + 1)[:, None]) % 1  # no two alike: errors do not cancel
        inward = np.where(self.bounds[1] - self.points >= self.points - self.bounds[0], 1.0, -1.0)
        return np.asarray(inward * weights * share * scale)


def checked_gradient(grad: Function) -> Function:
    """The same function, which gives as many values as its argument has."""
    check_callable(grad, "grad")

    def checked(x: Any, *args: Any) -> Any:
        value = np.asarray(grad(x, *args))
        if value.shape[:1] != np.shape(x)[:1]:
            raise DataError(
                f"grad gives an array of shape {value.shape} at x of shape {np.shape(x)}; a gradient has the shape of x"
            )
        return value

    return checked


@dataclass(frozen=True, eq=False)
class GradientField:
    """The gradient of f as a function of x, ready to be differentiated once more by real differences."""

    partials: Partials  # at one point
    gradient: FloatArray  # there, (1, n)
    error: FloatArray
    is_complex: bool
    reason: str

    @classmethod
    def of(cls, f: Function, args: tuple[Any, ...], x: FloatArray, bounds: Any, typical: float, method: str) -> GradientField:
        """Verify the gradient at x, which decides how it is taken elsewhere."""
        partials = Partials.of(f, args, x[:, None], bounds, typical)
        if partials.f.shape not in ((), (1,)):
            raise DataError(f"f gives an array of shape {partials.f.shape}; a Hessian belongs to a function with one value")
        slopes, reason = partials.slopes(method)
        is_complex = bool(np.all(slopes.method == "complex step"))
        return cls(partials, slopes.value.T, np.where(np.isfinite(slopes.error), slopes.error, 0.0).T, is_complex, reason)

    def __call__(self, points: FloatArray) -> FloatArray:
        """Gradients (N, n) at columns (n, N)."""
        n, total = points.shape
        width = max(1, LARGEST_BATCH // (n * n * (1 if self.is_complex else 16)))
        parts = [self._gradients(points[:, i : i + width]) for i in range(0, total, width)]
        return np.concatenate(parts)

    def _gradients(self, points: FloatArray) -> FloatArray:
        n, total = points.shape
        if self.is_complex:
            step = COMPLEX_STEP * np.maximum(np.abs(points), self.partials.typical)  # (n, N)
            moved = points[:, None] + 1j * np.eye(n)[:, :, None] * step
            values = self.partials.f(moved.reshape(n, -1)).imag.reshape(n, total)
            return np.asarray((values / step).T)
        lower, upper = (np.broadcast_to(bound, points.shape) for bound in self.partials.bounds)
        there = replace(self.partials, points=points, bounds=(lower, upper), value=self.partials.f(points))
        return np.asarray(differences(there.coordinates()).value.reshape(n, total).T)

    def derivative(self, directions: FloatArray) -> Derivative:
        """Derivatives of the gradient along directions (n, L), in rows (L, n)."""
        ones = np.ones(directions.shape[1])
        here = self.partials
        lines = Columns(
            self,
            here.points * ones,
            directions,
            self.gradient * ones[:, None],
            (here.bounds[0] * ones, here.bounds[1] * ones),
            here.typical,
            self.error if self.is_complex else self.error.max(),
            EPS if self.is_complex else PRECISE / 10,
        )
        return self._result(differences(lines, known_rounding=True))

    def hessian(self) -> Derivative:
        """Both triangles of the Hessian, (n, n); by complex steps one of them is enough."""
        n = len(self.partials.points)
        if not self.is_complex:
            return self.derivative(np.eye(n))
        slopes = differences(_Pairs(self), known_rounding=True, stage=5)  # their number counts: there are n^2/2 pairs
        i, j = np.triu_indices(n)

        def symmetric(array: Any) -> Any:
            matrix = np.empty((n, n), dtype=array.dtype)
            matrix[i, j] = matrix[j, i] = array[:, 0]
            return matrix

        return self._result(slopes.mapped(symmetric))

    def _result(self, slopes: Slopes) -> Derivative:
        if self.is_complex:
            slopes = slopes._replace(method=np.char.add("complex step, ", slopes.method))
        return slopes.derivative(self.partials.f.nfev, self.reason)


class _Pairs(Columns):
    """The derivatives of f along coordinate i, by a complex step, as functions along coordinate j >= i."""

    def __init__(self, field: GradientField):
        here, n = field.partials, len(field.partials.points)
        check_memory(TABLES * n**3 / 2, f"a Hessian by {n} coordinates", "use hessp, or pass grad=")
        i, j = np.triu_indices(n)
        axes, ones = np.eye(n), np.ones(len(i))
        x = here.points[:, 0]
        bounds = here.bounds[0] * ones, here.bounds[1] * ones
        noise = field.error[0, i][:, None]
        super().__init__(here.f, here.points * ones, axes[:, j], field.gradient[0, i][:, None], bounds, here.typical, noise)
        self._along, self._by = axes[:, i], COMPLEX_STEP * np.maximum(np.abs(x), here.typical)[i]

    def at(self, steps: Any) -> Any:
        """Derivatives along i at steps (k, L) along j, as an array (k, L, 1)."""
        points = self._points[:, None] + self._directions[:, None] * steps + 1j * (self._along * self._by)[:, None]
        values = self._f(points.reshape(len(points), -1)).imag
        return values.reshape(*steps.shape, 1) / self._by[:, None]


def _with_every_point(bounds: Any) -> Any:
    """Bounds (n,) as columns; what is no pair of bounds is left to `read_bounds` to refuse."""
    if bounds is None or isinstance(bounds, str):
        return bounds
    try:
        return tuple(np.reshape(bound, (-1, 1)) if np.ndim(bound) == 1 else bound for bound in bounds)
    except (TypeError, ValueError):
        return bounds
