"""What contradicts the model of a Gaussian process: errors by refits and by generalised least squares, findings, false alarms."""

import warnings

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import MisfitWarning
from smoothfit.gp.misfits import _by_factor, _by_filter

KERNEL = sf.gp.Matern52(length_scale=0.4, amplitude=1.2)
rng = np.random.default_rng(5)
X1, Y1 = np.sort(rng.uniform(0, 2, 24)), rng.standard_normal(24)


def observed(keep=slice(None), slopes=slice(None)):
    """Values and slopes in one input."""
    values = sf.observe(X1[:16][keep], Y1[:16][keep], sd=0.3, name="f")
    return values + sf.observe(X1[16:][slopes], Y1[16:][slopes], deriv=1, sd=0.8, name="slope")


def errors_of(model, by):
    return by(model.rows, model.kernel, model.fit()._fit.estimates)


def standardized(model, X, y, deriv, sd):
    """Of an observation, by the posterior given those of a model."""
    law = model.fit().get_prediction(X, deriv=deriv)
    return ((y - law.predicted_mean) / np.sqrt(law.se_mean**2 + sd**2))[0]


@pytest.mark.parametrize("by", [_by_filter, _by_factor])
@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
def test_errors_are_those_of_predictions_without_an_observation(mean, by):
    model = sf.GaussianProcess(observed(), kernel=KERNEL, mean=mean)
    errors = errors_of(model, by)
    places = np.arange(16)
    for i in (0, 7, 15):
        rest = sf.GaussianProcess(observed(places != i), kernel=KERNEL, mean=mean)
        assert errors.deleted[i] == pytest.approx(standardized(rest, X1[i : i + 1], Y1[i], 0, 0.3), rel=1e-9)
    rest = sf.GaussianProcess(observed(slopes=np.arange(8) != 3), kernel=KERNEL, mean=mean)
    assert errors.deleted[19] == pytest.approx(standardized(rest, X1[19:20], Y1[19], 1, 0.8), rel=1e-9)


@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
def test_one_step_errors_are_those_of_predictions_from_what_comes_before(mean):
    own = np.random.default_rng(2)
    X, y = own.uniform(0, 1, (30, 2)), own.standard_normal(30)
    model = sf.GaussianProcess(X, y, KERNEL, sd=0.3, mean=mean)
    errors = errors_of(model, _by_factor).one_step
    start = np.flatnonzero(np.isnan(errors))
    assert len(start) == model.rows.n_terms
    assert (start < 12).all()  # an error before them would be less what they have of it
    for i in (12, 29):
        before = np.union1d(start, np.arange(i))
        rest = sf.GaussianProcess(X[before], y[before], KERNEL, sd=0.3, mean=mean)
        assert errors[i] == pytest.approx(standardized(rest, X[i : i + 1], y[i], (0, 0), 0.3), rel=1e-9)
    quadratic = -2 * model.fit().llf - (30 - len(start)) * np.log(2 * np.pi)
    doubled = -2 * sf.GaussianProcess(X, 2 * y, KERNEL, sd=0.3, mean=mean).fit().llf - (30 - len(start)) * np.log(2 * np.pi)
    assert np.nansum(errors**2) == pytest.approx((doubled - quadratic) / 3, rel=1e-9)  # y'Py: all that depends on y


@pytest.mark.parametrize("mean", ["zero", "constant", "linear"])
def test_errors_by_the_filter_are_those_of_dense_algebra(mean):
    model = sf.GaussianProcess(observed(), kernel=KERNEL, mean=mean)
    filtered, factored = (errors_of(model, by) for by in (_by_filter, _by_factor))
    assert filtered.deleted == pytest.approx(factored.deleted, rel=1e-9, abs=1e-10)
    for name in ("x", "effect", "se"):
        assert getattr(filtered.shifts[0], name) == pytest.approx(getattr(factored.shifts[0], name), rel=1e-9, abs=1e-10)
    assert np.isnan(filtered.one_step).sum() == model.rows.n_terms
    assert np.isnan(filtered.one_step)[: model.rows.n_terms].all()  # the first by x; of dense algebra those that tell most
    assert np.nansum(filtered.one_step**2) == pytest.approx(np.nansum(factored.one_step**2), rel=1e-9)
    for i in (8, 15):
        rest = sf.GaussianProcess(X1[:i], Y1[:i], KERNEL, sd=0.3, mean=mean)
        assert filtered.one_step[i] == pytest.approx(standardized(rest, X1[i : i + 1], Y1[i], 0, 0.3), rel=1e-9)


