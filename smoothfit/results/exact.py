"""Series without noise beside others: stuck sensors, and SDs that are estimated as zero."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from .._entry import warn
from .._validation import FloatArray
from ..errors import ExactSeriesWarning
from ..observations.readings import NamedReadings

SMALLEST_SD = 1e-8  # of the spread of a series' observations; below, an SD counts as zero
STUCK = 8  # units of rounding that observations may differ by and still be equal


def is_stuck(y: FloatArray) -> bool:
    """Whether several observations are all equal, to rounding."""
    return len(y) > 1 and bool(np.ptp(y) <= STUCK * np.finfo(np.float64).eps * np.abs(y).max())


def warn_of_exact_series(observations: NamedReadings[Any], boundary: Collection[str]) -> None:
    """Name series of unknown noise SD, beside others, that never change or whose SD is in `boundary`, those estimated as zero."""
    if len(observations.readings) < 2:
        return
    for reading in observations.readings:
        if reading.sd is not None or reading.resolution is not None:  # rounding alone is noise enough
            continue
        is_zero = reading.name in boundary
        believed = (
            "its SD is estimated as zero, so that the curve passes through all of them"
            if is_zero
            else "the fit attributes them to noise about the curve of the other series"
        )
        if is_stuck(reading.y):
            warn(
                f"all {len(reading)} observations of {reading.name!r} are equal, as of a stuck sensor: {believed}; leave the "
                "series out, or give its sd=",
                ExactSeriesWarning,
            )
        elif is_zero:
            warn(
                f"the SD of {reading.name!r} is estimated as zero: the curve passes through all its {len(reading)} observations, "
                "and standard errors there are of a known curve; if the series contradict each other, leave one out; else give sd=",
                ExactSeriesWarning,
            )
