"""Unknown biases of series in spline regressions: dense normal equations, exact data, and what is refused."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import IdentificationError, SpecificationError

BASIS = sf.BSplineBasis.uniform(0, 6, 12)
PENALTY = sf.DerivativePenalty(2)


def pair(deriv=0, noise=0.1, n=50):
    """Observations of a sine, and of it or its slope with a bias of 1.5 at other x."""
    rng = np.random.default_rng(3)
    x, z = np.sort(rng.uniform(0, 6, n)), np.sort(rng.uniform(0, 6, n))
    curve = np.cos(z) if deriv else np.sin(z)
    a = sf.observe(x, np.sin(x) + noise * rng.standard_normal(n), sd=0.1, name="a")
    return a + sf.observe(z, curve + 1.5 + noise * rng.standard_normal(n), deriv, sd=0.2, name="b", bias="estimate")


@pytest.mark.parametrize("deriv", [0, 1])
@pytest.mark.parametrize("order", [None, 2])
def test_coefficients_are_those_of_dense_normal_equations(deriv, order):
    obs = pair(deriv)
    penalty = None if order is None else PENALTY
    res = sf.SplineRegression(obs, BASIS, penalty).fit(lam=None if order is None else 0.3)
    B = np.vstack([BASIS.design(r.x, r.deriv, sparse=False) for r in obs.readings])
    B = np.column_stack([B, np.repeat([0.0, 1.0], 50)])
    P = np.zeros((16, 16))
    if order is not None:
        root = PENALTY.root(BASIS).toarray()
        P[:15, :15] = root.T @ root
    w = np.repeat([100.0, 25.0], 50)
    A = B.T @ (w[:, None] * B) + 0.3 * P
    coef = np.linalg.solve(A, B.T @ (w * obs.y))
    np.testing.assert_allclose(res.params, coef, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(res.bse, np.sqrt(np.diag(np.linalg.inv(A))), rtol=1e-8)
    np.testing.assert_allclose(res.fittedvalues, B @ coef, atol=1e-9)
    assert res.edf == pytest.approx(np.trace(np.linalg.solve(A, B.T @ (w[:, None] * B))), rel=1e-8)
    at = np.array([1.0, 4.0])
    of_b = res.get_prediction(at, deriv=deriv, name="b")
    np.testing.assert_allclose(of_b.predicted_mean, BASIS.design(at, deriv) @ coef[:15] + coef[15], rtol=1e-9)
    np.testing.assert_allclose(res.predict(at, deriv=deriv), res.spline()(at, deriv=deriv), rtol=1e-12)
    assert list(res.params.index[-2:]) == ["b14", "bias.b"]
    assert "bias.b" in res.summary().as_text()


def test_a_bias_of_exact_data_is_exact_also_with_equalities_and_correlated_errors():
    x = np.linspace(0, 6, 40)
    y = 1 + 0.5 * x
    obs = sf.observe(x, y, sd=0.1, name="a") + sf.observe(x + 0.0, y - 0.7, sd=0.2, name="b", bias="estimate")
    for more in ({}, {"constraints": sf.Equals(0.0, 1.0)}, {"errors": {"b": sf.AR1(0.5)}}):
        res = sf.SplineRegression(obs, BASIS, PENALTY, **more).fit(lam=1.0)
        assert res.params["bias.b"] == pytest.approx(-0.7, abs=1e-8)


def test_the_likelihood_and_the_bias_are_those_of_the_smoothing_spline():
    rng = np.random.default_rng(5)
    x = np.linspace(0, 6, 40, endpoint=False)
    obs = sf.observe(x, np.sin(x) + 0.2 * rng.standard_normal(40), name="a")
    obs = obs + sf.observe(x, np.sin(x) + 1.5 + 0.1 * rng.standard_normal(40), name="b", bias="estimate")
    for basis, period in ((sf.BSplineBasis.uniform(0, 6, 40), None), (sf.PeriodicBSplineBasis.uniform(0, 6, 40), 6.0)):
        ours, peer = sf.SplineRegression(obs, basis, PENALTY).fit(), sf.SmoothingSpline(obs, period=period).fit()
        assert ours.params["bias.b"] == pytest.approx(peer.params["bias.b"], abs=1e-5)
        np.testing.assert_allclose(ours.sigma, peer.sigma, rtol=1e-3)
        np.testing.assert_allclose(ours.conf_int().loc["bias.b"], peer.conf_int().loc["bias.b"], atol=5e-4)
        assert ours.llf == pytest.approx(peer.llf, abs=0.02)
    assert len(ours.resid_recursive) == 80
    assert ours.misfits == ()


def test_what_has_no_bias_is_refused_with_the_way_out():
    obs = pair()
    alone = sf.observe(obs["b"].x, obs["b"].y, name="b", bias="estimate")
    for penalty in (None, PENALTY):
        with pytest.raises(IdentificationError, match="leave bias= of one series out"):
            sf.SplineRegression(alone, BASIS, penalty)
    with pytest.raises(SpecificationError, match=r"'b' has bias='estimate', which Unimodal without mode= .* pass mode="):
        sf.SplineRegression(obs, BASIS, PENALTY, sf.Unimodal())
    with pytest.raises(SpecificationError, match="loss='quantile' does not support"):
        sf.SplineRegression(obs, BASIS, PENALTY).fit(loss="quantile")
    with pytest.raises(SpecificationError, match="an Accumulator does not support"):
        sf.SplineRegression.accumulate(BASIS).add(obs)
