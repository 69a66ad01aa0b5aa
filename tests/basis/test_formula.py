"""Transforms in formulas of patsy and formulaic, and designs that outlive their process."""

import builtins
import os
import pickle
import subprocess
import sys

import formulaic
import numpy as np
import pandas as pd
import patsy
import polars as pl
import pytest
import statsmodels.api as sm
import statsmodels.formula
import statsmodels.formula.api as smf

import smoothfit as sf
from smoothfit.basis.formula import DesignSpec, bpoly, bsp, csp, isp, msp, nsp, psp
from smoothfit.basis.knots import quantile_knots
from smoothfit.errors import DataError, KnotError, SpecificationError

ENGINES = ("patsy", "formulaic")
TRANSFORMS = {"bsp": bsp, "nsp": nsp, "msp": msp, "isp": isp, "csp": csp, "bpoly": bpoly, "psp": psp}
FAMILIES = {
    "bsp": sf.BSplineBasis,
    "nsp": sf.NaturalSplineBasis,
    "msp": sf.MSplineBasis,
    "isp": sf.ISplineBasis,
    "csp": sf.CSplineBasis,
    "psp": sf.PeriodicBSplineBasis,
}


@pytest.fixture(params=ENGINES)
def engine(request):
    """The engine that statsmodels uses meanwhile."""
    before = statsmodels.formula.options.formula_engine
    statsmodels.formula.options.formula_engine = request.param
    yield request.param
    statsmodels.formula.options.formula_engine = before


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    n = 200
    frame = pd.DataFrame({"x": rng.gamma(2, 2, n), "z": rng.uniform(-1, 1, n), "g": rng.choice(["a", "b", "c"], n)})
    shift = frame["g"].map({"a": 0.0, "b": 0.5, "c": -1.0})
    frame["y"] = np.sin(frame["x"]) + frame["z"] ** 2 + shift + 0.1 * rng.standard_normal(n)
    return frame


def basis_of(name, x, n_functions):
    if name == "bpoly":
        return sf.BernsteinBasis.from_data(x, n_functions - 1)
    return FAMILIES[name].from_data(x, n_functions)


# columns ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("options", [{}, {"deriv": 1}, {"deriv": 3}, {"integral": True}], ids=str)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_columns_are_those_of_the_basis_without_the_first(name, options, intercept, data):
    basis = basis_of(name, data["x"], 8)
    expected = (
        basis.integral(basis.domain[0], data["x"])
        if "integral" in options
        else basis.design(data["x"], options.get("deriv", 0), sparse=False)
    )
    first = 0 if intercept else 1
    columns = TRANSFORMS[name](data["x"], df=8 - first, intercept=intercept, **options)
    np.testing.assert_array_equal(columns.to_numpy(), expected[:, first:])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_intercept_is_as_in_splines2_by_default(name, data):
    df = 8 if name in ("isp", "csp") else 7
    assert TRANSFORMS[name](data["x"], df=df).shape == (200, df)
    expected = basis_of(name, data["x"], 8).design(data["x"], sparse=False)[:, 8 - df :]
    np.testing.assert_array_equal(TRANSFORMS[name](data["x"], df=df), expected)


def test_more_rows_than_are_made_at_once():
    x = np.random.default_rng(0).uniform(size=40_000)
    columns = bsp(x, df=5)
    np.testing.assert_array_equal(columns, sf.BSplineBasis.from_data(x, 6).design(x, sparse=False)[:, 1:])


def test_knots_boundary_and_degree():
    x = [0.5, 1.0, 2.5]
    basis = sf.BSplineBasis([0, 0, 0, 1, 2, 4, 4, 4], degree=2)
    np.testing.assert_array_equal(bsp(x, knots=[1, 2], degree=2, boundary=(0, 4)), basis.design(x, sparse=False)[:, 1:])
    assert bsp(x).shape == (3, 3)  # no inner knots
    assert bpoly(x, degree=2, boundary=(0, 3)).equals(bpoly(x, df=2, boundary=(0, 3)))


