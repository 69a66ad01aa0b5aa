"""Structural series: coverage of 95 % intervals, and how often interventions are found, rightly and falsely.

python benchmarks/structural.py coverage|interventions [samples]

coverage: local linear trends, and a walking level with a coefficient that walks, 400 observations, all parameters estimated.
interventions: fit(interventions="auto") of 100 observations, clean, with a level shift in the middle, and with an outlier there.
"""

import sys
import warnings

import numpy as np

import smoothfit as sf

N = 400
PRIORS = {
    "walk": {"prior": sf.priors.IntegratedWiener(1)},
    "trend": {"prior": sf.priors.LocalLinearTrend(step=1)},
    "cubic spline": {"order": 2},
}


def trend(rng):
    """A local linear trend; its results, true parameters, and truths with the questions that they answer."""
    slope = np.cumsum(0.05 * rng.standard_normal(N + 10))
    level = np.concatenate([[0.0], np.cumsum(slope[:-1] + 0.4 * rng.standard_normal(N + 9))])
    y = level + rng.standard_normal(N + 10)
    t = np.arange(N + 10.0)
    res = sf.SmoothingSpline(sf.observe(t[:N], y[:N]), prior=PRIORS["trend"]["prior"]).fit()
    asked = {
        "level": (res.get_prediction(t[:N:20]).conf_int(), level[:N:20]),
        "slope": (res.get_prediction(t[:N:20], 1).conf_int(), slope[:N:20]),
        "observation 10 ahead": (res.get_prediction(t[-1:]).conf_int(obs=True), y[-1:]),
    }
    return res, {"sigma.f": 1.0, "q_level": 0.16, "q_slope": 0.0025}, asked


def varying(rng):
    """A level and a coefficient that walk, at irregular times."""
    t = np.cumsum(rng.uniform(0.5, 1.5, N + 10))
    z, gaps = rng.standard_normal(N + 10), np.sqrt(np.diff(t, prepend=0))
    level, coefficient = (np.cumsum(sd * gaps * rng.standard_normal(N + 10)) for sd in (0.3, 0.1))
    y = level + coefficient * z + rng.standard_normal(N + 10)
    options = {"regressors": {"z": z[:N]}, "varying": {"z": PRIORS["walk"]["prior"]}}
    res = sf.SmoothingSpline(sf.observe(t[:N], y[:N]), 1, **options).fit()
    asked = {
        "level": (res.get_prediction(t[:N:20]).conf_int(), level[:N:20]),
        "coefficient": (res.get_prediction(t[:N:20], component="coef(z)").conf_int(), coefficient[:N:20]),
        "observation 10 ahead": (res.get_prediction(t[-1:], regressors={"z": z[-1:]}).conf_int(obs=True), y[-1:]),
    }
    return res, {"sigma.f": 1.0, "q": 0.09, "z.q": 0.01}, asked


def coverage(design, samples):
    """Fraction of samples, and of points, at which intervals cover the truth."""
    inside = {}
    for seed in range(samples):
        res, truths, asked = design(np.random.default_rng(seed))
        interval = res.conf_int()
        for name, truth in truths.items():
            low, high = interval.loc[name]
            inside.setdefault(name, []).append(low <= truth <= high)
        for name, (ends, truth) in asked.items():
            inside.setdefault(name, []).append(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))
    return {name: float(np.mean(rates)) for name, rates in inside.items()}


def series(kind, rng, n=100):
    """Clean observations with noise of SD one."""
    walk = np.cumsum(0.3 * rng.standard_normal(n))
    curves = {
        "walk": walk,
        "trend": walk + np.cumsum(np.cumsum(0.03 * rng.standard_normal(n))),
        "cubic spline": 3 * np.sin(np.arange(n) / 12),
    }
    return curves[kind] + rng.standard_normal(n)


def interventions(kind, samples, n=100):
    """Fraction of clean series with an intervention, of level shifts and of outliers of 5 noise SDs that are found."""
    found = {"clean": []}
    for seed in range(samples):
        y, t = series(kind, np.random.default_rng(seed)), np.arange(float(n))
        cases = {"clean": 0 * t, "shift": 5.0 * (t >= n // 2), "outlier": 5.0 * (t == n // 2)}
        for label, change in cases.items():
            res = sf.SmoothingSpline(sf.observe(t, y + change), **PRIORS[kind]).fit(interventions="auto")
            names = set(res.fitted.selection.p_values)
            near = {f"level({n // 2 + k})" for k in (-1, 0, 1)} if label == "shift" else {f"pulse({n // 2})"}
            found.setdefault(label, []).append(bool(names) if label == "clean" else bool(names & near))
    return {label: float(np.mean(rates)) for label, rates in found.items()}


if __name__ == "__main__":
    warnings.simplefilter("ignore", sf.errors.SmoothfitWarning)
    samples = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    if sys.argv[1:2] != ["interventions"]:
        for design in (trend, varying):
            print(design.__name__, samples, {name: round(rate, 3) for name, rate in coverage(design, samples).items()}, flush=True)
    if sys.argv[1:2] != ["coverage"]:
        for kind in PRIORS:
            rates = interventions(kind, samples)
            print(kind, samples, {name: round(rate, 3) for name, rate in rates.items()}, flush=True)
