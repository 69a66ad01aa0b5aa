"""Coverage of one-step-ahead intervals of a stream that a fit of 20 observations starts: python benchmarks/online_coverage.py."""

import warnings

import numpy as np

import smoothfit as sf

FIRST, NEXT, SAMPLES, SD = 20, 40, 100, 0.3


def coverage(seed, order, parameters):
    """Share of the next observations within the 95 % interval of their forecast; a sine, 20 observations a period."""
    n = FIRST + NEXT
    x = np.arange(n) / 20
    y = np.sin(2 * np.pi * x) + SD * np.random.default_rng(seed).standard_normal(n)
    online = sf.SmoothingSpline(sf.observe(x[:FIRST], y[:FIRST]), order=order).fit().online(lag=5, parameters=parameters)
    inside = []
    for at, value in zip(x[FIRST:], y[FIRST:], strict=True):
        low, high = online.get_prediction([at]).conf_int(obs=True)[0]
        inside.append(low <= value <= high)
        online.append(float(at), float(value))
    return np.mean(inside)


if __name__ == "__main__":
    warnings.simplefilter("ignore", sf.errors.RoughnessWarning)
    for order in (2, 3):
        for parameters in ("integrated", "fixed"):
            shares = [coverage(seed, order, parameters) for seed in range(SAMPLES)]
            print(f"order {order}, {parameters}: {np.mean(shares):.3f}, in the worst sample {np.min(shares):.2f}")
