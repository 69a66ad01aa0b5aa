"""Student-t noise."""

import pickle

import numpy as np
import pytest
from scipy import special, stats

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.statespace import fitting, robust


def contaminated(seed=0, n=300):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 10, n))
    y = np.sin(x) + 0.05 * rng.standard_normal(n)
    bad = rng.random(n) < 0.15
    y[bad] += rng.uniform(0.5, 30, bad.sum())  # all to one side
    return x, y, bad


def test_gross_errors_weigh_nothing():
    x, y, bad = contaminated()
    plain, res = (sf.SmoothingSpline(sf.observe(x, y), order=3).fit(robust=r) for r in (False, True))
    clean = sf.SmoothingSpline(sf.observe(x[~bad], y[~bad]), order=3).fit()
    grid = np.linspace(0.2, 9.8, 100)
    error = np.sqrt(np.mean((res.predict(grid) - np.sin(grid)) ** 2))
    assert error < 2 * np.sqrt(np.mean((clean.predict(grid) - np.sin(grid)) ** 2))
    assert error < 0.1 * np.sqrt(np.mean((plain.predict(grid) - np.sin(grid)) ** 2))
    assert res.robust_weights[bad].max() < 0.1
    assert np.median(res.robust_weights[~bad]) > 0.5
    assert (plain.robust_weights == 1).all()
    assert np.isinf(plain.noise_df["f"])
    assert "Student-t noise" in res.summary().as_text()


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of the fit that is not robust
def test_no_turn_lowers_the_bound_and_the_end_is_a_fixed_point():
    x, y, _ = contaminated(1, 120)
    plain = sf.observe(x, y, name="a", weights=np.random.default_rng(0).uniform(0.5, 2, 120))
    free = {"a": None}
    weights, df = robust.first_weights(plain, free, True), {"a": 4.0}
    gain, bounds = None, []
    for _ in range(25):
        results = sf.SmoothingSpline(robust.with_weights(plain, weights), order=2).fit()
        if gain is not None:
            bounds.append(results.llf + gain)  # less a constant, log|X'X| / 2
        weights, df, gain = robust.next_weights(results, plain, df, free)
    assert (np.diff(bounds) > -1e-8).all()
    res = sf.SmoothingSpline(plain, order=2).fit(robust=True)
    # the curve of the end, before its weights become those of the information
    last = sf.SmoothingSpline(robust.with_weights(plain, {"a": res.robust_weights}), order=2).fit()
    again, df, gain = robust.next_weights(last, plain, {"a": float(res.noise_df["a"])}, free)
    # the bound is within 1e-7 of its maximum, and flat there: parameters are within some 1e-3 of their standard errors
    assert np.abs(np.log(again["a"] / res.robust_weights)).max() < 1e-2
    assert df["a"] == pytest.approx(res.noise_df["a"], rel=1e-2)
    constant = last.llf - last.restricted_llf
    assert res.robustness.bound >= bounds[-1] - constant - 1e-6


def full_bound(x, y, q, sigma, weights, df):
    """Full log-likelihood of an integrated Wiener process by dense algebra, and what the law of the weights adds.

    The process is orthogonal to lines in the metric of the noise.
    """
    low = np.minimum.outer(x, x) - x[0]
    K = q * low**2 * (3 * (np.maximum.outer(x, x) - x[0]) - low) / 6
    V, X = K + np.diag(sigma**2 / weights), np.column_stack([np.ones_like(x), x])
    A = X.T @ np.linalg.solve(V, X)
    rest = y - X @ np.linalg.solve(A, X.T @ np.linalg.solve(V, y))
    log_det = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] - np.linalg.slogdet((X.T * weights / sigma**2) @ X)[1]
    shape = (df + 1) / 2
    rate = shape / weights
    prior, mean_log = stats.gamma(df / 2, scale=2 / df), special.digamma(shape) - np.log(rate)
    expected = (df / 2 - 1) * mean_log - df / 2 * weights + prior.logpdf(1.0) + df / 2  # of log p(u)
    added = expected + stats.gamma(shape, scale=1 / rate).entropy() + (mean_log - np.log(weights)) / 2
    return added.sum() - (len(y) * np.log(2 * np.pi) + log_det + rest @ np.linalg.solve(V, rest)) / 2


