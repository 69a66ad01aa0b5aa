import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from smoothfit import calculus
from smoothfit.errors import DataError


def exact(h, k, rho):
    """The conditional integral, relative to its peak so that mpmath's absolute tolerance does no harm.

    Of the digits at work a correlation beside one takes 12.
    """
    h, k, rho = map(mpmath.mpf, (h, k, rho))
    r = mpmath.sqrt(1 - rho**2)
    a, c = (k - rho * h) / r, rho / r

    def log(y):
        return -((h - y) ** 2) / 2 + mpmath.log(mpmath.erfc(-(a + c * y) / mpmath.sqrt(2)))

    low, high = mpmath.mpf(0), max(h, 0) + 12 + abs(a)
    for _ in range(40):  # it scales and splits the integral: seven digits are more than enough
        third = (high - low) / 3
        low, high = (low + third, high) if log(low + third) < log(high - third) else (low, high - third)
    peak = (low + high) / 2
    top = log(peak)

    def end(limit):
        if log(limit) > top - 80:
            return limit
        near, far = peak, limit
        for _ in range(12):
            middle = (near + far) / 2
            near, far = (middle, far) if log(middle) > top - 80 else (near, middle)
        return far

    start, stop = end(mpmath.mpf(0)), end(peak + 20)
    points = {start + (peak - start) * i / 4 for i in range(5)} | {peak + (stop - peak) * i / 4 for i in range(5)}
    if c:
        points |= {min(max(-a / c + z / abs(c), start), stop) for z in (-12, -6, -2, 0, 2, 6, 12)}
    scaled = mpmath.quad(lambda y: mpmath.exp(log(y) - top), sorted(points), method="gauss-legendre")
    return mpmath.exp(top) * scaled / (2 * mpmath.sqrt(2 * mpmath.pi))


def cases():
    rng = np.random.default_rng(11)
    for _ in range(30):
        h, k = rng.normal(size=2) * rng.choice([1, 5, 20])
        distance = 10 ** rng.uniform(-12, 0)
        rho = rng.choice([rng.uniform(-1, 1), 1 - distance, -1 + distance])
        if rng.uniform() < 0.3:  # at the step of the conditional distribution
            k = np.sign(rho) * h + rng.normal() * np.sqrt(distance)
        yield float(h), float(k), float(rho)


def test_the_relative_error_is_below_1e_12_down_to_1e_300():
    tested, smallest = 0, 1.0
    with mpmath.workdps(30):
        for h, k, rho in cases():
            truth = exact(h, k, rho)
            if truth > 1e-300:
                tested, smallest = tested + 1, min(smallest, float(truth))
                assert float(calculus.bivariate_normal_cdf(h, k, rho)) == pytest.approx(float(truth), rel=1e-13)
    assert tested > 20
    assert smallest < 1e-150


def test_corners_of_the_range():
    with mpmath.workdps(30):
        for h, k, rho in ((-37.0, 10.0, 0.3), (-26.0, -26.0, 0.0), (-25.0, -25.0, 0.9), (10.0, -10.5, -0.99), (-18.0, -18.0, -0.3)):
            truth = float(exact(h, k, rho))
            assert truth > 1e-305
            assert float(calculus.bivariate_normal_cdf(h, k, rho)) == pytest.approx(truth, rel=1e-12)


def owen(h, k, rho):
    """Owen's formula, whose terms cancel in the tails."""
    r = np.sqrt(1 - rho**2)
    t = special.owens_t(h, (k - rho * h) / (h * r)) + special.owens_t(k, (h - rho * k) / (k * r))
    return (special.ndtr(h) + special.ndtr(k)) / 2 - t - (0.5 if h * k < 0 else 0.0)


@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(-0.999, 0.999))
def test_owens_formula_agrees_to_its_absolute_precision(h, k, rho):
    assume(abs(h) > 1e-6 and abs(k) > 1e-6)
    assert float(calculus.bivariate_normal_cdf(h, k, rho)) == pytest.approx(owen(h, k, rho), abs=1e-14)


def test_scipy_agrees_to_its_precision():
    distribution = stats.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]])
    assert float(calculus.bivariate_normal_cdf(0.3, -0.8, 0.6)) == pytest.approx(distribution.cdf([0.3, -0.8]), abs=1e-6)


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(-1, 1))
def test_symmetry_bounds_and_margins(h, k, rho):
    p = float(calculus.bivariate_normal_cdf(h, k, rho))
    assert p == pytest.approx(float(calculus.bivariate_normal_cdf(k, h, rho)), rel=1e-12)
    assert 0 <= p <= min(special.ndtr(h), special.ndtr(k)) * (1 + 1e-12)
    # P(X <= h, Y <= k) + P(X <= h, Y > k) = P(X <= h)
    assert p + float(calculus.bivariate_normal_cdf(h, -k, -rho)) == pytest.approx(special.ndtr(h), rel=1e-12)


