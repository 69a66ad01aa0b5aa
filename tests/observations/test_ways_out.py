"""Messages about observations and models, and the ways out that they name."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

import smoothfit as sf
from smoothfit._validation import described
from smoothfit.errors import DataError, SmoothfitError, SpecificationError

X = np.arange(10.0)
Y = np.sin(X)
NOON = datetime.datetime(2024, 3, 1, 12)
TIMES = pd.date_range(NOON, periods=10, freq="90s")
REPEATED = pd.DataFrame(np.column_stack([X, Y, Y]), columns=["t", "a", "a"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, "an int"),
        ("x", "a str"),
        (Y, "an ndarray"),
        (sf.observe(X, Y), "an Observations"),
        (sf.MSplineBasis.uniform(0, 1, 5), "an MSplineBasis"),
        (sf.ISplineBasis.uniform(0, 1, 5), "an ISplineBasis"),
        (sf.BSplineBasis.uniform(0, 1, 5), "a BSplineBasis"),
        (sf.Unimodal(), "a Unimodal"),
        (sf.priors.IntegratedWiener(2), "an IntegratedWiener"),
        (sf.priors.Matern, "the class Matern"),
        (None, "None"),
    ],
)
def test_messages_name_what_was_passed_behind_its_article(value, words):
    assert described(value) == words


def test_messages_about_types_read_as_english():
    with pytest.raises(DataError, match=r"^y\[0\] is <object.*>, an object; pass numbers$"):
        sf.observe(X[:1], [object()])
    with pytest.raises(SpecificationError, match=r"^df is 1; an ISplineBasis of degree 3 has at least 4$"):
        sf.ISplineBasis.from_data(X, df=1)


FRAME = pd.DataFrame({"t": X, "y": Y, "g": list("aabbccddee"), "Solar.R": X})
BASIS = sf.BSplineBasis.from_data(X, df=5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: sf.observe([str(time) for time in TIMES], Y),
            r"x\[0\] is '2024-.*numbers or times; convert strings to times by pandas.to_datetime",
        ),
        (lambda: sf.observe(X, [1.0, "2.5"] * 5), r"y\[1\] is '2.5', a str; pass numbers; numpy.asarray\(..., dtype=float\)"),
        (lambda: sf.observe(FRAME, "t", "y"), r"y is 't'; .*from_frame\(frame, 't', \{'y': 0\}\)"),
        (lambda: sf.SmoothingSpline(sf.observe(TIMES, Y)).fit(lam=1e9).predict(24), r"pass times, such as np.datetime64\('2024-"),
        (lambda: sf.observe(X, None), "y is None; pass numbers"),
        (lambda: sf.observe("t", "y"), r"y is 'y', a str; pass numbers; of a column pass the values"),
        (lambda: sf.Observations.from_frame(pl.DataFrame(FRAME).lazy(), "t", {"y": 0}), r"a LazyFrame; .* \(data.collect\(\) is"),
        (lambda: sf.observe(X, FRAME[["y"]]), r"y is a data frame with the columns 'y'; .* frame\['y'\]"),
        (lambda: sf.observe(X, np.c_[Y, Y]), r"example y\[:, 0\]"),
        (lambda: sf.observe(X, (v for v in Y)), r"a generator; .*list\(...\)"),
        (lambda: sf.observe(pd.period_range("2024-01", periods=10, freq="M"), Y), r"a Period; .* to_timestamp\(\)"),
        (lambda: sf.Observations.from_frame(FRAME, "t", ["y"]), r"for example \{'y': 0\}"),
        (lambda: sf.Observations.from_frame(FRAME, X, {"y": 0}), "not the name of a column; pass one of 't', 'y'"),
        (lambda: sf.Observations.from_frame(FRAME.set_index("t"), "t", {"y": 0}), r"its index: pass data.reset_index\(\)"),
        (lambda: sf.Observations.from_frame(FRAME, "t", {"g": 0}), r"of x = 't' and y = 'g': y contains strings: y\[0\] is 'a'"),
        (lambda: sf.SmoothingSpline(sf.observe(X, Y), prior=sf.priors.Matern), r"the class Matern; .* Matern\(\)"),
        (lambda: sf.SmoothingSpline(sf.observe(X, Y), interventions=sf.Level(3.0)), r"pass a list, for example \[sf.Level"),
        (lambda: sf.SmoothingSpline(sf.observe(X, Y), noise=[1]), "noise is .*; pass a mapping"),
        (lambda: sf.SmoothingSpline.from_formula("y ~ s(log(t))", FRAME), "compute log.t. as a column"),
        (lambda: sf.SmoothingSpline.from_formula("y ~ bsp(t)", FRAME), "sf.SplineRegression.from_formula"),
        (lambda: sf.SmoothingSpline.from_formula(FRAME, "y ~ s(t)"), "^formula is .{,200}; write"),
        (lambda: sf.SplineRegression.from_formula("y ~ s(t)", FRAME), "sf.SmoothingSpline.from_formula"),
        (lambda: sf.SplineRegression.from_formula("y ~ bsp(Solar.R, df=5)", FRAME), "plain name of a column: rename"),
        (lambda: sf.SplineRegression.from_formula("y ~ bsp(t, df=5)", FRAME, lam=1), r"an option of fit: .*\.fit\(lam"),
        (lambda: sf.SplineRegression(sf.observe(X, Y), sf.BSplineBasis), "basis is the class BSplineBasis"),
        (lambda: sf.SplineRegression(sf.observe(X, Y), BASIS, [sf.DerivativePenalty(2)] * 2), r"a sum \(first \+ second\)"),
        (lambda: sf.SplineRegression(sf.observe(X, Y), BASIS, sf.Increasing()), "constraints="),
        (lambda: sf.SplineRegression(sf.observe(X, Y), BASIS, None, "increasing"), "constraints is 'increasing'"),
        (lambda: sf.SplineRegression(sf.observe(X, Y), BASIS, None, sf.Increasing("all")), r"on is 'all'; pass \(lower"),
        (lambda: sf.SplineRegression(sf.observe(X, Y), BASIS, errors="ar1"), r"errors\['f'\] is 'ar1'; pass sf.AR1"),
        (lambda: sf.SplineRegression(sf.observe(X, Y), BASIS, sf.DerivativePenalty(4)).fit(), "order=4.* raise the degree"),
        (lambda: sf.GaussianProcess(sf.observe(X, Y), sf.gp.Matern32()), "a kernel is passed as kernel="),
        (lambda: sf.DerivativeRegression(Y, X, terms="y**2"), r"terms is 'y\*\*2'; pass"),
        (lambda: sf.DerivativeRegression(Y, X, derivatives=0), r"derivatives is 0; pass a list of orders"),
        (lambda: sf.DerivativeRegression.from_formula("D(y) ~ y + g", FRAME, "t"), r"g contains strings: g\[0\] is 'a'"),
        (lambda: sf.DerivativeRegression.from_formula("D(y) ~ y + w", FRAME, "t"), "name 'w' is not defined; the columns are t, y"),
        (lambda: sf.DerivativeRegression.from_formula("y' ~ y", FRAME, "t"), r"write D\(y\) for y'"),
        (lambda: sf.fit_curves(FRAME, FRAME["g"], "t", {"y": 0}), "by is .*; pass the name of the column"),
        (lambda: sf.observe(X, Y)["g"], "^no observations are named 'g'; the names are f$"),
    ],
)
def test_mistakes_of_newcomers_are_told_with_a_way_out(call, words):
    with pytest.raises(SmoothfitError, match=words):
        call()


def test_a_dataset_of_xarray_is_told_how_to_become_a_frame():
    pytest.importorskip("xarray")
    with pytest.raises(SmoothfitError, match=r"a Dataset; .* \(data.to_dataframe\(\).reset_index\(\) is"):
        sf.Observations.from_frame(FRAME.to_xarray(), "t", {"y": 0})


def test_the_ways_out_that_messages_name_work():
    texts = [str(time) for time in TIMES]
    assert sf.observe(pd.to_datetime(texts), Y).abscissa.kind == "datetime"
    periods = pd.period_range("2024-01", periods=10, freq="M")
    assert sf.observe(periods.to_timestamp(), Y).abscissa.kind == "datetime"
    np.testing.assert_array_equal(sf.observe(X, np.asarray(["1.0", "2.5"] * 5, dtype=float)).y, [1.0, 2.5] * 5)
    indexed = FRAME.set_index("t")
    np.testing.assert_array_equal(sf.Observations.from_frame(indexed.reset_index(), "t", {"y": 0}).x, X)
    penalty = sf.DerivativePenalty(2) + sf.DerivativePenalty(3)
    assert len(sf.SplineRegression(sf.observe(X, Y), BASIS, penalty).fit(lam=[1.0, 1.0]).lam) == 2
    assert sf.SplineRegression(sf.observe(X, Y), BASIS, sf.DerivativePenalty(3)).fit(lam=1.0).edf < 5


def test_a_ridge_penalty_has_no_null_space():
    design, P = BASIS.design(X, sparse=False), sf.DerivativePenalty(0).matrix(BASIS).toarray()
    res = sf.SplineRegression(sf.observe(X, Y, sd=1.0), BASIS, sf.DerivativePenalty(0)).fit(lam=0.5)
    smoother = design @ np.linalg.solve(design.T @ design + 0.5 * P, design.T)
    np.testing.assert_allclose(res.fittedvalues, smoother @ Y, rtol=1e-10)
    assert res.edf == pytest.approx(np.trace(smoother), rel=1e-10)


def test_levels_of_intervals_are_not_taken_for_flags():
    prediction = sf.SmoothingSpline(sf.observe(X, Y, sd=0.1)).fit(lam=1.0).get_prediction(X)
    with pytest.raises(SpecificationError, match=r"obs is 0\.1; pass True or False; .* conf_int\(alpha="):
        prediction.conf_int(0.1)
