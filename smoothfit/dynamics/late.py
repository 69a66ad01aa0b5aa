"""Functions of the files on top, which these register when the package is imported: results reach them from below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LATE: dict[str, Callable[..., Any]] = {}
