"""Seasons whose period is many times the spacing of the first observations, beside dense algebra."""

import itertools
from functools import partial

import numpy as np
import pytest
import scipy.linalg

import smoothfit as sf
from smoothfit.errors import IdentificationError, SamplingWarning
from smoothfit.markov import priors as pri

YEAR, HARMONICS = 365.25, 6
W = 2 * np.pi * np.arange(1, HARMONICS + 1) / YEAR
Q, Q_SEASON, SD, JUMP = 2e-7, 1e-6, 0.07, 100.0


class Parts:
    """An IntegratedWiener(2) and a season: covariances of f^(i)(s) and f^(j)(t) from a start at zero, columns of the start."""

    @staticmethod
    def trend(s, t, i=0, j=0):
        s, t = s[:, None], t[None]
        m = np.minimum(s, t)
        k = {(0, 0): s * t * m - (s + t) * m**2 / 2 + m**3 / 3, (1, 0): t * m - m**2 / 2, (0, 1): s * m - m**2 / 2, (1, 1): m}
        return Q * k[i, j]

    @staticmethod
    def season(s, t, i=0, j=0):
        s, t, total = s[:, None], t[None], 0.0
        m = np.minimum(s, t)
        for w in W:
            apart, both, later = w * (s - t), w * (s + t), w * (s + t - 2 * m)
            cosines, sines = (np.sin(both) - np.sin(later)) / (2 * w), (np.cos(later) - np.cos(both)) / (2 * w)
            k = {
                (0, 0): m * np.cos(apart) - cosines,
                (1, 0): w * (sines - m * np.sin(apart)),
                (0, 1): w * (sines + m * np.sin(apart)),
                (1, 1): w**2 * (m * np.cos(apart) + cosines),
            }
            total = total + Q_SEASON * k[i, j]
        return total

    @staticmethod
    def columns(t, part, deriv=0):
        trend = [t**0, t] if deriv == 0 else [0 * t, t**0]
        waves = [w**deriv * f(w * t + deriv * np.pi / 2) for w in W for f in (np.cos, np.sin)]
        kept = part is None or np.repeat([part == "trend", part == "season"], [2, 2 * HARMONICS])
        return np.array([*trend, *waves]).T * kept


def covariance(part, s, i, t, j):
    """Covariances (n, m) of derivatives of orders i (n,) and j (m,) of a part of the curve, or of all."""
    parts = [getattr(Parts, name) for name in (("trend", "season") if part is None else (part,))]
    found = np.zeros((len(s), len(t)))
    for a, b in itertools.product((0, 1), repeat=2):
        found += np.outer(i == a, j == b) * sum(of_part(s, t, a, b) for of_part in parts)
    return found


def columns(part, t, deriv):
    """What observations of derivatives (n,) have of the constants of a part of the curve, or of all: (n, k)."""
    return np.where((deriv == 0)[:, None], Parts.columns(t, part, 0), Parts.columns(t, part, 1))


def by_dense_algebra(t, deriv, sd, y, X):
    """Log-likelihood of y = f^(deriv)(t) + X b + noise, all constants diffuse; and what answers: mean and SD of parts of f^(k)."""
    solve = partial(scipy.linalg.solve_triangular, lower=True)
    L = np.linalg.cholesky(covariance(None, t, deriv, t, deriv) + np.diag(sd**2))
    A, b = solve(L, np.column_stack([columns(None, t, deriv), X])), solve(L, y)
    basis, R = np.linalg.qr(A)
    resid = b - basis @ (basis.T @ b)
    log_det = 2 * np.log(np.diag(L)).sum() + 2 * np.log(np.abs(np.diag(R))).sum()

    def answer(part, at, k, known):
        order = np.full(len(at), k)
        cross = solve(L, covariance(part, t, deriv, at, order))
        own = np.diag(covariance(part, at, order, at, order))
        left = solve(R.T, (np.column_stack([columns(part, at, order), known]) - cross.T @ A).T)
        return cross.T @ b + left.T @ (basis.T @ b), np.sqrt(own - (cross**2).sum(axis=0) + (left**2).sum(axis=0))

    return -((len(t) - A.shape[1]) * np.log(2 * np.pi) + log_det + resid @ resid) / 2, answer


