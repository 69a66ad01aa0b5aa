"""Whittle's likelihood of the exact difference equation in the frequency domain.

At the frequencies omega_k = 2 pi k / N of the discrete Fourier transform, z_k = exp(i omega_k),

    A(z_k) Y_k = B(z_k) U_k + c N delta_k0 + sum_j z_k^-j tau_j + R_k,      E|R_k|^2 / N = S_k = q |n(z_k)|^2 + sigma^2 |A(z_k)|^2,

where tau (m constants for each run) is what the ends of the run contribute and n the rows of the difference equation's
process noise.
Minimises sum [log S_k + |R_k|^2 / (N S_k)], tau at its optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..._validation import FloatArray
from ...errors import ConvergenceError, SmoothfitError
from ...inference.damped import Quadratic, descend
from ...markov.discretize import COMPLEX_STEP
from ..fast import Chart, FastPoleError, check_vanishing, fast_starts
from ..regressing import by_node, of_first_rows, relation_of, require_memory_loss
from ..relation import EXACT, Relation, Rows, triangle
from ..scoring import DAMPING, LONGEST_LOG_STEP
from ..start import starts
from . import arx, kalman
from .base import Fitted, Method, Problem, RowScores, check_enough

DECREMENT = 1e-8
LOOSE = 1e-5  # where no step is better
MAX_ITERATIONS = 300
FLAT = 1e-7  # curvature by the logarithm of a variance that has vanished
INSTEAD = 'use method="kalman", a lower order, or a longer sample'

Complex = npt.NDArray[np.complex128]


class Spectra(NamedTuple):
    """Transforms of one run of n rows at the frequencies from zero to one half, of which the others are conjugates.

    Attributes
    ----------
    powers : ndarray, shape (N, m + 1)
        Of 1 / z, by lag.
    target : ndarray, shape (N,)
        Of y.
    design : ndarray, shape (N, psi)
        Of the right side of the difference equation.
    weights : ndarray, shape (N,)
        Two for frequencies that have a conjugate, one for the others.
    n : int
    """

    powers: Complex
    target: Complex
    design: Complex
    weights: FloatArray
    n: int


def estimate(problem: Problem) -> Fitted:
    """Estimate coefficients, q and sigma by Whittle's likelihood."""
    require_memory_loss(problem, "whittle")
    relation, rows = relation_of(problem)
    check_enough(problem, problem.equation.n_params + 2)
    exact = _exact(problem, rows)
    if exact is not None:
        return exact
    runs = [_transform(problem, relation, s) for s in problem.sample.slices() if s.stop - s.start > 2 * relation.order + 1]
    near = _near(problem)
    if near is not None:
        try:
            return _fitted(problem, relation, rows, runs, *_maximise(relation, runs, near))
        except (ConvergenceError, FastPoleError):  # the starts below follow, whose failures are raised
            pass
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
            return _fitted(problem, relation, rows, runs, *_maximise(relation, runs, x))
        except (ConvergenceError, FastPoleError) as error:
            failure = failure if isinstance(failure, FastPoleError) else error
    raise failure


def _near(problem: Problem) -> FloatArray | None:
    """The maximum of the exact likelihood of the first rows of a long sample; None if there is none, or one without a noise."""
    found = of_first_rows(problem, kalman.estimate)
    if found is None:
        return None
    variances = np.append(found.q, found.sigma2)
    return np.append(found.theta, np.log(variances)) if (variances > 0).all() else None


def _exact(problem: Problem, rows: Rows) -> Fitted | None:
    """Least squares, where they leave nothing but rounding: the likelihood has no maximum then."""
    if triangle(rows.design, rows.target)[2] > (EXACT * float(np.linalg.norm(rows.target))) ** 2:
        return None  # whatever the coefficients are
    try:
        found = arx.estimate(problem)
    except SmoothfitError:  # the likelihood is then searched, and what has no maximum is an error
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
    n, equation = s.stop - s.start, problem.equation
    frequencies = np.arange(n // 2 + 1)
    powers = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(relation.order + 1)) / n)
    y, u = np.fft.rfft(problem.sample.y[s, 0]), np.fft.rfft(problem.sample.u[s], axis=0)
    columns = [powers[:, 1:] * y[:, None], *(powers[:, relation.lags] * column[:, None] for column in u.T)]
    if equation.intercept:
        columns.append(np.where(frequencies == 0, n + 0j, 0)[:, None])
    has_conjugate = (frequencies > 0) & (2 * frequencies < n)
    return Spectra(powers, y, np.hstack(columns), np.where(has_conjugate, 2.0, 1.0), n)


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


