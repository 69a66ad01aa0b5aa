"""Functions along straight lines: t -> f(x + t d), for many lines at once, with or without complex t.

A function that does not take arrays is noticed (it raises, or gives another shape or other values than at single points) and
is then called point by point.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .._validation import EPS, FloatArray, first_index, to_numbers
from ..errors import DataError

Array = npt.NDArray[Any]
LARGEST_BATCH = 2**17  # numbers passed to f in one call; they stay in the processor's cache
TINY_MOVE = 2.0**-30  # relative; separates the points by which a vectorised function is recognised


class Lines(Protocol):
    """L lines through points where f has M values.

    Attributes
    ----------
    value : ndarray, shape (L, M)
        f at t = 0.
    size : ndarray, shape (L,)
        Step at which x is doubled (or a component of it, the first to be); 0 where x is zero.
    scale : ndarray, shape (L,)
        Step that changes x by its typical size: max(|x|, typical).
    left, right : ndarray, shape (L,)
        How far a line goes on within the bounds.
    stretch : ndarray, shape (L,)
        x is rounded by machine epsilon times this, as a step; 0 where steps are exact.
    noise : ndarray, shape (L, M)
        Absolute error of f's values, beyond their rounding.
    rounding : float
        Relative error of f's values: machine epsilon of the type in which f returns them, or more.
    """

    value: FloatArray
    noise: FloatArray
    size: FloatArray
    scale: FloatArray
    left: FloatArray
    right: FloatArray
    stretch: FloatArray
    rounding: float

    def at(self, steps: Array) -> Array:
        """F at steps (k, L), an array (k, L, M). Real steps where f raises an arithmetic or value error give NaN."""


class Refused(Exception):  # noqa: N818 - never leaves the package
    """f does not accept complex numbers; the message gives the reason."""


def check_callable(f: Any, argument: str = "f") -> None:
    """Raise if f is not a function; samples belong to the smoothers."""
    if callable(f):
        return
    is_sample = isinstance(f, Sequence) or getattr(f, "ndim", 0) > 0
    if isinstance(f, (str, bytes)) or not is_sample:
        raise DataError(f"{argument} is {f!r}; pass a function")
    raise DataError(
        f"{argument} holds {len(f)} samples, not a function; for derivatives of sampled data fit a curve to them: "
        "smoothfit.SmoothingSpline(smoothfit.observe(x, y)).fit().get_prediction(x, deriv=1)"
    )


def real_array(x: Any, argument: str = "x") -> FloatArray:
    """Return a copy as float64 of any shape; refuse what is empty, complex or not finite."""
    array = to_numbers(x, argument)
    if array.size == 0:
        raise DataError(f"{argument} is empty")
    bad = ~np.isfinite(array).ravel()
    if bad.any():
        i = first_index(bad)
        raise DataError(f"{argument}{_index(array.shape, i)} is {array.ravel()[i]}; pass finite points")
    return array


def _index(shape: tuple[int, ...], i: int) -> str:
    return f"[{', '.join(str(int(k)) for k in np.unravel_index(i, shape))}]" if shape else ""


def read_bounds(bounds: Any, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bounds in the shape of x; x lies within them, with room on a side."""
    if bounds is None:
        return np.full(x.shape, -np.inf), np.full(x.shape, np.inf)
    try:
        lower, upper = (np.broadcast_to(np.asarray(bound, dtype=np.float64), x.shape) for bound in bounds)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"bounds is {bounds!r}; pass (lower, upper), each a number or of the shape of x, {x.shape}") from None
    for bad, words in (
        (~((lower <= x) & (x <= upper)), "is outside its bounds"),
        (lower == upper, "has no room between its bounds"),
    ):
        if bad.any():
            i = first_index(bad.ravel())
            interval = f"[{lower.ravel()[i]}, {upper.ravel()[i]}]"
            raise DataError(f"x{_index(x.shape, i)} = {x.ravel()[i]} {words} {interval}")
    return lower, upper


class Evaluated:
    """What is known of a function by having called it.

    Attributes
    ----------
    nfev : int
        Points at which it was called.
    rounding : float
        Relative rounding error of its values, by their type.
    """

    def __init__(self) -> None:
        self.nfev, self.rounding = 0, EPS

    def evaluated(self, call: Callable[[], Any], complex_steps: bool, n: int) -> Array:
        """Values at n points, as float64 or complex."""
        self.nfev += n
        value = _guarded(call, complex_steps)
        if value.dtype.kind == "f" and value.dtype.itemsize < 8:
            self.rounding = max(self.rounding, float(np.finfo(value.dtype).eps))
        return value if complex_steps else np.asarray(value, dtype=np.float64)

    def same(self, a: Array, b: Array) -> bool:
        """Whether values agree up to the rounding of another order of summation."""
        return a.shape == b.shape and bool(self.close(a, b).all())

    def close(self, a: Array, b: Array) -> npt.NDArray[np.bool_]:
        """The same, element by element."""
        return np.isclose(a, b, rtol=max(1e-9, 64 * self.rounding), atol=0.0, equal_nan=True)


