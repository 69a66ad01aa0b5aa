"""Pictures of fitted curves. matplotlib is imported only when one is drawn."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..observations import derivative_label
from ..observations.abscissa import Points
from .serial import autocorrelations, by_series, limits

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..observations.abscissa import Abscissa
    from .prediction import CurvePrediction
    from .protocols import Posterior, Residuals

GRID_POINTS = 500
MOST_POINTS = 4000
MOST_LAGS = 25
CURVE_COLOUR = "#1f5fa8"
READING_COLOUR = "#444444"


def plot_curve(results: Posterior, deriv: int, ax: Axes | None, alpha: float, label: str | None, line: Mapping[str, Any]) -> Figure:
    """Draw f^(deriv), its pointwise band of level 1 - alpha and the readings of it; `line` styles the curve."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    is_first = not ax.has_data()
    observations = results.observations
    abscissa = observations.abscissa
    numbers = _grid(observations.places)
    grid = drawn(abscissa, numbers)
    prediction = _predict(results, numbers, deriv)
    lower, upper = prediction.conf_int(alpha=alpha).T
    shown = [reading for reading in observations.readings if reading.deriv == deriv and len(reading.y)]  # some keep no y
    y_label = shown[0].name if len(shown) == 1 else derivative_label(deriv)
    style = dict(line)
    if not {"color", "c"} & set(style):
        style["color"] = CURVE_COLOUR if is_first else f"C{len(ax.get_lines())}"
    (curve,) = ax.plot(grid, prediction.predicted_mean, **style)
    curve.set_label(label or f"{derivative_label(deriv)}, posterior mean")
    entries = ax.get_legend_handles_labels()[1]
    band = f"{label + ', ' if label else ''}{100 * (1 - alpha):g} % band"
    ax.fill_between(grid, lower, upper, color=curve.get_color(), alpha=0.25, linewidth=0, label=band)
    for reading in shown:
        text = f"{reading.name}, readings"
        if text in entries:  # by a fit before, to the same readings
            continue
        size = float(np.clip(2000 / len(reading), 2, 25))
        x = drawn(abscissa, abscissa.to_numbers(reading.x))
        ax.scatter(x, reading.y, s=size, color=READING_COLOUR, alpha=0.6, linewidth=0, label=text)
    limits = _limits(results, deriv, [reading.y for reading in shown], alpha)
    if not is_first:
        limits = min(limits[0], ax.get_ylim()[0]), max(limits[1], ax.get_ylim()[1])
    ax.set_ylim(*limits)
    ax.set_xlabel(x_label(observations.abscissa, observations.x_name))
    per = "" if not (abscissa.unit and deriv) else f" per {abscissa.unit}" + (f"^{deriv}" if deriv > 1 else "")
    ax.set_ylabel(y_label + per)
    ax.legend(frameon=False)
    ax.margins(x=0)
    format_times(ax, abscissa)
    return cast("Figure", ax.figure)


def plot_diagnostics(results: Residuals) -> Figure:
    """Draw one-step-ahead prediction errors: over x, their distribution, normal quantiles, and each series' autocorrelation."""
    import matplotlib.pyplot as plt

    observations = results.observations
    label, residuals = results._diagnostic_resid
    figure, ((over_x, distribution), (quantiles, correlation)) = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")

    kinds = results._name_of_row()
    for i, reading in enumerate(observations.readings):
        x = drawn(observations.abscissa, observations.abscissa.to_numbers(reading.x))
        over_x.scatter(x, residuals[kinds == i], s=8, linewidth=0, alpha=0.7, label=reading.name)
    over_x.axhline(0, color="black", linewidth=0.8)
    over_x.set(title=f"Standardised {label}", xlabel=x_label(observations.abscissa, observations.x_name))
    format_times(over_x, observations.abscissa)
    if len(observations.readings) > 1:
        over_x.legend(frameon=False)

    residuals = residuals[np.isfinite(residuals)]  # the first observations have none, nor those that the curve interpolates
    if not len(residuals):
        return figure
    draw_distribution(distribution, residuals)
    draw_quantiles(quantiles, residuals)
    _draw_serial(correlation, results, label)
    return figure


def _draw_serial(ax: Axes, results: Residuals, label: str) -> None:
    """Draw autocorrelations by series in order of x, and their ranges under independence, with the test in the title."""
    series = by_series(results)
    long = {name: mine for name, mine in series.items() if len(mine) >= 3}
    for i, (name, mine) in enumerate(long.items()):
        draw_correlations(ax, autocorrelations(mine, min(MOST_LAGS, len(mine) - 1)), len(mine), 0.2 * i, f"C{i}", name)
    p_values = results.test_serial_correlation()["pvalue"].dropna()
    test = ", ".join(f"{name} {p:.2g}" if len(series) > 1 else f"{p:.2g}" for name, p in p_values.items())
    if len(series) > 1 and long:
        ax.legend(frameon=False)
    ax.set(title=f"Autocorrelation of the {label}", xlabel="lag (observations of the series)")
    if test:
        ax.set_title(f"Ljung-Box p = {test}", loc="right", fontsize=8, y=0.93)


