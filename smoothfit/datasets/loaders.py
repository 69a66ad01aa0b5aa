"""Loaders of the data sets that are shipped with the package."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load_landing() -> pd.DataFrame:
    """Load an airliner's descent and landing: an altitude with many outliers, and a clean rate of it.

    Returns
    -------
    pandas.DataFrame
        848 rows, one a second: ``time_s`` (s since the first observation), ``altitude_ft`` (ft, in steps of 25),
        ``vertical_rate_ftmin`` (ft/min, in steps of 64), ``groundspeed_kt`` (kt), ``latitude_deg``, ``longitude_deg``.

    Notes
    -----
    ADS-B observations, a sample trajectory of the ``traffic`` library; source and licence as of `load_glider`.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.datasets.load_landing()["altitude_ft"].iloc[[0, 74, 75]].tolist()
    [14150.0, 30975.0, 12900.0]
    """
    return _read("landing.csv")


def load_glider() -> pd.DataFrame:
    """Load one glider flight from Sisteron: irregular observations of altitude and of its rate.

    Returns
    -------
    pandas.DataFrame
        1605 rows: ``time_s`` (s since the first observation), ``altitude_ft`` (ft), ``vertical_rate_ftmin`` (ft/min, in steps of
        64), ``groundspeed_kt`` (kt), ``latitude_deg``, ``longitude_deg``.

    Notes
    -----
    ADS-B/FLARM observations, a sample trajectory of the ``traffic`` library (Xavier Olive), MIT licence (notice in
    ``smoothfit/datasets/LICENSE.traffic``). X. Olive, "traffic, a toolbox for processing and analysing air traffic data",
    Journal of Open Source Software 4 (2019), 1518.

    Examples
    --------
    >>> import smoothfit as sf
    >>> sf.datasets.load_glider()[["time_s", "altitude_ft", "vertical_rate_ftmin"]].head(3)
       time_s  altitude_ft  vertical_rate_ftmin
    0     0.0         1751                    0
    1    49.0         1758                    0
    2    60.0         1797                 1024
    """
    return _read("glider.csv")


def _read(name: str) -> pd.DataFrame:
    import pandas as pd

    with resources.files(__package__).joinpath(name).open("r", encoding="utf-8") as file:
        return pd.read_csv(file)
