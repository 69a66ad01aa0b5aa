"""Numeric derivatives of functions, each with a bound of its error.

The complex step, confirmed by a real difference, where f is analytic; else central differences extrapolated over a ladder of
steps, one-sided at the edges of the domain. See `quotients` and `extrapolation` for how, and `Derivative` for what comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._validation import FloatArray, check_positive
from ..errors import DataError, SpecificationError
from .derivatives import Derivative, Jacobian, check_layout_name
from .lines import LARGEST_BATCH, Columns, Elementwise, Refused, VectorFunction, check_callable, read_bounds, real_array
from .quotients import (
    COMPLEX_STEP,
    VERIFIED,
    Slopes,
    complex_steps,
    differences,
    disagreement,
    slopes_each_verified,
)

METHODS = ("auto", "real")
Function = Callable[..., Any]


def _check_method(method: Any) -> str:
    if method not in METHODS:
        raise SpecificationError(f"method is {method!r}; pass 'auto' or 'real'")
    return str(method)


def _one_point(x: Any, argument: str = "x") -> FloatArray:
    vector = real_array(x, argument)
    if vector.ndim != 1:
        raise DataError(f"{argument} has shape {vector.shape}; pass a vector, for example {argument}.ravel()")
    return vector


@dataclass(frozen=True, eq=False)
class _Partials:
    """What is needed to differentiate f at points (n, P) along their coordinates, and along other directions."""

    f: VectorFunction
    points: FloatArray
    bounds: tuple[FloatArray, FloatArray]
    typical: float
    value: FloatArray  # of f at the points, (P, M)

    @classmethod
    def of(cls, f: Function, args: tuple[Any, ...], points: FloatArray, bounds: Any, typical: float) -> _Partials:
        check_callable(f)
        if np.ndim(typical):
            raise SpecificationError(f"typical is {typical!r}; pass one number")
        if bounds is not None and not isinstance(bounds, str):
            # bounds (n,) go with every point
            bounds = tuple(np.reshape(bound, (-1, 1)) if np.ndim(bound) == 1 else bound for bound in bounds)
        lower, upper = read_bounds(bounds, points)
        function = VectorFunction(f, args, points[:, 0], lower[:, 0], upper[:, 0])
        value = np.asarray(function(points))
        return cls(function, points, (lower, upper), check_positive(typical, "typical"), value)

    def coordinates(self) -> Columns:
        """Lines along every coordinate: the first of all points, the second of all points, ..."""
        n, p = self.points.shape
        directions = np.repeat(np.eye(n), p, axis=1)
        return Columns(
            self.f,
            np.tile(self.points, n),
            directions,
            np.tile(self.value, (n, 1)),
            (np.tile(self.bounds[0], n), np.tile(self.bounds[1], n)),
            self.typical,
        )

    def along(self, directions: FloatArray) -> Columns:
        """Lines along a direction (n, P) of each point."""
        return Columns(self.f, self.points, directions, self.value, self.bounds, self.typical)

    def slopes(self, method: str) -> tuple[Slopes, str]:
        """Partial derivatives (n P, M), confirmed along one direction a point; and why a complex step was refused."""
        lines = self.coordinates()
        if method == "real":
            return differences(lines), ""
        try:
            steps = complex_steps(lines)
        except Refused as error:
            return differences(lines), str(error)
        n, p = self.points.shape
        value, error = (array.reshape(n, p, -1) for array in steps[:2])
        directions = self._balanced(np.abs(value).max(axis=2))
        sums = [np.einsum("np,npm->pm", *pair) for pair in ((directions, value), (np.abs(directions), error))]
        expected = Slopes(*sums, *(np.zeros(sums[0].shape, dtype=np.int64),) * 2)
        real = differences(self.along(directions), VERIFIED)
        is_doubtful = expected.error > 10 * real.error + VERIFIED * np.abs(expected.value)
        if not (disagreement(expected, real) | is_doubtful).any() and not np.any(real.status):
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


def derivative(
    f: Function, x: Any, args: tuple[Any, ...] = (), *, bounds: Any = None, typical: float = 1.0, method: str = "auto"
) -> Derivative:
    """Derivative f'(x) of a function of one variable, at many points at once.

    Parameters
    ----------
    f : callable
        f(x, *args) gives a value for each element of x, an array with any leading dimensions before those of `x`. A function of
        single numbers is noticed and served, point by point.
    x : array_like, any shape
        Where to differentiate.
    args : tuple
        Further arguments of f; arrays go with x by broadcasting.
    bounds : (lower, upper), optional
        Numbers or arrays of the shape of x; f is never evaluated outside, and differences are one-sided there.
    typical : float
        Size of an x that is close to zero; first steps are 7 % of max(abs(x), typical).
    method : {"auto", "real"}
        "real" forgoes the complex step.

    Returns
    -------
    Derivative
        `value`, `error`, `method` and `status` have the shape of x.

    Raises
    ------
    DataError
        f is not a function (for samples, fit a curve), its elements influence one another, it has several values at a number; x is
        empty, complex or not finite, or outside `bounds`.
    SpecificationError
        `method` or `typical` is out of range.

    Notes
    -----
    Complex step: Im f(x + ih)/h with h = 2^-160 max(abs(x), typical), taken where it agrees with real differences.
    Real: Neville's extrapolation of (f(x + h) - f(x - h))/2h, and of the one-sided quotients, over h falling by halves from
    0.07 max(abs(x), typical) as far as needed. A kink has status 1: its value is the mean of the one-sided derivatives, and its error
    half of their distance.

    References
    ----------
    Squire and Trapp (1998), SIAM Review 40; Ridders (1982), Advances in Engineering Software 4.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> calculus.derivative(np.log, [1e-8, 1.0, 1e8]).value
    array([1.e+08, 1.e+00, 1.e-08])
    >>> kink = calculus.derivative(np.abs, 0.0)
    >>> float(kink.value), round(float(kink.error), 6), int(kink.status)
    (0.0, 1.0, 1)
    """
    check_callable(f)
    points = real_array(x)
    lines = Elementwise(f, points, args, check_positive(typical, "typical"), bounds)
    slopes, reason = slopes_each_verified(lines, _check_method(method))
    shaped = Slopes(*(array.reshape(points.shape) for array in slopes))
    return Derivative(shaped.value, shaped.error, lines.nfev, shaped.method, shaped.status, reason)


def gradient(
    f: Function, x: Any, args: tuple[Any, ...] = (), *, bounds: Any = None, typical: float = 1.0, method: str = "auto"
) -> Derivative:
    """Gradient of a scalar function of a vector.

    Parameters
    ----------
    f : callable
        f(x, *args) of a vector (n,) gives a number. If it also takes points as columns (n, k) and gives (k,), it is called once for many.
    x : array_like, shape (n,) or (n, p)
        A point, or p points as columns.
    args, bounds, typical, method
        As for `derivative`; bounds are numbers or of shape (n,) or that of x.

    Returns
    -------
    Derivative
        `value`, `error`, `method` and `status` have the shape of x.

    Raises
    ------
    DataError, SpecificationError
        As for `derivative`, and where f has several values (use `jacobian`).

    Notes
    -----
    Complex steps along each coordinate are confirmed by one real difference along a direction in which all coordinates move and
    contribute comparably; where it contradicts them, every partial derivative is taken by real differences.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> calculus.gradient(lambda x: np.exp(x[0]) * x[1], [0.0, 3.0]).value
    array([3., 1.])
    """
    points = real_array(x)
    if points.ndim not in (1, 2):
        raise DataError(f"x has shape {points.shape}; pass a vector (n,), or points as columns (n, p)")
    partials = _Partials.of(f, args, points.reshape(len(points), -1), bounds, typical)
    slopes, reason = partials.slopes(_check_method(method))
    if partials.f.shape not in ((), (1,)):
        raise DataError(f"f gives an array of shape {partials.f.shape}; use jacobian for functions with several values")
    value, error, how, status = (array[:, 0].reshape(points.shape) for array in slopes)
    return Derivative(value, error, partials.f.nfev, how, status, reason)


def jacobian(
    f: Function,
    x: Any,
    args: tuple[Any, ...] = (),
    *,
    layout: str = "numerator",
    bounds: Any = None,
    typical: float = 1.0,
    method: str = "auto",
) -> Jacobian:
    """Jacobian of a vector function of a vector, in the layout asked for.

    Parameters
    ----------
    f : callable
        f(x, *args) of a vector (n,) gives a vector (m,). If it also takes columns (n, k) and gives (m, k), it is called once for many.
    x : array_like, shape (n,)
    layout : {"numerator", "denominator"}
        "numerator": value[i, j] is the derivative of f_i by x_j, shape (m, n). "denominator": its transpose, (n, m).
    args, bounds, typical, method
        As for `gradient`.

    Returns
    -------
    Jacobian

    Raises
    ------
    DataError, SpecificationError
        As for `derivative`, and where f gives a matrix (differentiate its `vec`).

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> calculus.jacobian(lambda x: np.array([x[0] * x[1], x[0], x[1] ** 2]), [2.0, 3.0]).value
    array([[3., 2.],
           [1., 0.],
           [0., 6.]])
    """
    check_layout_name(layout)
    partials = _Partials.of(f, args, _one_point(x)[:, None], bounds, typical)
    if len(partials.f.shape) > 1:
        raise DataError(f"f gives an array of shape {partials.f.shape}; pass a function that gives a vector, as its vec does")
    slopes, reason = partials.slopes(_check_method(method))
    value, error, how, status = (array.T for array in slopes)
    return Jacobian(value, error, partials.f.nfev, how, status, reason).to_layout(layout)


def directional(
    f: Function,
    x: Any,
    direction: Any,
    args: tuple[Any, ...] = (),
    *,
    bounds: Any = None,
    typical: float = 1.0,
    method: str = "auto",
) -> Derivative:
    """Derivative of f along a direction: d/ds f(x + s v) at s = 0, the product of the Jacobian and v.

    Parameters
    ----------
    f : callable
        Of a vector (n,); gives a number or a vector (m,).
    x, direction : array_like, shape (n,)
        v is taken as it is, not normalised.
    args, bounds, typical, method
        As for `gradient`.

    Returns
    -------
    Derivative
        Its arrays have the shape of f's value.

    Raises
    ------
    DataError, SpecificationError
        As for `derivative`, and where the direction has another shape than x or is zero.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> float(calculus.directional(lambda x: x[0] * x[1], [2.0, 3.0], [1.0, -1.0]).value)
    1.0
    """
    vector, v = _one_point(x), real_array(direction, "direction")
    if v.shape != vector.shape:
        raise DataError(f"direction has shape {v.shape} and x {vector.shape}; they have the same")
    if not v.any():
        raise DataError("direction is zero; pass a direction")
    partials = _Partials.of(f, args, vector[:, None], bounds, typical)
    slopes, reason = slopes_each_verified(partials.along(v[:, None]), _check_method(method))
    value, error, how, status = (array[0].reshape(partials.f.shape) for array in slopes)
    return Derivative(value, error, partials.f.nfev, how, status, reason)


def total_derivative(
    f: Function, x: Any, velocity: Any, t: float, args: tuple[Any, ...] = (), *, typical: float = 1.0, method: str = "auto"
) -> Derivative:
    """Total derivative of f(x(t), t) by t: grad f . x'(t) + partial f / partial t.

    Parameters
    ----------
    f : callable
        f(x, t, *args) of a vector (n,) and a number; gives a number or a vector.
    x, velocity : array_like, shape (n,)
        x(t) and x'(t).
    t : float
    args, typical, method
        As for `derivative`.

    Returns
    -------
    Derivative
        Its arrays have the shape of f's value.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> float(calculus.total_derivative(lambda x, t: t * x[0], x=[3.0], velocity=[2.0], t=5.0).value)  # 5 * 2 + 3
    13.0
    """
    check_callable(f)
    point, time = _one_point(x), real_array(t, "t")
    if time.shape != ():
        raise DataError(f"t has shape {time.shape}; pass one number")
    along = real_array(velocity, "velocity")
    if along.shape != point.shape:
        raise DataError(f"velocity has shape {along.shape} and x {point.shape}; they have the same")
    joined = lambda z, *others: f(z[:-1], z[-1], *others)  # noqa: E731
    return directional(joined, np.append(point, time), np.append(along, 1.0), args, typical=typical, method=method)


def hessian(
    f: Function,
    x: Any,
    args: tuple[Any, ...] = (),
    *,
    grad: Function | None = None,
    bounds: Any = None,
    typical: float = 1.0,
    method: str = "auto",
) -> Derivative:
    """Hessian of a scalar function of a vector, symmetric.

    Parameters
    ----------
    f : callable
        As for `gradient`.
    x : array_like, shape (n,)
    grad : callable, optional
        grad(x, *args) gives the gradient (n,); the Hessian is then its Jacobian, to full precision.
    args, bounds, typical, method
        As for `gradient`.

    Returns
    -------
    Derivative
        Arrays (n, n). The mean of both triangles; their difference enters `error`.

    Raises
    ------
    DataError, SpecificationError
        As for `gradient`, and where `grad` does not give a vector (n,).

    Notes
    -----
    Without `grad`: real differences, extrapolated, of the complex-step gradient (or of the real one where that is refused).

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.hessian(lambda x: x[0] ** 2 * x[1], [1.0, 3.0]).value.round(9)
    array([[6., 2.],
           [2., 0.]])
    """
    vector = _one_point(x)
    if grad is not None:
        given = jacobian(_checked_gradient(grad), vector, args, bounds=bounds, typical=typical, method=method)
        matrix = Derivative(given.value, given.error, given.nfev, given.method, given.status, given.reason)
    else:
        field = GradientField.of(f, args, vector, bounds, typical, _check_method(method))
        matrix = field.derivative(np.eye(vector.size))
    return replace(
        matrix,
        value=(matrix.value + matrix.value.T) / 2,
        error=np.maximum(np.maximum(matrix.error, matrix.error.T), np.abs(matrix.value - matrix.value.T) / 2),
        status=np.maximum(matrix.status, matrix.status.T),
    )


def hessp(
    f: Function,
    x: Any,
    p: Any,
    args: tuple[Any, ...] = (),
    *,
    grad: Function | None = None,
    bounds: Any = None,
    typical: float = 1.0,
    method: str = "auto",
) -> Derivative:
    """Product of the Hessian of a scalar function and a vector, without the Hessian: the derivative of the gradient along p.

    Parameters
    ----------
    f : callable
        As for `gradient`.
    x, p : array_like, shape (n,)
    args, grad, bounds, typical, method
        As for `hessian`.

    Returns
    -------
    Derivative
        Arrays (n,).

    Raises
    ------
    DataError, SpecificationError
        As for `hessian` and `directional`.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.hessp(lambda x: x[0] ** 2 * x[1], [1.0, 3.0], [1.0, 1.0]).value.round(9)
    array([8., 2.])
    """
    vector, v = _one_point(x), real_array(p, "p")
    if v.shape != vector.shape:
        raise DataError(f"p has shape {v.shape} and x {vector.shape}; they have the same")
    if grad is not None:
        return directional(_checked_gradient(grad), vector, v, args, bounds=bounds, typical=typical, method=method)
    if not v.any():
        raise DataError("p is zero; pass a direction")
    product = GradientField.of(f, args, vector, bounds, typical, _check_method(method)).derivative(v[:, None])
    return replace(
        product, value=product.value[0], error=product.error[0], method=product.method[0], status=product.status[0]
    )


def _checked_gradient(grad: Function) -> Function:
    """The same function, which gives as many values as its argument has."""
    check_callable(grad, "grad")

    def checked(x: Any, *args: Any) -> Any:
        value = np.asarray(grad(x, *args))
        if value.shape[:1] != np.shape(x)[:1]:
            raise DataError(f"grad gives an array of shape {value.shape} at x of shape {np.shape(x)}; a gradient has the shape of x")
        return value

    return checked


@dataclass(frozen=True, eq=False)
class GradientField:
    """The gradient of f as a function of x, ready to be differentiated once more by real differences."""

    partials: _Partials  # at one point
    gradient: FloatArray  # there, (1, n)
    error: FloatArray
    is_complex: bool
    reason: str

    @classmethod
    def of(cls, f: Function, args: tuple[Any, ...], x: FloatArray, bounds: Any, typical: float, method: str) -> GradientField:
        partials = _Partials.of(f, args, x[:, None], bounds, typical)
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
        bounds = tuple(np.broadcast_to(bound, points.shape) for bound in self.partials.bounds)
        there = replace(self.partials, points=points, bounds=bounds, value=self.partials.f(points))
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
            self.error,
        )
        value, error, how, status = differences(lines)
        if self.is_complex:
            how = np.char.add("complex step, ", how)
        return Derivative(value, error, here.f.nfev, how, status, self.reason)