def test_limits_of_perfect_correlation():
    h, k = np.array([0.3, -2.0, 1.0]), np.array([0.5, 1.0, -0.5])
    np.testing.assert_allclose(calculus.bivariate_normal_cdf(h, k, 1.0), np.minimum(special.ndtr(h), special.ndtr(k)), rtol=1e-15)
    np.testing.assert_allclose(
        calculus.bivariate_normal_cdf(h, k, -1.0), np.maximum(0, special.ndtr(h) - special.ndtr(-k)), rtol=1e-13, atol=1e-17
    )
    np.testing.assert_allclose(calculus.bivariate_normal_cdf(h, k, 1 - 1e-15), calculus.bivariate_normal_cdf(h, k, 1), rtol=1e-6)
    with mpmath.workdps(50):
        truth = mpmath.ncdf(mpmath.mpf(-8)) - mpmath.ncdf(mpmath.mpf(-8) - mpmath.mpf(2.0**-30))
    assert float(calculus.bivariate_normal_cdf(-8.0, 8.0 + 2.0**-30, -1.0)) == pytest.approx(float(truth), rel=1e-12)
    assert float(calculus.bivariate_normal_cdf(8.0 + 2.0**-30, -8.0, -1.0)) == pytest.approx(float(truth), rel=1e-12)
    assert calculus.bivariate_normal_cdf([np.inf, np.inf, -np.inf, 0.5], [np.inf, 0.5, 1.0, np.inf], 0.4).tolist() == [
        1.0,
        special.ndtr(0.5),
        0.0,
        special.ndtr(0.5),
    ]


@settings(deadline=None, max_examples=8)
@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(-0.95, 0.95))
def test_the_gradient_is_the_gradient(h, k, rho):
    gradient = calculus.bivariate_normal_gradient(h, k, rho)
    numeric = calculus.gradient(lambda v: calculus.bivariate_normal_cdf(*v), [h, k, rho], bounds=([-40, -40, -1], [40, 40, 1]))
    # beside a limit like 1e-13 the differences see rounding, and say so
    allowed = np.maximum(1e-9 + 1e-6 * np.abs(numeric.value), 2 * numeric.error)
    assert (np.abs(np.array(gradient) - numeric.value) <= allowed).all()


def test_known_gradients_and_their_limits():
    gradient = calculus.bivariate_normal_gradient(-1.0, 0.0, 0.5)
    assert (float(gradient.h), float(gradient.k)) == pytest.approx((0.1737709, 0.0495113), abs=5e-8)
    phi = stats.norm.pdf(1.0)
    edge = calculus.bivariate_normal_gradient([1.0, 1.0, 1.0], [2.0, 1.0, 0.5], 1.0)
    np.testing.assert_allclose(edge.h, [phi, phi / 2, 0.0], rtol=1e-14)
    assert edge.rho.tolist() == [0.0, np.inf, 0.0]
    near = calculus.bivariate_normal_gradient(1.0, 2.0, 1 - 1e-12)
    assert (float(near.h), float(near.rho)) == pytest.approx((phi, 0.0))


def test_the_common_mean_form():
    x, y, mean, sd1, sd2, rho = 0.3, -0.4, 0.2, 1.5, 0.7, -0.6
    probability, slope = calculus.bivariate_normal_common_mean(x, y, mean, sd1, sd2, rho)
    assert float(probability) == pytest.approx(
        float(calculus.bivariate_normal_cdf((x - mean) / sd1, (y - mean) / sd2, rho)), rel=1e-14
    )
    numeric = calculus.derivative(lambda m: float(calculus.bivariate_normal_common_mean(x, y, m, sd1, sd2, rho)[0]), mean)
    assert abs(float(slope) - float(numeric.value)) <= numeric.error + 1e-12


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: calculus.bivariate_normal_cdf(0.0, 0.0, [0.5, 1.1]), r"rho\[1\] is 1.1; a correlation lies in \[-1, 1\]"),
        (lambda: calculus.bivariate_normal_gradient(0.0, np.nan, 0.5), r"k\[0\] is nan"),
        (lambda: calculus.bivariate_normal_cdf([0.0, 1.0], [0.0, 1.0, 2.0], 0.5), "do not broadcast"),
        (lambda: calculus.bivariate_normal_common_mean(0.0, 0.0, 0.0, -1.0, 1.0, 0.5), r"sd1\[0\] is -1.0"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(DataError, match=words):
        call()
