"""Influence of observations, against refits without each and against statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import smoothfit as sf
from smoothfit.errors import SpecificationError

RNG = np.random.default_rng(0)
N = 40
X = np.sort(RNG.uniform(0, 1, N))
Y = np.sin(6 * X) + 0.1 * RNG.standard_normal(N)
BASIS = sf.BSplineBasis.uniform(0, 1, 12)


def test_without_a_penalty_it_is_that_of_statsmodels():
    ours = sf.SplineRegression(sf.observe(X, Y), BASIS).fit("ols").get_influence()
    theirs = sm.OLS(Y, BASIS.design(X, sparse=False)).fit().get_influence()
    expected = theirs.summary_frame()
    found = ours.summary_frame()
    pd.testing.assert_frame_equal(found, expected[found.columns], rtol=1e-7)
    for name in ("cooks_distance", "dffits", "dffits_internal"):
        for mine, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-7)


def dense_scale(x, y, lam):
    """REML's noise sd and hat matrix of a cubic smoothing spline at lam, by dense algebra."""
    low, high = np.minimum(x[:, None], x), np.maximum(x[:, None], x)
    inverse = np.linalg.inv(np.eye(len(x)) + (low**2 * high / 2 - low**3 / 6) / lam)
    line = np.column_stack([np.ones_like(x), x])
    P = inverse - inverse @ line @ np.linalg.solve(line.T @ inverse @ line, line.T @ inverse)
    return np.sqrt(y @ P @ y / (len(x) - 2)), np.eye(len(x)) - P


@pytest.mark.parametrize("i", [0, 7])
def test_external_residuals_and_distances_are_those_of_a_spline_without_the_observation(i):
    res = sf.SmoothingSpline(sf.observe(X, Y)).fit()
    found = res.get_influence()
    kept = np.arange(N) != i
    sd, hat = dense_scale(X, Y, res.lam)
    sd_without, _ = dense_scale(X[kept], Y[kept], res.lam)
    refitted = sf.SmoothingSpline(sf.observe(X[kept], Y[kept])).fit(lam=res.lam)
    deleted = Y[i] - refitted.predict(X[i])
    assert found.hat_matrix_diag[i] == pytest.approx(hat[i, i], rel=1e-6)
    assert found.resid_studentized_internal[i] == pytest.approx(deleted * np.sqrt(1 - hat[i, i]) / sd, rel=1e-6)
    assert found.resid_studentized_external[i] == pytest.approx(deleted * np.sqrt(1 - hat[i, i]) / sd_without, rel=1e-6)
    change = res.predict(X) - refitted.predict(X)  # of all fitted values, whose posterior covariance is sd^2 H
    distance = change @ np.linalg.lstsq(hat, change, rcond=1e-12)[0] / sd**2 / res.edf
    assert found.cooks_distance[0][i] == pytest.approx(distance, rel=1e-5)


def test_rows_have_the_index_of_the_data_and_known_noise_has_one_residual():
    y = pd.Series(Y, index=np.arange(N) * 2, name="y").where(np.arange(N) != 5)
    found = sf.SmoothingSpline(sf.observe(X, y, sd=0.1)).fit().get_influence()
    frame = found.summary_frame()
    pd.testing.assert_index_equal(frame.index, y.index)
    assert frame.iloc[5].isna().all()
    np.testing.assert_array_equal(found.resid_studentized_internal, found.resid_studentized_external)


def test_quantiles_have_none():
    with pytest.raises(SpecificationError, match="influence"):
        sf.SplineRegression(sf.observe(X, Y), BASIS).fit(loss="quantile", parameter=0.5).get_influence()
