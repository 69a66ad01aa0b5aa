"""Observations that lie far from zero beside what they vary by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..errors import ConvergenceError
from .series import Readings

FAR = 1e5  # SDs of a series from zero: rounding is 1e-11 of an SD, and steps of 1e-4 in log s move y / s by ten SDs


@contextmanager
def far_levels_named(readings: Iterable[Readings]) -> Iterator[None]:
    """Add the way out to a search that does not converge, if a series with an unknown scale lies far from zero."""
    try:
        yield
    except ConvergenceError as error:
        far = next((r for r in readings if r.has_scale and abs(r.y.mean()) > FAR * r.y.std() > 0), None)
        if far is None:
            raise
        raise ConvergenceError(
            f"{error}. {far.name!r} has scale='estimate', and its observations are about {far.y.mean():.4g} with an SD of "
            f"{far.y.std():.2g}: subtract from the values of each series their mean, so that rounding does not hide the scale"
            + ("; biases alone change" if far.has_bias else ", and pass bias='estimate' beside it, which these means change"),
            error.value,
        ) from error
