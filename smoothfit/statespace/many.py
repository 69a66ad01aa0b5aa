"""Many curves at once: one smoothing spline for each group of a data frame."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt

from .._abscissa import NANOSECONDS
from .._core import _kernels
from .._validation import FloatArray, check_level, check_order, frozen, to_floats
from ..curves import optimize
from ..curves.optimize import Minimum, minimize
from ..curves.prediction import critical_value
from ..errors import DataError, RoughnessWarning, SmoothfitError, SpecificationError
from ..observations import Observations, Readings, derivative_label
from .bandwidth import LIMIT
from .fitting import COARSE, GRID, Variances
from .model import HIGHEST_ORDER, MOST_LOST, SmoothingSpline
from .pyramid import EXACT_SD
from .results import SmoothingSplineResults
from .rows import HEAVIEST, LIGHTEST, RANGE

if TYPE_CHECKING:
    import pandas as pd

IntArray = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
CHUNK = 512  # curves between two steps of a progress bar
SMOOTHING = ("separate", "shared")
ENDINGS = ("inside", "at_lower", "at_upper", "left")
HALVINGS = 100
SETTINGS = np.array(
    [
        LIMIT,
        COARSE,
        EXACT_SD,
        optimize.DECREMENT,
        optimize.NEAR,
        optimize.LEVEL,
        optimize.HOPELESS,
        optimize.FLAT,
        optimize.LONGEST_STEP,
        GRID,
        optimize.MAX_ITERATIONS,
    ]
)


@dataclass(frozen=True, eq=False)
class Batch:
    """The readings of many curves, sorted and scaled as `rows.Rows` are, one curve after the other.

    Attributes
    ----------
    curves : ndarray, shape (S,)
        Which curves these are.
    start : ndarray, shape (S + 1,)
        First row of each curve.
    x : ndarray, shape (n,)
        Abscissae as numbers, in the user's unit.
    delta, deriv, group, y, ratio : ndarray, shape (n,)
    x_unit, y_unit, y_origin : ndarray, shape (S,)
    """

    curves: IntArray
    start: IntArray
    x: FloatArray
    delta: FloatArray
    deriv: npt.NDArray[np.uint8]
    y: FloatArray
    ratio: FloatArray
    x_unit: FloatArray
    y_unit: FloatArray
    y_origin: FloatArray

    def __len__(self) -> int:
        return len(self.curves)

    @property
    def counts(self) -> IntArray:
        """Number of readings of each curve."""
        return np.diff(self.start)

    def units(self, deriv: int) -> FloatArray:
        """Unit of f^(deriv) of each curve."""
        return self.y_unit / self.x_unit**deriv

    @property
    def row_units(self) -> FloatArray:
        """Unit of each reading."""
        return np.repeat(self.y_unit, self.counts) / np.repeat(self.x_unit, self.counts) ** self.deriv

    @property
    def arrays(self) -> tuple[IntArray, FloatArray, Bytes, Bytes, FloatArray, FloatArray]:
        """What the kernels take."""
        return self.start, self.delta, self.deriv, np.zeros(len(self.y), np.uint8), self.y, self.ratio

    def part(self, first: int, last: int) -> Batch:
        """Return curves first .. last - 1."""
        rows, curves = slice(self.start[first], self.start[last]), slice(first, last)
        return Batch(
            self.curves[curves],
            self.start[first : last + 1] - self.start[first],
            self.x[rows],
            self.delta[rows],
            self.deriv[rows],
            self.y[rows],
            self.ratio[rows],
            self.x_unit[curves],
            self.y_unit[curves],
            self.y_origin[curves],
        )


class CurveFits:
    """Smoothing splines of many curves; made by `fit_curves`.

    ``fits[id]`` is the `SmoothingSplineResults` of one curve, with all that it can do; iteration runs over the ids that were
    fitted.

    Attributes
    ----------
    ids : pandas.Index
        The curves, in the order in which they first appear.
    params : pandas.DataFrame
        One row for each id that was fitted: ``nobs``, ``sigma.<name>`` of the estimated sds, ``q``, ``bandwidth``, ``edf``,
        ``llf`` and ``boundary`` (names of parameters at a boundary, or empty).
    failures : pandas.Series
        Reason for each id that could not be fitted.
    """

    def __init__(self, source: Source, order: int, method: str, smoothing: str):
        self.order, self.method, self.smoothing = order, method, smoothing
        self._source = source
        self._variances: dict[int, tuple[float, FloatArray, tuple[str, ...], Minimum | None]] = {}
        self._rows: dict[int, dict[str, Any]] = {}
        self._reasons: dict[int, str] = {}
        self._batch: Batch | None = None
        self._batch_q, self._batch_sigma2 = np.empty(0), np.empty(0)

    @property
    def ids(self) -> pd.Index:
        """The curves, in the order in which they first appear."""
        return self._source.ids

    @cached_property
    def params(self) -> pd.DataFrame:
        """Estimates, one row for each id that was fitted."""
        import pandas as pd

        fitted = sorted(self._rows)
        names = [f"sigma.{r.name}" for r in self._source.observations.readings if r.sd is None]
        columns = ["nobs", *names, "q", "bandwidth", "edf", "llf", "boundary"]
        frame = pd.DataFrame([self._rows[i] for i in fitted], columns=columns, index=self.ids[fitted])
        return frame

    @cached_property
    def failures(self) -> pd.Series:
        """Reasons, by id."""
        import pandas as pd

        failed = sorted(self._reasons)
        return pd.Series([self._reasons[i] for i in failed], index=self.ids[failed], name="reason", dtype=object)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ids[sorted(self._rows)])

    def __getitem__(self, curve: Any) -> SmoothingSplineResults:
        place = self._source.place(curve)
        if place in self._reasons:
            raise DataError(f"the curve {curve!r} could not be fitted: {self._reasons[place]}")
        return self._results(place)

    def _results(self, place: int) -> SmoothingSplineResults:
        q, sigma, boundary, minimum = self._variances[place]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RoughnessWarning)
            model = SmoothingSpline(self._source.subset(place), self.order)
        rows = model._rows
        units = np.array([rows.scale.of(model.observations[name].deriv) for name in rows.unknown])
        sigma2 = np.append((sigma / units) ** 2, np.ones(int(rows.has_known)))
        fixed = "shared" if self.smoothing == "shared" else None
        variances = Variances(q / rows.scale.intensity(self.order), sigma2, boundary, minimum)
        return SmoothingSplineResults(model, self.method, fixed, variances)

    # Tidy frames ------------------------------------------------------------------------------------------------------

    def predict(self, x: Any, deriv: int = 0, alpha: float = 0.05) -> pd.DataFrame:
        """Predict f^(deriv) of every fitted curve at common abscissae.

        Parameters
        ----------
        x : array_like, shape (g,)
            Abscissae of the kind of the readings'.
        deriv : int
            Below the order.
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            A row for each curve and x: the id, x, ``mean``, ``mean_se``, ``mean_ci_lower``, ``mean_ci_upper``.

        Notes
        -----
        The intervals take the parameters for known: those of a single curve, ``fits[id].get_prediction(x)``, allow for their
        uncertainty and are wider.
        """
        import pandas as pd

        deriv = check_order(deriv, "deriv", 0, self.order - 1)
        level = check_level(alpha)
        abscissa = self._source.observations.abscissa
        given = abscissa.given(x).ravel()
        fitted = sorted(self._rows)
        mean, variance = np.empty((len(fitted), len(given))), np.empty((len(fitted), len(given)))
        place = {curve: i for i, curve in enumerate(fitted)}
        single = set(fitted)
        if self._batch is not None and len(self._batch):
            batch = self._batch
            means, variances = _kernels.predict_many(
                *batch.arrays,
                batch.x,
                batch.x_unit,
                self.order,
                self._batch_q,
                self._batch_sigma2,
                deriv,
                abscissa.to_numbers(given),
                self._source.threads,
            )
            units = batch.units(deriv)[:, None]
            rows = [place[int(curve)] for curve in batch.curves]
            mean[rows] = means * units + (batch.y_origin[:, None] if deriv == 0 else 0.0)
            variance[rows] = variances * units**2
            single -= set(batch.curves.tolist())
        for curve in single:
            prediction = self._results(curve).get_prediction(given, deriv)
            mean[place[curve]], variance[place[curve]] = prediction.predicted_mean, prediction.var_pred_mean
        se = np.sqrt(variance)
        counts = np.array([self._rows[curve]["nobs"] for curve in fitted], dtype=float)
        estimated = any(r.sd is None for r in self._source.observations.readings)
        dfs, of_curve = np.unique(counts - self.order if estimated else counts * np.inf, return_inverse=True)
        critical = np.array([critical_value(level, df) for df in dfs])[of_curve]
        half = critical[:, None] * se
        frame = {
            self._source.by: np.repeat(self.ids[fitted].to_numpy(), len(given)),
            self._source.observations.x_name: np.tile(given, len(fitted)),
            "mean": mean.ravel(),
            "mean_se": se.ravel(),
            "mean_ci_lower": (mean - half).ravel(),
            "mean_ci_upper": (mean + half).ravel(),
        }
        return pd.DataFrame(frame)

    def collect(self, what: Callable[[SmoothingSplineResults], pd.DataFrame]) -> pd.DataFrame:
        """Ask every fitted curve and put the frames under each other, with a column for the id.

        Parameters
        ----------
        what : callable
            From the results of one curve to a data frame, for example ``lambda res: res.extrema(deriv=1)``.
        """
        import pandas as pd

        frames = []
        for curve in sorted(self._rows):
            frame = what(self._results(curve))
            frame.insert(0, self._source.by, [self.ids[curve]] * len(frame))
            frames.append(frame)
        return pd.concat([f for f in frames if len(f)] or frames[:1], ignore_index=True) if frames else pd.DataFrame()

    def __repr__(self) -> str:
        failed = f", {len(self._reasons)} failed" if self._reasons else ""
        return f"CurveFits(order={self.order}) of {len(self._rows)} curves{failed}"


@dataclass(frozen=True, eq=False)
class Source:
    """All readings, and the curve of each: entry i of `curve` those of name i."""

    observations: Observations
    curve: tuple[IntArray, ...]
    ids: pd.Index
    by: str
    threads: int

    def place(self, curve: Any) -> int:
        """Index of an id."""
        if curve not in self.ids:
            raise KeyError(f"there is no curve {curve!r}; the ids begin with {', '.join(map(repr, self.ids[:3]))}")
        return int(np.flatnonzero(self.ids == curve)[0])

    @cached_property
    def _sorted(self) -> list[tuple[IntArray, IntArray]]:
        """For each name, the readings in order of their curve, and where each curve begins."""
        parts = []
        for curve in self.curve:
            order = np.argsort(curve, kind="stable")
            parts.append((order, np.searchsorted(curve[order], np.arange(len(self.ids) + 1))))
        return parts

    def subset(self, place: int) -> Observations:
        """Return the readings of one curve."""
        parts = []
        for reading, (order, start) in zip(self.observations.readings, self._sorted, strict=True):
            rows = order[start[place] : start[place + 1]]
            if len(rows):
                parts.append(_rows_of(reading, rows))
        if not parts:
            raise DataError("it has no reading (all are missing)")
        return Observations(tuple(parts), self.observations.x_name)


def _rows_of(reading: Readings, rows: IntArray) -> Readings:
    def part(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else frozen(values[rows])

    return replace(
        reading,
        x=frozen(reading.x[rows]),
        y=frozen(reading.y[rows]),
        sd=part(reading.sd),
        weights=part(reading.weights),
        n_dropped=0,
    )


def fit_curves(
    data: Any,
    by: Hashable,
    x: Hashable,
    readings: Mapping[Any, int],
    order: int = 2,
    method: str = "reml",
    *,
    smoothing: str = "separate",
    sd: Mapping[Any, Any] | None = None,
    weights: Mapping[Any, Any] | None = None,
    unit: str | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> CurveFits:
    """Fit a smoothing spline to every group of a data frame.

    Parameters
    ----------
    data : pandas, Polars or PyArrow data frame
        One row for each time of reading, the curves one after the other or mixed.
    by : str
        Column that tells which curve a row belongs to.
    x, readings, sd, weights, unit
        As of `Observations.from_frame`.
    order, method
        As of `SmoothingSpline` and its `fit`.
    smoothing : {"separate", "shared"}
        Whether each curve has a smoothing and noise of its own, or all share one q and one sd, by the sum of their restricted
        likelihoods; "shared" takes one name, or given sds alone, and method "reml".
    threads : int, optional
        How many threads; by default as many as there are processors.
    progress : bool, optional
        Whether to show a progress bar; by default in an interactive terminal.

    Returns
    -------
    CurveFits
        A curve that cannot be fitted never stops the rest: `CurveFits.failures` tells its reason.

    Raises
    ------
    DataError
        The column `by` has missing values; the data cannot be read as `Observations.from_frame` tells.
    SpecificationError
        An option is out of range.

    Notes
    -----
    Fits by "reml" with one name, or with given sds alone, run side by side in compiled threads; others one after the other. Both
    are certified minima of the same criterion.

    Examples
    --------
    >>> import numpy as np, pandas as pd, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> df = pd.DataFrame({"id": np.repeat(["a", "b"], 50), "age": np.tile(np.arange(50.0), 2)})
    >>> df["height"] = np.sin(df["age"] / 10 + (df["id"] == "b")) + 0.1 * rng.standard_normal(100)
    >>> fits = sf.fit_curves(df, by="id", x="age", readings={"height": 0}, order=3)
    >>> fits.params["sigma.height"].round(2).to_dict()
    {'a': 0.08, 'b': 0.1}
    >>> fits.predict([10.0, 20.0], deriv=1).shape
    (4, 6)
    """
    order = check_order(order, "order", 1, HIGHEST_ORDER)
    if smoothing not in SMOOTHING:
        raise SpecificationError(f"smoothing is {smoothing!r}; pass one of {', '.join(map(repr, SMOOTHING))}")
    from .criteria import check_method

    method = check_method(method)
    n_threads = check_order(os.cpu_count() or 1 if threads is None else threads, "threads", 1, 1024)
    source = _read(data, by, x, readings, sd, weights, unit, n_threads)
    _check_derivs(source.observations, order)
    fits = CurveFits(source, order, method, smoothing)
    is_joint = (len(source.curve) == 1) or all(r.sd is not None for r in source.observations.readings)
    is_joint = is_joint and method == "reml" and not source.observations.abscissa.is_split
    if smoothing == "shared" and not is_joint:
        raise SpecificationError(
            'smoothing is "shared", which takes method="reml" and either one name of readings or sd= for all of them'
        )
    with _progress(len(source.ids), progress) as advance:
        rest = np.arange(len(source.ids))
        if is_joint:
            batch = _batch(source, order, shared=smoothing == "shared")
            if len(batch):
                _fit_batch(fits, batch, advance)
            rest = np.setdiff1d(rest, np.array([*fits._rows, *fits._reasons], dtype=np.int64))
        for place in rest.tolist():
            _fit_one(fits, place)
            advance(1)
    return fits


def _read(
    data: Any,
    by: Hashable,
    x: Hashable,
    readings: Mapping[Any, int],
    sd: Mapping[Any, Any] | None,
    weights: Mapping[Any, Any] | None,
    unit: str | None,
    threads: int,
) -> Source:
    import pandas as pd

    observations = Observations.from_frame(data, x, readings, sd, weights, unit)
    frame = nw.from_native(data, eager_only=True)
    if by not in frame.columns:
        raise DataError(f"the frame has no column {by!r}; its columns are {', '.join(map(repr, frame.columns))}")
    column: Any = frame.get_column(by)
    codes, ids = pd.factorize(np.asarray(column.to_numpy()), use_na_sentinel=True)
    if (codes < 0).any():
        raise DataError(f"{by}[{int(np.argmax(codes < 0))}] is missing; name the curve of every row, or drop the row")
    curve = []
    for name in readings:
        values, _ = to_floats(frame.get_column(name).to_native(), str(name))
        curve.append(codes[~np.isnan(values)].astype(np.int64))
    if unit is None and observations.abscissa.unit is not None:
        observations = _in_one_unit(observations, curve)
    return Source(observations, tuple(curve), pd.Index(ids, name=by), str(by), threads)


def _in_one_unit(observations: Observations, curve: list[IntArray]) -> Observations:
    """Count the times of all curves in the longest unit no longer than the mean spacing within them."""
    counts = np.concatenate([reading.x.view(np.int64) for reading in observations.readings])
    order = np.lexsort((counts, np.concatenate(curve)))
    within = np.diff(np.concatenate(curve)[order]) == 0
    spacing = float(np.mean(np.diff(counts[order])[within])) if within.any() else 1.0
    unit = next((name for name, length in NANOSECONDS.items() if length <= spacing), "ns")
    return replace(observations, readings=tuple(replace(reading, unit=unit) for reading in observations.readings))


def _check_derivs(observations: Observations, order: int) -> None:
    """Refuse an order that no curve can have, and warn of a rough one, once for all."""
    highest = max(observations.readings, key=lambda reading: reading.deriv)
    k = highest.deriv
    if k >= order:
        raise SpecificationError(f"order is {order}, but {highest.name!r} reads {derivative_label(k)}: the prior needs order > {k}")
    if k > 0 and order < k + 2 <= HIGHEST_ORDER:
        warnings.warn(
            f"at order {order} the curve {derivative_label(k)}, read by {highest.name!r}, is as rough as a Brownian path; "
            f"order={k + 2} makes it smooth",
            RoughnessWarning,
            stacklevel=3,
        )


class _Progress:
    """A progress bar, or none."""

    def __init__(self, total: int, shown: bool):
        self._bar: Any = None
        if shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit="curve")

    def __enter__(self) -> Callable[[int], None]:
        return self._bar.update if self._bar is not None else lambda _: None

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _progress(total: int, progress: bool | None) -> _Progress:
    return _Progress(total, sys.stderr.isatty() if progress is None else bool(progress))


def _fit_one(fits: CurveFits, place: int) -> None:
    """Fit a curve by itself, or note why it cannot be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RoughnessWarning)
            results = SmoothingSpline(fits._source.subset(place), fits.order).fit(fits.method)
            row: dict[str, Any] = {"nobs": results.nobs}
            row |= {f"sigma.{name}": sd for name, sd, estimated in results._sds if estimated}
            row |= {"q": results.q, "bandwidth": results.bandwidth, "edf": results.edf, "llf": results.llf}
    except SmoothfitError as error:
        fits._reasons[place] = str(error)
        return
    fits._rows[place] = row | {"boundary": ", ".join(results.boundary)}
    unknown = [sd for _, sd, estimated in results._sds if estimated]
    fits._variances[place] = results.q, np.array(unknown), results.boundary, results._variances.minimum


