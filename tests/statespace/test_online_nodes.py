"""Streams that carry the nodes of the posterior of the parameters, against engines of all observations and dense densities."""

import pickle

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.inference.marginal import CARRIED, MOST_CARRIED, HyperparameterPosterior
from smoothfit.observations.abscissa import Points
from smoothfit.statespace.functionals import CurveFunctionals

FIRST, ALL = 20, 50


def samples(sd=0.3, seed=0):
    """An even grid whose scale does not change with what is appended: the extremes come first."""
    x = np.arange(float(ALL))
    y = np.sin(x / 4) + sd * np.random.default_rng(seed).standard_normal(ALL)
    y[0], y[1] = 3.0, -3.0
    return x, y


def model(kind, n, known):
    x, y = samples()
    observations = sf.observe(x[:n], y[:n], sd=0.5 if known else None)
    if kind == "plain":
        return sf.SmoothingSpline(observations, order=2)
    prior = sf.priors.IntegratedWiener(2)
    if kind == "sum":
        prior += sf.priors.Matern(1.5, length_scale=3.0)
    return sf.SmoothingSpline(observations, prior=prior)


def going_on(kind, known=False, lag=15):
    """A stream of all observations, the last before some others, and the fit of the first."""
    x, y = samples()
    res = model(kind, FIRST, known).fit()
    online = res.online(lag)
    online.append(x[FIRST:30], y[FIRST:30])
    for i in [*range(31, 40), 30, *range(40, ALL)]:
        online.append(float(x[i]), float(y[i]))
    return res, online


@pytest.mark.parametrize(
    ("kind", "known"), [("plain", False), ("plain", True), ("general", False), ("general", True), ("sum", True)]
)
def test_nodes_are_weighted_as_by_the_likelihood_of_all_observations(kind, known):
    res, online = going_on(kind, known)
    before, after = res.parameter_posterior.reduced(), online.parameter_posterior
    theta = after.theta
    np.testing.assert_array_equal(theta, before.theta)
    first, last = res.engine, model(kind, ALL, known).fit().engine
    log_density = []
    for engine in (first, last):
        terms = engine.terms(theta)
        misfit = terms.sse.value if known else engine.count * np.log(terms.sse.value)
        log_density.append(-(terms.log_det.value + misfit) / 2)
    weights = before.weights * np.exp(log_density[1] - log_density[0] - np.max(log_density[1] - log_density[0]))
    np.testing.assert_allclose(after.weights, weights / weights.sum(), rtol=1e-7, atol=1e-12)
    assert np.abs(after.weights - before.weights).max() > 0.02
    assert after.df == (np.inf if known else last.count)
    np.testing.assert_allclose(after.scale2, 1.0 if known else last.terms(theta).sse.value / last.count, rtol=1e-9)


@pytest.mark.parametrize("kind", ["plain", "general"])
@pytest.mark.parametrize("deriv", [0, 1])
def test_intervals_are_those_of_the_mixture_over_the_nodes(kind, deriv):
    _, online = going_on(kind)
    x = np.array([38.5, 44.0, 49.0, 52.0])
    posterior, prediction = online.parameter_posterior, online.get_prediction(x, deriv=deriv)
    engine = model(kind, ALL, False).fit().engine
    moments = engine.moments(posterior.theta, CurveFunctionals(Points(x), (deriv,)))
    scale = np.sqrt(posterior.scale2[:, None] * moments.variance)
    for end, level in zip(prediction.conf_int(alpha=0.1).T, (0.05, 0.95), strict=True):
        law = stats.t.cdf((end - moments.mean) / scale, posterior.df)
        np.testing.assert_allclose(posterior.weights @ law, level, rtol=1e-6)
    if deriv == 0:
        noise = posterior.scale2 * np.array([engine.at(theta).noise_sds[0][1] ** 2 for theta in posterior.theta])
        upper = prediction.conf_int(obs=True, alpha=0.1)[:, 1]
        law = stats.t.cdf((upper - moments.mean) / np.sqrt(scale**2 + noise[:, None]), posterior.df)
        np.testing.assert_allclose(posterior.weights @ law, 0.95, rtol=1e-6)
    integrated = online.get_prediction(x, deriv=deriv, parameters="integrated")
    np.testing.assert_allclose(integrated.predicted_mean, posterior.weights @ moments.mean, rtol=1e-8)
    np.testing.assert_array_equal(prediction.predicted_mean, online.predict(x, deriv))
    frame = online.smoothed(deriv)
    np.testing.assert_array_equal(
        frame.loc[44.0, ["mean_ci_lower", "mean_ci_upper"]], online.get_prediction([44.0], deriv).conf_int()[0]
    )


