"""Correlated errors: against statsmodels' GLS, dense formulas, brute-force deletion and differences of the likelihood."""

import pickle

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.regression.correlated import Profile
from smoothfit.regression.criteria import LIKELIHOODS

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(12)
N = 90
X = np.sort(RNG.uniform(0, 10, N))
BASIS = sf.BSplineBasis.uniform(0, 10, 12)
CURVATURE = sf.DerivativePenalty(2)


def ou_errors(x, timescale, rng):
    C = np.exp(-np.abs(x[:, None] - x) / timescale)
    return np.linalg.cholesky(C) @ rng.standard_normal(len(x))


Y = np.sin(X) + 0.3 * ou_errors(X, 0.5, RNG)
SLOPES = np.cos(X) + 0.2 * RNG.standard_normal(N)
ORDER = RNG.permutation(N)  # observations come in any order
OBS = sf.observe(X[ORDER], Y[ORDER], name="y")
SEVERAL = OBS + sf.observe(X, SLOPES, deriv=1, sd=0.2, weights=np.linspace(0.5, 2, N), name="dy")


def correlation(kind, x):
    rank = np.argsort(np.argsort(x, kind="stable")).astype(float)
    if isinstance(kind, sf.AR1):
        return kind.rho ** np.abs(rank[:, None] - rank)
    return np.exp(-np.abs(x[:, None] - x) / kind.timescale)


def dense(res):
    """Rows, noise covariance and penalty of a fit of values `y` and, maybe, independent slopes."""
    parts, noise = [], []
    for reading, sigma in zip(res.observations.readings, res.sigma, strict=True):
        parts.append(BASIS.design(reading.x, reading.deriv, sparse=False))
        kind = res.errors.get(reading.name)
        C = np.eye(len(reading)) if kind is None else correlation(kind, reading.x)
        sd = sigma / np.sqrt(np.ones(len(reading)) if reading.weights is None else reading.weights)
        noise.append(sd[:, None] * C * sd)
    n = [len(part) for part in parts]
    V = np.zeros((sum(n), sum(n)))
    for start, own in zip(np.cumsum([0, *n[:-1]]), noise, strict=True):
        V[start : start + len(own), start : start + len(own)] = own
    return np.vstack(parts), V, res.lam / res.scale * CURVATURE.matrix(BASIS).toarray()


def restricted(B, V, S, y):
    """Harville's restricted log-likelihood and the estimate, with every matrix dense."""
    Q = np.linalg.inv(V)
    A = B.T @ Q @ B + S
    values, axes = np.linalg.eigh(S)
    N_ = axes[:, :2]  # what the curvature does not see
    c = np.linalg.solve(A, B.T @ Q @ y)
    least = (y - B @ c) @ Q @ (y - B @ c) + c @ S @ c
    log_dets = [np.linalg.slogdet(matrix)[1] for matrix in (V, A, N_.T @ B.T @ B @ N_)]
    deviance = (len(y) - 2) * np.log(2 * np.pi) + log_dets[0] + log_dets[1] - np.log(values[2:]).sum() - log_dets[2] + least
    return -deviance / 2, c, A


# A given covariance ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def covariance():
    root = np.random.default_rng(76).standard_normal((N, N))
    return root @ root.T / N + 0.3 * np.eye(N)


def test_a_given_covariance_is_generalised_least_squares(covariance):
    ours = sf.SplineRegression(sf.observe(X, Y), BASIS, errors=covariance).fit("ols")
    theirs = sm.GLS(Y, BASIS.design(X, sparse=False), sigma=covariance).fit()
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-10)
    np.testing.assert_allclose(ours.conf_int(0.1), theirs.conf_int(0.1), rtol=1e-9, atol=1e-10)
    for name in ("llf", "scale", "df_resid"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-10)
    assert ours.aic == pytest.approx(theirs.aic + 2, rel=1e-10)  # the scale is a parameter; statsmodels does not count it
    assert ours.bic == pytest.approx(theirs.bic + np.log(N), rel=1e-10)
    np.testing.assert_allclose(ours.resid, theirs.resid, atol=1e-10)
    assert ours.resid_whitened @ ours.resid_whitened * ours.scale == pytest.approx(theirs.wresid @ theirs.wresid, rel=1e-10)
    assert ours.sigma["f"] == pytest.approx(np.sqrt(ours.scale * np.trace(covariance) / N))


