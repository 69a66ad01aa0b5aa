"""How often intervals of time constants and static gains cover, for samples of a few time constants.

    python benchmarks/dynamics_ratios.py [--replications 200]

The equation is y' = -y / T + 2 u / T at unit spacing, with u a random square wave of period 20; its noise enters the equation
(q = 0.1), the observations, or both. The table gives the coverage of nominal 95 % intervals of T, from the transformed ends of
the rate's interval, and of the gain 2 by the delta method and by Fieller's sets.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from _timing import machine, table

import smoothfit as sf

CASES = (  # method, n, rate, q, sd of the observations
    ("output_error", 250, 0.0578, 0.0, 0.3),
    ("kalman", 250, 0.0578, 0.1, 0.1),
    ("arx", 250, 0.0578, 0.1, 0.0),
    ("arx", 100, 0.0578, 0.1, 0.0),
    ("arx", 250, 0.02, 0.1, 0.0),
    ("output_error", 100, 0.02, 0.0, 0.5),
)
GAIN = 2.0


def covered(method: str, n: int, rate: float, q: float, sd: float, seed: int) -> tuple[bool, bool, bool] | None:
    """Whether the intervals of one sample cover; None where it has no estimate."""
    rng = np.random.default_rng(seed)
    u = np.repeat(rng.choice([-1.0, 1.0], n // 20 + 1), 20)[:n]
    phi, z = np.exp(-rate), np.zeros(n)
    for k in range(n - 1):
        z[k + 1] = phi * z[k] + (1 - phi) * GAIN * u[k] + np.sqrt(q * (1 - phi**2) / (2 * rate)) * rng.standard_normal()
    try:
        res = sf.DerivativeRegression(z + sd * rng.standard_normal(n), np.arange(n), u).fit(method)
    except sf.errors.SmoothfitError:
        return None
    low, high = res.time_constant().conf_int()
    delta, exact = res.gain("delta").iloc[0], res.gain().iloc[0]
    inside = exact["lower"] <= GAIN <= exact["upper"]
    outside = exact["lower"] >= GAIN or exact["upper"] <= GAIN
    in_set = {"interval": inside, "unbounded": outside, "all": True}[exact["kind"]]
    return low <= 1 / rate <= high, delta["lower"] <= GAIN <= delta["upper"], in_set


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replications", type=int, default=200)
    size = parser.parse_args().replications
    rows = []
    for case in CASES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sf.errors.SmoothfitWarning)
            found = [hit for seed in range(size) if (hit := covered(*case, seed)) is not None]
        rows.append([*map(str, case), str(len(found)), *(f"{share:.3f}" for share in np.mean(found, axis=0))])
    print(machine(["smoothfit", "numpy", "scipy"]))
    columns = ["method", "n", "rate", "q", "sd", "fits", "time constant", "gain, delta", "gain, Fieller"]
    print(table("Coverage of nominal 95 % intervals", columns, rows, markdown=False))


if __name__ == "__main__":
    main()
