"""How often intervals of smoothing splines hold the truth, for known curves and few observations.

    python benchmarks/coverage.py [--replications 200] [--sizes 10 25 60 200] [--orders 2 3] [--many] [--mgcv]

The curves are functions on [0, 1] of sd near one, observed at even x with normal noise of sd 0.3. The smoothing and the sd are
estimated by REML. Of nominal 95 % intervals on 41 points the tables give the mean coverage of f and of f' (integrated over the
parameters, and beside it with the parameters taken for known), that of new observations, the share of curves that the
simultaneous band holds whole, and the widest interval of f in ranges of y. With --many all samples are fitted by `fit_curves`, and
the table has the coverage of f and f' alone. With --mgcv, which needs R, the same samples are fitted by mgcv too: a thin plate
spline of the same order, which is the smoothing spline (of 40 functions where there are more observations), by REML, with the
intervals that its users draw, 1.96 standard errors: those at the estimated smoothing parameter, and those with mgcv's correction
for the estimate (``unconditional=TRUE``). Slopes are differences of its matrix of predictions.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from _timing import machine, table
from numpy.typing import NDArray

import smoothfit as sf
from smoothfit.results.mixtures import critical_value

Array = NDArray[np.float64]

LEVEL, NOISE, SEED = 0.05, 0.3, 20_261_128
GRID = np.linspace(0, 1, 41)
STEEPNESS = 40.0

CURVES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sine": (lambda x: 1.4 * np.sin(2 * np.pi * x), lambda x: 2.8 * np.pi * np.cos(2 * np.pi * x)),
    "peak": (
        lambda x: 4 * np.exp(-(((x - 0.5) / 0.07) ** 2)),
        lambda x: -8 * (x - 0.5) / 0.07**2 * np.exp(-(((x - 0.5) / 0.07) ** 2)),
    ),
    "kink": (lambda x: 6 * np.abs(x - 0.5), lambda x: 6 * np.sign(x - 0.5)),
    "line": (lambda x: 3 * x, lambda x: 3 + 0 * x),
    "constant": (lambda x: 0 * x, lambda x: 0 * x),
    "decay": (lambda x: 4 * np.exp(-4 * x), lambda x: -16 * np.exp(-4 * x)),
    "steep logistic": (
        lambda x: 2 / (1 + np.exp(-STEEPNESS * (x - 0.5))),
        lambda x: STEEPNESS / 2 / np.cosh(STEEPNESS / 2 * (x - 0.5)) ** 2,
    ),
}

R_SCRIPT = """
suppressPackageStartupMessages(library(mgcv))
given <- commandArgs(TRUE)
n <- as.integer(given[2]); order <- as.integer(given[3]); replications <- as.integer(given[4])
x <- seq(0, 1, length.out = n); grid <- seq(0, 1, length.out = 41); step <- 1e-5
Y <- matrix(readBin(given[1], "double", n * replications), n)
ends <- array(0, c(41, 2, 4, replications))
for (r in 1:replications) {
  fit <- gam(Y[, r] ~ s(x, bs = "tp", m = order, k = min(n, 40)), method = "REML")
  at <- function(x) predict(fit, data.frame(x = x), type = "lpmatrix")
  for (deriv in 0:1) {
    X <- if (deriv == 0) at(grid) else (at(grid + step) - at(grid - step)) / (2 * step)
    mean <- as.vector(X %*% coef(fit))
    for (corrected in 0:1) {
      se <- sqrt(rowSums((X %*% (if (corrected) fit$Vc else fit$Vp)) * X))
      ends[, , 1 + 2 * deriv + corrected, r] <- cbind(mean - 1.96 * se, mean + 1.96 * se)
    }
  }
}
writeBin(as.vector(ends), given[1])
"""


def coverage(name: str, n: int, order: int, replications: int) -> list[str]:
    """One row of a table."""
    curve, slope = CURVES[name]
    truth, x = (curve(GRID), slope(GRID)), np.linspace(0, 1, n)
    inside = np.zeros((replications, 6))
    widest = 0.0
    for r in range(replications):
        rng = np.random.default_rng([SEED, r, n, order, list(CURVES).index(name)])
        y = curve(x) + NOISE * rng.standard_normal(n)
        res = sf.SmoothingSpline(sf.observe(x, y), order=order).fit()
        for deriv in (0, 1):
            prediction = res.get_prediction(GRID, deriv=deriv)
            lower, upper = prediction.conf_int(alpha=LEVEL).T
            half = critical_value(LEVEL, prediction.df) * prediction.se_mean
            inside[r, 2 * deriv] = np.mean((lower <= truth[deriv]) & (truth[deriv] <= upper))
            inside[r, 2 * deriv + 1] = np.mean(np.abs(truth[deriv] - prediction.predicted_mean) <= half)
            if deriv == 0:
                widest = max(widest, float((upper - lower).max()) / np.ptp(y))
                new = truth[0] + NOISE * rng.standard_normal(len(GRID))
                low, high = prediction.conf_int(obs=True, alpha=LEVEL).T
                inside[r, 4] = np.mean((low <= new) & (new <= high))
        low, high = res.get_prediction(GRID, simultaneous=True).conf_int(alpha=LEVEL).T
        inside[r, 5] = np.all((low <= truth[0]) & (truth[0] <= high))
    return [name, str(n), str(order), *(f"{value:.3f}" for value in inside.mean(axis=0)), f"{widest:.1f}"]


def samples(name: str, n: int, order: int, replications: int) -> tuple[Array, Array]:
    """The x of --many and --mgcv, and observations of each sample in a row."""
    x, rng = np.linspace(0, 1, n), np.random.default_rng([SEED, n, order, list(CURVES).index(name)])
    return x, CURVES[name][0](x) + NOISE * rng.standard_normal((replications, n))


def inside_of_many(name: str, n: int, order: int, replications: int) -> list[Array]:
    """The share of 41 points that the intervals of each sample cover, for f and f', all samples fitted by `fit_curves`."""
    x, y = samples(name, n, order, replications)
    frame = pd.DataFrame({"id": np.repeat(np.arange(replications), n), "x": np.tile(x, replications), "y": y.ravel()})
    fits = sf.fit_curves(frame, by="id", x="x", readings={"y": 0}, order=order, progress=False)
    shares = []
    for deriv, curve in enumerate(CURVES[name]):
        found = fits.predict(GRID, deriv, alpha=LEVEL)
        lower, upper = (found[f"mean_ci_{end}"].to_numpy().reshape(-1, len(GRID)) for end in ("lower", "upper"))
        shares.append(np.mean((lower <= curve(GRID)) & (curve(GRID) <= upper), axis=1))
    return shares