def test_with_a_known_sd_it_is_the_covariance_itself(covariance):
    res = sf.SplineRegression(sf.observe(X, Y, sd=1.0), BASIS, errors={"f": covariance}).fit("ols")
    theirs = sm.GLS(Y, BASIS.design(X, sparse=False), sigma=covariance).fit(cov_type="fixed scale", cov_kwds={"scale": 1.0})
    np.testing.assert_allclose(res.bse, theirs.bse, rtol=1e-10)
    assert not res.use_t


@wrong
def test_a_matrix_says_what_a_chain_says():
    for kind in (sf.AR1(0.6), sf.AR1(-0.4), sf.OU(0.7)):
        chain = sf.SplineRegression(OBS, BASIS, CURVATURE, errors=kind).fit()
        matrix = sf.SplineRegression(OBS, BASIS, CURVATURE, errors=correlation(kind, OBS["y"].x)).fit()
        assert chain.llf == pytest.approx(matrix.llf, rel=1e-11)
        np.testing.assert_allclose(chain.params, matrix.params, atol=1e-6)  # lam to 1e-5 of its standard error
        np.testing.assert_allclose(chain.loo_resid, matrix.loo_resid, rtol=1e-5, atol=1e-8)


# Chains ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [sf.AR1(0.6), sf.AR1(), sf.OU(0.7), sf.OU()], ids=str)
@pytest.mark.parametrize("observations", [OBS, SEVERAL], ids=["values", "slopes"])
def test_chains_are_the_dense_formulas(kind, observations):
    res = sf.SplineRegression(observations, BASIS, CURVATURE, errors={"y": kind}).fit()
    B, V, S = dense(res)
    llf, c, A = restricted(B, V, S, res.observations.y)
    assert res.llf == pytest.approx(llf, rel=1e-10)
    np.testing.assert_allclose(res.params, c, atol=1e-9)
    np.testing.assert_allclose(res.bse, np.sqrt(np.diag(np.linalg.inv(A))), rtol=1e-9)
    assert res.edf == pytest.approx(np.trace(np.linalg.solve(A, B.T @ np.linalg.solve(V, B))), rel=1e-10)
    assert res._leverage.sum() == pytest.approx(res.edf, rel=1e-10)
    np.testing.assert_allclose(res._noise_variance, np.diag(V), rtol=1e-12)
    residuals = res.resid_whitened
    assert residuals @ residuals == pytest.approx(res.resid @ np.linalg.solve(V, res.resid), rel=1e-10)


@pytest.mark.parametrize("kind", [sf.AR1(), sf.OU()], ids=str)
def test_estimates_maximise_the_dense_likelihood(kind):
    res = sf.SplineRegression(OBS, BASIS, CURVATURE, errors=kind).fit()
    estimated = res.errors["y"]
    S0, B, y = CURVATURE.matrix(BASIS).toarray(), BASIS.design(OBS["y"].x, sparse=False), OBS["y"].y

    def deviance(logs):
        C = correlation(estimated.at(logs[2]), OBS["y"].x)
        return -2 * restricted(B, np.exp(logs[1]) * C, np.exp(logs[0]) * S0, y)[0]

    found = np.array([np.log(res.lam / res.scale), np.log(res.scale), estimated.theta])
    assert deviance(found) == pytest.approx(-2 * res.llf, rel=1e-10)
    best = minimize(deviance, found + np.array([0.3, -0.2, 0.2]), method="BFGS", options={"gtol": 1e-6})
    assert -2 * res.llf <= best.fun + 1e-8
    np.testing.assert_allclose(found, best.x, atol=2e-3)  # the other search ends early
    assert res.decrement <= 1e-10
    assert res.aic == pytest.approx(-2 * res.llf + 2 * 3)  # smoothing, sd, correlation
    # By the likelihood's own curvature, all three together:
    step = 1e-3
    shifts = step * np.eye(3)
    hessian = [[_second(deviance, found, a, b) for a in shifts] for b in shifts]
    se = np.sqrt(np.linalg.inv(np.array(hessian) / step**2 / 2)[2, 2])
    assert res.error_params["bse"].iloc[0] == pytest.approx(se * estimated.by_theta, rel=1e-2)


