"""How often intervals of equations with hidden states cover, and how often both poles are found.

    python benchmarks/hidden_states.py [--replications 100] [--size 400] [--plant building | oscillator]

A building of two resistances (2 and 8 K/kW) and two capacities (1 and 8 kWh/K), seen through the temperature of the room: poles
-0.564 and -0.0138, zero -0.078, gain 10, samples every hour, the heater on or off for eight at a time. An oscillator with poles
-0.05 +- 0.5i, zero -0.3, gain 1, samples every half, the input held for eight. Both states have process noise, the observations
measurement noise. Of nominal 95 % intervals the table gives coverage for the coefficients, poles (rate and frequency), zero,
half-life, gain, step response and the curve 1, 20 and 100 steps after the sample, and how often no maximum was found or the
posterior was not sampled.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable

from _timing import machine, table

# isort: split
import numpy as np
from numpy.typing import NDArray

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import SmoothfitError

Array = NDArray[np.float64]
AHEAD = (1, 20, 100)
HELD = 8
EQUATION = Equation(2, ("y",), (0, 1), ("u",), input_derivatives=(1,), hidden=1)
PLANTS = {  # poles, zero, gain, step, intensities of the noises of both states, measurement noise, times of the step response
    "building": (np.roots([1.0, 0.578125, 0.0078125])[::-1], -0.078125, 10.0, 1.0, (0.02**2, 0.01**2), 0.1, (10.0, 100.0)),
    "oscillator": (np.array([-0.05 + 0.5j, -0.05 - 0.5j]), -0.3, 1.0, 0.5, (0.02**2, 0.01**2), 0.05, (2.0, 20.0)),
}


def samples(name: str, n: int, seed: int) -> tuple[Array, Array, Array, Array, Array]:
    """t, u, y without its noise, y, and the true coefficients."""
    poles, zero, gain, step, q, sigma, _ = PLANTS[name]
    rng = np.random.default_rng(seed)
    t = np.arange(n) * step
    u = np.repeat(rng.integers(0, 2, -(-n // HELD)).astype(float), HELD)[:n]
    denominator = np.poly(poles).real
    level = gain * denominator[2]
    truth = np.array([-denominator[2], -denominator[1], level, level / -zero, 0.0])
    x = response.simulate(EQUATION, truth, t, u[:, None], np.zeros(2), np.array(q), rng)[:, 0]
    return t, u, x, x + sigma * rng.standard_normal(n), truth


def covered(name: str, n: int, seed: int) -> dict[str, float]:
    """What one sample adds to the columns of the table."""
    poles, zero, gain, *_, times = PLANTS[name]
    t, u, x, y, truth = samples(name, n + max(AHEAD), seed)
    res = sf.DerivativeRegression(y[:n], t[:n], u[:n], hidden=1).fit()
    interval = res.conf_int().iloc[: len(truth)].to_numpy()
    found = dict(zip(EQUATION.names, (interval[:, 0] <= truth) & (truth <= interval[:, 1]), strict=True))
    roots = res.transfer_function().roots()
    values = {("pole", i): pole for i, pole in enumerate(poles[: len(roots) - 1])} | {("zero", 0): zero}
    for (kind, i), value in values.items():
        low, high = roots.loc[(kind, i), ["lower(rate)", "upper(rate)"]]
        found[f"{kind} {i + 1}" if kind == "pole" else kind] = low <= value.real <= high
    if np.iscomplexobj(poles):
        low, high = roots.loc[("pole", 0), ["lower(frequency)", "upper(frequency)"]]
        found["frequency"] = low <= poles[0].imag <= high
    low, high = res.half_life().conf_int()
    found["half-life"] = low <= np.log(2) / -poles.real.max() <= high
    of_gain = res.gain().iloc[0]
    found["gain"] = of_gain["lower"] <= gain <= of_gain["upper"]
    steps = res.step_response(times)
    true_steps = response.step_response(EQUATION, truth, np.array(times))[:, 0, 0]
    for time, value, (low, high) in zip(times, true_steps, steps[["lower", "upper"]].to_numpy(), strict=True):
        found[f"step {time:g}"] = low <= value <= high
    frame = res.forecast(t[n:], u[n:])
    low, high = frame["mean_ci_lower"].to_numpy(), frame["mean_ci_upper"].to_numpy()
    for k in AHEAD:
        found[f"{k} ahead"] = low[k - 1] <= x[n + k - 1] <= high[k - 1]
    found["integrated"] = res._integrates
    return {key: float(value) for key, value in found.items()}


def tabulate(plants: Iterable[str], covered: Callable[[str, int, int], dict[str, float]], description: str | None) -> None:
    """Print a table for each plant that the command line asks for; `covered` is given a plant, a size and a seed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--plant", choices=list(plants), action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.plant or list(plants):
        results, failed = [], 0
        for seed in range(options.first, options.first + options.replications):
            try:
                results.append(covered(name, options.size, seed))
            except SmoothfitError:
                failed += 1
        keys = list(dict.fromkeys(key for one in results for key in one))
        rows = [[key, f"{np.mean([one[key] for one in results if key in one]):.3f}"] for key in keys]
        title = f"{name}: n = {options.size}, {len(results)} samples, {failed} failed"
        print(table(title, ["quantity", "coverage"], rows, markdown=True), flush=True)
    print(machine(["smoothfit-stats", "numpy", "scipy"]))


if __name__ == "__main__":
    tabulate(PLANTS, covered, __doc__)
