"""Hostile input to the bases, splines, penalties and transforms: right values, or an error of ours."""

import contextlib
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline, PPoly

from smoothfit import basis as sb
from smoothfit import errors
from smoothfit.basis.extrapolation import MODES

HOSTILE = [
    "a",
    "",
    None,
    [],
    (),
    [[]],
    np.nan,
    np.inf,
    -np.inf,
    [0.0, np.nan],
    [0.5, np.inf],
    ["a", "b"],
    [None, 1.0],
    [1.0, [2.0, 3.0]],
    np.array([10**400, None], dtype=object),
    [10**400, 0.5],
    10**400,
    10**5000,
    1j,
    True,
    False,
    0,
    -1,
    1,
    2.0,
    2.5,
    10**9,
    2**31,
    2**63,
    np.int8(2),
    5e-324,
    [5e-324, 1e-310],
    [0.0, 5e-324],
    [1e300, -1e300],
    [-1e308, 1e308],
    [0.0, 1e-300, 1e300],
    [1e300] * 5,
    1e308,
    {},
    {0: 1.0},
    {"a": 1},
    object(),
    np.datetime64("2020-01-01"),
    np.zeros((2, 0)),
    np.ones((2, 2, 2)),
    np.zeros(0, dtype=object),
    np.ma.masked_array([0.25, 0.75], mask=[True, False]),
    pd.Series([0.25, None]),
    pd.Categorical(["a", "b"]),
    [0.5],
    [0.5, 0.5],
    [0.5, 0.5, 0.5, 0.5, 0.5],
    [0.75, 0.25],
    [[0.25, 0.75], [0.25, 0.75]],
    np.geomspace(1e-300, 1e300, 9),
    lambda x: x,
    "periodic",
    "Linear",
    slice(None),
]
UNIFORM = {
    "bspline": sb.BSplineBasis,
    "M-spline": sb.MSplineBasis,
    "I-spline": sb.ISplineBasis,
    "C-spline": sb.CSplineBasis,
    "natural": sb.NaturalSplineBasis,
    "periodic": sb.PeriodicBSplineBasis,
}
KNOTS = [0.0, 0.0, 0.0, 0.0, 0.4, 1.0, 1.0, 1.0, 1.0]
X, TWO = [0.1, 0.2, 0.5, 0.7, 0.9], [0.25, 0.75]
ROUGH = BSpline(np.array(KNOTS), np.arange(5.0), 3)


@cache
def made():
    """A basis of every kind, by name; those of splines extrapolate in every way between them."""
    bases = {name: family.uniform(0, 1, 3) for name, family in UNIFORM.items()}
    bases |= {f"bspline {mode}": sb.BSplineBasis.uniform(0, 1, 3, 2, mode) for mode in MODES}
    bases["constant pieces"] = sb.BSplineBasis.uniform(0, 1, 3, 0)
    bases["bernstein"] = sb.BernsteinBasis(3)
    bases["fourier"] = sb.FourierBasis(1.0, 2)
    bases["boundary"] = sb.BoundaryConditionBasis(bases["bspline"], [{0: 1.0}], [{2: 1.0}])
    bases["tiny"] = sb.BSplineBasis.uniform(0, 1e-300, 3)
    bases["huge"] = sb.BSplineBasis.uniform(-8e307, 8e307, 3)
    bases["decades"] = sb.BSplineBasis.from_data([1e-300, 1e300], knots=np.geomspace(1e-299, 1e299, 5))
    bases["far"] = sb.BSplineBasis.uniform(1e15, 1e15 + 2, 3)
    bases["tensor"] = sb.TensorProductBasis(bases["bspline"], bases["periodic"])
    return bases


