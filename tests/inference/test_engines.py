"""Every engine against the dense algebra of its model: terms, derivatives, information, moments, draws, leverages, streams.

A `Case` is an engine with its twin in dense algebra; a new engine is tested by adding one to `CASES`.
"""

from collections.abc import Callable

import numpy as np
import pytest
from mpmath import mp, mpf

import smoothfit as sf
from smoothfit.inference.marginal import log_prior
from smoothfit.markov.bandwidth import FixedBandwidth, FixedDf, FixedLam
from smoothfit.markov.functionals import DIFFERENCE, INTEGRAL
from smoothfit.markov.rows import Rows
from smoothfit.observations.abscissa import Points
from smoothfit.statespace.effects import RegressedPoints
from smoothfit.statespace.functionals import CurveFunctionals
from smoothfit.statespace.markov_engine import MarkovEngine
from smoothfit.statespace.smoothing import Smoothing
from smoothfit.statespace.specification import Specification
from smoothfit.statespace.wiener_engine import WienerEngine

from . import dense
from .dense import Case
from .fields import a_penalised_basis, a_process_in_two_inputs, two_penalties
from .processes import Asked, matern, polynomial, twin_of, wiener

DRAWS = 20_000


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(50):
        yield


def points(*x, columns=None):
    return Points(np.array(x)) if columns is None else RegressedPoints(np.array(x), None, np.array(columns))


# Smoothing splines ----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(5)
X = np.array([0.0, 1.5, 0.7, 2.0, 2.0, 3.1, 4.0, 4.2])
Y = np.sin(X) + 0.1 * np.cos(7 * X) + 12
XD = np.array([0.7, 2.5, 3.3, 5.0])
YD = np.cos(XD) + 0.2 * np.sin(5 * XD)
WEIGHTS = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 4.0, 1.0])
SD = 0.3


def of_f(first=0, last=None, weights=None, series=0):
    """Rows of the twin for observations of f: (functional, y, series, variance ratio)."""
    ratios = np.ones(len(X)) if weights is None else 1 / weights
    return [(Asked(0, x), y, series, r) for x, y, r in zip(X[first:last], Y[first:last], ratios[first:last], strict=True)]


def of_slope(series=1, ratio=1.0):
    return [(Asked(1, x), y, series, ratio) for x, y in zip(XD, YD, strict=True)]


def spline_questions(order):
    x = (0.7, 1.0, 5.5)
    derivs = tuple(range(order))
    values = (CurveFunctionals(points(*x), derivs), [Asked(k, at) for k in derivs for at in x])
    limits = (points(0.2, 0.7), points(1.9, 6.0))
    spans = [(0.2, 1.9), (0.7, 6.0)]
    integrals = (CurveFunctionals(limits[0], kind=INTEGRAL, upper=limits[1]), [Asked("integral", *span) for span in spans])
    differences = (CurveFunctionals(limits[0], kind=DIFFERENCE, upper=limits[1]), [Asked("difference", *span) for span in spans])
    return [values, integrals, differences]


def variances(engine, theta, units):
    """Intensity and variances of the series in the user's units, at 50 digits, from a theta of the engine without a tie."""
    logs = list(map(mpf, theta))
    if engine.relative:
        logs.insert(1, mpf(0))
    scale = engine.rows.scale
    found = [mp.exp(log) * mpf(scale.of(k)) ** 2 for log, k in zip(logs[1:], units, strict=False)]
    return mp.exp(logs[0]) * mpf(scale.intensity(engine.order)), found + [mpf(1)] * (len(units) - len(found))


def spline(observations, order, rows, units, theta, tie=None, free=None, later=None):
    """Case of a smoothing spline: `free` puts the tied logarithm of q before a theta."""
    engine = WienerEngine(observations, Rows.of(observations), order, tie)

    def values(point):
        whole = point if free is None else [free(engine, point), *map(mpf, point)]
        q, sigma2 = variances(engine, whole, units)
        return {"wiener": {"q": q}, "sigma2": sigma2}

    def twin(rows):
        return twin_of(rows, {"wiener": wiener(order)}, polynomial(order - 1), values)

    if later is not None:
        data, more = later
        k = tuple(range(order))
        then = (CurveFunctionals(points(4.1, 6.0), k), [Asked(j, at) for j in k for at in (4.1, 6.0)])
        later = data, {}, twin(rows + more), [then]
    return Case(engine, twin(rows), spline_questions(order), np.array(theta), later)


