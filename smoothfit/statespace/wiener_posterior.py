"""The posterior of an integrated Wiener process at given variances, by the unrolled kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError
from ..markov.integral import integral_moments
from ..markov.kernels import filtered_states, smoothed_states, state_variances, states_at
from ..markov.priors import IntegratedWiener
from ..markov.program import INTEGRAL, VALUE
from ..markov.rows import Rows
from ..markov.sampling import Sampler
from ..observations import Observations
from .functionals import CurveFunctionals
from .markov_posterior import MarkovPosterior
from .online import Kind, Source
from .online_wiener import WienerOnline
from .specification import Specification


@dataclass(frozen=True, eq=False)
class WienerPosterior:
    """The posterior of an integrated Wiener process at given scaled variances.

    Attributes
    ----------
    observations : Observations
    rows : Rows
    order : int
    q : float
        Scaled intensity; zero for a polynomial.
    sigma2 : ndarray, shape (n_groups,)
        Scaled variances of the unknown series, and one for the known ones.
    """

    observations: Observations
    rows: Rows
    order: int
    q: float
    sigma2: FloatArray

    @cached_property
    def filtered(self) -> FloatArray:
        """Filtered states of the nodes, packed."""
        return filtered_states(self.rows, self.order, self.q, self.sigma2)

    @cached_property
    def smoothed(self) -> FloatArray:
        """Posterior states of the nodes, packed."""
        return smoothed_states(self.rows, self.order, self.q, self.filtered)

    @cached_property
    def general(self) -> MarkovPosterior:
        """The same by the kernels of any prior, which know differences and joint draws of integrals."""
        specification = Specification(self.observations, IntegratedWiener(self.order))
        scale = self.rows.scale
        hyper = self.q * scale.intensity(self.order) / specification.hyper_unit(specification.hyperparameters[0])
        sds = [sd / specification.unit_of(self.observations[name]) for name, sd, is_estimated in self.noise_sds if is_estimated]
        return MarkovPosterior(specification, np.array([hyper]), np.append(np.square(sds), 1.0))

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, sd and whether it is unknown."""
        rows, sds = self.rows, []
        for reading in self.observations.readings:
            unit = rows.scale.of(reading.deriv)  # whose squares are numbers, whatever the user's unit
            if reading.sd is None:
                sd = float(np.sqrt(self.sigma2[rows.unknown.index(reading.name)])) * unit
            else:
                sd = float(np.sqrt(np.mean((reading.sd / unit) ** 2))) * unit
            sds.append((reading.name, sd, reading.sd is None))
        return sds

    # Functionals ------------------------------------------------------------------------------------------------------

    def moments(self, functionals: CurveFunctionals) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances of functionals (n,), in the user's units."""
        self._check(functionals)
        if functionals.kind == INTEGRAL:
            return self._integrals(functionals)
        if functionals.kind != VALUE:
            return self.general.moments(functionals)
        rows, order, derivs = self.rows, self.order, np.array(functionals.derivs)
        states = states_at(rows, order, self.q, self.filtered, self.smoothed, functionals.points)
        units = rows.scale.units(order)[derivs, None]
        origins = np.where(derivs == 0, rows.scale.y_origin, 0.0)[:, None]
        mean, variance = states[:, derivs].T * units + origins, state_variances(order, states)[:, derivs].T * units**2
        return mean.ravel(), variance.ravel()

    def _integrals(self, functionals: CurveFunctionals) -> tuple[FloatArray, FloatArray]:
        scale, upper = self.rows.scale, functionals.upper
        assert upper is not None
        lengths = upper.minus(functionals.points)
        found = np.empty((2, len(functionals)))
        for i in range(len(functionals)):
            low, high = functionals.points.take([i]), upper.take([i])
            found[:, i] = integral_moments(self.rows, self.order, self.q, self.sigma2, low, high)
        unit = scale.y_unit * scale.x_unit
        return found[0] * unit + scale.y_origin * lengths, found[1] * unit**2

    def draws(self, functionals: CurveFunctionals, rng: np.random.Generator, size: int) -> FloatArray:
        """Draws (size, n) of functionals about their means, in the user's units."""
        self._check(functionals)
        if functionals.kind != VALUE:
            return self.general.draws(functionals, rng, size)
        derivs = np.array(functionals.derivs)
        sampler = Sampler.of(self.rows, self.order, self.q, self.sigma2, self.filtered, functionals.points)
        draws = sampler.draw(rng, size, derivs) * self.rows.scale.units(self.order)[derivs, None, None]
        return np.asarray(np.swapaxes(draws, 0, 1).reshape(size, -1))

    def _check(self, functionals: CurveFunctionals) -> None:
        """Refuse what an integrated Wiener process has not."""
        if max(functionals.derivs) >= self.order:
            raise SpecificationError(f"derivs holds {max(functionals.derivs)}; at order {self.order} f has {self.order - 1}")
        if functionals.component not in (None, IntegratedWiener.label):
            raise SpecificationError(f"component is {functionals.component!r}; the only one is {IntegratedWiener.label!r}")

    # Observations -----------------------------------------------------------------------------------------------------

    @property
    def noise_ratio(self) -> FloatArray:
        """Scaled noise variance of each sorted row."""
        return self.rows.ratio * self.sigma2[self.rows.group]

    @property
    def leverage(self) -> FloatArray:
        """Diagonal (n,) of the smoother matrix, in the order of the observations."""
        rows = self.rows
        variance = state_variances(self.order, self.smoothed)[rows.node_of_row, rows.deriv]
        return rows.in_given_order(variance) / rows.in_given_order(self.noise_ratio)

    def online(self, lag: int, df: float, described: str) -> WienerOnline:
        """A curve that goes on with new observations; `df` and the model as `described` are what it shows."""
        rows, kinds = self.rows, {}
        for reading in self.observations.readings:
            origin = rows.scale.y_origin if reading.deriv == 0 else 0.0
            kinds[reading.name] = Kind.of(reading, rows.scale.of(reading.deriv), origin, rows.unknown)
        source = Source(self.observations, kinds, {name: sd for name, sd, _ in self.noise_sds}, df, described)
        return WienerOnline(source, lag, rows, self.order, self.q, self.sigma2, self.filtered)
