"""How often intervals after the default method cover in short samples of an equation, and how often its tests reject.

    python benchmarks/equation_coverage.py [--replications 200] [--sizes 60 150 400]
        [--tests | --order-two | --two-outputs | --accelerometer]

The equation is y' = -y + 2 u + 0.5 at a spacing of 0.05, with u = +-1 held for ten samples: process noise 0.3, measurement noise
0.1, each alone and both. Of nominal 95 % intervals the table gives coverage for the coefficients, the time constant, the gain and
the curve 1, 5 and 20 steps after the sample, how often the t test of the true coefficient of y rejects at 5 %, and the widest
forecast interval in ranges of y. ``--tests`` adds how often `test_noise` rejects that a noise is zero at 5 %. ``--order-two`` is of
y'' = -4 y - y' + 4 u + 0.5 at a spacing of 0.1 instead, ``--two-outputs`` of y1' = -y1 + 0.5 y2 + 2 u + 0.5 and
y2' = 0.8 y1 - 1.5 y2 - 0.5 at that spacing, ``--accelerometer`` of y'' = -9 y - 0.6 y' + 2 u at a spacing of 0.05, with u of -1, 0
or 1 held for fifteen samples and y'' observed as well, with three times the noise of y; in all three the intervals of the normal
law of the estimates are beside.
``--noise`` chooses noises.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from _timing import machine, table
from dynamics import EQUATION, NOISES, TRUTH, samples
from numpy.typing import NDArray

# isort: split
import smoothfit as sf
from smoothfit.dynamics import DynamicsResults, response
from smoothfit.dynamics.specification import Equation

Array = NDArray[np.float64]
AHEAD = (1, 5, 20)
ORDER_TWO, TRUTH_TWO = Equation(2, ("y",), (0, 1), ("u",)), np.array([-4.0, -1.0, 4.0, 0.5])
TWO_OUTPUTS, TRUTH_OUTPUTS = Equation(1, ("y1", "y2"), (0,), ("u",)), np.array([-1.0, 0.5, 2.0, 0.5, 0.8, -1.5, 0.0, -0.5])
OSCILLATOR, TRUTH_OSCILLATOR = Equation(2, ("y",), (0, 1), ("u",), intercept=False), np.array([-9.0, -0.6, 2.0])


def covered(n: int, q: float, sigma: float, seed: int, tests: bool) -> list[float]:
    """What one sample adds to the columns of the table."""
    t, u, _ = samples(n + max(AHEAD), q, 0.0, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    rng.choice([-1.0, 1.0], -(-len(t) // 10))
    x = response.simulate(EQUATION, TRUTH, t, u[:, None], np.zeros(1), np.array([q]), rng)[:, 0]
    y = x[:n] + sigma * rng.standard_normal(n)
    res = sf.DerivativeRegression(y, t[:n], u[:n]).fit()
    low, high = res.conf_int().iloc[:3].to_numpy().T
    found = [float(a <= true <= b) for a, true, b in zip(low, TRUTH, high, strict=True)]
    low, high = res.time_constant().conf_int()
    found.append(low <= 1.0 <= high)
    gain = res.gain().iloc[0]
    found.append((gain["lower"] <= 2 <= gain["upper"]) != (gain["kind"] == "unbounded"))
    frame = res.forecast(t[n:], u[n:])
    low, high = frame["mean_ci_lower"].to_numpy(), frame["mean_ci_upper"].to_numpy()
    found += [low[k - 1] <= x[n + k - 1] <= high[k - 1] for k in AHEAD]
    found.append(float(np.squeeze(res.t_test("y = -1").pvalue)) < 0.05)
    found.append(float(np.max(high - low) / np.ptp(y)))
    if tests:
        rejected = res.test_noise()["pvalue"] < 0.05
        found += [bool(rejected.get(name, False)) for name in ("q = 0", "sigma = 0")]
    return [float(value) for value in found]


def by_both_laws(res: DynamicsResults, truth: Array, t: Array, u: Array, x: Array) -> list[float]:
    """Whether intervals of coefficients, and of outputs x (k, p) at later times, cover; then the same by the normal law."""
    found: list[float] = []
    for is_normal in (False, True):
        if is_normal:
            vars(res.smoother.fit)["posterior"] = None  # where the fit keeps it
        low, high = res.conf_int().to_numpy()[: len(truth)].T
        found += ((low <= truth) & (high >= truth)).tolist()
        frame = res.forecast(t, u)
        ends = [frame[one] if x.shape[1] > 1 else frame for one in res.model.equation.outputs]
        low, high = (np.column_stack([one[f"mean_ci_{end}"] for one in ends]) for end in ("lower", "upper"))
        inside = ((low <= x) & (x <= high)).mean(axis=1)
        found += [inside[k - 1] for k in AHEAD]
    return [float(value) for value in found]


def order_two(n: int, q: float, sigma: float, seed: int) -> list[float]:
    """Coverage of coefficients and forecasts by both laws."""
    rng = np.random.default_rng(seed)
    t = np.arange(n + max(AHEAD)) * 0.1
    u = np.repeat(rng.uniform(-1, 1, -(-len(t) // 10)), 10)[: len(t)]
    x = response.simulate(ORDER_TWO, TRUTH_TWO, t, u[:, None], np.zeros(2), np.array([q]), rng)[:, 0]
    res = sf.DerivativeRegression(x[:n] + sigma * rng.standard_normal(n), t[:n], u[:n], order=2).fit()
    return by_both_laws(res, TRUTH_TWO, t[n:], u[n:], x[n:, None])


def two_outputs(n: int, q: float, sigma: float, seed: int) -> list[float]:
    """Coverage of coefficients and forecasts of both outputs by both laws."""
    rng = np.random.default_rng(seed)
    t = np.arange(n + max(AHEAD)) * 0.1
    u = np.repeat(rng.choice([-1.0, 1.0], -(-len(t) // 10)), 10)[: len(t)]
    x = response.simulate(TWO_OUTPUTS, TRUTH_OUTPUTS, t, u[:, None], np.zeros(2), np.full(2, q), rng)
    res = sf.DerivativeRegression(x[:n] + sigma * rng.standard_normal((n, 2)), t[:n], u[:n]).fit()
    if res.smoother.fit.posterior is None:
        raise sf.errors.NumericalError("too few points are effective")
    return by_both_laws(res, TRUTH_OUTPUTS, t[n:], u[n:], x[n:])


def accelerometer(n: int, q: float, sigma: float, seed: int) -> list[float]:
    """Coverage of coefficients and forecasts by both laws if y and its second derivative are observed."""
    rng = np.random.default_rng(seed)
    t = np.arange(n + max(AHEAD)) * 0.05
    u = np.repeat(rng.choice([-1.0, 0.0, 1.0], -(-len(t) // 15)), 15)[: len(t)]
    states = response.simulate(OSCILLATOR, TRUTH_OSCILLATOR, t, u[:, None], np.array([1.0, 0.0]), np.array([q]), rng)
    x = states[:, 0]
    noise = sigma * rng.standard_normal((n, 2))
    second = np.column_stack([states, u])[:n] @ TRUTH_OSCILLATOR + 3 * noise[:, 1]
    observed = sf.observe(t[:n], x[:n] + noise[:, 0], name="y") + sf.observe(t[:n], second, deriv=2, name="acc")
    res = sf.DerivativeRegression(observed, t[:n], u[:n], order=2, intercept=False).fit()
    return by_both_laws(res, TRUTH_OSCILLATOR, t[n:], u[n:], x[n:, None])


MODELS = {
    "order-two": (order_two, ORDER_TWO),
    "two-outputs": (two_outputs, TWO_OUTPUTS),
    "accelerometer": (accelerometer, OSCILLATOR),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 150, 400])
    parser.add_argument("--tests", action="store_true")
    for label in MODELS:
        parser.add_argument(f"--{label}", dest="model", action="store_const", const=label)
    parser.add_argument("--noise", choices=list(NOISES)[:3], action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = ["n", "noise", "fits", "y", "u", "const", "time constant", "gain", *(f"{k} ahead" for k in AHEAD), "t test", "widest"]
    columns += ["q = 0", "sigma = 0"] if options.tests else []
    both_laws, equation = MODELS.get(options.model, (None, EQUATION))
    if both_laws:
        laws = ("", ", normal")
        names = [*equation.names, *(f"{k} ahead" for k in AHEAD)]
        columns = ["n", "noise", "fits", *(name + law for law in laws for name in names)]
    rows = []
    for n in options.sizes:
        for name in options.noise or list(NOISES)[:3]:
            q, sigma = NOISES[name]
            found = []
            for seed in range(options.replications):
                try:
                    one = both_laws(n, q, sigma, seed) if both_laws else covered(n, q, sigma, seed, options.tests)
                    found.append(one)
                except sf.errors.SmoothfitError:
                    continue
            values = np.array(found)
            means = values.mean(axis=0)
            if not both_laws:
                means[9] = values[:, 9].max()
            rows.append([str(n), name, str(len(found)), *(f"{value:.3f}" for value in means)])
            print(" ".join(rows[-1]), flush=True)
    print(machine(["smoothfit", "numpy", "scipy"]))
    print(table("Coverage of nominal 95 % intervals", columns, rows, markdown=False))


if __name__ == "__main__":
    main()
