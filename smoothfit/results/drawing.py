"""What all pictures share: axes, colours of the style in use, legends. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ..errors import SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_COLOUR = "C0"  # the first colour of the style in use
BAND_ALPHA = 0.25
PANELS_ACROSS = 4
LEGEND_GAP = 1.25  # heights of the legend in the strip that is kept free for it
TALLEST_STRIP = 0.4  # of the axes

_DATA_LIMITS: WeakKeyDictionary[Any, tuple[float, float]] = WeakKeyDictionary()


def ink() -> str:
    """Colour of text in the style in use: of observations, zero lines and references, legible on its background."""
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def panels(ax: Any, n: int, across: int, size: tuple[float, float], **options: Any) -> npt.NDArray[Any]:
    """Axes (n,): those given as `ax`, or new ones in rows of `across`, `size` inches each; `options` go to `subplots`.

    Raises
    ------
    SpecificationError
        `ax` has another number of axes, or is something else.
    """
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) != n:
            raise SpecificationError(f"ax has {len(given)} axes and the picture {n} panels; pass {n}, or none for a new figure")
        for one in given:
            if not hasattr(one, "plot"):
                raise SpecificationError(f"ax is of the type {type(one).__name__}; pass Axes of matplotlib, or none for a new one")
        return given
    import matplotlib.pyplot as plt

    across = min(n, across)
    down = -(-n // across)
    shape = {"figsize": (size[0] * across, size[1] * down), "layout": "constrained", "squeeze": False}
    untyped: Any = plt
    _, grid = untyped.subplots(down, across, **(shape | options))
    for unused in grid.ravel()[n:]:
        unused.set_visible(False)
    return np.asarray(grid.ravel()[:n])


def one_panel(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """`ax`, or the axes of a new figure of `size` inches."""
    drawn: Axes = panels(ax, 1, 1, size)[0]
    return drawn


def fill_interval(ax: Axes, x: Any, ends: npt.NDArray[Any], colour: Any, alpha: float, of: str = "") -> None:
    """Fill intervals `ends` (m, 2) of level 1 - alpha over x, named in the legend, after `of`."""
    label = f"{of}{100 * (1 - alpha):g} % interval"
    ax.fill_between(x, ends[:, 0], ends[:, 1], color=colour, alpha=BAND_ALPHA, linewidth=0, label=label)


def data_limits(ax: Axes) -> tuple[float, float]:
    """Vertical limits without the strip of the legend."""
    return _DATA_LIMITS.get(ax) or ax.get_ylim()


def add_legend(ax: Axes, limits: tuple[float, float] | None = None) -> None:
    """Write the legend into a strip above what is drawn, so that it covers nothing, and set the vertical limits to leave it free.

    `limits` are those of what is drawn; by default those that the axes have.
    """
    labels = ax.get_legend_handles_labels()[1]
    low, high = limits or data_limits(ax)
    _keep_growing(ax, low, high)
    if not labels:
        return
    _DATA_LIMITS[ax] = low, high
    frame = ax.get_window_extent()
    for columns in range(min(len(labels), 6), 0, -1):
        legend = ax.legend(loc="upper left", ncols=columns, frameon=False, borderaxespad=0.2, fontsize="small")
        extent = legend.get_window_extent()
        if extent.width <= frame.width:
            break
    strip = min(LEGEND_GAP * extent.height / frame.height, TALLEST_STRIP)
    _keep_growing(ax, low, high + (high - low) * strip / (1 - strip))


def _keep_growing(ax: Axes, low: float, high: float) -> None:
    """Set vertical limits that what a user draws afterwards extends, as it extends those of matplotlib."""
    untyped: Any = ax  # by its stubs margins() may return None
    grows, margin = ax.get_autoscaley_on(), untyped.margins()[1]
    ax.set_ylim(low, high)
    if grows and ax.get_yscale() == "linear":
        inset = (high - low) * margin / (1 + 2 * margin)
        ax.dataLim.intervaly = low + inset, high - inset
        ax.set_autoscaley_on(True)


def symmetric(values: npt.NDArray[Any], levels: int) -> npt.NDArray[Any] | None:
    """Round levels with zero among them, about `levels` bands, for a map of values of both signs; None if they have one sign."""
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() >= 0 or finite.max() <= 0:
        return None
    from matplotlib.ticker import MaxNLocator

    largest = float(np.abs(finite).max())
    untyped: Any = MaxNLocator(levels, steps=[1, 2, 2.5, 5, 10], symmetric=True)
    return np.asarray(untyped.tick_values(-largest, largest))
