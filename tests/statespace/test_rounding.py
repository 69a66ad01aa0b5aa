"""Rounded observations: dense algebra, quadrature over intervals, coverage, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import truncnorm

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.statespace.rounding import sites_at, truncated_moments
from smoothfit.statespace.specification import Sites, Specification

X = np.sort(np.random.default_rng(1).uniform(0, 4, 25))
AT = np.array([0.3, 1.7, 3.9, 4.6])


def wiener(a, b, k=0, j=0):
    """Covariance of f^(k)(a) and f^(j)(b), f the integral of a Wiener process: by quadrature, exact for its polynomials."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    end = np.minimum(a[:, None], b[None])
    u = end[..., None] * (nodes + 1) / 2
    left = (a[:, None, None] - u) ** (1 - k)
    right = (b[None, :, None] - u) ** (1 - j)
    return (left * right * weights).sum(axis=-1) * end / 2


def dense(x, y, noise, q, at, deriv):
    """Posterior mean and variance of f^(deriv), and -2 restricted log-likelihood, of a cubic smoothing spline."""
    K = q * wiener(x, x) + np.diag(noise)
    design = np.column_stack([np.ones_like(x), x])
    KX, Ky = np.linalg.solve(K, design), np.linalg.solve(K, y)
    information = design.T @ KX
    beta = np.linalg.solve(information, design.T @ Ky)
    cross = q * wiener(at, x, deriv, 0)
    basis = np.column_stack([np.zeros_like(at) if deriv else np.ones_like(at), np.ones_like(at) if deriv else at])
    left = basis - cross @ KX
    mean = cross @ (Ky - KX @ beta) + basis @ beta
    own = q * np.diag(wiener(at, at, deriv, deriv))
    variance = (
        own - np.sum(cross * np.linalg.solve(K, cross.T).T, axis=1) + np.sum(left * np.linalg.solve(information, left.T).T, axis=1)
    )
    objective = np.linalg.slogdet(K)[1] + np.linalg.slogdet(information)[1] + (y - design @ beta) @ Ky
    return mean, variance, objective


def rounded(values, steps):
    return np.round(values / steps) * steps


@pytest.fixture
def fine():
    rng = np.random.default_rng(2)
    steps = rng.uniform(0.05, 0.3, len(X))
    weights = rng.uniform(0.3, 1.0, len(X))
    return rounded(np.sin(X) + 0.3 * rng.standard_normal(len(X)) / np.sqrt(weights), steps), steps, weights


@pytest.mark.parametrize("deriv", [0, 1])
def test_fine_steps_add_their_variance_to_a_known_one(fine, deriv):
    y, steps, weights = fine
    obs = sf.observe(X, y, sd=0.3, weights=weights, resolution=steps)
    found = sf.SmoothingSpline(obs, prior=sf.priors.IntegratedWiener(2, q=0.7)).fit().get_prediction(AT, deriv=deriv)
    mean, variance, _ = dense(X, y, 0.09 / weights + steps**2 / 12, 0.7, AT, deriv)
    np.testing.assert_allclose(found.predicted_mean, mean, atol=1e-9)
    np.testing.assert_allclose(found.se_mean, np.sqrt(variance), rtol=1e-9)


def test_fine_steps_stand_beside_an_estimated_variance(fine):
    y, steps, weights = fine
    res = sf.SmoothingSpline(sf.observe(X, y, weights=weights, resolution=steps)).fit()
    assert (steps <= res.sigma["f"] / np.sqrt(weights)).all()  # or other observations would represent these
    logs = np.log([res.sigma["f"], res.params["q"]])

    def objective(logs):
        s, q = np.exp(logs)
        return dense(X, y, s**2 / weights + steps**2 / 12, q, AT, 0)[2]

    slopes = [(objective(logs + e) - objective(logs - e)) / 2e-4 for e in 1e-4 * np.eye(2)]
    np.testing.assert_allclose(slopes, 0, atol=2e-4)
    assert all(objective(logs) < objective(logs + e) for e in 0.2 * np.vstack([np.eye(2), -np.eye(2)]))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-3.0, 2.5), (0.1, 0.1003), (6.0, 20.0), (-9.0, -7.0), (-2.1, 30.0)])
def test_moments_of_a_truncated_normal(low, high):
    mean, V, left = truncated_moments(np.array([low]), np.array([high]))
    x = np.linspace(low, min(high, low + 12.0), 400_001)
    density = np.exp(-(x**2 - min(low**2, high**2)) / 2)
    density /= np.trapezoid(density, x)
    first = np.trapezoid(density * x, x)
    assert mean[0] == pytest.approx(first, abs=1e-8)
    assert V[0] == pytest.approx(np.trapezoid(density * (x - first) ** 2, x), rel=1e-6)
    assert left[0] == pytest.approx(1 - V[0], rel=1e-6)


