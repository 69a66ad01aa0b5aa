"""Interpolating splines, and conversions from and to SciPy."""

import numpy as np
import pytest
import scipy.interpolate as si

import smoothfit as sf
from smoothfit.errors import DataError, KnotError, SpecificationError

RNG = np.random.default_rng(11)
x = np.sort(RNG.uniform(0, 10, 30))
y = np.cumsum(RNG.standard_normal(30))
GRID = np.linspace(x[0], x[-1], 301)[:-1]  # the last derivative of a periodic spline jumps at the end


def assert_same(spline, reference, derivs=(0, 1, 2, 3), tolerance=1e-12):
    for deriv in derivs:
        expected = reference(GRID, deriv)
        np.testing.assert_allclose(spline(GRID, deriv), expected, rtol=0, atol=tolerance * 10**deriv * np.abs(expected).max())


@pytest.mark.parametrize(
    ("boundary", "theirs"), [("natural", "natural"), ("clamped", "clamped"), ("not-a-knot", "not-a-knot"), ("periodic", "periodic")]
)
def test_cubic_interpolation_is_scipys(boundary, theirs):
    values = np.append(y[:-1], y[0]) if boundary == "periodic" else y
    shuffled = RNG.permutation(30)
    spline = sf.Spline.interpolate(x[shuffled], values[shuffled], boundary)
    assert_same(spline, si.CubicSpline(x, values, bc_type=theirs))
    np.testing.assert_allclose(spline(x), values, rtol=0, atol=1e-13)


def test_monotone_interpolation_is_pchip():
    spline = sf.Spline.interpolate(x, y, "monotone")
    assert_same(spline, si.PchipInterpolator(x, y))
    rising = sf.Spline.interpolate(x, np.sort(y), "monotone")
    assert (rising(GRID, deriv=1) >= 0).all()
    assert len(spline.basis.knots) == 2 * 30 + 4


@pytest.mark.parametrize("degree", [1, 3, 5, 7])
def test_natural_splines_are_least_rough(degree):
    """Through the points, and orthogonal in the penalty to curves that are zero there: none through the points is less rough."""
    m = (degree + 1) // 2
    spline = sf.Spline.interpolate(x, y, degree=degree)
    np.testing.assert_allclose(spline(x), y, rtol=0, atol=10.0 ** (m - 14))
    basis = spline.basis.refine(2)
    coef = spline.to_basis(basis).coef
    design = basis.design(x, sparse=False)
    null = np.linalg.svd(design)[2][30:]
    product = null @ (basis.penalty(m) @ coef)
    scale = np.sqrt(coef @ (basis.penalty(m) @ coef) * np.diag(null @ (basis.penalty(m) @ null.T)))
    assert np.abs(product / scale).max() < 1e-8


def test_slopes_and_vectors():
    both = np.column_stack([y, -2 * y])
    spline = sf.Spline.interpolate(x, both, "clamped", slopes=[[1.0, 0.0], [-3.0, 2.0]])
    assert_same(spline, si.CubicSpline(x, both, bc_type=((1, [1.0, 0.0]), (1, [-3.0, 2.0]))))
    assert_same(sf.Spline.interpolate(x, y, "clamped", slopes=(2, 1)), si.CubicSpline(x, y, bc_type=((1, 2.0), (1, 1.0))))
    np.testing.assert_allclose(sf.Spline.interpolate(x, both, "monotone")(GRID), si.PchipInterpolator(x, both)(GRID), atol=1e-12)


@pytest.mark.parametrize("boundary", ["natural", "clamped", "monotone"])
def test_two_points(boundary):
    spline = sf.Spline.interpolate([0, 2], [1, 5], boundary)
    assert float(spline(1)) == pytest.approx(3.0)


def test_beyond_the_points():
    with pytest.raises(DataError, match="outside"):
        sf.Spline.interpolate(x, y)(11.0)
    line = sf.Spline.interpolate(x, y, extrapolate="linear")
    assert float(line(12.0)) == pytest.approx(y[-1] + (12 - x[-1]) * float(line(x[-1], 1)))
    cycle = sf.Spline.interpolate([0, 1, 3, 4], [0, 1, 2, 0], "periodic")
    assert float(cycle(5.5, 1)) == pytest.approx(float(cycle(1.5, 1)))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([0, 1, 0], [1, 2, 3]), DataError, r"x\[2\] = 0.0 repeats x\[0\]"),
        (([0, 1, np.nan], [1, 2, 3]), DataError, r"x\[2\]"),
        (([0, 1, 2], [1, np.nan, 3]), DataError, r"y\[1\]"),
        (([0, 1], [1, 2, 3]), DataError, "x has 2 entries"),
        (([0], [1]), DataError, "1 points are too few"),
        (([0, 1, 2], [1, 2, 3], "not-a-knot"), DataError, "3 points are too few for 'not-a-knot'"),
        (([0, 1, 2], [1, 2, 3], "periodic"), DataError, "make them equal"),
        (([0, 1, 2], [1, 2, 3], "smooth"), SpecificationError, "boundary"),
        (([0, 1, 2], [1, 2, 3], "natural", 2), SpecificationError, "degree is 2"),
        (([0, 1, 2], [1, 2, 3], "monotone", 5), SpecificationError, "degree is 5"),
        (([0, 1, 2], [1, 2, 3], "natural", 3, (0, 0)), SpecificationError, "slopes"),
        (([0, 1, 2], [1, 2, 3], "clamped", 3, 0.0), SpecificationError, "slopes"),
    ],
)
def test_points_that_cannot_be_interpolated(arguments, error, match):
    with pytest.raises(error, match=match):
        sf.Spline.interpolate(*arguments)


