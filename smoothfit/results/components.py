"""The additive parts of a curve and of observations of it, in a frame and in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError
from ..observations import Observations, derivative_label
from ..observations.abscissa import Points
from .mixtures import critical_value
from .plotting import CURVE_COLOUR, drawn, format_times, x_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


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

    def part_of_curve(self, x: Points, deriv: int, part: str) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of a derivative of a part of f at points x (n,)."""

    def parts_of_observations(self, x: Any, deriv: int) -> Sequence[tuple[str, Points, FloatArray, FloatArray]]:
        """Name, abscissae, means and variances of what regressors add to observations, at x or where they were observed."""


def component_frame(results: HasParts, x: Any, deriv: int, alpha: float) -> pd.DataFrame:
    """All parts under each other, with standard errors and intervals; x are the distinct abscissae if it is None."""
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
    found = [(name, points, *results.part_of_curve(points, deriv, name)) for name in names]
    found += results.parts_of_observations(x, deriv)
    critical = critical_value(alpha, results.df_interval)
    frames = []
    for name, at, mean, variance in found:
        se = np.sqrt(variance)
        shown = abscissa.shown(abscissa.restore(at.coarse))
        columns = {
            "component": np.repeat(name, len(mean)),
            results.observations.x_name: shown,
            "mean": mean,
            "mean_se": se,
            "mean_ci_lower": mean - critical * se,
            "mean_ci_upper": mean + critical * se,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def plot_components(results: HasParts, frame: pd.DataFrame, deriv: int, alpha: float) -> Figure:
    """Draw every part of a frame over x in axes of its own."""
    import matplotlib.pyplot as plt

    abscissa, x_name = results.observations.abscissa, results.observations.x_name
    names = list(dict.fromkeys(frame["component"]))
    figure, rows = plt.subplots(len(names), 1, figsize=(8, 2.4 * len(names)), sharex=True, squeeze=False, layout="constrained")
    for name, ax in zip(names, rows[:, 0], strict=True):
        part = frame[frame["component"] == name].sort_values(x_name, kind="stable")
        x = drawn(abscissa, abscissa.to_numbers(part[x_name].to_numpy()))
        ax.plot(x, part["mean"], color=CURVE_COLOUR)
        ax.fill_between(x, part["mean_ci_lower"], part["mean_ci_upper"], color=CURVE_COLOUR, alpha=0.25, linewidth=0)
        ax.set_ylabel(name if deriv == 0 else f"{name}, {derivative_label(deriv)}")
        ax.margins(x=0)
        format_times(ax, abscissa)
    rows[0, 0].set_title(f"parts of the curve with {100 * (1 - alpha):g} % bands")
    rows[-1, 0].set_xlabel(x_label(abscissa, x_name))
    return figure