def test_report_inside_a_wide_step_tells_nothing_to_the_last_digit():
    _, _, left = truncated_moments(np.array([-9.0]), np.array([8.0]))
    law = truncnorm(-9.0, 8.0)
    assert left[0] == pytest.approx(8 * law.pdf(8.0) + 9 * law.pdf(-9.0), rel=1e-12)


THREE, S, AMPLITUDE, LENGTH = np.array([0.0, 0.6, 1.5]), 0.2, 0.9, 1.3
REPORTS, STEP = np.array([0.0, 1.0, 1.0]), 1.0


def matern(a, b, k=0):
    """Covariance of f^(k)(a) and f(b) of a Matern 5/2 process."""
    rate = np.sqrt(5) / LENGTH
    d = a[:, None] - b[None]
    r = rate * np.abs(d)
    value = (1 + r + r**2 / 3) if k == 0 else -rate * rate * d * (1 + r) / 3
    return AMPLITUDE**2 * value * np.exp(-r)


def by_quadrature(s, size=1.0):
    """Probability of three reports, and posterior mean and SD of f and f' at a point: over all values within the intervals."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    z = REPORTS + STEP / 2 * np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    w = (STEP / 2) ** 3 * np.einsum("i,j,k->ijk", weights, weights, weights).ravel()
    K = size * matern(THREE, THREE) + s**2 * np.eye(3)
    w = w * np.exp(-np.sum(z * np.linalg.solve(K, z.T).T, axis=1) / 2) / np.sqrt(np.linalg.det(2 * np.pi * K))
    at, moments = np.array([1.0]), []
    for k, own in ((0, AMPLITUDE**2), (1, AMPLITUDE**2 * 5 / (3 * LENGTH**2))):
        row = np.linalg.solve(K, size * matern(at, THREE, k)[0])
        means = z @ row
        mean = w @ means / w.sum()
        moments.append((mean, np.sqrt(size * own - row @ K @ row + w @ (means - mean) ** 2 / w.sum())))
    return w.sum(), moments


def test_coarse_steps_give_the_moments_of_the_interval_likelihood():
    prior = sf.priors.Matern(2.5, amplitude=AMPLITUDE, length_scale=LENGTH)
    res = sf.SmoothingSpline(sf.observe(THREE, REPORTS, sd=S, resolution=STEP), prior=prior).fit()
    for deriv, (mean, sd) in enumerate(by_quadrature(S)[1]):
        found = res.get_prediction([1.0], deriv=deriv)
        assert found.predicted_mean[0] == pytest.approx(mean, abs=0.01 * sd)
        assert found.se_mean[0] == pytest.approx(sd, rel=0.01)


def test_score_at_the_sites_is_that_of_the_interval_likelihood():
    prior = sf.priors.Matern(2.5, length_scale=LENGTH)
    spec = Specification(sf.observe(THREE, REPORTS, resolution=STEP), prior)
    theta = np.log([AMPLITUDE / spec.hyper_unit(spec.hyperparameters[1]), (S / spec.scale.y_unit) ** 2])
    assert [p.name for p in spec.parameters] == ["amplitude", "sigma.f"]
    values, variance = spec.split(theta)
    sites = sites_at(spec, values, variance, Sites(spec.as_read.y, spec.as_read.offset))
    sums = spec.with_sites(sites).sums(values, variance, "reml", slopes=True)
    step = 1e-4
    by_size = [-2 * np.log(by_quadrature(S, np.exp(2 * e))[0]) for e in (step, -step)]
    by_noise = [-2 * np.log(by_quadrature(S * np.exp(e / 2))[0]) for e in (step, -step)]
    exact = [(high - low) / (2 * step) for high, low in (by_size, by_noise)]
    np.testing.assert_allclose((sums.log_det + sums.sse)[1:], exact, rtol=0.03)


def sines(seed, s, step, n=80):
    """Rounded observations of a sine."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 10, n)
    return x, rounded(np.sin(x + rng.uniform(0, 6)) + s * rng.standard_normal(n), step)


@pytest.mark.parametrize("s", [0.02, 0.3])
def test_units_of_y_do_not_matter(s):
    x, y = sines(3, s, 0.25)
    one = sf.SmoothingSpline(sf.observe(x, y, resolution=0.25), order=3).fit()
    other = sf.SmoothingSpline(sf.observe(x, 1e6 * y, resolution=0.25e6), order=3).fit()
    np.testing.assert_allclose(other.predict(x, deriv=1), 1e6 * one.predict(x, deriv=1), atol=1e6 * 1e-4)
    assert other.sigma["f"] == pytest.approx(1e6 * one.sigma["f"], rel=1e-3)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of the plain fits
