import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError


def frame():
    rng = np.random.default_rng(0)
    t = np.arange(60) * 0.1
    return pd.DataFrame(
        {"time": t, "y": np.cumsum(rng.standard_normal(60)), "u": rng.standard_normal(60), "v": 2 + rng.random(60), "run": t > 3}
    )


@pytest.mark.parametrize(
    ("formula", "order", "names"),
    [
        ("D(y) ~ y + u", 1, ["y", "u", "const"]),
        ("D(y) ~ u + y - 1", 1, ["y", "u"]),
        ("D(y) ~ 0 + y", 1, ["y"]),
        ("D(y, 2) ~ D(y) + u", 2, ["D(y)", "u", "const"]),
        ("D(y, 2) ~ y + D(y, 1) + np.log(v) + u", 2, ["y", "D(y)", "np.log(v)", "u", "const"]),
        ("D(y, 2) ~ D(y) + u + sign(D(y))", 2, ["D(y)", "u", "sign(D(y))", "const"]),
        ("D(y, 2) ~ y + y**3 + np.sin(time)*D(y) - 1", 2, ["y", "y**3", "np.sin(time)*D(y)"]),
        ("D(y) ~ y + u:v", 1, ["y", "u:v", "const"]),
    ],
)
def test_formulas_name_their_terms(formula, order, names):
    model = sf.DerivativeRegression.from_formula(formula, frame(), t="time")
    assert model.equation.order == order
    assert model.equation.names == names
    assert model.formula == formula


def test_a_formula_is_the_arrays_it_stands_for():
    df = frame()
    ours = sf.DerivativeRegression.from_formula("D(y) ~ y + u", df, t="time", groups="run").fit()
    arrays = sf.DerivativeRegression(df["y"], df["time"], df["u"], groups=df["run"]).fit()
    np.testing.assert_array_equal(ours.params, arrays.params)
    assert list(ours.params.index) == list(arrays.params.index)
    polars = sf.DerivativeRegression.from_formula("D(y) ~ y + u", pl.from_pandas(df), t="time", groups="run").fit()
    np.testing.assert_array_equal(ours.params, polars.params)
    assert "Formula: D(y) ~ y + u" in str(ours.summary())


def test_terms_are_arithmetic_and_pickle():
    model = sf.DerivativeRegression.from_formula("D(y, 2) ~ np.abs(y)*D(y) + sin(time)*y + u", frame(), t="time")
    y, t = [np.array([-2.0, 1.0]), np.array([3.0, 4.0])], np.array([0.5, 1.0])
    for equation in (model.equation, pickle.loads(pickle.dumps(model)).equation):
        first, second = equation.terms
        np.testing.assert_allclose(first(y, t), [6.0, 4.0])
        np.testing.assert_allclose(second(y, t), np.sin(t) * y[0])
        assert (first.rates, second.rates) == (True, False)


@pytest.mark.parametrize("option", [{"order": 2}, {"intercept": False}, {"terms": {}}, {"derivatives": (0,)}])
def test_what_the_formula_states_is_no_option(option):
    with pytest.raises(SpecificationError, match=rf"{next(iter(option))}= is given beside a formula, which states it: D\(y"):
        sf.DerivativeRegression.from_formula("D(y) ~ y", frame(), t="time", **option)


def test_functions_without_a_name_cannot_be_saved(tmp_path):
    rates = sf.DerivativeRegression(np.cos(np.arange(9.0)), np.arange(9.0), terms={"y**2": lambda y, t: y[0] ** 2})
    res = rates.fit("difference")
    with pytest.raises(SpecificationError, match=r"cannot be saved \(Can't pickle .*<lambda>.*define it in a module"):
        res.save(tmp_path / "fit.pickle")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("formula", "error", "words"),
    [
        ("y ~ u", SpecificationError, "left side"),
        ("D(y) = u", SpecificationError, "one ~"),
        ("D(y) ~ D(y)", SpecificationError, "not below"),
        ("D(y) ~ y - u", SpecificationError, "only the intercept"),
        ("D(y) ~ y*u", SpecificationError, r"mixes the curve with the input 'u'.*terms=.*np.interp\(t, times, u\)"),
        ("D(y, 2) ~ D(u)", SpecificationError, r"D\(u\) without u"),
        ("D(y) ~ y + f(y)", SpecificationError, "'f' is unknown"),
        ("D(y) ~ y + (u", SpecificationError, "brackets"),
        ("D(z) ~ z", DataError, "no column 'z'"),
        ("D(y) ~ y + w", DataError, "cannot read the input 'w'"),
    ],
)
def test_what_cannot_be_read_is_said(formula, error, words):
    with pytest.raises(error, match=words):
        sf.DerivativeRegression.from_formula(formula, frame(), t="time")


def test_expressions_reach_nothing_but_their_functions():
    with pytest.raises(SpecificationError):
        sf.DerivativeRegression.from_formula("D(y) ~ y.__class__(y)", frame(), t="time")
    with pytest.raises(SpecificationError):
        sf.DerivativeRegression.from_formula("D(y) ~ __import__('os').system(y)", frame(), t="time")
