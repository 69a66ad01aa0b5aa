"""A fixed smoothing, lam, bandwidth or edf, of any prior: which hyperparameter it acts on, and what that is then."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from .._validation import FloatArray, check_positive
from ..errors import NumericalError, SpecificationError
from ..markov.bandwidth import FixedBandwidth, FixedDf, FixedLam, Information, Resolution, Tie, lost_accuracy
from ..markov.priors import IntegratedWiener
from ..markov.process import AMPLITUDE, INTENSITY, Prior
from ..markov.rows import Rows
from ..observations import Observations
from ..observations.abscissa import Abscissa
from .extent import Parameter
from .fitting import Variances
from .specification import Specification

MOST_LOST = 1e-6  # posterior SDs that rounding may move a curve by
LOG_SMALLEST_Q, LOG_LARGEST_Q = np.log(1e-290), np.log(1e150)  # scaled, for what follows from q to be a number, too
WIDEST = 35.0  # logarithms of a scaled q: beyond, the curve is a polynomial or an interpolant
STEP = 1e-4  # in a logarithm: of central differences of edf


def only_one(lam: float | None, bandwidth: float | None, edf: float | None) -> tuple[str, float] | None:
    """The fixed smoothing that a fit was given, and its name; None if it is to be estimated."""
    given = {name: v for name, v in (("lam", lam), ("bandwidth", bandwidth), ("edf", edf)) if v is not None}
    if len(given) > 1:
        raise SpecificationError(f"{' and '.join(given)} are given; each fixes the smoothing: pass one")
    return next(((name, check_positive(v, name)) for name, v in given.items()), None)


def check_range(name: str, value: float, log_q: float, places: FloatArray) -> None:
    """Refuse a smoothing at which the scaled q, whose logarithm is given, would be zero or infinite to the kernels."""
    if log_q > LOG_LARGEST_Q:
        limit, remedy = "an interpolant", "a larger one"
    elif log_q < LOG_SMALLEST_Q:
        limit, remedy = "a polynomial", "a smaller one"
    else:
        return
    raise SpecificationError(
        f"{name} is {value}: in floating-point numbers the curve equals {limit} of these observations, which span "
        f"{np.ptp(places):.6g} at {len(np.unique(places))} values of x; pass {remedy}"
    )


def tie_of(given: tuple[str, float] | None, rows: Rows, order: int, observations: Observations) -> tuple[Tie | None, str | None]:
    """A fixed smoothing of an integrated Wiener process in scaled units, and its name."""
    if given is None:
        return None, None
    name, value = given
    if name == "lam":
        variance = rows.scale.of(observations[rows.unknown[0]].deriv) ** 2 if rows.unknown else 1.0
        unit = variance / rows.scale.intensity(order)  # of the reference variance over q, in scaled rows
        check_range(name, value, float(np.log(unit) - np.log(value)), rows.nodes)
        return FixedLam(value / unit), name
    if name == "bandwidth":
        log_bandwidth = np.log(value) - np.log(rows.scale.x_unit)
        information = Resolution(rows, order).information.sum(axis=1)
        known = np.flatnonzero(information)
        log_terms = np.log(information[known]) + 2 * (order - known) * log_bandwidth
        for log_q in (-float(np.logaddexp.reduce(log_terms)), -2 * order * log_bandwidth):
            check_range(name, value, log_q, rows.nodes)
        return FixedBandwidth(value / rows.scale.x_unit), name
    if value <= order:
        raise SpecificationError(f"edf is {value}; at order {order} it exceeds {order} and is below the number of observations")
    return FixedDf(value), name


def check_accuracy(rows: Rows, order: int, variances: Variances, abscissa: Abscissa) -> None:
    """Refuse a fit that rounding would falsify."""
    loss = lost_accuracy(rows, order, variances.q, variances.sigma2)
    if loss <= MOST_LOST:
        return
    i = int(np.argmax(rows.gaps))
    left, right = (abscissa.label_of_number(float(x)) for x in rows.nodes[i : i + 2])
    raise NumericalError(
        f"at order {order} the gap between x = {left} and {right}, {rows.gaps[i] / np.median(rows.gaps):.1e} times the "
        f"median gap, may cost an accuracy of {loss:.1e} posterior SDs beyond it; lower the order, smooth more, or fit "
        "both sides apart"
    )


def trend_of(prior: Prior) -> tuple[int, str] | None:
    """Order, and name of the intensity, of the only integrated Wiener process of a prior; None if there is not one."""
    names, at = [p.name for p in prior.hyperparameters], 0
    found = []
    for component in prior.curve.components:
        if isinstance(component, IntegratedWiener) and component.hyperparameters:
            found.append((component.order, names[at]))
        at += len(component.hyperparameters)
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, eq=False)
class Density(Information):
    """Information per unit of x of the observations of a specification, scaled."""

    specification: Specification
    order: int

    @cached_property
    def information(self) -> FloatArray:
        """I_kg for variances one, shape (order, n_groups)."""
        model = self.specification
        read, n, places = model.as_read, model.nobs, model.observations.places
        deriv = np.concatenate([np.full(len(r), 0 if r.mean else r.deriv) for r in model.observations.readings])
        total = np.zeros((self.order, len(model.unknown) + 1))
        np.add.at(total, (deriv, read.group), model.factors / read.ratio)
        if model.period is not None:
            return total * model.scale.x_unit / model.period
        return total * (n - 1) * model.scale.x_unit / (n * float(np.ptp(places)))


class NoSuchTraceError(SpecificationError, NumericalError):
    """No size has a trace, at some values of the other parameters; elsewhere there may be one, so that a search goes on."""


@dataclass(frozen=True, eq=False)
class Smoothing(ABC):
    """A fixed smoothing as a function of the other parameters; `place` is that of the parameter which it determines."""

    specification: Specification
    value: float
    place: int

    @staticmethod
    def of(specification: Specification, name: str, value: float) -> Smoothing:
        """The fixed smoothing of a series."""
        place, order = _place(specification, name, value)
        if name == "lam":
            return _Ratio(specification, value, place)
        if name == "bandwidth":
            assert order is not None
            return _Width(specification, value, place, order)
        if not specification.n_diffuse < value < specification.nobs:
            raise SpecificationError(
                f"edf is {value}; it exceeds {specification.n_diffuse}, what is diffuse, and is below {specification.nobs}"
            )
        return _Trace(specification, value, place)

    @abstractmethod
    def log_size(self, theta: FloatArray) -> float:
        """The logarithm that is determined, from those of all parameters."""

    @abstractmethod
    def slopes(self, theta: FloatArray) -> FloatArray:
        """Its derivatives by the logarithms of all parameters; zero by its own."""

    def _log_variances(self, theta: FloatArray) -> FloatArray:
        logs = np.zeros(len(self.specification.unknown) + 1)
        for p, log in zip(self.specification.parameters, theta, strict=True):
            if p.is_variance:
                logs[p.index] = log
        return logs


def _place(specification: Specification, name: str, value: float) -> tuple[int, int | None]:
    """Place of the parameter that a fixed smoothing determines, and the order of the trend if it is the intensity of one."""
    parameters = specification.parameters
    n_prior = len(specification.prior.hyperparameters)
    trend = trend_of(specification.prior)
    if trend is not None:
        for i, p in enumerate(parameters):
            if p.name == trend[1]:
                return i, trend[0]
    kinds = {"lam": (INTENSITY,), "edf": (INTENSITY, AMPLITUDE), "bandwidth": ()}[name]
    for kind in kinds:
        found = [i for i, p in enumerate(parameters) if _is_of(specification, p, kind, n_prior)]
        if len(found) == 1:
            return found[0], None
        if found:
            break
    what = "an integrated Wiener process" if name == "bandwidth" else "one process of unknown intensity"
    given = ", ".join(p.name for p in specification.prior.hyperparameters) or "none"
    other = "" if name == "edf" else ", or fix the smoothing by edf="
    raise SpecificationError(
        f"{name} given, but the prior {specification.prior!r} has not {what} that it could act on; the smoothing of this model is "
        f"fixed by hyperparameters of its prior ({given}){other}"
    )


def _is_of(specification: Specification, p: Parameter, kind: str, n_prior: int) -> bool:
    return not p.is_variance and p.index < n_prior and specification.hyperparameters[p.index].kind == kind


class _Tied(Smoothing):
    """An intensity q that follows from the variances."""

    def log_size(self, theta: FloatArray) -> float:
        return self._tied(theta)[0]

    def slopes(self, theta: FloatArray) -> FloatArray:
        by_variances = self._tied(theta)[1]
        return np.array([by_variances[p.index] if p.is_variance else 0.0 for p in self.specification.parameters])

    @abstractmethod
    def _tied(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Logarithm of q and its derivatives by the logarithms of the variances."""


