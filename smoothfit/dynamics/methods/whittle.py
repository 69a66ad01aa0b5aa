"""Whittle's likelihood of the exact difference equation in the frequency domain.

At the frequencies omega_k = 2 pi k / N of the discrete Fourier transform, z_k = exp(i omega_k),

    A(z_k) Y_k = B(z_k) U_k + c N delta_k0 + sum_j z_k^-j tau_j + R_k,      E|R_k|^2 / N = S_k = q |n(z_k)|^2 + sigma^2 |A(z_k)|^2,

where tau (m constants for each run) is what the ends of the run contribute and n the rows of the difference equation's
process noise.
Minimises sum [log S_k + |R_k|^2 / (N S_k)], tau at its optimum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..._validation import FloatArray
from ...errors import ConvergenceError, SmoothfitError
from ...markov.discretize import COMPLEX_STEP
from ..fast import Chart, FastPoleError, check_vanishing, fast_starts
from ..regressing import by_node, relation_of, require_memory_loss
from ..relation import EXACT, Relation, Rows
from ..start import starts
from . import arx
from .base import Fitted, Method, Problem, RowScores, check_enough

INSTEAD = 'use method="kalman", a lower order, or a longer sample'

Complex = npt.NDArray[np.complex128]


class Spectra(NamedTuple):
    """Transforms of one run: z powers (N, m + 1) by lag, of y (N,), of the inputs (N, k), of a constant (N,)."""

    powers: Complex
    y: Complex
    u: Complex
    one: Complex


def estimate(problem: Problem) -> Fitted:
    """Estimate coefficients, q and sigma by Whittle's likelihood."""
    require_memory_loss(problem, "whittle")
    relation, rows = relation_of(problem)
    check_enough(problem, problem.equation.n_params + 2)
    exact = _exact(problem, rows)
    if exact is not None:
        return exact
    runs = [_transform(problem, relation, s) for s in problem.sample.slices() if s.stop - s.start > 2 * relation.order + 1]
    n = problem.equation.n_params
    step = problem.sample.step
    assert step is not None
    size = float(np.nanvar(problem.sample.y))
    candidates = []
    for theta in starts(problem.equation, problem.sample) + fast_starts(problem.equation, problem.sample, step):
        for ratio in 10.0 ** np.arange(-4, 5, 2):
            sigma2 = size / (1 + ratio) * 1e-2
            x = np.concatenate([theta, np.log([ratio * sigma2 / step ** (2 * relation.order - 1), sigma2])])
            candidates.append((_objective(relation, runs, x)[0], x))
    candidates.sort(key=lambda candidate: candidate[0])
    failure: ConvergenceError | FastPoleError = ConvergenceError(f"Whittle's likelihood is not finite at any start; {INSTEAD}")
    for value, x in candidates[:3]:
        if not np.isfinite(value):
            continue
        try:
            x, information, decrement, scores, run = _maximise(relation, runs, x)
        except (ConvergenceError, FastPoleError) as error:
            failure = failure if isinstance(failure, FastPoleError) else error
            continue
        return _fitted(problem, relation, rows, x, information, decrement, scores, run, n)
    raise failure


def _exact(problem: Problem, rows: Rows) -> Fitted | None:
    """Least squares, where they leave nothing but rounding: the likelihood has no maximum then."""
    try:
        found = arx.estimate(problem)
    except SmoothfitError:
        return None
    residual = found.resid[rows.node, 0]
    if float(residual @ residual) > (EXACT * float(np.linalg.norm(rows.target))) ** 2:
        return None
    return replace(
        found,
        cov_type="oim",
        noise={"q": 0.0, "sigma": 0.0},
        q=np.zeros(1),
        boundary=("q", "sigma"),
        notes=("the observations obey the equation to rounding: there is no noise to estimate",),
    )


def _transform(problem: Problem, relation: Relation, s: slice) -> Spectra:
    n = s.stop - s.start
    powers = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(relation.order + 1)) / n)
    one = np.zeros(n, complex)
    one[0] = n
    return Spectra(powers, np.fft.fft(problem.sample.y[s, 0]), np.fft.fft(problem.sample.u[s], axis=0), one)


class Parts(NamedTuple):
    """What the model of a run is made of: phi (m,), psi, first rows of N_0 .. N_{m-1} (m, m), noise of a step (m, m)."""

    phi: npt.NDArray[Any]
    psi: npt.NDArray[Any]
    first: npt.NDArray[Any]
    Q: npt.NDArray[Any]


def _parts(relation: Relation, theta: npt.NDArray[Any]) -> Parts:
    d = relation.discrete(theta)
    phi, first = relation.polynomial(d.T[0])
    return Parts(phi, relation.psi(theta), np.array(first), d.Q[0, 0])