def test_starts_are_compared_by_the_full_likelihood_if_it_is_maximised(monkeypatch):
    rng = np.random.default_rng(76)  # the restricted likelihood prefers the end of the other start
    x = np.sort(rng.uniform(0, 6, 16))
    y, ends, alternated = np.sin(x) + 0.1 * rng.standard_t(2, 16), [], robust._alternated

    def recorded(*arguments):
        ends.append(alternated(*arguments))
        return ends[-1]

    monkeypatch.setattr(robust, "_alternated", recorded)
    res = sf.SmoothingSpline(sf.observe(x, y), order=2).fit("ml", robust={"f": 4.0})
    bounds = [full_bound(x, y, one.q, one.sigma["f"], own.weights["f"], own.df["f"]) for one, own in ends]
    np.testing.assert_allclose([own.bound for _, own in ends], bounds, atol=1e-5)
    assert bounds[1] > bounds[0] + 0.005
    restricted = [own.bound - one.maximised_llf + one.restricted_llf for one, own in ends]
    assert restricted[1] < restricted[0] - 0.02
    assert res.robustness.bound == ends[1][1].bound


def test_t_noise_is_recognised_and_normal_noise_too():
    rng = np.random.default_rng(2)
    x = np.linspace(0, 10, 2000)
    for draw, low, high in ((rng.standard_t(3, 2000), 2.3, 4.0), (rng.standard_normal(2000), 20, np.inf)):
        res = sf.SmoothingSpline(sf.observe(x, np.sin(x) + 0.1 * draw)).fit(robust=True)
        assert low < res.noise_df["f"] <= high
        assert res.sigma["f"] == pytest.approx(0.1, rel=0.08)


def test_names_and_degrees_of_freedom_are_chosen(wave):
    model = sf.SmoothingSpline(wave, order=3)
    res = model.fit(robust={"rate": 4.0})
    assert np.isinf(res.noise_df["level"])
    assert res.noise_df["rate"] == 4.0
    assert (res.robust_weights[:60] == 1).all()
    assert (res.robust_weights[60:] != 1).all()
    same = model.fit(robust={"rate": 1e7})  # normal in the limit
    assert same.q == pytest.approx(model.fit().q, rel=1e-4)
    np.testing.assert_array_equal(model.fit(robust="rate").robust_weights, model.fit(robust=["rate"]).robust_weights)
    other = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(other.robust_weights, res.robust_weights)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of the fit that is not robust
def test_the_landing_without_tuning():
    df = sf.datasets.load_landing()
    obs = sf.observe(df["time_s"], df["altitude_ft"])
    res = sf.SmoothingSpline(obs, order=3).fit(robust=True)
    plain = sf.SmoothingSpline(obs, order=3).fit()
    rate = df["vertical_rate_ftmin"] / 60
    error, before = (np.sqrt(np.mean((r.predict(df["time_s"], deriv=1) - rate) ** 2)) for r in (res, plain))
    assert error < 0.6 * before
    assert 5 < res.sigma.iloc[0] < 15  # steps of 25 ft have an SD of 7
    assert plain.sigma.iloc[0] > 1000
    assert (res.robust_weights < 0.1).sum() > 100


@pytest.mark.parametrize("heavy", [True, False])
def test_bands_cover(heavy):
    grid, inside = np.linspace(0.2, 9.8, 50), []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        x = np.sort(rng.uniform(0, 10, 200))
        noise = rng.standard_t(3, 200) if heavy else rng.standard_normal(200)
        res = sf.SmoothingSpline(sf.observe(x, np.sin(x) + 0.05 * noise), order=3).fit(robust=True)
        lower, upper = res.get_prediction(grid).conf_int().T
        inside.append(np.mean((lower < np.sin(grid)) & (np.sin(grid) < upper)))
    assert 0.9 < np.mean(inside) < 0.99  # the mean of 15 curves has a standard error of 2.5 %


