"""Penalised fits: against the state space, dense algebra and R's mgcv; scores, invariance."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smoothfit as sf
from smoothfit.inference.newton import curvature_of, has_hessian
from smoothfit.regression.criteria import LIKELIHOODS, PredictionCriterion

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(3)
X = np.sort(RNG.uniform(0, 1, 60))
Y = np.sin(6 * X) + 0.1 * RNG.standard_normal(60)
NATURAL = sf.NaturalSplineBasis.from_data(X, knots=X[1:-1], extrapolate="linear")
GRID = np.linspace(X[0], X[-1], 201)


@pytest.mark.parametrize("sd", [None, 0.1])
@pytest.mark.parametrize("lam", [1e-8, 1e-4, 1.0, 1e4])
def test_natural_splines_with_knots_at_the_readings_are_the_smoothing_spline(sd, lam):
    obs = sf.observe(X, Y, sd=sd, weights=None if sd else np.linspace(0.5, 2, 60))
    theirs = sf.SmoothingSpline(obs, order=2).fit(lam=lam)
    ours = sf.SplineRegression(obs, NATURAL, sf.DerivativePenalty(2)).fit(lam=lam)
    for deriv in range(3):
        se = ours.get_prediction(GRID, deriv).se_mean.max()
        np.testing.assert_allclose(ours.predict(GRID, deriv), theirs.predict(GRID, deriv), rtol=0, atol=1e-8 * se)
    np.testing.assert_allclose(ours.fittedvalues, theirs.fittedvalues, atol=1e-8 * theirs.sigma.iloc[0])
    for deriv in range(2):  # at the observations: between them the prior has no knots here
        se = theirs.get_prediction(X, deriv).se_mean
        if deriv == 0:
            np.testing.assert_allclose(ours.get_prediction(X, deriv).se_mean, se, rtol=1e-8)
    np.testing.assert_allclose(ours._leverage, theirs._leverage, rtol=1e-8)
    assert ours.edf == pytest.approx(theirs.edf, rel=1e-8)
    assert ours.scale == pytest.approx(theirs.scale, rel=1e-8)
    assert ours.llf == pytest.approx(theirs.llf, abs=1e-7)


@pytest.mark.parametrize("method", ["reml", "gcv", "aicc"])
def test_the_smoothing_is_that_of_the_state_space(method):
    obs = sf.observe(X, Y)
    theirs = sf.SmoothingSpline(obs, order=2).fit(method)
    ours = sf.SplineRegression(obs, NATURAL, sf.DerivativePenalty(2)).fit(method)
    assert ours.lam == pytest.approx(theirs.lam, rel=1e-4)  # certified to 1e-5 of a standard error
    assert ours.llf == pytest.approx(theirs.llf, abs=1e-7 if method == "reml" else 1e-4)  # only there it is stationary
    assert ours.decrement < 1e-10


def test_a_straight_line_is_a_boundary():
    rng = np.random.default_rng(6)
    obs = sf.observe(X, 2 + X + 0.1 * rng.standard_normal(60))
    theirs = sf.SmoothingSpline(obs, order=2).fit()
    ours = sf.SplineRegression(obs, NATURAL, sf.DerivativePenalty(2)).fit()
    assert theirs.boundary == ("q",)
    assert ours.boundary == ("lam",)
    assert np.isinf(ours.lam)
    np.testing.assert_allclose(ours.fittedvalues, theirs.fittedvalues, atol=1e-10)
    np.testing.assert_allclose(ours.get_prediction(GRID).se_mean, theirs.get_prediction(GRID).se_mean, rtol=1e-9)
    assert ours.llf == pytest.approx(theirs.llf, abs=1e-9)
    assert ours.edf == pytest.approx(2, abs=1e-12)
    assert "infinite" in ours.summary().as_text()


def mixed(seed=11, n=50):
    rng = np.random.default_rng(seed)
    t, u, a = (rng.uniform(0, 1, n) for _ in range(3))
    width = 0.3 * (1 - a)
    integral = (np.cos(6 * a) - np.cos(6 * (a + width))) / 6
    return (
        sf.observe(t, np.sin(6 * t) + 0.1 * rng.standard_normal(n), name="f")
        + sf.observe(u, 6 * np.cos(6 * u) + 0.5 * rng.standard_normal(n), deriv=1, name="slope", weights=rng.uniform(0.5, 2, n))
        + sf.observe_integral(a, a + width, integral / width + 0.05 * rng.standard_normal(n), mean=True, name="mean")
        + sf.observe_integral(a[:9], a[:9] + width[:9], integral[:9], sd=0.02, name="integral")
    )


BASIS = sf.BSplineBasis.uniform(0, 1, 12)
SUM = sf.DerivativePenalty(2) + sf.DifferencePenalty(1)


def dense(res):
    """The fit written out: A, its inverse, the coefficients."""
    rows = res._fit.rows
    scaled = rows.dense() / np.sqrt(res._noise_variance)[:, None]
    y = res.observations.y / np.sqrt(res._noise_variance)
    terms = res._fit.specification.penalties
    penalty = sum(tau * term.matrix(res.basis).toarray() for tau, term in zip(res._fit.estimate.tau, terms, strict=True))
    A = scaled.T @ scaled + penalty
    return scaled, A, np.linalg.solve(A, scaled.T @ y)


@pytest.mark.parametrize("penalty", [sf.DerivativePenalty(2), SUM])
def test_mixed_readings_against_dense_algebra(penalty):
    res = sf.SplineRegression(mixed(), BASIS, penalty).fit()
    scaled, A, coef = dense(res)
    inverse = np.linalg.inv(A)
    np.testing.assert_allclose(res.params, coef, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(res.cov_params(), inverse, rtol=1e-7, atol=1e-11 * inverse.max())
    assert res.edf == pytest.approx(np.trace(inverse @ scaled.T @ scaled), rel=1e-9)
    frequentist = sf.SplineRegression(mixed(), BASIS, penalty).fit(cov_type="frequentist")
    np.testing.assert_allclose(frequentist.bse**2, np.diag(inverse @ scaled.T @ scaled @ inverse), rtol=1e-6)
    np.testing.assert_allclose(res._leverage, np.diag(scaled @ inverse @ scaled.T), rtol=1e-8, atol=1e-14)
    name, n = res.observations.series, 3
    if penalty is not SUM:  # the fixed point of the variance components
        ratio = res._fit.rows.ratio
        rss, free = np.bincount(name, res.resid**2 / ratio)[:n], np.bincount(name, 1 - res._leverage)[:n]
        np.testing.assert_allclose(res.sigma.to_numpy()[:n] ** 2, rss / free, rtol=1e-4)
    value, se = float(res.integrate(0.2, 0.7)), res.integrate(0.2, 0.7).se
    row = BASIS.integral(0.2, 0.7)[0]
    assert value == pytest.approx(row @ coef, rel=1e-9)
    assert se == pytest.approx(np.sqrt(row @ inverse @ row), rel=1e-8)


def test_restricted_likelihood_is_that_of_the_marginal_distribution():
    res = sf.SplineRegression(mixed(), BASIS, sf.DerivativePenalty(2)).fit()
    rows, variance, y = res._fit.rows.dense(), res._noise_variance, res.observations.y
    S = sf.DerivativePenalty(2).matrix(BASIS).toarray() * res._fit.estimate.tau[0]
    values, axes = np.linalg.eigh(S)
    null, ranged = axes[:, :2], axes[:, 2:] / np.sqrt(values[2:])
    X = rows @ null
    K = np.diag(variance) + rows @ ranged @ ranged.T @ rows.T
    Ki_X, n = np.linalg.solve(K, X), len(y)
    information = X.T @ Ki_X
    r = y - X @ np.linalg.solve(information, Ki_X.T @ y)
    logs = [np.linalg.slogdet(M)[1] for M in (K, information, X.T @ X)]
    deviance = (n - 2) * np.log(2 * np.pi) + logs[0] + logs[1] - logs[2] + r @ np.linalg.solve(K, r)
    assert res.llf == pytest.approx(-deviance / 2, abs=1e-8)


@pytest.mark.parametrize("method", ["reml", "ml", "gcv", "aicc"])
@pytest.mark.parametrize("penalty", [sf.DerivativePenalty(2), SUM])
def test_scores_are_derivatives(method, penalty):
    system = sf.SplineRegression(mixed(), BASIS, penalty).specification.system
    p = system.n_penalties + system.unknown
    if method in LIKELIHOODS:
        criterion = LIKELIHOODS[method](system, np.full(p, -3.0), np.eye(p))
    else:
        criterion = PredictionCriterion(system, np.full(p, -3.0), np.eye(p)[: system.n_penalties], method)
    theta = np.linspace(-1, 1, len(criterion.directions))
    value, gradient, hessian = curvature_of(criterion, theta)
    h = 1e-4
    steps = h * np.eye(len(theta))
    numeric = [(criterion.value(theta + s) - criterion.value(theta - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)
    slopes = [(criterion.gradient(theta + s)[1] - criterion.gradient(theta - s)[1]) / (2 * h) for s in steps]
    tolerance = 1e-5 if has_hessian(criterion) else 2e-3  # the others difference their scores one-sidedly
    np.testing.assert_allclose(hessian, slopes, rtol=tolerance, atol=tolerance * np.abs(hessian).max())
    assert value == criterion.value(theta)


@pytest.mark.parametrize("method", ["reml", "ml", "gcv", "aicc"])
def test_several_penalties_end_at_a_stationary_point(method):
    x = np.linspace(0, 1, 200)
    y = np.sin(6 * x) + 0.2 * np.sin(60 * x) * (x > 0.5) + 0.05 * np.random.default_rng(1).standard_normal(200)
    basis = sf.BSplineBasis.uniform(0, 1, 40)
    res = sf.SplineRegression(sf.observe(x, y), basis, sf.DerivativePenalty(2) + sf.DerivativePenalty(1)).fit(method)
    assert np.shape(res.lam) == (2,)
    assert res.decrement < 1e-10


def test_edf_is_reached():
    for observations in (sf.observe(X, Y), mixed()):
        res = sf.SplineRegression(observations, BASIS, sf.DerivativePenalty(2)).fit(edf=6.5)
        assert res.edf == pytest.approx(6.5, abs=1e-8)
        if len(observations) == 60:  # with several SDs these would be estimated along another path
            again = sf.SplineRegression(observations, BASIS, sf.DerivativePenalty(2)).fit("fixed", lam=res.lam)
            np.testing.assert_allclose(again.fittedvalues, res.fittedvalues, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(-20, 20), st.integers(-20, 20), st.sampled_from(["reml", "gcv"]))
def test_units_of_x_and_y_do_not_matter(px, py, method):
    a, b = 2.0**px, 2.0**py
    penalty = sf.DerivativePenalty(2)
    one = sf.SplineRegression(sf.observe(X, Y), sf.BSplineBasis.uniform(0, 1, 12), penalty).fit(method)
    other = sf.SplineRegression(sf.observe(a * X, b * Y), sf.BSplineBasis.uniform(0, a, 12), penalty).fit(method)
    np.testing.assert_allclose(other.predict(a * GRID, deriv=1) * a / b, one.predict(GRID, deriv=1), rtol=1e-6, atol=1e-6)
    assert other.edf == pytest.approx(one.edf, rel=1e-6)
    assert other.lam / a**3 == pytest.approx(one.lam, rel=1e-5)
    assert other.sigma.iloc[0] / b == pytest.approx(one.sigma.iloc[0], rel=1e-8)
    assert other.llf == pytest.approx(one.llf - 58 * py * np.log(2), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_readings_does_not_matter(random):
    order = list(range(60))
    random.shuffle(order)
    penalty = sf.DerivativePenalty(2)
    one = sf.SplineRegression(sf.observe(X, Y), BASIS, penalty).fit(lam=1e-4)
    other = sf.SplineRegression(sf.observe(X[order], Y[order]), BASIS, penalty).fit(lam=1e-4)
    np.testing.assert_allclose(other.params, one.params, rtol=1e-10, atol=1e-12)


def test_simultaneous_bands_are_wider_and_cover_the_samples():
    res = sf.SplineRegression(sf.observe(X, Y, sd=0.1), BASIS, sf.DerivativePenalty(2)).fit()
    band = res.get_prediction(GRID, deriv=1, simultaneous=True)
    lower, upper = band.conf_int().T
    pointwise = res.get_prediction(GRID, deriv=1).conf_int()
    assert (lower < pointwise[:, 0]).all()
    draws = res.sample(GRID, deriv=1, size=4000, rng=1)
    inside = ((draws >= lower) & (draws <= upper)).all(axis=1).mean()
    assert inside == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))
    whole = res.get_prediction(GRID, deriv=1, parameters="integrated").se_mean
    np.testing.assert_allclose(draws.std(axis=0), whole, rtol=0.06)
    assert list(band.summary_frame().columns) == list(res.get_prediction(GRID).summary_frame().columns)


@pytest.mark.parametrize("kind", ["residual", "wild", "block"])
def test_bootstrap_spreads_as_the_frequentist_covariance(kind):
    x = np.linspace(0, 1, 300)
    y = np.sin(6 * x) + 0.1 * np.random.default_rng(0).standard_normal(300)
    res = sf.SplineRegression(sf.observe(x, y), BASIS, sf.DerivativePenalty(2)).fit(cov_type="frequentist")
    draws = res.bootstrap([0.3, 0.6], size=600, kind=kind, block=5, rng=2)
    np.testing.assert_allclose(draws.bse, res.get_prediction([0.3, 0.6]).se_mean, rtol=0.35 if kind == "block" else 0.15)


@wrong
def test_outliers_are_found():
    y = Y.copy()
    y[17] += 2
    res = sf.SplineRegression(sf.observe(X, y), BASIS, sf.DerivativePenalty(2)).fit()
    assert list(res.outliers().index) == [17]


def test_periodic_and_other_bases_fit():
    y = np.sin(2 * np.pi * X) + 0.05 * RNG.standard_normal(60)
    for basis in (
        sf.PeriodicBSplineBasis.uniform(0, 1, 15),
        sf.MSplineBasis.uniform(0, 1, 10),
        sf.BoundaryConditionBasis(sf.BSplineBasis.uniform(0, 1, 12), left=[{0: 1.0}]),
        sf.ISplineBasis.uniform(0, 1, 8),
    ):
        res = sf.SplineRegression(sf.observe(X, y), basis, sf.DerivativePenalty(2)).fit()
        assert np.abs(res.predict(GRID) - np.sin(2 * np.pi * GRID)).max() < 0.2
        _, _, coef = dense(res)
        np.testing.assert_allclose(basis.design(GRID) @ coef, res.predict(GRID), atol=1e-8)
    fourier = sf.SplineRegression(sf.observe(X, y), sf.FourierBasis(1.0, 3)).fit("ols")
    assert np.abs(fourier.predict(GRID) - np.sin(2 * np.pi * GRID)).max() < 0.1


def test_times_are_counted_in_their_unit():
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(50), unit="h")
    obs = sf.observe(times, np.sin(np.arange(50) / 8), sd=0.1, unit="h")
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 49, 10), sf.DerivativePenalty(2)).fit()
    assert float(res.predict(pd.Timestamp("2024-01-02"))) == pytest.approx(np.sin(3), abs=0.05)
