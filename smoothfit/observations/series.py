"""The observations of one series along one variable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._frames import RowLabels
from .._validation import FloatArray, Zone, frozen
from ..errors import DataError, IdentificationError, SpecificationError
from .abscissa import join
from .readings import NoisyReadings

CALIBRATED = ("scale", "lag")  # what of `estimates` is relative to another series
OF_DIFFERENCE = -2  # the order that marks observations of f(b) - f(a)


@dataclass(frozen=True, eq=False)
class Readings(NoisyReadings):
    """The observations of one series.

    Attributes
    ----------
    name : str
        What is observed; unknown standard deviations are estimated per series.
    deriv : int
        Order k of the derivative that is observed; -1 for integrals and means, -2 for differences.
    x : ndarray, shape (n,)
        x, in the user's own type (float64, int64, uint64, datetime64[ns] or timedelta64[ns]); of integrals and differences
        the lower limits.
    y : ndarray, shape (n,)
        Observations, in units of f per unit of x to the power k; means in units of f.
    sd : ndarray, shape (n,), or None
        Known standard deviations of the observations (before weighting); None: one unknown value, to be estimated.
    weights : ndarray, shape (n,), or None
        Known relative precisions.
    n_dropped : int
        How many missing (NaN) observations were left out.
    kept : ndarray of bool, shape (n + n_dropped,), or None
        Which of the given observations they are, if some were missing.
    unit : str or None
        Time unit in which derivatives with respect to a datetime x are meant.
    zone : datetime.tzinfo, str, False or None
        Time zone of datetimes (they are kept in UTC, and results are in this zone); False if they came without one, None if that
        cannot be decided, as of NumPy's.
    upper : ndarray, shape (n,), or None
        Upper limits of integrals, means and differences, of the type of x.
    mean : bool
        Whether the integrals are divided by the lengths of their intervals.
    resolution : ndarray, shape (n,), or None
        Steps to whose multiples the observations were rounded; zero for those of a merged part without.
    rows : RowLabels or None
        The rows of the series or data frame that the observations came from.
    has_bias : bool
        Whether the observations are off by an unknown constant, to be estimated with the curve.
    has_scale : bool
        Whether they are of an unknown multiple of the curve.
    has_lag : bool
        Whether they are of the curve an unknown time before x.
    lag_limits : tuple of float, or None
        Between which limits a lag is estimated, in the unit of x, or in nanoseconds.
    noise_growth : float or None
        The power of what they measure with which the noise SD grows.
    response_time : float or None
        Known response time of the instrument, in the unit of x, or in nanoseconds.
    has_response : bool
        Whether the response time is to be estimated.

    Examples
    --------
    >>> import smoothfit as sf
    >>> heights = sf.observe([0.0, 1.0, 2.0], [0.1, float("nan"), 2.2], name="height")["height"]
    >>> len(heights), heights.n_dropped, heights.x, heights.label
    (2, 1, array([0., 2.]), 'f')
    """

    name: str
    deriv: int
    x: npt.NDArray[Any]
    y: FloatArray
    sd: FloatArray | None
    weights: FloatArray | None
    n_dropped: int = 0
    kept: npt.NDArray[np.bool_] | None = None
    unit: str | None = None
    zone: Zone = None
    upper: npt.NDArray[Any] | None = None
    mean: bool = False
    resolution: FloatArray | None = None
    rows: RowLabels | None = None
    has_bias: bool = False
    has_scale: bool = False
    has_lag: bool = False
    noise_growth: float | None = None
    response_time: float | None = None
    has_response: bool = False
    lag_limits: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """What is observed: ``f``, ``f'``, ..., ``the integral of f``, ``the mean of f``, ``a difference of f``."""
        if self.upper is None:
            return derivative_label(self.deriv)
        if self.deriv == OF_DIFFERENCE:
            return "a difference of f"
        return "the mean of f" if self.mean else "the integral of f"

    @property
    def is_present(self) -> npt.NDArray[np.bool_]:
        """Which of the given observations are not missing, shape (n + n_dropped,)."""
        return np.ones(len(self), np.bool_) if self.kept is None else self.kept

    @property
    def limits(self) -> tuple[npt.NDArray[Any], ...]:
        """The x: (x,), or of integrals the lower and the upper limits."""
        return (self.x,) if self.upper is None else (self.x, self.upper)

    def take(self, index: npt.NDArray[np.int64]) -> Readings:
        """Return some of the observations.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> heights = sf.observe([0.0, 1.0, 2.0], [0.1, 0.9, 2.2], name="height")["height"]
        >>> heights.take(np.array([0, 2])).y
        array([0.1, 2.2])
        """
        fields = ("x", "y", "sd", "weights", "upper", "resolution")
        columns = {name: getattr(self, name) for name in fields}
        kept: dict[str, Any] = {name: None if own is None else frozen(own[index]) for name, own in columns.items()}
        return replace(self, n_dropped=0, kept=None, rows=None if self.rows is None else self.rows.take(index), **kept)

    def merged(self, other: Readings) -> Readings:
        """Return the observations of both, which belong to one series.

        Examples
        --------
        >>> import smoothfit as sf
        >>> first, second = (sf.observe([x], [y], name="height")["height"] for x, y in [(0.0, 0.1), (1.0, 0.9)])
        >>> first.merged(second).y
        array([0.1, 0.9])
        """
        if (self.deriv, self.mean) != (other.deriv, other.mean):
            kinds = [f"of order {reading.deriv}" if reading.upper is None else f"of {reading.label}" for reading in (self, other)]
            raise DataError(f"name {self.name!r} has observations {kinds[0]} and {kinds[1]}; give them different names")
        for what in ("bias", "scale", "lag", "response_time"):
            if (what in self.estimates) != (what in other.estimates):
                raise DataError(f"name {self.name!r} has {what}='estimate' in one part and none in the other; give both or neither")
        for what in ("noise_growth", "response_time"):
            if getattr(self, what) != getattr(other, what):
                raise DataError(f"name {self.name!r} has different {what}= in its parts; give them one, or different names")
        resolution, kept = None, None
        if self.n_dropped or other.n_dropped:
            kept = frozen(np.concatenate([self.is_present, other.is_present]))
        if self.resolution is not None or other.resolution is not None:
            steps = [np.zeros(len(part)) if part.resolution is None else part.resolution for part in (self, other)]
            resolution = frozen(np.concatenate(steps))
        return replace(
            self,
            x=frozen(join([self.x, other.x], self.name)),
            unit=self.unit or other.unit,
            zone=other.zone if self.zone is None else self.zone,
            upper=None if self.upper is None or other.upper is None else frozen(join([self.upper, other.upper], self.name)),
            resolution=resolution,
            kept=kept,
            **self._merged_noise(other),
        )


