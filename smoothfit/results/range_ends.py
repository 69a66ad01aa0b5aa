"""Scales, lags and response times of series that are estimated at an end of the range in which they are looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .._entry import warn
from ..errors import MisfitWarning
from .misfit import Misfit

MAY_BE_NONE = "response_time"  # at its lower end, which contradicts nothing
REMEDIES = {
    "scale": "a scale is positive: turn the sign of {name!r} if it falls where the others rise, else pass scale= as a number, or "
    "leave the series out",
    "lag": "pass wider limits, lag=(low, high), and in a spline regression wider knots, or lag= as a number",
    "response_time": "{name!r} hardly follows the curve: pass response_time= as a number, or leave the series out",
}


class RangeEnd(NamedTuple):
    """An estimate at an end of its range: whether it is the lower one, and the estimate, in the user's unit."""

    is_lower: bool
    estimate: float


def warn_of_ends(ends: Mapping[str, RangeEnd], misfits: Sequence[Misfit]) -> None:
    """Name each parameter, such as ``"scale.b"``, that is at an end of its range; but for what `misfits` name already."""
    named = {(one.series, one.kind) for one in misfits}
    for label, end in ends.items():
        kind, _, name = label.partition(".")
        if kind not in REMEDIES or (name, kind) in named or (kind == MAY_BE_NONE and end.is_lower):
            continue
        warn(
            f"{label} is estimated at the {'lower' if end.is_lower else 'upper'} end of the range that is searched, "
            f"{end.estimate:.4g}: {REMEDIES[kind].format(name=name)}",
            MisfitWarning,
        )