def draw_correlations(ax: Axes, values: FloatArray, n: int, shift: float, colour: str, label: str | None = None) -> None:
    """Draw autocorrelations of n residuals at lags 1, 2, ..., moved by `shift`, and the 95 % ranges of independent ones."""
    lags = np.arange(1, len(values) + 1)
    ax.vlines(lags + shift, 0, values, color=colour)
    ax.scatter(lags + shift, values, s=12, color=colour, label=label)
    half = limits(n, len(values))
    ax.fill_between(lags, -half, half, color="black", alpha=0.08, linewidth=0)
    ax.axhline(0, color="black", linewidth=0.8)


def draw_distribution(ax: Axes, residuals: FloatArray) -> None:
    """Draw a histogram of standardised residuals beside the normal density."""
    from scipy import stats

    ax.hist(residuals, bins="auto", density=True, color=CURVE_COLOUR, alpha=0.4)
    z = np.linspace(min(-4.0, residuals.min()), max(4.0, residuals.max()), 200)
    ax.plot(z, stats.norm.pdf(z), color="black", linewidth=1, label="N(0, 1)")
    ax.set(title="Distribution", xlabel="standardised residual")
    ax.legend(frameon=False)


def draw_quantiles(ax: Axes, residuals: FloatArray) -> None:
    """Draw standardised residuals over the quantiles that normal ones would have."""
    from scipy import stats

    n = len(residuals)
    theoretical = stats.norm.ppf((np.arange(1, n + 1) - 0.5) / n)
    ax.scatter(theoretical, np.sort(residuals), s=8, linewidth=0, color=CURVE_COLOUR)
    ax.axline((0, 0), slope=1, color="black", linewidth=0.8)
    ax.set(title="Normal quantiles", xlabel="theoretical", ylabel="observed")


def _grid(x: FloatArray) -> FloatArray:
    """Points over the range of x: even ones, and the abscissae of the readings where these are not very many."""
    even = np.linspace(x.min(), x.max(), GRID_POINTS)
    return np.unique(np.concatenate([even, x])) if len(x) <= MOST_POINTS else np.linspace(x.min(), x.max(), MOST_POINTS)


def _limits(results: Posterior, deriv: int, readings: list[FloatArray], alpha: float) -> tuple[float, float]:
    """Vertical limits that show the curve at the readings and these: a band in a wide gap may run out of the picture."""
    observations = results.observations
    x = observations.places
    prediction = _predict(results, x[:: max(1, len(x) // MOST_POINTS)], deriv)
    half = np.diff(prediction.conf_int(alpha=alpha), axis=1)[:, 0] / 2
    values = np.concatenate([prediction.predicted_mean, *readings])
    margin = float(np.median(half)) + 0.05 * float(np.ptp(values)) or 1.0
    return float(values.min()) - margin, float(values.max()) + margin


def _predict(results: Posterior, numbers: FloatArray, deriv: int) -> CurvePrediction:
    return results._prediction(Points(numbers), numbers, deriv)


def drawn(abscissa: Abscissa, numbers: FloatArray) -> npt.NDArray[Any]:
    """What matplotlib draws for abscissae: dates for datetimes, numbers for everything else (large integers from the least)."""
    return abscissa.restore(numbers) if abscissa.kind == "datetime" else numbers


def x_label(abscissa: Abscissa, name: str) -> str:
    """Name of an axis of abscissae as `drawn`, with the unit of durations and the origin of large integers."""
    if abscissa.kind == "timedelta":
        return f"{name} ({abscissa.unit})"
    return name + (f" - {abscissa.origin_label}" if abscissa.kind == "number" and abscissa.origin else "")


def format_times(ax: Axes, abscissa: Abscissa) -> None:
    """Mark the axis of x by dates where abscissae are datetimes, in their zone."""
    if abscissa.kind == "datetime":
        from matplotlib import dates

        untyped: Any = dates
        epoch = abscissa.shown(np.zeros(1, dtype="M8[ns]"))
        zone = datetime.UTC if isinstance(epoch, np.ndarray) else epoch.tz
        locator = untyped.AutoDateLocator(tz=zone)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, tz=zone))


def plot_nodes(nodes: pd.DataFrame, estimates: pd.Series, intervals: pd.DataFrame, ax: Any) -> npt.NDArray[Any]:
    """Draw the weights of the nodes over each parameter, on a logarithmic axis, with its estimate and its interval."""
    import matplotlib.pyplot as plt

    names = list(estimates.index)
    if ax is None:
        _, axes = plt.subplots(1, max(1, len(names)), figsize=(4 * max(1, len(names)), 3), squeeze=False, layout="constrained")
        ax = axes[0]
    axes = np.atleast_1d(np.asarray(ax, dtype=object))
    for name, one in zip(names, axes, strict=False):
        values = nodes[name]
        one.vlines(values[values > 0], 0, nodes["weight"][values > 0], color=CURVE_COLOUR, alpha=0.7)
        one.axvspan(*intervals.loc[name], color=CURVE_COLOUR, alpha=0.15, linewidth=0, label="interval")
        if estimates[name] > 0:
            one.axvline(estimates[name], color=READING_COLOUR, linestyle="--", label="estimate")
        one.set(xlabel=name, xscale="log")
        one.set_ylim(bottom=0)
    axes[0].set_ylabel("weight")
    axes[0].legend()
    return axes
