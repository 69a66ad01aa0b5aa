"""Spline regression against its peers, in one run: cubic splines, n readings in increasing x, K inner pieces.

    python benchmarks/regression.py [--quick] [--markdown]

- Unpenalised least squares: SciPy's make_lsq_spline.
- Smoothing chosen automatically: ours by REML; SciPy's make_smoothing_spline by GCV, a knot at each of as many even x, while it
  does not fail; mgcv's bam(discrete=TRUE, method="fREML") and gam(method="REML") with a P-spline of K
  functions, where R is here.
- A monotone fit, K = 100: what the constraint costs beyond the fit without it.
- Coverage of nominal 95 % bands of f, f' and f'' across the range, and the mean of the estimated sd, n = 200, three curves.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from _timing import Race, machine, stopwatch, table

# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_lsq_spline, make_smoothing_spline

import smoothfit as sf

SIZES = ((1000, 20), (10_000, 20), (100_000, 20), (1_000_000, 20), (1_000_000, 1000))
SEED = 20240301
ROUNDS = 3
REPLICATIONS = 300
AFFORDABLE = 1000  # readings, to make_smoothing_spline

Array = NDArray[np.float64]

R_SCRIPT = """
arguments <- commandArgs(TRUE)
n <- as.integer(arguments[3]); k <- as.integer(arguments[4])
x <- readBin(arguments[1], "double", n); y <- readBin(arguments[2], "double", n)
suppressPackageStartupMessages(library(mgcv))
best <- Inf
for (i in 1:2) {
  fit <- if (arguments[5] == "bam") {
    system.time(bam(y ~ s(x, bs = "ps", k = k), discrete = TRUE, method = "fREML"))
  } else {
    system.time(gam(y ~ s(x, bs = "ps", k = k), method = "REML"))
  }
  best <- min(best, fit[["elapsed"]])
}
cat(best)
"""


def readings(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Noisy readings of a curve at increasing x."""
    x = np.sort(rng.uniform(0, 1, n))
    return x, np.sin(20 * x) + 0.3 * rng.standard_normal(n)


def mgcv(x: Array, y: Array, k: int, function: str) -> float | None:
    """Seconds of a fit by mgcv; None where it is not here."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory, name) for name in ("x", "y")]
        for path, values in zip(paths, (x, y), strict=True):
            values.tofile(path)
        call = ["Rscript", "-e", R_SCRIPT, *map(str, paths), str(len(x)), str(k), function]
        done = subprocess.run(call, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 and done.stdout else None


def milliseconds(seconds: float | None) -> str:
    """Seconds as text; a dash where there are none."""
    return "-" if seconds is None else f"{1e3 * seconds:.1f}"


def best(work: Callable[[], object], n: int) -> float:
    """Seconds of the fastest turn."""
    race = Race(rounds=ROUNDS)
    race.run(n, {"work": stopwatch(work)})
    return race.seconds["work"][n]


def fits(sizes: tuple[tuple[int, int], ...], rng: np.random.Generator) -> list[list[str]]:
    """Times of fits, a row for each size."""
    rows = []
    for n, pieces in sizes:
        x, y = readings(n, rng)
        obs, basis = sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, pieces)
        plain = best(lambda obs=obs, basis=basis: sf.SplineRegression(obs, basis).fit("ols").params, n)
        smooth = best(lambda obs=obs, basis=basis: sf.SplineRegression(obs, basis, sf.DerivativePenalty(2)).fit().params, n)
        scipy = best(lambda x=x, y=y, basis=basis: make_lsq_spline(x, y, basis.knots, 3), n)
        spline = best(lambda n=n, y=y: make_smoothing_spline(np.arange(float(n)), y), n) if n <= AFFORDABLE else None
        bam = mgcv(x, y, basis.n_basis, "bam")
        gam = mgcv(x, y, basis.n_basis, "gam") if n * pieces <= 2_000_000 else None
        rows.append([f"n = {n:,}, K = {pieces}", *map(milliseconds, (plain, scipy, smooth, bam, gam, spline))])
    return rows


def monotone(rng: np.random.Generator) -> list[list[str]]:
    """Times of a fit with and without a constraint."""
    x = np.sort(rng.uniform(0, 1, 10_000))
    obs, basis = sf.observe(x, np.tanh(6 * x - 3) + 0.3 * rng.standard_normal(len(x))), sf.BSplineBasis.uniform(0, 1, 97)
    penalty = sf.DerivativePenalty(2)
    free = best(lambda: sf.SplineRegression(obs, basis, penalty).fit().params, 1)
    shaped = best(lambda: sf.SplineRegression(obs, basis, penalty, constraints=sf.Increasing()).fit().params, 1)
    return [["monotone, n = 10,000, K = 100", milliseconds(free), milliseconds(shaped), milliseconds(shaped - free)]]


def coverage(replications: int, rng: np.random.Generator) -> list[list[str]]:
    """Share of the truth inside nominal 95 % bands, and mean estimated sd over the true one."""
    grid, x = np.linspace(0, 1, 201), np.linspace(0, 1, 200)
    basis = sf.BSplineBasis.uniform(0, 1, 40, degree=5)
    truths: dict[str, list[Callable[[Array], Array]]] = {
        "sin 6x": [lambda t: np.sin(6 * t), lambda t: 6 * np.cos(6 * t), lambda t: -36 * np.sin(6 * t)],
        "exp(-8 (x - 1/2)^2)": [
            lambda t: np.exp(-8 * (t - 0.5) ** 2),
            lambda t: -16 * (t - 0.5) * np.exp(-8 * (t - 0.5) ** 2),
            lambda t: (256 * (t - 0.5) ** 2 - 16) * np.exp(-8 * (t - 0.5) ** 2),
        ],
        "sin 12x + 2x": [
            lambda t: np.sin(12 * t) + 2 * t,
            lambda t: 12 * np.cos(12 * t) + 2,
            lambda t: -144 * np.sin(12 * t),
        ],
    }
    rows = []
    for name, truth in truths.items():
        inside, sds = np.zeros(3), []
        for _ in range(replications):
            obs = sf.observe(x, truth[0](x) + 0.2 * rng.standard_normal(200), name="f")
            res = sf.SplineRegression(obs, basis, sf.DerivativePenalty(3)).fit()
            sds.append(float(res.sigma["f"]) / 0.2)
            for k in range(3):
                lower, upper = res.get_prediction(grid, deriv=k).conf_int().T
                inside[k] += np.mean((lower <= truth[k](grid)) & (truth[k](grid) <= upper))
        rows.append([name, *(f"{100 * share / replications:.1f} %" for share in inside), f"{np.mean(sds):.3f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Spline regression against its peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes and few replications")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    options = parser.parse_args()
    rng = np.random.default_rng(SEED)
    print(machine(["smoothfit-stats", "numpy", "scipy", "clarabel"]))
    sizes = SIZES[:1] if options.quick else SIZES
    header = ["ms a fit", "ours, ols", "make_lsq_spline", "ours, REML", "bam", "gam", "make_smoothing_spline"]
    print(table("Least squares and automatic smoothing", header, fits(sizes, rng), options.markdown))
    print(table("Constraints", ["ms a fit", "free", "monotone", "difference"], monotone(rng), options.markdown))
    replications = 20 if options.quick else REPLICATIONS
    print(table("Coverage of 95 % bands", ["curve", "f", "f'", "f''", "sd / true"], coverage(replications, rng), options.markdown))


if __name__ == "__main__":
    main()
