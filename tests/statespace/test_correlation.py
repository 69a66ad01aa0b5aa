"""Estimated correlations of the noise of two series: dense algebra, the fit with that covariance, and where they cannot be."""

import pickle

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.statespace.general_search import GeneralCriterion

PAIR = ("height", "speed")
NAME = "correlation.height.speed"
TRUTH = 0.6


def pair(n=60, sds=(0.3, 0.2), weights=None, given=False, correlation=TRUTH):
    """Observations of a sine and of its slope at the same x, with correlated noise."""
    rng = np.random.default_rng(3)
    x, sds = np.sort(rng.uniform(0, 9, n)), np.array(sds)
    e = rng.multivariate_normal([0, 0], np.outer(sds, sds) * [[1, correlation], [correlation, 1]], n)
    known = sds if given else (None, None)
    first = sf.observe(x, np.sin(x) + e[:, 0], sd=known[0], weights=weights, name="height")
    return first + sf.observe(x, np.cos(x) + e[:, 1] / (1 if weights is None else np.sqrt(weights)), 1, sd=known[1], name="speed")


def estimated(obs, **options):
    return sf.SmoothingSpline(obs, order=3, covariances={PAIR: "estimate"}, **options)


@pytest.fixture(scope="module")
def fitted():
    return estimated(pair()).fit()


def dense(res, sds, correlation):
    """Restricted -2 log-likelihood, up to a constant, and the fitted values."""
    x, q, y = res.observations["height"].x + 5, res.params["q"], res.observations.y
    s, t = np.meshgrid(x, x, indexing="ij")
    low, high = np.minimum(s, t), np.maximum(s, t)
    of_values = low**3 * (10 * high**2 - 5 * high * low + low**2) / 120
    by_t = np.where(s <= t, s**3 * (20 * t - 5 * s) / 120, (30 * t**2 * s**2 - 20 * t**3 * s + 5 * t**4) / 120)
    of_slopes = low**3 / 3 + low**2 * (high - low) / 2
    root = [np.broadcast_to(sd, x.shape) for sd in sds]
    cross = np.diag(correlation * root[0] * root[1])
    noise = np.block([[np.diag(root[0] ** 2), cross], [cross, np.diag(root[1] ** 2)]])
    V = q * np.block([[of_values, by_t], [by_t.T, of_slopes]]) + noise
    X = np.vstack([np.vander(x, 3), np.column_stack([2 * x, np.ones_like(x), np.zeros_like(x)])])
    A = X.T @ np.linalg.solve(V, X)
    rest = y - X @ np.linalg.solve(A, X.T @ np.linalg.solve(V, y))
    weighted = np.linalg.solve(V, rest)
    return np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] + rest @ weighted, y - noise @ weighted


@pytest.mark.parametrize("case", ["unknown", "known", "weights"])
def test_likelihood_scores_and_fitted_values_are_those_of_dense_algebra(case, fitted):
    weights = np.linspace(0.5, 2, 60) if case == "weights" else None
    res = fitted if case == "unknown" else estimated(pair(given=case == "known", weights=weights)).fit()
    criterion, theta = GeneralCriterion(res.model.specification, "reml"), res.optimum.theta
    roots = (1.0 if weights is None else 1 / np.sqrt(weights), 1.0)
    names = [p.name for p in res.model.specification.parameters]
    at = dense(res, [sd * root for sd, root in zip(res.sigma, roots, strict=True)], res.params[NAME])
    np.testing.assert_allclose(res.fittedvalues, at[1], rtol=1e-6, atol=1e-7)
    assert np.abs(criterion.gradient(theta)[1]).max() < 1e-3
    step = 0.3 * np.array([name != "q" for name in names])
    moved = theta + step
    sds = [sd * root * (np.exp(0.15) if case != "known" else 1.0) for sd, root in zip(res.sigma, roots, strict=True)]

    def there(h):
        return dense(res, sds, np.tanh(np.arctanh(res.params[NAME]) + 0.3 + h))[0]

    ours = criterion.values(np.array([theta, moved]))
    assert ours[1] - ours[0] == pytest.approx(there(0) - at[0], rel=1e-6)
    assert criterion.gradient(moved)[1][names.index(NAME)] == pytest.approx((there(1e-4) - there(-1e-4)) / 2e-4, rel=1e-5)


