"""The data language: what is observed, from whatever container, and what is refused with the way out."""

from contextlib import suppress

import numpy as np
import pandas as pd
import polars as pl
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError

X = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 6.0]])


def test_observations_copy_and_freeze():
    source, y = X.copy(), np.arange(3.0)
    obs = sf.gp.observe(source, y)
    source[:] = y[:] = 99
    np.testing.assert_array_equal(obs.X, X)
    np.testing.assert_array_equal(obs.y, [0, 1, 2])
    with pytest.raises(ValueError, match="read-only"):
        obs.readings[0].X[0] = 1


def test_points_come_in_any_container():
    expected = sf.gp.observe(X, [1, 2, 3])
    frame = pd.DataFrame(X, columns=["east", "north"])
    for points in (X.tolist(), frame, pl.DataFrame({"east": X[:, 0], "north": X[:, 1]}), X.astype(np.float32)):
        obs = sf.gp.observe(points, [1, 2, 3])
        np.testing.assert_array_equal(obs.X, expected.X)
    assert sf.gp.observe(frame, [1, 2, 3]).inputs == ("east", "north")
    assert expected.inputs == ("x0", "x1")
    one = sf.gp.observe(pd.Series([1.0, 2.0], name="time"), pd.Series([3.0, 4.0], name="height"))
    assert (one.inputs, one.names, one.X.shape) == (("time",), ("height",), (2, 1))
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    assert len(sf.gp.observe(X, masked)) == 2


def test_axes_by_number_label_and_all():
    frame = pd.DataFrame(X, columns=["east", "north"])
    assert sf.gp.observe(frame, [1, 2, 3], axis="north").axis.tolist() == [1, 1, 1]
    assert sf.gp.observe(frame, [1, 2, 3], axis="north").names == ("df/dnorth",)
    assert sf.gp.observe(frame, [1, 2, 3], axis=np.int64(0)).axis.tolist() == [0, 0, 0]
    gradient = sf.gp.observe(frame, [[1, np.nan], [2, 3], [4, 5]], axis="all", sd=[[1, 2], [3, 4], [5, 6]])
    assert gradient.names == ("df/deast", "df/dnorth")
    assert gradient["df/dnorth"].y.tolist() == [3, 5]
    assert gradient["df/dnorth"].sd.tolist() == [4, 6]
    assert gradient["df/dnorth"].n_dropped == 1
    joined = sf.gp.observe(frame, [[1, 2]] * 3, axis="all", name="slope")
    assert joined.names == ("slope",)
    assert joined.axis.tolist() == [0, 0, 0, 1, 1, 1]
    assert "6 observations of df/deast, df/dnorth" in repr(joined)
    half = sf.gp.observe(X, [[1, np.nan], [2, np.nan], [4, np.nan]], axis="all")
    assert half.names == ("df/dx0",)
    series = sf.gp.observe([1.0, 2.0], [3.0, 4.0], axis="all")  # one input: the gradient has one component
    assert series.axis.tolist() == [0, 0]
    table = sf.gp.observe(X, pd.DataFrame({"a": [1.0, 2, 3], "b": [4.0, 5, 6]}), axis="all")
    assert table.y.tolist() == [1, 2, 3, 4, 5, 6]


