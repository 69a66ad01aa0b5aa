"""Critical points: their classification, and the search on an interval or in a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import interpolate, optimize

from .._entry import quiet
from .._validation import EPS, FloatArray, check_finite, check_order, check_positive, check_rng
from ..errors import DataError, SpecificationError
from .box import in_box
from .derivatives import Derivative, Status
from .inertia import CriticalPoint, classified
from .known import known, own_derivatives
from .lines import check_callable, real_array
from .numeric import derivative, gradient, hessian

GRID = 512
STARTS = 32
SPLINE_ROUNDING = 64.0  # of a slope, in machine epsilons of its terms
CONTINUOUS = 1e-3  # of the slopes at both sides, what is left of a slope where it passes zero
TOUCHING = 1e-9  # likewise where it touches zero


@quiet
def classify_critical_point(
    f: Callable[..., Any] | None = None,
    x: Any = None,
    *,
    grad: Any = None,
    hess: Any = None,
    rtol: float = 1e-6,
    typical: float = 1.0,
) -> CriticalPoint:
    """Classify a critical point as minimum, maximum or saddle by the inertia of the Hessian, or as undetermined.

    Parameters
    ----------
    f : callable, optional
        f(x) of a vector (n,) gives a number; what is not passed is then taken numerically.
    x : array_like, shape (n,), optional
        The point; needed unless `grad` and `hess` are both arrays.
    grad : callable or array_like (n,), optional
        The gradient; zero where only `hess` is passed.
    hess : callable or array_like (n, n), optional
        The Hessian; symmetrised.
    rtol : float
        The gradient counts as zero where a Newton step changes no x_i by more than rtol max(abs(x_i), typical), or where it is
        within its numeric error.
    typical : float
        Size of an x near zero.

    Returns
    -------
    CriticalPoint

    Raises
    ------
    DataError
        The Hessian is not square or not finite, shapes differ, or there is nothing to classify.

    Notes
    -----
    The tolerance is max(10 n eps max abs(lam), norm of the Hessian's error): eigenvalues move by no more than that (Weyl). Both
    signs beyond it make a saddle, whatever the other eigenvalues are. Otherwise an eigenvalue within it makes the point
    inconclusive: x^4 and x^3 have the same Hessian at zero.

    References
    ----------
    Nocedal and Wright (2006), Numerical Optimization, 2.1; Golub and Van Loan (2013), 8.1.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.classify_critical_point(lambda x: x[0] ** 2 - x[1] ** 2, [0.0, 0.0]).kind
    'saddle'
    >>> point = calculus.classify_critical_point(hess=[[2.0, 0.0], [0.0, 0.0]])
    >>> point.kind, point.inertia
    ('inconclusive', Inertia(positive=1, negative=0, zero=1))
    """
    if f is None and hess is None:
        raise DataError("nothing to classify; pass f and x, or hess")
    if f is not None:
        check_callable(f)
    H, H_error = _hessian(f, x, grad, hess, typical)
    g, g_error = _gradient(f, x, grad, len(H), typical)
    for name, array in (("grad", g), ("hess", H.ravel())):
        check_finite(array, name, "choose a point where f is smooth, or pass grad and hess")
    if g.shape != (len(H),):
        raise DataError(f"grad has shape {g.shape} and hess {H.shape}; they are (n,) and (n, n)")
    point = np.zeros(len(H)) if x is None else real_array(x, "x")
    value = None if f is None else float(np.asarray(f(point.copy())).item())
    return classified(point, g, g_error, H, float(np.linalg.norm(H_error)), rtol, typical, value)


def _hessian(f: Any, x: Any, grad: Any, hess: Any, typical: float) -> tuple[FloatArray, FloatArray]:
    """The Hessian and its error."""
    if hess is not None:
        H = real_array(hess(real_array(x)) if callable(hess) else hess, "hess")
        if H.ndim != 2 or H.shape[0] != H.shape[1]:
            raise DataError(f"hess has shape {H.shape}; a Hessian is square, (n, n)")
        return H, np.abs(H - H.T) / 2
    numeric = hessian(f, x, grad=grad if callable(grad) else None, typical=typical)
    return _known(numeric, "Hessian")


def _gradient(f: Any, x: Any, grad: Any, n: int, typical: float) -> tuple[FloatArray, FloatArray]:
    """The gradient and its error."""
    if grad is not None:
        g = real_array(grad(real_array(x)) if callable(grad) else grad, "grad")
        return g, 4 * EPS * np.abs(g)
    if f is None:
        return np.zeros(n), np.zeros(n)
    return _known(gradient(f, x, typical=typical), "gradient")


def _known(numeric: Derivative, name: str) -> tuple[FloatArray, FloatArray]:
    if np.any(numeric.status == Status.KINK):
        raise DataError(f"f has a kink at x, so that its {name} does not exist there; compare values around x instead")
    if np.any(numeric.status == Status.NOT_FINITE):
        raise DataError(f"the numeric {name} is not finite at x; choose a point inside the domain of f")
    return numeric.value, numeric.error


@quiet
def find_critical_points(
    f: Any,
    bounds: Any,
    *,
    grad: Callable[..., Any] | None = None,
    hess: Callable[..., Any] | None = None,
    n_starts: int | None = None,
    rng: Any = 0,
    rtol: float = 1e-6,
) -> list[CriticalPoint]:
    """Critical points of a function on an interval, or in a box.

    Parameters
    ----------
    f : callable, spline, or results
        On an interval f(x) of a number; in a box f(x) of a vector (n,). A spline of one variable (`smoothfit.Spline`, or
        `CubicSpline`, `PPoly` and `BSpline` of SciPy; whatever has `to_scipy`) has all its critical points found exactly, and so
        have results whose mean is such a spline on the whole interval. What has derivatives of its own (`TensorSpline`, other
        results, functions with an argument `deriv`) is searched with these.
    bounds : (lower, upper)
        Numbers for an interval, vectors (n,) for a box.
    grad : callable, optional
        The gradient in a box (n,), the derivative on an interval.
    hess : callable, optional
        The Hessian in a box (n, n). What is not passed and f does not have is taken numerically.
    n_starts : int, optional
        Points of the grid on an interval, 512; starts in a box, 32.
    rng : numpy.random.Generator or seed
        Shifts the starts.
    rtol : float
        Points closer than rtol times the size of the box are one; also that of `classify_critical_point`.

    Returns
    -------
    list of CriticalPoint
        In ascending order on an interval, by ascending value in a box. If a spline is constant on a stretch, its ends.

    Raises
    ------
    DataError
        Bounds are not finite, in disorder or of unequal shape; f is not a function of the right kind.

    Notes
    -----
    Interval: zeros of f' between grid points where it changes its sign (Brent 1973), and where abs(f') has a minimum at zero.
    Box: zeros of the gradient by trust-region least squares from shifted Sobol points. Neither can promise that it has found
    all of them, except for splines: points that are close in units of the grid may be missed.

    References
    ----------
    Brent (1973), Algorithms for Minimization without Derivatives; Branch, Coleman and Li (1999), SIAM Journal on Scientific
    Computing 21.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> [(round(float(p.x[0]), 6), p.kind) for p in calculus.find_critical_points(np.sin, (0.0, 6.0))]
    [(1.570796, 'maximum'), (4.712389, 'minimum')]
    >>> points = calculus.find_critical_points(lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2, ([-2, -2], [2, 2]))
    >>> [(np.abs(p.x).round(6).tolist(), p.kind) for p in points if p.kind == "saddle"]
    [([0.0, 0.0], 'saddle')]
    >>> import smoothfit as sf
    >>> parabola = sf.BernsteinBasis(2, -1, 1)
    >>> bowl = sf.TensorSpline(sf.TensorProductBasis(parabola, parabola), [[2, 0, 2], [0, -2, 0], [2, 0, 2]])  # x_1^2 + x_2^2
    >>> [(p.x.round(6) + 0.0).tolist() for p in calculus.find_critical_points(bowl, ([-1, -1], [1, 1]))]
    [[0.0, 0.0]]
    """
    check_positive(rtol, "rtol")
    lower, upper = _box(bounds)
    evaluate = own_derivatives(f)
    if lower.ndim == 0:
        pieces = _pieces(_mean_spline(f, float(lower), float(upper)))
        if pieces is not None:
            return _of_spline(pieces, float(lower), float(upper), rtol)
        n_points = GRID if n_starts is None else check_order(n_starts, "n_starts", 3, 10**7)
        if evaluate is not None:
            own = known(evaluate, 1)
            f, grad = lambda x: own.value(np.array([x])), grad or (lambda x: own.gradient(np.array([x])).item())
        check_callable(f)
        return _on_interval(f, grad, float(lower), float(upper), n_points, rtol)
    if evaluate is not None:
        own = known(evaluate, len(lower))
        f, hess = own.value, hess or (own.hessian if grad is None else None)
        grad = grad or own.gradient
    check_callable(f)
    n_starts = STARTS if n_starts is None else check_order(n_starts, "n_starts", 1, 10**6)
    return in_box(f, grad, hess, lower, upper, n_starts, check_rng(rng), rtol)


def _box(bounds: Any) -> tuple[FloatArray, FloatArray]:
    try:
        lower, upper = (np.array(bound, dtype=np.float64) for bound in bounds)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"bounds is {bounds!r}; pass (lower, upper), numbers or vectors") from None
    if lower.shape != upper.shape or lower.ndim > 1:
        raise DataError(f"bounds have shapes {lower.shape} and {upper.shape}; pass two numbers or two vectors of one length")
    if not (np.isfinite(lower).all() and np.isfinite(upper).all() and (lower < upper).all()):
        raise DataError(f"bounds are {lower} and {upper}; they are finite, the lower below the upper")
    return lower, upper


def _mean_spline(f: Any, lower: float, upper: float) -> Any:
    """The mean of results as a spline, if it is one that reaches over the interval; else f."""
    if not hasattr(f, "spline"):
        return f
    try:
        spline = f.spline()
    except SpecificationError:  # the mean of this model is no spline
        return f
    start, stop = spline.basis.domain
    return spline if start <= lower and upper <= stop else f


def _pieces(f: Any) -> interpolate.PPoly | None:
    """A spline as its polynomial pieces in the power basis; None if f is not a spline."""
    if hasattr(f, "to_scipy"):
        f = f.to_scipy()
    values = np.shape(f.c)[1:] if isinstance(f, interpolate.BSpline) else np.shape(getattr(f, "c", 0))[2:]
    if isinstance(f, (interpolate.BSpline, interpolate.PPoly)) and values:
        raise DataError(f"the spline has values of shape {values}; pass one with a single value")
    if isinstance(f, interpolate.BSpline):
        f = interpolate.PPoly.from_spline(f.tck, extrapolate=False)
    if not isinstance(f, interpolate.PPoly):
        return None
    kept = np.flatnonzero(np.diff(f.x) > 0)  # repeated knots make empty pieces
    return interpolate.PPoly(f.c[:, kept], np.append(f.x[kept], f.x[-1]), extrapolate=False)


def _sizes(pieces: interpolate.PPoly) -> FloatArray:
    """Bound of abs(f) on each piece: the sum of its terms' sizes."""
    powers = np.arange(len(pieces.c))[::-1, None]
    return np.asarray(np.sum(np.abs(pieces.c) * np.diff(pieces.x) ** powers, axis=0))