def _guarded(call: Callable[[], Any], complex_steps: bool) -> Array:
    """Call f without floating-point warnings; complex numbers that it cannot take, or drops, raise Refused."""
    with np.errstate(all="ignore"):
        if not complex_steps:
            result = call()
            try:
                value = np.asarray(result)
            except ValueError:  # entries of different lengths
                value = to_numbers(result, "f(x)")
            if value.dtype.kind == "c":
                raise DataError("f gives complex numbers at real x; differentiate its real and its imaginary part")
            if value.dtype.kind not in "iufb":
                value = to_numbers(value, "f(x)")
            return value
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            try:
                result = np.asarray(call())
            except Exception as error:  # whatever a function written for real numbers raises
                raise Refused(f"f raises {type(error).__name__} at complex x: {error}") from None
    if result.dtype.kind == "c" and result.dtype.itemsize < 16:
        raise Refused("f returns complex numbers in single precision")
    if result.dtype.kind != "c":
        raise Refused("f returns real numbers at complex x: it takes an absolute value, a real part or a comparison")
    return result


class Elementwise(Evaluated):
    """f takes an array of points and gives a value for each; a line through every point."""

    def __init__(self, f: Callable[..., Any], x: FloatArray, args: tuple[Any, ...], typical: float, bounds: Any):
        super().__init__()
        self._f, self._x, self._args = f, x, args
        lower, upper = read_bounds(bounds, x)
        self.size = np.abs(x).ravel()
        self.scale = np.maximum(self.size, typical)
        self.left, self.right = (x - lower).ravel(), (upper - x).ravel()
        self.stretch = np.zeros(x.size)
        self._is_vectorised = True
        self.value = self._first_value(lower, upper)[:, None]
        self.noise = np.zeros(self.value.shape)

    def _first_value(self, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """F at x, and whether f takes arrays."""
        x = self._x
        # with one dimension more, as in all further calls; copies, and the first element alone, show whether elements interact
        copies = np.stack([x, np.clip(x * (1 - TINY_MOVE), lower, upper), x])
        try:
            whole, alone = self._call(copies), self._call(x)
            first = np.ravel(self._call_once(0, x.ravel()[:1].reshape((1,) * x.ndim))) if x.ndim else alone.ravel()
        except (TypeError, ValueError, ArithmeticError, IndexError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            # a function of single numbers; if it has other faults, it raises again
            whole, alone, first = np.empty(0), np.empty(0), np.empty(0)
        is_whole = alone.shape == x.shape and whole.shape == copies.shape
        if is_whole and self.same(whole[0], alone) and self.same(whole[2], alone) and self.same(first, alone.ravel()[:1]):
            return np.asarray(alone.ravel())
        self._is_vectorised = False
        remedy = "its elements influence one another; use gradient or jacobian for functions of a vector"
        try:
            values = np.array([self._number(i, x.ravel()[i]) for i in range(x.size)])
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            if alone.shape != x.shape or isinstance(error, DataError):
                raise
            raise DataError(f"f takes the array x but no element of it alone ({error}): {remedy}") from error
        if alone.shape == x.shape and not self.same(values, alone.ravel()):
            i = first_index(~self.close(values, alone.ravel()))
            index = _index(x.shape, i)
            raise DataError(f"f(x){index} is {alone.ravel()[i]}, but f at x{index} alone is {values[i]}: {remedy}")
        return values

    def _call(self, points: Array) -> Array:
        return self.evaluated(lambda: self._f(points, *self._args), points.dtype.kind == "c", points.size)

    def _call_once(self, i: int, point: Any) -> Array:
        args = [np.broadcast_to(arg, self._x.shape).ravel()[i] if np.ndim(arg) else arg for arg in self._args]
        return self.evaluated(lambda: self._f(point, *args), np.iscomplexobj(point), 1)

    def _number(self, i: int, point: Any) -> Any:
        value = self._call_once(i, point.item())
        if value.shape not in ((), (1,)):
            raise DataError(f"f gives an array of shape {value.shape} at a number; use jacobian for functions with several values")
        return value.reshape(())[()]

    def at(self, steps: Array) -> Array:
        """F at steps (k, L), as an array (k, L, 1)."""
        points = self._x.ravel() + steps
        if self._is_vectorised:
            values = self._call(points.reshape(len(steps), *self._x.shape))
            if values.size != points.size:
                raise DataError(f"f changes its shape: {values.shape} at points of shape {(len(steps), *self._x.shape)}")
            return values.reshape(*points.shape, 1)
        one = _nan_outside(self._number)
        return np.array([[one(i, p) for i, p in enumerate(row)] for row in points])[..., None]


def _nan_outside(call: Callable[..., Any]) -> Callable[..., Any]:
    """Give NaN where a function of single points raises, as `math.log` does left of zero."""

    def guarded(*args: Any) -> Any:
        try:
            return call(*args)
        except (ValueError, ArithmeticError) as error:
            if isinstance(error, DataError):
                raise
            return np.nan

    return guarded


class VectorFunction(Evaluated):
    """f of a vector (n,), with M values; a vectorised f also takes points as columns (n, k) and gives (k,) or (M, k).

    Attributes
    ----------
    first : ndarray
        f's value at the point by which it was examined.
    shape : tuple
        Of that.
    nfev : int
    """

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], x: FloatArray, lower: FloatArray, upper: FloatArray):
        super().__init__()
        self._f, self._args = f, args
        first = self._call_once(x)
        self.first, self.shape = first, first.shape
        self._is_vectorised = self._takes_columns(x, first, lower, upper)

    def _takes_columns(self, x: FloatArray, first: Array, lower: FloatArray, upper: FloatArray) -> bool:
        # a number of columns that is no other dimension; their values are known at the first and at the last
        k = next(k for k in range(3, 9) if k not in (len(x), *first.shape))
        columns = x[:, None] + np.zeros(k)
        columns[:, -1] = np.clip(x + np.where(upper > x, 1, -1) * np.abs(x) * TINY_MOVE, lower, upper)
        last = np.asarray(_nan_outside(self._call_once)(columns[:, -1]))
        try:
            values = self._call(columns)
        except (TypeError, ValueError, ArithmeticError, IndexError, AttributeError):
            return False  # a function of one vector
        return values.shape == (*first.shape, k) and self.same(values[..., 0], first) and self.same(values[..., -1], last)

    def _call(self, points: Array) -> Array:
        return self.evaluated(lambda: self._f(points.copy(), *self._args), points.dtype.kind == "c", points.shape[1])

    def _call_once(self, point: Array) -> Array:
        return self.evaluated(lambda: self._f(point.copy(), *self._args), point.dtype.kind == "c", 1)

    def __call__(self, points: Array) -> Array:
        """F at columns (n, N), as an array (N, M)."""
        if self._is_vectorised:
            width = max(1, LARGEST_BATCH // max(len(points), int(np.prod(self.shape))))
            parts = [self._call(points[:, i : i + width]) for i in range(0, points.shape[1], width)]
            self._check_shapes([part.shape[:-1] for part in parts])
            return np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts], axis=1).T
        missing = np.full(self.shape, np.nan)
        one = _nan_outside(self._call_once)
        rows = [np.asarray(one(point)) for point in points.T]
        rows = [missing if row.shape == () and np.isnan(row) else row for row in rows]
        self._check_shapes([row.shape for row in rows])
        return np.array([row.ravel() for row in rows])

    def _check_shapes(self, shapes: list[tuple[int, ...]]) -> None:
        for shape in shapes:
            if shape != self.shape:
                raise DataError(f"f changes its shape: {self.shape} at x, {shape} nearby; it returns one shape")


