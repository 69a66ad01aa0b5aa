"""The engine of structural models: any prior, regressors, interventions, noise processes, integrals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError
from ..inference.engine import Moments
from ..markov.process import RESPONSE
from .engine import STEP, StateSpaceEngine
from .estimation import Optimum
from .extent import LOG
from .functionals import CurveFunctionals
from .markov_posterior import MarkovPosterior
from .sensor_posterior import posterior_of
from .smoothing import Smoothing
from .specification import Specification


@dataclass(frozen=True, eq=False)
class MarkovEngine(StateSpaceEngine):
    """`StateSpaceEngine` of a specification; the coordinates are its parameters.

    Attributes
    ----------
    specification : Specification
    smoothing : Smoothing or None
        A fixed smoothing.
    """

    specification: Specification
    smoothing: Smoothing | None = None

    def __repr__(self) -> str:
        return f"prior={self.specification.prior!r}"

    # theta ------------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Observations less what is diffuse."""
        return self.specification.nobs - self.specification.n_diffuse

    @property
    def relative(self) -> bool:
        """Whether no SD and no size of a process is given."""
        return self.specification.is_relative

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of all parameters."""
        return tuple(p.name for p in self.specification.parameters)

    @cached_property
    def powers(self) -> FloatArray:
        """As of hyperparameters."""
        return np.array([float(self.specification.power_of(p)) for p in self.specification.parameters])

    @property
    def has_slow_prior(self) -> bool:
        """If only sizes and response times are estimated: a matrix takes two scores for each size."""
        model = self.specification
        shapes = [model.parameters[i].index for i in self._places[~self.is_size]]
        return all(i < len(model.hyperparameters) and model.hyperparameters[i].kind == RESPONSE for i in shapes)

    @cached_property
    def reference(self) -> int | None:
        """The variance of the first series."""
        if not self.relative:
            return None
        return next(i for i, p in enumerate(self.specification.parameters) if p.is_variance)

    @property
    def tied(self) -> int | None:
        """What the fixed smoothing determines."""
        return None if self.smoothing is None else self.smoothing.place

    @property
    def coordinate_bounds(self) -> tuple[FloatArray, FloatArray]:
        """As of parameters."""
        parameters = self.specification.parameters
        return np.array([p.lower for p in parameters]), np.array([p.upper for p in parameters])

    @property
    def coordinate_extent(self) -> tuple[FloatArray, FloatArray]:
        """Where starts of a search lie."""
        parameters = self.specification.parameters
        return np.array([p.first for p in parameters]), np.array([p.last for p in parameters])

    @property
    def vanishes(self) -> npt.NDArray[np.bool_]:
        """As of parameters."""
        return np.array([p.vanishes for p in self.specification.parameters], dtype=bool)

    def theta_at(self, optimum: Optimum) -> FloatArray:
        """The theta (p,) of what a fit found, moved to within the bounds."""
        parameters = self.specification.parameters
        numbers = [float((optimum.variance if p.is_variance else optimum.hyper)[p.index]) for p in parameters]
        is_zero = [p.link == LOG and number == 0 for p, number in zip(parameters, numbers, strict=True)]
        known = zip(parameters, numbers, is_zero, strict=True)
        return self.theta_of(np.array([-np.inf if zero else p.link.coordinate(number) for p, number, zero in known]))

    def _tie(self, whole: FloatArray) -> tuple[float, FloatArray]:
        assert self.smoothing is not None
        full = whole.copy()
        full[self.smoothing.place] = log_size = self.smoothing.log_size(whole)
        return log_size, self.smoothing.slopes(full)

    # Likelihood -------------------------------------------------------------------------------------------------------

    def _values(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        model = self.specification
        hyper, variance = (np.array(part) for part in zip(*map(model.split, wholes), strict=True))
        scanned = model.scan(hyper, variance)
        if scanned is not None:
            return scanned[:2]
        found = np.full((2, len(wholes)), np.nan)
        for i, (values, noise) in enumerate(zip(hyper, variance, strict=True)):
            try:
                sums = model.sums(values, noise, "reml")
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                continue
            found[:, i] = sums.log_det[0], sums.sse[0]
        return found[0], found[1]

    def _scores(self, whole: FloatArray, along: npt.NDArray[np.int64] | None = None) -> tuple[FloatArray, FloatArray]:
        """Derivatives by others than the coordinates `along` are zero.

        Those by the reference follow from the others: of e times all variances log_det is `count` larger, and sse 1 / e times as
        large.
        """
        values, variance = self.specification.split(whole)
        along = np.arange(len(whole)) if along is None else along
        others = along if self.reference is None else along[along != self.reference]
        sums = self.specification.sums(values, variance, "reml", along=others.tolist())
        found = np.zeros((2, 1 + len(whole)))
        found[:, 0], found[:, 1 + others] = (sums.log_det[0], sums.sse[0]), (sums.log_det[1:], sums.sse[1:])
        if self.reference is not None:
            of_all = np.array([self.count, -sums.sse[0]])
            found[:, 1 + self.reference] = of_all - found[:, 1 + others] @ self.powers[others] / 2
        return found[0], found[1]

    def curvatures(self, whole: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hessians by central differences of exact scores."""
        return self._differences(whole, np.arange(len(whole)))

    def _differences(self, whole: FloatArray, along: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Scores and Hessians along some coordinates, which include all sizes; but for those of the reference, which are zero."""
        k = len(whole)
        found = np.zeros((2, k, k))
        others = along if self.reference is None else along[along != self.reference]
        for at, i in enumerate(others.tolist()):
            rest = others[at:]  # a Hessian is symmetric
            ends = [self._scores(whole + shift * np.eye(k)[i], rest) for shift in (STEP, -STEP)]
            slopes = [(high - low)[1 + rest] / (2 * STEP) for high, low in zip(*ends, strict=True)]
            found[:, i, rest] = found[:, rest, i] = slopes
        return np.array(self._scores(whole, along)), found

    def _curvatures_of_sizes(self, whole: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `curvatures`, at scales, lags and correlations of series of what is left, which has exact scores."""
        model = self.specification
        if not model.unknowns:
            return self._differences(whole, np.flatnonzero(self.powers))
        n, k = len(model.hyperparameters), len(whole)
        values, variance = model.split(whole)
        inner = MarkovEngine(model.calibrated(values[n:], variance))
        scores, hessians = inner.curvatures(whole[: len(inner.coordinates)])
        mine = len(inner.coordinates)
        found, second = np.zeros((2, 1 + k)), np.zeros((2, k, k))
        found[:, : 1 + mine], second[:, :mine, :mine] = scores, hessians
        return found, second

    # Posteriors -------------------------------------------------------------------------------------------------------

    def _at(self, theta: FloatArray) -> MarkovPosterior:
        """The posterior at one theta (p,)."""
        whole = self._whole(theta)[0]
        numbers = self.specification.numbers(whole)
        numbers[self._at_zero(theta)] = 0.0
        hyper, variance = self.specification.split(whole)
        for p, number in zip(self.specification.parameters, numbers, strict=True):
            (variance if p.is_variance else hyper)[p.index] = number
        return posterior_of(self.specification, hyper, variance)

    def moments(self, theta: FloatArray, functionals: CurveFunctionals) -> Moments:
        """Posterior means and variances (L, n) of functionals at theta (L, p), in the user's units."""
        if not self.specification.unknowns:
            return super().moments(theta, functionals)
        posteriors = [self.at(point) for point in theta]  # of observations with scales, lags and correlations of their own
        answers = [one.answer(one.question(functionals)) for one in posteriors]
        return Moments(*(np.array(part) for part in zip(*answers, strict=True)))
