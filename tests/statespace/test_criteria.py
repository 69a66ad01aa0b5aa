"""The criteria against their definitions in dense matrices, their derivatives against differences of their values."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.inference.newton import PREDICTION_CRITERIA, curvature_of
from smoothfit.markov import criteria
from smoothfit.markov.bandwidth import FixedBandwidth, FixedDf, FixedLam, Resolution
from smoothfit.markov.criteria import LIKELIHOODS, PredictionCriterion
from smoothfit.markov.kernels import gradient_terms
from smoothfit.markov.rows import Rows
from smoothfit.statespace.fitting import Tied
from smoothfit.statespace.general_search import GeneralCriterion
from smoothfit.statespace.specification import Specification

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")

METHODS = (*LIKELIHOODS, *PREDICTION_CRITERIA)
NAMES = {  # name: order of the derivative, known noise SD
    "one": {"a": (0, None)},
    "several": {"a": (0, None), "b": (1, None), "c": (0, None)},
    "some known": {"a": (0, 0.3), "b": (1, None), "c": (0, None)},
    "all known": {"a": (0, 0.3), "b": (1, 0.5)},
}


def readings(names, n=12, seed=0):
    """Observations of sin and its derivatives under several series, n of each, weighted, some values of x repeated."""
    rng = np.random.default_rng(seed)
    total = None
    for name, (deriv, sd) in names.items():
        x = np.sort(rng.uniform(0, 6, n))
        x[3] = x[2]
        y = np.sin(x + deriv * np.pi / 2) + 0.3 * rng.standard_normal(n)
        part = sf.observe(x, y, deriv=deriv, sd=sd, weights=rng.uniform(0.3, 3, n), name=name)
        total = part if total is None else total + part
    return total


def make_criterion(method, observations, order, sigma2=None):
    rows = Rows.of(observations)
    if method in LIKELIHOODS:
        return LIKELIHOODS[method](rows, order)
    return PredictionCriterion(rows, order, np.geomspace(1, 3, rows.n_groups) if sigma2 is None else sigma2, method)


def difference_derivatives(function, theta, step):
    """Gradient and Hessian from central differences of values, right to step^4."""
    p = len(theta)
    gradient, hessian = np.zeros(p), np.zeros((p, p))
    axes = np.eye(p)

    def mixed(i, j, h):
        signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        return sum(a * b * function(theta + h * (a * axes[i] + b * axes[j])) for a, b in signs) / (4 * h**2)

    for i in range(p):
        near, far = (function(theta + h * axes[i]) - function(theta - h * axes[i]) for h in (step, 2 * step))
        gradient[i] = (8 * near - far) / (12 * step)
        for j in range(p):
            hessian[i, j] = (4 * mixed(i, j, step) - mixed(i, j, 2 * step)) / 3
    return gradient, hessian


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [2, 4])
def test_derivatives_are_those_of_the_values(order, method, case):
    criterion = make_criterion(method, readings(NAMES[case]), order)
    theta = np.linspace(-1, -2, len(criterion.names))
    value, gradient = criterion.gradient(theta)
    also_value, also_gradient, hessian = curvature_of(criterion, theta)
    assert value == pytest.approx(criterion.values(theta[None])[0], rel=1e-13)
    assert also_value == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(also_gradient, gradient, rtol=1e-11, atol=1e-11)

    def value_at(t):
        return criterion.values(t[None])[0]

    # Values near 50 are right to 1e-14 of it, which a step of .02 turns into 1e-11 and 1e-9; the neglected t^4 is 1e-7.
    expected_gradient, expected_hessian = difference_derivatives(value_at, theta, 0.02)
    np.testing.assert_allclose(gradient, expected_gradient, atol=2e-7)
    # Exact for likelihoods; by forward differences of the gradient, in steps of 1e-4, for gcv and aicc.
    tolerance = 5e-7 if method in LIKELIHOODS else 2e-4
    np.testing.assert_allclose(hessian, expected_hessian, atol=tolerance)


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("method", LIKELIHOODS)
def test_slopes_that_follow_from_the_others_are_those_of_the_kernels(method, case):
    likelihood = make_criterion(method, readings(NAMES[case]), 3)
    theta = np.linspace(-1, -2, len(likelihood.names))
    _, gradient, scale = likelihood.scaled_gradient(theta)
    determinant, sse = likelihood._terms(gradient_terms, *likelihood.at(theta), likelihood.directions)
    slope = likelihood.count / sse[0] if likelihood.scale_free else 1.0
    np.testing.assert_allclose(scale, determinant[1:], rtol=1e-12)
    np.testing.assert_allclose(gradient, determinant[1:] + slope * sse[1:], rtol=1e-11)


def test_a_hessian_by_differences_is_the_exact_one(monkeypatch):
    likelihood = make_criterion("reml", readings(NAMES["several"]), 3)
    theta = np.linspace(-1, -2, 4)
    _, _, exact = likelihood.hessian(theta)
    monkeypatch.setattr(criteria, "MOST_EXACT", 0)
    value, gradient, hessian = likelihood.hessian(theta)
    assert value == pytest.approx(likelihood.values(theta[None])[0], rel=1e-13)
    np.testing.assert_array_equal(gradient, likelihood.gradient(theta)[1])
    np.testing.assert_allclose(hessian, exact, atol=1e-4 * np.abs(exact).max())  # forward, in steps of 1e-4
    assert not np.array_equal(hessian, exact)


@pytest.mark.parametrize("tie", [FixedLam(0.7), FixedBandwidth(1.3), FixedDf(9.0)], ids=["lam", "bandwidth", "edf"])
@pytest.mark.parametrize("case", ["several", "some known"])
@pytest.mark.parametrize("method", LIKELIHOODS)
def test_derivatives_at_fixed_smoothing_are_those_of_the_values(method, case, tie):
    criterion = make_criterion(method, readings(NAMES[case]), 3)
    tied = Tied(criterion, Resolution(criterion.rows, 3), tie)
    theta = np.array([-0.5, 0.4, -0.9])[: len(criterion.names) - 1]
    value, gradient, hessian = curvature_of(tied, theta)

    def value_at(t):
        return tied.values(t[None])[0]

    assert value == pytest.approx(value_at(theta), rel=1e-13)
    expected_gradient, expected_hessian = difference_derivatives(value_at, theta, 0.02)
    np.testing.assert_allclose(gradient, expected_gradient, atol=2e-7)
    np.testing.assert_allclose(hessian, expected_hessian, atol=5e-4)  # forward differences again


def textbook(method, oracle, weights):
    """GCV and AICc from the smoother matrix A and weights."""
    n, A = oracle.n, oracle.smoother_matrix
    y = oracle.y.astype(float)
    resid = y - A @ y
    rss, trace = weights @ resid**2, np.trace(A)
    if method == "gcv":
        return n * rss / (n - trace) ** 2
    return n * (np.log(rss / n) + (n + trace) / (n - trace - 2))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("method", PREDICTION_CRITERIA)
def test_prediction_criteria_are_those_of_the_textbook(method, order, dense, table):
    observations = readings(NAMES["one"], n=20)
    criterion, unit = make_criterion(method, observations, order), Rows.of(observations).scale
    weights = observations["a"].weights
    for log_q in (-3.0, 1.0):
        oracle = dense(table(observations, {"a": 1.0}), order, np.exp(log_q) * unit.intensity(order) / unit.y_unit**2)
        value = criterion.values(np.array([[log_q]]))[0] + 20 * np.log(unit.y_unit**2)  # RSS is that of scaled observations
        if method == "gcv":
            value = np.exp(value / 20)
        assert value == pytest.approx(textbook(method, oracle, weights), rel=1e-11)


@pytest.mark.parametrize("method", PREDICTION_CRITERIA)
def test_smoothing_chosen_minimises_the_textbook_criterion(method, dense, table):
    observations = readings(NAMES["one"], n=25, seed=1)
    res = sf.SmoothingSpline(observations, order=2).fit(method)
    assert res.boundary == ()

    def at(log_q):
        oracle = dense(table(observations, res.sigma), 2, res.q * np.exp(log_q))
        value = textbook(method, oracle, observations["a"].weights)
        return value if method == "aicc" else 25 * np.log(value)

    step = 1e-3
    slope = (at(step) - at(-step)) / (2 * step)
    curvature = (at(step) - 2 * at(0) + at(-step)) / step**2
    # The search stops where g'H^-1 g <= 1e-10: the slope is below 1e-5 times the root of the curvature.
    assert curvature > 0.1
    assert abs(slope) < 2e-5 * np.sqrt(curvature)


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("method", LIKELIHOODS)
def test_score_of_the_dense_likelihood_vanishes_at_the_optimum(method, case, dense, table):
    observations = readings(NAMES[case], n=12, seed=2)
    res = sf.SmoothingSpline(observations, order=3).fit(method)
    assert res.boundary == ()
    oracle = dense(table(observations, res.sigma), 3, res.q)
    K, P, noise = (matrix.astype(float) for matrix in (oracle.covariance, oracle.projector, oracle.noise))
    y = oracle.y.astype(float)
    names = np.repeat(observations.names, 12)
    slopes = {name: np.diag(noise * (names == name)) for name, (_, sd) in NAMES[case].items() if sd is None}
    slopes["q"] = K - np.diag(noise)
    for slope in slopes.values():  # dK / d log q and dK / d log sigma_g^2
        trace = np.trace(P @ slope)
        if method == "ml" and slope is not slopes["q"]:  # log|X'R^-1 X| is left out
            design = oracle.design.astype(float)
            weighted = design / noise[:, None]
            trace += np.trace(np.linalg.solve(design.T @ weighted, weighted.T @ slope @ weighted))
        score = (y @ P @ slope @ P @ y - trace) / 2
        information = np.trace(P @ slope @ P @ slope) / 2
        # The search stops where g'H^-1 g <= 1e-10, g and H of -2 l: the score is below 1e-5 / sqrt(2) of its own spread.
        assert information > 0.1
        assert abs(score) < 1e-5 * np.sqrt(information)


@pytest.mark.parametrize("case", ["one", "several", "some known"])
def test_restricted_variances_are_residual_mean_squares(case, dense, table):
    # sigma_g^2 = RSS_g / (n_g - tr H_gg) at the optimum, H from the oracle and RSS from the fit.
    observations = readings(NAMES[case], n=12, seed=3)
    res = sf.SmoothingSpline(observations, order=3).fit()
    assert res.boundary == ()
    leverage = np.diag(dense(table(observations, res.sigma), 3, res.q).smoother_matrix)
    assert res.edf == pytest.approx(leverage.sum(), rel=1e-12)
    start = 0
    for reading in observations.readings:
        mine = slice(start, start + 12)
        start += 12
        if reading.sd is None:
            rss = reading.weights @ res.resid[mine] ** 2
            # A variance is known to about 30 %, and the optimum to 1e-5 of that.
            assert res.sigma[reading.name] ** 2 == pytest.approx(rss / (12 - leverage[mine].sum()), rel=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_fixed_edf_is_the_trace_of_the_smoother_matrix(order, dense, table):
    observations = readings({"a": (0, None)} | ({"b": (1, 0.4)} if order > 1 else {}), n=10)
    res = sf.SmoothingSpline(observations, order=order).fit(edf=6.0)
    trace = np.trace(dense(table(observations, res.sigma), order, res.q).smoother_matrix)
    assert res.edf == pytest.approx(6.0, rel=1e-10)
    assert trace == pytest.approx(res.edf, rel=1e-12)


@pytest.mark.parametrize("case", NAMES)
def test_bandwidth_is_where_information_balances_the_prior(case):
    observations = readings(NAMES[case])
    res = sf.SmoothingSpline(observations, order=3).fit(bandwidth=0.8)
    assert res.bandwidth == pytest.approx(0.8, rel=1e-12)
    precision = 1 / (res.sigma[[r.name for r in observations.readings for _ in range(12)]].to_numpy() ** 2)
    precision *= np.concatenate([r.weights for r in observations.readings])
    n = len(observations)
    per_x = precision * (n - 1) / (n * np.ptp(observations.x))
    assert res.q * per_x @ 0.8 ** (2.0 * (3 - observations.deriv)) == pytest.approx(1, rel=1e-11)


def test_scores_are_exact():
    rng = np.random.default_rng(12)
    x = np.sort(rng.uniform(0, 8, 50))
    y = np.sin(2.5 * x) + 0.2 * rng.standard_normal(50)
    pri = sf.priors
    prior = pri.DampedOscillator() + pri.Matern(1.5) + pri.Seasonal(0.7, 1) + pri.TensionSpline(2)
    model = Specification(sf.observe(x, y) + sf.observe_integral(x[:20], x[5:25], y[:20]), prior, {"w": rng.standard_normal(70)})
    theta = np.array([(p.first + p.last) / 2 for p in model.parameters])
    for method in ("reml", "ml"):
        criterion = GeneralCriterion(model, method)
        _, gradient = criterion.gradient(theta)
        for i, slope in enumerate(gradient):
            h = 1e-3 * np.eye(len(theta))[i]
            v = criterion.values(np.array([theta + 2 * h, theta + h, theta - h, theta - 2 * h]))
            numeric = (8 * (v[1] - v[2]) - (v[0] - v[3])) / 12e-3
            assert slope == pytest.approx(numeric, rel=1e-6, abs=1e-7)