def of_basis(name):
    """Calls of the methods of one basis."""
    basis = made()[name]
    lower, upper = basis.domain if name != "tensor" else ((0.0, 0.0), (1.0, 1.0))
    points = np.linspace(lower, upper, 4) if name != "tensor" else [[0.1, 0.2], [0.5, 1.0]]
    several = isinstance(basis, sb.TensorProductBasis)
    calls = {
        "design": (basis.design, [points, (0, 1) if several else 1]),
        "dense design": (lambda x, deriv: basis.design(x, deriv, sparse=False), [points, 0]),
        "integral": (basis.integral, [lower, upper]),
        "sparse integral": (lambda a, b: basis.integral(a, b, sparse=True), [lower, upper]),
        "penalty": (basis.penalty, [(0, 0) if several else 0]),
    }
    for method in ("insert", "refine", "elevate", "derivative_basis", "gram"):
        if hasattr(basis, method) and not name.startswith("bspline ") and name not in ("natural" if method == "elevate" else ""):
            good = {"insert": [lower / 2 + upper / 2], "refine": 2, "elevate": 1, "derivative_basis": 0, "gram": 0}
            calls[method] = (getattr(basis, method), [good[method]])
    if name in ("bspline", "constant pieces", "decades"):
        calls["matrix_to"] = (basis.matrix_to, [basis.refine(2)])
        calls["values_without"] = (basis.values_without, [points, 1])
        calls["rows_within"] = (basis.rows_within, [np.array(TWO), 1])
    return {f"{name}: {what}": call for what, call in calls.items()}


def of_constructors():
    family = {}
    for name, cls in UNIFORM.items():
        knots = [0.0, 0.4, 1.0] if name == "periodic" else KNOTS
        family[f"{name} constructor"] = (cls, [knots, 3, "linear"])
        family[f"{name} uniform"] = (lambda *a, cls=cls: cls.uniform(*a), [0.0, 1.0, 3, 3, "error"])
        family[f"{name} from_data"] = (
            lambda x, df, degree, boundary, mode, cls=cls: cls.from_data(x, df, degree=degree, boundary=boundary, extrapolate=mode),
            [X, 5, 3, (0.0, 1.0), "zero"],
        )
        family[f"{name} from_data, knots"] = (lambda x, knots, cls=cls: cls.from_data(x, knots=knots), [X, [0.4, 0.6]])
    cubic = sb.BSplineBasis(KNOTS)
    family |= {
        "C-spline scaled": (lambda scaled: sb.CSplineBasis(KNOTS, scaled=scaled), [False]),
        "periodic unit_integral": (lambda scaled: sb.PeriodicBSplineBasis([0, 0.4, 1], unit_integral=scaled), [True]),
        "bernstein constructor": (sb.BernsteinBasis, [3, 0.0, 1.0, "nan"]),
        "bernstein from_data": (sb.BernsteinBasis.from_data, [X, 3]),
        "fourier constructor": (sb.FourierBasis, [1.0, 2, 0.5]),
        "boundary constructor": (sb.BoundaryConditionBasis, [cubic, [{0: 1.0}], [[0.0, 1.0]]]),
        "boundary condition": (lambda c: sb.BoundaryConditionBasis(cubic, [c]), [{0: 1.0}]),
        "boundary weight": (lambda w: sb.BoundaryConditionBasis(cubic, [{0: w}]), [1.0]),
        "tensor constructor": (sb.TensorProductBasis, [cubic, cubic]),
        "adaptive_knots": (lambda *a: next(sb.adaptive_knots(*a)), [X, (0.0, 1.0), [0.4], 3]),
        "adaptive_knots, residuals": (send, [X]),
        "DesignSpec": (sb.DesignSpec.from_formula, ["x", pd.DataFrame({"x": X}), "patsy", {}]),
        "DesignSpec of": (sb.DesignSpec.of, [formulaic_spec()]),
        "DesignSpec design": (made_spec().design, [pd.DataFrame({"x": X}), "drop"]),
    }
    return family


def send(residuals):
    places = sb.adaptive_knots(X, start=[0.4])
    next(places)
    return places.send(residuals)


