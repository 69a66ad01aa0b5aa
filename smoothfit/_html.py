"""How objects look in notebooks: a line and a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

MOST_ROWS = 10  # of a table; the first and the last are shown


def html_of(title: str, frame: Any, notes: Sequence[str] = ()) -> str:
    """A title, a data frame of any library, and notes below it."""
    if hasattr(frame, "to_html"):
        table = frame.to_html(max_rows=MOST_ROWS, float_format="{:.5g}".format, show_dimensions=False, border=0)
    elif hasattr(frame, "_repr_html_"):
        table = frame._repr_html_()
    else:
        table = f"<pre>{escape(str(frame))}</pre>"
    return "\n".join([f"<p>{escape(title)}</p>", table, *(f"<p>{escape(note)}</p>" for note in notes)])
