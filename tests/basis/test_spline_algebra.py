"""What can be done with splines: arithmetic, composition, conversion, zeros and extrema."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline, PPoly

import smoothfit as sf
from smoothfit.basis.spline import combination_of
from smoothfit.errors import DataError, KnotError, SpecificationError

X = np.r_[np.linspace(-1, 2, 61), 0.2, 0.5]


def random_spline(seed, degree, n_inner=4, repeats=0, **options):
    rng = np.random.default_rng(seed)
    inner = np.sort(np.r_[rng.uniform(-1, 2, n_inner), [0.5] * repeats])
    basis = sf.BSplineBasis(np.r_[[-1.0] * (degree + 1), inner, [2.0] * (degree + 1)], degree, **options)
    return sf.Spline(basis, rng.standard_normal(basis.n_basis))


def unclamped_spline(seed, degree):
    rng = np.random.default_rng(seed)
    knots = np.r_[-1 - np.sort(rng.random(degree))[::-1], -1, np.sort(rng.uniform(-1, 2, 3)), 2, 2 + np.sort(rng.random(degree))]
    return sf.Spline(sf.BSplineBasis(knots, degree), rng.standard_normal(degree + 4))


def assert_close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max(initial=1.0))


@pytest.mark.parametrize("seed", range(8))
def test_sums_and_products_are_those_of_the_values(seed):
    a = random_spline(seed, 1 + seed % 3, repeats=seed % 2)
    b = unclamped_spline(seed + 100, 1 + seed % 2) if seed % 3 else random_spline(seed + 100, 2)
    total, difference, product = a + b, a - b, a * b
    assert product.degree == a.degree + b.degree
    for deriv in range(2):
        assert_close(total(X, deriv), a(X, deriv) + b(X, deriv))
        assert_close(difference(X, deriv), a(X, deriv) - b(X, deriv))
    assert_close(product(X), a(X) * b(X))
    assert_close(product(X, 1), a(X, 1) * b(X) + a(X) * b(X, 1), 1e-11)
    assert_close((2 * a - 3)(X), 2 * a(X) - 3)
    assert_close((1 - a / 4)(X), 1 - a(X) / 4)
    assert_close((a - a)(X), 0 * X)


def test_products_keep_the_continuity_of_their_factors():
    a, b = random_spline(1, 3), random_spline(2, 2, repeats=1)
    product = a * b
    counts = dict(zip(*np.unique(product.basis.knots, return_counts=True), strict=True))
    for knot in np.setdiff1d(a.basis.inner_knots, b.basis.inner_knots):
        assert counts[knot] == 3  # degree 5, twice continuously differentiable
    for knot in np.setdiff1d(b.basis.inner_knots, a.basis.inner_knots):
        assert counts[knot] == 4  # once
    for order in range(2):
        left, right = product(0.5 - 1e-9, order), product(0.5 + 1e-9, order)
        assert abs(left - right) < 1e-5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("degree", [0, 1, 3, 5])
def test_the_same_function_in_finer_bases(seed, degree):
    s = random_spline(seed, degree, repeats=min(degree, 1)) if seed % 2 else unclamped_spline(seed, degree)
    for other in (s.insert([0.0, 0.1, 1.9]), s.refine(3), s.elevate(2)):
        assert_close(other(X), s(X), 1e-13)


@pytest.mark.parametrize("scale", [2.0, -0.5])
def test_composition_with_an_affine_map(scale):
    s = random_spline(3, 3)
    t = s.compose(scale, 0.25)
    x = np.linspace(*t.domain, 50)[1:-1]
    assert_close(t(x), s(scale * x + 0.25))
    assert_close(t(x, 2), scale**2 * s(scale * x + 0.25, 2))


@pytest.mark.parametrize("degree", [0, 1, 3, 4])
def test_conversions_to_scipy_and_back(degree):
    s = random_spline(degree, degree, repeats=min(degree, 1))
    inside = X[(X > -1) & (X < 2)]
    pp, bs = s.to_ppoly(), s.to_scipy()
    assert isinstance(pp, PPoly)
    assert isinstance(bs, BSpline)
    for deriv in range(degree + 1):
        assert_close(pp(inside, deriv), s(inside, deriv), 1e-11)
        assert_close(bs(inside, deriv), s(inside, deriv), 1e-11)
        assert_close(sf.Spline.from_scipy(pp)(inside, deriv), s(inside, deriv), 1e-11)
        assert_close(sf.Spline.from_scipy(bs)(inside, deriv), s(inside, deriv), 1e-11)
    assert np.isnan(bs(3.0))
    assert np.isnan(pp(3.0))
    wide = sf.Spline(sf.BSplineBasis(s.basis.knots, degree, extrapolate="polynomial"), s.coef)
    assert_close(wide.to_ppoly()([-1.5, 2.5]), wide([-1.5, 2.5]))
    assert_close(wide.to_scipy()([-1.5, 2.5]), wide([-1.5, 2.5]))


def test_vector_values_are_splines_side_by_side():
    rng = np.random.default_rng(0)
    basis = sf.BSplineBasis.uniform(-1, 2, 5)
    coef = rng.standard_normal((8, 2, 3))
    s = sf.Spline(basis, coef)
    assert s(X).shape == (63, 2, 3)
    assert s(0.5).shape == (2, 3)
    assert s(np.zeros((4, 5))).shape == (4, 5, 2, 3)
    for i, j in np.ndindex(2, 3):
        one = sf.Spline(basis, coef[:, i, j])
        for deriv in range(5):
            assert_close(s(X, deriv)[:, i, j], one(X, deriv))
        assert_close(s.antiderivative()(X)[:, i, j], one.antiderivative()(X))
        assert_close(s.integrate(-0.3, 1.7)[i, j], one.integrate(-0.3, 1.7))
        assert_close(s.refine(2)(X)[:, i, j], one(X))
        assert_close(s.to_ppoly()(X[1:-3])[:, i, j], one(X[1:-3]))
        assert_close((s + 1.0)(X)[:, i, j], one(X) + 1)
    with pytest.raises(SpecificationError, match="take one column"):
        s.roots()


@pytest.mark.parametrize("mode", ["polynomial", "linear", "constant", "zero", "nan", "periodic"])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_derivatives_follow_the_extrapolation(mode, degree):
    s = random_spline(degree, degree, extrapolate=mode)
    x = np.array([-3.3, -1.0, 0.1, 2.0, 2.2, 5.0])
    for deriv in range(degree + 2):
        expected = s.basis.design(x, deriv) @ s.coef
        np.testing.assert_allclose(s(x, deriv), expected, rtol=0, atol=1e-11 * max(1.0, np.nanmax(np.abs(expected), initial=0)))
        if deriv <= degree:
            np.testing.assert_array_equal(s.derivative(deriv)(x), s(x, deriv))
    if mode in ("polynomial", "constant", "zero", "nan"):
        running = s.antiderivative()
        np.testing.assert_allclose(running(x, 1), s(x), rtol=0, atol=1e-11)


def test_zeros_of_known_polynomials():
    """Products of factors with chosen zeros, in B-splines on uneven knots."""
    rng = np.random.default_rng(5)
    for zeros in ([0.1], [-0.9, 0.5, 1.99], [-1.0, 0.2, 2.0], [0.3, 0.3 + 1e-6, 0.9], [-0.5, -0.4, 0.1, 0.6, 1.2]):
        line = sf.BSplineBasis(np.r_[-1, -1, np.sort(rng.uniform(-1, 2, 3)), 2, 2], 1)
        spline = sf.Spline(line, line.greville - zeros[0])
        for zero in zeros[1:]:
            spline = spline * sf.Spline(line, line.greville - zero)
        found = spline.roots()
        assert len(found) == len(zeros)
        slopes = np.abs(spline(np.array(zeros), 1))
        error = 1e-15 * np.abs(combination_of(spline).pieces).max() / slopes
        assert (np.abs(found - zeros) <= 20 * error + 1e-15).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), degree=st.integers(1, 5))
def test_zeros_are_the_changes_of_sign(seed, degree):
    s = random_spline(seed, degree)
    zeros = s.roots()
    assert (np.diff(zeros) > 0).all()
    assert_close(s(zeros), 0 * zeros, 1e-13)
    ends = np.r_[-1.0, zeros, 2.0]
    grid = np.linspace(0.02, 0.98, 25)
    between = ends[:-1, None] + np.diff(ends)[:, None] * grid
    signs = np.sign(s(between))
    assert (signs == signs[:, :1]).all()
    fine = np.linspace(-1, 2, 20_001)
    assert len(zeros) >= np.count_nonzero(np.diff(np.sign(s(fine))) != 0)


def test_a_touch_is_a_zero_and_a_level_stretch_has_two_ends():
    touch = sf.Spline(sf.BernsteinBasis(2, 0, 2), [1.0, -1.0, 1.0])  # (x - 1)^2
    np.testing.assert_allclose(touch.roots(), [1.0], atol=1e-7)
    level = sf.Spline(sf.BSplineBasis([0, 0, 1, 2, 3, 3], 1), [1.0, 0, 0, -1.0])
    np.testing.assert_allclose(level.roots(), [1, 2])
    jump = sf.Spline(sf.BSplineBasis([0, 1, 2], 0), [1.0, -1.0])
    assert len(jump.roots()) == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), degree=st.integers(1, 5))
def test_extrema_are_the_highest_and_lowest_around(seed, degree):
    s = random_spline(seed, degree, repeats=degree - 1)
    x, value, is_maximum = s.extrema()
    np.testing.assert_array_equal(value, s(x))
    assert (np.diff(is_maximum.astype(int)) != 0).all()  # maxima and minima alternate
    fine = s(np.linspace(-1, 2, 30_001))
    turns = np.count_nonzero(np.diff(np.sign(np.diff(fine))[np.diff(fine) != 0]))
    assert len(x) >= turns
    for xi, v, top in zip(x, value, is_maximum, strict=True):
        near = s(np.clip(xi + np.array([-1e-4, 1e-4]), -1, 2))
        assert (near <= v + 1e-12).all() if top else (near >= v - 1e-12).all()


def test_a_plateau_is_one_extremum():
    s = sf.Spline(sf.BSplineBasis([0, 0, 1, 2, 3, 3], 1), [0.0, 1.0, 1.0, 0.0])
    x, value, is_maximum = s.extrema()
    np.testing.assert_array_equal(x, [1.5])
    np.testing.assert_array_equal(value, [1.0])
    assert is_maximum.all()
    step = sf.Spline(sf.BSplineBasis([0, 0, 1, 2, 3, 3], 1), [0.0, 1.0, 1.0, 2.0])
    assert len(step.extrema().x) == 0


def test_evaluation_keeps_its_digits_on_uneven_knots(oracle):
    knots = np.r_[[0.0] * 4, 1e-12, 1e-9, 1e-9 + 1e-15, 0.1, 1, 1e6, [1e12] * 4]
    basis = sf.BSplineBasis(knots)
    coef = np.random.default_rng(0).standard_normal(basis.n_basis)
    s, reference = sf.Spline(basis, coef), oracle(knots, 3)
    for x in (0.0, 3e-13, 1e-12, 5e-10, 1e-9, 0.05, 0.7, 4e5, 3e11, 1e12):
        for deriv in range(4):
            row = reference.row(x, deriv)
            assert abs(s(x, deriv) - row @ coef) <= 1e-13 * np.abs(row).max() * np.abs(coef).max()


def test_a_pickled_spline_is_the_same():
    s = random_spline(1, 3)
    copy = pickle.loads(pickle.dumps(s))
    np.testing.assert_array_equal(copy(X, 1), s(X, 1))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda s: sf.Spline(np.arange(4), [1, 2]), SpecificationError, "basis is ndarray"),
        (lambda s: s + random_spline(1, 3).compose(2.0), KnotError, "one domain"),
        (lambda s: s * random_spline(1, 5) * s, SpecificationError, "the product would have degree 11"),
        (lambda s: s + "1", SpecificationError, "a str does not combine"),
        (lambda s: s * np.inf, SpecificationError, "inf does not combine"),
        (lambda s: s / 0, SpecificationError, "divided by zero"),
        (lambda s: sf.Spline(s.basis, [[1, 2], [3]]), DataError, "coef"),
        (lambda s: sf.Spline.from_scipy(3), SpecificationError, "spline is an int"),
        (lambda s: s.compose(0.0), SpecificationError, "scale is 0"),
        (lambda s: s.integrate([0, 1], 2), SpecificationError, "single numbers"),
        (lambda s: s.derivative(4), SpecificationError, "k is 4"),
        (lambda s: s.roots(deriv=4), SpecificationError, "deriv is 4"),
        (lambda s: random_spline(0, 10).antiderivative(), SpecificationError, "degree 10, the highest"),
        (lambda s: sf.Spline(s.basis, [np.nan] * s.basis.n_basis), DataError, r"coef\[0\] is nan"),
        (lambda s: sf.Spline.from_scipy(PPoly([[1.0, 2.0]], [2.0, 1.0, 0.0])), KnotError, "reverse or clean"),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call(random_spline(0, 3))
