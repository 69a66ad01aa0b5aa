"""Estimated correlations of the noise of two series: dense algebra, the fit with that covariance, and where they cannot be."""

import pickle

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.observations.abscissa import Points
from smoothfit.results.mixtures import mixture
from smoothfit.statespace.functionals import CurveFunctionals
from smoothfit.statespace.general_search import GeneralCriterion
from smoothfit.statespace.markov_engine import MarkovEngine

PAIR = ("height", "speed")
NAME = "correlation.height.speed"
TRUTH = 0.6


def pair(n=60, sds=(0.3, 0.2), weights=None, given=False, correlation=TRUTH):
    """Observations of a sine and of its slope at the same x, with correlated noise."""
    rng = np.random.default_rng(3)
    x, sds = np.sort(rng.uniform(0, 9, n)), np.array(sds)
    e = rng.multivariate_normal([0, 0], np.outer(sds, sds) * [[1, correlation], [correlation, 1]], n)
    known = sds if given else (None, None)
    first = sf.observe(x, np.sin(x) + e[:, 0], sd=known[0], weights=weights, name="height")
    return first + sf.observe(x, np.cos(x) + e[:, 1] / (1 if weights is None else np.sqrt(weights)), 1, sd=known[1], name="speed")


def estimated(obs, **options):
    return sf.SmoothingSpline(obs, order=3, covariances={PAIR: "estimate"}, **options)


@pytest.fixture(scope="module")
def fitted():
    return estimated(pair()).fit()


def dense(res, sds, correlation):
    """Restricted -2 log-likelihood, up to a constant, and the fitted values."""
    x, q, y = res.observations["height"].x + 5, res.params["q"], res.observations.y
    s, t = np.meshgrid(x, x, indexing="ij")
    low, high = np.minimum(s, t), np.maximum(s, t)
    of_values = low**3 * (10 * high**2 - 5 * high * low + low**2) / 120
    by_t = np.where(s <= t, s**3 * (20 * t - 5 * s) / 120, (30 * t**2 * s**2 - 20 * t**3 * s + 5 * t**4) / 120)
    of_slopes = low**3 / 3 + low**2 * (high - low) / 2
    root = [np.broadcast_to(sd, x.shape) for sd in sds]
    cross = np.diag(correlation * root[0] * root[1])
    noise = np.block([[np.diag(root[0] ** 2), cross], [cross, np.diag(root[1] ** 2)]])
    V = q * np.block([[of_values, by_t], [by_t.T, of_slopes]]) + noise
    X = np.vstack([np.vander(x, 3), np.column_stack([2 * x, np.ones_like(x), np.zeros_like(x)])])
    A = X.T @ np.linalg.solve(V, X)
    rest = y - X @ np.linalg.solve(A, X.T @ np.linalg.solve(V, y))
    weighted = np.linalg.solve(V, rest)
    return np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] + rest @ weighted, y - noise @ weighted


@pytest.mark.parametrize("case", ["unknown", "known", "weights"])
def test_likelihood_scores_and_fitted_values_are_those_of_dense_algebra(case, fitted):
    weights = np.linspace(0.5, 2, 60) if case == "weights" else None
    res = fitted if case == "unknown" else estimated(pair(given=case == "known", weights=weights)).fit()
    criterion, theta = GeneralCriterion(res.model.specification, "reml"), res.optimum.theta
    roots = (1.0 if weights is None else 1 / np.sqrt(weights), 1.0)
    names = [p.name for p in res.model.specification.parameters]
    at = dense(res, [sd * root for sd, root in zip(res.sigma, roots, strict=True)], res.params[NAME])
    np.testing.assert_allclose(res.fittedvalues, at[1], rtol=1e-6, atol=1e-7)
    assert np.abs(criterion.gradient(theta)[1]).max() < 1e-3
    step = 0.3 * np.array([name != "q" for name in names])
    moved = theta + step
    sds = [sd * root * (np.exp(0.15) if case != "known" else 1.0) for sd, root in zip(res.sigma, roots, strict=True)]

    def there(h):
        return dense(res, sds, np.tanh(np.arctanh(res.params[NAME]) + 0.3 + h))[0]

    ours = criterion.values(np.array([theta, moved]))
    assert ours[1] - ours[0] == pytest.approx(there(0) - at[0], rel=1e-6)
    assert criterion.gradient(moved)[1][names.index(NAME)] == pytest.approx((there(1e-4) - there(-1e-4)) / 2e-4, rel=1e-5)


