"""Penalised Fourier series: against dense formulas and against periodic splines."""

import numpy as np
import pytest

import smoothfit as sf

RNG = np.random.default_rng(6)
X = np.sort(RNG.uniform(0, 3, 120))
Y = 1 + np.sin(2 * np.pi * X) + 0.5 * np.cos(4 * np.pi * X) + 0.2 * RNG.standard_normal(120)
BASIS = sf.FourierBasis(1.0, 8)
GRID = np.linspace(0, 1, 200)


@pytest.mark.parametrize(
    "penalty", [sf.DerivativePenalty(2), sf.DerivativePenalty(4), sf.DifferentialOperatorPenalty([0, 4 * np.pi**2, 0, 1])]
)
@pytest.mark.parametrize("method", ["reml", "gcv"])
def test_fits_are_the_dense_formulas(penalty, method):
    res = sf.SplineRegression(sf.observe(X, Y), BASIS, penalty).fit(method)
    B, S = BASIS.design(X, sparse=False), penalty.matrix(BASIS).toarray()
    A = B.T @ B + res.lam * S
    np.testing.assert_allclose(res.params, np.linalg.solve(A, B.T @ Y), atol=1e-10)
    assert res.edf == pytest.approx(np.trace(np.linalg.solve(A, B.T @ B)), rel=1e-9)
    np.testing.assert_allclose(res.bse, np.sqrt(res.scale * np.diag(np.linalg.inv(A))), rtol=1e-9)
    values, axes = np.linalg.eigh(S)
    null = axes[:, values < 1e-9 * values[-1]]
    d = null.shape[1]
    assert d == (3 if isinstance(penalty, sf.DifferentialOperatorPenalty) else 1)
    if method == "reml":
        least = (np.sum((Y - B @ res.params) ** 2) + res.lam * res.params @ S @ res.params) / res.scale
        n = len(Y)
        log_dets = [np.linalg.slogdet(A / res.scale)[1], np.linalg.slogdet(null.T @ B.T @ B @ null)[1]]
        penalised = np.log(res.lam / res.scale * values[d:]).sum()
        deviance = (n - d) * np.log(2 * np.pi) + n * np.log(res.scale) + log_dets[0] - log_dets[1] - penalised + least
        assert res.llf == pytest.approx(-deviance / 2, rel=1e-10)
        assert res.scale == pytest.approx(least * res.scale / (n - d), rel=1e-8)  # its maximum


def test_the_operator_of_an_oscillation_leaves_it_free():
    penalty = sf.DifferentialOperatorPenalty([4 * np.pi**2, 0.0, 1.0])  # f'' + w^2 f
    P = penalty.matrix(BASIS).toarray()
    coef = np.zeros(17)
    coef[1:3] = 1.0
    assert abs(coef @ P @ coef) < 1e-20 * np.abs(P).max()
    nodes = np.linspace(0, 1, 4001)[:-1]
    values = BASIS.design(nodes, 2, sparse=False) + 4 * np.pi**2 * BASIS.design(nodes, sparse=False)
    np.testing.assert_allclose(P, values.T @ values / 4000, atol=1e-9 * np.abs(P).max())


def test_fourier_and_periodic_splines_tell_one_curve():
    splines = sf.PeriodicBSplineBasis.uniform(0, 1, 40)
    theirs = sf.SplineRegression(sf.observe(np.mod(X, 1), Y), splines, sf.DerivativePenalty(2)).fit(edf=8)
    ours = sf.SplineRegression(sf.observe(X, Y), sf.FourierBasis(1.0, 20), sf.DerivativePenalty(2)).fit(edf=8)
    se = theirs.get_prediction(GRID).se_mean
    assert (np.abs(ours.predict(GRID) - theirs.predict(GRID)) / se).max() < 0.02
    assert ours.lam == pytest.approx(theirs.lam, rel=0.01)


def test_series_take_equalities_and_correlated_errors():
    res = sf.SplineRegression(sf.observe(X, Y), BASIS, sf.DerivativePenalty(2), sf.Equals(0.0, 1.5), errors=sf.AR1()).fit()
    assert res.predict(0.0) == pytest.approx(1.5, abs=1e-12)
    assert res.predict(2.0) == pytest.approx(1.5, abs=1e-10)
    assert np.isfinite(res.llf)
