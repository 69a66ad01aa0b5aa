"""The likelihood of an equation with process and measurement noise, exactly discretised, with its exact score.

Notation, as in Durbin & Koopman: T, Q transition and noise of a step, v innovations, F their variances.

The state at the start of a run is diffuse, and the likelihood is that of the observations given the first ones that fix this state:
with X their design of it, the diffuse likelihood times |det X|. It depends neither on the units of time nor on how the state is
written. Without the factor, derivatives that the first observations hardly fix would make it grow without bound as poles become
faster (M. K. Francke, S. J. Koopman & A. F. de Vos 2010, "Likelihood functions for state space models with diffuse initial
conditions").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError
from ..markov.discretize import Discrete, discretize, discretize_jacobian
from .accelerations import Rows, highest_rows, turned_rows, widened, with_first
from .drives import gain_slopes, gains
from .sample import Sample
from .specification import Equation, derivative_name

WITHOUT_NOISE = (
    "A noise is estimated as zero: give the SDs of all series, observe(..., sd=), or leave out observations that are computed from "
    "others, such as slopes that are differences of the values"
)
INDEPENDENT = 1e-6  # of a row: what earlier rows must leave of it for an observation to count as one more about the initial state
GREATEST_GROWTH = 300.0  # logarithm of the factor by which a solution may grow in a run
WIDTHS = (3, 5, 8, 16)  # numbers of directions that the kernels take


class Terms(NamedTuple):
    """-2 log-likelihood = n_used log 2 pi + log_det + sse, given the observations that fix the initial states.

    Gradients are with respect to (theta, q, sigma2): coefficients, intensities by output, unknown noise variances. Of the
    information matrix there are two parts: sum dv dv'/F and sum dF dF'/(2 F^2).
    """

    log_det: float
    sse: float
    n_used: int
    log_det_gradient: FloatArray
    sse_gradient: FloatArray
    of_mean: FloatArray
    of_variance: FloatArray
    innovations: FloatArray
    variances: FloatArray


class Firsts(NamedTuple):
    """The first observations that fix initial states, of runs with the same nodes and channels.

    Attributes
    ----------
    nodes, components : ndarray of int, shape (M,)
        From the start of the run; which component of the state is observed.
    classes : ndarray of int, shape (k, steps)
        Classes of the steps to these nodes.
    counts : ndarray, shape (k,)
        Runs with these steps.
    """

    nodes: npt.NDArray[np.int64]
    components: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int32]
    counts: FloatArray


class StateSpace:
    """The linear Gaussian model of an equation and a sample."""

    def __init__(self, equation: Equation, sample: Sample):
        self.equation = equation
        self.sample = sample = (
            sample.less(*np.split(np.array(equation.levels), [equation.n_outputs])) if equation.levels else sample
        )
        self.step, self.lengths = sample.steps
        p = equation.n_outputs
        self.is_highest = np.array([c.deriv == equation.order for c in sample.channels], np.bool_)
        self.is_wide = bool(self.is_highest.any())  # the state has the highest derivative as well
        if self.is_wide:
            self.lengths = np.append(self.lengths, 0.0)
        self.component = np.array([c.deriv * p + c.output for c in sample.channels], np.uint8)
        self.unknown = [i for i, c in enumerate(sample.channels) if not c.known]

    @property
    def n_params(self) -> int:
        """Number of coefficients, intensities and unknown noise variances."""
        return self.equation.n_params + self.equation.n_noises + len(self.unknown)

    @property
    def variance_names(self) -> list[str]:
        """Names of intensities and noise SDs, as in params."""
        outputs = self.equation.outputs
        channels = self.sample.channels
        q = self.equation.noise_names
        if len(channels) == 1 or (len(outputs) == 1 and len(channels) == 1):
            return [*q, *("sigma" for _ in self.unknown)]
        return [*q, *(f"sigma.{channels[i].name}" for i in self.unknown)]

    @cached_property
    def drives(self) -> FloatArray:
        """What drives the step into each node: the inputs at its start and their change over it, (n, 2 drives) or (n, drives)."""
        sample, equation = self.sample, self.equation
        u = np.column_stack([sample.u, np.ones(len(sample))]) if equation.intercept else sample.u
        before = np.zeros_like(u)
        before[1:] = u[:-1]
        if not (equation.takes_changes or self.is_wide):
            return np.ascontiguousarray(before)
        return np.ascontiguousarray(np.hstack([before, (u - before)[:, : len(sample.inputs)]]))

    def _packed(
        self, values: Discrete, slopes: list[Discrete], theta: FloatArray, q: FloatArray, sigma2: FloatArray, n: int
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """T, Q, G and variance with derivatives along all parameters, padded to n directions (none where n is zero)."""
        equation, p = self.equation, self.equation.n_noises
        classes, m = values.T.shape[:2]
        system = equation.matrices(theta)[0]
        width = self.drives.shape[1]
        T = np.zeros((classes, m, m, 1 + n))
        Q = np.zeros((classes, m, m, 1 + n))
        G = np.zeros((classes, m, width, 1 + n))
        variance = np.zeros((len(self.sample.channels), 1 + n))

        T[..., 0] = values.T
        Q[..., 0] = np.tensordot(q, values.Q, axes=1)
        at_theta = gains(equation, theta, system, values, self.lengths)
        own = at_theta.shape[2]
        G[:, :, :own, 0] = at_theta
        variance[:, 0] = 1.0
        variance[self.unknown, 0] = sigma2
        if n:
            in_system = equation.in_system
            for i, slope, along in zip(np.flatnonzero(in_system), slopes, self.directions, strict=True):
                T[..., 1 + i] = slope.T
                Q[..., 1 + i] = np.tensordot(q, slope.Q, axes=1)
                G[:, :, :own, 1 + i] = gain_slopes(equation, theta, system, along, values, slope, self.lengths)
            for i in np.flatnonzero(~in_system):
                unit = np.zeros_like(theta)
                unit[i] = 1.0
                G[:, :, :own, 1 + i] = gains(equation, unit, system, values, self.lengths)
            first = 1 + len(theta)
            for j in range(p):
                Q[..., first + j] = values.Q[j]
            for j, channel in enumerate(self.unknown):
                variance[channel, first + p + j] = 1.0
        if self.is_wide:
            T, Q, G = widened(*highest_rows(equation, theta, self.directions, n), T, Q, G)
        return T, Q, G, variance

    @cached_property
    def _firsts(self) -> list[Firsts]:
        """The first observations of the runs that fix their initial states; runs with the same nodes and channels together.

        Nothing stands here for runs whose first node has them all, as X is constant there, or that have too few.
        """
        found: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for begin, chosen in zip(self._begins.tolist(), self.fixing, strict=True):
            if len(chosen) == self.equation.n_states and chosen[-1][0] > 0:
                found.setdefault(chosen, []).append(begin)
        groups = []
        for picked, starts in found.items():
            nodes, components = np.array(picked).T
            steps = np.array(starts)[:, None] + np.arange(1, nodes[-1] + 1)
            classes, counts = np.unique(self.step[steps], axis=0, return_counts=True)
            groups.append(Firsts(nodes, components, classes, counts.astype(float)))
        return groups

    @cached_property
    def fixing(self) -> list[tuple[tuple[int, int], ...]]:
        """Nodes from the first observation on, and components, of the first observations that fix the initial state of each run.

        Which they are depends on where observations are, not on coefficients: they are independent at generic ones.
        """
        equation, sample = self.equation, self.sample
        m, p = equation.n_states, equation.n_outputs
        gap = float(np.median(self.lengths[self.lengths > 0]))
        # In units of the spacing, with different decays and weak coupling.
        generic, order = np.eye(m, k=p), np.arange(m) // p
        weights = -0.1 * np.cos(np.arange(p * m)).reshape(p, -1) - 0.2 * np.tile(np.eye(p), equation.order)[:, :m]
        generic[-p:] = np.where(np.isin(order, equation.derivatives), weights, 0.0)
        T = discretize(generic, equation.entry, self.lengths / gap, noise=False, ramp=False).T
        found = []
        for s, begin in zip(sample.slices(), self._begins.tolist(), strict=True):
            whole, basis = np.eye(m), np.zeros((0, m))
            chosen: list[tuple[int, int]] = []
            for i in range(begin, s.stop):
                if i > begin:
                    whole = T[self.step[i]] @ whole
                for r in np.flatnonzero(np.isfinite(sample.y[i]) & ~self.is_highest):
                    row = whole[self.component[r]]
                    left = row - basis.T @ (basis @ row)
                    left = left - basis.T @ (basis @ left)
                    if len(chosen) < m and np.linalg.norm(left) > INDEPENDENT * np.linalg.norm(row):
                        basis = np.vstack([basis, left / np.linalg.norm(left)])
                        chosen.append((i - begin, int(self.component[r])))
                if len(chosen) == m:
                    break
            found.append(tuple(chosen))
        return found

    def _log_det_first(self, values: Discrete, changes: list[Discrete]) -> tuple[float, FloatArray]:
        """2 log|det X| summed over runs, and its derivatives along the changes."""
        size = values.T.shape[1]
        total, slopes = 0.0, np.zeros(len(changes))
        moved = np.stack([d.T for d in changes]) if changes else np.zeros((0, *values.T.shape))
        for nodes, components, classes, counts in self._firsts:
            whole = np.broadcast_to(np.eye(size), (len(counts), size, size))
            by = np.zeros((len(changes), *whole.shape))
            X, dX = np.empty_like(whole), np.empty_like(by)
            for node in range(int(nodes[-1]) + 1):
                if node > 0:
                    T = values.T[classes[:, node - 1]]
                    by = moved[:, classes[:, node - 1]] @ whole + T @ by
                    whole = T @ whole
                here = nodes == node
                X[:, here], dX[:, :, here] = whole[:, components[here]], by[:, :, components[here]]
            with np.errstate(all="ignore"):
                logs = np.linalg.slogdet(X)[1]
            if not np.isfinite(logs).all():
                raise NumericalError("at these coefficients the first observations do not fix the state numerically")
            total += 2 * float(counts @ logs)
            slopes += 2 * np.trace(np.linalg.solve(X, dX), axis1=-2, axis2=-1) @ counts
        return total, slopes

    def _system(self, theta: FloatArray) -> FloatArray:
        return self.equation.matrices(theta)[0]

    def _steps(self, theta: FloatArray) -> Discrete:
        """The matrices of the steps."""
        return discretize(self._system(theta), self.equation.entry, self.lengths)

    @cached_property
    def directions(self) -> FloatArray:
        """Change of A with each parameter that enters it."""
        units = np.eye(self.equation.n_params)[self.equation.in_system]
        zero = self.equation.matrices(np.zeros(self.equation.n_params))[0]
        parts = [self.equation.matrices(unit)[0] - zero for unit in units]
        return np.array(parts) if parts else np.zeros((0, *zero.shape))

    def terms(self, theta: FloatArray, q: FloatArray, sigma2: FloatArray, *, slopes: bool = True, keep: bool = False) -> Terms:
        """Sums of the likelihood at coefficients, intensities (p,) and unknown noise variances.

        `slopes` asks for the gradient, `keep` for innovations, their variances and (with `slopes`) the derivatives of both,
        (n, channels, 1 + directions).
        """
        if not q.any():
            self._check_growth(theta)
        if not slopes:
            values = self._steps(theta)
            packed = self._packed(values, [], theta, q, sigma2, 0)
            sums, _, used, _, unknown, innovations, variances = self._run(packed, keep)
            self._check_known(unknown)
            empty = np.zeros(0)
            square = np.zeros((0, 0))
            first = self._log_det_first(values, [])[0] if self._firsts else 0.0
            return Terms(sums[0, 0] - first, sums[1, 0], used, empty, empty, square, square, innovations, variances)
        values, changes = discretize_jacobian(self._system(theta), self.equation.entry, self.lengths, self.directions)
        count = self.n_params
        first, by_first = self._log_det_first(values, changes) if self._firsts else (0.0, 0.0)
        from_first = np.zeros(count)
        from_first[np.flatnonzero(self.equation.in_system)] = by_first
        if count <= WIDTHS[-1]:
            n = next(width for width in WIDTHS if width >= count)
            packed = self._packed(values, changes, theta, q, sigma2, n)
            sums, information, used, _, unknown, innovations, variances = self._run(packed, keep)
            self._check_known(unknown)
            return Terms(
                sums[0, 0] - first,
                sums[1, 0],
                used,
                sums[0, 1 : 1 + count] - from_first,
                sums[1, 1 : 1 + count],
                information[0, :count, :count],
                information[1, :count, :count],
                innovations[..., : 1 + count],
                variances[..., : 1 + count],
            )
        terms = self._in_blocks(self._packed(values, changes, theta, q, sigma2, count), count)
        return terms._replace(log_det=terms.log_det - first, log_det_gradient=terms.log_det_gradient - from_first)

    def _in_blocks(self, packed: tuple[FloatArray, FloatArray, FloatArray, FloatArray], count: int) -> Terms:
        """More directions than the kernels take: several passes, and the information from what they keep."""
        gradients: list[FloatArray] = []
        dv: list[FloatArray] = []
        df: list[FloatArray] = []
        v = f = np.zeros(0)
        sums, used = np.zeros((2, 1)), 0
        for first in range(0, count, WIDTHS[-1]):
            chosen = [0, *range(1 + first, min(1 + first + WIDTHS[-1], 1 + count))]
            block = []
            for part in packed:
                padded = np.zeros((*part.shape[:-1], 1 + WIDTHS[-1]))
                padded[..., : len(chosen)] = part[..., chosen]
                block.append(padded)
            sums, _, used, _, unknown, innovations, variances = self._run((block[0], block[1], block[2], block[3]), True)
            self._check_known(unknown)
            gradients.append(sums[:, 1 : len(chosen)])
            dv.append(innovations[..., 1 : len(chosen)])
            df.append(variances[..., 1 : len(chosen)])
            v, f = innovations[..., 0], variances[..., 0]
        slopes_v, slopes_f = np.concatenate(dv, axis=-1), np.concatenate(df, axis=-1)
        gradient = np.concatenate(gradients, axis=-1)
        rows = np.isfinite(f)
        of_mean = (slopes_v[rows] / f[rows][:, None]).T @ slopes_v[rows]
        relative = slopes_f[rows] / f[rows][:, None]
        return Terms(
            sums[0, 0],
            sums[1, 0],
            used,
            gradient[0],
            gradient[1],
            of_mean,
            0.5 * relative.T @ relative,
            np.concatenate([v[..., None], slopes_v], axis=-1),
            np.concatenate([f[..., None], slopes_f], axis=-1),
        )

    def _run(
        self, packed: tuple[FloatArray, FloatArray, FloatArray, FloatArray], keep: bool
    ) -> tuple[FloatArray, FloatArray, int, int, int, FloatArray, FloatArray]:
        sample, nodes = self.sample, self._nodes
        try:
            found = _kernels.linear_likelihood(*self.rows, self.component, *packed, keep)
        except _kernels.KernelError as error:
            row = error.args[1] if nodes is None else max(nodes[error.args[1]], 0)
            raise NumericalError(
                f"the variance predicted for the observation at {sample.t_name} = {sample.t[row]:g} is not a positive finite "
                f"number. {WITHOUT_NOISE}"
            ) from None
        if nodes is None or not keep:
            return found
        sums, information, used, flat, unknown, *kept = found
        innovations, variances = (np.full((len(sample), *part.shape[1:]), np.nan) for part in kept)
        innovations[nodes[nodes >= 0]], variances[nodes[nodes >= 0]] = (part[nodes >= 0] for part in kept)
        return sums, information, used, flat, unknown, innovations, variances

    @cached_property
    def rows(self) -> Rows:
        """Classes of steps, drives, observations and their relative variances at the nodes that contain information."""
        sample, nodes = self.sample, self._read
        if nodes is None:
            return self._with_first((self.step, self.drives, sample.y, sample.ratio), sample.starts)
        step = self.step[nodes]
        step[np.searchsorted(nodes, self._begins)] = -1
        return self._with_first((step, self.drives[nodes], sample.y[nodes], sample.ratio[nodes]), self._begins)

    def _with_first(self, rows: Rows, starts: npt.NDArray[np.int64]) -> Rows:
        """Rows with one before each run where the highest derivative is observed."""
        return with_first(rows, self._at_start(starts), self.is_highest, len(self.lengths) - 1) if self.is_wide else rows

    def _at_start(self, starts: npt.NDArray[np.int64]) -> FloatArray:
        """Inputs and constant at the first nodes of the runs, as `drives` without changes."""
        u = self.sample.u[starts]
        one, none = np.ones((len(u), int(self.equation.intercept))), np.zeros_like(u)
        return np.hstack([u, one, none])

    @cached_property
    def _nodes(self) -> npt.NDArray[np.int64] | None:
        """The node of each of `rows`, -1 of those before runs; None if they are all nodes."""
        if not self.is_wide:
            return self._read
        read = np.arange(len(self.sample)) if self._read is None else self._read
        starts = np.searchsorted(read, self._begins)
        return np.insert(read, starts, -1)

    @cached_property
    def _begins(self) -> npt.NDArray[np.int64]:
        """The first node of each run that has an observation; what comes before has no information on a diffuse state."""
        read = np.isfinite(self.sample.y).sum(axis=1) > 0
        return np.array([s.start + (int(np.argmax(read[s])) if read[s].any() else 0) for s in self.sample.slices()])

    @cached_property
    def _read(self) -> npt.NDArray[np.int64] | None:
        """The nodes from the first observations of their runs on; None if these are all."""
        sample = self.sample
        if (self._begins == sample.starts).all():
            return None
        return np.flatnonzero(np.arange(len(sample)) >= self._begins[sample.run])

    def _check_growth(self, theta: FloatArray) -> None:
        """Refuse solutions that grow beyond all numbers in a run, where no process noise lets the state start anew."""
        rate = float(np.linalg.eigvals(self._system(theta)).real.max())
        if not rate * self.sample.longest <= GREATEST_GROWTH:
            raise NumericalError(f"at a pole of {rate:g} the solution leaves the range of floating-point numbers within a run")

    def _check_known(self, n_unknown: int) -> None:
        if n_unknown == 0:
            return
        sample, equation = self.sample, self.equation
        if all(len(chosen) == equation.n_states for chosen in self.fixing):
            raise NumericalError(
                "the observations do not fix the initial states numerically at these coefficients; modes decay or grow too fast"
            )
        lowest = min(c.deriv for c in sample.channels)
        if lowest > 0:
            name = derivative_name(equation.outputs[0], 0)
            series = next(c.name for c in sample.channels if c.deriv == lowest)
            raise IdentificationError(
                f"no observation fixes the level of {series}'s integral {name}: all are of its derivatives; add one observation of "
                f"{name}, or state the equation for {derivative_name(name, lowest)}"
            )
        counts = [int(np.isfinite(sample.y[s]).sum()) for s in sample.slices()]
        k = int(np.argmin(counts))
        where = "" if len(counts) == 1 else f" of run {sample.labels[k]!r}"
        raise IdentificationError(
            f"the {counts[k]} observations{where} do not fix its initial state of {equation.n_states}: a run needs more "
            f"observations than that"
        )

    def smooth(self, theta: FloatArray, q: FloatArray, sigma2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior means (n, M) and covariances (n, M, M) of the states at the nodes."""
        found = self.smoother(theta, q, sigma2)(self.sample.y) if (q > 0).any() else self._solutions(theta, sigma2)
        if self.equation.levels:
            p = self.equation.n_outputs
            found[0][:, :p] += self.equation.levels[:p]
        return found

    def smoother(
        self, theta: FloatArray, q: FloatArray, sigma2: FloatArray
    ) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
        """Return what smooths any observations (n, channels), less their levels, where there is process noise."""
        values = self._steps(theta)
        packed = self._packed(values, [], theta, q, sigma2, 0)
        sample, m = self.sample, self.equation.n_states

        def smooth(y: FloatArray) -> tuple[FloatArray, FloatArray]:
            rows = self.step, self.drives, y, sample.ratio
            try:
                if not self.is_wide:
                    return _kernels.linear_smooth(*rows, self.component, *packed)
                narrow = packed[0][:, :m, :m, 0], packed[1][:, :m, :m, 0], packed[2][:, :m, :, 0]
                turned = turned_rows(self.equation, theta, rows, self.component, sample.u, narrow, sample.gap)
                return turned.back(*_kernels.linear_smooth(*turned.rows, turned.component, *turned.matrices, packed[3]))
            except _kernels.KernelError as error:
                node = min(error.args[1] // (1 + self.is_wide), len(sample) - 1)
                raise NumericalError(
                    f"smoothing stopped at {sample.t_name} = {sample.t[node]:g}: a mode decays to nothing from one time to the "
                    "next, before the observations determine it; lower the order, or bound the coefficients"
                ) from None

        return smooth

    def _solutions(self, theta: FloatArray, sigma2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `smooth`, without process noise: solutions from initial states by weighted least squares, which is stable forwards."""
        sample, m = self.sample, self.equation.n_states
        values = self._steps(theta)
        T, _, G, variance = self._packed(values, [], theta, np.zeros(self.equation.n_noises), sigma2, 0)
        T, G = T[..., 0], G[..., 0]
        weights = 1 / np.sqrt(sample.ratio * variance[:, 0])
        wide = T.shape[1]
        mean, cov = np.empty((len(sample), wide)), np.empty((len(sample), wide, wide))
        for s in sample.slices():
            driven, free = np.zeros((s.stop - s.start, wide)), np.empty((s.stop - s.start, wide, m))
            free[0] = np.eye(wide, m)
            if self.is_wide:
                free[0], driven[0] = T[-1, :, :m], G[-1] @ self._at_start(np.array([s.start]))[0]
            for i in range(s.start + 1, s.stop):
                k, c = i - s.start, self.step[i]
                driven[k] = T[c] @ driven[k - 1] + G[c] @ self.drives[i]
                free[k] = T[c] @ free[k - 1]
            read = np.isfinite(sample.y[s])
            design = (free[:, self.component] * weights[s][..., None])[read]
            target = ((sample.y[s] - driven[:, self.component]) * weights[s])[read]
            scale = np.linalg.norm(design, axis=0)
            U, size, Vt = np.linalg.svd(design / scale, full_matrices=False)
            if not (np.isfinite(size).all() and size[-1] > len(target) * np.finfo(float).eps * size[0]):
                raise NumericalError(
                    "the observations do not fix the initial state of a run numerically; its modes decay or grow too far apart"
                )
            start = (Vt.T @ ((U.T @ target) / size)) / scale
            spread = free @ ((Vt.T / size) / scale[:, None])
            mean[s], cov[s] = driven + free @ start, spread @ np.swapaxes(spread, 1, 2)
        return mean, cov
