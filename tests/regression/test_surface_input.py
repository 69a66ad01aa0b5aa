"""Observations, bases, formulas and constraints of surfaces: what they can be, and what is refused with the way out."""

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError

from .surfaces import B0, B1, BASIS, BENT, BOTH, f, points, readings


def test_formulas_and_frames():
    X = points(200)
    df = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "z": f(X), "zx": f(X, (1, 0)), "zxy": f(X, (1, 1)), "s": 0.1})
    df.loc[3, "zx"] = np.nan
    formula = "z + D(zx, x) + D(zxy, y, x) ~ te(bsp(x, df=8), bsp(y, df=6))"
    model = sf.SplineRegression.from_formula(formula, df, BOTH, sd={"z": "s", "zx": 0.2, "zxy": 0.3})
    obs = sf.observe(df[["x", "y"]], df["z"], sd=0.1) + sf.observe(df[["x", "y"]], df["zx"], deriv=(1, 0), sd=0.2)
    obs += sf.observe(df[["x", "y"]], df["zxy"], deriv=(1, 1), sd=0.3)
    assert repr(model.observations) == repr(obs)
    basis = sf.TensorProductBasis(
        sf.BSplineBasis.from_data(X[:, 0], df=9), sf.BSplineBasis.from_data(X[:, 1], df=7)
    )  # and the constant
    np.testing.assert_array_equal(model.fit().params, sf.SplineRegression(obs, basis, BOTH).fit().params)
    curve = sf.SplineRegression.from_formula("z + D(zx, x) ~ bsp(x, df=8)", df)
    assert [r.deriv for r in curve.observations.readings] == [0, 1]
    for wrong, words in {
        "z + D(zx) ~ te(bsp(x, df=8), bsp(y, df=6))": "by which variable",
        "z + D(zx, w) ~ te(bsp(x, df=8), bsp(y, df=6))": "derivative by 'w'; the variables are x, y",
        "z ~ te(bsp(x, df=8))": "one basis for each",
        "z ~ te(bsp(x, df=8), y)": "'y' is not a basis",
    }.items():
        with pytest.raises(SpecificationError, match=words):
            sf.SplineRegression.from_formula(wrong, df)


def test_gaussian_processes_read_the_same_points():
    X = points(25)
    obs = sf.observe(X, f(X), name="height") + sf.observe(X, f(X, (1, 0)), deriv=(1, 0), sd=0.1)
    assert obs.axis.tolist() == [-1] * 25 + [0] * 25
    assert "df/dx0" in repr(obs)
    assert sf.GaussianProcess(obs).inputs == ("x0", "x1")
    assert obs.to_frame()["observes"].unique().tolist() == ["f", "df/dx0"]


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # the surface is held where observations are not
def test_equalities_hold_and_other_constraints_are_refused():
    edge = np.column_stack([np.linspace(0, 2, 8), np.zeros(8)])
    held = [sf.Equals(edge, 0.0), sf.Equals([[1.0, 1.0]], 2.0, deriv=(0, 1))]
    res = sf.SplineRegression(readings(), BASIS, BENT, constraints=held).fit()
    np.testing.assert_allclose(res.predict(edge), 0, atol=1e-9)
    assert res.predict([1.0, 1.0], (0, 1)) == pytest.approx(2)
    assert np.abs(res.predict(np.column_stack([np.linspace(0, 2, 50), np.zeros(50)]))).max() < 1e-8  # as many as functions
    assert len(res.active_constraints) == 9
    for constraint in (sf.Increasing(), sf.Unimodal(0.5), sf.Bounds(lower=0)):
        with pytest.raises(SpecificationError, match=r"whole box.*take sf\.Equals"):
            sf.SplineRegression(readings(), BASIS, BENT, constraints=constraint)
    with pytest.raises(SpecificationError, match=r"pass points \(n, d\)"):
        sf.SplineRegression(readings(), BASIS, BENT, constraints=sf.Equals(0.0))


