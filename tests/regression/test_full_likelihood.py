"""The full likelihood: dense algebra, the state space, and what it does not depend on."""

import numpy as np
import pytest

import smoothfit as sf

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(12)
X = np.sort(RNG.uniform(0, 1, 50))
Y = np.sin(7 * X) + X**2 + 0.2 * RNG.standard_normal(50)
Z = np.sort(RNG.uniform(0, 1, 30))
SLOPES = 7 * np.cos(7 * Z) + 2 * Z + 0.5 * RNG.standard_normal(30)
BASIS = sf.BSplineBasis.uniform(0, 1, 12)


def both(sd=None):
    return sf.observe(X, Y, sd=sd, name="f") + sf.observe(Z, SLOPES, deriv=1, name="slope")


def dense(res, order):
    """-2 l = n log 2 pi + log|K| + log|X'K^-1 X| - log|X'R^-1 X| + r'K^-1 r, K the covariance of the observations."""
    rows, R, y = res._fit.rows.dense(), np.diag(res._noise_variance), res.observations.y
    values, axes = np.linalg.eigh(res._fit.penalty_gram())
    null, ranged = axes[:, :order], axes[:, order:] / np.sqrt(values[order:])
    constants = rows @ null
    K = R + rows @ ranged @ ranged.T @ rows.T
    inner = constants.T @ np.linalg.solve(K, constants)
    r = y - constants @ np.linalg.solve(inner, constants.T @ np.linalg.solve(K, y))
    logs = [np.linalg.slogdet(M)[1] for M in (K, inner, constants.T @ np.linalg.solve(R, constants))]
    return len(y) * np.log(2 * np.pi) + logs[0] + logs[1] - logs[2] + r @ np.linalg.solve(K, r)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("obs", [sf.observe(X, Y), sf.observe(X, Y, sd=0.2), both(), both(0.2)])
def test_it_is_that_of_dense_algebra_and_at_its_maximum(obs, order):
    model = sf.SplineRegression(obs, BASIS, sf.DerivativePenalty(order))
    res = model.fit("ml")
    assert -2 * res.llf == pytest.approx(dense(res, order), abs=1e-7)
    assert res.decrement < 1e-10
    n_sds = sum(reading.sd is None for reading in obs.readings)
    assert res.aic == pytest.approx(-2 * res.llf + 2 * (order + n_sds + 1), rel=1e-14)


@pytest.mark.parametrize("obs", [sf.observe(X, Y, sd=0.2), sf.observe(X, Y, sd=0.2, weights=np.linspace(0.5, 2, 50))])
def test_it_is_that_of_the_state_space(obs):
    """There -2 l_R in Harville's form, and with it -2 l = -2 l_R + m log 2 pi + log|X'X| - log|X'R^-1 X|."""
    basis = sf.NaturalSplineBasis.from_data(X, knots=X[1:-1], extrapolate="linear")
    model = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2))
    line, precision = (
        np.column_stack([np.ones(50), X]),
        1 / (0.04 / (obs.readings[0].weights if obs.readings[0].weights is not None else 1)),
    )
    ratio = np.linalg.slogdet(line.T @ line)[1] - np.linalg.slogdet(line.T @ (line * np.reshape(precision, (-1, 1))))[1]
    for lam in (1e-6, 1e-3, 10.0):
        restricted = sf.SmoothingSpline(obs, order=2).fit(lam=lam).llf
        assert -2 * model.fit("ml", lam=lam).llf == pytest.approx(-2 * restricted + 2 * np.log(2 * np.pi) + ratio, abs=1e-6)


def test_the_direction_of_x_and_the_basis_do_not_matter():
    there = sf.SplineRegression(both(), BASIS, sf.DerivativePenalty(2)).fit("ml")
    turned = sf.observe(1 - X[::-1], Y[::-1], name="f") + sf.observe(1 - Z[::-1], -SLOPES[::-1], deriv=1, name="slope")
    even = sf.BSplineBasis(np.arange(-3, 16) / 12)  # the same splines, of other coefficients
    for res in (
        sf.SplineRegression(turned, BASIS, sf.DerivativePenalty(2)).fit("ml"),
        sf.SplineRegression(both(), even, sf.DerivativePenalty(2)).fit("ml"),
    ):
        assert res.llf == pytest.approx(there.llf, abs=1e-7)
        assert res.edf == pytest.approx(there.edf, abs=1e-3)
        np.testing.assert_allclose(res.sigma, there.sigma, rtol=1e-4)


def test_it_has_a_maximum_short_of_interpolation():
    """With as many functions as observations it grows without bound as SD and smoothing vanish; the maximum inside is meant."""
    r = np.random.default_rng([7, 25])
    x = np.sort(r.uniform(0, 1, 10))
    y = np.sin(5 * x) + 0.1 * r.standard_normal(10)
    res = sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, 12), sf.DerivativePenalty(2)).fit("ml")
    assert res.decrement < 1e-10
    assert 2 < res.edf < 9
    assert res.sigma["f"] > 0.02


@wrong
def test_every_aic_counts_the_sds():
    plain = sf.SplineRegression(sf.observe(X, Y), sf.BernsteinBasis(1, 0.0, 1.0))
    line = plain.fit("ols")
    rss = line.resid @ line.resid
    assert line.aic == pytest.approx(50 * (np.log(2 * np.pi * rss / 50) + 1) + 2 * 3, rel=1e-12)  # as R's AIC(lm(y ~ x))
    assert plain.fit("ml").aic == pytest.approx(line.aic, rel=1e-12)
    given = sf.SplineRegression(sf.observe(X, Y, sd=0.2), sf.BernsteinBasis(1, 0.0, 1.0)).fit("ols")
    assert given.aic == pytest.approx(-2 * given.llf + 2 * 2, rel=1e-12)
    limit = sf.SplineRegression(sf.observe(X, 1 + X + 0.1 * RNG.standard_normal(50)), BASIS, sf.DerivativePenalty(2)).fit("ml")
    assert limit.aic == pytest.approx(-2 * limit.llf + 2 * (2 + 1 + 1), rel=1e-14)
