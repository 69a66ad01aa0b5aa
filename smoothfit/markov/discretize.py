"""Exact discretisation of x' = A x + E d(t) + noise, d held or linear between samples.

Over a step h:  x(t + h) = T x(t) + hold d(t) + ramp (d(t + h) - d(t)) + w,  Var w = sum_j q_j Q_j, with

    T = exp(A h),   hold = int_0^h exp(A s) E ds,   ramp = int_0^h exp(A (h - s)) E s / h ds,
    Q_j = int_0^h exp(A s) e_j e_j' exp(A' s) ds,   e_j the j-th column of E.

T, hold and ramp are blocks of one exponential, Q_j of another (C. F. Van Loan 1978, "Computing integrals involving the
matrix exponential"), the latter over a step so short that exp(-A h) is harmless, doubled by Q(2h) = Q(h) + T(h) Q(h) T(h)'.

Jacobians are complex-step derivatives, exact to rounding (A. H. Al-Mohy & N. J. Higham 2010, "The complex step approximation to the
Frechet derivative of a matrix function"): every function here takes complex A.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dgebal

from .._core import _kernels
from .._validation import FloatArray

COMPLEX_STEP = 1e-30
UNBALANCED = 64.0  # how much greater than it need be the norm of A h is before it is balanced
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
    suspects = np.flatnonzero(_may_be_unbalanced(systems, entry, steps))
    scales = {int(i): units for i in suspects if (units := _units(systems[i], entry, steps)) is not None}
    moderate = systems.copy() if scales else systems
    moderate[list(scales)] = 0.0
    d = _exponentials(moderate, entry, steps, noise, ramp)
    for i, (D, h) in scales.items():
        drive = entry / D[:, None]
        size = _power_of_two(np.abs(drive).max(axis=0))
        one = _exponentials((systems[i] * (D / D[:, None]) * h)[None], drive / size, steps / h, noise, ramp)
        column = D[:, None] * size * h
        d.T[i], d.hold[i] = one.T[0] * (D[:, None] / D), one.hold[0] * column
        if ramp:
            d.ramp[i] = one.ramp[0] * column
        if noise:
            d.Q[i] = one.Q[0] * (np.outer(D, D) * (h * size**2)[:, None, None, None])
    return d


def _exponentials(systems: npt.NDArray[Any], entry: FloatArray, steps: FloatArray, noise: bool, ramp: bool) -> Discrete:
    """Blocks of matrix exponentials, of entries of moderate sizes."""
    m, p = entry.shape
    shape = len(systems), len(steps)
    count = shape[0] * shape[1]
    h = np.tile(steps, len(systems))[:, None, None]
    scaled = np.repeat(systems, len(steps), axis=0) * h
    size = m + 2 * p if ramp else m + p
    block = np.zeros((count, size, size), dtype=scaled.dtype)
    block[:, :m, :m] = scaled
    block[:, :m, m : m + p] = entry * h
    if ramp:
        block[:, m : m + p, m + p :] = np.eye(p)
    whole = _expm(block).reshape(*shape, size, size)
    spreads = np.empty((shape[0], p if noise else 0, shape[1], m, m), dtype=scaled.dtype)
    doublings = _halvings(scaled, 1.0)
    for j in range(spreads.shape[1]):
        pair = np.zeros((count, 2 * m, 2 * m), dtype=scaled.dtype)
        pair[:, :m, :m] = -scaled
        pair[:, m:, m:] = np.swapaxes(scaled, 1, 2)
        pair[:, :m, m:] = np.outer(entry[:, j], entry[:, j]) * h
        both = _expm(pair / np.exp2(doublings)[:, None, None])
        transition = np.swapaxes(both[:, m:, m:], 1, 2)
        spread = transition @ both[:, :m, m:]
        for k in range(doublings.max(initial=0)):
            left = doublings > k
            T, Q = transition[left], spread[left]
            spread[left], transition[left] = Q + T @ Q @ np.swapaxes(T, 1, 2), T @ T
        spreads[:, j] = ((spread + np.swapaxes(spread, 1, 2)) / 2).reshape(*shape, m, m)
    return Discrete(whole[..., :m, :m], whole[..., :m, m : m + p], whole[..., :m, m + p :], spreads)


def _may_be_unbalanced(systems: npt.NDArray[Any], entry: FloatArray, steps: FloatArray) -> npt.NDArray[np.bool_]:
    """Which systems are of a size (L,) that `_units` may reduce."""
    longest, drive = float(np.abs(steps).max(initial=0.0)), float(np.abs(entry).max(initial=0.0))
    sizes = np.abs(systems.real).sum(axis=2).max(axis=1) * longest
    return np.asarray(np.maximum(sizes, max(drive * longest, drive**2 * longest)) > UNBALANCED)


def _units(system: npt.NDArray[Any], entry: FloatArray, steps: FloatArray) -> tuple[FloatArray, float] | None:
    """Units D of the states (M,) and h of time, powers of two, in which the entries of A h are alike; None if little is gained.

    In an unfortunate unit of time exponentials lose the digits between the norm of D^-1 A h D and those of A h, E h and E E' h.
    """
    longest = float(np.abs(steps).max(initial=0.0))
    scaled = np.abs(system.real) * longest
    if not (np.isfinite(scaled).all() and longest > 0):
        return None
    balanced, _, _, D, _ = dgebal(scaled, scale=1, permute=0)
    drive = float(np.abs(entry).max(initial=0.0))
    if max(scaled.sum(axis=1).max(), drive * longest, drive**2 * longest) <= UNBALANCED * max(balanced.sum(axis=1).max(), 1.0):
        return None
    return D, float(_power_of_two(np.array(longest)))


def _power_of_two(sizes: FloatArray) -> FloatArray:
    """The nearest powers of two; one for zero."""
    return np.asarray(np.exp2(np.round(np.log2(np.where(sizes > 0, sizes, 1.0)))))


def _first_order(z: npt.NDArray[Any], gain: float, steps: FloatArray, noise: bool, ramp: bool) -> Discrete:
    """The closed forms of one state, of z = A h (L, C)."""
    shape = *z.shape, 1, 1
    return Discrete(
        np.exp(z).reshape(shape),
        (gain * steps * phi1(z)).reshape(shape),
        (gain * steps * phi2(z)).reshape(shape) if ramp else np.empty((*z.shape, 1, 0), z.dtype),
        (gain**2 * steps * phi1(2 * z))[:, None, :, None, None][:, : int(noise)],
    )


def _halvings(blocks: npt.NDArray[Any], bound: float) -> npt.NDArray[np.int64]:
    """How often each matrix is to be halved for its norm to be below a bound."""
    norms = np.abs(blocks).sum(axis=2).max(axis=1, initial=0.0)
    large = np.isfinite(norms) & (norms > bound)
    return np.where(large, np.ceil(np.log2(np.where(large, norms / bound, 1.0))), 0).astype(np.int64)


def _expm(blocks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Exponentials of a stack of small matrices; the imaginary parts of complex ones are taken for infinitely small."""
    width = 2 if np.iscomplexobj(blocks) else 1
    parts = np.ascontiguousarray(blocks).view(np.float64).reshape(*blocks.shape, width)
    return np.asarray(_kernels.matrix_exponentials(parts)).view(blocks.dtype)[..., 0]


def discretize_jacobian(
    system: FloatArray, entry: FloatArray, steps: FloatArray, directions: FloatArray
) -> tuple[Discrete, list[Discrete]]:
    """Matrices, and their derivatives along changes of A, `directions` (P, M, M)."""
    moved = discretize_many(system + 1j * COMPLEX_STEP * directions, entry, steps)
    slopes = [Discrete(*(part[i].imag / COMPLEX_STEP for part in moved)) for i in range(len(directions))]
    return discretize(system, entry, steps), slopes
