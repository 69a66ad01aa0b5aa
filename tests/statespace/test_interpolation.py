"""The limit of no noise, lam = 0."""

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

import smoothfit as sf
from smoothfit.errors import DataError, RoughnessWarning, SpecificationError

RNG = np.random.default_rng(3)
x = np.sort(RNG.uniform(0, 10, 25))
y = np.cumsum(RNG.standard_normal(25))
GRID = np.linspace(x[0], x[-1], 101)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_curve_is_the_natural_spline(order):
    res = sf.SmoothingSpline(sf.observe(x, y), order).fit(lam=0)
    spline = sf.Spline.interpolate(x, y, degree=2 * order - 1)
    for deriv in range(order):
        expected = spline(GRID, deriv)
        np.testing.assert_allclose(res.predict(GRID, deriv), expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(res.predict(x), y, rtol=0, atol=1e-13)
    assert res.edf == pytest.approx(25)
    assert res.boundary == ("f",)


def integrated_wiener(s, t, deriv=0):
    """Covariance of f^(deriv)(s) and f(t), and its variance, for f'' white noise from zero on."""
    low, gap = np.minimum(s, t), t - s
    if deriv:  # of the slope at s: the integral of (t - u) for u < min(s, t)
        return low * t - low**2 / 2, s
    return low**3 / 3 + low**2 * np.abs(gap) / 2, s**3 / 3


def test_the_uncertainty_is_that_of_a_dense_gaussian_process():
    """Kriging with a line of unknown coefficients, its scale by restricted maximum likelihood."""
    places, values = x[::3], y[::3]
    n = len(places)
    K = integrated_wiener(places[:, None], places)[0]
    T = np.column_stack([np.ones(n), places])
    system = np.block([[K, T], [T.T, np.zeros((2, 2))]])
    weights = np.linalg.solve(system, np.append(values, [0, 0]))
    q = values @ weights[:n] / (n - 2)
    res = sf.SmoothingSpline(sf.observe(places, values)).fit(lam=0)
    assert res.q == pytest.approx(q, rel=1e-9)
    for deriv in (0, 1):
        at = np.linspace(places[0], places[-1], 13) + 0.01
        cross, variance = integrated_wiener(at[:, None], places, deriv)
        trend = np.column_stack([np.ones(13), at]) if deriv == 0 else np.column_stack([np.zeros(13), np.ones(13)])
        right = np.hstack([cross, trend])
        expected = q * (variance.ravel() if np.ndim(variance) else variance) - q * np.sum(
            right * np.linalg.solve(system, right.T).T, 1
        )
        prediction = res.get_prediction(at, deriv)
        np.testing.assert_allclose(prediction.var_pred_mean, expected, rtol=1e-7)
        np.testing.assert_allclose(prediction.predicted_mean, right @ weights, rtol=1e-8)


def test_values_and_slopes_are_interpolated_together():
    slopes = RNG.standard_normal(25)
    observations = sf.observe(x, y, name="f") + sf.observe(x, slopes, deriv=1, name="slope")
    with pytest.warns(RoughnessWarning):
        res = sf.SmoothingSpline(observations, 2).fit(lam=0)
    expected = CubicHermiteSpline(x, y, slopes)
    np.testing.assert_allclose(res.predict(GRID), expected(GRID), atol=1e-11)
    np.testing.assert_allclose(res.predict(GRID, 1), expected(GRID, 1), atol=1e-9)


def test_a_line_has_no_uncertainty():
    res = sf.SmoothingSpline(sf.observe(x, 2 * x + 1)).fit(lam=0)
    assert res.q == 0
    np.testing.assert_allclose(res.predict(GRID), 2 * GRID + 1, rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "options", "error", "match"),
    [
        (lambda: sf.observe([0, 1, 2, 1], [1, 2, 3, 4]), {}, DataError, "observed twice at x = 1"),
        (lambda: sf.observe([0, 1], [1, 2]), {}, DataError, "2 observations at order 2"),
        (lambda: sf.observe(x, y, sd=0.1), {}, SpecificationError, "'f' has sd="),
        (lambda: sf.observe(x, y), {"robust": True}, SpecificationError, "pass a positive lam"),
        (lambda: sf.observe(x, y), {"edf": 5}, SpecificationError, "lam and edf are given"),
        (lambda: sf.observe_integral(x[:-1], x[1:], y[1:]), {}, SpecificationError, "pass a positive lam"),
    ],
)
def test_what_cannot_be_interpolated(make, options, error, match):
    with pytest.raises(error, match=match):
        sf.SmoothingSpline(make()).fit(lam=0, **options)