def test_frames_have_the_index_of_x_and_names():
    x = pd.Series([1.0, 2.0, 4.0], index=["p", "q", "r"], name="time")
    frame = bsp(x, df=3)
    assert list(frame.index) == ["p", "q", "r"]
    assert list(frame.columns) == ["bsp(time)[0]", "bsp(time)[1]", "bsp(time)[2]"]
    plain = bsp(pl.Series("time", [1.0, 2.0, 4.0]), df=3)
    assert list(plain.columns) == ["bsp[0]", "bsp[1]", "bsp[2]"]
    np.testing.assert_array_equal(plain, frame)
    assert bsp([], boundary=(0, 1)).shape == (0, 3)


def test_missing_x_make_missing_rows(data):
    x = data["x"].copy()
    x.iloc[[3, 77]] = np.nan
    for name, transform in TRANSFORMS.items():
        columns = transform(x, df=6).to_numpy()
        assert np.isnan(columns[[3, 77]]).all(), name
        known = x.notna().to_numpy()
        np.testing.assert_array_equal(columns[known], transform(x[known], df=6), err_msg=name)


@pytest.mark.parametrize("n", [9_999, 10_000, 123_456])
@pytest.mark.parametrize("kind", ["even", "heavy", "ties", "outlier", "wide"])
def test_knots_of_many_data_are_their_quantiles(n, kind):
    rng = np.random.default_rng(n)
    x = {
        "even": rng.uniform(size=n),
        "heavy": rng.standard_cauchy(n),
        "ties": rng.integers(0, 10_000, n).astype(float),
        "outlier": np.append(rng.uniform(size=n - 1), 1e300),
        "wide": np.append(rng.uniform(size=n - 2), [-1e308, 1e308]),
    }[kind]
    knots = quantile_knots(x, 17, (x.min(), x.max()))
    np.testing.assert_array_equal(knots, np.quantile(x, np.linspace(0, 1, 19)[1:-1]))


# in formulas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFORMS)
def test_predictions_from_new_data_use_the_knots_of_the_fit(name, data, engine):
    res = smf.ols(f"y ~ {name}(x, df=6)", data).fit()
    dropped = 0 if name in ("isp", "csp") else 1
    basis = basis_of(name, data["x"], 6 + dropped)
    new = pd.DataFrame({"x": np.linspace(data["x"].min(), data["x"].max(), 11)[::-1]}, index=list("abcdefghijk"))
    design = np.column_stack([np.ones(11), basis.design(new["x"], sparse=False)[:, dropped:]])
    predicted = res.predict(new)
    np.testing.assert_allclose(predicted, design @ res.params, rtol=0, atol=1e-12 * np.abs(res.params).max())
    assert list(predicted.index) == list(new.index)
    assert list(res.params.index) == ["Intercept", *(f"{name}(x, df=6)[{j}]" for j in range(6))]
    one = res.predict(new.iloc[[4]])
    np.testing.assert_allclose(one, predicted.iloc[[4]], rtol=1e-12)
    np.testing.assert_allclose(res.get_prediction(new).predicted_mean, predicted, rtol=1e-12)


def test_predictions_are_nan_where_x_is_missing(data, engine):
    frame = data.copy()
    frame.loc[5, "x"] = np.nan
    res = smf.ols("y ~ bsp(x, df=6)", frame).fit()
    assert res.nobs == 199
    expected = smf.ols("y ~ bsp(x, df=6)", frame.drop(index=5)).fit()
    np.testing.assert_allclose(res.params, expected.params, rtol=1e-9)
    predicted = res.predict(pd.DataFrame({"x": [1.0, np.nan, 2.0]}))
    assert np.isnan(predicted[1])
    assert np.isfinite(predicted[[0, 2]]).all()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("bsp(x, df=7)", "bs(x, df=7)"),
        ("bsp(x, df=5, degree=2, intercept=True) - 1", "bs(x, df=5, degree=2, include_intercept=True) - 1"),
        ("nsp(x, knots=[1.0, 2.5, 4.0])", "cr(x, knots=[1.0, 2.5, 4.0]) - 1"),
        (
            "psp(x, knots=[2.0, 5.0, 9.0, 12.0], boundary=(0, 20), intercept=True) - 1",
            "cc(x, knots=[2.0, 5.0, 9.0, 12.0], lower_bound=0, upper_bound=20) - 1",
        ),
        ("bpoly(x, degree=4)", "x + I(x**2) + I(x**3) + I(x**4)"),
        ("msp(x, df=7)", "bs(x, df=7)"),
        ("isp(x, df=7, degree=2)", "bs(x, df=7)"),
        ("csp(x, df=7, degree=2)", None),
    ],
)
def test_fits_are_those_of_other_bases_of_the_same_space(ours, theirs, data):
    fitted = sm.OLS(data["y"], patsy.dmatrix(ours, data)).fit().fittedvalues
    expected = sm.OLS(data["y"], patsy.dmatrix(theirs, data) if theirs else flat_at_the_start(data)).fit().fittedvalues
    np.testing.assert_allclose(fitted, expected, rtol=0, atol=1e-10)


