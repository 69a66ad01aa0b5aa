"""What observations along one variable are given as, checked: x or limits of intervals, noise, and what differs from the curve."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._frames import RowLabels
from .._validation import FloatArray, Zone, first_index, frozen, to_nanoseconds, to_vector
from ..errors import DataError, SpecificationError
from .abscissa import as_numbers, check_unit, earlier, lag_range
from .readings import check_growth, check_known, check_name, check_noise
from .series import Readings

BEYOND_ONE = {  # what observations of one variable have, and what to do about it for points and boxes
    "resolution": ": if sd= is given and the steps h are small beside it, pass sd = sqrt(sd^2 + h^2 / 12)",
    "bias": ", and subtract it from y",
    "scale": ", and divide y and sd by it",
    "lag": "; subtract it from the points",
    "noise_growth": ", and pass weights=",
    "response_time": "",
}


class Places(NamedTuple):
    """Where n observations are along one variable: x, or limits of intervals, both (n,); label, unit and zone."""

    x: npt.NDArray[Any]
    upper: npt.NDArray[Any] | None
    label: str | None
    unit: str | None
    zone: Zone

    @property
    def named(self) -> tuple[str, str | None]:
        """The name of x, and the column that it came from."""
        return self.label or "x", self.label

    @property
    def are_times(self) -> bool:
        return self.x.dtype.kind in "Mm"


def places_of(x: Any, n: int, unit: str | None) -> Places:
    """Check x for n observations."""
    abscissae, label, zone = _abscissae(x, "x", n, unit)
    return Places(abscissae, None, label, unit, zone)


def intervals_of(lower: Any, upper: Any, n: int, unit: str | None, kind: str) -> Places:
    """Check limits of intervals for n observations."""
    start, label, zone = _abscissae(lower, "lower", n, unit)
    end, _, end_zone = _abscissae(upper, "upper", n, unit)
    kinds = {array.dtype.kind if array.dtype.kind in "Mm" else "number" for array in (start, end)}
    if len(kinds) > 1 or (None not in (zone, end_zone) and bool(zone) != bool(end_zone)):
        raise DataError("lower and upper are of different kinds; pass numbers, or times with or without a zone, for both")
    bad = ~(start < end)
    if bad.any():
        i = first_index(bad)
        raise DataError(f"lower[{i}] = {start[i]} is not below upper[{i}] = {end[i]}; swap the limits, or drop an empty {kind}")
    return Places(start, end, label, unit, end_zone if zone is None else zone)


def refuse_beyond_one(what: str, unit: str | None, **given: Any) -> None:
    """Refuse what only observations of one variable have."""
    if unit is not None:
        raise SpecificationError(f"unit is {unit!r}, but points hold numbers; units of time are for datetime x in one dimension")
    for name, value in given.items():
        if value is not None:
            raise SpecificationError(f"{name} is for observations of one variable; leave it out for {what}{BEYOND_ONE[name]}")


def _abscissae(x: Any, argument: str, n: int, unit: str | None) -> tuple[npt.NDArray[Any], str | None, Zone]:
    """Check x for n observations: values in the type of `Readings.x`, the name of the series, whether they have a zone."""
    abscissae, label, zone = to_vector(x, argument)
    if n != len(abscissae):
        raise DataError(f"y has {n} observations and {argument} has {len(abscissae)} values; pass one x for each observation")
    if n == 0:
        raise DataError(f"{argument} and y are empty; pass at least one observation")
    if abscissae.dtype.kind in "Mm":
        bad = np.isnat(abscissae)
        if bad.any():
            raise DataError(f"{argument}[{first_index(bad)}] is missing (NaT); drop the row")
        abscissae = to_nanoseconds(abscissae, argument)
    elif unit is not None:
        raise SpecificationError(f"unit is {unit!r}, but {argument} holds numbers; units of time are for datetime x")
    else:
        abscissae = as_numbers(abscissae, argument, "every observation needs an x: drop the row")
    if unit is not None:
        check_unit(unit)
    return abscissae, label, zone


def readings_of(
    name: str,
    deriv: int,
    places: Places,
    values: FloatArray,
    rows: RowLabels | None,
    *,
    sd: Any,
    weights: Any,
    resolution: Any,
    bias: Any,
    scale: Any,
    lag: Any,
    noise_growth: Any,
) -> Readings:
    """Check options that all kinds of observations have, and leave out the missing ones."""
    offset, has_bias = check_known(bias, "bias", 0.0)
    factor, has_scale = check_known(scale, "scale", 1.0)
    x, upper = places.x, places.upper
    limits = None if isinstance(lag, str) or np.ndim(lag) == 0 else lag_range(x, lag)
    has_lag = isinstance(lag, str) or limits is not None
    if isinstance(lag, str):
        check_known(lag, "lag", 0.0)
    elif lag is not None and not has_lag:
        x, upper = earlier(x, lag), None if upper is None else earlier(upper, lag)
    noise = check_noise(values - offset, sd, weights, resolution=resolution).divided(factor)
    check_name(name)
    if name == "q":
        raise SpecificationError("name is 'q', which denotes the intensity of the prior; choose another")
    return Readings(
        name=name,
        deriv=deriv,
        x=frozen(x[noise.kept].copy()),
        y=noise.y,
        sd=noise.sd,
        weights=noise.weights,
        n_dropped=noise.n_dropped,
        kept=frozen(noise.kept) if noise.n_dropped else None,
        unit=places.unit,
        zone=places.zone,
        upper=None if upper is None else frozen(upper[noise.kept].copy()),
        resolution=noise.resolution,
        rows=None if rows is None else rows.only(noise.kept),
        has_bias=has_bias,
        has_scale=has_scale,
        has_lag=has_lag,
        lag_limits=limits,
        noise_growth=check_growth(noise_growth),
    )