def test_all_scores_are_differences_of_values(fitted):
    criterion, theta = GeneralCriterion(fitted.model.specification, "reml"), fitted.optimum.theta + np.array([0.2, -0.1, 0.3, 0.1])
    ends = [criterion.values(theta + sign * 1e-4 * np.eye(4)) for sign in (1, -1)]
    np.testing.assert_allclose(criterion.gradient(theta)[1], (ends[0] - ends[1]) / 2e-4, rtol=1e-6, atol=1e-6)


def test_a_fit_is_that_with_its_covariance_given(fitted):
    a, b = fitted.sigma
    c = fitted.params[NAME] * a * b
    prior = sf.priors.IntegratedWiener(3, q=fitted.params["q"])
    known = sf.SmoothingSpline(pair(), prior=prior, covariances={PAIR: [[a**2, c], [c, b**2]]}).fit()
    assert fitted.llf == pytest.approx(known.llf, rel=1e-9)
    assert fitted.edf == pytest.approx(known.edf, rel=1e-9)
    for name in ("fittedvalues", "loo_resid", "resid_standardized"):
        np.testing.assert_allclose(getattr(fitted, name), getattr(known, name), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fitted.predict([2.0], deriv=1), known.predict([2.0], deriv=1), rtol=1e-9)


def test_intervals_and_tests(fitted):
    low, high = fitted.conf_int().loc[NAME]
    assert -1 < low < TRUTH < high < 1
    z = np.arctanh([low, high])
    assert z[1] - z[0] == pytest.approx(2 * 1.96 * fitted.bse[NAME] / (1 - fitted.params[NAME] ** 2), rel=0.05)
    assert fitted.t_test(f"{NAME} = 0").pvalue < 1e-3
    assert NAME in fitted.summary().as_text()
    assert pickle.loads(pickle.dumps(fitted)).params.equals(fitted.params)
    assert len(fitted.plot_hyperparameters()) == 4
    assert fitted.misfits == ()


def test_noise_without_correlation_is_found_so():
    res = estimated(pair(correlation=0.0)).fit()
    assert abs(res.params[NAME]) < 3 * res.bse[NAME] < 0.5
    assert res.aic > sf.SmoothingSpline(pair(correlation=0.0), order=3).fit().aic


def test_correlations_that_cannot_be_are_named_with_the_way_out(fitted):
    three = pair() + sf.observe(pair()["speed"].x, np.ones(60), name="more")
    with pytest.raises(SpecificationError, match="between two series; pass a pair"):
        sf.SmoothingSpline(three, order=3, covariances={(*PAIR, "more"): "estimate"})
    with pytest.raises(SpecificationError, match="'guess'; pass a covariance, or"):
        sf.SmoothingSpline(pair(), order=3, covariances={PAIR: "guess"})
    with pytest.raises(DataError, match="each x has one of each"):
        sf.SmoothingSpline(pair() + sf.observe([1.0], [1.0], name="speed", deriv=1), order=3, covariances={PAIR: "estimate"})
    with pytest.raises(SpecificationError, match=r"which lam does not support; .* covariance itself"):
        estimated(pair()).fit(lam=1.0)
    with pytest.raises(SpecificationError, match="which a robust loss does not support"):
        estimated(pair()).fit(robust=True)
    height = sf.observe(pair()["height"].x, pair()["height"].y, name="height", lag="estimate")
    speed = sf.observe(pair()["speed"].x, pair()["speed"].y, 1, name="speed")
    with pytest.raises(SpecificationError, match="lag='estimate', which covariances= of it does not support"):
        sf.SmoothingSpline(height + speed, order=3, covariances={PAIR: "estimate"})


def appended(online, obs, steps, **options):
    """Append the observations of a pair at some places, in one call for each."""
    for i in steps:
        given = [sf.observe(r.x[[i]], r.y[[i]], r.deriv, name=r.name, **options) for r in obs.readings]
        online.append(given[0] + given[1])