def coverage_of_many(name: str, n: int, order: int, replications: int) -> list[str]:
    """One row of the table of --many."""
    shares = inside_of_many(name, n, order, replications)
    cells = [(f"{share.mean():.3f}", f"{share.std() / np.sqrt(len(share)):.4f}") for share in shares]
    return [name, str(n), str(order), *cells[0], *cells[1]]


def coverage_of_mgcv(name: str, n: int, order: int, replications: int) -> list[str]:
    """One row of the table of --mgcv: ours, mgcv's and mgcv's corrected intervals, of f and of f'."""
    ours = inside_of_many(name, n, order, replications)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "numbers")
        samples(name, n, order, replications)[1].tofile(path)
        subprocess.run(["Rscript", "-e", R_SCRIPT, *map(str, (path, n, order, replications))], check=True)
        lower, upper = np.moveaxis(np.fromfile(path).reshape(replications, 2, 2, 2, len(GRID)), 3, 0)
    row = [name, str(n), str(order)]
    for deriv, curve in enumerate(CURVES[name]):
        theirs = np.mean((lower[:, deriv] <= curve(GRID)) & (curve(GRID) <= upper[:, deriv]), axis=(0, 2))
        row += [f"{ours[deriv].mean():.3f}", *(f"{share:.3f}" for share in theirs)]
    return row


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 25, 60, 200])
    parser.add_argument("--orders", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--curves", nargs="+", default=list(CURVES))
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--many", action="store_true")
    parser.add_argument("--mgcv", action="store_true")
    given = parser.parse_args()
    head = ["curve", "n", "order", "f", "f plug-in", "f'", "f' plug-in", "new obs", "band", "widest"]
    if given.many:
        head = ["curve", "n", "order", "f", "standard error", "f'", "standard error"]
    elif given.mgcv:
        head = ["curve", "n", "order", "f", "mgcv f", "corrected", "f'", "mgcv f'", "corrected"]
    row = coverage_of_mgcv if given.mgcv else coverage_of_many if given.many else coverage
    rows = [row(c, n, order, given.replications) for order in given.orders for n in given.sizes for c in given.curves]
    print(table(f"Coverage of nominal 95 % intervals, {given.replications} samples a row", head, rows, given.markdown))
    print(machine(["smoothfit-stats", "numpy", "scipy"]))


if __name__ == "__main__":
    main()
