"""How often diagnostics alarm under the right model: the rates that the documentation states.

python benchmarks/diagnostics.py [samples]
"""

import sys
import warnings

import numpy as np

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import SmoothfitError
from smoothfit.results.serial import autocorrelations, ljung_box

LEVEL = 0.05
EQUATION = Equation(1, ("y",), (0,), ("u",))
STEP = 0.05


def brownian(x, rng):
    """An integrated Wiener process at x, of intensity 30."""
    state, path = np.zeros(2), []
    for h in np.diff(x, prepend=0.0):
        root = np.sqrt(30.0) * np.array([[np.sqrt(h**3 / 12), h**1.5 / 2], [0.0, np.sqrt(h)]])
        state = np.array([state[0] + h * state[1], state[1]]) + root @ rng.standard_normal(2)
        path.append(state[0])
    return np.array(path)


CURVES = {"sine": lambda x, rng: np.sin(6 * x), "integrated Wiener": brownian, "constant": lambda x, rng: np.zeros_like(x)}


def curves(samples):
    """Rates of Ljung-Box tests at 5 % of prediction errors and of smoothed residuals."""
    print(f"{'n':>4} {'curve':<18} {'SmoothingSpline':>16} {'SplineRegression':>17} {'smoothed residuals':>19}")
    for n in (25, 50, 100, 200):
        for name, curve in CURVES.items():
            rejected = np.zeros(3)
            for seed in range(samples):
                rng = np.random.default_rng(seed)
                x = np.sort(rng.random(n))
                observations = sf.observe(x, curve(x, rng) + 0.2 * rng.standard_normal(n))
                spline = sf.SmoothingSpline(observations).fit()
                basis = sf.BSplineBasis.uniform(0, 1, 15)
                regression = sf.SplineRegression(observations, basis, sf.DerivativePenalty(2)).fit()
                smoothed = ljung_box(autocorrelations(spline.resid_standardized, min(10, n // 5)), n)[1]
                tests = [fit.test_serial_correlation()["pvalue"].iloc[0] for fit in (spline, regression)]
                rejected += np.array([*tests, smoothed]) < LEVEL
            print("{:4d} {:<18} {:16.2f} {:17.2f} {:19.2f}".format(n, name, *rejected / samples), flush=True)


def simulated(rng, n, q, sd):
    """Input and observations of y' = -y + 2 u + 0.5 with process noise of intensity q and noise of the observations."""
    u = np.repeat(rng.choice([-1.0, 1.0], n // 10 + 1), 10)[:n]
    t = np.arange(n) * STEP
    y = response.simulate(EQUATION, np.array([-1.0, 2.0, 0.5]), t, u[:, None], np.zeros(1), np.array([q]), rng)[:, 0]
    return t, u, y + sd * rng.standard_normal(n)


def equations(samples):
    """How often an input is said to act at once, and a consistent method to differ."""
    at_once = differ = compared = fits = 0
    for seed in range(samples):
        rng = np.random.default_rng(seed)
        for q, sd, methods in (
            (0.09, 0.1, ["armax", "integral", "weak", "fourier", "whittle", "output_error"]),
            (0.0, 0.1, ["integral", "weak", "fourier", "whittle", "output_error"]),
            (0.09, 0.0, ["arx", "armax", "whittle", "integral", "output_error"]),
        ):
            t, u, y = simulated(rng, 400, q, sd)
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                try:
                    comparison = sf.DerivativeRegression(y, t, u).fit().compare(methods)
                except SmoothfitError:
                    continue
            fits += 1
            at_once += any("at the same time" in str(each.message) for each in heard)
            differ += bool((comparison.differences["p_value"] < LEVEL).any())
            compared += 1
    print(f"an input is said to act at once: {at_once} of {fits}; a method to differ: {differ} of {compared} comparisons")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    curves(count)
    equations(count // 4)
