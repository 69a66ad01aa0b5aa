"""Outliers, level shifts and slope breaks that a fit adds by itself, one by one.

The observation, the level shift and the slope break with the largest auxiliary residual are tried, as a `Pulse` of its series, as a
`Level` and as a `Slope`: the model is estimated with each by the full likelihood l. Of n observations, with m residual degrees of
freedom,

    t^2 = m (exp(2 (l_1 - l_0) / n) - 1),   p = c k P(|T_m| > t),

k the number of places tested of that kind and c that of kinds (Bonferroni): 3, or 2 of curves without a slope. The smallest p-value
counts: up to `LEVEL` that intervention is added, and the search goes on. Of a pulse n is the number of observations of its series,
and m the same fraction of all degrees of freedom. Unlike auxiliary residuals, the likelihood includes that a curve which wandered
only in order to follow a shift need not wander beside it. If the full likelihood is unbounded, as it may be if a noise vanishes, p
is that of auxiliary residuals, as of periodic curves, which have no full likelihood and only pulses.

Student-t noise has small weights for outliers already, so that level shifts and slope breaks alone are tried, and nothing of
periodic curves. l is then the restricted likelihood of that noise (`student`), at the best size of the intervention, and n the
number of contrasts.

A. C. Harvey and S. J. Koopman (1992), "Diagnostic checking of unobserved-components time series models"; P. de Jong and J. Penzer
(1998), "Diagnosing shocks in time series".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from ..errors import ConvergenceError, ExactSeriesWarning, SpecificationError
from ..markov.criteria import LIKELIHOODS
from ..observations import Observations
from ..results.curve import CurveResults
from ..results.outliers import most_significant
from ..results.protocols import Unexplained
from .effects import Intervention, Level, Pulse, Slope
from .student import Robust, gain_of

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.025  # nominal: of clean series 0 to 3 % get an intervention, see benchmarks/structural.py
MOST = 20  # interventions that are added
KINDS: dict[str, type[Intervention]] = {"level shift": Level, "slope break": Slope}  # beside pulses


Fit = Callable[[tuple[Intervention, ...], str], Any]


@dataclass(frozen=True, eq=False)
class Selection:
    """What was added to a model.

    Attributes
    ----------
    p_values : dict from str to float
        Of each intervention that was added, by its name, times the number of tests.
    is_full : bool
        Whether there may be more.
    is_void : bool
        Whether the model has nothing to search for.
    """

    p_values: dict[str, float]
    is_full: bool
    is_void: bool = False

    @property
    def note(self) -> str:
        """A line for the summary."""
        added = ", ".join(f"{name} (p = {p:.1g})" for name, p in self.p_values.items()) or "none found"
        full = f"; stopped at {MOST}" if self.is_full else ""
        if self.is_void:
            full = "; a periodic curve has outliers only, which Student-t noise allows for"
        caveat = ". Intervals do not include the search for them." if self.p_values else ""
        return f"interventions='auto' added: {added}{full}{caveat}"


def check_selectable(method: str, excluded: dict[str, bool]) -> None:
    """Refuse what the search for interventions does not go with; `excluded` are options of the fit that are given."""
    remedy = "see outliers(), and pass interventions= to SmoothingSpline"
    if method not in LIKELIHOODS:
        what, remedy = "a likelihood", "pass method='reml' or 'ml'"
    elif any(excluded.values()):
        name = next(name for name, is_given in excluded.items() if is_given)
        what, remedy = f"a fit without {name}", f"leave {name} out, or {remedy}"
    else:
        return
    raise SpecificationError(f"interventions='auto' needs {what}; {remedy}")


def select(fit: Fit, method: str, *, is_periodic: bool = False, robust: Robust | None = None) -> tuple[Any, Selection]:
    """The fit by a method with all interventions that are significant, and what was added.

    `fit` estimates a model with some interventions by a method. A periodic curve has no full likelihood. `robust` estimates the
    same with Student-t noise, if that is asked for.
    """
    added: dict[str, Intervention] = {}
    p_values: dict[str, float] = {}
    if is_periodic and robust is not None:
        return fit((), method), Selection(p_values, False, is_void=True)
    while len(added) < MOST:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExactSeriesWarning)  # reported of the last fit
            p, name, change = _next(fit, method, added, is_periodic) if robust is None else _next_robustly(robust, added)
        if p > LEVEL:
            break
        added[name], p_values[name] = change, p
    return fit(tuple(added.values()), method), Selection(p_values, len(added) == MOST)


def _next(fit: Fit, method: str, added: dict[str, Intervention], is_periodic: bool) -> tuple[float, str, Intervention]:
    """P-value, name and intervention of what is most significant beside those that were added."""
    changes, found = tuple(added.values()), []
    plain = None if is_periodic else _largest(fit, changes)
    results = fit(changes, method) if plain is None else plain
    rows = _candidates(results)
    for row in rows.to_dict("records"):
        change = _change(row, results.observations, is_periodic)
        name = change.label(results.observations.abscissa)
        larger = None if plain is None or name in added else _largest(fit, (*changes, change))
        p = row["p_value"] if larger is None else row["places"] * _tail(results, larger, row["name"])
        found.append((min(1.0, len(rows) * p) if name not in added else 1.0, name, change))
    return min(found, key=lambda one: one[0])


def _next_robustly(fit: Robust, added: dict[str, Intervention]) -> tuple[float, str, Intervention]:
    """The same of level shifts and slope breaks, with Student-t noise."""
    changes, found = tuple(added.values()), []
    plain = fit(changes, None)
    n, rows = plain.nobs - plain.fitted.posterior.n_diffuse, _candidates(plain)
    rows = rows[rows["kind"].isin(list(KINDS))]
    for row in rows.to_dict("records"):
        change = _change(row, plain.observations, False)
        name, p = change.label(plain.observations.abscissa), 1.0
        if name not in added:
            gain, larger = gain_of(fit, plain, changes, change, name)
            p = len(rows) * row["places"] * _tail_of(gain, n, larger.df_interval)
        found.append((min(1.0, p), name, change))
    return min(found, key=lambda one: one[0])


def _candidates(results: Any) -> pd.DataFrame:
    """The observation and the change of each kind that a fit explains least."""
    posterior = results.fitted.posterior
    residuals = posterior.resid_standardized, posterior.loo_resid
    return most_significant(Unexplained(results.observations, results.df_interval, *residuals, posterior.changes()))


def _change(row: Mapping[Hashable, Any], observations: Observations, is_periodic: bool) -> Intervention:
    """The intervention that explains an auxiliary residual.

    Of one of several observations of a series at an x it is a pulse of that alone; a periodic curve has none.
    """
    if row["kind"] in KINDS:
        return KINDS[row["kind"]](row["x"])
    before = row["row"] - int(np.argmax(observations.series == observations.names.index(row["name"])))
    alike = Pulse(row["x"], series=row["name"]).is_at(observations[row["name"]].x, observations.abscissa)
    if alike.sum() > 1:
        return Pulse(row["x"], series=row["name"], number=int(alike[:before].sum()))
    is_alone = len(observations.readings) == 1 and observations.readings[0].deriv == 0 and not is_periodic
    return Pulse(row["x"], series=None if is_alone else row["name"])


def _largest(fit: Fit, changes: tuple[Intervention, ...]) -> Any:
    """The fit of largest full likelihood; None if that grows without bound as a noise vanishes."""
    try:
        return fit(changes, "ml")
    except ConvergenceError:
        return None


def _tail(smaller: CurveResults, larger: CurveResults, series: str) -> float:
    """P-value of one coefficient, of the curve or of a series, by the ratio of likelihoods.

    By Student's t, as in a regression, if an SD is estimated. Of a pulse it is that of its series, with its fraction of the degrees
    of freedom.
    """
    observations, df = larger.observations, larger.df_interval
    n = len(observations)
    if series:
        reading = observations[series]
        df = df * len(reading) / n if reading.sd is None else np.inf
        n = len(reading)
    return _tail_of(2 * (larger.llf - smaller.llf), n, df)


def _tail_of(gain: float, n: int, df: float) -> float:
    """P-value of twice a gain of log-likelihood of n observations."""
    gain = max(0.0, gain)
    if np.isinf(df):
        return float(stats.chi2.sf(gain, 1))
    return float(2 * stats.t.sf(np.sqrt(df * np.expm1(gain / n)), df))