def is_wide(model):
    """Whether the season starts wide instead of diffuse."""
    return bool(model.specification.prior.components[-1].spread)


@pytest.fixture(scope="module")
def days():
    """Days of most of two years with a gap, a season, a regressor and a jump."""
    rng, t = np.random.default_rng(0), np.delete(np.arange(560.0), np.r_[3:5, 200:320])
    price = rng.standard_normal(len(t)).cumsum() / 10
    y = np.sin(W[0] * t) + 0.3 * np.cos(3 * W[0] * t) + 0.2 * price + 0.5 * (t >= JUMP) + SD * rng.standard_normal(len(t))
    return t, y, price


def prior_of(unit=1.0, **given):
    return pri.IntegratedWiener(2, **{"q": Q} | given) + pri.Seasonal(YEAR * unit, HARMONICS, **{"q": Q_SEASON} | given)


def test_all_answers_are_those_of_dense_algebra(days):
    t, y, price = days
    changes = {"regressors": {"price": price}, "interventions": [sf.Level(JUMP)]}
    model = sf.SmoothingSpline(sf.observe(t, y, sd=SD), prior=prior_of(), **changes)
    res, X = model.fit(), np.column_stack([price, t >= JUMP])
    assert is_wide(model)
    llf, answer = by_dense_algebra(t, np.zeros(len(t)), np.full(len(t), SD), y, X)
    assert res.llf_diffuse == pytest.approx(llf, rel=1e-10)
    at = np.array([0.0, 2.5, 60.0, 245.3, 559.0, 700.0, 1000.0])
    for (part, name), k in itertools.product([(None, None), ("trend", "wiener"), ("season", "seasonal")], (0, 1)):
        jump = (at >= JUMP) * (part is None and k == 0)  # the regressor is no part of the curve
        mean, sd = answer(part, at, k, np.column_stack([np.zeros(len(at)), jump]))
        found = res.get_prediction(at, k, component=name)
        np.testing.assert_allclose((found.predicted_mean - mean) / sd, 0, atol=1e-8)
        np.testing.assert_allclose(found.se_mean, sd, rtol=1e-9)


def test_slopes_that_are_small_beside_the_season():
    """Of a day seen every ten minutes f' is a hundredth of f: what is wide is so beside the observations that there are."""
    rng, t = np.random.default_rng(1), np.arange(400.0)
    y = W[0] * np.cos(W[0] * t) + 1e-3 * rng.standard_normal(400)
    level = sf.observe([0.0], [2.0], sd=0.1, name="level")
    model = sf.SmoothingSpline(level + sf.observe(t, y, deriv=1, sd=1e-3, name="slope"), prior=prior_of())
    deriv, sd = np.append(0, np.ones(400)), np.append(0.1, np.full(400, 1e-3))
    llf, answer = by_dense_algebra(np.append(0.0, t), deriv, sd, np.append(2.0, y), np.zeros((401, 0)))
    assert is_wide(model)
    assert model.fit().llf_diffuse == pytest.approx(llf, rel=1e-9)
    found, (mean, sd) = model.fit().get_prediction([200.0]), answer(None, np.array([200.0]), 0, np.zeros((1, 0)))
    assert found.predicted_mean == pytest.approx(mean, abs=1e-7 * sd[0])
    assert found.se_mean == pytest.approx(sd, rel=1e-7)