def flat_at_the_start(data):
    """C-splines start with slope zero: patsy has no such splines."""
    inner = sf.CSplineBasis.from_data(data["x"], 7, degree=2).inner_knots
    basis = sf.BoundaryConditionBasis(sf.BSplineBasis.from_data(data["x"], knots=inner, degree=4), left=[{1: 1.0}])
    return basis.design(data["x"], sparse=False)


def test_chunks_make_the_knots_of_the_whole(data):
    def chunks():
        for start in range(0, 200, 64):
            yield data.iloc[start : start + 64]

    info = patsy.incr_dbuilder("bsp(x, df=6) + psp(z, df=4)", chunks)
    (matrix,) = patsy.build_design_matrices([info], data)
    np.testing.assert_array_equal(matrix, patsy.dmatrix("bsp(x, df=6) + psp(z, df=4)", data))


def test_anova_of_several_terms(data, engine):
    res = smf.ols("y ~ bsp(x, df=6) + nsp(z, df=3) + C(g)", data).fit()
    table = sm.stats.anova_lm(res, typ=2)
    terms = {"bsp(x, df=6)": 6, "nsp(z, df=3)": 3, "C(g)": 2}
    for term, df in terms.items():
        without = smf.ols("y ~ " + " + ".join(t for t in terms if t != term), data).fit()
        f, p, df_diff = res.compare_f_test(without)
        assert df_diff == table.loc[term, "df"] == df
        np.testing.assert_allclose(table.loc[term, ["F", "PR(>F)"]].astype(float), [f, p], rtol=1e-7, atol=1e-14)


def test_interactions_fit_every_group_its_own_curve(data, engine):
    res = smf.ols("y ~ C(g) + C(g):bsp(x, df=5)", data).fit()
    basis = sf.BSplineBasis.from_data(data["x"], 6)
    for _, part in data.groupby("g"):
        alone = sm.OLS(part["y"], basis.design(part["x"], sparse=False)).fit()
        np.testing.assert_allclose(res.fittedvalues[part.index], alone.fittedvalues, rtol=0, atol=1e-10)
    new = pd.DataFrame({"g": ["a", "b", "c"], "x": 2.0})
    coefficients = np.linalg.lstsq(basis.design(part["x"], sparse=False), part["y"], rcond=None)[0]
    np.testing.assert_allclose(res.predict(new)[2], (basis.design([2.0]) @ coefficients)[0], rtol=1e-10)


def test_nested_and_computed_arguments(data, engine):
    inner = np.array([-1.0, 1.0])
    new = data.iloc[:3]
    log, centered = (smf.ols(f"y ~ {term}", data).fit() for term in ("bsp(np.log(x), df=5)", "bsp(center(x), df=5)"))
    np.testing.assert_allclose(log.predict(new), log.fittedvalues[:3], rtol=1e-12)
    np.testing.assert_allclose(centered.predict(new), centered.fittedvalues[:3], rtol=1e-12)
    spec = DesignSpec.from_formula("bsp(np.log(x), knots=inner)", data, engine, {"inner": inner})
    np.testing.assert_array_equal(spec.bases["bsp(np.log(x), knots=inner)"].inner_knots, inner)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_beyond_the_training_data(name, data, engine):
    spec = DesignSpec.from_formula(f"{name}(x, df=6) - 1", data, engine)
    (basis,) = spec.bases.values()
    lower, upper = basis.domain
    new = pd.DataFrame({"x": [lower, upper + 1, upper + 2, upper + 3]})
    if name == "nsp":
        beyond = spec.design(new).to_numpy()[1:]
        np.testing.assert_allclose(np.diff(beyond, 2, axis=0), 0, atol=1e-13 * np.abs(beyond).max())
    elif name == "psp":
        inside = spec.design(pd.DataFrame({"x": [lower + 1, lower + 2, lower + 3]}))
        np.testing.assert_allclose(spec.design(new).to_numpy()[1:], inside, rtol=0, atol=1e-14)
    else:
        with pytest.raises(DataError, match=rf"^x\[1\] = {upper + 1} is outside the domain .* of {name}; pass boundary="):
            spec.design(new)


