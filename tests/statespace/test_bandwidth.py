import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import NumericalError
from smoothfit.markov.bandwidth import FixedBandwidth, FixedDf, FixedLam, Resolution, effective_df


def resolution_of(seed, order=3):
    rng = np.random.default_rng(seed)
    x, t = np.sort(rng.uniform(0, 5, 40)), rng.uniform(0, 5, 25)
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(40), name="a") + sf.observe(
        t, np.cos(t) + 0.1 * rng.standard_normal(25), deriv=1, name="b"
    )
    return Resolution(sf.SmoothingSpline(obs, order=order)._rows, order)


@pytest.mark.parametrize("seed", range(20))
def test_bandwidth_and_intensity_are_inverse_however_unequal_the_noises(seed):
    resolution = resolution_of(seed)
    rng = np.random.default_rng(seed)
    sigma2, q = 10.0 ** rng.uniform(-20, 20, 2), 10.0 ** rng.uniform(-20, 20)
    bandwidth = resolution.bandwidth(q, sigma2)
    assert float(resolution.log_intensity(bandwidth, sigma2)) == pytest.approx(np.log(q), abs=1e-12)
    balance = sum(q * (resolution.information[k] @ (1 / sigma2)) * bandwidth ** (2 * (3 - k)) for k in range(3))
    assert balance == pytest.approx(1, rel=1e-12)


def test_information_of_each_order_is_that_of_its_readings():
    rows = resolution_of(0).rows
    information = resolution_of(0).information
    for k, n in ((0, 40), (1, 25)):
        mine = rows.deriv == k
        assert information[k].sum() == pytest.approx(np.mean(1 / rows.ratio[mine]) * n * (64 / 65) / rows.range, rel=1e-13)
    assert not information[2].any()


@pytest.mark.parametrize("tie", [FixedLam(3.0), FixedBandwidth(4.0), FixedDf(9.0)])
def test_slopes_of_ties_are_those_of_their_differences(tie):
    resolution = resolution_of(1)
    logs = np.array([-5.0, -4.0])
    _, slopes = tie.log_q(resolution, logs)
    step = 1e-5
    differences = [
        (tie.log_q(resolution, logs + step * unit)[0] - tie.log_q(resolution, logs - step * unit)[0]) / (2 * step)
        for unit in np.eye(2)
    ]
    np.testing.assert_allclose(slopes, differences, atol=1e-6)  # central differences: step^2 and rounding / step


def test_limits_are_indistinguishable_from_a_polynomial_and_an_interpolant():
    resolution = resolution_of(2, order=2 + 1)
    sigma2 = np.array([1e-3, 1e-3])
    low, high = np.exp(resolution.limits(sigma2))
    assert effective_df(resolution.rows, 3, low, sigma2) == pytest.approx(3, abs=1e-8)
    assert effective_df(resolution.rows, 3, high, sigma2) > 0.95 * 65


def bursts(gap, n=60):
    """Three bursts of observations, `gap` apart."""
    rng = np.random.default_rng(0)
    delta = rng.uniform(0.5, 1.5, 3 * n)
    delta[n::n] = gap
    x = np.cumsum(delta) - delta[0]
    return x, rng.standard_normal(3 * n)


def test_a_gap_that_would_cost_digits_is_refused():
    x, y = bursts(1e7)
    with pytest.raises(NumericalError, match=r"at order 4 the gap between x = .* lower the order"):
        sf.SmoothingSpline(sf.observe(x, y, sd=1.0), order=4).fit(lam=1.0)
    smooth = sf.SmoothingSpline(sf.observe(x, y, sd=1.0), order=2).fit(lam=1.0)
    assert smooth.edf > 60


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_spline_holds_beside_wide_gaps(order):
    """Blossoms over the widest piece, the gap, would lose every digit here."""
    x, y = bursts(1e4)
    res = sf.SmoothingSpline(sf.observe(x, y, sd=1.0), order=order).fit(lam=10.0)
    points = np.concatenate([np.linspace(a, b, 99) for a, b in ((x[0], x[59]), (x[60], x[119]), (x[120], x[179]))])
    for k in range(order):
        expected = res.get_prediction(points, deriv=k)
        assert np.max(np.abs(res.spline()(points, deriv=k) - expected.predicted_mean) / expected.se_mean) < 1e-6
