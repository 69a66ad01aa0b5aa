"""Limits of the smoothing under bounds and on exact data: lines under Convex(), interpolants, and crossings that bounds forbid."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import ConvergenceError, SpecificationError

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

X = np.linspace(0, 1, 40)
CURVATURE = sf.DerivativePenalty(2)


def noise(seed, n):
    return 0.1 * np.random.default_rng([4, seed]).standard_normal(n)


@pytest.mark.parametrize("level", [0.0, 1e3])
@pytest.mark.parametrize("pieces", [5, 20, 60])
def test_a_line_is_convex_and_concave(level, pieces):
    """Where smoothing is without end the curve is the least-squares line, whose curvature is rounding."""
    n, infinite = 50, 0
    x = np.linspace(0, 1, n)
    for seed in range(4):
        y = level + 2 * x + noise(seed, n)
        model = [
            sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, pieces), CURVATURE, c) for c in ((), sf.Convex())
        ]
        if np.isfinite(model[0].fit().lam):
            continue
        infinite += 1
        line = np.polyval(np.polyfit(x, y - level, 1), x) + level
        for constraint in (sf.Convex(), sf.Concave(), [sf.Increasing(), sf.Convex()]):
            res = sf.SplineRegression(sf.observe(x, y), model[0].basis, CURVATURE, constraint).fit()
            np.testing.assert_allclose(res.fittedvalues, line, rtol=0, atol=1e-11 * max(1, level))
            assert res.edf == pytest.approx(2, abs=1e-9)
    assert infinite


@pytest.mark.parametrize("lam", [1.0, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("pieces", [20, 60])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.PrecisionWarning")  # of digits enough
def test_the_minimum_is_found_whatever_the_smoothing(lam, pieces):
    """Where the observations fall, the nearest rising curve is their mean."""
    y = -2 * X + noise(3, 40)
    for constraint in (sf.Increasing(), [sf.Increasing(), sf.Convex()], sf.Unimodal(mode=0.99)):
        res = sf.SplineRegression(sf.observe(X, y), sf.BSplineBasis.uniform(0, 1, pieces), CURVATURE, constraint).fit(lam=lam)
        if isinstance(constraint, sf.Unimodal):  # which may fall in the last piece, at the cost of its curvature
            assert np.sum(res.resid**2) <= np.sum((y - y.mean()) ** 2) * (1 + 1e-9)
            continue
        np.testing.assert_allclose(res.fittedvalues, y.mean(), rtol=0, atol=1e-7)
        assert res.edf == pytest.approx(1, abs=1e-6)


def test_a_bound_that_no_limit_of_smoothing_keeps_names_the_smoothing():
    y = 1 + noise(1, 40)
    model = sf.SplineRegression(
        sf.observe(X, y), sf.BSplineBasis.uniform(0, 1, 5), sf.DerivativePenalty(1), sf.Bounds(deriv=1, lower=1.0)
    )
    with pytest.raises(SpecificationError, match=r"infinite weight.*lam= or edf="):
        model.fit()
    assert (model.fit(lam=1.0).predict(X, deriv=1) >= 1 - 1e-9).all()


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e9])
@pytest.mark.parametrize("pieces", [37, 60, 200])
@pytest.mark.parametrize("level", [0.0, 1e5])
def test_exact_observations_of_as_many_functions_are_interpolated(unit, pieces, level):
    """The restricted likelihood is largest as the SD goes to zero, at the interpolant with the smallest penalty: dense algebra."""
    y = unit * (level + np.exp(3 * X))
    basis = sf.BSplineBasis.uniform(0, 1, pieces)
    res = sf.SplineRegression(sf.observe(X, y), basis, CURVATURE).fit()
    B = basis.design(X).toarray()
    at, weights = np.polynomial.legendre.leggauss(2)  # of the squares of lines
    ends = np.linspace(0, 1, pieces + 1)
    places = (ends[:-1, None] + ends[1:, None] + np.diff(ends)[:, None] * at) / 2
    second = basis.design(places.ravel(), 2).toarray() * np.sqrt(np.tile(weights, pieces) / (2 * pieces))[:, None]
    K, n = basis.n_basis, len(X)
    system = np.block([[second.T @ second, B.T], [B, np.zeros((n, n))]])
    scale = np.concatenate([np.ones(K), np.full(n, pieces**3)])
    coef = scale[:K] * np.linalg.solve(system * scale * scale[:, None], scale * np.concatenate([np.zeros(K), y]))[:K]
    grid = np.linspace(0, 1, 301)
    np.testing.assert_allclose(res.predict(grid), basis.design(grid) @ coef, rtol=0, atol=1e-6 * unit * max(1, level / 1000))
    np.testing.assert_allclose(res.fittedvalues, y, rtol=1e-10)
    assert res.boundary == ("f",)
    assert res.edf == pytest.approx(n, abs=1e-4)
    assert res.sigma["f"] < 1e-7 * np.ptp(y)
    variance = np.sum((second @ coef) ** 2) / (n - 2)  # of the random part: the penalty's share
    assert res.sigma["f"] ** 2 / res.lam == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize("y", [np.sin(6 * X), np.exp(3 * X)])
@pytest.mark.parametrize("penalty", [CURVATURE, sf.DerivativePenalty(1) + sf.DerivativePenalty(3)])
def test_a_likelihood_without_a_maximum_inside_is_no_line(y, penalty):
    """The full likelihood grows without bound: an error with ways out, as for `SmoothingSpline`, and no polynomial."""
    for pieces in (37, 60):
        with pytest.raises(ConvergenceError, match="grows without bound; fix the smoothing"):
            sf.SplineRegression(sf.observe(X, y), sf.BSplineBasis.uniform(0, 1, pieces), penalty).fit("ml")
    with pytest.raises(ConvergenceError, match="grows without bound; fix the smoothing"):
        sf.SmoothingSpline(sf.observe(X, y), order=2).fit("ml")


@wrong
@pytest.mark.parametrize("pieces", [8, 20])
@pytest.mark.parametrize("n", [40, 200])
def test_a_unimodal_curve_has_one_extremum(n, pieces):
    """Elsewhere the slope touches zero."""
    x = np.linspace(0, 1, n)
    for seed in range(3):
        y = np.exp(-200 * (x - 0.4) ** 2) + noise(seed, n)
        res = sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, pieces), CURVATURE, sf.Unimodal()).fit()
        table = res.extrema()
        assert list(table["kind"]) == ["maximum"]
        assert table["x"][0] == pytest.approx(res.mode, abs=1e-6)
        given = sf.SplineRegression(sf.observe(x, y), res.basis, CURVATURE, sf.Unimodal(mode=res.mode)).fit()
        assert len(given.extrema()) == 1


@wrong
def test_crossings_that_a_bound_forbids_are_touches():
    x = np.linspace(0, 1, 200)
    for seed in range(3):
        wave = np.maximum(np.sin(20 * x), 0) + noise(seed, 200)
        positive = sf.SplineRegression(sf.observe(x, wave), sf.BSplineBasis.uniform(0, 1, 30), CURVATURE, sf.Positive()).fit()
        assert not len(positive.roots())
        steps = np.round(2 * x) / 2 + noise(seed, 200)
        rising = sf.SplineRegression(sf.observe(x, steps), sf.BSplineBasis.uniform(0, 1, 30), CURVATURE, sf.Increasing()).fit()
        assert len(rising.active_constraints)
        assert not len(rising.extrema())
        assert len(rising.roots(value=0.25)) == 1  # what no bound forbids stays
