"""Forecasts of new observations beyond the last one, in which noise processes go on."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._validation import check_order
from ..errors import DataError, SpecificationError
from ..observations import Observations
from ..observations.abscissa import Asked, Points, join
from .estimates import Estimated

if TYPE_CHECKING:
    import pandas as pd

MOST_STEPS = 10**6
UNEVEN, MOST_UNEVEN = 1e-6, 1e-2  # of a step: what rounding makes of even ones, of x far from zero at most
SHORTEST_MONTH = 28  # days: later ones are not in every month
DAY, WEEK = np.timedelta64(1, "D"), np.timedelta64(7, "D")


@entry_point
class Forecasting(Estimated):
    """What is expected after the last observation."""

    def forecast(self, x: Any, name: str | None = None, *, regressors: Any = None, alpha: float = 0.05) -> pd.DataFrame:
        """Forecasts of new observations after the last one.

        Parameters
        ----------
        x : int, array_like, or data frame
            A number of steps, if the x of the observations have a common step or are dates with a frequency that pandas finds, such
            as months, also if some of the months, days or business days are missing; or x after the last one. A data frame brings
            x and the regressors, by name.
        name : str, optional
            Series that is forecast; by default the first, if possible one that observes f itself, without a bias.
        regressors : mapping from str to array_like, shape (n,), or data frame, optional
            Values of the regressors at these x, on which the observations depend.
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            By x: ``mean`` and ``mean_se`` of what the series observes but for its independent noise, with intervals, and
            ``obs_ci_lower`` and ``obs_ci_upper`` of new observations. It is `get_prediction`, but for a noise process: here it goes
            on from its last values, there it is that of another run.

        Raises
        ------
        DataError
            An x is not after the last observation, or the observations have no common step.
        SpecificationError
            Values of the regressors are missing.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.arange(40.0)
        >>> y = np.tile([0.0, 1.0, 0.0, -1.0], 10) + 0.02 * np.random.default_rng(0).standard_normal(40)
        >>> prior = sf.priors.IntegratedWiener(1) + sf.priors.Seasonal(4, q=0)
        >>> sf.SmoothingSpline(sf.observe(x, y), prior=prior).fit().forecast(4)["mean"].round(1).to_dict()
        {40.0: 0.0, 41.0: 1.0, 42.0: 0.0, 43.0: -1.0}
        """
        observations, posterior = self.observations, self.fitted.posterior
        values = [reading for reading in observations.readings if reading.upper is None]
        if name is None and values:
            name = min(values, key=lambda reading: (reading.deriv != 0, bool(reading.estimates))).name
        elif name is not None and observations[name].upper is not None:
            raise SpecificationError(
                f"name is {name!r}, which observes {observations[name].label}; forecasts are of values: integrate() and "
                "difference() take limits after the last observation"
            )
        deriv = 0 if name is None else observations[name].deriv
        asked = observations.abscissa.asked(ahead(observations, x) if isinstance(x, (int, np.integer)) else x)
        numbers, last = observations.abscissa.to_numbers(asked.array.ravel()), float(observations.places.max())
        if (numbers <= last).any():
            i, label = int(np.argmax(numbers <= last)), observations.abscissa.label_of_number
            raise DataError(
                f"x[{i}] is {label(numbers[i])}, and the last observation is at {label(last)}; forecasts are of x after it, "
                "get_prediction() is of any x"
            )
        depends = posterior.dependents(deriv, name)
        if depends and regressors is None and asked.table is None:
            raise SpecificationError(
                f"observations of {name!r} depend on {', '.join(depends)}; pass future values, regressors={{{depends[0]!r}: ...}}"
            )
        points = self._going_on(asked, deriv, regressors, name)
        prediction = self._prediction(points, asked.shown, deriv, name)
        return replace(prediction, library=asked.library or self.library).summary_frame(alpha)

    @abstractmethod
    def _going_on(self, asked: Asked, deriv: int, regressors: Any, name: str | None) -> Points:
        """Points of observations of a series whose noise process goes on from those of the fit."""


def ahead(observations: Observations, steps: Any) -> Any:
    """The next x after the last one, by the frequency of dates or the common step of the observations."""
    import pandas as pd

    count, abscissa = check_order(steps, "x", 1, MOST_STEPS), observations.abscissa
    x = np.unique(join([x for reading in observations.readings for x in reading.limits], "x"))
    if abscissa.kind == "datetime" and len(x) > 2:
        times = pd.DatetimeIndex(abscissa.shown(x))
        freq = frequency(times)
        if freq is not None:
            try:
                return pd.date_range(times[-1], periods=count + 1, freq=freq)[1:]
            except (pd.errors.OutOfBoundsDatetime, OverflowError):
                raise DataError(f"x is {count} steps, which end beyond the last date of pandas; pass fewer") from None
    gaps = np.diff(x)  # exact, of times and integers
    parts, uneven = gaps / gaps.min() if len(gaps) else np.zeros(0), UNEVEN
    if len(gaps) and x.dtype.kind == "f":
        uneven = max(uneven, min(4 * np.spacing(np.abs(x).max()) / gaps.min(), MOST_UNEVEN))
    if not len(gaps) or (np.abs(parts - np.round(parts)) > uneven).any():
        raise DataError(f"x is {count} steps, but the {len(x)} x of the observations have no common step; pass x itself")
    step = (x[-1] - x[0]) / round(float(np.round(parts).sum())) if x.dtype.kind == "f" else gaps.min()
    return abscissa.shown(x[-1] + step * np.arange(1, count + 1))


def frequency(times: pd.DatetimeIndex) -> Any:
    """What pandas infers of increasing dates, or months, days or business days of which some are missing; None if it is neither."""
    import pandas as pd

    found = pd.DatetimeIndex(times, freq="infer").freq
    if found is not None:
        return found
    clock = times.tz_localize(None)  # a day may have 23 hours
    gaps = np.diff(clock.to_numpy())
    if gaps.min() == DAY and not (gaps % DAY != 0 * DAY).any():
        is_business = (times.day_of_week < 5).all() and gaps.sum() >= WEEK
        return pd.offsets.BDay() if is_business else pd.offsets.Day()
    hour = clock - clock.normalize()
    months = int(np.gcd.reduce(np.diff(12 * clock.year + clock.month)))
    if (hour != hour[0]).any() or months == 0:
        return None
    if clock.is_month_end.all():
        return pd.offsets.MonthEnd(months)
    return pd.DateOffset(months=months) if (clock.day == clock.day[0]).all() and clock.day[0] <= SHORTEST_MONTH else None
