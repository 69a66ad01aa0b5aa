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


def has_example(package, name):
    """Whether an object, or a method of which it is a version, has an example."""
    outer, *inner = name.split(".")
    owner = getattr(importlib.import_module(f"smoothfit{package}"), outer)
    versions = [vars(kind).get(inner[0]) for kind in owner.mro()] if inner else [owner]
    return any(">>>" in (version.__doc__ or "") for version in versions if version is not None)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_have_an_example(package):
    mine = list(documented(package))
    assert mine
    assert [name for name in mine if not has_example(package, name)] == []


def described(package):
    """Names and docstrings of public functions and classes, and of all public members of these."""
    module = importlib.import_module(f"smoothfit{package}")
    for name in module.__all__:
        given = getattr(module, name)
        if callable(given) and given.__module__.startswith("smoothfit"):
            yield name, given.__doc__
            members = inspect.classify_class_attrs(given) if inspect.isclass(given) else []
            for member in members:
                own = member.defining_class.__module__.startswith("smoothfit")
                is_made = member.kind != "data" or isinstance(member.object, cached_property)
                if own and is_made and not member.name.startswith("_"):
                    yield f"{name}.{member.name}", member.object.__doc__


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_say_something(package):
    assert [name for name, text in described(package) if len(text or "") < SHORTEST] == []


def test_calculus_states_its_sources():
    texts = {name: getattr(calculus, name).__doc__ for name in calculus.__all__ if callable(getattr(calculus, name))}
    assert [name for name, text in texts.items() if not re.search(r"\b(1[89]|20)\d\d\b", text)] == []
