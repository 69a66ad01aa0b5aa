#!/usr/bin/env python
"""Checks what a source distribution and a wheel contain: ``.ci/contents.py dist/*``."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
COMPILED = {".cpp", ".hpp", ".txt"}  # what the kernels are compiled from; no text file is part of the package otherwise


def tracked(*folders):
    """Files of the repository, whoever owns it."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", *folders]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return set(listed.rstrip("\0").split("\0"))


def check(name, contained, needed, allowed):
    """Ends with a message if a file is missing, or is there that is not allowed."""
    missing, stray = needed - contained, contained - needed - allowed
    if missing or stray:
        sys.exit(f"{name}: missing {sorted(missing)}, stray {sorted(stray)}")
    print(f"{name}: {len(contained)} files, none missing, none stray")


def check_sdist(path):
    """The package, its tests and documentation, and the files at the top of the repository."""
    with tarfile.open(path) as archive:
        contained = {str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in archive if member.isfile()}
    top = {name for name in tracked() if "/" not in name and not name.startswith(".")}
    needed = tracked("smoothfit", "tests", "docs", ".ci") | top | {"examples/quickstart.py", "PKG-INFO"}
    check(path.name, contained, needed, {".gitignore"})


def check_wheel(path):
    """The package, one compiled module, and the licences."""
    with zipfile.ZipFile(path) as archive:
        contained = {name for name in archive.namelist() if not name.endswith("/")}
    info = "-".join(path.name.split("-")[:2]) + ".dist-info"
    sources = {name for name in tracked("smoothfit") if Path(name).suffix not in COMPILED}
    licenses = {f"{info}/licenses/{name}" for name in ("LICENSE", "smoothfit/datasets/LICENSE.traffic")}
    kernels = {name for name in contained if name.startswith("smoothfit/_core/_kernels.") and name.endswith((".so", ".pyd"))}
    if len(kernels) != 1:
        sys.exit(f"{path.name}: one compiled module is expected, not {sorted(kernels)}")
    data = {"py.typed", "_core/_kernels.pyi", "datasets/glider.csv", "datasets/landing.csv"}
    needed = sources | licenses | kernels | {f"smoothfit/{name}" for name in data}
    needed |= {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL")}
    check(path.name, contained, needed, set())


for given in map(Path, sys.argv[1:]):
    (check_wheel if given.suffix == ".whl" else check_sdist)(given)
