import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline, CubicSpline, PPoly, make_interp_spline

import smoothfit as sf
from smoothfit import calculus
from smoothfit.errors import DataError


@pytest.mark.parametrize(
    ("eigenvalues", "kind", "inertia"),
    [
        ([1.0, 2.0], "minimum", (2, 0, 0)),
        ([-1.0, -2.0], "maximum", (0, 2, 0)),
        ([-1.0, 2.0], "saddle", (1, 1, 0)),
        ([-1.0, 0.0, 2.0], "saddle", (1, 1, 1)),  # whatever the third one is
        ([0.0, 2.0], "inconclusive", (1, 0, 1)),
        ([0.0, -2.0], "inconclusive", (0, 1, 1)),
        ([0.0], "inconclusive", (0, 0, 1)),
        ([1e-300, 1e-301], "minimum", (2, 0, 0)),  # nothing is absolute
        ([1e-17, 1.0], "inconclusive", (1, 0, 1)),
    ],
)
def test_kinds_by_inertia(eigenvalues, kind, inertia):
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(len(eigenvalues),) * 2))[0]
    point = calculus.classify_critical_point(hess=Q @ np.diag(eigenvalues) @ Q.T)
    assert (point.kind, tuple(point.inertia)) == (kind, inertia)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(-100, 100))
def test_kinds_do_not_change_with_scale(seed, n, exponent):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    H = A + A.T
    point, scaled = (calculus.classify_critical_point(hess=c * H) for c in (1.0, 10.0**exponent))
    assert point.kind == scaled.kind
    signs = np.linalg.eigvalsh(H) > 0
    assert point.kind == ("minimum" if signs.all() else "saddle" if signs.any() else "maximum")


@pytest.mark.parametrize(
    ("f", "x", "kind"),
    [
        (lambda x: x[0] ** 2 + 3 * x[1] ** 2, [0.0, 0.0], "minimum"),
        (lambda x: np.cos(x[0]) * np.cos(x[1]), [0.0, 0.0], "maximum"),
        (lambda x: x[0] * x[1], [0.0, 0.0], "saddle"),
        (lambda x: x[0] ** 4 + x[1] ** 2, [0.0, 0.0], "inconclusive"),
        (lambda x: x[0] ** 3 + x[1] ** 2 - x[2] ** 2, [0.0, 0.0, 0.0], "saddle"),
        (lambda x: (x[0] - 1e6) ** 2, [1e6], "minimum"),
        (lambda x: x[0] ** 2 + x[1] ** 2, [1e-3, 0.0], "not critical"),
    ],
)
def test_functions_are_classified_at_a_point(f, x, kind):
    point = calculus.classify_critical_point(f, x)
    assert point.kind == kind
    assert point.value == float(f(np.array(x)))