def _batch(source: Source, order: int, shared: bool) -> Batch:
    """Sort and scale the curves that have two abscissae or more and nothing out of proportion."""
    observations = source.observations
    deriv = observations.deriv.astype(np.uint8)
    curve, x, y = np.concatenate(source.curve), observations.x, observations.y
    variance = np.concatenate([r.variance_ratio for r in observations.readings])
    step = np.diff(curve)
    if (step < 0).any() or (np.diff(x)[step == 0] < 0).any():
        sorter = np.lexsort((x, curve))
        curve, x, y, deriv, variance = curve[sorter], x[sorter], y[sorter], deriv[sorter], variance[sorter]
    first = np.flatnonzero(np.diff(curve, prepend=-1) > 0)
    counts = np.diff(np.append(first, len(curve)))
    delta = np.diff(x, prepend=x[0])
    delta[first] = 0.0
    n_nodes = 1 + np.add.reduceat((delta > 0).astype(np.int64), first)
    spread = x[first + counts - 1] - x[first]
    good = n_nodes > 1
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        x_exponent = np.frexp(spread / np.maximum(n_nodes - 1, 1))[1]
        if shared:
            x_exponent[:] = int(np.median(x_exponent[good])) if good.any() else 0
        lowest = np.minimum.reduceat(np.where(deriv == 0, y, np.inf), first)
        highest = np.maximum.reduceat(np.where(deriv == 0, y, -np.inf), first)
        origin = np.where(np.isfinite(lowest), lowest / 2 + highest / 2, 0.0)
        of_row = np.repeat(np.arange(len(first)), counts)
        centred = np.where(deriv == 0, y - origin[of_row], y)
        powers = deriv.astype(np.int64) * x_exponent[of_row]
        size = np.maximum.reduceat(np.abs(np.ldexp(centred, powers)), first)
        y_exponent = np.where(size > 0, np.frexp(size)[1], 0)
        if shared:
            y_exponent[:] = y_exponent.max()
        scaled = np.ldexp(centred, powers - y_exponent[of_row])
        reading = observations.readings[0]
        if reading.sd is None:
            ratio = variance
            if reading.weights is not None:
                relative = np.median(variance) / variance
                good &= ~np.logical_or.reduceat((relative < LIGHTEST) | (relative > HEAVIEST), first)
        else:
            ratio = np.ldexp(variance, 2 * (powers - y_exponent[of_row]))
        in_range = (ratio >= 1 / RANGE) & (ratio <= RANGE) & np.isfinite(scaled)
        good &= ~np.logical_or.reduceat(~in_range, first)
        good &= (np.abs(x_exponent) < 100) & (np.abs(y_exponent) < 100)  # what follows then stays a number
        steps = np.ldexp(delta, -x_exponent[of_row])
        if order > 2:  # where a gap could cost accuracy the single fit decides
            least = np.minimum.reduceat(np.where(steps > 0, steps, np.inf), first)
            good &= np.finfo(float).eps * (np.maximum.reduceat(steps, first) / least) ** (order - 2) < MOST_LOST
    rows = good[of_row]
    return Batch(
        curve[first[good]],
        np.concatenate([[0], np.cumsum(counts[good])]).astype(np.int64),
        x[rows],
        steps[rows],
        deriv[rows],
        scaled[rows],
        ratio[rows],
        np.ldexp(1.0, x_exponent[good]),
        np.ldexp(1.0, y_exponent[good]),
        origin[good],
    )


