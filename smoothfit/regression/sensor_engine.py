"""The engine of a penalised basis in which scales, lags and response times of series are integrated over as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import SpecificationError
from ..inference.engine import Expansion, Moments, PointDraws, Terms
from .band import BandRows
from .engine import BandEngine, BandStream
from .products import ProductRows
from .rows import Rows
from .sensors import Sensors, Unscaled
from .series_points import SeriesRows

WIDE = 1e-3  # of a coordinate, of second differences
MOST_KEPT, ROOM = 600, 200_000  # engines that are kept, and observations of all of them


@dataclass(frozen=True, eq=False)
class SensorEngine:
    """A penalised basis at given weights, variances and psi: scales, lags and response times, with which theta ends.

    Attributes
    ----------
    sensors : Sensors
    rows : Rows
        Of which these are unknown.
    make : callable
        From rows in which they are known to the engine.
    psi_hat : ndarray, shape (p,)
    """

    sensors: Sensors
    rows: Rows
    make: Callable[[Rows], BandEngine]
    psi_hat: FloatArray
    is_linear: ClassVar[bool] = False  # psi is estimated, too
    has_slow_prior: ClassVar[bool] = False
    kept: dict[bytes, BandEngine] = field(default_factory=dict)

    def inner(self, psi: FloatArray) -> BandEngine:
        """The engine at psi (p,); the last ones are kept, since priors and moments are asked for where likelihoods were."""
        key = psi.tobytes()
        if key not in self.kept:
            if self.kept and len(self.kept) >= min(MOST_KEPT, ROOM // len(self.rows.ratio)):
                del self.kept[next(iter(self.kept))]
            self.kept[key] = self.make(self.sensors.at(self.rows, psi))
        return self.kept[key]

    @cached_property
    def at_estimate(self) -> BandEngine:
        """The engine at the estimated psi."""
        return self.inner(self.psi_hat)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "at_estimate"} | {"kept": {}}

    @property
    def relative(self) -> bool:
        return self.at_estimate.relative

    @property
    def count(self) -> int:
        return self.at_estimate.count

    @property
    def names(self) -> tuple[str, ...]:
        """Those of weights and variances, then of psi."""
        return (*self.at_estimate.names, *self.sensors.labels)

    @property
    def lower(self) -> FloatArray:
        return np.concatenate([self.at_estimate.lower, self.sensors.lower])

    @property
    def upper(self) -> FloatArray:
        return np.concatenate([self.at_estimate.upper, self.sensors.upper])

    @property
    def is_size(self) -> npt.NDArray[np.bool_]:
        """Whether an entry has Jeffreys' prior: weights and variances."""
        return np.arange(len(self.names)) < len(self.at_estimate.names)

    def log_prior_of_shapes(self, theta: FloatArray) -> FloatArray:
        """Log prior density (L,) of psi."""
        return self.sensors.log_prior(theta[:, self._split :])

    def logs(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.at_estimate.logs(theta[:, : self._split])

    @property
    def _split(self) -> int:
        return len(self.at_estimate.names)

    def _each(self, theta: FloatArray) -> Iterator[tuple[BandEngine, FloatArray, FloatArray]]:
        """The engine at each theta, with the rest of theta (1, q) and psi."""
        for point in theta:
            psi = point[self._split :]
            yield self.inner(psi), point[None, : self._split], psi

    def terms(self, theta: FloatArray, order: int = 0) -> Terms:
        """Terms of the restricted likelihood; derivatives by central differences."""
        if order == 0:
            return Terms(*(Expansion(value) for value in self._values(theta)))
        found = [self._expansion(point) for point in theta]
        parts = [[np.array([one[k][i] for one in found]) for i in range(3)] for k in range(2)]
        return Terms(*(Expansion(value, slope, bend if order > 1 else None) for value, slope, bend in parts))

    def _values(self, theta: FloatArray) -> FloatArray:
        """log_det and sse (2, L)."""
        found, unscaled = np.empty((2, len(theta))), Unscaled(self.sensors, self.rows)
        for i, (engine, rest, psi) in enumerate(self._each(theta)):
            terms = engine.terms(rest)
            free = engine.system.free if engine.columns is None else np.asarray(engine.columns @ engine.system.free)
            factor = unscaled.log_det(psi, engine.rows, free, engine.logs(rest)[1][0])
            found[:, i] = terms.log_det.value[0] - factor, terms.sse.value[0]
        return found

    def _expansion(self, theta: FloatArray) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Value, gradient and Hessian of log_det and of sse at one theta."""
        p = len(theta)
        moves = WIDE * np.eye(p)
        pairs = [(i, j) for i in range(p) for j in range(i)]
        corners = [a * moves[i] + b * moves[j] for i, j in pairs for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        values = self._values(theta + np.array([np.zeros(p), *moves, *-moves, *corners]))
        found = []
        sides = values[:, 1 : 2 * p + 1].reshape(2, 2, p)
        for centre, (up, down), rest in zip(values[:, 0], sides, values[:, 2 * p + 1 :], strict=True):
            hessian = np.diag((up - 2 * centre + down) / WIDE**2)
            for (i, j), (a, b, c, d) in zip(pairs, rest.reshape(-1, 4), strict=True):
                hessian[i, j] = hessian[j, i] = (a - b - c + d) / (4 * WIDE**2)
            found.append((centre, (up - down) / (2 * WIDE), hessian))
        return found

    def information(self, theta: FloatArray) -> FloatArray:
        """Expected information (L, p, p) of weights and variances; zero elsewhere."""
        found, q = np.zeros((*theta.shape, theta.shape[1])), self._split
        for one, (engine, rest, _) in zip(found, self._each(theta), strict=True):
            one[:q, :q] = engine.information(rest)[0]
        return found

    def moments(self, theta: FloatArray, functionals: BandRows | ProductRows | SeriesRows) -> Moments:
        """As of `BandEngine`; rows of a series are those at each theta."""
        parts = [engine.moments(rest, _known(functionals, engine)) for engine, rest, _ in self._each(theta)]
        return Moments(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def draws(self, theta: FloatArray, functionals: BandRows | ProductRows | SeriesRows) -> PointDraws:
        """As of `BandEngine`; rows of a series are those at theta."""
        engine, rest, _ = next(self._each(theta[None]))
        return engine.draws(rest[0], _known(functionals, engine))

    def leverages(self, theta: FloatArray) -> FloatArray:
        return np.concatenate([engine.leverages(rest) for engine, rest, _ in self._each(theta)])

    def stream(self, theta: FloatArray, lag: int | None = None) -> BandStream:
        raise SpecificationError(
            f"{self.sensors.labels[0]} is estimated, which a stream of a SplineRegression does not support; use SmoothingSpline"
        )


def _known(functionals: BandRows | ProductRows | SeriesRows, engine: BandEngine) -> BandRows | ProductRows:
    """Rows of coefficients at the scales, lags and response times of an engine."""
    return functionals.of(engine.rows) if isinstance(functionals, SeriesRows) else functionals
