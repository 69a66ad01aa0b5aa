"""Observations without noise on a curve of the basis: the fit without penalty, its SD going to zero."""

from itertools import pairwise

import numpy as np
import pytest

import smoothfit as sf

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

X = np.linspace(0, 1, 40)
AT = np.linspace(0, 1, 101)
PENALTY = sf.DerivativePenalty(2)


def basis(n_pieces):
    return sf.BSplineBasis.uniform(0, 1, n_pieces)


@pytest.mark.parametrize("constraints", [(), sf.Increasing(), sf.Convex()], ids=["free", "increasing", "convex"])
@pytest.mark.parametrize("method", ["reml", "ml", "gcv", "aicc"])
def test_parabola(method, constraints):
    res = sf.SplineRegression(sf.observe(X, X**2, name="y"), basis(8), PENALTY, constraints).fit(method)
    np.testing.assert_allclose(res.predict(AT), AT**2, atol=1e-12)
    np.testing.assert_allclose(res.predict(AT, deriv=1), 2 * AT, atol=1e-11)
    np.testing.assert_allclose(res.predict(AT, deriv=2), 2, atol=1e-9)
    assert res.boundary == ("y",)
    assert res.sigma["y"] < 2e-8 * np.std(X**2)
    assert np.isfinite(res.llf)
    assert 0 < np.diff(np.asarray(res.get_prediction([0.5]).conf_int())) < 1e-7


def test_weight_of_the_penalty():
    """tau = r / c'Pc = (K - 2) / int f''^2, here of f'' = 2: the likeliest variance of coefficients that are known."""
    res = sf.SplineRegression(sf.observe(X, X**2), basis(8), PENALTY).fit()
    assert res.lam / res.scale == pytest.approx((11 - 2) / 4, rel=1e-9)
    assert res.edf == pytest.approx(11, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_any_unit_of_y(scale):
    res = sf.SplineRegression(sf.observe(X, scale * X**2), basis(8), PENALTY).fit()
    np.testing.assert_allclose(res.predict(AT), scale * AT**2, atol=1e-12 * scale)


@wrong
def test_bounds_that_contradict_exact_observations_leave_residuals():
    res = sf.SplineRegression(sf.observe(X, X**2, name="y"), basis(8), PENALTY, sf.Decreasing()).fit()
    np.testing.assert_allclose(res.predict(AT), np.mean(X**2), atol=1e-8)
    assert res.boundary == ()
    assert res.sigma["y"] == pytest.approx(np.std(X**2, ddof=1), rel=1e-6)


def test_little_noise_is_estimated():
    y = X**2 + 1e-6 * np.random.default_rng(0).standard_normal(40)
    res = sf.SplineRegression(sf.observe(X, y), basis(8), PENALTY).fit()
    ols = sf.SplineRegression(sf.observe(X, y), basis(8)).fit()
    assert res.boundary == ()
    assert res.scale == pytest.approx(ols.scale, rel=1e-6)


@pytest.mark.parametrize("y", [0 * X, 2 * X + 1], ids=["zero", "line"])
def test_what_no_penalty_touches_is_refused(y):
    with pytest.raises(sf.errors.DataError, match="no noise to estimate; give sd="):
        sf.SplineRegression(sf.observe(X, y), basis(8), PENALTY).fit()


@pytest.mark.parametrize("sd", [10.0, 1.0])
def test_exact_totals_of_more_functions_than_observations_have_the_smoothing_that_their_size_decides(sd):
    """As a known SD goes to zero, tau goes to (n - 2) / c'Pc with c the interpolating coefficients of the smallest penalty."""
    edges = np.arange(0, 105, 5.0)
    persons = 1e5 * (7 - 0.07 * edges[1:] + np.sin(edges[1:] / 9))
    basis = sf.BSplineBasis.uniform(0, 100, 30)
    res = sf.SplineRegression(sf.observe_integral(edges[:-1], edges[1:], persons, sd=sd), basis, PENALTY).fit()
    B, P = basis.integral(edges[:-1], edges[1:]), basis.penalty(2).toarray()
    n, K = B.shape
    system = np.block([[P, B.T], [B, np.zeros((n, n))]])
    c = np.linalg.lstsq(system, np.append(np.zeros(K), persons), rcond=1e-13)[0][:K]
    np.testing.assert_allclose(res.lam * (c @ P @ c), n - 2, rtol=1e-4)  # of order n - edf, 4e-5 at an SD of 10
    np.testing.assert_allclose([float(res.integrate(*ends)) for ends in pairwise(edges)], persons, rtol=1e-8 * sd**2)


def test_a_known_sd_below_rounding_is_named():
    x = np.linspace(0, 10, 15)
    with pytest.raises(sf.errors.ConvergenceError, match=r"sd is so small beside y.*larger sd="):
        sf.SplineRegression(sf.observe(x, np.sin(x), sd=1e-12), sf.BSplineBasis.uniform(0, 10, 40), PENALTY).fit()