def _fit_batch(fits: CurveFits, batch: Batch, advance: Callable[[int], object]) -> None:
    """Fit the curves of a batch in compiled threads; those that need more are left out of `fits`."""
    order, threads = fits.order, fits._source.threads
    reading = fits._source.observations.readings[0]
    scale_free = reading.sd is None
    if fits.smoothing == "shared":
        batch = _only_estimable(batch, order)
        if len(batch):
            _fit_shared(fits, batch, scale_free)
            advance(len(batch))
        return
    parts = []
    for first in range(0, len(batch), CHUNK):
        part = batch.part(first, min(first + CHUNK, len(batch)))
        parts.append(
            _kernels.fit_many(*part.arrays, _design_ratio(part), order, scale_free, SETTINGS, optimize.interpolation(), threads)
        )
        advance(len(part))
    found = np.concatenate(parts)
    ending = found[:, 6].astype(int)
    kept = np.flatnonzero(ending != ENDINGS.index("left"))
    advance(len(kept) - len(batch))
    found, ending, batch = found[kept], ending[kept], _chosen(batch, kept)
    log_q, value, decrement, sse, edf, design = found.T[:6]
    q = np.where(ending == ENDINGS.index("at_lower"), 0.0, np.exp(log_q))
    factor = sse / (batch.counts - order) if scale_free else np.ones(len(batch))
    minima = [
        Minimum(np.array([t]), v, d, np.array([e == 1]), np.array([e == 2]), 1)
        for t, v, d, e in zip(log_q.tolist(), value.tolist(), decrement.tolist(), ending.tolist(), strict=True)
    ]
    boundaries = np.where(ending == 1, "q", np.where((ending == 2) & scale_free, reading.name, ""))
    _note(fits, batch, q * factor, factor, edf, value, design, [(b,) if b else () for b in boundaries.tolist()], minima)


