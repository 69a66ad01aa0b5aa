import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy
from scipy import stats

from smoothfit.errors import IntegrationWarning
from smoothfit.inference import marginal
from smoothfit.inference.engine import Expansion, Moments, Terms, information_of_scales
from smoothfit.inference.marginal import (
    MOST_SAMPLED,
    HyperparameterPosterior,
    about,
    at_estimate,
    fewer,
    integrate,
    is_narrow,
    log_density,
    log_prior,
    significant,
)
from smoothfit.results.mixtures import critical_value, mixture

CURVES = {"sine": lambda x: np.sqrt(2) * np.sin(2 * np.pi * x), "constant": np.zeros_like, "kink": lambda x: 4 * abs(x - 0.4)}


def maximum(engine, n_grid=51):
    """Maximum of the restricted likelihood."""

    def objective(theta):
        log_det, sse = (term.value for term in engine.terms(np.atleast_2d(theta)))
        return (log_det + (engine.count * np.log(sse) if engine.relative else sse)) / 2

    grids = [np.linspace(low, high, n_grid) for low, high in zip(engine.lower, engine.upper, strict=True)]
    points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(grids))
    start, bounds = points[np.argmin(objective(points))], list(zip(engine.lower, engine.upper, strict=True))
    return scipy.optimize.minimize(lambda t: objective(t)[0], start, bounds=bounds, method="Nelder-Mead").x


def simulated(dense_engine, wiener_curve, name, n, seed=0):
    x = np.linspace(0, 1, n)
    trend, kernel, functionals = wiener_curve(x, np.linspace(-0.1, 1.2, 9))
    y = CURVES[name](x) + 0.3 * np.random.default_rng(seed).standard_normal(n)
    return dense_engine(y, trend, [kernel]), functionals


def of_grid(engine, theta):
    """Posterior whose nodes are all points of a fine even grid."""
    log = log_density(engine, theta)
    weights = np.exp(log - log.max())
    sse = engine.terms(theta).sse.value
    return HyperparameterPosterior(theta, weights / weights.sum(), sse / engine.count, float(engine.count), False)


def relative_error(engine, functionals, posterior, exact):
    """Largest difference of intervals of two posteriors, in half-widths."""
    ours, theirs = (mixture(p, engine.moments(p.theta, functionals)).interval() for p in (posterior, exact))
    return 2 * np.max(np.abs(ours - theirs) / np.diff(theirs))


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize(("n", "seed"), [(8, 0), (8, 1), (30, 0)])
def test_intervals_are_those_of_dense_quadrature(dense_engine, wiener_curve, name, n, seed):
    engine, functionals = simulated(dense_engine, wiener_curve, name, n, seed)
    posterior = integrate(engine, maximum(engine))
    exact = of_grid(engine, np.linspace(-13, 25, 400)[:, None])
    assert relative_error(engine, functionals, posterior, exact) < 0.01
    assert len(posterior.weights) < 30
    assert posterior.weights.sum() == pytest.approx(1)
    assert posterior.mean == pytest.approx(exact.mean, abs=0.02)
    assert posterior.cov == pytest.approx(exact.cov, rel=0.02)


def test_an_estimate_at_the_bound_is_integrated_over_too(dense_engine, wiener_curve):
    engine, functionals = simulated(dense_engine, wiener_curve, "constant", 8, seed=3)
    theta_hat = maximum(engine)
    assert theta_hat < -20
    exact = of_grid(engine, np.linspace(-13, 25, 400)[:, None])
    assert relative_error(engine, functionals, integrate(engine, theta_hat), exact) < 0.01
    assert relative_error(engine, functionals, at_estimate(engine, theta_hat), exact) > 0.1


def of_values_and_slopes(dense_engine, relative):
    """Seven values and seven slopes of a curve of order 2, unknown noise of the slopes, that of values unknown or one."""
    t = np.linspace(0, 1, 7)
    a, b = np.meshgrid(t, t, indexing="ij")
    low = np.minimum(a, b)
    value, slope = low**2 * (3 * np.maximum(a, b) - low) / 6, low
    kernel = np.block([[value, cross_of(a, b)], [cross_of(a, b).T, slope]])
    trend = np.block([[np.ones((7, 1)), t[:, None]], [np.zeros((7, 1)), np.ones((7, 1))]])
    rng = np.random.default_rng(5)
    y = np.concatenate([np.sin(4 * t), 4 * np.cos(4 * t)]) + np.repeat([0.2, 1.0], 7) * rng.standard_normal(14)
    noise = [np.diag(np.repeat(pair, 7)) for pair in ([1.0, 0.0], [0.0, 1.0])]
    functionals = trend, [kernel], [kernel]
    return dense_engine(y if relative else y / 0.2, trend, [kernel, noise[1]], noise[0], relative, -12.0, 16.0), functionals


def cross_of(a, b):
    """Cov(f(a), f'(b)) of an integrated Wiener process."""
    return np.where(b < a, a * b - b**2 / 2, a**2 / 2)


