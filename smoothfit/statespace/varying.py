"""Coefficients of regressors that vary with x: each a process of its own, which an observation adds times its regressor.

y_i = f(x_i) + z_i b(x_i) + e_i, b a Markov process independent of f: the row of an observation in the state is that of f beside
z_i times that of b, and the state goes on as for any sum of processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._entry import warn
from .._validation import described, shown
from ..errors import ExactSeriesWarning, SpecificationError
from ..markov.priors import Seasonal
from ..markov.process import Prior
from ..observations import Observations

EXAMPLE = "sf.priors.IntegratedWiener(1)"


def coefficient_label(regressor: str) -> str:
    """Name of the path of a coefficient among the components."""
    return f"coef({regressor})"


def checked_varying(varying: Any, regressors: Mapping[str, Any], period: float | None) -> dict[str, Prior]:
    """Priors of coefficients by the name of their regressor."""
    if varying is None:
        return {}
    if not isinstance(varying, Mapping):
        raise SpecificationError(f"varying is {shown(varying)}; pass a mapping from regressors to priors: {{'price': {EXAMPLE}}}")
    for name, prior in varying.items():
        if name not in regressors:
            known = f"the regressors are {', '.join(map(repr, regressors))}" if regressors else "there are no regressors="
            raise SpecificationError(f"varying has {name!r}, but {known}; pass its values, regressors={{{name!r}: ...}}")
        if not isinstance(prior, Prior):
            given = described(prior) if isinstance(prior, type) else shown(prior)
            raise SpecificationError(f"varying[{name!r}] is {given}; pass a prior, for example {EXAMPLE}")
        if any(isinstance(component, Seasonal) for component in prior.components):
            raise SpecificationError(
                f"varying[{name!r}] is {prior!r}; a coefficient with a season is not supported: pass the regressor times the sine "
                "and times the cosine of the season as regressors, each with a coefficient of its own"
            )
    if varying and period is not None:
        raise SpecificationError("period excludes varying; pass prior=sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(period)")
    return dict(varying)


def check_acting(varying: Mapping[str, Prior], columns: Mapping[str, Any], observations: Observations) -> None:
    """Refuse observations over an interval that depend on a coefficient, which changes within the interval."""
    first = 0
    for reading in observations.readings:
        rows = slice(first, first + len(reading))
        first += len(reading)
        acting = [name for name in varying if columns[name][rows].any()]
        if acting and reading.upper is not None:
            raise SpecificationError(
                f"varying has {acting[0]!r}, on which {reading.name!r} depends, observations of {reading.label}; a coefficient "
                "changes within their intervals: make the regressor zero for them, or leave it out of varying"
            )


def warn_of_hidden_noise(varying: Mapping[str, Prior], observations: Observations, zero: Sequence[str]) -> None:
    """Warn if the SD of a single series is in `zero`, those estimated as zero, beside coefficients that vary.

    Of several series `warn_of_exact_series` warns; a noise process may be all the noise of a series.
    """
    if varying and len(observations.readings) == 1 and observations.readings[0].name in zero:
        free = " or ".join(map(repr, varying))
        warn(
            f"the SD of {zero[0]!r} is estimated as zero: the coefficient of {free} varies so freely, times a regressor "
            "this large, that it explains every observation; give sd=, or a smoother coefficient, varying="
            f"{{{next(iter(varying))!r}: sf.priors.IntegratedWiener(2)}}, or subtract the mean of the regressor if its level is "
            "arbitrary",
            ExactSeriesWarning,
        )