def one_unknown_sd():
    more = [(Asked(0, x), y, 0, 1.0) for x, y in ((4.1, 11.0), (5.0, 11.4))]
    later = sf.observe([4.1, 5.0], [11.0, 11.4]), more
    return spline(sf.observe(X, Y), 2, of_f(), [0], [[0.3], [-4.0], [5.0]], later=later)


def two_unknown_sds():
    observations = sf.observe(X, Y, weights=WEIGHTS, name="a") + sf.observe(XD, YD, deriv=1, name="b")
    rows = of_f(weights=WEIGHTS / np.median(WEIGHTS)) + of_slope()
    return spline(observations, 3, rows, [0, 1], [[0.3, -1.0], [-3.0, 2.0]])


def known_and_unknown_sds():
    observations = sf.observe(X, Y, sd=SD, name="a") + sf.observe(XD, YD, deriv=1, name="b")
    rows = of_f(series=1) + of_slope(series=0)
    rows = [(row, y, g, SD**2 if g == 1 else r) for row, y, g, r in rows]
    return spline(observations, 2, rows, [1, 0], [[-1.3, -2.0], [1.0, 0.5]])


def a_fixed_lam():
    observations = sf.observe(X, Y, name="a") + sf.observe(XD, YD, deriv=1, name="b")

    def log_q(engine, theta):
        return -mp.log(mpf(3.0))

    return spline(observations, 2, of_f() + of_slope(), [0, 1], [[-1.0], [2.0]], FixedLam(3.0), log_q)


def a_fixed_bandwidth():
    observations = sf.observe(X, Y, name="a") + sf.observe(XD, YD, deriv=1, name="b")

    def log_q(engine, theta):
        n, span, h = 12, (5.0 - 0.0) / engine.rows.scale.x_unit, mpf(1.25)
        density = mpf(n - 1) / n / mpf(span)
        return -mp.log(density * (8 * h**4 + 4 * h**2 / mp.exp(theta[0])))

    return spline(observations, 2, of_f() + of_slope(), [0, 1], [[-1.0], [2.0]], FixedBandwidth(1.25), log_q)


def nothing_to_estimate():
    return spline(sf.observe(X, Y), 2, of_f(), [0], [[]], FixedLam(0.5), lambda engine, theta: -mp.log(mpf(0.5)))


# Structural models ----------------------------------------------------------------------------------------------------


def hyperparameters(engine, theta):
    """Parameters of the components and variances in the user's units, at 50 digits."""
    model, logs = engine.specification, list(map(mpf, theta))
    found, sigma2 = {}, []
    if engine.relative:
        logs.insert(next(i for i, p in enumerate(model.parameters) if p.is_variance), mpf(0))
    for p, log in zip(model.parameters, logs, strict=True):
        if p.is_variance:
            sigma2.append(mp.exp(log) * mpf(p.unit) ** 2)
        else:
            found[p.name] = found[p.name.split(".")[-1]] = mp.exp(log) * mpf(p.unit)
    return found, [*sigma2, mpf(1)]