@pytest.mark.parametrize("y", [np.full(400, 3.0), 1 + 0.01 * np.arange(400.0)], ids=["constant", "line"])
def test_observations_far_smoother_than_their_noise(y):
    """A start as wide as the given noise beside differences of such observations, 1e20 of them, would lose .12."""
    t = np.arange(400.0)
    llf, answer = by_dense_algebra(t, np.zeros(400), np.full(400, SD), y, np.zeros((400, 0)))
    res = sf.SmoothingSpline(sf.observe(t, y, sd=SD), prior=prior_of()).fit()
    assert res.llf_diffuse == pytest.approx(llf, abs=1e-8)
    found, (mean, sd) = res.get_prediction([200.5, 500.0]), answer(None, np.array([200.5, 500.0]), 0, np.zeros((2, 0)))
    np.testing.assert_allclose((found.predicted_mean - mean) / sd, 0, atol=1e-8)
    np.testing.assert_allclose(found.se_mean, sd, rtol=1e-9)


def test_a_fit_converges_in_any_unit(days):
    """Of daily observations and six harmonics of a year, all variances unknown."""
    t, y, price = days
    y, free = y - 0.2 * price - 0.5 * (t >= JUMP), {"q": None}
    first = sf.SmoothingSpline(sf.observe(t, y), prior=prior_of(**free)).fit()
    second = sf.SmoothingSpline(sf.observe(t / YEAR, 1e3 * y + 7), prior=prior_of(1 / YEAR, **free)).fit()
    assert second.llf + len(t) * np.log(1e3) == pytest.approx(first.llf + (2 + 2 * HARMONICS) * np.log(1e3), abs=1e-7)
    assert second.sigma.iloc[0] == pytest.approx(1e3 * first.sigma.iloc[0], rel=1e-7)


def test_scores_are_exact_and_of_all_variances(days):
    model = sf.SmoothingSpline(sf.observe(*days[:2]), prior=prior_of(q=None)).specification
    theta, step = np.log([1e-6, 1e-3, 1e-2]), 1e-3 * np.eye(3)
    sums = model.sums(*model.split(theta), "reml", slopes=True)
    nearby = model.scan(*model.split(np.concatenate([theta + step, theta - step, theta + 2 * step, theta - 2 * step])))
    up, down, far_up, far_down = (nearby.log_det + nearby.sse)[:, 0].reshape(4, 3)
    differences = (8 * (up - down) - (far_up - far_down)) / 12e-3
    np.testing.assert_allclose((sums.log_det + sums.sse)[1:], differences, rtol=1e-6)
    assert sums.log_det[1:].sum() == pytest.approx(sums.n_used, rel=1e-9)  # all variances times e: log|K| grows by one for each


def test_leaving_out_and_going_on(days):
    t, y, _ = days
    res = sf.SmoothingSpline(sf.observe(t, y, sd=SD), prior=prior_of()).fit()
    for i in (0, 1, 7, 150):
        others = np.arange(len(t)) != i
        alone = sf.SmoothingSpline(sf.observe(t[others], y[others], sd=SD), prior=prior_of()).fit()
        assert res.loo_resid[i] == pytest.approx(y[i] - alone.predict(t[i]), abs=1e-8)
    online = sf.SmoothingSpline(sf.observe(t[:-50], y[:-50], sd=SD), prior=prior_of()).fit().online(lag=20)
    online.append(t[-50:], y[-50:])
    np.testing.assert_allclose(online.predict([540.0, 600.0]), res.predict([540.0, 600.0]), atol=1e-8)


def test_two_series_at_the_same_x():
    """Good errors of the second series were left out in place of those that a diffuse start takes: its offset moved by .11 SEs."""
    rng, t = np.random.default_rng(0), np.arange(300.0)
    f = np.sin(W[0] * t) + 0.3 * np.cos(3 * W[0] * t)
    a, b = f + SD * rng.standard_normal(300), f + 0.01 + SD * rng.standard_normal(300)
    with pytest.warns(SamplingWarning, match="longer than the record"):
        res = sf.SmoothingSpline(sf.observe(t, a, sd=SD, name="a") + sf.observe(t, b, sd=SD, name="b"), prior=prior_of()).fit()
    recursive = res.resid_recursive
    assert np.flatnonzero(np.isnan(recursive)).tolist() == list(range(2 + 2 * HARMONICS))  # of "a"; "b" is predicted by "a"
    assert recursive[300] == pytest.approx((b[0] - a[0]) / (np.sqrt(2) * SD), rel=1e-6)
    x, order, mine = np.append(t, t), np.zeros(600), np.repeat([0.0, 1.0], 300)
    L = np.linalg.cholesky(covariance(None, x, order, x, order) + SD**2 * np.eye(600))
    y, c, X = (scipy.linalg.solve_triangular(L, v, lower=True) for v in (np.append(a, b), mine, columns(None, x, order)))
    y, c = (v - X @ np.linalg.lstsq(X, v)[0] for v in (y, c))
    (bias,) = (one for one in res.fitted.posterior.errors([slice(None)]).offsets if (one.series, one.kind) == (1, "bias"))
    assert bias.effect == pytest.approx(c @ y / (c @ c), rel=1e-8)
    assert bias.statistic == pytest.approx(c @ y / np.sqrt(c @ c), rel=1e-8)