class Model(NamedTuple):
    """A run's model at its frequencies.

    A(z) (N,), n (N, m), the residual before tau (N,), and the two parts of the spectrum, q |n|^2 and sigma^2 |A|^2.
    """

    A: Complex
    transfer: Complex
    residual: Complex
    process: FloatArray
    noise: FloatArray

    @property
    def spectrum(self) -> FloatArray:
        """S (N,)."""
        return self.process + self.noise


def _model(relation: Relation, run: Spectra, theta: FloatArray, log_variances: FloatArray) -> Model:
    parts = _parts(relation, theta)
    A = run.powers[:, 0] - run.powers[:, 1:] @ parts.phi
    transfer = run.powers[:, : relation.order] @ parts.first
    process = _form(transfer, parts.Q, transfer)
    q, sigma2 = np.exp(log_variances)
    return Model(A, transfer, run.target - run.design @ parts.psi, q * process, sigma2 * (A.real**2 + A.imag**2))


def _form(left: Complex, Q: FloatArray, right: Complex) -> FloatArray:
    """Real parts of l Q r' at each frequency, (N,)."""
    turned = left @ Q
    return np.asarray((turned.real * right.real + turned.imag * right.imag).sum(axis=1))


def _slopes(
    relation: Relation, run: Spectra, theta: FloatArray, log_variances: FloatArray, model: Model
) -> tuple[Complex, FloatArray]:
    """Derivatives of the residual and of the spectrum by theta, (N, k) each: complex steps of phi, N_j and Q, exact to rounding."""
    m = relation.order
    parts, A, transfer = _parts(relation, theta), model.A, model.transfer
    q, sigma2 = np.exp(log_variances)
    of_spectrum = np.zeros((len(A), len(theta)))
    for i, j in enumerate(sorted(relation.equation.derivatives)):
        width = COMPLEX_STEP * relation.step ** (j - m)  # in the unit of the coefficient
        moved = theta.astype(complex)
        moved[i] += 1j * width
        phi, _, first, Q = (part.imag / width for part in _parts(relation, moved))
        changed = run.powers[:, :m] @ first
        process = 2 * _form(changed, parts.Q, transfer) + _form(transfer, Q, transfer)
        of_spectrum[:, i] = q * process - 2 * sigma2 * (A.conj() * (run.powers[:, 1:] @ phi)).real
    return -run.design @ relation.jacobian(theta), of_spectrum


class Ends(NamedTuple):
    """Roots of the weights 1 / S (N, 1), and times them an orthonormal basis (N, m) of what tau adds, and the rest of the residual.

    tau is real, so that real and imaginary parts count as rows.
    """

    root: FloatArray
    basis: Complex
    left: Complex

    def without(self, weighted: Complex) -> Complex:
        """Weighted columns (N, k) after the best tau of each."""
        return np.asarray(weighted - self.basis @ (self.basis.conj().T @ weighted).real)


def _ends(relation: Relation, run: Spectra, model: Model) -> Ends:
    root = np.sqrt(run.weights / model.spectrum)[:, None]
    columns = run.powers[:, : relation.order] * root
    basis = np.linalg.qr(np.vstack([columns.real, columns.imag]))[0]
    ends = Ends(root, basis[: len(root)] + 1j * basis[len(root) :], model.residual[:, None] * root)
    return ends._replace(left=ends.without(ends.left))


def _objective(relation: Relation, runs: list[Spectra], x: FloatArray) -> tuple[float, list[tuple[Model, Ends]]]:
    """D, infinite if it cannot be computed, and the models of the runs."""
    total, models = 0.0, []
    for run in runs:
        with np.errstate(all="ignore"):
            model = _model(relation, run, x[:-2], x[-2:])
            spectrum = model.spectrum
            if not (np.isfinite(spectrum).all() and (spectrum > 0).all()):
                return np.inf, []
            ends = _ends(relation, run, model)
            total += float(run.weights @ np.log(spectrum) + np.vdot(ends.left, ends.left).real / run.n)
            models.append((model, ends))
    return (total if np.isfinite(total) else np.inf), models


class Derivatives(NamedTuple):
    """Of D by x at one point: the gradient, the expected Hessian, and scores by frequency, run by run."""

    gradient: FloatArray
    hessian: FloatArray
    scores: list[Callable[[], FloatArray]]