def integrals_and_a_regressor():
    """An integrated Wiener process, observed by values, integrals, means and differences, with a regressor."""
    load = np.cos(3 * X)
    area = ([0.2, 1.0], [2.2, 3.5], [24.3, 30.1])
    observations = sf.observe(X, Y, name="a") + sf.observe_integral(*area, name="area")
    observations = observations + sf.observe_integral([2.5], [4.6], [11.6], mean=True, sd=0.05, name="mean")
    model = Specification(observations, sf.priors.IntegratedWiener(2), {"load": np.append(load, np.zeros(3))})
    engine = MarkovEngine(model)
    rows = [(row._replace(columns=(c,)), y, 0, 1.0) for (row, y, *_), c in zip(of_f(), load, strict=True)]
    rows += [(Asked("integral", a, b, columns=(0.0,)), y, 1, 1.0) for a, b, y in zip(*area, strict=True)]
    rows += [(Asked("mean", 2.5, 4.6, columns=(0.0,)), 11.6, 2, 0.05**2)]

    def values(theta):
        found, sigma2 = hyperparameters(engine, theta)
        return {"wiener": found, "sigma2": sigma2}

    def twin(rows):
        return twin_of(rows, {"wiener": wiener(2)}, polynomial(1), values, (0.0,))

    unit = model._regressor_units["load"]
    regressed = points(1.0, 5.5, columns=[[0.4 / unit], [-0.2 / unit]])
    asked = [*spline_questions(2), (CurveFunctionals(regressed), [Asked(0, 1.0, columns=(0.4,)), Asked(0, 5.5, columns=(-0.2,))])]
    more = [(Asked("mean", 4.2, 6.0, columns=(0.0,)), 11.0, 2, 0.05**2)]
    data = sf.observe_integral([4.2], [6.0], [11.0], mean=True, sd=0.05, name="mean")
    later = data, {"regressors": {"load": [0.0]}}, twin(rows + more), asked
    return Case(engine, twin(rows), asked, np.array([[0.3, -1.0, -2.0], [-3.0, 0.2, 0.5]]), later)


def a_stationary_process():
    """A Matern process about an unknown level, all sizes relative."""
    observations = sf.observe(X, Y, name="a") + sf.observe(XD, YD, deriv=1, name="b")
    model = Specification(observations, sf.priors.Matern(1.5) + sf.priors.Polynomial(0))
    engine = MarkovEngine(model)

    def values(theta):
        found, sigma2 = hyperparameters(engine, theta)
        return {"matern": found, "sigma2": sigma2}

    twin = twin_of(of_f() + of_slope(), {"matern": matern(1.5)}, polynomial(0), values)
    asked = (CurveFunctionals(points(0.7, 1.0, 5.5), (0, 1)), [Asked(k, x) for k in (0, 1) for x in (0.7, 1.0, 5.5)])
    theta = np.array([[0.5, 1.0, -0.5], [1.5, -1.0, 0.5]])
    return Case(engine, twin, [asked], theta, sizes=np.array([False, True, True]))


def a_sum_of_processes():
    """A random walk and an Ornstein-Uhlenbeck process of given length, with a known noise SD."""
    observations = sf.observe(X, Y, sd=SD)
    prior = sf.priors.IntegratedWiener(1) + sf.priors.OrnsteinUhlenbeck(length_scale=0.8)
    engine = MarkovEngine(Specification(observations, prior))

    def values(theta):
        found, sigma2 = hyperparameters(engine, theta)
        length = {"length_scale": mpf(0.8), "amplitude": found["ou.amplitude"]}
        return {"wiener": {"q": found["wiener.q"]}, "ou": length, "sigma2": sigma2}

    def twin(rows):
        rows = [(row, y, 0, SD**2) for row, y, *_ in rows]
        return twin_of(rows, {"wiener": wiener(1), "ou": matern(0.5)}, polynomial(0), values)

    x = (0.7, 5.5)
    asked = [(CurveFunctionals(points(*x), component=name), [Asked(0, at, component=name) for at in x]) for name in ("ou", None)]
    asked += [(CurveFunctionals(points(0.2), kind=DIFFERENCE, upper=points(3.0)), [Asked("difference", 0.2, 3.0)])]
    more = [(Asked(0, x), y, 0, 1.0) for x, y in ((4.1, 11.0), (5.0, 11.4))]
    later = sf.observe([4.1, 5.0], [11.0, 11.4], sd=SD), {}, twin(of_f() + more), asked
    return Case(engine, twin(of_f()), asked, np.array([[-1.0, -2.0], [-3.0, 0.5]]), later)


