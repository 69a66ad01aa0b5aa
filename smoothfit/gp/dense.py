"""The dense route: Cholesky factor of the covariance of all observations, for any kernel and number of inputs.

Notation of Rasmussen & Williams (2006), sections 2.2, 2.7, 5.4 and 9.4:

=====  =========================================================================================
``K``  covariance of the observations, amplitude^2 C + noise
``H``  design of the mean's terms (n, p)
``L``  Cholesky factor of K
``P``  K^-1 - K^-1 H (H'K^-1 H)^-1 H'K^-1
``a``  P y
=====  =========================================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, lapack, solve_triangular
from scipy.special import erf

from .._validation import USABLE, FloatArray, available_memory, check_memory
from .kernels import Kernel
from .parameters import Parameters, Values
from .pieces import Pieces, Singular
from .points import VALUE
from .rows import Rows, mean_of_box, mean_terms
from .terms import Axes, Geometry, axes_of, variance_at_zero

SINGULAR = 4.0  # n eps, times this: a conditional variance, relative to the prior's, that is rounding
CHUNK = 2**22  # numbers of one block of cross-covariances


def check_dense(n: int, n_matrices: int, what: str, remedy: str) -> None:
    """Raise before anything is allocated where dense matrices exceed the memory."""
    each = 8.0 * n_matrices
    most = int(np.sqrt(USABLE * available_memory() / each))
    check_memory(each * n**2, f"a covariance of {n} {what}, with {n_matrices} dense matrices,", f"at most {most} fit: {remedy}")


def prior_block(kernel: Kernel, rows: Rows, values: Values, X: FloatArray, B: Axes) -> FloatArray:
    """Prior covariance of the observations with one derivative B at scaled points X, shape (n, m) or (L, n, m)."""
    covariance = np.empty((*values.length.shape[:-1], len(rows), len(X)))
    for axis, mine in rows.blocks:
        covariance[..., mine, :] = Geometry(kernel, rows.X[mine], X, values.length).evaluate(axes_of(axis), B)
    covariance *= np.asarray(values.amplitude)[..., None, None] ** 2
    return covariance


def box_covariances(rows: Rows, values: Values, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Prior covariances (..., n) of the observations with the integral of f over a scaled box, and its variance (...,).

    Of the squared-exponential kernel: a product over the inputs. With l a length scale and g(x) the integral of
    exp(-(u - x)^2 / 2 l^2) over u from lower to upper, an observation of f at x has the covariance amplitude^2 prod_j g_j(x_j), a
    slope along x_j the derivative of that.
    """
    length, amplitude2 = values.length[..., None, :], np.asarray(values.amplitude) ** 2
    start, end = (lower - rows.X) / length, (upper - rows.X) / length
    factors = length * np.sqrt(np.pi / 2) * (erf(end / np.sqrt(2)) - erf(start / np.sqrt(2)))
    slope = rows.axis != VALUE
    along = rows.axis[slope]
    factors[..., slope, along] = (np.exp(-(start**2) / 2) - np.exp(-(end**2) / 2))[..., slope, along]
    s = (upper - lower) / values.length
    each = 2 * values.length**2 * (s * np.sqrt(np.pi / 2) * erf(s / np.sqrt(2)) + np.expm1(-(s**2) / 2))
    return amplitude2[..., None] * factors.prod(axis=-1), amplitude2 * each.prod(axis=-1)


def first_derivatives(
    rows: Rows, parameters: Parameters, values: Values, correlations: Correlations, *, but_amplitude: bool = False
) -> list[FloatArray]:
    """K_i of the logarithm of each hyperparameter, or of all but the amplitude: matrices (..., n, n), or diagonals (..., n)."""
    variance = np.asarray(values.amplitude)[..., None, None] ** 2
    first: list[FloatArray] = []
    if parameters.amplitude is None and not but_amplitude:
        first.append(2 * variance * correlations.matrix())
    first += [variance * correlations.matrix((j,)) for j in parameters.by]
    noise = rows.noise(values.sigma2)
    return first + [2 * np.where(rows.group == g, noise, 0.0) for g in range(parameters.n_groups)]