def test_extrapolation_is_passed_through(data, engine):
    spec = DesignSpec.from_formula("bsp(x, df=6, boundary=(0, 9), extrapolate='polynomial')", data, engine)
    basis = spec.bases["bsp(x, df=6, boundary=(0, 9), extrapolate='polynomial')"]
    assert basis.extrapolate == "polynomial"
    expected = basis.design([20.0, 3.0], sparse=False)[:, 1:]
    np.testing.assert_array_equal(spec.design(pd.DataFrame({"x": [20.0, 3.0]})).iloc[:, 1:], expected)
    nan = DesignSpec.from_formula("bsp(x, df=6, extrapolate='nan')", data, engine)
    assert list(nan.design(pd.DataFrame({"x": [-1.0, 3.0, 99.0]})).index) == [1]
    inside = data.assign(x=data["x"].clip(upper=9))
    np.testing.assert_array_equal(spec.design(inside).iloc[:, 1:], basis.design(inside["x"], sparse=False)[:, 1:])


def test_formulaic_knows_the_names_where_statsmodels_predicts(data, engine):
    def fitted():
        from smoothfit.basis import nsp as only_here  # noqa: F401

        return smf.ols("y ~ nsp(x, df=4)", data).fit()

    np.testing.assert_allclose(fitted().predict(data), fitted().fittedvalues, rtol=1e-12)


def test_a_transform_that_patsy_would_forget_is_refused(data):
    with pytest.raises(patsy.PatsyError, match="stores knots for a bare name only") as caught:
        patsy.dmatrix("sf.basis.bsp(x, df=5)", data)
    assert isinstance(caught.value.__cause__, SpecificationError)
    fixed = patsy.dmatrix("sf.basis.bsp(x, knots=[1, 2], boundary=(0, 20))", data)  # nothing to remember
    np.testing.assert_array_equal(fixed, patsy.dmatrix("bsp(x, knots=[1, 2], boundary=(0, 20))", data))
    by_attribute = formulaic.model_matrix("sf.basis.bsp(x, df=5)", data)
    again = by_attribute.model_spec.get_model_matrix(data.iloc[:9], context={"sf": sf})
    np.testing.assert_array_equal(again, by_attribute.iloc[:9])


# bad input -------------------------------------------------------------------------------------------------------------

BAD = [
    ("bsp(x, df=2)", SpecificationError, "df is 2; bsp of degree 3 without intercept has at least 3 columns"),
    ("bsp(x, df=3, intercept=True)", SpecificationError, "bsp of degree 3 with intercept has at least 4 columns"),
    ("nsp(x, df=0)", SpecificationError, "df is 0"),
    ("isp(x, df=3)", SpecificationError, "isp of degree 3 with intercept has at least 4 columns"),
    ("bsp(x, df=2.5)", SpecificationError, "df is 2.5"),
    ("bsp(x, df=5, knots=[1.0])", SpecificationError, "df and knots are both given"),
    ("bsp(x, degree=11)", SpecificationError, "degree is 11"),
    ("nsp(x, degree=2)", SpecificationError, "natural splines are cubic"),
    ("bpoly(x, knots=[1.0])", SpecificationError, "bpoly has no inner knots"),
    ("bsp(x, deriv=-1)", SpecificationError, "deriv is -1"),
    ("bsp(x, deriv=1, integral=True)", SpecificationError, "contradict"),
    ("bsp(x, intercept=1)", SpecificationError, "intercept is 1; pass True or False"),
    ("bsp(x, extrapolate='flat')", SpecificationError, "extrapolate is 'flat'"),
    ("bsp(x, knots=[2.0, 1.0])", KnotError, r"knots\[1\] = 1.0 is below"),
    ("bsp(x, knots=[99.0])", KnotError, r"knots\[0\] = 99.0 is not inside the boundary"),
    ("bsp(x, boundary=(1, 1))", KnotError, "boundary is"),
    ("bsp(x, boundary=(1, 2))", DataError, r"x\[\d+\] = .* is outside the domain \[1.0, 2.0\]"),
    ("bsp(tied, df=8)", KnotError, "distinct values"),
    ("bsp(constant)", KnotError, "all 200 of x are 1.0"),
    ("bsp(inf, df=5)", DataError, r"x\[1\] is inf; values of x must be finite"),
    ("psp(inf, df=5)", DataError, r"x\[1\] is inf; values of x must be finite"),
    ("bsp(g, df=5)", DataError, r"^x\b.*pass numbers"),
    ("bsp(category, df=5)", DataError, "x is categorical"),
    ("bsp(C(whole), df=5)", DataError, r"^x\b.*pass"),
    ("bsp(flag, df=5)", DataError, "x is boolean"),
    ("bsp(time, df=5)", DataError, "x contains times"),
]