def first_of(obs, n, sd):
    """The first observations of each of two series in order of x, an extreme among them, so that more change no unit."""
    height, speed = obs["height"], obs["speed"]
    y = np.where(np.arange(len(height)) == 1, 3.0, height.y)[:n]
    return sf.observe(height.x[:n], y, sd=sd, name="height") + sf.observe(speed.x[:n], speed.y[:n], 1, name="speed")


def assert_same(online, whole, x):
    for deriv in (0, 1):
        one, other = online.get_prediction(x, deriv), whole.get_prediction(x, deriv)
        np.testing.assert_allclose(one.predicted_mean, other.predicted_mean, rtol=1e-10)
        np.testing.assert_allclose(one.se_mean, other.se_mean, rtol=1e-10)


def test_a_stream_carries_a_correlation_by_its_nodes():
    """Against the engine of all observations, its density and its moments at each node."""
    n, first, sd, prior = 36, 26, 0.4, sf.priors.IntegratedWiener(3, q=0.7)  # two parameters are left, of few nodes
    obs = first_of(pair(n), n, sd)

    def model(given):
        return sf.SmoothingSpline(given, prior=prior, covariances={PAIR: "estimate"})

    res = model(first_of(obs, first, sd)).fit()
    online = res.online(8)
    for i in [*range(first, 32), 33, 32, *range(34, n)]:
        height, speed = (
            sf.observe(r.x[[i]], r.y[[i]], r.deriv, sd, name=r.name) for r, sd in zip(obs.readings, (sd, None), strict=True)
        )
        online.append(height + speed)
    whole = MarkovEngine(model(obs).specification)
    before, after = res.parameter_posterior.reduced(), online.parameter_posterior
    gains = []
    for engine in (res.engine, whole):
        terms = engine.terms(before.theta)
        gains.append(-(terms.log_det.value + terms.sse.value) / 2)
    weights = before.weights * np.exp(gains[1] - gains[0] - np.max(gains[1] - gains[0]))
    np.testing.assert_allclose(after.weights, weights / weights.sum(), rtol=1e-10)
    assert np.abs(after.weights - before.weights).max() > 0.01
    x = np.array([obs["height"].x[-2], 9.5])
    asked = CurveFunctionals(Points(x), (0,))
    np.testing.assert_allclose(online.predict(x), whole.moments(res.theta_hat[None], asked).mean[0], rtol=1e-11)
    law = mixture(after, whole.moments(after.theta, asked))
    ends = online.get_prediction(x).conf_int()
    np.testing.assert_allclose(ends, law.interval(0.05), rtol=1e-9)
    batch = model(obs).fit().get_prediction(x).conf_int()
    assert np.abs(ends - batch).max() < 0.1 * (batch[:, 1] - batch[:, 0]).min()  # nodes of fewer observations
    again = pickle.loads(pickle.dumps(online))
    speed, height = sf.observe([9.2], [5.0], 1, name="speed"), sf.observe([9.2], [2.0], sd=sd, name="height")
    again.append(speed + height)
    again.rollback(1)  # leaves the height, which counts alone
    (a, b), r = res.sigma, res.params[NAME]
    all_given = first_of(pair(n), n, None) + sf.observe([9.2], [2.0], sd=a, name="alone")
    known = sf.SmoothingSpline(all_given, prior=prior, covariances={PAIR: [[a**2, r * a * b], [r * a * b, b**2]]}).fit()
    np.testing.assert_allclose(again.predict(x), known.predict(x), rtol=1e-9)
    with pytest.raises(DataError, match=r"at x = 9\.2 the stream has 'height' alone; .* in one call \(rollback"):
        again.append(speed)
    again.rollback(1)
    again.append(speed)
    of_speed = first_of(pair(n), n, None) + sf.observe([9.2], [5.0], 1, sd=b, name="alone")
    known = sf.SmoothingSpline(of_speed, prior=prior, covariances={PAIR: [[a**2, r * a * b], [r * a * b, b**2]]}).fit()
    np.testing.assert_allclose(again.predict(x), known.predict(x), rtol=1e-9)
    again.rollback(1)
    np.testing.assert_allclose(again.predict(x), online.predict(x), rtol=1e-12)
    np.testing.assert_allclose(again.parameter_posterior.weights, after.weights, rtol=1e-12)