class Correlations:
    """C and its derivatives by logarithms of length scales, amplitude one; symmetric, in blocks of axes."""

    def __init__(self, kernel: Kernel, rows: Rows, length: FloatArray):
        self._rows = rows
        self._lanes = length.shape[:-1]
        self._geometry = {
            (i, j): Geometry(kernel, rows.X[mine], rows.X[theirs], length)
            for i, (_, mine) in enumerate(rows.blocks)
            for j, (_, theirs) in enumerate(rows.blocks[: i + 1])
        }

    def matrix(self, by: Axes = ()) -> FloatArray:
        """Derivative by the logarithms of length scales `by`, shape (n, n) or (L, n, n)."""
        rows = self._rows
        if len(rows.blocks) == 1:
            axes = axes_of(rows.blocks[0][0])
            return self._geometry[0, 0].evaluate(axes, axes, by)
        full = np.empty((*self._lanes, len(rows), len(rows)))
        for i, (axis, mine) in enumerate(rows.blocks):
            for j, (other, theirs) in enumerate(rows.blocks[: i + 1]):
                block = self._geometry[i, j].evaluate(axes_of(axis), axes_of(other), by)
                full[..., mine, theirs] = block
                if i != j:
                    full[..., theirs, mine] = np.swapaxes(block, -2, -1)
        return full


def factor(K: FloatArray, prior: FloatArray | None = None) -> FloatArray:
    """Return the lower Cholesky factor; K is overwritten.

    `prior` (n,) are the variances of the observations, if K is their covariance given others.

    Raises
    ------
    Singular
        A pivot, the variance of an observation given the ones before it, is rounding beside its prior variance.
    """
    prior = np.diag(K).copy() if prior is None else prior
    L, info = lapack.dpotrf(K.T, lower=0, clean=1, overwrite_a=1)  # K is symmetric: K.T is its own memory, by columns
    if info > 0:
        raise Singular(info - 1)
    pivots = np.diag(L) ** 2
    bad = ~(pivots > SINGULAR * len(K) * np.finfo(float).eps * prior)
    if bad.any():
        raise Singular(int(np.argmax(bad)))
    return np.asarray(L.T)


class Solved(NamedTuple):
    """What follows from the Cholesky factor L of K: P y, coefficients of the mean, and triangles of the latter's precision."""

    L: FloatArray
    weights: FloatArray  # K^-1 (y - H coef) = P y, (n,)
    coef: FloatArray  # (p,)
    KiH: FloatArray  # K^-1 H, (n, p)
    mean_triangle: FloatArray  # upper R with R'R = H'K^-1 H, (p, p)
    log_det: float
    quadratic: float


def solve(rows: Rows, L: FloatArray) -> Solved:
    """Generalised least squares for the mean's coefficients, by QR of the whitened terms."""
    whitened_y = solve_triangular(L, rows.y, lower=True)
    log_det = 2 * float(np.log(np.diag(L)).sum())
    if rows.n_terms:
        whitened_H = solve_triangular(L, rows.design, lower=True)
        Q, R = np.linalg.qr(whitened_H)
        inside = Q.T @ whitened_y
        coef = solve_triangular(R, inside)
        residual = whitened_y - Q @ inside
        residual -= Q @ (Q.T @ residual)
        log_det += 2 * float(np.log(np.abs(np.diag(R))).sum())
        KiH = solve_triangular(L, whitened_H, lower=True, trans="T")
    else:
        coef, R, residual = np.zeros(0), np.zeros((0, 0)), whitened_y
        KiH = np.zeros((len(rows), 0))
    weights = solve_triangular(L, residual, lower=True, trans="T")
    return Solved(L, weights, coef, KiH, R, log_det, float(residual @ residual))


