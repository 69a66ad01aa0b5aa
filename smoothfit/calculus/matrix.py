"""Layouts of Jacobians, their chain rule, and the matrices of vec and Kronecker calculus.

Numerator layout: rows are components of f, (m, n). Denominator layout: rows are components of x, (n, m), so that the gradient
of a scalar is a column like x. Columns are stacked by `vec`; d vec(A X B) = (B' kron A) d vec X (Magnus and Neudecker 1988).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from .._entry import quiet
from .._validation import FloatArray, check_memory, check_order, to_numbers
from ..errors import DataError, SpecificationError
from .derivatives import Jacobian, Status, check_layout_name
from .lines import real_array
from .numeric import jacobian

LARGEST = 10_000  # rows of a commutation or duplication matrix: 800 MB


def to_layout(jacobian: Jacobian, layout: str) -> Jacobian:
    """Return a Jacobian in a layout: itself, or transposed.

    Parameters
    ----------
    jacobian : Jacobian
    layout : {"numerator", "denominator"}

    Returns
    -------
    Jacobian

    Raises
    ------
    DataError
        `jacobian` is a bare array of unknown layout (see `check_layout`).
    SpecificationError
        `layout` is unknown.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*, chapter 9.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> J = calculus.Jacobian.of([[1.0, 2.0]], layout="numerator")
    >>> calculus.to_layout(J, "denominator").value
    array([[1.],
           [2.]])
    """
    return _checked(jacobian, "jacobian").to_layout(layout)


def _checked(given: Any, argument: str) -> Jacobian:
    if not isinstance(given, Jacobian):
        raise DataError(
            f"{argument} is {type(given).__name__}, whose layout is unknown; wrap a matrix as "
            "Jacobian.of(matrix, layout='numerator' or 'denominator')"
        )
    return given


@quiet
def check_layout(f: Callable[..., Any], matrix: Any, x: Any, args: tuple[Any, ...] = (), *, rtol: float = 1e-6) -> str:
    """Determine the layout of a matrix of derivatives of f at x.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` of a vector (n,) gives a vector (m,) or a number.
    matrix : array_like
        What is claimed to be its Jacobian.
    x : array_like, shape (n,)
    rtol : float
        Tolerance relative to the largest entry, beside the numeric error.

    Returns
    -------
    {"numerator", "denominator", "both", "neither"}
        "both" if the Jacobian is symmetric, so that the layout cannot be determined there; "neither" if the matrix is not the
        Jacobian.

    Raises
    ------
    DataError
        `matrix` is not a finite matrix, or the numeric Jacobian cannot be had at x.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*, chapter 9.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> A = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> calculus.check_layout(lambda x: A @ x, A, [1.0, 1.0]), calculus.check_layout(lambda x: A @ x, A.T, [1.0, 1.0])
    ('numerator', 'denominator')
    """
    given = Jacobian.of(np.atleast_2d(to_numbers(matrix, "matrix")), "numerator").value
    share = real_array(rtol, "rtol")
    if share.shape != () or share < 0:
        raise SpecificationError(f"rtol is {rtol!r}; pass a number, zero or more")
    numeric = jacobian(f, x, args)
    if np.any(numeric.status == Status.NOT_FINITE):
        raise DataError("f has no finite Jacobian at x; choose another point")
    fits = {}
    for layout in ("numerator", "denominator"):
        known = numeric.to_layout(layout)
        tolerance = known.error + share * np.abs(known.value).max()
        fits[layout] = given.shape == known.value.shape and bool(np.all(np.abs(given - known.value) <= tolerance))
    if all(fits.values()):
        return "both"
    return next((layout for layout, is_so in fits.items() if is_so), "neither")


@quiet
def chain(*parts: Jacobian | Callable[..., Any], x: Any = None, layout: str = "numerator") -> Jacobian:
    """Chain rule: the Jacobian of f(g(... h(x))), of Jacobians or of functions, the outermost first.

    Parameters
    ----------
    *parts : Jacobian, or callable
        Either Jacobians, all in one layout, or functions of a vector, whose Jacobians are taken numerically.
    x : array_like, shape (n,), optional
        Where functions are differentiated.
    layout : {"numerator", "denominator"}
        Of the result, for functions; Jacobians keep theirs.

    Returns
    -------
    Jacobian
        In numerator layout the product in the order given, in denominator layout in the reverse order; errors propagate.

    Raises
    ------
    SpecificationError
        Layouts are mixed, or Jacobians and functions; `x` is missing for functions or given for Jacobians.
    DataError
        Shapes do not chain.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*, chapter 5.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> outer = calculus.Jacobian.of([[1.0, 2.0]], layout="numerator")  # of R^2 -> R
    >>> inner = calculus.Jacobian.of([[1.0, 0.0, 1.0], [0.0, 3.0, 0.0]], layout="numerator")  # of R^3 -> R^2
    >>> calculus.chain(outer, inner).value
    array([[1., 6., 1.]])
    >>> calculus.chain(np.sum, np.exp, x=[0.0, 1.0]).value.round(6)
    array([[1.      , 2.718282]])
    """
    if not parts:
        raise SpecificationError("chain needs at least one Jacobian or function")
    if all(isinstance(part, Jacobian) for part in parts):
        if x is not None:
            raise SpecificationError("x is given, but Jacobians need none; pass functions, or no x")
        jacobians = [_checked(part, f"parts[{i}]") for i, part in enumerate(parts)]
    elif all(callable(part) for part in parts):
        if x is None:
            raise SpecificationError("functions are chained at a point; pass x=")
        jacobians = _along([part for part in parts if callable(part)], real_array(x), check_layout_name(layout))
    else:
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise SpecificationError(f"parts are {kinds}; pass Jacobians only (Jacobian.of makes one of a matrix) or functions only")
    layouts = [part.layout for part in jacobians]
    if len(set(layouts)) > 1:
        raise SpecificationError(f"layouts are mixed ({', '.join(layouts)}); bring them to one with to_layout")
    product = reduce(_product, (part.to_layout("numerator") for part in jacobians))
    return product.to_layout(layouts[0])


def _along(functions: list[Callable[..., Any]], x: FloatArray, layout: str) -> list[Jacobian]:
    """Jacobians of functions, the outermost first, each at the value of those within."""
    jacobians: list[Jacobian] = []
    for f in reversed(functions):
        jacobians.append(jacobian(f, x, layout=layout))
        x = np.atleast_1d(real_array(f(x.copy()), "the value of an inner function"))
    return jacobians[::-1]


def _product(outer: Jacobian, inner: Jacobian) -> Jacobian:
    """The product of two Jacobians in numerator layout, with its error."""
    if outer.value.shape[1] != inner.value.shape[0]:
        raise DataError(
            f"shapes do not chain: the outer function takes {outer.value.shape[1]} values, the inner "
            f"one gives {inner.value.shape[0]}"
        )
    a, b = np.abs(outer.value), np.abs(inner.value)
    value = outer.value @ inner.value
    error = a @ inner.error + outer.error @ (b + inner.error)
    status = np.maximum(outer.status.max(axis=1)[:, None], inner.status.max(axis=0)[None])
    return Jacobian(value, error, outer.nfev + inner.nfev, np.full(value.shape, "chain"), status)


def vec(X: Any) -> FloatArray:
    """Stack the columns of a matrix (m, n) into a vector (m n,).

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*, chapter 2.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.vec([[1, 3], [2, 4]])
    array([1., 2., 3., 4.])
    """
    matrix = to_numbers(X, "X")
    if matrix.ndim != 2:
        raise DataError(f"X has shape {matrix.shape}; vec stacks the columns of a matrix")
    return matrix.ravel(order="F")


def unvec(x: Any, shape: tuple[int, int]) -> FloatArray:
    """Return the matrix of a shape whose columns a vector stacks, the inverse of `vec`.

    Raises DataError where the sizes differ.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*, chapter 2.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.unvec([1, 2, 3, 4, 5, 6], (2, 3))
    array([[1., 3., 5.],
           [2., 4., 6.]])
    """
    vector = to_numbers(x, "x")
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise SpecificationError(f"shape is {shape!r}; pass the numbers of rows and columns")
    shape = (check_order(shape[0], "shape[0]", 0, 2**62), check_order(shape[1], "shape[1]", 0, 2**62))
    if vector.ndim != 1 or vector.size != shape[0] * shape[1]:
        raise DataError(f"x has shape {vector.shape}; a matrix of shape {shape} has {shape[0] * shape[1]} entries")
    return vector.reshape(shape, order="F")


def commutation_matrix(m: int, n: int) -> FloatArray:
    """Return the matrix K, (m n, m n), with K vec(X) = vec(X') for every X of shape (m, n).

    Magnus and Neudecker (1979), Annals of Statistics 7.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> X = [[1, 2, 3], [4, 5, 6]]
    >>> calculus.commutation_matrix(2, 3) @ calculus.vec(X)
    array([1., 2., 3., 4., 5., 6.])
    """
    m, n = check_order(m, "m", 1, LARGEST), check_order(n, "n", 1, LARGEST)
    if m * n > LARGEST:
        raise SpecificationError(f"m * n is {m * n}; the matrix would have as many rows, at most {LARGEST} are made")
    check_memory(16.0 * (m * n) ** 2, f"the commutation matrix of m = {m} and n = {n}", "transpose the matrix itself")
    order = np.arange(m * n).reshape(m, n, order="F").ravel()
    return np.asarray(np.eye(m * n)[order])


def duplication_matrix(n: int) -> FloatArray:
    """Return the matrix D, (n^2, n(n + 1)/2), with D vech(S) = vec(S) for symmetric S; vech stacks the lower triangle by columns.

    Magnus and Neudecker (1980), SIAM Journal on Algebraic and Discrete Methods 1.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.duplication_matrix(2) @ [1.0, 2.0, 3.0]
    array([1., 2., 2., 3.])
    """
    n = check_order(n, "n", 1, 100)
    check_memory(8.0 * n**4, f"the duplication matrix of n = {n}", "index the lower triangle instead")
    lower = np.array([(i, j) for j in range(n) for i in range(j, n)])
    D = np.zeros((n * n, len(lower)))
    columns = np.arange(len(lower))
    D[lower[:, 1] * n + lower[:, 0], columns] = 1.0
    D[lower[:, 0] * n + lower[:, 1], columns] = 1.0
    return D