def _note(
    fits: CurveFits,
    batch: Batch,
    q: FloatArray,
    sigma2: FloatArray,
    edf: FloatArray,
    value: FloatArray,
    design: FloatArray,
    boundaries: list[tuple[str, ...]],
    minima: list[Minimum],
) -> None:
    """Write scaled estimates of a batch into `fits`, in the user's units."""
    reading, order = fits._source.observations.readings[0], fits.order
    estimated = reading.sd is None
    log_units = np.add.reduceat(np.log(batch.row_units), batch.start[:-1])
    # log|X'X| with readings in the user's units: the variances 1 / unit^2 were taken y_unit^2 times as large
    log_det_design = design - np.add.reduceat(np.log(_design_ratio(batch)), batch.start[:-1]) + 2 * order * np.log(batch.y_unit)
    llf = -value / 2 - log_units + log_det_design / 2
    columns = {
        "nobs": batch.counts,
        "q": q * batch.y_unit**2 / batch.x_unit ** (2 * order - 1),
        "bandwidth": _bandwidths(batch, order, q, sigma2) * batch.x_unit,
        "edf": edf,
        "llf": llf,
    }
    sigma = np.sqrt(sigma2) * batch.units(reading.deriv)
    if estimated:
        columns[f"sigma.{reading.name}"] = sigma
    names, lists = list(columns), [column.tolist() for column in columns.values()]
    for curve, boundary, minimum, sd, *row in zip(batch.curves.tolist(), boundaries, minima, sigma.tolist(), *lists, strict=True):
        values = dict(zip(names, row, strict=True))
        fits._rows[curve] = values | {"boundary": ", ".join(boundary)}
        fits._variances[curve] = values["q"], np.array([sd] if estimated else []), boundary, minimum
    fits._batch, fits._batch_q, fits._batch_sigma2 = batch, q, sigma2


