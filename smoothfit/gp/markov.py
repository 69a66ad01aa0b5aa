"""The state-space route: a Matern process of smoothness p + 1/2 in one input is the first component of a Markov process.

Notation of Durbin & Koopman (2012), in the dimensionless time z = c x, c = sqrt(2 nu) / length scale, amplitude one:

===========  ====================================================================================================
``s``        the state (f, f'/c, ..., f^(p)/c^p), stationary
``T(z)``     exp(-z) sum_k (z N)^k / k!, transition over z; N = F + I is nilpotent, F the companion matrix of (D + 1)^(p+1)
``Q(z)``     covariance of s(z) given s(0)
``Pinf``     stationary covariance, Q(infinity)
``a, P``     filtered mean and covariance; ``a+``, ``P+`` predicted
``F, v``     variance and value of an innovation
``G``        smoothing gain, s_i = a_i + G (s_(i+1) - a+_(i+1)) + noise of covariance ``B``
===========  ====================================================================================================

The likelihood and its exact scores are those of the kernels of Markov processes, the mean's coefficients being components of the
state that are diffuse. For the posterior the observations and the mean's terms are filtered side by side with the same gains;
generalised least squares of the innovations gives the coefficients with a flat prior (de Jong 1991).

References
----------
- J. Hartikainen and S. Särkkä (2010), "Kalman filtering and smoothing solutions to temporal Gaussian process regression models".
- P. de Jong (1991), "The diffuse Kalman filter".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular

from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError
from ..markov.matern import MaternState
from ..markov.priors import Matern
from ..markov.program import VALUE, Functionals, Processes, compiled
from ..observations.abscissa import Points
from .dense import check_memory, terms_at
from .kernels import Kernel
from .parameters import Parameters, Values
from .pieces import Pieces, Singular
from .rows import Rows
from .terms import Axes

DIFFERENCE = 2.0**-10  # in a logarithm: half the shorter of two steps, whose extrapolated error is of the fourth power


class Filtered(NamedTuple):
    """What a pass of the filter leaves: predicted and filtered moments of each row, columns (y, H) side by side."""

    predicted: FloatArray  # (n, dim, 1 + p)
    predicted_cov: FloatArray  # (n, dim, dim)
    mean: FloatArray  # (n, dim, 1 + p)
    cov: FloatArray  # (n, dim, dim)


class MarkovLikelihood:
    """The restricted likelihood by the Kalman filter, O(n)."""

    def __init__(self, rows: Rows, kernel: Kernel, parameters: Parameters):
        assert kernel.markov_order is not None
        self._parameters = parameters
        self.rows = rows
        self.prior = MaternState(kernel.markov_order)
        self.rate = np.sqrt(2 * kernel.markov_order + 1)
        self.by_x = np.argsort(rows.X[:, 0], kind="stable")
        self.x = rows.X[self.by_x, 0]
        component = np.maximum(rows.axis + 1, 0)  # of the state that a row reads
        self.component = component[self.by_x]
        self.columns = np.column_stack([rows.y, rows.design])[self.by_x]
        points, n = Points(rows.X[:, 0]), len(rows)
        group = np.where(rows.group < 0, len(rows.unknown), rows.group).astype(np.uint8)
        process = np.eye(self.prior.dim)[component]
        kind = np.full(n, VALUE, np.int8)
        functionals = Functionals(points, points, kind, process, rows.design, rows.y, rows.ratio, group, np.zeros(n))
        terms = tuple(f"term {i} of the mean" for i in range(rows.n_terms))
        matern = Matern(kernel.markov_order + 0.5)
        self._program = compiled(Processes((matern,), 1.0), functionals, np.eye(self.prior.dim)[0], terms)

    def _arguments(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hyperparameters of the process, and variances of the groups, of which the last is known."""
        values = self._parameters.values(theta)
        return np.array([values.length[0], values.amplitude]), np.append(values.sigma2, 1.0)

    def log_det_and_quadratic(self, thetas: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both pieces for candidates (L, n_free), side by side; NaN where the covariance is singular."""
        values, variance = (np.array(part) for part in zip(*map(self._arguments, thetas), strict=True))
        log_det, quadratic, _, used = self._program.scan(values, variance)
        bad = used != self.rows.n_contrasts  # what follows from the rows before it is passed over
        return np.where(bad, np.nan, log_det), np.where(bad, np.nan, quadratic)

    def _scores(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both pieces with their exact gradients by theta, (1 + n_free,) each."""
        parameters, n_free = self._parameters, len(theta)
        values, variance = self._arguments(theta)
        free = [1] * (parameters.amplitude is None) + [0] * len(parameters.by)  # in the order of theta
        slopes = np.zeros((n_free, len(variance)))
        slopes[len(free) :, :-1] = np.diag(2 * variance[:-1])  # by the logarithms of SDs
        try:
            sums = self._program.sums(values, variance, free, slopes)
        except (NumericalError, IdentificationError):
            raise Singular(self._singular_row(theta)) from None
        if sums.n_used != self.rows.n_contrasts:
            raise Singular(self._singular_row(theta))
        along = parameters.to_logs
        log_det, quadratic = (np.append(terms[0], along.T @ terms[1:]) for terms in (sums.log_det, sums.sse))
        return log_det, quadratic

    def _singular_row(self, theta: FloatArray) -> int:
        """The first row that those before it determine, by the filter of covariances, if that sees one; else the last."""
        try:
            self.filter(self._parameters.values(theta))
        except Singular as error:
            return error.row
        return int(self.by_x[-1])

    def pieces(self, theta: FloatArray, hessian: bool = False) -> Pieces:
        """All pieces at theta: exact gradients, Hessians by extrapolated differences of them."""
        n_free = len(theta)
        first = self._scores(theta)
        value = float(first[0][0]), float(first[1][0])
        if not hessian:
            return Pieces(*value, first[0][1:], first[1][1:])
        hessians = np.zeros((2, n_free, n_free))
        for i, direction in enumerate(np.eye(n_free)):
            up, down, far_up, far_down = (
                np.array(self._scores(theta + offset * DIFFERENCE * direction))[:, 1:] for offset in (1.0, -1.0, 2.0, -2.0)
            )
            hessians[:, i] = (4 * (up - down) / 2 - (far_up - far_down) / 4) / (3 * DIFFERENCE)
        hessians = (hessians + hessians.swapaxes(1, 2)) / 2
        return Pieces(*value, first[0][1:], first[1][1:], hessians[0], hessians[1])

    def filter(self, values: Values) -> tuple[Filtered, FloatArray, FloatArray]:
        """Moments of all rows; also the innovations (n, 1 + p) and their variances (n,), of amplitude one.

        Raises
        ------
        Singular
        """
        n, dim, width = len(self.x), self.prior.dim, self.columns.shape[1]
        kept = Filtered(np.empty((n, dim, width)), np.empty((n, dim, dim)), np.empty((n, dim, width)), np.empty((n, dim, dim)))
        innovations, variances = np.empty((n, width)), np.empty(n)
        rate = float(self.rate / values.length[0])
        units = np.where(self.component > 0, rate, 1.0)  # of each row's observation: a slope counts in f / z
        ratios = self.noise(values) / float(values.amplitude) ** 2 / units**2
        readings = self.columns / units[:, None]
        gaps = np.diff(self.x, prepend=self.x[0])
        transitions, noises = self.prior.transition(gaps * rate), self.prior.noise(gaps * rate)
        P, a = self.prior.stationary, np.zeros((dim, width))
        for i in range(n):
            if gaps[i] > 0:
                T = transitions[i]
                a, P = T @ a, T @ P @ T.T + noises[i]
            kept.predicted[i], kept.predicted_cov[i] = a, P
            k = self.component[i]
            column = P[:, k].copy()
            variances[i] = F = column[k] + ratios[i]
            if not F > 0:
                raise Singular(int(self.by_x[i]))
            innovations[i] = readings[i] - a[k]
            gain = column / F
            a = a + gain[:, None] * innovations[i]
            P = P - gain[:, None] * column
            P[k] = P[:, k] = column * (ratios[i] / F)  # never a difference
            kept.mean[i], kept.cov[i] = a, P
        return kept, innovations, variances

    def noise(self, values: Values) -> FloatArray:
        """Noise variance of each row, by x."""
        rows = self.rows
        sigma2 = np.append(values.sigma2, 1.0)
        return np.asarray((rows.ratio * np.where(rows.group < 0, 1.0, sigma2[rows.group]))[self.by_x])


class MarkovPosterior:
    """Posterior of f and of its derivatives by fixed-interval smoothing, amplitude and noise given."""

    def __init__(self, rows: Rows, values: Values, likelihood: MarkovLikelihood):
        self._rows = rows
        self._values = values
        self._prior = likelihood.prior
        self._x = likelihood.x
        self._by_x = likelihood.by_x
        self._component = likelihood.component
        self._rate = float(likelihood.rate / values.length[0])
        self._filtered, v, F = likelihood.filter(values)
        self._noise = likelihood.noise(values)
        units = np.where(self._component > 0, self._rate, 1.0)
        whitened = v / np.sqrt(F)[:, None]
        Q, self._mean_triangle = np.linalg.qr(whitened[:, 1:])
        inside = Q.T @ whitened[:, 0]
        self.coef = solve_triangular(self._mean_triangle, inside) if rows.n_terms else np.zeros(0)
        residual = whitened[:, 0] - Q @ inside
        residual -= Q @ (Q.T @ residual)
        log_det = np.log(F).sum() + 2 * np.log(units).sum() + rows.n_contrasts * np.log(values.amplitude**2)
        log_det += 2 * np.log(np.abs(np.diag(self._mean_triangle))).sum()
        self.log_det_and_quadratic = float(log_det), float(residual @ residual) / float(values.amplitude) ** 2
        self._smooth()

    @property
    def coef_cov(self) -> FloatArray:
        """Covariance of `coef`."""
        R = self._mean_triangle
        return np.asarray(cho_solve((R, False), np.eye(len(R))) * self._values.amplitude**2)

    def _gain(self, P: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Smoothing gains G over z from filtered covariances P, covariances B and predicted covariances, (n, dim, dim).

        B = (I - G T) P (I - G T)' + G Q G', a sum of positive parts. Where the noise Q is the smaller part of what is predicted,
        G = T(-z) (I - W) and I - G T = T(-z) W T, W = Q (P+)^-1: no difference of nearly equal matrices.
        """
        T, Q = self._prior.transition(z), self._prior.noise(z)
        TP = T @ P
        S = TP @ np.swapaxes(T, 1, 2)
        predicted = S + Q
        identity = np.eye(self._prior.dim)
        still = z == 0
        scale = 1 / np.sqrt(np.where(_diagonal(predicted) > 0, _diagonal(predicted), 1.0))
        scaled = predicted * scale[:, :, None] * scale[:, None, :]
        scaled[still] = identity
        W = np.swapaxes(np.linalg.solve(scaled, Q * scale[:, :, None]), 1, 2) * scale[:, None, :]
        little = np.trace(W, axis1=1, axis2=2) <= self._prior.dim / 2
        back = self._prior.transition(np.where(little, -z, 0.0))
        classical = np.swapaxes(np.linalg.solve(scaled, TP * scale[:, :, None]), 1, 2) * scale[:, None, :]
        G = np.where(little[:, None, None], back @ (identity - W), classical)
        rest = np.where(little[:, None, None], back @ W @ T, identity - classical @ T)
        B = rest @ P @ np.swapaxes(rest, 1, 2) + G @ Q @ np.swapaxes(G, 1, 2)
        G[still], B[still] = identity, 0.0
        return G, B, predicted

    def _smooth(self) -> None:
        kept, n = self._filtered, len(self._x)
        z = np.diff(self._x) * self._rate
        self._gains, B, _ = self._gain(kept.cov[:-1], z)
        self._smoothed, self._smoothed_cov = kept.mean.copy(), kept.cov.copy()
        a, V = kept.mean[-1], kept.cov[-1]
        for i in range(n - 2, -1, -1):
            G = self._gains[i]
            a = kept.mean[i] + G @ (a - kept.predicted[i + 1])
            V = G @ V @ G.T + B[i]
            self._smoothed[i], self._smoothed_cov[i] = a, V

    def fitted(self) -> FloatArray:
        """Posterior mean of what each row measures, scaled."""
        mean = np.empty(len(self._x))
        row = np.arange(len(self._x))
        states = self._smoothed[row, self._component] * np.where(self._component > 0, self._rate, 1.0)[:, None]
        mean[self._by_x] = states[:, 0] + (self._rows.design[self._by_x] - states[:, 1:]) @ self.coef
        return mean

    def moments(self, X: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray]:
        """Means (m, e) at scaled points X and covariances (m, e, e) between the entries of each point."""
        states, covs, _, _ = self._states(X[:, 0])
        return self._read(X, states, covs, entries)

    def _read(self, X: FloatArray, states: FloatArray, covs: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray]:
        index = [len(A) for A in entries]
        factor = self._rate ** np.array(index, dtype=float)
        picked = states[:, index] * factor[:, None]
        free = np.stack([terms_at(self._rows.mean, X, A) for A in entries], axis=1) - picked[:, :, 1:]
        mean = picked[:, :, 0] + free @ self.coef
        cov = covs[:, index][:, :, index] * np.outer(factor, factor) * self._values.amplitude**2
        if self._rows.n_terms:
            half = self._open(free)
            cov = cov + half @ np.swapaxes(half, 1, 2)
        return mean, cov

    def _open(self, free: FloatArray) -> FloatArray:
        """What the flat prior of the mean's coefficients adds, as a factor (..., p)."""
        shape = free.shape
        half = solve_triangular(self._mean_triangle, free.reshape(-1, shape[-1]).T, trans="T").T
        return np.asarray(half.reshape(shape) * self._values.amplitude)

    def _states(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.int64]]:
        """Smoothed states (m, dim, 1 + p) and covariances at x, filtered covariances, and the row at or before each x (or -1)."""
        kept, m, n = self._filtered, len(x), len(self._x)
        dim, width = self._prior.dim, kept.mean.shape[2]
        before = np.searchsorted(self._x, x, side="right") - 1
        inside = before >= 0
        mean = np.zeros((m, dim, width))
        cov = np.tile(self._prior.stationary, (m, 1, 1))
        z = (x[inside] - self._x[before[inside]]) * self._rate
        T = self._prior.transition(z)
        mean[inside] = T @ kept.mean[before[inside]]
        cov[inside] = T @ kept.cov[before[inside]] @ np.swapaxes(T, 1, 2) + self._prior.noise(z)
        filtered = cov.copy()
        more = before < n - 1
        after = before[more] + 1
        G, B, _ = self._gain(cov[more], (self._x[after] - x[more]) * self._rate)
        predicted = self._prior.transition((self._x[after] - x[more]) * self._rate) @ mean[more]
        mean[more] += G @ (self._smoothed[after] - predicted)
        cov[more] = G @ self._smoothed_cov[after] @ np.swapaxes(G, 1, 2) + B
        return mean, cov, filtered, before

    def joint(self, X: FloatArray, entries: list[Axes]) -> FloatArray:
        """Covariances (m e, m e) between all entries at all points: Cov(s_i, s_j) = G_i ... G_(j-1) V_j, O(n + m^2)."""
        m, e, dim = len(X), len(entries), self._prior.dim
        check_memory(m * e, 4 * dim * dim, "predicted numbers", "ask for fewer points at once")
        order = np.argsort(X[:, 0], kind="stable")
        x = X[order, 0]
        states, covs, filtered, before = self._states(x)
        cross = np.zeros((m, m, dim, dim))
        cross[np.arange(m), np.arange(m)] = covs
        for i in range(m - 2, -1, -1):
            cross[i, i + 1 :] = self._gain_between(x[i], x[i + 1], filtered[i], before[i], before[i + 1]) @ cross[i + 1, i + 1 :]
        upper = np.triu_indices(m, 1)
        cross[upper[1], upper[0]] = np.swapaxes(cross[upper], 1, 2)
        index = [len(A) for A in entries]
        factor = self._rate ** np.array(index, dtype=float)
        cov = cross[:, :, index][:, :, :, index] * np.outer(factor, factor) * self._values.amplitude**2
        flat = np.swapaxes(cov, 1, 2).reshape(m * e, m * e)
        if self._rows.n_terms:
            picked = states[:, index, 1:] * factor[:, None]
            free = np.stack([terms_at(self._rows.mean, X[order], A) for A in entries], axis=1) - picked
            half = self._open(free).reshape(m * e, -1)
            flat = flat + half @ half.T
        back = np.empty_like(order)
        back[order] = np.arange(m)
        place = (back[:, None] * e + np.arange(e)).ravel()
        return np.asarray(flat[np.ix_(place, place)])

    def _gain_between(self, start: float, end: float, cov: FloatArray, before: int, last: int) -> FloatArray:
        """Product of the smoothing gains from one point to the next, over the rows between them."""
        if before == last:
            return np.asarray(self._gain(cov[None], np.array([(end - start) * self._rate]))[0][0])
        first = before + 1
        G = self._gain(cov[None], np.array([(self._x[first] - start) * self._rate]))[0][0]
        for i in range(first, last):
            G = G @ self._gains[i]
        rest = self._gain(self._filtered.cov[last : last + 1], np.array([(end - self._x[last]) * self._rate]))[0][0]
        return np.asarray(G @ rest)


def _diagonal(matrices: FloatArray) -> FloatArray:
    return np.diagonal(matrices, axis1=1, axis2=2)
