"""Differential equations from noisy samples: speed against statsmodels, and the Monte Carlo table of all methods.

    python benchmarks/dynamics.py [--quick] [--markdown] [--monte-carlo REPLICATIONS] [--bars]

Speed: y' = -y + 2 u + 0.5 with both noises. "kalman" is the whole fit, from arrays to certified estimates with standard errors; the
peer is the same equation as a statsmodels MLEModel with an exactly diffuse start, fitted from the true parameters, without standard
errors. "hidden state" is the same of an equation of order two with one hidden state (`hidden_states.py`).

Bars (``--bars``, these alone): processor seconds of whole fits of irregular times (order two, spacings of .5 to 1.5 steps), and of
long records, beside what they are to stay below.

Monte Carlo: 400 samples at spacing 0.05, u = +-1 held for ten samples; noise of the observations 0.1 and process noise 0.3, each
alone and both, and both with rough observations, of sd 0.3.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from time import perf_counter, process_time

from _timing import machine, table

# isort: split
import hidden_states
import numpy as np
from numpy.typing import NDArray
from statsmodels.tsa.statespace.mlemodel import MLEModel

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import BiasWarning, SmoothfitError

Array = NDArray[np.float64]
EQUATION = Equation(1, ("y",), (0,), ("u",))
TRUTH = np.array([-1.0, 2.0, 0.5])
SECOND = Equation(2, ("y",), (0, 1), ("u",))
STEP = 0.05
NOISES = {"observations": (0.0, 0.1), "process": (0.09, 0.0), "both": (0.09, 0.1), "both, rough observations": (0.09, 0.3)}
BARS = (
    ("kalman", "irregular, order 2", 2000, 0.2),
    ("output_error", "irregular, order 2", 2000, 0.2),
    ("armax", "held inputs", 100_000, 0.2),
    ("whittle", "held inputs", 100_000, 0.2),
    ("iv", "held inputs", 100_000, 0.2),
    ("output_error", "held inputs", 1_000_000, 5.0),
    ("armax", "held inputs", 1_000_000, 5.0),
)
METHODS = ("difference", "arx", "integral", "weak", "fourier", "profile", "iv", "output_error", "whittle", "armax", "kalman")


def samples(n: int, q: float, sigma: float, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """t, u and y."""
    t = np.arange(n) * STEP
    u = np.repeat(rng.choice([-1.0, 1.0], -(-n // 10)), 10)[:n]
    y = response.simulate(EQUATION, TRUTH, t, u[:, None], np.zeros(1), np.array([q]), rng)[:, 0]
    return t, u, y + sigma * rng.standard_normal(n)


class Peer(MLEModel):
    """The same equation in statsmodels."""

    start_params = np.array([*TRUTH, 0.09, 0.01])
    param_names = ("a", "b", "c", "q", "sigma2")

    def __init__(self, y: Array, u: Array):
        super().__init__(y, k_states=1, initialization="diffuse")
        self.u = u
        self["design", 0, 0] = self["selection", 0, 0] = 1

    def transform_params(self, unconstrained: Array) -> Array:
        return np.array([*unconstrained[:3], *unconstrained[3:] ** 2])

    def untransform_params(self, constrained: Array) -> Array:
        return np.array([*constrained[:3], *np.sqrt(constrained[3:])])

    def update(self, params: Array, **kwargs: object) -> None:
        a, b, c, q, s2 = super().update(params, **kwargs)
        self["transition", 0, 0] = np.exp(a * STEP)
        self["state_cov", 0, 0] = q * np.expm1(2 * a * STEP) / (2 * a)
        self["obs_cov", 0, 0] = s2
        self["state_intercept"] = (np.expm1(a * STEP) / a * (b * self.u + c))[None]


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The fastest of some rounds."""
    best = np.inf
    for _ in range(rounds):
        start = perf_counter()
        work()
        best = min(best, perf_counter() - start)
    return best


