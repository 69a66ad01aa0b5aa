"""Pictures of many curves and of curves that go on. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..results.drawing import CURVE_COLOUR, PANELS_ACROSS, add_legend, data_limits, fill_interval, one_panel, panels
from ..results.plotting import drawn, format_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..observations.abscissa import Abscissa
    from ..results.curve import CurveResults
    from ..results.prediction import CurvePrediction


def plot_some(curves: Mapping[Any, CurveResults], deriv: int, alpha: float, ax: Any) -> npt.NDArray[Any]:
    """Draw curves in panels of their own, with the same vertical limits."""
    axes = panels(ax, len(curves), PANELS_ACROSS, (3, 2.4), sharex=True)
    for i, (label, results) in enumerate(curves.items()):
        one = axes[i]
        results.plot(deriv, one, alpha)
        one.get_legend().remove()
        one.set_title(", ".join(map(str, label)) if isinstance(label, tuple) else str(label), fontsize="medium")
        x_label = one.get_xlabel()
        one.label_outer()
        if ax is None and i + PANELS_ACROSS >= len(axes):  # nothing is below, in an incomplete row either
            one.set_xlabel(x_label)
            one.tick_params(labelbottom=True)
    low, high = np.transpose([data_limits(one) for one in axes])
    for one in axes:
        one.set_ylim(low.min(), high.max())
    return axes


def plot_fan(grid: FloatArray, means: FloatArray, levels: Sequence[float], abscissa: Abscissa, ax: Axes | None) -> Axes:
    """Draw the median of curves (S, g), NaN where one was not observed, and central ranges of them."""
    ax = one_panel(ax, (8, 4.5))
    x = drawn(abscissa, grid)
    for k, level in enumerate(sorted(levels, reverse=True)):
        low, high = np.nanquantile(means, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        ax.fill_between(
            x, low, high, color=CURVE_COLOUR, alpha=0.15 * (k + 1), linewidth=0, label=f"{100 * level:g} % of the curves"
        )
    ax.plot(x, np.nanmedian(means, axis=0), color=CURVE_COLOUR, label="median")
    ax.margins(x=0)
    add_legend(ax)
    format_times(ax, abscissa)
    return ax


def plot_track(
    prediction: CurvePrediction,
    label: str,
    numbers: FloatArray,
    abscissa: Abscissa,
    ax: Axes | None,
    alpha: float,
    line: Mapping[str, Any],
) -> Axes:
    """Draw a prediction over x with its pointwise interval of level 1 - alpha."""
    ax = one_panel(ax, (8, 4.5))
    x = drawn(abscissa, numbers)
    style = {"color": f"C{len(ax.get_lines())}", "label": f"{label}, given all so far"} | dict(line)
    (curve,) = ax.plot(x, prediction.predicted_mean, **style)
    fill_interval(ax, x, prediction.conf_int(alpha=alpha), curve.get_color(), alpha)
    ax.margins(x=0)
    add_legend(ax)
    format_times(ax, abscissa)
    return ax
