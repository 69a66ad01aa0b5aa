"""Many curves and large regressions on a cluster of two processes, one of which is killed."""

import os
import signal

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import smoothfit as sf
import smoothfit.dask
from smoothfit.errors import DataError, SpecificationError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
RNG = np.random.default_rng(21)
N, CURVES = 20, 30


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": "1GiB"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def curves():
    frame = pd.DataFrame({"id": np.repeat([f"c{i:02}" for i in range(CURVES)], N), "t": np.tile(np.arange(float(N)), CURVES)})
    frame["y"] = np.sin(frame["t"] / 5 + np.repeat(np.arange(CURVES), N)) + 0.1 * RNG.standard_normal(N * CURVES)
    frame.loc[frame["id"] == "c07", "y"] = np.nan
    return frame


@pytest.fixture(scope="module")
def expected(curves):
    return sf.fit_curves(curves, "id", "t", {"y": 0})


def assert_same(found, expected):
    found = found.set_index("id").sort_index()
    assert list(found.index) == sorted(expected.ids)
    numbers = expected.params.columns.drop("boundary")
    np.testing.assert_array_equal(found.loc[expected.params.index, numbers], expected.params[numbers])
    assert list(found.index[found["reason"].notna()]) == ["c07"]
    assert "it has no" in found.loc["c07", "reason"]


def test_shuffled_rows_give_every_curve(client, curves, expected, tmp_path):
    mixed = curves.sample(frac=1, random_state=0)
    frame = dd.from_pandas(mixed, npartitions=5, sort=False)
    frame.to_parquet(tmp_path / "observations")
    fits = smoothfit.dask.fit_curves(tmp_path / "observations", "id", "t", {"y": 0})
    assert isinstance(fits, dd.DataFrame)
    fits.to_parquet(tmp_path / "fits")
    assert_same(pd.read_parquet(tmp_path / "fits"), expected)