@cache
def made_spec():
    return sb.DesignSpec.from_formula("bsp(x, df=4)", pd.DataFrame({"x": X}))


@cache
def formulaic_spec():
    return sb.DesignSpec.from_formula("bsp(x, df=4)", pd.DataFrame({"x": X}), "formulaic").state


def of_splines():
    calls = {}
    for name in ("bspline linear", "bspline nan", "periodic", "I-spline", "decades", "tiny", "huge"):
        s = sb.Spline(made()[name], np.cos(np.arange(made()[name].n_basis)))
        lower, upper = s.domain
        calls |= {
            f"{name} spline: {what}": call
            for what, call in {
                "constructor": (sb.Spline, [s.basis, s.coef]),
                "call": (s, [[lower, upper], 1]),
                "derivative": (s.derivative, [1]),
                "integrate": (s.integrate, [lower, upper]),
                "roots": (s.roots, [0]),
                "+": (lambda other, s=s: s + other, [1.0]),
                "reversed -": (lambda other, s=s: other - s, [1.0]),
                "*": (lambda other, s=s: s * other, [2.0]),
                "/": (lambda other, s=s: s / other, [2.0]),
                "compose": (s.compose, [2.0, 0.0]),
                "insert": (s.insert, [lower / 2 + upper / 2]),
                "refine": (s.refine, [2]),
                "elevate": (s.elevate, [1]),
                "to_basis": (s.to_basis, [s.bsplines.basis.refine(2)]),
            }.items()
        }
    f = sb.TensorSpline(made()["tensor"], np.ones(made()["tensor"].shape))
    calls |= {
        "Spline from_scipy": (sb.Spline.from_scipy, [ROUGH, "error"]),
        "TensorSpline constructor": (sb.TensorSpline, [f.basis, f.coef]),
        "TensorSpline call": (f, [[[0.2, 0.3], [0.4, 1.0]], (0, 1)]),
        "TensorSpline derivative": (f.derivative, [(0, 1)]),
        "TensorSpline integrate": (f.integrate, [[0.0, 0.0], [1.0, 1.0]]),
    }
    return calls


def of_penalties():
    weight = sb.DifferentialOperatorPenalty
    calls = {
        "DerivativePenalty": (lambda order, basis: sb.DerivativePenalty(order).matrix(basis), [2, made()["bspline"]]),
        "DerivativePenalty axis": (lambda *a: sb.DerivativePenalty(*a).matrix(made()["tensor"]), [1, 0]),
        "DifferencePenalty": (lambda order, basis: sb.DifferencePenalty(order).matrix(basis), [2, made()["bspline"]]),
        "DifferencePenalty axis": (lambda *a: sb.DifferencePenalty(*a).matrix(made()["tensor"]), [1, 0]),
        "operator": (lambda w, n, basis: weight(w, n).matrix(basis), [[1.0, 0.0, 1.0], 5, made()["bspline"]]),
        "operator axis": (lambda axis: weight([1.0, 1.0], axis=axis).matrix(made()["tensor"]), [1]),
        "operator weight": (lambda w: weight([w]).matrix(made()["bspline"]), [1.0]),
        "operator of harmonics": (lambda w: weight(w).matrix(made()["fourier"]), [[1.0, 1.0]]),
        "operator function": (lambda w: weight([lambda x: w]).matrix(made()["bspline"]), [1.0]),
        "sum": (lambda basis: (sb.DerivativePenalty(1) + sb.DerivativePenalty(2)).matrix(basis), [made()["bspline"]]),
        "sum root": (lambda basis: (sb.DerivativePenalty(1) + sb.DerivativePenalty(2)).root(basis), [made()["bspline"]]),
    }
    for name, basis in made().items():
        axis = 0 if name == "tensor" else None
        calls[f"{name}: derivative penalty root"] = (lambda m, b=basis, a=axis: sb.DerivativePenalty(m, a).root(b), [0])
        if name in ("fourier", "constant pieces"):
            continue
        calls[f"{name}: difference penalty root"] = (lambda m, b=basis, a=axis: sb.DifferencePenalty(m, a).root(b), [1])
    return calls