def estimated_of(readings: Sequence[Any], kind: str) -> list[str]:
    """Series of which a scale or a lag is estimated, if some other series can be the reference."""
    names = [reading.name for reading in readings if kind in reading.estimates]
    if names and len(names) == len(readings):
        raise IdentificationError(
            f"{kind}='estimate' of {', '.join(names)}: a {kind} is relative to a series without one: leave {kind}= of one series "
            "out, which is then the reference, or pass it as a number"
        )
    return names


def refuse_resolution(readings: Iterable[NoisyReadings], model: str) -> None:
    """Raise if observations were rounded, for a model that takes no `resolution`."""
    for reading in readings:
        if reading.resolution is not None:
            raise SpecificationError(
                f"{reading.name!r} has a resolution, which {model} does not support; use SmoothingSpline.fit, or leave resolution= "
                "out: where sd= is given and the steps h are small beside it, pass sd = sqrt(sd^2 + h^2 / 12)"
            )


def refuse_estimates(readings: Iterable[Any], model: str, supported: Sequence[str] = (), filters: bool = False) -> None:
    """Raise if a series has an unknown bias, scale or lag, a response time or growing noise that a model does not support.

    `filters`: whether it supports known response times, whatever else.
    """
    for reading in readings:
        if reading.is_filtered and not filters and "response_time" not in supported:
            raise SpecificationError(
                f"{reading.name!r} has response_time=, which {model} does not support; fit it by SmoothingSpline, or, if the "
                "response is fast beside the changes of the curve, pass the response time as a known lag="
            )
        if reading.noise_growth is not None:
            raise SpecificationError(
                f"{reading.name!r} has noise_growth=, which {model} does not support; fit it by SmoothingSpline, or pass the "
                "relative precisions, weights=1 / sd**2, in place of it"
            )
        for what in reading.estimates:
            if what not in supported:
                number = f"res.params['{what}.{reading.name}']"
                if what in ("lag", "response_time") and reading.x.dtype.kind in "Mm":
                    number = f"pd.Timedelta({number}, unit)"
                raise SpecificationError(
                    f"{reading.name!r} has {what}='estimate', which {model} does not support; estimate it by SmoothingSpline.fit, "
                    f"and pass it as a number, {what}={number}"
                )


def derivative_label(deriv: int) -> str:
    """``f``, ``f'``, ``f''``, ``f'''``, ``f^(4)``, ...

    Examples
    --------
    >>> from smoothfit.observations import derivative_label
    >>> derivative_label(1), derivative_label(4)
    ("f'", 'f^(4)')
    """
    return "f" + "'" * deriv if deriv < 4 else f"f^({deriv})"
