"""Pictures of fitted equations say when, in which unit, and of which column."""

import matplotlib.dates
import numpy as np
import pandas as pd
import pytest

import smoothfit as sf

T = np.arange(120) * 0.25
Y = np.cos(T) + 0.05 * np.random.default_rng(0).standard_normal(120)


def fit(t, **options):
    return sf.DerivativeRegression(Y, t, order=2, intercept=False, **options).fit("output_error")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_datetimes_are_drawn_as_dates(zone):
    when = pd.date_range("2026-01-01", periods=120, freq="6h", tz=zone)
    ax, _ = fit(pd.Series(when, name="when")).plot()
    assert isinstance(ax.xaxis.get_major_formatter(), matplotlib.dates.ConciseDateFormatter)
    first, last = matplotlib.dates.num2date(ax.get_xlim())
    ends = when.tz_convert("UTC") if zone else when.tz_localize("UTC")
    assert abs(first - ends[0]) < pd.Timedelta("1s")
    assert abs(last - ends[-1]) < pd.Timedelta("1s")
    assert ax.get_xlabel() == "when"
    assert "t in h" in ax.get_title()


def test_durations_say_their_unit():
    ax = fit(pd.Series(pd.to_timedelta(np.arange(120) * 15, unit="min"), name="elapsed")).plot()[0]
    assert ax.get_xlabel() == "elapsed (min)"
    assert ax.get_xlim() == pytest.approx((0, 119 * 15))


def test_numbers_stay_numbers():
    ax = fit(pd.Series(T, name="time")).plot()[0]
    assert (ax.get_xlabel(), ax.get_xlim()) == ("time", (0, T[-1]))
    assert "t in" not in ax.get_title()


def test_outputs_and_inputs_have_one_axis_of_time():
    u = np.repeat(np.random.default_rng(3).choice([-1.0, 1.0], 12), 10)
    output, given, _ = fit(T, u=u, delay=2.0).plot()
    assert output.get_xlim() == given.get_xlim() == (0, T[-1])  # inputs of the first rows, which have no output


def test_every_column_of_readings_has_its_correlations():
    rng = np.random.default_rng(1)
    obs = sf.observe(T, Y, name="position") + sf.observe(T, -np.sin(T) + 0.1 * rng.standard_normal(120), deriv=1, name="velocity")
    res = sf.DerivativeRegression(obs, order=2, intercept=False).fit()
    _, position, velocity = res.plot()
    for ax, name in ((position, "position"), (velocity, "velocity")):
        assert ax.get_ylabel().endswith(f"of {name}")
        drawn = ax.collections[1].get_offsets()[:, 1]
        assert drawn[0] == pytest.approx(res.diagnostics[f"lag-one correlation {name}"])


def test_long_equations_go_over_several_lines():
    rng = np.random.default_rng(2)
    u = pd.DataFrame(rng.standard_normal((120, 6)), columns=[f"an input with a long name {i}" for i in range(6)])
    title = sf.DerivativeRegression(Y, T, u).fit("arx", cov_type="HC0").plot()[0].get_title()
    assert max(map(len, title.split("\n"))) <= 110
    assert title.count("an input with a long name") == 6


def test_step_responses_say_the_unit_of_time():
    when = pd.Series(pd.date_range("2026-01-01", periods=120, freq="6h"), name="when")
    res = fit(when, u=np.repeat(np.random.default_rng(3).choice([-1.0, 1.0], 12), 10))
    assert res.plot_step_response(np.linspace(0, 50, 20)).get_xlabel() == "when (h)"
