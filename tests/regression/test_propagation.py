"""Pointwise intervals of fits by likelihood allow for the uncertainty of the smoothing and of the sds."""

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.regression.criteria import FullLikelihood, RestrictedLikelihood
from smoothfit.regression.posterior import Banded


def wave(n=120, noise=0.3, scale=1.0, **options):
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 6, n))
    return sf.observe(scale * x, np.sin(x) + noise * rng.standard_normal(n), name="level", **options)


def two_names(n=60):
    rng = np.random.default_rng(5)
    t, u = rng.uniform(0, 6, (2, n))
    level = sf.observe(t, np.sin(t) + 0.3 * rng.standard_normal(n), name="level")
    return level + sf.observe(u, np.cos(u) + 0.2 * rng.standard_normal(n), deriv=1, name="slope")


BASIS = sf.BSplineBasis.uniform(0, 6, 25, degree=5)
PENALTY = sf.DerivativePenalty(3)


def fitted(obs, method="reml", basis=BASIS, penalty=PENALTY, **options):
    return sf.SplineRegression(obs, basis, penalty).fit(method, **options)


@pytest.mark.parametrize("sd", [None, 0.3])
@pytest.mark.parametrize("deriv", [0, 1])
def test_intervals_are_those_of_the_smoothing_spline(sd, deriv):
    """On natural splines with knots at the readings the prior is the same, at these."""
    obs = wave(sd=sd)
    x = obs.x
    basis = sf.NaturalSplineBasis.from_data(x, knots=x[1:-1], extrapolate="linear")
    ours = fitted(obs, basis=basis, penalty=sf.DerivativePenalty(2)).get_prediction(x, deriv)
    theirs = sf.SmoothingSpline(obs, order=2).fit().get_prediction(x, deriv)
    scale = theirs.parameters.shift.max()
    # optima certified to 1e-5 sds of log lam move the information, and with it all this, by as much; here they are nearer
    np.testing.assert_allclose(ours.parameters.shift, theirs.parameters.shift, rtol=1e-6, atol=1e-6 * scale)
    if deriv == 0:  # f' between its values has no knots here, and so another variance
        np.testing.assert_allclose(ours.parameters.spread, theirs.parameters.spread, rtol=1e-6)
        np.testing.assert_allclose(ours.parameters.spread_obs, theirs.parameters.spread_obs, rtol=1e-6, atol=1e-12)
        for obs_too in (False, True):
            np.testing.assert_allclose(ours.conf_int(obs_too, alpha=0.1), theirs.conf_int(obs_too, alpha=0.1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("obs", [wave(), wave(sd=0.3), two_names()], ids=["one sd", "no sd", "two sds"])
def test_the_information_is_that_of_the_likelihood_with_all_variances(obs, method):
    """Second differences of -2 l itself, which knows nothing of a variance that is left out."""
    res = fitted(obs, method)
    fit, near = res._fit.estimate, res._fit.neighbours
    system, U, P = fit.system, fit.system.unknown, fit.system.n_penalties
    criterion = {"reml": RestrictedLikelihood, "ml": FullLikelihood}[method](system, np.zeros(0), np.zeros((0, 0)))

    def deviance(step):
        log_tau, log_sigma2 = fit.log_tau + step[:P], fit.log_sigma2.copy()
        log_sigma2[:U] += 2 * step[P:]
        solution = system.solve(log_tau, log_sigma2)
        whole = criterion.determinant(solution, log_tau, log_sigma2) + criterion.minimum(solution, log_tau, log_sigma2)
        return whole + log_sigma2 @ system.counts

    h, unit = 1e-3, np.eye(P + U)  # -2 l of some hundreds is right to 1e-13, its second differences to 1e-6
    hessian = np.array(
        [[sum(s * t * deviance(h * (s * a + t * b)) for s in (1, -1) for t in (1, -1)) / (4 * h**2) for a in unit] for b in unit]
    )
    np.testing.assert_allclose(near.cov @ hessian / 2, unit, atol=2e-5)


def test_given_lam_the_sd_has_the_information_of_the_contrasts():
    """The precision of log sd is 2 (n - d): chi-squared on n - d."""
    res = fitted(wave())
    precision = np.linalg.inv(res._fit.neighbours.cov)
    along = np.array([-2.0, 1.0])  # of (log tau, log sd) with lam = tau sd^2 fixed
    assert along @ precision @ along == pytest.approx(2 * (120 - 3), rel=1e-5)


@pytest.mark.parametrize("deriv", [0, 1, 2])
def test_intervals_are_those_of_draws_of_parameters_and_curve(deriv):
    """The marginal posterior by simulation: of parameters, then of the normal posterior given them."""
    res = fitted(two_names())
    x = np.array([0.5, 2.0, 3.3, 5.9])
    fit, rows = res._fit.estimate, res._design(x, deriv)
    rng = np.random.default_rng(0)
    steps = rng.multivariate_normal(np.zeros(3), res._fit.neighbours.cov, 4000)
    draws = np.empty((len(steps), len(x)))
    for i, step in enumerate(steps):
        solution = fit.system.solve(fit.log_tau + step[:1], fit.log_sigma2 + 2 * step[1:])
        sd = np.sqrt(Banded(solution.R, solution.inverse).variance(rows))
        draws[i] = rows.times(solution.coef) + sd * rng.standard_normal(len(x))
    prediction = res.get_prediction(x, deriv)
    lower, upper = prediction.conf_int(alpha=0.1).T
    # 4000 draws tell a level of .9 to .005; what is of second order in the parameters' sds is some .01 here
    np.testing.assert_allclose(np.mean((draws > lower) & (draws < upper), axis=0), 0.9, atol=0.03)


@pytest.mark.parametrize(
    "options",
    [{"edf": 8.0}, {"lam": 0.01}, {"method": "gcv"}, {"method": "aicc"}, {"cov_type": "frequentist"}, {"loss": "huber"}],
    ids=lambda options: next(iter(options)),
)
def test_other_fits_keep_students_t(options):
    res = fitted(wave(), **options)
    prediction = res.get_prediction([1.0, 2.0], deriv=1)
    assert prediction.parameters is None
    half = stats.t.isf(0.05, res.df_interval) * prediction.se_mean
    np.testing.assert_allclose(prediction.half_width(0.1), half, rtol=1e-14)


def test_boundaries_bounds_and_correlated_errors_keep_students_t():
    rng = np.random.default_rng(1)
    x = np.linspace(0, 6, 80)
    line = fitted(sf.observe(x, 1 + x - 0.1 * x**2 + 0.0 * rng.standard_normal(80) + 0.1 * np.cos(40 * x)))
    assert line.boundary == ("lam",)
    bounded = sf.SplineRegression(wave(), BASIS, PENALTY, sf.Increasing()).fit()
    assert bounded._fit.active_rows is not None
    correlated = sf.SplineRegression(wave(), BASIS, PENALTY, errors=sf.AR1(0.2)).fit()
    for res in (line, bounded, correlated):
        assert res.get_prediction([1.0]).parameters is None


def test_bounds_that_are_not_reached_change_nothing():
    free = fitted(wave()).get_prediction([1.0, 4.0], 1).conf_int()
    inside = sf.SplineRegression(wave(), BASIS, PENALTY, sf.Bounds(lower=-50)).fit().get_prediction([1.0, 4.0], 1).conf_int()
    np.testing.assert_allclose(inside, free, rtol=1e-8)


def test_what_equalities_fix_has_no_width():
    model = sf.SplineRegression(wave(), BASIS, PENALTY, sf.Equals(0.0, 0.0))
    prediction = model.fit().get_prediction([0.0, 3.0], name="level")
    half, new = prediction.half_width(0.05), prediction.half_width(0.05, obs=True)
    assert half[0] < 1e-12 < half[1]
    free = fitted(wave()).get_prediction([3.0]).half_width(0.05)
    assert half[1] == pytest.approx(free[0], rel=0.05)  # far from there the equality says little
    sigma = model.fit().sigma["level"]
    assert new[0] / sigma == pytest.approx(stats.t.isf(0.025, 112), rel=5e-3)  # of the sd alone, of 120 readings


def test_standard_errors_are_those_at_the_estimates():
    free = fitted(wave())
    fixed = fitted(wave(), lam=free.lam)
    ours, theirs = (res.get_prediction([1.0, 2.0], 1) for res in (free, fixed))
    np.testing.assert_allclose(ours.se_mean, theirs.se_mean, rtol=1e-6)  # the score that is left moves the variance by as much
    assert (ours.half_width(0.05) > theirs.half_width(0.05)).all()


def test_intervals_do_not_depend_on_the_unit_of_x():
    x, unit = np.array([0.3, 2.0, 5.0]), 2.0**20
    wide = sf.BSplineBasis.uniform(0, 6 * unit, 25, degree=5)
    for deriv in (0, 1):
        one = fitted(wave()).get_prediction(x, deriv).conf_int()
        other = fitted(wave(scale=unit), basis=wide).get_prediction(unit * x, deriv).conf_int()
        np.testing.assert_allclose(other * unit**deriv, one, rtol=1e-9)


def test_chunks_have_the_intervals_of_all_readings():
    obs = wave()
    accumulator = sf.SplineRegression.accumulate(BASIS)
    x, y = obs.x, obs.y
    for part in (slice(0, 50), slice(50, None)):
        accumulator.add(sf.observe(x[part], y[part], name="level"))
    chunked = accumulator.model(PENALTY).fit().get_prediction([1.0, 4.0], 2)
    whole = fitted(obs).get_prediction([1.0, 4.0], 2)
    assert chunked.parameters is not None
    np.testing.assert_allclose(chunked.conf_int(), whole.conf_int(), rtol=1e-6)


def test_surfaces():
    """Draws of two weights and an sd, and of the surface given them."""
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 1, (200, 2))
    obs = sf.observe(X, np.sin(4 * X[:, 0]) * X[:, 1] ** 2 + 0.1 * rng.standard_normal(200), name="z")
    basis = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 1, 5), sf.BSplineBasis.uniform(0, 1, 4))
    res = fitted(obs, basis=basis, penalty=sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1))
    at = np.array([[0.2, 0.4], [0.9, 0.1], [0.5, 0.7]])
    fit, rows = res._fit.estimate, res._design(at, (1, 0))
    draws = []
    for step in rng.multivariate_normal(np.zeros(3), res._fit.neighbours.cov, 1000):
        solution = fit.system.solve(fit.log_tau + step[:2], fit.log_sigma2 + 2 * step[2:])
        sd = np.sqrt(Banded(solution.R, solution.inverse).variance(rows))
        draws.append(rows.times(solution.coef) + sd * rng.standard_normal((10, 3)))
    prediction = res.get_prediction(at, (1, 0))
    assert (prediction.half_width(0.1) > stats.norm.isf(0.05) * prediction.se_mean).all()
    lower, upper = prediction.conf_int(alpha=0.1).T
    inside = np.mean((np.vstack(draws) > lower) & (np.vstack(draws) < upper), axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=0.03)  # as of curves
