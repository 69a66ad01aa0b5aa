import numpy as np
import pytest
from scipy import stats

from smoothfit.inference.marginal import HyperparameterPosterior, at_estimate
from smoothfit.results.draws import FEWEST_MAXIMA, FIRST_POINTS, curve_draws, greatest_deviations
from smoothfit.results.mixtures import Mixture, mixture


@pytest.fixture
def engine_and_functionals(dense_engine, wiener_curve):
    x = np.linspace(0, 1, 9)
    trend, kernel, functionals = wiener_curve(x, np.linspace(0, 1.3, 5))
    return dense_engine(np.sin(6 * x), trend, [kernel]), functionals


def posterior_of(engine, theta, weights):
    theta = np.asarray(theta, dtype=float)[:, None]
    scale2 = engine.terms(theta).sse.value / engine.count
    return HyperparameterPosterior(theta, np.asarray(weights), scale2, float(engine.count), False)


def test_draws_have_the_distribution_of_the_mixture(engine_and_functionals):
    engine, functionals = engine_and_functionals
    posterior = posterior_of(engine, [-2.0, 4.0, 9.0], [0.2, 0.5, 0.3])
    law = mixture(posterior, engine.moments(posterior.theta, functionals))
    draws = curve_draws(engine, posterior, functionals)(np.random.default_rng(1), 5000)
    assert draws.shape == (5000, 5)
    single = at_estimate(engine, np.array([4.0]))
    of_one = curve_draws(engine, single, functionals)(np.random.default_rng(1), 5000)
    for j in range(5):
        assert stats.kstest([law.cdf(draw)[j] for draw in draws], "uniform").pvalue > 0.01
    assert stats.kstest([law.cdf(draw)[2] for draw in of_one], "uniform").pvalue < 1e-6


def test_draws_are_in_no_order_of_the_nodes(engine_and_functionals):
    engine, functionals = engine_and_functionals
    posterior = posterior_of(engine, [-6.0, 9.0], [0.5, 0.5])
    draws = curve_draws(engine, posterior, functionals)(np.random.default_rng(1), 2000)[:, 2]
    assert stats.ks_2samp(draws[:1000], draws[1000:]).pvalue > 0.01


def test_first_draws_are_the_same_whatever_the_size(engine_and_functionals):
    engine, functionals = engine_and_functionals
    posterior = posterior_of(engine, [-2.0, 4.0, 9.0], [0.2, 0.5, 0.3])
    many, few = (curve_draws(engine, posterior, functionals)(np.random.default_rng(3), size) for size in (50, 8))
    np.testing.assert_allclose(few, many[:8], rtol=1e-13)


def test_simultaneous_bands_cover_whole_curves(engine_and_functionals):
    engine, functionals = engine_and_functionals
    posterior = posterior_of(engine, [-2.0, 4.0, 9.0], [0.2, 0.5, 0.3])
    law = mixture(posterior, engine.moments(posterior.theta, functionals))

    def draw(rng, size, points):
        return curve_draws(engine, posterior, functionals)(rng, size)[:, points]

    centre, below, above = law.shape
    critical = np.quantile(greatest_deviations(at(draw), centre, below, above), 0.9)
    fresh = curve_draws(engine, posterior, functionals)(np.random.default_rng(2), 10_000)
    inside = np.all((fresh >= centre - critical * below) & (fresh <= centre + critical * above), axis=1)
    assert inside.mean() == pytest.approx(0.9, abs=0.012)
    pointwise = law.interval(0.1)
    assert np.all(centre - critical * below < pointwise[:, 0])
    assert np.all(centre + critical * above > pointwise[:, 1])


def test_bands_have_the_shape_of_pointwise_intervals(engine_and_functionals):
    engine, functionals = engine_and_functionals
    posterior = posterior_of(engine, [-2.0, 9.0], [0.4, 0.6])
    law = mixture(posterior, engine.moments(posterior.theta, functionals))
    centre, below, above = law.shape
    critical = stats.t.isf(0.025, law.df)
    assert np.column_stack([centre - critical * below, centre + critical * above]) == pytest.approx(law.interval())
    assert np.max(np.abs(above / below - 1)) > 0.01


def test_the_centre_of_a_skewed_law_lies_well_inside_the_interval():
    law = Mixture(np.array([[0.0], [1e4]]), np.ones((2, 1)), np.array([0.99, 0.01]), np.inf)
    centre, below, above = law.shape
    assert law.expectation > law.interval()[0, 1]
    assert above == pytest.approx(below / 3)
    assert centre + stats.norm.isf(0.025) * above == pytest.approx(law.interval()[:, 1])


def at(draw):
    """What draws values at some points, given rng, size, points."""
    return lambda points: lambda rng, size: draw(rng, size, points)


def waves(rng, size, points):
    """Smooth Gaussian curves of variance one at 3000 points."""
    phase = np.arange(1, 6)[:, None] * np.pi * points / 3000
    a, b = rng.standard_normal((2, size, 5))
    return (a @ np.cos(phase) + b @ np.sin(phase)) / np.sqrt(5)


def test_a_maximum_over_smooth_curves_needs_few_points():
    drawn = []

    def counted(rng, size, points):
        drawn.append(len(points))
        return waves(rng, size, points)

    ones = np.ones(3000)
    greatest = greatest_deviations(at(counted), np.zeros(3000), ones, ones)
    every = np.abs(waves(np.random.default_rng(9), 10_000, np.arange(3000))).max(axis=1)
    assert max(drawn) == FIRST_POINTS
    assert np.quantile(greatest, 0.95) == pytest.approx(np.quantile(every, 0.95), rel=0.015)


def test_a_maximum_over_rough_curves_takes_more_points():
    drawn = []

    def rough(rng, size, points):
        drawn.append(len(points))
        return rng.standard_normal((size, len(points)))

    ones = np.ones(300)
    greatest = greatest_deviations(at(rough), np.zeros(300), ones, ones)
    assert max(drawn) == 300
    assert np.quantile(greatest, 0.95) == pytest.approx(stats.norm.isf(0.025 / 300), rel=0.02)


def test_sides_are_measured_by_their_own_widths():
    def draw(rng, size, points):
        return np.where(np.arange(size)[:, None] % 2, 3.0, -3.0) * np.ones(len(points))

    greatest = greatest_deviations(at(draw), np.array([1.0]), np.array([2.0]), np.array([1.0]))
    assert np.unique(greatest) == pytest.approx([2.0])
    greatest = greatest_deviations(at(draw), np.array([0.0, 1.0]), np.array([2.0, 0.0]), np.array([1.0, 0.0]))
    assert np.unique(greatest) == pytest.approx([1.5, 3.0])


def test_many_points_take_fewer_draws():
    taken = []

    def rough(rng, size, points):
        taken.append((len(points), size))
        return rng.standard_normal((size, len(points)))

    n = 20_000
    greatest = greatest_deviations(at(rough), np.zeros(n), np.ones(n), np.ones(n))
    assert len(greatest) == FEWEST_MAXIMA
    assert taken[-1][0] == n
    # the maximum of n normal numbers varies by 1 / c, so that 2000 draws leave an error of 0.6 % of c = 4.7
    assert np.quantile(greatest, 0.95) == pytest.approx(stats.norm.isf(0.025 / n), rel=0.02)