@dataclass(frozen=True, eq=False)
class _Ratio(_Tied):
    """The variance of the first unknown series over lam."""

    @cached_property
    def tie(self) -> FixedLam:
        model = self.specification
        unit = model.unit_of(model.observations[model.unknown[0]]) ** 2 if model.unknown else 1.0
        q_unit = model.parameters[self.place].unit
        check_range("lam", self.value, float(np.log(unit) - np.log(q_unit) - np.log(self.value)), model.observations.places)
        return FixedLam(self.value * q_unit / unit)

    def _tied(self, theta: FloatArray) -> tuple[float, FloatArray]:
        return self.tie.log_q(None, self._log_variances(theta))


@dataclass(frozen=True, eq=False)
class _Width(_Tied):
    """q at which the averaging window has a width."""

    order: int

    @cached_property
    def density(self) -> Density:
        if any(r.upper is not None and not r.mean for r in self.specification.observations.readings):
            raise SpecificationError(
                "bandwidth given, but integrals and differences of f are observed, which have no window; pass lam= or edf="
            )
        return Density(self.specification, self.order)

    def _tied(self, theta: FloatArray) -> tuple[float, FloatArray]:
        width = self.value / self.specification.scale.x_unit
        log_q, slopes = FixedBandwidth(width).log_q(self.density, self._log_variances(theta))
        check_range("bandwidth", self.value, log_q, self.specification.observations.places)
        return log_q, slopes