@pytest.mark.parametrize(("n", "tolerance"), [(100, 3e-5), (120, 1e-5), (150, 1e-5), (200, 1e-6), (230, 1e-6)])
def test_less_than_a_period(n, tolerance):
    """Starts as wide as 2^28 would count as knowledge here, and one exactly diffuse loses .03 to .5 of the log-likelihood."""
    t = np.arange(float(n))
    y = np.sin(W[0] * t) + 0.3 * np.cos(3 * W[0] * t) + SD * np.random.default_rng(n).standard_normal(n)
    with pytest.warns(SamplingWarning, match="longer than the record"):
        res = sf.SmoothingSpline(sf.observe(t, y, sd=SD), prior=prior_of()).fit()
    llf, answer = by_dense_algebra(t, np.zeros(n), np.full(n, SD), y, np.zeros((n, 0)))
    assert res.llf_diffuse == pytest.approx(llf, abs=tolerance)
    at = np.array([100.0, 260.0, 365.0])
    mean, sd = answer(None, at, 0, np.zeros((3, 0)))
    found = res.get_prediction(at)
    np.testing.assert_allclose((found.predicted_mean - mean) / sd, 0, atol=tolerance)
    np.testing.assert_allclose(found.se_mean, sd, rtol=tolerance)


def test_a_start_is_wide_only_where_a_diffuse_one_loses_digits():
    rng = np.random.default_rng(0)
    for step, n, harmonics, wanted in [(1.0, 400, 6, True), (7.0, 80, 5, False), (30.4375, 40, 6, False)]:
        t = step * np.arange(float(n))
        y = np.sin(W[0] * t) + SD * rng.standard_normal(n)
        model = sf.SmoothingSpline(sf.observe(t, y), prior=pri.IntegratedWiener(1) + pri.Seasonal(YEAR, harmonics))
        assert is_wide(model) == wanted, (step, n)


def test_a_quarter_of_a_period():
    """All variances unknown: no search converged below some 150 days."""
    t = np.arange(100.0)
    y = np.sin(W[0] * t) + 0.3 * np.cos(3 * W[0] * t) + SD * np.random.default_rng(100).standard_normal(100)
    with pytest.warns(SamplingWarning, match="longer than the record"):
        res = sf.SmoothingSpline(sf.observe(t, y), prior=prior_of(q=None)).fit()
    assert res.sigma.iloc[0] == pytest.approx(SD, rel=0.2)


@pytest.mark.parametrize("sd", [SD, None], ids=["given", "unknown"])
@pytest.mark.parametrize("n", [20, 60])
def test_records_so_short_that_no_start_keeps_digits(n, sd):
    """With everything given log-likelihoods were off by .5 (80 days) to 7 (60 days) without a warning."""
    t = np.arange(float(n))
    y = np.sin(W[0] * t) + SD * np.random.default_rng(n).standard_normal(n)
    wanted = "rounding would change the likelihood: .*hardly determine .*fewer harmonics, or observations of more of its period"
    with pytest.raises(IdentificationError, match=wanted):
        sf.SmoothingSpline(sf.observe(t, y, sd=sd), prior=prior_of())
