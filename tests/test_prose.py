"""Docstrings and messages use the field's words: those that they used to have in their place do not come back."""

import ast
import re
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[1] / "smoothfit").rglob("*.py"))
# Names, examples and lists of parameters are code.
CODE = re.compile(
    r"`+[^`]*`+|^\s*(>>>|\.\.\.).*$|^\s*[\w, ]+ : .*$|^\s*\w+(, [\w*]+)+$", re.MULTILINE
)  # names, examples, lists of parameters
WORDS = {
    r"readings?\b(?! (has|is|does|in another))": "observation",  # `readings` is an argument of from_frame
    r"(?<!greville )absciss\w*": "x, or values of x",
    r"entirely unknown": "diffuse",
    r"gross errors?": "outlier",
    r"honest": "calibrated, with a number",
    r"c[ao]me to rest": "converge",
    r"certified": "converged",
    r"at weight one": "for observations of weight 1",
    r"leaves? the numbers": "overflow",
    r"every so manieth": "every k-th",
    r"greatest": "largest",
    r"(holds?|held) the truth": "cover",
    r"noise (of|in) the readings": "measurement noise",
    r"noise (with)?in the equation": "process noise",
    r"knows?": "include, account for",
    r"tells?|told": "identify, determine, report",
    r"says?": "state, report",
    r"remembers?": "store, be autocorrelated",
}
PATTERN = re.compile("|".join(rf"\b(?:{word})\b" for word in WORDS), re.IGNORECASE)


def texts(path):
    """Docstrings and messages of a file, each with its line: strings of several words."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, CODE.sub("", node.value)


def found(text):
    return [match[0] for match in PATTERN.finditer(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drop missing readings", ["readings"]),
        ("x holds abscissae; see `abscissa`", ["abscissae"]),
        ("Greville abscissae", []),
        ("The greatest of them, at weight one", ["greatest", "at weight one"]),
        ("    readings : mapping from str to int", []),
        ("readings is empty; map at least one column", []),
    ],
)
def test_old_words_are_found(text, words):
    assert found(CODE.sub("", text)) == words


def test_docstrings_and_messages_have_the_words_of_the_field():
    old = [f"{path.name}:{line}: {word}" for path in SOURCES for line, text in texts(path) for word in found(text)]
    assert not old, "\n".join(old)
