"""What contradicts the model of a spline regression: power, false alarms, the smoothing spline's p-values, what is not tested."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import MisfitWarning
from smoothfit.regression.misfits import _errors, level_shifts
from smoothfit.regression.recursive import record_of
from smoothfit.results.misfit import even_stretches

X = np.linspace(0, 1, 200)


def model(y, x=X, n_segments=20, **options):
    basis = sf.BSplineBasis.uniform(x[0], x[-1], n_segments)
    return sf.SplineRegression(sf.observe(x, y, name="y"), basis, penalty=sf.DerivativePenalty(2), **options)


def noisy(seed, n=200):
    rng = np.random.default_rng(seed)
    return np.sin(6 * np.linspace(0, 1, n)) + 0.1 * rng.standard_normal(n)


def with_outlier(y):
    return y + 1.0 * (np.arange(len(y)) == 40)


def with_two_levels(y):
    return y + 0.6 * (X > 0.5) * np.random.default_rng(8).standard_normal(len(y))


def with_correlated_noise(y):
    noise = np.random.default_rng(9).standard_normal(len(y))
    for i in range(1, len(noise)):
        noise[i] += 0.7 * noise[i - 1]
    return y + 0.3 * noise


def shifted(y):
    return y + 0.6 * (np.arange(len(y)) >= 120)


CASES = [
    (with_outlier, 20, "outlier", "loss='huber'"),
    (shifted, 20, "level shift", "sf.Level(x)"),
    (with_two_levels, 20, "noise level", "weights="),
    (with_correlated_noise, 3, "autocorrelation", "errors={'y': sf.AR1()}"),  # with more functions the curve follows it
    (np.round, 20, "rounding", "resolution=1)"),
]


@pytest.mark.parametrize(("change", "n_segments", "kind", "remedy"), CASES)
def test_contradictions_are_told_once_with_their_remedy(change, n_segments, kind, remedy):
    wrong = model(change(noisy(1)), n_segments=n_segments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        res = wrong.fit()
        text = " ".join(res.summary().as_text().split())
    assert [one.category for one in caught] == [MisfitWarning]
    assert caught[0].filename == __file__
    assert remedy in {one.kind: one.remedy for one in res.misfits}[kind]
    for one in res.misfits:
        assert f"{one.finding}: {one.remedy}" in str(caught[0].message)
        assert f"misfit: {one.finding}: {one.remedy}" in text


def test_remedies_leave_nothing_to_find():
    obs = sf.observe(X, with_two_levels(noisy(1)), weights=np.where(X > 0.5, 1 / 37, 1.0))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 20), penalty=sf.DerivativePenalty(2)).fit()
    assert res.misfits == ()
    assert model(with_correlated_noise(noisy(1)), n_segments=3, errors=sf.AR1()).fit().misfits == ()
    knots = np.sort(np.concatenate([np.linspace(0, 1, 21)[1:-1], [X[120]] * 4]))  # f may jump at the last
    basis = sf.BSplineBasis(np.concatenate([[0.0] * 4, knots, [1.0] * 4]))
    res = sf.SplineRegression(sf.observe(X, shifted(noisy(1))), basis, sf.DerivativePenalty(2)).fit()
    assert res.misfits == ()
    assert res.predict(X[120:121]) - res.predict(X[119:120]) == pytest.approx(0.6, abs=0.2)


@pytest.mark.parametrize("n", [60, 3000])
def test_the_right_model_gives_no_alarm(n):
    for seed in range(20):
        assert model(noisy(seed, n), np.linspace(0, 1, n)).fit().misfits == ()


def with_integrals():
    """Values, slopes and means over abutting intervals, of noise of variance one."""
    x, edges = np.linspace(0, 1, 25), np.linspace(0, 1, 13)
    obs = sf.observe(x, np.zeros(25), sd=1.0, name="value") + sf.observe(x, np.zeros(25), deriv=1, sd=9.0, name="slope")
    return obs + sf.observe_integral(edges[:-1], edges[1:], np.zeros(12), mean=True, sd=0.5, name="mean")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # slopes that no value has
@pytest.mark.parametrize("penalty", [None, sf.DerivativePenalty(2)])
def test_level_shifts_are_those_of_generalised_least_squares(penalty):
    """By dense algebra: the effect of a step beside coefficients with a normal prior."""
    rng = np.random.default_rng(0)
    obs = with_integrals()
    obs = replace(obs, readings=tuple(replace(own, y=rng.standard_normal(len(own))) for own in obs.readings))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 6), penalty).fit(**({"lam": 1e-3} if penalty else {}))
    (found,) = level_shifts(res._fit)
    edges = np.linspace(0, 1, 13)
    rows, sds = res._fit.rows.dense(), np.repeat([1.0, 9.0, 0.5], [25, 25, 12])
    for k in (3, len(found.x) - 1):
        at = found.x[k]
        step = np.concatenate([obs["value"].x >= at, np.zeros(25), np.clip((edges[1:] - at) / np.diff(edges), 0, 1)])
        A = np.column_stack([rows, step]) / sds[:, None]
        prior = np.zeros((A.shape[1],) * 2)
        prior[:-1, :-1] = res._fit.penalty_gram()
        precision = A.T @ A + prior
        assert found.effect[k] == pytest.approx(np.linalg.solve(precision, A.T @ (obs.y / sds))[-1], rel=1e-8)
        assert found.se[k] == pytest.approx(np.sqrt(np.linalg.inv(precision)[-1, -1]), rel=1e-8)
    assert set(found.x) <= set(edges[1:])  # elsewhere an interval contains the shift


def test_a_stretch_is_a_record_of_its_own():
    """In the middle of a long one, of which it forgets the rest; without its own start, which is diffuse."""
    x = np.linspace(0, 1, 600)
    res = model(noisy(3, 600), x, 60).fit()
    errors = _errors(res._fit, even_stretches(600, 300, 3))
    assert errors.rows.tolist() == [*range(100), *range(250, 350), *range(500, 600)]
    assert [len(change.x) for change in errors.shifts] == [99, 99, 99]
    whole = np.asarray(res.resid_recursive)[errors.rows].reshape(3, 100)
    assert np.corrcoef(errors.one_step.reshape(3, 100)[:, 50:].ravel(), whole[:, 50:].ravel())[0, 1] > 0.99
    without = sf.SplineRegression(sf.observe(x, noisy(3, 600)), sf.BSplineBasis.uniform(0, 1, 60)).fit("ols")
    errors = _errors(without._fit, even_stretches(600, 300, 3))
    functions = [len(set(without.basis.design(x[part]).indices)) for part in np.split(errors.rows, 3)]
    assert np.isnan(errors.one_step).reshape(3, 100).sum(axis=1).tolist() == functions


def test_p_values_are_near_those_of_the_smoothing_spline():
    y = with_outlier(noisy(2))
    with pytest.warns(MisfitWarning):
        mine = model(y, n_segments=60).fit().misfits
    with pytest.warns(MisfitWarning):
        theirs = sf.SmoothingSpline(sf.observe(X, y, name="y")).fit().misfits
    assert [one.kind for one in mine] == ["outlier"]
    assert np.log(mine[0].p_value) == pytest.approx(np.log(theirs[0].p_value), rel=1e-3)


def test_what_is_not_tested():
    y = with_outlier(noisy(1))
    for options in ({"lam": 1e-4}, {"method": "gcv"}, {"loss": "huber"}, {"cov_type": "HC3"}):
        assert model(y).fit(**options).misfits == ()
    assert model(y).fit(loss="quantile", lam=1e-4).misfits == ()


def surface(change=0.0, n=200, **options):
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 1, (n, 2))
    y = np.sin(3 * points[:, 0]) + np.cos(4 * points[:, 1]) + 0.05 * rng.standard_normal(n) + change
    half = n // 2
    obs = sf.observe(points[:half], y[:half], name="a") + sf.observe(points[half:], y[half:], sd=0.05, name="b")
    basis = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 1, 5), sf.BSplineBasis.uniform(0, 1, 4))
    return sf.SplineRegression(obs, basis, sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1), **options).fit()


def test_errors_of_surfaces_are_those_of_refits_and_one_sum_of_squares():
    res = surface()
    fit = res._fit
    errors = _errors(fit, [slice(0, 200)])
    residual, variance, leverage = fit.deleted
    np.testing.assert_allclose(errors.deleted, residual / np.sqrt(variance * (1 - leverage)), rtol=1e-8)
    whitened = fit.resid_whitened
    record = record_of(fit, np.arange(200))
    penalty = record.target  # of the fit, whose sum of squares with the residuals' is what the recursion adds up
    assert np.nansum(errors.one_step**2) == pytest.approx(whitened @ whitened + penalty @ penalty, rel=1e-8)
    assert np.isnan(errors.one_step).sum() == 4  # 1, x, z and x z, which no penalty touches
    few = _errors(fit, even_stretches(200, 120, 2))
    np.testing.assert_array_equal(few.rows, np.r_[0:60, 140:200])


def test_contradictions_of_surfaces_name_the_point_or_the_rows():
    assert surface().misfits == ()
    with pytest.warns(MisfitWarning, match=r"'a' at X = \[0\.\d+, 0\.\d+\] is .* fit\(loss='huber'\)"):
        surface(0.5 * (np.arange(200) == 17))
    noise = np.random.default_rng(4).standard_normal(200)
    with pytest.warns(MisfitWarning, match=r"of 'a' are .* in rows \d+ to \d+"):
        res = surface(np.where(np.arange(200) < 50, 0.4, 0.0) * noise)
    assert "misfit: prediction errors of 'a'" in res.summary().as_text()
