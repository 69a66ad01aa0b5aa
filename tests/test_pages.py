"""Pages print and draw what they show (`docs/printed.py` renews it), the page of errors is whole, README's links are absolute."""

import importlib.util
import re
from pathlib import Path

import pytest

from smoothfit import errors

NUMBER = re.compile(r"-?\d+(?:\.(\d*))?(?:e([+-]?\d+))?")


def load():
    spec = importlib.util.spec_from_file_location("printed", Path(__file__).parents[1] / "docs" / "printed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PRINTED = load()


def test_the_readme_has_links_that_a_package_index_follows():
    links = re.findall(r"\]\(([^)]+)\)", (PRINTED.DOCS.parent / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not link.startswith("https://")] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PRINTED.pages(), ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_pages_print_what_they_show(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # pages write files
    for printed in PRINTED.run(page):
        code = printed.block["code"]
        if printed.figure:
            assert (page.parent / printed.block["picture"]).is_file()
            assert printed.figure.axes, code
        assert NUMBER.sub("#", printed.found).split() == NUMBER.sub("#", printed.expected).split(), code
        for found, expected in zip(NUMBER.finditer(printed.found), NUMBER.finditer(printed.expected), strict=True):
            # an optimum is known to 1e-5 of its standard errors, which may move the last digit
            tolerance = max(1.01 * last_digit(expected), 1e-3 * abs(float(expected[0])))
            assert abs(float(found[0]) - float(expected[0])) <= tolerance, code


def last_digit(number):
    """The unit of the last digit that is printed."""
    return 10.0 ** (int(number[2] or 0) - len(number[1] or ""))


def test_the_page_of_errors_has_every_class():
    """Each of `smoothfit.errors` has a heading, a cause and a remedy, unless it is a base."""
    classes = {name for name, made in vars(errors).items() if isinstance(made, type)}
    sections = re.split(
        r"^### `(\w+)`\n", (PRINTED.DOCS / "reference" / "errors.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert found.keys() == classes
    bases = {"SmoothfitError", "SmoothfitWarning"}
    assert all("*Cause.*" in text and "*Remedy.*" in text for name, text in found.items() if name not in bases)
