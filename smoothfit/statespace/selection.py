"""Outliers and level shifts that a fit adds by itself, one by one.

As long as `outliers` reports an observation or a level shift at `LEVEL` (two-sided, times the number of places tested), the most
significant becomes a `Pulse` or a `Level`, and all parameters are estimated again. None is dropped afterwards: in 300 series with
shifts, ramps, decays and pairs of outliers none had become insignificant.

A. C. Harvey and S. J. Koopman (1992), "Diagnostic checking of unobserved-components time series models"; P. de Jong and J. Penzer
(1998), "Diagnosing shocks in time series".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import stats

from ..errors import SpecificationError
from ..markov.criteria import LIKELIHOODS
from ..observations import Observations
from ..results.outliers import outliers
from ..results.protocols import Residuals
from .effects import Intervention, Level, Pulse

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05  # of each of the two kinds; clean series get an intervention less often, see benchmarks/structural.py
MOST = 20  # interventions that are added
KINDS: dict[str, type[Intervention]] = {"observation": Pulse, "level shift": Level}


class Fitted(Residuals, Protocol):
    """What is asked of a fit."""

    @property
    def params(self) -> pd.Series:
        """Estimates by name."""

    @property
    def bse(self) -> pd.Series:
        """Standard errors by name."""


@dataclass(frozen=True, eq=False)
class Selection:
    """What was added to a model.

    Attributes
    ----------
    p_values : dict from str to float
        Of each intervention that was added, by its name, times the number of places tested.
    is_full : bool
        Whether there may be more.
    """

    p_values: dict[str, float]
    is_full: bool

    @property
    def note(self) -> str:
        """A line for the summary."""
        added = ", ".join(f"{name} (p = {p:.1g})" for name, p in self.p_values.items()) or "none found"
        full = f"; stopped at {MOST}" if self.is_full else ""
        caveat = ". Intervals do not include the search for them." if self.p_values else ""
        return f"interventions='auto' added: {added}{full}{caveat}"


def check_selectable(observations: Observations, period: float | None, method: str, excluded: dict[str, bool]) -> None:
    """Refuse what the search for interventions does not go with; `excluded` are options of the fit that are given."""
    reading, *others = observations.readings
    remedy = "see outliers(), and pass interventions= to SmoothingSpline"
    if others:
        what = f"one series, and there are {len(observations.readings)}"
    elif reading.deriv or reading.upper is not None or reading.resolution is not None:
        what = f"values of f without resolution=, and {reading.name!r} observes {reading.label}"
    elif len(np.unique(observations.points.keys)) < len(reading):
        what = "one observation at each x"
    elif period is not None:
        what = "a curve without period="
    elif method not in LIKELIHOODS:
        what, remedy = "a likelihood", "pass method='reml' or 'ml'"
    elif any(excluded.values()):
        name = next(name for name, is_given in excluded.items() if is_given)
        what, remedy = f"a fit without {name}", f"leave {name} out, or {remedy}"
    else:
        return
    raise SpecificationError(f"interventions='auto' needs {what}; {remedy}")


def select(fit: Callable[[tuple[Intervention, ...]], Any]) -> tuple[Any, Selection]:
    """The fit with all interventions that are significant, and what was added; `fit` estimates a model with some added."""
    added: dict[str, Intervention] = {}
    results = fit(())
    while len(added) < MOST:
        found = _most_significant(results, tuple(added))
        if found is None:
            break
        name, change = found
        added[name] = change
        results = fit(tuple(added.values()))
    return results, Selection(_p_values(results, tuple(added)), len(added) == MOST)


def _most_significant(results: Fitted, known: tuple[str, ...]) -> tuple[str, Intervention] | None:
    """Name and intervention of what a fit explains worst; None if it explains all but what is `known`."""
    reported = outliers(results, LEVEL)
    for kind, x in zip(reported["kind"], reported["x"], strict=True):
        if kind in KINDS:
            change = KINDS[kind](x)
            name = change.label(results.observations.abscissa)
            if name not in known:
                return name, change
    return None


def _p_values(results: Fitted, names: tuple[str, ...]) -> dict[str, float]:
    """Of the t test of each intervention, times the number of places."""
    params, bse, n = results.params, results.bse, len(results.observations)
    found = {}
    for name in names:
        size = abs(params[name] / bse[name])
        tail = stats.norm.sf(size) if np.isinf(results.df_interval) else stats.t.sf(size, results.df_interval)
        found[name] = float(min(1.0, 2 * n * tail))
    return found
