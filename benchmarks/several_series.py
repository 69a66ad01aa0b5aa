"""Automatic fits of two and four series of unknown sd against one series with as many observations, and robust fits.

    python benchmarks/several_series.py [--quick] [--markdown]

Values and slopes of a sine at random x, by turns; each series has its own noise level, which is estimated with the smoothing. Times
are those of the processor (`time.process_time`), the fastest of several turns.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from functools import partial
from time import process_time

from _timing import Race, machine, stopwatch, table

# isort: split
import numpy as np

import smoothfit as sf
from smoothfit.errors import RoughnessWarning

SIZES = (1_000, 10_000, 100_000, 1_000_000)
ORDERS = (2, 3)
BARS = {2: 6, 4: 10}  # times a fit of one series
ROBUST_SIZE, ROBUST_BAR = 1_076, 20  # times the plain fit
OUTLIERS = 0.05
SEED = 20240229


def observations(n: int, n_series: int, outliers: float = 0.0) -> sf.Observations:
    """Values and slopes by turns, n in all, with noise sds of 0.1, 0.3, 0.5, 0.7."""
    rng = np.random.default_rng([SEED, n, n_series])
    found = None
    for i in range(n_series):
        x = np.sort(rng.uniform(0, 10, n // n_series))
        y = (2 * np.cos(2 * x) if i % 2 else np.sin(2 * x)) + (0.1 + 0.2 * i) * rng.standard_normal(len(x))
        far = rng.random(len(x)) < outliers
        y[far] += rng.uniform(-10, 10, far.sum())
        series = sf.observe(x, y, deriv=i % 2, name=f"series {i}")
        found = series if found is None else found + series
    assert found is not None
    return found


def fit(data: sf.Observations, order: int, robust: bool = False) -> object:
    """An automatic fit."""
    return sf.SmoothingSpline(data, order=order).fit(robust=robust)


def race_sizes(order: int, sizes: Sequence[int]) -> Race:
    """Fits of one, two and four series."""
    race = Race(rounds=4)
    for n in sizes:
        contenders = {}
        for n_series in (1, *BARS):
            contenders[str(n_series)] = stopwatch(partial(fit, observations(n, n_series), order), clock=process_time)
        race.run(n, contenders)
    return race


def race_robust(order: int) -> Race:
    """Plain and robust fits of one series and of two."""
    race = Race(rounds=3)
    for n_series in (1, 2):
        data = observations(ROBUST_SIZE, n_series, OUTLIERS)
        plain, robust = (stopwatch(partial(fit, data, order, robust), clock=process_time) for robust in (False, True))
        race.run(n_series, {"plain": plain, "robust": robust})
    return race


def verdict(ratio: float, bar: float) -> str:
    """Whether a bar is reached."""
    return "reached" if ratio <= bar else "not reached"


def main(sizes: Sequence[int], markdown: bool) -> None:
    """Print the tables."""
    print(machine(["numpy"]))
    print("processor time of a model and its fit, the fastest of several turns\n")
    for order in ORDERS:
        seconds = race_sizes(order, sizes).seconds
        rows = []
        for n in sizes:
            one = seconds["1"][n]
            for n_series in (1, *BARS):
                time = seconds[str(n_series)][n]
                judged = [f"{BARS[n_series]}", verdict(time / one, BARS[n_series])] if n_series > 1 else ["", ""]
                rows.append(
                    [f"n = {n}, {n_series} series", f"{1e3 * time:.1f}", f"{1e9 * time / n:.0f}", f"{time / one:.1f}", *judged]
                )
        header = ["", "ms", "ns an observation", "of one series", "bar", "verdict"]
        print(table(f"Automatic fit, order {order}", header, rows, markdown), "\n", flush=True)
    rows = []
    for order in ORDERS:
        seconds = race_robust(order).seconds
        for n_series in (1, 2):
            plain, robust = (seconds[name][n_series] for name in ("plain", "robust"))
            ratio = robust / plain
            cells = [f"{1e3 * plain:.1f}", f"{1e3 * robust:.0f}", f"{ratio:.1f}", f"{ROBUST_BAR}", verdict(ratio, ROBUST_BAR)]
            rows.append([f"{n_series} series, order {order}", *cells])
    header = ["", "plain, ms", "robust, ms", "ratio", "bar", "verdict"]
    print(table(f"Student-t noise, n = {ROBUST_SIZE}, {OUTLIERS:.0%} outliers", header, rows, markdown))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only n up to 1e5")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RoughnessWarning)  # slopes at order 2
    main(SIZES[: -1 if args.quick else None], args.markdown)