@pytest.mark.parametrize(
    ("obs", "penalty", "words"),
    [
        (sf.observe(points(50), np.ones(50), deriv=(1, 0)), BENT, "no observation fixes the level of f; add one observation of f"),
        (sf.observe(points(50) * [1, 0] + [0, 0.5], np.ones(50)), BENT, "no observation fixes the slope of f along x1"),
        (sf.observe(points(50) * [0, 1] + [0.5, 0], np.ones(50)), BOTH, "no observation fixes the slope of f along x0"),
        (sf.observe(np.repeat(points(9)[:, :1], 2, axis=1) / 2, np.ones(9)), BENT, "the slope of f along some direction"),
        (
            sf.observe(points(20) * [1, 0], np.ones(20)) + sf.observe(points(20) * [0, 1], np.ones(20), name="g"),
            BOTH,
            r"the twist of f \(x0 times x1\)",
        ),
        (sf.observe(points(300) * [0.5, 1], np.ones(300)), None, r"do not fix f in 1.* <= x0 <= 1.9.*: there are too few"),
    ],
)
def test_what_readings_leave_open_is_named(obs, penalty, words):
    with pytest.raises(IdentificationError, match=words):
        sf.SplineRegression(obs, BASIS, penalty)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.SplineRegression(sf.observe([0.1, 0.2], [1, 2]), BASIS), SpecificationError, r"observe points \(n, d\)"),
        (lambda: sf.SplineRegression(readings(), B0), SpecificationError, "observations are at points of several variables"),
        (lambda: sf.SplineRegression(readings(), sf.TensorProductBasis(B0, B1, B0)), SpecificationError, "2 inputs .* 3 variables"),
        (lambda: sf.SplineRegression(sf.gp.observe(points(9), np.ones(9), sd=0), BASIS), SpecificationError, "zero.*sf.Equals"),
        (
            lambda: sf.SplineRegression(sf.observe(points(9), np.ones(9), deriv=(0, 4)), BASIS),
            SpecificationError,
            r"d4f/dx1\^4, which is zero everywhere for splines of degree 3 in x1",
        ),
        (
            lambda: sf.SplineRegression(readings(), BASIS, sf.DifferencePenalty()),
            SpecificationError,
            "along one variable; pass axis",
        ),
        (lambda: sf.SplineRegression(readings(), BASIS, sf.DerivativePenalty(2, axis=2)), SpecificationError, "axis is 2; the var"),
        (lambda: sf.DerivativePenalty(2, axis=0).matrix(B0), SpecificationError, "the basis has one variable"),
        (
            lambda: sf.SplineRegression(readings(), BASIS, BENT).fit(cov_type="HAC", cov_kwds={"maxlags": 2}),
            SpecificationError,
            "HAC",
        ),
        (lambda: sf.SplineRegression(sf.observe(points(9) * 3, np.ones(9)), BASIS), DataError, "outside"),
        (lambda: sf.observe(points(9), np.ones(9), deriv=1), SpecificationError, r"an order for each of 2 variables"),
        (lambda: sf.observe(points(9), np.ones(8)), DataError, "y has 8 observations and x has 9 points"),
        (lambda: sf.observe(points(9), np.ones(9), unit="s"), SpecificationError, "points hold numbers"),
        (lambda: sf.observe_integral(points(9), points(9) - 1, np.ones(9)), DataError, r"lower\[0, 0\].* is not below"),
        (lambda: sf.observe_integral(points(9), points(8), np.ones(9)), DataError, "a corner of each box in both"),
        (lambda: sf.observe(points(9), np.ones(9)) + sf.observe([0.0], [1.0]), TypeError, "unsupported"),
        (lambda: sf.GaussianProcess(sf.observe(points(9), np.ones(9), deriv=(1, 1))), SpecificationError, "order 0 or 1 in total"),
        (lambda: sf.TensorSpline(BASIS, np.ones(3)), SpecificationError, "coef has shape"),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call()
