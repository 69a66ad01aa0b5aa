import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smoothfit as sf
from smoothfit.errors import DataError, KnotError, SpecificationError

KNOTS = np.r_[[0.0] * 4, 0.3, 0.5, 0.5, 0.6, [2.0] * 4]
X = np.r_[np.linspace(0, 2, 41), 0.3, 0.5, 0.6]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(9)
SPLINES = {
    "B": sf.BSplineBasis(KNOTS),
    "M": sf.MSplineBasis(KNOTS),
    "I": sf.ISplineBasis(KNOTS),
    "C": sf.CSplineBasis(KNOTS),
    "natural": sf.NaturalSplineBasis(KNOTS),
    "Bernstein": sf.BernsteinBasis(4, 0, 2),
    "periodic": sf.PeriodicBSplineBasis([0, 0.3, 0.5, 0.6, 1.1, 2]),
    "conditioned": sf.BoundaryConditionBasis(sf.BSplineBasis(KNOTS), left=[[1.0, -2.0]], right=[{2: 1.0}, {0: 1.0}]),
    "Fourier": sf.FourierBasis(2.0, 3),
}
CASES = pytest.mark.parametrize("basis", SPLINES.values(), ids=SPLINES.keys())


def quadrature(basis, a, b):
    """Nodes and weights of a rule between a and b that is exact for the pieces of any of the bases, and more."""
    cuts = np.unique(np.r_[a, b, KNOTS[(a < KNOTS) & (b > KNOTS)], 1.1, np.linspace(a, b, 33)])
    cuts = cuts[(cuts >= a) & (cuts <= b)]
    half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
    return (middle[:, None] + half[:, None] * NODES).ravel(), (half[:, None] * WEIGHTS).ravel()


@CASES
def test_derivatives_are_the_slopes(basis):
    """Complex steps do not pass through the kernel: central differences of the order below, inside the pieces."""
    x, step = np.array([0.11, 0.41, 0.57, 0.9, 1.7]), 1e-5
    for deriv in range(1, 4):
        slopes = (basis.design(x + step, deriv - 1, sparse=False) - basis.design(x - step, deriv - 1, sparse=False)) / (2 * step)
        exact = basis.design(x, deriv, sparse=False)
        np.testing.assert_allclose(
            slopes, exact, rtol=0, atol=1e-7 * max(1.0, np.abs(basis.design(x, deriv + 2, sparse=False)).max())
        )


@CASES
def test_integrals_are_the_quadrature(basis):
    for a, b in ((0.0, 2.0), (0.07, 0.55), (0.9, 0.31), (1.3, 1.3)):
        low, high = min(a, b), max(a, b)
        if low == high:
            expected = np.zeros(basis.n_basis)
        else:
            x, weights = quadrature(basis, low, high)
            expected = weights @ basis.design(x, sparse=False) * (1 if a <= b else -1)
        np.testing.assert_allclose(basis.integral(a, b)[0], expected, rtol=0, atol=1e-13 * basis.n_basis)


@CASES
def test_penalties_are_the_quadrature(basis):
    x, weights = quadrature(basis, *basis.domain)
    for order in range(4):
        rows = basis.design(x, order, sparse=False)
        expected = rows.T @ (weights[:, None] * rows)
        penalty = basis.penalty(order, sparse=False)
        np.testing.assert_allclose(penalty, expected, rtol=0, atol=1e-12 * max(np.abs(expected).max(), 1e-300))
        np.testing.assert_array_equal(penalty, penalty.T)


@CASES
def test_bases_pickle_frozen(basis):
    basis.design(X[:3])
    copy = pickle.loads(pickle.dumps(basis))
    np.testing.assert_array_equal(copy.design(X, sparse=False), basis.design(X, sparse=False))
    if hasattr(basis, "knots"):
        with pytest.raises(ValueError, match="read-only"):
            copy.knots[0] = 5.0