@pytest.mark.parametrize("relative", [True, False])
def test_two_parameters_are_integrated_as_on_a_dense_grid(dense_engine, relative):
    engine, functionals = of_values_and_slopes(dense_engine, relative)
    theta_hat = maximum(engine, 15)
    posterior = integrate(engine, theta_hat)
    grid = np.stack(np.meshgrid(np.linspace(-8, 16, 61), np.linspace(-9, 13, 57), indexing="ij"), axis=-1).reshape(-1, 2)
    log = log_density(engine, grid)
    kept = log > log.max() - 13
    weights = np.exp(log[kept] - log.max())
    scale2 = engine.terms(grid[kept]).sse.value / engine.count if relative else np.ones(kept.sum())
    exact = HyperparameterPosterior(grid[kept], weights / weights.sum(), scale2, posterior.df, False)
    assert posterior.df == (engine.count if relative else np.inf)
    assert relative_error(engine, functionals, posterior, exact) < 0.01
    assert len(posterior.weights) < 250


class Effects:
    """Independent effects with known variances l_i exp(theta) and observations with noise of unknown variance, without trend."""

    names, lower, upper, relative = ("ratio",), np.array([-20.0]), np.array([20.0]), True
    has_slow_prior, is_linear = False, True

    def __init__(self, y, sizes):
        self.y, self.sizes, self.count = y, sizes, len(y)

    def terms(self, theta, order=0):
        total = 1 + np.exp(theta) * self.sizes
        share, energy = 1 - 1 / total, self.y**2 / total
        slopes = share.sum(axis=1), -(energy * share).sum(axis=1)
        bends = (share * (1 - share)).sum(axis=1), -(energy * share * (1 - 2 * share)).sum(axis=1)
        values = np.log(total).sum(axis=1), energy.sum(axis=1)
        expansions = zip(values, slopes, bends, strict=True)
        return Terms(*(Expansion(value, slope[:, None], bend[:, None, None]) for value, slope, bend in expansions))

    @property
    def is_size(self):
        return np.ones(len(self.lower), dtype=bool)

    def log_prior_of_shapes(self, theta):
        return np.zeros(len(theta))

    def information(self, theta):
        return information_of_scales(self.terms(theta, 2).log_det, self.count, True)

    def moments(self, theta, functionals=None):
        share = 1 - 1 / (1 + np.exp(theta) * self.sizes)
        return Moments(share * self.y, share)


def effects(n, seed=0, theta=1.0):
    sizes = np.exp(np.random.default_rng(0).normal(size=n))
    return Effects(np.random.default_rng(seed).standard_normal(n) * np.sqrt(1 + np.exp(theta) * sizes), sizes)


def test_the_derivatives_of_the_effects_are_right():
    engine, theta = effects(9), np.array([[0.7]])
    up, down = engine.terms(theta + 1e-4), engine.terms(theta - 1e-4)
    for term, above, below in zip(engine.terms(theta), up, down, strict=True):
        assert term.gradient[0] == pytest.approx((above.value - below.value) / 2e-4, rel=1e-6)
        assert term.hessian[0] == pytest.approx((above.gradient - below.gradient) / 2e-4, rel=1e-6)


def test_one_node_is_enough_where_the_density_is_narrow(monkeypatch):
    engine = effects(3000)
    theta_hat = maximum(engine)
    single = integrate(engine, theta_hat)
    assert single.is_single
    assert single.effective == 1
    assert np.array_equal(single.theta[0], theta_hat)
    monkeypatch.setattr(marginal, "NARROW", 0.0)
    integrated = integrate(engine, theta_hat)
    assert not integrated.is_single
    assert integrated.cov[0, 0] < 0.01
    assert relative_error(engine, None, single, integrated) < 0.01


def test_one_node_is_not_enough_with_few_observations():
    engine = effects(100)
    theta_hat = maximum(engine)
    assert not is_narrow(engine, theta_hat, about(engine, theta_hat)[1])
    assert not is_narrow(effects(3000), np.array([-20.0]), np.array([[1e9]]))


@pytest.mark.parametrize("relative", [True, False])
def test_curvature_by_differences_is_exact_to_a_thousandth(dense_engine, relative):
    engine, _ = of_values_and_slopes(dense_engine, relative)
    theta = np.array([3.0, -1.0])
    (log_det, sse), (value, curvature) = engine.terms(theta[None], order=2), about(engine, theta)
    exact = log_det.hessian[0] + sse.hessian[0]
    if relative:
        of_log = sse.hessian[0] / sse.value - np.outer(sse.gradient[0], sse.gradient[0]) / sse.value**2
        exact = log_det.hessian[0] + engine.count * of_log
    assert value == pytest.approx(sse.value[0], rel=1e-12)
    assert curvature == pytest.approx(exact, abs=1e-3 * np.abs(exact).max())