def test_slopes_of_coarse_observations_are_covered():
    """Of plain fits they are not: neighbouring rounding errors are alike."""
    s, step, n_samples = 0.02, 1.0, 8
    inside = {"rounded": 0.0, "plain": 0.0}
    for seed in range(n_samples):
        rng = np.random.default_rng(seed)
        x, phase = np.linspace(0, 10, 200), rng.uniform(0, 6)
        y = rounded(np.sin(x + phase) + s * rng.standard_normal(200), step)
        at = np.linspace(0.5, 9.5, 40)
        for name, resolution in (("rounded", step), ("plain", None)):
            res = sf.SmoothingSpline(sf.observe(x, y, resolution=resolution), order=3).fit()
            low, high = res.get_prediction(at, deriv=1).conf_int().T
            inside[name] += np.mean((low < np.cos(at + phase)) & (np.cos(at + phase) < high)) / n_samples
    assert inside["rounded"] > 0.9
    assert inside["plain"] < 0.8


@pytest.mark.parametrize(
    ("resolution", "message"),
    [
        ([0.1, 0.0, 0.1], r"resolution\[1\] is 0.0; the step"),
        ([0.1, 0.1, np.inf], r"resolution\[2\] is inf; the step"),
        (-1.0, r"resolution\[0\] is -1.0; the step"),
        ([0.1, 0.1], "resolution has 2 entries for 3 observations"),
    ],
)
def test_resolution_is_positive_and_finite(resolution, message):
    with pytest.raises(DataError, match=message):
        sf.observe([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], resolution=resolution)


def test_resolution_out_of_proportion():
    obs = sf.observe(X, np.sin(X), resolution=1e12)
    with pytest.raises(DataError, match=r"resolution\[0\] of 'f' is 1000000000000.0, more than 1e\+08 times"):
        sf.SmoothingSpline(obs)


def test_parts_of_one_name_keep_their_steps():
    parts = sf.observe([0.0, 1.0], [1.0, np.nan], resolution=[0.1, 0.2]) + sf.observe([2.0], [0.0])
    np.testing.assert_array_equal(parts["f"].resolution, [0.1, 0.0])
    assert parts.to_frame()["resolution"].tolist() == [0.1, 0.0]


def test_what_takes_no_resolution_says_so():
    x, y = sines(0, 0.3, 0.25)
    obs = sf.observe(x, y, resolution=0.25)
    models = {
        "SplineRegression": lambda: sf.SplineRegression(obs, sf.BSplineBasis.from_data(x, df=12)),
        "GaussianProcess": lambda: sf.GaussianProcess(obs),
        "DerivativeRegression": lambda: sf.DerivativeRegression(obs, order=1),
        "a stream": lambda: sf.SmoothingSpline(obs).fit().online(lag=5),
    }
    for name, make in models.items():
        with pytest.raises(SpecificationError, match=f"'f' has a resolution, which {name} does not support"):
            make()
    for options in ({"method": "gcv"}, {"robust": True}, {"edf": 9.0}, {"lam": 1.0}):
        with pytest.raises(SpecificationError, match=f"resolution, which {next(iter(options))}"):
            sf.SmoothingSpline(obs).fit(**options)
    with pytest.raises(SpecificationError, match="resolution is for observations of one variable"):
        sf.observe(np.ones((2, 2)), [1.0, 2.0], resolution=0.1)
    both = obs + sf.observe(x, y, name="g")
    with pytest.raises(SpecificationError, match="and resolution of 'f' are given"):
        sf.SmoothingSpline(both, covariances={("f", "g"): np.eye(2)})


def test_errors_are_those_of_the_reports():
    x, y = sines(5, 0.02, 0.25)

    def fit(y):
        obs = sf.observe(x, y, sd=0.02, resolution=0.25)
        return sf.SmoothingSpline(obs, prior=sf.priors.IntegratedWiener(3, q=0.5)).fit()

    res = fit(y)
    np.testing.assert_allclose(res.resid, y - res.fittedvalues, atol=1e-12)
    assert np.abs(res.resid).max() < 0.25
    for i in (10, 41, 79):
        apart = fit(np.where(np.arange(80) == i, np.nan, y)).get_prediction(x[i : i + 1])
        assert res.loo_resid[i] == pytest.approx(y[i] - apart.predicted_mean[0], abs=0.1 * apart.se_mean[0])
        whole = np.sqrt(apart.se_mean[0] ** 2 + 0.02**2 + 0.25**2 / 12)
        assert res.resid_standardized[i] == pytest.approx(res.loo_resid[i] / whole, rel=0.05)
    assert "rounded: by the likelihood of its intervals" in str(res.summary())


