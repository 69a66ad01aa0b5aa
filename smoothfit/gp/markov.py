"""The state-space route: a Matern process of smoothness p + 1/2 in one input is the first component of a Markov process.

Likelihood, scores and posterior are those of the kernels of Markov processes. The coefficients of the mean are components of the
state that are diffuse: they have a flat prior (de Jong 1991).

References
----------
- J. Hartikainen and S. Särkkä (2010), "Kalman filtering and smoothing solutions to temporal Gaussian process regression models".
- P. de Jong (1991), "The diffuse Kalman filter".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError
from ..markov.compiler import compiled
from ..markov.functionals import VALUE, Functionals
from ..markov.priors import Jump, Matern
from ..markov.processes import Processes
from ..markov.program import Program, Sums
from ..observations.abscissa import Points
from .dense import check_dense, terms_at
from .kernels import Kernel
from .parameters import Parameters, Values
from .pieces import Pieces, Singular
from .rows import Rows
from .terms import Axes

DIFFERENCE = 2.0**-10  # in a logarithm: half the shorter of two steps, whose extrapolated error is of the fourth power


@dataclass(frozen=True, eq=False)
class MarkovModel:
    """A Matern process and the mean as components of a state, and the observations of it."""

    rows: Rows
    processes: Processes

    @classmethod
    def of(cls, rows: Rows, kernel: Kernel) -> MarkovModel:
        """The state of a kernel."""
        assert kernel.markov_order is not None
        return cls(rows, Processes((Matern(kernel.markov_order + 0.5),), 1.0))

    @cached_property
    def observed(self) -> Functionals:
        """What the rows observe."""
        rows = self.rows
        group = np.where(rows.group < 0, len(rows.unknown), rows.group).astype(np.uint8)
        process = np.eye(self.processes.dim)[np.maximum(rows.axis + 1, 0)]
        return _at(rows.X, process, rows.design, rows.y, rows.ratio, group)

    @cached_property
    def program(self) -> Program:
        """The program of the observations."""
        return self._compiled(self.observed)

    @cached_property
    def with_jump(self) -> Program:
        """The same of a curve with a level that is zero until it changes, the last component of the process."""
        processes = Processes((self.processes.terms[0] + Jump(0),), 1.0)
        process = np.column_stack([self.observed.process, self.rows.axis < 0])
        return compiled(processes, replace(self.observed, process=process), np.eye(processes.dim)[0], self._labels)

    def asking(self, X: FloatArray, process: FloatArray, effects: FloatArray) -> Program:
        """The program of the observations, then of combinations of the state and of the mean's coefficients at scaled points X."""
        nothing = np.full(len(X), np.nan)
        asked = _at(X, process, effects, nothing, np.ones(len(X)), np.zeros(len(X), np.uint8))
        return self._compiled(Functionals.join([self.observed, asked]))

    def _compiled(self, functionals: Functionals) -> Program:
        return compiled(self.processes, functionals, np.eye(self.processes.dim)[0], self._labels)

    @property
    def _labels(self) -> tuple[str, ...]:
        return tuple(f"term {i} of the mean" for i in range(self.rows.n_terms))


def _at(
    X: FloatArray, process: FloatArray, effects: FloatArray, y: FloatArray, ratio: FloatArray, group: npt.NDArray[np.uint8]
) -> Functionals:
    points, n = Points(X[:, 0]), len(X)
    return Functionals(points, points, np.full(n, VALUE, np.int8), process, effects, y, ratio, group, np.zeros(n))


def arguments(values: Values) -> tuple[FloatArray, FloatArray]:
    """Hyperparameters (..., 2) of the process, and variances (..., G) of the groups, of which the last is known."""
    known = np.ones((*values.sigma2.shape[:-1], 1))
    return np.stack([values.length[..., 0], values.amplitude], axis=-1), np.concatenate([values.sigma2, known], axis=-1)


