"""Pictures of fitted curves. matplotlib is imported only when one is drawn."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..observations import derivative_label
from ..observations.abscissa import Points
from .drawing import CURVE_COLOUR, add_legend, data_limits, fill_interval, ink, one_panel, panels
from .serial import autocorrelations, by_series, limits, test_of_curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ..observations.abscissa import Abscissa
    from .protocols import Diagnosed, Posterior

GRID_POINTS = 500
MOST_POINTS = 4000
WIDEST_BAND = 0.5  # ranges of the curve beyond that are shown
MOST_LAGS = 25
TICKS_PER_INCH = 1.5  # of times, so that their labels stay apart
LEAST_TICKS = 5
PROBABILITIES = np.array(
    [0.005, 0.025, *np.linspace(0.05, 0.95, 19), 0.975, 0.995]
)  # between whose quantiles a density is constant
QUANTILE_RANGE = 0.95  # of order statistics, each by itself


def plot_curve(fit: Posterior, deriv: int, ax: Axes | None, alpha: float, label: str | None, line: Mapping[str, Any]) -> Axes:
    """Draw f^(deriv), its pointwise interval of level 1 - alpha and the observations of it; `line` styles the curve."""
    ax = one_panel(ax, (8, 4.5))
    is_first = not ax.has_data()
    observations = fit.observations
    abscissa = observations.abscissa
    numbers = drawn_at(observations.places, fit.step)
    grid = drawn(abscissa, numbers)
    prediction = fit.predict(Points(numbers), numbers, deriv)
    shown = [reading for reading in observations.readings if reading.deriv == deriv and len(reading.y)]  # some keep no y
    y_label = shown[0].name if len(shown) == 1 else derivative_label(deriv)
    (curve,) = ax.plot(grid, prediction.predicted_mean, **line)
    curve.set_label(label or f"{derivative_label(deriv)}, posterior mean")
    entries = ax.get_legend_handles_labels()[1]
    ends = prediction.conf_int(alpha=alpha)
    fill_interval(ax, grid, ends, curve.get_color(), alpha, f"{label}, " if label else "")
    for reading in shown:
        text = f"{reading.name}, observed"
        if text in entries:  # by a fit before, to the same observations
            continue
        size = float(np.clip(2000 / len(reading), 2, 25))
        x = drawn(abscissa, abscissa.to_numbers(reading.x))
        ax.scatter(x, reading.y, s=size, color=ink(), alpha=0.6, linewidth=0, label=text)
    is_observed = np.isin(numbers, observations.places) | (len(observations.places) > MOST_POINTS)
    limits = _limits([prediction.predicted_mean[is_observed], *(reading.y for reading in shown)], ends)
    if not is_first:
        low, high = data_limits(ax)
        limits = min(limits[0], low), max(limits[1], high)
    ax.set_xlabel(x_label(observations.abscissa, observations.x_name))
    per = "" if not (abscissa.unit and deriv) else f" per {abscissa.unit}" + (f"^{deriv}" if deriv > 1 else "")
    ax.set_ylabel(y_label + per)
    ax.margins(x=0)
    add_legend(ax, limits)
    format_times(ax, abscissa)
    return ax


def plot_diagnostics(fit: Diagnosed, ax: Any) -> npt.NDArray[Any]:
    """Draw standardised residuals in six panels; see `CurveResults.plot_diagnostics`."""
    observations, label, residuals, fitted = fit
    axes = panels(ax, 6, 3, (4.2, 3.4))
    over_x, over_fit, observed, distribution, quantiles, correlation = axes

    series = observations.series
    several = len(observations.readings) > 1
    for i, reading in enumerate(observations.readings):
        mine = series == i
        x, f = drawn(observations.abscissa, observations.abscissa.to_numbers(reading.x)), fitted[mine]
        y = reading.y
        if several:  # of different units
            low, size = f.min(initial=np.inf), np.ptp(f) or 1.0
            f, y = (f - low) / size, (y - low) / size
        style = {"s": 8, "linewidth": 0, "alpha": 0.7, "label": reading.name}
        over_x.scatter(x, residuals[mine], **style)
        over_fit.scatter(f, residuals[mine], **style)
        observed.scatter(f, y, **style)
    scaled = ", in ranges of the series" if several else ""
    _draw_equality(observed, f)
    for one in (over_x, over_fit):
        one.axhline(0, color=ink(), linewidth=0.8)
    over_x.set(title=f"Standardised {label}", xlabel=x_label(observations.abscissa, observations.x_name))
    over_fit.set(title="Residuals against fitted", xlabel=f"fitted{scaled}")
    observed.set(title="Observed against fitted", xlabel=f"fitted{scaled}", ylabel="observed")
    format_times(over_x, observations.abscissa)
    if several:
        add_legend(over_x)

    residuals = residuals[np.isfinite(residuals)]  # the first observations have none, nor those that the curve interpolates
    if len(residuals):
        draw_distribution(distribution, residuals)
        draw_quantiles(quantiles, residuals)
        _draw_serial(correlation, fit)
    return axes


def _draw_equality(ax: Axes, values: FloatArray) -> None:
    """Draw the line on which observations equal `values`, what is fitted."""
    finite = values[np.isfinite(values)]
    if len(finite):
        ax.axline((float(finite[0]),) * 2, slope=1, color=ink(), linewidth=0.8)


def _draw_serial(ax: Axes, fit: Diagnosed) -> None:
    """Draw autocorrelations by series in order of x, and their ranges under independence, with the test in the title."""
    series = by_series(fit)
    long = {name: mine for name, mine in series.items() if len(mine) >= 3}
    for i, (name, mine) in enumerate(long.items()):
        draw_correlations(ax, autocorrelations(mine, min(MOST_LAGS, len(mine) - 1)), len(mine), 0.2 * i, f"C{i}", name)
    p_values = test_of_curve(fit, None)["pvalue"].dropna()
    test = ", ".join(f"{name} {p:.2g}" if len(series) > 1 else f"{p:.2g}" for name, p in p_values.items())
    ax.set(title=f"Autocorrelation\nLjung-Box p = {test}" if test else "Autocorrelation", xlabel="lag (observations of the series)")
    if len(series) > 1 and long:
        add_legend(ax)


def draw_correlations(ax: Axes, values: FloatArray, n: int, shift: float, colour: str, label: str | None = None) -> None:
    """Draw autocorrelations of n residuals at lags 1, 2, ..., moved by `shift`, and the 95 % ranges of independent ones."""
    lags = np.arange(1, len(values) + 1)
    ax.vlines(lags + shift, 0, values, color=colour)
    ax.scatter(lags + shift, values, s=12, color=colour, label=label)
    half = limits(n, len(values))
    ax.fill_between(lags, -half, half, color=ink(), alpha=0.12, linewidth=0)
    ax.axhline(0, color=ink(), linewidth=0.8)


def draw_distribution(ax: Axes, residuals: FloatArray) -> None:
    """Draw a histogram of standardised residuals beside the normal density."""
    from scipy import stats

    ax.hist(residuals, bins="auto", density=True, color=CURVE_COLOUR, alpha=0.4)
    z = np.linspace(min(-4.0, residuals.min()), max(4.0, residuals.max()), 200)
    ax.plot(z, stats.norm.pdf(z), color=ink(), linewidth=1, label="N(0, 1)")
    ax.set(title="Distribution", xlabel="standardised residual")
    ax.set_ylim(bottom=0)
    add_legend(ax)


def draw_quantiles(ax: Axes, residuals: FloatArray) -> None:
    """Draw standardised residuals over normal quantiles, with the range of each order statistic of independent normal ones.

    The i-th of n ordered uniform numbers has the law Beta(i, n + 1 - i).
    """
    from scipy import stats

    n = len(residuals)
    i = np.arange(1, n + 1)
    theoretical = stats.norm.ppf((i - 0.5) / n)
    low, high = (stats.norm.ppf(stats.beta.ppf(p, i, n + 1 - i)) for p in (0.5 - QUANTILE_RANGE / 2, 0.5 + QUANTILE_RANGE / 2))
    ax.fill_between(theoretical, low, high, color=ink(), alpha=0.12, linewidth=0, label=f"{100 * QUANTILE_RANGE:g} % of each")
    ax.scatter(theoretical, np.sort(residuals), s=8, linewidth=0, color=CURVE_COLOUR)
    ax.axline((0, 0), slope=1, color=ink(), linewidth=0.8)
    ax.set(title="Normal quantiles", xlabel="theoretical", ylabel="observed")
    add_legend(ax)


def drawn_at(x: FloatArray, step: float | None) -> FloatArray:
    """Points over the range of x: even ones, and the x of the observations unless these are very many; or all whole steps."""
    if step is not None:
        return np.asarray(x.min() + step * np.arange(round(np.ptp(x) / step) + 1))
    even = np.linspace(x.min(), x.max(), GRID_POINTS)
    return np.unique(np.concatenate([even, x])) if len(x) <= MOST_POINTS else np.linspace(x.min(), x.max(), MOST_POINTS)


def _limits(shown: list[FloatArray], ends: FloatArray) -> tuple[float, float]:
    """Vertical limits that show these values, and intervals (m, 2) as far as they are not much wider, as in a long gap."""
    values = np.concatenate(shown)
    low, high = float(values.min()), float(values.max())
    size = (high - low) or 1.0
    low = max(min(low, float(ends.min())), low - WIDEST_BAND * size)
    high = min(max(high, float(ends.max())), high + WIDEST_BAND * size)
    return low - 0.05 * size, high + 0.05 * size


def drawn(abscissa: Abscissa, numbers: FloatArray) -> npt.NDArray[Any]:
    """What matplotlib draws for x: dates for datetimes, numbers for everything else (large integers from the smallest)."""
    return abscissa.restore(numbers) if abscissa.kind == "datetime" else numbers


def x_label(abscissa: Abscissa, name: str) -> str:
    """Label of the axis of x as `drawn`, with the unit of durations and the origin of large integers."""
    if abscissa.kind == "timedelta":
        return f"{name} ({abscissa.unit})"
    return name + (f" - {abscissa.origin_label}" if abscissa.kind == "number" and abscissa.origin else "")


def format_times(ax: Axes, abscissa: Abscissa) -> None:
    """Mark the axis of x by dates if x holds datetimes, in their zone."""
    if abscissa.kind == "datetime":
        from matplotlib import dates

        untyped: Any = dates
        epoch = abscissa.shown(np.zeros(1, dtype="M8[ns]"))
        zone = datetime.UTC if isinstance(epoch, np.ndarray) else epoch.tz
        inches = ax.get_window_extent().width / ax.figure.dpi
        most = max(LEAST_TICKS, round(TICKS_PER_INCH * inches))
        locator = untyped.AutoDateLocator(tz=zone, minticks=(most - 1) // 2, maxticks=most)
        for unit in (dates.MINUTELY, dates.SECONDLY):  # without steps of 2 a panel may have one tick
            locator.intervald[unit] = [1, 2, 5, 10, 15, 30]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, tz=zone))


def _thin_ticks(ax: Axes) -> None:
    """Few ticks of a logarithmic axis, as numbers within a decade and as powers beyond, so that their labels stay apart."""
    from matplotlib import ticker

    low, high = ax.get_xlim()
    if high < 10 * low:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
        ax.xaxis.set_major_formatter(ticker.ScalarFormatter())
    else:
        ax.xaxis.set_major_locator(ticker.LogLocator(numticks=5))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())


def _mark(ax: Axes, estimate: float | None, interval: FloatArray, top: float) -> None:
    """Mark an interval and, unless None, an estimate up to `top`, so that the legend above covers neither."""
    ax.fill_between(interval, 0, top, color=CURVE_COLOUR, alpha=0.15, linewidth=0, label="interval")
    if estimate is not None:
        ax.vlines(estimate, 0, top, color=ink(), linestyle="--", label="estimate")


def plot_replications(values: FloatArray, estimate: float, interval: FloatArray, name: str, ax: Axes) -> None:
    """Draw a histogram of replications of an estimate, the estimate and an interval."""
    counts, _, _ = ax.hist(values, bins="auto", color=CURVE_COLOUR, alpha=0.5)
    _mark(ax, estimate, interval, 1.05 * float(np.max(counts)))
    ax.set(xlabel=name)
    ax.locator_params(axis="x", nbins=4)
    ax.set_ylim(bottom=0)
    add_legend(ax)


def plot_posteriors(
    quantiles: pd.DataFrame | None, estimates: pd.Series, intervals: pd.DataFrame, ax: Any, is_positive: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    """Draw the posterior density of each parameter, of the logarithm of a positive one, with its estimate and its interval.

    `quantiles` are those at `PROBABILITIES`: the density between two of them is their difference over the distance.
    """
    names = list(estimates.index)
    axes = panels(ax, max(1, len(names)), 4, (4, 3))
    for name, positive, one in zip(names, is_positive, axes, strict=False):
        top = 1.0
        if quantiles is not None:
            ends = quantiles[name].to_numpy()
            on_axis = (ends > 0) | (not positive)
            ends, kept = np.unique(ends[on_axis], return_index=True)
            density = np.diff(PROBABILITIES[on_axis][kept]) / np.diff(np.log(ends) if positive else ends)
            one.stairs(density, ends, fill=True, color=CURVE_COLOUR, alpha=0.5, label="posterior")
            top = 1.05 * float(np.max(density, initial=0.0))
        estimate = float(estimates[name]) if estimates[name] > 0 or not positive else None
        _mark(one, estimate, intervals.loc[name].to_numpy(), top)
        one.set(xlabel=name)
        if positive:
            one.set_xscale("log")
            _thin_ticks(one)
        one.set_ylim(bottom=0)
        add_legend(one)
    axes[0].set_ylabel("density")
    return axes