def speed(quick: bool) -> list[list[str]]:
    """Seconds of whole fits."""
    rows = []
    for n in (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
        t, u, y = samples(n, 0.09, 0.1, np.random.default_rng(0))
        model = sf.DerivativeRegression(y, t, u)
        ours = [seconds(lambda m=method, f=model: f.fit(m), 5) for method in ("kalman", "arx", "integral", "weak")]
        hours, power, _, room, _ = hidden_states.samples("building", n, 0)
        ours.append(seconds(sf.DerivativeRegression(room, hours, power, hidden=1).fit, 3))
        row = [f"{n:,}", *(f"{each:.4f}" for each in ours)]
        if n <= (10_000 if quick else 100_000):
            peer = seconds(lambda y=y, u=u: Peer(y, u).fit(disp=0, cov_type="none"), 1)
            row += [f"{peer:.2f}", f"1/{peer / ours[0]:.0f}"]
        else:
            row += ["-", "-"]
        rows.append(row)
    return rows


def irregular(n: int, q: float) -> tuple[Array, Array, Array]:
    """t, u and y of y'' = -4 y - y' + 4 u + 0.5 at irregular times, with measurement noise."""
    rng = np.random.default_rng(0)
    t = STEP * np.cumsum(rng.uniform(0.5, 1.5, n))
    u = np.repeat(rng.choice([-1.0, 1.0], -(-n // 10)), 10)[:n]
    x = response.simulate(SECOND, np.array([-4.0, -1.0, 4.0, 0.5]), t, u[:, None], np.zeros(2), np.array([q]), rng)[:, 0]
    return t, u, x + 0.1 * rng.standard_normal(n)


def bars(quick: bool) -> list[list[str]]:
    """Processor seconds of each fit from arrays on, the least of two."""
    rows = []
    for method, kind, n, bar in BARS:
        n = n // 20 if quick else n
        q = 0.0 if method == "output_error" else 0.09  # the noise that the method assumes
        order = 2 if kind.startswith("irregular") else 1
        t, u, y = irregular(n, q) if order == 2 else samples(n, q, 0.1, np.random.default_rng(0))
        seconds = []
        for _ in range(2):
            start = process_time()
            sf.DerivativeRegression(y, t, u, order=order).fit(method)
            seconds.append(process_time() - start)
        rows.append([method, kind, f"{n}", f"{min(seconds):.2f}", f"{bar:g}"])
        print(" ".join(rows[-1]), flush=True)
    return rows


def monte_carlo(replications: int) -> tuple[list[list[str]], list[list[str]]]:
    """Under each noise, RMSE of the coefficient of y and coverage of its 95 % interval; and how often the fit warns of bias."""
    rows = {method: [method] for method in METHODS}
    advised = {method: [method] for method in METHODS}
    for q, sigma in NOISES.values():
        found: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
        warned = dict.fromkeys(METHODS, 0)
        for seed in range(replications):
            t, u, y = samples(400, q, sigma, np.random.default_rng(seed))
            model = sf.DerivativeRegression(y, t, u)
            for method in METHODS:
                with warnings.catch_warnings(record=True) as heard:
                    warnings.simplefilter("always")
                    try:
                        res = model.fit(method)
                    except SmoothfitError:
                        continue
                warned[method] += any(issubclass(each.category, BiasWarning) for each in heard)
                found[method].append((res.params["y"] + 1, res.bse["y"]))
        for method, estimates in found.items():
            error, se = np.array(estimates).T
            failed = replications - len(estimates)
            covered = np.mean(np.abs(error) < 1.959963984540054 * se)
            rows[method].append(f"{np.sqrt(np.mean(error**2)):.3f}/{covered:.2f}" + (f" ({failed} failed)" if failed else ""))
            advised[method].append(f"{warned[method] / len(estimates):.2f}")
    return list(rows.values()), list(advised.values())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and 20 replications")
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    parser.add_argument("--monte-carlo", type=int, default=200, metavar="REPLICATIONS")
    parser.add_argument("--bars", action="store_true", help="processor seconds of irregular and of long records alone")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine(["numpy", "scipy", "statsmodels"]), end="\n\n")
    if options.bars:
        header = ["method", "sample", "n", "CPU s", "bar"]
        print(table("Whole fits, processor seconds", header, bars(options.quick), options.markdown))
        return
    header = ["n", "kalman", "arx", "integral", "weak", "hidden state", "statsmodels MLEModel", "kalman / statsmodels"]
    print(table("Whole fits, seconds", header, speed(options.quick), options.markdown), end="\n\n")
    count = 20 if options.quick else options.monte_carlo
    title = f"RMSE of the coefficient of y / coverage of its 95 % interval, {count} replications"
    header = ["method", *(f"noise: {name}" for name in NOISES)]
    accuracy, advised = monte_carlo(count)
    print(table(title, header, accuracy, options.markdown), end="\n\n")
    print(table("Share of the samples whose fit warns of bias or of short intervals", header, advised, options.markdown))


if __name__ == "__main__":
    main()