class MarkovLikelihood:
    """The restricted likelihood by the Kalman filter, O(n)."""

    has_hessian = False

    def __init__(self, rows: Rows, kernel: Kernel, parameters: Parameters):
        self._parameters = parameters
        self.rows = rows
        self.model = MarkovModel.of(rows, kernel)

    def log_det_and_quadratic(self, thetas: FloatArray) -> tuple[FloatArray, FloatArray]:
        values, variance = arguments(self._parameters.values(thetas))
        found = self.model.program.scan(values, variance)
        bad = found.n_used != self.rows.n_contrasts  # what follows from the rows before it is passed over
        return np.where(bad, np.nan, found.log_det[:, 0]), np.where(bad, np.nan, found.sse[:, 0])

    def _scores(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both pieces with their exact gradients by theta, (1 + n_free,) each."""
        parameters, first = self._parameters, self._first
        values, variance = arguments(parameters.values(theta))
        free = [1] * (parameters.amplitude is None and not first) + [0] * len(parameters.by)  # in the order of theta
        slopes = np.zeros((len(theta) - first, len(variance)))
        slopes[len(free) :, :-1] = np.diag(2 * variance[:-1])  # by the logarithms of SDs
        try:
            sums = self.model.program.sums(values, variance, free, slopes)
        except (NumericalError, IdentificationError):
            raise Singular(len(self.rows) - 1) from None
        if sums.n_used != self.rows.n_contrasts:
            raise Singular(self._passed_over(values, variance))
        along = parameters.to_logs[first:, first:]
        found = np.zeros((2, 1 + len(theta)))
        for terms, whole, by_amplitude in zip((sums.log_det, sums.sse), found, (2 * sums.n_used, -2 * sums.sse[0]), strict=True):
            whole[0], whole[1 : 1 + first], whole[1 + first :] = terms[0], by_amplitude, along.T @ terms[1:]
        return found[0], found[1]

    @property
    def _first(self) -> int:
        """Place of the first component of theta that takes a derivative: all variances are multiples of a profiled amplitude^2."""
        return int(self._parameters.profiled)

    def _passed_over(self, values: FloatArray, variance: FloatArray) -> int:
        """The first row by x that those before it determine."""
        program = self.model.program
        passed = np.isnan(program.innovations(values, variance)) & ~program.adjoint(values, variance).is_start
        return int(program.order[passed[program.order]][0])

    def pieces(self, theta: FloatArray, hessian: bool = False) -> Pieces:
        """All pieces at theta: exact gradients, Hessians by extrapolated differences of them."""
        n_free = len(theta)
        first = self._scores(theta)
        value = float(first[0][0]), float(first[1][0])
        if not hessian:
            return Pieces(*value, first[0][1:], first[1][1:])
        hessians = np.zeros((2, n_free, n_free))
        for i in range(self._first, n_free):
            up, down, far_up, far_down = (
                np.array(self._scores(theta + offset * DIFFERENCE * np.eye(n_free)[i]))[:, 1:] for offset in (1.0, -1.0, 2.0, -2.0)
            )
            hessians[:, i] = (4 * (up - down) / 2 - (far_up - far_down) / 4) / (3 * DIFFERENCE)
        if self._first:
            hessians[:, :, 0] = hessians[:, 0] = [np.zeros(n_free), -2 * first[1][1:]]
        hessians = (hessians + hessians.swapaxes(1, 2)) / 2
        return Pieces(*value, first[0][1:], first[1][1:], hessians[0], hessians[1])


class MarkovPosterior:
    """Posterior of f and of its derivatives by fixed-interval smoothing, amplitude and noise given."""

    def __init__(self, values: Values, likelihood: MarkovLikelihood):
        self._model = likelihood.model
        self._values, self._variance = arguments(values)

    @cached_property
    def log_det_and_quadratic(self) -> tuple[float, float]:
        sums: Sums = self._model.program.sums(self._values, self._variance)
        return float(sums.log_det[0]), float(sums.sse[0])

    @cached_property
    def coef(self) -> FloatArray:
        return self._asked(*self._terms)[0]

    @cached_property
    def coef_cov(self) -> FloatArray:
        return self._covariance(*self._terms)

    @property
    def _terms(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        p = self._model.rows.n_terms
        return np.repeat(self._model.rows.X[:1], p, axis=0), np.zeros((p, self._model.processes.dim)), np.eye(p)

    def fitted(self) -> FloatArray:
        return self._model.program.moments(self._values, self._variance)[0]

    def moments(self, X: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray]:
        m, e = len(X), len(entries)
        mean, variance = self._asked(*self._derivatives(X, entries))
        if e == 1:
            return mean[:, None], variance[:, None, None]
        point = np.arange(m)
        return mean.reshape(m, e), self.joint(X, entries).reshape(m, e, m, e)[point, :, point]

    def joint(self, X: FloatArray, entries: list[Axes]) -> FloatArray:
        check_dense(len(X) * len(entries), 4, "predicted numbers", "ask for fewer points at once")
        return self._covariance(*self._derivatives(X, entries))

    def _derivatives(self, X: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray, FloatArray]:
        m, rows = len(X), self._model.rows
        process = np.tile(np.eye(self._model.processes.dim)[[len(A) for A in entries]], (m, 1))
        effects = np.stack([terms_at(rows.mean, X, A) for A in entries], axis=1)
        return np.repeat(X, len(entries), axis=0), process, effects.reshape(len(process), rows.n_terms)

    def _asked(self, X: FloatArray, process: FloatArray, effects: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean, variance = self._model.asking(X, process, effects).moments(self._values, self._variance)
        return mean[len(self._model.rows) :], variance[len(self._model.rows) :]

    def _covariance(self, X: FloatArray, process: FloatArray, effects: FloatArray) -> FloatArray:
        asked = np.arange(len(self._model.rows) + len(X)) >= len(self._model.rows)
        return self._model.asking(X, process, effects).joint(self._values, self._variance, asked)
