"""The additive parts of a curve and of observations of it, in a frame and in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import SpecificationError
from ..observations import Observations, Readings, derivative_label
from ..observations.abscissa import Points
from .drawing import BAND_ALPHA, CURVE_COLOUR, panels
from .mixtures import critical_value
from .plotting import drawn, format_times, x_label
from .prediction import CurvePrediction

if TYPE_CHECKING:
    import pandas as pd


RESIDUAL, NOISE = "residual", "noise process"
ROUNDING = 1e-9  # of the range of fitted values: what is left of them is no noise process


class HasParts(Protocol):
    """What has additive parts."""

    @property
    def observations(self) -> Observations:
        """The data."""

    @property
    def df_interval(self) -> float:
        """Degrees of freedom of intervals."""

    def parts_of_curve(self, deriv: int) -> Sequence[str]:
        """Names of the parts of f that have a derivative."""

    def prediction_of_part(self, points: Points, x: Any, deriv: int, part: str) -> CurvePrediction:
        """Prediction of a derivative of a part of f at points."""

    @property
    def coefficient_names(self) -> Sequence[str]:
        """Those of them that are paths of coefficients, and so no parts of f."""

    def part_of_curve(self, x: Points, deriv: int, part: str) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and variance of a derivative of a part of f at points."""

    def parts_of_observations(self, x: Any, deriv: int) -> Sequence[tuple[str, Points, FloatArray, FloatArray]]:
        """Name, x, means and variances of what regressors add to observations, at x or where they were observed."""


def component_frame(results: HasParts, x: Any, deriv: int, alpha: float) -> pd.DataFrame:
    """All parts under each other, with standard errors and intervals; x defaults to the distinct x of the observations."""
    import pandas as pd

    abscissa = results.observations.abscissa
    if x is None:
        points = results.observations.points
        points = points.take(np.unique(points.keys, return_index=True)[1])
    else:
        points = abscissa.points(abscissa.asked(x).array.ravel())
    names = results.parts_of_curve(deriv)
    if not names:
        raise SpecificationError(f"deriv is {deriv}; no part of the curve has {derivative_label(deriv)}")
    critical = critical_value(alpha, results.df_interval)
    frames = []

    def add(name: str, x: Any, mean: FloatArray, se: FloatArray, ends: FloatArray) -> None:
        columns = {"component": np.repeat(name, len(mean)), results.observations.x_name: x, "mean": mean, "mean_se": se}
        frames.append(pd.DataFrame(columns | {"mean_ci_lower": ends[:, 0], "mean_ci_upper": ends[:, 1]}))

    shown = abscissa.shown(abscissa.restore(points.coarse))
    for name in names:
        part = results.prediction_of_part(points, shown, deriv, name)
        add(name, shown, part.predicted_mean, part.se_mean, part.conf_int(alpha=alpha))
    for name, at, mean, variance in results.parts_of_observations(x, deriv):
        se = np.sqrt(variance)
        ends = mean[:, None] + critical * se[:, None] * np.array([-1.0, 1.0])
        add(name, abscissa.shown(abscissa.restore(at.coarse)), mean, se, ends)
    return pd.concat(frames, ignore_index=True)


def variance_shares(results: HasParts, fittedvalues: FloatArray, name: str | None) -> pd.DataFrame:
    """Variance of each part of the observations of a series, its share of theirs, and its strength; fitted values are (n,)."""
    import pandas as pd

    observations = results.observations
    reading = _series_of_values(observations, name)
    mine = observations.series == observations.names.index(reading.name)
    alike = np.concatenate([np.full(len(r), r.deriv == reading.deriv and r.upper is None) for r in observations.readings])
    points = observations.points.take(mine)
    parts = {
        part: results.part_of_curve(points, reading.deriv, part)[0]
        for part in results.parts_of_curve(reading.deriv)
        if part not in results.coefficient_names
    }
    added = {part: mean[mine[alike]] for part, _, mean, _ in results.parts_of_observations(None, reading.deriv)}
    parts |= {part: mean for part, mean in added.items() if mean.any()}
    y, fitted = observations.y[mine], fittedvalues[mine]
    other = fitted - np.sum(list(parts.values()), axis=0)
    if np.ptp(other) > ROUNDING * np.ptp(fitted):
        parts[NOISE] = other
    parts[RESIDUAL] = residual = y - fitted
    rows = {}
    for part, values in parts.items():
        whole = float(np.var(values + residual))
        strength = max(0.0, 1 - float(np.var(residual)) / whole) if part != RESIDUAL and whole > 0 else np.nan
        rows[part] = {"variance": np.var(values), "share": np.mean((values - values.mean()) * (y - y.mean())) / np.var(y)}
        rows[part]["strength"] = strength
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("component")


def _series_of_values(observations: Observations, name: str | None) -> Readings:
    """The series of which shares are asked: of f or a derivative, in the units of the curve."""
    if name is not None and name not in observations.names:
        raise SpecificationError(f"name is {name!r}; the observations are named {', '.join(observations.names)}")
    able = [r for r in observations.readings if r.upper is None and not (r.has_scale or r.has_lag)]
    found = next((r for r in able if name in (None, r.name)), None)
    if found is None:
        what = "no series observes" if name is None else f"{name!r} does not observe"
        others = f"; pass name= of {', '.join(r.name for r in able)}" if able else ""
        raise SpecificationError(
            f"{what} f or a derivative at its x and on its scale, of which components have shares{others}; see components()"
        )
    return found


def plot_components(results: HasParts, frame: pd.DataFrame, deriv: int, alpha: float, ax: Any) -> npt.NDArray[Any]:
    """Draw every part of a frame over x in axes of its own."""
    abscissa, x_name = results.observations.abscissa, results.observations.x_name
    names = list(dict.fromkeys(frame["component"]))
    axes = panels(ax, len(names), 1, (8, 2.4), sharex=True)
    for name, one in zip(names, axes, strict=True):
        part = frame[frame["component"] == name].sort_values(x_name, kind="stable")
        x = drawn(abscissa, abscissa.read(part[x_name]))
        one.plot(x, part["mean"], color=CURVE_COLOUR)
        one.fill_between(x, part["mean_ci_lower"], part["mean_ci_upper"], color=CURVE_COLOUR, alpha=BAND_ALPHA, linewidth=0)
        one.set_ylabel(name if deriv == 0 else f"{name}, {derivative_label(deriv)}")
        one.margins(x=0)
        format_times(one, abscissa)
    axes[0].set_title(f"parts of the curve with {100 * (1 - alpha):g} % intervals")
    axes[-1].set_xlabel(x_label(abscissa, x_name))
    return axes