def _second(f, x, a, b):
    return (f(x + a + b) - f(x + a - b) - f(x - a + b) + f(x - a - b)) / 4


@pytest.mark.parametrize("kind", [sf.AR1(0.6), sf.OU(0.7)], ids=str)
def test_leave_one_out_is_prediction_from_all_the_others(kind):
    res = sf.SplineRegression(SEVERAL, BASIS, CURVATURE, errors={"y": kind}).fit()
    B, V, S = dense(res)
    y, table = res.observations.y, res.influence()
    coef = res.params.to_numpy()
    for i in (0, 17, N - 1, N + 5):
        kept = np.delete(np.arange(len(y)), i)
        Q = np.linalg.inv(V[np.ix_(kept, kept)])
        c = np.linalg.solve(B[kept].T @ Q @ B[kept] + S, B[kept].T @ Q @ y[kept])
        expected = B[i] @ c + V[i, kept] @ Q @ (y[kept] - B[kept] @ c)
        assert res.loo_resid[i] == pytest.approx(y[i] - expected, rel=1e-8)
        A = B.T @ np.linalg.solve(V, B) + S
        assert table["cooks_distance"][i] == pytest.approx((coef - c) @ A @ (coef - c) / res.edf, rel=1e-7)


def test_the_score_is_the_derivative_of_the_likelihood():
    cases = [
        (SEVERAL, CURVATURE, {"y": sf.OU(), "dy": sf.AR1()}, ()),
        (OBS, None, sf.AR1(), ()),
        (OBS, CURVATURE, sf.OU(), sf.Equals(0.0, 0.0)),
        (sf.observe(X, 1 + X + 0.1 * SLOPES), CURVATURE, sf.AR1(), ()),  # lam is infinite
    ]
    for observations, penalty, errors, constraints in cases:
        model = sf.SplineRegression(observations, BASIS, penalty, constraints, errors=errors)
        for method in ("reml", "ml"):
            for lam in (None, np.array([0.01])) if penalty is not None else (None,):
                profile = Profile(
                    model.specification.rows,
                    lambda rows, m=method, w=lam, own=model: own.specification.estimated(rows, m, w),
                    LIKELIHOODS[method],
                    lam is not None,
                )
                theta = np.linspace(0.2, -0.4, len(profile.names))
                slopes = [
                    (profile.values((theta + h)[None])[0] - profile.values((theta - h)[None])[0]) / 2e-3
                    for h in 1e-3 * np.eye(len(theta))
                ]
                np.testing.assert_allclose(profile.gradient(theta)[1], slopes, rtol=1e-4, atol=2e-4)


def test_sparse_readings_fill_the_band():
    x = np.array([0.1, 0.3, 0.4, 4.9, 5.2, 9.6, 9.7, 9.9])
    y = np.array([0.0, 0.3, 0.5, -0.9, -0.8, 0.1, -0.3, -0.4])
    for kind in (sf.AR1(0.5), sf.OU(2.0), sf.OU(1e-3)):
        chain = sf.SplineRegression(sf.observe(x, y, sd=0.1), BASIS, CURVATURE, errors=kind).fit(lam=0.01)
        B, V = BASIS.design(x, sparse=False), 0.01 * correlation(kind, x)
        llf, c, _ = restricted(B, V, 0.01 * CURVATURE.matrix(BASIS).toarray(), y)
        np.testing.assert_allclose(chain.params, c, atol=1e-11)
        assert chain.llf == pytest.approx(llf, rel=1e-11)


