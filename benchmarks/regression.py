"""Spline regression against its peers, in one run: cubic splines, n observations in increasing x, K inner pieces.

    python benchmarks/regression.py [--quick] [--large] [--markdown] [--coverage]

- Unpenalised least squares: SciPy's make_lsq_spline.
- Smoothing chosen automatically: ours by REML; mgcv's bam(discrete=TRUE, method="fREML") and gam(method="REML") with a P-spline of
  K + 3 functions, where R is here; pyGAM's LinearGAM.gridsearch over eleven lam and statsmodels' GLMGam with select_penweight, both
  by GCV with as many B-splines; SciPy's make_smoothing_spline by GCV and csaps, which has a fixed rule for its lam, with a knot at
  every x. Each as far as its turns take seconds.
- A monotone fit, K = 100: what the constraint costs beyond the fit without it.
- Memory: what a fit adds at most to that of a process that holds the observations, K = 1000. With ``--large`` 10^8 observations in
  a hundred chunks, and the fit of all at once.
- Coverage of nominal 95 % bands of f, f' and f'' across the range, and the mean of the estimated sd, n = 200, three curves.

What the coverage shows. Bands of f cover what they promise, whatever the order m of the penalty (Nychka 1988, "Bayesian
confidence intervals for smoothing splines": the posterior variance is the sampling variance plus the squared bias that the prior
expects, and averaged over x that is right). The bands of derivatives are those of a prior whose m-th derivative is white noise.
Curves without such roughness have less bias in f^(k) than it expects, and the more so the nearer k is to m; averaged over the
curves, f^(k) is covered at 97 to 99 % with m = k + 2, more often with less and at some 96 % with more. With m = 4 the observations
of sin 6x hardly tell it from a polynomial, and the uncertainty of the smoothing, which the Bayesian bands allow for, counts.
Frequentist bands hold no bias; they come near the level from below, best where m is small.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

from _timing import Race, machine, optional, stopwatch, table

# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_lsq_spline, make_smoothing_spline

import smoothfit as sf

SIZES = ((1000, 20), (10_000, 20), (100_000, 20), (1_000_000, 20), (1_000_000, 1000))
SEED = 20240301
ROUNDS = 3
REPLICATIONS = 300
MOST = {  # observations, times pieces, that a peer can afford
    "gam": 2_000_000,
    "pyGAM": 2_000_000,
    "statsmodels": 20_000,
    "make_smoothing_spline": 20_000,
    "csaps": 20_000_000,
}
ORDERS = ((3, 2), (5, 3), (5, 4))  # degree of the spline, order of the penalty
MEMORY_SIZES = (100_000, 1_000_000, 10_000_000)
LARGE = 10**8
CHUNKS = 100

Array = NDArray[np.float64]

R_SCRIPT = """
arguments <- commandArgs(TRUE)
n <- as.integer(arguments[3]); k <- as.integer(arguments[4])
x <- readBin(arguments[1], "double", n); y <- readBin(arguments[2], "double", n)
suppressPackageStartupMessages(library(mgcv))
best <- Inf
for (i in 1:3) {
  fit <- if (arguments[5] == "bam") {
    system.time(bam(y ~ s(x, bs = "ps", k = k), discrete = TRUE, method = "fREML"))
  } else {
    system.time(gam(y ~ s(x, bs = "ps", k = k), method = "REML"))
  }
  best <- min(best, fit[["elapsed"]])
  if (best > 2) break
}
cat(best)
"""

MEMORY_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import smoothfit as sf

def field(name):
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)) / 1024

n, basis = int(sys.argv[1]), sf.BSplineBasis.uniform(0, 1, 1000)
x = np.arange(n) / n
few = sf.observe(x[:: n // 10_000], np.sin(20 * x[:: n // 10_000]) + np.cos(1e5 * x[:: n // 10_000]))
sf.SplineRegression(few, basis, sf.DerivativePenalty(2)).fit().params  # imports
y = np.sin(20 * x)
y += np.cos(1e5 * np.arange(n))
obs = sf.observe(x, y)
del x, y
held = field("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
sf.SplineRegression(obs, basis, sf.DerivativePenalty(2)).fit().params
print(field("VmHWM") - held)
"""


