"""What a model hands to the searches, to the integration over what is estimated, and to results: a linear Gaussian model.

theta are the logarithms of what is estimated, in the model's scaled units. If every variance of the model is unknown, a common
factor s^2 of all of them is left out of theta (`Engine.relative`): the likelihood is maximal at s^2 = sse / count, and
integrated over s^2 with the density 1 / s^2 it is proportional to exp(-log_det / 2) sse^(-count / 2), with Student's t with
`count` degrees of freedom for whatever is linear. Else s^2 is one.

This file imports no model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray

Functionals = TypeVar("Functionals", contravariant=True)
Data = TypeVar("Data", contravariant=True)
PointDraws = Callable[[np.random.Generator, int], FloatArray]  # of n values: rng, size -> (size, n)


class Expansion(NamedTuple):
    """A function of theta at L points with its exact derivatives, as far as they were asked for."""

    value: FloatArray  # (L,)
    gradient: FloatArray | None = None  # (L, p)
    hessian: FloatArray | None = None  # (L, p, p)


class Terms(NamedTuple):
    """-2 log restricted likelihood = log_det + count log s^2 + sse / s^2, up to a constant that theta does not change.

    Where theta cannot be computed, both values are NaN.
    """

    log_det: Expansion
    sse: Expansion


class Moments(NamedTuple):
    """Posterior moments of functionals at each theta, for s^2 = 1; units are the user's."""

    mean: FloatArray  # (L, n)
    variance: FloatArray  # (L, n)


class Stream(Protocol[Data, Functionals]):
    """A posterior that takes observations as they come, at one theta."""

    def append(self, data: Data, /) -> None:
        """Take more observations, at or after the last one where the model is a process of time."""

    def moments(self, functionals: Functionals) -> Moments:
        """Posterior moments (1, n) given what was taken so far."""


class Likelihood(Protocol):
    """The restricted likelihood of theta with its prior; methods take L points theta (L, p) side by side."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries of theta are the logarithms of."""

    @property
    def lower(self) -> FloatArray:
        """Lower bounds of the search (p,): beyond them the model is that at the bound, to rounding."""

    @property
    def upper(self) -> FloatArray:
        """Upper bounds of the search (p,)."""

    @property
    def count(self) -> int:
        """Contrasts whose density the likelihood is."""

    @property
    def relative(self) -> bool:
        """Whether a common factor s^2 of all variances is left out of theta."""

    @property
    def is_size(self) -> npt.NDArray[np.bool_]:
        """Whether each entry of theta has Jeffreys' prior by `information`, given those that have not (p,)."""

    @property
    def is_linear(self) -> bool:
        """Whether the variances of observations are linear in powers of each exp(theta_i)."""

    @property
    def has_slow_prior(self) -> bool:
        """Whether an information matrix costs many passes, and those of all theta vary slowly: see `interpolated`."""

    def log_prior_of_shapes(self, theta: FloatArray) -> FloatArray:
        """Log prior density (L,) of the other entries at theta (L, p): length scales, periods, ratios."""

    def terms(self, theta: FloatArray, order: int = 0) -> Terms:
        """Terms of the restricted likelihood with derivatives up to `order` (0, 1 or 2)."""

    def information(self, theta: FloatArray) -> FloatArray:
        """Expected information (L, p, p) of theta in the restricted likelihood, s^2 being estimated with it if left out.

        Rows and columns of entries that are no sizes (`is_size`) are not used.
        """


class Engine(Likelihood, Protocol[Data, Functionals]):
    """A linear Gaussian model of given observations."""

    def moments(self, theta: FloatArray, functionals: Functionals) -> Moments:
        """Posterior means and variances of functionals: derivatives, integrals and differences of f, components."""

    def draws(self, theta: FloatArray, functionals: Functionals) -> PointDraws:
        """What draws functionals at one theta (p,), about their means and for s^2 = 1: rng, size -> (size, n)."""

    def leverages(self, theta: FloatArray) -> FloatArray:
        """Diagonals (L, n_obs) of the smoother matrix, in the order of the observations."""

    def stream(self, theta: FloatArray, lag: int | None = None) -> Stream[Data, Functionals]:
        """A posterior at one theta (p,) that goes on from the observations of the engine."""


class Sized:
    """An engine whose theta are all sizes, with Jeffreys' prior."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries of theta are the logarithms of."""
        raise NotImplementedError

    @property
    def is_size(self) -> npt.NDArray[np.bool_]:
        """All (p,)."""
        return np.ones(len(self.names), np.bool_)

    @property
    def is_linear(self) -> bool:
        return True

    @property
    def has_slow_prior(self) -> bool:
        """It has not: the matrices cost little."""
        return False

    def log_prior_of_shapes(self, theta: FloatArray) -> FloatArray:
        """There are none: zeros (L,)."""
        return np.zeros(len(theta))


def information_of_scales(log_det: Expansion, count: int, relative: bool) -> FloatArray:
    """Expected information (L, p, p) where every variance of the model is linear in each exp(theta_i).

    With P the projected precision of the contrasts and K_i the derivative of their covariance K by theta_i,

        information_ij = 1/2 tr(P K_i P K_j),   d log_det / d theta_i = tr(P K_i),
        d^2 log_det / d theta_i d theta_j = delta_ij tr(P K_i) - tr(P K_i P K_j),

    so that no eigenvalue is needed. The common factor s^2 has the derivative K, tr(P K) = count, and is projected out.
    """
    assert log_det.gradient is not None
    assert log_det.hessian is not None
    slope = log_det.gradient
    traces = slope[:, :, None] * np.eye(slope.shape[1]) - log_det.hessian
    if relative:
        traces = traces - slope[:, :, None] * slope[:, None, :] / count
    return traces / 2
