"""Coverage of a curve under correlated errors, by fits that model the correlation and by fits that assume independence."""

import argparse
import warnings

import numpy as np

import smoothfit as sf

TIMESCALE, SD, POINTS = 0.15, 0.3, np.linspace(0, 10, 201)


def sample(rng, size=200):
    t = np.sort(rng.uniform(0, 10, size))
    covariance = SD**2 * np.exp(-np.abs(t[:, None] - t) / TIMESCALE)
    return sf.observe(t, 2 * np.sin(t) + np.linalg.cholesky(covariance) @ rng.standard_normal(size), name="y")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=60)
    replications = parser.parse_args().replications
    warnings.simplefilter("ignore", sf.errors.SmoothfitWarning)  # independence is wrong, and fits may say so
    rng = np.random.default_rng(0)
    basis, penalty, truth = sf.BSplineBasis.uniform(0, 10, 30), sf.DerivativePenalty(2), 2 * np.sin(POINTS)
    covered = {"independent": [], "OU": []}
    for _ in range(replications):
        obs = sample(rng)
        for label, errors in (("independent", None), ("OU", sf.OU())):
            lower, upper = sf.SplineRegression(obs, basis, penalty, errors=errors).fit().get_prediction(POINTS).conf_int().T
            covered[label].append(np.mean((lower <= truth) & (truth <= upper)))
    for label, shares in covered.items():
        print(f"{label:12} {np.mean(shares):.3f} (standard error {np.std(shares) / np.sqrt(replications):.3f})")


if __name__ == "__main__":
    main()
