"""Estimates of a model with the general engine: hyperparameters, sds, coefficients, likelihoods."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..markov.criteria import LIKELIHOODS
from ..markov.program import Functionals, Program
from ..results.estimates import LEAST_FREE
from .estimation import Optimum
from .general_search import GeneralCriterion
from .markov_engine import MarkovEngine
from .results import SmoothingSplineResults
from .robust import Robustness
from .smoothing import Density, trend_of
from .specification import Specification
from .units import log_det_units

if TYPE_CHECKING:
    import pandas as pd


STEP = 1e-3  # in a logarithm: of central differences of exact scores, right to its square


@dataclass(frozen=True, eq=False)
class StructuralFit:
    """What a fit found, and of what.

    Attributes
    ----------
    specification : Specification
    optimum : Optimum
    described : str
        The arguments that made the model, as a caller writes them.
    robustness : Robustness or None
    """

    specification: Specification
    optimum: Optimum
    described: str
    robustness: Robustness | None = None


@entry_point
class StructuralEstimates(SmoothingSplineResults):
    """What the general engine estimates besides a curve."""

    engine: MarkovEngine

    def __init__(self, model: Any, fit: StructuralFit):
        self.model = model
        self._spec, self._described, self._optimum = fit.specification, fit.described, fit.optimum
        self.observations, self.robustness = fit.specification.observations, fit.robustness
        optimum = fit.optimum
        self.method, self.fixed, self.boundary = optimum.method, optimum.fixed, optimum.boundary
        self._values, self._variance, self._theta = optimum.hyper, optimum.variance, optimum.theta
        self._minimum = optimum.minimum
        self.use_t = bool(fit.specification.unknown)
        smoothing = optimum.smoothing and replace(optimum.smoothing, specification=fit.specification)
        self.engine = MarkovEngine(fit.specification, smoothing)

    @property
    def theta_hat(self) -> FloatArray:
        """The estimates as a theta of the engine, within its bounds."""
        return self.engine.theta_at(self._optimum)

    @property
    def optimum(self) -> Optimum:
        """What was estimated, in scaled units."""
        return self._optimum

    @property
    def theta(self) -> FloatArray:
        """Logarithms of all that was not given, scaled."""
        return self._theta

    def _ask(self, asked: Functionals) -> tuple[FloatArray, FloatArray]:
        """Scaled posterior means and variances of functionals beside the readings'."""
        return self._answer(self._spec.compiled(Functionals.join([self._spec.functionals, asked])), self._values, self._variance)

    def _answer(self, program: Program, values: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and variances of what a program asks for after the readings, at any parameters."""
        mean, spread = program.moments(values, variance)
        return mean[self.nobs :], spread[self.nobs :]

    # Parameters -------------------------------------------------------------------------------------------------------

    @property
    def noise_sds(self) -> list[tuple[str, float, bool]]:
        """Name, sd and whether it was estimated."""
        sds = []
        for reading in self.observations.readings:
            unit = self._spec.unit_of(reading)
            if reading.sd is None:
                sd = float(np.sqrt(self._variance[self._spec.unknown.index(reading.name)])) * unit
            else:
                sd = float(np.sqrt(np.mean((reading.sd / unit) ** 2))) * unit
            sds.append((reading.name, sd, reading.sd is None))
        return sds

    @property
    def hyperparameters(self) -> pd.Series:
        """All hyperparameters of the prior and of noise processes, given or estimated, in the user's units."""
        import pandas as pd

        names = [p.name for p in self._spec.hyperparameters]
        units = [self._spec.hyper_unit(p) for p in self._spec.hyperparameters]
        return pd.Series(self._values * np.array(units), index=names, name="hyperparameters", dtype=float)

    @property
    def _searched(self) -> tuple[str, ...]:
        return tuple(p.name for p in self._spec.parameters if not p.is_variance and p.name not in self._optimum.held)

    @property
    def trend(self) -> tuple[int, str] | None:
        """Order, and name of the intensity, of the only integrated Wiener process of the prior."""
        return trend_of(self._spec.prior)

    @property
    def bandwidth(self) -> float:
        """Half width of the averaging window, in units of x; infinite for a polynomial. See ``smoothfit.markov.bandwidth``."""
        if self.trend is None:
            raise AttributeError("bandwidth is that of an integrated Wiener process; see hyperparameters")
        order, name = self.trend
        index = [p.name for p in self._spec.hyperparameters].index(name)
        return Density(self._spec, order).bandwidth(float(self._values[index]), self._variance) * self._spec.scale.x_unit

    @property
    def effect_names(self) -> tuple[str, ...]:
        """Names of the coefficients: regressors, then interventions."""
        return self._spec.effects

    @cached_property
    def _effects(self) -> tuple[FloatArray, FloatArray]:
        """Coefficients of regressors and interventions, and their covariance (p, p), by sums and differences of pairs."""
        p = len(self._spec.effects)
        rows = [np.eye(p)[i] for i in range(p)] + [np.eye(p)[i] + np.eye(p)[j] for i in range(p) for j in range(i)]
        if not p:
            return np.zeros(0), np.zeros((0, 0))
        at = self._spec.functionals.end.take(np.zeros(len(rows), np.int64))
        asked = self._spec.query(None, at, 0)
        asked = Functionals(
            asked.start, asked.end, asked.kind, 0 * asked.process, np.array(rows), asked.y, asked.ratio, asked.group
        )
        mean, variance = self._ask(asked)
        covariance = np.diag(variance[:p])
        k = p
        for i in range(p):
            for j in range(i):
                covariance[i, j] = covariance[j, i] = (variance[k] - variance[i] - variance[j]) / 2
                k += 1
        units = self._spec.effect_units
        return mean[:p] * units, covariance * np.outer(units, units)

    @cached_property
    def _cov_log(self) -> FloatArray:
        """Covariance of the logarithms of all that was not given, by the observed information; NaN for what has none."""
        spec, is_likelihood = self._spec, self.fixed is None and self.method in LIKELIHOODS
        n = len(spec.parameters)
        covariance = np.full((n, n), np.nan)
        kinds = np.array([p.is_variance for p in spec.parameters], dtype=bool)
        inside = np.array([p.name not in (*self.boundary, *self._optimum.held) for p in spec.parameters], dtype=bool)
        if not is_likelihood and spec.is_relative and kinds.sum() == 1 and (self.fixed is None or n == 2):
            if self.df_resid >= LEAST_FREE:
                covariance[np.ix_(kinds & inside, kinds & inside)] = 2 / self.df_resid  # RSS / sigma^2 as chi-squared on n - edf
            return covariance
        # given a smoothing that no likelihood set, that of the others
        free = np.flatnonzero(inside if is_likelihood or self.fixed else inside & kinds)
        if not len(free):
            return covariance
        criterion = GeneralCriterion(spec, self.method if self.method in LIKELIHOODS else "reml")
        columns = []
        for i in free:
            step = STEP * np.eye(n)[i]
            ends = [criterion.gradient(self._theta + shift)[1][free] for shift in (step, -step)]
            columns.append((ends[0] - ends[1]) / (2 * STEP))
        hessian = np.array(columns)
        hessian = (hessian + hessian.T) / 2
        if np.linalg.eigvalsh(hessian).min() > 0:
            covariance[np.ix_(free, free)] = 2 * np.linalg.solve(hessian, np.eye(len(free)))
        return covariance

    @property
    def _cov_log_params(self) -> FloatArray:
        shown = [i for i, p in enumerate(self._spec.parameters) if p.name not in self._optimum.held]
        order = [i for i in shown if self._spec.parameters[i].is_variance]
        order += [i for i in shown if not self._spec.parameters[i].is_variance]
        factors = np.array([0.5 if self._spec.parameters[i].is_variance else 1.0 for i in order])
        return np.asarray(self._cov_log[np.ix_(order, order)] * np.outer(factors, factors))

    # Likelihood -------------------------------------------------------------------------------------------------------

    @property
    def _log_det_design(self) -> float:
        return self._spec.log_det_design

    @property
    def _log_det_units(self) -> float:
        return log_det_units(self._spec, self._values)

    def _log_likelihood(self, method: str) -> float:
        """Log-likelihood of the user's readings, the unknown constants in scaled units."""
        sums = self._spec.sums(self._values, self._variance, method)
        total = GeneralCriterion(self._spec, method).assemble(sums)[0]
        units = self._spec.reading_units / np.sqrt(self._spec.factors)
        return -float(total) / 2 - float(np.log(units).sum())

    @property
    def _n_contrasts(self) -> int:
        return self.nobs - self._spec.n_diffuse

    @property
    def _n_likelihood(self) -> tuple[int, int]:
        n = self._n_positive
        return (n + self._spec.n_diffuse, self.nobs) if self.method == "ml" else (n, self._n_contrasts)
