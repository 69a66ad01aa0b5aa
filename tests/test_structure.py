"""The structure that the documentation promises: layers, lazy imports."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import smoothfit

PACKAGE = Path(smoothfit.__file__).parent
ROOT = Path(__file__).parents[1]

# A file imports from lower layers only; files of one layer that is a package may import each other.
LAYERS = [
    {"errors"},
    {"_validation", "_core", "_entry", "_frames", "_html", "_log", "_processes", "_progress"},
    {"_formulas", "observations", "basis", "calculus", "inference", "datasets"},
    {"markov"},
    {"results"},
    {"regression", "statespace", "gp"},
    {"dynamics"},
    {"sklearn", "dask"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def unit_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def nodes_of(path):
    """The syntax tree of a file, and all its nodes: several tests walk through every file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tree, list(ast.walk(tree))


def imports_of(path):
    """Names of the top-level units that a file imports, within functions too."""
    module = ["smoothfit", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in nodes_of(path)[1]:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module[: -node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                yield [*base, *name.split(".")]
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path):
    mine = unit_of(path)
    for target in imports_of(path):
        if target[0] == "smoothfit" and len(target) > 1 and target[1] != "__version__":
            theirs = target[1]
            assert theirs == mine or LEVEL[theirs] < LEVEL[mine], f"{mine} imports {theirs}"


def test_files_import_each_other_in_no_circle():
    """Imports within functions and for types count."""
    names = {
        ".".join(("smoothfit", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path for path in FILES
    }
    graph = {
        name: {found for found in (module_of(target, names) for target in imports_of_names(path)) if found not in (None, name)}
        for name, path in names.items()
    }
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(graph)  # a CycleError shows the circle


def imports_of_names(path):
    """Dotted names that a file imports from the package: modules, or what is in them."""
    module = ["smoothfit", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in nodes_of(path)[1]:
        if isinstance(node, ast.ImportFrom):
            base = [*module[: -node.level], *(node.module or "").split(".")] if node.level else (node.module or "").split(".")
            for alias in node.names:
                yield [*filter(None, base), alias.name]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")


def module_of(target, names):
    """The file that a dotted name is in: itself, or what it is a part of."""
    whole = ".".join(target)
    return whole if whole in names else ".".join(target[:-1]) if ".".join(target[:-1]) in names else None


HOMES = {  # what may be imported by which units or files
    "statsmodels": {"results", "regression", "statespace", "gp", "dynamics"},
    "clarabel": {"regression"},
    "matplotlib": {"results", "regression", "statespace", "gp", "dynamics"},
    "patsy": {"basis/formula.py", "results/contrasts.py", "dynamics/formula.py"},
    "formulaic": {"basis/formula.py"},
    "sklearn": {"sklearn"},
    "dask": {"dask.py"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_peers_are_imported_where_they_belong_only(path):
    for target in imports_of(path):
        if target[0] in HOMES:
            assert {unit_of(path), path.relative_to(PACKAGE).as_posix()} & HOMES[target[0]]


def test_importing_smoothfit_imports_nothing_heavy():
    code = "import sys, smoothfit; print(sorted({m.split('.')[0] for m in sys.modules}))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path.home()).stdout
    loaded = set(ast.literal_eval(output))
    assert "smoothfit" in loaded
    assert not loaded & {"numpy", "scipy", "pandas", "statsmodels", "matplotlib", "narwhals", "sklearn", "dask"}


def test_fitting_does_not_import_matplotlib():
    code = (
        "import sys, smoothfit as sf; sf.SmoothingSpline(sf.observe([0, 1, 2, 3.], [0, 2, 1, 2])).fit(edf=3);"
        "print('matplotlib' in sys.modules, 'statsmodels' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path.home()).stdout
    assert output.split() == ["False", "False"]


def test_public_names_exist_and_are_documented():
    for name in smoothfit.__all__:
        assert getattr(smoothfit, name).__doc__
    assert set(smoothfit.__all__) <= set(dir(smoothfit))


def test_type_checkers_and_editors_see_the_public_names():
    """`tests/public_types.py`, which mypy checks, says of which types."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    (listed,) = (node.value for node in stub.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
    assert sorted(ast.literal_eval(listed)) == smoothfit.__all__
    imported = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(dir(smoothfit))


def test_a_checkout_that_hides_the_installed_package_still_finds_the_kernels():
    from smoothfit._core import _kernels

    if "site-packages" not in _kernels.__file__:
        pytest.skip("installed in editable mode: nothing is hidden")
    code = "import smoothfit; from smoothfit._core import _kernels; print(smoothfit.__file__)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert Path(output.strip()).is_relative_to(ROOT)


MOST_LINES = {"file": 500, "function": 60}  # of files all lines; of functions those of code, without docstrings and blank lines


def code_lines(node, lines):
    """Number of the lines of a function that are neither blank nor part of a docstring."""
    documented = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [n.body[0] for n in ast.walk(node) if isinstance(n, documented) and ast.get_docstring(n, clean=False) is not None]
    left_out = {i for text in texts for i in range(text.lineno, text.end_lineno + 1)}
    return sum(bool(lines[i - 1].strip()) and i not in left_out for i in range(node.lineno, node.end_lineno + 1))


def test_functions_are_short():
    long = []
    for path in FILES:
        lines = path.read_text(encoding="utf-8").splitlines()
        functions = [node for node in nodes_of(path)[1] if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        sizes = [(path.name, node.name, code_lines(node, lines)) for node in functions]
        long += [found for found in sizes if found[-1] > MOST_LINES["function"]]
    assert not long


def test_files_are_short():
    kernels = (ROOT / "smoothfit" / "_core").glob("*.?pp")
    sizes = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in [*FILES, *kernels]}
    assert any(name.endswith(".hpp") for name in sizes)
    assert not {name: size for name, size in sizes.items() if size > MOST_LINES["file"]}


MOST_PRIVATE_USES = 45  # also of `super()`, of the package's own version and of private names of peers that have no public ones
OF_NAMED_TUPLES = {"_replace", "_fields", "_asdict"}
KERNELS = {"_core", "_kernels"}


def private_uses(path):
    """Names with an underscore that a file takes of other objects than `self` and `cls`, or imports."""
    for node in nodes_of(path)[1]:
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) not in ("self", "cls"):
            names = [node.attr]
        allowed = KERNELS | (OF_NAMED_TUPLES if isinstance(node, ast.Attribute) else set())
        yield from (f"{path.name}: {name}" for name in names if re.match("_(?!_)", name) and name not in allowed)


def test_objects_keep_their_private_names_to_themselves():
    found = [use for path in PACKAGE.rglob("*.py") for use in private_uses(path)]
    assert len(found) <= MOST_PRIVATE_USES, found
