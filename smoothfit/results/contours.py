"""Pictures of fitted functions of two variables. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..errors import SpecificationError
from ..observations.points import Orders, partial_label
from .drawing import CURVE_COLOUR, add_legend, fill_interval, ink, one_panel, panels, symmetric
from .plotting import GRID_POINTS as LINE_POINTS
from .plotting import draw_distribution, draw_quantiles
from .protocols import Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID_POINTS = 121  # of each variable
SE_POINTS = 61  # of standard errors, which are smooth and cost more
LEVELS = 14
WIDEST_RESIDUAL = 4.0  # that colours distinguish


Shown = tuple[str, FloatArray, FloatArray, npt.NDArray[np.bool_]]


def plot_surface(surface: Surface, orders: Orders, ax: Axes | None, se: bool, contour: Mapping[str, Any]) -> Axes:
    """Draw contours of a partial derivative over two variables, or of its standard errors, and the observations of it."""
    inputs = surface.inputs
    if len(inputs) != 2:
        raise SpecificationError(f"plot draws two variables, and there are {len(inputs)}; use predict on a slice")
    shown = [(r.name, r.X, r.y, (r.deriv == orders).all(axis=1)) for r in surface.observations.readings]

    def values(X: FloatArray) -> FloatArray:
        return surface.get_prediction(X, orders).se_mean if se else np.asarray(surface.predict(X, orders))

    label = partial_label(inputs, orders)
    return plot_contours(values, shown, inputs, f"standard error of {label}" if se else label, se, ax, contour)


def plot_over_input(surface: Surface, orders: Orders, ax: Axes | None, alpha: float, line: Mapping[str, Any]) -> Axes:
    """Draw a function of one input or its derivative, its interval of level 1 - alpha and the observations of it."""
    ax = one_panel(ax, (8, 4.5))
    x = surface.observations.X[:, 0]
    grid = np.linspace(x.min(), x.max(), LINE_POINTS)
    prediction, label = surface.get_prediction(grid, orders), partial_label(surface.inputs, orders)
    (curve,) = ax.plot(grid, prediction.predicted_mean, **{"color": CURVE_COLOUR, "label": f"{label}, posterior mean", **line})
    fill_interval(ax, grid, prediction.conf_int(alpha=alpha), curve.get_color(), alpha)
    for reading in surface.observations.readings:
        shown = (reading.deriv == orders).all(axis=1)
        if shown.any():
            points = reading.X[shown, 0], reading.y[shown]
            ax.scatter(*points, s=15, color=ink(), alpha=0.6, linewidth=0, label=f"{reading.name}, observed")
    ax.set(xlabel=surface.inputs[0], ylabel=label)
    ax.margins(x=0)
    add_legend(ax)
    return ax


def plot_contours(
    values: Callable[[FloatArray], FloatArray],
    readings: Sequence[Shown],
    inputs: Sequence[str],
    label: str,
    places_only: bool,
    ax: Axes | None,
    contour: Mapping[str, Any],
) -> Axes:
    """Draw contours of `values`, of points (m, 2), over the range of the observations: names, points, y, which to show.

    Values of both signs have colours that part at zero, in even levels about it.
    """
    ax = one_panel(ax, (6.5, 5))
    X = np.concatenate([points for _, points, _, _ in readings])
    n_points = SE_POINTS if places_only else GRID_POINTS
    axes = [np.linspace(low, high, n_points) for low, high in zip(X.min(axis=0), X.max(axis=0), strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    table = values(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    even = None if places_only else symmetric(table, LEVELS)
    style: dict[str, Any] = {"levels": LEVELS, "cmap": "YlOrBr" if places_only else "viridis"}
    if even is not None and not {"levels", "cmap"} & set(contour):
        style = {"levels": even, "cmap": "RdBu_r"}
    filled = ax.contourf(axes[0], axes[1], table.T, **(style | dict(contour)))
    if not places_only:
        ax.contour(axes[0], axes[1], table.T, levels=filled.levels, colors="white", linewidths=0.4, alpha=0.6)
    size = float(np.clip(3000 / len(X), 3, 30))
    for _, points, y, shown in readings:
        if places_only:
            ax.scatter(points[:, 0], points[:, 1], s=size / 2, color="black", linewidth=0, alpha=0.6)
        elif shown.any():
            scale: Any = filled.norm
            x0, x1 = points[shown].T
            ax.scatter(x0, x1, c=y[shown], s=size, cmap=filled.cmap, norm=scale, edgecolor="black", linewidth=0.4)
    cast("Figure", ax.figure).colorbar(filled, ax=ax, label=label)
    ax.set_xlabel(inputs[0])
    ax.set_ylabel(inputs[1])
    return ax


def plot_point_diagnostics(
    X: FloatArray, residuals: FloatArray, fitted: FloatArray, inputs: Sequence[str], ax: Any
) -> npt.NDArray[Any]:
    """Draw standardised residuals: over two variables (or one of more), over the fit, their distribution, normal quantiles."""
    panel = panels(ax, 4, 2, (5, 3.8))
    places, over_fit, distribution, quantiles = panel
    finite = np.isfinite(residuals)  # where the surface interpolates there is none
    if X.shape[1] == 2:
        limits: dict[str, Any] = {"vmin": -WIDEST_RESIDUAL, "vmax": WIDEST_RESIDUAL, "cmap": "RdBu_r"}
        x0, x1 = X[finite].T
        drawn = places.scatter(x0, x1, c=residuals[finite], s=14, edgecolor="black", linewidth=0.2, **limits)
        places.figure.colorbar(drawn, ax=places, extend="both")
        places.set_ylabel(inputs[1])
    else:
        places.scatter(X[finite, 0], residuals[finite], s=8, linewidth=0, alpha=0.7)
        places.axhline(0, color=ink(), linewidth=0.8)
    places.set(title="Standardised residuals", xlabel=inputs[0])
    over_fit.scatter(fitted[finite], residuals[finite], s=8, linewidth=0, alpha=0.7)
    over_fit.axhline(0, color=ink(), linewidth=0.8)
    over_fit.set(title="Residuals against fitted", xlabel="fitted")
    if finite.any():
        draw_distribution(distribution, residuals[finite])
        draw_quantiles(quantiles, residuals[finite])
    return panel
