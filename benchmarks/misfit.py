"""How often fits warn that observations contradict their model: false alarms under the right model, and power.

python benchmarks/misfit.py [samples]
"""

import sys
import warnings

import numpy as np

import smoothfit as sf
from smoothfit.errors import ConvergenceError, MisfitWarning, SmoothfitError

KINDS = ("outlier", "level shift", "noise level", "autocorrelation", "rounding")


def from_prior(rng, n, order):
    """A path of the prior at a random smoothness, with unit noise."""
    x, f = np.arange(float(n)), rng.standard_normal(n)
    for _ in range(order):  # sums of white noise: the integrated Wiener process at even steps, up to smooth parts
        f = np.cumsum(f)
    bandwidth = np.exp(rng.uniform(0, np.log(n / 4)))
    return x, f * bandwidth**-order + rng.standard_normal(n)


def sine(rng, n, noise):
    x = np.arange(float(n))
    return x, np.sin(2 * np.pi * x / n) + noise(rng, x / n)


def correlated(rng, u, rho):
    e = rng.standard_normal(len(u))
    for i in range(1, len(u)):
        e[i] = rho * e[i - 1] + np.sqrt(1 - rho**2) * e[i]
    return e


def normal(rng, u):
    return rng.standard_normal(len(u))


def rounded(x, y, step=0.4):
    return x, step * np.round(y / step)


CONTRADICTIONS = {
    "SD .03, then .83": lambda rng, n: sine(rng, n, lambda r, u: np.where(u < 0.5, 0.03, 0.83) * normal(r, u)),
    "SD .1, in a third .3": lambda rng, n: sine(rng, n, lambda r, u: np.where(abs(u - 0.5) < 1 / 6, 0.3, 0.1) * normal(r, u)),
    "AR(1), rho = .5": lambda rng, n: sine(rng, n, lambda r, u: 0.2 * correlated(r, u, 0.5)),
    "AR(1), rho = .7": lambda rng, n: sine(rng, n, lambda r, u: 0.2 * correlated(r, u, 0.7)),
    "shift by 5 SDs": lambda rng, n: sine(rng, n, lambda r, u: 0.1 * normal(r, u) + 0.5 * (u > 0.6)),
    "shift by 10 SDs": lambda rng, n: sine(rng, n, lambda r, u: 0.1 * normal(r, u) + 1.0 * (u > 0.6)),
    "outlier of 8 SDs": lambda rng, n: sine(rng, n, lambda r, u: 0.1 * normal(r, u) + 0.8 * (np.arange(n) == n // 3)),
    "rounded, step 8 SDs": lambda rng, n: rounded(*sine(rng, n, lambda r, u: 0.05 * normal(r, u))),
}
RIGHT = {"path of the prior": None, "sine": lambda rng, n: sine(rng, n, lambda r, u: 0.2 * normal(r, u))}


def regression(observations):
    """A penalised regression of degree three."""
    x = observations.x
    basis = sf.BSplineBasis.uniform(x[0], x[-1], 20)
    return sf.SplineRegression(observations, basis, sf.DerivativePenalty(2)).fit()


FITS = {
    "order 2": lambda observations: sf.SmoothingSpline(observations).fit(),
    "order 3": lambda observations: sf.SmoothingSpline(observations, order=3).fit(),
    "regression": regression,
}


def path_of_process(rng, n, d, smooth):
    """Observations of a Gaussian process at random length scales and noise."""
    X = rng.uniform(0, 1, (n, d))
    r = np.sqrt((((X[:, None] - X) / np.exp(rng.uniform(-2, 0, d))) ** 2).sum(axis=-1))
    C = np.exp(-(r**2) / 2) if smooth else (1 + np.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-np.sqrt(5) * r)
    f = np.linalg.cholesky(C + 1e-10 * np.eye(n)) @ rng.standard_normal(n)
    return X, f + np.exp(rng.uniform(-4, 0)) * rng.standard_normal(n)


def process_alarms(samples):
    """How many fits of right Gaussian processes warn."""
    for d, n, smooth in ((1, 40, True), (1, 40, False), (2, 60, True), (2, 60, False)):
        kernel = sf.gp.SquaredExponential() if smooth else sf.gp.Matern52()
        fits = alarms = 0
        for seed in range(samples):
            X, y = path_of_process(np.random.default_rng(seed), n, d, smooth)
            try:
                alarms += bool(sf.GaussianProcess(X, y, kernel).fit(n_starts=2).misfits)
            except SmoothfitError:  # the covariance is singular, or the search ends on a plateau
                continue
            fits += 1
        print(f"{type(kernel).__name__:<18} {d} inputs, n = {n}: {alarms} of {fits} fits warn", flush=True)


def rates(make, n, fit, order, samples):
    """Percentages of fits with a misfit of each kind, and of any."""
    found, fits = np.zeros(len(KINDS) + 1), 0
    for seed in range(samples):
        rng = np.random.default_rng(seed)
        x, y = from_prior(rng, n, order) if make is None else make(rng, n)
        try:
            kinds = {misfit.kind for misfit in fit(sf.observe(x, y)).misfits}
        except ConvergenceError:
            continue
        fits += 1
        found += [*(kind in kinds for kind in KINDS), bool(kinds)]
    return 100 * found / fits


def table(title, makes, sizes, samples):
    print(f"\n{title}, % of {samples} fits\n{'':<22} {'fit':>10} {'n':>5} " + " ".join(f"{k:>17}" for k in (*KINDS, "any")))
    for name, make in makes.items():
        for label, fit in FITS.items():
            order = 3 if label == "order 3" else 2
            for n in sizes:
                row = " ".join(f"{rate:17.2f}" for rate in rates(make, n, fit, order, samples))
                print(f"{name:<22} {label:>10} {n:5d} {row}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", MisfitWarning)
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    table("False alarms", RIGHT, (25, 60, 200, 1000), samples)
    print("\nFalse alarms of Gaussian processes")
    process_alarms(max(1, samples // 10))
    table("Power", CONTRADICTIONS, (25, 60, 200, 1000), max(1, samples // 40))
