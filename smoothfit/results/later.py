"""What is computed when it is first asked for: the integration over what is estimated costs more than most fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from .._entry import entry_point

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S")
P = ParamSpec("P")
Some = TypeVar("Some")


class Later(Generic[T_co]):
    """A value that is computed once, when it is first asked for or before it is pickled.

    Parameters
    ----------
    find : callable
        Computes it, and is then forgotten with all that it refers to. If it raises, it is called again the next time.
    """

    def __init__(self, find: Callable[[], T_co]):
        self._find: Callable[[], T_co] | None = find
        self._value: T_co

    @property
    def value(self) -> T_co:
        find = self._find
        if find is not None:
            self._value = intervals(find)
            self._find = None
        return self._value

    def then(self, function: Callable[[T_co], S]) -> Later[S]:
        """A function of the value, computed when it is first asked for."""
        return Later(lambda: function(self.value))

    def __reduce__(self) -> tuple[Any, ...]:
        return known, (self.value,)


@entry_point
def intervals(find: Callable[[], T]) -> T:
    """What is computed, in the error state of the package, in which messages name intervals."""
    return find()


def known(value: T) -> Later[T]:
    """A value that is there."""
    return Later(lambda: value)


def later(method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Later[T]:
    """What a method of results gives, also if `remove_data` leaves only their estimates before it is asked for."""
    bound = cast(Any, method)
    results = unchanged(bound.__self__)
    return Later(lambda: cast(T, bound.__func__(results, *args, **kwargs)))


def unchanged(results: Some) -> Some:
    """The same results for what is computed later, when `remove_data` may have left only the estimates of the given ones.

    What either of both computes and keeps, the other has as well.
    """
    same = cast(Any, object.__new__(type(results)))
    same.__dict__ = results.__dict__
    return cast(Some, same)
