"""Observations of several series with a joint covariance."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

from .oracle import CASES, MEAN, VARIANCE, Oracle

pri = sf.priors


def correlated(rng, shape, m):
    """Covariances (*shape, m, m) of noise with correlations of all sizes."""
    root = rng.standard_normal((*shape, m, m)) * 10.0 ** rng.uniform(-1, 0, (*shape, m, 1))
    return root @ np.swapaxes(root, -1, -2)


def joint_readings(case, rng, n=6):
    """Values and slopes with a covariance at each x, of which one repeats; two values with an SD of their own."""
    x = np.sort(rng.uniform(0, 5, n))
    x[2] = x[1]
    y, covariance = rng.standard_normal((2, n)), correlated(rng, (n,), 2)
    obs = sf.observe(x, y[0], name="a") + sf.observe(x, y[1], deriv=1, name="b")
    obs = obs + sf.observe([x[1], 2.5], [0.3, -0.4], sd=0.2, name="c")
    noise = np.zeros((2 * n + 2, 2 * n + 2))
    rows = np.arange(n)[:, None] + [0, n]
    noise[rows[:, :, None], rows[:, None, :]] = covariance
    noise[range(2 * n, 2 * n + 2), range(2 * n, 2 * n + 2)] = 0.2**2
    oracle = Oracle(CASES[case][1], [(p, k) for k in (0, 1) for p in x] + [(x[1], 0), (2.5, 0)], obs.y, noise)
    return obs, {("a", "b"): covariance}, oracle


@pytest.mark.parametrize("case", ["wiener2", "matern52", "iou2"])
def test_readings_of_two_names_with_a_covariance(case):
    obs, covariances, oracle = joint_readings(case, np.random.default_rng(8))
    prior = CASES[case][0]
    res = sf.SmoothingSpline(obs, prior=prior, covariances=covariances).fit()
    places = np.linspace(-0.5, 5.5, 7)
    for k in range(2):
        mean, variance = oracle.moments([(p, k) for p in places])
        found = res.get_prediction(places, deriv=k)
        assert np.max(np.abs(found.predicted_mean - mean) / np.sqrt(variance)) < MEAN
        np.testing.assert_allclose(found.var_pred_mean, variance, rtol=VARIANCE)
    assert res.llf == pytest.approx(float(oracle.llf), abs=1e-10, rel=1e-12)
    # What is fitted is in the user's observations.
    fitted, variance = oracle.moments(oracle.readings)
    full = sf.SmoothingSpline(obs, prior=prior, covariances=covariances).fit("ml")
    assert full.llf == pytest.approx(float(oracle.llf_full), abs=1e-10, rel=1e-12)
    noise = np.diag(oracle.noise).astype(float)
    np.testing.assert_allclose(res.fittedvalues, fitted, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(res.resid_standardized, (obs.y - fitted) / np.sqrt(noise - variance), rtol=1e-8)
    np.testing.assert_allclose(res.sigma["a"] ** 2, covariances["a", "b"][:, 0, 0].mean())


def test_leave_one_out_knows_the_partner():
    obs, covariances, _ = joint_readings("matern52", np.random.default_rng(9))
    prior, C = CASES["matern52"][0], covariances["a", "b"]
    res = sf.SmoothingSpline(obs, prior=prior, covariances=covariances).fit()
    a, b, n = obs["a"], obs["b"], len(obs["a"])
    for i in range(n):
        rest = np.arange(n) != i
        part = sf.observe(a.x[rest], a.y[rest], name="a") + sf.observe(b.x[rest], b.y[rest], deriv=1, name="b")
        part = part + sf.observe(obs["c"].x, obs["c"].y, sd=0.2, name="c")
        part = part + sf.observe(a.x[i], a.y[i], sd=C[i, 0, 0] ** 0.5, name="d")
        without = sf.SmoothingSpline(part, prior=prior, covariances={("a", "b"): C[rest]}).fit()
        noise = C[i, 1, 0] / C[i, 0, 0] * (a.y[i] - without.predict(a.x[i]))
        assert res.loo_resid[n + i] == pytest.approx(b.y[i] - without.predict(b.x[i], deriv=1) - noise, rel=1e-8)
    last = sf.observe(2.5, -0.4, sd=0.2, name="c")
    part = sf.observe(a.x, a.y, name="a") + sf.observe(b.x, b.y, deriv=1, name="b") + sf.observe(a.x[1], 0.3, sd=0.2, name="c")
    without = sf.SmoothingSpline(part, prior=prior, covariances=covariances).fit()
    assert res.loo_resid[-1] == pytest.approx(last.y[0] - without.predict(2.5), rel=1e-8)


def test_a_covariance_of_three_names_of_one_order_is_their_best_mean():
    """Three observations of f with one covariance say of f what their generalised mean says."""
    rng = np.random.default_rng(4)
    x, y, C = np.linspace(0, 3, 20), rng.standard_normal((3, 20)), correlated(rng, (), 3)
    weights = np.linalg.solve(C, np.ones(3))
    obs = sum(sf.observe(x, row, name=name) for row, name in zip(y, "abc", strict=True))
    res = sf.SmoothingSpline(obs, order=2, covariances={("a", "b", "c"): C}).fit()
    mean = sf.SmoothingSpline(sf.observe(x, weights @ y / weights.sum(), sd=weights.sum() ** -0.5), order=2).fit()
    assert res.q == pytest.approx(mean.q, rel=1e-4)
    fixed = sf.SmoothingSpline(obs, order=2, covariances={("c", "a", "b"): C[np.ix_([2, 0, 1], [2, 0, 1])]})
    again = fixed.fit(lam=1 / mean.q)
    np.testing.assert_allclose(again.predict(x), mean.predict(x), rtol=1e-9, atol=1e-10)
    assert again.edf == pytest.approx(mean.edf, rel=1e-9)
    assert fixed.fit(edf=6.0).edf == pytest.approx(6.0, rel=1e-9)
    assert "covariances: of the noise of c, a, b" in str(again.summary())


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # the observations are random numbers about no curve
def test_a_diagonal_covariance_is_known_sds():
    rng = np.random.default_rng(5)
    x, y = np.sort(rng.uniform(0, 5, 30)), rng.standard_normal((2, 30))
    sd = rng.uniform(0.1, 0.4, (30, 2))
    other = sf.observe(x + 0.01, y[0] / 2, name="c")
    free = sf.observe(x, y[0], name="a") + other + sf.observe(x, y[1], deriv=1, name="b")
    known = sf.observe(x, y[0], sd=sd[:, 0], name="a") + other + sf.observe(x, y[1], deriv=1, sd=sd[:, 1], name="b")
    options = {"prior": pri.Matern(2.5), "regressors": {"w": np.sin(np.arange(90.0))}, "interventions": [sf.Level(2.0)]}
    joint = {("b", "a"): sd[:, ::-1, None] ** 2 * np.eye(2)}
    res = sf.SmoothingSpline(free, **options, covariances=joint).fit()
    plain = sf.SmoothingSpline(known, **options).fit()
    np.testing.assert_allclose(res.params, plain.params, rtol=1e-6)
    assert res.llf == pytest.approx(plain.llf, abs=1e-9)
    np.testing.assert_allclose(res.loo_resid, plain.loo_resid, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("covariances", "error", "message"),
    [
        ({"ab": np.eye(2)}, SpecificationError, "pass a tuple"),
        ({("a", "a"): np.eye(2)}, SpecificationError, "different names"),
        ({("a", "z"): np.eye(2)}, SpecificationError, "named a, b, short, moved, known, bins"),
        ({("a", "b"): np.eye(2), ("b", "moved"): np.eye(2)}, SpecificationError, "'b' has a covariance already"),
        ({("a", "known"): np.eye(2)}, SpecificationError, "sd of 'known' are given"),
        ({("a", "bins"): np.eye(2)}, SpecificationError, "the integral of f cannot have a covariance"),
        ({("a", "short"): np.eye(2)}, DataError, "9 observations of 'a', but 8 of 'short'"),
        ({("a", "moved"): np.eye(2)}, DataError, r"observation 4 of 'a' is at x = 4, that of 'moved' at 4.5"),
        ({("a", "b"): np.eye(3)}, DataError, r"shape \(3, 3\); pass \(2, 2\), or \(9, 2, 2\)"),
        ({("a", "b"): np.full((2, 2), np.nan)}, DataError, "not finite"),
        ({("a", "b"): -np.eye(2)}, DataError, "not all positive"),
        ({("a", "b"): [[1.0, 0.5], [0.4, 1.0]]}, DataError, "not symmetric"),
        (
            {("a", "b"): np.where(np.arange(9) == 3, 2.0, 0.5)[:, None, None] ** (1 - np.eye(2))},
            DataError,
            r"\[3\] .* positive definite",
        ),
    ],
)
def test_covariances_that_are_none(covariances, error, message):
    x = np.arange(9.0)
    obs = sf.observe(x, x, name="a") + sf.observe(x, x, deriv=1, name="b") + sf.observe(x[1:], x[1:], name="short")
    obs = obs + sf.observe(np.where(x == 4, 4.5, x), x, name="moved") + sf.observe(x, x, sd=1.0, name="known")
    obs = obs + sf.observe_integral(x, x + 1, x, name="bins")
    with pytest.raises(error, match=message):
        sf.SmoothingSpline(obs, order=3, covariances=covariances)


def test_covariances_take_no_gross_errors():
    x = np.arange(20.0)
    obs = sf.observe(x, np.sin(x / 4), name="a") + sf.observe(x, np.cos(x / 4), deriv=1, name="b")
    model = sf.SmoothingSpline(obs, order=3, covariances={("a", "b"): [[0.04, 0.01], [0.01, 0.09]]})
    with pytest.raises(SpecificationError, match="sd= instead"):
        model.fit(robust="a")
    res = model.fit()
    level, slope = res._changes()
    assert (len(level.x), len(slope.x)) == (18, 18) or len(level.x) > 15
    online = res.online(lag=4)
    np.testing.assert_allclose(online.predict([20.0]), res.predict([20.0]), rtol=1e-9)
    online.append(20.0, 0.0, name="a")
    with pytest.raises(DataError, match="at x = 20 the stream has 'a' alone"):
        online.append(20.0, 0.0, name="b")
