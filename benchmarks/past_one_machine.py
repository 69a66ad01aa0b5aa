"""Processor time a row of fits of many curves and of accumulated regressions, alone and with Dask's share.

    python benchmarks/past_one_machine.py

One thread; processor time, not time on the clock, so that other work on the machine matters little.
"""

import resource
import time

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd

import smoothfit as sf
import smoothfit.dask

ROWS = 400_000
TERA = 1e12


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def curves(n):
    """A frame of curves of n rows."""
    rng = np.random.default_rng(0)
    x = np.tile(np.linspace(0, 10, n), ROWS // n)
    frame = pd.DataFrame({"id": np.repeat(np.arange(ROWS // n), n), "x": x})
    frame["y"] = np.sin(x + frame["id"]) + 0.1 * rng.standard_normal(len(frame))
    return frame


def report(name, cost):
    days = cost / ROWS * TERA / 86_400 / 1000
    print(f"{name:<55} {1e6 * cost / ROWS:8.2f} us a row   1e12 rows on 1000 cores: {24 * days:8.1f} hours")


def main():
    dask.config.set(scheduler="synchronous")
    for n in (50, 1000):
        frame = curves(n)
        report(f"fit_curves, curves of {n} rows", seconds(lambda f=frame: sf.fit_curves(f, "id", "x", {"y": 0}, threads=1)))
        lazy = smoothfit.dask.fit_curves(dd.from_pandas(frame, npartitions=8), "id", "x", {"y": 0})
        report("  the same on Dask, with a shuffle", seconds(lazy.compute))
    basis = sf.BSplineBasis.uniform(0, 10, 200)
    data = curves(1000)
    parts = [data.iloc[k : k + 50_000] for k in range(0, ROWS, 50_000)]
    serial = sf.SplineRegression.accumulate(basis)
    report("accumulate, 203 functions", seconds(lambda: serial.add_frames(parts, "x", {"y": 0})))
    lazy = smoothfit.dask.accumulate(dd.from_pandas(data, npartitions=8), basis, "x", {"y": 0})
    report("  the same on Dask", seconds(lazy.compute))
    print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB")


if __name__ == "__main__":
    main()
