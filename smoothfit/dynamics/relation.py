"""The exact difference equation that samples of a scalar differential equation obey at regular times.

With phi the coefficients of the characteristic polynomial of T = exp(A h) and N_j = T^j - phi_1 T^(j-1) - ... - phi_j I,
samples without
measurement noise satisfy

    y_{k+m} = sum_i phi_i y_{k+m-i} + sum_i b_i sum_l beta_l u_{i,k+m-l} + gamma sum_l beta_l + sum_j e_1' N_j w_{k+m-1-j}

(Cayley & Hamilton): an ARMAX equation whose coefficients psi are known functions of the continuous-time parameters theta.
beta follows
from hold and ramp of ``discretize``. Independent measurement noise adds A(L) e, a moving average of order m.
"""

from __future__ import annotations

from functools import cached_property
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import ConvergenceError, IdentificationError
from ..inference.damped import DEPENDENT, Quadratic, descend, lengths
from ..markov.discretize import COMPLEX_STEP, Discrete, discretize
from .drives import gains
from .fast import Chart, FastPoleError, check_vanishing, n_fast
from .sample import Sample
from .specification import Equation
from .start import triangular

ROUNDING = 1e-13  # of the observations: residuals, and changes of them, below which there is nothing to gain
EXACT = 1e-11  # of the target: what rounding, through filters, leaves of residuals where the equation holds exactly
MAX_ITERATIONS = 100
LOOSE = 1e-8  # decrement where rounding hides any further descent
SLOW = 20  # steps of Gauss and Newton, after which Newton's take over
DIFFERENCE = 1e-3  # of the steps that a typical residual asks for: the step of differences of gradients
FURTHEST = 1e5  # modulus of a pole, times the step, that a search may look at
FASTEST = 30.0  # decay over one step, in logarithms, beyond which successive samples are uncorrelated


class Rows(NamedTuple):
    """The difference equation at every sample that has its predecessors.

    Attributes
    ----------
    target : ndarray, shape (r,)
        y_{k+m}.
    design : ndarray, shape (r, psi)
    node : ndarray of int, shape (r,)
        The node k+m of each row.
    run : ndarray of int, shape (r,)
    """

    target: FloatArray
    design: FloatArray
    node: npt.NDArray[np.int64]
    run: npt.NDArray[np.int64]


