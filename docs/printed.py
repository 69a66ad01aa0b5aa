"""Run the code of Markdown pages, and write what it prints into them: ``python docs/printed.py [pages]``.

A block that begins with ```python is run, the blocks of a page one after the other in one namespace. A block that begins with
```text right after it holds what it prints. `tests/test_pages.py` compares the two. A picture after them is
the figure that it draws.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

DOCS = Path(__file__).parent
PAGES = ("../README.md", "how-to/*.md", "compare/*.md", "reference/*.md", "start/coming-from.md", "faq.md")
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n)?(?:\n!\[[^\]]*\]\((?P<picture>pictures/[^)]+)\)\n)?",
    re.MULTILINE | re.DOTALL,
)


class Printed(NamedTuple):
    """What a block prints: on the page, and when it is run; and the figure that it draws for the page."""

    block: re.Match
    expected: str
    found: str
    figure: Figure | None


def pages():
    """The pages with such blocks."""
    paths = [path for pattern in PAGES for path in sorted(DOCS.glob(pattern))]
    return [path for path in paths if BLOCK.search(path.read_text(encoding="utf-8"))]


def run(path):
    """Run the blocks of a page in the current folder."""
    names, text = {"__name__": "__main__"}, path.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        output, lines_before = io.StringIO(), text.count("\n", 0, block.start("code"))
        with contextlib.redirect_stdout(output):
            exec(compile("\n" * lines_before + block["code"], str(path), "exec"), names)
        found = "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())
        yield Printed(block, block["printed"] or "", found, plt.gcf() if block["picture"] else None)
        plt.close("all")


def renew(path):
    """Write what the blocks print into the page."""
    text, end, parts = path.read_text(encoding="utf-8"), 0, []
    for printed in run(path):
        output = f"\n```text\n{printed.found}```\n" if printed.found else ""
        parts += [text[end : printed.block.start()], f"```python\n{printed.block['code']}```\n{output}"]
        end = printed.block.end()
        if printed.figure:
            end = text.rindex("\n![", 0, end)
            (path.parent / "pictures").mkdir(exist_ok=True)
            printed.figure.savefig(path.parent / printed.block["picture"], bbox_inches="tight", metadata={"Software": None})
    path.write_text("".join(parts) + text[end:], encoding="utf-8")


if __name__ == "__main__":
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or pages()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # pages write files
        for page in chosen:
            renew(page)
