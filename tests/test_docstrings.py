"""Every public class, function and method is described, and has an example."""

import importlib
import inspect
import re
from functools import cached_property

import pytest

from smoothfit import calculus

PACKAGES = (
    "",
    ".basis",
    ".calculus",
    ".dynamics",
    ".gp",
    ".observations",
    ".regression",
    ".results",
    ".sklearn",
    ".statespace",
    ".markov.priors",
)
SHORTEST = 28  # characters of a docstring that describes something


def documented(package):
    """Names of public functions and classes, and of the methods of these."""
    module = importlib.import_module(f"smoothfit{package}")
    for name in module.__all__:
        given = getattr(module, name)
        if callable(given) and given.__module__.startswith("smoothfit"):
            yield name
            if inspect.isclass(given):
                methods = inspect.getmembers(given, inspect.isfunction)
                own = [key for key, method in methods if method.__module__.startswith("smoothfit")]
                yield from (f"{name}.{key}" for key in own if not key.startswith("_"))


def versions(package, name):
    """Docstrings of an object, or of a method and of those that it overrides, whose own it may have."""
    outer, *inner = name.split(".")
    owner = getattr(importlib.import_module(f"smoothfit{package}"), outer)
    found = [vars(kind).get(inner[0]) for kind in owner.mro()] if inner else [owner]
    return [one.__doc__ or "" for one in found if one is not None]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_have_an_example(package):
    mine = list(documented(package))
    assert mine
    assert [name for name in mine if not any(">>>" in text for text in versions(package, name))] == []


def described(package):
    """Names of public functions and classes, and of all public members of these."""
    module = importlib.import_module(f"smoothfit{package}")
    for name in module.__all__:
        given = getattr(module, name)
        if callable(given) and given.__module__.startswith("smoothfit"):
            yield name
            members = inspect.classify_class_attrs(given) if inspect.isclass(given) else []
            for member in members:
                own = member.defining_class.__module__.startswith("smoothfit")
                is_made = member.kind != "data" or isinstance(member.object, cached_property)
                if own and is_made and not member.name.startswith("_"):
                    yield f"{name}.{member.name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_say_something(package):
    assert [name for name in described(package) if max(map(len, versions(package, name))) < SHORTEST] == []


def test_calculus_states_its_sources():
    texts = {name: getattr(calculus, name).__doc__ for name in calculus.__all__ if callable(getattr(calculus, name))}
    assert [name for name, text in texts.items() if not re.search(r"\b(1[89]|20)\d\d\b", text)] == []
