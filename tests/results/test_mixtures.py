import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
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


components = st.integers(1, 12).flatmap(
    lambda k: st.tuples(
        st.lists(st.floats(-50, 50), min_size=k, max_size=k),
        st.lists(st.floats(1e-4, 1e4), min_size=k, max_size=k),
        st.lists(st.floats(0.01, 1), min_size=k, max_size=k),
    )
)
dfs = st.sampled_from([2.0, 7.0, 60.0, np.inf])


def law_of(drawn, df):
    mean, scale2, weights = (np.array(part) for part in drawn)
    return Mixture(mean[:, None], scale2[:, None], weights / weights.sum(), df)


@given(components, dfs, st.floats(1e-6, 1 - 1e-6))
@example(([0.0, 8.0], [2.0, 1.0], [1.0, 1.0]), 60.0, 0.5)  # the density is small between the components
@example(([0.0, 12.0], [1.0, 1.0], [1.0, 1.0]), np.inf, 0.5 - 1e-8)
def test_quantiles_invert_the_distribution_function(drawn, df, p):
    law = law_of(drawn, df)
    value = law.quantile(p)
    step = 1e-9 * np.maximum(np.abs(value), np.sqrt(law.scale2.max()))
    assert law.cdf(value - step) <= p + 1e-9
    assert law.cdf(value + step) >= p - 1e-9


@given(components, dfs)
def test_intervals_mirror_and_scale(drawn, df):
    law = law_of(drawn, df)
    interval = law.interval(0.1)
    mirrored = Mixture(-law.mean, law.scale2, law.weights, df)
    assert np.array_equal(mirrored.interval(0.1), -interval[:, ::-1])
    assert np.array_equal(Mixture(4 * law.mean, 16 * law.scale2, law.weights, df).interval(0.1), 4 * interval)
    assert np.all(law.quantile(0.05) == interval[:, 0])


@given(components, st.floats(0.01, 100))
def test_the_variance_is_that_of_the_normal_mixture(drawn, noise):
    law = law_of(drawn, np.inf)
    draws = law.mean[:, 0] ** 2 + law.scale2[:, 0]
    mean = law.weights @ law.mean[:, 0]
    assert law.expectation == pytest.approx([mean])
    assert law.variance == pytest.approx([law.weights @ draws - mean**2], rel=1e-6, abs=1e-9)
    assert law.with_noise(np.full(len(law.weights), noise)).variance == pytest.approx(law.variance + noise)


def test_new_observations_have_wider_intervals():
    law = mixture(np.random.default_rng(3), 15, 200, 9.0)
    curve, observation = law.interval(), law.with_noise(np.linspace(0.01, 1, 15)).interval()
    assert np.all(observation[:, 0] < curve[:, 0])
    assert np.all(observation[:, 1] > curve[:, 1])


def test_values_without_uncertainty():
    mean = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    known = Mixture(mean, np.zeros((2, 3)), np.array([0.5, 0.5]), 5.0)
    assert np.array_equal(known.interval(), np.stack([mean[0], mean[1]], axis=1))
    assert known.cdf(np.array([1.0, 1.5, 0.5])) == pytest.approx([1.0, 0.5, 0.0], abs=1e-90)
    partly = Mixture(mean, np.array([[0.0] * 3, [1.0] * 3]), np.array([0.5, 0.5]), np.inf)
    lower = partly.interval(0.2)[:, 0]
    assert lower[0] == pytest.approx(1 + stats.norm.ppf(0.2))  # half of the mass at one is above that quantile
    assert lower[2] == 1.0


def test_a_jump_is_found_exactly():
    law = Mixture(np.array([[0.3], [7.1]]), np.array([[0.0], [1.0]]), np.array([0.2, 0.8]), 6.0)
    assert law.quantile(0.1)[0] == 0.3


def test_no_points_and_missing_moments():
    law = Mixture(np.empty((3, 0)), np.empty((3, 0)), np.ones(3) / 3, 5.0)
    assert law.interval().shape == (0, 2)
    law = Mixture(np.array([[0.0, np.nan], [1.0, 0.0]]), np.ones((2, 2)), np.ones(2) / 2, 5.0)
    interval = law.interval()
    assert np.isnan(interval[1]).all()
    assert np.isfinite(interval[0]).all()
