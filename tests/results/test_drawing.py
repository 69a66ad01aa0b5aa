from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.results.drawing import ink, panels, symmetric
from smoothfit.results.plotting import PROBABILITIES, draw_quantiles, format_times, plot_posteriors

RNG = np.random.default_rng(3)
X = np.linspace(0, 10, 60)
Y = np.sin(X) + 0.2 * RNG.standard_normal(60)


@pytest.fixture(scope="module")
def wave():
    return sf.SmoothingSpline(sf.observe(X, Y)).fit()


def covered(ax):
    """Points of lines and observations of `ax` that lie beneath its legend, in pixels."""
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    points = [ax.transData.transform(line.get_xydata()) for line in ax.get_lines() if len(line.get_xydata()) > 2]
    points += [ax.transData.transform(part.get_offsets()) for part in ax.collections if len(part.get_offsets()) > 1]
    return sum(int(box.contains(*point)) for part in points for point in part)


def test_legends_cover_nothing(wave):
    ax = wave.plot()
    assert covered(ax) == 0
    top = ax.get_ylim()[1]
    wave.plot(deriv=0, ax=ax, label="again, under a long name that asks for a line of the legend by itself")
    assert covered(ax) == 0
    wave.plot(deriv=0, ax=ax, label="once more")
    assert covered(ax) == 0
    assert ax.get_ylim()[1] < top + 4  # the strip does not grow upon itself


def test_what_is_drawn_afterwards_is_seen(wave):
    ax = wave.plot(deriv=0)
    limits = ax.get_ylim()
    ax.figure.canvas.draw()
    assert ax.get_ylim() == limits
    ax.plot([0.0, 1.0], [limits[0] - 5.0, limits[1] + 3.0])
    assert ax.get_ylim()[0] < limits[0] - 5.0
    assert ax.get_ylim()[1] > limits[1] + 3.0


def test_colours_are_those_of_the_style_in_use():
    with plt.style.context("dark_background"):
        ax = sf.SmoothingSpline(sf.observe(X, Y)).fit().plot()
        assert ink() == "white"
        assert mpl.colors.same_color(ax.get_lines()[0].get_color(), "C0")
        assert mpl.colors.same_color(ax.collections[-1].get_facecolor()[0, :3], "white")


def test_pictures_are_drawn_on_the_axes_that_are_given(wave):
    _, axes = plt.subplots(2, 3)
    assert list(wave.plot_diagnostics(ax=axes)) == list(axes.ravel())
    with pytest.raises(SpecificationError, match="ax is of the type Figure; pass Axes of matplotlib"):
        wave.plot(ax=plt.figure())
    with pytest.raises(SpecificationError, match="ax has 2 axes and the picture 6 panels"):
        wave.plot_diagnostics(ax=axes[0, :2])
    assert len(panels(None, 5, 3, (2, 2))) == 5


def test_residuals_are_drawn_against_what_is_fitted(wave):
    _, over_fit, observed, *_ = wave.plot_diagnostics()
    f, e = np.transpose(over_fit.collections[0].get_offsets().data)
    np.testing.assert_array_equal(f, wave.fittedvalues)
    np.testing.assert_array_equal(e[2:], wave.resid_recursive[2:])
    np.testing.assert_array_equal(observed.collections[0].get_offsets()[:, 1], Y)


def test_quantile_ranges_contain_95_percent_of_each_order_statistic():
    _, ax = plt.subplots()
    draw_quantiles(ax, RNG.standard_normal(30))
    vertices = ax.collections[0].get_paths()[0].vertices
    sample = np.sort(RNG.standard_normal((4000, 30)), axis=1)
    theoretical = stats.norm.ppf((np.arange(1, 31) - 0.5) / 30)
    for i in (0, 7, 29):
        low, high = (f(vertices[np.isclose(vertices[:, 0], theoretical[i]), 1]) for f in (np.min, np.max))
        inside = ((sample[:, i] > low) & (sample[:, i] < high)).mean()
        assert inside == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


def test_maps_of_both_signs_part_at_zero():
    values = np.array([[-1.0, 3.0], [0.5, np.nan]])
    levels = symmetric(values, 14)
    np.testing.assert_allclose(levels, 0.5 * np.arange(-6, 7), atol=1e-15)
    assert symmetric(np.array([0.0, 2.0]), 14) is None
    points = RNG.uniform(-2, 2, (30, 2))
    ax = sf.GaussianProcess(points, np.sin(points[:, 0]), sf.gp.Matern52([1, 1], 1), sd=0.1).fit().plot()
    assert ax.collections[0].get_cmap().name == "RdBu_r"