def test_the_unit_of_x_does_not_matter():
    seconds = sf.SplineRegression(OBS, BASIS, CURVATURE, errors=sf.OU()).fit()
    obs, basis = sf.observe(1000 * X, Y, name="y"), sf.BSplineBasis.uniform(0, 10_000, 12)
    millis = sf.SplineRegression(obs, basis, CURVATURE, errors=sf.OU()).fit()
    assert millis.llf == pytest.approx(seconds.llf, rel=1e-10)
    assert millis.edf == pytest.approx(seconds.edf, rel=1e-5)
    assert millis.errors["y"].timescale == pytest.approx(1000 * seconds.errors["y"].timescale, rel=1e-4)
    np.testing.assert_allclose(millis.predict(1000 * X, deriv=1) * 1000, seconds.predict(X, deriv=1), rtol=1e-4, atol=1e-5)


def test_independent_errors_are_found_independent():
    y = np.sin(X) + 0.3 * np.random.default_rng(4).standard_normal(N)
    plain = sf.SplineRegression(sf.observe(X, y), BASIS, CURVATURE).fit()
    res = sf.SplineRegression(sf.observe(X, y), BASIS, CURVATURE, errors=sf.AR1()).fit()
    low, high = res.error_params.loc["f rho", ["ci_lower", "ci_upper"]]
    assert low < 0 < high
    assert 0 <= 2 * (res.llf - plain.llf) < 4


@wrong
def test_correlated_errors_do_not_become_part_of_the_curve():
    truth, edf = np.sin(X), []
    rng = np.random.default_rng(5)
    for _ in range(5):
        y = truth + 0.3 * ou_errors(X, 1.0, rng)
        model = [sf.SplineRegression(sf.observe(X, y), BASIS, CURVATURE, errors=errors) for errors in (None, sf.OU())]
        edf.append([own.fit().edf for own in model])
    assert (np.diff(edf, axis=1) < 0).all()


@pytest.mark.parametrize("method", ["gcv", "aicc"])
def test_prediction_criteria_take_the_correlation_of_reml(method):
    model = sf.SplineRegression(OBS, BASIS, CURVATURE, errors=sf.AR1())
    assert model.fit(method).errors["y"].rho == model.fit().errors["y"].rho == model.fit(edf=8).errors["y"].rho
    assert model.fit(edf=8).edf == pytest.approx(8)


# What follows ------------------------------------------------------------------------------------------------------------------


def whitened_ols(kind):
    """statsmodels' OLS of observations made independent, in order of x."""
    L = np.linalg.cholesky(correlation(kind, X))
    return sm.OLS(np.linalg.solve(L, Y), np.linalg.solve(L, BASIS.design(X, sparse=False)))


@pytest.mark.parametrize(("cov_type", "options"), [*((f"HC{i}", {}) for i in range(4)), ("HAC", {"maxlags": 3})])
def test_sandwiches_are_those_of_innovations(cov_type, options):
    kind = sf.OU(0.5)
    model = sf.SplineRegression(OBS, BASIS, errors=kind)
    if cov_type == "HC3":  # of leverages up to 0.99997: innovations of a steady curve
        with pytest.warns(sf.errors.LeverageWarning, match=r"leverage is 0\.9999"):
            ours = model.fit("ols", cov_type=cov_type)
    else:
        ours = model.fit("ols", cov_type=cov_type, cov_kwds=options)
    theirs = whitened_ols(kind).fit(cov_type=cov_type, cov_kwds=options)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-8)


def test_clusters_are_independent_or_refused(covariance):
    groups = np.arange(N) // 10
    blocks = np.where(groups[:, None] == groups, covariance, 0.0)
    ours = sf.SplineRegression(sf.observe(X, Y), BASIS, errors=blocks).fit("ols", cov_type="cluster", cov_kwds={"groups": groups})
    root = np.linalg.cholesky(blocks)
    theirs = sm.OLS(np.linalg.solve(root, Y), np.linalg.solve(root, BASIS.design(X, sparse=False)))
    theirs = theirs.fit(cov_type="cluster", cov_kwds={"groups": groups})
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-8)
    for errors in (sf.AR1(0.5), covariance):
        model = sf.SplineRegression(sf.observe(X, Y), BASIS, errors=errors)
        with pytest.raises(SpecificationError, match="correlate across"):
            model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    with pytest.raises(SpecificationError, match="how it is factored"):
        sf.SplineRegression(sf.observe(X, Y), BASIS, errors=covariance).fit(cov_type="HC1")


