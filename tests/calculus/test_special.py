import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from smoothfit import calculus
from smoothfit.errors import DataError


def mills(x):
    x = mpmath.mpf(x)
    return mpmath.npdf(x) / (mpmath.erfc(-x / mpmath.sqrt(2)) / 2)


def worst(values, truths):
    return max(float(abs((mpmath.mpf(float(v)) - t) / t)) for v, t in zip(values, truths, strict=True))


@pytest.fixture(scope="module")
def abscissae():
    rng = np.random.default_rng(3)
    left = -(10 ** rng.uniform(-8, 8, 200))
    right = 10 ** rng.uniform(-8, np.log10(37.5), 100)  # phi is a normal number up to there
    return np.concatenate([left, right, np.linspace(-8, 8, 101), [-4.0, -3.9999999, -1e8, -20.0, 37.5]])


def test_inverse_mills_has_all_digits_in_every_tail(abscissae):
    with mpmath.workdps(50):
        assert worst(calculus.inverse_mills(abscissae), [mills(x) for x in abscissae]) < 2e-15


def test_its_derivative_has_all_digits_in_every_tail(abscissae):
    with mpmath.workdps(80):
        truths = [-mills(x) * (mpmath.mpf(x) + mills(x)) for x in abscissae]
        values = calculus.inverse_mills_derivative(abscissae)
        assert worst(values, truths) < 1e-14
    assert np.all((values > -1) & (values < 0))


def test_known_values_and_limits():
    assert calculus.inverse_mills([0.0, -40.0]) == pytest.approx([0.797884561, 40.0249688], rel=1e-8)
    assert float(calculus.inverse_mills_derivative(0.0)) == pytest.approx(-0.636619772, rel=1e-8)
    assert calculus.inverse_mills([np.inf, -np.inf]).tolist() == [0.0, np.inf]
    assert calculus.inverse_mills_derivative([np.inf, -np.inf]).tolist() == [0.0, -1.0]
    assert calculus.inverse_mills(1e8) == 0


@given(st.floats(-1e8, 30))
def test_the_derivative_is_the_derivative(x):
    numeric = calculus.derivative(calculus.inverse_mills, x, typical=0.1)
    assert abs(float(calculus.inverse_mills_derivative(x)) - float(numeric.value)) <= 2 * numeric.error + 1e-12


@given(st.floats(-1e6, 30), st.floats(1e-6, 10))
def test_the_ratio_falls_slower_than_x(x, step):
    low, high = calculus.inverse_mills(x), calculus.inverse_mills(x + step)
    assert high <= low
    assert low - high <= step * (1 + 1e-9) + 1e-9


def test_it_is_the_mean_of_a_truncated_normal():
    for x in (-3.0, 0.5):
        mean = integrate.quad(lambda z: z * np.exp(-z * z / 2), -np.inf, x)[0] / np.sqrt(2 * np.pi) / special.ndtr(x)
        assert float(calculus.inverse_mills(x)) == pytest.approx(-mean, rel=1e-10)


def test_logistic_growth_solves_its_equation_and_never_overflows():
    t = np.array([-1e5, -3.0, 0.0, 2.0, 50.0, 1e5])
    K, r, x0 = 7.0, 0.9, 2.0
    x = calculus.logistic_growth(t, K, r, x0)
    assert x[2] == pytest.approx(x0, rel=1e-15)
    assert x[-1] == K
    with mpmath.workdps(50):
        k, rate, start = mpmath.mpf(K), mpmath.mpf(r), mpmath.mpf(x0)
        exact = [k / (1 + (k / start - 1) * mpmath.exp(-rate * mpmath.mpf(s))) for s in t[1:-1]]
        slopes = [rate * z * (1 - z / k) for z in exact]
        assert worst(x[1:-1], exact) < 1e-14
        assert worst(calculus.logistic_growth_derivative(t[1:-1], K, r, x0), slopes) < 1e-13  # 1 - x/K has none at t = 50
    assert calculus.logistic_growth_derivative(np.array([-1e5, 1e5]), K, r, x0).tolist() == [0.0, 0.0]


def test_growth_from_just_below_the_capacity():
    start = np.nextafter(1.0, 0)
    assert calculus.logistic_growth_derivative(0.0, 1.0, 1.0, start) == pytest.approx(2.0**-53, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: calculus.inverse_mills([0.0, np.nan]), r"x\[1\] is nan"),
        (lambda: calculus.inverse_mills_derivative([1j]), "complex128"),
        (lambda: calculus.logistic_growth(0.0, -1.0, 1.0, 0.5), "capacity"),
        (lambda: calculus.logistic_growth(0.0, 1.0, 1.0, [0.5, 1.5]), r"start\[1\] is 1.5"),
        (lambda: calculus.logistic_growth([0.0, 1.0], 1.0, [1.0, 2.0, 3.0], 0.5), "do not broadcast"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(DataError, match=words):
        call()