def _design_ratio(batch: Batch) -> FloatArray:
    """Variances y_unit^2 / unit^2 of readings for log|X'X|."""
    return np.asarray(np.repeat(batch.x_unit, batch.counts) ** (2.0 * batch.deriv))


def _chosen(batch: Batch, kept: IntArray) -> Batch:
    """Return some of the curves."""
    if len(kept) == len(batch):
        return batch
    is_kept = np.zeros(len(batch), np.bool_)
    is_kept[kept] = True
    rows = np.repeat(is_kept, batch.counts)
    start = np.concatenate([[0], np.cumsum(batch.counts[kept])]).astype(np.int64)
    return Batch(
        batch.curves[kept],
        start,
        batch.x[rows],
        batch.delta[rows],
        batch.deriv[rows],
        batch.y[rows],
        batch.ratio[rows],
        batch.x_unit[kept],
        batch.y_unit[kept],
        batch.y_origin[kept],
    )


def _bandwidths(batch: Batch, order: int, q: FloatArray, sigma2: FloatArray) -> FloatArray:
    """Scaled bandwidths, infinite for q = 0; see `bandwidth.Resolution`."""
    n, first = batch.counts, batch.start[:-1]
    length = np.add.reduceat(batch.delta, first)
    share = (n - 1) / (n * length * sigma2)
    with np.errstate(divide="ignore"):
        known = [np.log(q * share * np.add.reduceat((batch.deriv == k) / batch.ratio, first)) for k in range(order)]
        alone = np.array([-terms / (2 * (order - k)) for k, terms in enumerate(known)])  # log h if only f^(k) were read
    least = alone.min(axis=0)
    if (np.isfinite(alone).sum(axis=0) <= 1).all():
        return np.asarray(np.exp(least))
    low, high = np.where(np.isfinite(least), least, 0.0) - np.log(order) - 0.1, np.where(np.isfinite(least), least, 0.0) + 0.1
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        total = sum(np.exp(terms + 2 * (order - k) * middle) for k, terms in enumerate(known))
        low, high = np.where(total < 1, middle, low), np.where(total < 1, high, middle)
    return np.where(np.isfinite(least), np.exp((low + high) / 2), np.inf)