def test_given_derivatives_are_used():
    point = calculus.classify_critical_point(x=[1.0, 2.0], grad=lambda x: 0 * x, hess=lambda x: np.diag(x))
    assert (point.kind, point.value) == ("minimum", None)
    assert calculus.classify_critical_point(lambda x: x @ x, [0.0, 0.0], grad=lambda x: 2 * x).kind == "minimum"
    assert calculus.classify_critical_point(grad=[1.0, 0.0], hess=np.eye(2)).kind == "not critical"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: calculus.classify_critical_point(), "nothing to classify"),
        (lambda: calculus.classify_critical_point(hess=np.ones((2, 3))), r"hess has shape \(2, 3\)"),
        (lambda: calculus.classify_critical_point(hess=[[np.nan]]), r"hess\[0, 0\] is nan"),
        (lambda: calculus.classify_critical_point(grad=[0.0], hess=np.eye(2)), "grad has shape"),
        (lambda: calculus.classify_critical_point(lambda x: np.abs(x[0]), [0.0]), "kink"),
        (lambda: calculus.classify_critical_point(lambda x: np.log(x[0]), [-1.0]), "not finite"),
        (lambda: calculus.find_critical_points(np.sin, (0.0, np.inf)), "finite"),
        (lambda: calculus.find_critical_points(np.sin, (1.0, 0.0)), "lower below the upper"),
        (lambda: calculus.find_critical_points(np.sin, 3.0), "bounds is 3.0"),
        (lambda: calculus.find_critical_points([1.0, 2.0], (0.0, 1.0)), "SmoothingSpline"),
        (lambda: calculus.find_critical_points(BSpline([0, 1, 2, 3.0], np.ones((2, 2)), 1), (0, 1)), "single value"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(DataError, match=words):
        call()


def summary(points):
    return [(p.kind, p.x.tolist()) for p in points]


@pytest.mark.parametrize("grad", [None, np.cos])
def test_critical_points_on_an_interval(grad):
    points = calculus.find_critical_points(np.sin, (0.0, 10.0), grad=grad)
    assert [p.kind for p in points] == ["maximum", "minimum", "maximum"]
    np.testing.assert_allclose([p.x[0] for p in points], np.pi * np.array([0.5, 1.5, 2.5]), rtol=1e-12)
    np.testing.assert_allclose([p.eigenvalues[0] for p in points], [-1, 1, -1], rtol=1e-9)


@pytest.mark.parametrize("power", [3, 4, 5])
def test_flat_points_are_found_and_inconclusive(power):
    (point,) = calculus.find_critical_points(lambda x: (x - 0.1234) ** power, (-1.0, 1.3))
    assert point.kind == "inconclusive"
    assert point.x[0] == pytest.approx(0.1234, abs=1e-4)


@pytest.mark.parametrize("f", [np.abs, lambda x: 1 / x**2, lambda x: np.sign(x), np.exp], ids=["kink", "pole", "jump", "none"])
def test_what_is_no_critical_point_is_not_found(f):
    found = calculus.find_critical_points(f, (-1.0, 1.3))
    assert all(abs(p.x[0]) > 0.001 for p in found)
    if f is np.exp:
        assert found == []


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_those_of_a_spline_are_exact(seed, degree):
    rng = np.random.default_rng(seed)
    spline = make_interp_spline(np.sort(rng.uniform(0, 10, 12)), rng.normal(size=12), degree)
    start, stop = spline.t[degree], spline.t[-degree - 1]
    points = calculus.find_critical_points(spline, (start, stop))
    slope = spline.derivative()
    x = np.array([p.x[0] for p in points])
    assert np.all(np.abs(slope(x)) <= 1e-9 * np.abs(slope(np.linspace(start, stop, 999))).max())
    grid = np.linspace(start, stop, 20_001)
    signs = slope(grid)
    changes = np.flatnonzero(signs[:-1] * signs[1:] < 0)  # every one has a point
    for i in changes:
        assert np.any((x >= grid[i] - 1e-9) & (x <= grid[i + 1] + 1e-9))
    for p in points:
        if p.kind in ("minimum", "maximum"):
            beside = spline(np.clip([p.x[0] - 1e-5, p.x[0] + 1e-5], start, stop))
            assert np.all(beside >= p.value - 1e-12) if p.kind == "minimum" else np.all(beside <= p.value + 1e-12)


def test_all_kinds_of_splines_are_taken():
    x = np.linspace(0, 10, 21)
    cubic = CubicSpline(x, np.sin(x))
    ours = sf.Spline.from_scipy(make_interp_spline(x, np.sin(x), 3))
    for spline in (cubic, PPoly(cubic.c, cubic.x), ours):
        points = calculus.find_critical_points(spline, (0.0, 10.0))
        assert [p.kind for p in points] == ["maximum", "minimum", "maximum"]
        np.testing.assert_allclose([p.x[0] for p in points], np.pi * np.array([0.5, 1.5, 2.5]), atol=0.01)
    assert len(calculus.find_critical_points(cubic, (2.0, 6.0))) == 1


def test_constant_stretches_and_touching_slopes_of_splines():
    plateau = PPoly(np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]]), [0.0, 1.0, 2.0, 3.0])
    assert summary(calculus.find_critical_points(plateau, (0.0, 3.0))) == [("inconclusive", [1.0]), ("inconclusive", [2.0])]
    cube = make_interp_spline([-1.0, 0.0, 1.0, 2.0], [-1.0, 0.0, 1.0, 8.0], 3)
    (point,) = calculus.find_critical_points(cube, (-1.0, 2.0))
    assert point.kind == "inconclusive"
    assert point.x[0] == pytest.approx(0, abs=1e-7)
    assert calculus.find_critical_points(PPoly(np.array([[1.0, -1.0], [0.0, 1.0]]), [0.0, 1.0, 2.0]), (0.0, 2.0)) == []  # a corner


def himmelblau(z):
    return (z[0] ** 2 + z[1] - 11) ** 2 + (z[0] + z[1] ** 2 - 7) ** 2


def himmelblau_gradient(z):
    a, b = z[0] ** 2 + z[1] - 11, z[0] + z[1] ** 2 - 7
    return np.array([4 * z[0] * a + 2 * b, 2 * a + 4 * z[1] * b])


@pytest.mark.parametrize("grad", [None, himmelblau_gradient])
def test_critical_points_in_a_box(grad):
    points = calculus.find_critical_points(himmelblau, ([-5, -5], [5, 5]), grad=grad, n_starts=64)
    assert sorted(p.kind for p in points) == ["maximum"] + 4 * ["minimum"] + 4 * ["saddle"]
    for p in points:
        np.testing.assert_allclose(himmelblau_gradient(p.x), 0, atol=1e-9)
    np.testing.assert_allclose(points[-1].x, [-0.270845, -0.923039], atol=1e-6)


def test_degenerate_points_in_a_box_are_one_and_inconclusive():
    for f in (lambda z: z[0] ** 3 - 3 * z[0] * z[1] ** 2, lambda z: z[0] ** 4 + z[1] ** 2):
        (point,) = calculus.find_critical_points(f, ([-1, -1], [1, 1.2]))
        assert point.kind == "inconclusive"
        np.testing.assert_allclose(point.x, 0, atol=1e-3)