def test_joining():
    values = sf.gp.observe(X, [1, 2, 3], weights=[1, 2, 3], name="v")
    more = sf.gp.observe(X + 1, [4, 5, 6], name="v")
    both = values + more
    assert len(both) == 6
    assert both["v"].weights.tolist() == [1, 2, 3, 1, 1, 1]
    np.testing.assert_allclose(both["v"].variance_ratio, [1, 1 / 2, 1 / 3, 1, 1, 1])
    named = sf.gp.observe(pd.DataFrame(X, columns=["a", "b"]), [1, 2, 3]) + values
    assert named.inputs == ("a", "b")
    assert (values + named).inputs == ("a", "b")
    with pytest.raises(DataError, match="have 2 inputs and others 1"):
        values + sf.gp.observe([1.0], [2.0])
    with pytest.raises(DataError, match=r"inputs a, b and others b, a"):
        named + sf.gp.observe(pd.DataFrame(X, columns=["b", "a"]), [1, 2, 3])
    with pytest.raises(DataError, match="known noise SD in one part"):
        values + sf.gp.observe(X, [1, 2, 3], sd=1, name="v")
    with pytest.raises(TypeError):
        values + 3
    with pytest.raises(KeyError, match="the names are v"):
        values["w"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((X, [1, 2]), {}, DataError, "y has 2 observations and X has 3 points"),
        ((X, [1, np.inf, 3]), {}, DataError, r"y\[1\] is inf"),
        ((X, [np.nan] * 3), {}, DataError, "all 3 observations in y are missing .*leave"),
        (([[0, 1], [np.nan, 2], [3, 4]], [1, 2, 3]), {}, DataError, r"X\[1, 0\] is nan; every point"),
        ((X[None], [1]), {}, DataError, r"X has shape \(1, 3, 2\)"),
        ((np.empty((0, 2)), []), {}, DataError, "empty"),
        ((np.empty((3, 0)), [1, 2, 3]), {}, DataError, "no columns"),
        ((X, [1, 2, 3]), {"sd": -1}, DataError, r"sd\[0\] is -1"),
        ((X, [1, 2, 3]), {"sd": [1, 2]}, DataError, "sd has 2 entries"),
        ((X, [1, 2, 3]), {"sd": [1, np.nan, 2]}, DataError, r"sd\[1\] is nan"),
        ((X, [1, 2, 3]), {"weights": [1, 0, 2]}, DataError, r"weights\[1\] is 0"),
        ((X, [1, 2, 3]), {"axis": 2}, SpecificationError, r'axis is 2; pass None .* 0 \.\. 1 .*"all"'),
        ((X, [1, 2, 3]), {"axis": "east"}, SpecificationError, "axis is 'east'"),
        ((X, [1, 2, 3]), {"axis": True}, SpecificationError, "axis is True"),
        ((X, [1, 2, 3]), {"name": ""}, SpecificationError, "name is ''"),
        ((X, [1, 2, 3]), {"axis": "all"}, DataError, r"y has shape \(3, 1\); the gradients"),
        ((X, [[[1]]]), {"axis": "all"}, DataError, "y has shape"),
        ((X, [[1, 2]] * 3), {"axis": "all", "sd": [[1, 2]]}, DataError, "sd has shape"),
        ((X, [[np.nan, np.nan]] * 3), {"axis": "all"}, DataError, "all 6 observations"),
        ((X, ["a", "b", "c"]), {}, DataError, "y contains strings"),
        ((pd.to_datetime(["2024-01-01"]), [1]), {}, DataError, "X contains times"),
    ],
)
def test_bad_readings_are_refused(arguments, options, error, words):
    with pytest.raises(error, match=words):
        sf.gp.observe(*arguments, **options)


def test_readings_of_a_curve_are_taken(wave):
    res = sf.GaussianProcess(wave, kernel=sf.gp.Matern52()).fit()
    assert list(res.sigma.index) == ["level", "rate"]
    assert res.model.inputs == ("x",)
    timed = sf.observe(pd.date_range("2024-01-01", periods=5), np.arange(5.0))
    with pytest.raises(DataError, match="holds times"):
        sf.GaussianProcess(timed)
    with pytest.raises(SpecificationError, match="order 2"):
        sf.GaussianProcess(sf.observe([0.0, 1.0], [1.0, 2.0]) + sf.observe([0.0], [1.0], deriv=2))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((X,), {}, SpecificationError, "y is missing"),
        ((X, np.ones((3, 1))), {}, DataError, r"y.ravel\(\)"),
        ((sf.gp.observe(X, [1, 2, 3]), [1, 2, 3]), {}, SpecificationError, "leave y and sd out"),
        ((X, [1, 2, 3], sf.gp.Matern52), {}, SpecificationError, r"sf.gp.Matern52\(\)"),
        ((X, [1, 2, 3], "rbf"), {}, SpecificationError, "kernel is 'rbf'"),
        ((X, [1, 2, 3]), {"mean": "quadratic"}, SpecificationError, "mean is 'quadratic'"),
        ((X, [1, 2, 3], sf.gp.Matern52([1, 2, 3])), {}, SpecificationError, "3 entries and X 2 inputs"),
        ((X * [1, 0], [1, 2, 3]), {}, DataError, r"X\[:, 1\] is 0 at every observation"),
        ((X, [2, 2, 2]), {}, DataError, "all 3 observations are equal"),
        (([[-1.7e308, 0.0], [1.7e308, 1.0], [0.0, 2.0]], [1, 2, 3]), {}, DataError, r"X\[:, 0\] has a range that overflows"),
        ((sf.gp.observe(X, [1, 2, 3], axis=0),), {}, IdentificationError, 'no observation identifies the level of f.*mean="zero"'),
        ((X[:2], [1.0, 2.0]), {"mean": "linear"}, IdentificationError, "slope of the mean along x1"),
        ((sf.gp.observe(X, [1, 2, 3], axis=0), None, sf.gp.Matern12()), {}, SpecificationError, "have no slope"),
        ((X * 1e-200, np.array([1, 2, 3]) * 1e200), {}, None, ""),
        ((sf.gp.observe(X * 1e-200, np.array([1, 2, 3]) * 1e200, axis=0),), {"mean": "zero"}, None, ""),
        ((X, [1.0, 2.0, 4.0]), {"sd": 1e-200}, sf.errors.NumericalError, "pass sd=0 if they are exact"),
    ],
)
def test_bad_models_are_refused(arguments, options, error, words):
    if len(arguments) == 2:
        arguments = (*arguments, sf.gp.SquaredExponential(None if error else [1, 1]))
    if error is None:  # extreme units are none of our business, or an error of ours
        with suppress(sf.errors.SmoothfitError):
            sf.GaussianProcess(*arguments, **options)
        return
    with pytest.raises(error, match=words):
        sf.GaussianProcess(*arguments, **options)
