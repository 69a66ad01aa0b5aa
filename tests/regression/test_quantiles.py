"""Quantile fits and the bisquare: against statsmodels, by their optimality conditions, under constraints."""

import pickle

import numpy as np
import pytest
import statsmodels.api as sm

import smoothfit as sf
from smoothfit.errors import SpecificationError

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(19)
N = 200
X = np.sort(RNG.uniform(0, 1, N))
Y = np.sin(6 * X) + (0.1 + 0.3 * X) * RNG.standard_normal(N)
BASIS = sf.BSplineBasis.uniform(0, 1, 6)
CURVATURE = sf.DerivativePenalty(2)
DESIGN = BASIS.design(X, sparse=False)
GRID = np.linspace(0, 1, 1001)


def check_loss(residuals, level):
    return float(np.sum(residuals * (level - (residuals < 0))))


@pytest.mark.parametrize("level", [0.1, 0.5, 0.85])
def test_quantiles_are_no_worse_than_those_of_statsmodels(level):
    ours = sf.SplineRegression(sf.observe(X, Y), BASIS).fit("ols", loss="quantile", parameter=level)
    theirs = sm.QuantReg(Y, DESIGN).fit(q=level, p_tol=1e-10, max_iter=5000)
    assert check_loss(ours.resid, level) <= check_loss(theirs.resid, level) * (1 + 1e-10)
    assert ours.edf == BASIS.n_basis  # as many observations on the curve as coefficients: a vertex
    exact = np.linalg.solve(DESIGN[ours._fit.quantile.on_curve], Y[ours._fit.quantile.on_curve])
    np.testing.assert_allclose(ours.params, exact, atol=1e-7)
    assert abs((ours.resid < -1e-8).sum() - level * N) <= BASIS.n_basis


@pytest.mark.parametrize("level", [0.2, 0.5])
def test_penalised_quantiles_satisfy_their_optimality_conditions(level):
    lam = 1e-3
    res = sf.SplineRegression(sf.observe(X, Y), BASIS, CURVATURE).fit(lam=lam, loss="quantile", parameter=level)
    assert res.lam == pytest.approx(lam)
    multiplier = res._fit.quantile.multiplier * res.sigma["f"]  # of the plain sum of losses
    slope = DESIGN.T @ multiplier - 2 * lam * CURVATURE.matrix(BASIS) @ res.params
    assert np.abs(slope).max() < 1e-6 * np.abs(DESIGN).sum()
    away = np.abs(res.resid) > 1e-7
    np.testing.assert_allclose(multiplier[away], level - (res.resid[away] < 0), atol=1e-4)
    assert (multiplier >= level - 1 - 1e-8).all()
    assert (multiplier <= level + 1e-8).all()
    np.testing.assert_array_equal(res._fit.quantile.on_curve, ~away)
    assert res.edf == (~away).sum()


@pytest.mark.parametrize("method", ["gcv", "sic"])
def test_criteria_choose_a_smooth_curve(method):
    res = sf.SplineRegression(sf.observe(X, Y), BASIS.refine(3), CURVATURE).fit(method, loss="quantile")
    assert 3 <= res.edf <= 16
    assert np.abs(res.predict(GRID) - np.sin(6 * GRID)).max() < 0.35


def test_the_unit_of_y_does_not_matter():
    first = sf.SplineRegression(sf.observe(X, Y), BASIS, CURVATURE).fit("gcv", loss="quantile", parameter=0.7)
    second = sf.SplineRegression(sf.observe(X, 1e6 * Y), BASIS, CURVATURE).fit("gcv", loss="quantile", parameter=0.7)
    np.testing.assert_allclose(second.params, 1e6 * first.params, rtol=1e-5)
    np.testing.assert_allclose(second.bse, 1e6 * first.bse, rtol=1e-3)


def test_quantiles_keep_to_constraints():
    y = Y + 2 * X
    constraints = [sf.Increasing(), sf.Equals(0.0, -0.2), sf.Bounds(upper=2.0)]
    lam = 1e-4
    model = sf.SplineRegression(sf.observe(X, y), BASIS, CURVATURE, constraints)
    res = model.fit(lam=lam, loss="quantile", parameter=0.5)
    assert res.predict(GRID, deriv=1).min() >= -1e-8
    assert res.predict(GRID).max() <= 2 + 1e-8
    assert res.predict(0.0) == pytest.approx(-0.2, abs=1e-9)
    slope = res._fit.objective_slope() * res.sigma["f"]
    moving = res._fit.moving
    assert np.abs(moving.T @ slope).max() < 1e-4  # what no constraint holds is at a minimum
    assert len(res.active_constraints) > 1
    free = sf.SplineRegression(sf.observe(X, y), BASIS, CURVATURE).fit(lam=lam, loss="quantile")
    assert check_loss(free.resid, 0.5) < check_loss(res.resid, 0.5)
    with pytest.raises(SpecificationError, match="no curve satisfies Increasing"):
        sf.SplineRegression(sf.observe(X, y), BASIS, None, [sf.Increasing(), sf.Equals([0.2, 0.8], [1, 0])]).fit(loss="quantile")