class DenseLikelihood:
    """The restricted likelihood by dense algebra, O(n^3)."""

    has_hessian = True

    def __init__(self, rows: Rows, kernel: Kernel, parameters: Parameters):
        remedy = "take fewer, or in one input a Matérn kernel, whose state-space route is linear in n"
        n_matrices = 12 + 2 * (len(parameters.length) + parameters.n_free)  # that a fit holds at once
        check_dense(len(rows), n_matrices, "observations", remedy)
        self._rows = rows
        self._kernel = kernel
        self._parameters = parameters

    def log_det_and_quadratic(self, thetas: FloatArray) -> tuple[FloatArray, FloatArray]:
        found = np.full((2, len(thetas)), np.nan)
        for i, theta in enumerate(thetas):
            try:
                values = self._parameters.values(theta)
                solved = solve(self._rows, self.factor(values))
                found[:, i] = solved.log_det, solved.quadratic
            except Singular:
                pass
        return found[0], found[1]

    def factor(self, values: Values, correlations: Correlations | None = None) -> FloatArray:
        """Cholesky factor of K, of which the correlations may be known."""
        K = (correlations or Correlations(self._kernel, self._rows, values.length)).matrix()
        K *= values.amplitude**2
        K[np.diag_indices_from(K)] += self._rows.noise(values.sigma2)
        return factor(K)

    def pieces(self, theta: FloatArray, hessian: bool = False) -> Pieces:
        """All pieces at theta, by the formulas of ``smoothfit.gp.pieces``."""
        parameters = self._parameters
        values = parameters.values(theta)
        correlations = Correlations(self._kernel, self._rows, values.length)
        solved = solve(self._rows, self.factor(values, correlations))
        P, a, to_logs = _projector(solved), solved.weights, parameters.to_logs
        first = first_derivatives(self._rows, parameters, values, correlations)
        trace = np.array([_trace(P, D) for D in first]) @ to_logs
        applied = [D * a if D.ndim == 1 else D @ a for D in first]
        quadratic_gradient = -np.array([a @ v for v in applied]) @ to_logs
        if not hessian:
            return Pieces(solved.log_det, solved.quadratic, trace, quadratic_gradient)

        n_free = parameters.n_free
        traces, quadratics = np.zeros((n_free, n_free)), np.zeros((n_free, n_free))
        products = [P * D if D.ndim == 1 else P @ D for D in first]
        projected = [P @ v for v in applied]
        for i in range(n_free):
            for j in range(i + 1):
                second = self._second(i, j, first, correlations, values.amplitude**2)
                tr = -float(np.vdot(products[i], products[j].T))
                quadratic = 2 * float(applied[i] @ projected[j])
                if second is not None:
                    tr += _trace(P, second)
                    quadratic -= float(a @ (second * a if second.ndim == 1 else second @ a))
                traces[i, j] = traces[j, i] = tr
                quadratics[i, j] = quadratics[j, i] = quadratic
        hessians = (to_logs.T @ piece @ to_logs for piece in (traces, quadratics))
        return Pieces(solved.log_det, solved.quadratic, trace, quadratic_gradient, *hessians)

    def _second(self, i: int, j: int, first: list[FloatArray], correlations: Correlations, variance: float) -> FloatArray | None:
        """Second derivative of K by logarithms j <= i; None if it is zero."""
        parameters = self._parameters
        if i >= parameters.lengths.stop:
            return 2 * first[i] if i == j else None
        if j == 0 and parameters.amplitude is None:
            return 2 * first[i]
        start = parameters.lengths.start
        return variance * correlations.matrix((parameters.by[i - start], parameters.by[j - start]))


def _projector(solved: Solved) -> FloatArray:
    P, info = lapack.dpotri(np.array(solved.L.T, order="F"), lower=0, overwrite_c=1)
    assert info == 0
    P = np.triu(P)
    P += np.triu(P, 1).T
    if solved.KiH.shape[1]:
        half = solve_triangular(solved.mean_triangle, solved.KiH.T, trans="T")
        P -= half.T @ half
    return np.asarray(P)


def _trace(P: FloatArray, D: FloatArray) -> float:
    return float(np.diag(P) @ D if D.ndim == 1 else np.vdot(P, D))