@pytest.mark.parametrize("kind", ["plain", "general"])
def test_the_order_of_arrival_changes_no_weight_and_rollback_restores_them(kind):
    x, y = samples()
    streams = [model(kind, FIRST, False).fit().online(lag=40) for _ in range(2)]
    streams[0].append(x[FIRST:], y[FIRST:])
    for i in np.random.default_rng(1).permutation(np.arange(FIRST, ALL)):
        streams[1].append(float(x[i]), float(y[i]))
    one, other = (stream.parameter_posterior for stream in streams)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-8)
    np.testing.assert_allclose(one.scale2, other.scale2, rtol=1e-10)
    for stream in streams:
        before = stream.parameter_posterior
        stream.append(30.5, 9.0)
        stream.append(x + 50.0, y[::-1])
        stream.append(80.25, 1.0)
        assert np.abs(stream.parameter_posterior.weights - before.weights).max() > 0.05
        stream.rollback(2)
        middle = stream.parameter_posterior
        twin = pickle.loads(pickle.dumps(stream)).copy()
        np.testing.assert_array_equal(twin.parameter_posterior.weights, middle.weights)
        stream.forget()
        np.testing.assert_allclose(stream.parameter_posterior.weights, middle.weights, rtol=1e-8)
        stream.append(x[:3] + 101.0, y[:3])
        twin.append(x[:3] + 101.0, y[:3])
        np.testing.assert_allclose(stream.parameter_posterior.weights, twin.parameter_posterior.weights, rtol=1e-8)


def test_what_was_rolled_back_leaves_no_bit():
    _, online = going_on("plain")
    before = online.parameter_posterior
    online.append(50.0, 8.0)
    online.append(48.5, -8.0)
    online.rollback(2)
    np.testing.assert_array_equal(online.parameter_posterior.weights, before.weights)
    np.testing.assert_array_equal(online.parameter_posterior.scale2, before.scale2)


@pytest.mark.parametrize(("kind", "n"), [("plain", 9000), ("general", 700)])
def test_weights_count_what_is_no_longer_kept(kind, n):
    rng = np.random.default_rng(2)
    x = ALL + np.arange(float(n))
    y = np.sin(x / 4) + 0.3 * rng.standard_normal(n)
    short, long = (going_on(kind, lag=lag)[1] for lag in (15, 2 * n))
    for part in np.array_split(np.arange(n), 5):
        short.append(x[part], y[part])
    long.append(x, y)
    np.testing.assert_allclose(short._added_terms(), long._added_terms(), rtol=1e-9)
    np.testing.assert_allclose(short.get_prediction(x[-3:] + 4).conf_int(), long.get_prediction(x[-3:] + 4).conf_int(), rtol=1e-8)


def test_two_series_and_intervals_of_their_observations():
    x, y = samples()
    both = sf.observe(x[:30], y[:30], name="level") + sf.observe(x[:30], np.cos(x[:30] / 4) / 4, deriv=1, name="rate", sd=0.1)
    res = sf.SmoothingSpline(both, order=3).fit()
    online, plain = res.online(10), sf.SmoothingSpline(both, prior=sf.priors.IntegratedWiener(3)).fit().online(10)
    for stream in (online, plain):
        stream.append(
            sf.observe(x[30:], y[30:], name="level") + sf.observe(x[35:], np.cos(x[35:] / 4) / 4, deriv=1, name="rate", sd=0.1)
        )
    assert len(online.parameter_posterior.weights) > 10
    for deriv in (0, 1):
        one, other = (stream.get_prediction(x[-4:] + 2, deriv).conf_int(obs=True) for stream in (online, plain))
        np.testing.assert_allclose(one, other, atol=0.01 * np.ptp(other, axis=1).min())
    assert np.isnan(online.get_prediction([52.0], deriv=2).conf_int(obs=True)).all()


