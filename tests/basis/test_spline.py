import pickle

import numpy as np
import pytest
from scipy.interpolate import BSpline

import smoothfit as sf
from smoothfit.errors import DataError, KnotError, SpecificationError

KNOTS = np.array([0, 0, 0, 0, 0.3, 0.5, 0.5, 0.6, 1, 1, 1, 1])
COEF = np.array([1.0, -2.0, 0.5, 3.0, 0.0, -1.0, 2.0, 1.0])
X = np.linspace(0, 1, 57)


@pytest.fixture
def spline():
    return sf.Spline(sf.BSplineBasis(KNOTS, degree=3), COEF)


def test_basis_tells_its_size_and_domain():
    basis = sf.BSplineBasis(KNOTS)
    assert (basis.n_basis, basis.degree, basis.domain) == (8, 3, (0.0, 1.0))


def test_values_and_derivatives_are_scipys(spline):
    reference = BSpline(KNOTS, COEF, 3)
    for deriv in range(4):
        expected = reference(X, nu=deriv)
        np.testing.assert_allclose(spline(X, deriv=deriv), expected, rtol=0, atol=1e-15 * np.abs(expected).max())
        np.testing.assert_allclose(spline.derivative(deriv)(X), reference(X, nu=deriv), rtol=1e-12, atol=1e-10)
    np.testing.assert_array_equal(spline(X, deriv=4), np.zeros(57))
    assert spline(0.25).shape == ()


def test_integral_is_the_difference_of_the_antiderivative(spline):
    running = spline.antiderivative()
    assert running.basis.degree == 4
    assert running(0.0) == 0.0
    assert spline.integrate(0.2, 0.9) == pytest.approx(float(running(0.9) - running(0.2)), rel=1e-13)
    np.testing.assert_allclose(running(X, deriv=1), spline(X), rtol=1e-12, atol=1e-13)


def test_scipy_round_trip(spline):
    back = sf.Spline.from_scipy(spline.to_scipy())
    np.testing.assert_array_equal(back.coef, spline.coef)
    np.testing.assert_array_equal(back.basis.knots, spline.basis.knots)


def test_a_spline_is_frozen(spline):
    with pytest.raises(ValueError, match="read-only"):
        spline.coef[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        spline.basis.knots[0] = 1.0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda s: sf.BSplineBasis([0, 1, 0.5, 2], degree=1), KnotError, r"knots\[2\] = 0.5 is below"),
        (lambda s: sf.BSplineBasis([0, 1, 2], degree=1), KnotError, "3 knots are too few for degree 1"),
        (lambda s: sf.BSplineBasis([0, 0, 0, 1, 1, 1], degree=1), KnotError, r"knots\[0\] = 0.0 is repeated"),
        (lambda s: sf.BSplineBasis([0, 1, 1, 2], degree=1), KnotError, "the domain from .* is the point 1.0"),
        (lambda s: sf.BSplineBasis([0, np.nan, 1, 2], degree=1), DataError, r"knots\[1\] is nan"),
        (lambda s: sf.BSplineBasis(KNOTS, degree=11), SpecificationError, "degree is 11"),
        (lambda s: sf.Spline(s.basis, COEF[:-1]), DataError, "coef has 7 entries; the basis has 8"),
        (lambda s: s([0.5, 1.5]), DataError, r"x\[1\] = 1.5 is outside"),
        (lambda s: s(np.nan), DataError, r"x\[0\] is nan"),
        (lambda s: s.integrate(-1, 0.5), DataError, r"lower\[0\] = -1.0 is outside"),
        (lambda s: s(0.5, deriv=-1), SpecificationError, "deriv is -1"),
    ],
)
def test_bad_input_is_named(spline, call, error, words):
    with pytest.raises(error, match=words):
        call(spline)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_antiderivative_starts_at_zero_on_unclamped_knots_too(degree):
    basis = sf.BSplineBasis(np.arange(9.0) ** 1.5, degree=degree)
    spline = sf.Spline(basis, np.arange(basis.n_basis) + 1.0)
    lower, upper = basis.domain
    running = spline.antiderivative()
    assert running.basis.domain == basis.domain
    assert running(lower) == pytest.approx(0, abs=1e-13)
    for x in np.linspace(lower, upper, 7):
        assert running(x) == pytest.approx(spline.integrate(lower, x), rel=1e-12, abs=1e-12)


def test_an_unpickled_spline_is_frozen(spline):
    spline(0.5)
    again = pickle.loads(pickle.dumps(spline))
    np.testing.assert_array_equal(again(X), spline(X))
    for array in (again.coef, again.basis.knots):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize("clamped", [False, True])
def test_far_beyond_a_short_end_piece_a_spline_keeps_its_digits(clamped):
    import mpmath as mp

    inner = [0.0, 1e-3, 1.0, 2.0]
    knots = [0.0] * 6 + inner[1:] + [2.0] * 5 if clamped else [-5.0, -4, -3, -2, -1, 0, 1e-3, 1, 2, 3, 4, 5, 6]
    basis = sf.BSplineBasis(knots, 5, "polynomial")
    coef = np.array([1.0, -1, 2, -2, 3, 1, -1, 2])[: basis.n_basis]
    s = sf.Spline(basis, coef)
    with mp.workdps(60):

        def exact(t, x):
            """De Boor's recursion on the first piece."""
            points, start = [mp.mpf(float(c)) for c in coef[:6]], 5
            x, t = mp.mpf(x), [mp.mpf(float(knot)) for knot in t]
            for r in range(1, 6):
                for j in range(5, r - 1, -1):
                    low, high = t[j + start - 5], t[j + 1 + start - r]
                    points[j] = ((high - x) * points[j - 1] + (x - low) * points[j]) / (high - low)
            return points[5]

        at = -0.5
        value, slope = exact(knots, at), mp.diff(lambda x: exact(knots, x), at)
        area = mp.quad(lambda x: exact(knots, x), [at, 0])
    size = float((np.abs(basis.design([at]).toarray()) @ np.abs(coef))[0])  # what rounding is relative to
    assert float(s(at)) == pytest.approx(float(value), abs=1e-14 * size)
    assert float(s(at, deriv=1)) == pytest.approx(float(slope), abs=1e-12 * size)
    assert s.integrate(at, 0.0) == pytest.approx(float(area), abs=1e-12 * size)
    assert float(s.antiderivative()(at)) == pytest.approx(-float(area), abs=1e-12 * size)
    assert float(s.to_scipy()(at)) == pytest.approx(float(value), abs=1e-13 * size)
    if not clamped:
        assert float(s.to_ppoly()(at)) == pytest.approx(float(value), rel=1e-9)
        assert float(s(at)) == pytest.approx(78.73407, abs=1e-5)