@pytest.mark.parametrize(("term", "kind", "message"), BAD, ids=[bad[0] for bad in BAD])
def test_errors_are_ours_in_both_engines(term, kind, message, data, engine):
    frame = data.assign(
        tied=np.arange(200.0) % 3,
        constant=1.0,
        inf=np.r_[np.nan, np.inf, np.ones(198)],
        category=pd.Categorical(np.arange(200) % 7),
        whole=np.arange(200) % 7,
        flag=data["x"] > 1,
        time=pd.Timestamp("2020-01-01"),
    )
    with pytest.raises(kind, match=message):
        DesignSpec.from_formula(term, frame, engine)
    with pytest.raises(Exception, match=message.removeprefix("^")):  # the engine's own, with our words
        smf.ols(f"y ~ {term}", frame)


def test_functions_refuse_the_same():
    with pytest.raises(DataError, match=r"x\[2\] is -inf"):
        bsp([0, 1, -np.inf])
    with pytest.raises(DataError, match="x is categorical"):
        bsp(pl.Series(["1", "2"], dtype=pl.Categorical))
    with pytest.raises(DataError, match="one dimension"):
        bsp([[0, 1], [1, 2]])


# designs that pickle ---------------------------------------------------------------------------------------------------

FORMULAS = [
    "bsp(x, df=6)",
    "g + C(g):bsp(x, df=5) + z",
    "C(g, Sum):nsp(x, df=4) - 1",
    "isp(x, df=6) + psp(z, knots=[-0.5, 0.0, 0.5], boundary=(-1, 1)) + bpoly(z, df=3, deriv=1)",
    "bsp(np.log(x), df=5) + center(z):I(x > 3) + flag",
    "bsp(center(x), df=5) + bs(z, df=4) + msp(x, df=5, integral=True)",
    "bsp(cube(z), knots=inner) + csp(x, df=5)",
]
FRESH = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    specs, data, other = pickle.load(file)
with open(sys.argv[2], "wb") as file:
    pickle.dump([(spec.design(data), spec.design(other), spec.bases) for spec in specs], file)
