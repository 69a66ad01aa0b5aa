"""The restricted likelihood of an equation and the integration over its parameters, against dense algebra and dense quadrature."""

import mpmath
import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.engine import EquationEngine, Outputs, sizes
from smoothfit.dynamics.posterior import posterior_of, weighted_quantiles
from smoothfit.dynamics.response import ratio_set
from smoothfit.dynamics.shifts import gone_on
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import BiasWarning
from smoothfit.inference.adaptive import sampled_nodes
from smoothfit.inference.engine import Expansion, information_of_scales
from smoothfit.inference.lattice import lattice_nodes
from smoothfit.inference.marginal import density_of, log_density
from smoothfit.results.mixtures import Mixture

from .conftest import solution

STEP = 0.05


def held(n, seed=1, q=0.09, sd=0.1):
    """Times, input and observations of y' = -y + 2 u + 0.5."""
    rng = np.random.default_rng(seed)
    t, u = np.arange(n) * STEP, np.repeat(rng.choice([-1.0, 1.0], -(-n // 10)), 10)[:n]
    return t, u, solution([-1.0, 2.0, 0.5], t, u, q=q, rng=rng)[:, 0] + sd * rng.standard_normal(n)


def engine_of(n=40, seed=1, **options):
    t, u, y = held(n, seed)
    model = sf.DerivativeRegression(y, t, u, **options)
    return EquationEngine(model.problem, np.array([-1.0, 1.5, 0.3])), u, y


def exact(a, ratio, u, y):
    """log_det, sse, information of log q and the linear coefficients at one point, by 50 digits of dense algebra."""
    with mpmath.workdps(50):
        n, a, ratio, h = len(y), mpmath.mpf(a), mpmath.exp(mpmath.mpf(ratio)), mpmath.mpf(STEP)
        phi, gain = mpmath.exp(a * h), mpmath.expm1(a * h) / a
        noise = ratio * mpmath.expm1(2 * a * h) / (2 * a)
        H, K = mpmath.zeros(n, 3), mpmath.zeros(n)
        H[0, 0] = 1
        for i in range(1, n):
            H[i, 0], H[i, 1], H[i, 2] = phi * H[i - 1, 0], phi * H[i - 1, 1] + gain * u[i - 1], phi * H[i - 1, 2] + gain
            for j in range(i):
                K[i, j] = K[j, i] = phi * K[i - 1, j]
            K[i, i] = phi**2 * K[i - 1, i - 1] + noise
        V = K + mpmath.eye(n)
        inverse, Y = V**-1, mpmath.matrix(y.tolist())
        inner = H.T * inverse * H
        P = inverse - inverse * H * inner**-1 * H.T * inverse
        moved = P * K
        first = sum(moved[i, i] for i in range(n))
        second = sum(moved[i, j] * moved[j, i] for i in range(n) for j in range(n))
        log_det = mpmath.log(mpmath.det(V)) + mpmath.log(mpmath.det(inner)) - mpmath.log(mpmath.det(H.T * H))
        beta = inner**-1 * H.T * inverse * Y
        cov = inner**-1
        return (
            float(log_det),
            float((Y.T * P * Y)[0]),
            float((second - first**2 / (n - 3)) / 2),
            np.array([float(beta[1]), float(beta[2])]),
            np.array([[float(cov[i, j]) for j in (1, 2)] for i in (1, 2)]),
        )


@pytest.mark.parametrize("point", [(-1.0, 2.0), (-4.0, -2.0), (0.5, 4.0), (-0.05, 0.0)])
def test_the_restricted_likelihood_is_that_of_fifty_digits(point):
    engine, u, y = engine_of(30)
    log_det, sse, information, beta, cov = exact(*point, u, y)
    theta = np.array([point])
    ours = engine.profile(theta)
    assert ours.log_det[0] == pytest.approx(log_det, abs=1e-11)
    assert ours.sse[0] == pytest.approx(sse, rel=1e-11)
    np.testing.assert_allclose(ours.beta.mean[0], beta, rtol=1e-9)
    np.testing.assert_allclose(ours.beta.cov[0], cov, rtol=1e-9)
    assert engine.information(theta)[0, 1, 1] == pytest.approx(information, rel=2e-3)  # of differences a tenth wide


@pytest.mark.parametrize("change", ["time", "y", "u", "levels"])
def test_densities_depend_on_no_unit_and_no_level(change):
    t, u, y = held(40)
    at = np.array([[-1.0, 2.0], [-0.3, 1.0]])
    engine = EquationEngine(sf.DerivativeRegression(y, t, u).problem, np.array([-1.0, 2.0, 0.5]))
    expected, there = log_density(engine, at), at.copy()
    coefficients = np.array([-1.0, 2.0, 0.5])
    if change == "time":
        other, there = sf.DerivativeRegression(y, t * 60, u), at / [60, 1] - [0, np.log(60)]
        coefficients = coefficients / 60
    elif change == "y":
        other = sf.DerivativeRegression(1e3 * y, t, u)
    elif change == "u":
        other = sf.DerivativeRegression(y, t, 1e-3 * u)
    else:
        other = sf.DerivativeRegression(y + 1e3, t, u + 50)
    ours = log_density(EquationEngine(other.problem, coefficients), there)
    assert ours[0] - ours[1] == pytest.approx(expected[0] - expected[1], abs=1e-8)


def test_moments_are_those_of_dense_algebra():
    """At a node, with initial state, input and constant unknown: the regression of the curve on the observations."""
    t, u, y = held(30)
    model = sf.DerivativeRegression(y, t, u)
    engine = EquationEngine(model.problem, np.array([-1.0, 2.0, 0.5]))
    ahead = t[-1] + STEP * np.arange(1, 11)
    wide, at = gone_on(model.sample, 0, ahead, np.ones((10, 1)), "zoh")
    a, ratio = -0.8, 1.5
    moments = engine.moments(np.array([[a, ratio]]), Outputs(wide, np.asarray(at), np.zeros(10, int)))
    n, phi = 40, np.exp(a * STEP)
    gain, noise = np.expm1(a * STEP) / a, np.exp(ratio) * np.expm1(2 * a * STEP) / (2 * a)
    drive = np.append(u, np.ones(10))
    power = np.tril(phi ** np.maximum(np.arange(n)[:, None] - np.arange(n), 0))
    X = np.column_stack([power[:, 0], power[:, 1:] @ (gain * drive[:-1]), power[:, 1:] @ np.full(n - 1, gain)])
    K = noise * power[:, 1:] @ power[:, 1:].T
    V, H = K[:30, :30] + np.eye(30), X[:30]
    VH = np.linalg.solve(V, H)
    cov = np.linalg.inv(H.T @ VH)
    beta = cov @ VH.T @ y
    weights = np.linalg.solve(V, K[:30, 30:])
    rest = X[30:] - weights.T @ H
    mean = X[30:] @ beta + weights.T @ (y - H @ beta)
    variance = np.diag(K[30:, 30:] - weights.T @ K[:30, 30:] + rest @ cov @ rest.T)
    np.testing.assert_allclose(moments.mean[0], mean, rtol=1e-9)
    np.testing.assert_allclose(moments.variance[0], variance, rtol=1e-8)
    outputs = Outputs(wide, np.asarray(at), np.zeros(10, int))
    draws = engine.draws(np.array([a, ratio]), outputs)(np.random.default_rng(0), 4000)
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.1)  # four Monte Carlo standard errors
    assert np.abs(draws.mean(axis=0) / np.sqrt(variance)).max() < 4 / np.sqrt(4000)


@pytest.mark.parametrize(("seed", "q", "sd"), [(0, 0.09, 0.1), (3, 0.0, 0.1), (5, 0.09, 0.0)])
def test_intervals_are_those_of_dense_quadrature(seed, q, sd):
    """On 80 by 60 nodes, more than a hundred times as dense as the lattice."""
    t, u, y = held(60, seed, q, sd)
    res = sf.DerivativeRegression(y, t, u).fit()
    posterior = posterior_of(res.model.problem, res.fitted)
    engine, nodes = posterior.engine, posterior.nodes.theta
    pad = 0.5 * np.ptp(nodes, axis=0)
    low, high = np.maximum(nodes.min(axis=0) - pad, engine.lower), np.minimum(nodes.max(axis=0) + pad, engine.upper)
    sides = [np.linspace(low[0], high[0], 80), np.linspace(low[1], high[1], 60)]
    theta = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    logs = log_density(engine, theta)
    weights = np.exp(logs - np.nanmax(logs))
    weights /= weights.sum()
    of_a = np.cumsum(weights.reshape(80, 60).sum(axis=1))
    middles = of_a - weights.reshape(80, 60).sum(axis=1) / 2
    dense = np.interp([0.025, 0.5, 0.975], middles, sides[0])
    ours = np.append(posterior.intervals(np.eye(3)[:1], 0.05)[0], posterior.intervals(np.eye(3)[:1], 1 - 1e-9)[0, 0])
    assert np.abs(ours - dense[[0, 2, 1]]).max() < 0.02 * (dense[2] - dense[0])
    kept = weights > 1e-7
    profile = engine.profile(theta[kept])
    scale2 = profile.sse / engine.count
    law = Mixture(
        profile.beta.mean,
        scale2[:, None] * np.diagonal(profile.beta.cov, axis1=1, axis2=2),
        weights[kept] / weights[kept].sum(),
        float(engine.count),
    )
    expected = law.interval()
    found = posterior.intervals(np.eye(3)[1:], 0.05)
    assert (np.abs(found - expected) / np.diff(expected)).max() < 0.01
    drawn = posterior.draws(np.random.default_rng(0), 20_000)
    ends = np.quantile(drawn.theta, [0.025, 0.975], axis=0).T
    whole = np.vstack([dense[[0, 2]], expected])
    assert (np.abs(ends - whole) / np.diff(whole)).max() < 0.03
    q, sigma2 = (part[:, 0] for part in engine.variances(theta[kept]))
    found = posterior.noise_intervals(0.05)
    for i, (ratio, power, draws) in enumerate([(q, 1.0, drawn.q), (sigma2, 0.5, np.sqrt(drawn.sigma2))]):
        for end, p in zip(found[i], (0.025, 0.975), strict=True):  # sse / s^2 is chi-squared
            top = engine.count * scale2 * ratio / end ** (1 / power)
            assert law.weights @ stats.chi2.sf(top, engine.count) == pytest.approx(p, abs=0.1 * 0.025)
        assert np.abs(np.quantile(draws, [0.025, 0.975]) - found[i]).max() < 0.04 * np.ptp(found[i])


@pytest.mark.parametrize("sd", [0.0, 0.1])
def test_intervals_of_order_two_are_those_of_points_sampled_without_coordinates(sd):
    """Of 16 384 points some 4000 are effective, so that their quantiles have errors of 4 % of the distance from the middle."""
    rng = np.random.default_rng(1)
    t, u = np.arange(60) * 0.1, np.repeat(rng.uniform(-1, 1, 6), 10)
    y = solution([-4.0, -1.0, 4.0, 0.5], t, u, q=0.3, rng=rng, order=2)[:, 0] + sd * rng.standard_normal(60)
    res = sf.DerivativeRegression(y, t, u, order=2).fit()
    posterior, ours = res._posterior, res.conf_int().to_numpy()
    engine = posterior.engine
    assert posterior.nodes.effective > 700
    plain = sampled_nodes(density_of(engine, posterior.nodes.theta[0]), posterior.nodes.mean, 4000.0)
    plain = plain.take(np.flatnonzero(plain.weights > 1e-9))
    profile = engine.profile(plain.theta)
    scale2 = profile.sse / engine.count
    law = Mixture(profile.beta.mean, scale2[:, None] * np.diagonal(profile.beta.cov, axis1=1, axis2=2), plain.weights, engine.count)
    of_system = [weighted_quantiles(column, plain.weights, [0.025, 0.975]) for column in plain.theta[:, :2].T]
    whole = np.vstack([of_system, law.interval()])
    assert (np.abs(ours[:4] - whole) / np.diff(whole)).max() < 0.03
    drawn = posterior.draws(np.random.default_rng(0), 20_000)
    ends = np.quantile(drawn.theta, [0.025, 0.975], axis=0).T
    assert (np.abs(ends - ours[:4]) / np.diff(whole)).max() < 0.04
    assert (np.diff(ours[:2])[:, 0] > 1.05 * 2 * 1.96 * res.bse.iloc[:2]).all()


def two_outputs(n, seed=0):
    """Times, input and observations of two coupled equations with all four noises."""
    rng = np.random.default_rng(seed)
    t, u = np.arange(n) * 0.1, np.repeat(rng.choice([-1.0, 1.0], -(-n // 10)), 10)[:n]
    equation = Equation(1, ("y1", "y2"), (0,), ("u",))
    theta = np.array([-1.0, 0.5, 2.0, 0.5, 0.8, -1.5, 0.0, -0.5])
    x = response.simulate(equation, theta, t, u[:, None], np.zeros(2), np.full(2, 0.09), rng)
    return t, u, x + 0.1 * rng.standard_normal((n, 2)), theta


@pytest.mark.parametrize("size", [0.02, 1.0, 30.0])
def test_whittles_information_follows_that_of_the_restricted_likelihood(size):
    """By differences of log_det along three logarithms, at process noises of several sizes: a variance is linear in each."""
    t, u, y, theta = two_outputs(100)
    engine = EquationEngine(sf.DerivativeRegression(y, t, u).problem, theta)
    point, d, step = np.append(theta[engine.in_system], np.log([9.0 * size, 5.0 * size, 1.0])), 3, 0.1
    unit = step * np.eye(7)[4:]
    moves = np.array([i * unit[a] + j * unit[b] for a in range(d) for b in range(d) for i in (-1, 1) for j in (-1, 1)])
    log_det = engine.profile(point + np.vstack([np.zeros(7), unit, -unit, moves])).log_det
    gradient = (log_det[1 : 1 + d] - log_det[1 + d : 1 + 2 * d]) / (2 * step)
    hessian = log_det[1 + 2 * d :].reshape(d, d, 4) @ [1, -1, -1, 1] / (4 * step**2)
    exact = information_of_scales(Expansion(log_det[:1], gradient[None], hessian[None]), engine.count, True)[0]
    ours = engine.information(point[None])[0][4:, 4:]
    assert np.linalg.slogdet(ours)[1] / 2 == pytest.approx(np.linalg.slogdet(exact)[1] / 2, abs=0.5)


def test_intervals_with_two_ratios_of_noises_are_those_of_a_lattice():
    """Two series of one output, of different noises: a lattice of three parameters has as many nodes as are needed."""
    t, u, y = held(60)
    noise = np.random.default_rng(5).standard_normal(60)
    observed = sf.observe(t, y, name="fine") + sf.observe(t, y + 0.3 * noise, name="coarse")
    res = sf.DerivativeRegression(observed, t, u).fit()
    posterior = res._posterior
    engine, sampled = posterior.engine, posterior.nodes
    assert sampled.effective > 900
    nodes = lattice_nodes(density_of(engine, sampled.mean), sampled.mean)
    mean = nodes.weights @ nodes.theta
    sd = np.sqrt(nodes.weights @ (nodes.theta - mean) ** 2)
    assert np.abs((sampled.mean - mean) / sd).max() < 0.1
    assert np.abs(np.sqrt(np.diag(sampled.cov)) / sd - 1).max() < 0.15
    ends = [weighted_quantiles(nodes.theta[:, 0], nodes.weights, [0.025, 0.975])]
    assert np.abs(posterior.intervals(np.eye(1, 3), 0.05) - ends).max() < 0.1 * np.ptp(ends)


def test_two_outputs_have_intervals_by_integration():
    t, u, y, theta = two_outputs(80, 2)
    res = sf.DerivativeRegression(y[:60], t[:60], u[:60]).fit()
    assert res._integrates
    assert res._posterior.nodes.effective > 900
    intervals = res.conf_int().to_numpy()
    low, high = intervals[:8].T
    assert ((low <= theta) & (theta <= high)).all()
    drawn = res._posterior.draws(np.random.default_rng(0), 20_000)
    ends = np.quantile(np.hstack([drawn.theta, drawn.q, np.sqrt(drawn.sigma2)]), [0.025, 0.975], axis=0).T
    assert (np.abs(ends - intervals) / np.diff(ends)).max() < 0.05
    frame = res.forecast(t[60:], u[60:])
    for name in ("y1", "y2"):
        assert (
            frame[name]["obs_ci_upper"] - frame[name]["obs_ci_lower"] > frame[name]["mean_ci_upper"] - frame[name]["mean_ci_lower"]
        ).all()


def test_the_prior_of_uncoupled_outputs_is_the_product_of_their_own():
    """If their poles are equal; else coefficients of the other output add a factor."""
    t, u, y = held(60)
    both = np.column_stack([y, 3 * np.roll(y, 7)])
    pair, *alone = (sf.DerivativeRegression(values, t, u).problem for values in (both, both[:, :1], both[:, 1:]))
    poles = np.array([-20.0, -3.0, -1.0, -0.1, 0.2])
    diagonal = np.pad(np.repeat(poles, 4).reshape(-1, 4) * [1, 0, 0, 1], [(0, 0), (0, 3)])
    joint = EquationEngine(pair, np.zeros(8)).log_prior_of_shapes(diagonal)
    own = sum(EquationEngine(one, np.array([-1.0, 1.5, 0.3])).log_prior_of_shapes(poles[:, None]) for one in alone)
    np.testing.assert_allclose(np.diff(joint), np.diff(own), rtol=1e-7)


def test_intervals_and_p_values_are_of_one_law():
    t, u, y = held(60)
    res = sf.DerivativeRegression(y, t, u).fit()
    low, high = res.conf_int().loc["u"]
    for end in (low, high):
        test = res.t_test(f"u = {end!r}")
        assert float(np.squeeze(test.pvalue)) == pytest.approx(0.05, abs=1e-6)
    np.testing.assert_allclose(np.ravel(res.t_test("u").conf_int(0.05)), [low, high])
    constant = res.time_constant().conf_int()
    slowest, fastest = res.conf_int().loc["y"].to_numpy()[::-1]
    ends = res.modes().loc[0, ["lower(rate)", "upper(rate)"]].to_numpy()
    np.testing.assert_allclose(ends, [fastest, slowest], atol=0.03 * (slowest - fastest))
    assert constant[0] == pytest.approx(-1 / fastest, rel=0.02)
    assert constant[1] == (np.inf if slowest >= 0 else pytest.approx(-1 / slowest, rel=0.05))


def test_small_p_values_are_tails_on_either_side():
    t, u, y = held(60, sd=0.01)
    res = sf.DerivativeRegression(y, t, u).fit()
    law = res._posterior.laws(np.array([[0.0, 1.0, 0.0]]))
    apart = stats.t(law.df).sf(law.mean[:, 0] / np.sqrt(law.scale2[:, 0]))
    tail = 2 * law.weights @ apart / law.weights.sum()
    assert 0 < tail < 1e-15  # 1 - (1 - tail / 2) is not even positive at this size
    for sign in (1.0, -1.0):
        assert float(np.squeeze(res.t_test([[0.0, sign, 0.0]]).pvalue)) == pytest.approx(tail, rel=1e-9, abs=0)


def test_an_equation_of_a_single_coefficient_has_intervals():
    rng = np.random.default_rng(0)
    t = np.arange(60) * STEP
    res = sf.DerivativeRegression(np.exp(-t) + 0.05 * rng.standard_normal(60), t, intercept=False).fit()
    assert res._integrates
    low, high = res.conf_int().loc["y"]
    assert low < -1 < high
    assert high - low > 2 * 1.96 * res.bse["y"]


def test_sets_of_ratios_are_those_of_draws():
    rng = np.random.default_rng(0)
    numerator, denominator = 2 + 0.1 * rng.standard_normal(4000), -1 + 0.1 * rng.standard_normal(4000)
    found = ratio_set(numerator, denominator, 0.05)
    assert found.kind == "interval"
    np.testing.assert_allclose(found[:2], np.quantile(numerator / denominator, [0.025, 0.975]), rtol=1e-2)
    assert ratio_set(numerator, denominator + 1, 0.05).kind == "unbounded"
    assert ratio_set(numerator - 2, denominator + 1, 0.05).kind == "all"
    lower, upper, _ = ratio_set(numerator, denominator + 1, 0.05)
    for r, inside in ((lower - 1, True), ((lower + upper) / 2, False), (upper + 1, True)):
        share = np.mean(numerator - r * (denominator + 1) > 0)
        assert (0.025 <= share <= 0.975) == inside


def test_draws_of_the_parameters_have_the_quantiles_of_the_intervals():
    """Probabilities of 2000 draws are right to .0035, quantiles at 2.5 % to .03 of a half-width."""
    t = np.arange(80) * 0.1
    rng = np.random.default_rng(4)
    y = 2 * (1 - np.exp(-t)) + np.cumsum(0.02 * rng.standard_normal(80)) + 0.05 * rng.standard_normal(80)
    res = sf.DerivativeRegression(y, t, np.ones(80), intercept=False).fit()
    draws, ends = res.hyperparameters, res.conf_int().to_numpy()
    assert list(draws.columns) == [*res.params.index, "weight"]
    assert draws.pop("weight").sum() == pytest.approx(1)
    half = np.diff(ends)[:, 0] / 2
    np.testing.assert_array_less(np.abs(draws.quantile([0.025, 0.975]).T.to_numpy() - ends).max(axis=1), 0.15 * half)
    assert [ax.get_xlabel() for ax in res.plot_hyperparameters()[:4]] == ["y", "u", "q", "sigma"]
    with pytest.warns(BiasWarning):
        alone = sf.DerivativeRegression(y, t, np.ones(80), intercept=False).fit("output_error")
    assert alone.hyperparameters.to_dict("records") == [{**alone.params.to_dict(), "weight": 1.0}]


def test_a_noise_that_a_short_sample_cannot_tell_has_an_interval():
    t, u, y = held(60, 1)
    res = sf.DerivativeRegression(y, t, u).fit()
    assert res.boundary == ("q",)
    low, high = res.conf_int().loc["q"]
    assert 0 < low < 0.09 < high < 1
    assert "it may be up to" in str(res.summary())


def test_intervals_of_short_samples_cover():
    """Fifteen samples; the coverage of y's coefficient and of the curve five steps ahead within three standard errors of 0.95."""
    hits = []
    for seed in range(15):
        t, u, y = held(65, 550 + seed, 0.09, 0.0)
        noise = 0.1 * np.random.default_rng(seed).standard_normal(60)
        res = sf.DerivativeRegression(y[:60] + noise, t[:60], u[:60]).fit()
        low, high = res.conf_int().loc["y"]
        frame = res.forecast(t[60:], u[60:])
        hits.append((low <= -1 <= high, frame["mean_ci_lower"].iloc[-1] <= y[-1] <= frame["mean_ci_upper"].iloc[-1]))
    assert (np.mean(hits, axis=0) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 15)).all()


@pytest.mark.parametrize("sd", [None, 0.1])
@pytest.mark.parametrize("order", [1, 2])
def test_sizes_are_those_of_the_engine(order, sd):
    t, u, y = held(60)
    problem = sf.DerivativeRegression(sf.observe(t, y, sd=sd, name="y"), t, u, order=order).problem
    engine = EquationEngine(problem, np.array([-1.0] * order + [1.5, 0.3]))
    assert sizes(problem) == (order, len(engine.names) - order, len(engine.origin))


def test_more_inputs_than_are_integrated_leave_normal_intervals():
    t, _, y = held(120)
    u = np.random.default_rng(4).standard_normal((120, 17))
    res = sf.DerivativeRegression(y, t, u).fit("kalman")
    half = stats.norm.isf(0.025) * res.bse.iloc[:19]
    np.testing.assert_allclose(res.conf_int().iloc[:19, 1], res.params.iloc[:19] + half, rtol=1e-10)