def of_transforms():
    calls = {}
    for transform in (sb.bsp, sb.nsp, sb.msp, sb.isp, sb.csp, sb.bpoly, sb.psp):
        name = transform.__name__
        least = (2, 1) if name == "psp" else (4, 3)
        calls[f"{name}: df"] = (
            lambda x, df, degree, t=transform: t(x, df=df, degree=degree),
            [X, *least],
        )
        calls[f"{name}: options"] = (
            lambda x, intercept, boundary, deriv, integral, mode, t=transform: t(
                x, intercept=intercept, boundary=boundary, deriv=deriv, integral=integral, extrapolate=mode
            ),
            [X, True, (0.0, 1.0), 0, False, "zero"],
        )
        if name != "bpoly":
            calls[f"{name}: knots"] = (lambda x, knots, t=transform: t(x, knots=knots), [X, [0.4, 0.6]])
    return calls


CALLS = of_constructors() | of_splines() | of_penalties() | of_transforms()
for name in made():
    CALLS |= of_basis(name)


def check_call(function, arguments, state, *allowed):
    """Nothing but errors of some kinds is raised, whatever the caller's error state."""
    with np.errstate(all=state), contextlib.suppress(*allowed):
        function(*arguments)


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_only_errors_of_ours(name, data):
    function, good = CALLS[name]
    arguments = list(good)
    for _ in range(data.draw(st.integers(1, 2))):
        arguments[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.sampled_from(HOSTILE))
    check_call(function, arguments, data.draw(st.sampled_from(["raise", "warn"])), errors.SmoothfitError)


@pytest.mark.parametrize("name", CALLS)
def test_the_good_arguments_are_good(name):
    function, good = CALLS[name]
    unfit = name.startswith(("tiny", "huge", "decades")) and ("penalty" in name or "gram" in name)
    allowed = (errors.NumericalError, errors.KnotError) if unfit else ()
    check_call(function, good, "raise", *allowed)


WIDTHS = st.one_of(st.floats(1e-3, 1e3), st.floats(1e-290, 1e290))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    widths=st.lists(WIDTHS, min_size=1, max_size=6),
    start=st.sampled_from([0.0, -1.0, 1e-300, -1e290, 3e5]),
    degree=st.integers(0, 10),
    u=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5),
)
def test_bsplines_sum_to_one_and_integrate_to_the_length(widths, start, degree, u):
    breaks = np.unique(start + np.concatenate([[0.0], np.cumsum(widths)]))
    if len(breaks) < 2:  # the widths are lost beside the start
        with pytest.raises(errors.KnotError):
            sb.BSplineBasis.from_data([start], knots=breaks[1:-1], degree=degree)
        return
    lower, upper = breaks[0], breaks[-1]
    x = np.clip(lower + (upper - lower) * np.array(u), lower, upper)
    with np.errstate(all="raise"):
        basis = sb.BSplineBasis.from_data([lower, upper], knots=breaks[1:-1], degree=degree)
        rows = basis.design(x, sparse=False)
        total = basis.integral(lower, upper).sum()
        ones = sb.Spline(basis, np.ones(basis.n_basis))
        np.testing.assert_allclose(ones(x), 1.0, rtol=1e-14)
        if degree:
            np.testing.assert_array_equal(ones(x, deriv=1), 0.0)
    assert rows.min() >= 0
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(total, upper - lower, rtol=1e-13)


