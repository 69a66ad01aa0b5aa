"""Whole fits with priors against their peers: processor time, all in one run on one thread.

    python benchmarks/priors.py [--quick] [--markdown]

- Matérn 3/2 and 5/2 at irregular x, all hyperparameters and the noise estimated with exact scores, against celerite2's Matérn 3/2
  with L-BFGS-B, which differences its likelihood, from a start a few times off.
- A local level with a season on a regular grid against statsmodels' UnobservedComponents, whose model is the same but for the law
  of the season's noise within a step.
- The integrated Wiener process through the general engine against the unrolled one.

The log-likelihoods reached stand beside the times: a fit that ends elsewhere is no race.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from time import process_time

from _timing import machine, optional, table

# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

import smoothfit as sf
from smoothfit.markov import priors

Array = NDArray[np.float64]
Fit = Callable[[], float]
ROUNDS = 9
SEED = 1


def fastest(fits: dict[str, Fit]) -> dict[str, tuple[float, float]]:
    """Processor seconds of the fastest of some calls, which take turns, and the log-likelihood."""
    timed = dict.fromkeys(fits, (np.inf, np.nan))
    for _ in range(ROUNDS):
        for name, fit in fits.items():
            start = process_time()
            found = fit()
            timed[name] = min(timed[name][0], process_time() - start), found
    return timed


def ours(x: Array, y: Array, prior: priors.Prior) -> Fit:
    """A fit of everything."""
    return lambda: float(sf.SmoothingSpline(sf.observe(x, y), prior=prior).fit().llf)


def irregular(n: int) -> tuple[Array, Array]:
    """Two waves at random x, ten a unit, with noise."""
    rng = np.random.default_rng(SEED)
    x = np.sort(rng.uniform(0, n / 10, n))
    return x, np.sin(x / 3) + 0.5 * np.cos(x / 1.3) + 0.3 * rng.standard_normal(n)


def seasonal(n: int, period: int) -> tuple[Array, Array]:
    """A random walk with two harmonics, with noise."""
    rng = np.random.default_rng(SEED)
    x = np.arange(float(n))
    turn = 2 * np.pi * x / period
    return x, np.cumsum(0.1 * rng.standard_normal(n)) + np.sin(turn) + 0.4 * np.cos(2 * turn) + 0.5 * rng.standard_normal(n)


def celerite(x: Array, y: Array) -> Fit:
    """Its Matérn 3/2 with L-BFGS-B over the logarithms."""
    celerite2 = optional("celerite2")
    assert celerite2 is not None
    sd = np.log(np.std(y))

    def loss(theta: Array) -> float:
        kernel = celerite2.terms.Matern32Term(sigma=np.exp(theta[0]), rho=np.exp(theta[1]))
        process = celerite2.GaussianProcess(kernel, mean=0.0)
        try:
            process.compute(x, diag=np.full(len(x), np.exp(2 * theta[2])), quiet=True)
        except celerite2.driver.LinAlgError:
            return 1e25
        return float(-process.log_likelihood(y))

    return lambda: float(-minimize(loss, [sd, np.log(5.0), sd - np.log(2)], method="L-BFGS-B").fun)


def statsmodels(y: Array, period: int, harmonics: int) -> Fit:
    """Its local level with a trigonometric season."""
    module = optional("statsmodels.api")
    assert module is not None
    season = [{"period": period, "harmonics": harmonics}]
    return lambda: float(module.tsa.UnobservedComponents(y, level="llevel", freq_seasonal=season).fit(disp=0).llf)


def rows(case: str, fits: dict[str, Fit | None], bar: float) -> list[list[str]]:
    """A row for each fit, the last of which is the peer."""
    timed = fastest({name: fit for name, fit in fits.items() if fit is not None})
    peer = timed[name][0] if (name := list(fits)[-1]) in timed else np.nan
    return [
        [case, name, f"{seconds:.4f}", f"{seconds / peer:.2f}", f"{bar:g}" if name != list(fits)[-1] else "", f"{found:.3f}"]
        for name, (seconds, found) in timed.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    has_celerite, has_statsmodels = optional("celerite2") is not None, optional("statsmodels.api") is not None
    found: list[list[str]] = []
    for n in (1_000, 10_000) if given.quick else (1_000, 10_000, 100_000):
        x, y = irregular(n)
        fits: dict[str, Fit | None] = {f"Matern({nu})": ours(x, y, priors.Matern(nu)) for nu in (1.5, 2.5)}
        found += rows(f"irregular, n = {n}", fits | {"celerite2": celerite(x, y) if has_celerite else None}, 1.0)
    for n, period, harmonics in ((4_000, 7, 3), (200, 24, 10)):
        x, y = seasonal(n, period)
        prior = priors.IntegratedWiener(1) + priors.Seasonal(float(period), harmonics)
        peer = statsmodels(y, period, harmonics) if has_statsmodels else None
        found += rows(f"season {period}, {harmonics}, n = {n}", {"ours": ours(x, y, prior), "statsmodels": peer}, 0.1)
    for n in (200, 10_000) if given.quick else (200, 10_000, 100_000):
        x, y = irregular(n)
        unrolled: Fit = lambda x=x, y=y: float(sf.SmoothingSpline(sf.observe(x, y), order=2).fit().llf)  # noqa: E731
        found += rows(f"Wiener, n = {n}", {"general": ours(x, y, priors.IntegratedWiener(2)), "unrolled": unrolled}, 4.0)
    print(machine(["numpy", "celerite2", "statsmodels"]))
    print(table("Whole fits", ["case", "fit", "seconds", "ratio", "bar", "log-likelihood"], found, given.markdown))


if __name__ == "__main__":
    main()
