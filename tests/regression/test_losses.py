"""Robust fits and expectiles: against statsmodels, by their estimating equations, under constraints."""

import pickle

import numpy as np
import pytest
import statsmodels.api as sm

import smoothfit as sf
from smoothfit.errors import SpecificationError

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(9)
X = np.sort(RNG.uniform(0, 1, 150))
Y = np.sin(6 * X) + 0.1 * RNG.standard_t(2, 150)
BASIS = sf.BSplineBasis.uniform(0, 1, 8)
GRID = np.linspace(0, 1, 201)


def test_huber_is_that_of_statsmodels():
    ours = sf.SplineRegression(sf.observe(X, Y), BASIS).fit("ols", loss="huber")
    theirs = sm.RLM(Y, BASIS.design(X, sparse=False), M=sm.robust.norms.HuberT()).fit(tol=1e-12, maxiter=500)
    np.testing.assert_allclose(ours.params, theirs.params, atol=1e-8)
    np.testing.assert_allclose(ours.loss_weights, theirs.weights, atol=1e-7)
    assert pickle.loads(pickle.dumps(ours)).loss == "huber"


@wrong
def test_outliers_lose_their_influence():
    y = Y.copy()
    y[70:76] += 30
    model = sf.SplineRegression(sf.observe(X, y), BASIS, sf.DerivativePenalty(2))
    squares, huber = model.fit(), model.fit(loss="huber")
    truth = np.sin(6 * GRID)
    assert np.abs(squares.predict(GRID) - truth).max() > 2
    assert np.abs(huber.predict(GRID) - truth).max() < 0.3


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_expectiles_solve_their_equations(level):
    lam = 1e-4
    res = sf.SplineRegression(sf.observe(X, Y), BASIS, sf.DerivativePenalty(2)).fit(lam=lam, loss="expectile", parameter=level)
    weights = 2 * np.where(res.resid < 0, 1 - level, level)
    design = BASIS.design(X, sparse=False)
    score = design.T @ (weights * res.resid) - lam * sf.DerivativePenalty(2).matrix(BASIS) @ res.params
    assert np.abs(score).max() < 1e-7 * np.abs(design.T @ np.abs(res.resid)).max()
    if level == 0.5:
        squares = sf.SplineRegression(sf.observe(X, Y), BASIS, sf.DerivativePenalty(2)).fit(lam=lam)
        np.testing.assert_allclose(res.params, squares.params, atol=1e-10)


def test_expectiles_are_in_order_and_take_constraints():
    model = sf.SplineRegression(sf.observe(X, Y + 8 * X), BASIS, sf.DerivativePenalty(2), constraints=sf.Increasing())
    curves = [model.fit(lam=1e-4, loss="expectile", parameter=level) for level in (0.1, 0.5, 0.9)]
    values = np.array([curve.predict(GRID) for curve in curves])
    assert (np.diff(values, axis=0) > 0).mean() > 0.95
    assert min(curve.predict(GRID, deriv=1).min() for curve in curves) > -1e-8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "cubic"}, "'huber', 'bisquare', 'expectile'"),
        ({"parameter": 2.0}, "other than 'squares'"),
        ({"loss": "expectile", "parameter": 1.0}, "between 0 and 1"),
        ({"loss": "huber", "parameter": -1}, "positive"),
    ],
)
def test_bad_losses_are_refused(options, words):
    with pytest.raises(SpecificationError, match=words):
        sf.SplineRegression(sf.observe(X, Y), BASIS).fit(**options)