@pytest.mark.parametrize(
    ("option", "words"), [("depth", "'depth'.*level, rate"), ({"rate": -1.0}, r"robust\['rate'\] is -1"), ({"x": 1}, "'x'")]
)
def test_bad_options(wave, option, words):
    with pytest.raises(SpecificationError, match=words):
        sf.SmoothingSpline(wave, order=3).fit(robust=option)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of the fit that is not robust
def test_losses_go_by_one_argument():
    x, y, _ = contaminated(2, 80)
    obs = sf.observe(x, y, name="a") + sf.observe(x[::4], np.cos(x[::4]) + 0.1 * np.sin(9 * x[::4]), deriv=1, name="b")
    model = sf.SmoothingSpline(obs, order=3)
    for loss, parameter, short in [
        ("student_t", None, True),
        ("student_t", 4.0, {"a": 4.0, "b": 4.0}),
        ({"a": "student_t", "b": "squares"}, 3.0, {"a": 3.0}),
        ("squares", None, False),
    ]:
        one, other = model.fit(loss=loss, parameter=parameter), model.fit(robust=short)
        np.testing.assert_array_equal(one.params, other.params)
        np.testing.assert_array_equal(one.noise_df, other.noise_df)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "huber"}, "SmoothingSpline has 'squares' and 'student_t', and SplineRegression also 'huber'"),
        ({"loss": {"f": 2}}, "loss is 2"),
        ({"parameter": 3.0}, "parameter is of loss='student_t'"),
        ({"loss": "student_t", "robust": True}, "robust=True is loss='student_t': pass one"),
        ({"loss": {"g": "student_t"}}, "names 'g'; the series are f"),
    ],
)
def test_losses_that_are_none_are_refused(options, words):
    x, y, _ = contaminated(2, 40)
    with pytest.raises(SpecificationError, match=words):
        sf.SmoothingSpline(sf.observe(x, y)).fit(**options)
    with pytest.raises(SpecificationError, match="Student-t noise, loss='student_t', is of SmoothingSpline"):
        sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 10, 5)).fit("ols", loss="student_t")


def test_turns_descend_from_the_last_optimum_and_end_at_the_best(monkeypatch):
    """Two series; only the first and the last turn of each start search from all starts."""
    rng = np.random.default_rng(3)
    x, z = np.sort(rng.uniform(0, 10, (2, 80)), axis=1)
    y, slope = np.sin(x) + 0.1 * rng.standard_normal(80), np.cos(z) + 0.3 * rng.standard_normal(80)
    y[::9] += 4
    slope[4::11] -= 5
    obs = sf.observe(x, y, name="a") + sf.observe(z, slope, deriv=1, name="b")
    searches = []
    original = fitting._starts
    monkeypatch.setattr(fitting, "_starts", lambda *a: searches.append(1) or original(*a))
    res = sf.SmoothingSpline(obs, order=3).fit(robust=True)
    assert res.robustness.n_turns > 5
    assert len(searches) <= 4
    weights = {"a": res.robust_weights[:80], "b": res.robust_weights[80:]}
    again = sf.SmoothingSpline(robust.with_weights(obs, weights), order=3).fit()
    for name in "ab":
        assert again.sigma[name] == pytest.approx(res.sigma[name], rel=1e-4)
    assert res.robust_weights[:80][::9].max() < 0.1


def test_a_gross_error_of_a_periodic_curve_weighs_little():
    rng = np.random.default_rng(8)
    angle = rng.uniform(0, 3600, 60)  # neighbours in phase are far apart
    y = np.exp(np.sin(np.deg2rad(angle))) + 0.05 * rng.standard_normal(60)
    y[17] += 3.0
    res = sf.SmoothingSpline(sf.observe(angle, y), order=2, period=360.0).fit(robust={"f": 4.0})
    assert res.robust_weights[17] < 0.01
    grid = np.arange(0.0, 360.0, 10.0)
    assert np.abs(res.predict(grid) - np.exp(np.sin(np.deg2rad(grid)))).max() < 0.15
    assert {"observation"} >= set(res.outliers()["kind"])