def test_many_curves_and_their_population():
    ids = np.repeat([f"curve {i}" for i in range(6)], 12)
    x = np.tile(np.linspace(0, 6, 12), 6) + np.repeat(np.arange(6) * 0.1, 12)
    frame = pd.DataFrame({"id": ids, "x": x, "y": np.sin(x) + np.repeat(np.arange(6.0), 12) + 0.1 * RNG.standard_normal(72)})
    fits = sf.fit_curves(frame, by="id", x="x", readings={"y": 0})
    axes = fits.plot()
    assert [ax.get_title() for ax in axes] == list(fits.ids)
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, False, True, True, True, True]  # two of six are in the second row
    assert len(fits.plot(["curve 2"], deriv=1)) == 1
    fan = fits.plot_fan(levels=[0.5])
    at, median = fan.get_lines()[0].get_data()
    inside = (at > 0.6) & (at < 5.9)  # where all curves were observed
    means = fits.predict(at[inside]).pivot_table(index="id", columns="x", values="mean").to_numpy()
    np.testing.assert_allclose(median[inside], np.median(means, axis=0), rtol=1e-9)
    assert len(fan.collections) == 1
    (median,) = fits.plot_fan(deriv=1, levels=[0.5]).get_lines()  # as each curve answers by itself, where it was observed
    at = median.get_xdata()[::40]
    slopes = np.array(
        [
            np.where((at >= x[own].min()) & (at <= x[own].max()), fits[name].predict(at, 1), np.nan)
            for name, own in ((name, ids == name) for name in fits.ids)
        ]
    )
    np.testing.assert_allclose(median.get_ydata()[::40], np.nanmedian(slopes, axis=0), rtol=1e-9)


def test_tracks_and_replications(wave):
    online = wave.online(lag=20)
    online.append([10.2, 10.4], [-0.6, -0.7])
    ax = online.plot(deriv=1)
    at, mean = ax.get_lines()[0].get_data()
    np.testing.assert_allclose(mean, online.predict(at, deriv=1), rtol=1e-12)
    assert at[-1] == 10.4

    regression = sf.SplineRegression(sf.observe(X, Y), sf.BSplineBasis.uniform(0, 10, 8)).fit()
    draws = regression.bootstrap(X, size=40, rng=0)
    ax = draws.plot(X, n_draws=7)
    assert len(ax.get_lines()) == 8
    np.testing.assert_array_equal(ax.get_lines()[-1].get_ydata(), draws.estimate)
    with pytest.raises(SpecificationError, match=r"x has shape \(3,\)"):
        draws.plot(X[:3])


def test_densities_are_drawn_from_quantiles_below_the_legend():
    law = stats.lognorm(0.5)
    intervals = pd.DataFrame([law.ppf([0.025, 0.975])], index=["q"])
    quantiles = pd.DataFrame({"q": law.ppf(PROBABILITIES)}, index=PROBABILITIES)
    (ax,) = plot_posteriors(quantiles, pd.Series({"q": 1.0}), intervals, None, np.array([True]))
    density, edges, _ = ax.patches[0].get_data()
    middles = np.log(edges[1:-2] * edges[2:-1]) / 2  # of all steps but the two longest
    np.testing.assert_allclose(density[1:-1], stats.norm(0, 0.5).pdf(middles), rtol=0.03)
    assert all(path.vertices[:, 1].max() <= 1.06 * density.max() for drawn in ax.collections for path in drawn.get_paths())
    quantiles.iloc[:12] = 0.0  # half the probability is at zero, which is not on the axis
    (ax,) = plot_posteriors(quantiles, pd.Series({"q": 0.0}), intervals, None, np.array([True]))
    np.testing.assert_allclose(ax.patches[0].get_data()[0], density[12:], rtol=1e-12)
    assert ax.get_legend_handles_labels()[1] == ["posterior", "interval"]
    (ax,) = plot_posteriors(None, pd.Series({"q": 1.0}), intervals, None, np.array([True]))
    assert not ax.patches


@pytest.mark.parametrize("minutes", [7, 90, 2000, 50_000, 2_000_000])
def test_labels_of_times_stay_apart_in_narrow_panels(minutes):
    when = pd.Timestamp("2026-03-01 10:00") + pd.to_timedelta(np.linspace(0, minutes, 12), unit="min")
    fig, ax = plt.subplots(figsize=(4, 3))
    ax.plot(when, np.arange(12))
    format_times(ax, sf.observe(when, np.arange(12.0), unit="min").abscissa)
    fig.canvas.draw()
    labels = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    assert len(labels) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))