def readings(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Noisy observations of a curve at increasing x."""
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


def python_peers() -> dict[str, Callable[[Array, Array, int], Callable[[], object]]]:
    """Fits with smoothing by the peers in Python, of observations and a number of functions."""
    peers: dict[str, Callable[[Array, Array, int], Callable[[], object]]] = {}
    pygam, csaps = optional("pygam"), optional("csaps")
    if pygam is not None:

        def by_pygam(x: Array, y: Array, k: int) -> Callable[[], object]:
            return lambda: pygam.LinearGAM(pygam.s(0, n_splines=k)).gridsearch(x[:, None], y, progress=False)

        peers["pyGAM"] = by_pygam
    from statsmodels.gam.api import BSplines, GLMGam

    def by_statsmodels(x: Array, y: Array, k: int) -> Callable[[], object]:
        def fit() -> object:
            model = GLMGam(y, np.ones((len(x), 1)), smoother=BSplines(x, df=[k], degree=[3]), alpha=1.0)
            model.fit()
            model.alpha = model.select_penweight()[0]
            return model.fit()

        return fit

    peers["statsmodels"] = by_statsmodels
    if csaps is not None:
        peers["csaps"] = lambda x, y, k: lambda: csaps.CubicSmoothingSpline(x, y)
    peers["make_smoothing_spline"] = lambda x, y, k: lambda: make_smoothing_spline(np.arange(float(len(x))), y)
    return peers


def milliseconds(seconds: float | None) -> str:
    """Seconds as text; a dash where there are none."""
    return "-" if seconds is None else f"{1e3 * seconds:.1f}"


def best(work: Callable[[], object], n: int) -> float:
    """Seconds of the fastest turn."""
    race = Race(rounds=ROUNDS)
    race.run(n, {"work": stopwatch(work)})
    return race.seconds["work"][n]


def fits(sizes: tuple[tuple[int, int], ...], rng: np.random.Generator) -> dict[str, dict[str, float | None]]:
    """Seconds of fits at every size."""
    peers, found = python_peers(), {}
    for n, pieces in sizes:
        x, y = readings(n, rng)
        obs, basis = sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, pieces)
        seconds: dict[str, float | None] = {
            "ours, ols": best(lambda obs=obs, basis=basis: sf.SplineRegression(obs, basis).fit("ols").params, n),
            "make_lsq_spline": best(lambda x=x, y=y, basis=basis: make_lsq_spline(x, y, basis.knots, 3), n),
            "ours, REML": best(
                lambda obs=obs, basis=basis: sf.SplineRegression(obs, basis, sf.DerivativePenalty(2)).fit().params, n
            ),
            "bam": mgcv(x, y, basis.n_basis, "bam"),
            "gam": mgcv(x, y, basis.n_basis, "gam") if n * pieces <= MOST["gam"] else None,
        }
        for name, fit in peers.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seconds[name] = best(fit(x, y, basis.n_basis), n) if n * pieces <= MOST[name] else None
        found[f"n = {n:,}, K = {pieces}"] = seconds
    return found


def ratios(found: Mapping[str, Mapping[str, float | None]]) -> list[list[str]]:
    """Seconds of the peers over ours, a row for each size."""
    rows = []
    for size, seconds in found.items():
        row = [size]
        for name, theirs in seconds.items():
            if name.startswith("ours"):
                continue
            ours = seconds["ours, ols" if name == "make_lsq_spline" else "ours, REML"]
            row.append("-" if theirs is None or ours is None else f"{theirs / ours:.1f}")
        rows.append(row)
    return rows


def monotone(rng: np.random.Generator) -> list[list[str]]:
    """Times of a fit with and without a constraint."""
    x = np.sort(rng.uniform(0, 1, 10_000))
    obs, basis = sf.observe(x, np.tanh(6 * x - 3) + 0.3 * rng.standard_normal(len(x))), sf.BSplineBasis.uniform(0, 1, 97)
    penalty = sf.DerivativePenalty(2)
    free = best(lambda: sf.SplineRegression(obs, basis, penalty).fit().params, 1)
    shaped = best(lambda: sf.SplineRegression(obs, basis, penalty, constraints=sf.Increasing()).fit().params, 1)
    return [["monotone, n = 10,000, K = 100", milliseconds(free), milliseconds(shaped), milliseconds(shaped - free)]]


def memory() -> list[list[str]]:
    """Megabytes that a fit adds to those of the observations, where the system tells them."""
    rows = []
    for n in MEMORY_SIZES:
        done = subprocess.run([sys.executable, "-c", MEMORY_SCRIPT, str(n)], capture_output=True, text=True)
        added = f"{float(done.stdout):.1f}" if done.returncode == 0 else "-"
        rows.append([f"n = {n:,}, K = 1000", f"{16 * n / 2**20:.1f}", added])
    return rows


def large(rng: np.random.Generator) -> list[list[str]]:
    """The fit of many observations in chunks, and that of all at once."""
    x = (np.arange(LARGE) + rng.uniform(0, 1, LARGE)) / LARGE
    y = 0.3 * rng.standard_normal(LARGE)
    y += np.sin(20 * x)
    basis, penalty = sf.BSplineBasis.uniform(0, 1, 1000), sf.DerivativePenalty(2)
    start = perf_counter()
    accumulator = sf.SplineRegression.accumulate(basis)
    for chunk in range(CHUNKS):
        accumulator.add(sf.observe(x[chunk::CHUNKS], y[chunk::CHUNKS]))
    chunked = accumulator.model(penalty).fit()
    by_chunks = perf_counter() - start
    start = perf_counter()
    whole = sf.SplineRegression(sf.observe(x, y), basis, penalty).fit()
    at_once = perf_counter() - start
    differences = [
        float(np.abs((chunked.params - whole.params) / whole.bse).max()),
        float(np.abs(chunked.bse / whole.bse - 1).max()),
        abs(chunked.lam / whole.lam - 1),
        abs(float(chunked.sigma.iloc[0] / whole.sigma.iloc[0]) - 1),
        abs(chunked.llf / whole.llf - 1),
    ]
    return [[f"n = {LARGE:,}, {CHUNKS} chunks", f"{by_chunks:.1f}", f"{at_once:.1f}", *(f"{d:.1e}" for d in differences)]]


def truths() -> dict[str, list[Callable[[Array], Array]]]:
    """Curves with their first two derivatives."""
    return {
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


def coverage(replications: int, rng: np.random.Generator) -> list[list[str]]:
    """Share of the truth inside nominal 95 % bands, Bayesian and frequentist, and mean estimated sd over the true one."""
    grid, x = np.linspace(0, 1, 201), np.linspace(0, 1, 200)
    rows = []
    for degree, order in ORDERS:
        basis, penalty = sf.BSplineBasis.uniform(0, 1, 40, degree=degree), sf.DerivativePenalty(order)
        for name, truth in truths().items():
            inside, sds = np.zeros((2, 3)), []
            for _ in range(replications):
                model = sf.SplineRegression(sf.observe(x, truth[0](x) + 0.2 * rng.standard_normal(200), name="f"), basis, penalty)
                res = model.fit()
                sds.append(float(res.sigma["f"]) / 0.2)
                frequentist = model.fit(cov_type="frequentist")
                for kind, fit in enumerate((res, frequentist)):
                    for k in range(3):
                        lower, upper = fit.get_prediction(grid, deriv=k).conf_int().T
                        inside[kind, k] += np.mean((lower <= truth[k](grid)) & (truth[k](grid) <= upper))
            shares = [f"{share:.1f}" for share in (100 * inside / replications).ravel()]
            rows.append([f"{name}, m = {order}, degree {degree}", *shares, f"{np.mean(sds):.3f}"])
    return rows


def speed(options: argparse.Namespace) -> None:
    """Print what costs time and memory."""
    rng = np.random.default_rng(SEED)
    found = fits(SIZES[:1] if options.quick else SIZES, rng)
    header = ["ms a fit", *next(iter(found.values()))]
    rows = [[size, *map(milliseconds, seconds.values())] for size, seconds in found.items()]
    print(table("Least squares and automatic smoothing", header, rows, options.markdown))
    header = ["times ours", *(name for name in header[1:] if not name.startswith("ours"))]
    print(table("The same, over ours: make_lsq_spline over ols, the others over REML", header, ratios(found), options.markdown))
    print(table("Constraints", ["ms a fit", "free", "monotone", "difference"], monotone(rng), options.markdown))
    if not options.quick:
        print(table("Memory of a fit by REML", ["MB", "observations", "added"], memory(), options.markdown))
    if options.large:
        header = ["chunks", "s in chunks", "s at once", "params / se", "se", "lam", "sigma", "llf"]
        print(table("Differences of a fit in chunks", header, large(rng), options.markdown))


def main() -> None:
    parser = argparse.ArgumentParser(description="Spline regression against its peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes and few replications")
    parser.add_argument("--large", action="store_true", help="10^8 observations in chunks and at once, in 5 GB")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--coverage", action="store_true", help="coverage alone")
    options = parser.parse_args()
    print(machine(["smoothfit-stats", "numpy", "scipy", "clarabel", "statsmodels", "pygam", "csaps"]))
    if not options.coverage:
        speed(options)
    header = ["%", "f", "f'", "f''", "f, freq.", "f', freq.", "f'', freq.", "sd / true"]
    shares = coverage(20 if options.quick else REPLICATIONS, np.random.default_rng(SEED))
    print(table("Coverage of 95 % bands, Bayesian and frequentist", header, shares, options.markdown))


if __name__ == "__main__":
    main()