def test_gradients_that_point_out_of_the_box_are_no_critical_points():
    assert calculus.find_critical_points(lambda z: z[0] + z[1] ** 2, ([-1, -1], [1, 1])) == []


def tensor_spline(rng):
    basis = sf.BSplineBasis(np.r_[0, 0, 0, np.linspace(0, 6, 8), 6, 6, 6], degree=3)
    points = np.stack(np.meshgrid(basis.greville, basis.greville, indexing="ij"), axis=-1)
    coef = np.sin(points[..., 0]) * np.cos(points[..., 1]) + 0.05 * rng.standard_normal(points.shape[:-1])
    return sf.TensorSpline(sf.TensorProductBasis(basis, basis), coef)


def test_surfaces_are_searched_with_derivatives_of_their_own():
    f = tensor_spline(np.random.default_rng(2))
    peer = f.to_scipy()  # SciPy evaluates derivatives of its own
    box = ([0.2, 0.2], [5.8, 5.8])
    points = calculus.find_critical_points(f, box, n_starts=16)
    given = calculus.find_critical_points(
        lambda z: float(peer(z)), box, grad=lambda z: np.array([float(peer(z, nu=nu)) for nu in ((1, 0), (0, 1))]), n_starts=16
    )
    assert [p.kind for p in points] == [p.kind for p in given] == ["minimum", "saddle", "saddle", "maximum"]
    for p, q in zip(points, given, strict=True):
        np.testing.assert_allclose(p.x, q.x, atol=1e-9)
        assert p.value == pytest.approx(q.value, abs=1e-14)
        curvature = [[float(peer(p.x, nu=(int(i == 0) + int(j == 0), int(i == 1) + int(j == 1)))) for j in (0, 1)] for i in (0, 1)]
        np.testing.assert_allclose(p.eigenvalues, np.linalg.eigvalsh(curvature), rtol=1e-10)


def test_a_hessian_may_be_given():
    def hess(z):
        return np.array([[12 * z[0] ** 2 + 4 * z[1] - 42, 4 * (z[0] + z[1])], [4 * (z[0] + z[1]), 4 * z[0] + 12 * z[1] ** 2 - 26]])

    points = calculus.find_critical_points(himmelblau, ([-5, -5], [5, 5]), grad=himmelblau_gradient, hess=hess, n_starts=64)
    assert sorted(p.kind for p in points) == ["maximum"] + 4 * ["minimum"] + 4 * ["saddle"]
    with pytest.raises(DataError, match=r"hess gives shape \(2,\)"):
        calculus.find_critical_points(himmelblau, ([-5, -5], [5, 5]), grad=himmelblau_gradient, hess=lambda z: z)


@pytest.mark.parametrize("kind", ["surface", "process"])
def test_results_in_several_variables_are_searched(kind):
    X = np.stack(np.meshgrid(*[np.linspace(-1, 1, 6)] * 2), axis=-1).reshape(-1, 2)
    y = (X[:, 0] - 0.2) ** 2 - X[:, 0] * X[:, 1] + (X[:, 1] + 0.1) ** 2  # least at (0.2, 0) where 2 (a - 0.2) = b, 2 (b + 0.1) = a
    if kind == "surface":
        parabola = sf.BernsteinBasis(2, -1, 1)
        res = sf.SplineRegression(sf.observe(X, y, sd=1e-3), sf.TensorProductBasis(parabola, parabola)).fit()
    else:
        kernel = sf.gp.SquaredExponential(length_scale=3, amplitude=10)
        res = sf.GaussianProcess(X, y, kernel, sd=1e-3, mean="zero").fit()
    (point,) = calculus.find_critical_points(res, ([-0.9, -0.9], [0.9, 0.9]), n_starts=4)
    assert point.kind == "minimum"
    np.testing.assert_allclose(point.x, np.linalg.solve([[2, -1], [-1, 2]], [0.4, -0.2]), atol=1e-3)
    slopes = [res.predict(point.x[None], deriv=deriv).item() for deriv in ((1, 0), (0, 1))]
    np.testing.assert_allclose(slopes, 0, atol=1e-9)


def test_results_in_one_variable_are_searched():
    x = np.linspace(0, 9, 25)
    res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit(edf=18)
    exact = calculus.find_critical_points(res.spline(), (0.0, 9.0))
    assert summary(calculus.find_critical_points(res, (0.0, 9.0))) == summary(exact)
    beyond = calculus.find_critical_points(res, (0.0, 10.0), n_starts=40)  # where the spline ends and the mean does not
    np.testing.assert_allclose([p.x[0] for p in beyond], [p.x[0] for p in exact], atol=1e-9)
    kernel = sf.gp.SquaredExponential(length_scale=1.5, amplitude=1)
    process = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.001, mean="zero").fit()
    points = calculus.find_critical_points(process, (0.5, 8.5), n_starts=20)
    assert [p.kind for p in points] == ["maximum", "minimum", "maximum"]
    np.testing.assert_allclose([p.x[0] for p in points], np.pi * np.array([0.5, 1.5, 2.5]), atol=1e-3)
