"""How often intervals hold what they are of: under the prior by ranks, and for known curves (a part of benchmarks/coverage.py)."""

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.inference.marginal import log_prior

X = np.linspace(0, 1, 12)
BETWEEN = 0.37
GRID = np.linspace(0, 1, 21)
DRAWN = 400


@pytest.fixture(scope="module")
def ranks():
    """Probabilities of what is below what data were simulated with, by their fits: of the ratio, f, f' and a new observation.

    Ratios of the intensity to the noise variance are drawn from their prior, curves of order 2 from the integrated Wiener process
    about a line, and observations with noise of SD one.
    """
    rng = np.random.default_rng(15)
    engine = sf.SmoothingSpline(sf.observe(X, rng.standard_normal(len(X)))).fit().engine
    theta = np.linspace(engine.lower[0], engine.upper[0], 4000)
    logs = log_prior(engine.information(theta[:, None]), engine.count)
    assert logs[[0, -1]].max() < logs.max() - 5  # what lies beyond the bounds is little
    share = np.cumsum(np.exp(logs - logs.max()))
    every = np.sort(np.append(X, BETWEEN))
    fine = np.linspace(0, 1, 1 + 100 * (len(X) - 1))  # f'' is white noise on these
    step, places = fine[1], np.rint(every * (len(fine) - 1)).astype(int)
    found = []
    for _ in range(DRAWN):
        log_ratio = np.interp(rng.random() * share[-1], share, theta)
        sd = np.exp((log_ratio - 3 * np.log(engine.rows.scale.x_unit)) / 2)
        ends = sd * step**1.5 * rng.standard_normal((2, len(fine) - 1))  # exact increments of f and of f' over a step
        slope = np.append(0.0, np.cumsum(ends[0] / step))
        rise = step * slope[:-1] + ends[0] / 2 + ends[1] / np.sqrt(12)
        f, slope = 1 + 2 * fine + np.append(0.0, np.cumsum(rise)), 2 + slope
        at = places[every == BETWEEN]
        y = f[places[every != BETWEEN]] + rng.standard_normal(len(X))
        res = sf.SmoothingSpline(sf.observe(X, y)).fit()
        posterior = res.parameter_posterior
        below = np.interp(log_ratio, posterior.theta[:, 0], np.cumsum(posterior.weights) - posterior.weights / 2)
        of_f, of_slope = (res.get_prediction([fine[at[0]]], deriv=k) for k in (0, 1))
        new = f[at] + rng.standard_normal(1)
        found.append([below, of_f.law.cdf(f[at])[0], of_slope.law.cdf(slope[at])[0], of_f.law_obs.cdf(new)[0]])
    return np.array(found).T


def test_ranks_of_the_ratio_under_its_prior_are_uniform(ranks):
    assert stats.kstest(ranks[0], "uniform").pvalue > 0.01


@pytest.mark.parametrize("i", [1, 2, 3], ids=["f", "slope", "new observation"])
def test_ranks_under_the_prior_are_uniform(ranks, i):
    """Of curves and their mirror images alike, so that a distance from the middle is tested."""
    assert stats.kstest(np.abs(2 * ranks[i] - 1), "uniform").pvalue > 0.01


def test_ranks_of_what_is_off_are_not_uniform(ranks):
    """Intervals that are too short or too long by a fifth would be found."""
    for factor in (0.8, 1.25):
        off = stats.norm.cdf(factor * stats.norm.ppf(ranks[1]))
        assert stats.kstest(np.abs(2 * off - 1), "uniform").pvalue < 0.01


CURVES = {
    "sine": (lambda x: 1.4 * np.sin(2 * np.pi * x), lambda x: 2.8 * np.pi * np.cos(2 * np.pi * x)),
    "decay": (lambda x: 4 * np.exp(-4 * x), lambda x: -16 * np.exp(-4 * x)),
    "line": (lambda x: 3 * x, lambda x: 3 + 0 * x),
}


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("kind", CURVES)
def test_curves_and_slopes_of_25_observations_are_covered(kind, order):
    x, samples = np.linspace(0, 1, 25), 25
    held, widest = np.zeros((samples, 2)), 0.0
    for seed in range(samples):
        rng = np.random.default_rng([7, seed])
        y = CURVES[kind][0](x) + 0.3 * rng.standard_normal(len(x))
        res = sf.SmoothingSpline(sf.observe(x, y), order=order).fit()
        for deriv in (0, 1):
            low, high = res.get_prediction(GRID, deriv=deriv).conf_int().T
            truth = CURVES[kind][deriv](GRID)
            held[seed, deriv] = np.mean((low <= truth) & (truth <= high))
        widest = max(widest, np.ptp(res.get_prediction(GRID).conf_int(), axis=1).max() / np.ptp(y))
    error = held.std(axis=0) / np.sqrt(samples)
    assert (held.mean(axis=0) + 2 * error > [0.92, 0.90]).all()
    assert held.mean(axis=0)[0] > 0.88
    assert widest < 3