def test_several_names_share_one_quantile_curve():
    obs = sf.observe(X, Y, name="y") + sf.observe(X, 6 * np.cos(6 * X) + RNG.standard_t(3, N), deriv=1, name="dy")
    res = sf.SplineRegression(obs, BASIS, CURVATURE).fit(lam=1e-4, loss="quantile")
    scales = [part.mean() for part in res._fit.rows.per_name(np.abs(res.resid) / 2)]
    np.testing.assert_allclose(res.sigma, scales, rtol=1e-5)
    truth = np.sin(6 * GRID)
    assert np.abs(res.predict(GRID) - truth).max() < 0.2


def test_bands_of_a_median_cover():
    rng, covered = np.random.default_rng(2), []
    basis = sf.BSplineBasis.uniform(0, 1, 4)
    for _ in range(40):
        y = np.sin(6 * X) + (0.1 + 0.3 * X) * rng.standard_normal(N)
        res = sf.SplineRegression(sf.observe(X, y), basis.refine(1), None).fit(loss="quantile")
        low, high = res.get_prediction(GRID[50:-50:50]).conf_int().T
        covered.append(np.mean((low <= np.sin(6 * GRID[50:-50:50])) & (np.sin(6 * GRID[50:-50:50]) <= high)))
    assert 0.9 < np.mean(covered) < 0.99


def test_results_of_quantiles_say_what_they_are():
    res = sf.SplineRegression(sf.observe(X, Y), BASIS, CURVATURE).fit("sic", loss="quantile", parameter=0.9)
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(again.bse, res.bse)
    assert "quantile 0.9" in str(res.summary())
    p, sigma = 0.9, res.sigma["f"]
    assert res.llf == pytest.approx(N * np.log(p * (1 - p) / sigma) - check_loss(res.resid, p) / sigma)
    assert np.isnan(res.get_prediction([0.5]).noise_sd)
    with pytest.raises(SpecificationError, match="leave-one-out"):
        _ = res.loo_resid
    with pytest.raises(SpecificationError, match="influence"):
        res.influence()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "method='gcv'"),
        ({"method": "reml"}, "'sic', or lam="),
        ({"edf": 5}, "pass lam="),
        ({"method": "gcv", "cov_type": "HC1"}, "one covariance"),
        ({"method": "gcv", "parameter": 1.0}, "between 0 and 1"),
    ],
)
def test_bad_options_of_quantiles_are_refused(options, words):
    with pytest.raises(SpecificationError, match=words):
        sf.SplineRegression(sf.observe(X, Y), BASIS, CURVATURE).fit(loss="quantile", **options)


# Bisquare ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outliers():
    y = Y.copy()
    y[60:75] += 4
    return y


def test_the_bisquare_is_that_of_statsmodels(outliers):
    ours = sf.SplineRegression(sf.observe(X, outliers), BASIS).fit("ols", loss="bisquare")
    huber = sf.SplineRegression(sf.observe(X, outliers), BASIS).fit("ols", loss="huber")
    peer = sm.RLM(outliers, DESIGN, M=sm.robust.norms.TukeyBiweight())
    theirs = peer.fit(tol=1e-12, maxiter=500, start_params=huber.params.to_numpy())
    np.testing.assert_allclose(ours.params, theirs.params, atol=1e-7)
    np.testing.assert_allclose(ours.loss_weights, theirs.weights, atol=1e-6)


@wrong
def test_readings_without_weight_count_for_nothing(outliers):
    model = sf.SplineRegression(sf.observe(X, outliers), BASIS, CURVATURE)
    res = model.fit(loss="bisquare")
    gone = res.loss_weights == 0
    assert gone[60:75].all()
    kept = sf.observe(X[~gone], outliers[~gone], weights=res.loss_weights[~gone])
    without = sf.SplineRegression(kept, BASIS, CURVATURE).fit()
    np.testing.assert_allclose(res.params, without.params, atol=1e-6)
    assert res.llf == pytest.approx(without.llf, rel=1e-8)
    assert res.df_resid == pytest.approx(without.df_resid, rel=1e-6)
    assert np.abs(res.predict(GRID) - np.sin(6 * GRID)).max() < 0.3
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(again.fittedvalues, res.fittedvalues)


def test_a_bisquare_between_two_curves_is_no_minimum():
    x, y = np.repeat(np.linspace(0, 1, 60), 2), np.tile([-0.5, 0.5], 60)
    model = sf.SplineRegression(sf.observe(x, y, sd=0.12), sf.BSplineBasis.uniform(0, 1, 3))
    with pytest.raises(sf.errors.ConvergenceError, match="divided between"):
        model.fit(loss="bisquare")


def test_a_band_where_the_criterion_takes_no_smoothing():
    """Functions that hardly any observation tells have wide bands; beside others their curvature is no rounding."""
    rng = np.random.default_rng([9, 35])
    x = np.sort(rng.uniform(0, 1, 50))
    y = np.sin(6 * x) + (0.2 + 0.3 * x) * rng.standard_normal(50)
    model = sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, 20), sf.DerivativePenalty(2))
    here, there = (model.fit(loss="quantile", parameter=0.1, lam=lam).get_prediction(x).se_mean for lam in (4e-20, 4e-17))
    np.testing.assert_allclose(here, there, rtol=1e-3)
