"""What is stated in several files of the repository agrees: versions of smoothfit, of Python and of what it needs."""

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import smoothfit
from smoothfit._core import _kernels

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]

pytestmark = pytest.mark.skipif(not (ROOT / ".github").exists(), reason="a source distribution leaves out what is compared")


def text_of(*names):
    return ROOT.joinpath(*names).read_text(encoding="utf-8")


def version_of(text):
    """A version as numbers, 1.0 the same as 1.0.0."""
    return [int(part) for part in (text + ".0.0").split(".")[:3]]


def least_versions(lines, sign=">="):
    return {name.strip(): version_of(version) for name, version in (line.split(sign) for line in lines)}


def test_versions_agree():
    assert PROJECT["name"] == "smoothfit-stats"
    assert PROJECT["version"] == smoothfit.__version__ == _kernels.VERSION
    assert f"\nversion: {smoothfit.__version__}\n" in text_of("CITATION.cff")


def test_the_oldest_versions_that_are_tested_are_those_that_are_stated():
    extras = PROJECT["optional-dependencies"]
    # What tests alone need may be newer: their peers are.
    stated = [*PROJECT["dependencies"], *extras["formula"], *extras["plot"]]
    stated += [line for line in extras["test"] if line.startswith(("patsy", "polars", "pyarrow"))]
    lines = text_of(".ci", "minimum.txt").splitlines()
    tested = least_versions((line for line in lines if not line.startswith("#")), "==")
    assert tested == least_versions(stated)


def test_the_conda_recipe_is_of_this_version_and_needs_the_same():
    recipe = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    assert f'version: "{smoothfit.__version__}"' in recipe
    sections = dict(re.findall(r"^  (\w+):\n((?:    - .*\n)+)", recipe, re.MULTILINE))
    names = {key: [line.strip(" -") for line in lines.splitlines() if ">=" in line] for key, lines in sections.items()}
    assert least_versions(names["run"]) == least_versions(PROJECT["dependencies"])
    assert least_versions(names["host"]) == least_versions(SETTINGS["build-system"]["requires"])


def test_python_versions_agree():
    classified = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert PROJECT["requires-python"] == f">={classified[0]}"
    assert SETTINGS["tool"]["cibuildwheel"]["build"].split() == [f"cp{version.replace('.', '')}-*" for version in classified]
    tested = re.findall(r'"(3\.\d+)"', text_of(".github", "workflows", "tests.yml"))
    assert set(tested) == set(classified)


def has_ended(numbered):
    """Whether the process whose number is in a file has ended, if not yet looked at by its parent."""
    status = Path("/proc", numbered.read_text(encoding="utf-8").strip(), "status")
    return not status.exists() or "State:\tZ" in status.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason=".ci/run is for Linux")
def test_a_failure_ends_steps_beside_and_shows_their_logs(tmp_path):
    """They had been waited for, up to ten minutes, and their logs were lost."""
    script = f"""
        set -euo pipefail
        work={tmp_path / "work"}
        mkdir "$work"
        source {ROOT / ".ci" / "steps"}
        beside tests bash -c 'echo "half of the tests"; sleep 60 & echo $! > {tmp_path / "child"}; sleep 60'
        beside lint echo clean
        result lint
        while [ ! -s {tmp_path / "child"} ]; do sleep 0.01; done
        false
    """
    begun = time.monotonic()
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert time.monotonic() - begun < 30
    assert "clean\nended after 0:0" in found.stdout
    assert "== stopped: tests\nhalf of the tests\n" in found.stdout
    assert has_ended(tmp_path / "child")
    assert not (tmp_path / "work").exists()


@pytest.mark.skipif(sys.platform != "linux", reason=".ci/run is for Linux")
def test_what_ends_the_script_ends_a_step_that_it_waits_for(tmp_path):
    script = f"""
        set -euo pipefail
        work={tmp_path / "work"}
        mkdir "$work"
        source {ROOT / ".ci" / "steps"}
        beside tests bash -c 'sleep 60 & echo $! > {tmp_path / "child"}; wait'
        (while [ ! -s {tmp_path / "child"} ]; do sleep 0.01; done; kill $$) &
        result tests
    """
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode != 0
    assert "== stopped: tests" in found.stdout
    assert has_ended(tmp_path / "child")


@pytest.mark.skipif(sys.platform != "linux", reason="the sanitizers are those of GCC")
def test_sanitizers_name_a_missing_folder():
    found = subprocess.run([ROOT / ".ci" / "sanitizers", "build"], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "FOLDER is missing: .ci/sanitizers build FOLDER" in found.stderr
