"""Draws, leave-one-out residuals and shocks against the dense posterior in a hundred digits."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.markov.sampling import Sampler, with_points
from smoothfit.observations.abscissa import Points

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")

ORDERS = (1, 2, 3, 4)


def mixed(rng, order, n=12):
    """Observations of all orders, unsorted, with ties; SDs over 10^4."""
    x = np.cumsum(rng.exponential(size=n) * (rng.random(n) < 0.75))
    deriv = rng.permutation(np.r_[np.zeros(order + 1, int), rng.integers(0, order, n - order - 1)])
    deriv[np.unique(x, return_index=True)[1][: order + 1]] = 0
    row = rng.permutation(n)
    return x[row], 3 * rng.standard_normal(n), deriv[row], 10.0 ** rng.uniform(-2, 2, n)


def covariance_of_draws(res, x, derivs):
    """Covariance of the draws, from what they do to each standard normal number: no random error."""
    sampler = Sampler.of(
        res.engine.rows, res.engine.order, res.optimum.q, res.optimum.sigma2, res.fitted.posterior.filtered, Points(x)
    )

    class Units:
        def standard_normal(self, shape):
            return np.eye(shape[0]).reshape(shape)

    n_normal = len(sampler.links) * res.engine.order
    columns = sampler.draw(Units(), n_normal, np.array(derivs))  # (derivs, normal, x)
    units = res.engine.rows.scale.units(res.engine.order)[derivs]
    flat = (columns * units[:, None, None]).transpose(0, 2, 1).reshape(-1, n_normal)
    return flat @ flat.T


@pytest.mark.parametrize("bandwidth", [0.02, 1.0, 50.0])
@pytest.mark.parametrize("order", ORDERS)
def test_draws_have_the_joint_covariance_of_all_derivatives(order, bandwidth, observe, dense, table):
    rng = np.random.default_rng(order)
    observations = observe(*mixed(rng, order))
    res = sf.SmoothingSpline(observations, order=order).fit(bandwidth=bandwidth)
    nodes = np.unique(observations.x)
    x = np.r_[nodes[[0, 3, 4]], nodes[-1] + 0.7, nodes[0] - 0.4, (nodes[1] + nodes[2]) / 2, nodes[-1], nodes[3] + 1e-6]
    derivs = list(range(order))
    mine = covariance_of_draws(res, x, derivs)
    expected = dense(table(observations), order, res.q, start=x.min()).joint_covariance([(at, k) for k in derivs for at in x])
    sd = np.sqrt(np.diag(expected))
    assert np.max(np.abs(mine - expected) / np.outer(sd, sd)) < 1e-10
    # and what neighbours a millionth of the spacing apart differ by keeps its digits
    difference = np.zeros(len(sd))
    difference[[len(x) - 1, 1]] = 1, -1
    if order > 1:
        assert difference @ mine @ difference == pytest.approx(difference @ expected @ difference, rel=1e-2)


@pytest.mark.parametrize("order", ORDERS)
def test_single_points_have_the_posterior_variance(order, observe):
    rng = np.random.default_rng(10 + order)
    res = sf.SmoothingSpline(observe(*mixed(rng, order, n=40)), order=order).fit(bandwidth=2.0)
    x = rng.uniform(-1, 40, 30)
    for k in range(order):
        variance = np.diag(covariance_of_draws(res, x, [k]))
        np.testing.assert_allclose(variance, res.get_prediction(x, deriv=k).var_pred_mean, rtol=1e-10)


def test_random_draws_have_the_moments(wave):
    res = sf.SmoothingSpline(wave, order=3).fit()
    x = np.linspace(-0.5, 6.5, 8)
    draws = res.sample(x, deriv=[0, 1, 2], size=20_000, rng=3, parameters="fixed")
    for k in range(3):
        prediction = res.get_prediction(x, deriv=k)
        z = (draws[k] - prediction.predicted_mean) / prediction.se_mean
        assert np.abs(z.mean(axis=0)).max() < 4.5 / np.sqrt(20_000)
        assert np.abs((z**2).mean(axis=0) - 1).max() < 4.5 * np.sqrt(2 / 20_000)
        assert stats.kstest(z[:, 3], "norm").pvalue > 1e-3
    # a draw of f' is the derivative of the draw of f
    fine = np.linspace(2, 3, 2001)
    f, slope = res.sample(fine, deriv=[0, 1], size=5, rng=1)
    integral = ((slope[:, 1:] + slope[:, :-1]) / 2) @ np.diff(fine)
    np.testing.assert_allclose(f[:, -1] - f[:, 0], integral, atol=1e-7)


def test_shapes_seeds_and_order_of_points(wave):
    res = sf.SmoothingSpline(wave, order=3).fit()
    x = np.array([3.0, 1.0, 2.0, 3.0])
    draws = res.sample(x, size=7, rng=5)
    assert draws.shape == (7, 4)
    np.testing.assert_array_equal(draws[:, 0], draws[:, 3])  # one curve has one value at one x
    np.testing.assert_array_equal(draws[:3], res.sample(x, size=3, rng=5))
    np.testing.assert_array_equal(draws, res.sample(x, size=7, rng=np.random.default_rng(5)))
    ordered = res.sample(np.sort(x), size=7, rng=5)
    np.testing.assert_array_equal(ordered, draws[:, np.argsort(x, kind="stable")])
    assert res.sample(1.0, size=4, rng=0).shape == (4,)
    assert res.sample(x, deriv=[2, 0], size=4, rng=0).shape == (2, 4, 4)
    assert res.sample([], size=4).shape == (4, 0)
    assert not np.array_equal(res.sample(x, size=2), res.sample(x, size=2))


def test_points_are_inserted_between_rows():
    res = sf.SmoothingSpline(sf.observe([0.0, 1, 1, 2, 4], [0.0, 1, 2, 3, 0], sd=0.1)).fit()
    longer, node = with_points(res.engine.rows, Points(np.array([1.0, 0.5, 5.0, -1.0, 0.5, 4.0])))
    np.testing.assert_array_equal(longer.nodes, [-1, 0, 0.5, 1, 2, 4, 5])
    np.testing.assert_array_equal(longer.nodes[node], [1.0, 0.5, 5.0, -1.0, 0.5, 4.0])
    np.testing.assert_array_equal(longer.delta * longer.scale.x_unit, [0, 1, 0.5, 0.5, 0, 1, 2, 1])
    np.testing.assert_array_equal(longer.y[longer.deriv == 0], res.engine.rows.y)


def test_draws_over_time():
    times = pd.date_range("2024-06-01", periods=30, freq="h")
    res = sf.SmoothingSpline(sf.observe(times, np.sin(np.arange(30.0)), unit="h")).fit()
    number = sf.SmoothingSpline(sf.observe(np.arange(30.0), np.sin(np.arange(30.0)))).fit()
    at = times[:-1] + pd.Timedelta("20min")
    np.testing.assert_allclose(res.sample(at, size=3, rng=0), number.sample(np.arange(29) + 1 / 3, size=3, rng=0), rtol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_leave_one_out_keeps_its_digits_where_the_curve_interpolates(order, observe, dense, table):
    rng = np.random.default_rng(30 + order)
    x, y, deriv, sd = mixed(rng, order, n=14)
    sd[:] = 10.0 ** rng.uniform(-9, -7, 14)
    sd[::4] = 1.0
    observations = observe(x, y, deriv, sd)
    res = sf.SmoothingSpline(observations, order=order).fit(lam=1.0)
    assert res._leverage.max() > 1 - 1e-13
    oracle = dense(table(observations), order, res.q)
    for i in range(len(x)):
        residual, variance = oracle.without(i)
        if variance > 1e20:  # no other observation tells this one
            assert np.isnan(res.loo_resid[i])
            assert np.isnan(res.resid_standardized[i])
            continue
        assert abs(res.loo_resid[i] - residual) < 1e-9 * (np.sqrt(variance) + abs(residual))
        assert res.resid_standardized[i] == pytest.approx(residual / np.sqrt(variance), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("bandwidth", [0.3, 3.0, 100.0])
@pytest.mark.parametrize("order", ORDERS)
def test_shocks_are_generalised_least_squares(order, bandwidth, observe, dense, table):
    rng = np.random.default_rng(40 + order)
    observations = observe(*mixed(rng, order, n=16))
    res = sf.SmoothingSpline(observations, order=order).fit(bandwidth=bandwidth)
    oracle = dense(table(observations), order, res.q)
    changes = {change.kind: change for change in res._changes()}
    assert set(changes) == set(("level shift", "slope break")[:order])
    for j, kind in enumerate(changes):
        change = changes[kind]
        assert len(change.x) > 4
        for x, effect, se in zip(change.x, change.effect, change.se, strict=True):
            expected, variance = oracle.shock(x, j)
            assert abs(effect - expected) < 1e-9 * np.sqrt(variance) + 1e-11 * abs(expected)
            assert se**2 == pytest.approx(variance, rel=1e-9)


def test_a_reading_that_no_other_tells_has_no_residual_without_it():
    obs = sf.observe([0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 1.0, 0.5], deriv=1, sd=0.1) + sf.observe([1.5], [2.0], sd=0.1)
    res = sf.SmoothingSpline(obs, order=3).fit(lam=1.0)
    assert np.isnan(res.loo_resid[-1])
    assert np.isfinite(res.loo_resid[:-1]).all()
    assert len(res.plot_diagnostics()) == 6


def test_outliers_are_found_and_told_apart():
    rng = np.random.default_rng(7)
    x = np.linspace(0, 10, 400)
    clean = np.sin(x) + 0.05 * rng.standard_normal(400)
    fit = sf.SmoothingSpline(sf.observe(x, clean), order=2).fit()
    assert not len(fit.outliers(alpha=0.01))
    assert list(fit.outliers(alpha=0.01).columns) == ["kind", "name", "x", "effect", "se", "statistic", "p_value", "row"]

    def outliers_of(y):
        return sf.SmoothingSpline(sf.observe(x, y, name="level"), order=2).fit(bandwidth=fit.bandwidth).outliers()

    frame = outliers_of(clean + np.where(np.arange(400) == 100, 1.0, 0.0))
    reading = frame[frame["kind"] == "observation"].iloc[0]
    assert (reading["row"], reading["name"], reading["x"]) == (100, "level", x[100])
    assert reading["effect"] == pytest.approx(1.0, abs=5 * reading["se"])
    shift = outliers_of(clean + np.where(x >= x[250], 0.5, 0.0)).iloc[0]
    assert (shift["kind"], shift["row"], shift["x"]) == ("level shift", -1, x[250])
    assert shift["effect"] == pytest.approx(0.5, abs=5 * shift["se"])
    frame = outliers_of(clean + 3 * np.maximum(x - x[250], 0.0))
    slope = frame[frame["kind"] == "slope break"].iloc[0]
    assert abs(slope["x"] - x[250]) < 0.2
    assert slope["effect"] == pytest.approx(3.0, abs=5 * slope["se"])


def test_tests_for_outliers_keep_their_level():
    rng = np.random.default_rng(8)
    x, found = np.linspace(0, 1, 100), np.zeros(3)
    kinds = ["observation", "level shift", "slope break"]
    for _ in range(200):
        y = np.cumsum(rng.standard_normal(100)) * 0.05
        res = sf.SmoothingSpline(sf.observe(x, np.cumsum(y) * 0.05 + 0.1 * rng.standard_normal(100)), order=2).fit()
        reported = set(res.outliers(alpha=0.1)["kind"])
        found += [kind in reported for kind in kinds]
    assert (found / 200 < 0.1 + 3 * np.sqrt(0.1 * 0.9 / 200)).all()  # Bonferroni: at most the level
    assert found[0] / 200 > 0.04


def test_roots_and_their_intervals_against_draws():
    rng = np.random.default_rng(2)
    x = np.linspace(0, 6, 120)
    model = sf.SmoothingSpline(sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(120)), order=3)
    res = model.fit(bandwidth=model.fit().bandwidth)  # draws take the parameters for known
    frame = res.extrema()
    assert list(frame["kind"]) == ["maximum", "minimum"]
    np.testing.assert_allclose(res.predict(frame["x"].to_numpy(), deriv=1), 0, atol=1e-10)
    np.testing.assert_allclose(frame["value"], res.predict(frame["x"].to_numpy()), rtol=1e-12)
    truth = np.pi / 2 * np.array([1, 3])
    assert (frame["ci_lower"] < truth).all()
    assert (truth < frame["ci_upper"]).all()
    fine = np.linspace(0, 6, 3001)
    f = res.sample(fine, size=4000, rng=0)
    for i, peak in enumerate((fine[f.argmax(axis=1)], fine[f.argmin(axis=1)])):
        # Monte Carlo: the standard error of a quantile of 4000 draws is some 4 % of the SD; Student's t against the normal 1 %
        assert peak.std() == pytest.approx(frame["se"][i], rel=0.1)
        low, high = np.quantile(peak, [0.025, 0.975])
        assert frame["ci_lower"][i] == pytest.approx(low, abs=0.15 * frame["se"][i])
        assert frame["ci_upper"][i] == pytest.approx(high, abs=0.15 * frame["se"][i])
    crossing = res.roots(value=0.5)
    assert list(crossing["direction"]) == [1, -1]
    np.testing.assert_allclose(res.predict(crossing["x"].to_numpy()), 0.5, rtol=1e-12)
    band = res.get_prediction(crossing["ci_upper"].to_numpy()).conf_int()
    np.testing.assert_allclose(np.where(crossing["direction"] > 0, band[:, 0], band[:, 1]), 0.5, rtol=1e-9)
    band = res.get_prediction(crossing["ci_lower"].to_numpy()).conf_int()
    np.testing.assert_allclose(np.where(crossing["direction"] > 0, band[:, 1], band[:, 0]), 0.5, rtol=1e-9)


def test_roots_that_are_none_and_intervals_that_do_not_end():
    res = sf.SmoothingSpline(sf.observe(np.arange(20.0), np.sin(np.arange(20.0) / 3) + 2, sd=0.1)).fit()
    assert not len(res.roots(value=5.0))
    assert list(res.roots(value=5.0).columns) == ["x", "se", "ci_lower", "ci_upper", "direction"]
    flat = sf.SmoothingSpline(sf.observe(np.arange(20.0), np.tile([-1.0, 1.0], 10), sd=2.0)).fit(bandwidth=20).roots()
    assert len(flat) == 1
    assert (flat["ci_lower"] == -np.inf).all()
    assert (flat["ci_upper"] == np.inf).all()
    times = pd.date_range("2024-06-01", periods=20, freq="h")
    dated = sf.SmoothingSpline(sf.observe(times, np.tile([-1.0, 1.0], 10), sd=2.0, unit="h")).fit(bandwidth=20).roots()
    assert dated["x"].dtype.kind == "M"
    assert dated["ci_upper"].isna().all()
    with pytest.raises(SpecificationError, match="raise the model's order"):
        res.extrema(deriv=1)
    with pytest.raises(SpecificationError, match="value is nan"):
        res.roots(value=np.nan)


def test_simultaneous_bands():
    rng = np.random.default_rng(9)
    x = np.linspace(0, 1, 60)
    model = sf.SmoothingSpline(sf.observe(x, np.sin(6 * x) + 0.1 * rng.standard_normal(60)), order=3)
    free = model.fit()
    res = model.fit(bandwidth=free.bandwidth)
    grid = np.linspace(0, 1, 150)
    for k in range(3):
        pointwise, band = res.get_prediction(grid, deriv=k), res.get_prediction(grid, deriv=k, simultaneous=True)
        critical = np.diff(band.conf_int())[:, 0] / 2 / band.se_mean
        np.testing.assert_allclose(critical, critical[0], rtol=1e-9)
        assert critical[0] > 1.2 * np.diff(pointwise.conf_int())[0, 0] / 2 / pointwise.se_mean[0]
        # another route: independent draws, studentised by an independent variance
        deviations = np.abs(
            (res.sample(grid, deriv=k, size=20_000, rng=4, parameters="fixed") - band.predicted_mean) / band.se_mean
        ).max(axis=1)
        inside = deviations / np.sqrt(rng.chisquare(band.df, 20_000) / band.df) < critical[0]
        assert abs(inside.mean() - 0.95) < 4 * np.sqrt(0.05 * 0.95 * (1 / 20_000 + 1 / 10_000))
        np.testing.assert_array_equal(band.conf_int(obs=True), pointwise.conf_int(obs=True))
        # parameters that are estimated widen the band, the more the rougher the derivative
        wider = free.get_prediction(grid, deriv=k, simultaneous=True)
        assert 1 < np.median(np.diff(wider.conf_int())[:, 0] / np.diff(band.conf_int())[:, 0]) < 1.6
    for fitted, given in ((res, band), (free, wider)):  # the draws are the same each time
        np.testing.assert_array_equal(given.conf_int(), fitted.get_prediction(grid, deriv=2, simultaneous=True).conf_int())
    with pytest.raises(SpecificationError, match=r"for alpha from 0\.001"):
        band.conf_int(alpha=1e-5)
    one = res.get_prediction([0.5], simultaneous=True).conf_int()
    np.testing.assert_allclose(np.diff(one), np.diff(res.get_prediction([0.5]).conf_int()), rtol=0.05)


def test_draws_are_equivariant_under_powers_of_two(wave):
    res = sf.SmoothingSpline(wave, order=3).fit()
    parts = [sf.observe(r.x * 2.0**40, r.y * 2.0 ** (-40 * r.deriv), deriv=r.deriv, name=r.name) for r in wave.readings]
    scaled = sf.SmoothingSpline(parts[0] + parts[1], order=3).fit()
    x = np.linspace(-1, 7, 20)
    for k in range(3):
        np.testing.assert_array_equal(
            scaled.sample(x * 2.0**40, deriv=k, size=3, rng=0) * 2.0 ** (40 * k), res.sample(x, deriv=k, size=3, rng=0)
        )
    np.testing.assert_array_equal(scaled.loo_resid[:60], res.loo_resid[:60])
    np.testing.assert_allclose(scaled.extrema()["x"], res.extrema()["x"] * 2.0**40, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"x": [1.0], "deriv": 3}, SpecificationError, "no finite variance"),
        ({"x": [1.0], "deriv": []}, SpecificationError, "deriv is empty"),
        ({"x": [1.0], "deriv": [0, 9]}, SpecificationError, "deriv is 9"),
        ({"x": [1.0], "size": -1}, SpecificationError, "size is -1"),
        ({"x": [1.0], "size": 1.5}, SpecificationError, r"size is 1\.5"),
        ({"x": [np.nan]}, DataError, r"x\[0\]"),
    ],
)
def test_bad_requests(wave, arguments, error, words):
    with pytest.raises(error, match=words):
        sf.SmoothingSpline(wave, order=3).fit().sample(**arguments)
