"""Checks of what `SmoothingSpline` is given besides observations: regressors, interventions, noise, components of a prior."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._entry import warn
from .._validation import FloatArray, check_finite, check_order, described, shown, to_floats
from ..errors import DataError, IdentificationError, RoughnessWarning, SamplingWarning, SpecificationError
from ..markov.criteria import LIKELIHOODS
from ..markov.functionals import INTEGRAL, VALUE, Functionals
from ..markov.priors import IntegratedWiener, OrnsteinUhlenbeck, Seasonal
from ..markov.process import Prior
from ..markov.wide import is_hardly_determined
from ..observations import Observations, derivative_label
from ..observations.abscissa import Points
from .effects import Intervention, Pulse
from .periodic import Phases, distances
from .terms import Terms

HIGHEST_ORDER = 4  # of an integrated Wiener process
WIDER = (*(2.0**8,) * 5, np.inf)  # times the variance of a wide start, tried in turn while it counts as knowledge: up to 2^68
FIRST = 1000  # observations that are looked at for what determines the start of seasons


def checked_prior(prior: Any) -> Prior:
    if isinstance(prior, Prior):
        return prior
    hint = f"{prior.__name__}()" if isinstance(prior, type) else "sf.priors.Matern(nu=2.5)"
    raise SpecificationError(
        f"prior is {described(prior) if isinstance(prior, type) else shown(prior)}; pass a prior, for example {hint}"
    )


def warn_of_seasons(prior: Prior, observations: Observations) -> None:
    """Warn of a season that is longer than the record, and, of times, of one that is shorter than two typical steps.

    The latter is as a rule a period in another unit than x.
    """
    seasons = [component for component in prior.components if isinstance(component, Seasonal)]
    unit, places = observations.abscissa.unit, np.unique(observations.places) if seasons else np.zeros(0)
    if len(places) < 2:
        return
    step, extent, label = float(np.median(np.diff(places))), float(np.ptp(places)), f" {unit}" * (unit is not None)
    for season in seasons:
        if season.period < 2 * step and unit is not None:
            warn(
                f"Seasonal(period={season.period:g}) is {season.period:g} {unit}, shorter than two steps of the observations, "
                f"which are {step:.4g} {unit} apart; give the period in {unit}, or count x in another unit: "
                "observe(..., unit='M') for months",
                SamplingWarning,
            )
        if season.period > extent + step:
            warn(
                f"Seasonal(period={season.period:g}) is longer than the record, which spans {extent:.4g}{label}: the observations "
                "hardly separate the season from a trend; leave one of them out, check the unit of the period, or give q=",
                SamplingWarning,
            )


def with_harmonics(prior: Prior, observations: Observations) -> Prior:
    """The prior with seasons of as many harmonics as the observations choose, if none are given."""

    def chosen(component: Prior) -> Prior:
        if not isinstance(component, Seasonal) or component.harmonics is not None:
            return component
        return component.chosen(len(Phases(observations.points, component.period).distinct), len(observations))

    return prior.with_components([chosen(component) for component in prior.components])


def with_identified_seasons(prior: Prior, observed: Callable[[], Functionals], points: Points, x_unit: float) -> Prior:
    """The prior with seasonal harmonics of as many unknown constants as the observations identify: on an even grid one."""
    if not any(isinstance(component, Seasonal) for component in prior.components):
        return prior
    read, at, found = observed(), 0, []
    first = Phases(points, 1.0).first
    start, end = (distances(x, first) / x_unit for x in (read.start, read.end))
    for component in prior.components:
        rows = read.process[:, at : at + component.dim]
        at += component.dim
        found.append(component.identified_by(start, end, read.kind, rows, x_unit) if isinstance(component, Seasonal) else component)
    return _with_wide_starts(prior.with_components(found), read, start, end, x_unit)


def with_wider_starts(prior: Prior, factor: float) -> Prior:
    """The prior with seasons of a start with so many times the variance, or one that is exactly diffuse: infinitely many times."""

    def of(season: Seasonal) -> Seasonal:
        return replace(season, spread=tuple(factor * one for one in season.spread) if np.isfinite(factor) else ())

    return prior.with_components([of(one) if isinstance(one, Seasonal) else one for one in prior.components])


def _with_wide_starts(prior: Prior, read: Functionals, start: FloatArray, end: FloatArray, x_unit: float) -> Prior:
    """The prior with seasons of a wide start, if a diffuse one would lose digits as the first observations hardly determine it."""
    order, seen = np.argsort(end, kind="stable")[:FIRST], np.arange(len(end))[:: 1 + len(end) // FIRST]
    designs, at, found = [np.where(read.kind == INTEGRAL, end - start, read.kind == VALUE)[order, None]], 0, []
    for component in prior.components:
        rows = read.process[:, at : at + component.dim]
        at += component.dim
        if isinstance(component, Seasonal):
            slow = (read.kind == VALUE) & ~rows.any(axis=1)  # of instruments that respond slowly
            rows = np.where(slow[:, None], component.readout(0, x_unit), rows)
            mine, some = (component.design(start[i], end[i], read.kind[i], rows[i], x_unit) for i in (order, seen))
            designs += mine
            component = replace(component, spread=tuple(1 / (float(np.square(waves).max()) or 1.0) for waves in some))
        found.append(component)
    return prior.with_components(found) if is_hardly_determined(np.hstack(designs)) else with_wider_starts(prior, np.inf)


def lacks_harmonics(prior: Prior, observations: Observations) -> bool:
    """Whether a season has fewer harmonics than the observations identify."""
    return any(
        isinstance(season, Seasonal) and 2 * season.count + 1 < len(Phases(observations.points, season.period).distinct)
        for season in prior.components
    )


def checked_noise(noise: Mapping[str, Any] | None, observations: Observations) -> dict[str, Prior]:
    """Noise processes by name, stationary ones."""
    if noise is not None and not isinstance(noise, Mapping):
        raise SpecificationError(f"noise is {shown(noise)}; pass a mapping: noise={{{observations.names[0]!r}: process}}")
    checked = dict(noise or {})
    for name, process in checked.items():
        if name not in observations.names:
            raise SpecificationError(f"noise is given for {name!r}; the observations are named {', '.join(observations.names)}")
        if not isinstance(process, Prior) or not process.hyperparameters:
            raise SpecificationError(f"noise[{name!r}] is {process!r}; pass a process, such as sf.priors.OrnsteinUhlenbeck()")
        ones = np.ones(len(process.hyperparameters))
        if process.start(ones).diffuse.shape[1]:
            raise SpecificationError(f"noise[{name!r}] is {process!r}, which wanders off; noise is stationary")
        if observations[name].upper is not None:
            raise SpecificationError(f"noise[{name!r}]: observations of {observations[name].label} cannot have a noise process")
    return checked


def checked_interventions(interventions: Any, observations: Observations) -> tuple[Intervention, ...]:
    """Interventions within the observations, each under a name of its own."""
    if isinstance(interventions, Intervention) or not isinstance(interventions, Iterable):
        raise SpecificationError(f"interventions is {shown(interventions)}; pass a list, for example [sf.Level(x)]")
    checked = tuple(interventions)
    abscissa, places = observations.abscissa, observations.places
    for i, change in enumerate(checked):
        if not isinstance(change, Intervention):
            raise SpecificationError(
                f"interventions[{i}]: {shown(change)} is not an intervention; pass sf.Pulse(x), sf.Level(x) or sf.Slope(x)"
            )
        x = float(change.at(abscissa).coarse[0])
        if not places.min() <= x <= places.max():
            raise DataError(
                f"{change.label(abscissa)} lies outside the observations, {abscissa.label_of_number(places.min())} .. "
                f"{abscissa.label_of_number(places.max())}: its size is not identified; leave it out"
            )
        if isinstance(change, Pulse) and change.series is not None:
            _check_observed(change, observations)
        elif isinstance(change, Pulse) and change.number is not None:
            raise SpecificationError(
                f"{change!r} has a number without a series; pass series=, one of {', '.join(observations.names)}"
            )
    labels = [change.label(abscissa) for change in checked]
    for label in labels:
        if labels.count(label) > 1:
            raise SpecificationError(f"two interventions are called {label!r}; pass name= for one of them")
    return checked


def _check_observed(pulse: Pulse, observations: Observations) -> None:
    """Refuse a pulse of no series, and at an x that its series does not observe."""
    abscissa, label = observations.abscissa, pulse.label(observations.abscissa)
    if pulse.series not in observations.names:
        raise SpecificationError(
            f"{label} is of the series {pulse.series!r}; the observations are named {', '.join(observations.names)}"
        )
    reading = observations[pulse.series]
    if pulse.number is not None:
        check_order(pulse.number, f"number of {label}", 0, len(reading) - 1)
    if not pulse.is_at(reading.x, abscissa).any():
        such = "" if pulse.number is None else "such "
        raise DataError(
            f"{label}: {pulse.series!r} has no {such}observation there, so that its size is not identified; leave it out"
        )


def checked_regressors(
    regressors: Mapping[str, Any], observations: Observations, taken: Sequence[str]
) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Columns in units of a power of two, so that they are within one, and these units; `taken` are names of other parameters."""
    n, kept = len(observations), observations.kept
    columns, units = {}, {}
    for name, given in regressors.items():
        column, _ = to_floats(given, f"regressors[{name!r}]", is_indicator=True)
        if len(column) not in (n, len(kept)):
            dropped = len(kept) - n
            hint = f" and {dropped} that are missing" if dropped else ""
            raise DataError(f"regressors[{name!r}] has {len(column)} entries for {n} observations{hint}; pass one for each of them")
        if len(column) != n:
            column = np.where(kept, column, 0.0)  # so that an error counts all entries
        check_finite(column, f"regressors[{name!r}]", "a regressor is known for every observation: leave the observation out")
        column = column if len(column) == n else column[kept]
        size = float(np.abs(column).max())
        if size == 0:
            raise IdentificationError(f"regressors[{name!r}] is zero throughout; leave it out")
        units[name] = float(np.ldexp(1.0, int(np.frexp(size)[1])))
        columns[name] = column / units[name]
        if name in taken:
            raise SpecificationError(f"a regressor is called {name!r}, as another parameter is; rename it")
    return columns, units