@pytest.mark.parametrize("unit", [1e-200, 1e-160, 1e160, 1e300])
def test_adaptive_knots_do_not_depend_on_the_unit_of_residuals(unit):
    def knots(unit):
        x = np.linspace(0, 1, 40)
        places = sb.adaptive_knots(x)
        next(places)
        return [places.send(unit * shrink * np.exp(-(((x - 0.7) / 0.1) ** 2))) for shrink in (1.0, 0.5, 0.2)]

    for given_unit, one in zip(knots(unit), knots(1.0), strict=True):
        np.testing.assert_array_equal(given_unit, one)


def test_residuals_that_outgrow_those_before_are_named():
    places = sb.adaptive_knots(X)
    next(places)
    places.send(np.full(5, 1e-200))
    with pytest.raises(errors.NumericalError, match="far greater than those sent before"):
        places.send(np.full(5, 1e200))


@pytest.mark.parametrize("start", [[2.0], [0.0], [0.4, 1.0]])
def test_knots_to_start_with_are_inside_the_boundary(start):
    with pytest.raises(errors.KnotError, match=r"start knots\[.\] = .* is not inside the boundary"):
        next(sb.adaptive_knots(X, boundary=(0.0, 1.0), start=start))


@pytest.mark.parametrize("mode", ["linear", "polynomial"])
def test_what_overflows_beyond_the_domain_is_named(mode):
    basis = sb.BSplineBasis.uniform(0, 1e-3, 3, extrapolate=mode)
    s = sb.Spline(basis, np.arange(6.0) ** 2)
    far = [0.0, 1e308]
    with pytest.raises(errors.NumericalError, match=r"x\[1\]"):
        basis.design(far)
    with pytest.raises(errors.NumericalError, match=r"x\[1\]"):
        s(far)
    with pytest.raises(errors.NumericalError, match="overflow"):
        s.integrate(0.0, 1e308)
    near = np.array([0.0, 1.0])
    np.testing.assert_allclose(s(near), basis.design(near) @ s.coef, rtol=1e-11)


def test_derivatives_that_overflow_on_narrow_pieces_are_named():
    basis = sb.BSplineBasis.uniform(0, 1e-200, 2)
    np.testing.assert_allclose(basis.design([0.0], 1, sparse=False)[0, :2], [-6e200, 6e200], rtol=1e-14)
    with pytest.raises(errors.NumericalError, match="derivative of order 2"):
        basis.design([0.0], 2)


def test_periods_beyond_floating_point_numbers_are_named():
    basis = sb.PeriodicBSplineBasis.uniform(-4e307, 4e307, 8)
    with pytest.raises(errors.DataError, match=r"x\[1\] = 1.7e\+308 is farther"):
        basis.design([0.0, 1.7e308])
    with pytest.raises(errors.KnotError, match=r"where the period of 1\.6e\+308 repeats"):
        sb.PeriodicBSplineBasis.uniform(-8e307, 8e307, 4)


@pytest.mark.parametrize("ends", [(-1e308, 1e308), (-1.7e308, 1e307)])
def test_domains_longer_than_floating_point_numbers_are_named(ends):
    for make in (
        lambda: sb.BSplineBasis.uniform(*ends, 4),
        lambda: sb.BSplineBasis.from_data(ends),
        lambda: sb.BernsteinBasis(2, *ends),
    ):
        with pytest.raises(errors.KnotError, match="beyond floating-point numbers"):
            make()


def test_arrays_and_numbers_of_numpy_on_the_left_of_a_spline():
    s = sb.Spline(sb.BSplineBasis.uniform(0, 1, 2), np.arange(5.0))
    np.testing.assert_array_equal((np.float64(3.0) * s).coef, 3.0 * s.coef)
    np.testing.assert_array_equal((np.float64(3.0) - s).coef, 3.0 - s.coef)
    for operation in (lambda a: a * s, lambda a: a + s, lambda a: a - s):
        with pytest.raises(errors.SpecificationError, match="an ndarray does not combine with a spline"):
            operation(np.array([1.0, 2.0]))


