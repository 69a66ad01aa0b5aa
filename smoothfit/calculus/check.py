"""Checks of gradients that people wrote by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import quiet
from .._validation import FloatArray, check_positive
from ..errors import DataError
from .derivatives import Derivative, Status
from .lines import check_callable, real_array
from .numeric import gradient, jacobian
from .partials import Function

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class GradientCheck:
    """How a gradient compares with numeric derivatives of its function.

    Attributes
    ----------
    x : ndarray, shape (n,)
    given : ndarray, shape (n,)
        The gradient that is checked.
    numeric : Derivative
        The numeric gradient, arrays (n,).
    agrees : ndarray of bool, shape (n,)
        Whether ``given`` is the numeric derivative within its error and the tolerance; at a kink, whether it lies between the
        derivatives from the left and from the right.
    hessian : Derivative
        The numeric Jacobian of the gradient, arrays (n, n): the Hessian, if it is a gradient.
    asymmetric : ndarray of bool, shape (n, n)
        The Jacobian is not symmetric beyond its error: no function has this gradient.

    References
    ----------
    Nocedal and Wright (2006), Numerical Optimization, 8.1.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> check = calculus.check_gradient(lambda x: abs(x[0]) + x[1], lambda x: [0.5, 1.0], [0.0, 1.0])
    >>> check.passed, check.kinks.tolist()  # 0.5 is a subgradient at the kink
    (True, [0])
    """

    x: FloatArray
    given: FloatArray
    numeric: Derivative
    agrees: npt.NDArray[np.bool_]
    hessian: Derivative
    asymmetric: npt.NDArray[np.bool_]

    @property
    def passed(self) -> bool:
        """Whether every component agrees and the Hessian is symmetric."""
        return bool(self.agrees.all() and not self.asymmetric.any())

    @property
    def kinks(self) -> npt.NDArray[np.int64]:
        """Indices of the components along which f has a kink at x."""
        return np.flatnonzero(self.numeric.status == Status.KINK)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each component: x, given, numeric, error, difference, status, agrees.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> check = calculus.check_gradient(lambda x: x[0] ** 2 * x[1], lambda x: [2 * x[0] * x[1], x[0]], [3.0, 2.0])
        >>> print(check.to_frame()[["given", "numeric", "agrees"]].round(6))
           given  numeric  agrees
        0   12.0     12.0    True
        1    3.0      9.0   False
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "x": self.x,
                "given": self.given,
                "numeric": self.numeric.value,
                "error": self.numeric.error,
                "difference": self.given - self.numeric.value,
                "status": [Status(int(code)).name.lower() for code in self.numeric.status],
                "agrees": self.agrees,
            }
        )

    def __str__(self) -> str:
        lines = [self.to_frame().to_string()]
        if self.asymmetric.any():
            i, j = np.argwhere(self.asymmetric)[0].tolist()
            value = self.hessian.value
            lines.append(f"The Hessian is not symmetric: [{i}, {j}] = {value[i, j]:.6g}, [{j}, {i}] = {value[j, i]:.6g}")
        lines.append(f"{int(self.agrees.sum())} of {len(self.x)} components agree; {'passed' if self.passed else 'FAILED'}")
        return "\n".join(lines)


@quiet
def check_gradient(
    f: Function, g: Function, x: Any, args: tuple[Any, ...] = (), *, rtol: float = 1e-7, bounds: Any = None, typical: float = 1.0
) -> GradientCheck:
    """Compare a gradient with numeric derivatives, component by component.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` of a vector (n,) gives a number.
    g : callable
        ``g(x, *args)`` gives the gradient of f, (n,).
    x : array_like, shape (n,)
        A point away from which the comparison is repeated by the user; random points find most errors.
    rtol : float
        A component agrees where it is within ``error + rtol * max(|numeric|, |given|)`` of the numeric derivative.
    args, bounds, typical
        As for `gradient`.

    Returns
    -------
    GradientCheck
        With `passed`, `agrees`, `kinks`, `asymmetric`, and a table: `to_frame()` or ``print``.

    Raises
    ------
    DataError
        f or g is not a function, or g gives another shape than that of x, or a number that is not finite.

    References
    ----------
    J. Nocedal and S. Wright (2006), *Numerical Optimization*, section 8.1.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> check = calculus.check_gradient(lambda x: x[0] ** 2 * x[1], lambda x: [2 * x[0] * x[1], x[0]], [3.0, 2.0])
    >>> check.agrees, check.passed
    (array([ True, False]), False)
    """
    check_callable(g, "g")
    check_positive(rtol, "rtol")
    numeric = gradient(f, x, args, bounds=bounds, typical=typical)
    point = real_array(x)
    if point.ndim != 1:
        raise DataError(f"x has shape {point.shape}; check one point (n,) at a time")
    given = real_array(g(point.copy(), *args), "g(x)")
    if given.shape != point.shape:
        raise DataError(f"g(x) has shape {given.shape} and x {point.shape}; a gradient has the shape of x")
    scale = np.maximum(np.abs(given), np.abs(numeric.value))
    agrees = np.abs(given - numeric.value) <= numeric.error + rtol * scale
    agrees &= np.isfinite(numeric.error)
    slopes = jacobian(lambda z, *others: np.asarray(g(z, *others)), point, args, bounds=bounds, typical=typical)
    matrix = Derivative(slopes.value, slopes.error, slopes.nfev, slopes.method, slopes.status, slopes.reason)
    difference = np.abs(matrix.value - matrix.value.T)
    asymmetric = difference > matrix.error + matrix.error.T + rtol * np.maximum(np.abs(matrix.value), np.abs(matrix.value.T))
    return GradientCheck(point, given, numeric, agrees, matrix, asymmetric)