"""


def cube(z):
    return z**3


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_fresh_process_makes_the_same_designs(engine_name, data, tmp_path):
    frame = data.assign(flag=data["z"] > 0)
    other = frame.iloc[[5, 3, 150]].assign(g="b")
    names = {"bsp": bsp, "nsp": nsp, "isp": isp, "psp": psp, "bpoly": bpoly, "msp": msp, "csp": csp, "np": np}
    specs, here = [], []
    for text in FORMULAS:
        formula = text if engine_name == "patsy" else text.replace("C(g, Sum)", "C(g, contr.sum)")
        context = {"cube": np.cbrt, "inner": np.array([-0.2, 0.3])} if "cube" in formula else None
        spec = DesignSpec.from_formula(f"y ~ {formula}", frame, engine_name, context)
        if engine_name == "patsy":
            made = patsy.dmatrix(formula, frame, patsy.EvalEnvironment([names | (context or {})]), return_type="dataframe")
        else:
            made = pd.DataFrame(formulaic.model_matrix(formula, frame, context=names | (context or {})))
        specs.append(spec)
        here.append((spec.design(frame), spec.design(other)))
        np.testing.assert_array_equal(here[-1][0], made)
        assert spec.column_names == tuple(made.columns)

    given, returned = tmp_path / "given.pickle", tmp_path / "returned.pickle"
    given.write_bytes(pickle.dumps((specs, frame, other)))
    subprocess.run([sys.executable, "-c", FRESH, str(given), str(returned)], check=True, cwd=tmp_path, env=os.environ)
    for spec, mine, (*theirs, bases) in zip(specs, here, pickle.loads(returned.read_bytes()), strict=True):
        for one, same in zip(mine, theirs, strict=True):
            pd.testing.assert_frame_equal(one, same, check_exact=True)
        assert bases.keys() == spec.bases.keys()
        for call, basis in bases.items():
            np.testing.assert_array_equal(basis.knots, spec.bases[call].knots)
            assert not basis.knots.flags.writeable


def test_a_design_from_a_result_of_statsmodels_predicts_as_it_does(data, engine):
    res = smf.ols("y ~ C(g):bsp(x, df=5) + z", data).fit()
    spec = pickle.loads(pickle.dumps(DesignSpec.of(res.model.data.model_spec)))
    assert spec.engine == engine
    new = data.iloc[10:20]
    np.testing.assert_array_equal(spec.design(data), res.model.exog)
    np.testing.assert_allclose(spec.design(new) @ res.params.to_numpy(), res.predict(new), rtol=1e-12)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_missing_rows_are_dropped_or_refused(engine_name, data):
    spec = DesignSpec.from_formula("bsp(x, df=5)", data, engine_name)
    frame = pd.DataFrame({"x": [1.0, np.nan, 2.0]}, index=["p", "q", "r"])
    assert list(spec.design(frame).index) == ["p", "r"]
    with pytest.raises(Exception, match=r"missing|null"):
        spec.design(frame, na_action="raise")
    with pytest.raises(SpecificationError, match="na_action is 'keep'"):
        spec.design(frame, na_action="keep")


def test_designs_refuse_what_they_cannot_keep(data, monkeypatch):
    with pytest.raises(SpecificationError, match=r"context\['sf'\] is a module"):
        DesignSpec.from_formula("bsp(x, df=5)", data, context={"sf": sf})
    with pytest.raises(SpecificationError, match="engine is 'r'"):
        DesignSpec.from_formula("bsp(x, df=5)", data, engine="r")
    with pytest.raises(SpecificationError, match="not of a DataFrame"):
        DesignSpec.of(data)

    def absent(name, *args, **kwargs):
        if name == "formulaic":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match="pip install formulaic"):
        DesignSpec.from_formula("bsp(x, df=5)", data, engine="formulaic")


def test_transforms_import_neither_engine():
    code = "import sys, smoothfit.basis.formula as f; f.bsp([0, 1, 2], df=3); print({'patsy', 'formulaic'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ).stdout
    assert output.strip() == "set()"


@pytest.mark.parametrize(
    "call",
    [
        "isp(x, degree=0, intercept=False)",
        "bsp(x, degree=0)",
        "msp(x, degree=0)",
        "psp(x)",
        "bpoly(x, degree=0)",
        "csp(x, degree=0, intercept=False)",
    ],
)
def test_transforms_without_a_column_name_the_intercept(call):
    from patsy import dmatrix

    import smoothfit.basis as names

    x = np.linspace(0, 1, 9)
    for evaluate in (
        lambda: eval(call, vars(names), {"x": x}),
        lambda: dmatrix(call, {"x": x}, eval_env=_environment(names)),
        lambda: DesignSpec.from_formula(call, pd.DataFrame({"x": x})),
        lambda: DesignSpec.from_formula(call, pd.DataFrame({"x": x}), engine="formulaic"),
    ):
        with pytest.raises(Exception, match="pass intercept=True") as caught:
            evaluate()
        assert isinstance(caught.value, SpecificationError) or isinstance(caught.value.__cause__, SpecificationError)


def _environment(names):
    from patsy import EvalEnvironment

    return EvalEnvironment([vars(names)])


@pytest.mark.parametrize("engine", ["patsy", "formulaic"])
def test_column_names_are_never_evaluated(engine):
    data = pd.DataFrame({"x": np.linspace(0, 1, 9), "__import__('os').abort()": 1.0})
    spec = DesignSpec.from_formula("bsp(x, df=4)", data, engine=engine)
    assert len(spec.design(data).columns) == 5
    frame = bsp(data["x"].rename("__import__('os').abort()"), df=4)
    assert frame.columns[0] == "bsp(__import__('os').abort())[0]"
