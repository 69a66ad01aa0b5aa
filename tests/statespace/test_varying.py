"""Coefficients of regressors that vary with x: dense algebra, statsmodels, and what they exclude."""

import pickle

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import ExactSeriesWarning, IdentificationError, SpecificationError
from smoothfit.markov import priors as pri
from smoothfit.statespace.functionals import CurveFunctionals


@pytest.fixture(scope="module")
def demand():
    """Irregular times, a price of which the response wanders, a holiday of constant effect, and sales."""
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(0.3, 1.7, 60))
    price, holiday = 3 + rng.standard_normal(60), (rng.uniform(size=60) < 0.2).astype(float)
    response = -1 + np.cumsum(0.2 * np.sqrt(np.diff(t, prepend=0)) * rng.standard_normal(60))
    return t, price, holiday, 5 + np.sin(t / 9) + response * price + 0.8 * holiday + 0.2 * rng.standard_normal(60)


@pytest.fixture(scope="module")
def walking(demand):
    t, price, holiday, y = demand
    regressors = {"holiday": holiday, "price": price}
    return sf.SmoothingSpline(sf.observe(t, y), regressors=regressors, varying={"price": pri.IntegratedWiener(1)}).fit()


def walk(s, t, k=0):
    return np.minimum.outer(s, t)


def cubic(s, t, k=0):
    """Of f, or of f^(k)(s), with f(t)."""
    s, t = s[:, None], t[None, :]
    low = np.minimum(s, t)
    if k:
        return np.where(s <= t, t * s - s**2 / 2, t**2 / 2)
    return low**2 * (3 * np.maximum(s, t) - low) / 6


def decaying(s, t, k=0):
    return np.exp(-np.abs(np.subtract.outer(s, t)) / 4.0)


