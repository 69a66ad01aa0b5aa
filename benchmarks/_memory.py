"""Peak memory of a piece of work."""

from __future__ import annotations

import mmap
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None


@contextmanager
def traced() -> Iterator[list[float]]:
    """Greatest memory that tracemalloc sees, in bytes."""
    peak: list[float] = []
    tracemalloc.start()
    yield peak
    peak.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()


@contextmanager
def resident() -> Iterator[list[float]]:
    """Greatest resident set of the process, less the resident set at the start.

    The greatest resident set is inherited from the process that started this one: unless it grows, it says nothing.
    """
    peak: list[float] = []
    highest, now = _highest_resident(), _resident_now()
    yield peak
    after = _highest_resident()
    peak.append(after - now if after > highest else np.nan)


def _highest_resident() -> float:
    if resource is None:
        return np.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _resident_now() -> float:
    try:
        pages = float(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _highest_resident()
    return pages * mmap.PAGESIZE