def test_bootstrap_draws_have_the_frequentist_spread():
    res = sf.SplineRegression(OBS, BASIS, CURVATURE, errors=sf.AR1(0.6)).fit(cov_type="frequentist")
    draws = res.bootstrap([2.0, 5.0, 8.0], size=2000, rng=1)
    np.testing.assert_allclose(draws.bse, res.get_prediction([2.0, 5.0, 8.0]).se_mean, rtol=0.08)


def test_constraints_and_bands_go_with_correlated_errors():
    res = sf.SplineRegression(OBS, BASIS, CURVATURE, sf.Bounds(upper=0.6), errors=sf.AR1()).fit()
    assert res.predict(np.linspace(0, 10, 2001)).max() <= 0.6 + 1e-9
    assert res.edf == pytest.approx(res._leverage.sum())
    prediction = res.get_prediction([5.0], name="y")
    assert prediction.se_obs[0] == pytest.approx(np.hypot(prediction.se_mean[0], res.sigma["y"]))


def test_results_pickle_and_tell():
    res = sf.SplineRegression(SEVERAL, BASIS, CURVATURE, errors={"y": sf.OU(), "dy": np.eye(N)}).fit()
    again = pickle.loads(pickle.dumps(res))
    pd.testing.assert_frame_equal(again.error_params, res.error_params)
    np.testing.assert_array_equal(again.loo_resid, res.loo_resid)
    text = str(res.summary())
    assert "errors of y: OU, timescale = " in text
    assert "errors of dy: a given covariance" in text
    assert list(res.errors) == ["y", "dy"]


def test_formulas_take_errors():
    df = pd.DataFrame({"x": X, "y": Y, "dy": SLOPES})
    res = sf.SplineRegression.from_formula("y + D(dy) ~ bsp(x, df=9)", df, errors={"y": sf.OU(), "dy": sf.AR1(0.0)}).fit()
    assert list(res.error_params.index) == ["y timescale"]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.AR1(1.0), SpecificationError, "between -1 and 1"),
        (lambda: sf.OU(-2), SpecificationError, "timescale is -2"),
        (lambda: sf.SplineRegression(SEVERAL, BASIS, errors=sf.AR1()), SpecificationError, "2 names; pass {name"),
        (lambda: sf.SplineRegression(OBS, BASIS, errors={"z": sf.AR1()}), SpecificationError, "'z'; the observations are named y"),
        (lambda: sf.SplineRegression(OBS, BASIS, errors=np.eye(3)), DataError, r"shape \(3, 3\); pass sf.AR1\(\)"),
        (lambda: sf.SplineRegression(OBS, BASIS, errors=np.triu(np.ones((N, N)))), DataError, "not symmetric"),
        (lambda: sf.SplineRegression(OBS, BASIS, errors=np.ones((N, N))), DataError, "not positive definite"),
        (lambda: sf.SplineRegression(OBS, BASIS, errors=-np.eye(N)), DataError, r"\[0, 0\] is -1; variances are positive"),
        (lambda: sf.SplineRegression(OBS, BASIS, errors=np.full((N, N), np.nan)), DataError, r"\[0, 0\] is nan"),
        (lambda: sf.SplineRegression(sf.observe([1, 1, 2], [1, 2, 3]), BASIS, CURVATURE, errors=sf.OU()), DataError, "x = 1"),
        (lambda: sf.SplineRegression(OBS, BASIS, errors=sf.AR1()).fit(loss="huber"), SpecificationError, "one by one"),
    ],
)
def test_bad_errors_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