def test_slopes_and_regressors_go_with_steps():
    x, rng = np.linspace(0, 10, 60), np.random.default_rng(7)
    y, rate = (rounded(values + 0.05 * rng.standard_normal(60), step) for values, step in ((np.sin(x), 0.25), (np.cos(x), 0.2)))
    both = sf.observe(x, y, name="f", resolution=0.25) + sf.observe(x, rate, deriv=1, name="rate", resolution=0.2)
    for options in ({}, {"regressors": {"shift": np.tile([0.0, 1.0], 60)}}):
        res = sf.SmoothingSpline(both, order=3, **options).fit()
        np.testing.assert_allclose(res.sigma, 0.05, atol=0.03)
        error = (res.predict(x, deriv=1) - np.cos(x)) / res.get_prediction(x, deriv=1).se_mean
        assert np.abs(error).max() < 4


def test_full_likelihood_is_bounded_where_reports_are_rounded():
    x = np.array([0.0, 1.0, 4.0, 8.0, 11.0, 13.0])
    res = sf.SmoothingSpline(sf.observe(x, [1.0, 1.5, 2.0, 2.0, 2.5, 2.5], resolution=0.5)).fit(method="ml")
    assert np.abs(res.resid).max() < 0.25
    assert res.sigma["f"] < 0.05


def test_rounded_means_are_those_of_narrow_intervals():
    """Means over intervals that shrink to points have the fit of values there."""
    steps = np.full(len(X), 0.5)
    y = rounded(np.sin(X) + 0.2 * np.random.default_rng(3).standard_normal(len(X)), steps)
    prior = sf.priors.IntegratedWiener(2, q=0.7)
    means = sf.observe_integral(X - 5e-6, X + 5e-6, y, mean=True, sd=0.2, resolution=0.5)
    found, wanted = (sf.SmoothingSpline(obs, prior=prior).fit() for obs in (means, sf.observe(X, y, sd=0.2, resolution=0.5)))
    plain = sf.SmoothingSpline(sf.observe(X, y, sd=0.2), prior=prior).fit()
    np.testing.assert_allclose(found.predict(AT), wanted.predict(AT), atol=1e-5)
    np.testing.assert_allclose(found.get_prediction(AT, 1).se_mean, wanted.get_prediction(AT, 1).se_mean, rtol=1e-4)
    assert np.all(found.get_prediction(AT).se_mean > 1.05 * plain.get_prediction(AT).se_mean)
    differences = sf.observe_difference(X - 0.1, X + 0.1, y, sd=0.2, resolution=0.5)
    assert np.array_equal(differences.readings[0].resolution, steps)


def test_frames_formulas_and_many_curves_have_resolutions():
    df = pd.DataFrame({"id": np.repeat(["a", "b"], 25), "x": np.tile(X, 2), "h": 0.5})
    df["y"] = np.round((np.sin(df["x"]) + 0.2 * np.random.default_rng(4).standard_normal(50)) / df["h"]) * df["h"]
    fits = sf.fit_curves(df, by="id", x="x", readings={"y": 0}, resolution={"y": "h"}, progress=False)
    for curve, part in df.groupby("id"):
        wanted = sf.SmoothingSpline(sf.observe(part["x"], part["y"], resolution=0.5)).fit()
        assert fits.params.loc[curve, "sigma.y"] == pytest.approx(wanted.sigma["y"], rel=1e-9)
        np.testing.assert_allclose(fits[curve].predict(AT, 1), wanted.predict(AT, 1), rtol=1e-9)
    by_formula = sf.SmoothingSpline.from_formula("y ~ s(x)", part, resolution={"y": 0.5}).fit()
    np.testing.assert_allclose(by_formula.predict(AT), wanted.predict(AT), rtol=1e-9)
    with pytest.raises(SpecificationError, match=r"no resolution="):
        sf.fit_curves(df, by="id", x="x", readings={"y": 0}, resolution={"y": "h"}, smoothing="shared")
    with pytest.raises(DataError, match="resolution is given for"):
        sf.Observations.from_frame(df, "x", {"y": 0}, resolution={"z": 0.5})
    with pytest.raises(SpecificationError, match="leave it out for boxes"):
        sf.observe_integral(np.zeros((2, 2)), np.ones((2, 2)), [1.0, 2.0], resolution=1.0)
