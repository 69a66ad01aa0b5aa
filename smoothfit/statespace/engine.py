"""Base of the engines of state space models: theta, and how the likelihood's terms depend on it.

The coordinates of a model are the logarithms of all that is not given: variances, intensities, amplitudes and length scales. theta
is what is left of them when

- the variance of the first series is one, if all variances are unknown: sizes are relative to it (`Engine.relative`),
- a fixed smoothing (lam, bandwidth or edf) determines an intensity from the rest.

So theta may be empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError, SpecificationError
from ..inference.engine import Expansion, Moments, PointDraws, Terms, information_of_scales
from .functionals import CurveFunctionals
from .online import OnlineSpline

STEP = 1e-4  # in a logarithm: of central differences of exact scores, right to its square
EXTREME: Any = {"over": "ignore", "under": "ignore"}  # where kernels report that numbers are out of range
MOST_KEPT = 2**18
NOWHERE = (NumericalError, IdentificationError, SpecificationError)  # also a trace that no intensity has at these variances


class StateSpaceEngine(ABC):
    """A state space model of given observations, as `inference.engine.Engine` describes; it has k coordinates."""

    # What a subclass provides -----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def count(self) -> int:
        """Contrasts whose density the likelihood is."""

    @property
    @abstractmethod
    def relative(self) -> bool:
        """Whether a common factor s^2 of all variances is left out of theta."""

    @property
    @abstractmethod
    def coordinates(self) -> tuple[str, ...]:
        """Names of the coordinates."""

    @property
    @abstractmethod
    def powers(self) -> FloatArray:
        """The power of s with which each grows (k,): 2 of variances and intensities, 1 of amplitudes, 0 of length scales."""

    @property
    @abstractmethod
    def coordinate_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds (k,) of the coordinates."""

    @property
    @abstractmethod
    def coordinate_extent(self) -> tuple[FloatArray, FloatArray]:
        """Between which ends (k,) the coordinates lie that observations can determine."""

    @property
    @abstractmethod
    def vanishes(self) -> npt.NDArray[np.bool_]:
        """Whether each coordinate represents zero at its lower bound (k,)."""

    @property
    @abstractmethod
    def reference(self) -> int | None:
        """The coordinate that is zero in theta, if sizes are relative."""

    @property
    @abstractmethod
    def tied(self) -> int | None:
        """The coordinate that a fixed smoothing determines."""

    @abstractmethod
    def _tie(self, whole: FloatArray) -> tuple[float, FloatArray]:
        """The tied coordinate, and its slopes by all coordinates; those by itself and by length scales may be left out."""

    @abstractmethod
    def _values(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """log_det and sse at coordinates (L, k)."""

    @abstractmethod
    def _scores(self, wholes: FloatArray) -> FloatArray:
        """The same with derivatives by all coordinates: (2, L, 1 + k); NaN if they cannot be computed."""

    @abstractmethod
    def curvatures(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `_scores`, and Hessians (2, L, k, k) of log_det and of sse; of the reference both may be left out."""

    def _curvatures_of_sizes(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `curvatures`; derivatives by others than sizes may be left out."""
        return self.curvatures(wholes)

    @abstractmethod
    def _at(self, theta: FloatArray) -> Any:
        """The posterior at one theta (p,)."""

    def at(self, theta: FloatArray) -> Any:
        """The posterior at one theta (p,); as many as fit into `MOST_KEPT` observations are kept."""
        kept, key = self._kept, theta.tobytes()
        if key not in kept:
            while kept and (len(kept) + 1) * self.count > MOST_KEPT:
                del kept[next(iter(kept))]
            kept[key] = self._at(theta)
        return kept[key]

    @cached_property
    def _kept(self) -> dict[bytes, Any]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    @abstractmethod
    def theta_at(self, optimum: Any) -> FloatArray:
        """The theta (p,) of what a search returned, within the bounds."""

    # theta ------------------------------------------------------------------------------------------------------------

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """Of theta among the coordinates."""
        left_out = [i for i in (self.reference, self.tied) if i is not None]
        return np.setdiff1d(np.arange(len(self.coordinates)), left_out)

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries of theta are the logarithms of."""
        return tuple(self.coordinates[i] for i in self._places)

    @cached_property
    def lower(self) -> FloatArray:
        lower, upper = self.coordinate_bounds
        return self._relative_to(lower, upper)

    @cached_property
    def upper(self) -> FloatArray:
        lower, upper = self.coordinate_bounds
        return self._relative_to(upper, lower)

    def theta_of(self, whole: FloatArray) -> FloatArray:
        """The theta (p,) of all coordinates (k,), moved to within the bounds; infinite ones represent zero."""
        return np.clip(self._relative_to(whole, whole), self.lower, self.upper)

    def _relative_to(self, whole: FloatArray, other: FloatArray) -> FloatArray:
        """Entries of theta at coordinates, relative to the reference of others."""
        relative = whole if self.reference is None else whole - self.powers / 2 * other[self.reference]
        return np.asarray(relative[self._places])

    def _whole(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All coordinates (k,) at a theta (p,), and their Jacobian (k, p)."""
        whole = np.zeros(len(self.coordinates))
        whole[self._places] = theta
        if self.tied is None:
            return whole, self._selection
        jacobian = self._selection.copy()
        whole[self.tied], slopes = self._tie(whole)
        jacobian[self.tied] = slopes[self._places]
        return whole, jacobian

    def _wholes(self, theta: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
        """Which of theta (L, p) can be computed, their coordinates (T, k) and Jacobians (T, k, p)."""
        wholes, jacobians = np.zeros((len(theta), len(self.coordinates))), np.tile(self._selection, (len(theta), 1, 1))
        if self.tied is None:
            wholes[:, self._places] = theta
            return np.arange(len(theta)), wholes, jacobians
        computed = []
        for i, point in enumerate(theta):
            try:
                wholes[i], jacobians[i] = self._whole(point)
            except NOWHERE:
                continue
            computed.append(i)
        found = np.array(computed, np.int64)
        return found, wholes[found], jacobians[found]

    @cached_property
    def _selection(self) -> FloatArray:
        """The coordinates as a linear function of theta (k, p), but for a tied one."""
        return np.eye(len(self.coordinates))[:, self._places]

    def _exponentials(self, whole: FloatArray, theta: FloatArray) -> FloatArray:
        """What the coordinates are the logarithms of: zero where theta is at its lower bound and that represents zero."""
        numbers = np.exp(whole)
        numbers[self._places[self.vanishes[self._places] & (theta <= self.lower)]] = 0.0
        return np.asarray(numbers)

    def _bend(self, theta: FloatArray) -> FloatArray:
        """Second derivatives (p, p) of the tied coordinate by theta, by differences of its slopes; NaN if it has none beside it."""
        p = len(theta)
        try:
            ends = np.array([[self._whole(theta + shift)[1][self.tied] for shift in (s, -s)] for s in STEP * np.eye(p)])
        except NOWHERE:
            return np.full((p, p), np.nan)
        bend = (ends[:, 0] - ends[:, 1]) / (2 * STEP)
        return np.asarray((bend + bend.T) / 2)

    # Likelihood -------------------------------------------------------------------------------------------------------

    @np.errstate(**EXTREME)
    def terms(self, theta: FloatArray, order: int = 0) -> Terms:
        """Terms of the restricted likelihood at theta (L, p) with derivatives up to `order` (0, 1 or 2)."""
        (L, p), (computed, wholes, jacobians) = theta.shape, self._wholes(theta)
        values, gradients, hessians = np.full((2, L), np.nan), np.full((2, L, p), np.nan), np.full((2, L, p, p), np.nan)
        if order == 0:
            if len(computed):
                values[:, computed] = self._values(wholes)
            return Terms(*map(Expansion, values))
        scores, second = self.curvatures(wholes) if order > 1 and p else (self._scores(wholes), None)
        values[:, computed], gradients[:, computed] = scores[..., 0], (scores[..., None, 1:] @ jacobians)[..., 0, :]
        if second is not None:
            hessians[:, computed] = jacobians.swapaxes(1, 2) @ second @ jacobians
            if self.tied is not None:
                bends = np.array([self._bend(theta[i]) for i in computed]).reshape(-1, p, p)
                hessians[:, computed] += scores[:, :, 1 + self.tied, None, None] * bends
        return Terms(*(Expansion(values[k], gradients[k], hessians[k] if order > 1 else None) for k in range(2)))

    @np.errstate(**EXTREME)
    def information(self, theta: FloatArray) -> FloatArray:
        """Expected information (L, p, p) of theta (L, p) in the restricted likelihood.

        Exact for sizes: variances, intensities and amplitudes, given the length scales, periods and damping ratios, in whose
        exponentials the covariance is not linear. These have rows and columns of zeros; `is_size` marks the others.
        """
        (L, p), (computed, wholes, jacobians) = theta.shape, self._wholes(theta)
        found, sizes = np.full((L, p, p), np.nan), np.flatnonzero(self.powers)
        factors = 2 / self.powers[sizes]  # by which the logarithm of a fraction of the covariance moves with its coordinate
        scores, curvatures = (part[0] for part in self._curvatures_of_sizes(wholes))
        slopes = scores[:, 1 + sizes] / factors
        second = curvatures[:, sizes[:, None], sizes] / np.outer(factors, factors)
        of_shares = jacobians[:, sizes] * factors[:, None] * self.is_size
        information = information_of_scales(Expansion(scores[:, 0], slopes, second), self.count, self.relative)
        found[computed] = of_shares.swapaxes(1, 2) @ information @ of_shares
        if self.tied is None:
            mine = np.flatnonzero(self.is_size)
            found[np.ix_(computed, mine, mine)] = self._resolved(found[np.ix_(computed, mine, mine)], slopes)
        return found

    def _resolved(self, information: FloatArray, slopes: FloatArray) -> FloatArray:
        """Information (T, r, r) of sizes as far as it is resolved, given slopes (T, m) by fractions of the covariance."""
        return information

    def log_prior_of_shapes(self, theta: FloatArray) -> FloatArray:
        """Log prior density (L,) of length scales, periods and ratios at theta (L, p).

        It is uniform in the logarithm over what the observations can determine (`coordinate_extent`), and falls as exp(-distance)
        beyond, so that it is proper.
        """
        shapes = ~self.is_size
        first, last = (end[self._places][shapes] for end in self.coordinate_extent)
        beyond = np.maximum(0.0, np.maximum(first - theta[:, shapes], theta[:, shapes] - last))
        return np.asarray(-beyond.sum(axis=1))

    @cached_property
    def is_size(self) -> npt.NDArray[np.bool_]:
        """Whether each entry of theta is the logarithm of a size, not of a length scale, period or ratio: (p,)."""
        return self.powers[self._places] > 0

    @property
    def is_linear(self) -> bool:
        """Whether all are sizes, of which a fixed smoothing determines none."""
        return self.tied is None and bool(self.is_size.all())

    @property
    @abstractmethod
    def has_slow_prior(self) -> bool:
        """Whether an information matrix costs many passes: see `smoothfit.inference.interpolated`."""

    # Posteriors -----------------------------------------------------------------------------------------------------

    def moments(self, theta: FloatArray, functionals: CurveFunctionals) -> Moments:
        posteriors = [self.at(point) for point in theta]
        asked = posteriors[0].question(functionals)
        return Moments(*(np.array(part) for part in zip(*(one.answer(asked) for one in posteriors), strict=True)))

    def noise_sds(self, theta: FloatArray, name: str, *, process: bool = True) -> FloatArray:
        """SDs (L,) of the noise of new observations of a series, of weight one, at theta (L, p), in the user's units.

        With that of the noise process of the series, or alone.
        """
        return np.array([self.at(point).noise_sd_of(name, process=process) for point in theta])

    def draws(self, theta: FloatArray, functionals: CurveFunctionals) -> PointDraws:
        """What draws functionals about their means at one theta (p,), in the user's units: rng, size -> (size, n)."""
        posterior = self.at(theta)
        draw: PointDraws = posterior.draws(posterior.question(functionals))
        return draw

    def leverages(self, theta: FloatArray) -> FloatArray:
        return np.array([self.at(point).leverage for point in theta])

    def stream(self, theta: FloatArray, lag: int | None = None) -> OnlineSpline:
        """A posterior at one theta (p,) that goes on from the observations.

        The last `lag` observations can still be smoothed; by default as many as there are now.
        """
        posterior = self.at(theta)
        online: OnlineSpline = posterior.online(len(posterior.observations) if lag is None else lag, np.inf, repr(self))
        return online