def _of_spline(f: interpolate.PPoly, lower: float, upper: float, rtol: float) -> list[CriticalPoint]:
    """All zeros of a spline's derivative: roots of its pieces, among them those that rounding would turn into a near miss."""
    slope, curvature = f.derivative(), f.derivative(2)
    widths, bounds = np.diff(f.x), _sizes(slope)
    rounding = SPLINE_ROUNDING * EPS * np.maximum(bounds, _sizes(f) / widths)
    flat = np.flatnonzero(bounds <= rounding)  # constant pieces are represented by their ends
    slope.c[:, flat] = 0.0
    turning = curvature.roots(extrapolate=False)
    turning = turning[np.isfinite(turning)]
    touching = turning[np.abs(slope(turning)) <= rounding[_piece(f, turning)]]
    roots = np.concatenate([slope.roots(discontinuity=False, extrapolate=False), touching, f.x[flat], f.x[flat + 1]])
    roots = np.unique(roots[np.isfinite(roots) & (roots >= lower) & (roots <= upper)])
    points = []
    for x in _distinct(roots, rtol * (f.x[-1] - f.x[0])).tolist():
        piece = int(_piece(f, np.array([x]))[0])
        # the place of a multiple root is known to the square root of rounding
        error = np.sqrt(EPS) * 8 * _sizes(curvature)[piece] + rounding[piece] / widths[piece]
        g, H = np.array([_nearer_zero(slope, x)]), np.array([[float(curvature(x))]])
        points.append(classified(np.array([x]), g, np.array([rounding[piece]]), H, float(error), rtol, widths[piece], float(f(x))))
    return points


