"""Observations of a stream whose noise has a covariance: those of one x belong together, and some of them may be missing.

Those that are there have the covariance among themselves, since the marginal law of a normal vector has the part of its covariance.
They come in one call: an observation at the x of an earlier one, whose noise would be taken for independent, is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import frozen
from ..errors import DataError
from ..markov.joint import Correlated, Joint
from ..observations import Observations
from ..observations.abscissa import Abscissa, Points

Group = dict[str, int]  # by series, the number of its observation of one x


def groups_of(names: Sequence[str], observations: Observations) -> list[tuple[Any, Group]]:
    """Observations of some series by x: the first of each at one x, then the second ones."""
    found, first = dict[tuple[Any, int], Group](), 0
    for reading in observations.readings:
        if reading.name in names:
            before = Counter[Any]()
            for i, x in enumerate(reading.x.tolist()):
                found.setdefault((x, before[x]), {})[reading.name] = first + i
                before[x] += 1
        first += len(reading)
    return [(x, group) for (x, _), group in found.items()]


def appended_of(joint: Sequence[Joint | Correlated], observations: Observations) -> list[Joint | Correlated]:
    """What has a covariance among new observations: for each set of series that are observed at one x."""
    found = []
    for part in joint:
        sets = dict[tuple[str, ...], list[list[int]]]()
        for _, group in groups_of(part.names, observations):
            names = tuple(name for name in part.names if name in group)
            if len(names) > 1:
                sets.setdefault(names, []).append([group[name] for name in names])
        found += [part.among(names, np.array(rows, np.int64)) for names, rows in sets.items()]
    return found


def with_covariance(observations: Observations, part: Joint | Correlated) -> Observations:
    """Observations of which those of some series have the noise SDs of a given covariance."""
    if isinstance(part, Correlated) or not set(part.names) & set(observations.names):
        return observations
    if not part.is_constant:
        raise DataError(
            f"{_listed(part.names)} have another covariance at each x of the fit; a stream goes on with one that is the same at "
            "all x"
        )
    sds, readings = dict(zip(part.names, np.sqrt(np.diagonal(part.covariance[0])).tolist(), strict=True)), []
    for reading in observations.readings:
        if reading.name in sds:
            sd = frozen(np.full(len(reading), sds[reading.name]))
            if reading.weights is not None or (reading.sd is not None and (reading.sd != sd).any()):
                raise DataError(f"{reading.name!r} has covariances= in the fit, which replaces sd= and weights=; leave them out")
            reading = replace(reading, sd=sd)
        readings.append(reading)
    return replace(observations, readings=tuple(readings))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))


@dataclass(eq=False)
class Appended:
    """Observations of series with covariances that were appended: by x, in groups, the number of arrival of each."""

    joint: Sequence[Joint | Correlated]
    abscissa: Abscissa
    seen: list[dict[Any, list[Group]]] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = [{} for _ in self.joint]

    def check(self, observations: Observations) -> None:
        """Refuse an observation whose partner came alone, in another call."""
        for part, seen in zip(self.joint, self.seen, strict=True):
            for x, group in groups_of(part.names, observations):
                alone = next((other for other in seen.get(x, ()) if not other.keys() & group.keys()), None)
                if alone is not None:
                    at = self.abscissa.label(np.array([x], observations[next(iter(group))].x.dtype)[0])
                    raise DataError(
                        f"{_listed(part.names)} have covariances= in the fit, and at x = {at} "
                        f"the stream has {_listed(list(alone))} alone; "
                        "append the observations of one x in one call (rollback() takes the last ones out)"
                    )

    def add(self, observations: Observations, arrival: npt.NDArray[np.int64]) -> None:
        """Take in observations, with their numbers of arrival (n,)."""
        for part, seen in zip(self.joint, self.seen, strict=True):
            for x, group in groups_of(part.names, observations):
                seen.setdefault(x, []).append({name: int(arrival[row]) for name, row in group.items()})

    def take_out(self, n: int) -> None:
        """Leave only those that arrived before number n."""
        for k, seen in enumerate(self.seen):
            left = {x: [{name: i for name, i in one.items() if i < n} for one in groups] for x, groups in seen.items()}
            self.seen[k] = {x: kept for x, groups in left.items() if (kept := [one for one in groups if one])}

    def forget(self, limit: Points) -> None:
        """Leave out those before a limit, where none is appended any more."""
        dtype = {"datetime": "datetime64[ns]", "timedelta": "timedelta64[ns]"}.get(self.abscissa.kind)
        for k, seen in enumerate(self.seen):
            is_old = self.abscissa.points(np.array(list(seen), dtype)).minus(limit) < 0
            self.seen[k] = {x: groups for (x, groups), old in zip(seen.items(), is_old.tolist(), strict=True) if not old}