class Columns:
    """Lines of a function of a vector, from points (n, L) along directions (n, L); `value` is f at the points, (L, M)."""

    def __init__(
        self,
        f: Callable[[Array], Array],
        points: FloatArray,
        directions: FloatArray,
        value: FloatArray,
        bounds: tuple[FloatArray, FloatArray],
        typical: float,
        noise: FloatArray | float = 0.0,
        rounding: float = EPS,
    ):
        self._f, self._points, self._directions = f, points, directions
        self.value, self.noise, self.rounding = value, np.broadcast_to(noise, value.shape), rounding
        moves = directions != 0
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.where(moves, np.abs(points / directions), np.inf)
            scales = np.where(moves, np.maximum(np.abs(points), typical) / np.abs(directions), np.inf)
            ends = [np.where(moves, (bound - points) / directions, np.inf) for bound in bounds]
        self.size, self.scale = sizes.min(axis=0), scales.min(axis=0)
        self.right = np.where(moves, np.maximum(*ends), np.inf).min(axis=0)
        self.left = np.where(moves, -np.minimum(*ends), np.inf).min(axis=0)
        is_exact = (moves.sum(axis=0) == 1) & (np.abs(directions).max(axis=0) == 1)
        self.stretch = np.where(is_exact, 0.0, np.where(moves, sizes, 0.0).max(axis=0))

    def at(self, steps: Array) -> Array:
        """F at steps (k, L), as an array (k, L, M)."""
        points = self._points[:, None] + self._directions[:, None] * steps
        values = self._f(points.reshape(len(points), -1))
        return values.reshape(*steps.shape, -1)