def test_a_stream_goes_on_with_a_given_covariance():
    """Against a fit of all observations, in any order of series and after part of it has become a law."""
    obs, covariance = pair(50), np.array([[0.04, 0.036], [0.036, 0.09]])
    prior = sf.priors.IntegratedWiener(3, q=2.0)

    def model(given):
        return sf.SmoothingSpline(given, prior=prior, covariances={("speed", "height"): covariance})

    first = [sf.observe(r.x[:20], r.y[:20], r.deriv, name=r.name) for r in obs.readings]
    online = model(first[0] + first[1]).fit().online(6)
    appended(online, obs, range(20, 30))
    online.forget()
    appended(online, obs, range(30, 50))
    whole, x = model(obs).fit(), [obs["height"].x[-2], 9.4]
    assert_same(online, whole, x)
    with pytest.raises(DataError, match="'height' has covariances= in the fit, which replaces sd="):
        online.append(sf.observe([9.5], [0.0], sd=0.1, name="height") + sf.observe([9.5], [0.0], 1, name="speed"))
    with pytest.raises(DataError, match="'speed' has covariances= in the fit, which replaces sd="):
        online.append(9.5, 0.0, name="speed", sd=0.3)
    each = np.tile(covariance, (50, 1, 1)) * np.linspace(1, 2, 50)[:, None, None]
    online = sf.SmoothingSpline(obs, prior=prior, covariances={("speed", "height"): each}).fit().online(6)
    with pytest.raises(DataError, match="one that is the same"):
        appended(online, obs, [49])


def test_observations_without_their_partner_have_the_noise_of_their_series():
    """Against a fit in which they are a series of their own: of a pair, and of three series of which one or two are missing."""
    rng, prior, names = np.random.default_rng(5), sf.priors.IntegratedWiener(3, q=2.0), ("a", "b", "c")
    covariance = np.array([[0.04, 0.03, 0.01], [0.03, 0.09, -0.02], [0.01, -0.02, 0.05]])
    x = np.arange(24) / 4
    y = np.sin(x)[:, None] + rng.multivariate_normal(np.zeros(3), covariance, 24)
    present = np.ones((24, 3), bool)
    present[[15, 18, 21], [0, 1, 2]] = present[17] = present[20, 1:] = False  # one, all or two are missing

    def of(rows, columns=range(3), **options):
        parts = [sf.observe(x[rows], y[rows, j], name=names[j], **options) for j in columns if len(rows)]
        return sum(parts[1:], start=parts[0])

    fit = sf.SmoothingSpline(of(np.arange(14)), prior=prior, covariances={names: covariance}).fit()
    one_by_one, at_once = fit.online(6), fit.online(60)
    for i in range(14, 24):
        if present[i].any():
            one_by_one.append(of(np.array([i]), np.flatnonzero(present[i])))
    missing = np.where(present, y, np.nan)[14:]
    parts = [sf.observe(x[14:], missing[:, j], name=name) for j, name in enumerate(names)]
    at_once.append(parts[0] + parts[1] + parts[2])

    sets = {}
    for i in range(24):
        sets.setdefault(tuple(np.flatnonzero(present[i]).tolist()), []).append(i)
    sets.pop(())
    parts, covariances = [], {}
    for columns, rows in sets.items():
        labels = tuple(f"{names[j]}{len(columns)}{rows[0]}" for j in columns)
        known = None if len(columns) > 1 else np.sqrt(covariance[columns[0], columns[0]])
        parts += [sf.observe(x[rows], y[rows, j], sd=known, name=label) for j, label in zip(columns, labels, strict=True)]
        if len(columns) > 1:
            covariances[labels] = covariance[np.ix_(columns, columns)]
    whole = sf.SmoothingSpline(sum(parts[1:], start=parts[0]), prior=prior, covariances=covariances).fit()
    for online in (one_by_one, at_once):
        assert_same(online, whole, [5.4, 6.1])
    one_by_one.append(6.0, 0.3, name="b")
    assert one_by_one.nobs == present.sum() + 1
