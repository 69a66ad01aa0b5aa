"""Unknown biases of series: noise-free ones exactly, others by dense algebra, and where they cannot be."""

import pickle

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError

BIAS = 1.5


def pair(n=60, deriv=0, sd=None, noise=0.1, bias="estimate", seed=0):
    """Observations of a sine, and of it or its slope with a bias at other x."""
    rng = np.random.default_rng(seed)
    x, z = np.sort(rng.uniform(0, 6, n)), np.sort(rng.uniform(0, 6, n))
    a = sf.observe(x, np.sin(x) + noise * rng.standard_normal(n), sd=sd, name="a")
    curve = np.cos(z) if deriv else np.sin(z)
    return a + sf.observe(z, curve + BIAS + noise * rng.standard_normal(n), deriv, sd=sd, name="b", bias=bias)


@pytest.mark.parametrize(
    "model",
    [
        {"order": 2},
        {"order": 3},
        {"prior": sf.priors.Matern(2.5) + sf.priors.Polynomial(0)},
        {"prior": sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(4.0, harmonics=1)},
        {"order": 2, "period": 2 * np.pi},
    ],
    ids=str,
)
def test_the_bias_between_equal_curves_is_exact(model):
    x = np.linspace(0, 6, 40)
    obs = sf.observe(x, np.sin(x), sd=0.1, name="a") + sf.observe(x, np.sin(x) + BIAS, sd=0.2, name="b", bias="estimate")
    res = sf.SmoothingSpline(obs, **model).fit()
    assert res.params["bias.b"] == pytest.approx(BIAS, abs=1e-8)
    assert res.bse["bias.b"] == pytest.approx(np.hypot(0.1, 0.2) / np.sqrt(40), rel=1e-6)


@pytest.mark.parametrize("kind", ["rate", "mean", "integral", "difference"])
def test_the_bias_of_other_functionals_is_exact_beside_a_line(kind):
    x = np.linspace(0, 6, 30)
    lower, upper = x[:-1], x[1:] + 0.05 * np.arange(29)
    line, area = 2 + 3 * x, 2 * (upper - lower) + 1.5 * (upper**2 - lower**2)
    observe = {
        "rate": lambda **more: sf.observe(x, 3 + BIAS + 0 * x, 1, **more),
        "mean": lambda **more: sf.observe_integral(lower, upper, area / (upper - lower) + BIAS, mean=True, **more),
        "integral": lambda **more: sf.observe_integral(lower, upper, area + BIAS, **more),
        "difference": lambda **more: sf.observe_difference(lower, upper, 3 * (upper - lower) + BIAS, **more),
    }[kind]
    obs = sf.observe(x, line, sd=0.1, name="a") + observe(sd=0.3, name="b", bias="estimate")
    res = sf.SmoothingSpline(obs, prior=sf.priors.IntegratedWiener(3, q=0.01)).fit()
    assert res.params["bias.b"] == pytest.approx(BIAS, abs=1e-8)
    np.testing.assert_allclose(res.fittedvalues, obs.y, atol=1e-8)
    np.testing.assert_allclose(res.predict(x), line, atol=1e-8)


def wiener(s, k, t, r):
    """Covariance of f^(k)(s) and f^(r)(t), f'' white noise of intensity one from zero on."""
    s, t = s[:, None], t[None, :]
    low = np.minimum(s, t)
    if k == r == 0:
        return low**2 * (3 * np.maximum(s, t) - low) / 6
    if k == r == 1:
        return low
    if k:
        s, t = t, s  # value at s, slope at t
    return np.where(s <= t, s**2 / 2, t * s - t**2 / 2)


@pytest.mark.parametrize("deriv", [0, 1])
def test_bias_and_likelihood_are_those_of_dense_algebra(deriv):
    obs = pair(deriv=deriv)
    res = sf.SmoothingSpline(obs, prior=sf.priors.IntegratedWiener(2)).fit()
    x, z = (reading.x for reading in obs.readings)
    orders = (0, deriv)
    K = res.q * np.block(
        [[wiener(p, k, q, r) for q, r in zip((x, z), orders, strict=True)] for p, k in zip((x, z), orders, strict=True)]
    )
    V = K + np.diag(np.repeat(res.sigma.to_numpy() ** 2, 60))
    second = np.column_stack([np.zeros(60), np.ones(60)]) if deriv else np.column_stack([np.ones(60), z])
    X = np.vstack([np.column_stack([np.ones(60), x]), second])
    X = np.column_stack([X, np.repeat([0.0, 1.0], 60)])
    A = X.T @ np.linalg.solve(V, X)
    coef = np.linalg.solve(A, X.T @ np.linalg.solve(V, obs.y))
    rest = obs.y - X @ coef
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1]
    llf = -(117 * np.log(2 * np.pi) + logs + rest @ np.linalg.solve(V, rest)) / 2
    assert res.params["bias.b"] == pytest.approx(coef[2], rel=1e-7)
    assert res.bse["bias.b"] == pytest.approx(np.sqrt(np.linalg.inv(A)[2, 2]), rel=1e-7)
    assert res.llf_diffuse == pytest.approx(llf, rel=1e-9)
    at = np.array([2.0])
    k = np.concatenate([res.q * wiener(x, 0, at, deriv)[:, 0], res.q * wiener(z, deriv, at, deriv)[:, 0]])
    row = np.array([0.0, 1.0, 1.0]) if deriv else np.array([1.0, 2.0, 1.0])
    of_b = row @ coef + k @ np.linalg.solve(V, rest)
    assert res.get_prediction(at, deriv=deriv, name="b").predicted_mean[0] == pytest.approx(of_b, rel=1e-7)
    assert res.predict(at, deriv=deriv)[0] == pytest.approx(of_b - coef[2], rel=1e-7)


