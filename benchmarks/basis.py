"""B-spline bases against their peers, in one run: cubic splines at n points, sorted and shuffled, with K inner pieces.

    python benchmarks/basis.py [--quick] [--markdown]

- Evaluation of a spline: SciPy's BSpline.__call__ and FITPACK's splev.
- Design matrix: SciPy's BSpline.design_matrix (both CSR), and R's splines2::bSpline (dense, so at K = 20 only).
- Transform of a formula, df = 20, a dense array of n rows: patsy's and formulaic's `bs`, scikit-learn's SplineTransformer.
- Two threads, each with half of the points, against one thread with all of them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from _timing import Race, machine, optional, stopwatch, table

# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, splev

import smoothfit as sf

N = 1_000_000
PIECES = (20, 10_000)
DF = 20
SEED = 20240229
ROUNDS = 5

Array = NDArray[np.float64]
Row = list[str]

R_SCRIPT = """
arguments <- commandArgs(TRUE)
x <- readBin(arguments[1], "double", as.integer(arguments[2]))
pieces <- as.integer(arguments[3])
knots <- seq(0, 1, length.out = pieces + 1)[-c(1, pieces + 1)]
library(splines2)
best <- Inf
for (i in 1:3) {
  best <- min(best, system.time(bSpline(x, knots = knots, intercept = TRUE, Boundary.knots = c(0, 1)))[["elapsed"]])
}
cat(best)
"""


def compare(work: dict[str, Callable[[], object]], n: int) -> Race:
    """Time contenders by turns."""
    race = Race(rounds=ROUNDS)
    race.run(n, {name: stopwatch(task) for name, task in work.items()})
    return race


def row(label: str, race: Race, n: int, ours: str, peer: str, bar: float | None) -> Row:
    """One line of the table: ns a point of both, and the ratio."""
    mine, theirs = race.per_reading(ours, n), race.per_reading(peer, n)
    assert mine is not None
    if theirs is None:
        return [label, f"{mine:,.1f}", "-", "-", "", ""]
    ratio = theirs / mine
    verdict = "" if bar is None else "reached" if ratio >= bar else "NOT reached"
    return [label, f"{mine:,.1f}", f"{theirs:,.1f}", f"{ratio:,.1f}", "" if bar is None else f"{bar:g}", verdict]


def points(n: int) -> dict[str, Array]:
    """The same random points on [0, 1], sorted and not."""
    x = np.random.default_rng(SEED).random(n)
    return {"sorted": np.sort(x), "shuffled": x}


def evaluations(n: int) -> list[Row]:
    """Spline values."""
    rows = []
    for pieces in PIECES:
        basis = sf.BSplineBasis.uniform(0, 1, pieces)
        spline = sf.Spline(basis, np.random.default_rng(SEED).standard_normal(basis.n_basis))
        peer = spline.to_scipy()
        for order, x in points(n).items():
            race = compare({"ours": partial(spline, x), "scipy": partial(peer, x), "splev": partial(splev, x, peer.tck)}, n)
            label = f"spline values, K = {pieces:,}, {order}"
            bar = 50 if order == "shuffled" and pieces == PIECES[1] else 8 if order == "sorted" else None
            rows += [
                row(f"{label} / BSpline", race, n, "ours", "scipy", bar),
                row(f"{label} / splev", race, n, "ours", "splev", None),
            ]
    return rows


def designs(n: int) -> list[Row]:
    """Rows of the design matrix in CSR form."""
    rows = []
    for pieces in PIECES:
        basis = sf.BSplineBasis.uniform(0, 1, pieces)
        for order, x in points(n).items():
            work: dict[str, Callable[[], object]] = {
                "ours": partial(basis.design, x),
                "ours, second derivative": partial(basis.design, x, deriv=2),
                "scipy": partial(BSpline.design_matrix, x, basis.knots, 3),
            }
            race = compare(work, n)
            label = f"design, K = {pieces:,}, {order}"
            rows.append(row(f"{label} / design_matrix", race, n, "ours", "scipy", 5))
            rows.append(row(f"{label}, second derivative", race, n, "ours, second derivative", "-", None))
            if pieces == PIECES[0] and shutil.which("Rscript"):
                race = compare({"ours": partial(basis.design, x, sparse=False)}, n)
                race.seconds["splines2"] = {n: splines2(x, pieces)}
                rows.append(row(f"{label}, dense / splines2", race, n, "ours", "splines2", None))
    return rows


def splines2(x: Array, pieces: int) -> float:
    """Seconds of R's splines2::bSpline, measured within R."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        x.tofile(path / "x.bin")
        (path / "time.R").write_text(R_SCRIPT)
        command = ["Rscript", "--vanilla", str(path / "time.R"), str(path / "x.bin"), str(len(x)), str(pieces)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def transforms(n: int) -> list[Row]:
    """A column of a frame to the columns of a formula's term, knots at quantiles included."""
    x = points(n)["shuffled"]
    bsp = sf.basis.bsp
    work: dict[str, Callable[[], object]] = {"ours": lambda: bsp(x, df=DF)}
    bars: dict[str, float | None] = {}
    if patsy := optional("patsy"):
        work["patsy bs"] = lambda: patsy.dmatrix(f"bs(x, df={DF}) - 1", {"x": x})
        bars["patsy bs"] = 15
    if formulaic := optional("formulaic"):
        materialize = formulaic.transforms.basis_spline
        work["formulaic bs"] = lambda: materialize(x, df=DF, _state={})
        bars["formulaic bs"] = 3
    if preprocessing := optional("sklearn.preprocessing"):
        column = x[:, None]
        transformer = preprocessing.SplineTransformer(n_knots=DF - 2, knots="quantile")
        work["scikit-learn SplineTransformer"] = lambda: transformer.fit_transform(column)
        bars["scikit-learn SplineTransformer"] = None
    race = compare(work, n)
    return [row(f"transform, df = {DF} / {peer}", race, n, "ours", peer, bar) for peer, bar in bars.items()]


def threads(n: int) -> list[Row]:
    """The GIL is released: two threads do the work of one in less time."""
    rows = []
    basis = sf.BSplineBasis.uniform(0, 1, PIECES[1])
    spline = sf.Spline(basis, np.random.default_rng(SEED).standard_normal(basis.n_basis))
    x = points(n)["shuffled"]
    halves = np.array_split(x, 2)
    # NumPy's exponential needs no lock either: it shows what two threads can gain on this machine.
    for label, work in (("spline values", spline), ("design", basis.design), ("numpy.exp, for comparison", np.exp)):

        def on_two(work: Callable[[Array], object] = work) -> None:
            workers = [threading.Thread(target=work, args=(half,)) for half in halves]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()

        race = compare({"two": on_two, "one": partial(work, x)}, n)
        rows.append(row(f"{label}: two threads / one", race, n, "two", "one", None))
    return rows


def main(n: int, markdown: bool) -> None:
    """Run everything and print the tables."""
    print(machine(["numpy", "scipy", "patsy", "formulaic", "scikit-learn"]))
    print(f"n = {n:,}, degree 3; times: the fastest of several, ours and the peers by turns\n")
    header = ["ours / peer", "ours, ns a point", "peer", "peer / ours", "bar", "verdict"]
    sections: Sequence[tuple[str, Callable[[int], list[Row]]]] = (
        ("Values", evaluations),
        ("Design matrices", designs),
        ("Formula transforms", transforms),
        ("Threads", threads),
    )
    for title, section in sections:
        print(table(title, header, section(n), markdown), "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the points")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    args = parser.parse_args()
    main(N // 10 if args.quick else N, args.markdown)
