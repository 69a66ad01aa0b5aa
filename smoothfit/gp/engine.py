"""Gaussian processes as an engine: the restricted likelihood of hyperparameters, and the posterior at any of them.

theta is that of ``smoothfit.gp.parameters``. If no noise SD is known and the amplitude is free, the amplitude is left out: it is s.
The covariance K is not linear in length scales. So the expected information is computed from the derivatives K_i of K, as
tr(P K_i P K_j) / 2, from which an amplitude that is left out takes tr(P K_i) tr(P K_j) / (2 count).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from .._validation import FloatArray
from ..errors import NumericalError, SpecificationError
from ..inference.engine import Expansion, Moments, PointDraws, Sized, Terms
from ..observations.points import PointObservations
from .dense import Correlations, DenseLikelihood, DensePosterior, factor, prior_block
from .kernels import Kernel
from .lanes import Lanes
from .parameters import Parameters, Values
from .pieces import Singular
from .points import VALUE
from .posterior import Box, Derivatives, covariance_of, leverages_of, moments_of, root_of
from .rows import Rows
from .terms import ALL, axes_of

BLOCK = 2**16  # numbers of a matrix at hyperparameters side by side: what fits into the cache of a processor
MOST_KEPT = 256 * 200**2  # 82 MB: as many nodes as there may be, of 200 observations
MANY = 100  # observations, from which an information matrix takes longer than an interpolation of its determinant


@dataclass(frozen=True, eq=False)
class DenseEngine(Sized):
    """A Gaussian process at given hyperparameters, by dense algebra; see `smoothfit.inference.engine.Engine`.

    Functionals are derivatives of f at points, up to the second.

    Attributes
    ----------
    rows : Rows
    kernel : Kernel
    parameters : Parameters
    inputs : tuple of str
        Labels of the inputs.
    """

    rows: Rows
    kernel: Kernel
    parameters: Parameters
    inputs: tuple[str, ...]

    # Theta ------------------------------------------------------------------------------------------------------------

    @property
    def relative(self) -> bool:
        """Whether every variance is a multiple of a free amplitude^2, which is then left out of theta."""
        return self.parameters.profiled

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries of theta are the logarithms of; noise counts in the prior SD of what is observed."""
        parameters = self.parameters
        amplitude = ("amplitude",) if parameters.amplitude is None and not self.relative else ()
        label = "length_scale.{}".format if self.kernel.ard else lambda _: "length_scale"
        lengths = [label(None if j == ALL else self.inputs[j]) for j in parameters.by]
        sizes = ["" if axis == VALUE else f" * {label(self.inputs[axis])}" for axis in parameters.group_axis]
        ratios = [f"sigma.{name}{size} / amplitude" for name, size in zip(self.rows.unknown, sizes, strict=True)]
        return (*amplitude, *lengths, *ratios)

    @property
    def lower(self) -> FloatArray:
        return self.parameters.bounds(self.rows)[0][self._searched]

    @property
    def upper(self) -> FloatArray:
        return self.parameters.bounds(self.rows)[1][self._searched]

    @property
    def is_linear(self) -> bool:
        """It is not: length scales have Jeffreys' prior, too."""
        return False

    @property
    def has_slow_prior(self) -> bool:
        """Of many observations: a matrix takes a multiple of the time of a likelihood."""
        return len(self.rows) >= MANY

    @property
    def count(self) -> int:
        """Observations less the terms of the mean."""
        return self.rows.n_contrasts

    @property
    def _searched(self) -> slice:
        return slice(int(self.relative), None)

    def _whole(self, theta: FloatArray) -> FloatArray:
        """Theta (L, n_free) with an amplitude of one where that is left out."""
        return np.pad(theta, ((0, 0), (int(self.relative), 0)))

    def values(self, theta: FloatArray) -> Values:
        """Hyperparameters at thetas (L, p) in scaled units, for an amplitude of one if that is left out."""
        return self.parameters.values(self._whole(theta))

    def _lanes(self, theta: FloatArray) -> Iterator[Lanes]:
        """Likelihoods and posteriors at thetas (L, p), in blocks; the last ones are kept for questions about the same thetas."""
        whole, size, kept = self._whole(theta), max(1, BLOCK // len(self.rows) ** 2), self._kept
        for start in range(0, max(1, len(whole)), size):
            block = whole[start : start + size]
            lanes = kept.pop(block.tobytes(), None) or Lanes(self.rows, self.kernel, self.parameters, block)
            kept[block.tobytes()] = lanes
            while len(kept) * size * len(self.rows) ** 2 > MOST_KEPT:
                del kept[next(iter(kept))]
            yield lanes

    @cached_property
    def _kept(self) -> dict[bytes, Lanes]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    # Likelihood -------------------------------------------------------------------------------------------------------

    @cached_property
    def _likelihood(self) -> DenseLikelihood:
        return DenseLikelihood(self.rows, self.kernel, self.parameters)

    def terms(self, theta: FloatArray, order: int = 0) -> Terms:
        """Terms of the restricted likelihood with derivatives up to `order`; NaN where the covariance is singular."""
        whole, (L, p) = self._whole(theta), theta.shape
        if order == 0:
            blocks = [(lanes.log_det, lanes.quadratic) for lanes in self._lanes(theta)]
            return Terms(*(Expansion(np.concatenate(part)) for part in zip(*blocks, strict=True)))
        shapes, own = [(L,), (L, p), (L, p, p)][: order + 1], self._searched
        log_det, sse = ([np.full(shape, np.nan) for shape in shapes] for _ in range(2))
        for i, at in enumerate(whole):
            try:
                pieces = self._likelihood.pieces(at, hessian=order == 2)
            except Singular:
                continue
            log_det[0][i], sse[0][i] = pieces.log_det, pieces.quadratic
            log_det[1][i], sse[1][i] = pieces.log_det_gradient[own], pieces.quadratic_gradient[own]
            if pieces.log_det_hessian is not None and pieces.quadratic_hessian is not None:
                log_det[2][i], sse[2][i] = pieces.log_det_hessian[own, own], pieces.quadratic_hessian[own, own]
        return Terms(Expansion(*log_det), Expansion(*sse))

    def information(self, theta: FloatArray) -> FloatArray:
        """Expected information (L, p, p), the amplitude being estimated with theta if it is left out."""
        return np.concatenate([lanes.information() for lanes in self._lanes(theta)])

    # Posterior --------------------------------------------------------------------------------------------------------

    def _posteriors(self, theta: FloatArray) -> Iterator[tuple[Values, DensePosterior]]:
        for at in self._whole(theta):
            values = self.parameters.values(at)
            yield values, DensePosterior(self.rows, self.kernel, values, self._likelihood.factor(values))

    def moments(self, theta: FloatArray, functionals: Derivatives | Box) -> Moments:
        """Posterior means and variances (L, n) of functionals, those of a point together, for an amplitude of one if left out."""
        found = [functionals.moments(lanes, self.rows) for lanes in self._lanes(theta)]
        return Moments(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def pointwise(self, theta: FloatArray, functionals: Derivatives) -> tuple[FloatArray, FloatArray]:
        """Means (m, e) and covariances (m, e, e) of each point's derivatives at one theta, for an amplitude of one if left out."""
        _, own = next(self._posteriors(theta[None]))
        return moments_of(own, self.rows, functionals)

    def covariance(self, theta: FloatArray, functionals: Derivatives) -> FloatArray:
        """Posterior covariance (n, n) of derivatives at one theta (p,), for an amplitude of one if that is left out."""
        _, own = next(self._posteriors(theta[None]))
        return covariance_of(own, self.rows, functionals)

    def draws(self, theta: FloatArray, functionals: Derivatives) -> PointDraws:
        """What draws derivatives at one theta (p,), less their means, for an amplitude of one if that is left out."""
        root = root_of(self.covariance(theta, functionals))
        return lambda rng, size: rng.standard_normal((size, len(root))) @ root.T

    def leverages(self, theta: FloatArray) -> FloatArray:
        """Diagonals (L, n_obs) of the smoother matrix, in the order of the observations; one of exact observations."""
        return np.array([leverages_of(own, self.rows, values.sigma2) for values, own in self._posteriors(theta)])

    def stream(self, theta: FloatArray, lag: int | None = None) -> DenseStream:
        """A posterior at one theta (p,) that goes on; it keeps all observations, whatever the lag."""
        values, posterior = next(self._posteriors(theta[None]))
        return DenseStream(self.kernel, self.relative, values, posterior)


class DenseStream:
    """A Gaussian process at given hyperparameters that takes more observations: a Cholesky factor that grows, O(n^2) for each."""

    def __init__(self, kernel: Kernel, relative: bool, values: Values, posterior: DensePosterior):
        self._kernel = kernel
        self._relative = relative
        self._values = values
        self._posterior = posterior

    def append(self, data: PointObservations) -> None:
        """Take more observations of f and of its slopes, anywhere.

        Raises
        ------
        SpecificationError
            A series whose noise SD is neither given nor part of the fit, or known where the amplitude is left out.
        NumericalError
            An observation follows from those before it to rounding.
        """
        kernel, values, before = self._kernel, self._values, self._posterior
        for reading in data.readings:
            if self._relative and reading.sd is not None and reading.sd.any():
                raise SpecificationError(f"{reading.name!r} has a known noise SD, and the fit has none; append series of the fit")
        new = before.rows.more(data, kernel)
        blocks = [prior_block(kernel, before.rows, values, new.X[mine], axes_of(axis)) for axis, mine in new.blocks]
        seen = solve_triangular(before.L, np.concatenate(blocks, axis=1), lower=True)
        K = Correlations(kernel, new, values.length).matrix() * values.amplitude**2 + np.diag(new.noise(values.sigma2))
        try:
            rest = factor(K - seen.T @ seen, np.diag(K))
        except Singular as error:
            raise NumericalError(
                f"y[{new.order[error.row]}] follows from the observations before it to rounding; leave it out, or give a larger SD"
            ) from None
        L = np.block([[before.L, np.zeros_like(seen)], [seen.T, rest]])
        self._posterior = DensePosterior(before.rows.joined(new), kernel, values, L)

    def moments(self, functionals: Derivatives) -> Moments:
        """Posterior moments (1, n) of derivatives, those of a point together, for an amplitude of one if that is left out."""
        mean, cov = moments_of(self._posterior, self._posterior.rows, functionals)
        return Moments(mean.reshape(1, -1), np.diagonal(cov, axis1=1, axis2=2).reshape(1, -1))