def test_all_scores_are_differences_of_values(fitted):
    criterion, theta = GeneralCriterion(fitted.model.specification, "reml"), fitted.optimum.theta + np.array([0.2, -0.1, 0.3, 0.1])
    ends = [criterion.values(theta + sign * 1e-4 * np.eye(4)) for sign in (1, -1)]
    np.testing.assert_allclose(criterion.gradient(theta)[1], (ends[0] - ends[1]) / 2e-4, rtol=1e-6, atol=1e-6)


def test_a_fit_is_that_with_its_covariance_given(fitted):
    a, b = fitted.sigma
    c = fitted.params[NAME] * a * b
    prior = sf.priors.IntegratedWiener(3, q=fitted.params["q"])
    known = sf.SmoothingSpline(pair(), prior=prior, covariances={PAIR: [[a**2, c], [c, b**2]]}).fit()
    assert fitted.llf == pytest.approx(known.llf, rel=1e-9)
    assert fitted.edf == pytest.approx(known.edf, rel=1e-9)
    for name in ("fittedvalues", "loo_resid", "resid_standardized"):
        np.testing.assert_allclose(getattr(fitted, name), getattr(known, name), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fitted.predict([2.0], deriv=1), known.predict([2.0], deriv=1), rtol=1e-9)


def test_intervals_and_tests(fitted):
    low, high = fitted.conf_int().loc[NAME]
    assert -1 < low < TRUTH < high < 1
    z = np.arctanh([low, high])
    assert z[1] - z[0] == pytest.approx(2 * 1.96 * fitted.bse[NAME] / (1 - fitted.params[NAME] ** 2), rel=0.2)
    assert fitted.t_test(f"{NAME} = 0").pvalue < 1e-3
    assert NAME in fitted.summary().as_text()
    assert pickle.loads(pickle.dumps(fitted)).params.equals(fitted.params)
    assert len(fitted.plot_hyperparameters()) == 4
    assert fitted.misfits == ()


def test_noise_without_correlation_is_found_so():
    res = estimated(pair(correlation=0.0)).fit()
    assert abs(res.params[NAME]) < 3 * res.bse[NAME] < 0.5
    assert res.aic > sf.SmoothingSpline(pair(correlation=0.0), order=3).fit().aic


def test_correlations_that_cannot_be_are_named_with_the_way_out(fitted):
    three = pair() + sf.observe(pair()["speed"].x, np.ones(60), name="more")
    with pytest.raises(SpecificationError, match="between two series; pass a pair"):
        sf.SmoothingSpline(three, order=3, covariances={(*PAIR, "more"): "estimate"})
    with pytest.raises(SpecificationError, match="'guess'; pass a covariance, or"):
        sf.SmoothingSpline(pair(), order=3, covariances={PAIR: "guess"})
    with pytest.raises(DataError, match="each x has one of each"):
        sf.SmoothingSpline(pair() + sf.observe([1.0], [1.0], name="speed", deriv=1), order=3, covariances={PAIR: "estimate"})
    with pytest.raises(SpecificationError, match=r"which lam does not support; .* covariance itself"):
        estimated(pair()).fit(lam=1.0)
    with pytest.raises(SpecificationError, match="which a robust loss does not support"):
        estimated(pair()).fit(robust=True)
    with pytest.raises(SpecificationError, match="which a stream does not support"):
        fitted.online(lag=5)
    height = sf.observe(pair()["height"].x, pair()["height"].y, name="height", lag="estimate")
    speed = sf.observe(pair()["speed"].x, pair()["speed"].y, 1, name="speed")
    with pytest.raises(SpecificationError, match="lag='estimate', which covariances= of it does not support"):
        sf.SmoothingSpline(height + speed, order=3, covariances={PAIR: "estimate"})
