"""What every benchmark needs: one thread, fair stopwatches, tables and a description of the machine.

Import it before NumPy: libraries of linear algebra read their number of threads when they are loaded.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from time import perf_counter
from types import ModuleType

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))

Stopwatch = Callable[[], float]  # does the work and returns its seconds


def stopwatch(work: Callable[[], object], span: float = 0.02, clock: Callable[[], float] = perf_counter) -> Stopwatch:
    """Time the fastest of as many calls as begin within `span` seconds, one at least; on a busy machine, by `process_time`."""

    def seconds() -> float:
        best, spent = float("inf"), 0.0
        while spent < span:
            start = clock()
            work()
            elapsed = clock() - start
            best, spent = min(best, elapsed), spent + elapsed
        return best

    return seconds


@dataclass
class Race:
    """Contenders over growing sizes n, each the fastest of `rounds` turns; in every round they take turns.

    A contender whose turns would take more than `limit` seconds at the next n, by its time at the last one, is left out.
    """

    rounds: int = 5
    limit: float = 60.0
    seconds: dict[str, dict[int, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def run(self, n: int, contenders: Mapping[str, Stopwatch]) -> None:
        """Time the contenders at size n."""
        entered = {name: watch for name, watch in contenders.items() if self._is_affordable(name, n)}
        for _ in range(self.rounds):
            for name, watch in entered.items():
                times = self.seconds.setdefault(name, {})
                times[n] = min(watch(), times.get(n, float("inf")))

    def per_reading(self, name: str, n: int) -> float | None:
        """Nanoseconds per observation; None where it did not run."""
        seconds = self.seconds.get(name, {}).get(n)
        return None if seconds is None else seconds / n * 1e9

    def _is_affordable(self, name: str, n: int) -> bool:
        times = self.seconds.get(name)
        if not times:
            return True
        last = max(times)
        expected = self.rounds * times[last] * n / last
        if expected > self.limit:
            self.notes.append(f"{name}: left out at n = {n}, about {expected:.0f} s for {self.rounds} turns")
        return expected <= self.limit


def import_times(statements: Sequence[str], rounds: int = 9) -> list[float]:
    """Seconds that each statement adds to a bare interpreter, the fastest of `rounds`, run outside the repository.

    Bytecode is cached in the first round, as it is for who has installed the package.
    """
    best = dict.fromkeys(["pass", *statements], float("inf"))
    with tempfile.TemporaryDirectory() as elsewhere:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": elsewhere}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(rounds):
            for statement in best:
                start = perf_counter()
                subprocess.run([sys.executable, "-c", statement], cwd=elsewhere, env=environment, check=True)
                best[statement] = min(best[statement], perf_counter() - start)
    return [best[statement] - best["pass"] for statement in statements]


def optional(module: str) -> ModuleType | None:
    """Import a peer, or say that it is not here."""
    try:
        return import_module(module)
    except ImportError:
        print(f"(skipped: {module} is not installed)")
        return None


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> str:
    """Lay out text, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str], between: str) -> str:
        first, *others = zip(cells, widths, strict=True)
        return between.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])

    if not markdown:
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([title, rule, line(header, "  "), rule, *(line(row, "  ") for row in rows), rule])
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    body = [f"| {line(cells, ' | ')} |" for cells in (header, *rows)]
    return "\n".join([f"**{title}**", "", body[0], f"|{rule}|", *body[1:]])


def machine(packages: Sequence[str], *others: str) -> str:
    """Describe platform, processor and versions: of packages, and others as told."""
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} absent")
    load = f", load average {os.getloadavg()[0]:.2f} at the start" if hasattr(os, "getloadavg") else ""
    return "\n".join(
        [
            f"{platform.platform()}, {_processor()}, {os.cpu_count()} processors{load}",
            ", ".join([*versions, *others]),
            f"one thread ({', '.join(THREADS)} = 1)",
        ]
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
