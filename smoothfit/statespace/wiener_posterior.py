"""The posterior of an integrated Wiener process at given variances, by the unrolled kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from .._validation import FloatArray, IntArray, frozen
from ..basis import Spline
from ..errors import SpecificationError
from ..markov.bandwidth import Resolution
from ..markov.criteria import likelihood_of
from ..markov.functionals import INTEGRAL, VALUE
from ..markov.integral import integral_moments
from ..markov.kernels import filtered_states, higher_derivatives, innovations, smoothed_states, state_variances, states_at, terms
from ..markov.priors import IntegratedWiener
from ..markov.rows import Rows
from ..markov.sampling import Sampler, Shocks, shocks
from ..observations import Observations
from ..observations.abscissa import Points
from ..results.misfit import Errors
from ..results.offsets import Offset, Stretch, offsets_of, scores_of
from ..results.protocols import Change
from .functionals import CurveFunctionals
from .markov_posterior import MarkovPosterior
from .online_wiener import Setting, WienerOnline
from .source import Kind, Nodes, Source
from .specification import Specification
from .spline import Pieces
from .units import noise_sds

CENTRE_BEYOND = 150  # powers of two: units of 1e-45 to 1e45 are left as they are


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
    noise_factor: ClassVar[float] = 1.0  # by which the logarithm of an SD moves with its entry of `logs`
    # What this posterior has not: coefficients, regressors, biases, and parameters of series beside their SDs.
    effects: ClassVar[tuple[FloatArray, FloatArray]] = frozen(np.zeros(0)), frozen(np.zeros((0, 0)))
    effects_by_sensors: ClassVar[FloatArray] = effects[1]
    slopes: ClassVar[Mapping[str, float]] = {}
    effect_names: ClassVar[tuple[str, ...]] = ()
    of_sensors: ClassVar[tuple[str, ...]] = ()
    biased: ClassVar[tuple[str, ...]] = ()
    regressors: ClassVar[tuple[str, ...]] = ()
    no_spline: ClassVar[str] = ""  # why the mean is no spline: it is one
    is_periodic: ClassVar[bool] = False

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
        """The same by the kernels of any prior, which support differences and joint draws of integrals."""
        specification = Specification(self.observations, IntegratedWiener(self.order))
        scale = self.rows.scale
        hyper = self.q * scale.intensity(self.order) / specification.hyper_unit(specification.hyperparameters[0])
        sds = [sd / specification.unit_of(self.observations[name]) for name, sd, is_estimated in self.noise_sds if is_estimated]
        return MarkovPosterior(specification, np.array([hyper]), np.append(np.square(sds), 1.0))

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        scale = self.rows.scale
        return noise_sds(self.observations, self.rows.unknown, self.sigma2, lambda reading: scale.of(reading.deriv))

    # Parameters -------------------------------------------------------------------------------------------------------

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The intensity q, in the user's units."""
        return {"q": self.q * self.rows.scale.intensity(self.order)}

    @property
    def trend(self) -> tuple[int, str]:
        """Order, and name of the intensity."""
        return self.order, "q"

    @cached_property
    def bandwidth(self) -> float:
        """Half width of the averaging window, in units of x."""
        return Resolution(self.rows, self.order).bandwidth(self.q, self.sigma2) * self.rows.scale.x_unit

    @property
    def logs(self) -> tuple[tuple[str, bool], ...]:
        """Name of each parameter, of whose logarithms `moved` takes changes, and whether it is an SD."""
        return (*((name, True) for name in self.rows.unknown), ("q", False))

    @property
    def is_relative(self) -> bool:
        return not self.rows.has_known

    def moved(self, step: FloatArray) -> WienerPosterior:
        sigma2, n_unknown = self.sigma2.copy(), len(self.rows.unknown)
        sigma2[:n_unknown] *= np.exp(2 * step[:n_unknown])
        return replace(self, q=self.q * float(np.exp(step[-1])), sigma2=sigma2)

    def log_hessian(self, free: IntArray, method: str) -> FloatArray:
        directions = np.eye(len(self.logs), 1 + self.rows.n_groups, 1)
        directions *= 2.0  # log sigma2 = 2 log sigma
        directions[-1] = np.eye(1, 1 + self.rows.n_groups)
        return likelihood_of(method)(self.rows, self.order).joint_hessian(self.q, self.sigma2, directions[free])

    # Likelihood -------------------------------------------------------------------------------------------------------

    @property
    def n_diffuse(self) -> int:
        """Constants of the polynomial."""
        return self.order

    @cached_property
    def log_det_design(self) -> float:
        """log|X'X| with X_ij = (x^j / j!)^(k_i) at x_i, in the user's units of the observations and scaled units of x and f."""
        rows = self.rows
        ratio, exponent = _centred(rows.scale.units(self.order)[rows.deriv])
        plain = replace(rows, group=np.zeros_like(rows.group), ratio=ratio, unknown=("all",), has_known=False)
        log_det = terms(plain, self.order, np.zeros(1), np.ones((1, 1))).log_det[0]
        return float(log_det - np.log(ratio).sum() + self.order * exponent * np.log(2))

    @property
    def log_det_units(self) -> float:
        return float(np.log(self.rows.scale.units(self.order)).sum())

    def log_likelihood(self, method: str) -> float:
        likelihood = likelihood_of(method)(self.rows, self.order)
        units = np.log(self.rows.scale.units(self.order))
        of_readings = float(np.bincount(self.rows.deriv, minlength=self.order) @ units)
        return -likelihood.at_variances(self.q, self.sigma2) / 2 - of_readings

    # Functionals ------------------------------------------------------------------------------------------------------

    @property
    def highest_derivative(self) -> int:
        """Highest order of a derivative with a posterior variance: order - 1."""
        return self.order - 1

    @property
    def highest_mean_derivative(self) -> int:
        """2 order - 1: between observations the mean is a polynomial of that degree."""
        return 2 * self.order - 1

    @property
    def component_names(self) -> tuple[str, ...]:
        """The one component of the prior."""
        return (IntegratedWiener.label,)

    def component_smoothness(self, component: str) -> int:
        return self.highest_derivative

    def question(self, functionals: CurveFunctionals) -> CurveFunctionals:
        """Functionals, checked."""
        if max(functionals.derivs) >= self.order:
            raise SpecificationError(f"derivs holds {max(functionals.derivs)}; at order {self.order} f has {self.order - 1}")
        if functionals.component not in (None, *self.component_names):
            raise SpecificationError(f"component is {functionals.component!r}; the only one is {IntegratedWiener.label!r}")
        return functionals

    def answer(self, asked: CurveFunctionals) -> tuple[FloatArray, FloatArray]:
        mean, variance = self.centred(asked)
        origin = self.rows.scale.y_origin
        if asked.kind == INTEGRAL:
            assert asked.upper is not None
            return mean + origin * asked.upper.minus(asked.points), variance
        is_level = np.repeat(np.array(asked.derivs) == 0, len(asked.points.coarse)) & (asked.kind == VALUE)
        return mean + np.where(is_level, origin, 0.0), variance

    def centred(self, asked: CurveFunctionals) -> tuple[FloatArray, FloatArray]:
        if asked.kind == INTEGRAL:
            return self._integrals(asked)
        if asked.kind != VALUE:
            return self.general.centred(self.general.question(asked))
        rows, order, derivs = self.rows, self.order, np.array(asked.derivs)
        states = states_at(rows, order, self.q, self.filtered, self.smoothed, asked.points)
        units = rows.scale.units(order)[derivs, None]
        variance = state_variances(order, states)[:, derivs].T * units**2
        return (states[:, derivs].T * units).ravel(), variance.ravel()

    def _integrals(self, asked: CurveFunctionals) -> tuple[FloatArray, FloatArray]:
        """The antiderivative from a limit is an integrated Wiener process of order + 1 that is zero there."""
        scale, upper = self.rows.scale, asked.upper
        assert upper is not None
        found = np.empty((2, len(asked)))
        for i in range(len(asked)):
            low, high = asked.points.take([i]), upper.take([i])
            found[:, i] = integral_moments(self.rows, self.order, self.q, self.sigma2, low, high)
        unit = scale.y_unit * scale.x_unit
        return found[0] * unit, found[1] * unit**2

    def draws(self, asked: CurveFunctionals) -> Callable[[np.random.Generator, int], FloatArray]:
        if asked.kind != VALUE:
            return self.general.draws(self.general.question(asked))
        derivs = np.array(asked.derivs)
        sampler = Sampler.of(self.rows, self.order, self.q, self.sigma2, self.filtered, asked.points)
        units = self.rows.scale.units(self.order)[derivs, None, None]

        def draw(rng: np.random.Generator, size: int) -> FloatArray:
            draws = sampler.draw(rng, size, derivs)
            draws *= units
            return np.asarray(np.swapaxes(draws, 0, 1).reshape(size, -1))

        return draw

    @cached_property
    def _pieces(self) -> Pieces:
        higher = higher_derivatives(self.rows, self.order, self.q, self.filtered, self.smoothed)
        return Pieces(self.rows.points, self.rows.gaps, self.rows.scale, self.smoothed[:, : self.order], higher)

    def rough_mean(self, x: Points, deriv: int) -> FloatArray:
        return self._pieces.mean(x, deriv)

    def spline(self) -> Spline:
        rows = self.rows
        multiplicity = np.ones(len(rows.nodes), dtype=np.int64)
        np.maximum.at(multiplicity, rows.node_of_row, rows.deriv.astype(np.int64) + 1)
        return self._pieces.spline(multiplicity)

    def regressed(self, points: Points, known: Mapping[str, FloatArray], name: str | None, *, has_noise: bool = False) -> Points:
        """Points with values of regressors, of which there are none, and without a noise process."""
        return points

    def regressor(self, name: str) -> FloatArray:
        """Values of a regressor: zeros, as there is none."""
        return np.zeros(len(self.observations))

    def dependents(self, deriv: int, name: str | None = None) -> tuple[str, ...]:
        """Regressors on which observations depend: none."""
        return ()

    def pulses(self, deriv: int) -> tuple[str, ...]:
        """Pulses of series: none."""
        return ()

    # Observations -----------------------------------------------------------------------------------------------------

    def _at_rows(self, values: FloatArray) -> FloatArray:
        """Entry (node, deriv) of values (n_nodes, order) for each observation, in the order of the observations."""
        rows = self.rows
        return rows.in_given_order(values[rows.node_of_row, rows.deriv])

    @property
    def _units(self) -> FloatArray:
        """Unit of each observation, in the order of the observations."""
        return self.rows.in_given_order(self.rows.scale.units(self.order)[self.rows.deriv])

    @property
    def _noise_ratio(self) -> FloatArray:
        """Scaled noise variance of each sorted row."""
        return self.rows.ratio * self.sigma2[self.rows.group]

    @property
    def fitted(self) -> FloatArray:
        scale = self.rows.scale
        origins = np.where(np.arange(self.order) == 0, scale.y_origin, 0.0)
        return self._at_rows(self.smoothed[:, : self.order] * scale.units(self.order) + origins)

    @property
    def fitted_variance(self) -> FloatArray:
        return self._at_rows(state_variances(self.order, self.smoothed)) * self._units**2

    @property
    def noise_variance(self) -> FloatArray:
        rows = self.rows
        return rows.in_given_order(self._noise_ratio * rows.scale.units(self.order)[rows.deriv] ** 2)

    def noise_sd_of(self, name: str, *, process: bool = True) -> float:
        """Of a new observation of weight one of a series, which has no noise process."""
        return next(sd for label, sd, _ in self.noise_sds if label == name)

    @property
    def leverage(self) -> FloatArray:
        variance = self._at_rows(state_variances(self.order, self.smoothed))
        return variance / self.rows.in_given_order(self._noise_ratio)

    @cached_property
    def edf(self) -> float:
        return float(np.nansum(self.leverage))

    @cached_property
    def _shocks(self) -> Shocks:
        return shocks(self.rows, self.order, self.q, self.sigma2)

    @property
    def loo_resid(self) -> FloatArray:
        """Observations minus predictions without them (n,): u / D with u = K^-1 (y - X b) and D its variance.

        They keep their digits where the curve interpolates.
        """
        with np.errstate(invalid="ignore"):
            return self.rows.in_given_order(self._shocks.u / self._shocks.D) * self._units

    @property
    def resid_standardized(self) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return self.rows.in_given_order(self._shocks.u / np.sqrt(self._shocks.D))

    @property
    def innovations(self) -> FloatArray:
        return self.rows.in_given_order(innovations(self.rows, self.order, self.q, self.sigma2))

    def errors(self, stretches: list[slice]) -> Errors:
        """Standardised errors of some stretches of the sorted observations, each a record of its own, from a diffuse start."""
        sorted_rows = np.concatenate([np.arange(part.start, part.stop) for part in stretches])
        records = [replace(self, rows=self.rows.part(part)) for part in stretches]
        return Errors(
            sorted_rows if self.rows.sorter is None else self.rows.sorter[sorted_rows],
            np.concatenate([one.innovations for one in records]),
            np.concatenate([one.resid_standardized for one in records]),
            [one.changes()[0] for one in records],
            self._offsets(records, stretches),
        )

    def _offsets(self, records: list[WienerPosterior], stretches: list[slice]) -> list[Offset]:
        """What series are off the others by, given stretches of the sorted rows as records of their own."""
        readings = self.observations.readings
        if len(readings) == 1:
            return []
        series = self.observations.series
        series = series if self.rows.sorter is None else series[self.rows.sorter]
        parts = [one.stretch(series[part]) for one, part in zip(records, stretches, strict=True)]
        return offsets_of(parts, len(readings))

    def stretch(self, series: IntArray) -> Stretch:
        """The observations, of these series, as what offsets of series are found from."""
        return Stretch(series, self.fitted, self.leverage, self.noise_variance, self._pull, self._slopes)

    @property
    def _slopes(self) -> FloatArray:
        """Posterior mean of the derivative of what each observation measures (n,); NaN if the curve has none."""
        scaled = self.smoothed[:, 1 : self.order] * self.rows.scale.units(self.order)[1:]
        return self._at_rows(np.column_stack([scaled, np.full(len(scaled), np.nan)]))

    def _pull(self, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = self.innovations
        others = [replace(self, rows=replace(self.rows, y=column)).innovations for column in (columns / self._units[:, None]).T]
        return scores_of(z, np.column_stack(others))

    def changes(self) -> list[Change]:
        rows, found = self.rows, self._shocks
        x = self.observations.abscissa.restore(rows.nodes)
        changes = []
        for j, kind in enumerate(("level shift", "slope break")[: self.order]):
            unit = rows.scale.of(j)
            known = found.information[:, j] > 0
            information = found.information[known, j]
            changes.append(Change.of(kind, x[known], found.score[known, j], information, unit))
        return changes

    def online(self, lag: int, df: float, described: str, nodes: Nodes | None = None) -> WienerOnline:
        rows, kinds = self.rows, {}
        for reading in self.observations.readings:
            origin = rows.scale.y_origin if reading.deriv == 0 else 0.0
            kinds[reading.name] = Kind.of(reading, rows.scale.of(reading.deriv), origin, rows.unknown)
        source = Source.of(self.observations, kinds, {name: sd for name, sd, _ in self.noise_sds}, df, described, nodes)
        filters = [self] if nodes is None else [self, *nodes.at]
        return WienerOnline(source, lag, rows, self.order, [Setting(one.q, one.sigma2, one.filtered) for one in filters])

    # For the summary ------------------------------------------------------------------------------------------------

    def title(self, described: str) -> str:
        return ""

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The order."""
        return [("Order:", str(self.order))]

    def notes(self, boundary: tuple[str, ...]) -> list[str]:
        """How x is counted, and what is at a boundary."""
        abscissa, notes = self.observations.abscissa, []
        if abscissa.unit:
            notes.append(f"x is counted in {abscissa.unit}" + (f" from {abscissa.origin_label}" * (abscissa.kind == "datetime")))
        elif abscissa.origin:
            notes.append(f"x is counted from {abscissa.origin_label}")
        for name in boundary:
            if name == "q":
                notes.append(f"boundary: q = 0, the curve is a polynomial of degree {self.order - 1}")
            else:
                notes.append(f"boundary: the noise SD of {name} is indistinguishable from zero, the curve interpolates")
        return notes


def _centred(units: FloatArray) -> tuple[FloatArray, int]:
    """Return 1 / units^2 times 2^exponent, and the exponent: zero unless the squares are so far from one that kernels may fail."""
    exponents = np.frexp(units)[1] - 1
    lowest, highest = int(exponents.min()), int(exponents.max())
    exponent = 0 if lowest > -CENTRE_BEYOND and highest < CENTRE_BEYOND else lowest + highest
    return np.ldexp(1.0, exponent - 2 * exponents), exponent
