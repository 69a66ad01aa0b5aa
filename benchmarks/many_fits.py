"""Whether intervals of smoothing splines of few observations can be trusted not to break: random samples, by the thousand.

    python benchmarks/many_fits.py [--fits 10000]

Curves are those of coverage.py, observed at 10 to 60 even or random x with normal noise of sd 0.01 to 3 in random units, orders 2
and 3. The script counts fits that raise, intervals whose ends are not finite or not in order, and intervals that depend on which
other points are asked for, and prints the widest in ranges of y.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter

import numpy as np
from _timing import machine
from coverage import CURVES

import smoothfit as sf

GRID = np.linspace(-0.05, 1.05, 45)
ALONE = 7  # the number of a point that is asked for alone, too


def one(seed: int) -> tuple[str, float]:
    """What is wrong with the intervals of one fit, if anything, and the widest one in ranges of y."""
    rng = np.random.default_rng([20_261_129, seed])
    n, order, curve = int(rng.integers(10, 61)), int(rng.integers(2, 4)), list(CURVES.values())[rng.integers(len(CURVES))][0]
    x = np.linspace(0, 1, n) if rng.random() < 0.5 else np.sort(rng.random(n))
    y_unit, x_unit = 10.0 ** rng.uniform(-6, 6, 2)
    y = y_unit * (curve(x) + 10.0 ** rng.uniform(-2, 0.5) * rng.standard_normal(n))
    try:
        res = sf.SmoothingSpline(sf.observe(x * x_unit, y), order=order).fit()
        found = [res.get_prediction(GRID * x_unit, deriv=deriv).conf_int() for deriv in (0, 1)]
        alone = [res.get_prediction(GRID[ALONE : ALONE + 1] * x_unit, deriv=deriv).conf_int()[0] for deriv in (0, 1)]
    except sf.errors.SmoothfitError as error:
        return f"{type(error).__name__}: {error}", 0.0
    inside = (x.min() <= GRID) & (x.max() >= GRID)
    widest = float(np.diff(found[0][inside]).max() / np.ptp(y))
    if not all(np.isfinite(ends).all() and (ends[:, 0] <= ends[:, 1]).all() for ends in found):
        return "ends", widest
    if not all(np.array_equal(ends[ALONE], own) for ends, own in zip(found, alone, strict=True)):
        return "neighbours", widest
    return "", widest


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first sample")
    given = parser.parse_args()
    warnings.simplefilter("ignore", sf.errors.SmoothfitWarning)
    wrong, widest = zip(*(one(seed) for seed in range(given.first, given.first + given.fits)), strict=True)
    counts = Counter(wrong)
    print(machine(["smoothfit", "numpy", "scipy"]))
    print(f"{given.fits} fits, of which nothing is wrong with {counts.pop('', 0)}; widest interval {max(widest):.2f} ranges of y")
    for reason, count in counts.most_common():
        print(f"{count:6d} {reason}")


if __name__ == "__main__":
    main()