@CASES
def test_splines_of_every_family_are_their_combinations(basis):
    if isinstance(basis, sf.FourierBasis):
        with pytest.raises(SpecificationError, match="FourierBasis"):
            sf.Spline(basis, np.ones(basis.n_basis))
        return
    coef = np.random.default_rng(0).standard_normal(basis.n_basis)
    spline = sf.Spline(basis, coef)
    for deriv in range(3):
        expected = basis.design(X[:-4], deriv) @ coef
        np.testing.assert_allclose(spline(X[:-4], deriv), expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    assert spline.integrate(0.2, 1.3) == pytest.approx(float(basis.integral(0.2, 1.3)[0] @ coef), rel=1e-13)


def test_m_splines_integrate_to_one_and_i_splines_are_their_integrals():
    m, i, c = SPLINES["M"], SPLINES["I"], SPLINES["C"]
    np.testing.assert_allclose(m.integral(0, 2)[0], 1, rtol=1e-14)
    np.testing.assert_allclose(i.design(X, sparse=False), m.integral(0, X), rtol=0, atol=1e-14)
    np.testing.assert_allclose(i.design(X, 1, sparse=False), m.design(X, sparse=False), rtol=1e-12, atol=1e-13)
    rising = i.integral(0, X)
    np.testing.assert_allclose(c.design(X, sparse=False), rising / i.integral(0, 2), rtol=0, atol=1e-14)
    means = 2 - np.array([KNOTS[j : j + 5].mean() for j in range(m.n_basis)])
    np.testing.assert_allclose(i.integral(0, 2)[0], means, rtol=1e-14)
    unscaled = sf.CSplineBasis(KNOTS, scaled=False)
    np.testing.assert_allclose(unscaled.design(X, sparse=False), rising, rtol=0, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), degree=st.integers(0, 4))
def test_nonnegative_combinations_have_their_shape(seed, degree):
    rng = np.random.default_rng(seed)
    breaks = np.cumsum(10.0 ** rng.uniform(-1, 1, 6))
    coef = rng.exponential(size=degree + 5)
    x = np.linspace(breaks[0], breaks[-1], 200)
    knots = np.r_[[breaks[0]] * degree, breaks, [breaks[-1]] * degree]
    rising = sf.ISplineBasis(knots, degree).design(x) @ coef
    convex = sf.CSplineBasis(knots, degree).design(x) @ coef
    assert np.diff(rising).min() >= -1e-14 * rising[-1]
    assert np.diff(convex, 2).min() >= -1e-14 * convex[-1]
    assert rising[0] == 0
    assert rising[-1] == pytest.approx(coef.sum(), rel=1e-14)
    assert convex[-1] == pytest.approx(coef.sum(), rel=1e-13)


