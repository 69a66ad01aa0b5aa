"""First intervals of fits of 200 observations, which find the posterior of what is estimated: processor time on one thread.

    python benchmarks/first_intervals.py [--quick] [--markdown]

A sine with noise, everything estimated: the fit, the first intervals at 200 points, and those of a second call, which use the
nodes of the first. Of each the least of some turns; the number of nodes is that of `parameter_posterior`. Gaussian processes are in
`gaussian_processes.py`. Of a million observations the first intervals stand beside one smoothing pass, a filter forward and a
smoother backward, at orders 2 and 3.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from _timing import machine, table

# isort: split
import numpy as np

import smoothfit as sf
from smoothfit import priors

ROUNDS, QUICK = 9, 2
N = 200
HEADER = ["model", "fit", "first intervals", "later intervals", "nodes"]


def models() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Fits by name."""
    rng = np.random.default_rng(1)
    x, noise = np.linspace(0, 6, N), rng.standard_normal((2, N))
    y = sf.observe(x, np.sin(x) + 0.2 * noise[0], name="f")
    slopes = sf.observe(x, np.cos(x) + 0.3 * noise[1], deriv=1, name="f'")
    basis = sf.BSplineBasis.uniform(0, 6, 30)
    penalty = sf.DerivativePenalty(2)
    two = sf.DerivativePenalty(1) + sf.DerivativePenalty(3)
    yield "`SmoothingSpline`", lambda: sf.SmoothingSpline(y, order=2).fit()
    yield "the same, values and slopes", lambda: sf.SmoothingSpline(y + slopes, order=2).fit()
    yield "`Matern(1.5)`", lambda: sf.SmoothingSpline(y, prior=priors.Matern(1.5)).fit()
    yield "`LocalLinearTrend`", lambda: sf.SmoothingSpline(y, prior=priors.LocalLinearTrend()).fit()
    yield "`SplineRegression`, one penalty", lambda: sf.SplineRegression(y, basis, penalty=penalty).fit()
    yield "`SplineRegression`, two penalties", lambda: sf.SplineRegression(y, basis, penalty=two).fit()


def row_of(name: str, fit: Callable[[], Any], rounds: int) -> list[str]:
    """Milliseconds of processor time of a fit, of its first intervals and of later ones, the least of some turns; and nodes."""
    turns, at = [], np.linspace(0, 6, N)
    for _ in range(rounds):
        times = [process_time()]
        res = fit()
        times.append(process_time())
        for _ in range(2):
            res.get_prediction(at).conf_int()
            times.append(process_time())
        turns.append(1000 * np.diff(times))
    nodes = len(res.parameter_posterior.weights)
    return [name, *(f"{value:.1f}" for value in np.min(turns, axis=0)), f"{nodes}"]


def row_of_many(order: int, n: int, rounds: int) -> list[str]:
    """Processor seconds of one smoothing pass over a sine of many waves and of the first intervals, and their ratio."""
    rng, at = np.random.default_rng(1), np.linspace(0, n / 1000, N)
    x = np.sort(rng.uniform(0, n / 1000, n))
    y = sf.observe(x, np.sin(x) + 0.3 * rng.standard_normal(n))
    turns = []
    for _ in range(rounds):
        res, other = (sf.SmoothingSpline(y, order=order).fit() for _ in range(2))
        posterior = other.engine.at(other.theta_hat)
        times = [process_time()]
        for work in (lambda posterior=posterior: posterior.smoothed, lambda res=res: res.get_prediction(at).conf_int()):
            work()
            times.append(process_time())
        turns.append(np.diff(times))
    one, all_of_it = np.min(turns, axis=0)
    return [
        f"{order}",
        f"{n}",
        f"{one:.3f}",
        f"{all_of_it:.3f}",
        f"{all_of_it / one:.2f}",
        f"{len(res.parameter_posterior.weights)}",
    ]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--markdown", action="store_true", help="a table as in the documentation")
    args = parser.parse_args()
    warnings.simplefilter("ignore", sf.errors.RoughnessWarning)  # of the slopes, which are white noise of order 2
    print(machine(("numpy", "scipy")))
    rows = [row_of(name, fit, QUICK if args.quick else ROUNDS) for name, fit in models()]
    print(table("Milliseconds of processor time", HEADER, rows, args.markdown))
    n = 10**5 if args.quick else 10**6
    many = [row_of_many(order, n, QUICK if args.quick else ROUNDS) for order in (2, 3)]
    print(table("Seconds of processor time", ["order", "n", "one pass", "first intervals", "ratio", "nodes"], many, args.markdown))


if __name__ == "__main__":
    main()
