"""How often the bands of a smoothing spline hold the truth, in simulations from its prior with all parameters estimated.

    python benchmarks/state_space_coverage.py [--replications 400] [--observations 300]

The curve is an integrated Wiener process of the order of the model on [0, 1], read at random x with noise of sd one; its
intensity q sets the effective degrees of freedom. Of nominal 95 % bands on 101 points the table gives the mean coverage of the
pointwise ones, with its standard error over replications, that of intervals that take the parameters for known, and the share of
curves that the simultaneous band holds whole.
"""

from __future__ import annotations

import argparse
from math import factorial

import numpy as np
from _timing import machine, table
from numpy.typing import NDArray
from scipy import stats

import smoothfit as sf

LEVEL = 0.05
GRID = np.linspace(0, 1, 101)
CASES = ((2, 1e2), (2, 1e3), (2, 1e5), (3, 1e4), (3, 1e6), (3, 1e9))  # order, intensity
SEED = 20240229

Array = NDArray[np.float64]


def draw_path(x: Array, order: int, q: float, rng: np.random.Generator) -> Array:
    """f, f', ... at increasing x, (n, order), starting from zero."""
    state, path = np.zeros(order), np.empty((len(x), order))
    k = np.arange(order)
    factorials = np.array([factorial(j) for j in k], dtype=float)
    for i, step in enumerate(np.diff(x, prepend=x[0])):
        if step > 0:
            lag = k[None] - k[:, None]
            T = np.where(lag >= 0, step ** np.maximum(lag, 0) / factorials[np.maximum(lag, 0)], 0.0)
            power = 2 * order - 1 - k[:, None] - k
            unscaled = 1 / (power * factorials[order - 1 - k][:, None] * factorials[order - 1 - k])  # at a step of one
            size = np.sqrt(q * step) * step ** (order - 1.0 - k)
            state = T @ state + size * (np.linalg.cholesky(unscaled) @ rng.standard_normal(order))
        path[i] = state
    return path


def coverage(order: int, q: float, replications: int, n: int) -> list[list[str]]:
    """Rows of the table, one for each derivative."""
    rng = np.random.default_rng(SEED)
    hits = np.empty((replications, order, 3))
    edf = np.empty(replications)
    plain = stats.norm.isf(LEVEL / 2)
    for i in range(replications):
        x = np.sort(rng.uniform(0, 1, n))
        both = np.union1d(x, GRID)
        path = draw_path(both, order, q, rng)
        y = path[np.searchsorted(both, x), 0] + rng.standard_normal(n)
        truth = path[np.searchsorted(both, GRID)]
        res = sf.SmoothingSpline(sf.observe(x, y), order=order).fit()
        edf[i] = res.edf
        for k in range(order):
            pointwise = res.get_prediction(GRID, deriv=k)
            error = np.abs(truth[:, k] - pointwise.predicted_mean)
            band = res.get_prediction(GRID, deriv=k, simultaneous=True)
            hits[i, k] = (
                np.mean(error <= pointwise.half_width(LEVEL)),
                np.mean(error <= plain * pointwise.se_mean),
                np.all(error <= band.half_width(LEVEL)),
            )
    mean, se = hits.mean(axis=0), hits.std(axis=0) / np.sqrt(replications)
    rows = []
    for k in range(order):
        cells = [f"{100 * mean[k, j]:.1f} ({100 * se[k, j]:.1f})" for j in range(3)]
        rows.append([f"{order}", f"{np.median(edf):.1f}", "f" + "'" * k, *cells])
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--observations", type=int, default=300)
    arguments = parser.parse_args()
    print(machine(["smoothfit", "numpy", "scipy"]))
    rows = [row for order, q in CASES for row in coverage(order, q, arguments.replications, arguments.observations)]
    title = f"Coverage in per cent (standard error): {arguments.replications} replications of {arguments.observations} observations"
    print(table(title, ["order", "edf", "curve", "pointwise", "parameters taken for known", "simultaneous"], rows, markdown=False))


if __name__ == "__main__":
    main()
