"""Intervals integrate over the estimated parameters: against dense algebra, at boundaries, and for whom nothing is estimated."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

import smoothfit as sf
from smoothfit.errors import SpecificationError


def wave(n=120, noise=0.3, scale=1.0):
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 6, n))
    return sf.observe(scale * x, np.sin(x) + noise * rng.standard_normal(n), name="level")


def cubic(s, t, of_slope=False):
    """Covariance of an integrated Wiener process of order 2 at s with its values at t; or of its slope at s."""
    low, high = np.minimum.outer(s, t), np.maximum.outer(s, t)
    if of_slope:
        return np.where(s[:, None] < t, s[:, None] * t - s[:, None] ** 2 / 2, t**2 / 2 + 0 * s[:, None])
    return low**2 * (3 * high - low) / 6


class Dense:
    """The posterior of order 2 with its ratio rho = log(q / sigma^2) integrated on 400 nodes, by eigenvalues of the contrasts."""

    def __init__(self, x, y):
        x = x - x[0]
        self.x, self.y, self.n = x, y, len(x)
        self.X = np.column_stack([np.ones(self.n), x])
        basis = np.linalg.svd(self.X)[0][:, 2:]
        sizes, axes = np.linalg.eigh(basis.T @ cubic(x, x) @ basis)
        z2 = (axes.T @ basis.T @ y) ** 2
        self.N = len(z2)
        self.rho = np.linspace(-np.log(sizes[-1]) - 20, -np.log(sizes[0]) + 20, 400)
        added = np.exp(self.rho)[:, None] * sizes
        v = 1 + added
        shrinkage = np.where(np.median(added, axis=1)[:, None] < 1, added / v, 1 / v)  # they differ from their mean by the same
        self.sse = (z2 / v).sum(axis=1)
        information = np.sum((shrinkage - shrinkage.mean(axis=1)[:, None]) ** 2, axis=1) / 2
        density = -np.log(v).sum(axis=1) / 2 - self.N / 2 * np.log(self.sse) + np.log(information) / 2
        weights = np.exp(density - density.max())
        self.kept = weights > 1e-9 * weights.max()
        self.weights = weights[self.kept] / weights[self.kept].sum()

    def at_nodes(self, s, deriv):
        """Means and scales of the curve at s at each node kept."""
        rows = np.column_stack([np.ones(len(s)), s]) if deriv == 0 else np.column_stack([np.zeros(len(s)), np.ones(len(s))])
        means, scales = [], []
        for rho, sse in zip(self.rho[self.kept], self.sse[self.kept], strict=True):
            K = np.exp(rho) * cubic(self.x, self.x) + np.eye(self.n)
            cross = np.exp(rho) * cubic(s, self.x, deriv == 1)
            prior = np.exp(rho) * (s**3 / 3 if deriv == 0 else s)
            inverse = np.linalg.inv(K)
            information = self.X.T @ inverse @ self.X
            beta = np.linalg.solve(information, self.X.T @ inverse @ self.y)
            lever = rows - cross @ inverse @ self.X
            means.append(rows @ beta + cross @ inverse @ (self.y - self.X @ beta))
            variance = prior - np.sum(cross @ inverse * cross, axis=1) + np.sum(lever @ np.linalg.inv(information) * lever, axis=1)
            scales.append(np.sqrt(variance * sse / self.N))
        return np.array(means), np.array(scales)

    def interval(self, s, deriv, alpha, noise=False):
        means, scales = self.at_nodes(s, deriv)
        if noise:
            scales = np.sqrt(scales**2 + (self.sse[self.kept] / self.N)[:, None])
        return np.array(
            [[self._quantile(m, d, p) for p in (alpha / 2, 1 - alpha / 2)] for m, d in zip(means.T, scales.T, strict=True)]
        )

    def _quantile(self, means, scales, p):
        far = np.abs(means).max() + 1e4 * scales.max()
        return brentq(lambda v: self.weights @ stats.t.cdf((v - means) / scales, self.N) - p, -far, far)

    def quantile_of_sigma(self, p):
        scale = self.N * self.sse[self.kept] / self.N
        return np.exp(brentq(lambda log: self.weights @ stats.chi2.sf(scale * np.exp(-2 * log), self.N) - p, -20, 20))


@pytest.mark.parametrize("noise", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("n", [8, 25])
def test_intervals_are_those_of_dense_quadrature(n, noise):
    rng = np.random.default_rng(n)
    x = np.sort(rng.uniform(0, 6, n))
    y = np.sin(x) + noise * rng.standard_normal(n)
    res, dense = sf.SmoothingSpline(sf.observe(x, y)).fit(), Dense(x, y)
    at = x[0] + np.array([0.4, 2.0, 3.3, 5.0])
    for deriv in (0, 1):
        found, expected = res.get_prediction(at, deriv=deriv).conf_int(), dense.interval(at - x[0], deriv, 0.05)
        half = np.diff(expected) / 2
        assert np.abs((found - expected) / half).max() < 0.01
    found, expected = res.get_prediction(at).conf_int(obs=True, alpha=0.2), dense.interval(at - x[0], 0, 0.2, noise=True)
    assert np.abs((found - expected) / (np.diff(expected) / 2)).max() < 0.01
    # of the SD: quantiles of its posterior
    np.testing.assert_allclose(res.conf_int().loc["sigma.f"], [dense.quantile_of_sigma(p) for p in (0.025, 0.975)], rtol=0.01)


def test_what_is_integrated_can_be_looked_at():
    res = sf.SmoothingSpline(wave(15)).fit()
    nodes = res.hyperparameters
    assert list(nodes.columns) == ["sigma.level", "q", "weight"]
    assert nodes["weight"].sum() == pytest.approx(1, rel=1e-12)
    assert nodes["sigma.level"].between(*res.conf_int(alpha=1e-3).loc["sigma.level"]).all()
    assert res.params["q"] > 0
    assert nodes["q"].min() < res.params["q"] < nodes["q"].max()
    axes = res.plot_hyperparameters()
    assert [ax.get_xlabel() for ax in axes] == ["sigma.level", "q"]
    for ax, interval in zip(axes, res.conf_int().to_numpy(), strict=True):
        density, edges, _ = ax.patches[0].get_data()
        below = np.interp(np.log(interval), np.log(edges), np.append(0.005, 0.005 + np.cumsum(density * np.diff(np.log(edges)))))
        np.testing.assert_allclose(below, [0.025, 0.975], atol=0.002)
    fixed = sf.SmoothingSpline(wave(15)).fit(bandwidth=0.5).hyperparameters
    assert len(fixed) == 1


@pytest.mark.parametrize("deriv", [0, 1, 2])
def test_draws_have_the_law_of_the_intervals(deriv):
    res = sf.SmoothingSpline(wave(30), order=3).fit()
    x = np.array([0.5, 2.0, 3.3, 5.9])
    law = res.get_prediction(x, deriv=deriv).law
    draws = res.sample(x, deriv=deriv, size=4000, rng=1)
    for j in range(len(x)):
        # the level of the test is that of one in a thousand, at a fixed seed
        assert stats.kstest(law_cdf(law, j, draws[:, j]), "uniform").pvalue > 1e-3
    fixed = res.sample(x, deriv=deriv, size=4000, rng=1, parameters="fixed")
    assert (fixed.std(axis=0) < draws.std(axis=0)).all()


def law_cdf(law, j, values):
    t = (values - law.mean[:, j, None]) / np.sqrt(law.scale2[:, j, None])
    return law.weights @ stats.t.cdf(t, law.df)


def test_fixed_smoothing_leaves_students_t():
    model = sf.SmoothingSpline(wave(), order=3)
    prediction = model.fit(bandwidth=0.6).get_prediction([1.0, 2.0], deriv=1)
    assert prediction.law is None
    half = stats.t.isf(0.05, 120 - 3) * prediction.se_mean
    np.testing.assert_allclose(np.diff(prediction.conf_int(alpha=0.1)).ravel() / 2, half, rtol=1e-14)


def test_given_parameters_leave_the_normal_law():
    x = np.arange(12.0)
    res = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.2)).fit(lam=2.0)
    prediction = res.get_prediction([2.5, 20.0])
    half = stats.norm.isf(0.025) * prediction.se_mean
    np.testing.assert_array_equal(
        prediction.conf_int(), np.column_stack([prediction.predicted_mean - half, prediction.predicted_mean + half])
    )
    np.testing.assert_array_equal(res.sample(x, size=3, rng=1), res.sample(x, size=3, rng=1, parameters="fixed"))


def test_estimates_are_those_at_the_optimum_unless_asked_otherwise():
    model = sf.SmoothingSpline(wave(20), order=2)
    free = model.fit()
    plain, fixed = free.get_prediction([1.0, 2.0], deriv=1), model.fit(bandwidth=free.bandwidth).get_prediction([1.0, 2.0], deriv=1)
    np.testing.assert_allclose(plain.se_mean, fixed.se_mean, rtol=1e-5)
    assert (np.diff(plain.conf_int()) > np.diff(fixed.conf_int())).all()
    integrated = free.get_prediction([1.0, 2.0], deriv=1, parameters="integrated")
    np.testing.assert_array_equal(integrated.conf_int(), plain.conf_int())
    draws = free.sample([1.0, 2.0], deriv=1, size=20_000, rng=2)
    np.testing.assert_allclose(integrated.predicted_mean, draws.mean(axis=0), atol=4 * draws.std(axis=0).max() / 20_000**0.5)
    with pytest.raises(SpecificationError, match="parameters is 'mean'; pass 'estimated' or 'integrated'"):
        free.get_prediction([1.0], parameters="mean")


def test_intervals_do_not_depend_on_units_or_neighbours():
    x = np.array([0.3, 2.0, 7.0])
    one = sf.SmoothingSpline(wave(20)).fit()
    other = sf.SmoothingSpline(wave(20, scale=2.0**20)).fit()
    for deriv in (0, 1):
        ends = one.get_prediction(x, deriv=deriv).conf_int()
        np.testing.assert_allclose(other.get_prediction(2.0**20 * x, deriv=deriv).conf_int() * 2.0 ** (20 * deriv), ends, rtol=1e-9)
        np.testing.assert_array_equal(one.get_prediction(x[1:], deriv=deriv).conf_int(), ends[1:])


def test_integrals_and_components():
    res = sf.SmoothingSpline(wave(12)).fit()
    draws = res.sample(np.linspace(1, 4, 301), size=4000, rng=0)
    area = res.integrate(1.0, 4.0)
    low, high = area.conf_int(alpha=0.1)
    inside = np.mean((draws.mean(axis=1) * 3 > low) & (draws.mean(axis=1) * 3 < high))
    assert inside == pytest.approx(0.9, abs=0.02)  # 4000 draws tell .9 to .005
    assert -res.integrate(4.0, 1.0).conf_int()[1] == pytest.approx(area.conf_int()[0], rel=1e-12)
    parts = res.components([1.0, 2.0])
    np.testing.assert_array_equal(parts[["mean_ci_lower", "mean_ci_upper"]], res.get_prediction([1.0, 2.0]).conf_int())


def test_lengths_and_coefficients_have_intervals():
    rng = np.random.default_rng(5)
    x, r = np.arange(25.0), rng.standard_normal(25)
    obs = sf.observe(x, np.sin(x / 3) + 2 * r + 0.2 * rng.standard_normal(25))
    res = sf.SmoothingSpline(obs, prior=sf.priors.Matern(1.5), regressors={"r": r}).fit()
    ends = res.conf_int()
    assert (ends[0] < res.params).all()
    assert (ends[1] > res.params).all()
    assert (ends.loc[["sigma.f", "length_scale", "amplitude"]] > 0).all(axis=None)
    assert (ends[1] < 1000 * res.params).all()


def test_twice_as_many_digits_near_a_boundary():
    """A line: q is estimated as zero, and its intervals are finite and no wider than the data."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        x = np.linspace(0, 1, 10)
        y = x + 0.1 * rng.standard_normal(10)
        res = sf.SmoothingSpline(sf.observe(x, y)).fit()
        for deriv, most in ((0, 3), (1, 40)):
            ends = res.get_prediction(np.linspace(0, 1, 21), deriv=deriv).conf_int()
            assert (np.diff(ends) > 0).all()
            assert np.diff(ends).max() < most * np.ptp(y)


def test_the_interval_of_an_intensity_beside_a_given_sd_is_that_of_dense_quadrature():
    x, y = wave(40).readings[0].x, wave(40).readings[0].y
    basis = np.linalg.svd(np.column_stack([np.ones(40), x]))[0][:, 2:]
    sizes, axes = np.linalg.eigh(basis.T @ cubic(x - x[0], x - x[0]) @ basis)
    log_q = np.linspace(-8, 12, 2001)
    added = np.exp(log_q)[:, None] * sizes
    v = 0.09 + added
    log_density = (
        np.log(np.sum((added / v) ** 2, axis=1)) - np.log(v).sum(axis=1) - ((axes.T @ basis.T @ y) ** 2 / v).sum(axis=1)
    ) / 2
    below = np.cumsum(np.exp(log_density - log_density.max()))
    ends = np.interp([0.025, 0.975], below / below[-1], log_q + (log_q[1] - log_q[0]) / 2)
    found = sf.SmoothingSpline(sf.observe(x, y, sd=0.3)).fit().conf_int().loc["q"].to_numpy()
    np.testing.assert_allclose(np.log(found), ends, atol=0.005 * np.diff(ends)[0] / 2)
