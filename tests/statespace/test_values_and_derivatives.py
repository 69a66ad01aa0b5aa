"""Observations of f, f' and f'' of f = 2 + x - x^2/2: from a dense computation in 60 digits and from weighted least squares."""

import json
from pathlib import Path

import numpy as np
import pytest

import smoothfit as sf

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")

KNOWN_SDS = np.array([0.1, 0.3, 0.6])
POSTERIOR = {  # x: means of f, f', f'', and their SDs; order 3, q = 1
    2.5: ((1.317875713, -1.460575070, -1.129446580), (0.0801503876, 0.1608506658, 0.4126330059)),
    5.0: ((-5.616808163, -4.011496919, -1.009792658), (0.1025457795, 0.1797266134, 0.3860623475)),
    9.0: ((-29.473112532, -8.383646318, -1.538032005), (0.8171175598, 0.5144796329, 0.6048224089)),
}
# The weighted quadratic c0 + c1 x + c2 x^2/2 and its standard errors: f, f', f'' at zero.
QUADRATIC = (2.16686506, 0.85575321, -0.96340073)
STANDARD_ERRORS = (0.14866, 0.10289, 0.03250)


@pytest.fixture(scope="module")
def columns():
    path = Path(__file__).parent.parent / "reference" / "values_and_derivatives.json"
    rows = json.loads(path.read_text())["rows"]
    return [np.array([row[name] for row in rows]) for name in ("x", "y", "deriv", "sd")]


@pytest.fixture(scope="module")
def known(columns, observe):
    return observe(*columns)


@pytest.fixture(scope="module")
def unknown(columns, observe):
    return observe(*columns[:3])


def at_zero(res):
    return [float(res.predict(0.0, deriv=k)) for k in range(3)]


@pytest.mark.parametrize("x", POSTERIOR)
def test_posterior_at_unit_intensity(known, x):
    res = sf.SmoothingSpline(known, order=3).fit(lam=1.0)
    means, sds = POSTERIOR[x]
    for k in range(3):
        prediction = res.get_prediction([x], deriv=k)
        assert prediction.predicted_mean[0] == pytest.approx(means[k], abs=6e-10)  # nine decimals are printed
        assert prediction.se_mean[0] == pytest.approx(sds[k], abs=6e-11)  # ten


def test_likelihoods_at_unit_intensity(known):
    res = sf.SmoothingSpline(known, order=3).fit(lam=1.0)
    assert res.llf_diffuse == pytest.approx(-13.997834414, abs=6e-10)
    assert res.llf == pytest.approx(-9.785865825, abs=6e-10)


def test_restricted_likelihood_of_order_3_is_greatest_for_a_quadratic(known):
    res = sf.SmoothingSpline(known, order=3).fit()
    assert res.boundary == ("q",)
    assert res.q == 0
    assert at_zero(res) == pytest.approx(QUADRATIC, abs=6e-9)
    ses = [res.get_prediction([0.0], deriv=k).se_mean[0] for k in range(3)]
    assert ses == pytest.approx(STANDARD_ERRORS, abs=6e-6)


def test_curve_tends_to_the_quadratic_as_the_intensity_vanishes(known):
    model = sf.SmoothingSpline(known, order=3)
    limit = np.array(at_zero(model.fit()))
    distance = [np.abs(np.array(at_zero(model.fit(lam=lam))) - limit).max() for lam in (1e6, 1e8)]
    assert distance[0] == pytest.approx(100 * distance[1], rel=1e-3)  # the departure is linear in q
    assert distance[1] < 1e-6


def test_order_4_has_an_interior_optimum(known):
    res = sf.SmoothingSpline(known, order=4).fit()
    assert res.boundary == ()
    assert res.q == pytest.approx(0.00384, abs=6e-6)
    assert res.llf_diffuse == pytest.approx(-10.55198, abs=6e-6)


@pytest.mark.parametrize("lam", [None, 1e12])
def test_estimated_sds_are_the_fixed_point_of_the_quadratic(unknown, lam):
    res = sf.SmoothingSpline(unknown, order=3).fit(lam=lam)
    assert list(res.sigma) == pytest.approx([0.09443, 0.15849, 0.51801], abs=6e-6)
    assert at_zero(res) == pytest.approx([2.21106, 0.82049, -0.95239], abs=6e-6)


def test_estimated_sds_are_residual_mean_squares(unknown):
    # sigma_g^2 = RSS_g / (n_g - tr H_gg), with the quadratic written out.
    res = sf.SmoothingSpline(unknown, order=3).fit()
    x, deriv = unknown.x, unknown.deriv
    design = np.array([[[1, a, a**2 / 2], [0, 1, a], [0, 0, 1]][k] for a, k in zip(x, deriv, strict=True)])
    weights = 1 / res.sigma.to_numpy()[deriv] ** 2
    gram = (design.T * weights) @ design
    resid = unknown.y - design @ np.linalg.solve(gram, (design.T * weights) @ unknown.y)
    leverage = weights * np.sum(design * np.linalg.solve(gram, design.T).T, axis=1)
    rss, free = np.bincount(deriv, resid**2), np.bincount(deriv, 1 - leverage)
    assert res.sigma.to_numpy() ** 2 == pytest.approx(rss / free, rel=1e-5)  # the optimum is certified to 1e-5 of a standard error
    assert res.edf == pytest.approx(3, abs=1e-12)
