"""Slow instruments in spline regressions: rows by many digits and quadrature, fits by dense algebra and state-space models."""

import itertools

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError
from smoothfit.regression.functionals import degree_of
from smoothfit.regression.response import Slow

TAU, LAM = 0.6, 0.05
BASIS = sf.BSplineBasis.uniform(0, 9, 8)


def pair(deriv=0, n=40, sd=0.1, response=TAU, bias=None, unit=None, curve=np.sin, slope=np.cos):
    """Observations of a curve, and of a slow instrument that showed another value at first."""
    rng = np.random.default_rng(4)
    x, z = np.sort(rng.uniform(0, 9, (2, n)), axis=1)
    s = z[0] + (z - z[0])[:, None] * np.linspace(0, 1, 2001)
    of = (slope if deriv else curve)(s) * np.exp((s - z[:, None]) / TAU) / TAU
    shown = np.trapezoid(of, s, axis=1) + 0.7 * np.exp((z[0] - z) / TAU) + (1.5 if bias else 0.0)
    first = sf.observe(x, curve(x) + 0.1 * rng.standard_normal(n), sd=sd, name="a")
    return first + sf.observe(z, shown + 0.1 * rng.standard_normal(n), deriv, sd=sd, name="b", response_time=response, bias=bias)


def b_spline(t, j, degree, x, deriv):
    """A derivative of a B-spline on knots t, by the recursion of Cox and de Boor."""
    if degree == 0:
        return mpmath.mpf(deriv == 0 and t[j] <= x < t[j + 1])
    spans = t[j + degree] - t[j], t[j + degree + 1] - t[j + 1]
    parts = [b_spline(t, j + k, degree - 1, x, max(deriv - 1, 0)) / span if span else 0 for k, span in enumerate(spans)]
    return degree * (parts[0] - parts[1]) if deriv else (x - t[j]) * parts[0] + (t[j + degree + 1] - x) * parts[1]


def shown_of(t, j, degree, deriv, x, start, tau):
    """Integral from the start to x of exp((s - x) / tau) / tau times a derivative of a B-spline: by parts on each piece."""
    ends, total = [start, *sorted({own for own in t if start < own < x}), x], mpmath.mpf(0)
    for low, high in itertools.pairwise(ends):
        middle = (low + high) / 2
        slopes = [b_spline(t, j, degree, middle, deriv + m) for m in range(degree - deriv + 1)]
        for s, sign in ((high, 1), (low, -1)):
            for m in range(len(slopes)):
                at = mpmath.fsum(slope * (s - middle) ** i / mpmath.factorial(i) for i, slope in enumerate(slopes[m:]))
                total += sign * mpmath.exp((s - x) / tau) * (-tau) ** m * at
    return total


@pytest.mark.parametrize(("degree", "deriv"), [(3, 0), (5, 1), (2, 2)])
@pytest.mark.parametrize("tau", [1e-7, 0.02, 1.0, 1e5])
def test_rows_are_those_of_many_digits(degree, deriv, tau):
    basis, x = sf.BSplineBasis.uniform(0, 3, 3, degree=degree), np.array([0.25, 0.2500001, 1.0, 2.75])
    rows = Slow(basis, degree, deriv, x, 0.25).rows(tau)
    with mpmath.workdps(80):
        t, points = ([mpmath.mpf(float(own)) for own in numbers] for numbers in (basis.knots, x))
        options = degree, deriv, points[0], mpmath.mpf(tau)
        expected = [[shown_of(t, j, *options[:2], own, *options[2:]) for j in range(basis.n_basis)] for own in points]
        expected = np.array(expected, dtype=float)
    size = np.maximum(np.abs(expected).max(axis=1, keepdims=True), 1e-20)
    np.testing.assert_allclose(rows[:, :-1] / size, expected / size, rtol=0, atol=3e-14)
    np.testing.assert_allclose(rows[:, -1], np.exp((0.25 - x) / tau), rtol=1e-12, atol=1e-30)


