"""The engine of smoothing splines: an integrated Wiener process, observations of f and its derivatives, by unrolled kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError
from ..markov.bandwidth import LIMIT, Resolution, Tie
from ..markov.kernels import gradient_terms, second_terms_of_many, terms
from ..markov.rows import Rows
from ..observations import Observations
from ..results.exact import SMALLEST_SD
from .engine import StateSpaceEngine
from .fitting import Variances, log_spreads
from .wiener_posterior import WienerPosterior

MANY = 200  # observations, from which an information matrix takes longer than an interpolation of its determinant


@dataclass(frozen=True, eq=False)
class WienerEngine(StateSpaceEngine):
    """`StateSpaceEngine` of an integrated Wiener process; the coordinates are the logarithms of q and of the unknown variances.

    Attributes
    ----------
    observations : Observations
    rows : Rows
        The same, sorted and scaled.
    order : int
        Of the derivative that is white noise.
    tie : Tie or None
        A fixed smoothing.
    """

    observations: Observations
    rows: Rows
    order: int
    tie: Tie | None = None

    def __repr__(self) -> str:
        return f"order={self.order}"

    # theta ------------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Observations less the order."""
        return len(self.rows) - self.order

    @property
    def relative(self) -> bool:
        """Whether no SD is known."""
        return not self.rows.has_known

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The intensity q, and series of unknown noise SD."""
        return ("q", *self.rows.unknown)

    @property
    def has_slow_prior(self) -> bool:
        """Of many observations: a matrix takes derivatives of second order."""
        return self.count >= MANY

    @property
    def powers(self) -> FloatArray:
        """All are variances."""
        return np.full(len(self.coordinates), 2.0)

    @property
    def reference(self) -> int | None:
        """The variance of the first series."""
        return 1 if self.relative else None

    @property
    def tied(self) -> int | None:
        """The intensity, if the smoothing is fixed."""
        return None if self.tie is None else 0

    @property
    def coordinate_extent(self) -> tuple[FloatArray, FloatArray]:
        """The bounds: all are variances."""
        return self.coordinate_bounds

    @cached_property
    def vanishes(self) -> npt.NDArray[np.bool_]:
        """The intensity."""
        return np.asarray(np.arange(len(self.coordinates)) == 0)

    @cached_property
    def _resolution(self) -> Resolution:
        return Resolution(self.rows, self.order)

    @cached_property
    def coordinate_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Limits of a polynomial and of interpolation; the variance of the first series is one if it is the reference."""
        rows = self.rows
        typical = log_spreads(rows, rows.unknown)
        if self.relative:
            typical = typical - typical[0]
        known = np.zeros(rows.n_groups - len(typical))
        least, most = self._resolution.limits(np.exp(np.append(typical, known)))
        floor = 2 * np.log(SMALLEST_SD)
        ceiling = np.full(len(typical), -floor if self.relative else np.log(LIMIT))
        room = np.log(LIMIT) if len(rows.unknown) > self.relative else 0.0  # the limits of q move with the variances
        lower, upper = np.append(least - room, typical + floor), np.append(most + room, typical + ceiling)
        if self.relative:
            lower[1] = upper[1] = 0.0
        return lower, upper

    def theta_at(self, variances: Variances) -> FloatArray:
        with np.errstate(divide="ignore"):
            whole = np.log(np.append(variances.q, variances.sigma2[: len(self.rows.unknown)]))
        return self.theta_of(whole)

    def _tie(self, whole: FloatArray) -> tuple[float, FloatArray]:
        assert self.tie is not None
        log_q, slopes = self.tie.log_q(self._resolution, self._log_variances(whole[None])[0])
        return log_q, np.append(0.0, slopes[: len(self.rows.unknown)])

    def _log_variances(self, wholes: FloatArray) -> FloatArray:
        """Of all groups (L, G): that of the known noise SDs is one."""
        return np.hstack([wholes[:, 1:], np.zeros((len(wholes), int(self.rows.has_known)))])

    # Likelihood -------------------------------------------------------------------------------------------------------

    def _values(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        q, sigma2 = np.exp(wholes[:, 0]), np.exp(self._log_variances(wholes))
        try:
            return terms(self.rows, self.order, q, sigma2)[:2]
        except (NumericalError, IdentificationError):  # NaN has no weight at ends of the range, and is an error elsewhere
            if len(wholes) == 1:
                return np.array([np.nan]), np.array([np.nan])
        log_det, sse = zip(*(self._values(whole[None]) for whole in wholes), strict=True)
        return np.concatenate(log_det), np.concatenate(sse)

    @cached_property
    def _directions(self) -> FloatArray:
        return np.eye(len(self.coordinates), 1 + self.rows.n_groups)

    def _scores(self, wholes: FloatArray) -> FloatArray:
        found = np.full((2, len(wholes), 1 + len(self.coordinates)), np.nan)
        for i, (q, sigma2) in enumerate(zip(np.exp(wholes[:, 0]).tolist(), np.exp(self._log_variances(wholes)), strict=True)):
            try:
                found[:, i] = gradient_terms(self.rows, self.order, q, sigma2, self._directions)[:2]
            except (NumericalError, IdentificationError):
                continue
        return found

    @cached_property
    def _others(self) -> tuple[npt.NDArray[np.intp], FloatArray]:
        """The coordinates but for the reference, and their directions."""
        others = np.delete(np.arange(len(self.coordinates)), [] if self.reference is None else [self.reference])
        return others, self._directions[others]

    def curvatures(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scores and Hessians by second-order duals."""
        (L, k), (others, directions) = wholes.shape, self._others
        scores, hessians, p = np.zeros((2, L, 1 + k)), np.zeros((2, L, k, k)), len(others)
        q, sigma2 = np.exp(wholes[:, 0]), np.exp(self._log_variances(wholes))
        try:
            terms = np.array(second_terms_of_many(self.rows, self.order, q, sigma2, directions)[:2])
        except (NumericalError, IdentificationError):
            if L == 1:
                return scores * np.nan, hessians * np.nan
            parts = [self.curvatures(whole[None]) for whole in wholes]
            return np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts], axis=1)
        scores[..., 0], scores[..., 1 + others] = terms[..., 0], terms[..., 1 : 1 + p]
        hessians[..., others[:, None], others] = terms[..., 1 + p :].reshape(2, L, p, p)
        return scores, hessians

    # Posteriors -------------------------------------------------------------------------------------------------------

    def _at(self, theta: FloatArray) -> WienerPosterior:
        whole = self._whole(theta)[0]
        numbers = self._exponentials(whole, theta)
        sigma2 = np.exp(self._log_variances(whole[None])[0])
        return WienerPosterior(self.observations, self.rows, self.order, float(numbers[0]), sigma2)