def test_an_interval_of_the_bias_integrates_over_the_parameters_and_a_t_test_is_of_it():
    res = sf.SmoothingSpline(pair()).fit()
    low, high = res.conf_int().loc["bias.b"]
    assert low < BIAS < high
    assert high - low > 2 * 1.95 * res.bse["bias.b"]
    assert res.t_test("bias.b = 1.5").pvalue > 0.01
    assert res.pvalues["bias.b"] < 1e-6
    assert "bias.b" in res.summary().as_text()
    again = pickle.loads(pickle.dumps(res))
    assert again.params.equals(res.params)


def test_predictions_are_of_the_curve_and_new_observations_of_the_series():
    res = sf.SmoothingSpline(pair()).fit()
    x = [1.0, 2.0]
    of_b, of_a = res.get_prediction(x, name="b"), res.get_prediction(x)
    np.testing.assert_allclose(of_b.predicted_mean - of_a.predicted_mean, res.params["bias.b"], rtol=1e-9)
    np.testing.assert_allclose(res.predict(x), of_a.predicted_mean, rtol=1e-12)
    assert (np.ptp(of_b.conf_int(obs=True), axis=1) > np.ptp(of_b.conf_int(), axis=1)).all()
    rates = sf.SmoothingSpline(pair(deriv=1), order=3).fit()
    assert rates.get_prediction(x, deriv=1).omits == ("bias.b",)
    with pytest.raises(SpecificationError, match="pass name='b'"):
        rates.get_prediction(x, deriv=1).conf_int(obs=True)


def test_streams_robust_fits_and_many_curves_have_biases():
    whole = pair(n=80)
    res = sf.SmoothingSpline(whole).fit()
    online = res.online(lag=20, parameters="fixed")
    online.append([6.1], [BIAS + np.sin(6.1)], name="b")
    more = whole + sf.observe([6.1], [BIAS + np.sin(6.1)], name="b", bias="estimate")
    hyper = sf.priors.IntegratedWiener(2, q=res.q)
    sds = [sf.observe(r.x, r.y, sd=res.sigma[r.name], name=r.name, bias="estimate" if r.has_bias else None) for r in more.readings]
    known = sf.SmoothingSpline(sum(sds), prior=hyper).fit()
    np.testing.assert_allclose(online.predict([6.0, 6.1]), known.predict([6.0, 6.1]), rtol=1e-8)
    spoilt = whole["b"].y.copy()
    spoilt[20] += 5
    of_b = sf.observe(whole["b"].x, spoilt, name="b", bias="estimate")
    robust = sf.SmoothingSpline(sf.observe(whole["a"].x, whole["a"].y, name="a") + of_b).fit(robust=["b"])
    assert robust.params["bias.b"] == pytest.approx(res.params["bias.b"], abs=0.02)
    frame = pd.DataFrame({"id": "u", "t": whole["a"].x, "a": whole["a"].y, "b": whole["a"].y + BIAS + np.sin(1e4 * whole["a"].x)})
    fits = sf.fit_curves(frame, by="id", x="t", readings={"a": 0, "b": 0}, bias={"b": "estimate"})
    single = sf.SmoothingSpline.from_formula("a + b ~ s(t)", frame, bias={"b": "estimate"}).fit()
    assert fits.params.loc["u", "bias.b"] == pytest.approx(single.params["bias.b"], rel=1e-12)


def test_a_known_bias_is_subtracted():
    known = pair(bias=BIAS)
    np.testing.assert_allclose(known["b"].y, pair()["b"].y - BIAS, rtol=1e-15)
    assert list(sf.SmoothingSpline(known).fit().params.index) == ["sigma.a", "sigma.b", "q"]
    assert repr(pair()).endswith("bias to be estimated")


def test_biases_that_cannot_be_are_named_with_the_way_out():
    both = [sf.observe([0.0, 1.0, 2.0, 3.0, 4.0, 6.0], np.arange(6.0), name=name, bias="estimate") for name in "ab"]
    with pytest.raises(IdentificationError, match=r"bias\.a and bias\.b undetermined.*leave bias= of one series out"):
        sf.SmoothingSpline(sum(both))
    with pytest.raises(DataError, match="bias='estimate' in one part"):
        both[0] + sf.observe([7.0], [1.0], name="a")
    with pytest.raises(SpecificationError, match="bias is 'auto'; pass \"estimate\""):
        sf.observe([0.0], [1.0], bias="auto")
    with pytest.raises(DataError, match="bias is nan"):
        sf.observe([0.0], [1.0], bias=np.nan)
    with pytest.raises(SpecificationError, match="leave it out for points"):
        sf.observe([[0.0, 1.0]], [1.0], bias=1.0)
    with pytest.raises(SpecificationError, match="DerivativeRegression does not support"):
        sf.DerivativeRegression(pair())
    with pytest.raises(SpecificationError, match="GaussianProcess does not support"):
        sf.GaussianProcess(pair())
    with pytest.raises(SpecificationError, match=r"a regressor is called 'bias\.b'"):
        sf.SmoothingSpline(pair(), regressors={"bias.b": np.arange(120.0)})
