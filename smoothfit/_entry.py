"""How public functions are entered: one treatment of floating-point errors, failed allocations, and where warnings point.

Underflow is ordinary in densities and weights, and a caller's ``np.errstate(all="raise")`` must not change a fit.
"""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from .errors import NumericalError, ResourceError, SmoothfitError, SpecificationError

Target = TypeVar("Target", bound=Callable[..., Any])
RAISING: dict[str, Any] = {"divide": "raise", "over": "raise", "under": "ignore", "invalid": "raise"}
SILENT: dict[str, Any] = dict.fromkeys(RAISING, "ignore")
OWN_FRAMES = (str(Path(__file__).parent), functools.__file__)  # of the package, or between two of its frames
OUTSIDE: ContextVar[dict[str, Any] | None] = ContextVar("OUTSIDE", default=None)  # the caller's error state; None: not entered
OPERATORS = {"__init__", "__call__", "__add__", "__sub__", "__mul__", "__getitem__", "__iter__", "__repr__"}


def entry_point(target: Target) -> Target:
    """Let a public function, or each public method and property that a class defines, run in an error state of our own.

    Underflow is no error. A computation that overflows or divides by zero unforeseen is NumericalError, not a warning and NaN; a
    failed allocation is ResourceError.
    """
    return cast(Target, _of_class(target) if isinstance(target, type) else _of_function(target))


def quiet(function: Target) -> Target:
    """Let a public function run without floating-point errors and warnings, whatever the caller's `numpy.errstate` is.

    Underflow to zero and overflow to infinity are steps of many right computations of bases and of calculus; a result that is not
    finite is checked by itself. What functions of the caller raise stays theirs; a failed allocation is ResourceError.
    """
    return cast(Target, _of_function(function, is_quiet=True))


def _of_function(function: Callable[..., Any], is_quiet: bool = False) -> Callable[..., Any]:
    state = SILENT if is_quiet else RAISING
    name = re.sub(r"\._(?!_)", ".", function.__qualname__.removesuffix(".__init__"))

    @functools.wraps(function)
    def entered(*args: Any, **kwargs: Any) -> Any:
        token = OUTSIDE.set(cast(Any, np.geterr())) if OUTSIDE.get() is None and not is_quiet else None
        try:
            with np.errstate(**state):
                return function(*args, **kwargs)
        except SmoothfitError:
            raise
        except RecursionError as error:
            if is_quiet:
                raise
            raise SpecificationError(
                f"{name} has an argument that is nested too deeply; pass fewer terms, or simpler ones"
            ) from error
        except MemoryError as error:
            raise ResourceError(f"{name} ran out of memory ({error}); pass fewer observations, points or draws") from error
        except (FloatingPointError, OverflowError, np.linalg.LinAlgError) as error:
            if is_quiet:
                raise
            raise NumericalError(
                f"{name} left the range of floating-point numbers ({error}): x, y, sd or weights are far from one, or out of "
                "proportion to each other; pass them in other units"
            ) from error
        finally:
            if token is not None:
                OUTSIDE.reset(token)

    return entered


def _of_class(cls: type) -> type:
    for name, value in list(vars(cls).items()):
        if name.startswith("_") and name not in OPERATORS:
            continue
        if isinstance(value, functools.cached_property):
            value.func = _of_function(value.func)
        elif isinstance(value, property) and value.fget is not None:
            setattr(cls, name, property(_of_function(value.fget), value.fset, value.fdel, value.__doc__))
        elif isinstance(value, classmethod | staticmethod):
            setattr(cls, name, type(value)(_of_function(value.__func__)))
        elif callable(value) and not isinstance(value, type):
            setattr(cls, name, _of_function(value))
    return cls


@contextmanager
def outside() -> Iterator[None]:
    """The error state of the caller of the package, for functions that the caller passed."""
    state = OUTSIDE.get()
    token = OUTSIDE.set(None)
    try:
        with np.errstate(**(state or {})):
            yield
    finally:
        OUTSIDE.reset(token)


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning that points at the line that called the package."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(OWN_FRAMES):
        level, frame = level + 1, cast(Any, frame.f_back)
    warnings.warn(message, category, stacklevel=level)