class DensePosterior:
    """Posterior of f and of its derivatives at given hyperparameters, L being the Cholesky factor of K.

    What is asked for is a list of derivatives at each point: ``entries`` of axes, () for f, (j,), (i, j).
    """

    def __init__(self, rows: Rows, kernel: Kernel, values: Values, L: FloatArray):
        self.rows = rows
        self.L = L
        self._kernel = kernel
        self._values = values
        self._solved = solve(rows, L)

    @property
    def coef(self) -> FloatArray:
        """Coefficients of the mean's terms, in scaled units."""
        return self._solved.coef

    @property
    def coef_cov(self) -> FloatArray:
        R = self._solved.mean_triangle
        return np.asarray(cho_solve((R, False), np.eye(len(R))))

    @property
    def log_det_and_quadratic(self) -> tuple[float, float]:
        return self._solved.log_det, self._solved.quadratic

    def fitted(self) -> FloatArray:
        return self.rows.y - self.rows.noise(self._values.sigma2) * self._solved.weights

    def moments(self, X: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray]:
        m, e = len(X), len(entries)
        mean, cov = np.empty((m, e)), np.empty((m, e, e))
        prior = np.array([[variance_at_zero(self._kernel, self._values.length, A, B) for B in entries] for A in entries])
        prior = prior.reshape(e, e) * self._values.amplitude**2
        step = max(1, CHUNK // (e * len(self.rows)))
        for start in range(0, m, step):
            part = slice(start, min(start + step, m))
            k, whitened, free = self._cross(X[part], entries)
            mean[part] = self._mean(k, X[part], entries)
            cov[part] = prior - np.einsum("anm,bnm->mab", whitened, whitened, optimize=False)
            if self.rows.n_terms:
                cov[part] += np.einsum("apm,bpm->mab", free, free, optimize=False)
        return mean, cov

    def joint(self, X: FloatArray, entries: list[Axes]) -> FloatArray:
        m, e, n = len(X), len(entries), len(self.rows)
        check_dense(m * e, 4, "predicted numbers", "ask for fewer points at once")
        _, whitened, free = self._cross(X, entries)
        prior = np.empty((m, e, m, e))
        geometry = Geometry(self._kernel, X, X, self._values.length)
        for i, A in enumerate(entries):
            for j, B in enumerate(entries):
                prior[:, i, :, j] = geometry.evaluate(A, B)
        flat = np.moveaxis(whitened, 0, 2).reshape(n, m * e)
        free = np.moveaxis(free, 0, 2).reshape(self.rows.n_terms, m * e)
        cov = prior.reshape(m * e, m * e) * self._values.amplitude**2 - flat.T @ flat + free.T @ free
        return np.asarray((cov + cov.T) / 2)

    def over_box(self, lower: FloatArray, upper: FloatArray) -> tuple[float, float]:
        """Mean and variance of the integral of f over a scaled box, of the squared-exponential kernel."""
        rows, solved = self.rows, self._solved
        b, prior = box_covariances(rows, self._values, lower, upper)
        whitened = solve_triangular(solved.L, b, lower=True)
        mean, variance = float(b @ solved.weights), float(prior) - float(whitened @ whitened)
        if rows.n_terms:
            terms = mean_of_box(rows.mean, lower, upper)
            free = solve_triangular(solved.mean_triangle, terms - solved.KiH.T @ b, trans="T")
            mean, variance = mean + float(terms @ solved.coef), variance + float(free @ free)
        return mean, variance

    def _cross(self, X: FloatArray, entries: list[Axes]) -> tuple[list[FloatArray], FloatArray, FloatArray]:
        """Covariances with the observations, the same whitened (e, n, m), and what the mean's coefficients leave open (e, p, m)."""
        solved = self._solved
        k = [prior_block(self._kernel, self.rows, self._values, X, A) for A in entries]
        whitened = np.array([solve_triangular(solved.L, block, lower=True) for block in k]).reshape(len(k), len(self.rows), len(X))
        free = np.zeros((len(entries), self.rows.n_terms, len(X)))
        if self.rows.n_terms:
            for i, (A, block) in enumerate(zip(entries, k, strict=True)):
                rest = terms_at(self.rows.mean, X, A).T - solved.KiH.T @ block
                free[i] = solve_triangular(solved.mean_triangle, rest, trans="T")
        return k, whitened, free

    def _mean(self, k: list[FloatArray], X: FloatArray, entries: list[Axes]) -> FloatArray:
        mean = np.column_stack([block.T @ self._solved.weights for block in k])
        if self.rows.n_terms:
            mean += np.column_stack([terms_at(self.rows.mean, X, A) @ self._solved.coef for A in entries])
        return mean


def terms_at(mean: str, X: FloatArray, A: Axes) -> FloatArray:
    """Derivatives A of the mean's terms at scaled points X, shape (m, p)."""
    if len(A) > 1:
        return np.zeros_like(mean_terms(mean, X, np.full(len(X), VALUE)))
    return mean_terms(mean, X, np.full(len(X), A[0] if A else VALUE))
