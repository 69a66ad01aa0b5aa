"""What results of surfaces give: predictions, splines, draws, tests, differences, pictures."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

from .surfaces import BASIS, BOTH, GRID, f, readings


@pytest.fixture(scope="module")
def fitted():
    return sf.SplineRegression(readings(), BASIS, BOTH).fit()


def test_predictions_in_any_container(fitted):
    frame = pd.DataFrame({"x1": GRID[..., 1].ravel(), "x0": GRID[..., 0].ravel(), "other": 1.0})
    values = fitted.predict(GRID)
    assert values.shape == GRID.shape[:-1]
    np.testing.assert_array_equal(fitted.predict(frame), values.ravel())
    assert fitted.predict(GRID[0, 0]).shape == ()
    assert np.sqrt(np.mean((values - f(GRID.reshape(-1, 2)).reshape(values.shape)) ** 2)) < 0.06
    table = fitted.get_prediction(GRID[:, 0], deriv=(0, 1)).summary_frame()
    assert list(table.index.names) == ["x0", "x1"]
    assert table["obs_ci_upper"].notna().all()
    assert np.isnan(fitted.get_prediction(GRID[0, :1], (1, 1)).se_obs).all()
    wide, narrow = (fitted.get_prediction(GRID, simultaneous=s).conf_int() for s in (True, False))
    assert (np.diff(wide) > 1.2 * np.diff(narrow)).all()


def test_the_estimate_is_an_exact_spline(fitted):
    spline = fitted.spline()
    np.testing.assert_allclose(spline(GRID, (1, 2)), fitted.predict(GRID, (1, 2)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(spline.derivative((1, 2))(GRID), fitted.predict(GRID, (1, 2)), rtol=1e-9, atol=1e-9)
    total = fitted.integrate([0.2, 0.1], [1.3, 0.8])
    assert total == pytest.approx(spline.integrate([0.2, 0.1], [1.3, 0.8]), rel=1e-12)
    fine = np.stack(np.meshgrid(np.linspace(0.2, 1.3, 601), np.linspace(0.1, 0.8, 601), indexing="ij"), axis=-1)
    values = trapezoid(trapezoid(fitted.predict(fine), fine[0, :, 1], axis=1), fine[:, 0, 0])
    assert total == pytest.approx(values, rel=1e-5)
    assert 0 < total.se < 0.1


def test_draws_tests_influence_and_pickles(fitted):
    draws = fitted.sample(GRID, [(0, 0), (1, 0)], size=4000, rng=1)
    assert draws.shape == (2, 4000, *GRID.shape[:-1])
    for k, orders in enumerate([(0, 0), (1, 0)]):
        prediction = fitted.get_prediction(GRID, orders)
        np.testing.assert_allclose(draws[k].std(axis=0).ravel(), prediction.se_mean, rtol=0.06)
    rows = BASIS.design(GRID[1, :2], (0, 0), sparse=False)
    assert fitted.t_test(rows).effect == pytest.approx(fitted.predict(GRID[1, :2]))
    assert {"x0", "x1", "leverage", "loo_resid"} <= set(fitted.influence().columns)
    worst = fitted.outliers(alpha=0.5)
    assert set(worst.index) <= set(np.flatnonzero(np.abs(fitted.resid_standardized) > 2.5))
    boot = fitted.bootstrap(GRID[2, 2:4], (1, 0), size=300, rng=0)
    np.testing.assert_allclose(boot.draws.mean(axis=0), fitted.predict(GRID[2, 2:4], (1, 0)), atol=0.1)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(GRID), fitted.predict(GRID))
    with pytest.raises(ValueError, match="read-only"):
        again.observations.readings[0].X[0] = 1
    text = fitted.summary().as_text()
    assert "8 x 6" in text
    assert "df/dx0" in text
    assert "the mean of f" in text


def test_differences_are_those_of_draws_and_predictions():
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 1, (60, 2))
    obs = sf.observe(X, np.sin(4 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(60))
    line = sf.BSplineBasis.uniform(0, 1, 4)
    res = sf.SplineRegression(obs, sf.TensorProductBasis(line, line), sf.DerivativePenalty(2)).fit()
    start, end = np.array([0.2, 0.9]), np.array([0.5, 0.4])
    change = res.difference(start, end)
    assert change == pytest.approx(float(np.diff(res.predict([start, end]))[0]), abs=1e-12)
    draws = np.diff(res.sample([start, end], size=4000, rng=0))[:, 0]
    assert change.se == pytest.approx(np.diff(res.sample([start, end], size=4000, rng=0, parameters="fixed"))[:, 0].std(), rel=0.05)
    np.testing.assert_allclose(change.conf_int(), np.quantile(draws, [0.025, 0.975]), atol=0.15 * change.se)
    with pytest.raises(SpecificationError, match="single points; call difference for each"):
        res.difference([start, end], end)


@pytest.mark.slow
def test_pictures_are_drawn(fitted):
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    assert len(fitted.plot().figure.axes) == 2
    assert len(fitted.plot((1, 0), se=True, levels=5).figure.axes) == 2
    assert len(fitted.plot_diagnostics()) == 4
    plt.close("all")


def test_what_surfaces_have_not_is_refused(fitted):
    for call in (fitted.roots, fitted.extrema, fitted.zero_test, lambda: fitted.bootstrap(GRID, kind="block")):
        with pytest.raises(SpecificationError):
            call()
    with pytest.raises(DataError, match=r"pass points \(..., 2\)"):
        fitted.predict([0.1, 0.2, 0.3])
    with pytest.raises(SpecificationError, match="no series"):
        fitted.get_prediction(GRID, (1, 1), name="level")
