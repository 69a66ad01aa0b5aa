#!/usr/bin/env python
"""Fails unless a tag, ``v1.2.3``, is that of the version in ``pyproject.toml`` and the changelog has a dated section for it."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
if sys.argv[1:] != [f"v{version}"]:
    sys.exit(f"the version is {version}; its tag is v{version}, not {' '.join(sys.argv[1:])}")
if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
    sys.exit(f"CHANGELOG.md has no section '## [{version}] - YEAR-MONTH-DAY'")
