from importlib import resources

import smoothfit as sf


def test_glider_flight():
    df = sf.datasets.load_glider()
    assert df.shape == (1605, 6)
    assert df["time_s"].is_monotonic_increasing
    assert df[["altitude_ft", "vertical_rate_ftmin"]].notna().all(axis=None)
    assert (df["vertical_rate_ftmin"] % 64 == 0).all()


def test_landing():
    df = sf.datasets.load_landing()
    assert df.shape == (848, 6)
    assert df["time_s"].is_monotonic_increasing
    assert df["altitude_ft"].max() > 30_000  # outliers are part of it
    assert df.notna().all(axis=None)


def test_the_notice_of_the_data_is_shipped():
    notice = resources.files("smoothfit.datasets").joinpath("LICENSE.traffic").read_text(encoding="utf-8")
    assert "MIT License" in notice
    assert "Xavier Olive" in notice
