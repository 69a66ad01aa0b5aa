import numpy as np
import pytest
from scipy import optimize, stats

from smoothfit.results.mixtures import Mixture


def mixture(rng, n_components, n, df):
    scale2 = np.exp(rng.normal(size=(n_components, 1)) + rng.normal(size=(n_components, n)) / 4)
    return Mixture(rng.normal(size=(n_components, n)), scale2, rng.dirichlet(np.ones(n_components)), df)


@pytest.mark.parametrize("df", [1.0, 3.0, 8.0, 47.0, 1000.0, np.inf])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-3])
def test_intervals_are_those_of_bisection(df, alpha):
    law = mixture(np.random.default_rng(1), 12, 5, df)
    standard = stats.norm if np.isinf(df) else stats.t(df)

    def excess(value, j, tail):
        return law.weights @ tail((value - law.mean[:, j]) / np.sqrt(law.scale2[:, j])) - alpha / 2

    for j, ends in enumerate(law.interval(alpha)):
        for end, tail in zip(ends, (standard.cdf, standard.sf), strict=True):
            exact = optimize.brentq(excess, -1e6, 1e6, args=(j, tail), xtol=1e-13, rtol=1e-14)
            assert end == pytest.approx(exact, rel=1e-8 if df == 1 else 1e-10)


def test_an_interval_depends_on_no_other_point():
    law = mixture(np.random.default_rng(2), 9, 40, 8.0)
    together = law.interval()
    alone = [Mixture(law.mean[:, [j]], law.scale2[:, [j]], law.weights, law.df).interval()[0] for j in range(40)]
    assert np.array_equal(together, alone)
