"""Frames come back in the library of the data; groups of several columns."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, UnknownNameError

N = 60
T = pd.date_range("2024-03-01", periods=N, freq="D", tz="Europe/Berlin")
FRAME = pd.DataFrame({"t": T, "y": np.sin(np.arange(N) / 6) + 0.1 * np.random.default_rng(2).standard_normal(N)})
LIBRARIES = {"polars": (pl.from_pandas, pl.DataFrame), "pyarrow": (pa.Table.from_pandas, pa.Table)}


def columns_of(frame):
    """Columns of a frame of any library as lists."""
    return frame.to_pydict() if isinstance(frame, pa.Table) else frame.to_dict(as_series=False)


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_of_a_spline(library):
    convert, kind = LIBRARIES[library]
    ours, theirs = (sf.SmoothingSpline.from_formula("y ~ s(t, order=3)", data).fit() for data in (FRAME, convert(FRAME)))
    for ask in (
        lambda r: r.get_prediction(list(T[:3].to_pydatetime())).summary_frame(),
        lambda r: r.hyperparameters,
        lambda r: r.extrema(),
        lambda r: r.roots(),
        lambda r: r.outliers(),
        lambda r: r.components(),
        lambda r: r.test_serial_correlation(),
        lambda r: r.observations.to_frame(),
    ):
        expected, found = ask(ours), ask(theirs)
        assert isinstance(expected, pd.DataFrame)
        assert isinstance(found, kind)
        named = [name for name in expected.index.names if name is not None]
        expected = expected.reset_index() if named else expected
        columns = columns_of(found)
        assert list(columns) == list(expected.columns)
        for name, values in columns.items():
            wanted, returned = expected[name], pd.Series(values)
            if wanted.dtype.kind == "M":  # Python's times end at microseconds
                wanted, returned = (
                    pd.to_datetime(column, utc=True).dt.floor("us").dt.as_unit("us") for column in (wanted, returned)
                )
            pd.testing.assert_series_equal(returned, wanted, check_dtype=False, check_names=False)
    theirs.plot_hyperparameters()
    theirs.plot_components()
    theirs.plot_diagnostics()


def test_a_prediction_is_of_the_library_of_its_x():
    res = sf.SmoothingSpline(sf.observe(np.arange(N), FRAME["y"].to_numpy())).fit()
    assert isinstance(res.get_prediction([1.0]).summary_frame(), pd.DataFrame)
    assert isinstance(res.get_prediction(pl.Series("x", [1.0])).summary_frame(), pl.DataFrame)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_frames_of_regressions_processes_and_equations():
    frame = pl.DataFrame({"x": np.arange(N) * 1.0, "y": FRAME["y"].to_numpy(), "u": np.cos(np.arange(N) / 6) / 6})
    regression = sf.SplineRegression.from_formula("y ~ bsp(x, df=8)", frame).fit()
    assert regression.influence().columns[:3] == ["name", "x", "leverage"]
    assert regression.outliers().columns == regression.influence().columns
    process = sf.GaussianProcess(frame["x"], frame["y"], sf.gp.SquaredExponential(length_scale=5, amplitude=1), sd=0.1).fit()
    assert process.get_prediction([1.0]).summary_frame().columns[:2] == ["x", "mean"]
    equation = sf.DerivativeRegression.from_formula("D(y) ~ u", frame, t="x").fit("integral")
    assert equation.states().columns == ["x", "y", "se(y)"]
    assert equation.forecast(pl.DataFrame({"x": [60.0], "u": [1.0]})).columns[:2] == ["x", "mean"]


GROUPS = pd.DataFrame(
    {
        "site": np.repeat(["b", "a"], 60),
        "year": np.tile(np.repeat([2, 1], 30), 2),
        "x": np.tile(np.arange(30.0), 4),
        "y": np.sin(np.arange(120) / 5) + 0.1 * np.random.default_rng(1).standard_normal(120),
    }
)


@pytest.mark.parametrize("convert", [lambda f: f, pl.from_pandas], ids=["pandas", "polars"])
def test_curves_by_several_columns(convert):
    fits = sf.fit_curves(convert(GROUPS), by=["site", "year"], x="x", readings={"y": 0})
    assert list(fits) == [("b", 2), ("b", 1), ("a", 2), ("a", 1)]
    rows = GROUPS[(GROUPS["site"] == "a") & (GROUPS["year"] == 2)]
    alone = sf.SmoothingSpline(sf.observe(rows["x"], rows["y"])).fit()
    np.testing.assert_allclose(fits["a", 2].predict([3.0]), alone.predict([3.0]), rtol=1e-6)
    assert list(fits.predict([1.0, 2.0]).columns)[:3] == ["site", "year", "x"]
    found = fits.collect(lambda res: res.extrema())
    assert list(found.columns)[:3] == ["site", "year", "x"]
    assert set(found["site"]) == {"a", "b"}
    assert list(fits.params.columns)[-1] == "boundary"
    with pytest.raises(UnknownNameError, match="name it by site, year"):
        fits["a"]


def test_missing_labels_of_groups_are_named():
    with pytest.raises(DataError, match=r"year\[7\] is missing"):
        sf.fit_curves(GROUPS.assign(year=GROUPS["year"].where(GROUPS.index != 7)), by=["site", "year"], x="x", readings={"y": 0})