def _model(
    relation: Relation, run: Spectra, theta: FloatArray, log_variances: FloatArray
) -> tuple[Complex, FloatArray, FloatArray]:
    """Residual before tau (N,), and the two parts of the spectrum, q |n|^2 and sigma^2 |A|^2."""
    parts = _parts(relation, theta)
    A = run.powers[:, 0] - run.powers[:, 1:] @ parts.phi
    residual = run.powers[:, 0] * run.y - _regressed(relation, run, parts.psi)
    transfer = run.powers[:, : relation.order] @ parts.first
    process = np.einsum("ki,ij,kj->k", transfer, parts.Q, transfer.conj()).real
    return residual, np.exp(log_variances[0]) * process, np.exp(log_variances[1]) * np.abs(A) ** 2


def _regressed(relation: Relation, run: Spectra, psi: FloatArray) -> Complex:
    """The right side of the difference equation with coefficients psi, (N,)."""
    m, width = relation.order, len(relation.lags)
    right = (run.powers[:, 1:] @ psi[:m]) * run.y
    for i in range(run.u.shape[1]):
        part = psi[m + i * width : m + (i + 1) * width]
        right = right + (run.powers[:, relation.lags] @ part) * run.u[:, i]
    return np.asarray(right + psi[-1] * run.one if relation.equation.intercept else right)


def _slopes(relation: Relation, run: Spectra, theta: FloatArray, log_variances: FloatArray) -> tuple[Complex, FloatArray]:
    """Derivatives of the residual and of the spectrum by theta, (N, k) each: complex steps of phi, N_j and Q, exact to rounding."""
    m = relation.order
    parts = _parts(relation, theta)
    A = run.powers[:, 0] - run.powers[:, 1:] @ parts.phi
    transfer = run.powers[:, :m] @ parts.first
    q, sigma2 = np.exp(log_variances)
    of_spectrum = np.zeros((len(A), len(theta)))
    for i, j in enumerate(sorted(relation.equation.derivatives)):
        width = COMPLEX_STEP * relation.step ** (j - m)  # in the unit of the coefficient
        moved = theta.astype(complex)
        moved[i] += 1j * width
        phi, _, first, Q = (part.imag / width for part in _parts(relation, moved))
        changed = run.powers[:, :m] @ first
        process = 2 * np.einsum("ki,ij,kj->k", changed, parts.Q, transfer.conj()).real
        process += np.einsum("ki,ij,kj->k", transfer, Q, transfer.conj()).real
        of_spectrum[:, i] = q * process - 2 * sigma2 * (A.conj() * (run.powers[:, 1:] @ phi)).real
    of_residual = np.column_stack([-_regressed(relation, run, column) for column in relation.jacobian(theta).T])
    return of_residual, of_spectrum


def _objective(relation: Relation, runs: list[Spectra], x: FloatArray) -> tuple[float, None]:
    total = 0.0
    for run in runs:
        with np.errstate(all="ignore"):
            residual, process, noise = _model(relation, run, x[:-2], x[-2:])
            spectrum = process + noise
            if not (np.isfinite(spectrum).all() and (spectrum > 0).all()):
                return np.inf, None
            left = _without_ends(relation, run, residual, spectrum)
            total += float(np.log(spectrum).sum() + (np.abs(left) ** 2 / spectrum).sum() / len(spectrum))
    return (total if np.isfinite(total) else np.inf), None


def _without_ends(relation: Relation, run: Spectra, values: npt.NDArray[Any], spectrum: FloatArray) -> npt.NDArray[Any]:
    """Residuals after the best tau, weights 1 / S; tau is real, so that real and imaginary parts are stacked."""
    columns = run.powers[:, : relation.order] / np.sqrt(spectrum)[:, None]
    weighted = values / np.sqrt(spectrum)
    stacked = np.vstack([columns.real, columns.imag])
    tau = np.linalg.lstsq(stacked, np.concatenate([weighted.real, weighted.imag]), rcond=None)[0]
    return np.asarray(values - run.powers[:, : relation.order] @ tau)


