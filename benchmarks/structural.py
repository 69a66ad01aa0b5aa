"""Structural series: coverage of 95 % intervals, and how often interventions are found, rightly and falsely.

python benchmarks/structural.py coverage|interventions [samples]

coverage: local linear trends, and a walking level with a coefficient that walks, 400 observations, all parameters estimated.
interventions: fit(interventions="auto") of 100 observations of each series, clean, and with a level shift, an outlier or a slope
break in the middle.
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
    "two series": {"order": 2},
    "values and slopes": {"order": 3},
    "repeated": {"order": 2},
    "unknown scale": {"order": 2},
    "periodic": {"period": 100.0},
    "rounded": {"order": 2},
    "walk, t noise": {"prior": sf.priors.IntegratedWiener(1)},
    "sine, t noise": {"order": 2},
    "walk, robust": {"prior": sf.priors.IntegratedWiener(1)},
}
ROBUST = ("walk, t noise", "sine, t noise", "walk, robust")  # of which the last has normal noise
BREAK, FARTHEST = 1.0, 5  # noise SDs by which a slope changes, and steps from there within which it is found


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


def series(kind, rng, change, n=100):
    """Observations with noise of SD one of a curve with a change, "shift", "outlier" or "break", in the middle."""
    t, middle = np.arange(float(n)), n // 2
    if kind == "repeated":  # two observations at each x
        t, middle = np.repeat(t[: n // 2], 2), n // 4
    walk = np.cumsum(0.3 * rng.standard_normal(n))
    curves = {
        "walk": walk,
        "walk, t noise": walk,
        "walk, robust": walk,
        "trend": walk + np.cumsum(np.cumsum(0.03 * rng.standard_normal(n))),
    }
    f = curves.get(kind, 3 * np.sin(2 * np.pi * t / n if kind == "periodic" else t / 12))
    slope = np.cos(t / 12) / 4 + BREAK * (t >= middle) * (change == "break")
    f = f + 5.0 * (t >= middle) * (change == "shift") + BREAK * np.maximum(t - middle, 0) * (change == "break")
    noise = rng.standard_t(3, n) if kind.endswith("t noise") else rng.standard_normal(n)
    y = f + noise + 5.0 * (np.arange(n) == n // 2) * (change == "outlier")
    obs = sf.observe(t, y, name="a")
    if kind == "rounded":
        obs = sf.observe(t, np.round(y), name="a", resolution=1.0)
    if kind == "two series":
        obs += sf.observe(t, f + 0.5 * rng.standard_normal(n), name="b")
    if kind == "unknown scale":
        obs += sf.observe(t, 2.5 * f + 1.25 * rng.standard_normal(n), name="b", scale="estimate")
    if kind == "values and slopes":
        obs += sf.observe(t, slope + 0.2 * rng.standard_normal(n), 1, name="b")
    return obs


def found_near(names, change, kind):
    """Whether a change is among the names of interventions."""
    if change == "clean":
        return bool(names)
    if change == "outlier":
        return bool(names & {"pulse(50)", "pulse.a(50)", "pulse.a(25)[0]"})
    label, steps = {"shift": ("level", 1), "break": ("slope", FARTHEST)}[change]
    middle = 25 if kind == "repeated" else 50
    return bool(names & {f"{label}({middle + k})" for k in range(-steps, steps + 1)})


def interventions(kind, samples):
    """Fraction of clean series with an intervention, and of changes that are found."""
    changes = ["clean"] + ["outlier"] * (kind not in ROBUST) + ["shift"] * (kind != "periodic")
    changes += ["break"] * (not kind.startswith("walk") and kind != "periodic")
    found = {change: [] for change in changes}
    for seed in range(samples):
        for change in changes:
            obs = series(kind, np.random.default_rng(seed), change)
            res = sf.SmoothingSpline(obs, **PRIORS[kind]).fit(interventions="auto", robust=kind in ROBUST)
            found[change].append(found_near(set(res.fitted.selection.p_values), change, kind))
    return {change: float(np.mean(rates)) for change, rates in found.items()}


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