@dataclass(frozen=True, eq=False)
class _Trace(Smoothing):
    """The size at which the smoother matrix has a trace."""

    def _edf(self, theta: FloatArray) -> float:
        model = self.specification
        values, variance = model.split(theta)
        return model.nobs - float(model.program.sums(values, variance, (), variance[None]).log_det[1])

    def log_size(self, theta: FloatArray) -> float:
        """By bisection."""
        theta = theta.copy()

        def excess(log_size: float) -> float:
            theta[self.place] = log_size
            return self._edf(theta) - self.value

        centre = float(np.max(self._log_variances(theta)[: max(1, len(self.specification.unknown))]))
        scale = 1.0 if self.specification.hyperparameters[self.specification.parameters[self.place].index].f_power == 2 else 0.5
        low, high = scale * (centre - WIDEST), scale * (centre + WIDEST)
        least, most = excess(low), excess(high)
        if not least < 0 < most:
            raise NoSuchTraceError(f"edf is {self.value}; it ranges here from {least + self.value:.6g} to {most + self.value:.6g}")
        return float(brentq(excess, low, high, xtol=1e-12))

    def slopes(self, theta: FloatArray) -> FloatArray:
        """By the implicit function's."""
        found = np.zeros(len(theta))
        for i, shift in enumerate(STEP * np.eye(len(theta))):
            found[i] = (self._edf(theta + shift) - self._edf(theta - shift)) / (2 * STEP)
        slopes = -found / found[self.place]
        slopes[self.place] = 0.0
        return np.asarray(slopes)
