"""From a specification to hyperparameters and variances: by likelihood, by prediction criteria, at a fixed smoothing.

``gcv`` and ``aicc`` are those of `markov.criteria`, functions of the hyperparameters at given relative precisions.
RSS and n - edf are derivatives of the filter's terms by a common factor e^c of all noise variances; their own derivatives by the
hyperparameters are differences along c of exact scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._validation import FloatArray
from ..errors import ConvergenceError, DataError, IdentificationError, NumericalError, SpecificationError
from ..inference.newton import PREDICTION_CRITERIA, Minimum, minimize
from ..markov.criteria import LIKELIHOODS, check_method
from ..markov.program import Scan, Sums
from ..markov.pyramid import EXACT_SD
from ..observations.levels import far_levels_named
from ..results.exact import warn_of_exact_series
from .extent import Parameter
from .general_search import GeneralCriterion
from .smoothing import Smoothing
from .specification import Specification
from .varying import warn_of_hidden_noise

ALONG = 3e-4  # of c: a central difference of scores is right to its square
LEAST_FREE = 1e-8  # n - edf over n, below which it is rounding


@dataclass(frozen=True, eq=False)
class Optimum:
    """What was estimated, in scaled units.

    Attributes
    ----------
    method : str
    hyper, variance : ndarray
        All hyperparameters, and the variances of the unknown series and of the known ones.
    theta : ndarray
        Logarithms of all that was not given, in the order of `Specification.parameters`.
    minimum : Minimum or None
        The convergence criterion; None if nothing was searched.
    boundary : tuple of str
    fixed : str or None
        ``"lam"``, ``"bandwidth"`` or ``"edf"``.
    held : tuple of str
        Parameters that a fixed smoothing determines.
    smoothing : Smoothing or None
        The fixed smoothing.
    """

    method: str
    hyper: FloatArray
    variance: FloatArray
    theta: FloatArray
    minimum: Minimum | None
    boundary: tuple[str, ...]
    fixed: str | None = None
    held: tuple[str, ...] = ()
    smoothing: Smoothing | None = None


@dataclass(frozen=True, eq=False)
class Part(ABC):
    """Some of what is unknown in a specification, to be searched: `general_search.Searched`."""

    specification: Specification
    parameters: tuple[Parameter, ...]

    @property
    def nobs(self) -> int:
        return self.specification.nobs

    @property
    def scaling(self) -> None:
        """Not of a part."""
        return

    def sketches(self) -> list[Part]:
        """None of a part."""
        return []

    @cached_property
    def places(self) -> list[int]:
        """Places of the parameters among those of the specification."""
        return [self.specification.parameters.index(p) for p in self.parameters]

    @abstractmethod
    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All hyperparameters and all variances, scaled, at a theta."""

    def sums(
        self, values: FloatArray, variance: FloatArray, method: str, *, slopes: bool = False, along: Sequence[int] | None = None
    ) -> Sums:
        """Terms of the likelihood; with `slopes` derivatives by all parameters of the specification, or by those `along`."""
        return self.specification.sums(values, variance, method, slopes=slopes, along=along)

    def scan(self, values: FloatArray, variance: FloatArray, along: Sequence[int] = ()) -> Scan | None:
        """Terms of candidates."""
        return self.specification.scan(values, variance, along)


@dataclass(frozen=True, eq=False)
class Others(Part):
    """All but the parameter that a fixed smoothing determines."""

    smoothing: Smoothing

    def full(self, theta: FloatArray) -> FloatArray:
        whole = np.zeros(len(self.specification.parameters))
        whole[self.places] = theta
        whole[self.smoothing.place] = self.smoothing.log_size(whole)
        return whole

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.specification.split(self.full(theta))


@dataclass(frozen=True, eq=False)
class Processes(Part):
    """Hyperparameters at given variances."""

    variance: FloatArray

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        values = np.array([np.nan if v is None else v for v in self.specification.scaled_hyperparameters()])
        values[[p.index for p in self.parameters]] = np.exp(theta)
        return values, self.variance


@dataclass(frozen=True, eq=False)
class Tied(GeneralCriterion):
    """-2 log-likelihood with the smoothing fixed, of the other parameters."""

    model: Others

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        whole, places, smoothing = self.model.full(theta), self.model.places, self.model.smoothing
        specification = self.model.specification
        total = self.assemble(specification.sums(*specification.split(whole), self.method, slopes=True))
        slopes = smoothing.slopes(whole)[places]
        return float(total[0]), total[1:][places] + total[1 + smoothing.place] * slopes