def a_structural_lam():
    """A fixed smoothing of a structural model."""
    observations = sf.observe(X, Y, name="a") + sf.observe(XD, YD, deriv=1, name="b")
    model = Specification(observations, sf.priors.IntegratedWiener(2))
    smoothing = Smoothing.of(model, "lam", 3.0)
    engine = MarkovEngine(model, smoothing)

    def values(theta):
        scale = model.scale
        sigma2 = [mpf(scale.of(0)) ** 2, mp.exp(theta[0]) * mpf(scale.of(1)) ** 2]
        return {"wiener": {"q": sigma2[0] / 3}, "sigma2": sigma2}

    twin = twin_of(of_f() + of_slope(), {"wiener": wiener(2)}, polynomial(1), values)
    return Case(engine, twin, spline_questions(2), np.array([[-1.0], [2.0]]))


CASES: list[Callable[[], Case]] = [
    one_unknown_sd,
    two_unknown_sds,
    known_and_unknown_sds,
    a_fixed_lam,
    a_fixed_bandwidth,
    nothing_to_estimate,
    integrals_and_a_regressor,
    a_stationary_process,
    a_sum_of_processes,
    a_structural_lam,
    a_penalised_basis,
    two_penalties,
    a_process_in_two_inputs,
]


@pytest.fixture(params=CASES, ids=lambda make: make.__name__, scope="module")
def case(request):
    with mp.workdps(50):
        return request.param()


# What is asserted of every engine ---------------------------------------------------------------------------------------


def test_terms_are_those_of_dense_algebra_up_to_a_constant(case):
    found = case.engine.terms(case.theta)
    told = np.array([[float(term) for term in dense.terms(case.twin, theta)] for theta in case.theta])
    np.testing.assert_allclose(found.sse.value, told[:, 1], rtol=1e-9)
    np.testing.assert_allclose(np.diff(found.log_det.value), np.diff(told[:, 0]), rtol=1e-10, atol=1e-9)


def test_side_by_side_or_with_derivatives_terms_are_the_same(case):
    found = [case.engine.terms(case.theta, order) for order in range(3)]
    for term in ("log_det", "sse"):
        values = [getattr(terms, term).value for terms in found]
        np.testing.assert_allclose(values[1:], [values[0]] * 2, rtol=1e-11)
        gradients = [getattr(terms, term).gradient for terms in found]
        assert gradients[0] is None
        np.testing.assert_allclose(gradients[1], gradients[2], rtol=1e-11, atol=1e-11)


def test_derivatives_are_those_of_dense_algebra(case):
    found = case.engine.terms(case.theta, 2)
    p = case.theta.shape[1]
    for i, theta in enumerate(case.theta):
        gradient, hessian = dense.gradients(case.twin, theta), dense.hessians(case.twin, theta)
        for k, term in enumerate(found):
            assert term.gradient.shape == (len(case.theta), p)
            assert term.hessian.shape == (len(case.theta), p, p)
            size = max(1.0, np.abs(gradient[k]).max(initial=0.0))
            np.testing.assert_allclose(term.gradient[i], gradient[k], rtol=1e-9, atol=1e-9 * size)
            np.testing.assert_allclose(term.hessian[i], hessian[k], rtol=1e-6, atol=1e-6 * size)


def test_information_is_the_trace_of_dense_algebra(case):
    found = case.engine.information(case.theta)
    sizes = np.ones(case.theta.shape[1], bool) if case.sizes is None else case.sizes
    for theta, mine in zip(case.theta, found, strict=True):
        told = dense.information(case.twin, theta, case.engine.relative)
        np.testing.assert_allclose(mine[np.ix_(sizes, sizes)], told[np.ix_(sizes, sizes)], rtol=1e-6, atol=1e-7)
        assert not mine[~sizes].any()