@pytest.mark.parametrize(
    "basis",
    [
        sf.NaturalSplineBasis.uniform(0, 3, 4),
        sf.PeriodicBSplineBasis.uniform(0, 1.3, 4),
        sf.FourierBasis(2.0, 3),
        sf.BernsteinBasis(4, 0.0, 3.0),
        sf.BSplineBasis.uniform(1, 2, 2, extrapolate="linear"),
    ],
    ids=lambda basis: type(basis).__name__,
)
def test_rows_in_other_bases_are_those_of_quadrature(basis):
    x, start = np.array([0.3, 0.9, 2.6]), 0.2
    nodes, weights = np.polynomial.legendre.leggauss(6)
    for deriv in (0, 1):
        rows = Slow(basis, degree_of(basis), deriv, x, start).rows(TAU)
        for own, found in zip(x, rows, strict=True):
            knots = np.append(np.concatenate([1.3 * turn + np.arange(5) * 1.3 / 4 for turn in range(3)]), np.arange(0, 3.1, 0.25))
            ends = np.unique(np.concatenate([np.linspace(start, own, 60), knots[(knots > start) & (knots < own)]]))
            half = np.diff(ends)[:, None] / 2
            s, w = (ends[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
            expected = (w * np.exp((s - own) / TAU) / TAU) @ basis.design(s, deriv, sparse=False)
            np.testing.assert_allclose(found[:-1], expected, atol=1e-12)


@pytest.mark.parametrize(("deriv", "bias"), [(0, "estimate"), (1, None)])
def test_fits_are_those_of_dense_algebra(deriv, bias):
    obs = pair(deriv, bias=bias)
    res = sf.SplineRegression(obs, BASIS, sf.DerivativePenalty(2)).fit(lam=LAM)
    a, b = obs.readings
    shown = Slow(BASIS, 3, deriv, b.x, b.x[0]).rows(TAU)
    own = [np.r_[np.zeros(len(a)), np.ones(len(b))]] if bias else []
    B = np.column_stack([np.vstack([BASIS.design(a.x, sparse=False), shown[:, :-1]]), *own, np.r_[np.zeros(len(a)), shown[:, -1]]])
    P = np.pad(BASIS.penalty(2).toarray(), (0, 1 + len(own)))
    A = 100 * B.T @ B + LAM * P
    np.testing.assert_allclose(res.params, np.linalg.solve(A, 100 * B.T @ obs.y), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(res.bse, np.sqrt(np.diag(np.linalg.inv(A))), rtol=1e-8)
    assert res.edf == pytest.approx(np.trace(np.linalg.solve(A, 100 * B.T @ B)), rel=1e-8)
    x = [b.x[0], 5.0]
    rows = np.column_stack([Slow(BASIS, 3, deriv, np.array(x), b.x[0]).rows(TAU)])
    rows = np.insert(rows, BASIS.n_basis, 1.0, axis=1) if bias else rows
    prediction = res.get_prediction(x, deriv, name="b")
    np.testing.assert_allclose(prediction.predicted_mean, rows @ res.params.to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(prediction.se_mean, np.sqrt(np.einsum("ij,jk,ik->i", rows, np.linalg.inv(A), rows)), rtol=1e-8)
    np.testing.assert_allclose(res.fittedvalues, B @ res.params.to_numpy(), atol=1e-9)
    assert "shows z with response_time z' + z = f" in res.summary().as_text()
    with pytest.raises(DataError, match="before the first observation of 'b'"):
        res.get_prediction([b.x[0] - 0.1], deriv, name="b")


@pytest.mark.parametrize(
    "unknown", [{"response_time": "estimate", "scale": "estimate"}, {"response_time": TAU, "lag": (-0.9, 0.9)}]
)
def test_what_is_unknown_of_noise_free_observations_is_exact(unknown):
    x, cubic, late = np.linspace(0, 6, 40), np.poly1d([0.1, -0.5, 0.3, 1.0]), 0.4 if "lag" in unknown else 0.0
    z = sum((-TAU) ** m * cubic.deriv(m)(x - late) for m in range(4)) + 2.0 * np.exp(-x / TAU)
    factor = 2.5 if "scale" in unknown else 1.0
    second = sf.observe(x, factor * z + 0.7, sd=1e-4, name="b", bias="estimate", **unknown)
    res = sf.SplineRegression(sf.observe(x, cubic(x), sd=1e-4, name="a") + second, sf.BSplineBasis.uniform(-1, 7, 1)).fit()
    truth = {"scale.b": 2.5, "lag.b": 0.4, "response_time.b": TAU}
    np.testing.assert_allclose(res.sensor_params["estimate"], [truth[name] for name in res.sensor_params.index], atol=1e-8)
    assert res.params["bias.b"] == pytest.approx(0.7, abs=1e-7)
    np.testing.assert_allclose(res.predict(x), cubic(x), atol=1e-8)


def test_estimates_and_intervals_are_those_of_a_smoothing_spline():
    obs = pair(n=20, response="estimate")
    basis = sf.BSplineBasis.uniform(min(r.x.min() for r in obs.readings), max(r.x.max() for r in obs.readings), 10, degree=5)
    res, other = sf.SplineRegression(obs, basis, sf.DerivativePenalty(3)).fit(), sf.SmoothingSpline(obs, order=3).fit()
    assert res.llf == pytest.approx(other.llf, abs=0.04)
    row, ends = res.sensor_params.loc["response_time.b"], other.conf_int().loc["response_time.b"]
    assert row["estimate"] == pytest.approx(other.params["response_time.b"], rel=1e-3)
    assert row["bse"] == pytest.approx(other.bse["response_time.b"], rel=0.01)
    np.testing.assert_allclose(row[["ci_lower", "ci_upper"]], ends, atol=0.01 * np.diff(ends)[0])
    x = np.array([2.0, 6.5])
    for name in (None, "b"):
        one, two = (r.get_prediction(x, name=name) for r in (res, other))
        np.testing.assert_allclose(one.predicted_mean, two.predicted_mean, atol=0.02 * two.se_mean.min())
        np.testing.assert_allclose(one.conf_int(), two.conf_int(), atol=0.05 * two.se_mean.min())
        np.testing.assert_allclose(one.conf_int(obs=True), two.conf_int(obs=True), atol=0.02 * two.se_obs.min())


def deviance(obs, tau):
    """-2 log restricted likelihood at a response time and LAM, up to constants, by dense algebra."""
    a, b = obs.readings
    shown = Slow(BASIS, 3, 0, b.x, b.x[0]).rows(tau)
    B = np.column_stack([np.vstack([BASIS.design(a.x, sparse=False), shown[:, :-1]]), np.r_[np.zeros(len(a)), shown[:, -1]]])
    A = 100 * B.T @ B + LAM * np.pad(BASIS.penalty(2).toarray(), (0, 1))
    rest = obs.y @ obs.y - 100 * obs.y @ B @ np.linalg.solve(A, B.T @ obs.y)
    return np.linalg.slogdet(A)[1] + 100 * rest


@pytest.mark.parametrize("is_slow", [True, False])
def test_that_no_response_time_is_needed_is_tested_by_the_likelihood(is_slow):
    obs = pair(response="estimate")
    if not is_slow:  # f itself
        a, b = obs.readings
        noise = 0.1 * np.random.default_rng(8).standard_normal(len(b))
        obs = sf.observe(a.x, a.y, sd=0.1, name="a")
        obs += sf.observe(b.x, np.sin(b.x) + noise, sd=0.1, name="b", response_time="estimate")
    res = sf.SplineRegression(obs, BASIS, sf.DerivativePenalty(2)).fit(lam=LAM)
    lr = deviance(obs, 0.0) - deviance(obs, res.sensor_params.loc["response_time.b", "estimate"])
    row = res.test_sensors().loc["response_time.b"]
    assert row["lr"] == pytest.approx(max(lr, 0.0), abs=2e-3 * max(lr, 1.0))  # the shortest response time stands for none
    assert row["pvalue"] == pytest.approx(stats.chi2.sf(row["lr"], 1) / 2 if row["lr"] else 1.0)
    assert (row["pvalue"] < 1e-6) == is_slow


def test_likelihoods_of_fast_instruments_vary_smoothly():
    """What has decayed by a hundred orders of magnitude, whose squares underflow, does not count."""
    rng = np.random.default_rng(7)
    x, z = np.sort(rng.uniform(0, 9, (2, 50)), axis=1)
    obs = sf.observe(x, np.sin(x) + 0.2 * rng.standard_normal(50), sd=0.1, name="a")
    obs += sf.observe(z, np.sin(z) + 0.2 * rng.standard_normal(50), sd=0.1, name="b", response_time="estimate")
    specification = sf.SplineRegression(obs, BASIS, sf.DerivativePenalty(2)).specification
    profile = specification.sensor_profile(specification.sensors, specification.rows, "reml", np.array([LAM]))
    tau = np.exp(np.linspace(-6, -4, 7))
    exact = np.array([deviance(obs, own) for own in tau])
    values = profile.values(np.log(tau)[:, None])
    np.testing.assert_allclose(values - values[0], exact - exact[0], atol=1e-8)


def test_new_observations_of_a_slow_instrument_are_predicted_by_its_name():
    res = sf.SplineRegression(pair(1), BASIS, sf.DerivativePenalty(2)).fit(lam=LAM)
    curve = res.get_prediction([5.0], deriv=1)
    assert curve.omits == ("response_time.b",)
    assert "obs_ci_lower" not in curve.summary_frame()
    with pytest.raises(SpecificationError, match="'b' has a response_time, and this prediction is of the curve; pass name='b'"):
        curve.conf_int(obs=True)
    assert "obs_ci_lower" in res.get_prediction([5.0], deriv=1, name="b").summary_frame()


def test_bounds_hold_beside_a_bias_and_a_slow_instrument():
    curve, slope = (lambda x: np.tanh(x - 4)), (lambda x: np.cosh(x - 4) ** -2)
    obs, basis = pair(bias="estimate", curve=curve, slope=slope), sf.BSplineBasis.uniform(0, 9, 8, degree=2)
    res = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2), sf.Increasing()).fit(lam=1e-3)
    B, P = res._fit.rows.dense(), np.pad(basis.penalty(2).toarray(), (0, 2))
    D = np.pad(basis.design(np.arange(9) * 9 / 8, 1, sparse=False), ((0, 0), (0, 2)))  # of linear pieces the knots are enough
    A, b = 100 * B.T @ B + 1e-3 * P, 100 * B.T @ obs.y
    step = res.params.to_numpy() - np.linalg.solve(A, b)
    push, residual = optimize.nnls(D.T, A @ step)  # multipliers of the bounds
    assert residual < 1e-6 * np.linalg.norm(A @ step)
    assert push.max() > 1
    assert (D @ res.params).min() > -1e-9
    assert np.abs(push * (D @ res.params)).max() < 1e-6 * push.max()
    shown = res.get_prediction([obs["b"].x[0]], name="b")  # above the curve, which alone is bounded
    assert shown.conf_int()[0, 0] < res.params["start.b"] + res.params["bias.b"] < shown.conf_int()[0, 1]


def test_a_response_time_in_minutes_is_that_in_hours():
    hours = pair()
    res = sf.SplineRegression(hours, BASIS, sf.DerivativePenalty(2)).fit(lam=LAM)
    a, b = hours.readings
    first, second = (pd.Timestamp("2024-01-01") + pd.to_timedelta(own.x, unit="h") for own in (a, b))
    timed = sf.observe(first, a.y, sd=0.1, name="a", unit="h")
    timed += sf.observe(second, b.y, sd=0.1, name="b", unit="h", response_time=pd.Timedelta("36min"))
    moved = sf.BSplineBasis(BASIS.knots - min(a.x[0], b.x[0]))
    other = sf.SplineRegression(timed, moved, sf.DerivativePenalty(2)).fit(lam=LAM)
    np.testing.assert_allclose(other.params, res.params, rtol=1e-6)


def test_what_cannot_be_is_named_with_the_way_out():
    penalty, unknown = sf.DerivativePenalty(2), pair(response="estimate")
    res = sf.SplineRegression(unknown, BASIS, penalty)
    for fit in ({"method": "gcv"}, {"edf": 6}, {"loss": "huber"}):
        with pytest.raises(SpecificationError, match="does not support; estimate it by SmoothingSpline"):
            res.fit(**fit)
        sf.SplineRegression(pair(), BASIS, penalty).fit(**fit)
    with pytest.raises(SpecificationError, match=r"with errors= does not support; .* response_time=res.params"):
        sf.SplineRegression(unknown, BASIS, penalty, errors={"b": sf.AR1()})
    with pytest.raises(SpecificationError, match=r"loss='quantile' does not support; .* pass the response time as a known lag="):
        sf.SplineRegression(pair(), BASIS, penalty).fit(loss="quantile")
    with pytest.raises(SpecificationError, match="Unimodal without mode= does not support; pass mode="):
        sf.SplineRegression(pair(), BASIS, penalty, sf.Unimodal())
    with pytest.raises(SpecificationError, match="an Accumulator does not support"):
        sf.SplineRegression.accumulate(BASIS).add(pair())
    with pytest.raises(IdentificationError, match="leave response_time= of one series out"):
        sf.SplineRegression(sf.observe(np.arange(9.0), np.arange(9.0), name="b", response_time="estimate"), BASIS)
    with pytest.raises(SpecificationError, match="which is zero for splines of degree 3"):
        sf.SplineRegression(pair() + sf.observe([1.0, 2.0], [0.0, 0.0], 4, name="c", response_time=1.0), BASIS, penalty)
