"""Non-linear terms as users write them: what a wrong one does is said with its name and its first bad row."""

import warnings

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.dynamics import Term
from smoothfit.errors import ConvergenceError, DataError, IdentificationError, SmoothfitError, SpecificationError

from .conftest import solution

T = np.arange(200) * 0.05
Y = 1 / (1 + 3 * np.exp(-T)) + 0.01 * np.random.default_rng(0).standard_normal(200)  # y' = y - y^2
METHODS = ("difference", "integral", "output_error")
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")


def model(function, name="term", **options):
    return sf.DerivativeRegression(Y, T, terms={name: function}, intercept=False, **options)


@pytest.mark.parametrize("method", ["integral", "output_error"])
def test_logistic_growth_is_found(method):
    res = model(lambda y, t: y[0] ** 2, "y**2").fit(method)
    np.testing.assert_allclose(res.coefficients, [1, -1], atol=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y, t: y**3, r"'term' raises TypeError \(.*\); its function takes y, the list of the curve y\[0\]"),
        (lambda y, t: y, r"'term' returns shape \(1, \d+\) where t has \(\d+,\)"),
        (lambda y, t: y[0][:3], r"'term' returns shape \(3,\) where t has"),
        (lambda y, t: y[0] + 1j, r"'term' returns complex128"),
    ],
)
def test_functions_that_do_not_fit_are_named(method, function, words):
    with pytest.raises(SpecificationError, match=words):
        model(function).fit(method)


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_a_value_are_counted_and_the_first_is_told(method):
    with pytest.raises(DataError, match=r"'log' is nan at \d+ of \d+ places, first at t = 0(\.\d+)?, where y = 0\.2\d+; give it"):
        model(lambda y, t: np.log(y[0] - 0.5), "log").fit(method)


def test_rows_without_a_value_are_counted_right():
    row = int(np.argmax(Y[:-1] < 0.5))
    many = int((Y[:-1] < 0.5).sum())
    with pytest.raises(DataError, match=rf"'root' is nan at {many} of 199 places, first at t = {T[row]:g}, where y = {Y[row]:.4g}"):
        model(lambda y, t: np.sqrt(y[0] - 0.5), "root").fit("difference")


def test_missing_readings_are_no_errors_of_a_term():
    y = Y.copy()
    y[50] = np.nan
    res = sf.DerivativeRegression(y, T, terms={"y**2": lambda y, t: y[0] ** 2}, intercept=False).fit("difference")
    assert res.fitted.n_rows == 197  # of 199 quotients, two touch the observation that is missing


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("function", [lambda y, t: 2 * y[0], lambda y, t: 0 * y[0]])
def test_terms_that_tell_nothing_are_named(method, function):
    with pytest.raises(IdentificationError, match=r"'(term|y)'.*leave it out"):
        model(function).fit(method)


def test_errors_of_ours_pass_through_terms():
    def function(y, t):
        raise SmoothfitError("mine")

    with pytest.raises(SmoothfitError, match=r"^mine$"):
        model(function).fit("difference")


def test_solutions_that_leave_the_domain_of_a_term_say_so():
    # Finite along the smoothed observations, of 200 rows, and not where solutions run side by side, few at a time.
    gap = Term("gap", lambda y, t: y[0] ** 2 if len(t) > 10 else np.full(len(t), np.nan))
    with pytest.raises(ConvergenceError, match="'gap' are finite; give them finite values"):
        sf.DerivativeRegression(Y, T, terms=gap, intercept=False).fit("output_error")


def test_solutions_with_terms_have_bands_that_know_coefficients_and_initial_states():
    # Against the linear equation itself, its decay as a term: the same solution, coefficients and errors by other code.
    rng = np.random.default_rng(11)
    t = np.arange(200) * 0.05
    u = np.repeat(rng.choice([-1.0, 1.0], 20), 10)
    y = solution([-1.0, 2.0, 0.5], t, u)[:, 0] + 0.1 * rng.standard_normal(200)
    linear = sf.DerivativeRegression(y[:150], t[:150], u[:150]).fit("output_error")
    term = sf.dynamics.Term("decay", lambda y, t: y[0])
    bent = sf.DerivativeRegression(y[:150], t[:150], u[:150], terms=(term,), derivatives=()).fit("output_error")
    assert bent.params["decay"] == pytest.approx(linear.params["y"], abs=1e-4)
    np.testing.assert_allclose(bent.fittedvalues, linear.fittedvalues, atol=1e-5)
    ours, theirs = bent.get_prediction([0.0, 1.23, 7.0]), linear.get_prediction([0.0, 1.23, 7.0])
    np.testing.assert_allclose(ours.predicted_mean, theirs.predicted_mean, atol=1e-5)
    # Intervals of the linear fit allow for the SD of the noise, too: less than 1 % with 150 observations.
    np.testing.assert_allclose(np.diff(ours.conf_int()), np.diff(theirs.conf_int()), rtol=0.02)
    ours, theirs = bent.forecast(t[150:], u[150:]), linear.forecast(t[150:], u[150:])
    np.testing.assert_allclose(ours["mean"], theirs["mean"], atol=1e-4)
    np.testing.assert_allclose(ours["mean_ci_upper"] - ours["mean"], theirs["mean_ci_upper"] - theirs["mean"], rtol=0.03)
    np.testing.assert_allclose(ours["obs_ci_upper"] - ours["mean"], theirs["obs_ci_upper"] - theirs["mean"], rtol=0.03)
    assert list(bent.states().columns) == ["y", "se(y)"]


def test_a_solution_with_terms_has_no_past():
    t = np.arange(80) * 0.1
    y = 1 / (1 + np.exp(-(t - 4))) + 0.01 * np.random.default_rng(12).standard_normal(80)
    growth = {"y^2": lambda y, t: y[0] ** 2}
    res = sf.DerivativeRegression(y, t, terms=growth, intercept=False).fit("output_error")
    np.testing.assert_allclose(res.coefficients, [1, -1], atol=0.05)
    late = res.get_prediction([9.0, 12.0])
    assert (np.abs(late.predicted_mean - 1 / (1 + np.exp(-(np.array([9.0, 12.0]) - 4)))) < 4 * late.se_mean).all()
    with pytest.raises(DataError, match="reaches back before the run"):
        res.predict([-1.0])
    with pytest.raises(SpecificationError, match="get_prediction"):
        res.time_constant()


@pytest.mark.parametrize("method", ["integral", "output_error"])
def test_the_smoothing_behind_terms_warns_of_nothing(method):
    """A outlier contradicts the spline of the terms, which is no model of the user's."""
    rng = np.random.default_rng(0)
    t = np.arange(200) * 0.05
    y = np.exp(-t) + 0.02 * rng.standard_normal(200)
    y[100] += 0.5
    model = sf.DerivativeRegression.from_formula("D(y) ~ y + tanh(y) - 1", pd.DataFrame({"t": t, "y": y}), t="t")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(method)
    assert not [one for one in caught if one.category is sf.errors.MisfitWarning]