def test_without_parameters_intervals_are_those_of_the_only_node(dense_engine, wiener_curve):
    x = np.linspace(0, 1, 9)
    trend, kernel, _ = wiener_curve(x, x)
    engine = dense_engine(np.cos(5 * x) + x**3, trend, [], np.eye(9) + kernel)
    posterior = integrate(engine, np.empty(0))
    assert posterior.is_single
    assert posterior.theta.shape == (1, 0)
    assert posterior.df == 7
    assert np.array_equal(posterior.scale2, engine.terms(np.zeros((1, 0))).sse.value / 7)
    moments = Moments(x[None, :], 0.1 + x[None, :] / 3)
    half = critical_value(0.05, 7) * np.sqrt(posterior.scale2[0] * moments.variance[0])
    assert np.array_equal(mixture(posterior, moments).interval(), np.column_stack([x - half, x + half]))


def test_observations_fitted_without_error_have_one_node():
    posterior = integrate(Effects(np.zeros(5), np.arange(1.0, 6.0)), np.array([0.0]))
    assert posterior.is_single
    assert posterior.scale2 == [0.0]


def test_the_prior_decays_at_both_ends():
    engine = effects(12)
    theta = np.arange(-14.0, 15.0)[:, None]
    log = log_prior(engine.information(theta), engine.count)
    assert np.diff(log)[:4] == pytest.approx(np.ones(4), abs=0.01)
    assert np.diff(log)[-2:] == pytest.approx(-np.ones(2), abs=0.01)
    far = log_prior(engine.information(np.array([[-20.0], [20.0]])), engine.count)
    assert np.all(far == -np.inf)


def test_the_prior_is_half_the_log_determinant():
    root = np.random.default_rng(0).normal(size=(5, 3, 4))
    information = root @ root.swapaxes(1, 2)
    assert log_prior(information, 10) == pytest.approx(np.linalg.slogdet(information)[1] / 2)
    assert log_prior(np.array([[[1.0, 1.0], [1.0, 1.0]]]), 10) == [-np.inf]
    assert np.isnan(log_prior(np.array([[[np.nan]]]), 10)).all()


def test_nodes_do_not_depend_on_the_unit_of_y(dense_engine, wiener_curve):
    engine, _ = simulated(dense_engine, wiener_curve, "sine", 12)
    scaled = dense_engine(1024 * engine.y, engine.X, engine.kernels)
    theta_hat = maximum(engine)
    one, other = integrate(engine, theta_hat), integrate(scaled, theta_hat)
    assert other.theta == pytest.approx(one.theta, abs=1e-4)
    assert other.weights == pytest.approx(one.weights, abs=1e-5)
    assert other.scale2 == pytest.approx(2.0**20 * one.scale2, rel=1e-4)


def probabilities(n_simulations, find):
    """Posterior probability that an effect is below the truth, in simulations from the prior."""
    sizes = np.exp(np.random.default_rng(0).normal(size=7))
    rng = np.random.default_rng(11)
    grid = np.linspace(-20, 20, 801)[:, None]
    prior = np.cumsum(np.exp(log_prior(Effects(np.zeros(7), sizes).information(grid), 7)))
    found = []
    for _ in range(n_simulations):
        theta = grid[np.searchsorted(prior, rng.random() * prior[-1]), 0]
        effect = rng.standard_normal(7) * np.sqrt(np.exp(theta) * sizes)
        engine = Effects(effect + rng.standard_normal(7), sizes)
        log_det, sse = (term.value for term in engine.terms(grid[::8]))
        posterior = find(engine, grid[::8][np.argmin(log_det + 7 * np.log(sse))])
        found.append(mixture(posterior, engine.moments(posterior.theta)).cdf(effect)[0])
    return np.array(found)


def test_posterior_probabilities_are_uniform_under_the_prior():
    def p_value(find):
        return stats.chisquare(np.histogram(probabilities(300, find), np.linspace(0, 1, 11))[0]).pvalue

    assert p_value(integrate) > 0.01
    with np.errstate(invalid="ignore"):
        assert p_value(at_estimate) < 1e-4


def test_three_parameters_are_sampled(dense_engine):
    engine, functionals = of_values_and_slopes(dense_engine, True)
    third = np.diag([0.0] * 7 + [1.0] * 3 + [0.0] * 4)
    engine = dense_engine(engine.y, engine.X, [*engine.kernels, third], engine.fixed, True, -12.0, 16.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IntegrationWarning)
        posterior = integrate(engine, maximum(engine, 7))
    found = posterior.found
    assert 1 / np.sum(found.weights**2) > 100
    assert posterior.weights.sum() == pytest.approx(1)
    assert MOST_SAMPLED / 2 < len(posterior.weights) <= MOST_SAMPLED  # a sample: few observations

    def ends(theta, weights):
        law = replace(posterior, theta=theta, weights=weights, scale2=engine.terms(theta).sse.value / engine.count)
        return mixture(law, engine.moments(theta, functionals)).interval()

    nodes = significant(found)
    every = ends(*nodes[:2])
    few, sampled = (
        np.abs(ends(*law) - every) / (every[:, 1:] - every[:, :1]) * 2
        for law in (fewer(*nodes[:2]), (posterior.theta, posterior.weights))
    )
    assert few.max() < 0.04
    assert few.mean() < 0.7 * sampled.mean()
