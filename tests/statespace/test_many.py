"""Fits of many curves against fits of single ones."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import smoothfit as sf
from smoothfit import priors as pri
from smoothfit.errors import DataError, RoughnessWarning, SpecificationError, UnknownNameError

ORDERS = (1, 2, 3, 4)
# random walks by rank at uneven x, waves at order 1, given noise SDs that are not those of the noise: some fits say so
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")


def curves(n_curves=40, n=60, seed=0, noise=0.1):
    """Curves of all kinds: wavy, straight, pure noise, scales over 10^8, ties, mixed row order."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(n_curves):
        m = int(rng.integers(n // 3, n))
        x = rng.uniform(0, 10.0 ** rng.uniform(-3, 3), m)
        x[: m // 10] = x[m // 10 : 2 * (m // 10)]
        u = (x - x.min()) / np.ptp(x)
        f = [np.sin(rng.uniform(2, 20) * u), 3 * u, 0 * u, np.cumsum(rng.standard_normal(m))[np.argsort(np.argsort(x))] / 5][i % 4]
        y = 10.0 ** rng.uniform(-4, 4) * (f + noise * rng.standard_normal(m)) + rng.standard_normal()
        frames.append(pd.DataFrame({"id": f"c{i:02}", "x": x, "y": y, "w": rng.uniform(0.1, 10, m), "s": np.std(y) * 0.1}))
    return pd.concat(frames).sample(frac=1, random_state=seed).reset_index(drop=True)


def single(df, curve, **options):
    part = df[df["id"] == curve]
    return sf.Observations.from_frame(part, x="x", readings={"y": 0}, **options)


def assert_same_fit(fits, curve, res):
    row = fits.params.loc[curve]
    assert row["nobs"] == res.nobs
    assert row["boundary"] == ", ".join(res.boundary)
    # two converged minima differ by 1e-5 of a standard error at most; edf moves with log q
    for name in ("q", "bandwidth", "edf"):
        assert row[name] == pytest.approx(getattr(res, name), rel=1e-4)
    if "sigma.y" in row:
        assert row["sigma.y"] == pytest.approx(res.sigma["y"], rel=1e-5)
    assert row["llf"] == pytest.approx(res.llf, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_each_curve_has_the_fit_of_its_own(order):
    df = curves(seed=order)
    fits = sf.fit_curves(df, by="id", x="x", readings={"y": 0}, order=order)
    assert len(fits) == 40
    assert not len(fits.failures)
    assert sorted(fits) == sorted(df["id"].unique())
    for curve in fits:
        assert_same_fit(fits, curve, sf.SmoothingSpline(single(df, curve), order=order).fit())


@pytest.mark.parametrize("options", [{"weights": {"y": "w"}}, {"sd": {"y": "s"}}, {"sd": {"y": "s"}, "weights": {"y": "w"}}])
def test_weights_and_given_sds(options):
    df = curves(12, seed=9)
    fits = sf.fit_curves(df, by="id", x="x", readings={"y": 0}, order=3, **options)
    for curve in fits:
        assert_same_fit(fits, curve, sf.SmoothingSpline(single(df, curve, **options), order=3).fit())


def test_other_methods_and_several_names_are_fitted_one_by_one():
    df = curves(6, seed=3)
    for method in ("gcv", "ml"):
        fits = sf.fit_curves(df, by="id", x="x", readings={"y": 0}, method=method)
        for curve in fits:
            assert_same_fit(fits, curve, sf.SmoothingSpline(single(df, curve)).fit(method))
    df["rate"] = df.groupby("id")["y"].transform("std") * 0.01
    two = {"y": 0, "rate": 1}
    fits = sf.fit_curves(df, by="id", x="x", readings=two, order=3)
    assert {"sigma.y", "sigma.rate"} <= set(fits.params.columns)
    known = {"y": 1.0, "rate": 1.0}
    fits = sf.fit_curves(df, by="id", x="x", readings=two, order=3, sd=known)
    for curve in list(fits)[:3]:
        observations = sf.Observations.from_frame(df[df["id"] == curve], x="x", readings=two, sd=known)
        res = sf.SmoothingSpline(observations, order=3).fit()
        for name in ("q", "bandwidth", "edf", "llf"):
            assert fits.params.loc[curve, name] == pytest.approx(getattr(res, name), rel=1e-4)


@pytest.mark.parametrize("threads", [1, 3])
def test_predictions_are_those_of_the_single_results(threads):
    df = curves(8, seed=5)
    df["x"] = df["x"] / df.groupby("id")["x"].transform("max") * 10
    fits = sf.fit_curves(df, by="id", x="x", readings={"y": 0}, order=3, threads=threads)
    grid = np.array([5.0, -1.0, 3.3, 10.0, 12.0])
    for deriv in range(3):
        frame = fits.predict(grid, deriv=deriv, alpha=0.1)
        assert list(frame.columns) == ["id", "x", "mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
        for curve, part in frame.groupby("id"):
            np.testing.assert_array_equal(part["x"], grid)
            expected = fits[curve].get_prediction(grid, deriv=deriv).summary_frame(alpha=0.1)
            for name in ("mean", "mean_se"):
                np.testing.assert_allclose(part[name], expected[name], rtol=1e-8, atol=1e-9 * part["mean_se"].max())
            half = (expected["mean_ci_upper"] - expected["mean_ci_lower"]).to_numpy() / 2
            for name in ("mean_ci_lower", "mean_ci_upper"):
                assert np.max(np.abs(part[name].to_numpy() - expected[name].to_numpy()) / half) < 0.04


def test_rows_that_name_their_curve_are_predicted_of_it():
    df = curves(n_curves=4, seed=8)
    df["site"], df["batch"] = df["id"].str[1], df["id"].str[2].astype(int)
    fits = sf.fit_curves(df, by=["site", "batch"], x="x", readings={"y": 0})
    rows = df.iloc[[7, 2, 30, 11, 7]]
    table = fits.predict(rows[["batch", "x", "site"]], deriv=1)
    for i, (site, batch, x) in enumerate(rows[["site", "batch", "x"]].itertuples(index=False)):
        expected = fits[site, batch].get_prediction([x], 1).summary_frame().iloc[0]
        assert tuple(table.loc[i, ["site", "batch", "x"]]) == (site, batch, x)
        columns = ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
        np.testing.assert_allclose(table.loc[i, columns].astype(float), expected[columns], rtol=1e-9)
    with pytest.raises(UnknownNameError, match=r"row 1 of x names the curve \('0', .*9.*\), not observed"):
        fits.predict({"site": ["0", "0"], "batch": [1, 9], "x": [1.0, 2.0]})


def test_threads_change_nothing():
    df = curves(seed=6)
    one, four = (sf.fit_curves(df, by="id", x="x", readings={"y": 0}, threads=t).params for t in (1, 4))
    pd.testing.assert_frame_equal(one, four)
    by_polars = sf.fit_curves(pl.from_pandas(df), by="id", x="x", readings={"y": 0}).params
    assert isinstance(by_polars, pl.DataFrame)
    for name, column in one.reset_index().items():
        assert by_polars[name].to_list() == column.tolist()


def test_a_curve_that_fails_says_why_and_stops_no_other():
    df = curves(4, seed=7)
    bad = [
        pd.DataFrame({"id": "short", "x": [0.0, 1.0], "y": [1.0, 2.0]}),
        pd.DataFrame({"id": "one x", "x": [2.0, 2.0, 2.0, 2.0, 2.0], "y": [1.0, 2.0, 1.0, 2.0, 1.0]}),
        pd.DataFrame({"id": "straight", "x": np.arange(9.0), "y": np.arange(9.0)}),
        pd.DataFrame({"id": "empty", "x": np.arange(9.0), "y": np.nan}),
    ]
    fits = sf.fit_curves(pd.concat([*bad, df]), by="id", x="x", readings={"y": 0}, order=2)
    assert len(fits) == 4
    assert list(fits.failures.index) == ["short", "one x", "straight", "empty"]
    for curve, words in (("short", "too few"), ("one x", "two distinct x"), ("straight", "no noise"), ("empty", "missing")):
        assert words in fits.failures[curve]
        with pytest.raises(DataError, match=words):
            fits[curve]
    assert "4 failed" in repr(fits)
    assert len(fits.predict([0.5])) == 4
    with pytest.raises(KeyError, match="there is no curve 'x'"):
        fits["x"]


def test_shared_smoothing_maximises_the_sum_of_the_likelihoods():
    rng = np.random.default_rng(1)
    n, count = 40, 15
    df = pd.DataFrame({"id": np.repeat(np.arange(count), n), "x": np.tile(np.arange(float(n)), count)})
    df["y"] = np.sin(df["x"] / 4 + df["id"]) + 0.2 * rng.standard_normal(n * count)
    options = {"by": "id", "x": "x", "readings": {"y": 0}, "order": 3, "smoothing": "shared"}
    known = sf.fit_curves(df, sd={"y": 0.2}, **options)
    (q,) = known.params["q"].unique()

    def total(log_q):
        parts = [sf.SmoothingSpline(single(df, i, sd={"y": 0.2}), order=3).fit(lam=np.exp(-log_q)).llf for i in range(count)]
        return sum(parts)

    left, middle, right = (total(np.log(q) + step) for step in (-0.1, 0.0, 0.1))
    assert middle > max(left, right)
    curvature = (left - 2 * middle + right) / 0.01
    assert abs((right - left) / 0.2) < 0.05 * abs(curvature)
    assert known.params["llf"].sum() == pytest.approx(middle, rel=1e-10)
    free = sf.fit_curves(df, **options)
    (sigma,) = free.params["sigma.y"].unique()
    assert sigma == pytest.approx(0.2, rel=0.1)
    again = sf.fit_curves(df, sd={"y": float(sigma)}, **options)  # the optimum of both is one of q at this SD
    assert again.params["q"].iloc[0] == pytest.approx(free.params["q"].iloc[0], rel=1e-6)
    assert free.params["llf"].sum() >= again.params["llf"].sum() - 1e-6
    res = free[3]
    np.testing.assert_allclose(free.predict([3.5])["mean"][3], res.predict(3.5), rtol=1e-9)
    assert res.fixed == "shared"
    res.summary()


def test_collected_frames_and_times():
    times = pd.date_range("2024-01-01", periods=50, freq="D")
    rng = np.random.default_rng(2)
    df = pd.DataFrame({"who": np.repeat(["a", "b"], 50), "when": np.tile(times, 2)})
    df["y"] = np.sin(np.tile(np.arange(50.0), 2) / 8 + np.repeat([0.0, 1.0], 50)) + 0.05 * rng.standard_normal(100)
    fits = sf.fit_curves(df, by="who", x="when", readings={"y": 0}, order=3)
    frame = fits.collect(lambda res: res.extrema())
    assert set(frame["who"]) == {"a", "b"}
    assert frame["x"].dtype.kind == "M"
    one = sf.SmoothingSpline(sf.observe(times, df["y"][:50]), order=3).fit()
    assert fits.params.loc["a", "bandwidth"] == pytest.approx(one.bandwidth, rel=1e-4)
    assert fits.predict(times[:3])["when"].dtype.kind == "M"


def test_results_pickle():
    df = curves(5, seed=11)
    fits = sf.fit_curves(df, by="id", x="x", readings={"y": 0})
    other = pickle.loads(pickle.dumps(fits))
    pd.testing.assert_frame_equal(fits.params, other.params)
    pd.testing.assert_frame_equal(fits.predict([1.0, 2.0]), other.predict([1.0, 2.0]))
    np.testing.assert_array_equal(fits["c01"].predict([1.0]), other["c01"].predict([1.0]))


def test_progress_is_shown_on_request(capsys):
    df = curves(3, seed=12)
    sf.fit_curves(df, by="id", x="x", readings={"y": 0})
    assert capsys.readouterr().err == ""
    sf.fit_curves(df, by="id", x="x", readings={"y": 0}, progress=True)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"by": "who"}, DataError, "no column 'who'"),
        ({"x": "age"}, DataError, "no column 'age'"),
        ({"order": 5}, SpecificationError, "order is 5"),
        ({"readings": {"y": 2}}, SpecificationError, "order is 2, but 'y' observes f''"),
        ({"method": "aic"}, SpecificationError, "method is 'aic'"),
        ({"smoothing": "none"}, SpecificationError, "smoothing is 'none'"),
        ({"smoothing": "shared", "method": "gcv"}, SpecificationError, "needs method="),
        ({"threads": 0}, SpecificationError, "threads is 0"),
        ({"sd": {"y": -1.0}}, DataError, r"sd\[0\] is -1"),
    ],
)
def test_bad_options(change, error, words):
    options = {"by": "id", "x": "x", "readings": {"y": 0}} | change
    with pytest.raises(error, match=words):
        sf.fit_curves(curves(2), **options)


def test_a_missing_id_is_refused_with_its_row():
    df = curves(2)
    df.loc[7, "id"] = None
    with pytest.raises(DataError, match=r"id\[7\] is missing"):
        sf.fit_curves(df, by="id", x="x", readings={"y": 0})


def test_roughness_is_told_once():
    df = curves(3, seed=1)
    with pytest.warns(RoughnessWarning) as told:
        sf.fit_curves(df, by="id", x="x", readings={"y": 1}, order=2)
    assert len(told) == 1


def test_many_curves_of_a_prior_are_single_fits():
    rng = np.random.default_rng(0)
    t = np.tile(np.arange(20.0), 3)
    frame = pd.DataFrame({"id": np.repeat(["a", "b", "c"], 20), "t": t, "y": np.sin(t / 4) + 0.2 * rng.standard_normal(60)})
    frame.loc[42:, "y"] = np.nan
    prior = pri.Matern(1.5) + pri.Polynomial(0)
    fits = sf.fit_curves(frame, "id", "t", {"y": 0}, prior=prior)
    single = sf.SmoothingSpline(sf.observe(t[:20], frame["y"][:20], name="y"), prior=prior).fit()
    assert list(fits) == ["a", "b"]
    assert "too few" in fits.failures["c"]
    np.testing.assert_allclose(fits.params.loc["a", list(single.params.index)].astype(float), single.params, rtol=1e-12)
    predicted = fits.predict([3.0, 40.0], deriv=1)
    np.testing.assert_allclose(predicted["mean"][:2], single.predict([3.0, 40.0], 1), rtol=1e-12)
    np.testing.assert_allclose(predicted["mean_se"][:2], single.get_prediction([3.0, 40.0], 1).se_mean, rtol=1e-12)
    assert repr(fits["a"]) == repr(single)
    with pytest.raises(SpecificationError, match="hyperparameters"):
        sf.fit_curves(frame, "id", "t", {"y": 0}, prior=prior, smoothing="shared")
