"""Intervals of `fit_curves` against dense quadrature of the same posteriors, and their price.

    python benchmarks/many_intervals.py [--curves 100] [--markdown]

Accuracy: five shapes with normal noise, everything estimated, in designs of 10 to 100 observations a curve; of each curve the
largest distance of an end of a 95 % interval at 30 x, within the observations and beyond, from that by the likelihood at 400 values
of the smoothing, in half-widths. Price: processor time of 1000 sines of 100 observations on one thread, without and with intervals
at 100 other x, the least of some turns.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from time import process_time

from _timing import machine, table

# isort: split
import numpy as np
import pandas as pd
from numpy.typing import NDArray

import smoothfit as sf
from smoothfit.inference.marginal import HyperparameterPosterior, log_density
from smoothfit.observations.abscissa import Points
from smoothfit.results.mixtures import mixture
from smoothfit.statespace.functionals import CurveFunctionals

Array = NDArray[np.float64]
GRID = np.linspace(-0.3, 6.3, 30)
SHAPES: list[Callable[[Array], Array]] = [
    np.sin,
    np.ones_like,
    lambda x: 4 * np.abs(x / 6 - 0.5),
    lambda x: x / 3,
    lambda x: 1 / (1 + np.exp(30 - 10 * x)),
]
DESIGNS = [(3, 0, 0.3), (3, 100, 0.3), (2, 0, 0.3), (2, 60, 0.1), (3, 60, 0.1)]  # order, observations (0: 10 to 100), noise
TURNS, DENSE, FALL = 9, 400, 14.0


def curves_of(n_curves: int, n: int, noise: float, seed: int) -> pd.DataFrame:
    """Curves of all shapes by turns."""
    rng, parts = np.random.default_rng(seed), []
    for i in range(n_curves):
        x = np.sort(rng.uniform(0, 6, n or int(rng.integers(10, 101))))
        parts.append(pd.DataFrame({"id": i, "x": x, "y": SHAPES[i % len(SHAPES)](x) + noise * rng.standard_normal(len(x))}))
    return pd.concat(parts)


def dense(res: sf.statespace.SmoothingSplineResults, deriv: int) -> Array:
    """Intervals by the density at many values, found without a search."""
    engine = res.fitted.engine
    theta = np.linspace(engine.lower[0], engine.upper[0], 4 * DENSE)[:, None]
    log = log_density(engine, theta)
    theta, log = theta[log > log.max() - FALL], log[log > log.max() - FALL]
    step = max(1, len(theta) // DENSE)
    theta, weights = theta[::step], np.exp(log - log.max())[::step]
    scale2 = engine.terms(theta).sse.value / engine.count
    posterior = HyperparameterPosterior(theta, weights / weights.sum(), scale2, float(engine.count), False)
    return mixture(posterior, engine.moments(theta, CurveFunctionals(Points(GRID), (deriv,)))).interval()


def distances(n_curves: int) -> dict[int, Array]:
    """Largest distances of each curve, by order of the derivative."""
    found: dict[int, list[float]] = {}
    for seed, (order, n, noise) in enumerate(DESIGNS):
        fits = sf.fit_curves(
            curves_of(n_curves, n, noise, seed), by="id", x="x", readings={"y": 0}, order=order, threads=1, progress=False
        )
        for deriv in range(order):
            for curve, part in fits.predict(GRID, deriv).groupby("id"):
                exact = dense(fits[curve], deriv)
                apart = np.abs(part[["mean_ci_lower", "mean_ci_upper"]].to_numpy() - exact) / np.ptp(exact, axis=1)[:, None]
                found.setdefault(deriv, []).append(2 * float(apart.max()))
    return {deriv: np.array(each) for deriv, each in found.items()}


def price(order: int, noise: float) -> list[str]:
    """Seconds of fits without and with intervals, and their ratio."""
    rng, at, times = np.random.default_rng(1), np.linspace(0, 1, 100), []
    x = np.sort(rng.random((1000, 100)), axis=1)
    y = np.sin(rng.uniform(2, 12, (1000, 1)) * x) + noise * rng.standard_normal(x.shape)
    frame = pd.DataFrame({"id": np.repeat(np.arange(1000), 100), "x": x.ravel(), "y": y.ravel()})
    for _ in range(TURNS):
        start = process_time()
        fits = sf.fit_curves(frame, by="id", x="x", readings={"y": 0}, order=order, threads=1, progress=False)
        middle = process_time()
        fits.predict(at)
        times.append((middle - start, process_time() - start))
    alone, both = np.min(times, axis=0)
    return [f"{order}", f"{noise:g}", f"{alone:.3f}", f"{both:.3f}", f"{both / alone:.1f}"]


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=100, help="of each design")
    parser.add_argument("--markdown", action="store_true", help="tables as in the documentation")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine(("numpy", "scipy", "pandas")))
    rows = [price(order, noise) for noise in (0.1, 0.3) for order in (2, 3)]
    print(table("Processor seconds", ["order", "noise SD", "fits alone", "with intervals", "ratio"], rows, args.markdown))
    found = [
        [f"{deriv}", f"{len(each)}", *(f"{100 * value:.2f}" for value in (*np.quantile(each, [0.5, 0.9, 0.99]), each.max()))]
        for deriv, each in distances(args.curves).items()
    ]
    header = ["derivative", "curves", "median", "90 %", "99 %", "largest"]
    print(table("Distances from dense quadrature, % of a half-width", header, found, args.markdown))


if __name__ == "__main__":
    main()
