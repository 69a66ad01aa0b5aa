"""Regression of the equation's Fourier transform over a run, with the ends accounted for.

A window does not commute with D. Without one, integration by parts over [0, T] at omega_k = 2 pi k / T leaves what happens
at the ends,

    (i omega)^m X = sum_j a_j (i omega)^j X + sum_i b_i U_i + gamma T delta_k0 + sum_{l < m + 2} c_l (i omega)^l + noise,

with real constants c_l for each run. X is the transform of the observations by trapezia, whose leading errors at the ends (Euler &
Maclaurin) the last two constants absorb; noise-free samples are matched to order h^2 and not to rounding. U is that of the inputs,
held or linear, exactly. Measurement noise has the variance sigma^2 h T |(i omega)^m - sum a_j (i omega)^j|^2: generalised least
squares, iterated, over frequencies up to a fraction of Nyquist's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..._validation import FloatArray, check_positive
from ...errors import ConvergenceError, DataError, SpecificationError
from ...inference.damped import lengths
from ..regressing import fitted_regression, noise_by_node, relation_of
from ..relation import Rows
from ..start import regress, starts
from .base import Fitted, Method, Problem

MAX_ITERATIONS = 200


def estimate(problem: Problem, share: float = 0.5) -> Fitted:
    """Weighted regression over frequencies up to `share` of Nyquist's."""
    share = check_positive(share, "share")
    if share > 1:
        raise SpecificationError(f"share is {share}; it is at most 1, Nyquist's frequency")
    equation, sample = problem.equation, problem.sample
    derivatives = sorted(equation.derivatives)
    m, k = equation.order, equation.n_params
    h = sample.step
    assert h is not None
    relation, _ = relation_of(problem)
    blocks = []
    runs = [s for s in sample.slices() if s.stop - s.start > 2 * m + 2]
    for i, s in enumerate(runs):
        n = s.stop - s.start - 1
        count = max(1, int(share * n / 2))
        omega = 2 * np.pi * np.arange(count + 1) / (n * h)
        d = 1j * omega
        X = _trapezia(sample.y[s, 0], h)[: count + 1]
        columns = [d**j * X for j in derivatives]
        columns += [_drive(column, h, omega, equation.intersample) for column in sample.u[s].T]
        if equation.intercept:
            columns.append(np.where(np.arange(count + 1) == 0, n * h, 0.0).astype(complex))
        ends = np.zeros((count + 1, len(runs) * (m + 2)), complex)
        for power in range(m + 2):
            ends[:, i * (m + 2) + power] = d**power
        blocks.append((d, np.column_stack([*columns, ends]), d**m * X, np.sqrt(n)))
    if sum(2 * len(d) - 1 for d, *_ in blocks) <= k + len(runs) * (m + 2):
        raise DataError('the runs are too short for their Fourier transforms; use method="integral"')
    theta = starts(equation, sample)[0]
    for _ in range(MAX_ITERATIONS):
        J, target = _stacked(blocks, theta, derivatives, m)
        solution = regress(J, target)
        moved = J[:, :k] @ (solution[:k] - theta)
        residual = target - J @ solution
        theta = solution[:k]
        noise = float(residual @ residual) / (len(residual) - len(solution))
        if moved @ moved <= 1e-10 * max(noise, (1e-13 * float(np.linalg.norm(target))) ** 2):
            break
    else:
        raise ConvergenceError(
            f'the weights have not converged after {MAX_ITERATIONS} iterations; use method="weak" or method="kalman"', float("inf")
        )
    basis = np.linalg.qr(J[:, k:] / lengths(J[:, k:]))[0]
    columns_left = J[:, :k] - basis @ (basis.T @ J[:, :k])
    places = Rows(target, columns_left, np.arange(len(target)) % len(sample), np.zeros(len(target), np.int64))
    fitted = fitted_regression(problem, places, theta, columns_left, residual, sigma2=noise / h**2)
    assert fitted.bread is not None
    return replace(
        fitted,
        cov=fitted.bread * noise,
        cov_type="eiv",
        llf=np.nan,
        resid=noise_by_node(relation, sample, theta),
        extra={"n_frequencies": len(target)},
    )


def _stacked(
    blocks: list[tuple[npt.NDArray[np.complex128], npt.NDArray[np.complex128], npt.NDArray[np.complex128], float]],
    theta: FloatArray,
    derivatives: list[int],
    m: int,
) -> tuple[FloatArray, FloatArray]:
    """Real and imaginary parts, each row divided by the size of the noise in it (SD sigma h after that; frequency zero is real)."""
    designs, targets = [], []
    for d, design, target, root in blocks:
        size = np.abs(d**m - sum(theta[i] * d**j for i, j in enumerate(derivatives))) * root
        size[0] = max(size[0], 1e-3 * size[1])
        weight = np.where(np.arange(len(d)) == 0, 1.0, np.sqrt(2.0)) / size
        weighted, aim = design * weight[:, None], target * weight
        designs += [weighted.real, weighted.imag[1:]]
        targets += [aim.real, aim.imag[1:]]
    return np.vstack(designs), np.concatenate(targets)


def _trapezia(y: FloatArray, h: float) -> npt.NDArray[np.complex128]:
    """Integral of y exp(-i omega_k t) over the run by trapezia: the ends have half weights and meet in phase."""
    joined = y[:-1].copy()
    joined[0] = (y[0] + y[-1]) / 2
    return np.asarray(np.fft.fft(joined) * h)


def _drive(u: FloatArray, h: float, omega: FloatArray, intersample: str) -> npt.NDArray[np.complex128]:
    """Integral of a held or linear input times exp(-i omega t), exactly."""
    n = len(u) - 1
    z = omega * h
    small = z == 0
    safe = np.where(small, 1.0, z)
    held = np.fft.fft(u[:-1])[: len(omega)] * np.where(small, h, h * (1 - np.exp(-1j * safe)) / (1j * safe))
    if intersample == "zoh":
        return np.asarray(held)
    change = np.fft.fft(np.diff(u))[: len(omega)]
    ramp = np.where(small, h / 2, h * (np.exp(-1j * safe) * (1 + 1j * safe) - 1) / safe**2)
    assert n > 0
    return np.asarray(held + change * ramp)


METHOD = Method(
    "fourier",
    estimate,
    "independent measurement noise only; no process noise",
    instead="output_error",
)
