"""Which observations and which sudden changes a fit does not explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import stats

from .._validation import FloatArray, check_level
from .protocols import Unexplained

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["kind", "name", "x", "effect", "se", "statistic", "p_value", "row"]


def outliers(fit: Unexplained, alpha: float) -> pd.DataFrame:
    """Return the observations and changes that are significant at level alpha / (number of the kind)."""
    return _reported(fit, check_level(alpha))


def most_significant(fit: Unexplained) -> pd.DataFrame:
    """The observation and the change of each kind with the largest statistic, with the number of ``places`` tested of each kind."""
    places = {"observation": int(np.count_nonzero(~np.isnan(fit.standardized)))}
    places |= {change.kind: len(change.x) for change in fit.changes}
    frame = _reported(fit, 1.0)
    farthest = frame.loc[frame["statistic"].abs().groupby(frame["kind"]).idxmax()]
    return farthest.assign(places=farthest["kind"].map(places))


def _reported(fit: Unexplained, level: float) -> pd.DataFrame:
    """Those whose p-value is at most the level."""
    import pandas as pd

    parts = [_readings(fit, level)]
    abscissa = fit.observations.abscissa
    for change in fit.changes:
        statistic = change.effect / change.se
        p = _p_values(statistic, fit.df)
        peaks = _peaks(np.abs(statistic), p <= level)
        columns = {
            "x": abscissa.shown(change.x),
            "effect": change.effect,
            "se": change.se,
            "statistic": statistic,
            "p_value": p,
        }
        frame = pd.DataFrame({name: values[peaks] for name, values in columns.items()})
        parts.append(frame.assign(kind=change.kind, name="", row=-1))
    found = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(found)[COLUMNS].sort_values("p_value", kind="stable", ignore_index=True)


def _readings(fit: Unexplained, level: float) -> pd.DataFrame:
    import pandas as pd

    statistic, effect = fit.standardized, fit.loo
    p = _p_values(statistic, fit.df)
    rows = np.flatnonzero(p <= level)
    rows = rows[np.argsort(-np.abs(statistic[rows]), kind="stable")]
    observations = fit.observations
    labels = np.array(observations.names, dtype=object)[observations.series[rows]]
    return pd.DataFrame(
        {
            "kind": "observation",
            "name": labels,
            "x": observations.abscissa.shown(observations.abscissa.restore(observations.x[rows])),
            "effect": effect[rows],
            "se": effect[rows] / statistic[rows],
            "statistic": statistic[rows],
            "p_value": p[rows],
            "row": rows,
        }
    )


def _p_values(statistic: FloatArray, df: float) -> FloatArray:
    """Two-sided, times the number of tests; NaN is no test, and is not significant."""
    size = np.abs(statistic)
    p = 2 * (stats.norm.sf(size) if np.isinf(df) else stats.t.sf(size, df))
    return np.where(np.isnan(p), np.inf, np.minimum(1.0, p * np.count_nonzero(~np.isnan(p))))


def _peaks(size: FloatArray, significant: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The largest of each run of significant entries."""
    chosen = np.flatnonzero(significant)
    if not len(chosen):
        return chosen
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    return np.array([run[np.argmax(size[run])] for run in runs])
