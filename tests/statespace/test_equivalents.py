"""Smoothing splines that are dense Gaussian processes, spline regressions, Fourier series or generalised least squares."""

import itertools
from math import factorial

import numpy as np
import pytest
from mpmath import mp

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.statespace.general_search import GeneralCriterion
from smoothfit.statespace.specification import Specification

pri = sf.priors


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
@pytest.mark.parametrize("mean", ["zero", "constant"])
def test_matern_is_the_dense_gaussian_process(nu, mean):
    rng = np.random.default_rng(int(nu))
    x = rng.uniform(0, 4, 40)
    y = np.sin(2 * x) + 0.1 * rng.standard_normal(40)
    kernel = {0.5: sf.gp.Matern12, 1.5: sf.gp.Matern32, 2.5: sf.gp.Matern52}[nu]
    gp = sf.GaussianProcess(x, y, kernel=kernel(length_scale=0.6, amplitude=1.2), sd=0.1, mean=mean).fit(route="dense")
    prior = pri.Matern(nu, length_scale=0.6, amplitude=1.2)
    res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1), prior=prior if mean == "zero" else prior + pri.Polynomial(0)).fit()
    places = np.linspace(-1, 5, 31)
    dense = gp.get_prediction(places)
    found = res.get_prediction(places)
    np.testing.assert_allclose(found.predicted_mean, dense.predicted_mean, atol=1e-9)
    np.testing.assert_allclose(found.se_mean, dense.se_mean, rtol=1e-9)
    assert res.llf == pytest.approx(gp.llf, abs=1e-9)
    if nu > 1:
        np.testing.assert_allclose(res.predict(places, deriv=1), gp.predict_gradient(places).mean[:, 0], atol=1e-9)


def test_integrals_are_those_of_spline_regression():
    rng = np.random.default_rng(4)
    edges = np.linspace(0, 5, 21)
    y = np.array([np.cos(a) - np.cos(b) for a, b in itertools.pairwise(edges)]) + 0.01 * rng.standard_normal(20)
    obs = sf.observe_integral(edges[:-1], edges[1:], y, sd=0.02)
    q = 1.5
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(2, q=q)).fit()
    # The posterior mean is a spline of degree 4 with knots at the edges.
    basis = sf.BSplineBasis(np.r_[[0] * 4, edges, [5] * 4], degree=4)
    fit = sf.SplineRegression(obs, basis, penalty=sf.DerivativePenalty(2)).fit(lam=1 / q)
    places = np.linspace(0, 5, 41)
    np.testing.assert_allclose(res.predict(places), fit.predict(places), atol=1e-9)


def test_differences_of_spline_regression():
    d = sf.observe_difference([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 2.0, 1.0], sd=0.1)
    obs = d + sf.observe([0.0, 0.5, 2.0, 2.2], [1.0, 0.0, 1.0, 2.0], sd=0.1)
    fit = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 3, 3), sf.DerivativePenalty(2)).fit(lam=1.0)
    np.testing.assert_allclose(fit.fittedvalues[:3], fit.predict([1.0, 2.0, 3.0]) - fit.predict([0.0, 1.0, 2.0]), atol=1e-13)
    # ten knots a unit: the smoothing spline of the same prior
    dense = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 3, 30), sf.DerivativePenalty(2)).fit(lam=1.0)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(2, q=1.0)).fit()
    np.testing.assert_allclose(res.predict(np.linspace(0, 3, 13)), dense.predict(np.linspace(0, 3, 13)), atol=1e-9)


def periodic_readings():
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 3, 25)
    return x, np.sin(2 * np.pi * x / 2.0) + 0.1 * rng.standard_normal(25)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_periodic_spline_is_the_fourier_solution(order):
    x, y = periodic_readings()
    T, sd = 2.0, 0.1
    obs = sf.observe(x, y, sd=sd)
    model = sf.SmoothingSpline(obs, order=order, prior=None, period=T)
    res = model.fit()
    q = res.q
    # Dense: a free constant, and the periodic kernel q sum_k 2 / (T w_k^(2m)) cos w_k r as a Bernoulli polynomial.
    factor = (-1) ** (order + 1) * q * T ** (2 * order - 1) / factorial(2 * order)
    kernel = np.vectorize(lambda r: factor * float(mp.bernpoly(2 * order, (r / T) % 1.0)))
    K = kernel(x[:, None] - x) + sd**2 * np.eye(len(x))
    places = np.linspace(-1, 4, 23)
    one = np.ones(len(x))
    Ki = np.linalg.inv(K)
    level = one @ Ki @ y / (one @ Ki @ one)
    mean = level + kernel(places[:, None] - x) @ Ki @ (y - level)
    np.testing.assert_allclose(res.predict(places), mean, atol=1e-9)
    P = Ki - np.outer(Ki @ one, Ki @ one) / (one @ Ki @ one)
    _, log_det = np.linalg.slogdet(K)
    expected = -0.5 * ((len(x) - 1) * np.log(2 * np.pi) + log_det + np.log(one @ Ki @ one / len(x)) + y @ P @ y)
    assert res.llf == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose(res.predict(places), res.predict(places + T), atol=1e-10)


def test_large_states_take_the_general_path():
    """Beyond eight components the kernel's loops have run-time bounds: against generalised least squares, and the score."""

    rng = np.random.default_rng(18)
    n, p = 60, 9
    x = np.sort(rng.uniform(0, 10, n))
    W = rng.standard_normal((n, p))
    y = np.sin(x) + W @ np.arange(p) / 5 + 0.1 * rng.standard_normal(n)
    columns = {f"w{j}": W[:, j] for j in range(p)}
    res = sf.SmoothingSpline(sf.observe(x, y, sd=0.1), prior=pri.Matern(1.5, 1.0, 1.2), regressors=columns).fit()
    r = np.sqrt(3) * np.abs(x[:, None] - x)
    K = 1.44 * (1 + r) * np.exp(-r) + 0.01 * np.eye(n)
    root = np.linalg.cholesky(K)
    A, b = np.linalg.solve(root, W), np.linalg.solve(root, y)
    coef, rss = np.linalg.lstsq(A, b)[:2]
    np.testing.assert_allclose(res.params, coef, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(res.cov_params(), np.linalg.inv(A.T @ A), rtol=1e-8, atol=1e-12)
    log_det = 2 * np.log(np.diag(root)).sum() + np.linalg.slogdet(A.T @ A)[1] - np.linalg.slogdet(W.T @ W)[1]
    assert res.llf == pytest.approx(-0.5 * ((n - p) * np.log(2 * np.pi) + log_det + rss[0]), abs=1e-9)
    draws = res.sample([2.0, 5.0], size=2000, rng=0)
    assert np.abs(draws.var(axis=0) / res.get_prediction([2.0, 5.0]).var_pred_mean - 1).max() < 4.5 * np.sqrt(2 / 2000)

    criterion = GeneralCriterion(Specification(sf.observe(x, y), pri.Matern(1.5), columns), "reml")
    theta = np.zeros(3)
    h = 1e-3 * np.eye(3)
    for i, slope in enumerate(criterion.gradient(theta)[1]):
        v = criterion.values(np.array([2 * h[i], h[i], -h[i], -2 * h[i]]))
        assert slope == pytest.approx((8 * (v[1] - v[2]) - (v[0] - v[3])) / 12e-3, rel=1e-7)

    with pytest.raises(SpecificationError, match="a state of 62 components"):
        sf.SmoothingSpline(sf.observe(x, y), prior=pri.Matern(1.5), regressors={f"w{j}": rng.standard_normal(n) for j in range(60)})