@dataclass(frozen=True, eq=False)
class PredictionCriterion(GeneralCriterion):
    """A function of RSS and n - edf at given variances, of the hyperparameters."""

    model: Processes

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, p); infinite if they cannot be computed, or n - edf is rounding."""
        found = np.full(len(theta), np.inf)
        for i, candidate in enumerate(theta):
            try:
                found[i] = self._score(*residual_terms(self.model.specification, *self.model.split(candidate)))[0]
            except (NumericalError, IdentificationError):  # at extreme hyperparameters rounding hides a direction
                continue
        return found

    def _score(self, rss: float, free: float) -> tuple[float, float, float]:
        n = self.model.nobs
        if not (rss > 0 and free > LEAST_FREE * n):
            return np.inf, 0.0, 0.0
        return PREDICTION_CRITERIA[self.method](n, float(np.log(rss)), free)

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        values, variance = self.model.split(theta)
        rss, free = residual_terms(self.model.specification, values, variance)
        value, by_log_rss, by_free = self._score(rss, free)
        ends = [self.model.sums(values, variance * np.exp(c), "reml", slopes=True) for c in (ALONG, -ALONG)]
        mine = [1 + i for i in self.model.places]
        of_free = (ends[0].log_det - ends[1].log_det)[mine] / (2 * ALONG)
        of_rss = (ends[1].sse - ends[0].sse)[mine] / (2 * ALONG)
        return value, by_log_rss * of_rss / rss + by_free * of_free


def residual_terms(specification: Specification, values: FloatArray, variance: FloatArray) -> tuple[float, float]:
    """RSS = sum (y - L f)^2 / variance, and n - edf."""
    sums = specification.program.sums(values, variance, (), variance[None])
    return -float(sums.sse[1]), float(sums.log_det[1])


def estimate(
    specification: Specification, method: str, given: tuple[str, float] | None = None, start: FloatArray | None = None
) -> Optimum:
    """Estimate all that is not given, with the smoothing fixed if it is `given`; a local search if there is a `start`."""
    method = check_method(method)
    if method == "ml" and specification.period is not None:
        raise SpecificationError("method is 'ml', which periodic splines do not support; pass 'reml'")
    if specification.unknowns and (given is not None or method in PREDICTION_CRITERIA):
        first = specification.unknowns[0]
        raise SpecificationError(
            f"{first.described}, which {given[0] if given else f'method={method!r}'} does not "
            f"support; pass method='reml' or 'ml', or the {first.known}"
        )
    if given is not None:
        found = _at_fixed_smoothing(specification, method, given, start)
    elif method in PREDICTION_CRITERIA:
        found = _by_prediction(specification, method)
    else:
        found = _by_likelihood(specification, method, start)
    zero = [name.removeprefix("sigma.") for name in found.boundary if name.startswith("sigma.")]
    warn_of_exact_series(specification.observations, [n for n in zero if n in specification.unknown])
    warn_of_hidden_noise(specification.varying, specification.observations, [n for n in zero if n not in specification.noise])
    return found


def _by_likelihood(specification: Specification, method: str, start: FloatArray | None) -> Optimum:
    criterion = GeneralCriterion(specification, method)
    minimum = None
    if specification.parameters:
        with far_levels_named(specification.observations.readings):
            minimum = criterion.minimum() if start is None else _local(criterion, specification.parameters, start)
    theta = np.empty(0) if minimum is None else minimum.theta
    values, variance = specification.split(theta)
    boundary = _at_bounds(specification.parameters, minimum, values)
    return Optimum(method, values, variance, theta, minimum, boundary)


def _local(criterion: GeneralCriterion, parameters: tuple[Parameter, ...], start: FloatArray) -> Minimum:
    """The minimum that one start leads to."""
    lower, upper = (np.array([getattr(p, name) for p in parameters]) for name in ("lower", "upper"))
    return minimize(criterion, start[None], lower, upper)


def _at_bounds(parameters: tuple[Parameter, ...], minimum: Minimum | None, values: FloatArray) -> tuple[str, ...]:
    """Names of parameters at a bound of the search; those that vanish there become zero in `values`."""
    if minimum is None:
        return ()
    boundary = []
    for p, low, high in zip(parameters, minimum.at_lower, minimum.at_upper, strict=True):
        if low or high:
            boundary.append(p.name)
        if low and p.vanishes:
            values[p.index] = 0.0
    return tuple(boundary)


def _at_common_size(specification: Specification, found: Optimum) -> Optimum:
    """With the common factor of all variances from sum (y - L f)^2 / r = n - edf, if it is unknown."""
    if not specification.is_relative:
        return found
    rss, free = residual_terms(specification, found.hyper, found.variance)
    read = specification.functionals
    factor = rss / free
    least = float(np.finfo(float).eps) ** 2 * (float((read.y**2 / read.ratio).mean()) or 1.0) / float(found.variance[:-1].max())
    boundary = found.boundary
    if factor < least:  # noise-free: any smoothing gives the same curve
        factor, boundary = least, (*boundary, *(f"sigma.{name}" for name in specification.unknown))
    powers = np.array([p.f_power for p in specification.hyperparameters])
    theta = found.theta.copy()
    for i, p in enumerate(specification.parameters):
        theta[i] += np.log(factor) * (1.0 if p.is_variance else powers[p.index] / 2)
    values, variance = found.hyper * factor ** (powers / 2), found.variance.copy()
    variance[:-1] *= factor
    return replace(found, hyper=values, variance=variance, theta=theta, boundary=boundary)


def _at_fixed_smoothing(specification: Specification, method: str, given: tuple[str, float], start: FloatArray | None) -> Optimum:
    """Search for what a fixed smoothing leaves unknown."""
    smoothing = Smoothing.of(specification, *given)
    others = tuple(p for i, p in enumerate(specification.parameters) if i != smoothing.place)
    likelihood = method if method in LIKELIHOODS else "reml"
    part = Others(specification, others, smoothing)
    criterion = Tied(part, likelihood)
    minimum, mine = None, np.zeros(len(others))
    if others and not (specification.is_relative and len(others) == 1):  # one SD alone follows from the residuals
        first = None if start is None else start[part.places]
        try:
            minimum = criterion.minimum() if first is None else _local(criterion, others, first)
        except ConvergenceError:
            part.full(np.array([(p.first + p.last) / 2 for p in others]))  # implies a trace that there is not
            raise
        mine = minimum.theta
    theta = part.full(mine)
    values, variance = specification.split(theta)
    boundary = _at_bounds(others, minimum, values)
    held = (specification.parameters[smoothing.place].name,)
    return _at_common_size(specification, Optimum(method, values, variance, theta, minimum, boundary, given[0], held, smoothing))


def _check_noise(part: Processes) -> None:
    """Refuse observations without noise: on what is diffuse in the prior, to rounding."""
    specification = part.specification
    still, variance = part.split(np.zeros(len(part.parameters)))
    still[[i for i, p in enumerate(specification.hyperparameters) if p.f_power]] = 0.0
    read = specification.functionals
    size = float((read.y**2 / (read.ratio * variance[read.group])).sum())
    least = max(EXACT_SD, specification.nobs * float(np.finfo(float).eps) / 16)
    if float(specification.program.sums(still, variance).sse[0]) <= least**2 * size:
        raise DataError(
            "the observations are, to rounding, what the prior leaves diffuse, such as a polynomial: there is no noise to "
            "estimate; give sd=, and fit by reml or ml"
        )


def _by_prediction(specification: Specification, method: str) -> Optimum:
    """Search for the hyperparameters by a prediction criterion."""
    if specification.noise:
        raise SpecificationError(f"method is {method!r}, which cannot separate a noise process from the curve; pass 'reml' or 'ml'")
    if method == "aicc" and specification.nobs <= specification.n_diffuse + 2:
        raise DataError(f"{specification.nobs} observations are too few for aicc: it needs n - edf > 2; use reml")
    variance = np.ones(len(specification.unknown) + 1)
    free = tuple(p for p in specification.parameters if not p.is_variance)
    noises = [p for p in specification.parameters if p.is_variance]
    if specification.is_relative and len(noises) == 1:
        variance[0] = np.exp((noises[0].first + noises[0].last) / 2)
    elif noises:
        variance = _by_likelihood(specification, "reml", None).variance
    if not free:
        raise SpecificationError(f"method is {method!r}, but the prior leaves nothing to choose; pass 'reml' for the SDs")
    part = Processes(specification, free, variance)
    _check_noise(part)
    minimum = PredictionCriterion(part, method).minimum()
    values, _ = part.split(minimum.theta)
    boundary = _at_bounds(free, minimum, values)
    logs = dict(zip(free, minimum.theta, strict=True))
    theta = np.array([np.log(variance[p.index]) if p.is_variance else logs[p] for p in specification.parameters])
    return _at_common_size(specification, Optimum(method, values, variance, theta, minimum, boundary))
