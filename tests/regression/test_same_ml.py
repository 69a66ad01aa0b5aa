"""Smoothing splines of the state space and splines with knots at the observations are one model, by maximum likelihood, too."""

import numpy as np
import pytest

import smoothfit as sf

RNG = np.random.default_rng(5)
X = np.sort(RNG.uniform(0, 1, 40))
Y = np.sin(7 * X) + 0.2 * RNG.standard_normal(40)
WEIGHTS = RNG.uniform(0.5, 2, 40)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weights"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_three_routes(order, sign, weights):
    x, y = sign * X[::sign], Y[::sign]
    obs = sf.observe(x, y, weights=None if weights is None else weights[::sign])
    basis = sf.BSplineBasis(np.pad(x, 2 * order - 1, mode="edge"), degree=2 * order - 1)
    spline = sf.SmoothingSpline(obs, order=order).fit("ml")
    prior = sf.SmoothingSpline(obs, prior=sf.priors.IntegratedWiener(order)).fit("ml")
    regression = sf.SplineRegression(obs, basis, sf.DerivativePenalty(order)).fit("ml")
    at = np.linspace(x[0], x[-1], 23)[1:-1]
    for other in (prior, regression):
        assert other.llf == pytest.approx(spline.llf, rel=1e-6)
        assert other.aic == pytest.approx(spline.aic, rel=1e-6)
        assert other.edf == pytest.approx(spline.edf, rel=1e-4)
        np.testing.assert_allclose(other.predict(at), spline.predict(at), atol=1e-4)
        if order > 1:
            np.testing.assert_allclose(other.predict(at, deriv=1), spline.predict(at, deriv=1), atol=1e-3)