def test_known_parameters_need_no_nodes():
    x, y = samples()
    res = model("plain", FIRST, False).fit()
    fixed, given = res.online(10, parameters="fixed"), model("plain", FIRST, True).fit(lam=2.0).online(10)
    for stream in (fixed, given):
        stream.append(x[FIRST:], y[FIRST:])
        prediction = stream.get_prediction(x[-3:] + 5)
        assert stream.parameter_posterior is None
        half = stats.t.isf(0.025, prediction.df) * prediction.se_mean
        np.testing.assert_allclose(np.ptp(prediction.conf_int(), axis=1), 2 * half, rtol=1e-12)
    carried = res.online(10)
    carried.append(x[FIRST:], y[FIRST:])
    np.testing.assert_array_equal(carried.predict(x[-5:]), fixed.predict(x[-5:]))
    with pytest.raises(SpecificationError, match="parameters is 'known'"):
        res.online(10, parameters="known")
    with pytest.raises(SpecificationError, match="parameters is 'fixed'"):
        carried.get_prediction([50.0], parameters="fixed")


def posterior_of(weights, df=7.0):
    L = len(weights)
    return HyperparameterPosterior(np.arange(float(L))[:, None], weights / weights.sum(), np.linspace(1, 2, L), df, False)


def test_an_update_is_the_product_of_predictive_densities():
    rng = np.random.default_rng(0)
    posterior = posterior_of(rng.random(5))
    F, v = rng.random((2, 6, 5)) + 0.5
    product, sse, df = posterior.weights.copy(), posterior.scale2 * posterior.df, posterior.df
    for variance, error in zip(F, v, strict=True):
        product *= stats.t.pdf(error, df, scale=np.sqrt(variance * sse / df))
        sse, df = sse + error**2 / variance, df + 1
    updated = posterior.updated(np.log(F).sum(axis=0), (v**2 / F).sum(axis=0), 6)
    np.testing.assert_allclose(updated.weights, product / product.sum(), rtol=1e-12)
    np.testing.assert_allclose(updated.scale2, sse / df, rtol=1e-12)
    known = posterior_of(posterior.weights, np.inf)
    product = known.weights * stats.norm.pdf(v, scale=np.sqrt(F)).prod(axis=0)
    updated = known.updated(np.log(F).sum(axis=0), (v**2 / F).sum(axis=0), 6)
    np.testing.assert_allclose(updated.weights, product / product.sum(), rtol=1e-12)
    np.testing.assert_array_equal(updated.scale2, known.scale2)


def test_few_nodes_stand_for_many():
    few = posterior_of(np.append(np.full(10, 1.0), CARRIED / 2 * 10)).reduced()
    np.testing.assert_allclose(few.weights, np.full(10, 0.1))
    many = posterior_of(stats.norm.pdf(np.linspace(-4, 4, 3000)))
    reduced = many.reduced()
    assert len(reduced.weights) == MOST_CARRIED
    assert np.isclose(reduced.weights.sum(), 1)
    np.testing.assert_allclose(reduced.mean, many.mean, rtol=1e-3)
    np.testing.assert_allclose(reduced.cov, many.cov, rtol=0.03)


def coverage(seed, parameters):
    """Fraction of 40 observations after a fit of 20 that lie within the 95 % interval of their forecast one step ahead."""
    x = np.arange(60.0)
    y = np.sin(x * np.pi / 10) + 0.3 * np.random.default_rng(seed).standard_normal(60)
    online = sf.SmoothingSpline(sf.observe(x[:20], y[:20]), order=2).fit().online(5, parameters=parameters)
    inside = []
    for i in range(20, 60):
        low, high = online.get_prediction(x[i : i + 1]).conf_int(obs=True)[0]
        inside.append(low <= y[i] <= high)
        online.append(float(x[i]), float(y[i]))
    return np.mean(inside)


def test_forecasts_cover_after_a_fit_of_few_observations():
    assert np.mean([coverage(seed, "integrated") for seed in range(70, 80)]) >= 0.92
    assert coverage(74, "fixed") < 0.5  # its noise is estimated at a tenth of what it is
    assert coverage(74, "integrated") >= 0.8
