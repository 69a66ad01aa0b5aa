"""Pictures of fitted equations. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validation import FloatArray
from ..results.mixtures import critical_value
from ..results.plotting import MOST_LAGS, draw_correlations, drawn, format_times, x_label
from ..results.serial import autocorrelations
from .smoothed import Smoothed
from .specification import wrapped

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLOUR = "#1f5fa8"
GREY = "#444444"
PANELS_ACROSS = 4
TITLE = 90  # characters of a line
MANY = 20_000  # rows


def plot_fit(results: Smoothed, alpha: float) -> Figure:
    """Smoothed outputs with intervals and observations, and autocorrelations of one-step-ahead prediction errors by series."""
    import matplotlib.pyplot as plt

    equation, sample = results.model.equation, results.model.sample
    abscissa = sample.abscissa
    mean, cov = results._at_nodes
    p, channels = equation.n_outputs, len(sample.channels)
    lines = [line.strip() for words in equation.in_words(results.fitted.theta) for line in wrapped(words, TITLE)]
    figure, axes = plt.subplots(
        p + channels, 1, figsize=(8, 2.6 * p + 1.8 * channels + 0.6 + 0.16 * len(lines)), layout="constrained"
    )
    half = critical_value(alpha, np.inf)
    for i, name in enumerate(equation.outputs):
        ax = axes[i]
        for k, s in enumerate(sample.slices()):
            t = drawn(abscissa, sample.t[s])
            se = np.sqrt(np.maximum(cov[s, i, i], 0.0))
            for c, channel in enumerate(sample.channels):
                if channel.output == i and channel.deriv == 0:
                    ax.plot(t, sample.y[s, c], ".", color=GREY, ms=4, alpha=0.6, label="readings" if k == 0 else None)
            ax.fill_between(t, mean[s, i] - half * se, mean[s, i] + half * se, color=COLOUR, alpha=0.25, linewidth=0)
            ax.plot(t, mean[s, i], color=COLOUR, lw=1.2, label=f"{name}, smoothed" if k == 0 else None)
        ax.set(ylabel=name, xlabel=x_label(abscissa, sample.t_name))
        ax.margins(x=0)
        format_times(ax, abscissa)
        ax.legend(frameon=False, loc="best" if len(sample) < MANY else "upper right")  # the best place takes long to find
    for c, ax in enumerate(axes[p:]):
        _draw_correlations(ax, results, c)
    unit = f", t in {abscissa.unit}" if abscissa.unit else ""
    axes[0].set_title("\n".join(lines) + f"   ({results.method}{unit})", fontsize=10)
    return figure


def _draw_correlations(ax: Any, results: Smoothed, c: int) -> None:
    sample = results.model.sample
    rows = np.isfinite(sample.y).any(axis=1) if sample.acts_between else slice(None)  # no reading parts neighbours
    residual = results.innovations[rows, c]
    of = f"\nof {sample.channels[c].name}" if len(sample.channels) > 1 else ""
    ax.set(xlabel="lag (rows)", ylabel=f"autocorrelation of\nprediction errors{of}")
    n = int(np.isfinite(residual).sum())
    if n < 4:
        return
    values = autocorrelations(residual, min(MOST_LAGS, n - 1), sample.run[rows])
    draw_correlations(ax, values, n, 0.0, COLOUR)


def plot_step_response(results: Smoothed, t: Any, alpha: float) -> Figure:
    """Step responses of every output to every input, with bands."""
    import matplotlib.pyplot as plt

    frame = results.step_response(t, alpha)
    parts = (
        {results.model.equation.inputs[0]: frame}
        if frame.columns.nlevels == 1
        else {str(k): frame[k] for k in dict.fromkeys(frame.columns.get_level_values(0))}
    )
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for i, (name, part) in enumerate(parts.items()):
        ax.fill_between(part.index, part["lower"], part["upper"], color=f"C{i}", alpha=0.25, linewidth=0)
        ax.plot(part.index, part["mean"], color=f"C{i}", label=name)
    ax.axhline(0, color="black", linewidth=0.8)
    sample = results.model.sample
    unit = f" ({sample.abscissa.unit})" if sample.abscissa.unit else ""
    ax.set(xlabel=f"{sample.t_name}{unit}", ylabel="response to a unit step")
    ax.margins(x=0)
    ax.legend(frameon=False)
    return figure


def plot_comparison(estimates: pd.DataFrame, names: Sequence[str], methods: Sequence[str]) -> Figure:
    """Estimates and intervals of every coefficient, a panel each, a line for each method, from a table by both."""
    import matplotlib.pyplot as plt

    across = min(len(names), PANELS_ACROSS)
    down = -(-len(names) // across)
    figure, grid = plt.subplots(
        down,
        across,
        figsize=(2.2 + 2.9 * across, (1.2 + 0.28 * len(methods)) * down),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    axes = grid.ravel()[: len(names)]
    for ax in grid.ravel()[len(names) :]:
        ax.set_visible(False)
    reference = methods[0]
    for ax, name in zip(axes, names, strict=True):
        table = estimates.xs(name, level="parameter")
        interval = table.loc[reference]
        if np.isfinite(interval["lower"]):
            ax.axvspan(interval["lower"], interval["upper"], color=COLOUR, alpha=0.12, linewidth=0)
        for k, method in enumerate(methods):
            row = table.loc[method]
            colour = COLOUR if method == reference else GREY
            ax.plot([row["lower"], row["upper"]], [k, k], color=colour, lw=1.5)
            ax.plot(row["estimate"], k, "o", color=colour, ms=5)
        ax.set_title(name, fontsize=10)
        low, high = _window(table)
        ax.set_xlim(low, high)
        for k, method in enumerate(methods):  # an arrow where an interval goes on
            colour = COLOUR if method == reference else GREY
            for beyond, at, marker in ((table["lower"][method] < low, low, "<"), (table["upper"][method] > high, high, ">")):
                if beyond:
                    ax.plot(at, k, marker, color=colour, ms=6, clip_on=False)
        ax.grid(axis="x", alpha=0.3)
        ax.locator_params(axis="x", nbins=4)
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.4, -0.6)
    return figure


def _window(table: Any) -> tuple[float, float]:
    """Limits that show every estimate and most of the intervals."""
    values: FloatArray = table["estimate"].to_numpy()
    width = np.nanmedian((table["upper"] - table["lower"]).to_numpy())
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = max(0.1 * (high - low), float(width) if np.isfinite(width) else 0.0, 1e-12)
    return low - margin, high + margin
