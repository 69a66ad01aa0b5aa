"""Pictures of fitted equations. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..results.drawing import BAND_ALPHA, CURVE_COLOUR, PANELS_ACROSS, add_legend, ink, one_panel, panels
from ..results.mixtures import critical_value
from ..results.plotting import MOST_LAGS, draw_correlations, drawn, format_times, x_label
from ..results.serial import autocorrelations
from .sample import Sample
from .smoothed import Smoothed
from .specification import wrapped

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE = 90  # characters of a line


def plot_fit(results: Smoothed, alpha: float, ax: Any) -> npt.NDArray[Any]:
    """Smoothed outputs with intervals and observations, inputs, and autocorrelations of one-step-ahead prediction errors."""
    equation, sample = results.model.equation, results.model.sample
    heights = [2.6] * equation.n_outputs + [1.4] * len(sample.inputs) + [1.8] * len(sample.channels)
    lines = [line.strip() for words in equation.in_words(results.fitted.theta) for line in wrapped(words, TITLE)]
    height = sum(heights) + 0.6 + 0.16 * len(lines)
    axes = panels(ax, len(heights), 1, (8, height / len(heights)), height_ratios=heights)
    outputs, inputs, correlations = np.split(axes, np.cumsum([equation.n_outputs, len(sample.inputs)]))
    for i, one in enumerate(outputs):
        _draw_output(one, results, i, alpha)
    for j, one in enumerate(inputs):
        _draw_input(one, sample.recorded or sample, j)
    for one in (*outputs, *inputs):
        one.set(xlabel=x_label(sample.abscissa, sample.t_name))
        one.margins(x=0)
        format_times(one, sample.abscissa)
        add_legend(one)
    low, high = np.transpose([one.get_xlim() for one in (*outputs, *inputs)])
    for one in (*outputs, *inputs):  # rows that a delay leaves out of the outputs have inputs
        one.set_xlim(low.min(), high.max())
    for c, one in enumerate(correlations):
        _draw_correlations(one, results, c)
    unit = f", t in {sample.abscissa.unit}" if sample.abscissa.unit else ""
    axes[0].set_title("\n".join(lines) + f"   ({results.method}{unit})", fontsize=10)
    return axes


def _draw_output(ax: Axes, results: Smoothed, i: int, alpha: float) -> None:
    sample, name = results.model.sample, results.model.equation.outputs[i]
    mean, cov = results.smoother.at_nodes
    half = critical_value(alpha, np.inf)
    for k, s in enumerate(sample.slices()):
        t = drawn(sample.abscissa, sample.t[s])
        se = np.sqrt(np.maximum(cov[s, i, i], 0.0))
        for c, channel in enumerate(sample.channels):
            if channel.output == i and channel.deriv == 0:
                ax.plot(t, sample.y[s, c], ".", color=ink(), ms=4, alpha=0.6, label="observed" if k == 0 else None)
        ax.fill_between(t, mean[s, i] - half * se, mean[s, i] + half * se, color=CURVE_COLOUR, alpha=BAND_ALPHA, linewidth=0)
        ax.plot(t, mean[s, i], color=CURVE_COLOUR, lw=1.2, label=f"{name}, smoothed" if k == 0 else None)
    ax.set_ylabel(name)


def _draw_input(ax: Axes, sample: Sample, j: int) -> None:
    for s in sample.slices():
        ax.plot(drawn(sample.abscissa, sample.t[s]), sample.u[s, j], color="C1", lw=1.0, drawstyle="steps-post")
    ax.set_ylabel(sample.inputs[j])


def _draw_correlations(ax: Any, results: Smoothed, c: int) -> None:
    sample = results.model.sample
    rows = np.isfinite(sample.y).any(axis=1) if sample.acts_between else slice(None)  # no observation parts neighbours
    residual = results.innovations[rows, c]
    of = f"\nof {sample.channels[c].name}" if len(sample.channels) > 1 else ""
    ax.set(xlabel="lag (rows)", ylabel=f"autocorrelation of\nprediction errors{of}")
    n = int(np.isfinite(residual).sum())
    if n < 4:
        return
    values = autocorrelations(residual, min(MOST_LAGS, n - 1), sample.run[rows])
    draw_correlations(ax, values, n, 0.0, CURVE_COLOUR)


def plot_step_response(results: Smoothed, t: Any, alpha: float, ax: Axes | None) -> Axes:
    """Step responses of every output to every input, with intervals."""
    parts = _by_pair(results, results.step_response(t, alpha))
    ax = one_panel(ax, (7, 4))
    for i, (name, part) in enumerate(parts.items()):
        ax.fill_between(part.index, part["lower"], part["upper"], color=f"C{i}", alpha=BAND_ALPHA, linewidth=0)
        ax.plot(part.index, part["mean"], color=f"C{i}", label=name)
    ax.axhline(0, color=ink(), linewidth=0.8)
    sample = results.model.sample
    unit = f" ({sample.abscissa.unit})" if sample.abscissa.unit else ""
    ax.set(xlabel=f"{sample.t_name}{unit}", ylabel="response to a unit step")
    ax.margins(x=0)
    add_legend(ax)
    return ax


def plot_bode(results: Smoothed, w: Any, alpha: float, ax: Any) -> npt.NDArray[Any]:
    """Magnitude and phase of every output's response to every input by frequency, with intervals."""
    from matplotlib.ticker import MaxNLocator

    parts, sample = _by_pair(results, results.frequency_response(w, alpha)), results.model.sample
    axes = panels(ax, 2, 1, (7, 2.7), sharex=ax is None)
    for one, name in zip(axes, ("magnitude", "phase"), strict=True):
        for i, (pair, part) in enumerate(parts.items()):
            ends = part[f"lower({name})"], part[f"upper({name})"]
            one.fill_between(part.index, *ends, color=f"C{i}", alpha=BAND_ALPHA, linewidth=0)
            one.plot(part.index, part[name], color=f"C{i}", label=pair)
        one.set_xscale("log")
        highest = np.pi / sample.gap
        if part.index[0] < highest < part.index[-1]:
            one.axvline(highest, color=ink(), linewidth=0.8, linestyle=":")
        one.margins(x=0)
    axes[0].set(yscale="log", ylabel="magnitude")
    unit = f" (radians per {sample.abscissa.unit})" if sample.abscissa.unit else ""
    axes[1].set(xlabel=f"angular frequency{unit}", ylabel="phase (degrees)")
    axes[1].yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 1.5, 3, 4.5, 9, 10]))  # multiples of 45
    add_legend(axes[1])
    return axes


