"""Crossings and extrema of components: turning points of a trend beside a season."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError

T = np.arange(72) / 12
SD, Z = 0.2, 1.959963984540054
PRIOR = sf.priors.Polynomial(2) + sf.priors.Seasonal(1.0, harmonics=1, q=0)


@pytest.fixture(scope="module")
def fitted():
    y = 1 + 2 * T - 0.4 * T**2 + 1.5 * np.sin(2 * np.pi * T) + SD * np.random.default_rng(0).standard_normal(72)
    res = sf.SmoothingSpline(sf.observe(T, y, sd=SD), prior=PRIOR).fit()
    X = np.column_stack([np.ones(72), T, T**2, np.cos(2 * np.pi * T), np.sin(2 * np.pi * T)])
    C = SD**2 * np.linalg.inv(X.T @ X)
    return res, C @ X.T @ y / SD**2, C


def fieller(b, C, slope):
    """Where b1 + 2 b2 t = slope, and the t at which its pointwise interval includes the slope: a quadratic."""
    a = np.array([[0, 1, 0, 0, 0], [0, 0, 2, 0, 0]])
    (p, q), V = a @ b - [slope, 0], a @ C @ a.T
    ends = np.roots([q**2 - Z**2 * V[1, 1], 2 * (p * q - Z**2 * V[0, 1]), p**2 - Z**2 * V[0, 0]])
    return -p / q, np.sort(ends.real)


def test_the_turning_point_of_a_trend_is_that_of_least_squares(fitted):
    res, b, C = fitted
    (row,) = res.extrema(component="polynomial").to_dict("records")
    x, ends = fieller(b, C, 0.0)
    np.testing.assert_allclose([row["x"], row["ci_lower"], row["ci_upper"]], [x, *ends], rtol=1e-8)
    assert row["kind"] == "maximum"
    at = np.array([1, x, x**2, 0, 0])
    np.testing.assert_allclose(row["value"], at @ b, rtol=1e-9)
    np.testing.assert_allclose(row["value_se"], np.sqrt(at @ C @ at), rtol=1e-7)


def test_a_crossing_of_the_slope_of_a_trend_is_that_of_least_squares(fitted):
    res, b, C = fitted
    (row,) = res.roots(deriv=1, value=0.5, component="polynomial").to_dict("records")
    x, ends = fieller(b, C, 0.5)
    np.testing.assert_allclose([row["x"], row["ci_lower"], row["ci_upper"]], [x, *ends], rtol=1e-8)
    assert row["direction"] == -1


def test_crossings_of_a_season_are_twice_a_period(fitted):
    assert len(fitted[0].roots(component="seasonal")) in (11, 12)
    assert len(fitted[0].roots(deriv=1)) > 10  # of the whole curve, beside one of the trend


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda res: res.roots(component="trend"), "components are polynomial, seasonal"),
        (lambda res: res.roots(deriv=5, component="seasonal"), "derivatives of seasonal end at f'"),
        (lambda res: res.extrema(deriv=1, component="seasonal"), "an extremum is a root of f'', but"),
    ],
)
def test_what_components_do_not_have_is_named(ask, message):
    prior = sf.priors.Polynomial(1) + sf.priors.Seasonal(1.0, harmonics=1, q=0.1)
    res = sf.SmoothingSpline(sf.observe(T, np.sin(2 * np.pi * T), sd=SD), prior=prior).fit()
    with pytest.raises(SpecificationError, match=message):
        ask(res)


def test_a_trend_on_steps_has_no_crossings():
    prior = sf.priors.LocalLinearTrend(step=1) + sf.priors.DummySeasonal(4, 4)
    t = np.arange(24.0)
    y = 0.1 * t + np.tile([1.0, 0, -1, 0], 6) + 0.1 * np.random.default_rng(1).standard_normal(24)
    res = sf.SmoothingSpline(sf.observe(t, y, sd=0.1), prior=prior).fit()
    with pytest.raises(SpecificationError, match="no crossings between them"):
        res.roots(value=1.0, component=res.component_names[0])


def test_crossings_of_a_component_are_in_the_library_of_the_data():
    polars = pytest.importorskip("polars")
    y = 2 * T - 0.4 * T**2 + np.sin(2 * np.pi * T)
    frame = polars.DataFrame({"t": T, "y": y})
    found = sf.SmoothingSpline(sf.observe(frame["t"], frame["y"], sd=SD), prior=PRIOR).fit().extrema(component="polynomial")
    assert isinstance(found, polars.DataFrame)
    np.testing.assert_allclose(found["x"].to_numpy(), [2.5], rtol=1e-8)


def test_pictures_of_components_go_on_between_observations():
    """A season is a sine across a gap of half a period, and not a straight line."""
    import matplotlib.pyplot as plt

    seen = (T < 2.9) | (T > 3.6)
    y = 2 * T + np.sin(2 * np.pi * T)
    res = sf.SmoothingSpline(sf.observe(T[seen], y[seen], sd=SD), prior=PRIOR).fit()
    axes = res.plot_components()
    x, season = axes[1].lines[0].get_data()
    assert ((x > 2.95) & (x < 3.55)).sum() > 20
    np.testing.assert_allclose(season, res.predict(x, component="seasonal"), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(axes[1].collections[0].get_paths()[0].get_extents().y1, 1.0, atol=4 * SD / np.sqrt(30))
    plt.close()


def test_a_jump_crosses_a_value_where_it_is():
    """Its derivative is zero on both sides, and the crossing was left out."""
    t = np.arange(60.0)
    y = np.where(t >= 30, 5.0, 0.0) + 0.1 * np.random.default_rng(0).standard_normal(60)
    res = sf.SmoothingSpline(sf.observe(t, y), interventions=[sf.Level(30.0)]).fit()
    found = res.roots(value=2.5, component="level(30)")
    np.testing.assert_allclose(found["x"], [30.0], atol=1e-6)
    assert found["direction"].tolist() == [1]
