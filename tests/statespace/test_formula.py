import pickle

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.statespace.formula import SplineFormula


@pytest.fixture(scope="module")
def flight():
    return sf.datasets.load_glider().iloc[:150].assign(climb=lambda d: d["vertical_rate_ftmin"] / 60)


def test_a_formula_is_the_model_of_its_observations(flight):
    res = sf.SmoothingSpline.from_formula("altitude_ft + D(climb) ~ s(time_s, order=3)", flight).fit()
    obs = sf.Observations.from_frame(flight, x="time_s", readings={"altitude_ft": 0, "climb": 1})
    other = sf.SmoothingSpline(obs, order=3).fit()
    assert res.llf == other.llf
    np.testing.assert_array_equal(res.predict([100.0, 200.0], deriv=1), other.predict([100.0, 200.0], deriv=1))
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(again.predict([100.0], deriv=2), res.predict([100.0], deriv=2))


def test_what_formulas_say():
    parsed = SplineFormula.parse('a + D(b) + D(Q("c d"), 2) ~ s(Q("the time"), order=4, unit="h")')
    assert parsed == SplineFormula("the time", {"a": 0, "b": 1, "c d": 2}, {"order": 4, "unit": "h"})
    assert SplineFormula.parse("y~s(x)") == SplineFormula("x", {"y": 0}, {})


def test_times_and_options(flight):
    timed = flight.assign(when=pd.Timestamp("2024-06-01") + pd.to_timedelta(flight["time_s"], unit="s"))
    model = sf.SmoothingSpline.from_formula(
        'altitude_ft + D(climb) ~ s(when, order=3, unit="s")', timed, sd={"altitude_ft": 20.0}, weights={"climb": 2.0}
    )
    assert model.observations.abscissa.unit == "s"
    assert model.observations["altitude_ft"].sd[0] == 20.0
    assert model.observations["climb"].weights[0] == 2.0


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y", "write observations ~ s"),
        ("y ~ s(x) ~ z", "write observations ~ s"),
        (7, "write observations ~ s"),
        ("y + ~ s(x)", "'y \\+' is not a valid expression"),
        ("y ~ s(x) + w * z", "'w \\* z' is neither"),
        ("y ~ s(x) + w + w", "stands twice"),
        ("y ~ s(x) + y", "stands twice"),
        ("y ~ s(x) + Level(x)", "not an intervention"),
        ("y ~ s(x) + s(z)", r"one smooth term.*smf\.ols\('y ~ bsp"),
        ("y ~ te(x, z)", r"one smooth term.*SplineRegression\.from_formula"),
        ("y ~ x", "and not 'x'"),
        ("y ~ s(x, 3)", "stands s"),
        ("y ~ s(x, degree=3)", "its options are order="),
        ("y ~ s(x, by=g)", r"its options are order=.*sf\.fit_curves\(data, by="),
        ("y ~ s(x, order=2.0)", "its options are order="),
        ("log(y) ~ s(x)", r"'log\(y\)' is not valid"),
        ("D(y, k) ~ s(x)", "is not valid"),
        ("y + D(y) ~ s(x)", "'y' twice"),
    ],
)
def test_what_formulas_cannot_say(formula, words, flight):
    with pytest.raises(SpecificationError, match=words):
        sf.SmoothingSpline.from_formula(formula, flight)


@pytest.mark.parametrize("option", [{"order": 3}, {"unit": "D"}, {"period": 24.0}, {"regressors": {}}])
def test_what_the_formula_states_is_no_option(option, flight):
    (name,) = option
    with pytest.raises(
        SpecificationError, match=rf"{name}= is given beside a formula, which states it: y ~ s\(x.*leave {name}= out"
    ):
        sf.SmoothingSpline.from_formula("altitude_ft ~ s(time_s)", flight, **option)


def test_several_inputs_name_the_models_of_surfaces():
    with pytest.raises(SpecificationError, match="of several inputs use SplineRegression with a TensorProductBasis, or Gaussian"):
        sf.SmoothingSpline(sf.observe([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0]))


def test_groups_are_no_regressor():
    data = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1.0, 2.0, 2.5], "g": ["a", "b", "a"]})
    for column in (data["g"], data["g"].astype("category")):
        with pytest.raises(DataError, match=r"g contains strings.*get_dummies\(data, columns=\['g'\].*fit_curves\(data, by='g'"):
            sf.SmoothingSpline.from_formula("y ~ s(x) + g", data.assign(g=column))


