"""The engine of structural models: any prior, regressors, interventions, noise processes, integrals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError
from ..inference.engine import Moments
from ..markov.process import RESPONSE
from ..markov.program import DIRECTIONS
from .engine import NOWHERE, STEP, StateSpaceEngine
from .estimation import Optimum
from .extent import LOG
from .functionals import CurveFunctionals
from .markov_posterior import MarkovPosterior, noise_sds_of_many
from .sensor_posterior import posterior_of
from .smoothing import Smoothing
from .specification import Specification

MANY = 2000  # observations times squared states, from which on an interpolated prior costs less than its matrices


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
        return np.array([float(self.specification.power_of(p)) for p in self.specification.parameters])

    @property
    def has_slow_prior(self) -> bool:
        """If only sizes and response times are estimated, of many observations or states: a matrix takes scores for each size."""
        model = self.specification
        if self.count * model.program.n_states**2 < MANY:
            return False
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
        parameters = self.specification.parameters
        return np.array([p.lower for p in parameters]), np.array([p.upper for p in parameters])

    @property
    def coordinate_extent(self) -> tuple[FloatArray, FloatArray]:
        """Where starts of a search lie."""
        parameters = self.specification.parameters
        return np.array([p.first for p in parameters]), np.array([p.last for p in parameters])

    @property
    def vanishes(self) -> npt.NDArray[np.bool_]:
        return np.array([p.vanishes for p in self.specification.parameters], dtype=bool)

    def theta_at(self, optimum: Optimum) -> FloatArray:
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
        log_det, sse = self._terms_along(wholes, [])[..., 0]
        return log_det, sse

    def _terms_along(self, wholes: FloatArray, along: Sequence[int]) -> FloatArray:
        """log_det and sse at coordinates (L, k) with derivatives along some of them, (2, L, 1 + p)."""
        model = self.specification
        values, variance = model.split(wholes)
        scanned = model.scan(values, variance, along)
        if scanned is not None:
            return np.array([scanned.log_det, scanned.sse])
        found = np.full((2, len(wholes), 1 + len(along)), np.nan)
        for i, (own, noise) in enumerate(zip(values, variance, strict=True)):
            try:
                sums = model.sums(own, noise, "reml", along=along)
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                continue
            found[:, i] = sums.log_det, sums.sse
        return found

    def _scores(self, wholes: FloatArray, along: npt.NDArray[np.int64] | None = None) -> FloatArray:
        """Derivatives by others than the coordinates `along` are zero.

        Those by the reference follow from the others: of e times all variances log_det is `count` larger, and sse 1 / e times as
        large.
        """
        L, k = wholes.shape
        along = np.arange(k) if along is None else along
        others = along if self.reference is None else along[along != self.reference]
        found, terms = np.zeros((2, L, 1 + k)), self._terms_along(wholes, others.tolist())
        found[..., 0], found[..., 1 + others] = terms[..., 0], terms[..., 1:]
        if self.reference is not None:
            of_all = np.array([np.full(L, float(self.count)), -terms[1, :, 0]])
            found[..., 1 + self.reference] = of_all - terms[..., 1:] @ self.powers[others] / 2
        return found

    def curvatures(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hessians by central differences of exact scores."""
        return self._differences(wholes, np.arange(wholes.shape[1]))

    def _differences(self, wholes: FloatArray, along: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Scores and Hessians along some coordinates, which include all sizes; but for those of the reference, which are zero.

        Coordinates whose rows of a Hessian, up to the diagonal, take as many passes of the kernel are moved side by side.
        """
        (L, k), m = wholes.shape, len(others := along[along != self.reference])
        found = np.zeros((2, L, k, k))
        for begin in range(-(m % DIRECTIONS), max(m, 1), DIRECTIONS):
            first = max(begin, 0)
            some, rest = others[first : begin + DIRECTIONS], others[first:]  # a Hessian is symmetric
            shifts = STEP * np.eye(k)[some]
            points = wholes + np.concatenate([shifts, -shifts, np.zeros((int(first == 0), k))])[:, None]
            moved = self._scores(points.reshape(-1, k), rest).reshape(2, len(points), L, 1 + k)
            for i, above, below in zip(some, moved.swapaxes(0, 1), moved.swapaxes(0, 1)[len(some) :], strict=False):
                found[..., i, rest] = found[..., rest, i] = (above - below)[..., 1 + rest] / (2 * STEP)
            if first == 0:
                scores = moved[:, -1]
        return scores, found

    def _resolved(self, information: FloatArray, slopes: FloatArray) -> FloatArray:
        """Information (T, r, r) of sizes with the determinant that it has as far as differences of scores resolve it.

        With a the fraction of the variance of a contrast that a size accounts for, a fourth derivative of its log variance by the
        logarithm of an amplitude is at most 2, so that differences are wrong by up to STEP^2 / 3 of count / 2, the most that the
        information can be. Eigenvalues are no smaller than that. Where one is, a prior of their root would stay as high to the
        ends of the range, where a noise or a process is none; there the determinant is bounded by Hadamard's inequality, with
        sum a^2 <= min(s, s^2) and `slopes` s = sum a (T, m) of all sizes, which fall exponentially.
        """
        found, least = information.copy(), STEP**2 * self.count / 2
        for one, s in zip(found, slopes, strict=True):
            if not np.isfinite(one).all() or not len(one):
                continue
            values, vectors = np.linalg.eigh(one)
            if values[0] > least:
                continue
            values = np.maximum(values, least)
            logs = np.log(np.maximum(s, np.finfo(float).tiny))
            most = np.sum(logs + np.minimum(logs, 0.0) - np.log(2)) - (np.log(self.count / 2) if self.relative else 0.0)
            excess = np.log(values).sum() - most - 2 * np.log(2 / self.powers[self._places][self.is_size]).sum()
            values[0] *= np.exp(-max(excess, 0.0))
            one[:] = (vectors * values) @ vectors.T
        return found

    def _curvatures_of_sizes(self, wholes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As `curvatures`, at scales, lags and correlations of series of what is left, which has exact scores."""
        model, (L, k) = self.specification, wholes.shape
        if not model.unknowns:
            return self._differences(wholes, np.flatnonzero(self.powers))
        n, scores, hessians = len(model.hyperparameters), np.full((2, L, 1 + k), np.nan), np.full((2, L, k, k), np.nan)
        for i, whole in enumerate(wholes):
            values, variance = model.split(whole)
            try:
                inner = MarkovEngine(model.calibrated(values[n:], variance))
                mine = len(inner.coordinates)
                found = inner.curvatures(whole[None, :mine])
            except NOWHERE:
                continue
            scores[:, i], hessians[:, i] = 0.0, 0.0
            scores[:, i, : 1 + mine], hessians[:, i, :mine, :mine] = found[0][:, 0], found[1][:, 0]
        return scores, hessians

    # Posteriors -------------------------------------------------------------------------------------------------------

    def _numbers(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Hyperparameters and variances, as `Specification.split` gives them, at theta (L, p); zero where they represent that."""
        wholes = self._wholes(theta)[1] if self.tied is None else np.array([self._whole(point)[0] for point in theta])
        hyper, variance = self.specification.split(wholes)
        for place, is_least in zip(self._places, (theta <= self.lower).T, strict=True):
            if self.vanishes[place]:
                p = self.specification.parameters[place]
                (variance if p.is_variance else hyper)[is_least, p.index] = 0.0
        return hyper, variance

    def _at(self, theta: FloatArray) -> MarkovPosterior:
        hyper, variance = (part[0] for part in self._numbers(theta[None]))
        return posterior_of(self.specification, hyper, variance)

    def moments(self, theta: FloatArray, functionals: CurveFunctionals) -> Moments:
        if not self.specification.unknowns:
            asked = self.at(theta[0]).question(functionals)
            mean, variance = asked.centred(*self._numbers(theta))
            return Moments(mean + asked.origins, variance)
        posteriors = [self.at(point) for point in theta]  # of observations with scales, lags and correlations of their own
        answers = [one.answer(one.question(functionals)) for one in posteriors]
        return Moments(*(np.array(part) for part in zip(*answers, strict=True)))

    def noise_sds(self, theta: FloatArray, name: str, *, process: bool = True) -> FloatArray:
        if self.specification.unknowns:
            return super().noise_sds(theta, name, process=process)
        reading = self.specification.observations[name]
        return noise_sds_of_many(self.specification, reading, *self._numbers(theta), process=process)
