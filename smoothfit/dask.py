"""Many curves and large regressions on Dask: over the processes of a machine, or over a cluster.

Needs the extra ``dask``: ``pip install "smoothfit-stats[dask]"``. All results are lazy, as Dask's: ``compute`` or ``to_parquet``
runs them, on the scheduler or the cluster in use.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ._frames import absent_column
from .basis.tensor import AnyBasis
from .errors import DataError, SpecificationError
from .observations import Observations
from .regression import SplineRegression
from .regression.accumulate import Accumulator
from .statespace import CurveFits
from .statespace import fit_curves as fit_here
from .statespace.curves import NO_OBSERVATION

try:
    import dask.dataframe as dd
    from dask import delayed
except ImportError as error:
    raise ImportError('smoothfit.dask needs Dask: pip install "smoothfit-stats[dask]"') from error

__all__ = ["accumulate", "fit_curves"]

REASON = "reason"
MADE = 12  # rows of a curve that is fitted to learn the columns of the results


def fit_curves(
    data: Any,
    by: Hashable | list[Any],
    x: Hashable,
    readings: Mapping[Any, int],
    what: Callable[[CurveFits], pd.DataFrame] | None = None,
    *,
    grouped: bool = False,
    **options: Any,
) -> dd.DataFrame:
    """Fit a smoothing spline to every group of a Dask frame, or of a folder of Parquet files.

    Parameters
    ----------
    data : dask.dataframe.DataFrame, str or Path
        A row for each observation. A string or a path names a folder of Parquet files, or one file.
    by, x, readings
        As of `smoothfit.fit_curves`; a list of columns in `by` makes a curve of each combination of their values.
    what : callable, optional
        From the fits of a partition to a data frame, for example ``lambda fits: fits.predict(grid, deriv=1)``. By default a row for
        each curve: the id, ``params``, and ``reason``, which is missing if the curve was fitted and else the reason why it was not.
    grouped : bool
        Whether the rows of each curve are all in one partition already. By default rows are shuffled so that they are. If true,
        that is checked: one pass over the ids, before anything is fitted.
    **options
        Of `smoothfit.fit_curves`, all but ``smoothing="shared"``. ``threads`` is 1 by default: Dask fits as many partitions side by
        side as there are threads in its workers.

    Returns
    -------
    dask.dataframe.DataFrame
        Lazy; a partition for each of the data.

    Raises
    ------
    DataError
        `grouped` is true, and a curve has rows in two partitions; it is named.
    SpecificationError
        ``smoothing="shared"``, which needs all curves at once.

    Notes
    -----
    The fit of a partition does not depend on others, on the worker, or on the order in which workers finish. A partition may be
    without observations of some series, or of all. If a worker is lost, Dask computes its partitions again. A fit takes some 200
    bytes for each observation of a partition and 1 300 for each curve.

    Examples
    --------
    >>> import dask.dataframe as dd, numpy as np, pandas as pd
    >>> import smoothfit.dask
    >>> t = np.tile(np.arange(30.0), 40)
    >>> df = pd.DataFrame({"id": np.repeat(np.arange(40), 30), "t": t, "y": np.sin(t / 5)})
    >>> df["y"] += 0.1 * np.random.default_rng(0).standard_normal(1200)
    >>> frame = dd.from_pandas(df, npartitions=4)
    >>> params = smoothfit.dask.fit_curves(frame, by="id", x="t", readings={"y": 0}).compute()
    >>> len(params), round(float(params["sigma.y"].mean()), 2)
    (40, 0.09)
    """
    if options.get("smoothing", "separate") != "separate":
        raise SpecificationError("smoothing='shared' needs all curves at once; use smoothfit.fit_curves, or fix q in a prior=")
    options = {"threads": 1, "progress": False, **options}
    frame, keys = _frame(data), list(by) if isinstance(by, list) else [by]
    for key in keys:
        if key not in frame.columns:
            raise absent_column(key, frame.columns)
    if grouped:
        _check_grouped(frame, keys)
    else:
        frame = frame.shuffle(on=keys)
    asked = _estimates if what is None else what
    meta = _fitted(_made(frame, x, readings), asked, None, by=by, x=x, readings=readings, options=options).iloc[:0]
    return frame.map_partitions(_fitted, asked, meta, by=by, x=x, readings=dict(readings), options=options, meta=meta)


def accumulate(data: Any, basis: AnyBasis, x: str, readings: Mapping[str, int], **options: Any) -> Any:
    """Accumulate the observations of a Dask frame, or of a folder of Parquet files, for a `SplineRegression`.

    Each partition is reduced to sufficient statistics. They are added in pairs of neighbours, and the sums again in pairs, so that
    the result has the same bits whatever the order in which workers finish, and their number.

    Parameters
    ----------
    data : dask.dataframe.DataFrame, str or Path
        A row for each observation. A string or a path names a folder of Parquet files, or one file.
    basis : Basis
        The functions of all fits.
    x, readings, **options
        As of `Observations.from_frame`.

    Returns
    -------
    dask.delayed.Delayed
        ``compute()`` returns the `Accumulator`, from which ``model(penalty)`` makes the regression.

    Examples
    --------
    >>> import dask.dataframe as dd, numpy as np, pandas as pd, smoothfit as sf
    >>> import smoothfit.dask
    >>> rng = np.random.default_rng(0)
    >>> df = pd.DataFrame({"x": rng.uniform(0, 1, 10_000)})
    >>> df["y"] = np.sin(6 * df["x"]) + 0.1 * rng.standard_normal(10_000)
    >>> frame = dd.from_pandas(df, npartitions=5)
    >>> sums = smoothfit.dask.accumulate(frame, sf.BSplineBasis.uniform(0, 1, 20), "x", {"y": 0}).compute()
    >>> res = sums.model(sf.DerivativePenalty(2)).fit()
    >>> res.nobs, round(float(res.sigma["y"]), 2)
    (10000, 0.1)
    """
    level = [delayed(_accumulated)(part, basis, x, dict(readings), options) for part in _frame(data).to_delayed()]
    while len(level) > 1:
        pairs = [delayed(_sum)(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def _frame(data: Any) -> dd.DataFrame:
    """The Dask frame of what a user passed."""
    if isinstance(data, (str, Path)):
        return dd.read_parquet(str(data))
    if not isinstance(data, dd.DataFrame):
        raise DataError(f"data is {type(data).__name__}; pass a dask.dataframe.DataFrame, or the path of a folder of Parquet files")
    return data


def _check_grouped(frame: dd.DataFrame, keys: list[Any]) -> None:
    """Refuse a curve that has rows in two partitions: ids of each partition once, those of one id brought together."""
    meta = frame._meta[keys].iloc[:0].assign(partition=np.empty(0, dtype=np.int64))
    ids = frame[keys].map_partitions(_ids, keys, meta=meta)
    found = ids.shuffle(on=keys).map_partitions(_repeated, keys, meta=meta).compute()
    torn = list(found[keys].drop_duplicates().itertuples(index=False, name=None))
    if torn:
        curve = torn[0] if len(keys) > 1 else torn[0][0]
        raise DataError(
            f"grouped is true, but the curve {curve!r} has rows in several partitions ({len(torn)} curves have); leave out "
            "grouped=, which shuffles the rows"
        )


def _ids(part: pd.DataFrame, keys: list[Any], partition_info: Any = None) -> pd.DataFrame:
    number = -1 if partition_info is None else int(partition_info["number"])
    unique = part[keys].drop_duplicates()
    return unique.assign(partition=np.full(len(unique), number)).reset_index(drop=True)


def _repeated(ids: pd.DataFrame, keys: list[Any]) -> pd.DataFrame:
    return ids[ids.duplicated(keys)]


def _made(frame: dd.DataFrame, x: Hashable, readings: Mapping[Any, int]) -> pd.DataFrame:
    """A made-up curve with the columns and types of the frame."""
    meta = frame._meta_nonempty
    made: pd.DataFrame = meta.iloc[np.zeros(MADE, dtype=np.int64)].reset_index(drop=True)
    place = np.arange(MADE)
    if pd.api.types.is_datetime64_any_dtype(made[x].dtype) or pd.api.types.is_timedelta64_dtype(made[x].dtype):
        made[x] = made[x] + pd.to_timedelta(place, unit="h")
    else:
        made[x] = place.astype(np.float64)
    for k, name in enumerate(readings):
        made[name] = np.sin(place + k) + 0.3 * (-1.0) ** place
    return made


def _fitted(
    part: pd.DataFrame,
    what: Callable[[CurveFits], pd.DataFrame],
    empty: pd.DataFrame | None,
    by: Hashable | list[Any],
    x: Hashable,
    readings: Mapping[Any, int],
    options: dict[str, Any],
) -> pd.DataFrame:
    """What is asked of the fits of a partition."""
    if empty is None:
        return what(fit_here(part, by, x, readings, **options))
    observed, of_observed = _observed(part, readings, options)
    if observed:
        found = what(fit_here(part, by, x, observed, **of_observed))
        if len(observed) < len(readings):
            found = found.reindex(columns=empty.columns).astype(empty.dtypes)
        return found if len(found) else empty
    if what is not _estimates:
        return empty
    ids = part[by if isinstance(by, list) else [by]].drop_duplicates()
    return ids.assign(**{REASON: NO_OBSERVATION}).reindex(columns=empty.columns).astype(empty.dtypes).reset_index(drop=True)


def _observed(part: pd.DataFrame, readings: Mapping[Any, int], options: dict[str, Any]) -> tuple[Mapping[Any, int], dict[str, Any]]:
    """Columns that a partition has observations in, and options of these: a curve, or a stretch of data, may have none in one."""
    observed = {name: deriv for name, deriv in readings.items() if name not in part or part[name].notna().any()}
    by_column = {name: given for name, given in options.items() if isinstance(given, Mapping)}
    kept = {name: {k: v for k, v in given.items() if k not in readings or k in observed} for name, given in by_column.items()}
    return observed, options | kept


def _estimates(fits: CurveFits) -> pd.DataFrame:
    """A row for each curve, fitted or not."""
    table = fits.params.reindex(fits.ids)
    numbers = table.columns.drop("boundary")
    table = table.astype(dict.fromkeys(numbers, "float64") | {"boundary": "string"})  # the same in all partitions
    table[REASON] = fits.failures.reindex(fits.ids).astype("string")
    return table.reset_index()


def _accumulated(
    part: pd.DataFrame, basis: AnyBasis, x: str, readings: dict[str, int], options: dict[str, Any]
) -> Accumulator[SplineRegression] | None:
    """The statistics of a partition; None of one without observations."""
    observed, of_observed = _observed(part, readings, options)
    if not observed:
        return None
    return SplineRegression.accumulate(basis).add(Observations.from_frame(part, x, observed, **of_observed))


def _sum(one: Accumulator[SplineRegression] | None, other: Accumulator[SplineRegression] | None) -> Any:
    """Both accumulators' observations."""
    if one is None or other is None:
        return one if other is None else other
    return one + other