def test_columns_must_exist(flight):
    with pytest.raises(DataError, match="no column 'height'"):
        sf.SmoothingSpline.from_formula("height ~ s(time_s)", flight)


def test_times_as_x():
    rng = np.random.default_rng(16)
    t = pd.date_range("2026-01-01", periods=60, freq="D")
    y = np.sin(np.arange(60) / 5) + 2.0 * (t >= "2026-02-01") + 0.1 * rng.standard_normal(60)
    frame = pd.DataFrame({"t": t, "n": np.arange(60.0), "y": y})
    timed = sf.SmoothingSpline.from_formula("y ~ s(t, unit='D') + Level('2026-02-01')", frame).fit()
    plain = sf.SmoothingSpline.from_formula("y ~ s(n) + Level(31)", frame).fit()
    np.testing.assert_array_equal(timed.params.to_numpy(), plain.params.to_numpy())
    np.testing.assert_array_equal(timed.predict(t[:5]), plain.predict(frame["n"][:5]))


@pytest.mark.parametrize("missing", [False, True])
def test_formula_with_regressors_is_the_model(missing):
    rng = np.random.default_rng(17)
    n = 40
    frame = pd.DataFrame({"t": np.sort(rng.uniform(0, 6, n)), "w": rng.standard_normal(n)})
    frame["y"] = np.sin(frame["t"]) + 0.5 * frame["w"] + 0.1 * rng.standard_normal(n)
    frame["v"] = np.cos(frame["t"]) + 0.1 * rng.standard_normal(n)
    if missing:
        frame.loc[[3, 7], "y"] = np.nan
        frame.loc[5, "v"] = np.nan
    res = sf.SmoothingSpline.from_formula("y + D(v) ~ s(t, order=3) + w + Slope(2.0)", frame).fit()
    good = frame["y"].notna()
    obs = sf.observe(frame["t"], frame["y"], name="y") + sf.observe(frame["t"], frame["v"], deriv=1, name="v")
    w = np.r_[frame["w"][good], np.zeros(frame["v"].notna().sum())]
    model = sf.SmoothingSpline(obs, order=3, regressors={"w": w}, interventions=[sf.Slope(2.0)])
    np.testing.assert_array_equal(res.params.to_numpy(), model.fit().params.to_numpy())
    whole = np.where(np.r_[good, frame["v"].notna()], np.r_[frame["w"], np.zeros(n)], np.nan)  # missing observations included
    given = sf.SmoothingSpline(obs, order=3, regressors={"w": whole}, interventions=[sf.Slope(2.0)])
    np.testing.assert_array_equal(given.fit().params.to_numpy(), res.params.to_numpy())
    assert res.params["w"] == pytest.approx(0.5, abs=5 * res.bse["w"])


@pytest.mark.parametrize("library", ["numpy", "pandas", "nullable", "polars"])
def test_booleans_are_indicators(library):
    """A regressor of True and False is one of ones and zeros, in the fit and in what is predicted."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"t": np.arange(40.0), "on": rng.random(40) < 0.3})
    frame["y"] = np.sin(frame["t"] / 9) + 2.0 * frame["on"] + 0.1 * rng.standard_normal(40)
    numbers = sf.SmoothingSpline.from_formula("y ~ s(t) + on", frame.astype({"on": float})).fit()
    if library == "numpy":
        given = {"on": frame["on"].to_numpy()}
        res = sf.SmoothingSpline(sf.observe(frame["t"], frame["y"]), regressors=given).fit()
    else:
        data = frame.astype({"on": "boolean"}) if library == "nullable" else frame
        if library == "polars":
            data = pytest.importorskip("polars").from_pandas(data)
        res = sf.SmoothingSpline.from_formula("y ~ s(t) + on", data).fit()
        np.testing.assert_array_equal(np.asarray(res.predict(data)), np.asarray(numbers.predict(frame)))
    np.testing.assert_array_equal(res.params, numbers.params)
    ahead = [res.forecast(2, regressors={"on": on})["mean"].to_numpy() for on in ([True, False], [1.0, 0.0])]
    np.testing.assert_array_equal(*ahead)


def test_terms_of_groups_have_a_way_out():
    data = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1.0, 2.0, 2.5], "g": ["a", "b", "a"]})
    with pytest.raises(SpecificationError, match=r"'C\(g\)' is neither.*get_dummies\(data, columns=\['g'\]"):
        sf.SmoothingSpline.from_formula("y ~ s(x) + C(g)", data)