def test_division_by_a_number_whose_inverse_overflows():
    s = sb.Spline(sb.BSplineBasis.uniform(0, 1, 2), np.arange(5.0) * 1e-20)
    np.testing.assert_allclose((s / 1e-310).coef, np.arange(5.0) * (1e-20 / 1e-310), rtol=1e-15)


def test_a_shift_that_loses_knots_is_named():
    s = sb.Spline(sb.BSplineBasis.uniform(0, 1, 4), np.arange(7.0))
    with pytest.raises(errors.KnotError, match=r"knots\[3\] and knots\[4\] fall together"):
        s.compose(1.0, 3e15)


def test_one_box_is_integrated():
    f = sb.TensorSpline(made()["tensor"], np.ones(made()["tensor"].shape))
    assert f.integrate([0.0, 0.0], [0.5, 0.5]) == pytest.approx(0.25, rel=1e-14)
    with pytest.raises(errors.SpecificationError, match="one box"):
        f.integrate([[0.0, 0.0], [0.1, 0.1]], [1.0, 1.0])


@pytest.mark.parametrize("unit", [1e-320, 1e-300, 1e300])
def test_boundary_conditions_do_not_depend_on_their_unit(unit):
    cubic = sb.BSplineBasis.uniform(0, 1, 4)
    found = sb.BoundaryConditionBasis(cubic, [{0: unit, 1: -0.5 * unit}])
    wanted = sb.BoundaryConditionBasis(cubic, [{0: 1.0, 1: -0.5}])
    projector = [(m := basis.matrix.toarray()) @ m.T for basis in (found, wanted)]
    np.testing.assert_allclose(projector[0], projector[1], atol=1e-3 if unit < 1e-307 else 1e-13)


def test_roots_of_a_derivative_of_denormal_size():
    unit = sb.Spline(sb.BSplineBasis.uniform(0, 1, 3), [1.0, -1.0, 2.0, 0.0, 1.0, 3.0])
    far = sb.Spline(sb.BSplineBasis.uniform(0, 1e300, 3), unit.coef * 1e-10)
    np.testing.assert_allclose(far.roots(1) / 1e300, unit.roots(1), rtol=1e-9)


@pytest.mark.parametrize(
    "pieces",
    [
        PPoly(np.ones((2, 1)) * 1j, [0.0, 1.0]),
        PPoly(np.full((2, 1), np.nan), [0.0, 1.0]),
        PPoly(np.ones((12, 1)), [0.0, 1.0]),
        PPoly(np.ones((2, 1)), [1.0, 0.0]),
        PPoly(np.full((3, 1), 1e200), [0.0, 1e200]),
        BSpline(np.array(KNOTS), np.arange(5) * 1j, 3),
    ],
)
def test_splines_of_scipy_that_are_none_of_ours(pieces):
    with np.errstate(all="raise"), pytest.raises(errors.SmoothfitError):
        sb.Spline.from_scipy(pieces)


def test_what_an_engine_says_of_a_formula_is_repeated():
    data = pd.DataFrame({"x": X})
    for engine in ("patsy", "formulaic"):
        with pytest.raises(errors.SpecificationError, match="nowhere"):
            sb.DesignSpec.from_formula("bsp(nowhere, df=4)", data, engine)
    with pytest.raises(errors.DataError, match="x"):
        made_spec().design(pd.DataFrame({"z": X}))


@pytest.mark.parametrize("integer", [10**400, -(10**5000)], ids=["400", "5000"])
def test_an_integer_beyond_floats_is_named_by_its_size(integer):
    digits = 401 if integer > 0 else 5001
    with pytest.raises(errors.DataError, match=rf"x\[1\] is an integer of about {digits} digits"):
        sb.bsp(np.array([None, integer], dtype=object), df=4)
    with pytest.raises(errors.SpecificationError, match=f"degree is an integer of about {digits} digits"):
        sb.BSplineBasis(KNOTS, integer)