def test_a_lost_worker_loses_no_curve(client, curves, expected, tmp_path):
    """The first partition that is fitted kills its own process."""
    killed = str(tmp_path / "killed")
    home = os.getpid()

    def asked(fits):
        try:
            os.close(os.open(killed, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return fits.predict([3.5, 8.0], deriv=1)
        if os.getpid() != home:
            os.kill(os.getpid(), signal.SIGKILL)
        os.remove(killed)  # here only the columns are found out
        return fits.predict([3.5, 8.0], deriv=1)

    lazy = smoothfit.dask.fit_curves(dd.from_pandas(curves, npartitions=6), "id", "t", {"y": 0}, what=asked)
    before = set(client.run(os.getpid).values())
    found = lazy.compute()
    client.wait_for_workers(2)
    assert os.path.exists(killed)
    assert len(before & set(client.run(os.getpid).values())) == 1
    pd.testing.assert_frame_equal(
        found.sort_values(["id", "t"], ignore_index=True).astype({"id": object}),
        expected.predict([3.5, 8.0], deriv=1).astype({"id": object}),
    )


def test_sums_have_the_same_bits_on_any_schedule(client):
    frame = pd.DataFrame({"x": RNG.uniform(0, 1, 4000)})
    frame["y"] = np.sin(6 * frame["x"]) + 0.1 * RNG.standard_normal(4000)
    basis = sf.BSplineBasis.uniform(0, 1, 15)
    lazy = smoothfit.dask.accumulate(dd.from_pandas(frame, npartitions=7), basis, "x", {"y": 0})
    fits = [sums.model(sf.DerivativePenalty(2)).fit() for sums in (lazy.compute(), lazy.compute(scheduler="synchronous"))]
    np.testing.assert_array_equal(fits[0].params, fits[1].params)
    serial = sf.SplineRegression.accumulate(basis)
    for k in range(7):
        serial.add(sf.Observations.from_frame(frame.iloc[k::7], "x", {"y": 0}))
    expected = serial.model(sf.DerivativePenalty(2)).fit()
    assert fits[0].nobs == expected.nobs == 4000
    np.testing.assert_allclose(fits[0].params, expected.params, rtol=1e-12, atol=1e-12)


def test_grouped_rows_are_checked(client):
    frame = pd.DataFrame({"id": np.repeat(np.arange(6), 10), "t": np.tile(np.arange(10.0), 6), "y": RNG.standard_normal(60)})
    whole = dd.from_pandas(frame, npartitions=3, sort=False)
    found = smoothfit.dask.fit_curves(whole, "id", "t", {"y": 0}, grouped=True).compute()
    assert list(found["id"]) == list(range(6))
    torn = dd.from_pandas(frame, npartitions=4, sort=False)
    with pytest.raises(DataError, match="grouped is true, but the curve"):
        smoothfit.dask.fit_curves(torn, "id", "t", {"y": 0}, grouped=True)


def test_what_dask_cannot_do_is_refused(curves):
    frame = dd.from_pandas(curves, npartitions=2)
    with pytest.raises(SpecificationError, match="smoothing='shared'"):
        smoothfit.dask.fit_curves(frame, "id", "t", {"y": 0}, smoothing="shared")
    with pytest.raises(DataError, match="no column 'curve'"):
        smoothfit.dask.fit_curves(frame, "curve", "t", {"y": 0})
    with pytest.raises(DataError, match="data is DataFrame; pass a dask"):
        smoothfit.dask.fit_curves(curves, "id", "t", {"y": 0})
    with pytest.raises(DataError, match=r"use smoothfit\.dask\.fit_curves"):
        sf.fit_curves(frame, "id", "t", {"y": 0})
    with pytest.raises(DataError, match=r"y is a collection of Dask; pass y\.compute\(\)"):
        sf.observe(frame["t"], frame["y"])
    with pytest.raises(DataError, match=r"data is a collection of Dask; .*smoothfit\.dask\.accumulate"):
        sf.Observations.from_frame(frame, "t", {"y": 0})


def test_several_columns_name_a_curve(client):
    frame = pd.DataFrame({"site": np.repeat(["a", "b"], 20), "year": np.repeat([1, 2, 1, 2], 10), "t": np.tile(np.arange(10.0), 4)})
    frame["y"] = np.sin(frame["t"]) + RNG.standard_normal(40)
    expected = sf.fit_curves(frame, ["site", "year"], "t", {"y": 0}).params
    shuffled = dd.from_pandas(frame.sample(frac=1, random_state=0), npartitions=3, sort=False)
    found = smoothfit.dask.fit_curves(shuffled, ["site", "year"], "t", {"y": 0}).compute().set_index(["site", "year"]).sort_index()
    assert found.index.tolist() == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    np.testing.assert_allclose(found["llf"], expected["llf"], rtol=1e-9)
    whole = dd.from_pandas(frame, npartitions=2, sort=False)
    assert len(smoothfit.dask.fit_curves(whole, ["site", "year"], "t", {"y": 0}, grouped=True).compute()) == 4
    torn = dd.from_pandas(frame, npartitions=8, sort=False)
    with pytest.raises(DataError, match=r"the curve \('[ab]', [12]\) has rows in several partitions"):
        smoothfit.dask.fit_curves(torn, ["site", "year"], "t", {"y": 0}, grouped=True)
    with pytest.raises(DataError, match="no column 'plot'"):
        smoothfit.dask.fit_curves(whole, ["site", "plot"], "t", {"y": 0})


def test_a_partition_without_observations_of_a_series_loses_nothing_else(client, curves):
    """The column y is missing in the whole first partition, z in the whole second; neither has any in the third."""
    frame = curves.loc[curves["id"] < "c06"].assign(z=lambda frame: np.cos(frame["t"] / 5), w=0.5)
    frame["z"] += np.tile([0.1, -0.1], len(frame) // 2)
    frame.loc[frame["id"] < "c02", "y"] = np.nan
    frame.loc[(frame["id"] >= "c02") & (frame["id"] < "c04"), "z"] = np.nan
    frame.loc[frame["id"] == "c05", ["y", "z"]] = np.nan
    parts = dd.concat(
        [dd.from_pandas(frame[frame["id"].isin(ids)], npartitions=1) for ids in (["c00", "c01"], ["c02", "c03"], ["c05"])]
    )
    options = {"by": "id", "x": "t", "readings": {"y": 0, "z": 0}, "weights": {"y": "w", "z": "w"}}
    found = smoothfit.dask.fit_curves(parts, grouped=True, **options).compute().set_index("id")
    here = sf.fit_curves(frame[~frame["id"].isin(["c04"])], **options)
    numbers = here.params.columns.drop("boundary")
    own = found.loc[here.params.index, numbers].astype(float)
    np.testing.assert_allclose(own, here.params[numbers], rtol=1e-5)  # of one series all curves are searched side by side
    assert found["reason"].dropna().to_dict() == here.failures.to_dict()
    slopes = smoothfit.dask.fit_curves(parts, what=lambda fits: fits.predict([1.0, 2.0]), grouped=True, **options).compute()
    assert sorted(slopes["id"].unique()) == sorted(here.params.index)

    basis, readings = sf.BSplineBasis.uniform(0, N, 5), {"y": 0, "z": 0}
    sums = smoothfit.dask.accumulate(parts, basis, "t", readings).compute()
    assert sums.model().fit().nobs == frame.loc[frame["id"] != "c04", ["y", "z"]].notna().to_numpy().sum()
