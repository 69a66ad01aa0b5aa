"""Kernels: how alike two points of a random function are, as a function of their scaled distance.

    k(x, x') = amplitude^2 phi(r),   r^2 = sum_j w_j^2,   w_j = (x_j - x'_j) / length_scale_j

All that is computed from a kernel, its derivatives by x, x' and the logarithms of the length scales, consists of products of
phi_m = ((1/r) d/dr)^m phi and of components w_j; see ``smoothfit.gp.terms``. A kernel defines phi_m(r) r^k.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._validation import FloatArray, check_positive
from ..errors import SpecificationError


@dataclass(frozen=True, eq=False)
class Kernel(ABC):
    """Covariance of a stationary random function with one length scale for each input; subclasses define its shape.

    Parameters
    ----------
    length_scale : float or sequence of float or None, optional
        Known length scales, in units of the inputs: one number for all inputs, or one for each. None, as a whole or for an
        input: estimated.
    amplitude : float, optional
        Known prior standard deviation of f (about its mean), in units of y. None: estimated.
    ard : bool
        Whether unknown length scales differ between the inputs ("automatic relevance determination"): the default, since
        inputs have units of their own. False: all inputs share one length scale, which `length_scale` may give.

    Raises
    ------
    SpecificationError
        A length scale or the amplitude is not positive and finite; several length scales, but ``ard=False``.

    Examples
    --------
    >>> import smoothfit as sf
    >>> kernel = sf.gp.Matern52(length_scale=[1, None], amplitude=2)
    >>> isinstance(kernel, sf.gp.Kernel), kernel
    (True, Matern52(length_scale=(1.0, None), amplitude=2.0))
    """

    length_scale: Any = None
    amplitude: float | None = None
    ard: bool = True

    label: ClassVar[str]
    smoothness: ClassVar[float]  # how many derivatives in mean square the function has
    markov_order: ClassVar[int | None] = None  # p of Matern p + 1/2, in one input a state of p + 1 components

    def __post_init__(self) -> None:
        scale = self.length_scale
        if isinstance(scale, Iterable) and not isinstance(scale, str):
            scales = tuple(scale)
            if not self.ard:
                raise SpecificationError("ard is False, but length_scale is a sequence; pass one number, or ard=True")
            checked: Any = tuple(None if s is None else check_positive(s, f"length_scale[{j}]") for j, s in enumerate(scales))
            if not checked:
                raise SpecificationError("length_scale is empty; pass one number for each input, or None")
        else:
            checked = None if scale is None else check_positive(scale, "length_scale")
        object.__setattr__(self, "length_scale", checked)
        if self.amplitude is not None:
            object.__setattr__(self, "amplitude", check_positive(self.amplitude, "amplitude"))

    def length_scales(self, n_inputs: int) -> tuple[float | None, ...]:
        """Return the length scale of each input, None if it is to be estimated.

        Examples
        --------
        >>> import smoothfit as sf
        >>> sf.gp.Matern52(length_scale=3).length_scales(2), sf.gp.Matern52(length_scale=[1, None]).length_scales(2)
        ((3.0, 3.0), (1.0, None))
        """
        if not isinstance(self.length_scale, tuple):
            return (self.length_scale,) * n_inputs
        if len(self.length_scale) != n_inputs:
            raise SpecificationError(
                f"length_scale has {len(self.length_scale)} entries and X {n_inputs} inputs; pass one number, or one for each input"
            )
        return self.length_scale

    @abstractmethod
    def radial(self, m: int, k: int, r: FloatArray) -> FloatArray:
        """Return phi_m(r) r^k, phi_m = ((1/r) d/dr)^m phi, for distances r of any shape.

        It is finite at r = 0 wherever the derivative of the random function exists that asks for it.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> r = np.array([0.0, 1.0, 2.0])
        >>> sf.gp.SquaredExponential().radial(0, 0, r).round(4), sf.gp.SquaredExponential().radial(1, 1, r).round(4)  # phi, phi'
        (array([1.    , 0.6065, 0.1353]), array([-0.    , -0.6065, -0.2707]))
        """

    def __repr__(self) -> str:
        given = {"length_scale": self.length_scale, "amplitude": self.amplitude}
        parts = [f"{name}={value}" for name, value in given.items() if value is not None] + ["ard=False"] * (not self.ard)
        return f"{type(self).__name__}({', '.join(parts)})"


class SquaredExponential(Kernel):
    """Squared exponential kernel, phi(r) = exp(-r^2 / 2): a function with derivatives of every order.

    Parameters
    ----------
    length_scale : float or sequence of float or None, optional
        Known length scales, in units of the inputs: one number for all inputs, or one for each. None, as a whole or for an
        input: estimated.
    amplitude : float, optional
        Known prior standard deviation of f (about its mean), in units of y. None: estimated.
    ard : bool
        Whether unknown length scales differ between the inputs. False: all share one.

    Raises
    ------
    SpecificationError
        A length scale or the amplitude is not positive and finite; several length scales, but ``ard=False``.

    References
    ----------
    - C. E. Rasmussen and C. K. I. Williams (2006), *Gaussian Processes for Machine Learning*, section 4.2.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.gp.SquaredExponential(length_scale=[0.5, None])
    SquaredExponential(length_scale=(0.5, None))
    """

    label = "squared exponential"
    smoothness = np.inf

    def radial(self, m: int, k: int, r: FloatArray) -> FloatArray:
        """Return phi_m(r) r^k = (-1)^m r^k exp(-r^2 / 2)."""
        value = np.multiply(r, r)
        value *= -0.5
        np.exp(value, out=value)
        if k:
            value *= r**k
        return np.negative(value, out=value) if m % 2 else value


# e^z sqrt(2/pi) |z|^|q| K_q(z) for q = 1/2, 3/2, 5/2, 7/2, ...: coefficients of 1, z, z^2, ...
BESSEL = {1: (1.0,), 3: (1.0, 1.0), 5: (3.0, 3.0, 1.0), 7: (15.0, 15.0, 6.0, 1.0)}


class _Matern(Kernel):
    """Matern kernel of smoothness nu = p + 1/2: phi is proportional to z^nu K_nu(z), z = sqrt(2 nu) r.

    From (1/z d/dz) z^q K_q(z) = -z^(q-1) K_(q-1)(z) and K_(-q) = K_q follows every phi_m in closed form.
    """

    def radial(self, m: int, k: int, r: FloatArray) -> FloatArray:
        """Return phi_m(r) r^k in closed form, a polynomial times an exponential."""
        assert self.markov_order is not None
        twice_nu = 2 * self.markov_order + 1
        c = np.sqrt(twice_nu)
        z = c * r
        q = twice_nu - 2 * m  # twice the order of the Bessel function
        coefficients = BESSEL[abs(q)]
        power = k + min(q, 0)  # of z, of which z^-|q| is the Bessel function's
        constant = (-(c**2)) ** m / BESSEL[twice_nu][0] * c**-k
        return np.asarray(constant * np.polynomial.polynomial.polyval(z, coefficients) * np.exp(-z) * (z**power if power else 1.0))


class Matern12(_Matern):
    """Matern kernel of smoothness 1/2, phi(r) = exp(-r): a continuous function without a gradient.

    Parameters
    ----------
    length_scale : float or sequence of float or None, optional
        Known length scales, in units of the inputs: one number for all inputs, or one for each. None, as a whole or for an
        input: estimated.
    amplitude : float, optional
        Known prior standard deviation of f (about its mean), in units of y. None: estimated.
    ard : bool
        Whether unknown length scales differ between the inputs. False: all share one.

    Notes
    -----
    In one input this is the Ornstein-Uhlenbeck process. Observations of derivatives, and `predict_gradient`, are refused.

    References
    ----------
    - C. E. Rasmussen and C. K. I. Williams (2006), *Gaussian Processes for Machine Learning*, section 4.2.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.gp.Matern12()
    Matern12()
    """

    label = "Matérn 1/2"
    smoothness = 0
    markov_order = 0


class Matern32(_Matern):
    """Matern kernel of smoothness 3/2, phi(r) = (1 + z) exp(-z), z = sqrt(3) r: a function with a continuous gradient.

    Parameters
    ----------
    length_scale, amplitude, ard
        As of `Matern12`.

    Notes
    -----
    It has no second derivatives: `predict_hessian` is refused.

    References
    ----------
    - C. E. Rasmussen and C. K. I. Williams (2006), *Gaussian Processes for Machine Learning*, section 4.2.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.gp.Matern32(amplitude=2)
    Matern32(amplitude=2.0)
    """

    label = "Matérn 3/2"
    smoothness = 1
    markov_order = 1


class Matern52(_Matern):
    """Matern kernel of smoothness 5/2, phi(r) = (1 + z + z^2/3) exp(-z), z = sqrt(5) r: a function with a Hessian.

    Parameters
    ----------
    length_scale, amplitude, ard
        As of `Matern12`.

    References
    ----------
    - C. E. Rasmussen and C. K. I. Williams (2006), *Gaussian Processes for Machine Learning*, section 4.2.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.gp.Matern52(length_scale=3, ard=False)
    Matern52(length_scale=3.0, ard=False)
    """

    label = "Matérn 5/2"
    smoothness = 2
    markov_order = 2
