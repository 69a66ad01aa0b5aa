"""Streaming: observations that arrive one after the other, with the parameters of a fit."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import labelled
from .._validation import FloatArray, check_choice, check_level, check_order, first_index, to_vector
from ..errors import DataError, SpecificationError
from ..inference.engine import Moments
from ..inference.marginal import HyperparameterPosterior
from ..observations import OF_DIFFERENCE, Observations, Readings, derivative_label, observe
from ..observations.abscissa import Points
from ..observations.readings import HIGHEST_DERIVATIVE
from ..observations.series import refuse_resolution
from ..results.later import known
from ..results.mixtures import Laws, mixture
from ..results.prediction import PARAMETERS, CurvePrediction
from .functionals import CurveFunctionals
from .source import Kind, Source

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_LAG = 10**7
TRACK_POINTS = 300


@entry_point
class OnlineSpline(ABC):
    """A fitted curve that goes on with observations as they come; made by `SmoothingSplineResults.online`.

    Predictions are those of a fit at the parameters of the first one to all observations so far, exactly. Intervals integrate over
    the parameters: a filter runs at each node of their posterior, and the nodes are weighted again by how well they predict each
    new observation. An observation costs the same however many came before; with L nodes 1 + L times that of a single filter.
    Pickling saves all of it, and `copy` makes another one.

    Attributes
    ----------
    lag : int
        How many of the last observations can still be smoothed, joined by late ones, or rolled back.
    nobs : int
        Number of observations so far, those of the fit included.

    Notes
    -----
    The nodes stay where the fit put them. After many times the observations of the fit, the posterior is narrower than the distance
    between two nodes, and a new fit is the better choice.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> online = sf.SmoothingSpline(sf.observe(x[:10], np.sin(x[:10]), sd=0.01), order=3).fit(edf=8).online(lag=5)
    >>> online.append(x[10:], np.sin(x[10:]))
    >>> online.nobs, online.predict([5.0, 5.5]).round(2), np.sin([5.0, 5.5]).round(2)
    (15, array([-0.96, -0.71]), array([-0.96, -0.71]))
    """

    nobs: int
    _n_given: int

    def __init__(self, source: Source, lag: int):
        self.lag = check_order(lag, "lag", 1, MOST_LAG)
        self._abscissa, self._x_name = source.observations.abscissa, source.observations.x_name
        self._df, self._noise, self._kinds, self._described = source.df, source.noise, source.kinds, source.described
        self._n_fitted, self._nodes, self._noise_at_nodes = len(source.observations), source.posterior, source.noise_at_nodes

    # Observations ---------------------------------------------------------------------------------------------------------

    def append(
        self,
        x: Any,
        y: Any = None,
        name: str | None = None,
        sd: Any = None,
        weights: Any = None,
        *,
        regressors: Mapping[str, Any] | None = None,
    ) -> None:
        """Append observations; late ones may lie anywhere within the lag.

        Parameters
        ----------
        x : Observations, float or array_like
            Observations as `smoothfit.observe` makes them, of the series of the fit; or the x of observations of one series. Series
            with `covariances` are appended in one call, with one observation of each at each x; those that are missing there are
            left out.
        y : float or array_like, optional
            The observations at x; NaN is a missing observation.
        name : str, optional
            Name of the series; by default the first of the fit.
        sd, weights : float or array_like, optional
            As of `smoothfit.observe`. A series whose SD the fit estimated keeps that one. A series with a given SD has by default
            the fit's, where that was the same for all its observations.
        regressors : mapping from str to array_like, optional
            Of a fit with regressors: all of them, an entry for each observation, or a single one for all.

        Raises
        ------
        DataError
            An observation is older than the lag, belongs to a series that is not in the fit, or cannot be used as given; nothing is
            taken in.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.arange(100.0)
        >>> y = np.sin(x / 10)
        >>> online = sf.SmoothingSpline(sf.observe(x[:60], y[:60], sd=0.1)).fit().online(lag=20)
        >>> for reading in zip(x[60:], y[60:]):
        ...     online.append(*reading)
        >>> online.predict([95.0, 101.0], deriv=1).round(3)
        array([-0.099, -0.098])
        """
        if isinstance(x, Observations):
            if y is not None or name is not None or sd is not None or weights is not None:
                raise SpecificationError("x is Observations, which include y, name, sd and weights; pass them alone")
            refuse_resolution(x.readings, "a stream")
            self._append_all(x, regressors)
            return
        if y is None:
            raise SpecificationError("y is missing; pass append(x, y), or append(sf.observe(...))")
        label = next(iter(self._kinds)) if name is None else name
        kind = self._kind(label)
        if kind.deriv < 0:
            raise SpecificationError(
                f"{label!r} observes {_label_of(kind)}; pass append(sf.observe_integral(...)) or observe_difference"
            )
        if sd is None and kind.sd is not None:
            if np.isnan(kind.sd):
                raise DataError(f"sd is missing: the fit was given several for {label!r}; pass sd=")
            sd = kind.sd
        values, _, _ = to_vector(y, "y")
        if values.dtype.kind == "f" and np.isnan(values).all():
            return  # no observation
        self._append_all(observe(x, y, kind.deriv, sd, weights, label, self._abscissa.unit), regressors)

    @abstractmethod
    def _append_all(self, observations: Observations, regressors: Mapping[str, Any] | None) -> None:
        """Take in observations."""

    def _kind(self, name: str) -> Kind:
        if name not in self._kinds:
            raise DataError(f"{name!r} is not a series of the fit; its series are {', '.join(self._kinds)}")
        return self._kinds[name]

    def _checked_kind(self, reading: Readings) -> Kind:
        """What each series observes, if new observations of it are of that kind."""
        kind = self._kind(reading.name)
        if (reading.deriv, reading.mean) != (kind.deriv, kind.mean):
            raise DataError(f"{reading.name!r} observes {reading.label} here, but {_label_of(kind)} in the fit")
        if (reading.sd is None) != (kind.sd is None):
            mine = "no SD, but the fit was given one; pass sd="
            what = mine if reading.sd is None else "an SD, but the fit estimated it; leave it out"
            raise DataError(f"{reading.name!r} has {what}")
        if reading.unit != self._abscissa.unit and reading.deriv > 0 and self._abscissa.unit is not None:
            raise DataError(f"{reading.name!r} is per {reading.unit} here, but per {self._abscissa.unit} in the fit")
        return kind

    @property
    @abstractmethod
    def _limit(self) -> Points:
        """The x before which nothing can change any more, as one point."""

    def _check_age(self, points: Points, late: npt.NDArray[np.bool_], limit: Points) -> None:
        """Refuse observations from before the state that the rows start from."""
        if not late.any():
            return
        too_old = points.minus(limit) < 0
        if too_old.any():
            i = first_index(too_old)
            raise DataError(
                f"an observation at {self._x_name} = {self._label(points.coarse[i])} is older than the lag: the last {self.lag} of "
                f"{self.nobs} observations begin after {self._label(limit.coarse)}; raise lag="
            )

    def _label(self, number: Any) -> str:
        return self._abscissa.utc_label(self._abscissa.restore(np.array([float(number)]))[0])

    def rollback(self, n: int = 1) -> None:
        """Take the last `n` observations that were appended out again, in reverse order of their arrival.

        Parameters
        ----------
        n : int
            At most `lag`, and no more than were appended since the fit (or since `forget`).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> online = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().online(lag=5)
        >>> before = online.predict([6.0])
        >>> online.append([6.5, 7.0], [5.0, 5.0])
        >>> online.rollback(2)
        >>> online.nobs, bool(np.allclose(online.predict([6.0]), before))
        (15, True)
        """
        n = check_order(n, "n", 0, min(self.lag, self.nobs - self._n_given))
        if n:
            self._take_out(n)

    @abstractmethod
    def _take_out(self, n: int) -> None:
        """Take the last observations to arrive out."""

    @abstractmethod
    def forget(self) -> None:
        """Fix all observations so far: none can be smoothed, joined by earlier ones or rolled back; their information stays.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> online = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().online(lag=5)
        >>> before = online.predict([6.5])
        >>> online.forget()
        >>> bool(np.allclose(online.predict([6.5]), before))
        True
        """

    def copy(self) -> OnlineSpline:
        """Return another one in the same state.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> online = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().online(lag=5)
        >>> other = online.copy()
        >>> other.append(6.5, np.sin(6.5))
        >>> online.nobs, other.nobs
        (15, 16)
        """
        return copy.deepcopy(self)

    # The curve --------------------------------------------------------------------------------------------------------

    def predict(self, x: Any, deriv: int = 0) -> Any:
        """Posterior mean of f^(deriv) at x given all observations so far: within the lag, and beyond the last observation.

        Parameters
        ----------
        x : array_like
        deriv : int
            As of the fit.

        Returns
        -------
        ndarray, or series
            As of `CurveResults.predict`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> online = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit().online(lag=5)
        >>> online.append(6.5, np.sin(6.5))
        >>> online.predict([5.0, 5.5], deriv=1).round(1), np.cos([5.0, 5.5]).round(1)
        (array([0.3, 0.7]), array([0.3, 0.7]))
        """
        given = self._abscissa.given(x)
        return labelled(self._moments(self._abscissa.points(given.ravel()), deriv)[0].reshape(given.shape), x, "mean")

    def get_prediction(self, x: Any, deriv: int = 0, *, parameters: str = "estimated") -> CurvePrediction:
        """Posterior of f^(deriv) at x given all observations so far, with intervals.

        Parameters
        ----------
        x, deriv
            As of `predict`.
        parameters : {"estimated", "integrated"}
            Whether `predicted_mean` and `se_mean` are those at the parameters of the fit, or the mean and the standard deviation of
            the posterior in which the parameters are integrated out. Intervals integrate over the parameters in either case.

        Returns
        -------
        CurvePrediction
            A new observation has the noise of the first series that observes f^(deriv) without an unknown bias, scale or lag.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> online = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01), order=3).fit().online(lag=5)
        >>> before = online.get_prediction([6.5]).se_mean
        >>> online.append(6.5, np.sin(6.5))
        >>> bool(online.get_prediction([6.5]).se_mean[0] < before[0])
        True
        """
        check_choice(parameters, "parameters", PARAMETERS)
        asked = self._abscissa.asked(x)
        prediction = self._prediction(self._abscissa.points(asked.array.ravel()), asked.shown, deriv)
        prediction = replace(prediction, library=asked.library)
        return prediction.integrated() if parameters == PARAMETERS[1] else prediction

    @property
    def parameter_posterior(self) -> HyperparameterPosterior | None:
        """Posterior of the parameters given all observations so far, as weighted nodes; None if they are taken for known."""
        if self._nodes is None:
            return None
        log_det, sse = self._added_terms()
        return self._nodes.updated(log_det, sse, self.nobs - self._n_fitted)

    @abstractmethod
    def _added_terms(self) -> FloatArray:
        """What the observations since the fit add to log_det and sse at each node: (2, L)."""

    def smoothed(self, deriv: int = 0) -> pd.DataFrame:
        """Return mean, mean_se and intervals of f^(deriv) at the x of the last `lag` observations, given all so far.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.arange(15.0)
        >>> online = sf.SmoothingSpline(sf.observe(x, np.sin(x / 3), sd=0.01), order=3).fit().online(lag=3)
        >>> online.append(15.0, np.sin(5))
        >>> online.smoothed()["mean"].round(2).to_dict(), np.sin(np.array([13, 14, 15]) / 3).round(2)
        ({13.0: -0.93, 14.0: -1.0, 15.0: -0.96}, array([-0.93, -1.  , -0.96]))
        """
        points = self._recent()
        return self._prediction(points, self._abscissa.shown(self._abscissa.restore(points.coarse)), deriv).summary_frame()

    def plot(self, deriv: int = 0, ax: Axes | None = None, alpha: float = 0.05, **line: Any) -> Axes:
        """Draw f^(deriv) with its pointwise interval of level 1 - alpha over the last `lag` observations, given all so far.

        Parameters
        ----------
        deriv : int
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        alpha : float
        **line
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> online = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.01)).fit().online(lag=5)
        >>> ax = online.plot(deriv=1)
        >>> ax.get_xlabel()
        'x'
        >>> plt.close()
        """
        from ..results.plotting import x_label
        from .pictures import plot_track

        recent = self._recent().coarse
        if not len(recent):
            raise DataError("no observation lies within the lag; append some, or use get_prediction")
        numbers = np.unique(np.concatenate([recent, np.linspace(recent[0], recent[-1], TRACK_POINTS)]))
        prediction = self.get_prediction(self._abscissa.restore(numbers), deriv)
        ax = plot_track(prediction, derivative_label(deriv), numbers, self._abscissa, ax, check_level(alpha), line)
        ax.set_xlabel(x_label(self._abscissa, self._x_name))
        return ax

    @abstractmethod
    def _recent(self) -> Points:
        """Distinct x of the last observations, increasing."""

    @abstractmethod
    def moments(self, functionals: CurveFunctionals) -> Moments:
        """Return posterior means and variances (1, n) of functionals at the parameters of the fit, given all observations so far.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> from smoothfit.statespace.functionals import CurveFunctionals
        >>> x = np.arange(10.0)
        >>> obs = sf.observe(x, np.sin(x / 3), sd=0.1)
        >>> stream = sf.SmoothingSpline(obs).fit().online(lag=9)
        >>> points = obs.abscissa.points(np.array([4.0]))
        >>> moments = stream.moments(CurveFunctionals(points, (0,)))
        >>> bool(np.isclose(moments.mean[0, 0], stream.predict(4.0)))
        True
        """

    @abstractmethod
    def _moments_at_nodes(self, functionals: CurveFunctionals) -> Moments:
        """The same at each node (L, n)."""

    def _moments(self, points: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and variance of f^(deriv) at points (n,)."""
        if not len(points.coarse):
            return np.empty(0), np.empty(0)
        mean, variance = self.moments(CurveFunctionals(points, (check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE),)))
        return mean[0], variance[0]

    def _prediction(self, points: Points, given: npt.NDArray[Any], deriv: int) -> CurvePrediction:
        mean, variance = self._moments(points, deriv)
        name = next((name for name, kind in self._kinds.items() if kind.deriv == deriv and not kind.differs), None)
        noise = np.nan if name is None else self._noise[name]
        laws = known(self._laws(points, int(deriv), name))  # now: observations that come later change the nodes' weights
        return CurvePrediction(given, int(deriv), mean, variance, noise, self._df, self._x_name, laws=laws)

    def _laws(self, points: Points, deriv: int, name: str | None) -> Laws:
        """Laws of f^(deriv) and of new observations of a series, parameters integrated out; None if none is."""
        posterior = self.parameter_posterior if len(points.coarse) else None
        if posterior is None:
            return None, None
        law = mixture(posterior, self._moments_at_nodes(CurveFunctionals(points, (deriv,))))
        return law, None if name is None else law.with_noise(posterior.scale2 * self._noise_at_nodes[name] ** 2)

    @property
    @abstractmethod
    def _last(self) -> float:
        """The last x, as a number."""

    def __repr__(self) -> str:
        return f"OnlineSpline({self._described}, lag={self.lag}, nobs={self.nobs}, x up to {self._label(self._last)})"


def _label_of(kind: Kind) -> str:
    """What is observed, in words."""
    if kind.deriv >= 0:
        return derivative_label(kind.deriv)
    return "differences of f" if kind.deriv == OF_DIFFERENCE else "means of f" if kind.mean else "integrals of f"