class Relation:
    """psi(theta) of a scalar equation at the spacing h."""

    def __init__(self, equation: Equation, step: float):
        self.equation = equation
        self.step = step
        self.order = equation.order

    @property
    def lags(self) -> list[int]:
        """Lags l of the inputs that have a coefficient."""
        return list(range(0 if self.equation.takes_changes else 1, self.order + 1))

    @cached_property
    def n_psi(self) -> int:
        """Number of discrete coefficients."""
        return self.order + len(self.equation.inputs) * len(self.lags) + self.equation.intercept

    def discrete(self, theta: npt.NDArray[Any], *, noise: bool = True) -> Discrete:
        """The matrices of a step."""
        system, _ = self.equation.matrices(theta)
        return discretize(system, self.equation.entry, np.array([self.step]), noise=noise, ramp=self.equation.is_ramped)

    def polynomial(self, T: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], list[npt.NDArray[Any]]]:
        """Phi (m,) and the first rows of N_0 .. N_{m-1} (Faddeev & Leverrier)."""
        m = self.order
        N = np.eye(m, dtype=T.dtype)
        phi, rows = [], []
        for j in range(1, m + 1):
            rows.append(N[0])
            moved = T @ N
            phi.append(np.trace(moved) / j)
            N = moved - phi[-1] * np.eye(m)
        return np.array(phi), rows

    def psi(self, theta: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Discrete coefficients: phi_1 .. phi_m, those of each input by lag, the constant."""
        equation, d = self.equation, self.discrete(theta, noise=False)
        phi, rows = self.polynomial(d.T[0])
        added = np.array(rows) @ gains(equation, theta, equation.matrices(theta)[0], d, np.array([self.step]))[0]
        k = len(equation.inputs)
        lagged = added[:, :k]
        if equation.takes_changes:
            changed, nothing = added[:, equation.n_drives :], np.zeros((1, k))
            lagged = np.vstack([changed, nothing]) + np.vstack([nothing, lagged - changed])
        return np.concatenate([phi, lagged.T.ravel(), [added[:, k].sum()] if equation.intercept else []])

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """D psi / d theta, shape (psi, theta), exact to rounding: complex steps along A, in which alone psi is not linear."""
        n_curves = len(self.equation.derivatives)
        slopes = np.zeros((self.n_psi, len(theta)))
        for i in range(n_curves):
            moved = theta.astype(complex)
            moved[i] += 1j * COMPLEX_STEP
            slopes[:, i] = self.psi(moved).imag / COMPLEX_STEP
        for i in range(n_curves, len(theta)):
            unit = np.where(np.arange(len(theta)) < n_curves, theta, 0.0)
            unit[i] = 1.0
            slopes[self.order :, i] = self.psi(unit)[self.order :]
        return slopes

    def rows(self, sample: Sample) -> Rows:
        """Rows of the difference equation; those that miss an observation are left out."""
        m, equation = self.order, self.equation
        targets, designs, nodes, runs = [], [], [], []
        for s in sample.slices():
            n = s.stop - s.start
            if n <= m:
                continue
            y, u = sample.y[s, 0], sample.u[s]
            columns = [y[m - lag : n - lag] for lag in range(1, m + 1)]
            columns += [u[m - lag : n - lag, i] for i in range(u.shape[1]) for lag in self.lags]
            if equation.intercept:
                columns.append(np.ones(n - m))
            designs.append(np.column_stack(columns))
            targets.append(y[m:])
            nodes.append(np.arange(s.start + m, s.stop))
            runs.append(np.full(n - m, sample.run[s.start]))
        if not targets:
            raise IdentificationError(f"no run is longer than the order {m}; nothing is left to regress")
        target, design = np.concatenate(targets), np.concatenate(designs)
        node, run = np.concatenate(nodes), np.concatenate(runs)
        kept = np.isfinite(target) & np.isfinite(design).all(axis=1)
        if not kept.all():
            target, design, node, run = target[kept], design[kept], node[kept], run[kept]
        return Rows(target, design, node, run)

    def residual(self, theta: FloatArray, rows: Rows) -> FloatArray:
        """Target minus what the difference equation predicts, shape (r,)."""
        return np.asarray(rows.target - rows.design @ self.psi(theta))

    def from_psi(self, psi: FloatArray) -> FloatArray | None:
        """The theta of unrestricted coefficients: poles from phi, inputs and constant by static gain; None if complex.

        Coefficients of derivatives of inputs, of which there is no static gain, by least squares, together with the others.
        """
        m, equation = self.order, self.equation
        poles = np.roots(np.concatenate([[1.0], -psi[:m]])).astype(complex)
        if (np.abs(poles) == 0).any() or ((np.abs(poles.imag) < 1e-12) & (poles.real <= 0)).any():
            return None
        characteristic = np.poly(np.log(poles) / self.step)
        if np.abs(characteristic.imag).max() > 1e-6 * np.abs(characteristic).max():
            return None
        coefficients = -characteristic.real[1:][::-1]  # of y, y', ...
        theta = np.zeros(equation.n_params)
        derivatives = sorted(equation.derivatives)
        theta[: len(derivatives)] = coefficients[derivatives]
        linear = self.jacobian(theta)[m:, len(derivatives) :]
        if equation.input_rates:
            theta[len(derivatives) :] = np.linalg.lstsq(linear, psi[m:], rcond=None)[0]
        else:
            theta[len(derivatives) :] = (psi[m:] @ (linear != 0)) / linear.sum(axis=0)
        return theta if np.isfinite(theta).all() else None


class Solution(NamedTuple):
    """A converged least-squares solution: theta, the sum of squares, and how far from the minimum (relative to the noise)."""

    theta: FloatArray
    rss: float
    decrement: float


def least_squares(
    relation: Relation, R: FloatArray, q: FloatArray, n: int, starts: list[FloatArray], rest: float = 0.0
) -> Solution:
    """Minimise |R psi(theta) - q|^2 + rest by Gauss-Newton steps with Levenberg's damping; n rows stand behind it.

    Raises
    ------
    IdentificationError
        The minimum is at infinitely fast decay: no differential equation has such samples.
    ConvergenceError
        The search converges from no start.
    """
    best: Solution | None = None
    failure: Exception | None = None
    for start in starts:
        try:
            found = _follow(relation, R, q, n, start, rest)
        except (ConvergenceError, IdentificationError) as error:
            if failure is None or isinstance(error, FastPoleError):
                failure = error
            continue
        if best is None or found.rss < best.rss:
            best = found
    if best is None:
        assert failure is not None
        if isinstance(failure, FastPoleError):  # where one noise is neglected, it can make the rest look like a fast pole
            raise FastPoleError(f'{failure}, or method="kalman", which allows for both noises', failure.order)
        raise failure
    return best


class _Point(NamedTuple):
    """Coefficients, residuals R psi - q, and their derivatives by the coordinates of a chart."""

    theta: FloatArray
    r: FloatArray
    chart: Chart
    J: FloatArray


def _follow(relation: Relation, R: FloatArray, q: FloatArray, n: int, theta: FloatArray, rest: float) -> Solution:
    size = float(np.linalg.norm(q))
    steps = count()

    def at(theta: FloatArray, r: FloatArray) -> _Point:
        chart = Chart.at(relation.equation, theta, 0, relation.step)
        return _Point(theta, r, chart, R @ relation.jacobian(theta) @ chart.jacobian(theta))

    def model(point: _Point) -> Quadratic:
        theta, r, chart, J = point
        check_vanishing(relation.equation, chart, theta, relation.step, float(r @ J[:, chart.lead or 0]))
        noise = max((float(r @ r) + rest) / max(1, n - len(theta)), (ROUNDING * size) ** 2 / max(1, n), np.finfo(float).tiny)
        gauss = Quadratic.of_residuals(J, r, noise, ROUNDING * size)
        if next(steps) < SLOW or not gauss.slope.any():
            return gauss
        newton = _newton(relation, R, q, point)
        return newton._replace(noise=noise) if newton.is_convex else gauss

    def lower(point: _Point, step: FloatArray, model: Quadratic) -> _Point | None:
        trial = point.chart.moved(point.theta, np.zeros(0), point.chart.within(point.theta, step, model.hessian))[0]
        if not in_range(relation, trial, 50.0, FURTHEST):
            return None
        with np.errstate(all="ignore"):
            moved = np.asarray(R @ relation.psi(trial) - q)
            return at(trial, moved) if moved @ moved <= point.r @ point.r else None

    start = at(theta, np.asarray(R @ relation.psi(theta) - q))
    (theta, r, _, J), found, _ = descend(start, model, lower, 1e-14, MAX_ITERATIONS, slow=(2 * SLOW, LOOSE))
    if n_fast(relation.equation, theta, relation.step, FASTEST) == relation.order:
        raise no_memory(relation)
    if found.decrement > LOOSE:
        raise ConvergenceError(
            f'least squares has not converged (decrement {found.decrement:.3g}); use method="kalman" or a lower order',
            float(r @ r),
        )
    _, s, axes = np.linalg.svd(J / lengths(J), full_matrices=False)
    if s[-1] <= DEPENDENT * s[0]:
        weak = relation.equation.names[int(np.argmax(np.abs(axes[-1])))]
        raise IdentificationError(f"the observations do not separate the coefficient of {weak!r} from the others")
    return Solution(theta, float(r @ r) + rest, found.decrement)


def _newton(relation: Relation, R: FloatArray, q: FloatArray, point: _Point) -> Quadratic:
    """The model by differences of gradients, which large residuals need."""
    theta, r, chart, J = point

    def gradient(at: FloatArray) -> FloatArray:
        return np.asarray((R @ relation.jacobian(at) @ chart.jacobian(at)).T @ (R @ relation.psi(at) - q))

    rough = float(np.linalg.norm(r)) / np.sqrt(len(q))
    scale = lengths(J)
    columns = []
    for i in range(len(theta)):
        unit = np.zeros(len(theta))
        unit[i] = chart.difference(theta, i, DIFFERENCE * rough / scale[i])
        up, down = (chart.moved(theta, np.zeros(0), sign * unit)[0] for sign in (1.0, -1.0))
        columns.append((gradient(up) - gradient(down)) / (2 * unit[i]))
    hessian = np.column_stack(columns)
    return Quadratic.of_hessian(J.T @ r, (hessian + hessian.T) / 2, np.ones(len(theta), np.bool_))


def in_range(relation: Relation, theta: FloatArray, growth: float, fastest: float = FASTEST) -> bool:
    """Whether coefficients are finite and poles near enough: `growth` over a step, and `fastest` the modulus of complex ones."""
    if not np.isfinite(theta).all():
        return False
    with np.errstate(all="ignore"):
        steps = np.linalg.eigvals(relation.equation.matrices(theta)[0]) * relation.step
    return bool((steps.real < growth).all() and (np.abs(steps) < np.where(steps.imag == 0, FURTHEST, fastest)).all())


def no_memory(relation: Relation) -> IdentificationError:
    """The message if phi <= 0: no real equation decays like that."""
    return IdentificationError(
        f"the observations one step ({relation.step:g}) apart are unrelated or negatively related once the inputs are taken out "
        f"(phi <= 0): no "
        f"equation of order {relation.order} with real coefficients has such samples. Measurement noise does that: use "
        f'method="kalman"; '
        "else sample faster"
    )


def triangle(design: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """R and q with |design psi - target|^2 = |R psi - q|^2 + rest, by Householder reflections in blocks of rows."""
    R = triangular(np.column_stack([design, target]))
    width = R.shape[1]
    if len(R) < width:
        R = np.vstack([R, np.zeros((width - len(R), width))])
    return R[: width - 1, : width - 1], R[: width - 1, -1], float(R[width - 1, -1] ** 2)
