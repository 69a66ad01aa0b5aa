import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from smoothfit import calculus
from smoothfit.errors import DataError, SpecificationError

SIZES = np.concatenate([[0.0], 10.0 ** np.array([-150, -20, -9, -5, -1, 0, 0.5, 2, 5, 20, 150])])
RESIDUALS = np.concatenate([SIZES, -SIZES])


def exact(name, r, delta):
    r = mpmath.mpf(float(r))
    if name == "pseudo_huber":
        root = mpmath.sqrt(1 + (r / delta) ** 2)
        return delta**2 * ((r / delta) ** 2 / (1 + root)), r / root, root**-3
    size = abs(r)
    value = mpmath.log1p(2 * mpmath.sinh(size / 2) ** 2) if size < 1000 else size - mpmath.log(2)
    return value, mpmath.tanh(r), 1 / mpmath.cosh(r) ** 2 if size < 1000 else mpmath.mpf(0)


@pytest.mark.parametrize(("name", "delta"), [("pseudo_huber", 1.0), ("pseudo_huber", 1e-3), ("log_cosh", None)])
def test_smooth_losses_have_all_digits_at_every_size(name, delta):
    loss = getattr(calculus, name)(RESIDUALS, *([] if delta is None else [delta]))
    with mpmath.workdps(400):
        truths = np.array([[float(v) for v in exact(name, r, delta)] for r in RESIDUALS]).T
    np.testing.assert_allclose(loss.value, truths[0], rtol=4e-15)
    np.testing.assert_allclose(loss.slope, truths[1], rtol=4e-15)
    np.testing.assert_allclose(loss.curvature, truths[2], rtol=1e-14, atol=1e-300)


def test_huber_is_scipys_without_overflow():
    loss = calculus.huber(RESIDUALS, 1.5)
    np.testing.assert_allclose(loss.value, special.huber(1.5, RESIDUALS), rtol=1e-15)
    assert calculus.huber(1e200, 1e3).value == pytest.approx(1e203)
    assert loss.slope.min() == -1.5
    assert np.isfinite(calculus.pseudo_huber([np.inf, -np.inf]).slope).all()


@settings(deadline=None, max_examples=50)
@given(st.floats(-30, 30), st.floats(0.1, 5), st.sampled_from(["huber", "pseudo_huber"]))
def test_slopes_and_curvatures_are_derivatives(r, delta, name):
    f = getattr(calculus, name)
    loss = f(r, delta)
    slope = calculus.derivative(lambda z: f(z, delta).value, r)
    assert abs(float(loss.slope) - float(slope.value)) <= slope.error + 1e-9
    if abs(abs(r) - delta) > 1e-3 or name != "huber":
        curvature = calculus.derivative(lambda z: f(z, delta).slope, r)
        assert abs(float(loss.curvature) - float(curvature.value)) <= curvature.error + 1e-9


@given(st.floats(-1e3, 1e3))
def test_smooth_losses_lie_below_the_absolute_one(r):
    assert calculus.log_cosh(r).value <= abs(r) + 1e-12
    assert abs(r) - calculus.log_cosh(r).value <= np.log(2) + 1e-12
    assert calculus.pseudo_huber(r).value <= calculus.huber(r).value + 1e-12


def test_absolute_errors_and_their_subdifferential():
    y, prediction = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 1.0, 4.0])
    assert calculus.mean_absolute_error(y, prediction) == 0.75
    slopes = calculus.mean_absolute_error_subdifferential(y, prediction)
    np.testing.assert_array_equal(slopes.lower, [0.25, -0.25, -0.25, -0.25])
    np.testing.assert_array_equal(slopes.upper, [0.25, 0.25, -0.25, 0.25])
    np.testing.assert_array_equal(slopes.least_norm, [0.25, 0.0, -0.25, 0.0])
    assert slopes.contains(slopes.least_norm)
    assert not slopes.contains([0.25, 0.3, -0.25, 0.0])


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=6), st.lists(st.floats(-9, 9), min_size=6, max_size=6))
def test_subgradients_support_the_error(y, other):
    y, other = np.array(y), np.array(other[: len(y)])
    at = np.where(np.arange(len(y)) % 2 == 0, y, other)  # ties at every other place
    slopes = calculus.mean_absolute_error_subdifferential(y, at)
    for g in (slopes.lower, slopes.upper, slopes.least_norm):
        assert calculus.mean_absolute_error(y, other) >= calculus.mean_absolute_error(y, at) + g @ (other - at) - 1e-9


def test_a_median_is_where_zero_is_a_subgradient():
    y = np.array([1.0, 2.0, 7.0])
    at_median = calculus.mean_absolute_error_subdifferential(y, np.full(3, 2.0))
    assert at_median.lower.sum() <= 0 <= at_median.upper.sum()
    beside = calculus.mean_absolute_error_subdifferential(y, np.full(3, 3.0))
    assert not beside.lower.sum() <= 0 <= beside.upper.sum()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: calculus.huber([1.0, np.nan]), DataError, r"r\[1\] is nan"),
        (lambda: calculus.pseudo_huber(1.0, delta=0.0), SpecificationError, "delta is 0.0"),
        (lambda: calculus.log_cosh("a"), DataError, "pass real numbers"),
        (lambda: calculus.mean_absolute_error([1.0], [1.0, 2.0]), DataError, "go together"),
        (lambda: calculus.mean_absolute_error([], []), DataError, "y is empty"),
        (lambda: calculus.mean_absolute_error([np.nan], [1.0]), DataError, r"y\[0\] is nan"),
    ],
)
def test_bad_input_is_told(call, error, words):
    with pytest.raises(error, match=words):
        call()
