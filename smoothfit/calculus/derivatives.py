"""Results of differentiation: values with their errors, and Jacobians with their layout."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, to_numbers
from ..errors import DataError, SpecificationError

LAYOUTS = ("numerator", "denominator")


class Status(IntEnum):
    """How a numeric derivative ended, element by element.

    References
    ----------
    Ridders (1982), Advances in Engineering Software 4, for the error by which a derivative has converged.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> slope = calculus.derivative(abs, 0.0)
    >>> calculus.Status(int(slope.status)).name, round(float(slope.error), 6)  # slopes -1 and 1
    ('KINK', 1.0)
    """

    CONVERGED = 0
    KINK = 1  # slopes from the left and the right differ: value is their mean, error half their distance, infinite at a jump
    IMPRECISE = 2  # fewer than three digits are known
    NOT_FINITE = 3  # f is not finite at x, or at every step that was tried


@dataclass(frozen=True, eq=False)
class Derivative:
    """A numeric derivative.

    Attributes
    ----------
    value : ndarray
        The derivative, in units of f per unit of x; NaN where `status` is NOT_FINITE.
    error : ndarray, same shape
        Estimated bound of ``|value - truth|``; half the distance of the one-sided derivatives at a kink.
    nfev : int
        How many points f was evaluated at.
    method : ndarray of str, same shape
        "complex step", "central", "forward" or "backward".
    status : ndarray of int, same shape
        A `Status`; 0 where the derivative converged.
    reason : str
        Why the complex step was refused; empty where it was not.

    References
    ----------
    Ridders (1982), Advances in Engineering Software 4, for `error`; Squire and Trapp (1998), SIAM Review 40, for the complex step.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> derivative = calculus.derivative(lambda x: x**3, [1.0, 2.0])
    >>> derivative.value.round(9), bool((derivative.error < 1e-9).all())
    (array([ 3., 12.]), True)
    """

    value: FloatArray
    error: FloatArray
    nfev: int
    method: npt.NDArray[Any]
    status: npt.NDArray[np.int64]
    reason: str = ""

    @property
    def success(self) -> bool:
        """Whether every element converged."""
        return bool(np.all(self.status == Status.CONVERGED))

    def __repr__(self) -> str:
        methods = ", ".join(str(name) for name in np.unique(self.method))
        worst = Status(int(np.max(self.status, initial=0))).name
        return f"{type(self).__name__}(value={self.value!r}, error={self.error!r}, nfev={self.nfev}, {methods}: {worst})"


@dataclass(frozen=True, eq=False, repr=False)
class Jacobian(Derivative):
    """The derivative of a vector f (m,) by a vector x (n,), with its layout.

    Attributes
    ----------
    value : ndarray, shape (m, n) in numerator layout, (n, m) in denominator layout
        In numerator layout ``value[i, j]`` is the derivative of f_i by x_j; the denominator layout is its transpose.
    layout : {"numerator", "denominator"}
        Which of the two.

    Notes
    -----
    ``Jacobian.of(matrix, layout)`` makes one of a matrix that is known; `jacobian` makes one numerically.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*, for the layouts.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.Jacobian.of([[1.0, 2.0, 3.0]], layout="numerator").to_layout("denominator").value.shape
    (3, 1)
    """

    layout: str = field(default="numerator", kw_only=True)

    @classmethod
    def of(cls, matrix: Any, layout: str) -> Jacobian:
        """Make a Jacobian of a known matrix, whose error is taken as zero.

        Raises DataError where `matrix` is not a finite matrix, SpecificationError where `layout` is unknown.
        """
        value = to_numbers(matrix, "matrix")
        if value.ndim != 2:
            raise DataError(f"matrix has shape {value.shape}; a Jacobian has two dimensions, for example matrix[None, :]")
        bad = ~np.isfinite(value)
        if bad.any():
            i, j = np.argwhere(bad)[0].tolist()
            raise DataError(f"matrix[{i}, {j}] is {value[i, j]}; pass finite numbers")
        status = np.zeros(value.shape, dtype=np.int64)
        return cls(value, np.zeros(value.shape), 0, np.full(value.shape, "given"), status, layout=check_layout_name(layout))

    def to_layout(self, layout: str) -> Jacobian:
        """Return the same derivative in a layout: itself, or transposed.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> calculus.Jacobian.of([[1.0, 2.0]], layout="numerator").to_layout("denominator").value
        array([[1.],
               [2.]])
        """
        if check_layout_name(layout) == self.layout:
            return self
        return replace(self, value=self.value.T, error=self.error.T, method=self.method.T, status=self.status.T, layout=layout)


def check_layout_name(layout: Any) -> str:
    """Return the name of a layout."""
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise SpecificationError(f"layout is {layout!r}; pass 'numerator' (m, n) or 'denominator' (n, m)")
    return str(layout)
