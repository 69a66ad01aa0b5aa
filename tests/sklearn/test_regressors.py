import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.sklearn import SmoothingSplineRegressor, SplineRegressor

RNG = np.random.default_rng(6)
x = np.sort(RNG.uniform(0, 1, 120))
y = np.sin(6 * x) + 0.1 * RNG.standard_normal(120)
GRID = np.linspace(-0.1, 1.1, 25)


def expected_failures(estimator):
    """What scikit-learn asks of every regressor, and these do not do, with the reason."""
    failures = {"check_regressors_no_decision_function": "y = x has no noise; its level is refused instead of guessed"}
    if estimator.lam is None:
        failures["check_sample_weight_equivalence_on_dense_data"] = (
            "weights are relative precisions: a repeated observation tells more of the noise than one of twice the weight"
        )
        if isinstance(estimator, SplineRegressor):
            reason = "x has four distinct values for twelve functions; the likelihood then has no maximum"
            failures |= dict.fromkeys(["check_sample_weights_shape", "check_sample_weights_not_overwritten"], reason)
    elif isinstance(estimator, SmoothingSplineRegressor):
        return {}
    return failures


@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
@parametrize_with_checks(
    [kind(column=0, lam=lam) for kind in (SmoothingSplineRegressor, SplineRegressor) for lam in (None, 1.0)],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_a_smoothing_spline_is_that_of_the_package():
    model = SmoothingSplineRegressor(order=3).fit(x[:, None], y)
    res = sf.SmoothingSpline(sf.observe(x, y), order=3).fit()
    for deriv in (0, 1):
        mean, std = model.predict(GRID[:, None], return_std=True, deriv=deriv)
        np.testing.assert_array_equal(mean, res.predict(GRID, deriv))
        np.testing.assert_array_equal(std, res.get_prediction(GRID, deriv).se_mean)
        np.testing.assert_array_equal(model.predict(GRID[:, None], deriv=deriv), mean)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # no periodic spline describes the observations
@pytest.mark.parametrize(
    ("options", "basis"),
    [
        ({}, sf.BSplineBasis.uniform(x[0], x[-1], 9, extrapolate="linear")),
        ({"degree": 4, "n_knots": 6, "extrapolation": "continue"}, sf.BSplineBasis.uniform(x[0], x[-1], 5, 4, "polynomial")),
        ({"boundary": "natural"}, sf.NaturalSplineBasis.uniform(x[0], x[-1], 9, extrapolate="linear")),
        ({"boundary": "periodic", "knots": [0, 0.25, 0.5, 0.75, 1]}, sf.PeriodicBSplineBasis.uniform(0, 1, 4)),
    ],
)
def test_a_spline_regression_is_that_of_the_package(options, basis):
    model = SplineRegressor(**options).fit(x[:, None], y)
    res = sf.SplineRegression(sf.observe(x, y), basis, sf.DerivativePenalty(2)).fit()
    mean, std = model.predict(GRID[:, None], return_std=True, deriv=1)
    np.testing.assert_allclose(mean, res.predict(GRID, 1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(std, res.get_prediction(GRID, 1).se_mean, rtol=1e-9)


def test_no_penalty_is_least_squares():
    model = SplineRegressor(n_knots=4, order=None).fit(x[:, None], y, sample_weight=1 + x)
    B = model.results_.basis.design(x, sparse=False)
    coef = np.linalg.lstsq(B * np.sqrt(1 + x)[:, None], y * np.sqrt(1 + x))[0]
    np.testing.assert_allclose(model.predict(x[:, None]), B @ coef, atol=1e-12)


@pytest.mark.parametrize("model", [SmoothingSplineRegressor(lam=1e-4), SplineRegressor(lam=1e-4)])
def test_at_a_fixed_smoothing_weights_are_repetitions(model):
    counts = RNG.integers(0, 4, 120)
    counts[[0, -1]] = 1  # the same range of knots
    weighted = clone(model).fit(x[:, None], y, sample_weight=counts)
    repeated = clone(model).fit(np.repeat(x, counts)[:, None], np.repeat(y, counts))
    np.testing.assert_allclose(weighted.predict(GRID[:, None]), repeated.predict(GRID[:, None]), rtol=1e-9)


@pytest.mark.parametrize("model", [SmoothingSplineRegressor(), SplineRegressor()])
def test_pipelines_scores_grids_and_pickles(model):
    shuffled = RNG.permutation(120)
    scores = cross_val_score(make_pipeline(StandardScaler(), model), x[shuffled, None], y[shuffled], cv=4)
    assert (scores > 0.9).all()
    search = GridSearchCV(model, {"lam": [1e-5, 1e3]}, cv=3).fit(x[shuffled, None], y[shuffled])
    assert search.best_params_ == {"lam": 1e-5}
    fitted = clone(model).fit(x[:, None], y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(GRID[:, None]), fitted.predict(GRID[:, None]))


def test_constraints_hold():
    model = clone(SplineRegressor(constraints=(sf.Decreasing(on=(0.3, 0.7)),))).fit(x[:, None], y)
    assert (model.predict(np.linspace(0.3, 0.7, 50)[:, None], deriv=1) < 1e-9).all()


def test_columns_by_number_and_by_name():
    frame = pd.DataFrame({"noise": RNG.standard_normal(120), "x": x})
    expected = SmoothingSplineRegressor().fit(x[:, None], y).predict(x[:, None])
    for column in (1, "x"):
        np.testing.assert_array_equal(SmoothingSplineRegressor(column=column).fit(frame, y).predict(frame), expected)
    with pytest.raises(SpecificationError, match="X has 2 features"):
        SmoothingSplineRegressor().fit(frame, y)
    with pytest.raises(SpecificationError, match="column is 'z'; the columns of X are 'noise', 'x'"):
        SmoothingSplineRegressor(column="z").fit(frame, y)
    with pytest.raises(SpecificationError, match="column"):
        SmoothingSplineRegressor(column=2).fit(frame, y)


@pytest.mark.parametrize("option", ["boundary", "extrapolation"])
def test_options_out_of_range(option):
    with pytest.raises(SpecificationError, match=option):
        SplineRegressor(**{option: "none"}).fit(x[:, None], y)