def _by_pair(results: Smoothed, frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Parts of a table of responses by their names."""
    if frame.columns.nlevels == 1:
        return {results.model.sample.recorded_inputs[0]: frame}
    return {str(name): frame[name] for name in dict.fromkeys(frame.columns.get_level_values(0))}


def plot_comparison(estimates: pd.DataFrame, names: Sequence[str], methods: Sequence[str], ax: Any) -> npt.NDArray[Any]:
    """Estimates and intervals of every coefficient, a panel each, a line for each method, from a table by both."""
    across = min(len(names), PANELS_ACROSS)
    axes = panels(ax, len(names), PANELS_ACROSS, (2.9 + 2.2 / across, 1.2 + 0.28 * len(methods)), sharey=True)
    reference = methods[0]
    for one, name in zip(axes, names, strict=True):
        table = estimates.xs(name, level="parameter")
        interval = table.loc[reference]
        if np.isfinite(interval["lower"]):
            one.axvspan(interval["lower"], interval["upper"], color=CURVE_COLOUR, alpha=0.12, linewidth=0)
        for k, method in enumerate(methods):
            row = table.loc[method]
            colour = CURVE_COLOUR if method == reference else ink()
            one.plot([row["lower"], row["upper"]], [k, k], color=colour, lw=1.5)
            one.plot(row["estimate"], k, "o", color=colour, ms=5)
        one.set_title(name, fontsize=10)
        low, high = _window(table)
        one.set_xlim(low, high)
        for k, method in enumerate(methods):  # an arrow where an interval goes on
            colour = CURVE_COLOUR if method == reference else ink()
            for beyond, at, marker in ((table["lower"][method] < low, low, "<"), (table["upper"][method] > high, high, ">")):
                if beyond:
                    one.plot(at, k, marker, color=colour, ms=6, clip_on=False)
        one.grid(axis="x", alpha=0.3)
        one.locator_params(axis="x", nbins=4)
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.4, -0.6)
    return axes


def _window(table: Any) -> tuple[float, float]:
    """Limits that show every estimate and most of the intervals."""
    values: FloatArray = table["estimate"].to_numpy()
    width = np.nanmedian((table["upper"] - table["lower"]).to_numpy())
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = max(0.1 * (high - low), float(width) if np.isfinite(width) else 0.0, 1e-12)
    return low - margin, high + margin