def check_period(model: Terms) -> None:
    """Refuse a period beside what has none."""
    if model.period is None:
        return
    if not isinstance(model.prior, IntegratedWiener) or any(r.upper is not None for r in model.observations.readings):
        raise SpecificationError(
            "period needs order= and observations of f and its derivatives; other priors: add Seasonal(period)"
        )
    if model.noise or any(getattr(change, "series", None) is None for change in model.interventions):
        raise SpecificationError(
            "period excludes noise and interventions but pulses of a series, sf.Pulse(x, series=); leave it out, and add "
            "Seasonal(period) to prior="
        )


def check_count(nobs: int, n_diffuse: int, n_free: int, remedy: str) -> None:
    """Refuse fewer observations than unknowns, if any parameter is to be estimated."""
    if n_free and nobs < n_diffuse + n_free:
        raise DataError(
            f"{nobs} observations are too few: {n_diffuse} fix what is diffuse, and {n_free} parameters are to be estimated; "
            f"{remedy}"
        )


def check_distinct(terms: Sequence[Prior]) -> None:
    """Refuse components of a sum that no observations separate."""
    kinds = [_kind(term) for term in terms]
    for i, kind in enumerate(kinds):
        if kind is not None and kind in kinds[:i]:
            raise IdentificationError(
                f"{terms[kinds.index(kind)]!r} and {terms[i]!r} have the same covariance and cannot be separated; leave one "
                "out, or give their length scales"
            )


