"""Exact discretisation of x' = A x + E d(t) + noise, d held or linear between samples.

Over a step h:  x(t + h) = T x(t) + hold d(t) + ramp (d(t + h) - d(t)) + w,  Var w = sum_j q_j Q_j, with

    T = exp(A h),   hold = int_0^h exp(A s) E ds,   ramp = int_0^h exp(A (h - s)) E s / h ds,
    Q_j = int_0^h w_j(s) w_j(s)' ds,   w_j(s) = exp(A s) e_j,   e_j the j-th column of E.

All are power series in h, whose coefficients depend on A and E alone. Long steps are halved until the series is short, and doubled
back by T(2h) = T(h)^2, hold(2h) = T hold + hold, ramp(2h) = (T ramp + hold + ramp) / 2 and Q(2h) = T Q T' + Q (C. Moler & C. Van
Loan 2003, "Nineteen dubious ways to compute the exponential of a matrix, twenty-five years later", method 3).

Jacobians are complex-step derivatives, exact to rounding (A. H. Al-Mohy & N. J. Higham 2010, "The complex step approximation to the
Frechet derivative of a matrix function"): every function here takes complex A.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray

COMPLEX_STEP = 1e-30
SERIES_BELOW = 0.5
SERIES = 18  # terms: 0.5^18 / 19! is far below the rounding


class Discrete(NamedTuple):
    """Matrices of steps of several lengths.

    Attributes
    ----------
    T : ndarray, shape (C, M, M)
    hold, ramp : ndarray, shape (C, M, p)
    Q : ndarray, shape (p, C, M, M)
    """

    T: npt.NDArray[Any]
    hold: npt.NDArray[Any]
    ramp: npt.NDArray[Any]
    Q: npt.NDArray[Any]


def phi1(z: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(exp(z) - 1) / z, one at zero, real or complex."""
    small = np.abs(z) < 1e-300
    safe = np.where(small, 1.0, z)
    return np.where(small, 1.0 + z / 2, np.expm1(safe) / safe)


def phi2(z: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(exp(z) - 1 - z) / z^2, one half at zero; by its series where the differences would cancel."""
    near = np.abs(z) < SERIES_BELOW
    safe = np.where(near, 1.0, z)
    far = (np.expm1(safe) - safe) / (safe * safe)
    if not near.any():
        return np.asarray(far)
    small = np.where(near, z, 0.0)
    series = np.zeros_like(z)
    for k in range(SERIES, 0, -1):
        series = (1.0 + small * series) / (k + 1)
    return np.where(near, series, far)


def discretize(
    system: npt.NDArray[Any], entry: FloatArray, steps: FloatArray, *, noise: bool = True, ramp: bool = True
) -> Discrete:
    """Matrices of the steps of lengths `steps` (C,), of A = `system` (M, M) and E = `entry` (M, p).

    Without `noise`, Q is left empty (no p); without `ramp`, ramp is (no column).

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit.markov.discretize import discretize
    >>> d = discretize(np.array([[-1.0]]), np.array([[1.0]]), np.array([0.5]))
    >>> bool(np.isclose(d.T[0, 0, 0], np.exp(-0.5))), bool(np.isclose(d.Q[0, 0, 0, 0], (1 - np.exp(-1)) / 2))
    (True, True)
    """
    d = discretize_many(system[None], entry, steps, noise=noise, ramp=ramp)
    return Discrete(*(part[0] for part in d))


def discretize_many(
    systems: npt.NDArray[Any], entry: FloatArray, steps: FloatArray, *, noise: bool = True, ramp: bool = True
) -> Discrete:
    """As `discretize` of many systems (L, M, M): matrices have a leading axis of L, and depend on their own system alone."""
    if systems.shape[1:] == (1, 1):
        return _first_order(systems[:, 0] * steps, float(entry[0, 0]), steps, noise, ramp)
    (m, p), shape = entry.shape, (len(systems), len(steps))
    parts = np.ascontiguousarray(systems).view(np.float64).reshape(*systems.shape, -1)
    both = np.asarray(_kernels.discretize(parts, entry, steps, ramp, noise)).view(systems.dtype)[..., 0]
    hold, ramps, Q = m * m, m * m + m * p, m * m + m * p * (1 + ramp)  # where they begin
    return Discrete(
        both[..., :hold].reshape(*shape, m, m),
        both[..., hold:ramps].reshape(*shape, m, p),
        both[..., ramps:Q].reshape(*shape, m, p * ramp),
        both[..., Q:].reshape(*shape, p * noise, m, m).swapaxes(1, 2),
    )


def _first_order(z: npt.NDArray[Any], gain: float, steps: FloatArray, noise: bool, ramp: bool) -> Discrete:
    """The closed forms of one state, of z = A h (L, C)."""
    shape = *z.shape, 1, 1
    return Discrete(
        np.exp(z).reshape(shape),
        (gain * steps * phi1(z)).reshape(shape),
        (gain * steps * phi2(z)).reshape(shape) if ramp else np.empty((*z.shape, 1, 0), z.dtype),
        (gain**2 * steps * phi1(2 * z))[:, None, :, None, None][:, : int(noise)],
    )


def discretize_jacobian(
    system: FloatArray, entry: FloatArray, steps: FloatArray, directions: FloatArray
) -> tuple[Discrete, list[Discrete]]:
    """Matrices, and their derivatives along changes of A, `directions` (P, M, M)."""
    if not len(directions):
        return discretize(system, entry, steps), []
    moved = discretize_many(system + 1j * COMPLEX_STEP * directions, entry, steps)
    slopes = [Discrete(*(part[i].imag / COMPLEX_STEP for part in moved)) for i in range(len(directions))]
    return Discrete(*(part[0].real for part in moved)), slopes