def _derivatives(
    relation: Relation, runs: list[Spectra], x: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Gradient, expected Hessian and scores by frequency of D."""
    scores, hessian, labels = [], np.zeros((len(x), len(x))), []
    for i, run in enumerate(runs):
        residual, process, noise = _model(relation, run, x[:-2], x[-2:])
        spectrum = process + noise
        left = _without_ends(relation, run, residual, spectrum)
        n = len(spectrum)
        by_residual = np.zeros((n, len(x)), complex)
        by_log = np.zeros((n, len(x)))
        by_log[:, -2] = process / spectrum
        by_log[:, -1] = noise / spectrum
        of_residual, of_spectrum = _slopes(relation, run, x[:-2], x[-2:])
        for j in range(len(x) - 2):
            by_residual[:, j] = _without_ends(relation, run, of_residual[:, j], spectrum)
        by_log[:, :-2] = of_spectrum / spectrum[:, None]
        scaled = np.abs(left) ** 2 / (n * spectrum)
        by_square = 2 * (left.conj()[:, None] * by_residual).real / (n * spectrum)[:, None]
        scores.append(by_log * (1 - scaled)[:, None] + by_square)
        hessian += by_log.T @ by_log + 2 * (by_residual.conj().T @ (by_residual / (n * spectrum)[:, None])).real
        labels.append(np.full(n, i))
    stacked = np.vstack(scores)
    return stacked.sum(axis=0), hessian, stacked, np.concatenate(labels)


def _maximise(
    relation: Relation, runs: list[Spectra], x: FloatArray
) -> tuple[FloatArray, FloatArray, float, FloatArray, npt.NDArray[np.int64]]:
    """Scoring with damping. A variance that vanishes runs to where the likelihood is flat in its logarithm."""
    value, damping = _objective(relation, runs, x)[0], 1e-4
    for _ in range(300):
        gradient, hessian, scores, run = _derivatives(relation, runs, x)
        chart = Chart.at(relation.equation, x[:-2], 2, relation.step)
        turn = chart.jacobian(x[:-2])
        plain, gradient, hessian = hessian, turn.T @ gradient, turn.T @ hessian @ turn
        check_vanishing(relation.equation, chart, x[:-2], relation.step, float(gradient[chart.lead or 0]))
        scale = np.sqrt(np.maximum(hessian.diagonal(), 1e-300))
        flat = (hessian.diagonal() < 1e-7) & (np.arange(len(x)) >= len(x) - 2)
        free = ~flat
        unit = hessian[np.ix_(free, free)] / np.outer(scale[free], scale[free])
        along = gradient[free] / scale[free]
        decrement = float(along @ np.linalg.lstsq(unit, along, rcond=None)[0])
        if decrement <= 1e-8:
            return x, plain, decrement, scores, run
        for _ in range(30):
            step = np.zeros(len(x))
            step[free] = -np.linalg.solve(unit + damping * np.eye(int(free.sum())), along) / scale[free]
            longest = np.abs(step[-2:]).max()
            step *= min(1.0, 3.0 / max(longest, 1e-300))
            theta, factors = chart.moved(x[:-2], np.ones(2), chart.within(x[:-2], step, np.outer(free, free) * hessian))
            there = np.concatenate([theta, x[-2:] + np.log(factors)])
            trial = _objective(relation, runs, there)[0]
            if trial < value:
                x, value, damping = there, trial, max(damping / 8, 1e-10)
                break
            damping = max(8 * damping, 1e-4)
        else:
            if decrement <= 1e-5:
                return x, plain, decrement, scores, run
            raise ConvergenceError(f"Whittle's likelihood did not converge (decrement {decrement:.3g}); {INSTEAD}", value)
    raise ConvergenceError(f"Whittle's likelihood has not converged after 300 steps; {INSTEAD}", value)


def _fitted(
    problem: Problem,
    relation: Relation,
    rows: Any,
    x: FloatArray,
    hessian: FloatArray,
    decrement: float,
    scores: FloatArray,
    run: npt.NDArray[np.int64],
    n: int,
) -> Fitted:
    # D is the sum over all N frequencies, each pair counted twice: it is -2 log-likelihood but for a constant.
    flat = np.append(np.zeros(n, np.bool_), hessian.diagonal()[n:] < 1e-4)
    free = ~flat
    q, sigma = float(np.exp(x[n])), float(np.exp(x[n + 1] / 2))
    q, sigma = (0.0 if flat[n] else q), (0.0 if flat[n + 1] else sigma)
    public = np.concatenate([np.ones(n), [q, sigma / 2]])
    inner = np.ix_(free, free)
    cov = np.full((n + 2, n + 2), np.nan)
    bread = 2 * np.linalg.inv(hessian[inner]) * np.outer(public[free], public[free])
    cov[inner] = bread
    boundary = tuple(name for name, value in (("q", q), ("sigma", sigma)) if value == 0)
    theta = x[:n]
    # Scores of a pair of conjugate frequencies are one observation: halves of D, each counted twice, sum in pairs.
    keep = np.concatenate([_first_of_pairs(int((run == i).sum())) for i in np.unique(run)])
    pairs = -0.5 * scores * keep[:, None]
    return Fitted(
        theta=theta,
        cov=cov,
        cov_type="oim",
        noise={"q": q, "sigma": sigma},
        q=np.array([q]),
        sigma2=np.array([sigma**2]),
        resid=by_node(problem, rows, relation.residual(theta, rows)),
        n_rows=len(problem.sample),
        bread=bread,
        by_row=RowScores(pairs[keep > 0][:, free] / public[free], run[keep > 0]),
        llf=-0.5 * (_value(relation, problem, x) + len(run) * np.log(2 * np.pi)),
        n_constants=relation.order * len(np.unique(run)),
        decrement=decrement,
        boundary=boundary,
    )


def _first_of_pairs(n: int) -> FloatArray:
    """Two for one of each pair of conjugate frequencies, one for those without a partner, zero for the rest."""
    weights = np.zeros(n)
    weights[0] = 1.0
    weights[1 : (n + 1) // 2] = 2.0
    if n % 2 == 0:
        weights[n // 2] = 1.0
    return weights


def _value(relation: Relation, problem: Problem, x: FloatArray) -> float:
    runs = [_transform(problem, relation, s) for s in problem.sample.slices() if s.stop - s.start > 2 * relation.order + 1]
    return _objective(relation, runs, x)[0]


METHOD = Method(
    "whittle",
    estimate,
    "process noise and independent measurement noise, both stationary and both estimated",
    input_rates=True,
)
