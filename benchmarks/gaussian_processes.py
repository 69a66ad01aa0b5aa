"""Intervals of Gaussian processes that integrate over all hyperparameters, by dense algebra: processor time on one thread.

    python benchmarks/gaussian_processes.py [--quick] [--markdown]

A sine in one input with noise, squared exponential kernel, everything estimated: the fit, the first intervals at 50 points, which
find the posterior of the hyperparameters, and those at other points, which use it.
"""

from __future__ import annotations

import argparse
from time import process_time

from _timing import machine, table

# isort: split
import numpy as np

import smoothfit as sf

ROUNDS = 5
SIZES = (20, 50, 100, 200, 300)


def seconds(n: int) -> list[float]:
    """Processor seconds of a fit, of its first intervals and of later ones, the least of some turns."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 10, n))
    y = np.sin(x) + 0.3 * rng.standard_normal(n)
    turns = []
    for _ in range(ROUNDS):
        times = [process_time()]
        res = sf.GaussianProcess(x, y, sf.gp.SquaredExponential()).fit()
        times.append(process_time())
        for shift in (0.0, 0.01):
            res.get_prediction(np.linspace(0, 9.9, 50) + shift).conf_int()
            times.append(process_time())
        turns.append(np.diff(times))
    return np.min(turns, axis=0).tolist()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer observations")
    parser.add_argument("--markdown", action="store_true", help="a table as in the documentation")
    args = parser.parse_args()
    print(machine(("numpy", "scipy")))
    rows = [[f"{n}", *(f"{value:.3f}" for value in seconds(n))] for n in ((20, 50) if args.quick else SIZES)]
    print(table("Processor seconds", ["observations", "fit", "first intervals", "later intervals"], rows, args.markdown))


if __name__ == "__main__":
    main()
