"""How often intervals cover in samples of a plant with dead time whose delay is estimated.

    python benchmarks/dead_time.py [--replications 100] [--n 400] [--method kalman]

The plant has a time constant of 150, a gain of 2 and a dead time of 17, sampled every 1; the input takes one of four values for 40
samples. Measurement noise of SD 0.1 alone, fitted by "output_error", and with process noise of intensity 4e-4, fitted by "kalman".
Of nominal 95 % intervals the table gives coverage for the coefficients, the delay, the time constant, the gain and the curve 1, 5
and 20 steps after the sample.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import numpy.typing as npt
from _timing import machine, table

# isort: split
import smoothfit as sf

AHEAD = (1, 5, 20)
CONSTANT, GAIN, DELAY, HELD = 150.0, 2.0, 17, 40
ROWS = (("output_error", 0.0, 0.1), ("kalman", 4e-4, 0.1))  # method, process and measurement noise

Array = npt.NDArray[np.float64]


def plant(n: int, q: float, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """t, u and the exact curve."""
    t, u = np.arange(float(n)), np.repeat(rng.choice([-1.0, 0.0, 1.0, 2.0], n // HELD + 1), HELD)[:n]
    decay = np.exp(-1 / CONSTANT)
    noise = np.sqrt(q * CONSTANT / 2 * (1 - decay**2)) * rng.standard_normal(n)
    x = np.zeros(n)
    for k in range(n - 1):
        x[k + 1] = decay * x[k] + (1 - decay) * GAIN * u[max(k - DELAY, 0)] + noise[k]
    return t, u, x


def covered(method: str, n: int, q: float, sigma: float, seed: int) -> list[bool]:
    """What one sample adds to the columns of the table."""
    rng = np.random.default_rng(seed)
    t, u, x = plant(n + max(AHEAD), q, rng)
    res = sf.DerivativeRegression((x + sigma * rng.standard_normal(len(x)))[:n], t[:n], u[:n], delay="estimate").fit(method)
    truth = (-1 / CONSTANT, GAIN / CONSTANT, 0.0)
    found = [low <= true <= high for (low, high), true in zip(res.conf_int().to_numpy()[:3], truth, strict=True)]
    for estimate, true in ((res.delay, float(DELAY)), (res.time_constant(), CONSTANT)):
        low, high = estimate.conf_int()
        found.append(low <= true <= high)
    gain = res.gain().iloc[0]
    found.append(gain["kind"] == "all" or (gain["lower"] <= GAIN <= gain["upper"]) != (gain["kind"] == "unbounded"))
    frame = res.forecast(t[n:], u[n:])
    low, high = frame["mean_ci_lower"].to_numpy(), frame["mean_ci_upper"].to_numpy()
    return found + [low[k - 1] <= x[n + k - 1] <= high[k - 1] for k in AHEAD]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--method", choices=[row[0] for row in ROWS], action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for method, q, sigma in [row for row in ROWS if not options.method or row[0] in options.method]:
        found, started = [], time.process_time()
        for seed in range(options.replications):
            try:
                found.append(covered(method, options.n, q, sigma, seed))
            except sf.errors.SmoothfitError as error:
                print(f"{method}, sample {seed}: {error}")
            if found and len(found) % 10 == 0:
                print(method, len(found), np.mean(found, axis=0).round(3).tolist(), flush=True)
        seconds = (time.process_time() - started) / options.replications
        rows.append([method, str(len(found)), *(f"{value:.2f}" for value in np.mean(found, axis=0)), f"{seconds:.1f}"])
    columns = ["y", "u", "const", "delay", "time constant", "gain", *(f"{k} ahead" for k in AHEAD)]
    print(machine(["smoothfit", "numpy", "scipy"]))
    title = f"Coverage of nominal 95 % intervals, n = {options.n}"
    print(table(title, ["method", "fits", *columns, "CPU s a fit"], rows, markdown=False))


if __name__ == "__main__":
    main()