@pytest.mark.parametrize("n_inner", range(6))
def test_natural_splines_are_straight_at_the_ends_and_hold_lines(n_inner):
    rng = np.random.default_rng(n_inner)
    inner = np.sort(rng.uniform(-3, 8, n_inner))
    basis = sf.NaturalSplineBasis(np.r_[[-3.0] * 4, inner, [8.0] * 4], extrapolate="linear")
    assert basis.n_basis == n_inner + 2
    x = np.linspace(-3, 8, 50)
    values = basis.design(x, sparse=False)
    assert values.min() >= 0
    assert np.linalg.matrix_rank(values) == basis.n_basis
    assert np.linalg.cond(values) < 100
    curvature = basis.design([-3, 8], 2, sparse=False)
    assert np.abs(curvature).max() <= 1e-13 * max(1.0, np.abs(basis.parent.design([-3, 8], 2, sparse=False)).max())
    for line in (np.ones(50), x):
        coef, *_ = np.linalg.lstsq(values, line, rcond=None)
        np.testing.assert_allclose(values @ coef, line, rtol=0, atol=1e-12)
        beyond = np.array([-7.0, 9.0])
        np.testing.assert_allclose(basis.design(beyond) @ coef, beyond ** (line[0] != 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_periodic_splines_join_smoothly(n, degree):
    rng = np.random.default_rng(n)
    knots = np.r_[-1.0, np.sort(rng.uniform(-0.9, 2.9, n - 1)), 3.0]
    basis = sf.PeriodicBSplineBasis(knots, degree)
    assert basis.n_basis == n
    x = rng.uniform(-1, 3, 30)
    np.testing.assert_allclose(basis.design(x).sum(axis=1), 1, rtol=1e-13)
    for deriv in range(degree):
        # From the left of the end, the first piece shifted by a period: one polynomial less, one knot more.
        left = basis.parent.design([3.0], deriv) @ basis.matrix
        right = basis.design([-1.0, 3.0, 7.0], deriv, sparse=False)
        size = max(1.0, np.abs(right).max())
        np.testing.assert_array_equal(right[1:], right[[0, 0]])
        np.testing.assert_allclose(left.toarray()[0], right[0], rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(basis.design(x + 12, sparse=False), basis.design(x, sparse=False), rtol=0, atol=1e-12)
    unit = sf.PeriodicBSplineBasis(knots, degree, unit_integral=True)
    np.testing.assert_allclose(unit.integral(-1, 3)[0], 1, rtol=1e-13)
    np.testing.assert_allclose(unit.integral(0.3, 12.3)[0], 3, rtol=1e-13)
    refined = basis.refine(2)
    assert refined.n_basis == 2 * n


def test_bernstein_polynomials_are_binomial():
    basis = sf.BernsteinBasis(5, -1, 3)
    u = (X + 1) / 4
    from scipy.stats import binom

    np.testing.assert_allclose(basis.design(X, sparse=False), binom.pmf(np.arange(6), 5, u[:, None]), rtol=1e-12, atol=1e-15)
    assert basis.elevate(2).n_basis == 8
    assert sf.BernsteinBasis.from_data([4, np.nan, 1], 2).domain == (1.0, 4.0)


@pytest.mark.parametrize("seed", range(5))
def test_conditions_hold_and_nothing_else_is_lost(seed):
    rng = np.random.default_rng(seed)
    bsplines = sf.BSplineBasis.uniform(-2, 5, 7, degree=4)
    left, right = [dict(enumerate(rng.standard_normal(3)))], [{1: 1.0}, {3: 2.0, 0: 1.0}]
    basis = sf.BoundaryConditionBasis(bsplines, left, right)
    assert basis.n_basis == bsplines.n_basis - 3
    assert np.linalg.matrix_rank(basis.matrix.toarray()) == basis.n_basis
    for end, conditions in ((-2.0, left), (5.0, right)):
        for condition in conditions:
            parts = [w * basis.design([end], k, sparse=False)[0] for k, w in condition.items()]
            size = max(np.abs(bsplines.design([end], k, sparse=False)).max() for k in condition)
            assert np.abs(sum(parts)).max() <= 1e-13 * size
    rows, columns = basis.matrix.tocoo().coords
    assert np.abs(rows - columns - 1).max() <= 4  # banded
    natural = sf.BoundaryConditionBasis(sf.BSplineBasis(KNOTS), left=[{2: 1}], right=[{2: 1}])
    both = np.hstack([natural.design(X, sparse=False), SPLINES["natural"].design(X, sparse=False)])
    assert np.linalg.matrix_rank(both, tol=1e-10) == natural.n_basis == SPLINES["natural"].n_basis


@CASES
def test_abscissae_of_the_functions_lie_where_they_do(basis):
    if isinstance(basis, sf.FourierBasis):
        return
    places = basis.greville
    lower, upper = basis.domain
    assert places.shape == (basis.n_basis,)
    assert (places >= lower).all()
    assert (places <= upper).all()
    rates = {"ISplineBasis": 1, "CSplineBasis": 2}.get(type(basis).__name__, 0)  # I- and C-splines do not end: their rates do
    assert (np.abs(basis.design(places, rates, sparse=False).diagonal()) > 0).all()


def test_greville_abscissae_are_the_coefficients_of_x():
    for basis in (SPLINES["B"], SPLINES["Bernstein"], sf.BSplineBasis.uniform(0, 3, 4, degree=1)):
        x = np.linspace(*basis.domain, 9)
        np.testing.assert_allclose(basis.design(x) @ basis.greville, x, rtol=0, atol=1e-14)
    plane = sf.TensorProductBasis(SPLINES["B"], SPLINES["Bernstein"])
    points = np.random.default_rng(0).uniform(0, 2, (20, 2))
    np.testing.assert_allclose(plane.design(points) @ plane.greville, points, rtol=0, atol=1e-14)


def test_conditions_stay_when_knots_are_inserted():
    basis = SPLINES["conditioned"]
    for finer in (basis.insert([1.0]), basis.refine(2), basis.elevate()):
        coef = np.ones(finer.n_basis)
        start, end = finer.design([0.0, 2.0]) @ coef
        slope = (finer.design([0.0], 1) @ coef)[0]
        assert abs(start - 2 * slope) < 1e-11
        assert abs(end) < 1e-12
        assert finer.degree >= basis.degree
        assert len(finer.inner_knots) > 0


def test_fourier_series_keep_their_digits_far_out():
    basis = sf.FourierBasis(0.25, 4, start=0.125)
    x = np.array([0.125, 0.1875, 0.25, 1e6 + 0.25])
    w = 2 * np.pi / 0.25
    expected = {0: [1, 0, -1, -1], 1: [0, -1, 0, 0], 2: [-1, 0, 1, 1]}
    for deriv, values in expected.items():
        np.testing.assert_allclose(basis.design(x, deriv, sparse=False)[:, 1], np.array(values) * w**deriv, rtol=1e-14)
    np.testing.assert_array_equal(basis.design([0.125], sparse=False)[0], [1, 1, 0, 1, 0, 1, 0, 1, 0])
    short = basis.integral(0.2, 0.2 + 1e-12)[0] / (np.float64(0.2 + 1e-12) - 0.2)
    np.testing.assert_allclose(short, basis.design([0.2 + 5e-13], sparse=False)[0], rtol=1e-12)


def test_finer_families_span_the_coarser():
    for basis in (SPLINES["M"], SPLINES["I"], SPLINES["periodic"], SPLINES["natural"]):
        finer = basis.insert([0.8, 1.7])
        assert finer.n_basis == basis.n_basis + 2
        grid = np.linspace(0.001, 1.999, 300)
        wide, narrow = finer.design(grid, sparse=False), basis.design(grid, sparse=False)
        left = narrow - wide @ np.linalg.lstsq(wide, narrow, rcond=None)[0]
        assert np.abs(left).max() < 1e-11
    assert SPLINES["M"].elevate().degree == 4
    assert SPLINES["periodic"].elevate().n_basis == 9


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.NaturalSplineBasis(KNOTS, degree=2), SpecificationError, "degree is 2; natural splines are cubic"),
        (lambda: SPLINES["natural"].elevate(), SpecificationError, "cubic"),
        (lambda: sf.ISplineBasis(np.arange(10.0)), KnotError, "pass 4 knots at both ends"),
        (lambda: sf.CSplineBasis(np.arange(10.0)), KnotError, "clamped"),
        (
            lambda: sf.ISplineBasis.uniform(0, 1, 2, degree=10).design([0]),
            SpecificationError,
            "degree is 10; it ranges from 0 to 9",
        ),
        (lambda: sf.NaturalSplineBasis.from_data(X, df=1), SpecificationError, "has at least 2"),
        (lambda: sf.PeriodicBSplineBasis([0, 2, 1]), KnotError, r"knots\[2\] = 1.0 is below"),
        (lambda: sf.PeriodicBSplineBasis([0, 0, 1]), KnotError, "repeats an end of the period"),
        (lambda: sf.PeriodicBSplineBasis([1.0]), KnotError, "two distinct knots"),
        (lambda: sf.PeriodicBSplineBasis([0, 0.5, 0.5, 0.5, 1], 1), KnotError, "repeated more than"),
        (lambda: sf.PeriodicBSplineBasis.uniform(0, 1, 3, extrapolate="error").design([1.5]), DataError, "outside the domain"),
        (lambda: sf.BernsteinBasis(11), SpecificationError, "degree is 11"),
        (lambda: sf.BernsteinBasis.from_data([1, 1], 2), KnotError, "a domain needs two"),
        (lambda: sf.BernsteinBasis.from_data([np.nan, 1, np.inf], 2), DataError, r"x\[2\] is inf"),
        (lambda: sf.FourierBasis(-1, 2), SpecificationError, "period is -1"),
        (lambda: sf.FourierBasis(1, 2).design([np.nan]), DataError, r"x\[0\] is nan"),
        (lambda: sf.BoundaryConditionBasis(SPLINES["B"], left=[{4: 1.0}]), SpecificationError, r"an order in left\[0\] is 4"),
        (lambda: sf.BoundaryConditionBasis(3), SpecificationError, "bsplines is int"),
        (lambda: sf.BoundaryConditionBasis(SPLINES["B"], left=[1]), SpecificationError, r"left\[0\] is 1"),
        (lambda: sf.BoundaryConditionBasis(SPLINES["B"], left=[{0: "a"}]), SpecificationError, "weights are numbers"),
        (lambda: sf.BoundaryConditionBasis(SPLINES["B"], left=[{0: 0.0}]), SpecificationError, "one of them not zero"),
        (lambda: sf.BoundaryConditionBasis(SPLINES["B"], left=[{0: 1}, {0: 2}]), SpecificationError, "depend on one another"),
        (
            lambda: sf.BoundaryConditionBasis(sf.BSplineBasis.uniform(0, 1, 1, 1), left=[{0: 1}], right=[{0: 1}]),
            SpecificationError,
            "leave no function",
        ),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call()