@pytest.mark.parametrize("by", [_by_filter, _by_factor])
def test_level_shifts_are_generalised_least_squares(by):
    x, y, sd = X1[:16], Y1[:16], 0.3
    r = np.abs(x[:, None] - x) / 0.4
    K = 1.44 * (1 + np.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-np.sqrt(5) * r) + sd**2 * np.eye(16)
    model = sf.GaussianProcess(x, y, KERNEL, sd=sd)
    (shift,) = errors_of(model, by).shifts
    rows = model.rows
    assert shift.x * rows.x_unit[0] + rows.x_origin[0] == pytest.approx(x[1:], rel=1e-12)
    for k in (1, 8, 15):
        design = np.column_stack([np.ones(16), x >= x[k]])
        information = design.T @ np.linalg.solve(K, design)
        coef = np.linalg.solve(information, design.T @ np.linalg.solve(K, y))
        assert shift.effect[k - 1] * rows.y_unit == pytest.approx(coef[1], rel=1e-8)
        assert shift.se[k - 1] * rows.y_unit == pytest.approx(np.sqrt(np.linalg.inv(information)[1, 1]), rel=1e-8)


def curve(change=0.0, n=80):
    own = np.random.default_rng(1)
    x = np.sort(own.uniform(0, 10, n))
    y = np.sin(x) + 0.1 * own.standard_normal(n)
    return x, y + change(x) if callable(change) else y


CASES = [
    (lambda x: 1.0 * (np.arange(len(x)) == 40), "outlier", "'f' at x = 5.41227 is"),
    (lambda x: 0.8 * (x > 5), "level shift", "the curve jumps by 0.8"),
    (lambda x: np.where(x > 5, 0.6, 0.0) * np.random.default_rng(2).standard_normal(len(x)), "noise level", "for x from"),
]


@pytest.mark.parametrize(("change", "kind", "finding"), CASES)
def test_contradictions_are_reported_once_with_their_remedy(change, kind, finding):
    x, y = curve(change)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        res = sf.GaussianProcess(x, y, sf.gp.Matern52()).fit()
    assert [one.category for one in caught] == [MisfitWarning]
    assert caught[0].filename == __file__
    found = {one.kind: one for one in res.misfits}[kind]
    assert finding in found.finding
    assert f"{found.finding}: {found.remedy}" in str(caught[0].message)
    assert f"misfit: {found.finding}: {found.remedy}" in " ".join(res.summary().as_text().split())


def test_given_models_are_not_tested():
    x, y = curve(CASES[0][0])
    assert sf.GaussianProcess(x, y, sf.gp.Matern52(2.0, 1.0), sd=0.1).fit().misfits == ()


def test_units_do_not_matter():
    x, y = curve(CASES[1][0])
    with pytest.warns(MisfitWarning):
        (found,) = sf.GaussianProcess(x, y, sf.gp.Matern52()).fit().misfits
    with pytest.warns(MisfitWarning, match=r"curve jumps by 8\.\d+e-10 at x = 5\.09496e\+06"):
        (scaled,) = sf.GaussianProcess(x * 1e6, y * 1e-9, sf.gp.Matern52()).fit().misfits
    assert scaled.p_value == pytest.approx(found.p_value, rel=1e-4)


def test_findings_in_two_inputs_name_the_point_or_the_rows():
    own = np.random.default_rng(1)
    X = own.uniform(0, 1, (100, 2))
    f = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
    noise = own.standard_normal(100)
    assert sf.GaussianProcess(X, f + 0.05 * noise).fit(n_starts=2).misfits == ()
    with pytest.warns(MisfitWarning, match=r"'f' at X = \[0\.\d+, 0\.\d+\] is"):
        (one,) = sf.GaussianProcess(X, f + 0.05 * noise + 0.6 * (np.arange(100) == 7)).fit(n_starts=2).misfits
    assert one.kind == "outlier"
    with pytest.warns(MisfitWarning, match=r"in rows \d+ to \d+"):
        kinds = [
            one.kind for one in sf.GaussianProcess(X, f + np.where(np.arange(100) < 50, 0.03, 0.3) * noise).fit(n_starts=2).misfits
        ]
    assert "noise level" in kinds


def test_long_records_are_tested_in_stretches():
    x, y = curve(n=1500)
    assert sf.GaussianProcess(x, y, sf.gp.Matern32()).fit(n_starts=1).misfits == ()
    with pytest.warns(MisfitWarning, match="'f' at x ="):
        res = sf.GaussianProcess(x, y + 1.0 * (np.arange(1500) == 30), sf.gp.Matern32()).fit(n_starts=1)
    assert "outlier" in [one.kind for one in res.misfits]
