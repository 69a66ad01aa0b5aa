"""How often intervals under Increasing(), and those of quantile curves, cover the truth.

    python benchmarks/bounded_coverage.py [--replications 100]

Nominal 95 % intervals of f and f' of four increasing curves at 97 abscissae, 20 pieces, noise of sd 0.1; and bands of the quantiles
0.1, 0.5 and 0.9 of sin 6x with noise of sd 0.2 + 0.3 x, smoothing by GACV, at 30 abscissae.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from _timing import machine, table
from numpy.typing import NDArray
from scipy import stats

import smoothfit as sf

SIZES = (50, 200)
Array = NDArray[np.float64]


def logistic(x: Array) -> Array:
    """A step at 1/2."""
    return 1 / (1 + np.exp(-20 * (x - 0.5)))


CURVES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "1 - exp(-5x)": (lambda x: 1 - np.exp(-5 * x), lambda x: 5 * np.exp(-5 * x)),
    "logistic": (logistic, lambda x: 20 * logistic(x) * (1 - logistic(x))),
    "constant": (np.zeros_like, np.zeros_like),
    "4 max(x - 1/2, 0)^2": (lambda x: 4 * np.maximum(x - 0.5, 0) ** 2, lambda x: 8 * np.maximum(x - 0.5, 0)),
}


def share(res: sf.regression.SplineRegressionResults, at: Array, deriv: int, truth: Array) -> float:
    """Share of the truth inside the intervals."""
    low, high = res.get_prediction(at, deriv=deriv).conf_int().T
    return float(np.mean((low <= truth + 1e-9) & (truth <= high + 1e-9)))


def increasing(name: str, n: int, replications: int) -> list[str]:
    """Coverage of f and f' in percent."""
    at, x, shares = np.linspace(0.02, 0.98, 97), np.linspace(0, 1, n), []
    for seed in range(replications):
        y = CURVES[name][0](x) + 0.1 * np.random.default_rng([4, seed]).standard_normal(n)
        basis = sf.BSplineBasis.uniform(0, 1, 20)
        res = sf.SplineRegression(sf.observe(x, y), basis, sf.DerivativePenalty(2), sf.Increasing()).fit()
        shares.append([share(res, at, k, CURVES[name][k](at)) for k in (0, 1)])
    return [f"{100 * value:.1f}" for value in np.mean(shares, axis=0)]


def quantile(level: float, n: int, replications: int) -> str:
    """Coverage of a quantile in percent."""
    at, shares = np.linspace(0.05, 0.95, 30), []
    truth = np.sin(6 * at) + stats.norm.ppf(level) * (0.2 + 0.3 * at)
    for seed in range(replications):
        rng = np.random.default_rng([9, seed])
        x = np.sort(rng.uniform(0, 1, n))
        y = np.sin(6 * x) + (0.2 + 0.3 * x) * rng.standard_normal(n)
        model = sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, 20), sf.DerivativePenalty(2))
        shares.append(share(model.fit("gcv", loss="quantile", parameter=level), at, 0, truth))
    return f"{100 * np.mean(shares):.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=100)
    count = parser.parse_args().replications
    print(machine(["numpy", "scipy", "clarabel"]))
    rows = [[name, *(cell for n in SIZES for cell in increasing(name, n, count))] for name in CURVES]
    print(table("Increasing()", ["curve", *(f"{what}, n = {n}" for n in SIZES for what in ("f", "f'"))], rows, False))
    rows = [[f"{level}", *(quantile(level, n, count) for n in SIZES)] for level in (0.1, 0.5, 0.9)]
    print(table("Quantiles", ["quantile", *(f"n = {n}" for n in SIZES)], rows, False))


if __name__ == "__main__":
    main()
