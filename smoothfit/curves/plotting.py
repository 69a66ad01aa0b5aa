"""Pictures of fitted curves. matplotlib is imported only when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from .._validation import FloatArray
from ..observations import derivative_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .results import CurveResults

GRID_POINTS = 500
CURVE_COLOUR = "#1f5fa8"
READING_COLOUR = "#444444"


def plot_curve(results: CurveResults, deriv: int, ax: Axes | None, alpha: float) -> Figure:
    """Draw f^(deriv), its pointwise band of level 1 - alpha and the readings of it."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    observations = results.observations
    abscissa = observations.abscissa
    x = observations.x
    grid = abscissa.restore(_grid(x))
    prediction = results.get_prediction(grid, deriv)
    lower, upper = prediction.conf_int(alpha=alpha).T
    label = derivative_label(deriv)
    ax.fill_between(grid, lower, upper, color=CURVE_COLOUR, alpha=0.25, linewidth=0, label=f"{100 * (1 - alpha):g} % band")
    ax.plot(grid, prediction.predicted_mean, color=CURVE_COLOUR, label=f"{label}, posterior mean")
    for reading in observations.readings:
        if reading.deriv == deriv:
            size = float(np.clip(2000 / len(reading), 2, 25))
            ax.scatter(reading.x, reading.y, s=size, color=READING_COLOUR, alpha=0.6, linewidth=0, zorder=1, label=reading.name)
    unit = f" ({abscissa.unit})" if abscissa.kind == "timedelta" else ""
    ax.set_xlabel(observations.x_name + unit)
    ax.set_ylabel(label + (f" per {abscissa.unit}" + f"^{deriv}" * (deriv > 1) if abscissa.unit and deriv else ""))
    ax.legend(frameon=False)
    ax.margins(x=0)
    return cast("Figure", ax.figure)


def plot_diagnostics(results: CurveResults) -> Figure:
    """Draw standardised residuals: over x, their distribution, normal quantiles, and each name's autocorrelation."""
    import matplotlib.pyplot as plt
    from scipy import stats

    observations = results.observations
    order = np.argsort(observations.x, kind="stable")
    residuals = results.resid_standardized
    figure, ((over_x, distribution), (quantiles, correlation)) = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")

    kinds = results._name_of_row()
    for i, reading in enumerate(observations.readings):
        over_x.scatter(reading.x, residuals[kinds == i], s=8, linewidth=0, alpha=0.7, label=reading.name)
    over_x.axhline(0, color="black", linewidth=0.8)
    over_x.set(title="Standardised residuals", xlabel=observations.x_name)
    if len(observations.readings) > 1:
        over_x.legend(frameon=False)

    distribution.hist(residuals, bins="auto", density=True, color=CURVE_COLOUR, alpha=0.4)
    z = np.linspace(min(-4.0, residuals.min()), max(4.0, residuals.max()), 200)
    distribution.plot(z, stats.norm.pdf(z), color="black", linewidth=1, label="N(0, 1)")
    distribution.set(title="Distribution", xlabel="standardised residual")
    distribution.legend(frameon=False)

    n = len(residuals)
    theoretical = stats.norm.ppf((np.arange(1, n + 1) - 0.5) / n)
    quantiles.scatter(theoretical, np.sort(residuals), s=8, linewidth=0, color=CURVE_COLOUR)
    quantiles.axline((0, 0), slope=1, color="black", linewidth=0.8)
    quantiles.set(title="Normal quantiles", xlabel="theoretical", ylabel="observed")

    for i in range(len(observations.readings)):
        mine = residuals[order][kinds[order] == i]
        correlations = autocorrelation(mine, min(25, len(mine) - 1))
        lags = np.arange(1, len(correlations) + 1) + 0.2 * i
        correlation.vlines(lags, 0, correlations, color=f"C{i}")
        correlation.scatter(lags, correlations, s=12, color=f"C{i}")
        bound = 1.96 / np.sqrt(len(mine))
        correlation.axhspan(-bound, bound, color="black", alpha=0.08, linewidth=0)
    correlation.axhline(0, color="black", linewidth=0.8)
    correlation.set(title="Autocorrelation in order of x, by name", xlabel="lag (readings of the name)")
    return figure


def autocorrelation(values: FloatArray, n_lags: int) -> FloatArray:
    """Sample autocorrelations at lags 1 .. n_lags."""
    centred = values - values.mean()
    total = centred @ centred
    return np.array([centred[lag:] @ centred[:-lag] / total for lag in range(1, n_lags + 1)])


def _grid(x: FloatArray) -> FloatArray:
    """Points over the range of x, the ends of x among them."""
    return np.linspace(x.min(), x.max(), GRID_POINTS)
