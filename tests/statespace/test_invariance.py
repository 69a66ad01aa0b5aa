"""What must not matter to a fit does not: units and origins of x and y, the order of the rows, the direction of x."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.interpolate import make_smoothing_spline

import smoothfit as sf
from smoothfit import priors as pri

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")

ORDERS = (1, 2, 3, 4)

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@st.composite
def mixed_readings(draw):
    """Order, values of x that are multiples of 1/64, some repeated, observations, orders of derivatives, sds, bandwidth."""
    order = draw(st.sampled_from(ORDERS))
    n = draw(st.integers(order + 1, 14))
    steps = draw(st.lists(st.sampled_from([0, 1, 40, 64, 200]), min_size=n - order, max_size=n - order)) + [64] * order
    x = np.cumsum(steps) / 64
    deriv = np.array(draw(st.lists(st.integers(0, order - 1), min_size=n - order, max_size=n - order)) + [0] * order)
    y = np.array(draw(st.lists(st.floats(-10, 10, width=32), min_size=n, max_size=n)))
    sd = 10.0 ** np.array(draw(st.lists(st.floats(-1.5, 1.5), min_size=n, max_size=n)))
    return order, x, y, deriv, sd, 10.0 ** draw(st.floats(-1, 1.5))


def fit(observations, order, **options):
    return sf.SmoothingSpline(observations, order=order).fit(**options)


def moments(res, x):
    """Means and variances of f and its derivatives at x: (2, order, n)."""
    predictions = [res.get_prediction(x, deriv=k) for k in range(res.model.order)]
    return np.array([[p.predicted_mean for p in predictions], [p.var_pred_mean for p in predictions]])


def assert_same_posterior(one, other, tolerance):
    (mean, variance), (other_mean, other_variance) = one, other
    assert np.max(np.abs(mean - other_mean) / np.sqrt(variance)) < tolerance
    assert np.max(np.abs(other_variance / variance - 1)) < tolerance


def around(x):
    return np.r_[x[0] - 1.5, x, (x[1:] + x[:-1]) / 2, x[-1] + 1.5]


@pytest.mark.parametrize("method", ["reml", "ml", "gcv", "aicc"])
@pytest.mark.parametrize("exponent", [-40, 1, 30])
def test_power_of_two_change_of_the_unit_of_x_changes_no_bit(exponent, method):
    rng = np.random.default_rng(0)
    x, t = np.sort(rng.uniform(0, 10, 60)), np.sort(rng.uniform(0, 10, 30))
    y, rate = np.sin(x) + 0.2 * rng.standard_normal(60), np.cos(t) + 0.1 * rng.standard_normal(30)
    unit = 2.0**exponent
    res = fit(sf.observe(x, y) + sf.observe(t, rate, deriv=1), 3, method=method)
    scaled = fit(sf.observe(x * unit, y) + sf.observe(t * unit, rate / unit, deriv=1), 3, method=method)
    points = around(x)
    units = unit ** -np.arange(3.0)[:, None]
    np.testing.assert_array_equal(moments(scaled, points * unit), moments(res, points) * np.array([units, units**2]))
    assert scaled.q == res.q * unit**-5
    assert scaled.bandwidth == res.bandwidth * unit
    assert scaled.edf == res.edf
    assert scaled.integrate(x[0] * unit, x[9] * unit) == res.integrate(x[0], x[9]) * unit
    assert list(scaled.sigma / res.sigma) == [1, 1 / unit]


@pytest.mark.parametrize("unit", [1e9, 3e-7])
@pytest.mark.parametrize("method", ["reml", "gcv"])
def test_unit_of_x_does_not_matter_to_ten_thousand_readings(method, unit):
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 10_000)
    y = np.sin(20 * x) + 0.3 * rng.standard_normal(10_000)
    res, scaled = fit(sf.observe(x, y), 2, method=method), fit(sf.observe(x * unit, y), 2, method=method)
    points = np.linspace(-0.01, 1.01, 50)
    # The optimum is certified to 1e-5 of the standard error of log q, which is some 10 %.
    assert scaled.bandwidth == pytest.approx(res.bandwidth * unit, rel=1e-6)
    for k in range(2):
        one, other = res.get_prediction(points, deriv=k), scaled.get_prediction(points * unit, deriv=k)
        assert np.max(np.abs(other.predicted_mean * unit**k - one.predicted_mean) / one.se_mean) < 1e-6
    assert np.sqrt(np.mean((res.predict(x) - np.sin(20 * x)) ** 2)) < 0.02  # the noise is .3, over some 40 degrees of freedom


@repeatable
@given(mixed_readings(), st.integers(-1000, 1000))
def test_shift_of_x_changes_no_bit(observe, readings, shift):
    order, x, y, deriv, sd, bandwidth = readings
    one = fit(observe(x, y, deriv, sd), order, bandwidth=bandwidth)
    other = fit(observe(x + shift, y, deriv, sd), order, bandwidth=bandwidth)
    np.testing.assert_array_equal(moments(other, around(x) + shift), moments(one, around(x)))


@repeatable
@given(mixed_readings(), st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(observe, readings, random):
    order, x, *columns, bandwidth = readings
    row = np.array(random.sample(range(len(x)), len(x)))
    one = fit(observe(x, *columns), order, bandwidth=bandwidth)
    other = fit(observe(x[row], *[column[row] for column in columns]), order, bandwidth=bandwidth)
    # Observations at one x are taken up in another order.
    assert_same_posterior(moments(one, around(x)), moments(other, around(x)), 1e-10)
    by_name = np.argsort(columns[1], kind="stable")  # observations come order after order
    given_order = np.argsort(columns[1][row], kind="stable")
    fitted = dict(zip(by_name, one.fittedvalues, strict=True))
    np.testing.assert_allclose(other.fittedvalues, [fitted[i] for i in row[given_order]], rtol=1e-8, atol=1e-8)


@repeatable
@given(mixed_readings(), st.integers(1, 13))
def test_splitting_the_observations_does_not_matter(observe, readings, at):
    order, x, *columns, bandwidth = readings
    at = min(at, len(x) - 1)
    whole = observe(x, *columns)
    parts = [observe(x[part], *[column[part] for column in columns]) for part in (slice(at), slice(at, None))]
    one, other = fit(whole, order, bandwidth=bandwidth), fit(parts[0] + parts[1], order, bandwidth=bandwidth)
    assert_same_posterior(moments(one, around(x)), moments(other, around(x)), 1e-10)
    assert other.llf == pytest.approx(one.llf, rel=1e-12, abs=1e-12)


@repeatable
@given(mixed_readings())
def test_time_may_run_backwards(observe, readings):
    order, x, y, deriv, sd, bandwidth = readings
    one = fit(observe(x, y, deriv, sd), order, bandwidth=bandwidth)
    other = fit(observe(-x, np.where(deriv % 2, -y, y), deriv, sd), order, bandwidth=bandwidth)
    reversed_moments = moments(other, -around(x))
    reversed_moments[0, 1::2] *= -1
    assert_same_posterior(moments(one, around(x)), reversed_moments, 1e-10)
    assert other.llf_diffuse == pytest.approx(one.llf_diffuse, rel=1e-11, abs=1e-11)
    assert other.integrate(-x[-1], -x[0]) == pytest.approx(one.integrate(x[0], x[-1]), abs=1e-8 * one.integrate(x[0], x[-1]).se)


@repeatable
@given(mixed_readings(), st.floats(-100, 100, width=32), st.floats(0.01, 100))
def test_curve_moves_with_the_readings(observe, readings, shift, factor):
    order, x, y, deriv, sd, bandwidth = readings
    one = moments(fit(observe(x, y, deriv, sd), order, bandwidth=bandwidth), around(x))
    moved = observe(x, factor * (y + np.where(deriv == 0, shift, 0)), deriv, factor * sd)
    other = moments(fit(moved, order, bandwidth=bandwidth), around(x)) / np.array([factor, factor**2])[:, None, None]
    other[0, 0] -= shift
    # Observations 10^4 SD away from zero are rounded to 1e-12 SD before anything is computed.
    assert_same_posterior(one, other, 1e-10)


def test_sds_scale_with_the_readings():
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(0, 10, 50))
    y, rate = np.sin(x) + 0.2 * rng.standard_normal(50), np.cos(x) + 0.1 * rng.standard_normal(50)
    one = fit(sf.observe(x, y) + sf.observe(x, rate, deriv=1), 3)
    other = fit(sf.observe(x, 1e5 * y + 3e5) + sf.observe(x, 1e5 * rate, deriv=1), 3)
    np.testing.assert_allclose(other.sigma, 1e5 * one.sigma, rtol=1e-6)  # 1e-5 of the standard error
    assert other.q == pytest.approx(1e10 * one.q, rel=1e-5)
    assert other.bandwidth == pytest.approx(one.bandwidth, rel=1e-5)
    assert other.llf == pytest.approx(one.llf - 97 * np.log(1e5), rel=1e-10)  # a density of 100 - 3 contrasts


@pytest.mark.parametrize("kind", ["integer", "datetime"])
def test_time_stamps_since_1970_lose_nothing(kind):
    rng = np.random.default_rng(3)
    elapsed = np.cumsum(rng.integers(1, 10**7, 200))
    stamps = 1_700_000_000_123_456_789 + elapsed  # above 2^53: float64 would round them to 256 ns
    y = np.sin(elapsed / 1e8) + 0.1 * rng.standard_normal(200)
    x, unit = (stamps, None) if kind == "integer" else (stamps.astype("M8[ns]"), "ns")
    res = fit(sf.observe(x, y, unit=unit), 2)
    plain = fit(sf.observe(elapsed - elapsed[0], y), 2)
    np.testing.assert_array_equal(res.predict(x, deriv=1), plain.predict(elapsed - elapsed[0], deriv=1))
    assert res.bandwidth == plain.bandwidth
    between = stamps[:-1] + np.diff(stamps) // 2
    wanted = between if kind == "integer" else between.astype("M8[ns]")
    expected = plain.get_prediction((between - stamps[0]).astype(float), deriv=1)
    np.testing.assert_array_equal(res.get_prediction(wanted, deriv=1).var_pred_mean, expected.var_pred_mean)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_slope_at_the_first_reading_of_uneven_ones(order, dense, table):
    # Smoothers that start from a large variance instead of a diffuse one are furthest off here.
    rng = np.random.default_rng(order)
    x = 1e3 + np.cumsum(10.0 ** rng.uniform(-5, 0.5, 40))
    observations = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(40))
    res = fit(observations, order)
    prediction = res.get_prediction(x[:1], deriv=1)
    mean, variance = dense(table(observations, res.sigma), order, res.q).moments(x[:1], 1)
    assert abs(prediction.predicted_mean - mean) < 1e-11 * np.sqrt(variance)
    assert prediction.var_pred_mean == pytest.approx(variance, rel=1e-11)


@pytest.mark.parametrize("lam", [1e-3, 1.0, 100.0])
def test_cubic_smoothing_spline_is_that_of_scipy(lam):
    rng = np.random.default_rng(4)
    x, weights = np.sort(rng.uniform(0, 10, 40)), rng.uniform(0.2, 5, 40)
    y = np.sin(x) + 0.1 * rng.standard_normal(40)
    res = fit(sf.observe(x, y, weights=weights), 2, lam=lam)
    peer = make_smoothing_spline(x, y, w=weights, lam=lam)
    points = np.linspace(x[0], x[-1], 201)
    for k in range(3):
        expected = peer(points, nu=k)
        # scipy solves banded equations in B-splines on uneven knots: 1e-16 of their condition number.
        np.testing.assert_allclose(res.spline()(points, deriv=k), expected, rtol=0, atol=1e-9 * np.abs(expected).max())
        if k < 2:
            np.testing.assert_allclose(res.predict(points, deriv=k), expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    assert res.lam == pytest.approx(lam, rel=1e-12)


@pytest.mark.parametrize("exponent", [-490, 160, 490])
@pytest.mark.parametrize("known", [True, False])
def test_power_of_two_change_of_the_unit_of_y_changes_no_bit(exponent, known):
    rng = np.random.default_rng(5)
    x, t = np.sort(rng.uniform(0, 10, 60)), np.sort(rng.uniform(0, 10, 30))
    y, rate = np.sin(x) + 0.2 * rng.standard_normal(60), np.cos(t) + 0.1 * rng.standard_normal(30)

    def fitted(unit):
        sds = (0.2 * unit, 0.1 * unit) if known else (None, None)
        return fit(sf.observe(x, unit * y, sd=sds[0]) + sf.observe(t, unit * rate, deriv=1, sd=sds[1]), 3)

    unit = 2.0**exponent
    res, scaled = fitted(1.0), fitted(unit)
    points = around(x)
    np.testing.assert_array_equal(moments(scaled, points), moments(res, points) * np.array([unit, unit**2])[:, None, None])
    assert scaled.q == res.q * unit**2
    assert scaled.integrate(x[0], x[9]) == res.integrate(x[0], x[9]) * unit
    np.testing.assert_array_equal(scaled.sigma, res.sigma * unit)
    np.testing.assert_array_equal(scaled.bse, res.bse * np.where(res.bse.index == "q", unit**2, unit))
    np.testing.assert_array_equal(scaled.resid_standardized, res.resid_standardized)
    assert scaled.llf == pytest.approx(res.llf - 87 * exponent * np.log(2), rel=1e-13)
    assert "Restricted log-lik." in str(scaled.summary())


@pytest.mark.parametrize("unit", [1e-60, 1e-25, 1e25, 1e60])
def test_likelihood_of_readings_of_derivatives_in_any_unit_of_x(unit):
    rng = np.random.default_rng(6)
    x = np.sort(rng.uniform(0, 10, 40))
    y, rate = np.sin(x) + 0.2 * rng.standard_normal(40), np.cos(x) + 0.1 * rng.standard_normal(40)
    res = fit(sf.observe(x, y) + sf.observe(x, rate, deriv=1), 3)
    scaled = fit(sf.observe(x * unit, y) + sf.observe(x * unit, rate / unit, deriv=1), 3)
    design = np.zeros((80, 3))  # the observations of x^j / j!, in units of unit^j
    design[:40] = x[:, None] ** np.arange(3) / [1, 1, 2]
    design[40:, 1:] = x[:, None] ** np.arange(2) / unit
    log_det = 2 * np.log(np.abs(np.diag(np.linalg.qr(design, mode="r")))).sum() + 6 * np.log(unit)
    assert 2 * (scaled.llf - scaled.llf_diffuse) == pytest.approx(log_det, rel=1e-12)
    assert scaled.llf_diffuse == pytest.approx(res.llf_diffuse + (40 - 3) * np.log(unit), rel=1e-9)
    np.testing.assert_allclose(scaled.bse / scaled.params, res.bse / res.params, rtol=1e-5)


def test_integers_over_all_64_bits_keep_their_differences():
    """Two bursts of unit steps, 2^63 apart, against the same bursts in exact floats."""
    rng = np.random.default_rng(7)
    burst = np.cumsum(rng.integers(1, 4, 30))
    wide = np.concatenate([burst - 2**62, burst + 2**62])
    y = np.concatenate([np.sin(burst / 9), np.cos(burst / 9)]) + 0.1 * rng.standard_normal(60)
    res = fit(sf.observe(wide, y, sd=0.1), 1, lam=2.0)
    halves = [fit(sf.observe(burst, part, sd=0.1), 1, lam=2.0) for part in (y[:30], y[30:])]  # so far apart, they are separate
    points = np.arange(burst[0], burst[-1] + 1)
    for shift, alone in ((-(2**62), halves[0]), (2**62, halves[1])):
        one, other = res.get_prediction(points + shift), alone.get_prediction(points)
        np.testing.assert_allclose(one.predicted_mean, other.predicted_mean, rtol=1e-9)
        np.testing.assert_allclose(one.var_pred_mean, other.var_pred_mean, rtol=1e-9)
        np.testing.assert_array_equal(one.x, points + shift)
    np.testing.assert_allclose(res.predict(wide), res.fittedvalues, rtol=1e-13)
    slopes = res.predict(wide[:29], deriv=1)  # of the piece to the right
    np.testing.assert_allclose(slopes, np.diff(res.fittedvalues[:30]) / np.diff(burst), rtol=1e-9)
    area = res.integrate(wide[0], wide[29])
    assert area == pytest.approx(halves[0].integrate(burst[0], burst[-1]), rel=1e-9)
    assert area.se == pytest.approx(halves[0].integrate(burst[0], burst[-1]).se, rel=1e-9)
    shuffled = rng.permutation(60)
    again = fit(sf.observe(wide[shuffled], y[shuffled], sd=0.1), 1, lam=2.0)
    np.testing.assert_allclose(again.fittedvalues, res.fittedvalues[shuffled], rtol=1e-12)


def test_large_integers_are_asked_for_in_any_type():
    x = 2**60 + np.arange(12)
    res = fit(sf.observe(x, np.sin(np.arange(12.0)), sd=0.1), 2, lam=1.0)
    wanted = fit(sf.observe(np.arange(12), np.sin(np.arange(12.0)), sd=0.1), 2, lam=1.0)
    for asked in (np.uint64(2**60 + 3), 2**60 + 3, np.array(2**60 + 3, dtype=object)):
        assert res.predict(asked) == wanted.predict(3)
    assert np.isfinite(res.predict(np.int32(5)))
    assert res.spline()(3.0) == wanted.spline()(3.0)
    assert f"x is counted from {2**60}" in str(res.summary())
    ax = res.plot()
    assert ax.get_xlabel() == f"x - {2**60}"
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), wanted.plot().get_lines()[0].get_ydata())


def test_prediction_returns_the_times_it_was_given():
    times = np.datetime64("2024-01-01", "ns") + np.arange(20) * np.timedelta64(3_600_000_000_000, "ns")
    res = fit(sf.observe(times, np.sin(np.arange(20.0)), sd=0.1), 2, lam=1.0)
    asked = np.datetime64("2200-01-01T00:00:00.123456789") + np.arange(5)
    np.testing.assert_array_equal(res.get_prediction(asked).x, asked)
    np.testing.assert_array_equal(res.get_prediction(asked).summary_frame().index, asked)
    assert np.isfinite(res.predict(np.datetime64("1700-01-01")))


def test_a_noise_process_that_is_absent_has_intervals_in_any_unit():
    """Its length scale is then estimated at either end of the range; nodes that started there differed by 8 % of a half-width."""
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(0, 10, 60))
    y = np.sin(x) + 0.3 * x + 0.2 * rng.standard_normal(60)
    ends = []
    for unit in (1.0, 1e-12):
        observed = sf.observe(x, unit * y, name="f")
        res = sf.SmoothingSpline(observed, order=2, noise={"f": sf.priors.OrnsteinUhlenbeck()}).fit()
        assert "noise.f.amplitude" in res.boundary
        ends.append(res.get_prediction([0.5, 3.3, 10.5]).conf_int() / unit)
    assert np.abs((ends[1] - ends[0]) / np.diff(ends[0])).max() < 1e-6


def test_intervals_of_a_walk_and_a_stationary_process_do_not_depend_on_units():
    """A prior that was the root of rounding, where the two leave no noise, moved them by 4 to 20 % of a half-width."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 10, 25))
    y = np.sin(x) + 0.1 * rng.standard_normal(25)
    ends = []
    for unit in (1.0, 7.0):
        res = sf.SmoothingSpline(sf.observe(unit * x, y), prior=pri.IntegratedWiener(1) + pri.OrnsteinUhlenbeck()).fit()
        ends.append(np.log(res.conf_int().to_numpy()) + np.log(unit) * np.array([0, 1, -1, 0])[:, None])
    assert np.abs(ends[1] - ends[0]).max() < 2e-3