def test_a_prior_falls_where_differences_do_not_resolve_it():
    """It stayed at the root of their errors from there to the end of the range, where two processes leave no noise."""
    prior = sf.priors.IntegratedWiener(1) + sf.priors.OrnsteinUhlenbeck(length_scale=0.8)
    x, y = np.unique(X)[:6], Y[:6]  # at one x twice, noise would remain
    engine = MarkovEngine(Specification(sf.observe(x, y, name="a"), prior))

    def values(theta):
        found, sigma2 = hyperparameters(engine, theta)
        ou = {"length_scale": mpf(0.8), "amplitude": found["ou.amplitude"]}
        return {"wiener": {"q": found["wiener.q"]}, "ou": ou, "sigma2": sigma2}

    rows = [(Asked(0, at), value, 0, 1.0) for at, value in zip(x, y, strict=True)]
    twin = twin_of(rows, {"wiener": wiener(1), "ou": matern(0.5)}, polynomial(0), values)
    theta = np.array([2.0, 1.0]) + np.arange(-2.0, 15.0, 2.0)[:, None] * [1.0, 0.5]  # all variances grow beside that of the noise
    found = log_prior(engine.information(theta), engine.count)
    told = np.array([mp.log(mp.det(mp.matrix(dense.information(twin, one, True)))) / 2 for one in theta[:5]], float)
    np.testing.assert_allclose(np.diff(told)[-1], -2.0, atol=0.01)  # as one over the variances
    np.testing.assert_allclose(found[:4], told[:4], atol=0.001)
    np.testing.assert_allclose(np.diff(found)[-2:], -2.0, atol=0.01)
    assert found[-1] < told[-1] - 4  # 8 units further


def test_moments_are_those_of_dense_algebra(case):
    for functionals, rows in case.asked:
        found = case.engine.moments(case.theta, functionals)
        assert found.mean.shape == found.variance.shape == (len(case.theta), len(rows))
        for i, theta in enumerate(case.theta):
            mean, covariance = dense.moments(case.twin, theta, rows)
            np.testing.assert_allclose(found.mean[i], mean, rtol=1e-8, atol=1e-9)
            np.testing.assert_allclose(found.variance[i], np.diag(covariance), rtol=1e-7)


def test_draws_have_the_covariance_of_dense_algebra(case):
    for functionals, rows in case.asked:
        for theta in case.theta:
            found = case.engine.draws(theta, functionals)(np.random.default_rng(11), DRAWS)
            assert found.shape == (DRAWS, len(rows))
            covariance = dense.moments(case.twin, theta, rows)[1]
            sds = np.sqrt(np.diag(covariance))
            assert np.abs(found.mean(axis=0) / sds).max() < 5 / np.sqrt(DRAWS)
            scaled = np.cov(found.T, ddof=0).reshape(len(rows), -1) / np.outer(sds, sds)
            assert np.abs(scaled - covariance / np.outer(sds, sds)).max() < 5 * np.sqrt(2 / DRAWS)


def test_leverages_are_those_of_dense_algebra(case):
    found = case.engine.leverages(case.theta)
    told = [dense.leverages(case.twin, theta) for theta in case.theta]
    np.testing.assert_allclose(found, told, rtol=1e-7, atol=1e-10)


def test_a_stream_that_took_the_rest_is_the_fit_of_all(case):
    if case.later is None:
        functionals, rows = case.asked[0]
        stream, twin, asked = case.engine.stream(case.theta[0]), case.twin, [(functionals, rows)]
    else:
        data, options, twin, asked = case.later
        stream = case.engine.stream(case.theta[0], lag=50)
        stream.append(data, **options)
    for functionals, rows in asked:
        found = stream.moments(functionals)
        mean, covariance = dense.moments(twin, case.theta[0], rows)
        np.testing.assert_allclose(found.mean, [mean], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found.variance, [np.diag(covariance)], rtol=1e-7)


def test_names_and_bounds_go_with_theta(case):
    p = case.theta.shape[1]
    assert len(case.engine.names) == p == len(case.engine.lower) == len(case.engine.upper)
    assert (case.engine.lower < case.engine.upper).all()
    assert case.engine.count == len(case.twin.y) - case.twin.design(None).cols
    if p:
        beyond = case.engine.terms(np.array([case.engine.upper, case.engine.lower]), 1)
        assert beyond.log_det.value.shape == (2,)


# What is special ------------------------------------------------------------------------------------------------------


def test_at_its_lower_bound_an_intensity_is_zero():
    case = one_unknown_sd()
    curve = case.engine.moments(case.engine.lower[None], CurveFunctionals(points(0.0, 5.0), (1,)))
    slope = np.polynomial.Polynomial.fit(X, Y, 1).convert().coef[1]
    np.testing.assert_allclose(curve.mean, [[slope, slope]], rtol=1e-12)