# Shared smoothing -----------------------------------------------------------------------------------------------------


def _only_estimable(batch: Batch, order: int) -> Batch:
    """The curves that can be fitted at a given smoothing: others are left to tell their reason."""
    kept = []
    for i in range(len(batch)):
        one = batch.part(i, i + 1)
        try:
            _kernels.require_identified(*one.arrays[1:], order, np.ones(1))
        except _kernels.KernelError:
            continue
        kept.append(i)
    return _chosen(batch, np.array(kept, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class SharedLikelihood:
    """-2 log restricted likelihood of all curves, as a function of log q; the common variance maximised out where it is unknown."""

    batch: Batch
    order: int
    scale_free: bool
    threads: int
    unbounded = False
    exact_hessian = True

    @property
    def count(self) -> int:
        """Number of contrasts."""
        return len(self.batch.y) - self.order * len(self.batch)

    def _assemble(self, log_det: FloatArray, sse: FloatArray) -> FloatArray:
        n = self.count
        if self.scale_free:
            return np.asarray(n * (np.log(2 * np.pi * sse / n) + 1) + log_det)
        return np.asarray(n * np.log(2 * np.pi) + log_det + sse)

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates (L, 1)."""
        log_det, sse = _kernels.sum_many(*self.batch.arrays, self.order, np.exp(theta[:, 0]), self.threads)
        return self._assemble(log_det, sse)

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        return self.hessian(theta)[:2]

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian, exact."""
        log_det, sse = _kernels.sum_many_second(*self.batch.arrays, self.order, float(np.exp(theta[0])), self.threads)
        slope = self.count / sse[0] if self.scale_free else 1.0
        second = log_det[2] + slope * sse[2]
        if self.scale_free:
            second -= slope / sse[0] * sse[1] ** 2
        value = float(self._assemble(log_det[:1], sse[:1])[0])
        return value, np.array([log_det[1] + slope * sse[1]]), np.array([[second]])


def _fit_shared(fits: CurveFits, batch: Batch, scale_free: bool) -> None:
    """Fit all curves with one q, and one sd where it is unknown."""
    order, threads = fits.order, fits._source.threads
    shared = SharedLikelihood(batch, order, scale_free, threads)
    ranges = np.add.reduceat(batch.delta, batch.start[:-1])
    spacing = float(batch.delta.sum() / (len(batch.y) - len(batch)))
    information = float(np.mean(1 / batch.ratio)) / spacing
    power = LIMIT ** (1 / (2 * order))
    bandwidths = np.geomspace(3 * ranges.max() * power, batch.delta[batch.delta > 0].min() / (3 * power), 6 * GRID)
    highest = int(batch.deriv.max())
    theta = -np.log(information) - 2 * (order - highest) * np.log(bandwidths)
    minimum = minimize(shared, theta[:, None], theta[:1], theta[-1:])
    q = 0.0 if minimum.at_lower[0] else float(np.exp(minimum.theta[0]))
    factor = 1.0
    if scale_free:
        factor = float(_kernels.sum_many(*batch.arrays, order, np.array([q]), threads)[1, 0]) / shared.count
    boundary: tuple[str, ...] = ("q",) if minimum.at_lower[0] else ()
    if minimum.at_upper[0] and scale_free:
        boundary = (fits._source.observations.readings[0].name,)
    terms = np.array([_terms_at(batch.part(i, i + 1), order, q * factor, factor) for i in range(len(batch))])
    value, edf, design = terms.T
    n = len(batch)
    _note(fits, batch, np.full(n, q * factor), np.full(n, factor), edf, value, design, [boundary] * n, [minimum] * n)


def _terms_at(one: Batch, order: int, q: float, sigma2: float) -> tuple[float, float, float]:
    """-2 log restricted likelihood, edf and log|X'X| of one curve, scaled."""
    rows, variance, noise = one.arrays[1:], np.array([sigma2]), np.array([[0.0, 1.0]])
    log_det, sse, _ = _kernels.likelihood_gradient(*rows, order, q, variance, noise)
    plain = (*rows[:4], _design_ratio(one))
    design = _kernels.likelihood(*plain, order, np.zeros(1), np.ones((1, 1)))[0, 0]
    n = len(one.y)
    return (n - order) * np.log(2 * np.pi) + log_det[0] + sse[0], n - log_det[1], design
