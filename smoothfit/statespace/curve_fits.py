"""Results of the fits of many curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._entry import entry_point
from .._frames import framed
from .._html import html_of
from .._validation import FloatArray, IntArray, Zone, check_level, check_memory, check_order
from ..errors import DataError, UnknownNameError
from ..observations import derivative_label
from ..observations.abscissa import in_zone
from ..observations.series import CALIBRATED
from ..results.mixtures import standard_law, standard_quantile
from .batch import Batch, BatchFit
from .batch_nodes import CurveNodes, curve_nodes
from .fitted_curves import FittedCurves
from .results import SmoothingSplineResults

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


MOST_PANELS = 12
MOST_OF_FAN, FAN_POINTS = 1000, 200


@entry_point
class CurveFits:
    """Smoothing splines of many curves; made by `fit_curves`.

    ``fits[id]`` is the `SmoothingSplineResults` of one curve, with all that it can do; iteration runs over the ids that were
    fitted.

    Attributes
    ----------
    ids : pandas.Index
        The curves, in the order in which they first appear.
    params : pandas.DataFrame
        One row for each id that was fitted: ``nobs``, ``sigma.<name>`` of the estimated SDs, ``q`` and ``bandwidth``, or the
        hyperparameters of a prior, ``edf``, ``llf`` and ``boundary`` (names of parameters at a boundary, or empty).
    failures : pandas.Series
        Reason for each id that could not be fitted.

    Examples
    --------
    >>> import numpy as np, pandas as pd, smoothfit as sf
    >>> df = pd.DataFrame({"id": np.repeat(["a", "b"], 15), "t": np.tile(np.linspace(0, 6, 15), 2)})
    >>> df["y"] = np.sin(df["t"]) + (df["id"] == "b")
    >>> fits = sf.fit_curves(df, by="id", x="t", readings={"y": 0}, order=3, sd={"y": 0.01})
    >>> len(fits), list(fits), len(fits.failures)
    (2, ['a', 'b'], 0)
    >>> fits["b"].predict([1.0, 2.0]).round(2)  # 1 + sin(1) and 1 + sin(2)
    array([1.84, 1.91])
    """

    def __init__(self, fitted: FittedCurves):
        self.order, self.method, self.smoothing, self.prior = fitted.order, fitted.method, fitted.smoothing, fitted.prior
        self._curves = fitted.curves
        self._fitted = fitted

    @property
    def ids(self) -> pd.Index:
        """The curves, in the order in which they first appear; several columns of groups are levels of it."""
        return self._curves.ids

    @property
    def library(self) -> str | None:
        """Library of the data, and of the frames that are returned."""
        return self._curves.observations.library

    @cached_property
    @framed
    def params(self) -> pd.DataFrame:
        """Estimates, one row for each id that was fitted."""
        import pandas as pd

        fitted = sorted(self._fitted.rows)
        names = [f"sigma.{r.name}" for r in self._curves.observations.readings if r.sd is None]
        smoothing = ["q", "bandwidth"] if self.prior is None else [p.name for p in self.prior.hyperparameters]
        series = self._curves.observations.readings
        differences = [f"{what}.{r.name}" for what in ("response_time", *CALIBRATED, "bias") for r in series if what in r.estimates]
        columns = ["nobs", *names, *smoothing, *differences, "edf", "llf", "boundary"]
        frame = pd.DataFrame([self._fitted.rows[i] for i in fitted], columns=columns, index=self.ids[fitted])
        return frame

    @cached_property
    def failures(self) -> pd.Series:
        """Why curves could not be fitted, strings indexed by id."""
        import pandas as pd

        failed = sorted(self._fitted.reasons)
        return pd.Series([self._fitted.reasons[i] for i in failed], index=self.ids[failed], name="reason", dtype=object)

    def __len__(self) -> int:
        return len(self._fitted.rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ids[sorted(self._fitted.rows)])

    def __getitem__(self, curve: Any) -> SmoothingSplineResults:
        place = self._curves.place(curve)
        if place in self._fitted.reasons:
            raise DataError(f"the curve {curve!r} could not be fitted: {self._fitted.reasons[place]}")
        return self._fitted.results(place)

    # Tidy frames ------------------------------------------------------------------------------------------------------

    @framed
    def predict(self, x: Any, deriv: int = 0, alpha: float = 0.05) -> pd.DataFrame:
        """Predict f^(deriv) of every fitted curve at common x.

        Parameters
        ----------
        x : array_like, shape (g,)
            x, numbers or times as those of the observations, common to all curves. A data frame with the columns of the ids asks
            for each row about the curve that it names; of another data frame the column of x is common to all curves.
        deriv : int
            Below the order, or of what curves of the prior have.
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            A row for each curve and x, or for each row of x: the id, x, ``mean``, ``mean_se``, ``mean_ci_lower``,
            ``mean_ci_upper``.

        Raises
        ------
        UnknownNameError
            A row of x names no curve that was fitted.

        Notes
        -----
        Means and standard errors are those at the estimates. The intervals integrate over the smoothing and the noise of each curve
        as those of a single fit, ``fits[id].get_prediction(x)``. With ``smoothing="shared"`` q and SD, which all curves determine
        together, are taken for known.

        Examples
        --------
        >>> import numpy as np, pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"id": np.repeat(["a", "b"], 15), "t": np.tile(np.linspace(0, 6, 15), 2)})
        >>> df["y"] = np.sin(df["t"]) + (df["id"] == "b")
        >>> fits = sf.fit_curves(df, by="id", x="t", readings={"y": 0}, order=3, sd={"y": 0.01})
        >>> print(fits.predict([1.0, 2.0])[["id", "t", "mean", "mean_se"]].round(2))
          id    t  mean  mean_se
        0  a  1.0  0.84     0.01
        1  a  2.0  0.91     0.01
        2  b  1.0  1.84     0.01
        3  b  2.0  1.91     0.01
        """
        highest = self.order - 1 if self.prior is None else self.prior.smoothness
        deriv = check_order(deriv, "deriv", 0, highest)
        level = check_level(alpha)
        abscissa = self._curves.observations.abscissa
        asked = abscissa.asked(x)
        given = asked.array.ravel()
        places = None if asked.table is None else self._curves.places_of(asked.table)
        if places is not None:
            moments = self._of_rows(given, places, deriv, level)
            return self._frame(places, given, asked.zone, *moments)
        fitted = sorted(self._fitted.rows)
        entries = 20.0 * len(fitted) * given.size  # with the columns of the frame
        check_memory(8 * entries, f"a frame of {len(fitted)} curves at {given.size} x", "pass fewer x at a time")
        mean, variance = np.empty((2, len(fitted), len(given)))
        ends = np.empty((2, *mean.shape))
        place = {curve: i for i, curve in enumerate(fitted)}
        single = set(fitted)
        found = self._fitted.side_by_side
        if found is not None and len(found.batch):
            rows = [place[int(curve)] for curve in found.batch.curves]
            at = abscissa.to_numbers(given)
            laws = self._laws(found, at, deriv, level)
            mean[rows], variance[rows], ends[:, rows] = laws[0], laws[1], laws[2:]
            single -= set(found.batch.curves[np.isfinite(self._nodes.weights).all(axis=1)].tolist())
        for curve in single:
            prediction = self._fitted.results(curve).get_prediction(given, deriv)
            mean[place[curve]], variance[place[curve]] = prediction.predicted_mean, prediction.var_pred_mean
            ends[:, place[curve]] = prediction.conf_int(alpha=level).T
        curves, at_all = np.repeat(np.array(fitted, dtype=np.int64), len(given)), np.tile(given, len(fitted))
        return self._frame(curves, at_all, asked.zone, mean.ravel(), variance.ravel(), ends.reshape(2, -1))

    def _of_rows(
        self, given: npt.NDArray[Any], places: IntArray, deriv: int, level: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Means (g,), variances (g,) and ends (2, g) of f^(deriv) of one curve at each x."""
        missing = [row for row, curve in enumerate(places.tolist()) if curve not in self._fitted.rows]
        if missing:
            label = self.ids[int(places[missing[0]])]
            raise UnknownNameError(f"row {missing[0]} of x names the curve {label!r}, which could not be fitted; see failures")
        mean, variance, ends = np.empty(len(given)), np.empty(len(given)), np.empty((2, len(given)))
        for curve in np.unique(places).tolist():
            rows = places == curve
            prediction = self._fitted.results(curve).get_prediction(given[rows], deriv)
            mean[rows], variance[rows] = prediction.predicted_mean, prediction.var_pred_mean
            ends[:, rows] = prediction.conf_int(alpha=level).T
        return mean, variance, ends

    def _frame(
        self,
        curves: IntArray,
        x: npt.NDArray[Any],
        zone: Zone,
        mean: FloatArray,
        variance: FloatArray,
        ends: FloatArray,
    ) -> pd.DataFrame:
        """Predictions as a tidy frame, a row for each of the curves (places) and x."""
        import pandas as pd

        frame = {
            **{name: labels[curves].to_numpy() for name, labels in self._curves.levels.items()},
            self._curves.observations.x_name: in_zone(x, zone),
            "mean": mean,
            "mean_se": np.sqrt(variance),
            "mean_ci_lower": ends[0],
            "mean_ci_upper": ends[1],
        }
        return pd.DataFrame(frame, copy=False)

    def _moments(
        self, batch: Batch, q: FloatArray, sigma2: FloatArray, at: FloatArray, deriv: int
    ) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances (S, g) of f^(deriv) of the curves of a batch at scaled q and sigma2 (S,)."""
        threads = self._curves.threads
        found = _kernels.predict_many(batch.series, batch.x, batch.x_unit, self.order, q, sigma2, deriv, at, threads)
        units = batch.units(deriv)[:, None]
        return found[0] * units + (batch.y_origin[:, None] if deriv == 0 else 0.0), found[1] * units**2

    @property
    def _is_relative(self) -> bool:
        return self._curves.observations.readings[0].sd is None

    @cached_property
    def _nodes(self) -> CurveNodes:
        """Posterior of the smoothing of the curves that were fitted side by side; the estimates, if all curves share them."""
        found = self._fitted.side_by_side
        assert found is not None
        if found.likely is None:
            return CurveNodes((found.q / found.sigma2)[:, None], np.ones((len(found.q), 1)))
        return curve_nodes(found.batch, found.likely, self.order, self._is_relative, self._curves.threads)

    def _laws(self, found: BatchFit, at: FloatArray, deriv: int, level: float) -> FloatArray:
        """Means, variances and ends (4, S, g) of intervals of the curves of a batch."""
        nodes, batch, threads = self._nodes, found.batch, self._curves.threads
        is_estimated = self._is_relative and found.likely is not None
        q = np.column_stack([found.q / found.sigma2, nodes.q])
        sigma2 = np.zeros_like(found.sigma2) if is_estimated else found.sigma2
        counts, laws = batch.counts - self.order, np.empty((4, len(batch), len(at)))
        for count in np.unique(counts).tolist() if self._is_relative else [np.inf]:
            some = np.flatnonzero(counts == count) if self._is_relative else np.arange(len(batch))
            law, score = standard_law(count), standard_quantile(count, level / 2)
            asked = batch.series, some, batch.x, batch.x_unit, self.order, q[some], nodes.weights[some], sigma2[some], deriv, at
            laws[:, some] = _kernels.intervals_many(*asked, law, level / 2, score, threads)
        units = batch.units(deriv)[:, None]
        laws *= np.stack([units, units**2, units, units])
        if deriv == 0:
            laws[[0, 2, 3]] += batch.y_origin[:, None]
        return laws

    def plot(self, ids: Sequence[Any] | None = None, deriv: int = 0, alpha: float = 0.05, ax: Any = None) -> npt.NDArray[Any]:
        """Draw some curves, a panel each: f^(deriv), its pointwise interval of level 1 - alpha and the observations of it.

        Parameters
        ----------
        ids : sequence, optional
            Which curves; by default the first twelve that were fitted.
        deriv : int
        alpha : float
        ax : sequence of matplotlib.axes.Axes, optional
            One for each curve; by default a new figure, whose panels share both axes.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"id": np.repeat(["a", "b"], 15), "t": np.tile(np.linspace(0, 6, 15), 2)})
        >>> df["y"] = np.sin(df["t"]) + (df["id"] == "b")
        >>> axes = sf.fit_curves(df, by="id", x="t", readings={"y": 0}, sd={"y": 0.01}).plot()
        >>> [ax.get_title() for ax in axes]
        ['a', 'b']
        >>> plt.close()
        """
        from .pictures import plot_some

        chosen = list(self)[:MOST_PANELS] if ids is None else list(ids)
        return plot_some({curve: self[curve] for curve in chosen}, deriv, alpha, ax)

    def plot_fan(self, deriv: int = 0, ax: Axes | None = None, levels: Sequence[float] = (0.5, 0.8, 0.95)) -> Axes:
        """Draw the population of curves: at each x, the median and central ranges of the posterior means of f^(deriv).

        A range contains the given fraction of the curves that were observed on both sides of x, at most a thousand of them, evenly
        chosen. It shows how curves differ, not how well each is known.

        Parameters
        ----------
        deriv : int
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        levels : sequence of float
            Fractions between 0 and 1.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"id": np.repeat(["a", "b", "c"], 15), "t": np.tile(np.linspace(0, 6, 15), 3)})
        >>> df["y"] = np.sin(df["t"]) + (df["id"] == "b")
        >>> ax = sf.fit_curves(df, by="id", x="t", readings={"y": 0}, sd={"y": 0.01}).plot_fan()
        >>> ax.get_xlabel()
        't'
        >>> plt.close()
        """
        from ..results.plotting import x_label
        from .pictures import plot_fan

        if not len(self):
            raise DataError("no curve was fitted; see failures")
        observations, fractions = self._curves.observations, [1 - check_level(1 - level) for level in levels]
        abscissa, fitted = observations.abscissa, sorted(self._fitted.rows)
        chosen = np.unique(np.linspace(0, len(fitted) - 1, min(len(fitted), MOST_OF_FAN)).astype(int))
        x = observations.places
        grid = np.linspace(x.min(), x.max(), FAN_POINTS)
        means = self._means_within([fitted[place] for place in chosen.tolist()], grid, deriv)
        seen = np.isfinite(means).any(axis=0)
        ax = plot_fan(grid[seen], means[:, seen], fractions, abscissa, ax)
        ax.set(xlabel=x_label(abscissa, observations.x_name), ylabel=derivative_label(deriv))
        return ax

    def _means_within(self, curves: Sequence[int], grid: FloatArray, deriv: int) -> FloatArray:
        """Posterior means (S, g) of f^(deriv) of curves (places), NaN beyond the observations of each."""
        means, single, found = np.full((len(curves), len(grid)), np.nan), list(curves), self._fitted.side_by_side
        some = np.empty(0, dtype=np.int64) if found is None else np.flatnonzero(np.isin(found.batch.curves, curves))
        if found is not None and len(some):
            batch = found.batch.chosen(some)
            first, last = (batch.x[ends, None] for ends in (batch.start[:-1], batch.start[1:] - 1))
            values = self._moments(batch, found.q[some], found.sigma2[some], grid, deriv)[0]
            means[np.isin(curves, batch.curves)] = np.where((grid >= first) & (grid <= last), values, np.nan)
            single = [curve for curve in curves if curve not in set(batch.curves.tolist())]
        for curve in single:
            results = self._fitted.results(curve)
            mine = results.observations.places
            inside = (grid >= mine.min()) & (grid <= mine.max())
            means[curves.index(curve), inside] = results.predict(results.observations.abscissa.restore(grid[inside]), deriv)
        return means

    def collect(self, what: Callable[[SmoothingSplineResults], pd.DataFrame]) -> pd.DataFrame:
        """Ask every fitted curve and put the frames under each other, with a column for the id.

        Parameters
        ----------
        what : callable
            From the results of one curve to a data frame, for example ``lambda res: res.extrema(deriv=1)``.

        Examples
        --------
        >>> import numpy as np, pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"id": np.repeat(["a", "b"], 15), "t": np.tile(np.linspace(0, 4, 15), 2)})
        >>> df["y"] = np.sin(df["t"]) + (df["id"] == "b")
        >>> fits = sf.fit_curves(df, by="id", x="t", readings={"y": 0}, order=3, sd={"y": 0.01})
        >>> print(fits.collect(lambda res: res.extrema())[["id", "x", "value"]].round(2))  # of a sine: pi / 2
          id     x  value
        0  a  1.57    1.0
        1  b  1.57    2.0
        """
        import pandas as pd

        frames = []
        for curve in sorted(self._fitted.rows):
            own = nw.from_native(what(self._fitted.results(curve)), eager_only=True)
            labels = [nw.lit(label).alias(name) for name, label in self._curves.labels(curve).items()]
            frames.append(own.select(*labels, nw.all()))
        found = [own for own in frames if len(own)] or frames[:1]
        if not found:
            return pd.DataFrame()
        whole: Any = nw.concat(found).to_native()
        frame: pd.DataFrame = whole.reset_index(drop=True) if isinstance(whole, pd.DataFrame) else whole
        return frame

    def _repr_html_(self) -> str:
        return html_of(repr(self), self.params)

    def __repr__(self) -> str:
        failed = f", {len(self._fitted.reasons)} failed" if self._fitted.reasons else ""
        model = f"order={self.order}" if self.prior is None else f"prior={self.prior!r}"
        return f"CurveFits({model}) of {len(self._fitted.rows)} curves{failed}"