def _nearer_zero(slope: interpolate.PPoly, x: float) -> float:
    """The limit of a slope from the right or from the left, which differ at a corner, closer to zero."""
    left = max(int(np.searchsorted(slope.x, x)) - 1, 0)
    return min(float(slope(x)), float(np.polyval(slope.c[:, left], x - slope.x[left])), key=abs)


def _piece(f: interpolate.PPoly, x: FloatArray) -> Any:
    return np.clip(np.searchsorted(f.x, x, side="right") - 1, 0, len(f.x) - 2)


def _distinct(points: FloatArray, distance: float) -> FloatArray:
    """Sorted points, those within a distance of the one before left out."""
    kept: list[float] = []
    for point in points.tolist():
        if not kept or point - kept[-1] > distance:
            kept.append(point)
    return np.array(kept)


def _on_interval(f: Any, grad: Any, lower: float, upper: float, n_points: int, rtol: float) -> list[CriticalPoint]:
    """Critical points of a function of a number."""

    def slope(x: Any) -> FloatArray:
        if grad is not None:
            return np.array([float(grad(point)) for point in np.ravel(x).tolist()]).reshape(np.shape(x))
        return derivative(f, x, bounds=(lower, upper)).value

    size = rtol * max(upper - lower, abs(lower), abs(upper))
    points = []
    for root in _distinct(np.sort(_zeros(slope, np.linspace(lower, upper, n_points))), size).tolist():
        near = np.clip([root - size, root, root + size], lower, upper)
        curvature = derivative(slope if grad is not None else (lambda z: _second(f, z, lower, upper)), root, bounds=(lower, upper))
        H = float(curvature.value)
        # the root is somewhere within size: a curvature that changes its sign there decides nothing
        spread = float(np.abs(np.diff(slope(near)) / np.diff(near) - H).max()) if np.diff(near).all() else 0.0
        g, value = slope(np.array([root])), float(np.asarray(f(root)).item())
        noise = np.array([EPS * abs(value) / size])
        points.append(
            classified(np.array([root]), g, noise, np.array([[H]]), spread + float(curvature.error), rtol, upper - lower, value)
        )
    return points