def _derivatives(relation: Relation, runs: list[Spectra], x: FloatArray, models: list[tuple[Model, Ends]]) -> Derivatives:
    """The derivatives of D at x, whose models are known."""
    gradient, hessian = np.zeros(len(x)), np.zeros((len(x), len(x)))
    scores: list[Callable[[], FloatArray]] = []
    for run, (model, ends) in zip(runs, models, strict=True):
        of_residual, of_spectrum = _slopes(relation, run, x[:-2], x[-2:], model)
        weighted = of_residual * ends.root
        by_tau = (ends.basis.conj().T @ weighted).real
        by_log = np.column_stack([of_spectrum, model.process, model.noise]) / model.spectrum[:, None]
        excess = run.weights - (ends.left.real**2 + ends.left.imag**2)[:, 0] / run.n
        gradient += by_log.T @ excess
        gradient[:-2] += 2 / run.n * (ends.left[:, 0].conj() @ weighted).real
        hessian += by_log.T @ (run.weights[:, None] * by_log)
        hessian[:-2, :-2] += 2 / run.n * ((weighted.conj().T @ weighted).real - by_tau.T @ by_tau)
        scores.append(partial(_scores, run, ends, by_log, excess, weighted))
    return Derivatives(gradient, hessian, scores)


def _scores(run: Spectra, ends: Ends, by_log: FloatArray, excess: FloatArray, weighted: Complex) -> FloatArray:
    """Scores by frequency (N, k + 2)."""
    scores = by_log * excess[:, None]
    scores[:, :-2] += 2 / run.n * (ends.left.conj() * ends.without(weighted)).real
    return scores


class _Point(NamedTuple):
    """Coefficients and log variances x, D and its derivatives there, and the coordinates of a step."""

    x: FloatArray
    value: float
    derivatives: Derivatives
    chart: Chart


def _maximise(relation: Relation, runs: list[Spectra], x: FloatArray) -> tuple[_Point, float]:
    """Scoring, to a maximum and its decrement. A variance that vanishes runs to where the likelihood is flat in its logarithm."""
    n = len(x) - 2

    def at(x: FloatArray, below: float) -> _Point | None:
        value, models = _objective(relation, runs, x)
        if not value < below:
            return None
        return _Point(x, value, _derivatives(relation, runs, x, models), Chart.at(relation.equation, x[:n], 2, relation.step))

    def model(point: _Point) -> Quadratic:
        turn = point.chart.jacobian(point.x[:n])
        gradient, hessian = turn.T @ point.derivatives.gradient, turn.T @ point.derivatives.hessian @ turn
        check_vanishing(relation.equation, point.chart, point.x[:n], relation.step, float(gradient[point.chart.lead or 0]))
        return Quadratic.of_hessian(gradient, hessian, (hessian.diagonal() >= FLAT) | (np.arange(n + 2) < n))

    def lower(point: _Point, step: FloatArray, model: Quadratic) -> _Point | None:
        step = step * min(1.0, LONGEST_LOG_STEP / max(np.abs(step[n:]).max(), 1e-300))
        theta, factors = point.chart.moved(point.x[:n], np.ones(2), point.chart.within(point.x[:n], step, model.hessian))
        return at(np.concatenate([theta, point.x[n:] + np.log(factors)]), point.value)

    start = at(x, np.inf)
    if start is None:
        raise ConvergenceError(f"Whittle's likelihood is not finite at a start; {INSTEAD}")
    point, found, _ = descend(start, model, lower, DECREMENT, MAX_ITERATIONS, damping=DAMPING)
    if found.decrement > LOOSE:
        raise ConvergenceError(f"Whittle's likelihood did not converge (decrement {found.decrement:.3g}); {INSTEAD}", point.value)
    return point, found.decrement


def _fitted(problem: Problem, relation: Relation, rows: Rows, runs: list[Spectra], found: _Point, decrement: float) -> Fitted:
    x, value, (_, hessian, scores), _ = found
    n, by_run = len(x) - 2, [each() for each in scores]
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
    theta, run = x[:n], np.repeat(np.arange(len(by_run)), [len(each) for each in by_run])
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
        by_row=RowScores(-0.5 * np.vstack(by_run)[:, free] / public[free], run),  # a pair of conjugate frequencies is one row
        llf=-0.5 * (value + sum(each.n for each in runs) * np.log(2 * np.pi)),
        decrement=decrement,
        boundary=boundary,
    )


METHOD = Method(
    "whittle",
    estimate,
    "process noise and independent measurement noise, both stationary and both estimated",
    input_rates=True,
)
