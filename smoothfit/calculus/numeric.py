"""Numeric derivatives of functions, each with a bound of its error.

The complex step, confirmed by a real difference, where f is analytic; else central differences extrapolated over a ladder of
steps, one-sided at the edges of the domain. See `quotients` and `extrapolation` for how, and `Derivative` for what comes back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._entry import quiet
from .._validation import check_positive
from ..errors import DataError
from .derivatives import Derivative, Jacobian, check_layout_name
from .lines import Elementwise, check_callable, real_array
from .partials import Function, GradientField, Partials, check_method, checked_gradient, one_point
from .quotients import slopes_each_verified


@quiet
def derivative(
    f: Function, x: Any, args: tuple[Any, ...] = (), *, bounds: Any = None, typical: float = 1.0, method: str = "auto"
) -> Derivative:
    """Derivative f'(x) of a function of one variable, at many points at once.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` gives a value for each element of x, an array with any leading dimensions before those of `x`. A function of
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
    0.07 max(abs(x), typical) as far as needed. A kink has status 1: its value is the mean of the one-sided derivatives, and its
    error half of their distance.

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
    slopes, reason = slopes_each_verified(lines, check_method(method))
    return slopes.mapped(lambda array: array.reshape(points.shape)).derivative(lines.nfev, reason)


@quiet
def gradient(
    f: Function, x: Any, args: tuple[Any, ...] = (), *, bounds: Any = None, typical: float = 1.0, method: str = "auto"
) -> Derivative:
    """Gradient of a scalar function of a vector.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` of a vector (n,) gives a number. If it also takes points as columns (n, k) and gives (k,), it is called once
        for many.
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

    References
    ----------
    As of `derivative`: Squire and Trapp (1998), SIAM Review 40; Ridders (1982), Advances in Engineering Software 4.

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
    partials = Partials.of(f, args, points.reshape(len(points), -1), bounds, typical)
    slopes, reason = partials.slopes(check_method(method))
    if partials.f.shape not in ((), (1,)):
        raise DataError(f"f gives an array of shape {partials.f.shape}; use jacobian for functions with several values")
    return slopes.mapped(lambda array: array[:, 0].reshape(points.shape)).derivative(partials.f.nfev, reason)


@quiet
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
        ``f(x, *args)`` of a vector (n,) gives a vector (m,). If it also takes columns (n, k) and gives (m, k), it is called once
        for many.
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

    References
    ----------
    As of `derivative`: Squire and Trapp (1998), SIAM Review 40; Ridders (1982), Advances in Engineering Software 4.

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
    partials = Partials.of(f, args, one_point(x)[:, None], bounds, typical)
    if len(partials.f.shape) > 1:
        raise DataError(f"f gives an array of shape {partials.f.shape}; pass a function that gives a vector, as its vec does")
    slopes, reason = partials.slopes(check_method(method))
    value, error, how, status = slopes.mapped(np.transpose)
    return Jacobian(value, error, partials.f.nfev, how, status, reason).to_layout(layout)


@quiet
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

    References
    ----------
    As of `derivative`: Squire and Trapp (1998), SIAM Review 40; Ridders (1982), Advances in Engineering Software 4.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> float(calculus.directional(lambda x: x[0] * x[1], [2.0, 3.0], [1.0, -1.0]).value)
    1.0
    """
    vector, v = one_point(x), real_array(direction, "direction")
    if v.shape != vector.shape:
        raise DataError(f"direction has shape {v.shape} and x {vector.shape}; they have the same")
    if not v.any():
        raise DataError("direction is zero; pass a direction")
    partials = Partials.of(f, args, vector[:, None], bounds, typical)
    slopes, reason = slopes_each_verified(partials.along(v[:, None]), check_method(method))
    return slopes.mapped(lambda array: array[0].reshape(partials.f.shape)).derivative(partials.f.nfev, reason)


@quiet
def total_derivative(
    f: Function, x: Any, velocity: Any, t: float, args: tuple[Any, ...] = (), *, typical: float = 1.0, method: str = "auto"
) -> Derivative:
    """Total derivative of f(x(t), t) by t: grad f . x'(t) + partial f / partial t.

    Parameters
    ----------
    f : callable
        ``f(x, t, *args)`` of a vector (n,) and a number; gives a number or a vector.
    x, velocity : array_like, shape (n,)
        x(t) and x'(t).
    t : float
    args, typical, method
        As for `derivative`.

    Returns
    -------
    Derivative
        Its arrays have the shape of f's value.

    References
    ----------
    As of `derivative`: Squire and Trapp (1998), SIAM Review 40; Ridders (1982), Advances in Engineering Software 4.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> float(calculus.total_derivative(lambda x, t: t * x[0], x=[3.0], velocity=[2.0], t=5.0).value)  # 5 * 2 + 3
    13.0
    """
    check_callable(f)
    point, time = one_point(x), real_array(t, "t")
    if time.shape != ():
        raise DataError(f"t has shape {time.shape}; pass one number")
    along = real_array(velocity, "velocity")
    if along.shape != point.shape:
        raise DataError(f"velocity has shape {along.shape} and x {point.shape}; they have the same")
    joined = lambda z, *others: f(z[:-1], z[-1], *others)  # noqa: E731
    return directional(joined, np.append(point, time), np.append(along, 1.0), args, typical=typical, method=method)


@quiet
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
        ``grad(x, *args)`` gives the gradient (n,); the Hessian is then its Jacobian, to full precision.
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

    References
    ----------
    Squire and Trapp (1998), SIAM Review 40; Ridders (1982), Advances in Engineering Software 4.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.hessian(lambda x: x[0] ** 2 * x[1], [1.0, 3.0]).value.round(9)
    array([[6., 2.],
           [2., 0.]])
    """
    vector = one_point(x)
    if grad is not None:
        given = jacobian(checked_gradient(grad), vector, args, bounds=bounds, typical=typical, method=method)
        matrix = Derivative(given.value, given.error, given.nfev, given.method, given.status, given.reason)
    else:
        field = GradientField.of(f, args, vector, bounds, typical, check_method(method))
        matrix = field.hessian()
    return replace(
        matrix,
        value=(matrix.value + matrix.value.T) / 2,
        error=np.maximum(np.maximum(matrix.error, matrix.error.T), np.abs(matrix.value - matrix.value.T) / 2),
        status=np.maximum(matrix.status, matrix.status.T),
    )


@quiet
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

    References
    ----------
    J. Nocedal and S. Wright (2006), *Numerical Optimization*, section 8.1.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.hessp(lambda x: x[0] ** 2 * x[1], [1.0, 3.0], [1.0, 1.0]).value.round(9)
    array([8., 2.])
    """
    vector, v = one_point(x), real_array(p, "p")
    if v.shape != vector.shape:
        raise DataError(f"p has shape {v.shape} and x {vector.shape}; they have the same")
    if grad is not None:
        return directional(checked_gradient(grad), vector, v, args, bounds=bounds, typical=typical, method=method)
    if not v.any():
        raise DataError("p is zero; pass a direction")
    product = GradientField.of(f, args, vector, bounds, typical, check_method(method)).derivative(v[:, None])
    return replace(product, value=product.value[0], error=product.error[0], method=product.method[0], status=product.status[0])