def _second(f: Any, z: Any, lower: float, upper: float) -> FloatArray:
    return derivative(f, z, bounds=(lower, upper)).value


def _zeros(slope: Callable[[Any], FloatArray], grid: FloatArray) -> FloatArray:
    """Zeros of a slope: where it changes its sign without a jump or a pole, and where it touches zero."""
    values = slope(grid)
    runs = np.flatnonzero(values == 0)
    zeros = [float(grid[i]) for i in runs if not (i - 1 in runs and i + 1 in runs)]  # the ends of stretches
    xtol = 4 * EPS * float(np.abs(grid).max())
    for i in np.flatnonzero(values[:-1] * values[1:] < 0).tolist():
        root = optimize.brentq(lambda x: float(slope(x)), grid[i], grid[i + 1], xtol=xtol, rtol=4 * EPS, maxiter=1000)
        if abs(float(slope(root))) <= CONTINUOUS * max(abs(values[i]), abs(values[i + 1])):
            zeros.append(root)
    size = np.abs(values)
    larger = np.maximum(size[:-2], size[2:])
    # around a double zero the lowest of three points has a ninth of the largest slope at the most
    is_low = (size[1:-1] <= np.minimum(size[:-2], size[2:])) & (size[1:-1] < larger / 2) & (size[1:-1] > 0)
    lows = 1 + np.flatnonzero(is_low & (values[:-2] * values[2:] > 0))
    for i in lows.tolist():
        found = optimize.minimize_scalar(
            lambda x: abs(float(slope(x))),
            bounds=(grid[i - 1], grid[i + 1]),
            method="bounded",
            options={"xatol": 1e-10 * (grid[1] - grid[0])},
        )
        if found.fun <= TOUCHING * max(size[i - 1], size[i + 1]):
            zeros.append(float(found.x))
    return np.array(zeros)
