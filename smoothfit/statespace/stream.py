"""Streaming by the general engine: any prior, regressors, interventions, noise processes, integrals.

What came before the lag is kept as a law of the state at one x: x = U e, e independent with means mu and variances D, or
unknown. The rows of U^-1 x with the noise D are observations of it, of a state of which nothing else is known; those that still
count one by one follow. A lag moves the observations of its series, and a scale divides them: nodes with different ones have
windows of their own. So have those with different correlations of series that are observed together, whose observations are kept
in combinations with independent noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import SpecificationError
from ..inference.engine import Moments
from ..markov.equation import AnyArray
from ..markov.functionals import VALUE, Functionals
from ..markov.joint import independent
from ..markov.process import Start
from ..markov.processes import Processes
from ..markov.program import Program
from ..observations import Observations
from ..observations.abscissa import Points
from .effects import named_columns
from .functionals import CurveFunctionals, in_state
from .online import OnlineSpline
from .pairs import Appended, appended_of, with_covariance
from .sensors import brought_to_curve
from .source import Source
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
    functionals: Functionals

    @classmethod
    def of(cls, at: Points, law: FloatArray, dim: int, group: int) -> Law:
        """From `Program.end`; `group` is that of a variance of one."""
        known = law[:, 2] == 0
        rows = solve_triangular(law[:, 3:], np.eye(len(law)), unit_diagonal=True)[known]
        n = len(rows)
        here = at.take(np.zeros(n, np.int64))
        kinds, groups = np.full(n, VALUE, np.int8), np.full(n, group, np.uint8)
        functionals = Functionals(
            here, here, kinds, rows[:, :dim], rows[:, dim:], law[known, 0], law[known, 1], groups, np.zeros(n)
        )
        return cls(at, functionals)


class Setting(NamedTuple):
    """Hyperparameters, variances (G,) of the groups, and what is known of the state before the window at these."""

    values: FloatArray
    variance: FloatArray
    law: Law | None


@dataclass(eq=False)
class Window:
    """The last observations as a specification with known scales and lags reads them, and the settings that share it.

    Attributes
    ----------
    specification : Specification
    settings : list of Setting
    rows : Functionals
    arrival : ndarray, shape (n,)
        Which observation of the stream each row is.
    log_factors : ndarray, shape (n,)
        Logarithm of the squared scale of what was appended: the density of y is that of y / s over s.
    """

    specification: Specification
    settings: list[Setting]
    rows: Functionals = field(init=False)
    arrival: npt.NDArray[np.int64] = field(init=False)
    log_factors: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.rows = self.specification.functionals
        self.arrival, self.log_factors = np.arange(len(self.rows)), np.zeros(len(self.rows))
        self.specification = self.specification.without_rows()
        self.terms_before = -self.terms()

    def read(self, observations: Observations, known: Mapping[str, FloatArray]) -> Functionals:
        """New observations, in combinations whose noise is independent, with regressors (n,)."""
        spec, parts, units, first = self.specification, [], [], 0
        for reading in brought_to_curve(observations, spec.scales).readings:
            rows = slice(first, first + len(reading))
            first = rows.stop
            own = {label: column[rows] for label, column in known.items()}
            parts.append(spec.read(reading, spec.columns(len(reading), own, reading.name)))
            units.append(np.full(len(reading), spec.unit_of(reading)))
        return independent(Functionals.join(parts), appended_of(spec.joint, observations), np.concatenate(units))

    def append(self, new: Functionals, arrival: npt.NDArray[np.int64], names: Sequence[str]) -> None:
        """Take in observations of series of these names."""
        factors = [2 * float(np.log(self.specification.scales.get(name, 1.0))) for name in names]
        self.rows = Functionals.join([self.rows, new])
        self.arrival = np.concatenate([self.arrival, arrival])
        self.log_factors = np.concatenate([self.log_factors, factors])

    def take(self, kept: npt.NDArray[np.bool_]) -> None:
        """Leave out other rows."""
        self.rows, self.arrival, self.log_factors = self.rows.take(kept), self.arrival[kept], self.log_factors[kept]

    def settle(self, kept: int) -> None:
        """Make a law of all rows but about the last `kept`; of none that an interval which ends later begins before."""
        window, n = self.rows, len(self.rows)
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
        self.terms_before += self.terms()
        dim, group = self.specification.processes.dim, len(self.specification.unknown)
        ends = [self.program([old], one).end(one.values, one.variance) for one in self.settings]
        self.settings = [one._replace(law=Law.of(at, end, dim, group)) for one, end in zip(self.settings, ends, strict=True)]
        self.take(later)
        self.terms_before -= self.terms()

    def terms(self) -> FloatArray:
        """log_det and sse (2, L) of the rows given the law, at each setting, up to what the law alone determines."""
        sums = [self.program([self.rows], one).sums(one.values, one.variance) for one in self.settings]
        factors = float(self.log_factors.sum())
        return np.array([[one.log_det[0] + factors, one.sse[0]] for one in sums]).T

    def program(self, parts: list[Functionals], setting: Setting) -> Program:
        """Of functionals after the law of a setting."""
        spec = self.specification
        if setting.law is None:
            return spec.compiled(Functionals.join(parts))
        program = spec.compiled(Functionals.join([setting.law.functionals, *parts]))
        return replace(program, processes=Continued(spec.processes.terms, spec.processes.x_unit))

    def limit(self, lag: int) -> Points:
        """The x before which nothing can change any more."""
        n, law = len(self.rows), self.settings[0].law
        if n > lag:
            order = np.argsort(self.rows.end.keys, kind="stable")
            return self.rows.end.take(order[n - lag - 1])
        return Points(np.array(-np.inf)) if law is None else law.at.take(0)


@entry_point
class StructuralOnline(OnlineSpline):
    """A fitted model of any prior that goes on; see `OnlineSpline`.

    `settings` are those at the estimates, then at each node: the specification at scales and lags, hyperparameters, variances.
    """

    def __init__(self, source: Source, lag: int, settings: Iterable[tuple[Specification, FloatArray, FloatArray]]):
        super().__init__(source, lag)
        shared = [(own, list(group)) for own, group in groupby(settings, key=lambda one: one[0])]
        if shared[0][0].period is not None:
            raise SpecificationError(
                "online goes not with period=: observations of a new period fall between those of the old; pass "
                "prior=sf.priors.IntegratedWiener(...) + sf.priors.Seasonal(period), or fit again"
            )
        self._windows = [Window(own, [Setting(values, variance, None) for _, values, variance in group]) for own, group in shared]
        self.nobs = self._n_given = len(self._windows[0].rows)
        self._appended = Appended(shared[0][0].joint, self._abscissa)
        self._settle(2 * self.lag)

    @property
    def _spec(self) -> Specification:
        """That at the estimates, as the first window is."""
        return self._windows[0].specification

    # Observations ---------------------------------------------------------------------------------------------------------

    def _append_all(self, observations: Observations, regressors: Mapping[str, Any] | None) -> None:
        spec, n = self._spec, len(observations)
        known = dict(zip(spec.regressors, named_columns(spec.regressors, regressors, n).T, strict=True))
        for part in spec.joint:
            observations = with_covariance(observations, part)
        for reading in observations.readings:
            self._checked_kind(reading)
        given = [replace(reading, x=self._abscissa.given(reading.x)) for reading in observations.readings]
        observations = replace(observations, readings=tuple(given))
        self._appended.check(observations)
        read = [window.read(observations, known) for window in self._windows]
        for window, new in zip(self._windows, read, strict=True):
            for points in (new.start, new.end):
                self._check_age(points, np.ones(n, np.bool_), window.limit(self.lag))
        arrival, names = self.nobs + np.arange(n), [name for one in given for name in [one.name] * len(one)]
        for part in appended_of(spec.joint, observations):  # a combination is of what came before it, so that the last can go
            arrival[part.rows.T.ravel()] = np.sort(arrival[part.rows.ravel()])
        for window, new in zip(self._windows, read, strict=True):
            window.append(new, arrival, names)
        self._appended.add(observations, arrival)
        self.nobs += n
        if len(self._windows[0].rows) > 4 * self.lag + BLOCK:
            self._settle(2 * self.lag)

    def _settle(self, kept: int) -> None:
        """Make laws of all rows but about the last `kept`."""
        for window in self._windows:
            window.settle(kept)
        self._appended.forget(self._limit)

    def _added_terms(self) -> FloatArray:
        return np.hstack([window.terms_before + window.terms() for window in self._windows])[:, 1:]

    @property
    def _limit(self) -> Points:
        return self._windows[0].limit(self.lag)

    def _take_out(self, n: int) -> None:
        for window in self._windows:
            window.take(window.arrival < self.nobs - n)
        self._appended.take_out(self.nobs - n)
        self.nobs -= n

    def forget(self) -> None:
        self._settle(0)
        self._n_given = self.nobs

    # The curve --------------------------------------------------------------------------------------------------------

    def _recent(self) -> Points:
        rows = self._windows[0].rows
        points = rows.end.take(np.argsort(rows.end.keys, kind="stable")[-self.lag :])
        return points.take(np.unique(points.keys, return_index=True)[1])

    def moments(self, functionals: CurveFunctionals) -> Moments:
        return Moments(*(part[:1] for part in self._moments_by(self._windows[:1], functionals, 1)))

    def _moments_at_nodes(self, functionals: CurveFunctionals) -> Moments:
        return Moments(*(part[1:] for part in self._moments_by(self._windows, functionals)))

    def _moments_by(self, windows: Sequence[Window], functionals: CurveFunctionals, most: int | None = None) -> Moments:
        """Posterior means and variances of functionals at each setting of some windows (L, n), or at the first ones of each."""
        query, units, origins = in_state(self._spec, functionals)
        n, mean, variance = len(query), [], []
        for window in windows:
            for points in (query.start, query.end):
                self._check_age(points, np.ones(n, np.bool_), window.limit(self.lag))
            for one in window.settings[:most]:
                moments = window.program([window.rows, query], one).moments(one.values, one.variance)
                mean.append(moments[0][-n:] * units + origins)
                variance.append(moments[1][-n:] * units**2)
        return Moments(np.array(mean), np.array(variance))

    @property
    def _last(self) -> float:
        rows, law = self._windows[0].rows, self._windows[0].settings[0].law
        return float(rows.end.coarse.max() if len(rows) or law is None else law.at.coarse[0])