CASES = {
    "walk": (pri.IntegratedWiener(1), walk, 1),
    "smooth": (pri.IntegratedWiener(2), cubic, 2),
    "about a constant": (pri.OrnsteinUhlenbeck(length_scale=4.0) + pri.Polynomial(0), decaying, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_levels_coefficients_and_likelihood_are_those_of_dense_algebra(case, demand):
    """y = f + z b + w c + e: the covariance is K_f + z_i z_j K_b(t_i, t_j) + sigma^2, with flat priors of what is diffuse."""
    t, price, holiday, y = demand
    prior, kernel, n_free = CASES[case]
    model = sf.SmoothingSpline(sf.observe(t, y), regressors={"holiday": holiday, "price": price}, varying={"price": prior})
    res = model.fit()
    values = res.fitted.posterior.hyperparameters
    size = values["price.q"] if "price.q" in values else values["price.ou.amplitude"] ** 2
    powers = np.column_stack([np.ones(60), t])
    X = np.column_stack([powers, price[:, None] * powers[:, :n_free], holiday])
    V = values["q"] * cubic(t, t) + size * np.outer(price, price) * kernel(t, t) + res.sigma["f"] ** 2 * np.eye(60)
    inverse = np.linalg.inv(V)
    A = X.T @ inverse @ X
    coef = np.linalg.solve(A, X.T @ inverse @ y)
    rest = inverse @ (y - X @ coef)
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1]
    llf = -((60 - X.shape[1]) * np.log(2 * np.pi) + logs + y @ rest) / 2
    assert res.llf_diffuse == pytest.approx(llf, rel=1e-9)
    assert res.params["holiday"] == pytest.approx(coef[-1], rel=1e-8)
    assert res.bse["holiday"] == pytest.approx(np.sqrt(np.linalg.inv(A)[-1, -1]), rel=1e-8)
    P = inverse - inverse @ X @ np.linalg.solve(A, X.T @ inverse)
    np.testing.assert_allclose(res.loo_resid, rest / np.diag(P), rtol=1e-7)
    np.testing.assert_allclose(res.fittedvalues, y - res.sigma["f"] ** 2 * rest, rtol=1e-9)

    def expected(across, own, columns):
        left = columns - across @ inverse @ X
        spread = own - np.einsum("ij,jk,ik->i", across, inverse, across)
        return across @ rest + columns @ coef, spread + np.einsum("ij,ij->i", left, np.linalg.solve(A, left.T).T)

    def compare(prediction, mean, variance):
        np.testing.assert_allclose(prediction.predicted_mean, mean, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(prediction.se_mean**2, variance, rtol=1e-6)

    x = np.array([t[0] / 2 + t[1] / 2, 20.0, t[-1] + 3.0])
    ones, zero = np.column_stack([np.ones(3), x]), np.zeros((3, 1))
    on = np.hstack([np.zeros((3, 2)), ones[:, :n_free], zero])
    across, own = size * kernel(x, t) * price, size * np.diag(kernel(x, x))
    compare(res.get_prediction(x, component="coef(price)"), *expected(across, own, on))
    curve, spread = values["q"] * cubic(x, t), values["q"] * np.diag(cubic(x, x))
    of_curve = np.hstack([ones, np.zeros((3, n_free + 1))])
    compare(res.get_prediction(x), *expected(curve, spread, of_curve))
    z = np.array([2.0, 3.0, 4.0])
    future = res.get_prediction(x, regressors={"price": z, "holiday": 1.0})
    columns = of_curve + z[:, None] * on + np.eye(X.shape[1])[-1]
    compare(future, *expected(curve + z[:, None] * across, spread + z**2 * own, columns))
    if case == "smooth":
        slope = res.get_prediction(x, 1, component="coef(price)").predicted_mean
        mean, _ = expected(size * cubic(x, t, 1) * price, own, np.eye(5)[[3, 3, 3]])
        np.testing.assert_allclose(slope, mean, rtol=1e-7)


def test_a_random_walk_is_that_of_statsmodels():
    """The optimum and the smoothed coefficient of a local level with a coefficient that walks, on a grid."""
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    rng = np.random.default_rng(1)
    z = rng.standard_normal(150)
    y = np.cumsum(0.3 * rng.standard_normal(150)) + z * np.cumsum(0.2 * rng.standard_normal(150)) + 0.5 * rng.standard_normal(150)
    options = {"regressors": {"z": z}, "varying": {"z": pri.IntegratedWiener(1)}}
    res = sf.SmoothingSpline(sf.observe(np.arange(150.0), y), 1, **options).fit()

    class Walks(MLEModel):
        start_params = np.zeros(3)

        def __init__(self):
            super().__init__(y, k_states=2)
            self["design"] = np.stack([np.ones(150), z])[None]
            self["transition"] = self["selection"] = np.eye(2)
            self.ssm.initialize_diffuse()

        def update(self, params, **_):
            self["obs_cov"], self["state_cov"] = np.array([[params[0]]]), np.diag(params[1:])

    model, mine = Walks(), np.array([res.sigma["f"] ** 2, res.params["q"], res.params["z.q"]])
    moves = 1e-3 * np.eye(3)
    slope = [(model.loglike(mine * np.exp(a)) - model.loglike(mine * np.exp(-a))) / 2e-3 for a in moves]
    np.testing.assert_allclose(slope, 0, atol=2e-4)
    smoothed = model.smooth(mine).smoother_results
    path = res.get_prediction(np.arange(150.0), component="coef(z)")
    np.testing.assert_allclose(path.predicted_mean, smoothed.smoothed_state[1], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(path.se_mean**2, smoothed.smoothed_state_cov[1, 1], rtol=1e-6)


def test_a_coefficient_without_noise_is_a_constant_one(demand):
    t, price, holiday, y = demand
    regressors = {"holiday": holiday, "price": price}
    still = sf.SmoothingSpline(sf.observe(t, y), regressors=regressors, varying={"price": pri.Polynomial(0)}).fit()
    plain = sf.SmoothingSpline(sf.observe(t, y), regressors=regressors).fit()
    assert still.llf == pytest.approx(plain.llf, abs=1e-7)
    path = still.get_prediction(t[:2], component="coef(price)")
    np.testing.assert_allclose(path.predicted_mean, plain.params["price"], rtol=1e-4)
    np.testing.assert_allclose(path.se_mean, plain.bse["price"], rtol=1e-4)


def test_units_do_not_matter(demand, walking):
    t, price, holiday, y = demand
    regressors = {"holiday": holiday, "price": 1000 * price}
    res = sf.SmoothingSpline(sf.observe(60 * t, y), regressors=regressors, varying={"price": pri.IntegratedWiener(1)}).fit()
    assert res.llf == pytest.approx(walking.llf, abs=1e-6)
    assert res.params["price.q"] == pytest.approx(walking.params["price.q"] / 6e7, rel=1e-3)
    path = res.predict(60 * t, component="coef(price)")
    np.testing.assert_allclose(1000 * path, walking.predict(t, component="coef(price)"), rtol=1e-3)


def test_parts_add_up_and_are_drawn(demand, walking):
    price = demand[1]
    parts = walking.components()
    assert list(dict.fromkeys(parts["component"])) == ["wiener", "coef(price)", "holiday", "price"]
    mean = {name: part["mean"].to_numpy() for name, part in parts.groupby("component")}
    np.testing.assert_allclose(mean["wiener"] + mean["holiday"] + mean["price"], walking.fittedvalues, rtol=1e-9)
    np.testing.assert_allclose(mean["price"], price * mean["coef(price)"], rtol=1e-12)
    assert [ax.get_ylabel() for ax in walking.plot_components()] == ["wiener", "coef(price)", "holiday", "price"]
    np.testing.assert_allclose(walking.spline()(demand[0]), walking.predict(demand[0]), rtol=1e-9)
    text = walking.summary().as_text()
    assert "wiener + price * coef(price)" in text
    assert "coefficient of price: IntegratedWiener(order=1, q=None)" in text
    assert "varying={'price': IntegratedWiener(order=1, q=None)}" in repr(walking)
    same = pickle.loads(pickle.dumps(walking))
    assert same.predict([70.0], component="coef(price)") == walking.predict([70.0], component="coef(price)")


def test_intervals_integrate_over_how_much_the_coefficient_varies(walking):
    low, high = walking.conf_int().loc["price.q"]
    assert low < walking.params["price.q"] < high
    path = walking.get_prediction([20.0], component="coef(price)")
    draws = walking.sample([20.0], size=4000, rng=0, regressors={"price": 1.0, "holiday": 0.0})
    assert np.ptp(path.conf_int()) > 3.9 * path.se_mean[0]
    assert draws.std() == pytest.approx(
        walking.get_prediction([20.0], parameters="integrated", regressors={"price": 1.0, "holiday": 0.0}).se_mean[0], rel=0.1
    )


def test_a_stream_and_a_formula_have_the_same_posterior(demand):
    t, price, holiday, y = demand
    frame = pd.DataFrame({"t": t, "y": y, "price": price, "holiday": holiday})
    varying = {"price": pri.IntegratedWiener(1, q=0.04)}
    options = {"prior": pri.IntegratedWiener(2, q=0.001), "varying": varying, "sd": {"y": 0.2}}
    whole = sf.SmoothingSpline.from_formula("y ~ s(t) + price + holiday", frame, **options).fit()
    online = sf.SmoothingSpline.from_formula("y ~ s(t) + price + holiday", frame[:40], **options).fit().online(lag=5)
    for row in frame[40:].itertuples():
        online.append(row.t, row.y, regressors={"price": row.price, "holiday": row.holiday})
    points = whole.observations.abscissa.points(np.array([70.0]))
    for part in (None, "coef(price)"):
        ours = online.moments(CurveFunctionals(points, component=part))
        theirs = whole.get_prediction([70.0], component=part)
        np.testing.assert_allclose(ours.mean[0], theirs.predicted_mean, rtol=1e-9)
        np.testing.assert_allclose(ours.variance[0], theirs.var_pred_mean, rtol=1e-9)


def test_other_noise_goes_with_it(demand):
    """Outliers, and steps of rounding, that are small beside the noise."""
    t, price, _, y = demand
    options = {"regressors": {"price": price}, "varying": {"price": pri.IntegratedWiener(1)}}
    plain = sf.SmoothingSpline(sf.observe(t, y, sd=0.4), **options).fit()
    rounded = sf.SmoothingSpline(sf.observe(t, y, sd=0.4, resolution=0.01), **options).fit()
    np.testing.assert_allclose(rounded.predict(t, component="coef(price)"), plain.predict(t, component="coef(price)"), atol=2e-3)
    off = y.copy()
    off[30] += 20
    robust = sf.SmoothingSpline(sf.observe(t, off), **options).fit(robust=True)
    assert robust.robust_weights.argmin() == 30


def test_noise_that_is_correlated_between_series_is_that_of_dense_algebra(demand):
    """Two series of which one depends on the price; the walk of the response and the cubic curve have given sizes."""
    t, price, _, y = demand
    rng = np.random.default_rng(5)
    covariance = np.array([[0.09, 0.04], [0.04, 0.05]])
    second = 5 + np.sin(t / 9) + 0.2 * rng.standard_normal(60)
    obs = sf.observe(t, y, name="a") + sf.observe(t, second, name="b")
    column = np.concatenate([price, np.zeros(60)])
    res = sf.SmoothingSpline(
        obs,
        prior=pri.IntegratedWiener(2, q=0.001),
        regressors={"price": column},
        varying={"price": pri.IntegratedWiener(1, q=0.04)},
        covariances={("a", "b"): covariance},
    ).fit()
    twice = np.tile(t, 2)
    V = 0.001 * cubic(twice, twice) + 0.04 * np.outer(column, column) * walk(twice, twice) + np.kron(covariance, np.eye(60))
    X = np.column_stack([np.ones(120), twice, column])
    A = X.T @ np.linalg.solve(V, X)
    coef = np.linalg.solve(A, X.T @ np.linalg.solve(V, obs.y))
    rest = np.linalg.solve(V, obs.y - X @ coef)
    x = np.array([10.0, 40.0])
    expected = coef[2] + 0.04 * walk(x, twice) * column @ rest
    np.testing.assert_allclose(res.predict(x, component="coef(price)"), expected, rtol=1e-8)
    np.testing.assert_allclose(res.predict(x), coef[0] + coef[1] * x + 0.001 * cubic(x, twice) @ rest, rtol=1e-8)


def test_what_cannot_vary_is_named_with_the_way_out(demand):
    t, price, _, y = demand
    obs, column, walk = sf.observe(t, y), {"price": price}, pri.IntegratedWiener(1)
    refused = [
        ({"varying": ["price"]}, r"varying is \['price'\]; pass a mapping"),
        ({"varying": {"price": walk}}, r"varying has 'price', but there are no regressors=; pass its values"),
        ({"regressors": column, "varying": {"cost": walk}}, r"varying has 'cost', but the regressors are 'price'"),
        ({"regressors": column, "varying": {"price": pri.IntegratedWiener}}, r"varying\['price'\] is .*pass a prior, for example"),
        (
            {"regressors": column, "varying": {"price": pri.Seasonal(7)}},
            "a season is not supported: pass the regressor times the sine",
        ),
        ({"regressors": column, "varying": {"price": walk}, "period": 50.0}, "period excludes varying; pass prior="),
    ]
    for options, message in refused:
        with pytest.raises(SpecificationError, match=message):
            sf.SmoothingSpline(obs, **options)
    sums = sf.observe_integral(t[:-1], t[1:], y[1:], mean=True, name="means")
    both = {"price": np.concatenate([price, price[1:]])}
    with pytest.raises(SpecificationError, match=r"'means' depends.*make the regressor zero for them, or leave it out of varying"):
        sf.SmoothingSpline(obs + sums, regressors=both, varying={"price": walk})
    both["price"][60:] = 0
    assert sf.SmoothingSpline(obs + sums, regressors=both, varying={"price": walk}).specification.n_diffuse == 3
    scaled = sf.observe(t, y, name="a") + sf.observe(t, 2 * y, name="b", scale="estimate")
    with pytest.raises(SpecificationError, match="the regressor 'price' of it does not support; make it zero"):
        sf.SmoothingSpline(scaled, regressors={"price": np.tile(price, 2)}, varying={"price": walk})
    late = sf.observe(t, y, name="a") + sf.observe(t, y, name="b", lag="estimate")
    with pytest.raises(SpecificationError, match="the varying coefficient of 'price' of it does not support; leave it out of vary"):
        sf.SmoothingSpline(late, regressors={"price": np.tile(price, 2)}, varying={"price": walk})
    with pytest.raises(IdentificationError, match=r"the coefficient of ones undetermined.*leave out a component or a regressor"):
        sf.SmoothingSpline(obs, regressors={"ones": np.ones(60)}, varying={"ones": walk})
    res = sf.SmoothingSpline(obs, regressors=column, varying={"price": walk}).fit()
    with pytest.raises(SpecificationError, match=r"the components are wiener, coef\(price\)"):
        res.predict(t, component="price")
    with pytest.raises(SpecificationError, match=r"deriv is 1; derivatives of coef\(price\) end at f"):
        res.predict(t, 1, component="coef(price)")


def test_noise_that_a_coefficient_of_a_large_regressor_hides_is_warned_of():
    """Steps of the coefficient, 0.08, times a price of 30 are 2.4, and the noise of 0.2 is estimated as zero; it is the optimum."""
    rng, n = np.random.default_rng(0), 120
    slope, price = -1 + np.cumsum(0.08 * rng.standard_normal(n)), rng.standard_normal(n)
    rest = 5 + np.cumsum(0.05 * rng.standard_normal(n)) + 0.2 * rng.standard_normal(n)

    def fit(price, sd=None):
        obs = sf.observe(np.arange(float(n)), rest + slope * price, sd=sd)
        prior = sf.priors.IntegratedWiener(1)
        return sf.SmoothingSpline(obs, prior=prior, regressors={"price": price}, varying={"price": prior}).fit()

    assert fit(price).sigma.iloc[0] == pytest.approx(0.2, abs=0.1)
    with pytest.warns(ExactSeriesWarning, match="SD of 'f' is estimated as zero: the coefficient of 'price' varies .* give sd="):
        free = fit(price + 30)
    assert free.llf > fit(price + 30, sd=0.2).llf