@pytest.mark.parametrize(
    "prior",
    [
        pri.Matern(2.5) + pri.Polynomial(0),
        pri.TensionSpline(2),
        pri.DampedOscillator() + pri.Polynomial(0),
        pri.IntegratedWiener(2),
    ],
    ids=["matern", "tension", "oscillator", "wiener"],
)
def test_estimates_do_not_depend_on_units(prior):
    rng = np.random.default_rng(11)
    x = np.sort(rng.uniform(0, 8, 60))
    y = np.sin(2.5 * x) + 0.2 * rng.standard_normal(60)
    res = sf.SmoothingSpline(sf.observe(x, y), prior=prior).fit()
    # powers of two: the same numbers to the last bit
    a, b = 2.0**-7, 2.0**5
    other = sf.SmoothingSpline(sf.observe(a * x, b * y), prior=prior).fit()
    assert np.array_equal(b * res.predict(x), other.predict(a * x))
    units = np.array([a**p.x_power * b**p.f_power for p in res.model.specification.hyperparameters])
    np.testing.assert_array_equal(
        other.params[list(res.fitted.posterior.hyperparameters)],
        np.array(list(res.fitted.posterior.hyperparameters.values())) * units,
    )
    assert other.llf - res.llf == pytest.approx(-(60 - res.model.specification.n_diffuse) * np.log(b), abs=1e-8)
