"""Every public class, function and method has an example, but for hooks that only the package itself calls."""

import importlib
import inspect

import pytest

PRIORS = ".markov.priors"  # whose methods are hooks
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
    PRIORS,
)
HOOKS = {
    *("at", "equalities", "facts_of_model", "integral", "interval", "label", "labelled", "limits", "links", "moments", "moving"),
    *("orders", "part_of_curve", "parts_of_curve", "parts_of_observations", "polynomials", "prediction_of_part", "radial"),
    *("read_by", "refuse_estimates", "refuse_resolution", "rows_within", "scan", "values", "values_without", "variance_ratio_in"),
    "whitening",
}
REFUSED = {"EstimatesOnly.plot_diagnostics"}


def documented(package):
    """Names of public functions and classes, and of the methods of these, with the objects."""
    module = importlib.import_module(f"smoothfit{package}")
    for name in module.__all__:
        given = getattr(module, name)
        if callable(given):
            yield name, given
        if inspect.isclass(given) and package != PRIORS:
            methods = inspect.getmembers(given, inspect.isfunction)
            yield from ((f"{name}.{key}", method) for key, method in methods if not key.startswith("_"))


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings_have_an_example(package):
    mine = {name: each for name, each in documented(package) if each.__module__.startswith("smoothfit")}
    assert mine
    without = {name for name, each in mine.items() if ">>>" not in (each.__doc__ or "")}
    assert {name for name in without - REFUSED if name.rsplit(".", 1)[-1] not in HOOKS} == set()
