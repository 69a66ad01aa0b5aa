"""Streaming by the general engine: any prior, regressors, interventions, noise processes, integrals.

What came before the lag is kept as a law of the state at one x: x = U e, e independent with means mu and variances D, or
unknown. The rows of U^-1 x with the noise D are observations of it, of a state of which nothing else is known; those that still
count one by one follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import DataError, SpecificationError
from ..inference.engine import Moments
from ..markov.process import AnyArray, Start
from ..markov.program import VALUE, Functionals, Processes, Program
from ..observations import Observations
from ..observations.abscissa import Points
from .effects import named_columns
from .functionals import CurveFunctionals, in_state
from .online import OnlineSpline, Source
from .specification import Specification

BLOCK = 256  # rows beyond the lag that are kept before the oldest become a law


class Continued(Processes):
    """Processes of which nothing is known but a law, given as observations."""

    def start(self, values: AnyArray) -> Start:
        """Diffuse."""
        return Start(np.eye(self.dim), np.zeros((self.dim, self.dim)))


@dataclass(frozen=True, eq=False)
class Law:
    """What is known of the state at one x, as observations there."""

    at: Points
    told: Functionals

    @classmethod
    def of(cls, at: Points, law: FloatArray, dim: int, group: int) -> Law:
        """From `Program.end`; `group` is that of a variance of one."""
        known = law[:, 2] == 0
        rows = solve_triangular(law[:, 3:], np.eye(len(law)), unit_diagonal=True)[known]
        n = len(rows)
        here = at.take(np.zeros(n, np.int64))
        kinds, groups = np.full(n, VALUE, np.int8), np.full(n, group, np.uint8)
        told = Functionals(here, here, kinds, rows[:, :dim], rows[:, dim:], law[known, 0], law[known, 1], groups, np.zeros(n))
        return cls(at, told)


class Setting(NamedTuple):
    """Hyperparameters, variances (G,) of the groups, and what is known of the state before the window at these."""

    values: FloatArray
    variance: FloatArray
    law: Law | None


@entry_point
class StructuralOnline(OnlineSpline):
    """A fitted model of any prior that goes on; see `OnlineSpline`."""

    def __init__(self, source: Source, lag: int, specification: Specification, settings: Sequence[tuple[FloatArray, FloatArray]]):
        super().__init__(source, lag)
        if specification.period is not None:
            raise SpecificationError(
                "online goes not with period=: observations of a new period fall between those of the old; pass "
                "prior=sf.priors.IntegratedWiener(...) + sf.priors.Seasonal(period), or fit again"
            )
        self._spec, self._settings = specification, [Setting(values, variance, None) for values, variance in settings]
        self._correlated = {name for part in specification.joint for name in part.names}
        self._window = specification.functionals
        self._arrival = np.arange(len(self._window))
        self.nobs = self._n_given = len(self._window)
        self._terms_before = -self._terms_of_window()
        self._settle(2 * self.lag)

    @property
    def _at_nodes(self) -> list[Setting]:
        """The settings at the nodes; the first of all is at the estimates."""
        return self._settings[1:]

    @property
    def _law(self) -> Law | None:
        """What is known at the estimates before the window."""
        return self._settings[0].law

    # Observations ---------------------------------------------------------------------------------------------------------

    def _append_all(self, observations: Observations, regressors: Mapping[str, Any] | None) -> None:
        spec, parts, first = self._spec, [], 0
        given = named_columns(spec.regressors, regressors, len(observations))
        for reading in observations.readings:
            self._checked_kind(reading)
            if reading.name in self._correlated:
                raise DataError(
                    f"the errors of {reading.name!r} have covariances= in the fit; streaming needs independent errors: fit with "
                    "sd= instead"
                )
            own = replace(reading, x=self._abscissa.given(reading.x))
            known = dict(zip(spec.regressors, given[first : first + len(reading)].T, strict=True))
            parts.append(spec.read(own, spec.columns(len(reading), known, reading.name)))
            first += len(reading)
        new = Functionals.join(parts)
        for points in (new.start, new.end):
            self._check_age(points, np.ones(len(new), np.bool_))
        self._window = Functionals.join([self._window, new])
        self._arrival = np.concatenate([self._arrival, self.nobs + np.arange(len(new))])
        self.nobs += len(new)
        if len(self._window) > 4 * self.lag + BLOCK:
            self._settle(2 * self.lag)

    def _settle(self, kept: int) -> None:
        """Make a law of all rows but about the last `kept`; of none that an interval which ends later begins before."""
        window, n = self._window, len(self._window)
        if n <= kept:
            return
        order = np.argsort(window.end.keys, kind="stable")
        at = window.end.take(order[n - kept - 1 : n - kept])
        while True:
            later = window.end.minus(at) > 0
            begins = window.start.minus(at)
            if not (later & (begins < 0)).any():
                break
            first = window.start.take([int(np.flatnonzero(later)[np.argmin(begins[later])])])
            before = np.flatnonzero(window.end.minus(first) <= 0)
            if not len(before):
                return
            at = window.end.take(before[np.argsort(window.end.keys[before], kind="stable")[-1:]])
        old = window.take(~later)
        self._terms_before += self._terms_of_window()
        dim, group = self._spec.processes.dim, len(self._spec.unknown)
        ends = [self._program([old], one).end(one.values, one.variance) for one in self._settings]
        self._settings = [one._replace(law=Law.of(at, end, dim, group)) for one, end in zip(self._settings, ends, strict=True)]
        self._window, self._arrival = window.take(later), self._arrival[later]
        self._terms_before -= self._terms_of_window()

    def _terms_of_window(self) -> FloatArray:
        """log_det and sse (2, L) of the window given the law, at each node, up to what the law alone determines."""
        sums = [self._program([self._window], one).sums(one.values, one.variance) for one in self._at_nodes]
        return np.array([[one.log_det[0], one.sse[0]] for one in sums]).reshape(-1, 2).T

    def _added_terms(self) -> FloatArray:
        return self._terms_before + self._terms_of_window()

    def _program(self, parts: list[Functionals], setting: Setting) -> Program:
        """Of functionals after the law of a setting."""
        if setting.law is None:
            return self._spec.compiled(Functionals.join(parts))
        program = self._spec.compiled(Functionals.join([setting.law.told, *parts]))
        processes = self._spec.processes
        return replace(program, processes=Continued(processes.terms, processes.x_unit))

    @property
    def _limit(self) -> Points:
        n = len(self._window)
        if n > self.lag:
            order = np.argsort(self._window.end.keys, kind="stable")
            return self._window.end.take(order[n - self.lag - 1])
        return Points(np.array(-np.inf)) if self._law is None else self._law.at.take(0)

    def _take_out(self, n: int) -> None:
        keep = self._arrival < self.nobs - n
        self._window, self._arrival = self._window.take(keep), self._arrival[keep]
        self.nobs -= n

    def forget(self) -> None:
        """Fix all observations so far; see `OnlineSpline.forget`."""
        self._settle(0)
        self._n_given = self.nobs

    # The curve --------------------------------------------------------------------------------------------------------

    def _recent(self) -> Points:
        order = np.argsort(self._window.end.keys, kind="stable")[-self.lag :]
        points = self._window.end.take(order)
        return points.take(np.unique(points.keys, return_index=True)[1])

    def moments(self, functionals: CurveFunctionals) -> Moments:
        """Posterior means and variances (1, n) of functionals, given all observations so far."""
        return self._moments_by(self._settings[:1], functionals)

    def _moments_at_nodes(self, functionals: CurveFunctionals) -> Moments:
        return self._moments_by(self._at_nodes, functionals)

    def _moments_by(self, settings: Sequence[Setting], functionals: CurveFunctionals) -> Moments:
        """Posterior means and variances of functionals at each of some settings (L, n)."""
        query, units, origins = in_state(self._spec, functionals)
        for points in (query.start, query.end):
            self._check_age(points, np.ones(len(query), np.bool_))
        n, mean, variance = len(query), [], []
        for one in settings:
            moments = self._program([self._window, query], one).moments(one.values, one.variance)
            mean.append(moments[0][-n:] * units + origins)
            variance.append(moments[1][-n:] * units**2)
        return Moments(np.array(mean), np.array(variance))

    @property
    def _last(self) -> float:
        return float(self._window.end.coarse.max() if len(self._window) or self._law is None else self._law.at.coarse[0])