CURVES = {
    "BSpline": lambda: si.make_interp_spline(x, y, k=5),
    "CubicSpline": lambda: si.CubicSpline(x, y),
    "PchipInterpolator": lambda: si.PchipInterpolator(x, y),
    "Akima1DInterpolator": lambda: si.Akima1DInterpolator(x, y),
    "BPoly": lambda: si.BPoly.from_derivatives(x, np.column_stack([y, -y])),
    "UnivariateSpline": lambda: si.UnivariateSpline(x, y, k=4, s=5.0),
    "splrep": lambda: si.splrep(x, y, s=5.0),
}


@pytest.mark.parametrize("kind", CURVES)
def test_curves_of_scipy_come_and_go(kind):
    theirs = CURVES[kind]()
    spline = sf.Spline.from_scipy(theirs)
    reference = (lambda at, deriv: si.splev(at, theirs, deriv)) if kind == "splrep" else theirs
    reference = (lambda at, deriv: theirs.derivative(deriv)(at) if deriv else theirs(at)) if kind == "BPoly" else reference
    assert_same(spline, reference)
    assert_same(spline, spline.to_scipy())
    assert_same(spline, spline.to_ppoly())


@pytest.mark.parametrize("family", ["Natural", "Periodic", "I"])
def test_every_family_goes_to_scipy(family):
    kind = {"Natural": sf.NaturalSplineBasis, "Periodic": sf.PeriodicBSplineBasis, "I": sf.ISplineBasis}[family]
    basis = kind.uniform(x[0], x[-1], 6)
    spline = sf.Spline(basis, RNG.standard_normal(basis.n_basis))
    assert_same(spline, spline.to_scipy())
    assert_same(spline, spline.to_ppoly())


U, V = np.linspace(0, 1, 9), np.linspace(2, 5, 8)
TABLE = RNG.standard_normal((9, 8))
POINTS = np.column_stack([RNG.uniform(0, 1, 50), RNG.uniform(2, 5, 50)])
ORDERS = [(0, 0), (1, 0), (0, 2), (1, 1)]


def assert_same_surface(surface, partial):
    for orders in ORDERS:
        expected = partial(orders)
        np.testing.assert_allclose(surface(POINTS, orders), expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_surfaces_of_scipy_come_and_go():
    theirs = si.RectBivariateSpline(U, V, TABLE, kx=4, ky=3)
    surface = sf.TensorSpline.from_scipy(theirs)
    assert surface.basis.shape == (9, 8)
    assert_same_surface(surface, lambda orders: theirs.ev(*POINTS.T, *orders))
    back = surface.to_scipy()
    assert_same_surface(surface, lambda orders: back(POINTS, nu=orders))
    assert_same_surface(sf.TensorSpline.from_scipy(back), lambda orders: surface(POINTS, orders))
    pieces = surface.to_ppoly()
    assert_same_surface(surface, lambda orders: pieces(POINTS, nu=orders))
    assert_same_surface(sf.TensorSpline.from_scipy(pieces), lambda orders: surface(POINTS, orders))


def test_surfaces_of_other_families_and_of_three_variables():
    natural, cycle = sf.NaturalSplineBasis.uniform(0, 1, 5), sf.PeriodicBSplineBasis.uniform(2, 5, 6, degree=2)
    line = sf.BSplineBasis([0, 0, 1, 1], degree=1)
    surface = sf.TensorSpline(sf.TensorProductBasis(natural, cycle, line), RNG.standard_normal((natural.n_basis, 6, 2)))
    points = np.column_stack([POINTS, POINTS[:, 0]])
    for theirs in (surface.to_scipy(), surface.to_ppoly()):
        for orders in [(0, 0, 0), (1, 0, 1), (0, 1, 0)]:
            np.testing.assert_allclose(theirs(points, nu=orders), surface(points, orders), rtol=0, atol=1e-11)
    assert np.isnan(surface.to_scipy()([[2.0, 3.0, 0.5]])).all()


@pytest.mark.parametrize("kind", [sf.Spline, sf.TensorSpline])
def test_others_are_refused(kind):
    with pytest.raises(SpecificationError, match="spline is"):
        kind.from_scipy(si.interp1d(x, y) if kind is sf.Spline else si.BSpline([0, 0, 1, 1], [1.0, 2.0], 1))


def test_breaks_that_decrease_are_refused():
    with pytest.raises(KnotError, match=r"the break x\[1\]"):
        sf.Spline.from_scipy(si.PPoly(np.ones((2, 2)), [2.0, 1.0, 0.0]))
