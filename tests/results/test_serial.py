"""One-step-ahead prediction errors: against dense algebra, and their autocorrelations under the right model."""

import numpy as np
import pytest
from scipy.linalg import solve_triangular
from scipy.signal import lfilter

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.results.serial import autocorrelations, limits, ljung_box

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")


def two_series(seed=0, n=30):
    """Values at irregular x with ties, also of the first one, and slopes."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.random(n))
    x[1], x[7] = x[0], x[6]
    values = sf.observe(x, np.sin(6 * x) + 0.2 * rng.standard_normal(n), name="values")
    at = rng.permutation(x[::3])
    slopes = sf.observe(at, 6 * np.cos(6 * at) + 0.5 * rng.standard_normal(len(at)), deriv=1, sd=0.5, name="slopes")
    return values + slopes


def wiener(s, t, j, k):
    """Covariance of f^(j)(s) and f^(k)(t) of a once integrated Wiener process of intensity one that starts at zero."""
    low = np.minimum(s, t)
    if (j, k) == (0, 0):
        return low**2 * (3 * np.maximum(s, t) - low) / 6
    if (j, k) == (1, 1):
        return low
    place, rate = (s, t) if j == 0 else (t, s)
    return np.where(rate < place, rate * place - rate**2 / 2, place**2 / 2)


def kriged(y, K, X):
    """Errors of the best linear unbiased prediction of each y from those before it, over their SDs; NaN where there is none."""
    found = np.full(len(y), np.nan)
    for i in range(1, len(y)):
        L = np.linalg.cholesky(K[:i, :i])
        A, b, k = (solve_triangular(L, part, lower=True) for part in (X[:i], y[:i], K[:i, i]))
        if np.linalg.matrix_rank(A) < X.shape[1] and np.linalg.matrix_rank(np.vstack([X[:i], X[i]])) > np.linalg.matrix_rank(X[:i]):
            continue
        beta = np.linalg.lstsq(A, b, rcond=None)[0]
        gap = X[i] - k @ A
        variance = K[i, i] - k @ k + gap @ np.linalg.pinv(A.T @ A) @ gap
        found[i] = (y[i] - k @ b - gap @ beta) / np.sqrt(variance)
    return found


def dense_errors(results, observations):
    """Those of a smoothing spline of order two, by kriging."""
    x, y, deriv = (
        observations.x,
        observations.y,
        np.repeat([r.deriv for r in observations.readings], [len(r) for r in observations.readings]),
    )
    order = np.argsort(x, kind="stable")
    x, y, deriv = x[order] - x.min(), y[order], deriv[order]
    sds = results.sigma.to_numpy()[results.observations.series[order]]
    blocks = np.array([[wiener(x[a], x[b], deriv[a], deriv[b]) for b in range(len(x))] for a in range(len(x))])
    X = np.column_stack([deriv == 0, np.where(deriv == 0, x, 1.0)]).astype(float)
    found = np.empty(len(x))
    found[order] = kriged(y, results.q * blocks + np.diag(sds**2), X)
    return found


@pytest.mark.parametrize("prior", [None, sf.priors.IntegratedWiener(2)], ids=["order", "prior"])
def test_errors_of_a_smoothing_spline_are_those_of_kriging(prior):
    observations = two_series()
    model = sf.SmoothingSpline(observations, order=2) if prior is None else sf.SmoothingSpline(observations, prior=prior)
    results = model.fit()
    expected = dense_errors(results, observations)
    assert np.isnan(expected).sum() == 2
    np.testing.assert_allclose(results.resid_recursive, expected, rtol=1e-7, atol=1e-8)


def test_errors_of_a_regression_in_the_same_splines_are_the_same():
    rng = np.random.default_rng(3)
    x = np.linspace(0, 1, 25)
    observations = sf.observe(x, np.sin(6 * x) + 0.1 * rng.standard_normal(25), sd=0.1)
    spline = sf.SmoothingSpline(observations).fit()
    basis = sf.NaturalSplineBasis(np.concatenate([[0.0] * 3, x, [1.0] * 3]))  # contains the smoothing spline
    regression = sf.SplineRegression(observations, basis, sf.DerivativePenalty(2)).fit(lam=spline.lam)
    np.testing.assert_allclose(regression.resid_recursive, spline.resid_recursive, atol=1e-7)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(regression.resid_recursive)), [0, 1])


def recursion(results, base):
    """Recursive residuals by a QR of all rows before, of a penalised regression with independent errors."""
    rows, sds = results._fit.rows.dense(), np.sqrt(results._noise_variance)
    order = results._fit.order
    root = np.linalg.cholesky(results._fit.penalty_gram() + 1e-300 * np.eye(rows.shape[1])).T if results.lam is not None else None
    before = [] if root is None else list(root)
    y = [0.0] * len(before)
    scaled, readings = rows / sds[:, None], results.observations.y / sds
    for i in order[np.isin(order, base)]:
        before.append(scaled[i])
        y.append(readings[i])
    found = np.full(len(order), np.nan)
    for i in order[~np.isin(order, base)]:
        Q, R = np.linalg.qr(np.array(before))
        spread = solve_triangular(R, scaled[i], trans="T")
        found[i] = (readings[i] - spread @ (Q.T @ np.array(y))) / np.sqrt(1 + spread @ spread)
        before.append(scaled[i])
        y.append(readings[i])
    return found


def test_recursive_residuals_without_a_penalty_are_those_of_least_squares():
    results = sf.SplineRegression(two_series(), sf.BSplineBasis.uniform(0, 1, 5)).fit("ols")
    found = results.resid_recursive
    base = np.flatnonzero(np.isnan(found))
    assert len(base) == results.basis.n_basis
    np.testing.assert_allclose(found, recursion(results, base), atol=1e-10)
    assert np.nansum(found**2) == pytest.approx(float(np.sum(results.resid_whitened**2)), rel=1e-12)


@pytest.mark.parametrize(
    "constraints",
    [[], [sf.Equals(0.0, 0.2)], [sf.Equals(0.0, 0.2), sf.Bounds(upper=0.8)]],
    ids=["free", "equality", "active bound"],
)
def test_squares_of_errors_sum_to_what_the_fit_minimises(constraints):
    model = sf.SplineRegression(two_series(), sf.BSplineBasis.uniform(0, 1, 8), sf.DerivativePenalty(2), constraints)
    results = model.fit(lam=1e-3)
    fitted = float(np.sum(results.resid_whitened**2))
    rough = float(results._fit.coef @ results._fit.penalty_gram() @ results._fit.coef)
    assert np.nansum(results.resid_recursive**2) == pytest.approx(fitted + rough, rel=1e-8)


def test_close_first_observations_lose_no_digits():
    rng = np.random.default_rng(5)
    x = np.concatenate([1e-7 * np.arange(6), np.linspace(0.01, 1, 60)])
    observations = sf.observe(x, np.sin(6 * x) + 0.1 * rng.standard_normal(66))
    for penalty, method in ((None, "ols"), (sf.DerivativePenalty(2), "reml"), (sf.DerivativePenalty(3), "reml")):
        results = sf.SplineRegression(observations, sf.BSplineBasis.uniform(0, 1, 12), penalty).fit(method)
        rough = float(results._fit.coef @ results._fit.penalty_gram() @ results._fit.coef) if penalty is not None else 0.0
        total = float(np.sum(results.resid_whitened**2)) + rough
        assert np.nansum(results.resid_recursive**2) == pytest.approx(total, rel=1e-8)


def test_a_straight_line_has_the_recursive_residuals_of_statsmodels():
    from statsmodels.regression.linear_model import OLS
    from statsmodels.stats.diagnostic import recursive_olsresiduals

    rng = np.random.default_rng(2)
    x = np.linspace(0, 3, 40)
    y = 1 + 2 * x + rng.standard_normal(40)
    theirs = recursive_olsresiduals(OLS(y, np.column_stack([np.ones(40), x])).fit())[4]
    results = sf.SplineRegression(sf.observe(x, y, sd=1.0), sf.BernsteinBasis(1, 0, 3)).fit("ols")
    np.testing.assert_allclose(results.resid_recursive[2:], theirs[-38:], rtol=1e-9)
    assert np.isnan(results.resid_recursive[:2]).all()


def makers(observations):
    yield sf.SmoothingSpline(observations).fit()
    yield sf.SplineRegression(observations, sf.BSplineBasis.uniform(0, 1, 15), sf.DerivativePenalty(2)).fit()


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # by chance, of one of 200 fits
def test_a_nominal_test_seldom_alarms_under_the_right_model():
    """Of 100 tests at 5 % 5 reject, and more than 13 once in 1500 times; a test of smoothed residuals rejected 22 of 100."""
    rejected, beyond = np.zeros(2), []
    for seed in range(100):
        rng, n = np.random.default_rng(seed), (25, 100)[seed % 2]
        x = np.sort(rng.random(n))
        for i, results in enumerate(makers(sf.observe(x, np.sin(6 * x) + 0.2 * rng.standard_normal(n)))):
            test = results.test_serial_correlation()
            rejected[i] += test["pvalue"].iloc[0] < 0.05
            beyond.append(abs(test["lag1"].iloc[0]) > limits(n, 1)[0])
    assert (rejected <= 13).all()
    assert np.mean(beyond) <= 0.10


def test_several_series_are_tested_each_by_itself():
    rejected = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = np.sort(rng.random(60))
        observations = sf.observe(x, np.sin(6 * x) + 0.2 * rng.standard_normal(60), name="a")
        observations += sf.observe(x[::2], 6 * np.cos(6 * x[::2]) + rng.standard_normal(30), deriv=1, name="b")
        test = sf.SmoothingSpline(observations, order=3).fit().test_serial_correlation()
        assert list(test.index) == ["a", "b"]
        rejected += (test["pvalue"] < 0.05).sum()
    assert rejected <= 14  # of 120, of which 6 are expected


def test_what_the_curve_misses_is_found():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 120)
    observations = sf.observe(x, np.sin(25 * x) + 0.1 * rng.standard_normal(120))
    for results in (
        sf.SmoothingSpline(observations).fit(edf=5),
        sf.SplineRegression(observations, sf.BSplineBasis.uniform(0, 1, 15), sf.DerivativePenalty(2)).fit(edf=5),
    ):
        assert results.test_serial_correlation()["pvalue"].iloc[0] < 1e-6


def test_autocorrelations_and_their_test():
    rng = np.random.default_rng(1)
    e = lfilter([1], [1, -0.7], rng.standard_normal(500))
    found = autocorrelations(e, 4)
    centred = e - e.mean()
    np.testing.assert_allclose(found, [centred[k:] @ centred[:-k] / (centred @ centred) for k in range(1, 5)], rtol=1e-13)
    from statsmodels.stats.diagnostic import acorr_ljungbox

    theirs = acorr_ljungbox(e, lags=[4])
    np.testing.assert_allclose(ljung_box(found, 500), theirs.to_numpy()[0], rtol=1e-10)
    two = np.repeat([0, 1], 250)
    inside = sum(centred[a + 1 : a + 250] @ centred[a : a + 249] for a in (0, 250)) / (centred @ centred)
    assert autocorrelations(e, 1, two)[0] == pytest.approx(inside, rel=1e-13)


def test_options_and_refusals():
    observations = two_series(n=24)
    results = sf.SmoothingSpline(observations).fit()
    test = results.test_serial_correlation()
    assert test.loc["values", ["nobs", "lags"]].tolist() == [23, 4]
    assert np.isnan(test.loc["slopes", "pvalue"])  # of eight
    assert results.test_serial_correlation(lags=7).loc["values", "lags"] == 7
    with pytest.raises(SpecificationError, match="lags is 40; 'values' has 23 errors"):
        results.test_serial_correlation(lags=40)
    rng = np.random.default_rng(0)
    X = rng.random((60, 2))
    plane = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 1, 2), sf.BSplineBasis.uniform(0, 1, 2))
    surface = sf.SplineRegression(
        sf.observe(X, X.sum(axis=1) + 0.1 * rng.standard_normal(60)), plane, sf.DifferencePenalty(1, axis=0)
    ).fit()
    with pytest.raises(SpecificationError, match="no order"):
        surface.test_serial_correlation()
    with pytest.raises(SpecificationError, match="no order"):
        surface.resid_recursive  # noqa: B018


def test_the_picture_draws_the_errors_and_their_ranges():
    results = sf.SmoothingSpline(two_series()).fit()
    over_x, *_, correlation = results.plot_diagnostics()
    assert "one-step-ahead" in over_x.get_title()
    drawn = correlation.collections[1].get_offsets()[:, 1]
    e = results.resid_recursive[:30][np.isfinite(results.resid_recursive[:30])]
    np.testing.assert_allclose(drawn, autocorrelations(e, len(drawn)))
    assert "Ljung-Box p" in correlation.get_title()