def test_a_fixed_trace_has_the_scores_of_its_terms():
    """Of effective degrees of freedom there is no closed twin: differences of the terms."""
    observations = sf.observe(X, Y, name="a") + sf.observe(XD, YD, deriv=1, name="b")
    model = Specification(observations, sf.priors.IntegratedWiener(2))
    engines = [
        WienerEngine(observations, Rows.of(observations), 2, FixedDf(5.0)),
        MarkovEngine(model, Smoothing.of(model, "edf", 5.0)),
    ]
    for engine in engines:
        found = engine.terms(np.array([[0.4]]), 2)
        np.testing.assert_allclose(engine.leverages(np.array([[0.4]])).sum(), 5.0, rtol=1e-9)
        for term in ("log_det", "sse"):
            ends = [getattr(engine.terms(np.array([[0.4 + h]]), 1), term) for h in (1e-4, -1e-4)]
            gradient = (ends[0].value - ends[1].value) / 2e-4
            np.testing.assert_allclose(getattr(found, term).gradient[:, 0], gradient, rtol=1e-6, atol=1e-7)
            hessian = (ends[0].gradient - ends[1].gradient)[:, 0] / 2e-4
            np.testing.assert_allclose(getattr(found, term).hessian[:, 0, 0], hessian, rtol=1e-4, atol=1e-5)


def test_a_theta_that_cannot_be_computed_is_nan_beside_others_that_can():
    engine = one_unknown_sd().engine
    found = engine.terms(np.array([[0.3], [900.0], [1.0]]))
    np.testing.assert_array_equal(np.isnan(found.sse.value), [False, True, False])
    assert np.isnan(engine.terms(np.array([[900.0]]), 2).log_det.hessian).all()


T = np.linspace(0, 5, 40)
NOISY = sf.observe(T, np.sin(2 * T) + 0.2 * RNG.standard_normal(40))
BOTH = NOISY + sf.observe(T[::2], 2 * np.cos(2 * T[::2]) + 0.5 * RNG.standard_normal(20), deriv=1, name="slope")
FITS = {
    "spline": (NOISY, {"order": 2}, {}),
    "lam": (NOISY, {"order": 2}, {"lam": 0.3}),
    "edf of two series": (BOTH, {"order": 3}, {"edf": 9.0}),
    "known noise SD": (sf.observe(T, NOISY.y, sd=0.2), {"order": 2}, {}),
    "any prior": (NOISY, {"prior": sf.priors.Matern(1.5) + sf.priors.Polynomial(0)}, {}),
    "any prior, bandwidth": (BOTH, {"prior": sf.priors.IntegratedWiener(3)}, {"bandwidth": 0.8}),
    "robust": (NOISY, {"order": 2}, {"robust": {"f": 4.0}, "lam": 0.3}),
}


@pytest.mark.parametrize("name", FITS)
def test_the_engine_of_a_fit_has_its_curve_at_the_estimates_and_no_score_there(name):
    observations, options, smoothing = FITS[name]
    res = sf.SmoothingSpline(observations, **options).fit(**smoothing)
    engine, theta = res.engine, res.theta_hat[None]
    found = engine.moments(theta, CurveFunctionals(points(0.3, 2.2, 6.0)))
    np.testing.assert_allclose(found.mean[0], res.predict([0.3, 2.2, 6.0]), rtol=1e-9)
    log_det, sse = engine.terms(theta, 1)
    factor = res.sigma.iloc[0] ** 2 / engine.at(theta[0]).noise_sds[0][1] ** 2 if engine.relative else 1.0
    variance = [res.sample([x], size=20_000, rng=1, parameters="fixed").var() for x in (0.3, 2.2, 6.0)]
    np.testing.assert_allclose(found.variance[0] * factor, variance, rtol=5 * np.sqrt(2 / 20_000))
    score = log_det.gradient + sse.gradient * (engine.count / sse.value if engine.relative else 1.0)
    inside = (theta > engine.lower + 1e-9) & (theta < engine.upper - 1e-9)
    np.testing.assert_allclose(score[inside], 0.0, atol=1e-4)