def _kind(prior: Prior) -> Any:
    """What makes two priors indistinguishable; None for one that has something of its own."""
    if isinstance(prior, OrnsteinUhlenbeck):
        return ("matern", 0.5) if prior.length_scale is None else None
    nu, length = getattr(prior, "nu", None), getattr(prior, "length_scale", 1.0)
    return ("matern", nu) if nu is not None and length is None else None


def check_rounded(method: str, given: tuple[str, float] | None, free: Mapping[str, float | None]) -> None:
    """Refuse what rounded observations do not go with."""
    if method not in LIKELIHOODS:
        option, remedy = f"method={method!r}", "pass 'reml' or 'ml'"
    elif free:
        option, remedy = "robust", "leave one of them out"
    elif given is not None:
        option, remedy = given[0], "give the smoothing by prior=sf.priors.IntegratedWiener(order, q=...)"
    else:
        return
    raise SpecificationError(f"the observations have a resolution, which {option} does not support; {remedy}")


def check_derivatives(observations: Observations, order: int) -> None:
    """Refuse an order at which a derivative that is observed has no variance, and warn if it is rough."""
    highest = max(observations.readings, key=lambda reading: reading.deriv)
    k = highest.deriv
    if k >= order:
        hint = f"use order={min(k + 2, HIGHEST_ORDER)}" if k < HIGHEST_ORDER else f"orders end at {HIGHEST_ORDER}"
        raise SpecificationError(
            f"order is {order}, but {highest.name!r} observes {derivative_label(k)}: the prior needs order > {k}; {hint}"
        )
    if k > 0 and order < k + 2 <= HIGHEST_ORDER:
        warn(
            f"at order {order} the curve {derivative_label(k)}, observed by {highest.name!r}, is as rough as a Brownian path; "
            f"order={k + 2} makes it smooth",
            RoughnessWarning,
        )
